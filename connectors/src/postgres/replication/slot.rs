//! What the database has to have: the tables, a publication of them, and a slot. Made where they are not
//! there, and looked at before every start, so that nothing is skipped in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use pgwire_replication::Lsn;

use super::ReplicationSettings;
use crate::error::{Error, Result};
use crate::postgres::POSTGRES;
use crate::postgres::failure::Failure;
use crate::postgres::session::Session;
use crate::sql::identifier::{literal, quote};
use crate::sql::source::ReadOptions;
use crate::sql::target::Target;

/// How often it is looked whether older transactions have ended.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// What a publication says once the first reading is over, for sinks that keep no positions.
const READ_MARK: &str = "syncline: tables were read for slot ";

/// A table that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) schema: String,
    pub(super) name: String,
    /// The columns that tell its rows apart.
    pub(super) key: Vec<String>,
}

/// By `schema.name`.
pub(super) type Tables = BTreeMap<String, Followed>;

/// A slot as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Up to where the server knows that everything is done.
    pub(super) confirmed: Lsn,
}

/// The tables that the settings name, each checked: it can be followed, and following it does not make its
/// writers fail.
///
/// # Errors
/// `Configuration` with the remedy.
pub(super) async fn tables(
    session: &mut Session,
    options: &ReadOptions,
) -> Result<Tables, Failure> {
    let level = one(session, "SHOW wal_level").await?;
    if level != "logical" {
        return Err(Failure::Error(Error::configuration(format!(
            "wal_level of the database is {level}, and its changes can be followed only with wal_level = logical: set it in postgresql.conf and restart the server, or read with mode = \"cursor\""
        ))));
    }
    // Of each table: its identity's columns, and those of its primary key.
    let sql = "SELECT n.nspname::text, c.relname::text, c.relreplident::text, \
               (SELECT array_to_json(array_agg(a.attname ORDER BY k.place))::text FROM pg_index AS i \
                CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
                JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts), \
               (SELECT array_to_json(array_agg(a.attname))::text FROM pg_index AS i \
                CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
                JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                WHERE i.indrelid = c.oid AND k.place <= i.indnkeyatts \
                AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END), \
               (n.nspname = ANY (current_schemas(false)))::text, c.relpersistence::text \
               FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
               AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2";
    let all = session.query(sql).await?;
    let mut found = Tables::new();
    for wanted in &options.tables {
        let before = found.len();
        let is_pattern = wanted.contains(['*', '?', '[']);
        let pattern = glob::Pattern::new(wanted).map_err(|cause| {
            Error::configuration_from(format!("tables: {wanted:?} is no pattern"), cause)
        })?;
        let mut known = false;
        for row in &all {
            let text = |column: usize| row[column].clone().unwrap_or_default();
            let (schema, name) = (text(0), text(1));
            let full = format!("{schema}.{name}");
            let is_visible = text(5) == "true";
            let is_named = match is_pattern {
                // Syncline's own tables are named, never meant by a pattern.
                true => {
                    !name.starts_with("_syncline")
                        && (pattern.matches(&full) || (is_visible && pattern.matches(&name)))
                }
                false => *wanted == full || (is_visible && *wanted == name),
            };
            if !is_named {
                continue;
            }
            known = true;
            let followed = follow(&full, (schema, name), row, options)?;
            found.insert(full, followed);
        }
        if !known && found.len() == before {
            return Err(Failure::Error(Error::configuration(match is_pattern {
                true => format!("no table fits {wanted:?}: correct tables = […], or create one"),
                false => format!(
                    "table {wanted:?} does not exist, or is no table: the log tells changes of tables only; correct tables = […]"
                ),
            })));
        }
    }
    Ok(found)
}

/// A table by its row of the catalogue.
fn follow(
    full: &str,
    (schema, name): (String, String),
    row: &[Option<String>],
    options: &ReadOptions,
) -> Result<Followed, Failure> {
    let names = |column: usize| -> Vec<String> {
        let text = row[column].as_deref().unwrap_or("[]");
        serde_json::from_str(text).unwrap_or_default()
    };
    let (identity_kind, primary, identity) =
        (row[2].clone().unwrap_or_default(), names(3), names(4));
    let refuse = |message: String| Err(Failure::Error(Error::configuration(message)));
    if row[6].as_deref() == Some("u") {
        return refuse(format!(
            "table {full} is unlogged, so its changes are in no log: ALTER TABLE {full} SET LOGGED, or leave it out of tables = […]"
        ));
    }
    let whole = identity_kind == "f";
    if !whole && identity.is_empty() {
        return refuse(format!(
            "table {full} has no replica identity: once it is published, its own updates and deletes would fail. Give it a primary key, or ALTER TABLE {full} REPLICA IDENTITY FULL, or leave it out of tables = […]"
        ));
    }
    let key = options.key.clone().unwrap_or(primary);
    if key.is_empty() {
        return refuse(format!(
            "nothing says which columns of {full} tell its rows apart: write key = [\"…\"] in the source, or give the table a primary key"
        ));
    }
    if let Some(column) = key
        .iter()
        .find(|&column| !whole && !identity.contains(column))
    {
        return refuse(format!(
            "a delete in {full} does not say column {column:?} of the key, which is not in its replica identity ({}): ALTER TABLE {full} REPLICA IDENTITY FULL, or take another key",
            identity.join(", ")
        ));
    }
    Ok(Followed { schema, name, key })
}

/// Publishes the tables that are not published yet; whether a publication that was there got more.
///
/// # Errors
/// `Configuration` where the user may not, with the statement that somebody who may has to run.
pub(super) async fn publish(
    session: &mut Session,
    settings: &ReplicationSettings,
    tables: &Tables,
) -> Result<bool, Failure> {
    let name = literal(&settings.publication);
    let exists = format!("SELECT puballtables::text FROM pg_publication WHERE pubname = {name}");
    let quoted = quote(&POSTGRES, &settings.publication)?;
    let list = |wanted: &[&Followed]| -> Result<String> {
        let names = wanted.iter().map(|table| {
            let target = Target {
                schema: Some(table.schema.clone()),
                name: table.name.clone(),
            };
            target.quoted(&POSTGRES)
        });
        Ok(names.collect::<Result<Vec<_>>>()?.join(", "))
    };
    let found = session.query(&exists).await?;
    let Some(row) = found.first() else {
        let all: Vec<&Followed> = tables.values().collect();
        let sql = format!(
            "CREATE PUBLICATION {quoted} FOR TABLE {} WITH (publish_via_partition_root = true)",
            list(&all)?
        );
        run(session, &sql).await?;
        return Ok(false);
    };
    if row[0].as_deref() == Some("true") {
        return Ok(false);
    }
    let published = format!(
        "SELECT schemaname::text || '.' || tablename::text FROM pg_publication_tables WHERE pubname = {name}"
    );
    let published: Vec<String> = session
        .query(&published)
        .await?
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    let missing: Vec<&Followed> = tables
        .iter()
        .filter(|(full, _)| !published.contains(full))
        .map(|(_, table)| table)
        .collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let sql = format!("ALTER PUBLICATION {quoted} ADD TABLE {}", list(&missing)?);
    run(session, &sql).await?;
    Ok(true)
}

/// Runs a statement that needs rights, and names it where it is refused.
async fn run(session: &mut Session, sql: &str) -> Result<(), Failure> {
    match session.execute(sql).await {
        Err(Failure::Error(Error::Configuration { message, cause })) => {
            Err(Failure::Error(Error::Configuration {
                message: format!("{message}; or let somebody who owns the tables run it: {sql}"),
                cause,
            }))
        }
        other => other,
    }
}

/// The slot; `None` where there is none.
///
/// # Errors
/// `Configuration` where it was lost, or is of another database or plugin.
pub(super) async fn find(session: &mut Session, name: &str) -> Result<Option<Slot>, Failure> {
    let sql = format!(
        "SELECT plugin::text, database::text, current_database()::text, confirmed_flush_lsn::text, wal_status::text \
         FROM pg_replication_slots WHERE slot_name = {}",
        literal(name)
    );
    let rows = session.query(&sql).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let text = |column: usize| row[column].clone().unwrap_or_default();
    let refuse = |message: String| Err(Failure::Error(Error::configuration(message)));
    if text(0) != "pgoutput" || text(1) != text(2) {
        return refuse(format!(
            "the slot {name:?} is of plugin {:?} and database {:?}: name another one in slot = \"…\"",
            text(0),
            text(1)
        ));
    }
    match Lsn::parse(&text(3)) {
        Ok(confirmed) if text(4) != "lost" => Ok(Some(Slot { confirmed })),
        _ => refuse(lost(
            name,
            "the server has removed log that the slot still needed (max_slot_wal_keep_size)",
        )),
    }
}

/// What to do about a slot that is lost.
pub(super) fn lost(name: &str, why: &str) -> String {
    format!(
        "the slot {name:?} is lost: {why}. Changes between are gone. Drop what is left of it (SELECT pg_drop_replication_slot({}) on the source), then read the tables again with `syncline positions reset FILE --source NAME`; rows that were deleted meanwhile stay in the target unless you empty its tables first",
        literal(name)
    )
}

/// Makes the slot. Waits until the transactions that are open now have ended.
///
/// # Errors
/// `Configuration` where the user may not or the server takes no more, `Unavailable` while it does not answer.
pub(super) async fn create(
    session: &mut Session,
    settings: &ReplicationSettings,
) -> Result<Slot, Failure> {
    let failover = match settings.failover {
        true => ", false, false, true",
        false => "",
    };
    let sql = format!(
        "SELECT lsn::text FROM pg_create_logical_replication_slot({}, 'pgoutput'{failover})",
        literal(&settings.slot)
    );
    let lsn = one(session, &sql).await?;
    match Lsn::parse(&lsn) {
        Ok(confirmed) => Ok(Slot { confirmed }),
        Err(_) => Err(Failure::Error(Error::configuration(
            "PostgreSQL says no place in the log for the slot: this is a defect, please report it",
        ))),
    }
}

/// Waits until every transaction that is open now has ended: those that wrote to a table before it was
/// published may not be in the stream, so the rows are read after them.
///
/// # Errors
/// As the database says.
pub(super) async fn wait_for_open(session: &mut Session) -> Result<(), Failure> {
    let next = one(
        session,
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text",
    )
    .await?;
    let sql = format!(
        "SELECT (pg_snapshot_xmin(pg_current_snapshot()) >= {}::xid8)::text",
        literal(&next)
    );
    let mut told = false;
    while one(session, &sql).await? != "true" {
        if !told {
            told = true;
            tracing::info!("waiting for open transactions to end before new tables are read");
        }
        tokio::time::sleep(WAIT_STEP).await;
    }
    Ok(())
}

/// Whether the tables were read for this slot, for sinks that keep no positions.
///
/// # Errors
/// As the database says.
pub(super) async fn was_read(
    session: &mut Session,
    settings: &ReplicationSettings,
) -> Result<bool, Failure> {
    let sql = format!(
        "SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = {}",
        literal(&settings.publication)
    );
    let rows = session.query(&sql).await?;
    let text = rows.first().and_then(|row| row[0].clone());
    Ok(text == Some(format!("{READ_MARK}{}", settings.slot)))
}

/// Notes that the tables were read.
///
/// # Errors
/// As the database says; then they are read again at the next start.
pub(super) async fn note_read(
    session: &mut Session,
    settings: &ReplicationSettings,
) -> Result<(), Failure> {
    let name = quote(&POSTGRES, &settings.publication)?;
    let text = literal(&format!("{READ_MARK}{}", settings.slot));
    run(session, &format!("COMMENT ON PUBLICATION {name} IS {text}")).await
}

/// The only value of a query.
pub(super) async fn one(session: &mut Session, sql: &str) -> Result<String, Failure> {
    let rows = session.query(sql).await?;
    let value = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next());
    value.flatten().ok_or_else(|| {
        Failure::Error(Error::Unavailable {
            message: "PostgreSQL gave no answer to a question about replication".to_owned(),
            cause: None,
        })
    })
}
