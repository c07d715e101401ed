//! The positions of one sink as a person sees and moves them.
//!
//! Reading creates nothing. A change is made in one transaction, compares each position with what the
//! person saw, and is refused while a session of the sink is open, on whatever machine it runs. A sink
//! that keeps no positions (a file) has no store.

use async_trait::async_trait;

use crate::error::Result;
use crate::record::{Held, Partition};

/// What a target keeps of one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The `table` setting that the positions were written for; `None` where nothing is known of it.
    pub table: Option<String>,
    /// The tables that were written.
    pub tables: Vec<String>,
    /// The positions, by source, topic and partition.
    pub positions: Vec<KeptPosition>,
}

/// One position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPosition {
    /// The source's name in the pipeline.
    pub source: String,
    /// Which partition of it.
    pub partition: Partition,
    /// Where it stands.
    pub held: Held,
}

/// One change of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The source's name in the pipeline.
    pub source: String,
    /// Which partition of it.
    pub partition: Partition,
    /// Where it stands before; `None` where there is no position.
    pub from: Option<i64>,
    /// Where it is to stand; `None` removes it. One of both is given.
    pub to: Option<Held>,
}

/// The positions of one sink.
#[async_trait]
pub trait PositionStore: Send {
    /// What is kept.
    ///
    /// # Errors
    /// `Unavailable`, or `Configuration` where the target refuses.
    async fn read(&mut self) -> Result<Kept>;

    /// Makes changes, all or none.
    ///
    /// # Errors
    /// As [`PositionStore::read`], and `Configuration` where the pipeline runs or a position was moved.
    async fn change(&mut self, changes: &[Change]) -> Result<()>;

    /// Forgets which tables the positions belong to and keeps the positions: the next start takes the
    /// tables as it finds them.
    ///
    /// # Errors
    /// As [`PositionStore::change`].
    async fn forget_tables(&mut self) -> Result<()>;
}
