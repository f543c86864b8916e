//! `torture [PART…] [--minutes N] [--seed N] [--count N]`: the parts of the proof for as long as one likes.
//!
//! The parts take turns, so that all of them have run whenever it ends; each goes on with the next seed where it
//! stopped. A part that fails says how to see that again and takes no more turns; the others go on, and the run ends
//! with 1. With `--count` every part does so many seeds from `--seed` on instead. What was counted is printed behind each
//! turn, and at the end.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sessile_simulation::pairs::Pairs;
use sessile_simulation::parts;
use sessile_tests::bound::{Bound, Tally, add};

const TURN: Duration = Duration::from_secs(120);
/// Where the seeds of a torture run begin: behind those of the ordinary tests.
const FIRST_SEED: u64 = 1_000_000;

/// What a part does until its bound ends.
type Run = fn(&mut Bound) -> Result<Tally, String>;

const PARTS: [(&str, &str, Run); 6] = [
    ("crashes", "random operations, stopped at every call and inside of every write", |bound| {
        bound.work(parts::crashes)
    }),
    ("races", "two operations at once in a random order of calls, stopped everywhere", |bound| {
        bound.work(parts::races)
    }),
    ("errors", "random operations, where every call fails in every way", |bound| bound.work(parts::errors)),
    ("histories", "random histories of several processes, compared with the model", |bound| {
        bound.work(parts::histories)
    }),
    ("long-histories", "the same with 1,500 steps and checkpoints", |bound| {
        bound.work(parts::long_histories)
    }),
    ("three", "three operations at once in a random order of calls", |bound| {
        let pairs = Pairs::new();
        bound.work(|seed| pairs.three(seed))
    }),
];

#[cfg(unix)]
mod real {
    use sessile_tests::hosts::Host;
    use sessile_tests::real::kills::{self, Writers};
    use sessile_tests::real::power::{self, FileSystem};
    use sessile_tests::real::{calls, full};

    use super::Run;

    pub(super) const PARTS: [(&str, &str, Run); 10] = [
        ("calls-rust", "every system call of a script fails or is the last", |bound| {
            calls::run(bound, Host::Rust)
        }),
        ("calls-node", "the same in Node", |bound| calls::run(bound, Host::Node)),
        ("calls-python", "the same in Python", |bound| calls::run(bound, Host::Python)),
        ("kills", "writers that are killed", |bound| kills::run(bound, Writers::Native, u64::MAX)),
        ("kills-mixed", "writers of three languages that are killed", |bound| {
            kills::run(bound, Writers::Mixed, u64::MAX)
        }),
        ("full-rust", "a disk that is full, and has space again", |bound| full::run(bound, Host::Rust)),
        ("full-node", "the same in Node", |bound| full::run(bound, Host::Node)),
        ("full-python", "the same in Python", |bound| full::run(bound, Host::Python)),
        ("power-ext4", "the power of ext4 is cut under writers of three languages", |bound| {
            power::run(bound, FileSystem::Ext4, &Host::ALL)
        }),
        ("power-xfs", "the same with XFS", |bound| power::run(bound, FileSystem::Xfs, &Host::ALL)),
    ];
}

#[cfg(not(unix))]
mod real {
    /// Signals, system calls and mounts are those of Unix.
    pub(super) const PARTS: [(&str, &str, super::Run); 0] = [];
}

struct Part {
    name: &'static str,
    run: Run,
    next: u64,
    tally: Tally,
    failure: Option<String>,
}

fn main() -> ExitCode {
    match torture(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn torture(args: &[String]) -> Result<(), String> {
    let all: Vec<(&str, &str, Run)> = PARTS.into_iter().chain(real::PARTS).collect();
    let (mut minutes, mut seed, mut count, mut names) = (120, FIRST_SEED, None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().and_then(|value| value.parse::<u64>().ok());
            value.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--minutes" => minutes = number()?,
            "--seed" => seed = number()?,
            "--count" => count = Some(number()?),
            "--help" => {
                help(&all);
                return Ok(());
            }
            name if all.iter().any(|(part, ..)| *part == name) => names.push(name),
            other => return Err(format!("no part `{other}`; --help lists them")),
        }
    }
    let wanted = all.into_iter().filter(|(name, ..)| names.is_empty() || names.contains(name));
    let mut parts: Vec<Part> = wanted
        .map(|(name, _, run)| Part { name, run, next: seed, tally: Tally::new(), failure: None })
        .collect();
    let start = Instant::now();
    let end = start + Duration::from_secs(60 * minutes);
    loop {
        for part in parts.iter_mut().filter(|part| part.failure.is_none()) {
            let mut bound = match count {
                Some(count) => Bound::seeds(seed..seed.saturating_add(count)),
                None => Bound::until(part.next, end.min(Instant::now() + TURN)),
            };
            match (part.run)(&mut bound) {
                Ok(done) => add(&mut part.tally, done),
                Err(failure) => {
                    eprintln!("{}: {failure}", part.name);
                    part.failure = Some(failure);
                }
            }
            part.next = bound.first_left();
            println!("{:>5} s  {}: {:?}", start.elapsed().as_secs(), part.name, part.tally);
        }
        if count.is_some() || Instant::now() >= end || parts.iter().all(|part| part.failure.is_some()) {
            break;
        }
    }
    println!("\ntorture: {} s from seed {seed}", start.elapsed().as_secs());
    for part in &parts {
        let outcome = if part.failure.is_some() { "FAILED" } else { "no failure" };
        println!("  {}: {outcome}, {:?}", part.name, part.tally);
    }
    let failures: Vec<String> = parts.iter().filter_map(failed).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

/// What has failed, and how to see it again.
fn failed(part: &Part) -> Option<String> {
    let failure = part.failure.as_ref()?;
    let seed = failure.strip_prefix("seed ").and_then(|rest| rest.split(':').next());
    let again = seed.map_or_else(String::new, |seed| {
        format!("\nonce more: cargo xtask torture {} --seed {seed} --count 1", part.name)
    });
    Some(format!("{}: {failure}{again}", part.name))
}

fn help(parts: &[(&str, &str, Run)]) {
    println!("torture [PART…] [--minutes N] [--seed N] [--count N]\n");
    for (name, what, _) in parts {
        println!("  {name:<15} {what}");
    }
}
