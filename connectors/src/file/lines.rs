//! Lines of files, one file after another; what `file/source.rs` opens.

use async_trait::async_trait;

use super::find::{find, is_pattern};
use super::tail::{Framing, Tail};
use crate::assignment::{Assignment, Remember, Standing};
use crate::error::{Error, Result};
use crate::record::{Held, Partition, Positions, Records, Span};
use crate::source::{Event, Fetched, Limits, Source};

/// The lines of files.
pub(super) struct Lines {
    path: String,
    once: bool,
    framing: Framing,
    line_bytes_max: usize,
    /// Files that were handed over, in order.
    pub(super) tails: Vec<Tail>,
    /// How many of them were assigned; the rest wait for it.
    assigned: usize,
    /// Files that were found and not yet handed over.
    found: Vec<Partition>,
}

impl Lines {
    /// The files at `path`; `once` ends at the end of the last one.
    ///
    /// # Errors
    /// `Configuration` where the path is no valid pattern, or where there is no such file.
    pub(super) fn open(
        path: &str,
        framing: Framing,
        once: bool,
        line_bytes_max: usize,
    ) -> Result<Self> {
        let mut source = Self {
            path: path.to_owned(),
            once,
            framing,
            line_bytes_max,
            tails: Vec::new(),
            assigned: 0,
            found: Vec::new(),
        };
        source.discover()?;
        if source.found.is_empty() && (once || !is_pattern(path)) {
            return Err(Error::configuration(format!(
                "no file matches {path:?}: correct path = \"…\""
            )));
        }
        Ok(source)
    }

    /// The files that were found and not yet handed over.
    pub(super) fn found(&self) -> &[Partition] {
        &self.found
    }

    /// Looks for files that are not known yet.
    fn discover(&mut self) -> Result<()> {
        for partition in find(&self.path)? {
            let mut tails = self.tails.iter();
            if !tails.any(|tail| tail.partition == partition) {
                self.found.push(partition);
            }
        }
        Ok(())
    }

    fn fetch(&mut self, limits: &Limits) -> Result<Fetched> {
        let mut fetched = Fetched {
            records: Records::default(),
            spans: Vec::new(),
        };
        let records = &mut fetched.records;
        let mut failure = None;
        for tail in &mut self.tails[..self.assigned] {
            let (from, known) = (tail.position(), tail.known);
            let partition = tail.partition.clone();
            let mut number = None;
            while records.len() < limits.rows && records.bytes.len() < limits.bytes.max(1) {
                let line = match tail.next(self.once) {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                };
                let is_csv = self.framing != Framing::Lines;
                // A blank of a CSV field belongs to it.
                let value = match is_csv {
                    true => line.bytes,
                    false => line.bytes.trim_ascii(),
                };
                if value.is_empty() {
                    continue;
                }
                let number = *number.get_or_insert_with(|| records.add_partition(&partition, true));
                let value = (is_csv || value != b"null").then_some(value);
                records.push(number, line.offset, None, None, value, None);
            }
            if let (Some(number), Some(header)) = (number, tail.header()?) {
                records.partitions[number as usize].header = Some(header);
            }
            if tail.position() > from {
                tail.known = true;
                fetched.spans.push(Span {
                    partition,
                    from: known.then_some(from),
                    next: tail.position(),
                    incarnation: tail.incarnation()?,
                });
            }
        }
        // What was read goes out first; the failure comes again with the next call.
        match failure {
            Some(error) if fetched.spans.is_empty() => Err(error),
            _ => Ok(fetched),
        }
    }
}

#[async_trait]
impl Source for Lines {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.found.is_empty() {
            let partitions = std::mem::take(&mut self.found);
            let tails = partitions.iter().cloned();
            let (framing, line_bytes_max) = (self.framing, self.line_bytes_max);
            self.tails
                .extend(tails.map(|partition| Tail::new(partition, framing, line_bytes_max)));
            return Ok(Event::Assigned(partitions));
        }
        if limits.rows > 0 && self.assigned > 0 {
            let fetched = self.fetch(limits)?;
            if !fetched.spans.is_empty() {
                return Ok(Event::Records(fetched));
            }
            if self.once && self.assigned == self.tails.len() {
                return Ok(Event::End);
            }
        }
        if !self.once && self.assigned == self.tails.len() {
            self.discover()?;
        }
        if self.found.is_empty() {
            tokio::time::sleep(limits.linger).await;
        }
        Ok(Event::Idle)
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        for assignment in assignments {
            let mut tails = self.tails.iter_mut();
            let Some(tail) = tails.find(|tail| tail.partition == assignment.partition) else {
                continue;
            };
            for standing in &assignment.sinks {
                if let Standing::Held(Held {
                    incarnation: Some(kept),
                    ..
                }) = standing
                {
                    tail.verify(kept)?;
                }
            }
            let held = assignment.sinks.iter().map(Standing::position);
            // A sink without a position lacks the file from its first byte.
            tail.seek(held.clone().map(|at| at.unwrap_or(0)).min().unwrap_or(0))?;
            tail.known = held.clone().all(|at| at.is_some());
        }
        // Files are handed over in order, so that those that wait are always the last ones.
        self.assigned = self.tails.len();
        Ok(Vec::new())
    }

    async fn acknowledge(&mut self, _positions: &Positions) -> Result<()> {
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
