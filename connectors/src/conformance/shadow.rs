//! Three-way merges of changes without rows before: the sink stores the source's last rows itself.

use super::cells::{Cell, Column, Event, changes, create_table, show};
use super::sink::{TestDatabase, Writer, options};
use crate::change::Operation::{self, Create, Delete, Update};
use crate::conflict::{BaseFrom, ConflictPolicy, Path, Strategy};
use crate::sql::Options;

const COLUMNS: [Column; 3] = [Column::Name, Column::Amount, Column::Version];

/// A change, and the row after it.
struct Step {
    /// An edit of the target by another writer, before the change.
    edit: &'static str,
    change: (Operation, &'static str),
    row: &'static str,
}

/// Checks that a merge keeps the edits of both sides, with stored values and with stored hashes;
/// one write at a time, and several steps of a key in one write if there is no edit in between.
pub async fn check_shadow(database: &dyn TestDatabase) {
    for base in [BaseFrom::Shadow, BaseFrom::ShadowHash] {
        edits_of_both_sides_are_told_apart(database, base).await;
        a_write_sees_what_it_did_itself(database, base).await;
    }
}

fn step(edit: &'static str, operation: Operation, source: &'static str, row: &'static str) -> Step {
    Step {
        edit,
        change: (operation, source),
        row,
    }
}

async fn open(database: &dyn TestDatabase, base: BaseFrom) -> Writer {
    database.reset().await;
    database
        .execute(&create_table(&COLUMNS, database.types()))
        .await;
    let options = Options {
        conflict: ConflictPolicy {
            strategy: Strategy::Merge,
            version: Some("version".to_owned()),
            base,
            path: Path::Fastest,
            ..ConflictPolicy::default()
        },
        ..options()
    };
    Writer::open(database, &options).await
}

async fn edits_of_both_sides_are_told_apart(database: &dyn TestDatabase, base: BaseFrom) {
    let steps = [
        step("", Create, "ann|10.00|1", "ann|10.00|1"),
        // Each side changed another column.
        step("amount = 20", Update, "bob|10.00|2", "bob|20.00|2"),
        // The source did not change the amount, so the target's stays.
        step("", Update, "cid|10.00|3", "cid|20.00|3"),
        // Both sides changed the name: the newer row's value wins.
        step("name = 'own'", Update, "dan|10.00|4", "dan|20.00|4"),
        step(
            "name = 'own', version = 9",
            Update,
            "eve|10.00|5",
            "own|20.00|9",
        ),
        // The source changes back to an earlier value: that is also an edit.
        step("", Update, "eve|11.00|10", "own|11.00|10"),
    ];
    let mut writer = open(database, base).await;
    for (number, step) in steps.iter().enumerate() {
        if !step.edit.is_empty() {
            let edit = format!("UPDATE clients SET {} WHERE id = 1", step.edit);
            database.execute(&edit).await;
        }
        writer.write(vec![batch(&[step.change])]).await.unwrap();
        assert_eq!(row(database).await, step.row, "{base:?}, step {number}");
    }
    // A delete removes the stored row, so the next change has no base.
    database
        .execute("UPDATE clients SET version = 10 WHERE id = 1")
        .await;
    writer
        .write(vec![batch(&[(Delete, "own|11.00|10")])])
        .await
        .unwrap();
    assert_eq!(row(database).await, "none", "{base:?}");
    let kept = database
        .query("SELECT count(*) FROM _syncline_shadow")
        .await;
    assert_eq!(kept[0][0].as_deref(), Some("0"), "{base:?}");
    writer.sink.close().await.unwrap();
}

async fn a_write_sees_what_it_did_itself(database: &dyn TestDatabase, base: BaseFrom) {
    let mut writer = open(database, base).await;
    let steps = [
        (Create, "ann|10.00|1"),
        (Update, "bob|10.00|2"),
        (Update, "bob|12.00|3"),
    ];
    writer.write(vec![batch(&steps)]).await.unwrap();
    assert_eq!(row(database).await, "bob|12.00|3", "{base:?}");
    database
        .execute("UPDATE clients SET name = 'own' WHERE id = 1")
        .await;
    let steps = [(Update, "bob|13.00|4"), (Update, "bob|14.00|5")];
    let outcome = writer.write(vec![batch(&steps)]).await.unwrap();
    assert_eq!(row(database).await, "own|14.00|5", "{base:?}: {outcome:?}");
    writer.sink.close().await.unwrap();
}

fn batch(steps: &[(Operation, &str)]) -> crate::change::Changes {
    let events: Vec<Event> = steps
        .iter()
        .map(|&(operation, row)| Event {
            operation,
            id: 1,
            before: None,
            row: row
                .split('|')
                .zip(COLUMNS)
                .map(|(text, column)| Cell::Is(column.value(text)))
                .collect(),
        })
        .collect();
    changes(&COLUMNS, &events, false)
}

async fn row(database: &dyn TestDatabase) -> String {
    let rows = database
        .query("SELECT name, amount, version FROM clients WHERE id = 1")
        .await;
    let Some(row) = rows.into_iter().next() else {
        return "none".to_owned();
    };
    let cells: Vec<Cell> = row
        .into_iter()
        .zip(COLUMNS)
        .map(|(text, column)| Cell::of(text.map(|text| column.value(&text))))
        .collect();
    show(&cells)
}
