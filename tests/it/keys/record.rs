//! 8d: columns that only the record key has.

use serde_json::json;

use super::databases::{Case, PERSON, Records, check};

const SCHEMA_KEY: &str =
    r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":5}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_the_record_key_are_columns_of_the_row_r2() {
    let create =
        json!({ "before": null, "after": { "name": "a", "mail": "m" }, "op": "c" }).to_string();
    let flat = json!({ "name": "b", "mail": "m" }).to_string();
    let delete =
        json!({ "before": { "name": "b", "mail": "m" }, "after": null, "op": "d" }).to_string();
    for (name, key) in [
        ("bare", r#"{"id":5}"#),
        ("with its schema", SCHEMA_KEY),
        ("plain, named by the sink", "5"),
    ] {
        let sink = "table = \"person\"\nkey = [\"id\"]";
        let six = key.replace('5', "6");
        let six = Some(six.as_str());
        let key = Some(key);
        check(
            name,
            &Case {
                target: &[PERSON, "INSERT INTO person VALUES (7, 'x', 'm')"],
                runs: &[
                    Records::Topic(&[(key, Some(&create), &[]), (six, Some(&flat), &[])]),
                    // A delete with its row, and a null alone.
                    Records::Topic(&[(key, Some(&delete), &[])]),
                    Records::Topic(&[(six, None, &[]), (key, Some(&flat), &[])]),
                ],
                sink,
                expect: &["5|b|m", "7|x|m"],
                ..Case::default()
            },
        )
        .await;
    }
    // The record key is the key, without a word in the file.
    check(
        "nothing said",
        &Case {
            runs: &[Records::Topic(&[(Some(r#"{"id":5}"#), Some(&flat), &[])])],
            expect: &["5|b|m"],
            ..Case::default()
        },
    )
    .await;
    check("text", &Case {
        target: &["CREATE TABLE person (id varchar(20) PRIMARY KEY, name varchar(50), mail varchar(50))"],
        runs: &[Records::Topic(&[(Some("c-5"), Some(&flat), &[]), (Some("c-6"), Some(&flat), &[])])],
        sink: "table = \"person\"\nkey = [\"id\"]",
        expect: &["c-5|b|m", "c-6|b|m"],
        ..Case::default()
    })
    .await;
    // A key that an operator sees, and a column of a router that nobody asks for.
    check(
        "in an operator",
        &Case {
            target: &[PERSON],
            runs: &[Records::Topic(&[(
                Some(r#"{"id":5,"__router":"x"}"#),
                Some(&flat),
                &[],
            )])],
            sink: "table = \"person\"\nkey = [\"id\"]",
            inputs: "tidy",
            more: "[operators.tidy]\ntype = \"filter\"\ninputs = [\"crm\"]\nwhere = \"id = 5\"",
            expect: &["5|b|m"],
            ..Case::default()
        },
    )
    .await;
}
