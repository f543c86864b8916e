//! Search against a plain scan of all messages: whatever has happened, they find the same.
//!
//! Histories come from a seed. Between their steps the index is updated, deleted, damaged, cut off in the middle and
//! written by two processes at once; none of it may show in an answer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sessile_core::{
    ErrorKind, ForkOptions, ListQuery, MessageChange, MessageRef, NewSession, OpenOptions, Select, Sessions,
    Store, WriteOptions,
};
use sessile_simulation::inject::faults;
use sessile_simulation::sim::{Disk, Random, SimDisk, SimHost, Stage, Turns};

type Sim = Store<SimHost>;
/// A session and a message of it; 0 is its title.
type Place = (String, u64);

const WORDS: [&str; 8] = ["alpha", "beta", "gamma", "delta", "epsilon", "alphabet", "zeta", "eta"];
const ROLES: [&str; 3] = ["user", "assistant", "tool"];

fn open(disk: &SimDisk, process: u64) -> Sim {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

fn operate(store: &mut Sim, name: &str, request: &Value) -> Value {
    let answer = store.operate(name, &request.to_string());
    serde_json::from_str(&answer.unwrap_or_else(|error| panic!("{name} {request}: {error}"))).unwrap()
}

fn update(store: &mut Sim, bytes: u64) -> Value {
    operate(store, "update_search", &json!({"bytes": bytes}))
}

/// Everything that a search finds, page by page, as the places where it is.
fn found(store: &mut Sim, mut request: Value) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    request["limit"] = json!(7);
    loop {
        let answer = operate(store, "search", &request);
        assert_eq!(answer["behind"], json!({"sessions": 0, "bytes": 0}));
        for hit in answer["hits"].as_array().unwrap() {
            assert!(!hit["highlights"].as_array().unwrap().is_empty(), "{hit}");
            let own = json!({"session_id": hit["session_id"], "seq": hit["seq"].as_u64().unwrap_or(0)});
            for place in std::iter::once(&own).chain(hit["also"].as_array().unwrap()) {
                let place =
                    (place["session_id"].as_str().unwrap().to_owned(), place["seq"].as_u64().unwrap());
                assert!(places.insert(place.clone()), "{place:?} twice, for {request}");
            }
        }
        if answer["next"].is_null() {
            return places;
        }
        request["cursor"] = answer["next"].clone();
    }
}

/// A message as the scan sees it.
struct Seen {
    place: Place,
    scope: String,
    role: String,
    text: String,
    trashed: bool,
}

/// All messages and titles of a store, by reading all of it.
fn scan(store: &mut Sim) -> Vec<Seen> {
    let mut seen = Vec::new();
    for trashed in [false, true] {
        let page = store.list(&ListQuery { trashed, limit: 1000, ..ListQuery::default() }).unwrap();
        for session in page.sessions {
            let (id, scope) = (session.id.clone(), session.facts.scope.clone());
            if let Some(title) = &session.facts.title {
                let (place, role) = ((id.clone(), 0), String::new());
                let text = title.to_lowercase();
                seen.push(Seen { place, scope: scope.clone(), role, text, trashed });
            }
            let path = store.read(&id, &Select::From { seq: 1, limit: 1000 }).unwrap();
            let all: Vec<Value> = serde_json::from_str(&path.messages).unwrap();
            for stored in all {
                let seq = stored["seq"].as_u64().unwrap();
                let texts = stored["message"]["parts"].as_array().unwrap().iter();
                let text: Vec<&str> = texts.map(|part| part["text"].as_str().unwrap()).collect();
                seen.push(Seen {
                    place: (id.clone(), seq),
                    scope: scope.clone(),
                    role: stored["message"]["role"].as_str().unwrap().to_owned(),
                    // Nothing goes on from part to part.
                    text: text.join(" . "),
                    trashed,
                });
            }
        }
    }
    seen
}

fn has(text: &str, words: &[&str]) -> bool {
    let padded = format!(" {text} ");
    words.iter().all(|word| padded.contains(&format!(" {word} ")))
}

/// Compares search and scan for words, phrases, beginnings, negations and filters.
fn compare(store: &mut Sim, random: &mut Random, how: &str) {
    let seen = scan(store);
    let mut one = || WORDS[random.below(WORDS.len() as u64) as usize];
    let (first, second, third) = (one(), one(), one());
    let role = ROLES[random.below(3) as usize];
    let scope = ["", "work"][random.below(2) as usize];
    let session = seen.first().map_or("none", |seen| seen.place.0.as_str());
    let check = |store: &mut Sim, request: Value, wanted: &dyn Fn(&Seen) -> bool| {
        let with_trash = request["trashed"] == json!(true);
        let expected: BTreeSet<Place> = seen
            .iter()
            .filter(|seen| (with_trash || !seen.trashed) && wanted(seen))
            .map(|seen| seen.place.clone())
            .collect();
        let found = found(store, request.clone());
        assert_eq!(found, expected, "{how}: {request}");
    };
    check(store, json!({"query": first}), &|seen| has(&seen.text, &[first]));
    check(store, json!({"query": first, "trashed": true}), &|seen| has(&seen.text, &[first]));
    check(store, json!({"query": format!("{first} {second}")}), &|seen| has(&seen.text, &[first, second]));
    check(store, json!({"query": format!("\"{first} {second}\"")}), &|seen| {
        has(&seen.text, &[&format!("{first} {second}")])
    });
    check(store, json!({"query": format!("{first} -{third}")}), &|seen| {
        has(&seen.text, &[first]) && !has(&seen.text, &[third])
    });
    check(store, json!({"query": "alph*"}), &|seen| {
        has(&seen.text, &["alpha"]) || has(&seen.text, &["alphabet"])
    });
    check(store, json!({"query": first, "role": role}), &|seen| {
        seen.role == role && has(&seen.text, &[first])
    });
    check(store, json!({"query": first, "scope": scope}), &|seen| {
        seen.scope == scope && has(&seen.text, &[first])
    });
    check(store, json!({"query": first, "session": session, "trashed": true}), &|seen| {
        seen.place.0 == session && has(&seen.text, &[first])
    });
}

fn text(random: &mut Random) -> String {
    let count = 1 + random.below(6);
    let words: Vec<&str> = (0..count).map(|_| WORDS[random.below(WORDS.len() as u64) as usize]).collect();
    words.join(" ")
}

fn message(random: &mut Random) -> Value {
    let role = ROLES[random.below(3) as usize];
    let parts: Vec<Value> =
        (0..1 + random.below(2)).map(|_| json!({"type": "text", "text": text(random)})).collect();
    json!({"role": role, "parts": parts})
}

/// One step of a history. What does not apply then is passed over.
fn step(store: &mut Sim, random: &mut Random, made: &mut u64) {
    let list = |store: &mut Sim, trashed| {
        let page = store.list(&ListQuery { trashed, limit: 1000, ..ListQuery::default() }).unwrap();
        page.sessions.into_iter().map(|session| session.id).collect::<Vec<String>>()
    };
    let (alive, trashed) = (list(store, false), list(store, true));
    let options = WriteOptions::default();
    let any = |random: &mut Random, ids: &[String]| {
        ids.get(random.below(ids.len().max(1) as u64) as usize).cloned()
    };
    let id = any(random, &alive).unwrap_or_default();
    let count = store.get(&id).map_or(0, |session| session.head);
    let seq = MessageRef::Seq(1 + random.below(count.max(1)));
    let kind = if alive.is_empty() { 0 } else { random.below(30) };
    // Errors are of what does not apply: no message, nothing to undo.
    let done = match kind {
        0 => {
            *made += 1;
            let scope = ["", "work"][random.below(2) as usize].to_owned();
            let title = (random.below(2) == 0).then(|| text(random));
            store
                .create(&NewSession { id: Some(format!("s{made}")), scope, title, ..Default::default() })
                .map(drop)
        }
        1..=8 => {
            let messages: Vec<Value> = (0..1 + random.below(3)).map(|_| message(random)).collect();
            store.append(&id, &json!(messages).to_string(), &options).map(drop)
        }
        9..=11 => {
            let text = format!(" {}", text(random));
            let change = MessageChange::AddText { part: random.below(2), text, at: None };
            store.update_message(&id, &seq, &change, &options).map(drop)
        }
        12 | 13 => {
            let patch = json!({"parts": message(random)["parts"]}).to_string();
            store.update_message(&id, &seq, &MessageChange::Patch(patch), &options).map(drop)
        }
        14..=16 if *made < 12 => {
            *made += 1;
            let at = (random.below(2) == 0).then_some(seq);
            store.fork(&id, &ForkOptions { id: Some(format!("s{made}")), at, ..Default::default() }).map(drop)
        }
        17 | 18 => store.revert(&id, &seq, false, &options).map(drop),
        19 => store.unrevert(&id, &options).map(drop),
        20 => store.switch(&id, &seq, &options).map(drop),
        21 => store.trash(&id).map(drop),
        22 => any(random, &trashed).map_or(Ok(()), |id| store.restore(&id).map(drop)),
        23 => any(random, &trashed).map_or(Ok(()), |id| store.purge(&id)),
        24 => store.compact(&id).map(drop),
        25 => store.detach(&id).map(drop),
        26 => {
            let patch = sessile_core::SessionPatch { title: Some(Some(text(random))), ..Default::default() };
            store.update(&id, &patch, &options).map(drop)
        }
        _ => {
            update(store, 1 + random.below(2000));
            Ok(())
        }
    };
    if let Err(error) = done {
        let expected = [ErrorKind::Conflict, ErrorKind::NotFound, ErrorKind::Invalid];
        assert!(expected.contains(&error.kind), "{error}");
    }
}

#[test]
fn search_finds_what_a_scan_finds() {
    let mut compared = 0;
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(Disk::default());
        let mut store = open(&disk, 1);
        let mut other = open(&disk, 2);
        let mut made = 0;
        for number in 0..60 {
            let store = if random.below(4) == 0 { &mut other } else { &mut store };
            step(store, &mut random, &mut made);
            if random.below(6) == 0 {
                compare(store, &mut random, &format!("seed {seed}, step {number}"));
                compared += 1;
            }
        }
        // A new process, with the index as it is on the disk; then with all of it.
        let mut store = open(&disk, 3);
        compare(&mut store, &mut random, &format!("seed {seed}, opened again"));
        for _ in 0..200 {
            if update(&mut store, 3000)["more"] == json!(false) {
                break;
            }
        }
        let updated = update(&mut store, 3000);
        assert_eq!(
            (&updated["more"], &updated["behind"]["sessions"]),
            (&json!(false), &json!(0)),
            "seed {seed}"
        );
        compare(&mut open(&disk, 4), &mut random, &format!("seed {seed}, updated"));
        compared += 2;
    }
    println!("search: {compared} stores compared with a scan of all messages");
    assert!(compared > 1000);
}

/// A store with everything that makes searching hard, in which `xylophone` is said by a session that can be purged.
fn prepared(disk: &SimDisk) -> Sim {
    let mut store = open(disk, 1);
    let mut random = Random::new(7);
    let mut made = 0;
    (0..80).for_each(|_| step(&mut store, &mut random, &mut made));
    store.create(&NewSession { id: Some("doomed".into()), ..Default::default() }).unwrap();
    let said = json!([{"role": "user", "parts": [{"type": "text", "text": "alpha xylophone"}]}]).to_string();
    store.append("doomed", &said, &WriteOptions::default()).unwrap();
    store.close().unwrap();
    store
}

fn update_all(store: &mut Sim, bytes: u64) -> sessile_core::Result<()> {
    for _ in 0..500 {
        let answer: Value =
            serde_json::from_str(&store.operate("update_search", &json!({"bytes": bytes}).to_string())?)
                .unwrap();
        if answer["more"] == json!(false) {
            return Ok(());
        }
    }
    panic!("an update that does not end");
}

fn segments(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let ours = disk.paths().filter(|path| path.starts_with("search/"));
    ours.map(|path| (path.to_owned(), disk.bytes(path).unwrap().to_vec())).collect()
}

/// Whether a word stands in a segment.
fn holds(disk: &SimDisk, word: &str) -> bool {
    let is_there = |bytes: &[u8]| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
    segments(&disk.disk()).iter().any(|(_, bytes)| is_there(bytes))
}

#[test]
fn a_crash_anywhere_in_an_update_shows_in_no_answer() {
    let disk = SimDisk::new(Disk::default());
    let mut store = prepared(&disk);
    disk.record();
    update_all(&mut store, 900).unwrap();
    let (mut states, mut random) = (0, Random::new(1));
    let mut check = |disk: Disk, how: &str| {
        let disk = SimDisk::new(disk);
        let mut store = open(&disk, 100 + states);
        compare(&mut store, &mut random, how);
        update_all(&mut store, 5000).unwrap();
        compare(&mut store, &mut random, how);
        states += 1;
    };
    for (place, step) in disk.steps().iter().enumerate() {
        for stage in step.call.stages().into_iter().step_by(5) {
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, stage);
            check(disk, &format!("killed at write {place} ({} {})", step.call.name(), step.call.path()));
        }
        let mut disk = step.before.clone();
        let _ = disk.perform(&step.call, Stage::Visible);
        let mut nth = 0;
        disk.after_power_loss(step.call.path(), &mut |image| {
            nth += 1;
            if nth % 9 == 1 {
                check(image.disk, &format!("power lost at write {place}"));
            }
        });
    }
    println!("search: {states} states after a crash");
    assert!(states > 20, "only {states} states");
}

#[test]
fn an_error_of_any_call_of_an_update_shows_in_no_answer_and_stops_no_append() {
    let disk = SimDisk::new(Disk::default());
    drop(prepared(&disk));
    let before = disk.disk();
    let mut store = open(&disk, 2);
    store.host_mut().reset_counts();
    update_all(&mut store, 4000).unwrap();
    let (calls, writes) = (store.host_mut().counts().calls, store.host_mut().write_calls().to_vec());
    let (mut runs, mut random) = (0, Random::new(2));
    let message = json!([{"role": "user", "parts": [{"type": "text", "text": "alpha"}]}]).to_string();
    for at in 0..calls {
        for (place, fault) in faults(at, writes.contains(&at)).into_iter().enumerate() {
            // All kinds for what writes; of what reads, each in turn.
            if !writes.contains(&at) && !(at as usize + place).is_multiple_of(6) {
                continue;
            }
            let disk = SimDisk::new(before.clone());
            let mut store = open(&disk, 3);
            store.host_mut().reset_counts();
            store.host_mut().set_fault(Some(fault));
            let _ = update_all(&mut store, 4000);
            store.host_mut().set_fault(None);
            // A failed sync closes the host to every write, as it should.
            match store.append("doomed", &message, &WriteOptions::default()) {
                Err(error) => assert_eq!(error.kind, ErrorKind::Closed, "{fault:?}"),
                Ok(_) => compare(&mut store, &mut random, &format!("{fault:?}")),
            }
            compare(&mut open(&disk, 4), &mut random, &format!("{fault:?}, opened again"));
            runs += 1;
        }
    }
    println!("search: {runs} runs with a failing call");
    assert!(runs > 100, "only {runs} runs");
}

/// Orders of calls that are tried for each pair.
const ORDERS: u64 = 60;

type Act<'a> = &'a (dyn Fn(&mut Sim) -> sessile_core::Result<()> + Sync);

/// Lets two processes act at once: in odd orders one does all where it finds the other in the middle, in even ones they
/// come call by call.
fn race(
    disk: &SimDisk,
    seed: u64,
    one: Act<'_>,
    other: Act<'_>,
) -> (sessile_core::Result<()>, sessile_core::Result<()>) {
    let mut random = Random::new(seed);
    let begin = random.below(80) as usize;
    let order: Vec<u64> = match seed % 2 {
        0 => (0..400).map(|_| 11 + random.below(2)).collect(),
        _ => [11].repeat(begin).into_iter().chain([12].repeat(400)).collect(),
    };
    let turns = Turns::new(&[11, 12], order);
    let (mine, others) = (open(disk, 11), open(disk, 12));
    let act = |process, mut store: Sim, act: Act<'_>| {
        store.host_mut().take_turns(Some(turns.clone()));
        let acted = act(&mut store);
        turns.finish(process);
        acted
    };
    std::thread::scope(|scope| {
        let others = scope.spawn(|| act(12, others, other));
        (act(11, mine, one), others.join().unwrap())
    })
}

#[test]
fn what_others_do_meanwhile_stops_no_update_and_no_search() {
    let disk = SimDisk::new(Disk::default());
    let mut store = prepared(&disk);
    update_all(&mut store, 20_000).unwrap();
    let said = json!([{"role": "user", "parts": [{"type": "text", "text": "beta xylophone"}]}]).to_string();
    store.append("doomed", &said, &WriteOptions::default()).unwrap();
    store.create(&NewSession { id: Some("gone".into()), ..Default::default() }).unwrap();
    let doomed = said.replace("xylophone", "quixotic");
    store.append("gone", &doomed, &WriteOptions::default()).unwrap();
    store.trash("gone").unwrap();
    store.close().unwrap();
    let base = disk.disk();
    let append = |store: &mut Sim| store.append("doomed", &said, &WriteOptions::default()).map(|_| ());
    let acts: [(&str, Act<'_>); 4] = [
        ("append", &append),
        ("purge", &|store| store.purge("gone").map(|_| ())),
        ("compact", &|store| store.compact("doomed").map(|_| ())),
        ("update", &|store| update_all(store, 700)),
    ];
    let search = |store: &mut Sim| {
        store.operate("search", &json!({"query": "alpha beta", "trashed": true}).to_string()).map(drop)
    };
    let works: [(&str, Act<'_>); 2] = [("update", &|store| update_all(store, 900)), ("search", &search)];
    for seed in 0..ORDERS {
        for (working, work) in works {
            for (name, act) in acts {
                let how = format!("{working} and {name}, order {seed}");
                let disk = SimDisk::new(base.clone());
                let (mine, others) = race(&disk, seed, work, act);
                mine.unwrap_or_else(|error| panic!("{how}: the {working}: {error:?}"));
                others.unwrap_or_else(|error| panic!("{how}: the {name}: {error:?}"));
                let (mut store, mut random) = (open(&disk, 13), Random::new(seed));
                compare(&mut store, &mut random, &how);
                update_all(&mut store, 1 << 20).unwrap();
                compare(&mut store, &mut random, &format!("{how}, updated"));
                let is_left = name == "purge" && holds(&disk, "quixotic");
                assert!(!is_left, "{how}: words of what was purged are in the index");
            }
        }
    }
}

#[test]
fn damage_of_any_byte_of_the_index_is_no_wrong_answer() {
    let disk = SimDisk::new(Disk::default());
    let mut store = prepared(&disk);
    update_all(&mut store, 1 << 20).unwrap();
    let before = disk.disk();
    let request = json!({"query": "alpha", "trashed": true});
    let expected = found(&mut store, request.clone());
    let mut random = Random::new(3);
    let mut damaged = 0;
    for (path, bytes) in segments(&before) {
        let step = (bytes.len() / 400).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut now = before.clone();
            let mut bytes = bytes.clone();
            match damaged % 3 {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 + random.below(255) as u8,
            }
            now.put(&path, bytes);
            let disk = SimDisk::new(now);
            assert_eq!(found(&mut open(&disk, 5), request.clone()), expected, "{path} at {at}");
            damaged += 1;
            if damaged % 50 == 0 {
                let mut store = open(&disk, 6);
                update_all(&mut store, 1 << 20).unwrap();
                assert_eq!(found(&mut store, request.clone()), expected, "{path} at {at}, updated");
                let report: Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
                let orphans = report["orphans"].as_array().unwrap();
                assert!(
                    !orphans.iter().any(|orphan| orphan["file"].as_str().unwrap().starts_with("search/"))
                );
            }
        }
    }
    assert!(damaged > 300, "only {damaged}");
}

#[test]
fn words_of_what_was_purged_are_gone() {
    let disk = SimDisk::new(Disk::default());
    let mut store = prepared(&disk);
    // In many segments, so that those of others stay.
    update_all(&mut store, 700).unwrap();
    assert!(holds(&disk, "xylophone"), "the index has no such word");
    store.trash("doomed").unwrap();
    assert_eq!(found(&mut store, json!({"query": "xylophone"})).len(), 0);
    assert_eq!(found(&mut store, json!({"query": "xylophone", "trashed": true})).len(), 1);
    // Another process has the index open, and the purge is that of a third.
    let mut other = open(&disk, 2);
    assert_eq!(found(&mut other, json!({"query": "xylophone", "trashed": true})).len(), 1);
    open(&disk, 3).purge("doomed").unwrap();
    assert!(!holds(&disk, "xylophone"), "the index still has it");
    for store in [&mut store, &mut other] {
        assert_eq!(found(store, json!({"query": "xylophone", "trashed": true})).len(), 0);
        update_all(store, 700).unwrap();
    }
    assert!(!holds(&disk, "xylophone"), "it has come back");
    compare(&mut store, &mut Random::new(4), "purged");
}

#[test]
fn a_store_that_is_read_only_is_searched_and_not_written() {
    let disk = SimDisk::new(Disk::default());
    drop(prepared(&disk));
    let before = disk.disk();
    let mut store = Store::open(SimHost::new(&disk, 2), OpenOptions { read_only: true }).unwrap();
    assert_eq!(found(&mut store, json!({"query": "xylophone"})).len(), 1);
    let error = store.operate("update_search", "{}").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(disk.disk().same_bytes(&before));
}

#[test]
fn hidden_messages_are_found_where_asked_for() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..Default::default() }).unwrap();
    for text in ["alpha", "beta"] {
        let message = json!([{"role": "user", "parts": [{"type": "text", "text": text}]}]).to_string();
        store.append("s", &message, &WriteOptions::default()).unwrap();
    }
    store.revert("s", &MessageRef::Seq(1), false, &WriteOptions::default()).unwrap();
    for updated in [false, true] {
        if updated {
            update_all(&mut store, 1 << 20).unwrap();
        }
        assert_eq!(found(&mut store, json!({"query": "beta"})).len(), 0);
        let answer = operate(&mut store, "search", &json!({"query": "beta", "hidden": true}));
        assert_eq!((&answer["hits"][0]["seq"], &answer["hits"][0]["hidden"]), (&json!(2), &json!(true)));
    }
}

#[test]
fn what_cannot_be_looked_for_is_refused_with_the_way_out() {
    let mut store = open(&SimDisk::new(Disk::default()), 1);
    for (request, what) in [
        (json!({"query": ""}), "no word"),
        (json!({"query": ":: ..."}), "no word"),
        (json!({"query": "-only"}), "no word"),
        (json!({"query": "a", "limit": 0}), "ask for 1 to 1000"),
        (json!({"query": "a", "cursor": "x"}), "not a cursor"),
        (json!({"query": "a", "role": "nobody"}), "give one of"),
        (json!({"query": "role:user a", "role": "tool"}), "two roles"),
        (json!({"query": "\"a"}), "close it"),
        (json!({"query": "x".repeat(5000)}), "at most 4096"),
    ] {
        let error = store.operate("search", &request.to_string()).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains(what), "{request}: {error}");
    }
}

/// Pieces of the project's own pages and sources, as messages of 1 KiB.
fn real_text() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pieces = Vec::new();
    let mut directories = vec![root.join("docs"), root.join("core/src"), root.join("host-python/src")];
    while let Some(directory) = directories.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let is_text =
                path.extension().is_some_and(|kind| ["md", "rs", "py"].iter().any(|text| kind == *text));
            if path.is_dir() {
                directories.push(path);
            } else if is_text {
                let text: Vec<char> = std::fs::read_to_string(path).unwrap().chars().collect();
                pieces.extend(text.chunks(1024).map(|piece| piece.iter().collect::<String>()));
            }
        }
    }
    pieces
}

#[test]
fn the_index_is_small() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    let pieces = real_text();
    for (number, pieces) in pieces.chunks(100).enumerate() {
        let id = format!("s{number}");
        store.create(&NewSession { id: Some(id.clone()), ..Default::default() }).unwrap();
        let said = |text: &String| json!({"role": "user", "parts": [{"type": "text", "text": text}]});
        let messages: Vec<Value> = pieces.iter().map(said).collect();
        store.append(&id, &json!(messages).to_string(), &WriteOptions::default()).unwrap();
    }
    update_all(&mut store, 8 << 20).unwrap();
    let updated = update(&mut store, 1 << 20);
    let text: usize = pieces.iter().map(String::len).sum();
    let index = updated["bytes"].as_u64().unwrap() as usize;
    println!(
        "search: {} messages, {text} bytes of text, {index} of index: {} %",
        pieces.len(),
        index * 100 / text
    );
    assert_eq!(updated["documents"], json!(pieces.len()));
    assert!(index * 100 < text * 40, "{index} bytes of index for {text} of text");
}
