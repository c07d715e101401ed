//! The history: one row a conflict, once, for as long as its bounds let it stay.

use super::{
    CONFLICTS_TABLE, Fields, MetadataTables, Row, literal, literal_or_null, number_or_null,
};
use crate::conflict::{ConflictRecord, Json, KeyFilter, Place, Sides, kind_named, winner_named};
use crate::error::Result;

/// In the order of [`ConflictRecord`].
const COLUMNS: &[&str] = &[
    "id",
    "pipeline",
    "sink",
    "source",
    "target",
    "key",
    "kind",
    "strategy",
    "winner",
    "columns",
    "reason",
    "base_row",
    "source_row",
    "target_row",
    "result_row",
    "topic",
    "partition",
    "position",
    "event_time_ms",
    "decided_at_ms",
];

impl MetadataTables {
    /// Keeps conflicts; one whose id is there already stays as it is.
    pub fn insert_history(&self, records: &[ConflictRecord]) -> Vec<String> {
        let once = self.dialect.once;
        self.insert(CONFLICTS_TABLE, COLUMNS, records.iter().map(values), once)
    }

    /// Lets go of what is older than `oldest_ms`, and of the oldest beyond `rows_max`: at most
    /// `deleted_max` rows a statement, so that a call is as short as it is often. Rows that another
    /// lane deletes are passed over.
    ///
    /// The second statement walks over an index of `rows_max` entries: not for every write.
    pub fn prune_history(&self, rows_max: u64, oldest_ms: i64, deleted_max: u32) -> Vec<String> {
        let (table, own) = (self.name(CONFLICTS_TABLE), self.own());
        let (id, time) = (self.name("id"), self.name("decided_at_ms"));
        let first_beyond = format!(
            "SELECT {time}, {id} FROM {table} WHERE {own} ORDER BY {time} DESC, {id} DESC LIMIT 1 OFFSET {rows_max}"
        );
        let words = self.dialect;
        [
            format!("{time} < {oldest_ms}"),
            // MySQL deletes from no table that the statement reads, unless it reads a copy.
            format!("({time}, {id}) <= (SELECT * FROM ({first_beyond}) AS f)"),
        ]
        .map(|too_much| {
            let rows = format!(
                "WHERE {own} AND {too_much} ORDER BY {time}, {id} LIMIT {deleted_max}{}",
                words.lock_free
            );
            (words.delete_some)(&table, &id, &rows)
        })
        .into()
    }

    /// The last `limit` conflicts, the newest first; of `key` alone where it is given. The filter has
    /// the last word: a statement may return a few rows too many.
    pub fn select_history(&self, key: Option<&KeyFilter>, limit: u64) -> String {
        let mut wanted = self.own();
        for any in key.map(KeyFilter::parts).unwrap_or_default() {
            let any: Vec<String> = any
                .iter()
                .map(|part| format!("{} > 0", self.place_of(&self.name("key"), part)))
                .collect();
            wanted.push_str(&format!(" AND ({})", any.join(" OR ")));
        }
        format!(
            "SELECT {} FROM {} WHERE {wanted} ORDER BY {} DESC, {} DESC, {} DESC LIMIT {limit}",
            self.texts(COLUMNS),
            self.name(CONFLICTS_TABLE),
            self.in_table(CONFLICTS_TABLE, "decided_at_ms"),
            self.in_table(CONFLICTS_TABLE, "position"),
            self.in_table(CONFLICTS_TABLE, "id"),
        )
    }
}

/// A row of [`MetadataTables::select_history`].
///
/// # Errors
/// `Configuration` where a newer version wrote it.
pub(crate) fn read_record(row: Row) -> Result<ConflictRecord> {
    let mut fields = Fields::of(row);
    Ok(ConflictRecord {
        id: fields.text(),
        pipeline: fields.text(),
        sink: fields.text(),
        source: fields.text(),
        target: fields.text(),
        key: Json(fields.text()),
        kind: fields.named("type", kind_named)?,
        strategy: fields.text(),
        winner: fields.named("winner", winner_named)?,
        columns: Json(fields.text()),
        reason: fields.text(),
        rows: Sides {
            base: fields.optional().map(Json),
            source: fields.optional().map(Json),
            target: fields.optional().map(Json),
            result: fields.optional().map(Json),
        },
        place: read_place(&mut fields)?,
        decided_at_ms: fields.number()?,
    })
}

pub(super) fn read_place(fields: &mut Fields) -> Result<Place> {
    Ok(Place {
        topic: fields.text(),
        partition: fields.number()?,
        position: fields.number()?,
        event_time_ms: fields.optional_number()?,
    })
}

pub(super) fn json_or_null(json: Option<&Json>) -> String {
    literal_or_null(json.map(|json| json.0.as_str()))
}

pub(super) fn place_values(place: &Place) -> [String; 4] {
    [
        literal(&place.topic),
        place.partition.to_string(),
        place.position.to_string(),
        number_or_null(place.event_time_ms),
    ]
}

fn values(record: &ConflictRecord) -> Vec<String> {
    let mut values = vec![
        literal(&record.id),
        literal(&record.pipeline),
        literal(&record.sink),
        literal(&record.source),
        literal(&record.target),
        literal(&record.key.0),
        literal(record.kind.name()),
        literal(&record.strategy),
        literal(record.winner.name()),
        literal(&record.columns.0),
        literal(&record.reason),
        json_or_null(record.rows.base.as_ref()),
        json_or_null(record.rows.source.as_ref()),
        json_or_null(record.rows.target.as_ref()),
        json_or_null(record.rows.result.as_ref()),
    ];
    values.extend(place_values(&record.place));
    values.push(record.decided_at_ms.to_string());
    values
}
