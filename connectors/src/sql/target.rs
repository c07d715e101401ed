//! Which table a batch goes to, and which of its columns are the key.
//!
//! `table` is a name or `schema.name` with the placeholders `{table}`, `{schema}`, `{database}` and
//! `{topic}`. It is split at its dots before they are filled, so that a dot in a source's name stays
//! in the name. A placeholder that the source says nothing about is an error, never an empty name.

use crate::change::{Changes, Table};
use crate::error::{Error, Result};
use crate::sql::Options;
use crate::sql::dialect::Dialect;
use crate::sql::identifier::quote;

/// A table in the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The schema; `None` for the connection's own.
    pub schema: Option<String>,
    /// The table's name.
    pub name: String,
}

impl Target {
    /// The table that changes of `table` go to.
    ///
    /// # Errors
    /// `Configuration` where the template is wrong or a placeholder has no value.
    pub fn of(template: &str, table: &Table) -> Result<Self> {
        if template.split('.').any(str::is_empty) {
            return Err(Error::configuration(format!(
                "table = {template:?} names no table: write \"name\" or \"schema.name\""
            )));
        }
        let mut parts = template.split('.').map(|part| fill(template, part, table));
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        match (first, second, third) {
            (Some(name), None, _) => Ok(Self {
                schema: None,
                name: name?,
            }),
            (Some(schema), Some(name), None) => Ok(Self {
                schema: Some(schema?),
                name: name?,
            }),
            _ => Err(Error::configuration(format!(
                "table = {template:?} has more than one dot: write \"name\" or \"schema.name\""
            ))),
        }
    }

    /// The quoted, qualified name.
    ///
    /// # Errors
    /// As [`quote`].
    pub fn quoted(&self, dialect: &'static Dialect) -> Result<String> {
        let name = quote(dialect, &self.name)?;
        Ok(match &self.schema {
            Some(schema) => format!("{}.{name}", quote(dialect, schema)?),
            None => name,
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The indices of the key columns in `changes`: the sink's `key`, else the key that the changes
/// carry (R2).
///
/// # Errors
/// `Configuration` where neither says one, or where a key column is not among the columns.
pub fn key_columns(options: &Options, changes: &Changes) -> Result<Vec<usize>> {
    let schema = changes.schema();
    let names: &[String] = match (&options.key, &changes.key) {
        (Some(names), _) => names,
        (None, Some(names)) => names,
        (None, None) => &[],
    };
    if names.is_empty() {
        return Err(Error::configuration(format!(
            "changes of {:?} carry no key: write key = [\"…\"] with the columns that identify a row in the sink",
            changes.table.name
        )));
    }
    names
        .iter()
        .map(|name| {
            let fields = schema.fields().iter().map(|field| field.name().as_str());
            options.case.find(name, fields).ok_or_else(|| {
                let columns: Vec<&str> =
                    schema.fields().iter().map(|field| field.name().as_str()).collect();
                Error::configuration(format!(
                    "the key column {name:?} is not among the columns of {:?} ({}): correct key = […] in the sink",
                    changes.table.name,
                    columns.join(", ")
                ))
            })
        })
        .collect()
}

fn fill(template: &str, part: &str, table: &Table) -> Result<String> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            return Err(Error::configuration(format!(
                "table = {template:?} has a {{ without its }}"
            )));
        };
        let name = &rest[start + 1..start + length];
        let value = match name {
            "table" => Some(&table.name),
            "schema" => table.schema.as_ref(),
            "database" => table.database.as_ref(),
            "topic" => Some(&table.topic),
            _ => {
                return Err(Error::configuration(format!(
                    "table = {template:?} has the unknown placeholder {{{name}}}: there are {{table}}, {{schema}}, {{database}} and {{topic}}"
                )));
            }
        };
        let value = value.ok_or_else(|| {
            Error::configuration(format!(
                "table = {template:?} needs the {name}, which changes of {:?} do not say: write it out",
                table.name
            ))
        })?;
        filled.push_str(value);
        rest = &rest[start + length + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::POSTGRES;

    fn check(template: &str, expect: Result<&str, &str>) {
        let table = Table {
            topic: "crm.public.client.notes".into(),
            database: None,
            schema: Some("public".into()),
            name: "client.notes".into(),
        };
        match (Target::of(template, &table), expect) {
            (Ok(target), Ok(text)) => {
                assert_eq!(target.quoted(&POSTGRES).unwrap(), text);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{template:?}: found {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn placeholders_fill_a_name_and_never_its_structure() {
        check("{table}", Ok("\"client.notes\""));
        check("copy_of_{table}_x", Ok("\"copy_of_client.notes_x\""));
        check("{schema}.{table}", Ok("\"public\".\"client.notes\""));
        check("{topic}", Ok("\"crm.public.client.notes\""));
        check("clients", Ok("\"clients\""));
        check("{database}.{table}", Err("needs the database"));
        check("{tabel}", Err("unknown placeholder {tabel}"));
        check("{table", Err("without its }"));
        check("a.b.c", Err("more than one dot"));
        check("", Err("names no table"));
        check("a.", Err("names no table"));
        check(".a", Err("names no table"));
    }
}
