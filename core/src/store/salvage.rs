//! Salvage: everything that can be read of a damaged session, as a new one without damage.
//!
//! The new log is made in memory and created whole, so it is there completely or not at all. Its id follows from what
//! was read, so that whoever does not know whether he was through makes no second copy. The damaged one is only read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::rewrite::{REWRITE_BYTES_MAX, Writer};
use super::{Beginning, Cached, Store, missing};
use crate::api::Sessions;
use crate::facts::{Facts, Session, Status};
use crate::fold::{End, State};
use crate::host::Host;
use crate::id::{Name, check_id, fingerprint, ulid, ulid_text};
use crate::json::{self, Json, quote};
use crate::limits::{METADATA_BYTES_MAX, PAGE_BYTES};
use crate::log::{Log, Stored};
use crate::path::Path;
use crate::record::Why;
use crate::table::{Change, Table, raw_values};
use crate::{Error, ErrorKind, Result};

/// Rows of attachments: their files must not go because the new session does not name them.
const ATTACHMENT: &str = "attachment/";

/// What salvage has done.
pub(crate) struct Salvage {
    /// The new session.
    pub(crate) session: Session,
    /// Whether it was there already.
    pub(crate) repeated: bool,
    /// How many messages it was given.
    pub(crate) carried: u64,
    /// Numbers, in the damaged session, of messages that cannot be read.
    pub(crate) unreadable: Vec<(u64, u64)>,
    /// Ranges of bytes of its log that hold no record.
    pub(crate) damage: Vec<(u64, u64)>,
}

/// The note in the metadata of a session that was salvaged.
#[derive(Deserialize)]
struct Noted {
    salvaged: Note,
}

#[derive(Deserialize)]
struct Note {
    /// Stands for the damaged session as it was then.
    of: String,
}

impl<H: Host> Store<H> {
    pub(crate) fn salvage(
        &mut self,
        id: &str,
        generation: Option<u32>,
        new: Option<&str>,
    ) -> Result<Salvage> {
        self.writable()?;
        new.map_or(Ok(()), |new| check_id("session id", new))?;
        let mut cached = Cached::new(self.damaged_log(id, generation)?);
        match self.beginning(&mut cached) {
            // What it inherits has gone with its first record.
            Err(error) if error.kind == ErrorKind::Damaged => cached.beginning = Some(Beginning::default()),
            beginning => drop(beginning?),
        }
        let unreadable = self.unreadable(&mut cached)?;
        let damage = cached.log.damage().iter().map(|damage| (damage.from, damage.to)).collect();
        let readable = Readable::of(cached.log.state().count, &unreadable);
        let of = stands_for(&cached.log, &unreadable);
        let new = new.map_or_else(|| of.clone(), str::to_owned);
        let (session, repeated) = match self.salvaged_before(&new, &of)? {
            Some(session) => (session, true),
            None => {
                let text = self.salvaged_text(id, &new, &of, &readable, &mut cached)?;
                let now = self.host.now_ms();
                match self.place(&new, &text, now) {
                    // Somebody else is at it as well.
                    Err(error) if error.kind == ErrorKind::Conflict => {
                        (self.salvaged_before(&new, &of)?.ok_or(error)?, true)
                    }
                    placed => (placed?, false),
                }
            }
        };
        Ok(Salvage { session, repeated, carried: readable.count(), unreadable, damage })
    }

    /// The session that an earlier salvage of the same has made.
    fn salvaged_before(&mut self, new: &str, of: &str) -> Result<Option<Session>> {
        if self.generations(&Name::of(new)?)?.is_empty() {
            return Ok(None);
        }
        self.collect_purged(new)?;
        let session = match self.get(new) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            session => session?,
        };
        let metadata = session.facts.metadata.as_ref().map_or("", Json::as_str);
        match serde_json::from_str::<Noted>(metadata) {
            Ok(noted) if noted.salvaged.of == of => Ok(Some(session)),
            _ => Err(Error::conflict(format!(
                "there is a session {new} already, and it was not salvaged of this; choose another id"
            ))),
        }
    }

    /// The log to salvage: the one that readers come to, or where none does, one that is not named for its session.
    fn damaged_log(&mut self, id: &str, generation: Option<u32>) -> Result<Log> {
        let name = Name::of(id)?;
        let mut there = self.generations(&name)?;
        there.retain(|there| generation.is_none_or(|wanted| wanted == *there));
        let highest = there.last().copied();
        for generation in there.first().copied().into_iter().chain(highest) {
            let log = self.load_whole(&name.log(generation), id, generation)?;
            match log.state().end {
                _ if log.state().session != id => {}
                Some(End::Purged) => return Err(missing(id)),
                Some(End::Sealed(_)) if Some(generation) != highest => {}
                _ => return Ok(log),
            }
        }
        let mut astray = None;
        self.each_log(&mut |store, other, generation, path| {
            if astray.is_none() && *other != name && !other.is_system() {
                let salt = store.salt_of_file(path)?;
                let is_it = match Log::load_salted(&mut store.host, path, salt, None) {
                    Err(error) if error.kind == ErrorKind::Damaged => false,
                    log => log.map(|log| log.state().session == id && log.state().end.is_none())?,
                };
                astray = is_it.then(|| (path.to_owned(), generation));
            }
            Ok(())
        })?;
        let (path, generation) = astray.ok_or_else(|| missing(id))?;
        self.load_whole(&path, id, generation)
    }

    /// Folds a whole log, also one whose first record cannot be read: its name says whose it is.
    fn load_whole(&mut self, path: &str, id: &str, generation: u32) -> Result<Log> {
        let salt = self.salt_of_file(path)?;
        let mut log = Log::load_salted(&mut self.host, path, salt, None)?;
        log.index_whole(&mut self.host)?;
        if self.read_beginning(path)?.is_none() && !log.for_each(&mut self.host, &mut |_, _, _| {})?.begun() {
            return Log::load_headless(&mut self.host, path, id, generation);
        }
        Ok(log)
    }

    /// The log of the new session.
    fn salvaged_text(
        &mut self,
        id: &str,
        new: &str,
        of: &str,
        readable: &Readable,
        cached: &mut Cached,
    ) -> Result<String> {
        let state = cached.log.state().clone();
        let path = readable.path(&state.path);
        let target = State {
            session: new.to_owned(),
            count: readable.count(),
            undo: state.undo.as_ref().map(|undo| readable.path(undo)).filter(|undo| *undo != path),
            path,
            facts: facts(id, of, &state)?,
            table: attachments(&state.table),
            ..State::default()
        };
        let mut writer = Writer::begin(&target, Beginning::default())?;
        let (mut from, mut last) = (1, 0);
        while from <= state.count {
            let page = self.stored(cached, &readable.next(from, PAGE_MESSAGES), PAGE_BYTES)?;
            let Some(end) = page.last().map(|stored| stored.seq) else { break };
            for stored in page {
                if stored.parent != last {
                    let path = self.path_to(cached, stored.parent)?;
                    writer.go_to(&readable.path(&path), Why::Branch)?;
                }
                last = stored.seq;
                writer.message(&Stored { seq: writer.count() + 1, ..stored })?;
            }
            if writer.bytes() > REWRITE_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "session {id} is too large to be salvaged at once: at most {REWRITE_BYTES_MAX} bytes; read it in pages and append them to a new one"
                )));
            }
            from = end + 1;
        }
        writer.end(&target)
    }
}

/// How many messages are read at once.
const PAGE_MESSAGES: u64 = 1000;

/// The messages that can be read, and their numbers in the new session: without gaps, in the same order.
struct Readable(Vec<(u64, u64)>);

impl Readable {
    fn of(count: u64, unreadable: &[(u64, u64)]) -> Self {
        let mut from = 1;
        let mut ranges = Vec::new();
        for (first, last) in unreadable.iter().copied().chain([(count + 1, count + 1)]) {
            if from < first {
                ranges.push((from, first - 1));
            }
            from = last + 1;
        }
        Self(ranges)
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| to - from + 1).sum()
    }

    /// How many lie up to `seq`: of one that can be read, its new number.
    fn number(&self, seq: u64) -> u64 {
        let before = self.0.iter().take_while(|(from, _)| *from <= seq);
        before.map(|(from, to)| (*to).min(seq) - from + 1).sum()
    }

    /// At most `count` of them from `seq` on, as ranges.
    fn next(&self, seq: u64, count: u64) -> Vec<(u64, u64)> {
        Path::new(self.0.clone()).unwrap_or_default().from(seq, count)
    }

    /// What is left of a path, in new numbers.
    fn path(&self, path: &Path) -> Path {
        let mut carried = Path::default();
        for (from, to) in path.ranges() {
            carried.extend(self.number(from - 1) + 1, self.number(*to));
        }
        carried
    }
}

/// An id for the new session that is the same whenever the same is salvaged.
fn stands_for(log: &Log, unreadable: &[(u64, u64)]) -> String {
    let state = log.state();
    let text = format!(
        "{}\u{1}{}\u{1}{}\u{1}{}\u{1}{unreadable:?}\u{1}{:?}\u{1}{:?}",
        state.session,
        state.generation,
        state.count,
        log.changes(),
        state.path.ranges(),
        state.undo
    );
    ulid_text(ulid(state.facts.active, fingerprint(&text)))
}

/// The facts of the new session: those of the damaged one, and where it comes from.
fn facts(id: &str, of: &str, state: &State) -> Result<Facts> {
    let old = state.facts.metadata.as_ref().map_or("{}", Json::as_str);
    let note = format!("{{\"salvaged\":{{\"session\":{},\"of\":{}}}}}", quote(id), quote(of));
    let metadata = json::merge(old, &note);
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the metadata of session {id} leaves no room to say where the new one comes from; make it smaller"
        )));
    }
    Ok(Facts {
        metadata: Some(Json::minified(metadata)),
        // Nobody is at work on it, and it shares no message with a parent.
        status: if state.facts.status == Status::Running { Status::Active } else { state.facts.status },
        fork_point: None,
        trashed: None,
        // Where its beginning is gone nobody knows.
        created: if state.facts.created == 0 { state.facts.active } else { state.facts.created },
        ..state.facts.clone()
    })
}

/// The rows of attachments of a table.
fn attachments(table: &Table) -> Table {
    let row = |(digest, row): (&str, &str)| (format!("{ATTACHMENT}{digest}"), Json::minified(row.to_owned()));
    let rows: BTreeMap<String, Json> = table.docs(ATTACHMENT).map(row).collect();
    let mut carried = Table::default();
    if !rows.is_empty() {
        // Documents alone are never refused.
        let _ = carried.apply(&Change { set: raw_values(&rows), ..Change::default() });
    }
    carried
}
