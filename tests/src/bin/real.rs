//! `real [PART…] [--minutes N] [--seed N]`: real processes for as long as one likes; see `tests/src/real`.
//!
//! The parts take turns of five minutes, so that all of them have run whenever it ends; each goes on with the next seed
//! where it stopped. A failure says how to see it again and ends the run with 1. What was counted is printed behind each
//! turn, and at the end as one line.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    match unix::torture(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("skipped: signals, system calls and mounts are those of Unix");
}

#[cfg(unix)]
mod unix {
    use std::time::{Duration, Instant};

    use sessile_tests::bound::{Bound, Tally, add};
    use sessile_tests::hosts::Host;
    use sessile_tests::real::kills::{self, Writers};
    use sessile_tests::real::power::{self, FileSystem};
    use sessile_tests::real::{calls, full};

    /// What a part does until its bound ends.
    type Run = fn(&mut Bound) -> Result<Tally, String>;

    const TURN: Duration = Duration::from_secs(300);

    const PARTS: [(&str, Run); 10] = [
        ("calls-rust", |bound| calls::run(bound, Host::Rust)),
        ("calls-node", |bound| calls::run(bound, Host::Node)),
        ("calls-python", |bound| calls::run(bound, Host::Python)),
        ("kills", |bound| kills::run(bound, Writers::Native, u64::MAX)),
        ("kills-mixed", |bound| kills::run(bound, Writers::Mixed, u64::MAX)),
        ("full-rust", |bound| full::run(bound, Host::Rust)),
        ("full-node", |bound| full::run(bound, Host::Node)),
        ("full-python", |bound| full::run(bound, Host::Python)),
        ("power-ext4", |bound| power::run(bound, FileSystem::Ext4, &Host::ALL)),
        ("power-xfs", |bound| power::run(bound, FileSystem::Xfs, &Host::ALL)),
    ];

    struct Part {
        name: &'static str,
        run: Run,
        next: u64,
        tally: Tally,
    }

    pub(super) fn torture(args: &[String]) -> Result<(), String> {
        let (mut minutes, mut seed, mut names) = (120, 1_000_000, Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args.next().and_then(|value| value.parse::<u64>().ok());
                value.ok_or_else(|| format!("{arg} needs a number"))
            };
            match arg.as_str() {
                "--minutes" => minutes = number()?,
                "--seed" => seed = number()?,
                name if PARTS.iter().any(|(part, _)| *part == name) => names.push(name),
                other => {
                    return Err(format!("no part `{other}`; there are {:?}", PARTS.map(|(name, _)| name)));
                }
            }
        }
        let wanted = PARTS.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let mut parts: Vec<Part> =
            wanted.map(|(name, run)| Part { name, run, next: seed, tally: Tally::new() }).collect();
        let start = Instant::now();
        let end = start + Duration::from_secs(60 * minutes);
        while Instant::now() < end {
            for part in &mut parts {
                let mut bound = Bound::until(part.next, end.min(Instant::now() + TURN));
                let done = (part.run)(&mut bound).map_err(|failure| format!("{}: {failure}", part.name))?;
                part.next = bound.first_left();
                add(&mut part.tally, done);
                println!("{:>5} s  {}: {:?}", start.elapsed().as_secs(), part.name, part.tally);
            }
        }
        let all: Vec<_> = parts.iter().map(|part| (part.name, &part.tally)).collect();
        println!("real: {} s, no failure: {all:?}", start.elapsed().as_secs());
        Ok(())
    }
}
