//! The expected result of every strategy for every kind of change and row, as data.

use super::rows::{Row, delete_by_key, row};
use crate::change::Operation::{Create, Delete, Update};
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Strategy, Tie};

/// A change and the row `(name, version)` that it meets.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) held: Option<Option<i64>>,
    pub(super) change: Row,
}

/// The expected result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// `S` for the source's row, `T` for the target's, `-` for none.
    pub(super) row: char,
    pub(super) conflict: Option<ConflictType>,
}

/// The name in a row of the target.
pub(super) const HELD: &str = "target";

/// Every kind of change and row; the key is `id`.
pub(super) fn scenarios() -> Vec<Scenario> {
    let upsert = |version: Option<i64>| row(Update, 0, "source", version);
    let scenario = |name, held, change| Scenario { name, held, change };
    let five = Some(Some(5));
    vec![
        scenario("create of an absent row", None, row(Create, 0, "source", 5)),
        scenario("update of an absent row", None, upsert(Some(5))),
        scenario("delete of an absent row", None, row(Delete, 0, "source", 5)),
        scenario("update to the same row", five, row(Update, 0, HELD, 5)),
        scenario("newer update", five, upsert(Some(6))),
        scenario("older update", five, upsert(Some(4))),
        scenario("update with the same version", five, upsert(Some(5))),
        scenario("update without a version", five, upsert(None)),
        scenario(
            "update of a row without a version",
            Some(None),
            upsert(Some(5)),
        ),
        scenario(
            "update, no version on either side",
            Some(None),
            upsert(None),
        ),
        scenario("newer create", five, row(Create, 0, "source", 6)),
        scenario("delete of the same row", five, row(Delete, 0, HELD, 5)),
        scenario("newer delete", five, row(Delete, 0, "source", 6)),
        scenario("older delete", five, row(Delete, 0, "source", 4)),
        scenario(
            "delete without a version",
            five,
            row(Delete, 0, "source", None),
        ),
        scenario("delete by key", five, delete_by_key(0)),
    ]
}

/// A policy with the expected result of every case, in their order. The second letter is the
/// conflict: `i` insert_exists, `m` update_missing, `u` update_origin_differs, `x` delete_missing,
/// `o` delete_origin_differs, `e` delete_exists.
pub(super) fn expected() -> Vec<(ConflictPolicy, Vec<Expected>)> {
    use Strategy::{Merge, NewestWins, OldestWins, SourceWins, TargetWins};
    use Tie::{Source, Target};
    let table = [
        (
            SourceWins,
            Detect::Row,
            Target,
            None,
            "S. Sm -x S. Su Su Su Su Su Su Si -. -o -o -o -o",
        ),
        (
            SourceWins,
            Detect::Key,
            Target,
            None,
            "S. Sm -x Su Su Su Su Su Su Su Si -o -o -o -o -o",
        ),
        (
            TargetWins,
            Detect::Row,
            Target,
            None,
            "S. Sm -x S. Tu Tu Tu Tu Tu Tu Ti -. To To To To",
        ),
        (
            TargetWins,
            Detect::Key,
            Target,
            None,
            "S. Sm -x Tu Tu Tu Tu Tu Tu Tu Ti To To To To To",
        ),
        // C3: a tie; C4: a null loses on either side; C6: a delete by its version.
        (
            NewestWins,
            Detect::Row,
            Target,
            None,
            "S. Sm -x S. Su Tu Tu Tu Su Tu Si -. -o Te Te Te",
        ),
        (
            NewestWins,
            Detect::Row,
            Source,
            None,
            "S. Sm -x S. Su Tu Su Tu Su Su Si -. -o Te Te Te",
        ),
        (
            NewestWins,
            Detect::Key,
            Target,
            None,
            "S. Sm -x Tu Su Tu Tu Tu Su Tu Si -o -o Te Te Te",
        ),
        (
            OldestWins,
            Detect::Row,
            Target,
            None,
            "S. Sm -x S. Tu Su Tu Tu Su Tu Ti -. To -o To To",
        ),
        (
            OldestWins,
            Detect::Row,
            Source,
            None,
            "S. Sm -x S. Tu Su Su Tu Su Su Ti -. To -o To To",
        ),
        (
            Merge,
            Detect::Row,
            Target,
            None,
            "S. Sm -x S. Su Tu Tu Tu Su Tu Si -. -o Te Te Te",
        ),
        // C7: a difference smaller than the threshold is a tie.
        (
            NewestWins,
            Detect::Row,
            Target,
            Some("2"),
            "S. Sm -x S. Tu Tu Tu Tu Su Tu Ti -. -o -o Te Te",
        ),
    ];
    table
        .into_iter()
        .map(|(strategy, detect, tie, threshold, results)| {
            let policy = ConflictPolicy {
                strategy,
                detect: Some(detect),
                version: Some("version".to_owned()),
                tie,
                threshold: threshold.map(str::to_owned),
                ..ConflictPolicy::default()
            };
            (policy, results.split(' ').map(result).collect())
        })
        .collect()
}

fn result(letters: &str) -> Expected {
    let mut letters = letters.chars();
    let row = letters.next().unwrap();
    let conflict = match letters.next().unwrap() {
        '.' => None,
        'i' => Some(ConflictType::InsertExists),
        'm' => Some(ConflictType::UpdateMissing),
        'u' => Some(ConflictType::UpdateOriginDiffers),
        'x' => Some(ConflictType::DeleteMissing),
        'o' => Some(ConflictType::DeleteOriginDiffers),
        'e' => Some(ConflictType::DeleteExists),
        other => panic!("{other} is no conflict"),
    };
    Expected { row, conflict }
}
