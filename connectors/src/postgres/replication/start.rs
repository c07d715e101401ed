//! Where the source begins: what the sinks hold, compared with the slot.
//!
//! Sinks that stand at different places of the stream skip what they hold, by its number. Reading the log
//! again counts the same changes, but moves of the place without a change are not repeated; so the number is
//! raised where a place that was kept is reached ([`Start::ahead`]). While tables are read there are no such
//! numbers: then all sinks are set back to the lowest place and take rows again, by their keys.

use pgwire_replication::Lsn;

use super::bookmark::Bookmark;
use super::slot::Slot;
use crate::assignment::{Assignment, Remember, Standing};
use crate::error::{Error, Result};
use crate::record::Held;

/// What the sinks hold.
#[derive(Debug)]
pub(super) struct Kept {
    /// By number.
    held: Vec<(usize, Held, Bookmark)>,
    /// Whether a sink that keeps positions has none.
    pub(super) some_new: bool,
    /// Whether a sink keeps none.
    pub(super) some_unkept: bool,
}

/// Where to begin.
#[derive(Debug)]
pub(super) struct Start {
    /// The number of the next change.
    pub(super) number: i64,
    /// The position that the sinks hold; `None` before the first.
    pub(super) from: Option<i64>,
    pub(super) bookmark: Bookmark,
    /// Numbers of sinks that stand further on, with their places, in order.
    pub(super) ahead: Vec<(i64, Bookmark)>,
    pub(super) remember: Vec<Remember>,
}

impl Kept {
    /// Reads what was kept.
    ///
    /// # Errors
    /// `Configuration` where it was kept for another slot or mode.
    pub(super) fn of(assignment: &Assignment, slot: &str) -> Result<Self> {
        let mut kept = Self {
            held: Vec::new(),
            some_new: false,
            some_unkept: false,
        };
        for (sink, standing) in assignment.sinks.iter().enumerate() {
            match standing {
                Standing::Held(held) => {
                    let partition = &assignment.partition;
                    let bookmark = Bookmark::parse(held.incarnation.as_ref(), slot, partition)?;
                    kept.held.push((sink, held.clone(), bookmark));
                }
                Standing::New(_) => kept.some_new = true,
                Standing::Unkept => kept.some_unkept = true,
            }
        }
        kept.held.sort_by_key(|(_, held, _)| held.next);
        Ok(kept)
    }

    /// Whether the tables have to be read from their beginning; `was_read` says it for sinks that keep no
    /// positions.
    pub(super) fn begins_anew(&self, was_read: bool) -> bool {
        self.some_new
            || (self.some_unkept && !was_read)
            || (self.held.is_empty() && !self.some_unkept)
    }

    /// Whether all sinks stand at one place.
    pub(super) fn is_together(&self) -> bool {
        let mut numbers = self.held.iter().map(|(_, held, _)| held.next);
        let first = numbers.next();
        !self.some_unkept && numbers.all(|number| Some(number) == first)
    }

    /// Refuses a slot that is past a place that a sink holds.
    ///
    /// # Errors
    /// `Configuration`, with the remedy.
    pub(super) fn check(&self, slot: &Slot, name: &str) -> Result<()> {
        let behind = self
            .held
            .iter()
            .find(|(_, _, kept)| kept.lsn() < slot.confirmed);
        match behind {
            None => Ok(()),
            Some((_, _, kept)) => Err(Error::configuration(format!(
                "the slot {name:?} is at {}, and a sink has come to {} only: somebody else read from the slot, or the target was set back. The changes between are gone: read the tables again with `syncline positions reset FILE --source NAME`; rows that were deleted meanwhile stay in the target unless you empty its tables first",
                slot.confirmed,
                kept.lsn()
            ))),
        }
    }

    /// At the first row of `tables`; sinks that hold a position are set back.
    pub(super) fn anew(&self, assignment: &Assignment, bookmark: Bookmark) -> Start {
        self.set_back(assignment, 0, bookmark)
    }

    /// At the lowest place. `confirmed` is that of sinks which keep none.
    pub(super) fn lowest(
        &self,
        assignment: &Assignment,
        unkept: Option<Bookmark>,
    ) -> Option<Start> {
        let (number, bookmark) = match (unkept, self.held.first()) {
            (Some(unkept), _) => (0, unkept),
            (None, Some((_, held, bookmark))) => (held.next, bookmark.clone()),
            (None, None) => return None,
        };
        let streaming = self.held.iter().all(|(_, _, kept)| kept.is_streaming());
        if !streaming {
            return Some(self.set_back(assignment, number, bookmark));
        }
        let ahead = self
            .held
            .iter()
            .filter(|(_, held, _)| held.next > number)
            .map(|(_, held, kept)| (held.next, kept.clone()));
        Some(Start {
            number,
            from: (!self.held.is_empty()).then_some(number),
            bookmark,
            ahead: ahead.collect(),
            remember: Vec::new(),
        })
    }

    fn set_back(&self, assignment: &Assignment, number: i64, bookmark: Bookmark) -> Start {
        Start {
            number,
            from: (!self.held.is_empty()).then_some(number),
            remember: assignment.set_back(number, &bookmark.text()),
            bookmark,
            ahead: Vec::new(),
        }
    }
}

impl Start {
    /// The number of a change that is the next of a transaction, which commits at `commit`: raised where a
    /// place that was kept is reached.
    ///
    /// # Errors
    /// `Configuration` where more changes come than a sink counted up to its place.
    pub(super) fn number_of(&mut self, commit: Lsn, previous: Lsn, done: u64) -> Result<i64> {
        while let Some((number, place)) = self.ahead.first() {
            let is_first_behind = previous <= place.lsn() && commit >= place.lsn();
            let before = commit < place.lsn() || (is_first_behind && done < place.done);
            if before && self.number < *number {
                break;
            }
            if self.number > *number || before {
                return Err(Error::configuration(
                    "the sinks stand at different places of the log, and more changes come now than the one ahead had counted: the publication or the tables were changed meanwhile. Undo that and start once, so that all sinks come to one place",
                ));
            }
            self.number = *number;
            self.ahead.remove(0);
        }
        Ok(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    fn bookmark(lsn: u64, done: u64) -> Bookmark {
        let mut bookmark = Bookmark::streaming("s", Lsn(lsn), &["public.a".to_owned()]);
        bookmark.done = done;
        bookmark
    }

    fn held(number: i64, bookmark: &Bookmark) -> Standing {
        Standing::Held(Held {
            next: number,
            incarnation: Some(bookmark.text()),
        })
    }

    fn assignment(sinks: Vec<Standing>) -> Assignment {
        Assignment {
            partition: Partition {
                topic: "s".into(),
                number: 0,
            },
            sinks,
        }
    }

    #[test]
    fn a_sink_ahead_skips_what_it_holds_by_its_number() {
        // One sink has come to change 2 of the transaction behind 100, with moves that were counted.
        let assignment = assignment(vec![
            held(10, &bookmark(50, 0)),
            held(20, &bookmark(100, 2)),
        ]);
        let kept = Kept::of(&assignment, "s").unwrap();
        assert!(!kept.is_together() && !kept.begins_anew(false));
        let mut start = kept.lowest(&assignment, None).unwrap();
        assert_eq!((start.number, start.from), (10, Some(10)));
        let next = |start: &mut Start, commit: u64, previous: u64, done: u64| {
            let number = start.number_of(Lsn(commit), Lsn(previous), done).unwrap();
            start.number += 1;
            number
        };
        // A transaction before its place, and the two changes that it holds of the next.
        assert_eq!(next(&mut start, 80, 50, 0), 10);
        assert_eq!(next(&mut start, 120, 100, 0), 11);
        assert_eq!(next(&mut start, 120, 100, 1), 12);
        assert_eq!(next(&mut start, 120, 100, 2), 20);
        assert_eq!(next(&mut start, 140, 130, 0), 21);
    }

    #[test]
    fn more_changes_than_were_counted_stop_the_source() {
        let assignment = assignment(vec![
            held(10, &bookmark(50, 0)),
            held(11, &bookmark(100, 0)),
        ]);
        let kept = Kept::of(&assignment, "s").unwrap();
        let mut start = kept.lowest(&assignment, None).unwrap();
        assert_eq!(start.number_of(Lsn(80), Lsn(50), 0).unwrap(), 10);
        start.number += 1;
        let error = start.number_of(Lsn(80), Lsn(50), 1).unwrap_err();
        assert!(error.to_string().contains("different places"), "{error}");
    }

    #[test]
    fn while_tables_are_read_all_are_set_back_to_the_lowest() {
        let mut reading = bookmark(50, 0);
        reading.tables.get_mut("public.a").unwrap().reading = true;
        let assignment = assignment(vec![held(20, &bookmark(100, 2)), held(10, &reading)]);
        let kept = Kept::of(&assignment, "s").unwrap();
        let start = kept.lowest(&assignment, None).unwrap();
        assert_eq!(start.number, 10);
        let moved: Vec<_> = start
            .remember
            .iter()
            .map(|remember| (remember.sink, remember.span.from, remember.span.next))
            .collect();
        assert_eq!(moved, [(0, Some(20), 10)]);
    }

    #[test]
    fn a_slot_that_is_past_a_sink_is_refused() {
        let assignment = assignment(vec![held(10, &bookmark(50, 0))]);
        let kept = Kept::of(&assignment, "s").unwrap();
        let at = |lsn| Slot {
            confirmed: Lsn(lsn),
        };
        kept.check(&at(50), "s").unwrap();
        let error = kept.check(&at(51), "s").unwrap_err();
        assert!(error.to_string().contains("positions reset"), "{error}");
    }
}
