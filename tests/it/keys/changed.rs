//! A change of a key (R10), and one that leaves out unchanged values (R14).

use serde_json::json;

use super::databases::{Case, PERSON, Records, check};
use super::{bare_update, wrapped};

const KEYED: &str = "table = \"person\"\nkey = [\"id\"]";

/// 8a: the source names no key, the sink does.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_sink_tells_a_change_of_key_r10() {
    let before = json!({ "id": 5, "name": "a", "mail": "a@x" });
    let after = json!({ "id": 6, "name": "a", "mail": "a@x" });
    let create = wrapped("c", &json!(null), &before);
    let update = wrapped("u", &before, &after);
    check(
        "wrapped",
        &Case {
            runs: &[Records::Lines(&[&create, &update])],
            sink: KEYED,
            expect: &["6|a|a@x"],
            ..Case::default()
        },
    )
    .await;
    check(
        "wrapped, in two runs",
        &Case {
            runs: &[Records::Lines(&[&create]), Records::Lines(&[&update])],
            sink: KEYED,
            expect: &["6|a|a@x"],
            ..Case::default()
        },
    )
    .await;
    let update = bare_update(&before, &after);
    check(
        "bare",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'a@x')"],
            runs: &[Records::Lines(&[&update])],
            sink: KEYED,
            expect: &["6|a|a@x"],
            ..Case::default()
        },
    )
    .await;
    // Only the key stands in the row before.
    let update = bare_update(&json!({ "id": 5 }), &after);
    check(
        "key alone before",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'a@x')"],
            runs: &[Records::Lines(&[&update])],
            sink: KEYED,
            expect: &["6|a|a@x"],
            ..Case::default()
        },
    )
    .await;
    check(
        "a topic without record keys",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'a@x')"],
            runs: &[Records::Topic(&[(None, Some(&update), &[])])],
            sink: KEYED,
            expect: &["6|a|a@x"],
            ..Case::default()
        },
    )
    .await;
}

/// Nobody can tell a change of key where no row before says what it was.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_row_before_an_update_is_a_row() {
    let update =
        json!({ "before": null, "after": { "id": 6, "name": "a", "mail": "m" }, "op": "u" });
    let flat = json!({ "id": 7, "name": "a", "mail": "m" });
    check(
        "no row before",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'm')"],
            runs: &[
                Records::Lines(&[&update.to_string()]),
                Records::Lines(&[&flat.to_string()]),
            ],
            sink: KEYED,
            expect: &["5|a|m", "6|a|m", "7|a|m"],
            ..Case::default()
        },
    )
    .await;
}

/// A map gives the key another name; the row before is mapped, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_key_is_the_key_r10() {
    let update = bare_update(
        &json!({ "number": 5, "name": "a", "mail": "m" }),
        &json!({ "number": 6, "name": "b", "mail": "m" }),
    );
    for (name, operator) in [
        ("renamed", "rename = { number = \"id\" }"),
        (
            "computed",
            "set = { id = \"number + 0\" }\ndrop = [\"number\"]",
        ),
    ] {
        check(
            name,
            &Case {
                target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'm')"],
                runs: &[Records::Lines(&[&update])],
                sink: KEYED,
                source: "schema = { number = \"int64\", name = \"string\", mail = \"string\" }",
                inputs: "tidy",
                more: &format!("[operators.tidy]\ntype = \"map\"\ninputs = [\"crm\"]\n{operator}"),
                expect: &["6|b|m"],
                ..Case::default()
            },
        )
        .await;
    }
}

const PEOPLE: &str =
    "CREATE TABLE people (id bigint, name varchar(50), mail varchar(50) PRIMARY KEY)";

/// Two sinks with different keys: to one of them it is a change of key, to the other an update.
#[tokio::test(flavor = "multi_thread")]
async fn every_sink_has_its_own_key_r10() {
    let before = json!({ "id": 5, "name": "a", "mail": "a@x" });
    let mailed = bare_update(&before, &json!({ "id": 5, "name": "b", "mail": "b@x" }));
    let numbered = bare_update(
        &json!({ "id": 5, "name": "b", "mail": "b@x" }),
        &json!({ "id": 6, "name": "b", "mail": "b@x" }),
    );
    let target = &[
        PERSON,
        PEOPLE,
        "INSERT INTO person VALUES (5, 'a', 'a@x')",
        "INSERT INTO people VALUES (5, 'a', 'a@x')",
    ];
    let more = "[sinks.other]\ninputs = [\"crm\"]\nTARGET\ntable = \"people\"\nkey = [\"mail\"]";
    let query = "SELECT id, name, mail FROM person UNION ALL SELECT id, name, mail FROM people";
    for (name, lines, expect) in [
        ("one key", &[mailed.as_str()][..], &["5|b|b@x", "5|b|b@x"]),
        (
            "both keys",
            &[mailed.as_str(), numbered.as_str()],
            &["6|b|b@x", "6|b|b@x"],
        ),
    ] {
        check(
            name,
            &Case {
                target,
                runs: &[Records::Lines(lines)],
                sink: KEYED,
                more,
                query,
                expect,
                ..Case::default()
            },
        )
        .await;
    }
    // The records name a key that is not the sink's.
    let key = Some(r#"{"id":5}"#);
    check(
        "a record key",
        &Case {
            target: &[PEOPLE, "INSERT INTO people VALUES (5, 'a', 'a@x')"],
            runs: &[Records::Topic(&[(key, Some(&mailed), &[])])],
            sink: "table = \"people\"\nkey = [\"mail\"]",
            query: "SELECT id, name, mail FROM people",
            expect: &["5|b|b@x"],
            ..Case::default()
        },
    )
    .await;
}

const LARGE: &str = "__debezium_unavailable_value";

/// 8c: the value that the target has under the old key moves with the row.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_value_moves_with_its_row_r14() {
    let target = &[PERSON, "INSERT INTO person VALUES (5, 'a', 'large')"];
    let update = bare_update(
        &json!({ "id": 5 }),
        &json!({ "id": 6, "name": "b", "mail": LARGE }),
    );
    for (name, sink) in [
        ("source_wins", KEYED.to_owned()),
        (
            "soft",
            format!("{KEYED}\ndelete = \"soft\"\nevolution = \"evolve\""),
        ),
        (
            "merge",
            format!("{KEYED}\nconflict = {{ strategy = \"merge\" }}"),
        ),
        (
            "target_wins",
            format!("{KEYED}\nconflict = {{ strategy = \"target_wins\", detect = \"before\" }}"),
        ),
    ] {
        check(
            name,
            &Case {
                target,
                runs: &[Records::Lines(&[&update])],
                sink: &sink,
                query: "SELECT id, name, mail FROM person WHERE id = 6",
                expect: &["6|b|large"],
                ..Case::default()
            },
        )
        .await;
    }
    let again = bare_update(
        &json!({ "id": 6 }),
        &json!({ "id": 7, "name": "c", "mail": LARGE }),
    );
    let back = bare_update(
        &json!({ "id": 7 }),
        &json!({ "id": 5, "name": "d", "mail": LARGE }),
    );
    let create =
        json!({ "before": null, "after": { "id": 1, "name": "x", "mail": "new" }, "op": "c" });
    let moved = bare_update(
        &json!({ "id": 1 }),
        &json!({ "id": 2, "name": "y", "mail": LARGE }),
    );
    check(
        "a chain that ends where it began, and a row of the same batch",
        &Case {
            target,
            runs: &[Records::Lines(&[
                &update,
                &again,
                &create.to_string(),
                &back,
                &moved,
            ])],
            sink: KEYED,
            expect: &["2|y|new", "5|d|large"],
            ..Case::default()
        },
    )
    .await;
    // Of a source with `[sources].key`.
    check(
        "key of the source",
        &Case {
            target,
            runs: &[Records::Lines(&[&update])],
            source: "key = [\"id\"]",
            expect: &["6|b|large"],
            ..Case::default()
        },
    )
    .await;
}

/// Debezium's own form: a delete, its tombstone and a create, whose headers say the other key.
#[tokio::test(flavor = "multi_thread")]
async fn debezium_s_two_records_are_one_change_of_key_r14() {
    let old = Some(r#"{"id":5}"#);
    let new = Some(r#"{"id":6}"#);
    let delete =
        json!({ "before": { "id": 5, "name": null, "mail": null }, "after": null, "op": "d" });
    let delete = delete.to_string();
    let create =
        json!({ "before": null, "after": { "id": 6, "name": "b", "mail": LARGE }, "op": "c" });
    let create = create.to_string();
    let to: &[(&str, &str)] = &[("__debezium.newkey", r#"{"id":6}"#)];
    let from: &[(&str, &str)] = &[("__debezium.oldkey", r#"{"id":5}"#)];
    let from_wrapped: &[(&str, &str)] = &[(
        "__debezium.oldkey",
        r#"{"schema":{"type":"struct"},"payload":{"id":5}}"#,
    )];
    let target = &[PERSON, "INSERT INTO person VALUES (5, 'a', 'large')"];
    for from in [from, from_wrapped] {
        check(
            "one batch",
            &Case {
                target,
                runs: &[Records::Topic(&[
                    (old, Some(&delete), to),
                    (old, None, &[]),
                    (new, Some(&create), from),
                ])],
                expect: &["6|b|large"],
                ..Case::default()
            },
        )
        .await;
    }
    check(
        "the create first, as from another partition",
        &Case {
            target,
            runs: &[Records::Topic(&[
                (new, Some(&create), from),
                (old, Some(&delete), to),
                (old, None, &[]),
            ])],
            expect: &["6|b|large"],
            ..Case::default()
        },
    )
    .await;
    // The row of that key may be another one by the time that the delete comes.
    check(
        "the create in a write before that of the delete",
        &Case {
            target,
            runs: &[
                Records::Topic(&[(new, Some(&create), from)]),
                Records::Topic(&[(old, Some(&delete), to), (old, None, &[])]),
            ],
            expect: &[],
            quarantined: 1,
            reason: "under the key that it had before",
            ..Case::default()
        },
    )
    .await;
    // The old key is taken again by another row, in the same batch.
    let again =
        json!({ "before": null, "after": { "id": 5, "name": "z", "mail": "other" }, "op": "c" });
    check(
        "the old key is taken again",
        &Case {
            target,
            runs: &[Records::Topic(&[
                (old, Some(&delete), to),
                (old, None, &[]),
                (old, Some(&again.to_string()), &[]),
                (new, Some(&create), from),
            ])],
            expect: &["5|z|other", "6|b|large"],
            ..Case::default()
        },
    )
    .await;
    check(
        "the delete was written before",
        &Case {
            target,
            runs: &[
                Records::Topic(&[(old, Some(&delete), to), (old, None, &[])]),
                Records::Topic(&[(new, Some(&create), from)]),
            ],
            expect: &[],
            quarantined: 1,
            reason: "under the key that it had before",
            ..Case::default()
        },
    )
    .await;
}
