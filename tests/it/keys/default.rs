//! 8e: where neither the file nor the records name a key, the target's table does.

use serde_json::json;

use super::databases::{Case, PERSON, Records, check, check_refused};

const UNIQUE: &str =
    "CREATE TABLE person (id bigint, name varchar(50), mail varchar(50) NOT NULL UNIQUE)";
const KEYLESS: &str = "CREATE TABLE person (id bigint, name varchar(50), mail varchar(50))";

#[tokio::test(flavor = "multi_thread")]
async fn the_target_s_own_key_is_the_default_r2() {
    let row = |id: u32, name: &str| json!({ "id": id, "name": name, "mail": "m" });
    let create = json!({ "before": null, "after": row(5, "a"), "op": "c" }).to_string();
    let update = json!({ "before": null, "after": row(5, "b"), "op": "u" }).to_string();
    let moved = json!({ "before": row(5, "b"), "after": row(6, "b"), "op": "u" }).to_string();
    let delete = json!({ "before": row(6, "b"), "after": null, "op": "d" }).to_string();
    for (name, lines, expect) in [
        ("update", &[create.as_str(), &update][..], &["5|b|m"][..]),
        ("change of key", &[&create, &update, &moved], &["6|b|m"]),
        ("delete", &[&create, &update, &moved, &delete], &[]),
    ] {
        check(
            name,
            &Case {
                runs: &[Records::Lines(lines)],
                expect,
                ..Case::default()
            },
        )
        .await;
    }
    check(
        "the only unique index that takes no null",
        &Case {
            target: &[UNIQUE],
            runs: &[Records::Lines(&[&create, &moved])],
            expect: &["6|b|m"],
            ..Case::default()
        },
    )
    .await;
    let topic: Vec<_> = [&create, &update]
        .map(|line| (None, Some(line.as_str()), &[][..]))
        .into();
    check(
        "a topic",
        &Case {
            target: &[PERSON],
            runs: &[Records::Topic(&topic)],
            expect: &["5|b|m"],
            ..Case::default()
        },
    )
    .await;
}

/// A table that only the change names: its key is known when the change is written.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_table_that_the_change_names_r2() {
    let row = |id: u32, name: &str| json!({ "id": id, "name": name, "mail": "m" });
    let source = json!({ "table": "person" });
    let create = json!({ "after": row(5, "a"), "op": "c", "source": source }).to_string();
    let update = json!({ "after": row(5, "b"), "op": "u", "source": source }).to_string();
    let moved = json!({ "before": row(5, "b"), "after": row(6, "b"), "op": "u", "source": source });
    check(
        "update",
        &Case {
            runs: &[Records::Lines(&[&create, &update])],
            sink: "table = \"{table}\"",
            expect: &["5|b|m"],
            ..Case::default()
        },
    )
    .await;
    check(
        "a change of key is not taken for an update",
        &Case {
            runs: &[
                Records::Lines(&[&create, &update]),
                Records::Lines(&[&moved.to_string()]),
            ],
            sink: "table = \"{table}\"",
            expect: &["5|b|m"],
            quarantined: 1,
            reason: "key = [",
            ..Case::default()
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_the_pipeline_stops_and_says_what_to_write() {
    let create = json!({ "after": { "id": 5, "name": "a", "mail": "m" }, "op": "c" }).to_string();
    let parts = ["person", "key = ["];
    check_refused(
        "no unique index",
        &Case {
            target: &[KEYLESS],
            runs: &[Records::Lines(&[&create])],
            ..Case::default()
        },
        &parts,
    )
    .await;
    check_refused(
        "no table",
        &Case {
            target: &[],
            runs: &[Records::Lines(&[&create])],
            sink: "table = \"person\"\nevolution = \"evolve\"",
            ..Case::default()
        },
        &parts,
    )
    .await;
}
