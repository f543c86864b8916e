//! `cargo xtask coverage`: which sides of the branches of framing, fold and recovery the tests of the core meet.
//!
//! Needs nightly (only it counts branches) and cargo-llvm-cov. The build is one of its own, in `target/llvm-cov-target`.
//! A side counts as met when any test meets it, in whatever instance of a generic function. Left aside are tests and
//! what only planted faults ask (`core/src/planted.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{execute, root};

/// Framing, fold and recovery.
const FILES: [&str; 6] = ["record", "scan", "fold", "log", "path", "store/salvage"];
/// The tests of the simulation that meet them, beside the units' own.
const TESTS: [&str; 5] = ["recovery", "regressions", "operations_crash", "fuzz", "search"];

/// A branch: how often it was true, and how often false.
type Counts = (usize, usize);

pub fn run() -> Result<()> {
    let report = root().join("target/coverage.json");
    let mut tests = Command::new("cargo");
    tests.args(["+nightly", "llvm-cov", "--branch", "--json", "--output-path"]).arg(&report);
    tests.args(["--quiet", "--package", "sessile-core", "--package", "sessile-simulation", "--lib"]);
    tests.args(TESTS.iter().flat_map(|test| ["--test", test]));
    execute(tests.current_dir(root()))
        .context("coverage needs a nightly toolchain with llvm-tools, and cargo-llvm-cov")?;
    let report: Value = serde_json::from_slice(&fs::read(&report)?)?;
    let (mut sides, mut met) = (0, 0);
    for file in FILES {
        let path = root().join("core/src").join(file).with_extension("rs");
        let source = fs::read_to_string(&path)?;
        let branches = branches(&report, &path.to_string_lossy(), &source);
        let missed: Vec<String> =
            branches.iter().flat_map(|(at, counts)| missed(&source, *at, *counts)).collect();
        println!("{file}.rs: {} of {}", 2 * branches.len() - missed.len(), 2 * branches.len());
        missed.iter().for_each(|side| println!("  {side}"));
        (sides, met) = (sides + 2 * branches.len(), met + 2 * branches.len() - missed.len());
    }
    println!("{met} of {sides} sides of branches are met");
    if sides == 0 || met < sides {
        bail!("{} sides are not met", sides - met);
    }
    Ok(())
}

/// The branches of a file by line and column, without those of tests and those behind planted faults.
fn branches(report: &Value, path: &str, source: &str) -> BTreeMap<(usize, usize), Counts> {
    let code = source.split("\nmod tests {").next().unwrap_or_default().lines().count();
    let files = report.pointer("/data/0/files").and_then(Value::as_array).into_iter().flatten();
    let lists = files.filter(|file| file["filename"] == path).flat_map(|file| file["branches"].as_array());
    let mut branches = BTreeMap::new();
    for branch in lists.flatten() {
        let number = |place: usize| branch[place].as_u64().and_then(|number| usize::try_from(number).ok());
        let [line, column, yes, no] = [0, 1, 4, 5].map(|place| number(place).unwrap_or_default());
        if line <= code && !is_planted(source, line, column) {
            let counts: &mut Counts = branches.entry((line, column)).or_default();
            *counts = (counts.0 + yes, counts.1 + no);
        }
    }
    branches
}

/// Whether a question asks for a planted fault, or is asked only where one is planted.
fn is_planted(source: &str, line: usize, column: usize) -> bool {
    let text = source.lines().nth(line - 1).unwrap_or_default();
    let (before, question) = text.split_at_checked(column - 1).unwrap_or((text, ""));
    question.trim_start_matches('!').starts_with("planted(") || before.contains("planted(")
}

/// The sides of a branch that nothing meets, as lines for people.
fn missed(source: &str, (line, column): (usize, usize), (yes, no): Counts) -> Vec<String> {
    let text = source.lines().nth(line - 1).unwrap_or_default().trim();
    let sides = [(yes, "true"), (no, "false")].into_iter().filter(|(count, _)| *count == 0);
    sides.map(|(_, side)| format!("{line}:{column} never {side}: {text}")).collect()
}
