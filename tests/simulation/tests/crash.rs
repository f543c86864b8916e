//! Crashes at every point of every operation, under every model of what is lost. See `sessile_simulation::explore`.
//!
//! `SESSILE_SCRIPT=<part of a name> cargo test --test crash` runs some scripts only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use sessile_simulation::bound::Bound;
use sessile_simulation::explore::{Base, Script, Stats, explore, prepare};
use sessile_simulation::flips::Flips;
use sessile_simulation::inject::inject;
use sessile_simulation::parts;
use sessile_simulation::scripts::{bases, history, scripts, work};
use sessile_simulation::sim::Flaw;

fn report(stats: &Stats) -> u64 {
    let models: BTreeSet<&str> = stats.keys().map(|(_, model)| *model).collect();
    for path in stats.keys().map(|(path, _)| *path).collect::<BTreeSet<&str>>() {
        let counts =
            models.iter().filter_map(|model| Some(format!("{model}: {}", stats.get(&(path, *model))?)));
        println!("{path:>14}  {}", counts.collect::<Vec<_>>().join(", "));
    }
    stats.values().sum()
}

/// Does all the work in two threads. Returns the states and what failed.
fn visit(work: &[(Base, Script)]) -> (Stats, Vec<String>) {
    let next = AtomicUsize::new(0);
    let one = || {
        let (mut stats, mut failures) = (Stats::new(), Vec::new());
        while let Some((base, script)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            match explore(script, base, None) {
                Ok(visited) => {
                    visited.into_iter().for_each(|(key, count)| *stats.entry(key).or_default() += count);
                }
                Err(failure) => failures.push(failure),
            }
        }
        (stats, failures)
    };
    let parts: Vec<(Stats, Vec<String>)> = std::thread::scope(|scope| {
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = (Stats::new(), Vec::new());
    for (stats, failures) in parts {
        stats.into_iter().for_each(|(key, count)| *all.0.entry(key).or_default() += count);
        all.1.extend(failures);
    }
    all
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    let (stats, failures) = visit(&work(&std::env::var("SESSILE_SCRIPT").unwrap_or_default()));
    let states = report(&stats);
    println!("{states} states");
    assert!(failures.is_empty(), "{} scripts fail\n\n{}", failures.len(), failures.join("\n\n"));
    if std::env::var("SESSILE_SCRIPT").is_ok() {
        return;
    }
    assert!(states >= 200_000);
    let visited: BTreeSet<&str> = stats.keys().map(|(path, _)| *path).collect();
    for path in [
        "open or close",
        "create",
        "facts",
        "touch",
        "append",
        "text",
        "patch",
        "parts",
        "revert",
        "unrevert",
        "switch",
        "fork",
        "detach",
        "compact",
        "trash",
        "restore",
        "purge",
        "sync",
        "at rest",
        "recovery",
    ] {
        assert!(visited.contains(path), "no state of `{path}` was visited");
    }
}

#[test]
fn what_was_acknowledged_survives_every_error() {
    let wanted = std::env::var("SESSILE_SCRIPT").unwrap_or_default();
    let bases = bases();
    let (mut all, mut doctored, mut failures) = (0, 0, Vec::new());
    for script in
        scripts().iter().filter(|script| script.name.contains(&wanted) && !script.name.contains("race"))
    {
        for base in &bases[..2] {
            match inject(script, base) {
                Ok(runs) => (all, doctored) = (all + runs.all, doctored + runs.doctored),
                Err(failure) => failures.push(failure),
            }
        }
    }
    println!("{all} runs with an error; behind {doctored} of them the catalogue needed the doctor");
    assert!(failures.is_empty(), "{} scripts fail\n\n{}", failures.len(), failures.join("\n\n"));
}

/// Each fault of a disk, and a script in which its loss must be noticed.
const NOTICED: [(Flaw, &str); 5] = [
    (Flaw::SyncDoesNothing, "append synced"),
    (Flaw::CreateForgetsEntry, "create"),
    (Flaw::CreateInPlace, "create"),
    (Flaw::AppendForgetsEntry, "create"),
    (Flaw::AppendAtOldEnd, "race: append, append"),
];

#[test]
fn a_disk_that_breaks_its_promises_is_noticed() {
    let base = prepare("with a history", history()).unwrap();
    for (flaw, name) in NOTICED {
        let scripts: Vec<Script> = scripts().into_iter().filter(|script| script.name == name).collect();
        let failure = scripts.iter().find_map(|script| explore(script, &base, Some(flaw)).err());
        println!("{flaw:?}: {}\n", failure.as_deref().unwrap_or("not noticed"));
        assert!(failure.is_some(), "{flaw:?} is not noticed");
    }
}

#[test]
fn a_removed_file_that_comes_back_harms_nothing() {
    let base = prepare("with a history", history()).unwrap();
    for name in
        ["trash and purge a fork", "purge parent and fork", "compact a parent", "detach and purge the parent"]
    {
        for script in scripts().iter().filter(|script| script.name == name) {
            let sparse = Script { every: 20, ..script.clone() };
            explore(&sparse, &base, Some(Flaw::RemoveForgets)).unwrap();
        }
    }
}

#[test]
fn random_histories_survive_every_crash() {
    let tally = Bound::ordinary(190).work(parts::crashes).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn random_histories_survive_every_error() {
    let tally = Bound::ordinary(20).work(parts::errors).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn random_races_survive_every_crash() {
    let tally = Bound::ordinary(100).work(parts::races).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn every_flipped_bit_is_harmless_or_reported() {
    for base in bases() {
        let flips = Flips::new(&base).unwrap();
        let mut bound = Bound::ordinary(flips.bytes());
        let tally = bound.work(|byte| flips.byte(byte)).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{}: {tally:?}", base.name);
    }
}
