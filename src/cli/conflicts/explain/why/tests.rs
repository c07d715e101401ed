use syncline_connectors::conflict::{Json, Place, Sides, Strategy};
use syncline_connectors::error::RejectedRow;

use super::*;

/// A change that meets a newer row; both sides changed it since the base.
fn explained() -> Explanation {
    let json = |text: &str| Some(Json(text.to_owned()));
    Explanation {
        target: "clients".to_owned(),
        table_exists: true,
        key: Json(r#"{"id":42}"#.to_owned()),
        operation: Operation::Update,
        place: Place {
            topic: "crm.clients".to_owned(),
            partition: 3,
            position: 7,
            event_time_ms: None,
        },
        position: Some(7),
        verdict: Verdict::Keep,
        conflict: Some(Conflict {
            row: 0,
            kind: ConflictType::UpdateOriginDiffers,
            winner: Winner::Target,
            reason: "the target is newer",
        }),
        columns: Json(r#"{"name":"newest_wins"}"#.to_owned()),
        rejected: None,
        rows: Sides {
            base: json(r#"{"id":42,"name":"Ann","v":1}"#),
            source: json(r#"{"id":42,"name":"Anna","v":2}"#),
            target: json(r#"{"id":42,"name":"Anne","v":3}"#),
            result: json(r#"{"id":42,"name":"Anne","v":3}"#),
        },
        base_is_hashed: false,
        marked: false,
        tombstone: None,
        foreign: Vec::new(),
        unplaced: Vec::new(),
        open: None,
    }
}

/// The policy `newest_wins` by `v`.
fn newest(detect: Option<Detect>) -> ConflictPolicy {
    ConflictPolicy {
        strategy: Strategy::NewestWins,
        version: Some("v".to_owned()),
        detect,
        ..ConflictPolicy::default()
    }
}

#[track_caller]
fn check(policy: &ConflictPolicy, explained: &Explanation, expect: &[&str]) {
    let options = Options {
        conflict: policy.clone(),
        ..Options::default()
    };
    assert_eq!(sentences(&options, explained), expect);
}

#[test]
fn every_mode_of_detection_says_what_it_compared_c1() {
    let found = |detect: Option<Detect>, explained: &Explanation, how: &str| {
        let expect = [
            how,
            "strategy newest_wins: target wins: the target is newer (v 2 at the source and 3 in the target)",
            "nothing would be written: the target's row stays",
        ];
        check(&newest(detect), explained, &expect);
    };
    let met = explained();
    let without_base = Explanation {
        rows: Sides {
            base: None,
            ..met.rows.clone()
        },
        ..met.clone()
    };
    found(
        None,
        &met,
        "detect = before (by default): the target differs from the base in name, v: conflict update_origin_differs",
    );
    found(
        Some(Detect::Before),
        &without_base,
        "detect = before: the base is unknown, so source and target differ in name, v: conflict update_origin_differs",
    );
    found(
        Some(Detect::Row),
        &met,
        "detect = row: source and target differ in name, v: conflict update_origin_differs",
    );
    found(
        Some(Detect::Key),
        &met,
        "detect = key: the row exists: conflict update_origin_differs",
    );
    found(
        Some(Detect::Version),
        &met,
        "detect = version: the versions are v 2 at the source and 3 in the target: conflict update_origin_differs",
    );
}

#[test]
fn without_a_conflict_the_change_applies_c1() {
    let free = |target: fn(&Sides) -> Option<Json>, verdict: Verdict| {
        let rows = explained().rows;
        Explanation {
            conflict: None,
            verdict,
            rows: Sides {
                target: target(&rows),
                result: rows.source.clone(),
                ..rows
            },
            ..explained()
        }
    };
    check(
        &newest(None),
        &free(|rows| rows.base.clone(), Verdict::Write),
        &[
            "detect = before (by default): the target equals the base: no conflict, the change applies",
            "would be written: name, v",
        ],
    );
    check(
        &newest(None),
        &free(|rows| rows.source.clone(), Verdict::Same),
        &[
            "detect = before (by default): the target changed name, v to the same values as the source: no conflict, the change applies",
            "nothing would be written: the target already has this state",
        ],
    );
}

/// A change that meets no row.
fn absent(verdict: Verdict, conflict: Option<(ConflictType, Winner, &'static str)>) -> Explanation {
    Explanation {
        verdict,
        conflict: conflict.map(|(kind, winner, reason)| Conflict {
            row: 0,
            kind,
            winner,
            reason,
        }),
        rows: Sides {
            target: None,
            ..explained().rows
        },
        ..explained()
    }
}

#[test]
fn where_the_row_is_absent_that_is_said_r12() {
    check(
        &newest(None),
        &absent(Verdict::Write, None),
        &[
            "the target has no such row: no conflict, the change applies",
            "would be written: the row, inserted",
        ],
    );
    let late = "the row was deleted by a change that is not older";
    let kept_out = (ConflictType::UpdateMissing, Winner::Target, late);
    check(
        &newest(None),
        &Explanation {
            tombstone: Some(Json(r#"{"v":5}"#.to_owned())),
            ..absent(Verdict::Keep, Some(kept_out))
        },
        &[
            "the target has no such row; a delete with v 5 was applied: only a newer change can insert the row again",
            "strategy newest_wins: target wins: the row was deleted by a change that is not older",
            "nothing would be written: the row stays deleted",
        ],
    );
    let gone = (
        ConflictType::DeleteMissing,
        Winner::Source,
        "the row is already deleted",
    );
    check(
        &newest(None),
        &Explanation {
            operation: Operation::Delete,
            ..absent(Verdict::Same, Some(gone))
        },
        &[
            "the target has no such row",
            "conflict delete_missing, which the source wins under every strategy: the row is already deleted",
            "nothing would be written: the target already has this state",
        ],
    );
}

#[test]
fn what_is_refused_or_done_already_is_said_r4_r14() {
    check(
        &newest(None),
        &Explanation {
            position: Some(8),
            rejected: Some(RejectedRow {
                row: 0,
                rule: "R14 incomplete".to_owned(),
                field: Some("name".to_owned()),
                reason: "the source did not send every column".to_owned(),
            }),
            ..absent(Verdict::Reject, None)
        },
        &[
            "the change is already applied, and a replay of it is skipped; the next lines show the result if it came as a new change now",
            "nothing would be written: the change goes to the quarantine by R14 incomplete (column name): the source did not send every column",
        ],
    );
}
