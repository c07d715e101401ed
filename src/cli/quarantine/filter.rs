//! Which entries of a quarantine a command is about.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;
use syncline_connectors::conflict::KeyFilter;

use crate::quarantine::{Entry, Payload};

/// Entries that fit all of these.
#[derive(Debug, Args, Default)]
pub(super) struct Filter {
    /// The id of an entry, as `list` shows it. May be given several times.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// A part of the rule, such as `23502` or `format`.
    #[arg(long, value_name = "TEXT")]
    rule: Option<String>,
    /// The stage that refused the change: `decode`, an operator or a sink.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// The table in the source.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The key of the record: `42`, or `{"id": 42, "region": "eu"}`.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    key: Option<String>,
    /// Refused at this instant or later: `2026-01-31T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Refused before this instant.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// The topic, or the path of a file.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The partition.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<i32>,
    /// The first offset.
    #[arg(long, value_name = "OFFSET")]
    from_offset: Option<i64>,
    /// The last offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
}

impl Filter {
    /// Whether it fits every entry.
    pub(super) fn is_open(&self) -> bool {
        let texts = [&self.rule, &self.stage, &self.table, &self.key, &self.topic];
        self.id.is_empty()
            && texts.iter().all(|text| text.is_none())
            && self.since.is_none()
            && self.until.is_none()
            && self.partition.is_none()
            && self.from_offset.is_none()
            && self.to_offset.is_none()
    }

    /// Whether it fits an entry.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        let time = entry.time.parse::<DateTime<Utc>>().ok();
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let key = || self.key.as_deref().map(KeyFilter::of);
        (self.id.is_empty() || self.id.contains(&entry.id()))
            && self
                .rule
                .as_ref()
                .is_none_or(|rule| entry.rule.contains(rule))
            && is(&self.stage, &entry.stage)
            && is(&self.topic, &entry.topic)
            && is(&self.table, &table_of(entry))
            && key().is_none_or(|key| key_of(entry).is_some_and(|found| key.matches(&found)))
            && self
                .since
                .is_none_or(|since| time.is_some_and(|time| time >= since))
            && self
                .until
                .is_none_or(|until| time.is_some_and(|time| time < until))
            && self
                .partition
                .is_none_or(|partition| entry.partition == partition)
            && self.from_offset.is_none_or(|offset| entry.offset >= offset)
            && self.to_offset.is_none_or(|offset| entry.offset <= offset)
    }
}

/// JSON without Debezium's schema around it.
fn json_of(payload: &Option<Payload>) -> Option<Value> {
    let bytes = payload.as_ref()?.bytes()?;
    let json: Value = serde_json::from_slice(&bytes).ok()?;
    Some(match json.get("payload") {
        Some(payload) if json.get("schema").is_some() => payload.clone(),
        _ => json,
    })
}

/// What the record says of its table; else the last part of its topic.
fn table_of(entry: &Entry) -> String {
    let value = json_of(&entry.value);
    let named = value
        .as_ref()
        .and_then(|value| value.get("source")?.get("table")?.as_str());
    let of_topic = entry.topic.rsplit('.').next().unwrap_or_default();
    named.unwrap_or(of_topic).to_owned()
}

/// The key of the record; else the row of its value, in which a key can be found too.
fn key_of(entry: &Entry) -> Option<String> {
    let key = json_of(&entry.key).filter(Value::is_object);
    let row = || {
        let value = json_of(&entry.value)?;
        let sides = ["after", "before"];
        let side = sides
            .iter()
            .find_map(|side| value.get(side).filter(|row| row.is_object()));
        Some(side.cloned().unwrap_or(value))
    };
    key.or_else(row).map(|key| key.to_string())
}
