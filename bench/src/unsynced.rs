//! A host that syncs nothing, for making large stores to measure: the same core and the same files as everywhere, only
//! that a power cut would take them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sessile::{Clock, DirEntry, Durability, Entropy, Fs, FsError, FsErrorKind, Text};

/// Files below a directory, a clock that steps, and ids that count.
pub struct Unsynced {
    root: PathBuf,
    now: u64,
    ids: u128,
    /// The file that was appended to last.
    appender: Option<(String, File)>,
}

impl Unsynced {
    /// Makes the directory.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        Ok(Self { root: root.to_owned(), now: 1_750_000_000_000, ids: 0, appender: None })
    }

    fn put(&mut self, path: &str, data: &[u8], is_new: bool) -> Result<(), FsError> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(told)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if is_new {
            options.create_new(true)
        } else {
            options.create(true).truncate(true)
        };
        options.open(path).and_then(|mut file| file.write_all(data)).map_err(told)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn told(error: std::io::Error) -> FsError {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => FsErrorKind::NotFound,
        std::io::ErrorKind::AlreadyExists => FsErrorKind::Exists,
        _ => FsErrorKind::Unavailable,
    };
    FsError::new(kind, error.to_string())
}

impl Fs for Unsynced {
    fn append(&mut self, path: &str, data: &str, _: Durability) -> Result<u64, FsError> {
        if self.appender.as_ref().is_none_or(|(of, _)| of != path) {
            let file = OpenOptions::new().append(true).open(self.root.join(path)).map_err(told)?;
            self.appender = Some((path.to_owned(), file));
        }
        let Some((_, file)) = &mut self.appender else { unreachable!("set above") };
        file.write_all(data.as_bytes()).map_err(told)?;
        file.metadata().map(|meta| meta.len()).map_err(told)
    }

    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.put(path, data.as_bytes(), true)
    }

    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError> {
        self.put(path, data, true)
    }

    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.appender = None;
        self.put(path, data.as_bytes(), false)
    }

    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError> {
        let bytes = self.read_bytes(path, offset, limit)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let data = String::from_utf8(bytes[..whole].to_vec());
        // What is filled in here is ASCII: no piece begins or ends inside a character.
        let data = data.map_err(|_| FsError::new(FsErrorKind::NotText, "not UTF-8"))?;
        Ok(Text { start: offset, data })
    }

    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        let mut file = File::open(self.root.join(path)).map_err(told)?;
        file.seek(SeekFrom::Start(offset)).map_err(told)?;
        let mut bytes = Vec::new();
        file.take(u64::from(limit)).read_to_end(&mut bytes).map_err(told)?;
        Ok(bytes)
    }

    fn stat(&mut self, path: &str) -> Result<u64, FsError> {
        fs::metadata(self.root.join(path)).map(|meta| meta.len()).map_err(told)
    }

    fn list(&mut self, directory: &str, after: &str, limit: u32) -> Result<Vec<DirEntry>, FsError> {
        let place = self.root.join(directory);
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(told)?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<std::io::Result<Vec<String>>>().map_err(told)?;
        names.retain(|name| name.as_str() > after);
        names.sort_unstable();
        let mut found = Vec::new();
        for name in names {
            if found.len() as u64 == u64::from(limit) {
                break;
            }
            let meta = fs::metadata(place.join(&name)).map_err(told)?;
            if meta.is_file() {
                found.push(DirEntry { name, size: meta.len() });
            }
        }
        Ok(found)
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        self.appender = None;
        fs::remove_file(self.root.join(path)).map_err(told)
    }

    fn sync(&mut self, _: &str) -> Result<(), FsError> {
        Ok(())
    }
}

impl Clock for Unsynced {
    fn now_ms(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Entropy for Unsynced {
    fn random(&mut self) -> u128 {
        // Spread as random ids are: the order of making must not be that of names.
        self.ids += 1;
        self.ids.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}
