//! Every crash of a script: what a reboot or another process finds must be what the model allows.
//!
//! A script runs once, recorded. From the record every crash point is made without running it again: each stage of
//! each call that writes, and there the death of the process and everything that power loss may leave. Each such
//! image is a state. In each state the oracle asks:
//! - what was acknowledged is there, byte for byte and in order; what was not is there as a whole or not at all;
//! - nothing else is there, and bytes that hold no record are reported as damage;
//! - reading writes nothing, whatever is found.
//!
//! And behind many of them, as a script says:
//! - the next write succeeds, is answered as the model says, and afterwards everything is still there: for a write
//!   that carried an operation id this is its repetition, which must give exactly one copy;
//! - that write then survives power loss, together with everything that it built upon.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    missing_docs,
    reason = "a testkit: it stops at the first surprise, and its variants are described as a whole"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use sessile_core::{Durability, Error, ErrorKind, NewSession, OpenOptions, Sessions, Store, WriteOptions};

use crate::fuzz::records::{MARKER, is_record};
use crate::model::{Answer, Model, Op, Seen, run, see};
use crate::sim::{Call, Disk, Flaw, Image, Loss, SimDisk, SimHost, Stage, Step, Turns};

/// A list of operations, by name.
#[derive(Clone, Debug)]
pub struct Script {
    /// Says what it covers.
    pub name: &'static str,
    /// What happens.
    pub acts: Vec<Act>,
    /// So many acts only lead to where the script begins; their states are not visited.
    pub skip: usize,
    /// A write may be cut at many bytes. Behind every so many-th cut, and the first and last ones, a process goes on
    /// writing; behind the others what is there is read.
    pub every: usize,
}

impl Script {
    /// A script that is visited as a whole.
    pub fn new(name: &'static str, acts: Vec<Act>) -> Self {
        Self { name, acts, skip: 0, every: 1 }
    }
}

/// One act of a script. Processes are numbers from 1; each opens the store when it first does something.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a script is short, and an operation reads better without a box"
)]
pub enum Act {
    /// A process carries out an operation.
    Do(u64, Op),
    /// Several processes carry out one operation each at the same time. The schedule names the process of each call.
    Race(Vec<(u64, Op)>, Vec<u64>),
    /// A process closes its store.
    Close(u64),
}

/// What a script begins with.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its name.
    pub name: &'static str,
    /// The disk.
    pub disk: Disk,
    /// What is on it.
    pub model: Model,
    /// Whether a log has bytes that hold no record. It is not rewritten then.
    pub damaged: bool,
}

/// How many states were visited: by the operation under way and what happened to the disk.
pub type Stats = BTreeMap<(&'static str, &'static str), u64>;

/// Processes of scripts have these numbers; bases, readers and writers behind a crash have others.
const SCRIPT_PROCESS: u64 = 100;
const READER: u64 = 200;
const WRITER: u64 = 300;
const SURVIVOR: u64 = 400;
/// In every so many-th state the write that follows is crashed too.
const DEPTH_TWO_EVERY: u64 = 199;
/// In every so many-th state of a process' death, a process that had the store open before goes on writing.
const SURVIVOR_EVERY: u64 = 5;

/// An operation that a recorded script has carried out.
#[derive(Clone, Debug)]
struct Done {
    process: u64,
    op: Op,
    /// How many calls had written when it began and when it was answered.
    start: usize,
    end: usize,
    /// The call that wrote its last record: operations count in this order.
    commit: usize,
    answer: Result<(Answer, String), Error>,
    /// How many calls it has made, reading ones included.
    calls: u64,
    /// Whether another process carried something out at the same time.
    raced: bool,
}

impl Done {
    fn is_synced(&self) -> bool {
        is_synced(&self.op)
    }

    /// The session whose log must be durable when this is acknowledged.
    fn makes_durable(&self) -> &str {
        if let Op::Fork(parent, ..) = &self.op { parent } else { self.op.session() }
    }
}

/// Whether an operation is durable when it is acknowledged.
fn is_synced(op: &Op) -> bool {
    !matches!(op, Op::Touch(_)) && op.options().is_none_or(|options| options.durability == Durability::Synced)
}

/// A recorded script.
#[derive(Debug)]
struct Recording {
    steps: Vec<Step>,
    last: Disk,
    /// In the order in which they count.
    done: Vec<Done>,
    /// The model before each of them, and behind the last.
    models: Vec<Model>,
    /// The first step to be visited.
    first: usize,
}

fn failed(what: impl Debug) -> String {
    format!("{what:?}")
}

/// Opens a store.
pub fn open(disk: &SimDisk, process: u64, read_only: bool) -> Result<Store<SimHost>, Error> {
    Store::open(SimHost::new(disk, process), OpenOptions { read_only })
}

/// Carries a script out and records it. The answers must be those of the model, in the order of the log.
fn record(script: &Script, base: &Base) -> Result<Recording, String> {
    let mut recording = play(script, base)?;
    recording.models = models_of(&mut recording.done, base)?;
    Ok(recording)
}

/// Carries a script out and records it, whatever it answers.
fn play(script: &Script, base: &Base) -> Result<Recording, String> {
    let disk = SimDisk::new(base.disk.clone());
    disk.record();
    let mut stores: BTreeMap<u64, Store<SimHost>> = BTreeMap::new();
    let mut done: Vec<Done> = Vec::new();
    let mut first = 0;
    for (place, act) in script.acts.iter().enumerate() {
        if place == script.skip {
            first = disk.written();
        }
        let processes = match act {
            Act::Do(process, _) | Act::Close(process) => vec![*process],
            Act::Race(ops, _) => ops.iter().map(|(process, _)| *process).collect(),
        };
        for process in processes {
            if let std::collections::btree_map::Entry::Vacant(e) = stores.entry(process) {
                e.insert(open(&disk, SCRIPT_PROCESS + process, false).map_err(failed)?);
            }
        }
        match act {
            Act::Do(process, op) => {
                done.extend(stores.get_mut(process).map(|store| carry_out(store, &disk, *process, op)));
            }
            Act::Race(ops, schedule) => {
                let running: Vec<u64> = ops.iter().map(|(process, _)| SCRIPT_PROCESS + process).collect();
                let turns = Turns::new(&running, schedule.iter().map(|process| SCRIPT_PROCESS + process));
                let mut racing: Vec<(u64, &Op, Store<SimHost>)> = ops
                    .iter()
                    .filter_map(|(process, op)| Some((*process, op, stores.remove(process)?)))
                    .collect();
                done.extend(race(&disk, &turns, &mut racing));
                stores.extend(racing.into_iter().map(|(process, _, store)| (process, store)));
            }
            Act::Close(process) => {
                if let Some(mut store) = stores.remove(process) {
                    store.close().map_err(failed)?;
                }
            }
        }
    }
    let (steps, last) = (disk.steps(), disk.disk());
    for done in &mut done {
        let process = SCRIPT_PROCESS + done.process;
        let wrote = |step: &Step| step.process == process && step.call.path().starts_with("sessions/");
        let record = |step: &Step| wrote(step) && matches!(step.call, Call::Append(..) | Call::Create(..));
        done.commit = (done.start..done.end).rev().find(|at| record(&steps[*at])).unwrap_or(done.start);
    }
    done.sort_by_key(|done| done.commit);
    Ok(Recording { steps, last, done, models: Vec::new(), first })
}

/// The model before each operation and behind the last. Those that ran at the same time may count in either order.
fn models_of(done: &mut [Done], base: &Base) -> Result<Vec<Model>, String> {
    let overlap = |done: &[Done], first: usize| match done.get(first..first + 2) {
        Some([one, other]) => one.start < other.end && other.start < one.end,
        _ => false,
    };
    let mut models = vec![base.model.clone()];
    // Each two neighbours change places once at most: where neither order fits, there is none.
    let mut swapped: BTreeSet<usize> = BTreeSet::new();
    while let Some(next) = done.get(models.len() - 1) {
        let place = models.len() - 1;
        match after(&models[place], next, base) {
            Ok(model) => models.push(model),
            Err(difference) => {
                // It may come behind its successor; or its predecessor was right only behind it.
                let mut pairs = [Some(place), place.checked_sub(1)].into_iter().flatten();
                let pair = pairs.find(|pair| !swapped.contains(pair) && overlap(done, *pair));
                let Some(pair) = pair else { return Err(difference) };
                swapped.insert(pair);
                models.truncate(pair + 1);
                done.swap(pair, pair + 1);
            }
        }
    }
    Ok(models)
}

/// The model behind an operation, if its answer was the model's.
fn after(before: &Model, done: &Done, base: &Base) -> Result<Model, String> {
    let mut model = before.clone();
    let expected = model.apply(&done.op);
    let answer = done.answer.as_ref().map(|(answer, _)| answer.clone()).map_err(|error| error.kind);
    // A rewrite may be refused: it would lose what is damaged, or somebody else has rewritten the log meanwhile. Who
    // moves the head away from where somebody else has just moved it may be told to look again.
    let rewrites = matches!(done.op, Op::Compact(_) | Op::Detach(_));
    let moves = matches!(done.op, Op::Revert(..) | Op::Unrevert(..) | Op::Switch(..));
    let refused = match answer {
        Err(ErrorKind::Conflict) => rewrites || moves && done.raced,
        Err(ErrorKind::Damaged) => rewrites && base.damaged,
        _ => false,
    };
    if refused {
        return Ok(before.clone());
    }
    if answer != expected {
        return Err(format!("{}: answers {:?}, not {expected:?}", done.op.name(), done.answer));
    }
    if let Ok((Answer::Appended(seq, _, false), id)) = &done.answer {
        model.note_id(done.op.session(), *seq, id);
    }
    Ok(model)
}

fn carry_out(store: &mut Store<SimHost>, disk: &SimDisk, process: u64, op: &Op) -> Done {
    let (start, calls) = (disk.written(), store.host_mut().counts().calls);
    let answer = run(store, op);
    let calls = store.host_mut().counts().calls - calls;
    Done { process, op: op.clone(), start, end: disk.written(), commit: 0, answer, calls, raced: false }
}

/// Says that a process makes no more calls, also where it panics: nobody shall wait for it.
struct Finish<'a>(&'a Turns, u64);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.finish(self.1);
    }
}

fn race(disk: &SimDisk, turns: &Arc<Turns>, racing: &mut [(u64, &Op, Store<SimHost>)]) -> Vec<Done> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (process, op, store) in racing {
            store.host_mut().take_turns(Some(turns.clone()));
            threads.push(scope.spawn(move || {
                let finish = Finish(turns, SCRIPT_PROCESS + *process);
                let done = carry_out(store, disk, *process, op);
                drop(finish);
                store.host_mut().take_turns(None);
                Done { raced: true, ..done }
            }));
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, Done>| thread.join();
        threads
            .into_iter()
            .map(join)
            .map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Carries a script out, whose last act is a race, and checks that everything is as if they had come one after another.
/// Returns how many calls each of them has made, in the order of processes.
pub fn agree(script: &Script, base: &Base) -> Result<Vec<u64>, String> {
    let told = |what: String| {
        format!("script `{}` on a store `{}`: {what}{}", script.name, base.name, order(script))
    };
    let recording = play(script, base).map_err(told)?;
    let raced = recording.done.iter().position(|done| done.raced).unwrap_or_default();
    let (before, raced) = recording.done.split_at(raced);
    let (mut candidates, mut differences) = (Vec::new(), Vec::new());
    for order in orders(raced) {
        let fits =
            before.iter().chain(order).try_fold(base.model.clone(), |model, done| after(&model, done, base));
        match fits {
            Ok(model) => candidates.push(model),
            Err(difference) => differences.push(difference),
        }
    }
    if candidates.is_empty() {
        return Err(told(differences.join("\n  or ")));
    }
    look(&SimDisk::new(recording.last), &candidates).map_err(told)?;
    let mut raced: Vec<&Done> = recording.done.iter().filter(|done| done.raced).collect();
    raced.sort_by_key(|done| done.process);
    Ok(raced.iter().map(|done| done.calls).collect())
}

/// All orders in which a few can come.
fn orders(all: &[Done]) -> Vec<Vec<&Done>> {
    let mut orders = vec![Vec::new()];
    for done in all {
        let places = |order: Vec<_>| {
            (0..=order.len()).map(move |place| [&order[..place], &[done], &order[place..]].concat())
        };
        orders = orders.into_iter().flat_map(places).collect();
    }
    orders
}

/// The race of a script, with its schedule as `process x calls`.
fn order(script: &Script) -> String {
    let Some(Act::Race(ops, schedule)) = script.acts.last() else { return String::new() };
    let runs: Vec<String> =
        schedule.chunk_by(|a, b| a == b).map(|run| format!("{} x {}", run[0], run.len())).collect();
    format!("\n  {ops:?}\n  in the order {}", runs.join(", "))
}

/// A store with a history, at rest. Its processes must not be those of scripts.
pub fn prepare(name: &'static str, acts: Vec<Act>) -> Result<Base, String> {
    let empty = Base { name: "empty", disk: Disk::default(), model: Model::default(), damaged: false };
    let recording = record(&Script::new(name, acts), &empty)?;
    let model = recording.models.last().cloned().unwrap_or_default();
    Ok(Base { name, disk: recording.last.rebooted(), model, damaged: false })
}

/// Where a crash happened, for labels and reports.
#[derive(Clone, Copy, Debug)]
struct At<'a> {
    /// The call under way; behind the last call the number of calls.
    step: usize,
    /// The operation under way, or what else the process was doing.
    path: &'static str,
    /// What happened to the disk.
    model: &'static str,
    /// The file that the call wrote to.
    file: &'a str,
    /// The session that is written to afterwards.
    session: Option<&'a str>,
    /// Whether the operation under way is repeated then, where that is harmless.
    again: bool,
    /// Whether the write that follows may be crashed too.
    deep: bool,
    /// In a crash of that write: whether everything before it was durable.
    settles: bool,
    /// Whether something is written afterwards; otherwise it is read alone.
    goes_on: bool,
}

/// Which unacknowledged or unsynced operations a crash may have undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Undone {
    /// Those that were not acknowledged.
    UnderWay,
    /// Also buffered ones, from some point on in each session.
    Tails,
    /// Also buffered ones in the middle.
    Any,
}

impl Recording {
    /// The models that are right after a crash in `step`.
    fn candidates(&self, step: usize, undone: Undone) -> Vec<Model> {
        let acknowledged = |done: &Done| done.end <= step;
        let is_durable = |place: usize| {
            let session = self.done[place].op.session();
            self.done[place..].iter().any(|later| {
                later.answer.is_ok()
                    && acknowledged(later)
                    && later.is_synced()
                    && later.makes_durable() == session
            }) || self.done[place].is_synced()
        };
        let begun: Vec<usize> =
            (0..self.done.len()).filter(|place| self.done[*place].start <= step).collect();
        let must = |place: usize| {
            acknowledged(&self.done[place]) && (undone == Undone::UnderWay || is_durable(place))
        };
        let open: Vec<usize> = begun.iter().copied().filter(|place| !must(*place)).collect();
        // One that is refused in the end because another came first may look done until then.
        let refused = begun
            .iter()
            .position(|place| !acknowledged(&self.done[*place]) && self.done[*place].answer.is_err());
        let mut orders = vec![begun.clone()];
        orders.extend(refused.filter(|place| *place > 0).map(|place| {
            let mut order = begun.clone();
            order.swap(place, place - 1);
            order
        }));
        let mut candidates: Vec<Model> = Vec::new();
        for choice in 0..1_u32 << open.len() {
            let is_lost = |place: usize| {
                open.iter().position(|open| *open == place).is_some_and(|bit| choice >> bit & 1 == 1)
            };
            let session = |place: usize| self.done[place].op.session();
            // In one file only a tail is lost, unless a sector in its middle is.
            let kept = |place: usize| !is_lost(place) && self.done[place].answer.is_ok();
            let is_gap = |place: usize| {
                let behind = |later: usize| later > place && kept(later) && session(later) == session(place);
                is_lost(place) && begun.iter().any(|later| behind(*later))
            };
            if undone != Undone::Any && begun.iter().any(|place| is_gap(*place)) {
                continue;
            }
            for order in &orders {
                let mut model = self.models[0].clone();
                for place in order.iter().filter(|place| !is_lost(**place)) {
                    if self.done[*place].answer.is_err() {
                        let _ = model.apply(&self.done[*place].op);
                    } else if model.same(&self.models[*place]) {
                        model = self.models[*place + 1].clone();
                    } else {
                        model.apply_after_loss(&self.done[*place].op, &self.models[*place]);
                    }
                }
                candidates.push(model);
            }
        }
        candidates
    }

    /// The operation of a process that is under way at a step.
    fn under_way(&self, step: usize, process: u64) -> Option<&Done> {
        self.done
            .iter()
            .find(|done| SCRIPT_PROCESS + done.process == process && (done.start..done.end).contains(&step))
    }
}

/// Visits every state of a script. Errors: the first state in which the oracle finds a promise broken.
pub fn explore(script: &Script, base: &Base, flaw: Option<Flaw>) -> Result<Stats, String> {
    let base = Base { disk: base.disk.clone().with_flaw(flaw), ..base.clone() };
    let told = |what: String| format!("script `{}` on a store `{}`: {what}", script.name, base.name);
    let recording = record(script, &base).map_err(told)?;
    let mut explorer =
        Explorer { recording: &recording, stats: Stats::new(), states: 0, every: script.every };
    explorer.visit_all().map_err(told)?;
    Ok(explorer.stats)
}

/// The write that followed a crash.
struct Next {
    op: Op,
    before: Model,
    after: Model,
    /// Whether it was acknowledged as durable.
    durable: bool,
}

struct Explorer<'a> {
    recording: &'a Recording,
    stats: Stats,
    states: u64,
    every: usize,
}

impl Explorer<'_> {
    fn visit_all(&mut self) -> Result<(), String> {
        let recording = self.recording;
        for (place, step) in recording.steps.iter().enumerate().skip(recording.first) {
            let under_way = recording.under_way(place, step.process);
            let path = under_way.map_or("open or close", |done| done.op.name());
            let session = under_way.map(|done| done.op.session());
            let at = At {
                step: place,
                path,
                model: "killed",
                file: step.call.path(),
                session,
                again: true,
                deep: true,
                settles: true,
                goes_on: true,
            };
            let candidates = recording.candidates(place, Undone::UnderWay);
            let every_byte = matches!(step.call, Call::Append(..));
            let stages = step.call.stages();
            let sampled = sample(&stages, self.every, place);
            for stage in stages {
                let mut disk = step.before.clone();
                // The script has carried it out: it cannot fail.
                let _ = disk.perform(&step.call, stage);
                let goes_on = sampled.contains(&stage);
                let both = !every_byte && goes_on;
                let ways = if both { vec![true, false] } else { vec![self.states.is_multiple_of(2)] };
                for again in ways {
                    self.killed(&disk, &candidates, At { again, goes_on, ..at }).map_err(|error| {
                        format!("{error}\n  killed at {stage:?} of {}", told(place, step))
                    })?;
                }
            }
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, Stage::Visible);
            self.power_loss(&disk, at)
                .map_err(|error| format!("{error}\n  power lost during {}", told(place, step)))?;
        }
        let end = recording.steps.len();
        let file = recording.steps.last().map_or("", |step| step.call.path());
        let session = recording.done.last().map(|done| done.op.session());
        let at = At {
            step: end,
            path: "at rest",
            model: "killed",
            file,
            session,
            again: true,
            deep: true,
            settles: true,
            goes_on: true,
        };
        self.killed(&recording.last, &recording.candidates(end, Undone::UnderWay), at)
            .map_err(|error| format!("{error}\n  killed at rest"))?;
        self.power_loss(&recording.last, at).map_err(|error| format!("{error}\n  power lost at rest"))
    }

    /// The process has died, the machine goes on.
    fn killed(&mut self, disk: &Disk, candidates: &[Model], at: At<'_>) -> Result<(), String> {
        let found = self.check(disk, candidates, at)?;
        if at.goes_on && self.states.is_multiple_of(SURVIVOR_EVERY) {
            self.survive(disk, &found, At { model: "killed, another goes on", ..at })?;
        }
        Ok(())
    }

    fn power_loss(&mut self, disk: &Disk, at: At<'_>) -> Result<(), String> {
        let tails = self.recording.candidates(at.step, Undone::Tails);
        let any = self.recording.candidates(at.step, Undone::Any);
        let (mut result, mut cuts) = (Ok(()), at.step);
        disk.after_power_loss(at.file, &mut |Image { loss, disk, wrong }| {
            if result.is_err() {
                return;
            }
            cuts += usize::from(matches!(loss, Loss::Prefix | Loss::Zeros));
            let goes_on = cuts % self.every == 0;
            let (model, candidates) = match loss {
                Loss::Prefix => ("power lost: cut off", &tails),
                Loss::Zeros => ("power lost: tail of NULs", &tails),
                Loss::Hole => ("power lost: sector of NULs", &any),
                Loss::Garbage => ("power lost: sector of garbage", &any),
                Loss::Stale => ("power lost: records of other logs", &any),
            };
            let again = self.states.is_multiple_of(2);
            let checked = self.check(&disk, candidates, At { model, again, goes_on, ..at });
            result = checked.map(|_| ()).map_err(|error| format!("{error}\n  {model}, bytes {wrong:?}"));
        });
        result
    }

    /// Checks one state. Returns the model that it shows.
    fn check(&mut self, image: &Disk, candidates: &[Model], at: At<'_>) -> Result<Vec<Model>, String> {
        self.states += 1;
        *self.stats.entry((at.path, at.model)).or_default() += 1;
        let disk = SimDisk::new(image.clone());
        let found = look(&disk, candidates)?;
        if !at.goes_on {
            return Ok(found);
        }
        let deep = at.deep && self.states.is_multiple_of(DEPTH_TWO_EVERY);
        if deep {
            disk.record();
        }
        let next = self.go_on(&disk, WRITER + self.states, &found, at)?;
        let steps = if deep { disk.steps() } else { Vec::new() };
        let page = if self.states.is_multiple_of(9) { 2 } else { 100 };
        let seen = look_closely(&disk, &next.after, page)
            .map_err(|error| format!("{error}\n  behind the {} that followed", next.op.name()))?;
        unreported(&disk.disk(), at.file, &seen)?;
        let settled = disk.disk();
        // What power loss may make of the rest; what it may make of two crashes in a row is not known.
        let before = match (image.is_durable(), at.deep) {
            (true, _) => Some(vec![next.before.clone()]),
            (false, true) => Some(self.recording.candidates(at.step, Undone::Tails)),
            (false, false) => at.settles.then(|| candidates.to_vec()),
        };
        if let Some(before) = before.filter(|_| !settled.is_durable()) {
            self.settle(&settled, &next, before, at)?;
        }
        if self.states.is_multiple_of(23) {
            diagnose(&disk)?;
        }
        if deep {
            self.crash_again(&steps, image.is_durable(), &[next.before, next.after], at)?;
        }
        Ok(found)
    }

    /// Writes something: what was under way once more where it can be repeated, otherwise a message.
    fn go_on(&mut self, disk: &SimDisk, process: u64, found: &[Model], at: At<'_>) -> Result<Next, String> {
        let mut store = open(disk, process, false).map_err(|error| format!("it does not open: {error:?}"))?;
        let op = self.next_op(&found[0], at);
        let (before, after, acknowledged) = write(&mut store, &op, found)?;
        if self.states.is_multiple_of(7) {
            store.close().map_err(failed)?;
        }
        Ok(Next { durable: acknowledged && is_synced(&op), op, before, after })
    }

    fn next_op(&self, found: &Model, at: At<'_>) -> Op {
        let named = |op: &Op| op.options().is_some_and(|options| options.op.is_some());
        let under_way = |done: &&Done| (done.start..=done.end).contains(&at.step);
        let mut again = self.recording.done.iter().filter(under_way).map(|done| &done.op);
        let repeatable =
            |op: &&Op| named(op) || op.options().is_none() && !matches!(op, Op::Touch(_)) && at.again;
        if let Some(op) = again.find(repeatable).filter(|_| at.deep) {
            return op.clone();
        }
        let live: Vec<&str> = found.sessions().filter(|id| !found.is_trashed(id)).collect();
        let session = at.session.filter(|id| live.contains(id)).or(live.first().copied());
        let message = r#"{"role":"user","parts":[{"type":"text","text":"after the crash"}]}"#;
        match session {
            Some(id) => Op::Append(id.to_owned(), vec![message.to_owned()], WriteOptions::default()),
            None => Op::Create(NewSession { id: Some("new".to_owned()), ..NewSession::default() }),
        }
    }

    /// What was just acknowledged survives power loss, even if a dead process left it unsynced. `before`: what power
    /// loss may have made of the rest.
    fn settle(&mut self, disk: &Disk, next: &Next, before: Vec<Model>, at: At<'_>) -> Result<(), String> {
        let mut candidates = before.clone();
        candidates.iter_mut().for_each(|model| model.take_session(next.op.session(), &next.after));
        if !next.durable {
            candidates.extend(before);
        }
        let mut result = Ok(());
        disk.after_power_loss("", &mut |image| {
            if result.is_ok() {
                self.states += 1;
                *self.stats.entry((at.path, "killed, then power lost")).or_default() += 1;
                let seen = look(&SimDisk::new(image.disk), &candidates);
                result = seen.map(|_| ()).map_err(|error| {
                    format!("{error}\n  power lost after the {} that followed", next.op.name())
                });
            }
        });
        result
    }

    /// Crashes during the write that followed a crash.
    fn crash_again(
        &mut self,
        steps: &[Step],
        durable: bool,
        candidates: &[Model; 2],
        at: At<'_>,
    ) -> Result<(), String> {
        for step in steps {
            let stages = step.call.stages();
            let every = (stages.len() / 6).max(1);
            let at = At { path: "recovery", file: step.call.path(), deep: false, settles: durable, ..at };
            for stage in sample(&stages, every, 0) {
                let mut disk = step.before.clone();
                let _ = disk.perform(&step.call, stage);
                self.check(&disk, candidates, At { model: "killed", ..at })?;
            }
            if !durable {
                continue;
            }
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, Stage::Visible);
            let (mut result, mut count) = (Ok(()), 0);
            disk.after_power_loss(step.call.path(), &mut |image| {
                count += 1;
                if result.is_ok() && count % every == 0 {
                    result =
                        self.check(&image.disk, candidates, At { model: "power lost", ..at }).map(|_| ());
                }
            });
            result?;
        }
        Ok(())
    }

    /// A process that knows the store from before the operation goes on with what it remembers.
    fn survive(&mut self, image: &Disk, found: &[Model], at: At<'_>) -> Result<(), String> {
        let start = self.recording.done.iter().filter(|done| done.end > at.step).map(|done| done.start).min();
        let Some(before) = start.and_then(|start| self.recording.steps.get(start)) else { return Ok(()) };
        self.states += 1;
        *self.stats.entry((at.path, at.model)).or_default() += 1;
        let disk = SimDisk::new(before.before.clone());
        let mut store = open(&disk, SURVIVOR + self.states, false).map_err(failed)?;
        see(&mut store, 100)?;
        disk.set(image.clone());
        let op = self.next_op(&found[0], at);
        let (_, after, _) = write(&mut store, &op, found)?;
        look_closely(&disk, &after, 100)
            .map(|_| ())
            .map_err(|error| format!("{error}\n  behind the {} of a process that went on", op.name()))
    }
}

/// Every so many-th stage, the first one and the last two.
fn sample(stages: &[Stage], every: usize, phase: usize) -> Vec<Stage> {
    let chosen =
        |place: &usize| *place == 0 || *place + 2 >= stages.len() || (*place + phase).is_multiple_of(every);
    (0..stages.len()).filter(chosen).map(|place| stages[place]).collect()
}

fn told(place: usize, step: &Step) -> String {
    format!("call {place}, {} of {}", step.call.name(), step.call.path())
}

/// Carries out an operation, which must answer as one of the models says. Returns the model before it, the one behind
/// it, and whether it was acknowledged.
fn write(store: &mut Store<SimHost>, op: &Op, models: &[Model]) -> Result<(Model, Model, bool), String> {
    let answer = run(store, op);
    let kinds = answer.as_ref().map(|(answer, _)| answer.clone()).map_err(|error| error.kind);
    // What was torn is not rewritten, and a rewrite that was cut off may just have been finished.
    let rewrites = matches!(op, Op::Compact(_) | Op::Detach(_));
    let refused = rewrites && matches!(kinds, Err(ErrorKind::Damaged | ErrorKind::Conflict));
    let (mut expected, mut fitting) = (Vec::new(), Vec::new());
    for model in models {
        let mut after = model.clone();
        let ours = after.apply(op);
        if ours == kinds || refused {
            // Two models that looked the same may differ in what they say of a repetition.
            fitting.push((model.clone(), after, kinds.is_ok()));
        }
        expected.push(ours);
    }
    if fitting.len() > 1 {
        let seen = see(store, 100)?;
        let place = fitting.iter().position(|(_, after, _)| after.check(&seen).is_ok());
        fitting.swap(0, place.unwrap_or(0));
    }
    if let Some(fits) = fitting.into_iter().next() {
        return Ok(fits);
    }
    Err(format!("the {} that followed answers {answer:?}, not {expected:?}", op.name()))
}

/// Reads everything without a right to write, and finds the candidates that fit: one at least. They differ in what
/// cannot be seen, as the names of operations.
pub fn look(disk: &SimDisk, candidates: &[Model]) -> Result<Vec<Model>, String> {
    let mut store = match open(disk, READER, true) {
        Err(error) if error.kind == ErrorKind::NotFound => {
            // The first opening was cut off: there is no store yet, and nothing was acknowledged.
            let empty = candidates.iter().find(|model| model.sessions().next().is_none());
            return empty.map(|model| vec![model.clone()]).ok_or_else(|| "the store is gone".to_owned());
        }
        opened => opened.map_err(|error| format!("it does not open for reading: {error:?}"))?,
    };
    let seen = see(&mut store, 100)?;
    if store.host_mut().counts().writes > 0 {
        return Err("reading writes".to_owned());
    }
    let (mut fitting, mut differences) = (Vec::new(), Vec::new());
    for model in candidates {
        match model.check(&seen) {
            Ok(()) => fitting.push(model.clone()),
            Err(difference) => differences.push(difference),
        }
    }
    differences.dedup();
    if fitting.is_empty() { Err(differences.join("\n  or ")) } else { Ok(fitting) }
}

fn look_closely(disk: &SimDisk, model: &Model, page: u32) -> Result<Seen, String> {
    let mut store =
        open(disk, READER + 1, true).map_err(|error| format!("it does not open again: {error:?}"))?;
    let seen = see(&mut store, page)?;
    model.check(&seen)?;
    Ok(seen)
}

/// Whatever has happened, checkpoints tell the truth and the catalogue lists what there is.
fn diagnose(disk: &SimDisk) -> Result<(), String> {
    let report = open(disk, READER + 2, true).and_then(|mut store| store.doctor(false)).map_err(failed)?;
    let value: serde_json::Value = serde_json::from_str(&report).map_err(failed)?;
    let serious = ["checkpoint", "no-beginning", "wrong-name", "unreadable"];
    let found = |finding: &serde_json::Value| serious.iter().any(|kind| finding["kind"] == *kind);
    let is_bad = value["findings"].as_array().is_none_or(|findings| findings.iter().any(found));
    if is_bad || value["catalogue"]["state"] == "stale" {
        return Err(format!("the doctor says {report}"));
    }
    Ok(())
}

/// Every line of a log is records, or was reported as damage.
fn unreported(disk: &Disk, path: &str, seen: &Seen) -> Result<(), String> {
    let Some(bytes) = disk.bytes(path).filter(|_| path.starts_with("sessions/")) else { return Ok(()) };
    let text = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let Some((session, _)) = text.split_once("\"session\":\"").and_then(|(_, rest)| rest.split_once('"'))
    else {
        return Ok(());
    };
    let is_current = !disk.paths().any(|other| {
        other.len() == path.len() && other > path && other[..path.len() - 12] == path[..path.len() - 12]
    });
    if !is_current || !seen.has(session) {
        return Ok(());
    }
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // The last line may be a record on its way.
        let finished = line.strip_suffix(b"\n");
        for piece in finished.map(pieces).unwrap_or_default() {
            let (from, to) = ((at + piece.start) as u64, (at + piece.end) as u64);
            let reported =
                seen.damage.iter().any(|damage| damage.0 == session && damage.1 < to && damage.2 > from);
            if !is_record(path, &line[piece]) && !reported {
                return Err(format!(
                    "bytes {from} to {to} of {path} hold no record, and nobody says so: {:?}",
                    seen.damage
                ));
            }
        }
        at += line.len();
    }
    Ok(())
}

/// What lies between the beginnings of records.
fn pieces(line: &[u8]) -> Vec<std::ops::Range<usize>> {
    let starts = (0..line.len()).filter(|at| *at == 0 || line[*at..].starts_with(MARKER));
    let starts: Vec<usize> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    starts.iter().copied().zip(ends).map(|(from, to)| from..to).collect()
}
