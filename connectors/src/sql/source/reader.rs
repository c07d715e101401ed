//! The source of one lane: one table after another, a page at a time.
//!
//! An error leaves everything where it was: the connection is dropped, and the round of the table begins
//! anew behind what was handed over.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::bookmark::Bookmark;
use super::layout::{Bounds, Layout, is_snapshot};
use super::options::ReadOptions;
use super::page::Page;
use super::progress::{Progress, Stage};
use super::rows::{Cells, ReadRows};
use crate::assignment::{Assignment, Remember};
use crate::change::Operation;
use crate::error::{Error, Result};
use crate::record::{Partition, Positions, Span};
use crate::sink::Identity;
use crate::source::{Event, FetchedRows, Limits, Opening, Purpose, Source};
use crate::sql::connection;
use crate::sql::failure::Failure;

/// How many rows the first page holds, while nobody knows how large they are.
const FIRST_PAGE_ROWS: usize = 1_000;

/// See the module docs.
pub(super) struct TableSource<C: ReadRows> {
    settings: C::Settings,
    options: ReadOptions,
    purpose: Purpose,
    connection: Option<C>,
    tables: Vec<TableState<C::Reader>>,
    /// Whether the tables were assigned.
    announced: bool,
    /// The table that is read.
    current: usize,
}

struct TableState<R> {
    name: String,
    partition: Partition,
    layout: Arc<Layout<R>>,
    /// `None` before it is known where to begin.
    progress: Option<Progress>,
    page_rows: usize,
    /// Whether the last try met a table that had changed.
    stale: bool,
}

impl<C: ReadRows> TableSource<C> {
    /// Connects, and looks at the tables of the lane.
    pub(super) async fn open(
        settings: &C::Settings,
        options: &ReadOptions,
        opening: &Opening,
    ) -> Result<Self> {
        let mut connection = open::<C>(settings).await?;
        let mut tables = Vec::new();
        let of_lane = options.tables.iter().skip(opening.lane.number);
        for name in of_lane.step_by(opening.lane.of.max(1)) {
            let layout = Layout::read(&mut connection, name, options).await;
            tables.push(TableState {
                name: name.clone(),
                partition: Partition {
                    topic: name.as_str().into(),
                    number: 0,
                },
                layout: Arc::new(layout.map_err(Failure::into_error)?),
                progress: None,
                page_rows: FIRST_PAGE_ROWS,
                stale: false,
            });
        }
        Ok(Self {
            settings: settings.clone(),
            options: options.clone(),
            purpose: opening.purpose,
            connection: Some(connection),
            tables,
            announced: false,
            current: 0,
        })
    }

    /// The next table with something to read: the current one, else one whose time has come.
    fn choose(&mut self) -> Option<usize> {
        let now = Instant::now();
        let is_ready = |table: &TableState<C::Reader>| match &table.progress {
            None => false,
            Some(progress) => match progress.stage {
                Stage::Waiting(due) => due.is_some_and(|due| due <= now),
                Stage::LookBack { .. } | Stage::Ahead => true,
            },
        };
        let count = self.tables.len();
        let found = (0..count)
            .map(|step| (self.current + step) % count)
            .find(|&index| is_ready(&self.tables[index]))?;
        self.current = found;
        Some(found)
    }

    /// Whether no table will ever have something to read.
    fn is_drained(&self) -> bool {
        let is_over = |table: &TableState<C::Reader>| {
            let stage = table.progress.as_ref().map(|progress| &progress.stage);
            stage == Some(&Stage::Waiting(None))
        };
        self.purpose != Purpose::Follow && self.tables.iter().all(is_over)
    }

    /// Nothing is to be read: waits for a moment.
    async fn rest(&mut self, limits: &Limits) -> Event {
        if self.is_drained() {
            return Event::End;
        }
        tokio::time::sleep(limits.linger).await;
        Event::Idle
    }

    async fn connection(&mut self) -> Result<&mut C> {
        if self.connection.is_none() {
            self.connection = Some(open::<C>(&self.settings).await?);
        }
        Ok(self.connection.as_mut().expect("it was opened above"))
    }

    /// Begins a round of a table: looks at it anew.
    async fn begin_round(&mut self, index: usize) -> Result<(), Failure> {
        let (name, options) = (self.tables[index].name.clone(), self.options.clone());
        let connection = self.connection().await?;
        let layout = Layout::read(connection, &name, &options).await?;
        layout.refuse_gaps(connection).await?;
        let table = &mut self.tables[index];
        let start = Bookmark::start(options.mode, &layout.by());
        if layout.by() != table.layout.by() {
            return Err(Failure::Error(Error::configuration(format!(
                "the key of table {name:?} is another one now ({}): `syncline positions reset FILE --source NAME` reads it from its beginning",
                layout.by().join(", ")
            ))));
        }
        // A schema that is the same stays the same to whoever compares addresses.
        if layout.schema != table.layout.schema || layout.key != table.layout.key {
            table.layout = Arc::new(layout);
        }
        let progress = table.progress.as_mut().expect("it was assigned");
        if is_snapshot(&options) && progress.bookmark.ended_ms.is_some() {
            progress.bookmark = start;
        }
        progress.stage = match (options.look_back()?, &progress.bookmark.after) {
            (Some(look_back), Some(highest)) => Stage::LookBack {
                lowest: look_back.below(&table.layout.order[0].name, &highest[0])?,
                at: None,
            },
            _ => Stage::Ahead,
        };
        Ok(())
    }

    /// Reads the next page of a table.
    async fn read(&mut self, index: usize, limits: &Limits) -> Result<Event, Failure> {
        if let Some(Progress {
            stage: Stage::Waiting(_),
            ..
        }) = self.tables[index].progress
        {
            self.begin_round(index).await?;
        }
        let table = &self.tables[index];
        let layout = table.layout.clone();
        let progress = table.progress.as_ref().expect("it was assigned");
        let bounds = match &progress.stage {
            Stage::LookBack { lowest, at } => Bounds {
                lowest: Some(lowest),
                after: at.as_ref(),
                until: progress.bookmark.after.as_ref(),
            },
            Stage::Ahead | Stage::Waiting(_) => Bounds {
                after: progress.bookmark.after.as_ref(),
                ..Bounds::default()
            },
        };
        let limit = table.page_rows.clamp(1, limits.rows);
        let sql = layout.page(&bounds, limit)?;
        let (readers, places) = (layout.readers.clone(), layout.order.len());
        let cells = self.connection().await?.rows(sql, readers, places).await?;
        let table = &mut self.tables[index];
        table.stale = false;
        Ok(table.take(&layout, &cells, limit, limits, &self.options, self.purpose)?)
    }
}

impl<R> TableState<R> {
    /// Makes an event of a page, and moves on behind it.
    fn take(
        &mut self,
        layout: &Layout<R>,
        cells: &Cells,
        limit: usize,
        limits: &Limits,
        options: &ReadOptions,
        purpose: Purpose,
    ) -> Result<Event> {
        let page = Page::new(layout, cells);
        let count = page.len();
        let last = page.last_place()?;
        let is_last = count < limit;
        let progress = self.progress.as_mut().expect("it was assigned");
        let looks_back = matches!(progress.stage, Stage::LookBack { .. });
        let behind = match &progress.stage {
            Stage::LookBack { at, .. } => at.as_ref(),
            Stage::Ahead | Stage::Waiting(_) => progress.bookmark.after.as_ref(),
        };
        if last.is_some() && last.as_ref() == behind {
            return Err(layout.refused(
                "a row that comes behind itself in the order",
                "take another column for key or cursor",
            ));
        }
        if let Some(row_bytes) = cells.size().checked_div(count) {
            self.page_rows = (limits.bytes / row_bytes.max(1)).max(1);
        }
        let remembers = options.lookback.is_some();
        let mut rows: Vec<usize> = Vec::with_capacity(count);
        for row in 0..count {
            let repeats = remembers && progress.seen.note(page.values(row));
            if !(looks_back && repeats) {
                rows.push(row);
            }
        }
        let operation = match is_snapshot(options) {
            true => Operation::Read,
            false => Operation::Update,
        };
        let (records, decoded) =
            page.changes(&rows, &self.partition, progress.number, operation)?;
        let mut moved = rows.len() as i64;
        if let (false, Some(place)) = (looks_back, &last) {
            progress.bookmark = progress.bookmark.behind(place.clone());
        }
        match &mut progress.stage {
            Stage::LookBack { at, .. } if !is_last => *at = last,
            Stage::LookBack { .. } => progress.stage = Stage::Ahead,
            _ if !is_last => {}
            _ => {
                progress.seen.end_round();
                let interval = options.interval()?;
                if is_snapshot(options) {
                    progress.bookmark.ended_ms = Some(chrono::Utc::now().timestamp_millis());
                    // The end is kept, also where no row comes with it.
                    moved = moved.max(1);
                }
                let again = interval.filter(|_| purpose == Purpose::Follow);
                progress.stage = Stage::Waiting(again.map(|interval| Instant::now() + interval));
            }
        }
        if moved == 0 {
            return Ok(Event::Idle);
        }
        let next = progress.number + moved;
        let span = Span {
            partition: self.partition.clone(),
            from: progress.from,
            next,
            incarnation: Some(progress.bookmark.text()),
        };
        progress.number = next;
        progress.from = Some(next);
        Ok(Event::Rows(FetchedRows {
            records,
            decoded,
            spans: vec![span],
        }))
    }
}

#[async_trait]
impl<C: ReadRows> Source for TableSource<C> {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            let partitions = self.tables.iter().map(|table| table.partition.clone());
            return Ok(Event::Assigned(partitions.collect()));
        }
        if limits.rows == 0 {
            tokio::time::sleep(limits.linger).await;
            return Ok(Event::Idle);
        }
        let Some(index) = self.choose() else {
            return Ok(self.rest(limits).await);
        };
        let failure = match self.read(index, limits).await {
            Ok(event) => return Ok(event),
            Err(failure) => failure,
        };
        self.connection = None;
        let table = &mut self.tables[index];
        if let Some(progress) = &mut table.progress {
            progress.stage = Stage::Waiting(Some(Instant::now()));
        }
        match failure {
            // A table that changed while it was read: looked at anew, once.
            Failure::Stale(_) if !table.stale => {
                table.stale = true;
                Ok(Event::Idle)
            }
            failure => Err(failure.into_error()),
        }
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        let interval = self.options.interval()?;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let mut remember = Vec::new();
        for assignment in assignments {
            let mut tables = self.tables.iter_mut();
            let Some(table) = tables.find(|table| table.partition == assignment.partition) else {
                continue;
            };
            let start = Bookmark::start(self.options.mode, &table.layout.by());
            let (mut progress, set_back) = Progress::begin(assignment, &start)?;
            let due = progress.due_again(interval, now_ms);
            let due = due.filter(|due| self.purpose == Purpose::Follow || *due <= Instant::now());
            if due.is_none() {
                tracing::info!(
                    table = table.name,
                    "the snapshot of this table has ended: every = \"…\" takes another, `syncline positions reset` too"
                );
            }
            progress.stage = Stage::Waiting(due);
            remember.extend(set_back);
            table.progress = Some(progress);
        }
        Ok(remember)
    }

    async fn acknowledge(&mut self, _positions: &Positions) -> Result<()> {
        // The sinks keep the positions; a database does not need to know.
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(self: Box<Self>) -> Result<()> {
        match self.connection {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

async fn open<C: ReadRows>(settings: &C::Settings) -> Result<C> {
    let reader = Identity {
        pipeline: "source".to_owned(),
        sink: "source".to_owned(),
        source: "source".to_owned(),
    };
    C::open(settings, &reader, connection::Purpose::ReadOnly).await
}
