//! `syncline list`: prints everything that a pipeline file can name, one line each; `list NAME`
//! prints one entry in full.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value as Json, json};

use super::{Exit, Global, complain, print, print_json};
use crate::config::{Entry, EntryOption, entries};
use crate::function::nearest;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show the settings of this source, operator, sink, format, strategy or function.
    name: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let mut entries = entries();
    if let Some(name) = &arguments.name {
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        entries.retain(|entry| entry.name.eq_ignore_ascii_case(name));
        if entries.is_empty() {
            let near = nearest(name, names.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`syncline list` shows all names".to_owned(),
            };
            complain(&format!("unknown name `{name}`: {help}"));
            return Exit::Configuration;
        }
    }
    if global.json {
        return print_json(&entries.iter().map(to_json).collect());
    }
    let text = match &arguments.name {
        Some(_) => entries.iter().map(details).collect::<Vec<_>>().join("\n"),
        None => lines(&entries),
    };
    print(&text)
}

/// One line for each entry, in columns.
fn lines(entries: &[Entry]) -> String {
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let kinds = width(&mut entries.iter().map(|entry| entry.kind.name().len()));
    let names = width(&mut entries.iter().map(|entry| entry.name.len()));
    let mut text = String::new();
    for entry in entries {
        let line = format!(
            "{:kinds$}  {:names$}  {}",
            entry.kind.name(),
            entry.name,
            entry.summary
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Everything about one entry.
fn details(entry: &Entry) -> String {
    let mut text = format!("{} {}\n", entry.kind.name(), entry.name);
    let _ = write!(text, "\n{}\n", entry.description);
    if !entry.options.is_empty() {
        text.push_str("\nOptions\n");
    }
    for option in &entry.options {
        let _ = writeln!(
            text,
            "  {}: {}{}",
            option.name,
            option.expected,
            fallback(option)
        );
        if !option.description.is_empty() {
            let _ = writeln!(text, "      {}", option.description);
        }
    }
    for example in &entry.examples {
        text.push_str("\nExample\n");
        for line in example.lines() {
            let line = format!("  {line}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

fn fallback(option: &EntryOption) -> String {
    match &option.default {
        Some(default) => format!(" (default {default})"),
        None if option.required => " (required)".to_owned(),
        None => String::new(),
    }
}

fn to_json(entry: &Entry) -> Json {
    let options: Vec<Json> = entry
        .options
        .iter()
        .map(|option| {
            json!({
                "name": option.name,
                "expected": option.expected,
                "required": option.required,
                "default": option.default,
                "description": option.description,
            })
        })
        .collect();
    json!({
        "kind": entry.kind.name(),
        "name": entry.name,
        "summary": entry.summary,
        "description": entry.description,
        "options": options,
        "examples": entry.examples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EntryKind;

    #[test]
    fn an_entry_is_one_line_or_whole() {
        let entry = Entry {
            kind: EntryKind::Sink,
            name: "stone".to_owned(),
            summary: "Carves rows".to_owned(),
            description: "Carves rows. Slowly.".to_owned(),
            options: vec![EntryOption {
                name: "depth".to_owned(),
                expected: "an integer".to_owned(),
                required: false,
                default: Some("3".to_owned()),
                description: "How deep.".to_owned(),
            }],
            examples: vec!["[sinks.x]\ntype = \"stone\"".to_owned()],
        };
        assert_eq!(
            lines(std::slice::from_ref(&entry)),
            "sink  stone  Carves rows\n"
        );
        let expect = "sink stone\n\nCarves rows. Slowly.\n\nOptions\n  depth: an integer (default 3)\n      How deep.\n\nExample\n  [sinks.x]\n  type = \"stone\"\n";
        assert_eq!(details(&entry), expect);
    }
}
