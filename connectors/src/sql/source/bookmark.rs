//! After which row reading goes on, as the text that a sink keeps beside the position.
//!
//! It names the mode and the columns of the order, so that a position that was kept for another order is
//! an error and no place.

use serde::{Deserialize, Serialize};

use super::options::ReadMode;
use crate::error::{Error, Result};
use crate::record::{Incarnation, Partition};

/// The values of the columns of the order, as texts.
pub(super) type Place = Vec<String>;

/// See the module docs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookmark {
    mode: ReadMode,
    /// The columns of the order.
    by: Vec<String>,
    /// The last row that was read; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Place>,
    /// When the snapshot ended, in milliseconds since the epoch; `None` while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<i64>,
}

impl Bookmark {
    /// Before the first row.
    pub(super) fn start(mode: ReadMode, by: &[String]) -> Self {
        Self {
            mode,
            by: by.to_vec(),
            after: None,
            ended_ms: None,
        }
    }

    /// Behind a row.
    pub(super) fn behind(&self, place: Place) -> Self {
        Self {
            after: Some(place),
            ended_ms: None,
            ..self.clone()
        }
    }

    /// As it is kept.
    pub(super) fn text(&self) -> Incarnation {
        let text = serde_json::to_string(self).expect("texts and numbers are JSON");
        text.into()
    }

    /// Of a text that a sink kept for this order.
    ///
    /// # Errors
    /// `Configuration` where it was kept for another order or by another source.
    pub(super) fn parse(
        text: Option<&Incarnation>,
        start: &Self,
        partition: &Partition,
    ) -> Result<Self> {
        let kept: Option<Self> = text.and_then(|text| serde_json::from_str(text).ok());
        let remedy = "undo the change, or read the table from its beginning: `syncline positions reset FILE --source NAME`";
        let Some(kept) = kept else {
            return Err(Error::configuration(format!(
                "the position that is kept for table {:?} is none of a table: {remedy}",
                partition.topic
            )));
        };
        let same_width = kept
            .after
            .as_ref()
            .is_none_or(|place| place.len() == kept.by.len());
        if kept.mode != start.mode || kept.by != start.by || !same_width {
            return Err(Error::configuration(format!(
                "table {:?} was read by {:?} in the order of ({}), and is to be read by {:?} in the order of ({}): {remedy}",
                partition.topic,
                kept.mode,
                kept.by.join(", "),
                start.mode,
                start.by.join(", ")
            )));
        }
        Ok(kept)
    }
}
