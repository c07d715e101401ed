//! Where a partition begins: what the sinks know of it, and what the source makes of that.
//!
//! The lane asks its sinks and tells the source, for each partition, how every sink stands
//! ([`Standing`]). The source decides for each sink and reads from the lowest place, so that every
//! sink gets what it lacks and skips what it holds:
//!
//! - a sink that holds a position goes on there. The source compares the incarnation that was kept
//!   with the position and refuses one of something else (a topic that was deleted and made again);
//! - a sink that keeps positions and holds none begins at `start`, never at a committed offset. A
//!   partition that joined a topic which the sink knows begins with its first record ([`Known`]);
//! - a sink that keeps no positions goes on at the source's own memory (a committed offset), else at
//!   `start`.
//!
//! Where a sink begins past the first record, it has to know that after a restart too, or else what
//! came in between would be skipped: the source names such places ([`Remember`]) and the lane makes
//! the sink keep them before anything is written.

use crate::record::{Held, HeldPositions, Incarnation, Partition, Span};

/// A partition to begin with.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Which one.
    pub partition: Partition,
    /// How each sink stands, in the order of the lane's sinks; never empty.
    pub sinks: Vec<Standing>,
}

/// What one sink knows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It holds this position.
    Held(Held),
    /// It keeps positions and holds none for this partition.
    New(Known),
    /// It keeps no positions.
    Unkept,
}

/// What a sink that holds no position of a partition knows of the rest of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It holds no position of this source: it meets the source for the first time.
    Nothing,
    /// It holds positions of other topics.
    OtherTopics,
    /// It holds positions of other partitions of the topic: this one was added since.
    Topic,
}

/// A place that a sink has to keep before it is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    /// Which sink, by its index in [`Assignment::sinks`].
    pub sink: usize,
    /// Where it begins. `from` is `None`. Its partition may belong to another lane: all partitions
    /// that exist when a topic is met for the first time begin at `start`, whoever reads them.
    pub span: Span,
}

impl Assignment {
    /// What sets every sink that holds another place back to this one: for sources whose numbers do not say
    /// which record they mean when it is read again.
    pub fn set_back(&self, next: i64, incarnation: &Incarnation) -> Vec<Remember> {
        let mut remember = Vec::new();
        for (sink, standing) in self.sinks.iter().enumerate() {
            let Standing::Held(held) = standing else {
                continue;
            };
            if held.next != next || held.incarnation.as_ref() != Some(incarnation) {
                remember.push(Remember {
                    sink,
                    span: Span {
                        partition: self.partition.clone(),
                        from: Some(held.next),
                        next,
                        incarnation: Some(incarnation.clone()),
                    },
                });
            }
        }
        remember
    }
}

impl Standing {
    /// How a sink stands with `partition`; `held` is all that it holds of the source, `None` where it
    /// keeps no positions.
    pub fn of(held: Option<&HeldPositions>, partition: &Partition) -> Self {
        let Some(held) = held else {
            return Self::Unkept;
        };
        if let Some(held) = held.get(partition) {
            return Self::Held(held.clone());
        }
        Self::New(if held.is_empty() {
            Known::Nothing
        } else if held.keys().any(|known| known.topic == partition.topic) {
            Known::Topic
        } else {
            Known::OtherTopics
        })
    }

    /// The position that it holds.
    pub fn position(&self) -> Option<i64> {
        match self {
            Self::Held(held) => Some(held.next),
            Self::New(_) | Self::Unkept => None,
        }
    }
}

/// The assignments of `partitions` for sinks that hold `held`, in their order.
pub fn assignments(held: &[Option<HeldPositions>], partitions: &[Partition]) -> Vec<Assignment> {
    let assignment = |partition: &Partition| Assignment {
        partition: partition.clone(),
        sinks: held
            .iter()
            .map(|held| Standing::of(held.as_ref(), partition))
            .collect(),
    };
    partitions.iter().map(assignment).collect()
}

/// For who only looks: as for one sink that knows nothing yet.
pub fn from_the_start(partitions: &[Partition]) -> Vec<Assignment> {
    assignments(&[Some(HeldPositions::new())], partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, number: i32) -> Partition {
        Partition {
            topic: topic.into(),
            number,
        }
    }

    #[test]
    fn a_sink_stands_where_it_was_or_says_what_else_it_knows() {
        let held = |next| Held {
            next,
            incarnation: Some("id".into()),
        };
        let check = |known: Option<&[(&str, i32, i64)]>, expect: Standing| {
            let known = known.map(|known| {
                let known = known.iter();
                known
                    .map(|&(topic, number, next)| (partition(topic, number), held(next)))
                    .collect::<HeldPositions>()
            });
            let found = Standing::of(known.as_ref(), &partition("a", 1));
            assert_eq!(found, expect, "{known:?}");
        };
        check(None, Standing::Unkept);
        check(Some(&[]), Standing::New(Known::Nothing));
        check(Some(&[("b", 1, 5)]), Standing::New(Known::OtherTopics));
        check(
            Some(&[("b", 1, 5), ("a", 0, 0)]),
            Standing::New(Known::Topic),
        );
        check(Some(&[("a", 0, 0), ("a", 1, 7)]), Standing::Held(held(7)));
    }
}
