//! What was understood.
