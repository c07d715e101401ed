//! The sink that takes everything and keeps nothing: for benchmarks, and to try a pipeline.
//!
//! It keeps no positions: every run begins where the source says. A change is written when it was
//! taken; duplicates, deletes and ties are all the same to it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::HeldPositions;
use crate::sink::{Outcome, Sink, Write};

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

/// Opens it.
pub fn connect() -> Box<dyn Sink> {
    Box::new(Blackhole)
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
