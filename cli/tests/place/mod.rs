//! Where a test of the program runs it.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Variables by which agents, terminals and systems say where things are.
const VARIABLES: [&str; 8] = [
    "COLUMNS",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "CODEX_HOME",
    "CLAUDE_CONFIG_DIR",
    "SESSILE_STORE",
];

/// A directory that goes with the test, with the name of a store in it.
pub struct Place {
    pub directory: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", env!("CARGO_CRATE_NAME"), std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// The program with arguments, in this place. Nothing of the machine is touched.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        command.args(args).current_dir(&self.directory).stdin(Stdio::null());
        for name in VARIABLES {
            command.env_remove(name);
        }
        // The compiled component is shared by all tests.
        command
            .env("SESSILE_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache"))
            .env("SESSILE_STORE", self.directory.join("store"))
            .env("TMPDIR", &self.directory)
            .env("HOME", &self.directory);
        command
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
