//! Reads what a schema allows, and describes it in words.

use serde_json::Value as Json;

use crate::config::size;

/// Follows references into `$defs`.
pub(in crate::config) fn resolve<'s>(definitions: &'s Json, mut schema: &'s Json) -> &'s Json {
    while let Some(reference) = schema["$ref"].as_str() {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| definitions.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The alternatives of a schema, with their references followed; `None` if it has only one shape or
/// is a list of texts.
pub(super) fn alternatives<'s>(definitions: &'s Json, schema: &'s Json) -> Option<Vec<&'s Json>> {
    if choices(schema).is_some() {
        return None;
    }
    let list = ["anyOf", "oneOf"]
        .iter()
        .find_map(|name| schema[*name].as_array())?;
    let mut found = Vec::new();
    for alternative in list {
        let alternative = resolve(definitions, alternative);
        match alternatives(definitions, alternative) {
            Some(mut nested) => found.append(&mut nested),
            None if alternative["type"] == "null" => {}
            None => found.push(alternative),
        }
    }
    Some(found)
}

/// The texts that a schema allows, if it allows only a fixed list of texts.
pub(super) fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(one) = schema["const"].as_str() {
        return Some(vec![one]);
    }
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(Json::as_str).collect());
    }
    let list = schema["oneOf"].as_array()?;
    let mut found = Vec::new();
    for alternative in list {
        if alternative["properties"].is_object() {
            return None;
        }
        found.extend(choices(alternative)?);
    }
    Some(found)
}

/// The JSON types that a schema allows, without null; `None` if it allows all.
pub(super) fn kinds(schema: &Json) -> Option<Vec<&str>> {
    let kinds: Vec<&str> = match &schema["type"] {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ if choices(schema).is_some() => vec!["string"],
        _ => return None,
    };
    Some(kinds.into_iter().filter(|kind| *kind != "null").collect())
}

/// The key whose constant text distinguishes alternative tables.
pub(super) fn tag<'s>(alternatives: &[&'s Json]) -> Option<&'s str> {
    let first = alternatives.first()?["properties"].as_object()?;
    first.keys().map(String::as_str).find(|key| {
        alternatives
            .iter()
            .all(|alternative| alternative["properties"][*key]["const"].is_string())
    })
}

/// The texts that the alternatives allow together, if every text alternative has a fixed list.
pub(super) fn texts<'s>(alternatives: &[&'s Json]) -> Option<Vec<&'s str>> {
    let free = |alternative: &&Json| {
        choices(alternative).is_none()
            && kinds(alternative).is_none_or(|kinds| kinds.contains(&"string"))
    };
    if alternatives.iter().any(free) {
        return None;
    }
    let lists = alternatives
        .iter()
        .filter_map(|alternative| choices(alternative));
    let texts: Vec<&str> = lists.flatten().collect();
    (!texts.is_empty()).then_some(texts)
}

/// Describes what alternatives expect; their texts become one list.
pub(super) fn expected_of_any(definitions: &Json, alternatives: &[&Json]) -> String {
    let mut words: Vec<String> = Vec::new();
    let texts: Vec<&str> = alternatives
        .iter()
        .filter_map(|alternative| choices(alternative))
        .flatten()
        .collect();
    if !texts.is_empty() {
        words.push(format!("one of {}", quoted(&texts)));
    }
    for alternative in alternatives {
        if choices(alternative).is_none() {
            let word = expected_of(definitions, alternative);
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.join(" or ")
}

/// Describes what a schema expects.
pub(in crate::config) fn expected_of(definitions: &Json, schema: &Json) -> String {
    let schema = resolve(definitions, schema);
    if let Some(alternatives) = alternatives(definitions, schema) {
        return expected_of_any(definitions, &alternatives);
    }
    if let Some(choices) = choices(schema) {
        return format!("one of {}", quoted(&choices));
    }
    if schema["format"] == size::FORMAT {
        return "a size such as \"64MiB\"".to_owned();
    }
    match kinds(schema) {
        None => "any value".to_owned(),
        Some(kinds) if kinds == ["array"] => {
            match expected_of(definitions, &schema["items"]).as_str() {
                "a string" => "an array of strings".to_owned(),
                "a table" => "an array of tables".to_owned(),
                "an integer" => "an array of integers".to_owned(),
                _ => "an array".to_owned(),
            }
        }
        Some(kinds)
            if kinds == ["object"] && schema["additionalProperties"]["type"] == "string" =>
        {
            "a table of strings".to_owned()
        }
        Some(kinds) => expected(&kinds),
    }
}

pub(super) fn expected(kinds: &[&str]) -> String {
    let words: Vec<&str> = kinds.iter().map(|kind| describe(kind)).collect();
    words.join(" or ")
}

pub(super) fn describe(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "datetime" => "a date",
        "array" => "an array",
        _ => "a table",
    }
}

/// The help for an unknown name.
pub(in crate::config) fn suggest(near: Option<&str>, lead: &str, names: &[&str]) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{lead} {}", quoted(names)),
    }
}

pub(super) fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The first sentence of a doc comment, on one line and without its full stop.
pub(in crate::config) fn first_sentence(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.find(". ") {
        Some(end) => line[..end].to_owned(),
        None => line.trim_end_matches('.').to_owned(),
    }
}
