//! The promises of `Fs`, claim by claim, on a real disk. What a power cut does is tested elsewhere, with a
//! file system that can lose what was not synced.

#![allow(
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "small files, cut where characters end"
)]

use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::SystemTime;

use super::*;

/// A directory of its own for one test.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let name = format!("sessile-disk-{}", temporary_name().expect("entropy"));
        Self { path: std::env::temp_dir().join(name) }
    }

    fn disk(&self) -> DiskFs {
        DiskFs::open(&self.path, Access::ReadWrite).expect("a store directory")
    }

    fn disk_read_only(&self) -> DiskFs {
        DiskFs::open(&self.path, Access::ReadOnly).expect("a store directory")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// A disk that has `LOG` with `content`, whatever the bytes.
    fn disk_with(&self, content: &[u8]) -> DiskFs {
        let mut disk = self.disk();
        disk.create(LOG, "").expect("created");
        fs::write(self.at(LOG), content).expect("written");
        disk
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const LOG: &str = "sessions/k/s-1.jsonl";
const SYNCED: Durability = Durability::Synced;
const BUFFERED: Durability = Durability::Buffered;

fn kind<T: Debug>(result: Result<T, FsError>) -> FsErrorKind {
    result.expect_err("an error").kind
}

/// Runs every operation that takes a path of a file.
fn every_operation(disk: &mut DiskFs, path: &str) -> Vec<(&'static str, FsErrorKind)> {
    let mut kinds = every_read(disk, path);
    kinds.extend([
        ("append", kind(disk.append(path, "x\n", SYNCED))),
        ("sync", kind(disk.sync(path))),
        ("create", kind(disk.create(path, "x"))),
        ("replace", kind(disk.replace(path, "x"))),
        ("remove", kind(disk.remove(path))),
    ]);
    kinds
}

fn every_read(disk: &mut DiskFs, path: &str) -> Vec<(&'static str, FsErrorKind)> {
    vec![
        ("stat", kind(disk.stat(path))),
        ("read_text", kind(disk.read_text(path, 0, 9))),
        ("read_bytes", kind(disk.read_bytes(path, 0, 9))),
    ]
}

#[track_caller]
fn assert_all(kinds: Vec<(&'static str, FsErrorKind)>, expected: FsErrorKind) {
    for (operation, kind) in kinds {
        assert_eq!(kind, expected, "{operation}");
    }
}

// The root

#[test]
fn root_is_created_with_its_parents() {
    let scratch = Scratch::new();
    let root = scratch.at("a/./b/c");
    DiskFs::open(&root, Access::ReadWrite).expect("created").create(LOG, "x").expect("created");
    DiskFs::open(&root, Access::ReadWrite).expect("opened again");
    assert_eq!(fs::read(root.join(LOG)).expect("the file"), b"x");
}

#[test]
fn absent_root_is_not_created_for_reading() {
    let scratch = Scratch::new();
    assert_eq!(kind(DiskFs::open(&scratch.path, Access::ReadOnly)), FsErrorKind::NotFound);
    assert!(!scratch.path.exists());
}

#[test]
fn root_that_is_a_file_is_refused() {
    let scratch = Scratch::new();
    scratch.disk().create("sessile.json", "{}").expect("created");
    for access in [Access::ReadWrite, Access::ReadOnly] {
        assert_eq!(kind(DiskFs::open(&scratch.at("sessile.json"), access)), FsErrorKind::Refused);
        assert_eq!(kind(DiskFs::open(&scratch.at("sessile.json/x"), access)), FsErrorKind::Refused);
    }
}

#[test]
fn read_only_access_reads_and_writes_nothing() {
    let scratch = Scratch::new();
    scratch.disk().create(LOG, "a\nb\n").expect("created");
    fs::remove_dir_all(scratch.at("tmp")).expect("removed");
    let before = snapshot(&scratch.path);

    let mut disk = scratch.disk_read_only();
    assert_eq!(disk.stat(LOG), Ok(4));
    assert_eq!(disk.read_text(LOG, 2, 9).expect("text").data, "b\n");
    assert_eq!(disk.read_bytes(LOG, 0, 2), Ok(b"a\n".to_vec()));
    assert_eq!(disk.list("sessions/k", "", 9).expect("entries").len(), 1);
    assert_eq!(disk.list("catalogue", "", 9), Ok(Vec::new()));
    for error in [
        disk.append(LOG, "c\n", BUFFERED).expect_err("read-only"),
        disk.create("catalogue/c.jsonl", "").expect_err("read-only"),
        disk.replace(LOG, "").expect_err("read-only"),
        disk.remove(LOG).expect_err("read-only"),
        disk.sync(LOG).expect_err("read-only"),
    ] {
        assert_eq!(error.kind, FsErrorKind::Unavailable);
        assert!(error.message.contains("opened read-only"), "{error}");
    }
    assert_eq!(snapshot(&scratch.path), before);
}

fn snapshot(path: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut seen = Vec::new();
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        if metadata.is_dir() {
            paths.extend(
                fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
        }
        seen.push((path, metadata.len(), metadata.modified().expect("a time")));
    }
    seen.sort();
    seen
}

// Paths

#[test]
fn paths_that_the_core_never_writes_are_refused() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    let long = "a".repeat(65);
    let refused = [
        "", "/", ".", "..", "../a", "a/..", "a/../b", "a/./b", "/a", "a/", "a//b", "a/b/c/d", "A", "a_b",
        "a b", "a\\b", "a:b", "a\0b", "a\nb", "é", "~", "%2e%2e", &long,
    ];
    for path in refused {
        assert_all(every_operation(&mut disk, path), FsErrorKind::Refused);
        assert_eq!(kind(disk.list(path, "", 9)), FsErrorKind::Refused, "{path:?}");
    }
    assert_eq!(kind(disk.list("a/b/c", "", 9)), FsErrorKind::Refused);
    assert_eq!(disk.create(&"a".repeat(64), ""), Ok(()));
    assert_eq!(disk.create("a/b/..c", ""), Ok(()));
}

#[test]
fn names_of_windows_devices_are_known() {
    for name in ["con", "nul.json", "com0", "lpt9.a.b", "aux", "prn", "a."] {
        assert!(is_windows_device(name), "{name}");
    }
    for name in ["s-1.jsonl", "con-1", "com", "com10", "nul0", "lpt-"] {
        assert!(!is_windows_device(name), "{name}");
    }
}

#[test]
fn absent_files_are_not_found() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    for path in [LOG, "sessile.json"] {
        assert_all(every_read(&mut disk, path), FsErrorKind::NotFound);
        assert_eq!(kind(disk.append(path, "x", SYNCED)), FsErrorKind::NotFound);
        assert_eq!(kind(disk.sync(path)), FsErrorKind::NotFound);
        assert_eq!(kind(disk.remove(path)), FsErrorKind::NotFound);
    }
}

#[test]
fn messages_name_the_path_and_the_way_out() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    let absent = disk.stat(LOG).expect_err("absent");
    disk.create(LOG, "").expect("created");
    let exists = disk.create(LOG, "").expect_err("there");
    let below = disk.stat("sessions/k/s-1.jsonl").and_then(|_| disk.list("sessions", "", 0).map(|_| 0));
    assert_eq!(below, Ok(0));
    fs::create_dir(scratch.at("sessile.json")).expect("made");
    let refused = disk.read_text("sessile.json", 0, 1).expect_err("a directory");
    for (error, path) in [(absent, "sessions"), (exists, LOG), (refused, "sessile.json")] {
        assert!(error.message.contains(&format!("`{path}")), "{error}");
        assert!(error.message.starts_with(|first: char| !first.is_uppercase()), "{error}");
        assert!(error.message.contains("; "), "{error}");
    }
}

#[test]
fn errors_of_the_system_become_what_the_caller_does_next() {
    for (from, to) in [
        (ErrorKind::NotFound, FsErrorKind::NotFound),
        (ErrorKind::IsADirectory, FsErrorKind::Refused),
        (ErrorKind::NotADirectory, FsErrorKind::Refused),
        (ErrorKind::StorageFull, FsErrorKind::Unavailable),
        (ErrorKind::QuotaExceeded, FsErrorKind::Unavailable),
        (ErrorKind::ReadOnlyFilesystem, FsErrorKind::Unavailable),
        (ErrorKind::PermissionDenied, FsErrorKind::Unavailable),
        (ErrorKind::FileTooLarge, FsErrorKind::Unavailable),
        (ErrorKind::Other, FsErrorKind::Unavailable),
    ] {
        let error = failure("open", LOG, &from.into());
        assert_eq!(error.kind, to, "{from:?}");
        assert!(error.message.starts_with("cannot open `sessions/k/s-1.jsonl`: "), "{error}");
    }
}

// Appending

#[test]
fn append_returns_the_size_after_it() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    disk.create(LOG, "{}\n").expect("created");
    assert_eq!(disk.append(LOG, "ab\n", SYNCED), Ok(6));
    assert_eq!(disk.append(LOG, "", BUFFERED), Ok(6));
    assert_eq!(disk.append(LOG, "é", BUFFERED), Ok(8));
    assert_eq!(scratch.disk().append(LOG, "\n", SYNCED), Ok(9));
    assert_eq!(disk.append(LOG, "c\n", SYNCED), Ok(11));
    assert_eq!(disk.sync(LOG), Ok(()));
    assert_eq!(disk.read_text(LOG, 0, 99).expect("text").data, "{}\nab\né\nc\n");
}

#[test]
fn descriptors_for_appending_are_bounded() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    for round in 1..=3 {
        for file in 0..3 * APPENDERS_MAX {
            let path = format!("sessions/k/s-{file}.jsonl");
            if round == 1 {
                disk.create(&path, "").expect("created");
            }
            assert_eq!(disk.append(&path, "x\n", BUFFERED), Ok(2 * round));
            assert!(disk.appenders.len() <= APPENDERS_MAX);
        }
    }
}

#[test]
fn concurrent_appends_never_interleave() {
    const RECORDS: usize = 200;
    let scratch = Scratch::new();
    scratch.disk().create(LOG, "").expect("created");
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for letter in ["a", "b", "c", "d"] {
            let mut disk = scratch.disk();
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for record in 0..RECORDS {
                    let line = format!("{}\n", letter.repeat(1 + record * 7919 % 40_000));
                    let size = disk.append(LOG, &line, BUFFERED).expect("appended");
                    assert!(size >= line.len() as u64);
                }
            });
        }
    });
    let content = fs::read_to_string(scratch.at(LOG)).expect("the file");
    let mut lengths = [const { Vec::new() }; 4];
    for line in content.lines() {
        let first = line.as_bytes()[0];
        assert!(line.bytes().all(|byte| byte == first), "interleaved");
        lengths[usize::from(first - b'a')].push(line.len());
    }
    let expected: Vec<usize> = (0..RECORDS).map(|record| 1 + record * 7919 % 40_000).collect();
    for lengths in lengths {
        assert_eq!(lengths, expected);
    }
}

// Creating and replacing

#[test]
fn create_makes_directories_and_leaves_nothing_in_tmp() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    for path in [LOG, "catalogue/c-1.jsonl", "sessile.json"] {
        assert_eq!(disk.create(path, path), Ok(()));
        assert_eq!(fs::read_to_string(scratch.at(path)).expect("the file"), path);
    }
    assert_eq!(scratch.names("tmp"), Vec::<String>::new());
}

#[test]
fn create_bytes_keeps_every_byte() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(disk.create_bytes("attachments/a/b.png", &bytes), Ok(()));
    assert_eq!(disk.read_bytes("attachments/a/b.png", 0, 999), Ok(bytes));
    assert_eq!(kind(disk.create_bytes("attachments/a/b.png", b"x")), FsErrorKind::Exists);
}

#[test]
fn create_is_exclusive() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    disk.create(LOG, "first").expect("created");
    assert_eq!(kind(disk.create(LOG, "second")), FsErrorKind::Exists);
    // And where the first look has not seen it.
    assert_eq!(kind(disk.place(LOG, b"third", Placing::New)), FsErrorKind::Exists);
    assert_eq!(disk.read_text(LOG, 0, 99).expect("text").data, "first");
    assert_eq!(scratch.names("tmp"), Vec::<String>::new());
}

#[test]
fn create_raced_by_threads_has_one_winner() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        let barrier = Barrier::new(8);
        let wins: Vec<u32> = std::thread::scope(|scope| {
            let race = |racer: u32| {
                let (scratch, barrier) = (&scratch, &barrier);
                scope.spawn(move || {
                    let mut disk = scratch.disk();
                    barrier.wait();
                    match disk.create(LOG, &racer.to_string().repeat(10_000)) {
                        Ok(()) => Some(racer),
                        Err(error) => {
                            assert_eq!(error.kind, FsErrorKind::Exists, "{error}");
                            // Whoever loses finds the winner's file, whole.
                            assert_eq!(disk.stat(LOG), Ok(10_000));
                            None
                        }
                    }
                })
            };
            let racers: Vec<_> = (0..8).map(race).collect();
            racers.into_iter().filter_map(|racer| racer.join().expect("no panic")).collect()
        });
        assert_eq!(wins.len(), 1, "{wins:?}");
        assert_eq!(
            fs::read_to_string(scratch.at(LOG)).expect("the file"),
            wins[0].to_string().repeat(10_000)
        );
        assert_eq!(scratch.names("tmp"), Vec::<String>::new());
    }
}

#[test]
fn replace_creates_and_replaces() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    assert_eq!(disk.replace("catalogue/snapshot", "one"), Ok(()));
    assert_eq!(disk.append("catalogue/snapshot", "+", BUFFERED), Ok(4));
    assert_eq!(disk.replace("catalogue/snapshot", "two"), Ok(()));
    assert!(disk.appenders.is_empty(), "the descriptor of the old file would keep its space");
    assert_eq!(disk.append("catalogue/snapshot", "-", SYNCED), Ok(4));
    assert_eq!(disk.read_text("catalogue/snapshot", 0, 9).expect("text").data, "two-");
    assert_eq!(scratch.names("tmp"), Vec::<String>::new());
}

#[test]
fn readers_of_a_file_being_replaced_see_one_content_or_the_other() {
    let scratch = Scratch::new();
    let contents = ["a".repeat(70_000), "b".repeat(50_000)];
    scratch.disk().replace("sessile.json", &contents[0]).expect("replaced");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut disk = scratch.disk();
            for round in 0..100 {
                disk.replace("sessile.json", &contents[round % 2]).expect("replaced");
            }
        });
        let mut disk = scratch.disk_read_only();
        while !writer.is_finished() {
            let text = disk.read_text("sessile.json", 0, u32::MAX).expect("text");
            assert!(contents.contains(&text.data), "{} bytes", text.data.len());
        }
    });
}

#[test]
fn leftovers_in_tmp_are_swept_when_they_are_old() {
    let scratch = Scratch::new();
    scratch.disk().create(LOG, "").expect("created");
    let [old, young, foreign] = ["0".repeat(32), "1".repeat(32), "notes".to_owned()];
    for name in [&old, &young, &foreign] {
        fs::write(scratch.at("tmp").join(name), "secret").expect("written");
    }
    for name in [&old, &foreign] {
        let file = OpenOptions::new().write(true).open(scratch.at("tmp").join(name)).expect("opened");
        file.set_modified(SystemTime::now() - TEMPORARY_AGE_MAX - Duration::from_secs(60)).expect("aged");
    }
    scratch.disk().stat(LOG).expect("there");
    assert_eq!(scratch.names("tmp").len(), 3);
    scratch.disk().replace(LOG, "x").expect("replaced");
    let mut names = scratch.names("tmp");
    names.sort();
    assert_eq!(names, [young, foreign]);
}

// Reading

#[test]
fn read_bytes_returns_what_is_there() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(b"\xFF\x00abc");
    assert_eq!(disk.read_bytes(LOG, 0, u32::MAX), Ok(b"\xFF\x00abc".to_vec()));
    assert_eq!(disk.read_bytes(LOG, 1, 2), Ok(b"\x00a".to_vec()));
    assert_eq!(disk.read_bytes(LOG, 3, 0), Ok(Vec::new()));
    assert_eq!(disk.read_bytes(LOG, 5, 1), Ok(Vec::new()));
    assert_eq!(disk.read_bytes(LOG, u64::MAX, u32::MAX), Ok(Vec::new()));
}

#[test]
fn huge_sparse_file_costs_only_what_is_asked_for() {
    const SIZE: u64 = 1 << 40;
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(b"");
    OpenOptions::new().write(true).open(scratch.at(LOG)).expect("opened").set_len(SIZE).expect("sparse");
    assert_eq!(disk.stat(LOG), Ok(SIZE));
    assert_eq!(disk.read_bytes(LOG, SIZE / 2, 16), Ok(vec![0; 16]));
    assert_eq!(disk.read_bytes(LOG, SIZE - 4, u32::MAX), Ok(vec![0; 4]));
    assert_eq!(disk.read_text(LOG, SIZE - 4, 99).expect("text").data, "\0\0\0\0");
    assert_eq!(disk.append(LOG, "x\n", BUFFERED), Ok(SIZE + 2));
}

#[test]
fn small_file_does_not_cost_the_limit() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(b"abc");
    let (bytes, _) = disk.read(LOG, 1, u32::MAX).expect("bytes");
    assert!(bytes.capacity() < 1024, "{}", bytes.capacity());
}

fn text(start: u64, data: &str) -> Result<Text, u64> {
    Ok(Text { start, data: data.to_owned() })
}

#[test]
fn text_ends_after_the_last_newline() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(b"one\ntwo\nthr\xC3");
    let mut data = |offset, limit| disk.read_text(LOG, offset, limit).expect("text").data;
    assert_eq!(data(0, 99), "one\ntwo\n");
    assert_eq!(data(0, 7), "one\n");
    assert_eq!(data(4, 4), "two\n");
    assert_eq!(data(4, 2), "tw");
    assert_eq!(data(8, 3), "thr");
    assert_eq!(data(12, 99), "");
    // The torn tail by itself is no text, and says where.
    let error = disk.read_text(LOG, 8, 99).expect_err("torn");
    assert_eq!(error.kind, FsErrorKind::NotText);
    assert!(error.message.contains("at byte 11;"), "{error}");
    assert_eq!(disk.read_bytes(LOG, 8, 99), Ok(b"thr\xC3".to_vec()));
}

#[test]
fn nuls_are_text() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(b"a\n\0\0\0");
    assert_eq!(disk.read_text(LOG, 2, 99), Ok(Text { start: 2, data: "\0\0\0".to_owned() }));
}

#[test]
fn characters_cut_at_either_end_are_left_out() {
    // Each begins and ends within a character of four bytes.
    assert_eq!(text_from(b"\x98\x80a\xF0\x9F\x98".to_vec(), 2, false), text(4, "a"));
    assert_eq!(text_from(b"\x9F\x98\x80a\xF0".to_vec(), 1, false), text(4, "a"));
    assert_eq!(text_from(b"\x98\x80".to_vec(), 2, false), text(4, ""));
    assert_eq!(text_from(b"\xF0\x9F\x98".to_vec(), 7, false), text(7, ""));
}

#[test]
fn invalid_bytes_are_not_taken_for_a_cut_character() {
    // Nothing is cut at the beginning of the file, nor at its end.
    assert_eq!(text_from(b"\x80a".to_vec(), 0, false), Err(0));
    assert_eq!(text_from(b"a\xF0\x9F\x98".to_vec(), 0, true), Err(1));
    // No character has four continuation bytes, nor these beginnings, nor a newline inside.
    assert_eq!(text_from(b"\x80\x80\x80\x80a".to_vec(), 9, false), Err(12));
    assert_eq!(text_from(b"a\xFF".to_vec(), 9, false), Err(10));
    assert_eq!(text_from(b"a\xF0\x80".to_vec(), 9, false), Err(10));
    assert_eq!(text_from(b"a\xED\xA0".to_vec(), 9, false), Err(10));
    assert_eq!(text_from(b"a\xF0\x9F\nb".to_vec(), 9, false), Err(10));
    assert_eq!(text_from(b"a\xF0\x9Fb".to_vec(), 9, false), Err(10));
}

#[test]
fn every_piece_of_a_text_is_as_the_contract_says() {
    let file = "aé\n€x😀\n\u{2028}é€😀é";
    let scratch = Scratch::new();
    let mut disk = scratch.disk_with(file.as_bytes());
    for offset in 0..file.len() + 2 {
        for limit in 0..file.len() + 2 {
            let begin = offset.min(file.len());
            let end = (begin + limit).min(file.len());
            let start = (begin..end).find(|at| file.is_char_boundary(*at)).unwrap_or(end);
            let stop = (start..=end).rev().find(|at| file.is_char_boundary(*at)).unwrap_or(start);
            let piece = file.get(start..stop).unwrap_or("");
            let piece = piece.rfind('\n').map_or(piece, |newline| &piece[..=newline]);
            let read = disk.read_text(LOG, offset as u64, limit as u32).expect("text");
            assert_eq!(read.data, piece, "{offset} {limit}");
            if !piece.is_empty() {
                assert_eq!(read.start, start as u64, "{offset} {limit}");
            }
        }
    }
}

#[test]
fn every_piece_of_any_bytes_is_text_or_says_so() {
    const BYTES: [u8; 7] = [b'a', b'\n', 0x80, 0xBF, 0xC3, 0xE2, 0xF0];
    for length in 0..=5_u32 {
        for number in 0..7_u32.pow(length) {
            let bytes: Vec<u8> = (0..length).map(|at| BYTES[(number / 7_u32.pow(at) % 7) as usize]).collect();
            for (offset, reaches_end) in [(0, false), (0, true), (9, false), (9, true)] {
                let what = format!("{bytes:x?} {offset} {reaches_end}");
                match text_from(bytes.clone(), offset, reaches_end) {
                    Ok(text) => {
                        let skipped = (text.start - offset) as usize;
                        let (head, rest) = bytes.split_at(skipped);
                        let (kept, tail) = rest.split_at(text.data.len());
                        assert!(head.len() <= 3 && head.iter().all(|byte| byte & 0xC0 == 0x80), "{what}");
                        assert!(offset > 0 || head.is_empty(), "{what}");
                        assert_eq!(kept, text.data.as_bytes(), "{what}");
                        assert!(!tail.contains(&b'\n'), "{what}");
                        if !kept.ends_with(b"\n") {
                            assert!(!kept.contains(&b'\n') && tail.len() <= 3, "{what}");
                            assert!(tail.is_empty() || !reaches_end, "{what}");
                        }
                    }
                    Err(bad) => {
                        let valid = (bad - offset) as usize;
                        let newline =
                            bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                        let error = std::str::from_utf8(&bytes[valid..newline]).expect_err("not UTF-8");
                        assert_eq!(error.valid_up_to(), 0, "{what}");
                        let is_cut = error.error_len().is_none() && newline == bytes.len() && !reaches_end;
                        assert!(!is_cut, "{what}");
                    }
                }
            }
        }
    }
}

// Listing and removing

#[test]
fn list_is_sorted_and_paged() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    let mut expected = Vec::new();
    for number in [3, 1, 10, 2] {
        disk.create(&format!("sessions/k/s-{number}"), &"x".repeat(number)).expect("created");
        expected.push(DirEntry { name: format!("s-{number}"), size: number as u64 });
    }
    expected.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(disk.list("sessions/k", "", u32::MAX), Ok(expected.clone()));
    assert_eq!(disk.list("sessions/k", "", 0), Ok(Vec::new()));
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map_or(String::new(), |entry: &DirEntry| entry.name.clone());
        let page = disk.list("sessions/k", &after, 3).expect("a page");
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, expected);
    assert_eq!(disk.list("sessions/k", "s-1", 1), Ok(vec![expected[1].clone()]));
}

#[test]
fn list_shows_only_files_of_our_names() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    disk.create("sessions/s-1", "x").expect("created");
    for name in ["s_2", "S-2", "s-2~", "#s-2#", "s 2", "é", &"s".repeat(65)] {
        fs::write(scratch.at("sessions").join(name), "x").expect("written");
    }
    fs::create_dir(scratch.at("sessions/k")).expect("made");
    assert_eq!(disk.list("sessions", "", 9), Ok(vec![DirEntry { name: "s-1".to_owned(), size: 1 }]));
    assert_eq!(kind(disk.list("sessions/s-1", "", 9)), FsErrorKind::Refused);
}

#[test]
fn absent_directory_lists_as_empty() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    assert_eq!(disk.list("sessions/k", "", 9), Ok(Vec::new()));
    assert!(!scratch.at("sessions").exists());
}

#[test]
fn nothing_about_others_changes_is_answered_from_memory() {
    let scratch = Scratch::new();
    let mut disk = scratch.disk();
    disk.create(LOG, "1").expect("created");
    disk.append(LOG, "2", SYNCED).expect("appended");
    assert_eq!(disk.stat(LOG), Ok(2));
    // Others take the whole directory away, and put another in its place.
    fs::remove_dir_all(scratch.at("sessions")).expect("removed");
    assert_eq!(kind(disk.stat(LOG)), FsErrorKind::NotFound);
    assert_eq!(disk.list("sessions/k", "", 9), Ok(Vec::new()));
    assert_eq!(kind(disk.append(LOG, "3", SYNCED)), FsErrorKind::NotFound);
    scratch.disk().create(LOG, "other").expect("created");
    assert_eq!(disk.stat(LOG), Ok(5));
    assert_eq!(disk.append(LOG, "!", SYNCED), Ok(6));
    fs::rename(scratch.at("sessions/k"), scratch.at("sessions/j")).expect("renamed");
    assert_eq!(kind(disk.stat(LOG)), FsErrorKind::NotFound);
    assert_eq!(disk.create(LOG, "again"), Ok(()));
    assert_eq!(disk.read_text(LOG, 0, 9).expect("text").data, "again");
    fs::remove_dir_all(scratch.at("tmp")).expect("removed");
    assert_eq!(disk.replace(LOG, "and again"), Ok(()));
}

#[test]
fn removed_file_is_gone() {
    let scratch = Scratch::new();
    let (mut disk, mut other) = (scratch.disk(), scratch.disk());
    disk.create(LOG, "x\n").expect("created");
    disk.append(LOG, "y\n", BUFFERED).expect("appended");
    other.append(LOG, "z\n", BUFFERED).expect("appended");
    assert_eq!(disk.remove(LOG), Ok(()));
    assert!(disk.appenders.is_empty(), "the descriptor would keep the space");
    assert_all(every_read(&mut disk, LOG), FsErrorKind::NotFound);
    assert_eq!(kind(other.sync(LOG)), FsErrorKind::NotFound);
    for disk in [&mut disk, &mut other] {
        assert_eq!(kind(disk.append(LOG, "!\n", SYNCED)), FsErrorKind::NotFound);
        assert_eq!(kind(disk.sync(LOG)), FsErrorKind::NotFound);
        assert_eq!(kind(disk.remove(LOG)), FsErrorKind::NotFound);
    }
}

#[test]
fn append_follows_the_name_to_a_new_file() {
    let scratch = Scratch::new();
    let (mut disk, mut other) = (scratch.disk(), scratch.disk());
    disk.create(LOG, "old\n").expect("created");
    disk.append(LOG, "x\n", BUFFERED).expect("appended");
    other.remove(LOG).expect("removed");
    other.create(LOG, "new\n").expect("created");
    assert_eq!(disk.append(LOG, "y\n", SYNCED), Ok(6));
    assert_eq!(disk.read_text(LOG, 0, 99).expect("text").data, "new\ny\n");
    other.replace(LOG, "").expect("replaced");
    assert_eq!(disk.sync(LOG), Ok(()));
    assert!(disk.appenders.iter().all(|appender| !appender.is_kept), "the new file is the one synced");
    assert_eq!(disk.append(LOG, "z\n", SYNCED), Ok(2));
}

#[cfg(unix)]
mod unix {
    //! What only Unix has: links, FIFOs, modes, and descriptors whose sync fails.

    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn modes_are_private_whatever_the_umask() {
        let scratch = Scratch::new();
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        let mut disk = scratch.disk();
        disk.create(LOG, "").expect("created");
        disk.replace("sessile.json", "").expect("created");
        DiskFs::open(&scratch.at("inner/root"), Access::ReadWrite).expect("created");
        rustix::process::umask(umask);
        let mode = |path| fs::metadata(scratch.at(path)).expect("metadata").permissions().mode() & 0o7777;
        for directory in ["", "sessions", "sessions/k", "tmp", "inner", "inner/root"] {
            assert_eq!(mode(directory), 0o700, "{directory}");
        }
        for file in [LOG, "sessile.json"] {
            assert_eq!(mode(file), 0o600, "{file}");
        }
    }

    #[test]
    fn root_that_others_may_write_is_refused() {
        let scratch = Scratch::new();
        drop(scratch.disk());
        for (mode, is_refused) in
            [(0o777, true), (0o720, true), (0o702, true), (0o1777, true), (0o755, false)]
        {
            fs::set_permissions(&scratch.path, fs::Permissions::from_mode(mode)).expect("changed");
            for access in [Access::ReadWrite, Access::ReadOnly] {
                match DiskFs::open(&scratch.path, access) {
                    Ok(_) => assert!(!is_refused, "{mode:o}"),
                    Err(error) => {
                        assert!(is_refused && error.kind == FsErrorKind::Refused, "{mode:o} {error}");
                        assert!(error.message.contains("chmod"), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn root_may_be_reached_through_a_link() {
        let scratch = Scratch::new();
        scratch.disk().create("real/s-1", "x").expect("created");
        symlink("real", scratch.at("link")).expect("linked");
        let mut disk = DiskFs::open(&scratch.at("link"), Access::ReadWrite).expect("opened");
        assert_eq!(disk.stat("s-1"), Ok(1));
    }

    /// Fails instead of waiting for ever.
    fn without_waiting(operate: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            operate();
            let _ = done.send(());
        });
        if is_done.recv_timeout(Duration::from_secs(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("it waits");
        }
        thread.join().expect("no panic");
    }

    #[test]
    fn fifo_is_refused_without_waiting() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk();
        disk.create("sessions/k/s-2", "").expect("created");
        let made = std::process::Command::new("mkfifo").arg(scratch.at(LOG)).status().expect("mkfifo");
        assert!(made.success());
        let path = scratch.path.clone();
        without_waiting(move || {
            let mut disk = DiskFs::open(&path, Access::ReadWrite).expect("opened");
            assert_all(every_operation(&mut disk, LOG), FsErrorKind::Refused);
        });
        assert_eq!(disk.list("sessions/k", "", 9).expect("entries").len(), 1);
        assert!(scratch.at(LOG).exists());
        let fifo = scratch.at(LOG);
        without_waiting(move || {
            assert_eq!(kind(DiskFs::open(&fifo, Access::ReadWrite)), FsErrorKind::Refused);
        });
    }

    #[test]
    fn socket_and_directory_are_refused() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk();
        let _socket = std::os::unix::net::UnixListener::bind(scratch.at("socket")).expect("bound");
        fs::create_dir(scratch.at("directory")).expect("made");
        for path in ["socket", "directory"] {
            assert_all(every_operation(&mut disk, path), FsErrorKind::Refused);
            assert!(scratch.at(path).exists());
        }
    }

    #[test]
    fn symbolic_link_is_refused() {
        let scratch = Scratch::new();
        let outside = Scratch::new();
        let mut disk = scratch.disk();
        outside.disk().create("victim", "secret").expect("created");
        disk.create("sessions/k/s-2", "own").expect("created");
        for target in [
            outside.at("victim"),
            scratch.at("sessions/k/s-2"),
            PathBuf::from("nowhere"),
            PathBuf::from("s-1.jsonl"),
        ] {
            symlink(&target, scratch.at(LOG)).expect("linked");
            assert_all(every_operation(&mut disk, LOG), FsErrorKind::Refused);
            assert_eq!(fs::read_link(scratch.at(LOG)).expect("still the link"), target);
            assert_eq!(disk.list("sessions/k", "", 9).expect("entries").len(), 1);
            fs::remove_file(scratch.at(LOG)).expect("removed");
        }
        assert_eq!(fs::read(outside.at("victim")).expect("the victim"), b"secret");
    }

    #[test]
    fn symbolic_link_to_a_directory_is_refused_on_every_level() {
        let scratch = Scratch::new();
        let outside = Scratch::new();
        outside.disk().create("k/s-1.jsonl", "secret").expect("created");
        let mut disk = scratch.disk();
        symlink(&outside.path, scratch.at("sessions")).expect("linked");
        assert_all(every_operation(&mut disk, LOG), FsErrorKind::Refused);
        assert_eq!(kind(disk.list("sessions/k", "", 9)), FsErrorKind::Refused);
        assert_eq!(kind(disk.list("sessions", "", 9)), FsErrorKind::Refused);
        fs::remove_file(scratch.at("sessions")).expect("removed");

        // Also where the directory was open before.
        disk.create(LOG, "own").expect("created");
        fs::rename(scratch.at("sessions/k"), scratch.at("sessions/j")).expect("renamed");
        symlink(outside.at("k"), scratch.at("sessions/k")).expect("linked");
        assert_all(every_operation(&mut disk, LOG), FsErrorKind::Refused);
        assert_eq!(kind(disk.list("sessions/k", "", 9)), FsErrorKind::Refused);
        assert_eq!(outside.names("k"), ["s-1.jsonl"]);

        symlink(&outside.path, scratch.at("link")).expect("linked");
        fs::remove_dir_all(scratch.at("tmp")).expect("removed");
        fs::rename(scratch.at("link"), scratch.at("tmp")).expect("renamed");
        assert_eq!(kind(disk.create("sessile.json", "{}")), FsErrorKind::Refused);
    }

    #[test]
    fn hard_link_is_refused() {
        let scratch = Scratch::new();
        let outside = Scratch::new();
        let mut disk = scratch.disk_with(b"secret");
        drop(outside.disk());
        fs::hard_link(scratch.at(LOG), outside.at("other-name")).expect("linked");
        assert_all(every_operation(&mut disk, LOG), FsErrorKind::Refused);
        assert_all(every_read(&mut scratch.disk_read_only(), LOG), FsErrorKind::Refused);
        assert_eq!(fs::read(outside.at("other-name")).expect("the file"), b"secret");
    }

    #[test]
    fn file_linked_while_it_is_open_is_refused_from_the_next_append_on() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"");
        disk.append(LOG, "1", BUFFERED).expect("appended");
        fs::hard_link(scratch.at(LOG), scratch.at("other-name")).expect("linked");
        assert_eq!(disk.append(LOG, "2", BUFFERED), Ok(2));
        assert_eq!(kind(disk.append(LOG, "3", BUFFERED)), FsErrorKind::Refused);
        assert_eq!(fs::read(scratch.at(LOG)).expect("the file"), b"12");
    }

    #[test]
    fn second_name_that_a_crash_left_in_tmp_is_unlinked() {
        let leftover = "0".repeat(32);
        for operation in 0..4 {
            let scratch = Scratch::new();
            scratch.disk().create(LOG, "x\n").expect("created");
            fs::hard_link(scratch.at(LOG), scratch.at("tmp").join(&leftover)).expect("linked");
            fs::write(scratch.at("tmp").join("1".repeat(32)), "of another writer").expect("written");

            // Who may only read uses the file, and leaves the name.
            let mut disk = scratch.disk_read_only();
            assert_eq!(disk.read_text(LOG, 0, 9).expect("text").data, "x\n");
            assert_eq!(disk.stat(LOG), Ok(2));
            assert_eq!(scratch.names("tmp").len(), 2);

            let mut disk = scratch.disk();
            match operation {
                0 => assert_eq!(disk.stat(LOG), Ok(2)),
                1 => assert_eq!(disk.append(LOG, "y\n", SYNCED), Ok(4)),
                2 => assert_eq!(disk.read_bytes(LOG, 0, 9), Ok(b"x\n".to_vec())),
                _ => assert_eq!(disk.remove(LOG), Ok(())),
            }
            assert_eq!(scratch.names("tmp"), ["1".repeat(32)]);
        }
    }

    #[test]
    fn second_name_in_tmp_does_not_excuse_a_third() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"x");
        fs::hard_link(scratch.at(LOG), scratch.at("tmp").join("0".repeat(32))).expect("linked");
        fs::hard_link(scratch.at(LOG), scratch.at("third")).expect("linked");
        assert_all(every_read(&mut scratch.disk_read_only(), LOG), FsErrorKind::Refused);
        assert_eq!(kind(disk.stat(LOG)), FsErrorKind::Refused);
    }

    #[test]
    fn linking_is_as_exclusive_as_renaming() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"first");
        let dir = disk.directory("sessions/k", Missing::Fail).expect("there");
        let temporary_dir = disk.directory(TEMPORARY, Missing::Fail).expect("there");
        disk.write_temporary(&temporary_dir, "t-1", LOG, b"second").expect("written");
        let error = temporary_dir.link_new("t-1", &dir, "s-1.jsonl").expect_err("there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        temporary_dir.link_new("t-1", &dir, "s-2.jsonl").expect("linked");
        assert_eq!(scratch.names("tmp"), Vec::<String>::new());
        assert_eq!(disk.read_text("sessions/k/s-2.jsonl", 0, 9).expect("text").data, "second");
        assert_eq!(disk.read_text(LOG, 0, 9).expect("text").data, "first");
    }

    /// An appender that writes to a pipe: a sync of it fails.
    fn unsyncable(path: &str) -> (io::PipeReader, Appender) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        (reader, Appender { path: path.to_owned(), file, is_dirty: true, is_kept: true, is_named: true })
    }

    #[test]
    fn failed_sync_closes_the_host_for_writing_alone() {
        for is_append in [true, false] {
            let scratch = Scratch::new();
            let mut disk = scratch.disk_with(b"x\n");
            disk.create("sessile.json", "{}").expect("created");
            disk.append("sessile.json", "\n", SYNCED).expect("appended");
            let (_reader, appender) = unsyncable(LOG);
            disk.appenders.push(appender);
            let failed = if is_append { disk.append(LOG, "y\n", SYNCED).map(|_| ()) } else { disk.sync(LOG) };
            let error = failed.expect_err("no sync");
            assert_eq!(error.kind, FsErrorKind::Closed);
            assert!(error.message.starts_with("cannot sync `sessions/k/s-1.jsonl`: "), "{error}");

            for path in [LOG, "sessile.json", "sessions/k/s-2.jsonl"] {
                assert_eq!(kind(disk.append(path, "z\n", BUFFERED)), FsErrorKind::Closed);
                assert_eq!(kind(disk.append(path, "z\n", SYNCED)), FsErrorKind::Closed);
                assert_eq!(kind(disk.sync(path)), FsErrorKind::Closed);
                assert_eq!(kind(disk.create(path, "")), FsErrorKind::Closed);
                assert_eq!(kind(disk.replace(path, "")), FsErrorKind::Closed);
                assert_eq!(kind(disk.remove(path)), FsErrorKind::Closed);
            }
            assert_eq!(disk.stat(LOG), Ok(2));
            assert_eq!(disk.read_text(LOG, 0, 9).expect("text").data, "x\n");
            assert_eq!(disk.list("sessions/k", "", 9).expect("entries").len(), 1);
            assert_eq!(scratch.disk().append(LOG, "y\n", SYNCED), Ok(4));
        }
    }

    #[test]
    fn descriptor_is_not_closed_before_its_appends_are_synced() {
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"");
        let (_reader, oldest) = unsyncable("sessions/k/s-0");
        disk.appenders.push(oldest);
        for file in 1..APPENDERS_MAX {
            let path = format!("sessions/k/d-{file}");
            disk.create(&path, "").expect("created");
            disk.append(&path, "x", if file == 7 { SYNCED } else { BUFFERED }).expect("appended");
        }
        // The clean one makes room.
        assert_eq!(disk.append(LOG, "x", BUFFERED), Ok(1));
        assert!(disk.appenders.iter().all(|appender| appender.path != "sessions/k/d-7"));
        // Now all are dirty, and the oldest must be synced.
        disk.create("sessions/k/s-2", "").expect("created");
        assert_eq!(kind(disk.append("sessions/k/s-2", "x", BUFFERED)), FsErrorKind::Closed);
    }

    #[test]
    fn short_write_is_not_continued() {
        // A pipe that is nearly full takes a part of what it is given, if it does not wait.
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"");
        let (_reader, appender) = unsyncable(LOG);
        rustix::fs::fcntl_setfl(&appender.file, rustix::fs::OFlags::NONBLOCK).expect("set");
        disk.appenders.push(Appender { is_dirty: false, ..appender });
        let error = disk.append(LOG, &"x".repeat(1 << 22), BUFFERED).expect_err("short");
        assert_eq!(error.kind, FsErrorKind::Unavailable);
        assert!(error.message.contains("of 4194304 bytes were written; free space"), "{error}");
        // The descriptor is dropped, and the file itself is used from now on.
        assert_eq!(disk.append(LOG, "x\n", SYNCED), Ok(2));
    }
}

/// Every error that a system gives for what we ask of it, what the core is told, and the way out that a person is told:
/// the table of docs/durability.md.
#[cfg(unix)]
#[test]
fn every_error_of_the_system_has_its_kind_and_its_way_out() {
    use rustix::io::Errno;
    use sessile_core::{Error, ErrorKind as StoreErrorKind};

    let (unavailable, refused) = (FsErrorKind::Unavailable, FsErrorKind::Refused);
    let table = [
        (Errno::NOSPC, unavailable, "free space and retry"),
        (Errno::DQUOT, unavailable, "free space and retry"),
        (Errno::FBIG, unavailable, "raise the limit of file sizes and retry"),
        (Errno::IO, unavailable, "check the disk and retry"),
        (Errno::ROFS, unavailable, "or open the store read-only"),
        (Errno::ACCESS, unavailable, "correct the permissions and retry"),
        (Errno::PERM, unavailable, "correct the permissions and retry"),
        (Errno::MFILE, unavailable, "raise the limit of open files and retry"),
        (Errno::NFILE, unavailable, "raise the limit of open files and retry"),
        (Errno::NOMEM, unavailable, "retry"),
        (Errno::BUSY, unavailable, "retry"),
        (Errno::INTR, unavailable, "retry"),
        (Errno::NAMETOOLONG, unavailable, "retry"),
        (Errno::NOENT, FsErrorKind::NotFound, "check whether it was removed"),
        (Errno::ISDIR, refused, "move what stands there out of the store"),
        (Errno::NOTDIR, refused, "move what stands there out of the store"),
        (Errno::LOOP, refused, "move what stands there out of the store"),
        (Errno::NXIO, refused, "move what stands there out of the store"),
    ];
    for (errno, kind, way_out) in table {
        let error = failure("append to", LOG, &io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(error.kind, kind, "{errno:?}: {error}");
        assert!(error.message.contains(LOG) && error.message.ends_with(way_out), "{error}");
        let told = match kind {
            FsErrorKind::NotFound => StoreErrorKind::NotFound,
            FsErrorKind::Refused => StoreErrorKind::Damaged,
            _ => StoreErrorKind::Unavailable,
        };
        assert_eq!(Error::from(error).kind, told, "{errno:?}");
    }
    // Whatever the cause, a failed sync closes the host for writing, and reading goes on.
    for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
        let scratch = Scratch::new();
        let mut disk = scratch.disk_with(b"a\n");
        let error = disk.poison(LOG, &io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!((error.kind, Error::from(error).kind), (FsErrorKind::Closed, StoreErrorKind::Closed));
        for _ in 0..2 {
            let append = disk.append(LOG, "b\n", Durability::Buffered);
            assert_eq!(append.expect_err("closed").kind, FsErrorKind::Closed, "{errno:?}");
        }
        assert_eq!(disk.create("x", "").expect_err("closed").kind, FsErrorKind::Closed);
        assert_eq!(disk.read_bytes(LOG, 0, 10).expect("read"), b"a\n");
        assert_eq!(scratch.disk().append(LOG, "b\n", Durability::Synced).expect("opened again"), 4);
    }
}
