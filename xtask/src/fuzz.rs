//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, one after the other, and what came of it.
//!
//! Needs nightly and cargo-fuzz and installs them where they are missing. What is found on the way collects in
//! `target/fuzz`; `--minimise` makes the committed corpora of it. No sanitizer, because the core forbids `unsafe`, and
//! no trace of comparisons, which took more than half of the time: the formats' words are in `fuzz/tokens.dict`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cargo, component, execute, root};

const HELP: &str = "\
cargo xtask fuzz [TARGET...] [--seconds N] [--minimise]   every target, or some, for N seconds each (60)
cargo xtask fuzz TARGET FILE                              one input, such as fuzz/artifacts/log/crash-...
";
/// The target that needs wasmtime.
const COMPONENT: &str = "component";
/// See `INPUT_BYTES_MAX` of the testkit.
const INPUT_BYTES_MAX: u32 = 4096;
/// The most files of a committed corpus.
const FILES_MAX: usize = 300;

/// What the command is to do.
struct Task {
    targets: Vec<String>,
    seconds: u64,
    minimise: bool,
    file: Option<PathBuf>,
}

pub fn run(args: &[&str]) -> Result<()> {
    let task = parse(args)?;
    install()?;
    if task.targets.iter().any(|target| target == COMPONENT) {
        component::build(&root())?;
    }
    if let Some(file) = &task.file {
        for target in &task.targets {
            execute(fuzz("run", target).arg(file.canonicalize()?))?;
        }
        return Ok(());
    }
    cargo(&["run", "--quiet", "--bin", "seeds", "--", "target/fuzz/seeds"])?;
    let mut failed = Vec::new();
    for target in &task.targets {
        if !one(target, task.seconds)? {
            failed.push(target.as_str());
        }
        if task.minimise {
            minimise(target)?;
        }
    }
    if !failed.is_empty() {
        bail!("something was found by {}; see fuzz/artifacts", failed.join(", "));
    }
    Ok(())
}

fn parse(args: &[&str]) -> Result<Task> {
    let known = targets()?;
    let mut task = Task { targets: Vec::new(), seconds: 60, minimise: false, file: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "--seconds" => {
                let seconds = args.next().and_then(|number| number.parse().ok());
                task.seconds = seconds.context("--seconds takes a number")?;
            }
            "--minimise" => task.minimise = true,
            name if known.iter().any(|target| target == name) => task.targets.push(name.to_owned()),
            file if Path::new(file).is_file() => task.file = Some(file.into()),
            other => bail!("`{other}` is no target and no file\n{HELP}\nTargets: {}", known.join(", ")),
        }
    }
    if task.targets.is_empty() {
        task.targets = known;
    }
    Ok(task)
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let entries = fs::read_dir(root().join("fuzz/fuzz_targets"))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn install() -> Result<()> {
    let works = |args: &[&str]| {
        let status = Command::new("cargo").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works(&["+nightly", "--version"]) {
        execute(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    if !works(&["fuzz", "--version"]) {
        cargo(&["install", "cargo-fuzz", "--locked"])?;
    }
    Ok(())
}

/// `cargo fuzz` with what all its commands are given. The cargo that runs this one would choose the toolchain.
fn fuzz(command: &str, target: &str) -> Command {
    let mut fuzz = Command::new("cargo");
    fuzz.current_dir(root()).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    fuzz.args(["+nightly", "fuzz", command, "--sanitizer", "none", "--no-trace-compares"]);
    if target == COMPONENT {
        fuzz.args(["--features", COMPONENT]);
    }
    fuzz.arg(target);
    fuzz
}

/// What was found so far, what is committed, and what fuzzing begins with.
fn corpora(target: &str) -> [PathBuf; 3] {
    let root = root();
    [root.join("target/fuzz/corpus"), root.join("fuzz/corpus"), root.join("target/fuzz/seeds")]
        .map(|directory| directory.join(target))
}

/// Fuzzes one target and prints what it did. `false`: it has found something.
fn one(target: &str, seconds: u64) -> Result<bool> {
    let corpora = corpora(target);
    for directory in &corpora {
        fs::create_dir_all(directory)?;
    }
    let limits = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-dict={}", root().join("fuzz/tokens.dict").display()),
        "-timeout=20".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    let mut command = fuzz("run", target);
    command.args(corpora).arg("--").args(limits).stderr(Stdio::piped());
    let mut running = command.spawn().context("`cargo fuzz` cannot be run")?;
    let mut log = Vec::new();
    if let Some(stderr) = running.stderr.take() {
        log.extend(BufReader::new(stderr).lines().map_while(std::result::Result::ok));
    }
    let is_fine = running.wait()?.success();
    println!("{target}: {}", told(&log));
    if !is_fine {
        // The end says what was found, and how to see it again.
        let from =
            log.iter().position(|line| line.contains("panicked")).unwrap_or(log.len().saturating_sub(40));
        log.iter().skip(from).take(60).for_each(|line| println!("  {line}"));
    }
    Ok(is_fine)
}

/// The figures of a run.
fn told(log: &[String]) -> String {
    let stat = |name: &str| {
        let line = log.iter().find_map(|line| line.strip_prefix(&format!("stat::{name}:")));
        line.map_or("?", str::trim).to_owned()
    };
    let covered = log.iter().rev().find_map(|line| line.split_once("cov: ")?.1.split(' ').next());
    format!(
        "{} executions, {} a second, {} edges",
        stat("number_of_executed_units"),
        stat("average_exec_per_sec"),
        covered.unwrap_or("?")
    )
}

/// Puts the smallest files that reach every edge in place of the committed corpus.
fn minimise(target: &str) -> Result<()> {
    let fresh = root().join("target/fuzz/minimised").join(target);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let corpora = corpora(target);
    let limits = ["-merge=1", "-use_counters=0", &format!("-max_len={INPUT_BYTES_MAX}")];
    let mut command = fuzz("run", target);
    command.arg(&fresh).args(&corpora).arg("--").args(limits).stderr(Stdio::null());
    execute(&mut command)?;
    let [_, committed, _] = corpora;
    fs::remove_dir_all(&committed)?;
    fs::create_dir_all(&committed)?;
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&fresh)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    println!("{target}: {} files, {} bytes", files.len(), files.iter().map(|(bytes, _)| bytes).sum::<u64>());
    for (_, file) in files.iter().take(FILES_MAX) {
        fs::copy(file, committed.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
