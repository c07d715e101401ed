//! Conflicts: who wins when source and target disagree, and what is said about it (C1–C10).
//!
//! Detection says whether there is a conflict; the strategy decides only conflicts; without one the
//! change applies. A [`ConflictPolicy`] is what a person writes. A sink carries it out in one of two
//! ways, which are interchangeable: compiled into its bulk statement, or by a [`Resolver`], which it
//! calls between its locked read of the target's rows and its write, in the same transaction.

mod kind;
mod policy;
mod resolver;

mod canonical;
mod hash;
mod image;
mod kept_change;
mod key_filter;
mod record;
mod resolution;

mod file;
mod sample;

pub use canonical::{Number, canonical_json, same_json};
pub use file::{HistoryFile, read_history_file};
pub use hash::hash_column;
pub use image::{read_assignments, read_images, write_image, write_key};
pub use kept_change::{read_change, write_change};
pub use key_filter::KeyFilter;
pub use kind::{ConflictCounts, ConflictType};
pub use policy::{
    BaseFrom, ConflictPolicy, Detect, History, HistoryPlace, NullVersion, Path, Strategy, Tie,
};
pub use record::{
    ConflictCount, ConflictRecord, CountKey, Json, Place, QueueEntry, QueueState, Sides,
    conflict_id, partition_text,
};
pub(crate) use record::{kind_named, winner_named};
pub use resolution::{Resolution, Resolved, Take};
pub use resolver::{
    Base, Conflict, Decisions, Hashes, Held, Meeting, Resolver, Resolvers, StatementsOnly, Verdict,
    Winner,
};
pub use sample::Sampler;
