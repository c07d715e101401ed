//! What a pipeline's state is, for whoever shows it.

use std::time::SystemTime;

/// The state of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It connects to its systems for the first time, or again after a failure.
    Starting,
    /// Changes are processed.
    Running,
    /// Everything that the sources have is in the targets.
    Idle,
    /// Something waits and nothing moves.
    Stalled {
        /// The part and its reason.
        cause: String,
    },
    /// It failed, and begins again by itself.
    Failed {
        /// The failure.
        cause: String,
    },
    /// A person stopped it until a person lets it go on.
    Paused,
    /// It waits for the next time of its schedule.
    Scheduled,
    /// It has ended.
    Stopped,
}

impl State {
    /// The names of all states.
    pub const NAMES: [&str; 8] = [
        "starting",
        "running",
        "idle",
        "stalled",
        "failed",
        "paused",
        "scheduled",
        "stopped",
    ];

    /// The name, as a person and a metric say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Stalled { .. } => "stalled",
            Self::Failed { .. } => "failed",
            Self::Paused => "paused",
            Self::Scheduled => "scheduled",
            Self::Stopped => "stopped",
        }
    }

    /// Why it is stalled or failed.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Stalled { cause } | Self::Failed { cause } => Some(cause),
            _ => None,
        }
    }

    /// Whether the pipeline does what it should: also while a person paused it.
    pub fn is_ready(&self) -> bool {
        matches!(
            self,
            Self::Running | Self::Idle | Self::Paused | Self::Scheduled
        )
    }
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What.
    pub message: String,
}

/// A part of a pipeline as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    /// `source NAME` or `sink NAME`, with its lane where there are several.
    pub part: String,
    /// What it waits for; `None` where nothing is wrong.
    pub cause: Option<String>,
}
