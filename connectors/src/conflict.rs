//! Conflicts between source and target: their policy, detection, decision and history (C1–C10).
//!
//! Detection finds conflicts; the strategy decides only conflicts; a change without a conflict is
//! applied. A [`ConflictPolicy`] is the user's settings. A sink applies it in one of two equivalent
//! ways: compiled into its bulk statement, or by a [`Resolver`]. It calls the resolver after it has
//! read and locked the target's rows and before it writes, in the same transaction.

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
mod rate_limit;

pub use canonical::{Number, canonical_json, same_json};
pub use file::{HistoryFile, read_history_file};
pub use hash::hash_column;
pub use image::{read_assignments, read_images, write_image, write_key};
pub use kept_change::{read_change, write_change, write_change_and_record};
pub use key_filter::KeyFilter;
pub use kind::{ConflictCounts, ConflictType};
pub use policy::{
    BaseFrom, ConflictPolicy, Detect, History, HistoryPlace, NullVersion, Path, Strategy, Tie,
};
pub use rate_limit::RateLimit;
pub use record::{
    ConflictCount, ConflictRecord, CountKey, Json, Place, QueueEntry, QueueState, Sides,
    conflict_id, partition_text,
};
pub(crate) use record::{kind_named, winner_named};
pub use resolution::{Resolution, Resolved, Take};
pub use resolver::{
    Base, Conflict, ConflictBatch, Decisions, Hashes, Resolver, Resolvers, StatementsOnly,
    TargetRows, Verdict, Winner,
};
