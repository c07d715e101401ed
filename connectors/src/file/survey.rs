//! Files as they are now, for a person who looks at positions or moves them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::Compression;
use super::fingerprint;
use super::input::Input;
use super::lines::Lines;
use super::tail::failed;
use crate::error::{Error, Result};
use crate::record::{Incarnation, Partition};
use crate::source::{Extent, Wanted};

/// How much is read at once.
const BLOCK_BYTES: u64 = 64 << 10;

/// The files that match now. Their end is that of their last whole line.
///
/// # Errors
/// `Configuration` where there is no such file, where an instant or a group is asked for, or where an
/// offset does not begin a line.
pub(super) fn survey(files: &Lines, wanted: &Wanted) -> Result<Vec<Extent>> {
    if wanted.time.is_some() {
        return Err(Error::configuration(
            "a file has no offset of an instant: name an offset in bytes, the beginning or the end",
        ));
    }
    let mut extents = Vec::new();
    for partition in files.found() {
        let (high, broken) = end(partition, wanted.offset)
            .map_err(|cause| failed("read", Path::new(&*partition.topic), cause))?;
        if broken {
            return Err(Error::configuration(format!(
                "file {:?} has no line that begins at byte {}: name the byte after a line end",
                partition.topic,
                wanted.offset.unwrap_or_default()
            )));
        }
        extents.push(Extent {
            partition: partition.clone(),
            low: 0,
            high,
            incarnation: fingerprint_of(partition, wanted.offset.unwrap_or(high))
                .map_err(|cause| failed("read", Path::new(&*partition.topic), cause))?,
            group: None,
            time: None,
        });
    }
    Ok(extents)
}

/// What a position at `offset` counts in.
fn fingerprint_of(partition: &Partition, offset: i64) -> std::io::Result<Option<Incarnation>> {
    let mut length = u64::try_from(offset).unwrap_or(0);
    let file = File::open(&*partition.topic)?;
    if length > 0 && Compression::of_name(Path::new(&*partition.topic)).is_some() {
        length = file.metadata()?.len();
    }
    let taken = (length > 0)
        .then(|| fingerprint::take(&file, length))
        .transpose()?;
    Ok(taken.flatten().map(Into::into))
}

/// Where the last whole line ends, and whether `offset` lies within a line.
fn end(partition: &Partition, offset: Option<i64>) -> std::io::Result<(i64, bool)> {
    if Compression::of_name(Path::new(&*partition.topic)).is_some() {
        return end_of_packed(partition, offset);
    }
    let mut file = File::open(&*partition.topic)?;
    let length = file.metadata()?.len();
    let mut broken = false;
    if let Some(before) = offset.and_then(|offset| u64::try_from(offset).ok()?.checked_sub(1))
        && before < length
    {
        let mut byte = [0];
        file.seek(SeekFrom::Start(before))?;
        file.read_exact(&mut byte)?;
        broken = byte != *b"\n";
    }
    let mut upto = length;
    while upto > 0 {
        let from = upto.saturating_sub(BLOCK_BYTES);
        let mut block = vec![0; (upto - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        if let Some(found) = memchr::memrchr(b'\n', &block) {
            return Ok(((from + found as u64 + 1) as i64, broken));
        }
        upto = from;
    }
    Ok((0, broken))
}

/// The same of what is in a compressed file.
fn end_of_packed(partition: &Partition, offset: Option<i64>) -> std::io::Result<(i64, bool)> {
    let Ok(mut input) = Input::open(Path::new(&*partition.topic), 0)? else {
        return Ok((0, false));
    };
    let (mut passed, mut high, mut broken) = (0, 0, false);
    let mut block = vec![0; BLOCK_BYTES as usize];
    loop {
        let count = input.read(&mut block)?;
        if count == 0 {
            return Ok((high, broken));
        }
        let before = offset.map(|offset| offset - 1 - passed);
        let byte = before.and_then(|at| block[..count].get(usize::try_from(at).ok()?));
        broken |= byte.is_some_and(|&byte| byte != b'\n');
        if let Some(found) = memchr::memrchr(b'\n', &block[..count]) {
            high = passed + found as i64 + 1;
        }
        passed += count as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tail::{Framing, LINE_BYTES_MAX};

    #[test]
    fn the_end_is_that_of_the_last_whole_line_and_an_offset_begins_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let check = |text: &str, offset: Option<i64>, expect: Option<i64>| {
            std::fs::write(&path, text).unwrap();
            let path = path.to_str().unwrap();
            let files = Lines::open(path, Framing::Lines, true, LINE_BYTES_MAX).unwrap();
            let wanted = Wanted {
                offset,
                ..Wanted::default()
            };
            let found = survey(&files, &wanted).ok();
            assert_eq!(
                found.map(|found| found[0].high),
                expect,
                "{text:?} {offset:?}"
            );
        };
        check("", None, Some(0));
        check("a", None, Some(0));
        check("a\nbc\n", None, Some(5));
        check("a\nbc\nd", None, Some(5));
        check(&"x".repeat(200_000), None, Some(0));
        check(&format!("{}\ny", "x".repeat(200_000)), None, Some(200_001));
        check("a\nbc\n", Some(0), Some(5));
        check("a\nbc\n", Some(2), Some(5));
        check("a\nbc\n", Some(3), None);
    }
}
