//! The decision table of conflicts: the result of every kind of change for the row that it meets
//! (C1–C10).
//!
//! `decision_table.txt` contains the expected results, written by hand and a script from the rules,
//! not computed by the code under test; its header explains the format. [`check_decision_table`]
//! applies the cases to a sink: it compares rows, outcome and counts by type, with each case alone
//! and with many in one batch, through the statement and through the resolver. [`check_resolver`]
//! applies them to a resolver without a database: it compares verdicts, rows, types and winners.

mod resolver;
mod sink;
mod table;

pub use resolver::{CaseBatch, check_resolver};
pub use sink::{check_decision_table, check_statement_decisions};
pub use table::{Bucket, Case, TargetState, cases};

use crate::conflict::ConflictPolicy;

/// The cases of each policy, in the order of the table.
fn groups() -> Vec<(ConflictPolicy, Vec<Case>)> {
    let mut groups: Vec<(&'static str, ConflictPolicy, Vec<Case>)> = Vec::new();
    for case in cases() {
        let found = groups
            .iter_mut()
            .rev()
            .take(10)
            .find(|(block, policy, _)| *block == case.block && *policy == case.policy);
        match found {
            Some((_, _, group)) => group.push(case),
            None => groups.push((case.block, case.policy.clone(), vec![case])),
        }
    }
    groups
        .into_iter()
        .map(|(_, policy, group)| (policy, group))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::change::Operation;
    use crate::conflict::Strategy;

    #[test]
    fn the_table_covers_what_it_promises() {
        let cases = cases();
        let strategies: BTreeSet<&str> = cases
            .iter()
            .map(|case| case.policy.strategy.name())
            .collect();
        let columns: BTreeSet<(&str, &str)> = cases
            .iter()
            .flat_map(|case| {
                let sink = case.policy.strategy.name();
                let own = case.policy.columns.values();
                own.map(move |strategy: &Strategy| (sink, strategy.name()))
            })
            .collect();
        assert_eq!(strategies.len(), 14, "{strategies:?}");
        for strategy in &strategies {
            for sink in ["newest_wins", "merge"] {
                assert!(
                    columns.contains(&(sink, strategy)),
                    "{strategy} under {sink}"
                );
            }
            for letter in ["c", "r", "u", "d"] {
                let found = cases.iter().any(|case| {
                    case.policy.strategy.name() == *strategy
                        && case.event.operation.letter() == letter
                });
                assert!(found, "{letter} under {strategy}");
            }
            let details: BTreeSet<_> = cases
                .iter()
                .filter(|case| case.policy.strategy.name() == *strategy)
                .map(|case| {
                    (
                        case.policy.detect.map(|detect| detect as u8),
                        case.policy.tie as u8,
                    )
                })
                .collect();
            assert_eq!(details.len(), 10, "{strategy}: {details:?}");
        }
    }

    #[test]
    fn the_table_agrees_with_itself() {
        for case in cases() {
            let line = case.line;
            let held = match &case.target {
                TargetState::Row(row) => Some(row.clone()),
                _ => None,
            };
            match case.bucket {
                Bucket::Written => {}
                _ => assert_eq!(case.row, held, "line {line}: the target's row stays"),
            }
            let rejected = matches!(case.bucket, Bucket::Rejected(_));
            assert!(!rejected || case.conflict.is_none(), "line {line}");
            let delete = case.event.operation == Operation::Delete;
            assert!(
                case.event.before.is_none() || case.event.operation == Operation::Update,
                "line {line}"
            );
            let gone = delete && case.bucket == Bucket::Written;
            assert!(!gone || case.row.is_none(), "line {line}");
        }
    }

    #[test]
    fn no_case_occurs_twice_under_one_policy() {
        for (policy, group) in groups() {
            for (index, case) in group.iter().enumerate() {
                let twin = group[..index]
                    .iter()
                    .find(|other| other.event == case.event && other.target == case.target);
                assert!(
                    twin.is_none(),
                    "lines {} and {} under {policy:?}",
                    twin.map_or(0, |twin| twin.line),
                    case.line
                );
            }
        }
    }
}
