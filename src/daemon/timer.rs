//! When a pipeline with a `[schedule]` runs next, and what its last run did. Both stand in the state folder,
//! so that a process that was down knows which times it missed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::kept;
use crate::config::{Misfire, Overlap, Timetable};

/// The file in the state folder: a JSON object, each pipeline with its last run.
const FILE: &str = "schedule.json";
/// The clock is looked at so often while a time is waited for: it may be set, and machines sleep.
const LOOK: Duration = Duration::from_secs(30);

/// The last run of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The time up to which nothing is owed any more; all times are milliseconds since the epoch.
    pub(super) until_ms: i64,
    /// When it began; absent before the first run.
    pub(super) began_ms: Option<i64>,
    /// When it ended.
    pub(super) ended_ms: Option<i64>,
    /// Why it failed; absent where it did not.
    pub(super) failure: Option<String>,
}

/// The runs of one pipeline.
#[derive(Debug)]
pub(super) struct Timer {
    pipeline: String,
    path: PathBuf,
    /// The last run, also of an earlier process.
    pub(super) last: Option<Run>,
    /// Whether the last run was of this process.
    ran_here: bool,
}

impl Timer {
    /// What the state folder knows of a pipeline. A file that cannot be read counts as none.
    pub(super) fn new(pipeline: &str, state: &Path) -> Self {
        let path = state.join(FILE);
        let known = kept::read::<BTreeMap<String, Run>>(&path);
        let known = known.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "cannot read the last runs");
            BTreeMap::new()
        });
        Self {
            last: known.get(pipeline).cloned(),
            pipeline: pipeline.to_owned(),
            path,
            ran_here: false,
        }
    }

    /// The next time to run at; it may have passed. `None` where there is none in the next years.
    pub(super) fn next(&self, table: &Timetable, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let owed = match &self.last {
            Some(run) => table.next(DateTime::from_timestamp_millis(run.until_ms)?)?,
            None => return table.next(now),
        };
        let late = owed <= now;
        let skips = match self.ran_here {
            true => table.settings.overlap == Overlap::Skip,
            false => table.settings.misfire == Misfire::Skip,
        };
        match late && skips {
            true => table.next(now),
            false => Some(owed),
        }
    }

    /// A schedule that is seen for the first time owes nothing that passed before.
    pub(super) fn see(&mut self, now: DateTime<Utc>) {
        if self.last.is_none() {
            self.last = Some(Run {
                until_ms: now.timestamp_millis(),
                began_ms: None,
                ended_ms: None,
                failure: None,
            });
            self.keep();
        }
    }

    /// Times that pass from now on pass while nothing could run.
    pub(super) fn interrupt(&mut self) {
        self.ran_here = false;
    }

    /// Whether the last run was of this process and failed.
    pub(super) fn failed_here(&self) -> bool {
        let failed = self.last.as_ref().is_some_and(|run| run.failure.is_some());
        self.ran_here && failed
    }

    /// Takes note that a run begins: nothing that passed before is owed any more.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) {
        self.last = Some(Run {
            until_ms: now.timestamp_millis(),
            began_ms: Some(now.timestamp_millis()),
            ended_ms: None,
            failure: None,
        });
        self.ran_here = true;
        self.keep();
    }

    /// Takes note of how a run ended. Times that passed while it went are still owed.
    pub(super) fn end(&mut self, now: DateTime<Utc>, failure: Option<String>) {
        if let Some(run) = &mut self.last {
            run.ended_ms = Some(now.timestamp_millis());
            run.failure = failure;
        }
        self.keep();
    }

    fn keep(&self) {
        let kept = kept::change(&self.path, |runs: &mut BTreeMap<String, Run>| {
            runs.extend(self.last.clone().map(|run| (self.pipeline.clone(), run)));
        });
        if let Err(error) = kept {
            let path = self.path.display();
            tracing::error!(%path, %error, "the last run is not kept: a time may run twice after a restart");
        }
    }
}

/// Waits until the clock shows `at`.
pub(super) async fn wait_until(at: DateTime<Utc>) {
    while let Ok(left) = (at - Utc::now()).to_std() {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Schedule;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-06-01T{text}Z").parse().expect("a time")
    }

    fn table(misfire: Misfire, overlap: Overlap) -> Timetable {
        let schedule = Schedule {
            cron: "0 * * * *".to_owned(),
            timezone: "UTC".to_owned(),
            misfire,
            overlap,
        };
        schedule.timetable().expect("it is right")
    }

    #[test]
    fn what_a_process_missed_runs_once_or_not_at_all() {
        for (misfire, expect) in [(Misfire::Once, "11:00:00"), (Misfire::Skip, "14:00:00")] {
            let folder = tempfile::tempdir().expect("a folder");
            let table = table(misfire, Overlap::Skip);
            let mut timer = Timer::new("p", folder.path());
            assert_eq!(timer.next(&table, at("10:00:05")), Some(at("11:00:00")));
            timer.see(at("10:00:05"));
            // The process was down at 11, 12 and 13 o'clock.
            let mut later = Timer::new("p", folder.path());
            assert_eq!(
                later.next(&table, at("13:30:00")),
                Some(at(expect)),
                "{misfire:?}"
            );
            later.begin(at("13:30:00"));
            later.end(at("13:31:00"), None);
            let last = Timer::new("p", folder.path());
            assert_eq!(last.next(&table, at("13:32:00")), Some(at("14:00:00")));
            let ended = last.last.and_then(|run| run.ended_ms);
            assert_eq!(ended, Some(at("13:31:00").timestamp_millis()));
        }
    }

    #[test]
    fn what_passes_while_a_run_goes_runs_right_after_it_or_not_at_all() {
        for (overlap, expect) in [(Overlap::Queue, "11:00:00"), (Overlap::Skip, "13:00:00")] {
            let folder = tempfile::tempdir().expect("a folder");
            let table = table(Misfire::Once, overlap);
            let mut timer = Timer::new("p", folder.path());
            timer.begin(at("10:00:00"));
            timer.end(at("12:10:00"), Some("full disk".to_owned()));
            assert_eq!(
                timer.next(&table, at("12:10:00")),
                Some(at(expect)),
                "{overlap:?}"
            );
        }
    }
}
