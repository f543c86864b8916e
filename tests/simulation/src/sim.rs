//! A simulated disk, the processes on it, and what a crash leaves of it.
//!
//! [`Disk`] holds one directory tree twice: as running processes see it, and as it would be after power loss. It
//! keeps the promises of [`sessile_core::Fs`] to the letter. Temporary files, links and the syncs of directories are
//! collapsed into them: a created file is absent or complete at every moment, and durable on return.
//! Every call that writes is a [`Call`] and comes about in [`Stage`]s, so that a harness can stop it at each of them
//! (a process is killed), list what power loss would leave there ([`Disk::after_power_loss`]), or let it report an
//! error from there ([`Fault`]). Time and randomness come from the seed: the same seed gives the same bytes.
//!
//! Not modelled: lying disks (but see [`Flaw`]), clocks that differ.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    missing_docs,
    reason = "a testkit: it stops at the first surprise, and its variants are described as a whole"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sessile_core::{Clock, DirEntry, Durability, Entropy, Fs, FsError, FsErrorKind, Text};

use crate::fuzz::records::MARKER;

/// How many other logs the sectors of a file may have belonged to before.
const STALE_LOGS_MAX: usize = 4;
/// What a disk writes as a whole, at best.
pub const SECTOR_BYTES: usize = 512;
/// Appends up to this length are cut at every byte, longer ones around the edges of sectors behind it.
pub const EVERY_BYTE_MAX: usize = 4096;
/// How much the clock advances at each look.
const CLOCK_STEP_MS: u64 = 1;

/// A call that changes the disk: the path first, then the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// See [`Fs::append`].
    Append(Arc<str>, Arc<str>, Durability),
    /// See [`Fs::create`].
    Create(Arc<str>, Arc<[u8]>),
    /// See [`Fs::replace`].
    Replace(Arc<str>, Arc<str>),
    /// See [`Fs::remove`].
    Remove(Arc<str>),
    /// See [`Fs::sync`].
    Sync(Arc<str>),
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// So many bytes of an append are written; at 0 nothing has happened, and for other calls nothing has.
    Bytes(usize),
    /// Other processes see all of it; power loss may take it.
    Visible,
    /// It has done all that it promises.
    Durable,
}

impl Call {
    /// The file.
    pub fn path(&self) -> &str {
        match self {
            Self::Append(path, ..) | Self::Create(path, _) | Self::Replace(path, _) => path,
            Self::Remove(path) | Self::Sync(path) => path,
        }
    }

    /// The call's name, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Append(..) => "append",
            Self::Create(..) => "create",
            Self::Replace(..) => "replace",
            Self::Remove(..) => "remove",
            Self::Sync(..) => "sync",
        }
    }

    /// The stages at which it may be cut off. The last, [`Stage::Durable`], is where the next call begins.
    pub fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Append(_, data, _) => cuts(0, 0, data.len()).into_iter().map(Stage::Bytes).collect(),
            _ => vec![Stage::Bytes(0), Stage::Visible],
        }
    }
}

/// Where to cut the bytes `from..to` of a file, of which those from `every` on may be cut anywhere for 4 KiB, and the
/// others and all behind around the edges of sectors. Both ends are among the cuts.
fn cuts(from: usize, every: usize, to: usize) -> Vec<usize> {
    let anywhere = every..=(every + EVERY_BYTE_MAX).min(to);
    let near_edge = |at: usize| matches!(at % SECTOR_BYTES, 0 | 1 | 511);
    (from..=to).filter(|at| *at == from || *at == to || anywhere.contains(at) || near_edge(*at)).collect()
}

/// A deliberate fault of the disk, to show that the harness notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A sync returns at once and makes nothing durable.
    SyncDoesNothing,
    /// A created or replaced file is complete, but its directory entry is not durable on return.
    CreateForgetsEntry,
    /// A created file grows in place: a crash leaves a part of it.
    CreateInPlace,
    /// A replaced file is cut off and written anew in place.
    ReplaceInPlace,
    /// A removed file comes back after power loss.
    RemoveForgets,
    /// A synced append to a file whose creator died before it synced the directory does not make up for that.
    AppendForgetsEntry,
    /// An append drops what others wrote since the process last looked: each writes at the offset that it knows.
    AppendAtOldEnd,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Arc<Vec<u8>>,
    /// Everything before this offset survives power loss.
    durable: usize,
    /// Where the unsynced appends behind it end, ascending.
    pending: Vec<usize>,
}

impl File {
    fn durable(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.len(), bytes: Arc::new(bytes), pending: Vec::new() }
    }

    fn write(&mut self, data: &[u8]) {
        if !data.is_empty() {
            Arc::make_mut(&mut self.bytes).extend_from_slice(data);
            self.pending.push(self.bytes.len());
        }
    }

    fn unsynced(&self) -> Range<usize> {
        self.durable..self.bytes.len()
    }
}

/// Paths to the numbers of files.
type Names = BTreeMap<Arc<str>, usize>;

/// One directory tree: as processes see it, and what of it is durable. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    seen: Names,
    /// Differs from `seen` where a call is under way or its process has died in it.
    kept: Names,
    now_ms: u64,
    flaw: Option<Flaw>,
}

/// What a power loss does to bytes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// They are cut off somewhere, here or in other files, or everything is kept but entries of directories.
    Prefix,
    /// The file has its size, but the bytes behind the cut read as NUL.
    Zeros,
    /// A sector reads as NUL.
    Hole,
    /// A sector reads as anything.
    Garbage,
    /// Sectors read as what they held before: whole records of another log, which may have been removed.
    Stale,
}

/// What a reboot finds.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the power loss did.
    pub loss: Loss,
    /// The disk; everything on it is durable.
    pub disk: Disk,
    /// The bytes that differ from what was written, in the file that the call was about.
    pub wrong: Range<usize>,
}

impl Disk {
    /// The content of a file.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.seen.get(path).map(|file| self.files[*file].bytes.as_slice())
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.seen.keys().map(AsRef::as_ref)
    }

    /// Whether both hold the same files with the same bytes, as processes see them.
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.seen.len() == other.seen.len() && self.paths().all(|path| self.bytes(path) == other.bytes(path))
    }

    /// Sets a file's content, durably: damage from outside, or a file that was dropped there.
    pub fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.push(File::durable(bytes));
        let path: Arc<str> = path.into();
        self.seen.insert(path.clone(), self.files.len() - 1);
        self.kept.insert(path, self.files.len() - 1);
    }

    /// The same disk with a deliberate fault.
    pub fn with_flaw(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// Whether a power loss now would leave everything as it is.
    pub fn is_durable(&self) -> bool {
        self.seen == self.kept && self.seen.values().all(|file| self.files[*file].unsynced().is_empty())
    }

    /// Carries a call out up to a stage. Errors are those that the contract names, before anything has happened.
    pub fn perform(&mut self, call: &Call, until: Stage) -> Result<u64, FsError> {
        let path = call.path();
        let begun = until != Stage::Bytes(0);
        let visible = !matches!(until, Stage::Bytes(_));
        match call {
            Call::Append(_, data, durability) => {
                let file = self.file(path)?;
                let whole = data.len();
                let written = if let Stage::Bytes(count) = until { count.min(whole) } else { whole };
                self.files[file].write(&data.as_bytes()[..written]);
                let size = self.files[file].bytes.len();
                if until == Stage::Durable && *durability == Durability::Synced {
                    self.sync(path, file);
                }
                Ok(size as u64)
            }
            Call::Create(_, data) => {
                if self.seen.contains_key(path) {
                    return Err(error(FsErrorKind::Exists, path));
                }
                match (self.flaw, until) {
                    (Some(Flaw::CreateInPlace), Stage::Visible) => {
                        self.link(path, &data[..data.len() / 2], until);
                    }
                    _ if visible => self.link(path, data, until),
                    _ => {}
                }
                Ok(0)
            }
            Call::Replace(_, data) => {
                match (self.flaw, until) {
                    (Some(Flaw::ReplaceInPlace), Stage::Visible) => self.link(path, b"", Stage::Durable),
                    _ if visible => self.link(path, data.as_bytes(), until),
                    _ => {}
                }
                Ok(0)
            }
            Call::Remove(_) => {
                self.file(path)?;
                if begun {
                    self.seen.remove(path);
                }
                if until == Stage::Durable && self.flaw != Some(Flaw::RemoveForgets) {
                    self.kept.remove(path);
                }
                Ok(0)
            }
            Call::Sync(_) => {
                let file = self.file(path)?;
                if until == Stage::Durable {
                    self.sync(path, file);
                }
                Ok(0)
            }
        }
    }

    fn file(&self, path: &str) -> Result<usize, FsError> {
        self.seen.get(path).copied().ok_or_else(|| {
            let below = format!("{path}/");
            let directory = self.paths().any(|path| path.starts_with(&below));
            error(if directory { FsErrorKind::Refused } else { FsErrorKind::NotFound }, path)
        })
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// Removes all files whose paths begin so, as somebody from outside would.
    pub fn remove_below(&mut self, prefix: &str) {
        self.seen.retain(|path, _| !path.starts_with(prefix));
        self.kept.retain(|path, _| !path.starts_with(prefix));
    }

    /// Puts a complete and synced file at `path`.
    fn link(&mut self, path: &str, data: &[u8], until: Stage) {
        self.files.push(File::durable(data.to_vec()));
        let path: Arc<str> = path.into();
        self.seen.insert(path.clone(), self.files.len() - 1);
        if until == Stage::Durable && self.flaw != Some(Flaw::CreateForgetsEntry) {
            self.kept.insert(path, self.files.len() - 1);
        }
    }

    /// "Everything in the file survives": that takes the entry too, whoever made it.
    fn sync(&mut self, path: &str, file: usize) {
        if self.flaw == Some(Flaw::SyncDoesNothing) {
            return;
        }
        let synced = &mut self.files[file];
        synced.durable = synced.bytes.len();
        synced.pending.clear();
        if !matches!(self.flaw, Some(Flaw::AppendForgetsEntry | Flaw::CreateForgetsEntry)) {
            self.kept.insert(path.into(), file);
        }
    }

    /// Everything that a power loss may leave, where the last call wrote to `focus`.
    ///
    /// The unsynced bytes of `focus` are lost in every way of [`Loss`]; those of other files and each undecided entry
    /// of a directory are kept or lost, independently. What the death of the process alone would leave is not among
    /// them.
    pub fn after_power_loss(&self, focus: &str, visit: &mut dyn FnMut(Image)) {
        let entries: Vec<Arc<str>> = self.seen.keys().chain(self.kept.keys()).cloned().collect();
        let mut entries: Vec<Arc<str>> =
            entries.into_iter().filter(|path| self.seen.get(path) != self.kept.get(path)).collect();
        entries.dedup();
        let unsynced =
            |path: &&Arc<str>| path.as_ref() != focus && !self.files[self.seen[*path]].unsynced().is_empty();
        let others: Vec<Arc<str>> = self.seen.keys().filter(unsynced).cloned().collect();
        for choice in 0..1_u32 << (entries.len() + others.len()) {
            let lost = |place: usize| choice >> place & 1 == 1;
            let mut disk = self.clone();
            for (place, path) in entries.iter().enumerate() {
                let from = if lost(place) { &self.kept } else { &self.seen };
                match from.get(path) {
                    Some(file) => disk.seen.insert(path.clone(), *file),
                    None => disk.seen.remove(path),
                };
            }
            for (place, path) in others.iter().enumerate() {
                if let Some(file) = disk.seen.get(path).copied().filter(|_| lost(entries.len() + place)) {
                    disk.files[file].cut();
                }
            }
            disk.lose(focus, choice != 0, visit);
        }
    }

    /// Visits the ways in which the unsynced bytes of `focus` are lost. `anyway`: also the one in which none is.
    fn lose(&self, focus: &str, anyway: bool, visit: &mut dyn FnMut(Image)) {
        let file = self.seen.get(focus).copied();
        let unsynced = file.map_or(0..0, |file| self.files[file].unsynced());
        let mut image = |loss: Loss, wrong: Range<usize>, change: &dyn Fn(&mut Vec<u8>)| {
            let mut disk = self.clone();
            if let Some(file) = file {
                change(Arc::make_mut(&mut disk.files[file].bytes));
            }
            visit(Image { loss, disk: disk.rebooted(), wrong });
        };
        if anyway {
            image(Loss::Prefix, 0..0, &|_| {});
        }
        if unsynced.is_empty() {
            return;
        }
        let pending = &self.files[file.unwrap_or_default()].pending;
        let last = pending.iter().rev().nth(1).copied().unwrap_or(unsynced.start);
        for cut in cuts(unsynced.start, last, unsynced.end).into_iter().filter(|cut| *cut < unsynced.end) {
            // Cuts in the last append are what the death of the process leaves too, if nothing else is lost.
            if anyway || cut < last {
                image(Loss::Prefix, 0..0, &|bytes| bytes.truncate(cut));
            }
            image(Loss::Zeros, cut..unsynced.end, &|bytes| bytes[cut..].fill(0));
        }
        let sectors = unsynced.start / SECTOR_BYTES..unsynced.end.div_ceil(SECTOR_BYTES);
        for sector in sectors {
            let from = unsynced.start.max(sector * SECTOR_BYTES);
            let to = unsynced.end.min((sector + 1) * SECTOR_BYTES);
            image(Loss::Hole, from..to, &|bytes| bytes[from..to].fill(0));
            for seed in 0..4 {
                image(Loss::Garbage, from..to, &|bytes| garbage(&mut bytes[from..to], seed + from as u64));
            }
            for other in self.others(focus) {
                for to in BTreeSet::from([to, unsynced.end]) {
                    image(Loss::Stale, from..to, &|bytes| stale(&mut bytes[from..to], other));
                }
            }
        }
    }

    /// Logs that are not the one at `path`, the newest first: those that were removed too, which are on the disk until
    /// something is written over them.
    fn others(&self, path: &str) -> impl Iterator<Item = &[u8]> {
        // Up to the record's id, which is another's where a log has the name of one that was purged before.
        let named = |bytes: &[u8]| memchr::memmem::find(bytes, b"\"id\":").map(|end| bytes[..end].to_vec());
        let own = self.bytes(path).and_then(named);
        let logs = self.files.iter().rev().map(|file| file.bytes.as_slice());
        let logs = logs.filter(move |bytes| bytes.starts_with(MARKER) && named(bytes) != own);
        logs.take(STALE_LOGS_MAX)
    }

    /// The same files with everything durable, and nothing that no path leads to.
    pub fn rebooted(&self) -> Self {
        let files = self.seen.values().map(|file| {
            let bytes = self.files[*file].bytes.clone();
            File { durable: bytes.len(), bytes, pending: Vec::new() }
        });
        let names: Names = self.seen.keys().cloned().zip(0..).collect();
        Self {
            files: files.collect(),
            kept: names.clone(),
            seen: names,
            now_ms: self.now_ms,
            flaw: self.flaw,
        }
    }
}

impl File {
    fn cut(&mut self) {
        let durable = self.durable;
        Arc::make_mut(&mut self.bytes).truncate(durable);
        self.pending.clear();
    }
}

/// The last records of another log, whole, as many as fit, or its first one cut off; then NULs.
fn stale(bytes: &mut [u8], log: &[u8]) {
    let lines = (0..log.len()).filter(|at| *at == 0 || log[at - 1] == b'\n');
    let from = lines.into_iter().find(|at| log.len() - at <= bytes.len()).unwrap_or(0);
    let count = bytes.len().min(log.len() - from);
    bytes[..count].copy_from_slice(&log[from..from + count]);
    bytes[count..].fill(0);
}

/// Bytes as no writer makes them, with newlines and beginnings of records among them.
fn garbage(bytes: &mut [u8], seed: u64) {
    let mut random = Random::new(seed);
    for byte in bytes.iter_mut() {
        *byte = match random.below(16) {
            0 => b'\n',
            1 => b'"',
            _ => random.below(256) as u8,
        };
    }
    if seed % 2 == 1 {
        let marker = b"{\"t\": \"append\",\"id\":\"";
        let count = marker.len().min(bytes.len());
        bytes[..count].copy_from_slice(&marker[..count]);
    }
}

fn error(kind: FsErrorKind, path: &str) -> FsError {
    FsError::new(kind, format!("{path}: {kind:?} (simulated)"))
}

/// Numbers from a seed (SplitMix64), or from given bytes as long as there are any.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    /// What is left of the given bytes, from behind.
    fed: Vec<u8>,
}

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, fed: Vec::new() }
    }

    /// A sequence in which each byte decides one number, so that a fuzzer can choose them one by one.
    pub fn fed(bytes: &[u8]) -> Self {
        Self { state: 0, fed: bytes.iter().rev().copied().collect() }
    }

    /// Whether there are no given bytes any more.
    pub fn is_exhausted(&self) -> bool {
        self.fed.is_empty()
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        if let Some(byte) = self.fed.pop() {
            return u64::from(byte);
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

/// A call that was carried out, and the disk before it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The process.
    pub process: u64,
    /// The call.
    pub call: Call,
    /// The disk before it.
    pub before: Disk,
}

#[derive(Debug, Default)]
struct Shared {
    disk: Disk,
    /// How many calls have changed it.
    written: usize,
    steps: Option<Vec<Step>>,
}

/// A handle on a disk that several processes share.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<Shared>>);

impl SimDisk {
    /// A running machine with this disk.
    pub fn new(disk: Disk) -> Self {
        let disk = Disk { now_ms: disk.now_ms.max(1_700_000_000_000), ..disk };
        Self(Arc::new(Mutex::new(Shared { disk, ..Shared::default() })))
    }

    /// The disk as it is now.
    pub fn disk(&self) -> Disk {
        self.shared().disk.clone()
    }

    /// Puts another disk in its place, under the processes that run on it.
    pub fn set(&self, disk: Disk) {
        self.shared().disk = disk;
    }

    /// How many calls have changed the disk so far.
    pub fn written(&self) -> usize {
        self.shared().written
    }

    /// Records every call that changes the disk from now on.
    pub fn record(&self) {
        let mut shared = self.shared();
        shared.written = 0;
        shared.steps = Some(Vec::new());
    }

    /// The calls since [`SimDisk::record`].
    pub fn steps(&self) -> Vec<Step> {
        self.shared().steps.take().unwrap_or_default()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a process has asked of its file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All calls, those that failed included.
    pub calls: u64,
    /// Calls of [`Fs::append`].
    pub appends: u64,
    /// Calls of [`Fs::create`].
    pub creates: u64,
    /// Calls of [`Fs::replace`].
    pub replaces: u64,
    /// Calls of [`Fs::remove`].
    pub removes: u64,
    /// Calls of [`Fs::read_text`] and [`Fs::read_bytes`].
    pub reads: u64,
    /// Calls of [`Fs::stat`].
    pub stats: u64,
    /// Calls of [`Fs::list`].
    pub lists: u64,
    /// Times that something was made durable: by `sync`, a synced append, `create`, `replace` or `remove`.
    pub syncs: u64,
    /// Bytes given to `append`, `create` and `replace`.
    pub bytes_written: u64,
    /// Bytes that reads returned.
    pub bytes_read: u64,
    /// Calls that read or looked at a session's log.
    pub log_reads: u64,
    /// Calls that are to change something.
    pub writes: u64,
}

/// An error that the file system reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At which of the process' calls, from 0.
    pub at: u64,
    /// What it reports.
    pub kind: FsErrorKind,
    /// How far the call comes before it does: a short write, a failed sync, or all of it and only the answer is lost.
    pub stage: Stage,
    /// What becomes of later calls.
    pub later: Later,
}

/// What becomes of the calls behind a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// They succeed.
    Fine,
    /// Those that write fail: the disk is full or read-only.
    WritesFail,
    /// All fail, and none does anything: the disk is gone, or the process is dead.
    AllFail,
}

/// One process: what it imports.
#[derive(Debug)]
pub struct SimHost {
    disk: SimDisk,
    process: u64,
    random: Random,
    counts: Counts,
    /// Which calls were to change something, by their number.
    write_calls: Vec<u64>,
    fault: Option<Fault>,
    /// The first file that a fault has met.
    failed_path: String,
    /// A sync has failed: no more writes.
    closed: bool,
    /// For [`Flaw::AppendAtOldEnd`]: the size that each file had when this process last looked.
    ends: BTreeMap<String, usize>,
    turns: Option<Arc<Turns>>,
}

impl SimHost {
    /// A process on `disk`; no two processes of a disk may have the same number.
    pub fn new(disk: &SimDisk, process: u64) -> Self {
        Self {
            disk: disk.clone(),
            process,
            random: Random::new(process.wrapping_mul(0x5851_f42d_4c95_7f2d)),
            counts: Counts::default(),
            write_calls: Vec::new(),
            fault: None,
            failed_path: String::new(),
            closed: false,
            ends: BTreeMap::new(),
            turns: None,
        }
    }

    /// What it has asked so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The file that the fault has met first; empty before.
    pub fn failed_path(&self) -> &str {
        &self.failed_path
    }

    /// The numbers of the calls that were to change something.
    pub fn write_calls(&self) -> &[u64] {
        &self.write_calls
    }

    /// Starts counting anew, and counts calls for a [`Fault`] from here.
    pub fn reset_counts(&mut self) {
        self.counts = Counts::default();
        self.write_calls.clear();
    }

    /// Lets a call fail. `None`: the fault is gone, though not what a failed sync has closed.
    pub fn set_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Stops the process at a stage of its n-th call: that and all later ones report an error and do no more.
    pub fn run_until(&mut self, at: u64, stage: Stage) {
        self.fault = Some(Fault { at, kind: FsErrorKind::Unavailable, stage, later: Later::AllFail });
    }

    /// Makes each call wait for its turn, or no longer.
    pub fn take_turns(&mut self, turns: Option<Arc<Turns>>) {
        self.turns = turns;
    }

    /// Counts a call and decides what becomes of it: `Ok` or the stage that it comes to and the error it reports.
    fn begin(&mut self, path: &str, writes: bool) -> Result<(), (Stage, FsError)> {
        let call = self.counts.calls;
        self.counts.calls += 1;
        if self.closed && writes {
            return Err((Stage::Bytes(0), error(FsErrorKind::Closed, path)));
        }
        let Some(fault) = self.fault else { return Ok(()) };
        let applies = call == fault.at
            || call > fault.at
                && (fault.later == Later::AllFail || fault.later == Later::WritesFail && writes);
        if !applies {
            return Ok(());
        }
        if self.failed_path.is_empty() {
            path.clone_into(&mut self.failed_path);
        }
        self.closed |= fault.kind == FsErrorKind::Closed;
        let stage = if call == fault.at { fault.stage } else { Stage::Bytes(0) };
        Err((stage, error(fault.kind, path)))
    }

    fn write(&mut self, call: Call) -> Result<u64, FsError> {
        let turns = self.turns.clone();
        let _turn = turns.as_ref().map(|turns| turns.wait(self.process));
        check_path(call.path());
        self.counts.writes += 1;
        self.write_calls.push(self.counts.calls);
        let begun = self.begin(call.path(), true);
        let mut shared = self.disk.shared();
        if shared.disk.flaw == Some(Flaw::AppendAtOldEnd)
            && let Call::Append(path, ..) = &call
            && let Some((end, file)) = self.ends.get(path.as_ref()).zip(shared.disk.seen.get(path).copied())
        {
            Arc::make_mut(&mut shared.disk.files[file].bytes).truncate(*end);
        }
        // Only where it is kept: while there are two, each write copies the file.
        let before = shared.steps.is_some().then(|| shared.disk.clone());
        let stage = begun.as_ref().map_or_else(|(stage, _)| *stage, |()| Stage::Durable);
        let done = shared.disk.perform(&call, stage)?;
        shared.written += 1;
        if let (Some(steps), Some(before)) = (&mut shared.steps, before) {
            steps.push(Step { process: self.process, call: call.clone(), before });
        }
        drop(shared);
        self.look(call.path());
        begun.map(|()| done).map_err(|(_, error)| error)
    }

    /// Notes the size of a file, as a host that does not use `O_APPEND` would.
    fn look(&mut self, path: &str) {
        let shared = self.disk.shared();
        if shared.disk.flaw == Some(Flaw::AppendAtOldEnd) {
            self.ends.insert(path.to_owned(), shared.disk.bytes(path).map_or(0, <[u8]>::len));
        }
    }

    fn piece(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        let turns = self.turns.clone();
        let _turn = turns.as_ref().map(|turns| turns.wait(self.process));
        self.counts.reads += 1;
        self.counts.log_reads += u64::from(path.starts_with("sessions/"));
        check_path(path);
        self.begin(path, false).map_err(|(_, error)| error)?;
        self.look(path);
        let shared = self.disk.shared();
        let file = shared.disk.file(path)?;
        let bytes = &shared.disk.files[file].bytes;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(limit as usize).min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }
}

impl Fs for SimHost {
    fn append(&mut self, path: &str, data: &str, durability: Durability) -> Result<u64, FsError> {
        self.counts.appends += 1;
        self.counts.bytes_written += data.len() as u64;
        self.counts.syncs += u64::from(durability == Durability::Synced);
        self.write(Call::Append(path.into(), data.into(), durability))
    }

    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.create_bytes(path, data.as_bytes())
    }

    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError> {
        self.counts.creates += 1;
        self.counts.bytes_written += data.len() as u64;
        self.counts.syncs += 1;
        self.write(Call::Create(path.into(), data.into())).map(|_| ())
    }

    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.counts.replaces += 1;
        self.counts.bytes_written += data.len() as u64;
        self.counts.syncs += 1;
        self.write(Call::Replace(path.into(), data.into())).map(|_| ())
    }

    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError> {
        let piece = self.piece(path, offset, limit)?;
        let inside = piece.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let piece = &piece[inside..];
        let whole = match memchr::memrchr(b'\n', piece) {
            Some(newline) => &piece[..=newline],
            None => &piece[..piece.len() - cut_character(piece)],
        };
        let data = std::str::from_utf8(whole).map_err(|_| error(FsErrorKind::NotText, path))?.to_owned();
        self.counts.bytes_read += data.len() as u64;
        Ok(Text { start: offset + inside as u64, data })
    }

    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        let piece = self.piece(path, offset, limit)?;
        self.counts.bytes_read += piece.len() as u64;
        Ok(piece)
    }

    fn stat(&mut self, path: &str) -> Result<u64, FsError> {
        let turns = self.turns.clone();
        let _turn = turns.as_ref().map(|turns| turns.wait(self.process));
        self.counts.stats += 1;
        self.counts.log_reads += u64::from(path.starts_with("sessions/"));
        check_path(path);
        self.begin(path, false).map_err(|(_, error)| error)?;
        self.look(path);
        let shared = self.disk.shared();
        let file = shared.disk.file(path)?;
        Ok(shared.disk.files[file].bytes.len() as u64)
    }

    fn list(&mut self, directory: &str, after: &str, limit: u32) -> Result<Vec<DirEntry>, FsError> {
        let turns = self.turns.clone();
        let _turn = turns.as_ref().map(|turns| turns.wait(self.process));
        self.counts.lists += 1;
        if !directory.is_empty() {
            check_path(directory);
        }
        self.begin(directory, false).map_err(|(_, error)| error)?;
        let shared = self.disk.shared();
        let disk = &shared.disk;
        if disk.seen.contains_key(directory) {
            return Err(error(FsErrorKind::Refused, directory));
        }
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let names = disk.seen.iter().filter_map(|(path, file)| Some((path.strip_prefix(&prefix)?, *file)));
        let names = names.filter(|(name, _)| !name.contains('/') && *name > after);
        let entry = |(name, file): (&str, usize)| DirEntry {
            name: name.to_owned(),
            size: disk.files[file].bytes.len() as u64,
        };
        Ok(names.take(limit as usize).map(entry).collect())
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        self.counts.removes += 1;
        self.counts.syncs += 1;
        self.write(Call::Remove(path.into())).map(|_| ())
    }

    fn sync(&mut self, path: &str) -> Result<(), FsError> {
        self.counts.syncs += 1;
        self.write(Call::Sync(path.into())).map(|_| ())
    }
}

impl Clock for SimHost {
    fn now_ms(&mut self) -> u64 {
        let mut shared = self.disk.shared();
        shared.disk.now_ms += CLOCK_STEP_MS;
        shared.disk.now_ms
    }
}

impl Entropy for SimHost {
    fn random(&mut self) -> u128 {
        u128::from(self.random.draw()) << 64 | u128::from(self.random.draw())
    }
}

/// How many bytes of a cut character stand at the end.
fn cut_character(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3)..bytes.len();
    let lead = tail.rev().find(|at| bytes[*at] & 0xc0 != 0x80);
    match lead {
        Some(at) => {
            let need = match bytes[at] {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 0,
            };
            if at + need > bytes.len() { bytes.len() - at } else { 0 }
        }
        None => 0,
    }
}

/// The core must never make another path than these, whatever ids its callers give.
fn check_path(path: &str) {
    let names: Vec<&str> = path.split('/').collect();
    assert!(names.len() <= 3, "more than 3 names: {path:?}");
    for name in names {
        assert!((1..=64).contains(&name.len()), "an empty or long name: {path:?}");
        assert!(
            name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')),
            "a letter: {path:?}"
        );
        assert!(!name.starts_with('.') && !name.ends_with('.'), "a dot: {path:?}");
    }
}

/// Lets the calls of processes that run in threads of their own come one by one, in a given order.
#[derive(Debug)]
pub struct Turns {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Debug)]
struct Schedule {
    turns: VecDeque<u64>,
    running: Vec<u64>,
}

/// One call's turn; it ends when this is dropped.
struct Turn<'a> {
    schedule: MutexGuard<'a, Schedule>,
    changed: &'a Condvar,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.schedule.turns.pop_front();
        self.changed.notify_all();
    }
}

impl Turns {
    /// `schedule` names the process of each call; behind its end, those that still run go on in the order of
    /// `processes`.
    pub fn new(processes: &[u64], schedule: impl IntoIterator<Item = u64>) -> Arc<Self> {
        let schedule = Schedule { turns: schedule.into_iter().collect(), running: processes.to_vec() };
        Arc::new(Self { schedule: Mutex::new(schedule), changed: Condvar::new() })
    }

    /// Says that a process makes no more calls.
    pub fn finish(&self, process: u64) {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        schedule.running.retain(|running| *running != process);
        self.changed.notify_all();
    }

    fn wait(&self, process: u64) -> Turn<'_> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while schedule.turns.front().is_some_and(|turn| !schedule.running.contains(turn)) {
                schedule.turns.pop_front();
            }
            let next = schedule.turns.front().or(schedule.running.first()).copied();
            if next.is_none_or(|next| next == process) {
                return Turn { schedule, changed: &self.changed };
            }
            schedule = self.changed.wait(schedule).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (SimDisk, SimHost) {
        let disk = SimDisk::new(Disk::default());
        let host = SimHost::new(&disk, 1);
        (disk, host)
    }

    fn kind<T: std::fmt::Debug>(result: Result<T, FsError>) -> FsErrorKind {
        result.unwrap_err().kind
    }

    #[test]
    fn files_are_made_once_and_appended_to_where_they_are() {
        let (_, mut host) = host();
        host.create("a/b/c.x", "one\n").unwrap();
        assert_eq!(kind(host.create("a/b/c.x", "")), FsErrorKind::Exists);
        assert_eq!(host.append("a/b/c.x", "two\n", Durability::Buffered).unwrap(), 8);
        assert_eq!(host.stat("a/b/c.x").unwrap(), 8);
        assert_eq!(kind(host.append("a/b/d", "", Durability::Synced)), FsErrorKind::NotFound);
        assert_eq!(kind(host.read_text("a/b", 0, 1)), FsErrorKind::Refused);
        assert_eq!(kind(host.list("a/b/c.x", "", 1)), FsErrorKind::Refused);
        host.replace("a/b/c.x", "new").unwrap();
        assert_eq!(host.read_bytes("a/b/c.x", 1, 10).unwrap(), b"ew");
        host.remove("a/b/c.x").unwrap();
        assert_eq!(kind(host.remove("a/b/c.x")), FsErrorKind::NotFound);
        assert_eq!(kind(host.sync("a/b/c.x")), FsErrorKind::NotFound);
    }

    #[test]
    fn text_ends_behind_a_newline_or_a_character() {
        let (disk, mut host) = host();
        let mut content = disk.disk();
        content.put("x", "ab\ncé€".into());
        content.put("y", b"ab\xff\n\xe2\x82".to_vec());
        disk.set(content);
        let mut text = |path: &str, offset, limit| {
            host.read_text(path, offset, limit).map(|text| (text.start, text.data))
        };
        assert_eq!(text("x", 0, 100).unwrap(), (0, "ab\n".to_owned()));
        assert_eq!(text("x", 3, 100).unwrap(), (3, "cé€".to_owned()));
        assert_eq!(text("x", 3, 2).unwrap(), (3, "c".to_owned()));
        // Offset 5 lies inside of é, offset 8 inside of €.
        assert_eq!(text("x", 5, 100).unwrap(), (6, "€".to_owned()));
        assert_eq!(text("x", 8, 100).unwrap(), (9, String::new()));
        assert_eq!(text("x", 100, 100).unwrap(), (100, String::new()));
        assert_eq!(kind(text("y", 0, 100)), FsErrorKind::NotText);
        assert_eq!(text("y", 4, 100).unwrap(), (4, String::new()));
        assert_eq!(kind(text("z", 0, 100)), FsErrorKind::NotFound);
    }

    #[test]
    fn lists_are_ordered_pages_of_one_directory() {
        let (_, mut host) = host();
        for path in ["d/b", "d/a", "d/e/x", "d/c", "dd"] {
            host.create(path, "1").unwrap();
        }
        let mut names = |directory: &str, after: &str, limit| -> Vec<String> {
            host.list(directory, after, limit).unwrap().into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names("d", "", 10), ["a", "b", "c"]);
        assert_eq!(names("d", "a", 1), ["b"]);
        assert_eq!(names("", "", 10), ["dd"]);
        assert_eq!(names("f", "", 10), [""; 0]);
    }

    #[test]
    fn power_loss_takes_what_was_not_synced_in_every_way() {
        let (disk, mut host) = host();
        host.create("x", "durable").unwrap();
        host.append("x", "ab", Durability::Buffered).unwrap();
        let mut found: Vec<(Loss, Vec<u8>)> = Vec::new();
        disk.disk().after_power_loss("x", &mut |image| {
            found.push((image.loss, image.disk.bytes("x").unwrap().to_vec()));
        });
        for (loss, bytes) in
            [(Loss::Zeros, b"durable\0\0"), (Loss::Zeros, b"durablea\0"), (Loss::Hole, b"durable\0\0")]
        {
            assert!(found.contains(&(loss, bytes.to_vec())), "{found:?}");
        }
        assert!(found.iter().all(|(_, bytes)| bytes.starts_with(b"durable")));
        host.sync("x").unwrap();
        assert!(disk.disk().is_durable());
        disk.disk().after_power_loss("x", &mut |image| panic!("{image:?}"));
    }

    #[test]
    fn files_and_entries_are_lost_independently() {
        let (disk, mut host) = host();
        for path in ["x", "y"] {
            host.create(path, "").unwrap();
            host.append(path, path, Durability::Buffered).unwrap();
        }
        let mut cut_off = disk.disk();
        cut_off.perform(&Call::Create("z".into(), (*b"z").into()), Stage::Visible).unwrap();
        let mut found = BTreeSet::new();
        cut_off.after_power_loss("", &mut |image| {
            let bytes = ["x", "y", "z"].map(|path| image.disk.bytes(path).map(<[u8]>::to_vec));
            found.insert(bytes);
        });
        // Nothing lost is what the death of the process leaves, and not among them.
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn a_created_file_is_absent_or_complete_at_every_stage() {
        let call = Call::Create("x".into(), (*b"content").into());
        for stage in call.stages() {
            let mut disk = Disk::default();
            disk.perform(&call, stage).unwrap();
            assert!(matches!(disk.bytes("x"), None | Some(b"content")));
        }
    }

    #[test]
    fn faults_come_at_their_call_and_stay_as_long_as_they_should() {
        let (disk, mut host) = host();
        host.create("x", "").unwrap();
        let fault = |at, stage, later| Some(Fault { at, kind: FsErrorKind::Unavailable, stage, later });
        host.set_fault(fault(1, Stage::Bytes(2), Later::Fine));
        assert_eq!(kind(host.append("x", "abcd", Durability::Synced)), FsErrorKind::Unavailable);
        assert_eq!(host.append("x", "!", Durability::Synced).unwrap(), 3);
        host.set_fault(fault(3, Stage::Bytes(0), Later::WritesFail));
        assert_eq!(host.stat("x").unwrap_err().kind, FsErrorKind::Unavailable);
        assert_eq!(host.stat("x").unwrap(), 3);
        assert_eq!(kind(host.sync("x")), FsErrorKind::Unavailable);
        host.set_fault(Some(Fault {
            at: 6,
            kind: FsErrorKind::Closed,
            stage: Stage::Visible,
            later: Later::Fine,
        }));
        assert_eq!(kind(host.append("x", "?", Durability::Synced)), FsErrorKind::Closed);
        host.set_fault(None);
        assert_eq!(kind(host.append("x", "?", Durability::Synced)), FsErrorKind::Closed);
        assert_eq!(host.stat("x").unwrap(), 4);
        host.run_until(0, Stage::Bytes(0));
        assert_eq!(kind(host.stat("x")), FsErrorKind::Unavailable);
        assert_eq!(disk.disk().bytes("x").unwrap(), b"ab!?");
    }

    #[test]
    fn processes_take_turns() {
        let (disk, mut host) = host();
        host.create("x", "").unwrap();
        let turns = Turns::new(&[2, 3], [2, 3, 3, 2]);
        std::thread::scope(|scope| {
            for process in [2, 3] {
                let (disk, turns) = (&disk, &turns);
                scope.spawn(move || {
                    let mut host = SimHost::new(disk, process);
                    host.take_turns(Some(turns.clone()));
                    for _ in 0..3 {
                        host.append("x", &process.to_string(), Durability::Buffered).unwrap();
                    }
                    turns.finish(process);
                });
            }
        });
        assert_eq!(disk.disk().bytes("x").unwrap(), b"233223");
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |process| {
            let mut host = SimHost::new(&SimDisk::new(Disk::default()), process);
            (host.random(), host.now_ms(), host.now_ms())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).0, draw(2).0);
    }

    #[test]
    #[should_panic(expected = "a letter")]
    fn a_path_with_a_strange_letter_is_a_fault_of_the_core() {
        let _ = host().1.stat("a/B");
    }

    #[test]
    #[should_panic(expected = "a dot")]
    fn a_path_that_leaves_the_root_is_a_fault_of_the_core() {
        let _ = host().1.stat("a/../b");
    }
}
