//! Any directory as a store: opened, read, examined, written to.

use sessile_core::{Sessions, WriteOptions};

use super::records::seal;
use super::{MESSAGE, doctor, listed, messages, of_page, open, typed};
use crate::sim::{Disk, SimDisk};

/// What begins a file: its path follows, up to the end of the line.
const FILE: &str = ">>> ";

/// The bytes are files, each behind a line `>>> <path>`.
pub fn store(data: &[u8]) {
    let disk = SimDisk::new(unpack(data));
    read(&disk);
    assert_eq!(disk.written(), 0, "reading wrote");
    write(&disk);
}

/// The files as bytes; the reverse of [`unpack`] for text that asks for its checksums.
pub fn pack(disk: &Disk) -> Vec<u8> {
    let mut out = Vec::new();
    for path in disk.paths() {
        out.extend(format!("{FILE}{path}\n").bytes());
        out.extend(super::records::unseal(disk.bytes(path).unwrap_or_default()));
    }
    out
}

fn unpack(data: &[u8]) -> Disk {
    let mut disk = Disk::default();
    let is_start =
        |at: &usize| data[*at..].starts_with(FILE.as_bytes()) && (*at == 0 || data[*at - 1] == b'\n');
    let starts: Vec<usize> = (0..data.len()).filter(is_start).collect();
    for (place, start) in starts.iter().enumerate() {
        let file = &data[start + FILE.len()..starts.get(place + 1).copied().unwrap_or(data.len())];
        let end = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
        let path = String::from_utf8_lossy(&file[..end]);
        disk.put(&path, seal(&path, file.get(end + 1..).unwrap_or_default()));
    }
    disk
}

fn read(disk: &SimDisk) {
    let Some(mut reader) = typed(open(disk, 1, true)) else { return };
    let sessions = typed(listed(&mut reader, 3)).unwrap_or_default();
    for session in sessions.iter().take(8) {
        typed(reader.get(&session.id));
        let whole = typed(messages(&mut reader, &session.id, 100));
        let paged = typed(messages(&mut reader, &session.id, 3));
        if let (Some(whole), Some(paged)) = (whole, paged)
            && whole.whole
            && paged.whole
        {
            assert_eq!(whole, paged, "pages differ from the whole");
        }
        typed(reader.branches(&session.id));
    }
    doctor(&mut reader, false);
}

fn write(disk: &SimDisk) {
    let Some(mut writer) = typed(open(disk, 2, false)) else { return };
    let sessions = typed(listed(&mut writer, 100)).unwrap_or_default();
    let now = sessile_core::NewSession { id: Some("new".into()), ..Default::default() };
    typed(writer.create(&now));
    for session in sessions.iter().take(8) {
        let id = &session.id;
        let appended = typed(writer.append(id, &format!("[{MESSAGE}]"), &WriteOptions::default()));
        if let Some(appended) = appended {
            let mut reader = open(disk, 3, true).expect("what was written to opens");
            let last = reader.read(id, &sessile_core::Select::Last(1)).expect("what was appended is read");
            assert_eq!(of_page(&last), [(appended.seq, MESSAGE.to_owned())]);
        }
        if let Some(fork) = typed(writer.fork(id, &sessile_core::ForkOptions::default())) {
            typed(messages(&mut writer, &fork.id, 100));
            typed(writer.detach(&fork.id));
        }
        typed(writer.compact(id));
    }
    doctor(&mut writer, true);
    typed(writer.close());
    if let Some(report) = typed(open(disk, 4, true)).and_then(|mut reader| doctor(&mut reader, false)) {
        // Where it could be repaired it is.
        let _ = report["healthy"].as_bool().expect("a verdict");
    }
    if let Some(first) = sessions.first()
        && typed(writer.trash(&first.id)).is_some()
    {
        typed(writer.purge(&first.id));
    }
}
