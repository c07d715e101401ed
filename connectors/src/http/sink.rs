//! An API as a sink: one or many changes a request.
//!
//! ```toml
//! [sinks.crm]
//! type   = "http"
//! inputs = ["tidy"]
//! url    = "https://api.example.com/v1/clients/{id}"
//! auth   = { type = "bearer", token = "secret" }
//! ```
//!
//! **Guarantees.** At-least-once: it keeps no positions, so after a crash requests may come again, from the first
//! write that was not finished on. Each request has an id that stays the same when it comes again
//! (`Idempotency-Key`), so that an API that knows it takes it once. A retry within one process sends only what was
//! not taken yet. Changes are sent one after another, in the order of the source.
//!
//! - An API that refuses (4xx) refuses the change alone: it goes to the quarantine with the status. What refuses many in
//!   one request is asked in halves until the culprit stands alone, or by `answers`, item by item.
//! - "Later" (408, 425, 429, 5xx) is an outage: the write is tried again, after `Retry-After` where it is said.
//! - 401 and 403 stop the pipeline.
//! - duplicate: nothing is folded, no conflict is decided. null: null.
//! - delete: `delete`, by default the method DELETE; an API that does not know the row (404, 410) has deleted it.
//! - truncate: no request can say it: it is rejected (R13).
//! - an unset value (R14, R19) is left out.

mod requests;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::requests::Requests;
use super::client::{Access, Client};
use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::positions::PositionStore;
use crate::problem::Problem;
use crate::sink::{Identity, Sink, SinkConfig, SinkSettings};
use crate::sql::Options;

/// Sends changes to an HTTP API, at least once, with an id for each that stays the same.
///
/// ```toml
/// [sinks.crm]
/// type    = "http"
/// inputs  = ["tidy"]
/// url     = "https://api.example.com/v1/clients/{id}"
/// method  = "PUT"
/// headers = { accept = "application/json" }
/// auth    = { type = "bearer", token = "secret" }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSink {
    /// How the API is reached.
    #[serde(flatten)]
    pub access: Access,
    /// The method of a request for rows that are there.
    #[serde(default = "put")]
    pub method: String,
    /// What a delete is.
    #[serde(default)]
    pub delete: HttpDelete,
    /// How many changes of one table are in a request. One is an object, more are a list.
    #[serde(default = "one")]
    pub batch: usize,
    /// Where the list stands in the body: `records` makes `{"records": […]}`. Default: the body is the list.
    #[serde(default)]
    pub wrap: Option<String>,
    /// What an answer to many changes says of each, in their order. Default: the status says it of all.
    #[serde(default)]
    pub answers: Option<Answers>,
    /// The header of the id.
    #[serde(default = "idempotency_header")]
    pub idempotency_header: String,
    /// Whether each row says what happened to it, in `_op` and `_table`.
    #[serde(default)]
    pub operations: bool,
}

fn put() -> String {
    "PUT".to_owned()
}

fn one() -> usize {
    1
}

fn idempotency_header() -> String {
    "Idempotency-Key".to_owned()
}

/// What a delete is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpDelete {
    /// A request with the method DELETE and no body; one for each.
    #[default]
    Request,
    /// A row like any other, which `_op` tells from them.
    Row,
    /// Nothing: it is not sent.
    Ignore,
}

/// What an answer says of each change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Where the list of items is: `items`. Default: the answer is the list.
    #[serde(default)]
    pub path: Option<String>,
    /// Where the status of an item is: a number as HTTP has it, or `true` where it was taken.
    pub status: String,
    /// Where an item says why it was refused.
    #[serde(default)]
    pub reason: Option<String>,
}

#[async_trait]
impl SinkSettings for HttpSink {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn options(&self) -> Option<Options> {
        None
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.access.check();
        let mut refuse = |path: &[&str], message: &str| problems.push(Problem::new(path, message));
        if Method::from_bytes(self.method.as_bytes()).is_err() {
            refuse(
                &["method"],
                "is no method: write \"PUT\", \"POST\" or \"PATCH\"",
            );
        }
        if self.batch == 0 {
            refuse(&["batch"], "a request holds at least one change");
        }
        let has_place = self.access.url.contains('{');
        if self.batch > 1 && has_place {
            refuse(
                &["url"],
                "many changes have one URL: leave {…} out, or write batch = 1",
            );
        }
        if self.delete == HttpDelete::Request && !has_place {
            let message = "a delete needs a URL of its row: write {column} in url, delete = \"row\" or delete = \"ignore\"";
            refuse(&["delete"], message);
        }
        if self.delete == HttpDelete::Row && !self.operations {
            refuse(
                &["delete"],
                "nothing tells it from other rows: write operations = true",
            );
        }
        if self.answers.is_some() && self.batch == 1 {
            refuse(&["answers"], "only for batch above 1");
        }
        problems
    }

    async fn probe(&self) -> Result<()> {
        // What an API answers to a request without a row says nothing of one with.
        Client::new(&self.access).map(drop)
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn connect(
        &self,
        identity: &Identity,
        _resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Requests::open(self, identity)?))
    }

    fn guarded(&self) -> Option<SinkConfig> {
        None
    }

    async fn open_queue(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>> {
        Ok(None)
    }

    async fn open_positions(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        Ok(None)
    }
}
