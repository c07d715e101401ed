//! Everything in Syncline that touches the outside world.
//!
//! A [`source::Source`] hands over raw records with the positions they span, a [`format`] turns
//! them into Arrow [`change::Changes`], and a [`sink::Sink`] makes changes, conflicts and positions
//! durable together. This crate knows no operator and no pipeline: the crate `syncline` stands on
//! it, never the other way round.

pub mod assignment;
pub mod blackhole;
pub mod cache;
pub mod change;
pub mod conflict;
pub mod conflict_queue;
pub mod error;
mod explanation;
pub mod file;
pub mod format;
pub mod http;
mod json_row;
pub mod kafka;
pub mod kind;
pub mod layer;
pub mod mysql;
pub mod positions;
pub mod postgres;
pub mod problem;
pub mod record;
pub mod registry;
pub mod schema_registry;
pub mod sink;
pub mod source;
pub mod sql;
pub mod sqlite;
mod stable_hash;
mod text;
pub mod waiting;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
