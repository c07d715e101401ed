//! The positions in MySQL, for a person.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::MysqlSink;
use super::session::open_connection;
use crate::error::Result;
use crate::positions::{Change, Kept, PositionStore};
use crate::sql::positions::store;

struct MysqlPositions {
    connection: MySqlConnection,
    pipeline: String,
    sink: String,
}

/// Opens the store.
///
/// # Errors
/// As [`super::connect`].
pub(super) async fn open_positions(
    config: &MysqlSink,
    pipeline: &str,
    sink: &str,
) -> Result<Box<dyn PositionStore>> {
    let (connection, _) = open_connection(config).await?;
    Ok(Box::new(MysqlPositions {
        connection,
        pipeline: pipeline.to_owned(),
        sink: sink.to_owned(),
    }))
}

#[async_trait]
impl PositionStore for MysqlPositions {
    async fn read(&mut self) -> Result<Kept> {
        let kept = store::read(&mut self.connection, &self.pipeline, &self.sink).await?;
        Ok(kept)
    }

    async fn change(&mut self, changes: &[Change]) -> Result<()> {
        store::change(&mut self.connection, &self.pipeline, &self.sink, changes).await?;
        Ok(())
    }

    async fn forget_tables(&mut self) -> Result<()> {
        store::forget_tables(&mut self.connection, &self.pipeline, &self.sink).await?;
        Ok(())
    }
}
