use super::*;

fn entry(offset: i64) -> Entry {
    Entry {
        time: "2026-01-01T00:00:00.000Z".into(),
        pipeline: "p".into(),
        stage: "check".into(),
        rule: "required".into(),
        field: None,
        reason: "is missing".into(),
        topic: "t".into(),
        partition: 0,
        offset,
        timestamp_ms: None,
        key: None,
        headers: None,
        value: None,
        run: None,
        found: None,
        suggestion: None,
        fingerprint: None,
        withdrawn: false,
    }
}

fn offsets(listing: &Listing) -> Vec<i64> {
    listing.entries.iter().map(|entry| entry.offset).collect()
}

#[test]
fn what_is_appended_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), "p").unwrap();
    store.append(&[entry(1), entry(2)]).unwrap();
    assert_eq!(
        offsets(&list(folder.path(), "p", u64::MAX).unwrap()),
        [1, 2]
    );
}

#[test]
fn a_torn_line_is_cut_and_the_valid_prefix_kept() {
    let folder = tempfile::tempdir().unwrap();
    FileStore::open(folder.path(), "p")
        .unwrap()
        .append(&[entry(1)])
        .unwrap();
    let path = folder.path().join("p.jsonl");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&line(&entry(2)).as_bytes()[..20]).unwrap();
    drop(file);
    FileStore::open(folder.path(), "p")
        .unwrap()
        .append(&[entry(3)])
        .unwrap();
    let listing = list(folder.path(), "p", u64::MAX).unwrap();
    assert_eq!((offsets(&listing), listing.damaged.len()), (vec![1, 3], 0));
}

#[test]
fn a_flipped_byte_is_found_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    FileStore::open(folder.path(), "p")
        .unwrap()
        .append(&[entry(1), entry(2)])
        .unwrap();
    let path = folder.path().join("p.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes
        .windows(8)
        .position(|window| window == b"required")
        .unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let listing = list(folder.path(), "p", u64::MAX).unwrap();
    assert_eq!((offsets(&listing), listing.damaged.len()), (vec![2], 1));
}

#[test]
fn a_line_that_is_being_written_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), "p").unwrap();
    store.append(&[entry(1)]).unwrap();
    let torn = line(&entry(2));
    let mut open = store.open.lock().unwrap();
    let file = &mut open.as_mut().unwrap().file;
    file.write_all(&torn.as_bytes()[..torn.len() - 1]).unwrap();
    let listing = list(folder.path(), "p", u64::MAX).unwrap();
    assert_eq!((offsets(&listing), listing.damaged.len()), (vec![1], 0));
}

#[test]
fn pipelines_whose_files_have_one_name_are_listed_apart() {
    let folder = tempfile::tempdir().unwrap();
    let of = |pipeline: &str, offset| Entry {
        pipeline: pipeline.into(),
        ..entry(offset)
    };
    for (pipeline, offset) in [("a b", 1), ("a.b", 2)] {
        let store = FileStore::open(folder.path(), pipeline).unwrap();
        store.append(&[of(pipeline, offset)]).unwrap();
    }
    assert_eq!(offsets(&list(folder.path(), "a.b", u64::MAX).unwrap()), [2]);
}

#[test]
fn two_processes_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileStore::open(folder.path(), "p").unwrap();
    let second = FileStore::open(folder.path(), "p").unwrap();
    first.append(&[entry(1)]).unwrap();
    second.append(&[entry(2)]).unwrap();
    let path = |store: &FileStore| store.open.lock().unwrap().as_ref().unwrap().path.clone();
    assert_ne!(path(&first), path(&second));
    assert_eq!(
        offsets(&list(folder.path(), "p", u64::MAX).unwrap()),
        [1, 2]
    );
}

#[test]
fn a_file_that_is_deleted_or_renamed_is_never_appended_to() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault, &[i64]); 4] = [
        (
            "file deleted",
            |folder| std::fs::remove_file(folder.join("p.jsonl")).unwrap(),
            &[2],
        ),
        (
            "file renamed",
            |folder| std::fs::rename(folder.join("p.jsonl"), folder.join("old")).unwrap(),
            &[2],
        ),
        (
            "folder deleted",
            |folder| std::fs::remove_dir_all(folder).unwrap(),
            &[2],
        ),
        ("nothing", |_| {}, &[1, 2]),
    ];
    for (what, fault, expect) in faults {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let store = FileStore::open(&folder, "p").unwrap();
        store.append(&[entry(1)]).unwrap();
        fault(&folder);
        store.append(&[entry(2)]).unwrap();
        assert_eq!(
            offsets(&list(&folder, "p", u64::MAX).unwrap()),
            expect,
            "{what}"
        );
    }
}

#[test]
fn an_append_fails_until_the_folder_can_be_made_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("kept");
    let store = FileStore::open(&folder, "p").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    for _ in 0..2 {
        let error = store.append(&[entry(1)]).unwrap_err();
        assert!(matches!(
            error,
            syncline_connectors::error::Error::Unavailable { .. }
        ));
    }
    std::fs::remove_file(&folder).unwrap();
    store.append(&[entry(1)]).unwrap();
    assert_eq!(offsets(&list(&folder, "p", u64::MAX).unwrap()), [1]);
}

#[test]
fn only_the_owner_reads_what_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("state/kept");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    drop(FileStore::open(&folder, "p").unwrap());
    let file = folder.join("p.jsonl");
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    // As an earlier version made it.
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    drop(FileStore::open(&folder, "p").unwrap());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn of_a_long_file_the_end_is_read_by_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), "p").unwrap();
    store.append(&[entry(1), entry(2), entry(3)]).unwrap();
    let bytes = line(&entry(1)).len() as u64;
    let cases: [(u64, &[i64], bool); 5] = [
        (3 * bytes, &[1, 2, 3], false),
        (3 * bytes - 1, &[2, 3], true),
        (2 * bytes, &[2, 3], true),
        (2 * bytes - 1, &[3], true),
        (bytes - 1, &[], true),
    ];
    for (bytes_max, expected, is_cut) in cases {
        let listing = list(folder.path(), "p", bytes_max).unwrap();
        assert_eq!(offsets(&listing), expected, "{bytes_max} bytes");
        assert_eq!(listing.is_cut, is_cut, "{bytes_max} bytes");
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    }
}
