//! Code Assist's calls about an account, answered for the pool as a whole. Gemini CLI makes them before, between and
//! after its turns; none tells of one account or changes one.

use pollux_sdk::kit::stamp;
use pollux_sdk::{Call, Operation, PoolView, Reply, Window};
use serde_json::{Value, json};

/// The project that clients believe to use. Each account's own takes its place on the way.
const PROJECT: &str = "pollux";

/// Answers what Gemini CLI 0.61.0 asks besides generation.
pub(crate) fn answer(call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
    let Operation::Local(name) = call.endpoint.operation else { return None };
    let answer = match name {
        "loadCodeAssist" => json!({
            "currentTier": tier(),
            "allowedTiers": [tier()],
            "cloudaicompanionProject": PROJECT,
        }),
        // Done at once: there is nothing to wait for. Who polls nevertheless finds it done.
        "onboardUser" | "operation" => json!({
            "name": "operations/pollux",
            "done": true,
            "response": {"cloudaicompanionProject": {"id": PROJECT, "name": "Pollux"}},
        }),
        "retrieveUserQuota" => quota(pool),
        "fetchAdminControls" => json!({"adminControlsApplicable": false}),
        "listExperiments" => json!({"experimentIds": [], "flags": []}),
        "recordCodeAssistMetrics" => json!({}),
        // What a client would opt in to is its account owner's to decide: it stays as it is.
        "userSetting" => json!({"cloudaicompanionProject": PROJECT, "freeTierDataCollectionOptin": false}),
        _ => return None,
    };
    Some(Reply::json(&answer))
}

/// The standard tier is the one that asks its user for nothing.
fn tier() -> Value {
    json!({
        "id": "standard-tier",
        "name": "Pollux (pooled accounts)",
        "description": "Accounts of several owners, shared",
        "isDefault": true,
        "userDefinedCloudaicompanionProject": false,
        "hasOnboardedPreviously": true,
    })
}

/// What is left of the pool's daily allowance, as far as it is known: by model, the mean over its accounts. Gemini
/// CLI chooses among the models that it finds here, so only those offered are told.
fn quota(pool: &PoolView<'_>) -> Value {
    let offered = |window: &&Window| pool.models.iter().any(|model| Some(&model.id) == window.model.as_ref());
    let buckets: Vec<Value> = pool.quota().windows.iter().filter(offered).filter_map(bucket).collect();
    let usable = pool.accounts.iter().filter(|account| account.usable).count();
    json!({"buckets": buckets, "pool": {"accounts": pool.accounts.len(), "usable": usable}})
}

fn bucket(window: &Window) -> Option<Value> {
    let left = 1.0 - window.used?.clamp(0.0, 1.0);
    let mut bucket =
        json!({"modelId": window.model.as_ref()?, "tokenType": "REQUESTS", "remainingFraction": left});
    if let Some(at) = window.resets_at.map(stamp) {
        bucket["resetTime"] = at.into();
    }
    Some(bucket)
}
