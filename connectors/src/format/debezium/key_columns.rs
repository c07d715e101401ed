//! Columns that the record key has and the row does not, and what else a record key tells.
//!
//! Whether rows lack them is found out when a stream takes on its columns, and at the first row whose key
//! is null; from then on every row of the topic is looked at, and the values are written into its text
//! before it is read. A column that the row has is left as it is, also where it is null.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Debezium, Job, KeyColumns};
use crate::format::envelope::RowPart;
use crate::format::fault::{Fault, Parsed};
use crate::format::head::Head;
use crate::format::reading::Reading;
use crate::format::record_key::{self, Payload};
use crate::format::scan::Cursor;
use crate::format::schema::Described;
use crate::format::stream::Basis;

impl Debezium {
    /// Which columns of a record key rows are to have.
    pub(super) fn wanted<'k>(&'k self, names: &'k [String]) -> impl Iterator<Item = &'k String> {
        let fallback = self.keys.fallback.as_deref().unwrap_or_default();
        let named = move |name: &&String| match self.key_columns {
            KeyColumns::Record => true,
            KeyColumns::Value => false,
            KeyColumns::Needed => {
                let any = !fallback.is_empty() || !self.keys.watched.is_empty();
                !any || fallback.contains(name) || self.keys.watched.contains(name)
            }
        };
        names.iter().filter(named)
    }

    /// Whether columns of the record key are left out of this stream: those that a given schema does not
    /// name, unless somebody asks for them.
    fn leaves_out_key_columns(&self, basis: &Basis) -> bool {
        let fallback = self.keys.fallback.as_deref().unwrap_or_default();
        let asked = self.key_columns == KeyColumns::Record
            || !fallback.is_empty()
            || !self.keys.watched.is_empty();
        basis.connect.is_none() && self.declared.is_some() && !asked
    }

    /// Whether rows lack columns that their record key has, and this one was not completed.
    pub(super) fn lacks_key_columns(&self, job: &Job<'_>, target: usize) -> bool {
        let stream = &self.streams[target];
        if job.completed.is_some() || job.record_key().is_none() {
            return false;
        }
        if self.topics[job.topic].lacks_key_columns {
            return true;
        }
        if stream.has_key() && self.key_columns != KeyColumns::Record {
            return false;
        }
        let Some(basis) = stream.basis() else {
            return false;
        };
        if self.leaves_out_key_columns(basis) {
            return false;
        }
        let names = basis.key.as_deref().unwrap_or_default();
        self.wanted(names).any(|name| !stream.has_column(name))
    }

    /// Whether the row that was appended last has no key, and its record has one.
    pub(super) fn lacks_key_value(&self, job: &Job<'_>, target: usize) -> bool {
        let stream = &self.streams[target];
        job.completed.is_none()
            && stream.lacks_key()
            && job.record_key().is_some()
            && self.key_columns != KeyColumns::Value
    }

    /// Columns of rows with those of the record key that they lack.
    pub(super) fn with_key_columns(
        &self,
        job: &Job<'_>,
        columns: &[Described],
        basis: &Basis,
    ) -> Vec<Described> {
        let mut all = columns.to_vec();
        let (Some(bytes), Some(names)) = (job.record_key(), &basis.key) else {
            return all;
        };
        if self.leaves_out_key_columns(basis) {
            return all;
        }
        let lacking: HashSet<&String> = self
            .wanted(names)
            .filter(|name| columns.iter().all(|column| column.name != **name))
            .collect();
        if !lacking.is_empty()
            && let Ok(of_key) = record_key::columns(bytes, Some(names), false)
        {
            let of_key = of_key.into_iter();
            all.extend(of_key.filter(|column| lacking.contains(&column.name)));
        }
        all
    }

    /// The message with the columns of its record key that its rows lack; `None` where they lack none.
    /// A key or a message that cannot be read adds nothing: the message is refused when it is read.
    pub(super) fn complete(
        &mut self,
        job: &Job<'_>,
        names: Option<&Arc<[String]>>,
    ) -> Option<Vec<u8>> {
        let (bytes, value, names) = (job.record_key()?, job.value()?, names?);
        let is_text = self.plain_key_is_text(names);
        let (object, _) = record_key::values(bytes, Some(names), is_text).ok()?;
        let fields = fields(&object).ok()?;
        let wanted: Vec<String> = self.wanted(names).cloned().collect();
        let mut completed = Vec::with_capacity(value.len() + 2 * object.len());
        let mut from = 0;
        for start in self.rows(value).ok()? {
            let known = self::fields(object_at(value, start).ok()?).ok()?;
            completed.extend_from_slice(&value[from..=start]);
            from = start + 1;
            let lacking = fields.iter().filter(|(name, _)| {
                wanted.contains(name) && known.iter().all(|(known, _)| known != name)
            });
            let lacking: Vec<&[u8]> = lacking.map(|(_, field)| *field).collect();
            completed.extend_from_slice(&lacking.join(&b','));
            if !lacking.is_empty() && !known.is_empty() {
                completed.push(b',');
            }
        }
        completed.extend_from_slice(&value[from..]);
        (completed.len() > value.len()).then_some(completed)
    }

    /// Where the rows of a message begin, in order.
    fn rows(&mut self, value: &[u8]) -> Parsed<Vec<usize>> {
        let payload = Payload::open(value)?;
        let mut cursor = Cursor::from(value, payload.at);
        let mut head = Head::default();
        let envelope = self.reader.read(&mut cursor, &mut head, |cursor, _| {
            let start = cursor.at();
            cursor.skip()?;
            Ok(RowPart::At(start))
        })?;
        if !envelope.is_one(&head) {
            return Ok(vec![payload.at]);
        }
        let mut rows: Vec<usize> = [envelope.before.start(), envelope.after.start()]
            .into_iter()
            .flatten()
            .collect();
        rows.sort_unstable();
        Ok(rows)
    }

    /// Whether a plain record key is a text, whatever it looks like.
    pub(super) fn key_is_text(&self, target: usize, names: Option<&Arc<[String]>>) -> bool {
        let Some(names) = names else { return false };
        let stream = &self.streams[target];
        names.iter().all(|name| stream.is_text(name)) || self.plain_key_is_text(names)
    }

    fn plain_key_is_text(&self, names: &[String]) -> bool {
        let is_text = |column: &Described| {
            names.contains(&column.name) && matches!(column.reading, Reading::Text)
        };
        self.declared
            .as_deref()
            .unwrap_or_default()
            .iter()
            .any(is_text)
    }

    /// The stream of the table that the schema of a record key is named after, in a topic of several.
    pub(super) fn table_of_key(&self, topic: usize, key: &[u8]) -> Option<usize> {
        let (name, schema) = record_key::table(key)?;
        let is = |stream: &&usize| {
            let table = &self.streams[**stream].table;
            let schemas = [table.schema.as_deref(), table.database.as_deref()];
            let unnamed = schemas == [None, None];
            *table.name == *name
                && schema
                    .as_deref()
                    .is_none_or(|known| unnamed || schemas.contains(&Some(known)))
        };
        let mut found = self.topics[topic].streams.iter().filter(is);
        found.next().filter(|_| found.next().is_none()).copied()
    }

    /// The stream of the table that a later message of the same topic names, where all that are here
    /// name one.
    pub(super) fn table_ahead(&mut self, job: &Job<'_>) -> Option<usize> {
        let topic = self.topics[job.topic].name.clone();
        let records = job.records.clone();
        let mut found = None;
        for (index, entry) in records.entries.iter().enumerate().skip(job.index + 1) {
            let partition = &records.partitions[entry.partition as usize].partition;
            let Some(value) = records.value(index).filter(|_| partition.topic == topic) else {
                continue;
            };
            let Ok(head) = self.head(value) else { continue };
            let stream = self.target(job.topic, &head);
            if *found.get_or_insert(stream) != stream {
                return None;
            }
        }
        found
    }

    /// What a message says about its table.
    fn head<'a>(&mut self, value: &'a [u8]) -> Parsed<Head<'a>> {
        std::str::from_utf8(value).map_err(|_| Fault::form("the message is not UTF-8"))?;
        let payload = Payload::open(value)?;
        let mut cursor = Cursor::from(value, payload.at);
        let mut head = Head::default();
        let envelope = self.reader.read(&mut cursor, &mut head, |cursor, _| {
            let start = cursor.at();
            cursor.skip()?;
            Ok(RowPart::At(start))
        })?;
        if envelope.is_one(&head) {
            return Ok(head);
        }
        if envelope.other || envelope.message {
            return Err(Fault::form("no row"));
        }
        let mut head = Head::default();
        super::shape::scan_flat(
            &mut Cursor::from(value, payload.at),
            &self.keys.metadata,
            &mut head,
        )?;
        Ok(head)
    }
}

/// The object that begins at `start`.
fn object_at(value: &[u8], start: usize) -> Parsed<&[u8]> {
    let mut cursor = Cursor::from(value, start);
    cursor.skip()?;
    Ok(cursor.since(start))
}

/// The fields of an object: name, and `"name":value` as it stands.
pub(super) fn fields(object: &[u8]) -> Parsed<Vec<(String, &[u8])>> {
    let mut cursor = Cursor::new(object);
    cursor.expect(b'{')?;
    let mut fields = Vec::new();
    let mut more = !cursor.closed(b'}');
    while more {
        cursor.skip_space();
        let start = cursor.at();
        let name = cursor.string()?.unescape()?.into_owned();
        cursor.expect(b':')?;
        cursor.skip_space();
        cursor.skip()?;
        let name = String::from_utf8(name).map_err(|_| Fault::key("a key field is not UTF-8"))?;
        fields.push((name, cursor.since(start)));
        more = cursor.more(b'}')?;
    }
    Ok(fields)
}
