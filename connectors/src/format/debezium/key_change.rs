//! Changes of a key, from the records that say what it was (R10, R14).
//!
//! Debezium writes a change of a key as a delete and a create, and names the old key in a header of the
//! create. Where such a create leaves out values that did not change, they stand in the row under the old
//! key: the create then carries that key as its row before, and a sink can take them from there. A create
//! that is whole needs none, and carries none.

use super::key_columns::fields;
use super::{Debezium, Job};
use crate::format::fault::Parsed;
use crate::format::record_key;

/// Debezium's header with the key that a created row had before.
const OLD_KEY: &str = "__debezium.oldkey";

impl Debezium {
    /// Where the row that was appended last, of `value` at `start`, leaves out values and its record
    /// names the key that it had, appends that key as its row before and says so.
    pub(super) fn append_old_key(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        value: &[u8],
        start: usize,
    ) -> Parsed<bool> {
        let Some(headers) = job.records.headers(job.index) else {
            return Ok(false);
        };
        if !self.streams[target].is_partial() {
            return Ok(false);
        }
        let names = self.streams[target]
            .basis()
            .and_then(|basis| basis.key.clone());
        let headers: serde_json::Value = serde_json::from_slice(headers).unwrap_or_default();
        let Some(key) = headers.get(OLD_KEY).and_then(serde_json::Value::as_str) else {
            return Ok(false);
        };
        let is_text = self.key_is_text(target, names.as_ref());
        let Ok((object, _)) = record_key::values(key.as_bytes(), names.as_ref(), is_text) else {
            return Ok(false);
        };
        // A field that is no column would make a sampled schema wider.
        let stream = &self.streams[target];
        let is_column = |(name, _): &(String, &[u8])| stream.has_column(name);
        if !fields(&object).is_ok_and(|fields| fields.iter().all(is_column)) {
            return Ok(false);
        }
        self.append_forced_image(job, target, (&object, 0), (value, start))
    }

    /// Appends the first row as the image of the second, which was appended last, also where it holds
    /// no more than the key. False where it cannot be read or lacks the key.
    pub(super) fn append_forced_image(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        (before, before_at): (&[u8], usize),
        (after, after_at): (&[u8], usize),
    ) -> Parsed<bool> {
        self.streams[target].drop_image();
        let read = self.append_any_image(job, target, (before, before_at), (after, after_at))?;
        Ok(read && self.streams[target].force_image())
    }
}
