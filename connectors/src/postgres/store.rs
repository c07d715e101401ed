//! The positions in PostgreSQL, for a person.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresSink;
use super::session::{Link, open_connection};
use crate::error::Result;
use crate::positions::{Change, Kept, PositionStore};
use crate::sql::positions::store;

struct PostgresPositions {
    connection: PgConnection,
    /// Carries the connection.
    _link: Link,
    pipeline: String,
    sink: String,
}

/// Opens the store.
///
/// # Errors
/// As [`super::connect`].
pub(super) async fn open_positions(
    config: &PostgresSink,
    pipeline: &str,
    sink: &str,
) -> Result<Box<dyn PositionStore>> {
    let (connection, link) = open_connection(config, pipeline).await?;
    Ok(Box::new(PostgresPositions {
        connection,
        _link: link,
        pipeline: pipeline.to_owned(),
        sink: sink.to_owned(),
    }))
}

#[async_trait]
impl PositionStore for PostgresPositions {
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
