//! What a provider says it is, and what it makes of its configuration.

use super::{
    Check, Finding,
    subject::{Subject, goes_upstream},
};
use pollux_dialect::endpoints;
use pollux_sdk::{HeaderName, Operation, Redirect};
use serde_json::Value;
use std::collections::BTreeSet;
use url::Url;

pub(super) const CHECKS: &[Check] = &[
    ("its samples cover every operation", samples_cover),
    ("its id is a plain word and it has a title", id),
    ("it supports operations of its dialects only", operations),
    ("its own paths are well formed and free", paths),
    ("its login leaves state, redirect and challenge to the host", login),
    ("no key and no cookie is among its request headers", request_headers),
    ("no cookie and no framing is among its reply headers", reply_headers),
    ("it offers the models of its configuration", models),
    ("a bad configuration is refused and the key named", bad_config),
    ("an unknown key is refused by name", unknown_key),
];

fn samples_cover(subject: &Subject) -> Finding {
    let about = subject.provider.descriptor();
    let mut called = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for index in 0..subject.samples.calls.len() {
        called.insert(format!("{:?}", subject.call(index)?.endpoint.operation));
        for name in subject.samples.calls[index].headers.keys() {
            let allowed = about.request_headers.iter().any(|pattern| matches(pattern, name));
            ensure!(allowed, "call {index} has the header `{name}`, which is not among `request_headers`");
        }
    }
    for answer in &subject.samples.answers {
        answered.insert(format!("{:?}", subject.call(answer.call)?.endpoint.operation));
    }
    let own = about.endpoints.iter().map(|endpoint| endpoint.operation);
    for operation in about.operations.iter().copied().chain(own).filter(|operation| goes_upstream(*operation))
    {
        let name = format!("{operation:?}");
        ensure!(called.contains(&name), "there is no sample call for {name}");
        ensure!(answered.contains(&name), "there is no sample answer to a call for {name}");
    }
    let grants = &subject.samples.grants;
    let renewed = subject.credential.refresh.is_none() || grants.iter().any(|grant| grant.gives.is_some());
    ensure!(renewed, "the account has a refresh token, and no sample grant gives anything");
    Ok(())
}

fn id(subject: &Subject) -> Finding {
    let about = subject.provider.descriptor();
    let id = about.id;
    ensure!(id == subject.id(), "the descriptor says `{id}`, the registration `{}`", subject.id());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(!id.is_empty() && id.bytes().all(plain), "`{id}` is not of lower-case letters, digits and `-`");
    // Of the host: sections of the configuration and first segments of its paths.
    let taken = ["defaults", "admin", "healthz", "v1", "v1beta"];
    ensure!(!taken.contains(&id), "`{id}` is a word of the host's");
    let title = about.title;
    ensure!(!title.trim().is_empty() && !title.contains(char::is_control), "the title {title:?} is no name");
    ensure!(
        !about.kind.is_empty() && about.kind.bytes().all(plain),
        "the kind `{}` is not of lower-case letters, digits and `-`",
        about.kind
    );
    Ok(())
}

fn operations(subject: &Subject) -> Finding {
    let about = subject.provider.descriptor();
    ensure!(!about.dialects.is_empty(), "it speaks no dialect");
    for (at, dialect) in about.dialects.iter().enumerate() {
        ensure!(!about.dialects[..at].contains(dialect), "{dialect:?} is listed twice");
    }
    let standard: Vec<Operation> =
        about.dialects.iter().flat_map(|dialect| endpoints(*dialect)).map(|route| route.operation).collect();
    for operation in about.operations {
        ensure!(standard.contains(operation), "none of its dialects has a route for {operation:?}");
    }
    for route in &about.endpoints {
        let known = about.dialects.contains(&route.dialect);
        ensure!(known, "{} speaks {:?}, which is none of its dialects", route.path, route.dialect);
    }
    Ok(())
}

fn paths(subject: &Subject) -> Finding {
    let about = subject.provider.descriptor();
    let mut taken: BTreeSet<(String, String)> =
        ["/resource:add", "/auth"].map(|path| ("GET".to_owned(), path.to_owned())).into();
    taken.insert(("POST".to_owned(), "/resource:add".to_owned()));
    for route in &about.endpoints {
        let path = route.path;
        let rest = path.replace("{model}", "m");
        let strange = |letter: char| !letter.is_ascii_graphic() || "?#{}\\%".contains(letter);
        ensure!(path.starts_with('/') && path.len() > 1, "`{path}` does not begin with a slash");
        ensure!(!path.ends_with('/') && !path.contains("//"), "`{path}` has a slash too many");
        ensure!(!rest.contains(strange), "`{path}` has more than plain segments and {{model}}");
        ensure!(
            taken.insert((route.method.to_string(), path.to_owned())),
            "{} {path} is taken",
            route.method
        );
    }
    let mut bases = BTreeSet::new();
    for base in about.aliases.iter().map(|alias| alias.base()) {
        let plain = base.bytes().all(|letter| letter.is_ascii_graphic() && !b"?#{}\\%".contains(&letter));
        let fine = base.is_empty() || base.starts_with('/') && !base.ends_with('/') && !base.contains("//");
        ensure!(fine && plain, "the alias `{base}` is no base path");
        ensure!(bases.insert(base), "the alias `{base}` is listed twice");
    }
    // At the root stands what the host itself serves.
    let of_ours = ["/admin", "/healthz", "/metrics", "/readyz", "/status"];
    for path in about.endpoints.iter().map(|route| route.path).chain(bases) {
        let first = path.get(1..).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        ensure!(!of_ours.iter().any(|own| own[1..] == *first), "`{path}` is the host's at the root");
    }
    for route in about.endpoints.iter().filter(|route| route.open) {
        let local = matches!(route.operation, Operation::Local(_));
        ensure!(local, "{} would go upstream for anybody, without a key", route.path);
    }
    Ok(())
}

fn login(subject: &Subject) -> Finding {
    let Some(login) = &subject.provider.descriptor().login else { return Ok(()) };
    let url = Url::parse(&login.authorize).map_err(|error| format!("`{}`: {error}", login.authorize))?;
    ensure!(matches!(url.scheme(), "http" | "https"), "`{}` is no web address", login.authorize);
    for key in ["state", "redirect_uri", "code_challenge", "code_challenge_method"] {
        ensure!(url.query_pairs().all(|(name, _)| name != key), "`{key}` is the host's to set");
    }
    for key in ["client_id", "response_type"] {
        let set = url.query_pairs().any(|(name, value)| name == key && !value.is_empty());
        ensure!(set, "the authorize address has no `{key}`");
    }
    let secret = url.query_pairs().any(|(name, _)| name == "client_secret");
    ensure!(!secret, "the client's secret would stand in the browser's address bar");
    let (path, ports): (&str, &[u16]) = match &login.redirect {
        Redirect::Here { path, .. } => (path, &[1]),
        Redirect::Loopback(ports, path) => (path, ports),
        Redirect::Page(page) => {
            let fine = Url::parse(page).is_ok_and(|page| matches!(page.scheme(), "http" | "https"));
            ensure!(fine, "`{page}` is no web address");
            return Ok(());
        }
    };
    let plain =
        path.len() > 1 && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    ensure!(path.starts_with('/') && plain, "the browser cannot come back to `{path}`");
    ensure!(!ports.is_empty() && !ports.contains(&0), "there is no port to come back to");
    Ok(())
}

fn request_headers(subject: &Subject) -> Finding {
    let of_ours =
        ["authorization", "cookie", "x-goog-api-key", "x-api-key", "api-key", "proxy-authorization"];
    let framing =
        ["host", "connection", "upgrade", "te", "accept-encoding", "content-encoding", "content-type"];
    header_list(subject.provider.descriptor().request_headers, &[&of_ours[..], &framing, &FRAMING].concat())
}

fn reply_headers(subject: &Subject) -> Finding {
    let more =
        ["set-cookie", "set-cookie2", "content-encoding", "content-type", "www-authenticate", "retry-after"];
    header_list(subject.provider.descriptor().reply_headers, &[&more[..], &FRAMING].concat())
}

const FRAMING: [&str; 7] = [
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "trailer",
    "proxy-connection",
    "upgrade",
    "connection",
];

fn header_list(patterns: &[&str], never: &[&str]) -> Finding {
    for pattern in patterns {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        ensure!(
            HeaderName::from_lowercase(name.as_bytes()).is_ok(),
            "`{pattern}` is no lower-case header name"
        );
        let wide = name.len() < pattern.len() && name.len() < 4;
        ensure!(!wide, "`{pattern}` lets nearly everything through");
        let caught = never.iter().find(|never| matches(pattern, never));
        ensure!(caught.is_none(), "`{pattern}` lets `{}` through", caught.unwrap_or(&""));
    }
    Ok(())
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn models(subject: &Subject) -> Finding {
    let models = &subject.provider.descriptor().models;
    for (at, model) in models.iter().enumerate() {
        ensure!(!model.id.trim().is_empty(), "a model has no id");
        let twin = models[..at].iter().any(|other| other.id == model.id);
        ensure!(!twin, "`{}` is listed twice", model.id);
    }
    for wanted in subject.samples.config["model_list"].as_array().into_iter().flatten() {
        let offered = models.iter().any(|model| wanted == model.id.as_str());
        ensure!(offered, "{wanted} is configured and not offered");
    }
    for (index, call) in subject.upstream()? {
        let offered = call.model.is_empty() || models.iter().any(|model| model.id == call.model);
        ensure!(
            offered,
            "call {index} is for `{}`, which the sample configuration does not offer",
            call.model
        );
    }
    Ok(())
}

fn bad_config(subject: &Subject) -> Finding {
    for section in &subject.samples.bad_config {
        let Err(error) = subject.build(section.clone()) else {
            return Err(format!("it builds from the bad configuration {section}"));
        };
        let text = error.to_string();
        let mut keys = Vec::new();
        leaves(section, &mut keys);
        // What is missing stands in no key of the section.
        let named = keys.is_empty() || keys.iter().any(|key| error.message.contains(key.as_str()));
        ensure!(named, "{section}: no key is named in `{text}`");
    }
    Ok(())
}

/// The keys that hold values, not further keys.
fn leaves(section: &Value, keys: &mut Vec<String>) {
    for (key, value) in section.as_object().into_iter().flatten() {
        if value.is_object() { leaves(value, keys) } else { keys.push(key.clone()) }
    }
}

fn unknown_key(subject: &Subject) -> Finding {
    let key = "of_no_provider";
    let Err(error) = subject.build(subject.config_with(key, 1)) else {
        return Err(format!(
            "it builds with the unknown key `{key}`: a misspelt one would do nothing, silently"
        ));
    };
    ensure!(error.message.contains(key), "`{key}` is not named in `{error}`");
    Ok(())
}
