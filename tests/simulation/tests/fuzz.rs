//! What fuzzing has found worth keeping, once more: every file of `fuzz/corpus`, every seed, and some thousands of changes
//! of them, through the bodies of the fuzz targets. `fuzz/found` has the inputs that broke something once, by name. `cargo xtask fuzz` is the real thing.
//!
//! A failure names the file, or prints the bytes; a file alone: `cargo xtask fuzz TARGET FILE`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sessile_simulation::fuzz::{TARGETS, Target, seeds};
use sessile_simulation::sim::Random;

/// How many changes of each corpus are tried ...
const CHANGES: u64 = 1500;
/// ... unless that takes longer than this.
const CHANGES_FOR: Duration = Duration::from_millis(1800);

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The committed files of a target, by their places below `fuzz/`.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for place in [format!("corpus/{target}"), format!("found/{target}")] {
        let Ok(entries) = fs::read_dir(repository().join("fuzz").join(&place)) else { continue };
        for entry in entries.map(|entry| entry.unwrap()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((format!("{place}/{name}"), fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}

/// Runs one input; where it fails, says which.
fn feed(name: &str, target: Target, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        println!("target {name} fails with {what}: {:?}", String::from_utf8_lossy(input));
        resume_unwind(panic);
    }
}

/// The corpus and the seeds of a target, whole.
fn replay(name: &str, target: Target) -> Vec<Vec<u8>> {
    let files = corpus(name);
    assert!(!files.is_empty(), "there is no corpus of {name}");
    let mut inputs = Vec::new();
    for (file, bytes) in files {
        feed(name, target, &bytes, &format!("fuzz/{file}"));
        inputs.push(bytes);
    }
    let seeds = seeds::of(name);
    for (place, seed) in seeds.iter().enumerate() {
        feed(name, target, seed, &format!("seed {place}"));
    }
    println!("{name}: {} files, {} seeds", inputs.len(), seeds.len());
    inputs.extend(seeds);
    inputs
}

/// One to four small changes, as a fuzzer makes them.
fn change(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = usize::try_from(random.below(input.len() as u64 + 1)).unwrap();
        match random.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, random.draw().to_le_bytes()[0]),
            2 if at < input.len() => drop(input.remove(at)),
            3 | 4 => input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << random.below(8)),
            _ => {
                let other = &others[usize::try_from(random.below(others.len() as u64)).unwrap()];
                let from = usize::try_from(random.below(other.len() as u64 + 1)).unwrap();
                let piece = other[from..].iter().take(64).copied();
                drop(input.splice(at..at, piece));
            }
        }
    }
    input.truncate(seeds::INPUT_BYTES_MAX);
}

fn changed(name: &str, target: Target, inputs: &[Vec<u8>]) {
    let (mut random, began, mut made) = (Random::new(1), Instant::now(), 0);
    while made < CHANGES && began.elapsed() < CHANGES_FOR {
        let place = usize::try_from(random.below(inputs.len() as u64)).unwrap();
        let mut input = inputs[place].clone();
        change(&mut input, inputs, &mut random);
        feed(name, target, &input, &format!("change {made}"));
        made += 1;
    }
    println!("{name}: {made} changed inputs");
}

/// The corpus of a target, its seeds, and changes of both.
fn check(name: &str) {
    let (name, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let inputs = replay(name, target);
    changed(name, target, &inputs);
}

#[test]
fn any_calls_are_answered() {
    check("calls");
}

#[test]
fn any_catalogue_is_made_again() {
    check("catalogue");
}

#[test]
fn any_records_fold_as_the_page_says() {
    check("fold");
}

#[test]
fn any_history_is_the_models() {
    check("history");
}

#[test]
fn any_id_has_a_file_of_its_own_or_is_refused() {
    check("ids");
}

#[test]
fn any_transcript_is_taken_or_named() {
    check("import");
}

#[test]
fn any_json_is_judged_as_serde_json_judges() {
    check("json");
}

#[test]
fn any_log_is_read_as_far_as_it_goes() {
    check("log");
}

#[test]
fn any_request_is_answered() {
    check("operate");
}

#[test]
fn any_directory_opens_or_is_refused() {
    check("store");
}

#[test]
fn corpora_are_small() {
    let mut all = 0;
    let names = TARGETS.map(|(name, _)| name);
    for name in names.into_iter().chain(["component"]) {
        let files = corpus(name);
        let committed = files.iter().filter(|(file, _)| file.starts_with("corpus/")).count();
        assert!(committed <= 300, "{name} has {committed} files; `cargo xtask fuzz --minimise`");
        for (file, bytes) in files {
            assert!(bytes.len() <= seeds::INPUT_BYTES_MAX, "fuzz/{file} has {} bytes", bytes.len());
            all += bytes.len();
        }
    }
    assert!(all <= 3 << 20, "{all} bytes");
}

#[test]
fn every_target_is_built() {
    let manifest = fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
    for name in TARGETS.map(|(name, _)| name).into_iter().chain(["component"]) {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no target of fuzz/Cargo.toml");
        let file = repository().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let body = if name == "component" { "fuzz::differential(" } else { &format!("fuzz::{name}(") };
        assert!(fs::read_to_string(file).unwrap().contains(body), "{name}");
    }
}
