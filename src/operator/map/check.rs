//! What can be told about a `map` without rows.

use super::{MapConfig, goes_on, renamed};
use crate::function;
use crate::operator::{Settings as _, problem};
use crate::problem::Problem;

/// Problems that need no schema, but for those of the expressions.
pub(super) fn check_shape(config: &MapConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let shorthands = [
        ("keep", config.keep.is_empty()),
        ("drop", config.drop.is_empty()),
        ("rename", config.rename.is_empty()),
        ("set", config.set.is_empty()),
    ];
    let used = shorthands.iter().filter(|(_, is_empty)| !is_empty);
    if config.fields.is_empty() {
        if used.count() == 0 {
            problems.push(
                Problem::new(&[], "the map changes nothing")
                    .help("give it fields, or keep, drop, rename or set"),
            );
        }
    } else {
        problems.extend(used.map(|(setting, _)| {
            Problem::new(&[setting], format!("{setting} cannot stand beside fields"))
                .help("fields names every column that goes out; use set to compute some and keep the rest")
        }));
    }
    if !config.keep.is_empty() && !config.drop.is_empty() {
        problems.push(
            Problem::new(&["drop"], "drop cannot stand beside keep")
                .help("keep already leaves out all other columns"),
        );
    }
    problems
}

pub(in crate::operator) fn check_without_schema(config: &MapConfig) -> Vec<Problem> {
    let mut problems = check_shape(config);
    for (setting, texts) in [("fields", &config.fields), ("set", &config.set)] {
        for (name, text) in texts.iter() {
            if let Err(error) = function::references(text) {
                problems.push(problem(&[setting, name], *error));
            }
        }
    }
    problems
}

/// The columns that expressions read, but for those that they only pass on.
pub(in crate::operator) fn computed_columns(config: &MapConfig) -> Vec<String> {
    let texts = config.fields.iter().chain(config.set.iter());
    let computed = texts.filter(|(name, _)| config.column_behind(name).is_none());
    let references = |(_, text): (&str, &str)| function::references(text).unwrap_or_default();
    computed.flat_map(references).collect()
}

/// The columns that are named to be passed on, renamed or left out.
pub(in crate::operator) fn passed_columns(config: &MapConfig) -> Vec<String> {
    let texts = config.fields.iter().chain(config.set.iter());
    let behind = texts.filter_map(|(name, _)| config.column_behind(name));
    let listed = config.keep.iter().chain(&config.drop).cloned();
    let renamed = config.rename.iter().map(|(old, _)| old.to_owned());
    behind.chain(listed).chain(renamed).collect()
}

pub(in crate::operator) fn required_columns(
    config: &MapConfig,
    wanted: Option<&[String]>,
) -> Option<Vec<String>> {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|w| w == name));
    let mut required = Vec::new();
    for (name, text) in config.fields.iter().chain(config.set.iter()) {
        if is_wanted(name) {
            required.extend(function::references(text).ok()?);
        }
    }
    if config.fields.is_empty() {
        let candidates: Vec<&str> = match wanted {
            _ if !config.keep.is_empty() => config.keep.iter().map(String::as_str).collect(),
            // By their names before the renaming.
            Some(wanted) => wanted
                .iter()
                .map(|name| {
                    let old = config.rename.iter().find(|(_, new)| new == name);
                    old.map_or(name.as_str(), |(old, _)| old)
                })
                .collect(),
            None => return None,
        };
        let is_set = |name: &str| config.set.iter().any(|(set, _)| set == name);
        required.extend(
            candidates
                .into_iter()
                .filter(|old| goes_on(config, old))
                .filter(|old| is_wanted(renamed(config, old)) && !is_set(renamed(config, old)))
                .map(str::to_owned),
        );
    }
    Some(required)
}
