//! A store's files on a local disk: [`DiskFs`], the file system that the core asks for.
//!
//! Owns the check of paths, the descriptors, and the order of writes and syncs that makes the promises of
//! [`Fs`] true. It decides nothing about content: what goes where, and what a torn tail means, is the core's
//! business. It takes no lock, starts no thread and prints nothing. What differs between operating systems
//! stands in `platform`.
//!
//! Invariants: nothing outside the root is read or written, because the root is opened once, every name below
//! it is opened from its directory, and no link is followed; only a regular file with a single name is used;
//! content is synced before it gets its name, and the name's directory is synced before success is reported;
//! after a failed sync nothing more is written.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::{DirEntry, Durability, Fs, FsError, FsErrorKind, Text};

use platform::Dir;

#[cfg(not(unix))]
#[path = "disk_portable.rs"]
mod platform;

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;

/// Most names in the path of a file.
const PATH_NAMES_MAX: usize = 3;
/// Most bytes in one name.
const NAME_BYTES_MAX: usize = 64;
/// Most descriptors kept open for appending.
const APPENDERS_MAX: usize = 32;
/// At most this many names of files are remembered as durable.
const NAMED_MAX: usize = 1000;
/// Most descriptors kept open for directories.
const DIRECTORIES_MAX: usize = 64;
/// The directory of files that have no name of their own yet. The core does not know it.
const TEMPORARY: &str = "tmp";
/// A temporary file this old belongs to a process that died. One that only slept finds its file gone, and
/// fails cleanly.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const NOT_REGULAR: &str = "it is not a regular file";

/// What a [`DiskFs`] may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write; the root is created if it is absent.
    ReadWrite,
    /// Read alone: nothing is created or written, so read-only media and snapshots work.
    ReadOnly,
}

/// The files below one directory of a local disk.
///
/// Guarantee: every promise of [`Fs`], as far as the file system keeps those of `write`, `fsync` and
/// `rename`. Any number of them, in any number of processes, may share a root.
///
/// Limits: paths have at most 3 names of at most 64 bytes. At most about 100 descriptors are kept open.
#[derive(Debug)]
pub struct DiskFs {
    root: Arc<Dir>,
    access: Access,
    is_poisoned: bool,
    is_swept: bool,
    directories: HashMap<String, Arc<Dir>>,
    /// The most recently used stands last.
    appenders: Vec<Appender>,
    /// Files whose names this process has made durable itself, at most [`NAMED_MAX`] of them.
    named: HashSet<String>,
}

/// A descriptor that appends to a file.
#[derive(Debug)]
struct Appender {
    path: String,
    file: File,
    /// Whether appends through this descriptor await a sync.
    is_dirty: bool,
    /// Whether it was opened by an earlier call, so that the path may name another file by now.
    is_kept: bool,
    /// Whether the file's name is known to survive power loss.
    is_named: bool,
}

/// What the file system says about a file.
#[derive(Clone, Copy, Debug)]
struct Facts {
    is_regular: bool,
    size: u64,
    /// The number of names that the file has.
    links: u64,
    id: FileId,
}

/// Device and inode: equal for two names of one file.
type FileId = (u64, u64);

/// What to do about a directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Fail,
    Make,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Read,
    Append,
}

/// How a finished file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placing {
    /// Only if the name is free.
    New,
    /// In place of the file that has it.
    Over,
}

impl DiskFs {
    /// Opens the directory `root`, which with [`Access::ReadWrite`] is created (0700, with its parents) if
    /// absent.
    ///
    /// A link at `root` itself is followed: whoever names the root decides where it lies.
    ///
    /// Errors: `Refused` where `root` is not a directory, belongs to another user, or may be written by group
    /// or others (correct it as the message says); `NotFound` where it is absent and is not to be created;
    /// `Unavailable` otherwise.
    pub fn open(root: &Path, access: Access) -> Result<Self, FsError> {
        // Escaped, as nothing is known about the characters in it.
        let shown = root.to_string_lossy().escape_debug().to_string();
        let fail = |error: &io::Error| failure("open the store directory", &shown, error);
        let dir = match Dir::open_root(root) {
            Err(error) if error.kind() == ErrorKind::NotFound && access == Access::ReadWrite => {
                platform::make_root(root).and_then(|()| Dir::open_root(root))
            }
            opened => opened,
        };
        let dir = dir.map_err(|error| fail(&error))?;
        if let Some(reason) = dir.reason_to_refuse(access).map_err(|error| fail(&error))? {
            let message = format!("refused to use the store directory `{shown}`: {reason}");
            return Err(FsError::new(FsErrorKind::Refused, message));
        }
        Ok(Self {
            root: Arc::new(dir),
            access,
            is_poisoned: false,
            is_swept: false,
            directories: HashMap::new(),
            appenders: Vec::new(),
            named: HashSet::new(),
        })
    }

    fn may_write(&self) -> bool {
        self.access == Access::ReadWrite && !self.is_poisoned
    }

    fn check_write(&self, path: &str) -> Result<(), FsError> {
        check_path(path, PATH_NAMES_MAX)?;
        if self.may_write() {
            return Ok(());
        }
        Err(match self.access {
            Access::ReadOnly => FsError::new(
                FsErrorKind::Unavailable,
                format!("cannot write `{path}`: opened read-only; open the store for writing"),
            ),
            Access::ReadWrite => FsError::new(
                FsErrorKind::Closed,
                format!(
                    "cannot write `{path}`: an earlier sync failed; check the disk and open the store again"
                ),
            ),
        })
    }

    /// Returns the directory at `path`. What [`Missing::Make`] has to make is durable before anything is put
    /// in it.
    fn directory(&mut self, path: &str, missing: Missing) -> Result<Arc<Dir>, FsError> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(dir) = self.directories.get(path) {
            // A directory may have been removed and made again, by a restore of a backup for instance.
            if dir.is_still_at(&self.root, path) {
                return Ok(Arc::clone(dir));
            }
            self.directories.remove(path);
        }
        let fail = |error: &io::Error| failure("open the directory", path, error);
        let mut dir = Arc::clone(&self.root);
        for name in path.split('/') {
            let next = match dir.open_dir(name) {
                Err(error) if error.kind() == ErrorKind::NotFound && missing == Missing::Make => {
                    dir.make_dir(name).map_err(|error| fail(&error))?;
                    self.sync_name(&dir, name, path)?;
                    dir.open_dir(name)
                }
                opened => opened,
            };
            dir = Arc::new(next.map_err(|error| fail(&error))?);
        }
        if self.directories.len() >= DIRECTORIES_MAX {
            self.directories.clear();
        }
        self.directories.insert(path.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }

    fn open_file(&mut self, path: &str, opening: Opening) -> Result<(File, Facts), FsError> {
        let (directory, name) = split(path);
        let dir = self.directory(directory, Missing::Fail)?;
        let file = match opening {
            Opening::Read => dir.open_read(name),
            Opening::Append => dir.open_append(name),
        };
        let file = file.map_err(|error| match dir.facts_at(name) {
            // Systems have many words for a link, a socket or a device that was not opened.
            Ok(facts) if !facts.is_regular => refusal(path, NOT_REGULAR),
            _ => failure("open", path, &error),
        })?;
        let facts = self.admit(path, || platform::facts_of(&file))?;
        Ok((file, facts))
    }

    /// Returns the facts of the file at `path` without opening it.
    fn facts_at(&mut self, path: &str) -> Result<Facts, FsError> {
        let (directory, name) = split(path);
        let dir = self.directory(directory, Missing::Fail)?;
        self.admit(path, || dir.facts_at(name))
    }

    /// Refuses all but a regular file with a single name: through a second one, others could change it from
    /// outside.
    ///
    /// A second name in `tmp` is ours: where a new file is linked to its name, a crash can leave the
    /// temporary one.
    fn admit(&mut self, path: &str, look: impl Fn() -> io::Result<Facts>) -> Result<Facts, FsError> {
        let look = || look().map_err(|error| failure("look at", path, &error));
        let facts = look()?;
        if !facts.is_regular {
            return Err(refusal(path, NOT_REGULAR));
        }
        if facts.links <= 1 {
            return Ok(facts);
        }
        let leftovers = self.unlink_leftovers(facts.id);
        if facts.links.saturating_sub(leftovers) <= 1 {
            return Ok(facts);
        }
        // Its creator may have unlinked the temporary name between the two looks.
        let facts = look()?;
        if facts.links <= 1 { Ok(facts) } else { Err(refusal(path, "it is a hard link")) }
    }

    /// Returns how many names in `tmp` belong to the file `id`, and unlinks them where this host may write.
    fn unlink_leftovers(&mut self, id: FileId) -> u64 {
        let Ok(dir) = self.directory(TEMPORARY, Missing::Fail) else { return 0 };
        let mut leftovers = 0;
        for name in dir.names().unwrap_or_default() {
            if dir.facts_at(&name).is_ok_and(|facts| facts.id == id) {
                leftovers += 1;
                if self.may_write() {
                    // Where it fails the file is good all the same, and the next to meet it tries again.
                    let _ = dir.unlink(&name);
                }
            }
        }
        leftovers
    }

    /// Returns a descriptor for appending to `path`: the kept one, taken out of the cache, or a new one.
    fn take_appender(&mut self, path: &str) -> Result<Appender, FsError> {
        if let Some(at) = self.appenders.iter().position(|appender| appender.path == path) {
            return Ok(Appender { is_kept: true, ..self.appenders.remove(at) });
        }
        if self.appenders.len() >= APPENDERS_MAX {
            // Clean ones go first, as they go for nothing.
            let at = self.appenders.iter().position(|appender| !appender.is_dirty).unwrap_or(0);
            let appender = self.appenders.remove(at);
            self.retire(appender)?;
        }
        let (file, _) = self.open_file(path, Opening::Append)?;
        let is_named = self.named.contains(path);
        Ok(Appender { path: path.to_owned(), file, is_dirty: false, is_kept: false, is_named })
    }

    fn keep(&mut self, appender: Appender) {
        if platform::KEEPS_DESCRIPTORS {
            self.appenders.push(appender);
        }
    }

    /// Closes a descriptor without losing sight of its appends.
    ///
    /// The operating system tells of a failed write-back only those who have the file open. If a dirty
    /// descriptor were just closed, a later `sync` through a new one could succeed although the appends are
    /// lost.
    fn retire(&mut self, mut appender: Appender) -> Result<(), FsError> {
        if appender.is_dirty { self.sync_appender(&mut appender) } else { Ok(()) }
    }

    /// Makes all appends to a file durable, and the file's name with them.
    ///
    /// Whoever created the file may have been killed before its directory was synced: then the name lives in memory
    /// alone, and everything that is appended would be lost with it.
    fn sync_appender(&mut self, appender: &mut Appender) -> Result<(), FsError> {
        self.sync_file(&appender.file, &appender.path)?;
        if !appender.is_named {
            let (directory, name) = split(&appender.path);
            let dir = self.directory(directory, Missing::Fail)?;
            self.sync_name(&dir, name, &appender.path)?;
            appender.is_named = true;
        }
        appender.is_dirty = false;
        Ok(())
    }

    /// Notes that the name of a file is durable.
    fn note_named(&mut self, path: &str) {
        if self.named.len() >= NAMED_MAX {
            self.named.clear();
        }
        self.named.insert(path.to_owned());
    }

    /// Closes the descriptor of a file that has lost its name, so that its space is free again.
    fn forget_appender(&mut self, path: &str) {
        self.appenders.retain(|appender| appender.path != path);
    }

    fn sync_file(&mut self, file: &File, path: &str) -> Result<(), FsError> {
        platform::sync_data(file).map_err(|error| {
            // After a failed write-back the pages may count as clean although the disk never took them. They
            // are dropped, so that whoever reads the file next sees what the disk has, and not what we
            // wished.
            platform::forget_pages(file);
            self.poison(path, &error)
        })
    }

    fn sync_name(&mut self, dir: &Dir, name: &str, path: &str) -> Result<(), FsError> {
        dir.sync_name(name).map_err(|error| self.poison(path, &error))
    }

    fn poison(&mut self, path: &str, error: &io::Error) -> FsError {
        self.is_poisoned = true;
        self.appenders.clear();
        let text = text_of(error);
        let message = format!("cannot sync `{path}`: {text}; check the disk and open the store again");
        FsError::new(FsErrorKind::Closed, message)
    }

    /// Makes the file `path` of `data`, durably, so that no moment shows a part of it.
    fn place(&mut self, path: &str, data: &[u8], placing: Placing) -> Result<(), FsError> {
        let (directory, name) = split(path);
        let dir = self.directory(directory, Missing::Make)?;
        let temporary_dir = self.directory(TEMPORARY, Missing::Make)?;
        self.sweep(&temporary_dir);
        let temporary = temporary_name()?;
        let placed = self.write_temporary(&temporary_dir, &temporary, path, data).and_then(|()| {
            let placed = match placing {
                Placing::New => temporary_dir.rename_new(&temporary, &dir, name),
                Placing::Over => temporary_dir.rename_over(&temporary, &dir, name),
            };
            placed.map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => exists(path),
                // It is the temporary file, or a directory, that someone has removed.
                ErrorKind::NotFound => FsError::new(
                    FsErrorKind::Unavailable,
                    format!("cannot write `{path}`: its temporary file or its directory was removed; retry"),
                ),
                _ => failure("write", path, &error),
            })
        });
        if let Err(error) = placed {
            let _ = temporary_dir.unlink(&temporary);
            return Err(error);
        }
        self.forget_appender(path);
        self.sync_name(&dir, name, path)
    }

    fn write_temporary(&mut self, dir: &Dir, name: &str, path: &str, data: &[u8]) -> Result<(), FsError> {
        let mut file = dir.create_new(name).map_err(|error| failure("write", path, &error))?;
        file.write_all(data).map_err(|error| failure("write", path, &error))?;
        platform::sync_all(&file).map_err(|error| self.poison(path, &error))
    }

    /// Removes, once, what crashed processes have left in `tmp`: no name leads there, and nobody was promised
    /// it.
    fn sweep(&mut self, dir: &Dir) {
        if self.is_swept {
            return;
        }
        self.is_swept = true;
        for name in dir.names().unwrap_or_default() {
            if !is_temporary_name(&name) {
                continue;
            }
            let modified = dir.open_read(&name).and_then(|file| file.metadata()?.modified());
            if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > TEMPORARY_AGE_MAX)) {
                let _ = dir.unlink(&name);
            }
        }
    }

    /// Reads what there is of `limit` bytes from `offset`, and tells whether the end of the file was reached.
    fn read(&mut self, path: &str, offset: u64, limit: u32) -> Result<(Vec<u8>, bool), FsError> {
        check_path(path, PATH_NAMES_MAX)?;
        let (file, facts) = self.open_file(path, Opening::Read)?;
        let rest = facts.size.saturating_sub(offset);
        // What is there bounds the memory, not what was asked for.
        let wanted = usize::try_from(rest.min(u64::from(limit))).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(wanted).map_err(|_| {
            let message =
                format!("cannot read {wanted} bytes of `{path}`: out of memory; read less at a time");
            FsError::new(FsErrorKind::Unavailable, message)
        })?;
        bytes.resize(wanted, 0);
        let mut filled = 0;
        while filled < wanted {
            let rest = bytes.get_mut(filled..).unwrap_or_default();
            match platform::read_at(&file, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure("read", path, &error)),
            }
        }
        bytes.truncate(filled);
        let reaches_end = filled < wanted || filled as u64 == rest;
        Ok((bytes, reaches_end))
    }
}

impl Fs for DiskFs {
    fn append(&mut self, path: &str, data: &str, durability: Durability) -> Result<u64, FsError> {
        self.check_write(path)?;
        loop {
            let mut appender = self.take_appender(path)?;
            let written = write_once(&appender.file, data.as_bytes());
            // The size is taken before the sync, so that all of it is on the disk when the sync returns.
            let facts = match written.and_then(|()| platform::facts_of(&appender.file)) {
                Ok(facts) => facts,
                Err(error) => {
                    self.retire(appender)?;
                    return Err(failure("append to", path, &error));
                }
            };
            if facts.links == 0 {
                if appender.is_kept {
                    // The bytes went to a file without a name, where nobody sees them. If another file has
                    // the name by now, that is the one to append to; if none has, opening it says so.
                    continue;
                }
                return Err(absence(path));
            }
            match durability {
                Durability::Buffered => appender.is_dirty = true,
                Durability::Synced => self.sync_appender(&mut appender)?,
            }
            if facts.links == 1 {
                self.keep(appender);
            } else {
                // Somebody has linked it meanwhile: the next append opens it anew, and decides.
                self.retire(appender)?;
            }
            return Ok(facts.size);
        }
    }

    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.create_bytes(path, data.as_bytes())
    }

    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError> {
        self.check_write(path)?;
        match self.facts_at(path) {
            Err(error) if error.kind == FsErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(exists(path)),
        }
        self.place(path, data, Placing::New)?;
        self.note_named(path);
        Ok(())
    }

    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.check_write(path)?;
        match self.facts_at(path) {
            Err(error) if error.kind != FsErrorKind::NotFound => Err(error),
            _ => self.place(path, data.as_bytes(), Placing::Over),
        }
    }

    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError> {
        let (bytes, reaches_end) = self.read(path, offset, limit)?;
        text_from(bytes, offset, reaches_end).map_err(|bad| {
            let message = format!("`{path}` is not UTF-8 at byte {bad}; read it as bytes");
            FsError::new(FsErrorKind::NotText, message)
        })
    }

    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        Ok(self.read(path, offset, limit)?.0)
    }

    fn stat(&mut self, path: &str) -> Result<u64, FsError> {
        check_path(path, PATH_NAMES_MAX)?;
        Ok(self.facts_at(path)?.size)
    }

    fn list(&mut self, directory: &str, after: &str, limit: u32) -> Result<Vec<DirEntry>, FsError> {
        check_path(directory, PATH_NAMES_MAX - 1)?;
        let fail = |error: &io::Error| failure("list", directory, error);
        let dir = match self.directory(directory, Missing::Fail) {
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(Vec::new()),
            dir => dir?,
        };
        let mut names = match dir.names() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(|error| fail(&error))?,
        };
        names.retain(|name| name.as_str() > after && is_name(name));
        names.sort_unstable();
        // Sizes are asked for one by one until the page is full, so that a page is short only at the end.
        let mut entries = Vec::new();
        let mut names = names.into_iter();
        while entries.len() as u64 != u64::from(limit)
            && let Some(name) = names.next()
        {
            match dir.facts_at(&name) {
                Ok(facts) if facts.is_regular => entries.push(DirEntry { name, size: facts.size }),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(fail(&error)),
            }
        }
        Ok(entries)
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        self.check_write(path)?;
        self.facts_at(path)?;
        let (directory, name) = split(path);
        let dir = self.directory(directory, Missing::Fail)?;
        dir.unlink(name).map_err(|error| failure("remove", path, &error))?;
        self.forget_appender(path);
        self.named.remove(path);
        self.sync_name(&dir, name, path)
    }

    fn sync(&mut self, path: &str) -> Result<(), FsError> {
        self.check_write(path)?;
        loop {
            let mut appender = self.take_appender(path)?;
            let links = platform::facts_of(&appender.file).map(|facts| facts.links);
            // A sync says itself what is wrong with a descriptor that cannot be looked at.
            if matches!(links, Ok(0)) {
                if appender.is_kept {
                    continue;
                }
                return Err(absence(path));
            }
            self.sync_appender(&mut appender)?;
            self.keep(appender);
            return Ok(());
        }
    }
}

/// Writes `data` in one call: two calls could have another writer's record between them.
fn write_once(mut file: &File, data: &[u8]) -> io::Result<()> {
    let written = loop {
        match file.write(data) {
            // Nothing has been written then.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => break written?,
        }
    };
    if written == data.len() {
        return Ok(());
    }
    let message = format!("only {written} of {} bytes were written", data.len());
    Err(io::Error::new(ErrorKind::StorageFull, message))
}

/// Cuts a piece of a file that starts at `offset` to whole lines, or else to whole characters.
///
/// Returns the offset of the first byte that is not UTF-8 where the piece cannot be text.
fn text_from(mut bytes: Vec<u8>, offset: u64, reaches_end: bool) -> Result<Text, u64> {
    // Up to three continuation bytes belong to a character that begins before the piece. A fourth belongs to
    // none, and at the beginning of the file neither does the first.
    let skipped_max = if offset == 0 { 0 } else { 3 };
    let skipped = bytes.iter().take(skipped_max).take_while(|byte| **byte & 0xC0 == 0x80).count();
    bytes.drain(..skipped);
    let start = offset + skipped as u64;
    if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
        bytes.truncate(newline + 1);
    }
    let data = String::from_utf8(bytes).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        // A character that the limit has cut is the next piece's. One that the end of the file cuts is
        // damage.
        let is_cut = error.utf8_error().error_len().is_none() && !reaches_end;
        let mut bytes = error.into_bytes();
        if is_cut {
            bytes.truncate(valid);
        }
        String::from_utf8(bytes).map_err(|_| start + valid as u64)
    })?;
    Ok(Text { start, data })
}

/// Returns the directory and the name of a file.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The core writes paths of this form alone. They are checked again here, as the last place that can.
fn check_path(path: &str, names_max: usize) -> Result<(), FsError> {
    if path.split('/').count() <= names_max && path.split('/').all(is_name) {
        return Ok(());
    }
    let shown: String = path.chars().take(NAME_BYTES_MAX).collect();
    let message = format!(
        "refused the path {shown:?}: not at most {names_max} names of [a-z0-9.-]; use the names of the core"
    );
    Err(FsError::new(FsErrorKind::Refused, message))
}

fn is_name(name: &str) -> bool {
    let is_ours = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_ours)
        && name != "."
        && name != ".."
        && !(cfg!(windows) && is_windows_device(name))
}

/// Windows finds devices under these names, with any extension, in every directory, and drops a dot at the
/// end.
fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let is_numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|digit| digit.is_ascii_digit()))
    };
    name.ends_with('.')
        || ["con", "prn", "aux", "nul"].contains(&stem)
        || is_numbered("com")
        || is_numbered("lpt")
}

fn temporary_name() -> Result<String, FsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message =
            format!("cannot draw random bits: {error}; check the system's entropy source and retry");
        FsError::new(FsErrorKind::Unavailable, message)
    })?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

fn is_temporary_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn exists(path: &str) -> FsError {
    FsError::new(FsErrorKind::Exists, format!("`{path}` is there already; read it, or use another name"))
}

fn absence(path: &str) -> FsError {
    FsError::new(FsErrorKind::NotFound, format!("`{path}` was removed; list the store to see what it holds"))
}

fn refusal(path: &str, reason: &str) -> FsError {
    FsError::new(FsErrorKind::Refused, format!("refused to use `{path}`: {reason}; move it out of the store"))
}

/// Makes the error that says that `doing` something to `path` failed with `error`.
fn failure(doing: &str, path: &str, error: &io::Error) -> FsError {
    let (kind, way_out) = match error.kind() {
        ErrorKind::NotFound => (FsErrorKind::NotFound, "check whether it was removed"),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            (FsErrorKind::Refused, "move what stands there out of the store")
        }
        _ if platform::is_foreign(error) => (FsErrorKind::Refused, "move what stands there out of the store"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (FsErrorKind::Unavailable, "free space and retry")
        }
        ErrorKind::FileTooLarge => (FsErrorKind::Unavailable, "raise the limit of file sizes and retry"),
        ErrorKind::ReadOnlyFilesystem => {
            (FsErrorKind::Unavailable, "make the file system writable, or open the store read-only")
        }
        ErrorKind::PermissionDenied => (FsErrorKind::Unavailable, "correct the permissions and retry"),
        _ if platform::is_descriptor_shortage(error) => {
            (FsErrorKind::Unavailable, "raise the limit of open files and retry")
        }
        _ => (FsErrorKind::Unavailable, "check the disk and retry"),
    };
    FsError::new(kind, format!("cannot {doing} `{path}`: {}; {way_out}", text_of(error)))
}

/// The operating system's words, which begin with a capital where ours do not.
fn text_of(error: &io::Error) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// Directories as descriptors. Names are looked up in an open directory, so that nobody can swap a directory
/// for a link between the check and the use.
#[cfg(unix)]
mod platform {
    use std::ffi::CStr;
    use std::fs::{DirBuilder, File};
    use std::io::{self, ErrorKind};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::os::unix::fs::{DirBuilderExt, FileExt};
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
    use rustix::io::{Errno, retry_on_intr};

    use super::{Access, Facts, FileId};

    /// No link is followed, no FIFO is waited on, no terminal is acquired, and no child process inherits it.
    const CAREFUL: OFlags =
        OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    /// A descriptor tells when its file has lost its name, so it can be used again without a look at the
    /// path.
    pub(super) const KEEPS_DESCRIPTORS: bool = true;

    const DIRECTORY_MODE: u16 = 0o700;
    const FILE_MODE: u16 = 0o600;

    /// An open directory.
    #[derive(Debug)]
    pub(super) struct Dir {
        fd: OwnedFd,
        id: FileId,
    }

    impl Dir {
        pub(super) fn open_root(path: &Path) -> io::Result<Self> {
            Self::new(retry_on_intr(|| rustix::fs::open(path, DIRECTORY, Mode::empty()))?)
        }

        fn new(fd: OwnedFd) -> io::Result<Self> {
            let fd = above_standard_streams(fd)?;
            let id = facts_from(&rustix::fs::fstat(&fd)?).id;
            Ok(Self { fd, id })
        }

        /// Says why this must not be the root of a store, and how to correct it.
        pub(super) fn reason_to_refuse(&self, access: Access) -> io::Result<Option<String>> {
            let stat = rustix::fs::fstat(&self.fd)?;
            let mode = stat.st_mode & 0o7777;
            if mode & 0o022 != 0 {
                let reason =
                    format!("group or others may write to it (mode {mode:04o}); run `chmod go-w` on it");
                return Ok(Some(reason));
            }
            let user = rustix::process::geteuid().as_raw();
            // The superuser can change any file anyway, and read-only media belong to it as a rule.
            let is_trusted =
                stat.st_uid == user || user == 0 || (access == Access::ReadOnly && stat.st_uid == 0);
            Ok((!is_trusted).then(|| {
                format!(
                    "it belongs to user {}, not to {user}; run `chown` on it or use another one",
                    stat.st_uid
                )
            }))
        }

        pub(super) fn open_dir(&self, name: &str) -> io::Result<Self> {
            Self::new(self.open(name, DIRECTORY, Mode::empty())?)
        }

        /// Makes a directory that may be there already.
        pub(super) fn make_dir(&self, name: &str) -> io::Result<()> {
            match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(DIRECTORY_MODE.into())) {
                Err(Errno::EXIST) => Ok(()),
                made => Ok(made?),
            }
        }

        /// Tells whether `path` below `root` still leads here.
        pub(super) fn is_still_at(&self, root: &Self, path: &str) -> bool {
            root.facts_at(path).is_ok_and(|facts| facts.id == self.id)
        }

        pub(super) fn open_read(&self, name: &str) -> io::Result<File> {
            Ok(self.open(name, OFlags::RDONLY, Mode::empty())?.into())
        }

        pub(super) fn open_append(&self, name: &str) -> io::Result<File> {
            Ok(self.open(name, OFlags::WRONLY | OFlags::APPEND, Mode::empty())?.into())
        }

        pub(super) fn create_new(&self, name: &str) -> io::Result<File> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            Ok(self.open(name, flags, Mode::from_raw_mode(FILE_MODE.into()))?.into())
        }

        fn open(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
            let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags | CAREFUL, mode))?;
            above_standard_streams(fd)
        }

        pub(super) fn facts_at(&self, name: &str) -> io::Result<Facts> {
            Ok(facts_from(&rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
        }

        /// Returns the names of what may be regular files: some file systems do not say what a name stands
        /// for.
        pub(super) fn names(&self) -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            // It opens the directory once more, and that may be interrupted as any opening.
            for entry in retry_on_intr(|| rustix::fs::Dir::read_from(&self.fd))? {
                let entry = entry?;
                let is_candidate = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
                if is_candidate && let Ok(name) = CStr::to_str(entry.file_name()) {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        }

        pub(super) fn unlink(&self, name: &str) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
        }

        pub(super) fn rename_over(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
            Ok(rustix::fs::renameat(&self.fd, name, &to.fd, to_name)?)
        }

        /// Renames a file to a name that must be free.
        pub(super) fn rename_new(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
            #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
            {
                const CANNOT: [Errno; 4] = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP];
                let flags = rustix::fs::RenameFlags::NOREPLACE;
                match rustix::fs::renameat_with(&self.fd, name, &to.fd, to_name, flags) {
                    // Not every file system can, nor every kernel.
                    Err(errno) if CANNOT.contains(&errno) => {}
                    renamed => return Ok(renamed?),
                }
            }
            self.link_new(name, to, to_name)
        }

        /// Does the same in two steps. A crash between them leaves both names, which [`super::DiskFs`] clears
        /// up.
        pub(super) fn link_new(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
            match rustix::fs::linkat(&self.fd, name, &to.fd, to_name, AtFlags::empty()) {
                // NFS sends a request again when the answer was lost, and then meets its own link.
                Err(Errno::EXIST) if self.facts_at(name)?.links == 2 => {}
                linked => linked?,
            }
            let _ = self.unlink(name);
            Ok(())
        }

        /// Makes it durable that `name` is there, or that it is not.
        pub(super) fn sync_name(&self, _name: &str) -> io::Result<()> {
            self.sync()
        }

        fn sync(&self) -> io::Result<()> {
            match sync_fd(&self.fd) {
                // Some file systems know no sync of directories: there the names are as durable as they get.
                Err(Errno::INVAL | Errno::BADF) => Ok(()),
                synced => Ok(synced?),
            }
        }
    }

    /// Makes the directory at `path` and its parents, durably.
    pub(super) fn make_root(path: &Path) -> io::Result<()> {
        // This drops a `.` inside, which cannot be made.
        let path: PathBuf = path.components().collect();
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let make = || DirBuilder::new().mode(DIRECTORY_MODE.into()).create(&path);
        let made = match make() {
            Err(error) if error.kind() == ErrorKind::NotFound && parent != Path::new(".") => {
                make_root(parent).and_then(|()| make())
            }
            made => made,
        };
        let sync_parent = || Dir::open_root(parent).and_then(|dir| dir.sync());
        match made {
            // Another process was faster, and may not have come to the sync.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => sync_parent(),
            Err(error) => Err(error),
            Ok(()) => sync_parent().inspect_err(|_| {
                // Whoever tries again must not find it and take it for durable.
                let _ = std::fs::remove_dir(&path);
            }),
        }
    }

    pub(super) fn facts_of(file: &File) -> io::Result<Facts> {
        Ok(facts_from(&rustix::fs::fstat(file)?))
    }

    #[allow(clippy::unnecessary_cast, reason = "the types of these fields differ between systems")]
    fn facts_from(stat: &Stat) -> Facts {
        Facts {
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink as u64,
            id: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }

    pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }

    /// Makes content and size durable.
    pub(super) fn sync_data(file: &File) -> io::Result<()> {
        #[cfg(target_vendor = "apple")]
        return Ok(sync_fd(file)?);
        #[cfg(not(target_vendor = "apple"))]
        file.sync_data()
    }

    pub(super) fn sync_all(file: &File) -> io::Result<()> {
        Ok(sync_fd(file)?)
    }

    fn sync_fd(fd: impl AsFd) -> rustix::io::Result<()> {
        // On Apple's systems `fsync` leaves the data in the drive's cache.
        #[cfg(target_vendor = "apple")]
        match retry_on_intr(|| rustix::fs::fcntl_fullfsync(&fd)) {
            // Network file systems know only the other.
            Err(Errno::INVAL | Errno::NOTTY | Errno::NOTSUP) => {}
            synced => return synced,
        }
        retry_on_intr(|| rustix::fs::fsync(&fd))
    }

    /// Drops the clean pages of a file from the cache, as far as the system can.
    pub(super) fn forget_pages(file: &File) {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let _ = file;
    }

    /// Tells whether something stands there that is not ours: a link that was not followed, or a FIFO nobody
    /// reads.
    pub(super) fn is_foreign(error: &io::Error) -> bool {
        is_errno(error, Errno::LOOP)
            || is_errno(error, Errno::NXIO)
            || (cfg!(target_os = "freebsd") && is_errno(error, Errno::MLINK))
    }

    pub(super) fn is_descriptor_shortage(error: &io::Error) -> bool {
        is_errno(error, Errno::MFILE) || is_errno(error, Errno::NFILE)
    }

    fn is_errno(error: &io::Error, errno: Errno) -> bool {
        error.raw_os_error() == Some(errno.raw_os_error())
    }

    /// A process may have closed its standard streams: a stray print must never land in a session.
    fn above_standard_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
        if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
    }
}
