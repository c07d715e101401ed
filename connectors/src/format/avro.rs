//! `avro` and `debezium-avro`: messages whose schemas stand in a schema registry.
//!
//! A message is a zero byte, the id of its schema in four bytes, and the value in Avro. The schema of an id is
//! fetched once ([`Decode::prepare`]) and compiled: into the words of Kafka Connect (`connect`), and into what
//! writes a value as Connect's JSON converter would have written it (`text`). The decoder of `debezium-json`
//! does the rest, so that keys, deletes, types, images and the evolution of schemas are the same in both
//! formats by construction.
//!
//! - a message without the zero byte, or with an id of 0: rejected (R1)
//! - an id that the registry does not know, a registry that is away: nothing is decoded, the records wait
//! - an id whose schema is not Avro, or is broken: its messages are rejected with the reason (R1)
//! - a null value: a tombstone, as in JSON
//! - a key without the zero byte is what it would be beside JSON; one of Avro names the key columns as well
//! - `avro`: each value is a record, and the record is the row; nothing in it has a meaning of its own
//! - a new id: the columns of its schema, in a batch of its own. What changed in the columns goes the way of
//!   every format (R15)
//! - a union of several types beside null is a document (`json`) that holds the value

mod connect;
mod input;
mod json;
mod schema;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use self::input::Input;
use self::schema::Schema;
use self::text::{Extent, Writer};
use super::debezium::Debezium;
use super::fault::{Fault, Parsed};
use super::schema::{Connect, Form};
use super::{Decode, Decoded, DecoderOptions, Undecodable};
use crate::error::{Error, Result};
use crate::record::{Readable, Record, Records};
use crate::schema_registry::{FoundSchema, RegistryClient, SchemaRegistry};

/// What messages stand for as text is decoded once it has so many bytes.
const TEXT_BYTES: usize = 16 << 20;

/// Stands for a record that is rejected or whose change is filtered, so that the others keep their numbers.
const NOTHING: &[u8] = b"{\"op\":\"m\",\"source\":{},\"before\":null,\"after\":null}";

/// See the module docs.
#[derive(Debug)]
pub(super) struct Avro {
    events: Debezium,
    /// Every value is a row and none an event.
    is_rows: bool,
    settings: Option<SchemaRegistry>,
    client: Option<RegistryClient>,
    schemas: Arc<Schemas>,
    /// The first id of each schema in the words of Connect: a new id that says the same begins no batch.
    first: HashMap<String, u32>,
}

/// By id; the reason where no message of it can be read.
#[derive(Debug, Default, Clone)]
struct Schemas(HashMap<u32, Result<Arc<Compiled>, String>>);

/// What is known of a schema.
#[derive(Debug)]
struct Compiled {
    writer: Writer,
    /// What stands before the payload of a value; the reason where the schema is that of no row.
    value: Result<Vec<u8>, String>,
    /// The same of a key.
    key: Vec<u8>,
}

impl Avro {
    /// For values that are events of Debezium.
    pub(super) fn of_events(options: DecoderOptions) -> Self {
        Self::new(
            false,
            options.schema_registry.clone(),
            Debezium::new(options),
        )
    }

    /// For values that are rows.
    pub(super) fn of_rows(options: DecoderOptions) -> Self {
        let settings = options.schema_registry.clone();
        Self::new(true, settings, Debezium::of_known_rows(options))
    }

    fn new(is_rows: bool, settings: Option<SchemaRegistry>, events: Debezium) -> Self {
        Self {
            events,
            is_rows,
            settings,
            client: None,
            schemas: Arc::default(),
            first: HashMap::new(),
        }
    }

    async fn fetch(&mut self, id: u32) -> Result<()> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let settings = self.settings.as_ref().ok_or_else(|| {
                    Error::configuration(
                        "the source names no schema registry: write schema_registry = { url = \"…\" }",
                    )
                })?;
                none.insert(RegistryClient::new(settings)?)
            }
        };
        let found = client.schema(id).await?;
        self.learn(id, &found);
        Ok(())
    }

    /// Compiles the schema of an id.
    fn learn(&mut self, id: u32, found: &FoundSchema) {
        let compiled = self.compile(id, found);
        if let Err(reason) = &compiled {
            tracing::warn!(id, reason, "no message of this schema can be read");
        }
        let schemas = Arc::make_mut(&mut self.schemas);
        schemas.0.insert(id, compiled.map(Arc::new));
    }

    fn compile(&mut self, id: u32, found: &FoundSchema) -> Result<Compiled, String> {
        if found.kind != "AVRO" {
            return Err(format!(
                "schema {id} of the registry is {}, expected AVRO",
                found.kind
            ));
        }
        let schema = Schema::parse(&found.text, &found.referenced).map_err(|reason| {
            format!("schema {id} of the registry is no schema of Avro: {reason}")
        })?;
        let connect = connect::connect(&schema);
        let described = match self.is_rows {
            true => Connect::of_row(&connect),
            false => Connect::of(&connect),
        };
        let is_event = described
            .as_ref()
            .is_ok_and(|described| described.form == Form::Envelope);
        let text = connect.to_string();
        let key = [b"{\"schema\":", text.as_bytes(), b",\"payload\":"].concat();
        let value = match described {
            Err(_) => Err(format!(
                "schema {id} of the registry is that of no record, so that its messages are no rows"
            )),
            Ok(described) => {
                let same = *self.first.entry(text).or_insert(id);
                let name = format!("{{\"avro\":{same}}}");
                if same == id {
                    self.events.know(name.as_bytes(), Arc::new(described));
                }
                Ok(format!("{{\"schema\":{name},\"payload\":").into_bytes())
            }
        };
        Ok(Compiled {
            writer: Writer::new(&schema, is_event),
            value,
            key,
        })
    }

    /// Decodes the texts of the records before `end`, which begin with record `start`.
    fn flush(
        &mut self,
        texts: &mut Records,
        start: usize,
        records: &Arc<Records>,
        decoded: &mut Decoded,
    ) {
        let partitions = records.partitions.clone();
        let fresh = Records {
            partitions,
            ..Records::default()
        };
        let texts = std::mem::replace(texts, fresh);
        let mut part = self.events.decode(&Arc::new(texts));
        let start = start as u32;
        for changes in &mut part.changes {
            changes.records = records.clone();
            changes
                .origins
                .iter_mut()
                .for_each(|origin| *origin += start);
        }
        for rejected in &mut part.rejected {
            rejected.origin += start;
        }
        decoded.changes.append(&mut part.changes);
        decoded.rejected.append(&mut part.rejected);
        decoded.filtered += part.filtered;
        decoded.ignored += part.ignored;
        decoded.superseded += part.superseded;
    }
}

/// Appends the text of some bytes.
type Write<'w> = dyn Fn(&[u8], &mut Vec<u8>) -> Parsed<()> + 'w;

/// Where the text of a part of a record stands.
type Part = Option<Range<u32>>;

impl Schemas {
    /// Appends the texts of a record: key, value and headers.
    fn write(
        &self,
        records: &Records,
        index: usize,
        out: &mut Vec<u8>,
    ) -> Parsed<(Part, Part, Part)> {
        let mut part = |bytes: Option<&[u8]>, write: &Write<'_>| -> Parsed<Part> {
            let Some(bytes) = bytes else { return Ok(None) };
            let start = out.len() as u32;
            write(bytes, out)?;
            Ok(Some(start..out.len() as u32))
        };
        let key = part(records.key(index), &|bytes, out| self.write_key(bytes, out))?;
        let value = part(records.value(index), &|bytes, out| {
            self.write_value(bytes, Extent::Decoded, out)
        })?;
        let headers = part(records.headers(index), &|bytes, out| {
            out.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok((key, value, headers))
    }

    /// The schema of a key or a value that is framed.
    fn schema(&self, id: u32) -> Parsed<&Compiled> {
        match self.0.get(&id) {
            Some(Ok(compiled)) => Ok(compiled),
            Some(Err(reason)) => Err(Fault::form(reason.clone())),
            None => Err(Fault::form(format!(
                "schema {id} of the registry was not fetched"
            ))),
        }
    }

    /// Appends the text of a value.
    fn write_value(&self, bytes: &[u8], extent: Extent, out: &mut Vec<u8>) -> Parsed<()> {
        let (id, body) = framed(bytes).ok_or_else(|| unframed(bytes))?;
        let schema = self.schema(id)?;
        let open = schema.value.as_ref();
        out.extend_from_slice(open.map_err(|reason| Fault::form(reason.clone()))?);
        schema.writer.write(Input::new(body), extent, out)?;
        out.push(b'}');
        Ok(())
    }

    /// Appends the text of a key. One that no registry framed stays as it is.
    fn write_key(&self, bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
        let Some((id, body)) = framed(bytes) else {
            out.extend_from_slice(bytes);
            return Ok(());
        };
        let refused = |mut fault: Box<Fault>| {
            fault.reason = format!("the record key: {}", fault.reason);
            fault.field = None;
            fault
        };
        let schema = self.schema(id).map_err(refused)?;
        out.extend_from_slice(&schema.key);
        schema
            .writer
            .write(Input::new(body), Extent::Whole, out)
            .map_err(refused)?;
        out.push(b'}');
        Ok(())
    }
}

impl Readable for Schemas {
    fn key(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.write_key(bytes, &mut text).ok()?;
        Some(text)
    }

    fn value(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.write_value(bytes, Extent::Whole, &mut text).ok()?;
        Some(text)
    }
}

#[async_trait]
impl Decode for Avro {
    async fn prepare(&mut self, records: &Records) -> Result<()> {
        let mut known = 0;
        for index in 0..records.len() {
            let parts = [records.key(index), records.value(index)];
            for (id, _) in parts.into_iter().flatten().filter_map(framed) {
                if id != known && !self.schemas.0.contains_key(&id) {
                    self.fetch(id).await?;
                }
                known = id;
            }
        }
        Ok(())
    }

    fn decode(&mut self, records: &Arc<Records>) -> Decoded {
        let mut decoded = Decoded::default();
        // Whoever set it before reads the same.
        let _ = records.readable.set(self.schemas.clone());
        let mut texts = Records {
            bytes: Vec::with_capacity(TEXT_BYTES.min(2 * records.bytes.len())),
            entries: Vec::with_capacity(records.len()),
            partitions: records.partitions.clone(),
            ..Records::default()
        };
        let (mut start, mut refused) = (0, Vec::new());
        for (index, entry) in records.entries.iter().enumerate() {
            let mark = texts.bytes.len();
            match self.schemas.write(records, index, &mut texts.bytes) {
                Ok((key, value, headers)) => texts.entries.push(Record {
                    key,
                    value,
                    headers,
                    ..entry.clone()
                }),
                Err(fault) => {
                    refused.push(Undecodable {
                        origin: index as u32,
                        rule: fault.rule.to_owned(),
                        field: fault.field,
                        reason: fault.reason,
                    });
                    texts.bytes.truncate(mark);
                    let (partition, offset) = (entry.partition, entry.offset);
                    texts.push(partition, offset, None, None, Some(NOTHING), None);
                }
            }
            if texts.bytes.len() > TEXT_BYTES {
                self.flush(&mut texts, start, records, &mut decoded);
                start = index + 1;
            }
        }
        self.flush(&mut texts, start, records, &mut decoded);
        decoded.filtered -= refused.len() as u64;
        decoded.rejected.extend(refused);
        decoded
    }
}

/// Events of these schemas of Avro, by their ids, as changes.
#[cfg(test)]
pub(crate) fn decode_with(
    options: DecoderOptions,
    schemas: &[(u32, String)],
    records: &Arc<Records>,
) -> Decoded {
    let mut decoder = Avro::of_events(options);
    for (id, text) in schemas {
        let found = FoundSchema {
            kind: "AVRO".to_owned(),
            text: text.clone(),
            referenced: Vec::new(),
        };
        decoder.learn(*id, &found);
    }
    decoder.decode(records)
}

/// The id of a schema and the value behind it. No registry gives the id 0: a number of a key that some other
/// serializer wrote begins so.
fn framed(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, body) = bytes.split_first_chunk::<5>()?;
    let id = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    (head[0] == 0 && id != 0).then_some((id, body))
}

#[cold]
fn unframed(bytes: &[u8]) -> Box<Fault> {
    let found = match bytes {
        [0, 0, 0, 0, 0, ..] => {
            "a schema id of 0 (ids of eight bytes begin so: set apicurio.registry.as-confluent = true in the connector)".to_owned()
        }
        [0, ..] if bytes.len() < 5 => format!("a message of {} bytes", bytes.len()),
        [1, ..] => "the byte 1, of a schema id in 16 bytes".to_owned(),
        [first, ..] => format!("the byte {first:#04x}"),
        [] => "an empty message".to_owned(),
    };
    Fault::form(format!(
        "found {found}, expected the byte 0 and a schema id in four bytes, as a serializer with a schema registry writes them"
    ))
}
