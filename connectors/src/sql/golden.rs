//! The policies for which the texts of statements are kept as golden files.

use super::{DeleteMode, Options};
use crate::conflict::{ConflictPolicy, Detect, Strategy, Tie};

/// A policy, and the key columns of its table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [usize],
    strategy: Strategy,
    versioned: bool,
    delete: DeleteMode,
    detect: Option<Detect>,
    tie: Tie,
    threshold: Option<&'static str>,
}

fn plain() -> Case {
    Case {
        name: "source_wins",
        key: &[0],
        strategy: Strategy::SourceWins,
        versioned: false,
        delete: DeleteMode::Hard,
        detect: None,
        tie: Tie::Target,
        threshold: None,
    }
}

fn newest() -> Case {
    Case {
        strategy: Strategy::NewestWins,
        versioned: true,
        ..plain()
    }
}

/// Every way a statement can decide, once or more.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        plain(),
        Case {
            name: "source_wins, soft, key of two columns",
            key: &[0, 1],
            delete: DeleteMode::Soft,
            ..plain()
        },
        Case {
            name: "source_wins, detect = key",
            detect: Some(Detect::Key),
            ..plain()
        },
        Case {
            name: "target_wins",
            strategy: Strategy::TargetWins,
            ..plain()
        },
        Case {
            name: "target_wins, soft",
            strategy: Strategy::TargetWins,
            delete: DeleteMode::Soft,
            ..plain()
        },
        Case {
            name: "newest_wins",
            ..newest()
        },
        Case {
            name: "newest_wins, tie = source, threshold",
            tie: Tie::Source,
            threshold: Some("5s"),
            ..newest()
        },
        Case {
            name: "newest_wins, detect = version, key of two columns",
            key: &[0, 1],
            detect: Some(Detect::Version),
            ..newest()
        },
        Case {
            name: "oldest_wins, soft",
            strategy: Strategy::OldestWins,
            delete: DeleteMode::Soft,
            ..newest()
        },
        Case {
            name: "merge",
            strategy: Strategy::Merge,
            ..newest()
        },
    ]
}

impl Case {
    pub(crate) fn options(&self) -> Options {
        Options {
            delete: self.delete,
            conflict: ConflictPolicy {
                strategy: self.strategy.clone(),
                version: self.versioned.then(|| "changed".to_owned()),
                detect: self.detect,
                tie: self.tie,
                threshold: self.threshold.map(str::to_owned),
                ..ConflictPolicy::default()
            },
            ..Options::default()
        }
    }
}
