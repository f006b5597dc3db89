use super::*;
use crate::kit::{get, send};
use crate::simulator::openai::{Model, Refusal};

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_check_refuses_in_its_own_words_and_in_order() {
    let simulator = Simulator::start();
    let headers = codex_headers(&simulator.openai().account("bob"));
    let good = responses("gpt-5.5", "hi");
    let with = |changes: Value| {
        let mut body = good.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let system = json!([{"type": "message", "role": "system", "content": "x"}]);
    let orphan = json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]);
    let nameless = json!([{"type": "function_call_output", "output": "x"}]);
    for (changes, expected) in [
        (json!({"max_output_tokens": 5, "store": true}), "Unsupported parameter: max_output_tokens"),
        (json!({"previous_response_id": "resp_1"}), "Unsupported parameter: previous_response_id"),
        (json!({"store": true, "stream": false}), "Store must be set to false"),
        (json!({"store": null}), "Store must be set to false"),
        (json!({"stream": false, "instructions": ""}), "Stream must be set to true"),
        (json!({"instructions": "", "input": "hi"}), "Instructions are required"),
        (json!({"instructions": null}), "Instructions are required"),
        (json!({"input": "hi"}), "Input must be a list"),
        (json!({ "input": system }), "System messages are not allowed"),
        (json!({"service_tier": "auto"}), "Unsupported service_tier: auto"),
        (json!({ "input": orphan }), "No tool call found for function call output with call_id c."),
        (json!({ "input": nameless }), "Missing required parameter: 'input[0].call_id'."),
        (
            json!({"model": "gpt-0"}),
            "The 'gpt-0' model is not supported when using Codex with a ChatGPT account.",
        ),
        (
            json!({"model": "gpt-5.2-pro"}),
            "The 'gpt-5.2-pro' model is not supported when using Codex with a ChatGPT account.",
        ),
    ] {
        let answer = codex(&simulator, &headers, &with(changes.clone())).await;
        assert_eq!(answer.status, 400, "{changes}");
        let json = answer.json();
        let said = json["detail"].as_str().or(json["error"]["message"].as_str());
        assert_eq!(said, Some(expected), "{changes}");
    }
    assert_eq!(
        codex(&simulator, &headers, &with(json!({"service_tier": "priority", "unknown": 1}))).await.status,
        200
    );
    simulator.openai().habits(|habits| habits.error_lane = true);
    let lane = codex(&simulator, &headers, &with(json!({"top_p": 1}))).await.json();
    assert_eq!(
        (&lane["error"]["code"], &lane["error"]["param"]),
        (&json!("unsupported_parameter"), &json!("top_p"))
    );
}

#[tokio::test]
async fn token_account_and_user_agent_are_checked_first() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let carol = simulator.openai().account("carol");
    let good = codex_headers(&bob);
    let body = json!({});
    let with = |name: &'static str, value: Option<&str>| {
        let mut headers = good.clone();
        headers.retain(|(header, _)| *header != name);
        headers.extend(value.map(|value| (name, value.to_owned())));
        headers
    };
    let account = carol.account_id();
    let expired = {
        bob.token_lifetime(Duration::ZERO);
        format!("Bearer {}", bob.access_token())
    };
    let foreign = format!("Bearer {}", jwt(&json!({"sub": "x"})));
    for (headers, status, text) in [
        (with("authorization", None), 401, "Unauthorized"),
        (with("authorization", Some("Bearer opaque")), 401, "Could not parse your authentication token"),
        (with("authorization", Some(&foreign)), 401, "token_invalidated"),
        (with("authorization", Some(&expired)), 401, "token_expired"),
        (with("chatgpt-account-id", None), 401, "Unauthorized"),
        (with("chatgpt-account-id", Some(&account)), 401, "Unauthorized"),
        (with("user-agent", None), 403, "Just a moment"),
        (good.clone(), 400, "Store must be set"),
    ] {
        let answer = codex(&simulator, &headers, &body).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        assert!(answer.text().contains(text), "{}", answer.text());
    }
    bob.expire_access_tokens();
    assert!(codex(&simulator, &good, &body).await.text().contains("token_invalidated"));
}

#[tokio::test]
async fn a_text_is_streamed_in_the_order_of_the_api() {
    let simulator = Simulator::start();
    simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let headers = codex_headers(&simulator.openai().account("bob").used(37.5, 12.0));
    let answer = codex(&simulator, &headers, &responses("gpt-5.5", "good morning")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events = events(&answer);
    assert_eq!(
        types(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let names: Vec<_> =
        answer.text().lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned)).collect();
    assert_eq!(names, types(&events));
    let last = &events[10]["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "good morning");
    assert_eq!(
        last["usage"]["total_tokens"].as_u64().unwrap(),
        last["usage"]["input_tokens"].as_u64().unwrap() + last["usage"]["output_tokens"].as_u64().unwrap()
    );
    for required in [
        "id",
        "object",
        "created_at",
        "status",
        "error",
        "incomplete_details",
        "instructions",
        "metadata",
        "model",
        "output",
        "parallel_tool_calls",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    ] {
        assert!(last.get(required).is_some(), "{required}");
    }
    for (name, value) in [
        ("x-codex-primary-used-percent", "37.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-secondary-used-percent", "12"),
        ("x-codex-plan-type", "plus"),
        ("x-codex-credits-has-credits", "False"),
        ("x-codex-credits-balance", ""),
        ("openai-model", "gpt-5.5"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("x-codex-turn-state").is_some() && answer.header("x-request-id").is_some());

    simulator.openai().habits(|habits| {
        habits.rate_limits_event = true;
        habits.empty_output = true;
    });
    let again = super::events(&codex(&simulator, &headers, &responses("gpt-5.5", "x")).await);
    assert_eq!(again[0]["type"], "codex.rate_limits");
    assert_eq!(again[0]["rate_limits"]["primary"]["used_percent"], 37.5);
    assert_eq!(again.last().unwrap()["response"]["output"], json!([]));
}

#[tokio::test]
async fn tools_are_called_in_the_form_they_are_offered() {
    let simulator = Simulator::start();
    simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let headers = codex_headers(&simulator.openai().account("bob"));
    let mut classic = responses("gpt-5.5", "TOOL: now");
    classic["tools"] = json!([{"type": "function", "name": "update_plan"}, {"type": "function", "name": "exec_command", "parameters": {}}]);
    let events = super::events(&codex(&simulator, &headers, &classic).await);
    let done = events.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert_eq!(done["item"]["arguments"], "{\"cmd\":\"echo TOOL-RAN-42\"}");
    let arguments =
        events.iter().find(|event| event["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!(arguments["name"], "exec_command");
    let call = done["item"].clone();

    let input = classic["input"].as_array_mut().unwrap();
    input.push(call.clone());
    input.push(
        json!({"type": "function_call_output", "call_id": call["call_id"], "output": "exit 0: TOOL-RAN-42"}),
    );
    let second = super::events(&codex(&simulator, &headers, &classic).await);
    let text = &second.last().unwrap()["response"]["output"][0]["content"][0]["text"];
    assert_eq!(text, "The tool said: exit 0: TOOL-RAN-42");

    let mut headers = headers;
    headers.push(("x-openai-internal-codex-responses-lite", "true".into()));
    let tools = json!([{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec", "format": {}}]}]);
    let mut lite = responses("gpt-5.6-sol", "TOOL: now");
    lite.as_object_mut().unwrap().remove("instructions");
    lite["input"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"type": "additional_tools", "role": "developer", "tools": tools}));
    let events = super::events(&codex(&simulator, &headers, &lite).await);
    let done = events.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert_eq!(done["item"]["type"], "custom_tool_call");
    assert!(done["item"]["input"].as_str().unwrap().contains("echo TOOL-RAN-42"));
    let input = lite["input"].as_array_mut().unwrap();
    input.push(done["item"].clone());
    input.push(json!({"type": "custom_tool_call_output", "call_id": done["item"]["call_id"], "output": [{"type": "input_text", "text": "TOOL-RAN-42\n"}]}));
    let second = super::events(&codex(&simulator, &headers, &lite).await);
    assert_eq!(
        second.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        "The tool said: TOOL-RAN-42\n"
    );
}

#[tokio::test]
async fn reasoning_and_cut_answers_have_their_events() {
    let simulator = Simulator::start();
    let headers = codex_headers(&simulator.openai().account("bob"));
    simulator.openai().script().next(Answer::Thought("because".into(), "so".into()));
    simulator.openai().script().next(Answer::Cut("max_output_tokens".into(), "half".into()));
    simulator.openai().script().next(Answer::Raw(vec!["event: x\n".into(), "data: {}\n\n".into()]));
    let thought = events(&codex(&simulator, &headers, &responses("gpt-5.5", "hi")).await);
    let kinds = types(&thought);
    for kind in [
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    let last = &thought.last().unwrap()["response"];
    assert!(last["output"][0]["encrypted_content"].as_str().unwrap().starts_with("enc-bob-"));
    assert!(last["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
    let cut = events(&codex(&simulator, &headers, &responses("gpt-5.5", "hi")).await);
    assert_eq!(cut.last().unwrap()["type"], "response.incomplete");
    assert_eq!(cut.last().unwrap()["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(
        codex(&simulator, &headers, &responses("gpt-5.5", "hi")).await.text(),
        "event: x\ndata: {}\n\n"
    );
}

#[tokio::test]
async fn compaction_is_a_stream_and_no_longer_a_path_of_its_own() {
    let simulator = Simulator::start();
    let headers = codex_headers(&simulator.openai().account("bob"));
    let mut body = responses("gpt-5.5", "long talk");
    body["input"].as_array_mut().unwrap().push(json!({"type": "compaction_trigger"}));
    let events = events(&codex(&simulator, &headers, &body).await);
    let items: Vec<_> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["item"]["type"], "compaction");
    assert_eq!(events.last().unwrap()["response"]["output"], json!([]));
    let url = format!("{}/backend-api/codex/responses/compact", simulator.openai_url());
    let gone = post(&url, &borrowed(&headers), &body).await;
    assert_eq!((gone.status, gone.json()), (404, json!({"detail": "Not Found"})));
}

#[tokio::test]
async fn compressed_bodies_and_socket_upgrades_are_answered_as_recorded() {
    let simulator = Simulator::start();
    let headers = codex_headers(&simulator.openai().account("bob"));
    let url = format!("{}/backend-api/codex/responses", simulator.openai_url());
    let body = responses("gpt-5.5", "small").to_string();
    let mut sent = borrowed(&headers);
    sent.extend([("content-type", "application/json"), ("content-encoding", "zstd")]);
    let answer = send("POST", &url, &sent, zstd::encode_all(body.as_bytes(), 3).unwrap()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(simulator.record().last("/responses").unwrap().json()["model"], "gpt-5.5");
    assert_eq!(send("POST", &url, &sent, body).await.unwrap().status, 400, "not zstd at all");
    simulator.openai().habits(|habits| habits.sockets = false);
    let mut upgrade = borrowed(&headers);
    upgrade.extend([("upgrade", "websocket"), ("connection", "upgrade")]);
    assert_eq!(get(&url, &upgrade).await.status, 426);
}

#[tokio::test]
async fn the_catalogue_depends_on_version_and_plan() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let headers = codex_headers(&bob);
    let url = format!("{}/backend-api/codex/models", simulator.openai_url());
    let slugs = async |query: &str| {
        let answer = get(&format!("{url}?client_version={query}"), &borrowed(&headers)).await;
        let models = answer.json()["models"].as_array().unwrap().clone();
        models.into_iter().map(|model| model["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs("0.100.0").await, ["gpt-5.6-sol", "gpt-5.5", "gpt-5.2-codex"]);
    assert_eq!(slugs("0.169.0").await, ["gpt-5.6-sol", "gpt-6.1-sol", "gpt-5.5", "gpt-5.2-codex"]);
    bob.plan("pro").models(&["gpt-5.2-pro", "gpt-new"]);
    simulator.openai().model(Model::new("gpt-new"));
    assert_eq!(slugs("0.100.0").await, ["gpt-5.2-pro", "gpt-new"]);
    assert_eq!(get(&url, &borrowed(&headers)).await.status, 400);
    let first = get(&format!("{url}?client_version=0.169.0"), &borrowed(&headers)).await;
    let mut again = borrowed(&headers);
    again.push(("if-none-match", first.header("etag").unwrap()));
    assert_eq!(get(&format!("{url}?client_version=0.169.0"), &again).await.status, 304);
}

#[tokio::test]
async fn a_new_model_wants_a_new_client() {
    let simulator = Simulator::start();
    let mut headers = codex_headers(&simulator.openai().account("bob"));
    let body = responses("gpt-6.1-sol", "hi");
    assert_eq!(codex(&simulator, &headers, &body).await.status, 400);
    headers.push(("version", "0.169.0".into()));
    assert_eq!(codex(&simulator, &headers, &body).await.status, 200);
    simulator.openai().habits(|habits| habits.strict_dialect = true);
    assert_eq!(codex(&simulator, &headers, &body).await.status, 400);
}

#[tokio::test]
async fn usage_is_reported_and_runs_out() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob").used(42.0, 5.0);
    bob.quota(None, 1, Refusal::UsageLimitReached(Duration::from_mins(90)));
    let headers = codex_headers(&bob);
    let url = format!("{}/backend-api/wham/usage", simulator.openai_url());
    let usage = get(&url, &borrowed(&headers)).await.json();
    assert_eq!(usage["rate_limit"]["primary_window"]["used_percent"], 42.0);
    assert_eq!(usage["rate_limit"]["secondary_window"]["limit_window_seconds"], 604_800);
    assert_eq!((&usage["plan_type"], &usage["account_id"]), (&json!("plus"), &json!("workspace-bob")));
    let body = responses("gpt-5.5", "hi");
    assert_eq!(codex(&simulator, &headers, &body).await.status, 200);
    let limited = codex(&simulator, &headers, &body).await;
    assert_eq!(limited.status, 429);
    let error = &limited.json()["error"];
    assert_eq!((&error["type"], &error["resets_in_seconds"]), (&json!("usage_limit_reached"), &json!(5400)));
    assert!(
        limited.header("x-codex-primary-used-percent").is_some() && limited.header("retry-after").is_none()
    );
    bob.refuse_usage(Some(Refusal::TokenInvalidated));
    assert_eq!(get(&url, &borrowed(&headers)).await.status, 401);
}

#[tokio::test]
async fn a_usage_limit_can_arrive_inside_the_stream() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    bob.refuse(Some(Refusal::in_band_usage_limit("plus", Duration::from_mins(1))));
    let answer = codex(&simulator, &codex_headers(&bob), &responses("gpt-5.5", "hi")).await;
    assert_eq!(answer.status, 200);
    let events = events(&answer);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["type"], "usage_limit_reached");
    assert_eq!(last["response"]["id"], events[1]["response"]["id"]);
}

#[test]
fn every_refusal_has_its_recorded_body() {
    for (refusal, status, pointer, value) in [
        (Refusal::UsageNotIncluded, 429, "/error/type", "usage_not_included"),
        (Refusal::RateLimited(Some(7)), 429, "/error/code", "rate_limit_exceeded"),
        (Refusal::RateLimitDetail, 429, "/detail", "Too many requests"),
        (Refusal::TokenInvalidated, 401, "/error/code", "token_invalidated"),
        (Refusal::TokenRevoked, 401, "/error/code", "token_revoked"),
        (Refusal::TokenExpired, 401, "/error/code", "token_expired"),
        (Refusal::AccountDeactivated, 401, "/error/code", "account_deactivated"),
        (Refusal::Unauthorized, 401, "/detail", "Unauthorized"),
        (Refusal::DeactivatedWorkspace, 402, "/detail/code", "deactivated_workspace"),
        (Refusal::DeactivatedWorkspaceError, 402, "/error/code", "deactivated_workspace"),
        (Refusal::CyberPolicy, 400, "/error/code", "cyber_policy"),
        (Refusal::NotFound, 404, "/detail", "Not Found"),
        (Refusal::ServerError, 500, "/error/code", "server_error"),
        (Refusal::Overloaded, 503, "/error/code", "server_is_overloaded"),
        (Refusal::SlowDown, 503, "/error/code", "slow_down"),
    ] {
        let reply = refusal.reply("m");
        let body: Value = serde_json::from_slice(&reply.bytes()).unwrap();
        assert_eq!(reply.status, status, "{refusal:?}");
        assert_eq!(body.pointer(pointer), Some(&json!(value)), "{refusal:?}");
    }
    let page = Refusal::Cloudflare.reply("m");
    assert!(page.status == 403 && page.headers.contains(&("cf-mitigated".into(), "challenge".into())));
}
