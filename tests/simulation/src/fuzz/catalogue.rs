//! Any bytes as the catalogue: it lists wrongly at worst, stops nobody, and is made again from the logs.

use std::sync::OnceLock;

use sessile_core::{NewSession, Session, Sessions, WriteOptions};

use super::records::seal;
use super::{MESSAGE, doctor, listed, open, typed};
use crate::sim::{Disk, SimDisk};

/// Where the bytes stand.
const PATH: &str = "catalogue/000001.jsonl";

/// Four sessions, one in the trash, in two scopes; and what lists say of them.
pub fn four() -> &'static (Disk, Vec<Session>) {
    static FOUR: OnceLock<(Disk, Vec<Session>)> = OnceLock::new();
    FOUR.get_or_init(|| {
        let disk = SimDisk::new(Disk::default());
        let mut store = open(&disk, 1, false).unwrap();
        for (id, scope) in [("a", ""), ("b", "x"), ("c", "x"), ("d", "")] {
            let new = NewSession { id: Some(id.into()), scope: scope.into(), ..NewSession::default() };
            store.create(&new).unwrap();
            store.append(id, &format!("[{MESSAGE}]"), &WriteOptions::default()).unwrap();
        }
        store.trash("d").unwrap();
        store.close().unwrap();
        let all = listed(&mut store, 100).unwrap();
        (disk.disk(), all)
    })
}

/// The bytes stand in place of the catalogue of a store with four sessions.
pub fn catalogue(data: &[u8]) {
    let (disk, truth) = four();
    let mut disk = disk.clone();
    disk.put(PATH, seal(PATH, data));
    let disk = SimDisk::new(disk);
    read(&disk);
    let mut writer = open(&disk, 3, false).expect("a catalogue does not prevent opening");
    writer.append("a", &format!("[{MESSAGE}]"), &WriteOptions::default()).expect("nor writing");
    doctor(&mut writer, true).expect("nor repair");
    writer.close().expect("nor closing");
    for process in [3, 4] {
        let mut reader = open(&disk, process, true).expect("it opens");
        let mut all = listed(&mut reader, 2).expect("a repaired catalogue lists");
        let report = doctor(&mut reader, false).expect("a report");
        assert_eq!(report["catalogue"]["state"], "current", "{report}");
        all.sort_by(|one, other| one.id.cmp(&other.id));
        let facts =
            |session: &Session| (session.id.clone(), session.facts.scope.clone(), session.facts.trashed);
        let mut expected: Vec<_> = truth.iter().map(facts).collect();
        expected.sort();
        assert_eq!(all.iter().map(facts).collect::<Vec<_>>(), expected);
        assert_eq!(all[0].message_count, 2);
    }
}

fn read(disk: &SimDisk) {
    let mut reader = open(disk, 2, true).expect("a catalogue does not prevent opening");
    for limit in [1, 100] {
        typed(listed(&mut reader, limit));
    }
    typed(reader.resolve("last", Some("x")));
    typed(reader.resolve("1", None));
    for id in ["a", "b", "c", "d"] {
        assert_eq!(reader.get(id).expect("a session is found without a catalogue").id, id);
    }
    doctor(&mut reader, false).expect("a report");
    assert_eq!(disk.written(), 0, "reading wrote");
}
