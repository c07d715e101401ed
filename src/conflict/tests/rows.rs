//! Whole rows: detection of conflicts (C1) and their winners (C2–C7).
//! Longer than 400 lines: one list of cases.

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::*;

const SOURCE: &str = "strategy='source_wins'";
const TARGET: &str = "strategy='target_wins'";
const NEWEST: &str = "strategy='newest_wins'; version='v'";
const OLDEST: &str = "strategy='oldest_wins'; version='v'";
const MANUAL: &str = "strategy='manual'";

#[test]
fn a_change_without_a_row_r14() {
    for strategy in [SOURCE, TARGET, NEWEST, OLDEST, MANUAL, "strategy='merge'"] {
        check(strategy, ["c", "name=a v=1", "-", "-"], "write name=a v=1");
        check(strategy, ["r", "name=a v=1", "-", "-"], "write name=a v=1");
        let inserted = "write name=a v=1 | update_missing source";
        check(strategy, ["u", "name=a v=1", "-", "-"], inserted);
        check(
            strategy,
            ["u", "name=? v=1", "-", "-"],
            "reject R14 incomplete",
        );
        check(
            strategy,
            ["d", "name=a", "-", "-"],
            "same | delete_missing source",
        );
        check(
            strategy,
            ["d", "name=a", "marked name=a", "-"],
            "same | delete_missing source",
        );
    }
    check(
        SOURCE,
        ["u", "name=a", "marked name=a", "-"],
        "write name=a | update_missing source",
    );
}

#[test]
fn nothing_older_comes_back_r12() {
    // A row that is marked as deleted still has its version.
    let kept = "keep | update_missing target";
    check(NEWEST, ["u", "name=a v=1", "marked v=2", "-"], kept);
    check(NEWEST, ["c", "name=a v=2", "marked v=2", "-"], kept);
    check(NEWEST, ["u", "name=a", "marked v=2", "-"], kept);
    check(
        NEWEST,
        ["u", "name=a v=3", "marked v=2", "-"],
        "write name=a v=3 | update_missing source",
    );
    check(
        NEWEST,
        ["c", "name=a v=1", "marked", "-"],
        "write name=a v=1",
    );
    let tie = "strategy='newest_wins'; version='v'; tie='source'";
    check(
        tie,
        ["c", "name=a v=2", "marked v=2", "-"],
        "write name=a v=2",
    );
    check(
        OLDEST,
        ["c", "name=a v=1", "marked v=2", "-"],
        "write name=a v=1",
    );
}

#[test]
fn tombstones_are_versions_of_deletes_r12() {
    let cases = [
        Case::of("c", "name=a v=1", "-", "-"),
        Case::of("c", "name=a v=3", "-", "-"),
        Case::of("u", "name=? v=1", "-", "-"),
        Case::of("c", "name=a v=1", "-", "-"),
    ];
    let of = |side: fn(&Case) -> &Row| cases.iter().map(side).cloned().collect::<Vec<_>>();
    let operations: Vec<Operation> = cases.iter().map(|case| case.operation).collect();
    let changes = changes(&of(|case| &case.source), &operations);
    let tombstones: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(2), Some(2), None]));
    for settings in [NEWEST, "strategy='merge'; version='v'"] {
        let resolver = resolvers()
            .compile(&policy(settings), &schema(), &[0])
            .expect("it fits");
        let decisions = resolver
            .resolve(&ConflictBatch {
                changes: &changes,
                target: &held(&of(|case| &case.target)),
                base: Base::None,
                tombstones: Some(&tombstones),
            })
            .expect("it can be decided");
        let kept = "keep | update_missing target";
        let found: Vec<String> = (0..4).map(|row| shown(&decisions, row)).collect();
        assert_eq!(found, [kept, "write name=a v=3", kept, "write name=a v=1"]);
    }
}

#[test]
fn what_is_a_conflict_c1() {
    let differs = ["u", "name=b", "name=c", "name=a"];
    check(
        TARGET,
        differs,
        "keep | update_origin_differs target | name",
    );
    check(
        TARGET,
        ["c", "name=b", "name=c", "-"],
        "keep | insert_exists target | name",
    );
    check(
        TARGET,
        ["r", "name=b", "name=c", "-"],
        "keep | insert_exists target | name",
    );
    // Three-way: the target equals the base, or both sides made the same edit.
    check(TARGET, ["u", "name=b", "name=a", "name=a"], "write name=b");
    check(TARGET, ["u", "name=b", "name=b", "name=a"], "same");
    check(
        TARGET,
        ["u", "name=b", "name=a", "name=?"],
        "keep | update_origin_differs target | name",
    );
    // The target changed another column.
    check(
        TARGET,
        ["u", "name=b total=1", "name=a total=2", "name=a total=1"],
        "keep | update_origin_differs target | name total",
    );
    let row = "strategy='target_wins'; detect='row'";
    check(
        row,
        ["u", "name=b", "name=a", "name=a"],
        "keep | update_origin_differs target | name",
    );
    check(row, ["u", "name=a", "name=a", "name=b"], "same");
    // A column that the source did not send is ignored.
    check(row, ["u", "name=? total=1", "name=a total=1", "-"], "same");
    check(
        SOURCE,
        ["u", "name=? total=2", "name=a total=1", "-"],
        "write name=a total=2 | update_origin_differs source | total",
    );
    let key = "strategy='source_wins'; detect='key'";
    check(
        key,
        ["u", "name=a", "name=a", "-"],
        "same | update_origin_differs source",
    );
    check(
        key,
        ["u", "name=b", "name=a", "-"],
        "write name=b | update_origin_differs source | name",
    );
    let key = "strategy='target_wins'; detect='key'";
    check(
        key,
        ["c", "name=a", "name=a", "-"],
        "keep | insert_exists target",
    );
    check(
        key,
        ["d", "name=a", "name=a", "-"],
        "keep | delete_origin_differs target",
    );
    let version = "strategy='target_wins'; detect='version'; version='v'";
    check(
        version,
        ["u", "name=b v=2", "name=a v=1", "-"],
        "write name=b v=2",
    );
    check(
        version,
        ["u", "name=b v=1", "name=a", "-"],
        "write name=b v=1",
    );
    check(
        version,
        ["u", "name=b v=1", "name=a v=1", "-"],
        "keep | update_origin_differs target | name",
    );
    check(
        version,
        ["u", "name=b", "name=a", "-"],
        "keep | update_origin_differs target | name",
    );
    check(version, ["d", "name=b v=1", "name=a v=1", "-"], "delete");
    check(
        version,
        ["d", "name=b v=1", "name=a v=2", "-"],
        "keep | delete_origin_differs target | name v",
    );
    let threshold = "strategy='target_wins'; detect='version'; version='v'; threshold='5'";
    check(
        threshold,
        ["u", "name=b v=14", "name=a v=10", "-"],
        "keep | update_origin_differs target | name v",
    );
    check(
        threshold,
        ["u", "name=b v=15", "name=a v=10", "-"],
        "write name=b v=15",
    );
    check(
        threshold,
        ["d", "name=b v=10", "name=a v=14", "-"],
        "delete",
    );
    // `source_wins` without more settings detects conflicts as `row` does.
    check(
        SOURCE,
        ["u", "name=b", "name=a", "name=a"],
        "write name=b | update_origin_differs source | name",
    );
    check(
        "strategy='manual'",
        differs,
        "queue | update_origin_differs manual | name",
    );
}

#[test]
fn versions_decide_c3_to_c7() {
    let kept = "keep | update_origin_differs target | name v";
    let tied = "keep | update_origin_differs target | name";
    let won = |row: &str| format!("write {row} | update_origin_differs source | name v");
    check(
        NEWEST,
        ["u", "name=b v=2", "name=a v=1", "-"],
        &won("name=b v=2"),
    );
    check(NEWEST, ["u", "name=b v=1", "name=a v=2", "-"], kept);
    check(
        OLDEST,
        ["u", "name=b v=1", "name=a v=2", "-"],
        &won("name=b v=1"),
    );
    check(OLDEST, ["u", "name=b v=3", "name=a v=2", "-"], kept);
    check(NEWEST, ["u", "name=b v=1", "name=a v=1", "-"], tied);
    let tie = "strategy='newest_wins'; version='v'; tie='source'";
    check(
        tie,
        ["u", "name=b v=1", "name=a v=1", "-"],
        "write name=b v=1 | update_origin_differs source | name",
    );
    check(
        tie,
        ["u", "name=b", "name=a", "-"],
        "write name=b | update_origin_differs source | name",
    );
    for strategy in [NEWEST, OLDEST] {
        check(strategy, ["u", "name=b", "name=a v=1", "-"], kept);
        check(
            strategy,
            ["u", "name=b v=1", "name=a", "-"],
            &won("name=b v=1"),
        );
        check(strategy, ["u", "name=b", "name=a", "-"], tied);
        let wins = format!("{strategy}; null_version='wins'");
        check(&wins, ["u", "name=b", "name=a v=1", "-"], &won("name=b"));
        check(&wins, ["u", "name=b v=1", "name=a", "-"], kept);
        let reject = format!("{strategy}; null_version='reject'");
        check(
            &reject,
            ["u", "name=b", "name=a v=1", "-"],
            "reject C4 null_version",
        );
        check(&reject, ["u", "name=b", "-", "-"], "reject C4 null_version");
        check(
            &reject,
            ["u", "name=b v=1", "name=a", "-"],
            &won("name=b v=1"),
        );
    }
    let threshold = "strategy='newest_wins'; version='v'; threshold='5'";
    check(threshold, ["u", "name=b v=14", "name=a v=10", "-"], kept);
    check(
        threshold,
        ["u", "name=b v=15", "name=a v=10", "-"],
        &won("name=b v=15"),
    );
    let tie = "strategy='newest_wins'; version='v'; threshold='5'; tie='source'";
    check(
        tie,
        ["u", "name=b v=6", "name=a v=10", "-"],
        &won("name=b v=6"),
    );
    check(tie, ["u", "name=b v=5", "name=a v=10", "-"], kept);
    check(
        NEWEST,
        ["u", "name=b v=5", "name=a v=!", "-"],
        "reject R3 exactness",
    );
}

#[test]
fn a_delete_is_no_trump_card_c6() {
    let gone = "delete | delete_origin_differs source | name v";
    check(NEWEST, ["d", "name=a v=1", "name=a v=1", "-"], "delete");
    check(NEWEST, ["d", "name=a v=2", "name=b v=1", "-"], gone);
    check(
        NEWEST,
        ["d", "name=a v=1", "name=b v=2", "-"],
        "keep | delete_exists target | name v",
    );
    check(
        NEWEST,
        ["d", "name=a v=1", "name=b v=1", "-"],
        "delete | delete_origin_differs source | name",
    );
    check(
        NEWEST,
        ["d", "name=a", "name=b v=1", "-"],
        "keep | delete_exists target | name v",
    );
    check(
        NEWEST,
        ["d", "name=a", "name=b", "-"],
        "keep | delete_exists target | name",
    );
    check(OLDEST, ["d", "name=a v=1", "name=b v=2", "-"], gone);
    check(
        OLDEST,
        ["d", "name=a v=2", "name=b v=1", "-"],
        "keep | delete_origin_differs target | name v",
    );
    let threshold = "strategy='newest_wins'; version='v'; threshold='5'";
    check(threshold, ["d", "name=a v=6", "name=b v=10", "-"], gone);
    check(
        threshold,
        ["d", "name=a v=5", "name=b v=10", "-"],
        "keep | delete_exists target | name v",
    );
    // A blind delete: its row before is incomplete, so the deleted row is unknown.
    let blind = "name=? total=? doc=? items=? v=?";
    check(
        SOURCE,
        ["d", blind, "name=a", "-"],
        "delete | delete_origin_differs source",
    );
    check(
        TARGET,
        ["d", blind, "name=a", "-"],
        "keep | delete_origin_differs target",
    );
    check(
        NEWEST,
        ["d", blind, "name=a v=1", "-"],
        "keep | delete_exists target",
    );
    check(
        MANUAL,
        ["d", "name=b", "name=a", "-"],
        "queue | delete_origin_differs manual | name",
    );
    let merge = "strategy='merge'";
    check(
        merge,
        ["d", "name=b", "name=a", "-"],
        "keep | delete_origin_differs target | name",
    );
    let merge = "strategy='merge'; tie='source'";
    check(
        merge,
        ["d", "name=b", "name=a", "-"],
        "delete | delete_origin_differs source | name",
    );
    let merge = "strategy='coalesce'; version='v'";
    check(
        merge,
        ["d", "name=b v=1", "name=a v=2", "-"],
        "keep | delete_exists target | name v",
    );
}

#[test]
fn a_blind_delete_has_the_time_of_its_event_c6() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("v", micros, true),
    ]));
    let rows = |versions: [Option<i64>; 3]| {
        let versions = TimestampMicrosecondArray::from(versions.to_vec()).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(versions),
        ];
        RecordBatch::try_new(schema.clone(), columns).expect("two columns")
    };
    let whole = changes(&vec![Row::default(); 3], &[Operation::Delete; 3]);
    let changes = Changes {
        rows: rows([None, None, Some(9_000)]),
        unset: vec![None, Some(BooleanBuffer::from(vec![true, true, false]))],
        event_times_ms: vec![Some(5), Some(7), Some(1)],
        ..whole
    };
    let target = TargetRows {
        rows: rows([Some(6_000); 3]),
        exists: BooleanBuffer::new_set(3),
        marked: None,
        foreign: vec![None; 2],
    };
    let resolver = resolvers()
        .compile(&policy(NEWEST), &schema, &[0])
        .expect("it fits");
    let decisions = resolver
        .resolve(&ConflictBatch {
            changes: &changes,
            target: &target,
            base: Base::None,
            tombstones: None,
        })
        .expect("it can be decided");
    let expect = [Verdict::Keep, Verdict::Delete, Verdict::Delete];
    assert_eq!(decisions.verdicts, expect);
}

#[test]
fn an_expression_says_who_wins_c2() {
    let by = "strategy={ expression = \"case when source.total > target.total then 'source' when base.total is null then 'manual' else 'target' end\" }";
    check(
        by,
        ["u", "total=2", "total=1", "-"],
        "write total=2 | update_origin_differs source | total",
    );
    check(
        by,
        ["u", "total=1", "total=2", "-"],
        "queue | update_origin_differs manual | total",
    );
    check(
        by,
        ["u", "total=1", "total=2", "total=3"],
        "keep | update_origin_differs target | total",
    );
    // The base of a delete is the deleted row.
    check(
        by,
        ["d", "total=1", "total=2", "-"],
        "keep | delete_origin_differs target | total",
    );
    check(by, ["u", "total=1", "total=!", "-"], "reject R3 exactness");
    let nothing = "strategy={ expression = \"case when source.total > 1 then 'both' end\" }";
    check(
        nothing,
        ["u", "total=2", "total=1", "-"],
        "reject C2 expression",
    );
    check(
        nothing,
        ["u", "total=0", "total=1", "-"],
        "reject C2 expression",
    );
    let failing = "strategy={ expression = \"case when 1 / source.total > 1 then 'source' else 'target' end\" }";
    check(
        failing,
        ["u", "total=0", "total=1", "-"],
        "reject C2 expression",
    );
}

#[test]
fn what_the_types_cannot_say_stays_r3() {
    check(
        TARGET,
        ["u", "name=b total=1", "name=b total=!", "-"],
        "keep | update_origin_differs target | total",
    );
    check(
        SOURCE,
        ["u", "name=b total=1", "name=b total=!", "-"],
        "write name=b total=1 | update_origin_differs source | total",
    );
    check(
        SOURCE,
        ["u", "name=b", "name=b total=!", "-"],
        "write name=b | update_origin_differs source | total",
    );
    check(
        "strategy='target_wins'; columns.name='source_wins'",
        ["u", "name=b total=1", "name=a total=!", "-"],
        "write name=b | update_origin_differs merged | name total",
    );
}
