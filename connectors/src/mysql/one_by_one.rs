//! Which staged rows MariaDB refuses for their own values, found by one block that writes them one after
//! another.
//!
//! An error of a statement names no row of the source, and asking again with half of the rows costs
//! round trips for each half. The block runs in the server: a row that fails leaves its number, code and
//! message in a temporary table, and the next one is tried. What was accepted is written too; the caller
//! takes all of it back. MySQL has no such blocks outside of procedures: there the rows are tried in
//! halves.

use super::failure::{Failure, refused_values};
use super::session::Session;
use super::stage::StagedRound;
use super::statement::Statements;
use crate::sql::failure::RefusedRow;
use crate::sql::metadata;

/// Where the block leaves what it found.
const CREATE: &str = "CREATE OR REPLACE TEMPORARY TABLE _syncline_refused \
    (number BIGINT, errno BIGINT, state CHAR(5), reason TEXT) ENGINE = InnoDB";

/// Tries the rows of these patterns of set columns: `updates` and `inserts` say which of them have rows to
/// update and to insert.
///
/// # Errors
/// Where the database does not answer, or cannot run the block.
pub(super) async fn refused(
    session: &mut Session,
    statements: &Statements<'_>,
    staged: &StagedRound,
    patterns: &[Tried<'_>],
) -> Result<Vec<RefusedRow>, Failure> {
    session.execute(CREATE).await?;
    session
        .execute(&block(statements, staged.step, patterns))
        .await?;
    let read = "SELECT CAST(number AS CHAR), CAST(errno AS CHAR), state, reason FROM _syncline_refused \
                ORDER BY number";
    let mut refused = Vec::new();
    for found in session.query(read).await? {
        let [number, errno, state, reason] = cells(&found);
        let number: usize = number.parse().unwrap_or_default();
        let errno: u16 = errno.parse().unwrap_or_default();
        if let Some(values) = refused_values(errno, state, reason) {
            refused.push((staged.places[number], values));
        }
    }
    session
        .execute("DROP TEMPORARY TABLE _syncline_refused")
        .await?;
    Ok(refused)
}

/// A pattern whose rows are tried.
pub(super) struct Tried<'a> {
    pub(super) set: &'a [bool],
    pub(super) updates: bool,
    pub(super) inserts: bool,
}

fn cells(row: &metadata::Row) -> [&str; 4] {
    std::array::from_fn(|at| row.get(at).and_then(Option::as_deref).unwrap_or_default())
}

/// The block: for each pattern a loop over its rows.
fn block(statements: &Statements<'_>, step: u32, patterns: &[Tried<'_>]) -> String {
    let mut loops = String::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let number = number as i32;
        if pattern.updates
            && let Some(update) = statements.update(step, pattern.set, number)
        {
            let rows = statements.updated(step, number);
            loops.push_str(&each(&rows, &format!("{update} AND s.number = r.number")));
        }
        if pattern.inserts {
            let rows = statements.incomplete(step, number);
            let insert = statements.insert(step, pattern.set, number);
            let one = insert.replace(" ORDER BY s.number", " AND s.number = r.number");
            loops.push_str(&each(&rows, &one));
        }
    }
    format!("BEGIN NOT ATOMIC DECLARE e BIGINT; DECLARE c CHAR(5); DECLARE m TEXT; {loops}END")
}

/// Runs `statement` for each of `rows`, as `r`.
fn each(rows: &str, statement: &str) -> String {
    format!(
        "FOR r IN ({rows}) DO BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN \
         GET DIAGNOSTICS CONDITION 1 e = MYSQL_ERRNO, c = RETURNED_SQLSTATE, m = MESSAGE_TEXT; \
         INSERT INTO _syncline_refused VALUES (r.number, e, c, m); END; {statement}; END; END FOR; "
    )
}
