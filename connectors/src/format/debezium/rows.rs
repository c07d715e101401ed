//! Records that are rows and no events, and schemas that do not stand in the messages.

use std::fmt;
use std::sync::Arc;

use super::Debezium;
use crate::format::DecoderOptions;
use crate::format::fault::Parsed;
use crate::format::head::Metadata;
use crate::format::schema::Connect;
use crate::record::Records;

/// Rows that are no events.
#[derive(Debug)]
pub(super) enum Rows {
    /// Each is a JSON object.
    Objects,
    /// Each is made into one; the text is kept from record to record.
    Other(Box<dyn ToObject>, Vec<u8>),
}

/// How a row in another format becomes a JSON object.
pub(in crate::format) trait ToObject: fmt::Debug + Send {
    /// Appends the value of a record as a JSON object.
    ///
    /// # Errors
    /// A fault where it is no row.
    fn write(&mut self, records: &Records, index: usize, out: &mut Vec<u8>) -> Parsed<()>;
}

impl Debezium {
    /// For records that are rows and no events: `deleted` names the field that marks a delete.
    pub(in crate::format) fn of_rows(
        mut options: DecoderOptions,
        format: Option<Box<dyn ToObject>>,
    ) -> Self {
        let deleted = options.deleted.take();
        let mut decoder = Self::new(options);
        decoder.keys.metadata = Arc::new(Metadata::of_rows(deleted));
        decoder.rows = Some(match format {
            None => Rows::Objects,
            Some(format) => Rows::Other(format, Vec::new()),
        });
        decoder
    }

    /// For records that are rows, each with a schema that was given ([`Debezium::know`]).
    pub(in crate::format) fn of_known_rows(mut options: DecoderOptions) -> Self {
        let deleted = options.deleted.take();
        let mut decoder = Self::new(options);
        decoder.keys.metadata = Arc::new(Metadata::of_rows(deleted));
        decoder
    }

    /// Where this text stands as the schema of a message, it stands for `connect`.
    pub(in crate::format) fn know(&mut self, text: &[u8], connect: Arc<Connect>) {
        self.given.insert(text.into(), connect);
    }

    /// The record as a JSON object, where its format is another one.
    pub(super) fn object_of(&mut self, records: &Records, index: usize) -> Parsed<Option<Vec<u8>>> {
        let Some(Rows::Other(format, text)) = &mut self.rows else {
            return Ok(None);
        };
        if records.value(index).is_none() {
            return Ok(None);
        }
        let mut object = std::mem::take(text);
        object.clear();
        format.write(records, index, &mut object)?;
        Ok(Some(object))
    }

    /// Keeps the memory of a text for the next one.
    pub(super) fn give_back(&mut self, object: Option<Vec<u8>>) {
        if let (Some(Rows::Other(_, text)), Some(object)) = (&mut self.rows, object) {
            *text = object;
        }
    }
}
