//! What clients send, good and bad, and what of it arrives upstream.

use bytes::Bytes;
use pollux_tests::kit::{Answer, Raw, Stage, contents, send};
use pollux_tests::simulator;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const CODEX: &str = "/codex/v1/responses";
const GEMINI: &str = "/geminicli/v1beta/models/gemini-2.5-pro:generateContent";
const KIB: usize = 1024;

async fn raw(stage: &Stage, path: &str, encoding: Option<&str>, body: impl Into<Vec<u8>>) -> Answer {
    let mut headers = vec![stage.gateway.auth()[0], ("content-type", "application/json")];
    headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
    send("POST", &stage.gateway.at(path), &headers, body.into()).await.expect("an answer comes")
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn encoded_bodies_are_decoded_on_every_route() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    // Large enough to be decoded off the worker's thread.
    for size in [10, 600 * KIB] {
        let text = "ping ".repeat(size / 5);
        let codex = json!({"model": "gpt-5.5", "input": text}).to_string();
        let gemini = contents(&text).to_string();
        for (path, body) in [(CODEX, &codex), (GEMINI, &gemini)] {
            for (encoding, packed) in [
                ("zstd", zstd(body.as_bytes())),
                ("gzip", gzip(body.as_bytes())),
                ("GZIP", gzip(body.as_bytes())),
                ("identity", body.clone().into_bytes()),
            ] {
                let answer = raw(&stage, path, Some(encoding), packed).await;
                assert_eq!(answer.status, 200, "{encoding} {size}: {}", answer.text());
                let sent = stage.generated().pop().unwrap();
                assert!(sent.header("content-encoding").is_none());
                assert!(String::from_utf8_lossy(&sent.raw_body).contains(text.as_str()), "{encoding}");
            }
        }
    }
}

#[tokio::test]
async fn broken_encodings_are_400_and_unknown_ones_415() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let body = json!({"model": "gpt-5.5", "input": "x".repeat(500)}).to_string();
    for (encoding, packed) in [("zstd", zstd(body.as_bytes())), ("gzip", gzip(body.as_bytes()))] {
        for broken in [body.clone().into_bytes(), packed[..packed.len() / 2].to_vec(), Vec::new()] {
            let answer = raw(&stage, CODEX, Some(encoding), broken).await;
            assert_eq!(answer.status, 400, "{encoding}: {}", answer.text());
            assert!(message(&answer).contains("body"), "{}", answer.text());
        }
    }
    // Its checksum tells; zstd's is optional.
    let mut flipped = gzip(body.as_bytes());
    let last = flipped.len() - 5;
    flipped[last] ^= 0x55;
    assert_eq!(raw(&stage, CODEX, Some("gzip"), flipped).await.status, 400);
    for encoding in ["br", "deflate", "gzip, zstd", "nonsense"] {
        for path in [CODEX, GEMINI] {
            let answer = raw(&stage, path, Some(encoding), body.clone()).await;
            assert_eq!(answer.status, 415, "{encoding}: {}", answer.text());
            assert!(message(&answer).contains(encoding), "{}", answer.text());
        }
    }
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_before_and_after_decoding() {
    let stage = Stage::start("[basic]\nbody_limit = \"64 KiB\"", &["alice"], &["bob"]).await;
    let of = |size: usize| {
        let empty = json!({"model": "gpt-5.5", "input": ""}).to_string();
        json!({"model": "gpt-5.5", "input": "x".repeat(size - empty.len())}).to_string()
    };
    let (fits, over) = (of(64 * KIB), of(64 * KIB + 1));
    assert_eq!(raw(&stage, CODEX, None, fits.clone()).await.status, 200);
    assert_eq!(raw(&stage, CODEX, Some("gzip"), gzip(fits.as_bytes())).await.status, 200);
    for answer in [
        raw(&stage, CODEX, None, over.clone()).await,
        raw(&stage, CODEX, Some("gzip"), gzip(over.as_bytes())).await,
        raw(&stage, CODEX, Some("zstd"), zstd(over.as_bytes())).await,
        raw(&stage, CODEX, Some("zstd"), zstd(&vec![b' '; 64 << 20])).await,
        raw(&stage, "/codex/v1/responses/compact", None, over.clone()).await,
    ] {
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(answer.json()["error"]["type"].is_string(), "{}", answer.text());
        assert!(message(&answer).contains("65536"), "{}", answer.text());
    }
    let gemini = raw(&stage, GEMINI, None, contents(&"x".repeat(65 * KIB)).to_string()).await;
    assert_eq!((gemini.status, &gemini.json()["error"]["code"]), (413, &json!(413)));
    // Without a length the limit holds, too.
    let chunks = over
        .into_bytes()
        .chunks(1000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let headers = [stage.gateway.auth()[0], ("content-type", "application/json")];
    let answer = send("POST", &stage.gateway.at(CODEX), &headers, body).await.unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(stage.generated().len(), 2);
}

#[tokio::test]
async fn bodies_beyond_the_usual_two_megabytes_pass_on_every_route() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let text = "y".repeat(5 << 20);
    assert_eq!(stage.codex(&text).await.status, 200);
    assert_eq!(stage.gemini(&text).await.status, 200);
    let count = "/geminicli/v1beta/models/gemini-2.5-pro:countTokens";
    assert_eq!(stage.post(count, &contents(&text)).await.status, 200);
}

#[tokio::test]
async fn malformed_bodies_are_400_and_stay_here() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let broken: [&[u8]; 17] = [
        b"",
        b" ",
        b"null",
        b"42",
        b"\"text\"",
        b"[]",
        b"[{\"model\":\"gpt-5.5\"}]",
        b"{",
        b"{\"model\":\"gpt-5.5\",\"input\":\"x\"",
        b"{\"model\":\"gpt-5.5\",\"input\":\"x\"}}",
        b"{\"model\":\"gpt-5.5\",\"input\":\"x\"} {}",
        b"{\"model\":\"gpt-5.5\",\"input\":[}",
        b"{\"model\":\"gpt-5.5\" \"input\":\"x\"}",
        b"{\"model\":\"gpt-5.5\",\"input\":\"x\",}",
        b"{'model':'gpt-5.5'}",
        b"\xff\xfe{\"model\":\"gpt-5.5\"}",
        b"\x00\x01\x02",
    ];
    for body in broken {
        for path in [CODEX, "/codex/v1/responses/compact"] {
            let answer = raw(&stage, path, None, body).await;
            let seen = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{path} {seen}: {}", answer.text());
            assert!(answer.json()["error"]["type"].is_string(), "{seen}: {}", answer.text());
        }
        for path in [GEMINI, "/geminicli/v1beta/models/gemini-2.5-pro:countTokens"] {
            let answer = raw(&stage, path, None, body).await;
            let seen = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{path} {seen}: {}", answer.text());
            assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT", "{seen}: {}", answer.text());
        }
    }
    assert!(stage.simulator.record().on("/codex/responses").is_empty());
}

#[tokio::test]
async fn nobody_breaks_out_of_the_envelope() {
    let stage = Stage::start("", &["alice"], &[]).await;
    for body in [
        r#"{"contents":[]},"project":"other","x":{"y":1}"#,
        r#"{"contents":[]}}"#,
        r#"{"contents":[}],"a":{"b":1}},"project":"other""#,
        r#"{"contents":[{"parts":[{"text":"a"]}]}"#,
        "{\"contents\":[]}\u{0}",
    ] {
        for method in ["generateContent", "streamGenerateContent", "countTokens"] {
            let path = format!("/geminicli/v1beta/models/gemini-2.5-pro:{method}");
            let answer = raw(&stage, &path, None, body).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        }
    }
    for received in stage.generated() {
        assert!(!String::from_utf8_lossy(&received.raw_body).contains("other"), "{received:?}");
    }
}

#[tokio::test]
async fn a_body_without_a_model_or_with_an_odd_one_is_400() {
    let stage = Stage::start("", &[], &["bob"]).await;
    for body in [
        json!({"input": "x"}),
        json!({"model": "", "input": "x"}),
        json!({"model": null, "input": "x"}),
        json!({"model": 5, "input": "x"}),
        json!({"model": ["gpt-5.5"], "input": "x"}),
        json!({"model": "gpt-5.5\u{0}", "input": "x"}),
        json!({"model": "GPT-5.5", "input": "x"}),
        json!({"model": "x".repeat(100_000), "input": "x"}),
    ] {
        let answer = stage.post(CODEX, &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(message(&answer).contains("model"), "{}", answer.text());
        assert!(answer.body.len() < 2000, "an answer does not repeat what it was sent");
    }
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn a_model_in_escapes_or_given_twice_smuggles_nothing() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let answer = raw(&stage, CODEX, None, r#"{"m\u006fdel":"gpt-5.5","input":"x"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for body in [
        r#"{"model":"gpt-5.5","model":"gpt-5.2-pro","input":"x"}"#,
        r#"{"model":"gpt-5.5","m\u006fdel":"gpt-5.2-pro","input":"x"}"#,
    ] {
        let answer = raw(&stage, CODEX, None, body).await;
        let models: Vec<_> = stage.generated().iter().map(|one| one.json()["model"].clone()).collect();
        assert!(models.iter().all(|model| model == "gpt-5.5"), "{models:?}");
        assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    }
}

/// A request as no serializer would write it, so that any rewriting shows.
const ODD_GEMINI: &str = "{ \"contents\" :[ {\"role\":\"user\",\"parts\":[{\"text\":\"h\\u0065llo \\ud83e\\udd80 \u{e9}\"} ]}],\r\n\
    \"system_instruction\":{\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}],\"role\":\"user\"},\
    \"generationConfig\":{\"temperature\":3.50,\"seed\":12345678901234567890123,\"newKnob\":{\"a\":[1e5,-0.0]}},\
    \"labels\":{\"x\":null},\"futureField\":[[],{}] , \"zz\":\"\\/\" }";

#[tokio::test]
async fn a_gemini_body_arrives_byte_for_byte_inside_the_envelope() {
    let stage = Stage::start("", &["alice"], &[]).await;
    for method in ["generateContent", "streamGenerateContent?alt=sse"] {
        let path = format!("/geminicli/v1beta/models/gemini-2.5-pro:{method}");
        let answer = raw(&stage, &path, None, ODD_GEMINI).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = stage.generated().pop().unwrap();
        let text = String::from_utf8(sent.raw_body.to_vec()).unwrap();
        assert!(text.contains(ODD_GEMINI), "{text}");
        let envelope = sent.json();
        assert_eq!(
            (&envelope["model"], &envelope["project"]),
            (&json!("gemini-2.5-pro"), &json!("alice-project"))
        );
    }
}

#[tokio::test]
async fn what_a_codex_body_holds_beside_the_known_fields_arrives_byte_for_byte() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let input = r#"[ {"type":"additional_tools","tools":[{"type":"namespace","name":"x","tools":[]}]},{"type":"future_item","n":1.50,"s":"\u0061\/"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"hi 🦀"}]} ]"#;
    let fields = r#""future_field":{"a":[1e5,-0.0,12345678901234567890]},"prompt_cache_key":"k\u0065y","client_metadata":{"z":null}"#;
    let body = format!(
        r#"{{ "model" :"gpt-5.5","instructions":"do",{fields},"input":{input},"stream":true , "store":false}}"#
    );
    let answer = raw(&stage, CODEX, None, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = stage.generated().pop().unwrap();
    let text = String::from_utf8(sent.raw_body.to_vec()).unwrap();
    for part in [input, fields] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn answers_come_out_of_the_envelope_with_every_byte_inside() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let inner = [
        r#"{"candidates":[{"content":{"role":"model"},"index":0}],"responseId":"r1","futureField":{"n":1.50,"s":"\u0061"}}"#,
        r#"{ "candidates" : [{"content":{"role":"model","parts":[{"text":"\ud83e\udd80","unknownPart":[1e5]}]},"finishReason":"STOP","odd":null}],"responseId":"r1","usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"newCount":1} }"#,
    ];
    let wrapped =
        inner.map(|inner| Bytes::from(format!("data: {{\"response\":{inner},\"traceId\":\"t\"}}\r\n\r\n")));
    stage.simulator.google().script().next(simulator::Answer::Raw(wrapped.to_vec()));
    let mut stream = stage.gemini_stream("x").await;
    let events: Vec<String> = stream.rest(LIMIT).await.into_iter().map(|event| event.data).collect();
    assert_eq!(events, inner);
    let whole = Bytes::from(format!("{{\"traceId\":\"t\",\"response\":{}}}", inner[1]));
    stage.simulator.google().script().next(simulator::Answer::Raw(vec![whole]));
    assert_eq!(stage.gemini("x").await.text(), inner[1]);
}

#[tokio::test]
async fn content_without_parts_comes_through_with_its_reason_and_usage() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let cut = || simulator::Answer::Cut("MAX_TOKENS".into(), String::new());
    stage.simulator.google().script().next(cut());
    let unary = stage.gemini("x").await;
    assert_eq!(unary.status, 200, "{}", unary.text());
    let check = |answer: &Value| {
        assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS", "{answer}");
        assert_eq!(answer["candidates"][0]["content"], json!({"role": "model"}));
        assert!(answer["usageMetadata"]["promptTokenCount"].is_u64());
    };
    check(&unary.json());
    stage.simulator.google().script().next(cut());
    let events = stage.gemini_stream("x").await.rest(LIMIT).await;
    assert_eq!(events.len(), 1);
    check(&events[0].json());
}

fn raw_request(stage: &Stage, body: &str, extra: &[(&str, &str)]) -> Vec<u8> {
    let mut headers =
        vec![stage.gateway.auth()[0], ("content-type", "application/json"), ("connection", "close")];
    headers.extend_from_slice(extra);
    Raw::request("POST", CODEX, &headers, body.as_bytes())
}

#[tokio::test]
async fn a_slow_but_living_client_is_served() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let body = json!({"model": "gpt-5.5", "input": "slow PING"}).to_string();
    let request = raw_request(&stage, &body, &[]);
    let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
    client.send_slowly(&request, 9, Duration::from_millis(60)).await.unwrap();
    let (answer, _) = client.read_to_end(LIMIT).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("slow PING"), "{answer}");
}

#[tokio::test]
async fn a_chunked_upload_and_one_that_waits_for_100_are_served() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let body = json!({"model": "gpt-5.5", "input": "chunky PING"}).to_string();
    let (bearer, close) = (stage.gateway.auth()[0].1, "connection: close\r\ncontent-type: application/json");
    let head = format!("POST {CODEX} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n{close}\r\n");
    let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(7) {
        client.send(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
        client.send(piece).await.unwrap();
        client.send(b"\r\n").await.unwrap();
    }
    client.send(b"0\r\n\r\n").await.unwrap();
    let (answer, _) = client.read_to_end(LIMIT).await;
    assert!(String::from_utf8_lossy(&answer).contains("chunky PING"), "{}", String::from_utf8_lossy(&answer));

    let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
    let expecting = format!("{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n", body.len());
    client.send(expecting.as_bytes()).await.unwrap();
    let said = client.read_until("\r\n\r\n", LIMIT).await;
    assert!(said.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&said));
    client.send(body.as_bytes()).await.unwrap();
    let (answer, _) = client.read_to_end(LIMIT).await;
    assert!(String::from_utf8_lossy(&answer).contains("chunky PING"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_nowhere() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let body = json!({"model": "gpt-5.5", "input": "half"}).to_string();
    let request = raw_request(&stage, &body, &[]);
    for cut in [request.len() - 1, request.len() - body.len(), request.len() - body.len() / 2, 20] {
        let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
        client.send(&request[..cut]).await.unwrap();
        client.reset();
        let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
        client.send(&request[..cut]).await.unwrap();
        client.finish().await.unwrap();
        let (answer, _) = client.read_to_end(Duration::from_secs(5)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(stage.codex("whole").await.status, 200);
    assert_eq!(stage.generated().len(), 1, "only the whole one went upstream");
}
