//! Syncline: what happens between a source and a sink.
//!
//! Imports flow one way, each module from those before it: problem, function ← operator ← conflict ←
//! config ← failure, quarantine ← plan ← run ← cli.

pub mod cli;
pub mod config;
pub mod conflict;
pub mod failure;
pub mod function;
pub mod operator;
pub mod plan;
pub mod problem;
pub mod quarantine;
pub mod run;
