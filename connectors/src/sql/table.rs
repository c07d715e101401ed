//! The prepared tables of a session: evolution of the target, once for every database, and what is
//! worked out once for a table and a schema and not once a write.
//!
//! Evolution runs under a lock that all Syncline sessions of the database share. Nothing is dropped; a
//! replay of an older schema changes nothing (R15).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::change::Changes;
use crate::error::{Error, Result};
use crate::sql::Options;
use crate::sql::bulk::{Found, Shape, Tables};
use crate::sql::catalogue::{Action, Plan, Wanted, plan};
use crate::sql::decide::takes_resolver;
use crate::sql::failure::Failure;
use crate::sql::prepared::Entry;
use crate::sql::session::SqlSession;
use crate::sql::target::Target;
use crate::sql::undeclared::{Lent, Undeclared};

impl<C: Tables> SqlSession<C> {
    /// The prepared form of the target of `changes`: from before, or made now, in which case the target
    /// is evolved for them.
    ///
    /// # Errors
    /// `Configuration` where the policy does not allow what it takes.
    pub(crate) async fn prepare(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
        key: &[usize],
    ) -> Result<Arc<C::Table>, Failure> {
        let schema = changes.schema();
        self.look_at_revision().await?;
        if let Some(known) = self.tables.known(target, &schema, key) {
            return Ok(known.clone());
        }
        let names: Vec<String> = key
            .iter()
            .map(|&column| schema.field(column).name().clone())
            .collect();
        let name = target.to_string();
        let wanted = Wanted {
            target: &name,
            schema: &schema,
            key: &names,
            soft_delete_column: options.mark(),
            case: options.case,
            kinds: &[],
        };
        let (found, plan) = self.evolve(options, target, &wanted).await?;
        let left_out = plan.left_out.iter();
        let left_out = left_out.map(|&index| schema.field(index).name().as_str());
        self.tables.lender.warn_left_out(&name, left_out);
        if self.tables.count >= C::PREPARED_MAX {
            let unused = self.tables.take_unused();
            self.connection.forget(unused).await?;
        }
        let shape = Shape {
            options,
            target,
            schema: &schema,
            key,
            found: &found,
            plan: &plan,
        };
        let table = Arc::new(self.connection.compile(&shape).await?);
        self.tables.count += 1;
        let entries = self.tables.by_target.entry(target.clone()).or_default();
        entries.push(Entry {
            schema,
            key: key.to_vec(),
            table: table.clone(),
            found: found.table().clone(),
        });
        Ok(table)
    }

    /// Whether one of these targets is no longer what it was when it was prepared last.
    ///
    /// # Errors
    /// As [`Connection::describe`](crate::sql::connection::Connection::describe).
    pub(crate) async fn is_outdated(
        &mut self,
        targets: &BTreeSet<Target>,
    ) -> Result<bool, Failure> {
        for target in targets {
            let Some(known) = self
                .tables
                .by_target
                .get(target)
                .and_then(|entries| entries.last())
            else {
                continue;
            };
            if self.connection.describe(target).await?.as_ref() != Some(&known.found) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The changes with the target's types for columns that no schema declares; evolves the target for
    /// them. `None` where all of them truncate a table that does not exist.
    ///
    /// # Errors
    /// As [`SqlSession::prepare`].
    pub(crate) async fn lend(
        &mut self,
        options: &Options,
        target: &Target,
        changes: &Changes,
    ) -> Result<Option<Lent>, Failure> {
        let Some(given) = Undeclared::of(options, changes)? else {
            return Ok(Some(Lent::declared(changes)));
        };
        let rejected = given.keyless();
        if !rejected.is_empty() {
            return Ok(Some(Lent::refused(changes, rejected)));
        }
        self.look_at_revision().await?;
        if given.is_rowless() && self.connection.read(target).await?.is_none() {
            return Ok(None);
        }
        let name = target.to_string();
        let schema = given.changes().schema();
        let wanted = given.wanted(&name, &schema, options);
        let known = self
            .tables
            .lender
            .known(C::DIALECT, target, &wanted, options);
        let (table, planned) = match known {
            Some(known) => known,
            None => {
                let found = self.connection.read(target).await?;
                let table = found.as_ref().map(Found::table);
                let refused = given.refused(C::DIALECT, options, &name, table)?;
                if !refused.is_empty() {
                    return Ok(Some(Lent::refused(changes, refused)));
                }
                let (found, planned) = self.evolve(options, target, &wanted).await?;
                let table = self.tables.lender.remember(target, found.table());
                (table, planned)
            }
        };
        let whole = takes_resolver(options, changes, self.conflict_log.may_wait)?;
        let lent = given.lend(C::DIALECT, options, &table, &planned, whole)?;
        let left_out = lent.left_out_columns.iter().map(String::as_str);
        self.tables.lender.warn_left_out(&name, left_out);
        Ok(Some(lent))
    }

    /// Forgets what was prepared where somebody changed the schema since. Asks once a write: where tables
    /// are prepared inside its transaction, nobody else changes them meanwhile.
    async fn look_at_revision(&mut self) -> Result<(), Failure> {
        if self.tables.looked_at {
            return Ok(());
        }
        self.tables.looked_at = true;
        let revision = self.connection.revision().await?;
        if revision != self.tables.revision {
            self.tables.clear();
            self.tables.revision = revision;
        }
        Ok(())
    }

    /// Brings the target to what the changes need, as far as the policy allows.
    async fn evolve(
        &mut self,
        options: &Options,
        target: &Target,
        wanted: &Wanted<'_>,
    ) -> Result<(C::Found, Plan), Failure> {
        let look = |found: &Option<C::Found>| {
            let table = found.as_ref().map(Found::table);
            let mut planned = plan(C::DIALECT, wanted, table, options.evolution)?;
            // A domain is a range that somebody chose: what is outside of it is refused.
            planned.actions.retain(|action| match (action, found) {
                (Action::Widen { column, .. }, Some(found)) => !found.is_domain(column),
                _ => true,
            });
            Ok::<Plan, Error>(planned)
        };
        let found = self.connection.read(target).await?;
        let planned = look(&found)?;
        if let (Some(found), true) = (found, planned.actions.is_empty()) {
            return Ok((found, planned));
        }
        // Another session may be doing the same: look again under the lock.
        self.connection.lock_schema().await?;
        let found = self.connection.read(target).await?;
        for action in look(&found)?.actions {
            let sql = self.connection.evolution(target, found.as_ref(), action)?;
            self.connection.execute(&sql).await?;
            tracing::info!(table = wanted.target, "changed the schema: {sql}");
        }
        self.connection.unlock_schema().await?;
        let found = self.connection.read(target).await?;
        let planned = look(&found)?;
        self.tables.looked_at = false;
        self.look_at_revision().await?;
        let found = found.ok_or_else(|| {
            Error::configuration(format!(
                "table {:?} was dropped while it was evolved",
                wanted.target
            ))
        })?;
        Ok((found, planned))
    }
}
