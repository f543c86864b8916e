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
            | Record::Point(_)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FactsRecord, PurgeRecord, SealRecord, TextRecord, UpdateRecord};
    use crate::table::Change;

    const ID: &str = "01JD0000000000000000000000";

    /// A fold, and where its next record begins: each takes 10 bytes.
    struct Fold {
        state: State,
        offset: u64,
    }

    fn stamp(at: u64) -> Stamp<'static> {
        Stamp { id: ID.into(), at, b: 0, op: None, head: None }
    }

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn session(inherited: u64) -> Record<'static> {
        let from = Segment { s: "parent".into(), g: 1, a: 3, z: inherited + 2, u: 9 };
        Record::Session(Box::new(SessionRecord {
            v: 1,
            session: "s".into(),
            generation: 7,
            id: ID.into(),
            at: 1,
            facts: Facts { created: 5, ..Facts::default() },
            from: if inherited == 0 { Vec::new() } else { vec![from] },
            over: Vec::new(),
        }))
    }

    fn append(stamp: Stamp<'static>, n: u64, keep: Option<u64>, count: usize) -> Record<'static> {
        Record::Append(AppendRecord { stamp, n, keep, m: vec!["{}"; count] })
    }

    fn text(m: u64) -> Record<'static> {
        Record::Text(TextRecord { m, p: 0, o: 0, x: "x".into() })
    }

    fn update(m: u64) -> Record<'static> {
        Record::Update(UpdateRecord { stamp: stamp(2), m, patch: None, add: Vec::new() })
    }

    fn head(why: Why, keep: u64, add: &[(u64, u64)]) -> Record<'static> {
        Record::Head(HeadRecord { stamp: stamp(3), why, keep, add: add.to_vec(), note: None })
    }

    fn facts(at: u64, set: &'static str) -> Record<'static> {
        Record::Facts(FactsRecord { stamp: stamp(at), set: raw(set) })
    }

    fn change(at: u64, table: &'static str, facts: Option<&'static str>) -> Record<'static> {
        let change: Change<'_> = serde_json::from_str(table).unwrap();
        Record::Change(ChangeRecord { stamp: stamp(at), change, facts: facts.map(raw) })
    }

    fn counts(seq: u64, count: u64) -> Verdict {
        Verdict::Counts { seq, count }
    }

    impl Fold {
        fn new(inherited: u64) -> Self {
            let mut fold = Self { state: State::default(), offset: 0 };
            assert_eq!(fold.put(&session(inherited)), counts(0, 0));
            fold
        }

        fn put(&mut self, record: &Record<'_>) -> Verdict {
            self.offset += 10;
            self.state.apply(record, self.offset - 10)
        }

        fn rejects(&mut self, record: &Record<'_>, reason: Reason) {
            let before = self.state.clone();
            assert_eq!(self.put(record), Verdict::Rejected(reason), "{record:?}");
            let records = before.records + u64::from(self.state.begun() && self.state.end.is_none());
            assert_eq!(self.state, State { records: self.state.records.min(records), ..before });
        }

        /// Messages one by one, at a time each.
        fn messages(&mut self, count: u64) -> &mut Self {
            for _ in 0..count {
                let n = self.state.count;
                assert_eq!(self.put(&append(stamp(10 + n), n, None, 1)), counts(n + 1, 1));
            }
            self
        }

        fn path(&self) -> &[(u64, u64)] {
            self.state.path.ranges()
        }
    }

    #[test]
    fn a_log_begins_once_and_with_a_session() {
        let mut fold = Fold { state: State::default(), offset: 0 };
        assert_eq!(fold.put(&text(1)), Verdict::Rejected(Reason::NotBegun));
        assert_eq!(fold.state, State::default());
        let mut fold = Fold::new(4);
        let state = &fold.state;
        assert_eq!((state.session.as_str(), state.generation, state.facts.created), ("s", 7, 5));
        assert_eq!((state.count, state.inherited, fold.path()), (4, 4, &[(1, 4)][..]));
        assert_eq!(fold.put(&session(0)), Verdict::Rejected(Reason::Begun));
        assert_eq!(fold.state.count, 4);
    }

    #[test]
    fn messages_are_numbered_in_file_order_whoever_knew_of_which() {
        let mut fold = Fold::new(2);
        assert_eq!(fold.put(&append(stamp(20), 2, None, 3)), counts(3, 3));
        // One that had not seen those comes behind them.
        assert_eq!(fold.put(&append(stamp(15), 2, None, 1)), counts(6, 1));
        assert_eq!((fold.state.count, fold.path(), fold.state.facts.active), (6, &[(1, 6)][..], 20));
        // One that had seen more than is readable here leaves their numbers taken, and visible.
        assert_eq!(fold.put(&append(stamp(30), 8, None, 1)), counts(9, 1));
        assert_eq!((fold.state.count, fold.path(), fold.state.facts.active), (9, &[(1, 9)][..], 30));
        assert_eq!((fold.state.records, fold.state.facts.updated), (3, 30));
    }

    #[test]
    fn an_append_may_hide_what_lies_behind_a_visible_message() {
        let mut fold = Fold::new(0);
        fold.messages(5);
        assert_eq!(fold.put(&append(stamp(1), 5, Some(3), 1)), counts(6, 1));
        assert_eq!(fold.path(), [(1, 3), (6, 6)]);
        fold.rejects(&append(stamp(1), 6, Some(4), 1), Reason::NoTarget);
        fold.rejects(&append(stamp(1), 6, Some(7), 1), Reason::NoTarget);
        // Behind one that damage has taken, and behind nothing.
        assert_eq!(fold.put(&append(stamp(1), 8, Some(7), 1)), counts(9, 1));
        assert_eq!(fold.path(), [(1, 3), (6, 7), (9, 9)]);
        assert_eq!(fold.put(&append(stamp(1), 9, Some(0), 1)), counts(10, 1));
        assert_eq!(fold.path(), [(10, 10)]);
        fold.put(&head(Why::Revert, 0, &[]));
        for hidden in [9, 10] {
            fold.rejects(&append(stamp(1), 10, Some(hidden), 1), Reason::NoTarget);
        }
    }

    #[test]
    fn a_message_that_is_not_there_is_not_changed() {
        let mut fold = Fold::new(2);
        fold.messages(1);
        for record in [text(0), text(4), update(0), update(4)] {
            fold.rejects(&record, Reason::NoTarget);
        }
        assert_eq!(fold.put(&text(3)), counts(3, 0));
        assert!(!fold.state.touched, "a message of its own is no inherited one");
        assert_eq!(fold.put(&update(2)), counts(2, 0));
        assert_eq!(fold.put(&update(3)), counts(3, 0));
        assert!(fold.state.touched);
    }

    #[test]
    fn what_a_revert_has_hidden_can_be_shown_again_until_the_next_append() {
        let mut fold = Fold::new(0);
        fold.messages(6);
        fold.rejects(&head(Why::Unrevert, 0, &[]), Reason::NoTarget);
        assert_eq!(fold.put(&head(Why::Revert, 6, &[])), counts(6, 0));
        assert_eq!(fold.state.undo, None, "it hides nothing");
        assert_eq!(fold.put(&head(Why::Revert, 4, &[])), counts(4, 0));
        assert_eq!(fold.put(&head(Why::Revert, 2, &[])), counts(2, 0));
        assert_eq!(fold.path(), [(1, 2)]);
        assert_eq!(fold.put(&head(Why::Unrevert, 0, &[])), counts(6, 0));
        assert_eq!((fold.path(), &fold.state.undo), (&[(1, 6)][..], &None));
        fold.put(&head(Why::Revert, 2, &[]));
        fold.messages(1);
        fold.rejects(&head(Why::Unrevert, 0, &[]), Reason::NoTarget);
        assert_eq!(fold.path(), [(1, 2), (7, 7)]);
    }

    #[test]
    fn a_branch_is_a_beginning_that_is_visible_and_ranges_that_ascend_behind_it() {
        let mut fold = Fold::new(0);
        fold.messages(6).put(&head(Why::Revert, 2, &[]));
        fold.messages(1);
        fold.rejects(&head(Why::Branch, 4, &[]), Reason::NoTarget);
        fold.rejects(&head(Why::Branch, 2, &[(2, 4)]), Reason::NoTarget);
        fold.rejects(&head(Why::Branch, 2, &[(3, 8)]), Reason::NoTarget);
        fold.rejects(&head(Why::Branch, 2, &[(5, 6), (3, 4)]), Reason::NoTarget);
        fold.put(&head(Why::Revert, 1, &[]));
        assert!(fold.state.undo.is_some());
        assert_eq!(fold.put(&head(Why::Branch, 1, &[(2, 4), (7, 7)])), counts(7, 0));
        assert_eq!((fold.path(), &fold.state.undo), (&[(1, 4), (7, 7)][..], &None));
        assert_eq!(fold.put(&head(Why::Branch, 1, &[])), counts(1, 0));
        assert_eq!(fold.put(&head(Why::Revert, 0, &[(3, 3)])), counts(3, 0));
    }

    #[test]
    fn a_head_that_is_expected_must_be_there() {
        let mut fold = Fold::new(0);
        fold.messages(3);
        let expecting = |head| append(Stamp { head: Some(head), ..stamp(1) }, 3, None, 1);
        fold.rejects(&expecting(2), Reason::Head { actual: 3 });
        fold.rejects(&expecting(4), Reason::Head { actual: 3 });
        assert_eq!(fold.put(&expecting(3)), counts(4, 1));
    }

    #[test]
    fn an_operation_counts_once_and_only_from_who_knows_what_the_window_has_left_behind() {
        let mut fold = Fold::new(0);
        let named = |op: &'static str, b, n| append(Stamp { op: Some(op.into()), b, ..stamp(1) }, n, None, 2);
        assert_eq!(fold.put(&named("one", 0, 0)), counts(1, 2));
        fold.rejects(&named("one", 20, 2), Reason::Repeated { seq: 1, count: 2 });
        assert_eq!(fold.put(&named("two", 30, 2)), counts(3, 2));
        let ops: Vec<_> = fold.state.ops.iter().map(|op| (op.offset, op.seq, op.count)).collect();
        assert_eq!(ops, [(10, 1, 2), (30, 3, 2)]);
        // The second checkpoint moves the window to the first.
        for upto in [30, 50] {
            let check = Record::Check(Box::new(fold.state.to_check(upto)));
            assert_eq!(fold.put(&check), Verdict::Passive);
            assert_eq!((fold.state.checked, fold.state.records), (upto, 0));
        }
        assert_eq!((fold.state.window, fold.state.ops.len()), (30, 1));
        fold.rejects(&named("one", 29, 4), Reason::Stale);
        fold.rejects(&named("two", 30, 4), Reason::Repeated { seq: 3, count: 2 });
        assert_eq!(fold.put(&named("three", 30, 4)), counts(5, 2));
        // Without a name nothing is known of it, nor asked.
        assert_eq!(fold.put(&append(stamp(1), 0, None, 1)), counts(7, 1));
        assert_eq!(fold.state.ops.len(), 2);
    }

    #[test]
    fn of_checkpoints_that_raced_the_second_changes_nothing() {
        let mut fold = Fold::new(0);
        fold.messages(2);
        let check = Record::Check(Box::new(fold.state.to_check(fold.offset)));
        fold.put(&check);
        fold.messages(1);
        let before = fold.state.clone();
        assert_eq!(fold.put(&check), Verdict::Passive);
        assert_eq!(fold.state, State { records: 2, ..before });
    }

    #[test]
    fn a_checkpoint_holds_everything() {
        let mut fold = Fold::new(2);
        fold.messages(3).put(&update(1));
        fold.put(&head(Why::Revert, 3, &[]));
        fold.put(&append(Stamp { op: Some("op".into()), ..stamp(1) }, 5, None, 1));
        fold.put(&head(Why::Revert, 1, &[]));
        fold.put(&Record::Unknown);
        fold.put(&change(1, r#"{"set":{"a":1}}"#, None));
        for upto in [60, 70] {
            let check = fold.state.to_check(upto);
            fold.put(&Record::Check(Box::new(check)));
        }
        let check = fold.state.to_check(90);
        assert_eq!(State::from_check(&check).unwrap(), fold.state);
        let no_key = CheckRecord { ops: vec![OpRecord(0, "no key".into(), 0, 0)], ..check.clone() };
        let no_path = CheckRecord { path: vec![(2, 1)], ..check.clone() };
        let no_undo = CheckRecord { undo: Some(vec![(2, 1)]), ..check };
        for check in [no_key, no_path, no_undo] {
            assert_eq!(State::from_check(&check), None);
        }
    }

    #[test]
    fn a_session_in_the_trash_takes_no_change_but_of_its_facts() {
        let mut fold = Fold::new(0);
        fold.messages(2);
        let purge = Record::Purge(PurgeRecord { stamp: stamp(9) });
        fold.rejects(&purge, Reason::NotTrashed);
        fold.put(&facts(9, r#"{"trashed":9}"#));
        for record in [append(stamp(1), 2, None, 1), text(1), update(1), head(Why::Revert, 1, &[])] {
            fold.rejects(&record, Reason::Trashed);
        }
        assert_eq!(fold.put(&facts(9, r#"{"title":"t"}"#)), counts(0, 0));
        assert_eq!(fold.put(&purge), counts(0, 0));
        assert_eq!(fold.state.end, Some(End::Purged));
        fold.rejects(&facts(9, r#"{"title":"u"}"#), Reason::Ended(End::Purged));
    }

    #[test]
    fn nothing_counts_behind_a_seal() {
        let mut fold = Fold::new(0);
        let seal = |why| Record::Seal(SealRecord { stamp: stamp(9), why });
        assert_eq!(fold.put(&seal(Rewrite::Detach)), counts(0, 0));
        fold.rejects(&seal(Rewrite::Compact), Reason::Ended(End::Sealed(Rewrite::Detach)));
        fold.rejects(&append(stamp(1), 0, None, 1), Reason::Ended(End::Sealed(Rewrite::Detach)));
    }

    #[test]
    fn a_look_and_a_change_of_the_table_alone_do_not_make_a_session_newer() {
        let mut fold = Fold::new(0);
        fold.put(&facts(5, r#"{"title":"t"}"#));
        assert_eq!(fold.state.facts.updated, 5);
        assert_eq!(fold.put(&facts(6, r#"{"accessed":6}"#)), counts(0, 0));
        assert_eq!(fold.put(&change(7, r#"{"set":{"a":1}}"#, None)), counts(0, 0));
        assert_eq!((fold.state.facts.updated, fold.state.facts.accessed), (5, 6));
        assert_eq!(fold.put(&facts(8, r#"{"accessed":8,"title":"u"}"#)), counts(0, 0));
        assert_eq!(fold.state.facts.updated, 8);
        assert_eq!(fold.put(&facts(9, r#"{"title":"v"}"#)), counts(0, 0));
        assert_eq!(fold.state.facts.updated, 9);
        assert_eq!(fold.put(&change(10, "{}", Some(r#"{"title":"w"}"#))), counts(0, 0));
        assert_eq!((fold.state.facts.updated, fold.state.facts.title.as_deref()), (10, Some("w")));
        fold.put(&facts(4, r#"{"title":"x"}"#));
        assert_eq!(fold.state.facts.updated, 10, "time does not go back");
        fold.rejects(&change(11, r#"{"if":9}"#, None), Reason::Table(Refusal::Version));
        assert_eq!(fold.state.table.doc("a"), Some("1"));
    }

    #[test]
    fn what_is_not_known_is_counted_and_changes_nothing() {
        let mut fold = Fold::new(0);
        for unknown in 1..=3 {
            assert_eq!(fold.put(&Record::Unknown), Verdict::Passive);
            assert_eq!((fold.state.unknown, fold.state.records), (unknown, unknown));
        }
    }

    #[test]
    fn a_fork_inherits_what_its_segments_hold() {
        let segment = |a, z| Segment { s: "s".into(), g: 1, a, z, u: 1 };
        assert_eq!(inherited(&[segment(3, 3), segment(5, 9)]), 6);
        assert_eq!(inherited(&[segment(9, 2)]), 0);
    }
}
