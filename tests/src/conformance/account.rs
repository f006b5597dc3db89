//! Files in and out, enrolment and surveys.

use super::{
    Check, Finding,
    damage::{ODD_TEXTS, noise, variants},
    samples::headers,
    script::{Script, now, run},
    subject::Subject,
};
use pollux_sdk::{
    Account, AccountError, Credential, HeaderMap, Operation, PoolView, Quota, Recognition, Request, Secret,
    mentions,
};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

pub(super) const CHECKS: &[Check] = &[
    ("it takes each of its credential files and no subject from them", takes_files),
    ("it takes no foreign file", foreign),
    ("it recognises the files that it takes, and no others", recognition),
    ("no damage to a file makes it panic", damaged_files),
    ("an export is found again by an import", round_trip),
    ("an export makes a whole file from nothing", from_nothing),
    ("an export leaves the foreign members of a file alone", foreign_members),
    ("enrolment spends no token", enrolment_spends_nothing),
    ("enrolment comes to an end", enrolment_ends),
    ("enrolment keeps the tokens", enrolment_keeps),
    ("silence while enrolling, surveying or asking for a code is a passing trouble", silence),
    ("no answer to enrolment or survey makes it panic", odd_answers),
    ("quota headers are read as the samples say", quotas),
    ("no quota header makes it panic or use more than all", odd_quotas),
    ("local answers show no token", local_answers),
];

fn takes_files(subject: &Subject) -> Finding {
    for file in &subject.samples.files {
        let credential = take(subject, file)?;
        ensure!(credential.subject.is_none(), "the subject of {file} is known before enrolment");
        for token in tokens(&credential) {
            ensure!(holds(file, token), "a token of the credential does not stand in {file}");
        }
        ensure!(!tokens(&credential).is_empty(), "no token comes from {file}");
    }
    Ok(())
}

fn take(subject: &Subject, file: &Value) -> Result<Credential, String> {
    subject.provider.import(file).ok_or_else(|| format!("`import` does not take {file}"))
}

fn tokens(credential: &Credential) -> Vec<&str> {
    [&credential.access, &credential.refresh].into_iter().flatten().map(Secret::expose).collect()
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.trim() == text,
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(members) => members.values().any(|item| holds(item, text)),
        _ => false,
    }
}

fn foreign(subject: &Subject) -> Finding {
    let fixed = [
        json!(null),
        json!(true),
        json!(12),
        json!("a text"),
        json!([]),
        json!({}),
        json!([{}]),
        json!([[]]),
        json!({"": ""}),
        json!({"name": "package", "version": "1.0.0", "scripts": {"test": "true"}}),
        json!({"of_no_vendor": "x", "of_no_vendor_either": {"x": ["y"]}}),
    ];
    // A file of the vendor's whose texts are all gone has no token in it.
    let emptied = subject.samples.files.iter().flat_map(|file| {
        [json!(""), json!(null), json!(7)].map(|nothing| {
            let mut file = file.clone();
            replace_texts(&mut file, &nothing);
            file
        })
    });
    for file in fixed.into_iter().chain(emptied) {
        ensure!(subject.provider.import(&file).is_none(), "`import` takes {file}");
    }
    Ok(())
}

fn recognition(subject: &Subject) -> Finding {
    let provider = &subject.provider;
    let foreign = [json!(null), json!({}), json!({"of_no_vendor": "x"})];
    let emptied = subject.samples.files.iter().cloned().map(|mut file| {
        replace_texts(&mut file, &json!(""));
        file
    });
    for file in subject.samples.files.iter().cloned().chain(emptied).chain(foreign) {
        let taken = provider.import(&file);
        let recognition = provider.recognise(&file);
        let usable = !matches!(recognition, Recognition::Foreign | Recognition::Unusable(_));
        ensure!(usable == taken.is_some(), "{file} is {recognition:?}, and `import` says otherwise");
        if let (Recognition::Replaces(member), Some(credential)) = (&recognition, &taken) {
            ensure!(credential.extra.contains_key(*member), "{file} has no `{member}` to replace others by");
        }
        if let Recognition::Unusable(reason) = &recognition {
            let quoted = long_texts(&file).into_iter().any(|text| reason.text.contains(&text));
            ensure!(!quoted, "the reason against {file} quotes it");
        }
    }
    Ok(())
}

/// Texts of a file that are long enough to be tokens.
fn long_texts(file: &Value) -> Vec<String> {
    match file {
        Value::String(text) if text.len() >= 16 => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(long_texts).collect(),
        Value::Object(members) => members.values().flat_map(long_texts).collect(),
        _ => Vec::new(),
    }
}

fn replace_texts(value: &mut Value, with: &Value) {
    match value {
        Value::String(_) => *value = with.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_texts(item, with)),
        Value::Object(members) => members.values_mut().for_each(|item| replace_texts(item, with)),
        _ => {}
    }
}

fn damaged_files(subject: &Subject) -> Finding {
    for file in subject.samples.files.iter().flat_map(variants) {
        let mut target = file.clone();
        let Some(credential) = subject.provider.import(&file) else {
            subject.provider.export(&subject.credential, &mut target);
            continue;
        };
        subject.provider.export(&credential, &mut target);
        ensure!(
            tokens(&credential).iter().any(|token| !token.trim().is_empty()),
            "no token comes from {file}"
        );
    }
    Ok(())
}

/// The credential of `file` after a refresh.
fn renewed(subject: &Subject, file: &Value) -> Result<Credential, String> {
    let old = take(subject, file)?;
    let new = |old: Option<Secret>, text: &str| old.map(|_| Secret::new(text));
    let (access, refresh) =
        (new(old.access.clone(), "renewed-access"), new(old.refresh.clone(), "renewed-refresh"));
    let expires_at = old.expires_at.map(|_| UNIX_EPOCH + Duration::from_secs(1_795_003_600));
    Ok(Credential { access, refresh, expires_at, ..old })
}

fn round_trip(subject: &Subject) -> Finding {
    for file in &subject.samples.files {
        let credential = renewed(subject, file)?;
        let mut written = file.clone();
        subject.provider.export(&credential, &mut written);
        let read = take(subject, &written)?;
        let same = read.access == credential.access && read.refresh == credential.refresh;
        ensure!(same, "new tokens written into {file} are not those that are read from it afterwards");
    }
    Ok(())
}

fn from_nothing(subject: &Subject) -> Finding {
    let mut file = Value::Null;
    subject.provider.export(&subject.credential, &mut file);
    let read =
        subject.provider.import(&file).ok_or("`import` does not take what `export` makes of `null`")?;
    let same = read.refresh == subject.credential.refresh && read.access == subject.credential.access;
    ensure!(same, "the tokens that `export` writes into a new file are not those that `import` reads");
    Ok(())
}

fn foreign_members(subject: &Subject) -> Finding {
    let stranger = json!({"of_no_vendor": [1, {"deep": null}], "text": "x"});
    for file in &subject.samples.files {
        let mut file = file.clone();
        if let Some(members) = file.as_object_mut() {
            members.insert("of_no_vendor".to_owned(), stranger.clone());
            for inner in members.values_mut().filter_map(Value::as_object_mut) {
                inner.insert("of_no_vendor".to_owned(), stranger.clone());
            }
        }
        let credential = renewed(subject, &file)?;
        let mut written = file.clone();
        subject.provider.export(&credential, &mut written);
        let lost = lost_member(&file, &written, "");
        ensure!(lost.is_none(), "`{}` of a file is lost in an export", lost.unwrap_or_default());
    }
    Ok(())
}

/// The path of a foreign member that `after` has no more, or other than `before`.
fn lost_member(before: &Value, after: &Value, path: &str) -> Option<String> {
    before.as_object()?.iter().find_map(|(key, value)| {
        let path = format!("{path}/{key}");
        match after.get(key) {
            Some(same) if same == value => None,
            Some(other) if value.is_object() => lost_member(value, other, &path),
            // Its own members may change or go.
            _ => (key == "of_no_vendor").then_some(path),
        }
    })
}

/// Worlds that refuse, stall or talk nonsense.
fn worlds() -> Vec<Script> {
    let operation = json!({"name": "operations/1", "id": "1", "done": false, "status": "pending"});
    let mut worlds: Vec<Script> = [200, 400, 401, 403, 404, 429, 500, 503]
        .into_iter()
        .map(|status| Script::replying(status, "{}"))
        .collect();
    worlds.push(Script::replying(200, operation.to_string()));
    worlds.push(Script::replying(200, "<html>"));
    worlds.extend([true, false].map(Script::unreachable));
    worlds
}

fn enroll(subject: &Subject, world: &Script) -> Result<Result<Vec<Credential>, AccountError>, String> {
    run(subject.provider.enroll(world, subject.credential.clone()))
}

fn enrolment_spends_nothing(subject: &Subject) -> Finding {
    let Some(refresh) = &subject.credential.refresh else { return Ok(()) };
    for world in worlds() {
        // Whether it ends is another matter.
        let _ = enroll(subject, &world);
        let _ = run(subject.provider.survey(&world, &subject.credential));
        for request in world.sent() {
            ensure!(!carries(&request, refresh.expose()), "{request:?} carries the refresh token");
        }
    }
    Ok(())
}

/// Whether a text stands anywhere in a request.
pub(super) fn carries(request: &Request, text: &str) -> bool {
    let headers = request.headers.values().any(|value| mentions(value.as_bytes(), text));
    headers || request.url.contains(text) || mentions(&request.body, text)
}

fn enrolment_ends(subject: &Subject) -> Finding {
    for world in worlds() {
        enroll(subject, &world).map_err(|text| format!("`enroll`: {text}"))?.ok();
        run(subject.provider.survey(&world, &subject.credential))
            .map_err(|text| format!("`survey`: {text}"))?
            .ok();
    }
    Ok(())
}

fn enrolment_keeps(subject: &Subject) -> Finding {
    for world in worlds() {
        let Ok(Ok(accounts)) = enroll(subject, &world) else { continue };
        ensure!(!accounts.is_empty(), "an enrolment that succeeds gives no account");
        for account in accounts {
            let same =
                account.refresh == subject.credential.refresh && account.access == subject.credential.access;
            ensure!(same, "an enrolled account has not the tokens of its login");
        }
    }
    Ok(())
}

fn silence(subject: &Subject) -> Finding {
    for sent in [false, true] {
        let world = Script::unreachable(sent);
        let errors = [
            ("enroll", run(subject.provider.enroll(&world, subject.credential.clone()))?.err()),
            ("survey", run(subject.provider.survey(&world, &subject.credential))?.err()),
            ("device", run(subject.provider.device(&world))?.err().filter(|error| !is_unsupported(error))),
        ];
        for (operation, error) in errors {
            let passing = error.as_ref().is_none_or(|error| matches!(error, AccountError::Transient(_)));
            ensure!(
                passing,
                "`{operation}` makes `{error:?}` of a reply that did not come: it may be repeated"
            );
        }
    }
    Ok(())
}

/// Not every vendor has a login by code.
fn is_unsupported(error: &AccountError) -> bool {
    matches!(error, AccountError::Suspend(reason) if reason.code == "unsupported")
}

fn odd_answers(subject: &Subject) -> Finding {
    let answer =
        json!({"id": "1", "sub": "1", "name": "operations/1", "done": true, "plan_type": "x", "models": []});
    let odd = variants(&answer).into_iter().map(|odd| odd.to_string().into());
    for body in noise().into_iter().chain(odd) {
        let world = Script::replying(200, body);
        enroll(subject, &world)?.ok();
        run(subject.provider.survey(&world, &subject.credential))?.ok();
        if let Ok(device) = run(subject.provider.device(&world))? {
            run(subject.provider.approval(&world, &device))?.ok();
        }
    }
    Ok(())
}

fn quotas(subject: &Subject) -> Finding {
    ensure!(subject.provider.quota(&HeaderMap::new()).is_none(), "it reads a quota from no header at all");
    for sample in &subject.samples.quotas {
        let read = subject.provider.quota(&headers(&sample.headers)).unwrap_or_default();
        let expected = sample.windows.iter().map(|window| pollux_sdk::Window {
            length: window.length.map(Duration::from_secs),
            model: window.model.clone(),
            used: window.used,
            resets_at: window.resets_at.map(|at| UNIX_EPOCH + Duration::from_secs(at)),
        });
        let expected = Quota { windows: expected.collect() };
        ensure!(read == expected, "`{}` is read as {read:?} and not as {expected:?}", sample.name);
    }
    Ok(())
}

fn odd_quotas(subject: &Subject) -> Finding {
    for sample in &subject.samples.quotas {
        for name in sample.headers.keys() {
            for odd in ODD_TEXTS {
                let mut of = sample.headers.clone();
                of.insert(name.clone(), odd.to_owned());
                let quota = subject.provider.quota(&headers(&of)).unwrap_or_default();
                for window in quota.windows {
                    let sane = window.used.is_none_or(|used| (0.0..=1.0).contains(&used));
                    ensure!(sane, "`{name}: {odd}` makes the used share {:?}", window.used);
                }
            }
        }
    }
    Ok(())
}

fn local_answers(subject: &Subject) -> Finding {
    let quota = Quota::default();
    let account = Account { credential: &subject.credential, usable: true, quota: &quota };
    let models = &subject.provider.descriptor().models;
    let routes = subject.routes();
    let local = routes
        .iter()
        .filter(|route| matches!(route.operation, Operation::Models | Operation::Local(_)))
        .map(|route| (route, ""));
    let sampled = subject.samples.calls.iter().filter_map(|call| {
        let route = routes.iter().find(|route| route.path == call.path && route.method == *call.method)?;
        Some((route, call.query.as_str()))
    });
    for (route, query) in local.chain(sampled) {
        for accounts in [&[][..], std::slice::from_ref(&account)] {
            let view = PoolView { accounts, models, now: now() };
            let call = pollux_sdk::Call {
                endpoint: route.clone(),
                dialect: route.dialect,
                model: String::new(),
                shape: pollux_sdk::Shape::Whole,
                query: query.to_owned(),
                headers: HeaderMap::new(),
                body: pollux_sdk::Payload::default(),
            };
            let Some(reply) = subject.provider.answer(&call, &view) else { continue };
            let told = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
            subject.is_clean(&format!("the answer to {} {}", route.method, route.path), &told)?;
        }
    }
    Ok(())
}
