//! A message taken apart becomes changes: by its operation, with the rules on keys and deletes.

mod tombstone;

use super::shape::scan_flat;
use super::{Debezium, Done, Job, Tail};
use crate::change::Operation;
use crate::format::envelope::{Envelope, RowPart};
use crate::format::fault::{Fault, Parsed};
use crate::format::head::Head;
use crate::format::record_key;
use crate::format::scan::Cursor;
use crate::format::schema::Form;
use crate::format::stream::Basis;

impl Debezium {
    /// Makes changes of an envelope.
    pub(super) fn apply(
        &mut self,
        job: &mut Job<'_>,
        basis: Basis,
        head: &Head<'_>,
        envelope: Envelope,
        expected: Option<usize>,
    ) -> Parsed<Done> {
        let value = job.value().unwrap_or_default();
        let operation = match head.operation.as_deref() {
            Some(b"c") => Operation::Create,
            Some(b"u") => Operation::Update,
            Some(b"d") => Operation::Delete,
            Some(b"r") => Operation::Read,
            Some(b"t") => Operation::Truncate,
            Some(b"m") => {
                self.rollback(expected);
                return Ok(Done::Filtered);
            }
            _ => {
                return Err(
                    Fault::form("unknown operation, expected one of c, u, d, r, t, m")
                        .at_field("op"),
                );
            }
        };
        let target = self.target(job.topic, head);
        let in_place = expected == Some(target);
        if !in_place {
            self.rollback(expected);
        }
        let before = envelope.before.start();
        let appended = match operation {
            Operation::Create | Operation::Update | Operation::Read => match envelope.after {
                RowPart::Absent | RowPart::Null => {
                    return Err(Fault::form(format!(
                        "operation {} without a row",
                        operation.letter()
                    ))
                    .at_field("after"));
                }
                RowPart::Appended(start) if in_place => Ok(start),
                RowPart::Failed(_, fault)
                    if in_place && self.streams[target].observed.is_none() =>
                {
                    return Err(fault);
                }
                part => Err(part.start().unwrap_or_default()),
            },
            Operation::Delete | Operation::Truncate => Err(before.unwrap_or_default()),
        };
        let own_row = appended.unwrap_or_else(|start| start);
        let has_row =
            before.is_some() || operation != Operation::Delete && operation != Operation::Truncate;
        let form = Form::Envelope;
        self.prepare(
            job,
            target,
            basis,
            form,
            has_row.then_some((value, own_row)),
        );
        if self.lacks_key_columns(job, target) {
            self.rollback(Some(target));
            return Ok(Done::LacksKeyColumns);
        }
        let time = self.event_time(job, head);
        match operation {
            Operation::Truncate => {
                self.streams[target].append_unset_row();
                self.commit(job, target, operation, time, value.len());
            }
            Operation::Delete => match before {
                Some(start) => {
                    self.rollback(Some(target));
                    if let Err(fault) = self.append(job, target, value, start) {
                        // Where a connector has no value for a column that is NOT NULL, it may fill
                        // in one that the type does not have, as "" for a UUID. The key is enough.
                        let spared = fault.rule == "R3" && self.streams[target].has_key();
                        if !spared || self.append_record_key(job, target).is_err() {
                            return Err(fault);
                        }
                    } else if self.streams[target].has_key() && self.streams[target].lacks_key() {
                        self.append_record_key(job, target)?;
                    } else {
                        self.streams[target].reduce_to_key();
                    }
                    self.commit(job, target, operation, time, value.len());
                }
                None => {
                    self.append_record_key(job, target)?;
                    self.commit(job, target, operation, time, value.len());
                }
            },
            Operation::Create | Operation::Update | Operation::Read => {
                if let Err(start) = appended {
                    self.append(job, target, value, start)?;
                }
                if self.lacks_key_value(job, target) {
                    self.rollback(Some(target));
                    return Ok(Done::LacksKeyColumns);
                }
                match before {
                    Some(start) if operation == Operation::Update => {
                        // Where the row did not fit at first, its stream may have forgotten the keys.
                        let scanned = in_place && appended.is_ok();
                        if self.changes_key(target, value, start, scanned)?
                            && self.split(job, target, value, start, own_row, time)?
                        {
                            return Ok(Done::Rows { deleted: false });
                        }
                        self.append_image(job, target, value, (start, own_row))?;
                    }
                    // What else holds a row before has no image, nor does one that stands again as null.
                    _ => self.streams[target].drop_image(),
                }
                if before.is_none() && self.append_old_key(job, target, value, own_row)? {
                    self.commit(job, target, Operation::Create, time, value.len());
                    return Ok(Done::Rows { deleted: false });
                }
                self.commit(job, target, operation, time, value.len());
            }
        }
        Ok(Done::Rows {
            deleted: operation == Operation::Delete,
        })
    }

    /// Whether the key may have changed, by its bytes.
    fn changes_key(
        &mut self,
        target: usize,
        value: &[u8],
        before: usize,
        scanned: bool,
    ) -> Parsed<bool> {
        let stream = &mut self.streams[target];
        if !scanned {
            stream.scan_before(&mut Cursor::from(value, before))?;
        }
        Ok(stream.may_change_key(value))
    }

    /// R10: where the keys do differ, commits a delete of the row before and a create of the row
    /// after. Else leaves the row after appended and says so.
    fn split(
        &mut self,
        job: &mut Job<'_>,
        target: usize,
        value: &[u8],
        before: usize,
        after: usize,
        time: Option<i64>,
    ) -> Parsed<bool> {
        let observed = self.streams[target].observed.is_some();
        if observed && self.streams[target].same_observed_key(value) {
            return Ok(false);
        }
        self.rollback(Some(target));
        if observed {
            // Where the two rows have values of other kinds, the batch ends between them.
            self.append(job, target, value, before)?;
            self.streams[target].reduce_to_key();
            self.streams[target].commit(Operation::Delete, time, job.index as u32, value.len());
            self.append(job, target, value, after)?;
            if self.streams[target].is_partial() {
                // The values that are left out are those of the row under its old key.
                self.append_forced_image(job, target, (value, before), (value, after))?;
            }
            self.commit(job, target, Operation::Create, time, value.len());
            return Ok(true);
        }
        self.append(job, target, value, before)?;
        let stream = &mut self.streams[target];
        let rows = stream.len();
        stream.commit(Operation::Delete, time, job.index as u32, 0);
        if let Err(fault) = self.append(job, target, value, after) {
            self.streams[target].truncate(rows);
            return Err(fault);
        }
        let stream = &mut self.streams[target];
        let same = stream.same_key(rows, rows + 1);
        stream.truncate(rows);
        if same {
            self.append(job, target, value, after)?;
            return Ok(false);
        }
        self.append(job, target, value, before)?;
        self.streams[target].reduce_to_key();
        self.streams[target].commit(Operation::Delete, time, job.index as u32, value.len());
        self.append(job, target, value, after)?;
        if self.streams[target].is_partial() {
            // The values that are left out are those of the row under its old key.
            self.append_forced_image(job, target, (value, before), (value, after))?;
        }
        self.commit(job, target, Operation::Create, time, value.len());
        Ok(true)
    }

    /// Makes a change of a flat row; the cursor stands at it.
    pub(super) fn flat_row<'a>(
        &mut self,
        job: &mut Job<'_>,
        basis: Basis,
        mut head: Head<'a>,
        mut cursor: Cursor<'a>,
        expected: Option<usize>,
        tail: &Tail,
    ) -> Parsed<Done> {
        let (start, value) = (cursor.at(), cursor.bytes());
        let expected = expected.filter(|&stream| self.streams[stream].form == Form::Flat);
        let read = match expected {
            Some(stream) => {
                self.streams[stream].append_row(&mut cursor, &self.placeholder, &mut head)
            }
            None => Err(Fault::form("no stream is expected")),
        };
        let appended = read.is_ok();
        match (&read, expected) {
            (Err(fault), Some(_)) if fault.rule == "R1" => return Err(fault.clone()),
            _ => {}
        }
        if !appended {
            self.rollback(expected);
            head = Head::default();
            cursor.seek(start);
            scan_flat(&mut cursor, &self.keys.metadata, &mut head)?;
        }
        tail.check(&mut cursor)?;
        if self.ignored.matches(&head) {
            self.rollback(expected);
            let deleted = head.deleted || head.operation.as_deref() == Some(b"d");
            return Ok(Done::Ignored { deleted });
        }
        let operation = match head.operation.as_deref() {
            _ if head.deleted => Operation::Delete,
            Some(b"c") => Operation::Create,
            // A plain row says what a row is now, whether it was there before or not.
            Some(b"u") | None => Operation::Update,
            Some(b"d") => Operation::Delete,
            Some(b"r") => Operation::Read,
            Some(b"t") => Operation::Truncate,
            Some(b"m") => {
                self.rollback(expected);
                return Ok(Done::Filtered);
            }
            Some(_) => {
                return Err(
                    Fault::form("unknown operation, expected one of c, u, d, r, t, m")
                        .at_field("__op"),
                );
            }
        };
        let target = self.target(job.topic, &head);
        if expected != Some(target) {
            self.rollback(expected);
        }
        self.prepare(job, target, basis, Form::Flat, Some((value, start)));
        if self.lacks_key_columns(job, target) {
            self.rollback(Some(target));
            return Ok(Done::LacksKeyColumns);
        }
        if !appended || expected != Some(target) {
            self.append(job, target, value, start)?;
        }
        let is_row = !matches!(operation, Operation::Delete | Operation::Truncate);
        if is_row && self.lacks_key_value(job, target) {
            self.rollback(Some(target));
            return Ok(Done::LacksKeyColumns);
        }
        let stream = &mut self.streams[target];
        match operation {
            Operation::Truncate => stream.append_unset_row(),
            Operation::Delete if stream.has_key() && stream.lacks_key() => {
                self.append_record_key(job, target)?;
            }
            Operation::Delete => stream.reduce_to_key(),
            Operation::Create | Operation::Update | Operation::Read => {}
        }
        let time = self.event_time(job, &head);
        let moved = is_row && self.append_old_key(job, target, value, start)?;
        let operation = if moved { Operation::Create } else { operation };
        self.commit(job, target, operation, time, value.len());
        Ok(Done::Rows {
            deleted: operation == Operation::Delete,
        })
    }

    /// Appends a row of the record key's values, everything else unset.
    #[cold]
    pub(super) fn append_record_key(&mut self, job: &mut Job<'_>, target: usize) -> Parsed<()> {
        self.rollback(Some(target));
        let records = job.records.clone();
        let bytes = records.key(job.index);
        let bytes =
            bytes.ok_or_else(|| Fault::key("a delete with neither a key nor a row before"))?;
        let names = self.streams[target]
            .basis()
            .and_then(|basis| basis.key.clone());
        let is_text = self.key_is_text(target, names.as_ref());
        let (object, _) = record_key::values(bytes, names.as_ref(), is_text)?;
        self.append(job, target, &object, 0)?;
        let stream = &mut self.streams[target];
        if !stream.has_key() || stream.lacks_key() {
            return Err(Fault::key(
                "a delete whose key is not in the columns of its table, or null",
            ));
        }
        stream.unset_rest();
        Ok(())
    }

    fn commit(
        &mut self,
        job: &Job<'_>,
        target: usize,
        operation: Operation,
        time: Option<i64>,
        bytes: usize,
    ) {
        self.streams[target].commit(operation, time, job.index as u32, bytes);
    }

    fn event_time(&self, job: &Job<'_>, head: &Head<'_>) -> Option<i64> {
        let record = &job.records.entries[job.index];
        head.source_ms.or(head.event_ms).or(record.timestamp_ms)
    }
}
