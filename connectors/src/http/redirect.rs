//! Which redirects are followed: a few, never from https to http, and never to an address that only this
//! network knows, unless the request was sent there in the first place or it is allowed.

use std::net::{IpAddr, ToSocketAddrs as _};

use reqwest::redirect::{Attempt, Policy};
use url::{Host, Url};

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 5;

/// The policy of a client.
pub(super) fn policy(private_allowed: bool) -> Policy {
    Policy::custom(move |attempt: Attempt<'_>| {
        let from = attempt.previous().first().cloned();
        match refused(
            from.as_ref(),
            attempt.url(),
            attempt.previous().len(),
            private_allowed,
        ) {
            None => attempt.follow(),
            Some(reason) => attempt.error(reason),
        }
    })
}

fn refused(from: Option<&Url>, to: &Url, count: usize, private_allowed: bool) -> Option<String> {
    if count > REDIRECTS_MAX {
        return Some(format!("more than {REDIRECTS_MAX} redirects"));
    }
    if from.is_some_and(|from| from.scheme() == "https") && to.scheme() != "https" {
        return Some("a redirect from https to http is not followed".to_owned());
    }
    let same_host = from.is_some_and(|from| from.host() == to.host());
    if !private_allowed && !same_host && is_private(to) {
        return Some(
            "a redirect to an address of this network is not followed: write private_redirects = true if it is meant"
                .to_owned(),
        );
    }
    None
}

/// Whether a host is, or has, an address that only this network knows.
fn is_private(url: &Url) -> bool {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(address)) => is_local(address.into()),
        Some(Host::Ipv6(address)) => is_local(address.into()),
        // A name without an address is refused when it is asked.
        Some(Host::Domain(name)) => (name, port)
            .to_socket_addrs()
            .is_ok_and(|mut addresses| addresses.any(|address| is_local(address.ip()))),
        None => true,
    }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                // Shared by providers (RFC 6598).
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_local(mapped.into()),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_into_this_network_is_not_followed() {
        let check = |from: &str, to: &str, allowed: bool, expect: bool| {
            let (from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
            let found = refused(Some(&from), &to, 1, allowed).is_none();
            assert_eq!(found, expect, "{from} to {to}");
        };
        check("https://192.0.2.1/a", "https://198.51.100.7/b", false, true);
        check("https://192.0.2.1/a", "http://198.51.100.7/b", false, false);
        for host in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
        ] {
            check(
                "http://192.0.2.1/a",
                &format!("http://{host}/b"),
                false,
                false,
            );
            check(
                "http://192.0.2.1/a",
                &format!("http://{host}/b"),
                true,
                true,
            );
        }
        check("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", false, true);
        let url = Url::parse("http://192.0.2.1/").unwrap();
        assert!(refused(Some(&url), &url, REDIRECTS_MAX + 1, true).is_some());
    }
}
