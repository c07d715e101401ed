//! Finds the changes that the database refuses (R16), inside the transaction of their write.
//!
//! Changes are tried in their order, in pieces, each on top of those that were accepted: a culprit is
//! a change that is refused although everything good before it is there. A piece that is refused is
//! cut where the database names the rows that it refuses, else in halves. Rows that are refused for
//! their own values, wherever they stand, are named in one go and taken out of their piece, so that many
//! of them cost little more than one (decision 14).
//!
//! A change refused for a foreign key is tried again at the end, when all that it may refer to is
//! there, unless a later change of its key was accepted meanwhile, which it must not undo.
//!
//! A database checks keys and foreign keys as it goes, so that changes can be refused together and be
//! right one after another: a child before its parent in one table, a unique value that moves from row
//! to row. Then there is no culprit, everything is applied, and that is the write (R20).

use std::collections::{HashMap, HashSet};

use arrow::array::Array as _;

use crate::change::Changes;
use crate::error::Error;
use crate::sink::Outcome;
use crate::sql::Options;
use crate::sql::apply::{apply, merged_changes};
use crate::sql::bulk::{Bulk, TableWrite};
use crate::sql::failure::{Cause, Failure, Refused, RefusedRow};
use crate::sql::order::Order;
use crate::sql::plan::{ChangeSlice, Step, plan};
use crate::sql::session::SqlSession;
use crate::sql::target::{Target, key_columns};
use crate::text::write_text;

/// Some changes, by their number in the order of the source, ascending.
type Numbers = Vec<usize>;

/// A key of a target, as text.
type Key = (Target, Vec<u8>);

/// What became of the changes.
pub(crate) struct Tried {
    /// Of those that were accepted: they are applied, and not committed.
    pub(crate) outcome: Outcome,
    /// Those that cannot be written, by their numbers, ascending.
    pub(crate) culprits: Vec<(usize, Refused)>,
}

/// Tries the changes of these numbers, in the open transaction.
///
/// # Errors
/// Where it fails for another reason than a change.
pub(crate) async fn bisect<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    order: &Order<'_>,
    numbers: Vec<usize>,
) -> Result<Tried, Failure> {
    let tried: HashSet<usize> = numbers.iter().copied().collect();
    let mut outcome = Outcome::default();
    let mut culprits: Vec<(usize, Refused)> = Vec::new();
    let mut by_order: Vec<(usize, Refused)> = Vec::new();
    let mut stack: Vec<Numbers> = match numbers.is_empty() {
        true => Vec::new(),
        false => vec![numbers],
    };
    while let Some(mut numbers) = stack.pop() {
        match attempt(session, options, order, &numbers).await? {
            Ok(done) => outcome += &done,
            Err(Refusal::Rows(rows)) if rows.iter().all(|(_, row)| row.cause == Cause::Values) => {
                let refused: HashSet<usize> = rows.iter().map(|(number, _)| *number).collect();
                culprits.extend(rows);
                numbers.retain(|number| !refused.contains(number));
                if !numbers.is_empty() {
                    stack.push(numbers);
                }
            }
            Err(refusal) if numbers.len() > 1 => stack.extend(pieces(numbers, &refusal)),
            Err(refusal) => {
                let refused = refusal.into_first();
                match refused.cause {
                    Cause::Reference => by_order.push((numbers[0], refused)),
                    Cause::Values | Cause::Other => culprits.push((numbers[0], refused)),
                }
            }
        }
    }
    let mut refused: HashSet<usize> = culprits.iter().chain(&by_order).map(|(n, _)| *n).collect();
    let later = if by_order.is_empty() {
        HashMap::new()
    } else {
        last_by_key(options, order, &tried, &refused)?
    };
    for (number, why) in by_order {
        if later.get(&number).is_some_and(|last| *last > number) {
            culprits.push((number, why));
            continue;
        }
        match attempt(session, options, order, &[number]).await? {
            Ok(done) => {
                refused.remove(&number);
                outcome += &done;
            }
            Err(refusal) => culprits.push((number, refusal.into_first())),
        }
    }
    culprits.sort_by_key(|(number, _)| *number);
    Ok(Tried { outcome, culprits })
}

/// For every refused change the last accepted one of its key, by their numbers.
fn last_by_key(
    options: &Options,
    order: &Order<'_>,
    tried: &HashSet<usize>,
    refused: &HashSet<usize>,
) -> Result<HashMap<usize, usize>, Error> {
    let slices = order.slices.iter();
    let keys: Vec<(Target, Vec<usize>)> = slices
        .map(|slice| {
            let target = Target::of(&options.table, &slice.changes.table)?;
            Ok((target, key_columns(options, &slice.changes)?))
        })
        .collect::<Result<_, Error>>()?;
    let mut last: HashMap<Key, usize> = HashMap::new();
    let mut behind: Vec<(usize, Key)> = Vec::new();
    let changes = order.changes.iter().enumerate();
    for (number, &(slice, index)) in changes.filter(|(number, _)| tried.contains(number)) {
        let (target, columns) = &keys[slice];
        let key = (
            target.clone(),
            key_text(&order.slices[slice].changes, columns, index),
        );
        if refused.contains(&number) {
            behind.push((number, key));
        } else {
            last.insert(key, number);
        }
    }
    let behind = behind.into_iter();
    Ok(behind
        .filter_map(|(number, key)| last.get(&key).map(|last| (number, *last)))
        .collect())
}

/// The key of a change as text, each column with its length.
fn key_text(changes: &Changes, columns: &[usize], row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &column in columns {
        let start = bytes.len();
        let array = changes.rows.column(column);
        if !array.is_null(row) {
            let schema = changes.rows.schema_ref();
            write_text(schema.field(column), array, row, &mut bytes);
        }
        let length = (bytes.len() - start) as u64;
        bytes.extend_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// A piece that was refused, in smaller pieces, the first one on top of the stack: the rows that the
/// database named and what is between them, else both halves.
fn pieces(numbers: Numbers, refusal: &Refusal) -> Vec<Numbers> {
    let Refusal::Rows(rows) = refusal else {
        let mut first = numbers;
        let second = first.split_off(first.len() / 2);
        return vec![second, first];
    };
    let named: HashSet<usize> = rows.iter().map(|(number, _)| *number).collect();
    let mut pieces: Vec<Numbers> = numbers
        .chunk_by(|left, right| !named.contains(left) && !named.contains(right))
        .map(<[usize]>::to_vec)
        .collect();
    pieces.reverse();
    pieces
}

/// Why some changes were refused together.
enum Refusal {
    /// For one of them, which the database does not name.
    Together(Refused),
    /// For these, by their numbers.
    Rows(Vec<(usize, Refused)>),
}

impl Refusal {
    /// Of a single change.
    fn into_first(self) -> Refused {
        match self {
            Self::Together(refused) => refused,
            Self::Rows(rows) => {
                let first = rows.into_iter().next();
                first.expect("a refusal names at least one row").1
            }
        }
    }
}

/// Tries some changes and keeps them where they are accepted; says why where they are not.
async fn attempt<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    order: &Order<'_>,
    numbers: &[usize],
) -> Result<Result<Outcome, Refusal>, Failure> {
    let tried = order.take(numbers)?;
    session.connection.execute("SAVEPOINT attempt").await?;
    let done = match apply_all(session, options, &tried).await {
        Ok(outcome) => Ok(outcome),
        Err(Failure::Data(refused)) => Err(Refusal::Together(refused)),
        Err(Failure::Rows(rows)) => {
            let numbers = order.by_index(numbers);
            let rows = rows.into_iter();
            let rows = rows.map(|(change, refused)| (numbers[&change], refused));
            Err(Refusal::Rows(rows.collect()))
        }
        // Refused by a rule of ours that only the database could tell: that names its rows, and
        // one row by itself is found like any other.
        Err(Failure::Error(Error::Rejected(rejected))) => {
            Err(Refusal::Together(Refused::by_rule(rejected)))
        }
        Err(other) => return Err(other),
    };
    let end = match done {
        Ok(_) => "RELEASE SAVEPOINT attempt",
        Err(_) => TAKE_BACK,
    };
    session.connection.execute(end).await?;
    match done {
        Err(Refusal::Together(refused)) if refused.cause == Cause::Values && numbers.len() > 1 => {
            let rows = refused_values(session, options, &tried).await?;
            let numbers = order.by_index(numbers);
            let rows = rows.into_iter();
            let rows: Vec<_> = rows.map(|(change, row)| (numbers[&change], row)).collect();
            Ok(Err(match rows.is_empty() {
                true => Refusal::Together(refused),
                false => Refusal::Rows(rows),
            }))
        }
        done => Ok(done),
    }
}

const TAKE_BACK: &str = "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt";

/// The rows of these changes that the database refuses for their own values, asked in one go for each
/// table. Only of tables that are written in one round: in a later one a row may be refused for what is
/// not there yet. Nothing stays written.
async fn refused_values<C: Bulk>(
    session: &mut SqlSession<C>,
    options: &Options,
    slices: &[ChangeSlice],
) -> Result<Vec<RefusedRow>, Failure> {
    session.connection.execute("SAVEPOINT attempt").await?;
    let asked = async {
        let work = plan(session, options, slices).await?;
        let mut refused = Vec::new();
        for steps in &work.tables {
            let [Step::Rows { prepared, load }] = steps.as_slice() else {
                continue;
            };
            let identity = session.identity.clone();
            let write = TableWrite {
                table: prepared,
                options,
                identity: &identity,
                has_tombstones: session.conflict_log.has_tombstones,
            };
            let mut staged = session.connection.stage(&write, load).await?;
            let rows = session
                .connection
                .refused_values(&write, &mut staged)
                .await?;
            let merged = merged_changes(load);
            refused.extend(
                rows.into_iter()
                    .filter(|(change, _)| !merged.contains(change)),
            );
        }
        Ok(refused)
    };
    let refused: Result<Vec<RefusedRow>, Failure> = asked.await;
    if let Err(Failure::Error(error @ Error::Unavailable { .. })) = refused {
        return Err(Failure::Error(error));
    }
    session.connection.execute(TAKE_BACK).await?;
    // A database that cannot be asked this way is asked in halves.
    Ok(refused.unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[usize], refusal: &Refusal, expect: &[&[usize]]) {
        let mut found = pieces(numbers.to_vec(), refusal);
        found.reverse();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_refused_piece_is_cut_at_the_rows_that_are_named_else_in_halves() {
        let refused = || Refused::new("rule", None, "reason");
        let together = Refusal::Together(refused());
        check(&[0, 1, 2, 3, 4], &together, &[&[0, 1], &[2, 3, 4]]);
        check(&[3, 9], &together, &[&[3], &[9]]);
        let rows = Refusal::Rows(vec![(2, refused()), (5, refused()), (6, refused())]);
        check(
            &[0, 1, 2, 4, 5, 6, 8, 9],
            &rows,
            &[&[0, 1], &[2], &[4], &[5], &[6], &[8, 9]],
        );
    }
}
