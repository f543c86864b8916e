//! The catalogue: which sessions there are, newest change first, without reading their logs.
//!
//! One file per generation: a snapshot, sorted by recency, with references sorted by scope, and behind it a log of
//! what came since. It is derived and disposable: deleted, stale or damaged, it is made anew from the session logs,
//! and it never stops a write. What makes it trustworthy is that a session is marked as open here, durably, before
//! anybody writes to its log: the facts of a session that is not marked are final, the others are looked up in their
//! logs. Bytes: docs/format.md, "The catalogue".

use std::collections::BTreeMap;

use crate::facts::{Facts, Session};
use crate::fold::End;
use crate::host::{DirEntry, Durability, FsErrorKind, Host};
use crate::id::{Name, fingerprint};
use crate::log::{Log, generations, read};
use crate::planted::{Planted, planted};
use crate::record::{
    CatalogueRecord, EntryRecord, MARKER, OpenRecord, OpenSession, PointRecord, Record, RefRecord, Salt,
    leading_record, occurrences,
};
use crate::scan::{Damage, Visitor, scan};
use crate::{Error, ErrorKind, Result};

const DIRECTORY: &str = "catalogue";
/// A log of this size is always good enough; a larger one may have a fourth of the snapshot's size.
const LOG_BYTES: u64 = 256 * 1024;
/// How much is read at once.
const CHUNK_BYTES: u64 = 64 * 1024;
/// A point is due after so much log ...
const POINT_BYTES: u64 = 8 * 1024;
/// ... but never before this many times its own size, so that points take at most an eighth of a log.
const POINT_SPACING: u64 = 8;
/// How much of the log's end is read first, and how many times as much where that does not tell enough.
const TAIL_BYTES: u64 = 24 * 1024;
const TAIL_GROWTH: u64 = 4;
/// A mark this old belongs to a writer that no longer writes: living ones renew theirs every hour.
pub(crate) const MARK_AGE_MAX_MS: u64 = 24 * 3_600_000;

/// What an instance knows of the catalogue.
#[derive(Debug, Default)]
pub struct Catalogue {
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    path: String,
    salt: Salt,
    generation: u32,
    header: CatalogueRecord,
    /// Where the sessions' lines begin.
    lines_at: u64,
    /// Up to where the log is folded, and the file's size then.
    end: u64,
    size: u64,
    /// How much of the log's end was read.
    window: u64,
    recent: Recent,
}

/// What the log behind the snapshot says, by session: all of it, or what comes since a point.
#[derive(Debug, Default)]
struct Recent {
    sessions: BTreeMap<String, Known>,
    sealed: bool,
    damaged: bool,
    /// Where the log was not read from its beginning: no session of which nothing is known here changed after this, in ms.
    bound: Option<u64>,
    /// When the session changed that changed last of all that are known here, in ms.
    newest: u64,
    /// Where the last point stands, and its length.
    point: (u64, u64),
}

/// What is known of a session that was written since the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its last entry.
    pub entry: Option<EntryRecord>,
    /// Who has said that they write, and not that they are done: writer to time.
    pub writers: BTreeMap<String, u64>,
}

/// Where a session stands in a list: by recency, newest first, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(std::cmp::Reverse<u64>, String);

impl Rank {
    /// The rank of an entry.
    pub fn of(entry: &EntryRecord) -> Self {
        Self(std::cmp::Reverse(entry.facts.updated), entry.session.clone())
    }

    /// The rank as a cursor.
    pub fn to_cursor(&self) -> String {
        format!("{}-{}", self.0.0, self.1)
    }

    /// The rank that a cursor stands for.
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        let (updated, session) = cursor.split_once('-')?;
        Some(Self(std::cmp::Reverse(updated.parse().ok()?), session.to_owned()))
    }
}

/// The facts of a log as an entry.
pub fn entry(log: &Log, done: Option<&str>) -> EntryRecord {
    let state = log.state();
    EntryRecord {
        session: state.session.clone(),
        generation: state.generation,
        size: log.size(),
        n: state.path.len(),
        head: state.path.head(),
        undo: state.undo.is_some(),
        facts: state.facts.clone(),
        done: done.map(str::to_owned),
        gone: state.end == Some(End::Purged),
        sealed: matches!(state.end, Some(End::Sealed(_))),
        writers: BTreeMap::new(),
    }
}

/// An entry as callers see it.
pub fn session(entry: &EntryRecord) -> Session {
    Session {
        id: entry.session.clone(),
        facts: entry.facts.clone(),
        message_count: entry.n,
        head: entry.head,
        can_unrevert: entry.undo,
        generation: entry.generation,
        log_bytes: entry.size,
    }
}

impl Catalogue {
    /// Makes an empty catalogue for a new store. One that is there already is left alone.
    pub fn make(&mut self, host: &mut impl Host) -> Result<()> {
        if newest(host)?.is_some() {
            return Ok(());
        }
        publish(host, 1, &snapshot(1, Vec::new()))
    }

    /// Says, durably, that `writer` writes to a session from now on. Errors where it could not be said.
    pub fn open(&mut self, host: &mut impl Host, session: &str, writer: &str, at: u64) -> Result<()> {
        let record = Record::Open(OpenRecord { session: session.into(), writer: writer.into(), at });
        self.append(host, at, &record, Durability::Synced)
    }

    /// Says what is known of a session now.
    pub fn put(&mut self, host: &mut impl Host, now: u64, entry: &EntryRecord) -> Result<()> {
        // If this is lost the mark remains, and readers look into the log.
        self.append(host, now, &Record::Entry(Box::new(entry.clone())), Durability::Buffered)
    }

    /// Says that a session is gone.
    pub fn forget(&mut self, host: &mut impl Host, now: u64, session: &str, writer: &str) -> Result<()> {
        let entry = EntryRecord {
            session: session.to_owned(),
            generation: 0,
            size: 0,
            n: 0,
            head: 0,
            undo: false,
            facts: Facts::default(),
            done: Some(writer.to_owned()),
            gone: true,
            sealed: false,
            writers: BTreeMap::new(),
        };
        self.append(host, now, &Record::Entry(Box::new(entry)), Durability::Buffered)
    }

    fn append(
        &mut self,
        host: &mut impl Host,
        now: u64,
        record: &Record<'_>,
        durability: Durability,
    ) -> Result<()> {
        for _ in 0..8 {
            if !self.load(host)? {
                self.rebuild(host, now)?;
                continue;
            }
            let Some(file) = &mut self.file else { continue };
            let mut data = if file.size > file.end { String::from("\n") } else { String::new() };
            // A point only saves reading: where it cannot be made now, a later record brings it.
            if let Ok(Some(point)) = file.point_due(host) {
                data.push_str(&point.line(file.salt));
            }
            data.push_str(&record.line(file.salt));
            let size = match host.append(&file.path, &data, durability) {
                Err(error) if error.kind == FsErrorKind::NotFound => {
                    self.file = None;
                    continue;
                }
                size => size?,
            };
            file.follow(host, size)?;
            if file.recent.sealed {
                // Others have begun the next generation; whether ours came before the seal does not matter: it is
                // said once more, and the last word counts.
                self.file = None;
                continue;
            }
            if file.end - file.log_at() > LOG_BYTES.max(file.log_at() / 4) {
                // What was said is said, whether or not the file can be made shorter now.
                let _ = self.renew(host, now);
            }
            return Ok(());
        }
        Err(Error::conflict("the catalogue is being renewed again and again"))
    }

    /// Looks at the newest generation, at its end at least. `false` where there is none that can be read.
    pub fn load(&mut self, host: &mut impl Host) -> Result<bool> {
        if let Some(file) = &mut self.file {
            match host.stat(&file.path) {
                Ok(size) if size >= file.end => {
                    file.follow(host, size)?;
                    if !file.recent.sealed {
                        return Ok(!file.recent.damaged);
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind == FsErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            self.file = None;
        }
        let Some(generation) = newest(host)? else { return Ok(false) };
        self.file = File::load(host, generation)?;
        // A sealed one without a next one: whoever sealed it died, and what it holds can be renewed from the logs.
        Ok(self.file.as_ref().is_some_and(|file| !file.recent.sealed && !file.recent.damaged))
    }

    /// As [`Catalogue::load`], at the whole log.
    pub fn load_whole(&mut self, host: &mut impl Host) -> Result<bool> {
        Ok(self.load(host)? && self.widen_whole(host)?)
    }

    fn widen_whole(&mut self, host: &mut impl Host) -> Result<bool> {
        while self.bound().is_some() {
            self.widen(host)?;
        }
        Ok(self.is_sound())
    }

    /// Whether nothing that was read of the log is damaged: what is lost there, only the sessions' logs know.
    fn is_sound(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.recent.damaged)
    }

    /// Where only the end of the log was read: the time, in ms, that no session has changed after of which nothing is
    /// known here. `None` where everything is known.
    pub fn bound(&self) -> Option<u64> {
        self.file.as_ref().and_then(|file| file.recent.bound)
    }

    /// Reads more of the log. `false` where damage was found there.
    pub fn widen(&mut self, host: &mut impl Host) -> Result<bool> {
        if let Some(file) = &mut self.file {
            file.look_back(host, file.window.saturating_mul(TAIL_GROWTH))?;
        }
        Ok(self.is_sound())
    }

    /// What was said since the snapshot, by session; only the end of it where there is a bound.
    pub fn recent(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.file.iter().flat_map(|file| &file.recent.sessions)
    }

    /// The snapshot's sessions behind `after`, in order, at most `limit`, without those that were written since: all of
    /// the log must be known.
    pub fn older(
        &self,
        host: &mut impl Host,
        scope: Option<&str>,
        after: Option<&Rank>,
        limit: usize,
        wanted: &dyn Fn(&EntryRecord) -> bool,
    ) -> Result<Vec<EntryRecord>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        match scope {
            None => {
                let region = (file.lines_at, file.lines_at + file.header.lines);
                let from = file.seek(host, region, &mut |record| match record {
                    Record::Entry(entry) => after.is_none_or(|after| Rank::of(entry) > *after),
                    _ => true,
                })?;
                file.walk(host, (from, region.1), &mut |_, record| {
                    if let Record::Entry(entry) = record
                        && after.is_none_or(|after| Rank::of(entry) > *after)
                        && !file.recent.sessions.contains_key(&entry.session)
                        && wanted(entry)
                    {
                        found.push((**entry).clone());
                    }
                    Ok(found.len() < limit)
                })?;
            }
            Some(scope) => {
                let key = format!("{:032x}", fingerprint(scope));
                let region = (file.lines_at + file.header.lines, file.log_at());
                let behind = |r: &RefRecord<'_>| {
                    let rank = Rank(std::cmp::Reverse(r.updated), r.session.clone().into_owned());
                    (r.scope.as_ref(), Some(&rank)) > (key.as_str(), after)
                };
                let from = file.seek(host, region, &mut |record| match record {
                    Record::Ref(r) => behind(r),
                    _ => true,
                })?;
                let mut places = Vec::new();
                let enough = limit + file.recent.sessions.len();
                file.walk(host, (from, region.1), &mut |_, record| {
                    if let Record::Ref(r) = record {
                        if r.scope != key {
                            return Ok(false);
                        }
                        if behind(r) && !file.recent.sessions.contains_key(r.session.as_ref()) {
                            places.push(r.at);
                        }
                    }
                    Ok(places.len() < enough)
                })?;
                for place in places {
                    if found.len() >= limit {
                        break;
                    }
                    file.walk(
                        host,
                        (file.lines_at + place, file.lines_at + file.header.lines),
                        &mut |_, record| {
                            if let Record::Entry(entry) = record
                                && entry.facts.scope == scope
                                && wanted(entry)
                            {
                                found.push((**entry).clone());
                            }
                            Ok(false)
                        },
                    )?;
                }
            }
        }
        Ok(found)
    }

    /// Makes the next generation from this one. If it fails, this one goes on as it is.
    fn renew(&mut self, host: &mut impl Host, now: u64) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let generation = file.generation;
        // What has ended counts as nothing; the next one holds what is known up to here.
        let seal = Record::Seal(crate::record::SealRecord {
            stamp: crate::record::Stamp {
                id: crate::id::ulid_text(crate::id::ulid(now, host.random())).into(),
                at: now,
                b: file.end,
                op: None,
                head: None,
            },
            why: crate::record::Rewrite::Compact,
        });
        let size = host.append(&file.path, &seal.line(file.salt), Durability::Buffered)?;
        if let Some(file) = &mut self.file {
            file.follow(host, size)?;
        }
        if !self.widen_whole(host)? {
            return self.rebuild(host, now);
        }
        let entries = self.everything(host, now)?;
        publish(host, generation + 1, &snapshot(generation + 1, entries))?;
        self.file = None;
        remove_below(host, generation + 1)
    }

    /// Every session of this generation, with what its log says where somebody may have written to it.
    fn everything(&mut self, host: &mut impl Host, now: u64) -> Result<Vec<EntryRecord>> {
        let mut entries = self.older(host, None, None, usize::MAX, &|_| true)?;
        for (id, known) in self.recent() {
            entries.extend(settled(host, id, known)?);
        }
        for entry in &mut entries {
            entry.writers.retain(|_, at| now.saturating_sub(*at) < MARK_AGE_MAX_MS);
        }
        Ok(entries)
    }

    /// Makes the catalogue anew from the session logs.
    pub fn rebuild(&mut self, host: &mut impl Host, now: u64) -> Result<()> {
        let mut entries = from_logs(host)?;
        let generation = files(host)?.last().map_or(1, |last| last + 1);
        // Writers at work have marked their sessions in the old one and will not mark them again soon. What they write
        // to has changed lately, because a write follows every mark.
        for entry in &mut entries {
            if now.saturating_sub(entry.facts.updated) < MARK_AGE_MAX_MS {
                entry.writers.insert("rebuilt".into(), now);
            }
        }
        publish(host, generation, &snapshot(generation, entries))?;
        self.file = None;
        remove_below(host, generation)
    }
}

/// What is true of a session now: its last entry where nobody writes, otherwise what its log says.
pub fn settled(host: &mut impl Host, id: &str, known: &Known) -> Result<Option<EntryRecord>> {
    let name = Name::of(id)?;
    let current = match &known.entry {
        Some(entry) if entry.gone && known.writers.is_empty() => None,
        Some(entry) if known.writers.is_empty() && !entry.sealed || planted(Planted::CatalogueTrusted) => {
            Some(entry.clone())
        }
        // Nothing was appended since: that costs one look at the size.
        Some(entry)
            if !entry.gone
                && !entry.sealed
                && host.stat(&name.log(entry.generation)).ok() == Some(entry.size) =>
        {
            Some(entry.clone())
        }
        _ => from_log(host, &name)?,
    };
    Ok(current.map(|entry| EntryRecord { writers: known.writers.clone(), done: None, ..entry }))
}

/// The entry of a session as its highest generation says.
fn from_log(host: &mut impl Host, name: &Name) -> Result<Option<EntryRecord>> {
    match generations(host, name)?.last() {
        Some(generation) => from_generation(host, name, *generation),
        None => Ok(None),
    }
}

/// What is damaged is not listed; doctor names it. What the disk does not give now may be given later: to leave it out
/// would tell the caller that it is not there, and a catalogue that is made meanwhile would say so for good.
fn from_generation(host: &mut impl Host, name: &Name, generation: u32) -> Result<Option<EntryRecord>> {
    if name.is_system() {
        return Ok(None);
    }
    let log = match Log::load(host, &name.log(generation), None) {
        Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
        log => log.ok(),
    };
    let log = log.filter(|log| log.state().begun() && log.state().end != Some(End::Purged));
    Ok(log.map(|log| entry(&log, None)))
}

/// The entries of all sessions, from their logs.
pub fn from_logs(host: &mut impl Host) -> Result<Vec<EntryRecord>> {
    // Names are listed in order, so the highest generation of a session is the last with its name.
    let mut highest: Vec<(Name, u32)> = Vec::new();
    for directory in crate::id::session_directories() {
        let mut after = String::new();
        loop {
            let files: Vec<DirEntry> = host.list(&directory, &after, 1000)?;
            let Some(last) = files.last() else { break };
            after = last.name.clone();
            for (name, generation) in files.iter().filter_map(|file| Name::parse_log(&file.name)) {
                match highest.last_mut() {
                    Some(last) if last.0 == name => last.1 = generation,
                    _ => highest.push((name, generation)),
                }
            }
        }
    }
    let mut entries = Vec::new();
    for (name, generation) in highest {
        entries.extend(from_generation(host, &name, generation)?);
    }
    Ok(entries)
}

fn path_of(generation: u32) -> String {
    format!("{DIRECTORY}/{generation:06}.jsonl")
}

/// The generations that have a file, ascending.
fn files(host: &mut impl Host) -> Result<Vec<u32>> {
    let files = host.list(DIRECTORY, "", 10_000)?;
    Ok(files.iter().filter_map(|file| file.name.strip_suffix(".jsonl")?.parse().ok()).collect())
}

fn newest(host: &mut impl Host) -> Result<Option<u32>> {
    Ok(files(host)?.last().copied())
}

fn publish(host: &mut impl Host, generation: u32, text: &str) -> Result<()> {
    match host.create(&path_of(generation), text) {
        Err(error) if error.kind != FsErrorKind::Exists => Err(error.into()),
        _ => Ok(()),
    }
}

/// Older generations hold nothing that this one does not.
fn remove_below(host: &mut impl Host, generation: u32) -> Result<()> {
    for older in files(host)?.into_iter().filter(|older| *older < generation) {
        match host.remove(&path_of(older)) {
            Err(error) if error.kind != FsErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The content of a new generation.
fn snapshot(generation: u32, mut entries: Vec<EntryRecord>) -> String {
    let salt = Salt::of(&path_of(generation));
    entries.sort_by_cached_key(Rank::of);
    let mut lines = String::new();
    let mut refs: Vec<(String, Rank, u64)> = Vec::new();
    for entry in &entries {
        refs.push((format!("{:032x}", fingerprint(&entry.facts.scope)), Rank::of(entry), lines.len() as u64));
        lines.push_str(
            &Record::Entry(Box::new(EntryRecord { writers: BTreeMap::new(), ..entry.clone() })).line(salt),
        );
    }
    refs.sort_unstable();
    let refs: String = refs
        .iter()
        .map(|(scope, rank, at)| {
            let (scope, session, updated) = (scope.as_str().into(), rank.1.as_str().into(), rank.0.0);
            Record::Ref(RefRecord { scope, updated, session, at: *at }).line(salt)
        })
        .collect();
    let header = CatalogueRecord {
        v: super::store::FORMAT_VERSION,
        generation,
        sessions: entries.len() as u64,
        lines: lines.len() as u64,
        refs: refs.len() as u64,
    };
    // Sessions that somebody is writing to begin the log.
    let open = |entry: &EntryRecord| {
        let record = EntryRecord { writers: BTreeMap::new(), ..entry.clone() };
        let marks = entry.writers.iter().map(|(writer, at)| {
            Record::Open(OpenRecord {
                session: entry.session.as_str().into(),
                writer: writer.as_str().into(),
                at: *at,
            })
            .line(salt)
        });
        std::iter::once(Record::Entry(Box::new(record)).line(salt)).chain(marks).collect::<String>()
    };
    let log: String = entries.iter().filter(|entry| !entry.writers.is_empty()).map(open).collect();
    Record::Catalogue(header).line(salt) + &lines + &refs + &log
}

impl File {
    /// Loads a generation. `None` where its beginning cannot be read.
    fn load(host: &mut impl Host, generation: u32) -> Result<Option<Self>> {
        let path = path_of(generation);
        let salt = Salt::of(&path);
        let size = match host.stat(&path) {
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(None),
            size => size?,
        };
        let head = read(host, &path, 0, size.min(4096))?;
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some((Record::Catalogue(header), _)) = Record::parse(line, salt) else { return Ok(None) };
        if header.v > super::store::FORMAT_VERSION || header.lines.saturating_add(header.refs) > size {
            return Ok(None);
        }
        let lines_at = line.len() as u64 + 1;
        let recent = Recent::default();
        let mut file = Self { path, salt, generation, header, lines_at, end: 0, size, window: 0, recent };
        file.look_back(host, TAIL_BYTES)?;
        Ok(Some(file))
    }

    /// Takes in the last `window` bytes of the log from the first point among them on, or more where that holds none.
    fn look_back(&mut self, host: &mut impl Host, window: u64) -> Result<()> {
        let mut window = window;
        while let Some(from) = self.size.checked_sub(window).filter(|from| *from > self.log_at()) {
            let bytes = read(host, &self.path, from, self.size)?;
            if let Some(point) = first_point(&bytes, from, self.salt) {
                let since = usize::try_from(point.upto - from).ok().and_then(|skip| bytes.get(skip..));
                (self.end, self.window, self.recent) = (point.upto, window, Recent::since(*point));
                self.end += scan(since.unwrap_or_default(), self.end, self.salt, &mut self.recent) as u64;
                return Ok(());
            }
            window = window.saturating_mul(TAIL_GROWTH);
        }
        (self.end, self.window, self.recent) = (self.log_at(), window, Recent::default());
        self.follow(host, self.size)
    }

    /// The point that the next record comes with, where one is due.
    fn point_due(&self, host: &mut impl Host) -> Result<Option<Record<'static>>> {
        let (at, bytes) = self.recent.point;
        if self.end - at.max(self.log_at()) < POINT_BYTES.max(POINT_SPACING * bytes) {
            return Ok(None);
        }
        let mut newest = self.recent.newest;
        if self.recent.point == (0, 0) {
            // Later ones have it from the first of them. The first line of the snapshot is that of the session that changed last.
            self.walk(host, (self.lines_at, self.lines_at + self.header.lines), &mut |_, record| {
                if let Record::Entry(entry) = record {
                    newest = newest.max(entry.facts.updated);
                }
                Ok(false)
            })?;
        }
        let open = |(session, known): (&String, &Known)| OpenSession {
            session: session.clone(),
            writers: known.writers.clone(),
            entry: known.entry.clone().map(Box::new),
        };
        let open = self.recent.sessions.iter().filter(|(_, known)| !known.writers.is_empty()).map(open);
        let point = PointRecord { upto: self.end, newest, open: open.collect() };
        Ok(Some(Record::Point(Box::new(point))))
    }

    /// Where the log begins.
    fn log_at(&self) -> u64 {
        self.lines_at + self.header.lines + self.header.refs
    }

    /// Takes in the log up to `size`.
    fn follow(&mut self, host: &mut impl Host, size: u64) -> Result<()> {
        self.size = size;
        while self.end < size {
            let bytes = read(host, &self.path, self.end, size.min(self.end + 16 * CHUNK_BYTES))?;
            let decided = scan(&bytes, self.end, self.salt, &mut self.recent);
            self.end += decided as u64;
            if decided == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The offset of the first record in `region` for which `behind` holds; it must hold for all later ones too.
    fn seek(
        &self,
        host: &mut impl Host,
        region: (u64, u64),
        behind: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<u64> {
        let (mut low, mut high) = region;
        // Below this a walk is as fast.
        while high - low > CHUNK_BYTES {
            let middle = low + (high - low) / 2;
            let mut first = None;
            self.walk(host, (middle, high), &mut |from, record| {
                first = Some((from, behind(record)));
                Ok(false)
            })?;
            match first {
                Some((from, false)) => low = from,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Calls `each` with the offset of every record that begins in `region`, until it returns `false`.
    fn walk(
        &self,
        host: &mut impl Host,
        region: (u64, u64),
        each: &mut dyn FnMut(u64, &Record<'_>) -> Result<bool>,
    ) -> Result<()> {
        let (mut at, to) = region;
        let mut limit = 16 * 1024;
        while at < to {
            let bytes = read(host, &self.path, at, to.min(at + limit))?;
            let mut done = 0;
            for start in occurrences(&bytes, MARKER.as_bytes()) {
                let piece = bytes.get(start..).unwrap_or_default();
                let Some(length) = memchr::memchr(b'\n', piece) else { break };
                let line = piece.get(..length).unwrap_or_default();
                done = start + length + 1;
                if let Some(length) = leading_record(line, self.salt)
                    && let Some(record) = line.get(..length)
                    && let Some((record, _)) = Record::parse(record, self.salt)
                    && !each(at + start as u64, &record)?
                {
                    return Ok(());
                }
            }
            if done == 0 {
                if at + bytes.len() as u64 >= to || bytes.is_empty() {
                    return Ok(());
                }
                limit *= 4;
            } else {
                limit = CHUNK_BYTES;
            }
            at += done as u64;
        }
        Ok(())
    }
}

/// The first point in `bytes`, which begin at `from`, that tells up to an offset in them.
fn first_point(bytes: &[u8], from: u64, salt: Salt) -> Option<Box<PointRecord>> {
    let marker = format!("{MARKER}point\"");
    occurrences(bytes, marker.as_bytes()).find_map(|place| {
        let piece = bytes.get(place..)?;
        let line = piece.get(..memchr::memchr(b'\n', piece)?)?;
        match Record::parse(line, salt)? {
            (Record::Point(point), _) if (from..=from + place as u64).contains(&point.upto) => Some(point),
            _ => None,
        }
    })
}

impl Recent {
    /// Nothing but what a point says.
    fn since(point: PointRecord) -> Self {
        let known = |open: OpenSession| {
            (open.session, Known { entry: open.entry.map(|entry| *entry), writers: open.writers })
        };
        Self {
            sessions: point.open.into_iter().map(known).collect(),
            bound: Some(point.newest),
            newest: point.newest,
            point: (point.upto, 0),
            ..Self::default()
        }
    }
}

impl Visitor for Recent {
    fn record(&mut self, record: &Record<'_>, _: &str, from: u64, to: u64) {
        if self.sealed {
            return;
        }
        match record {
            Record::Point(point) => {
                self.point = (from, to - from);
                self.newest = self.newest.max(point.newest);
            }
            Record::Open(open) => {
                let known = self.sessions.entry(open.session.clone().into_owned()).or_default();
                known.writers.insert(open.writer.clone().into_owned(), open.at);
            }
            Record::Entry(entry) => {
                let known = self.sessions.entry(entry.session.clone()).or_default();
                let marked = entry.done.as_ref().is_some_and(|writer| known.writers.remove(writer).is_some());
                if !marked && !entry.gone && known.entry.is_none() && self.bound.is_some() {
                    // What was said of it before may count for more: its log tells.
                    known.writers.insert(String::new(), 0);
                }
                self.newest = self.newest.max(entry.facts.updated);
                let counts = match &known.entry {
                    _ if entry.gone => true,
                    // Whoever used the session before it was purged says nothing of one that was made since.
                    Some(old) if old.gone => marked,
                    // Of two that raced, the one that has seen more of the log is right.
                    Some(old) => (entry.generation, entry.size) >= (old.generation, old.size),
                    None => true,
                };
                if entry.gone {
                    known.writers.clear();
                }
                if counts {
                    known.entry = Some((**entry).clone());
                }
            }
            Record::Seal(_) => self.sealed = true,
            _ => {}
        }
    }

    fn damage(&mut self, _: Damage) {
        // What is lost here may have been a mark: only the logs know.
        self.damaged = true;
    }
}
