//! Who asks: what is added to each request.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, Result};

/// A token is asked for anew this long before it ends.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token lasts whose answer does not say it.
const LIFE: Duration = Duration::from_secs(300);

/// Who asks. Take secrets from the environment or a file: `"${env:TOKEN}"`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        #[serde(default)]
        password: String,
    },
    /// A token in `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// A key in a header, or as a parameter of the URL.
    ApiKey {
        /// The header; `X-API-Key` for example.
        #[serde(default)]
        header: Option<String>,
        /// The parameter, where there is no header for it.
        #[serde(default)]
        parameter: Option<String>,
        /// The key.
        value: String,
    },
    /// A token of the OAuth 2.0 client credentials grant (RFC 6749, section 4.4), asked for anew before it
    /// ends and when it is refused.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// Where tokens are given out.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// What the token is to allow.
        #[serde(default)]
        scope: Option<String>,
    },
}

/// The kind alone: the rest is secret.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Bearer { .. } => "Bearer",
            Self::ApiKey { .. } => "ApiKey",
            Self::OAuth2 { .. } => "OAuth2",
        })
    }
}

/// A token, and until when it is used.
#[derive(Debug, Default)]
pub(super) struct Tokens(Option<(String, Instant)>);

impl Tokens {
    /// Forgets a token that was refused.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// Adds what proves who asks; `client` asks for a token where one is needed.
    ///
    /// # Errors
    /// `Configuration` where no token is given out to this client, `Unavailable` while there is no answer.
    pub(super) async fn prove(
        &mut self,
        auth: &Auth,
        client: &reqwest::Client,
        request: RequestBuilder,
    ) -> Result<RequestBuilder> {
        Ok(match auth {
            Auth::Basic { user, password } => request.basic_auth(user, Some(password)),
            Auth::Bearer { token } => request.bearer_auth(token),
            // A key as a parameter is in the URL by then.
            Auth::ApiKey { header, value, .. } => match header {
                Some(header) => request.header(header, value),
                None => request,
            },
            Auth::OAuth2 { .. } => {
                let fresh = |until: &Instant| *until > Instant::now();
                if !self.0.as_ref().is_some_and(|(_, until)| fresh(until)) {
                    self.0 = Some(token(auth, client).await?);
                }
                match &self.0 {
                    Some((token, _)) => request.bearer_auth(token),
                    None => request,
                }
            }
        })
    }
}

async fn token(auth: &Auth, client: &reqwest::Client) -> Result<(String, Instant)> {
    let Auth::OAuth2 {
        token_url,
        client_id,
        client_secret,
        scope,
    } = auth
    else {
        return Err(Error::configuration("only oauth2 asks for tokens"));
    };
    let body = {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    };
    let doing = format!("asking {token_url} for a token");
    let asked = client
        .post(token_url)
        .basic_auth(client_id, Some(client_secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(body)
        .send()
        .await
        .map_err(|cause| Error::unavailable(&doing, cause.without_url()))?;
    let status = asked.status();
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(Error::Unavailable {
            message: format!("{doing}: {status}"),
            cause: None,
        });
    }
    let body = asked
        .bytes()
        .await
        .map_err(|cause| Error::unavailable(&doing, cause.without_url()))?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = answer["access_token"]
        .as_str()
        .filter(|_| status.is_success());
    let Some(token) = token else {
        return Err(Error::configuration(format!(
            "{doing}: {status}, and no token: correct auth.client_id, auth.client_secret and auth.scope"
        )));
    };
    let life = answer["expires_in"]
        .as_u64()
        .map_or(LIFE, Duration::from_secs);
    let until = Instant::now() + life.saturating_sub(MARGIN.min(life / 2));
    Ok((token.to_owned(), until))
}
