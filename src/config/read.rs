//! Reads a file into a [`PipelineFile`], or reports all of its problems.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use syncline_connectors::kind::Kind;
use syncline_connectors::registry::{LOOKUPS, SINKS, SOURCES};
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::sql::lookup::LookupConfig;

use super::checks::{check_lookups, check_quarantine, check_settings, check_sink, check_source};
use super::document::{self, Document};
use super::graph::{self, Component, Section};
use super::includes::include;
use super::kinds::{OPERATORS, QUARANTINES};
use super::report::{Report, Source};
use super::schema::{Settings, pipeline_schema};
use super::service::{ServiceFile, Services};
use super::substitution::{ReferenceSources, substitute};
use super::{Layers, PipelineFile, Schedule, SinkNode, shape};
use crate::operator::check_without_schema;
use crate::problem::Problem;

/// Reads a pipeline file, with what its `syncline.toml` says for it.
///
/// # Errors
/// All problems of the file; also if it cannot be read.
pub fn load(path: &Path, services: &mut Services) -> Result<PipelineFile, Report> {
    without_problems(load_with_problems(path, services)?)
}

/// Reads a pipeline file whose components can all be read, together with its remaining problems, so
/// that the caller can report them with the problems that show only later.
///
/// # Errors
/// All problems of the file, if its components cannot be read.
pub(crate) fn load_with_problems(
    path: &Path,
    services: &mut Services,
) -> Result<(PipelineFile, Vec<Problem>), Report> {
    let shown = path.display().to_string();
    let service = services.of(path)?;
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&shown, text, &|name| std::env::var(name).ok(), &service),
        Err(error) => {
            let message = format!("the pipeline file cannot be read: {error}");
            Err(Report::unreadable(&shown, message))
        }
    }
}

/// Reads the text of a pipeline file. `path` is the path of the file, `variable` looks up
/// environment variables.
///
/// # Errors
/// All problems of the file.
pub fn load_text(
    path: &str,
    text: String,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PipelineFile, Report> {
    load_text_with(path, text, variable, &ServiceFile::default())
}

/// As [`load_text`], with a `syncline.toml`.
///
/// # Errors
/// All problems of the file.
pub fn load_text_with(
    path: &str,
    text: String,
    variable: &dyn Fn(&str) -> Option<String>,
    service: &ServiceFile,
) -> Result<PipelineFile, Report> {
    without_problems(read_text(path, text, variable, service)?)
}

fn without_problems(
    (file, problems): (PipelineFile, Vec<Problem>),
) -> Result<PipelineFile, Report> {
    if problems.is_empty() {
        Ok(file)
    } else {
        Err(file.document.report(problems))
    }
}

fn read_text(
    path: &str,
    text: String,
    variable: &dyn Fn(&str) -> Option<String>,
    service: &ServiceFile,
) -> Result<(PipelineFile, Vec<Problem>), Report> {
    let source = Arc::new(Source {
        path: path.to_owned(),
        text,
    });
    let mut root = document::parse_source(&source)?;
    let mut invalid = Vec::new();
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let reference_sources = ReferenceSources { variable, folder };
    let mut secrets = substitute(&mut root, &source.text, &reference_sources, &mut invalid);
    secrets.extend_from_slice(service.shared.secrets());
    let unconnected = service.shared.add_to(&mut root, &mut invalid);
    let functions = include(&mut root, Path::new(path), &mut invalid);
    let (json, mut shape_problems) = shape::read(&root, pipeline_schema());
    // What a connection would have brought is not missing.
    shape_problems.retain(|problem| {
        let below = |path: &Vec<String>| problem.path.starts_with(path);
        !unconnected.iter().any(below)
    });
    invalid.append(&mut shape_problems);
    let document = Document::new(source, root, secrets);

    let mut components = Components {
        json: &json,
        invalid,
        problems: graph::check(&graph_of(&json)),
    };
    let sources = components.read(Section::Sources, SOURCES);
    let operators = components.read(Section::Operators, OPERATORS);
    let sinks = components.read(Section::Sinks, SINKS);
    let lookups = components.lookups();
    let layers = components.layers(&sinks);
    let quarantine = components.component(&["quarantine"], &json["quarantine"], QUARANTINES);
    let settings = components.settings();
    // A problem that is found after this point does not change the components.
    let all_read = components.invalid.is_empty() && components.problems.is_empty();
    for (name, source) in &sources {
        components.add(&["sources", name], check_source(source));
    }
    for (name, operator) in &operators {
        components.add(&["operators", name], check_without_schema(operator));
    }
    for (name, sink) in &sinks {
        components.add(&["sinks", name], check_sink(sink));
    }
    for (name, lookup) in &lookups {
        components.add(&["lookups", name], lookup.check());
    }
    if let Some(quarantine) = &quarantine {
        components.add(&["quarantine"], check_quarantine(quarantine));
    }
    if let Some(settings) = &settings {
        components.add(&[], check_settings(settings));
        components.add(&[], check_lookups(&operators, &lookups, &settings.caches));
    }
    let schedule = settings
        .as_ref()
        .and_then(|settings| settings.schedule.as_ref());
    let schedule = match schedule.map(Schedule::timetable).transpose() {
        Ok(schedule) => schedule,
        Err(wrong) => {
            components.add(&["schedule"], wrong);
            None
        }
    };
    let Components {
        mut invalid,
        mut problems,
        ..
    } = components;
    match settings {
        Some(settings) if all_read => {
            let file = PipelineFile {
                name: settings.name.unwrap_or_else(|| file_stem(path)),
                memory_bytes: settings.memory.0,
                batch: settings.batch,
                sources,
                caches: settings
                    .caches
                    .iter()
                    .map(|(name, cache)| (name.clone(), cache.options()))
                    .collect(),
                lookups,
                operators,
                sinks: sinks
                    .into_iter()
                    .zip(layers)
                    .map(|((name, config), layers)| {
                        let inputs = inputs_of(&json["sinks"][&name]).unwrap_or_default();
                        let node = SinkNode {
                            inputs,
                            layers,
                            config,
                        };
                        (name, node)
                    })
                    .collect(),
                quarantine,
                schedule,
                state: service.settings.state.clone(),
                resolved: json,
                tests: settings.tests,
                functions,
                document,
            };
            Ok((file, problems))
        }
        _ => {
            invalid.append(&mut problems);
            Err(document.report(invalid))
        }
    }
}

/// Reads the components of a file and collects their problems.
struct Components<'a> {
    json: &'a Json,
    /// Problems of references and values that are invalid by the schema.
    invalid: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Components<'_> {
    /// Reads the components of a section that are valid by the schema.
    fn read<Config>(&mut self, section: Section, kinds: &[Kind<Config>]) -> Vec<(String, Config)> {
        let mut read = Vec::new();
        for (name, json) in self.json[section.key()].as_object().into_iter().flatten() {
            let mut json = json.clone();
            if section == Section::Sinks {
                take_layers(&mut json);
            }
            if let Some(config) = self.component(&[section.key(), name], &json, kinds) {
                read.push((name.clone(), config));
            }
        }
        read
    }

    /// Reads the lookups that are valid by the schema.
    fn lookups(&mut self) -> Vec<(String, LookupConfig)> {
        let mut read = Vec::new();
        for (name, json) in self.json["lookups"].as_object().into_iter().flatten() {
            if let Some(config) = self.component(&["lookups", name], json, LOOKUPS) {
                read.push((name.clone(), config));
            }
        }
        read
    }

    /// Reads the layers of each sink.
    fn layers(&mut self, sinks: &[(String, SinkConfig)]) -> Vec<Layers> {
        let mut read = Vec::with_capacity(sinks.len());
        for (name, _) in sinks {
            let layers = take_layers(&mut self.json["sinks"][name].clone());
            match serde_json::from_value(layers) {
                Ok(layers) => read.push(layers),
                Err(error) => {
                    let path = ["sinks", name];
                    self.problems.push(Problem::new(&path, error.to_string()));
                }
            }
        }
        read
    }

    /// Reads one component, if it exists and is valid by the schema.
    fn component<Config>(
        &mut self,
        path: &[&str],
        json: &Json,
        kinds: &[Kind<Config>],
    ) -> Option<Config> {
        let is_invalid = self.invalid.iter().any(|problem| {
            problem.path.len() >= path.len() && problem.path.iter().zip(path).all(|(a, b)| a == b)
        });
        let kind = kinds.iter().find(|kind| json["type"] == kind.name)?;
        if is_invalid {
            return None;
        }
        let mut json = json.clone();
        json.as_object_mut()?.shift_remove("type");
        match (kind.read)(json) {
            Ok(config) => Some(config),
            Err(error) => {
                self.problems.push(Problem::new(path, error.to_string()));
                None
            }
        }
    }

    /// Adds problems whose paths are relative to `path`.
    fn add(&mut self, path: &[&str], problems: Vec<Problem>) {
        let problems = problems.into_iter().map(|problem| problem.under(path));
        self.problems.extend(problems);
    }

    /// Reads the settings that belong to no component.
    fn settings(&mut self) -> Option<Settings> {
        let mut json = self.json.clone();
        for component in ["sources", "operators", "sinks", "lookups", "quarantine"] {
            json.as_object_mut()?.shift_remove(component);
        }
        let settings: Settings = match serde_json::from_value(json) {
            Ok(settings) => settings,
            Err(error) => {
                // A value that is valid by the schema can be read, so the problem is already
                // reported.
                if self.invalid.is_empty() {
                    self.problems.push(Problem::new(&[], error.to_string()));
                }
                return None;
            }
        };
        Some(settings)
    }
}

/// Removes the keys that the connector does not know from a sink's table, and returns its layers.
fn take_layers(sink: &mut Json) -> Json {
    let mut layers = serde_json::Map::new();
    if let Some(settings) = sink.as_object_mut() {
        settings.shift_remove("inputs");
        for layer in Layers::KEYS {
            if let Some(value) = settings.shift_remove(layer) {
                layers.insert(layer.to_owned(), value);
            }
        }
    }
    Json::Object(layers)
}

/// The graph, as far as it can be read.
fn graph_of(json: &Json) -> Vec<Component> {
    let mut components = Vec::new();
    for section in [Section::Sources, Section::Operators, Section::Sinks] {
        for (name, json) in json[section.key()].as_object().into_iter().flatten() {
            components.push(Component {
                section,
                name: name.clone(),
                inputs: inputs_of(json),
                outputs: outputs_of(name, json),
            });
        }
    }
    components
}

/// The names under which others read a component.
fn outputs_of(name: &str, json: &Json) -> Vec<String> {
    let outputs = json["outputs"]
        .as_object()
        .filter(|_| json["type"] == "route");
    let Some(outputs) = outputs else {
        return vec![name.to_owned()];
    };
    let named = outputs.keys().map(String::as_str);
    named
        .chain(json["otherwise"].as_str())
        .map(|output| format!("{name}.{output}"))
        .collect()
}

/// The `inputs` of a component; empty if it has none. `None` if they cannot be read.
fn inputs_of(json: &Json) -> Option<Vec<String>> {
    match &json.as_object()?.get("inputs") {
        None => Some(Vec::new()),
        Some(inputs) => inputs
            .as_array()?
            .iter()
            .map(|input| input.as_str().map(str::to_owned))
            .collect(),
    }
}

fn file_stem(path: &str) -> String {
    let stem = Path::new(path).file_stem().and_then(OsStr::to_str);
    stem.unwrap_or("pipeline").to_owned()
}
