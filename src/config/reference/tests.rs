use expect_test::expect_file;
use syncline_connectors::registry::{SINKS, SOURCES};

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
            EntryKind::Lookup => "lookups",
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

/// The TOML of the guides on systems: each block is read by the schema, and each source and sink is checked.
#[test]
fn the_examples_of_the_guides_hold() {
    let guides = [
        include_str!("../../../docs/databases.md"),
        include_str!("../../../docs/files.md"),
        include_str!("../../../docs/formats.md"),
        include_str!("../../../docs/http.md"),
        include_str!("../../../docs/rows.md"),
    ];
    // A place that the environment says is not known here.
    let without_place = |mut problems: Vec<crate::problem::Problem>| {
        problems.retain(|problem| problem.path != ["url"]);
        problems
    };
    let mut checked = 0;
    for guide in guides {
        for block in guide.split("```toml\n").skip(1) {
            let example = block.split("```").next().expect("a block ends");
            let root = document::parse(example).expect("it is TOML");
            let (json, problems) = shape::read(&root, pipeline_schema());
            assert_eq!(problems, [], "{example}");
            let settings = |section: &str| {
                let all = json[section].as_object().cloned().unwrap_or_default();
                all.into_iter().map(|(_, mut one)| {
                    let table = one.as_object_mut().expect("a table");
                    let kind = table.remove("type").expect("a type");
                    table.remove("inputs");
                    (kind.as_str().expect("a text").to_owned(), one)
                })
            };
            for (kind, one) in settings("sources") {
                let known = SOURCES.iter().find(|known| known.name == kind);
                let read = (known.expect("it is known").read)(one).expect(example);
                assert_eq!(without_place(read.check()), [], "{example}");
                checked += 1;
            }
            for (kind, one) in settings("sinks") {
                let known = SINKS.iter().find(|known| known.name == kind);
                let read = (known.expect("it is known").read)(one).expect(example);
                assert_eq!(without_place(read.check()), [], "{example}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "{checked} examples");
}
