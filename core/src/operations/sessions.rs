//! Sessions by name: titles, saving as a whole, what a model is shown, counting, scopes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Operation, Run, all_sessions, write_options};
use crate::api::{MessageRef, Select, Sessions, WriteOptions};
use crate::facts::{Session, SessionPatch};
use crate::host::{Durability, Host};
use crate::json::{Json, quote};
use crate::limits::{TITLE_BYTES_MAX, check_number};
use crate::store::{Draft, Store};
use crate::{Error, ErrorKind, Result};

/// The most characters of a title that a person gives.
const TITLE_CHARS_MAX: usize = 100;
/// The most ancestors that are followed.
const ANCESTORS_MAX: usize = 1000;
const PAGE: u32 = 1000;

/// Gives a session the title that a person has chosen; suggested ones no longer replace it.
///
/// Errors: `invalid` (nothing but spaces, or more than 100 characters), `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameSession {
    /// The session.
    pub session: String,
    /// Its title; spaces around it go.
    pub title: String,
}

/// Gives a session a title that a program has made, unless a person has chosen one: then nothing happens, also where that
/// was at the same moment. It is cut to 1,024 bytes.
///
/// Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuggestTitle {
    /// The session.
    pub session: String,
    /// The title.
    pub title: String,
}

/// The answer of what is about one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneSession {
    /// The session as it is now.
    pub session: Session,
}

/// Makes a session hold exactly these messages, with as few writes as can be: what it has already stays, what is new is
/// appended. Where they differ, what it has is hidden in the same step; `branches` shows it, and `switch`
/// brings it back.
///
/// Guarantee: a copy that is older than the session never hides what came since, because hiding needs `expect_head`.
/// Errors: `conflict` (it would hide messages, and `expect_head` is not the head), `damaged` (messages that it has cannot
/// be read), `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveSession {
    /// The session.
    pub session: String,
    /// All its messages, as `append` takes them.
    pub messages: Json,
    /// The head that the caller has seen.
    #[serde(default)]
    pub expect_head: Option<u64>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// What saving did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// How many messages it had already.
    pub kept: u64,
    /// How many were hidden.
    pub hidden: u64,
    /// How many were appended.
    pub appended: u64,
    /// The head now.
    pub head: u64,
}

/// Reads the end of a session as a model should be shown it: at most so many messages, and more only where the first of
/// them would be a tool's result without its call. What is stored is not cut.
///
/// Errors: `not-found`; `damaged` where a message of the view cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadView {
    /// The session.
    pub session: String,
    /// At most so many messages, 1 to 10,000.
    pub limit: u32,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// As `read` gives them.
    pub messages: Json,
    /// How many visible messages lie before them.
    pub before: u64,
}

/// Counts sessions, without reading their logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountSessions {
    /// Of this scope alone.
    pub scope: Option<String>,
}

/// How many sessions there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// Those that are listed.
    pub total: u64,
    /// Those in the trash.
    pub trashed: u64,
    /// The listed ones by status.
    pub counters: BTreeMap<String, u64>,
}

/// Gives the scope of a working directory: absolute, without `.`, `..`, doubled or trailing slashes. The disk is not asked,
/// so links stay as they are.
///
/// Errors: `invalid` (not absolute).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryScope {
    /// An absolute path, of Unix or Windows.
    pub directory: String,
}

/// A scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// As `create` and `list` take it.
    pub scope: String,
}

/// Finds the session that a session descends from, over all parents that are there: the one that a fork of a fork belongs
/// to. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootSession {
    /// The session.
    pub session: String,
}

impl Operation for RenameSession {
    const NAME: &'static str = "rename_session";
    type Answer = OneSession;
}

impl Run for RenameSession {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OneSession> {
        let title = self.title.trim();
        if title.is_empty() {
            return Err(Error::invalid("the title is empty; give 1 to 100 characters"));
        }
        let count = title.chars().count();
        if count > TITLE_CHARS_MAX {
            return Err(Error::invalid(format!(
                "the title has {count} characters; give at most {TITLE_CHARS_MAX}"
            )));
        }
        let patch = SessionPatch {
            title: Some(Some(title.to_owned())),
            title_manual: Some(true),
            ..SessionPatch::default()
        };
        store.update(&self.session, &patch, &WriteOptions::default()).map(|session| OneSession { session })
    }
}

impl Operation for SuggestTitle {
    const NAME: &'static str = "suggest_title";
    type Answer = OneSession;
}

impl Run for SuggestTitle {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OneSession> {
        let title = self.title.trim();
        let end = (0..=title.len().min(TITLE_BYTES_MAX))
            .rev()
            .find(|end| title.is_char_boundary(*end))
            .unwrap_or(0);
        let title = title.get(..end).unwrap_or_default();
        crate::id::check_id("session id", &self.session)?;
        store.change(&self.session, &write_options(None, Durability::Synced), &mut |view| {
            let mut draft = Draft::default();
            if !view.facts.title_manual && view.facts.title.as_deref() != Some(title) && !title.is_empty() {
                draft.facts(format!("{{\"title_auto\":{}}}", quote(title)));
            }
            Ok((draft, ()))
        })?;
        store.get(&self.session).map(|session| OneSession { session })
    }
}

/// A message of a page.
#[derive(Deserialize)]
struct Stored<'a> {
    seq: u64,
    #[serde(borrow)]
    message: &'a RawValue,
}

impl Operation for SaveSession {
    const NAME: &'static str = "save_session";
    type Answer = Saved;
}

impl Run for SaveSession {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Saved> {
        check_number("a head", self.expect_head)?;
        let minified = crate::message::minify_all(self.messages.as_str())?;
        let wanted = match minified.as_ref() {
            "[]" => Vec::new(),
            messages => crate::message::check_all(messages)?,
        };
        let session = store.get(&self.session)?;
        let (mut kept, mut last) = (0_usize, 0);
        let mut select = Select::From { seq: 1, limit: PAGE };
        'pages: loop {
            let page = store.read(&self.session, &select)?;
            if !page.unreadable.is_empty() {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!("session {} has messages that cannot be read; run doctor", self.session),
                ));
            }
            for stored in parse::<Vec<Stored<'_>>>(&page.messages)? {
                if wanted.get(kept).copied() != Some(stored.message.get()) {
                    break 'pages;
                }
                (kept, last) = (kept + 1, stored.seq);
            }
            match page.next {
                Some(cursor) => select = Select::Cursor { cursor, limit: PAGE },
                None => break,
            }
        }
        let hidden = session.message_count - kept as u64;
        let mut head = session.head;
        if hidden > 0 && self.expect_head != Some(head) {
            return Err(Error::conflict(format!(
                "session {} has {hidden} other messages behind these; read it again, or give its head {head} as expect_head",
                self.session
            )));
        }
        if self.expect_head.is_some_and(|expected| expected != head) {
            return Err(Error::conflict(format!(
                "the head of session {} is {head}; read it again and decide",
                self.session
            )));
        }
        let options =
            WriteOptions { expect_head: Some(head), durability: self.durability, ..WriteOptions::default() };
        let rest = wanted.get(kept..).unwrap_or_default();
        if !rest.is_empty() {
            // One record: a process that dies leaves the session as it was, or as it is wanted.
            let keep = (hidden > 0).then_some(last);
            head = store.append_behind(&self.session, keep, &format!("[{}]", rest.join(",")), &options)?.head;
        } else if hidden > 0 {
            // The first message is hidden by a revert to it that includes it.
            let (to, inclusive) =
                if last == 0 { (first(store, &self.session)?, true) } else { (last, false) };
            head = store.revert(&self.session, &MessageRef::Seq(to), inclusive, &options)?.head;
        }
        Ok(Saved { kept: kept as u64, hidden, appended: rest.len() as u64, head })
    }
}

/// The number of the first visible message.
fn first<H: Host>(store: &mut Store<H>, id: &str) -> Result<u64> {
    let page = store.read(id, &Select::From { seq: 1, limit: 1 })?;
    Ok(parse::<Vec<Stored<'_>>>(&page.messages)?.first().map_or(1, |stored| stored.seq))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::internal(error.to_string()))
}

impl Operation for ReadView {
    const NAME: &'static str = "read_view";
    type Answer = View;
}

impl Run for ReadView {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<View> {
        let count = store.get(&self.session)?.message_count;
        let mut limit = self.limit;
        loop {
            let page = store.read(&self.session, &Select::Last(limit))?;
            if let Some(seq) = page.unreadable.first() {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "message {seq} of session {} cannot be read; `read` gives those around it",
                        self.session
                    ),
                ));
            }
            let messages: Vec<Json> = parse(&page.messages)?;
            let all = messages.len() as u64 >= count || limit >= crate::limits::PAGE_MESSAGES_MAX;
            let spare = messages.len().saturating_sub(self.limit as usize);
            // From the cut back to the last message that no call must precede.
            let begin =
                (0..=spare).rev().find(|at| messages.get(*at).is_none_or(|message| !is_result(message)));
            if let Some(begin) = begin.or(all.then_some(0)) {
                let shown = messages.get(begin..).unwrap_or_default();
                let text: Vec<&str> = shown.iter().map(Json::as_str).collect();
                return Ok(View {
                    messages: Json::minified(format!("[{}]", text.join(","))),
                    before: count.saturating_sub(shown.len() as u64),
                });
            }
            limit = limit.saturating_mul(2).min(crate::limits::PAGE_MESSAGES_MAX);
        }
    }
}

/// Whether a stored message is a tool's result.
fn is_result(stored: &Json) -> bool {
    #[derive(Deserialize)]
    struct Shown {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        role: String,
        #[serde(default)]
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_str::<Shown>(stored.as_str()).is_ok_and(|shown| {
        let result = |part: &Part| part.kind == "tool_result";
        shown.message.role == "tool" || shown.message.parts.first().is_some_and(result)
    })
}

impl Operation for CountSessions {
    const NAME: &'static str = "count_sessions";
    type Answer = SessionCounts;
}

impl Run for CountSessions {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<SessionCounts> {
        let mut counts = SessionCounts::default();
        for session in all_sessions(store, self.scope.as_deref(), false)? {
            counts.total += 1;
            *counts.counters.entry(session.facts.status.name().to_owned()).or_default() += 1;
        }
        counts.trashed = all_sessions(store, self.scope.as_deref(), true)?.len() as u64;
        Ok(counts)
    }
}

impl Operation for DirectoryScope {
    const NAME: &'static str = "directory_scope";
    type Answer = Scope;
}

impl Run for DirectoryScope {
    fn run<H: Host>(self, _: &mut Store<H>) -> Result<Scope> {
        let path = &self.directory;
        let has_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
        let windows = has_drive || path.starts_with("\\\\");
        let is_separator = |letter: char| letter == '/' || (windows && letter == '\\');
        let (root, rest, separator) = match (windows, path.split_once(':')) {
            (true, Some((drive, rest))) if !path.starts_with('\\') => {
                (format!("{}:", drive.to_uppercase()), rest, "\\")
            }
            (true, _) => ("\\".to_owned(), path.get(1..).unwrap_or_default(), "\\"),
            _ => (String::new(), path.as_str(), "/"),
        };
        if !rest.starts_with(is_separator) || path.contains('\0') {
            return Err(Error::invalid("the directory is not absolute; give its whole path"));
        }
        let mut names: Vec<&str> = Vec::new();
        for name in rest.split(is_separator) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        Ok(Scope { scope: format!("{root}{separator}{}", names.join(separator)) })
    }
}

impl Operation for RootSession {
    const NAME: &'static str = "root_session";
    type Answer = OneSession;
}

impl Run for RootSession {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OneSession> {
        let mut session = store.get(&self.session)?;
        for _ in 0..ANCESTORS_MAX {
            let Some(parent) = session.facts.parent.clone() else { break };
            match store.get(&parent) {
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => break,
                parent => session = parent?,
            }
        }
        Ok(OneSession { session })
    }
}
