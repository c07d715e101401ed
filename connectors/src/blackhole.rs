//! The sink that takes everything and keeps nothing: for benchmarks, and to try a pipeline.
//!
//! It keeps no positions: every run begins where the source says. A change is written when it was
//! taken; duplicates, deletes and ties are all the same to it.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conflict::Resolvers;
use crate::conflict_queue::ConflictQueue;
use crate::error::Result;
use crate::positions::PositionStore;
use crate::problem::Problem;
use crate::record::HeldPositions;
use crate::sink::{Identity, Outcome, Sink, SinkConfig, SinkSettings, Write};
use crate::sql::Options;

/// A sink that counts changes and forgets them.
///
/// ```toml
/// [sinks.nowhere]
/// type   = "blackhole"
/// inputs = ["crm"]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlackholeSink {}

#[async_trait]
impl SinkSettings for BlackholeSink {
    fn kind(&self) -> &'static str {
        "blackhole"
    }

    fn options(&self) -> Option<Options> {
        None
    }

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    async fn default_key(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn connect(
        &self,
        _identity: &Identity,
        _resolvers: &Arc<dyn Resolvers>,
    ) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Blackhole))
    }

    fn guarded(&self) -> Option<SinkConfig> {
        None
    }

    async fn open_queue(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn ConflictQueue>>> {
        Ok(None)
    }

    async fn open_positions(
        &self,
        _pipeline: &str,
        _sink: &str,
    ) -> Result<Option<Box<dyn PositionStore>>> {
        Ok(None)
    }
}

struct Blackhole;

#[async_trait]
impl Sink for Blackhole {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        Ok(None)
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
