//! A gateway with accounts in its pool, ready to be asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Builder, Events, Gateway, post, send, wait_until};
use crate::simulator::{Received, Simulator};

const LIMIT: Duration = Duration::from_secs(30);
/// The paths on which vendors generate.
const GENERATION: [&str; 4] =
    ["/codex/responses", ":generateContent", ":streamGenerateContent", "/v1/messages"];

/// Simulated vendors and a gateway that holds accounts of theirs.
#[derive(Debug)]
pub struct Stage {
    /// The gateway.
    pub gateway: Gateway,
    /// The vendors.
    pub simulator: Simulator,
}

/// A request of Gemini's dialect that says this.
pub fn contents(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

/// A request of Anthropic's dialect that says this.
pub fn messages(text: &str) -> Value {
    json!({"model": "claude-opus-5-5", "max_tokens": 1024, "messages": [{"role": "user", "content": text}]})
}

impl Stage {
    /// Starts both, with accounts of these labels at Google and at `OpenAI`, under this configuration.
    pub async fn start(config: &str, google: &[&str], openai: &[&str]) -> Self {
        let builder = Gateway::builder().config(config);
        Self::with(Simulator::start(), builder, google, openai).await
    }

    /// As [`Stage::start`], with vendors and a gateway that were prepared before.
    pub async fn with(simulator: Simulator, builder: Builder, google: &[&str], openai: &[&str]) -> Self {
        let gateway = builder.simulator(&simulator).start().await.expect("the gateway starts");
        let stage = Self { gateway, simulator };
        let entry = |token: String| json!({"refresh_token": token});
        let google =
            google.iter().map(|label| entry(stage.simulator.google().account(label).refresh_token()));
        stage.join("geminicli", &google.collect::<Vec<_>>()).await;
        let openai =
            openai.iter().map(|label| entry(stage.simulator.openai().account(label).refresh_token()));
        stage.join("codex", &openai.collect::<Vec<_>>()).await;
        stage
    }

    /// Brings accounts in, and waits until all of them are in the pool.
    pub async fn join(&self, provider: &str, entries: &[Value]) {
        if entries.is_empty() {
            return;
        }
        let count = || self.gateway.log().count("account is in the pool");
        let wanted = count() + entries.len();
        let url = self.gateway.at(&format!("/{provider}/resource:add"));
        let answer = post(&url, &self.gateway.auth(), &json!(entries)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let all = || std::future::ready(count() >= wanted);
        assert!(wait_until(all, LIMIT).await, "not all accounts came into the pool");
    }

    /// POSTs JSON with the clients' key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        post(&self.gateway.at(path), &self.gateway.auth(), body).await
    }

    /// POSTs JSON with the clients' key and reads the answer as events.
    pub async fn events(&self, path: &str, body: &Value) -> Events {
        Events::post(&self.gateway.at(path), &self.gateway.auth(), body).await.expect("a head arrives")
    }

    /// Asks Codex for one document.
    pub async fn codex(&self, text: &str) -> Answer {
        self.post("/codex/v1/responses", &json!({"model": "gpt-5.5", "input": text})).await
    }

    /// Asks Codex for a stream.
    pub async fn codex_stream(&self, text: &str) -> Events {
        self.events("/codex/v1/responses", &json!({"model": "gpt-5.5", "input": text, "stream": true})).await
    }

    /// Asks Gemini for one document.
    pub async fn gemini(&self, text: &str) -> Answer {
        self.post("/geminicli/v1beta/models/gemini-2.5-pro:generateContent", &contents(text)).await
    }

    /// Asks Gemini for a stream.
    pub async fn gemini_stream(&self, text: &str) -> Events {
        self.events("/geminicli/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", &contents(text))
            .await
    }

    /// Asks Claude for one document.
    pub async fn claude(&self, text: &str) -> Answer {
        self.post("/claude/v1/messages", &messages(text)).await
    }

    /// Asks Claude for a stream.
    pub async fn claude_stream(&self, text: &str) -> Events {
        let mut body = messages(text);
        body["stream"] = json!(true);
        self.events("/claude/v1/messages", &body).await
    }

    /// What the vendors were asked to generate so far.
    pub fn generated(&self) -> Vec<Received> {
        let mut all = self.simulator.record().all();
        all.retain(|received| GENERATION.iter().any(|path| received.path.contains(path)));
        all
    }

    /// The labels of the accounts that were asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.generated().into_iter().map(|received| received.account.unwrap_or_default()).collect()
    }

    /// Waits until no request is under way at the vendors.
    pub async fn settled(&self) -> bool {
        self.simulator.record().wait_until(LIMIT, |all| all.iter().all(|one| one.ended.is_some())).await
    }

    /// The owner's view of the account with this label.
    pub async fn account(&self, label: &str) -> Value {
        let answer = self.admin("GET", "/admin/accounts", "").await;
        let accounts = answer.json();
        let wanted = format!("{label}@example.com");
        let found =
            accounts.as_array().into_iter().flatten().find(|account| account["label"] == wanted.as_str());
        found.unwrap_or_else(|| panic!("no account {label} in {accounts}")).clone()
    }

    /// Waits until the owner's view of an account satisfies a condition, and returns its last state.
    pub async fn account_when(&self, label: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let reached = || async { condition(&self.account(label).await) };
        let _ = wait_until(reached, LIMIT).await;
        self.account(label).await
    }

    /// Calls the admin API.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.gateway.admin_key());
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        send(method, &self.gateway.at(path), &headers, body.to_owned()).await.expect("the admin API answers")
    }

    /// Changes an account as its owner.
    pub async fn amend(&self, label: &str, change: &Value) {
        let id = self.account(label).await["id"].clone();
        let answer = self.admin("PATCH", &format!("/admin/accounts/{id}"), &change.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The log line of the request with this id, once it is there.
    pub async fn story(&self, request_id: &str) -> String {
        let is_it = |line: &String| line.contains("request served") && line.contains(request_id);
        let there = || std::future::ready(self.gateway.log().lines().iter().any(is_it));
        assert!(wait_until(there, LIMIT).await, "no line tells of request {request_id}");
        self.gateway.log().lines().into_iter().find(is_it).unwrap_or_default()
    }
}
