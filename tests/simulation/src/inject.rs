//! Every call of a script fails once, or from then on: nothing that was acknowledged is lost.
//!
//! For each call of the file system, each kind of error and each distance that the call may come before it reports
//! the error, the script runs anew. The oracle keeps every model that the answers allow: a call that has failed may
//! or may not have happened. A failure that goes away is followed by a repetition, which must succeed and must leave
//! exactly one copy; one that stays is followed by a new process, which must find a store that is whole.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    missing_docs,
    reason = "a testkit: it stops at the first surprise, and its variants are described as a whole"
)]

use sessile_core::{ErrorKind, FsErrorKind, OpenOptions, Sessions, Store};

use crate::explore::{Act, Base, Script, look, open};
use crate::model::{Model, Op, run};
use crate::sim::{Fault, Later, SimDisk, SimHost, Stage};

/// Processes of the script, and those that come after the fault.
const FAULTY: u64 = 500;
const SOUND: u64 = 600;
const DOCTOR: u64 = 599;

/// How many runs there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    /// All of them.
    pub all: u64,
    /// Those behind which a list lacked something until the doctor had repaired the catalogue: it must never stop a
    /// write, so an error that it meets is passed over.
    pub doctored: u64,
}

/// Lets a script of one process fail in every way.
pub fn inject(script: &Script, base: &Base) -> Result<Runs, String> {
    let ops: Vec<Op> = script.acts.iter().filter_map(repeatable).collect();
    let mut runs = Runs::default();
    let (calls, writes) = count(&ops, base)?;
    for at in 0..calls {
        for fault in faults(at, writes.contains(&at)) {
            let told =
                |error| format!("script `{}` on a store `{}`: {error}\n  {fault:?}", script.name, base.name);
            let doctored = Run::new(base, fault).and_then(|run| run.all(&ops)).map_err(told)?;
            runs.all += 1;
            runs.doctored += u64::from(doctored);
        }
    }
    Ok(runs)
}

/// The operation of an act with a name, so that it can be repeated.
fn repeatable(act: &Act) -> Option<Op> {
    let Act::Do(_, op) = act else { return None };
    let mut op = op.clone();
    if !matches!(op, Op::Text(..)) {
        let name = format!("{op:?}");
        let options = match &mut op {
            Op::Facts(_, _, options) | Op::Append(_, _, options) | Op::Patch(_, _, _, options) => {
                Some(options)
            }
            Op::Parts(_, _, _, options) | Op::Revert(.., options) | Op::Switch(_, _, options) => {
                Some(options)
            }
            Op::Unrevert(_, options) => Some(options),
            _ => None,
        };
        if let Some(options) = options {
            options.op = options
                .op
                .take()
                .or(Some(name.chars().filter(char::is_ascii_alphanumeric).take(200).collect()));
        }
    }
    Some(op)
}

/// How many calls the script makes without a fault, and which of them write.
fn count(ops: &[Op], base: &Base) -> Result<(u64, Vec<u64>), String> {
    let disk = SimDisk::new(base.disk.clone());
    let mut store = open(&disk, FAULTY, false).map_err(|error| error.to_string())?;
    for op in ops {
        let _ = run(&mut store, op);
    }
    let _ = store.close();
    Ok((store.host_mut().counts().calls, store.host_mut().write_calls().to_vec()))
}

/// Every way in which the call of that number may fail.
pub fn faults(at: u64, writes: bool) -> Vec<Fault> {
    let fault = |kind, stage, later| Fault { at, kind, stage, later };
    let nothing = Stage::Bytes(0);
    let mut faults = Vec::new();
    for kind in [FsErrorKind::Unavailable, FsErrorKind::Refused] {
        faults.extend(
            [Later::Fine, Later::WritesFail, Later::AllFail].map(|later| fault(kind, nothing, later)),
        );
    }
    if writes {
        for later in [Later::Fine, Later::WritesFail] {
            // A short write, one whose sync has failed, and one of which only the answer was lost.
            let stages =
                [Stage::Bytes(1), Stage::Bytes(40), Stage::Bytes(usize::MAX), Stage::Visible, Stage::Durable];
            faults.extend(stages.map(|stage| fault(FsErrorKind::Unavailable, stage, later)));
        }
        let closed = [nothing, Stage::Visible, Stage::Durable];
        faults.extend(closed.map(|stage| fault(FsErrorKind::Closed, stage, Later::WritesFail)));
        faults.push(fault(FsErrorKind::Exists, nothing, Later::Fine));
    } else {
        faults.push(fault(FsErrorKind::NotText, nothing, Later::Fine));
    }
    faults
}

struct Run<'a> {
    base: &'a Base,
    disk: SimDisk,
    fault: Fault,
    store: Option<Store<SimHost>>,
    /// Every state that the answers so far allow.
    models: Vec<Model>,
    processes: u64,
    /// The file that the fault has met.
    failed_path: String,
}

impl<'a> Run<'a> {
    fn new(base: &'a Base, fault: Fault) -> Result<Self, String> {
        let disk = SimDisk::new(base.disk.clone());
        let mut host = SimHost::new(&disk, FAULTY);
        host.set_fault(Some(fault));
        let store = match Store::open(host, OpenOptions::default()) {
            Ok(store) => Some(store),
            Err(error) if error.kind == ErrorKind::Internal => return Err(format!("open: {error:?}")),
            Err(_) => None,
        };
        Ok(Self {
            base,
            disk,
            fault,
            store,
            models: vec![base.model.clone()],
            processes: 0,
            failed_path: String::new(),
        })
    }

    fn all(mut self, ops: &[Op]) -> Result<bool, String> {
        for op in ops {
            let Some(mut store) = self.store.take().map_or_else(|| self.reopen(), |store| Ok(Some(store)))?
            else {
                continue;
            };
            let goes_on = self.one(&mut store, op)?;
            self.note_path(&mut store);
            self.store = goes_on.then_some(store);
        }
        if let Some(mut store) = self.store.take() {
            if let Err(error) = store.close() {
                return Err(format!("close: {error:?}"));
            }
            self.note_path(&mut store);
        }
        let (found, doctored) = self.look_or_doctor(&self.disk)?;
        self.finish(ops, found).map(|()| doctored)
    }

    fn note_path(&mut self, store: &mut Store<SimHost>) {
        if self.failed_path.is_empty() {
            store.host_mut().failed_path().clone_into(&mut self.failed_path);
        }
    }

    /// Finds a model that fits; where the catalogue has met the fault, once the doctor has repaired it at the latest.
    fn look_or_doctor(&self, disk: &SimDisk) -> Result<(Model, bool), String> {
        let found = look(disk, &self.models);
        if found.is_ok() || !self.failed_path.starts_with("catalogue") {
            return found.map(|models| (models[0].clone(), false));
        }
        let repaired = open(disk, DOCTOR, false).and_then(|mut store| store.doctor(true));
        repaired.map_err(|error| format!("the doctor fails: {error:?}"))?;
        let found =
            look(disk, &self.models).map_err(|error| format!("{error}\n  behind the doctor's repair"))?;
        Ok((found[0].clone(), true))
    }

    /// A new process without a fault; none where the fault stays.
    fn reopen(&mut self) -> Result<Option<Store<SimHost>>, String> {
        if self.fault.later != Later::Fine && self.fault.kind != FsErrorKind::Closed {
            return Ok(None);
        }
        self.processes += 1;
        open(&self.disk, SOUND + self.processes, false)
            .map(Some)
            .map_err(|error| format!("it does not open again: {error:?}"))
    }

    /// Carries out one operation. Returns whether the store can be used on.
    fn one(&mut self, store: &mut Store<SimHost>, op: &Op) -> Result<bool, String> {
        let error = match run(store, op) {
            Ok((answer, _)) => return self.narrow(op, &Ok(answer)).map(|()| true),
            Err(error) => error,
        };
        if error.kind == ErrorKind::Internal {
            return Err(format!("{}: {error:?}", op.name()));
        }
        let has_failed = store.host_mut().counts().calls > self.fault.at;
        if !has_failed {
            return self.narrow(op, &Err(error.kind)).map(|()| true);
        }
        self.either(op);
        if self.fault.later != Later::Fine {
            return Ok(error.kind != ErrorKind::Closed);
        }
        self.repeat(store, op)?;
        Ok(true)
    }

    /// The fault has gone: what is repeated succeeds, unless the model says that it must not.
    fn repeat(&mut self, store: &mut Store<SimHost>, op: &Op) -> Result<(), String> {
        if matches!(op, Op::Text(_, _, _, _, None, _)) {
            return Ok(());
        }
        let answer = run(store, op);
        let kinds = answer.as_ref().map(|(answer, _)| answer.clone()).map_err(|error| error.kind);
        let before = self.models.clone();
        self.narrow(op, &kinds).map_err(|difference| format!("repeated: {difference}\n  {answer:?}"))?;
        if kinds.is_err() {
            // "There is one already" does not say that it will survive.
            self.models = before;
        }
        Ok(())
    }

    /// The operation may or may not have happened.
    fn either(&mut self, op: &Op) {
        let mut done = self.models.clone();
        done.retain_mut(|model| model.apply(op).is_ok());
        self.models.extend(done);
    }

    /// Keeps the models that would have answered the same.
    fn narrow(&mut self, op: &Op, answer: &Result<crate::model::Answer, ErrorKind>) -> Result<(), String> {
        // A short write leaves bytes that hold no record, and a log with such bytes is not rewritten. One who repeats
        // a rewrite that was cut off may find that it has been finished.
        let torn = self.base.damaged || !matches!(self.fault.stage, Stage::Bytes(0) | Stage::Durable);
        let refused = *answer == Err(ErrorKind::Conflict) || torn && *answer == Err(ErrorKind::Damaged);
        if refused && matches!(op, Op::Compact(_) | Op::Detach(_)) {
            return Ok(());
        }
        let mut expected = Vec::new();
        self.models.retain_mut(|model| {
            let ours = model.apply(op);
            let same = ours == *answer;
            expected.push(ours);
            same
        });
        if self.models.is_empty() {
            return Err(format!("{} answers {answer:?}, not {expected:?}", op.name()));
        }
        Ok(())
    }

    /// A new process finds what was acknowledged, can write, and power loss takes nothing that was synced.
    fn finish(&mut self, ops: &[Op], found: Model) -> Result<(), String> {
        let synced = |op: &Op| {
            !matches!(op, Op::Touch(_))
                && op.options().is_none_or(|options| options.durability == sessile_core::Durability::Synced)
        };
        if ops.iter().all(synced) {
            let mut result = Ok(());
            let mut images = Vec::new();
            self.disk.disk().after_power_loss("", &mut |image| images.push(image.disk));
            for image in images {
                let disk = SimDisk::new(image);
                if result.is_ok() {
                    result = self.look_or_doctor(&disk).map(|_| ());
                }
            }
            result.map_err(|error| format!("{error}\n  power lost at the end"))?;
        }
        self.processes += 1;
        let mut store = open(&self.disk, SOUND + self.processes, false)
            .map_err(|error| format!("it does not open again: {error:?}"))?;
        let live = found.sessions().find(|id| !found.is_trashed(id)).map(str::to_owned);
        let Some(id) = live else { return Ok(()) };
        let message = r#"{"role":"user","parts":[]}"#.to_owned();
        let op = Op::Append(id, vec![message], sessile_core::WriteOptions::default());
        let mut after = found;
        let expected = after.apply(&op);
        let answer = run(&mut store, &op).map(|(answer, _)| answer).map_err(|error| error.kind);
        if answer != expected {
            return Err(format!("afterwards an append answers {answer:?}, not {expected:?}"));
        }
        look(&self.disk, &[after]).map(|_| ())
    }
}
