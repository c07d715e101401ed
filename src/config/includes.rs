//! What a pipeline file takes from elsewhere: files with rules, JSON Schemas and functions, and the functions
//! that it defines.
//!
//! - In `rules` of an operator, a text names a TOML file whose `rules` stand in its place.
//! - A `json_schema` that is a text names a JSON file.
//! - `function_files` name TOML files with `[functions.NAME]`.
//! - A call of a defined function is replaced by its expression, in every text of an operator and of a sink's
//!   `conflict`.
//!
//! Paths are relative to the pipeline file. A problem inside such a file is shown where the file is named; one
//! inside a function that is called, at the call.

mod calls;

use std::path::Path;

use self::calls::Expand;
use super::cases::tests_beside;
use super::document::{self, Entry, Node, Piece, Text, Value};
use crate::function::{Definition, Definitions};
use crate::problem::Problem;

/// The maximum size of a file that is included, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Puts everything in its place; gives the functions that the file defines.
pub(crate) fn include(root: &mut Node, path: &Path, problems: &mut Vec<Problem>) -> Definitions {
    let folder = path.parent().unwrap_or(Path::new(""));
    tests(root, path, problems);
    let definitions = definitions(root, folder, problems);
    let Value::Table(sections) = &mut root.value else {
        return definitions;
    };
    for section in sections
        .iter_mut()
        .filter(|section| section.key == "operators")
    {
        for operator in tables(&mut section.node) {
            let path = ["operators".to_owned(), operator.key.clone()];
            for setting in tables(&mut operator.node)
                .iter_mut()
                .filter(|s| s.key == "rules")
            {
                let path = [&path[..], &["rules".to_owned()]].concat();
                rules(&mut setting.node, folder, &path, problems);
            }
        }
    }
    if definitions.is_empty() {
        return definitions;
    }
    let mut expand = Expand {
        definitions: &definitions,
        problems,
    };
    for section in sections {
        match section.key.as_str() {
            "operators" => expand.node(&mut section.node, &mut vec![section.key.clone()]),
            "sinks" => {
                for sink in tables(&mut section.node) {
                    for setting in tables(&mut sink.node)
                        .iter_mut()
                        .filter(|s| s.key == "conflict")
                    {
                        let mut path =
                            vec!["sinks".to_owned(), sink.key.clone(), "conflict".to_owned()];
                        expand.node(&mut setting.node, &mut path);
                    }
                }
            }
            _ => {}
        }
    }
    definitions
}

fn tables(node: &mut Node) -> &mut [Entry] {
    match &mut node.value {
        Value::Table(entries) => entries,
        _ => &mut [],
    }
}

fn problem(path: &[String], message: String) -> Problem {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Problem::new(&path, message)
}

/// The text of a file that a pipeline file names.
fn read(folder: &Path, name: &str) -> Result<String, String> {
    use std::io::Read as _;
    let path = folder.join(name);
    let text = std::fs::File::open(&path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    });
    match text {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => Err(format!(
            "the file {} has more than {FILE_BYTES_MAX} bytes",
            path.display()
        )),
        Ok(text) => Ok(text),
        Err(error) => Err(format!(
            "the file {} cannot be read: {error}",
            path.display()
        )),
    }
}

/// The tree of a TOML file, with every place at that of its name.
fn read_toml(folder: &Path, name: &str, at: &Node) -> Result<Node, String> {
    let text = read(folder, name)?;
    let mut root = document::parse(&text).map_err(|errors| {
        let error = errors.first().map(|(_, message)| message.as_str());
        format!("{name} is not TOML: {}", error.unwrap_or_default())
    })?;
    place(&mut root, at);
    Ok(root)
}

/// Gives every node the place of another.
fn place(node: &mut Node, at: &Node) {
    node.span = at.span.clone();
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| place(item, at)),
        Value::Table(entries) => {
            for entry in entries {
                entry.key_span = at.span.clone();
                place(&mut entry.node, at);
            }
        }
        _ => {}
    }
}

/// Adds the tests of the file beside the pipeline file.
fn tests(root: &mut Node, path: &Path, problems: &mut Vec<Problem>) {
    let beside = tests_beside(path);
    if !beside.is_file() {
        return;
    }
    let at = Node {
        span: 0..0,
        value: Value::Array(Vec::new()),
    };
    let name = beside
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = read_toml(folder, &name.unwrap_or_default(), &at);
    let mut more = match read {
        Ok(file) => match file.get("tests").map(|tests| tests.value.clone()) {
            Some(Value::Array(tests)) => tests,
            _ => Vec::new(),
        },
        Err(message) => {
            problems.push(problem(&["tests".to_owned()], message));
            return;
        }
    };
    let Value::Table(entries) = &mut root.value else {
        return;
    };
    match entries.iter_mut().find(|entry| entry.key == "tests") {
        Some(entry) => {
            if let Value::Array(tests) = &mut entry.node.value {
                tests.append(&mut more);
            }
        }
        None => entries.push(Entry {
            key: "tests".to_owned(),
            key_span: 0..0,
            node: Node {
                span: 0..0,
                value: Value::Array(more),
            },
        }),
    }
}

/// Puts the rules of files in the place of their names.
fn rules(node: &mut Node, folder: &Path, path: &[String], problems: &mut Vec<Problem>) {
    if let Value::Text(_) = &node.value {
        let name = node.clone();
        node.value = Value::Array(vec![name]);
    }
    let Value::Array(items) = &mut node.value else {
        return;
    };
    let mut all = Vec::with_capacity(items.len());
    for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
        let path = [path, &[index.to_string()]].concat();
        let Value::Text(name) = &item.value else {
            json_schema(&mut item, folder, &path, problems);
            all.push(item);
            continue;
        };
        let found = read_toml(folder, &name.text, &item).and_then(|root| {
            let rules = root.get("rules").map(|rules| rules.value.clone());
            match rules {
                Some(Value::Array(rules)) => Ok(rules),
                _ => Err(format!(
                    "{} has no list of rules: write rules = [ … ]",
                    name.text
                )),
            }
        });
        match found {
            Ok(mut rules) => {
                // The schemas of a shared file are beside it.
                let beside = folder.join(&name.text);
                let beside = beside.parent().unwrap_or(folder);
                for rule in &mut rules {
                    json_schema(rule, beside, &path, problems);
                }
                all.append(&mut rules);
            }
            Err(message) => problems.push(problem(&path, message)),
        }
    }
    *items = all;
}

/// Puts the text of a JSON file in the place of its name.
fn json_schema(rule: &mut Node, folder: &Path, path: &[String], problems: &mut Vec<Problem>) {
    for setting in tables(rule)
        .iter_mut()
        .filter(|setting| setting.key == "json_schema")
    {
        let Value::Text(name) = &mut setting.node.value else {
            continue;
        };
        match read(folder, &name.text) {
            Ok(text) => {
                let written = 0..name.text.len();
                *name = Text {
                    pieces: vec![Piece {
                        text: 0..text.len(),
                        written,
                        reference: true,
                    }],
                    text,
                };
            }
            Err(message) => {
                let path = [path, &["json_schema".to_owned()]].concat();
                problems.push(problem(&path, message));
            }
        }
    }
}

/// The functions of the file and of those that it names.
fn definitions(root: &Node, folder: &Path, problems: &mut Vec<Problem>) -> Definitions {
    let mut all: Vec<(String, Definition)> = Vec::new();
    let mut named: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |functions: Option<&Node>, path: &[String]| {
        for entry in functions.map(Node::entries).unwrap_or_default() {
            let text = |node: Option<&Node>| match node.map(|node| &node.value) {
                Some(Value::Text(text)) => Some(text.text.clone()),
                _ => None,
            };
            let Some(sql) = text(entry.node.get("sql")) else {
                // The check of the shape says so.
                continue;
            };
            let arguments = entry
                .node
                .get("arguments")
                .map(Node::entries)
                .unwrap_or_default();
            let arguments = arguments.iter().map(|argument| {
                (
                    argument.key.clone(),
                    text(Some(&argument.node)).unwrap_or_default(),
                )
            });
            let arguments = arguments.collect();
            named.push((entry.key.clone(), path.to_vec()));
            all.push((entry.key.clone(), Definition { arguments, sql }));
        }
    };
    let files = match root.get("function_files").map(|files| &files.value) {
        Some(Value::Array(files)) => files.as_slice(),
        _ => &[],
    };
    for (index, file) in files.iter().enumerate() {
        let Value::Text(name) = &file.value else {
            continue;
        };
        let path = ["function_files".to_owned(), index.to_string()];
        match read_toml(folder, &name.text, file) {
            Ok(root) => add(root.get("functions"), &path),
            Err(message) => problems.push(problem(&path, message)),
        }
    }
    add(root.get("functions"), &[]);
    match Definitions::new(all) {
        Ok(definitions) => definitions,
        Err(errors) => {
            for (name, key, error) in errors {
                let file = named.iter().find(|(known, _)| *known == name);
                let mut wrong = match file {
                    Some((_, path)) if !path.is_empty() => {
                        problem(path, format!("function {name}: {}", error.message))
                    }
                    _ => {
                        let keys = ["functions", &name, key];
                        let keys = if key.is_empty() {
                            &keys[..2]
                        } else {
                            &keys[..]
                        };
                        let wrong = Problem::new(keys, error.message.clone());
                        match key {
                            "sql" => wrong.at(error.span),
                            _ => wrong,
                        }
                    }
                };
                wrong.help = error.help;
                problems.push(wrong);
            }
            Definitions::default()
        }
    }
}

#[cfg(test)]
mod tests;
