//! Why a pipeline ended before its time, by what a person does about it.

use std::fmt;

use syncline_connectors::error::Error;

use crate::problem::Problem;

/// Why a pipeline stopped; each kind has its own exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The pipeline file has to change; the problems say where.
    Problems(Vec<Problem>),
    /// Something has to be configured differently, here or in a system outside.
    Configuration(String),
    /// A system outside was not reachable at the start.
    Unreachable(String),
    /// It failed while it ran.
    Failed(String),
}

impl Failure {
    pub(crate) fn of_sink(name: &str, error: Error) -> Self {
        Self::of(&format!("sink {name}"), error)
    }

    pub(crate) fn of_source(part: &str, error: Error) -> Self {
        Self::of(part, error)
    }

    /// Of an error at the border; `part` says where.
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
