//! `sessile export`: reads sessions, hands them to the exporter and writes what comes back as files.
//!
//! Everything is written beside its place first; only when all of it is there and nothing stands in its way does it
//! get its names. A file that says the same already is left alone, one that says something else is never replaced.

pub mod formats;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use sessile::export::{Lost, Printer, Stored, is_from, is_same, nanocoder, nomadarch, octocode, page};
use sessile::{ErrorKind, ListQuery, Select, Session, Store};

use crate::commands::Context;
use crate::exit::{OK, error};
use crate::import::Layout;
use crate::output::{BOLD, DIM, Out, counted, grouped, safe_line};

/// At most so many messages or sessions are read at once.
const PAGE: u32 = 1000;

/// What an export has done.
#[derive(Debug, Default, Serialize)]
struct Summary {
    files: Vec<Exported>,
    session_ids: Vec<String>,
    messages: u64,
    /// What deserves a look.
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Exported {
    file: String,
    /// Whether it was written; otherwise it was there and said the same.
    written: bool,
}

#[derive(Debug, Serialize)]
struct Problem {
    session: String,
    reason: String,
}

/// Runs `export`.
pub fn run(context: &mut Context, layout: Layout, directory: &Path, ids: &[String]) -> Result<u8> {
    let mut store = context.opening.read()?;
    let sessions = chosen(&mut store, layout, ids)?;
    let mut export = Export { store: &mut store, staged: Vec::new(), summary: Summary::default() };
    match layout {
        Layout::Nanocoder => export.nanocoder(directory, &sessions)?,
        Layout::NomadArch => export.nomadarch(directory, &sessions)?,
        Layout::Octocode => export.octocode(directory, &sessions, !ids.is_empty())?,
    }
    let summary = export.finish()?;
    if context.out.json {
        context.out.document(&summary)?;
    } else {
        print_summary(&mut context.out, &summary)?;
    }
    Ok(OK)
}

/// The sessions that are named, or all that came from the format, the oldest first.
fn chosen(store: &mut Store, layout: Layout, ids: &[String]) -> Result<Vec<Session>> {
    let mut sessions: Vec<Session> = Vec::new();
    for id in ids {
        let session = store.resolve(id, None)?;
        if sessions.iter().all(|known| known.id != session.id) {
            sessions.push(session);
        }
    }
    let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
    while ids.is_empty() {
        let page = store.list(&query)?;
        sessions.extend(page.sessions.into_iter().filter(|session| is_from(&session.facts, layout.name())));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    if sessions.is_empty() {
        let name = layout.name();
        let message =
            format!("no session of the store came from {name}; name those to write, `sessile ls` lists them");
        return Err(error(ErrorKind::NotFound, message));
    }
    sessions.sort_by(|one, other| (one.facts.created, &one.id).cmp(&(other.facts.created, &other.id)));
    Ok(sessions)
}

struct Export<'a> {
    store: &'a mut Store,
    staged: Vec<Staged>,
    summary: Summary,
}

impl Export<'_> {
    fn nanocoder(&mut self, directory: &Path, sessions: &[Session]) -> Result<()> {
        let mut index = Printer::default();
        index.open(None, '[');
        for session in sessions {
            let file = nanocoder::SessionFile::of(session);
            self.begin(session);
            let mut staged = Staged::new(directory, &file.name)?;
            let mut printer = Printer::default();
            printer.open(None, '{');
            printer.members(&file.facts);
            printer.open(Some("messages"), '[');
            let (mut lost, mut count) = (Lost::new(), 0);
            self.each_message(session, &mut |stored| {
                for message in nanocoder::messages(stored, &mut lost) {
                    printer.value(None, &message);
                    count += 1;
                }
                staged.write(&printer.take())
            })?;
            printer.close();
            printer.value(Some(nanocoder::COUNT), &file.count(count));
            printer.close();
            staged.write(&printer.take())?;
            index.value(None, &file.entry(count));
            self.end(session, staged, &lost, count)?;
        }
        index.close();
        self.stage(directory, nanocoder::INDEX, &index.take())
    }

    /// A file for each workspace. Messages come first, so that what sessions list of them is known behind.
    fn nomadarch(&mut self, directory: &Path, sessions: &[Session]) -> Result<()> {
        let mut workspaces: BTreeMap<String, Vec<&Session>> = BTreeMap::new();
        for session in sessions {
            let workspace = nomadarch::directory(&session.facts.scope);
            if workspace != session.facts.scope {
                self.note(session, &format!("its scope is no name of a workspace; written to {workspace}"));
            }
            workspaces.entry(workspace).or_default().push(session);
        }
        for (workspace, sessions) in workspaces {
            let mut staged = Staged::new(&directory.join(workspace), nomadarch::STORE)?;
            let mut printer = Printer::default();
            let mut records = nomadarch::Messages::default();
            let mut lists = Vec::new();
            printer.open(None, '{');
            printer.open(Some("messages"), '{');
            for session in &sessions {
                self.begin(session);
                let (mut lost, mut ids, mut renamed) = (Lost::new(), Vec::new(), Vec::new());
                self.each_message(session, &mut |stored| {
                    if let Some(placed) = records.place(session, stored, &mut lost) {
                        if let Some(record) = &placed.record {
                            printer.value(Some(&placed.id), record);
                        }
                        renamed.extend(placed.is_renamed.then(|| placed.id.clone()));
                        ids.push(placed.id);
                    }
                    staged.write(&printer.take())
                })?;
                for id in renamed {
                    self.note(
                        session,
                        &format!("another session has another message of that id; written as {id}"),
                    );
                }
                self.note_lost(session, &lost);
                self.summary.messages += ids.len() as u64;
                lists.push(ids);
            }
            printer.close();
            printer.open(Some("sessions"), '{');
            for (session, ids) in sessions.iter().zip(lists) {
                let (id, record) = nomadarch::session(session, &ids);
                printer.value(Some(&id), &record);
                staged.write(&printer.take())?;
            }
            printer.close();
            printer.close();
            staged.write(&printer.take())?;
            self.staged.push(staged.sealed()?);
        }
        Ok(())
    }

    /// A directory holds one session: the one that is named, else the one that was active last.
    fn octocode(&mut self, directory: &Path, sessions: &[Session], named: bool) -> Result<()> {
        if named && sessions.len() > 1 {
            let message = "a directory of octocode holds one session; name one, and export each into its own";
            return Err(error(ErrorKind::Invalid, message));
        }
        let last = sessions.iter().max_by_key(|session| (session.facts.updated, &session.id));
        for session in sessions {
            if last.is_some_and(|last| last.id != session.id) {
                self.note(
                    session,
                    "a directory holds one session, and another was active later; not written",
                );
                continue;
            }
            self.begin(session);
            let mut lost = Lost::new();
            let files = octocode::files(session, &mut lost);
            self.note_lost(session, &lost);
            let named = [(octocode::SESSION, Some(files.session)), (octocode::STATS, files.stats)];
            for (name, json) in named.into_iter().filter_map(|(name, json)| Some((name, json?))) {
                let mut printer = Printer::default();
                printer.value(None, &json);
                self.stage(directory, name, &printer.take())?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, session: &Session) {
        self.summary.session_ids.push(session.id.clone());
        self.note_revert(session);
    }

    fn note_revert(&mut self, session: &Session) {
        if session.can_unrevert {
            self.note(
                session,
                "a revert hides messages of it, which are not written; `sessile unrevert` shows them",
            );
        }
    }

    fn end(&mut self, session: &Session, staged: Staged, lost: &Lost, count: u64) -> Result<()> {
        self.summary.messages += count;
        self.note_lost(session, lost);
        self.staged.push(staged.sealed()?);
        Ok(())
    }

    fn note_lost(&mut self, session: &Session, lost: &Lost) {
        for (what, count) in lost {
            self.note(session, &format!("{count} {what} have no place in the format and are not written"));
        }
    }

    fn note(&mut self, session: &Session, reason: &str) {
        self.summary.problems.push(Problem { session: session.id.clone(), reason: reason.to_owned() });
    }

    /// Reads all visible messages. Those that cannot be read are noted.
    fn each_message(
        &mut self,
        session: &Session,
        each: &mut dyn FnMut(&Stored<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut select = Select::From { seq: 1, limit: PAGE };
        loop {
            let read = self.store.read(&session.id, &select)?;
            for seq in &read.unreadable {
                self.note(session, &format!("message {seq} cannot be read and is not written"));
            }
            let Some(messages) = page(&read.messages) else {
                return Err(error(
                    ErrorKind::Internal,
                    "a page of messages that is no list; please report it",
                ));
            };
            messages.iter().try_for_each(&mut *each)?;
            let Some(cursor) = read.next else { return Ok(()) };
            select = Select::Cursor { cursor, limit: PAGE };
        }
    }

    fn stage(&mut self, directory: &Path, name: &str, text: &str) -> Result<()> {
        let mut staged = Staged::new(directory, name)?;
        staged.write(text)?;
        self.staged.push(staged.sealed()?);
        Ok(())
    }

    /// Gives everything its name, unless a file that says something else stands anywhere.
    fn finish(mut self) -> Result<Summary> {
        let mut is_there = Vec::new();
        let mut other: Vec<String> = Vec::new();
        for staged in &self.staged {
            let state = staged.compare()?;
            if state == Some(false) {
                other.push(staged.path.display().to_string());
            }
            is_there.push(state.is_some());
        }
        if !other.is_empty() {
            let message = format!(
                "{} something else already; nothing was written. Export into another directory",
                if other.len() == 1 {
                    format!("{} holds", other.join(", "))
                } else {
                    format!("{} hold", other.join(", "))
                }
            );
            return Err(error(ErrorKind::Conflict, message));
        }
        for (staged, is_there) in self.staged.iter_mut().zip(is_there) {
            if !is_there {
                staged.publish()?;
            }
            let file = staged.path.display().to_string();
            self.summary.files.push(Exported { file, written: !is_there });
        }
        Ok(std::mem::take(&mut self.summary))
    }
}

/// A file that is written beside its place. Dropped, it is gone.
struct Staged {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Staged {
    fn new(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        make_directory(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let temporary =
            path.with_file_name(format!(".{}.{}.tmp", name.replace('/', "-"), std::process::id()));
        // A process of the same number may have died here. Nothing else is ever written through.
        let _ = fs::remove_file(&temporary);
        let file = create(&temporary).with_context(|| format!("cannot write {}", temporary.display()))?;
        Ok(Self { path, temporary, file: Some(BufWriter::new(file)) })
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.temporary.display()))
    }

    /// On the disk, and closed: a store may have more files than a process may have open.
    fn sealed(mut self) -> Result<Self> {
        let written = self.file.take().map_or(Ok(()), |mut file| {
            file.flush()?;
            file.get_ref().sync_all()
        });
        written.with_context(|| format!("cannot write {}", self.temporary.display()))?;
        Ok(self)
    }

    /// Whether there is a file in its place, and then whether it says the same.
    fn compare(&self) -> Result<Option<bool>> {
        let there = match fs::read(&self.path) {
            Ok(there) => there,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => {
                return Err(cause).with_context(|| format!("cannot read {}", self.path.display()));
            }
        };
        let own =
            fs::read(&self.temporary).with_context(|| format!("cannot read {}", self.temporary.display()))?;
        if own == there {
            return Ok(Some(true));
        }
        let texts = (String::from_utf8(own), String::from_utf8(there));
        Ok(Some(matches!(texts, (Ok(own), Ok(there)) if is_same(&own, &there))))
    }

    /// Gives it its name, which nothing has. A link refuses to replace anything, a rename does not.
    fn publish(&mut self) -> Result<()> {
        let published = match fs::hard_link(&self.temporary, &self.path) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!("{} has come meanwhile; export again", self.path.display());
                return Err(error(ErrorKind::Conflict, message));
            }
            // Some file systems have no links.
            Err(_) => fs::rename(&self.temporary, &self.path),
            linked => linked,
        };
        published
            .and_then(|()| sync_directory(&self.path))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

#[cfg(unix)]
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// A name is durable when its directory is. Only Unix opens directories.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if cfg!(unix) => {
            File::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?.sync_all()
        }
        _ => Ok(()),
    }
}

fn print_summary(out: &mut Out, summary: &Summary) -> Result<()> {
    let mut by_session: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Problem { session, reason } in &summary.problems {
        by_session.entry(session).or_default().push(reason);
    }
    for (session, reasons) in by_session {
        out.line(&safe_line(session))?;
        for reason in reasons {
            out.line(&format!("  {}", safe_line(reason)))?;
        }
    }
    for Exported { file, written } in &summary.files {
        let state = if *written { String::new() } else { format!(" {DIM}was there{DIM:#}") };
        out.line(&format!("{}{state}", safe_line(file)))?;
    }
    let written = summary.files.iter().filter(|file| file.written).count() as u64;
    out.line(&format!(
        "{BOLD}{}{BOLD:#} written, {} the same already: {}, {}, {}",
        counted(written, "file"),
        grouped(summary.files.len() as u64 - written),
        counted(summary.session_ids.len() as u64, "session"),
        counted(summary.messages, "message"),
        counted(summary.problems.len() as u64, "problem"),
    ))?;
    Ok(())
}
