//! The rows of a test in the place of a database.
//!
//! A column whose values are all whole numbers is one of whole numbers, and so on; any other is of texts.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value as Json};
use syncline_connectors::error::Result;
use syncline_connectors::sql::lookup::{KeyColumn, Lookup, Wanted, row};

/// See the module docs.
pub(super) struct RowsLookup {
    key: Vec<KeyColumn>,
    columns: Vec<Field>,
    /// `None` where several rows have the key.
    rows: HashMap<Vec<String>, Option<Bytes>>,
}

impl RowsLookup {
    pub(super) fn new(rows: &[Map<String, Json>], wanted: &Wanted) -> Self {
        let field = |name: &String| Field::new(name, type_of(rows, name), true);
        let only_there = wanted.columns.is_empty();
        let mut found: HashMap<Vec<String>, Option<Bytes>> = HashMap::new();
        for values in rows {
            let key: Option<Vec<String>> = wanted
                .key
                .iter()
                .map(|name| match values.get(name)? {
                    Json::Null => None,
                    Json::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                })
                .collect();
            let Some(key) = key else { continue };
            let texts: Vec<Option<String>> = wanted
                .columns
                .iter()
                .map(|name| {
                    let value = values.get(name).filter(|value| !value.is_null())?;
                    Some(value.to_string())
                })
                .collect();
            let answer = row(texts.iter().map(|text| text.as_deref().map(str::as_bytes)));
            found
                .entry(key)
                .and_modify(|known| {
                    if !only_there {
                        *known = None;
                    }
                })
                .or_insert(Some(answer));
        }
        Self {
            key: wanted
                .key
                .iter()
                .map(field)
                .map(KeyColumn::of_rows)
                .collect(),
            columns: wanted.columns.iter().map(field).collect(),
            rows: found,
        }
    }
}

fn type_of(rows: &[Map<String, Json>], name: &str) -> DataType {
    let values = || {
        let values = rows.iter().filter_map(|row| row.get(name));
        values.filter(|value| !value.is_null())
    };
    if values().next().is_none() {
        return DataType::Utf8;
    }
    if values().all(|value| value.is_i64()) {
        DataType::Int64
    } else if values().all(Json::is_number) {
        DataType::Float64
    } else if values().all(Json::is_boolean) {
        DataType::Boolean
    } else {
        DataType::Utf8
    }
}

#[async_trait]
impl Lookup for RowsLookup {
    fn key(&self) -> &[KeyColumn] {
        &self.key
    }

    fn columns(&self) -> &[Field] {
        &self.columns
    }

    async fn find(&mut self, keys: &[Vec<String>]) -> Result<Vec<Bytes>> {
        let answer = |key: &Vec<String>| match self.rows.get(key) {
            None => Bytes::new(),
            Some(Some(row)) => row.clone(),
            Some(None) => syncline_connectors::sql::lookup::several(),
        };
        Ok(keys.iter().map(answer).collect())
    }
}
