//! Lengths of texts, lists and bytes.

use super::Length;

/// Bounds of a length, both included.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    min: u64,
    max: u64,
}

impl Bounds {
    /// The bounds that a rule sets.
    pub(super) fn of(length: Length) -> Self {
        match length {
            Length::Exact(exact) => Self {
                min: exact,
                max: exact,
            },
            Length::Between(bounds) => Self {
                min: bounds.min.unwrap_or(0),
                max: bounds.max.unwrap_or(u64::MAX),
            },
        }
    }

    /// Whether no length satisfies the bounds.
    pub(super) fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// Whether a length satisfies the bounds.
    pub(super) fn hold(self, length: usize) -> bool {
        (self.min..=self.max).contains(&(length as u64))
    }

    /// The bounds in words, for a message.
    pub(super) fn words(self) -> String {
        match (self.min, self.max) {
            (min, max) if min == max => format!("exactly {min}"),
            (0, max) => format!("at most {max}"),
            (min, u64::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        }
    }
}
