//! What a store promises, in plain lists: sessions, their messages, which of them are visible.
//!
//! The model keeps everything in memory and copies where the store shares. It says what each operation answers and
//! what a reader sees afterwards; how, when and where bytes are written is none of its business.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    missing_docs,
    reason = "a testkit: it stops at the first surprise, and its variants are described as a whole"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use sessile_core::{
    Error, ErrorKind, ForkOptions, ListQuery, MessageChange, MessageRef, NewSession, Select, SessionPatch,
    Sessions, WriteOptions,
};

/// One call of a store, on sessions whose ids the caller chose.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// See [`Sessions::create`].
    Create(NewSession),
    /// See [`Sessions::update`].
    Facts(String, SessionPatch, WriteOptions),
    /// See [`Sessions::touch`].
    Touch(String),
    /// See [`Sessions::append`].
    Append(String, Vec<String>, WriteOptions),
    /// See [`MessageChange::AddText`]: session, message, part, text, length before, options.
    Text(String, u64, u64, String, Option<u64>, WriteOptions),
    /// See [`MessageChange::Patch`].
    Patch(String, u64, String, WriteOptions),
    /// See [`MessageChange::AddParts`].
    Parts(String, u64, String, WriteOptions),
    /// See [`Sessions::revert`]: session, message, inclusive, options.
    Revert(String, u64, bool, WriteOptions),
    /// See [`Sessions::unrevert`].
    Unrevert(String, WriteOptions),
    /// See [`Sessions::switch`].
    Switch(String, u64, WriteOptions),
    /// See [`Sessions::fork`]: parent, child, message.
    Fork(String, String, Option<u64>),
    /// See [`Sessions::detach`].
    Detach(String),
    /// See [`Sessions::compact`].
    Compact(String),
    /// See [`Sessions::trash`].
    Trash(String),
    /// See [`Sessions::restore`].
    Restore(String),
    /// See [`Sessions::purge`].
    Purge(String),
    /// See [`Sessions::sync`].
    Sync(String),
}

/// What an operation answers, as far as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that the model could know.
    Done,
    /// The first message, how many, and whether it had been done before.
    Appended(u64, u64, bool),
    /// The length of a text.
    Length(u64),
    /// The head, how many messages are visible, and whether a revert can be undone.
    Session(u64, u64, bool),
}

impl Op {
    /// The session that the operation changes; for a fork the new one.
    pub fn session(&self) -> &str {
        match self {
            Self::Create(new) => new.id.as_deref().unwrap_or_default(),
            Self::Fork(_, child, _) => child,
            Self::Facts(id, ..) | Self::Append(id, ..) | Self::Text(id, ..) | Self::Patch(id, ..) => id,
            Self::Parts(id, ..) | Self::Revert(id, ..) | Self::Unrevert(id, ..) | Self::Switch(id, ..) => id,
            Self::Touch(id) | Self::Detach(id) | Self::Compact(id) | Self::Trash(id) | Self::Restore(id) => {
                id
            }
            Self::Purge(id) | Self::Sync(id) => id,
        }
    }

    /// The options of a write.
    pub fn options(&self) -> Option<&WriteOptions> {
        match self {
            Self::Facts(_, _, options) | Self::Append(_, _, options) | Self::Patch(_, _, _, options) => {
                Some(options)
            }
            Self::Parts(_, _, _, options) | Self::Text(.., options) | Self::Revert(.., options) => {
                Some(options)
            }
            Self::Unrevert(_, options) | Self::Switch(_, _, options) => Some(options),
            _ => None,
        }
    }

    /// The same without a condition on the head.
    fn unconditional(&self) -> Self {
        let mut op = self.clone();
        if let Self::Append(_, _, options) = &mut op {
            options.expect_head = None;
        }
        op
    }

    /// The operation's name, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Facts(..) => "facts",
            Self::Touch(_) => "touch",
            Self::Append(..) => "append",
            Self::Text(..) => "text",
            Self::Patch(..) => "patch",
            Self::Parts(..) => "parts",
            Self::Revert(..) => "revert",
            Self::Unrevert(..) => "unrevert",
            Self::Switch(..) => "switch",
            Self::Fork(..) => "fork",
            Self::Detach(_) => "detach",
            Self::Compact(_) => "compact",
            Self::Trash(_) => "trash",
            Self::Restore(_) => "restore",
            Self::Purge(_) => "purge",
            Self::Sync(_) => "sync",
        }
    }
}

/// Carries an operation out. The second value is the id of an append's first message.
pub fn run(store: &mut impl Sessions, op: &Op) -> Result<(Answer, String), Error> {
    let session = |session: sessile_core::Session| {
        Answer::Session(session.head, session.message_count, session.can_unrevert)
    };
    let mut change = |id: &str, seq: u64, change: MessageChange, options: &WriteOptions| {
        store.update_message(id, &MessageRef::Seq(seq), &change, options).map(Answer::Length)
    };
    let answer = match op {
        Op::Create(new) => session(store.create(new)?),
        Op::Facts(id, patch, options) => session(store.update(id, patch, options)?),
        Op::Touch(id) => session(store.touch(id)?),
        Op::Append(id, messages, options) => {
            let appended = store.append(id, &format!("[{}]", messages.join(",")), options)?;
            return Ok((Answer::Appended(appended.seq, appended.count, appended.repeated), appended.id));
        }
        Op::Text(id, seq, part, text, at, options) => {
            change(id, *seq, MessageChange::AddText { part: *part, text: text.clone(), at: *at }, options)?
        }
        Op::Patch(id, seq, patch, options) => change(id, *seq, MessageChange::Patch(patch.clone()), options)?,
        Op::Parts(id, seq, parts, options) => {
            change(id, *seq, MessageChange::AddParts(parts.clone()), options)?
        }
        Op::Revert(id, to, inclusive, options) => {
            session(store.revert(id, &MessageRef::Seq(*to), *inclusive, options)?)
        }
        Op::Unrevert(id, options) => session(store.unrevert(id, options)?),
        Op::Switch(id, to, options) => session(store.switch(id, &MessageRef::Seq(*to), options)?),
        Op::Fork(id, child, at) => {
            let options = ForkOptions { id: Some(child.clone()), at: at.map(MessageRef::Seq), title: None };
            session(store.fork(id, &options)?)
        }
        Op::Detach(id) => store.detach(id).map(|_| Answer::Done)?,
        Op::Compact(id) => store.compact(id).map(|_| Answer::Done)?,
        Op::Trash(id) => session(store.trash(id)?),
        Op::Restore(id) => session(store.restore(id)?),
        Op::Purge(id) => store.purge(id).map(|()| Answer::Done)?,
        Op::Sync(id) => store.sync(id).map(|()| Answer::Done)?,
    };
    Ok((answer, String::new()))
}

/// A message.
#[derive(Clone, Debug)]
struct Message {
    /// Byte for byte, until it was changed.
    json: Arc<str>,
    changed: bool,
    parent: u64,
    /// Empty where the model was not told.
    id: Arc<str>,
    /// Its record is gone, but later ones show that it was there.
    lost: bool,
}

/// The facts that the model follows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Facts {
    title: Option<String>,
    tags: Vec<String>,
    metadata: Value,
    trashed: bool,
}

/// A session. Cheap to clone, so that models of many outcomes share most of it.
#[derive(Clone, Debug, Default)]
struct Session {
    messages: Vec<Message>,
    path: Vec<u64>,
    undo: Option<Vec<u64>>,
    facts: Facts,
    ops: BTreeMap<String, (u64, u64)>,
}

/// All that a store promises to hold.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<String, Arc<Session>>,
}

impl Session {
    fn head(&self) -> u64 {
        self.path.last().copied().unwrap_or(0)
    }

    fn answer(&self) -> Answer {
        Answer::Session(self.head(), self.path.len() as u64, self.undo.is_some())
    }

    fn path_to(&self, seq: u64) -> Vec<u64> {
        let message = |seq: u64| (seq > 0).then_some(seq);
        let parent = |seq: &u64| message(self.messages[*seq as usize - 1].parent);
        let mut path: Vec<u64> = std::iter::successors(message(seq), parent).collect();
        path.reverse();
        path
    }

    /// A message's place in the list.
    fn known(&self, seq: u64) -> Result<usize, ErrorKind> {
        if (1..=self.messages.len() as u64).contains(&seq) {
            Ok(seq as usize - 1)
        } else {
            Err(ErrorKind::NotFound)
        }
    }

    fn push(&mut self, json: Arc<str>, lost: bool) {
        let id: Arc<str> = "".into();
        self.messages.push(Message { json, changed: false, parent: self.head(), id, lost });
        self.path.push(self.messages.len() as u64);
    }

    /// The tips of branches: the number, the length, the last shared message, whether it is the head.
    fn branches(&self) -> Vec<(u64, u64, u64, bool)> {
        let parents: BTreeSet<u64> = self.messages.iter().map(|message| message.parent).collect();
        let mut tips: BTreeSet<u64> =
            (1..=self.messages.len() as u64).filter(|seq| !parents.contains(seq)).collect();
        tips.extend(self.path.last());
        let branch = |tip: &u64| {
            let path = self.path_to(*tip);
            let shared =
                path.iter().zip(&self.path).take_while(|(a, b)| a == b).last().map_or(0, |(seq, _)| *seq);
            (*tip, path.len() as u64, shared, *tip == self.head())
        };
        let mut branches: Vec<(u64, u64, u64, bool)> = tips.iter().map(branch).collect();
        branches.sort_by_key(|(tip, .., current)| (!current, std::cmp::Reverse(*tip)));
        branches
    }
}

impl Model {
    /// Says what `op` answers, and does it. An error changes nothing.
    pub fn apply(&mut self, op: &Op) -> Result<Answer, ErrorKind> {
        match op {
            Op::Create(new) => {
                let facts = Facts {
                    title: new.title.clone(),
                    tags: new.tags.clone(),
                    metadata: new.metadata.as_ref().map_or(Value::Null, |metadata| value(metadata)),
                    trashed: false,
                };
                self.insert(op.session(), Session { facts, ..Session::default() })
            }
            Op::Fork(id, child, at) => {
                let parent = self.sessions.get(id).ok_or(ErrorKind::NotFound)?;
                let at = at.unwrap_or(parent.head());
                if at > 0 {
                    parent.known(at)?;
                }
                let path = parent.path_to(at);
                let title = parent.facts.title.as_ref().map(|title| format!("{title} (fork)"));
                let facts = Facts { title, trashed: false, ..parent.facts.clone() };
                let message = |(seq, old): (u64, &u64)| Message {
                    parent: seq,
                    ..parent.messages[*old as usize - 1].clone()
                };
                let messages: Vec<Message> = (0..).zip(&path).map(message).collect();
                let path = (1..=messages.len() as u64).collect();
                self.insert(child, Session { messages, path, facts, ..Session::default() })
            }
            Op::Purge(id) => {
                let session = self.sessions.get(id).ok_or(ErrorKind::NotFound)?;
                if !session.facts.trashed {
                    return Err(ErrorKind::Conflict);
                }
                self.sessions.remove(id);
                Ok(Answer::Done)
            }
            _ => {
                let session = Arc::make_mut(self.sessions.get_mut(op.session()).ok_or(ErrorKind::NotFound)?);
                session.apply(op)
            }
        }
    }

    fn insert(&mut self, id: &str, session: Session) -> Result<Answer, ErrorKind> {
        if self.sessions.contains_key(id) {
            return Err(ErrorKind::Conflict);
        }
        let answer = session.answer();
        self.sessions.insert(id.to_owned(), Arc::new(session));
        Ok(answer)
    }

    /// Applies an operation whose record has survived where earlier ones may have not. `full` is the model with
    /// all operations, before this one: what its writer knew, if that was the only process.
    pub fn apply_after_loss(&mut self, op: &Op, full: &Self) {
        if let Op::Fork(_, child, _) = op {
            // A fork that is there is there with all that its maker saw.
            let mut full = full.clone();
            let _ = full.apply(op);
            self.sessions.extend(full.sessions.remove_entry(child));
            return;
        }
        if matches!(op, Op::Purge(_)) {
            let _ = self.apply(op);
            return;
        }
        let (known, session) = (full.sessions.get(op.session()), self.sessions.get_mut(op.session()));
        let (Some(known), Some(session)) = (known, session) else {
            let _ = self.apply(op);
            return;
        };
        let options = op.options();
        if options.and_then(|options| options.op.as_ref()).is_some_and(|name| known.ops.contains_key(name)) {
            // A repetition has left no record.
            return;
        }
        let session = Arc::make_mut(session);
        let expected = options.and_then(|options| options.expect_head);
        let done = match op {
            Op::Append(..)
                if expected.is_none_or(|head| head == session.head()) && !session.facts.trashed =>
            {
                // Numbers that its writer knew of stay taken.
                while session.messages.len() < known.messages.len() {
                    session.push("".into(), true);
                }
                session.apply(&op.unconditional())
            }
            Op::Text(id, seq, part, text, None, options) => {
                // A text counts only where it was to stand.
                let message = known.messages.get(*seq as usize - 1);
                let at = message.and_then(|message| text_len(&value(&message.json), *part));
                session.apply(&Op::Text(id.clone(), *seq, *part, text.clone(), at, options.clone()))
            }
            Op::Revert(..) | Op::Switch(..) => session.move_head_after_loss(op, known),
            _ => session.apply(op),
        };
        // A change of a message that cannot be read has been made all the same.
        let name = options.and_then(|options| options.op.clone()).filter(|_| done == Err(ErrorKind::Damaged));
        session.ops.extend(name.map(|name| (name, (0, 0))));
    }

    /// Notes the id of a message.
    pub fn note_id(&mut self, id: &str, seq: u64, ulid: &str) {
        if let Some(session) = self.sessions.get_mut(id) {
            Arc::make_mut(session).messages[seq as usize - 1].id = ulid.into();
        }
    }

    /// Whether both are one and the same; `false` says nothing.
    pub fn same(&self, other: &Self) -> bool {
        let same = |(a, b): ((&String, &Arc<Session>), (&String, &Arc<Session>))| {
            a.0 == b.0 && Arc::ptr_eq(a.1, b.1)
        };
        self.sessions.len() == other.sessions.len() && self.sessions.iter().zip(&other.sessions).all(same)
    }

    /// Takes a session as another model has it.
    pub fn take_session(&mut self, id: &str, from: &Self) {
        self.sessions.remove(id);
        self.sessions
            .extend(from.sessions.get_key_value(id).map(|(id, session)| (id.clone(), session.clone())));
    }

    /// The ids of all sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        self.sessions.keys().map(String::as_str)
    }

    /// How many messages a session has, hidden ones included, and how many are visible.
    pub fn counts(&self, id: &str) -> Option<(u64, u64)> {
        self.sessions.get(id).map(|session| (session.messages.len() as u64, session.path.len() as u64))
    }

    /// The last visible message of a session.
    pub fn head(&self, id: &str) -> u64 {
        self.sessions.get(id).map_or(0, |session| session.head())
    }

    /// Whether a session is in the trash.
    pub fn is_trashed(&self, id: &str) -> bool {
        self.sessions.get(id).is_some_and(|session| session.facts.trashed)
    }

    /// The tips of a session's branches, the visible one first.
    pub fn tips(&self, id: &str) -> Vec<u64> {
        self.sessions
            .get(id)
            .map(|session| session.branches().iter().map(|branch| branch.0).collect())
            .unwrap_or_default()
    }

    /// Checks that a reader has seen exactly this.
    pub fn check(&self, seen: &Seen) -> Result<(), String> {
        let ours: Vec<&str> = self.sessions().collect();
        let theirs: Vec<&str> = seen.sessions.keys().map(String::as_str).collect();
        if ours != theirs {
            return Err(format!("sessions {theirs:?}, not {ours:?}"));
        }
        let check = |(id, session): (&String, &Arc<Session>)| {
            session.check(&seen.sessions[id]).map_err(|error| format!("{id}: {error}"))
        };
        self.sessions.iter().try_for_each(check)
    }
}

impl Session {
    /// What is asked for must exist; then the conditions under which it is asked decide.
    fn apply(&mut self, op: &Op) -> Result<Answer, ErrorKind> {
        let Some(options) = op.options() else { return self.perform(op).map(|(answer, _)| answer) };
        if let Some((seq, count)) = options.op.as_ref().and_then(|name| self.ops.get(name)) {
            return Ok(match op {
                Op::Append(..) => Answer::Appended(*seq, *count, true),
                Op::Patch(..) | Op::Parts(..) => Answer::Length(0),
                _ => self.answer(),
            });
        }
        let mut done = self.clone();
        let (answer, added) = done.perform(op)?;
        let trashed = self.facts.trashed && !matches!(op, Op::Facts(..));
        if trashed || options.expect_head.is_some_and(|head| head != self.head()) {
            return Err(ErrorKind::Conflict);
        }
        done.ops.extend(options.op.clone().map(|name| (name, added)));
        *self = done;
        Ok(answer)
    }

    /// Returns the answer, and the first message that was added and how many.
    fn perform(&mut self, op: &Op) -> Result<(Answer, (u64, u64)), ErrorKind> {
        match op {
            Op::Append(_, messages, _) => {
                let (first, count) = (self.messages.len() as u64 + 1, messages.len() as u64);
                messages.iter().for_each(|json| self.push(json.as_str().into(), false));
                self.undo = None;
                return Ok((Answer::Appended(first, count, false), (first, count)));
            }
            Op::Text(_, seq, part, text, at, _) => {
                return Ok((Answer::Length(self.add_text(*seq, *part, text, *at)?), (0, 0)));
            }
            Op::Patch(_, seq, patch, _) => {
                self.change(*seq, |message| merge(message, value(patch)))?;
                return Ok((Answer::Length(0), (0, 0)));
            }
            Op::Parts(_, seq, parts, _) => {
                self.change(*seq, |message| {
                    if let (Some(all), Value::Array(mut parts)) =
                        (message["parts"].as_array_mut(), value(parts))
                    {
                        all.append(&mut parts);
                    }
                })?;
                return Ok((Answer::Length(0), (0, 0)));
            }
            Op::Revert(_, to, inclusive, _) => {
                self.known(*to)?;
                let place = self.path.iter().position(|seq| seq == to).ok_or(ErrorKind::Conflict)?;
                let before = self.path.clone();
                self.path.truncate(if *inclusive { place } else { place + 1 });
                // One that hides nothing leaves nothing to undo.
                if self.path != before {
                    self.undo = self.undo.take().or(Some(before));
                }
            }
            Op::Unrevert(..) => self.path = self.undo.take().ok_or(ErrorKind::Conflict)?,
            Op::Switch(_, to, _) => {
                self.known(*to)?;
                self.path = self.path_to(*to);
                self.undo = None;
            }
            Op::Facts(_, patch, _) => self.facts.patch(patch),
            Op::Trash(_) | Op::Restore(_) => self.facts.trashed = matches!(op, Op::Trash(_)),
            Op::Touch(_) => {}
            _ => return Ok((Answer::Done, (0, 0))),
        }
        Ok((self.answer(), (0, 0)))
    }

    /// A record that moves the head says which message of the path stays last and which ones come behind it.
    fn move_head_after_loss(&mut self, op: &Op, known: &Self) -> Result<Answer, ErrorKind> {
        let mut target = known.clone();
        target.perform(op)?;
        let shared = known.path.iter().zip(&target.path).take_while(|(a, b)| a == b).count();
        let keep = shared.checked_sub(1).map(|last| target.path[last]);
        let behind = &target.path[shared..];
        let cut =
            keep.map_or(Some(0), |keep| self.path.iter().position(|seq| *seq == keep).map(|place| place + 1));
        let there = behind.iter().all(|seq| *seq <= self.messages.len() as u64);
        let path = cut
            .filter(|_| there)
            .map(|cut| [&self.path[..cut], behind].concat())
            .ok_or(ErrorKind::Conflict)?;
        let options = op.options().cloned().unwrap_or_default();
        if self.facts.trashed || options.expect_head.is_some_and(|head| head != self.head()) {
            return Err(ErrorKind::Conflict);
        }
        let before = std::mem::replace(&mut self.path, path);
        match op {
            Op::Revert(..) if self.path != before => self.undo = self.undo.take().or(Some(before)),
            Op::Revert(..) => {}
            _ => self.undo = None,
        }
        self.ops.extend(options.op.map(|name| (name, (0, 0))));
        Ok(self.answer())
    }

    fn change(&mut self, seq: u64, change: impl FnOnce(&mut Value)) -> Result<(), ErrorKind> {
        let place = self.known(seq)?;
        let message = &mut self.messages[place];
        if message.lost {
            return Err(ErrorKind::Damaged);
        }
        let mut json = value(&message.json);
        change(&mut json);
        message.json = json.to_string().into();
        message.changed = true;
        Ok(())
    }

    fn add_text(&mut self, seq: u64, part: u64, text: &str, at: Option<u64>) -> Result<u64, ErrorKind> {
        let place = self.known(seq)?;
        let len = text_len(&value(&self.messages[place].json), part).ok_or(ErrorKind::Invalid)?;
        if at.is_some_and(|at| at != len) {
            return Err(ErrorKind::Conflict);
        }
        self.change(seq, |message| {
            let Some(parts) = message["parts"].as_array_mut() else { return };
            match parts.get_mut(part as usize) {
                Some(part) => {
                    part["text"] = format!("{}{text}", part["text"].as_str().unwrap_or_default()).into();
                }
                None => parts.push(serde_json::json!({"type": "text", "text": text})),
            }
        })?;
        Ok(len + text.len() as u64)
    }

    fn check(&self, seen: &SeenSession) -> Result<(), String> {
        let same = |what: &str, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
            let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
            if ours == theirs { Ok(()) } else { Err(format!("{what} {theirs}, not {ours}")) }
        };
        if self.answer() != seen.answer {
            return Err(format!("{:?}, not {:?}", seen.answer, self.answer()));
        }
        if self.facts != seen.facts {
            return Err(format!("facts {:?}, not {:?}", seen.facts, self.facts));
        }
        let readable: Vec<u64> =
            self.path.iter().copied().filter(|seq| !self.messages[*seq as usize - 1].lost).collect();
        let theirs: Vec<u64> = seen.messages.iter().map(|message| message.seq).collect();
        if readable != theirs {
            return same("messages", &readable, &theirs);
        }
        for message in &seen.messages {
            let ours = &self.messages[message.seq as usize - 1];
            let same_json = if ours.changed {
                value(&ours.json) == value(&message.json)
            } else {
                *ours.json == *message.json
            };
            if !same_json || ours.parent != message.parent || !(ours.id.is_empty() || *ours.id == *message.id)
            {
                return Err(format!("message {message:?}, not {ours:?}"));
            }
        }
        let lost: Vec<u64> =
            self.path.iter().copied().filter(|seq| self.messages[*seq as usize - 1].lost).collect();
        if lost != seen.unreadable {
            return same("unreadable", &lost, &seen.unreadable);
        }
        if self.branches() != seen.branches {
            return same("branches", &self.branches(), &seen.branches);
        }
        Ok(())
    }
}

impl Facts {
    fn patch(&mut self, patch: &SessionPatch) {
        if let Some(title) = &patch.title {
            self.title = title.clone();
        }
        if let Some(tags) = &patch.tags {
            self.tags = tags.clone();
        }
        match &patch.metadata {
            None => {}
            Some(None) => self.metadata = Value::Null,
            Some(Some(patch)) => {
                if self.metadata.is_null() {
                    self.metadata = value("{}");
                }
                merge(&mut self.metadata, value(patch));
            }
        }
    }
}

/// A merge patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = value("{}");
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, change) in patch {
        if change.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), change);
        }
    }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The length of a part's text; 0 right behind the last part.
fn text_len(message: &Value, part: u64) -> Option<u64> {
    let parts = message["parts"].as_array()?;
    if part == parts.len() as u64 {
        return Some(0);
    }
    parts.get(part as usize)?["text"].as_str().map(|text| text.len() as u64)
}

/// Everything that a reader can see of a store.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    sessions: BTreeMap<String, SeenSession>,
    /// Damaged ranges: session, from, to.
    pub damage: BTreeSet<(String, u64, u64)>,
}

#[derive(Clone, Debug)]
struct SeenSession {
    answer: Answer,
    facts: Facts,
    messages: Vec<SeenMessage>,
    unreadable: Vec<u64>,
    branches: Vec<(u64, u64, u64, bool)>,
}

#[derive(Clone, Debug)]
struct SeenMessage {
    seq: u64,
    parent: u64,
    id: Arc<str>,
    json: Arc<str>,
}

impl Seen {
    /// Whether there is such a session.
    pub fn has(&self, id: &str) -> bool {
        self.sessions.contains_key(id)
    }
}

/// Reads everything, page by page, and checks that the ways of reading agree with each other.
pub fn see(store: &mut impl Sessions, page: u32) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for trashed in [false, true] {
        let mut query = ListQuery { trashed, limit: page, ..ListQuery::default() };
        let mut updated = u64::MAX;
        loop {
            let listed = store.list(&query).map_err(|error| format!("list: {:?}: {error}", error.kind))?;
            for session in listed.sessions {
                if session.facts.updated > updated || session.facts.trashed.is_some() != trashed {
                    return Err(format!("{} is listed out of place", session.id));
                }
                updated = session.facts.updated;
                let (id, one) = see_session(store, &session, page, &mut seen.damage)
                    .map_err(|error| format!("{}: {error}", session.id))?;
                if seen.sessions.insert(id, one).is_some() {
                    return Err(format!("{} is listed twice", session.id));
                }
            }
            match listed.next {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
    }
    Ok(seen)
}

fn see_session(
    store: &mut impl Sessions,
    listed: &sessile_core::Session,
    page_size: u32,
    damage: &mut BTreeSet<(String, u64, u64)>,
) -> Result<(String, SeenSession), String> {
    let text = |error: Error| format!("{:?}: {error}", error.kind);
    let id = &listed.id;
    let session = store.get(id).map_err(text)?;
    if session != *listed {
        return Err(format!("get returns {session:?}, list {listed:?}"));
    }
    let (mut messages, mut unreadable) = (Vec::new(), Vec::new());
    let mut select = Select::From { seq: 1, limit: page_size };
    loop {
        let page = store.read(id, &select).map_err(text)?;
        read_messages(&page.messages, &mut messages)?;
        unreadable.extend(page.unreadable);
        damage.extend(page.damage.into_iter().map(|damage| (damage.session, damage.from, damage.to)));
        match page.next {
            Some(cursor) => select = Select::Cursor { cursor, limit: page_size },
            None => break,
        }
    }
    let mut last = Vec::new();
    read_messages(&store.read(id, &Select::Last(2)).map_err(text)?.messages, &mut last)?;
    let fits = last
        .iter()
        .rev()
        .zip(messages.iter().rev())
        .all(|(a, b): (&SeenMessage, &SeenMessage)| a.seq == b.seq && a.json == b.json);
    if !fits {
        return Err(format!("the last messages are {last:?}, read from the front {messages:?}"));
    }
    let branches = store.branches(id).map_err(text)?;
    let branches = branches
        .iter()
        .map(|branch| (branch.tip, branch.message_count, branch.shared, branch.current))
        .collect();
    let facts = Facts {
        title: session.facts.title.clone(),
        tags: session.facts.tags.clone(),
        metadata: session.facts.metadata.as_ref().map_or(Value::Null, |metadata| value(metadata.as_str())),
        trashed: session.facts.trashed.is_some(),
    };
    let answer = Answer::Session(session.head, session.message_count, session.can_unrevert);
    Ok((id.clone(), SeenSession { answer, facts, messages, unreadable, branches }))
}

fn read_messages(json: &str, out: &mut Vec<SeenMessage>) -> Result<(), String> {
    let items: Vec<BTreeMap<&str, &RawValue>> =
        serde_json::from_str(json).map_err(|error| format!("a page is no JSON: {error}"))?;
    for item in items {
        let number = |key: &str| item.get(key).and_then(|raw| raw.get().parse().ok()).unwrap_or(u64::MAX);
        let text = |key: &str| item.get(key).map_or("", |raw| raw.get());
        let id = text("id").trim_matches('"').into();
        out.push(SeenMessage {
            seq: number("seq"),
            parent: number("parent"),
            id,
            json: text("message").into(),
        });
    }
    Ok(())
}

/// Checks that a store holds what the model says, whatever the size of its pages.
pub fn compare(store: &mut impl Sessions, model: &Model) -> Result<Seen, String> {
    let seen = see(store, 100)?;
    model.check(&seen)?;
    Ok(seen)
}
