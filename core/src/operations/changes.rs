//! Watching: what has changed in a store or a session since a cursor, across processes and breaks.
//!
//! The logs themselves are read on from where the cursor has seen them, so nothing is missed and nothing is told twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Operation, Run};
use crate::fold::Verdict;
use crate::host::{FsErrorKind, Host};
use crate::id::{Name, check_id};
use crate::json::members;
use crate::log::Log;
use crate::record::{Record, Why};
use crate::store::Store;
use crate::{Error, Result};

/// The most changes of one answer, and how many there are where nothing is said.
const LIMIT: (u32, u32) = (10_000, 1_000);

/// Gives the changes since a cursor: of the store, or of one session. Without a cursor it gives no changes, only the cursor
/// of now; the cursor `""` is that of the beginning.
///
/// Guarantee: every change that counts is given exactly once along a chain of cursors, in the order of its log, whoever has
/// written it. Where a log was rewritten or purged meanwhile, what had not been seen of the old one is given as one change
/// `rewritten` or `purged`. A cursor over the store has some 50 bytes for each session, and looks at the size of each log.
/// Errors: `invalid` (no cursor of this), `not-found` (the session, unless the cursor knows it).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// Only of this session.
    pub session: Option<String>,
    /// What an earlier answer gave as `cursor`.
    pub cursor: Option<String>,
    /// At most so many, 1 to 10,000; absent: 1,000.
    pub limit: Option<u32>,
}

/// Changes, and how to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// In the order of each log.
    pub changes: Vec<Change>,
    /// For the next call.
    pub cursor: String,
    /// Whether there are more already.
    pub more: bool,
}

/// A change of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The session's id.
    pub session_id: String,
    /// What has happened.
    pub kind: ChangeKind,
    /// When, as its writer says; streamed text says none.
    pub changed_at: Option<u64>,
    /// The number of the first message that came, of the one that changed, or of the head that was moved to.
    pub seq: Option<u64>,
    /// How many messages came.
    pub count: Option<u64>,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// It was made as a fork.
    Forked,
    /// Messages came.
    Appended,
    /// A message changed.
    MessageUpdated,
    /// Messages were hidden.
    Reverted,
    /// They were shown again.
    Unreverted,
    /// Another branch is visible.
    Switched,
    /// Its facts changed.
    Updated,
    /// Its status changed.
    Status,
    /// It was moved to the trash.
    Trashed,
    /// It was taken out of it.
    Restored,
    /// Counters, usage or its run changed.
    Counted,
    /// Its log was written anew, with the same meaning.
    Rewritten,
    /// It is gone.
    Purged,
}

/// How far a log was seen: its generation, the byte behind, and the session's id.
type Seen = (u32, u64, String);

impl Operation for Changes {
    const NAME: &'static str = "changes";
    type Answer = Changed;
}

impl Run for Changes {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Changed> {
        let limit = self.limit.unwrap_or(LIMIT.1);
        if !(1..=LIMIT.0).contains(&limit) {
            return Err(Error::invalid(format!("{limit} changes; ask for 1 to {}", LIMIT.0)));
        }
        let begin = self.cursor.is_none();
        let mut seen: BTreeMap<String, Seen> = match self.cursor.as_deref() {
            None | Some("") => BTreeMap::new(),
            Some(cursor) => serde_json::from_str(cursor)
                .map_err(|_| Error::invalid("not a cursor of changes; begin again without one"))?,
        };
        let mut logs = self.logs(store)?;
        let mut changed = Changed::default();
        for (name, generation, size) in &logs {
            if changed.changes.len() >= limit as usize {
                changed.more = true;
                break;
            }
            let known = seen.get(name.as_str()).cloned();
            if known.as_ref().is_some_and(|(of, at, _)| (of, at) == (generation, size)) {
                continue;
            }
            let (from, rewritten) = match &known {
                Some((of, at, _)) if of == generation && at <= size => (*at, false),
                Some(_) => (u64::MAX, true),
                None => (0, false),
            };
            let path = name.log(*generation);
            let host = store.host_mut();
            let room = limit as usize - changed.changes.len();
            let (to, id, mut found) = match read_on(host, &path, if begin { u64::MAX } else { from }, room) {
                Ok(read) => read,
                // Gone between the list and now: the next call sees what became of it.
                Err(error) if error.kind == crate::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if id.is_empty() {
                continue;
            }
            if rewritten && !begin {
                found.insert(0, change(&id, ChangeKind::Rewritten, host.now_ms()));
            }
            changed.more |= to < *size && found.len() >= room;
            // Its end was told: that its file goes later is no news.
            let ended = found.last().is_some_and(|change| change.kind == ChangeKind::Purged);
            changed.changes.append(&mut found);
            seen.insert(name.as_str().to_owned(), (*generation, to, if ended { String::new() } else { id }));
        }
        if !changed.more {
            logs.sort();
            let gone = |name: &String| logs.binary_search_by(|(known, ..)| known.as_str().cmp(name)).is_err();
            let purged: Vec<String> = seen.keys().filter(|name| gone(name)).cloned().collect();
            for name in purged {
                if let Some((.., id)) = seen.remove(&name).filter(|(.., id)| !id.is_empty()) {
                    let now = store.host_mut().now_ms();
                    changed.changes.push(change(&id, ChangeKind::Purged, now));
                }
            }
        }
        changed.cursor = serde_json::to_string(&seen).map_err(|error| Error::internal(error.to_string()))?;
        Ok(changed)
    }
}

impl Changes {
    /// The logs that are looked at: the highest generation of each session, with its size.
    fn logs<H: Host>(&self, store: &mut Store<H>) -> Result<Vec<(Name, u32, u64)>> {
        let mut logs: Vec<(Name, u32, u64)> = Vec::new();
        if let Some(id) = &self.session {
            check_id("session id", id)?;
            let name = Name::of(id)?;
            let Some(generation) = store.generations(&name)?.last().copied() else {
                return match &self.cursor {
                    Some(cursor) if cursor.contains(name.as_str()) => Ok(logs),
                    _ => Err(crate::store::missing(id)),
                };
            };
            match store.host_mut().stat(&name.log(generation)) {
                Err(error) if error.kind == FsErrorKind::NotFound => {}
                size => logs.push((name, generation, size?)),
            }
            return Ok(logs);
        }
        for directory in crate::id::session_directories() {
            let mut after = String::new();
            loop {
                let files = store.host_mut().list(&directory, &after, 1000)?;
                let Some(last) = files.last() else { break };
                after.clone_from(&last.name);
                for file in &files {
                    let Some((name, generation)) = Name::parse_log(&file.name) else { continue };
                    if name.is_system() {
                        continue;
                    }
                    match logs.last_mut() {
                        // Generations are listed in order.
                        Some(last) if last.0 == name => *last = (name, generation, file.size),
                        _ => logs.push((name, generation, file.size)),
                    }
                }
            }
        }
        Ok(logs)
    }
}

/// Reads a log on from `from`, or from its end, for at most so many changes. Returns how far it was read, its session
/// and the changes.
fn read_on(host: &mut impl Host, path: &str, from: u64, room: usize) -> Result<(u64, String, Vec<Change>)> {
    let now = Log::load(host, path, None)?;
    let id = now.state().session.clone();
    let from = from.min(now.end());
    let found = RefCell::new(Vec::new());
    // Where the first change begins that finds no room.
    let rest = Cell::new(None);
    let to = now.since(
        host,
        from,
        &mut |record, verdict, at| {
            let (Verdict::Counts { seq, count }, Some((kind, changed_at))) = (verdict, kind_of(record))
            else {
                return;
            };
            if found.borrow().len() >= room {
                rest.set(rest.get().or(Some(at)));
                return;
            }
            let appended = kind == ChangeKind::Appended;
            let about = appended
                || matches!(
                    kind,
                    ChangeKind::MessageUpdated
                        | ChangeKind::Reverted
                        | ChangeKind::Unreverted
                        | ChangeKind::Switched
                );
            let (seq, count) = (about.then_some(seq), appended.then_some(count));
            found.borrow_mut().push(Change { session_id: id.clone(), kind, changed_at, seq, count });
        },
        &mut || rest.get().is_some(),
    )?;
    Ok((rest.get().unwrap_or(to), id, found.into_inner()))
}

fn change(id: &str, kind: ChangeKind, at: u64) -> Change {
    Change { session_id: id.to_owned(), kind, changed_at: Some(at), seq: None, count: None }
}

/// What a record that counts does, and when.
fn kind_of(record: &Record<'_>) -> Option<(ChangeKind, Option<u64>)> {
    let kind = match record {
        Record::Session(session) if session.generation > 1 => return None,
        Record::Session(session) if session.from.is_empty() && session.facts.fork_point.is_none() => {
            return Some((ChangeKind::Created, Some(session.at)));
        }
        Record::Session(session) => return Some((ChangeKind::Forked, Some(session.at))),
        Record::Append(append) if append.m.is_empty() => return None,
        Record::Append(_) => ChangeKind::Appended,
        Record::Text(_) => return Some((ChangeKind::MessageUpdated, None)),
        Record::Update(_) => ChangeKind::MessageUpdated,
        Record::Head(head) => match head.why {
            Why::Revert => ChangeKind::Reverted,
            Why::Unrevert => ChangeKind::Unreverted,
            Why::Branch => ChangeKind::Switched,
        },
        Record::Facts(facts) => of_facts(facts.set.get())?,
        Record::Change(change) => match change.facts {
            Some(facts) => of_facts(facts.get())?,
            None => ChangeKind::Counted,
        },
        Record::Purge(_) => ChangeKind::Purged,
        _ => return None,
    };
    Some((kind, record.stamp().map(|stamp| stamp.at)))
}

/// What a change of facts means. Nothing where it was only looked at.
fn of_facts(set: &str) -> Option<ChangeKind> {
    let members = members(set)?;
    let has = |name: &str| members.iter().find(|(member, _)| member == name).map(|(_, value)| *value);
    match (has("trashed"), has("status")) {
        (Some("null"), _) => Some(ChangeKind::Restored),
        (Some(_), _) => Some(ChangeKind::Trashed),
        (None, Some(_)) => Some(ChangeKind::Status),
        (None, None) if members.iter().all(|(name, _)| name == "accessed") => None,
        _ => Some(ChangeKind::Updated),
    }
}
