//! Where a request comes from, as far as it can be believed.

use crate::accounts::Origin;
use actix_web::HttpRequest;
use ipnet::IpNet;
use std::net::IpAddr;

const FORWARDING: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The client's address, and whether it is on this machine or a private network.
///
/// A forwarding header from a peer that is no trusted proxy means that somebody else stands behind the peer: then
/// the address is not believed to be near.
pub fn of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Origin {
    let header = |name: &str| request.headers().get_all(name).filter_map(|value| value.to_str().ok());
    let forwarded = FORWARDING.iter().any(|name| header(name).next().is_some());
    let chain: Vec<&str> =
        header("x-forwarded-for").flat_map(|list| list.split(',')).map(str::trim).collect();
    judge(request.peer_addr().map(|peer| peer.ip()), forwarded, &chain, trusted_proxies)
}

fn judge(peer: Option<IpAddr>, forwarded: bool, chain: &[&str], proxies: &[IpNet]) -> Origin {
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
        return Origin { address: "unknown".into(), trusted: false };
    };
    let proxied = |address: IpAddr| proxies.iter().any(|net| net.contains(&address));
    if !proxied(peer) {
        return Origin { address: peer.to_string(), trusted: near(peer) && !forwarded };
    }
    // From the right, past our own proxies: what stands left of the first stranger is the stranger's word.
    for text in chain.iter().rev() {
        let Ok(address) = text.parse::<IpAddr>().map(|address| address.to_canonical()) else {
            return Origin { address: format!("unknown via {peer}"), trusted: false };
        };
        if !proxied(address) {
            return Origin { address: address.to_string(), trusted: near(address) };
        }
    }
    Origin { address: peer.to_string(), trusted: near(peer) && chain.is_empty() && !forwarded }
}

fn near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_what_a_trusted_proxy_says() {
        type Case =
            (&'static str, bool, &'static [&'static str], &'static [&'static str], &'static str, bool);
        let table: [Case; 11] = [
            ("127.0.0.1", false, &[], &[], "127.0.0.1", true),
            ("192.168.1.7", false, &[], &[], "192.168.1.7", true),
            ("::ffff:10.0.0.1", false, &[], &[], "10.0.0.1", true),
            ("fd00::1", false, &[], &[], "fd00::1", true),
            ("203.0.113.9", false, &[], &[], "203.0.113.9", false),
            ("127.0.0.1", true, &["127.0.0.1"], &[], "127.0.0.1", false),
            ("203.0.113.9", true, &["127.0.0.1"], &[], "203.0.113.9", false),
            ("127.0.0.1", true, &["203.0.113.9"], &["127.0.0.0/8"], "203.0.113.9", false),
            ("127.0.0.1", true, &["10.1.1.1", "203.0.113.9"], &["127.0.0.0/8"], "203.0.113.9", false),
            ("127.0.0.1", true, &["203.0.113.9", "192.168.0.2"], &["127.0.0.0/8"], "192.168.0.2", true),
            ("127.0.0.1", true, &["nonsense"], &["127.0.0.0/8"], "unknown via 127.0.0.1", false),
        ];
        for (peer, forwarded, chain, proxies, address, trusted) in table {
            let proxies: Vec<IpNet> = proxies.iter().map(|net| net.parse().unwrap()).collect();
            let origin = judge(Some(peer.parse().unwrap()), forwarded, chain, &proxies);
            assert_eq!((origin.address.as_str(), origin.trusted), (address, trusted), "{peer} {chain:?}");
        }
    }
}
