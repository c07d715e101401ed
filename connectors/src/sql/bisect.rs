//! Finds the changes that the database refuses (R16), inside the transaction of their write.
//!
//! Changes are tried in their order, halves of halves, each on top of those that were accepted: a
//! culprit is a change that is refused although everything good before it is there. A change refused
//! for a foreign key is tried again at the end, when all that it may refer to is there, unless a later
//! change of its key was accepted meanwhile, which it must not undo.
//!
//! A database checks keys and foreign keys as it goes, so that changes can be refused together and be
//! right one after another: a child before its parent in one table, a unique value that moves from row
//! to row. Then there is no culprit, everything is applied, and that is the write (R20).

use std::collections::{HashMap, HashSet};

use arrow::array::Array as _;

use crate::error::{Error, RejectedChange};
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::apply::apply;
use crate::sql::bulk::Bulk;
use crate::sql::failure::{Failure, Refused};
use crate::sql::plan::{ChangeSlice, plan};
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};
use crate::text::write_text;

/// A range of changes, by their number from the first of all slices.
type Numbers = std::ops::Range<usize>;

/// A key of a target, as text.
type Key = (Target, Vec<u8>);

/// What became of the changes.
pub(crate) enum Found {
    /// These cannot be written.
    Culprits(Vec<RejectedChange>),
    /// Each was accepted after the others: they are applied, and not committed.
    Applied(Outcome),
}

/// Tries the changes of a write whose transaction is open.
///
/// # Errors
/// Where it fails for another reason than a change.
pub(crate) async fn bisect<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<Found, Failure> {
    let count: usize = slices.iter().map(|slice| slice.changes.len()).sum();
    let mut outcome = Outcome::default();
    let mut culprits: Vec<(usize, Refused)> = Vec::new();
    let mut by_order: Vec<(usize, Refused)> = Vec::new();
    let mut stack: Vec<Numbers> = halves(0..count);
    while let Some(numbers) = stack.pop() {
        match attempt(session, options, slices, &numbers).await? {
            Ok(done) => outcome += &done,
            Err(_) if numbers.len() > 1 => stack.extend(halves(numbers)),
            Err(refused) if refused.by_order => by_order.push((numbers.start, refused)),
            Err(refused) => culprits.push((numbers.start, refused)),
        }
    }
    let mut refused: HashSet<usize> = culprits.iter().chain(&by_order).map(|(n, _)| *n).collect();
    let numbers = if by_order.is_empty() {
        HashMap::new()
    } else {
        numbers_by_key(options, slices)?
    };
    for (number, why) in by_order {
        let later = numbers
            .values()
            .find(|numbers| numbers.contains(&number))
            .is_some_and(|same| same.iter().any(|n| *n > number && !refused.contains(n)));
        if later {
            culprits.push((number, why));
            continue;
        }
        match attempt(session, options, slices, &(number..number + 1)).await? {
            Ok(done) => {
                refused.remove(&number);
                outcome += &done;
            }
            Err(why) => culprits.push((number, why)),
        }
    }
    if culprits.is_empty() {
        return Ok(Found::Applied(outcome));
    }
    culprits.sort_by_key(|(number, _)| *number);
    let culprits = culprits.into_iter().map(|(number, refused)| {
        let (batch, row) = change_index(slices, number);
        refused.of_change(batch, row)
    });
    Ok(Found::Culprits(culprits.collect()))
}

/// The changes of every key of every target, by their numbers.
fn numbers_by_key(
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<HashMap<Key, Vec<usize>>, Error> {
    let mut numbers: HashMap<Key, Vec<usize>> = HashMap::new();
    let mut number = 0;
    for slice in slices {
        let target = Target::of(&options.table, &slice.changes.table)?;
        let key = key_columns(options, &slice.changes)?;
        for row in 0..slice.changes.len() {
            let mut bytes = Vec::new();
            for &column in &key {
                let start = bytes.len();
                let array = slice.changes.rows.column(column);
                if !array.is_null(row) {
                    let schema = slice.changes.rows.schema_ref();
                    write_text(schema.field(column), array, row, &mut bytes);
                }
                let length = (bytes.len() - start) as u64;
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            numbers
                .entry((target.clone(), bytes))
                .or_default()
                .push(number);
            number += 1;
        }
    }
    Ok(numbers)
}

/// Both halves, the first one on top of the stack; one half where it cannot be halved.
fn halves(numbers: Numbers) -> Vec<Numbers> {
    let middle = numbers.start + numbers.len() / 2;
    [middle..numbers.end, numbers.start..middle]
        .into_iter()
        .filter(|half| !half.is_empty())
        .collect()
}

/// Tries some changes and keeps them where they are accepted; says why where they are not.
async fn attempt<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
    numbers: &Numbers,
) -> Result<Result<Outcome, Refused>, Failure> {
    let tried = cut(slices, numbers)?;
    session.connection.execute("SAVEPOINT attempt").await?;
    let done = match apply_all(session, options, &tried).await {
        Ok(outcome) => Ok(outcome),
        Err(Failure::Data(refused)) => Err(refused),
        // Refused by a rule of ours that only the database could tell: that names its rows, and
        // one row by itself is found like any other.
        Err(Failure::Error(Error::Rejected(rejected))) => Err(Refused::by_rule(rejected)),
        Err(other) => return Err(other),
    };
    let end = match done {
        Ok(_) => "RELEASE SAVEPOINT attempt",
        Err(_) => "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt",
    };
    session.connection.execute(end).await?;
    Ok(done)
}

async fn apply_all<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<Outcome, Failure> {
    let work = plan(session, options, slices).await?;
    let outcome = apply(session, options, &work).await?;
    if let Some(check) = C::CHECK_DEFERRED {
        session.connection.execute(check).await?;
    }
    Ok(outcome)
}

/// The changes of these numbers.
fn cut(slices: &[ChangeSlice], numbers: &Numbers) -> Result<Vec<ChangeSlice>, Failure> {
    let mut cut = Vec::new();
    let mut before = 0;
    for slice in slices {
        let count = slice.changes.len();
        let start = numbers.start.clamp(before, before + count) - before;
        let end = numbers.end.clamp(before, before + count) - before;
        if start < end {
            let rows: Vec<u32> = (start as u32..end as u32).collect();
            cut.push(ChangeSlice {
                batch: slice.batch,
                first_row: slice.first_row + start,
                changes: slice.changes.take(&rows).map_err(Error::configuration)?,
            });
        }
        before += count;
    }
    Ok(cut)
}

/// The batch and the row of the change of this number.
fn change_index(slices: &[ChangeSlice], number: usize) -> (usize, usize) {
    let mut before = 0;
    for slice in slices {
        if number < before + slice.changes.len() {
            return (slice.batch, slice.first_row + number - before);
        }
        before += slice.changes.len();
    }
    unreachable!("the numbers are those of the slices")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_taken_from_the_front_and_end_with_single_changes() {
        let mut stack = halves(0..5);
        let mut singles = Vec::new();
        while let Some(numbers) = stack.pop() {
            if numbers.len() == 1 {
                singles.push(numbers.start);
            } else {
                stack.extend(halves(numbers));
            }
        }
        assert_eq!(singles, [0, 1, 2, 3, 4]);
        assert_eq!(halves(3..4), vec![3..4]);
    }
}
