//! Everything the sandbox prints is pasted, as a person would.

#![allow(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use pollux_tests::kit::{Decision, Program, Run, Running, consent, form, get, installed};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

struct Sandbox {
    running: Running,
    screen: String,
}

impl Sandbox {
    async fn start() -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_pollux-sandbox")).unwrap();
        let running = program.start().unwrap();
        assert!(running.stdout.wait_for("/codex/auth", LIMIT).await, "{}", running.stderr.text());
        let screen = running.stdout.text();
        Self { running, screen }
    }

    /// The paragraphs that begin with this, to be pasted.
    fn paragraphs(&self, begin: &str) -> Vec<&str> {
        self.screen.split("\n\n").filter(|paragraph| paragraph.starts_with(begin)).collect()
    }
}

fn shell(command: &str) -> Program {
    Program::new("bash").unwrap().arg("-c").arg(command)
}

async fn paste(command: &str) -> String {
    let run = shell(command).run(LIMIT).await.unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{command}\n{}", run.text());
    run.stdout
}

/// The data of each event of a stream.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn every_curl_line_answers() {
    let sandbox = Sandbox::start().await;
    let curls = sandbox.paragraphs("curl ");
    let [gemini, gemini_stream, embedding, responses, responses_stream, messages, messages_stream] =
        curls[..]
    else {
        panic!("{curls:#?}")
    };
    let part = "/candidates/0/content/parts/0/text";
    let whole: Value = serde_json::from_str(&paste(gemini).await).unwrap();
    assert_eq!(whole.pointer(part).unwrap(), "Hello, Gemini");
    let streamed = events(&paste(gemini_stream).await);
    let text: Vec<_> = streamed.iter().filter_map(|event| event.pointer(part)?.as_str()).collect();
    assert!(text.len() > 1 && text.concat() == "Hello, Gemini", "{text:?}");
    let embedded: Value = serde_json::from_str(&paste(embedding).await).unwrap();
    assert!(embedded.pointer("/embedding/values/0").is_some_and(Value::is_number), "{embedded}");
    let whole: Value = serde_json::from_str(&paste(responses).await).unwrap();
    assert_eq!(whole.pointer("/output/0/content/0/text").unwrap(), "Hello, Codex");
    let streamed = events(&paste(responses_stream).await);
    let deltas = streamed.iter().filter(|event| event["type"] == "response.output_text.delta");
    let text: Vec<_> = deltas.filter_map(|event| event["delta"].as_str()).collect();
    assert!(text.len() > 1 && text.concat() == "Hello, Codex", "{text:?}");
    let whole: Value = serde_json::from_str(&paste(messages).await).unwrap();
    assert_eq!(whole.pointer("/content/0/text").unwrap(), "Hello, Claude");
    let streamed = events(&paste(messages_stream).await);
    let text: Vec<_> = streamed.iter().filter_map(|event| event.pointer("/delta/text")?.as_str()).collect();
    assert!(text.len() > 1 && text.concat() == "Hello, Claude", "{text:?}");
    assert_eq!(sandbox.running.stderr.text(), "");
}

#[tokio::test]
async fn the_login_pages_take_a_guest_in() {
    let sandbox = Sandbox::start().await;
    let [urls] = sandbox.paragraphs("http://")[..] else { panic!("{}", sandbox.screen) };
    for url in urls.lines() {
        let begun = get(url, &[]).await;
        assert_eq!(begun.status, 307, "{}", begun.text());
        let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let back = consent(begun.header("location").unwrap(), Decision::Allow("guest")).await.unwrap();
        let headers = [("cookie", cookie.as_str())];
        let done = if url.ends_with("/claude/auth") {
            // The vendor's page shows a code, which the person carries over.
            let page = get(&back, &[]).await.text();
            let code = page.split("<pre id=\"code\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
            form(&format!("{url}/paste"), &headers, &[("callback", &code)]).await
        } else {
            get(&back, &headers).await
        };
        assert_eq!((done.status, done.text().as_str()), (202, "Success"));
    }
}

#[tokio::test]
async fn a_second_sandbox_takes_the_next_port_and_both_end_clean() {
    let (mut one, mut two) = (Sandbox::start().await, Sandbox::start().await);
    let head = |sandbox: &Sandbox| sandbox.screen.lines().nth(1).map(str::to_owned);
    assert_ne!(head(&one), head(&two));
    for (sandbox, signal) in [(&mut one, "INT"), (&mut two, "TERM")] {
        let folder = sandbox.screen.split("GEMINI_CLI_HOME=").nth(1).unwrap().split(' ').next().unwrap();
        assert!(Path::new(folder).exists());
        sandbox.running.signal(signal).unwrap();
        assert_eq!(sandbox.running.wait(LIMIT).await, Some(0));
        assert!(!Path::new(folder).exists(), "{folder} was left behind");
        assert_eq!(sandbox.running.stderr.text(), "");
    }
}

/// Runs a command with the installed clients on its path.
async fn with_clients(program: Program, client: &Path) -> Run {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", client.parent().unwrap().display());
    program.env("PATH", path).run(LIMIT).await.unwrap()
}

#[tokio::test]
async fn the_gemini_cli_lines_work() {
    let Some(gemini) = installed("Gemini CLI", "node_modules/.bin/gemini") else { return };
    let sandbox = Sandbox::start().await;
    let [line] = sandbox.paragraphs("GEMINI_API_KEY=")[..] else { panic!("{}", sandbox.screen) };
    let run = with_clients(shell(line), &gemini).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello from Gemini CLI"), "{}", run.text());
    // The way for good: settings of one's own, and the first line in the environment.
    let [settings] = sandbox.paragraphs("{\"security\"")[..] else { panic!("{}", sandbox.screen) };
    let exported = line.lines().next().unwrap().trim_end_matches('\\');
    let command = format!("export {exported}; gemini -p 'Hello again'");
    let run = with_clients(shell(&command).file(".gemini/settings.json", settings).unwrap(), &gemini).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello again"), "{}", run.text());
}

#[tokio::test]
async fn the_codex_cli_lines_work() {
    let Some(codex) = installed("Codex CLI", "node_modules/.bin/codex") else { return };
    let sandbox = Sandbox::start().await;
    let [line] = sandbox.paragraphs("POLLUX_KEY=")[..] else { panic!("{}", sandbox.screen) };
    let run = with_clients(shell(line), &codex).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello from Codex CLI"), "{}", run.text());
    // The way for good: a configuration of one's own, and the key in the environment.
    let [config] = sandbox.paragraphs("model = ")[..] else { panic!("{}", sandbox.screen) };
    let key = line.split(' ').next().unwrap();
    let command = format!("{key} codex exec --skip-git-repo-check 'Hello again'");
    let run = with_clients(shell(&command).file(".codex/config.toml", config).unwrap(), &codex).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello again"), "{}", run.text());
}

#[tokio::test]
async fn the_claude_code_lines_work() {
    let Some(claude) = installed("Claude Code", "node_modules/.bin/claude") else { return };
    let sandbox = Sandbox::start().await;
    let [line] = sandbox.paragraphs("ANTHROPIC_BASE_URL=")[..] else { panic!("{}", sandbox.screen) };
    let run = with_clients(shell(line), &claude).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello from Claude Code"), "{}", run.text());
    // The way for good: settings of one's own.
    let [settings] = sandbox.paragraphs("{\"env\"")[..] else { panic!("{}", sandbox.screen) };
    let command = "claude --model claude-opus-5-5 -p 'Hello again'";
    let run = with_clients(shell(command).file(".claude/settings.json", settings).unwrap(), &claude).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("Hello again"), "{}", run.text());
}
