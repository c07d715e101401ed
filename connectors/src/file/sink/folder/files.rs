//! The files of one session: rows go to parts, parts become finished files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::change::Changes;
use crate::error::{Error, RejectedChange, Result};
use crate::file::sink::part::{self, Addition};
use crate::file::sink::rows::Encoder;
use crate::file::sink::state::{Locked, PartState, Place, partition_name};
use crate::file::sink::template::Template;
use crate::file::sink::{FileFormat, FileSink};
use crate::file::tail::failed;
use crate::record::{Partition, Span};
use crate::sink::{Identity, Write};

/// The files of one session.
pub(super) struct Files {
    config: FileSink,
    encoder: Encoder,
    template: Template,
    pub(super) identity: Identity,
    place: Place,
    /// The folder of the parts, and of the files that say where partitions stand.
    pub(super) own: PathBuf,
    interval_ms: i64,
    /// The partitions that this session wrote, and when its oldest part was begun.
    written: BTreeMap<Partition, Option<i64>>,
    /// Spans of a write that failed: some may be committed.
    in_doubt: Vec<Span>,
}

impl Files {
    /// Before the first write of a session.
    ///
    /// # Errors
    /// `Configuration` where the path cannot be read.
    pub(super) fn open(
        config: &FileSink,
        identity: &Identity,
        place: Place,
        interval: Duration,
    ) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::of(config),
            template: Template::parse(&config.path).map_err(Error::configuration)?,
            own: place.source(&identity.source),
            config: config.clone(),
            identity: identity.clone(),
            place,
            interval_ms: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX),
            written: BTreeMap::new(),
            in_doubt: Vec::new(),
        })
    }

    /// Makes a write durable.
    ///
    /// # Errors
    /// As [`Sink::write`](crate::sink::Sink::write).
    pub(super) fn write(&mut self, write: &Write) -> Result<()> {
        let mut rejected = Vec::new();
        for (batch, changes) in write.changes.iter().enumerate() {
            for refused in self.encoder.refused(changes) {
                rejected.push(RejectedChange {
                    batch,
                    row: refused.row,
                    rule: refused.rule,
                    field: refused.field,
                    reason: refused.reason,
                });
            }
        }
        // Nothing is written of a write of which something is refused: the rest comes again.
        if !rejected.is_empty() {
            return Err(Error::Rejected(rejected));
        }
        let mut all: Vec<Span> = write.spans.clone();
        if all.is_empty() {
            return match write.is_empty() {
                true => Ok(()),
                false => Err(Error::configuration(
                    "changes came without the place that they are from: this is a defect, please report it",
                )),
            };
        }
        // A replay of the quarantine names a place of its own for a record of another.
        all.sort_by(|left, right| left.partition.cmp(&right.partition));
        for (index, span) in all.iter().enumerate() {
            self.write_partition(write, span, index == 0, &all)?;
        }
        self.in_doubt.clear();
        Ok(())
    }

    /// The rows of one partition, and where it stands behind them. `first` takes those of partitions that
    /// have no span.
    fn write_partition(
        &mut self,
        write: &Write,
        span: &Span,
        first: bool,
        all: &[Span],
    ) -> Result<()> {
        let path = self.place.file(&self.identity, &span.partition);
        let mut locked = Locked::take(&path, &self.identity.source, &span.partition)?;
        let is_done = self.in_doubt.contains(span) && locked.state.next == Some(span.next);
        if !is_done {
            if locked.state.next != span.from {
                return Err(Error::Fenced {
                    partition: span.partition.clone(),
                    expected: span.from.unwrap_or(0),
                    found: locked.state.next,
                });
            }
            if locked.state.revision == 0 {
                self.refuse_unknown(&span.partition)?;
            }
            let belongs = |partition: &Partition| {
                *partition == span.partition
                    || (first && all.iter().all(|span| span.partition != *partition))
            };
            let mut additions: BTreeMap<u64, Addition> = BTreeMap::new();
            for changes in &write.changes {
                self.sort(changes, &belongs, &mut locked, &mut additions)?;
            }
            self.append(&span.partition, &mut locked, additions)?;
            locked.state.next = Some(span.next);
            if let Some(incarnation) = &span.incarnation {
                locked.state.incarnation = Some(incarnation.to_string());
            }
            self.decide(&span.partition, &mut locked, false);
            self.in_doubt.push(span.clone());
            locked.commit()?;
        }
        self.finish(&span.partition, &mut locked)
    }

    /// Puts the rows of a batch where they go, in parts that are begun where there is none.
    fn sort(
        &self,
        changes: &Changes,
        belongs: &impl Fn(&Partition) -> bool,
        locked: &mut Locked,
        additions: &mut BTreeMap<u64, Addition>,
    ) -> Result<()> {
        let now_ms = chrono::Utc::now().timestamp_millis();
        // By the stretch of time that a folder stands for.
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for row in 0..changes.len() {
            let origin = changes.origins[row] as usize;
            if belongs(&changes.records.partition(origin).partition) {
                let time_ms = changes.event_times_ms[row].unwrap_or(now_ms);
                let stretch = self.template.stretch_ms();
                let stretch = stretch.map_or(0, |length| time_ms.div_euclid(length));
                rows.entry(stretch).or_default().push(row as u32);
            }
        }
        for (stretch, rows) in rows {
            let time_ms = stretch * self.template.stretch_ms().unwrap_or(0);
            let folder = self.template.folder(&changes.table.name, time_ms)?;
            let offset = |row: u32| {
                let origin = changes.origins[row as usize] as usize;
                changes.records.entries[origin].offset
            };
            let offsets = rows.iter().map(|&row| offset(row));
            let (from, last) = offsets.fold((i64::MAX, i64::MIN), |(low, high), offset| {
                (low.min(offset), high.max(offset))
            });
            let shape = self.encoder.shape(changes);
            let part = self.part(locked, &folder, shape, from);
            let begins = part.rows == 0;
            part.rows += rows.len() as u64;
            part.from = part.from.min(from);
            part.next = part.next.max(last + 1);
            let addition = additions.entry(part.serial).or_default();
            match self.encoder.format {
                FileFormat::Parquet => addition.batches.push(self.encoder.batch(changes, &rows)?),
                FileFormat::Jsonl | FileFormat::Csv => {
                    let lines = self.encoder.lines(changes, &rows, begins);
                    addition.lines.extend(lines);
                }
            }
        }
        Ok(())
    }

    /// The part of a folder; one of other columns is finished, and another begun.
    fn part<'s>(
        &self,
        locked: &'s mut Locked,
        folder: &Path,
        shape: String,
        from: i64,
    ) -> &'s mut PartState {
        let state = &mut locked.state;
        let is_open = |part: &PartState| !part.ends && part.folder == folder;
        let open = state.parts.iter().position(is_open);
        if let Some(index) = open.filter(|&index| state.parts[index].shape != shape) {
            state.parts[index].ends = true;
        }
        let index = match open.filter(|&index| state.parts[index].shape == shape) {
            Some(index) => index,
            None => {
                state.serial += 1;
                state.parts.push(PartState {
                    serial: state.serial,
                    folder: folder.to_owned(),
                    shape,
                    from,
                    next: from,
                    rows: 0,
                    length: 0,
                    begun_ms: chrono::Utc::now().timestamp_millis(),
                    ends: false,
                    finished: None,
                });
                state.parts.len() - 1
            }
        };
        &mut state.parts[index]
    }

    /// Appends to the parts and flushes them; what they hold counts with the next commit.
    fn append(
        &self,
        partition: &Partition,
        locked: &mut Locked,
        additions: BTreeMap<u64, Addition>,
    ) -> Result<()> {
        let name = partition_name(partition);
        for (serial, addition) in additions {
            let bytes = addition.encode(self.config.compression)?;
            let mut parts = locked.state.parts.iter_mut();
            let Some(part) = parts.find(|part| part.serial == serial) else {
                continue;
            };
            let path = part::path_of(&self.own, &name, part);
            part::append(&path, part.length, &bytes)
                .map_err(|cause| failed("write", &path, cause))?;
            part.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// Names the files of the parts that are to be finished: those that are full or old, or all.
    fn decide(&mut self, partition: &Partition, locked: &mut Locked, every: bool) {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let mut taken: Vec<PathBuf> = Vec::new();
        for part in &mut locked.state.parts {
            let full = part.rows >= self.config.roll.rows || part.length >= self.config.roll.bytes;
            let old = now_ms - part.begun_ms >= self.interval_ms;
            if part.finished.is_none() && (every || part.ends || full || old) {
                part.ends = true;
                part.finished = Some(self.free_name(partition, part, &taken));
            }
            taken.extend(part.finished.clone());
        }
        let open = locked.state.parts.iter().filter(|part| !part.ends);
        let oldest = open.map(|part| part.begun_ms).min();
        self.written.insert(partition.clone(), oldest);
    }

    /// The name of a finished file. One that is taken was written before positions were moved back.
    fn free_name(&self, partition: &Partition, part: &PartState, taken: &[PathBuf]) -> PathBuf {
        let stem = format!(
            "{}-{:020}-{:020}",
            partition_name(partition),
            part.from,
            part.next
        );
        let mut repeat = 1;
        loop {
            let name = match repeat {
                1 => format!("{stem}.{}", self.extension()),
                repeat => format!("{stem}-{repeat}.{}", self.extension()),
            };
            let path = part.folder.join(name);
            if !path.exists() && !taken.contains(&path) {
                return path;
            }
            repeat += 1;
        }
    }

    fn extension(&self) -> String {
        let format = match self.config.format {
            FileFormat::Jsonl => "jsonl",
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
        };
        match self.config.compression {
            Some(compression) => format!("{format}.{}", compression.extension()),
            None => format.to_owned(),
        }
    }

    /// Finishes the files that have a name.
    fn finish(&self, partition: &Partition, locked: &mut Locked) -> Result<()> {
        let name = partition_name(partition);
        let before = locked.state.parts.len();
        for part in &locked.state.parts {
            part::finish(
                &part::path_of(&self.own, &name, part),
                part,
                self.config.format,
            )?;
        }
        locked.state.parts.retain(|part| part.finished.is_none());
        match locked.state.parts.len() < before {
            true => locked.commit(),
            false => Ok(()),
        }
    }

    /// Finishes what is old enough in the partitions of this session, or everything.
    pub(super) fn roll(&mut self, every: bool) -> Result<()> {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let is_due = |begun_ms: &Option<i64>| {
            every || begun_ms.is_some_and(|begun_ms| now_ms - begun_ms >= self.interval_ms)
        };
        let due = self.written.iter().filter(|(_, begun_ms)| is_due(begun_ms));
        let due: Vec<Partition> = due.map(|(partition, _)| partition.clone()).collect();
        for partition in due {
            let path = self.place.file(&self.identity, &partition);
            let mut locked = Locked::take(&path, &self.identity.source, &partition)?;
            self.decide(&partition, &mut locked, every);
            if locked
                .state
                .parts
                .iter()
                .any(|part| part.finished.is_some())
            {
                locked.commit()?;
                self.finish(&partition, &mut locked)?;
            }
        }
        Ok(())
    }

    /// Refuses a partition that is new to the sink while there are files of it: what says up to where they
    /// go was removed, and everything would be written again.
    fn refuse_unknown(&self, partition: &Partition) -> Result<()> {
        let root = glob::Pattern::escape(&self.place.root.to_string_lossy());
        let name = glob::Pattern::escape(&partition_name(partition));
        let digits = "[0-9]".repeat(20);
        let pattern = format!("{root}/**/{name}-{digits}-{digits}*.{}", self.extension());
        let mut found = glob::glob(&pattern)
            .map_err(|cause| Error::configuration_from("the path is no pattern", cause))?;
        match found.find_map(|path| path.ok()) {
            None => Ok(()),
            Some(path) => Err(Error::configuration(format!(
                "{:?} was written before, and nothing says up to where the sink has come: move the files away or give the sink another folder; if another pipeline wrote them, give each a folder of its own",
                path.display()
            ))),
        }
    }
}
