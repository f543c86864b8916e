//! The corpus on the native core and on the component: the same answers and the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use sessile_core::Sessions;
use sessile_simulation::parts;
use sessile_tests::bound::{Bound, Tally};
use sessile_tests::corpus::run;

fn cases() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/ops");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: std::path::PathBuf| {
        let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let file = file.file_stem().unwrap().to_string_lossy().into_owned();
        cases.into_iter().map(move |case| (format!("{file}: {}", case["name"].as_str().unwrap()), case))
    };
    files.into_iter().flat_map(read).collect()
}

#[test]
fn every_case_gives_equal_answers_and_bytes_natively_and_in_the_component() {
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, case) in cases() {
        count += 1;
        let native = run(&case, &|host, options| {
            Ok(Box::new(sessile_core::Store::open(host, options)?) as Box<dyn Sessions>)
        });
        let component = run(&case, &|host, options| {
            Ok(Box::new(sessile::ComponentStore::open(host, options)?) as Box<dyn Sessions>)
        });
        match (native, component) {
            (Ok(native), Ok(component)) if native.same_bytes(&component) => {}
            (Ok(_), Ok(_)) => failed.push(format!("{name}: the two leave different bytes")),
            (native, component) => {
                failed.extend(native.err().map(|what| format!("{name}: native: {what}")));
                failed.extend(component.err().map(|what| format!("{name}: component: {what}")));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {count} cases differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 45, "only {count} cases were found");
    println!("corpus: {count} cases, natively and in the component");
}

/// A sample of what the simulation does with the native core, with the component: the same answers and the same bytes.
#[test]
fn random_histories_leave_the_same_bytes_natively_and_in_the_component() {
    let both = |seed: u64| {
        let native = parts::history(sessile_core::Store::open, seed, 60, 4)?;
        let component = parts::history(sessile::ComponentStore::open, seed, 60, 4)?;
        if native.same_bytes(&component) {
            Ok(Tally::new())
        } else {
            Err("the two leave different bytes".to_owned())
        }
    };
    let tally = Bound::ordinary(200).work(both).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}
