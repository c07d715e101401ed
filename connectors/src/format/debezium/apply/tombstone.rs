//! A message without a value: a delete by its key, or nothing new after its delete (R12).

use std::sync::Arc;

use crate::change::Operation;
use crate::format::debezium::{Debezium, Done, Job};
use crate::format::fault::{Fault, Parsed};
use crate::format::head::Head;
use crate::format::record_key;
use crate::format::schema::{Connect, Form};
use crate::format::stream::Basis;

impl Debezium {
    /// A null value: a delete by the record key, unless it follows that delete (R12) or nothing says
    /// in which table.
    #[cold]
    pub(in crate::format::debezium) fn tombstone(
        &mut self,
        job: &mut Job<'_>,
        place: usize,
        key: Option<Arc<[String]>>,
    ) -> Parsed<Done> {
        let records = job.records.clone();
        let entry = &records.entries[job.index];
        let progress = &self.partitions[place];
        let key_bytes = records.key(job.index);
        // Where records have no keys, as in a file, a tombstone can only be that of the delete before it.
        if progress
            .deleted_at
            .is_some_and(|offset| offset < entry.offset)
            && progress.deleted_key == key_bytes.unwrap_or_default()
        {
            return Ok(Done::Superseded);
        }
        // After a restart the delete before it may not be known, nor that it was ignored. Flat rows
        // may come with tombstones in place of deletes, of which nobody can say whose they are.
        if !self.ignored.is_empty() {
            let streams = &self.topics[job.topic].streams;
            if streams
                .iter()
                .any(|&one| self.streams[one].form == Form::Flat)
            {
                return Err(Fault::key(
                    "a tombstone does not say its origin, which ignore_origins asks for: let the connector send deletes as rows",
                ));
            }
            return Ok(Done::Superseded);
        }
        let Some(bytes) = key_bytes else {
            return Err(Fault::key(
                "a tombstone without a record key, and no delete before it",
            ));
        };
        let topic = &self.topics[job.topic];
        let target = match topic.streams[..] {
            [] => match self.table_ahead(job) {
                Some(target) => target,
                None => self.target(job.topic, &Head::default()),
            },
            [only] => only,
            _ => match self.table_of_key(job.topic, bytes) {
                Some(target) => target,
                // The delete before it said which.
                None => return Ok(Done::Superseded),
            },
        };
        let is_text = self.key_is_text(target, key.as_ref());
        let (object, schema) = record_key::values(bytes, key.as_ref(), is_text)?;
        let stream = &self.streams[target];
        let form = stream.form;
        let known = stream.basis().map(|basis| basis.connect.clone());
        let connect = match (known, schema) {
            (Some(connect), _) => connect,
            (None, Some(schema)) => Connect::parse(&schema).ok().map(Arc::new),
            (None, None) => None,
        };
        self.prepare(
            job,
            target,
            Basis { connect, key },
            form,
            Some((&object, 0)),
        );
        self.append_record_key(job, target)?;
        self.commit(
            job,
            target,
            Operation::Delete,
            entry.timestamp_ms,
            bytes.len(),
        );
        Ok(Done::Rows { deleted: true })
    }
}
