//! Where one table stands, and what is to be read next.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use super::bookmark::{Bookmark, Place};
use crate::assignment::{Assignment, Remember, Standing};
use crate::error::Result;
use crate::record::Held;

/// Rows of a look-back that are remembered, so that they are not handed over in every round. Of more, all
/// come again.
const SEEN_MAX: usize = 1 << 20;

/// Where one table stands.
#[derive(Debug)]
pub(super) struct Progress {
    /// The number of the next row.
    pub(super) number: i64,
    /// The position that the sinks hold; `None` before the first.
    pub(super) from: Option<i64>,
    /// What the sinks hold beside it.
    pub(super) bookmark: Bookmark,
    pub(super) stage: Stage,
    /// Rows that were handed over before.
    pub(super) seen: Seen,
}

/// What is to be read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing until a moment; `None`: nothing more.
    Waiting(Option<Instant>),
    /// Rows below the highest cursor, from `lowest` on and behind `at`.
    LookBack { lowest: String, at: Option<Place> },
    /// Rows behind the bookmark.
    Ahead,
}

impl Progress {
    /// At the lowest place of the sinks, and what the others have to be set back to. Rows have no number
    /// of their own, so sinks at different places cannot skip what they hold: they take the rows again.
    ///
    /// # Errors
    /// `Configuration` where a position was kept for another order.
    pub(super) fn begin(
        assignment: &Assignment,
        start: &Bookmark,
    ) -> Result<(Self, Vec<Remember>)> {
        let partition = &assignment.partition;
        let mut held: Vec<(usize, &Held)> = Vec::new();
        for (sink, standing) in assignment.sinks.iter().enumerate() {
            if let Standing::Held(position) = standing {
                held.push((sink, position));
            }
        }
        let all_hold = held.len() == assignment.sinks.len();
        let lowest = held
            .iter()
            .map(|(_, held)| *held)
            .min_by_key(|held| held.next);
        let (number, bookmark) = match lowest {
            Some(held) if all_hold => (
                held.next,
                Bookmark::parse(held.incarnation.as_ref(), start, partition)?,
            ),
            _ => (0, start.clone()),
        };
        let text = bookmark.text();
        for (_, held) in &held {
            // What is kept has to be one of this order, wherever it stands.
            Bookmark::parse(held.incarnation.as_ref(), start, partition)?;
        }
        let remember = assignment.set_back(number, &text);
        let is_held = assignment
            .sinks
            .iter()
            .any(|standing| matches!(standing, Standing::Held(_)));
        let progress = Self {
            number,
            from: is_held.then_some(number),
            bookmark,
            stage: Stage::Waiting(Some(Instant::now())),
            seen: Seen::default(),
        };
        Ok((progress, remember))
    }

    /// When a snapshot that ended begins anew, by the clock; `None`: never.
    pub(super) fn due_again(&self, interval: Option<Duration>, now_ms: i64) -> Option<Instant> {
        let Some(ended_ms) = self.bookmark.ended_ms else {
            return Some(Instant::now());
        };
        let interval = interval?;
        let since = u64::try_from(now_ms - ended_ms).unwrap_or(0);
        let left = interval.saturating_sub(Duration::from_millis(since));
        Some(Instant::now() + left)
    }
}

/// Fingerprints of rows that were handed over: of the last round, and of the one that goes on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    states: (RandomState, RandomState),
    last: HashSet<(u64, u64)>,
    current: HashSet<(u64, u64)>,
    /// Whether there were too many to be remembered.
    overflowed: bool,
}

impl Seen {
    /// Takes note of a row; whether it was handed over in the last round as it is.
    pub(super) fn note<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        let (mut left, mut right) = (self.states.0.build_hasher(), self.states.1.build_hasher());
        for value in values {
            let length = value.map_or(u64::MAX, |value| value.len() as u64);
            for hasher in [&mut left, &mut right] {
                hasher.write_u64(length);
                hasher.write(value.unwrap_or_default());
            }
        }
        let fingerprint = (left.finish(), right.finish());
        if self.current.len() >= SEEN_MAX {
            self.overflowed = true;
            self.current.clear();
        }
        if !self.overflowed {
            self.current.insert(fingerprint);
        }
        self.last.contains(&fingerprint)
    }

    /// Ends a round.
    pub(super) fn end_round(&mut self) {
        self.last = std::mem::take(&mut self.current);
        self.overflowed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;
    use crate::sql::source::ReadMode;

    #[test]
    fn sinks_at_different_places_are_set_back_to_the_lowest() {
        let start = Bookmark::start(ReadMode::Snapshot, &["id".to_owned()]);
        let partition = Partition {
            topic: "clients".into(),
            number: 0,
        };
        let at = |next: i64, id: &str| {
            Standing::Held(Held {
                next,
                incarnation: Some(start.behind(vec![id.to_owned()]).text()),
            })
        };
        let check =
            |sinks: Vec<Standing>, expect: (i64, Option<&str>, Option<i64>), back: &[usize]| {
                let assignment = Assignment {
                    partition: partition.clone(),
                    sinks,
                };
                let (progress, remember) = Progress::begin(&assignment, &start).unwrap();
                let after = progress
                    .bookmark
                    .after
                    .as_ref()
                    .map(|place| place[0].as_str());
                assert_eq!((progress.number, after, progress.from), expect);
                let sinks: Vec<usize> = remember.iter().map(|remember| remember.sink).collect();
                assert_eq!(sinks, back);
                for Remember { span, .. } in remember {
                    assert_eq!(span.next, expect.0);
                    assert_eq!(span.incarnation, Some(progress.bookmark.text()));
                }
            };
        let new = Standing::New(crate::assignment::Known::Nothing);
        check(vec![new.clone()], (0, None, None), &[]);
        check(vec![at(5, "e")], (5, Some("e"), Some(5)), &[]);
        check(vec![at(5, "e"), at(5, "e")], (5, Some("e"), Some(5)), &[]);
        check(vec![at(9, "i"), at(5, "e")], (5, Some("e"), Some(5)), &[0]);
        check(vec![at(9, "i"), new], (0, None, Some(0)), &[0]);
        check(vec![Standing::Unkept, at(9, "i")], (0, None, Some(0)), &[1]);
    }

    #[test]
    fn a_position_of_another_order_is_refused() {
        let by_id = Bookmark::start(ReadMode::Snapshot, &["id".to_owned()]);
        let by_time = Bookmark::start(ReadMode::Cursor, &["at".to_owned(), "id".to_owned()]);
        let assignment = |incarnation| Assignment {
            partition: Partition {
                topic: "clients".into(),
                number: 0,
            },
            sinks: vec![Standing::Held(Held {
                next: 5,
                incarnation,
            })],
        };
        for kept in [Some(by_id.text()), None, Some("2/abc".into())] {
            let error = Progress::begin(&assignment(kept), &by_time).unwrap_err();
            assert!(error.to_string().contains("positions reset"), "{error}");
        }
    }

    #[test]
    fn a_row_that_changed_is_another_one() {
        let mut seen = Seen::default();
        let row = |text: &'static str| [Some(&b"1"[..]), Some(text.as_bytes()), None].into_iter();
        assert!(!seen.note(row("a")));
        assert!(!seen.note(row("a")), "two of one round are two rows");
        seen.end_round();
        assert!(seen.note(row("a")));
        assert!(!seen.note(row("b")));
        assert!(!seen.note([Some(&b"1a"[..]), None, None].into_iter()));
        seen.end_round();
        seen.end_round();
        assert!(!seen.note(row("a")), "only the last round is remembered");
    }
}
