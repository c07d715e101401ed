//! What every source and every sink must pass.
//!
//! A suite panics with what went wrong and where. A sink is given as a [`sink::Bench`]: a database
//! that the suite may empty; a source as a function that opens it.

#![allow(
    clippy::unwrap_used,
    reason = "a suite reports by panicking, as a test does"
)]

pub mod cells;
pub mod histories;
pub mod keys;
pub mod rows;
pub mod shadow;
pub mod shape;
pub mod sink;
pub mod source;
pub mod truth;
pub mod values;

mod model;
mod strategies;
