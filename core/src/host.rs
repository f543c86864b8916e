//! What the core imports: a small file system, a clock and entropy.
//!
//! These traits are the interfaces `filesystem`, `clock` and `entropy` of `wit/` in Rust. Their methods say what is
//! durable when they return, and a host must keep that literally: every promise of the store rests on them.
//! Deliberately absent: locks, mapping, handles, renaming. The same core can then run over object storage
//! (append = conditional put of the next chunk) or a database (append = insert of the next row).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// How far a write has come when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// In the operating system: survives the death of the process, not of the machine.
    Buffered,
    /// On the disk: survives power loss, as far as the disk tells the truth.
    #[default]
    Synced,
}

/// A piece of a file as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The offset of the first byte of `data` in the file: at most 3 more than was asked for, where the asked offset
    /// lay inside a character.
    pub start: u64,
    /// The text.
    pub data: String,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without its directory.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
}

/// A file system below one root. Paths are relative, with `/` between names of `[a-z0-9.-]`, written by the core alone.
///
/// Every method refuses what is not a regular file (a link, a FIFO, a device, a directory) with
/// [`FsErrorKind::Refused`], without following or waiting on it.
pub trait Fs {
    /// Appends `data` to an existing file in one write at its end and returns the file's size seen after that write.
    ///
    /// Guarantee: no byte of another writer lies inside `data`. With [`Durability::Synced`] it returns only after
    /// everything in the file up to the returned write would survive power loss.
    /// On an error a part of `data` may be in the file (a short write is never continued), and may or may not last.
    /// A failed sync is [`FsErrorKind::Closed`], now and for every later write through this host.
    fn append(&mut self, path: &str, data: &str, durability: Durability) -> Result<u64, FsError>;

    /// Creates a file with `data`; missing directories are made. Exclusive: [`FsErrorKind::Exists`] where one is there.
    ///
    /// Guarantee: at any moment, after a crash too, the file is complete or absent; on return it survives power loss
    /// together with its directory entry.
    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError>;

    /// Creates a file of any bytes. Otherwise as [`Fs::create`].
    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError>;

    /// Puts `data` in place of the file, or creates it; missing directories are made.
    ///
    /// Guarantee: at any moment, after a crash too, the old content or the new is there, whole; on return the new
    /// survives power loss.
    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError>;

    /// Reads at most `limit` bytes from `offset` as text.
    ///
    /// Where the piece holds a newline it ends after the last one; otherwise it ends at a character's end. It begins
    /// at the first character that starts at or after `offset`. Empty at or past the end of the file.
    /// [`FsErrorKind::NotText`] where the piece is not UTF-8: [`Fs::read_bytes`] then reads it.
    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError>;

    /// Reads at most `limit` bytes from `offset`; fewer only at the end of the file.
    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError>;

    /// Returns the size of a file. Never answered from a cache.
    fn stat(&mut self, path: &str) -> Result<u64, FsError>;

    /// Lists the regular files of a directory whose names are greater than `after`, in byte order, at most `limit`.
    /// A directory that does not exist is empty. Never answered from a cache.
    fn list(&mut self, directory: &str, after: &str, limit: u32) -> Result<Vec<DirEntry>, FsError>;

    /// Removes a file. On return its absence survives power loss. [`FsErrorKind::NotFound`] where there is none.
    fn remove(&mut self, path: &str) -> Result<(), FsError>;

    /// Makes all earlier appends to the file durable. A failure is [`FsErrorKind::Closed`].
    fn sync(&mut self, path: &str) -> Result<(), FsError>;
}

/// The wall clock.
pub trait Clock {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&mut self) -> u64;
}

/// The source of unpredictable bits, for ids.
pub trait Entropy {
    /// 128 fresh random bits.
    fn random(&mut self) -> u128;
}

/// All that the core imports.
pub trait Host: Fs + Clock + Entropy {}

impl<T: Fs + Clock + Entropy> Host for T {}

/// What went wrong in the file system, by what the core does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FsErrorKind {
    /// No such file.
    NotFound,
    /// The file is there already.
    Exists,
    /// The bytes are not UTF-8.
    NotText,
    /// Something that is not a regular file of ours stands at the path.
    Refused,
    /// The disk is full or read-only, or an I/O error: a later attempt may succeed.
    Unavailable,
    /// A sync failed: what was written since the last good one is in doubt, and this host writes no more.
    Closed,
}

/// An error of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsError {
    /// What the core does next.
    pub kind: FsErrorKind,
    /// What went wrong, for a person; names the file.
    pub message: String,
}

impl FsError {
    /// Makes an error of `kind`.
    pub fn new(kind: FsErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FsError {}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        let kind = match error.kind {
            FsErrorKind::NotFound => ErrorKind::NotFound,
            FsErrorKind::Exists => ErrorKind::Conflict,
            FsErrorKind::NotText | FsErrorKind::Refused => ErrorKind::Damaged,
            FsErrorKind::Unavailable => ErrorKind::Unavailable,
            FsErrorKind::Closed => ErrorKind::Closed,
        };
        Error::new(kind, error.message)
    }
}
