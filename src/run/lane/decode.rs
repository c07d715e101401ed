//! Bytes on their way to rows; rows that come as rows pass by.

use std::sync::Arc;
use std::time::Instant;

use syncline_connectors::source::{Fetched, FetchedRows};

use super::Lane;
use crate::failure::Failure;

impl Lane {
    /// One fetch of bytes, decoded and processed.
    pub(super) async fn decode(&mut self, fetched: Fetched) -> Result<(), Failure> {
        let records = Arc::new(fetched.records);
        self.refusals
            .first_look(&records, &self.declared, self.chain.input)
            .map_err(|diagnosis| self.stopped(&diagnosis))?;
        self.status.moved(&self.part);
        self.status.waits(&self.part, "a fetch is being decoded");
        let began = Instant::now();
        let decoded = self.decoder.decode(&records);
        self.measures.decode.observe(began.elapsed().as_secs_f64());
        let spans = fetched.spans;
        self.process(FetchedRows {
            records,
            decoded,
            spans,
        })
        .await
    }
}
