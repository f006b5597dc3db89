//! Drives the provider by its own samples, the way the conformance suite does.

use super::{Script, call, provider};
use pollux_sdk::{
    AccountError, At, Bytes, Cause, Credential, Effect, Event, Failure, Grant, HeaderMap, Lease, Next,
    Operation, Provider, Scope, Secret, Settings, Shape, StatusCode, Usage,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

fn samples() -> Value {
    serde_json::from_str(include_str!("../samples.json")).unwrap()
}

fn list(samples: &Value, key: &str) -> Vec<Value> {
    let list = samples[key].as_array().unwrap().clone();
    assert!(!list.is_empty(), "{key}");
    list
}

fn enrolled(samples: &Value, provider: &Arc<dyn Provider>) -> Credential {
    let mut credential = provider.import(&samples["files"][0]).unwrap();
    credential.access = samples["account"]["access"].as_str().map(Secret::new);
    credential.extra.extend(samples["account"]["extra"].as_object().unwrap().clone());
    credential
}

fn sample_call(samples: &Value, index: &Value) -> pollux_sdk::Call {
    let sample = &samples["calls"][usize::try_from(index.as_u64().unwrap()).unwrap()];
    let (operation, shape) = match sample["path"].as_str().unwrap().rsplit_once(':').unwrap().1 {
        "generateContent" => (Operation::Generate, Shape::Whole),
        "streamGenerateContent" => (Operation::Generate, Shape::Events),
        _ => (Operation::CountTokens, Shape::Whole),
    };
    call(operation, shape, &sample["body"].to_string())
}

#[test]
fn bad_configurations_name_the_key() {
    for section in list(&samples(), "bad_config") {
        let error =
            super::super::build(Settings { id: "geminicli", section: section.clone() }).err().unwrap();
        let (key, value) = section.as_object().unwrap().iter().next().unwrap();
        let key = value.as_object().map_or(key, |inner| inner.keys().next().unwrap());
        assert!(error.to_string().contains(key.as_str()), "{error}");
    }
}

#[test]
fn files_come_back_as_they_were() {
    let provider = provider(json!({}));
    for file in list(&samples(), "files") {
        let credential = provider.import(&file).unwrap();
        let mut same = file.clone();
        provider.export(&credential, &mut same);
        assert_eq!(same, file);
    }
}

#[test]
fn answers_end_and_faults_are_seen() {
    let samples = samples();
    let provider = provider(samples["config"].clone());
    let credential = enrolled(&samples, &provider);
    for (kind, end) in [("answers", At::End), ("faults", At::Fault)] {
        for sample in list(&samples, kind) {
            let attempt = provider
                .prepare(&sample_call(&samples, &sample["call"]), &Lease::new(&credential, false))
                .unwrap();
            let mut reader = attempt.reader;
            let whole = json!([{"data": sample["body"]}]);
            let events = sample.get("events").unwrap_or(&whole).as_array().unwrap();
            assert_eq!(attempt.answers == Shape::Whole, sample.get("body").is_some() || sample["call"] == 0);
            let mut at = At::Prelude;
            for event in events {
                let data = Bytes::from(event["data"].to_string());
                at = reader.read(Event { name: "", data: &data }).at;
            }
            let summary = reader.finish();
            assert_eq!(at, end, "{sample}");
            if kind == "answers" {
                assert_eq!(summary.id.as_deref(), sample["id"].as_str(), "{sample}");
                let count = |key: &str| sample["usage"][key].as_u64();
                let usage = sample.get("usage").map(|_| Usage {
                    input: count("input").unwrap(),
                    cache_read: count("cache_read"),
                    cache_write: count("cache_write"),
                    output: count("output").unwrap(),
                    reasoning: count("reasoning"),
                });
                assert_eq!(summary.usage, usage, "{sample}");
            }
        }
    }
}

#[test]
fn failures_are_judged() {
    let samples = samples();
    let provider = provider(samples["config"].clone());
    for sample in list(&samples, "failures") {
        let cause = match sample["cause"].as_str() {
            Some("event") => Cause::Event,
            Some("unsent") => Cause::Unsent,
            Some("lost") => Cause::Lost,
            _ => Cause::Status(
                StatusCode::from_u16(sample["status"].as_u64().unwrap().try_into().unwrap()).unwrap(),
            ),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in sample["headers"].as_object().into_iter().flatten() {
            let name = pollux_sdk::HeaderName::try_from(name).unwrap();
            headers.insert(name, value.as_str().unwrap().parse().unwrap());
        }
        let body = sample.get("body").map(Value::to_string).unwrap_or_default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(sample["now"].as_u64().unwrap());
        let failure = Failure { cause, headers: &headers, body: body.as_bytes(), now };
        let verdict = provider.classify(&sample_call(&samples, &sample["call"]), &failure);
        let next = match verdict.next {
            Next::Deliver => "deliver",
            Next::Rotate => "rotate",
            Next::Again(_) => "again",
        };
        let seconds = |until: SystemTime| until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (effect, until, code) = match &verdict.effect {
            Effect::None => ("none", None, None),
            Effect::Cool(Scope::Model, until) => ("cool_model", Some(seconds(*until)), None),
            Effect::Cool(Scope::Credential, until) => ("cool_credential", Some(seconds(*until)), None),
            Effect::Refresh => ("refresh", None, None),
            Effect::Suspend(reason) => ("suspend", None, Some(reason.code.to_string())),
            Effect::DropModel => ("drop_model", None, None),
            _ => ("", None, None),
        };
        let judged = json!([next, effect, until, code]);
        assert_eq!(
            judged,
            json!([sample["next"], sample["effect"], sample["until"], sample["code"]]),
            "{sample}"
        );
    }
}

#[test]
fn refreshes_end_as_told() {
    let samples = samples();
    let provider = provider(samples["config"].clone());
    let credential = enrolled(&samples, &provider);
    for sample in list(&samples, "grants") {
        let script =
            Script::of([(sample["status"].as_u64().unwrap().try_into().unwrap(), sample["body"].clone())]);
        let outcome = super::run(provider.obtain(&script, Grant::Refresh(&credential)));
        let error = match &outcome {
            Ok(fresh) => {
                let given =
                    |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
                assert_eq!(json!(given(&fresh.access)), sample["gives"]["access"], "{sample}");
                assert_eq!(json!(given(&fresh.refresh)), sample["gives"]["refresh"], "{sample}");
                assert!(fresh.expires_at.unwrap() > super::now());
                None
            }
            Err(AccountError::Suspend(reason)) => {
                assert_eq!(sample["code"], *reason.code, "{sample}");
                Some("suspend")
            }
            Err(AccountError::Transient(_)) => Some("transient"),
            Err(AccountError::Unsure(_)) => Some("unsure"),
        };
        assert_eq!(json!(error), sample["error"], "{sample}");
    }
}

#[test]
fn bodies_cut_at_any_byte_are_judged_too() {
    let samples = samples();
    let provider = provider(samples["config"].clone());
    for sample in list(&samples, "failures") {
        let call = sample_call(&samples, &sample["call"]);
        let body = sample.get("body").map(Value::to_string).unwrap_or_default();
        for cut in 0..body.len() {
            let headers = HeaderMap::new();
            let cause = Cause::Status(StatusCode::FORBIDDEN);
            let failure =
                Failure { cause, headers: &headers, body: &body.as_bytes()[..cut], now: super::now() };
            let verdict = provider.classify(&call, &failure);
            assert!(
                matches!(verdict.effect, Effect::Cool(Scope::Credential, _)),
                "half a reason bans nobody"
            );
        }
    }
}
