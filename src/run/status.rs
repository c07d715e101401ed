//! The state of a pipeline: running, or stalled with a cause. A change of the state is logged.

use std::sync::Mutex;
use std::time::Instant;

/// The state of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Changes are processed, or there are none.
    Running,
    /// Another system does not answer; its requests are retried.
    Stalled {
        /// The system and its error.
        cause: String,
    },
}

/// The state of a pipeline, shared by its lanes and writers. Each part (a source of a lane, a sink
/// of a lane) reports its own state; the pipeline is stalled while any part is stalled.
#[derive(Debug)]
pub struct Status {
    pipeline: String,
    stalled: Mutex<Vec<Stall>>,
}

#[derive(Debug)]
struct Stall {
    part: String,
    cause: String,
    since: Instant,
}

impl Status {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            stalled: Mutex::default(),
        }
    }

    /// Reports that a part waits for another system.
    pub(crate) fn stall(&self, part: &str, cause: &str) {
        let mut stalled = self.stalled.lock().expect("no holder of this lock panics");
        match stalled.iter_mut().find(|stall| stall.part == part) {
            Some(stall) if stall.cause == cause => {}
            Some(stall) => cause.clone_into(&mut stall.cause),
            None => {
                tracing::warn!(pipeline = self.pipeline, part, cause, "stalled");
                let since = Instant::now();
                stalled.push(Stall {
                    part: part.to_owned(),
                    cause: cause.to_owned(),
                    since,
                });
            }
        }
    }

    /// Reports that a part continues.
    pub(crate) fn resume(&self, part: &str) {
        let mut stalled = self.stalled.lock().expect("no holder of this lock panics");
        if let Some(index) = stalled.iter().position(|stall| stall.part == part) {
            let stall = stalled.swap_remove(index);
            let after_ms = u64::try_from(stall.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(pipeline = self.pipeline, part, after_ms, "running again");
        }
    }

    /// The current state.
    pub fn state(&self) -> State {
        let stalled = self.stalled.lock().expect("no holder of this lock panics");
        match stalled.first() {
            None => State::Running,
            Some(stall) => State::Stalled {
                cause: format!("{}: {}", stall.part, stall.cause),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_while_any_part_is() {
        let status = Status::new("p");
        assert_eq!(status.state(), State::Running);
        status.stall("sinks.a", "connection refused");
        status.stall("sources.b", "no broker");
        status.resume("sinks.a");
        assert_eq!(
            status.state(),
            State::Stalled {
                cause: "sources.b: no broker".into()
            }
        );
        status.resume("sources.b");
        assert_eq!(status.state(), State::Running);
    }
}
