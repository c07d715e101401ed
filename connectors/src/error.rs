//! What can go wrong at the border, by what the caller does about it (R16).

use std::fmt;

use crate::record::Partition;

/// The cause of an error, kept for `source()`.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result of a source or a sink.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One kind for each way in which a caller acts (R16).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system is not there now: retry, pause the pipeline, put nothing into quarantine.
    #[error("{message}")]
    Unavailable {
        /// What failed, on which thing.
        message: String,
        /// What the driver said.
        #[source]
        cause: Option<Cause>,
    },
    /// Nothing but a person can mend it: stop, and say what to change.
    #[error("{message}")]
    Configuration {
        /// What is wrong, on which thing, and what to do about it.
        message: String,
        /// What the driver said.
        #[source]
        cause: Option<Cause>,
    },
    /// These changes can never be written; nothing of the write is durable. Quarantine them, take
    /// them out, and write the rest.
    #[error("{} changes were refused by the target", .0.len())]
    Rejected(Vec<RejectedChange>),
    /// Another owner moved the position (R4): whoever holds `expected` is a zombie and must read
    /// the positions again before it goes on.
    #[error(
        "{partition} stands at {found:?} in the target, expected {expected}: another process writes this pipeline"
    )]
    Fenced {
        /// The partition whose compare-and-set failed.
        partition: Partition,
        /// The position that this writer held.
        expected: i64,
        /// The position that the target holds; `None` where it holds none.
        found: Option<i64>,
    },
}

/// One change that the target will never accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedChange {
    /// Index into `Write::changes`.
    pub batch: usize,
    /// Row of that batch.
    pub row: usize,
    /// The rule or error class, for example `23502 not_null_violation` or `R14 incomplete`.
    pub rule: String,
    /// The column at fault, where it is known.
    pub field: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

/// A change that cannot be written, by its row in one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Row of the batch.
    pub row: usize,
    /// The rule.
    pub rule: String,
    /// The column at fault.
    pub field: Option<String>,
    /// Why, for a person.
    pub reason: String,
}

impl Error {
    /// The system is not reachable or not able to answer now.
    pub fn unavailable(message: impl fmt::Display, cause: impl Into<Cause>) -> Self {
        Self::Unavailable {
            message: message.to_string(),
            cause: Some(cause.into()),
        }
    }

    /// A person has to change something.
    pub fn configuration(message: impl fmt::Display) -> Self {
        Self::Configuration {
            message: message.to_string(),
            cause: None,
        }
    }

    /// A person has to change something, and this is what the driver said.
    pub fn configuration_from(message: impl fmt::Display, cause: impl Into<Cause>) -> Self {
        Self::Configuration {
            message: message.to_string(),
            cause: Some(cause.into()),
        }
    }

    /// The message with every cause behind it, for a log line or a terminal.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        text
    }
}
