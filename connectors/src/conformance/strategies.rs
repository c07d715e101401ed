//! Who wins, written down as data: every strategy against every meeting of a change and a row.

use super::rows::{Row, delete_by_key, row};
use crate::change::Operation::{Create, Delete, Update};
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Strategy, Tie};

/// A change and the row that it meets, `(name, version)`.
pub(super) struct Meeting {
    pub(super) name: &'static str,
    pub(super) held: Option<Option<i64>>,
    pub(super) change: Row,
}

/// How a meeting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// `S` the source's row, `T` the target's, `-` none.
    pub(super) row: char,
    pub(super) conflict: Option<ConflictType>,
}

/// The name that a held row has.
pub(super) const HELD: &str = "target";

/// Every meeting, with `id` as the key.
pub(super) fn meetings() -> Vec<Meeting> {
    let upsert = |version: Option<i64>| row(Update, 0, "source", version);
    let meeting = |name, held, change| Meeting { name, held, change };
    let five = Some(Some(5));
    vec![
        meeting("create of an absent row", None, row(Create, 0, "source", 5)),
        meeting("update of an absent row", None, upsert(Some(5))),
        meeting("delete of an absent row", None, row(Delete, 0, "source", 5)),
        meeting("update to the same row", five, row(Update, 0, HELD, 5)),
        meeting("newer update", five, upsert(Some(6))),
        meeting("older update", five, upsert(Some(4))),
        meeting("update with the same version", five, upsert(Some(5))),
        meeting("update without a version", five, upsert(None)),
        meeting(
            "update of a row without a version",
            Some(None),
            upsert(Some(5)),
        ),
        meeting(
            "update, no version on either side",
            Some(None),
            upsert(None),
        ),
        meeting("newer create", five, row(Create, 0, "source", 6)),
        meeting("delete of the same row", five, row(Delete, 0, HELD, 5)),
        meeting("newer delete", five, row(Delete, 0, "source", 6)),
        meeting("older delete", five, row(Delete, 0, "source", 4)),
        meeting(
            "delete without a version",
            five,
            row(Delete, 0, "source", None),
        ),
        meeting("delete by key", five, delete_by_key(0)),
    ]
}

/// A policy with the ending of every meeting, in their order. The second letter is the conflict:
/// `i` insert_exists, `m` update_missing, `u` update_origin_differs, `x` delete_missing,
/// `o` delete_origin_differs, `e` delete_exists.
pub(super) fn expected() -> Vec<(ConflictPolicy, Vec<Ending>)> {
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
        // C7: closer than the threshold is a tie.
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
        .map(|(strategy, detect, tie, threshold, endings)| {
            let policy = ConflictPolicy {
                strategy,
                detect: Some(detect),
                version: Some("version".to_owned()),
                tie,
                threshold: threshold.map(str::to_owned),
                ..ConflictPolicy::default()
            };
            (policy, endings.split(' ').map(ending).collect())
        })
        .collect()
}

fn ending(letters: &str) -> Ending {
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
    Ending { row, conflict }
}
