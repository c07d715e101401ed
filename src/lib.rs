//! Syncline: what happens between a source and a sink.
//!
//! Imports flow one way, each module from those before it: function ← lookup ← operator ← conflict ←
//! config ← failure, quarantine ← plan ← run ← daemon ← cli.

pub mod cli;
pub mod config;
pub mod conflict;
pub mod daemon;
pub mod failure;
pub mod function;
pub mod lookup;
pub mod operator;
pub mod plan;
pub mod quarantine;
pub mod run;

pub use syncline_connectors::problem;
