//! Directories as paths, with std alone: what [`super::DiskFs`] stands on where there is no Unix.
//!
//! It keeps the promises of `Fs` against crashes and against other writers of ours, on Windows with NTFS or
//! ReFS. It does not give what only descriptors of directories can:
//! - whoever can write in the store can swap a directory for a link between the check and the use;
//! - hard links are not noticed, and the owner and the mode of the root are not checked (protect it by its
//!   ACL);
//! - a failed write-back of buffered appends is noticed only if the system tells the next `sync` of the file;
//! - directories cannot be synced: that a file was removed is as durable as the file system's journal makes
//!   it;
//! - a new file needs hard links, so FAT and exFAT are not enough.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Access, Facts};

/// Std cannot tell whether an open file still has its name. Appending to one that has been removed would lose
/// what was acknowledged, so each append opens the file anew.
pub(super) const KEEPS_DESCRIPTORS: bool = false;

/// How long to wait for a virus scanner or an indexer to let go of a file.
const PATIENCE_MAX: Duration = Duration::from_secs(5);

#[cfg(windows)]
const FILE_SHARE_READ: u32 = 1;
#[cfg(windows)]
const FILE_SHARE_WRITE: u32 = 2;

/// A directory.
#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
}

impl Dir {
    pub(super) fn open_root(path: &Path) -> io::Result<Self> {
        // Absolute, so that a change of the working directory does not move the store.
        let path = std::fs::canonicalize(path)?;
        if path.is_dir() { Ok(Self { path }) } else { Err(ErrorKind::NotADirectory.into()) }
    }

    pub(super) fn reason_to_refuse(&self, _access: Access) -> io::Result<Option<String>> {
        Ok(None)
    }

    pub(super) fn open_dir(&self, name: &str) -> io::Result<Self> {
        let path = self.path.join(name);
        if std::fs::symlink_metadata(&path)?.is_dir() {
            Ok(Self { path })
        } else {
            Err(ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn make_dir(&self, name: &str) -> io::Result<()> {
        match std::fs::create_dir(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// A path says nothing about what stands there by now, so it is looked up anew each time.
    pub(super) fn is_still_at(&self, _root: &Self, _path: &str) -> bool {
        false
    }

    pub(super) fn open_read(&self, name: &str) -> io::Result<File> {
        self.open(name, OpenOptions::new().read(true))
    }

    pub(super) fn open_append(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true);
        // Without FILE_SHARE_DELETE nobody removes or replaces the file during the append.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, FILE_SHARE_READ | FILE_SHARE_WRITE);
        self.open(name, &options)
    }

    pub(super) fn create_new(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        if !self.facts_at(name)?.is_regular {
            return Err(ErrorKind::IsADirectory.into());
        }
        patiently(|| options.open(self.path.join(name)))
    }

    pub(super) fn facts_at(&self, name: &str) -> io::Result<Facts> {
        Ok(facts_from(&std::fs::symlink_metadata(self.path.join(name))?))
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(super) fn unlink(&self, name: &str) -> io::Result<()> {
        patiently(|| std::fs::remove_file(self.path.join(name)))
    }

    pub(super) fn rename_over(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
        patiently(|| std::fs::rename(self.path.join(name), to.path.join(to_name)))
    }

    /// Renames a file to a name that must be free. A crash between the two steps leaves a second name in
    /// `tmp`, which is swept later.
    pub(super) fn rename_new(&self, name: &str, to: &Self, to_name: &str) -> io::Result<()> {
        patiently(|| std::fs::hard_link(self.path.join(name), to.path.join(to_name)))?;
        let _ = self.unlink(name);
        Ok(())
    }

    /// A directory cannot be synced. A sync of the file after it got its name is the nearest: NTFS keeps
    /// names with the file, and writes the journal up to that point.
    pub(super) fn sync_name(&self, name: &str) -> io::Result<()> {
        match self.open(name, OpenOptions::new().write(true)) {
            Ok(file) => file.sync_all(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn make_root(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

pub(super) fn facts_of(file: &File) -> io::Result<Facts> {
    Ok(facts_from(&file.metadata()?))
}

fn facts_from(metadata: &std::fs::Metadata) -> Facts {
    Facts { is_regular: metadata.is_file(), size: metadata.len(), links: 1, id: (0, 0) }
}

pub(super) fn read_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    file.read(bytes)
}

pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

pub(super) fn sync_all(file: &File) -> io::Result<()> {
    file.sync_all()
}

pub(super) fn forget_pages(_file: &File) {}

pub(super) fn is_foreign(_error: &io::Error) -> bool {
    false
}

pub(super) fn is_descriptor_shortage(_error: &io::Error) -> bool {
    false
}

/// Retries what Windows refuses while a virus scanner or an indexer has the file open. Elsewhere it runs
/// once.
fn patiently<T>(operate: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(10);
    loop {
        match operate() {
            Err(error) if is_transient(&error) && waited < PATIENCE_MAX => {
                std::thread::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

/// ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
fn is_transient(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33))
}
