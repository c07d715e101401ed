//! The beginning of a file as a text, to tell a file that was appended to from one that was replaced.
//!
//! The text is `LENGTH:HASH`: how many bytes of the beginning were hashed, at most [`BYTES_MAX`] and
//! only those that were read as lines, and their SipHash. It is kept in targets beside the position,
//! so neither its form nor the algorithm may change. Two files that begin alike are one file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::stable_hash::hash;

/// How much of a file tells it from others.
pub(super) const BYTES_MAX: u64 = 4096;

/// The fingerprint of the first `length` bytes; `None` where the file is shorter.
pub(super) fn take(file: &File, length: u64) -> io::Result<Option<String>> {
    let length = length.min(BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Some(format!("{length}:{:016x}", hash(&bytes)))),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Whether the file begins as the one that `kept` was taken of. A text of another form is no
/// fingerprint and tells nothing.
pub(super) fn matches(file: &File, kept: &str) -> io::Result<bool> {
    let length = kept
        .split_once(':')
        .and_then(|(length, _)| length.parse().ok());
    match length {
        Some(length) if length <= BYTES_MAX => Ok(take(file, length)?.as_deref() == Some(kept)),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_matches_and_another_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let long = "x".repeat(2 * BYTES_MAX as usize);
        let check = |before: &str, read: u64, after: &str, expect: bool| {
            std::fs::write(&path, before).unwrap();
            let kept = take(&File::open(&path).unwrap(), read).unwrap().unwrap();
            std::fs::write(&path, after).unwrap();
            let found = matches(&File::open(&path).unwrap(), &kept).unwrap();
            assert_eq!(
                found,
                expect,
                "{read} bytes of {} and {}",
                before.len(),
                after.len()
            );
        };
        check("ab\n", 3, "ab\n", true);
        check("ab\n", 3, "ab\ncd\n", true);
        check("ab\nc", 3, "ab\nd\n", true);
        check("ab\n", 3, "ac\n", false);
        check("ab\n", 3, "ac\nlonger\n", false);
        check("ab\n", 3, "ab", false);
        check("ab\n", 3, "", false);
        check(&long, long.len() as u64, &format!("{long}y"), true);
        check(&long, long.len() as u64, &format!("y{long}"), false);
    }

    #[test]
    fn a_fingerprint_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "{\"id\":1}\n").unwrap();
        let file = File::open(&path).unwrap();
        let taken = take(&file, 9).unwrap().unwrap();
        assert_eq!(taken, "9:09220fe206669ead");
        assert!(matches(&file, "of another version").unwrap());
        assert_eq!(take(&file, 10).unwrap(), None);
    }
}
