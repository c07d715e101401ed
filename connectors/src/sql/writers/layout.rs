//! Where the writers of a partition stand: the position of the first is kept under the partition itself,
//! that of each other one under a [`WriterMark`] beside it, with the number of writers where a topic's
//! incarnation is kept. Rows of writers past that number are left where they are and mean nothing.

use std::collections::BTreeMap;

use super::route;
use crate::positions::WriterMark;
use crate::record::{Held, HeldPositions, Partition, Span};

/// The positions of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// How many writers the partition is split over.
    count: usize,
    /// What is kept for each writer, also for those past the number.
    next: Vec<Option<i64>>,
}

/// Takes the layouts of partitions with several writers out of what the target holds, and leaves each
/// partition where the last of its writers stands.
pub(super) fn layouts(held: HeldPositions) -> (HeldPositions, BTreeMap<Partition, Layout>) {
    let mut plain = HeldPositions::new();
    let mut layouts: BTreeMap<Partition, Layout> = BTreeMap::new();
    for (partition, held) in held {
        let Some(mark) = WriterMark::read(&partition) else {
            plain.insert(partition, held);
            continue;
        };
        let layout = layouts.entry(mark.of()).or_default();
        layout.put(mark.writer, held.next);
        if mark.writer == 1 {
            let count = held.incarnation.as_deref().map(str::parse);
            layout.count = count.and_then(Result::ok).unwrap_or(1);
        }
    }
    for (partition, layout) in &mut layouts {
        let Some(Held { next, .. }) = plain.get_mut(partition) else {
            // Somebody took the partition's own position away: it begins anew.
            layout.count = 1;
            continue;
        };
        layout.put(0, *next);
        *next = layout.lowest().unwrap_or(*next);
    }
    for (partition, held) in &plain {
        let alone = || Layout::alone(Some(held.next));
        layouts.entry(partition.clone()).or_insert_with(alone);
    }
    (plain, layouts)
}

/// The span of one writer, where all stand together.
pub(super) fn span(span: &Span, writer: usize) -> Span {
    Span {
        partition: row(&span.partition, writer),
        incarnation: span.incarnation.clone().filter(|_| writer == 0),
        ..span.clone()
    }
}

/// Where the position of a writer is kept.
fn row(partition: &Partition, writer: usize) -> Partition {
    match writer {
        0 => partition.clone(),
        writer => WriterMark::new(partition, writer).partition(),
    }
}

impl Layout {
    /// One writer.
    pub(super) fn alone(next: Option<i64>) -> Self {
        Self {
            count: 1,
            next: vec![next],
        }
    }

    /// Whether there is one writer, and nothing was ever kept for another one.
    pub(super) fn is_alone(&self) -> bool {
        self.count <= 1
    }

    /// Whether all writers stand together.
    pub(super) fn is_level(&self) -> bool {
        let mut used = self.used();
        let first = used.next().flatten();
        used.all(|next| next == first)
    }

    /// Where `count` writers stand together.
    pub(super) fn stands(&self, count: usize) -> Option<i64> {
        let together = self.count == count && self.is_level();
        together.then(|| self.at(0)).flatten()
    }

    /// Whether the writer of a key has written the change at `offset`.
    pub(super) fn holds(&self, hash: u64, offset: i64) -> bool {
        let next = self.at(route::writer(hash, self.count.max(1)));
        next.is_some_and(|next| offset < next)
    }

    /// Sets `count` writers to one place.
    pub(super) fn set(&mut self, count: usize, next: i64) {
        self.count = count;
        for writer in 0..count {
            self.put(writer, next);
        }
    }

    /// Takes note that one writer moved.
    pub(super) fn moved(&mut self, writer: usize, next: i64) {
        self.put(writer, next);
    }

    /// Moves every writer to the end of `span`, if it stands before; where all stand together then, there
    /// are `wanted` of them. Gives the positions to move.
    pub(super) fn advance(&mut self, span: &Span, wanted: usize) -> Vec<Span> {
        let before = self.clone();
        for writer in 0..self.count.max(1) {
            let next = before.at(writer).map_or(span.next, |at| at.max(span.next));
            self.put(writer, next);
        }
        let renumbered = self.is_level() && self.count != wanted;
        if renumbered {
            let next = self.at(0).unwrap_or(span.next);
            self.set(wanted, next);
            if wanted == 1 {
                // The first row of a mark says how many there are.
                self.put(1, next);
            }
        }
        let moves = |writer: usize| {
            let from = before.at(writer);
            let next = self.at(writer)?;
            let numbers = renumbered && writer > 0 && (writer < wanted || writer == 1);
            let of_now = writer < before.count.max(1) || numbers;
            (of_now && (numbers || from != Some(next))).then(|| Span {
                partition: row(&span.partition, writer),
                from,
                next,
                incarnation: match writer {
                    0 => span.incarnation.clone(),
                    _ => numbers.then(|| wanted.to_string().into()),
                },
            })
        };
        (0..self.next.len()).filter_map(moves).collect()
    }

    fn at(&self, writer: usize) -> Option<i64> {
        self.next.get(writer).copied().flatten()
    }

    fn put(&mut self, writer: usize, next: i64) {
        if self.next.len() <= writer {
            self.next.resize(writer + 1, None);
        }
        self.next[writer] = Some(next);
    }

    fn used(&self) -> impl Iterator<Item = Option<i64>> {
        (0..self.count.max(1)).map(|writer| self.at(writer))
    }

    fn lowest(&self) -> Option<i64> {
        self.used().min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        Partition {
            topic: "crm.public.clients".into(),
            number: 3,
        }
    }

    fn step(from: Option<i64>, next: i64) -> Span {
        Span {
            partition: partition(),
            from,
            next,
            incarnation: Some("id".into()),
        }
    }

    /// What a target keeps, moved as a target does; `false` where a position is not where it was thought.
    fn apply(held: &mut HeldPositions, spans: &[Span]) -> bool {
        spans.iter().all(|span| {
            let found = held.get(&span.partition);
            let fits = found.map(|held| held.next) == span.from;
            let kept = found.and_then(|held| held.incarnation.clone());
            let now = Held {
                next: span.next,
                incarnation: span.incarnation.clone().or(kept),
            };
            held.insert(span.partition.clone(), now);
            fits
        })
    }

    #[test]
    fn the_number_of_writers_changes_where_they_stand_together_r4() {
        let mut held = HeldPositions::new();
        let mut next = 0;
        for wanted in [1, 4, 2, 2, 1, 3, 1, 1, 4] {
            let (plain, found) = layouts(held.clone());
            let from = plain.get(&partition()).map(|held| held.next);
            assert_eq!(from, (next > 0).then_some(next));
            let mut layout = found.get(&partition()).cloned();
            let layout = layout.get_or_insert_with(|| Layout::alone(None));
            next += 10;
            let spans = layout.advance(&step(from, next), wanted);
            assert!(apply(&mut held, &spans), "{wanted}: {spans:?}");
            let (plain, found) = layouts(held.clone());
            let read = &plain[&partition()];
            assert_eq!((read.next, read.incarnation.as_deref()), (next, Some("id")));
            assert_eq!(found[&partition()].stands(wanted), Some(next));
        }
    }

    #[test]
    fn writers_that_stand_apart_keep_their_number_until_they_meet_r4() {
        let mut held = HeldPositions::new();
        let mut layout = Layout::alone(None);
        assert!(apply(&mut held, &layout.advance(&step(None, 10), 2)));
        // The second writer got further.
        let ahead = Span {
            partition: row(&partition(), 1),
            from: Some(10),
            next: 30,
            incarnation: None,
        };
        assert!(apply(&mut held, &[ahead]));
        let (plain, found) = layouts(held.clone());
        assert_eq!(plain[&partition()].next, 10, "where the last one stands");
        let mut layout = found[&partition()].clone();
        let second = (0..)
            .find(|&hash| route::writer(hash, 2) == 1)
            .expect("one");
        let first = (0..)
            .find(|&hash| route::writer(hash, 2) == 0)
            .expect("one");
        assert!(layout.holds(second, 29) && !layout.holds(second, 30));
        assert!(!layout.holds(first, 10) && layout.holds(first, 9));
        // Four are wanted; the two stay until they have met.
        assert!(apply(&mut held, &layout.advance(&step(Some(10), 20), 4)));
        assert_eq!(layout.stands(4), None);
        assert!(layout.holds(second, 29) && layout.holds(first, 19));
        assert!(apply(&mut held, &layout.advance(&step(Some(20), 40), 4)));
        assert_eq!(layout.stands(4), Some(40));
        assert_eq!(layouts(held).1[&partition()].stands(4), Some(40));
    }

    #[test]
    fn a_position_that_was_taken_away_begins_anew() {
        let mut held = HeldPositions::new();
        assert!(apply(
            &mut held,
            &Layout::alone(None).advance(&step(None, 10), 2)
        ));
        held.remove(&partition());
        let (plain, found) = layouts(held.clone());
        assert!(plain.is_empty());
        let mut layout = found[&partition()].clone();
        assert!(!layout.holds(0, 5) && !layout.holds(1, 5));
        assert!(apply(&mut held, &layout.advance(&step(None, 5), 2)));
        assert_eq!(layouts(held).1[&partition()].stands(2), Some(5));
    }
}
