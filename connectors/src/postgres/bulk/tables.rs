//! How a table is read, evolved, prepared and forgotten.

use std::sync::Arc;

use crate::error::Error;
use crate::postgres::failure::Failure;
use crate::postgres::prepare::Prepared;
use crate::postgres::session::Session;
use crate::postgres::statement::Statements;
use crate::postgres::trigger::Remembered;
use crate::postgres::{POSTGRES, catalogue, equality};
use crate::sql::bulk::{Found, Layout, PreparedTable, Shape, Tables};
use crate::sql::catalogue::{Action, TargetTable, statement};
use crate::sql::equality::Equality;
use crate::sql::target::Target;

impl Found for catalogue::Found {
    fn table(&self) -> &TargetTable {
        &self.table
    }

    fn is_domain(&self, column: &str) -> bool {
        self.is_domain(column)
    }
}

impl Tables for Session {
    type Found = catalogue::Found;

    type Table = Prepared;

    const PREPARES_INSIDE: bool = false;

    const PREPARED_MAX: usize = 2_048;

    async fn read(&mut self, target: &Target) -> Result<Option<catalogue::Found>, Failure> {
        catalogue::read(&mut self.connection, target).await
    }

    fn evolution(
        &self,
        target: &Target,
        _: Option<&catalogue::Found>,
        action: Action,
    ) -> Result<String, Error> {
        statement(&POSTGRES, &target.quoted(&POSTGRES)?, &action)
    }

    async fn compile(&mut self, shape: &Shape<'_, catalogue::Found>) -> Result<Prepared, Failure> {
        let prepared = Prepared::build(shape, self.next_stage())?;
        if let Some((identity, policy)) = &self.remembers
            && let Some(table) = Remembered::of_prepared(identity, policy, &prepared)
        {
            table.ensure(&mut self.connection).await?;
        }
        Ok(prepared)
    }

    async fn forget(&mut self, tables: Vec<Arc<Prepared>>) -> Result<(), Failure> {
        let stages = tables
            .iter()
            .flat_map(|table| [table.stage.as_str(), table.probe.as_str()]);
        let stages: Vec<&str> = stages.collect();
        self.drop_stages(&stages).await
    }

    async fn normal_texts(
        &mut self,
        table: &Arc<Prepared>,
        place: usize,
        texts: &[String],
    ) -> Result<Vec<String>, Failure> {
        let column = &table.columns[place];
        let name = table.schema.field(column.index).name();
        let asked = format!("column {name:?} of table {:?}", table.name);
        equality::ask(
            &mut self.connection,
            &column.sql_type,
            &column.kind,
            texts,
            &asked,
        )
        .await
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
