//! The upserts of a round, statement by statement.

use super::{counts, get, one};
use crate::conflict::{Detect, Strategy};
use crate::postgres::bound::StagedRows;
use crate::postgres::failure::Failure;
use crate::postgres::prepare::Prepared;
use crate::postgres::session::Session;
use crate::postgres::stage::{StagedRound, stage_in_table};
use crate::postgres::statement::Statements;
use crate::sql::bulk::{Counts, Fates, TableWrite};
use crate::sql::failure::Refused;
use crate::sql::patterns::{INSERT, UPDATE};

/// The upserts of a round.
pub(super) struct Upsert<'a> {
    session: &'a mut Session,
    write: &'a TableWrite<'a, Prepared>,
    statements: Statements<'a>,
    rows: StagedRows,
    pub(super) fates: Fates,
}

impl<'a> Upsert<'a> {
    pub(super) fn of(
        session: &'a mut Session,
        write: &'a TableWrite<'a, Prepared>,
        staged: &StagedRound,
    ) -> Self {
        Self {
            session,
            write,
            statements: Statements::of(write, &staged.rows),
            rows: staged.rows.clone(),
            fates: Fates::default(),
        }
    }

    pub(super) async fn run(&mut self, mut staged: StagedRound) -> Result<(), Failure> {
        if self.write.keeps_tombstones() && staged.patterns.has_upserts() {
            self.drop_outdated(&mut staged).await?;
        }
        let whole = vec![true; self.write.table.columns.len()];
        self.upsert(&whole, 0, staged.patterns.full, staged.first)
            .await?;
        for (index, partial) in staged.patterns.partial.iter().enumerate() {
            let pattern = index as i16 + 1;
            let (set, wanted) = (&partial.set, &partial.counts);
            if !partial.incomplete {
                self.upsert(set, pattern, *wanted, staged.first).await?;
                continue;
            }
            let revived = self.count_marked(pattern).await?;
            let sql = self.statements.update(set, pattern);
            let updated = self.ask(&sql, false).await?;
            let mut rest = [0, 0];
            for place in [0, 1] {
                let revived = revived[place].min(updated[place]);
                let counts = self.counts(place);
                counts.revived += revived;
                counts.replaced += updated[place] - revived;
                rest[place] = wanted[place].saturating_sub(updated[place]);
            }
            if rest != [0, 0] {
                let sql = self.statements.incomplete(pattern);
                for row in self.session.rows_of(&sql, &self.rows, false).await? {
                    let number: i32 = get(&row, 0)?;
                    let place = staged.places[number as usize];
                    self.fates.refused.push((place, Refused::incomplete()));
                }
            }
            self.count_rest(set, pattern, rest, staged.first).await?;
        }
        Ok(())
    }

    /// Rows that need none in the target: every value is known that the change carries.
    async fn upsert(
        &mut self,
        set: &[bool],
        pattern: i16,
        wanted: [u64; 2],
        first: bool,
    ) -> Result<(), Failure> {
        if wanted == [0, 0] {
            return Ok(());
        }
        let mut revived = self.count_marked(pattern).await?;
        let mut rest = [0, 0];
        // An insert of a row that is there fails where a column that takes no null is not among its own.
        let Prepared {
            requires_more,
            partitioned,
            ..
        } = **self.write.table;
        let updates_first = pattern > 0 || requires_more || partitioned;
        let mut met = [0, 0];
        if updates_first {
            let sql = self.statements.update(set, pattern);
            met = self.ask(&sql, false).await?;
        }
        for operation in [INSERT, UPDATE] {
            let place = operation as usize;
            let wanted = wanted[place];
            if wanted == 0 {
                continue;
            }
            let sql = self
                .statements
                .upsert(operation, set, pattern, updates_first);
            let [inserted, updated] = self.ask(&sql, pattern == 0).await?;
            let updated = updated + met[place];
            // A row that was marked as deleted counts as absent.
            let revived = std::mem::take(&mut revived[place]).min(updated);
            let counts = self.counts(place);
            counts.missing += inserted;
            counts.revived += revived;
            counts.replaced += updated - revived;
            rest[place] = wanted.saturating_sub(inserted + updated);
        }
        self.count_rest(set, pattern, rest, first).await
    }

    /// The two counts that a statement about the staged rows returns.
    async fn ask(&mut self, sql: &str, cached: bool) -> Result<[u64; 2], Failure> {
        counts(self.session, sql, &self.rows, cached).await
    }

    /// Of inserts, then of updates.
    fn counts(&mut self, place: usize) -> &mut Counts {
        match place {
            0 => &mut self.fates.inserts,
            _ => &mut self.fates.updates,
        }
    }

    /// How many staged rows of a pattern meet a row that is marked as deleted, inserts first.
    async fn count_marked(&mut self, pattern: i16) -> Result<[u64; 2], Failure> {
        match self.statements.marked(pattern) {
            Some(sql) => self.ask(&sql, false).await,
            None => Ok([0, 0]),
        }
    }

    /// Rows that a statement left as they were: equal to the change, or in a conflict that the change
    /// lost.
    async fn count_rest(
        &mut self,
        set: &[bool],
        pattern: i16,
        rest: [u64; 2],
        first: bool,
    ) -> Result<(), Failure> {
        let policy = &self.write.options.conflict;
        let lost = match policy.detect {
            _ if rest == [0, 0] || policy.strategy == Strategy::SourceWins => [0, 0],
            Some(Detect::Key) => rest,
            _ => {
                let sql = self.statements.kept(set, pattern, first);
                self.ask(&sql, false).await?
            }
        };
        for place in [0, 1] {
            let lost = lost[place].min(rest[place]);
            let counts = self.counts(place);
            counts.lost += lost;
            counts.same += rest[place] - lost;
        }
        Ok(())
    }

    /// Upserts that are not ahead of the delete of their key are kept out (R12).
    pub(super) async fn drop_outdated(&mut self, staged: &mut StagedRound) -> Result<(), Failure> {
        let rows = self
            .session
            .rows(&self.statements.has_tombstones(), false)
            .await?;
        let any: bool = one(&rows, 0)?;
        if !any {
            return Ok(());
        }
        // They are taken out of what is staged.
        stage_in_table(self.session, self.write.table, staged).await?;
        self.rows = StagedRows::InTable;
        self.statements = Statements::of(self.write, &self.rows);
        let Some(sql) = self.statements.drop_outdated() else {
            return Ok(());
        };
        for row in self.session.rows(&sql, false).await? {
            let (operation, pattern, count): (i16, i16, i64) =
                (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
            let (place, count) = (operation as usize, count as u64);
            staged.patterns.take_out((operation, pattern.into()), count);
            self.counts(place).outdated += count;
        }
        self.session
            .execute(&self.statements.clear_tombstones())
            .await
    }
}
