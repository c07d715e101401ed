//! Reports all problems of one or more pipeline files together.
//!
//! Each problem is shown with file, line and column, the line with a caret, and advice. Values that
//! came from a `${…}` are replaced by the reference, and passwords in the shown lines by stars.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use regex::Regex;
use serde_json::json;

use super::secret::{Secret, redact};
use crate::problem::Problem;

/// The problems, ordered by file and line.
#[derive(Debug, Clone, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

/// A file's text, into which problems point.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path as the user gave it.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A problem with its file.
#[derive(Debug, Clone)]
struct Finding {
    source: Arc<Source>,
    problem: Problem,
}

impl Report {
    /// The problems of one file, whose `file_span` gives their position; `secrets` are removed from their
    /// messages.
    pub(crate) fn new(source: &Arc<Source>, problems: Vec<Problem>, secrets: &[Secret]) -> Self {
        let mut different: Vec<Problem> = Vec::new();
        for problem in problems {
            if !different.contains(&problem) {
                different.push(problem);
            }
        }
        let mut findings: Vec<Finding> = different
            .into_iter()
            .map(|mut problem| {
                problem.message = redact(&problem.message, secrets);
                problem.help = problem.help.map(|help| redact(&help, secrets));
                Finding {
                    source: source.clone(),
                    problem,
                }
            })
            .collect();
        findings.sort_by_key(|finding| {
            let span = finding.problem.file_span.clone();
            span.map_or((0, 0), |span| (span.start + 1, span.end))
        });
        Self { findings }
    }

    /// The report of a file that cannot be read.
    pub(crate) fn unreadable(path: &str, message: String) -> Self {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text: String::new(),
        });
        Self::new(&source, vec![Problem::new(&[], message)], &[])
    }

    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// The number of problems.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Adds the problems of another file.
    pub fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// The report as text for a person; with colours if `colour` is set.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for finding in &self.findings {
            let shown = hide_passwords(&finding.source.text);
            text.push_str(&renderer.render(&[finding.group(&shown)]));
            text.push_str("\n\n");
        }
        text
    }

    /// The report for a program: an array of `{file, line, column, end_line, end_column, path,
    /// message, help}`. Lines and columns count from 1, columns in characters; they are null if a
    /// problem concerns the whole file.
    pub fn to_json(&self) -> serde_json::Value {
        self.findings.iter().map(Finding::to_json).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

impl Finding {
    /// `shown` is the text of the file, with the same byte positions.
    fn group<'a>(&'a self, shown: &'a str) -> Group<'a> {
        let title = Level::ERROR.primary_title(&self.problem.message);
        let group = match &self.problem.file_span {
            Some(span) => {
                let annotation = AnnotationKind::Primary
                    .span(span.clone())
                    .label(self.problem.path.join("."));
                title.element(
                    Snippet::source(shown)
                        .path(&self.source.path)
                        .annotation(annotation),
                )
            }
            None => title.element(Origin::path(&self.source.path)),
        };
        match &self.problem.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let place = |offset: usize| {
            let before = &self.source.text[..offset.min(self.source.text.len())];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (
                before.matches('\n').count() + 1,
                before[line_start..].chars().count() + 1,
            )
        };
        let start = self
            .problem
            .file_span
            .as_ref()
            .map(|span| place(span.start));
        let end = self.problem.file_span.as_ref().map(|span| place(span.end));
        json!({
            "file": self.source.path,
            "line": start.map(|start| start.0),
            "column": start.map(|start| start.1),
            "end_line": end.map(|end| end.0),
            "end_column": end.map(|end| end.1),
            "path": self.problem.path.join("."),
            "message": self.problem.message,
            "help": self.problem.help,
        })
    }
}

/// Replaces each byte of a password by a star: a password in a URL, even one that is not encoded
/// correctly, the value of a key whose name says password or secret, and everything under `url`,
/// which may not be a valid URL. References `${…}` stay.
fn hide_passwords(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for captures in PASSWORDS.captures_iter(text) {
        for group in captures.iter().skip(1).flatten() {
            let mut from = group.start();
            let references = REFERENCE.find_iter(group.as_str());
            let ends = references
                .map(|found| (group.start() + found.start(), group.start() + found.end()));
            for (start, end) in ends.chain([(group.end(), group.end())]) {
                let stars = "*".repeat(start - from);
                shown.to_mut().replace_range(from..start, &stars);
                from = end;
            }
        }
    }
    shown
}

static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{[^}]*\}").expect("the pattern is regular"));

static PASSWORDS: LazyLock<Regex> = LazyLock::new(|| {
    let of_url = r#"://[^\s"'/:@]*:([^"'\n]+)@"#;
    let of_query = r#"[?&]password=([^&"'\s]+)"#;
    let of_key =
        r#"(?i:pas+w|secret|token|api_?key|\burl)[\w.\-]*["']?\s*=\s*(?:"([^"\n]+)|'([^'\n]+))"#;
    Regex::new(&format!("{of_url}|{of_query}|{of_key}")).expect("the patterns are regular")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_struck_out_of_the_lines_that_are_shown() {
        let check = |line: &str, expect: &str| {
            assert_eq!(hide_passwords(line), expect);
            assert_eq!(expect.len(), line.len(), "spans stay right");
        };
        check(
            "ulr = \"postgres://me:pa@s/s@h/d\"",
            "ulr = \"postgres://me:******@h/d\"",
        );
        check("u = 'postgres://me:ü@h/d'", "u = 'postgres://me:**@h/d'");
        check(
            "u = 'postgres://h/d?password=x&a=b'",
            "u = 'postgres://h/d?password=*&a=b'",
        );
        check(
            "properties.\"sasl.pasword\" = \"x y\"",
            "properties.\"sasl.pasword\" = \"***\"",
        );
        check("secret='x'", "secret='*'");
        check("url = \"canary\"", "url = \"******\"");
        check("url = 'a:b@${env:HOST}/d'", "url = '****${env:HOST}**'");
        for same in [
            "u = 'postgres://me:${env:PASSWORD}@h/d'",
            "url = '${env:BILLING_URL}'",
            "u = 'postgres://h:5432/d'\nmail = 'a@b'",
            "password = '${file:/run/secret}'",
            "brokers = 'a:1,b:2'",
        ] {
            check(same, same);
        }
        let source = Arc::new(Source {
            path: "a.toml".to_owned(),
            text: "ulr = \"postgres://me:canary@h/d\"\n".to_owned(),
        });
        let problem = Problem::new(&["ulr"], "unknown key `ulr`").in_file(Some(0..3));
        let report = Report::new(&source, vec![problem], &[]);
        assert!(!report.render(false).contains("canary"), "{report}");
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Arc::new(Source {
            path: "a.toml".to_owned(),
            text: "x = 1\né = \"wrong\"\n".to_owned(),
        });
        let problem = Problem::new(&["é"], "wrong").in_file(Some(11..18));
        let json = Report::new(&source, vec![problem], &[]).to_json();
        assert_eq!(
            json,
            json!([{
                "file": "a.toml", "line": 2, "column": 5, "end_line": 2, "end_column": 12,
                "path": "é", "message": "wrong", "help": null,
            }])
        );
    }
}
