//! From a file to a [`PipelineFile`], or to everything that is wrong with it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use syncline_connectors::kind::Kind;
use syncline_connectors::registry::{SINKS, SOURCES};
use syncline_connectors::sink::SinkConfig;

use super::checks::{check_quarantine, check_settings, check_sink, check_source};
use super::document::{self, Document};
use super::graph::{self, Component, Section};
use super::kinds::{OPERATORS, QUARANTINES};
use super::report::{Flaw, Report, Source};
use super::schema::{Settings, pipeline_schema};
use super::substitution::{Outside, substitute};
use super::{Layers, PipelineFile, SinkNode, shape};
use crate::operator::check_without_schema;
use crate::problem::Problem;

/// Reads a pipeline file.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load(path: &Path) -> Result<PipelineFile, Report> {
    whole(load_with_problems(path)?)
}

/// Reads a pipeline file as far as every component of it can be read, with the problems that stand
/// in it all the same, so that those which show only beyond the file can be shown beside them.
///
/// # Errors
/// Everything that is wrong with it, where that is so much that there are no components.
pub(crate) fn load_with_problems(path: &Path) -> Result<(PipelineFile, Vec<Problem>), Report> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&shown, text, &|name| std::env::var(name).ok()),
        Err(error) => {
            let message = format!("the pipeline file cannot be read: {error}");
            Err(Report::unreadable(&shown, message))
        }
    }
}

/// Reads the text of a pipeline file; `path` is where it stands, `variable` looks up environment
/// variables.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_text(
    path: &str,
    text: String,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PipelineFile, Report> {
    whole(read_text(path, text, variable)?)
}

fn whole((file, problems): (PipelineFile, Vec<Problem>)) -> Result<PipelineFile, Report> {
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
) -> Result<(PipelineFile, Vec<Problem>), Report> {
    let source = Arc::new(Source {
        path: path.to_owned(),
        text,
    });
    let mut root = match document::parse(&source.text) {
        Ok(root) => root,
        Err(errors) => {
            let flaws = errors
                .into_iter()
                .map(|(span, message)| Flaw {
                    span,
                    path: Vec::new(),
                    message,
                    help: None,
                })
                .collect();
            return Err(Report::new(&source, flaws, &[]));
        }
    };
    let mut flaws = Vec::new();
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let outside = Outside { variable, folder };
    let secrets = substitute(&mut root, &source.text, &outside, &mut flaws);
    let (json, mut shape_flaws) = shape::read(&root, pipeline_schema());
    flaws.append(&mut shape_flaws);
    let document = Document::new(source, root, secrets);

    let mut components = Components {
        json: &json,
        flaws,
        problems: graph::check(&graph_of(&json)),
    };
    let sources = components.read(Section::Sources, SOURCES);
    let operators = components.read(Section::Operators, OPERATORS);
    let sinks = components.read(Section::Sinks, SINKS);
    let layers = components.layers(&sinks);
    let quarantine = components.one(&["quarantine"], &json["quarantine"], QUARANTINES);
    let settings = components.settings();
    // From here on a problem leaves every component as it is.
    let all_read = components.flaws.is_empty() && components.problems.is_empty();
    for (name, source) in &sources {
        components.add(&["sources", name], check_source(source));
    }
    for (name, operator) in &operators {
        components.add(&["operators", name], check_without_schema(operator));
    }
    for (name, sink) in &sinks {
        components.add(&["sinks", name], check_sink(sink));
    }
    if let Some(quarantine) = &quarantine {
        components.add(&["quarantine"], check_quarantine(quarantine));
    }
    if let Some(settings) = &settings {
        components.add(&[], check_settings(settings));
    }
    let Components {
        flaws, problems, ..
    } = components;
    match settings {
        Some(settings) if all_read => {
            let file = PipelineFile {
                name: settings.name.unwrap_or_else(|| file_stem(path)),
                memory_bytes: settings.memory.0,
                batch: settings.batch,
                sources,
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
                document,
            };
            Ok((file, problems))
        }
        _ => Err(document.report_with(flaws, problems)),
    }
}

/// The pipeline files that arguments name: files as they are, and of a folder every `*.toml` in the
/// order of their names.
///
/// # Errors
/// A folder that cannot be read, or that holds no pipeline file.
pub fn pipeline_files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Report> {
    let mut files = Vec::new();
    let mut report = Report::default();
    for argument in arguments {
        if !argument.is_dir() {
            files.push(argument.clone());
            continue;
        }
        let shown = argument.display().to_string();
        match std::fs::read_dir(argument) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.extension() == Some(OsStr::new("toml")) && path.is_file())
                    .collect();
                if found.is_empty() {
                    let message = "the folder holds no pipeline file (*.toml)".to_owned();
                    report.append(Report::unreadable(&shown, message));
                }
                found.sort();
                files.append(&mut found);
            }
            Err(error) => {
                let message = format!("the folder cannot be read: {error}");
                report.append(Report::unreadable(&shown, message));
            }
        }
    }
    if report.is_empty() {
        Ok(files)
    } else {
        Err(report)
    }
}

/// The components of a file as they are read, with what is wrong with them.
struct Components<'a> {
    json: &'a Json,
    flaws: Vec<Flaw>,
    problems: Vec<Problem>,
}

impl Components<'_> {
    /// Reads the components of a section that hold to the schema.
    fn read<Config>(&mut self, section: Section, kinds: &[Kind<Config>]) -> Vec<(String, Config)> {
        let mut read = Vec::new();
        for (name, json) in self.json[section.key()].as_object().into_iter().flatten() {
            let mut json = json.clone();
            if section == Section::Sinks {
                take_place(&mut json);
            }
            if let Some(config) = self.one(&[section.key(), name], &json, kinds) {
                read.push((name.clone(), config));
            }
        }
        read
    }

    /// Reads what is wrapped around each of the sinks.
    fn layers(&mut self, sinks: &[(String, SinkConfig)]) -> Vec<Layers> {
        let mut read = Vec::with_capacity(sinks.len());
        for (name, _) in sinks {
            let place = take_place(&mut self.json["sinks"][name].clone());
            match serde_json::from_value(place) {
                Ok(layers) => read.push(layers),
                Err(error) => {
                    let path = ["sinks", name];
                    self.problems.push(Problem::new(&path, error.to_string()));
                }
            }
        }
        read
    }

    /// Reads one component, where it is there and holds to the schema.
    fn one<Config>(
        &mut self,
        path: &[&str],
        json: &Json,
        kinds: &[Kind<Config>],
    ) -> Option<Config> {
        let flawed = self.flaws.iter().any(|flaw| {
            flaw.path.len() >= path.len() && flaw.path.iter().zip(path).all(|(a, b)| a == b)
        });
        let kind = kinds.iter().find(|kind| json["type"] == kind.name)?;
        if flawed {
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

    /// Takes problems whose paths begin at `path`.
    fn add(&mut self, path: &[&str], problems: Vec<Problem>) {
        let problems = problems.into_iter().map(|problem| problem.under(path));
        self.problems.extend(problems);
    }

    /// Reads what belongs to no component.
    fn settings(&mut self) -> Option<Settings> {
        let mut json = self.json.clone();
        for component in ["sources", "operators", "sinks", "quarantine"] {
            json.as_object_mut()?.shift_remove(component);
        }
        let settings: Settings = match serde_json::from_value(json) {
            Ok(settings) => settings,
            Err(error) => {
                // What holds to the schema can be read: the flaw is reported already.
                if self.flaws.is_empty() {
                    self.problems.push(Problem::new(&[], error.to_string()));
                }
                return None;
            }
        };
        Some(settings)
    }
}

/// Takes out of a sink's table what the connector knows nothing of, and gives its layers.
fn take_place(sink: &mut Json) -> Json {
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

/// The graph as far as it can be read.
fn graph_of(json: &Json) -> Vec<Component> {
    let mut components = Vec::new();
    for section in [Section::Sources, Section::Operators, Section::Sinks] {
        for (name, json) in json[section.key()].as_object().into_iter().flatten() {
            let inputs = match section {
                Section::Sources => Some(Vec::new()),
                _ => inputs_of(json),
            };
            components.push(Component {
                section,
                name: name.clone(),
                inputs,
            });
        }
    }
    components
}

/// The `inputs` of a component; of an operator that has none, the empty list.
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
