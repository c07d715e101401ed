//! Why a message was refused: the rule it breaks, the field, what was found and what was expected.

/// Why a message was refused. Never holds a row value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) rule: &'static str,
    pub(super) field: Option<String>,
    pub(super) reason: String,
}

/// A result of reading; the fault is boxed to keep the good path small.
pub(super) type Parsed<T> = Result<T, Box<Fault>>;

impl Fault {
    /// The message does not have the form of a change (R1).
    #[cold]
    pub(super) fn form(reason: impl Into<String>) -> Box<Self> {
        Self::new("R1", reason)
    }

    /// The row has no usable key (R2).
    #[cold]
    pub(super) fn key(reason: impl Into<String>) -> Box<Self> {
        Self::new("R2", reason)
    }

    /// The value does not fit its type (R3).
    #[cold]
    pub(super) fn value(reason: impl Into<String>) -> Box<Self> {
        Self::new("R3", reason)
    }

    fn new(rule: &'static str, reason: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            rule,
            field: None,
            reason: reason.into(),
        })
    }

    /// Names the field, unless an inner one is named already.
    #[cold]
    pub(super) fn at_field(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.field.get_or_insert_with(|| field.to_owned());
        self
    }
}
