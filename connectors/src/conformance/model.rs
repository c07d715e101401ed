//! A simple model of the rules of conflicts for one change and one row: without Arrow, SQL and
//! batches. Every sink must give the model's result.
//!
//! The model is written from C1–C10, R12 and R14, and shares no code with the implementations. It
//! knows two expressions, [`SIDE`] and [`ADDED`].

mod column;

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Cell, Column, Event, Value};
use super::decision_table::Bucket;
use crate::change::Operation;
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Strategy, Tie};
use crate::sql::DeleteMode;

/// A row; each column has a value or null.
pub(super) type Row = Vec<Option<Value>>;

/// The expression of a sink that the model knows.
pub(super) const SIDE: &str =
    "CASE WHEN source.version > target.version THEN 'source' ELSE 'target' END";

/// The expression of the column `amount` that the model knows.
pub(super) const ADDED: &str = "coalesce(target.amount, 0) + coalesce(source.amount, 0)";

/// A target with the rows of a history.
pub(super) struct Model {
    policy: ConflictPolicy,
    delete: DeleteMode,
    columns: Vec<Column>,
    version: Option<usize>,
    /// The rows by key, and whether a soft delete marked them.
    pub(super) rows: BTreeMap<i64, (Row, bool)>,
    tombstones: BTreeMap<i64, i64>,
    open: BTreeSet<i64>,
}

/// Why the model does not decide a change.
enum Stop {
    Queue,
    Reject(&'static str),
}

/// The effect of a change that meets a row.
enum Effect {
    /// There is no conflict, so the change is applied.
    Applies,
    /// The row gets these values.
    Becomes(Row),
}

impl Model {
    pub(super) fn new(policy: &ConflictPolicy, delete: DeleteMode, columns: &[Column]) -> Self {
        let name = policy.version.as_deref();
        Self {
            version: columns
                .iter()
                .position(|column| Some(column.name()) == name),
            policy: policy.clone(),
            delete,
            columns: columns.to_vec(),
            rows: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// Applies one change; returns where it is counted, and its conflict.
    pub(super) fn apply(&mut self, event: &Event) -> (Bucket, Option<ConflictType>) {
        if self.open.contains(&event.id) {
            return (Bucket::Queued, None);
        }
        let live = self.rows.get(&event.id).filter(|(_, marked)| !marked);
        let live = live.map(|(row, _)| row.clone());
        let done = match (event.operation, live) {
            (Operation::Delete, None) => {
                self.record_delete(event);
                Ok((Bucket::Written, Some(ConflictType::DeleteMissing)))
            }
            (Operation::Delete, Some(target)) => self.delete(event, &target),
            (_, None) => self.insert(event),
            (_, Some(target)) => self.upsert(event, target),
        };
        match done {
            Ok(done) => done,
            Err(Stop::Reject(rule)) => (Bucket::Rejected(rule.to_owned()), None),
            Err(Stop::Queue) => {
                self.open.insert(event.id);
                (Bucket::Queued, Some(differs(event.operation)))
            }
        }
    }

    fn insert(&mut self, event: &Event) -> Result<(Bucket, Option<ConflictType>), Stop> {
        if self.records_deletes() {
            let marked = self
                .rows
                .get(&event.id)
                .and_then(|(row, _)| self.version(row));
            let tombstone = marked.max(self.tombstones.get(&event.id).copied());
            let source = self.version(&known(&event.row));
            let late = tombstone
                .is_some_and(|tombstone| source.is_none() || !self.ahead(source, Some(tombstone)));
            if late {
                return Ok((Bucket::Kept, Some(ConflictType::UpdateMissing)));
            }
        }
        if event.row.contains(&Cell::Unset) {
            return Err(Stop::Reject("R14 incomplete"));
        }
        self.tombstones.remove(&event.id);
        self.rows.insert(event.id, (known(&event.row), false));
        let update = event.operation == Operation::Update;
        Ok((
            Bucket::Written,
            update.then_some(ConflictType::UpdateMissing),
        ))
    }

    fn upsert(
        &mut self,
        event: &Event,
        target: Row,
    ) -> Result<(Bucket, Option<ConflictType>), Stop> {
        let applied: Row = event
            .row
            .iter()
            .zip(&target)
            .map(|(source, target)| match source {
                Cell::Unset => target.clone(),
                cell => cell.known().cloned(),
            })
            .collect();
        let fate = self.meets(event, &target)?;
        let conflict = matches!(fate, Effect::Becomes(_)).then(|| differs(event.operation));
        let (row, kept) = match fate {
            Effect::Applies => (applied, false),
            Effect::Becomes(row) => {
                // A row that does not change is kept, unless it equals the source's row.
                let whole = self.policy.strategy.takes_whole_rows();
                let sources = whole && applied == target && self.source_wins(event, &target)?;
                let kept = row == target && !sources;
                (row, kept)
            }
        };
        self.rows.insert(event.id, (row, false));
        let bucket = if kept { Bucket::Kept } else { Bucket::Written };
        Ok((bucket, conflict))
    }

    fn meets(&self, event: &Event, target: &Row) -> Result<Effect, Stop> {
        if !self.upsert_conflicts(event, target) {
            return Ok(Effect::Applies);
        }
        let whole = self.policy.strategy.takes_whole_rows();
        let source_wins = whole && self.source_wins(event, target)?;
        let mut row = target.clone();
        for (place, cell) in event.row.iter().enumerate() {
            if cell.is_unset() {
                continue;
            }
            let own = self.policy.columns.get(self.columns[place].name());
            row[place] = match (whole, own) {
                (true, None) if source_wins => cell.known().cloned(),
                (true, None) => target[place].clone(),
                _ => self.column(place, event, target)?,
            };
        }
        Ok(Effect::Becomes(row))
    }

    fn delete(
        &mut self,
        event: &Event,
        target: &Row,
    ) -> Result<(Bucket, Option<ConflictType>), Stop> {
        let source = known(&event.row);
        let blind = event.row.contains(&Cell::Unset);
        let (mine, theirs) = (self.version(&source), self.version(target));
        let conflict = match self.policy.detect {
            _ if blind => true,
            Some(Detect::Key) => true,
            Some(Detect::Version) => mine.is_none() || theirs > mine,
            _ => source != *target,
        };
        let by_version = match &self.policy.strategy {
            strategy if strategy.compares_versions() => true,
            strategy => !strategy.takes_whole_rows() && self.version.is_some(),
        };
        let oldest = self.policy.strategy == Strategy::OldestWins;
        let applies = !conflict
            || match (by_version, mine, theirs) {
                (true, Some(mine), Some(theirs)) if oldest => mine <= theirs,
                (true, Some(mine), Some(theirs)) => mine >= theirs,
                (true, None, None) => self.policy.tie == Tie::Source,
                (true, mine, _) => mine.is_some(),
                (false, ..) if self.policy.strategy.takes_whole_rows() => {
                    self.source_wins(event, target)?
                }
                (false, ..) => self.policy.tie == Tie::Source,
            };
        if !applies {
            let kind = if by_version && !oldest {
                ConflictType::DeleteExists
            } else {
                ConflictType::DeleteOriginDiffers
            };
            return Ok((Bucket::Kept, Some(kind)));
        }
        match self.delete {
            DeleteMode::Soft => {
                self.rows.insert(event.id, (target.clone(), true));
            }
            DeleteMode::Hard | DeleteMode::Ignore => {
                self.rows.remove(&event.id);
            }
        }
        self.record_delete(event);
        Ok((
            Bucket::Written,
            conflict.then_some(ConflictType::DeleteOriginDiffers),
        ))
    }

    fn upsert_conflicts(&self, event: &Event, target: &Row) -> bool {
        let plain = self.policy.strategy == Strategy::SourceWins && self.policy.columns.is_empty();
        let detect = match self.policy.detect {
            Some(detect) => detect,
            None if plain => Detect::Row,
            None => Detect::Before,
        };
        let source = known(&event.row);
        let set = (0..self.columns.len()).filter(|&place| !event.row[place].is_unset());
        let mut set = set.map(|place| (place, source[place] != target[place]));
        match (detect, &event.before) {
            (Detect::Key, _) => true,
            (Detect::Version, _) => match (self.version(&source), self.version(target)) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(source), Some(target)) => target >= source,
            },
            (Detect::Row, _) | (Detect::Before, None) => set.any(|(_, differs)| differs),
            (Detect::Before, Some(before)) => set.any(|(place, differs)| {
                let changed = before[place].known() != target[place].as_ref();
                match before[place] {
                    Cell::Unset => differs,
                    _ if *self.strategy(place) == Strategy::Sum => changed,
                    _ => changed && differs,
                }
            }),
        }
    }

    /// Whether the source wins the whole row.
    fn source_wins(&self, event: &Event, target: &Row) -> Result<bool, Stop> {
        let source = known(&event.row);
        let (mine, theirs) = (self.version(&source), self.version(target));
        Ok(match &self.policy.strategy {
            Strategy::SourceWins => true,
            Strategy::NewestWins => self.ahead(mine, theirs),
            Strategy::OldestWins => self.behind(mine, theirs),
            Strategy::Manual => return Err(Stop::Queue),
            Strategy::Expression(text) if text == SIDE => {
                mine.zip(theirs).is_some_and(|(mine, theirs)| mine > theirs)
            }
            _ => false,
        })
    }

    /// Whether an upsert of this version wins under `newest_wins` (C3, C4).
    fn ahead(&self, source: Option<i64>, target: Option<i64>) -> bool {
        match (source, target) {
            (Some(source), Some(target)) if source != target => source > target,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => self.policy.tie == Tie::Source,
        }
    }

    /// The same as [`Model::ahead`], under `oldest_wins`.
    fn behind(&self, source: Option<i64>, target: Option<i64>) -> bool {
        match (source, target) {
            (Some(source), Some(target)) if source != target => source < target,
            other => self.ahead(other.0, other.1),
        }
    }

    fn strategy(&self, place: usize) -> &Strategy {
        let own = self.policy.columns.get(self.columns[place].name());
        own.unwrap_or(&self.policy.strategy)
    }

    fn version(&self, row: &Row) -> Option<i64> {
        match row[self.version?] {
            Some(Value::Version(version)) => Some(version),
            _ => None,
        }
    }

    /// Whether the versions of deletes are recorded (R12).
    fn records_deletes(&self) -> bool {
        let strategy = &self.policy.strategy;
        self.version.is_some()
            && (*strategy == Strategy::NewestWins || !strategy.takes_whole_rows())
    }

    fn record_delete(&mut self, event: &Event) {
        let Some(version) = self
            .version(&known(&event.row))
            .filter(|_| self.records_deletes())
        else {
            return;
        };
        let tombstone = self.tombstones.entry(event.id).or_insert(version);
        *tombstone = version.max(*tombstone);
    }
}

/// The values of a row; null where unset.
fn known(row: &[Cell]) -> Row {
    row.iter().map(|cell| cell.known().cloned()).collect()
}

fn differs(operation: Operation) -> ConflictType {
    match operation {
        Operation::Update => ConflictType::UpdateOriginDiffers,
        Operation::Delete => ConflictType::DeleteOriginDiffers,
        _ => ConflictType::InsertExists,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::{NullVersion, canonical_json};
    use crate::conformance::cells::show;
    use crate::conformance::decision_table::{TargetState, cases};

    /// The model knows no thresholds, no `null_version` and no other expressions.
    fn knows(policy: &ConflictPolicy) -> bool {
        policy.threshold.is_none()
            && policy.null_version == NullVersion::Loses
            && policy.strategies().all(|strategy| match strategy {
                Strategy::Expression(text) => [SIDE, ADDED].contains(&text.as_str()),
                _ => true,
            })
    }

    #[test]
    fn the_model_and_the_decision_table_agree() {
        let mut count = 0;
        for case in cases().into_iter().filter(|case| knows(&case.policy)) {
            let soft = matches!(case.target, TargetState::Marked(_));
            let delete = if soft {
                DeleteMode::Soft
            } else {
                DeleteMode::Hard
            };
            let mut model = Model::new(&case.policy, delete, &case.columns);
            match &case.target {
                TargetState::Absent => {}
                TargetState::Row(row) | TargetState::Marked(row) => {
                    model.rows.insert(0, (known(row), soft));
                }
                TargetState::Tombstone(version) => {
                    model.tombstones.insert(0, *version);
                }
            }
            let (bucket, kind) = model.apply(&case.event);
            let row = model.rows.get(&0).filter(|(_, marked)| !marked);
            let row: Option<Vec<Cell>> =
                row.map(|(row, _)| row.iter().cloned().map(Cell::of).collect());
            // Documents are compared by value.
            let by_value = |row: &[Cell]| {
                let shown = show(row);
                let cells = shown.split('|').map(|cell| match canonical_json(cell) {
                    Some(document) if cell.starts_with(['{', '[']) => document,
                    _ => cell.to_owned(),
                });
                cells.collect::<Vec<_>>().join("|")
            };
            let text = |row: &Option<Vec<Cell>>| row.as_deref().map_or("none".to_owned(), by_value);
            assert_eq!(
                (text(&row), bucket, kind),
                (
                    text(&case.row),
                    case.bucket.clone(),
                    case.conflict.map(|(kind, _)| kind)
                ),
                "decision_table.txt:{} {:?}",
                case.line,
                case.policy
            );
            count += 1;
        }
        assert!(count > 5_000, "{count}");
    }
}
