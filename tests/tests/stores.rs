//! Frozen stores are read for ever, new ones are written as the format says, and damaged ones give what they can.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sessile_core::{ErrorKind, MessageRef, OpenOptions, Select, Sessions, WriteOptions};
use sessile_tests::corpus::{dump, run, run_on};
use sessile_tests::sim::{Disk, SimDisk, SimHost};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn parsed(path: &Path) -> Value {
    serde_json::from_str(
        &fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

fn native(host: SimHost, options: OpenOptions) -> sessile_core::Result<Box<dyn Sessions>> {
    Ok(Box::new(sessile_core::Store::open(host, options)?))
}

fn component(host: SimHost, options: OpenOptions) -> sessile_core::Result<Box<dyn Sessions>> {
    Ok(Box::new(sessile::ComponentStore::open(host, options)?))
}

/// Reads a directory of files into a simulated disk.
fn load(root: &Path) -> Disk {
    let mut disk = Disk::default();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            disk.put(&name, fs::read(path).unwrap());
        }
    }
    disk
}

fn save(disk: &Disk, root: &Path) {
    for path in disk.paths() {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, disk.bytes(path).unwrap()).unwrap();
    }
}

#[test]
fn a_new_store_is_written_as_the_frozen_one_was() {
    let case = parsed(&corpus("stores/v1/case.json"));
    let (frozen, expected) = (corpus("stores/v1/files"), corpus("stores/v1/expected.json"));
    let made = run(&case[0], &native).unwrap();
    if !frozen.exists() {
        assert!(std::env::var_os("SESSILE_BLESS").is_some(), "no frozen store; `cargo xtask bless` makes it");
        save(&made, &frozen);
        let mut store =
            native(SimHost::new(&SimDisk::new(made.clone()), 9), OpenOptions { read_only: true }).unwrap();
        fs::write(&expected, serde_json::to_string_pretty(&dump(store.as_mut()).unwrap()).unwrap() + "\n")
            .unwrap();
    }
    let frozen = load(&frozen);
    for path in frozen.paths().chain(made.paths()) {
        let (old, new) = (frozen.bytes(path), made.bytes(path));
        let differ =
            || format!("{path} is written otherwise than version 1 was frozen: that breaks the format");
        assert!(old == new, "{}", differ());
    }
}

#[test]
fn a_frozen_store_holds_what_it_held() {
    let expected = parsed(&corpus("stores/v1/expected.json"));
    for open in [native, component] {
        let disk = SimDisk::new(load(&corpus("stores/v1/files")));
        let mut store = open(SimHost::new(&disk, 1), OpenOptions { read_only: true }).unwrap();
        assert_eq!(dump(store.as_mut()).unwrap(), expected);
        let report: Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
        assert_eq!(report["healthy"], true, "{report}");
    }
}

#[test]
fn the_real_disk_reads_a_frozen_store_without_writing() {
    let root = corpus("stores/v1/files");
    let before = load(&root);
    for engine in [sessile::Engine::Native, sessile::Engine::Component] {
        let mut store = sessile::Store::open_with(&root, OpenOptions { read_only: true }, engine).unwrap();
        assert_eq!(dump(&mut *store).unwrap(), parsed(&corpus("stores/v1/expected.json")));
    }
    assert!(load(&root).same_bytes(&before));
}

#[test]
fn damaged_stores_give_everything_around_the_damage() {
    let cases = parsed(&corpus("damaged/cases.json"));
    let mut failed = Vec::new();
    for case in cases.as_array().unwrap() {
        let base = || load(&corpus("stores").join(case["base"].as_str().unwrap()).join("files"));
        let name = case["name"].as_str().unwrap();
        match (run_on(base(), case, &native), run_on(base(), case, &component)) {
            (Ok(native), Ok(component)) if native.same_bytes(&component) => {}
            (Ok(_), Ok(_)) => failed.push(format!("{name}: the two leave different bytes")),
            (native, component) => failed.extend(
                [native.err(), component.err()].into_iter().flatten().map(|what| format!("{name}: {what}")),
            ),
        }
    }
    let count = cases.as_array().unwrap().len();
    assert!(failed.is_empty(), "{} of {count} cases differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 20, "only {count} cases were found");
    println!("damaged: {count} cases, natively and in the component");
}

/// What each case of the damaged stores leaves, by its name.
fn damaged() -> Vec<(String, Disk)> {
    let cases = parsed(&corpus("damaged/cases.json"));
    let leave = |case: &Value| {
        let base = load(&corpus("stores").join(case["base"].as_str().unwrap()).join("files"));
        (case["name"].as_str().unwrap().to_owned(), run_on(base, case, &native).unwrap())
    };
    cases.as_array().unwrap().iter().map(leave).collect()
}

fn report(disk: &Disk, repair: bool, open: sessile_tests::corpus::Opener<'_>) -> (Value, Disk) {
    let disk = SimDisk::new(disk.clone());
    let mut store = open(SimHost::new(&disk, 90), OpenOptions { read_only: !repair }).unwrap();
    let report = serde_json::from_str(&store.doctor(repair).unwrap()).unwrap();
    (report, disk.disk())
}

#[test]
fn the_doctor_reports_damaged_stores_as_it_did_and_writes_nothing() {
    let file = corpus("reports.json");
    let mut reports = Map::new();
    for (name, disk) in damaged() {
        let (native, after) = report(&disk, false, &native);
        assert!(after.same_bytes(&disk), "{name}: the doctor has written");
        assert_eq!(report(&disk, false, &component).0, native, "{name}: the component says something else");
        reports.insert(name, native);
    }
    if std::env::var_os("SESSILE_BLESS").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&reports).unwrap() + "\n").unwrap();
    }
    for (name, report) in &reports {
        assert_eq!(*report, parsed(&file)[name], "{name}; `cargo xtask bless` takes it as it is");
    }
}

#[test]
fn repair_makes_anew_what_is_derived_and_touches_no_log_of_a_session() {
    for (name, disk) in damaged() {
        let (repaired, after) = report(&disk, true, &native);
        let (again, last) = report(&after, true, &native);
        assert_eq!(again["catalogue"]["state"], "current", "{name}");
        assert_eq!(again["repaired"], json!([]), "{name}: {repaired}");
        assert!(last.same_bytes(&after), "{name}: repairing a second time changes something");
        for path in disk.paths().filter(|path| path.starts_with("sessions/")) {
            assert!(disk.bytes(path) == after.bytes(path), "{name}: {path} was changed");
        }
    }
}

/// The messages on the visible path without their numbers, which salvage gives anew.
fn visible(store: &mut dyn Sessions, id: &str) -> Vec<Value> {
    let page = store.read(id, &Select::From { seq: 1, limit: 10_000 }).unwrap();
    assert_eq!(page.next, None);
    let mut messages: Vec<Value> = serde_json::from_str(&page.messages).unwrap();
    for message in &mut messages {
        let message = message.as_object_mut().unwrap();
        message.remove("seq");
        message.remove("parent");
    }
    messages
}

/// The visible messages of all branches; where a tip cannot be read, several may look alike.
fn branches(disk: &Disk, id: &str) -> BTreeSet<String> {
    let disk = SimDisk::new(disk.clone());
    let mut store = native(SimHost::new(&disk, 91), OpenOptions::default()).unwrap();
    if store.get(id).unwrap().facts.trashed.is_some() {
        store.restore(id).unwrap();
    }
    let tips: Vec<u64> = store.branches(id).unwrap().iter().map(|branch| branch.tip).collect();
    tips.into_iter()
        .map(|tip| {
            store.switch(id, &MessageRef::Seq(tip), &WriteOptions::default()).unwrap();
            json!(visible(store.as_mut(), id)).to_string()
        })
        .collect()
}

/// Sessions that the stores of the corpus have, whether they can be read or not.
const SESSIONS: [&str; 10] = [
    "everything",
    "child",
    "grandchild",
    "long",
    "compacted",
    "detached",
    "trashed",
    "heir",
    "01JD0000000000000000000000",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
];

#[test]
fn salvage_gives_every_message_that_can_be_read() {
    let (mut salvaged, mut headless, mut more) = (0, 0, 0);
    for (name, disk) in damaged() {
        for id in SESSIONS {
            let request = json!({"session": id, "id": "salvaged", "quarantine": true}).to_string();
            let run = |open: sessile_tests::corpus::Opener<'_>| {
                let disk = SimDisk::new(disk.clone());
                let mut store = open(SimHost::new(&disk, 92), OpenOptions::default()).unwrap();
                let answer = store.operate("salvage_session", &request);
                (answer, store, disk)
            };
            let (answer, mut store, after) = run(&native);
            let (theirs, _, theirs_after) = run(&component);
            assert!(after.disk().same_bytes(&theirs_after.disk()), "{name}, {id}");
            let answer: Value = match (answer, theirs) {
                (Ok(answer), Ok(theirs)) if answer == theirs => serde_json::from_str(&answer).unwrap(),
                (Err(error), Err(theirs)) if error == theirs && error.kind == ErrorKind::NotFound => continue,
                (answer, theirs) => panic!("{name}, {id}: {answer:?} {theirs:?}"),
            };
            salvaged += 1;
            let readable =
                native(SimHost::new(&SimDisk::new(disk.clone()), 93), OpenOptions { read_only: true })
                    .unwrap()
                    .get(id)
                    .is_ok();
            assert_eq!(answer["quarantined"], readable, "{name}, {id}");
            let new = visible(store.as_mut(), "salvaged");
            if readable {
                let mut old =
                    native(SimHost::new(&SimDisk::new(disk.clone()), 94), OpenOptions { read_only: true })
                        .unwrap();
                let expected = visible(old.as_mut(), id);
                // Where the first record is damaged, salvage reads more than readers do.
                let mut rest = new.iter();
                assert!(
                    expected.iter().all(|old| rest.any(|new| new == old)),
                    "{name}, {id}: a message is lost"
                );
                if new.len() == expected.len() {
                    assert!(
                        branches(&after.disk(), "salvaged") == branches(&disk, id),
                        "{name}, {id}: the branches differ"
                    );
                } else {
                    more += 1;
                }
                let (facts, before) = (store.get("salvaged").unwrap().facts, old.get(id).unwrap().facts);
                assert_eq!((facts.title, facts.scope, facts.tags), (before.title, before.scope, before.tags));
                assert!(store.get(id).unwrap().facts.trashed.is_some());
            } else {
                headless += 1;
            }
            // The new one is without fault and a retry finds it; of the old one nothing was changed.
            let again: Value =
                serde_json::from_str(&store.operate("salvage_session", &request).unwrap()).unwrap();
            assert_eq!(
                (&again["repeated"], &again["carried"]),
                (&json!(true), &answer["carried"]),
                "{name}, {id}"
            );
            let report: Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
            let of_new = |finding: &Value| finding["session"] == "salvaged";
            assert!(!report["findings"].as_array().unwrap().iter().any(of_new), "{name}, {id}: {report}");
            for path in disk.paths().filter(|path| path.starts_with("sessions/")) {
                let (before, after) = (disk.bytes(path).unwrap(), after.disk().bytes(path).unwrap().to_vec());
                assert!(after.starts_with(before), "{name}, {id}: {path} was changed");
            }
        }
    }
    println!(
        "salvage: {salvaged} sessions, {headless} that no reader opens, {more} with more than readers see"
    );
    assert!(salvaged > 100 && headless > 1 && (1..3).contains(&more), "{salvaged} {headless} {more}");
}

#[test]
fn a_session_without_its_first_record_keeps_all_its_messages() {
    for (id, at) in [("compacted", 0), ("everything", 0), ("long", 0)] {
        let mut whole = load(&corpus("stores/v1/files"));
        let mut store =
            native(SimHost::new(&SimDisk::new(whole.clone()), 95), OpenOptions { read_only: true }).unwrap();
        let expected = visible(store.as_mut(), id);
        let path = whole
            .paths()
            .find(|path| {
                let text = String::from_utf8_lossy(whole.bytes(path).unwrap()).into_owned();
                text.starts_with("{\"t\": \"session\"") && text.contains(&format!("\"session\":\"{id}\""))
            })
            .unwrap()
            .to_owned();
        let mut bytes = whole.bytes(&path).unwrap().to_vec();
        bytes[at] = 0;
        whole.put(&path, bytes);
        let disk = SimDisk::new(whole);
        let mut store = native(SimHost::new(&disk, 96), OpenOptions::default()).unwrap();
        // A checkpoint tells the facts, and nobody the messages before it.
        let readable = store.get(id).is_ok_and(|_| visible(store.as_mut(), id) == expected);
        assert!(!readable, "{id}: nothing is damaged");
        let request = json!({"session": id, "id": "new"}).to_string();
        let answer: Value =
            serde_json::from_str(&store.operate("salvage_session", &request).unwrap()).unwrap();
        assert_eq!(answer["unreadable"], json!([]), "{id}");
        assert_eq!(visible(store.as_mut(), "new"), expected, "{id}");
    }
}

#[test]
fn the_doctor_names_what_is_held_twice_what_belongs_to_nothing_and_what_no_reader_reaches() {
    let disk = SimDisk::new(Disk::default());
    let mut store = native(SimHost::new(&disk, 97), OpenOptions::default()).unwrap();
    let new = sessile_core::NewSession { id: Some("s".into()), ..Default::default() };
    store.create(&new).unwrap();
    store.append("s", r#"[{"role":"user","parts":[]}]"#, &WriteOptions::default()).unwrap();
    let path = disk.disk().paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    let open_end = disk.disk().bytes(&path).unwrap().to_vec();
    disk.record();
    store.compact("s").unwrap();
    store.close().unwrap();
    let removed =
        disk.steps().into_iter().find(|step| step.call.name() == "remove" && step.call.path() == path);
    let sealed = removed.unwrap().before.bytes(&path).unwrap().to_vec();

    // A rewrite that was cut off before the old generation went.
    let mut left = disk.disk();
    left.put(&path, sealed.clone());
    let found = report(&left, false, &native).0;
    assert_eq!(
        (&found["healthy"], &found["duplicates"]),
        (&json!(true), &json!({"records": 0, "bytes": sealed.len()}))
    );
    let (repaired, after) = report(&left, true, &native);
    assert_eq!(repaired["repaired"], json!([format!("removed {path}, which was rewritten")]));
    assert_eq!(after.bytes(&path), None);

    // The first generation put back from elsewhere hides the second.
    let mut shadowed = disk.disk();
    shadowed.put(&path, open_end.clone());
    let found = report(&shadowed, false, &native).0;
    assert_eq!(
        (&found["healthy"], &found["unreachable"]),
        (&json!(false), &json!({"sessions": 1, "messages": 1}))
    );
    assert_eq!(found["findings"][0]["kind"], "shadowed", "{found}");
    let mut store = native(SimHost::new(&SimDisk::new(shadowed), 98), OpenOptions::default()).unwrap();
    let request = r#"{"session":"s","generation":2,"id":"n"}"#;
    let answer: Value = serde_json::from_str(&store.operate("salvage_session", request).unwrap()).unwrap();
    assert_eq!(answer["carried"], 1);

    // A line that stands there twice, and files of nobody.
    let mut strange = disk.disk();
    let second = path.replace("000001", "000002");
    let log = strange.bytes(&second).unwrap().to_vec();
    let last = log[..log.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    strange.put(&second, [&log[..], &log[last..]].concat());
    let files = ["tmp/x", "attachments/0/x", "sessions/0/x", "catalogue/000000.jsonl"];
    files.iter().for_each(|file| strange.put(file, b"xy".to_vec()));
    let found = report(&strange, true, &native);
    assert_eq!(found.0["duplicates"], json!({"records": 1, "bytes": log.len() - last}));
    let orphans = found.0["orphans"].as_array().unwrap();
    let what: BTreeSet<&str> = orphans.iter().map(|orphan| orphan["what"].as_str().unwrap()).collect();
    assert_eq!(what, BTreeSet::from(["attachment", "catalogue", "temporary", "unknown"]), "{orphans:?}");
    // The catalogue is derived, and made anew.
    let kept = files[..3].iter().all(|file| found.1.bytes(file) == Some(b"xy"));
    assert!(kept, "repair removes nothing of them");
}
