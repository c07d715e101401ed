//! Conflicts that wait for a person (C9): what is queued and what waits, and `syncline conflicts
//! resolve`, on every target with a queue.
//! Longer than 400 lines: one story after another on the same two databases.

mod queue;

use serde_json::{Value, json};

use self::queue::{Queue, expect, json_of};
use crate::harness::{DEADLINE, eventually};

const MANUAL: &str = "strategy = \"manual\"";

#[tokio::test(flavor = "multi_thread")]
async fn later_changes_wait_and_are_replayed_in_order_c9() {
    for each in Queue::all(MANUAL).await {
        changes_of_the_key_wait_and_others_flow(&each).await;
        every_decision_is_carried_out(&each).await;
        what_is_left_is_decided_as_before(&each).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_that_fails_changes_nothing_c9() {
    for each in Queue::all(MANUAL).await {
        refusals_leave_everything_as_it_was(&each).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_waits_as_an_update_does_c9() {
    for each in Queue::all(MANUAL).await {
        deletes_wait(&each).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_person_decides_queues_the_whole_change_c9() {
    let conflict = "strategy = \"newest_wins\"\nversion = \"version\"\ncolumns.name = \"manual\"";
    for each in Queue::all(conflict).await {
        columns_ask_only_where_both_changed_them(&each).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_disputes_merges_whatever_a_person_decides_c9() {
    let conflict = "strategy = \"merge\"\ncolumns.amount = \"manual\"";
    for queue in Queue::all(conflict).await {
        // Both sides changed the amount; the name was changed by the source, or by the target.
        let cases: [(&str, &str, &[&str], &str); 5] = [
            ("old", "new", &["--set", "amount=450"], "new|450"),
            ("old", "new", &["--take", "source"], "new|15"),
            ("own", "old", &["--take", "source"], "own|15"),
            ("old", "new", &["--take", "target"], "new|12"),
            ("own", "old", &["--take", "base"], "own|10"),
        ];
        let mut events = Vec::new();
        for (id, (held, sent, ..)) in (1..).zip(cases) {
            queue.hold(id, held, 12).await;
            events.push(event("u", &row(id, "old", 10, 5), &row(id, sent, 15, 5)));
        }
        let balance = queue.run(&events).await;
        assert_eq!(balance["queued"], 5, "{balance}");
        for (id, (held, _, decision, expect_row)) in (1..).zip(cases) {
            assert_eq!(queue.row(id).await, format!("{held}|12"), "it waits");
            let entry = queue.entry_of(id).await;
            let finished = queue
                .conflicts(&[&["resolve", &entry], decision].concat())
                .await;
            expect(&finished, 0, &["resolved"]);
            assert_eq!(
                queue.row(id).await,
                expect_row,
                "{} {decision:?}",
                queue.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_while_the_pipeline_writes_c9() {
    for each in Queue::all(MANUAL).await {
        nothing_is_lost_between_a_person_and_the_pipeline(&each).await;
    }
}

/// A decision and its expected result.
struct Decision {
    arguments: &'static [&'static str],
    row: &'static str,
    replayed: u64,
    waiting: u64,
    shown: &'static str,
}

/// One for each key from 1; every key has the same history.
const DECISIONS: [Decision; 6] = [
    Decision {
        arguments: &["--take", "source"],
        row: "newest|17",
        replayed: 2,
        waiting: 0,
        shown: "resolved: source by ann at 20",
    },
    Decision {
        arguments: &["--take", "target"],
        row: "own|12",
        replayed: 0,
        waiting: 2,
        shown: "resolved: target by ann at 20",
    },
    Decision {
        arguments: &["--take", "base"],
        row: "old|10",
        replayed: 0,
        waiting: 2,
        shown: "resolved: base by ann at 20",
    },
    Decision {
        arguments: &["--set", "name=said"],
        row: "said|12",
        replayed: 0,
        waiting: 2,
        shown: "resolved: target, set name by ann at 20",
    },
    Decision {
        arguments: &["--take", "base", "--set", "name=new", "--set", "amount=15"],
        row: "newest|17",
        replayed: 2,
        waiting: 0,
        shown: "resolved: base, set name, amount by ann at 20",
    },
    Decision {
        arguments: &["--skip"],
        row: "own|12",
        replayed: 0,
        waiting: 2,
        shown: "skipped: skip by ann at 20",
    },
];

async fn changes_of_the_key_wait_and_others_flow(queue: &Queue) {
    let keys = 1..=DECISIONS.len() as i64;
    for id in keys.clone() {
        queue.hold(id, "own", 12).await;
    }
    queue.hold(20, "a", 1).await;
    let mut events = Vec::new();
    for id in keys.clone() {
        events.push(update(id, ("old", 10), ("new", 15)));
        events.push(update(id, ("new", 15), ("newer", 16)));
    }
    events.push(update(20, ("a", 1), ("b", 2)));
    let balance = queue.run(&events).await;
    assert_eq!(balance["written"], 1, "{balance}");
    assert_eq!(balance["kept"], 12, "{balance}");
    assert_eq!(balance["queued"], 12, "{balance}");

    // In the next run the key is still blocked.
    let mut events: Vec<Value> = keys
        .clone()
        .map(|id| update(id, ("newer", 16), ("newest", 17)))
        .collect();
    events.push(update(20, ("b", 2), ("c", 3)));
    let balance = queue.run(&events).await;
    assert_eq!(balance["written"], 1, "{balance}");
    assert_eq!(balance["queued"], 6, "{balance}");

    for id in keys {
        assert_eq!(
            queue.row(id).await,
            "own|12",
            "{}: nobody decided",
            queue.name
        );
    }
    assert_eq!(queue.row(20).await, "c|3");
    let open = queue.open().await;
    assert_eq!(open.len(), DECISIONS.len());
    for entry in &open {
        assert_eq!(entry["waiting"], 2, "{entry}");
        assert_eq!(entry["kind"], "update_origin_differs");
        let names = ["base", "source", "target"].map(|side| &entry["rows"][side]["name"]);
        assert_eq!(names, ["old", "new", "own"], "{entry}");
    }
    let show = queue.conflicts(&["show", &queue.entry_of(1).await]).await;
    let side_by_side = "*  name     \"old\"  \"new\"   \"own\"   manual";
    expect(&show, 0, &[side_by_side, "2 later changes of the key"]);
}

async fn every_decision_is_carried_out(queue: &Queue) {
    for (id, decision) in (1..).zip(&DECISIONS) {
        let entry = queue.entry_of(id).await;
        let before = chrono::Utc::now().timestamp_millis();
        let arguments = [
            &["resolve", &entry, "--by", "ann", "--json"],
            decision.arguments,
        ]
        .concat();
        let finished = queue.conflicts(&arguments).await;
        let after = chrono::Utc::now().timestamp_millis();
        expect(&finished, 0, &[]);
        let said = json_of(&finished);
        let label = format!("{} {:?}: {said}", queue.name, decision.arguments);
        assert_eq!(said["replayed"], decision.replayed, "{label}");
        assert_eq!(said["waiting"], decision.waiting, "{label}");
        assert_eq!(said["entry"]["resolved_by"], "ann", "{label}");
        let at = said["entry"]["resolved_at_ms"].as_i64().expect("a time");
        assert!((before..=after).contains(&at), "{label}");
        assert_eq!(queue.row(id).await, decision.row, "{label}");
        let show = queue.conflicts(&["show", &entry]).await;
        expect(&show, 0, &[decision.shown]);

        // A new conflict gets an entry of its own, and the remaining changes wait for it.
        let open: Vec<Value> = queue.open().await;
        let again = open.iter().find(|other| other["key"]["id"] == id);
        match again {
            Some(again) => {
                assert_eq!(decision.waiting, 2, "{label}");
                assert_ne!(again["id"], entry, "{label}");
                assert_eq!(again["waiting"], 1, "{label}");
                assert_eq!(again["rows"]["source"]["name"], "newer", "{label}");
                let held = decision.row.split('|').next();
                assert_eq!(again["rows"]["target"]["name"].as_str(), held, "{label}");
            }
            None => assert_eq!(decision.waiting, 0, "{label}"),
        }
    }
}

async fn what_is_left_is_decided_as_before(queue: &Queue) {
    for entry in queue.open().await {
        let id = entry["id"].as_str().expect("an id").to_owned();
        let finished = queue.conflicts(&["resolve", &id, "--take", "source"]).await;
        expect(&finished, 0, &["1 later changes of the key were applied"]);
        // Without `--by`, the user of the shell decides.
        let show = queue.conflicts(&["show", &id]).await;
        expect(&show, 0, &["resolved: source by ben at 20"]);
    }
    for id in 1..=DECISIONS.len() as i64 {
        assert_eq!(queue.row(id).await, "newest|17", "{} {id}", queue.name);
    }
    let list = queue.conflicts(&["list"]).await;
    expect(&list, 0, &["0 open conflicts"]);
    assert_eq!(queue.count("_syncline_conflict_waiting").await, "0");

    // Changes of the key are applied again.
    let balance = queue.run(&[update(2, ("newest", 17), ("last", 18))]).await;
    assert_eq!(balance["written"], 1, "{balance}");
    assert_eq!(queue.row(2).await, "last|18");
}

async fn refusals_leave_everything_as_it_was(queue: &Queue) {
    for id in 1..=3 {
        queue.hold(id, "own", 12).await;
    }
    queue
        .run(&[
            update(1, ("old", 10), ("new", -5)),
            update(1, ("new", -5), ("newer", 1)),
            event("u", &Value::Null, &row(2, "new", 1, 6)),
            update(3, ("old", 10), ("new", 5)),
            update(3, ("new", 5), ("new", -7)),
        ])
        .await;
    let [first, second, third] = [
        queue.entry_of(1).await,
        queue.entry_of(2).await,
        queue.entry_of(3).await,
    ];
    let refused = "the target rejects the row; nothing was changed";
    let cases: [(&[&str], i32, &str); 10] = [
        (&[&first, "--take", "source"], 1, refused),
        (&[&first, "--set", "amount=-1"], 1, refused),
        // The row is valid, but a change that waited is not.
        (&[&third, "--take", "source"], 1, refused),
        (&[&first, "--set", "colour=red"], 2, "colour"),
        (&[&first, "--set", "amount=many"], 2, "amount"),
        (&[&first, "--set", "id=7"], 2, "part of the key"),
        (&[&second, "--take", "base"], 2, "has no base"),
        (&[&first, "--skip", "--take", "source"], 2, "--skip"),
        (&[&first], 2, "--take"),
        (&["99", "--skip"], 1, "there is no conflict 99"),
    ];
    let before = queue.everything().await;
    for (arguments, code, part) in cases {
        let finished = queue.conflicts(&[&["resolve"], arguments].concat()).await;
        expect(&finished, code, &[part]);
        assert_eq!(
            queue.everything().await,
            before,
            "{} {arguments:?}",
            queue.name
        );
    }

    // A row that the target accepts, but only once.
    let resolve = ["resolve", &first, "--set", "amount=3"];
    expect(
        &queue.conflicts(&resolve).await,
        0,
        &["resolved (target, set amount)"],
    );
    assert_eq!(queue.row(1).await, "own|3");
    let before = queue.everything().await;
    for again in [
        &resolve[..],
        &["resolve", &first, "--take", "source"],
        &["skip", &first],
    ] {
        let finished = queue.conflicts(again).await;
        expect(&finished, 2, &["is not open any more"]);
        assert_eq!(queue.everything().await, before, "{} {again:?}", queue.name);
    }
}

async fn deletes_wait(queue: &Queue) {
    for id in 1..=2 {
        queue.hold(id, "own", 12).await;
    }
    let events = [1, 2].map(|id| {
        [
            event("d", &row(id, "old", 10, 3), &Value::Null),
            event("c", &Value::Null, &row(id, "anew", 1, 4)),
        ]
    });
    let balance = queue.run(&events.concat()).await;
    assert_eq!(balance["queued"], 4, "{balance}");
    let first = queue.entry_of(1).await;
    let show = queue.conflicts(&["show", &first]).await;
    expect(
        &show,
        0,
        &["delete_origin_differs", "1 later changes of the key"],
    );

    // The delete is applied, and the key is created again.
    let finished = queue
        .conflicts(&["resolve", &first, "--take", "source"])
        .await;
    expect(&finished, 0, &["1 later changes of the key were applied"]);
    assert_eq!(queue.row(1).await, "anew|1");

    // The row is kept, so the create meets it.
    let second = queue.entry_of(2).await;
    let finished = queue
        .conflicts(&["resolve", &second, "--take", "target"])
        .await;
    expect(&finished, 0, &["are in a new conflict"]);
    assert_eq!(queue.row(2).await, "own|12");
    let open = queue.open().await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["kind"], "insert_exists");
}

async fn nothing_is_lost_between_a_person_and_the_pipeline(queue: &Queue) {
    const CLIENTS: i64 = 6;
    const TURNS: i64 = 40;
    for id in 1..=CLIENTS {
        queue.hold(id, "0", 0).await;
    }
    let mut process = queue.pipeline.start(&[]);
    let turn = |turn: i64| -> Vec<Value> {
        let name = |turn: i64| turn.to_string();
        (1..=CLIENTS)
            .map(|id| update(id, (&name(turn), turn), (&name(turn + 1), turn + 1)))
            .collect()
    };
    let mut resolved = 0;
    for number in 0..TURNS {
        queue.append(&turn(number));
        // One client edits a row, another decides the conflicts of earlier edits.
        if number % 4 == 0 {
            let id = 1 + number / 4 % CLIENTS;
            let edit = format!("UPDATE clients SET name = 'own' WHERE id = {id}");
            queue.database.execute(&edit).await;
        } else {
            resolved += take_source(queue).await;
        }
        process.expect_running();
    }
    let last = format!("{TURNS}|{TURNS}");
    eventually("the last change of each client", DEADLINE, async || {
        process.expect_running();
        resolved += take_source(queue).await;
        let mut differing = Vec::new();
        for id in 1..=CLIENTS {
            let row = queue.row(id).await;
            if row != last {
                differing.push((id, row));
            }
        }
        if differing.is_empty() {
            Ok(())
        } else {
            Err(differing)
        }
    })
    .await;
    assert!(resolved > 3, "{}: a person had to decide", queue.name);
    assert_eq!(queue.open().await.len(), 0);
    assert_eq!(queue.count("_syncline_conflict_waiting").await, "0");
    process.terminate();
    process.wait(DEADLINE).await;
}

/// Decides all conflicts for the source; returns their number.
async fn take_source(queue: &Queue) -> u64 {
    let open = queue.open().await;
    for entry in &open {
        let id = entry["id"].as_str().expect("an id");
        let finished = queue.conflicts(&["resolve", id, "--take", "source"]).await;
        expect(&finished, 0, &["resolved (source)"]);
    }
    open.len() as u64
}

async fn columns_ask_only_where_both_changed_them(queue: &Queue) {
    for (id, name) in [(1, "own"), (2, "old"), (3, "own")] {
        queue.hold(id, name, 12).await;
    }
    let old = |id| row(id, "old", 10, 3);
    let balance = queue
        .run(&[
            event("u", &old(1), &row(1, "new", 15, 6)),
            event("u", &old(2), &row(2, "new", 15, 6)),
            event("u", &old(3), &row(3, "old", 15, 6)),
        ])
        .await;
    assert_eq!(balance["queued"], 1, "{balance}");
    assert_eq!(balance["written"], 2, "{balance}");
    // The amount is not asked for either: the source's version is newer.
    assert_eq!(queue.row(1).await, "own|12");
    assert_eq!(
        queue.row(2).await,
        "new|15",
        "only the source changed the name"
    );
    assert_eq!(queue.row(3).await, "own|15", "only the target did");
    let entry = queue.entry_of(1).await;
    let finished = queue
        .conflicts(&["resolve", &entry, "--take", "source", "--set", "name=said"])
        .await;
    expect(&finished, 0, &["resolved (source, set name)"]);
    assert_eq!(queue.row(1).await, "said|15");
}

fn row(id: i64, name: &str, amount: i64, version: i64) -> Value {
    json!({ "id": id, "name": name, "amount": amount, "version": version })
}

fn event(operation: &str, before: &Value, after: &Value) -> Value {
    json!({ "before": before, "after": after, "source": { "table": "clients" }, "op": operation, "ts_ms": 1 })
}

/// An update of name and amount without a change of the version.
fn update(id: i64, before: (&str, i64), after: (&str, i64)) -> Value {
    let [before, after] = [before, after].map(|(name, amount)| row(id, name, amount, 5));
    event("u", &before, &after)
}
