//! The positions of one sink as a person sees and moves them.
//!
//! Reading creates nothing. A change is made in one transaction, compares each position with what the
//! person saw, and is refused while a session of the sink is open, on whatever machine it runs. A sink
//! that keeps no positions (a file) has no store.

use async_trait::async_trait;

use crate::error::Result;
use crate::record::{Held, Partition};

/// What a target keeps of one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The `table` setting that the positions were written for; `None` where nothing is known of it.
    pub table: Option<String>,
    /// The tables that were written.
    pub tables: Vec<String>,
    /// The positions, by source, topic and partition.
    pub positions: Vec<KeptPosition>,
}

/// One position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPosition {
    /// The source's name in the pipeline.
    pub source: String,
    /// Which partition of it.
    pub partition: Partition,
    /// Where it stands.
    pub held: Held,
}

/// What a replay of the quarantine leaves among the positions of a sink, so that it writes a record once
/// (R26): a partition of its own, named after the place of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayMark<'t> {
    /// The topic or file of the record.
    pub topic: &'t str,
    /// Its partition.
    pub number: i32,
    /// Its offset.
    pub offset: i64,
}

impl<'t> ReplayMark<'t> {
    const PREFIX: &'static str = "quarantine:";

    /// The partition that stands for the mark.
    pub fn partition(&self) -> Partition {
        let Self {
            topic,
            number,
            offset,
        } = self;
        Partition {
            topic: format!("{}{topic}/{number}/{offset}", Self::PREFIX).into(),
            number: 0,
        }
    }

    /// The mark that a partition stands for; `None` for a partition of a source.
    pub fn read(partition: &'t Partition) -> Option<Self> {
        let text = partition.topic.strip_prefix(Self::PREFIX)?;
        // A path may hold slashes, too.
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let topic = parts.next()?;
        Some(Self {
            topic,
            number,
            offset,
        })
    }
}

/// What a sink with several writers keeps beside the position of a partition: where each writer but the first
/// stands, as a partition of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterMark<'t> {
    /// The topic or file.
    pub topic: &'t str,
    /// Its partition.
    pub number: i32,
    /// Which writer, from 1.
    pub writer: usize,
}

impl<'t> WriterMark<'t> {
    const PREFIX: &'static str = "writer:";

    /// The mark of a writer of `partition`.
    pub fn new(partition: &'t Partition, writer: usize) -> Self {
        Self {
            topic: &partition.topic,
            number: partition.number,
            writer,
        }
    }

    /// The partition that stands for the mark.
    pub fn partition(&self) -> Partition {
        Partition {
            topic: format!("{}{}:{}", Self::PREFIX, self.writer, self.topic).into(),
            number: self.number,
        }
    }

    /// The partition that it belongs to.
    pub fn of(&self) -> Partition {
        Partition {
            topic: self.topic.into(),
            number: self.number,
        }
    }

    /// The mark that a partition stands for; `None` for a partition of a source.
    pub fn read(partition: &'t Partition) -> Option<Self> {
        let text = partition.topic.strip_prefix(Self::PREFIX)?;
        let (writer, topic) = text.split_once(':')?;
        Some(Self {
            topic,
            number: partition.number,
            writer: writer.parse().ok().filter(|&writer| writer > 0)?,
        })
    }
}

/// One change of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The source's name in the pipeline.
    pub source: String,
    /// Which partition of it.
    pub partition: Partition,
    /// Where it stands before; `None` where there is no position.
    pub from: Option<i64>,
    /// Where it is to stand; `None` removes it. One of both is given.
    pub to: Option<Held>,
}

/// The positions of one sink.
#[async_trait]
pub trait PositionStore: Send {
    /// What is kept.
    ///
    /// # Errors
    /// `Unavailable`, or `Configuration` where the target refuses.
    async fn read(&mut self) -> Result<Kept>;

    /// Makes changes, all or none.
    ///
    /// # Errors
    /// As [`PositionStore::read`], and `Configuration` where the pipeline runs or a position was moved.
    async fn change(&mut self, changes: &[Change]) -> Result<()>;

    /// Forgets which tables the positions belong to and keeps the positions: the next start takes the
    /// tables as it finds them.
    ///
    /// # Errors
    /// As [`PositionStore::change`].
    async fn forget_tables(&mut self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_r26() {
        for topic in ["crm.public.clients", "data/2026/a.jsonl", "quarantine:a"] {
            let mark = ReplayMark {
                topic,
                number: 3,
                offset: 4711,
            };
            assert_eq!(ReplayMark::read(&mark.partition()), Some(mark), "{topic}");
        }
    }

    #[test]
    fn a_writer_s_mark_is_read_as_it_was_written_r4() {
        for topic in ["crm.public.clients", "data/2026:1/a.jsonl", "writer:1:a"] {
            let partition = Partition {
                topic: topic.into(),
                number: 3,
            };
            let mark = WriterMark::new(&partition, 12);
            let stored = mark.partition();
            assert_eq!(WriterMark::read(&stored), Some(mark.clone()), "{topic}");
            assert_eq!(mark.of(), partition);
        }
        let partition = Partition {
            topic: "writer:0:a".into(),
            number: 0,
        };
        assert_eq!(WriterMark::read(&partition), None, "the first has none");
    }

    #[test]
    fn a_partition_of_a_source_is_no_mark() {
        for topic in ["crm.public.clients", "quarantine:a", "a/0/1"] {
            let partition = Partition {
                topic: topic.into(),
                number: 0,
            };
            assert_eq!(ReplayMark::read(&partition), None, "{topic}");
        }
    }
}
