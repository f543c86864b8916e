//! Full-text search: an index of the words of all messages, made from the logs.
//!
//! The index is a set of segments, files that are written whole and never changed. It is derived and disposable: whatever
//! of it is missing, damaged or old is found out by comparing it with the logs, read again, and in no way of any write.
//! What it says is only proposed: a hit counts where the message at hand, read from its log, has what is looked for.
//! What is found, what is promised and how much it costs: docs/search.md. Bytes: docs/format.md, "The index of words".

mod bytes;
mod find;
mod query;
mod segment;
mod text;
mod update;
mod view;
mod words;

use segment::{Fault, Segment};
use view::{File, View};

use crate::Result;
use crate::host::Host;
use crate::id::{Name, base32, fingerprint_bytes};
use crate::log::Log;
use crate::store::Store;

pub(crate) use find::{Hit, Wanted};
pub(crate) use query::{Query, role_of};

const DIRECTORY: &str = "search";
const EXTENSION: &str = ".words";
/// How much a search takes in, in bytes of messages, before it answers that it lacks the rest.
const CATCH_UP_BYTES: u64 = 4 * 1024 * 1024;
/// The most that is kept in memory of what searches have taken in, in bytes of segments.
const MEMORY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What an instance knows of the index.
#[derive(Debug, Default)]
pub struct Index {
    /// The segments that are files, and behind them those that are in memory alone.
    segments: Vec<Segment>,
    /// Files that are no segments of ours, or no more.
    damaged: Vec<String>,
    /// The log that an update has not come to the end of.
    unfinished: Option<Log>,
}

/// How much is not found yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Logs that are not wholly in the index.
    pub sessions: u64,
    /// About how many bytes of them.
    pub bytes: u64,
}

impl Index {
    /// Looks which segments there are. What cannot be read is no part of the index.
    fn load(&mut self, host: &mut impl Host) -> Result<()> {
        let mut listed = Vec::new();
        let mut after = String::new();
        loop {
            let page = host.list(DIRECTORY, &after, 1000)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            listed.extend(page);
        }
        listed.retain(|file| is_segment(&file.name));
        let path = |name: &str| format!("{DIRECTORY}/{name}");
        self.damaged.clear();
        self.segments.retain(|segment| {
            segment.path.is_empty()
                || listed.iter().any(|file| path(&file.name) == segment.path && file.size == segment.size)
        });
        let memory: Vec<Segment> = {
            let files = self.segments.iter().take_while(|segment| !segment.path.is_empty()).count();
            self.segments.split_off(files)
        };
        for file in listed {
            let path = path(&file.name);
            if self.segments.iter().any(|segment| segment.path == path) {
                continue;
            }
            match Segment::open(host, path.clone(), file.size) {
                Ok(segment) => self.segments.push(segment),
                Err(Fault::Lost) => self.damaged.push(path),
                // What the disk does not give now it may give later: nothing is removed for that.
                Err(Fault::Host(_)) => {}
            }
        }
        self.segments.extend(memory);
        Ok(())
    }

    /// Forgets a segment that is not what it was when it was opened.
    fn drop_lost(&mut self, place: usize) {
        if place < self.segments.len() {
            self.segments.remove(place);
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.segments.iter().filter(|segment| segment.path.is_empty()).map(|segment| segment.size).sum()
    }

    /// Forgets what is in memory alone.
    fn drop_memory(&mut self) {
        self.segments.retain(|segment| !segment.path.is_empty());
    }
}

/// Whether a file's name is that of a segment.
pub(crate) fn is_segment(name: &str) -> bool {
    name.strip_suffix(EXTENSION).is_some_and(|stem| {
        stem.len() == 26 && stem.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

/// Whether a file is a segment that can be read, as far as opening it tells.
pub(crate) fn is_readable(host: &mut impl Host, path: &str, size: u64) -> bool {
    !matches!(Segment::open(host, path.to_owned(), size), Err(Fault::Lost))
}

/// The path of a segment: it is named for what it holds, so whoever writes one that is there already has nothing to do.
fn path_of(data: &[u8]) -> String {
    format!("{DIRECTORY}/{}{EXTENSION}", base32(fingerprint_bytes(data)))
}

/// All logs of sessions.
fn files(host: &mut impl Host) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for directory in crate::id::session_directories() {
        let mut after = String::new();
        loop {
            let page = host.list(&directory, &after, 10_000)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            let is_last = page.len() < 10_000;
            for file in page {
                if let Some((name, generation)) =
                    Name::parse_log(&file.name).filter(|(name, _)| !name.is_system())
                {
                    files.push(File { name, generation, size: file.size });
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(files)
}

fn behind(view: &View<'_>) -> Behind {
    let lacking = (0..view.logs.len()).filter(|log| !view.is_complete(*log));
    lacking.fold(Behind::default(), |sum, log| Behind {
        sessions: sum.sessions + 1,
        bytes: sum.bytes + view.behind(log),
    })
}

impl<H: Host> Store<H> {
    /// Removes everything of the index that holds words of a session: it is made anew without them. A purge calls this
    /// and goes on whatever comes of it; what is left then goes with the next update.
    pub(crate) fn forget_words(&mut self, id: &str) {
        let Ok(name) = Name::of(id) else { return };
        self.search.drop_memory();
        if self.search.load(&mut self.host).is_err() {
            return;
        }
        let host = &mut self.host;
        self.search.segments.retain(|segment| {
            let holds = segment.entries.iter().any(|entry| entry.name == name && !entry.runs.is_empty());
            !(holds && host.remove(&segment.path).is_ok())
        });
    }
}
