//! Conflicts decided: pure functions over whole Arrow columns, no I/O (C1–C9).
//!
//! A sink that cannot decide in its bulk statement hands over the changes, the rows that its target
//! holds for their keys, and what both sides agreed on last, and is told what becomes of each change.
//!
//! - A policy is compiled once for a schema: a strategy that does not fit its column, a column that is
//!   not there and a wrong expression are configuration errors before anything is decided.
//! - Detection and comparison run over whole columns; what costs time by the row is done for contested
//!   rows only.
//! - Null is a value: it equals null and nothing else. Values compare by what they are, not by how they
//!   are written. A column that the source did not send (R14) takes part in nothing.
//! - The same edit on both sides is no conflict. A tie has an explicit winner (C3). A delete is
//!   compared by its own row, and is no trump card (C6).
//! - What cannot be computed is rejected with its rule, never rounded and never guessed (R3).

mod column;
mod compare;
mod expression;
mod mask;
mod outcome;
mod resolve;
mod rules;
mod sides;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use syncline_connectors::conflict::{ConflictPolicy, Resolver, Resolvers};
use syncline_connectors::error::{Error, Result};
use syncline_connectors::sql::version::version_column;

pub(crate) use expression::check_syntax;
use rules::Rules;
pub(crate) use rules::absent;

use crate::problem::Problem;

/// Resolvers for every strategy.
pub fn resolvers() -> Arc<dyn Resolvers> {
    Arc::new(Kernels)
}

/// What is wrong with `policy` for rows of `schema`; paths begin at `conflict`.
pub(crate) fn check(policy: &ConflictPolicy, schema: &SchemaRef, key: &[usize]) -> Vec<Problem> {
    Rules::compile(policy, schema, key)
        .err()
        .unwrap_or_default()
}

struct Kernels;

impl Resolvers for Kernels {
    fn compile(
        &self,
        policy: &ConflictPolicy,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Result<Arc<dyn Resolver>> {
        version_column(policy)?;
        match Rules::compile(policy, schema, key) {
            Ok(rules) => Ok(Arc::new(rules)),
            Err(problems) => Err(Error::configuration(in_one_line(&problems))),
        }
    }
}

/// All problems, for who has no file to point into.
fn in_one_line(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| {
            let help = problem.help.as_ref().map(|help| format!(": {help}"));
            format!(
                "{}: {}{}",
                problem.path.join("."),
                problem.message,
                help.unwrap_or_default()
            )
        })
        .collect();
    lines.join("; ")
}
