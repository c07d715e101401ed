//! Finds the changes that the database refuses (R16), in a transaction that is rolled back.
//!
//! Changes are tried in their order, halves of halves, each on top of those that were accepted: a
//! culprit is a change that is refused although everything good before it is there. A change refused
//! for a foreign key is tried again at the end, when all that it may refer to is there.

use super::apply;
use super::failure::{Failure, Refused};
use super::plan::{Part, plan};
use super::session::Session;
use super::settle::complete;
use crate::error::{Error, RejectedChange};
use crate::sink::Identity;
use crate::sql::Options;

/// A stretch of the parts, by number of change from the first.
type Stretch = std::ops::Range<usize>;

/// The culprits. `refused` is what was said to all changes at once.
pub(super) async fn run(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    parts: Vec<Part>,
    refused: &Refused,
) -> Result<Vec<RejectedChange>, Failure> {
    let count: usize = parts.iter().map(|part| part.changes.len()).sum();
    session
        .execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await?;
    // A row and the one that it takes values from may come into different halves.
    let parts = &complete(session, identity, options, parts).await?[..];
    let mut culprits = Vec::new();
    let mut by_order = Vec::new();
    let mut stack: Vec<Stretch> = halves(0..count);
    while let Some(stretch) = stack.pop() {
        let Some(refused) = attempt(session, identity, options, parts, &stretch).await? else {
            continue;
        };
        if stretch.len() > 1 {
            stack.extend(halves(stretch));
        } else if refused.by_order {
            by_order.push((stretch, refused));
        } else {
            culprits.push((stretch.start, refused));
        }
    }
    for (stretch, _) in by_order {
        if let Some(refused) = attempt(session, identity, options, parts, &stretch).await? {
            culprits.push((stretch.start, refused));
        }
    }
    session.roll_back().await?;
    if culprits.is_empty() {
        return Err(Failure::Error(Error::Unavailable {
            message: format!(
                "the database refused the changes together ({}: {}) and accepted each by itself: try again",
                refused.rule, refused.reason
            ),
            cause: None,
        }));
    }
    culprits.sort_by_key(|(number, _)| *number);
    Ok(culprits
        .into_iter()
        .map(|(number, refused)| {
            let (batch, row) = place(parts, number);
            refused.of_change(batch, row)
        })
        .collect())
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
) -> Result<Option<Refused>, Failure> {
    let tried = cut(parts, stretch)?;
    session.execute("SAVEPOINT attempt").await?;
    let refused = match apply_all(session, identity, options, &tried).await {
        Ok(()) => None,
        Err(Failure::Data(refused)) => Some(refused),
        // Refused by a rule of ours that only the database could tell: that names its rows, and
        // one row by itself is found like any other.
        Err(Failure::Error(Error::Rejected(rejected))) => {
            rejected.into_iter().next().map(|first| Refused {
                rule: first.rule,
                field: first.field,
                reason: first.reason,
                by_order: false,
            })
        }
        Err(other) => return Err(other),
    };
    let end = match refused {
        None => "RELEASE SAVEPOINT attempt",
        Some(_) => "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt",
    };
    session.execute(end).await?;
    Ok(refused)
}

async fn apply_all(
    session: &mut Session,
    identity: &Identity,
    options: &Options,
    parts: &[Part],
) -> Result<(), Failure> {
    let work = plan(session, options, parts).await?;
    // Staging tables hold what an earlier attempt of this transaction left.
    let stages = work.stages();
    if !stages.is_empty() {
        session
            .execute(&format!("TRUNCATE {}", stages.join(", ")))
            .await?;
    }
    apply::run(session, identity, options, &work).await?;
    session
        .execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        .await
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
