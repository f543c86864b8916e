//! `sessile import`: finds session files, hands their bytes to the importer and writes what comes back.
//!
//! Every message is appended with its key as operation id, so nothing is ever doubled: not by importing again, not
//! by two imports at once, not after a crash in the middle. What a file has given is noted in the session's metadata
//! (`imported`); it only saves work, and where it is absent or does not fit the file, the operation ids decide.
//!
//! Lines that are no messages travel with the messages, verbatim, in `source.extra` of one of them, beside
//! `source.raw`. As messages of their own they would distort counts, tails and what a host sends to a model; as a
//! session of their own they would distort lists and stay behind in a fork or a purge.

pub mod formats;
mod layouts;
mod lines;
mod nanoclaw;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sessile::import::{
    Import, ImportedExtra, ImportedMessage, ImportedSession, Lines, claude, nanocoder, nomadarch, octocode,
    patch_of,
};
use sessile::limits::MESSAGE_BYTES_MAX;
use sessile::operations::attachments::{Direction, StoreAttachments};
use sessile::operations::usage::{AddUsage, Amounts};
use sessile::{
    Appended, Durability, Error, ErrorKind, ForkOptions, Json, MessageChange, MessageRef, NewSession, Select,
    Session, SessionPatch, Store, WriteOptions, export,
};

use crate::commands::Context;
use crate::exit::{OK, error};
use crate::output::{BOLD, DIM, DOUBTFUL, Out, counted, grouped, safe_line};

/// Extra lines travel in portions of about this size, so that no message gets heavy by them.
const EXTRA_BYTES: usize = 64 * 1024;
/// The longest line that is no message, quoted: more does not fit into any.
const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 4096;
/// How many problems of a file people are shown; `--json` has all.
const PROBLEMS_SHOWN: usize = 5;

/// At most so many messages are read at once.
const PAGE: u32 = 1000;

const FORMAT: &str = "claude-code";

pub use layouts::Layout;
use lines::FileLines;

/// What an import has done.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Files that were imported.
    pub files: u64,
    /// Lines of these files.
    pub lines: u64,
    pub sessions: Count,
    pub messages: Count,
    /// Messages that the store had and that have changed since.
    pub changed_messages: u64,
    /// Lines that are no messages.
    pub other_lines: Count,
    /// Answers whose usage was entered.
    pub usage: Count,
    /// Places of agents that were found, where all were looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// The sessions, in the order in which they were written.
    pub session_ids: Vec<String>,
    /// What could not be taken as it stands.
    pub problems: Vec<Problem>,
    /// Files that are not what was asked for.
    pub skipped: Vec<Skipped>,
}

/// How many were new, and how many the store had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub new: u64,
    pub known: u64,
}

#[derive(Debug, Serialize)]
pub struct Problem {
    pub file: String,
    /// The line, where the problem has one.
    pub line: Option<u64>,
    pub reason: String,
}

#[derive(Debug, Serialize)]
pub struct Skipped {
    pub file: String,
    pub reason: String,
}

impl Count {
    fn total(self) -> u64 {
        self.new + self.known
    }

    fn add(&mut self, is_new: bool) {
        *(if is_new { &mut self.new } else { &mut self.known }) += 1;
    }
}

/// Runs `import claude`.
pub fn claude(context: &mut Context, paths: &[PathBuf]) -> Result<u8> {
    let mut summary = Summary::default();
    let files = find_files(paths, &mut summary)?;
    let mut store = context.opening.make()?;
    let outcome = import_files(&mut store, &files, &mut summary, !context.out.json);
    report(context, outcome, &summary)
}

/// Prints what an import has done, as far as it came.
fn report(context: &mut Context, outcome: Result<()>, summary: &Summary) -> Result<u8> {
    if context.out.json {
        if outcome.is_ok() {
            context.out.document(summary)?;
        }
    } else {
        print_summary(&mut context.out, summary, PROBLEMS_SHOWN)?;
    }
    outcome.map(|()| OK)
}

/// Runs `import` of a format whose sessions lie in files of one JSON document.
pub fn layout(context: &mut Context, layout: Layout, paths: &[PathBuf]) -> Result<u8> {
    let mut seen = Seen::default();
    each_path(context, paths, &mut |store, path, summary| layout.import(store, path, summary, &mut seen))
}

/// Runs `import nanoclaw`.
pub fn nanoclaw(context: &mut Context, paths: &[PathBuf]) -> Result<u8> {
    each_path(context, paths, &mut nanoclaw::import)
}

/// Imports what lies at each path, and prints what that has done.
fn each_path(
    context: &mut Context,
    paths: &[PathBuf],
    import: &mut dyn FnMut(&mut Store, &Path, &mut Summary) -> Result<()>,
) -> Result<u8> {
    let mut summary = Summary::default();
    for path in paths {
        look_at(path)?;
    }
    let mut store = context.opening.make()?;
    let outcome = paths.iter().try_for_each(|path| import(&mut store, path, &mut summary));
    report(context, outcome, &summary)
}

/// Finds the files in `paths`, in the order of their names.
///
/// Errors: `not-found` where a path does not exist. What cannot be read below one is noted.
pub fn find_files(paths: &[PathBuf], summary: &mut Summary) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        if look_at(path)?.is_dir() {
            walk(path, &mut found, summary);
        } else {
            found.insert(path.clone());
        }
    }
    Ok(found.into_iter().collect())
}

fn look_at(path: &Path) -> Result<fs::Metadata> {
    let shown = path.display();
    fs::metadata(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => {
            error(ErrorKind::NotFound, format!("there is nothing at {shown}; give a file or a directory"))
        }
        _ => anyhow::Error::new(cause).context(format!("cannot look at {shown}")),
    })
}

/// Collects session files below a directory. Links are not followed: they can lead in circles.
fn walk(directory: &Path, found: &mut BTreeSet<PathBuf>, summary: &mut Summary) {
    let mut skip = |path: &Path, reason: String| {
        summary.skipped.push(Skipped { file: path.display().to_string(), reason });
    };
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(cause) => {
                skip(&directory, format!("cannot be read: {cause}"));
                continue;
            }
        };
        for entry in entries {
            let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                Ok(entry) => entry,
                Err(cause) => {
                    skip(&directory, format!("cannot be read whole: {cause}"));
                    continue;
                }
            };
            let is_session = path.extension().is_some_and(|extension| extension == "jsonl");
            if kind.is_dir() {
                waiting.push(path);
            } else if is_session && kind.is_file() {
                found.insert(path);
            } else if is_session {
                skip(&path, "a link; give the file itself".to_owned());
            }
        }
    }
}

/// Imports files. What is wrong with one of them does not stop the others; what is wrong with the store does.
pub fn import_files(
    store: &mut Store,
    files: &[PathBuf],
    summary: &mut Summary,
    with_bar: bool,
) -> Result<()> {
    let sizes: Vec<u64> =
        files.iter().map(|file| fs::metadata(file).map_or(0, |facts| facts.len())).collect();
    let bar = progress(sizes.iter().sum(), with_bar);
    let mut seen = Seen::default();
    let mut imported = Ok(());
    for (file, bytes) in files.iter().zip(sizes) {
        bar.set_message(file.file_name().map(|name| safe_line(&name.to_string_lossy())).unwrap_or_default());
        imported = import_file(store, file, summary, &mut seen);
        if imported.is_err() {
            break;
        }
        bar.inc(bytes);
    }
    bar.finish_and_clear();
    imported
}

fn progress(bytes: u64, with_bar: bool) -> ProgressBar {
    if !with_bar || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    let template = "{bar:30.cyan/dim} {bytes}/{total_bytes} {wide_msg:.dim}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn import_file(store: &mut Store, file: &Path, summary: &mut Summary, seen: &mut Seen) -> Result<()> {
    let shown = file.display().to_string();
    let skip =
        |summary: &mut Summary, reason: String| summary.skipped.push(Skipped { file: shown.clone(), reason });
    let import = match lines::head(file) {
        Ok(head) if claude::looks_like(&head) => parse(file),
        Ok(head) => {
            let reason = if head.is_empty() { "empty" } else { "not a session of Claude Code" };
            skip(summary, reason.to_owned());
            return Ok(());
        }
        Err(cause) => Err(cause),
    };
    let import = match import {
        Ok(import) => import,
        Err(cause) => {
            skip(summary, format!("cannot be read: {cause:#}"));
            return Ok(());
        }
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut taking = Taking { store, format: FORMAT, file: name, shown, summary, seen };
    taking.file(import)
}

/// Taking the sessions of one file.
struct Taking<'a> {
    store: &'a mut Store,
    format: &'static str,
    /// The file's name, which the metadata keeps.
    file: String,
    /// The path, for people.
    shown: String,
    summary: &'a mut Summary,
    /// The sessions of this run.
    seen: &'a mut Seen,
}

/// The sessions of this run, each with the answers that it has told the usage of: a fork tells its parent's again.
type Seen = BTreeMap<String, BTreeSet<String>>;

impl Taking<'_> {
    fn file(&mut self, mut import: Import) -> Result<()> {
        let sessions = std::mem::take(&mut import.sessions);
        self.note_file(import);
        sessions.into_iter().try_for_each(|mut session| {
            self.leave_out(&mut session.extra);
            self.session(&session)
        })
    }

    /// Leaves out lines that no message can hold, so that they cost nothing but themselves.
    fn leave_out(&mut self, extra: &mut Vec<ImportedExtra>) {
        extra.retain(|ImportedExtra { line, json }| {
            let is_kept = json.len() < EXTRA_BYTES || quoted_bytes(json) <= LINE_BYTES_MAX;
            if !is_kept {
                let reason =
                    format!("a line of {} bytes, more than a message can hold; not kept", json.len());
                self.note(Some(*line), reason);
            }
            is_kept
        });
    }

    /// Counts a file and notes its problems.
    fn note_file(&mut self, import: Import) {
        self.summary.files += 1;
        self.summary.lines += import.lines;
        for problem in import.problems {
            self.note(Some(problem.line), problem.what);
        }
    }

    fn note(&mut self, line: Option<u64>, reason: String) {
        self.summary.problems.push(Problem { file: self.shown.clone(), line, reason });
    }

    /// Writes a session. What is wrong with it is noted; what is wrong with the store is an error.
    fn session(&mut self, session: &ImportedSession) -> Result<()> {
        let mut writing = Writing {
            store: self.store,
            format: self.format,
            file: &self.file,
            shown: &self.shown,
            summary: self.summary,
        };
        let of_parent =
            session.parent.as_ref().and_then(|parent| self.seen.get(parent)).cloned().unwrap_or_default();
        match writing.write(session, &of_parent) {
            Ok(is_new) => {
                if !self.seen.contains_key(&session.id) {
                    self.summary.sessions.add(is_new);
                    self.summary.session_ids.push(session.id.clone());
                }
                let told = session.usage.iter().map(|usage| usage.key.clone());
                self.seen.entry(session.id.clone()).or_default().extend(told);
                Ok(())
            }
            Err(cause) if is_of_session(cause.kind) => {
                self.note(None, format!("session {} was not taken whole: {}", session.id, cause.message));
                Ok(())
            }
            Err(cause) => Err(anyhow::Error::new(cause).context(format!("cannot import {}", self.shown))),
        }
    }
}

/// Whether an error is about one session, so that the next one may go well.
fn is_of_session(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Damaged | ErrorKind::NotFound)
}

/// `<parent>/subagents/agent-<id>.jsonl` is a sub-agent's file, everything else a session's.
fn parse(path: &Path) -> Result<Import> {
    let mut lines = FileLines::open(path)?;
    Ok(parse_lines(path, &mut lines))
}

fn parse_lines(path: &Path, lines: &mut dyn Lines) -> Import {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let directory =
        path.parent().filter(|directory| directory.file_name().is_some_and(|name| name == "subagents"));
    let parent =
        directory.and_then(Path::parent).and_then(Path::file_name).map(|name| name.to_string_lossy());
    match (parent, stem.strip_prefix("agent-")) {
        (Some(parent), Some(agent_id)) => {
            let meta = fs::read(path.with_extension("meta.json")).ok();
            claude::sub_agent_of_lines(&parent, agent_id, meta.as_deref(), lines)
        }
        _ => claude::session_of_lines(&stem, lines),
    }
}

/// What the metadata of a session says about its import, under `imported`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Noted {
    format: String,
    /// `updated` of the session when the import was done; from then on it was changed here.
    updated: u64,
    files: BTreeMap<String, NotedFile>,
}

/// How much of a file a session has: the first so many messages and other lines, and hashes by which they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct NotedFile {
    messages: usize,
    messages_hash: String,
    other_lines: usize,
    other_lines_hash: String,
    /// Answers whose usage is entered.
    #[serde(skip_serializing_if = "is_zero")]
    usage: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Noted {
    fn of(session: &Session) -> Option<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            imported: Option<Noted>,
        }
        let metadata = session.facts.metadata.as_ref()?;
        serde_json::from_str::<Metadata>(metadata.as_str()).ok()?.imported
    }
}

/// Writing what one file has given.
struct Writing<'a> {
    store: &'a mut Store,
    format: &'static str,
    /// The file's name, which the metadata keeps.
    file: &'a str,
    /// The path, for people.
    shown: &'a str,
    summary: &'a mut Summary,
}

/// Extra lines by the number of their line, as texts: nothing in them can be taken for anything else.
type Extra = BTreeMap<String, String>;

impl Writing<'_> {
    /// Writes a session and returns whether it is new.
    fn write(&mut self, session: &ImportedSession, of_parent: &BTreeSet<String>) -> Result<bool, Error> {
        let (stored, is_new) = self.find_or_create(session)?;
        let noted = Noted::of(&stored).unwrap_or_default();
        let known = noted.files.get(self.file).cloned().unwrap_or_default();

        // Of a message that changes, each version counts.
        let hash_of = |count: usize| {
            hash(session.messages.iter().take(count).flat_map(|message| {
                [Some(message.key.as_str()), message.version.as_deref()].into_iter().flatten()
            }))
        };
        let lines = || session.extra.iter().map(|extra| extra.json.as_str());
        let known_messages = if hash_of(known.messages) == known.messages_hash { known.messages } else { 0 };
        let knows_lines = hash(lines().take(known.other_lines)) == known.other_lines_hash;
        let known_lines = if knows_lines { known.other_lines } else { 0 };

        let new_lines = session.extra.get(known_lines..).unwrap_or_default();
        let mut portions = portions(new_lines);
        let new_messages = session.messages.get(known_messages..).unwrap_or_default();
        let inherited = self.inherited(&stored, new_messages)?;
        let (messages, refused) = self.append_messages(session, new_messages, &inherited, &mut portions)?;
        // Where the file's beginning is another now, numbers of lines may occur twice: only a message of its own
        // keeps both.
        let may_patch = known.other_lines == 0 || knows_lines;
        for portion in portions.into_iter().rev() {
            self.append_rest(session, &portion, may_patch)?;
        }
        if let Some(key) = &session.reverted {
            self.revert(session, key)?;
        }
        self.enter_usage(session, known.usage, of_parent)?;
        if known.messages > 0 && known_messages == 0 && self.format == nanocoder::FORMAT {
            self.problem(format!(
                "session {} begins otherwise than when it was imported; of what it says now, messages that the \
                 store had already were not added again",
                session.id
            ));
        }
        if known.messages > session.messages.len() {
            self.problem(format!(
                "session {} has {} messages fewer than were imported before; the store keeps them",
                session.id,
                known.messages - session.messages.len()
            ));
        }

        self.summary.messages.new += messages.new;
        self.summary.messages.known += messages.known + known_messages as u64;
        self.summary.other_lines.new += new_lines.len() as u64;
        self.summary.other_lines.known += known_lines as u64;
        // What was refused is tried again the next time, and reported again.
        let noted_messages = if refused == 0 { session.messages.len() } else { 0 };
        let now = NotedFile {
            messages: noted_messages,
            messages_hash: hash_of(noted_messages),
            other_lines: session.extra.len(),
            other_lines_hash: hash(lines()),
            usage: session.usage.len(),
        };
        if now != known || !has_metadata(&stored, session) {
            self.note(&stored, is_new, noted.updated, session, &now)?;
        }
        Ok(is_new)
    }

    fn problem(&mut self, reason: String) {
        self.problem_of_line(None, reason);
    }

    fn problem_of_line(&mut self, line: Option<u64>, reason: String) {
        self.summary.problems.push(Problem { file: self.shown.to_owned(), line, reason });
    }

    fn find_or_create(&mut self, session: &ImportedSession) -> Result<(Session, bool), Error> {
        let stored = match self.store.get(&session.id) {
            Err(cause) if cause.kind == ErrorKind::NotFound => match self.create(session) {
                // Another import was first.
                Err(cause) if cause.kind == ErrorKind::Conflict => self.store.get(&session.id)?,
                created => return Ok((created?, true)),
            },
            found => found?,
        };
        if stored.facts.trashed.is_some() {
            let message = "it is in the trash; `sessile restore` it and import again".to_owned();
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        // Sessions of Claude Code are in several files, and those name their messages themselves.
        let noted = Noted::of(&stored).unwrap_or_default();
        let in_one_file = [nanocoder::FORMAT, nomadarch::FORMAT, octocode::FORMAT].contains(&self.format);
        let is_from_elsewhere =
            noted.format != self.format || (in_one_file && !noted.files.contains_key(self.file));
        if self.format != FORMAT && is_from_elsewhere {
            let message = format!(
                "the store has a session {} that did not come from {}; import into another store",
                session.id, self.file
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok((stored, false))
    }

    fn create(&mut self, session: &ImportedSession) -> Result<Session, Error> {
        // Says from the first moment on where the session is from: an import that is interrupted goes on later.
        let metadata = session.metadata.as_ref().map(|metadata| {
            let noted = self.noted(0, &NotedFile::default());
            format!("{{{noted},{}", metadata.strip_prefix('{').unwrap_or_default())
        });
        if let Some(forked) = self.fork(session, metadata.as_deref())? {
            return Ok(forked);
        }
        self.store.create(&NewSession {
            id: Some(session.id.clone()),
            scope: session.scope.clone().unwrap_or_default(),
            title: session.title.clone(),
            title_manual: session.title_manual,
            agent: session.agent.clone(),
            provider: session.provider.clone(),
            model: session.model.clone(),
            parent: session.parent.clone(),
            tags: session.tags.clone(),
            metadata,
            created_at: session.created_ms,
            ..NewSession::default()
        })
    }

    /// Makes a session that shares messages with its parent as a fork, if the parent has exactly these.
    fn fork(&mut self, session: &ImportedSession, metadata: Option<&str>) -> Result<Option<Session>, Error> {
        let shared = session.messages.get(..session.shared).unwrap_or_default();
        let (Some(parent), Some(last)) = (&session.parent, shared.last()) else { return Ok(None) };
        let has_them = |ids: &[Id]| {
            ids.len() == shared.len() && ids.iter().zip(shared).all(|(id, message)| id.id == message.key)
        };
        match self.ids(parent, shared.len()) {
            Ok(ids) if has_them(&ids) => {}
            Ok(_) => return Ok(None),
            Err(cause) if is_of_session(cause.kind) => return Ok(None),
            Err(cause) => return Err(cause),
        }
        let options = ForkOptions {
            at: Some(MessageRef::Id(last.key.clone())),
            id: Some(session.id.clone()),
            title: session.title.clone(),
        };
        match self.store.fork(parent, &options) {
            // Whatever is the matter with the parent, the session can stand alone.
            Err(cause) if is_of_session(cause.kind) => return Ok(None),
            forked => forked?,
        };
        // It has begun with its parent's facts.
        let cleared = SessionPatch { metadata: Some(None), ..SessionPatch::default() };
        self.store.update(&session.id, &cleared, &buffered())?;
        let own = SessionPatch {
            scope: Some(session.scope.clone().unwrap_or_default()),
            title: Some(session.title.clone()),
            title_manual: Some(session.title_manual),
            agent: Some(session.agent.clone()),
            provider: Some(session.provider.clone()),
            model: Some(session.model.clone()),
            tags: Some(session.tags.clone()),
            metadata: metadata.map(|metadata| Some(metadata.to_owned())),
            ..SessionPatch::default()
        };
        self.store.update(&session.id, &own, &buffered()).map(Some)
    }

    /// The ids of the messages that a fork has begun with, if some of `messages` may be among them.
    fn inherited(
        &mut self,
        stored: &Session,
        messages: &[ImportedMessage],
    ) -> Result<BTreeSet<String>, Error> {
        let count = stored.facts.fork_point.and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        if count == 0 || messages.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(self.ids(&stored.id, count)?.into_iter().map(|id| id.id).collect())
    }

    /// The first visible messages of a session.
    fn ids(&mut self, id: &str, count: usize) -> Result<Vec<Id>, Error> {
        let mut found = Vec::new();
        let mut select = Select::From { seq: 1, limit: PAGE };
        while found.len() < count {
            let page = self.store.read(id, &select)?;
            let messages: Vec<IdOf> = serde_json::from_str(&page.messages).map_err(|cause| {
                Error::new(ErrorKind::Internal, format!("a page that is no list: {cause}"))
            })?;
            found.extend(messages.into_iter().map(|read| read.message));
            let Some(cursor) = page.next else { break };
            select = Select::Cursor { cursor, limit: PAGE };
        }
        found.truncate(count);
        Ok(found)
    }

    /// Brings messages up to date that the store has and that have changed in the file since.
    fn refresh(&mut self, session: &ImportedSession, keys: &BTreeSet<&str>) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let stored: BTreeMap<String, Option<String>> = self
            .ids(&session.id, usize::MAX)?
            .into_iter()
            .map(|id| (id.id, id.source.and_then(|source| source.version)))
            .collect();
        // A version begins with the time of the change.
        let time = |version: &str| version.split('-').next().and_then(|time| time.parse::<u64>().ok());
        for message in session.messages.iter().filter(|message| keys.contains(message.key.as_str())) {
            let (Some(now), Some(Some(before))) = (&message.version, stored.get(&message.key)) else {
                continue;
            };
            if now == before || time(now) < time(before) {
                continue;
            }
            let Some(patch) = patch_of(&message.json) else { continue };
            let patch = self.with_files(&session.id, patch)?;
            let options = WriteOptions { at: time(now).filter(|time| *time > 0), ..buffered() };
            let id = MessageRef::Id(message.key.clone());
            let changed = self.store.update_message(&session.id, &id, &MessageChange::Patch(patch), &options);
            match changed {
                Ok(_) => self.summary.changed_messages += 1,
                Err(cause) if cause.kind == ErrorKind::Invalid => self.problem(format!(
                    "message {} of session {} has changed and was not brought up to date: {}",
                    message.key, session.id, cause.message
                )),
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Hides a message and all behind it, once for each time that the file says so of another message.
    fn revert(&mut self, session: &ImportedSession, key: &str) -> Result<(), Error> {
        let options = WriteOptions {
            op: Some(format!("revert-{}", hash([key]))),
            at: session.updated_ms,
            ..buffered()
        };
        match self.store.revert(&session.id, &MessageRef::Id(key.to_owned()), true, &options) {
            // What is hidden already need not be hidden.
            Err(cause) if cause.kind == ErrorKind::Conflict => Ok(()),
            reverted => reverted.map(|_| ()),
        }
    }

    /// Appends messages, each under its key, and returns how many the store has and how many it has refused. New
    /// ones take a portion of the extra lines with them, the last portion first.
    fn append_messages(
        &mut self,
        session: &ImportedSession,
        messages: &[ImportedMessage],
        inherited: &BTreeSet<String>,
        portions: &mut Vec<Extra>,
    ) -> Result<(Count, u64), Error> {
        let id = &session.id;
        let mut count = Count::default();
        let mut to_refresh = BTreeSet::new();
        let mut refused = 0;
        // A message without a time of its own is as old as the one before it.
        let mut at = session.created_ms;
        // Behind a message that was there, more of them are likely: a portion would cross for nothing.
        let mut was_new = true;
        for message in messages {
            if inherited.contains(&message.key) {
                count.add(false);
                to_refresh.extend(message.version.is_some().then_some(message.key.as_str()));
                continue;
            }
            let extra = portions.last().filter(|_| was_new);
            at = message.created_ms.or(at);
            let options = WriteOptions { op: Some(message.key.clone()), at, ..buffered() };
            let mut had_extra = extra.is_some();
            let mut appended = self.append_message(id, message, extra, &options);
            if had_extra && matches!(&appended, Err(cause) if cause.kind == ErrorKind::Invalid) {
                // It may fit alone.
                had_extra = false;
                appended = self.append_message(id, message, None, &options);
            }
            match appended {
                Ok(appended) => {
                    if !appended.repeated && had_extra {
                        portions.pop();
                    }
                    was_new = !appended.repeated;
                    count.add(was_new);
                    if appended.repeated && message.version.is_some() {
                        to_refresh.insert(message.key.as_str());
                    }
                }
                Err(cause) if cause.kind == ErrorKind::Invalid => {
                    // It is the only message, so its number in the append says nothing.
                    let what = cause.message.strip_prefix("message 1: ").unwrap_or(&cause.message);
                    let reason = format!("message {} of session {id} was not taken: {what}", message.key);
                    refused += 1;
                    self.problem_of_line(line_of(message), reason);
                }
                Err(cause) => return Err(cause),
            }
        }
        self.refresh(session, &to_refresh)?;
        Ok((count, refused))
    }

    fn append_message(
        &mut self,
        id: &str,
        message: &ImportedMessage,
        extra: Option<&Extra>,
        options: &WriteOptions,
    ) -> Result<Appended, Error> {
        let json = format!("[{}]", self.with_files(id, self.with_source(message, extra))?);
        self.store.append(id, &json, options)
    }

    /// Enters what answers have used, each once, but for those that the parent has told already.
    fn enter_usage(
        &mut self,
        session: &ImportedSession,
        known: usize,
        of_parent: &BTreeSet<String>,
    ) -> Result<(), Error> {
        self.summary.usage.known += known.min(session.usage.len()) as u64;
        for usage in session.usage.iter().skip(known).filter(|usage| !of_parent.contains(&usage.key)) {
            let number = |count: Option<u64>| count.and_then(|count| Json::parse(&count.to_string()).ok());
            let add = AddUsage {
                session: session.id.clone(),
                model: usage.model.clone().filter(|model| !model.is_empty()),
                amounts: Amounts {
                    input: number(usage.input),
                    output: number(usage.output),
                    cache_read: number(usage.cache_read),
                    cache_write: number(usage.cache_write),
                    cost: usage.cost.as_ref().and_then(|cost| Json::parse(cost).ok()),
                },
                absolute: false,
                source: None,
                used_at: usage.at_ms,
                op: Some(format!("usage-{}", usage.key)),
                durability: Durability::Buffered,
            };
            match self.store.run(&add) {
                Ok(_) => self.summary.usage.new += 1,
                Err(cause) if cause.kind == ErrorKind::Invalid => {
                    self.problem(format!("usage of session {} was not taken: {}", session.id, cause.message));
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// A message whose images and files are files of the store: each is there once, whoever has it.
    fn with_files(&mut self, id: &str, json: String) -> Result<String, Error> {
        // Their exports take images as they stand in the messages.
        if [nanocoder::FORMAT, nomadarch::FORMAT, octocode::FORMAT].contains(&self.format) {
            return Ok(json);
        }
        let lifted = sessile_formats::lift(&json);
        let has_parts = ["\"type\":\"image\"", "\"type\":\"file\""].iter().any(|kind| json.contains(kind));
        if lifted.is_none() && !(has_parts && json.contains("\"data\":\"")) {
            return Ok(json);
        }
        let Ok(content) = Json::parse(lifted.as_ref().unwrap_or(&json)) else { return Ok(json) };
        let store = StoreAttachments { session: id.to_owned(), content, direction: Direction::Message };
        match self.store.run(&store) {
            Ok(stored) => Ok(stored.content.as_str().to_owned()),
            // What is too large for a file stays where it is.
            Err(cause) if cause.kind == ErrorKind::Invalid => Ok(json),
            Err(cause) => Err(cause),
        }
    }

    /// A message with extra lines in its `source`. The rest of its text stays as it is.
    fn with_source(&self, message: &ImportedMessage, extra: Option<&Extra>) -> String {
        #[derive(Deserialize)]
        struct Sourced<'a> {
            #[serde(borrow)]
            source: &'a RawValue,
        }
        let json = message.json.as_str();
        let Some(extra) = extra else { return json.to_owned() };
        let added = self.extra_member(extra);
        // The offset of the closing bracket of `source`, which stands in `json` itself.
        let end = serde_json::from_str::<Sourced<'_>>(json)
            .ok()
            .filter(|sourced| sourced.source.get().ends_with('}'));
        let end = end
            .map(|sourced| sourced.source.get())
            .map(|source| source.as_ptr().addr() - json.as_ptr().addr() + source.len() - 1);
        match end.and_then(|end| json.split_at_checked(end)) {
            Some((before, after)) => format!("{before},{added}{after}"),
            None => json.to_owned(),
        }
    }

    fn extra_member(&self, extra: &Extra) -> String {
        format!("\"extra\":{}", serde_json::json!({ self.file: extra }))
    }

    /// Keeps extra lines for which no new message came: with the first message, or, where that cannot be, in a
    /// hidden message of their own.
    fn append_rest(
        &mut self,
        session: &ImportedSession,
        portion: &Extra,
        may_patch: bool,
    ) -> Result<(), Error> {
        let (id, member) = (&session.id, self.extra_member(portion));
        let options = WriteOptions { at: session.updated_ms, ..buffered() };
        if may_patch {
            let patch = MessageChange::Patch(format!("{{\"source\":{{{member}}}}}"));
            match self.store.update_message(id, &MessageRef::Seq(1), &patch, &options) {
                // There is no message, or it would get too large.
                Err(cause) if matches!(cause.kind, ErrorKind::NotFound | ErrorKind::Invalid) => {}
                patched => return patched.map(|_| ()),
            }
        }
        let texts = portion.values().map(String::as_str);
        let op = format!("extra-{}-{}", hash([self.file]), hash(texts));
        let source = format!("{{\"format\":\"{}\",{member}}}", self.format);
        let message = format!("[{{\"role\":\"system\",\"parts\":[],\"hidden\":true,\"source\":{source}}}]");
        self.store.append(id, &message, &WriteOptions { op: Some(op), ..options }).map(|_| ())
    }

    /// The member `imported` of the metadata.
    fn noted(&self, updated: u64, now: &NotedFile) -> String {
        let noted =
            serde_json::json!({ "format": self.format, "updated": updated, "files": { self.file: now } });
        format!("\"{}\":{noted}", export::IMPORTED)
    }

    /// Notes what the session has of the file now, durably, which makes everything before it durable too.
    fn note(
        &mut self,
        stored: &Session,
        is_new: bool,
        noted_updated: u64,
        session: &ImportedSession,
        now: &NotedFile,
    ) -> Result<(), Error> {
        // The session is as old as what was said in it, so that lists stand in the order of its use.
        let latest = session.messages.iter().filter_map(|message| message.created_ms).max();
        let at = session
            .updated_ms
            .max(latest)
            .unwrap_or_default()
            .max(self.store.get(&session.id)?.facts.updated);
        // From its first change here on the session is ahead of its file, whatever the file says later. One whose
        // import was interrupted has never been level with it.
        let is_ahead = !is_new && noted_updated > 0 && stored.facts.updated > noted_updated;
        let noted = self.noted(if is_ahead { noted_updated } else { at }, now);
        let metadata = match &session.metadata {
            Some(metadata) => format!("{{{noted},{}", metadata.strip_prefix('{').unwrap_or_default()),
            None => format!("{{{noted}}}"),
        };
        let mut patch = SessionPatch { metadata: Some(Some(metadata)), ..SessionPatch::default() };
        // What the file says of itself may have changed as it grew; what a person has chosen here stays.
        let changed =
            |old: &Option<String>, new: &Option<String>| (new.is_some() && old != new).then(|| new.clone());
        if !stored.facts.title_manual || session.title_manual {
            patch.title = changed(&stored.facts.title, &session.title);
            patch.title_manual = patch.title.as_ref().map(|_| session.title_manual);
        }
        patch.model = changed(&stored.facts.model, &session.model);
        patch.provider = changed(&stored.facts.provider, &session.provider);
        let options = WriteOptions { at: Some(at), ..WriteOptions::default() };
        self.store.update(&session.id, &patch, &options).map(|_| ())
    }
}

/// The line that a message was made from.
fn line_of(message: &ImportedMessage) -> Option<u64> {
    #[derive(Deserialize)]
    struct OfLine {
        source: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        line: u64,
    }
    serde_json::from_str::<OfLine>(&message.json).ok().map(|message| message.source.line)
}

/// A message's id and where it came from, as a page has them.
#[derive(Deserialize)]
struct IdOf {
    message: Id,
}

#[derive(Deserialize)]
struct Id {
    #[serde(default)]
    id: String,
    source: Option<SourceVersion>,
}

#[derive(Deserialize)]
struct SourceVersion {
    version: Option<String>,
}

/// Whether the store has the metadata that the file gives.
fn has_metadata(stored: &Session, session: &ImportedSession) -> bool {
    let members =
        |text: &str| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text).unwrap_or_default();
    let Some(wanted) = &session.metadata else { return true };
    let has = stored.facts.metadata.as_ref().map(|metadata| members(metadata.as_str())).unwrap_or_default();
    members(wanted)
        .iter()
        .all(|(key, value)| has.get(key).is_some_and(|has| export::is_same(has.get(), value.get())))
}

/// A session's messages are synced together, at its end.
fn buffered() -> WriteOptions {
    WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() }
}

/// Extra lines in portions of a bounded size, the first portion last. Several values on one line are numbered.
fn portions(extra: &[ImportedExtra]) -> Vec<Extra> {
    let mut portions = Vec::new();
    let mut portion = Extra::new();
    let mut portion_bytes = 0;
    let mut of_line = (0, 0);
    for ImportedExtra { line, json } in extra {
        of_line = if of_line.0 == *line { (*line, of_line.1 + 1) } else { (*line, 1) };
        let key = if of_line.1 == 1 { line.to_string() } else { format!("{line}.{}", of_line.1) };
        if portion_bytes > 0 && portion_bytes + json.len() > EXTRA_BYTES {
            portions.push(std::mem::take(&mut portion));
            portion_bytes = 0;
        }
        portion_bytes += json.len();
        portion.insert(key, json.clone());
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions.reverse();
    portions
}

/// How long a text of JSON is as a string of JSON.
fn quoted_bytes(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count() + 2
}

/// FNV-1a over texts: the same in every version, and good enough to tell a file that grew from one that changed.
fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Prints what an import has done: what deserves a look, then a sentence, which a long list does not push away.
pub fn print_summary(out: &mut Out, summary: &Summary, shown_max: usize) -> Result<()> {
    let Summary { sessions, messages, changed_messages, other_lines, problems, skipped, .. } = summary;
    let mut by_file: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        by_file.entry(&problem.file).or_default().push(problem);
    }
    let mut by_file: Vec<_> = by_file.into_iter().collect();
    by_file.sort_by_key(|(file, problems)| (Reverse(problems.len()), *file));
    for (file, problems) in by_file {
        out.line(&safe_line(file))?;
        for Problem { line, reason, .. } in problems.iter().take(shown_max) {
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            out.line(&format!("  {DOUBTFUL}{line}{DOUBTFUL:#}{}", safe_line(reason)))?;
        }
        if problems.len() > shown_max {
            out.line(&format!("  {DIM}{} more; --json lists them{DIM:#}", problems.len() - shown_max))?;
        }
    }
    for Skipped { file, reason } in skipped {
        out.line(&safe_line(file))?;
        out.line(&format!("  {DIM}skipped:{DIM:#} {}", safe_line(reason)))?;
    }
    let parts = |count: &Count| format!("{} new, {} known", grouped(count.new), grouped(count.known));
    let changed = if *changed_messages > 0 {
        format!(", {} changed", grouped(*changed_messages))
    } else {
        String::new()
    };
    out.line(&format!(
        "{BOLD}{}{BOLD:#}: {} ({}), {} ({}{changed}), {} kept, {}",
        counted(summary.files, "file"),
        counted(sessions.total(), "session"),
        parts(sessions),
        counted(messages.total(), "message"),
        parts(messages),
        counted(other_lines.total(), "other line"),
        counted(problems.len() as u64, "problem"),
    ))?;
    Ok(())
}

/// Refuses a directory without sessions, for those who need some.
pub fn require_sessions(summary: &Summary, directory: &Path) -> Result<()> {
    if summary.sessions.total() > 0 {
        return Ok(());
    }
    let message =
        format!("there is no session of Claude Code in {}; give another directory", directory.display());
    Err(error(ErrorKind::NotFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(line: u64, json: &str) -> ImportedExtra {
        ImportedExtra { line, json: json.to_owned() }
    }

    #[test]
    fn values_of_one_line_get_keys_of_their_own() {
        let portions = portions(&[extra(3, "{}"), extra(3, "[]"), extra(4, "1")]);
        assert_eq!(portions.len(), 1);
        assert_eq!(portions[0].keys().collect::<Vec<_>>(), ["3", "3.2", "4"]);
    }

    #[test]
    fn extra_lines_travel_in_bounded_portions_the_first_one_last() {
        let long = "x".repeat(EXTRA_BYTES - 1);
        let portions = portions(&[extra(1, &long), extra(2, "yy"), extra(3, "z")]);
        let keys: Vec<Vec<&String>> = portions.iter().map(|portion| portion.keys().collect()).collect();
        assert_eq!(keys, [vec!["2", "3"], vec!["1"]]);
    }

    #[test]
    fn a_hash_tells_texts_apart_and_not_only_their_bytes() {
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_eq!(hash(["a"]), hash(["a"]));
    }

    #[test]
    fn a_sub_agent_is_known_by_its_place() {
        let line = b"{\"type\":\"user\",\"uuid\":\"u\",\"sessionId\":\"s\",\"isSidechain\":true,\
            \"message\":{\"role\":\"user\",\"content\":\"hi\"}}\n";
        let read = |path| parse_lines(Path::new(path), &mut line.as_slice());
        assert_eq!(read("a/s/subagents/agent-7.jsonl").sessions[0].id, "s/agent-7");
        assert_eq!(read("a/s.jsonl").sessions[0].parent.as_deref(), Some("s"));
    }
}
