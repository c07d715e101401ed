//! Calls of functions that a pipeline file defines, replaced by what they stand for.

use super::problem;
use crate::config::document::{Node, Piece, Text, Value};
use crate::function::{Definitions, Expanded};
use crate::problem::Problem;

/// Keys whose texts are no expressions.
const NO_EXPRESSION: [&str; 7] = [
    "message",
    "pattern",
    "text",
    "json_schema",
    "key",
    "type",
    "inputs",
];

/// Replaces calls.
pub(super) struct Expand<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Expand<'_> {
    pub(super) fn node(&mut self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Text(text) => self.text(text, path),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    self.node(item, path);
                    path.pop();
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    let is_deep = path.len() > 2;
                    if is_deep && NO_EXPRESSION.contains(&entry.key.as_str()) {
                        continue;
                    }
                    path.push(entry.key.clone());
                    self.node(&mut entry.node, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &mut Text, path: &[String]) {
        match self.definitions.expand(&text.text) {
            Ok(None) => {}
            Ok(Some(expanded)) => *text = replaced(text, expanded),
            Err(error) => {
                let mut wrong = problem(path, error.message.clone()).at(error.span);
                wrong.help = error.help;
                self.problems.push(wrong);
            }
        }
    }
}

/// The text with its calls replaced. One that was substituted before is one part as a whole.
fn replaced(text: &Text, expanded: Expanded) -> Text {
    if !text.pieces.is_empty() {
        let end = text.pieces.last().map_or(0, |piece| piece.written.end);
        let piece = Piece {
            text: 0..expanded.text.len(),
            written: 0..end,
            reference: true,
        };
        return Text {
            text: expanded.text,
            pieces: vec![piece],
        };
    }
    let pieces = expanded
        .parts
        .into_iter()
        .map(|(text, written, is_call)| Piece {
            text,
            written,
            reference: is_call,
        });
    Text {
        pieces: pieces.collect(),
        text: expanded.text,
    }
}
