//! Any bytes as the files of other agents: nothing panics, nothing grows without bound, and what is taken can be stored.

use std::collections::BTreeSet;

use sessile_core::import::{Import, PROBLEMS_MAX, claude, nanocoder, nomadarch, octocode, patch_of};
use sessile_core::{Json, NewSession, Sessions, WriteOptions};

use super::{check_error, open};
use crate::sim::{Disk, SimDisk};

/// What parts the files of one input.
const NEXT: &[u8] = b"\n---\n";
/// What comes out is at most so many times what goes in, and a constant: a message carries what it was made from.
const GROWTH: usize = 32;

/// The first byte says which importer, then come its files.
pub fn import(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let cut = rest.windows(NEXT.len()).position(|window| window == NEXT);
    let (first, second) = match cut {
        Some(cut) => (&rest[..cut], Some(&rest[cut + NEXT.len()..])),
        None => (rest, None),
    };
    let imports = match which {
        b'c' => {
            claude::looks_like(first);
            vec![(claude::session("stem", first), first)]
        }
        b's' => vec![(claude::sub_agent("parent", "agent", second, first), first)],
        b'n' => {
            let second = second.unwrap_or_default();
            let index = nanocoder::index(second);
            let entry = index.entries.first().map(|(_, entry)| *entry);
            let session = nanocoder::session("stem", first, entry);
            vec![(session, first), (index.import, second)]
        }
        b'w' => {
            let mut workspace = nomadarch::Workspace::read("workspace", first);
            let sessions: Vec<_> = workspace.by_ref().collect();
            let mut import = workspace.finish();
            import.sessions = sessions;
            vec![(import, first)]
        }
        _ => vec![(octocode::session(first, second), first)],
    };
    for (import, file) in &imports {
        check(import, file.len(), data.len());
    }
}

/// `file` is the size of the one that the problems are in, `all` that of everything.
fn check(import: &Import, file: usize, all: usize) {
    assert!(import.problems.len() <= PROBLEMS_MAX + 1);
    for problem in &import.problems {
        assert!(problem.offset + problem.bytes <= file as u64, "{problem:?} lies outside of the file");
        assert!(!problem.what.is_empty());
    }
    let messages = import.sessions.iter().flat_map(|session| &session.messages);
    let out: usize = messages.map(|message| message.json.len() + message.key.len()).sum();
    assert!(out <= GROWTH * all + 4096, "{out} bytes out of {all}");
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1, false).expect("a new store");
    for session in &import.sessions {
        let mut keys = BTreeSet::new();
        for message in &session.messages {
            assert!(keys.insert(&message.key), "the key {} twice", message.key);
            assert_eq!(Json::parse(&message.json).expect("strict JSON").as_str(), message.json);
            claude::regenerate(&message.json);
            patch_of(&message.json);
        }
        keep(&mut store, session);
    }
}

/// What was taken is within the rules of the store; all of this is below its limits of size.
fn keep(store: &mut impl Sessions, session: &sessile_core::import::ImportedSession) {
    let new = NewSession {
        id: Some(session.id.clone()),
        scope: session.scope.clone().unwrap_or_default(),
        title: session.title.clone(),
        agent: session.agent.clone(),
        model: session.model.clone(),
        provider: session.provider.clone(),
        parent: session.parent.clone(),
        tags: session.tags.clone(),
        metadata: session.metadata.clone(),
        created_at: session.created_ms,
        ..NewSession::default()
    };
    if let Err(error) = store.create(&new) {
        check_error(&error);
        assert_ne!(error.kind, sessile_core::ErrorKind::Invalid, "{error}: {new:?}");
        return;
    }
    for message in &session.messages {
        let options =
            WriteOptions { op: Some(message.key.clone()), at: message.created_ms, ..WriteOptions::default() };
        let appended = store.append(&session.id, &format!("[{}]", message.json), &options);
        let appended = appended.unwrap_or_else(|error| panic!("{error}: {message:?}"));
        assert!(!appended.repeated, "{} was there", message.key);
    }
}
