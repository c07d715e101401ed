use expect_test::expect_file;

use super::*;
use crate::config::{document, shape};

#[test]
fn the_reference_is_what_the_types_say() {
    expect_file!["../../../docs/reference.md"].assert_eq(&reference_markdown());
}

#[test]
fn every_component_shows_toml_that_holds() {
    for entry in entries() {
        let section = match entry.kind {
            EntryKind::Source => "sources",
            EntryKind::Operator => "operators",
            EntryKind::Sink => "sinks",
            EntryKind::Quarantine => "quarantine",
            EntryKind::Format | EntryKind::Strategy | EntryKind::Function => continue,
        };
        assert!(!entry.examples.is_empty(), "{} has no example", entry.name);
        for example in &entry.examples {
            let root = document::parse(example).expect("it is TOML");
            let (json, problems) = shape::read(&root, pipeline_schema());
            assert_eq!(problems, [], "{example}");
            let shown = match section {
                "quarantine" => vec![&json[section]],
                _ => json[section]
                    .as_object()
                    .into_iter()
                    .flat_map(|all| all.values())
                    .collect(),
            };
            assert!(
                shown.iter().any(|one| one["type"] == *entry.name),
                "{example}"
            );
        }
    }
}

#[test]
fn every_option_says_what_it_means() {
    for entry in entries() {
        assert!(
            !entry.summary.is_empty() || entry.kind == EntryKind::Function,
            "{}",
            entry.name
        );
        for option in &entry.options {
            assert!(
                !option.description.is_empty(),
                "{}: {}",
                entry.name,
                option.name
            );
        }
    }
}
