//! The tables of positions, targets and tombstones: made where they are not there, and given the
//! columns that an older version did not have.

use super::{Execute, text};
use crate::sql::{POSITIONS_TABLE, TARGETS_TABLE, TOMBSTONES_TABLE};

/// What is missing in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Missing {
    pub(super) positions: bool,
    /// The table of positions is that of an older version.
    pub(super) incarnation: bool,
    pub(super) targets: bool,
    tombstones: bool,
}

impl Missing {
    fn any(self, tombstones: bool) -> bool {
        self.positions || self.incarnation || self.targets || (tombstones && self.tombstones)
    }
}

/// Looks what is there.
pub(super) async fn missing<E: Execute>(connection: &mut E) -> Result<Missing, E::Failure> {
    let count = |table| (E::DIALECT.count_of_table)(None, table);
    let sql = format!(
        "SELECT {}, {}, {}, {}",
        (E::DIALECT.count_of_column)(POSITIONS_TABLE, "incarnation"),
        count(POSITIONS_TABLE)?,
        count(TARGETS_TABLE)?,
        count(TOMBSTONES_TABLE)?
    );
    let rows = connection.rows(&sql).await?;
    let row = rows.first().cloned().unwrap_or_default();
    let absent = |column: usize| text(&row, column).map(|count| count == "0");
    let positions = absent(1)?;
    Ok(Missing {
        positions,
        incarnation: !positions && absent(0)?,
        targets: absent(2)?,
        tombstones: absent(3)?,
    })
}

/// Makes what is not there. One session at a time changes the schema.
pub(crate) async fn create_tables<E: Execute>(
    connection: &mut E,
    tombstones: bool,
) -> Result<(), E::Failure> {
    if !missing(connection).await?.any(tombstones) {
        return Ok(());
    }
    connection.begin_schema_change().await?;
    let created = create(connection, tombstones).await;
    connection.end_schema_change(created.is_ok()).await?;
    created
}

async fn create<E: Execute>(connection: &mut E, tombstones: bool) -> Result<(), E::Failure> {
    // Another session may have been faster.
    let missing = missing(connection).await?;
    let own = &E::DIALECT.own_tables;
    let [positions, targets, deleted] = (own.positions)();
    let mut statements = vec![positions, targets];
    if tombstones {
        statements.push(deleted);
    }
    if missing.incarnation {
        statements.push(format!(
            "ALTER TABLE {POSITIONS_TABLE} ADD COLUMN incarnation {} NULL",
            own.incarnation
        ));
    }
    connection.execute(&statements.join("; ")).await.map(drop)
}
