use super::*;
use crate::kit::{get, send};
use crate::simulator::google::{Kind, Refusal};

fn reason(answer: &Http) -> Value {
    answer.json()["error"]["details"][0]["reason"].clone()
}

async fn load(simulator: &Simulator, token: &str) -> Value {
    let metadata =
        json!({"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"});
    let answer = assist(simulator, token, "loadCodeAssist", &json!({ "metadata": metadata })).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn each_kind_of_account_loads_as_recorded() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("p");
    let token = alice.access_token();
    let standard = load(&simulator, &token).await;
    assert_eq!(standard["currentTier"]["id"], "standard-tier");
    assert_eq!(standard["cloudaicompanionProject"], "p");

    alice.kind(Kind::ProjectRequired);
    let without = load(&simulator, &token).await;
    assert_eq!(without["currentTier"]["id"], "standard-tier");
    assert!(without["cloudaicompanionProject"].is_null());

    alice.kind(Kind::Free);
    let free = load(&simulator, &token).await;
    assert_eq!(
        (&free["currentTier"]["id"], &free["paidTier"]["id"]),
        (&json!("free-tier"), &json!("g1-pro-tier"))
    );

    for (kind, reason) in [
        (Kind::UnsupportedClient, "UNSUPPORTED_CLIENT"),
        (Kind::UnsupportedLocation, "UNSUPPORTED_LOCATION"),
        (Kind::ValidationRequired, "VALIDATION_REQUIRED"),
    ] {
        alice.kind(kind.clone());
        let loaded = load(&simulator, &token).await;
        assert!(loaded["currentTier"].is_null() && loaded["cloudaicompanionProject"].is_null());
        assert_eq!(loaded["ineligibleTiers"][0]["reasonCode"], reason);
        assert_eq!(
            loaded["ineligibleTiers"][0]["validationUrl"].is_string(),
            kind == Kind::ValidationRequired
        );
    }

    alice.kind(Kind::NeedsOnboarding("free-tier".into(), 2));
    let fresh = load(&simulator, &token).await;
    assert!(fresh["currentTier"].is_null());
    assert_eq!(
        fresh["allowedTiers"][0],
        json!({"id": "free-tier", "name": "Gemini Code Assist for individuals", "isDefault": true, "userDefinedCloudaicompanionProject": false})
    );

    alice.refuse_setup(Some(Refusal::SecurityPolicyViolated));
    let refused = assist(&simulator, &token, "loadCodeAssist", &json!({})).await;
    assert_eq!(refused.json()["error"]["details"][1]["reason"], "SECURITY_POLICY_VIOLATED");
}

#[tokio::test]
async fn onboarding_is_a_long_running_operation() {
    let simulator = Simulator::start();
    let alice = simulator
        .google()
        .account("alice")
        .project("managed")
        .kind(Kind::NeedsOnboarding("free-tier".into(), 2));
    let token = alice.access_token();
    let with_project = json!({"tierId": "free-tier", "cloudaicompanionProject": "mine"});
    let refused = assist(&simulator, &token, "onboardUser", &with_project).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["status"].clone()),
        (400, json!("FAILED_PRECONDITION"))
    );
    assert_eq!(assist(&simulator, &token, "onboardUser", &json!({"tierId": "gold-tier"})).await.status, 400);

    let started = assist(&simulator, &token, "onboardUser", &json!({"tierId": "free-tier"})).await.json();
    assert_eq!(started["done"], false);
    let url = format!("{}/v1internal/{}", simulator.google_url(), started["name"].as_str().unwrap());
    let bearer = format!("Bearer {token}");
    assert_eq!(get(&url, &[]).await.status, 401);
    assert_eq!(get(&url, &[("authorization", &bearer)]).await.json()["done"], false);
    let refused =
        assist(&simulator, &token, "generateContent", &generation("managed", "gemini-2.5-pro", "hi")).await;
    assert_eq!(refused.status, 403, "no project before the end");
    let done = get(&url, &[("authorization", &bearer)]).await.json();
    assert_eq!(done["response"]["cloudaicompanionProject"]["id"], "managed");
    assert_eq!(load(&simulator, &token).await["cloudaicompanionProject"], "managed");
    let answer =
        assist(&simulator, &token, "generateContent", &generation("managed", "gemini-2.5-pro", "hi")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(simulator.google().operations(), 1);

    let other = format!("Bearer {}", simulator.google().account("bob").access_token());
    assert_eq!(get(&url, &[("authorization", &other)]).await.status, 404);
}

#[tokio::test]
async fn a_personal_account_works_only_with_a_licensed_project() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").kind(Kind::UnsupportedClient).licensed_project("corp");
    let token = alice.access_token();
    let refused =
        assist(&simulator, &token, "generateContent", &generation("own", "gemini-2.5-pro", "hi")).await;
    assert_eq!((refused.status, reason(&refused)), (403, json!("SUBSCRIPTION_REQUIRED")));
    let quota = assist(&simulator, &token, "retrieveUserQuota", &json!({"project": "own"})).await;
    assert_eq!(reason(&quota), "SUBSCRIPTION_REQUIRED");
    let nothing = assist(&simulator, &token, "onboardUser", &json!({"tierId": "standard-tier"})).await.json();
    assert_eq!((&nothing["done"], &nothing["response"]), (&json!(true), &json!({})));
    let unlicensed = json!({"tierId": "standard-tier", "cloudaicompanionProject": "own"});
    assert_eq!(
        reason(&assist(&simulator, &token, "onboardUser", &unlicensed).await),
        "SUBSCRIPTION_REQUIRED"
    );
    let licensed = json!({"tierId": "standard-tier", "cloudaicompanionProject": "corp"});
    let placed = assist(&simulator, &token, "onboardUser", &licensed).await.json();
    assert_eq!(placed["response"]["cloudaicompanionProject"]["id"], "corp");
    let answer =
        assist(&simulator, &token, "generateContent", &generation("corp", "gemini-2.5-pro", "hi")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_envelope_is_checked_in_every_part() {
    let simulator = Simulator::start();
    let token = simulator.google().account("alice").project("p").models(&["gemini-2.5-pro"]).access_token();
    let good = generation("p", "gemini-2.5-pro", "hi");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body
    };
    for (body, status, message) in [
        (with(&|_| {}), 200, ""),
        (with(&|body| body["request"]["somethingNew"] = json!(1)), 200, ""),
        (with(&|body| body["contents"] = json!([])), 400, "Unknown name \"contents\""),
        (with(&|body| drop(body.as_object_mut().unwrap().remove("model"))), 400, "model is required"),
        (with(&|body| drop(body.as_object_mut().unwrap().remove("project"))), 400, "project is required"),
        (with(&|body| body["request"] = json!(null)), 400, "request is required"),
        (with(&|body| body["request"]["contents"] = json!([])), 400, "contents is not specified"),
        (with(&|body| body["request"]["contents"][0]["parts"] = json!([])), 400, "parts must not be empty"),
        (with(&|body| body["request"]["contents"][0]["parts"] = json!([{}])), 400, "oneof field 'data'"),
        (
            with(&|body| body["request"]["contents"][0]["parts"][0]["inlineData"] = json!({})),
            400,
            "already set",
        ),
        (with(&|body| body["request"]["contents"][0]["role"] = json!("system")), 400, "valid role"),
        (with(&|body| body["request"]["systemInstruction"] = json!("text")), 400, "system_instruction"),
        (with(&|body| body["project"] = json!("other")), 403, "Permission denied on resource"),
        (with(&|body| body["model"] = json!("gemini-9")), 404, "not found"),
        (with(&|body| body["model"] = json!("gemini-2.5-flash")), 404, "not found"),
    ] {
        let answer = assist(&simulator, &token, "generateContent", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(
            answer.json()["error"]["message"].as_str().unwrap_or_default().contains(message),
            "{}",
            answer.text()
        );
    }
    assert_eq!(assist(&simulator, "nonsense", "generateContent", &good).await.status, 401);
    assert_eq!(assist(&simulator, &token, "embedContent", &good).await.status, 404);
    let url = format!("{}/v1internal:generateContent", simulator.google_url());
    let bearer = format!("Bearer {token}");
    let broken = send("POST", &url, &[("authorization", &bearer)], "{\"model\":").await.unwrap();
    assert_eq!(broken.status, 400);
    assert_eq!(get(&url, &[("authorization", &bearer)]).await.status, 404);
}

#[tokio::test]
async fn a_token_without_the_scope_is_told_so() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let token = lock(&simulator.world.google).issue_access("alice", "openid", LIMIT);
    let answer = assist(&simulator, &token, "loadCodeAssist", &json!({})).await;
    assert_eq!((answer.status, reason(&answer)), (403, json!("ACCESS_TOKEN_SCOPE_INSUFFICIENT")));
}

#[tokio::test]
async fn the_last_user_text_comes_back_whole_or_in_pieces() {
    let simulator = Simulator::start();
    let token = simulator.google().account("alice").project("p").access_token();
    let body = generation("p", "gemini-2.5-pro", "say grüße back");
    let whole = assist(&simulator, &token, "generateContent", &body).await.json();
    assert_eq!(whole["response"]["candidates"][0]["content"]["parts"][0]["text"], "say grüße back");
    let usage = &whole["response"]["usageMetadata"];
    assert!(usage["promptTokenCount"].as_u64().unwrap() > 0);

    let streamed = assist(&simulator, &token, "streamGenerateContent?alt=sse", &body).await;
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    let chunks = events(&streamed);
    assert_eq!(chunks.len(), 3);
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["response"]["candidates"][0]["content"]["parts"][0]["text"].as_str())
        .collect();
    assert_eq!(text, "say grüße back");
    let reasons: Vec<_> =
        chunks.iter().map(|chunk| chunk["response"]["candidates"][0]["finishReason"].clone()).collect();
    assert_eq!(reasons, [json!(null), json!(null), json!("STOP")]);

    let array = assist(&simulator, &token, "streamGenerateContent", &body).await;
    assert_eq!(array.json().as_array().unwrap().len(), 3);

    let counted = assist(
        &simulator,
        &token,
        "countTokens",
        &json!({"request": {"model": "models/gemini-2.5-pro", "contents": body["request"]["contents"]}}),
    )
    .await;
    assert_eq!(counted.json()["totalTokens"], usage["promptTokenCount"]);
    for wrong in [
        json!({"request": {"model": "gemini-2.5-pro", "contents": body["request"]["contents"]}}),
        json!({"request": {"model": "models/gemini-2.5-pro", "contents": []}}),
        json!({"project": "p", "request": {"model": "models/gemini-2.5-pro", "contents": body["request"]["contents"]}}),
    ] {
        assert_eq!(assist(&simulator, &token, "countTokens", &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn scripted_turns_come_as_scripted() {
    let simulator = Simulator::start();
    let token = simulator.google().account("alice").project("p").access_token();
    let body = generation("p", "gemini-2.5-pro", "hi");
    let script = simulator.google();
    script.script().next(Answer::Thought("hmm".into(), "yes".into()));
    script.script().next(Answer::Cut("MAX_TOKENS".into(), String::new()));
    script.script().next(Answer::Json(json!({"odd": true})));
    let thought = assist(&simulator, &token, "generateContent", &body).await.json();
    let candidate = &thought["response"]["candidates"][0];
    assert_eq!(candidate["content"]["parts"], json!([{"text": "hmm", "thought": true}, {"text": "yes"}]));
    assert!(thought["response"]["usageMetadata"]["thoughtsTokenCount"].is_u64());
    let cut = assist(&simulator, &token, "generateContent", &body).await.json();
    let candidate = &cut["response"]["candidates"][0];
    assert_eq!(
        (&candidate["content"], &candidate["finishReason"]),
        (&json!({"role": "model"}), &json!("MAX_TOKENS"))
    );
    assert_eq!(assist(&simulator, &token, "generateContent", &body).await.json(), json!({"odd": true}));
    assert_eq!(
        assist(&simulator, &token, "generateContent", &body).await.json()["response"]["candidates"][0]["content"]
            ["parts"][0]["text"],
        "hi"
    );

    let mut wants_json = body.clone();
    wants_json["request"]["generationConfig"] = json!({"responseMimeType": "application/json", "responseJsonSchema": {
        "type": "object", "required": ["complexity_score"], "properties": {"complexity_score": {"type": "integer", "minimum": 1, "maximum": 10}}}});
    let text =
        assist(&simulator, &token, "generateContent", &wants_json).await.json()["response"]["candidates"][0]
            ["content"]["parts"][0]["text"]
            .clone();
    assert_eq!(text, "{\"complexity_score\":10}");
}

#[tokio::test]
async fn a_tool_turn_needs_its_signature_on_gemini_3() {
    let simulator = Simulator::start();
    let token = simulator.google().account("alice").project("p").access_token();
    let mut body = generation("p", "gemini-3-pro-preview", "TOOL: please");
    body["request"]["tools"] = json!([{"functionDeclarations": [{"name": "read_file", "parametersJsonSchema": {}}, {"name": "run_shell_command"}]}]);
    let first = assist(&simulator, &token, "generateContent", &body).await.json();
    let part = first["response"]["candidates"][0]["content"]["parts"][0].clone();
    assert_eq!(
        part["functionCall"],
        json!({"name": "run_shell_command", "args": {"command": "echo TOOL-RAN-42"}})
    );
    let signature = part["thoughtSignature"].as_str().unwrap().to_owned();
    assert!(simulator.google().has_signed(&signature));

    let follow = |call: Value, model: &str, responses: Value| {
        let mut next = body.clone();
        next["model"] = json!(model);
        let contents = next["request"]["contents"].as_array_mut().unwrap();
        contents.push(json!({"role": "model", "parts": [call]}));
        contents.push(json!({"role": "user", "parts": responses}));
        next
    };
    let response =
        json!([{"functionResponse": {"name": "run_shell_command", "response": {"output": "TOOL-RAN-42"}}}]);
    let mut bare = part.clone();
    bare.as_object_mut().unwrap().remove("thoughtSignature");
    let signed = |signature: &str| {
        let mut part = bare.clone();
        part["thoughtSignature"] = json!(signature);
        part
    };
    let pro = "gemini-3-pro-preview";
    for (request, status, message) in [
        (follow(part.clone(), pro, response.clone()), 200, ""),
        (follow(signed("skip_thought_signature_validator"), pro, response.clone()), 200, ""),
        (follow(bare.clone(), "gemini-2.5-pro", response.clone()), 200, ""),
        (follow(bare.clone(), pro, response.clone()), 400, "missing a thought_signature"),
        (follow(signed("AAAA"), pro, response.clone()), 400, "Corrupted"),
        (follow(part.clone(), pro, json!([{"text": "no answer"}])), 400, "number of function response parts"),
    ] {
        let answer = assist(&simulator, &token, "generateContent", &request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 400 {
            assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT");
            assert!(answer.text().contains(message), "{}", answer.text());
        } else {
            let text = answer.json()["response"]["candidates"][0]["content"]["parts"][0]["text"].to_string();
            assert!(text.contains("TOOL-RAN-42"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_quota_runs_out_for_its_model_alone() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("p");
    alice.quota(Some("gemini-2.5-pro"), 1, Refusal::QuotaExhausted(Duration::from_hours(1)));
    let token = alice.access_token();
    let pro = generation("p", "gemini-2.5-pro", "hi");
    assert_eq!(assist(&simulator, &token, "generateContent", &pro).await.status, 200);
    let empty = assist(&simulator, &token, "generateContent", &pro).await;
    assert_eq!((empty.status, reason(&empty)), (429, json!("QUOTA_EXHAUSTED")));
    assert_eq!(empty.json()["error"]["details"][0]["metadata"]["quotaResetDelay"], "3600.000000s");
    let flash = generation("p", "gemini-2.5-flash", "hi");
    assert_eq!(assist(&simulator, &token, "generateContent", &flash).await.status, 200);
    alice.refuse(None);
    assert_eq!(assist(&simulator, &token, "generateContent", &pro).await.status, 200);
    let buckets = assist(&simulator, &token, "retrieveUserQuota", &json!({"project": "p"})).await.json();
    assert_eq!(buckets["buckets"][0]["tokenType"], "REQUESTS");
    for method in ["listExperiments", "fetchAdminControls"] {
        assert_eq!(assist(&simulator, &token, method, &json!({"project": "p"})).await.status, 200);
        assert_eq!(assist(&simulator, &token, method, &json!({"project": "q"})).await.status, 403);
    }
}

#[test]
fn every_refusal_has_its_recorded_body() {
    let hour = Duration::from_secs(3600 + 61);
    for (refusal, status, code, reason) in [
        (Refusal::QuotaExhausted(hour), 429, "RESOURCE_EXHAUSTED", json!("QUOTA_EXHAUSTED")),
        (Refusal::QuotaExhaustedGo(hour), 429, "RESOURCE_EXHAUSTED", json!("QUOTA_EXHAUSTED")),
        (
            Refusal::RateLimited(Duration::from_millis(900)),
            429,
            "RESOURCE_EXHAUSTED",
            json!("RATE_LIMIT_EXCEEDED"),
        ),
        (Refusal::CapacityExhausted, 429, "RESOURCE_EXHAUSTED", json!("MODEL_CAPACITY_EXHAUSTED")),
        (Refusal::QuotaFailurePerDay, 429, "RESOURCE_EXHAUSTED", json!(null)),
        (Refusal::BareVertex, 429, "RESOURCE_EXHAUSTED", json!(null)),
        (Refusal::ValidationRequired, 403, "PERMISSION_DENIED", json!("VALIDATION_REQUIRED")),
        (Refusal::SubscriptionRequired, 403, "PERMISSION_DENIED", json!("SUBSCRIPTION_REQUIRED")),
        (Refusal::TosViolation, 403, "PERMISSION_DENIED", json!("TOS_VIOLATION")),
        (Refusal::ServiceDisabled, 403, "PERMISSION_DENIED", json!("SERVICE_DISABLED")),
        (Refusal::PermissionDenied, 403, "PERMISSION_DENIED", json!(null)),
        (Refusal::NotFound, 404, "NOT_FOUND", json!(null)),
        (Refusal::Unauthenticated, 401, "UNAUTHENTICATED", json!("ACCESS_TOKEN_EXPIRED")),
        (Refusal::InvalidArgument("x".into()), 400, "INVALID_ARGUMENT", json!(null)),
        (Refusal::FailedPrecondition, 400, "FAILED_PRECONDITION", json!(null)),
        (Refusal::Cancelled, 499, "CANCELLED", json!(null)),
        (Refusal::Internal, 500, "INTERNAL", json!(null)),
        (Refusal::Unavailable, 503, "UNAVAILABLE", json!(null)),
    ] {
        let reply = refusal.reply("gemini-x");
        let body: Value = serde_json::from_slice(&reply.bytes()).unwrap();
        assert_eq!((reply.status, &body["error"]["status"]), (status, &json!(code)), "{refusal:?}");
        assert_eq!(body["error"]["details"][0]["reason"], reason, "{refusal:?}");
    }
    let go = Refusal::QuotaExhaustedGo(hour).error("m");
    assert_eq!(go["details"][0]["metadata"]["quotaResetDelay"], "1h1m1s");
    let array = Refusal::InArray(Box::new(Refusal::BareVertex)).reply("m");
    let body: Value = serde_json::from_slice(&array.bytes()).unwrap();
    assert_eq!((array.status, &body[0]["error"]["code"]), (429, &json!(429)));
}
