//! The models and who may use them.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Record, State};
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;

const ETAG: &str = "W/\"sim-models-1\"";

/// One model.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) slug: String,
    pub(super) lite: bool,
    minimal_client_version: [u32; 3],
    plans: Vec<String>,
}

impl Model {
    /// A model in the Full dialect, open to every plan and every client version.
    pub fn new(slug: &str) -> Self {
        Self { slug: slug.to_owned(), lite: false, minimal_client_version: [0; 3], plans: Vec::new() }
    }

    /// Wants the Lite dialect.
    #[must_use]
    pub fn lite(mut self) -> Self {
        self.lite = true;
        self
    }

    /// Is offered to clients from this version on (`version` header, `client_version` query).
    #[must_use]
    pub fn since(mut self, version: &str) -> Self {
        self.minimal_client_version = number(version).unwrap_or_default();
        self
    }

    /// Is offered to these plans only.
    #[must_use]
    pub fn plans(mut self, plans: &[&str]) -> Self {
        self.plans = plans.iter().map(|&plan| plan.to_owned()).collect();
        self
    }

    /// Whether this client of this account may use it. A client that names no version counts as the oldest.
    pub(super) fn offered(&self, record: &Record, version: Option<&str>) -> bool {
        version.and_then(number).unwrap_or_default() >= self.minimal_client_version
            && (self.plans.is_empty() || self.plans.contains(&record.plan))
            && record.models.as_ref().is_none_or(|models| models.contains(&self.slug))
    }

    fn entry(&self, priority: usize) -> Value {
        let [major, minor, patch] = self.minimal_client_version;
        let plans = if self.plans.is_empty() {
            json!(["free", "go", "plus", "pro", "team", "business", "enterprise", "edu"])
        } else {
            json!(self.plans)
        };
        json!({
            "slug": self.slug, "display_name": self.slug.to_uppercase(), "description": "A simulated model.",
            "priority": priority, "visibility": "list", "supported_in_api": true,
            "minimal_client_version": format!("{major}.{minor}.{patch}"), "available_in_plans": plans,
            "context_window": 272_000, "max_context_window": 872_000, "auto_compact_token_limit": null, "comp_hash": "1",
            "default_reasoning_level": "low",
            "supported_reasoning_levels": [{"effort": "low", "description": "Fast"}, {"effort": "high", "description": "Deep"}],
            "default_reasoning_summary": "none", "supports_reasoning_summaries": true,
            "supports_reasoning_summary_parameter": true, "support_verbosity": true, "default_verbosity": "low",
            "shell_type": "shell_command", "apply_patch_tool_type": "freeform", "web_search_tool_type": "text_and_image",
            "tool_mode": "code_mode_only", "multi_agent_version": "v2",
            "truncation_policy": {"mode": "tokens", "limit": 10000}, "supports_parallel_tool_calls": true,
            "input_modalities": ["text", "image"], "supports_image_detail_original": true,
            "prefer_websockets": true, "use_responses_lite": self.lite, "supports_search_tool": true,
            "experimental_supported_tools": [], "default_service_tier": null,
            "service_tiers": [{"id": "priority", "name": "Fast", "description": "Faster"}], "additional_speed_tiers": ["fast"],
            "availability_nux": null, "upgrade": null, "auto_review_model_override": null, "model_specialty": null,
            "include_skills_usage_instructions": false, "include_apps_usage_instructions": false,
            "include_plugin_usage_instructions": false, "node_repl_auto_review_required": false, "node_repl_disabled": false,
            "model_messages": {"instructions_template": null, "instructions_variables": null},
            "base_instructions": "You are a coding agent.",
        })
    }
}

fn number(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split(['.', '-']).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

pub(super) fn usual() -> Vec<Model> {
    vec![
        Model::new("gpt-5.6-sol").lite(),
        Model::new("gpt-6.1-sol").lite().since("0.153.0"),
        Model::new("gpt-5.5"),
        Model::new("gpt-5.2-codex"),
        Model::new("gpt-5.2-pro").plans(&["pro", "enterprise"]),
    ]
}

/// `GET /backend-api/codex/models`.
pub(super) fn list(state: &State, asked: &Asked) -> Reply {
    let label = match state.caller(asked) {
        Ok(label) => label,
        Err(refusal) => return refusal.reply(""),
    };
    let Some(version) = asked.query("client_version") else {
        let message = "[{'type': 'missing', 'loc': ('query', 'client_version'), 'msg': 'Field required'}]";
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": null});
        return Reply::json(400, &json!({ "error": error }));
    };
    let record = &state.accounts[&label];
    if let Some(
        refusal @ (Refusal::TokenInvalidated | Refusal::TokenRevoked | Refusal::DeactivatedWorkspace),
    ) = &record.refusal
    {
        return refusal.reply("");
    }
    if asked.request.header("if-none-match") == Some(ETAG) {
        return Reply::whole(304, "application/json", "").with("etag", ETAG);
    }
    let offered = state.models.iter().filter(|model| model.offered(record, Some(version)));
    let models: Vec<_> = offered.enumerate().map(|(priority, model)| model.entry(priority)).collect();
    Reply::json(200, &json!({ "models": models })).with("etag", ETAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(number("0.153.0") > number("0.99.12"));
        assert_eq!(number("0.169.0-alpha.1"), Some([0, 169, 0]));
        assert_eq!(number("new"), None);
    }
}
