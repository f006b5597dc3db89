//! The token endpoint: what a provider sends there, and what it makes of the reply.

use super::{
    Check, Finding,
    damage::{cuts, noise, variants},
    samples::{GrantSample, wire},
    script::{Script, run},
    subject::Subject,
};
use pollux_sdk::{AccountError, Credential, Grant, Secret};
use serde_json::Value;

pub(super) const CHECKS: &[Check] = &[
    ("each sample grant comes out as it says", samples),
    ("a grant takes one call at most", one_call),
    ("no secret stands in the address of a token request", address),
    ("a token request that never left is a passing trouble", unsent),
    ("a token request that got no reply may have been spent", unanswered),
    ("a broken token endpoint costs no account", broken),
    ("a success that cannot be read may have spent the token", unreadable),
    ("no reply of a token endpoint makes it panic", odd),
    ("no error of a token endpoint quotes a token", quotes_nothing),
];

const CODE: &str = "code-of-conformance";
const VERIFIER: &str = "verifier-of-conformance";

type Granted = Result<Credential, AccountError>;

fn refresh(subject: &Subject, world: &Script) -> Result<Granted, String> {
    run(subject.provider.obtain(world, Grant::Refresh(&subject.credential)))
}

fn login(subject: &Subject, world: &Script) -> Result<Granted, String> {
    let redirect_uri = "http://127.0.0.1:8188/callback";
    run(subject
        .provider
        .obtain(world, Grant::Code { code: CODE, state: "state", verifier: VERIFIER, redirect_uri }))
}

/// Whether there is a token endpoint at all: an account that is a key has none.
fn renews(subject: &Subject) -> bool {
    !subject.samples.grants.is_empty()
}

fn logs_in(subject: &Subject) -> bool {
    subject.provider.descriptor().login.is_some()
}

fn world(sample: &GrantSample) -> Script {
    Script::replying(sample.status, wire(sample.body.as_ref()))
}

/// As the samples call it, with the reason's code.
fn named(error: &AccountError) -> (&'static str, Option<&str>) {
    match error {
        AccountError::Suspend(reason) => ("suspend", Some(&*reason.code)),
        AccountError::Transient(_) => ("transient", None),
        AccountError::Unsure(_) => ("unsure", None),
    }
}

fn samples(subject: &Subject) -> Finding {
    for sample in &subject.samples.grants {
        let name = &sample.name;
        let granted = refresh(subject, &world(sample))?;
        match (&granted, &sample.gives) {
            (Ok(new), Some(gives)) => {
                let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
                ensure!(
                    text(&new.access) == gives.access,
                    "`{name}` gives another access token than it says"
                );
                ensure!(
                    text(&new.refresh) == gives.refresh,
                    "`{name}` gives another refresh token than it says"
                );
                let past =
                    new.access.is_some() && new.expires_at.is_some_and(|end| end < super::script::now());
                ensure!(!past, "the token that `{name}` gives has expired already");
            }
            (Err(error), None) => {
                let (kind, code) = named(error);
                let expected = (sample.error.as_deref().unwrap_or_default(), sample.code.as_deref());
                ensure!(
                    (kind, code) == expected,
                    "`{name}` comes out as {kind} {code:?}, not as {expected:?}"
                );
            }
            (Ok(_), None) => return Err(format!("`{name}` succeeds")),
            (Err(error), Some(_)) => return Err(format!("`{name}` fails: {error}")),
        }
    }
    Ok(())
}

fn one_call(subject: &Subject) -> Finding {
    for sample in &subject.samples.grants {
        let (refreshing, entering) = (world(sample), world(sample));
        let _ = refresh(subject, &refreshing);
        let _ = login(subject, &entering);
        for (world, what) in [(refreshing, "a refresh"), (entering, "a code")] {
            let calls = world.sent().len();
            ensure!(
                calls <= 1,
                "`{}`: {what} takes {calls} calls; only its answer is stored at once",
                sample.name
            );
        }
    }
    Ok(())
}

fn address(subject: &Subject) -> Finding {
    let mut secrets = subject.secrets();
    secrets.extend([CODE, VERIFIER]);
    for sample in &subject.samples.grants {
        let world = world(sample);
        let _ = refresh(subject, &world);
        let _ = login(subject, &world);
        for request in world.sent() {
            let shown = secrets.iter().any(|secret| request.url.contains(secret));
            ensure!(!shown, "a token, a code or a verifier stands in the address {request:?}");
        }
    }
    Ok(())
}

fn unsent(subject: &Subject) -> Finding {
    unreachable(subject, false, |error| matches!(error, AccountError::Transient(_)))
}

fn unanswered(subject: &Subject) -> Finding {
    unreachable(subject, true, |error| matches!(error, AccountError::Unsure(_)))
}

fn unreachable(subject: &Subject, sent: bool, fine: fn(&AccountError) -> bool) -> Finding {
    let mut outcomes = Vec::new();
    if renews(subject) {
        outcomes.push(("a refresh", refresh(subject, &Script::unreachable(sent))?));
    }
    if logs_in(subject) {
        outcomes.push(("a code", login(subject, &Script::unreachable(sent))?));
    }
    for (what, outcome) in outcomes {
        let Err(error) = outcome else { return Err(format!("{what} succeeds without a reply")) };
        ensure!(fine(&error), "{what} without a reply (sent: {sent}) comes out as {:?}", named(&error).0);
    }
    Ok(())
}

fn broken(subject: &Subject) -> Finding {
    if !renews(subject) {
        return Ok(());
    }
    for status in [429, 500, 501, 502, 503, 504, 520, 529, 599] {
        for body in ["", "{}", "<html>", "null"] {
            let outcome = refresh(subject, &Script::replying(status, body))?;
            let Err(error) = outcome else { return Err(format!("{status} {body:?} counts as a success")) };
            let passing = matches!(error, AccountError::Transient(_));
            ensure!(passing, "{status} {body:?} comes out as {:?}", named(&error).0);
        }
    }
    Ok(())
}

fn unreadable(subject: &Subject) -> Finding {
    for sample in subject.samples.grants.iter().filter(|sample| sample.gives.is_some()) {
        for body in cuts(&wire(sample.body.as_ref())).chain(["<html>".into(), "null".into(), "[]".into()]) {
            let outcome = refresh(subject, &Script::replying(sample.status, body.clone()))?;
            let unsure = matches!(outcome, Err(AccountError::Unsure(_)));
            ensure!(unsure, "`{}`, broken off after {} bytes, is not unsure", sample.name, body.len());
        }
    }
    Ok(())
}

fn odd(subject: &Subject) -> Finding {
    for sample in &subject.samples.grants {
        for body in sample.body.iter().flat_map(variants) {
            let _ = refresh(subject, &Script::replying(sample.status, wire(Some(&body))))?;
            let _ = login(subject, &Script::replying(sample.status, wire(Some(&body))))?;
        }
    }
    for body in noise() {
        for status in [200, 400, 401] {
            let _ = refresh(subject, &Script::replying(status, body.clone()))?;
        }
    }
    Ok(())
}

/// Where a reply's shape is not as expected, its tokens are still tokens.
fn quotes_nothing(subject: &Subject) -> Finding {
    const TOKEN: &str = "new-token-of-conformance";
    for sample in subject.samples.grants.iter().filter(|sample| sample.gives.is_some()) {
        let mut body = sample.body.clone().unwrap_or_default();
        let given = sample.gives.iter().flat_map(|gives| [&gives.access, &gives.refresh]).flatten();
        for token in given {
            wrap(&mut body, token, TOKEN);
        }
        for status in [200, 400, 401, 500] {
            let Err(error) = refresh(subject, &Script::replying(status, wire(Some(&body))))? else {
                continue;
            };
            let told = format!("{error} {error:?}");
            ensure!(!told.contains(TOKEN), "an error quotes a token out of a reply with status {status}");
            subject.is_clean("an error of the token endpoint", &told)?;
        }
    }
    Ok(())
}

/// Puts a token where a list of it was not expected.
fn wrap(value: &mut Value, token: &str, with: &str) {
    match value {
        Value::String(text) if text == token => *value = Value::Array(vec![with.into()]),
        Value::Array(items) => items.iter_mut().for_each(|item| wrap(item, token, with)),
        Value::Object(members) => members.values_mut().for_each(|item| wrap(item, token, with)),
        _ => {}
    }
}
