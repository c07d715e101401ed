//! The fold of a batch, case by case, and against a model that applies changes one at a time.
//! Longer than 400 lines: one list of cases.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::{Folded, fold};
use crate::change::{Changes, Operation, Table};
use crate::conflict::{ConflictPolicy, Detect, Strategy as Wins, Tie};
use crate::record::Records;
use crate::sql::DeleteMode;

/// One change of the model: the key, then version and two values; `None` is unset.
#[derive(Debug, Clone)]
struct Event {
    operation: Operation,
    key: Option<i64>,
    values: [Option<Option<i64>>; 3],
    /// Of unset values, those that are not carried (R19); the others are unavailable (R14).
    absent: [bool; 3],
}

impl Event {
    fn is_unavailable(&self, column: usize) -> bool {
        self.values[column].is_none() && !self.absent[column]
    }
}

/// A row of the model's target: version, two values, and a column that only the target has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    values: [Option<i64>; 3],
    own: bool,
    marked: bool,
}

/// The target as rows and the versions of deletes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Target {
    rows: BTreeMap<i64, Stored>,
    tombstones: BTreeMap<i64, Option<i64>>,
}

impl Target {
    /// The rules C1 to C6 and R12, R14, R19, one change at a time.
    fn apply(&mut self, event: &Event, policy: &ConflictPolicy, delete: DeleteMode) {
        let Some(key) = event.key else { return };
        let held = self.rows.get(&key).cloned();
        let wins = |mine: Option<i64>, theirs: Option<i64>| match policy.strategy {
            Wins::SourceWins => true,
            Wins::TargetWins => false,
            _ if mine == theirs => policy.tie == Tie::Source,
            Wins::NewestWins | Wins::Merge => {
                theirs.is_none() || mine.is_some_and(|mine| Some(mine) > theirs)
            }
            Wins::OldestWins => theirs.is_none() || mine.is_some_and(|mine| Some(mine) < theirs),
            ref other => panic!("{other:?} is not folded"),
        };
        let differs = |held: &Stored| {
            (0..3).any(|i| event.values[i].is_some_and(|value| value != held.values[i]))
        };
        let version = event.values[0].flatten();
        if event.operation == Operation::Delete {
            let Some(mut held) = held else { return };
            let blind = (0..3).any(|column| event.is_unavailable(column))
                || event.values.iter().all(Option::is_none);
            let conflict = policy.detect == Some(Detect::Key) || blind || differs(&held);
            if delete == DeleteMode::Ignore || (conflict && !wins(version, held.values[0])) {
                return;
            }
            if delete == DeleteMode::Soft {
                held.marked = true;
                self.rows.insert(key, held);
            } else {
                self.rows.remove(&key);
                self.tombstones.insert(key, version);
            }
            return;
        }
        let Some(mut held) = held else {
            let buried = self.tombstones.get(&key).copied();
            let alive = policy.strategy != Wins::NewestWins
                || buried.is_none_or(|buried| wins(version, buried));
            let complete = !(0..3).any(|column| event.is_unavailable(column));
            if complete && alive {
                let stored = Stored {
                    values: event.values.map(Option::flatten),
                    own: false,
                    marked: false,
                };
                self.rows.insert(key, stored);
            }
            return;
        };
        let conflict = policy.detect == Some(Detect::Key) || differs(&held);
        let newer = wins(version, held.values[0]);
        if policy.strategy == Wins::Merge {
            for (value, held) in event.values.iter().zip(&mut held.values) {
                let Some(value) = value else { continue };
                if conflict && value.is_some() && (held.is_none() || newer) {
                    *held = *value;
                }
            }
        } else if conflict && !newer {
            return;
        } else {
            for (value, held) in event.values.iter().zip(&mut held.values) {
                *held = value.unwrap_or(*held);
            }
        }
        held.marked = false;
        self.rows.insert(key, held);
    }
}

fn batch(events: &[Event]) -> Changes {
    let columns: Vec<Arc<dyn Array>> = std::iter::once(Arc::new(Int64Array::from_iter(
        events.iter().map(|event| event.key),
    )) as Arc<dyn Array>)
    .chain((0..3).map(|column| {
        Arc::new(Int64Array::from_iter(
            events.iter().map(|event| event.values[column].flatten()),
        )) as Arc<dyn Array>
    }))
    .collect();
    let names = ["id", "version", "a", "b"];
    let schema = Schema::new(
        names
            .map(|name| Field::new(name, DataType::Int64, true))
            .to_vec(),
    );
    let unset = (0..4).map(|column| {
        let mask = BooleanBuffer::collect_bool(events.len(), |row| {
            column > 0 && events[row].values[column - 1].is_none()
        });
        (mask.count_set_bits() > 0).then_some(mask)
    });
    Changes {
        table: Arc::new(Table {
            topic: "t".into(),
            database: None,
            schema: None,
            name: "t".into(),
        }),
        key: None,
        unset: unset.collect(),
        before: None,
        not_carried: (0..4)
            .map(|column| {
                let mask = BooleanBuffer::collect_bool(events.len(), |row| {
                    let event = &events[row];
                    column > 0 && event.values[column - 1].is_none() && event.absent[column - 1]
                });
                (mask.count_set_bits() > 0).then_some(mask)
            })
            .collect(),
        operations: events.iter().map(|event| event.operation).collect(),
        event_times_ms: vec![None; events.len()],
        origins: (0..events.len() as u32).collect(),
        records: Arc::new(Records::default()),
        rows: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
    }
}

fn events(changes: &Changes) -> Vec<Event> {
    let value = |column: usize, row: usize| {
        let column = changes.rows.column(column).as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    (0..changes.len())
        .map(|row| Event {
            operation: changes.operations[row],
            key: value(0, row),
            values: [1, 2, 3].map(|i| (!changes.is_unset(i, row)).then(|| value(i, row))),
            absent: [1, 2, 3].map(|i| {
                let mask = changes.not_carried.get(i).and_then(Option::as_ref);
                mask.is_some_and(|mask| mask.value(row))
            }),
        })
        .collect()
}

fn policy(strategy: Wins, detect: Detect, tie: Tie) -> ConflictPolicy {
    ConflictPolicy {
        strategy,
        detect: Some(detect),
        tie,
        version: Some("version".to_owned()),
        ..ConflictPolicy::default()
    }
}

fn assert_shape(folded: &Folded, changes: &Changes) {
    let mut seen = 0;
    for round in &folded.rounds {
        for (part, rows) in [
            (&round.upserts, &round.upsert_rows),
            (&round.deletes, &round.delete_rows),
        ] {
            assert_eq!(part.len(), rows.len());
            assert_eq!(part.rows.num_rows(), rows.len());
            seen += rows.len();
            let keys = part.rows.column(0).as_primitive::<Int64Type>().values();
            assert!(
                keys.is_sorted_by(|a, b| a < b),
                "every key once, ascending (R9)"
            );
            for (&row, origin) in rows.iter().zip(&part.origins) {
                assert_eq!(changes.origins[row as usize], *origin);
            }
        }
    }
    let accounted = seen as u64 + folded.superseded + folded.kept + folded.rejected.len() as u64;
    assert_eq!(
        accounted,
        changes.len() as u64,
        "every change has one end (R17)"
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    let value = || {
        prop_oneof![
            8 => (0..4_i64).prop_map(|value| Some(Some(value))),
            1 => Just(Some(None)),
            1 => Just(None),
        ]
    };
    let operation = prop_oneof![
        4 => Just(Operation::Update),
        3 => Just(Operation::Create),
        1 => Just(Operation::Read),
        2 => Just(Operation::Delete),
    ];
    let key = prop_oneof![30 => (0..3_i64).prop_map(Some), 1 => Just(None)];
    let absent = [any::<bool>(), any::<bool>(), any::<bool>()];
    let values = [value(), value(), value()];
    (operation, key, values, absent).prop_map(|(operation, key, values, absent)| Event {
        operation,
        key,
        values,
        absent,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    /// R8: any split into batches, folded, ends as one change at a time does.
    #[test]
    fn folding_equals_one_at_a_time(
        held in proptest::collection::vec(any_event(), 0..4),
        history in proptest::collection::vec(any_event(), 1..16),
        whole in any::<bool>(),
        batch_rows in 1..16_usize,
        strategy in proptest::sample::select(vec![
            Wins::SourceWins, Wins::TargetWins, Wins::NewestWins, Wins::OldestWins, Wins::Merge,
        ]),
        detect in proptest::sample::select(vec![Detect::Key, Detect::Row]),
        tie in proptest::sample::select(vec![Tie::Target, Tie::Source]),
        delete in proptest::sample::select(vec![
            DeleteMode::Hard, DeleteMode::Soft, DeleteMode::Ignore,
        ]),
    ) {
        let mut history = history;
        if whole {
            // Without deletes and partial updates the strategies that compare do fold.
            for event in &mut history {
                event.operation = Operation::Update;
                event.values = event.values.map(|value| Some(value.flatten()));
            }
        }
        let policy = policy(strategy, detect, tie);
        let mut expected = Target::default();
        for event in &held {
            // Only a sink that marks rows meets marked ones.
            let marks = if delete == DeleteMode::Soft { delete } else { DeleteMode::Ignore };
            expected.apply(event, &ConflictPolicy::default(), marks);
        }
        for row in expected.rows.values_mut() {
            row.own = true;
        }
        let mut actual = expected.clone();
        for event in &history {
            expected.apply(event, &policy, delete);
        }
        for part in history.chunks(batch_rows) {
            let changes = batch(part);
            let folded = fold(&changes, &[0], &policy, delete).unwrap();
            assert_shape(&folded, &changes);
            for round in &folded.rounds {
                for event in events(&round.deletes).iter().chain(&events(&round.upserts)) {
                    actual.apply(event, &policy, delete);
                }
            }
        }
        prop_assert_eq!(actual.rows, expected.rows);
    }
}

fn event(operation: Operation, key: i64, version: i64) -> Event {
    Event {
        operation,
        key: Some(key),
        values: [
            Some(Some(version)),
            Some(Some(version)),
            Some(Some(version)),
        ],
        absent: [false; 3],
    }
}

/// How a batch of `(operation, key, version)` folds: the rows written in each round, upserts after
/// deletes.
#[track_caller]
fn check(strategy: Wins, history: &[(char, i64, i64)], expect: &[(&[u32], &[u32])]) {
    let history: Vec<Event> = history
        .iter()
        .map(|&(letter, key, version)| {
            let operation = match letter {
                'c' => Operation::Create,
                'd' => Operation::Delete,
                _ => Operation::Update,
            };
            event(operation, key, version)
        })
        .collect();
    let changes = batch(&history);
    let policy = policy(strategy, Detect::Row, Tie::Target);
    let folded = fold(&changes, &[0], &policy, DeleteMode::Hard).unwrap();
    let rounds: Vec<(&[u32], &[u32])> = folded
        .rounds
        .iter()
        .map(|round| (&round.delete_rows[..], &round.upsert_rows[..]))
        .collect();
    assert_eq!(rounds, expect, "{history:?}");
}

#[test]
fn a_batch_folds_to_as_few_rounds_as_can_be_proven_equal() {
    use Wins::{Merge, NewestWins, OldestWins, SourceWins, TargetWins};
    check(SourceWins, &[], &[]);
    // Nothing stands twice: sorted, deletes apart.
    check(
        SourceWins,
        &[('u', 3, 1), ('d', 1, 1), ('c', 2, 1)],
        &[(&[1], &[2, 0])],
    );
    check(
        SourceWins,
        &[('c', 1, 1), ('u', 1, 2), ('c', 0, 1)],
        &[(&[], &[2, 1])],
    );
    check(SourceWins, &[('c', 1, 1), ('d', 1, 2)], &[(&[1], &[])]);
    // A delete resets what only the target has, so the insert after it has a round of its own.
    check(
        SourceWins,
        &[('d', 1, 1), ('c', 1, 2), ('u', 2, 1)],
        &[(&[0], &[2]), (&[], &[1])],
    );
    check(
        NewestWins,
        &[('u', 1, 2), ('u', 1, 9), ('u', 1, 3)],
        &[(&[], &[1])],
    );
    check(
        OldestWins,
        &[('u', 1, 2), ('u', 1, 1), ('u', 1, 3)],
        &[(&[], &[1])],
    );
    // C3: of equal versions the first stays where ties go to the target.
    check(NewestWins, &[('u', 1, 2), ('u', 1, 2)], &[(&[], &[0])]);
    check(
        NewestWins,
        &[('u', 1, 2), ('d', 1, 3)],
        &[(&[], &[0]), (&[1], &[])],
    );
    check(TargetWins, &[('c', 1, 2), ('u', 1, 3)], &[(&[], &[0])]);
    check(
        Merge,
        &[('c', 1, 2), ('u', 1, 3)],
        &[(&[], &[0]), (&[], &[1])],
    );
}

#[test]
fn a_partial_update_folds_onto_the_image_before_it() {
    let mut partial = event(Operation::Update, 1, 7);
    partial.values[1] = None;
    let history = [event(Operation::Create, 1, 3), partial.clone()];
    let folded = fold(
        &batch(&history),
        &[0],
        &ConflictPolicy::default(),
        DeleteMode::Hard,
    )
    .unwrap();
    let net = &events(&folded.rounds[0].upserts)[0];
    assert_eq!(net.operation, Operation::Create);
    assert_eq!(net.values, [Some(Some(7)), Some(Some(3)), Some(Some(7))]);
    assert_eq!((folded.superseded, folded.rounds.len()), (1, 1));

    let history = [event(Operation::Delete, 1, 3), partial];
    let folded = fold(
        &batch(&history),
        &[0],
        &ConflictPolicy::default(),
        DeleteMode::Hard,
    )
    .unwrap();
    assert_eq!(folded.rejected[0].row, 1);
    assert_eq!(folded.rejected[0].rule, "R14 incomplete");
}

#[test]
fn a_null_key_is_rejected_and_named() {
    let mut nameless = event(Operation::Update, 1, 7);
    nameless.key = None;
    let history = [nameless, event(Operation::Update, 1, 7)];
    let folded = fold(
        &batch(&history),
        &[0],
        &ConflictPolicy::default(),
        DeleteMode::Hard,
    )
    .unwrap();
    assert_eq!(folded.rejected[0].field.as_deref(), Some("id"));
    assert_eq!(folded.rounds[0].upsert_rows, [1]);
}

/// Keys of every shape group and sort alike.
#[test]
fn text_and_composite_keys_fold() {
    let names = ["b", "a", "b", "c"];
    let numbers = [1, 1, 1, 2];
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
    ]);
    let template = batch(&vec![event(Operation::Update, 1, 1); 4]);
    let changes = Changes {
        rows: RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(StringArray::from(names.to_vec())),
                Arc::new(Int64Array::from(numbers.to_vec())),
            ],
        )
        .unwrap(),
        unset: vec![None; 2],
        ..template
    };
    for key in [&[0][..], &[0, 1]] {
        let folded = fold(&changes, key, &ConflictPolicy::default(), DeleteMode::Hard).unwrap();
        assert_eq!(folded.rounds[0].upsert_rows, [1, 2, 3], "{key:?}");
        assert_eq!(folded.superseded, 1);
    }
}
