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

use sessile_simulation::explore::{Act, Base, Script, Stats, explore, prepare};
use sessile_simulation::generate::Generator;
use sessile_simulation::inject::inject;
use sessile_simulation::model::Model;
use sessile_simulation::scripts::{bases, history, scripts, work};
use sessile_simulation::sim::{Disk, Flaw, Random};

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

/// A script of random operations, on a store that does not exist yet. Of one process: which numbers are taken by
/// messages that a damaged sector has lost depends on which of them a writer knew.
fn random_script(seed: u64) -> Script {
    let (mut generator, mut random, mut model) = (Generator::new(seed), Random::new(!seed), Model::default());
    let mut acts = Vec::new();
    for _ in 0..16 {
        let op = generator.draw(&model, 3);
        // What is refused is left out: it takes no part in what is there.
        if model.apply(&op).is_ok() {
            acts.push(Act::Do(1, op));
        }
        if random.below(8) == 0 {
            acts.push(Act::Close(1));
        }
    }
    Script { every: 67, ..Script::new("random", acts) }
}

/// `SESSILE_SEED=<seed>` begins with another one, `SESSILE_SEEDS=<count>` runs so many.
#[test]
fn random_histories_survive_every_crash() {
    let from_nothing =
        Base { name: "from nothing", disk: Disk::default(), model: Model::default(), damaged: false };
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = variable("SESSILE_SEED");
    let count = variable("SESSILE_SEEDS").unwrap_or(if first.is_some() { 1 } else { 60 });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + count;
    let mut states = 0;
    for seed in seeds {
        match explore(&random_script(seed), &from_nothing, None) {
            Ok(stats) => states += stats.values().sum::<u64>(),
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
    }
    println!("{states} states of {count} random histories");
}
