//! The seam for formats: what every format does, and the one place that names them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::avro::Avro;
use super::csv::Csv;
use super::debezium::Debezium;
use super::maxwell::Maxwell;
use super::{Decoded, DecoderOptions, Format};
use crate::error::Result;
use crate::record::Records;

/// Turns records into changes. A decoder learns from what it reads, so one should read a partition
/// from one end to the other; what it learnt never changes a result.
#[async_trait]
pub trait Decode: fmt::Debug + Send {
    /// Fetches what the records need and do not carry themselves: the schemas of a registry. A format that
    /// needs nothing answers at once. Cancel-safe: what was fetched is kept.
    ///
    /// # Errors
    /// `Unavailable` while something is missing: the records cannot be decoded yet, and the caller asks again
    /// later. `Configuration` where it is refused for good.
    async fn prepare(&mut self, records: &Records) -> Result<()>;

    /// Decodes every record: each is a change, two where its key changed, or accounted for in
    /// [`Decoded`]. A bad record costs only itself.
    fn decode(&mut self, records: &Arc<Records>) -> Decoded;
}

/// A decoder of this format.
pub fn decoder(format: Format, options: DecoderOptions) -> Box<dyn Decode> {
    match format {
        Format::MaxwellJson => Box::new(Maxwell::new(options)),
        Format::DebeziumJson => Box::new(Debezium::new(options)),
        Format::DebeziumAvro => Box::new(Avro::of_events(options)),
        Format::Avro => Box::new(Avro::of_rows(options)),
        // A row of a file of columns comes back from the quarantine as an object.
        Format::Json | Format::Parquet => Box::new(Debezium::of_rows(options, None)),
        Format::Csv => Box::new(Csv::new(options)),
    }
}
