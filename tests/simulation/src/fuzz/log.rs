//! Any bytes as the log of a session: finding records in them, reading what is left, and writing behind it.

use sessile_core::{Select, Sessions, WriteOptions};

use super::records::{Layout, seal};
use super::{MESSAGE, Messages, base, doctor, messages, of_page, open, typed};
use crate::sim::SimDisk;

/// The bytes stand behind the record that begins a log; checksums are put in where they ask for one.
pub fn log(data: &[u8]) {
    let (mut disk, path) = base();
    let mut bytes = disk.bytes(path).expect("the log").to_vec();
    bytes.extend(seal(path, data));
    disk.put(path, bytes.clone());
    let disk = SimDisk::new(disk);
    let layout = Layout::of(path, &bytes);
    check_report(&disk, path, &layout, bytes.len());
    let mut reader = open(&disk, 2, true).expect("damage does not prevent opening");
    let before = typed(messages(&mut reader, "a", 100));
    if let Some(before) = &before {
        check_wrote(before, &bytes, &layout);
    }
    assert_eq!(disk.written(), 0, "reading wrote");
    append_behind(&disk, before.as_ref());
}

/// Damage and what is undecided are reported, byte for byte.
fn check_report(disk: &SimDisk, path: &str, layout: &Layout, size: usize) {
    let mut reader = open(disk, 1, true).expect("damage does not prevent opening");
    let report = doctor(&mut reader, false).expect("a report");
    let ranges = |kind: &str| {
        let findings = report["findings"].as_array().expect("findings").iter();
        let finding = findings.filter(|finding| finding["kind"] == kind && finding["file"] == path);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for range in finding.flat_map(|finding| finding["ranges"].as_array().expect("ranges")) {
            let (from, to) = (range[0].as_u64().expect("from"), range[1].as_u64().expect("to"));
            match ranges.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => ranges.push((from, to)),
            }
        }
        ranges
    };
    assert_eq!(ranges("damage"), layout.damage, "what is damaged");
    let undecided: &[(u64, u64)] = &[(layout.end as u64, size as u64)];
    let undecided = if layout.end < size { undecided } else { &[] };
    assert_eq!(ranges("unfinished-record"), undecided, "what is undecided");
}

/// Every message stands in a record whose checksum fits, unless others have changed it.
fn check_wrote(found: &Messages, bytes: &[u8], layout: &Layout) {
    let text = |range: &std::ops::Range<usize>| {
        std::str::from_utf8(&bytes[range.clone()]).expect("a record is text")
    };
    let records: Vec<&str> = layout.records.iter().map(text).collect();
    let changes =
        |record: &&str| record.starts_with("{\"t\": \"+\"") || record.starts_with("{\"t\": \"update\"");
    if records.iter().any(changes) {
        return;
    }
    for (seq, message) in &found.readable {
        let is_written = records.iter().any(|record| record.contains(message.as_str()));
        assert!(is_written, "message {seq} was written by nobody: {message}");
    }
}

/// What is appended stands behind all that could be read before, for everybody.
fn append_behind(disk: &SimDisk, before: Option<&Messages>) {
    let Some(mut writer) = typed(open(disk, 3, false)) else { return };
    let Some(appended) = typed(writer.append("a", &format!("[{MESSAGE}]"), &WriteOptions::default())) else {
        return;
    };
    let mut reader = open(disk, 4, true).expect("a store that was written to opens");
    let last = reader.read("a", &Select::Last(1)).expect("what was appended is read");
    assert_eq!(of_page(&last), [(appended.seq, MESSAGE.to_owned())]);
    let Some(before) = before.filter(|before| before.whole) else { return };
    let after = messages(&mut reader, "a", 100).expect("what was read before is read again");
    let mut expected = before.readable.clone();
    expected.push((appended.seq, MESSAGE.to_owned()));
    if after.whole {
        assert_eq!(after.readable, expected);
        assert_eq!(after.unreadable, before.unreadable);
    }
}
