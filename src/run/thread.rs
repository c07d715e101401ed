//! The thread of a lane, and what a panic in it becomes.

use std::panic::AssertUnwindSafe;

use tokio::sync::oneshot;

use super::lane::Lane;
use crate::failure::Failure;

/// Starts a lane on a thread of its own; a panic becomes a failure with its reason.
pub(super) fn start(number: usize, lane: Lane) -> oneshot::Receiver<Result<(), Failure>> {
    let (ended, outcome) = oneshot::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let result = match runtime {
            Ok(runtime) => {
                let ran =
                    std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(lane.run())));
                ran.unwrap_or_else(|panic| Err(panicked(&reason(panic.as_ref()))))
            }
            Err(error) => Err(Failure::Failed(format!("cannot start a lane: {error}"))),
        };
        // Nobody waits any more once the drain deadline has passed.
        let _ = ended.send(result);
    };
    if let Err(error) = std::thread::Builder::new()
        .name(format!("lane-{number}"))
        .spawn(run)
    {
        tracing::error!(%error, "cannot start the thread of a lane");
    }
    outcome
}

pub(super) fn panicked(reason: &str) -> Failure {
    Failure::Failed(format!("a lane or a writer panicked: {reason}"))
}

pub(super) fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_owned()
}
