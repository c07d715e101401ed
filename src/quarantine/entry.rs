//! One rejected change, as it is stored and shown.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use syncline_connectors::record::Records;

use crate::operator::Detail;

/// One rejected change. The original bytes are whole, so that it can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was rejected, RFC 3339.
    pub time: String,
    /// The pipeline.
    pub pipeline: String,
    /// `decode`, or the name of the operator or sink that rejected it.
    pub stage: String,
    /// The rule that it broke, for example `format = "email"` or `R14 incomplete`.
    pub rule: String,
    /// The column at fault, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why, for a person.
    pub reason: String,
    /// The value that was found; of a sensitive column only its length. Never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// An expression that would mend the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Tells the rule with its settings from every other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Topic or file.
    pub topic: String,
    /// Partition; 0 for a file.
    pub partition: i32,
    /// Offset; the byte of the line for a file.
    pub offset: i64,
    /// The record's own time, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
    /// The record's key as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Payload>,
    /// The record's headers, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Payload>,
    /// The record's value as it came; absent for a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Payload>,
    /// The run that stored it, where that may take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether this takes back an earlier entry of the same id and run: its change was not
    /// acknowledged, and comes again from the source. Another process may have stored it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Bytes: text where they are UTF-8, else `{"base64": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Payload {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Binary {
        /// The bytes in standard base64.
        base64: String,
    },
}

impl Payload {
    /// Of raw bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary {
                base64: BASE64_STANDARD.encode(bytes),
            },
        }
    }

    /// The raw bytes again; `None` where the base64 is broken.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.as_bytes().to_vec()),
            Self::Binary { base64 } => BASE64_STANDARD.decode(base64).ok(),
        }
    }
}

/// Why a change was rejected, and where.
#[derive(Debug, Clone)]
pub(crate) struct Verdict<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) field: Option<&'a str>,
    pub(crate) reason: &'a str,
}

impl Entry {
    /// The entry of record `index`.
    pub(crate) fn new(records: &Records, index: usize, verdict: &Verdict<'_>) -> Self {
        let record = &records.entries[index];
        let partition = &records.partition(index).partition;
        Self {
            time: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            pipeline: verdict.pipeline.to_owned(),
            stage: verdict.stage.to_owned(),
            rule: verdict.rule.to_owned(),
            field: verdict.field.map(str::to_owned),
            reason: verdict.reason.to_owned(),
            found: None,
            suggestion: None,
            fingerprint: None,
            topic: partition.topic.to_string(),
            partition: partition.number,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: records.key(index).map(Payload::new),
            headers: records.headers(index).map(Payload::new),
            value: records.value(index).map(Payload::new),
            run: None,
            withdrawn: false,
        }
    }

    /// The entry with what else is known of the refusal.
    pub(crate) fn with_detail(self, detail: &Detail) -> Self {
        Self {
            found: detail.found.clone(),
            suggestion: detail.suggestion.clone(),
            fingerprint: Some(detail.fingerprint.clone()),
            ..self
        }
    }

    /// The entry that takes this one back; without the record.
    pub(super) fn withdrawal(&self) -> Self {
        Self {
            found: None,
            headers: None,
            key: None,
            value: None,
            withdrawn: true,
            ..self.clone()
        }
    }

    /// What the entry is known by: record and stage.
    pub fn id(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.topic, self.partition, self.offset, self.stage
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_survive() {
        for bytes in [&b"plain"[..], b"\xff\xfe\x00", b""] {
            let payload = Payload::new(bytes);
            let json = serde_json::to_string(&payload).unwrap();
            let back: Payload = serde_json::from_str(&json).unwrap();
            assert_eq!(back.bytes().unwrap(), bytes);
        }
    }
}
