//! Finds the changes that the database refuses (R16), inside the transaction of their write.
//!
//! Changes are tried in their order, halves of halves, each on top of those that were accepted: a
//! culprit is a change that is refused although everything good before it is there. A change refused
//! for a foreign key is tried again at the end, when all that it may refer to is there, unless a later
//! change of its key was accepted meanwhile, which it must not undo.
//!
//! MySQL checks keys and foreign keys row by row, so that changes can be refused together and be right
//! one after another: a child before its parent in one table, a unique value that moves from row to
//! row. Then there is no culprit, everything is applied, and that is the write.

use std::collections::{HashMap, HashSet};

use arrow::array::Array as _;

use super::apply;
use super::failure::{Failure, Refused};
use super::plan::{Part, plan};
use super::session::Session;
use crate::error::{Error, RejectedChange};
use crate::sink::{Identity, Outcome};
use crate::sql::Options;
use crate::sql::target::{Target, key_columns};
use crate::text::write_text;

/// A stretch of the parts, by number of change from the first.
type Stretch = std::ops::Range<usize>;

/// A key of a target, as text.
type Key = (Target, Vec<u8>);

/// What became of the changes.
pub(super) enum Found {
    /// These cannot be written.
    Culprits(Vec<RejectedChange>),
    /// Each was accepted after the others: they are applied, and not committed.
    Applied(Outcome),
}

/// Tries the changes of a write whose transaction is open.
pub(super) async fn run(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    parts: &[Part],
) -> Result<Found, Failure> {
    let count: usize = parts.iter().map(|part| part.changes.len()).sum();
    let mut outcome = Outcome::default();
    let mut culprits: Vec<(usize, Refused)> = Vec::new();
    let mut by_order: Vec<(usize, Refused)> = Vec::new();
    let mut stack: Vec<Stretch> = halves(0..count);
    while let Some(stretch) = stack.pop() {
        match attempt(session, identity, options, parts, &stretch).await? {
            Ok(done) => outcome += &done,
            Err(_) if stretch.len() > 1 => stack.extend(halves(stretch)),
            Err(refused) if refused.by_order => by_order.push((stretch.start, refused)),
            Err(refused) => culprits.push((stretch.start, refused)),
        }
    }
    let mut refused: HashSet<usize> = culprits.iter().chain(&by_order).map(|(n, _)| *n).collect();
    let numbers = if by_order.is_empty() {
        HashMap::new()
    } else {
        numbers_by_key(options, parts)?
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
        match attempt(session, identity, options, parts, &(number..number + 1)).await? {
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
        let (batch, row) = place(parts, number);
        refused.of_change(batch, row)
    });
    Ok(Found::Culprits(culprits.collect()))
}

/// The changes of every key of every target, by their numbers.
fn numbers_by_key(options: &Options, parts: &[Part]) -> Result<HashMap<Key, Vec<usize>>, Error> {
    let mut numbers: HashMap<Key, Vec<usize>> = HashMap::new();
    let mut number = 0;
    for part in parts {
        let target = Target::of(&options.table, &part.changes.table)?;
        let key = key_columns(options, &part.changes)?;
        for row in 0..part.changes.len() {
            let mut bytes = Vec::new();
            for &column in &key {
                let start = bytes.len();
                let array = part.changes.rows.column(column);
                if !array.is_null(row) {
                    let schema = part.changes.rows.schema_ref();
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
fn halves(stretch: Stretch) -> Vec<Stretch> {
    let middle = stretch.start + stretch.len() / 2;
    [middle..stretch.end, stretch.start..middle]
        .into_iter()
        .filter(|half| !half.is_empty())
        .collect()
}

/// Tries a stretch and keeps it where it is accepted; says why where it is not.
async fn attempt(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    parts: &[Part],
    stretch: &Stretch,
) -> Result<Result<Outcome, Refused>, Failure> {
    let tried = cut(parts, stretch)?;
    session.execute("SAVEPOINT attempt").await?;
    let done = match apply_all(session, identity, options, &tried).await {
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
    session.execute(end).await?;
    Ok(done)
}

async fn apply_all(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    parts: &[Part],
) -> Result<Outcome, Failure> {
    let work = plan(session, options, parts).await?;
    apply::run(session, identity, options, &work).await
}

/// The changes of a stretch.
fn cut(parts: &[Part], stretch: &Stretch) -> Result<Vec<Part>, Failure> {
    let mut cut = Vec::new();
    let mut before = 0;
    for part in parts {
        let count = part.changes.len();
        let start = stretch.start.clamp(before, before + count) - before;
        let end = stretch.end.clamp(before, before + count) - before;
        if start < end {
            let rows: Vec<u32> = (start as u32..end as u32).collect();
            cut.push(Part {
                batch: part.batch,
                first_row: part.first_row + start,
                changes: part.changes.take(&rows).map_err(Error::configuration)?,
            });
        }
        before += count;
    }
    Ok(cut)
}

fn place(parts: &[Part], number: usize) -> (usize, usize) {
    let mut before = 0;
    for part in parts {
        if number < before + part.changes.len() {
            return (part.batch, part.first_row + number - before);
        }
        before += part.changes.len();
    }
    unreachable!("a stretch lies inside the parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_taken_from_the_front_and_end_with_single_changes() {
        let mut stack = halves(0..5);
        let mut singles = Vec::new();
        while let Some(stretch) = stack.pop() {
            if stretch.len() == 1 {
                singles.push(stretch.start);
            } else {
                stack.extend(halves(stretch));
            }
        }
        assert_eq!(singles, [0, 1, 2, 3, 4]);
        assert_eq!(halves(3..4), vec![3..4]);
    }
}
