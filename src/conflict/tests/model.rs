//! Compares whole-row strategies with a simple model that decides one row at a time and is written
//! from the rules alone.

use proptest::prelude::*;
use syncline_connectors::conflict::{
    ConflictType, Detect, NullVersion, Strategy as Wins, Tie, Winner,
};

use super::*;

/// The generated columns: two values and the version.
const COLUMNS: [&str; 3] = ["name", "total", "v"];
const THRESHOLD: i64 = 2;

/// A cell: `None` if unknown, otherwise a value or null.
type Cell = Option<Option<i64>>;
type Cells = [Cell; 3];

#[derive(Debug, Clone)]
struct Drawn {
    operation: Operation,
    source: Cells,
    target: Option<[Option<i64>; 3]>,
    marked: bool,
    base: Option<Cells>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let value = || prop_oneof![1 => Just(None), 4 => (0..5_i64).prop_map(Some)];
    let cell = move || prop_oneof![1 => Just(None), 6 => value().prop_map(Some)];
    let cells = move || [cell(), cell(), cell()];
    let operation = prop_oneof![
        Just(Operation::Create),
        Just(Operation::Read),
        Just(Operation::Update),
        Just(Operation::Delete),
    ];
    (
        operation,
        cells(),
        prop::option::weighted(0.8, [value(), value(), value()]),
        prop::bool::weighted(0.1),
        prop::option::of(cells()),
    )
        .prop_map(|(operation, source, target, marked, base)| Drawn {
            operation,
            source,
            target,
            marked,
            base,
        })
}

fn policies() -> impl Strategy<Value = ConflictPolicy> {
    let strategy = prop_oneof![
        Just(Wins::SourceWins),
        Just(Wins::TargetWins),
        Just(Wins::NewestWins),
        Just(Wins::OldestWins),
    ];
    let detect = prop_oneof![
        Just(None),
        Just(Some(Detect::Key)),
        Just(Some(Detect::Row)),
        Just(Some(Detect::Before)),
        Just(Some(Detect::Version)),
    ];
    let nulls = prop_oneof![
        Just(NullVersion::Loses),
        Just(NullVersion::Wins),
        Just(NullVersion::Reject)
    ];
    (strategy, detect, nulls, any::<bool>(), any::<bool>()).prop_map(
        |(strategy, detect, null_version, source_ties, far)| ConflictPolicy {
            strategy,
            detect,
            null_version,
            tie: if source_ties {
                Tie::Source
            } else {
                Tie::Target
            },
            threshold: far.then(|| THRESHOLD.to_string()),
            version: Some("v".to_owned()),
            ..ConflictPolicy::default()
        },
    )
}

fn row_of(cells: &Cells) -> Row {
    let cells = COLUMNS
        .iter()
        .zip(cells)
        .filter_map(|(name, cell)| match cell {
            None => Some(((*name).to_owned(), "?".to_owned())),
            Some(value) => value.map(|value| ((*name).to_owned(), value.to_string())),
        });
    Row(Some(cells.collect()))
}

fn case_of(drawn: &Drawn) -> Case {
    let target = drawn.target.map(|cells| {
        let Row(mut row) = row_of(&cells.map(Some));
        if drawn.marked {
            row.as_mut()
                .map(|row| row.insert("marked".to_owned(), String::new()));
        }
        Row(row)
    });
    Case {
        operation: drawn.operation,
        source: row_of(&drawn.source),
        target: target.unwrap_or_default(),
        base: drawn.base.as_ref().map(row_of).unwrap_or_default(),
    }
}

/// A verdict, the written row and the conflict.
type Expected = (
    Verdict,
    Option<[Option<i64>; 3]>,
    Option<(ConflictType, Winner)>,
);

/// Decides one change by the rules.
fn one(policy: &ConflictPolicy, change: &Drawn) -> Expected {
    let is_delete = change.operation == Operation::Delete;
    let versioned = policy.detect == Some(Detect::Version) || policy.strategy.compares_versions();
    let version = change.source[2].flatten();
    let rejected = (Verdict::Reject, None, None);
    if versioned && policy.null_version == NullVersion::Reject && !is_delete && version.is_none() {
        return rejected;
    }
    let whole = change.source.iter().all(Option::is_some);
    let Some(target) = change.target.filter(|_| !change.marked) else {
        let tombstone = change.target.and_then(|target| target[2]);
        return absent(policy, change, tombstone, whole);
    };
    let differs =
        |column: usize| change.source[column].is_some_and(|value| value != target[column]);
    let any = (0..3).any(differs);
    let order = version.zip(target[2]).map(|(source, target)| {
        let far = policy.threshold.is_none() || (source - target).abs() >= THRESHOLD;
        if far { (source - target).signum() } else { 0 }
    });
    let only_counts = policy.strategy == Wins::SourceWins;
    let detect = policy.detect.unwrap_or(if only_counts {
        Detect::Row
    } else {
        Detect::Before
    });
    let conflict = match detect {
        Detect::Key => true,
        Detect::Version if is_delete => order == Some(-1) || version.is_none(),
        Detect::Version => !(order == Some(1) || (version.is_some() && target[2].is_none())),
        Detect::Before if !is_delete => (0..3).any(|column| {
            let base = change.base.and_then(|base| base[column]);
            differs(column) && base.is_none_or(|base| target[column] != base)
        }),
        Detect::Before | Detect::Row => any,
    } || (is_delete && !whole);
    let applied = std::array::from_fn(|column| change.source[column].unwrap_or(target[column]));
    let apply = match (is_delete, any) {
        (true, _) => (Verdict::Delete, None),
        (false, true) => (Verdict::Write, Some(applied)),
        (false, false) => (Verdict::Same, None),
    };
    if !conflict {
        return (apply.0, apply.1, None);
    }
    let by_null = match (version, target[2]) {
        (Some(_), None) => Some(policy.null_version != NullVersion::Wins),
        (None, Some(_)) => Some(policy.null_version == NullVersion::Wins),
        (None, None) => Some(policy.tie == Tie::Source),
        _ => None,
    };
    let compare = |ahead: i64| {
        by_null.unwrap_or_else(|| match order {
            Some(0) => is_delete || policy.tie == Tie::Source,
            order => order == Some(ahead),
        })
    };
    let wins = match policy.strategy {
        Wins::SourceWins => true,
        Wins::NewestWins => compare(1),
        Wins::OldestWins => compare(-1),
        _ => false,
    };
    let kind = match change.operation {
        Operation::Update => ConflictType::UpdateOriginDiffers,
        Operation::Delete if !wins && policy.strategy == Wins::NewestWins => {
            ConflictType::DeleteExists
        }
        Operation::Delete => ConflictType::DeleteOriginDiffers,
        _ => ConflictType::InsertExists,
    };
    match wins {
        true => (apply.0, apply.1, Some((kind, Winner::Source))),
        false => (Verdict::Keep, None, Some((kind, Winner::Target))),
    }
}

/// Decides a change that meets no row; `tombstone` is the version of a row that is marked as
/// deleted.
fn absent(
    policy: &ConflictPolicy,
    change: &Drawn,
    tombstone: Option<i64>,
    whole: bool,
) -> Expected {
    if change.operation == Operation::Delete {
        return (
            Verdict::Same,
            None,
            Some((ConflictType::DeleteMissing, Winner::Source)),
        );
    }
    if policy.strategy == Wins::NewestWins
        && let Some(tombstone) = tombstone
    {
        let ahead = change.source[2].flatten().is_some_and(|version| {
            let by = version - tombstone;
            match policy.threshold.is_some() {
                true if by.abs() < THRESHOLD => policy.tie == Tie::Source,
                false if by == 0 => policy.tie == Tie::Source,
                _ => by > 0,
            }
        });
        if !ahead {
            return (
                Verdict::Keep,
                None,
                Some((ConflictType::UpdateMissing, Winner::Target)),
            );
        }
    }
    if !whole {
        return (Verdict::Reject, None, None);
    }
    let conflict = (change.operation == Operation::Update)
        .then_some((ConflictType::UpdateMissing, Winner::Source));
    (
        Verdict::Write,
        Some(change.source.map(Option::flatten)),
        conflict,
    )
}

fn found(decisions: &Decisions, row: usize) -> Expected {
    let verdict = decisions.verdicts[row];
    let conflict = decisions
        .conflicts
        .iter()
        .find(|conflict| conflict.row as usize == row);
    let value = |name: &str| {
        let column = decisions
            .rows
            .column_by_name(name)
            .expect("a column of the schema");
        let options = FormatOptions::new();
        let formatter = ArrayFormatter::try_new(column, &options).expect("can be shown");
        column
            .is_valid(row)
            .then(|| formatter.value(row).to_string().parse().expect("a number"))
    };
    (
        verdict,
        (verdict == Verdict::Write).then(|| COLUMNS.map(value)),
        conflict.map(|conflict| (conflict.kind, conflict.winner)),
    )
}

/// Compares model and resolver. The model knows only the generated columns; the others are null on
/// both sides.
fn agree(policy: &ConflictPolicy, drawn: &[Drawn]) -> Result<(), TestCaseError> {
    let cases: Vec<Case> = drawn.iter().map(case_of).collect();
    let decisions = decide(policy, &cases, false);
    for (row, change) in drawn.iter().enumerate() {
        prop_assert_eq!(
            found(&decisions, row),
            one(policy, change),
            "{:?} {:?}",
            policy,
            change
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_is_decided_as_one_row_at_a_time_r8(
        policy in policies(),
        drawn in prop::collection::vec(drawn(), 1..40),
    ) {
        agree(&policy, &drawn)?;
    }
}
