//! A [`ConflictPolicy`] as SQL text, for the bulk statement of any dialect (C1–C7).
//!
//! Every text is a boolean that is never null. `differs` says that the rows are not the same;
//! `upsert_wins` and `delete_wins` say that the change applies although there is a conflict.
//!
//! How two versions compare, source against target, under `newest_wins` and `merge` (`oldest_wins`
//! with the comparison turned round):
//! - both null, equal, or closer than the threshold: a tie, `tie` decides (C3, C7);
//! - null on one side: that side loses (C4); else the higher one wins (C5).
//!
//! A delete is decided the same way, but a tie of two versions that are not null is the row that the
//! source deleted: it applies (C6).

use crate::conflict::{ConflictPolicy, Detect, Strategy, Tie};
use crate::sql::dialect::Dialect;

/// The two sides of a column, as SQL expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// The incoming value, in the target's type.
    pub source: String,
    /// The value in the target's row.
    pub target: String,
    /// How to tell whether they differ.
    pub comparison: Comparison,
}

/// How to tell whether two values of a type differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The type's own equality says the same as its bytes.
    Exact,
    /// Values can be equal and yet not the same (`1.0` and `1.00`), or the type has no equality
    /// (`json`): compare what is stored.
    Stored,
}

/// The two sides of the version, as SQL expressions that compare as instants or numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSides {
    /// The incoming version; `NULL` where the change carries none.
    pub source: String,
    /// The version of the target's row.
    pub target: String,
    /// What a version must be ahead by, as an expression that can be added to `target`; `None` for
    /// no threshold.
    pub threshold: Option<String>,
}

/// A policy, ready to be written as SQL.
#[derive(Debug, Clone)]
pub struct Predicates<'a> {
    dialect: &'static Dialect,
    policy: &'a ConflictPolicy,
    version: Option<VersionSides>,
}

impl<'a> Predicates<'a> {
    /// `version` is there for every strategy that compares versions.
    pub fn new(
        dialect: &'static Dialect,
        policy: &'a ConflictPolicy,
        version: Option<VersionSides>,
    ) -> Self {
        Self {
            dialect,
            policy,
            version,
        }
    }

    /// The rows differ in one of `columns`.
    pub fn differs(&self, columns: &[Sides]) -> String {
        any(columns
            .iter()
            .map(|sides| differ(self.dialect, sides))
            .collect())
    }

    /// A create, read or update is in conflict with the target's row (C1). `columns` are those that
    /// it writes, without the key.
    pub fn upsert_conflicts(&self, columns: &[Sides]) -> String {
        match self.policy.detect {
            Some(Detect::Key) => "TRUE".to_owned(),
            // Only strategies under which what is newer wins come here with it.
            Some(Detect::Version) => format!("(NOT {})", self.source_is_ahead()),
            Some(Detect::Row | Detect::Before) | None => self.differs(columns),
        }
    }

    /// A delete that carries its image before is in conflict with the target's row (C1).
    pub fn delete_conflicts(&self, columns: &[Sides]) -> String {
        match self.policy.detect {
            Some(Detect::Key) => "TRUE".to_owned(),
            Some(Detect::Version) => format!("(NOT {})", self.source_is_level_or_ahead()),
            Some(Detect::Row | Detect::Before) | None => self.differs(columns),
        }
    }

    /// A create, read or update applies although the target's row is in conflict with it. `columns`
    /// are those that it writes, without the key.
    pub fn upsert_wins(&self, columns: &[Sides]) -> String {
        match self.policy.strategy {
            Strategy::SourceWins => "TRUE".to_owned(),
            Strategy::TargetWins => "FALSE".to_owned(),
            Strategy::NewestWins | Strategy::OldestWins => self.source_is_ahead(),
            Strategy::Merge => {
                // A row that ends as it was is kept.
                let ahead = self.source_is_ahead();
                let takes = columns.iter().map(|sides| {
                    let differ = differ(self.dialect, sides);
                    format!(
                        "({} IS NOT NULL AND ({} IS NULL OR ({ahead} AND {differ})))",
                        sides.source, sides.target
                    )
                });
                any(takes.collect())
            }
            ref other => beyond_statements(other),
        }
    }

    /// A delete applies although the target's row is not the one that the source deleted.
    pub fn delete_wins(&self) -> String {
        match self.policy.strategy {
            Strategy::SourceWins => "TRUE".to_owned(),
            Strategy::TargetWins => "FALSE".to_owned(),
            Strategy::NewestWins | Strategy::OldestWins | Strategy::Merge => {
                self.source_is_level_or_ahead()
            }
            ref other => beyond_statements(other),
        }
    }

    /// The value that an upsert leaves in a column of a row that exists.
    pub fn value(&self, sides: &Sides) -> String {
        let (source, target) = (&sides.source, &sides.target);
        match self.policy.strategy {
            Strategy::Merge => format!(
                "CASE WHEN {source} IS NULL THEN {target} WHEN {target} IS NULL THEN {source} WHEN {} THEN {source} ELSE {target} END",
                self.source_is_ahead()
            ),
            _ => source.clone(),
        }
    }

    fn source_is_ahead(&self) -> String {
        let Some(VersionSides {
            source,
            target,
            threshold,
        }) = &self.version
        else {
            return "FALSE".to_owned();
        };
        let compared = match (self.policy.tie, threshold) {
            (Tie::Target, None) => format!("{source} {} {target}", self.beyond()),
            (Tie::Source, None) => format!("{source} {}= {target}", self.beyond()),
            (Tie::Target, Some(by)) => {
                format!(
                    "{source} {0}= {target} {1} {by}",
                    self.beyond(),
                    self.ahead()
                )
            }
            (Tie::Source, Some(by)) => {
                format!(
                    "{source} {0} {target} {1} {by}",
                    self.beyond(),
                    self.behind()
                )
            }
        };
        let nulls = match self.policy.tie {
            Tie::Target => format!("({target} IS NULL AND {source} IS NOT NULL)"),
            Tie::Source => format!("{target} IS NULL"),
        };
        format!("({nulls} OR COALESCE({compared}, FALSE))")
    }

    fn source_is_level_or_ahead(&self) -> String {
        let Some(VersionSides {
            source,
            target,
            threshold,
        }) = &self.version
        else {
            return "FALSE".to_owned();
        };
        let compared = match threshold {
            None => format!("{source} {}= {target}", self.beyond()),
            Some(by) => format!(
                "{source} {0} {target} {1} {by}",
                self.beyond(),
                self.behind()
            ),
        };
        let nulls = match self.policy.tie {
            Tie::Target => format!("({target} IS NULL AND {source} IS NOT NULL)"),
            Tie::Source => format!("{target} IS NULL"),
        };
        format!("({nulls} OR COALESCE({compared}, FALSE))")
    }

    fn oldest(&self) -> bool {
        self.policy.strategy == Strategy::OldestWins
    }

    fn beyond(&self) -> &'static str {
        if self.oldest() { "<" } else { ">" }
    }

    fn ahead(&self) -> &'static str {
        if self.oldest() { "-" } else { "+" }
    }

    fn behind(&self) -> &'static str {
        if self.oldest() { "+" } else { "-" }
    }
}

/// The plan sends every other strategy to the resolver.
fn beyond_statements(strategy: &Strategy) -> ! {
    unreachable!("{} is decided by the resolver", strategy.name())
}

/// `a OR b OR c`, in brackets; `FALSE` for none.
fn any(terms: Vec<String>) -> String {
    if terms.is_empty() {
        return "FALSE".to_owned();
    }
    format!("({})", terms.join(" OR "))
}

fn differ(dialect: &'static Dialect, sides: &Sides) -> String {
    let Sides { source, target, .. } = sides;
    let words = dialect;
    match sides.comparison {
        Comparison::Exact => (words.differs)(target, source),
        Comparison::Stored => (words.differs_stored)(target, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::POSTGRES;
    use crate::sqlite::SQLITE;
    use rusqlite::Connection;

    /// What the texts say for one pair of versions, asked of SQLite.
    fn decide(
        strategy: Strategy,
        tie: Tie,
        threshold: Option<&str>,
        source: &str,
        target: &str,
    ) -> (bool, bool) {
        let policy = ConflictPolicy {
            strategy,
            version: Some("v".to_owned()),
            tie,
            ..ConflictPolicy::default()
        };
        let version = VersionSides {
            source: source.to_owned(),
            target: target.to_owned(),
            threshold: threshold.map(str::to_owned),
        };
        let predicates = Predicates::new(&SQLITE, &policy, Some(version));
        let sql = format!(
            "SELECT {}, {}",
            predicates.upsert_wins(&[]),
            predicates.delete_wins()
        );
        Connection::open_in_memory()
            .unwrap()
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    }

    #[test]
    fn versions_decide_as_c2_to_c7_say() {
        use Strategy::{NewestWins as Newest, OldestWins as Oldest, SourceWins, TargetWins};
        let (target, source) = (Tie::Target, Tie::Source);
        // strategy, tie, threshold, source, target, (upsert wins, delete wins)
        let cases = [
            (SourceWins, target, None, "1", "2", (true, true)),
            (TargetWins, target, None, "2", "1", (false, false)),
            (Newest, target, None, "2", "1", (true, true)),
            (Newest, target, None, "1", "2", (false, false)),
            (Oldest, target, None, "1", "2", (true, true)),
            (Oldest, target, None, "2", "1", (false, false)),
            // C3: a tie; C6: a delete of the row that the source deleted applies.
            (Newest, target, None, "1", "1", (false, true)),
            (Newest, source, None, "1", "1", (true, true)),
            (Oldest, target, None, "1", "1", (false, true)),
            (Oldest, source, None, "1", "1", (true, true)),
            // C4: a null loses on either side, under both; two nulls are a tie.
            (Newest, source, None, "NULL", "1", (false, false)),
            (Oldest, source, None, "NULL", "1", (false, false)),
            (Newest, target, None, "1", "NULL", (true, true)),
            (Oldest, target, None, "1", "NULL", (true, true)),
            (Newest, target, None, "NULL", "NULL", (false, false)),
            (Newest, source, None, "NULL", "NULL", (true, true)),
            // C5: as numbers, not as text.
            (Newest, target, None, "10", "9", (true, true)),
            // C7: closer than the threshold is a tie, as far as it is not.
            (Newest, target, Some("5"), "104", "100", (false, true)),
            (Newest, source, Some("5"), "96", "100", (true, true)),
            (Newest, target, Some("5"), "105", "100", (true, true)),
            (Newest, source, Some("5"), "95", "100", (false, false)),
            (Oldest, target, Some("5"), "96", "100", (false, true)),
            (Oldest, target, Some("5"), "95", "100", (true, true)),
            (Oldest, source, Some("5"), "104", "100", (true, true)),
            (Oldest, source, Some("5"), "105", "100", (false, false)),
        ];
        for (strategy, tie, threshold, source, target, expect) in cases {
            let found = decide(strategy.clone(), tie, threshold, source, target);
            assert_eq!(
                found, expect,
                "{strategy:?} {tie:?} {threshold:?}: {source} against {target}"
            );
        }
    }

    #[test]
    fn merge_fills_nulls_from_the_other_side_else_takes_the_newer() {
        let policy = ConflictPolicy {
            strategy: Strategy::Merge,
            ..ConflictPolicy::default()
        };
        let connection = Connection::open_in_memory().unwrap();
        // source, target, source version, target version, (applies, value)
        let cases = [
            ("'s'", "'t'", "2", "1", (true, Some("s"))),
            ("'s'", "'t'", "1", "2", (false, Some("t"))),
            // The row ends as it was.
            ("NULL", "'t'", "2", "1", (false, Some("t"))),
            ("'s'", "NULL", "1", "2", (true, Some("s"))),
            ("NULL", "NULL", "1", "2", (false, None)),
        ];
        for (source, target, source_version, target_version, expect) in cases {
            let version = VersionSides {
                source: source_version.to_owned(),
                target: target_version.to_owned(),
                threshold: None,
            };
            let predicates = Predicates::new(&SQLITE, &policy, Some(version));
            let sides = Sides {
                source: source.to_owned(),
                target: target.to_owned(),
                comparison: Comparison::Exact,
            };
            let sql = format!(
                "SELECT {}, {}",
                predicates.upsert_wins(std::slice::from_ref(&sides)),
                predicates.value(&sides)
            );
            let (wins, value): (bool, Option<String>) = connection
                .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert_eq!(
                (wins, value.as_deref()),
                expect,
                "{source} against {target}"
            );
        }
    }

    #[test]
    fn no_columns_never_differ() {
        let policy = ConflictPolicy::default();
        let predicates = Predicates::new(&POSTGRES, &policy, None);
        assert_eq!(predicates.differs(&[]), "FALSE");
    }
}
