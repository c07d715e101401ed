//! The reasons of a decision, one sentence each: the state of the target, the detection, the
//! strategy, and what would be written.

use serde_json::{Map, Value};
use syncline_connectors::change::Operation;
use syncline_connectors::conflict::{
    Conflict, ConflictPolicy, ConflictType, Detect, Verdict, Winner, same_json,
};
use syncline_connectors::conflict_queue::Explanation;
use syncline_connectors::sql::{DeleteMode, Evolution, Options};

use super::layout;

/// The reasons, in the order of the decision.
pub(super) fn sentences(options: &Options, explained: &Explanation) -> Vec<String> {
    let reasons = Reasons::new(options, explained);
    let mut sentences = reasons.beforehand();
    // Without a decision the change was refused or left out before the resolver.
    let asked = explained.conflict.is_some()
        || explained.rows.target.is_some()
        || explained.verdict == Verdict::Write;
    if asked {
        sentences.push(reasons.detection());
        sentences.extend(reasons.decision());
    }
    sentences.push(reasons.effect());
    sentences
}

struct Reasons<'a> {
    options: &'a Options,
    policy: &'a ConflictPolicy,
    explained: &'a Explanation,
    base: Map<String, Value>,
    source: Map<String, Value>,
    target: Map<String, Value>,
    result: Map<String, Value>,
}

impl<'a> Reasons<'a> {
    fn new(options: &'a Options, explained: &'a Explanation) -> Self {
        let rows = &explained.rows;
        Self {
            options,
            policy: &options.conflict,
            explained,
            base: layout::object(rows.base.as_ref()),
            source: layout::object(rows.source.as_ref()),
            target: layout::object(rows.target.as_ref()),
            result: layout::object(rows.result.as_ref()),
        }
    }

    /// The facts that do not depend on the decision.
    fn beforehand(&self) -> Vec<String> {
        let explained = self.explained;
        let mut sentences = Vec::new();
        if let Some(open) = &explained.open {
            sentences.push(format!(
                "open conflict {} of this row: the change waits for it, with {} others, until a person decides; the next lines show the result without that conflict",
                super::super::id::of(open),
                open.waiting
            ));
        }
        if explained.is_applied() {
            sentences.push(
                "the change is already applied, and a replay of it is skipped; the next lines show the result if it came as a new change now".to_owned(),
            );
        }
        if !explained.table_exists {
            sentences.push(format!(
                "table {} does not exist: a write creates it",
                explained.target
            ));
        }
        if !explained.unplaced.is_empty() {
            let what = match self.options.evolution {
                Evolution::Evolve | Evolution::Lenient => "a write adds them",
                Evolution::Ignore | Evolution::Fail => "they are not written",
            };
            let names = explained.unplaced.join(", ");
            sentences.push(format!(
                "columns that the table does not have: {names}: {what}"
            ));
        }
        if !explained.foreign.is_empty() {
            sentences.push(format!(
                "the type of the change cannot represent the target's value of {}: it differs from every value of the source",
                explained.foreign.join(", ")
            ));
        }
        sentences
    }

    fn is_delete(&self) -> bool {
        self.explained.operation == Operation::Delete
    }

    fn is_met(&self) -> bool {
        self.explained.rows.target.is_some() && !self.explained.marked
    }

    /// What the detection compared, and its result.
    fn detection(&self) -> String {
        let explained = self.explained;
        if !self.is_met() {
            let absent = match explained.marked {
                true => "the target's row is marked as deleted and counts as absent",
                false => "the target has no such row",
            };
            let tombstone = explained.tombstone.as_ref().map(|tombstone| {
                let version = layout::object(Some(tombstone));
                let version: Vec<String> = version
                    .iter()
                    .map(|(name, value)| shown(name, value))
                    .collect();
                format!(
                    "; a delete with {} was applied: only a newer change can insert the row again",
                    version.join(", ")
                )
            });
            let free = match explained.conflict {
                Some(_) => "",
                None => ": no conflict, the change applies",
            };
            return format!("{absent}{}{free}", tombstone.unwrap_or_default());
        }
        let detect = self.policy.detection();
        let name = match detect {
            Detect::Key => "key",
            Detect::Row => "row",
            Detect::Before => "before",
            Detect::Version => "version",
        };
        let default = if self.policy.detect.is_none() {
            " (by default)"
        } else {
            ""
        };
        let compared = match detect {
            Detect::Key => "the row exists".to_owned(),
            Detect::Version => format!("the versions are {}", self.versions().unwrap_or_default()),
            Detect::Row | Detect::Before if self.is_delete() => self.against_the_deleted(),
            Detect::Row => self.against_the_change(),
            Detect::Before if explained.base_is_hashed => {
                "compared by hashes with the base".to_owned()
            }
            Detect::Before if explained.rows.base.is_none() => {
                format!("the base is unknown, so {}", self.against_the_change())
            }
            Detect::Before => self.against_the_base(),
        };
        let found = match explained.conflict {
            Some(conflict) => format!("conflict {}", conflict.kind.name()),
            None if explained.rejected.is_some() => "no decision is possible".to_owned(),
            None => "no conflict, the change applies".to_owned(),
        };
        format!("detect = {name}{default}: {compared}: {found}")
    }

    fn against_the_change(&self) -> String {
        match &self.differing(&self.source, &self.target)[..] {
            [] => "the target already equals the result of the change".to_owned(),
            names => format!("source and target differ in {}", names.join(", ")),
        }
    }

    fn against_the_deleted(&self) -> String {
        let differing = self.differing(&self.source, &self.target);
        let unknown = self
            .target
            .keys()
            .any(|name| !self.source.contains_key(name));
        match &differing[..] {
            [] if unknown && self.explained.conflict.is_some() => {
                "the delete does not contain the whole deleted row".to_owned()
            }
            [] => "the target's row is the one that the source deleted".to_owned(),
            names => format!(
                "the target's row is not the one that the source deleted, in {}",
                names.join(", ")
            ),
        }
    }

    fn against_the_base(&self) -> String {
        let moved = self.differing(&self.base, &self.target);
        let differing = self.differing(&self.source, &self.target);
        let apart: Vec<&str> = moved
            .iter()
            .copied()
            .filter(|name| differing.contains(name))
            .collect();
        match (&moved[..], &apart[..]) {
            ([], _) => "the target equals the base".to_owned(),
            (moved, []) => format!(
                "the target changed {} to the same values as the source",
                moved.join(", ")
            ),
            (_, apart) => format!("the target differs from the base in {}", apart.join(", ")),
        }
    }

    /// The columns that both images contain with different values.
    fn differing<'m>(
        &self,
        left: &'m Map<String, Value>,
        right: &Map<String, Value>,
    ) -> Vec<&'m str> {
        let both = left
            .iter()
            .filter_map(|(name, value)| Some((name, value, right.get(name)?)));
        both.filter(|(_, left, right)| !same_json(left, right))
            .map(|(name, ..)| name.as_str())
            .collect()
    }

    /// The versions of both sides, if there is a version column.
    fn versions(&self) -> Option<String> {
        let name = self.policy.version.as_ref()?;
        let of =
            |side: &Map<String, Value>| side.get(name).map_or_else(|| "unknown".to_owned(), value);
        Some(format!(
            "{name} {} at the source and {} in the target",
            of(&self.source),
            of(&self.target)
        ))
    }

    /// The strategy and the winner.
    fn decision(&self) -> Vec<String> {
        let Some(conflict) = self.explained.conflict else {
            return Vec::new();
        };
        let Conflict {
            kind,
            winner,
            reason,
            ..
        } = conflict;
        let missing = matches!(
            kind,
            ConflictType::UpdateMissing | ConflictType::DeleteMissing
        );
        if missing && winner == Winner::Source {
            return vec![format!(
                "conflict {}, which the source wins under every strategy: {reason}",
                kind.name()
            )];
        }
        let who = match winner {
            Winner::Source => "source wins",
            Winner::Target => "target wins",
            Winner::Merged => "merged",
            Winner::Manual => "no winner yet",
        };
        let versions = self
            .versions()
            .filter(|_| self.is_met() && self.compares_versions());
        let versions = versions.map(|versions| format!(" ({versions})"));
        let strategy = self.policy.strategy.name();
        let mut sentences = vec![format!(
            "strategy {strategy}: {who}: {reason}{}",
            versions.unwrap_or_default()
        )];
        // If one side takes the whole row, the columns need no explanation.
        for (name, own) in &layout::object(Some(&self.explained.columns)) {
            if self.policy.strategy.takes_whole_rows() && !self.policy.columns.contains_key(name) {
                continue;
            }
            let result = self
                .result
                .get(name)
                .map(|result| format!(" gives {}", value(result)));
            sentences.push(format!(
                "column {name}: decided by {}{}",
                layout::plain(own),
                result.unwrap_or_default()
            ));
        }
        sentences
    }

    fn compares_versions(&self) -> bool {
        self.policy
            .strategies()
            .any(|strategy| strategy.compares_versions())
            || !self.policy.strategy.takes_whole_rows()
    }

    /// What would be written.
    fn effect(&self) -> String {
        let explained = self.explained;
        match (explained.verdict, &explained.rejected) {
            (Verdict::Write, _) if self.is_met() => {
                let written = self.differing(&self.result, &self.target);
                format!("would be written: {}", written.join(", "))
            }
            (Verdict::Write, _) if explained.marked => {
                "would be written: the row, without its mark of deletion".to_owned()
            }
            (Verdict::Write, _) => "would be written: the row, inserted".to_owned(),
            (Verdict::Delete, _) if self.options.delete == DeleteMode::Soft => {
                "would be written: the row, marked as deleted".to_owned()
            }
            (Verdict::Delete, _) => "would be written: the row is deleted".to_owned(),
            (Verdict::Same, _) => "nothing would be written: the target already has this state".to_owned(),
            (Verdict::Keep, _) if self.is_delete() && self.options.delete == DeleteMode::Ignore => {
                "nothing would be written: delete = \"ignore\" skips deletes".to_owned()
            }
            (Verdict::Keep, _) if !self.is_met() => {
                "nothing would be written: the row stays deleted".to_owned()
            }
            (Verdict::Keep, _) => "nothing would be written: the target's row stays".to_owned(),
            (Verdict::Queue, _) => {
                "nothing would be written: the conflict and later changes of the row would wait for a person".to_owned()
            }
            (Verdict::Reject, Some(rejected)) => {
                let field = rejected.field.as_ref().map(|field| format!(" (column {field})"));
                format!(
                    "nothing would be written: the change goes to the quarantine by {}{}: {}",
                    rejected.rule,
                    field.unwrap_or_default(),
                    rejected.reason
                )
            }
            (Verdict::Reject, None) => "nothing would be written: the change goes to the quarantine".to_owned(),
        }
    }
}

/// A value in a sentence, on one line.
fn value(value: &Value) -> String {
    layout::one_line(&value.to_string())
}

fn shown(name: &str, of: &Value) -> String {
    format!("{name} {}", value(of))
}

#[cfg(test)]
mod tests;
