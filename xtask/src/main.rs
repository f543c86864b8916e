//! `cargo xtask`: everything that has to be done with this repository, on a fresh machine too.
//!
//! `build` makes the component and puts it where the hosts take it from; `demo` shows the store at work; `test` runs
//! all checks; `lint` checks formatting, lints and types; `package` makes what is published. Each sets up what it needs
//! and says in one line what is missing.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod audit;
mod component;
mod coverage;
mod fuzz;
mod packages;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use packages::Missing;

const HELP: &str = "\
cargo xtask <command>

  build    make the component, every program, and the packages of Node and Python
  demo     store, fork, revert and kill: the store at work on real sessions
  test     run all tests, in every language
  torture  the parts of the proof for hours: [PART...] [--minutes N] [--seed N] [--count N]
  bench    measure the store beside its peers, and write docs/performance.md: [--quick] [--release] [WORKLOAD...]
  lint     check formatting, lints and types
  package  make what is published, in target/package
  audit    check licences, sources and known vulnerabilities of what this is made with
  fuzz     libFuzzer on the targets of fuzz/: [TARGET...] [--seconds N] [--minimise]
  coverage branches of framing, fold and recovery that tests meet; needs nightly and cargo-llvm-cov
  bless    rewrite the golden files that the tests compare with
";

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
    let names: Vec<&str> = args.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["build"] => build(Missing::Note),
        ["package"] => {
            build(Missing::Fail)?;
            packages::package()
        }
        ["demo", rest @ ..] => {
            build(Missing::Note)?;
            let program = root().join("target/debug").join(format!("sessile{}", env::consts::EXE_SUFFIX));
            let corpus = root().join("tests/corpus/transcripts/claude-code");
            execute(Command::new(program).arg("demo").arg(corpus).args(rest))
        }
        ["test"] => {
            build(Missing::Fail)?;
            packages::package()?;
            packages::readers()?;
            cargo(&["test", "--quiet"])?;
            // In a build of its own, which nothing else takes anything from: the core with faults in it.
            cargo(&[
                "test",
                "--quiet",
                "--package",
                "sessile-simulation",
                "--features",
                "planted",
                "--test",
                "planted",
            ])?;
            packages::test()
        }
        // Names and options of cargo's tests say nothing to the others.
        ["test", rest @ ..] => {
            build(Missing::Fail)?;
            packages::readers()?;
            cargo(&[&["test", "--quiet"], rest].concat())
        }
        ["torture", rest @ ..] => {
            build(Missing::Fail)?;
            let program = root().join("target/debug").join(format!("torture{}", env::consts::EXE_SUFFIX));
            execute(Command::new(program).args(rest))
        }
        ["bench", rest @ ..] => bench(rest),
        ["lint"] => lint(),
        ["audit"] => audit::audit(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["coverage"] => coverage::run(),
        ["bless"] => {
            build(Missing::Note)?;
            execute(
                Command::new(cargo_program())
                    .current_dir(root())
                    .arg("test")
                    .arg("--quiet")
                    .env("SESSILE_BLESS", "1"),
            )
        }
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [other, ..] => bail!("unknown command `{other}`; `cargo xtask help` lists them"),
    }
}

/// The component first, because the host carries it; then all programs with one set of features, so that nothing
/// is built twice; then the packages of the other languages, which carry it too.
fn build(missing: Missing) -> Result<()> {
    component::build(&root())?;
    cargo(&["build"])?;
    packages::build(missing)
}

/// Measures, with the programs that everything else uses too; `--release` builds everything once more, without the checks
/// of debugging.
fn bench(args: &[&str]) -> Result<()> {
    build(Missing::Fail)?;
    packages::peers()?;
    let is_release = args.contains(&"--release");
    if is_release {
        cargo(&["build", "--release"])?;
    }
    let place = root().join("target").join(if is_release { "release" } else { "debug" });
    let rest = args.iter().filter(|arg| **arg != "--release");
    let program = place.join(format!("sessile-bench{}", env::consts::EXE_SUFFIX));
    execute(Command::new(program).arg("run").args(rest))
}

fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    component::build(&root())?;
    cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"])?;
    cargo(&["clippy", "--package", "sessile-compose", "--", "--deny", "warnings"])?;
    component::lint(&root())?;
    packages::build(Missing::Fail)?;
    packages::lint()
}

fn cargo(args: &[&str]) -> Result<()> {
    execute(Command::new(cargo_program()).current_dir(root()).args(args))
}

fn cargo_program() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Runs a command and fails where it fails.
fn execute(command: &mut Command) -> Result<()> {
    let name =
        Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{name}` cannot be run; is it installed?"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// The root of the repository that cargo runs this in: a build shared by several clones knows only the first.
fn root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map(Path::to_path_buf).unwrap_or_default()
}
