//! Problems of a configuration, with their positions.

use std::ops::Range;

/// A problem in a pipeline file: the position, the message and advice. All problems of a file are
/// reported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to the value, from the root of the file: `["operators", "tidy",
    /// "fields", "email"]`; an index into an array is its decimal text (`"0"`).
    pub path: Vec<String>,
    /// The bytes inside the value's text that are wrong, for example in an expression; `None` for
    /// the whole value.
    pub span: Option<Range<usize>>,
    /// The bytes of the file, if the code that found the problem knows them. Otherwise `path` and `span`
    /// give the position.
    pub file_span: Option<Range<usize>>,
    /// What is wrong: lower case, no full stop, with what was found and what was expected.
    pub message: String,
    /// What to do about it, for example the nearest valid name.
    pub help: Option<String>,
}

/// The problems of settings whose check failed, with the message of the error.
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
            file_span: None,
            message: message.into(),
            help: None,
        }
    }

    /// Sets the bytes inside the value that are wrong.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the bytes of the file that are wrong; `None` for the whole file.
    #[must_use]
    pub fn in_file(mut self, span: Option<Range<usize>>) -> Self {
        self.file_span = span;
        self
    }

    /// Sets the advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem with `prefix` before its path.
    #[must_use]
    pub fn under(mut self, prefix: &[&str]) -> Self {
        let mut path: Vec<String> = prefix.iter().map(|&part| part.to_owned()).collect();
        path.append(&mut self.path);
        self.path = path;
        self
    }
}
