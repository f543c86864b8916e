//! Bringing the index up to date: new documents from logs, fewer segments of many.
//!
//! Every call does a bounded piece of work and writes at most one segment of new documents and one merged one. Whoever is
//! cut off between two steps leaves segments that are whole, and at worst documents twice; two processes at once do the
//! same work twice. Neither is ever seen in an answer.

use std::collections::{BTreeMap, BTreeSet};

use super::segment::{Builder, Ended, Entry, Kept, Row, Segment, merge};
use super::text::Text;
use super::view::{File, Known, Ranges, View};
use super::{Behind, Index, behind, files, path_of};
use crate::fold::End;
use crate::host::{FsErrorKind, Host};
use crate::id::Name;
use crate::log::{Log, Place};
use crate::record::Segment as Inherited;
use crate::store::messages::numbered;
use crate::store::{Cached, Store};
use crate::{ErrorKind, Result};

/// Looking at a log costs as much as reading so many bytes, or as it has.
const LOOK_BYTES: u64 = 64 * 1024;
/// Messages are taken in so many bytes at a time.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;
/// So many segments of about one size become one ...
const MERGE_SEGMENTS: usize = 4;
/// ... unless they are as large as this: then they stay as they are, so that no update and no purge costs more.
const FULL_BYTES: u64 = 4 * 1024 * 1024;
/// The smallest size that is told apart.
const SMALL_BYTES: u64 = 32 * 1024;

/// What an update has done, and what remains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Whether there is more to do.
    pub more: bool,
    /// What is not found yet.
    pub behind: Behind,
    /// How many messages and titles are found.
    pub documents: u64,
    /// How many files the index has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl<H: Host> Store<H> {
    /// Takes in about so many bytes of messages.
    pub(crate) fn update_words(&mut self, bytes: u64) -> Result<Updated> {
        self.writable()?;
        let mut index = std::mem::take(&mut self.search);
        let updated = self.update_index(&mut index, bytes);
        self.search = index;
        updated
    }

    fn update_index(&mut self, index: &mut Index, bytes: u64) -> Result<Updated> {
        index.drop_memory();
        index.load(&mut self.host)?;
        for path in index.damaged.drain(..) {
            remove(&mut self.host, &path)?;
        }
        let listed = files(&mut self.host)?;
        let mut budget = bytes.max(1);
        self.search.unfinished = index.unfinished.take();
        let made = self.take_in(&index.segments, listed, &mut budget);
        index.unfinished = self.search.unfinished.take();
        let made = made?;
        if let Some(data) = &made {
            self.publish(index, data)?;
        }
        let merged = self.merge_some(index)?;
        let listed = files(&mut self.host)?;
        let view = View::new(&index.segments, listed);
        let behind = behind(&view);
        Ok(Updated {
            // Where nothing could be done, another call does no more.
            more: merged || made.is_some() && behind.sessions > 0,
            behind,
            documents: view.live.iter().flatten().map(|live| u64::from(live.count)).sum(),
            files: index.segments.len() as u64,
            bytes: index.segments.iter().map(|segment| segment.size).sum(),
        })
    }

    /// Writes a segment, and takes it back where it holds words of what was purged meanwhile.
    fn publish(&mut self, index: &mut Index, data: &[u8]) -> Result<()> {
        let path = path_of(data);
        match self.host.create_bytes(&path, data) {
            Err(error) if error.kind != FsErrorKind::Exists => return Err(error.into()),
            _ => {}
        }
        let Ok(segment) = Segment::open(&mut self.host, path.clone(), data.len() as u64) else {
            return Ok(());
        };
        for entry in
            segment.entries.iter().filter(|entry| entry.ended != Ended::Purged && !entry.runs.is_empty())
        {
            // Whoever purges ends the log first and looks for segments then; here it is the other way round.
            if self.is_purged(entry)? {
                return remove(&mut self.host, &path);
            }
        }
        index.segments.push(segment);
        Ok(())
    }

    /// Whether the log of an entry has ended for good since.
    fn is_purged(&mut self, entry: &Entry) -> Result<bool> {
        let path = entry.name.log(entry.generation);
        match self.host.stat(&path) {
            Ok(size) if size == entry.size => Ok(false),
            Ok(_) => Ok(match Log::load(&mut self.host, &path, None) {
                Ok(log) => log.state().end == Some(End::Purged),
                Err(error) => error.kind == ErrorKind::NotFound,
            }),
            Err(error) if error.kind == FsErrorKind::NotFound => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes documents of what the segments lack. `None` where they lack nothing.
    pub(super) fn take_in(
        &mut self,
        segments: &[Segment],
        listed: Vec<File>,
        budget: &mut u64,
    ) -> Result<Option<Vec<u8>>> {
        let view = View::new(segments, listed);
        let mut made = Builder::default();
        // What has ended is wanted by forks, and those come first.
        for is_current in [true, false] {
            for (place, known) in view.logs.iter().enumerate() {
                if *budget == 0 {
                    break;
                }
                let is_due = known.is_current == is_current && !view.is_complete(place);
                if !is_due {
                    continue;
                }
                match self.take_in_log(&view, place, known, &mut made, budget) {
                    // What the disk does not give, or is no log, is not searched, and counted so. A log that was
                    // purged meanwhile takes what was made of it along when it is published.
                    Err(error)
                        if matches!(
                            error.kind,
                            ErrorKind::Unavailable | ErrorKind::Damaged | ErrorKind::NotFound
                        ) => {}
                    taken => taken?,
                }
            }
        }
        Ok((!made.is_empty()).then(|| made.finish()))
    }

    fn take_in_log(
        &mut self,
        view: &View<'_>,
        place: usize,
        known: &Known,
        made: &mut Builder,
        budget: &mut u64,
    ) -> Result<()> {
        let path = known.file.name.log(known.file.generation);
        let before = view.newest(place);
        // What looking costs counts at the end, so that every call comes to at least one message.
        let mut looked = known.file.size.min(LOOK_BYTES);
        let mut log = self.log_at(&path)?;
        if !log.state().begun() {
            made.begin(nothing(&known.file));
            return Ok(());
        }
        let (changed, last) = match before {
            Some(_) => log.changed_since(&mut self.host, known.looked)?,
            None => {
                log.index_whole(&mut self.host)?;
                looked += log.size() / 16;
                log.changed()
            }
        };
        let mut entry = entry_of(&known.file, &log);
        entry.from = known.looked;
        entry.changed = last.max(before.map_or(0, |entry| entry.changed));
        let mut diverged = known.diverged.clone();
        let inherited = entry.inherited;
        changed.range(..=inherited).for_each(|seq| diverged.add(*seq, *seq));
        let mut cached = Cached::new(log);
        // What cannot be read now must not be taken for what can never be read.
        cached.is_copied = true;
        if inherited > 0 {
            self.look_at_sources(&mut cached, before, &mut entry, &mut diverged, &mut looked)?;
        }
        entry.diverged = diverged.ranges();
        let mut covered = known.covered.clone();
        changed.iter().for_each(|seq| covered.remove(*seq));
        let is_alive = known.is_current && entry.ended != Ended::Purged;
        let has_title = before.is_some_and(|before| known.is_titled && before.title == entry.title);
        let title = (is_alive && !has_title).then(|| entry.title.clone()).filter(|title| !title.is_empty());
        let wanted = view.wanted(place, &entry, &diverged);
        let at = cached.log.state().facts.created;
        made.begin(entry);
        if let Some(title) = title {
            made.add(0, &Text::of_title(&title), Row { at, place: Place::default() });
        }
        for (from, to) in wanted {
            for (from, to) in covered.lacks(from, to) {
                if *budget > 0 && to <= inherited {
                    self.add_inherited(&mut cached, (from, to), made, budget)?;
                } else if *budget > 0 {
                    self.add_own(&mut cached.log, (from, to), made, budget)?;
                }
            }
        }
        *budget = budget.saturating_sub(looked);
        if *budget == 0 {
            self.search.unfinished = Some(cached.log);
        }
        Ok(())
    }

    /// A log as it is now: the one that the last update has not come to the end of need not be read again.
    fn log_at(&mut self, path: &str) -> Result<Log> {
        if let Some(mut log) = self.search.unfinished.take().filter(|log| log.path() == path)
            && log.refresh(&mut self.host)?
        {
            return Ok(log);
        }
        Log::load(&mut self.host, path, None)
    }

    /// Finds out which inherited messages are not as their own logs have them.
    fn look_at_sources(
        &mut self,
        cached: &mut Cached,
        before: Option<&Entry>,
        entry: &mut Entry,
        diverged: &mut Ranges,
        cost: &mut u64,
    ) -> Result<()> {
        let beginning = self.beginning(cached)?;
        // One log can be the source of several segments.
        let mut looked: BTreeMap<(String, u32, u64), (BTreeSet<u64>, u64)> = BTreeMap::new();
        for (index, (source, first)) in numbered(&beginning.from).into_iter().enumerate() {
            let seen = before.and_then(|entry| entry.sources.get(index)).map_or(source.u, |(_, seen)| *seen);
            let key = (source.s.clone(), source.g, seen);
            if !looked.contains_key(&key) {
                looked.insert(key.clone(), self.changes_of(&source, seen, cost)?);
            }
            let (changed, size) = looked.get(&key).cloned().unwrap_or_default();
            for seq in changed.range(source.a..=source.z) {
                let seq = first + (seq - source.a);
                diverged.add(seq, seq);
            }
            entry.sources.push((source, size.max(seen)));
        }
        if before.is_none() {
            for over in &beginning.over {
                let Ok(name) = Name::of(&over.s) else { continue };
                let Some(mut log) = self.load_log(&name.log(over.g), Some(over.u))? else { continue };
                log.index_whole(&mut self.host)?;
                *cost += over.u;
                log.changed().0.range(..=over.z).for_each(|seq| diverged.add(*seq, *seq));
            }
        }
        Ok(())
    }

    /// The messages of a log that were changed behind a byte, and the size of the log.
    fn changes_of(&mut self, source: &Inherited, seen: u64, cost: &mut u64) -> Result<(BTreeSet<u64>, u64)> {
        let Ok(name) = Name::of(&source.s) else { return Ok(Default::default()) };
        let Some(log) = self.load_log(&name.log(source.g), None)? else { return Ok(Default::default()) };
        *cost += log.size().saturating_sub(seen);
        Ok((log.changed_since(&mut self.host, seen)?.0, log.size()))
    }

    /// A log, unless it is gone. One that is none may be put back, so nothing is said of it for good.
    fn load_log(&mut self, path: &str, limit: Option<u64>) -> Result<Option<Log>> {
        match Log::load(&mut self.host, path, limit) {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            log => log.map(Some),
        }
    }

    fn add_own(
        &mut self,
        log: &mut Log,
        (from, to): (u64, u64),
        made: &mut Builder,
        budget: &mut u64,
    ) -> Result<()> {
        log.index_from(&mut self.host, from - 1)?;
        let mut next = from;
        while next <= to && *budget > 0 {
            let page = usize::try_from((*budget).min(PAGE_BYTES)).unwrap_or(usize::MAX);
            let placed = log.placed(&mut self.host, (next, to), page)?;
            if placed.is_empty() {
                break;
            }
            for (stored, place) in placed {
                made.skip(next, stored.seq);
                made.add(stored.seq, &Text::of_message(&stored.json), Row { at: stored.created_at, place });
                *budget = budget.saturating_sub(stored.json.len() as u64 + 64);
                next = stored.seq + 1;
            }
        }
        if *budget > 0 {
            made.skip(next, to + 1);
        }
        Ok(())
    }

    fn add_inherited(
        &mut self,
        cached: &mut Cached,
        (from, to): (u64, u64),
        made: &mut Builder,
        budget: &mut u64,
    ) -> Result<()> {
        let mut next = from;
        while next <= to && *budget > 0 {
            let page = usize::try_from((*budget).min(PAGE_BYTES)).unwrap_or(usize::MAX);
            let stored = self.stored(cached, &[(next, to)], page)?;
            if stored.is_empty() {
                break;
            }
            for stored in stored {
                made.skip(next, stored.seq);
                let row = Row { at: stored.created_at, place: Place::default() };
                made.add(stored.seq, &Text::of_message(&stored.json), row);
                *budget = budget.saturating_sub(stored.json.len() as u64 + 64);
                next = stored.seq + 1;
            }
        }
        if *budget > 0 {
            made.skip(next, to + 1);
        }
        Ok(())
    }

    /// Makes one segment of several, or of one that holds much that does not count. Whether it has.
    fn merge_some(&mut self, index: &mut Index) -> Result<bool> {
        // Logs are listed behind the segments: what a segment knows of a log that is shorter is nothing.
        let listed = files(&mut self.host)?;
        let view = View::new(&index.segments, listed);
        let idle: Vec<usize> = (0..index.segments.len()).filter(|place| is_idle(&view, *place)).collect();
        let chosen = if idle.is_empty() { choose(&view, &index.segments) } else { idle };
        if chosen.is_empty() {
            return Ok(false);
        }
        let kept = kept(&view, &index.segments, &chosen);
        let from: Vec<&Segment> = chosen.iter().filter_map(|place| index.segments.get(*place)).collect();
        let old: Vec<String> = from.iter().map(|segment| segment.path.clone()).collect();
        if kept.is_empty() {
            self.replace_segments(index, &old, None)?;
            return Ok(true);
        }
        let Some(data) = merge(&mut self.host, &from, kept)? else {
            // One of them is not what it was: what it held is read from the logs again.
            let mut place = 0;
            while let Some(segment) = index.segments.get(place) {
                match Segment::open(&mut self.host, segment.path.clone(), segment.size) {
                    Ok(_) if !is_damaged(&mut self.host, segment) => place += 1,
                    _ => {
                        remove(&mut self.host, &segment.path.clone())?;
                        index.drop_lost(place);
                    }
                }
            }
            return Ok(true);
        };
        if let [only] = old.as_slice()
            && *only == path_of(&data)
        {
            return Ok(false);
        }
        self.replace_segments(index, &old, Some(&data))?;
        Ok(true)
    }

    /// Puts one segment in place of others, which go last.
    fn replace_segments(&mut self, index: &mut Index, old: &[String], data: Option<&[u8]>) -> Result<()> {
        let made = data.map(path_of);
        if let Some(data) = data {
            self.publish(index, data)?;
        }
        for path in old.iter().filter(|path| made.as_ref() != Some(path)) {
            remove(&mut self.host, path)?;
            index.segments.retain(|segment| segment.path != *path);
        }
        Ok(())
    }
}

fn remove(host: &mut impl Host, path: &str) -> Result<()> {
    match host.remove(path) {
        Err(error) if !matches!(error.kind, FsErrorKind::NotFound | FsErrorKind::Refused) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

fn is_damaged(host: &mut impl Host, segment: &Segment) -> bool {
    merge(host, &[segment], Vec::new()).is_ok_and(|merged| merged.is_none())
}

/// The entry of a log that cannot be read.
fn nothing(file: &File) -> Entry {
    Entry {
        name: file.name.clone(),
        generation: file.generation,
        from: 0,
        end: file.size,
        size: file.size,
        changed: 0,
        session: String::new(),
        scope: String::new(),
        title: String::new(),
        trashed: 0,
        ended: Ended::No,
        count: 0,
        inherited: 0,
        path: Vec::new(),
        sources: Vec::new(),
        diverged: Vec::new(),
        unreadable: Vec::new(),
        runs: Vec::new(),
    }
}

fn entry_of(file: &File, log: &Log) -> Entry {
    let state = log.state();
    Entry {
        end: log.end(),
        size: log.size(),
        session: state.session.clone(),
        scope: state.facts.scope.clone(),
        title: state.facts.title.clone().unwrap_or_default(),
        trashed: state.facts.trashed.map_or(0, |at| at + 1),
        ended: match state.end {
            None => Ended::No,
            Some(End::Sealed(_)) => Ended::Sealed,
            Some(End::Purged) => Ended::Purged,
        },
        count: state.count,
        inherited: state.inherited,
        path: state.path.ranges().to_vec(),
        ..nothing(file)
    }
}

/// Whether a segment says nothing that others do not say.
fn is_idle(view: &View<'_>, segment: usize) -> bool {
    let knows = |known: &Known| known.entries.iter().any(|place| place.0 == segment);
    view.live.get(segment).is_none_or(Vec::is_empty) && !view.logs.iter().any(knows)
}

/// The segments to merge: one with much that does not count, or the smallest of about one size.
fn choose(view: &View<'_>, segments: &[Segment]) -> Vec<usize> {
    for (place, segment) in segments.iter().enumerate() {
        let counting: u64 = live_of(view, place).map(|(from, to)| u64::from(to - from)).sum();
        let holds_purged = view.is_known && counts_nothing(view, place);
        if counting * 2 < u64::from(segment.docs) || holds_purged {
            return vec![place];
        }
    }
    let mut sizes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.size < FULL_BYTES) {
        sizes.entry((segment.size / SMALL_BYTES).max(1).ilog(4)).or_default().push(place);
    }
    sizes.into_values().find(|same| same.len() >= MERGE_SEGMENTS).unwrap_or_default()
}

/// The documents of a segment that count, as ranges.
fn live_of<'a>(view: &'a View<'_>, segment: usize) -> impl Iterator<Item = (u32, u32)> + 'a {
    let live = view.live.get(segment).into_iter().flatten();
    live.map(|live| (live.doc, live.doc.saturating_add(live.count)))
}

/// Whether a segment has documents of what has ended and that no fork needs, or of logs that are gone.
fn counts_nothing(view: &View<'_>, segment: usize) -> bool {
    let of_gone = |entry: &Entry| {
        !entry.runs.is_empty()
            && view
                .logs
                .binary_search_by(|log| {
                    (&log.file.name, log.file.generation).cmp(&(&entry.name, entry.generation))
                })
                .is_err()
    };
    let unwanted = view.live.get(segment).into_iter().flatten().any(|live| {
        !view.is_alive(live.log) && {
            let wanted = view.newest(live.log).map(|entry| view.wanted(live.log, entry, &Ranges::default()));
            let wanted = Ranges::of(&wanted.unwrap_or_default());
            live.seq == 0 || !wanted.lacks(live.seq, live.seq + u64::from(live.count) - 1).is_empty()
        }
    });
    unwanted || view.entries_of(segment).any(of_gone)
}

/// What of some segments goes into one: entries, those that follow on each other as one, with their documents.
fn kept(view: &View<'_>, segments: &[Segment], chosen: &[usize]) -> Vec<(Entry, Vec<Kept>)> {
    let mut all = Vec::new();
    for (log, known) in view.logs.iter().enumerate() {
        let mut places: Vec<(usize, usize)> =
            known.entries.iter().copied().filter(|(segment, _)| chosen.contains(segment)).collect();
        // From the one that knows least.
        places.reverse();
        let mut joined: Vec<(Entry, Vec<Kept>)> = Vec::new();
        for (segment, place) in places {
            let Some(entry) = segments.get(segment).and_then(|segment| segment.entries.get(place)) else {
                continue;
            };
            let docs = kept_docs(view, (segment, place), log, chosen);
            match joined.last_mut() {
                Some((last, theirs)) if entry.from <= last.end => {
                    let mut diverged = Ranges::of(&last.diverged);
                    entry.diverged.iter().for_each(|(from, to)| diverged.add(*from, *to));
                    let from = last.from.min(entry.from);
                    let unreadable = [last.unreadable.clone(), entry.unreadable.clone()].concat();
                    let (diverged, runs) = (diverged.ranges(), Vec::new());
                    *last = Entry { from, diverged, unreadable, runs, ..entry.clone() };
                    theirs.extend(docs);
                }
                _ => joined.push((Entry { runs: Vec::new(), ..entry.clone() }, docs)),
            }
        }
        for (_, docs) in &mut joined {
            docs.sort_unstable_by_key(|kept| kept.seq);
        }
        all.extend(joined);
    }
    all
}

/// The documents of an entry that go on.
fn kept_docs(view: &View<'_>, (segment, entry): (usize, usize), log: usize, chosen: &[usize]) -> Vec<Kept> {
    let is_needed = view.is_alive(log) || !view.is_known;
    let wanted =
        view.newest(log).map(|entry| view.wanted(log, entry, &Ranges::default())).unwrap_or_default();
    let wanted = Ranges::of(&wanted);
    let index = chosen.iter().position(|place| *place == segment).unwrap_or(usize::MAX);
    let live = view.live.get(segment).into_iter().flatten();
    live.filter(|live| (live.log, live.entry) == (log, entry))
        .flat_map(|live| {
            (live.doc..live.doc.saturating_add(live.count)).zip(live.seq..).map(|(doc, seq)| Kept {
                segment: index,
                doc,
                seq,
            })
        })
        .filter(|kept| is_needed || wanted.contains(kept.seq))
        .collect()
}
