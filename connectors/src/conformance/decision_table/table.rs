//! Reads the decision table; the header of the file explains its format.

use crate::change::Operation;
use crate::conflict::{ConflictPolicy, ConflictType, Detect, Tie, Winner};
use crate::conformance::cells::{Cell, Column, Event};

/// The text of the decision table.
const TABLE: &str = include_str!("../decision_table.txt");

/// One change and row under one policy, with the expected result.
#[derive(Debug, Clone)]
pub struct Case {
    /// The line in the table.
    pub line: usize,
    /// The block that contains the line.
    pub block: &'static str,
    /// The whole policy.
    pub policy: ConflictPolicy,
    /// The columns of the rows, without the key.
    pub columns: Vec<Column>,
    /// The change; its key is 0 until a test sets it.
    pub event: Event,
    /// The state of the target before the change.
    pub target: TargetState,
    /// The row in the target after the change.
    pub row: Option<Vec<Cell>>,
    /// How the change is counted.
    pub bucket: Bucket,
    /// The conflict and its winner.
    pub conflict: Option<(ConflictType, Winner)>,
    /// Whether the line holds for both ties; a test of one tie is then enough.
    pub any_tie: bool,
}

/// The state of the target for a key.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetState {
    /// There is no row.
    Absent,
    /// There is a row.
    Row(Vec<Cell>),
    /// There is a row that a soft delete marked.
    Marked(Vec<Cell>),
    /// There is no row, but the recorded version of a delete (R12).
    Tombstone(i64),
}

/// How a change is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// Written.
    Written,
    /// Kept: the target's row stays.
    Kept,
    /// Queued for a person.
    Queued,
    /// Rejected by this rule.
    Rejected(String),
}

/// Every case of the table, in its order: a line gives one case for each combination of its
/// operations, detections and ties.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut head = Head::default();
    for (index, line) in TABLE.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            head.block = name;
        } else if let Some(json) = line.strip_prefix("policy ") {
            head.policy = serde_json::from_str(json)
                .unwrap_or_else(|error| panic!("decision_table.txt:{}: {error}", index + 1));
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
        .unwrap_or_else(|| panic!("{name} is not a column"))
}

/// The header of a block.
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
            panic!("decision_table.txt:{line}: expected eleven fields");
        };
        let ties = match tie {
            "any" => vec![Tie::Target, Tie::Source],
            "target" => vec![Tie::Target],
            "source" => vec![Tie::Source],
            other => panic!("decision_table.txt:{line}: {other} is not a tie"),
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
                        target: self.target(target),
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

    fn target(&self, text: &str) -> TargetState {
        if let Some(row) = text.strip_prefix("marked:") {
            return TargetState::Marked(self.row(row).unwrap());
        }
        if let Some(version) = text.strip_prefix("tombstone:") {
            return TargetState::Tombstone(version.parse().unwrap());
        }
        self.row(text).map_or(TargetState::Absent, TargetState::Row)
    }
}

fn operation(letter: char) -> Operation {
    match letter {
        'c' => Operation::Create,
        'r' => Operation::Read,
        'u' => Operation::Update,
        'd' => Operation::Delete,
        other => panic!("{other} is not an operation"),
    }
}

fn detection(letter: char) -> Option<Detect> {
    match letter {
        'd' => None,
        'k' => Some(Detect::Key),
        'r' => Some(Detect::Row),
        'b' => Some(Detect::Before),
        'v' => Some(Detect::Version),
        other => panic!("{other} is not a detection"),
    }
}

fn read_bucket(text: &str) -> Bucket {
    match text {
        "written" => Bucket::Written,
        "kept" => Bucket::Kept,
        "queued" => Bucket::Queued,
        text => {
            let rule = text.strip_prefix("rejected:").unwrap();
            // The first `_` stands for the space between the letter and number of the rule and its
            // name.
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
                .unwrap_or_else(|| panic!("{name} is not a conflict"))
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
