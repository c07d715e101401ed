//! Remembers what users of the target delete, as versions of deletes (R12): two triggers on the table.
//!
//! Where two databases write to each other, a row that a user deletes here is unknown to the way in:
//! an older change of it, still under way from the other side, would bring it back here and nowhere
//! else. So a trigger puts the version of every row that goes into the table of tombstones, as
//! [`super::statement`] does with deletes that come from the source.
//!
//! **Guarantees.** Whoever deletes a row, or moves it to another key, and by whichever statement but
//! `TRUNCATE`, leaves its version, in the same transaction. A delete that commits while an older change
//! of its row is being inserted is not missed either: a second trigger looks again after the insert and
//! has the write tried anew.
//!
//! - null: a row without a version leaves none.
//! - duplicate: the highest version stays.
//! - tie: as a tombstone of the source's.
//!
//! The triggers are made where they are missing and replaced where they are not those of this sink.
//! Before its first write a sink has only its own options and the catalogue to make them from, which
//! is enough where the table exists and both `table` and `key` are fixed.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::catalogue;
use super::equality::normal;
use super::failure::{Failure, failure};
use super::positions::DDL_LOCK;
use super::prepare::Prepared;
use crate::change::Table;
use crate::conflict::{ConflictPolicy, Strategy, Tie};
use crate::error::{Error, Result as SinkResult};
use crate::postgres::POSTGRES;
use crate::sink::Identity;
use crate::sql::catalogue::TargetColumn;
use crate::sql::identifier::{literal, quote};
use crate::sql::target::Target;
use crate::sql::types::split_type;
use crate::sql::version::VersionKind;
use crate::sql::{DeleteMode, Options, TOMBSTONES_TABLE};

/// The setting that says who writes in a session, `PIPELINE/SINK`; absent or empty for users.
pub(super) const WRITER_SETTING: &str = "syncline.writer";

/// What keys and versions look like as text must not depend on who deletes.
const FUNCTION_SETTINGS: &str = "SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' \
    SET DateStyle = 'ISO' SET IntervalStyle = 'iso_8601' SET extra_float_digits = 3 \
    SET bytea_output = 'hex' SET standard_conforming_strings = on";

/// Who writes in the sessions of a sink.
pub(super) fn writer(identity: &Identity) -> String {
    format!("{}/{}", identity.pipeline, identity.sink)
}

/// Whether the versions of deletes mean anything to a sink.
///
/// # Errors
/// `Configuration` where they do not.
pub(super) fn check(options: &Options) -> SinkResult<()> {
    let policy = &options.conflict;
    let reads = matches!(policy.strategy, Strategy::NewestWins | Strategy::Merge);
    if options.delete == DeleteMode::Ignore {
        return Err(Error::configuration(
            "delete = \"ignore\" leaves no versions of deletes, so that remember_deletes means nothing: leave one of them out",
        ));
    }
    if reads && policy.version.is_some() {
        return Ok(());
    }
    Err(Error::configuration(
        "remember_deletes keeps the versions of deleted rows, which only newest_wins and merge with a version compare: write conflict.strategy and conflict.version, or leave remember_deletes out",
    ))
}

/// A table whose deletes are remembered.
pub(super) struct Remembered<'a> {
    identity: &'a Identity,
    tie: Tie,
    /// Its object identifier.
    oid: i64,
    /// Its name, unquoted: what tombstones are kept under.
    name: String,
    /// Its quoted name.
    target: String,
    /// The quoted key columns with their types, in the order of the keys' text.
    key: Vec<(String, String)>,
    /// The quoted version column, and what it holds.
    version: String,
    kind: VersionKind,
}

impl<'a> Remembered<'a> {
    /// The target of changes that are about to be written.
    pub(super) fn of_prepared(
        identity: &'a Identity,
        policy: &ConflictPolicy,
        prepared: &Prepared,
    ) -> Option<Self> {
        let version = prepared.version.as_ref()?;
        let key = prepared.columns.iter().filter(|column| column.key);
        Some(Self {
            identity,
            tie: policy.tie,
            oid: prepared.oid,
            name: prepared.name.clone(),
            target: prepared.target.clone(),
            key: key
                .map(|column| (column.name.clone(), column.sql_type.clone()))
                .collect(),
            version: prepared.columns[version.column].name.clone(),
            kind: version.kind,
        })
    }

    /// The target that the options alone name, where it exists.
    async fn of_options(
        connection: &mut PgConnection,
        identity: &'a Identity,
        options: &Options,
    ) -> Result<Option<Self>, Failure> {
        let (Some(key), Some(version)) = (&options.key, &options.conflict.version) else {
            return Ok(None);
        };
        if options.table.contains('{') {
            return Ok(None);
        }
        let target = Target::of(&options.table, &Table::nowhere())?;
        let Some(found) = catalogue::read(connection, &target).await? else {
            return Ok(None);
        };
        let columns = &found.table.columns;
        let place = |name: &String| {
            let names = columns.iter().map(|column| column.name.as_str());
            options.case.find(name, names)
        };
        let Some(mut places) = key.iter().map(place).collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        places.sort_unstable();
        let Some(version) = place(version) else {
            return Ok(None);
        };
        let Some(kind) = kind_of(&columns[version].sql_type) else {
            return Ok(None);
        };
        let key = places
            .iter()
            .map(|&at| {
                let TargetColumn { name, sql_type, .. } = &columns[at];
                Ok((quote(&POSTGRES, name)?, sql_type.clone()))
            })
            .collect::<SinkResult<Vec<(String, String)>>>()?;
        Ok(Some(Self {
            identity,
            tie: options.conflict.tie,
            oid: found.oid,
            name: target.to_string(),
            target: target.quoted(&POSTGRES)?,
            key,
            version: quote(&POSTGRES, &columns[version].name)?,
            kind,
        }))
    }

    /// Makes or replaces the triggers, unless they stand as they should.
    pub(super) async fn ensure(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        let place = self.tombstones(connection).await?;
        let definition = self.definition(&place);
        if self.found(connection, Some(&definition)).await? {
            return Ok(());
        }
        let comments: String = ["", "_guard"]
            .map(|suffix| {
                let name = self.object(suffix);
                format!(
                    "COMMENT ON FUNCTION {place}.{name}() IS {};",
                    literal(&digest(&definition))
                )
            })
            .concat();
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({DDL_LOCK}); {definition} {comments} COMMIT"
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await;
        made.map(|_| ()).map_err(|error| {
            let code = error.as_database_error().and_then(|error| error.code());
            if code.as_deref() != Some("42501") {
                return failure(&format!("remembering deletes of table {:?}", self.name), error);
            }
            Failure::Error(Error::Configuration {
                message: format!(
                    "remember_deletes makes triggers on table {:?}: let the sink's user do that with GRANT TRIGGER ON {} and GRANT CREATE ON SCHEMA {place}",
                    self.name, self.target
                ),
                cause: Some(error.into()),
            })
        })
    }

    /// The quoted schema of the tombstones, in which the functions are made.
    async fn tombstones(&self, connection: &mut PgConnection) -> Result<String, Failure> {
        let sql = format!(
            "SELECT quote_ident(n.nspname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
             WHERE c.oid = to_regclass({})",
            literal(TOMBSTONES_TABLE)
        );
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(connection)
            .await
            .map_err(|error| failure("looking for the table of tombstones", error))
    }

    /// Whether both triggers are there, made by this very `definition`, or by any.
    async fn found(
        &self,
        connection: &mut PgConnection,
        definition: Option<&str>,
    ) -> Result<bool, Failure> {
        let same = definition.map_or("true".to_owned(), |definition| {
            format!(
                "obj_description(tgfoid, 'pg_proc') = {}",
                literal(&digest(definition))
            )
        });
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {same}) FROM pg_trigger WHERE tgrelid = {} AND tgname IN ({}, {})",
            self.oid,
            literal(&self.object("")),
            literal(&self.object("_guard")),
        );
        let count: i64 = sqlx::query(AssertSqlSafe(sql))
            .fetch_one(connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| failure("looking for the triggers of remember_deletes", error))?;
        Ok(count == 2)
    }

    /// What the triggers and their functions are called: the same for the same sink and table.
    fn object(&self, suffix: &str) -> String {
        let whose = [&self.identity.pipeline, &self.identity.sink, &self.name];
        let hash = digest(&whose.map(|part| format!("{}:{part}", part.len())).concat());
        format!("_syncline_deletes_{hash}{suffix}")
    }

    /// The statements that make functions and triggers; `place` is the schema of the functions.
    fn definition(&self, place: &str) -> String {
        let target = &self.target;
        let names: Vec<&str> = self.key.iter().map(|(name, _)| name.as_str()).collect();
        let (delete, guard) = (self.object(""), self.object("_guard"));
        let writer = literal(&writer(self.identity));
        let setting = literal(WRITER_SETTING);
        format!(
            "CREATE OR REPLACE FUNCTION {place}.{delete}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {FUNCTION_SETTINGS} AS {}; \
             REVOKE ALL ON FUNCTION {place}.{delete}() FROM PUBLIC; \
             CREATE OR REPLACE FUNCTION {place}.{guard}() RETURNS trigger LANGUAGE plpgsql {FUNCTION_SETTINGS} AS {}; \
             CREATE OR REPLACE TRIGGER {delete} AFTER DELETE OR UPDATE OF {} ON {target} FOR EACH ROW \
             WHEN (current_setting({setting}, true) IS DISTINCT FROM {writer}) EXECUTE FUNCTION {place}.{delete}(); \
             CREATE OR REPLACE TRIGGER {guard} AFTER INSERT ON {target} REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT \
             WHEN (current_setting({setting}, true) = {writer}) EXECUTE FUNCTION {place}.{guard}();",
            literal(&self.remember(place)),
            literal(&self.look_again(place)),
            names.join(", "),
        )
    }

    /// The body of the function that keeps the version of a row that goes.
    fn remember(&self, place: &str) -> String {
        let (column, cast) = self.column();
        let (old, new, version) = (self.key_text("OLD"), self.key_text("NEW"), &self.version);
        format!(
            "BEGIN \
             IF TG_OP = 'UPDATE' THEN IF {old} = {new} THEN RETURN NULL; END IF; END IF; \
             IF OLD.{version} IS NOT NULL THEN \
             INSERT INTO {place}.{TOMBSTONES_TABLE} AS d (pipeline, sink, target, key, {column}) \
             VALUES ({}, {}, {}, {old}, OLD.{version}::{cast}) \
             ON CONFLICT (pipeline, sink, target, key) DO UPDATE SET {column} = greatest(d.{column}, excluded.{column}); \
             END IF; RETURN NULL; END",
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.name),
        )
    }

    /// The body of the function that looks for a delete that the write did not see. What it finds is
    /// not ahead for sure, so that the next try keeps it out.
    fn look_again(&self, place: &str) -> String {
        let (column, cast) = self.column();
        let at_least = match self.tie {
            Tie::Target => ">=",
            Tie::Source => ">",
        };
        format!(
            "BEGIN IF EXISTS (SELECT FROM arrived AS n JOIN {place}.{TOMBSTONES_TABLE} AS d ON d.key = {} \
             WHERE d.pipeline = {} AND d.sink = {} AND d.target = {} AND d.{column} {at_least} n.{}::{cast}) THEN \
             RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'a row was deleted while an older change of it was written'; \
             END IF; RETURN NULL; END",
            self.key_text("n"),
            literal(&self.identity.pipeline),
            literal(&self.identity.sink),
            literal(&self.name),
            self.version,
        )
    }

    /// The column of a tombstone's version, and its type.
    fn column(&self) -> (&'static str, &'static str) {
        match self.kind {
            VersionKind::Instant => ("instant", "timestamptz"),
            VersionKind::Number => ("number", "numeric"),
        }
    }

    /// The text of a row's key, as in the statements.
    fn key_text(&self, row: &str) -> String {
        let parts: Vec<String> = self
            .key
            .iter()
            .map(|(name, sql_type)| normal(sql_type, &format!("{row}.{name}")))
            .collect();
        format!("ROW({})::text", parts.join(", "))
    }
}

/// Makes the triggers as a session opens, where that can be and none are there: deletes from before
/// the first write count too.
pub(super) async fn ensure_early(
    connection: &mut PgConnection,
    identity: &Identity,
    options: &Options,
) -> Result<(), Failure> {
    match Remembered::of_options(connection, identity, options).await? {
        Some(remembered) if !remembered.found(connection, None).await? => {
            remembered.ensure(connection).await
        }
        _ => Ok(()),
    }
}

fn kind_of(sql_type: &str) -> Option<VersionKind> {
    let (base, _) = split_type(sql_type);
    match base.as_str() {
        "date" => Some(VersionKind::Instant),
        text if text.starts_with("timestamp") => Some(VersionKind::Instant),
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => {
            Some(VersionKind::Number)
        }
        _ => None,
    }
}

/// 64 bits of a text as hexadecimal digits, the same in every version: FNV-1a
/// (<https://datatracker.ietf.org/doc/draft-eastlake-fnv/>). For names, not for secrets.
fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod config_tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_specification() {
        assert_eq!(digest(""), "cbf29ce484222325");
        assert_eq!(digest("foobar"), "85944171f73967e8");
    }

    #[test]
    fn deletes_are_remembered_only_where_versions_are_compared_r12() {
        let options = |strategy: Strategy, version: Option<&str>| Options {
            conflict: ConflictPolicy {
                strategy,
                version: version.map(str::to_owned),
                ..ConflictPolicy::default()
            },
            ..Options::default()
        };
        let ignoring = Options {
            delete: DeleteMode::Ignore,
            ..options(Strategy::NewestWins, Some("v"))
        };
        assert!(check(&ignoring).is_err());
        let check = |strategy: Strategy, version: Option<&str>, expect: bool| {
            let options = options(strategy, version);
            assert_eq!(check(&options).is_ok(), expect, "{options:?}");
        };
        check(Strategy::NewestWins, Some("v"), true);
        check(Strategy::Merge, Some("v"), true);
        check(Strategy::Merge, None, false);
        check(Strategy::SourceWins, Some("v"), false);
        check(Strategy::OldestWins, Some("v"), false);
    }
}
