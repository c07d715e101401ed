//! The tables of positions, targets and tombstones: made where they are not there, and given the
//! columns that an older version did not have.

use super::{Execute, text};
use crate::sql::identifier::{Dialect, literal};
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
    let tables = [POSITIONS_TABLE, TARGETS_TABLE, TOMBSTONES_TABLE].map(literal);
    let column = literal("incarnation");
    let sql = match E::DIALECT {
        Dialect::Postgres => format!(
            "SELECT (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass({0}) AND attname = {column} AND NOT attisdropped)::text, \
             num_nonnulls(to_regclass({0}))::text, num_nonnulls(to_regclass({1}))::text, num_nonnulls(to_regclass({2}))::text",
            tables[0], tables[1], tables[2]
        ),
        Dialect::Sqlite => {
            let has = |table: &str| {
                format!("CAST((SELECT count(*) FROM sqlite_master WHERE name = {table}) AS text)")
            };
            format!(
                "SELECT CAST((SELECT count(*) FROM pragma_table_info({}) WHERE name = {column}) AS text), {}, {}, {}",
                tables[0],
                has(&tables[0]),
                has(&tables[1]),
                has(&tables[2])
            )
        }
        Dialect::Mysql => {
            let has = |table: &str, more: &str| {
                let (from, more) = match more {
                    "" => ("TABLES", String::new()),
                    column => ("COLUMNS", format!(" AND COLUMN_NAME = {column}")),
                };
                format!(
                    "CAST((SELECT COUNT(*) FROM information_schema.{from} WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {table}{more}) AS char)"
                )
            };
            format!(
                "SELECT {}, {}, {}, {}",
                has(&tables[0], &column),
                has(&tables[0], ""),
                has(&tables[1], ""),
                has(&tables[2], "")
            )
        }
    };
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
    if E::DIALECT == Dialect::Postgres {
        // One message, so that no transaction is left open.
        let alter = format!(
            "ALTER TABLE {POSITIONS_TABLE} ADD COLUMN IF NOT EXISTS incarnation {}",
            incarnation_type(E::DIALECT)
        );
        let mut sql = format!("BEGIN; SELECT pg_advisory_xact_lock({POSTGRES_DDL_LOCK}); ");
        for statement in statements(E::DIALECT, tombstones).chain([alter]) {
            sql.push_str(&format!("{statement}; "));
        }
        sql.push_str("COMMIT");
        return connection.execute(&sql).await.map(drop);
    }
    begin(connection).await?;
    // Another session may have been faster.
    let missing = missing(connection).await?;
    let mut statements: Vec<String> = statements(E::DIALECT, tombstones).collect();
    if missing.incarnation {
        let kind = incarnation_type(E::DIALECT);
        statements.push(format!(
            "ALTER TABLE {POSITIONS_TABLE} ADD COLUMN incarnation {kind} NULL"
        ));
    }
    let mut sql = statements.join("; ");
    if E::DIALECT == Dialect::Mysql {
        sql = sql.replace(COLLATION, collation(connection).await?);
    }
    connection.execute(&sql).await?;
    end(connection).await
}

fn statements(dialect: Dialect, tombstones: bool) -> impl Iterator<Item = String> {
    let tables = tables(dialect, tombstones).into_iter();
    tables.map(|(_, create)| create)
}

/// Serialises sessions that create or alter tables at the same time.
pub(crate) const POSTGRES_DDL_LOCK: i64 = 0x5379_6e63_6c69_6e65;

/// The same for sessions of a MySQL server.
pub(crate) const MYSQL_DDL_LOCK: &str = "syncline_ddl";

/// How long a session of MySQL waits for it, in seconds.
pub(crate) const MYSQL_DDL_LOCK_SECONDS: u32 = 60;

async fn begin<E: Execute>(connection: &mut E) -> Result<(), E::Failure> {
    match E::DIALECT {
        Dialect::Postgres => {}
        Dialect::Sqlite => {
            connection.execute("BEGIN IMMEDIATE").await?;
        }
        Dialect::Mysql => {
            let sql = format!(
                "SELECT CAST(COALESCE(GET_LOCK('{MYSQL_DDL_LOCK}', {MYSQL_DDL_LOCK_SECONDS}), 0) AS char)"
            );
            let rows = connection.rows(&sql).await?;
            if rows.first().map(|row| text(row, 0)).transpose()? != Some("1") {
                return Err(busy().into());
            }
        }
    }
    Ok(())
}

async fn end<E: Execute>(connection: &mut E) -> Result<(), E::Failure> {
    match E::DIALECT {
        Dialect::Postgres => {}
        Dialect::Sqlite => {
            connection.execute("COMMIT").await?;
        }
        Dialect::Mysql => {
            let sql = format!("SELECT CAST(RELEASE_LOCK('{MYSQL_DDL_LOCK}') AS char)");
            connection.rows(&sql).await?;
        }
    }
    Ok(())
}

/// Another session changes tables for too long.
pub(crate) fn busy() -> crate::error::Error {
    crate::error::Error::Unavailable {
        message: format!(
            "another session changes tables for longer than {MYSQL_DDL_LOCK_SECONDS} s: try again"
        ),
        cause: None,
    }
}

/// Stands for a collation under which two texts are equal only where their bytes are.
const COLLATION: &str = "{collation}";

async fn collation<E: Execute>(connection: &mut E) -> Result<&'static str, E::Failure> {
    let rows = connection.rows("SELECT CAST(VERSION() AS char)").await?;
    let version = rows.first().map(|row| text(row, 0)).transpose()?;
    let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
    Ok(if is_mariadb {
        "utf8mb4_nopad_bin"
    } else {
        "utf8mb4_0900_bin"
    })
}

fn incarnation_type(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "text",
        Dialect::Sqlite => "TEXT",
        Dialect::Mysql => "varchar(200)",
    }
}

/// The tables with the statements that make them. An index of MySQL takes 3,072 bytes, which bounds the
/// names there.
fn tables(dialect: Dialect, tombstones: bool) -> Vec<(&'static str, String)> {
    let incarnation = incarnation_type(dialect);
    let mut tables = match dialect {
        Dialect::Postgres => vec![
            (
                POSITIONS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline text, sink text, source text, topic text, \
                     partition integer, position bigint NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), \
                     incarnation {incarnation}, \
                     PRIMARY KEY (pipeline, sink, source, topic, partition)) WITH (fillfactor = 50)"
                ),
            ),
            (
                TARGETS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TARGETS_TABLE} (pipeline text, sink text, table_schema text, \
                     table_name text, setting text NOT NULL, held_rows integer NOT NULL, \
                     PRIMARY KEY (pipeline, sink, table_schema, table_name))"
                ),
            ),
            (
                TOMBSTONES_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline text, sink text, target text, \
                     key text, instant timestamptz, number numeric, PRIMARY KEY (pipeline, sink, target, key))"
                ),
            ),
        ],
        Dialect::Sqlite => vec![
            (
                POSITIONS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline TEXT, sink TEXT, source TEXT, topic TEXT, \
                     partition INTEGER, position INTEGER NOT NULL, updated_at TEXT NOT NULL, \
                     incarnation {incarnation}, \
                     PRIMARY KEY (pipeline, sink, source, topic, partition)) WITHOUT ROWID"
                ),
            ),
            (
                TARGETS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TARGETS_TABLE} (pipeline TEXT, sink TEXT, table_schema TEXT, \
                     table_name TEXT, setting TEXT NOT NULL, held_rows INTEGER NOT NULL, \
                     PRIMARY KEY (pipeline, sink, table_schema, table_name)) WITHOUT ROWID"
                ),
            ),
            (
                TOMBSTONES_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline TEXT, sink TEXT, target TEXT, key TEXT, \
                     version, PRIMARY KEY (pipeline, sink, target, key)) WITHOUT ROWID"
                ),
            ),
        ],
        Dialect::Mysql => vec![
            (
                POSITIONS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (pipeline varchar(120) NOT NULL, sink varchar(120) NOT NULL, \
                     source varchar(120) NOT NULL, topic varchar(400) NOT NULL, `partition` int NOT NULL, \
                     position bigint NOT NULL, updated_at datetime(6) NOT NULL, incarnation {incarnation} NULL, \
                     PRIMARY KEY (pipeline, sink, source, topic, `partition`)) ENGINE = InnoDB COLLATE {COLLATION}"
                ),
            ),
            (
                TARGETS_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TARGETS_TABLE} (pipeline varchar(120) NOT NULL, sink varchar(120) NOT NULL, \
                     table_schema varchar(64) NOT NULL, table_name varchar(64) NOT NULL, setting varchar(1000) NOT NULL, \
                     held_rows int NOT NULL, \
                     PRIMARY KEY (pipeline, sink, table_schema, table_name)) ENGINE = InnoDB COLLATE {COLLATION}"
                ),
            ),
            (
                TOMBSTONES_TABLE,
                format!(
                    "CREATE TABLE IF NOT EXISTS {TOMBSTONES_TABLE} (pipeline varchar(120) NOT NULL, \
                     sink varchar(120) NOT NULL, target varchar(140) NOT NULL, key_hash binary(32) NOT NULL, \
                     instant datetime(6) NULL, number decimal(65,30) NULL, \
                     PRIMARY KEY (pipeline, sink, target, key_hash)) ENGINE = InnoDB COLLATE {COLLATION}"
                ),
            ),
        ],
    };
    if !tombstones {
        tables.retain(|(name, _)| *name != TOMBSTONES_TABLE);
    }
    tables
}
