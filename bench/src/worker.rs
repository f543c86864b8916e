//! The worker: one subject doing one kind of work, block by block, as the conductor asks for it.
//!
//! The job comes as JSON in an argument. A line `ready` on the standard output says that everything is prepared; then
//! every line on the standard input asks for one block, and is answered by a line of JSON with what it has cost.
//! At the end of the input the worker closes its store.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::subjects::{self, Subject};

/// What a worker is to do. The workers of the other languages read the same members.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// Who does it.
    pub subject: String,
    /// What: `append`, `tail`, `list`, `fork`, `stream`, `open`, `contend`, `count`, `fill`, `fill_sessions`, `writers`,
    /// `fold` or `import`.
    pub work: String,
    /// Where its files are.
    pub dir: PathBuf,
    /// Whether what is acknowledged must survive power loss.
    #[serde(default)]
    pub durable: bool,
    /// How often a block does it.
    #[serde(default)]
    pub ops: u64,
    /// How many messages one append has.
    #[serde(default)]
    pub batch: u64,
    /// How many messages, or sessions, are there before.
    #[serde(default)]
    pub held: u64,
    /// How long a message is, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The session.
    #[serde(default)]
    pub session: String,
    /// How many threads write.
    #[serde(default)]
    pub threads: u64,
}

/// What a block has cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// How long it took.
    pub seconds: f64,
    /// How often it did what it does.
    pub ops: u64,
    /// Bytes given to `write` and its like.
    #[serde(default)]
    pub written: u64,
    /// Bytes got from `read` and its like.
    #[serde(default)]
    pub read: u64,
    /// What was counted, where that is the work; the messages or bytes that were gone through.
    #[serde(default)]
    pub count: u64,
    /// How much more memory the process had at most than before the block, in bytes; 0 where unknown.
    #[serde(default)]
    pub memory: u64,
    /// How many descriptors were open.
    #[serde(default)]
    pub descriptors: u64,
}

/// Does a job.
pub fn work(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job is no job")?;
    let mut subject = subjects::make(&job)?;
    prepare(&job, &mut *subject)?;
    say("ready")?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let cost = block(&job, &mut *subject)?;
        say(&serde_json::to_string(&cost)?)?;
    }
    subject.close()
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn prepare(job: &Job, subject: &mut dyn Subject) -> Result<()> {
    match job.work.as_str() {
        "open" => Ok(()),
        "append" | "fork" => {
            subject.open()?;
            subject.create("s")?;
            subject.fill("s", job.held, job.bytes)
        }
        "stream" | "contend" => {
            subject.open()?;
            subject.create(session(job))
        }
        _ => subject.open(),
    }
}

fn session(job: &Job) -> &str {
    if job.session.is_empty() { "s" } else { &job.session }
}

fn block(job: &Job, subject: &mut dyn Subject) -> Result<Cost> {
    // The peak begins anew here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let memory = resident("VmRSS:");
    let (written, read) = traffic();
    let begin = Instant::now();
    let count = act(job, subject)?;
    let seconds = begin.elapsed().as_secs_f64();
    let (written_now, read_now) = traffic();
    Ok(Cost {
        seconds,
        ops: job.ops.max(1),
        written: written_now - written,
        read: read_now - read,
        count,
        memory: resident("VmHWM:").saturating_sub(memory),
        descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64),
    })
}

/// Does the work once, as often as a block does, and says how much it has met.
fn act(job: &Job, subject: &mut dyn Subject) -> Result<u64> {
    match job.work.as_str() {
        "append" | "contend" => {
            for _ in 0..job.ops {
                subject.append(session(job), job.bytes, job.batch.max(1), job.durable)?;
            }
            Ok(job.ops * job.batch.max(1))
        }
        "tail" => subject.tail("s", 50),
        "list" => subject.list(20),
        "fork" => {
            for _ in 0..job.ops {
                subject.fork("s")?;
            }
            Ok(job.ops)
        }
        "stream" => subject.stream(session(job), job.durable),
        "open" => subject.open().map(|()| 0),
        "count" => subject.count(session(job)),
        "fill" => {
            subject.create("s")?;
            subject.fill("s", job.held, job.bytes).map(|()| job.held)
        }
        "fill_sessions" => subject.fill_sessions(job.held).map(|()| job.held),
        "writers" => subject.writers(job.threads, job.ops, job.bytes).map(|()| job.ops),
        "fold" => subject.fold("s"),
        "fill_words" => subject.fill_words(job.held).map(|()| job.held),
        "search" => subject.search(),
        "import" => subject.import(job.held),
        other => bail!("there is no work `{other}`"),
    }
}

/// Bytes that this process has given to the system's calls, and got from them.
pub fn traffic() -> (u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    (number(&io, "wchar:"), number(&io, "rchar:"))
}

/// A figure of /proc/self/status that is given in kB, in bytes.
pub fn resident(name: &str) -> u64 {
    number(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), name) * 1024
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
