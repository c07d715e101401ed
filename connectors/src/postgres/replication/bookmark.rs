//! Where a stream of changes stands, as the text that a sink keeps beside the position.
//!
//! The position counts what was handed over. The text says where in the log that is: behind which commit, and
//! how many changes of the next transaction were handed over already. While tables are read for the first
//! time it says for each of them behind which row to go on, and which transactions its rows hold already.

use std::collections::BTreeMap;

use pgwire_replication::Lsn;
use serde::{Deserialize, Serialize};

use super::visible::SnapshotMark;
use crate::error::{Error, Result};
use crate::record::{Incarnation, Partition};

/// See the module docs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookmark {
    /// The name of the replication slot.
    slot: String,
    /// Behind the last commit that was handed over, as PostgreSQL writes it.
    lsn: String,
    /// How many changes of the transaction behind it were handed over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) done: u64,
    /// The tables that are read, and how far their first reading has come.
    pub(super) tables: BTreeMap<String, TableMark>,
}

/// How far the first reading of a table has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct TableMark {
    /// Whether rows are still to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reading: bool,
    /// Behind which row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Vec<String>>,
    /// The transactions that the rows hold already; `None` before the first, and once the stream is past
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holds: Option<SnapshotMark>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Bookmark {
    /// Before the first row of `tables`; the stream begins at `lsn`.
    pub(super) fn start(slot: &str, lsn: Lsn, tables: &[String]) -> Self {
        let mut start = Self {
            slot: slot.to_owned(),
            lsn: lsn.to_string(),
            done: 0,
            tables: BTreeMap::new(),
        };
        start.join(tables);
        start
    }

    /// In the stream, with all tables read.
    pub(super) fn streaming(slot: &str, lsn: Lsn, tables: &[String]) -> Self {
        let mut start = Self::start(slot, lsn, tables);
        for mark in start.tables.values_mut() {
            mark.reading = false;
        }
        start
    }

    /// Adds tables that are new, to be read from their beginning; whether there are any.
    pub(super) fn join(&mut self, tables: &[String]) -> bool {
        let before = self.tables.len();
        for table in tables {
            self.tables.entry(table.clone()).or_insert(TableMark {
                reading: true,
                ..TableMark::default()
            });
        }
        self.tables.len() > before
    }

    /// Behind the last commit that was handed over.
    pub(super) fn lsn(&self) -> Lsn {
        Lsn::parse(&self.lsn).unwrap_or(Lsn::ZERO)
    }

    /// Moves behind a commit.
    pub(super) fn commit(&mut self, end: Lsn) {
        self.lsn = end.to_string();
        self.done = 0;
    }

    /// The next table that is to be read.
    pub(super) fn unread(&self) -> Option<&str> {
        let mut tables = self.tables.iter();
        let found = tables.find(|(_, mark)| mark.reading);
        found.map(|(name, _)| name.as_str())
    }

    /// Whether every table was read.
    pub(super) fn is_streaming(&self) -> bool {
        self.unread().is_none()
    }

    /// Forgets which transactions the rows hold, once the stream is past all of them.
    pub(super) fn prune(&mut self, lsn: Lsn) {
        for mark in self.tables.values_mut() {
            if !mark.reading && mark.holds.as_ref().is_some_and(|holds| holds.is_past(lsn)) {
                *mark = TableMark::default();
            }
        }
    }

    /// As it is kept.
    pub(super) fn text(&self) -> Incarnation {
        let text = serde_json::to_string(self).expect("texts and numbers are JSON");
        text.into()
    }

    /// Of a text that a sink kept.
    ///
    /// # Errors
    /// `Configuration` where it was kept for another slot or by another mode.
    pub(super) fn parse(
        text: Option<&Incarnation>,
        slot: &str,
        partition: &Partition,
    ) -> Result<Self> {
        let kept: Option<Self> = text.and_then(|text| serde_json::from_str(text).ok());
        let remedy = "undo the change, or read the tables from their beginning: `syncline positions reset FILE --source NAME`";
        match kept {
            Some(kept) if kept.slot == slot && Lsn::parse(&kept.lsn).is_ok() => Ok(kept),
            Some(kept) => Err(Error::configuration(format!(
                "the position that is kept was read from the slot {:?}, and the source has the slot {slot:?}: {remedy}",
                kept.slot
            ))),
            None => Err(Error::configuration(format!(
                "the position that is kept for {:?} is none of a replication slot: {remedy}",
                partition.topic
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_read_as_it_was_kept_and_one_of_another_slot_is_refused() {
        let partition = Partition {
            topic: "s".into(),
            number: 0,
        };
        let tables = ["public.a".to_owned(), "public.b".to_owned()];
        let mut bookmark = Bookmark::start("s", Lsn(0x16_0000_0010), &tables);
        assert_eq!(bookmark.unread(), Some("public.a"));
        bookmark.done = 3;
        let text = bookmark.text();
        assert_eq!(
            Bookmark::parse(Some(&text), "s", &partition).unwrap(),
            bookmark
        );
        for kept in [None, Some("{}".into()), Some(text)] {
            let error = Bookmark::parse(kept.as_ref(), "t", &partition).unwrap_err();
            assert!(error.to_string().contains("positions reset"), "{error}");
        }
    }
}
