//! Reads the table: its format stands at its head.

use crate::change::Operation;
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Tie, Winner};
use crate::conformance::cells::{Cell, Column, Event};

/// The table.
const TABLE: &str = include_str!("../truth.txt");

/// One meeting of a change and a row under one policy, and how it ends.
#[derive(Debug, Clone)]
pub struct Case {
    /// The line of the table.
    pub line: usize,
    /// The block in which it stands.
    pub block: &'static str,
    /// The whole policy.
    pub policy: ConflictPolicy,
    /// The columns of the rows, the key aside.
    pub columns: Vec<Column>,
    /// The change; its key is 0 until someone gives it one.
    pub event: Event,
    /// What the target holds.
    pub held: Held,
    /// What it holds afterwards.
    pub row: Option<Vec<Cell>>,
    /// Where the change is counted.
    pub bucket: Bucket,
    /// The conflict, and who won it.
    pub conflict: Option<(ConflictType, Winner)>,
    /// Whether the line holds for either tie, so that one of them shows it.
    pub any_tie: bool,
}

/// What the target holds for a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// A row.
    Row(Vec<Cell>),
    /// A row that a soft delete marked.
    Marked(Vec<Cell>),
    /// Nothing but the version of a delete (R12).
    Grave(i64),
}

/// Where a change is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// Applied.
    Written,
    /// The target's row stays.
    Kept,
    /// A person decides.
    Queued,
    /// It can never be written, by this rule.
    Rejected(String),
}

/// Every case of the table, in its order: a line stands for one case for each of its operations,
/// detections and ties.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut head = Head::default();
    for (index, line) in TABLE.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            head.block = name;
        } else if let Some(json) = line.strip_prefix("policy ") {
            head.policy = serde_json::from_str(json)
                .unwrap_or_else(|error| panic!("truth.txt:{}: {error}", index + 1));
        } else if let Some(names) = line.strip_prefix("columns ") {
            head.columns = names.split_whitespace().map(column).collect();
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            head.read(index + 1, line, &mut cases);
        }
    }
    cases
}

fn column(name: &str) -> Column {
    let mut all = Column::ALL.into_iter();
    all.find(|column| column.name() == name)
        .unwrap_or_else(|| panic!("{name} is no column"))
}

/// What a block says of its lines.
#[derive(Default)]
struct Head {
    block: &'static str,
    policy: ConflictPolicy,
    columns: Vec<Column>,
}

impl Head {
    fn read(&self, line: usize, text: &str, cases: &mut Vec<Case>) {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [
            ops,
            detect,
            tie,
            before,
            source,
            target,
            "=",
            row,
            bucket,
            kind,
            winner,
        ] = fields[..]
        else {
            panic!("truth.txt:{line}: not eleven fields");
        };
        let ties = match tie {
            "any" => vec![Tie::Target, Tie::Source],
            "target" => vec![Tie::Target],
            "source" => vec![Tie::Source],
            other => panic!("truth.txt:{line}: {other} is no tie"),
        };
        for operation in ops.chars().map(operation) {
            for letter in detect.chars() {
                for &tie in &ties {
                    cases.push(Case {
                        line,
                        block: self.block,
                        policy: ConflictPolicy {
                            detect: detection(letter),
                            tie,
                            ..self.policy.clone()
                        },
                        columns: self.columns.clone(),
                        event: Event {
                            operation,
                            id: 0,
                            before: self.row(before),
                            row: self.row(source).unwrap(),
                        },
                        held: self.held(target),
                        row: self.row(row),
                        bucket: read_bucket(bucket),
                        conflict: conflict(kind, winner, operation),
                        any_tie: ties.len() > 1,
                    });
                }
            }
        }
    }

    fn row(&self, text: &str) -> Option<Vec<Cell>> {
        if text == "none" {
            return None;
        }
        let cells: Vec<&str> = text.split('|').collect();
        assert_eq!(cells.len(), self.columns.len(), "{text}");
        let cell = |(column, text): (&Column, &str)| match text {
            "-" => Cell::Null,
            "~" => Cell::Unset,
            text => Cell::Is(column.value(text)),
        };
        Some(self.columns.iter().zip(cells).map(cell).collect())
    }

    fn held(&self, text: &str) -> Held {
        if let Some(row) = text.strip_prefix("marked:") {
            return Held::Marked(self.row(row).unwrap());
        }
        if let Some(version) = text.strip_prefix("grave:") {
            return Held::Grave(version.parse().unwrap());
        }
        self.row(text).map_or(Held::Nothing, Held::Row)
    }
}

fn operation(letter: char) -> Operation {
    match letter {
        'c' => Operation::Create,
        'r' => Operation::Read,
        'u' => Operation::Update,
        'd' => Operation::Delete,
        other => panic!("{other} is no operation"),
    }
}

fn detection(letter: char) -> Option<Detect> {
    match letter {
        'd' => None,
        'k' => Some(Detect::Key),
        'r' => Some(Detect::Row),
        'b' => Some(Detect::Before),
        'v' => Some(Detect::Version),
        other => panic!("{other} is no detection"),
    }
}

fn read_bucket(text: &str) -> Bucket {
    match text {
        "written" => Bucket::Written,
        "kept" => Bucket::Kept,
        "queued" => Bucket::Queued,
        text => {
            let rule = text.strip_prefix("rejected:").unwrap();
            // The letter and number of the rule end at the first blank.
            Bucket::Rejected(rule.replacen('_', " ", 1))
        }
    }
}

fn conflict(kind: &str, winner: &str, operation: Operation) -> Option<(ConflictType, Winner)> {
    let kind = match (kind, operation) {
        ("-", _) => return None,
        ("differs", Operation::Update) => ConflictType::UpdateOriginDiffers,
        ("differs", Operation::Delete) => ConflictType::DeleteOriginDiffers,
        ("differs", _) => ConflictType::InsertExists,
        (name, _) => {
            let mut all = ConflictType::ALL.into_iter();
            all.find(|kind| kind.name() == name)
                .unwrap_or_else(|| panic!("{name} is no conflict"))
        }
    };
    let all = [
        Winner::Source,
        Winner::Target,
        Winner::Merged,
        Winner::Manual,
    ];
    let winner = all.into_iter().find(|found| found.name() == winner);
    Some((kind, winner.unwrap()))
}
