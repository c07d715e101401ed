//! Functions and expressions: DataFusion, compiled once and evaluated on columns.
