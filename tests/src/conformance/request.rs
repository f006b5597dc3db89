//! Requests on their way upstream.

use super::{
    Check, Finding,
    damage::{cuts, noise, too_deep},
    subject::{Subject, told},
};
use bytes::Bytes;
use pollux_sdk::{
    Attempt, Call, Credential, HeaderMap, Lease, Method, Operation, Payload, Provider, Refusal, Secret,
    Shape, mentions,
};
use serde_json::{Value, json};
use url::Url;

pub(super) const CHECKS: &[Check] = &[
    ("a request's model is seen before an account is chosen", probe),
    ("each sample call becomes a request", prepares),
    ("a request shows its token in sensitive headers only", token),
    ("requests go to the configured `api_url`", api_url),
    ("the same call becomes the same request", deterministic),
    ("unknown members of a body go upstream byte for byte", unknown_members),
    ("a request leaves framing to the host", framing),
    ("a request claims to be of no other client", claims),
    ("a socket is opened without a body, where sockets are offered", sockets),
    ("a frame becomes the same frame, and holds no token", frames),
    ("a client's wrong body is never the credential's fault", wrong_bodies),
    ("an unusable token is never the client's fault", unusable_tokens),
    ("nothing shows a token where it is printed", printed),
];

fn attempt(provider: &dyn Provider, index: usize, call: &Call, lease: &Lease<'_>) -> Result<Attempt, String> {
    provider.prepare(call, lease).map_err(|error| told(index, &error))
}

fn attempts(subject: &Subject) -> Result<Vec<(usize, Attempt)>, String> {
    let prepare = |(index, call)| Ok((index, attempt(&*subject.provider, index, &call, &subject.lease())?));
    subject.upstream()?.into_iter().map(prepare).collect()
}

fn probe(subject: &Subject) -> Finding {
    for (index, call) in subject.upstream()? {
        let facts = subject.facts(index, &call.endpoint, &call.body);
        let seen = facts.model.unwrap_or_default();
        ensure!(seen == call.model, "call {index} is for `{}`, and `probe` sees `{seen}`", call.model);
        for cut in cuts(call.body.bytes()) {
            subject.facts(index, &call.endpoint, &Payload::new(cut));
        }
    }
    Ok(())
}

fn prepares(subject: &Subject) -> Finding {
    for (index, call) in subject.upstream()? {
        for moved in [false, true] {
            let attempt = attempt(&*subject.provider, index, &call, &Lease::new(&subject.credential, moved))?;
            let (wanted, given) = (call.shape, attempt.answers);
            let fits = match wanted {
                Shape::Socket => given == Shape::Socket,
                _ => given == Shape::Events || given == Shape::Whole && wanted == Shape::Whole,
            };
            ensure!(fits, "call {index} wants {wanted:?}, and its answer comes as {given:?}");
        }
    }
    Ok(())
}

fn token(subject: &Subject) -> Finding {
    for (index, attempt) in attempts(subject)? {
        let request = attempt.request;
        let mut carried = false;
        for secret in subject.secrets() {
            ensure!(!request.url.contains(secret), "call {index} has a token in its address");
            ensure!(!mentions(&request.body, secret), "call {index} has a token in its body");
            for (name, value) in
                request.headers.iter().filter(|(_, value)| mentions(value.as_bytes(), secret))
            {
                ensure!(
                    value.is_sensitive(),
                    "`{name}` of call {index} has a token and is not marked as sensitive"
                );
                carried = true;
            }
        }
        ensure!(carried, "call {index} goes without the account's token");
    }
    Ok(())
}

fn api_url(subject: &Subject) -> Finding {
    let base = "http://127.0.0.1:9/base";
    for given in [base.to_owned(), format!("{base}/")] {
        let provider = subject.build(subject.config_with("api_url", given.as_str()));
        let provider = provider.map_err(|error| format!("it does not take `api_url`: {error}"))?;
        for (index, call) in subject.upstream()? {
            let request = attempt(&*provider, index, &call, &subject.lease())?.request;
            let rest = request.url.strip_prefix(base);
            let inside = rest.is_some_and(|rest| rest.starts_with('/') && !rest.starts_with("//"));
            ensure!(inside, "with `{given}` call {index} goes to {request:?}");
            ensure!(Url::parse(&request.url).is_ok(), "call {index} goes to no address: {request:?}");
        }
    }
    Ok(())
}

fn deterministic(subject: &Subject) -> Finding {
    for ((index, first), (_, second)) in attempts(subject)?.into_iter().zip(attempts(subject)?) {
        let (first, second) = (first.request, second.request);
        let same = (&first.method, &first.url, &first.headers, &first.body)
            == (&second.method, &second.url, &second.headers, &second.body);
        ensure!(same, "call {index} becomes {first:?} and then {second:?}");
    }
    Ok(())
}

/// A number that any JSON library would write otherwise, under a name that no vendor has.
const UNKNOWN: &str = r#""of_no_vendor":1.50e+01"#;

fn unknown_members(subject: &Subject) -> Finding {
    for (index, call) in subject.upstream()? {
        // A count is of what the vendor knows; its form may differ from the request's.
        if call.endpoint.operation == Operation::CountTokens {
            continue;
        }
        let Some(mut body) = subject.samples.calls[index].body.clone().filter(Value::is_object) else {
            continue;
        };
        let added = add_unknown(&mut body);
        let body = body.to_string().replace(r#""of_no_vendor":0"#, UNKNOWN);
        let call = subject.call_of(index, body.into())?;
        let sent = sent(subject, &call, &subject.lease()).map_err(|error| told(index, &error))?;
        let found = String::from_utf8_lossy(&sent).matches(UNKNOWN).count();
        ensure!(
            found == added,
            "of {added} unknown members of call {index}, {found} go upstream as they came"
        );
    }
    Ok(())
}

/// The body that goes upstream: a request's, or a socket's frame.
fn sent(subject: &Subject, call: &Call, lease: &Lease<'_>) -> Result<Bytes, Refusal> {
    if call.shape == Shape::Socket {
        return subject.provider.frame(call, lease);
    }
    subject.provider.prepare(call, lease).map(|attempt| attempt.request.body)
}

/// The handshake is made before anything is asked; a sample call's body is a frame that follows.
fn sockets(subject: &Subject) -> Finding {
    let mut calls = subject.upstream()?;
    calls.retain(|(_, call)| call.shape == Shape::Socket);
    let offered = subject.provider.opens_sockets();
    ensure!(
        offered != calls.is_empty(),
        "it opens sockets: {offered}; sample calls of sockets: {}",
        calls.len()
    );
    for (index, call) in calls {
        let bare = Call { body: Payload::default(), ..call };
        let Attempt { request, answers, .. } = attempt(&*subject.provider, index, &bare, &subject.lease())?;
        ensure!(answers == Shape::Socket, "call {index} is answered in the shape {answers:?}");
        let plain = request.method == Method::GET && request.body.is_empty();
        ensure!(plain, "the handshake of call {index} is no GET without a body: {request:?}");
    }
    Ok(())
}

fn frames(subject: &Subject) -> Finding {
    for (index, call) in subject.upstream()? {
        if call.shape != Shape::Socket {
            continue;
        }
        for moved in [false, true] {
            let lease = Lease::new(&subject.credential, moved);
            let frame = || sent(subject, &call, &lease).map_err(|error| told(index, &error));
            let (first, second) = (frame()?, frame()?);
            ensure!(first == second, "the frame of call {index} becomes another one the second time");
            ensure!(Payload::new(first.clone()).is_object(), "the frame of call {index} is no JSON object");
            subject.is_clean(&format!("the frame of call {index}"), &String::from_utf8_lossy(&first))?;
        }
    }
    Ok(())
}

/// Adds one to each object and counts them.
fn add_unknown(value: &mut Value) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(add_unknown).sum(),
        Value::Object(members) => {
            let inside: usize = members.values_mut().map(add_unknown).sum();
            members.insert("of_no_vendor".to_owned(), json!(0));
            inside + 1
        }
        _ => 0,
    }
}

fn framing(subject: &Subject) -> Finding {
    // The gateway's HTTP client reads what it asked for; an answer compressed behind its back would be noise.
    let of_the_host = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "cookie",
        "proxy-authorization",
        "content-encoding",
    ];
    for (index, attempt) in attempts(subject)? {
        for name in of_the_host {
            ensure!(!attempt.request.headers.contains_key(name), "call {index} sets `{name}`");
        }
    }
    Ok(())
}

fn claims(subject: &Subject) -> Finding {
    if subject.samples.config.get("user_agent").is_some() {
        return Ok(());
    }
    for (index, call) in subject.upstream()? {
        let anonymous = Call { headers: HeaderMap::new(), ..call };
        let request = attempt(&*subject.provider, index, &anonymous, &subject.lease())?.request;
        let agent = request.headers.get("user-agent");
        ensure!(
            agent.is_none(),
            "call {index} says it is {agent:?}, and neither the client nor the owner did"
        );
    }
    Ok(())
}

fn wrong_bodies(subject: &Subject) -> Finding {
    for (index, call) in subject.upstream()? {
        let whole = call.body.bytes().clone();
        let deep = call.body.keys().map(|key| too_deep(&key)).collect::<Vec<Bytes>>();
        let bodies = cuts(&whole).chain(noise()).chain(deep).chain(wrong_types(&whole));
        for body in bodies {
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let wrong = Call { body: Payload::new(body), ..subject.call(index)? };
            match sent(subject, &wrong, &subject.lease()) {
                Err(Refusal::Credential(reason)) => {
                    return Err(format!(
                        "call {index} with the body `{start}` takes the account out: {reason}"
                    ));
                }
                Err(Refusal::Request(text)) => {
                    ensure!(
                        !text.trim().is_empty(),
                        "call {index} with the body `{start}` is refused without a word"
                    );
                }
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

fn wrong_types(body: &Bytes) -> Vec<Bytes> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    super::damage::variants(&body).iter().map(|odd| odd.to_string().into()).collect()
}

fn unusable_tokens(subject: &Subject) -> Finding {
    for token in [None, Some("two\nlines-of-conformance")] {
        let credential = Credential { access: token.map(Secret::new), ..subject.credential.clone() };
        for (index, call) in subject.upstream()? {
            match subject.provider.prepare(&call, &Lease::new(&credential, false)) {
                Err(Refusal::Credential(reason)) => {
                    ensure!(!reason.text.contains("of-conformance"), "the reason quotes the token");
                }
                Err(Refusal::Request(text)) => {
                    return Err(format!("call {index} with the token {token:?} blames the client: {text}"));
                }
                Ok(_) => return Err(format!("call {index} is prepared with the token {token:?}")),
            }
        }
    }
    Ok(())
}

fn printed(subject: &Subject) -> Finding {
    for (index, attempt) in attempts(subject)? {
        subject.is_clean(
            "an attempt",
            &format!("{attempt:?} {:?} {:?}", attempt.request, attempt.request.headers),
        )?;
        for header in attempt.request.headers.keys() {
            subject.is_clean(&format!("a header name of call {index}"), header.as_str())?;
        }
    }
    for file in &subject.samples.files {
        let Some(credential) = subject.provider.import(file) else { continue };
        let told = format!("{:?} {:?}", credential.subject, credential.label);
        let tokens = [&credential.access, &credential.refresh].into_iter().flatten();
        // A token of a letter or two would be found in any text.
        let mut long = tokens.map(Secret::expose).filter(|token| token.len() >= 4);
        ensure!(!long.any(|token| told.contains(token)), "subject and label are printed, and hold a token");
    }
    subject.is_clean("the descriptor", &format!("{:?}", subject.provider.descriptor()))
}
