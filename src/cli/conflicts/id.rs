//! The id of a conflict in the queue: `pipeline/sink/17`.

use syncline_connectors::conflict::QueueEntry;

/// The full id of an entry.
pub(super) fn of(entry: &QueueEntry) -> String {
    format!("{}/{}/{}", entry.pipeline, entry.sink, entry.id)
}

/// An id as a person writes it: the number, optionally with the sink and the pipeline before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) number: i64,
    sink: Option<String>,
    pipeline: Option<String>,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A pipeline's name may contain a slash.
        let mut parts = text.rsplitn(3, '/');
        let number = parts.next().and_then(|number| number.parse().ok());
        let number = number.filter(|number| *number > 0).ok_or_else(|| {
            format!("{text:?} is not the id of a conflict: write pipeline/sink/17, sink/17 or 17")
        })?;
        Ok(Self {
            number,
            sink: parts.next().map(str::to_owned),
            pipeline: parts.next().map(str::to_owned),
        })
    }
}

impl Wanted {
    /// The only entry that matches the id.
    ///
    /// # Errors
    /// A message with what to write instead; the flag is set if several entries match.
    pub(super) fn find(&self, entries: Vec<QueueEntry>) -> Result<QueueEntry, (String, bool)> {
        let same = |part: &Option<String>, name: &str| {
            part.as_ref().is_none_or(|part| part.as_str() == name)
        };
        let mut found: Vec<QueueEntry> = entries
            .into_iter()
            .filter(|entry| {
                entry.id == self.number
                    && same(&self.sink, &entry.sink)
                    && same(&self.pipeline, &entry.pipeline)
            })
            .collect();
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            0 => Err((
                format!(
                    "there is no conflict {self}; `syncline conflicts list --all` shows the ids"
                ),
                false,
            )),
            _ => {
                let ids: Vec<String> = found.iter().map(of).collect();
                Err((
                    format!(
                        "{self} matches several conflicts: write one of {}",
                        ids.join(", ")
                    ),
                    true,
                ))
            }
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [&self.pipeline, &self.sink].into_iter().flatten() {
            write!(f, "{part}/")?;
        }
        write!(f, "{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::entry;
    use super::*;

    #[test]
    fn an_id_is_understood_where_only_one_entry_can_be_meant() {
        let entries = || {
            let of = |pipeline: &str, sink: &str, id| QueueEntry {
                id,
                pipeline: pipeline.to_owned(),
                sink: sink.to_owned(),
                ..entry()
            };
            vec![
                of("crm", "billing", 17),
                of("crm", "audit", 17),
                of("a/b", "billing", 17),
                of("crm", "billing", 3),
            ]
        };
        let check = |text: &str, expect: Result<&str, (&str, bool)>| {
            let wanted: Wanted = text.parse().unwrap();
            match (wanted.find(entries()), expect) {
                (Ok(found), Ok(id)) => assert_eq!(of(&found), id),
                (Err((error, ambiguous)), Err((part, expected))) => {
                    assert!(error.contains(part), "{error}");
                    assert_eq!(ambiguous, expected, "{error}");
                }
                (found, expect) => panic!("{text}: found {found:?}, expected {expect:?}"),
            }
        };
        check("3", Ok("crm/billing/3"));
        check("audit/17", Ok("crm/audit/17"));
        check("crm/billing/17", Ok("crm/billing/17"));
        check("a/b/billing/17", Ok("a/b/billing/17"));
        check(
            "17",
            Err(("one of crm/billing/17, crm/audit/17, a/b/billing/17", true)),
        );
        check(
            "billing/17",
            Err(("one of crm/billing/17, a/b/billing/17", true)),
        );
        check("4", Err(("no conflict 4", false)));
        check("x/billing/17", Err(("no conflict x/billing/17", false)));
        for wrong in ["", "x", "billing/", "-1", "billing/x"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }
}
