//! What a session holds while it may write a sink's positions, so that nobody moves them under a
//! pipeline that runs, from whatever machine.
//!
//! Every session of a sink holds a shared lock in the database, and who moves positions by hand takes
//! it alone. The database gives it back when the connection ends, also where the process was killed.
//!
//! How, each database says: an advisory lock (PostgreSQL), named locks (`mysql/lock.rs`), a lock on a file
//! beside the database (`sqlite/lock.rs`).

use crate::error::Error;

/// How long a session waits for who moves positions, in seconds.
pub(crate) const WAIT_SECONDS: u32 = 10;

/// The lock of one sink of one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct SinkLock {
    pub(crate) pipeline: String,
    pub(crate) sink: String,
}

impl SinkLock {
    pub(crate) fn new(pipeline: &str, sink: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            sink: sink.to_owned(),
        }
    }

    /// A number that stands for the sink: FNV-1a, which is the same in every version.
    pub(crate) fn key(&self) -> u64 {
        let bytes = self.pipeline.bytes().chain([0xff]).chain(self.sink.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// The pipeline runs.
    pub(crate) fn held(&self) -> Error {
        Error::configuration(format!(
            "pipeline {:?} runs and writes sink {:?} (or a conflict of it is being resolved): stop it, on every machine, and try again",
            self.pipeline, self.sink
        ))
    }

    /// Somebody moves the positions.
    pub(crate) fn busy(&self) -> Error {
        Error::Unavailable {
            message: format!(
                "the positions of pipeline {:?}, sink {:?} are being changed by hand for longer than {WAIT_SECONDS} s: try again",
                self.pipeline, self.sink
            ),
            cause: None,
        }
    }
}
