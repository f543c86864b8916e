//! What the segments together know of the logs that there are: which documents count, and what is missing.
//!
//! Nothing here trusts that segments were written in turn, by one process, or that none is gone. Each entry says between
//! which bytes of its log it has looked for changes; what no entry vouches for is read again.

use std::collections::{BTreeMap, HashMap};

use super::segment::{Ended, Entry, Segment};
use crate::id::Name;

/// A set of numbers as ranges, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The set of these ranges.
    pub fn of(ranges: &[(u64, u64)]) -> Self {
        let mut set = Self::default();
        ranges.iter().for_each(|(from, to)| set.add(*from, *to));
        set
    }

    /// Adds a range; nothing where `to` lies before `from`.
    pub fn add(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let (mut from, mut to) = (from, to);
        let touching = |(first, last): (&u64, &u64)| (*first, *last);
        while let Some((first, last)) = self
            .0
            .range(..=to.saturating_add(1))
            .next_back()
            .map(touching)
            .filter(|(_, last)| last.saturating_add(1) >= from)
        {
            self.0.remove(&first);
            (from, to) = (from.min(first), to.max(last));
        }
        self.0.insert(from, to);
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: u64) {
        let Some((first, last)) = self.0.range(..=number).next_back().map(|(first, last)| (*first, *last))
        else {
            return;
        };
        if number <= last {
            self.0.remove(&first);
            if first < number {
                self.0.insert(first, number - 1);
            }
            if number < last {
                self.0.insert(number + 1, last);
            }
        }
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    /// What of a range is not in it, ascending.
    pub fn lacks(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut lacks = Vec::new();
        let mut next = from;
        let before = self.0.range(..from).next_back();
        let within = self.0.range(from..).take_while(|(first, _)| **first <= to);
        for (first, last) in before.into_iter().chain(within) {
            if *last < next {
                continue;
            }
            if next < *first {
                lacks.push((next, first - 1));
            }
            next = last.saturating_add(1);
        }
        if next <= to {
            lacks.push((next, to));
        }
        lacks
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        self.0.iter().map(|(from, to)| (*from, *to)).collect()
    }
}

/// A log that there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Whose.
    pub name: Name,
    /// Which generation.
    pub generation: u32,
    /// Its size.
    pub size: u64,
}

/// What is known of a log.
#[derive(Debug)]
pub struct Known {
    /// The log.
    pub file: File,
    /// The place of the segment and of the entry that knows most.
    newest: Option<(usize, usize)>,
    /// All entries, by segment and place, the one that knows most first.
    pub entries: Vec<(usize, usize)>,
    /// Up to where changes of messages are known.
    pub looked: u64,
    /// Messages that have a document, or cannot have one.
    pub covered: Ranges,
    /// Inherited messages that it must have a document of.
    pub diverged: Ranges,
    /// Whether its title has a document.
    pub is_titled: bool,
    /// Whether readers of the session come to this log.
    pub is_current: bool,
}

/// Documents that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// The first document.
    pub doc: u32,
    /// How many.
    pub count: u32,
    /// The number of the first one's message.
    pub seq: u64,
    /// The place of the log.
    pub log: usize,
    /// The place of the entry in the segment.
    pub entry: usize,
}

/// A run of messages that a fork begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heir {
    /// The place of the fork's log.
    pub log: usize,
    /// The first message, in the numbers of the log that holds it.
    pub a: u64,
    /// The last one.
    pub z: u64,
    /// The number of the first in the fork.
    pub first: u64,
    /// Changes behind this byte are not the fork's.
    pub u: u64,
}

/// All logs, as the segments know them.
#[derive(Debug)]
pub struct View<'a> {
    segments: &'a [Segment],
    /// The logs, by name and generation.
    pub logs: Vec<Known>,
    /// Of each segment, the documents that count, ascending.
    pub live: Vec<Vec<Live>>,
    /// Who begins with messages of a log, by the session's id and the generation.
    heirs: HashMap<(String, u32), Vec<Heir>>,
    /// Whether something is known of every log, so that it is known what forks need.
    pub is_known: bool,
}

impl<'a> View<'a> {
    /// What `segments` know of `files`, which were listed after them.
    pub fn new(segments: &'a [Segment], mut files: Vec<File>) -> Self {
        files.sort_unstable();
        let mut places = HashMap::with_capacity(files.len());
        for (place, file) in files.iter().enumerate() {
            places.insert((file.name.clone(), file.generation), place);
        }
        let mut logs: Vec<Known> = files.into_iter().map(Known::new).collect();
        for (segment, entry, known) in segments.iter().enumerate().flat_map(|(place, segment)| {
            segment.entries.iter().enumerate().map(move |(at, entry)| (place, at, entry))
        }) {
            let log = places.get(&(known.name.clone(), known.generation)).and_then(|log| logs.get_mut(*log));
            // Of what a log was before somebody has cut it, nothing is known.
            if let Some(log) = log.filter(|log| known.size <= log.file.size) {
                log.entries.push((segment, entry));
            }
        }
        let mut view = Self {
            segments,
            logs: Vec::new(),
            live: vec![Vec::new(); segments.len()],
            heirs: HashMap::new(),
            is_known: true,
        };
        for (place, log) in logs.iter_mut().enumerate() {
            view.settle(place, log);
        }
        view.is_known = logs.iter().all(|log| log.newest.is_some());
        view.logs = logs;
        view.live.iter_mut().for_each(|live| live.sort_unstable_by_key(|live| live.doc));
        view.find_current();
        view.find_heirs();
        view
    }

    /// Finds out which documents of a log count.
    fn settle(&mut self, place: usize, log: &mut Known) {
        let segments = self.segments;
        let at = |(segment, entry): (usize, usize)| {
            segments.get(segment).and_then(|segment| segment.entries.get(entry).map(|entry| (segment, entry)))
        };
        // Two processes that look at the same set prefer the same.
        log.entries.sort_by_cached_key(|place| {
            std::cmp::Reverse(at(*place).map(|(segment, entry)| {
                let docs: u64 = entry.runs.iter().map(|run| u64::from(run.count)).sum();
                let seen: u64 = entry.sources.iter().map(|(_, seen)| *seen).fold(0, u64::saturating_add);
                (entry.end, entry.size, seen, docs, segment.path.clone(), place.1)
            }))
        });
        log.newest = log.entries.first().copied();
        let newest = log.newest.and_then(at).map(|(_, entry)| entry);
        // Changes are known from wherever the oldest documents end, as far as one look begins where another has ended.
        let mut looks: Vec<(u64, u64)> = log
            .entries
            .iter()
            .filter_map(|place| at(*place))
            .map(|(_, entry)| (entry.from, entry.end))
            .collect();
        looks.sort_unstable();
        let oldest = looks.iter().map(|(_, end)| *end).min().unwrap_or(0);
        let reach = |reached: u64, (from, end): &(u64, u64)| {
            if *from <= reached { reached.max(*end) } else { reached }
        };
        log.looked = looks.iter().fold(oldest, reach);
        let mut unreadable = Vec::new();
        for (segment, entry_place) in log.entries.iter().copied() {
            let Some((_, entry)) = at((segment, entry_place)) else { continue };
            entry.diverged.iter().for_each(|(from, to)| log.diverged.add(*from, *to));
            unreadable.extend(&entry.unreadable);
            for run in &entry.runs {
                let last = run.seq + u64::from(run.count).saturating_sub(1);
                let counting = if run.seq > 0 {
                    log.covered.lacks(run.seq, last)
                } else if !log.is_titled && newest.is_some_and(|newest| newest.title == entry.title) {
                    log.is_titled = true;
                    vec![(0, 0)]
                } else {
                    Vec::new()
                };
                for (from, to) in counting {
                    let skip = u32::try_from(from - run.seq).unwrap_or(u32::MAX);
                    let (doc, count) =
                        (run.doc.saturating_add(skip), u32::try_from(to - from + 1).unwrap_or(0));
                    if let Some(live) = self.live.get_mut(segment) {
                        live.push(Live { doc, count, seq: from, log: place, entry: entry_place });
                    }
                }
                log.covered.add(run.seq.max(1), last);
            }
        }
        unreadable.into_iter().for_each(|(from, to)| log.covered.add(from, to));
    }

    /// What is known best of a log.
    pub fn newest(&self, log: usize) -> Option<&'a Entry> {
        let (segment, entry) = self.logs.get(log)?.newest?;
        self.segments.get(segment)?.entries.get(entry)
    }

    /// The entries of a segment.
    pub fn entries_of(&self, segment: usize) -> impl Iterator<Item = &'a Entry> {
        self.segments.get(segment).into_iter().flat_map(|segment| &segment.entries)
    }

    /// Readers read the first generation, unless it has ended: then the highest.
    fn find_current(&mut self) {
        let mut from = 0;
        while let Some(first) = self.logs.get(from) {
            let name = first.file.name.clone();
            let to = from + self.logs.iter().skip(from).take_while(|log| log.file.name == name).count();
            let goes_on = first.file.generation == 1
                && self.newest(from).is_none_or(|entry| entry.ended == Ended::No || entry.session.is_empty());
            let current = if goes_on { from } else { to - 1 };
            if let Some(log) = self.logs.get_mut(current) {
                log.is_current = true;
            }
            from = to;
        }
    }

    fn find_heirs(&mut self) {
        for log in 0..self.logs.len() {
            let Some(entry) = self.newest(log).filter(|_| self.is_alive(log)) else { continue };
            let mut first = 1;
            for (source, _) in &entry.sources {
                let heir = Heir { log, a: source.a, z: source.z, first, u: source.u };
                self.heirs.entry((source.s.clone(), source.g)).or_default().push(heir);
                first += (source.z + 1).saturating_sub(source.a);
            }
        }
    }

    /// Whether a session can be read from this log.
    pub fn is_alive(&self, log: usize) -> bool {
        self.logs.get(log).is_some_and(|log| log.is_current)
            && self.newest(log).is_some_and(|entry| entry.ended != Ended::Purged && !entry.session.is_empty())
    }

    /// The forks that begin with messages of this log.
    pub fn heirs(&self, log: usize) -> &[Heir] {
        self.newest(log)
            .and_then(|entry| self.heirs.get(&(entry.session.clone(), entry.generation)))
            .map_or(&[], Vec::as_slice)
    }

    /// The messages that a log must have documents of, ascending.
    pub fn wanted(&self, log: usize, entry: &Entry, diverged: &Ranges) -> Vec<(u64, u64)> {
        if entry.session.is_empty() {
            return Vec::new();
        }
        let is_current = self.logs.get(log).is_some_and(|log| log.is_current);
        if is_current && entry.ended != Ended::Purged {
            let mut wanted = diverged.ranges();
            wanted.push((entry.inherited + 1, entry.count));
            return wanted;
        }
        // What has ended is there for forks alone.
        let mut wanted = Ranges::default();
        let heirs = self.heirs.get(&(entry.session.clone(), entry.generation));
        for heir in heirs.into_iter().flatten() {
            wanted.add(heir.a.max(entry.inherited + 1), heir.z.min(entry.count));
        }
        wanted.ranges()
    }

    /// Whether all that is to be found of a log can be found.
    pub fn is_complete(&self, log: usize) -> bool {
        let (Some(known), Some(entry)) = (self.logs.get(log), self.newest(log)) else { return false };
        let is_covered = || {
            let wanted = self.wanted(log, entry, &known.diverged);
            wanted.iter().all(|(from, to)| known.covered.lacks(*from, *to).is_empty())
        };
        entry.size == known.file.size
            && known.looked >= entry.end
            && (known.is_titled || entry.title.is_empty() || !self.is_alive(log))
            && entry.sources.iter().all(|(source, seen)| !self.has_changed(&source.s, source.g, *seen))
            && is_covered()
    }

    /// Whether a log may have changed messages behind a byte.
    fn has_changed(&self, session: &str, generation: u32, seen: u64) -> bool {
        let Ok(name) = Name::of(session) else { return false };
        let place =
            self.logs.binary_search_by(|log| (&log.file.name, log.file.generation).cmp(&(&name, generation)));
        let Some((place, log)) = place.ok().and_then(|place| Some((place, self.logs.get(place)?))) else {
            return false;
        };
        let is_quiet =
            self.newest(place).is_some_and(|entry| entry.size == log.file.size && entry.changed <= seen);
        log.file.size > seen && !is_quiet
    }

    /// How many bytes of a log may hold what is not found yet.
    pub fn behind(&self, log: usize) -> u64 {
        let Some(known) = self.logs.get(log) else { return 0 };
        let Some(entry) = self.newest(log) else { return known.file.size };
        let wanted: u64 = self
            .wanted(log, entry, &known.diverged)
            .iter()
            .map(|(from, to)| (to + 1).saturating_sub(*from))
            .sum();
        let lacking: u64 = self
            .wanted(log, entry, &known.diverged)
            .iter()
            .flat_map(|(from, to)| known.covered.lacks(*from, *to))
            .map(|(from, to)| to - from + 1)
            .sum();
        // Of what was read once, a share; of what has come since, all.
        let share = u128::from(entry.size) * u128::from(lacking) / u128::from(wanted.max(1));
        let new = known.file.size.saturating_sub(known.looked.max(entry.size));
        u64::try_from(share).unwrap_or(u64::MAX).saturating_add(new).max(1)
    }
}

impl Known {
    fn new(file: File) -> Self {
        Self {
            file,
            newest: None,
            entries: Vec::new(),
            looked: 0,
            covered: Ranges::default(),
            diverged: Ranges::default(),
            is_titled: false,
            is_current: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_part() {
        let mut set = Ranges::default();
        for (from, to) in [(5, 6), (1, 2), (3, 4), (10, 12), (8, 7)] {
            set.add(from, to);
        }
        assert_eq!(set.ranges(), [(1, 6), (10, 12)]);
        assert_eq!(set.lacks(1, 14), [(7, 9), (13, 14)]);
        assert_eq!(set.lacks(4, 5), []);
        assert_eq!(set.lacks(7, 8), [(7, 8)]);
        set.remove(11);
        set.remove(1);
        set.remove(99);
        assert_eq!(set.ranges(), [(2, 6), (10, 10), (12, 12)]);
        assert_eq!((set.contains(6), set.contains(7), set.contains(0)), (true, false, false));
        set.add(0, 100);
        assert_eq!(set.ranges(), [(0, 100)]);
    }
}
