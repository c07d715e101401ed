//! The positions in a SQLite file, for a person. The file is opened for each question anew, to read
//! where nothing is changed.

use async_trait::async_trait;
use rusqlite::Connection;

use super::failure::of_statement;
use super::positions::{Statements, ready};
use super::{SqliteSink, lock, session};
use crate::error::{Error, Result};
use crate::positions::{Change, Kept, PositionStore};
use crate::sql::positions::lock::SinkLock;
use crate::sql::positions::store;

struct SqlitePositions {
    config: SqliteSink,
    pipeline: String,
    sink: String,
}

/// Opens the store; a file that is not there holds no positions.
pub(super) fn open_positions(
    config: &SqliteSink,
    pipeline: &str,
    sink: &str,
) -> Box<dyn PositionStore> {
    Box::new(SqlitePositions {
        config: config.clone(),
        pipeline: pipeline.to_owned(),
        sink: sink.to_owned(),
    })
}

fn open(
    config: &SqliteSink,
    open: impl FnOnce(&SqliteSink) -> rusqlite::Result<Connection>,
) -> Result<Connection> {
    let doing = format!("opening SQLite file {:?}", config.path);
    open(config).map_err(|error| of_statement(&doing, error))
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let stopped = |cause| Error::unavailable("the work on the SQLite file was broken off", cause);
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[async_trait]
impl PositionStore for SqlitePositions {
    async fn read(&mut self) -> Result<Kept> {
        let (config, pipeline, sink) = (
            self.config.clone(),
            self.pipeline.clone(),
            self.sink.clone(),
        );
        on_a_thread(move || {
            let mut connection = open(&config, session::open_to_read)?;
            let mut statements = Statements(&mut connection);
            ready(store::read(&mut statements, &pipeline, &sink))
        })
        .await
    }

    async fn change(&mut self, changes: &[Change]) -> Result<()> {
        let changes = changes.to_vec();
        self.alone(move |statements, pipeline, sink| {
            ready(store::change(statements, pipeline, sink, &changes))
        })
        .await
    }

    async fn forget_tables(&mut self) -> Result<()> {
        self.alone(|statements, pipeline, sink| {
            ready(store::forget_tables(statements, pipeline, sink))
        })
        .await
    }
}

impl SqlitePositions {
    /// Changes something while no session of the sink is open.
    async fn alone(
        &self,
        change: impl FnOnce(&mut Statements<'_>, &str, &str) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (config, pipeline, sink) = (
            self.config.clone(),
            self.pipeline.clone(),
            self.sink.clone(),
        );
        on_a_thread(move || {
            let mut connection = open(&config, session::open_to_write)?;
            let lock = SinkLock::new(&pipeline, &sink);
            let Some(_alone) = lock::take_alone(&config, &lock)? else {
                return Err(lock.held());
            };
            change(&mut Statements(&mut connection), &pipeline, &sink)
        })
        .await
    }
}
