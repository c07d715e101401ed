//! One trial: what a stage refused of a subject since a change of it last passed.

use std::collections::BTreeMap;

use syncline_connectors::format::{Format, recognize};
use tokio::time::Instant;

use super::{RecordKind, Subject};
use crate::quarantine::Entry;

/// The first refused values of a topic, to recognise their form by.
pub(super) const SAMPLES_MAX: usize = 16;
/// Fields come from the data: further rules are counted in the total only.
const RULES_MAX: usize = 100;
/// So many of them have to be of one form.
pub(super) const SAMPLES_MIN: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Refused since a change last passed.
    pub(super) total: u64,
    rules: Vec<Count>,
    pub(super) since: Option<Instant>,
    /// Whether they are no longer held back, and how many there were by then.
    pub(super) released: Option<u64>,
    /// Whether a change ever passed.
    pub(super) passed: bool,
    samples: Vec<Vec<u8>>,
    /// Whether the first sample is the beginning of a file.
    from_start: bool,
    /// What the samples should be.
    format: Option<Format>,
    /// Up to where refusals of a partition were counted.
    counted: BTreeMap<i32, i64>,
}

#[derive(Debug)]
pub(super) struct Count {
    rule: String,
    field: Option<String>,
    count: u64,
    reason: String,
    place: String,
}

impl Trial {
    pub(super) fn is_open(&self) -> bool {
        self.total > 0 && self.released.is_none()
    }

    pub(super) fn pass(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        *self = Self {
            passed: true,
            counted,
            ..Self::default()
        };
    }

    pub(super) fn refuse<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        input: Option<RecordKind>,
    ) {
        let before = self.counted.clone();
        for entry in entries {
            if before
                .get(&entry.partition)
                .is_some_and(|&offset| entry.offset <= offset)
            {
                continue;
            }
            let counted = self.counted.entry(entry.partition).or_insert(entry.offset);
            *counted = (*counted).max(entry.offset);
            self.since.get_or_insert_with(Instant::now);
            self.total += 1;
            if !self.passed && self.samples.len() < SAMPLES_MAX {
                self.sample(entry, input);
            }
            let same = |count: &&mut Count| count.rule == entry.rule && count.field == entry.field;
            let full = self.rules.len() >= RULES_MAX;
            match self.rules.iter_mut().find(same) {
                Some(count) => count.count += 1,
                None if full => {}
                None => self.rules.push(Count {
                    rule: entry.rule.clone(),
                    field: entry.field.clone(),
                    count: 1,
                    reason: entry.reason.clone(),
                    place: format!(
                        "{}[{}] offset {}",
                        entry.topic, entry.partition, entry.offset
                    ),
                }),
            }
        }
    }

    fn sample(&mut self, entry: &Entry, input: Option<RecordKind>) {
        let Some(mut bytes) = entry.value.as_ref().and_then(|value| value.bytes()) else {
            return;
        };
        if self.samples.is_empty() {
            self.from_start = input.is_some_and(|input| input.of_file) && entry.offset == 0;
            self.format = input.map(|input| input.format);
        }
        bytes.truncate(recognize::VALUE_BYTES_MAX);
        self.samples.push(bytes);
    }

    /// The rule that refused at least nine of ten.
    pub(super) fn one_rule(&self) -> Option<&Count> {
        let count = self.rules.iter().max_by_key(|count| count.count)?;
        (count.count * 10 >= self.total * 9).then_some(count)
    }

    /// Ends the trial: stops, or says that what was refused is bad data.
    pub(super) fn end(&mut self, subject: &Subject, refused_min: u64) -> Result<(), String> {
        if let Some(text) = self.recognised(subject, 1) {
            return Err(text);
        }
        if self.total >= refused_min
            && let Some(rule) = self.one_rule()
        {
            return Err(self.diagnosis(subject, rule));
        }
        self.released = Some(self.total);
        Ok(())
    }

    /// What the first values of a topic are that the decoder could not read one of.
    pub(super) fn recognised(&self, subject: &Subject, samples_min: usize) -> Option<String> {
        if subject.table.is_some() || self.passed || self.samples.is_empty() {
            return None;
        }
        let samples: Vec<&[u8]> = self.samples.iter().map(Vec::as_slice).collect();
        if samples.len() < samples_min && !self.from_start {
            return None;
        }
        let format = self.format?;
        let form = match format {
            Format::Csv => recognize::not_text(&samples),
            // Rows with their types, and messages that say of themselves what they are.
            Format::Parquet | Format::MaxwellJson | Format::DebeziumAvro | Format::Avro => None,
            Format::DebeziumJson | Format::Json => recognize::unreadable(&samples, self.from_start),
        };
        if let Some(form) = form {
            return Some(of_form(&subject.topic, &form, format));
        }
        let rule = self.one_rule()?;
        let padded =
            samples.len() >= SAMPLES_MIN || samples.iter().any(|sample| sample.contains(&b'='));
        let base64 = padded && self.is_base64(rule.field.as_deref()?, &rule.reason);
        base64.then(|| self.diagnosis(subject, rule))
    }

    pub(super) fn diagnosis(&self, subject: &Subject, rule: &Count) -> String {
        let (stage, remedy) = match &subject.table {
            None => (
                "the decoder",
                "correct the source's format or schema, or what writes the records".to_owned(),
            ),
            Some(_) => (
                &*subject.stage,
                "correct the rule, the target's table or the columns that reach it".to_owned(),
            ),
        };
        let field = rule.field.as_deref();
        let shown_field = field.map_or(String::new(), |field| format!(", field {field:?}"));
        let hint = match field {
            Some(field) if self.is_base64(field, &rule.reason) => {
                format!("; {}", recognize::BASE64_DECIMALS)
            }
            _ => String::new(),
        };
        let kept = match self.released {
            None => "none of them is acknowledged or in quarantine".to_owned(),
            Some(kept) => format!(
                "the first {kept} of them are in quarantine, the others are not acknowledged"
            ),
        };
        format!(
            "{stage} refused all of {} changes of {} by one rule: {}{shown_field}: {} (first at {}){hint}; {kept}: {remedy}, and the next run reads them again; [quarantine] stop_after = 0 puts them into quarantine instead",
            self.total,
            subject.shown(),
            rule.rule,
            rule.reason,
            rule.place,
        )
    }

    /// Whether the values of a field that is a number for its column are base64 instead.
    fn is_base64(&self, field: &str, reason: &str) -> bool {
        let number = ["decimal", "numeric", "number"];
        number
            .iter()
            .any(|word| reason.to_lowercase().contains(word))
            && !self.samples.is_empty()
            && self
                .samples
                .iter()
                .all(|sample| recognize::is_base64_field(sample, field))
    }
}

pub(super) fn of_form(topic: &str, form: &recognize::Form, format: Format) -> String {
    format!(
        "the first records of {topic:?} are {}, which format = \"{format}\" cannot read: {}; nothing was written, acknowledged or put into quarantine",
        form.name, form.remedy
    )
}
