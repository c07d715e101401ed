//! Replaces `${env:NAME}`, `${env:NAME:-default}` and `${file:path}` in string values.
//!
//! References are replaced after parsing, so that a value cannot change the structure of a file;
//! keys are not changed. As in the shell, the default is used if the variable is unset or empty.
//! The path of `${file:…}` is relative to the pipeline file, and a newline at the end of that file
//! is removed. `$${` is a literal `${`. Every substituted value is treated as a secret: it is
//! remembered only to remove it from every message (P5).

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use super::document::{Node, Piece, Text, Value};
use super::secret::Secret;
use crate::problem::Problem;

/// The maximum size of a `${file:…}`, in bytes.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// What references can read.
pub(crate) struct ReferenceSources<'a> {
    /// Looks up a variable; tests replace the process's environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The folder of the pipeline file.
    pub(crate) folder: &'a Path,
}

/// Substitutes every string value of the tree, and returns the substituted values.
pub(crate) fn substitute(
    root: &mut Node,
    file: &str,
    sources: &ReferenceSources<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Secret> {
    let mut walk = Walk {
        file,
        sources,
        problems,
        secrets: Vec::new(),
        path: Vec::new(),
    };
    walk.node(root);
    walk.secrets
}

struct Walk<'a> {
    file: &'a str,
    sources: &'a ReferenceSources<'a>,
    problems: &'a mut Vec<Problem>,
    secrets: Vec<Secret>,
    path: Vec<String>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Text(text) if text.text.contains("${") => {
                let substituted = self.text(&text.text, &node.span);
                *text = substituted;
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    self.node(item);
                    self.path.pop();
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    self.path.push(entry.key.clone());
                    self.node(&mut entry.node);
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, written: &str, span: &Range<usize>) -> Text {
        let mut result = Text::default();
        let mut at = 0;
        while let Some(dollar) = written[at..].find("${").map(|offset| at + offset) {
            if written[at..dollar].ends_with('$') {
                result.push(&written[at..dollar - 1], at..dollar - 1, false);
                result.push("${", dollar - 1..dollar + 2, false);
                at = dollar + 2;
                continue;
            }
            result.push(&written[at..dollar], at..dollar, false);
            let end = written[dollar..]
                .find('}')
                .map(|offset| dollar + offset + 1);
            let place = dollar..end.unwrap_or(written.len());
            let value = match end {
                Some(end) => self.resolve(&written[dollar + 2..end - 1]),
                None => Err((
                    "the reference has no closing `}`".to_owned(),
                    "close it, or write `$${` for a literal `${`".to_owned(),
                )),
            };
            at = place.end;
            match value {
                Ok(value) => result.push(&value, place, true),
                Err((message, help)) => {
                    let node = Node {
                        span: span.clone(),
                        value: Value::Text(Text {
                            text: written.to_owned(),
                            pieces: Vec::new(),
                        }),
                    };
                    let root = Node {
                        span: 0..0,
                        value: Value::Array(vec![node]),
                    };
                    let span = root.locate(self.file, &["0".to_owned()], Some(&place));
                    let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
                    let problem = Problem::new(&path, message).in_file(span).help(help);
                    self.problems.push(problem);
                    // The remaining checks treat the reference as an empty text.
                    result.push("", place, true);
                }
            }
        }
        result.push(&written[at..], at..written.len(), false);
        result
    }

    /// The value of the text between `${` and `}`; if it is invalid, what is wrong and what to do.
    fn resolve(&mut self, reference: &str) -> Result<String, (String, String)> {
        let value = if let Some(variable) = reference.strip_prefix("env:") {
            let (name, default) = match variable.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (variable, None),
            };
            let value = (self.sources.variable)(name);
            match (value, default) {
                (Some(value), None) => value,
                (Some(value), Some(_)) if !value.is_empty() => value,
                (_, Some(default)) => return Ok(default.to_owned()),
                (None, None) => {
                    return Err((
                        format!("the environment variable `{name}` is not set"),
                        format!("set {name}, or give a default: `${{env:{name}:-default}}`"),
                    ));
                }
            }
        } else if let Some(path) = reference.strip_prefix("file:") {
            let path = self.sources.folder.join(path);
            let text = read_bounded(&path).map_err(|error| {
                (
                    format!("the file {} cannot be read: {error}", path.display()),
                    "the path is relative to the pipeline file".to_owned(),
                )
            })?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        } else {
            return Err((
                format!("unknown reference `${{{reference}}}`"),
                "write `${env:NAME}`, `${env:NAME:-default}` or `${file:path}`; \
                 `$${` is a literal `${`"
                    .to_owned(),
            ));
        };
        self.secrets.push(Secret {
            value: value.clone(),
            reference: format!("${{{reference}}}"),
        });
        Ok(value)
    }
}

impl Text {
    fn push(&mut self, text: &str, written: Range<usize>, reference: bool) {
        if text.is_empty() && !reference {
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        self.pieces.push(Piece {
            text: start..self.text.len(),
            written,
            reference,
        });
    }
}

/// Reads a file that contains one value. A longer file is a mistake, and a device may have no end.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(VALUE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > VALUE_BYTES_MAX {
        let message = format!("it has more than {VALUE_BYTES_MAX} bytes");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::parse;

    fn variable(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db1".to_owned()),
            "EMPTY" => Some(String::new()),
            "WILD" => Some("x\"\n[sinks.evil]\n${env:HOST}".to_owned()),
            _ => None,
        }
    }

    /// The value of `key` after substitution, or the messages and positions of the problems.
    fn substituted(file: &str) -> Result<Text, Vec<(String, String)>> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("password"), "s3cret\r\n").expect("it is written");
        let reference_sources = ReferenceSources {
            variable: &variable,
            folder: folder.path(),
        };
        let mut root = parse(file).expect("it is TOML");
        let mut problems = Vec::new();
        substitute(&mut root, file, &reference_sources, &mut problems);
        if problems.is_empty() {
            let Value::Text(text) = &root.get("key").expect("the key").value else {
                panic!("the value is a string")
            };
            return Ok(text.clone());
        }
        let at = |problem: Problem| file[problem.file_span.expect("a position")].to_owned();
        Err(problems
            .into_iter()
            .map(|problem| (problem.message.clone(), at(problem)))
            .collect())
    }

    #[test]
    fn references_are_replaced_and_everything_else_is_left() {
        let cases = [
            ("plain", "plain"),
            ("${env:HOST}", "db1"),
            ("postgres://${env:HOST}/crm", "postgres://db1/crm"),
            ("${env:HOST}${env:HOST}", "db1db1"),
            ("${env:ABSENT:-localhost:9092}", "localhost:9092"),
            ("${env:EMPTY:-full}", "full"),
            ("${env:EMPTY}", ""),
            ("${env:HOST:-other}", "db1"),
            ("${env:ABSENT:-}", ""),
            ("p=${file:password}!", "p=s3cret!"),
            ("$${env:HOST}", "${env:HOST}"),
            ("a $${b} ${env:HOST}", "a ${b} db1"),
            ("cost $5 and $", "cost $5 and $"),
            // A substituted value is not substituted again, and it cannot change the structure.
            ("${env:WILD}", "x\"\n[sinks.evil]\n${env:HOST}"),
        ];
        for (written, expect) in cases {
            let file = format!("key = '{written}'");
            let text = substituted(&file).expect("nothing is wrong");
            assert_eq!(text.text, expect, "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_placed_at_the_reference() {
        let cases = [
            (
                r#"key = "a\tb ${env:ABSENT} c""#,
                "the environment variable `ABSENT` is not set",
                "${env:ABSENT}",
            ),
            (
                "key = 'x ${vault:a}'",
                "unknown reference `${vault:a}`",
                "${vault:a}",
            ),
            (
                "key = 'x ${env:A'",
                "the reference has no closing `}`",
                "${env:A",
            ),
        ];
        for (file, message, place) in cases {
            let wrong = substituted(file).err().unwrap_or_default();
            assert_eq!(wrong, [(message.to_owned(), place.to_owned())]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_refused() {
        let wrong = substituted("key = '${file:/dev/zero}'")
            .err()
            .unwrap_or_default();
        assert!(
            wrong[0].0.ends_with("it has more than 1048576 bytes"),
            "{wrong:?}"
        );
    }

    #[test]
    fn bytes_of_a_substituted_value_lead_to_its_reference() {
        let file = r#"key = "$${a} é ${env:HOST}/crm""#;
        let text = substituted(file).expect("nothing is wrong");
        let root = Node {
            span: 0..0,
            value: Value::Array(vec![Node {
                span: 6..file.len(),
                value: Value::Text(text.clone()),
            }]),
        };
        for (word, expect) in [
            ("db1", "${env:HOST}"),
            ("b", "${env:HOST}"),
            ("crm", "crm"),
            ("é", "é"),
            ("a}", "a}"),
            ("1/c", "${env:HOST}/c"),
            ("${a", "$${a"),
            ("{a", "{a"),
        ] {
            let start = text.text.find(word).expect("the word");
            let inner = start..start + word.len();
            let span = root
                .locate(file, &["0".to_owned()], Some(&inner))
                .expect("a place");
            assert_eq!(&file[span], expect, "{word}");
        }
    }
}
