//! The rows that are there when a table is followed for the first time.
//!
//! All tables are read in one transaction, so that their rows stand for one moment, as long as the process
//! and its connection live.

use std::sync::Arc;

use super::bookmark::TableMark;
use super::relation::event_source;
use super::slot::{Followed, one};
use super::visible::SnapshotMark;
use crate::change::Table;
use crate::error::Error;
use crate::postgres::failure::Failure;
use crate::postgres::session::Session;
use crate::record::Partition;
use crate::source::{FetchedRows, Limits};
use crate::sql::source::{Pages, ReadOptions};

/// A transaction that sees the rows of one moment.
pub(super) struct Reading {
    /// Which transactions it sees.
    mark: SnapshotMark,
    /// The table that is read.
    current: Option<(String, Pages<()>)>,
}

impl Reading {
    /// Begins the transaction.
    ///
    /// # Errors
    /// As the database says.
    pub(super) async fn begin(session: &mut Session) -> Result<Self, Failure> {
        session
            .execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let snapshot = one(session, "SELECT pg_current_snapshot()::text").await?;
        let lsn = one(session, "SELECT pg_current_wal_insert_lsn()::text").await?;
        let mark = SnapshotMark::new(&snapshot, &lsn).ok_or_else(|| {
            Failure::Error(Error::configuration(
                "PostgreSQL says its snapshot in an unknown form: this is a defect, please report it",
            ))
        })?;
        Ok(Self {
            mark,
            current: None,
        })
    }

    /// The next rows of a table, and how far it has come with them. `first` is the number of the first row.
    ///
    /// # Errors
    /// As the database says.
    pub(super) async fn next(
        &mut self,
        session: &mut Session,
        (followed, table): (&Followed, &Arc<Table>),
        before: &TableMark,
        (partition, first): (&Partition, i64),
        (options, limits): (&ReadOptions, &Limits),
    ) -> Result<(FetchedRows, TableMark), Failure> {
        let name = format!("{}.{}", followed.schema, followed.name);
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != name)
        {
            let options = ReadOptions {
                tables: vec![name.clone()],
                key: Some(followed.key.clone()),
                ..options.clone()
            };
            let mut head = b"{\"op\":\"r".to_vec();
            head.extend(event_source(table));
            head.extend_from_slice(b",\"after\":");
            let envelope = (head, b"}".to_vec());
            let after = before.after.clone();
            let pages = Pages::open(session, &name, &options, after, envelope).await?;
            self.current = Some((name, pages));
        }
        let Some((_, pages)) = &mut self.current else {
            return Err(Failure::Error(Error::configuration("no table is read")));
        };
        let page = pages
            .next(session, limits, (partition, first), table)
            .await?;
        let mark = TableMark {
            reading: !page.is_last,
            after: page.after.filter(|_| !page.is_last),
            // What was read first is what the stream is compared with.
            holds: before.holds.clone().or_else(|| Some(self.mark.clone())),
        };
        if page.is_last {
            self.current = None;
        }
        let rows = FetchedRows {
            records: page.records,
            decoded: page.decoded,
            spans: Vec::new(),
        };
        Ok((rows, mark))
    }
}
