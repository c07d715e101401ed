//! A file that is being written, and how it is finished.
//!
//! A part grows by whole writes and lies beside the finished files. Lines are in it as they will be; each
//! write is a member of its own where they are compressed, which `gzip` and `zstd` read as one file. Columns
//! wait in Arrow's own form, a stream a write, and become `parquet` when the file is finished. A finished
//! file gets its name last, so that whoever reads the folder never sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as PageCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::FileFormat;
use super::state::{PartState, make_folder, sync_folder};
use crate::error::{Error, Result};
use crate::file::Compression;
use crate::file::tail::failed;

/// How hard zstd compresses: its own default is 3.
const ZSTD_LEVEL: i32 = 3;

/// What one write adds to a part.
#[derive(Debug, Default)]
pub(super) struct Addition {
    pub(super) lines: Vec<u8>,
    pub(super) batches: Vec<RecordBatch>,
}

impl Addition {
    /// The bytes as they stand in the part.
    ///
    /// # Errors
    /// Where Arrow cannot write a batch, or a compressor fails.
    pub(super) fn encode(self, compression: Option<Compression>) -> Result<Vec<u8>> {
        let mut bytes = match compression {
            None => self.lines,
            Some(compression) => compression
                .compress(&self.lines)
                .map_err(|cause| Error::unavailable("cannot compress rows", cause))?,
        };
        let fail = |cause| Error::configuration_from("cannot write columns", cause);
        // A stream has one schema, and so has a part.
        if let Some(first) = self.batches.first() {
            let mut writer = StreamWriter::try_new(&mut bytes, &first.schema()).map_err(fail)?;
            for batch in &self.batches {
                writer.write(batch).map_err(fail)?;
            }
            writer.finish().map_err(fail)?;
        }
        Ok(bytes)
    }
}

/// Where a part lies.
pub(super) fn path_of(folder: &Path, partition: &str, part: &PartState) -> PathBuf {
    folder.join(format!("{partition}.{}.part", part.serial))
}

/// Appends to a part behind what it holds, and flushes it. What an earlier try left behind `length` is
/// written over.
///
/// # Errors
/// As the file system says.
pub(super) fn append(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let found = file.metadata()?.len();
    if found < length {
        return Err(io::Error::other(format!(
            "it has {found} bytes, and {length} were written to it: it was cut by another program"
        )));
    }
    if found > length {
        file.set_len(length)?;
    }
    file.seek(SeekFrom::Start(length))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    if length == 0 {
        sync_folder(path)?;
    }
    Ok(())
}

/// Gives a part the name of its finished file. Does nothing where an earlier try did it.
///
/// # Errors
/// `Unavailable` or `Configuration`; it can be tried again.
pub(super) fn finish(path: &Path, part: &PartState, format: FileFormat) -> Result<()> {
    let Some(finished) = &part.finished else {
        return Ok(());
    };
    if !path.exists() {
        return Ok(());
    }
    if let Some(folder) = finished.parent() {
        make_folder(folder)?;
    }
    let done = match format {
        FileFormat::Parquet => {
            if !finished.exists() {
                write_parquet(path, part, finished)?;
            }
            fs::remove_file(path)
        }
        FileFormat::Jsonl | FileFormat::Csv => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| {
                file.set_len(part.length)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(path, finished)),
    };
    done.and_then(|()| sync_folder(finished))
        .map_err(|cause| failed("finish", finished, cause))
}

fn write_parquet(path: &Path, part: &PartState, finished: &Path) -> Result<()> {
    let hidden = finished.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = finished.with_file_name(format!(".{hidden}.tmp"));
    let fail = |cause| failed("write", finished, cause);
    let file = File::open(path).map_err(|cause| failed("read", path, cause))?;
    let mut input = BufReader::with_capacity(1 << 20, file).take(part.length);
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let properties = WriterProperties::builder()
        .set_compression(PageCompression::ZSTD(level))
        .build();
    let refused = |cause: String| {
        Error::configuration(format!(
            "cannot write {:?} as parquet: {cause}: cast the columns in a map operator to types that parquet has",
            finished.display()
        ))
    };
    let mut writer: Option<ArrowWriter<File>> = None;
    while input.limit() > 0 {
        let stream = StreamReader::try_new(&mut input, None);
        let stream = stream.map_err(|cause| refused(cause.to_string()))?;
        for batch in stream {
            let batch = batch.map_err(|cause| refused(cause.to_string()))?;
            if writer.is_none() {
                let output = File::create(&unfinished).map_err(fail)?;
                let made = ArrowWriter::try_new(output, batch.schema(), Some(properties.clone()));
                writer = Some(made.map_err(|cause| refused(cause.to_string()))?);
            }
            if let Some(writer) = &mut writer {
                writer
                    .write(&batch)
                    .map_err(|cause| refused(cause.to_string()))?;
            }
        }
    }
    let Some(writer) = writer else {
        return Ok(());
    };
    let output = writer
        .into_inner()
        .map_err(|cause| Error::unavailable(format!("cannot write {finished:?}"), cause))?;
    output.sync_all().map_err(fail)?;
    fs::rename(&unfinished, finished).map_err(fail)
}
