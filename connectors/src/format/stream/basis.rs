//! What the rows of a stream are read by: their schema, and what decides it.

use std::sync::Arc;

use crate::format::head::Metadata;
use crate::format::schema::{Connect, Form};

/// Columns asked for; `None` means all.
pub(in crate::format) type Projection<'a> = Option<&'a [String]>;

/// What a stream's columns were made from.
#[derive(Debug, Clone, Default)]
pub(in crate::format) struct Basis {
    /// The schema that came with the rows.
    pub(in crate::format) connect: Option<Arc<Connect>>,
    /// The key as the record or the configuration gives it.
    pub(in crate::format) key: Option<Arc<[String]>>,
}

/// What the settings say about keys, rows before and metadata, for every stream.
#[derive(Debug, Clone)]
pub(in crate::format) struct StreamSettings {
    /// The key where that of the record has columns that the rows do not have.
    pub(in crate::format) fallback: Option<Arc<[String]>>,
    /// Key columns of sinks.
    pub(in crate::format) watched: Arc<[String]>,
    /// Updates carry their rows before.
    pub(in crate::format) before: bool,
    /// Those without a key do.
    pub(in crate::format) before_without_key: bool,
    /// Fields of flat rows that are no columns.
    pub(in crate::format) metadata: Arc<Metadata>,
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        let same_schema = match (&self.connect, &other.connect) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_schema
            && match (&self.key, &other.key) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
                (None, None) => true,
                _ => false,
            }
    }
}

/// Whether a column is to be decoded: the key always is, the metadata of flat rows never.
pub(in crate::format) fn is_wanted(
    name: &str,
    (form, metadata): (Form, &Metadata),
    key: Option<&[String]>,
    projection: Projection<'_>,
) -> bool {
    let named = |names: &[String]| names.iter().any(|other| other == name);
    (form != Form::Flat || metadata.place(name.as_bytes()).is_none())
        && (projection.is_none_or(named) || key.is_some_and(named))
}
