//! Keys that the target takes for one, in batches of 1, 7 and all (R22): whatever the batch, a table ends the
//! same, to the spelling of its keys. And columns whose names differ in their case (kind 6 of the faults met in
//! the field).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::rows::{changes, row};
use super::sink::{Bench, Writer, options};
use crate::change::{Changes, Operation};
use crate::conflict::{ConflictPolicy, Path, Strategy};
use crate::error::Error;
use crate::sql::{Case, DeleteMode, Evolution, Options};

/// Texts that some databases take for one.
const TEXTS: [&str; 14] = [
    "a", "A", "a ", "A  ", "á", "Á", "e", "É", "ss", "ß", "b", "B ", " a", "a\t",
];

/// Numbers as texts.
const NUMBERS: [&str; 8] = ["1", "1.0", "1.00", "01", "2.5", "2.50", "-0", "0"];

/// How many changes a history has.
const CHANGES: u64 = 40;

/// Passes where the batch does not change how a table with a key of these types ends. `texts` and `numbers` are
/// column types, with a collation where one is meant, that take such keys.
pub async fn check_keys(bench: &dyn Bench, texts: &[&str], numbers: &[&str], floats: &[&str]) {
    let newest = ConflictPolicy {
        strategy: Strategy::NewestWins,
        version: Some("v".to_owned()),
        ..ConflictPolicy::default()
    };
    // What no statement decides goes another way.
    let resolved = ConflictPolicy {
        path: Path::Resolver,
        ..ConflictPolicy::default()
    };
    let policies = [
        (ConflictPolicy::default(), DeleteMode::Hard),
        (ConflictPolicy::default(), DeleteMode::Soft),
        (newest, DeleteMode::Hard),
        (resolved, DeleteMode::Hard),
    ];
    let text = |pool: &'static [&'static str]| {
        move |places: &[usize]| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(
                places.iter().map(|&place| pool[place % pool.len()]),
            ))
        }
    };
    let float = |places: &[usize]| -> ArrayRef {
        let pool = [0.0, -0.0, 1.5, -1.5];
        Arc::new(Float64Array::from_iter_values(
            places.iter().map(|&place| pool[place % pool.len()]),
        ))
    };
    type Keys<'a> = &'a dyn Fn(&[usize]) -> ArrayRef;
    let (words, figures) = (text(&TEXTS), text(&NUMBERS));
    let groups: [(&[&str], Keys<'_>); 3] = [(texts, &words), (numbers, &figures), (floats, &float)];
    let mut problems = Vec::new();
    for (types, keys) in groups {
        for (seed, key_type) in types.iter().enumerate() {
            for (number, (policy, delete)) in policies.iter().enumerate() {
                if seed > 1 && number == 1 {
                    continue;
                }
                let script = script(seed as u64);
                let mut ends = Vec::new();
                for size in [1, 7, script.len()] {
                    let options = Options {
                        table: "keyed".to_owned(),
                        key: Some(vec!["id".to_owned()]),
                        delete: *delete,
                        conflict: policy.clone(),
                        ..options()
                    };
                    ends.push(play(bench, &options, key_type, &script, size, keys).await);
                }
                if ends.iter().any(|end| *end != ends[0]) {
                    problems.push(format!(
                        "{key_type}, {delete:?}, {}, {:?}: {}",
                        policy.strategy.name(),
                        policy.path,
                        ends.join(" / ")
                    ));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// An operation, the place of its key in the pool, and a value.
type Step = (Operation, usize, i64);

fn script(seed: u64) -> Vec<Step> {
    let mut state = seed + 41;
    let mut next = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..CHANGES)
        .map(|_| {
            let operation = match next(5) {
                0 | 1 => Operation::Create,
                2 | 3 => Operation::Update,
                _ => Operation::Delete,
            };
            (operation, next(14) as usize, next(1_000) as i64)
        })
        .collect()
}

async fn play(
    bench: &dyn Bench,
    options: &Options,
    key_type: &str,
    script: &[Step],
    size: usize,
    keys: &dyn Fn(&[usize]) -> ArrayRef,
) -> String {
    bench.reset().await;
    bench
        .execute(&format!(
            "CREATE TABLE keyed (id {key_type} NOT NULL PRIMARY KEY, v bigint, _deleted boolean NOT NULL DEFAULT false)"
        ))
        .await;
    let mut writer = Writer::open(bench, options).await;
    for steps in script.chunks(size) {
        writer
            .write(vec![batch(steps, keys)])
            .await
            .unwrap_or_else(|error| panic!("{key_type}, batches of {size}: {}", error.chain()));
    }
    let rows = bench
        .query("SELECT id, v, _deleted FROM keyed ORDER BY v, id")
        .await;
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    rows.into_iter()
        .map(|row| row.into_iter().map(text).collect::<Vec<_>>().join("|") + "; ")
        .collect()
}

fn batch(steps: &[Step], keys: &dyn Fn(&[usize]) -> ArrayRef) -> Changes {
    let like: Vec<_> = steps
        .iter()
        .map(|(operation, ..)| row(*operation, 1, "", 1))
        .collect();
    let mut changes = changes(&like, true);
    let places: Vec<usize> = steps.iter().map(|(_, place, _)| *place).collect();
    let id = keys(&places);
    let fields = vec![
        Field::new("id", id.data_type().clone(), true),
        Field::new("v", DataType::Int64, true),
    ];
    let values: Int64Array = steps.iter().map(|(.., value)| Some(*value)).collect();
    changes.unset = vec![None; 2];
    changes.rows =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![id, Arc::new(values)]).unwrap();
    changes
}

/// Passes where a name means the column that is spelled so, else the only one of another case.
pub async fn check_names(bench: &dyn Bench) {
    names_fold(bench).await;
    names_that_meet_are_refused(bench).await;
    exact_names_stay_apart(bench).await;
}

fn named(columns: &[(&str, &str)]) -> Changes {
    let mut changes = changes(&[row(Operation::Create, 1, "", 1)], true);
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, _)| Field::new(*name, DataType::Utf8, true))
        .collect();
    let values: Vec<ArrayRef> = columns
        .iter()
        .map(|(_, value)| Arc::new(StringArray::from(vec![*value])) as ArrayRef)
        .collect();
    changes.key = None;
    changes.unset = vec![None; columns.len()];
    changes.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), values).unwrap();
    changes
}

fn by(evolution: Evolution, case: Case) -> Options {
    Options {
        table: "named".to_owned(),
        key: Some(vec!["id".to_owned()]),
        evolution,
        case,
        ..options()
    }
}

const NAMED: &str = "CREATE TABLE named (id varchar(20) NOT NULL PRIMARY KEY, config varchar(20))";

async fn names_fold(bench: &dyn Bench) {
    for evolution in [Evolution::Fail, Evolution::Ignore, Evolution::Evolve] {
        bench.reset().await;
        bench.execute(NAMED).await;
        let mut options = by(evolution, Case::Fold);
        let rows = named(&[("ID", "k"), ("CONFIG", "on")]);
        Writer::open(bench, &options)
            .await
            .write(vec![rows])
            .await
            .unwrap();
        let found = bench.query("SELECT id, config FROM named").await;
        assert_eq!(found, [[Some("k".to_owned()), Some("on".to_owned())]]);
        // The options may spell a column as the changes do, too.
        options.key = Some(vec!["ID".to_owned()]);
        let rows = named(&[("id", "k"), ("Config", "off")]);
        Writer::open(bench, &options)
            .await
            .write(vec![rows])
            .await
            .unwrap();
        let found = bench.query("SELECT id, config FROM named").await;
        assert_eq!(found, [[Some("k".to_owned()), Some("off".to_owned())]]);
    }
}

async fn names_that_meet_are_refused(bench: &dyn Bench) {
    bench.reset().await;
    bench.execute(NAMED).await;
    for evolution in [Evolution::Ignore, Evolution::Evolve] {
        let rows = named(&[("id", "k"), ("config", "on"), ("CONFIG", "off")]);
        let error = refused(bench, &by(evolution, Case::Fold), rows).await;
        assert!(
            error.contains("\"config\" and \"CONFIG\""),
            "both columns are named: {error}"
        );
    }
    // Neither is there yet.
    let rows = named(&[("id", "k"), ("Other", "on"), ("OTHER", "off")]);
    let error = refused(bench, &by(Evolution::Evolve, Case::Fold), rows).await;
    assert!(error.contains("\"Other\" and \"OTHER\""), "{error}");
}

/// `config` and `CONFIG` are two columns where the database has two, and else the second is refused: it is
/// never written to the first.
async fn exact_names_stay_apart(bench: &dyn Bench) {
    bench.reset().await;
    bench.execute(NAMED).await;
    let options = by(Evolution::Evolve, Case::Exact);
    let mut writer = Writer::open(bench, &options).await;
    let written = writer
        .write(vec![named(&[("id", "k"), ("CONFIG", "on")])])
        .await;
    let found = bench
        .query("SELECT config FROM named WHERE config IS NOT NULL")
        .await;
    assert!(found.is_empty(), "{found:?}");
    if let Err(error) = written {
        let error = error.chain();
        assert!(error.contains("case = \"fold\""), "{error}");
    }
    // Nothing is left out where nothing has that name exactly.
    let error = refused(
        bench,
        &by(Evolution::Fail, Case::Exact),
        named(&[("id", "k"), ("Missing", "on")]),
    )
    .await;
    assert!(error.contains("\"Missing\""), "{error}");
}

async fn refused(bench: &dyn Bench, options: &Options, rows: Changes) -> String {
    match Writer::open(bench, options).await.write(vec![rows]).await {
        Err(error @ Error::Configuration { .. }) => error.chain(),
        other => panic!("expected a configuration error, found {other:?}"),
    }
}
