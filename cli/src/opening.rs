//! The way to a store and to a session in it.

use std::path::PathBuf;

use anyhow::Result;
use directories::BaseDirs;
use sessile::{Engine, ErrorKind, ListQuery, OpenOptions, Session, Store};

use crate::args::Global;
use crate::exit::error;

/// Where the store is and what runs it.
#[derive(Clone, Debug)]
pub struct Opening {
    pub directory: PathBuf,
    pub engine: Engine,
}

impl Opening {
    /// `--store`, else `$SESSILE_STORE`, else the platform's data directory.
    pub fn of(global: &Global) -> Result<Self> {
        let named = std::env::var_os("SESSILE_STORE").filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = || BaseDirs::new().map(|dirs| dirs.data_dir().join("sessile"));
        let directory = global.store.clone().or(named).or_else(usual);
        let nowhere =
            "there is no home directory to keep the store in; name one with --store or SESSILE_STORE";
        let directory = directory.ok_or_else(|| error(ErrorKind::NotFound, nowhere))?;
        Ok(Self { directory, engine: global.engine.into() })
    }

    /// Opens a store that must be there, for reading alone.
    pub fn read(&self) -> Result<Store> {
        self.open(true)
    }

    /// Opens a store that must be there.
    pub fn write(&self) -> Result<Store> {
        // Opening for writing makes a store where there is none, and a wrong name must not.
        drop(self.open(true)?);
        self.open(false)
    }

    /// Opens the store, or makes it.
    pub fn make(&self) -> Result<Store> {
        self.open(false)
    }

    fn open(&self, read_only: bool) -> Result<Store> {
        let opened = Store::open_with(&self.directory, OpenOptions { read_only }, self.engine);
        opened.map_err(|cause| if cause.kind == ErrorKind::NotFound { self.missing() } else { cause.into() })
    }

    fn missing(&self) -> anyhow::Error {
        let shown = self.directory.display();
        let message = format!(
            "there is no store at {shown}; `sessile new` makes one, --store or SESSILE_STORE names another"
        );
        error(ErrorKind::NotFound, message)
    }
}

/// Finds a session by its id, the beginning of its id, or `last`.
///
pub fn find(store: &mut Store, text: &str) -> Result<Session> {
    Ok(store.resolve(text, None)?)
}

/// Finds a session in the trash first: `last` is the one that was moved there last.
pub fn find_trashed(store: &mut Store, text: &str) -> Result<Session> {
    if text != "last" {
        return find(store, text);
    }
    let query = ListQuery { trashed: true, limit: 1, ..ListQuery::default() };
    let newest = store.list(&query)?.sessions.into_iter().next();
    newest.ok_or_else(|| {
        error(ErrorKind::NotFound, "the trash is empty; `sessile ls` lists the other sessions")
    })
}
