//! A guard against getting slower unnoticed: how many instructions of the component ten operations take.
//!
//! They are counted as wasmtime's fuel, over a simulated disk with a simulated clock and entropy: the same on every machine
//! and in every run. The committed figures stand in `figures/instructions.json`; `cargo xtask bless` rewrites them. Up to
//! 5 % more is let pass, for what a newer compiler makes of the same source.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise and show figures"
)]

use std::collections::BTreeMap;
use std::path::Path;

use sessile::{
    ComponentStore, Durability, ForkOptions, ListQuery, MessageChange, NewSession, OpenOptions, Select,
    Sessions, WriteOptions,
};
use sessile_simulation::sim::{SimDisk, SimHost};

/// How much more than the committed figure an operation may take.
const ROOM: f64 = 0.05;

type Store = ComponentStore<SimHost>;

fn message() -> String {
    format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{}"}}]}}"#, "a word or two ".repeat(143))
}

fn named(id: &str) -> NewSession {
    NewSession { id: Some(id.to_owned()), title: Some(format!("Title of {id}")), ..NewSession::default() }
}

fn append(store: &mut Store, messages: usize) {
    let options = WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() };
    store.append("s", &format!("[{}]", vec![message(); messages].join(",")), &options).unwrap();
}

fn open(disk: &SimDisk, process: u64) -> Store {
    ComponentStore::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

/// A store of a session with 1,000 messages and of 100 others.
fn filled() -> SimDisk {
    let disk = SimDisk::default();
    let mut store = open(&disk, 1);
    store.create(&named("s")).unwrap();
    (0..1000).for_each(|_| append(&mut store, 1));
    for number in 0..100 {
        store.create(&named(&format!("other {number}"))).unwrap();
    }
    store.close().unwrap();
    disk
}

/// The ten operations, in this order, each with what it took.
fn measured() -> BTreeMap<String, u64> {
    let disk = filled();
    let mut store = open(&disk, 2);
    let mut found = BTreeMap::new();
    let mut note = |name: &str, store: &Store| found.insert(name.to_owned(), store.fuel_used());
    store.get("s").unwrap();
    note("get, cold", &store);
    append(&mut store, 1);
    note("append, cold", &store);
    append(&mut store, 1);
    note("append", &store);
    append(&mut store, 10);
    note("append of ten", &store);
    let options = WriteOptions::default();
    let change = MessageChange::AddText { part: 0, text: "and more".repeat(12), at: None };
    store.update_message("s", &1000.into(), &change, &options).unwrap();
    note("add text", &store);
    store.read("s", &Select::Last(50)).unwrap();
    note("read the last 50", &store);
    store.read("s", &Select::From { seq: 1, limit: 1000 }).unwrap();
    note("read 1,000", &store);
    store.list(&ListQuery { limit: 20, ..ListQuery::default() }).unwrap();
    note("list 20 of 101", &store);
    store.fork("s", &ForkOptions { id: Some("fork".into()), ..ForkOptions::default() }).unwrap();
    note("fork", &store);
    store.revert("s", &500.into(), false, &options).unwrap();
    note("revert", &store);
    found
}

#[test]
fn operations_take_no_more_instructions_than_committed() {
    let measured = measured();
    assert_eq!(measured.len(), 10);
    assert!(measured.values().all(|fuel| *fuel > 0), "{measured:?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("figures/instructions.json");
    if std::env::var_os("SESSILE_BLESS").is_some() {
        std::fs::write(&file, serde_json::to_string_pretty(&measured).unwrap() + "\n").unwrap();
    }
    let committed: BTreeMap<String, u64> =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let mut slower = Vec::new();
    for (name, now) in &measured {
        let before = *committed.get(name).unwrap_or(&0);
        let growth = *now as f64 / before as f64 - 1.0;
        println!("{name}: {now} instructions, {:+.2} %", growth * 100.0);
        if growth > ROOM {
            slower.push(format!("{name}: {before} -> {now} ({:+.1} %)", growth * 100.0));
        }
    }
    assert!(
        slower.is_empty(),
        "slower than committed: {slower:?}; make it as fast again, or say why in the commit that runs `cargo xtask bless`"
    );
}

#[test]
fn instructions_repeat_exactly() {
    assert_eq!(measured(), measured());
}
