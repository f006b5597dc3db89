use pollux_sdk::{
    Account, Call, Dialect, Endpoint, HeaderMap, HeaderValue, Method, Operation, PoolView, Reply, StatusCode,
    Window,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What Codex CLI asks beside its turns: name, method, and the path below either base. All of it is answered here, so
/// that nothing of an account is told and nothing of an account can be spent; README.md shows the answers.
const CALLS: [(&str, Method, &[&str]); 20] = [
    ("usage", Method::GET, &["/backend-api/wham/usage", "/api/codex/usage"]),
    (
        "reset credits",
        Method::GET,
        &["/backend-api/wham/rate-limit-reset-credits", "/api/codex/rate-limit-reset-credits"],
    ),
    (
        "reset",
        Method::POST,
        &[
            "/backend-api/wham/rate-limit-reset-credits/consume",
            "/api/codex/rate-limit-reset-credits/consume",
        ],
    ),
    (
        "nudge",
        Method::POST,
        &[
            "/backend-api/wham/accounts/send_add_credits_nudge_email",
            "/api/codex/accounts/send_add_credits_nudge_email",
        ],
    ),
    ("accounts", Method::GET, &["/backend-api/wham/accounts/check", "/api/codex/accounts/check"]),
    ("settings", Method::GET, &["/backend-api/wham/settings/user", "/api/codex/settings/user"]),
    ("settings", Method::GET, &["/backend-api/wham/config/bundle", "/api/codex/config/bundle"]),
    ("settings", Method::GET, &["/backend-api/wham/config/requirements", "/api/codex/config/requirements"]),
    ("settings", Method::GET, &["/backend-api/wham/security-setup", "/wham/security-setup"]),
    ("messages", Method::GET, &["/backend-api/wham/workspace-messages", "/api/codex/workspace-messages"]),
    (
        "threads",
        Method::POST,
        &["/backend-api/wham/usage/thread-estimates/query", "/api/codex/usage/thread-estimates/query"],
    ),
    ("tasks", Method::GET, &["/backend-api/wham/tasks/list", "/api/codex/tasks/list"]),
    ("environments", Method::GET, &["/backend-api/wham/environments", "/api/codex/environments"]),
    ("keys", Method::GET, &["/backend-api/wham/agent-identities/jwks"]),
    (
        "plugins",
        Method::GET,
        &[
            "/backend-api/ps/plugins/installed",
            "/backend-api/ps/plugins/list",
            "/backend-api/ps/plugins/search",
            "/backend-api/ps/plugins/workspace/created",
            "/backend-api/ps/plugins/workspace/shared",
            "/ps/plugins/installed",
            "/ps/plugins/list",
            "/ps/plugins/search",
            "/ps/plugins/workspace/created",
            "/ps/plugins/workspace/shared",
        ],
    ),
    ("suggestions", Method::GET, &["/backend-api/ps/plugins/suggested/codex", "/ps/plugins/suggested/codex"]),
    ("featured", Method::GET, &["/backend-api/plugins/featured", "/plugins/featured"]),
    (
        "apps",
        Method::GET,
        &[
            "/backend-api/connectors/directory/list",
            "/backend-api/connectors/directory/list_workspace",
            "/connectors/directory/list",
            "/connectors/directory/list_workspace",
        ],
    ),
    (
        "analytics",
        Method::POST,
        &["/backend-api/codex/analytics-events/events", "/codex/analytics-events/events"],
    ),
    ("mcp", Method::POST, &["/backend-api/ps/mcp", "/ps/mcp", "/backend-api/wham/apps", "/api/codex/apps"]),
];

/// The calls as routes.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let route = |name, method: &Method, path| Endpoint {
        method: method.clone(),
        ..Endpoint::get(path, Operation::Local(name), Dialect::Responses)
    };
    let routes = CALLS.iter().flat_map(|(name, method, paths)| {
        paths.iter().map(move |path| match *name {
            // The client's MCP part sends no key (0.169.0), and asks for a login where it is refused.
            "mcp" => route(name, method, path).keyless(),
            _ => route(name, method, path),
        })
    });
    routes.collect()
}

/// Answers a call by its name.
pub(crate) fn answer(name: &str, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
    let value = match name {
        "usage" => usage(pool),
        "reset credits" => json!({"credits": [], "available_count": 0, "total_earned_count": 0}),
        "reset" => json!({"code": "no_credit", "windows_reset": 0}),
        "nudge" => return Some(refusal("the pool's accounts take no mail on behalf of clients")),
        "accounts" => accounts(&call.headers),
        "settings" | "analytics" => json!({}),
        "messages" => json!({"messages": []}),
        "threads" => json!({"threads": []}),
        "tasks" => json!({"items": [], "cursor": null}),
        "environments" | "featured" => json!([]),
        "keys" => json!({"keys": []}),
        "plugins" => json!({"plugins": [], "pagination": {"limit": 200, "next_page_token": null}}),
        "suggestions" => json!({"enabled": false, "plugins": []}),
        "apps" => json!({"apps": [], "nextToken": null}),
        "mcp" => return Some(mcp(call)),
        _ => return None,
    };
    Some(Reply::json(&value))
}

/// The pool's own windows, as those of one account of the plan `pool`.
fn usage(pool: &PoolView<'_>) -> Value {
    let mut windows = pool.quota().windows;
    windows.retain(|window| window.model.is_none() && window.length.is_some());
    windows.sort_by_key(|window| window.length);
    let mut told = windows.iter().map(|window| told(window, pool.now));
    let usable = pool.accounts.iter().filter(|account: &&Account<'_>| account.usable).count();
    json!({
        "plan_type": "pool",
        "rate_limit": {
            "allowed": usable > 0,
            "limit_reached": usable == 0,
            "primary_window": told.next(),
            "secondary_window": told.next(),
        },
        "code_review_rate_limit": null,
        "additional_rate_limits": [],
        // Credits are the owners'.
        "credits": null,
        "rate_limit_reached_type": null,
        "rate_limit_reset_credits": {"available_count": 0, "applicable_available_count": 0},
        "pool": {"accounts": pool.accounts.len(), "usable": usable},
    })
}

/// Older clients read whole numbers and miss none.
fn told(window: &Window, now: SystemTime) -> Value {
    let seconds = window.length.unwrap_or_default().as_secs();
    let left = window.resets_at.and_then(|at| at.duration_since(now).ok()).unwrap_or_default();
    let end = now.duration_since(UNIX_EPOCH).unwrap_or_default() + left;
    json!({
        "used_percent": percent(window.used.unwrap_or_default()),
        "limit_window_seconds": seconds,
        "reset_after_seconds": left.as_secs(),
        "reset_at": end.as_secs(),
    })
}

/// A share in whole percent, rounded up: what is nearly used up is not told as free.
fn percent(share: f64) -> u8 {
    (0..=100_u8).find(|percent| f64::from(*percent) >= share * 100.0 - 1e-9).unwrap_or(100)
}

/// The account that the client says it has, kept at the address that it asked. Another origin would move it there.
fn accounts(headers: &HeaderMap) -> Value {
    let id = headers.get("chatgpt-account-id").and_then(|id| id.to_str().ok());
    let account = |id: &str| {
        json!({
            "id": id,
            "plan_type": "pool",
            "workspace_backend_origin": "NO_CONSTRAINT",
            "account_routing_override": "NO_CONSTRAINT",
        })
    };
    let all: Vec<Value> = id.map(account).into_iter().collect();
    json!({"accounts": all, "account_ordering": id.into_iter().collect::<Vec<_>>(), "default_account_id": id})
}

/// An MCP server that has nothing, so that the client waits for none.
fn mcp(call: &Call) -> Reply {
    let asked: Value = serde_json::from_slice(call.body.bytes()).unwrap_or_default();
    let Some(id) = asked.get("id").filter(|id| id.is_string() || id.is_number()) else {
        // A notification, which nobody answers.
        return Reply { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), body: "".into() };
    };
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": asked["params"]["protocolVersion"].as_str().unwrap_or("2025-06-18"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "pollux", "version": env!("CARGO_PKG_VERSION")},
        }),
        "ping" => json!({}),
        "tools/list" => json!({"tools": []}),
        "resources/list" => json!({"resources": []}),
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "prompts/list" => json!({"prompts": []}),
        other => {
            let message = format!("there is no `{}` here", pollux_sdk::kit::sentence(other));
            let error = json!({"code": -32601, "message": message});
            return Reply::json(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Reply::json(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn refusal(text: &str) -> Reply {
    let error = json!({"message": text, "type": "permission_error", "param": null, "code": "not_in_a_pool"});
    let mut reply = Reply::json(&json!({"error": error}));
    reply.status = StatusCode::FORBIDDEN;
    reply.headers.insert("x-should-retry", HeaderValue::from_static("false"));
    reply
}
