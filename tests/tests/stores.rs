//! Frozen stores are read for ever, new ones are written as the format says, and damaged ones give what they can.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sessile_core::{OpenOptions, Sessions};
use sessile_tests::corpus::{dump, run, run_on};
use sessile_tests::sim::{Disk, SimDisk, SimHost};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn json(path: &Path) -> Value {
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
    let case = json(&corpus("stores/v1/case.json"));
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
    let expected = json(&corpus("stores/v1/expected.json"));
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
        assert_eq!(dump(&mut *store).unwrap(), json(&corpus("stores/v1/expected.json")));
    }
    assert!(load(&root).same_bytes(&before));
}

#[test]
fn damaged_stores_give_everything_around_the_damage() {
    let cases = json(&corpus("damaged/cases.json"));
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
