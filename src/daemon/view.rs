//! What the API shows: the shapes of its answers. `openapi.json` is made from these types, and
//! `syncline status` reads answers into them, so an unknown field is an error there.

mod of;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::of::{milliseconds, sink_kind, source_kind};

/// Every pipeline of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipelines {
    /// In the order of their files.
    pub pipelines: Vec<Pipeline>,
}

/// One pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// `starting`, `running`, `idle`, `stalled`, `failed`, `paused`, `scheduled` or `stopped`.
    pub state: String,
    /// Why it is stalled or failed.
    pub cause: Option<String>,
    /// Whether it does what it should: running, idle, paused or scheduled.
    pub ready: bool,
    /// How old the targets are, in milliseconds; absent until they held everything once.
    pub freshness_ms: Option<u64>,
    /// How often it failed as a whole and began again.
    pub failures: u64,
    /// What went wrong last, also where it has passed since.
    pub last_error: Option<LastError>,
    /// Its sources.
    pub sources: Vec<Source>,
    /// Its sinks.
    pub sinks: Vec<Sink>,
    /// What went into quarantine, by rule.
    pub quarantined: Vec<QuarantinedRule>,
    /// When it runs, where that is not all the time.
    pub schedule: Option<Schedule>,
}

/// The schedule of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// As its file says it.
    pub cron: String,
    /// The time zone of `cron`.
    pub timezone: String,
    /// When it runs next, RFC 3339; absent while it runs.
    pub next: Option<String>,
    /// The last run, also of an earlier process.
    pub last: Option<LastRun>,
}

/// A run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastRun {
    /// When it began, RFC 3339.
    pub began: String,
    /// When it ended; absent while it runs, and where the process ended before it.
    pub ended: Option<String>,
    /// Why it failed; absent where it did not.
    pub failure: Option<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LastError {
    /// When, RFC 3339.
    pub at: String,
    /// What.
    pub message: String,
}

/// A source of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub r#type: String,
    /// Records that wait and were not fetched; absent where the source cannot know, and while nobody reads it.
    pub lag: Option<u64>,
    /// Bytes between fetch and commit.
    pub queued_bytes: u64,
    /// The partitions that this process reads.
    pub partitions: Vec<Partition>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Topic, file or table.
    pub topic: String,
    /// Its number; 0 for a file.
    pub partition: i32,
    /// Every sink has everything before this position.
    pub position: i64,
}

/// A sink of a pipeline, and what became of its changes since the process began:
/// `in = written + superseded + filtered + kept + waiting + quarantined + in_flight`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub r#type: String,
    /// Changes that entered.
    pub r#in: u64,
    /// Applied to the target.
    pub written: u64,
    /// Folded into a later change of the same key.
    pub superseded: u64,
    /// Dropped by a rule on purpose.
    pub filtered: u64,
    /// Not written because the strategy kept the target's row.
    pub kept: u64,
    /// Waiting in the target for a row that a foreign key needs.
    pub waiting: u64,
    /// Written to the quarantine.
    pub quarantined: u64,
    /// Not finished.
    pub in_flight: u64,
    /// Conflicts, whoever won.
    pub conflicts: u64,
    /// Changes that wait for a person's decision; a part of `kept`.
    pub queued: u64,
    /// Changes finished a second, over the last ten seconds.
    pub changes_per_second: f64,
    /// How often the target did not answer and was asked again.
    pub retries: u64,
    /// Whether the breaker is open: the target has failed several times in a row.
    pub breaker_open: bool,
}

/// What one rule refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedRule {
    /// `decode`, or the name of the operator or sink.
    pub stage: String,
    /// The rule.
    pub rule: String,
    /// The column at fault, where one is.
    pub field: Option<String>,
    /// Topic or file.
    pub topic: String,
    /// How many changes.
    pub count: u64,
}

/// Whether everything is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Whether every pipeline does what it should.
    pub ready: bool,
    /// What is not ready, and why. Empty for those who have no token where one is needed.
    pub not_ready: Vec<NotReady>,
}

/// A pipeline that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotReady {
    /// Its name; absent where the process itself is about to end.
    pub pipeline: Option<String>,
    /// Its state.
    pub state: String,
    /// Why.
    pub cause: Option<String>,
}

/// Whether the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// The version of the program.
    pub version: String,
    /// Milliseconds since its start.
    pub uptime_ms: u64,
}

/// Every system that the pipelines use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// By pipeline, sources before sinks.
    pub connections: Vec<Connection>,
}

/// A system that a pipeline uses, as the pipeline sees it while it works with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The pipeline.
    pub pipeline: String,
    /// `source` or `sink`.
    pub role: String,
    /// The name of the source or sink.
    pub name: String,
    /// Its `type`.
    pub r#type: String,
    /// `up`, `down`, or `unknown` while the pipeline does not use it.
    pub health: String,
    /// What is wrong.
    pub cause: Option<String>,
}

/// Rejected changes, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// How many there are in what was read: the last 32 MiB of each file, or 50,000 entries of a topic.
    pub total: usize,
    /// Whether there are older ones, which were not read: `syncline quarantine list` reads all.
    pub cut: bool,
    /// What the next page is asked for with, as `before`; absent on the last one.
    pub next: Option<String>,
    /// At most as many as were asked for.
    pub entries: Vec<QuarantineEntry>,
    /// Pipelines whose quarantine could not be read, and why.
    pub errors: Vec<Unread>,
}

/// A rejected change, without its values: `syncline quarantine show` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineEntry {
    /// Its id.
    pub id: String,
    /// When it was rejected, RFC 3339.
    pub time: String,
    /// The pipeline.
    pub pipeline: String,
    /// `decode`, or the name of the operator or sink.
    pub stage: String,
    /// The rule.
    pub rule: String,
    /// The column at fault, where one is.
    pub field: Option<String>,
    /// Topic or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Conflicts that wait for a person, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conflicts {
    /// How many there are in all.
    pub total: usize,
    /// At most as many as were asked for.
    pub conflicts: Vec<Conflict>,
    /// Sinks that could not be asked, and why.
    pub errors: Vec<Unread>,
}

/// A conflict that waits, without its rows: `syncline conflicts show` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// Its id, as `syncline conflicts` takes it.
    pub id: String,
    /// The pipeline.
    pub pipeline: String,
    /// The sink.
    pub sink: String,
    /// The table in the target.
    pub table: String,
    /// The type.
    pub r#type: String,
    /// How many later changes of its key wait behind it.
    pub waiting: u64,
    /// Since when it waits, RFC 3339.
    pub since: String,
}

/// Something that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// The pipeline, or the pipeline and its sink.
    pub of: String,
    /// Why.
    pub what: String,
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reloaded {
    /// Pipelines that are drained and begin again with their new files.
    pub changed: Vec<String>,
    /// Pipelines that begin.
    pub added: Vec<String>,
    /// Pipelines that are drained and end.
    pub removed: Vec<String>,
    /// Pipelines that run on.
    pub unchanged: Vec<String>,
    /// Settings of `syncline.toml` whose change holds only from the next start of the process.
    pub needs_restart: Vec<String>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// For a reload: each problem of the configuration, with its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<serde_json::Value>,
}
