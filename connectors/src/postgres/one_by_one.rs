//! Which staged rows PostgreSQL refuses for their own values, found by one block of PL/pgSQL that
//! writes them one after another.
//!
//! An error of a statement names no row of it, and asking again with half of the rows costs a round
//! trip for each half. The block runs in the server: each row has a subtransaction of its own, and one
//! that fails leaves its number, code and message in a temporary table. What was accepted is written
//! too; the caller takes all of it back. A server without PL/pgSQL finds nothing here, and the rows are
//! then tried in halves.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::failure::{Failure, failure, refused_values};
use super::session::Session;
use super::stage::StagedRound;
use super::statement::Statements;
use crate::sql::failure::RefusedRow;
use crate::sql::patterns::{INSERT, UPDATE};

/// Where the block leaves what it found.
const CREATE: &str = "CREATE TEMPORARY TABLE _syncline_refused \
    (row integer, state text, field text, reason text) ON COMMIT DROP";

/// See the module docs. `updates_first`: rows that are there are updated before others are inserted.
///
/// # Errors
/// Where the database does not answer, or cannot run the block.
pub(super) async fn refused(
    session: &mut Session,
    statements: &Statements<'_>,
    updates_first: bool,
    staged: &StagedRound,
) -> Result<Vec<RefusedRow>, Failure> {
    session.execute(CREATE).await?;
    session
        .execute(&block(statements, updates_first, staged))
        .await?;
    let read = "SELECT row, state, field, reason FROM pg_temp._syncline_refused ORDER BY row";
    let mut refused = Vec::new();
    for found in session.rows(read, false).await? {
        let (number, code, field, reason) =
            read_row(&found).map_err(|error| failure("reading refused rows", error))?;
        if let Some(values) = refused_values(&code, &reason, field) {
            refused.push((staged.places[number as usize], values));
        }
    }
    Ok(refused)
}

fn read_row(row: &PgRow) -> Result<(i32, String, Option<String>, String), sqlx::Error> {
    let field: Option<String> = row.try_get(2)?;
    let field = field.filter(|name| !name.is_empty());
    Ok((row.try_get(0)?, row.try_get(1)?, field, row.try_get(3)?))
}

/// The block: for each pattern of set columns a loop over its rows.
fn block(statements: &Statements<'_>, updates_first: bool, staged: &StagedRound) -> String {
    let stage = &statements.prepared.stage;
    let whole = vec![true; statements.prepared.columns.len()];
    let mut patterns = vec![(&whole, updates_first, true)];
    for partial in &staged.patterns.partial {
        patterns.push((&partial.set, true, !partial.incomplete));
    }
    let mut loops = String::new();
    for (pattern, (set, updates, inserts)) in patterns.into_iter().enumerate() {
        let pattern = pattern as i16;
        let mut body = String::new();
        if updates {
            body.push_str(&of_one(stage, &statements.update(set, pattern)));
        }
        if inserts {
            for operation in [INSERT, UPDATE] {
                let sql = statements.upsert(operation, set, pattern, updates);
                let sql = of_one(stage, &sql);
                body.push_str(&format!("IF r.op = {operation} THEN {sql} END IF; "));
            }
        }
        loops.push_str(&format!(
            "FOR r IN SELECT s.* FROM {stage} AS s WHERE s.op < 2 AND s.pattern = {pattern} ORDER BY s.row LOOP \
             BEGIN {body}EXCEPTION WHEN OTHERS THEN \
             GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, field = COLUMN_NAME, reason = MESSAGE_TEXT; \
             INSERT INTO pg_temp._syncline_refused VALUES (r.row, code, field, reason); END; END LOOP; "
        ));
    }
    format!(
        "DO $block$ DECLARE r {stage}%ROWTYPE; a bigint; b bigint; code text; field text; reason text; \
         BEGIN {loops}END $block$"
    )
}

/// A statement that counts what it did, for the one row `r`.
fn of_one(stage: &str, sql: &str) -> String {
    let counted = sql.strip_suffix(" FROM done").unwrap_or(sql);
    let counted = counted.replace(&format!("{stage} AS s"), "(SELECT (r).*) AS s");
    format!("{counted} INTO a, b FROM done; ")
}
