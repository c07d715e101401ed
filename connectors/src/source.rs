//! The contract of a source, the list of what exists, and [`connect`].
//!
//! A source is asked for events and answers with records, or with partitions that it was given or
//! lost. It never decides where to begin: when it is assigned partitions it waits for
//! [`Source::assign`], because the positions stand in the sink (R4). `next` runs on the thread of
//! a lane, which does nothing else: it may block for up to [`Limits::linger`], never longer.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema as _;

use crate::error::Result;
use crate::file::{self, FileSource};
use crate::format::{DeclaredSchema, DecoderOptions, Format, KeyColumns, parse_declared};
use crate::kafka::{self, KafkaSource};
use crate::kind::Kind;
use crate::record::{Partition, Positions, Records, Span};

/// How much one fetch may hold, and how long it may wait to fill.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At most this many records. 0 means: hand over nothing, hold the partitions back, and only
    /// stay a member of the group (backpressure).
    pub rows: usize,
    /// Stop once this many bytes of keys and values are gathered; one record may go past it.
    pub bytes: usize,
    /// Return what is there after this long.
    pub linger: Duration,
}

/// Records with the stretch of each partition that they cover.
#[derive(Debug)]
pub struct Fetched {
    /// The records, those of one partition in order.
    pub records: Records,
    /// One span for each partition that moved.
    pub spans: Vec<Span>,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Records, in the order of their partitions.
    Records(Fetched),
    /// These partitions are ours from now on; nothing of them comes before [`Source::assign`].
    Assigned(Vec<Partition>),
    /// These partitions are about to leave. Finish what is in flight, acknowledge it, and call
    /// `next` again: that gives them up. `lost` says that they are gone already and that nothing
    /// may be acknowledged for them (R18).
    Revoked {
        /// Which ones.
        partitions: Vec<Partition>,
        /// Whether another member may own them already.
        lost: bool,
    },
    /// Nothing came within the linger.
    Idle,
    /// The source is drained and will say nothing more (`--once`).
    End,
}

/// Where changes come from. See the module docs for who decides what.
#[async_trait]
pub trait Source: Send {
    /// The next event, after at most `limits.linger`. Cancel-safe: nothing is lost where the future
    /// is dropped.
    ///
    /// # Errors
    /// `Unavailable` while the system does not answer, `Configuration` where it refuses for good.
    async fn next(&mut self, limits: &Limits) -> Result<Event>;

    /// Answers [`Event::Assigned`]: begin at these positions. A partition without one begins where
    /// the source's own memory (a committed offset) or its `start` option says. Also called for a
    /// partition that is being read already, to go back to what the sink holds.
    ///
    /// # Errors
    /// As [`Source::next`]; a position that no longer exists is a `Configuration` error, never a
    /// silent reset.
    async fn assign(&mut self, positions: &Positions, partitions: &[Partition]) -> Result<()>;

    /// Tells the outside how far everything is done, for lag tools; never the authority where the
    /// sink keeps positions.
    ///
    /// # Errors
    /// `Unavailable`; the caller may go on.
    async fn acknowledge(&mut self, positions: &Positions) -> Result<()>;

    /// How many records wait in the assigned partitions; `None` where the source cannot know.
    fn lag(&self) -> Option<u64>;

    /// Leaves the group and closes.
    ///
    /// # Errors
    /// `Unavailable` where the goodbye did not get through.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// The sources that exist.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// `type = "kafka"`
    Kafka(KafkaSource),
    /// `type = "file"`
    File(FileSource),
}

/// A lane's place among the lanes of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Counted from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl SourceConfig {
    /// Every source.
    pub const KINDS: &[Kind<Self>] = &[
        Kind {
            name: "kafka",
            schema: KafkaSource::json_schema,
            read: |value| serde_json::from_value(value).map(Self::Kafka),
        },
        Kind {
            name: "file",
            schema: FileSource::json_schema,
            read: |value| serde_json::from_value(value).map(Self::File),
        },
    ];

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::File(_) => "file",
        }
    }

    /// The same records for who only looks at them: from the first that is there, whatever the group
    /// of the pipeline has committed, and by another name.
    pub fn to_look(&self) -> Self {
        let mut config = self.clone();
        match &mut config {
            Self::Kafka(kafka) => {
                // Nothing is committed under that name; it begins with the group's own, by which
                // brokers may allow it.
                kafka.group = format!("{}-look-{}", kafka.group, std::process::id());
                kafka.start = kafka::Start::Earliest;
                kafka.instance = None;
            }
            Self::File(_) => {}
        }
        config
    }

    /// What a record is called that comes from nowhere: as one of the first topic or file.
    pub fn topic(&self) -> &str {
        match self {
            Self::Kafka(kafka) => kafka.topics.names().first().map_or("", String::as_str),
            Self::File(file) => &file.path,
        }
    }

    /// The format of its records.
    pub fn format(&self) -> Format {
        match self {
            Self::Kafka(kafka) => kafka.format,
            Self::File(file) => file.format,
        }
    }

    /// The types that its settings declare.
    pub fn declared(&self) -> Option<&DeclaredSchema> {
        match self {
            Self::Kafka(kafka) => kafka.schema.as_ref(),
            Self::File(file) => file.schema.as_ref(),
        }
    }

    /// What its settings tell the decoder. A declared schema that is wrong is left out: it was
    /// refused when the settings were checked.
    pub fn decoding(&self) -> DecoderOptions {
        let (key, unavailable, ignore_origins) = match self {
            Self::Kafka(kafka) => (&kafka.key, &kafka.unavailable, &kafka.ignore_origins),
            Self::File(file) => (&file.key, &file.unavailable, &file.ignore_origins),
        };
        let key_columns = match self {
            Self::Kafka(kafka) => kafka.key_columns,
            // A line has no record key.
            Self::File(_) => KeyColumns::default(),
        };
        let mut options = DecoderOptions {
            declared: self
                .declared()
                .and_then(|declared| parse_declared(declared).ok()),
            key: key.clone(),
            key_columns,
            ignore_origins: ignore_origins.clone(),
            ..DecoderOptions::default()
        };
        if let Some(unavailable) = unavailable {
            options.unavailable.clone_from(unavailable);
        }
        options
    }
}

/// How many lanes a source feeds, at most `lanes_max`.
///
/// # Errors
/// As [`connect`].
pub async fn lanes(config: &SourceConfig, lanes_max: usize) -> Result<usize> {
    match config {
        SourceConfig::Kafka(kafka) => kafka::lanes(kafka, lanes_max).await,
        SourceConfig::File(_) => Ok(1),
    }
}

/// Opens the source of one lane. `once` ends it at the end that it has now; `memory_bytes` is what a
/// client may hold ahead of the lane.
///
/// # Errors
/// `Unavailable` where the system does not answer, `Configuration` where it refuses.
pub async fn connect(
    config: &SourceConfig,
    lane: Lane,
    once: bool,
    memory_bytes: u64,
) -> Result<Box<dyn Source>> {
    match config {
        SourceConfig::Kafka(kafka) => kafka::connect(kafka, lane, once, memory_bytes),
        SourceConfig::File(file) => file::connect(file, once),
    }
}
