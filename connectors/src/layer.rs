//! Wrappers around any sink: what to do when it does not answer, and how fast it may be fed.
//!
//! Policy stands here and never as a flag inside a sink (style 9).

pub mod retry;
pub mod throttle;
