//! Local mode: callers without a key, as long as they are programs of this machine. It knows what gives away a
//! caller from elsewhere and a web page that a browser here was led to; it never knows a key.

use actix_web::{HttpRequest, http::header};
use pollux_dialect::Fault;
use std::net::IpAddr;

/// Whoever adds one of these speaks for somebody else.
const FORWARDING: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
];

/// Whether the request is of a program on this machine.
///
/// # Errors
/// Says what speaks against it.
pub fn admit(request: &HttpRequest) -> Result<(), Fault> {
    let texts = |name| {
        let values = request.headers().get_all(name);
        values.map(|value| value.to_str().unwrap_or_default()).collect::<Vec<_>>()
    };
    let forwarding = FORWARDING.into_iter().find(|name| request.headers().contains_key(*name));
    let peer = request.peer_addr().map(|peer| peer.ip());
    let refusal = judge(peer, forwarding, &texts(header::HOST), &texts(header::ORIGIN));
    refusal.map_err(|why| {
        Fault::new(403, "not_local", format!("{why}: without the key only this machine is served"))
    })
}

fn judge(
    peer: Option<IpAddr>,
    forwarding: Option<&str>,
    hosts: &[&str],
    origins: &[&str],
) -> Result<(), String> {
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Err("the request comes from another machine".into());
    }
    if let Some(name) = forwarding {
        return Err(format!("the request was forwarded (`{name}`)"));
    }
    // A page of somebody else's may give its own name our address; its browser then still tells that name.
    if !matches!(hosts, [host] if is_this_machine(host)) {
        return Err("`Host` names another machine".into());
    }
    let ours = |origin: &&str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(is_this_machine)
    };
    if !origins.iter().all(ours) {
        return Err("`Origin` names another site".into());
    }
    Ok(())
}

/// `localhost`, `127.0.0.1` and `[::1]`, with or without a port.
fn is_this_machine(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let port = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit()) && rest.parse::<u16>().is_ok();
    let is_end = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(port);
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|name| text.strip_prefix(name).is_some_and(is_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_this_machine_are_local() {
        type Case =
            (&'static str, Option<&'static str>, &'static [&'static str], &'static [&'static str], bool);
        let table: [Case; 25] = [
            ("127.0.0.1", None, &["localhost"], &[], true),
            ("127.0.0.1", None, &["LOCALHOST:8188"], &[], true),
            ("127.0.0.9", None, &["127.0.0.1:8188"], &[], true),
            ("::1", None, &["[::1]"], &[], true),
            ("::ffff:127.0.0.1", None, &["[::1]:8188"], &[], true),
            ("127.0.0.1", None, &["localhost"], &["http://localhost:3000"], true),
            ("127.0.0.1", None, &["localhost"], &["https://127.0.0.1"], true),
            ("127.0.0.1", None, &["localhost"], &["http://[::1]:1"], true),
            ("192.168.1.7", None, &["localhost"], &[], false),
            ("::ffff:10.0.0.1", None, &["localhost"], &[], false),
            ("127.0.0.1", Some("via"), &["localhost"], &[], false),
            ("127.0.0.1", None, &["evil.example"], &[], false),
            ("127.0.0.1", None, &["evil.example:8188"], &[], false),
            ("127.0.0.1", None, &["localhost.evil.example"], &[], false),
            ("127.0.0.1", None, &["127.0.0.1.evil.example"], &[], false),
            ("127.0.0.1", None, &["localhost@evil.example"], &[], false),
            ("127.0.0.1", None, &["localhost:port"], &[], false),
            ("127.0.0.1", None, &["localhost:"], &[], false),
            ("127.0.0.1", None, &[""], &[], false),
            ("127.0.0.1", None, &[], &[], false),
            ("127.0.0.1", None, &["localhost", "evil.example"], &[], false),
            ("127.0.0.1", None, &["localhost"], &["null"], false),
            ("127.0.0.1", None, &["localhost"], &["http://evil.example"], false),
            ("127.0.0.1", None, &["localhost"], &["http://localhost", "http://evil.example"], false),
            ("127.0.0.1", None, &["localhost"], &["file://localhost"], false),
        ];
        for (peer, forwarding, hosts, origins, local) in table {
            let verdict = judge(Some(peer.parse().unwrap()), forwarding, hosts, origins);
            assert_eq!(verdict.is_ok(), local, "{peer} {forwarding:?} {hosts:?} {origins:?}: {verdict:?}");
        }
        assert!(judge(None, None, &["localhost"], &[]).is_err());
    }
}
