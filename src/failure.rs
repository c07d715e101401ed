//! The reasons why a pipeline ends early, by what a person has to do.

use std::fmt;

use syncline_connectors::error::Error;

use crate::problem::Problem;

/// The reason why a pipeline stopped; each kind has its own exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The pipeline file must be changed; the problems say where.
    Problems(Vec<Problem>),
    /// A setting must be changed, here or in another system.
    Configuration(String),
    /// Another system could not be reached at the start.
    Unreachable(String),
    /// The pipeline failed while it ran.
    Failed(String),
}

impl Failure {
    pub(crate) fn of_sink(name: &str, error: Error) -> Self {
        Self::of(&format!("sink {name}"), error)
    }

    pub(crate) fn of_source(part: &str, error: Error) -> Self {
        Self::of(part, error)
    }

    /// Converts an error of a source or sink; `part` names it.
    pub(crate) fn of(part: &str, error: Error) -> Self {
        let message = format!("{part}: {}", error.chain());
        match error {
            Error::Unavailable { .. } => Self::Unreachable(message),
            Error::Configuration { .. } => Self::Configuration(message),
            Error::Rejected(_) | Error::Fenced { .. } => Self::Failed(message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let newline = if index == 0 { "" } else { "\n" };
                    write!(
                        f,
                        "{newline}{}: {}",
                        problem.path.join("."),
                        problem.message
                    )?;
                }
                Ok(())
            }
            Self::Configuration(message) | Self::Unreachable(message) | Self::Failed(message) => {
                f.write_str(message)
            }
        }
    }
}
