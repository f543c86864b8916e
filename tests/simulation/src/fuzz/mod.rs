//! Bodies of the fuzz targets: functions of any bytes that panic where a promise is broken.
//!
//! `fuzz/` hands them the bytes that libFuzzer makes up; the ordinary tests hand them the committed corpora, so they
//! are plain functions here and need neither nightly nor cargo-fuzz. They know the store by its interface, the disk
//! and docs/format.md alone. The target `component` is [`differential`] with wasmtime.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a broken promise is a panic: that is what a fuzzer looks for"
)]

mod calls;
mod catalogue;
mod directory;
mod fold;
mod history;
mod ids;
mod import;
mod json;
mod log;
mod operate;
pub mod records;
pub mod seeds;

pub use self::calls::{differential, native as calls};
pub use self::catalogue::catalogue;
pub use self::directory::store;
pub use self::fold::fold;
pub use self::history::history;
pub use self::ids::ids;
pub use self::import::import;
pub use self::json::json;
pub use self::log::log;
pub use self::operate::operate;

use std::sync::OnceLock;

use serde_json::Value;
use sessile_core::{
    Error, ErrorKind, ListQuery, NewSession, OpenOptions, Page, Result, Select, Session, Sessions, Store,
};

use crate::sim::{Disk, SimDisk, SimHost};

/// A target: what is fed with bytes.
pub type Target = fn(&[u8]);

/// All targets but `component`, by their names.
pub const TARGETS: [(&str, Target); 10] = [
    ("calls", calls),
    ("catalogue", catalogue),
    ("fold", fold),
    ("history", history),
    ("ids", ids),
    ("import", import),
    ("json", json),
    ("log", log),
    ("operate", operate),
    ("store", store),
];

/// A message to append.
const MESSAGE: &str = r#"{"role":"user","parts":[{"type":"text","text":"behind it all"}]}"#;
/// A store that claims billions of messages is read this far.
const PAGES_MAX: usize = 8;
/// Messages of a page.
const PAGE: u32 = 100;

/// Opens the store on a disk.
fn open(disk: &SimDisk, process: u64, read_only: bool) -> Result<Store<SimHost>> {
    Store::open(SimHost::new(disk, process), OpenOptions { read_only })
}

/// The value, or nothing where the store refused; a refusal says what the caller does next, and is no fault of the
/// store's own.
fn typed<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

fn check_error(error: &Error) {
    assert_ne!(error.kind, ErrorKind::Internal, "{error}");
    assert!(!error.message.is_empty() && !error.message.chars().any(char::is_control), "{error:?}");
}

/// A session's messages as far as [`PAGES_MAX`] pages go, and which of them cannot be read.
#[derive(Debug, Default, PartialEq)]
struct Messages {
    readable: Vec<(u64, String)>,
    unreadable: Vec<u64>,
    /// Whether that is all.
    whole: bool,
}

/// Reads a session from the front, in pages of `limit` messages.
fn messages(store: &mut impl Sessions, id: &str, limit: u32) -> Result<Messages> {
    let mut found = Messages::default();
    let mut select = Select::From { seq: 1, limit };
    for _ in 0..PAGES_MAX * (PAGE / limit).max(1) as usize {
        let page = store.read(id, &select)?;
        found.readable.extend(of_page(&page));
        found.unreadable.extend(&page.unreadable);
        let Some(cursor) = page.next else {
            found.whole = true;
            break;
        };
        select = Select::Cursor { cursor, limit };
    }
    Ok(found)
}

/// The messages of a page: number and JSON text.
fn of_page(page: &Page) -> Vec<(u64, String)> {
    let entries: Vec<std::collections::BTreeMap<&str, &serde_json::value::RawValue>> =
        serde_json::from_str(&page.messages).expect("a page is JSON");
    let entry = |entry: &std::collections::BTreeMap<&str, &serde_json::value::RawValue>| {
        (entry["seq"].get().parse().expect("a number"), entry["message"].get().to_owned())
    };
    entries.iter().map(entry).collect()
}

/// All sessions that are listed, those in the trash too.
fn listed(store: &mut impl Sessions, limit: u32) -> Result<Vec<Session>> {
    let mut all = Vec::new();
    for trashed in [false, true] {
        let mut query = ListQuery { trashed, limit, ..ListQuery::default() };
        loop {
            let page = store.list(&query)?;
            all.extend(page.sessions);
            match page.next {
                None => break,
                next => query.cursor = next,
            }
        }
    }
    Ok(all)
}

/// What the doctor says.
fn doctor(store: &mut impl Sessions, repair: bool) -> Option<Value> {
    typed(store.doctor(repair)).map(|report| serde_json::from_str(&report).expect("a report is JSON"))
}

/// A store with an empty session `a`, closed; the path of its log.
fn base() -> (Disk, &'static str) {
    static BASE: OnceLock<(Disk, String)> = OnceLock::new();
    let (disk, path) = BASE.get_or_init(|| {
        let disk = SimDisk::new(Disk::default());
        let mut store = open(&disk, 1, false).unwrap();
        store.create(&NewSession { id: Some("a".into()), ..NewSession::default() }).unwrap();
        store.close().unwrap();
        drop(store);
        let disk = disk.disk();
        let path = disk.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
        (disk, path)
    });
    (disk.clone(), path)
}
