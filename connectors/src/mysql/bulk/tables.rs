//! How a table is read, evolved, prepared and forgotten.

use std::sync::Arc;

use crate::error::Error;
use crate::mysql::failure::Failure;
use crate::mysql::prepare::{Prepared, evolution};
use crate::mysql::session::Session;
use crate::mysql::statement::Statements;
use crate::mysql::{catalogue, equality};
use crate::sql::bulk::{Found, Layout, PreparedTable, Shape, Tables};
use crate::sql::catalogue::{Action, TargetTable};
use crate::sql::equality::Equality;
use crate::sql::target::Target;

impl Found for catalogue::Found {
    fn table(&self) -> &TargetTable {
        &self.table
    }

    fn is_domain(&self, _: &str) -> bool {
        false
    }
}

impl Tables for Session {
    type Found = catalogue::Found;

    type Table = Prepared;

    const PREPARES_INSIDE: bool = false;

    // Each has a staging table in the server.
    const PREPARED_MAX: usize = 512;

    async fn read(&mut self, target: &Target) -> Result<Option<catalogue::Found>, Failure> {
        catalogue::read(&mut self.connection, &self.server, target).await
    }

    fn evolution(
        &self,
        target: &Target,
        found: Option<&catalogue::Found>,
        action: Action,
    ) -> Result<String, Error> {
        evolution(&self.server, target, found, action)
    }

    async fn compile(&mut self, shape: &Shape<'_, catalogue::Found>) -> Result<Prepared, Failure> {
        let prepared = Prepared::build(shape, self.next_stage())?;
        self.execute(&prepared.create_stage()).await?;
        Ok(prepared)
    }

    async fn forget(&mut self, tables: Vec<Arc<Prepared>>) -> Result<(), Failure> {
        let stages: Vec<&str> = tables.iter().map(|table| table.stage.as_str()).collect();
        if stages.is_empty() {
            return Ok(());
        }
        for stage in &stages {
            self.filled.remove(*stage);
        }
        self.execute(&format!("DROP TEMPORARY TABLE {}", stages.join(", ")))
            .await
    }

    async fn normal_texts(
        &mut self,
        table: &Arc<Prepared>,
        place: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        equality::ask(self, table.columns[place].collation.as_ref(), texts).await
    }
}

impl PreparedTable for Prepared {
    fn layout(&self) -> Layout<'_> {
        Layout {
            name: &self.name,
            indices: self.columns.iter().map(|column| column.index).collect(),
            placed: &self.placed,
            placed_key: &self.placed_key,
            version: self.version.as_ref().map(|version| version.column),
            left_out: &self.left_out,
            resolver: &self.resolver,
        }
    }

    fn equality(&self, place: usize) -> Equality {
        self.columns[place].equality
    }

    fn refers_to(&self, other: &Self) -> bool {
        self.oid != other.oid && self.references.contains(&other.oid)
    }

    fn truncate(&self) -> String {
        Statements::truncate(self)
    }
}
