//! Segments: the files of the index, each written once and whole.
//!
//! A segment holds documents (messages and titles of logs), the words in them, and what was known of each log when they
//! were read. Bytes: docs/format.md, "The index of words".

use std::collections::{HashMap, hash_map};

use super::bytes::{Reader, held, paged, pages_of, put, put_difference, put_text, unpaged};
use super::text::Text;
use super::words::each_word;
use crate::host::{FsErrorKind, Host};
use crate::id::Name;
use crate::log::Place;
use crate::record::Segment as Inherited;
use crate::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"sessidx\x01";
/// The magic and four lengths.
const HEADER_BYTES: u64 = 40;
/// So many documents are one block.
const BLOCK_DOCS: u32 = 64;
/// A block of words ends behind the word that takes it past so many bytes.
const BLOCK_BYTES: usize = 3072;
/// What is read of a file at first: most tables are no longer.
const FIRST_BYTES: u64 = 64 * 1024;
/// How the term of a tool begins: no word does.
const TOOL: char = '\u{1}';

/// The term of a tool's name.
pub fn tool_term(name: &str) -> String {
    let folded: String =
        name.chars().take(super::words::WORD_CHARS_MAX).flat_map(char::to_lowercase).collect();
    format!("{TOOL}{folded}")
}

/// A run of documents whose messages have consecutive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first document.
    pub doc: u32,
    /// Its message's number; 0 is the title.
    pub seq: u64,
    /// How many there are.
    pub count: u32,
}

/// What was known of a log when documents were made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose log.
    pub name: Name,
    /// Which generation.
    pub generation: u32,
    /// Changes of messages were looked for from here ...
    pub from: u64,
    /// ... up to here, of which the documents are the text.
    pub end: u64,
    /// The size of the file then.
    pub size: u64,
    /// The byte behind the beginning of the last record that changes a message.
    pub changed: u64,
    /// The session's id; empty where the log has no readable beginning.
    pub session: String,
    /// Its scope.
    pub scope: String,
    /// Its title; empty for none.
    pub title: String,
    /// When it was moved to the trash and 1; 0 for not.
    pub trashed: u64,
    /// How the log has ended.
    pub ended: Ended,
    /// How many messages there are.
    pub count: u64,
    /// How many of them are inherited.
    pub inherited: u64,
    /// The visible ones.
    pub path: Vec<(u64, u64)>,
    /// Where the inherited ones lie, and how far each of those logs was looked at for changes since.
    pub sources: Vec<(Inherited, u64)>,
    /// Inherited messages that are not as their own log has them.
    pub diverged: Vec<(u64, u64)>,
    /// Messages that could not be read.
    pub unreadable: Vec<(u64, u64)>,
    /// Its documents.
    pub runs: Vec<Run>,
}

/// Whether and how a log has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It goes on.
    No,
    /// In another generation.
    Sealed,
    /// For good.
    Purged,
}

/// Where the message of a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it came, in ms.
    pub at: u64,
    /// Where it lies; nowhere where it must be asked of its session.
    pub place: Place,
}

/// Why a segment gives no answer.
#[derive(Debug)]
pub enum Fault {
    /// It is not what was written, or gone.
    Lost,
    /// The file system says no.
    Host(Error),
}

type Read<T> = std::result::Result<T, Fault>;

/// A segment that is being made.
#[derive(Debug, Default)]
pub struct Builder {
    terms: HashMap<String, u32>,
    postings: Vec<Postings>,
    entries: Vec<Entry>,
    sizes: Vec<u8>,
    rows: Vec<Row>,
    words: u64,
    /// Of the document at hand: its terms and their places.
    here: Vec<(u32, u32)>,
}

/// The documents of a term.
#[derive(Debug, Default)]
struct Postings {
    count: u32,
    last: u32,
    docs: Vec<u8>,
    places: Vec<u8>,
}

impl Postings {
    /// Adds a document behind the last, with the places of the term in it, ascending.
    fn add(&mut self, doc: u32, places: impl ExactSizeIterator<Item = u32>) {
        let behind = if self.count == 0 { doc + 1 } else { doc - self.last };
        let many = places.len() > 1;
        put(&mut self.docs, u64::from(behind) << 1 | u64::from(many));
        if many {
            put(&mut self.docs, places.len() as u64 - 2);
        }
        let mut last = 0;
        for place in places {
            put(&mut self.places, u64::from(place.saturating_sub(last)));
            last = place;
        }
        (self.count, self.last) = (self.count + 1, doc);
    }
}

impl Builder {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Begins the documents of a log.
    pub fn begin(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Adds a document to the log begun last: its number, its text, and where it is.
    pub fn add(&mut self, seq: u64, text: &Text<'_>, row: Row) {
        let doc = self.new_doc(seq);
        let (mut base, mut words) = (0_u32, 0_u32);
        self.here.clear();
        for field in &text.fields {
            let mut behind = base;
            each_word(field, &mut |word| {
                let place = base + word.place;
                let term = self.terms.get(word.text).copied().unwrap_or_else(|| {
                    let term = u32::try_from(self.postings.len()).unwrap_or(u32::MAX);
                    self.terms.insert(word.text.to_owned(), term);
                    self.postings.push(Postings::default());
                    term
                });
                self.here.push((term, place));
                words += u32::from(!word.is_part);
                behind = place + 1;
            });
            // A gap, so that no phrase goes on in the next field.
            base = behind + 1;
        }
        for tool in &text.tools {
            let next = u32::try_from(self.postings.len()).unwrap_or(u32::MAX);
            let term = *self.terms.entry(tool_term(tool)).or_insert(next);
            if term == next {
                self.postings.push(Postings::default());
            }
            self.here.push((term, 0));
        }
        self.here.sort_unstable();
        self.here.dedup();
        for same in self.here.chunk_by(|one, next| one.0 == next.0) {
            if let Some(postings) = same.first().and_then(|(term, _)| self.postings.get_mut(*term as usize)) {
                postings.add(doc, same.iter().map(|(_, place)| *place));
            }
        }
        self.words += u64::from(words);
        self.sizes.push(size_byte(words, text.role));
        self.rows.push(row);
    }

    /// Notes that the messages from `from` to the one before `to` cannot be read.
    pub fn skip(&mut self, from: u64, to: u64) {
        if let Some(entry) = self.entries.last_mut().filter(|_| from < to) {
            entry.unreadable.push((from, to - 1));
        }
    }

    fn new_doc(&mut self, seq: u64) -> u32 {
        let doc = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        if let Some(entry) = self.entries.last_mut() {
            match entry.runs.last_mut() {
                Some(run) if run.seq + u64::from(run.count) == seq && seq > 1 => run.count += 1,
                _ => entry.runs.push(Run { doc, seq, count: 1 }),
            }
        }
        doc
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        let mut terms: Vec<(String, u32)> = self.terms.into_iter().collect();
        terms.sort_unstable();
        let mut words = Words::default();
        for (term, place) in &terms {
            if let Some(postings) = self.postings.get(*place as usize) {
                words.add(term, postings);
            }
        }
        file(&self.entries, self.words, &self.sizes, &self.rows, words)
    }
}

/// Words in order, with their postings, as bytes.
#[derive(Debug, Default)]
struct Words {
    /// Of each block: its first word, its length, and the length of the postings of its words.
    blocks: Vec<(String, u64, u64)>,
    dictionary: Vec<u8>,
    postings: Vec<u8>,
    last: String,
    block_at: usize,
    postings_at: usize,
}

impl Words {
    fn add(&mut self, term: &str, postings: &Postings) {
        let is_first = self.dictionary.len() == self.block_at;
        let shared = if is_first { 0 } else { shared(&self.last, term) };
        if is_first {
            self.blocks.push((term.to_owned(), 0, 0));
        }
        put(&mut self.dictionary, shared as u64);
        put_text(&mut self.dictionary, term.get(shared..).unwrap_or_default());
        put(&mut self.dictionary, u64::from(postings.count));
        put(&mut self.dictionary, postings.docs.len() as u64);
        put(&mut self.dictionary, postings.places.len() as u64);
        self.postings.extend_from_slice(&postings.docs);
        self.postings.extend_from_slice(&postings.places);
        self.last.clear();
        self.last.push_str(term);
        if self.dictionary.len() - self.block_at >= BLOCK_BYTES {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.1 = (self.dictionary.len() - self.block_at) as u64;
            block.2 = (self.postings.len() - self.postings_at) as u64;
        }
        (self.block_at, self.postings_at) = (self.dictionary.len(), self.postings.len());
    }
}

fn shared(last: &str, term: &str) -> usize {
    let same = last.bytes().zip(term.bytes()).take_while(|(one, other)| one == other).count();
    (0..=same).rev().find(|at| term.is_char_boundary(*at)).unwrap_or(0)
}

fn file(entries: &[Entry], words_total: u64, sizes: &[u8], rows: &[Row], mut words: Words) -> Vec<u8> {
    if words.dictionary.len() > words.block_at {
        words.end_block();
    }
    let mut tables = Vec::new();
    put(&mut tables, rows.len() as u64);
    put(&mut tables, words_total);
    put(&mut tables, entries.len() as u64);
    entries.iter().for_each(|entry| put_entry(&mut tables, entry));
    tables.extend_from_slice(sizes);
    let mut docs = Vec::new();
    for block in rows.chunks(BLOCK_DOCS as usize) {
        let before = docs.len();
        put_rows(&mut docs, block);
        put(&mut tables, (docs.len() - before) as u64);
    }
    put(&mut tables, words.blocks.len() as u64);
    for (first, length, postings) in &words.blocks {
        put_text(&mut tables, first);
        put(&mut tables, *length);
        put(&mut tables, *postings);
    }
    let parts = [&tables, &docs, &words.dictionary, &words.postings];
    let mut data = MAGIC.to_vec();
    parts.iter().for_each(|part| data.extend_from_slice(&(part.len() as u64).to_le_bytes()));
    parts.iter().for_each(|part| data.extend_from_slice(part));
    paged(&data)
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[(u64, u64)]) {
    put(out, ranges.len() as u64);
    let mut last = 0;
    for (from, to) in ranges {
        put_difference(out, last, *from);
        put_difference(out, *from, *to);
        last = *to;
    }
}

fn ranges(reader: &mut Reader<'_>) -> Option<Vec<(u64, u64)>> {
    let mut last = 0;
    let count = reader.count()?;
    (0..count)
        .map(|_| {
            let from = reader.difference(last)?;
            last = reader.difference(from)?;
            Some((from, last))
        })
        .collect()
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_text(out, entry.name.as_str());
    put(out, u64::from(entry.generation));
    for number in [entry.from, entry.end, entry.size, entry.changed] {
        put(out, number);
    }
    for text in [&entry.session, &entry.scope, &entry.title] {
        put_text(out, text);
    }
    put(out, entry.trashed);
    put(
        out,
        match entry.ended {
            Ended::No => 0,
            Ended::Sealed => 1,
            Ended::Purged => 2,
        },
    );
    put(out, entry.count);
    put(out, entry.inherited);
    put_ranges(out, &entry.path);
    put(out, entry.sources.len() as u64);
    for (source, seen) in &entry.sources {
        put_text(out, &source.s);
        for number in [u64::from(source.g), source.a, source.z, source.u, *seen] {
            put(out, number);
        }
    }
    put_ranges(out, &entry.diverged);
    put_ranges(out, &entry.unreadable);
    put(out, entry.runs.len() as u64);
    let mut last = 0;
    for run in &entry.runs {
        put_difference(out, last, u64::from(run.doc));
        put(out, run.seq);
        put(out, u64::from(run.count));
        last = u64::from(run.doc) + u64::from(run.count);
    }
}

fn entry(reader: &mut Reader<'_>) -> Option<Entry> {
    let name = reader.text()?;
    let generation = reader.small()?;
    let (name, generation) = Name::parse_log(&format!("{name}-{generation:06}.jsonl"))?;
    let (from, end, size, changed) = (reader.number()?, reader.number()?, reader.number()?, reader.number()?);
    let mut text = || reader.text().map(str::to_owned);
    let (session, scope, title) = (text()?, text()?, text()?);
    let trashed = reader.number()?;
    let ended = match reader.number()? {
        0 => Ended::No,
        1 => Ended::Sealed,
        _ => Ended::Purged,
    };
    let (count, inherited) = (reader.number()?, reader.number()?);
    let path = ranges(reader)?;
    let sources = (0..reader.count()?).map(|_| {
        let (s, g) = (reader.text()?.to_owned(), reader.small()?);
        let (a, z, u) = (reader.number()?, reader.number()?, reader.number()?);
        Some((Inherited { s, g, a, z, u }, reader.number()?))
    });
    let sources = sources.collect::<Option<_>>()?;
    let (diverged, unreadable) = (ranges(reader)?, ranges(reader)?);
    let mut last = 0;
    let count_runs = reader.count()?;
    let runs = (0..count_runs).map(|_| {
        let run = Run {
            doc: u32::try_from(reader.difference(last)?).ok()?,
            seq: reader.number()?,
            count: reader.small()?,
        };
        last = u64::from(run.doc) + u64::from(run.count);
        Some(run)
    });
    let runs = runs.collect::<Option<_>>()?;
    Some(Entry {
        name,
        generation,
        from,
        end,
        size,
        changed,
        session,
        scope,
        title,
        trashed,
        ended,
        count,
        inherited,
        path,
        sources,
        diverged,
        unreadable,
        runs,
    })
}

fn put_rows(out: &mut Vec<u8>, rows: &[Row]) {
    let (mut at, mut from) = (0, 0);
    for row in rows {
        put_difference(out, at, row.at);
        put_difference(out, from, row.place.from);
        put(out, row.place.len);
        if row.place.len > 0 {
            out.extend_from_slice(&row.place.sum.to_le_bytes());
            put(out, row.place.changes.len() as u64);
            let mut last = row.place.from;
            for (from, len) in &row.place.changes {
                put_difference(out, last, *from);
                put(out, *len);
                last = from + len;
            }
        }
        (at, from) = (row.at, row.place.from);
    }
}

fn rows(bytes: &[u8], count: u32) -> Option<Vec<Row>> {
    let mut reader = Reader::new(bytes);
    let (mut at, mut from) = (0, 0);
    (0..count)
        .map(|_| {
            at = reader.difference(at)?;
            from = reader.difference(from)?;
            let mut place = Place { from, len: reader.number()?, ..Place::default() };
            if place.len > 0 {
                place.sum = u32::from_le_bytes(reader.take(4)?.try_into().ok()?);
                let mut last = from;
                for _ in 0..reader.count()? {
                    let (from, len) = (reader.difference(last)?, reader.number()?);
                    place.changes.push((from, len));
                    last = from.checked_add(len)?;
                }
            }
            Some(Row { at, place })
        })
        .collect()
}

/// How many words a document has, roughly, and its role, in a byte.
fn size_byte(words: u32, role: u8) -> u8 {
    let size = match words {
        0..=7 => words,
        _ => {
            let exponent = words.ilog2();
            (8 + (exponent - 3) * 2 + (words >> (exponent - 1) & 1)).min(31)
        }
    };
    u8::try_from(size).unwrap_or(31) | role << 5
}

/// The number of words that the byte stands for.
pub fn size_of(byte: u8) -> u32 {
    match u32::from(byte & 31) {
        size @ 0..=7 => size,
        size => {
            let exponent = 3 + (size - 8) / 2;
            // The middle of what has that byte.
            (1 << exponent) + ((size & 1) << (exponent - 1)) + (1 << (exponent - 2))
        }
    }
}

/// The role that the byte stands for.
pub fn role_of(byte: u8) -> u8 {
    byte >> 5
}

/// A segment as it is read.
#[derive(Debug)]
pub struct Segment {
    /// The path of the file; empty where it is in memory alone.
    pub path: String,
    memory: Vec<u8>,
    /// The size of the file.
    pub size: u64,
    /// How many documents it has.
    pub docs: u32,
    /// How many words they have.
    pub words: u64,
    /// The logs that they are of.
    pub entries: Vec<Entry>,
    /// For each document, its length and role.
    pub sizes: Vec<u8>,
    /// Where each block of rows begins.
    row_blocks: Vec<u64>,
    /// The first word of each block, where the block begins, and where the postings of its words do.
    word_blocks: Vec<(String, u64, u64)>,
    /// Where what was last read of rows begins.
    postings_at: u64,
}

/// A term of the dictionary, and where its postings lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// In how many documents it is.
    pub count: u32,
    docs: u64,
    places: u64,
    end: u64,
}

/// The documents of a term.
#[derive(Debug, Default)]
pub struct List {
    /// The documents, ascending.
    pub docs: Vec<u32>,
    /// How often the term is in each.
    pub often: Vec<u32>,
    places: Vec<u8>,
    /// Where the places of each begin.
    starts: Vec<u32>,
}

impl List {
    /// The places of the term in its document of that index.
    pub fn places(&self, index: usize) -> Vec<u32> {
        let start = self.starts.get(index).map_or(usize::MAX, |start| *start as usize);
        let mut reader = Reader::new(self.places.get(start..).unwrap_or_default());
        let mut last = 0;
        let count = self.often.get(index).copied().unwrap_or(0);
        (0..count)
            .map_while(|_| {
                last += reader.small()?;
                Some(last)
            })
            .collect()
    }
}

impl Segment {
    /// Opens a file of that size.
    pub fn open(host: &mut impl Host, path: String, size: u64) -> Read<Self> {
        Self { path, size, ..Self::nothing() }.load(host)
    }

    /// Opens what a builder has made, in memory.
    pub fn in_memory(host: &mut impl Host, memory: Vec<u8>) -> Read<Self> {
        Self { size: memory.len() as u64, memory, ..Self::nothing() }.load(host)
    }

    fn nothing() -> Self {
        Self {
            path: String::new(),
            memory: Vec::new(),
            size: 0,
            docs: 0,
            words: 0,
            entries: Vec::new(),
            sizes: Vec::new(),
            row_blocks: Vec::new(),
            word_blocks: Vec::new(),
            postings_at: 0,
        }
    }

    fn load(mut self, host: &mut impl Host) -> Read<Self> {
        let held = held(self.size).ok_or(Fault::Lost)?;
        let mut first = self.read(host, 0, held.min(FIRST_BYTES))?;
        let (magic, lengths) = first.split_at_checked(MAGIC.len()).ok_or(Fault::Lost)?;
        if magic != MAGIC {
            return Err(Fault::Lost);
        }
        let lengths: Vec<u64> = lengths
            .chunks_exact(8)
            .take(4)
            .filter_map(|length| length.try_into().ok().map(u64::from_le_bytes))
            .collect();
        let [tables, docs, dictionary, postings] = lengths.as_slice() else { return Err(Fault::Lost) };
        let rows_at = HEADER_BYTES.checked_add(*tables).ok_or(Fault::Lost)?;
        let words_at = rows_at.checked_add(*docs).ok_or(Fault::Lost)?;
        self.postings_at = words_at.checked_add(*dictionary).ok_or(Fault::Lost)?;
        if self.postings_at.checked_add(*postings) != Some(held) {
            return Err(Fault::Lost);
        }
        if rows_at > first.len() as u64 {
            first = self.read(host, 0, rows_at)?;
        }
        let tables =
            usize::try_from(rows_at).ok().and_then(|end| first.get(usize::try_from(HEADER_BYTES).ok()?..end));
        self.parse(tables.ok_or(Fault::Lost)?, rows_at, words_at).ok_or(Fault::Lost)?;
        Ok(self)
    }

    fn parse(&mut self, tables: &[u8], rows_at: u64, words_at: u64) -> Option<()> {
        let mut reader = Reader::new(tables);
        self.docs = reader.small()?;
        self.words = reader.number()?;
        let entries = reader.count()?;
        self.entries = (0..entries).map(|_| entry(&mut reader)).collect::<Option<_>>()?;
        let fits = |run: &Run| run.doc.checked_add(run.count).is_some_and(|end| end <= self.docs);
        if !self.entries.iter().flat_map(|entry| &entry.runs).all(fits) {
            return None;
        }
        self.sizes = reader.take(self.docs as usize)?.to_vec();
        let mut at = rows_at;
        self.row_blocks.push(at);
        for _ in 0..self.docs.div_ceil(BLOCK_DOCS) {
            at = at.checked_add(reader.number()?)?;
            self.row_blocks.push(at);
        }
        let (mut at, mut postings) = (words_at, self.postings_at);
        for _ in 0..reader.count()? {
            self.word_blocks.push((reader.text()?.to_owned(), at, postings));
            at = at.checked_add(reader.number()?)?;
            postings = postings.checked_add(reader.number()?)?;
        }
        reader.is_done().then_some(())
    }

    fn read(&self, host: &mut impl Host, from: u64, to: u64) -> Read<Vec<u8>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let (first, last) = pages_of(from, to, self.size);
        let limit = u32::try_from(last.saturating_sub(first)).map_err(|_| Fault::Lost)?;
        let pages = if self.path.is_empty() {
            let range = usize::try_from(first).ok().zip(usize::try_from(last).ok());
            range.and_then(|(first, last)| self.memory.get(first..last)).ok_or(Fault::Lost)?.to_vec()
        } else {
            match host.read_bytes(&self.path, first, limit) {
                Err(error) if matches!(error.kind, FsErrorKind::NotFound | FsErrorKind::Refused) => {
                    return Err(Fault::Lost);
                }
                pages => pages.map_err(|error| Fault::Host(error.into()))?,
            }
        };
        unpaged(&pages, from, to).ok_or(Fault::Lost)
    }

    /// The row of a document, and of those that are stored with it: the first of them, and all.
    pub fn rows(&self, host: &mut impl Host, doc: u32) -> Read<(u32, Vec<Row>)> {
        let block = doc / BLOCK_DOCS;
        let range = self.row_blocks.get(block as usize..block as usize + 2).ok_or(Fault::Lost)?;
        let [from, to] = range else { return Err(Fault::Lost) };
        let first = block * BLOCK_DOCS;
        let bytes = self.read(host, *from, *to)?;
        let rows = rows(&bytes, BLOCK_DOCS.min(self.docs.saturating_sub(first)));
        Ok((first, rows.ok_or(Fault::Lost)?))
    }

    /// The words from `from` on, as long as `wanted` of them holds.
    pub fn terms(
        &self,
        host: &mut impl Host,
        from: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Read<Vec<(String, Term)>> {
        let mut found = Vec::new();
        let first = self.word_blocks.partition_point(|(word, ..)| word.as_str() <= from).saturating_sub(1);
        for (place, (_, at, postings)) in self.word_blocks.iter().enumerate().skip(first) {
            let to = self.word_blocks.get(place + 1).map_or(self.words_end(), |(_, at, _)| *at);
            let bytes = self.read(host, *at, to)?;
            let mut block = Block { reader: Reader::new(&bytes), word: String::new(), at: *postings };
            while let Some(term) = block.step() {
                let term = term.ok_or(Fault::Lost)?;
                if block.word.as_str() < from {
                    continue;
                }
                if !wanted(&block.word) {
                    return Ok(found);
                }
                found.push((block.word.clone(), term));
            }
        }
        Ok(found)
    }

    fn words_end(&self) -> u64 {
        self.postings_at
    }

    /// The documents of a term, with its places in them where asked for.
    pub fn list(&self, host: &mut impl Host, term: Term, with_places: bool) -> Read<List> {
        let end = if with_places { term.end } else { term.places };
        let bytes = self.read(host, term.docs, end)?;
        let docs = usize::try_from(term.places.saturating_sub(term.docs)).map_err(|_| Fault::Lost)?;
        let (docs, places) = bytes.split_at_checked(docs).ok_or(Fault::Lost)?;
        let list = list(docs, places, term.count, with_places).ok_or(Fault::Lost)?;
        // Documents that there are not.
        if list.docs.last().is_some_and(|last| *last >= self.docs) {
            return Err(Fault::Lost);
        }
        Ok(list)
    }

    /// All words with their documents and places, in order.
    fn each_list(&self, host: &mut impl Host) -> Read<Vec<(String, List)>> {
        let terms = self.terms(host, "", &|_| true)?;
        let bytes = self.read(host, self.postings_at, held(self.size).ok_or(Fault::Lost)?)?;
        let part = |from: u64, to: u64| {
            let from = usize::try_from(from.checked_sub(self.postings_at)?).ok()?;
            bytes.get(from..usize::try_from(to.checked_sub(self.postings_at)?).ok()?)
        };
        let lists = terms.into_iter().map(|(word, term)| {
            let list = list(part(term.docs, term.places)?, part(term.places, term.end)?, term.count, true)?;
            Some((word, list))
        });
        lists.collect::<Option<_>>().ok_or(Fault::Lost)
    }
}

fn list(docs: &[u8], places: &[u8], count: u32, with_places: bool) -> Option<List> {
    let mut list = List { places: places.to_vec(), ..List::default() };
    let mut reader = Reader::new(docs);
    let mut spots = Reader::new(places);
    let mut next = 0_u32;
    if count as usize > docs.len() {
        return None;
    }
    for index in 0..count {
        let entry = reader.number()?;
        let by = u32::try_from(entry >> 1).ok().filter(|by| *by > 0)?;
        next = if index == 0 { by - 1 } else { next.checked_add(by)? };
        let often = if entry & 1 == 1 { reader.small()?.checked_add(2)? } else { 1 };
        list.docs.push(next);
        list.often.push(often);
        if with_places {
            list.starts.push(u32::try_from(spots.at()).ok()?);
            spots.skip(u64::from(often))?;
        }
    }
    reader.is_done().then_some(list)
}

/// The words of a block, one after the other.
struct Block<'a> {
    reader: Reader<'a>,
    word: String,
    /// Where the postings of the next one lie.
    at: u64,
}

impl Block<'_> {
    /// The next word, which then is `word`. `Some(None)` where it cannot be read.
    fn step(&mut self) -> Option<Option<Term>> {
        (!self.reader.is_done()).then(|| self.read())
    }

    fn read(&mut self) -> Option<Term> {
        let shared = usize::try_from(self.reader.number()?).ok()?;
        if !self.word.is_char_boundary(shared) {
            return None;
        }
        self.word.truncate(shared);
        self.word.push_str(self.reader.text()?);
        let count = self.reader.small()?;
        let docs = self.at;
        let places = docs.checked_add(self.reader.number()?)?;
        self.at = places.checked_add(self.reader.number()?)?;
        Some(Term { count, docs, places, end: self.at })
    }
}

/// Makes one segment of several: `kept` names the entries that it has and, by segment and document, their documents in
/// order.
pub fn merge(
    host: &mut impl Host,
    from: &[&Segment],
    kept: Vec<(Entry, Vec<Kept>)>,
) -> Result<Option<Vec<u8>>> {
    match try_merge(host, from, kept) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Fault::Lost) => Ok(None),
        Err(Fault::Host(error)) => Err(error),
    }
}

/// A document that goes into a merged segment: the place of its segment, its number there, and that of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The place of its segment.
    pub segment: usize,
    /// Its number there.
    pub doc: u32,
    /// The number of its message.
    pub seq: u64,
}

fn try_merge(host: &mut impl Host, from: &[&Segment], kept: Vec<(Entry, Vec<Kept>)>) -> Read<Vec<u8>> {
    const GONE: u32 = u32::MAX;
    let mut made = Builder::default();
    // The new number of each old document.
    let mut numbers: Vec<Vec<u32>> = from.iter().map(|segment| vec![GONE; segment.docs as usize]).collect();
    let mut blocks: HashMap<(usize, u32), Vec<Row>> = HashMap::new();
    for (entry, docs) in kept {
        made.begin(entry);
        for Kept { segment, doc, seq } in docs {
            let Some(source) = from.get(segment) else { return Err(Fault::Lost) };
            let block = doc / BLOCK_DOCS;
            let rows = match blocks.entry((segment, block)) {
                hash_map::Entry::Occupied(rows) => rows.into_mut(),
                hash_map::Entry::Vacant(empty) => empty.insert(source.rows(host, doc)?.1),
            };
            let row = rows.get((doc % BLOCK_DOCS) as usize);
            let size = source.sizes.get(doc as usize).copied().unwrap_or(0);
            let number = made.new_doc(seq);
            made.rows.push(row.ok_or(Fault::Lost)?.clone());
            made.sizes.push(size);
            made.words += u64::from(size_of(size));
            if let Some(place) = numbers.get_mut(segment).and_then(|numbers| numbers.get_mut(doc as usize)) {
                *place = number;
            }
        }
    }
    let mut words = Words::default();
    let mut lists = Vec::new();
    for segment in from {
        lists.push(segment.each_list(host)?.into_iter().peekable());
    }
    while let Some(word) =
        lists.iter_mut().filter_map(|lists| lists.peek().map(|(word, _)| word.clone())).min()
    {
        let mut docs: Vec<(u32, Vec<u32>)> = Vec::new();
        for (lists, numbers) in lists.iter_mut().zip(&numbers) {
            let Some((_, list)) = lists.next_if(|(here, _)| *here == word) else { continue };
            for (index, doc) in list.docs.iter().enumerate() {
                match numbers.get(*doc as usize) {
                    Some(&number) if number != GONE => docs.push((number, list.places(index))),
                    _ => {}
                }
            }
        }
        docs.sort_unstable();
        let mut postings = Postings::default();
        for (doc, places) in docs {
            postings.add(doc, places.into_iter());
        }
        if postings.count > 0 {
            words.add(&word, &postings);
        }
    }
    Ok(file(&made.entries, made.words, &made.sizes, &made.rows, words))
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost => {
                Self::new(ErrorKind::Unavailable, "the index of words changes all the time; retry")
            }
            Fault::Host(error) => error,
        }
    }
}
