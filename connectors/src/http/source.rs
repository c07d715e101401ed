//! An API as a source: records of pages, in rounds.
//!
//! ```toml
//! [sources.crm]
//! type    = "http"
//! url     = "https://api.example.com/v1/clients"
//! records = "data"
//! format  = "json"
//! key     = ["id"]
//! ```
//!
//! **Guarantees.** Each page is handed over as it came; the sink keeps, with its rows, which page comes next. A process
//! that is killed asks for that page again: records of it may come again, and are written by their key. The cursor of
//! `incremental` moves when a round has ended, to the highest value of all its records in whatever order they came; those
//! at that value, which an API gives again, are not handed over again.
//!
//! - A page that is the same as the one before stops the source: its paging leads nowhere.
//! - Deletes are not seen, unless a record is marked (`deleted`).
//! - An answer that says "later" (429, 503, `Retry-After`) is waited for; one that refuses stops the source.

mod pages;

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use self::pages::Pages;
use super::client::{Access, shown};
use super::paging::Paging;
use crate::error::{Error, Result};
use crate::format::{Decoding, Format};
use crate::problem::Problem;
use crate::record::Partition;
use crate::source::{Description, Extent, Opening, Source, SourceSettings, Wanted};
use crate::sql::version::duration_us;

/// How often an API with a cursor is asked where `every` does not say it.
const CURSOR_EVERY: Duration = Duration::from_secs(60);
/// Reads the records of an HTTP API, page by page: once, every so often, or those behind a cursor.
///
/// ```toml
/// [sources.crm]
/// type    = "http"
/// url     = "https://api.example.com/v1/clients"
/// records = "data"
/// format  = "json"
/// key     = ["id"]
/// every   = "5m"
/// auth    = { type = "bearer", token = "secret" }
/// paging  = { type = "cursor", path = "meta.next", parameter = "after" }
/// incremental = { field = "updated_at", parameter = "since" }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// How the API is reached.
    #[serde(flatten)]
    pub access: Access,
    /// Where the records are in an answer: `data.items`. Default: the answer is the list, or the record.
    #[serde(default)]
    pub records: Option<String>,
    /// What an answer is.
    #[serde(default)]
    pub body: AnswerBody,
    /// How one page leads to the next. Default: there is one.
    #[serde(default)]
    pub paging: Option<Paging>,
    /// Asks only for records behind a cursor.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// How long after one round the next begins: `"30s"`, `"1h"`. Default: `"1m"` with `incremental`, else one
    /// round.
    #[serde(default)]
    pub every: Option<String>,
    /// The name of the table. Default: the last part of the URL's path.
    #[serde(default)]
    pub table: Option<String>,
    /// What a record is, and what every source can be told about its rows.
    #[serde(flatten)]
    pub decoding: Decoding,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerBody {
    /// A JSON document.
    #[default]
    Json,
    /// A JSON document a line.
    Lines,
}

/// A cursor: a field that grows with every change of a record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// The field of a record: `updated_at`, `meta.version`.
    pub field: String,
    /// The parameter that asks for records from a value on. It may stand in the URL as `{since}` instead.
    #[serde(default)]
    pub parameter: Option<String>,
    /// The value of the first round. Default: the parameter is left out.
    #[serde(default)]
    pub start: Option<String>,
}

impl HttpSource {
    /// The name of the table.
    fn name(&self) -> &str {
        let path = shown(&self.access.url).trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        self.table.as_deref().unwrap_or(last)
    }

    fn interval(&self) -> Result<Option<Duration>> {
        let given = self.every.as_deref();
        let given = given.map(|text| duration_us("every", text)).transpose()?;
        let given = given.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
        Ok(given.or(self.incremental.as_ref().map(|_| CURSOR_EVERY)))
    }

    /// The URL of the first page of a round.
    fn base(&self, since: Option<&str>) -> Result<Url> {
        let since = since.or(self.incremental.as_ref().and_then(|by| by.start.as_deref()));
        let encoded: String =
            url::form_urlencoded::byte_serialize(since.unwrap_or_default().as_bytes()).collect();
        let text = self.access.url.replace("{since}", &encoded);
        let mut url =
            Url::parse(&text).map_err(|cause| Error::configuration_from("url is no URL", cause))?;
        let parameter = self
            .incremental
            .as_ref()
            .and_then(|by| by.parameter.as_ref());
        if let (Some(parameter), Some(since)) = (parameter, since) {
            url.query_pairs_mut().append_pair(parameter, since);
        }
        Ok(url)
    }
}

#[async_trait]
impl SourceSettings for HttpSource {
    fn describe(&self) -> Description<'_> {
        Description {
            kind: "http",
            topic: self.name(),
            local: false,
        }
    }

    fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.access.check();
        problems.extend(self.decoding.check());
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        let format = self.decoding.format;
        if matches!(format, Format::Csv | Format::Parquet) || format.has_registry() {
            refuse(&["format"], "a record of an answer is JSON: write \"json\"");
        }
        if self.interval().is_err() {
            refuse(&["every"], "write for example \"30s\", \"10m\" or \"1h\"");
        }
        if self.name().is_empty() {
            refuse(
                &["table"],
                "the URL has no last part to name the table: write table = \"…\"",
            );
        }
        let has_place = self.access.url.contains("{since}");
        match &self.incremental {
            Some(by) if by.parameter.is_none() && !has_place => {
                refuse(
                    &["incremental"],
                    "nothing asks for it: write parameter = \"…\", or {since} in the url",
                );
            }
            None if has_place => refuse(&["url"], "{since} needs incremental"),
            _ => {}
        }
        match &self.paging {
            Some(Paging::Cursor { path, header, .. }) if path.is_some() == header.is_some() => {
                refuse(
                    &["paging"],
                    "name the path or the header of the cursor, and not both",
                );
            }
            Some(Paging::Offset { limit: 0, .. } | Paging::Page { size: Some(0), .. }) => {
                refuse(&["paging"], "a page holds at least one record");
            }
            _ => {}
        }
        if self.body == AnswerBody::Lines && self.records.is_some() {
            refuse(&["records"], "each line is a record");
        }
        problems
    }

    async fn lanes(&self, _lanes_max: usize) -> Result<usize> {
        Ok(1)
    }

    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>> {
        let partition = Partition {
            topic: self.name().into(),
            number: 0,
        };
        Ok(Box::new(Pages::open(self, opening.purpose, partition)?))
    }

    async fn survey(&self, _wanted: &Wanted) -> Result<Vec<Extent>> {
        Err(Error::configuration(
            "the records of an API have no offsets: `syncline positions reset FILE --source NAME` reads them from the beginning",
        ))
    }
}
