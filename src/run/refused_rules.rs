//! What went into quarantine, by rule: said in the log when a rule first refuses and now and then
//! afterwards, and listed in the summary.
//!
//! A record that comes again counts once. Bounded: [`RULES_MAX`] rules, the rest together.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::quarantine::Entry;

/// How often the count of a rule is told again while it grows.
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// Tables and fields come from the data: past this many rules the rest is counted as one.
const RULES_MAX: usize = 500;
const REST: &str = "further rules";

/// One rule that put changes into quarantine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RefusedRule {
    /// `decode`, or the name of the operator or sink.
    pub stage: String,
    /// Topic or file.
    pub topic: String,
    /// The rule.
    pub rule: String,
    /// The column at fault, where one is.
    pub field: Option<String>,
    /// How many changes.
    pub count: u64,
    /// Why the first of them was refused.
    pub reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct RefusedRules {
    pipeline: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Told>,
    index: HashMap<(String, String, String, Option<String>), usize>,
    /// Up to where the entries of a stage and partition were counted.
    counted: HashMap<(String, String, i32), i64>,
}

#[derive(Debug)]
struct Told {
    rule: RefusedRule,
    told_at: Option<Instant>,
}

impl RefusedRules {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Counts entries that are in the quarantine, and tells of them.
    pub(crate) fn add(&self, entries: &[Entry]) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        let State {
            rules,
            index,
            counted,
        } = &mut *state;
        let place = |entry: &Entry| (entry.stage.clone(), entry.topic.clone(), entry.partition);
        let before: Vec<Option<i64>> = entries
            .iter()
            .map(|entry| counted.get(&place(entry)).copied())
            .collect();
        let mut touched = Vec::new();
        for (entry, before) in entries.iter().zip(before) {
            if before.is_some_and(|offset| entry.offset <= offset) {
                continue;
            }
            let upto = counted.entry(place(entry)).or_insert(entry.offset);
            *upto = (*upto).max(entry.offset);
            let number = slot(rules, index, entry);
            rules[number].rule.count += 1;
            if !touched.contains(&number) {
                touched.push(number);
            }
        }
        for number in touched {
            rules[number].tell(&self.pipeline);
        }
    }

    pub(crate) fn list(&self) -> Vec<RefusedRule> {
        let state = self.state.lock().expect("no holder of this lock panics");
        state.rules.iter().map(|told| told.rule.clone()).collect()
    }
}

/// The number of the entry's rule, added where it is new.
fn slot(
    rules: &mut Vec<Told>,
    index: &mut HashMap<(String, String, String, Option<String>), usize>,
    entry: &Entry,
) -> usize {
    let rest = rules.len() >= RULES_MAX;
    let mut key = (
        entry.stage.clone(),
        entry.topic.clone(),
        entry.rule.clone(),
        entry.field.clone(),
    );
    if rest && !index.contains_key(&key) {
        key = (String::new(), String::new(), REST.to_owned(), None);
    }
    if let Some(&number) = index.get(&key) {
        return number;
    }
    let (stage, topic, rule, field) = key.clone();
    rules.push(Told {
        rule: RefusedRule {
            stage,
            topic,
            rule,
            field,
            count: 0,
            reason: entry.reason.clone(),
        },
        told_at: None,
    });
    index.insert(key, rules.len() - 1);
    rules.len() - 1
}

impl Told {
    fn tell(&mut self, pipeline: &str) {
        if self.told_at.is_some_and(|at| at.elapsed() < TELL_INTERVAL) {
            return;
        }
        self.told_at = Some(Instant::now());
        let RefusedRule {
            stage,
            topic,
            rule,
            field,
            count,
            reason,
        } = &self.rule;
        tracing::warn!(
            pipeline,
            stage,
            topic,
            rule,
            field,
            count,
            first_reason = reason,
            "changes are in quarantine"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rule: &str, offset: i64) -> Entry {
        Entry {
            time: String::new(),
            pipeline: "p".into(),
            stage: "decode".into(),
            rule: rule.into(),
            field: None,
            reason: format!("reason of {rule}"),
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp_ms: None,
            key: None,
            headers: None,
            value: None,
            run: None,
            found: None,
            suggestion: None,
            fingerprint: None,
            withdrawn: false,
        }
    }

    #[test]
    fn rules_are_counted_with_their_first_reason_and_a_repetition_once() {
        let rules = RefusedRules::new("p");
        // The order within one call is that of stages, not of offsets.
        rules.add(&[entry("a", 5), entry("b", 3)]);
        rules.add(&[entry("a", 5), entry("a", 6)]);
        let listed: Vec<_> = rules
            .list()
            .into_iter()
            .map(|rule| (rule.rule, rule.count, rule.reason))
            .collect();
        let expect = [("a", 2, "reason of a"), ("b", 1, "reason of b")];
        let expect =
            expect.map(|(rule, count, reason)| (rule.to_owned(), count, reason.to_owned()));
        assert_eq!(listed, expect);
    }

    #[test]
    fn the_number_of_rules_is_bounded() {
        let rules = RefusedRules::new("p");
        for number in 0..2 * RULES_MAX as i64 {
            rules.add(&[entry(&format!("rule {number}"), number)]);
        }
        let listed = rules.list();
        assert_eq!(listed.len(), RULES_MAX + 1);
        let sum: u64 = listed.iter().map(|rule| rule.count).sum();
        assert_eq!(sum, 2 * RULES_MAX as u64);
        assert_eq!(listed[RULES_MAX].rule, REST);
    }
}
