//! Workers of all languages on one store, some of whom are killed, and the comparison of what they were acknowledged
//! with what the store holds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a testkit: it stops at the first surprise"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;
use sessile::{Durability, Engine, OpenOptions, Select, Sessions, Store, StoredMessage, WriteOptions};

use super::files;
use crate::hosts::Host;
use crate::sim::Random;

/// How long a worker may need to end when its time is over.
const GRACE: Duration = Duration::from_secs(60);
const PAGE: u32 = 1_000;

/// One life of a worker: from its start to its end or its death.
pub struct Life {
    name: String,
    log: PathBuf,
    was_killed: bool,
}

/// A worker that runs.
struct Running {
    host: Host,
    number: usize,
    life: Life,
    child: Child,
}

/// How workers are driven.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long they work.
    pub time: Duration,
    /// Between two kills, in ms.
    pub pauses: Range<u64>,
    /// What the last who is killed has left.
    pub rest: Duration,
    /// Whether the workers of Rust run the core natively.
    pub is_native: bool,
}

impl Pace {
    /// Every two to five seconds one worker of each language dies.
    pub fn calm(time: Duration) -> Self {
        Self { time, pauses: 2_000..5_000, rest: Duration::from_secs(3), is_native: false }
    }
}

/// Lets workers work for a time; now and then one of each language is killed and begins again with another seed.
pub fn work(
    place: &Path,
    workers: impl IntoIterator<Item = (Host, usize)>,
    pace: &Pace,
    seed: u64,
) -> Vec<Life> {
    let mut random = Random::new(seed);
    let end = Instant::now() + pace.time;
    let start = |host, number, seed| {
        let left = end.saturating_duration_since(Instant::now());
        start(place, host, number, left, seed, pace.is_native)
    };
    let mut running: Vec<Running> =
        workers.into_iter().map(|(host, number)| start(host, number, random.below(1 << 32))).collect();
    let mut lives = Vec::new();
    loop {
        let pause =
            Duration::from_millis(pace.pauses.start + random.below(pace.pauses.end - pace.pauses.start));
        // Whoever is killed must have the time to come back.
        if Instant::now() + pause + pace.rest > end {
            break;
        }
        std::thread::sleep(pause);
        for host in Host::ALL {
            let of_host: Vec<usize> = (0..running.len()).filter(|at| running[*at].host == host).collect();
            if of_host.is_empty() {
                continue;
            }
            let at = of_host[usize::try_from(random.below(of_host.len() as u64)).unwrap()];
            let mut killed = running.swap_remove(at);
            // On Unix this is SIGKILL.
            killed.child.kill().unwrap();
            killed.child.wait().unwrap();
            running.push(start(host, killed.number, random.below(1 << 32)));
            lives.push(Life { was_killed: true, ..killed.life });
        }
    }
    for mut worker in running {
        while worker.child.try_wait().unwrap().is_none() {
            if Instant::now() > end + GRACE {
                worker.child.kill().unwrap();
                panic!("{} does not end", worker.life.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = worker.child.wait().unwrap();
        let said = fs::read_to_string(worker.life.log.with_extension("err")).unwrap();
        assert!(status.success(), "{} ended with {status}:\n{said}", worker.life.name);
        lives.push(worker.life);
    }
    lives
}

fn start(place: &Path, host: Host, number: usize, time: Duration, seed: u64, is_native: bool) -> Running {
    let name = format!("{}{number}", host.name());
    let log = place.join(format!("{name}-{seed}.jsonl"));
    let mut command = host.program("worker").unwrap();
    command.arg(place.join("store")).arg(&log).arg(&name);
    command.arg(format!("{:.3}", time.as_secs_f64())).arg(seed.to_string());
    command.args((is_native && host == Host::Rust).then_some("native"));
    let output = File::create(log.with_extension("err")).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Running { host, number, life: Life { name, log, was_killed: false }, child }
}

/// What the workers were acknowledged.
#[derive(Default)]
pub struct Told {
    /// The appends.
    pub appends: Vec<Append>,
    forks: Vec<Fork>,
    /// Session and text.
    added: Vec<(String, String)>,
    errors: Vec<String>,
    /// How many lines each worker has written.
    pub lives: BTreeMap<String, u64>,
    /// Calls of those that were not killed.
    calls: u64,
    repeated: u64,
    /// How many lives were ended by a kill.
    pub kills: u64,
    /// Rewrites that somebody who was killed had begun.
    finished: u64,
}

/// An append that was acknowledged.
pub struct Append {
    /// The session.
    pub session: String,
    seq: u64,
    /// The texts of its messages.
    pub texts: Vec<String>,
}

struct Fork {
    child: String,
    parent: String,
    count: usize,
}

impl Told {
    /// Reads what they have written down.
    pub fn read(place: &Path, lives: Vec<Life>) -> Self {
        let kills = lives.iter().filter(|life| life.was_killed).count() as u64;
        let mut told = Self { kills, ..Self::default() };
        for life in lives {
            // One that was killed before it wrote anything has no log.
            let text = fs::read_to_string(&life.log).unwrap_or_default();
            assert!(life.was_killed || text.ends_with('\n'), "{}: {}", place.display(), life.log.display());
            *told.lives.entry(life.name.clone()).or_default() += text.matches('\n').count() as u64;
            // The kernel may have cut the last line of one that was killed.
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                told.line(&life.name, &serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
            }
        }
        told
    }

    fn line(&mut self, worker: &str, line: &Value) {
        let text = |member: &str| line[member].as_str().map(str::to_owned);
        let number = |member: &str| line[member].as_u64().unwrap_or_else(|| panic!("no {member}: {line}"));
        // Who was killed may have sealed the log: whoever compacts next finishes that, and is told.
        if line["error"] == "conflict" && line["call"] == "compact" && self.kills > 0 {
            self.finished += 1;
        } else if line.get("error").is_some() {
            self.errors.push(format!("{worker}: {line}"));
        } else if line.get("done").is_some() {
            self.calls += number("done");
        } else if let Some(child) = text("fork") {
            let count = usize::try_from(number("count")).unwrap();
            self.forks.push(Fork { child, parent: text("parent").unwrap(), count });
        } else if let Some(added) = text("add") {
            self.added.push((text("session").unwrap(), added));
        } else {
            let texts = line["texts"].as_array().unwrap_or_else(|| panic!("what is this: {line}"));
            let texts = texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
            self.repeated += u64::from(line["repeated"] == true);
            self.appends.push(Append { session: text("session").unwrap(), seq: number("seq"), texts });
        }
    }

    /// What was done, in a line.
    pub fn figures(&self) -> String {
        let workers: Vec<String> = self.lives.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!(
            "{} calls of the last lives; acknowledged: {} appends ({} of them again), {} forks, {} added texts; {} kills, {} rewrites of the killed finished; {} texts checked; by worker: {}",
            self.calls,
            self.appends.len(),
            self.repeated,
            self.forks.len(),
            self.added.len(),
            self.kills,
            self.finished,
            self.appends.iter().map(|append| append.texts.len()).sum::<usize>() + self.added.len(),
            workers.join(", ")
        )
    }

    /// Compares what was acknowledged with what is there. Returns all that is wrong.
    pub fn compare(&self, place: &Path) -> Vec<String> {
        let mut faults: Vec<String> = self.errors.clone();
        let held = Held::read(place);
        faults.extend(held.faults.iter().cloned());
        let names: Vec<&str> = self.lives.keys().map(String::as_str).collect();
        let places = held.places(&names);
        for (text, found) in places.iter().filter(|(_, found)| found.len() > 1) {
            faults.push(format!("{text} is there {} times: {found:?}", found.len()));
        }
        let lone = |text: &str| match places.get(text).map(Vec::as_slice) {
            Some([place]) => Ok(place),
            found => Err(format!("{text} is there {} times", found.unwrap_or_default().len())),
        };
        for append in &self.appends {
            for (seq, text) in (append.seq..).zip(&append.texts) {
                match lone(text) {
                    Ok((session, number)) if *session == append.session && *number == seq => {}
                    Ok(place) => {
                        faults.push(format!(
                            "{text} is at {place:?}, acknowledged at {}/{seq}",
                            append.session
                        ));
                    }
                    Err(fault) => faults.push(fault),
                }
            }
        }
        for (session, text) in &self.added {
            match lone(text) {
                Ok((found, _)) if found == session => {}
                Ok(place) => faults.push(format!("the added {text} is at {place:?}, not in {session}")),
                Err(fault) => faults.push(fault),
            }
        }
        faults.extend(self.forks.iter().filter_map(|fork| held.compare_fork(fork)));
        faults
    }
}

/// What a store holds.
#[derive(Default)]
struct Held {
    sessions: BTreeMap<String, SessionHeld>,
    faults: Vec<String>,
}

struct SessionHeld {
    /// The text of every message of every branch, by number.
    all: BTreeMap<u64, String>,
    /// The numbers of the visible messages.
    visible: Vec<u64>,
    /// Messages up to this number are the parent's.
    inherited: u64,
}

impl Held {
    /// Reads a copy of the store, because hidden branches are switched to.
    fn read(place: &Path) -> Self {
        let (root, scratch) = (place.join("store"), place.join("scratch"));
        fs::remove_dir_all(&scratch).ok();
        for file in files(&root) {
            let copy = scratch.join(file.strip_prefix(&root).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(&file, copy).unwrap();
        }
        let mut store = Store::open_with(&scratch, OpenOptions::default(), Engine::Native).unwrap();
        let report: Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
        let mut faults = Vec::new();
        faults.extend((report["healthy"] != true).then(|| format!("the doctor says: {report}")));
        let mut sessions = BTreeMap::new();
        let mut query = sessile::ListQuery { limit: PAGE, ..Default::default() };
        loop {
            let page = store.list(&query).unwrap();
            for session in page.sessions {
                let held = SessionHeld::read(&mut *store, &session, &mut faults);
                sessions.insert(session.id, held);
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Self { sessions, faults };
            }
        }
    }

    /// Where each text of these workers is: session and number of every message that holds it.
    fn places(&self, workers: &[&str]) -> HashMap<String, Vec<(String, u64)>> {
        let mut places: HashMap<String, Vec<(String, u64)>> = HashMap::new();
        for (id, session) in &self.sessions {
            for (seq, text) in session.all.iter().filter(|(seq, _)| **seq > session.inherited) {
                for text in workers.iter().flat_map(|worker| texts_of(worker, text)) {
                    places.entry(text).or_default().push((id.clone(), *seq));
                }
            }
        }
        places
    }

    fn compare_fork(&self, fork: &Fork) -> Option<String> {
        let fault = |what: &str| Some(format!("fork {} of {}: {what}", fork.child, fork.parent));
        let (Some(child), Some(parent)) = (self.sessions.get(&fork.child), self.sessions.get(&fork.parent))
        else {
            return fault("is not there");
        };
        let first = |session: &SessionHeld| -> Vec<String> {
            session.visible.iter().take(fork.count).map(|seq| session.all[seq].clone()).collect()
        };
        let inherited = first(child);
        if inherited.len() != fork.count {
            return fault(&format!("has {} messages of {}", inherited.len(), fork.count));
        }
        if inherited != first(parent) { fault("has other messages") } else { None }
    }
}

impl SessionHeld {
    fn read(store: &mut dyn Sessions, session: &sessile::Session, faults: &mut Vec<String>) -> Self {
        let id = session.id.as_str();
        let visible = read_all(store, id, 1, faults);
        let mut all: BTreeMap<u64, String> = visible.iter().cloned().collect();
        let options = WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() };
        for branch in store.branches(id).unwrap() {
            if branch.current {
                continue;
            }
            store.switch(id, &branch.tip.into(), &options).unwrap();
            all.extend(read_all(store, id, branch.shared + 1, faults));
        }
        let visible = visible.into_iter().map(|(seq, _)| seq).collect();
        Self { all, visible, inherited: session.facts.fork_point.unwrap_or(0) }
    }
}

/// The numbers and texts of the visible messages from a number on.
fn read_all(store: &mut dyn Sessions, id: &str, from: u64, faults: &mut Vec<String>) -> Vec<(u64, String)> {
    let mut messages = Vec::new();
    let mut select = Select::From { seq: from, limit: PAGE };
    loop {
        let page = store.read(id, &select).unwrap();
        if !page.unreadable.is_empty() || !page.damage.is_empty() {
            faults.push(format!("{id}: unreadable {:?}, damage {:?}", page.unreadable, page.damage));
        }
        for message in StoredMessage::parse_page(&page).unwrap() {
            let text = message.message().unwrap().text();
            messages.push((message.seq, text));
        }
        match page.next {
            Some(cursor) => select = Select::Cursor { cursor, limit: PAGE },
            None => return messages,
        }
    }
}

/// The texts of a worker in a text that may have had others added: `<name>-<seed>-<number>`, names begin with a letter.
fn texts_of(worker: &str, text: &str) -> Vec<String> {
    let places = text.match_indices(worker).map(|(at, _)| &text[at..]);
    let ends = |text: &str| {
        let number = |byte: u8| byte.is_ascii_digit() || byte == b'-';
        text.bytes()
            .skip(worker.len())
            .position(|byte| !number(byte))
            .map_or(text.len(), |at| worker.len() + at)
    };
    places.map(|text| text[..ends(text)].trim_end_matches('-').to_owned()).collect()
}

/// The first of many faults, a line each.
pub fn first(faults: &[String]) -> String {
    faults.iter().take(20).map(|fault| fault.get(..500).unwrap_or(fault)).collect::<Vec<_>>().join("\n")
}
