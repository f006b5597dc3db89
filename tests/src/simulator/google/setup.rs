//! loadCodeAssist, onboardUser and their neighbours.

use serde_json::{Value, json};

use super::refusal::{Refusal, forbidden};
use super::{Kind, Operation, SCOPES, State};
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::token;

/// Whose call it is, if it may be made at all.
pub(super) fn caller(state: &State, asked: &Asked) -> Result<String, Reply> {
    let access = state.valid(asked).ok_or_else(|| Refusal::Unauthenticated.reply(""))?;
    if !access.scope.split(' ').any(|scope| scope == SCOPES[0]) {
        return Err(forbidden(
            "Request had insufficient authentication scopes.",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            json!({"service": "cloudcode-pa.googleapis.com"}),
        ));
    }
    Ok(access.label.clone())
}

/// The caller and the JSON object it sent.
pub(super) fn call(state: &State, asked: &Asked) -> Result<(String, Value), Reply> {
    let label = caller(state, asked)?;
    match asked.json() {
        Some(body @ Value::Object(_)) => Ok((label, body)),
        _ => Err(invalid("Invalid JSON payload received.")),
    }
}

pub(super) fn invalid(message: &str) -> Reply {
    Refusal::InvalidArgument(message.to_owned()).reply("")
}

/// Refuses members the message type does not have, as Google's JSON reader does.
pub(super) fn known_only(body: &Value, known: &[&str]) -> Result<(), Reply> {
    match body.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(invalid(&format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
        ))),
        None => Ok(()),
    }
}

fn standard(project_is_users: bool) -> Value {
    json!({
        "id": "standard-tier", "name": "Gemini Code Assist", "description": "Unlimited coding assistant",
        "isDefault": true, "userDefinedCloudaicompanionProject": project_is_users, "privacyNotice": {}, "usesGcpTos": true,
    })
}

fn ineligible(reason: &str, message: &str) -> Value {
    json!({
        "tierId": "free-tier", "tierName": "Gemini Code Assist for individuals",
        "reasonCode": reason, "reasonMessage": message,
    })
}

pub(super) fn load(state: &State, asked: &Asked) -> Reply {
    let (label, body) = match call(state, asked) {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    if let Err(refused) = known_only(&body, &["cloudaicompanionProject", "metadata", "mode"]) {
        return refused;
    }
    let record = &state.accounts[&label];
    if let Some(refusal) = &record.setup_refusal {
        return refusal.reply("");
    }
    let held = |project: &str| {
        json!({
            "currentTier": standard(true), "allowedTiers": [standard(true)], "cloudaicompanionProject": project,
            "gcpManaged": false, "manageSubscriptionUri": "https://console.example.com/subscription",
        })
    };
    let answer = match (&record.kind, &record.onboarded) {
        (Kind::NeedsOnboarding(tier, _), Some(project)) if tier == "free-tier" => free(project),
        (_, Some(project)) => held(project),
        (Kind::Standard | Kind::LicenceMissing, None) => held(&record.project),
        (Kind::ProjectRequired, None) => {
            json!({"currentTier": standard(true), "allowedTiers": [standard(true)]})
        }
        (Kind::Free, None) => free(&record.project),
        (Kind::UnsupportedClient, None) => json!({
            "allowedTiers": [standard(true)],
            "ineligibleTiers": [ineligible("UNSUPPORTED_CLIENT", "This client is no longer supported for Gemini Code Assist for individuals.")],
        }),
        (Kind::ValidationRequired, None) => {
            let mut tier = ineligible("VALIDATION_REQUIRED", "Verify your account to continue.");
            tier["validationErrorMessage"] = json!("Verify your account to continue.");
            tier["validationUrl"] = json!("https://accounts.google.com/signin/continue?sim=1");
            tier["validationUrlLinkText"] = json!("Verify your account");
            tier["validationLearnMoreUrl"] = json!("https://support.google.com/accounts?sim=1");
            json!({"allowedTiers": [standard(true)], "ineligibleTiers": [tier]})
        }
        (Kind::UnsupportedLocation, None) => json!({
            "allowedTiers": [standard(true)],
            "ineligibleTiers": [ineligible("UNSUPPORTED_LOCATION", "Your current account is not eligible: it is not available in your location.")],
        }),
        (Kind::NeedsOnboarding(tier, _), None) if tier == "standard-tier" => {
            json!({"allowedTiers": [standard(true)]})
        }
        (Kind::NeedsOnboarding(tier, _), None) => json!({
            "currentTier": null,
            "allowedTiers": [
                {"id": tier, "name": "Gemini Code Assist for individuals", "isDefault": true, "userDefinedCloudaicompanionProject": false},
                {"id": "standard-tier", "name": "Gemini Code Assist", "userDefinedCloudaicompanionProject": true},
            ],
        }),
    };
    Reply::json(200, &answer)
}

fn free(project: &str) -> Value {
    json!({
        "currentTier": {"id": "free-tier", "name": "Gemini Code Assist for individuals"},
        "allowedTiers": [{"id": "free-tier", "isDefault": true}, {"id": "standard-tier", "userDefinedCloudaicompanionProject": true}],
        "cloudaicompanionProject": project,
        "paidTier": {"id": "g1-pro-tier", "name": "Google AI Pro", "availableCredits": [{"creditType": "GOOGLE_ONE_AI", "creditAmount": "0"}]},
    })
}

/// What onboarding comes to: the project the tier will hold, or none.
fn placed(state: &State, label: &str, tier: &str, project: Option<&str>) -> Result<Option<String>, Refusal> {
    let record = &state.accounts[label];
    match (&record.kind, project) {
        (Kind::ValidationRequired, _) => Err(Refusal::ValidationRequired),
        (Kind::UnsupportedLocation | Kind::LicenceMissing, _) => Err(Refusal::SubscriptionRequired),
        // Google places a free user in a project of its own and refuses to be given one.
        (_, Some(_)) if tier == "free-tier" => Err(Refusal::FailedPrecondition),
        (Kind::UnsupportedClient, None) if tier == "free-tier" => Err(Refusal::SubscriptionRequired),
        (_, None) if tier == "free-tier" || tier == "legacy-tier" => Ok(Some(record.project.clone())),
        (_, None) => Ok(None),
        (_, Some(project)) if record.licensed.iter().any(|held| held == project) => {
            Ok(Some(project.to_owned()))
        }
        (Kind::Standard, Some(project)) if record.project == project => Ok(Some(project.to_owned())),
        (_, Some(_)) => Err(Refusal::SubscriptionRequired),
    }
}

pub(super) fn onboard(state: &mut State, asked: &Asked) -> Reply {
    let (label, body) = match call(state, asked) {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    if let Err(refused) = known_only(&body, &["tierId", "cloudaicompanionProject", "metadata"]) {
        return refused;
    }
    if let Some(refusal) = &state.accounts[&label].setup_refusal {
        return refusal.reply("");
    }
    let tier = body["tierId"].as_str().unwrap_or_default();
    if !["free-tier", "legacy-tier", "standard-tier"].contains(&tier) {
        return invalid("Invalid value at 'tier_id'.");
    }
    let project = match placed(state, &label, tier, body["cloudaicompanionProject"].as_str()) {
        Ok(project) => project,
        Err(refusal) => return refusal.reply(""),
    };
    let polls_left = match &state.accounts[&label].kind {
        Kind::NeedsOnboarding(_, polls) => *polls,
        _ => 0,
    };
    let response = match &project {
        Some(project) => json!({"cloudaicompanionProject": {"id": project, "name": project}}),
        None => json!({}),
    };
    let name = format!("operations/{}", token::random());
    let mut operation = Operation { label, polls_left, response, project };
    let answer = progress(state, &name, &mut operation);
    state.operations.insert(name, operation);
    Reply::json(200, &answer)
}

/// The operation as it stands; when it is done, the account holds its tier.
fn progress(state: &mut State, name: &str, operation: &mut Operation) -> Value {
    if operation.polls_left > 0 {
        return json!({"name": name, "done": false});
    }
    if let Some(record) = state.accounts.get_mut(&operation.label) {
        record.onboarded.clone_from(&operation.project);
    }
    json!({"name": name, "done": true, "response": operation.response})
}

pub(super) fn operation(state: &mut State, asked: &Asked, method: &str, name: &str) -> Reply {
    let label = match caller(state, asked) {
        Ok(label) => label,
        Err(refused) => return refused,
    };
    let Some(mut operation) = state.operations.remove(name) else { return Refusal::NotFound.reply("") };
    let reply = if method != "GET" || operation.label != label {
        Refusal::NotFound.reply("")
    } else {
        operation.polls_left = operation.polls_left.saturating_sub(1);
        Reply::json(200, &progress(state, name, &mut operation))
    };
    state.operations.insert(name.to_owned(), operation);
    reply
}

/// Whether the account may use the project.
pub(super) fn entitled(state: &State, label: &str, project: &str) -> Result<(), Reply> {
    let record = &state.accounts[label];
    let licensed = record.licensed.iter().any(|held| held == project) || record.onboarded.is_some();
    if matches!(record.kind, Kind::UnsupportedClient | Kind::UnsupportedLocation | Kind::LicenceMissing)
        && !licensed
    {
        return Err(Refusal::SubscriptionRequired.reply(""));
    }
    if matches!(record.kind, Kind::ValidationRequired) {
        return Err(Refusal::ValidationRequired.reply(""));
    }
    if !record.owns(project) {
        return Err(forbidden(
            &format!("Permission denied on resource project {project}."),
            "CONSUMER_INVALID",
            json!({"service": "cloudaicompanion.googleapis.com", "consumer": format!("projects/{project}")}),
        ));
    }
    Ok(())
}

fn of_project(state: &State, asked: &Asked, answer: impl FnOnce(&State, &str) -> Value) -> Reply {
    let (label, body) = match call(state, asked) {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    let Some(project) = body["project"].as_str() else { return invalid("project is required.") };
    match entitled(state, &label, project) {
        Ok(()) => Reply::json(200, &answer(state, &label)),
        Err(refused) => refused,
    }
}

pub(super) fn quota(state: &State, asked: &Asked) -> Reply {
    of_project(state, asked, |state, label| {
        let remaining = state.accounts[label].remaining;
        let bucket = |model: &String| {
            json!({
                "modelId": model, "tokenType": "REQUESTS", "remainingFraction": remaining,
                "resetTime": token::rfc3339(token::now() + 86400),
            })
        };
        json!({"buckets": state.models.iter().map(bucket).collect::<Vec<_>>()})
    })
}

pub(super) fn experiments(state: &State, asked: &Asked) -> Reply {
    of_project(
        state,
        asked,
        |_, _| json!({"experimentIds": [1], "flags": [{"flagId": 1, "boolValue": true}]}),
    )
}

pub(super) fn controls(state: &State, asked: &Asked) -> Reply {
    of_project(state, asked, |_, _| json!({"strictModeDisabled": true}))
}
