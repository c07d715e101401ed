//! `syncline.toml`: what the pipelines of one process share, and how the process itself behaves.
//!
//! The file stands beside the pipeline files, or is named by `--config`. It is checked as a pipeline
//! file is: every problem at its place, an unknown key with the nearest name. `[connections.NAME]` are
//! settings that a source, a sink or the quarantine takes over with `connection = "NAME"`; a key that
//! it has itself wins. `[defaults]` holds for every pipeline that does not say it itself.

mod connections;
mod find;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

pub(crate) use self::connections::Shared;
pub use self::find::Services;
use super::document::{self, Document};
use super::report::{Report, Source};
use super::schema::plain_descriptions;
use super::substitution::{ReferenceSources, substitute};
use super::{Batch, ByteSize, shape};
use crate::problem::Problem;

/// The name of the file.
pub const SERVICE_FILE: &str = "syncline.toml";
/// Where the state is kept if nothing says otherwise.
const STATE: &str = "state";

/// A process that runs pipelines.
///
/// ```toml
/// state              = "/var/lib/syncline"
/// shutdown_timeout_s = 25
///
/// [api]
/// address = "127.0.0.1:7470"
///
/// [log]
/// format = "json"
///
/// [connections.billing]
/// type = "postgres"
/// url  = "${env:BILLING_URL}"
///
/// [defaults]
/// memory     = "128MiB"
/// batch.rows = 4096
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// The folder for what Syncline keeps on disk: the quarantine, which pipelines are paused, and the
    /// last runs of schedules. A relative path starts where the process was started.
    pub state: PathBuf,
    /// Seconds that a stop may take: what is in flight is written, then the process ends. After that
    /// time it ends with exit code 1.
    #[schemars(range(min = 1, max = 3_600))]
    pub shutdown_timeout_s: u64,
    /// The control API; there is none if this table is absent.
    pub api: Option<Api>,
    /// How the process logs.
    pub log: Log,
    /// What holds for every pipeline that does not say it itself.
    pub defaults: Defaults,
}

/// `[api]`: the control API and the metrics, over HTTP.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// The address and the port. Another address than that of this machine alone (`127.0.0.1`, `[::1]`)
    /// needs a `token`.
    #[schemars(length(min = 1))]
    pub address: String,
    /// Who sends it as `Authorization: Bearer TOKEN` may do everything. Take it from the environment or
    /// a file.
    #[schemars(length(min = 16))]
    pub token: Option<String>,
}

/// `[log]`: how the process logs to stderr. The command line and `RUST_LOG` win over it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` for people, `json` for machines: one object a line.
    pub format: LogFormat,
    /// What is logged, as `RUST_LOG` says it: `"info"`, `"warn,syncline=debug"`.
    pub filter: Option<String>,
}

/// How a line of the log is written.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[defaults]`: settings of a pipeline file, for those files that do not have them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// The maximum memory for records and rows of a pipeline, over all queues and lanes.
    pub memory: ByteSize,
    /// The limits of a batch.
    pub batch: Batch,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            state: STATE.into(),
            shutdown_timeout_s: 25,
            api: None,
            log: Log::default(),
            defaults: Defaults::default(),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:7470".to_owned(),
            token: None,
        }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        let pipeline = super::schema::Settings::default();
        Self {
            memory: pipeline.memory,
            batch: pipeline.batch,
        }
    }
}

/// Shows that there is a token, and not which.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .finish()
    }
}

impl Service {
    /// How long a stop may take.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout_s)
    }
}

/// A `syncline.toml` that was read, or that there is none.
#[derive(Debug, Default)]
pub struct ServiceFile {
    /// Where it stands; `None` if there is none.
    pub path: Option<PathBuf>,
    /// What it says of the process.
    pub settings: Service,
    /// What it says for pipelines.
    pub(crate) shared: Shared,
}

impl ServiceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// All of its problems; also if it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Report> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&shown, text, &|name| std::env::var(name).ok()),
            Err(error) => Err(Report::unreadable(
                &shown,
                format!("the file cannot be read: {error}"),
            )),
        }
    }

    /// Reads the text of a file. `path` is its path, `variable` looks up environment variables.
    ///
    /// # Errors
    /// All of its problems.
    pub fn read(
        path: &str,
        text: String,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Report> {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text,
        });
        let mut root = document::parse_source(&source)?;
        let mut problems = Vec::new();
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let reference_sources = ReferenceSources { variable, folder };
        let secrets = substitute(&mut root, &source.text, &reference_sources, &mut problems);
        let (mut json, wrong) = shape::read(&root, service_schema());
        problems.extend(wrong);
        let shared = Shared::new(path, &root, secrets.clone());
        let document = Document::new(source, root, secrets);
        if problems.is_empty() {
            if let Some(table) = json.as_object_mut() {
                table.shift_remove("connections");
            }
            match serde_json::from_value::<Service>(json) {
                Ok(settings) => {
                    problems.extend(check(&settings));
                    if problems.is_empty() {
                        return Ok(Self {
                            path: Some(PathBuf::from(path)),
                            settings,
                            shared,
                        });
                    }
                }
                Err(error) => problems.push(Problem::new(&[], error.to_string())),
            }
        }
        Err(document.report(problems))
    }
}

fn check(settings: &Service) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(filter) = &settings.log.filter
        && let Err(error) = tracing_subscriber::EnvFilter::try_new(filter)
    {
        let help = "write it as RUST_LOG is written: \"info\", \"warn,syncline=debug\"";
        problems.push(Problem::new(&["log", "filter"], error.to_string()).help(help));
    }
    problems
}

/// The JSON Schema (draft 2020-12) of `syncline.toml`.
pub fn service_schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut generator = SchemaSettings::draft2020_12()
            .for_deserialize()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        let mut root = Service::json_schema(&mut generator).to_value();
        root["properties"]["connections"] = json!({
            "type": "object",
            "description": "Settings that a source, a sink or the quarantine takes over with \
                            `connection = \"NAME\"`.",
            "additionalProperties": { "oneOf": connections::kinds(&mut generator) },
        });
        root["title"] = json!("Syncline process");
        root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        plain_descriptions(&mut root);
        root
    })
}

#[cfg(test)]
mod tests;
