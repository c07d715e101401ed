//! What a consumer owns and what it has gathered of it: the arithmetic of positions, without a
//! broker.
//!
//! Guarantees: the spans of a partition are contiguous, each begins where the one before ended;
//! a record below the position of its partition is dropped (a duplicate costs nothing); a record
//! of a partition that is not owned is dropped; a null value is a tombstone and is kept; a position
//! never goes back but by [`FetchBuffer::begin`].

use std::sync::Arc;

use crate::record::{Incarnation, Partition, Records, Span};
use crate::source::Fetched;

/// The partitions that are read, and the records that wait to be handed over.
#[derive(Debug, Default)]
pub(super) struct FetchBuffer {
    owned: Vec<Owned>,
    records: Records,
    /// Index of the partition that the last record came from: they come in runs.
    last: usize,
}

/// One partition that is read.
#[derive(Debug)]
struct Owned {
    partition: Partition,
    single: bool,
    /// Where the last span ended, or the sink's position; `None` where the sink held none.
    from: Option<i64>,
    /// Up to where spans were handed over.
    handed: i64,
    /// The next offset to come.
    next: i64,
    /// Where to stop (`--once`).
    end: Option<i64>,
    /// What its offsets count in.
    incarnation: Option<Incarnation>,
    /// Its number in `records`, once it has one there.
    index: Option<u32>,
}

/// Where to begin with a partition.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) partition: Partition,
    /// Whether the topic has no other partition.
    pub(super) single: bool,
    /// What the sink held.
    pub(super) from: Option<i64>,
    /// The first offset to read.
    pub(super) offset: i64,
    /// Where to stop; `None` for never.
    pub(super) end: Option<i64>,
    /// What the offsets count in, where the broker says it.
    pub(super) incarnation: Option<Incarnation>,
}

impl Owned {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

impl FetchBuffer {
    /// Begins, or begins anew, with a partition: what was gathered of it is dropped.
    pub(super) fn begin(&mut self, beginning: Beginning) {
        self.remove(std::slice::from_ref(&beginning.partition));
        self.owned.push(Owned {
            partition: beginning.partition,
            single: beginning.single,
            from: beginning.from,
            handed: beginning.offset,
            next: beginning.offset,
            end: beginning.end,
            incarnation: beginning.incarnation,
            index: None,
        });
    }

    /// Forgets partitions and what was gathered of them.
    pub(super) fn remove(&mut self, partitions: &[Partition]) {
        let gone: Vec<u32> = self
            .owned
            .iter()
            .filter(|owned| partitions.contains(&owned.partition))
            .filter_map(|owned| owned.index)
            .collect();
        if !gone.is_empty() {
            self.records
                .entries
                .retain(|record| !gone.contains(&record.partition));
        }
        self.owned
            .retain(|owned| !partitions.contains(&owned.partition));
        self.last = 0;
    }

    /// Says anew whether a topic has one partition only.
    pub(super) fn set_single(&mut self, topic: &str, single: bool) {
        for owned in &mut self.owned {
            if &*owned.partition.topic == topic {
                owned.single = single;
            }
        }
    }

    /// The partitions that are read.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.owned.iter().map(|owned| &owned.partition)
    }

    /// The partitions that are not at their end, with the next offset of each.
    pub(super) fn reading(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.owned
            .iter()
            .filter(|owned| !owned.is_done())
            .map(|owned| (&owned.partition, owned.next))
    }

    /// The partitions that are read, with what their offsets count in.
    pub(super) fn incarnations(&self) -> impl Iterator<Item = (&Partition, Option<&Incarnation>)> {
        self.owned
            .iter()
            .map(|owned| (&owned.partition, owned.incarnation.as_ref()))
    }

    /// Whether this partition is read.
    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.owned.iter().any(|owned| owned.partition == *partition)
    }

    /// Whether every partition is at its end.
    pub(super) fn is_done(&self) -> bool {
        self.owned.iter().all(Owned::is_done)
    }

    /// Records that wait.
    pub(super) fn rows(&self) -> usize {
        self.records.len()
    }

    /// Bytes of the records that wait.
    pub(super) fn bytes(&self) -> usize {
        self.records.bytes.len()
    }

    /// A place for the record at `offset`: the buffer, and the number of the partition in it.
    /// `None` where it must be dropped: its partition is not owned, or its offset lies behind the
    /// position or past the end.
    pub(super) fn accept(
        &mut self,
        topic: &str,
        number: i32,
        offset: i64,
    ) -> Option<(&mut Records, u32)> {
        let is_it =
            |owned: &Owned| owned.partition.number == number && &*owned.partition.topic == topic;
        if !self.owned.get(self.last).is_some_and(is_it) {
            self.last = self.owned.iter().position(is_it)?;
        }
        let owned = &mut self.owned[self.last];
        if offset < owned.next {
            return None;
        }
        if let Some(end) = owned.end
            && offset >= end
        {
            // Everything below the end has come, or this one would not be here.
            owned.next = end;
            return None;
        }
        owned.next = offset + 1;
        let index = match owned.index {
            Some(index) => index,
            None => {
                let index = self.records.add_partition(&owned.partition, owned.single);
                owned.index = Some(index);
                index
            }
        };
        Some((&mut self.records, index))
    }

    /// Moves a partition on over offsets that hold no record (transaction markers, compaction).
    pub(super) fn advance(&mut self, topic: &str, number: i32, position: i64) {
        let found = self
            .owned
            .iter_mut()
            .find(|owned| owned.partition.number == number && &*owned.partition.topic == topic);
        if let Some(owned) = found {
            let limit = owned.end.unwrap_or(i64::MAX);
            owned.next = owned.next.max(position.min(limit));
        }
    }

    /// The end of partition `number` was seen: where only one topic has it here, that partition is
    /// done, whatever the offsets say (a compacted tail).
    pub(super) fn reached_end(&mut self, number: i32) {
        let mut candidates = self
            .owned
            .iter_mut()
            .filter(|owned| owned.partition.number == number);
        if let (Some(only), None) = (candidates.next(), candidates.next())
            && let Some(end) = only.end
        {
            only.next = only.next.max(end);
        }
    }

    /// Hands over what was gathered, with one span for each partition that moved; `None` where
    /// none did.
    pub(super) fn take(&mut self) -> Option<Fetched> {
        let mut spans = Vec::new();
        for owned in &mut self.owned {
            owned.index = None;
            if owned.next > owned.handed {
                spans.push(Span {
                    partition: owned.partition.clone(),
                    from: owned.from,
                    next: owned.next,
                    incarnation: owned.incarnation.clone(),
                });
                owned.from = Some(owned.next);
                owned.handed = owned.next;
            }
        }
        if spans.is_empty() {
            return None;
        }
        // The next batch is likely as large as this one: one allocation instead of a dozen.
        let fresh = Records {
            bytes: Vec::with_capacity(self.records.bytes.len()),
            entries: Vec::with_capacity(self.records.entries.len()),
            ..Records::default()
        };
        let records = std::mem::replace(&mut self.records, fresh);
        Some(Fetched { records, spans })
    }
}

/// A partition by name and number.
pub(super) fn partition(topic: &str, number: i32) -> Partition {
    Partition {
        topic: Arc::from(topic),
        number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Topic, number, what the sink held, where to begin, where to stop.
    type Begun<'a> = (&'a str, i32, Option<i64>, i64, Option<i64>);

    fn fetch_buffer(beginnings: &[Begun<'_>]) -> FetchBuffer {
        let mut fetch_buffer = FetchBuffer::default();
        for &(topic, number, from, offset, end) in beginnings {
            fetch_buffer.begin(Beginning {
                partition: partition(topic, number),
                single: false,
                from,
                offset,
                end,
                incarnation: None,
            });
        }
        fetch_buffer
    }

    fn offer(fetch_buffer: &mut FetchBuffer, topic: &str, number: i32, offset: i64) -> bool {
        match fetch_buffer.accept(topic, number, offset) {
            Some((records, index)) => {
                records.push(index, offset, None, None, Some(b"v"), None);
                true
            }
            None => false,
        }
    }

    fn spans(fetch_buffer: &mut FetchBuffer) -> Vec<(i32, Option<i64>, i64)> {
        fetch_buffer.take().map_or_else(Vec::new, |fetched| {
            fetched
                .spans
                .iter()
                .map(|span| (span.partition.number, span.from, span.next))
                .collect()
        })
    }

    #[test]
    fn spans_are_contiguous_and_begin_without_a_from_where_the_sink_had_none() {
        let mut fetch_buffer = fetch_buffer(&[("t", 0, None, 5, None), ("t", 1, Some(7), 7, None)]);
        assert_eq!(spans(&mut fetch_buffer), [], "nothing moved");
        assert!(offer(&mut fetch_buffer, "t", 0, 5));
        assert!(offer(&mut fetch_buffer, "t", 1, 9), "a gap is compaction");
        assert_eq!(spans(&mut fetch_buffer), [(0, None, 6), (1, Some(7), 10)]);
        fetch_buffer.advance("t", 0, 8);
        fetch_buffer.advance("t", 0, 3);
        assert_eq!(
            spans(&mut fetch_buffer),
            [(0, Some(6), 8)],
            "markers move it, never back"
        );
        assert!(offer(&mut fetch_buffer, "t", 0, 8));
        assert_eq!(spans(&mut fetch_buffer), [(0, Some(8), 9)]);
    }

    #[test]
    fn r4_what_lies_behind_the_position_or_is_not_owned_is_dropped() {
        let mut fetch_buffer = fetch_buffer(&[("t", 0, Some(5), 5, None)]);
        for (topic, number, offset, expect) in [
            ("t", 0, 4, false),
            ("t", 1, 9, false),
            ("u", 0, 9, false),
            ("t", 0, 5, true),
            ("t", 0, 5, false),
            ("t", 0, 6, true),
        ] {
            assert_eq!(
                offer(&mut fetch_buffer, topic, number, offset),
                expect,
                "{topic}[{number}]@{offset}"
            );
        }
        assert_eq!(fetch_buffer.rows(), 2);
    }

    #[test]
    fn beginning_anew_drops_what_was_gathered_of_that_partition_only() {
        let mut fetch_buffer =
            fetch_buffer(&[("t", 0, Some(0), 0, None), ("t", 1, Some(0), 0, None)]);
        for number in [0, 1, 0] {
            let offset = i64::from(number == 0 && fetch_buffer.rows() > 0);
            assert!(offer(&mut fetch_buffer, "t", number, offset));
        }
        fetch_buffer.begin(Beginning {
            partition: partition("t", 0),
            single: false,
            from: Some(1),
            offset: 1,
            end: None,
            incarnation: None,
        });
        assert!(offer(&mut fetch_buffer, "t", 0, 1));
        let fetched = fetch_buffer.take().expect("both moved");
        let got: Vec<(i32, i64)> = (0..fetched.records.len())
            .map(|i| {
                let number = fetched.records.partition(i).partition.number;
                (number, fetched.records.entries[i].offset)
            })
            .collect();
        assert_eq!(got, [(1, 0), (0, 1)]);
        fetch_buffer.remove(&[partition("t", 1)]);
        assert!(!offer(&mut fetch_buffer, "t", 1, 5));
    }

    #[test]
    fn once_ends_at_the_end_offset_whatever_comes_after() {
        let mut fetch_buffer =
            fetch_buffer(&[("t", 0, None, 0, Some(2)), ("t", 1, None, 3, Some(3))]);
        assert!(!fetch_buffer.is_done());
        assert!(offer(&mut fetch_buffer, "t", 0, 0));
        assert!(!offer(&mut fetch_buffer, "t", 0, 2), "past the end");
        assert!(fetch_buffer.is_done(), "a marker stood at offset 1");
        assert_eq!(spans(&mut fetch_buffer), [(0, None, 2)]);

        let mut compacted = super::tests::fetch_buffer(&[("t", 0, None, 0, Some(9))]);
        compacted.reached_end(0);
        assert!(compacted.is_done());
        let mut doubtful =
            super::tests::fetch_buffer(&[("t", 0, None, 0, Some(9)), ("u", 0, None, 0, Some(9))]);
        doubtful.reached_end(0);
        assert!(!doubtful.is_done(), "which topic ended is not known");
    }
}
