//! Faults that several processes have brought about in other stores, with several processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use sessile::operations::counters::GetCounters;
use sessile::{ListQuery, NewSession, Select, Store};
use sessile_tests::hosts::{Host, fresh};

/// A store of its own for a test.
fn place(name: &str) -> PathBuf {
    fresh(&format!("processes/{name}")).unwrap().join("store")
}

fn start(store: &Path, task: &str, name: &str, count: u64) -> Child {
    let mut command = Host::Rust.program("contender").unwrap();
    command.arg(store).args([task, name, &count.to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs contenders at once and returns what each has printed.
fn contend(store: &Path, tasks: &[(&str, &str, u64)]) -> Vec<Vec<String>> {
    let children: Vec<Child> =
        tasks.iter().map(|(task, name, count)| start(store, task, name, *count)).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let lines = |output: std::process::Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    outputs.map(lines).collect()
}

fn session(store: &mut Store, id: &str) {
    store.create(&NewSession { id: Some(id.into()), ..NewSession::default() }).unwrap();
}

fn texts(store: &mut Store, id: &str) -> Vec<String> {
    let stored = store.messages(id, &Select::From { seq: 1, limit: 10_000 }).unwrap();
    stored.iter().map(|stored| stored.message().unwrap().text()).collect()
}

/// BUG2.2: the last writer won, and the file said 10 and not 20.
#[test]
fn two_processes_add_ten_thousand_each_and_the_counter_says_twenty_thousand() {
    let root = place("count");
    drop(Store::open(&root).unwrap());
    contend(&root, &[("count", "a", 10_000), ("count", "b", 10_000)]);
    let counters = Store::open(&root).unwrap().run(&GetCounters::default()).unwrap().counters;
    assert_eq!(counters["n"].as_str(), "20000");
}

/// BUG0.1 and BUG1.5: half of the sessions were in no list.
#[test]
fn what_two_processes_create_is_in_every_list() {
    let root = place("create");
    drop(Store::open(&root).unwrap());
    let made = contend(&root, &[("create", "a", 60), ("create", "b", 60)]);
    let mut store = Store::open(&root).unwrap();
    let listed = store.list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap().sessions;
    let listed: BTreeSet<String> = listed.into_iter().map(|session| session.id).collect();
    let made: BTreeSet<String> = made.into_iter().flatten().collect();
    assert_eq!(made.len(), 120);
    assert_eq!(listed, made);
}

/// BUG0.2: whoever only looked wrote an older copy back.
#[test]
fn looking_at_a_session_never_takes_back_what_is_written_to_it() {
    let root = place("touch");
    session(&mut Store::open(&root).unwrap(), "s");
    let said = contend(&root, &[("append", "a", 400), ("touch", "b", 400), ("append", "c", 400)]);
    let mut store = Store::open(&root).unwrap();
    let there: BTreeSet<String> = texts(&mut store, "s").into_iter().collect();
    let said: BTreeSet<String> = said.into_iter().flatten().collect();
    assert_eq!(said.len(), 800);
    assert_eq!(there, said);
}

/// BUG0.3: a deletion that raced a save left a file that nothing ever removed.
#[test]
fn a_purge_that_races_appends_leaves_nothing() {
    for round in 0..10 {
        let root = place(&format!("purge-{round}"));
        session(&mut Store::open(&root).unwrap(), "s");
        contend(&root, &[("append", "a", 200), ("purge", "b", 1)]);
        let mut store = Store::open(&root).unwrap();
        assert_eq!(store.get("s").unwrap_err().kind, sessile::ErrorKind::NotFound);
        let report: serde_json::Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
        assert_eq!(report["sessions"], 0, "{report}");
        assert_eq!(report["findings"], serde_json::json!([]), "{report}");
    }
}

/// BUG1.4 and BUG3.9: each of two that asked at once got a session of its own.
#[test]
fn of_many_that_ask_for_the_session_of_a_key_one_makes_it_and_all_get_it() {
    for task in ["current", "thread"] {
        let root = place(task);
        drop(Store::open(&root).unwrap());
        let tasks: Vec<(&str, &str, u64)> = ["a", "b", "c", "d"].map(|name| (task, name, 25)).to_vec();
        let mut made: BTreeMap<String, u32> = BTreeMap::new();
        let answers = contend(&root, &tasks);
        for answer in answers.iter().flatten() {
            let (id, created) = answer.split_once(' ').unwrap();
            *made.entry(id.to_owned()).or_default() += u32::from(created == "true");
        }
        assert_eq!(made.len(), 25, "{task}: {made:?}");
        assert!(made.values().all(|made| *made == 1), "{task}: {made:?}");
        let listed =
            Store::open(&root).unwrap().list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
        assert_eq!(listed.sessions.len(), 25, "{task}");
    }
}

/// BUG5.7: starting while running silently orphaned the old session.
#[test]
fn of_many_that_begin_a_run_one_has_it() {
    let root = place("run");
    let mut store = Store::open(&root).unwrap();
    (0..25).for_each(|number| session(&mut store, &format!("r-{number}")));
    drop(store);
    let tasks: Vec<(&str, &str, u64)> = ["a", "b", "c", "d"].map(|name| ("run", name, 25)).to_vec();
    let begun: Vec<String> = contend(&root, &tasks).into_iter().flatten().collect();
    let sessions: BTreeSet<&String> = begun.iter().collect();
    assert_eq!((begun.len(), sessions.len()), (25, 25));
}
