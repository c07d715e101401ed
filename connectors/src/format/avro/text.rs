//! A value as the JSON that Kafka Connect's JSON converter would have written of it.
//!
//! Bytes and decimals are base64, a union is its value, an enum its symbol, a map an object. A schema is
//! compiled once: names and symbols are escaped by then, and what needs another unit is known.

use serde_json::Value;

use super::connect::{Logical, logical};
use super::input::Input;
use super::json::{base64, duration, float, integer, text, uuid};
use super::schema::{Kind, NodeId, Schema};
use crate::format::fault::{Fault, Parsed};
use crate::format::scan::DEPTH_MAX;
use crate::format::source::NAMES as SOURCE_NAMES;

/// Fields of an event that say nothing of its row.
const EVENT_IDLE: [&str; 3] = ["transaction", "ts_us", "ts_ns"];

/// A longer text is refused: a value of few bytes can stand for many items.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Writer {
    /// By the number of their node.
    steps: Vec<Step>,
    root: NodeId,
}

#[derive(Debug)]
enum Step {
    Null,
    Boolean,
    Integer,
    /// Times a thousand.
    Thousand,
    /// A thousandth of it, where nothing is lost.
    Thousandth,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Uuid,
    Duration,
    Symbols(Vec<Box<[u8]>>),
    Array(NodeId),
    Map(NodeId),
    Record(Vec<Field>),
    Union(Vec<NodeId>),
}

#[derive(Debug)]
struct Field {
    /// `"name":`
    token: Box<[u8]>,
    name: String,
    value: NodeId,
    /// Nothing that is decoded depends on it.
    idle: bool,
}

/// What of a message becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// What a decoder looks at: not the most of an event's `source`.
    Decoded,
}

impl Writer {
    /// `is_event`: of an event of Debezium only a part is decoded.
    pub(super) fn new(schema: &Schema, is_event: bool) -> Self {
        let steps = (0..schema.nodes.len()).map(|id| step(schema, id));
        let mut writer = Self {
            steps: steps.collect(),
            root: schema.root,
        };
        if is_event && let Some(source) = source_of_event(schema) {
            writer.idle(schema.root, |name| EVENT_IDLE.contains(&name));
            writer.idle(source, |name| !SOURCE_NAMES.contains(&name));
        }
        writer
    }

    /// Marks fields of a record on which nothing depends.
    fn idle(&mut self, record: NodeId, is_idle: impl Fn(&str) -> bool) {
        if let Step::Record(fields) = &mut self.steps[record] {
            for field in fields {
                field.idle = is_idle(&field.name);
            }
        }
    }

    /// Appends the JSON of the value that `input` holds, all of it.
    ///
    /// # Errors
    /// A fault where the bytes are no value of the schema; `out` may then hold a part of it.
    pub(super) fn write(
        &self,
        mut input: Input<'_>,
        extent: Extent,
        out: &mut Vec<u8>,
    ) -> Parsed<()> {
        self.value(self.root, &mut input, extent, out, 0)?;
        match input.is_empty() {
            true => Ok(()),
            false => Err(Fault::form(
                "the message goes on behind what its schema says",
            )),
        }
    }

    fn value(
        &self,
        id: NodeId,
        input: &mut Input<'_>,
        extent: Extent,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Parsed<()> {
        if depth > DEPTH_MAX {
            return Err(Fault::form(format!(
                "the message nests deeper than {DEPTH_MAX}"
            )));
        }
        match &self.steps[id] {
            Step::Null => out.extend_from_slice(b"null"),
            Step::Boolean => out.extend_from_slice(match input.byte()? {
                0 => b"false",
                1 => b"true",
                _ => return Err(Fault::form("found a boolean that is neither 0 nor 1")),
            }),
            Step::Integer => integer(input.long()?, out),
            Step::Thousand => {
                let value = input.long()?.checked_mul(1_000);
                integer(value.ok_or_else(out_of_range)?, out);
            }
            Step::Thousandth => {
                let value = input.long()?;
                if value % 1_000 != 0 {
                    return Err(Fault::value(
                        "found an instant in nanoseconds, expected microseconds",
                    ));
                }
                integer(value / 1_000, out);
            }
            Step::Float => {
                let value = f32::from_le_bytes(input.array()?);
                float(value.into(), &value, out);
            }
            Step::Double => {
                let value = f64::from_le_bytes(input.array()?);
                float(value, &value, out);
            }
            Step::Text => text(input.bytes()?, out)?,
            Step::Bytes => base64(input.bytes()?, out),
            Step::Fixed(size) => base64(input.take(*size)?, out),
            Step::Uuid => uuid(input.array()?, out),
            Step::Duration => duration(input.array()?, out),
            Step::Symbols(symbols) => {
                let symbol = usize::try_from(input.long()?).ok();
                let symbol = symbol.and_then(|at| symbols.get(at));
                let symbol = symbol.ok_or_else(|| Fault::form("found no symbol of the enum"))?;
                out.extend_from_slice(symbol);
            }
            Step::Array(items) => self.blocks(b"[]", input, out, |this, input, out| {
                this.value(*items, input, extent, out, depth + 1)
            })?,
            Step::Map(values) => self.blocks(b"{}", input, out, |this, input, out| {
                text(input.bytes()?, out)?;
                out.push(b':');
                this.value(*values, input, extent, out, depth + 1)
            })?,
            Step::Record(fields) => {
                out.push(b'{');
                let start = out.len();
                for field in fields {
                    let value = if field.idle && extent == Extent::Decoded {
                        self.skip(field.value, input, depth + 1)
                    } else {
                        if out.len() > start {
                            out.push(b',');
                        }
                        out.extend_from_slice(&field.token);
                        self.value(field.value, input, extent, out, depth + 1)
                    };
                    value.map_err(|fault| fault.at_field(&field.name))?;
                }
                out.push(b'}');
            }
            Step::Union(branches) => {
                let branch = usize::try_from(input.long()?).ok();
                let branch = branch.and_then(|at| branches.get(at));
                let branch = branch.ok_or_else(|| Fault::form("found no branch of the union"))?;
                self.value(*branch, input, extent, out, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Passes a value.
    fn skip(&self, id: NodeId, input: &mut Input<'_>, depth: usize) -> Parsed<()> {
        match &self.steps[id] {
            Step::Null => {}
            Step::Boolean => _ = input.byte()?,
            Step::Integer | Step::Thousand | Step::Thousandth | Step::Symbols(_) => {
                input.long()?;
            }
            Step::Float => _ = input.take(4)?,
            Step::Double => _ = input.take(8)?,
            Step::Text | Step::Bytes => _ = input.bytes()?,
            Step::Fixed(size) => _ = input.take(*size)?,
            Step::Uuid => _ = input.take(16)?,
            Step::Duration => _ = input.take(12)?,
            Step::Record(fields) if depth <= DEPTH_MAX => {
                for field in fields {
                    self.skip(field.value, input, depth + 1)?;
                }
            }
            Step::Union(branches) if depth <= DEPTH_MAX => {
                let branch = usize::try_from(input.long()?).ok();
                let branch = branch.and_then(|at| branches.get(at));
                let branch = branch.ok_or_else(|| Fault::form("found no branch of the union"))?;
                self.skip(*branch, input, depth + 1)?;
            }
            // Rare in what is skipped, and checked on the way.
            Step::Array(_) | Step::Map(_) | Step::Record(_) | Step::Union(_) => {
                self.value(id, input, Extent::Whole, &mut Vec::new(), depth)?;
            }
        }
        Ok(())
    }

    /// The blocks of an array or a map between its brackets.
    fn blocks(
        &self,
        brackets: &[u8; 2],
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        mut item: impl FnMut(&Self, &mut Input<'_>, &mut Vec<u8>) -> Parsed<()>,
    ) -> Parsed<()> {
        out.push(brackets[0]);
        let mut first = true;
        loop {
            let count = input.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if !first {
                    out.push(b',');
                }
                first = false;
                item(self, input, out)?;
                if out.len() > TEXT_BYTES_MAX {
                    return Err(Fault::form(format!(
                        "the message stands for more than {TEXT_BYTES_MAX} bytes"
                    )));
                }
            }
        }
        out.push(brackets[1]);
        Ok(())
    }
}

fn step(schema: &Schema, id: NodeId) -> Step {
    let quoted = |text: &str| Value::from(text).to_string();
    match (&schema.nodes[id].kind, logical(schema, id)) {
        (Kind::Long, Some(Logical::TimestampMillis)) => Step::Thousand,
        (Kind::Long, Some(Logical::TimestampNanos)) => Step::Thousandth,
        (Kind::Fixed(_), Some(Logical::Uuid)) => Step::Uuid,
        (Kind::Fixed(_), Some(Logical::Duration)) => Step::Duration,
        (Kind::Null, _) => Step::Null,
        (Kind::Boolean, _) => Step::Boolean,
        (Kind::Int | Kind::Long, _) => Step::Integer,
        (Kind::Float, _) => Step::Float,
        (Kind::Double, _) => Step::Double,
        (Kind::Bytes, _) => Step::Bytes,
        (Kind::String, _) => Step::Text,
        (Kind::Fixed(size), _) => Step::Fixed(*size),
        (Kind::Enum(symbols), _) => {
            let symbols = symbols.iter().map(|symbol| quoted(symbol).into_bytes());
            Step::Symbols(symbols.map(Vec::into_boxed_slice).collect())
        }
        (Kind::Array(items), _) => Step::Array(*items),
        (Kind::Map(values), _) => Step::Map(*values),
        (Kind::Record(fields), _) => {
            let fields = fields.iter().map(|(name, id)| {
                let token = format!("{}:", quoted(name)).into_bytes();
                Field {
                    token: token.into_boxed_slice(),
                    name: name.clone(),
                    value: *id,
                    idle: false,
                }
            });
            Step::Record(fields.collect())
        }
        (Kind::Union(branches), _) => Step::Union(branches.clone()),
    }
}

/// The record `source` of a schema of events.
fn source_of_event(schema: &Schema) -> Option<NodeId> {
    let Kind::Record(fields) = &schema.nodes[schema.root].kind else {
        return None;
    };
    let (_, source) = fields.iter().find(|(name, _)| name == "source")?;
    let source = schema.without_null(*source)?;
    matches!(schema.nodes[source].kind, Kind::Record(_)).then_some(source)
}

#[cold]
fn out_of_range() -> Box<Fault> {
    Fault::value("found an instant beyond what 64 bits of microseconds hold")
}

#[cfg(test)]
mod tests;
