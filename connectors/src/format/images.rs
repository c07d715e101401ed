//! The rows before of a stream's updates: columns beside its own, in step with them.
//!
//! They are filled up with nulls only once an image comes: a stream without images pays nothing. What
//! cannot be read, or holds no more than the key, is no image; it never costs the change.

use arrow::array::BooleanBufferBuilder;

use super::column::Column;
use super::head::Head;
use super::layout::{Layout, Span};
use super::reading::Placeholder;
use super::scan::Cursor;
use crate::change::Image;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Images {
    /// As many entries as `present`, and one more while an image is pending.
    columns: Vec<Column>,
    /// Whether a row has an image, up to the last that has one.
    present: BooleanBufferBuilder,
    /// An image was read whose row is not committed yet.
    pending: bool,
    /// The pending one is kept although it holds no more than the key.
    forced: bool,
}

impl Images {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            columns: layout.columns(),
            present: BooleanBufferBuilder::new(0),
            pending: false,
            forced: false,
        }
    }

    /// Whether an image waits for its row to be committed.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Reads the object that stands next as the image of the row that is to be committed as `row`,
    /// and notes where its key fields stand. False where it cannot be read; then nothing is kept, and
    /// the cursor stands anywhere.
    pub(super) fn read(
        &mut self,
        layout: &mut Layout,
        row: usize,
        spans: &mut [Span],
        cursor: &mut Cursor<'_>,
        placeholder: &Placeholder,
    ) -> bool {
        self.rollback();
        self.fill(row);
        let head = &mut Head::default();
        let read = layout.read(&mut self.columns, row, spans, cursor, placeholder, head);
        self.pending = true;
        self.forced = false;
        if read.is_err() {
            self.rollback();
        }
        self.pending
    }

    /// Keeps the pending image also where it holds no more than the key, all else then being unset.
    /// False where a value of the key is missing: then nothing is kept.
    pub(super) fn force(&mut self, layout: &Layout, row: usize) -> bool {
        let lacks = |column: &Column| column.is_null(row) || column.is_unset(row);
        let keyless = layout.key.is_none();
        if !self.pending || keyless || layout.key_columns(&self.columns).any(lacks) {
            self.rollback();
            return false;
        }
        if !layout.holds_more_than_key(&self.columns, row) {
            for column in layout.other_columns(&mut self.columns) {
                column.truncate(row);
                column.append_unset();
            }
        }
        self.forced = true;
        true
    }

    /// Keeps the image that is pending as that of `row`, where it holds more than the key.
    pub(super) fn commit(&mut self, layout: &Layout, row: usize) {
        if !self.pending {
            return;
        }
        if self.forced || layout.holds_more_than_key(&self.columns, row) {
            self.pending = false;
            self.present.append(true);
        } else {
            self.rollback();
        }
    }

    /// Takes back the image that is pending.
    pub(super) fn rollback(&mut self) {
        if self.pending {
            self.truncate(self.present.len());
        }
    }

    /// Takes back the images of all but the first `rows`, and the one that is pending.
    pub(super) fn truncate(&mut self, rows: usize) {
        let rows = rows.min(self.present.len());
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.present.truncate(rows);
        self.pending = false;
    }

    /// The images of `rows` rows; nothing where there are none. None are left.
    pub(super) fn take(&mut self, layout: &Layout, rows: usize) -> Option<Image> {
        self.rollback();
        if (0..self.present.len()).all(|row| !self.present.get_bit(row)) {
            self.truncate(0);
            return None;
        }
        self.fill(rows);
        let present = self.present.finish();
        let (rows, unset, _) = layout.take(&mut self.columns, rows);
        Some(Image {
            rows,
            unset,
            present,
        })
    }

    /// Rows up to this one have no image.
    fn fill(&mut self, row: usize) {
        let missing = row - self.present.len();
        for column in &mut self.columns {
            (0..missing).for_each(|_| column.append_null());
        }
        self.present.append_n(missing, false);
    }
}
