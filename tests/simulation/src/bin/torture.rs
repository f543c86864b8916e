//! `torture [PART…] [--minutes N] [--seed N] [--count N]`: the parts of the proof for as long as one likes.
//!
//! The parts take turns of a minute, so that all of them have run whenever it ends; each goes on with the next seed
//! where it stopped. A failure says how to see it again and ends the run with 1. With `--count` every part does so
//! many seeds from `--seed` on instead. What was counted is printed after each turn, and at the end as one JSON line.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sessile_simulation::bound::{Bound, Tally, add};
use sessile_simulation::parts::{One, PARTS};

const TURN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match torture(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Part {
    name: &'static str,
    one: One,
    next: u64,
    tally: Tally,
}

fn torture(args: &[String]) -> Result<(), String> {
    let (mut minutes, mut seed, mut count, mut names) = (120, 1_000_000, None, Vec::new());
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
                help();
                return Ok(());
            }
            name if PARTS.iter().any(|(part, ..)| *part == name) => names.push(name),
            other => return Err(format!("no part `{other}`; --help lists them")),
        }
    }
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let parts = PARTS.into_iter().filter(|(name, ..)| wanted(name));
    let mut parts: Vec<Part> =
        parts.map(|(name, _, one)| Part { name, one, next: seed, tally: Tally::new() }).collect();
    let start = Instant::now();
    let end = start + Duration::from_secs(60 * minutes);
    println!(
        "torture: {} from seed {seed}",
        parts.iter().map(|part| part.name).collect::<Vec<_>>().join(", ")
    );
    loop {
        for part in &mut parts {
            let bound = match count {
                Some(count) => Bound::seeds(seed..seed.saturating_add(count)),
                None => Bound::until(part.next, end.min(Instant::now() + TURN)),
            };
            let done = bound.work(part.one);
            let done = done.map_err(|failure| {
                let first = failure.strip_prefix("seed ").and_then(|rest| rest.split(':').next());
                let again =
                    format!("cargo xtask torture {} --seed {} --count 1", part.name, first.unwrap_or("?"));
                format!("{}: {failure}\n\nonce more: {again}", part.name)
            })?;
            part.next += done.get("seeds").copied().unwrap_or(0);
            add(&mut part.tally, done);
            println!("{:>5} s  {}: {:?}", start.elapsed().as_secs(), part.name, part.tally);
        }
        if count.is_some() || Instant::now() >= end {
            break;
        }
    }
    let all: BTreeMap<&str, &Tally> = parts.iter().map(|part| (part.name, &part.tally)).collect();
    println!("torture: {} s, no failure: {all:?}", start.elapsed().as_secs());
    Ok(())
}

fn help() {
    println!("torture [PART…] [--minutes N] [--seed N] [--count N]\n");
    for (name, what, _) in PARTS {
        println!("  {name:<10} {what}");
    }
}
