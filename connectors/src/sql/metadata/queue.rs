//! Conflicts that wait for a person, and the changes of their keys that wait behind them (C9).

use super::history::{json_or_null, place_values, read_place};
use super::{Fields, MetadataTables, QUEUE_TABLE, Row, WAITING_TABLE, literal};
use crate::conflict::{Json, QueueEntry, QueueState, Resolution, Sides, Take, kind_named};
use crate::error::Result;

/// What an entry is made with; the rest is for who resolves it.
const COLUMNS: &[&str] = &[
    "pipeline",
    "sink",
    "source",
    "target",
    "key",
    "kind",
    "columns",
    "reason",
    "base_row",
    "source_row",
    "target_row",
    "change",
    "topic",
    "partition",
    "position",
    "event_time_ms",
    "opened_at_ms",
    "state",
];

/// A change that waits behind an open conflict of its key.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// The table in the target.
    pub target: &'a str,
    /// The key of its row.
    pub key: &'a str,
    /// The change, as [`crate::conflict::write_change`] makes it.
    pub change: &'a str,
}

impl MetadataTables {
    /// Puts conflicts into the queue; the target gives them their ids.
    pub fn insert_queue(&self, entries: &[QueueEntry]) -> Vec<String> {
        self.insert(QUEUE_TABLE, COLUMNS, entries.iter().map(values), "")
    }

    /// Puts changes behind the open conflicts of their keys, in this order.
    pub fn append_waiting(&self, waiting: &[Waiting<'_>]) -> Vec<String> {
        let columns = ["pipeline", "sink", "target", "key", "change"];
        let rows = waiting.iter().map(|waiting| {
            vec![
                literal(&self.pipeline),
                literal(&self.sink),
                literal(waiting.target),
                literal(waiting.key),
                literal(waiting.change),
            ]
        });
        self.insert(WAITING_TABLE, &columns, rows, "")
    }

    /// One row where any conflict of `target` is open: a short question before [`MetadataTables::open_keys`].
    pub fn any_open(&self, target: &str) -> String {
        format!(
            "SELECT 'open' FROM {} WHERE {} LIMIT 1",
            self.name(QUEUE_TABLE),
            self.open_of(target)
        )
    }

    /// Which of `keys` have an open conflict: their texts. Locks the entries, so that who resolves one
    /// and who writes its key take turns: to be asked before the rows of these keys are read.
    pub fn open_keys<'a>(
        &self,
        target: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let begin = format!(
            "SELECT {} FROM {} WHERE {}",
            self.name("key"),
            self.name(QUEUE_TABLE),
            self.open_of(target)
        );
        let lock = self.dialect.lock;
        let end = format!(" ORDER BY {}{lock}", self.name("id"));
        self.with_keys(&begin, keys, &end)
    }

    /// The entries of the sink, the oldest first: the open ones, or all of them.
    pub fn select_queue(&self, all: bool) -> String {
        let wanted = if all {
            self.own()
        } else {
            format!("{} AND {} = 'open'", self.own(), self.name("state"))
        };
        format!(
            "{} WHERE {wanted} ORDER BY {}",
            self.select(),
            self.in_table("q", "id")
        )
    }

    /// The entry of this id.
    pub fn select_entry(&self, id: i64) -> String {
        let own = self.own();
        format!(
            "{} WHERE {own} AND {} = {id}",
            self.select(),
            self.name("id")
        )
    }

    /// Locks the entry of this id; no row where it is not open.
    pub fn lock_entry(&self, id: i64) -> String {
        let lock = self.dialect.lock;
        format!(
            "SELECT {} FROM {} WHERE {} AND {} = {id} AND {} = 'open'{lock}",
            self.name("target"),
            self.name(QUEUE_TABLE),
            self.own(),
            self.name("id"),
            self.name("state"),
        )
    }

    /// Says how an entry was resolved, by whom and when.
    pub fn close_entry(&self, id: i64, resolution: &Resolution) -> String {
        let state = match resolution.take {
            Take::Skip => QueueState::Skipped,
            _ => QueueState::Resolved,
        };
        let values = [
            ("state", literal(state.name())),
            ("taken", literal(&resolution.taken())),
            ("resolved_by", literal(&resolution.by)),
            ("resolved_at_ms", resolution.at_ms.to_string()),
        ];
        let values = values.map(|(name, value)| format!("{} = {value}", self.name(name)));
        format!(
            "UPDATE {} SET {} WHERE {} AND {} = {id}",
            self.name(QUEUE_TABLE),
            values.join(", "),
            self.own(),
            self.name("id"),
        )
    }

    /// The changes that wait behind the open conflict of a key, in their order: number and text.
    pub fn select_waiting(&self, target: &str, key: &str) -> String {
        format!(
            "SELECT {} FROM {} WHERE {} AND {} = {} ORDER BY {}",
            self.texts(&["sequence", "change"]),
            self.name(WAITING_TABLE),
            self.own_target(target),
            self.name("key"),
            literal(key),
            self.in_table(WAITING_TABLE, "sequence"),
        )
    }

    /// Takes the changes that wait behind the open conflict of a key away.
    pub fn delete_waiting(&self, target: &str, key: &str) -> String {
        format!(
            "DELETE FROM {} WHERE {} AND {} = {}",
            self.name(WAITING_TABLE),
            self.own_target(target),
            self.name("key"),
            literal(key),
        )
    }

    fn select(&self) -> String {
        let same: Vec<String> = ["pipeline", "sink", "target", "key"]
            .map(|name| format!("w.{0} = q.{0}", self.name(name)))
            .into();
        let waiting = format!(
            "(SELECT count(*) FROM {} AS w WHERE {} AND q.{} = 'open')",
            self.name(WAITING_TABLE),
            same.join(" AND "),
            self.name("state"),
        );
        let mut columns = vec!["id"];
        columns.extend(COLUMNS);
        columns.extend(["taken", "resolved_by", "resolved_at_ms"]);
        format!(
            "SELECT {}, {} FROM {} AS q",
            self.texts(&columns),
            self.as_text(&waiting),
            self.name(QUEUE_TABLE)
        )
    }

    fn open_of(&self, target: &str) -> String {
        format!(
            "{} AND {} = 'open'",
            self.own_target(target),
            self.name("state")
        )
    }
}

/// A row of [`MetadataTables::select_queue`] and [`MetadataTables::select_entry`].
///
/// # Errors
/// `Configuration` where a newer version wrote it.
pub(crate) fn read_entry(row: Row) -> Result<QueueEntry> {
    let mut fields = Fields::of(row);
    Ok(QueueEntry {
        id: fields.number()?,
        pipeline: fields.text(),
        sink: fields.text(),
        source: fields.text(),
        target: fields.text(),
        key: Json(fields.text()),
        kind: fields.named("type", kind_named)?,
        columns: Json(fields.text()),
        reason: fields.text(),
        rows: Sides {
            base: fields.optional().map(Json),
            source: fields.optional().map(Json),
            target: fields.optional().map(Json),
            result: None,
        },
        change: fields.text(),
        place: read_place(&mut fields)?,
        opened_at_ms: fields.number()?,
        state: fields.named("state", QueueState::named)?,
        taken: fields.optional(),
        resolved_by: fields.optional(),
        resolved_at_ms: fields.optional_number()?,
        waiting: fields.number()?,
    })
}

fn values(entry: &QueueEntry) -> Vec<String> {
    let mut values = vec![
        literal(&entry.pipeline),
        literal(&entry.sink),
        literal(&entry.source),
        literal(&entry.target),
        literal(&entry.key.0),
        literal(entry.kind.name()),
        literal(&entry.columns.0),
        literal(&entry.reason),
        json_or_null(entry.rows.base.as_ref()),
        json_or_null(entry.rows.source.as_ref()),
        json_or_null(entry.rows.target.as_ref()),
        literal(&entry.change),
    ];
    values.extend(place_values(&entry.place));
    values.push(entry.opened_at_ms.to_string());
    values.push(literal(entry.state.name()));
    values
}
