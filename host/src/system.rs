//! The machine as the core sees it: a disk, the system's clock and its entropy.
//!
//! [`SystemHost`] is all that the core imports, for native use and for tests against the real thing. It adds
//! nothing to its three parts: no cache, no thread, no output.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sessile_core::{Clock, DirEntry, Durability, Entropy, Fs, FsError, FsErrorKind, Text};

use crate::disk::{Access, DiskFs};

/// The files below a directory, the wall clock of the system and the random bits of its kernel.
#[derive(Debug)]
pub struct SystemHost {
    disk: DiskFs,
    /// Two secrets of this process, and how often they were used: see [`Entropy::random`] below.
    secrets: [RandomState; 2],
    uses: u64,
}

impl SystemHost {
    /// Opens the store directory `root`.
    ///
    /// Errors: those of [`DiskFs::open`]; `Unavailable` where the system gives no random bits.
    pub fn open(root: &Path, access: Access) -> Result<Self, FsError> {
        getrandom::u64().map_err(|error| {
            let message =
                format!("cannot draw random bits: {error}; check the system's entropy source and retry");
            FsError::new(FsErrorKind::Unavailable, message)
        })?;
        let disk = DiskFs::open(root, access)?;
        Ok(Self { disk, secrets: [RandomState::new(), RandomState::new()], uses: 0 })
    }
}

impl Clock for SystemHost {
    fn now_ms(&mut self) -> u64 {
        // A clock set before 1970 is wrong, and reads as 1970.
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Entropy for SystemHost {
    fn random(&mut self) -> u128 {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_ok() {
            return u128::from_le_bytes(bytes);
        }
        // A source that answered at `open` does not fail later on any system we know. If one does, an id must
        // still be fresh: a keyed hash of the time and a counter is, and nobody without the keys can guess
        // it.
        self.uses += 1;
        let seed = (SystemTime::now(), self.uses);
        let [high, low] = self.secrets.each_ref().map(|secret| u128::from(secret.hash_one(seed)));
        high << 64 | low
    }
}

impl Fs for SystemHost {
    fn append(&mut self, path: &str, data: &str, durability: Durability) -> Result<u64, FsError> {
        self.disk.append(path, data, durability)
    }

    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.disk.create(path, data)
    }

    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError> {
        self.disk.create_bytes(path, data)
    }

    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        self.disk.replace(path, data)
    }

    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError> {
        self.disk.read_text(path, offset, limit)
    }

    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        self.disk.read_bytes(path, offset, limit)
    }

    fn stat(&mut self, path: &str) -> Result<u64, FsError> {
        self.disk.stat(path)
    }

    fn list(&mut self, directory: &str, after: &str, limit: u32) -> Result<Vec<DirEntry>, FsError> {
        self.disk.list(directory, after, limit)
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        self.disk.remove(path)
    }

    fn sync(&mut self, path: &str) -> Result<(), FsError> {
        self.disk.sync(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `check` with a host on a directory of its own.
    fn with_host(check: impl FnOnce(&mut SystemHost)) {
        let name = format!("sessile-system-{:016x}", getrandom::u64().expect("entropy"));
        let root = std::env::temp_dir().join(name);
        check(&mut SystemHost::open(&root, Access::ReadWrite).expect("a host"));
        std::fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn clock_counts_milliseconds_since_1970() {
        with_host(|host| {
            let now_ms = host.now_ms();
            assert!((1_700_000_000_000..4_000_000_000_000).contains(&now_ms), "{now_ms}");
        });
    }

    #[test]
    fn random_bits_differ_in_both_halves() {
        with_host(|host| {
            let (one, other) = (host.random(), host.random());
            assert_ne!(one >> 64, other >> 64);
            assert_ne!(one << 64, other << 64);
        });
    }

    #[test]
    fn files_are_those_of_the_disk() {
        with_host(|host| {
            let path = "catalogue/a.jsonl";
            assert_eq!(host.create(path, "a\n"), Ok(()));
            assert_eq!(host.append(path, "b\n", Durability::Buffered), Ok(4));
            assert_eq!(host.sync(path), Ok(()));
            assert_eq!(host.stat(path), Ok(4));
            assert_eq!(host.read_text(path, 2, 9), Ok(Text { start: 2, data: "b\n".to_owned() }));
            assert_eq!(host.read_bytes(path, 0, 2), Ok(b"a\n".to_vec()));
            assert_eq!(host.list("catalogue", "", 9).expect("entries").len(), 1);
            assert_eq!(host.replace(path, "{}"), Ok(()));
            assert_eq!(host.stat(path), Ok(2));
            assert_eq!(host.remove(path), Ok(()));
            assert_eq!(host.remove(path).expect_err("removed before").kind, FsErrorKind::NotFound);
        });
    }
}
