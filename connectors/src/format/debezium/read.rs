//! Reads one message: whether it is an envelope or a flat row, and the row that stands in it.

use std::sync::Arc;

use super::{Debezium, Done, Job, SCHEMAS_MAX};
use crate::format::envelope::{Envelope, RowPart};
use crate::format::fault::{Fault, Parsed};
use crate::format::head::Head;
use crate::format::record_key::Payload;
use crate::format::scan::Cursor;
use crate::format::schema::Connect;
use crate::format::stream::Basis;

/// What must follow the payload.
pub(super) enum Tail {
    /// Nothing.
    End,
    /// The end of the wrapper.
    Wrapper,
    /// The message was walked to its end already.
    Checked,
}

impl Tail {
    pub(super) fn check(&self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        match self {
            Self::Checked => return Ok(()),
            Self::Wrapper => cursor.expect(b'}')?,
            Self::End => {}
        }
        cursor.end()
    }
}

#[cold]
pub(super) fn not_an_object(cursor: &Cursor<'_>) -> Box<Fault> {
    match cursor.kind() {
        "an unexpected byte" | "the end of the message" => cursor.unexpected("an object"),
        kind => Fault::form(format!("found {kind}, expected an object")),
    }
}

/// Whether a bare object begins with a key of envelopes.
pub(super) fn begins_as_envelope(value: &[u8], cursor: &Cursor<'_>) -> bool {
    let mut cursor = Cursor::from(value, cursor.at() + 1);
    cursor.skip_space();
    let keys: [&[u8]; 5] = [
        b"\"before\"",
        b"\"after\"",
        b"\"op\"",
        b"\"source\"",
        b"\"ts_ms\"",
    ];
    keys.iter().any(|key| cursor.take(key))
}

impl Debezium {
    /// A message that is a row, and nothing about it.
    pub(super) fn row(
        &mut self,
        job: &mut Job<'_>,
        place: usize,
        mut cursor: Cursor<'_>,
        key: Option<Arc<[String]>>,
    ) -> Parsed<Done> {
        cursor.skip_space();
        if cursor.take_null() {
            cursor.end()?;
            return self.tombstone(job, place, key);
        }
        if cursor.peek() != b'{' {
            return Err(not_an_object(&cursor));
        }
        let basis = Basis { connect: None, key };
        let expected = self.topics[job.topic].last;
        let expected = expected.filter(|&stream| self.streams[stream].fits(&basis));
        self.flat_row(job, basis, Head::default(), cursor, expected, &Tail::End)
    }

    /// The schema of a message that begins in an unknown way; the cursor is left at the payload.
    #[cold]
    pub(super) fn open(
        &mut self,
        topic: usize,
        cursor: &mut Cursor<'_>,
    ) -> Parsed<(Option<Arc<Connect>>, Tail)> {
        let value = cursor.bytes();
        let payload = Payload::open(value)?;
        cursor.seek(payload.at);
        if !payload.wrapped {
            return Ok((None, Tail::End));
        }
        let connect = match payload.schema {
            None => None,
            Some(text) => Some(match self.given.get(text).or(self.schemas.get(text)) {
                Some(connect) => connect.clone(),
                None => {
                    let connect = Arc::new(Connect::parse(text)?);
                    if self.schemas.len() >= SCHEMAS_MAX {
                        self.schemas.clear();
                    }
                    self.schemas.insert(text.into(), connect.clone());
                    connect
                }
            }),
        };
        // Only a schema that stands first can be recognised by how the message begins.
        let mut end = cursor.clone();
        end.skip()?;
        let last = end.closed(b'}');
        let topic = &mut self.topics[topic];
        topic.wrapper.clear();
        if last {
            topic.wrapper.extend_from_slice(&value[..payload.at]);
            topic.wrapper_schema.clone_from(&connect);
        }
        Ok((connect, Tail::Checked))
    }

    pub(super) fn envelope<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        head: &mut Head<'a>,
        expected: Option<usize>,
    ) -> Parsed<Envelope> {
        let Self {
            reader,
            streams,
            placeholder,
            ..
        } = self;
        let mut stream = expected.map(|stream| &mut streams[stream]);
        reader.read(cursor, head, |cursor, is_after| {
            let start = cursor.at();
            match &mut stream {
                Some(stream) if is_after => {
                    stream.rollback_row();
                    match stream.append_row(cursor, placeholder, &mut Head::default()) {
                        Ok(()) => return Ok(RowPart::Appended(start)),
                        Err(fault) => {
                            // Passing over the row says whether the rest of the message is good.
                            stream.rollback_row();
                            cursor.seek(start);
                            cursor.skip()?;
                            return Ok(RowPart::Failed(start, fault));
                        }
                    }
                }
                Some(stream) => stream.pass_before(cursor, placeholder)?,
                None => cursor.skip()?,
            }
            Ok(RowPart::At(start))
        })
    }
}
