//! `[schedule]`: when a pipeline runs that does not run all the time.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::CronParser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Runs the pipeline at these times. A run ends where its sources ended when it began.
///
/// ```toml
/// [schedule]
/// cron     = "0 3 * * *"        # every night at three
/// timezone = "Europe/Paris"
/// misfire  = "once"
/// overlap  = "skip"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week; with six fields the first is the second.
    #[schemars(length(min = 1))]
    pub cron: String,
    /// The time zone of these times, by its IANA name. A time that the clock skips in spring runs right after
    /// it, one that comes twice in autumn runs once.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What becomes of times that passed while the process was down.
    #[serde(default)]
    pub misfire: Misfire,
    /// What becomes of times that pass while a run is going.
    #[serde(default)]
    pub overlap: Overlap,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What becomes of times that passed while the process was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// One run at once, however many times passed.
    #[default]
    Once,
    /// Nothing: the next time is the next run.
    Skip,
}

/// What becomes of times that pass while a run is going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing: the next time is the next run.
    #[default]
    Skip,
    /// One run right after it, however many times passed.
    Queue,
}

/// A schedule, understood.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// What the user wrote.
    pub settings: Schedule,
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// Understands the settings.
    ///
    /// # Errors
    /// What is wrong; paths begin at the schedule's own table.
    pub fn timetable(&self) -> Result<Timetable, Vec<Problem>> {
        let cron = CronParser::new().parse(&self.cron);
        let zone = self.timezone.parse::<Tz>();
        match (cron, zone) {
            (Ok(cron), Ok(zone)) => Ok(Timetable {
                settings: self.clone(),
                cron,
                zone,
            }),
            (cron, zone) => {
                let cron = cron.err().map(|error| {
                    let help = "write minute, hour, day of the month, month, day of the week: \
                                \"0 3 * * *\" is every night at three";
                    Problem::new(&["cron"], format!("not a schedule: {error}")).help(help)
                });
                let zone = zone.err().map(|_| {
                    let help = "write a name of the IANA database: \"Europe/Paris\", \"UTC\"";
                    let message = format!("unknown time zone {:?}", self.timezone);
                    Problem::new(&["timezone"], message).help(help)
                });
                Err(cron.into_iter().chain(zone).collect())
            }
        }
    }
}

impl Timetable {
    /// The first time after `after`; `None` where there is none in the next years.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = after.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false).ok()?;
        Some(next.with_timezone(&Utc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
        }
    }

    /// The times after `after`, in UTC.
    fn times(cron: &str, timezone: &str, after: &str, count: usize) -> Vec<String> {
        let timetable = schedule(cron, timezone).timetable().expect("it is right");
        let mut at: DateTime<Utc> = after.parse().expect("a time");
        let mut times = Vec::new();
        for _ in 0..count {
            at = timetable.next(at).expect("there is a next time");
            times.push(at.format("%m-%dT%H:%M").to_string());
        }
        times
    }

    #[test]
    fn a_day_has_one_run_whatever_the_clock_does() {
        // In Paris the clock goes from 02:00 to 03:00 on 29 March 2026, and from 03:00 to 02:00 on 25 October.
        let spring = times("30 2 * * *", "Europe/Paris", "2026-03-28T00:00:00Z", 3);
        assert_eq!(spring, ["03-28T01:30", "03-29T01:00", "03-30T00:30"]);
        let autumn = times("30 2 * * *", "Europe/Paris", "2026-10-24T00:00:00Z", 3);
        assert_eq!(autumn, ["10-24T00:30", "10-25T00:30", "10-26T01:30"]);
        let utc = times("0 0 * * 1", "UTC", "2026-10-24T00:00:00Z", 2);
        assert_eq!(utc, ["10-26T00:00", "11-02T00:00"]);
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let wrong = schedule("0 25 * * *", "Europe/Pariss").timetable();
        let wrong = wrong.expect_err("both are wrong");
        let paths: Vec<_> = wrong.iter().map(|problem| problem.path.join(".")).collect();
        assert_eq!(paths, ["cron", "timezone"]);
        assert!(wrong.iter().all(|problem| problem.help.is_some()));
    }
}
