//! Who an account is and what is left of its allowance: the pages, and the headers of each answer.

use serde_json::{Value, json};

use super::{Access, Record, State, email};
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::token;

/// Until the windows start anew.
const RESETS: [u64; 2] = [3600, 259_200];

/// `GET /api/oauth/profile`.
pub(super) fn profile(state: &State, asked: &Asked) -> Reply {
    let label = match state.caller_with(asked, "user:profile") {
        Ok(access) => access.label,
        Err(refusal) => return refusal.reply(""),
    };
    let record = &state.accounts[&label];
    Reply::json(
        200,
        &json!({
            "account": {
                "uuid": record.user, "email": email(&label), "full_name": label, "display_name": label,
                "created_at": "2026-01-01T00:00:00Z", "has_claude_max": true, "has_claude_pro": false,
            },
            "organization": {
                "uuid": record.organization, "name": format!("{label}'s Organization"), "organization_type": record.plan,
                "rate_limit_tier": "default_claude_max_20x", "seat_tier": null, "has_extra_usage_enabled": false,
                "billing_type": "stripe_subscription", "subscription_created_at": "2026-01-01T00:00:00Z",
                "cc_onboarding_flags": {}, "claude_code_trial_ends_at": null, "claude_code_trial_duration_days": null,
            },
        }),
    )
}

/// `GET /api/oauth/usage`.
pub(super) fn usage(state: &State, asked: &Asked) -> Reply {
    let label = match state.caller_with(asked, "user:profile") {
        Ok(access) => access.label,
        Err(refusal) => return refusal.reply(""),
    };
    let record = &state.accounts[&label];
    if let Some(refusal) = &record.usage_refusal {
        return refusal.reply("");
    }
    let resets = RESETS.map(|after| {
        let at = token::rfc3339(token::now() + after);
        format!("{}.000000+00:00", at.trim_end_matches('Z'))
    });
    let window = |used: f64, at: &str| -> Value {
        json!({
            "utilization": used * 100.0, "resets_at": at, "limit_dollars": null, "used_dollars": null, "remaining_dollars": null,
        })
    };
    Reply::json(
        200,
        &json!({
            "five_hour": window(record.used.0, &resets[0]), "seven_day": window(record.used.1, &resets[1]),
            "seven_day_oauth_apps": null, "seven_day_opus": null,
            "seven_day_sonnet": {"utilization": 0.0, "resets_at": null}, "seven_day_cowork": null,
            "extra_usage": {
                "is_enabled": false, "monthly_limit": null, "used_credits": 0.0, "utilization": null, "currency": "USD",
                "decimal_places": 2, "disabled_reason": null,
            },
            "limits": [],
        }),
    )
}

/// The rate-limit headers of an answer: one family for logins, another for keys.
pub(super) fn limits(reply: Reply, record: &Record, access: &Access, rejected: bool) -> Reply {
    let reply = reply.with("anthropic-organization-id", record.organization.clone());
    if access.scope.is_none() {
        let (limit, left) = record.buckets;
        let reset = token::rfc3339(token::now() + 20);
        return reply
            .with("anthropic-ratelimit-requests-limit", limit.to_string())
            .with("anthropic-ratelimit-requests-remaining", left.to_string())
            .with("anthropic-ratelimit-requests-reset", reset.clone())
            .with("anthropic-ratelimit-tokens-limit", "400000")
            .with("anthropic-ratelimit-tokens-remaining", "399000")
            .with("anthropic-ratelimit-tokens-reset", reset);
    }
    let unified = |name: &str| format!("anthropic-ratelimit-unified-{name}");
    let mut reply = reply
        .with(&unified("status"), if rejected { "rejected" } else { "allowed" })
        .with(&unified("representative-claim"), "five_hour")
        .with(&unified("fallback-percentage"), "0.5")
        .with(&unified("overage-status"), "rejected")
        .with(&unified("overage-disabled-reason"), "org_level_disabled");
    if !rejected {
        reply = reply.with(&unified("reset"), (token::now() + RESETS[0]).to_string());
    }
    for (slot, (used, after)) in
        ["5h", "7d"].into_iter().zip([record.used.0, record.used.1].into_iter().zip(RESETS))
    {
        reply = reply
            .with(&unified(&format!("{slot}-status")), "allowed")
            .with(&unified(&format!("{slot}-reset")), (token::now() + after).to_string())
            .with(&unified(&format!("{slot}-utilization")), used.to_string());
    }
    reply
}
