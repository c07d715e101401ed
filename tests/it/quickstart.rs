//! The shipped quick start, compared with a simple implementation of its rules, one change at a
//! time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{DEADLINE, Pipeline};

/// A row of the billing system's table.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    email: Option<String>,
    phone: Option<String>,
    balance: String,
    status: String,
    notes: Option<String>,
    updated_at: DateTime<Utc>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_side_wins_and_what_breaks_a_rule_stays_out() {
    let pipeline = Pipeline::shipped("quickstart.toml");
    let target = pipeline.folder().join("state/quickstart/billing.db");
    fs::create_dir_all(pipeline.folder().join("state/quickstart")).expect("the folder is ours");
    fs::copy(
        pipeline.folder().join("pipelines/quickstart/billing.db"),
        &target,
    )
    .expect("the target is shipped");
    let events = pipeline.folder().join("pipelines/quickstart/clients.jsonl");
    let events = fs::read_to_string(events).expect("the events are shipped");
    let mut expected = read(&target);
    let (mut kept, mut quarantined) = (0, 0);
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).expect("an event is JSON");
        match apply(&mut expected, &event) {
            Effect::Written => {}
            Effect::Kept => kept += 1,
            Effect::Quarantined => quarantined += 1,
        }
    }
    assert!(
        kept > 400 && quarantined > 300,
        "the data has something to show: {kept}, {quarantined}"
    );

    let finished = pipeline.run_once(2 * DEADLINE).await;
    finished.expect_success();
    let found = read(&target);
    for (id, row) in &expected {
        assert_eq!(found.get(id), Some(row), "client {id}");
    }
    assert_eq!(found.len(), expected.len());
}

enum Effect {
    Written,
    Kept,
    Quarantined,
}

fn apply(table: &mut BTreeMap<i64, Row>, event: &Value) -> Effect {
    let image = |name: &str| event.get(name).filter(|image| !image.is_null());
    match (image("after"), image("before")) {
        (Some(after), _) => {
            let (id, row) = map(after);
            if !is_valid(&row) {
                return Effect::Quarantined;
            }
            match table.get(&id) {
                // C3: the target wins a tie. An equal row is no conflict, and writing it changes
                // nothing.
                Some(there) if *there != row && there.updated_at >= row.updated_at => Effect::Kept,
                _ => {
                    table.insert(id, row);
                    Effect::Written
                }
            }
        }
        // C6: the version of a delete is that of its row before.
        (None, Some(before)) => {
            let (id, row) = map(before);
            match table.get(&id) {
                Some(there) if *there != row && there.updated_at >= row.updated_at => Effect::Kept,
                _ => {
                    table.remove(&id);
                    Effect::Written
                }
            }
        }
        // A tombstone repeats its delete (R12).
        (None, None) => Effect::Written,
    }
}

fn map(image: &Value) -> (i64, Row) {
    let text = |name: &str| image[name].as_str().map(str::to_owned);
    let needed = |name: &str| text(name).expect("the column is not null");
    let row = Row {
        name: format!(
            "{} {}",
            needed("first_name").trim(),
            needed("last_name").trim()
        ),
        email: text("email").map(|email| email.trim().to_lowercase()),
        phone: text("phone"),
        balance: needed("balance"),
        status: needed("status"),
        notes: text("notes"),
        updated_at: needed("updated_at").parse().expect("an instant"),
    };
    (image["id"].as_i64().expect("a key"), row)
}

fn is_valid(row: &Row) -> bool {
    let email = row.email.as_deref().is_none_or(|email| {
        email.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.contains('@')
        })
    });
    let status = ["active", "prospect", "inactive", "closed"].contains(&row.status.as_str());
    email && status && !row.name.trim().is_empty() && !row.balance.starts_with('-')
}

fn read(path: &Path) -> BTreeMap<i64, Row> {
    let database = Connection::open(path).expect("the target is a database");
    let query = "SELECT id, name, email, phone, balance, status, notes, updated_at FROM clients";
    let mut statement = database.prepare(query).expect("the table is there");
    let rows = statement.query_map([], |row| {
        let updated_at: String = row.get(7)?;
        Ok((
            row.get(0)?,
            Row {
                name: row.get(1)?,
                email: row.get(2)?,
                phone: row.get(3)?,
                balance: row.get(4)?,
                status: row.get(5)?,
                notes: row.get(6)?,
                updated_at: updated_at.parse().expect("an instant"),
            },
        ))
    });
    rows.expect("the rows can be read")
        .map(|row| row.expect("a row of text"))
        .collect()
}
