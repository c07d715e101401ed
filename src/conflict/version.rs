//! Compares versions and decides which side wins (C3–C7).
//!
//! Versions compare as instants or numbers, never as text (C5). A version is ahead of another if it
//! is higher, and with a threshold, higher by at least the threshold (C7). Two versions that are
//! not null and of which neither is ahead are a tie. A null loses, wins or is rejected by
//! `null_version` (C4). Two nulls are a tie.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int64Type, TimeUnit, UInt64Type,
};
use arrow::error::ArrowError;
use syncline_connectors::change::Changes;
use syncline_connectors::conflict::{ConflictPolicy, NullVersion, Number, Tie};
use syncline_connectors::error::Result;
use syncline_connectors::sql::version::{VersionKind, threshold};

use super::compare::normalize_floats;
use super::mask::{Mask, filter_of, true_rows, valid_rows, without};

/// The compiled version settings of a table.
#[derive(Debug)]
pub(super) struct Version {
    /// The index of the version column.
    pub(super) column: usize,
    kind: VersionKind,
    threshold: Option<Threshold>,
    /// How a null version is treated.
    pub(super) nulls: NullVersion,
    tie: Tie,
}

/// The minimum difference between two versions of which one is ahead.
#[derive(Debug)]
struct Threshold {
    /// `difference × factor ≥ least`, in whole units of the column.
    factor: i128,
    least: i128,
    /// The threshold in units of the value, for values that are not whole numbers.
    value: f64,
}

/// The comparison of the versions of two sides, row by row.
#[derive(Debug)]
pub(super) struct VersionOrder {
    /// The source's version is higher.
    pub(super) ahead: Mask,
    /// The target's version is higher.
    pub(super) behind: Mask,
    /// The source has a version.
    pub(super) source: Mask,
    /// The target has a version.
    pub(super) target: Mask,
}

/// Which version wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wins {
    Newest,
    Oldest,
}

impl Version {
    /// Compiles the version in column `column`, whose field is `field`.
    ///
    /// # Errors
    /// `Configuration` if the column cannot be a version, or the threshold does not fit it.
    pub(super) fn compile(policy: &ConflictPolicy, column: usize, field: &Field) -> Result<Self> {
        let kind = VersionKind::of(field)?;
        let threshold =
            threshold(policy, kind)?.map(|text| Threshold::of(&text, kind, field.data_type()));
        Ok(Self {
            column,
            kind,
            threshold,
            nulls: policy.null_version,
            tie: policy.tie,
        })
    }

    /// The versions of changes: for a delete, that of the deleted row, else its event time (C6).
    pub(super) fn of_changes(
        &self,
        changes: &Changes,
        deletes: &Mask,
    ) -> Result<ArrayRef, ArrowError> {
        let column = changes.rows.column(self.column);
        if self.kind != VersionKind::Instant || column.null_count() == 0 {
            return Ok(column.clone());
        }
        let without_version = without(deletes, &valid_rows(column));
        if !without_version.has_true() {
            return Ok(column.clone());
        }
        let times = TimestampMillisecondArray::from(changes.event_times_ms.clone());
        let times: ArrayRef = match column.data_type() {
            DataType::Timestamp(_, zone) => Arc::new(times.with_timezone_opt(zone.clone())),
            _ => Arc::new(times),
        };
        let times = cast(&times, column.data_type())?;
        zip(&filter_of(&without_version), &times, column)
    }

    /// Compares the versions of two sides.
    pub(super) fn compare(
        &self,
        source: &ArrayRef,
        target: &ArrayRef,
    ) -> Result<VersionOrder, ArrowError> {
        let (ahead, behind) = self.ahead_and_behind(source, target)?;
        Ok(VersionOrder {
            ahead,
            behind,
            source: valid_rows(source),
            target: valid_rows(target),
        })
    }

    fn ahead_and_behind(
        &self,
        source: &ArrayRef,
        target: &ArrayRef,
    ) -> Result<(Mask, Mask), ArrowError> {
        let is_text = source.data_type() == &DataType::Utf8;
        if self.threshold.is_none() && !is_text {
            let (source, target) = (normalize_floats(source), normalize_floats(target));
            let above: BooleanArray = cmp::gt(&source, &target)?;
            return Ok((true_rows(&above), true_rows(&cmp::lt(&source, &target)?)));
        }
        let both = &valid_rows(source) & &valid_rows(target);
        let order: Box<dyn Fn(usize) -> Ordering> = if is_text {
            let (source, target) = (source.clone(), target.clone());
            Box::new(move |row| {
                let (source, target) = (source.as_string::<i32>(), target.as_string::<i32>());
                self.order_texts(source.value(row), target.value(row))
            })
        } else if let (Some(source), Some(target)) = (integers(source)?, integers(target)?) {
            Box::new(move |row| self.order_integers(source[row], target[row]))
        } else {
            let (source, target) = (floats(source)?, floats(target)?);
            Box::new(move |row| {
                let value = |side: &ArrayRef| side.as_primitive::<Float64Type>().value(row);
                self.order_floats(value(&source), value(&target))
            })
        };
        let orders: Vec<Ordering> = (0..source.len())
            .map(|row| {
                if both.value(row) {
                    order(row)
                } else {
                    Ordering::Equal
                }
            })
            .collect();
        let rows_that_are =
            |wanted: Ordering| Mask::collect_bool(orders.len(), |row| orders[row] == wanted);
        Ok((
            rows_that_are(Ordering::Greater),
            rows_that_are(Ordering::Less),
        ))
    }

    fn order_integers(&self, source: i128, target: i128) -> Ordering {
        let apart = source.saturating_sub(target).saturating_abs();
        match &self.threshold {
            Some(threshold) if apart.saturating_mul(threshold.factor) < threshold.least => {
                Ordering::Equal
            }
            _ => source.cmp(&target),
        }
    }

    fn order_floats(&self, source: f64, target: f64) -> Ordering {
        match &self.threshold {
            Some(threshold) if (source - target).abs() < threshold.value => Ordering::Equal,
            _ => source.total_cmp(&target),
        }
    }

    /// Exact without a threshold; with a threshold, the difference is computed as a float.
    fn order_texts(&self, source: &str, target: &str) -> Ordering {
        if let Some(threshold) = &self.threshold
            && let (Ok(source), Ok(target)) = (source.parse::<f64>(), target.parse::<f64>())
            && (source - target).abs() < threshold.value
        {
            return Ordering::Equal;
        }
        Number::parse(source).cmp(&Number::parse(target))
    }

    /// The rows in which an upsert wins.
    pub(super) fn upserts_that_win(&self, order: &VersionOrder, wins: Wins) -> Mask {
        let mut won = self.higher(order, wins) | &self.wins_by_null(order);
        if self.tie == Tie::Source {
            won = &(&won | &order.ties()) | &order.both_null();
        }
        won
    }

    /// The rows in which a delete wins. It also wins if the row is the one that the source deleted
    /// (C6).
    pub(super) fn deletes_that_win(&self, order: &VersionOrder, wins: Wins) -> Mask {
        let mut won = self.higher(order, wins) | &self.wins_by_null(order);
        won = &won | &order.ties();
        if self.tie == Tie::Source {
            won = &won | &order.both_null();
        }
        won
    }

    /// The rows in which an upsert is not newer than the recorded delete of its key (R12).
    pub(super) fn upserts_before_delete(&self, order: &VersionOrder) -> Mask {
        let mut ahead = order.ahead.clone();
        if self.tie == Tie::Source {
            ahead = &ahead | &order.ties();
        }
        without(&order.target, &ahead)
    }

    fn higher<'a>(&self, order: &'a VersionOrder, wins: Wins) -> &'a Mask {
        match wins {
            Wins::Newest => &order.ahead,
            Wins::Oldest => &order.behind,
        }
    }

    /// One side has no version, and the source wins because of that (C4).
    fn wins_by_null(&self, order: &VersionOrder) -> Mask {
        match self.nulls {
            NullVersion::Loses | NullVersion::Reject => without(&order.source, &order.target),
            NullVersion::Wins => without(&order.target, &order.source),
        }
    }
}

impl VersionOrder {
    /// Both have a version, and neither is ahead.
    fn ties(&self) -> Mask {
        without(
            &(&self.source & &self.target),
            &(&self.ahead | &self.behind),
        )
    }

    fn both_null(&self) -> Mask {
        !&(&self.source | &self.target)
    }

    /// The reason why a side won a row by its version, for a person to read.
    pub(super) fn reason(&self, row: usize) -> &'static str {
        match (self.source.value(row), self.target.value(row)) {
            (false, false) => "neither side has a version",
            (false, true) => "the source has no version",
            (true, false) => "the target has no version",
            (true, true) if self.ahead.value(row) => "the source is newer",
            (true, true) if self.behind.value(row) => "the target is newer",
            (true, true) => "the versions are a tie",
        }
    }
}

impl Threshold {
    /// Parses a threshold: `text` is in microseconds for an instant, and plain digits for a number.
    fn of(text: &str, kind: VersionKind, data_type: &DataType) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let places = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
        let mantissa: i128 = format!("{whole}{fraction}").parse().unwrap_or(i128::MAX);
        let power = |exponent: u32| 10_i128.checked_pow(exponent).unwrap_or(i128::MAX);
        let (factor, scale) = match (kind, data_type) {
            (_, DataType::Timestamp(TimeUnit::Second, _)) => (1_000_000, 0),
            (_, DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64) => (1_000, 0),
            (_, DataType::Timestamp(TimeUnit::Nanosecond, _)) => (1, 3),
            (_, DataType::Date32) => (86_400_000_000, 0),
            (VersionKind::Number, DataType::Decimal128(_, scale)) => {
                (power(places), u32::try_from(*scale).unwrap_or(0))
            }
            (VersionKind::Number, _) => (power(places), 0),
            _ => (1, 0),
        };
        Self {
            factor,
            least: mantissa.saturating_mul(power(scale)),
            value: text.parse().unwrap_or(f64::INFINITY),
        }
    }
}

/// Whole numbers in the column's unit; `None` if the column has no such numbers.
fn integers(column: &ArrayRef) -> Result<Option<Vec<i128>>, ArrowError> {
    Ok(Some(match column.data_type() {
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().values().to_vec(),
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().values();
            values.iter().map(|&value| value.into()).collect()
        }
        data_type if data_type.is_integer() || data_type.is_temporal() => {
            let cast = cast(column, &DataType::Int64)?;
            let values = cast.as_primitive::<Int64Type>().values();
            values.iter().map(|&value| value.into()).collect()
        }
        _ => return Ok(None),
    }))
}

fn floats(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(&normalize_floats(column), &DataType::Float64)
}

#[cfg(test)]
mod tests;
