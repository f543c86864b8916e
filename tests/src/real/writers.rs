//! Writers that go on whatever the disk does, and the comparison of what they were acknowledged with the store.
//!
//! `writer STORE ACKS NAME` exists for every host. It appends numbered messages, `synced` and each with an operation id,
//! to the session NAME and every third one to `shared`. Each acknowledgement is a line of ACKS, each error too; what
//! failed it does again, through the same handle unless that was closed, until a file ACKS with `.stop` stands there.

#![allow(clippy::indexing_slicing, reason = "a JSON value is indexed without panic")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sessile::{ListQuery, Select, StoredMessage};

use super::{program, scripts};
use crate::hosts::Host;

/// How long a writer may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const PAGE: u32 = 1_000;

/// The text of a writer's message: a length of its own, so that records end everywhere in a block.
pub fn text(name: &str, number: u64) -> String {
    let length = usize::try_from(number.wrapping_mul(37) % 1_500).unwrap_or(0);
    format!("{name} {number} {}", "x".repeat(length))
}

/// The session of a writer's message.
pub fn session(name: &str, number: u64) -> &str {
    if number.is_multiple_of(3) { "shared" } else { name }
}

/// A writer that runs.
#[derive(Debug)]
pub struct Writer {
    name: String,
    acks: PathBuf,
    child: Child,
}

impl Writer {
    /// Starts a writer on a store; `wrap` is a program, with its arguments, that runs it.
    ///
    /// Errors: it cannot be started.
    pub fn start(host: Host, store: &Path, acks: &Path, name: &str, wrap: &[&str]) -> Result<Self, String> {
        let writer = program(host, "writer")?;
        let mut command = match wrap.split_first() {
            None => Command::new(writer.get_program()),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(writer.get_program());
                command
            }
        };
        let acks = acks.join(format!("{name}.jsonl"));
        let said = File::create(acks.with_extension("err")).map_err(|error| error.to_string())?;
        command.args(writer.get_args()).arg(store).arg(&acks).arg(name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { name: name.to_owned(), acks, child })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written down.
    pub fn told(&self) -> Told {
        Told::read(&self.name, &self.acks)
    }

    /// Waits until what it has written down is as it should be.
    ///
    /// Errors: it is not, after a long time.
    pub fn wait_for(&mut self, what: &str, is_there: impl Fn(&Told) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !is_there(&self.told()) {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            // What it wrote right before it ended is there by now.
            if (Instant::now() > end || ended.is_some()) && !is_there(&self.told()) {
                let stderr = fs::read_to_string(self.acks.with_extension("err")).unwrap_or_default();
                let errors = self.told().errors;
                return Err(format!(
                    "{} ({ended:?}) does not come to {what}: {errors:?} {stderr}",
                    self.name
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Lets it end.
    ///
    /// Errors: it does not, or not well.
    pub fn stop(mut self) -> Result<Told, String> {
        fs::write(self.acks.with_extension("stop"), "").map_err(|error| error.to_string())?;
        self.wait_for("an end", |told| told.is_done)?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(self.told()) } else { Err(format!("{} ended with {status}", self.name)) }
    }

    /// Kills it. It is gone when this returns.
    pub fn kill(mut self) -> Told {
        self.child.kill().ok();
        self.child.wait().ok();
        self.told()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a writer was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// The numbers of its acknowledged messages, with where they are.
    pub acknowledged: Vec<(u64, u64)>,
    /// The kinds of errors, in order.
    pub errors: Vec<String>,
    /// How often it has opened the store.
    pub openings: u64,
    /// Whether it has ended by itself.
    pub is_done: bool,
}

impl Told {
    fn read(name: &str, file: &Path) -> Self {
        let mut told = Self { name: name.to_owned(), ..Self::default() };
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            if let Some(kind) = line["error"].as_str() {
                told.errors.push(kind.to_owned());
            } else if let (Some(number), Some(seq)) = (line["number"].as_u64(), line["seq"].as_u64()) {
                told.acknowledged.push((number, seq));
            }
            told.openings += u64::from(line["opened"] == true);
            told.is_done |= line["done"] == true;
        }
        told
    }

    fn last(&self) -> u64 {
        self.acknowledged.last().map_or(0, |(number, _)| *number)
    }
}

/// What a store holds: the messages of each session, by number, as text.
pub type Held = BTreeMap<String, BTreeMap<u64, String>>;

/// Reads a store.
///
/// Errors: it does not open, or something in it cannot be read.
pub fn hold(root: &Path) -> Result<Held, String> {
    let mut store = scripts::open(root, true).map_err(|error| format!("the store does not open: {error}"))?;
    let fail = |error: sessile::Error| format!("cannot be read: {}: {error}", error.kind.name());
    let listed = store.list(&ListQuery { limit: PAGE, ..ListQuery::default() }).map_err(fail)?;
    let mut held = Held::new();
    for session in listed.sessions {
        let mut messages = BTreeMap::new();
        let mut select = Select::From { seq: 1, limit: PAGE };
        loop {
            let page = store.read(&session.id, &select).map_err(fail)?;
            if !page.unreadable.is_empty() {
                return Err(format!("{}: {:?} cannot be read", session.id, page.unreadable));
            }
            for stored in StoredMessage::parse_page(&page).map_err(fail)? {
                messages.insert(stored.seq, stored.message().map_err(fail)?.text());
            }
            match page.next {
                Some(cursor) => select = Select::Cursor { cursor, limit: PAGE },
                None => break,
            }
        }
        held.insert(session.id, messages);
    }
    Ok(held)
}

/// Compares what writers were told with what a store holds. Returns all that is wrong.
pub fn compare(told: &[Told], held: &Held) -> Vec<String> {
    let mut faults = Vec::new();
    for writer in told {
        let name = writer.name.as_str();
        for (number, seq) in &writer.acknowledged {
            let id = session(name, *number);
            let found = held.get(id).and_then(|messages| messages.get(seq));
            if found != Some(&text(name, *number)) {
                let found = found.map(|text| text.chars().take(40).collect::<String>());
                faults.push(format!("{name} {number}, acknowledged at {id}/{seq}: there is {found:?}"));
            }
        }
        let own = format!("{name} ");
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for message in held.values().flat_map(BTreeMap::values).filter(|message| message.starts_with(&own)) {
            *seen.entry(message).or_default() += 1;
        }
        for (message, times) in seen {
            let number = message.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            let shown: String = message.chars().take(40).collect();
            if times > 1 {
                faults.push(format!("{shown} is there {times} times"));
            }
            // One may have been under way.
            if number > writer.last() + 1 || message != text(name, number) {
                faults.push(format!("{shown} was never written so"));
            }
        }
    }
    faults
}
