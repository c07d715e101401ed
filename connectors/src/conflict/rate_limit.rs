//! A rate limit for recorded conflicts; it does not affect the counts.

/// Allows `per_second_max` conflicts in a second; after a quiet second, all of them at once.
///
/// The caller passes the time in milliseconds; a time that goes backwards counts as unchanged.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// The budget that each millisecond adds, in thousandths of a conflict.
    per_second_max: u64,
    /// The budget that is left, in thousandths of a conflict.
    left: u64,
    now_ms: i64,
}

impl RateLimit {
    /// A limiter with a full budget. 0 allows nothing.
    pub fn new(per_second_max: u32, now_ms: i64) -> Self {
        let per_second_max = u64::from(per_second_max);
        Self {
            per_second_max,
            left: per_second_max * 1_000,
            now_ms,
        }
    }

    /// How many of `wanted` conflicts may be recorded now.
    pub fn take(&mut self, wanted: usize, now_ms: i64) -> usize {
        let passed = now_ms.saturating_sub(self.now_ms).clamp(0, 1_000) as u64;
        self.now_ms = self.now_ms.max(now_ms);
        self.left = (self.left + passed * self.per_second_max).min(self.per_second_max * 1_000);
        let taken = (wanted as u64).min(self.left / 1_000);
        self.left -= taken * 1_000;
        taken as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_time_saves_up_one_second() {
        let mut rate_limit = RateLimit::new(10, 5_000);
        let steps = [
            // (now, wanted, expected)
            (5_000, 4, 4),
            (5_000, 10, 6),
            (5_000, 1, 0),
            (5_050, 1, 0),
            (5_100, 5, 1),
            (4_000, 5, 0),
            (5_200, 5, 1),
            (9_000, 100, 10),
            (i64::MAX, 3, 3),
            (i64::MAX, 100, 7),
        ];
        for (now_ms, wanted, expect) in steps {
            assert_eq!(rate_limit.take(wanted, now_ms), expect, "at {now_ms}");
        }
        assert_eq!(RateLimit::new(0, 0).take(5, 10_000), 0);
    }
}
