//! One request at a time: its authentication, its pace, and what an answer asks of the caller (R16).
//!
//! The text of an error names the URL without its query and never what was sent or received.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::auth::{Auth, Tokens};
use super::redirect;
use crate::error::{Error, Result};
use crate::problem::Problem;

/// How long to wait at most because an answer says so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How an API is reached; a source and a sink flatten it into their settings.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Access {
    /// Where the API is, with parameters that every request has. In a sink `{column}` stands for the value
    /// of a column.
    pub url: String,
    /// Headers of every request. Take secrets from the environment or a file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Who asks.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How many requests are sent in a second at most. Default: no limit.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// How long a request may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// How many bytes an answer may have, unpacked.
    #[serde(default = "default_answer_bytes_max")]
    pub answer_bytes_max: u64,
    /// Whether a redirect to an address of this network is followed.
    #[serde(default)]
    pub private_redirects: bool,
}

fn default_timeout_ms() -> u64 {
    30_000
}

fn default_answer_bytes_max() -> u64 {
    64 << 20
}

/// Everything but what may hold a secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("url", &shown(&self.url))
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// A URL without its parameters, which may hold a secret.
pub(crate) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

impl Access {
    /// Settings that are wrong; paths begin at the table that holds them.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        // A place for a value is no character of a URL.
        let plain = self.url.replace(['{', '}'], "x");
        let is_http = Url::parse(&plain).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_http {
            refuse(&["url"], "is no URL: write https://host/path");
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                refuse(&["headers", name], "is no header");
            }
        }
        if self.requests_per_second == Some(0) {
            refuse(&["requests_per_second"], "nothing could be sent");
        }
        match &self.auth {
            Some(Auth::ApiKey {
                header, parameter, ..
            }) if header.is_some() == parameter.is_some() => {
                refuse(
                    &["auth"],
                    "name the header or the parameter of the key, and not both",
                );
            }
            Some(Auth::OAuth2 { token_url, .. }) if Url::parse(token_url).is_err() => {
                refuse(&["auth", "token_url"], "is no URL: write https://host/path");
            }
            _ => {}
        }
        problems
    }
}

/// See the module docs.
pub(crate) struct Client {
    access: Access,
    client: reqwest::Client,
    tokens: Tokens,
    pace: Option<DefaultDirectRateLimiter>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is nothing to use.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The system is not able to answer now; wait so long where it says it.
    Later(Error, Option<Duration>),
    /// A person has to change something.
    Stop(Error),
    /// It refuses what was sent.
    Data(StatusCode),
}

impl Client {
    /// A client for an API.
    ///
    /// # Errors
    /// `Configuration` where the settings do not fit.
    pub(crate) fn new(access: &Access) -> Result<Self> {
        let wrong = |cause: &dyn fmt::Display| {
            Error::configuration(format!("the HTTP client cannot be set up: {cause}"))
        };
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| wrong(&cause))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut headers = HeaderMap::new();
        for (name, value) in &access.headers {
            let name = HeaderName::try_from(name).map_err(|cause| wrong(&cause))?;
            let value = HeaderValue::try_from(value).map_err(|cause| wrong(&cause))?;
            headers.insert(name, value);
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(headers)
            .user_agent(concat!("syncline/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_millis(access.timeout_ms))
            .redirect(redirect::policy(access.private_redirects))
            .build()
            .map_err(|cause| wrong(&cause))?;
        let pace = access.requests_per_second.and_then(NonZeroU32::new);
        Ok(Self {
            access: access.clone(),
            client,
            tokens: Tokens::default(),
            pace: pace.map(|pace| {
                // No burst: an API counts in windows of its own.
                let one = NonZeroU32::MIN;
                RateLimiter::direct(Quota::per_second(pace).allow_burst(one))
            }),
        })
    }

    /// Sends a request and gives an answer of success.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn send(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let first = self.try_send(request).await?;
        let has_tokens = matches!(self.access.auth, Some(Auth::OAuth2 { .. }));
        let answer = match first.status == StatusCode::UNAUTHORIZED && has_tokens {
            // A token may end before its time.
            true => {
                self.tokens.forget();
                self.try_send(request).await?
            }
            false => first,
        };
        let place = shown(request.url.as_str());
        let said = format!("{} {place}: {}", request.method, answer.status);
        let stop = |remedy: &str| Refusal::Stop(Error::configuration(format!("{said}: {remedy}")));
        match answer.status.as_u16() {
            200..=299 => Ok(answer),
            408 | 425 | 429 | 500..=599 => {
                let wait = retry_after(&answer.headers);
                let error = Error::Unavailable {
                    message: said,
                    cause: None,
                };
                Err(Refusal::Later(error, wait))
            }
            401 | 403 | 407 => Err(stop("correct auth, or give it the rights")),
            _ => Err(Refusal::Data(answer.status)),
        }
    }

    async fn try_send(&mut self, request: &Request) -> Result<Answer, Refusal> {
        if let Some(pace) = &self.pace {
            while let Some(wait) = too_early(pace) {
                tokio::time::sleep(wait).await;
            }
        }
        let mut url = request.url.clone();
        if let Some(Auth::ApiKey {
            parameter: Some(name),
            value,
            ..
        }) = &self.access.auth
        {
            url.query_pairs_mut().append_pair(name, value);
        }
        let place = shown(request.url.as_str()).to_owned();
        let mut builder = self
            .client
            .request(request.method.clone(), url)
            .header("accept-encoding", "gzip");
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        if let Some(auth) = &self.access.auth {
            let proven = self.tokens.prove(auth, &self.client, builder).await;
            builder = proven.map_err(|error| match error {
                error @ Error::Unavailable { .. } => Refusal::Later(error, None),
                error => Refusal::Stop(error),
            })?;
        }
        let doing = format!("{} {place}", request.method);
        let mut response = builder
            .send()
            .await
            .map_err(|cause| failed(&doing, cause))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = self.access.answer_bytes_max;
        let too_large = || {
            Refusal::Stop(Error::configuration(format!(
                "{doing}: the answer has more than {limit} bytes: ask for smaller pages, or raise answer_bytes_max"
            )))
        };
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|cause| failed(&doing, cause))?
        {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Err(too_large());
            }
        }
        let packed = headers.get("content-encoding");
        if packed.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip")) {
            let mut plain = Vec::new();
            let unpacked = flate2::read::MultiGzDecoder::new(body.as_slice())
                .take(limit + 1)
                .read_to_end(&mut plain);
            unpacked.map_err(|cause| {
                let error = Error::unavailable(format!("{doing}: the answer is no gzip"), cause);
                Refusal::Later(error, None)
            })?;
            if plain.len() as u64 > limit {
                return Err(too_large());
            }
            body = plain;
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// How long to wait until the next request is allowed; `None`: it is.
fn too_early(pace: &DefaultDirectRateLimiter) -> Option<Duration> {
    let early = pace.check().err()?;
    let now = governor::clock::Clock::now(&governor::clock::DefaultClock::default());
    Some(early.wait_time_from(now))
}

fn failed(doing: &str, cause: reqwest::Error) -> Refusal {
    let is_redirect = cause.is_redirect();
    let cause = cause.without_url();
    match is_redirect {
        true => Refusal::Stop(Error::configuration_from(
            format!("{doing}: a redirect was refused"),
            cause,
        )),
        false => Refusal::Later(Error::unavailable(doing, cause), None),
    }
}

/// How long to wait, by `Retry-After` in seconds or as a date, or by the limit headers of an API that has
/// nothing left.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|seconds| *seconds >= 0.0)
    };
    let wait = after.and_then(|after| match seconds(after) {
        Some(seconds) => Some(seconds),
        None => {
            let at = chrono::DateTime::parse_from_rfc2822(after).ok()?;
            let left = at
                .signed_duration_since(chrono::Utc::now())
                .num_milliseconds();
            Some(left.max(0) as f64 / 1_000.0)
        }
    });
    // `RateLimit-Reset` says seconds; others say when, in seconds since 1970.
    let reset = || {
        let reset = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
        let given = reset.iter().find_map(|name| seconds(text(name)?))?;
        const YEAR_2001: f64 = 1e9;
        let now = chrono::Utc::now().timestamp_millis() as f64 / 1_000.0;
        Some(if given > YEAR_2001 {
            (given - now).max(0.0)
        } else {
            given
        })
    };
    let wait = wait.or_else(reset)?;
    Some(Duration::from_secs_f64(
        wait.min(RETRY_AFTER_MAX.as_secs_f64()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_to_wait() {
        let check = |name: &'static str, value: &str, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            let found = retry_after(&headers).map(|wait| wait.as_secs());
            assert_eq!(found, expect, "{name}: {value}");
        };
        check("retry-after", "7", Some(7));
        check("retry-after", "1000000", Some(3_600));
        check("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(0));
        check("retry-after", "soon", None);
        check("x-ratelimit-reset", "12", Some(12));
        check("x-ratelimit-reset", "1000000001", Some(0));
        check("date", "1", None);
    }

    #[test]
    fn secrets_are_never_printed() {
        let text = r#"{"url": "https://h/p?key=canary", "headers": {"x": "canary"},
            "auth": {"type": "oauth2", "token_url": "https://h", "client_id": "c", "client_secret": "canary"}}"#;
        let access: Access = serde_json::from_str(text).unwrap();
        assert!(!format!("{access:?}").contains("canary"));
        assert_eq!(access.check(), []);
    }
}
