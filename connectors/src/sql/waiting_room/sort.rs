//! Which changes are applied, which are refused and which wait.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::Waits;
use super::references::lacking;
use crate::change::Operation;
use crate::error::Error;
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::bisect::bisect;
use crate::sql::bulk::Bulk;
use crate::sql::failure::{Cause, Failure, Refused};
use crate::sql::order::Order;
use crate::sql::session::SqlSession;
use crate::sql::target::Target;
use crate::waiting::Awaited;

/// Changes that were tried, by their numbers.
pub(super) struct Sorted {
    pub(super) outcome: Outcome,
    pub(super) culprits: Vec<(usize, Refused)>,
    /// Refused for a reference, or behind such a change of their key.
    pub(super) waiting: BTreeMap<usize, Waits>,
}

impl<C: Bulk> SqlSession<C> {
    /// Tries the changes until what waits, and what waits behind it, is out of the way.
    pub(super) async fn sort_out(
        &mut self,
        options: &Options,
        order: &Order<'_>,
        keys: &[Vec<Option<String>>],
    ) -> Result<Sorted, Failure> {
        let mut waiting: BTreeMap<usize, Waits> = BTreeMap::new();
        if self.waiting_room.is_on() {
            for (number, awaited) in self.expected_to_wait(options, order).await? {
                let refused =
                    Refused::new("", None, "the row that a foreign key needs is not there");
                waiting.insert(number, Waits::For(Some(awaited), refused));
            }
            add_followers(options, order, keys, &mut waiting)?;
        }
        loop {
            let numbers: Vec<usize> = (0..order.len())
                .filter(|number| !waiting.contains_key(number))
                .collect();
            self.connection.execute("SAVEPOINT whole").await?;
            let tried = bisect(self, options, order, numbers).await?;
            let (missing, culprits): (Vec<_>, Vec<_>) =
                tried.culprits.into_iter().partition(|(number, refused)| {
                    let (slice, index) = order.slice(*number);
                    // A truncate has no key behind which anything could wait.
                    let is_row = slice.changes.operations[index] != Operation::Truncate;
                    self.waiting_room.is_on() && is_row && refused.cause == Cause::Reference
                });
            let known = waiting.len() + missing.len();
            for (number, refused) in missing {
                waiting.insert(number, Waits::For(None, refused));
            }
            add_followers(options, order, keys, &mut waiting)?;
            if waiting.len() == known {
                self.connection.execute("RELEASE SAVEPOINT whole").await?;
                return Ok(Sorted {
                    outcome: tried.outcome,
                    culprits,
                    waiting,
                });
            }
            // A change behind one that waits was applied.
            self.connection
                .execute("ROLLBACK TO SAVEPOINT whole; RELEASE SAVEPOINT whole")
                .await?;
        }
    }

    /// The changes that need not be tried, since the row that a foreign key needs is not there. One change
    /// of each table is tried all the same: where it is accepted, the target does not hold its table to
    /// its foreign keys (a trigger makes the row, or keys are not checked), and none of that table waits.
    async fn expected_to_wait(
        &mut self,
        options: &Options,
        order: &Order<'_>,
    ) -> Result<BTreeMap<usize, Awaited>, Failure> {
        let mut expected = lacking(self, options, order).await?;
        let mut is_held: HashMap<Target, bool> = HashMap::new();
        for &number in expected.keys() {
            let (slice, _) = order.slice(number);
            let target = Target::of(&options.table, &slice.changes.table)?;
            if is_held.contains_key(&target) {
                continue;
            }
            self.connection.execute("SAVEPOINT whole").await?;
            let tried = bisect(self, options, order, vec![number]).await?;
            self.connection
                .execute("ROLLBACK TO SAVEPOINT whole; RELEASE SAVEPOINT whole")
                .await?;
            let refused = tried.culprits.first();
            let by_reference = refused.is_some_and(|(_, why)| why.cause == Cause::Reference);
            is_held.insert(target, by_reference);
        }
        let mut tables = Vec::new();
        for slice in order.slices {
            tables.push(Target::of(&options.table, &slice.changes.table)?);
        }
        expected.retain(|number, _| is_held[&tables[order.slice_number(*number)]]);
        Ok(expected)
    }
}

/// Adds every later change of a key of which one waits.
fn add_followers(
    options: &Options,
    order: &Order<'_>,
    keys: &[Vec<Option<String>>],
    waiting: &mut BTreeMap<usize, Waits>,
) -> Result<(), Error> {
    if waiting.is_empty() {
        return Ok(());
    }
    let mut held: HashSet<(Target, &str)> = HashSet::new();
    for number in 0..order.len() {
        let (slice, index) = order.slice(number);
        let Some(key) = &keys[order.slice_number(number)][index] else {
            continue;
        };
        let key = (
            Target::of(&options.table, &slice.changes.table)?,
            key.as_str(),
        );
        match waiting.entry(number) {
            Entry::Occupied(_) => {
                held.insert(key);
            }
            Entry::Vacant(place) if held.contains(&key) => {
                place.insert(Waits::Behind);
            }
            Entry::Vacant(_) => {}
        }
    }
    Ok(())
}
