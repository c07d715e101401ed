//! Who wins when source and target disagree, as a person writes it (C1–C9).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[sinks.NAME.conflict]`: who wins when the target row changed independently of the source.
///
/// ```toml
/// [sinks.billing.conflict]
/// strategy = "newest_wins"
/// version  = "updated_at"
/// columns.notes = "concat"
/// columns.total = { expression = "greatest(source.total, target.total)" }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictPolicy {
    /// Who wins a conflict.
    #[serde(default)]
    pub strategy: Strategy,
    /// Columns that are decided by a strategy of their own, wherever both sides changed them.
    #[serde(default)]
    pub columns: BTreeMap<String, Strategy>,
    /// What counts as a conflict. Default: `before` where the changes carry a full row before, else
    /// `row`; under `source_wins` alone, where it would only count, `row`.
    pub detect: Option<Detect>,
    /// Where the row comes from that both sides agreed on last.
    #[serde(default)]
    pub base: BaseFrom,
    /// The column whose instants or numbers say which side is newer (C5). Required by
    /// `newest_wins`, `oldest_wins` and `detect = "version"`.
    pub version: Option<String>,
    /// Who wins where both versions are equal (C3).
    #[serde(default)]
    pub tie: Tie,
    /// Versions closer than this are a tie (C7): a duration (`"5s"`, `"250ms"`) where the version is
    /// an instant, a number where it is a number.
    pub threshold: Option<String>,
    /// A change whose version is further in the future than this is refused and quarantined (C7);
    /// a duration, only where the version is an instant.
    pub max_skew: Option<String>,
    /// What a null version means (C4).
    #[serde(default)]
    pub null_version: NullVersion,
    /// What `concat` puts between the target's text and the source's.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// Whether and where every conflict is kept, with both sides and the reason.
    pub history: Option<History>,
    /// Which way a write takes; for tests that hold both against each other.
    #[serde(skip)]
    #[schemars(skip)]
    pub path: Path,
}

/// How a conflict is decided (C2): `"newest_wins"`, or `{ expression = "…" }`.
///
/// For a whole sink every strategy but `source_wins`, `target_wins`, `newest_wins`, `oldest_wins`,
/// `manual` and `expression` decides column by column, and a column changed on one side only takes
/// that side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The change applies.
    #[default]
    SourceWins,
    /// The target's row stays.
    TargetWins,
    /// The higher version wins; a null version loses (C4).
    NewestWins,
    /// The lower version wins; a null version loses (C4).
    OldestWins,
    /// Column by column, three-way: changed on one side only, that side; on both, the newer row's
    /// value. Where no row before is known, a null on one side takes the other's value.
    Merge,
    /// The larger value; null is the smallest.
    Max,
    /// The smaller value; null is the largest.
    Min,
    /// `target + after − before`; for numbers. Needs the row before (C8).
    Sum,
    /// The target's items, then those that only the source has; for arrays and JSON arrays.
    Union,
    /// The target's text, `separator`, the source's text.
    Concat,
    /// The source's value, unless it is null.
    Coalesce,
    /// JSON objects merged key by key, three-way where the row before is known; the source wins
    /// where both changed a key.
    JsonMerge,
    /// A person decides; meanwhile later changes of the key wait (C9).
    Manual,
    /// A DataFusion expression over `source.x`, `target.x` and `base.x`. For a column: its value.
    /// For a sink: `'source'`, `'target'` or `'manual'`.
    Expression(String),
}

/// What counts as a conflict (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detect {
    /// The row exists in the target.
    Key,
    /// The row exists and differs in a column that the change writes.
    Row,
    /// The row is not what the source thought it was before this change, and not what the change
    /// makes of it. Where no row before is known, as `row`.
    Before,
    /// The row's version is not older than that of the change.
    Version,
}

/// Where the row comes from that both sides agreed on last: the base of a three-way merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaseFrom {
    /// The image before that changes carry (`REPLICA IDENTITY FULL` in PostgreSQL).
    #[default]
    Before,
    /// The last image of the source, kept in a table of the target.
    Shadow,
    /// A hash of each column of that image: smaller, and enough to see which side changed; not for
    /// `sum`, `json_merge`, and expressions over `base`.
    ShadowHash,
}

/// Who wins a tie (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// The target's row stays.
    #[default]
    Target,
    /// The change applies.
    Source,
}

/// What a null version means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullVersion {
    /// It loses, under newest and under oldest (C4); two nulls are a tie.
    #[default]
    Loses,
    /// It wins; two nulls are a tie.
    Wins,
    /// A change without a version is refused and quarantined; a row without one loses.
    Reject,
}

/// `[sinks.NAME.conflict.history]`: keeps every conflict with type, key, base, source, target, winner,
/// strategy, reason, position and time. It holds row values.
///
/// ```toml
/// [sinks.billing.conflict.history]
/// to       = "table"
/// rows_max = 1000000
/// age_max  = "30d"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// Where conflicts are kept.
    pub to: HistoryPlace,
    /// The file of `to = "file"`; one JSON object a line.
    pub path: Option<String>,
    /// The oldest beyond this many go.
    pub rows_max: u64,
    /// What is older goes: a duration.
    pub age_max: String,
    /// Beyond this many in a second conflicts are counted and not kept.
    pub per_second_max: u32,
}

/// Where conflicts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryPlace {
    /// In a table of the target, in the transaction that decides.
    #[default]
    Table,
    /// In a file, before the transaction commits: after a crash a conflict may stand there twice,
    /// with the same id.
    File,
}

/// Which way a write takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// The bulk statement where it can decide, else the resolver.
    #[default]
    Fastest,
    /// The bulk statement.
    Statement,
    /// The resolver.
    Resolver,
}

/// As an empty table reads.
impl Default for ConflictPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            columns: BTreeMap::new(),
            detect: None,
            base: BaseFrom::default(),
            version: None,
            tie: Tie::default(),
            threshold: None,
            max_skew: None,
            null_version: NullVersion::default(),
            separator: default_separator(),
            history: None,
            path: Path::default(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            to: HistoryPlace::default(),
            path: None,
            rows_max: 1_000_000,
            age_max: "30d".to_owned(),
            per_second_max: 1_000,
        }
    }
}

/// The default of `separator`.
fn default_separator() -> String {
    "\n".to_owned()
}

impl Strategy {
    /// The name in TOML, metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SourceWins => "source_wins",
            Self::TargetWins => "target_wins",
            Self::NewestWins => "newest_wins",
            Self::OldestWins => "oldest_wins",
            Self::Merge => "merge",
            Self::Max => "max",
            Self::Min => "min",
            Self::Sum => "sum",
            Self::Union => "union",
            Self::Concat => "concat",
            Self::Coalesce => "coalesce",
            Self::JsonMerge => "json_merge",
            Self::Manual => "manual",
            Self::Expression(_) => "expression",
        }
    }

    /// Whether it compares versions wherever it decides.
    pub fn compares_versions(&self) -> bool {
        matches!(self, Self::NewestWins | Self::OldestWins)
    }

    /// Whether, for a sink, one side wins the whole row.
    pub fn takes_whole_rows(&self) -> bool {
        matches!(
            self,
            Self::SourceWins
                | Self::TargetWins
                | Self::NewestWins
                | Self::OldestWins
                | Self::Manual
                | Self::Expression(_)
        )
    }
}

impl ConflictPolicy {
    /// Every strategy that the policy names, the sink's first.
    pub fn strategies(&self) -> impl Iterator<Item = &Strategy> {
        std::iter::once(&self.strategy).chain(self.columns.values())
    }

    /// Whether changes should carry their image before.
    pub fn wants_before(&self) -> bool {
        let asks = match self.detect {
            Some(detect) => detect == Detect::Before,
            None => !self.only_counts(),
        };
        self.base == BaseFrom::Before
            && (asks || self.history.is_some() || !self.strategies().all(|s| s.takes_whole_rows()))
    }

    /// Whether an upsert that is older than the delete of its key stays out (R12), so that the
    /// versions of deletes are kept.
    pub fn buries(&self) -> bool {
        self.version.is_some()
            && (self.strategy == Strategy::NewestWins || !self.strategy.takes_whole_rows())
    }

    /// Whether the sink keeps the source's last images itself.
    pub fn keeps_shadow(&self) -> bool {
        self.base != BaseFrom::Before
    }

    /// Whether the bulk statement can decide changes, of which `with_before` carry their image
    /// before, into a target whose rows deletes only mark where they are `soft`.
    pub fn fits_statement(&self, with_before: bool, soft: bool) -> bool {
        let decides = match self.strategy {
            Strategy::SourceWins
            | Strategy::TargetWins
            | Strategy::NewestWins
            | Strategy::OldestWins => true,
            Strategy::Merge => self.version.is_some() && !with_before,
            _ => false,
        };
        let detects = match self.detect {
            Some(Detect::Key | Detect::Row) => true,
            // A statement cannot say of a row that it updated whether there was a conflict; and no
            // fold may leave out a newer change of a key under target_wins.
            Some(Detect::Version) => {
                self.strategy == Strategy::NewestWins && self.tie == Tie::Target
            }
            Some(Detect::Before) => !with_before,
            None => !with_before || self.only_counts(),
        };
        // What becomes of a marked row by its version no statement counts.
        let marks = soft && self.buries();
        decides
            && detects
            && !marks
            && self.columns.is_empty()
            && self.history.is_none()
            && !self.keeps_shadow()
            && self.null_version == NullVersion::Loses
    }

    /// What counts as a conflict; where nothing is written, the default.
    pub fn detection(&self) -> Detect {
        self.detect.unwrap_or(match self.only_counts() {
            true => Detect::Row,
            false => Detect::Before,
        })
    }

    /// Whether detection changes nothing but what is counted.
    fn only_counts(&self) -> bool {
        self.strategy == Strategy::SourceWins && self.columns.is_empty() && self.history.is_none()
    }
}
