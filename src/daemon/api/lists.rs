//! What can be looked at: connections, quarantine, conflicts. Read-only, with a limit, and without the
//! values of rows.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use syncline_connectors::conflict::QueueEntry;
use syncline_connectors::conflict_queue::Entries;

use super::Shared;
use super::answer::Refusal;
use crate::daemon::Slot;
use crate::daemon::view::{
    Conflict, Conflicts, Connection, Connections, Quarantine, QuarantineEntry, Unread,
    milliseconds, sink_kind, source_kind,
};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::quarantine;
use crate::run::status::{PartState, State as PipelineState};

/// How many entries an answer holds at most.
const LIMIT_MAX: usize = 1_000;
/// How long a target may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default = "default_limit")]
    limit: usize,
    pipeline: Option<String>,
}

/// What the quarantine is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedEntries {
    #[serde(default = "default_limit")]
    limit: usize,
    pipeline: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
}

fn default_limit() -> usize {
    100
}

type Asked = Result<Query<Wanted>, QueryRejection>;

pub(super) async fn connections(State(shared): State<Arc<Shared>>) -> Json<Connections> {
    let slots = shared.daemon.slots();
    let connections = slots.iter().flat_map(|slot| of_pipeline(slot));
    Json(Connections {
        connections: connections.collect(),
    })
}

fn of_pipeline(slot: &Slot) -> Vec<Connection> {
    let (file, running) = (slot.file(), slot.running());
    let parts = running.status.parts();
    let state = running.status.state();
    // While it starts, the cause of the whole is that of the system that is away.
    let starts = match &state {
        PipelineState::Stalled { cause } => cause.as_str(),
        _ => "",
    };
    let health = |role: &str, name: &str, r#type: String| {
        let own = format!("{role} {name}");
        let is_own = |part: &PartState| {
            let rest = part.part.strip_prefix(&own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
        };
        let mine: Vec<&PartState> = parts.iter().filter(|part| is_own(part)).collect();
        let cause = mine.iter().find_map(|part| part.cause.clone());
        let cause = cause.or_else(|| starts.contains(&own).then(|| starts.to_owned()));
        Connection {
            pipeline: slot.name.clone(),
            role: role.to_owned(),
            name: name.to_owned(),
            r#type,
            health: match (&cause, mine.is_empty()) {
                (Some(_), _) => "down",
                (None, true) => "unknown",
                (None, false) => "up",
            }
            .to_owned(),
            cause,
        }
    };
    let sources = running.lags.iter().map(|(name, _)| ("source", name));
    let sinks = running.accounts.iter().map(|(name, _)| ("sink", name));
    sources
        .chain(sinks)
        .map(|(role, name)| {
            let kind = match role {
                "source" => source_kind(&file, name),
                _ => sink_kind(&file, name),
            };
            health(role, name, kind)
        })
        .collect()
}

pub(super) async fn quarantine(
    State(shared): State<Arc<Shared>>,
    asked: Result<Query<WantedEntries>, QueryRejection>,
) -> Result<Json<Quarantine>, Refusal> {
    let (before, asked) = match asked {
        Ok(Query(asked)) => {
            let WantedEntries {
                limit,
                pipeline,
                before,
            } = asked;
            (before, Ok(Query(Wanted { limit, pipeline })))
        }
        Err(rejection) => (None, Err(rejection)),
    };
    let (wanted, slots) = shared.wanted(asked)?;
    let plans: Vec<Plan> = slots.iter().map(|slot| Plan::new(&slot.file())).collect();
    let read = tokio::task::spawn_blocking(move || {
        let mut answer = Quarantine {
            total: 0,
            cut: false,
            next: None,
            entries: Vec::new(),
            errors: Vec::new(),
        };
        for plan in plans {
            match quarantine::newest(&plan.quarantine, &plan.name) {
                Ok(listing) => {
                    answer.cut |= listing.is_cut;
                    answer.entries.extend(listing.entries.iter().map(rejected));
                }
                Err(error) => answer.errors.push(Unread {
                    of: plan.name,
                    what: error.chain(),
                }),
            }
        }
        answer.total = answer.entries.len();
        (answer.entries, answer.next) = page(answer.entries, before.as_deref(), wanted.limit);
        answer
    });
    let answer = read.await.map_err(|error| {
        let what = format!("the quarantine could not be read: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, what, "ask again")
    })?;
    Ok(Json(answer))
}

/// The newest entries behind a place, and the place behind them if there are more.
fn page(
    mut entries: Vec<QuarantineEntry>,
    before: Option<&str>,
    limit: usize,
) -> (Vec<QuarantineEntry>, Option<String>) {
    entries.sort_by_cached_key(|entry| Reverse(place(entry)));
    if let Some(before) = before {
        entries.retain(|entry| place(entry).as_str() < before);
    }
    let next = entries
        .get(limit)
        .is_some()
        .then(|| place(&entries[limit - 1]));
    entries.truncate(limit);
    (entries, next)
}

/// Where an entry stands: by time, and entries of one time by what they are.
fn place(entry: &QuarantineEntry) -> String {
    format!("{}~{}~{}", entry.time, entry.pipeline, entry.id)
}

fn rejected(entry: &quarantine::Entry) -> QuarantineEntry {
    QuarantineEntry {
        id: entry.id(),
        time: entry.time.clone(),
        pipeline: entry.pipeline.clone(),
        stage: entry.stage.clone(),
        rule: entry.rule.clone(),
        field: entry.field.clone(),
        topic: entry.topic.clone(),
        partition: entry.partition,
        offset: entry.offset,
    }
}

pub(super) async fn conflicts(
    State(shared): State<Arc<Shared>>,
    wanted: Asked,
) -> Result<Json<Conflicts>, Refusal> {
    let (wanted, slots) = shared.wanted(wanted)?;
    let mut answer = Conflicts {
        total: 0,
        conflicts: Vec::new(),
        errors: Vec::new(),
    };
    for slot in slots {
        let file = slot.file();
        for (sink, node) in &file.sinks {
            let of = format!("{}/{sink}", slot.name);
            let asked = async {
                match node.config.open_queue(&slot.name, sink).await? {
                    Some(mut queue) => queue.entries(Entries::Open).await,
                    None => Ok(Vec::new()),
                }
            };
            match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(Ok(entries)) => answer.conflicts.extend(entries.iter().map(open)),
                Ok(Err(error)) => answer.errors.push(Unread {
                    what: Failure::of(&of, error).to_string(),
                    of,
                }),
                Err(_) => answer.errors.push(Unread {
                    what: format!("{of}: no answer within {} s", TIMEOUT.as_secs()),
                    of,
                }),
            }
        }
    }
    answer.total = answer.conflicts.len();
    answer
        .conflicts
        .sort_by(|one, other| one.since.cmp(&other.since));
    answer.conflicts.truncate(wanted.limit);
    Ok(Json(answer))
}

fn open(entry: &QueueEntry) -> Conflict {
    Conflict {
        id: format!("{}/{}/{}", entry.pipeline, entry.sink, entry.id),
        pipeline: entry.pipeline.clone(),
        sink: entry.sink.clone(),
        table: entry.target.clone(),
        r#type: entry.kind.name().to_owned(),
        waiting: entry.waiting,
        since: milliseconds(entry.opened_at_ms),
    }
}

impl Shared {
    /// What was asked for, and of which pipelines.
    fn wanted(&self, asked: Asked) -> Result<(Wanted, Vec<Arc<Slot>>), Refusal> {
        let remedy = format!("`limit` is a number from 1 to {LIMIT_MAX}, `pipeline` a name");
        let wrong = |what: String| Refusal::new(StatusCode::BAD_REQUEST, what, remedy.clone());
        let Query(wanted) = asked.map_err(|error| wrong(error.body_text()))?;
        if wanted.limit == 0 || wanted.limit > LIMIT_MAX {
            return Err(wrong(format!("the limit {} is none", wanted.limit)));
        }
        let slots = match &wanted.pipeline {
            Some(name) => vec![self.slot(name)?],
            None => self.daemon.slots(),
        };
        Ok((wanted, slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_every_entry_once_also_those_of_one_time() {
        let entry = |number: usize| QuarantineEntry {
            id: format!("e{number}"),
            time: format!("2026-01-01T00:00:0{}.000Z", number / 4),
            pipeline: "p".to_owned(),
            stage: "decode".to_owned(),
            rule: "r".to_owned(),
            field: None,
            topic: "t".to_owned(),
            partition: 0,
            offset: number as i64,
        };
        let all: Vec<_> = (0..9).map(entry).collect();
        let (mut before, mut seen) = (None, Vec::new());
        for expected in [3, 3, 3] {
            let (entries, next) = page(all.clone(), before.as_deref(), 3);
            assert_eq!(entries.len(), expected);
            seen.extend(entries.into_iter().map(|entry| entry.offset));
            before = next;
        }
        assert_eq!(before, None);
        assert_eq!(seen, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
}
