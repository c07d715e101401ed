//! The policies of the random histories, with the columns of their rows.

use std::collections::BTreeMap;

use super::Column;
use super::Column::{Amount, Doc, Name, Tags, Version};
use crate::conflict::{ConflictPolicy, Detect, Strategy, Tie};
use crate::conformance::model::{ADDED, SIDE};

/// Every strategy of a sink, and every strategy of a column under `newest_wins` and `merge`.
/// Detection and tie vary, so that every value occurs.
pub(super) fn policies() -> Vec<(ConflictPolicy, Vec<Column>)> {
    use Strategy::{
        Coalesce, Concat, Expression, JsonMerge, Manual, Max, Merge, Min, NewestWins, OldestWins,
        SourceWins, Sum, TargetWins, Union,
    };
    let mut all = Vec::new();
    for strategy in [SourceWins, TargetWins, NewestWins, OldestWins, Merge] {
        for detect in [
            None,
            Some(Detect::Key),
            Some(Detect::Row),
            Some(Detect::Before),
            Some(Detect::Version),
        ] {
            for tie in [Tie::Target, Tie::Source] {
                let policy = ConflictPolicy {
                    detect,
                    tie,
                    ..policy(strategy.clone(), None)
                };
                all.push((policy, vec![Name, Amount, Version]));
            }
        }
    }
    let expression = |text: &str| Expression(text.to_owned());
    let late = || Some(("version", Max));
    for (strategy, own, columns) in [
        (Manual, None, vec![Name, Version]),
        (expression(SIDE), None, vec![Name, Version]),
        (Max, None, vec![Amount, Version]),
        (Min, None, vec![Amount, Version]),
        (Sum, late(), vec![Amount, Version]),
        (Union, late(), vec![Tags, Version]),
        (Concat, late(), vec![Name, Version]),
        (Coalesce, None, vec![Name, Amount, Version]),
        (JsonMerge, late(), vec![Doc, Version]),
    ] {
        all.push((policy(strategy, own), columns));
    }
    for sink in [NewestWins, Merge] {
        for (name, strategy, column) in [
            ("amount", SourceWins, Amount),
            ("amount", TargetWins, Amount),
            ("amount", NewestWins, Amount),
            ("amount", OldestWins, Amount),
            ("amount", Merge, Amount),
            ("amount", Max, Amount),
            ("amount", Min, Amount),
            ("amount", Sum, Amount),
            ("amount", Coalesce, Amount),
            ("amount", Manual, Amount),
            ("amount", expression(ADDED), Amount),
            ("tags", Union, Tags),
            ("doc", JsonMerge, Doc),
        ] {
            let own = Some((name, strategy));
            all.push((policy(sink.clone(), own), vec![Name, column, Version]));
        }
        let own = Some(("name", Concat));
        all.push((policy(sink, own), vec![Name, Amount, Version]));
    }
    // Policies without a fixed detection or tie get the values in turn.
    let detections = [
        None,
        Some(Detect::Row),
        Some(Detect::Before),
        Some(Detect::Version),
    ];
    for (index, (policy, _)) in all.iter_mut().enumerate().skip(50) {
        policy.detect = detections[index % detections.len()];
        policy.tie = [Tie::Target, Tie::Source][index / 2 % 2];
    }
    all
}

fn policy(strategy: Strategy, own: Option<(&str, Strategy)>) -> ConflictPolicy {
    let own = own.map(|(name, strategy)| (name.to_owned(), strategy));
    ConflictPolicy {
        strategy,
        columns: BTreeMap::from_iter(own),
        version: Some("version".to_owned()),
        separator: "+".to_owned(),
        ..ConflictPolicy::default()
    }
}
