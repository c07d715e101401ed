//! Decides conflicts with pure functions over whole Arrow columns; no I/O (C1–C9).
//!
//! A sink that cannot decide in its bulk statement passes three things: the changes, the target's
//! current rows for their keys, and the base (the last state on which both sides agreed). It gets
//! one decision for each change.
//!
//! - A policy is compiled once for each schema. A strategy that does not fit its column, an unknown
//!   column and a wrong expression are configuration errors before any conflict is decided.
//! - Detection and comparison work on whole columns. Work that is done row by row is done for
//!   contested rows only.
//! - Null is a value: it equals null and nothing else. Values compare by value, not by their text.
//!   A column that the source did not send (R14) is ignored in every comparison.
//! - The same edit on both sides is not a conflict. A tie has an explicit winner (C3). A delete is
//!   compared by the row that it deleted and does not win automatically (C6).
//! - A change whose result cannot be computed is rejected with the rule that rejects it. Nothing is
//!   rounded or guessed (R3).

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

/// Compiles resolvers for every strategy.
pub fn resolvers() -> Arc<dyn Resolvers> {
    Arc::new(StrategyResolvers)
}

/// The problems of `policy` for rows of `schema`; their paths begin at `conflict`.
pub(crate) fn check(policy: &ConflictPolicy, schema: &SchemaRef, key: &[usize]) -> Vec<Problem> {
    Rules::compile(policy, schema, key)
        .err()
        .unwrap_or_default()
}

struct StrategyResolvers;

impl Resolvers for StrategyResolvers {
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

/// All problems as one line, for a caller without a file to show them in.
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
