//! What the next run of a pipeline goes on with: counters never fall while the process lives.
//!
//! A sink that keeps its name keeps its counts, also in another file and after a run that did not end in time.
//! Tasks that such a run left behind hold the parts of the run before, which nobody reads any more: they
//! cannot spoil what the next run says of itself.

use std::sync::Arc;

use super::Running;
use super::measures::Measures;
use crate::plan::Plan;

impl Running {
    /// Of the next plan of the same pipeline.
    #[must_use]
    pub fn succeeded_by(&self, plan: &Plan) -> Self {
        let mut next = Self::new(plan);
        for (name, account) in &mut next.accounts {
            if let Some((_, mine)) = self.accounts.iter().find(|(known, _)| known == name) {
                *account = Arc::new(mine.succeed());
            }
        }
        let mut measures = Measures::new(
            plan.sources.iter().map(|source| source.name.as_str()),
            plan.sink_names(),
        );
        measures.go_on_from(&self.measures);
        next.measures = Arc::new(measures);
        next.refusals = Arc::new(self.refusals.succeed(plan.quarantine.stop_after()));
        next.status = Arc::new(self.status.succeed());
        next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use syncline_connectors::sink::Outcome;

    use super::*;
    use crate::config::load_text;
    use crate::run::account::Tally;
    use crate::run::status::Phase;

    fn plan(sinks: &[&str]) -> Plan {
        let mut text =
            "[sources.crm]\ntype = \"file\"\npath = \"in.jsonl\"\nformat = \"json\"\n".to_owned();
        for sink in sinks {
            text.push_str(&format!(
                "[sinks.{sink}]\ntype = \"blackhole\"\ninputs = [\"crm\"]\n"
            ));
        }
        Plan::new(&load_text("p.toml", text, &|_| None).expect("it is a pipeline"))
    }

    #[test]
    fn what_was_counted_stays_with_the_sink_of_the_same_name() {
        let before = Running::new(&plan(&["one", "other"]));
        let three = Tally {
            entered: 3,
            ..Tally::default()
        };
        let outcome = Outcome {
            written: 2,
            ..Outcome::default()
        };
        let account = before.account("one");
        account.enter(&three);
        account.finish(&three, &outcome, 0, Duration::ZERO);
        before.measures.sink("one").failed();
        before.status.enter(Phase::Failed("no disk".to_owned()));

        let next = before.succeeded_by(&plan(&["new", "one"]));
        // A task of the run before reports late.
        before.status.enter(Phase::Stopped);
        account.finish(&Tally::default(), &outcome, 0, Duration::ZERO);
        let balance = next.account("one").balance();
        assert_eq!(
            (balance.entered, balance.written, balance.in_flight),
            (2, 2, 0)
        );
        assert_eq!(next.account("new").balance().entered, 0);
        assert_eq!(next.measures.sink("one").retries(), 1);
        assert_eq!(next.status.failures(), 1);
        assert_eq!(next.status.state().name(), "starting");
    }
}
