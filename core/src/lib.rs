//! The pure logic of Sessile.
//!
//! Decides what the bytes of a session store are and mean: records, the fold over them, forks, reverts, the
//! catalogue. It does no I/O, reads no clock and draws no entropy: all that comes in through [`Host`]. It never
//! panics on any input, and everything it keeps in memory is a cache of the files.
//!
//! Applications use the crate `sessile`, which brings a host with real files. The format is docs/format.md.

#![forbid(unsafe_code)]

pub mod api;
mod catalogue;
mod error;
pub mod export;
mod facts;
mod fold;
mod host;
mod id;
pub mod import;
pub mod json;
pub mod limits;
mod log;
mod message;
pub mod operations;
mod path;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
mod record;
mod scan;
mod search;
mod store;
mod table;

pub use api::{
    Appended, Branch, DamagedRange, ForkOptions, ListQuery, MessageChange, MessageRef, OpenOptions, Page,
    Rewritten, Select, SessionPage, Sessions, WriteOptions,
};
pub use error::{Error, ErrorKind, Result};
pub use facts::{Facts, NewSession, Session, SessionPatch, Status};
pub use host::{Clock, DirEntry, Durability, Entropy, Fs, FsError, FsErrorKind, Host, Text};
pub use json::{Json, JsonError};
pub use message::{ROLES, STATUSES};
pub use store::Store;
