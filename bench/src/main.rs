//! Measures Sessile beside what its users would pick instead, in one run on one machine, and writes the report.
//!
//! `run` is the conductor: it starts a worker for every subject (in Rust, Node and Python), lets them do the same work
//! block by block in turn, so that all meet the same machine, and makes docs/performance.md of what they say.
//! `worker` is the worker of Rust; those of the other languages stand in `node/` and `python/` and speak the same protocol.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "a program for people; it stops at the first surprise"
)]

mod micro;
mod plan;
mod plot;
mod race;
mod report;
mod results;
mod subjects;
mod unsynced;
mod worker;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker", job] => worker::work(job),
        ["micro"] => {
            micro::run();
            Ok(())
        }
        ["run", rest @ ..] => plan::run(&plan::Options::parse(rest)?),
        _ => bail!("give `run`, `worker JOB` or `micro`; `cargo xtask bench` does"),
    }
}
