//! Changes that wait in the target for other rows (R21): lets the sink look at them, and takes those that
//! waited in vain.

use std::time::Duration;

use syncline_connectors::conflict::read_change;
use syncline_connectors::error::Result;
use syncline_connectors::sink::{Outcome, Write};

use super::Writer;
use crate::quarantine::{Entry, Verdict};
use crate::run::account::Tally;
use crate::run::quarantine_writer;

impl Writer {
    /// Lets the sink look whether a change that waits for another row can be written now.
    pub(super) async fn release(&mut self) -> Result<()> {
        if self.held.is_some() || self.fenced {
            return Ok(());
        }
        let outcome = self.sink.write(&Write::default()).await?;
        let nothing = Tally::default();
        self.account.finish(&nothing, &outcome, 0, Duration::ZERO);
        self.expire(outcome).await
    }

    /// Puts changes that waited in vain into the quarantine, and then lets the sink forget them.
    pub(super) async fn expire(&mut self, mut outcome: Outcome) -> Result<()> {
        if self.room.unwrap_or(0) == 0 && outcome.room > 0 {
            tracing::warn!(
                sink = &*self.name,
                count = outcome.room,
                "changes wait for rows that foreign keys need: `syncline waiting list` shows which"
            );
        }
        self.room = Some(outcome.room);
        while !outcome.expired.is_empty() {
            let mut entries = Vec::with_capacity(outcome.expired.len());
            for expired in &outcome.expired {
                let change = read_change(&expired.change)?;
                let verdict = Verdict {
                    pipeline: &self.pipeline,
                    stage: &self.name,
                    rule: &expired.rule,
                    field: expired.field.as_deref(),
                    reason: &expired.reason,
                };
                entries.push(Entry::new(&change.records, 0, &verdict));
            }
            quarantine_writer::append(&self.quarantine, &entries, &self.status).await?;
            let write = Write {
                taken: outcome.expired.iter().map(|expired| expired.id).collect(),
                ..Write::default()
            };
            outcome = self.sink.write(&write).await?;
            self.refusals.keep(&entries);
            self.account.expire(outcome.taken);
            let nothing = Tally::default();
            self.account.finish(&nothing, &outcome, 0, Duration::ZERO);
            self.room = Some(outcome.room);
        }
        Ok(())
    }
}
