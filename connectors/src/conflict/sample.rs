//! How many conflicts a second are kept; all of them are counted, whatever this says.

/// Lets `per_second_max` conflicts a second through, as many at once after a quiet second.
///
/// Time is passed in, in milliseconds; one that runs backwards counts as standing still.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Thousandths of a conflict that a millisecond brings: as many as a second has conflicts.
    per_second_max: u64,
    /// Thousandths of a conflict that are left.
    left: u64,
    now_ms: i64,
}

impl Sampler {
    /// One that begins full. 0 lets nothing through.
    pub fn new(per_second_max: u32, now_ms: i64) -> Self {
        let per_second_max = u64::from(per_second_max);
        Self {
            per_second_max,
            left: per_second_max * 1_000,
            now_ms,
        }
    }

    /// How many of `wanted` may be kept now: the first of them.
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
        let mut sampler = Sampler::new(10, 5_000);
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
            assert_eq!(sampler.take(wanted, now_ms), expect, "at {now_ms}");
        }
        assert_eq!(Sampler::new(0, 0).take(5, 10_000), 0);
    }
}
