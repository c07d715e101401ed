//! What a lane and a writer tell each other.

use std::time::Instant;

use syncline_connectors::error::{Error, Result};
use syncline_connectors::record::{HeldPositions, Span};
use syncline_connectors::sink::Write;
use tokio::sync::oneshot;

use crate::run::account::Tally;

/// One fetch on its way into one sink.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The number that the lane's tracker gave the fetch.
    pub(crate) number: u64,
    pub(crate) write: Write,
    pub(crate) tally: Tally,
    pub(crate) fetched_at: Instant,
    /// Memory that the delivery holds.
    pub(crate) bytes: usize,
}

/// What a lane asks of a writer; answered in order.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make this durable.
    Deliver(Delivery),
    /// Read the positions afresh, once everything before is finished or given back.
    Positions(oneshot::Sender<Result<Option<HeldPositions>>>),
    /// Keep these places, durably where the sink keeps positions, before anything else is written.
    /// Fails with a fence where another process was faster.
    Remember(Vec<Span>, oneshot::Sender<Result<()>>),
    /// Say when everything before is finished or on trial.
    Finish(oneshot::Sender<()>),
    /// Say when everything before is finished or given back.
    Flush(oneshot::Sender<()>),
    /// End what is on trial, and say when everything is finished: nothing more will come.
    Conclude(oneshot::Sender<()>),
}

/// What a writer tells its lane.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Durable.
    Finished { number: u64, bytes: usize },
    /// Not written: it will come again from the source.
    GivenBack { bytes: usize },
    /// Another process moved a position: read the positions again. This delivery was not written.
    Fenced { error: Error, bytes: usize },
    /// The sink cannot go on.
    Failed(Error),
}
