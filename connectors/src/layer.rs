//! Layers around any sink: retry with a breaker, and throttle. None of them changes what is written
//! or in which order.

mod clock;

mod breaker;
mod retry;
mod throttle;

pub use self::clock::{Clock, system_clock};

pub use self::breaker::{Breaker, BreakerConfig};
pub use self::retry::{OnStatus, RetryConfig, Status, retry};
pub use self::throttle::{ThrottleConfig, throttle};

#[cfg(test)]
mod fake;
