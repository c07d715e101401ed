//! The prepared tables that a session keeps: what is worked out once for a table and a schema, and not
//! once a write.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::sql::catalogue::TargetTable;
use crate::sql::target::Target;
use crate::sql::undeclared::Lender;

/// The prepared tables of a session, by target.
pub(crate) struct PreparedTables<T> {
    pub(super) by_target: HashMap<Target, Vec<Entry<T>>>,
    pub(super) count: usize,
    /// What is remembered of targets for columns that no schema declares.
    pub(super) lender: Lender,
    /// The revision of the database's schema at which all of this was right.
    pub(super) revision: Option<i64>,
    /// Whether it was looked at since the write began.
    pub(super) looked_at: bool,
}

pub(super) struct Entry<T> {
    pub(super) schema: SchemaRef,
    pub(super) key: Vec<usize>,
    pub(super) table: Arc<T>,
    /// The target as it was found.
    pub(super) found: TargetTable,
}

impl<T> Default for PreparedTables<T> {
    fn default() -> Self {
        Self {
            by_target: HashMap::new(),
            count: 0,
            lender: Lender::default(),
            revision: None,
            looked_at: false,
        }
    }
}

impl<T> PreparedTables<T> {
    pub(super) fn known(
        &self,
        target: &Target,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Option<&Arc<T>> {
        let entries = self.by_target.get(target)?.iter();
        let mut same = entries.filter(|entry| {
            (Arc::ptr_eq(&entry.schema, schema) || entry.schema == *schema) && entry.key == key
        });
        same.next().map(|entry| &entry.table)
    }

    /// Takes out the tables that nobody else holds.
    pub(super) fn take_unused(&mut self) -> Vec<Arc<T>> {
        let mut unused = Vec::new();
        self.by_target.retain(|_, entries| {
            let (used, free) = std::mem::take(entries)
                .into_iter()
                .partition(|entry| Arc::strong_count(&entry.table) > 1);
            *entries = used;
            unused.extend(free.into_iter().map(|entry: Entry<T>| entry.table));
            !entries.is_empty()
        });
        self.count -= unused.len();
        unused
    }

    /// Forgets everything: the schema is not what it was.
    pub(crate) fn clear(&mut self) {
        self.by_target.clear();
        self.count = 0;
        self.lender.forget();
    }
}
