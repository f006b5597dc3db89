//! The ruler is measured before anything is measured with it.

mod anthropic_api;
mod assist;
mod backend;
mod fault;
mod google_login;
mod openai_login;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::kit::{Answer as Http, post};

const LIMIT: Duration = Duration::from_secs(5);

/// A call of Code Assist.
async fn assist(simulator: &Simulator, token: &str, method: &str, body: &Value) -> Http {
    let bearer = format!("Bearer {token}");
    post(&format!("{}/v1internal:{method}", simulator.google_url()), &[("authorization", &bearer)], body)
        .await
}

/// A good generation request.
fn generation(project: &str, model: &str, text: &str) -> Value {
    json!({"model": model, "project": project, "request": {"contents": [{"role": "user", "parts": [{"text": text}]}]}})
}

/// The headers of a good request to the Codex backend.
fn codex_headers(account: &openai::Account) -> Vec<(&'static str, String)> {
    vec![
        ("authorization", format!("Bearer {}", account.access_token())),
        ("chatgpt-account-id", account.account_id()),
        ("user-agent", "pollux/test".to_owned()),
    ]
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A good request to the Codex backend.
fn responses(model: &str, text: &str) -> Value {
    json!({
        "model": model, "instructions": "Be brief.", "store": false, "stream": true,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}],
    })
}

async fn codex(simulator: &Simulator, headers: &[(&'static str, String)], body: &Value) -> Http {
    let url = format!("{}/backend-api/codex/responses", simulator.openai_url());
    post(&url, &borrowed(headers), body).await
}

/// The data of every event.
fn events(answer: &Http) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("every event is JSON")).collect()
}
