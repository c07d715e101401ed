//! `start`: where a sink begins that holds no position of a topic yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a sink begins with a topic that it meets for the first time. A partition that is added to a
/// topic later, and a topic that joins a pattern later, begin with their first record whatever this
/// says.
///
/// ```toml
/// [sources.crm]
/// type    = "kafka"
/// brokers = "localhost:9092"
/// topics  = ["crm.public.clients"]
/// group   = "syncline-clients"
/// format  = "debezium-json"
/// start   = { timestamp = "2026-01-01T00:00:00Z" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the first record that comes.
    Latest,
    /// With the first record that is not older than this, by the records' own times.
    Timestamp(Timestamp),
}

/// An instant as RFC 3339 writes it, with its offset from UTC: `2026-01-01T00:00:00Z`,
/// `2026-01-01T00:00:00.5+02:00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(pub String);

impl Timestamp {
    /// Milliseconds since the epoch.
    ///
    /// # Errors
    /// `Configuration` where the text is no such instant.
    pub fn milliseconds(&self) -> Result<i64> {
        let instant = chrono::DateTime::parse_from_rfc3339(&self.0).map_err(|_| {
            Error::configuration(format!(
                "{:?} is no instant: write for example \"2026-01-01T00:00:00Z\" or \"2026-01-01T00:00:00+02:00\"",
                self.0
            ))
        })?;
        let milliseconds = instant.timestamp_millis();
        if milliseconds < 0 {
            return Err(Error::configuration(format!(
                "{:?} lies before 1970, which Kafka does not count: write start = \"earliest\"",
                self.0
            )));
        }
        Ok(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_needs_its_offset() {
        let check = |text: &str, expect: Option<i64>| {
            let found = Timestamp(text.to_owned()).milliseconds();
            assert_eq!(found.ok(), expect, "{text}");
        };
        check("1970-01-01T00:00:01Z", Some(1_000));
        check("2026-01-01T00:00:00Z", Some(1_767_225_600_000));
        check("2026-01-01T00:00:00.5+02:00", Some(1_767_218_400_500));
        check("2026-01-01T00:00:00", None);
        check("2026-01-01", None);
        check("yesterday", None);
        check("", None);
        check("1969-12-31T23:59:59Z", None);
    }
}
