//! Gives the columns of changes the types of the table's columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{FieldRef, Schema};

use super::kinds::lent_field;
use super::read::read_as;
use super::{Lent, Undeclared, count_values, read, with_columns};
use crate::change::{Changes, Image, Operation, is_undeclared};
use crate::error::{Error, RejectedRow, Result};
use crate::sql::Options;
use crate::sql::catalogue::{Plan, TargetTable};
use crate::sql::dialect::Dialect;
use crate::sql::types::arrow_field;

impl Undeclared {
    /// The changes in the types of `table`, for which `plan` was made. `whole`: a resolver looks at
    /// every column.
    ///
    /// # Errors
    /// `Configuration` where a type of the target cannot be read.
    pub(crate) fn lend(
        &self,
        dialect: &'static Dialect,
        options: &Options,
        table: &TargetTable,
        plan: &Plan,
        whole: bool,
    ) -> Result<Lent> {
        let changes = &self.changes;
        let schema = changes.schema();
        let needed = self.needed(options)?;
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut images: Vec<ArrayRef> = Vec::new();
        let mut image_unset = Vec::new();
        let mut indices = Vec::new();
        let mut unset = changes.unset.clone();
        let mut refused: Vec<Option<RejectedRow>> = vec![None; changes.len()];
        let (mut left_out, mut left_out_columns) = (0, Vec::new());
        for (index, field) in schema.fields().iter().enumerate() {
            let before = changes.before.as_ref();
            let image = before.map(|image| (image.rows.column(index), image.unset[index].clone()));
            if !is_undeclared(field) {
                fields.push(field.clone());
                columns.push(changes.rows.column(index).clone());
                if let Some((column, unset)) = image {
                    images.push(column.clone());
                    image_unset.push(unset);
                }
                indices.push(index);
                continue;
            }
            let placed = plan.columns[index].as_deref();
            let column = placed.and_then(|name| table.column(name));
            let Some(column) = column else {
                if plan.left_out.contains(&index) {
                    left_out += count_values(changes, index);
                    left_out_columns.push(field.name().clone());
                }
                continue;
            };
            if self.is_not_carried(index) && !whole && !needed.contains(&field.name().as_str()) {
                continue;
            }
            // A column that was renamed for an older type goes under its new name.
            let name = match column.name.eq_ignore_ascii_case(field.name()) {
                true => field.name(),
                false => &column.name,
            };
            let widens = options.evolves();
            let lent = read::target_field(dialect, name, column, field, widens);
            let read = read_as(dialect, field, changes.rows.column(index), &lent, column)?;
            if let Some(unfit) = read.unfit {
                let is_key = self.key.iter().any(|key| key == field.name());
                let is_image = |row: usize| changes.operations[row] == Operation::Delete && !is_key;
                // No row of the target is like that: the image says no more than its key (C1).
                let unknown = BooleanBuffer::collect_bool(changes.len(), |row| {
                    unfit.value(row) && is_image(row)
                });
                if unknown.count_set_bits() > 0 {
                    unset[index] = Some(match &changes.unset[index] {
                        Some(unset) => unset | &unknown,
                        None => unknown,
                    });
                }
                for row in unfit.set_indices().filter(|&row| !is_image(row)) {
                    refused[row].get_or_insert_with(|| RejectedRow {
                        row,
                        rule: format!("type {}", column.sql_type),
                        field: Some(field.name().clone()),
                        reason: read.reason.clone(),
                    });
                }
            }
            if let Some((values, unset)) = image {
                // What an image holds and the column does not is not known.
                let read = read_as(dialect, field, values, &lent, column)?;
                let unknown = match (unset, read.unfit) {
                    (Some(unset), Some(unfit)) => Some(&unset | &unfit),
                    (unset, unfit) => unset.or(unfit),
                };
                images.push(read.array);
                image_unset.push(unknown);
            }
            fields.push(Arc::new(lent_field(lent)));
            columns.push(read.array);
            indices.push(index);
        }
        let masks = |masks: &[Option<BooleanBuffer>]| -> Vec<Option<BooleanBuffer>> {
            let mask = |&index: &usize| masks.get(index).cloned().flatten();
            indices.iter().map(mask).collect()
        };
        let schema = Arc::new(Schema::new(fields));
        let row_count = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let build = |columns| {
            RecordBatch::try_new_with_options(schema.clone(), columns, &row_count)
                .map_err(Error::configuration)
        };
        let before = match &changes.before {
            Some(image) => Some(Image {
                rows: build(images)?,
                unset: image_unset,
                present: image.present.clone(),
            }),
            None => None,
        };
        let lent = Changes {
            rows: build(columns)?,
            unset: masks(&unset),
            not_carried: masks(&changes.not_carried),
            before,
            ..changes.clone()
        };
        let added = self.added(dialect, &lent, table, options, &needed, whole);
        Ok(Lent {
            changes: with_columns(&lent, added)?,
            rejected: refused.into_iter().flatten().collect(),
            left_out,
            left_out_columns,
        })
    }

    /// Columns of the target that no row carries and that have to be there.
    pub(super) fn added(
        &self,
        dialect: &'static Dialect,
        lent: &Changes,
        table: &TargetTable,
        options: &Options,
        needed: &[&str],
        whole: bool,
    ) -> Vec<FieldRef> {
        let schema = lent.schema();
        let beside_key = |name: &str| !self.key.iter().any(|key| key == name);
        let deletes = lent.operations.contains(&Operation::Delete);
        // A delete that knows nothing but its key differs from one whose table has nothing else (C1).
        let mut compares =
            !deletes || (schema.fields().iter()).any(|field| beside_key(field.name()));
        let mut added: Vec<FieldRef> = Vec::new();
        for column in &table.columns {
            let name = column.name.as_str();
            let means = |other: &str| {
                let meant = table.named(other, options.case);
                meant.is_some_and(|meant| meant.name == name)
            };
            let is_there = schema.fields().iter().any(|field| means(field.name()));
            if is_there || column.generated || options.mark().is_some_and(means) {
                continue;
            }
            let first_beside_key = !compares && beside_key(name);
            if whole || needed.contains(&name) || first_beside_key {
                compares |= beside_key(name);
                let field = arrow_field(dialect, name, &column.sql_type);
                added.push(Arc::new(lent_field(field)));
            }
        }
        added
    }
}
