//! Micro-benchmarks of single calls, with divan: the native core and the component on the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use divan::Bencher;
use sessile::{
    Durability, Engine, ForkOptions, ListQuery, NewSession, OpenOptions, Select, Store, WriteOptions,
};

use crate::race::root;
use crate::subjects::message;

/// The variable that says where the measured files are.
const PLACE: &str = "SESSILE_BENCH_DIR";

const ENGINES: [&str; 2] = ["native", "component"];

/// Runs the benchmarks and prints what divan prints.
pub fn run() {
    divan::Divan::default().color(false).run_benches();
    let _ = fs::remove_dir_all(place());
}

/// Runs them in a process of their own and gives what they print.
pub fn measure(dir: &Path) -> Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("micro").env(PLACE, dir).env("SESSILE_CACHE", dir.join("cache")).output()?;
    if !output.status.success() {
        bail!("the micro-benchmarks failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn place() -> PathBuf {
    let dir = std::env::var_os(PLACE).map_or_else(|| root().join("target/bench"), PathBuf::from);
    dir.join("micro")
}

/// A fresh store with a session of so many messages.
fn store(name: &str, engine: &str, messages: u64) -> Store {
    let dir = place().join(format!("{name}-{engine}"));
    let _ = fs::remove_dir_all(&dir);
    let engine = if engine == "native" { Engine::Native } else { Engine::Component };
    let mut store = Store::open_with(dir, OpenOptions::default(), engine).unwrap();
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    for _ in 0..messages {
        append_one(&mut store);
    }
    store
}

fn append_one(store: &mut Store) {
    let options = WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() };
    store.append("s", &format!("[{}]", message(2048)), &options).unwrap();
}

#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 20)]
fn append(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("append", engine, 10);
    bencher.bench_local(|| append_one(&mut store));
}

#[divan::bench(args = ENGINES, sample_count = 30, sample_size = 1)]
fn fold_1000(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("fold", engine, 1000);
    bencher.bench_local(|| store.read("s", &Select::From { seq: 1, limit: 10_000 }).unwrap());
}

#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 1)]
fn tail_50(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("tail", engine, 1000);
    bencher.bench_local(|| store.read("s", &Select::Last(50)).unwrap());
}

#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 1)]
fn list_20(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("list", engine, 1);
    for number in 0..100 {
        let id = Some(format!("session {number}"));
        store.create(&NewSession { id, ..NewSession::default() }).unwrap();
    }
    let query = ListQuery { limit: 20, ..ListQuery::default() };
    bencher.bench_local(|| store.list(&query).unwrap());
}

#[divan::bench(args = ENGINES, sample_count = 20, sample_size = 1)]
fn fork(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("fork", engine, 1000);
    bencher.bench_local(|| store.fork("s", &ForkOptions::default()).unwrap());
}

#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 10)]
fn resolve(bencher: Bencher<'_, '_>, engine: &str) {
    let mut store = store("resolve", engine, 1);
    for number in 0..100 {
        let id = Some(format!("session {number}"));
        store.create(&NewSession { id, ..NewSession::default() }).unwrap();
    }
    bencher.bench_local(|| store.resolve("session 42", None).unwrap());
}
