//! What leaves the waiting room: changes whose row is there now, and those that have waited for too long.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::Utc;

use super::join::join;
use super::references::present;
use super::{EXPIRED_MAX, GOES_MAX, HEADS_MAX, RULE, UNKNOWN_MAX, UNKNOWN_PAUSE_MS, Waits};
use crate::error::Result;
use crate::sink::{Expired, Outcome};
use crate::sql::Options;
use crate::sql::bulk::Bulk;
use crate::sql::failure::Failure;
use crate::sql::metadata::{WaitingHead, read_head, read_waiting_change};
use crate::sql::order::Order;
use crate::sql::session::SqlSession;
use crate::waiting::{Awaited, WaitingChange};

impl<C: Bulk> SqlSession<C> {
    /// Applies what waits for rows that are there now, and hands over what has waited for too long.
    ///
    /// # Errors
    /// As a write.
    pub(crate) async fn release(
        &mut self,
        options: &Options,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        if self.waiting_room.is_empty() {
            outcome.room = 0;
            return Ok(());
        }
        let now_ms = Utc::now().timestamp_millis();
        for _ in 0..GOES_MAX {
            let after = self.waiting_room.after;
            let heads = self.conflict_log.metadata.select_heads(after, HEADS_MAX);
            let heads = self.connection.query(&heads).await?;
            let heads: Vec<WaitingHead> =
                heads.into_iter().map(read_head).collect::<Result<_>>()?;
            let is_last = heads.len() < HEADS_MAX;
            self.waiting_room.after = match heads.last() {
                Some(head) if !is_last => head.id,
                _ => 0,
            };
            let ready = self.ready(&heads, now_ms).await?;
            self.release_keys(options, &ready, outcome).await?;
            let oldest_ms = now_ms - self.waiting_room.timeout_ms;
            let room = EXPIRED_MAX.saturating_sub(outcome.expired.len());
            let old: Vec<&WaitingHead> = heads
                .iter()
                .filter(|head| head.since_ms < oldest_ms)
                .filter(|head| !ready.iter().any(|ready| ready.id == head.id))
                .take(room)
                .collect();
            self.expire(&old, outcome).await?;
            if is_last {
                break;
            }
        }
        outcome.room = self.waiting_room.count.unwrap_or(0);
        Ok(())
    }

    /// The keys whose awaited row is there, or is not known and may be there.
    pub(super) async fn ready<'h>(
        &mut self,
        heads: &'h [WaitingHead],
        now_ms: i64,
    ) -> Result<Vec<&'h WaitingHead>, Failure> {
        let awaited = |head: &WaitingHead| head.awaits.as_deref().and_then(Awaited::read);
        let known: BTreeSet<Awaited> = heads.iter().filter_map(awaited).collect();
        let there = present(self, &known).await?;
        let is_unknown = |head: &&WaitingHead| head.awaits.is_none();
        let mut ready: Vec<&WaitingHead> = heads
            .iter()
            .filter(|head| match awaited(head) {
                Some(awaited) => there.contains(&awaited),
                // What it was behind is gone.
                None => !is_unknown(head),
            })
            .collect();
        if now_ms - self.waiting_room.unknown_at_ms >= UNKNOWN_PAUSE_MS {
            self.waiting_room.unknown_at_ms = now_ms;
            let unknown: Vec<&WaitingHead> = heads.iter().filter(is_unknown).collect();
            // By turns, since each costs a try.
            let from = self.waiting_room.unknown_from % unknown.len().max(1);
            self.waiting_room.unknown_from = from + UNKNOWN_MAX;
            let turns = unknown.iter().cycle().skip(from);
            ready.extend(turns.take(unknown.len().min(UNKNOWN_MAX)));
        }
        Ok(ready)
    }

    pub(super) async fn release_keys(
        &mut self,
        options: &Options,
        heads: &[&WaitingHead],
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let waiting = self.lock_waiting(heads).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let changes = waiting.iter().map(|waiting| waiting.change.as_str());
        let slices = join(changes)?;
        let order = Order::of(&slices);
        let mut keys = Vec::new();
        for slice in &slices {
            keys.push(self.keys(options, &slice.changes).await?);
        }
        let sorted = self.sort_out(options, &order, &keys).await?;
        // The row of a change says which entry it is.
        let entry = |number: usize| &waiting[order.change_index(number).1];
        let stays: HashSet<i64> = sorted
            .waiting
            .keys()
            .map(|number| entry(*number).id)
            .collect();
        let mut refused = HashSet::new();
        for (number, why) in sorted.culprits {
            let entry = entry(number);
            refused.insert(entry.id);
            outcome.expired.push(Expired {
                id: entry.id,
                change: entry.change.clone(),
                rule: why.rule,
                field: why.field,
                reason: why.reason,
            });
        }
        let done: Vec<i64> = waiting
            .iter()
            .map(|waiting| waiting.id)
            .filter(|id| !stays.contains(id) && !refused.contains(id))
            .collect();
        for (number, waits) in &sorted.waiting {
            let (of, Waits::For(awaited, _)) = (entry(*number), waits) else {
                continue;
            };
            // It needs another row, too.
            let awaits = awaited.as_ref().map(Awaited::text);
            if awaits != of.awaits {
                let update = self
                    .conflict_log
                    .metadata
                    .update_awaits(of.id, awaits.as_deref());
                self.connection.execute(&update).await?;
            }
        }
        let remove = self.conflict_log.metadata.remove_waiting(&done);
        self.execute_all(&remove).await?;
        self.waiting_room.remove(done.len());
        outcome.released += done.len() as u64;
        *outcome += &sorted.outcome;
        Ok(())
    }

    /// Everything of these keys, locked, in its order.
    pub(super) async fn lock_waiting(
        &mut self,
        heads: &[&WaitingHead],
    ) -> Result<Vec<WaitingChange>, Failure> {
        let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for head in heads {
            by_target.entry(&head.target).or_default().push(&head.key);
        }
        let mut waiting = Vec::new();
        for (target, keys) in by_target {
            let lock = self.conflict_log.metadata.lock_waiting(target, keys);
            for row in self.query_all(&lock).await? {
                waiting.push(read_waiting_change(row)?);
            }
        }
        waiting.sort_by_key(|waiting: &WaitingChange| waiting.id);
        Ok(waiting)
    }

    pub(super) async fn expire(
        &mut self,
        old: &[&WaitingHead],
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let heads: HashSet<i64> = old.iter().map(|head| head.id).collect();
        for entry in self.lock_waiting(old).await? {
            if heads.contains(&entry.id) {
                outcome.expired.push(self.expired(entry));
            }
        }
        Ok(())
    }

    pub(super) fn expired(&self, entry: WaitingChange) -> Expired {
        let waited = self.waiting_room.timeout_ms / 1_000;
        let awaited = entry.awaits.as_deref().and_then(Awaited::read);
        let reason = match awaited {
            Some(awaited) => format!("it waited {waited} s for {awaited}, which did not come"),
            None => format!("it waited {waited} s: {}", entry.reason),
        };
        Expired {
            id: entry.id,
            change: entry.change,
            rule: RULE.to_owned(),
            field: entry.field,
            reason,
        }
    }
}
