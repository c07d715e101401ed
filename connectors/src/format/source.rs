//! The `source` block of an envelope: of its many fields only five matter.
//!
//! Most of the block is the same in every message of a table, so the reader keeps a template: the
//! bytes that did not change, and between them the values that did. A block that follows the
//! template costs one comparison for each stretch; any other is walked field by field, and the
//! template learns which of its values change. What is read never depends on the template.

use super::fault::Parsed;
use super::head::Head;
use super::keys::{KeyOrder, STRANGER};
use super::scan::Cursor;

/// How much a miss counts, how much is too many, and how much a hit takes off.
const MISS: u32 = 8;
const MISSES_MAX: u32 = 128;

/// Names that matter, in the order of [`Head::read_source`].
pub(super) const NAMES: [&str; 5] = ["ts_ms", "db", "schema", "table", "origin"];

/// A value of the block last walked, by its place in the block.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    name: usize,
    start: usize,
    end: usize,
    varies: bool,
}

/// Bytes that stay, the values that matter in them, and the name of the value that follows.
#[derive(Debug, Default)]
struct Segment {
    literal: Vec<u8>,
    constants: Vec<(usize, usize)>,
    /// `None` at the end of the block.
    value: Option<usize>,
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct SourceReader {
    keys: KeyOrder,
    block: Vec<u8>,
    spans: Vec<Span>,
    template: Vec<Segment>,
    misses: u32,
}

impl SourceReader {
    pub(super) fn new() -> Self {
        Self {
            keys: KeyOrder::new(NAMES),
            block: Vec::new(),
            spans: Vec::new(),
            template: Vec::new(),
            misses: 0,
        }
    }

    /// Reads the object that stands next.
    pub(super) fn read<'a>(&mut self, cursor: &mut Cursor<'a>, head: &mut Head<'a>) -> Parsed<()> {
        let start = cursor.at();
        if !self.template.is_empty() && self.follow(cursor, head).is_some() {
            self.misses = self.misses.saturating_sub(1);
            return Ok(());
        }
        cursor.seek(start);
        head.forget_source();
        let spans = self.walk(cursor, head)?;
        if self.misses + MISS <= MISSES_MAX {
            self.misses += MISS;
            self.learn(cursor.since(start), spans);
        } else {
            // Blocks that keep changing are walked, and the template is given another chance later.
            self.misses -= 1;
        }
        Ok(())
    }

    #[inline]
    fn follow<'a>(&self, cursor: &mut Cursor<'a>, head: &mut Head<'a>) -> Option<()> {
        for segment in &self.template {
            let start = cursor.at();
            if !cursor.take(&segment.literal) {
                return None;
            }
            for &(name, at) in &segment.constants {
                let mut value = Cursor::from(cursor.bytes(), start + at);
                head.read_source(name, &mut value).ok()?;
            }
            match segment.value {
                None => {}
                Some(STRANGER) => cursor.skip().ok()?,
                Some(name) => head.read_source(name, cursor).ok()?,
            }
        }
        Some(())
    }

    #[cold]
    fn walk<'a>(&mut self, cursor: &mut Cursor<'a>, head: &mut Head<'a>) -> Parsed<Vec<Span>> {
        let block = cursor.at();
        let mut spans = Vec::new();
        cursor.expect(b'{')?;
        let mut hint = 0;
        let mut more = !cursor.closed(b'}');
        while more {
            let name = self.keys.next(cursor, &mut hint)?;
            let start = cursor.at();
            if name == STRANGER {
                cursor.skip()?;
            } else {
                head.read_source(name, cursor)?;
            }
            spans.push(Span {
                name,
                start: start - block,
                end: cursor.at() - block,
                varies: false,
            });
            more = cursor.more(b'}')?;
        }
        Ok(spans)
    }

    fn learn(&mut self, block: &[u8], mut spans: Vec<Span>) {
        let gaps = |block: &[u8], spans: &[Span]| -> Vec<Vec<u8>> {
            let starts = spans.iter().map(|span| span.start).chain([block.len()]);
            let ends = [0].into_iter().chain(spans.iter().map(|span| span.end));
            ends.zip(starts)
                .map(|(end, start)| block[end..start].to_vec())
                .collect()
        };
        if gaps(block, &spans) == gaps(&self.block, &self.spans) {
            for (new, old) in spans.iter_mut().zip(&self.spans) {
                new.varies =
                    old.varies || block[new.start..new.end] != self.block[old.start..old.end];
            }
        }
        self.template.clear();
        let (mut segment, mut from) = (Segment::default(), 0);
        for span in &spans {
            if span.varies {
                segment.literal = block[from..span.start].to_vec();
                segment.value = Some(span.name);
                self.template.push(std::mem::take(&mut segment));
                from = span.end;
            } else if span.name != STRANGER {
                segment.constants.push((span.name, span.start - from));
            }
        }
        segment.literal = block[from..].to_vec();
        self.template.push(segment);
        self.block = block.to_vec();
        self.spans = spans;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_template_never_changes_what_is_read(
            blocks in proptest::collection::vec(
                (0..3i64, 0..2u8, 0..3u8, 0..2u8, "[ab\"]{0,1}", any::<bool>(), 0..3u8), 1..60),
        ) {
            let mut learning = SourceReader::new();
            for (ms, db, schema, table, text, short, origin) in blocks {
                let text = serde_json::Value::from(text);
                let mut block = format!(
                    "{{\"version\":{text},\"ts_ms\":{ms},\"db\":\"d{db}\",\"sequence\":[{ms},{{\"table\":1}}],\"schema\":\"s{schema}\""
                );
                block.push_str(match origin {
                    0 => "",
                    1 => ",\"origin\":null",
                    _ => ",\"origin\":\"o\"",
                });
                block.push_str(&if short { "}".to_owned() } else { format!(",\"table\":\"\\u0074{table}\",\"lsn\":{ms}}}") });
                block.push_str(",rest");
                let read = |reader: &mut SourceReader| {
                    let mut head = Head::default();
                    let mut cursor = Cursor::new(block.as_bytes());
                    reader.read(&mut cursor, &mut head).unwrap();
                    let text = |text: Option<std::borrow::Cow<'_, [u8]>>| text.map(|text| text.into_owned());
                    (head.source_ms, text(head.database), text(head.schema), text(head.table), text(head.origin), cursor.at())
                };
                let expect = read(&mut SourceReader::new());
                prop_assert_eq!(expect.0, Some(ms));
                prop_assert_eq!(read(&mut learning), expect);
            }
        }
    }
}
