use super::*;
use pollux_sdk::{Attempt, Call, Descriptor, Lease, Reason, Refusal};
use serde_json::json;
use std::path::PathBuf;

/// Takes any file with a `token` but those that deny it; those with its own member are its own.
#[derive(Debug)]
struct Vendor {
    about: Descriptor,
}

impl Provider for Vendor {
    fn descriptor(&self) -> &Descriptor {
        &self.about
    }
    fn prepare(&self, _call: &Call, _lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        Err(Refusal::Credential(Reason::new("none", "it serves nobody")))
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        file["token"].as_str().filter(|_| file["not"] != self.about.id).map(Credential::from_key)
    }
    fn recognise(&self, file: &Value) -> Recognition {
        match file[self.about.id].as_str() {
            Some("only") => Recognition::Replaces("project"),
            Some("dead") => Recognition::Unusable(Reason::new("dead", "it is of no use")),
            Some(_) => Recognition::Own,
            None if self.import(file).is_some() => Recognition::Possible,
            None => Recognition::Foreign,
        }
    }
    fn export(&self, _credential: &Credential, _file: &mut Value) {}
}

fn vendor(id: &'static str, kind: &'static str) -> Arc<dyn Provider> {
    let about = Descriptor {
        id,
        title: id,
        kind,
        dialects: &[],
        operations: &[],
        models: Vec::new(),
        aliases: &[],
        endpoints: Vec::new(),
        request_headers: &[],
        reply_headers: &[],
        login: None,
        single_use_refresh: false,
    };
    Arc::new(Vendor { about })
}

/// What becomes of a file at `place`: its provider, with a `!` where name and content disagree, or the reason.
fn sorted(place: &str, file: &Value) -> Result<String, String> {
    let providers = [vendor("acme", "ac"), vendor("bolt", "bolt")];
    let (folder, stem) = match place.split_once('/') {
        Some((folder, stem)) => (Some(folder.to_owned()), stem),
        None => (None, place),
    };
    let spot = Spot { path: PathBuf::from(place), folder, stem: stem.to_owned(), stamp: None };
    let sorted = sort(&spot, file, &providers)?;
    let mark = if sorted.remark.is_some() { "!" } else { "" };
    Ok(format!("{}{mark}", sorted.provider.descriptor().id))
}

#[test]
fn content_decides_and_names_break_ties() {
    let (anybodys, bolts) = (json!({"token": "t"}), json!({"token": "t", "bolt": "yes"}));
    for (place, file, expected) in [
        ("main", &bolts, "bolt"),
        ("bolt/main", &bolts, "bolt"),
        ("ac_main", &bolts, "bolt!"),
        ("acme/main", &bolts, "bolt!"),
        ("acme/main", &anybodys, "acme"),
        ("ac/bolt_main", &anybodys, "acme"),
        ("ac_main", &anybodys, "acme"),
        ("ac-main", &anybodys, "acme"),
        ("ac.main", &anybodys, "acme"),
        ("bolt", &anybodys, "bolt"),
    ] {
        assert_eq!(sorted(place, file).as_deref(), Ok(expected), "{place} {file}");
    }
    for place in ["main", "acting", "bolts"] {
        let reason = sorted(place, &anybodys).unwrap_err();
        assert!(reason.contains("acme or bolt"), "{place}: {reason}");
    }
}

#[test]
fn what_nobody_can_use_is_refused_with_the_reason() {
    assert!(sorted("x", &json!({"note": 1})).unwrap_err().contains("no login"));
    assert!(sorted("x", &json!({"acme": "dead"})).unwrap_err().contains("it is of no use"));
    // Not even where another one would try its luck with it.
    assert!(
        sorted("bolt_x", &json!({"acme": "dead", "token": "t"})).unwrap_err().contains("it is of no use")
    );
    assert_eq!(sorted("x", &json!({"acme": "dead", "bolt": "yes", "token": "t"})).as_deref(), Ok("bolt"));
}

#[test]
fn a_guess_that_its_name_contradicts_is_refused() {
    let only_acmes = json!({"token": "t", "not": "bolt"});
    assert_eq!(sorted("x", &only_acmes).as_deref(), Ok("acme"));
    for place in ["bolt_x", "bolt/x"] {
        let reason = sorted(place, &only_acmes).unwrap_err();
        assert!(reason.contains("disagree") && reason.contains("acme"), "{place}: {reason}");
    }
}
