//! Which transactions a snapshot holds, as `pg_current_snapshot()` says it.
//!
//! A transaction that was committed before a table was read is in the rows that were read, and comes in the
//! stream too, since the slot was made before. Its changes of that table are passed over.

use pgwire_replication::Lsn;
use serde::{Deserialize, Serialize};

/// A snapshot, and a place in the log behind every transaction that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotMark {
    /// `xmin:xmax:xip,…`
    snapshot: String,
    lsn: String,
}

impl SnapshotMark {
    /// Of what the database says; `None` where it is of no known form.
    pub(super) fn new(snapshot: &str, lsn: &str) -> Option<Self> {
        Snapshot::parse(snapshot)?;
        Lsn::parse(lsn).ok()?;
        Some(Self {
            snapshot: snapshot.to_owned(),
            lsn: lsn.to_owned(),
        })
    }

    /// Whether no transaction that commits at or behind `lsn` is in it.
    pub(super) fn is_past(&self, lsn: Lsn) -> bool {
        Lsn::parse(&self.lsn).is_ok_and(|known| lsn > known)
    }

    /// Whether a transaction that commits at `lsn` is in it.
    pub(super) fn holds(&self, transaction: u32, lsn: Lsn) -> bool {
        if self.is_past(lsn) {
            return false;
        }
        Snapshot::parse(&self.snapshot).is_some_and(|snapshot| snapshot.holds(transaction))
    }
}

#[derive(Debug)]
struct Snapshot {
    /// Every transaction below it has ended.
    lowest: u64,
    /// None at or above it has begun.
    end: u64,
    /// Those between them that go on.
    open: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let lowest = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        let open = parts.next()?;
        let open = open.split(',').filter(|number| !number.is_empty());
        let open = open.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { lowest, end, open })
    }

    /// The log says the lower half of a transaction's number; it is the one that is nearest to the snapshot.
    fn holds(&self, transaction: u32) -> bool {
        const EPOCH: u64 = 1 << 32;
        let near = (self.end & !(EPOCH - 1)) | u64::from(transaction);
        let number = if near > self.end + EPOCH / 2 {
            near.saturating_sub(EPOCH)
        } else if near + EPOCH / 2 < self.end {
            near + EPOCH
        } else {
            near
        };
        number < self.lowest || (number < self.end && !self.open.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_holds_what_had_ended() {
        let check = |snapshot: &str, transaction: u32, expect: bool| {
            let mark = SnapshotMark::new(snapshot, "0/100").unwrap();
            assert_eq!(
                mark.holds(transaction, Lsn(0x100)),
                expect,
                "{snapshot} {transaction}"
            );
            assert!(!mark.holds(transaction, Lsn(0x101)));
        };
        check("10:20:10,15", 9, true);
        check("10:20:10,15", 10, false);
        check("10:20:10,15", 11, true);
        check("10:20:10,15", 15, false);
        check("10:20:10,15", 19, true);
        check("10:20:10,15", 20, false);
        check("10:10:", 9, true);
        check("10:10:", 10, false);
        // Numbers go around after four thousand million.
        check("4294967306:4294967316:4294967306", 9, true);
        check("4294967306:4294967316:4294967306", 10, false);
        check("4294967306:4294967316:", u32::MAX, true);
        check("4294967290:4294967295:", 5, false);
        assert!(SnapshotMark::new("10:20", "0/1").is_none());
    }
}
