//! Making, changing, trashing and purging sessions.

use std::collections::BTreeSet;

use super::{ATTEMPTS, Beginning, FORMAT_VERSION, Look, Plan, Store};
use crate::api::{Sessions, WriteOptions};
use crate::facts::{Facts, NewSession, Session, SessionPatch};
use crate::host::{FsErrorKind, Host};
use crate::id::{Name, check_id, ulid, ulid_text};
use crate::limits::DAMAGE_RUN_BYTES_MAX;
use crate::log::Log;
use crate::planted::{Planted, planted};
use crate::record::{FactsRecord, MARKER, PurgeRecord, Record, Salt, SessionRecord, verify};
use crate::{Error, ErrorKind, Result};

impl<H: Host> Store<H> {
    pub(super) fn create_session(&mut self, new: &NewSession) -> Result<Session> {
        self.writable()?;
        new.id.as_deref().map_or(Ok(()), |id| check_id("session id", id))?;
        let now = self.host.now_ms();
        let facts = new.facts(now)?;
        self.begin(new.id.clone(), facts, Beginning::default())
    }

    /// Creates the first generation of a session.
    pub(super) fn begin(
        &mut self,
        id: Option<String>,
        facts: Facts,
        beginning: Beginning,
    ) -> Result<Session> {
        let now = self.host.now_ms();
        let record_id = ulid_text(ulid(now, self.host.random()));
        let given = id.is_some();
        let id = id.unwrap_or_else(|| record_id.clone());
        let name = Name::of(&id)?;
        // The first generation may be gone while a later one is there.
        if given && !self.generations(&name)?.is_empty() {
            // What a purge has left that was cut off is in nobody's way.
            self.collect_purged(&id)?;
            if !self.generations(&name)?.is_empty() {
                return Err(taken(&id));
            }
        }
        let record = SessionRecord {
            v: FORMAT_VERSION,
            session: id.as_str().into(),
            generation: 1,
            id: record_id.into(),
            at: now,
            facts,
            from: beginning.from,
            over: beginning.over,
        };
        self.place(&id, &Record::Session(Box::new(record)).line(Salt::of(&name.log(1))), now)
    }

    /// Creates the first log of a session, whole. Errors: `conflict` where there is one.
    pub(super) fn place(&mut self, id: &str, text: &str, now: u64) -> Result<Session> {
        let marked_at = self.catalogue.open(&mut self.host, id, &self.writer, now).is_ok().then_some(now);
        match self.host.create(&Name::of(id)?.log(1), text) {
            Err(error) if error.kind == FsErrorKind::Exists => return Err(taken(id)),
            created => created?,
        }
        self.with(id, Look::Fresh, |store, cached| {
            (cached.written, cached.marked_at) = (true, marked_at);
            Ok(store.session(cached))
        })
    }

    pub(super) fn update_facts(
        &mut self,
        id: &str,
        patch: &SessionPatch,
        options: &WriteOptions,
    ) -> Result<Session> {
        self.write(id, options, Look::Fresh, &mut |_, cached, stamp| {
            let set = patch.to_json(&cached.log.state().facts)?;
            Ok(Plan::of(&Record::Facts(FactsRecord { stamp, set: crate::log::raw(&set)? })))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    pub(super) fn touch_session(&mut self, id: &str) -> Result<Session> {
        // Nobody waits for the disk to learn that somebody looked.
        let options = WriteOptions { durability: crate::Durability::Buffered, ..WriteOptions::default() };
        self.write(id, &options, Look::Fresh, &mut |_, _, stamp| {
            let set = format!("{{\"accessed\":{}}}", stamp.at);
            Ok(Plan::of(&Record::Facts(FactsRecord { stamp, set: crate::log::raw(&set)? })))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    pub(super) fn set_trashed(&mut self, id: &str, trashed: bool) -> Result<Session> {
        let before = self.with(id, Look::Fresh, |store, cached| Ok(store.session(cached)))?;
        if before.facts.trashed.is_some() == trashed {
            // Whoever made it so may not have waited for the disk. The answer is the session as it was seen to be so:
            // another may have taken it back by now.
            self.sync(id)?;
            return Ok(before);
        }
        self.write(id, &WriteOptions::default(), Look::Cached, &mut |_, _, stamp| {
            let set = if trashed {
                format!("{{\"trashed\":{}}}", stamp.at)
            } else {
                "{\"trashed\":null}".to_owned()
            };
            Ok(Plan::of(&Record::Facts(FactsRecord { stamp, set: crate::log::raw(&set)? })))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    pub(super) fn purge_session(&mut self, id: &str) -> Result<()> {
        let name = Name::of(id)?;
        let mut options = WriteOptions::default();
        if planted(Planted::PurgeUnsynced) {
            options.durability = crate::Durability::Buffered;
        }
        let purged = self.write(id, &options, Look::Fresh, &mut |_, _, stamp| {
            Ok(Plan::of(&Record::Purge(PurgeRecord { stamp })))
        });
        match purged {
            // It is gone; but whoever has purged it may have died before he was through.
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.collect_purged(id)?;
                return Err(error);
            }
            purged => drop(purged?),
        }
        let purged = self.cache.remove(&name);
        let beginning = purged.map(|mut cached| self.beginning(&mut cached)).transpose()?.unwrap_or_default();
        let now = self.host.now_ms();
        let _ = self.catalogue.forget(&mut self.host, now, id, &self.writer);
        // Before the log: as long as it is there, somebody finds them.
        self.forget_words(id);
        self.remove_queues(id)?;
        self.collect(&name, id)?;
        // What only this session needed of purged parents.
        self.collect_sources(&beginning)
    }

    /// Removes purged sessions that a session has begun with and that no other fork needs.
    pub(super) fn collect_sources(&mut self, beginning: &Beginning) -> Result<()> {
        let sources: BTreeSet<&String> =
            beginning.from.iter().chain(&beginning.over).map(|segment| &segment.s).collect();
        sources.into_iter().try_for_each(|source| self.collect_purged(source))
    }

    /// Removes the files of a session that has ended for good and that no fork needs.
    pub(super) fn collect(&mut self, name: &Name, id: &str) -> Result<()> {
        let generations = self.generations(name)?;
        let Some(last) = generations.last() else { return Ok(()) };
        // Another process may have died before the disk had the purge.
        match self.host.sync(&name.log(*last)) {
            _ if planted(Planted::PurgeUnsynced) => {}
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(()),
            synced => synced?,
        }
        if !name.is_system() {
            self.keep_usage(name, *last)?;
        }
        let mut kept = 0;
        // The last one holds the purge: it goes last, or an older one would come back to life.
        for (place, generation) in generations.iter().enumerate() {
            let last = place + 1 == generations.len();
            if (last && kept > 0) || self.is_needed(id, *generation)? {
                kept += 1;
            } else {
                self.remove_log(&name.log(*generation))?;
            }
        }
        if kept == 0 && !name.is_system() {
            self.forget_usage(name)?;
        }
        Ok(())
    }

    /// Removes what is left of a session if it was purged.
    pub(super) fn collect_purged(&mut self, id: &str) -> Result<()> {
        let name = Name::of(id)?;
        let Some(generation) = self.generations(&name)?.last().copied() else { return Ok(()) };
        let log = match Log::load(&mut self.host, &name.log(generation), None) {
            // Somebody else has collected it, or rewritten it: then it is not purged.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            log => log?,
        };
        if log.state().end == Some(crate::fold::End::Purged) && log.state().session == id {
            if !name.is_system() {
                self.forget_words(id);
                self.remove_queues(id)?;
            }
            self.collect(&name, id)?;
        }
        Ok(())
    }

    pub(super) fn remove_log(&mut self, path: &str) -> Result<()> {
        match self.host.remove(path) {
            Err(error) if error.kind != FsErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether a fork needs a generation of a session. A log whose beginning cannot be read may be such a fork.
    pub(super) fn is_needed(&mut self, id: &str, generation: u32) -> Result<bool> {
        if planted(Planted::PurgeIgnoresForks) {
            return Ok(false);
        }
        let mut needed = false;
        self.each_log(&mut |store, name, _, path| {
            if needed || Name::of(id).is_ok_and(|own| own == *name) {
                return Ok(());
            }
            needed = match store.read_beginning(path)? {
                Some(Beginning { from, over }) => {
                    from.iter().chain(&over).any(|segment| segment.s == id && segment.g == generation)
                }
                None => true,
            };
            Ok(())
        })?;
        Ok(needed)
    }

    /// What the session of a log begins with: nothing where the log is gone. `None` where its first record cannot be read.
    pub(super) fn read_beginning(&mut self, path: &str) -> Result<Option<Beginning>> {
        let Some(line) = self.first_line(path)? else { return Ok(Some(Beginning::default())) };
        Ok(match Record::parse(&line, salt_of(&line, path)) {
            Some((Record::Session(session), _)) => {
                Some(Beginning { from: session.from.clone(), over: session.over.clone() })
            }
            _ => None,
        })
    }

    /// The salt of a log whose file may have lost its name.
    pub(super) fn salt_of_file(&mut self, path: &str) -> Result<Salt> {
        Ok(salt_of(&self.first_line(path)?.unwrap_or_default(), path))
    }

    /// The first line of a log, as far as it may be a record. `None` where the log is gone.
    fn first_line(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let mut limit = 4096;
        for _ in 0..ATTEMPTS {
            let mut bytes = match self.host.read_bytes(path, 0, limit) {
                Err(error) if error.kind == FsErrorKind::NotFound => return Ok(None),
                bytes => bytes?,
            };
            let end = memchr::memchr(b'\n', &bytes);
            let whole = end.is_some() || (bytes.len() as u64) < u64::from(limit);
            let is_record = bytes.starts_with(MARKER.as_bytes());
            if !whole && is_record && u64::from(limit) < DAMAGE_RUN_BYTES_MAX {
                limit *= 8;
                continue;
            }
            bytes.truncate(end.unwrap_or(bytes.len()));
            return Ok(Some(bytes));
        }
        Ok(Some(Vec::new()))
    }

    /// Calls `each` with every log of the store, in the order of names.
    pub(crate) fn each_log(
        &mut self,
        each: &mut dyn FnMut(&mut Self, &Name, u32, &str) -> Result<()>,
    ) -> Result<()> {
        for directory in crate::id::session_directories() {
            let mut after = String::new();
            loop {
                let files = self.host.list(&directory, &after, 1000)?;
                let Some(last) = files.last() else { break };
                after = last.name.clone();
                for file in &files {
                    if let Some((name, generation)) = Name::parse_log(&file.name) {
                        each(self, &name, generation, &format!("{directory}/{}", file.name))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The salt of a log with that first line: that of the name that the line states, if it is a record that has it, and that
/// of `path` otherwise.
fn salt_of(first_line: &[u8], path: &str) -> Salt {
    if let Ok(text) = std::str::from_utf8(first_line)
        && let Record::Session(session) = Record::of_checked(text)
        && let Ok(name) = Name::of(&session.session)
    {
        let stated = Salt::of(&name.log(session.generation));
        if verify(first_line, stated).is_some() {
            return stated;
        }
    }
    Salt::of(path)
}

fn taken(id: &str) -> Error {
    Error::conflict(format!("there is a session {id} already; choose another id or use that one"))
}
