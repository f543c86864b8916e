//! One corpus, three languages: the same answers, and the same bytes on the disk.
//!
//! The stores stay in `target/hosts` for whoever wants to look.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sessile_core::{OpenOptions, Result, Sessions};
use sessile_tests::corpus::run;
use sessile_tests::hosts::{self, Host};
use sessile_tests::sim::{Disk, SimHost};

type Files = BTreeMap<String, Vec<u8>>;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn native(host: SimHost, options: OpenOptions) -> Result<Box<dyn Sessions>> {
    Ok(Box::new(sessile_core::Store::open(host, options)?))
}

fn component(host: SimHost, options: OpenOptions) -> Result<Box<dyn Sessions>> {
    Ok(Box::new(sessile::ComponentStore::open(host, options)?))
}

/// Carries out the cases on a simulated disk and saves what they leave. Returns how many there were.
fn run_here(ops: &Path, out: &Path, open: fn(SimHost, OpenOptions) -> Result<Box<dyn Sessions>>) -> usize {
    let mut count = 0;
    for file in fs::read_dir(ops).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for (number, case) in cases.iter().enumerate() {
            let disk = run(case, &open).unwrap_or_else(|what| panic!("{}: {what}", case["name"]));
            save(&disk, &out.join(file.file_stem().unwrap()).join(number.to_string()));
            count += 1;
        }
    }
    count
}

fn save(disk: &Disk, root: &Path) {
    for path in disk.paths() {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, disk.bytes(path).unwrap()).unwrap();
    }
}

/// Has another language carry out the cases. Returns how many it says there were.
fn run_there(host: Host, ops: &Path, out: &Path) -> usize {
    let said = hosts::output(host.program("corpus").unwrap().arg(ops).arg(out)).unwrap();
    count_of(&said, "corpus", host)
}

/// The number of cases in a runner's last line, none of which may have failed.
fn count_of(said: &str, what: &str, host: Host) -> usize {
    let last = said.lines().last().unwrap_or_default();
    let count =
        last.strip_prefix(what).and_then(|rest| rest.strip_prefix(": ")?.strip_suffix(" cases, 0 failed"));
    let count = count.and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("{}: {what}: {said}", host.name()))
}

/// All files below a directory, by their paths.
fn files(root: &Path) -> Files {
    let mut found = Files::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// The names of the files that are not equal.
fn different<'a>(one: &'a Files, other: &'a Files) -> BTreeSet<&'a str> {
    let names: BTreeSet<&str> = one.keys().chain(other.keys()).map(String::as_str).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).collect()
}

#[test]
fn all_hosts_write_the_same_bytes() {
    let (ops, place) = (corpus("ops"), hosts::fresh("hosts/corpus").unwrap());
    let names = ["rust-native", "rust-component", "node", "python"];
    let out = names.map(|name| place.join(name));
    let counts = [
        run_here(&ops, &out[0], native),
        run_here(&ops, &out[1], component),
        run_there(Host::Node, &ops, &out[2]),
        run_there(Host::Python, &ops, &out[3]),
    ];
    assert!(counts.iter().all(|count| *count == counts[0] && *count >= 45), "{names:?}: {counts:?}");
    let written = out.each_ref().map(|out| files(out));
    assert!(written[0].len() > counts[0], "only {} files", written[0].len());
    for (name, files) in names.iter().zip(&written) {
        let different = different(&written[0], files);
        assert!(different.is_empty(), "{name} writes otherwise than {}: {different:?}", names[0]);
        let leftovers: Vec<&String> = files.keys().filter(|file| file.contains("/tmp/")).collect();
        assert!(leftovers.is_empty(), "{name} leaves {leftovers:?}");
    }
    println!("corpus: {} cases in {}; {} equal files", counts[0], names.join(", "), written[0].len());
}

#[test]
fn all_hosts_refuse_bad_input_alike() {
    let table = corpus("values.json");
    let cases: Value = serde_json::from_str(&fs::read_to_string(&table).unwrap()).unwrap();
    let expected = ["calls", "roots"].map(|part| cases[part].as_array().unwrap().len()).iter().sum::<usize>();
    for host in [Host::Node, Host::Python] {
        let said = {
            let out = hosts::fresh(&format!("hosts/values/{}", host.name())).unwrap();
            hosts::output(host.program("values").unwrap().arg(&table).arg(out)).unwrap()
        };
        assert_eq!(count_of(&said, "values", host), expected, "{}", host.name());
    }
    println!("values: {expected} cases in node, python");
}

#[test]
fn what_one_host_writes_the_others_read() {
    let place = hosts::fresh("hosts/frozen").unwrap();
    let ops = place.join("ops");
    fs::create_dir(&ops).unwrap();
    fs::copy(corpus("stores/v1/case.json"), ops.join("case.json")).unwrap();
    let frozen = files(&corpus("stores/v1/files"));
    let mut dumps: Vec<(String, Value)> = Vec::new();
    for writer in Host::ALL {
        let out = place.join(writer.name());
        let count = match writer {
            Host::Rust => run_here(&ops, &out, component),
            other => run_there(other, &ops, &out),
        };
        assert_eq!(count, 1);
        let store = out.join("case/0");
        let before = files(&store);
        assert_eq!(different(&before, &frozen), BTreeSet::new(), "{} writes another format", writer.name());
        for reader in Host::ALL {
            let dump = hosts::output(reader.program("dump").unwrap().arg(&store)).unwrap();
            let name = format!("{} of {}'s store", reader.name(), writer.name());
            dumps.push((name, serde_json::from_str(&dump).unwrap()));
        }
        assert_eq!(different(&before, &files(&store)), BTreeSet::new(), "reading has written");
    }
    let (first, dump) = &dumps[0];
    assert!(dump["sessions"].as_array().unwrap().len() >= 9, "{first} has {}", dump["sessions"]);
    for (name, other) in &dumps {
        for part in ["sessions", "messages"] {
            assert_eq!(other[part], dump[part], "{name} differs from {first} in {part}");
        }
    }
    println!("frozen: {} readings of stores by 3 hosts are equal", dumps.len());
}
