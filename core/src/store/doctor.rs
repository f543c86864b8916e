//! The doctor: looks at everything, changes nothing but what is derived.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash as _, Hasher as _};

use serde::Serialize;

use super::{Store, key_of, queue_of};
use crate::catalogue::{from_logs, settled};
use crate::fold::{End, State};
use crate::host::{DirEntry, FsErrorKind, Host};
use crate::id::Name;
use crate::limits::PAGE_SESSIONS_MAX;
use crate::log::Log;
use crate::record::{EntryRecord, Record};
use crate::{ErrorKind, Result};

/// What the doctor finds. Its JSON is described in docs/format.md, "The report".
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether nothing is wrong.
    healthy: bool,
    sessions: u64,
    trashed: u64,
    messages: u64,
    log_bytes: u64,
    /// Records of types that this version does not know.
    unknown_records: u64,
    kept: Kept,
    damaged_bytes: u64,
    unreachable: Unreachable,
    duplicates: Duplicates,
    /// Files that belong to nothing.
    orphans: Vec<Orphan>,
    /// One entry per log with something to say.
    findings: Vec<Finding>,
    catalogue: CatalogueReport,
    /// What was repaired.
    repaired: Vec<String>,
}

/// What can be read.
#[derive(Debug, Default, Serialize)]
struct Kept {
    /// Messages of sessions that readers reach, hidden ones included.
    messages: u64,
    /// Bytes of logs that are records.
    bytes: u64,
}

/// What is there, or was, and no reader comes to.
#[derive(Debug, Default, Serialize)]
struct Unreachable {
    /// Logs whose session no reader finds.
    sessions: u64,
    /// Messages in them, and those that cannot be read.
    messages: u64,
}

/// What is held twice: records that their writer has written again, and logs that a rewrite has left.
#[derive(Debug, Default, Serialize)]
struct Duplicates {
    records: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Orphan {
    file: String,
    bytes: u64,
    /// `temporary`, `attachment`, `queue`, `key`, `catalogue`, `words`, `unknown`.
    what: &'static str,
}

#[derive(Debug, Serialize)]
struct Finding {
    /// `damage`, `unfinished-record`, `unreadable-messages`, `no-beginning`, `wrong-name`, `shadowed`, `checkpoint`,
    /// `unfinished-rewrite`, `leftover`, `unreadable`, `marker`.
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    session: String,
    file: String,
    /// Ranges of bytes, or of messages for `unreadable-messages`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(u64, u64)>,
    what: String,
}

#[derive(Debug, Default, Serialize)]
struct CatalogueReport {
    /// `current`, `stale`, `missing` or [`UNKNOWN`].
    state: &'static str,
    /// Sessions that it lacks.
    missing: Vec<String>,
    /// Sessions that it has and that are not there.
    extra: Vec<String>,
    /// Sessions of which it says something else than their logs.
    wrong: Vec<String>,
}

/// The state of a catalogue that cannot be compared with all logs, because the disk does not give one of them.
const UNKNOWN: &str = "unknown";
/// Findings that are no harm: what nobody has acknowledged, or what awaits its removal.
const HARMLESS: [&str; 3] = ["unfinished-record", "leftover", "unfinished-rewrite"];

/// What is carried from log to log.
#[derive(Default)]
struct Rounds {
    report: Report,
    /// The generations of each session, ascending.
    generations: BTreeMap<Name, Vec<u32>>,
    /// Of the first generations that are there: those that have not ended.
    open_first: BTreeSet<Name>,
    /// Sessions that were purged and have left something.
    purged: BTreeSet<String>,
    /// Generations that a rewrite has left.
    rewritten: Vec<(Name, u32)>,
    /// Files that a row names.
    attached: BTreeSet<String>,
}

impl Rounds {
    fn find(&mut self, kind: &'static str, session: &str, file: &str, ranges: Vec<(u64, u64)>, what: String) {
        let (session, file) = (session.to_owned(), file.to_owned());
        self.report.findings.push(Finding { kind, session, file, ranges, what });
    }

    fn orphan(&mut self, file: &str, bytes: u64, what: &'static str) {
        self.report.orphans.push(Orphan { file: file.to_owned(), bytes, what });
    }
}

impl<H: Host> Store<H> {
    pub(super) fn examine(&mut self, repair: bool) -> Result<String> {
        let mut rounds = Rounds::default();
        if let Some(what) = self.marker {
            // Asked for reading alone, or a newer format: then it stays as it is.
            if repair && !self.read_only {
                self.repair_marker()?;
                rounds.report.repaired.push("format marker made anew".into());
            } else {
                rounds.find("marker", "", super::MARKER_PATH, Vec::new(), what.into());
            }
        }
        if repair {
            self.writable()?;
        }
        self.each_log(&mut |_, name, generation, _| {
            rounds.generations.entry(name.clone()).or_default().push(generation);
            Ok(())
        })?;
        self.each_log(&mut |store, name, generation, path| {
            if let Err(error) = store.examine_log(name, generation, path, &mut rounds) {
                rounds.find("unreadable", "", path, Vec::new(), error.message);
            }
            Ok(())
        })?;
        self.examine_files(&mut rounds)?;
        rounds.report.catalogue = match self.examine_catalogue() {
            // A finding names the log that the disk does not give; nothing is made anew without it.
            Err(error) if error.kind == ErrorKind::Unavailable => {
                CatalogueReport { state: UNKNOWN, ..CatalogueReport::default() }
            }
            examined => examined?,
        };
        if repair {
            self.repair(&mut rounds)?;
        }
        let mut report = rounds.report;
        let sound = report.findings.iter().all(|finding| HARMLESS.contains(&finding.kind));
        report.healthy = sound && (report.catalogue.state == "current" || repair);
        serde_json::to_string(&report).map_err(|error| crate::Error::internal(error.to_string()))
    }

    /// Makes anew what is derived, and removes what others have meant to remove.
    fn repair(&mut self, rounds: &mut Rounds) -> Result<()> {
        if !["current", UNKNOWN].contains(&rounds.report.catalogue.state) {
            let now = self.host.now_ms();
            self.catalogue.rebuild(&mut self.host, now)?;
            rounds.report.repaired.push("catalogue rebuilt from the logs".into());
        }
        let words = rounds.report.orphans.iter().filter(|orphan| orphan.what == "words");
        for path in words.map(|orphan| orphan.file.clone()).collect::<Vec<String>>() {
            self.remove_log(&path)?;
            rounds.report.repaired.push(format!("removed {path}, which is no part of an index any more"));
        }
        for (name, generation) in &rounds.rewritten {
            if self.remove_rewritten(name, *generation)? {
                let path = name.log(*generation);
                rounds.report.repaired.push(format!("removed {path}, which was rewritten"));
            }
        }
        for id in &rounds.purged {
            let before = self.generations(&Name::of(id)?)?.len();
            self.collect_purged(id)?;
            if self.generations(&Name::of(id)?)?.is_empty() {
                self.remove_queues(id)?;
            }
            if self.generations(&Name::of(id)?)?.len() < before {
                rounds.report.repaired.push(format!("removed what was left of purged session {id}"));
            }
        }
        Ok(())
    }

    fn examine_log(&mut self, name: &Name, generation: u32, path: &str, rounds: &mut Rounds) -> Result<()> {
        let salt = self.salt_of_file(path)?;
        let quick = Log::load_salted(&mut self.host, path, salt, None)?;
        let mut log = Log::load_salted(&mut self.host, path, salt, None)?;
        log.index_whole(&mut self.host)?;
        let state = log.state().clone();
        // The id of a log of the store's own is nobody's session.
        let session = if name.is_system() { String::new() } else { state.session.clone() };
        let held = self.count_records(&log, &mut rounds.report.duplicates)?;
        let damaged: u64 = log.damage().iter().map(|damage| damage.to - damage.from).sum();
        rounds.report.damaged_bytes += damaged;
        rounds.report.kept.bytes += log.end() - damaged.min(log.end());
        if damaged > 0 {
            let ranges = log.damage().iter().map(|damage| (damage.from, damage.to)).collect();
            let what = format!("{damaged} bytes hold no record; everything around them is readable");
            rounds.find("damage", &session, path, ranges, what);
        }
        if log.size() > log.end() {
            let what = "a write that was not finished and never acknowledged";
            rounds.find("unfinished-record", &session, path, vec![(log.end(), log.size())], what.into());
        }
        if let Some((kind, what)) = self.astray(name, generation, &state, rounds) {
            if !name.is_system() {
                rounds.report.unreachable.sessions += 1;
                rounds.report.unreachable.messages += held;
            }
            rounds.find(kind, &session, path, Vec::new(), what.into());
            if !state.begun() || kind == "shadowed" {
                return Ok(());
            }
        }
        // The same state from the end and from the beginning: checkpoints tell the truth.
        let comparable = |log: &Log| State { records: 0, ..log.state().clone() };
        if comparable(&quick) != comparable(&log) {
            let what = "the fold from the last checkpoint differs from the whole fold";
            rounds.find("checkpoint", &session, path, Vec::new(), what.into());
        }
        rounds.report.unknown_records += state.unknown;
        rounds.report.log_bytes += log.size();
        let attached = state.table.docs(ATTACHMENT);
        rounds.attached.extend(attached.filter_map(|(_, row)| path_of_row(row)));
        if self.examine_end(name, generation, &log, &session, rounds) {
            return Ok(());
        }
        if name.is_system() {
            return self.examine_system(path, &log, rounds);
        }
        rounds.report.sessions += 1;
        rounds.report.trashed += u64::from(state.facts.trashed.is_some());
        rounds.report.messages += state.path.len();
        let unreadable = self.unreadable(&mut super::Cached::new(log))?;
        let count: u64 = unreadable.iter().map(|(from, to)| to - from + 1).sum();
        rounds.report.kept.messages += state.count - count.min(state.count);
        rounds.report.unreachable.messages += count;
        if count > 0 {
            let what = format!("{count} messages cannot be read");
            rounds.find("unreadable-messages", &session, path, unreadable, what);
        }
        Ok(())
    }

    /// Why no reader comes to the session of this log by its id, if so.
    fn astray(
        &self,
        name: &Name,
        generation: u32,
        state: &State,
        rounds: &mut Rounds,
    ) -> Option<(&'static str, &'static str)> {
        if !state.begun() {
            return Some(("no-beginning", "no readable first record says whose log this is"));
        }
        if Name::of(&state.session).ok().as_ref() != Some(name) || state.generation != generation {
            return Some(("wrong-name", "the file is not named for its session; give it back its name"));
        }
        if generation == 1 && state.end.is_none() {
            rounds.open_first.insert(name.clone());
        }
        let is_shadowed = generation > 1 && rounds.open_first.contains(name);
        is_shadowed.then_some((
            "shadowed",
            "readers stop at the first generation, which has not ended: its end is damaged, or it was put back",
        ))
    }

    /// Notes how a log has ended. Returns whether it has, and holds no session any more.
    fn examine_end(
        &mut self,
        name: &Name,
        generation: u32,
        log: &Log,
        session: &str,
        rounds: &mut Rounds,
    ) -> bool {
        let highest = rounds.generations.get(name).and_then(|all| all.last().copied());
        let is_highest = highest == Some(generation);
        match log.state().end {
            Some(End::Purged) => {
                rounds.find(
                    "leftover",
                    session,
                    log.path(),
                    Vec::new(),
                    "purged; kept while a fork needs it".into(),
                );
                rounds.purged.insert(log.state().session.clone());
                true
            }
            Some(End::Sealed(_)) if is_highest => {
                let what = "the next write finishes the rewrite";
                rounds.find("unfinished-rewrite", session, log.path(), Vec::new(), what.into());
                false
            }
            // One who finishes a rewrite late makes what others have rewritten and removed again.
            None if is_highest || generation == 1 => false,
            _ => {
                let what = "rewritten; kept while a fork needs it";
                rounds.find("leftover", session, log.path(), Vec::new(), what.into());
                rounds.report.duplicates.bytes += log.size();
                rounds.rewritten.push((name.clone(), generation));
                true
            }
        }
    }

    /// Queues and keys of sessions that are gone.
    fn examine_system(&mut self, path: &str, log: &Log, rounds: &mut Rounds) -> Result<()> {
        let state = log.state();
        if let Some(session) = queue_of(&state.session)
            && self.generations(&Name::of(session)?)?.is_empty()
        {
            rounds.find("leftover", "", path, Vec::new(), "the queue of a session that was purged".into());
            rounds.orphan(path, log.size(), "queue");
            rounds.purged.insert(session.to_owned());
        }
        if key_of(&state.session).is_some()
            && let Some(current) = state.table.doc("current")
            && let Ok(session) = serde_json::from_str::<String>(current)
            && self.generations(&Name::of(&session)?)?.is_empty()
        {
            rounds.orphan(path, log.size(), "key");
        }
        Ok(())
    }

    /// Counts what a log holds twice, and returns how many messages were ever appended to it.
    fn count_records(&mut self, log: &Log, duplicates: &mut Duplicates) -> Result<u64> {
        let (mut seen, mut messages) = (HashSet::new(), 0);
        log.for_each(&mut self.host, &mut |record, text, _| {
            // Two of one length that differ and have one hash are as rare as a disk that lies.
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            if !seen.insert((hasher.finish(), text.len())) {
                duplicates.records += 1;
                duplicates.bytes += text.len() as u64 + 1;
            } else if let Record::Append(append) = record {
                messages += append.m.len() as u64;
            }
        })?;
        Ok(messages)
    }

    /// The numbers of messages that cannot be read, hidden ones included.
    pub(super) fn unreadable(&mut self, cached: &mut super::Cached) -> Result<Vec<(u64, u64)>> {
        let (inherited, count) = (cached.log.state().inherited, cached.log.state().count);
        let mut readable = self.readable_inherited(cached)?;
        readable.extend(cached.log.readable(inherited + 1, count));
        let mut ranges = Vec::new();
        let mut first = 1;
        for (from, to) in readable.into_iter().chain([(count + 1, count)]) {
            if first < from {
                ranges.push((first, from - 1));
            }
            first = to + 1;
        }
        Ok(ranges)
    }

    /// Finds files that belong to nothing.
    fn examine_files(&mut self, rounds: &mut Rounds) -> Result<()> {
        for file in self.files("tmp")? {
            rounds.orphan(&format!("tmp/{}", file.name), file.size, "temporary");
        }
        let catalogues = self.files("catalogue")?;
        for file in catalogues.iter().rev().skip(1) {
            rounds.orphan(&format!("catalogue/{}", file.name), file.size, "catalogue");
        }
        for file in self.files("search")? {
            let path = format!("search/{}", file.name);
            if !crate::search::is_segment(&file.name) {
                rounds.orphan(&path, file.size, "unknown");
            } else if !crate::search::is_readable(&mut self.host, &path, file.size) {
                rounds.orphan(&path, file.size, "words");
            }
        }
        for directory in crate::id::session_directories() {
            for file in self.files(&directory)? {
                if Name::parse_log(&file.name).is_none() {
                    rounds.orphan(&format!("{directory}/{}", file.name), file.size, "unknown");
                }
            }
            let directory = directory.replacen("sessions", "attachments", 1);
            for file in self.files(&directory)? {
                let path = format!("{directory}/{}", file.name);
                if !rounds.attached.contains(&path) {
                    rounds.orphan(&path, file.size, "attachment");
                }
            }
        }
        Ok(())
    }

    /// All files of a directory.
    fn files(&mut self, directory: &str) -> Result<Vec<DirEntry>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = match self.host.list(directory, &after, 1000) {
                // A link in place of a directory of ours: nothing of ours is there.
                Err(error) if error.kind == FsErrorKind::Refused => return Ok(all),
                page => page?,
            };
            let Some(last) = page.last() else { return Ok(all) };
            after.clone_from(&last.name);
            all.extend(page);
        }
    }

    fn examine_catalogue(&mut self) -> Result<CatalogueReport> {
        let mut report = CatalogueReport { state: "current", ..CatalogueReport::default() };
        if !self.catalogue.load_whole(&mut self.host)? {
            report.state = "missing";
            return Ok(report);
        }
        let known =
            self.catalogue.older(&mut self.host, None, None, PAGE_SESSIONS_MAX as usize * 1000, &|_| true)?;
        let mut listed: BTreeMap<String, EntryRecord> =
            known.into_iter().map(|entry| (entry.session.clone(), entry)).collect();
        for (id, known) in self.catalogue.recent() {
            if let Some(entry) = settled(&mut self.host, id, known)? {
                listed.insert(id.clone(), entry);
            }
        }
        for true_entry in from_logs(&mut self.host)? {
            match listed.remove(&true_entry.session) {
                None => report.missing.push(true_entry.session),
                Some(entry) => {
                    let plain = EntryRecord { writers: BTreeMap::new(), done: None, ..entry };
                    report.wrong.extend((plain != true_entry).then_some(true_entry.session));
                }
            }
        }
        report.extra = listed.into_keys().collect();
        if !(report.missing.is_empty() && report.extra.is_empty() && report.wrong.is_empty()) {
            report.state = "stale";
        }
        Ok(report)
    }
}

/// Rows of attachments in a table.
const ATTACHMENT: &str = "attachment/";

/// The file that a row names.
fn path_of_row(row: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Row {
        path: String,
    }
    serde_json::from_str::<Row>(row).ok().map(|row| row.path)
}
