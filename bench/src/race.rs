//! Workers as child processes, and rounds in which each does one block after the other.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::worker::{Cost, Job};

/// The languages of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    Rust,
    Node,
    Python,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::Rust, Self::Node, Self::Python];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Node => "Node",
            Self::Python => "Python",
        }
    }

    fn command(self) -> Result<Command> {
        let root = root();
        Ok(match self {
            Self::Rust => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("worker");
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(root.join("bench/node/worker.mjs"));
                command
            }
            Self::Python => {
                let mut command = Command::new(root.join("bench/python/.venv/bin/python"));
                // Bytecode is cached, as it is for whoever has installed the package.
                command.env_remove("PYTHONDONTWRITEBYTECODE").arg(root.join("bench/python/worker.py"));
                command
            }
        })
    }
}

/// The root of the repository: what holds the `target` that this program stands in, or else what it was built from.
pub fn root() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let built = exe.ancestors().find(|place| place.join("bench/node/worker.mjs").is_file());
    let source = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    built.map(Path::to_path_buf).or_else(source).unwrap_or_default()
}

/// A running worker.
pub struct Runner {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    who: String,
}

impl Runner {
    /// Starts a worker, and does not wait for it.
    pub fn spawn(language: Language, job: &Job) -> Result<Self> {
        let mut command = language.command()?;
        command.arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        // What it says of its failure is shown where it fails.
        command.stderr(fs::File::create(stderr_of(job))?);
        // Sessions of peers that ask for a directory of their own stay in ours.
        command.env("SESSILE_CACHE", cache(&job.dir));
        let mut child =
            command.spawn().with_context(|| format!("the worker of {} cannot be run", language.name()))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("no output")?);
        let who = format!("{} {} {}", language.name(), job.subject, job.work);
        Ok(Self { child, stdin, stdout, who: format!("{who}: {}", stderr_of(job).display()) })
    }

    /// Starts a worker and waits until it is ready.
    pub fn start(language: Language, job: &Job) -> Result<Self> {
        let mut runner = Self::spawn(language, job)?;
        runner.ready()?;
        Ok(runner)
    }

    pub fn ready(&mut self) -> Result<()> {
        match self.line()?.as_str() {
            "ready" => Ok(()),
            other => bail!("{}: said `{other}`", self.who),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            let path = self.who.rsplit(": ").next().unwrap_or_default();
            let said = fs::read_to_string(path).unwrap_or_default();
            let said: Vec<&str> = said.lines().filter(|line| line.contains("rror")).collect();
            bail!("{}: has ended: {}", self.who, said.join(" / "));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Asks for a block, and does not wait for it.
    pub fn go(&mut self) -> Result<()> {
        let stdin = self.stdin.as_mut().context("closed")?;
        stdin.write_all(b"go\n")?;
        Ok(stdin.flush()?)
    }

    /// The cost of the block that was asked for.
    pub fn cost(&mut self) -> Result<Cost> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("{}: said `{line}`", self.who))
    }

    pub fn block(&mut self) -> Result<Cost> {
        self.go()?;
        self.cost()
    }

    /// Ends the worker: its store is closed first.
    pub fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{}: failed at the end ({status})", self.who);
        }
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // One that has ended is not hurt.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stderr_of(job: &Job) -> PathBuf {
    scratch(&job.dir).join(format!("{}-{}.stderr", job.subject, job.work))
}

/// The compiled component is kept beside what is measured, and from run to run: users find it compiled too. Whoever uses it
/// makes it: a directory that others may look into is not trusted.
fn cache(dir: &Path) -> PathBuf {
    scratch(dir).with_file_name("cache")
}

fn scratch(dir: &Path) -> &Path {
    dir.ancestors().find(|one| one.file_name().is_some_and(|name| name == "scratch")).unwrap_or(dir)
}
