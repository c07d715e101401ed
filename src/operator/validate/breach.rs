//! Which rows break which rules, what happens to them, and what is said of them.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use arrow::buffer::BooleanBuffer;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use syncline_connectors::change::{Changes, Operation};

use super::{OnFailure, Validate};
use crate::function::Failure;
use crate::operator::{Detail, OperatorError, Rejection};

/// So many characters of a value stand beside the reason.
const FOUND_CHARS_MAX: usize = 200;
/// So many rows of a batch get a suggestion; to find one costs several checks.
pub(super) const SUGGESTIONS_MAX: usize = 100;

/// A condition of a rule, with the rows that break it.
pub(super) struct Breach {
    /// The index of the rule, and of the condition within it.
    pub(super) rule: usize,
    pub(super) condition: usize,
    pub(super) rows: BooleanBuffer,
    /// The rows for which an expression cannot be computed.
    failures: Vec<Failure>,
    /// Whether it is the `where` of the rule that cannot be computed.
    of_where: bool,
}

/// The action for a row, and the breaches that lead to it.
pub(super) struct Verdict {
    pub(super) on_failure: OnFailure,
    breaches: Vec<usize>,
}

impl Validate {
    /// Every condition that a row breaks, in the order of the rules.
    pub(super) fn breaches(&self, changes: &Changes) -> Vec<Breach> {
        let values = self.scope.enter(changes);
        let has_row_after = |row: usize| {
            !matches!(
                changes.operations[row],
                Operation::Delete | Operation::Truncate
            )
        };
        let all_have = (0..changes.len()).all(has_row_after);
        let validated =
            (!all_have).then(|| BooleanBuffer::collect_bool(changes.len(), has_row_after));

        let mut breaches = Vec::new();
        let mut applied = Vec::with_capacity(self.rules.len());
        for (rule_index, rule) in self.rules.iter().enumerate() {
            let mut checked = validated.clone();
            if let Some(applies) = &rule.applies {
                let (rows, mut failures) = applies.rows(changes, &values);
                failures.retain(|failure| has_row_after(failure.row));
                if !failures.is_empty() && !rule.conditions.is_empty() {
                    let mut failed = failures.iter().map(|failure| failure.row).peekable();
                    breaches.push(Breach {
                        rule: rule_index,
                        condition: 0,
                        rows: BooleanBuffer::collect_bool(changes.len(), |row| {
                            failed.next_if_eq(&row).is_some()
                        }),
                        failures,
                        of_where: true,
                    });
                }
                checked = Some(match checked {
                    Some(checked) => &checked & &rows,
                    None => rows,
                });
            }
            applied.push(checked.clone());
            for (condition_index, condition) in rule.conditions.iter().enumerate() {
                let Some((mut rows, failures)) = condition.broken(changes, &values) else {
                    continue;
                };
                if let Some(checked) = &checked {
                    rows = &rows & checked;
                }
                if rows.count_set_bits() > 0 {
                    breaches.push(Breach {
                        rule: rule_index,
                        condition: condition_index,
                        rows,
                        failures,
                        of_where: false,
                    });
                }
            }
        }
        self.add_repeated(changes, &applied, &mut breaches);
        breaches
    }

    /// The values that are not unique. A row that another rule takes out holds no value, so that this comes
    /// last; `applied` are the rows that each rule is about.
    fn add_repeated(
        &self,
        changes: &Changes,
        applied: &[Option<BooleanBuffer>],
        breaches: &mut Vec<Breach>,
    ) {
        for (rule, of) in self.rules.iter().enumerate() {
            for (condition, unique) in of.conditions.iter().enumerate() {
                let Some(unique) = unique.unique() else {
                    continue;
                };
                let going =
                    |breach: &&Breach| self.rules[breach.rule].on_failure != OnFailure::Warn;
                let gone: Vec<&BooleanBuffer> = breaches
                    .iter()
                    .filter(going)
                    .map(|breach| &breach.rows)
                    .collect();
                let holds = |row: usize| {
                    applied[rule].as_ref().is_none_or(|rows| rows.value(row))
                        && !gone.iter().any(|rows| rows.value(row))
                };
                let rows = unique.repeated(changes, holds);
                if rows.count_set_bits() > 0 {
                    breaches.push(Breach {
                        rule,
                        condition,
                        rows,
                        failures: Vec::new(),
                        of_where: false,
                    });
                }
            }
        }
    }

    /// Counts what broke a rule, and stops where too much did.
    pub(super) fn count(
        &self,
        changes: &Changes,
        breaches: &[Breach],
        verdicts: &BTreeMap<usize, Verdict>,
    ) -> Result<(), OperatorError> {
        let mut kept = self.memory.lock();
        for breach in breaches {
            let rule = &self.rules[breach.rule];
            let condition = &rule.conditions[breach.condition];
            let rows = breach.rows.count_set_bits() as u64;
            let action = rule.on_failure.name();
            kept.count(&condition.rule, condition.field.as_deref(), action, rows);
        }
        let has_row_after =
            |operation: &&Operation| !matches!(operation, Operation::Delete | Operation::Truncate);
        let rows = changes.operations.iter().filter(has_row_after).count() as u64;
        let failed_by = |index: usize| {
            let of_rule = breaches.iter().filter(|breach| breach.rule == index);
            let all = of_rule.map(|breach| breach.rows.clone());
            let all = all.reduce(|all, rows| &all | &rows);
            all.map_or(0, |rows| rows.count_set_bits() as u64)
        };
        let rates = self.rules.iter().enumerate();
        let rates = rates.filter_map(|(index, rule)| Some((Some(index), rule.max_failure_rate?)));
        for (index, rate) in rates.chain(self.max_failure_rate.map(|rate| (None, rate))) {
            let failed = index.map_or(verdicts.len() as u64, failed_by);
            let known = kept.rates.entry(index).or_default();
            let Some((failed, rows)) = known.add(rows, failed, self.failure_window) else {
                continue;
            };
            if failed as f64 <= rate * rows as f64 {
                continue;
            }
            let most = (0..self.rules.len()).max_by_key(|&index| failed_by(index));
            let name = index.or(most).and_then(|index| {
                let condition = self.rules[index].conditions.first()?;
                let field = condition.field.as_deref();
                let field = field.map_or(String::new(), |field| format!(" of {field}"));
                Some(format!("{}{field}", condition.rule))
            });
            return Err(OperatorError::Stop(format!(
                "{failed} of the last {rows} rows break {}, more than max_failure_rate = {rate} allows; \
                 nothing of this batch is acknowledged: correct the source or the rule, and the next run \
                 reads it again",
                name.as_deref().unwrap_or("its rules"),
            )));
        }
        Ok(())
    }

    pub(super) fn verdicts(&self, breaches: &[Breach]) -> BTreeMap<usize, Verdict> {
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        for (index, breach) in breaches.iter().enumerate() {
            let on_failure = self.rules[breach.rule].on_failure;
            for row in breach.rows.set_indices() {
                let verdict = verdicts.entry(row).or_insert(Verdict {
                    on_failure,
                    breaches: Vec::new(),
                });
                verdict.breaches.push(index);
                if on_failure.severity() > verdict.on_failure.severity() {
                    verdict.on_failure = on_failure;
                }
            }
        }
        verdicts
    }

    /// The first rule that decides about the row, and every reason against the row.
    pub(super) fn rejection(
        &self,
        row: usize,
        changes: &Changes,
        verdict: &Verdict,
        breaches: &[Breach],
        suggestions_left: usize,
    ) -> Rejection {
        let of_row = || verdict.breaches.iter().map(|&index| &breaches[index]);
        let first = of_row()
            .find(|breach| self.rules[breach.rule].on_failure == verdict.on_failure)
            .expect("a verdict is that of one of its breaches");
        let mut reasons: Vec<String> = Vec::new();
        for breach in of_row() {
            let rule = &self.rules[breach.rule];
            let failure = breach.failures.iter().find(|failure| failure.row == row);
            let reason = match (&rule.message, failure) {
                (_, Some(failure)) if breach.of_where => {
                    format!(
                        "the where of the rule cannot be computed: {}",
                        failure.reason
                    )
                }
                (Some(message), _) => message.clone(),
                (None, Some(failure)) => {
                    format!("the check cannot be computed: {}", failure.reason)
                }
                (None, None) => rule.conditions[breach.condition].reason.clone(),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let condition = &self.rules[first.rule].conditions[first.condition];
        let mut detail = Detail {
            fingerprint: self.rules[first.rule].fingerprint.clone(),
            ..Detail::default()
        };
        let column = condition.field.as_deref().and_then(|field| {
            let index = changes.rows.schema_ref().index_of(field).ok()?;
            Some((field, changes.rows.column(index)))
        });
        if let Some((field, values)) = column
            && values.is_valid(row)
        {
            let options = FormatOptions::new();
            let shown = ArrayFormatter::try_new(values, &options).ok();
            let value = shown
                .map(|shown| shown.value(row).to_string())
                .unwrap_or_default();
            let is_sensitive = self.sensitive.iter().any(|name| name == field);
            if suggestions_left > 0
                && let Some(found) = condition.suggestion(field, &value)
            {
                detail.suggestion = Some(found.shown(is_sensitive));
            }
            detail.found = Some(match is_sensitive {
                true => format!("{} characters, hidden", value.chars().count()),
                false => value.chars().take(FOUND_CHARS_MAX).collect(),
            });
        }
        Rejection {
            origin: changes.origins[row],
            rule: condition.rule.clone(),
            field: condition.field.clone(),
            reason: reasons.join("; "),
            detail: Some(Box::new(detail)),
        }
    }

    /// Logs once that a rule is broken; a line for every batch would fill the log.
    pub(super) fn log_once(&mut self, verdict: &Verdict, breaches: &[Breach]) {
        for &index in &verdict.breaches {
            let rule = &mut self.rules[breaches[index].rule];
            if !rule.logged {
                rule.logged = true;
                tracing::warn!(
                    operator = self.name,
                    rule = rule.conditions[breaches[index].condition].rule,
                    "a row broke a rule that only warns; further rows are counted without a log line"
                );
            }
        }
    }
}
