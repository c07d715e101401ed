//! The settings of a source of tables as [`SourceSettings`], once for every database.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;

use super::options::{ReadMode, ReadOptions};
use super::{decoding, survey};
use crate::error::Result;
use crate::format::Decoding;
use crate::problem::Problem;
use crate::source::{Description, Extent, Opening, Source, SourceSettings, Wanted};

/// The settings of one database.
pub(crate) trait TableSettings: fmt::Debug + Send + Sync {
    /// The value of `type`.
    const KIND: &'static str;

    /// Whether it can read changes from the log of its database.
    const HAS_LOG: bool;

    /// What every source of tables can be told.
    fn options(&self) -> &ReadOptions;

    /// What is wrong with the settings that say where the database is.
    fn check_place(&self) -> Vec<Problem>;

    /// Opens the source of one lane: [`connect`](super::connect) with the database's connection.
    ///
    /// # Errors
    /// As [`SourceSettings::connect`].
    fn open(&self, opening: &Opening) -> impl Future<Output = Result<Box<dyn Source>>> + Send;
}

#[async_trait]
impl<T: TableSettings> SourceSettings for T {
    fn describe(&self) -> Description<'_> {
        Description {
            kind: T::KIND,
            topic: self.options().tables.first().map_or("", String::as_str),
            local: false,
        }
    }

    fn decoding(&self) -> &Decoding {
        decoding(self.options().mode)
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_place();
        problems.extend(self.options().check());
        if self.options().mode == ReadMode::Replication && !Self::HAS_LOG {
            let message = "only for PostgreSQL: expected \"snapshot\" or \"cursor\"";
            problems.push(Problem::new(&["mode"], message));
        }
        problems
    }

    async fn lanes(&self, lanes_max: usize) -> Result<usize> {
        // A log is one stream.
        if self.options().mode == ReadMode::Replication {
            return Ok(1);
        }
        Ok(self.options().tables.len().clamp(1, lanes_max.max(1)))
    }

    async fn connect(&self, opening: Opening) -> Result<Box<dyn Source>> {
        self.open(&opening).await
    }

    async fn survey(&self, _wanted: &Wanted) -> Result<Vec<Extent>> {
        survey()
    }
}
