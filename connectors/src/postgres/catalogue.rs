//! Reads a table from Postgres' catalogue.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::failure::{Failure, failure};
use crate::postgres::POSTGRES;
use crate::sql::catalogue::{TargetColumn, TargetTable};
use crate::sql::target::Target;

/// A table with what only Postgres knows of it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) table: TargetTable,
    /// For each column, whether two values that are equal are the same: not so for `numeric`
    /// (`1.0` and `1.00`), for a text without a deterministic collation, and the like.
    pub(super) exact: Vec<bool>,
    /// For each column what its type is underneath.
    pub(super) kinds: Vec<Kind>,
    /// Its object identifier.
    pub(super) oid: i64,
    /// The tables that its foreign keys point to.
    pub(super) references: Vec<i64>,
    /// Whether it is partitioned: then no statement returns its system columns.
    pub(super) partitioned: bool,
    /// Whether foreign keys of other tables point to it: then it cannot be truncated by itself.
    pub(super) referenced: bool,
}

impl Found {
    /// Whether a column is of a domain, or an array of one.
    pub(super) fn is_domain(&self, name: &str) -> bool {
        let columns = self.table.columns.iter().zip(&self.kinds);
        let mut columns = columns.filter(|(column, _)| column.name == name);
        columns.any(|(column, kind)| column.sql_type != kind.declared)
    }
}

/// What a column's type is underneath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// The type as the table declares it: it differs from [`TargetColumn::sql_type`] where that looks
    /// into a domain.
    pub(super) declared: String,
    /// `pg_type.typtype` of the type, or of an array's elements: `b`, `c`, `e`, `r`, `m`, `p`.
    pub(super) class: String,
    /// `pg_type.typcategory` of it.
    pub(super) category: String,
    /// Whether texts of the column are equal only where their bytes are.
    pub(super) deterministic: bool,
}

/// Domains are looked into, also as elements of arrays: a domain over `numeric(6,2)` rounds as its base
/// does. The modifier of an array is that of its elements.
const COLUMNS: &str = "\
WITH RECURSIVE under (number, type, modifier, listed, depth) AS ( \
 SELECT attnum, atttypid, atttypmod, false, 0 FROM pg_attribute \
 WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped \
 UNION ALL \
 SELECT u.number, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END, \
        CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE u.modifier END, u.listed OR t.typtype <> 'd', u.depth + 1 \
 FROM under AS u JOIN pg_type AS t ON t.oid = u.type \
 WHERE t.typtype = 'd' OR (t.typinput = 'array_in'::regproc AND t.typelem <> 0 AND NOT u.listed)), \
base AS (SELECT DISTINCT ON (number) * FROM under ORDER BY number, depth DESC) \
SELECT a.attname::text, format_type(b.type, b.modifier) || CASE WHEN b.listed THEN '[]' ELSE '' END, NOT a.attnotnull, \
       a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', a.attidentity = 'a', \
       NOT b.listed \
       AND b.type = ANY ('{bool,int2,int4,int8,text,varchar,bytea,date,time,timestamp,timestamptz,uuid}'::regtype[]) \
       AND COALESCE(l.collisdeterministic, true), \
       format_type(a.atttypid, a.atttypmod), t.typtype::text, t.typcategory::text, COALESCE(l.collisdeterministic, true) \
FROM pg_attribute AS a JOIN base AS b ON b.number = a.attnum JOIN pg_type AS t ON t.oid = b.type \
LEFT JOIN pg_collation AS l ON l.oid = a.attcollation \
WHERE a.attrelid = $1::oid ORDER BY a.attnum";

const UNIQUE: &str = "\
SELECT array_agg(a.attname::text ORDER BY k.place), bool_or(i.indisprimary) \
FROM pg_index AS i \
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number \
WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate \
AND i.indpred IS NULL AND k.place <= i.indnkeyatts \
GROUP BY i.indexrelid HAVING bool_and(k.number > 0) ORDER BY i.indexrelid";

const TABLE: &str = "\
SELECT c.oid::bigint, c.relkind = 'p', \
       EXISTS (SELECT FROM pg_constraint AS f WHERE f.confrelid = c.oid AND f.conrelid <> c.oid AND f.contype = 'f'), \
       (SELECT count(*) FROM pg_index AS x WHERE x.indrelid = c.oid AND (x.indisunique OR x.indisexclusion)) \
FROM pg_class AS c WHERE c.oid = to_regclass($1)";

const REFERENCES: &str = "\
SELECT DISTINCT confrelid::bigint FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'f'";

/// The table as it is now; `None` where it does not exist.
pub(super) async fn read(
    connection: &mut PgConnection,
    target: &Target,
) -> Result<Option<Found>, Failure> {
    let quoted = target.quoted(&POSTGRES)?;
    let doing = format!("reading the catalogue for table {:?}", target.to_string());
    let fail = |error| failure(&doing, error);
    // Opening pg_class makes the session take note of what others created meanwhile.
    let found: Option<(i64, bool, bool, i64)> = sqlx::query_as(TABLE)
        .bind(&quoted)
        .fetch_optional(&mut *connection)
        .await
        .map_err(fail)?;
    let Some((oid, partitioned, referenced, indexes)) = found else {
        return Ok(None);
    };
    let mut table = TargetTable::default();
    let (mut exact, mut kinds) = (Vec::new(), Vec::new());
    for row in fetch(connection, COLUMNS, oid).await.map_err(fail)? {
        let column = TargetColumn {
            name: row.try_get(0).map_err(fail)?,
            sql_type: row.try_get(1).map_err(fail)?,
            nullable: row.try_get(2).map_err(fail)?,
            has_default: row.try_get(3).map_err(fail)?,
            generated: row.try_get(4).map_err(fail)?,
            identity: row.try_get(5).map_err(fail)?,
        };
        table.columns.push(column);
        exact.push(row.try_get(6).map_err(fail)?);
        kinds.push(Kind {
            declared: row.try_get(7).map_err(fail)?,
            class: row.try_get(8).map_err(fail)?,
            category: row.try_get(9).map_err(fail)?,
            deterministic: row.try_get(10).map_err(fail)?,
        });
    }
    for row in fetch(connection, UNIQUE, oid).await.map_err(fail)? {
        if row.try_get::<bool, _>(1).map_err(fail)? {
            table.primary = Some(table.unique.len());
        }
        table.unique.push(row.try_get(0).map_err(fail)?);
    }
    table.other_constraints = indexes > table.unique.len() as i64;
    let references = fetch(connection, REFERENCES, oid)
        .await
        .map_err(fail)?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    Ok(Some(Found {
        table,
        exact,
        kinds,
        oid,
        references,
        partitioned,
        referenced,
    }))
}

async fn fetch(
    connection: &mut PgConnection,
    sql: &'static str,
    oid: i64,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(oid)
        .fetch_all(connection)
        .await
}
