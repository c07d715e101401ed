//! What became of each change of a write: fates into the outcome (R17) and the counts of conflicts,
//! once for every database.
//!
//! - missing: an upsert of a row that the target does not have is written, and an update of it is a
//!   conflict (`update_missing`); so is a delete of it (`delete_missing`).
//! - same: written. Under `detect = "key"` it is a conflict all the same.
//! - replaced: written, over a conflict; under `detect = "version"` what is newer is none.
//! - lost: kept, over a conflict.
//! - revived: written, as if the row were missing.
//! - outdated: kept, since the row was deleted later (`update_missing`).

use crate::conflict::{ConflictType, Detect, Winner};
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::bulk::{Counts, Fates};
use crate::sql::decide::Tally;

/// The account of one half of a step of one table.
pub(crate) struct Account<'a> {
    options: &'a Options,
    pub(crate) outcome: Outcome,
    /// Conflicts by what they were and how they ended.
    pub(crate) tally: Tally,
}

impl<'a> Account<'a> {
    /// The account of what met these fates.
    pub(crate) fn of(options: &'a Options, fates: &Fates) -> Self {
        let mut account = Self {
            options,
            outcome: Outcome::default(),
            tally: Tally::new(),
        };
        account.upserts(&fates.inserts, None, ConflictType::InsertExists);
        let missing = Some(ConflictType::UpdateMissing);
        account.upserts(&fates.updates, missing, ConflictType::UpdateOriginDiffers);
        account.deletes(&fates.deletes);
        account
    }

    fn upserts(&mut self, counts: &Counts, missing: Option<ConflictType>, exists: ConflictType) {
        let Counts {
            missing: absent,
            same,
            replaced,
            lost,
            revived,
            outdated,
        } = *counts;
        self.outcome.written += absent + same + replaced + revived;
        self.outcome.kept += lost + outdated;
        if let Some(missing) = missing {
            self.conflict(missing, Winner::Source, absent + revived);
        }
        if self.options.conflict.detect == Some(Detect::Key) {
            self.conflict(exists, Winner::Source, same);
        }
        if self.options.conflict.detect != Some(Detect::Version) {
            self.conflict(exists, Winner::Source, replaced);
        }
        self.conflict(exists, Winner::Target, lost);
        self.conflict(ConflictType::UpdateMissing, Winner::Target, outdated);
    }

    fn deletes(&mut self, counts: &Counts) {
        let Counts {
            missing,
            same,
            replaced,
            lost,
            ..
        } = *counts;
        self.outcome.written += missing + same + replaced;
        self.outcome.kept += lost;
        let differs = ConflictType::DeleteOriginDiffers;
        let kept = match self.options.conflict.buries() {
            true => ConflictType::DeleteExists,
            false => differs,
        };
        self.conflict(differs, Winner::Source, replaced);
        self.conflict(kept, Winner::Target, lost);
        self.conflict(ConflictType::DeleteMissing, Winner::Source, missing);
    }

    /// Counts conflicts that ended in one way.
    fn conflict(&mut self, kind: ConflictType, winner: Winner, count: u64) {
        if count > 0 {
            self.outcome.conflicts.add(kind, count);
            let strategy = self.options.conflict.strategy.name();
            let row = (kind, strategy, None, winner);
            *self.tally.entry(row).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::{ConflictPolicy, Strategy};

    const COUNTS: Counts = Counts {
        missing: 1,
        same: 2,
        replaced: 4,
        lost: 8,
        revived: 16,
        outdated: 32,
    };

    /// What updates, or deletes, of these counts are to the outcome: written, kept, and conflicts.
    fn check(
        detect: Option<Detect>,
        strategy: Strategy,
        deletes: bool,
        expect: (u64, u64, &[(ConflictType, u64)]),
    ) {
        let options = Options {
            conflict: ConflictPolicy {
                strategy,
                detect,
                version: Some("v".to_owned()),
                ..ConflictPolicy::default()
            },
            ..Options::default()
        };
        let mut fates = Fates::default();
        match deletes {
            true => fates.deletes = COUNTS,
            false => fates.updates = COUNTS,
        }
        let Account { outcome, tally, .. } = Account::of(&options, &fates);
        assert_eq!((outcome.written, outcome.kept), (expect.0, expect.1));
        let mut counted = std::collections::BTreeMap::new();
        for ((kind, ..), count) in tally {
            *counted.entry(kind).or_insert(0) += count;
        }
        assert_eq!(counted.into_iter().collect::<Vec<_>>(), expect.2);
    }

    #[test]
    fn every_fate_is_counted_once_r17() {
        use ConflictType::{
            DeleteMissing, DeleteOriginDiffers, UpdateMissing, UpdateOriginDiffers,
        };
        let missing = (UpdateMissing, 1 + 16 + 32);
        let differs = (UpdateOriginDiffers, 4 + 8);
        let source = Strategy::SourceWins;
        check(None, source.clone(), false, (23, 40, &[missing, differs]));
        let by_key = [missing, (UpdateOriginDiffers, 2 + 4 + 8)];
        check(Some(Detect::Key), source.clone(), false, (23, 40, &by_key));
        let by_version = [missing, (UpdateOriginDiffers, 8)];
        check(
            Some(Detect::Version),
            Strategy::NewestWins,
            false,
            (23, 40, &by_version),
        );
        let deleted = [(DeleteMissing, 1), (DeleteOriginDiffers, 4 + 8)];
        check(None, source, true, (7, 8, &deleted));
        let kept = [
            (DeleteMissing, 1),
            (DeleteOriginDiffers, 4),
            (ConflictType::DeleteExists, 8),
        ];
        check(None, Strategy::NewestWins, true, (7, 8, &kept));
    }
}
