//! What SQL sinks share.
