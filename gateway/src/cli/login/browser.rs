use super::exchange;
use crate::{
    accounts::Origin,
    login::{LIFE, Returned, Session, authorize, bind},
    settings::Settings,
    upstream::AccountIo,
};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use pollux_sdk::{Credential, Grant, Provider, Redirect};
use std::{
    future::ready,
    io::{BufRead, IsTerminal},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    thread,
};
use subtle::ConstantTimeEq;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// Answers that wait to be looked at; more are noise.
const ANSWERS: usize = 8;
/// Characters of a pasted line.
const LINE: u64 = 16 << 10;

/// Where the vendor is to send the browser, and whether we listen there.
struct Landing {
    uri: String,
    path: &'static str,
    listeners: Vec<TcpListener>,
}

/// Sends a browser to the vendor, and waits for what it brings back: by itself, or by hand.
pub(super) async fn log_in(
    settings: &Settings,
    provider: &dyn Provider,
    io: &AccountIo,
    open_browser: bool,
    port_is_free: bool,
) -> Result<Credential, String> {
    let about = provider.descriptor();
    let login = about.login.as_ref().ok_or_else(|| format!("{} has no login", about.title))?;
    let landing = landing(&login.redirect, settings, port_is_free);
    let origin = Origin { address: "command line".to_owned(), trusted: true };
    let session = Session::begin(about.id, landing.uri, String::new(), &origin);
    let row = &session.row;
    let url = authorize(&login.authorize, &row.redirect_uri, row.state.expose(), &session.challenge())
        .ok_or("the authorize_url of this provider is no URL")?;

    let (sender, mut answers) = mpsc::channel(ANSWERS);
    let heard = !landing.listeners.is_empty();
    let server = listen(landing.listeners, landing.path, sender.clone())?;
    read_lines(sender);
    println!("Log in with {} at\n\n{url}\n", about.title);
    println!("{}", hint(&login.redirect, heard));
    if open_browser && std::io::stdin().is_terminal() {
        show(&url);
    }
    let until = Instant::now() + LIFE;
    let code = loop {
        let returned = timeout_at(until, answers.recv()).await.map_err(|_| "nobody logged in in time")?;
        let Some(returned) = returned else { return Err("nobody logged in".to_owned()) };
        match judge(returned, row.state.expose()) {
            Ok(code) => break code,
            Err(Wrong::Denied(text)) => return Err(format!("{} did not grant access: {text}", about.title)),
            Err(Wrong::Other(text)) => eprintln!("pollux: {text}"),
        }
    };
    let (state, verifier) = (row.state.expose(), row.verifier.expose());
    let grant = Grant::Code { code: &code, state, verifier, redirect_uri: &row.redirect_uri };
    let credential = exchange(provider, io, grant).await;
    if let Some(server) = server {
        server.stop(true).await;
    }
    credential
}

fn landing(redirect: &Redirect, settings: &Settings, port_is_free: bool) -> Landing {
    let at = |port: u16, path: &'static str, listeners| Landing {
        uri: format!("http://localhost:{port}{path}"),
        path,
        listeners,
    };
    match redirect {
        Redirect::Loopback(ports, path) => {
            let bound = ports.iter().find_map(|port| Some((*port, bind(*port)?)));
            let (port, listeners) =
                bound.unwrap_or_else(|| (ports.first().copied().unwrap_or_default(), Vec::new()));
            at(port, path, listeners)
        }
        // A client of one's own is registered with the address that the gateway's own login uses.
        Redirect::Here { path, anywhere: true } => {
            if let Some(public) = &settings.basic.public_url {
                return Landing { uri: format!("{public}{path}"), path, listeners: Vec::new() };
            }
            let port = settings.basic.listen_port;
            at(port, path, if port_is_free { bind(port).unwrap_or_default() } else { Vec::new() })
        }
        // Vendors let installed applications use any port of this machine.
        Redirect::Here { path, anywhere: false } => {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
            let port = free.map_or(settings.basic.listen_port, |address| address.port());
            at(port, path, bind(port).unwrap_or_default())
        }
        Redirect::Page(url) => Landing { uri: (*url).to_owned(), path: "", listeners: Vec::new() },
    }
}

fn hint(redirect: &Redirect, heard: bool) -> &'static str {
    match (redirect, heard) {
        (Redirect::Page(_), _) => "The vendor's page then shows a code. Paste it here:",
        (_, true) => {
            "With a browser on this machine that is all. With one elsewhere it ends at an address that begins \
             with http://localhost and shows an error: paste that whole address here."
        }
        (_, false) => {
            "The browser then ends at an address that may show an error. Paste that whole address here:"
        }
    }
}

enum Wrong {
    Denied(String),
    Other(&'static str),
}

/// The code, if this is the answer to our question.
fn judge(returned: Returned, state: &str) -> Result<String, Wrong> {
    let theirs = returned.state.unwrap_or_default();
    if !bool::from(theirs.as_bytes().ct_eq(state.as_bytes())) {
        return Err(Wrong::Other("this is no answer to this login; paste the whole address or code"));
    }
    if let Some(error) = returned.error {
        let words = returned.description.map(|words| format!(" ({words})")).unwrap_or_default();
        let text: String = format!("{error}{words}").chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(Wrong::Denied(text));
    }
    returned.code.ok_or(Wrong::Other("the answer has no code"))
}

fn listen(
    listeners: Vec<TcpListener>,
    path: &'static str,
    answers: mpsc::Sender<Returned>,
) -> Result<Option<ServerHandle>, String> {
    if listeners.is_empty() {
        return Ok(None);
    }
    let mut server = HttpServer::new(move || {
        let answers = answers.clone();
        App::new().route(
            path,
            web::get().to(move |request: HttpRequest| {
                // Whoever floods us only loses answers of his own.
                drop(answers.try_send(Returned::from_query(request.query_string())));
                let text =
                    "The answer is with Pollux: its terminal says how it went. You can close this page.\n";
                ready(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
            }),
        )
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(2);
    for listener in listeners {
        server = server.listen(listener).map_err(|error| format!("cannot listen: {error}"))?;
    }
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(Some(handle))
}

/// Reads what the person pastes. The thread ends with its input, or with the process.
fn read_lines(answers: mpsc::Sender<Returned>) {
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = String::new();
            let read = std::io::Read::take(&mut input, LINE).read_line(&mut line);
            if !matches!(read, Ok(1..)) {
                // Without input the browser may still come by itself, so the channel stays open.
                std::mem::forget(answers);
                return;
            }
            if !line.trim().is_empty() && answers.blocking_send(Returned::from_paste(&line)).is_err() {
                return;
            }
        }
    });
}

/// Shows the page in the person's browser, where there is one.
fn show(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        thread::spawn(move || child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_login_counts() {
        let told = |text: &str| match judge(Returned::from_paste(text), "s1") {
            Ok(code) => code,
            Err(Wrong::Denied(text)) => format!("denied {text}"),
            Err(Wrong::Other(text)) => text.to_owned(),
        };
        assert_eq!(told("http://localhost:1455/auth/callback?code=c&state=s1"), "c");
        assert_eq!(told("c#s1"), "c");
        assert!(told("http://localhost/?code=c&state=s2").contains("no answer to this login"));
        assert!(told("c").contains("no answer to this login"));
        assert_eq!(told("http://localhost/?state=s1"), "the answer has no code");
        assert_eq!(told("http://l/?error=access_denied&state=s1"), "denied access_denied");
    }
}
