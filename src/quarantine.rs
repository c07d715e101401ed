//! Where rejected changes are kept.
