//! Changes as requests: what is sent, and what an answer says of it.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::{HttpDelete, HttpSink};
use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange, Result};
use crate::http::client::{Client, Refusal, Request};
use crate::http::paging::at;
use crate::json_row::write_object;
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Sink, Write};
use crate::text::{write_string, write_text};

/// How long a write waits by itself because an answer says so; longer is an outage.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The requests of one lane.
pub(super) struct Requests {
    config: HttpSink,
    client: Client,
    identity: Identity,
    /// Ids that were taken of a write that failed.
    taken: HashSet<String>,
}

/// A change as it is sent.
struct Item {
    batch: usize,
    row: usize,
    id: String,
    url: Url,
    delete: bool,
    body: Vec<u8>,
}

impl Requests {
    /// Before the first request.
    ///
    /// # Errors
    /// `Configuration` where the settings do not fit.
    pub(super) fn open(config: &HttpSink, identity: &Identity) -> Result<Self> {
        Ok(Self {
            client: Client::new(&config.access)?,
            config: config.clone(),
            identity: identity.clone(),
            taken: HashSet::new(),
        })
    }

    /// The changes of a batch as they are sent; what cannot be is added to `rejected`.
    fn items(
        &self,
        batch: usize,
        changes: &Changes,
        rejected: &mut Vec<RejectedChange>,
    ) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(changes.len());
        for row in 0..changes.len() {
            let operation = changes.operations[row];
            let mut refuse = |rule: &str, field: Option<String>, reason: &str| {
                rejected.push(RejectedChange {
                    batch,
                    row,
                    rule: rule.to_owned(),
                    field,
                    reason: reason.to_owned(),
                });
            };
            if operation == Operation::Truncate {
                refuse("R13", None, "no request can say that a table is emptied");
                continue;
            }
            let is_delete = operation == Operation::Delete;
            if is_delete && self.config.delete == HttpDelete::Ignore {
                continue;
            }
            let url = match self.url(changes, row)? {
                Ok(url) => url,
                Err(column) => {
                    refuse("R2", Some(column), "the URL needs a value of this column");
                    continue;
                }
            };
            let mut body = Vec::new();
            let delete = is_delete && self.config.delete == HttpDelete::Request;
            if !delete {
                write_object(changes, row, self.config.operations, &mut body);
            }
            items.push(Item {
                batch,
                row,
                id: self.id(changes, row),
                url,
                delete,
                body,
            });
        }
        Ok(items)
    }

    /// The id of a change: where it is from, which stays the same when it comes again. A change of a key is two
    /// changes of one record.
    fn id(&self, changes: &Changes, row: usize) -> String {
        let origin = changes.origins[row] as usize;
        let entry = &changes.records.entries[origin];
        let partition = &changes.records.partition(origin).partition;
        format!(
            "{}.{}.{}.{}.{}{}",
            self.identity.pipeline,
            self.identity.sink,
            partition.topic,
            partition.number,
            entry.offset,
            match changes.operations[row] {
                Operation::Delete => "d",
                _ => "",
            }
        )
        .chars()
        .map(|letter| {
            if letter.is_ascii_graphic() {
                letter
            } else {
                '_'
            }
        })
        .collect()
    }

    /// The URL of a row; the inner error is a column without a value.
    fn url(&self, changes: &Changes, row: usize) -> Result<Result<Url, String>> {
        let mut text = String::new();
        let mut rest = self.config.access.url.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            text.push_str(before);
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| Error::configuration("url: a { is not closed"))?;
            let column = changes.rows.schema_ref().index_of(name).map_err(|_| {
                Error::configuration(format!(
                    "url: the changes of {:?} have no column {name:?}: correct it",
                    changes.table.name
                ))
            })?;
            let values = changes.rows.column(column);
            if changes.is_unset(column, row) || values.is_null(row) {
                return Ok(Err(name.to_owned()));
            }
            let mut value = Vec::new();
            write_text(
                changes.rows.schema_ref().field(column),
                values,
                row,
                &mut value,
            );
            // A part of a path has no plus for a blank.
            let encoded: String = url::form_urlencoded::byte_serialize(&value).collect();
            text.push_str(&encoded.replace('+', "%20"));
            rest = behind;
        }
        text.push_str(rest);
        let url =
            Url::parse(&text).map_err(|cause| Error::configuration_from("url is no URL", cause))?;
        Ok(Ok(url))
    }

    /// Sends items; gives those that were refused, with the reason.
    async fn send(&mut self, items: &[Item]) -> Result<Vec<(usize, String)>> {
        // Halves that are still to be sent, the next one last.
        let mut open = vec![(0, items.len())];
        let mut refused = Vec::new();
        while let Some((from, upto)) = open.pop() {
            let part = &items[from..upto];
            match self.send_part(part).await? {
                Sent::Taken => self.taken.extend(part.iter().map(|item| item.id.clone())),
                Sent::Some(reasons) => {
                    let reasons: std::collections::BTreeMap<usize, String> =
                        reasons.into_iter().collect();
                    for (index, item) in part.iter().enumerate() {
                        match reasons.get(&index) {
                            Some(reason) => refused.push((from + index, reason.clone())),
                            None => drop(self.taken.insert(item.id.clone())),
                        }
                    }
                }
                Sent::Refused(status) if part.len() == 1 => {
                    refused.push((from, format!("the API answered {status}")));
                }
                Sent::Refused(_) => {
                    let middle = from + part.len() / 2;
                    open.push((middle, upto));
                    open.push((from, middle));
                }
            }
        }
        Ok(refused)
    }

    async fn send_part(&mut self, items: &[Item]) -> Result<Sent> {
        let (first, last) = (&items[0], &items[items.len() - 1]);
        let id = match items.len() {
            1 => first.id.clone(),
            _ => format!("{}..{}", first.id, last.id),
        };
        let mut body = Vec::new();
        if self.config.batch == 1 {
            body.clone_from(&first.body);
        } else {
            if let Some(name) = &self.config.wrap {
                body.push(b'{');
                write_string(name, &mut body);
                body.push(b':');
            }
            body.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&item.body);
            }
            body.push(b']');
            if self.config.wrap.is_some() {
                body.push(b'}');
            }
        }
        let mut headers = vec![(self.config.idempotency_header.clone(), id)];
        if !first.delete {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = Request {
            method: match first.delete {
                true => Method::DELETE,
                false => Method::from_bytes(self.config.method.as_bytes()).unwrap_or(Method::PUT),
            },
            url: first.url.clone(),
            headers,
            body: (!first.delete).then_some(body),
        };
        match self.client.send(&request).await {
            Ok(answer) => self.judge(items.len(), &answer.body),
            Err(Refusal::Stop(error)) => Err(error),
            Err(Refusal::Data(StatusCode::NOT_FOUND | StatusCode::GONE)) if first.delete => {
                Ok(Sent::Taken)
            }
            Err(Refusal::Data(status)) => Ok(Sent::Refused(status)),
            Err(Refusal::Later(error, wait)) => {
                if let Some(wait) = wait {
                    tokio::time::sleep(wait.min(WAIT_MAX)).await;
                }
                Err(error)
            }
        }
    }

    /// What an answer of success says of each item.
    fn judge(&self, count: usize, body: &[u8]) -> Result<Sent> {
        let Some(answers) = self.config.answers.as_ref() else {
            return Ok(Sent::Taken);
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let list = at(&body, answers.path.as_deref().unwrap_or_default());
        let items = list.as_array().filter(|items| items.len() == count);
        let Some(items) = items else {
            return Err(Error::configuration(format!(
                "the answer to {count} changes has {} items at answers.path: correct answers",
                list.as_array().map_or(0, Vec::len)
            )));
        };
        let mut refused = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let status = at(item, &answers.status);
            let number = status.as_u64().or_else(|| status.as_str()?.parse().ok());
            let is_taken = match number {
                Some(number) => (200..300).contains(&number),
                None => *status == Value::Bool(true),
            };
            if number.is_some_and(|number| number == 429 || number >= 500) {
                return Err(Error::Unavailable {
                    message: format!("the API answered {status} to one of {count} changes"),
                    cause: None,
                });
            }
            if !is_taken {
                let reason = answers.reason.as_ref().map(|path| at(item, path));
                let reason = reason.and_then(Value::as_str).unwrap_or_default();
                refused.push((index, format!("the API answered {status} {reason}")));
            }
        }
        Ok(match refused.is_empty() {
            true => Sent::Taken,
            false => Sent::Some(refused),
        })
    }
}

/// What became of a request.
enum Sent {
    Taken,
    /// Refused as a whole.
    Refused(StatusCode),
    /// These were refused, with the reason.
    Some(Vec<(usize, String)>),
}

#[async_trait]
impl Sink for Requests {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        Ok(None)
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        let mut rejected = Vec::new();
        for (batch, changes) in write.changes.iter().enumerate() {
            let mut items = self.items(batch, changes, &mut rejected)?;
            items.retain(|item| !self.taken.contains(&item.id));
            let mut rest = items.as_slice();
            while let Some(first) = rest.first() {
                // A delete by its method stands alone.
                let alone = first.delete || self.config.batch == 1;
                let fitting = rest.iter().take_while(|item| !item.delete);
                let count = match alone {
                    true => 1,
                    false => fitting.count().min(self.config.batch),
                };
                let (part, behind) = rest.split_at(count);
                for (index, reason) in self.send(part).await? {
                    let item = &part[index];
                    rejected.push(RejectedChange {
                        batch: item.batch,
                        row: item.row,
                        rule: "http".to_owned(),
                        field: None,
                        reason,
                    });
                }
                rest = behind;
            }
        }
        // The rest of the write comes again; what was taken of it is not sent again.
        if !rejected.is_empty() {
            return Err(Error::Rejected(rejected));
        }
        self.taken.clear();
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
