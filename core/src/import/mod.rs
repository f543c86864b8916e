//! Sessions of other agents, as neutral values.
//!
//! Each module here turns the bytes of one foreign format into [`ImportedSession`]s: pure functions, bytes in
//! and values out. Finding the files and writing what was found into a store is the host's and the store's
//! work. The invariant: nothing that can be read is left out. A line becomes a message, an extra kept
//! verbatim, or a [`Problem`] with its byte range; one bad line never costs its neighbours. No input makes
//! these functions fail. Foreign JSON is never taken apart into numbers and maps: it is copied as text, so
//! numbers keep their digits and keys their order. What comes out is within the rules of the store (ids,
//! texts, strict JSON); its limits of size are for the caller, who may take attachments out first.

pub mod claude;
mod document;
pub mod nanocoder;
pub mod nomadarch;
pub mod octocode;

pub(crate) use document::call_of_part;
pub use document::patch_of;
pub use document::{id_for, title_of};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;
use crate::limits::ID_BYTES_MAX;

/// All that one file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The sessions of the file, a parent before its children. Empty where the file holds no record.
    pub sessions: Vec<ImportedSession>,
    /// What could not be taken as it stands, in file order. At most [`PROBLEMS_MAX`] and one that says so.
    pub problems: Vec<Problem>,
    /// Lines of the file, empty and bad ones included.
    pub lines: u64,
    /// JSON values that were read, identical repetitions included.
    pub records: u64,
}

/// A session of another agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedSession {
    /// The foreign session's id. Stable: importing the same session again gives the same.
    pub id: String,
    /// The id of the session that started this one, for side chains and sub-agents. It may be in another
    /// file.
    pub parent: Option<String>,
    /// The working directory.
    pub scope: Option<String>,
    /// What lists show.
    pub title: Option<String>,
    /// Whether a person chose the title.
    pub title_manual: bool,
    /// The agent's name.
    pub agent: Option<String>,
    /// The model that answered last.
    pub model: Option<String>,
    /// The provider of `model`.
    pub provider: Option<String>,
    /// When the earliest message was made, in milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: Option<u64>,
    /// When the latest message was made, in milliseconds since 1970-01-01T00:00:00Z.
    pub updated_ms: Option<u64>,
    /// The session's tags.
    pub tags: Vec<String>,
    /// The messages, a parent before its children.
    pub messages: Vec<ImportedMessage>,
    /// The lines that are not messages, in file order.
    pub extra: Vec<ImportedExtra>,
    /// A JSON object with what the format knows of the session and the fields above do not hold.
    pub metadata: Option<String>,
    /// How many messages at the beginning are those of `parent`: the session is a fork of it.
    pub shared: usize,
    /// The key of the message that a revert has hidden, with all behind it.
    pub reverted: Option<String>,
    /// What its answers have used, each answer once. What was copied from another session is not among it.
    pub usage: Vec<ImportedUsage>,
}

/// What one answer of a model has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedUsage {
    /// The answer's id: unique in the session, and the same each time the file is imported.
    pub key: String,
    /// The model.
    pub model: Option<String>,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: Option<u64>,
    /// Tokens that the model was given, those of a cache not among them.
    pub input: Option<u64>,
    /// Tokens that it gave.
    pub output: Option<u64>,
    /// Tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Tokens written to a cache.
    pub cache_write: Option<u64>,
    /// Money, a JSON number.
    pub cost: Option<String>,
}

/// The lines of one answer stand together, but for a few.
const NEAR: usize = 256;

impl ImportedSession {
    /// Notes what an answer has used. Of one answer the last word counts: formats repeat it while the answer comes.
    pub fn use_up(&mut self, usage: ImportedUsage) {
        match self.usage.iter_mut().rev().take(NEAR).find(|known| known.key == usage.key) {
            Some(known) => *known = usage,
            None => self.usage.push(usage),
        }
    }
}

/// A message of another agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedMessage {
    /// The operation key: unique in the session, and the same each time the file is imported.
    pub key: String,
    /// When it was made, in milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: Option<u64>,
    /// The message as a Sessile message object: JSON text without whitespace between its tokens.
    pub json: String,
    /// Which version of the message it is, where messages of the format change: `source.version` of `json`, too.
    /// Later ones compare greater, or differ behind the same beginning up to the `-`.
    pub version: Option<String>,
}

/// A line that is not a message, kept so that an export can give it back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedExtra {
    /// The line's number, from 1.
    pub line: u64,
    /// The line's JSON value as it is in the file. Strict readers may refuse it: a store keeps it as a string.
    pub json: String,
}

/// Something in the file that a person may want to know of. Holds no payload text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The line's number, from 1.
    pub line: u64,
    /// Where the bytes that it is about begin in the file.
    pub offset: u64,
    /// How many bytes it is about.
    pub bytes: u64,
    /// What is wrong, for a person. Not API.
    pub what: String,
}

/// The problems of one file that are listed: enough to see what is wrong, and a file of garbage costs no
/// gigabytes.
pub const PROBLEMS_MAX: usize = 1000;

/// The deepest nesting of a line that is taken. Readers of JSON stop at 128 (serde_json) or not much later,
/// and a message carries its line a few levels down.
pub const DEPTH_MAX: usize = 100;

impl Import {
    /// Adds a problem, as long as there is room.
    pub fn note(&mut self, place: Place, what: &str) {
        let Place { line, offset, bytes } = place;
        match self.problems.len() {
            0..PROBLEMS_MAX => self.problems.push(Problem { line, offset, bytes, what: what.to_owned() }),
            PROBLEMS_MAX => {
                let what = "there are more problems than these; the others are not listed".to_owned();
                self.problems.push(Problem { line, offset, bytes, what });
            }
            _ => {}
        }
    }

    /// Puts the problems into the order of the file: some are seen only when all of it has been read.
    pub fn sort_problems(&mut self) {
        let listed = self.problems.len().min(PROBLEMS_MAX);
        if let Some(listed) = self.problems.get_mut(..listed) {
            listed.sort_by_key(|problem| problem.offset);
        }
    }
}

/// Where a piece of a file stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line's number, from 1.
    pub line: u64,
    /// The first byte's offset in the file.
    pub offset: u64,
    /// The length in bytes.
    pub bytes: u64,
}

impl Place {
    /// The place of a part of this one.
    fn part(self, start: usize, bytes: usize) -> Self {
        Self { offset: self.offset + start as u64, bytes: bytes as u64, ..self }
    }
}

/// The lines of a file, one after the other: nobody needs all of it in memory.
pub trait Lines {
    /// The next line; `None` behind the last one.
    fn next_line(&mut self) -> Option<Line<'_>>;
}

/// What stands between two ends of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, with its end where it has one.
    Whole(&'a [u8]),
    /// A line of so many bytes that nothing could hold what it says: it was passed over.
    TooLong(u64),
    /// From here on the file cannot be read, and why. No line follows.
    Unreadable(String),
}

impl Lines for &[u8] {
    fn next_line(&mut self) -> Option<Line<'_>> {
        let end = memchr::memchr(b'\n', self).map_or(self.len(), |at| at + 1);
        let (line, rest) = self.split_at_checked(end)?;
        *self = rest;
        (!line.is_empty()).then_some(Line::Whole(line))
    }
}

/// A JSON value of a file.
pub struct Record {
    /// The value as strict JSON without whitespace between its tokens.
    pub text: String,
    /// The value as it stands in the file, where that is something else than `text`: it has whitespace between its
    /// tokens, or strict readers refuse it and `text` is mended.
    pub original: Option<String>,
    /// Where it stands.
    pub place: Place,
}

impl Record {
    /// The text that gives the value back.
    pub fn source(&self) -> &str {
        self.original.as_deref().unwrap_or(&self.text)
    }
}

/// Reads a file of JSON lines and hands every value of it to `take`.
///
/// What is not a good line is noted in `import` and costs only itself: a torn line, several objects on one
/// line, a record fused to somebody's torn tail, NUL bytes of a hole, bytes that are not UTF-8, a line that is too
/// long to be taken. `mark` is a member that the format's records have and the objects nested in them lack; a record
/// after a torn one is known by it.
pub fn read_records(
    lines: &mut dyn Lines,
    mark: &str,
    import: &mut Import,
    mut take: impl FnMut(&mut Import, Record),
) {
    let mut offset = 0;
    while let Some(line) = lines.next_line() {
        import.lines += 1;
        let mut place = Place { line: import.lines, offset, bytes: 0 };
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(bytes) => {
                let what =
                    format!("a line of {bytes} bytes, more than a message can hold; it was passed over");
                import.note(Place { bytes, ..place }, &what);
                offset += bytes;
                continue;
            }
            Line::Unreadable(cause) => {
                import.note(place, &format!("cannot be read from here on: {cause}"));
                return;
            }
        };
        offset += line.len() as u64;
        // Some editors begin a file with a byte order mark; JSON does not know it.
        let body = if place.line == 1 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        place.offset += (line.len() - body.len()) as u64;
        place.bytes = body.len() as u64;
        let is_ended = body.ends_with(b"\n");
        match str::from_utf8(body) {
            Ok(text) => read_line(text, place, is_ended, mark, import, &mut take),
            Err(_) => {
                import.note(place, "a line that is not UTF-8; records around the bad bytes are taken");
                read_around_bad_bytes(body, place, mark, import, &mut take);
            }
        }
    }
}

/// Takes the values of one line and notes what is wrong with it.
fn read_line(
    text: &str,
    place: Place,
    is_ended: bool,
    mark: &str,
    import: &mut Import,
    take: &mut impl FnMut(&mut Import, Record),
) {
    // Nearly every line is one strict value, which one pass tells; the rest is looked at more closely.
    let value = text.trim();
    if let Ok(minified) = json::minify_within(value, DEPTH_MAX) {
        let start = value.as_ptr().addr() - text.as_ptr().addr();
        take_strict(value, minified.into_owned(), place.part(start, value.len()), import, take);
        return;
    }
    let mut values = 0;
    for piece in split_values(text, mark) {
        let at = place.part(piece.start, piece.text.len());
        match piece.kind {
            PieceKind::Value => {
                values += 1;
                if values == 2 {
                    import.note(place, "several objects on one line; all are taken");
                }
                take_value(piece.text, at, import, take);
            }
            PieceKind::Nul => import.note(at, "NUL bytes"),
            PieceKind::Bad => {
                let reaches_end = piece.start + piece.text.len() == text.trim_end().len();
                let is_torn_tail = !is_ended && reaches_end;
                import.note(at, if is_torn_tail { "a torn last line" } else { "not JSON" });
            }
        }
    }
}

/// Takes the values of a line that stand between bytes that are not UTF-8.
fn read_around_bad_bytes(
    line: &[u8],
    place: Place,
    mark: &str,
    import: &mut Import,
    take: &mut impl FnMut(&mut Import, Record),
) {
    let mut start = 0;
    for chunk in line.utf8_chunks() {
        let values = split_values(chunk.valid(), mark);
        for piece in values.iter().filter(|piece| piece.kind == PieceKind::Value) {
            // A bare number or word between bad bytes is a splinter of something, not a record.
            if piece.text.starts_with('{') {
                take_value(piece.text, place.part(start + piece.start, piece.text.len()), import, take);
            }
        }
        start += chunk.valid().len() + chunk.invalid().len();
    }
}

/// Hands one value over, unless it is nested too deeply to be carried in a message.
fn take_value(text: &str, place: Place, import: &mut Import, take: &mut impl FnMut(&mut Import, Record)) {
    if depth(text) > DEPTH_MAX {
        import.note(place, "nested too deeply; not taken");
        return;
    }
    if let Ok(minified) = json::minify(text) {
        take_strict(text, minified, place, import, take);
        return;
    }
    import.records += 1;
    import.note(
        place,
        "a lone surrogate or a repeated key, which strict readers refuse; mended where it is shown",
    );
    let mut mended = String::with_capacity(text.len());
    mend(text, &mut mended);
    take(import, Record { text: mended, original: Some(text.to_owned()), place });
}

/// Hands one value over that strict readers take.
fn take_strict(
    text: &str,
    minified: String,
    place: Place,
    import: &mut Import,
    take: &mut impl FnMut(&mut Import, Record),
) {
    import.records += 1;
    // It is shorter where whitespace was left out, and otherwise the same.
    let original = (minified.len() != text.len()).then(|| text.to_owned());
    take(import, Record { text: minified, original, place });
}

/// A part of a line.
struct Piece<'a> {
    kind: PieceKind,
    /// Its offset in the line.
    start: usize,
    text: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    Value,
    Nul,
    Bad,
}

/// Splits a line into the JSON values in it and what is none. Whitespace around them belongs to nobody.
fn split_values<'a>(line: &'a str, mark: &str) -> Vec<Piece<'a>> {
    let piece =
        |kind, text: &'a str| Piece { kind, start: text.as_ptr().addr() - line.as_ptr().addr(), text };
    let rest = line.trim();
    if rest.is_empty() {
        return Vec::new();
    }
    if serde_json::from_str::<&RawValue>(rest).is_ok() {
        return vec![piece(PieceKind::Value, rest)];
    }
    let mut pieces = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let solid = rest.trim_start_matches('\0');
        let (nul, _) = rest.split_at(rest.len() - solid.len());
        if !nul.is_empty() {
            pieces.push(piece(PieceKind::Nul, nul));
            rest = solid.trim_start();
            continue;
        }
        let (values, after) = leading_objects(rest);
        pieces.extend(values.into_iter().map(|value| piece(PieceKind::Value, value)));
        let after = after.trim_start();
        if after.is_empty() || after.starts_with('\0') {
            rest = after;
            continue;
        }
        // The line may go on with a whole record: its writer did not see that another's tail was torn.
        let (bad, next) = after.split_at(find_record(after, mark).unwrap_or(after.len()));
        let solid = bad.trim_end_matches('\0');
        pieces.push(piece(PieceKind::Bad, solid));
        let (_, nul) = bad.split_at(solid.len());
        if !nul.is_empty() {
            pieces.push(piece(PieceKind::Nul, nul));
        }
        rest = next;
    }
    pieces
}

/// Splits off the objects that a text begins with. Anything else that is JSON by chance (a number, say) is no
/// record.
fn leading_objects(text: &str) -> (Vec<&str>, &str) {
    let mut values = Vec::new();
    let mut end = 0;
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    while let Some(Ok(value)) = stream.next() {
        if !value.get().starts_with('{') {
            break;
        }
        values.push(value.get());
        end = stream.byte_offset();
    }
    (values, text.get(end..).unwrap_or_default())
}

/// Finds a record in the text after a torn one: an object with the member `mark` from which on all is JSON.
///
/// Quotes inside strings are escaped, so `{"` begins an object wherever it stands. An object nested in the
/// torn record is not taken for one: something torn follows it, or it lacks the mark.
fn find_record(text: &str, mark: &str) -> Option<usize> {
    // Torn objects nested in each other would make this quadratic; no real line needs more than this.
    let mut budget = text.len().saturating_mul(8);
    for (start, _) in text.match_indices("{\"").filter(|(start, _)| *start > 0) {
        let candidate = text.get(start..)?;
        match record_end(candidate, mark) {
            Ok(()) => return Some(start),
            Err(looked_at) => budget = budget.checked_sub(looked_at)?,
        }
    }
    None
}

/// Whether a text is objects to its end, the first with the member `mark`. If not, how many bytes it took to
/// see.
fn record_end(text: &str, mark: &str) -> Result<(), usize> {
    let mut is_first = true;
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    for value in &mut stream {
        let value = value.map_err(|error| error.column())?.get();
        if std::mem::take(&mut is_first)
            && Members::parse(value).is_none_or(|members| members.get(mark).is_none())
        {
            return Err(value.len());
        }
    }
    Ok(())
}

/// The depth of a JSON text.
///
/// Searching for quotes is much faster than looking at every byte, and almost all bytes lie inside strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut is_string = false;
    for segment in text.split('"') {
        if is_string {
            // A quote after an odd number of backslashes is part of the string.
            let backslashes = segment.bytes().rev().take_while(|byte| *byte == b'\\').count();
            is_string = backslashes % 2 == 1;
            continue;
        }
        for byte in segment.bytes() {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        is_string = true;
    }
    deepest
}

/// Writes a JSON value as strict readers take it: without lone surrogates, and every key of an object once.
///
/// It calls itself for each level of nesting; [`DEPTH_MAX`] bounds that.
fn mend(text: &str, out: &mut String) {
    if let Some(members) = Members::parse(text) {
        let keys: Vec<String> =
            members.0.iter().map(|(key, _)| mended_string(&format!("\"{key}\""))).collect();
        let meaning = |key: &str| decode_string(key).map(Cow::into_owned);
        let last: BTreeMap<_, usize> =
            keys.iter().enumerate().map(|(index, key)| (meaning(key), index)).collect();
        let kept = keys.iter().zip(&members.0).enumerate();
        let kept = kept.filter(|(index, (key, _))| last.get(&meaning(key)) == Some(index));
        out.push('{');
        for (written, (_, (key, (_, value)))) in kept.enumerate() {
            write_key(out, written, inside_quotes(key));
            mend(value, out);
        }
        out.push('}');
    } else if let Some(values) = json::elements(text) {
        out.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            mend(value, out);
        }
        out.push(']');
    } else {
        out.push_str(&mended_string(text));
    }
}

/// A JSON string without lone surrogates; anything else as it is.
fn mended_string(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('\\') {
        let (plain, escape) = rest.split_at(start);
        out.push_str(plain);
        let (bytes, is_lone) = match (utf16_unit(escape), escape.get(6..).and_then(utf16_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
            (Some(unit), _) => (6, (0xd800..=0xdfff).contains(&unit)),
            (None, _) => (2, false),
        };
        let (escape, after) = escape.split_at_checked(bytes).unwrap_or((escape, ""));
        out.push_str(if is_lone { "\\ufffd" } else { escape });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Reads the `\uXXXX` that a text begins with.
fn utf16_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// The members of a JSON object as text, in their order: keys without their quotes, values verbatim.
///
/// Keys are compared as they are written; no writer escapes the letters of the names that are looked for.
/// Where a key occurs twice the last one counts, as for the programs that wrote these files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members<'a>(pub Vec<(&'a str, &'a str)>);

impl<'a> Members<'a> {
    /// Reads an object; `None` where the text is something else.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As [`Members::parse`], of JSON that was checked before: where its values end is all that is looked for.
    pub(crate) fn of_checked(text: &'a str) -> Option<Self> {
        let borrowed = |(key, value)| match key {
            Cow::Borrowed(key) => Some((key, value)),
            Cow::Owned(_) => None,
        };
        let members = json::members(text)?;
        // A key with escapes is wanted as it is written.
        members
            .into_iter()
            .map(borrowed)
            .collect::<Option<_>>()
            .map_or_else(|| Self::parse(text), |all| Some(Self(all)))
    }

    /// The place of the member that counts under `key`.
    pub fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().rposition(|(name, _)| *name == key)
    }

    /// The value of a member, as JSON text.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rfind(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The value of a member that is a string.
    pub fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        decode_string(self.get(key)?)
    }

    /// Whether a member is `true`.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// Whether a member is there and a string, whatever stands in it.
    pub fn has_string(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_string)
    }

    /// Whether a key occurs twice, or has escapes and so may be another key in other letters.
    pub fn has_doubtful_key(&self) -> bool {
        let mut keys: Vec<&str> = self.0.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        let is_repeated = |pair: &[&str]| matches!(pair, [first, second] if first == second);
        keys.windows(2).any(is_repeated) || keys.iter().any(|key| key.contains('\\'))
    }

    /// Writes the object without whitespace.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (key, value)) in self.0.iter().enumerate() {
            write_key(out, index, key);
            out.push_str(value);
        }
        out.push('}');
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push((inside_quotes(key.get()), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Writes `"key":`, after a comma unless it is the object's first.
pub(crate) fn write_key(out: &mut String, index: usize, key: &str) {
    if index > 0 {
        out.push(',');
    }
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
}

/// Whether a JSON text is a string.
pub fn is_string(value: &str) -> bool {
    value.starts_with('"')
}

/// Reads a JSON string. `None` for another value, and for a lone surrogate, which no Rust string can hold.
pub fn decode_string(value: &str) -> Option<Cow<'_, str>> {
    if !is_string(value) {
        return None;
    }
    match value.contains('\\') {
        false => Some(Cow::Borrowed(inside_quotes(value))),
        true => serde_json::from_str(value).ok().map(Cow::Owned),
    }
}

fn inside_quotes(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// File order, except that a parent that stands later than its child comes before it.
pub(crate) fn parents_first(parents: &[Option<usize>]) -> Vec<usize> {
    let mut is_placed = vec![false; parents.len()];
    let mut order = Vec::with_capacity(parents.len());
    for start in 0..parents.len() {
        let mut waiting = Vec::new();
        let mut next = Some(start);
        while let Some(index) = next
            && let Some(is_placed) = is_placed.get_mut(index)
            && !*is_placed
        {
            // Set before it is placed: entries that are each other's ancestors end the walk too.
            *is_placed = true;
            waiting.push(index);
            next = parents.get(index).copied().flatten();
        }
        order.extend(waiting.into_iter().rev());
    }
    order
}

/// Whether a text can be an id in the store, and a part of a longer one.
pub fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX / 3).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Cuts a text to at most `bytes_max` bytes, between two characters.
pub fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// A 64-bit fingerprint (FNV-1a) for keys that must be the same in every release; equal fingerprints prove
/// nothing.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Reads `YYYY-MM-DDTHH:MM:SSZ`, with one to nine digits after the seconds or none, as milliseconds since
/// 1970. `None` for anything else: another zone, a day that does not exist, a time before 1970.
pub fn parse_utc_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month_day) = date.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let (hour, minute_second) = time.split_once(':')?;
    let (minute, second) = minute_second.split_once(':')?;
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    if !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let fraction_ms =
        digits(fraction, fraction.len())? * 1000 / 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let is_day = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_1970(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1000 + fraction_ms)
}

/// Reads exactly `count` decimal digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that the leap
/// day is the last day of its year and the months before it have a regular pattern.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, months_since_march) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Reads lines of the made-up format whose records have a member `m`.
    fn read(bytes: &[u8]) -> (Vec<String>, Import) {
        let mut import = Import::default();
        let mut texts = Vec::new();
        read_records(&mut &*bytes, "m", &mut import, |_, record| texts.push(record.text));
        assert_eq!(import.records, texts.len() as u64);
        (texts, import)
    }

    /// Checks which values are taken and which problems are noted, each as `line offset bytes what`.
    fn check(bytes: &[u8], values: &[&str], problems: &[&str]) {
        let (texts, import) = read(bytes);
        assert_eq!(texts, values);
        let told = |p: &Problem| format!("{} {} {} {}", p.line, p.offset, p.bytes, p.what);
        assert_eq!(import.problems.iter().map(told).collect::<Vec<_>>(), problems);
    }

    #[test]
    fn a_last_line_without_newline_is_whole() {
        check(b"{\"m\":1}\n{\"m\":2}", &["{\"m\":1}", "{\"m\":2}"], &[]);
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        check(b"{\"m\":1}\n{\"m\":\"ab", &["{\"m\":1}"], &["2 8 8 a torn last line"]);
    }

    #[test]
    fn a_bad_line_in_the_middle_costs_only_itself() {
        check(b"{\"m\":1}\noh no\n{\"m\":2}\n", &["{\"m\":1}", "{\"m\":2}"], &["2 8 5 not JSON"]);
    }

    #[test]
    fn a_splinter_that_is_json_by_chance_is_no_record() {
        check(b"12 monkeys\n", &[], &["1 0 10 not JSON"]);
        assert_eq!(read(b"12\xFF\n").0.len(), 0);
    }

    #[test]
    fn empty_lines_are_skipped_and_counted() {
        let (texts, import) = read(b"\n\r\n{\"m\":1}\r\n  \n");
        assert_eq!((texts.len(), import.lines, import.problems.len()), (1, 4, 0));
    }

    #[test]
    fn objects_glued_on_one_line_are_all_taken() {
        let both = ["{\"m\":1}", "{\"type\":\"summary\"}"];
        let noted = ["1 0 26 several objects on one line; all are taken"];
        check(b"{\"m\":1}{\"type\":\"summary\"}\n", &both, &noted);
    }

    #[test]
    fn a_record_fused_to_a_torn_one_is_taken() {
        let noted = ["1 0 8 not JSON"];
        check(b"{\"m\":\"to{\"m\":2}\n{\"m\":3}\n", &["{\"m\":2}", "{\"m\":3}"], &noted);
    }

    #[test]
    fn an_object_nested_in_a_torn_record_is_not_taken_for_a_record() {
        check(b"{\"m\":[{\"a\":1}\n", &[], &["1 0 13 not JSON"]);
        check(b"{\"m\":[{\"m\":1},\n", &[], &["1 0 14 not JSON"]);
    }

    #[test]
    fn nul_bytes_of_a_hole_cost_no_record() {
        check(b"\0\0{\"m\":1}\n", &["{\"m\":1}"], &["1 0 2 NUL bytes"]);
        check(b"{\"m\":1}\0\0", &["{\"m\":1}"], &["1 7 2 NUL bytes"]);
        check(b"\0\0\0\n", &[], &["1 0 3 NUL bytes"]);
        check(b"{\"m\":\"a\0b\"}\n", &[], &["1 0 11 not JSON"]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_noted_and_records_beside_the_bad_bytes_are_taken() {
        let what = "a line that is not UTF-8; records around the bad bytes are taken";
        check(b"{\"m\":\"\xFF\"}\n{\"m\":2}\n", &["{\"m\":2}"], &[&format!("1 0 10 {what}")]);
        check(b"{\"m\":\"\xE2\x82{\"m\":2}\n", &["{\"m\":2}"], &[&format!("1 0 16 {what}")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check(b"\xEF\xBB\xBF{\"m\":1}\nx\n", &["{\"m\":1}"], &["2 11 1 not JSON"]);
    }

    #[test]
    fn spaces_go_but_those_in_strings_stay() {
        let spaced = b"{ \"m\" : [ 1.0 , \"a \\\" b \\\\\" , \" \" ] }\n";
        check(spaced, &["{\"m\":[1.0,\"a \\\" b \\\\\",\" \"]}"], &[]);
    }

    /// Lines that a file gave, of which not all could be read.
    struct Broken(Vec<Line<'static>>);

    impl Lines for Broken {
        fn next_line(&mut self) -> Option<Line<'_>> {
            if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
        }
    }

    #[test]
    fn a_line_that_is_passed_over_is_noted_with_its_place_and_costs_only_itself() {
        let mut lines = Broken(vec![
            Line::Whole(b"{\"m\":1}\n"),
            Line::TooLong(1 << 40),
            Line::Whole(b"{\"m\":2}\n"),
            Line::Unreadable("torn".to_owned()),
            Line::Whole(b"{\"m\":3}\n"),
        ]);
        let (mut import, mut texts) = (Import::default(), Vec::new());
        read_records(&mut lines, "m", &mut import, |_, record| texts.push(record.text));
        assert_eq!(texts, ["{\"m\":1}", "{\"m\":2}"]);
        let told: Vec<_> = import.problems.iter().map(|p| (p.line, p.offset, p.bytes)).collect();
        assert_eq!(told, [(2, 8, 1 << 40), (4, 16 + (1 << 40), 0)]);
        assert!(import.problems[0].what.contains("1099511627776 bytes"));
        assert!(import.problems[1].what.ends_with("torn"));
    }

    #[test]
    fn nesting_is_taken_up_to_the_limit() {
        let nested = |depth: usize| format!("{{\"m\":{}{}}}\n", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(read(nested(DEPTH_MAX).as_bytes()).0.len(), 1);
        let (texts, import) = read(nested(DEPTH_MAX + 1).as_bytes());
        assert_eq!((texts.len(), import.problems[0].what.as_str()), (0, "nested too deeply; not taken"));
        assert_eq!(read(nested(1_000_000).as_bytes()).1.problems.len(), 1);
    }

    #[test]
    fn brackets_in_strings_are_no_nesting() {
        for before in ["", "\\\"", "\\\\", "\\\\\\\""] {
            assert_eq!(read(format!("{{\"m\":\"{before}{}\"}}", "[".repeat(500)).as_bytes()).0.len(), 1);
        }
        let after_backslash = format!("{{\"m\":[\"\\\\\",{}{}]}}", "[".repeat(500), "]".repeat(500));
        assert_eq!(read(after_backslash.as_bytes()).0.len(), 0);
    }

    #[test]
    fn what_strict_readers_refuse_is_mended_and_kept() {
        for (text, mended) in [
            (r#"{"m":"\ud83d"}"#, r#"{"m":"\ufffd"}"#),
            (r#"{"m":"\\ud83d \ud83d"}"#, r#"{"m":"\\ud83d \ufffd"}"#),
            (
                r#"{"m":"a\\\ud83d\ude00\uDE00b\ud800\u0041\ud800"}"#,
                r#"{"m":"a\\\ud83d\ude00\ufffdb\ufffd\u0041\ufffd"}"#,
            ),
            (r#"{ "a" : 1 , "m" : 1.0 , "a" : [ "\udfff" ] }"#, r#"{"m":1.0,"a":["\ufffd"]}"#),
            (r#"{"\ud800":1,"\udfff":2}"#, r#"{"\ufffd":2}"#),
            (r#"{"m":{"k":1,"\u006b":{}}}"#, r#"{"m":{"\u006b":{}}}"#),
        ] {
            let mut import = Import::default();
            let mut records = Vec::new();
            read_records(&mut text.as_bytes(), "m", &mut import, |_, r| {
                records.push((r.text.clone(), r.source().to_owned()));
            });
            assert_eq!(records, [(mended.to_owned(), text.to_owned())]);
            assert!(import.problems[0].what.contains("strict readers"));
            assert_eq!(json::minify(mended).unwrap(), mended);
        }
    }

    #[test]
    fn problems_are_listed_up_to_a_number() {
        let (_, import) = read("x\n".repeat(PROBLEMS_MAX + 50).as_bytes());
        assert_eq!(import.problems.len(), PROBLEMS_MAX + 1);
        assert!(import.problems[PROBLEMS_MAX].what.contains("more problems"));
        assert_eq!(import.lines, PROBLEMS_MAX as u64 + 50);
    }

    #[test]
    fn damage_in_one_line_takes_linear_time() {
        // Quadratic work on these would take hours.
        read("{\"m\":".repeat(300_000).as_bytes());
        read(format!("x{}y", "{\"m\":1}".repeat(300_000)).as_bytes());
        read(format!("x{}y", "{\"a\":1}".repeat(300_000)).as_bytes());
        read("\0{\"".repeat(300_000).as_bytes());
        read(&b"\xFF{\"m\":1}".repeat(100_000));
    }

    #[test]
    fn the_last_of_repeated_keys_counts_and_all_are_kept() {
        let members = Members::parse("{\"a\":1e400,\"b\":2,\"a\":3}").unwrap();
        assert_eq!((members.get("a"), members.position("a")), (Some("3"), Some(2)));
        assert!(members.has_doubtful_key());
        let mut out = String::new();
        members.write(&mut out);
        assert_eq!(out, "{\"a\":1e400,\"b\":2,\"a\":3}");
    }

    #[test]
    fn a_lone_surrogate_is_no_string() {
        assert_eq!(decode_string("\"a\\ud800\""), None);
        assert_eq!(decode_string("\"a\\ud83d\\ude00\"").as_deref(), Some("a\u{1F600}"));
        assert_eq!(decode_string("1"), None);
    }

    #[test]
    fn times_are_read_to_the_millisecond() {
        assert_eq!(parse_utc_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_utc_ms("2025-09-03T00:47:19.293Z"), Some(1_756_860_439_293));
        assert_eq!(parse_utc_ms("2000-02-29T23:59:59.5Z"), Some(951_868_799_500));
        assert_eq!(parse_utc_ms("2024-12-31T23:59:59.999999999Z"), Some(1_735_689_599_999));
        assert_eq!(parse_utc_ms("9999-12-31T23:59:59.999Z"), Some(253_402_300_799_999));
    }

    #[test]
    fn times_that_are_none_are_refused() {
        for text in [
            "",
            "Z",
            "2025-09-03",
            "2025-09-03T00:47:19.293",
            "2025-09-03T00:47:19+00:00",
            "2025-09-03 00:47:19Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:60Z",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00.1234567890Z",
            "2025-1-01T00:00:00Z",
            "+025-01-01T00:00:00Z",
            "2025-01-01T00:00:00.1:2Z",
            "20\u{0662}5-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_utc_ms(text), None, "{text}");
        }
    }
}
