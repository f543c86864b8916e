//! Any texts as ids: each is refused, or has a file of its own with a name of ours.

use std::collections::BTreeMap;

use sessile_core::{ErrorKind, ForkOptions, MessageRef, NewSession, Sessions, limits};

use super::{check_error, open, typed};
use crate::sim::{Disk, SimDisk};

/// The bytes are ids, one to a line. A disk refuses every path that is not one of ours.
pub fn ids(data: &[u8]) {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1, false).expect("a new store");
    let text = String::from_utf8_lossy(data);
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for id in text.split('\n').take(16) {
        let is_id = (1..=limits::ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        let before = disk.disk();
        match store.create(&NewSession { id: Some(id.to_owned()), ..NewSession::default() }) {
            Ok(session) => {
                assert!(is_id && session.id == id, "{id:?} was taken as {:?}", session.id);
                let after = disk.disk();
                let new = |path: &&str| path.starts_with("sessions/") && before.bytes(path).is_none();
                let file = after.paths().find(new).expect("a session has a log").to_owned();
                check_file(&file);
                if let Some(other) = files.insert(file, id.to_owned()) {
                    panic!("{id:?} and {other:?} have one file");
                }
            }
            Err(error) => {
                check_error(&error);
                let is_known = files.values().any(|known| known == id);
                let expected = if is_id && is_known { ErrorKind::Conflict } else { ErrorKind::Invalid };
                assert_eq!((error.kind, is_id), (expected, is_known), "{id:?}");
            }
        }
        refer(&mut store, id);
    }
    for id in files.values() {
        assert_eq!(store.get(id).expect("it is found").id, *id);
    }
}

/// The text wherever else one names something.
fn refer(store: &mut impl Sessions, text: &str) {
    typed(store.get(text));
    typed(store.resolve(text, None));
    typed(store.resolve("last", Some(text)));
    typed(store.read(text, &sessile_core::Select::Cursor { cursor: text.to_owned(), limit: 1 }));
    typed(store.list(&sessile_core::ListQuery { cursor: Some(text.to_owned()), ..Default::default() }));
    typed(
        store
            .fork(text, &ForkOptions { at: Some(MessageRef::Id(text.to_owned())), ..ForkOptions::default() }),
    );
}

/// `sessions/<letter>/<letter>-<26>-<6>.jsonl`, in lower case.
fn check_file(file: &str) {
    let names: Vec<&str> = file.split('/').collect();
    let [_, directory, name] = names.as_slice() else { panic!("{file}") };
    let parts: Vec<&str> = name.trim_end_matches(".jsonl").split('-').collect();
    let [kind, bits, generation] = parts.as_slice() else { panic!("{file}") };
    assert!(matches!(*kind, "l" | "u" | "h") && bits.len() == 26 && *generation == "000001", "{file}");
    assert!(bits.ends_with(directory) && directory.len() == 1, "{file}");
    assert!(bits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()), "{file}");
}
