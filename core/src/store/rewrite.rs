//! New generations: a log written anew, with the old one ended by a seal.
//!
//! What the next generation holds is a function of the log up to its seal and of nothing else, so that any process
//! finishes what another has begun, and all write the same bytes.

use super::{Beginning, Look, Plan, Store};
use crate::api::{Rewritten, WriteOptions};
use crate::fold::{End, State, Verdict};
use crate::host::{FsErrorKind, Host};
use crate::id::{Name, parse_ulid, ulid_text};
use crate::limits::{CHECK_BYTES, CHECK_RECORDS, CHECK_SPACING, GENERATIONS_MAX};
use crate::log::{Log, Stored, raw};
use crate::path::Path;
use crate::planted::{Planted, planted};
use crate::record::{
    AppendRecord, ChangeRecord, FactsRecord, HeadRecord, Record, Rewrite, Salt, SealRecord, SessionRecord,
    Stamp, UpdateRecord, Why, carried,
};
use crate::{Error, ErrorKind, Result};

/// The largest log that is rewritten: the new one is made in memory.
pub(super) const REWRITE_BYTES_MAX: u64 = 256 * 1024 * 1024;

impl<H: Host> Store<H> {
    pub(super) fn rewrite(&mut self, id: &str, why: Rewrite) -> Result<Rewritten> {
        self.writable()?;
        let name = Name::of(id)?;
        let before = self.with(id, Look::Fresh, |store, cached| {
            let log = &mut cached.log;
            let (generation, bytes) = (log.state().generation, log.size());
            if why == Rewrite::Detach && log.state().inherited == 0 {
                store.host.sync(log.path())?;
                return Ok(Err(Rewritten {
                    generation,
                    bytes_before: bytes,
                    bytes_after: bytes,
                    old_kept: false,
                }));
            }
            if bytes > REWRITE_BYTES_MAX || generation >= GENERATIONS_MAX {
                return Err(Error::invalid(format!(
                    "the log of session {id} is too large to be rewritten: at most {REWRITE_BYTES_MAX} bytes"
                )));
            }
            log.index_whole(&mut store.host)?;
            let state = log.state().clone();
            let walked = log.for_each(&mut store.host, &mut |_, _, _| {})?;
            let readable = store.stored(cached, &[(1, state.count)], usize::MAX)?.len() as u64;
            // A torn write that nobody was told of is no loss; anything else would be one.
            let (walked, known) = (State { records: 0, ..walked }, State { records: 0, ..state.clone() });
            if readable < state.count || walked != known {
                return Err(Error::damaged(format!(
                    "session {id} has damage that a rewrite would lose; salvage it into a new session"
                )));
            }
            Ok(Ok((generation, !cached.log.damage().is_empty())))
        })?;
        let (generation, has_damage) = match before {
            Ok(before) => before,
            Err(nothing_to_do) => return Ok(nothing_to_do),
        };
        self.write(id, &WriteOptions::default(), Look::Cached, &mut |_, cached, stamp| {
            if cached.log.state().generation != generation {
                return Err(Error::conflict(format!(
                    "session {id} has been rewritten by somebody else meanwhile"
                )));
            }
            Ok(Plan::of(&Record::Seal(SealRecord { stamp, why })))
        })?;
        let old_path = name.log(generation);
        let old = Log::load(&mut self.host, &old_path, None)?;
        let (bytes_before, before) = (old.size(), old.state().clone());
        let beginning = self.read_beginning(&old_path)?.unwrap_or_default();
        self.finish_rewrite(&name, old)?;
        self.check_next(&name, &before)?;
        // What cannot be read is never removed.
        let old_kept = has_damage || self.is_needed(&before.session, generation)?;
        if !old_kept {
            self.remove_log(&old_path)?;
        }
        if why == Rewrite::Detach {
            self.collect_sources(&beginning)?;
        }
        self.with(id, Look::Fresh, |_, cached| {
            let (generation, bytes_after) = (cached.log.state().generation, cached.log.size());
            Ok(Rewritten { generation, bytes_before, bytes_after, old_kept })
        })
    }

    /// Removes a generation that was rewritten, as whoever has rewritten it would have. `false` where it stays.
    pub(super) fn remove_rewritten(&mut self, name: &Name, generation: u32) -> Result<bool> {
        let path = name.log(generation);
        let mut log = Log::load(&mut self.host, &path, None)?;
        log.index_whole(&mut self.host)?;
        // What cannot be read is never removed, nor what the next one lacks.
        if !log.damage().is_empty() || !matches!(log.state().end, Some(End::Sealed(_))) {
            return Ok(false);
        }
        let state = log.state().clone();
        if self.check_next(name, &state).is_err() || self.is_needed(&state.session, generation)? {
            return Ok(false);
        }
        self.remove_log(&path)?;
        Ok(true)
    }

    /// Makes sure that the generation behind a sealed one holds the session, before that one goes.
    fn check_next(&mut self, name: &Name, old: &State) -> Result<()> {
        let path = name.log(old.generation + 1);
        let next = match Log::load(&mut self.host, &path, None) {
            // Somebody has rewritten that one as well, and looked at what he made.
            Err(error)
                if error.kind == ErrorKind::NotFound
                    && self.generations(name)?.last() > Some(&(old.generation + 1)) =>
            {
                return Ok(());
            }
            next => next?,
        };
        let (next, same) =
            (next.state(), |next: &State| next.session == old.session && next.count >= old.count);
        if next.begun() && same(next) {
            return Ok(());
        }
        Err(Error::damaged(format!(
            "{path} is not the next generation of session {}; run doctor, nothing was removed",
            old.session
        )))
    }

    /// Writes the generation that follows a sealed one, unless somebody has.
    pub(super) fn finish_rewrite(&mut self, name: &Name, old: Log) -> Result<()> {
        let generation = old.state().generation;
        match self.make_next(name, old) {
            // Whoever sealed it has finished it just now, and removed it.
            Err(error)
                if error.kind == ErrorKind::NotFound
                    && self.generations(name)?.last().is_some_and(|last| *last > generation) =>
            {
                Ok(())
            }
            made => made,
        }
    }

    fn make_next(&mut self, name: &Name, mut old: Log) -> Result<()> {
        let generation = old.state().generation;
        let Some(End::Sealed(why)) = old.state().end else { return Ok(()) };
        if self.host.stat(&name.log(generation + 1)).is_ok() && !planted(Planted::RewriteOverwrites) {
            return Ok(());
        }
        // Whoever sealed it may have died before the disk had the seal: without it, what is written to the next one
        // would be forgotten for what this one still holds.
        if !planted(Planted::SealUnsynced) {
            self.host.sync(old.path())?;
        }
        let text = self.next_generation(&mut old, why)?;
        if planted(Planted::RewriteOverwrites) {
            return self.host.replace(&name.log(generation + 1), &text).map_err(Error::from);
        }
        // Somebody may be so late that even the next one has been rewritten and removed: what he creates lies below
        // the highest generation, where nobody looks.
        match self.host.create(&name.log(generation + 1), &text) {
            Err(error) if error.kind != FsErrorKind::Exists => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The content of the generation behind a sealed one.
    fn next_generation(&mut self, old: &mut Log, why: Rewrite) -> Result<String> {
        old.index_whole(&mut self.host)?;
        let state = old.state().clone();
        let mut cached = super::Cached::new(Log::load(&mut self.host, old.path(), None)?);
        cached.log.index_whole(&mut self.host)?;
        cached.is_copied = true;
        let beginning = self.beginning(&mut cached)?;
        let detach = why == Rewrite::Detach;
        let mut writer = Writer::begin(&state, if detach { Beginning::default() } else { beginning })?;
        if detach {
            for stored in self.stored(&mut cached, &[(1, state.inherited)], usize::MAX)? {
                writer.message(&stored)?;
            }
        }
        // Everything in the order of the log; operations that leave nothing else leave their id.
        let mut kept: Vec<Kept> = Vec::new();
        let inherited = if detach { 0 } else { state.inherited };
        old.for_each(&mut self.host, &mut |record, text, verdict| {
            kept.extend(Kept::of(record, text, verdict, inherited));
        })?;
        for kept in kept {
            match kept {
                Kept::Messages { seq, .. }
                    if planted(Planted::RevertDeletes)
                        && !state.path.ranges().iter().any(|range| (range.0..=range.1).contains(&seq)) => {}
                Kept::Messages { stamp, seq, count } => {
                    let stored = self.stored(&mut cached, &[(seq, seq + count - 1)], usize::MAX)?;
                    let parent = stored.first().map_or(0, |first| first.parent);
                    let mut path = self.path_to(&mut cached, parent)?;
                    // What cannot be read between comes onto the path with the append behind it, as it did there.
                    path.cut(path.before(writer.state.count + 1));
                    writer.go_to(&path, Why::Branch)?;
                    writer.messages(stamp, seq, &stored)?;
                }
                Kept::Change(text) => writer.change(&text)?,
                Kept::Operation(stamp) => writer.facts(stamp, "{}")?,
                Kept::Unknown(text) => writer.verbatim(&text),
            }
        }
        writer.end(&state)
    }
}

/// What of a log goes into the next generation.
enum Kept {
    Messages {
        stamp: Stamp<'static>,
        seq: u64,
        count: u64,
    },
    /// A change of a message that stays inherited.
    Change(String),
    Operation(Stamp<'static>),
    Unknown(String),
}

impl Kept {
    fn of(record: &Record<'_>, text: &str, verdict: Verdict, inherited: u64) -> Option<Self> {
        match (record, verdict) {
            (Record::Text(_) | Record::Update(_), Verdict::Counts { seq, .. }) if seq <= inherited => {
                Some(Self::Change(text.to_owned()))
            }
            (Record::Append(append), Verdict::Counts { seq, count }) => {
                Some(Self::Messages { stamp: owned(&append.stamp), seq, count })
            }
            (Record::Unknown, Verdict::Passive) => Some(Self::Unknown(text.to_owned())),
            (Record::Seal(_) | Record::Purge(_), _) => None,
            (_, Verdict::Counts { .. }) => {
                record.stamp().filter(|stamp| stamp.op.is_some()).map(|stamp| Self::Operation(owned(stamp)))
            }
            _ => None,
        }
    }
}

fn owned(stamp: &Stamp<'_>) -> Stamp<'static> {
    Stamp {
        id: stamp.id.clone().into_owned().into(),
        at: stamp.at,
        b: stamp.b,
        op: stamp
            .op
            .clone()
            .filter(|_| !planted(Planted::RewriteForgetsOperations))
            .map(|op| op.into_owned().into()),
        head: None,
    }
}

/// Writes a log in memory, with checkpoints where they are due.
pub(super) struct Writer {
    salt: Salt,
    text: String,
    state: State,
    check_bytes: u64,
    /// For records that no writer has made: the time of the last change.
    at: u64,
    id: u128,
}

impl Writer {
    /// Begins the generation behind that of `old`.
    pub(super) fn begin(old: &State, beginning: Beginning) -> Result<Self> {
        let id =
            parse_ulid(&ulid_text(crate::id::ulid(old.facts.updated, crate::id::fingerprint(&old.session))))
                .unwrap_or(0);
        let salt = Salt::of(&Name::of(&old.session)?.log(old.generation + 1));
        let mut writer = Self {
            salt,
            text: String::new(),
            state: State::default(),
            check_bytes: 0,
            at: old.facts.updated,
            id,
        };
        // In the trash nothing could be appended: that fact comes last.
        let facts = crate::facts::Facts { trashed: None, ..old.facts.clone() };
        let (session, generation) = (old.session.clone().into(), old.generation + 1);
        let v = super::FORMAT_VERSION;
        let Beginning { from, over } = beginning;
        let (id, at) = (ulid_text(id).into(), old.facts.updated);
        writer.put(&Record::Session(Box::new(SessionRecord {
            v,
            session,
            generation,
            id,
            at,
            facts,
            from,
            over,
        })))?;
        Ok(writer)
    }

    fn put(&mut self, record: &Record<'_>) -> Result<()> {
        let (end, checked) = (self.text.len() as u64, self.state.checked);
        let bytes = end - checked;
        if self.state.begun()
            && bytes >= CHECK_SPACING * self.check_bytes
            && (bytes >= CHECK_BYTES || self.state.records >= CHECK_RECORDS)
        {
            let check = Record::Check(Box::new(self.state.to_check(end)));
            let line = check.line(self.salt);
            self.check_bytes = line.len() as u64;
            self.state.apply(&check, end);
            self.text.push_str(&line);
        }
        match self.state.apply(record, self.text.len() as u64) {
            Verdict::Rejected(reason) => {
                Err(Error::internal(format!("a rewrite would lose a record: {reason:?}; please report this")))
            }
            _ => {
                self.text.push_str(&record.line(self.salt));
                Ok(())
            }
        }
    }

    fn stamp(&mut self) -> Stamp<'static> {
        self.id = self.id.wrapping_add(1);
        Stamp { id: ulid_text(self.id).into(), at: self.at, b: self.text.len() as u64, op: None, head: None }
    }

    /// How many messages it holds.
    pub(super) fn count(&self) -> u64 {
        self.state.count
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    /// One inherited message, which becomes this log's own.
    pub(super) fn message(&mut self, stored: &Stored) -> Result<()> {
        let stamp =
            Stamp { id: ulid_text(stored.id).into(), at: stored.created_at, b: 0, op: None, head: None };
        self.messages(stamp, stored.seq, std::slice::from_ref(stored))
    }

    /// Messages that keep their numbers, from `first` on, also where some before them could not be read: a crash can
    /// leave such a log with a seal that nobody was told of.
    fn messages(&mut self, stamp: Stamp<'static>, first: u64, stored: &[Stored]) -> Result<()> {
        let stamp = Stamp { b: self.text.len() as u64, ..stamp };
        let m = stored.iter().map(|stored| stored.json.as_str()).collect();
        self.put(&Record::Append(AppendRecord { stamp, n: first.saturating_sub(1), keep: None, m }))?;
        for (seq, stored) in (first..).zip(stored) {
            if stored.updated_at > stored.created_at {
                let stamp = Stamp { at: stored.updated_at, ..self.stamp() };
                self.put(&Record::Update(UpdateRecord {
                    stamp,
                    m: seq,
                    patch: Some(raw("{}")?),
                    add: Vec::new(),
                }))?;
            }
        }
        Ok(())
    }

    fn facts(&mut self, stamp: Stamp<'static>, set: &str) -> Result<()> {
        let stamp = Stamp { b: self.text.len() as u64, ..stamp };
        self.put(&Record::Facts(FactsRecord { stamp, set: raw(set)? }))
    }

    fn change(&mut self, text: &str) -> Result<()> {
        match Record::of_checked(text) {
            Record::Update(mut update) => {
                update.stamp.b = self.text.len() as u64;
                update.stamp.head = None;
                self.put(&Record::Update(update))
            }
            Record::Unknown => {
                Err(Error::internal("a record that was read before cannot be read; please report this"))
            }
            record => self.put(&record),
        }
    }

    fn verbatim(&mut self, text: &str) {
        self.state.apply(&Record::Unknown, self.text.len() as u64);
        self.text.push_str(&carried(text, self.salt));
    }

    /// Makes `path` the visible one.
    pub(super) fn go_to(&mut self, path: &Path, why: Why) -> Result<()> {
        if self.state.path == *path {
            return Ok(());
        }
        let (keep, add) = path.since(&self.state.path);
        let stamp = self.stamp();
        self.put(&Record::Head(HeadRecord { stamp, why, keep, add, note: None }))
    }

    /// Ends with what is visible, the table and the trash as in `old`, and returns the text.
    pub(super) fn end(mut self, old: &State) -> Result<String> {
        if self.state.count < old.count {
            // Of the last messages only a checkpoint tells.
            let stamp = Stamp { at: 0, ..self.stamp() };
            self.messages(stamp, old.count + 1, &[])?;
        }
        if let Some(undo) = &old.undo {
            self.go_to(undo, Why::Branch)?;
            self.go_to(&old.path, Why::Revert)?;
        }
        self.go_to(&old.path, Why::Branch)?;
        if !old.table.is_empty() {
            let stamp = self.stamp();
            self.put(&Record::Change(ChangeRecord { stamp, change: old.table.as_change(), facts: None }))?;
        }
        if let Some(trashed) = old.facts.trashed {
            let stamp = self.stamp();
            self.facts(stamp, &format!("{{\"trashed\":{trashed}}}"))?;
        }
        Ok(self.text)
    }
}
