//! Sessile: an embeddable, crash-safe session store for AI agents.
//!
//! A store is a directory. Sessions in it hold messages; any number of processes, in Rust, Node and Python, work on it
//! at once. What was acknowledged is never lost, forks share their parent's bytes, and a revert can be undone.
//!
//! ```
//! use sessile::{ForkOptions, Message, NewSession, Select, Store};
//!
//! # let directory = std::env::temp_dir().join(format!("sessile-doc-{}", std::process::id()));
//! let mut store = Store::open(&directory)?;
//! let session = store.create(&NewSession { title: Some("Fix the build".into()), ..NewSession::default() })?;
//! store.append_messages(&session.id, &[Message::user("Why does it fail?"), Message::assistant("A missing import.")])?;
//!
//! let fork = store.fork(&session.id, &ForkOptions::default())?;
//! store.revert(&fork.id, &1.into(), false, &Default::default())?;
//! assert_eq!(store.messages(&fork.id, &Select::Last(10))?.len(), 1);
//! assert_eq!(store.messages(&session.id, &Select::Last(10))?.len(), 2);
//! # drop(store);
//! # std::fs::remove_dir_all(directory).ok();
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! The core runs as a WebAssembly component under wasmtime, or natively ([`Engine`]); both write the same bytes.
//! Promises and assumptions stand in docs/durability.md. The library prints nothing, installs no signal handlers and
//! starts no thread.

mod component;
mod disk;
mod message;
mod system;

use std::ops::{Deref, DerefMut};
use std::path::Path;

pub use component::{COMPONENT, ComponentStore, Imports};
pub use disk::{Access, DiskFs};
pub use message::{Message, Part, Role, StoredMessage};
use sessile_core::operations::Operation;
pub use sessile_core::*;
pub use system::SystemHost;
/// The runtime that [`Imports`] belongs to: an embedder must use the same one.
pub use wasmtime;

/// What runs the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The component, in wasmtime's sandbox: what every host language runs.
    #[default]
    Component,
    /// The same core, compiled into this program.
    Native,
}

/// An open store. All its operations are those of [`Sessions`], to which it dereferences.
///
/// Dropping it tells the catalogue what this process knows, as [`Sessions::close`] does; nothing is lost without.
pub struct Store {
    sessions: Box<dyn Sessions + Send>,
}

impl Store {
    /// Opens the store in `directory`, or makes one there.
    ///
    /// Errors: `invalid` (an empty path, or a NUL in it), `damaged` (something else stands there, or a directory that
    /// others may write to), `unavailable` (the disk), `unsupported` (a newer format).
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(directory, OpenOptions::default(), Engine::default())
    }

    /// Opens a store for reading alone: nothing is created or written, read-only media work.
    ///
    /// Errors: as [`Store::open`]; `not-found` where there is none.
    pub fn open_read_only(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(directory, OpenOptions { read_only: true }, Engine::default())
    }

    /// Opens a store with a chosen engine.
    pub fn open_with(directory: impl AsRef<Path>, options: OpenOptions, engine: Engine) -> Result<Self> {
        check_name(directory.as_ref())?;
        let access = if options.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let host = SystemHost::open(directory.as_ref(), access)?;
        let sessions: Box<dyn Sessions + Send> = match engine {
            Engine::Component => Box::new(ComponentStore::open(host, options)?),
            Engine::Native => Box::new(sessile_core::Store::open(host, options)?),
        };
        Ok(Self { sessions })
    }

    /// Appends messages behind the head, durably.
    ///
    /// Errors: as [`Sessions::append`].
    pub fn append_messages(&mut self, id: &str, messages: &[Message]) -> Result<Appended> {
        let messages: Vec<String> = messages.iter().map(Message::to_json).collect();
        self.append(id, &format!("[{}]", messages.join(",")), &WriteOptions::default())
    }

    /// Carries out an operation, such as [`operations::counters::AddCounters`].
    ///
    /// Errors: the operation's.
    pub fn run<O: Operation>(&mut self, operation: &O) -> Result<O::Answer> {
        operations::run(&mut *self.sessions, operation)
    }

    /// Reads a page of messages as values.
    ///
    /// Errors: as [`Sessions::read`]; `damaged` where a message of the page cannot be read: to leave it out without a
    /// word could change what a model is told. [`Sessions::read`] gives the others.
    pub fn messages(&mut self, id: &str, select: &Select) -> Result<Vec<StoredMessage>> {
        let page = self.read(id, select)?;
        if let Some(first) = page.unreadable.first() {
            let message =
                format!("message {first} of session {id} cannot be read; `read` gives those around it");
            return Err(Error::new(ErrorKind::Damaged, message));
        }
        StoredMessage::parse_page(&page)
    }
}

/// Refuses what can name no directory on any system, before the disk is asked.
fn check_name(directory: &Path) -> Result<()> {
    let name = directory.as_os_str().as_encoded_bytes();
    let reason = match name {
        [] => "is empty",
        _ if name.contains(&0) => "holds a NUL character",
        _ => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::Invalid,
        format!("the path of the store {reason}; give the path of a directory"),
    ))
}

impl Deref for Store {
    type Target = dyn Sessions;

    fn deref(&self) -> &Self::Target {
        &*self.sessions
    }
}

impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.sessions
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The catalogue is derived: readers look into the logs where it says nothing.
        let _ = self.sessions.close();
    }
}
