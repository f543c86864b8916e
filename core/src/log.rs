//! One log file: folding it from its end, following it, appending to it.
//!
//! Owns the append protocol and all reading of logs. A [`Log`] is a cache of what the file holds; the file is the
//! truth, others append to it at any time, and dropping a [`Log`] loses nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::value::RawValue;

use crate::fold::{State, Verdict};
use crate::host::{Durability, FsError, FsErrorKind, Host};
use crate::id::{Name, fingerprint, parse_ulid};
use crate::limits::{CHECK_BYTES, CHECK_RECORDS, CHECK_SPACING, DAMAGE_RUN_BYTES_MAX};
use crate::message::Draft;
use crate::path::Path;
use crate::planted::{Planted, planted};
use crate::record::{
    AppendRecord, CheckRecord, MARKER, Record, Salt, TRAILER_LEN, checksum, leading_record, occurrences,
    verify,
};
use crate::scan::{Damage, Visitor, scan};
use crate::{Error, Result};

#[cfg(test)]
mod tests;

/// How much of a file is read at once when it is folded from the front.
const CHUNK_BYTES: u64 = 1024 * 1024;
/// How much of a file's end is read first: it nearly always holds a checkpoint.
const TAIL_BYTES: u64 = 96 * 1024;
/// The most of a file's end that is kept while a checkpoint is searched.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// Two pieces of a file that lie this close are read as one.
const READ_GAP_BYTES: u64 = 16 * 1024;
/// The most messages of which an index is kept that nobody has asked for.
const INDEX_UNASKED_MAX: usize = 4096;
/// How many files of a session are asked for at once. Nearly always there is one; what follows it is another session's,
/// and the host looks at each that it tells of.
const GENERATIONS_PAGE: u32 = 3;
/// At most this many damaged ranges are remembered one by one.
const DAMAGE_LIST_MAX: usize = 1000;

/// A log and what is known of it.
#[derive(Debug)]
pub struct Log {
    path: String,
    salt: Salt,
    /// Nothing behind this offset is looked at: a fork sees its parent as it was.
    limit: Option<u64>,
    folded: Folded,
    /// The size when last seen.
    size: u64,
    /// The end of the file as it was read last, until [`Log::forget_tail`]: most of what is asked for lies there.
    tail: Tail,
}

/// The fold of the bytes up to `end`.
#[derive(Debug, Default)]
struct Folded {
    state: State,
    end: u64,
    /// Whether the byte before `end` is no newline, so that the next record must bring one.
    line_open: bool,
    index: Index,
    damage: Vec<Damage>,
    /// The first damage that no checkpoint has bridged yet.
    unbridged: Option<u64>,
    check_bytes: u64,
}

/// Where messages lie: all of this log whose number is above `floor`, with everything that changes them.
#[derive(Debug, Default)]
struct Index {
    floor: u64,
    /// The number before that of the first message: `floor`, or what a fork inherits.
    base: u64,
    /// Ascending by number.
    entries: Vec<Entry>,
    /// The numbers between the entries, ascending: what takes memory is what can be read, and not what a number claims.
    gaps: Vec<Chain>,
    /// Records that change a message: by its number, in file order.
    changes: BTreeMap<u64, Vec<Span>>,
    /// Whether it was asked for. What only comes with the fold is kept as far as it is small.
    asked: bool,
    /// Whether the log was folded from its first byte, so that `ops` holds every operation.
    whole: bool,
    ops: HashMap<u128, (u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    span: Span,
    /// Where it lies in the record.
    within: Span,
    id: u128,
    at: u64,
    parent: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u64,
    len: u64,
}

impl Span {
    /// The bytes of `text` that it is.
    fn of(self, text: &str) -> Option<&str> {
        let from = usize::try_from(self.from).ok()?;
        text.get(from..from.checked_add(usize::try_from(self.len).ok()?)?)
    }
}

/// Messages that follow on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The message before the first on its branch; 0 for none.
    pub parent: u64,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// Its ULID.
    pub id: u128,
    /// The message before it on its branch; 0 for a first one.
    pub parent: u64,
    /// When it came, in ms.
    pub created_at: u64,
    /// When it last changed, in ms.
    pub updated_at: u64,
    /// The message.
    pub json: String,
}

/// Where a message lies in its log, for whoever comes back to it: records never move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The first byte of the message as it was appended.
    pub from: u64,
    /// How many bytes it has.
    pub len: u64,
    /// Their checksum.
    pub sum: u32,
    /// Ranges of the log, by their first byte and their length, in which every record that would change the message
    /// counts.
    pub changes: Vec<(u64, u64)>,
}

/// What became of an append.
#[derive(Debug)]
pub enum Appended {
    /// The record is in the log, and the fold has decided on it.
    Decided(Decided),
    /// The file is gone: the session has another generation, or is no more.
    Gone,
}

/// The fold's decision on an appended record.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// What it says.
    pub verdict: Verdict,
    /// Where the record begins.
    pub offset: u64,
    /// Whether nothing of others came between the state that the record was made for and the record.
    pub alone: bool,
}

impl Log {
    /// Loads a log from its end: what it costs does not depend on the length of the log.
    pub fn load(host: &mut impl Host, path: &str, limit: Option<u64>) -> Result<Self> {
        Self::load_salted(host, path, Salt::of(path), limit)
    }

    /// Loads a log whose file has lost the name under which its records were written.
    pub fn load_salted(host: &mut impl Host, path: &str, salt: Salt, limit: Option<u64>) -> Result<Self> {
        Self::load_indexed(host, (path, salt), limit, None, Tail::default())
    }

    /// Loads a log whose `last` messages will be read, as far as its end tells where they begin: nothing is folded twice.
    pub fn load_last(host: &mut impl Host, path: &str, last: u64) -> Result<Self> {
        if last == 0 {
            return Self::load(host, path, None);
        }
        let (size, salt) = (host.stat(path)?, Salt::of(path));
        let mut tail = Tail::at(size);
        tail.reach(host, path, size.saturating_sub(TAIL_BYTES))?;
        let appended =
            |bytes: &[u8]| occurrences(bytes, format!("{MARKER}append\"").as_bytes()).count() as u64;
        let newest = last_check(&tail.bytes, salt, &State::from_check).map(|(check, _)| {
            let behind = tail.since(check.upto).unwrap_or_default();
            check.n + appended(behind)
        });
        let floor = newest.map(|newest| newest.saturating_sub(last));
        Self::load_indexed(host, (path, salt), None, floor, tail)
    }

    /// Loads a log of which `tail` is known, with an index of all messages above `floor`; without one, of those that are
    /// met on the way.
    fn load_indexed(
        host: &mut impl Host,
        (path, salt): (&str, Salt),
        limit: Option<u64>,
        floor: Option<u64>,
        tail: Tail,
    ) -> Result<Self> {
        let size = limited(host.stat(path)?, limit);
        let tail = if tail.to() == size { tail } else { Tail::at(size) };
        let mut log = Self { path: path.to_owned(), salt, limit, folded: Folded::default(), size, tail };
        let start = log.find_check(host, size, floor)?;
        log.folded.index.asked = floor.is_some();
        if let Some((check, state)) = start {
            log.folded.resume(state, &check);
            log.folded.fold_buffer(&log.tail, log.salt);
        }
        log.fold_to(host, size, None)?;
        Ok(log)
    }

    /// Lets go of what was read of the file's end, where it is needed no more.
    pub fn forget_tail(&mut self) {
        self.tail = Tail::default();
    }

    /// The state as of the last look at the file.
    pub fn state(&self) -> &State {
        &self.folded.state
    }

    /// The path of the file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The size of the file as of the last look.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The offset up to which everything is decided.
    pub fn end(&self) -> u64 {
        self.folded.end
    }

    /// Damage seen by what was folded here.
    pub fn damage(&self) -> &[Damage] {
        &self.folded.damage
    }

    /// Roughly how much memory this takes, in index entries.
    pub fn weight(&self) -> usize {
        let index = &self.folded.index;
        1 + index.entries.len() + index.gaps.len() + index.changes.len()
    }

    /// Takes in what others have appended. `false` where the file is gone.
    pub fn refresh(&mut self, host: &mut impl Host) -> Result<bool> {
        if planted(Planted::StaleCache) {
            return Ok(true);
        }
        let size = match host.stat(&self.path) {
            Ok(size) => limited(size, self.limit),
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if size < self.folded.end {
            // Somebody has cut the file. What was read before is no longer there to be promised.
            *self = Self::load_salted(host, &self.path, self.salt, self.limit)?;
        } else if size != self.size {
            self.fold_to(host, size, None)?;
        }
        Ok(true)
    }

    /// Appends `record`, which the caller made for the state at hand, and finds out what became of it.
    ///
    /// Guarantee: on `Decided` the record is in the file, as durable as asked. On an error it is wholly there or
    /// wholly absent, and nothing before it was touched.
    pub fn append(
        &mut self,
        host: &mut impl Host,
        durability: Durability,
        record: &Record<'_>,
    ) -> Result<Appended> {
        let durability = if planted(Planted::NoSync) { Durability::Buffered } else { durability };
        let mut data = String::new();
        if self.size > self.folded.end || self.folded.line_open {
            // Somebody's torn record: it must not swallow ours.
            data.push('\n');
        }
        let check_from = data.len() as u64;
        let check = self
            .folded
            .check_due()
            .then(|| Record::Check(Box::new(self.folded.state.to_check(self.folded.end))));
        if let Some(check) = &check {
            data.push_str(&check.line(self.salt));
        }
        let record_from = data.len() as u64;
        let line = record.line(self.salt);
        data.push_str(&line);
        let text = line.trim_end_matches('\n');
        let before = self.size;
        match host.append(&self.path, &data, durability) {
            Ok(size) if size == before + data.len() as u64 && before == self.folded.end => {
                // Nothing came between: what we wrote is what there is to fold.
                let mut folder =
                    Folder { folded: &mut self.folded, want: Some(text), found: None, resync: None };
                if let Some(check) = &check {
                    folder.record(check, "", before + check_from, before + record_from - 1);
                }
                folder.record(record, text, before + record_from, size - 1);
                let (found, resync) = (folder.found, folder.resync);
                if let (Some((verdict, from)), None) = (found, resync) {
                    self.folded.end = size;
                    self.folded.line_open = false;
                    self.size = size;
                    return Ok(Appended::Decided(Decided { verdict, offset: from, alone: true }));
                }
                self.decided(host, size, text)
            }
            Ok(_) if planted(Planted::OwnAppendTrusted) => {
                let verdict = self.folded.state.apply(record, before + record_from);
                Ok(Appended::Decided(Decided { verdict, offset: before + record_from, alone: true }))
            }
            Ok(size) => self.decided(host, size, text),
            Err(error) if error.kind == FsErrorKind::NotFound => Ok(Appended::Gone),
            Err(error) if planted(Planted::FailedSyncAcknowledged) => {
                self.settle(host, Durability::Buffered, text, error)
            }
            Err(error) if error.kind == FsErrorKind::Closed => Err(error.into()),
            Err(error) => self.settle(host, durability, text, error),
        }
    }

    /// Reads back what lies between, our record included.
    fn decided(&mut self, host: &mut impl Host, size: u64, text: &str) -> Result<Appended> {
        match self.fold_to(host, size, Some(text))? {
            Some((verdict, offset)) => Ok(Appended::Decided(Decided { verdict, offset, alone: false })),
            None => Err(Error::new(
                crate::ErrorKind::Unavailable,
                format!(
                    "what was appended to {} cannot be read back; retry with the same operation id",
                    self.path
                ),
            )),
        }
    }

    /// After a failed append nobody knows whether the record arrived: the file tells.
    fn settle(
        &mut self,
        host: &mut impl Host,
        durability: Durability,
        text: &str,
        error: FsError,
    ) -> Result<Appended> {
        let Ok(size) = host.stat(&self.path) else { return Err(error.into()) };
        match self.fold_to(host, size, Some(text)) {
            Ok(Some((verdict, offset))) => {
                if durability == Durability::Synced && !planted(Planted::UnknownOutcomeUnsynced) {
                    host.sync(&self.path)?;
                }
                Ok(Appended::Decided(Decided { verdict, offset, alone: false }))
            }
            _ => Err(error.into()),
        }
    }

    /// Folds up to `to`, which is the size of the file. Returns the verdict on the record `want` where it was met.
    fn fold_to(
        &mut self,
        host: &mut impl Host,
        to: u64,
        want: Option<&str>,
    ) -> Result<Option<(Verdict, u64)>> {
        self.size = to;
        let mut found = None;
        let mut limit = CHUNK_BYTES;
        while self.folded.end < to {
            let from = self.folded.end;
            let bytes = read(host, &self.path, from, to.min(from + limit))?;
            let mut folder = Folder { folded: &mut self.folded, want, found: None, resync: None };
            let decided = scan(&bytes, from, self.salt, &mut folder);
            found = folder.found.or(found);
            if let Some((check, state)) = folder.resync {
                self.folded.resync(&check, state);
                continue;
            }
            self.folded.advance(&bytes, decided);
            if decided == 0 {
                // Either a record on its way at the end of the file, or one larger than a chunk.
                if (bytes.len() as u64) < limit {
                    break;
                }
                if limit >= DAMAGE_RUN_BYTES_MAX {
                    return Err(Error::damaged(format!(
                        "{} holds no record in {limit} bytes from offset {from}: that is no log; put the file back from a copy",
                        self.path
                    )));
                }
                limit *= 4;
            }
        }
        Ok(found)
    }

    /// Looks from the end for a checkpoint to start from, one with no message above `floor` where that is given. Keeps
    /// the end that it has read.
    fn find_check(
        &mut self,
        host: &mut impl Host,
        size: u64,
        floor: Option<u64>,
    ) -> Result<Option<(CheckRecord, State)>> {
        let fits = |check: &CheckRecord| {
            floor.is_none_or(|floor| check.n <= floor).then(|| State::from_check(check)).flatten()
        };
        // First in a window that is kept, because what it holds is folded next.
        let mut window = TAIL_BYTES;
        loop {
            if let Some(start) = last_check(&self.tail.bytes, self.salt, &fits) {
                return Ok(Some(start));
            }
            if self.tail.from == 0 {
                return Ok(None);
            }
            while size.saturating_sub(window) >= self.tail.from {
                window *= 2;
            }
            if window > TAIL_BYTES_MAX {
                break;
            }
            self.tail.reach(host, &self.path, size.saturating_sub(window))?;
        }
        // Then piece by piece; a checkpoint that two pieces share is passed over for the one before.
        let mut to = self.tail.from;
        while to > 0 {
            let from = to.saturating_sub(CHUNK_BYTES);
            let bytes = read(host, &self.path, from, to)?;
            if let Some(start) = last_check(&bytes, self.salt, &fits) {
                return Ok(Some(start));
            }
            if size - from > DAMAGE_RUN_BYTES_MAX && floor.is_none() {
                break;
            }
            to = from;
        }
        Ok(None)
    }

    /// Makes sure that all messages above `floor` can be found, with everything that changes them.
    pub fn index_from(&mut self, host: &mut impl Host, floor: u64) -> Result<()> {
        if self.folded.index.floor > floor {
            let tail = std::mem::take(&mut self.tail);
            let log = Self::load_indexed(host, (&self.path, self.salt), self.limit, Some(floor), tail)?;
            let mut damage = std::mem::replace(self, log).folded.damage;
            damage.retain(|damage| !self.folded.damage.contains(damage));
            self.folded.damage.extend(damage);
            self.folded.damage.sort_unstable();
        }
        Ok(())
    }

    /// Loads a log whose first record cannot be read, as that of `session`: its facts are those of the first checkpoint,
    /// and what it inherits cannot be read.
    pub fn load_headless(host: &mut impl Host, path: &str, session: &str, generation: u32) -> Result<Self> {
        let size = host.stat(path)?;
        let (salt, tail) = (Salt::of(path), Tail::default());
        let mut log =
            Self { path: path.to_owned(), salt, limit: None, folded: Folded::default(), size, tail };
        log.folded.state = State { session: session.to_owned(), generation, ..State::default() };
        log.folded.index.whole = true;
        log.fold_to(host, size, None)?;
        Ok(log)
    }

    /// Folds the whole file, so that every operation and all damage is known.
    pub fn index_whole(&mut self, host: &mut impl Host) -> Result<()> {
        if self.folded.index.whole {
            return Ok(());
        }
        let size = limited(host.stat(&self.path)?, self.limit);
        self.folded = Folded { index: Index { whole: true, ..Index::default() }, ..Folded::default() };
        self.fold_to(host, size, None).map(|_| ())
    }

    /// The first message and the number of messages of an operation that counted, from the whole log.
    pub fn operation(&mut self, host: &mut impl Host, op: &str) -> Result<Option<(u64, u64)>> {
        self.index_whole(host)?;
        Ok(self.folded.index.ops.get(&fingerprint(op)).copied())
    }

    /// The messages up to `seq` that follow on each other, as far as the index keeps them together.
    pub fn chain(&self, seq: u64) -> Option<Chain> {
        let index = &self.folded.index;
        let gap = || index.gaps.iter().find(|gap| (gap.first..=gap.last).contains(&seq)).copied();
        let chain = index.entry(seq).map(Entry::chain).or_else(gap)?;
        Some(Chain { last: seq, ..chain })
    }

    /// All messages of the index, those that cannot be read too.
    pub fn chains(&self) -> impl Iterator<Item = Chain> + '_ {
        let index = &self.folded.index;
        index.entries.iter().map(Entry::chain).chain(index.gaps.iter().copied())
    }

    /// The numbers from `first` to `last` of the messages of this log that can be read, from the index.
    pub fn readable(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut path = Path::default();
        let within = self.folded.index.within(first, last);
        within.iter().for_each(|entry| path.extend(entry.seq, entry.seq));
        path.ranges().to_vec()
    }

    /// How many records change messages, from an index of the whole log.
    pub fn changes(&self) -> usize {
        self.folded.index.changes.values().map(Vec::len).sum()
    }

    /// The number of the message with that ULID, from the index.
    pub fn find_ulid(&self, id: u128) -> Option<u64> {
        self.folded.index.entries.iter().rfind(|entry| entry.id == id).map(|entry| entry.seq)
    }

    /// Reads the messages of `ranges`, which the index must cover. Those that cannot be read are left out.
    /// Ends early behind the message that takes the answer past `bytes_max`.
    pub fn messages(
        &self,
        host: &mut impl Host,
        ranges: &[(u64, u64)],
        bytes_max: usize,
    ) -> Result<Vec<Stored>> {
        self.read_messages(host, ranges, bytes_max, true)
    }

    /// As [`Log::messages`], as they were appended.
    pub fn originals(&self, host: &mut impl Host, ranges: &[(u64, u64)]) -> Result<Vec<Stored>> {
        self.read_messages(host, ranges, usize::MAX, false)
    }

    fn read_messages(
        &self,
        host: &mut impl Host,
        ranges: &[(u64, u64)],
        bytes_max: usize,
        changed: bool,
    ) -> Result<Vec<Stored>> {
        let index = &self.folded.index;
        let mut stored = Vec::new();
        let mut bytes = 0;
        let mut batch: Vec<Entry> = Vec::new();
        let mut batch_bytes = 0;
        for entry in ranges.iter().flat_map(|(from, to)| index.within(*from, *to)) {
            batch.push(*entry);
            batch_bytes += entry.span.len;
            if batch_bytes >= CHUNK_BYTES {
                bytes += self.read_batch(host, index, &std::mem::take(&mut batch), changed, &mut stored)?;
                batch_bytes = 0;
                if bytes >= bytes_max {
                    return Ok(stored);
                }
            }
        }
        self.read_batch(host, index, &batch, changed, &mut stored)?;
        Ok(stored)
    }

    fn read_batch(
        &self,
        host: &mut impl Host,
        index: &Index,
        batch: &[Entry],
        changed: bool,
        out: &mut Vec<Stored>,
    ) -> Result<usize> {
        let entries = batch.iter().map(|entry| entry.span);
        let changes = batch
            .iter()
            .filter(|_| changed)
            .filter_map(|entry| index.changes.get(&entry.seq))
            .flatten()
            .copied();
        let pieces = self.pieces(host, entries.chain(changes).collect())?;
        let mut bytes = 0;
        // A record with many messages is read once.
        for record in batch.chunk_by(|one, next| one.span == next.span) {
            for (json, entry) in pieces.messages(record) {
                let Entry { seq, id, parent, at: created_at, .. } = *entry;
                let mut stored =
                    Stored { seq, id, parent, created_at, updated_at: created_at, json: json.to_owned() };
                pieces.change(&mut stored, index.changes.get(&seq).filter(|_| changed), None);
                bytes += stored.json.len();
                out.push(stored);
            }
        }
        Ok(bytes)
    }

    /// Reads what lies at `spans`, what lies close together at once.
    fn pieces(&self, host: &mut impl Host, mut spans: Vec<Span>) -> Result<Pieces<'_>> {
        spans.sort_unstable_by_key(|span| span.from);
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.from <= last.from + last.len + READ_GAP_BYTES => {
                    last.len = last.len.max(span.from + span.len - last.from);
                }
                _ => merged.push(span),
            }
        }
        let mut read = |span: Span| match self.tail.piece(span) {
            Some(bytes) => Ok((span, Cow::Borrowed(bytes))),
            None => Ok((span, Cow::Owned(read(host, &self.path, span.from, span.from + span.len)?))),
        };
        merged
            .into_iter()
            .map(&mut read)
            .collect::<Result<_>>()
            .map(|pieces| Pieces { pieces, salt: self.salt })
    }

    /// The messages from `first` to `last`, which the index must cover, and where they lie. Those that cannot be read
    /// are left out. Ends early behind the record that takes the answer past `bytes_max`.
    pub fn placed(
        &self,
        host: &mut impl Host,
        (first, last): (u64, u64),
        bytes_max: usize,
    ) -> Result<Vec<(Stored, Place)>> {
        let index = &self.folded.index;
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut rest = index.within(first, last);
        while !rest.is_empty() && bytes < bytes_max {
            // Whole records, so that each is read once.
            let (mut taken, mut taken_bytes) = (0, 0);
            for record in rest.chunk_by(|one, next| one.span == next.span) {
                taken += record.len();
                taken_bytes += record.first().map_or(0, |entry| entry.span.len);
                if taken_bytes >= CHUNK_BYTES {
                    break;
                }
            }
            let Some((batch, behind)) = rest.split_at_checked(taken) else { break };
            rest = behind;
            let spans = batch.iter().flat_map(|entry| {
                std::iter::once(entry.span)
                    .chain(index.changes.get(&entry.seq).into_iter().flatten().copied())
            });
            let pieces = self.pieces(host, spans.collect())?;
            for record in batch.chunk_by(|one, next| one.span == next.span) {
                bytes += pieces.place(record, index, &mut found);
            }
        }
        Ok(found)
    }

    /// Reads a message at its place in the log at `path`. `None` where it is no longer what was there.
    pub fn read_place(host: &mut impl Host, path: &str, seq: u64, place: &Place) -> Result<Option<String>> {
        let bytes = host.read_bytes(path, place.from, u32::try_from(place.len).unwrap_or(u32::MAX))?;
        if checksum(&bytes) != place.sum {
            return Ok(None);
        }
        let Ok(json) = String::from_utf8(bytes) else { return Ok(None) };
        let (mut draft, salt) = (Draft::new(&json), Salt::of(path));
        for (from, len) in &place.changes {
            let bytes = read(host, path, *from, from + len)?;
            for line in bytes.split(|byte| *byte == b'\n') {
                match Record::parse(line, salt) {
                    Some((Record::Text(text), _)) if text.m == seq => drop(draft.push_text(&text)),
                    Some((Record::Update(update), _)) if update.m == seq => draft.update(&update),
                    Some(_) => {}
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(draft.finish()))
    }

    /// The messages that this log changes, from an index of the whole log, and the byte behind the beginning of the last
    /// record that does.
    pub fn changed(&self) -> (BTreeSet<u64>, u64) {
        let changes = &self.folded.index.changes;
        let last = changes.values().flatten().map(|span| span.from + 1).max();
        (changes.keys().copied().collect(), last.unwrap_or(0))
    }

    /// The messages that records behind `from` change, and the byte behind the beginning of the last such record.
    pub fn changed_since(&self, host: &mut impl Host, from: u64) -> Result<(BTreeSet<u64>, u64)> {
        let (mut changed, mut last) = (BTreeSet::new(), 0);
        let mut note = |record: &Record<'_>, _: Verdict, at: u64| {
            let message = match record {
                Record::Text(text) => text.m,
                Record::Update(update) => update.m,
                _ => return,
            };
            changed.insert(message);
            last = at + 1;
        };
        if from < self.folded.end {
            self.since(host, from, &mut note, &mut || false)?;
        }
        Ok((changed, last))
    }

    /// Applies to messages that a fork has inherited, up to `last`, what this log has changed of them.
    pub fn change(&self, host: &mut impl Host, stored: &mut [Stored], last: u64) -> Result<()> {
        let index = &self.folded.index;
        let changed = stored.iter().filter(|stored| stored.seq <= last);
        let spans: Vec<Span> =
            changed.filter_map(|stored| index.changes.get(&stored.seq)).flatten().copied().collect();
        let pieces = self.pieces(host, spans)?;
        for stored in stored.iter_mut().filter(|stored| stored.seq <= last) {
            pieces.change(stored, index.changes.get(&stored.seq), None);
        }
        Ok(())
    }

    /// Whether the text record that begins at `at` had its place: `stored` is the message as it was appended.
    pub fn text_applied(&self, host: &mut impl Host, mut stored: Stored, at: u64) -> Result<bool> {
        let index = &self.folded.index;
        let spans = index.changes.get(&stored.seq);
        let pieces = self.pieces(host, spans.into_iter().flatten().copied().collect())?;
        Ok(pieces.change(&mut stored, spans, Some(at)))
    }

    /// Calls `each` with every record, from the first byte on, and returns the state that they lead to where no
    /// checkpoint is asked what damage has hidden: what a rewrite would make.
    pub fn for_each(
        &self,
        host: &mut impl Host,
        each: &mut dyn FnMut(&Record<'_>, &str, Verdict),
    ) -> Result<State> {
        let mut each = |record: &Record<'_>, text: &str, verdict, _| each(record, text, verdict);
        let mut walker = Walker { state: State::default(), each: &mut each };
        let (mut from, mut limit) = (0, CHUNK_BYTES);
        while from < self.folded.end {
            let bytes = read(host, &self.path, from, self.folded.end.min(from + limit))?;
            let decided = scan(&bytes, from, self.salt, &mut walker);
            from += decided as u64;
            if decided == 0 {
                if (bytes.len() as u64) < limit {
                    break;
                }
                limit *= 4;
            }
        }
        Ok(walker.state)
    }

    /// Calls `each` with every record behind `from` and where it begins, piece by piece until it has had enough, and
    /// returns how far the pieces went.
    ///
    /// What lies before `from` costs no more than finding its last checkpoint.
    pub fn since(
        &self,
        host: &mut impl Host,
        from: u64,
        each: &mut dyn FnMut(&Record<'_>, Verdict, u64),
        enough: &mut dyn FnMut() -> bool,
    ) -> Result<u64> {
        let before = Self::load_salted(host, &self.path, self.salt, Some(from))?.folded;
        let mut pass = |record: &Record<'_>, _: &str, verdict, at| each(record, verdict, at);
        let (mut at, mut limit) = (before.end, CHUNK_BYTES);
        let mut walker = Walker { state: before.state, each: &mut pass };
        while at < self.folded.end && !enough() {
            let bytes = read(host, &self.path, at, self.folded.end.min(at + limit))?;
            let decided = scan(&bytes, at, self.salt, &mut walker);
            at += decided as u64;
            if decided == 0 {
                if (bytes.len() as u64) < limit {
                    break;
                }
                limit *= 4;
            }
        }
        Ok(at)
    }
}

/// The generations of a session that have a file, ascending.
pub fn generations(host: &mut impl Host, name: &Name) -> Result<Vec<u32>> {
    let prefix = format!("{}-", name.as_str());
    let mut generations = Vec::new();
    let mut after = prefix.clone();
    loop {
        let files = host.list(&name.directory(), &after, GENERATIONS_PAGE)?;
        let ours = files.iter().take_while(|file| file.name.starts_with(&prefix));
        generations.extend(ours.filter_map(|file| Some(Name::parse_log(&file.name)?.1)));
        match files.last() {
            Some(last) if last.name.starts_with(&prefix) => after.clone_from(&last.name),
            _ => return Ok(generations),
        }
    }
}

fn limited(size: u64, limit: Option<u64>) -> u64 {
    limit.map_or(size, |limit| size.min(limit))
}

/// Reads `from..to`, or as much of it as there is.
pub fn read(host: &mut impl Host, path: &str, from: u64, to: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut at = from;
    while at < to {
        let limit = u32::try_from(to - at).unwrap_or(u32::MAX);
        let piece = match host.read_text(path, at, limit) {
            // Only a range that begins inside a character begins later than asked. What is cut there is no record's
            // beginning, so any bytes that cannot be one may stand for it.
            Ok(text) if text.start > at && !text.data.is_empty() => {
                let cut = usize::try_from(text.start - at).unwrap_or(0).min(3);
                [[0x80; 3].get(..cut).unwrap_or_default(), text.data.as_bytes()].concat()
            }
            // The rest is a character that was cut off.
            Ok(text) if text.data.is_empty() => host.read_bytes(path, at, limit)?,
            Ok(text) => text.data.into_bytes(),
            Err(error) if error.kind == FsErrorKind::NotText => host.read_bytes(path, at, limit)?,
            Err(error) => return Err(error.into()),
        };
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        if bytes.is_empty() {
            bytes = piece;
        } else {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes)
}

/// The end of a file, from `from` on.
#[derive(Debug, Default)]
struct Tail {
    from: u64,
    bytes: Vec<u8>,
}

impl Tail {
    /// The empty end of a file of `size` bytes.
    fn at(size: u64) -> Self {
        Self { from: size, bytes: Vec::new() }
    }

    fn to(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    /// Reads what lies between `from` and what is known.
    fn reach(&mut self, host: &mut impl Host, path: &str, from: u64) -> Result<()> {
        let to = self.to();
        let mut bytes = read(host, path, from, self.from)?;
        bytes.append(&mut self.bytes);
        *self = Self { from: to.saturating_sub(bytes.len() as u64), bytes };
        Ok(())
    }

    /// The bytes from `from` on, where they are known.
    fn since(&self, from: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(from.checked_sub(self.from)?).ok()?..)
    }

    /// The bytes of `span`, where they are known.
    fn piece(&self, span: Span) -> Option<&[u8]> {
        self.since(span.from)?.get(..usize::try_from(span.len).ok()?)
    }
}

/// The last checkpoint in `bytes` that `fits`, and its state.
fn last_check(
    bytes: &[u8],
    salt: Salt,
    fits: &dyn Fn(&CheckRecord) -> Option<State>,
) -> Option<(CheckRecord, State)> {
    let marker = format!("{MARKER}check\"");
    let places: Vec<usize> = occurrences(bytes, marker.as_bytes()).collect();
    places.into_iter().rev().find_map(|place| {
        let piece = bytes.get(place..)?;
        let length = occurrences(piece, MARKER.as_bytes()).nth(1).unwrap_or(piece.len());
        let length = leading_record(piece.get(..length)?, salt)?;
        match Record::parse(piece.get(..length)?, salt)? {
            (Record::Check(check), _) => fits(&check).map(|state| (*check, state)),
            _ => None,
        }
    })
}

impl Folded {
    /// Takes up the fold at a checkpoint.
    fn resume(&mut self, state: State, check: &CheckRecord) {
        let asked = self.index.asked;
        self.index = Index { floor: state.count, base: state.count, asked, ..Index::default() };
        self.state = state;
        self.end = check.upto;
        self.line_open = false;
    }

    /// Takes a checkpoint's word for what damage has hidden before it, and goes back to where it stands.
    fn resync(&mut self, check: &CheckRecord, state: State) {
        self.index.forget_from(check.upto, &state);
        self.state = state;
        self.end = check.upto;
        self.line_open = false;
        self.unbridged = None;
        // What it stands in the midst of is met again from there on.
        self.damage.retain(|damage| damage.from < check.upto);
        self.damage.iter_mut().for_each(|damage| damage.to = damage.to.min(check.upto));
    }

    /// Folds what was read behind a checkpoint: nothing, where it tells of what lies before that.
    fn fold_buffer(&mut self, tail: &Tail, salt: Salt) {
        let bytes = tail.since(self.end).unwrap_or_default();
        let mut folder = Folder { folded: self, want: None, found: None, resync: None };
        let from = folder.folded.end;
        let decided = scan(bytes, from, salt, &mut folder);
        match folder.resync {
            Some((check, state)) => self.resync(&check, state),
            None => self.advance(bytes, decided),
        }
    }

    fn advance(&mut self, bytes: &[u8], decided: usize) {
        if let Some(last) = decided.checked_sub(1) {
            self.end += decided as u64;
            self.line_open = bytes.get(last) != Some(&b'\n');
        }
    }

    fn check_due(&self) -> bool {
        let bytes = self.end.saturating_sub(self.state.checked);
        self.state.begun()
            && bytes >= CHECK_SPACING * self.check_bytes
            && (bytes >= CHECK_BYTES || self.state.records >= CHECK_RECORDS)
    }
}

/// Folds what a scan finds.
struct Folder<'a> {
    folded: &'a mut Folded,
    want: Option<&'a str>,
    found: Option<(Verdict, u64)>,
    resync: Option<(CheckRecord, State)>,
}

impl Visitor for Folder<'_> {
    fn record(&mut self, record: &Record<'_>, text: &str, from: u64, to: u64) {
        if self.resync.is_some() {
            return;
        }
        let folded = &mut *self.folded;
        if let Record::Check(check) = record {
            folded.check_bytes = to - from;
            if check.upto > folded.state.checked
                && folded.unbridged.is_some_and(|damage| damage < check.upto)
                && let Some(state) = State::from_check(check)
            {
                self.resync = Some(((**check).clone(), state));
                return;
            }
        }
        let verdict = folded.state.apply(record, from);
        folded.index.note(&folded.state, record, text, verdict, Span { from, len: to - from });
        // Where nobody came between it is the very text that was appended.
        if self.want.is_some_and(|want| std::ptr::eq(want, text) || want == text) {
            self.found = Some((verdict, from));
        }
    }

    fn damage(&mut self, damage: Damage) {
        let folded = &mut *self.folded;
        if self.resync.is_some() || planted(Planted::SilentDamage) {
            return;
        }
        folded.unbridged = folded.unbridged.or(Some(damage.from));
        if folded.damage.len() < DAMAGE_LIST_MAX {
            folded.damage.push(damage);
        }
    }
}

/// Shows what a scan finds, and where each record begins, to somebody who keeps a state but no index.
struct Walker<'a> {
    state: State,
    each: &'a mut dyn FnMut(&Record<'_>, &str, Verdict, u64),
}

impl Visitor for Walker<'_> {
    fn record(&mut self, record: &Record<'_>, text: &str, from: u64, _: u64) {
        let verdict = self.state.apply(record, from);
        (self.each)(record, text, verdict, from);
    }

    fn damage(&mut self, _: Damage) {}
}

impl Entry {
    fn chain(&self) -> Chain {
        Chain { first: self.seq, last: self.seq, parent: self.parent }
    }
}

impl Index {
    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.within(seq, seq).first()
    }

    fn within(&self, first: u64, last: u64) -> &[Entry] {
        let from = self.entries.partition_point(|entry| entry.seq < first);
        let to = self.entries.partition_point(|entry| entry.seq <= last);
        self.entries.get(from..to).unwrap_or_default()
    }

    fn note(&mut self, state: &State, record: &Record<'_>, text: &str, verdict: Verdict, span: Span) {
        let Verdict::Counts { seq, count } = verdict else { return };
        match record {
            Record::Session(_) => self.base = state.inherited,
            Record::Append(append) => {
                self.fill(seq - 1, &state.path);
                let id = parse_ulid(&append.stamp.id).unwrap_or(0);
                for ((item, seq), within) in (0..count).zip(seq..).zip(places(append, text)) {
                    let parent = state.path.before(seq);
                    self.entries.push(Entry {
                        seq,
                        span,
                        within,
                        id: id.wrapping_add(u128::from(item)),
                        at: append.stamp.at,
                        parent,
                    });
                }
                self.trim();
            }
            Record::Text(_) | Record::Update(_) if seq > self.floor => {
                self.changes.entry(seq).or_default().push(span);
            }
            _ => {}
        }
        if let Some(op) = record.stamp().and_then(|stamp| stamp.op.as_ref())
            && self.whole
        {
            self.ops.insert(fingerprint(op), (seq, count));
        }
    }

    /// Keeps the newer half of what nobody has asked for, where it has become much.
    fn trim(&mut self) {
        if self.asked || self.whole || self.entries.len() <= INDEX_UNASKED_MAX {
            return;
        }
        let last = self.entries.drain(..INDEX_UNASKED_MAX / 2).next_back();
        self.floor = last.map_or(self.floor, |entry| entry.seq);
        let floor = self.floor;
        self.gaps.retain(|gap| gap.first > floor);
        self.changes.retain(|seq, _| *seq > floor);
    }

    /// The last number that is known here.
    fn last(&self) -> u64 {
        let entry = self.entries.last().map_or(self.base, |entry| entry.seq);
        self.gaps.last().map_or(entry, |gap| gap.last.max(entry))
    }

    /// Takes up to `count` the numbers of messages that cannot be read. Where they branched off is not known: those that
    /// are visible follow on what is visible before them, and so do those between, so that no hidden branch loses its
    /// tip to one of them.
    fn fill(&mut self, count: u64, path: &Path) {
        let parts = parts(self.last() + 1, count, path);
        self.gaps.extend(parts.map(|(first, last)| Chain { first, last, parent: path.before(first) }));
    }

    /// Forgets everything from `offset` on, where the log had come to `state`.
    fn forget_from(&mut self, offset: u64, state: &State) {
        self.entries.retain(|entry| entry.span.from < offset && entry.seq <= state.count);
        let last = self.entries.last().map_or(self.base, |entry| entry.seq);
        // A revert that damage has hidden: what is visible follows on what is visible before it.
        for gap in std::mem::take(&mut self.gaps).into_iter().filter(|gap| gap.last < last) {
            self.gaps.extend(parts(gap.first, gap.last, &state.path).map(|(first, last)| {
                let is_known = first == gap.first && !state.path.contains(first);
                Chain { first, last, parent: if is_known { gap.parent } else { state.path.before(first) } }
            }));
        }
        self.fill(state.count, &state.path);
        for (from, to) in state.path.ranges() {
            let first = self.entries.partition_point(|entry| entry.seq < *from);
            for entry in self.entries.iter_mut().skip(first).take_while(|entry| entry.seq <= *to) {
                entry.parent = if entry.seq == *from { state.path.before(*from) } else { entry.seq - 1 };
            }
        }
        self.changes.values_mut().for_each(|spans| spans.retain(|span| span.from < offset));
    }
}

/// Where the messages of a record lie in its text, which they were read from or written to.
fn places<'a>(append: &'a AppendRecord<'_>, text: &'a str) -> impl Iterator<Item = Span> + 'a {
    // As we write it, only the checksum comes behind them.
    let written: usize = append.m.iter().map(|json| json.len() + 1).sum();
    let mut next = text.len().saturating_sub(written + TRAILER_LEN);
    append.m.iter().map(move |json| {
        let skip = json.as_ptr().addr().checked_sub(text.as_ptr().addr());
        let from = skip.filter(|from| from + json.len() <= text.len()).unwrap_or(next);
        next += json.len() + 1;
        Span { from: from as u64, len: json.len() as u64 }
    })
}

/// The numbers from `first` to `last`, cut where what is visible begins and ends.
fn parts(first: u64, last: u64, path: &Path) -> impl Iterator<Item = (u64, u64)> {
    let visible = path.from(first, u64::MAX).into_iter().take_while(move |(from, _)| *from <= last);
    let mut next = first;
    let parts = visible.chain([(last + 1, last)]).flat_map(move |(from, to)| {
        let hidden = (next, from - 1);
        next = to + 1;
        [hidden, (from, to.min(last))]
    });
    parts.filter(|(from, to)| from <= to)
}

/// Pieces of a file that were read together.
struct Pieces<'a> {
    pieces: Vec<(Span, Cow<'a, [u8]>)>,
    salt: Salt,
}

impl Pieces<'_> {
    /// Adds the messages of one record, with their changes and where they lie. Returns how many bytes they have.
    fn place(&self, entries: &[Entry], index: &Index, out: &mut Vec<(Stored, Place)>) -> usize {
        let mut bytes = 0;
        for (json, entry) in self.messages(entries) {
            let Entry { seq, span, within, id, parent, at: created_at } = *entry;
            let mut stored =
                Stored { seq, id, parent, created_at, updated_at: created_at, json: json.to_owned() };
            let spans = index.changes.get(&seq);
            self.change(&mut stored, spans, None);
            bytes += stored.json.len();
            let place = Place {
                from: span.from + within.from,
                len: within.len,
                sum: checksum(json.as_bytes()),
                changes: joined(spans.into_iter().flatten()),
            };
            out.push((stored, place));
        }
        bytes
    }

    /// The messages of one record as they were appended. Those that cannot be read are left out.
    fn messages<'a>(&self, entries: &'a [Entry]) -> Vec<(&str, &'a Entry)> {
        let Some((text, is_folded)) = entries.first().and_then(|entry| self.text(entry.span)) else {
            return Vec::new();
        };
        // What was folded from these very bytes is where the fold found it.
        let mut is_there: Box<dyn Fn(&Entry) -> bool> = Box::new(|_| true);
        if !is_folded {
            let Record::Append(append) = Record::of_checked(text) else { return Vec::new() };
            let places: Vec<Span> = places(&append, text).collect();
            is_there = Box::new(move |entry| places.binary_search(&entry.within).is_ok());
        }
        let there = entries.iter().filter(|entry| is_there(entry));
        there.filter_map(|entry| Some((entry.within.of(text)?, entry))).collect()
    }

    /// Applies the records at `spans` to a message. Returns whether the text record that begins at `watched` applied.
    fn change(&self, stored: &mut Stored, spans: Option<&Vec<Span>>, watched: Option<u64>) -> bool {
        let Some(spans) = spans else { return false };
        let mut draft = Draft::new(&stored.json);
        let mut applied = false;
        for span in spans {
            match self.record(*span) {
                Some(Record::Text(text)) => {
                    let fits = draft.push_text(&text);
                    applied |= fits && watched == Some(span.from);
                }
                Some(Record::Update(update)) => {
                    stored.updated_at = stored.updated_at.max(update.stamp.at);
                    draft.update(&update);
                }
                _ => {}
            }
        }
        stored.json = draft.finish();
        applied
    }

    fn record(&self, span: Span) -> Option<Record<'_>> {
        self.text(span).map(|(text, _)| Record::of_checked(text))
    }

    /// The text of the record at `span`, and whether it is what was folded: that is still in memory and was checked then,
    /// everything else is checked now.
    fn text(&self, span: Span) -> Option<(&str, bool)> {
        let place = self.pieces.partition_point(|(piece, _)| piece.from <= span.from).checked_sub(1)?;
        let (piece, piece_bytes) = self.pieces.get(place)?;
        let skip = usize::try_from(span.from - piece.from).ok()?;
        let bytes = piece_bytes.get(skip..skip.checked_add(usize::try_from(span.len).ok()?)?)?;
        match piece_bytes {
            Cow::Borrowed(_) => Some((std::str::from_utf8(bytes).ok()?, true)),
            Cow::Owned(_) => Some((verify(bytes, self.salt)?, false)),
        }
    }
}

/// Records that follow on each other, as ranges.
fn joined<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for span in spans {
        match ranges.last_mut() {
            Some((from, len)) if *from + *len + 1 == span.from => *len += span.len + 1,
            _ => ranges.push((span.from, span.len)),
        }
    }
    ranges
}

/// Borrows a minified text as raw JSON.
pub fn raw(text: &str) -> Result<&RawValue> {
    serde_json::from_str(text)
        .map_err(|_| Error::internal("minified JSON does not parse; please report this"))
}
