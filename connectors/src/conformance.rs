//! Test suites that every source and every sink must pass.
//!
//! A suite panics with a description of the failure. A sink is tested through a
//! [`sink::TestDatabase`], which the suite may empty; a source through a function that opens it.

#![allow(
    clippy::unwrap_used,
    reason = "a suite reports by panicking, as a test does"
)]

pub mod cells;
pub mod decision_table;
pub mod keys;
pub mod random_histories;
pub mod rows;
pub mod shadow;
pub mod shape;
pub mod sink;
pub mod source;
pub mod values;

mod model;
mod strategies;
