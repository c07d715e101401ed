//! Where reading an API stands, as the text that a sink keeps beside the position.
//!
//! The position counts the records that were handed over. The text says which page comes next, and from which
//! value of the cursor on the next round asks.

use serde::{Deserialize, Serialize};

use super::paging::Page;
use crate::error::{Error, Result};
use crate::record::{Incarnation, Partition};

/// Records at the end of a round that are remembered, since the next round gets them again.
const EDGE_MAX: usize = 10_000;

/// See the module docs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bookmark {
    /// Tells it from the text of another kind of source.
    http: (),
    /// The page that comes next in a round; `None` is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<Page>,
    /// The highest value of the cursor in all rounds that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// The highest value of the cursor with the round that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) highest: Option<String>,
    /// Fingerprints of the records that have the highest value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) edge: Vec<u64>,
    /// When the last round ended, in milliseconds since the epoch; `None` while one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<i64>,
}

impl Bookmark {
    /// Takes note of a record with this value of the cursor; whether it was handed over in a round before.
    pub(super) fn note(&mut self, value: &str, fingerprint: u64) -> bool {
        use std::cmp::Ordering;
        let repeats = self.since.as_deref() == Some(value) && self.edge.contains(&fingerprint);
        let highest = self.highest.as_deref().or(self.since.as_deref());
        match highest.map(|highest| compare(value, highest)) {
            None | Some(Ordering::Greater) => {
                self.highest = Some(value.to_owned());
                self.edge = vec![fingerprint];
            }
            Some(Ordering::Equal) if self.edge.len() < EDGE_MAX => {
                if !self.edge.contains(&fingerprint) {
                    self.edge.push(fingerprint);
                }
            }
            Some(_) => {}
        }
        repeats
    }

    /// Ends a round.
    pub(super) fn end(&mut self, now_ms: i64) {
        self.page = None;
        self.since = self.highest.take().or(self.since.take());
        self.ended_ms = Some(now_ms);
    }

    /// As it is kept.
    pub(super) fn text(&self) -> Incarnation {
        let text = serde_json::to_string(self).expect("texts and numbers are JSON");
        text.into()
    }

    /// Of a text that a sink kept.
    ///
    /// # Errors
    /// `Configuration` where it was kept by another kind of source.
    pub(super) fn parse(text: Option<&Incarnation>, partition: &Partition) -> Result<Self> {
        let kept = text.and_then(|text| serde_json::from_str(text).ok());
        kept.ok_or_else(|| {
            Error::configuration(format!(
                "the position that is kept for {:?} is none of an API: undo the change, or read it from its beginning: `syncline positions reset FILE --source NAME`",
                partition.topic
            ))
        })
    }
}

/// Numbers as numbers, instants as instants, any other texts letter by letter.
pub(super) fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return left.cmp(&right);
    }
    if let (Ok(left), Ok(right)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return left.total_cmp(&right);
    }
    let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
    match (instant(left), instant(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_at_the_edge_come_once_in_whatever_order() {
        let mut bookmark = Bookmark::default();
        for (value, fingerprint) in [("9", 1), ("10", 2), ("10", 3), ("8", 4)] {
            assert!(!bookmark.note(value, fingerprint));
        }
        bookmark.end(5);
        assert_eq!(bookmark.since.as_deref(), Some("10"));
        // The next round asks from 10 on.
        assert!(bookmark.note("10", 3));
        assert!(!bookmark.note("10", 7), "it is new");
        assert!(!bookmark.note("11", 8));
        assert!(
            bookmark.note("10", 2) || bookmark.edge == [8],
            "only the edge is remembered"
        );
        bookmark.end(6);
        assert_eq!(bookmark.since.as_deref(), Some("11"));
        // A round without records leaves the place.
        bookmark.end(7);
        assert_eq!(bookmark.since.as_deref(), Some("11"));
        let partition = Partition {
            topic: "clients".into(),
            number: 0,
        };
        let text = bookmark.text();
        assert_eq!(Bookmark::parse(Some(&text), &partition).unwrap(), bookmark);
        assert!(Bookmark::parse(Some(&"{}".into()), &partition).is_err());
    }

    #[test]
    fn cursors_have_the_order_of_their_values() {
        use std::cmp::Ordering;
        let check = |left: &str, right: &str| assert_eq!(compare(left, right), Ordering::Less);
        check("9", "10");
        check("1.5", "1.25e1");
        check("2024-01-01T00:00:00+02:00", "2023-12-31T23:00:00Z");
        check("a", "b");
    }
}
