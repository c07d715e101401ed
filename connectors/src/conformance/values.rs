//! Random values of every carrier into columns of every type (R23): what is stored reads back, with plain
//! SQL, as what was sent, in the type's own meaning; or the row, or the column as a whole, is refused. Never
//! anything else.
//!
//! A bench gives its types with what they mean and how they are read. Every carrier is written to every type,
//! bare and, where there are such, under a domain and as an element of an array: texts to each type, the other
//! carriers in turns. Seeded: a failure comes again.

mod carrier;
mod meaning;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use self::carrier::{Carrier, carriers};
pub use self::meaning::Meaning;
use super::rows::{changes, row};
use super::sink::{Bench, Writer, options};
use crate::change::{Changes, Operation};
use crate::error::{Error, RejectedChange};
use crate::sql::Options;

/// A type of a database.
#[derive(Debug, Clone)]
pub struct ColumnType {
    /// What must be there before a table has it; may be empty.
    pub before: String,
    /// As a table declares it.
    pub declared: String,
    /// What its values mean.
    pub meaning: Meaning,
    /// How `c` is read as text.
    pub read: String,
}

impl ColumnType {
    /// A type that is read by `read`.
    pub fn new(declared: &str, meaning: Meaning, read: &str) -> Self {
        Self {
            before: String::new(),
            declared: declared.to_owned(),
            meaning,
            read: read.to_owned(),
        }
    }
}

/// Values of each carrier for each type.
const VALUES: usize = 8;

/// Passes where no column changes a value in silence. `options` is what the table is created with after its
/// columns, such as `STRICT`.
pub async fn check_values(bench: &dyn Bench, types: &[ColumnType], table_options: &str) {
    let mut problems = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    bench.reset().await;
    for (number, column) in types.iter().enumerate() {
        let table = format!("t{number}");
        if !column.before.is_empty() {
            bench.execute(&column.before).await;
        }
        bench
            .execute(&format!(
                "CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, c {}){table_options}",
                column.declared
            ))
            .await;
        let mut next_id = 0;
        let options = Options {
            table: table.clone(),
            ..options()
        };
        let mut writer = Writer::open(bench, &options).await;
        for (place, carrier) in carriers(number as u64, VALUES).into_iter().enumerate() {
            // Texts go everywhere, which takes the most care; the others meet every third type.
            if !carrier.is_text() && !(number + place).is_multiple_of(3) {
                continue;
            }
            let found = write_all(&mut writer, &carrier, next_id).await;
            next_id += VALUES as i64;
            let (written, rejected) = match found {
                Ok(found) => found,
                // The column takes nothing of this carrier.
                Err(_) => {
                    refused += VALUES;
                    continue;
                }
            };
            for rejection in &rejected {
                if rejection.rule.is_empty() {
                    problems.push(format!("{}: a refusal without a rule", column.declared));
                }
            }
            refused += rejected.len();
            accepted += written.len();
            let sql = format!("SELECT id, {} FROM {table}", column.read);
            let held: std::collections::BTreeMap<i64, Option<String>> = bench
                .query(&sql)
                .await
                .into_iter()
                .map(|row| (row[0].as_ref().unwrap().parse().unwrap(), row[1].clone()))
                .collect();
            for (id, place) in written {
                let sent = carrier.texts(place);
                let found = held.get(&id).cloned().flatten();
                let meaning = column.meaning.of(&carrier);
                let same = found
                    .as_ref()
                    .is_some_and(|found| sent.iter().any(|sent| meaning.same(sent, found)));
                if !same {
                    problems.push(format!(
                        "{} into {}: sent {sent:?}, found {found:?}",
                        carrier.name(),
                        column.declared
                    ));
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} values were changed in silence:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(
        accepted > types.len() && refused > types.len(),
        "both ends are met: {accepted} accepted, {refused} refused"
    );
}

/// Writes the carrier's values, without those that are refused by themselves: which are written, by their id
/// and place, and why the others are not.
async fn write_all(
    writer: &mut Writer,
    carrier: &Carrier,
    first_id: i64,
) -> Result<(Vec<(i64, usize)>, Vec<RejectedChange>), Error> {
    let mut left: Vec<usize> = (0..VALUES).collect();
    let mut rejected = Vec::new();
    while !left.is_empty() {
        let ids: Vec<i64> = left.iter().map(|&place| first_id + place as i64).collect();
        match writer.write(vec![batch(carrier, &ids, &left)]).await {
            Ok(_) => return Ok((ids.into_iter().zip(left).collect(), rejected)),
            Err(Error::Rejected(culprits)) => {
                let gone: Vec<usize> = culprits.iter().map(|culprit| left[culprit.row]).collect();
                left.retain(|place| !gone.contains(place));
                rejected.extend(culprits);
            }
            Err(other) => return Err(other),
        }
    }
    Ok((Vec::new(), rejected))
}

fn batch(carrier: &Carrier, ids: &[i64], places: &[usize]) -> Changes {
    let like: Vec<_> = ids
        .iter()
        .map(|&id| row(Operation::Create, id, "", 1))
        .collect();
    let mut changes = changes(&like, true);
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        carrier.field.clone().with_name("c"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        carrier.take(places),
    ];
    changes.unset = vec![None; 2];
    changes.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    changes
}
