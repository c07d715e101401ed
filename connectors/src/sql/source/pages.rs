//! One table read once, page by page in the order of its key, for a source that goes on with the changes
//! of a log.

use std::sync::Arc;

use super::bookmark::Place;
use super::layout::{Bounds, Layout};
use super::options::ReadOptions;
use super::page::Page;
use super::rows::ReadRows;
use crate::change::{Operation, Table};
use crate::error::Result;
use crate::format::Decoded;
use crate::record::{Partition, Records};
use crate::source::Limits;
use crate::sql::failure::Failure;

/// How many rows the first page holds, while nobody knows how large they are.
const FIRST_PAGE_ROWS: usize = 1_000;

/// A table that is being read.
pub(crate) struct Pages<R> {
    layout: Layout<R>,
    /// Behind which row; `None` before the first.
    after: Option<Place>,
    page_rows: usize,
    /// What stands before and behind the row in each record.
    envelope: (Vec<u8>, Vec<u8>),
}

/// Rows of a table.
pub(crate) struct PageRead {
    pub(crate) records: Arc<Records>,
    pub(crate) decoded: Decoded,
    /// Behind which row the next page begins.
    pub(crate) after: Option<Place>,
    /// Whether no row is left.
    pub(crate) is_last: bool,
}

impl<R: Clone + Send + Sync + 'static> Pages<R> {
    /// Looks at a table, and refuses one whose rows would be passed over.
    ///
    /// # Errors
    /// `Configuration` where it cannot be read in order; as the database says.
    pub(crate) async fn open<C: ReadRows<Reader = R>>(
        connection: &mut C,
        name: &str,
        options: &ReadOptions,
        after: Option<Place>,
        envelope: (Vec<u8>, Vec<u8>),
    ) -> Result<Self, Failure> {
        let layout = Layout::read(connection, name, options).await?;
        layout.refuse_gaps(connection).await?;
        Ok(Self {
            layout,
            after,
            page_rows: FIRST_PAGE_ROWS,
            envelope,
        })
    }

    /// The next rows, as changes of `table` whose records are numbered from `first` on.
    ///
    /// # Errors
    /// As the database says.
    pub(crate) async fn next<C: ReadRows<Reader = R>>(
        &mut self,
        connection: &mut C,
        limits: &Limits,
        (partition, first): (&Partition, i64),
        table: &Arc<Table>,
    ) -> Result<PageRead, Failure> {
        let bounds = Bounds {
            after: self.after.as_ref(),
            ..Bounds::default()
        };
        let limit = self.page_rows.clamp(1, limits.rows.max(1));
        let sql = self.layout.page(&bounds, limit)?;
        let (readers, places) = (self.layout.readers.clone(), self.layout.order.len());
        let cells = connection.rows(sql, readers, places).await?;
        let page = Page::new(&self.layout, &cells).within(&self.envelope);
        let count = page.len();
        if let Some(row_bytes) = cells.size().checked_div(count) {
            self.page_rows = (limits.bytes / row_bytes.max(1)).max(1);
        }
        let rows: Vec<usize> = (0..count).collect();
        let (records, mut decoded) = page.changes(&rows, partition, first, Operation::Read)?;
        for changes in &mut decoded.changes {
            changes.table = table.clone();
        }
        if let Some(place) = page.last_place()? {
            self.after = Some(place);
        }
        Ok(PageRead {
            records,
            decoded,
            after: self.after.clone(),
            is_last: count < limit,
        })
    }
}
