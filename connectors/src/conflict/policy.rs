//! The settings for conflicts between source and target (C1–C9).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[sinks.NAME.conflict]`: what happens if the target's row changed independently of the source.
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
    /// The strategy that decides a conflict.
    #[serde(default)]
    pub strategy: Strategy,
    /// Columns with a strategy of their own, which decides wherever both sides changed the column.
    #[serde(default)]
    pub columns: BTreeMap<String, Strategy>,
    /// What counts as a conflict. Default: `before` if the changes contain a full row before,
    /// otherwise `row`. With `source_wins` alone, where detection only counts conflicts, the
    /// default is `row`.
    pub detect: Option<Detect>,
    /// The origin of the base: the last state of the row on which both sides agreed.
    #[serde(default)]
    pub base: BaseFrom,
    /// The column whose instants or numbers say which side is newer (C5). Required by
    /// `newest_wins`, `oldest_wins` and `detect = "version"`.
    pub version: Option<String>,
    /// The winner if both versions are equal (C3).
    #[serde(default)]
    pub tie: Tie,
    /// Versions with a smaller difference are a tie (C7): a duration (`"5s"`, `"250ms"`) if the
    /// version is an instant, a number if it is a number.
    pub threshold: Option<String>,
    /// A change whose version is further in the future than this is rejected and quarantined (C7).
    /// A duration; only for a version that is an instant.
    pub max_skew: Option<String>,
    /// How a null version is treated (C4).
    #[serde(default)]
    pub null_version: NullVersion,
    /// The separator between the target's text and the source's text under `concat`.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// Whether and where every conflict is recorded, with both sides and the reason.
    pub history: Option<History>,
    /// Which way a write takes; for tests that compare both ways.
    #[serde(skip)]
    #[schemars(skip)]
    pub path: Path,
}

/// The strategy that decides a conflict (C2): `"newest_wins"`, or `{ expression = "…" }`.
///
/// For a sink, `source_wins`, `target_wins`, `newest_wins`, `oldest_wins`, `manual` and `expression`
/// decide the whole row. Every other strategy decides column by column; a column that only one side
/// changed takes the value of that side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The change is applied.
    #[default]
    SourceWins,
    /// The target's row is kept.
    TargetWins,
    /// The higher version wins; a null version loses (C4).
    NewestWins,
    /// The lower version wins; a null version loses (C4).
    OldestWins,
    /// Column by column, three-way: a column that one side changed takes that side's value; a
    /// column that both changed takes the newer row's value. If the row before is unknown and one
    /// side is null, the other side's value is taken.
    Merge,
    /// The larger value; null is the smallest.
    Max,
    /// The smaller value; null is the largest.
    Min,
    /// `target + after − before`, for numbers. Needs the row before (C8).
    Sum,
    /// The target's items, followed by those that only the source has; for arrays and JSON arrays.
    Union,
    /// The target's text, then `separator`, then the source's text.
    Concat,
    /// The source's value, unless it is null.
    Coalesce,
    /// Merges JSON objects key by key, three-way if the row before is known. If both sides changed
    /// a key, the source wins.
    JsonMerge,
    /// A person decides. Until then, later changes of the key wait (C9).
    Manual,
    /// A DataFusion expression over `source.x`, `target.x` and `base.x`. For a column it gives the
    /// value. For a sink it gives `'source'`, `'target'` or `'manual'`.
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
    /// The target's row differs both from the row before the change and from the row after it. If
    /// the row before is unknown, the same as `row`.
    Before,
    /// The row's version is not older than the change's version.
    Version,
}

/// The origin of the base of a three-way merge: the last state of the row on which both sides
/// agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaseFrom {
    /// The row before that changes contain (in PostgreSQL with `REPLICA IDENTITY FULL`).
    #[default]
    Before,
    /// The source's last row, stored in a table of the target.
    Shadow,
    /// A hash of each column of the source's last row: smaller, and enough to see which side
    /// changed a column. Not for `sum`, `json_merge`, and expressions over `base`.
    ShadowHash,
}

/// The winner of a tie (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// The target's row is kept.
    #[default]
    Target,
    /// The change is applied.
    Source,
}

/// How a null version is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullVersion {
    /// A null loses, under `newest_wins` and `oldest_wins` (C4); two nulls are a tie.
    #[default]
    Loses,
    /// A null wins; two nulls are a tie.
    Wins,
    /// A change without a version is rejected and quarantined; a row without a version loses.
    Reject,
}

/// `[sinks.NAME.conflict.history]`: records every conflict with type, key, base, source, target,
/// winner, strategy, reason, position and time. The history contains row values.
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
    /// Where conflicts are recorded.
    pub to: HistoryPlace,
    /// The file for `to = "file"`; one JSON object on each line.
    pub path: Option<String>,
    /// The maximum number of conflicts; the oldest are removed.
    pub rows_max: u64,
    /// The maximum age of a conflict, as a duration; older ones are removed.
    pub age_max: String,
    /// The maximum number of recorded conflicts in one second; further ones are only counted.
    pub per_second_max: u32,
}

/// Where conflicts are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryPlace {
    /// In a table of the target, in the transaction that decides the conflict.
    #[default]
    Table,
    /// In a file, before the transaction commits. After a crash the file can contain a conflict
    /// twice, with the same id.
    File,
}

/// Which way a write takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// The bulk statement if it can decide, otherwise the resolver.
    #[default]
    Fastest,
    /// The bulk statement.
    Statement,
    /// The resolver.
    Resolver,
}

/// The same as an empty table in TOML.
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

    /// Whether the strategy always compares versions.
    pub fn compares_versions(&self) -> bool {
        matches!(self, Self::NewestWins | Self::OldestWins)
    }

    /// Whether the strategy, for a sink, takes the whole row of one side.
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
    /// For changes that come later than others of their key (R26): where this policy lets the source win
    /// whatever the row is, the target wins a conflict.
    pub fn guarded(&self) -> Self {
        let strategy = match self.strategy {
            Strategy::SourceWins => Strategy::TargetWins,
            _ => self.strategy.clone(),
        };
        Self {
            strategy,
            ..self.clone()
        }
    }

    /// Every strategy that the policy names, the sink's first.
    pub fn strategies(&self) -> impl Iterator<Item = &Strategy> {
        std::iter::once(&self.strategy).chain(self.columns.values())
    }

    /// Whether the policy needs the rows before of changes.
    pub fn wants_before(&self) -> bool {
        let asks = match self.detect {
            Some(detect) => detect == Detect::Before,
            None => !self.only_counts(),
        };
        self.base == BaseFrom::Before
            && (asks || self.history.is_some() || !self.strategies().all(|s| s.takes_whole_rows()))
    }

    /// Whether an upsert that is older than the delete of its key is not applied (R12). The
    /// versions of deletes are then recorded.
    pub fn buries(&self) -> bool {
        self.version.is_some()
            && (self.strategy == Strategy::NewestWins || !self.strategy.takes_whole_rows())
    }

    /// Whether the sink stores the source's last rows itself.
    pub fn keeps_shadow(&self) -> bool {
        self.base != BaseFrom::Before
    }

    /// Whether the bulk statement can decide changes. `with_before`: the changes contain their rows
    /// before; `soft`: deletes only mark rows.
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
            // A statement cannot tell whether an updated row was in conflict, and under
            // `target_wins` a fold must not leave out a newer change of a key.
            Some(Detect::Version) => {
                self.strategy == Strategy::NewestWins && self.tie == Tie::Target
            }
            Some(Detect::Before) => !with_before,
            None => !with_before || self.only_counts(),
        };
        // No statement counts what happens to a marked row because of its version.
        let marks = soft && self.buries();
        decides
            && detects
            && !marks
            && self.columns.is_empty()
            && self.history.is_none()
            && !self.keeps_shadow()
            && self.null_version == NullVersion::Loses
    }

    /// What counts as a conflict: the setting or its default.
    pub fn detection(&self) -> Detect {
        self.detect.unwrap_or(match self.only_counts() {
            true => Detect::Row,
            false => Detect::Before,
        })
    }

    /// Whether detection only affects the counts.
    fn only_counts(&self) -> bool {
        self.strategy == Strategy::SourceWins && self.columns.is_empty() && self.history.is_none()
    }
}
