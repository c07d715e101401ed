//! Changes that wait for a row that a foreign key needs (R21).

use super::{Fields, MetadataTables, Row, WAITING_ROOM_TABLE, literal, literal_or_null};
use crate::conflict::Json;
use crate::error::Result;
use crate::waiting::WaitingChange;

/// What a change is kept with.
const COLUMNS: &[&str] = &[
    "pipeline", "sink", "source", "target", "key", "awaits", "rule", "field", "reason", "since_ms",
    "change",
];

/// The first change of a key that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingHead {
    /// The target's number of the change.
    pub id: i64,
    /// The table in the target.
    pub target: String,
    /// The key.
    pub key: String,
    /// As [`WaitingChange::awaits`].
    pub awaits: Option<String>,
    /// Since when it waits.
    pub since_ms: i64,
}

impl MetadataTables {
    /// Puts changes into the waiting room, in this order.
    pub fn insert_waiting(&self, waiting: &[WaitingChange]) -> Vec<String> {
        let rows = waiting.iter().map(|waiting| {
            vec![
                literal(&self.pipeline),
                literal(&self.sink),
                literal(&waiting.source),
                literal(&waiting.target),
                literal(&waiting.key.0),
                literal_or_null(waiting.awaits.as_deref()),
                literal(&waiting.rule),
                literal_or_null(waiting.field.as_deref()),
                literal(&waiting.reason),
                waiting.since_ms.to_string(),
                literal(&waiting.change),
            ]
        });
        self.insert(WAITING_ROOM_TABLE, COLUMNS, rows, "")
    }

    /// How many changes of the sink wait.
    pub fn count_waiting(&self) -> String {
        format!(
            "SELECT {} FROM {} WHERE {}",
            self.as_text("count(*)"),
            self.name(WAITING_ROOM_TABLE),
            self.own()
        )
    }

    /// Which of `keys` have a change that waits: their texts.
    pub fn waiting_keys<'a>(
        &self,
        target: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let begin = format!(
            "SELECT DISTINCT {} FROM {} WHERE {}",
            self.name("key"),
            self.name(WAITING_ROOM_TABLE),
            self.own_target(target)
        );
        self.with_keys(&begin, keys, "")
    }

    /// The numbers of the changes of a table that wait.
    pub fn waiting_of_table(&self, target: &str) -> String {
        format!(
            "SELECT {} FROM {} WHERE {}",
            self.texts(&["sequence"]),
            self.name(WAITING_ROOM_TABLE),
            self.own_target(target)
        )
    }

    /// The first change of each key, from the number after `after` on, the oldest first.
    pub fn select_heads(&self, after: i64, limit: usize) -> String {
        let (table, sequence) = (self.name(WAITING_ROOM_TABLE), self.name("sequence"));
        let columns = ["sequence", "target", "key", "awaits", "since_ms"];
        let columns: Vec<String> = columns
            .iter()
            .map(|column| self.as_text(&format!("w.{}", self.name(column))))
            .collect();
        format!(
            "SELECT {} FROM {table} AS w JOIN (SELECT min({sequence}) AS head FROM {table} WHERE {} \
             GROUP BY {}, {} HAVING min({sequence}) > {after} ORDER BY 1 LIMIT {limit}) AS h \
             ON w.{sequence} = h.head ORDER BY w.{sequence}",
            columns.join(", "),
            self.own(),
            self.name("target"),
            self.name("key"),
        )
    }

    /// The changes of these keys of a table, in their order; locks them, so that nobody else releases
    /// them.
    pub fn lock_waiting<'a>(
        &self,
        target: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let begin = format!("{} AND {}", self.select_waiting_room(), {
            format!("{} = {}", self.name("target"), literal(target))
        });
        let end = format!(
            " ORDER BY {}{}",
            self.in_table(WAITING_ROOM_TABLE, "sequence"),
            self.dialect.lock
        );
        self.with_keys(&begin, keys, &end)
    }

    /// All changes of the sink that wait, the oldest first.
    pub fn list_waiting(&self, limit: usize) -> String {
        format!(
            "{} ORDER BY {} LIMIT {limit}",
            self.select_waiting_room(),
            self.in_table(WAITING_ROOM_TABLE, "sequence"),
        )
    }

    /// Says what a change waits for now.
    pub fn update_awaits(&self, id: i64, awaits: Option<&str>) -> String {
        format!(
            "UPDATE {} SET {} = {} WHERE {} AND {} = {id}",
            self.name(WAITING_ROOM_TABLE),
            self.name("awaits"),
            literal_or_null(awaits),
            self.own(),
            self.name("sequence"),
        )
    }

    /// Which of these changes still wait; locks them, so that nobody else takes them out.
    pub fn lock_waiting_changes(&self, ids: &[i64]) -> Vec<String> {
        let begin = format!(
            "SELECT {} FROM {} WHERE {} AND {} IN (",
            self.texts(&["sequence"]),
            self.name(WAITING_ROOM_TABLE),
            self.own(),
            self.name("sequence"),
        );
        let end = format!("){}", self.dialect.lock);
        super::chunks(&begin, ids.iter().map(i64::to_string), &end)
    }

    /// Takes changes out of the waiting room.
    pub fn remove_waiting(&self, ids: &[i64]) -> Vec<String> {
        let begin = format!(
            "DELETE FROM {} WHERE {} AND {} IN (",
            self.name(WAITING_ROOM_TABLE),
            self.own(),
            self.name("sequence"),
        );
        super::chunks(&begin, ids.iter().map(i64::to_string), ")")
    }

    fn select_waiting_room(&self) -> String {
        let columns = [
            "sequence", "source", "target", "key", "awaits", "rule", "field", "reason", "since_ms",
            "change",
        ];
        format!(
            "SELECT {} FROM {} WHERE {}",
            self.texts(&columns),
            self.name(WAITING_ROOM_TABLE),
            self.own()
        )
    }
}

/// A row of [`MetadataTables::lock_waiting`] and [`MetadataTables::list_waiting`].
///
/// # Errors
/// `Configuration` where a newer version wrote it.
pub(crate) fn read_waiting_change(row: Row) -> Result<WaitingChange> {
    let mut fields = Fields::of(row);
    Ok(WaitingChange {
        id: fields.number()?,
        source: fields.text(),
        target: fields.text(),
        key: Json(fields.text()),
        awaits: fields.optional(),
        rule: fields.text(),
        field: fields.optional(),
        reason: fields.text(),
        since_ms: fields.number()?,
        change: fields.text(),
    })
}

/// A row of [`MetadataTables::select_heads`].
///
/// # Errors
/// As [`read_waiting_change`].
pub(crate) fn read_head(row: Row) -> Result<WaitingHead> {
    let mut fields = Fields::of(row);
    Ok(WaitingHead {
        id: fields.number()?,
        target: fields.text(),
        key: fields.text(),
        awaits: fields.optional(),
        since_ms: fields.number()?,
    })
}
