//! Lists of many sessions: what the end of the catalogue's log says must be what all logs say, in the same order.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use sessile_core::FsErrorKind;
use sessile_core::{
    Durability, ErrorKind, ListQuery, NewSession, OpenOptions, Session, SessionPatch, Sessions, Store,
    WriteOptions,
};
use sessile_simulation::bound::Bound;
use sessile_simulation::sim::{Disk, Fault, Later, Random, SimDisk, SimHost, Stage};

type Sim = Store<SimHost>;

const SESSIONS: u64 = 300;
const STEPS: u64 = 1600;
const MESSAGE: &str = r#"[{"role":"user","parts":[{"type":"text","text":"hi"}]}]"#;

fn open(disk: &SimDisk, process: u64) -> Sim {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

/// All pages of a list.
fn listed(disk: &SimDisk, query: &ListQuery) -> Vec<Session> {
    let mut store = open(disk, 9);
    let (mut sessions, mut query) = (Vec::new(), query.clone());
    loop {
        let page = store.list(&query).unwrap();
        sessions.extend(page.sessions);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return sessions;
        }
    }
}

/// The same from the logs of the sessions alone.
fn from_logs(disk: &SimDisk, query: &ListQuery) -> Vec<Session> {
    let mut without = disk.disk();
    without.remove_below("catalogue/");
    listed(&SimDisk::new(without), query)
}

/// The newest sessions as a process that begins says, and whether it has read less than the whole catalogue for that.
fn newest(disk: &SimDisk) -> (Vec<Session>, bool) {
    let mut reader = open(disk, 9);
    reader.host_mut().reset_counts();
    let query = ListQuery { limit: 5, ..ListQuery::default() };
    let sessions = reader.list(&query).unwrap().sessions;
    let image = disk.disk();
    let catalogue: usize = image
        .paths()
        .filter(|path| path.starts_with("catalogue/"))
        .filter_map(|path| image.bytes(path).map(<[u8]>::len))
        .sum();
    (sessions, reader.host_mut().counts().bytes_read < catalogue as u64)
}

/// What does not depend on when one looks: who has a session open does not show.
fn shown(sessions: &[Session]) -> Vec<(String, u64, u64, u64)> {
    let shown = |session: &Session| {
        (session.id.clone(), session.facts.updated, session.message_count, session.log_bytes)
    };
    sessions.iter().map(shown).collect()
}

/// One step of one of three processes that know the same sessions; `marked` are those that each has appended to.
fn step(stores: &mut [Option<Sim>; 3], marked: &mut [Vec<String>; 3], disk: &SimDisk, random: &mut Random) {
    let process = random.below(3);
    let place = usize::try_from(process).unwrap();
    let store = stores[place].get_or_insert_with(|| open(disk, process + 1));
    let id = format!("session {}", random.below(SESSIONS));
    // Imported sessions have times of their own, and clocks are wrong now and then.
    let at = (random.below(4) == 0).then(|| random.below(1_700_000_000_000));
    let at = if random.below(2000) == 0 { Some(1_700_000_100_000) } else { at };
    let options = WriteOptions { at, durability: Durability::Buffered, ..WriteOptions::default() };
    let scope = format!("/srv/{}", random.below(3));
    let new = NewSession { id: Some(id.clone()), scope, ..NewSession::default() };
    // A process that could not append, or not say what it knows, must not mislead others. Where it cannot even say that
    // it writes, doctor finds the session: not here.
    let choice = random.below(24);
    let may_fail = (18..23).contains(&choice) || (8..14).contains(&choice) && marked[place].contains(&id);
    let fault = Fault {
        at: random.below(4),
        kind: FsErrorKind::Unavailable,
        stage: Stage::Bytes(0),
        later: Later::Fine,
    };
    let fault = (may_fail && random.below(4) == 0).then_some(fault);
    store.host_mut().reset_counts();
    store.host_mut().set_fault(fault);
    let done = match choice {
        0..8 => store.create(&new).map(|_| ()),
        8..14 => store.append(&id, MESSAGE, &options).map(|_| marked[place].push(id)),
        14 => store
            .update(&id, &SessionPatch { title: Some(Some("t".into())), ..SessionPatch::default() }, &options)
            .map(|_| ()),
        15 => store.trash(&id).map(|_| ()),
        16 => store.restore(&id).map(|_| ()),
        17 => store.purge(&id),
        18..23 => {
            marked[place].clear();
            store.close()
        }
        // It dies, and what it has marked stays marked.
        _ => {
            marked[place].clear();
            stores[place] = None;
            Ok(())
        }
    };
    if let Some(store) = &mut stores[place] {
        store.host_mut().set_fault(None);
    }
    let expected = [ErrorKind::Conflict, ErrorKind::NotFound, ErrorKind::Unavailable];
    assert!(done.as_ref().map_or_else(|error| expected.contains(&error.kind), |()| true), "{done:?}");
}

#[test]
fn a_list_from_the_end_of_the_catalogue_is_the_list_from_all_logs() {
    let (mut compared, mut short) = (0, 0);
    let mut seeds = Bound::ordinary(30);
    while let Some(seed) = seeds.next_seed() {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(Disk::default());
        let (mut stores, mut marked) = ([None, None, None], [const { Vec::new() }; 3]);
        for number in 0..STEPS {
            step(&mut stores, &mut marked, &disk, &mut random);
            if number % 80 != 79 {
                continue;
            }
            let scope = (random.below(3) == 0).then(|| "/srv/1".to_owned());
            let limit = 1 + u32::try_from(random.below(30)).unwrap();
            let query = ListQuery { scope, trashed: random.below(4) == 0, limit, ..ListQuery::default() };
            let (found, expected) = (listed(&disk, &query), from_logs(&disk, &query));
            assert_eq!(shown(&found), shown(&expected), "seed {seed}, step {number}, {query:?}");
            let ((newest, is_end), all) = (newest(&disk), from_logs(&disk, &ListQuery::default()));
            let expected = &all[..all.len().min(5)];
            assert_eq!(shown(&newest), shown(expected), "seed {seed}, step {number}");
            compared += 2;
            short += usize::from(is_end);
        }
    }
    println!("{compared} lists compared, {short} from the end of the log alone");
    assert!(short > compared / 8, "the end of the log is hardly ever enough: {short} of {compared}");
}

#[test]
fn who_used_a_session_before_it_was_purged_does_not_bring_it_back_into_the_list() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    let named = |id: String| NewSession { id: Some(id), ..NewSession::default() };
    one.create(&named("purged".into())).unwrap();
    // The newest of all, so that it would stand first.
    let options = WriteOptions { at: Some(1_700_000_900_000), ..WriteOptions::default() };
    other.append("purged", MESSAGE, &options).unwrap();
    one.trash("purged").unwrap();
    one.purge("purged").unwrap();
    for number in 0..200 {
        one.create(&named(format!("other {number}"))).unwrap();
        one.close().unwrap();
    }
    // It has not heard of the purge, and says what it knows.
    other.close().unwrap();
    let (sessions, is_end) = newest(&disk);
    assert!(is_end);
    assert_eq!(shown(&sessions), shown(&from_logs(&disk, &ListQuery::default())[..5]));
}

/// A store of sessions that are closed one by one, so that the log of the catalogue has points, with its path.
fn many(sessions: u64) -> (SimDisk, String) {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    for number in 0..sessions {
        let id = Some(format!("session {number}"));
        store.create(&NewSession { id, ..NewSession::default() }).unwrap();
        store.close().unwrap();
    }
    let path = disk.disk().paths().find(|path| path.starts_with("catalogue/")).unwrap().to_owned();
    (disk, path)
}

/// Spoils the mark and the entry of an early session, far before the last point.
fn spoil(disk: &SimDisk, path: &str) {
    let mut image = disk.disk();
    let mut bytes = image.bytes(path).unwrap().to_vec();
    let text = String::from_utf8(bytes.clone()).unwrap();
    for (place, _) in text.match_indices("\"session 7\"") {
        bytes[place + 1] ^= 1;
    }
    image.put(path, bytes);
    disk.set(image);
}

#[test]
fn damage_before_the_end_that_is_read_first_hides_no_session() {
    let (disk, path) = many(200);
    spoil(&disk, &path);
    assert!(newest(&disk).1, "the end of the log does not tell the newest");
    let all = ListQuery { limit: 1000, ..ListQuery::default() };
    assert_eq!(shown(&listed(&disk, &all)), shown(&from_logs(&disk, &all)));
    assert_eq!(listed(&disk, &all).len(), 200);
}

#[test]
fn a_new_generation_is_not_made_of_a_log_with_damage() {
    let (disk, path) = many(200);
    spoil(&disk, &path);
    let mut store = open(&disk, 2);
    let mut number = 200;
    while disk.disk().bytes(&path).is_some() {
        let id = Some(format!("session {number}"));
        store.create(&NewSession { id, ..NewSession::default() }).unwrap();
        store.close().unwrap();
        number += 1;
        assert!(number < 5_000, "the catalogue is never renewed");
    }
    let all = ListQuery { limit: 10_000, ..ListQuery::default() };
    assert_eq!(listed(&disk, &all).len() as u64, number);
}
