//! Who may ask.
//!
//! With a token: whoever sends it; only the two probes answer without it, and then without details.
//! Without a token the server listens on this machine alone, and a browser must not become a way in: the
//! `Host` has to be this machine (a page elsewhere can make its own name lead here), and so has the
//! `Origin`, where a page sends one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq as _;

use super::Shared;
use super::answer::Refusal;

/// Set on requests whose sender may see details.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted;

/// What answers without a token.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/health", "/ready"];

pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = match &shared.token {
        Some(token) => has_token(request.headers(), token),
        None => is_local(request.headers()),
    };
    if allowed {
        request.extensions_mut().insert(Trusted);
        return next.run(request).await;
    }
    if shared.token.is_none() {
        let what = "the request does not come from this machine by name";
        let remedy = "ask 127.0.0.1 or localhost, or give the API a `token`";
        return Refusal::new(StatusCode::FORBIDDEN, what, remedy).into_response();
    }
    if PROBES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let remedy = "send the token of syncline.toml as `Authorization: Bearer TOKEN`";
    let refusal = Refusal::new(
        StatusCode::UNAUTHORIZED,
        "the token is missing or wrong",
        remedy,
    );
    let mut response = refusal.into_response();
    let scheme = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

/// Compares in constant time, so that an answer's time says nothing of the token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let sent = sent.and_then(|sent| sent.strip_prefix(b"Bearer "));
    sent.is_some_and(|sent| sent.ct_eq(token.as_bytes()).into())
}

fn is_local(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = text(HOST).is_some_and(names_this_machine);
    let origin = text(ORIGIN).is_none_or(|origin| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        names_this_machine(host)
    });
    host && origin
}

/// Whether `host`, with or without a port, is this machine.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_this_machine_by_name_or_by_number() {
        let check = |host: &str, origin: Option<&str>, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("a header"));
            }
            assert_eq!(is_local(&headers), expect, "{host} {origin:?}");
        };
        for host in [
            "127.0.0.1:7470",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7470",
            "127.9.9.9",
        ] {
            check(host, None, true);
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:7470",
            "10.0.0.1",
            "",
            "[::2]:1",
        ] {
            check(host, None, false);
        }
        check("127.0.0.1:7470", Some("http://localhost:7470"), true);
        check("127.0.0.1:7470", Some("https://evil.example"), false);
        check("127.0.0.1:7470", Some("null"), false);
        assert!(!is_local(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_compared_whole() {
        let check = |sent: &str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_str(sent).expect("a header"),
            );
            assert_eq!(has_token(&headers, "0123456789abcdef"), expect, "{sent}");
        };
        check("Bearer 0123456789abcdef", true);
        check("Bearer 0123456789abcde", false);
        check("Bearer 0123456789abcdef0", false);
        check("0123456789abcdef", false);
        check("Basic 0123456789abcdef", false);
        assert!(!has_token(&HeaderMap::new(), ""));
    }
}
