//! How many changes a sink finishes a second, over the last seconds.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The rate is that of so long.
const WINDOW: Duration = Duration::from_secs(10);
/// Without a sample for so long nothing runs that could finish a change.
const STALE: Duration = Duration::from_secs(3);

/// The rates of a pipeline's sinks, in the order of its accounts.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<(Instant, Vec<u64>)>>);

impl Rates {
    /// Takes note of how many changes each sink has finished by now; about once a second.
    pub(crate) fn sample(&self, finished: Vec<u64>) {
        let now = Instant::now();
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() > 1 && now - samples[1].0 >= WINDOW {
            samples.pop_front();
        }
        samples.push_back((now, finished));
    }

    /// Changes a second of the sink at `index`.
    pub fn of(&self, index: usize) -> f64 {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((begin, first)), Some((end, last))) = (samples.front(), samples.back()) else {
            return 0.0;
        };
        let took = (*end - *begin).as_secs_f64();
        if end.elapsed() > STALE || took == 0.0 {
            return 0.0;
        }
        match (first.get(index), last.get(index)) {
            (Some(first), Some(last)) => last.saturating_sub(*first) as f64 / took,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_seconds() {
        let rates = Rates::default();
        assert_eq!(rates.of(0), 0.0);
        for second in 0..30 {
            // A hundred a second, and from the 20th on nothing.
            rates.sample(vec![100 * second.min(20)]);
            if second == 20 {
                assert_eq!(rates.of(0), 100.0);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(rates.of(0), 10.0);
        assert_eq!(rates.of(1), 0.0);
        tokio::time::advance(STALE).await;
        assert_eq!(rates.of(0), 0.0);
    }
}
