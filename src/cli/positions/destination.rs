//! `--to`: a place in a partition as a person names it.

use syncline_connectors::kafka::Timestamp;
use syncline_connectors::source::{Extent, Wanted};

/// Where positions are moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Beginning,
    End,
    Group,
    Offset(i64),
    /// Milliseconds since the epoch.
    Time(i64),
}

impl Destination {
    /// Reads the words after `--to`.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    pub(super) fn read(words: &[String]) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["beginning"] => Ok(Self::Beginning),
            ["end"] => Ok(Self::End),
            ["group"] => Ok(Self::Group),
            ["offset", number] => match number.parse() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => Err(format!("{number:?} is no offset: write a number from 0")),
            },
            ["time", instant] => {
                let milliseconds = Timestamp((*instant).to_owned()).milliseconds();
                milliseconds
                    .map(Self::Time)
                    .map_err(|error| error.to_string())
            }
            _ => Err(format!(
                "--to {} is no place: write beginning, end, group, \"offset N\" or \"time 2026-01-01T00:00:00Z\", after the pipeline file",
                words.join(" ")
            )),
        }
    }

    /// What has to be asked of the source.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            group: *self == Self::Group,
            time: match self {
                Self::Time(milliseconds) => Some(*milliseconds),
                _ => None,
            },
            offset: match self {
                Self::Offset(offset) => Some(*offset),
                _ => None,
            },
        }
    }

    /// The offset in one partition; `None` where the group has none there.
    ///
    /// # Errors
    /// Why there is no such offset, for a person.
    pub(super) fn within(&self, extent: &Extent) -> Result<Option<i64>, String> {
        let Extent {
            partition,
            low,
            high,
            ..
        } = extent;
        let at = match self {
            Self::Beginning => Some(*low),
            Self::End => Some(*high),
            Self::Group => extent.group,
            Self::Offset(offset) => Some(*offset),
            Self::Time(_) => extent.time,
        };
        match at {
            Some(at) if at < *low || at > *high => Err(format!(
                "{partition} has no offset {at}: it holds {low} to {high}"
            )),
            at => Ok(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use syncline_connectors::record::Partition;

    use super::*;

    #[test]
    fn a_place_is_one_of_five() {
        let check = |words: &str, expect: Option<Destination>| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(Destination::read(&words).ok(), expect, "{words:?}");
        };
        check("beginning", Some(Destination::Beginning));
        check("end", Some(Destination::End));
        check("group", Some(Destination::Group));
        check("offset 17", Some(Destination::Offset(17)));
        check(
            "time 2026-01-01T00:00:00Z",
            Some(Destination::Time(1_767_225_600_000)),
        );
        check("offset", None);
        check("offset -1", None);
        check("offset x", None);
        check("time noon", None);
        check("middle", None);
        check("end pipeline.toml", None);
    }

    #[test]
    fn an_offset_lies_within_its_partition() {
        let extent = |group| Extent {
            partition: Partition {
                topic: "t".into(),
                number: 0,
            },
            low: 5,
            high: 9,
            incarnation: None,
            group,
            time: Some(7),
        };
        let check = |place: Destination, group: Option<i64>, expect: Result<Option<i64>, ()>| {
            let found = place.within(&extent(group)).map_err(drop);
            assert_eq!(found, expect, "{place:?} {group:?}");
        };
        check(Destination::Beginning, None, Ok(Some(5)));
        check(Destination::End, None, Ok(Some(9)));
        check(Destination::Group, Some(8), Ok(Some(8)));
        check(Destination::Group, None, Ok(None));
        check(Destination::Group, Some(4), Err(()));
        check(Destination::Offset(9), None, Ok(Some(9)));
        check(Destination::Offset(10), None, Err(()));
        check(Destination::Time(0), None, Ok(Some(7)));
    }
}
