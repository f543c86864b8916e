//! The store: sessions by id, over any host.
//!
//! Owns the cache of logs, the way from an id to the log that holds it now, and the loop around every write. What
//! single calls do stands in the sibling files. Nothing here is needed after a crash: the files are the truth.

mod doctor;
mod facts;
mod forks;
mod heads;
mod lists;
pub(crate) mod messages;
mod rewrite;
mod salvage;
mod tables;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::{
    Appended as AppendedMessages, Branch, ForkOptions, ListQuery, MessageChange, MessageRef, OpenOptions,
    Page, Rewritten, Select, SessionPage, Sessions, WriteOptions,
};
use crate::catalogue::Catalogue;
use crate::facts::{NewSession, Session, SessionPatch};
use crate::fold::{End, Reason, Verdict};
use crate::host::{Durability, FsErrorKind, Host};
use crate::id::{Name, SYSTEM_PREFIX, check_id, ulid, ulid_text};
use crate::limits::{NUMBER_MAX, check_number};
use crate::log::{Appended, Log};
use crate::planted::{Planted, planted};
use crate::record::{AppendRecord, Record, Segment, Stamp};
use crate::search::Index;
use crate::table::Refusal;
use crate::{Error, ErrorKind, Result};

pub(crate) use tables::{Draft, PURGED_USAGE, USAGE, View, inbox, key_of, outbox, queue_of, system};

/// The version of the format that this code writes.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The file that says what the directory is.
const MARKER_PATH: &str = "sessile.json";
/// How often a write is tried against others who come first each time.
const ATTEMPTS: u32 = 32;
/// The most logs that are kept folded ...
const CACHE_LOGS_MAX: usize = 64;
/// ... and the most index entries of all of them together (some 64 bytes each).
const CACHE_WEIGHT_MAX: usize = 500_000;
/// A writer says again that it writes after so long.
const MARK_AGAIN_MS: u64 = 3_600_000;

/// A store over a host.
#[derive(Debug)]
pub struct Store<H> {
    pub(crate) host: H,
    read_only: bool,
    /// What is wrong with the format marker.
    marker: Option<&'static str>,
    /// This instance's name in the catalogue.
    writer: String,
    cache: BTreeMap<Name, Cached>,
    ticks: u64,
    pub(crate) catalogue: Catalogue,
    /// What is known of the index of words.
    pub(crate) search: Index,
}

/// A session that was used recently.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) log: Log,
    /// What a fork begins with, once it was read.
    beginning: Option<Beginning>,
    /// The message whose text grew last: its number, the part, the text's length, and the end of the log then.
    growing: Option<(u64, u64, u64, u64)>,
    /// Whether this instance has written here, and when it has last said so in the catalogue.
    written: bool,
    marked_at: Option<u64>,
    /// Whether this instance has appended what may not be on the disk yet.
    unsynced: bool,
    /// Whether what is read is written anew, so that nothing may be passed over.
    pub(crate) is_copied: bool,
    used: u64,
}

/// What a session begins with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginning {
    /// Where its inherited messages lie.
    pub(crate) from: Vec<Segment>,
    /// Whose changes of them apply.
    pub(crate) over: Vec<Segment>,
}

impl Cached {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            log,
            beginning: None,
            growing: None,
            written: false,
            marked_at: None,
            unsynced: false,
            is_copied: false,
            used: 0,
        }
    }
}

/// The content of the format marker.
#[derive(Serialize, Deserialize)]
struct Marker {
    format: String,
    version: u32,
    /// The lowest version of this format's readers that read it right.
    reader: u32,
}

/// How current a log has to be for what is done with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// As of this call.
    Fresh,
    /// The same, and so many of the last messages will be read.
    Last(u64),
    /// As of any earlier look: the fold decides later whether it was good enough.
    Cached,
}

/// What is done with a log whose rewrite has begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    /// Readers read it: it holds everything.
    Read,
    /// Writers finish the rewrite.
    Finish,
}

/// What a write did.
pub(crate) struct Written {
    pub(crate) seq: u64,
    pub(crate) count: u64,
    /// Where the record lies; `None` where the operation had been done before.
    pub(crate) offset: Option<u64>,
    /// See [`crate::log::Decided::alone`].
    pub(crate) alone: bool,
    pub(crate) id: String,
}

/// A write before it happens.
enum Prepared<'a> {
    /// The operation has been done: its first message and how many.
    Repeated(u64, u64),
    /// The record to append, its id, and when that was.
    Plan(Plan<'a>, (String, u64)),
}

impl<H: Host> Store<H> {
    /// Opens the store in the host's root, or makes one there.
    ///
    /// Guarantee: damage that can be named does not prevent opening; opening a store that is there writes nothing, unless
    /// the retention policy that it keeps is to be applied then.
    /// Errors: `not-found` (read-only, and there is none), `unsupported` (a newer format), `unavailable`.
    pub fn open(mut host: H, options: OpenOptions) -> Result<Self> {
        let writer = ulid_text(ulid(host.now_ms(), host.random()));
        let mut store = Self {
            host,
            read_only: options.read_only,
            marker: None,
            writer,
            cache: BTreeMap::new(),
            ticks: 0,
            catalogue: Catalogue::default(),
            search: Index::default(),
        };
        match store.host.read_bytes(MARKER_PATH, 0, 4096) {
            Ok(bytes) => store.check_marker(&bytes)?,
            // Whoever made the store may have died before the disk had the marker: the catalogue comes before it.
            Err(error)
                if error.kind == FsErrorKind::NotFound
                    && options.read_only
                    && store.catalogue.load(&mut store.host)? => {}
            Err(error) if error.kind == FsErrorKind::NotFound && options.read_only => {
                return Err(Error::not_found("there is no store here; open it for writing once to make one"));
            }
            Err(error) if error.kind == FsErrorKind::NotFound => store.make()?,
            Err(error) => return Err(error.into()),
        }
        if !store.is_read_only() {
            crate::operations::retention::on_open(&mut store);
        }
        Ok(store)
    }

    fn make(&mut self) -> Result<()> {
        // The catalogue first: a store with a marker and without one would have to look through all sessions.
        self.catalogue.make(&mut self.host)?;
        match self.host.create(MARKER_PATH, &marker_text()?) {
            Err(error) if error.kind != FsErrorKind::Exists => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn check_marker(&mut self, bytes: &[u8]) -> Result<()> {
        match serde_json::from_slice::<Marker>(bytes) {
            Ok(marker) if marker.format == "sessile" && marker.reader > FORMAT_VERSION => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the store has format {}; this version reads format {FORMAT_VERSION}; upgrade sessile",
                    marker.version
                ),
            )),
            Ok(marker) if marker.format == "sessile" => {
                if marker.version > FORMAT_VERSION {
                    self.read_only = true;
                    self.marker =
                        Some("written by a newer version: readable, never written by this one; upgrade");
                }
                Ok(())
            }
            // Whatever version it names can no longer be known, so nothing is written; everything readable is read.
            _ => {
                self.marker = Some("not readable, so nothing is written; doctor with repair makes it anew");
                Ok(())
            }
        }
    }

    /// Puts a marker in place of one that cannot be read, so that the store can be written to again.
    fn repair_marker(&mut self) -> Result<()> {
        self.host.replace(MARKER_PATH, &marker_text()?)?;
        self.marker = None;
        Ok(())
    }

    /// Whether writes are refused: asked for so, a newer format, or a damaged format marker.
    pub fn is_read_only(&self) -> bool {
        self.read_only || self.marker.is_some()
    }

    /// The host.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// Gives the host back. Says nothing to the catalogue: [`Sessions::close`] does.
    pub fn into_host(self) -> H {
        self.host
    }

    pub(crate) fn writable(&self) -> Result<()> {
        if self.read_only || self.marker.is_some() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the store is open read-only (asked for so, a newer format or a damaged format marker); run doctor to see which",
            ));
        }
        Ok(())
    }

    /// Runs `act` on a session's log, again where the log is rewritten and removed meanwhile. The log is out of the
    /// cache during that, so that `act` can use the store.
    pub(crate) fn with<T>(
        &mut self,
        id: &str,
        look: Look,
        mut act: impl FnMut(&mut Self, &mut Cached) -> Result<T>,
    ) -> Result<T> {
        let name = Name::of(id)?;
        let mut look = look;
        for _ in 0..ATTEMPTS {
            let mut cached = self.locate(&name, id, look, Unfinished::Read)?;
            let result = act(self, &mut cached);
            look = Look::Fresh;
            if result.is_err() && self.is_gone(&cached) {
                continue;
            }
            self.keep(name, cached);
            return result;
        }
        Err(Error::conflict(format!("session {id} is being rewritten again and again; retry later")))
    }

    /// Whether a log's file is no longer there.
    fn is_gone(&mut self, cached: &Cached) -> bool {
        matches!(self.host.stat(cached.log.path()), Err(error) if error.kind == FsErrorKind::NotFound)
    }

    fn keep(&mut self, name: Name, mut cached: Cached) {
        self.ticks += 1;
        cached.used = self.ticks;
        cached.log.forget_tail();
        self.cache.insert(name, cached);
        while self.cache.len() > CACHE_LOGS_MAX
            || (self.cache.len() > 1
                && self.cache.values().map(|cached| cached.log.weight()).sum::<usize>() > CACHE_WEIGHT_MAX)
        {
            let oldest =
                self.cache.iter().min_by_key(|(_, cached)| cached.used).map(|(name, _)| name.clone());
            let Some(cached) = oldest.and_then(|name| self.cache.remove(&name)) else { break };
            self.settle(&cached);
        }
    }

    /// Tells the catalogue what is known of a session that this instance has written. Never fails: the catalogue
    /// is derived, and the session stays marked as open there.
    fn settle(&mut self, cached: &Cached) {
        // What is said here must not be lost later: an entry that knows more than the log would stay wrong for ever.
        let durable = !cached.unsynced || self.host.sync(cached.log.path()).is_ok();
        if cached.written && durable && !cached.log.state().session.starts_with(SYSTEM_PREFIX) {
            let entry = crate::catalogue::entry(&cached.log, Some(&self.writer));
            let now = self.host.now_ms();
            let _ = self.catalogue.put(&mut self.host, now, &entry);
        }
    }

    fn locate(&mut self, name: &Name, id: &str, look: Look, unfinished: Unfinished) -> Result<Cached> {
        let known = self.cache.remove(name);
        let (written, marked_at, unsynced) = known
            .as_ref()
            .map_or((false, None, false), |cached| (cached.written, cached.marked_at, cached.unsynced));
        if let Some(mut cached) = known {
            let there = look == Look::Cached || cached.log.refresh(&mut self.host)?;
            if there && cached.log.state().end.is_none() && cached.log.state().session == id {
                return Ok(cached);
            }
        }
        let last = if let Look::Last(count) = look { count } else { 0 };
        let log = self.current(name, id, last, unfinished)?;
        Ok(Cached { written, marked_at, unsynced, ..Cached::new(log) })
    }

    /// Finishes a rewrite of the session that somebody has begun.
    fn finish(&mut self, id: &str) -> Result<()> {
        let name = Name::of(id)?;
        let cached = self.locate(&name, id, Look::Fresh, Unfinished::Finish)?;
        self.keep(name, cached);
        Ok(())
    }

    /// Finds the log that holds a session now, of which the `last` messages will be read.
    fn current(&mut self, name: &Name, id: &str, last: u64, unfinished: Unfinished) -> Result<Log> {
        // Nearly always the first generation, and it has not ended.
        let mut generation = 1;
        for _ in 0..ATTEMPTS {
            let log = match Log::load_last(&mut self.host, &name.log(generation), last) {
                Err(error) if error.kind == ErrorKind::NotFound && generation == 1 => None,
                Err(error) if error.kind == ErrorKind::NotFound => {
                    generation = 1;
                    continue;
                }
                loaded => Some(loaded?),
            };
            match log.as_ref().map(|log| (log.state().begun(), log.state().session == id, log.state().end)) {
                Some((false, ..)) => {
                    return Err(Error::damaged(format!(
                        "session {id} has no readable beginning in {}; run doctor",
                        name.log(generation)
                    )));
                }
                Some((_, false, _)) => {
                    return Err(Error::damaged(format!(
                        "{} holds another session than {id}; run doctor",
                        name.log(generation)
                    )));
                }
                Some((.., Some(End::Purged))) => return Err(missing(id)),
                Some((.., None)) => return log.ok_or_else(|| missing(id)),
                _ => {}
            }
            // It has ended, or the first generation is gone: the highest one that there is holds the session.
            let highest = self.generations(name)?.last().copied();
            match (highest, log) {
                (None, _) => return Err(missing(id)),
                (Some(highest), Some(log)) if highest == generation => {
                    if unfinished == Unfinished::Read && !planted(Planted::ReaderWrites) {
                        return Ok(log);
                    }
                    self.finish_rewrite(name, log)?;
                    generation += 1;
                }
                (Some(highest), _) => generation = highest,
            }
        }
        Err(Error::conflict(format!("session {id} is being rewritten again and again; retry later")))
    }

    /// See [`crate::log::generations`].
    pub(crate) fn generations(&mut self, name: &Name) -> Result<Vec<u32>> {
        crate::log::generations(&mut self.host, name)
    }

    /// Appends the record that `make` gives, again and again until the fold has decided on it for good.
    pub(crate) fn write<'a>(
        &mut self,
        id: &str,
        options: &WriteOptions,
        look: Look,
        make: &mut dyn FnMut(&mut Self, &mut Cached, Stamp<'static>) -> Result<Plan<'a>>,
    ) -> Result<Written> {
        self.writable()?;
        options.op.as_deref().map_or(Ok(()), |op| check_id("operation id", op))?;
        check_number("a head", options.expect_head)?;
        if options.at.is_some_and(|at| at > NUMBER_MAX) {
            return Err(Error::invalid("the time is past 2^53 ms; give milliseconds since 1970"));
        }
        let name = Name::of(id)?;
        let mut look = look;
        for _ in 0..ATTEMPTS {
            let mut cached = self.locate(&name, id, look, Unfinished::Finish)?;
            let step = match self.prepare(options, &mut cached, make) {
                // Found in a log that may have been purged since.
                Ok(Prepared::Repeated(..)) if look == Look::Cached => Ok(None),
                Ok(Prepared::Repeated(seq, count)) => self.repeated(options, &cached, seq, count),
                Ok(Prepared::Plan(plan, record_id)) => self.commit(id, options, &mut cached, plan, record_id),
                // What was known of the session was too old to decide on.
                Err(error)
                    if look == Look::Cached
                        && matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) =>
                {
                    Ok(None)
                }
                Err(_) if self.is_gone(&cached) => Ok(None),
                Err(error) => Err(error),
            };
            self.keep(name.clone(), cached);
            if let Some(written) = step? {
                return Ok(written);
            }
            look = Look::Fresh;
        }
        Err(Error::conflict(format!(
            "others write to session {id} all the time; retry later with the same operation id"
        )))
    }

    /// Finds out whether the operation is new, and makes its record.
    fn prepare<'a>(
        &mut self,
        options: &WriteOptions,
        cached: &mut Cached,
        make: &mut dyn FnMut(&mut Self, &mut Cached, Stamp<'static>) -> Result<Plan<'a>>,
    ) -> Result<Prepared<'a>> {
        if let Some(op) = &options.op
            && !planted(Planted::RepeatedAgain)
            && let Some((seq, count)) = cached.log.operation(&mut self.host, op)?
        {
            return Ok(Prepared::Repeated(seq, count));
        }
        let now = self.host.now_ms();
        let id = ulid_text(ulid(now, self.host.random()));
        let (op, head) = (options.op.clone().map(Into::into), options.expect_head);
        let stamp =
            Stamp { id: id.clone().into(), at: options.at.unwrap_or(now), b: cached.log.end(), op, head };
        make(self, cached, stamp).map(|plan| Prepared::Plan(plan, (id, now)))
    }

    /// Appends a record. `None` where it must be made anew for what the log is now.
    fn commit(
        &mut self,
        id: &str,
        options: &WriteOptions,
        cached: &mut Cached,
        plan: Plan<'_>,
        (record_id, now): (String, u64),
    ) -> Result<Option<Written>> {
        self.mark(id, now, cached);
        // Before the append: whatever becomes of it, bytes may be in the file.
        (cached.written, cached.unsynced) = (true, true);
        let decided = match plan.append(&mut self.host, &mut cached.log, options)? {
            Appended::Decided(decided) => decided,
            Appended::Gone => return Ok(None),
        };
        cached.unsynced &= options.durability == Durability::Buffered;
        match decided.verdict {
            Verdict::Counts { seq, count } => Ok(Some(Written {
                seq,
                count,
                offset: Some(decided.offset),
                alone: decided.alone,
                id: record_id,
            })),
            Verdict::Rejected(Reason::Repeated { seq, count }) => self.repeated(options, cached, seq, count),
            Verdict::Rejected(Reason::Stale | Reason::Ended(_) | Reason::Table(Refusal::Version)) => Ok(None),
            Verdict::Rejected(reason) => Err(rejected(id, reason)),
            Verdict::Passive => Err(Error::internal("a record was passed over; please report this")),
        }
    }

    /// An operation that had been done before: its record may not be on the disk yet. `None` where the log is gone.
    fn repeated(
        &mut self,
        options: &WriteOptions,
        cached: &Cached,
        seq: u64,
        count: u64,
    ) -> Result<Option<Written>> {
        let synced = match options.durability {
            Durability::Synced => self.host.sync(cached.log.path()),
            Durability::Buffered => Ok(()),
        };
        match synced {
            Ok(()) => Ok(Some(Written { seq, count, offset: None, alone: false, id: String::new() })),
            Err(error) if error.kind == FsErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says in the catalogue, durably and before the first write, that this instance writes to the session.
    fn mark(&mut self, id: &str, now: u64, cached: &mut Cached) {
        // The catalogue lists sessions, and none of the store's own logs.
        if id.starts_with(SYSTEM_PREFIX) {
            return;
        }
        if cached.marked_at.is_some_and(|at| now.saturating_sub(at) < MARK_AGAIN_MS) {
            return;
        }
        // A catalogue that cannot be written never stops a write: doctor finds what it lacks.
        if self.catalogue.open(&mut self.host, id, &self.writer, now).is_ok() {
            cached.marked_at = Some(now);
        }
    }

    /// The session as callers see it.
    fn session(&self, cached: &Cached) -> Session {
        crate::catalogue::session(&crate::catalogue::entry(&cached.log, None))
    }
}

/// A record to append.
pub(crate) enum Plan<'a> {
    /// Messages, which the caller has.
    Append(AppendRecord<'a>),
    /// A record that owns what it holds, as [`Record::text`] has it.
    Made(String),
}

impl Plan<'static> {
    pub(crate) fn of(record: &Record<'_>) -> Self {
        Self::Made(record.text())
    }
}

impl Plan<'_> {
    fn append(self, host: &mut impl Host, log: &mut Log, options: &WriteOptions) -> Result<Appended> {
        match self {
            Self::Append(mut record) => {
                while planted(Planted::BatchInPieces) && record.m.len() > 1 {
                    let (stamp, m) = (record.stamp.clone(), vec![record.m.remove(0)]);
                    let piece = AppendRecord { stamp, m, ..record };
                    log.append(host, options.durability, &Record::Append(piece))?;
                }
                log.append(host, options.durability, &Record::Append(record))
            }
            Self::Made(text) => match Record::of_checked(&text) {
                Record::Unknown => {
                    Err(Error::internal("a record of ours does not parse; please report this"))
                }
                record => log.append(host, options.durability, &record),
            },
        }
    }
}

fn marker_text() -> Result<String> {
    let marker = Marker { format: "sessile".into(), version: FORMAT_VERSION, reader: FORMAT_VERSION };
    serde_json::to_string(&marker).map(|text| text + "\n").map_err(|error| Error::internal(error.to_string()))
}

pub(crate) fn missing(id: &str) -> Error {
    Error::not_found(format!("no session {id}; list shows what there is"))
}

fn rejected(id: &str, reason: Reason) -> Error {
    match reason {
        Reason::Head { actual } => {
            Error::conflict(format!("the head of session {id} is {actual}; read it again and decide"))
        }
        Reason::Trashed => Error::conflict(format!("session {id} is in the trash; restore it first")),
        Reason::NotTrashed => Error::conflict(format!("session {id} is not in the trash; trash it first")),
        Reason::NoTarget => {
            Error::conflict(format!("session {id} has changed meanwhile; read it again and decide"))
        }
        Reason::Table(Refusal::Overflow) => {
            let whose =
                if id.starts_with(SYSTEM_PREFIX) { "the store".into() } else { format!("session {id}") };
            Error::invalid(format!("a sum of {whose} would be no finite number; reset it first"))
        }
        other => Error::internal(format!("session {id}: unexpected decision {other:?}; please report this")),
    }
}

impl<H: Host> Sessions for Store<H> {
    fn create(&mut self, new: &NewSession) -> Result<Session> {
        self.create_session(new)
    }

    fn get(&mut self, id: &str) -> Result<Session> {
        check_id("session id", id)?;
        self.with(id, Look::Fresh, |store, cached| Ok(store.session(cached)))
    }

    fn update(&mut self, id: &str, patch: &SessionPatch, options: &WriteOptions) -> Result<Session> {
        check_id("session id", id)?;
        self.update_facts(id, patch, options)
    }

    fn touch(&mut self, id: &str) -> Result<Session> {
        check_id("session id", id)?;
        self.touch_session(id)
    }

    fn trash(&mut self, id: &str) -> Result<Session> {
        check_id("session id", id)?;
        self.set_trashed(id, true)
    }

    fn restore(&mut self, id: &str) -> Result<Session> {
        check_id("session id", id)?;
        self.set_trashed(id, false)
    }

    fn purge(&mut self, id: &str) -> Result<()> {
        check_id("session id", id)?;
        self.purge_session(id)
    }

    fn append(&mut self, id: &str, messages: &str, options: &WriteOptions) -> Result<AppendedMessages> {
        check_id("session id", id)?;
        self.append_behind(id, None, messages, options)
    }

    fn update_message(
        &mut self,
        id: &str,
        message: &MessageRef,
        change: &MessageChange,
        options: &WriteOptions,
    ) -> Result<u64> {
        check_id("session id", id)?;
        self.change_message(id, message, change, options)
    }

    fn sync(&mut self, id: &str) -> Result<()> {
        check_id("session id", id)?;
        self.writable()?;
        self.with(id, Look::Fresh, |store, cached| Ok(store.host.sync(cached.log.path())?))
    }

    fn read(&mut self, id: &str, select: &Select) -> Result<Page> {
        check_id("session id", id)?;
        self.read_page(id, select)
    }

    fn fork(&mut self, id: &str, options: &ForkOptions) -> Result<Session> {
        check_id("session id", id)?;
        self.fork_session(id, options)
    }

    fn detach(&mut self, id: &str) -> Result<Rewritten> {
        check_id("session id", id)?;
        self.rewrite(id, crate::record::Rewrite::Detach)
    }

    fn compact(&mut self, id: &str) -> Result<Rewritten> {
        check_id("session id", id)?;
        self.rewrite(id, crate::record::Rewrite::Compact)
    }

    fn revert(
        &mut self,
        id: &str,
        to: &MessageRef,
        inclusive: bool,
        options: &WriteOptions,
    ) -> Result<Session> {
        check_id("session id", id)?;
        self.revert_to(id, to, inclusive, options)
    }

    fn unrevert(&mut self, id: &str, options: &WriteOptions) -> Result<Session> {
        check_id("session id", id)?;
        self.undo_revert(id, options)
    }

    fn switch(&mut self, id: &str, to: &MessageRef, options: &WriteOptions) -> Result<Session> {
        check_id("session id", id)?;
        self.switch_to(id, to, options)
    }

    fn branches(&mut self, id: &str) -> Result<Vec<Branch>> {
        check_id("session id", id)?;
        self.list_branches(id)
    }

    fn list(&mut self, query: &ListQuery) -> Result<SessionPage> {
        self.list_sessions(query)
    }

    fn resolve(&mut self, text: &str, scope: Option<&str>) -> Result<Session> {
        self.resolve_session(text, scope)
    }

    fn doctor(&mut self, repair: bool) -> Result<String> {
        self.examine(repair)
    }

    fn operate(&mut self, name: &str, request: &str) -> Result<String> {
        crate::operations::operate(self, name, request)
    }

    fn close(&mut self) -> Result<()> {
        let mut cached: Vec<Cached> = std::mem::take(&mut self.cache).into_values().collect();
        // In the order of use, so that two runs of the same calls write the same bytes.
        cached.sort_unstable_by_key(|cached| cached.used);
        cached.iter().for_each(|cached| self.settle(cached));
        Ok(())
    }
}
