//! Three-way merges without images before: the sink keeps the source's last images itself.

use super::cells::{Cell, Column, Event, changes, create_table, show};
use super::sink::{Bench, Writer, options};
use crate::change::Operation::{self, Create, Delete, Update};
use crate::conflict::{BaseFrom, ConflictPolicy, Path, Strategy};
use crate::sql::Options;

const COLUMNS: [Column; 3] = [Column::Name, Column::Amount, Column::Version];

/// What happens, and the row afterwards.
struct Step {
    /// An edit of the target by somebody else, before the change.
    edit: &'static str,
    change: (Operation, &'static str),
    row: &'static str,
}

/// Passes where a merge takes each side's own edits, by values and by hashes, one write at a time and
/// all steps of a key in one write as far as nobody edits in between.
pub async fn check_shadow(bench: &dyn Bench) {
    for base in [BaseFrom::Shadow, BaseFrom::ShadowHash] {
        edits_of_both_sides_are_told_apart(bench, base).await;
        a_write_sees_what_it_did_itself(bench, base).await;
    }
}

fn step(edit: &'static str, operation: Operation, source: &'static str, row: &'static str) -> Step {
    Step {
        edit,
        change: (operation, source),
        row,
    }
}

async fn open(bench: &dyn Bench, base: BaseFrom) -> Writer {
    bench.reset().await;
    bench.execute(&create_table(&COLUMNS, bench.types())).await;
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
    Writer::open(bench, &options).await
}

async fn edits_of_both_sides_are_told_apart(bench: &dyn Bench, base: BaseFrom) {
    let steps = [
        step("", Create, "ann|10.00|1", "ann|10.00|1"),
        // Each side changed a column of its own.
        step("amount = 20", Update, "bob|10.00|2", "bob|20.00|2"),
        // The source did not touch the amount since: the target's stays.
        step("", Update, "cid|10.00|3", "cid|20.00|3"),
        // Both changed the name: the newer row's.
        step("name = 'own'", Update, "dan|10.00|4", "dan|20.00|4"),
        step(
            "name = 'own', version = 9",
            Update,
            "eve|10.00|5",
            "own|20.00|9",
        ),
        // The source goes back to what it was: that is an edit, too.
        step("", Update, "eve|11.00|10", "own|11.00|10"),
    ];
    let mut writer = open(bench, base).await;
    for (number, step) in steps.iter().enumerate() {
        if !step.edit.is_empty() {
            let edit = format!("UPDATE clients SET {} WHERE id = 1", step.edit);
            bench.execute(&edit).await;
        }
        writer.write(vec![batch(&[step.change])]).await.unwrap();
        assert_eq!(row(bench).await, step.row, "{base:?}, step {number}");
    }
    // A delete takes the image away: what comes after begins anew.
    bench
        .execute("UPDATE clients SET version = 10 WHERE id = 1")
        .await;
    writer
        .write(vec![batch(&[(Delete, "own|11.00|10")])])
        .await
        .unwrap();
    assert_eq!(row(bench).await, "none", "{base:?}");
    let kept = bench.query("SELECT count(*) FROM _syncline_shadow").await;
    assert_eq!(kept[0][0].as_deref(), Some("0"), "{base:?}");
    writer.sink.close().await.unwrap();
}

async fn a_write_sees_what_it_did_itself(bench: &dyn Bench, base: BaseFrom) {
    let mut writer = open(bench, base).await;
    let steps = [
        (Create, "ann|10.00|1"),
        (Update, "bob|10.00|2"),
        (Update, "bob|12.00|3"),
    ];
    writer.write(vec![batch(&steps)]).await.unwrap();
    assert_eq!(row(bench).await, "bob|12.00|3", "{base:?}");
    bench
        .execute("UPDATE clients SET name = 'own' WHERE id = 1")
        .await;
    let steps = [(Update, "bob|13.00|4"), (Update, "bob|14.00|5")];
    let outcome = writer.write(vec![batch(&steps)]).await.unwrap();
    assert_eq!(row(bench).await, "own|14.00|5", "{base:?}: {outcome:?}");
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

async fn row(bench: &dyn Bench) -> String {
    let rows = bench
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
