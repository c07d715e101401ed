//! A sink that fails as often as it is told to and a clock that no one waits for, for the tests of the
//! wrappers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::clock::Clock;
use crate::error::{Error, Result};
use crate::record::HeldPositions;
use crate::sink::{Outcome, Sink, Write};

/// When each call came.
pub(super) type Calls = Arc<Mutex<Vec<Duration>>>;

/// Moves on at once by as much as someone waits.
#[derive(Default)]
pub(super) struct FakeClock(Mutex<Duration>);

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, wait: Duration) {
        *self.0.lock().unwrap() += wait;
    }
}

/// Fails as often as it was told to, then succeeds.
pub(super) struct Fake {
    failures: u32,
    make: fn() -> Error,
    clock: Arc<FakeClock>,
    calls: Calls,
}

pub(super) fn unavailable() -> Error {
    Error::unavailable("cannot reach the database", "connection refused")
}

impl Fake {
    pub(super) fn connect(
        failures: u32,
        make: fn() -> Error,
        clock: &Arc<FakeClock>,
    ) -> (Box<dyn Sink>, Calls) {
        let calls = Calls::default();
        let sink = Self {
            failures,
            make,
            clock: clock.clone(),
            calls: calls.clone(),
        };
        (Box::new(sink), calls)
    }

    fn answer(&mut self) -> Result<()> {
        self.calls.lock().unwrap().push(self.clock.now());
        if self.failures > 0 {
            self.failures -= 1;
            return Err((self.make)());
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for Fake {
    async fn positions(&mut self) -> Result<Option<HeldPositions>> {
        self.answer().map(|()| None)
    }

    async fn write(&mut self, write: &Write) -> Result<Outcome> {
        self.answer()?;
        Ok(Outcome {
            written: write.len() as u64,
            ..Outcome::default()
        })
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
