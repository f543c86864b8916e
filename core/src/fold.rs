//! The fold: what the records of a log mean together.
//!
//! One pass over the records in file order, each accepted or rejected by the state before it and nothing else. So
//! everybody who reads the same bytes comes to the same state, and writers need no lock: a record that must not
//! count is rejected here, and its writer learns so by reading back. The rules stand in docs/format.md, "The fold".

use serde_json::value::RawValue;

use crate::facts::Facts;
use crate::id::fingerprint;
use crate::path::Path;
use crate::planted::{Planted, planted};
use crate::record::{
    AppendRecord, ChangeRecord, CheckRecord, HeadRecord, OpRecord, Record, Rewrite, Segment, SessionRecord,
    Stamp, Why,
};
use crate::table::{Refusal, Table};

/// The state of a log after its first records.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The session's id; empty before the first record.
    pub session: String,
    /// The generation.
    pub generation: u32,
    /// The facts.
    pub facts: Facts,
    /// How many messages there are, inherited ones included: the last one's number.
    pub count: u64,
    /// How many of them are inherited.
    pub inherited: u64,
    /// The visible path.
    pub path: Path,
    /// The path before the revert that can still be undone.
    pub undo: Option<Path>,
    /// The offset from which on `ops` is complete.
    pub window: u64,
    /// The `upto` of the last checkpoint.
    pub checked: u64,
    /// Operations that counted since `window`.
    pub ops: Vec<Op>,
    /// Records since the last checkpoint.
    pub records: u64,
    /// Records of unknown type.
    pub unknown: u64,
    /// Whether the session has changed messages that it inherits: its forks must know.
    pub touched: bool,
    /// Documents and sums.
    pub table: Table,
    /// Whether and how the log has ended.
    pub end: Option<End>,
}

/// An operation that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Where its record begins.
    pub offset: u64,
    /// Of its id.
    pub key: u128,
    /// Its first message, or the one it changed; 0 where none.
    pub seq: u64,
    /// How many messages it added.
    pub count: u64,
}

/// How a log has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on in the next generation.
    Sealed(Rewrite),
    /// The session is gone.
    Purged,
}

/// What the fold says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts. For messages: the first one's number and how many.
    Counts { seq: u64, count: u64 },
    /// It changes nothing by its nature (a checkpoint, an unknown type).
    Passive,
    /// It does not count.
    Rejected(Reason),
}

/// Why a record does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The head was another than the record expects.
    Head { actual: u64 },
    /// Its operation has counted before.
    Repeated { seq: u64, count: u64 },
    /// Its writer had not seen enough of the log to know that its operation is new.
    Stale,
    /// The session was in the trash.
    Trashed,
    /// The session was not in the trash.
    NotTrashed,
    /// The log had ended.
    Ended(End),
    /// There was no such message, or nothing to undo.
    NoTarget,
    /// The log has begun with another record.
    Begun,
    /// The log had not begun.
    NotBegun,
    /// The table did not allow the change.
    Table(Refusal),
}

impl Default for State {
    /// The state before the first record.
    fn default() -> Self {
        Self {
            session: String::new(),
            generation: 0,
            facts: Facts::default(),
            count: 0,
            inherited: 0,
            path: Path::default(),
            undo: None,
            window: 0,
            checked: 0,
            ops: Vec::new(),
            records: 0,
            unknown: 0,
            touched: false,
            table: Table::default(),
            end: None,
        }
    }
}

impl State {
    /// The state that a checkpoint holds. `None` where its path is none.
    pub fn from_check(check: &CheckRecord) -> Option<Self> {
        let ops = check.ops.iter().map(|OpRecord(offset, key, seq, count)| {
            let key = u128::from_str_radix(key, 16).ok()?;
            Some(Op { offset: *offset, key, seq: *seq, count: *count })
        });
        Some(Self {
            session: check.session.clone(),
            generation: check.generation,
            facts: check.facts.clone(),
            count: check.n,
            inherited: check.inherited,
            path: Path::new(check.path.clone())?,
            undo: check.undo.clone().map(Path::new).map_or(Some(None), |undo| undo.map(Some))?,
            window: check.window,
            checked: check.last,
            ops: ops.collect::<Option<Vec<Op>>>()?,
            records: 0,
            unknown: check.unknown,
            touched: check.touched,
            table: check.table.clone(),
            end: None,
        })
    }

    /// The checkpoint of this state, which is the state at `upto`.
    pub fn to_check(&self, upto: u64) -> CheckRecord {
        CheckRecord {
            upto,
            n: self.count,
            inherited: self.inherited,
            generation: self.generation,
            session: self.session.clone(),
            facts: self.facts.clone(),
            path: self.path.ranges().to_vec(),
            undo: self
                .undo
                .as_ref()
                .filter(|_| !planted(Planted::CheckpointForgetsUndo))
                .map(|undo| undo.ranges().to_vec()),
            window: self.window,
            last: self.checked,
            ops: self
                .ops
                .iter()
                .map(|op| OpRecord(op.offset, format!("{:032x}", op.key), op.seq, op.count))
                .collect(),
            unknown: self.unknown,
            touched: self.touched,
            table: self.table.clone(),
        }
    }

    /// Whether the log has begun.
    pub fn begun(&self) -> bool {
        self.generation > 0
    }

    /// Decides on the record that begins at `offset`, and applies it where it counts.
    pub fn apply(&mut self, record: &Record<'_>, offset: u64) -> Verdict {
        if let Record::Session(session) = record {
            return self.begin(session);
        }
        if !self.begun() {
            return Verdict::Rejected(Reason::NotBegun);
        }
        if let Some(end) = self.end.filter(|_| !planted(Planted::SealIgnored)) {
            return Verdict::Rejected(Reason::Ended(end));
        }
        self.records += 1;
        if let Some(stamp) = record.stamp()
            && let Err(reason) = self.admit(record, stamp)
        {
            return Verdict::Rejected(reason);
        }
        let verdict = match record {
            Record::Append(append) => self.append(append),
            Record::Text(_) if self.facts.trashed.is_some() => Verdict::Rejected(Reason::Trashed),
            Record::Text(text) => self.message(text.m),
            Record::Update(update) => self.message(update.m),
            Record::Head(head) => self.move_head(head),
            Record::Facts(facts) => self.set_facts(facts.set),
            Record::Change(change) => self.change(change),
            Record::Check(check) => return self.checkpoint(check),
            Record::Seal(seal) => self.finish(End::Sealed(seal.why)),
            Record::Purge(_) => self.finish(End::Purged),
            Record::Session(_)
            | Record::Entry(_)
            | Record::Open(_)
            | Record::Catalogue(_)
            | Record::Ref(_)
            | Record::Unknown => {
                self.unknown += 1;
                return Verdict::Passive;
            }
        };
        if let (Verdict::Counts { seq, count }, Some(stamp)) = (verdict, record.stamp()) {
            self.counted(record, stamp, Op { offset, key: 0, seq, count });
        }
        verdict
    }

    fn begin(&mut self, record: &SessionRecord<'_>) -> Verdict {
        if self.begun() {
            return Verdict::Rejected(Reason::Begun);
        }
        self.session = record.session.clone().into_owned();
        self.generation = record.generation;
        self.facts = record.facts.clone();
        self.inherited = inherited(&record.from);
        self.count = self.inherited;
        self.path = Path::first(self.inherited);
        Verdict::Counts { seq: 0, count: 0 }
    }

    /// The conditions that are the same for every kind of record.
    fn admit(&self, record: &Record<'_>, stamp: &Stamp<'_>) -> Result<(), Reason> {
        if let Some(op) = &stamp.op {
            // Its writer vouches for everything before `b`, the window for everything since.
            if stamp.b < self.window {
                return Err(Reason::Stale);
            }
            let key = fingerprint(op);
            let repeated = self.ops.iter().find(|op| op.key == key);
            if let Some(op) = repeated.filter(|_| !planted(Planted::RepeatedAgain)) {
                return Err(Reason::Repeated { seq: op.seq, count: op.count });
            }
        }
        let unchecked = planted(Planted::HeadUnchecked);
        if stamp.head.is_some_and(|head| head != self.path.head() && !unchecked) {
            return Err(Reason::Head { actual: self.path.head() });
        }
        match (record, self.facts.trashed) {
            (Record::Append(_), Some(_)) if planted(Planted::TrashTakesAppends) => Ok(()),
            (Record::Append(_) | Record::Update(_) | Record::Head(_), Some(_)) => Err(Reason::Trashed),
            (Record::Purge(_), None) => Err(Reason::NotTrashed),
            _ => Ok(()),
        }
    }

    fn append(&mut self, record: &AppendRecord<'_>) -> Verdict {
        let is_there =
            |keep| keep == 0 || self.path.contains(keep) || (self.count + 1..=record.n).contains(&keep);
        if record.keep.is_some_and(|keep| !is_there(keep)) {
            return Verdict::Rejected(Reason::NoTarget);
        }
        // A writer that knew of more messages than are readable here has seen what is damaged now: their numbers
        // stay taken, so that later messages keep theirs.
        if record.n > self.count {
            self.path.extend(self.count + 1, record.n);
            self.count = record.n;
        }
        if let Some(keep) = record.keep {
            self.path.cut(keep);
        }
        let known = if planted(Planted::NumbersWrap) { self.count % 100 } else { self.count };
        let (seq, count) = (known + 1, record.m.len() as u64);
        self.count += count;
        self.path.extend(seq, self.count);
        self.undo = None;
        self.facts.active = self.facts.active.max(record.stamp.at);
        Verdict::Counts { seq, count }
    }

    fn message(&mut self, seq: u64) -> Verdict {
        if seq == 0 || seq > self.count {
            return Verdict::Rejected(Reason::NoTarget);
        }
        self.touched |= seq <= self.inherited;
        Verdict::Counts { seq, count: 0 }
    }

    fn move_head(&mut self, record: &HeadRecord<'_>) -> Verdict {
        let before = self.path.clone();
        let moved = match record.why {
            Why::Unrevert => self.undo.take().map(|undo| self.path = undo).is_some(),
            Why::Revert | Why::Branch => {
                let mut path = self.path.clone();
                let ascending = record.add.first().is_none_or(|(from, _)| *from > record.keep);
                let mut ranges =
                    if path.cut(record.keep) && ascending { path.ranges().to_vec() } else { vec![(1, 0)] };
                ranges.extend(&record.add);
                let target = Path::new(ranges).filter(|path| path.head() <= self.count);
                target.map(|path| self.path = path).is_some()
            }
        };
        if !moved {
            return Verdict::Rejected(Reason::NoTarget);
        }
        match record.why {
            Why::Revert if self.path == before => {}
            Why::Revert => self.undo = self.undo.take().or(Some(before)),
            Why::Unrevert | Why::Branch => self.undo = None,
        }
        Verdict::Counts { seq: self.path.head(), count: 0 }
    }

    fn set_facts(&mut self, set: &RawValue) -> Verdict {
        self.facts.apply(set.get());
        Verdict::Counts { seq: 0, count: 0 }
    }

    fn change(&mut self, record: &ChangeRecord<'_>) -> Verdict {
        if let Err(refusal) = self.table.apply(&record.change) {
            return Verdict::Rejected(Reason::Table(refusal));
        }
        if let Some(set) = record.facts {
            self.facts.apply(set.get());
        }
        Verdict::Counts { seq: 0, count: 0 }
    }

    fn finish(&mut self, end: End) -> Verdict {
        self.end = Some(end);
        Verdict::Counts { seq: 0, count: 0 }
    }

    fn checkpoint(&mut self, check: &CheckRecord) -> Verdict {
        // Of checkpoints that raced, those that bring nothing new change nothing: the fold from each is the same.
        if check.upto > self.checked {
            self.window = self.checked;
            self.checked = check.upto;
            self.ops.retain(|op| op.offset >= self.window);
            self.records = 0;
        }
        Verdict::Passive
    }

    fn counted(&mut self, record: &Record<'_>, stamp: &Stamp<'_>, op: Op) {
        if let Some(id) = &stamp.op {
            self.ops.push(Op { key: fingerprint(id), ..op });
        }
        let is_aside = match record {
            Record::Facts(facts) => only_accessed(facts.set.get()),
            Record::Change(change) => change.facts.is_none(),
            _ => false,
        };
        if !is_aside {
            self.facts.updated = self.facts.updated.max(stamp.at);
        }
    }
}

/// Whether a patch of facts says no more than that somebody looked.
fn only_accessed(set: &str) -> bool {
    set.starts_with("{\"accessed\":") && !set.contains(',')
}

/// How many messages a fork begins with.
pub fn inherited(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| (segment.z + 1).saturating_sub(segment.a)).sum()
}
