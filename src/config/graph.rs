//! The graph that the `inputs` form: complete, without cycles, and without unused components.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::suggest;
use crate::function::nearest;
use crate::problem::Problem;

/// A component's part in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) section: Section,
    pub(crate) name: String,
    /// `None` if `inputs` could not be read; problems that follow from it are not reported.
    pub(crate) inputs: Option<Vec<String>>,
    /// The names under which others read it: its own, or those of its outputs.
    pub(crate) outputs: Vec<String>,
}

/// The table that contains a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Sources,
    Operators,
    Sinks,
}

impl Section {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Operators => "operators",
            Self::Sinks => "sinks",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Sources => "source",
            Self::Operators => "operator",
            Self::Sinks => "sink",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Self::Operators => "an",
            Self::Sources | Self::Sinks => "a",
        }
    }
}

/// All problems of the graph.
pub(crate) fn check(components: &[Component]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, help) in [
        (
            Section::Sources,
            "add a `[sources.NAME]`: a source of changes",
        ),
        (
            Section::Sinks,
            "add a `[sinks.NAME]`: a target for the rows",
        ),
    ] {
        if components.iter().all(|one| one.section != section) {
            let message = format!("the pipeline has no {}", section.noun());
            problems.push(Problem::new(&[section.key()], message).help(help));
        }
    }
    check_names(components, &mut problems);
    let readers_known = check_inputs(components, &mut problems);
    check_cycles(components, &mut problems);
    for one in components {
        let Some(read) = &readers_known else { break };
        if one.section == Section::Sinks {
            continue;
        }
        for output in one
            .outputs
            .iter()
            .filter(|output| !read.contains(output.as_str()))
        {
            let noun = match *output == one.name {
                true => one.section.noun(),
                false => "output",
            };
            let message = format!("nothing reads the {noun} `{output}`");
            let help =
                format!("write `inputs = [\"{output}\"]` in an operator or a sink, or remove it");
            problems.push(Problem::new(&[one.section.key(), &one.name], message).help(help));
        }
    }
    problems
}

fn check_names(components: &[Component], problems: &mut Vec<Problem>) {
    let mut first: BTreeMap<&str, Section> = BTreeMap::new();
    for one in components {
        let path = [one.section.key(), one.name.as_str()];
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if one.name.is_empty() || !one.name.chars().all(plain) {
            let message = format!(
                "`{}` is not a valid name for {} {}",
                one.name,
                one.section.article(),
                one.section.noun()
            );
            let help = "use letters, digits, `_` and `-` only";
            problems.push(Problem::new(&path, message).help(help));
        }
        if let Some(other) = first.get(one.name.as_str()) {
            let message = format!(
                "`{}` is already the name of {} {}",
                one.name,
                other.article(),
                other.noun()
            );
            let help = "choose another name: sources, operators and sinks need different names";
            problems.push(Problem::new(&path, message).help(help));
        } else {
            first.insert(&one.name, one.section);
        }
    }
}

/// Checks every input. Returns the names that are used as an input, or most likely meant; `None` if
/// an input is missing or wrong, because it could have been any name.
fn check_inputs<'c>(
    components: &'c [Component],
    problems: &mut Vec<Problem>,
) -> Option<BTreeSet<&'c str>> {
    let mut read = BTreeSet::new();
    let mut certain = true;
    let sinks_only = |name: &str| {
        let mut named = components.iter().filter(|one| one.name == name).peekable();
        named.peek().is_some() && named.all(|one| one.section == Section::Sinks)
    };
    let names: Vec<&str> = components
        .iter()
        .filter(|one| one.section != Section::Sinks)
        .flat_map(|one| one.outputs.iter().map(String::as_str))
        .collect();
    let routed = |name: &str| {
        let mut named = components.iter().filter(|one| one.name == name);
        named.find(|one| one.outputs.iter().all(|output| output != name))
    };
    for one in components {
        let Some(inputs) = &one.inputs else {
            certain = false;
            continue;
        };
        let path = [one.section.key(), one.name.as_str(), "inputs"];
        if inputs.is_empty() && one.section != Section::Sources {
            certain = false;
            let message = format!("the {} `{}` has no inputs", one.section.noun(), one.name);
            let help = suggest(None, "name at least one of", &names);
            problems.push(Problem::new(&path, message).help(help));
        }
        for (index, input) in inputs.iter().enumerate() {
            let place = index.to_string();
            let path = [one.section.key(), &one.name, "inputs", &place];
            if let Some(name) = names.iter().find(|name| *name == input) {
                read.insert(*name);
                if inputs[..index].contains(input) {
                    let message = format!("`{input}` is listed twice");
                    problems.push(Problem::new(&path, message).help("remove one of them"));
                }
            } else if sinks_only(input) {
                let message = format!("`{input}` is a sink, and a sink has no output");
                let help = suggest(None, "an input is one of", &names);
                problems.push(Problem::new(&path, message).help(help));
            } else if let Some(route) =
                routed(input).filter(|route| route.section == Section::Operators)
            {
                certain = false;
                let outputs: Vec<&str> = route.outputs.iter().map(String::as_str).collect();
                let message = format!("`{input}` has outputs, and this names none of them");
                let help = suggest(None, "an input is one of", &outputs);
                problems.push(Problem::new(&path, message).help(help));
            } else {
                let near = nearest(
                    input,
                    names.iter().copied().filter(|name| *name != one.name),
                );
                read.extend(near);
                certain &= near.is_some();
                let message = format!("unknown input `{input}`");
                let help = suggest(near, "an input is one of", &names);
                problems.push(Problem::new(&path, message).help(help));
            }
        }
    }
    certain.then_some(read)
}

/// Reports each cycle once, at the input that closes it.
fn check_cycles(components: &[Component], problems: &mut Vec<Problem>) {
    let operators = components
        .iter()
        .filter(|one| one.section == Section::Operators);
    let inputs: BTreeMap<&str, &Component> = operators
        .clone()
        .flat_map(|one| one.outputs.iter().map(move |output| (output.as_str(), one)))
        .collect();
    let mut by_name: Vec<&Component> = operators.collect();
    by_name.sort_by_key(|one| &one.name);
    let mut done = BTreeSet::new();
    for one in by_name {
        let mut trail = Vec::new();
        walk(one, &inputs, &mut trail, &mut done, problems);
    }
}

fn walk<'c>(
    one: &'c Component,
    operators: &BTreeMap<&'c str, &'c Component>,
    trail: &mut Vec<&'c str>,
    done: &mut BTreeSet<&'c str>,
    problems: &mut Vec<Problem>,
) {
    if !done.insert(&one.name) {
        return;
    }
    trail.push(&one.name);
    for (index, input) in one.inputs.iter().flatten().enumerate() {
        let owner = operators
            .get(input.as_str())
            .map_or(input.as_str(), |one| &one.name);
        if let Some(start) = trail.iter().position(|name| *name == owner) {
            // The trail goes from a reader to its input, so the names are in reverse order.
            let mut names: Vec<String> = trail[start..]
                .iter()
                .rev()
                .map(|name| format!("`{name}`"))
                .collect();
            names.extend(names.first().cloned());
            let path = ["operators", &one.name, "inputs", &index.to_string()];
            let message = format!("the operators form a cycle: {}", names.join(" → "));
            problems.push(Problem::new(&path, message).help("remove one of these inputs"));
        } else if let Some(next) = operators.get(input.as_str()) {
            walk(next, operators, trail, done, problems);
        }
    }
    trail.pop();
}
