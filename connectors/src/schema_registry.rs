//! A schema registry that speaks Confluent's protocol: Confluent's own, Karapace, Redpanda's, Apicurio under
//! `/apis/ccompat/v7`.
//!
//! Guarantees: a schema is asked for once, since an id never comes to mean another schema. A registry that
//! is away, or that does not know an id yet, is an outage: [`Error::Unavailable`], to be asked again. One that
//! refuses who asks is a wrong configuration. What a schema refers to is fetched with it.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::error::{Error, Result};
use crate::http::auth::Auth;
use crate::http::client::{Access, Client, Refusal, Request, shown};
use crate::problem::Problem;

/// More schemas than this are no references of one schema.
const REFERENCES_MAX: usize = 1_000;
/// What is sent and wanted.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// A longer answer is no schema.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Where the schemas of messages are.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// Its address, with the path where there is one: `https://registry.example.com:8081`.
    pub url: String,
    /// Who asks. Take secrets from the environment or a file.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How long a request may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_timeout_ms() -> u64 {
    10_000
}

/// Without what may hold a secret.
impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaRegistry")
            .field("url", &shown(&self.url))
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl SchemaRegistry {
    /// Settings that are wrong; paths begin at the table that holds `schema_registry`.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let url = Url::parse(&self.url);
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
        let message = match &url {
            Ok(url) if !is_http(url) => "is no URL of HTTP: write https://host:8081",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "holds a user or a password: write them as auth = { type = \"basic\", … }"
            }
            Ok(_) if self.timeout_ms == 0 => {
                let message = "no request could be answered in time";
                return vec![Problem::new(&["schema_registry", "timeout_ms"], message)];
            }
            Ok(_) => return Vec::new(),
            Err(_) => "is no URL: write https://host:8081",
        };
        vec![Problem::new(&["schema_registry", "url"], message)]
    }
}

/// A schema as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundSchema {
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// The texts of the schemas that it refers to, each after those that it refers to itself.
    pub(crate) referenced: Vec<String>,
}

/// Asks one registry.
pub(crate) struct RegistryClient {
    client: Client,
    url: Url,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistryClient")
            .field(&shown(self.url.as_str()))
            .finish()
    }
}

impl RegistryClient {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// `Configuration` where the settings do not fit.
    pub(crate) fn new(settings: &SchemaRegistry) -> Result<Self> {
        let url = Url::parse(&settings.url)
            .map_err(|cause| Error::configuration_from("schema_registry.url is no URL", cause))?;
        let access = Access {
            url: settings.url.clone(),
            headers: BTreeMap::new(),
            auth: settings.auth.clone(),
            requests_per_second: None,
            timeout_ms: settings.timeout_ms,
            answer_bytes_max: ANSWER_BYTES_MAX,
            private_redirects: false,
        };
        Ok(Self {
            client: Client::new(&access)?,
            url,
        })
    }

    /// The schema of an id, with those that it refers to.
    ///
    /// # Errors
    /// `Unavailable` where the registry does not answer or does not know the id; `Configuration` where it
    /// refuses who asks.
    pub(crate) async fn schema(&mut self, id: u32) -> Result<FoundSchema> {
        let number = id.to_string();
        let what = format!("schema {id}");
        let answer = self.get(&["schemas", "ids", &number], &what).await?;
        let mut referenced = Vec::new();
        self.references(&answer, &mut referenced).await?;
        let kind = answer["schemaType"].as_str().unwrap_or("AVRO");
        Ok(FoundSchema {
            kind: kind.to_owned(),
            text: text_of(&answer, &what)?,
            referenced,
        })
    }

    /// Registers a schema of Avro under a subject, and gives its id; the same schema has the same id.
    ///
    /// # Errors
    /// `Unavailable` where the registry does not answer; `Configuration` where it refuses who asks, or the
    /// schema: where it is not compatible with the one before.
    pub(crate) async fn register(&mut self, subject: &str, schema: &str) -> Result<u32> {
        let what = format!("an id for the schema of subject {subject:?}");
        let body = serde_json::json!({ "schema": schema }).to_string();
        let path = ["subjects", subject, "versions"];
        let answer = self.ask(Method::POST, &path, Some(body), &what).await?;
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| missing(format!("the answer for {what} holds no `id`")))
    }

    /// Whether the registry answers, and to who asks.
    ///
    /// # Errors
    /// As [`RegistryClient::schema`].
    pub(crate) async fn probe(&mut self) -> Result<()> {
        let what = "list of the types of schemas (/schemas/types)";
        let answered = self.get(&["schemas", "types"], what).await;
        answered.map(drop)
    }

    /// Gathers what a schema refers to: first what its references refer to, then they themselves.
    async fn references(&mut self, answer: &Value, found: &mut Vec<String>) -> Result<()> {
        // The references that wait, the next one last; one comes back once those below it are gathered.
        let mut waiting: Vec<(String, Option<String>)> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        push(answer, &mut waiting);
        while let Some((path, text)) = waiting.pop() {
            if let Some(text) = text {
                found.push(text);
                continue;
            }
            if seen.contains(&path) {
                continue;
            }
            if seen.len() >= REFERENCES_MAX {
                return Err(Error::configuration(format!(
                    "a schema of {} refers to more than {REFERENCES_MAX} others",
                    shown(self.url.as_str())
                )));
            }
            seen.push(path.clone());
            let (subject, version) = path.rsplit_once('\n').unwrap_or((&path, "latest"));
            let what = format!("version {version} of subject {subject:?}");
            let answer = self
                .get(&["subjects", subject, "versions", version], &what)
                .await?;
            waiting.push((path.clone(), Some(text_of(&answer, &what)?)));
            push(&answer, &mut waiting);
        }
        Ok(())
    }

    async fn get(&mut self, path: &[&str], what: &str) -> Result<Value> {
        self.ask(Method::GET, path, None, what).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &[&str],
        body: Option<String>,
        what: &str,
    ) -> Result<Value> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::configuration("schema_registry.url takes no path"))?
            .pop_if_empty()
            .extend(path);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let accept = header("accept", &format!("{MEDIA_TYPE}, application/json"));
        let request = Request {
            method,
            url,
            headers: match &body {
                Some(_) => vec![accept, header("content-type", MEDIA_TYPE)],
                None => vec![accept],
            },
            body: body.map(String::into_bytes),
        };
        let registry = format!("schema registry {}", shown(self.url.as_str()));
        let remedy = match path {
            ["schemas", "ids", _] => "register it there, or correct schema_registry.url",
            _ => "correct schema_registry.url",
        };
        let answer = self.client.send(&request).await;
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::Later(error, _) => {
                Error::unavailable(format!("{registry} does not give {what}"), error)
            }
            Refusal::Stop(error) => {
                Error::configuration_from(format!("{registry} refuses to give {what}"), error)
            }
            Refusal::Data(status) => match status.as_u16() {
                409 | 422 => Error::configuration(format!(
                    "{registry} refuses to give {what}: {status}: the schema is not compatible with the one before: write to another topic, or relax the compatibility of the subject"
                )),
                404 => missing(format!("{registry} has no {what}: {remedy}")),
                _ => missing(format!("{registry} does not give {what}: {status}")),
            },
        })?;
        serde_json::from_slice(&answer.body).map_err(|cause| {
            let message = format!(
                "the answer of {registry} for {what} is no JSON: correct schema_registry.url"
            );
            Error::unavailable(message, cause)
        })
    }
}

fn missing(message: String) -> Error {
    Error::Unavailable {
        message,
        cause: None,
    }
}

fn text_of(answer: &Value, what: &str) -> Result<String> {
    let text = answer["schema"].as_str();
    text.map(str::to_owned)
        .ok_or_else(|| missing(format!("the answer for {what} holds no `schema`")))
}

/// Lets the references of an answer wait, the first of them last.
fn push(answer: &Value, waiting: &mut Vec<(String, Option<String>)>) {
    for reference in answer["references"].as_array().into_iter().flatten().rev() {
        let subject = reference["subject"].as_str().unwrap_or_default();
        let version = reference["version"].to_string();
        waiting.push((format!("{subject}\n{version}"), None));
    }
}

#[cfg(test)]
mod tests;
