//! Reading and changing the tables of logs: a decision on what is there, written so that it counts only if that is
//! still so.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Look, Plan, Store};
use crate::api::WriteOptions;
use crate::facts::Facts;
use crate::host::{FsErrorKind, Host};
use crate::id::{Name, SYSTEM_PREFIX, ulid, ulid_text};
use crate::json::Json;
use crate::log::Log;
use crate::record::{ChangeRecord, FactsRecord, PurgeRecord, Record, Rewrite, Salt, SessionRecord, Stamp};
use crate::table::{Change, Table, raw_values};
use crate::{Error, ErrorKind, Result};

/// A log of the store's own is rewritten when it has grown past this, and past this many times its table.
const REWRITE_BYTES: u64 = 1024 * 1024;
const REWRITE_FACTOR: u64 = 8;

/// Sums of usage in a session: `<day>/<kind>/<model>` behind it.
pub(crate) const USAGE: &str = "usage/";
/// The same of purged sessions in the log of the store: the scope and U+0001 before it.
pub(crate) const PURGED_USAGE: &str = "purged-usage/";

/// Purged sessions whose usage stands there already: only while their files are there.
const MOVED: &str = "moved-usage/";

/// What a decision sees.
pub(crate) struct View<'a> {
    pub(crate) table: &'a Table,
    pub(crate) facts: &'a Facts,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
}

impl View<'_> {
    /// The document at `key`. One that cannot be read as what it should be counts as absent: it is a newer version's.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.table.doc(key).and_then(|doc| serde_json::from_str(doc).ok())
    }

    /// All documents whose keys begin with `prefix`, by the rest of their keys.
    pub(crate) fn all<T: DeserializeOwned>(&self, prefix: &str) -> Vec<(String, T)> {
        let read = |(key, doc): (&str, &str)| Some((key.to_owned(), serde_json::from_str(doc).ok()?));
        self.table.docs(prefix).filter_map(read).collect()
    }
}

/// What a decision changes. It counts as a whole, and only if no document has changed since it was made.
#[derive(Default)]
pub(crate) struct Draft {
    set: BTreeMap<String, Json>,
    add: BTreeMap<String, Json>,
    reset: Vec<String>,
    facts: Option<String>,
}

impl Draft {
    /// Puts a document.
    pub(crate) fn put(&mut self, key: impl Into<String>, doc: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(doc).map_err(|error| Error::internal(error.to_string()))?;
        self.set.insert(key.into(), Json::minified(text));
        Ok(())
    }

    /// Removes a document.
    pub(crate) fn remove(&mut self, key: impl Into<String>) {
        self.set.insert(key.into(), Json::minified("null".to_owned()));
    }

    /// Adds a finite number to a sum. Needs no agreement with anybody.
    pub(crate) fn add(&mut self, name: impl Into<String>, number: Json) {
        self.add.insert(name.into(), number);
    }

    /// Makes a sum absent.
    pub(crate) fn reset(&mut self, name: impl Into<String>) {
        self.reset.push(name.into());
    }

    /// A merge patch of the session's facts that goes with it.
    pub(crate) fn facts(&mut self, patch: String) {
        self.facts = Some(patch);
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.reset.is_empty() && self.facts.is_none()
    }

    /// The record, as [`Record::text`] has it.
    fn text(&self, stamp: Stamp<'static>, version: u64) -> Result<String> {
        let change = Change {
            // Sums add up in any order.
            version: (!self.set.is_empty() || self.facts.is_some()).then_some(version),
            set: raw_values(&self.set),
            add: raw_values(&self.add),
            reset: self.reset.iter().map(|name| name.as_str().into()).collect(),
        };
        let facts = self.facts.as_deref().map(crate::log::raw).transpose()?;
        Ok(Record::Change(ChangeRecord { stamp, change, facts }).text())
    }
}

/// The id of a log of the store's own.
pub(crate) fn system(kind: &str, key: &str) -> String {
    format!("{SYSTEM_PREFIX}{kind}/{key}")
}

impl<H: Host> Store<H> {
    /// Looks at the table of a log. One of the store's own that nobody has written is empty.
    pub(crate) fn view<T>(&mut self, id: &str, mut act: impl FnMut(&View<'_>) -> Result<T>) -> Result<T> {
        let now = self.host.now_ms();
        let seen = self.with(id, Look::Fresh, |_, cached| {
            let state = cached.log.state();
            act(&View { table: &state.table, facts: &state.facts, now })
        });
        match seen {
            Err(error) if error.kind == ErrorKind::NotFound && id.starts_with(SYSTEM_PREFIX) => {
                act(&View { table: &Table::default(), facts: &Facts::default(), now })
            }
            seen => seen,
        }
    }

    /// Changes the table of a log as `decide` says, which is asked again whenever somebody else was first.
    ///
    /// A decision that changes nothing writes nothing. Returns `None` where the operation had been done before.
    /// Errors: those of `decide`; as [`Store::write`].
    pub(crate) fn change<T>(
        &mut self,
        id: &str,
        options: &WriteOptions,
        decide: &mut dyn FnMut(&View<'_>) -> Result<(Draft, T)>,
    ) -> Result<Option<T>> {
        self.writable()?;
        let mut answer = None;
        // A retry is no new decision: what it would decide now may be an error.
        if options.op.is_none() {
            let (draft, decided) = self.view(id, &mut *decide)?;
            if draft.is_empty() {
                return Ok(Some(decided));
            }
        }
        if id.starts_with(SYSTEM_PREFIX) {
            self.begin_system(id)?;
        }
        let written = self.write(id, options, Look::Cached, &mut |store, cached, stamp| {
            let state = cached.log.state();
            let now = store.host.now_ms();
            let (draft, decided) = decide(&View { table: &state.table, facts: &state.facts, now })?;
            answer = Some(decided);
            draft.text(stamp, state.table.version()).map(Plan::Made)
        })?;
        if written.offset.is_none() {
            return Ok(None);
        }
        self.shrink(id);
        Ok(answer)
    }

    /// Creates a log of the store's own where it is not there.
    fn begin_system(&mut self, id: &str) -> Result<()> {
        let name = Name::of(id)?;
        if self.cache.contains_key(&name) {
            return Ok(());
        }
        if !self.generations(&name)?.is_empty() {
            // A removal that the disk has forgotten leaves a log that has ended for good.
            self.collect_purged(id)?;
            if !self.generations(&name)?.is_empty() {
                return Ok(());
            }
        }
        let now = self.host.now_ms();
        let record = SessionRecord {
            v: super::FORMAT_VERSION,
            session: id.into(),
            generation: 1,
            id: ulid_text(ulid(now, self.host.random())).into(),
            at: now,
            facts: Facts { created: now, updated: now, accessed: now, active: now, ..Facts::default() },
            from: Vec::new(),
            over: Vec::new(),
        };
        let path = name.log(1);
        match self.host.create(&path, &Record::Session(Box::new(record)).line(Salt::of(&path))) {
            Err(error) if error.kind != FsErrorKind::Exists => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Rewrites a log of the store's own that is mostly past. Never fails: what was asked for is done, and an error now
    /// would have it done again. The next change tries again.
    fn shrink(&mut self, id: &str) {
        if !id.starts_with(SYSTEM_PREFIX) {
            return;
        }
        let large = self.with(id, Look::Cached, |_, cached| {
            let size = cached.log.size();
            Ok(size > REWRITE_BYTES && size > REWRITE_FACTOR * cached.log.state().table.bytes())
        });
        if large.is_ok_and(|large| large) {
            let _ = self.rewrite(id, Rewrite::Compact);
        }
    }

    /// Adds what a purged session has used to what the store keeps of all of them, once.
    pub(crate) fn keep_usage(&mut self, name: &Name, generation: u32) -> Result<()> {
        let log = match Log::load(&mut self.host, &name.log(generation), None) {
            // Somebody else is at it as well, and through.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            log => log?,
        };
        let used: Vec<(&str, &Json)> = log.state().table.sums(USAGE).collect();
        if used.is_empty() {
            return Ok(());
        }
        let (moved, scope) = (format!("{MOVED}{}", name.as_str()), &log.state().facts.scope);
        self.change(&system("store", ""), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            if view.table.doc(&moved).is_none() {
                draft.put(&moved, &true)?;
                for (what, sum) in &used {
                    draft.add(format!("{PURGED_USAGE}{scope}\u{1}{what}"), (*sum).clone());
                }
            }
            Ok((draft, ()))
        })
        .map(drop)
    }

    /// Forgets that the usage of a session was kept, once its files are gone.
    pub(crate) fn forget_usage(&mut self, name: &Name) -> Result<()> {
        let moved = format!("{MOVED}{}", name.as_str());
        self.change(&system("store", ""), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            if view.table.doc(&moved).is_some() {
                draft.remove(&moved);
            }
            Ok((draft, ()))
        })
        .map(drop)
    }

    /// Removes the queues of a session that is gone.
    pub(crate) fn remove_queues(&mut self, session: &str) -> Result<()> {
        self.remove_system(&inbox(session))?;
        self.remove_system(&outbox(session))
    }

    /// Removes a log of the store's own.
    fn remove_system(&mut self, id: &str) -> Result<()> {
        let name = Name::of(id)?;
        if self.generations(&name)?.is_empty() {
            return Ok(());
        }
        let purged = self
            .write(id, &WriteOptions::default(), Look::Fresh, &mut |_, _, stamp| {
                let set = format!("{{\"trashed\":{}}}", stamp.at);
                Ok(Plan::of(&Record::Facts(FactsRecord { stamp, set: crate::log::raw(&set)? })))
            })
            .and_then(|_| {
                self.write(id, &WriteOptions::default(), Look::Cached, &mut |_, _, stamp| {
                    Ok(Plan::of(&Record::Purge(PurgeRecord { stamp })))
                })
            });
        match purged {
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.cache.remove(&name);
        self.collect(&name, id)
    }
}

/// The log that the host's side of a session writes.
pub(crate) fn inbox(session: &str) -> String {
    system("in", session)
}

/// The log that the worker's side of a session writes.
pub(crate) fn outbox(session: &str) -> String {
    system("out", session)
}

/// The session that a log of a queue belongs to.
pub(crate) fn queue_of(log: &str) -> Option<&str> {
    let log = log.strip_prefix(SYSTEM_PREFIX)?;
    log.strip_prefix("in/").or_else(|| log.strip_prefix("out/"))
}

/// What a log of the store's own is the key of.
pub(crate) fn key_of(log: &str) -> Option<&str> {
    log.strip_prefix(SYSTEM_PREFIX)?.strip_prefix("key/")
}
