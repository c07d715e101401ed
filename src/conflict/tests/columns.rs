//! Column by column: three-way (C2), each strategy, and sums (C8).
//! Longer than 400 lines: one list of cases.

use super::*;

const MERGE: &str = "strategy='merge'";
const NEWEST: &str = "strategy='merge'; version='v'";

#[test]
fn changed_on_one_side_only_takes_that_side_c2() {
    check(
        MERGE,
        ["u", "name=b total=1", "name=a total=2", "name=a total=1"],
        "write name=b total=2 | update_origin_differs merged",
    );
    check(
        MERGE,
        ["u", "name=a total=1", "name=a total=2", "name=a total=1"],
        "keep | update_origin_differs target",
    );
    // Both sides made the same edit.
    check(
        MERGE,
        ["u", "name=b total=2", "name=b total=2", "name=a total=1"],
        "same",
    );
    // Both sides changed the column: the tie or the version decides.
    let both = ["u", "name=b", "name=c", "name=a"];
    check(MERGE, both, "keep | update_origin_differs target | name");
    check(
        "strategy='merge'; tie='source'",
        both,
        "write name=b | update_origin_differs source | name",
    );
    check(
        NEWEST,
        [
            "u",
            "name=b total=1 v=3",
            "name=c total=2 v=2",
            "name=a total=1 v=1",
        ],
        "write name=b total=2 v=3 | update_origin_differs merged | name v",
    );
    // A null is a value if the base is known …
    check(
        MERGE,
        ["u", "total=1", "name=a total=2", "name=a total=1"],
        "write total=2 | update_origin_differs merged",
    );
    // … and loses against a value if it is unknown.
    check(
        MERGE,
        ["u", "name=b", "total=2", "-"],
        "write name=b total=2 | update_origin_differs merged | name total",
    );
    check(
        MERGE,
        ["u", "name=b", "total=2", "name=? total=?"],
        "write name=b total=2 | update_origin_differs merged | name total",
    );
    // A column that the source did not send.
    check(
        MERGE,
        [
            "u",
            "name=? total=3 v=1",
            "name=c total=1 v=2",
            "name=a total=1 v=1",
        ],
        "write name=c total=3 v=2 | update_origin_differs merged",
    );
    check(
        MERGE,
        ["c", "name=b", "name=c", "-"],
        "keep | insert_exists target | name",
    );
    check(
        MERGE,
        ["u", "name=b total=3", "name=a total=!", "name=a total=3"],
        "write name=b | update_origin_differs merged",
    );
}

#[test]
fn a_column_has_a_strategy_of_its_own_c2() {
    let own = "strategy='target_wins'; columns.name='source_wins'";
    check(
        own,
        ["u", "name=b total=1", "name=a total=2", "-"],
        "write name=b total=2 | update_origin_differs merged | name total",
    );
    check(
        own,
        ["u", "name=b", "name=a", "-"],
        "write name=b | update_origin_differs source | name",
    );
    let own = "strategy='source_wins'; columns.name='target_wins'";
    check(
        own,
        ["u", "name=b", "name=a", "-"],
        "keep | update_origin_differs target | name",
    );
    check(
        own,
        ["u", "name=b total=1", "name=a", "-"],
        "write name=a total=1 | update_origin_differs merged | name total",
    );
    // Changed on one side only.
    check(
        own,
        ["u", "name=b total=1", "name=a total=2", "name=a"],
        "write name=b total=1 | update_origin_differs source | total",
    );
    let own = "strategy='source_wins'; version='v'; columns.name='newest_wins'; columns.total='oldest_wins'";
    check(
        own,
        ["u", "name=b total=1 v=2", "name=a total=2 v=1", "-"],
        "write name=b total=2 v=2 | update_origin_differs merged | name total v",
    );
    let own = "strategy='source_wins'; columns.name='manual'";
    check(
        own,
        ["u", "name=b total=1", "name=a", "-"],
        "queue | update_origin_differs manual | name total",
    );
    check(
        own,
        ["u", "name=a total=1", "name=a", "-"],
        "write name=a total=1 | update_origin_differs source | total",
    );
    check(
        own,
        ["u", "name=b total=1", "name=a total=2", "name=a"],
        "write name=b total=1 | update_origin_differs source | total",
    );
    let own = "strategy='source_wins'; columns.name='coalesce'";
    check(
        own,
        ["u", "total=1", "name=a", "-"],
        "write name=a total=1 | update_origin_differs merged | name total",
    );
    check(
        own,
        ["u", "name=b", "name=a", "-"],
        "write name=b | update_origin_differs source | name",
    );
    let own = "strategy='source_wins'; columns.total={ expression = \"greatest(source.total, target.total) * 10\" }";
    check(
        own,
        ["u", "total=1", "total=2", "-"],
        "write total=20 | update_origin_differs merged | total",
    );
    check(own, ["u", "total=1", "total=!", "-"], "reject R3 exactness");
    let own = "strategy='source_wins'; columns.total={ expression = \"source.name\" }";
    check(
        own,
        ["u", "name=7 total=1", "name=7 total=2", "-"],
        "write name=7 total=7 | update_origin_differs merged | total",
    );
    check(
        own,
        ["u", "name=x total=1", "name=x total=2", "-"],
        "reject C2 expression",
    );
    check(
        own,
        ["u", "name=? total=1", "name=7 total=2", "-"],
        "write name=7 total=7 | update_origin_differs merged | total",
    );
}

#[test]
fn the_larger_and_the_smaller_c2() {
    let max = "strategy='source_wins'; columns.total='max'; columns.name='max'";
    check(
        max,
        ["u", "total=10 name=9", "total=9 name=10", "-"],
        "write name=9 total=10 | update_origin_differs source | name total",
    );
    check(
        max,
        ["u", "total=8", "total=9", "-"],
        "keep | update_origin_differs target | total",
    );
    check(
        max,
        ["u", "name=a", "total=9 name=a", "-"],
        "keep | update_origin_differs target | total",
    );
    check(
        max,
        ["u", "total=-1", "name=b", "-"],
        "write name=b total=-1 | update_origin_differs merged | name total",
    );
    check(max, ["u", "total=1", "total=!", "-"], "reject R3 exactness");
    let min = "strategy='source_wins'; columns.total='min'";
    check(
        min,
        ["u", "total=10", "total=9", "-"],
        "keep | update_origin_differs target | total",
    );
    check(
        min,
        ["u", "total=8", "total=9", "-"],
        "write total=8 | update_origin_differs source | total",
    );
    check(
        min,
        ["u", "", "total=9", "-"],
        "keep | update_origin_differs target | total",
    );
    check(
        min,
        ["u", "total=9", "", "-"],
        "write total=9 | update_origin_differs source | total",
    );
}

#[test]
fn what_both_added_is_added_c8() {
    let sum = "strategy='source_wins'; columns.total='sum'";
    check(
        sum,
        ["u", "total=15", "total=12", "total=10"],
        "write total=17 | update_origin_differs merged | total",
    );
    // The same increment on both sides is added twice.
    check(
        sum,
        ["u", "total=15", "total=15", "total=10"],
        "write total=20 | update_origin_differs merged | total",
    );
    check(
        sum,
        ["u", "total=15", "total=10", "total=10"],
        "write total=15",
    );
    check(
        sum,
        ["u", "total=10", "total=12", "total=10"],
        "keep | update_origin_differs target",
    );
    check(
        sum,
        ["u", "total=5", "total=3", "name=x"],
        "write total=8 | update_origin_differs merged | total",
    );
    check(
        sum,
        ["u", "", "total=3", "total=2"],
        "write total=1 | update_origin_differs merged | total",
    );
    // A create has no base: the whole value is added.
    check(
        sum,
        ["c", "total=5", "total=3", "-"],
        "write total=8 | insert_exists merged | total",
    );
    check(
        sum,
        ["c", "total=0", "total=3", "-"],
        "keep | insert_exists target | total",
    );
    check(sum, ["u", "total=5", "total=3", "-"], "reject C8 sum");
    check(sum, ["u", "total=5", "total=3", "total=?"], "reject C8 sum");
    check(
        sum,
        ["u", "total=5", "total=!", "total=3"],
        "reject R3 exactness",
    );
    let most = i64::MAX;
    check(
        sum,
        ["u", &format!("total={most}"), "total=12", "total=10"],
        "reject C8 sum",
    );
}

#[test]
fn texts_lists_and_documents_are_joined_c2() {
    let concat = "strategy='source_wins'; columns.name='concat'; separator='+'";
    check(
        concat,
        ["u", "name=b", "name=a", "-"],
        "write name=a+b | update_origin_differs merged | name",
    );
    check(
        concat,
        ["u", "", "name=a", "-"],
        "keep | update_origin_differs target | name",
    );
    check(
        concat,
        ["u", "name=b", "", "-"],
        "write name=b | update_origin_differs source | name",
    );
    let union = "strategy='source_wins'; columns.items='union'; columns.doc='union'";
    check(
        union,
        ["u", "items=3,1,4", "items=1,2", "-"],
        "write items=[1, 2, 3, 4] | update_origin_differs merged | items",
    );
    check(
        union,
        ["u", "items=1", "items=1,2", "-"],
        "keep | update_origin_differs target | items",
    );
    check(
        union,
        ["u", "items=2,1,2", "items=", "-"],
        "write items=[2, 1, 2] | update_origin_differs source | items",
    );
    check(
        union,
        ["u", "items=2", "", "-"],
        "write items=[2] | update_origin_differs source | items",
    );
    check(
        union,
        ["u", "doc=[1.0,2,{\"a\":1}]", "doc=[1,3,{\"a\":1.0}]", "-"],
        "write doc=[1,3,{\"a\":1.0},2] | update_origin_differs merged | doc",
    );
    check(union, ["u", "doc={}", "doc=[1]", "-"], "reject C2 union");
    let merge = "strategy='source_wins'; columns.doc='json_merge'";
    check(
        merge,
        ["u", "doc={\"a\":1,\"b\":2}", "doc={\"c\":3,\"b\":1}", "-"],
        "write doc={\"c\":3,\"b\":2,\"a\":1} | update_origin_differs merged | doc",
    );
    // Three-way: removed by one side, changed by the other, and nested.
    check(
        merge,
        [
            "u",
            "doc={\"a\":1,\"deep\":{\"x\":2,\"y\":1}}",
            "doc={\"a\":1,\"gone\":1,\"deep\":{\"x\":1,\"y\":1,\"z\":3}}",
            "doc={\"a\":0,\"gone\":1,\"deep\":{\"x\":1,\"y\":1}}",
        ],
        "write doc={\"a\":1,\"deep\":{\"x\":2,\"y\":1,\"z\":3}} | update_origin_differs merged | doc",
    );
    check(
        merge,
        ["u", "doc={\"a\":2}", "doc={\"a\":3}", "doc={\"a\":1}"],
        "write doc={\"a\":2} | update_origin_differs source | doc",
    );
    check(
        merge,
        ["u", "doc=[1]", "doc={\"a\":3}", "-"],
        "write doc=[1] | update_origin_differs source | doc",
    );
    // The order of keys and trailing zeros of a number are no difference.
    check(
        merge,
        ["u", "doc={\"a\":1,\"b\":2}", "doc={\"b\":2.0,\"a\":1}", "-"],
        "same",
    );
    check(
        merge,
        ["u", "doc={\"a\":1}", "doc=!", "-"],
        "reject R3 exactness",
    );
}

#[test]
fn hashes_tell_which_side_changed() {
    let policy =
        policy("strategy='merge'; base='shadow_hash'; columns.name='concat'; separator='+'");
    let check = |case: [&str; 4], expect: &str| {
        let [operation, source, target, base] = case;
        let case = Case::of(operation, source, target, base);
        assert_eq!(shown(&decide(&policy, &[case], true), 0), expect);
    };
    check(
        ["u", "name=b total=1", "name=a total=2", "name=a total=1"],
        "write name=b total=2 | update_origin_differs merged",
    );
    check(
        ["u", "name=b", "name=a", "name="],
        "write name=a+b | update_origin_differs merged | name",
    );
    check(["u", "name=b", "name=b", "name=a"], "same");
    check(
        ["u", "name=b", "name=a", "name=?"],
        "write name=a+b | update_origin_differs merged | name",
    );
    check(
        ["u", "", "name=a", ""],
        "keep | update_origin_differs target",
    );
    check(
        ["u", "doc={\"a\":1}", "doc={\"a\":2}", "doc={\"a\":1.0}"],
        "keep | update_origin_differs target",
    );
}

#[test]
fn deciding_again_changes_nothing() {
    for settings in [
        "strategy='source_wins'",
        "strategy='target_wins'",
        "strategy='newest_wins'; version='v'",
        "strategy='merge'; version='v'",
        "strategy='coalesce'",
        "strategy='merge'; columns.total='max'; columns.items='union'; columns.doc='json_merge'",
    ] {
        let policy = policy(settings);
        let case = Case::of(
            "u",
            "name=b total=1 doc={\"a\":1} items=1,2 v=3",
            "name=c total=2 doc={\"b\":1} items=2,3 v=2",
            "-",
        );
        let once = decide(&policy, std::slice::from_ref(&case), false);
        let changes = changes(std::slice::from_ref(&case.source), &[Operation::Update]);
        let target = TargetRows {
            rows: once.rows.clone(),
            ..held(std::slice::from_ref(&case.target))
        };
        let batch = ConflictBatch {
            changes: &changes,
            target: &target,
            base: Base::None,
            tombstones: None,
        };
        let resolver = resolvers()
            .compile(&policy, &schema(), &[0])
            .expect("it fits");
        let twice = resolver.resolve(&batch).expect("it can be decided");
        assert_eq!(once.rows, twice.rows, "{settings}");
        assert_ne!(twice.verdicts[0], Verdict::Write, "{settings}");
    }
}
