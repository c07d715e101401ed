//! One conflict as a record of the history, as an entry of the queue, and as images of its sides.

use arrow::array::{Array, UInt64Array};
use serde_json::{Map, Value};

use super::{ConflictLog, Keys};
use crate::change::Changes;
use crate::conflict::{
    ConflictRecord, Hashes, Json, Place, QueueEntry, QueueState, Sides, conflict_id, write_change,
};
use crate::error::{Error, Result};
use crate::sink::Identity;
use crate::sql::decide::Report;

/// What records are made from.
pub(super) struct About<'a> {
    pub(super) conflict_log: &'a ConflictLog,
    pub(super) keys: &'a Keys<'a>,
    pub(super) changes: &'a Changes,
    pub(super) now_ms: i64,
}

impl About<'_> {
    pub(super) fn record(&self, report: &Report) -> ConflictRecord {
        let Identity {
            pipeline,
            sink,
            source,
        } = self.conflict_log.identity.clone();
        let row = report.row as usize;
        let origin = self.changes.origins[row];
        // The delete and the create of a changed key share their record (R10).
        let ordinal = u32::from(row > 0 && self.changes.origins[row - 1] == origin);
        let records = &self.changes.records;
        let partition = &records.partition(origin as usize).partition;
        let offset = records.entries[origin as usize].offset;
        ConflictRecord {
            id: conflict_id(&self.conflict_log.identity, partition, offset, ordinal),
            pipeline,
            sink,
            source,
            target: self.keys.target.to_owned(),
            key: Json(self.keys.texts[report.key as usize].clone()),
            kind: report.kind,
            strategy: self.conflict_log.policy.strategy.name().to_owned(),
            winner: report.winner,
            columns: self.columns(report),
            reason: report.reason.to_owned(),
            rows: sides(report),
            place: self.place(row),
            decided_at_ms: self.now_ms,
        }
    }

    pub(super) fn entry(&self, report: &Report) -> Result<QueueEntry> {
        let Identity {
            pipeline,
            sink,
            source,
        } = self.conflict_log.identity.clone();
        let row = report.row as usize;
        Ok(QueueEntry {
            id: 0,
            pipeline,
            sink,
            source,
            target: self.keys.target.to_owned(),
            key: Json(self.keys.texts[report.key as usize].clone()),
            kind: report.kind,
            columns: self.columns(report),
            reason: report.reason.to_owned(),
            rows: Sides {
                result: None,
                ..sides(report)
            },
            change: write_change(self.changes, row)?,
            place: self.place(row),
            opened_at_ms: self.now_ms,
            state: QueueState::Open,
            taken: None,
            resolved_by: None,
            resolved_at_ms: None,
            waiting: 0,
        })
    }

    pub(super) fn place(&self, row: usize) -> Place {
        let origin = self.changes.origins[row] as usize;
        let records = &self.changes.records;
        let partition = &records.partition(origin).partition;
        Place {
            topic: partition.topic.to_string(),
            partition: partition.number,
            position: records.entries[origin].offset,
            event_time_ms: self.changes.event_times_ms[row],
        }
    }

    /// Each contested column with the strategy that it has.
    pub(super) fn columns(&self, report: &Report) -> Json {
        let policy = &self.conflict_log.policy;
        let schema = self.changes.rows.schema_ref();
        let columns: Map<String, Value> = report
            .columns
            .iter()
            .map(|&column| {
                let name = schema.field(column).name();
                let own = policy.columns.get(name).unwrap_or(&policy.strategy);
                (name.clone(), own.name().into())
            })
            .collect();
        Json(Value::Object(columns).to_string())
    }
}

pub(super) fn sides(report: &Report) -> Sides {
    Sides {
        base: report.base.clone().map(Json),
        source: Some(Json(report.source.clone())),
        target: report.target.clone().map(Json),
        result: report.result.clone().map(Json),
    }
}

/// The hashes of one key as a JSON object of hexadecimal texts; `None` where nothing is known.
pub(super) fn write_hashes(hashes: &Hashes, changes: &Changes, row: usize) -> Option<String> {
    let schema = changes.rows.schema_ref();
    let known = hashes.columns.iter().zip(schema.fields());
    let known: Map<String, Value> = known
        .filter(|(column, _)| column.is_valid(row))
        .map(|(column, field)| {
            (
                field.name().clone(),
                format!("{:016x}", column.value(row)).into(),
            )
        })
        .collect();
    (!known.is_empty()).then(|| Value::Object(known).to_string())
}

pub(super) fn read_hashes(changes: &Changes, texts: &[Option<&str>]) -> Result<Hashes> {
    let objects = texts
        .iter()
        .map(|text| match text {
            Some(text) => serde_json::from_str::<Map<String, Value>>(text),
            None => Ok(Map::new()),
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| Error::configuration_from("the shadow holds what is no image", cause))?;
    let schema = changes.rows.schema_ref();
    let columns = schema.fields().iter().map(|field| {
        let hashes = objects.iter().map(|object| {
            let text = object.get(field.name())?.as_str()?;
            u64::from_str_radix(text, 16).ok()
        });
        hashes.collect::<UInt64Array>()
    });
    Ok(Hashes {
        columns: columns.collect(),
    })
}
