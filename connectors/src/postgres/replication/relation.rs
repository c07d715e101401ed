//! A table as the log says it is, with the types that the catalogue knows of.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::pgoutput::{Old, RelationMessage, Value};
use crate::change::{Logical, Table};
use crate::postgres::POSTGRES;
use crate::postgres::failure::Failure;
use crate::postgres::session::Session;
use crate::text::write_string;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Relation {
    /// `schema.name`.
    pub(super) name: String,
    pub(super) table: Arc<Table>,
    pub(super) schema: SchemaRef,
    /// The columns that tell the rows apart.
    pub(super) key: Arc<[String]>,
    /// The same by their place.
    pub(super) key_places: Vec<usize>,
    /// Which columns are the replica identity: an old row that is not whole has no others.
    pub(super) identity: Vec<bool>,
    /// Each column's name and a colon, as they stand in a JSON object.
    pub(super) labels: Vec<Vec<u8>>,
    /// What stands before the rows in the record of each change, behind the operation.
    pub(super) envelope: Vec<u8>,
}

/// What follows the operation in an event of a table.
pub(super) fn event_source(table: &Table) -> Vec<u8> {
    let mut out = b"\",\"source\":{\"schema\":".to_vec();
    write_string(table.schema.as_deref().unwrap_or_default(), &mut out);
    out.extend_from_slice(b",\"table\":");
    write_string(&table.name, &mut out);
    out.push(b'}');
    out
}

impl Relation {
    /// Asks the catalogue for the types of a message's columns; `key` names those that tell rows apart.
    pub(super) async fn of(
        message: &RelationMessage,
        session: &mut Session,
        table: &Arc<Table>,
        key: &[String],
    ) -> Result<Self, Failure> {
        let types = types_of(message, session).await?;
        let mut fields = Vec::with_capacity(types.len());
        let mut labels = Vec::with_capacity(types.len());
        for (column, sql_type) in message.columns.iter().zip(types) {
            let field = (POSTGRES.field)(&column.name, &sql_type);
            fields.push(match Logical::of(&field) {
                // Bits of any number are a text.
                Some(Logical::Bits(0)) => Field::new(&column.name, DataType::Utf8, true),
                _ => field,
            });
            let mut label = Vec::new();
            write_string(&column.name, &mut label);
            label.push(b':');
            labels.push(label);
        }
        let place = |name: &String| {
            let mut columns = message.columns.iter();
            columns.position(|column| column.name == *name)
        };
        Ok(Self {
            name: format!("{}.{}", message.schema, message.name),
            table: table.clone(),
            schema: Arc::new(Schema::new(fields)),
            key: key.into(),
            key_places: key.iter().filter_map(place).collect(),
            identity: message
                .columns
                .iter()
                .map(|column| column.identity)
                .collect(),
            labels,
            envelope: event_source(table),
        })
    }
}

impl Relation {
    /// Whether an update changes the key.
    pub(super) fn moves(&self, old: &Old<'_>, new: &[Value<'_>]) -> bool {
        self.key_places.iter().any(|&column| {
            let (before, after) = (old.values.get(column), new.get(column));
            matches!((before, after), (Some(Value::Text(before)), Some(Value::Text(after))) if before != after)
        })
    }
}

/// The types of the columns, domains by what is under them.
async fn types_of(
    message: &RelationMessage,
    session: &mut Session,
) -> Result<Vec<String>, Failure> {
    if message.columns.is_empty() {
        return Ok(Vec::new());
    }
    let given: Vec<String> = message
        .columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            let (id, modifier) = (column.type_id, column.type_modifier);
            format!("({number}, {id}::oid, {modifier})")
        })
        .collect();
    // As in the catalogue's question for the columns of a table.
    let sql = format!(
        "WITH RECURSIVE given (number, type, modifier) AS (VALUES {}), \
         under (number, type, modifier, listed, depth) AS ( \
         SELECT number, type, modifier, false, 0 FROM given \
         UNION ALL \
         SELECT u.number, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END, \
                CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE u.modifier END, u.listed OR t.typtype <> 'd', u.depth + 1 \
         FROM under AS u JOIN pg_type AS t ON t.oid = u.type \
         WHERE t.typtype = 'd' OR (t.typinput = 'array_in'::regproc AND t.typelem <> 0 AND NOT u.listed)), \
         base AS (SELECT DISTINCT ON (number) * FROM under ORDER BY number, depth DESC) \
         SELECT format_type(type, modifier) || CASE WHEN listed THEN '[]' ELSE '' END FROM base ORDER BY number",
        given.join(", ")
    );
    let rows = session.query(&sql).await?;
    let types = rows.into_iter().map(|row| {
        let text = row.into_iter().next().flatten();
        // A type that was dropped since: its values are texts.
        text.unwrap_or_else(|| "text".to_owned())
    });
    Ok(types.collect())
}
