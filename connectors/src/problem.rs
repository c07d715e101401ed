//! One thing wrong with a configuration, said where it stands.

use std::ops::Range;

/// A problem in a pipeline file: where, what, and what to do about it. All problems of a file are
/// gathered and shown at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to the value, from the root of the file: `["operators", "tidy",
    /// "fields", "email"]`; an index into an array is its decimal text (`"0"`).
    pub path: Vec<String>,
    /// The bytes inside the value's text that are at fault, as in an expression; `None` for the
    /// whole value.
    pub span: Option<Range<usize>>,
    /// What is wrong: lower case, no full stop, with what was found and what was expected.
    pub message: String,
    /// What to do about it, for example the nearest valid name.
    pub help: Option<String>,
}

/// The settings whose check failed, each with what its error says.
pub(crate) fn problems<const N: usize>(
    checks: [(&str, crate::error::Result<()>); N],
) -> Vec<Problem> {
    checks
        .into_iter()
        .filter_map(|(setting, checked)| {
            let error = checked.err()?;
            Some(Problem::new(&[setting], error.to_string()))
        })
        .collect()
}

impl Problem {
    /// A problem with the value at `path`.
    pub fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|&part| part.to_owned()).collect(),
            span: None,
            message: message.into(),
            help: None,
        }
    }

    /// Points at bytes inside the value.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem, with `prefix` before its path.
    #[must_use]
    pub fn under(mut self, prefix: &[&str]) -> Self {
        let mut path: Vec<String> = prefix.iter().map(|&part| part.to_owned()).collect();
        path.append(&mut self.path);
        self.path = path;
        self
    }
}
