//! Finding: what the index proposes, the best first, checked against the messages themselves.

use std::collections::{BinaryHeap, HashMap};

use super::query::{Query, Snippet};
use super::segment::{Fault, List, Row, Segment, Term, role_of, size_of, tool_term};
use super::text::Text;
use super::view::{Heir, View};
use super::{Behind, CATCH_UP_BYTES, Index, MEMORY_BYTES_MAX, behind, files};
use crate::host::Host;
use crate::log::Log;
use crate::message::ROLES;
use crate::store::{Look, Store};
use crate::{Error, ErrorKind, Result};

/// How often a search begins again because others merge segments meanwhile.
const ATTEMPTS: usize = 8;
/// BM25: how soon a word that comes again says no more, and how much a long text counts less.
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;
/// So many other sessions that hold a message are named.
const SAME_MAX: usize = 10;

/// What is wanted of a search.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The words.
    pub query: Query,
    /// Only in sessions of this scope.
    pub scope: Option<String>,
    /// Only in this session, with what it inherits.
    pub session: Option<String>,
    /// Only what came at this time or later, in ms.
    pub since: Option<u64>,
    /// Only what came before this time, in ms.
    pub until: Option<u64>,
    /// In the trash too.
    pub trashed: bool,
    /// In messages that are not visible too.
    pub hidden: bool,
    /// At most so many hits.
    pub limit: usize,
    /// Where an earlier page has ended.
    pub cursor: Option<String>,
}

/// A page of hits, the best first.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
    /// What was not searched.
    pub behind: Behind,
}

/// A message, or a title, that has what is looked for.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The session.
    pub session: String,
    /// Its title.
    pub title: Option<String>,
    /// Its scope.
    pub scope: String,
    /// The message's number; absent for a title.
    pub seq: Option<u64>,
    /// Its role.
    pub role: Option<&'static str>,
    /// When it came, in ms.
    pub created_at: u64,
    /// How well it fits.
    pub score: f64,
    /// Whether the session is in the trash.
    pub trashed: bool,
    /// Whether the message is not visible.
    pub hidden: bool,
    /// The text around what was found.
    pub snippet: Snippet,
    /// Other sessions that hold the same message.
    pub also: Vec<Same>,
}

/// Where a message is too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Same {
    /// The session.
    pub session: String,
    /// The message's number there.
    pub seq: u64,
}

/// What may be a hit. Greater is better.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    score: f64,
    log: usize,
    seq: u64,
    segment: usize,
    doc: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| other.log.cmp(&self.log))
            .then_with(|| other.seq.cmp(&self.seq))
            .then_with(|| (other.segment, other.doc).cmp(&(self.segment, self.doc)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A fault of one segment, or of the whole search.
enum Broken {
    Segment(usize),
    Search(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Search(error)
    }
}

fn broken(segment: usize) -> impl Fn(Fault) -> Broken {
    move |fault| match fault {
        Fault::Lost => Broken::Segment(segment),
        // The index is no reason to fail: what it holds counts as not searched.
        Fault::Host(error) if error.kind == ErrorKind::Unavailable => Broken::Segment(segment),
        Fault::Host(error) => Broken::Search(error),
    }
}

impl<H: Host> Store<H> {
    /// Searches, with what has come since the index was made.
    pub(crate) fn find_words(&mut self, wanted: &Wanted) -> Result<Found> {
        let mut index = std::mem::take(&mut self.search);
        let found = self.find_in(&mut index, wanted);
        self.search = index;
        found
    }

    fn find_in(&mut self, index: &mut Index, wanted: &Wanted) -> Result<Found> {
        let mut lost: Vec<String> = Vec::new();
        for _ in 0..ATTEMPTS {
            index.load(&mut self.host)?;
            // One that was read to its end and is damaged does not come back.
            index.segments.retain(|segment| !lost.contains(&segment.path));
            let mut budget = CATCH_UP_BYTES;
            // What has ended is looked at when it is known what forks need of it.
            for _ in 0..3 {
                let room = budget > 0 && index.memory_bytes() < MEMORY_BYTES_MAX;
                let listed = files(&mut self.host)?;
                let made = if room { self.take_in(&index.segments, listed, &mut budget)? } else { None };
                self.search.unfinished = None;
                let Some(made) = made else { break };
                index.segments.extend(Segment::in_memory(&mut self.host, made).ok());
            }
            let view = View::new(&index.segments, files(&mut self.host)?);
            let segment = match (Search { store: self, view: &view, segments: &index.segments, wanted }).run()
            {
                Ok(found) => return Ok(found),
                Err(Broken::Search(error)) => return Err(error),
                Err(Broken::Segment(segment)) => segment,
            };
            if let Some(segment) = index.segments.get(segment) {
                lost.push(segment.path.clone());
            }
            index.drop_lost(segment);
        }
        Err(Fault::Lost.into())
    }
}

struct Search<'a, H> {
    store: &'a mut Store<H>,
    view: &'a View<'a>,
    segments: &'a [Segment],
    wanted: &'a Wanted,
}

/// What is looked up: the words of a clause, or the name of a tool.
struct Looked {
    words: Vec<Word>,
    is_negative: bool,
}

struct Word {
    text: String,
    is_prefix: bool,
    /// For each segment, the documents that have it, or something that begins with it.
    lists: Vec<Vec<List>>,
    /// How much it says: rare words say more.
    weight: f64,
}

/// A session that holds messages of a log.
#[derive(Clone, Copy, Debug)]
struct Holder {
    log: usize,
    heir: Option<Heir>,
}

impl<H: Host> Search<'_, H> {
    fn run(&mut self) -> std::result::Result<Found, Broken> {
        let looked = self.look_up()?;
        let mut heap = self.candidates(&looked)?;
        let behind = behind(self.view);
        let mut found = Found { behind, ..Found::default() };
        let mut last = None;
        while let Some(candidate) = heap.pop() {
            let Some(hit) = self.check(candidate)? else { continue };
            if found.hits.len() == self.wanted.limit {
                found.next = last.map(|last| self.cursor_of(last));
                break;
            }
            found.hits.push(hit);
            last = Some(candidate);
        }
        Ok(found)
    }

    /// Finds the words in the dictionaries, and their documents.
    fn look_up(&mut self) -> std::result::Result<Vec<Looked>, Broken> {
        let word = |text: String, is_prefix| Word { text, is_prefix, lists: Vec::new(), weight: 0.0 };
        let clauses = self.wanted.query.clauses.iter().map(|clause| {
            let count = clause.words.len();
            let words = clause.words.iter().enumerate();
            let words = words.map(|(at, text)| word(text.clone(), clause.is_prefix && at + 1 == count));
            Looked { words: words.collect(), is_negative: clause.is_negative }
        });
        let tools = self
            .wanted
            .query
            .tools
            .iter()
            .map(|tool| Looked { words: vec![word(tool_term(tool), false)], is_negative: false });
        let mut looked: Vec<Looked> = clauses.chain(tools).collect();
        let total: u64 = self.segments.iter().map(|segment| u64::from(segment.docs)).sum();
        for clause in &mut looked {
            let with_places = clause.words.len() > 1;
            for word in &mut clause.words {
                let mut count = 0;
                for (place, segment) in self.segments.iter().enumerate() {
                    let terms = self.terms(segment, word).map_err(broken(place))?;
                    let mut lists = Vec::with_capacity(terms.len());
                    for term in terms {
                        count += u64::from(term.count);
                        let list = segment.list(&mut self.store.host, term, with_places);
                        lists.push(list.map_err(broken(place))?);
                    }
                    word.lists.push(lists);
                }
                word.weight = weight(total, count.min(total));
            }
        }
        Ok(looked)
    }

    fn terms(&mut self, segment: &Segment, word: &Word) -> std::result::Result<Vec<Term>, Fault> {
        let fits = |term: &str| if word.is_prefix { term.starts_with(&word.text) } else { term == word.text };
        let terms = segment.terms(&mut self.store.host, &word.text, &fits)?;
        Ok(terms.into_iter().map(|(_, term)| term).collect())
    }

    /// All documents that may be hits, the best on top.
    fn candidates(&mut self, looked: &[Looked]) -> std::result::Result<BinaryHeap<Candidate>, Broken> {
        let after = self.wanted.cursor.as_deref().map(|cursor| self.read_cursor(cursor)).transpose()?;
        let words: u64 = self.segments.iter().map(|segment| segment.words).sum();
        let docs: u64 = self.segments.iter().map(|segment| u64::from(segment.docs)).sum();
        #[allow(clippy::cast_precision_loss, reason = "a mean of counts far below 2^53")]
        let mean = (words.max(1) as f64) / (docs.max(1) as f64);
        let mut holders: HashMap<usize, Vec<Holder>> = HashMap::new();
        let mut candidates = Vec::new();
        for (place, segment) in self.segments.iter().enumerate() {
            let mut rows = (0, Vec::new());
            let mut live = self.view.live.get(place).into_iter().flatten().peekable();
            for doc in matching(looked, place) {
                while live.next_if(|live| live.doc.saturating_add(live.count) <= doc).is_some() {}
                let Some(here) = live.peek().filter(|live| live.doc <= doc) else { continue };
                let seq = here.seq + u64::from(doc - here.doc);
                let byte = segment.sizes.get(doc as usize).copied().unwrap_or(0);
                if self.wanted.query.role.is_some_and(|role| role != role_of(byte)) {
                    continue;
                }
                let of = holders.entry(here.log).or_insert_with(|| self.holders(here.log));
                if !of.iter().any(|holder| self.holds(holder, seq).is_some()) {
                    continue;
                }
                let is_timed = self.wanted.since.is_some() || self.wanted.until.is_some();
                if is_timed {
                    let row = self.row(place, doc, &mut rows)?;
                    if !self.is_in_time(&row) {
                        continue;
                    }
                }
                let score = score(looked, place, doc, f64::from(size_of(byte)) / mean);
                let candidate = Candidate { score, log: here.log, seq, segment: place, doc };
                let is_behind = |(score, log, seq): (f64, usize, u64)| {
                    Candidate { score, log, seq, ..candidate } > candidate
                };
                if after.is_none_or(is_behind) {
                    candidates.push(candidate);
                }
            }
        }
        Ok(BinaryHeap::from(candidates))
    }

    fn is_in_time(&self, row: &Row) -> bool {
        self.wanted.since.is_none_or(|since| row.at >= since)
            && self.wanted.until.is_none_or(|until| row.at < until)
    }

    /// When a document came; the rows that were read last are at hand.
    fn row(
        &mut self,
        segment: usize,
        doc: u32,
        read: &mut (u32, Vec<Row>),
    ) -> std::result::Result<Row, Broken> {
        let at_hand = |(first, rows): &(u32, Vec<Row>)| rows.get(doc.checked_sub(*first)? as usize).cloned();
        if at_hand(read).is_none()
            && let Some(source) = self.segments.get(segment)
        {
            *read = source.rows(&mut self.store.host, doc).map_err(broken(segment))?;
        }
        at_hand(read).ok_or(Broken::Segment(segment))
    }

    /// The sessions that hold messages of a log and that are searched, its own first.
    fn holders(&self, log: usize) -> Vec<Holder> {
        let own = Holder { log, heir: None };
        let heirs = self.view.heirs(log).iter().map(|heir| Holder { log: heir.log, heir: Some(*heir) });
        let own = Some(own).filter(|_| self.view.is_alive(log));
        own.into_iter().chain(heirs).filter(|holder| self.is_searched(holder.log)).collect()
    }

    fn is_searched(&self, log: usize) -> bool {
        let Some(entry) = self.view.newest(log) else { return false };
        (self.wanted.trashed || entry.trashed == 0)
            && self.wanted.scope.as_ref().is_none_or(|scope| *scope == entry.scope)
            && self.wanted.session.as_ref().is_none_or(|session| *session == entry.session)
    }

    /// The number of a message in a session that holds it; 0 for its title.
    fn holds(&self, holder: &Holder, seq: u64) -> Option<u64> {
        let entry = self.view.newest(holder.log)?;
        let seq = match &holder.heir {
            None if seq == 0 => return (!entry.title.is_empty()).then_some(0),
            None => seq,
            Some(heir) => {
                let seq = heir.first + seq.checked_sub(heir.a).filter(|_| seq <= heir.z)?;
                // It has another text there.
                if self.view.logs.get(holder.log)?.diverged.contains(seq) {
                    return None;
                }
                seq
            }
        };
        (self.wanted.hidden || is_on(&entry.path, seq)).then_some(seq)
    }

    /// Reads the message of a candidate. `None` where it is no hit after all.
    fn check(&mut self, candidate: Candidate) -> std::result::Result<Option<Hit>, Broken> {
        let Candidate { log, seq, segment, doc, score } = candidate;
        let Some(source) = self.segments.get(segment) else { return Ok(None) };
        let (first, rows) = source.rows(&mut self.store.host, doc).map_err(broken(segment))?;
        let Some(row) = doc.checked_sub(first).and_then(|place| rows.get(place as usize)) else {
            return Ok(None);
        };
        if !self.is_in_time(row) {
            return Ok(None);
        }
        let last_change = row.place.changes.last().map_or(0, |(from, len)| from + len);
        let mut holding = Vec::new();
        for holder in self.holders(log) {
            let Some(there) = self.holds(&holder, seq) else { continue };
            if holder.heir.is_some_and(|heir| last_change > heir.u) {
                continue;
            }
            if let Some(state) = self.state_of(holder.log, there)? {
                holding.push((holder.log, there, state));
            }
            if holding.len() > SAME_MAX {
                break;
            }
        }
        let Some((holder, there, (trashed, hidden, title))) = holding.first().cloned() else {
            return Ok(None);
        };
        let Some(entry) = self.view.newest(holder) else { return Ok(None) };
        let json = match seq {
            0 => String::new(),
            _ => match self.message(log, seq, row, (&entry.session, there))? {
                Some(json) => json,
                None => return Ok(None),
            },
        };
        let text = if seq == 0 { Text::of_title(&title) } else { Text::of_message(&json) };
        let Some(snippet) = self.wanted.query.find(&text) else { return Ok(None) };
        let also = holding.iter().skip(1).filter_map(|(log, seq, _)| {
            self.view.newest(*log).map(|entry| Same { session: entry.session.clone(), seq: *seq })
        });
        Ok(Some(Hit {
            session: entry.session.clone(),
            scope: entry.scope.clone(),
            seq: (seq > 0).then_some(there),
            role: usize::from(text.role).checked_sub(1).and_then(|role| ROLES.get(role).copied()),
            created_at: row.at,
            score: (score * 1000.0).round() / 1000.0,
            trashed,
            hidden,
            snippet,
            also: also.collect(),
            title: Some(title).filter(|title| !title.is_empty()),
        }))
    }

    /// The text of a message as JSON: from its place, or from its session where it has none.
    fn message(
        &mut self,
        log: usize,
        seq: u64,
        row: &Row,
        (session, there): (&str, u64),
    ) -> std::result::Result<Option<String>, Broken> {
        if row.place.len > 0
            && let Some(known) = self.view.logs.get(log)
        {
            let path = known.file.name.log(known.file.generation);
            match Log::read_place(&mut self.store.host, &path, seq, &row.place) {
                Ok(Some(json)) => return Ok(Some(json)),
                // It is damaged now, or gone: the session tells.
                Ok(None) => {}
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.store.message_at(session, there) {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Damaged) => Ok(None),
            json => Ok(json?),
        }
    }

    /// Whether a session is in the trash and a message of it hidden, and its title: as it is now, also where the index is
    /// behind. `None` where it is no session to be searched any more.
    fn state_of(
        &mut self,
        log: usize,
        seq: u64,
    ) -> std::result::Result<Option<(bool, bool, String)>, Broken> {
        let Some((entry, known)) = self.view.newest(log).zip(self.view.logs.get(log)) else {
            return Ok(None);
        };
        if entry.size == known.file.size {
            return Ok(Some((entry.trashed > 0, seq > 0 && !is_on(&entry.path, seq), entry.title.clone())));
        }
        let wanted = self.wanted;
        let state = self.store.with(&entry.session, Look::Fresh, |_, cached| {
            let state = cached.log.state();
            let is_hidden = seq > 0 && !state.path.contains(seq);
            let is_searched = (wanted.trashed || state.facts.trashed.is_none())
                && wanted.scope.as_ref().is_none_or(|scope| *scope == state.facts.scope)
                && (wanted.hidden || !is_hidden);
            let title = state.facts.title.clone().unwrap_or_default();
            Ok(is_searched.then_some((state.facts.trashed.is_some(), is_hidden, title)))
        });
        match state {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Damaged) => Ok(None),
            state => Ok(state?),
        }
    }

    fn cursor_of(&self, candidate: Candidate) -> String {
        let (name, generation) = self
            .view
            .logs
            .get(candidate.log)
            .map_or(("", 0), |log| (log.file.name.as_str(), log.file.generation));
        format!("{:016x}.{}.{name}.{generation}", candidate.score.to_bits(), candidate.seq)
    }

    fn read_cursor(&self, cursor: &str) -> Result<(f64, usize, u64)> {
        let bad = || Error::invalid("not a cursor of a search; begin again without one");
        let mut parts = cursor.splitn(4, '.');
        let mut next = || parts.next().ok_or_else(bad);
        let score = f64::from_bits(u64::from_str_radix(next()?, 16).map_err(|_| bad())?);
        let seq = next()?.parse().map_err(|_| bad())?;
        let (name, generation) = (next()?, next()?.parse::<u32>().map_err(|_| bad())?);
        let log = self
            .view
            .logs
            .partition_point(|log| (log.file.name.as_str(), log.file.generation) < (name, generation));
        Ok((score, log, seq))
    }
}

fn is_on(path: &[(u64, u64)], seq: u64) -> bool {
    let behind = path.partition_point(|(from, _)| *from <= seq);
    behind.checked_sub(1).and_then(|place| path.get(place)).is_some_and(|(_, to)| seq <= *to)
}

/// The documents of a segment that have all that they must and nothing that they must not, ascending.
fn matching(looked: &[Looked], segment: usize) -> Vec<u32> {
    let mut found: Option<Vec<u32>> = None;
    // The rarest first: the others are only asked about what it has.
    let mut positive: Vec<&Looked> = looked.iter().filter(|clause| !clause.is_negative).collect();
    positive.sort_by(|one, other| weight_of(other).total_cmp(&weight_of(one)));
    for clause in positive {
        let docs = docs_of(clause, segment, found.as_deref());
        if docs.is_empty() {
            return docs;
        }
        found = Some(docs);
    }
    let mut found = found.unwrap_or_default();
    for clause in looked.iter().filter(|clause| clause.is_negative) {
        let without = docs_of(clause, segment, Some(&found));
        found.retain(|doc| without.binary_search(doc).is_err());
    }
    found
}

fn weight_of(clause: &Looked) -> f64 {
    clause.words.iter().map(|word| word.weight).fold(0.0, f64::max)
}

/// The documents that have a clause, of those given.
fn docs_of(clause: &Looked, segment: usize, of: Option<&[u32]>) -> Vec<u32> {
    let mut found: Option<Vec<u32>> = of.map(<[u32]>::to_vec);
    let mut words: Vec<&Word> = clause.words.iter().collect();
    words.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    for word in words {
        let lists = word.lists.get(segment).map_or(&[][..], Vec::as_slice);
        found = Some(match found {
            Some(found) => both(found, lists),
            None => either(lists),
        });
    }
    let mut found = found.unwrap_or_default();
    if clause.words.len() > 1 {
        found.retain(|doc| is_phrase(clause, segment, *doc));
    }
    found
}

fn either(lists: &[List]) -> Vec<u32> {
    let mut docs: Vec<u32> = lists.iter().flat_map(|list| list.docs.iter().copied()).collect();
    if lists.len() > 1 {
        docs.sort_unstable();
        docs.dedup();
    }
    docs
}

fn both(mut found: Vec<u32>, lists: &[List]) -> Vec<u32> {
    let other = either(lists);
    let mut rest = other.iter().peekable();
    found.retain(|doc| {
        while rest.next_if(|other| *other < doc).is_some() {}
        rest.peek() == Some(&doc)
    });
    found
}

/// Whether the words of a clause follow on each other somewhere in a document.
fn is_phrase(clause: &Looked, segment: usize, doc: u32) -> bool {
    let places_of = |word: &Word| {
        let mut places: Vec<u32> = Vec::new();
        for list in word.lists.get(segment).into_iter().flatten() {
            if let Ok(index) = list.docs.binary_search(&doc) {
                places.extend(list.places(index));
            }
        }
        places.sort_unstable();
        places
    };
    let mut ends: Option<Vec<u32>> = None;
    for word in &clause.words {
        let places = places_of(word);
        ends = Some(match ends {
            None => places,
            Some(ends) => ends
                .into_iter()
                .filter_map(|end| places.binary_search(&(end + 1)).ok().map(|_| end + 1))
                .collect(),
        });
    }
    ends.is_some_and(|ends| !ends.is_empty())
}

/// BM25: how well a document fits. `length` is that of the document in lengths of a mean one.
fn score(looked: &[Looked], segment: usize, doc: u32, length: f64) -> f64 {
    let mut score = 0.0;
    for word in looked.iter().filter(|clause| !clause.is_negative).flat_map(|clause| &clause.words) {
        let often: u32 = word
            .lists
            .get(segment)
            .into_iter()
            .flatten()
            .filter_map(|list| list.docs.binary_search(&doc).ok().and_then(|index| list.often.get(index)))
            .sum();
        let often = f64::from(often);
        let norm = SATURATION * (1.0 - LENGTH + LENGTH * length);
        score += word.weight * often * (SATURATION + 1.0) / (often + norm);
    }
    score
}

/// How much a word says that so many of so many documents have.
fn weight(total: u64, with: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts of documents are far below 2^53")]
    let (total, with) = (total as f64, with as f64);
    logarithm(1.0 + (total - with + 0.5) / (with + 0.5))
}

/// The natural logarithm of a number of at least 1. Of sums and products alone, so that it is the same to the last bit in
/// every host: what a platform calls a logarithm is not.
fn logarithm(number: f64) -> f64 {
    let (mut mantissa, mut halvings) = (number, 0.0);
    while mantissa > 1.5 {
        mantissa /= 2.0;
        halvings += 1.0;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum, mut odd) = (z, 0.0, 1.0);
    while odd < 30.0 {
        sum += power / odd;
        power *= z * z;
        odd += 2.0;
    }
    halvings * std::f64::consts::LN_2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for number in [1.0, 1.4, 1.6, 2.0, 10.0, 12345.678, 1e9] {
            assert!((logarithm(number) - f64::ln(number)).abs() < 1e-12, "{number}");
        }
    }

    #[test]
    fn rare_words_say_more() {
        assert!(weight(1000, 1) > weight(1000, 10) && weight(1000, 1000) > 0.0);
    }
}
