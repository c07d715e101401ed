//! 8b: a tombstone whose delete was not seen.

use serde_json::json;

use super::databases::{Case, PERSON, Records, check};

const ANY_TABLE: &str = "table = \"{table}\"\nevolution = \"evolve\"";
const ID: Option<&str> = Some(r#"{"id":5}"#);

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_names_no_table_makes_none_r12() {
    let row = |id: u32, operation: &str| {
        let row = json!({ "id": id, "name": "a", "mail": "m" });
        json!({ "before": null, "after": row, "op": operation,
            "source": { "db": "crm", "schema": "main", "table": "person" } })
        .to_string()
    };
    let (fifth, sixth) = (row(5, "c"), row(6, "c"));
    let six = Some(r#"{"id":6}"#);
    check(
        "{table}: a later row says the table",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'm')"],
            runs: &[Records::Topic(&[(ID, None, &[]), (six, Some(&sixth), &[])])],
            sink: ANY_TABLE,
            expect: &["6|a|m"],
            ..Case::default()
        },
    )
    .await;
    check(
        "{table}: the first record of a later run",
        &Case {
            target: &[PERSON],
            runs: &[
                Records::Topic(&[(ID, Some(&fifth), &[])]),
                Records::Topic(&[(ID, None, &[])]),
            ],
            sink: ANY_TABLE,
            // Nothing says that the topic is that of `person`.
            expect: &["5|a|m"],
            ..Case::default()
        },
    )
    .await;
    check(
        "a fixed table: a delete by its key",
        &Case {
            target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'm')"],
            runs: &[Records::Topic(&[(ID, None, &[])])],
            expect: &[],
            ..Case::default()
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_fills_no_template_is_superseded_r12() {
    for table in ["{schema}.{table}", "{database}_{table}"] {
        check(
            table,
            &Case {
                target: &[PERSON, "INSERT INTO person VALUES (5, 'a', 'm')"],
                runs: &[
                    Records::Topic(&[(ID, None, &[])]),
                    Records::Topic(&[(ID, None, &[]), (ID, None, &[])]),
                ],
                sink: &format!("table = \"{table}\""),
                expect: &["5|a|m"],
                ..Case::default()
            },
        )
        .await;
    }
}
