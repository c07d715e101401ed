//! Files: a source of lines and a sink of JSON lines.
