//! The tables: made where they are not there, never altered.

use super::{
    CONFLICTS_TABLE, COUNTS_TABLE, Dialect, QUEUE_TABLE, SHADOW_TABLE, WAITING_ROOM_TABLE,
    WAITING_TABLE, name_of,
};
use crate::conflict::{ConflictPolicy, HistoryPlace, Strategy};

/// Which tables a sink needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tables {
    /// The history, where it stands in a table.
    pub history: bool,
    /// The counts.
    pub counts: bool,
    /// The queue and what waits behind it.
    pub queue: bool,
    /// The shadow.
    pub shadow: bool,
    /// The waiting room.
    pub waiting_room: bool,
}

#[derive(Debug, Clone, Copy)]
enum Type {
    /// Text of any length.
    Text,
    /// Text that an index holds.
    Name,
    Integer,
    Bigint,
    /// A number that the table gives, ascending; the primary key.
    Serial,
}

struct Definition {
    name: &'static str,
    /// Names, types, and whether null is refused.
    columns: &'static [(&'static str, Type, bool)],
    /// Empty where a serial is the key.
    primary: &'static [&'static str],
    index: Option<Index>,
}

struct Index {
    name: &'static str,
    columns: &'static [&'static str],
    /// Rows that it is for, where the database can leave the others out.
    only: Option<&'static str>,
}

impl Tables {
    /// Those that `policy` needs: counts wherever anything is said about conflicts.
    pub fn of(policy: &ConflictPolicy) -> Self {
        let history = policy.history.as_ref();
        // An expression of a column gives its value, one of the sink may say 'manual'.
        let queue = matches!(policy.strategy, Strategy::Manual | Strategy::Expression(_))
            || policy.columns.values().any(|own| *own == Strategy::Manual);
        let shadow = policy.keeps_shadow();
        Self {
            history: history.is_some_and(|history| history.to == HistoryPlace::Table),
            counts: *policy != ConflictPolicy::default(),
            queue,
            shadow,
            waiting_room: false,
        }
    }

    /// The names of the tables.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.definitions().map(|table| table.name)
    }

    /// The statements that make those that are not there.
    pub fn create(self, dialect: &'static Dialect) -> Vec<String> {
        self.definitions()
            .flat_map(|table| table.create(dialect))
            .collect()
    }

    fn definitions(self) -> impl Iterator<Item = Definition> {
        let all = [
            (self.history, CONFLICTS),
            (self.counts, COUNTS),
            (self.queue, QUEUE),
            (self.queue, WAITING),
            (self.shadow, SHADOW),
            (self.waiting_room, WAITING_ROOM),
        ];
        all.into_iter()
            .filter_map(|(wanted, table)| wanted.then_some(table))
    }
}

impl Definition {
    fn create(&self, dialect: &'static Dialect) -> Vec<String> {
        let list = |names: &[&str]| {
            let quoted: Vec<String> = names.iter().map(|name| name_of(dialect, name)).collect();
            quoted.join(", ")
        };
        let table = name_of(dialect, self.name);
        let mut parts: Vec<String> = self
            .columns
            .iter()
            .map(|&(name, kind, required)| {
                let end = if required { " NOT NULL" } else { "" };
                format!("{} {}{end}", name_of(dialect, name), kind.sql(dialect))
            })
            .collect();
        let words = &dialect.own_tables;
        if !self.primary.is_empty() {
            parts.push((words.primary_key)(&list(self.primary)));
        }
        if let (true, Some(index)) = (words.indexes_inside, &self.index) {
            let columns = index.columns.iter();
            let columns: Vec<String> = columns.map(|name| self.indexed(dialect, name)).collect();
            parts.push(format!(
                "KEY {} ({})",
                name_of(dialect, index.name),
                columns.join(", ")
            ));
        }
        let mut statements = vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} ({}){}",
            parts.join(", "),
            words.end
        )];
        if let (false, Some(index)) = (words.indexes_inside, &self.index) {
            let only = index.only.map(|only| format!(" WHERE {only}"));
            statements.push(format!(
                "CREATE INDEX IF NOT EXISTS {} ON {table} ({}){}",
                name_of(dialect, index.name),
                list(index.columns),
                only.unwrap_or_default()
            ));
        }
        statements
    }

    /// A column in an index that holds the beginning of a text alone.
    fn indexed(&self, dialect: &'static Dialect, name: &str) -> String {
        let quoted = name_of(dialect, name);
        let is_text = self
            .columns
            .iter()
            .any(|(column, kind, _)| *column == name && matches!(kind, Type::Name | Type::Text));
        if is_text {
            format!("{quoted}(64)")
        } else {
            quoted
        }
    }
}

impl Type {
    fn sql(self, dialect: &'static Dialect) -> &'static str {
        let words = &dialect.own_tables;
        match self {
            Self::Text => words.text,
            Self::Name => words.name,
            Self::Integer => words.integer,
            Self::Bigint => words.bigint,
            Self::Serial => words.serial,
        }
    }
}

const CONFLICTS: Definition = Definition {
    name: CONFLICTS_TABLE,
    columns: &[
        ("id", Type::Name, true),
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("source", Type::Name, true),
        ("target", Type::Name, true),
        ("key", Type::Text, true),
        ("kind", Type::Name, true),
        ("strategy", Type::Text, true),
        ("winner", Type::Name, true),
        ("columns", Type::Text, true),
        ("reason", Type::Text, true),
        ("base_row", Type::Text, false),
        ("source_row", Type::Text, false),
        ("target_row", Type::Text, false),
        ("result_row", Type::Text, false),
        ("topic", Type::Text, true),
        ("partition", Type::Integer, true),
        ("position", Type::Bigint, true),
        ("event_time_ms", Type::Bigint, false),
        ("decided_at_ms", Type::Bigint, true),
    ],
    primary: &["id"],
    index: Some(Index {
        name: "_syncline_conflicts_by_time",
        columns: &["pipeline", "sink", "decided_at_ms", "id"],
        only: None,
    }),
};

const COUNTS: Definition = Definition {
    name: COUNTS_TABLE,
    columns: &[
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("source", Type::Name, true),
        ("partition", Type::Name, true),
        ("target", Type::Name, true),
        ("kind", Type::Name, true),
        ("strategy", Type::Name, true),
        ("column_name", Type::Name, true),
        ("winner", Type::Name, true),
        ("count", Type::Bigint, true),
    ],
    primary: super::counts::KEY,
    index: None,
};

const QUEUE: Definition = Definition {
    name: QUEUE_TABLE,
    columns: &[
        ("id", Type::Serial, false),
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("source", Type::Name, true),
        ("target", Type::Name, true),
        ("key", Type::Name, true),
        ("kind", Type::Name, true),
        ("columns", Type::Text, true),
        ("reason", Type::Text, true),
        ("base_row", Type::Text, false),
        ("source_row", Type::Text, false),
        ("target_row", Type::Text, false),
        ("change", Type::Text, true),
        ("topic", Type::Text, true),
        ("partition", Type::Integer, true),
        ("position", Type::Bigint, true),
        ("event_time_ms", Type::Bigint, false),
        ("opened_at_ms", Type::Bigint, true),
        ("state", Type::Name, true),
        ("taken", Type::Text, false),
        ("resolved_by", Type::Text, false),
        ("resolved_at_ms", Type::Bigint, false),
    ],
    primary: &[],
    index: Some(Index {
        name: "_syncline_conflict_queue_open",
        columns: &["pipeline", "sink", "target", "key"],
        only: Some("state = 'open'"),
    }),
};

const WAITING: Definition = Definition {
    name: WAITING_TABLE,
    columns: &[
        ("sequence", Type::Serial, false),
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("target", Type::Name, true),
        ("key", Type::Name, true),
        ("change", Type::Text, true),
    ],
    primary: &[],
    index: Some(Index {
        name: "_syncline_conflict_waiting_by_key",
        columns: &["pipeline", "sink", "target", "key", "sequence"],
        only: None,
    }),
};

const SHADOW: Definition = Definition {
    name: SHADOW_TABLE,
    columns: &[
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("target", Type::Name, true),
        ("key", Type::Name, true),
        ("image", Type::Text, true),
    ],
    primary: &["pipeline", "sink", "target", "key"],
    index: None,
};

const WAITING_ROOM: Definition = Definition {
    name: WAITING_ROOM_TABLE,
    columns: &[
        ("sequence", Type::Serial, false),
        ("pipeline", Type::Name, true),
        ("sink", Type::Name, true),
        ("source", Type::Name, true),
        ("target", Type::Name, true),
        ("key", Type::Name, true),
        // The row that is waited for; empty behind another change of the key, null where it is not known.
        ("awaits", Type::Text, false),
        ("rule", Type::Text, true),
        ("field", Type::Text, false),
        ("reason", Type::Text, true),
        ("since_ms", Type::Bigint, true),
        ("change", Type::Text, true),
    ],
    primary: &[],
    index: Some(Index {
        name: "_syncline_waiting_by_key",
        columns: &["pipeline", "sink", "target", "key", "sequence"],
        only: None,
    }),
};
