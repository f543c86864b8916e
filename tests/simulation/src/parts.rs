//! The parts of the proof that work through seeds. Each does the same for the same seed.

#![allow(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "numbers drawn below a length")]

use sessile_core::{Error, OpenOptions, Sessions, Store};

use crate::bound::Tally;
use crate::explore::{Act, Base, Script, explore};
use crate::generate::Generator;
use crate::inject::inject;
use crate::model::{Model, compare, run};
use crate::scripts;
use crate::sim::{Disk, Random, SimDisk, SimHost};

fn counted(what: &str, count: u64) -> Tally {
    Tally::from([(what.to_owned(), count)])
}

/// A store that does not exist yet.
pub fn from_nothing() -> Base {
    Base { name: "from nothing", disk: Disk::default(), model: Model::default(), damaged: false }
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

/// Crashes everywhere in a random script.
pub fn crashes(seed: u64) -> Result<Tally, String> {
    let stats = explore(&random_script(seed), &from_nothing(), None)?;
    Ok(counted("crash states", stats.values().sum()))
}

/// Crashes everywhere in a race of two operations, in an order of calls that the seed draws.
pub fn races(seed: u64) -> Result<Tally, String> {
    let mut random = Random::new(seed);
    let (bases, mut scripts) = (scripts::bases(), scripts::scripts());
    scripts.retain(|script| matches!(script.acts.last(), Some(Act::Race(..))));
    let mut script = scripts.swap_remove(random.below(scripts.len() as u64) as usize);
    let base = &bases[random.below(bases.len() as u64) as usize];
    if let Some(Act::Race(_, schedule)) = script.acts.last_mut() {
        *schedule = (0..200).map(|_| 1 + random.below(2)).collect();
    }
    script.every = 7;
    let stats = explore(&script, base, None)
        .map_err(|error| format!("{error}\n  in the order {:?}", script.acts.last()))?;
    Ok(counted("crash states", stats.values().sum()))
}

/// Every error of every call in a random script.
pub fn errors(seed: u64) -> Result<Tally, String> {
    let runs = inject(&random_script(seed), &from_nothing())?;
    Ok(counted("runs with an error", runs.all))
}

/// A history of 200 steps.
pub fn histories(seed: u64) -> Result<Tally, String> {
    history(Store::open, seed, 200, 6).map(|_| counted("steps", 200))
}

/// A history of 1,500 steps in two sessions: with checkpoints.
pub fn long_histories(seed: u64) -> Result<Tally, String> {
    history(Store::open, seed + 1_000_000, 1_500, 2).map(|_| counted("steps", 1_500))
}

/// A random history of one to three processes on one store: every answer and every state is the model's. `open` opens
/// the store natively or as a component. Returns the disk at the end: the same seed leaves the same bytes.
pub fn history<S: Sessions>(
    open: impl Fn(SimHost, OpenOptions) -> Result<S, Error>,
    seed: u64,
    steps: usize,
    sessions_max: usize,
) -> Result<Disk, String> {
    let disk = SimDisk::new(Disk::default());
    let mut random = Random::new(seed ^ 0xaaaa);
    let processes = 1 + random.below(3);
    let mut next_process = processes;
    let open = |process: u64, read_only: bool| {
        let host = SimHost::new(&disk, (seed << 10) + process);
        open(host, OpenOptions { read_only }).map_err(|error| format!("open: {error:?}"))
    };
    let mut stores: Vec<S> = (0..processes).map(|process| open(process, false)).collect::<Result<_, _>>()?;
    let mut generator = Generator::new(seed);
    let mut model = Model::default();
    let mut trace: Vec<String> = Vec::new();
    for step in 0..steps {
        let place = random.below(processes) as usize;
        let op = generator.draw(&model, sessions_max);
        let ours = model.apply(&op);
        let theirs = run(&mut stores[place], &op);
        trace.push(format!("{place}: {op:?}"));
        let told = |what: &str| -> String {
            let last: Vec<&str> = trace.iter().rev().take(12).rev().map(String::as_str).collect();
            format!("step {step}: {what}\n{}", last.join("\n"))
        };
        let kinds = theirs.as_ref().map(|(answer, _)| answer.clone()).map_err(|error| error.kind);
        if kinds != ours {
            return Err(told(&format!("answers {theirs:?}, not {ours:?}")));
        }
        let check = |store: &mut S| compare(store, &model).map(|_| ()).map_err(|error| told(&error));
        match random.below(24) {
            0..=2 => check(&mut stores[random.below(processes) as usize])?,
            6 => {
                let written = disk.written();
                check(&mut open(999, true)?)?;
                if disk.written() != written {
                    return Err(told("reading wrote"));
                }
            }
            7 => {
                stores[place].close().map_err(|error| told(&format!("{error:?}")))?;
                next_process += 1;
                stores[place] = open(next_process, false)?;
            }
            8 => {
                // Killed, without a goodbye to the catalogue.
                next_process += 1;
                stores[place] = open(next_process, false)?;
            }
            _ => {}
        }
    }
    for store in &mut stores {
        store.close().map_err(|error| format!("close: {error:?}"))?;
    }
    compare(&mut open(998, false)?, &model).map_err(|difference| format!("at the end: {difference}"))?;
    Ok(disk.disk())
}
