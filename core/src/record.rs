//! Records and their lines: the bytes of a log.
//!
//! The authority on every byte is docs/format.md. This module writes and reads single records; it knows nothing of
//! what they mean together (that is the fold) nor of where they lie (that is the log).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crc::{CRC_32_ISCSI, Crc, Digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::facts::Facts;
use crate::limits::NUMBER_MAX;
use crate::planted::{Planted, planted};
use crate::table::{Change, Table};

/// How every record begins. Its one space cannot occur between tokens of what callers give (that is minified), and a
/// bare quote cannot occur in a string: so these bytes are nowhere but at the beginning of a record.
pub const MARKER: &str = "{\"t\": \"";
/// How the checksum begins.
const SUM: &str = ",\"c\":\"";
/// The length of the checksum with all that encloses it: `,"c":"01234567"}`.
pub const TRAILER_LEN: usize = 16;

/// CRC-32C. Tables of 16 lanes are about as fast as the component can be without instructions of its own.
static CASTAGNOLI: Crc<u32, crc::Table<16>> = Crc::<u32, crc::Table<16>>::new(&CRC_32_ISCSI);

/// The checksum of any bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    CASTAGNOLI.checksum(bytes)
}

/// What the checksums of a log's records have of the log's name, so that a record counts nowhere else: what a file system
/// shows of another file, one that was removed among them, is damage here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// The salt of the log at `path`, from the root of the store.
    pub fn of(path: &str) -> Self {
        Self(if planted(Planted::RecordsOfOthers) { 0 } else { checksum(path.as_bytes()) })
    }
}

/// What a record is.
#[derive(Debug)]
pub enum Record<'a> {
    /// The first record of a log: whose it is and how it began.
    Session(Box<SessionRecord<'a>>),
    /// Messages behind the head.
    Append(AppendRecord<'a>),
    /// Text behind the text of a message's part.
    Text(TextRecord<'a>),
    /// A change of a message.
    Update(UpdateRecord<'a>),
    /// Another head.
    Head(HeadRecord<'a>),
    /// A change of the session's facts.
    Facts(FactsRecord<'a>),
    /// A change of the table.
    Change(ChangeRecord<'a>),
    /// The fold as of an earlier offset.
    Check(Box<CheckRecord>),
    /// The end of a generation.
    Seal(SealRecord<'a>),
    /// The end of the session.
    Purge(PurgeRecord<'a>),
    /// A session of the catalogue.
    Entry(Box<EntryRecord>),
    /// A session that is being written.
    Open(OpenRecord<'a>),
    /// What a catalogue's log says up to an earlier offset, for those who begin to read there.
    Point(Box<PointRecord>),
    /// The beginning of a catalogue.
    Catalogue(CatalogueRecord),
    /// Where a session of a scope stands in a catalogue.
    Ref(RefRecord<'a>),
    /// A type or shape that this version does not know: kept and counted.
    Unknown,
}

/// What all records that change a session carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp<'a> {
    /// A ULID of the record's own.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When, in ms.
    pub at: u64,
    /// The offset up to which the writer had folded the log.
    pub b: u64,
    /// The caller's operation id.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Cow<'a, str>>,
    /// The head that the caller expects: the record does not count where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
}

/// See [`Record::Session`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionRecord<'a> {
    /// The format's version.
    pub v: u32,
    /// The session's id.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// The generation.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The record's own id: tells creators that raced apart.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When, in ms.
    pub at: u64,
    /// The facts at the beginning.
    pub facts: Facts,
    /// What a fork begins with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Segment>,
    /// Changes of those messages by the forks that they came through, in the order in which they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<Segment>,
}

/// A run of messages of another log that a fork begins with, or, in `over`, a log whose changes of the messages `a` to
/// `z` of the fork apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The session's id.
    pub s: String,
    /// The generation.
    pub g: u32,
    /// The first message, in that log's own numbers.
    pub a: u64,
    /// The last message.
    pub z: u64,
    /// The size of that log at the time of the fork: nothing behind it is seen.
    pub u: u64,
}

/// See [`Record::Append`]. What most bytes of a log are: its messages are neither parsed nor copied on the way.
#[derive(Debug, Deserialize)]
#[serde(from = "AppendMembers<'_>", bound(deserialize = "'de: 'a"))]
pub struct AppendRecord<'a> {
    /// Who, when, on what condition. The id is the first message's; the next ones count up from it.
    pub stamp: Stamp<'a>,
    /// How many messages the writer knew of.
    pub n: u64,
    /// The visible message that they come behind (0: they are the first), where that is not the head: what lies behind it
    /// is hidden by the same record.
    pub keep: Option<u64>,
    /// The messages, minified.
    pub m: Vec<&'a str>,
}

/// The members of an [`AppendRecord`] as they stand in its line, one by one: what serde flattens it copies first.
#[derive(Deserialize)]
struct AppendMembers<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    at: u64,
    b: u64,
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(default)]
    head: Option<u64>,
    n: u64,
    #[serde(default)]
    keep: Option<u64>,
    #[serde(borrow)]
    m: Vec<&'a RawValue>,
}

/// The members of an [`AppendRecord`] before its messages.
#[derive(Serialize)]
struct AppendHead<'a> {
    #[serde(flatten)]
    stamp: &'a Stamp<'a>,
    n: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<u64>,
}

impl<'a> From<AppendMembers<'a>> for AppendRecord<'a> {
    fn from(members: AppendMembers<'a>) -> Self {
        let AppendMembers { id, at, b, op, head, n, keep, m } = members;
        Self { stamp: Stamp { id, at, b, op, head }, n, keep, m: m.into_iter().map(RawValue::get).collect() }
    }
}

/// See [`Record::Text`]. Written once per streamed piece, therefore so short.
#[derive(Debug, Serialize, Deserialize)]
pub struct TextRecord<'a> {
    /// The message.
    pub m: u64,
    /// The part, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p: u64,
    /// The length of the part's text before, in bytes: the record counts only there.
    pub o: u64,
    /// The text.
    #[serde(borrow)]
    pub x: Cow<'a, str>,
}

/// See [`Record::Update`].
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
    /// The message.
    pub m: u64,
    /// A merge patch.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<&'a RawValue>,
    /// Parts to add at the end.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<&'a RawValue>,
}

/// Why the head moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Messages were hidden; an unrevert shows them again until the next append.
    Revert,
    /// What the last revert hid is shown again.
    Unrevert,
    /// Another branch was chosen.
    Branch,
}

/// See [`Record::Head`].
#[derive(Debug, Serialize, Deserialize)]
pub struct HeadRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
    /// Why.
    pub why: Why,
    /// The last message that stays (0: none).
    #[serde(default)]
    pub keep: u64,
    /// The ranges that come behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(u64, u64)>,
    /// The caller's note.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a RawValue>,
}

/// See [`Record::Facts`].
#[derive(Debug, Serialize, Deserialize)]
pub struct FactsRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
    /// A merge patch of the facts.
    #[serde(borrow)]
    pub set: &'a RawValue,
}

/// See [`Record::Change`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
    /// What changes, and on what further conditions.
    #[serde(borrow, rename = "table")]
    pub change: Change<'a>,
    /// A merge patch of the facts that goes with it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<&'a RawValue>,
}

/// See [`Record::Check`]: the fold's state in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// The offset of which this is the state.
    pub upto: u64,
    /// How many messages there are, inherited ones included.
    pub n: u64,
    /// How many of them are inherited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inherited: u64,
    /// The generation.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The session's id.
    pub session: String,
    /// The facts.
    pub facts: Facts,
    /// The visible path.
    pub path: Vec<(u64, u64)>,
    /// The path before the revert that can still be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Vec<(u64, u64)>>,
    /// The offset from which on `ops` is complete.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub window: u64,
    /// The `upto` of the checkpoint before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last: u64,
    /// Operations since `window`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops: Vec<OpRecord>,
    /// Records of unknown type so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
    /// Whether inherited messages were changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub touched: bool,
    /// The table.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub table: Table,
}

/// An operation that counted: where it stands, the fingerprint of its id, its first message and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpRecord(pub u64, pub String, pub u64, pub u64);

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rewrite {
    /// To merge updates into their messages.
    Compact,
    /// To hold the inherited messages too.
    Detach,
}

/// See [`Record::Seal`]. The next generation is a function of the log up to here, so that anybody can write it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SealRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
    /// What the next generation is.
    pub why: Rewrite,
}

/// See [`Record::Purge`].
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeRecord<'a> {
    /// Who, when, on what condition.
    #[serde(flatten, borrow)]
    pub stamp: Stamp<'a>,
}

/// See [`Record::Entry`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// The session's id.
    pub session: String,
    /// The generation.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The size of the log that this was read from.
    pub size: u64,
    /// How many messages are visible.
    pub n: u64,
    /// The head.
    pub head: u64,
    /// Whether a revert can be undone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo: bool,
    /// The facts.
    pub facts: Facts,
    /// The writer that has finished with the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
    /// Whether the session is gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
    /// Whether that log had ended by a seal: then another has the session by now, though this one may stay for forks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sealed: bool,
    /// Writers that have not finished yet: writer to time. Not stored: each has an `open` record.
    #[serde(skip)]
    pub writers: BTreeMap<String, u64>,
}

/// See [`Record::Open`].
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenRecord<'a> {
    /// The session's id.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// The writer.
    #[serde(borrow)]
    pub writer: Cow<'a, str>,
    /// When, in ms.
    pub at: u64,
}

/// See [`Record::Point`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// The offset up to which it tells.
    pub upto: u64,
    /// When the session changed that changed last of all before it, in ms.
    pub newest: u64,
    /// The sessions that somebody was writing to then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenSession>,
}

/// A session that somebody is writing to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSession {
    /// The session's id.
    pub session: String,
    /// Who has said that they write: writer to time.
    pub writers: BTreeMap<String, u64>,
    /// Its last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Box<EntryRecord>>,
}

/// See [`Record::Catalogue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueRecord {
    /// The format's version.
    pub v: u32,
    /// The generation.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// How many sessions the snapshot holds.
    pub sessions: u64,
    /// The length in bytes of the sessions' lines, which follow, newest first.
    pub lines: u64,
    /// The length in bytes of the references' lines, which follow those, by scope and then newest first.
    pub refs: u64,
}

/// See [`Record::Ref`].
#[derive(Debug, Serialize, Deserialize)]
pub struct RefRecord<'a> {
    /// The fingerprint of the scope.
    #[serde(borrow)]
    pub scope: Cow<'a, str>,
    /// When the session last changed, in ms.
    pub updated: u64,
    /// The session's id.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// Where its line begins, from the first session's line on.
    pub at: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Record<'_> {
    /// The type's name on disk.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Append(_) => "append",
            Self::Text(_) => "+",
            Self::Update(_) => "update",
            Self::Head(_) => "head",
            Self::Facts(_) => "facts",
            Self::Change(_) => "change",
            Self::Check(_) => "check",
            Self::Seal(_) => "seal",
            Self::Purge(_) => "purge",
            Self::Entry(_) => "entry",
            Self::Open(_) => "open",
            Self::Point(_) => "point",
            Self::Catalogue(_) => "catalogue",
            Self::Ref(_) => "ref",
            Self::Unknown => "",
        }
    }

    /// The record's own id, where it has one.
    pub fn stamp(&self) -> Option<&Stamp<'_>> {
        match self {
            Self::Append(record) => Some(&record.stamp),
            Self::Update(record) => Some(&record.stamp),
            Self::Head(record) => Some(&record.stamp),
            Self::Facts(record) => Some(&record.stamp),
            Self::Change(record) => Some(&record.stamp),
            Self::Seal(record) => Some(&record.stamp),
            Self::Purge(record) => Some(&record.stamp),
            _ => None,
        }
    }

    /// The record as a line of the log with that salt, with its newline.
    pub fn line(&self, salt: Salt) -> String {
        finish(self.open_text(), salt)
    }

    /// The record as JSON without a checksum, for who keeps it in memory: [`Record::of_checked`] reads it.
    pub fn text(&self) -> String {
        self.open_text() + "}"
    }

    /// The record up to its checksum.
    fn open_text(&self) -> String {
        let body = match self {
            Self::Session(record) => serde_json::to_string(record),
            Self::Append(record) => return record.open_text(),
            Self::Text(record) => serde_json::to_string(record),
            Self::Update(record) => serde_json::to_string(record),
            Self::Head(record) => serde_json::to_string(record),
            Self::Facts(record) => serde_json::to_string(record),
            Self::Change(record) => serde_json::to_string(record),
            Self::Check(record) => serde_json::to_string(record),
            Self::Seal(record) => serde_json::to_string(record),
            Self::Purge(record) => serde_json::to_string(record),
            Self::Entry(record) => serde_json::to_string(record),
            Self::Open(record) => serde_json::to_string(record),
            Self::Point(record) => serde_json::to_string(record),
            Self::Catalogue(record) => serde_json::to_string(record),
            Self::Ref(record) => serde_json::to_string(record),
            Self::Unknown => return String::new(),
        };
        // Maps with text keys and no failing serializer: writing them cannot fail.
        let body = body.as_deref().unwrap_or("{}");
        let mut text = begin(self.kind(), body.len());
        push_members(&mut text, body);
        text
    }

    /// Reads a record from a line, without its newline, of the log with that salt, or `None` where its checksum does not
    /// fit.
    pub fn parse(line: &[u8], salt: Salt) -> Option<(Record<'_>, &str)> {
        let text = verify(line, salt)?;
        Some((Self::of_checked(text), text))
    }

    /// Reads a record from a text whose checksum is known to fit.
    pub fn of_checked(text: &str) -> Record<'_> {
        Self::parse_verified(text).unwrap_or(Record::Unknown)
    }

    fn parse_verified(text: &str) -> Option<Record<'_>> {
        let kind = text.strip_prefix(MARKER)?.split('"').next()?;
        Some(match kind {
            "session" => Record::Session(read(text)?),
            "append" => Record::Append(read(text).filter(|record: &AppendRecord<'_>| record.is_sound())?),
            "+" => Record::Text(
                read(text)
                    .filter(|record: &TextRecord<'_>| record.m <= NUMBER_MAX && record.o <= NUMBER_MAX)?,
            ),
            "update" => Record::Update(
                read(text)
                    .filter(|record: &UpdateRecord<'_>| record.stamp.is_sound() && record.m <= NUMBER_MAX)?,
            ),
            "head" => Record::Head(read(text).filter(|record: &HeadRecord<'_>| record.stamp.is_sound())?),
            "facts" => Record::Facts(read(text).filter(|record: &FactsRecord<'_>| record.stamp.is_sound())?),
            "change" => {
                Record::Change(read(text).filter(|record: &ChangeRecord<'_>| record.stamp.is_sound())?)
            }
            "check" => Record::Check(read::<Box<CheckRecord>>(text).filter(|record| record.is_sound())?),
            "seal" => Record::Seal(read(text).filter(|record: &SealRecord<'_>| record.stamp.is_sound())?),
            "purge" => Record::Purge(read(text).filter(|record: &PurgeRecord<'_>| record.stamp.is_sound())?),
            "entry" => Record::Entry(read(text)?),
            "open" => Record::Open(read(text)?),
            "point" => Record::Point(read(text)?),
            "catalogue" => Record::Catalogue(read(text)?),
            "ref" => Record::Ref(read(text)?),
            _ => return None,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

impl Stamp<'_> {
    /// A checksum proves that we wrote a record, not that its numbers are sane.
    fn is_sound(&self) -> bool {
        self.at <= NUMBER_MAX
            && self.b <= NUMBER_MAX
            && self.head.unwrap_or(0) <= NUMBER_MAX
            && crate::id::parse_ulid(&self.id).is_some()
    }
}

impl AppendRecord<'_> {
    fn open_text(&self) -> String {
        let head = AppendHead { stamp: &self.stamp, n: self.n, keep: self.keep };
        let head = serde_json::to_string(&head).unwrap_or_default();
        let bytes = self.m.iter().map(|message| message.len() + 1).sum::<usize>();
        let mut line = begin("append", head.len() + bytes);
        push_members(&mut line, &head);
        line.push_str(",\"m\":[");
        for (place, message) in self.m.iter().enumerate() {
            line.push_str(if place > 0 { "," } else { "" });
            line.push_str(message);
        }
        line.push(']');
        line
    }

    fn is_sound(&self) -> bool {
        self.stamp.is_sound() && self.n <= NUMBER_MAX && !self.m.is_empty()
    }
}

impl CheckRecord {
    fn is_sound(&self) -> bool {
        let path = crate::path::Path::new(self.path.clone());
        [self.upto, self.n, self.window, self.last].iter().all(|number| *number <= NUMBER_MAX)
            && self.inherited <= self.n
            && path.is_some_and(|path| path.head() <= self.n)
            && self.undo.as_ref().is_none_or(|undo| {
                crate::path::Path::new(undo.clone()).is_some_and(|path| path.head() <= self.n)
            })
            && self.ops.iter().all(|op| op.2 <= NUMBER_MAX && op.3 <= NUMBER_MAX)
    }
}

/// The beginning of a line whose members have about so many bytes.
fn begin(kind: &str, bytes: usize) -> String {
    let mut line = String::with_capacity(bytes + kind.len() + 64);
    line.push_str(MARKER);
    line.push_str(kind);
    line.push('"');
    line
}

/// Adds the members of a JSON object.
fn push_members(line: &mut String, body: &str) {
    let members = body.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if !members.is_empty() {
        line.push(',');
        line.push_str(members);
    }
}

/// Adds the checksum and the line's end.
fn finish(mut line: String, salt: Salt) -> String {
    let sum = sum_over(line.as_bytes(), salt);
    line.push_str(SUM);
    line.push_str(&format!("{sum:08x}\"}}\n"));
    line
}

/// A record of another log, whose checksum fitted there, as a line of the log with that salt.
pub fn carried(text: &str, salt: Salt) -> String {
    let covered = text.len().checked_sub(TRAILER_LEN).and_then(|length| text.get(..length));
    finish(covered.unwrap_or_default().to_owned(), salt)
}

/// The text of a line, without its newline, of the log with that salt, where marker and checksum fit.
pub fn verify(line: &[u8], salt: Salt) -> Option<&str> {
    let (covered, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER_LEN)?)?;
    let fits = line.starts_with(MARKER.as_bytes()) && sum_of(trailer) == Some(sum_over(covered, salt));
    if fits || planted(Planted::ChecksumIgnored) { std::str::from_utf8(line).ok() } else { None }
}

fn sum_over(covered: &[u8], salt: Salt) -> u32 {
    let header = if planted(Planted::ChecksumWithoutHeader) { covered.len().min(100) } else { 0 };
    checksum(covered.get(header..).unwrap_or_default()) ^ salt.0
}

/// The checksum that a trailer, which has its length, states.
fn sum_of(trailer: &[u8]) -> Option<u32> {
    let digits = trailer.strip_prefix(SUM.as_bytes())?.strip_suffix(b"\"}")?;
    if !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The length of the record of the log with that salt at the beginning of `bytes`, where something else follows it
/// without a newline.
pub fn leading_record(bytes: &[u8], salt: Salt) -> Option<usize> {
    if !bytes.starts_with(MARKER.as_bytes()) {
        return None;
    }
    let mut digest: Digest<'_, u32, crc::Table<16>> = CASTAGNOLI.digest();
    let mut covered = 0;
    for place in occurrences(bytes, SUM.as_bytes()) {
        digest.update(bytes.get(covered..place)?);
        covered = place;
        let end = place + TRAILER_LEN;
        if bytes.get(place..end).and_then(sum_of) == Some(digest.clone().finalize() ^ salt.0) {
            return std::str::from_utf8(bytes.get(..end)?).ok().map(str::len);
        }
    }
    None
}

/// Where `pattern` occurs in `bytes`.
pub fn occurrences<'a>(bytes: &'a [u8], pattern: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(bytes, pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(0x0102_0304);

    /// A JSON object as a line of type `kind`.
    fn framed(kind: &str, body: &str) -> String {
        let mut line = begin(kind, 0);
        push_members(&mut line, body);
        finish(line, SALT)
    }

    fn text(m: u64, x: &str) -> String {
        Record::Text(TextRecord { m, p: 0, o: 5, x: x.into() }).line(SALT)
    }

    #[test]
    fn a_record_is_a_line_that_people_and_tools_can_read() {
        assert_eq!(text(3, "a\"b"), "{\"t\": \"+\",\"m\":3,\"o\":5,\"x\":\"a\\\"b\",\"c\":\"0eedc902\"}\n");
    }

    #[test]
    fn a_record_counts_in_its_own_log_alone() {
        let path = "sessions/0/l-00000000000000000000000000-000001.jsonl";
        let line = Record::Text(TextRecord { m: 3, p: 0, o: 0, x: "a".into() }).line(Salt::of(path));
        let line = line.trim_end();
        assert!(Record::parse(line.as_bytes(), Salt::of(path)).is_some());
        assert_eq!(leading_record(line.as_bytes(), Salt::of(path)), Some(line.len()));
        for other in [path.replace("-000001", "-000002"), path.replace("0-", "1-"), String::new()] {
            let salt = Salt::of(&other);
            assert!(Record::parse(line.as_bytes(), salt).is_none(), "{other}");
            assert_eq!(leading_record(line.as_bytes(), salt), None, "{other}");
            let carried = carried(line, salt);
            assert!(Record::parse(carried.trim_end().as_bytes(), salt).is_some(), "{other}");
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let line = text(3, "hello");
        let line = line.trim_end().as_bytes();
        assert!(Record::parse(line, SALT).is_some());
        for place in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[place] ^= 1 << bit;
                assert!(Record::parse(&changed, SALT).is_none(), "byte {place} bit {bit}");
            }
            assert!(Record::parse(&line[..place], SALT).is_none());
        }
    }

    #[test]
    fn a_record_is_found_before_garbage() {
        let line = text(3, "with \"c\":\"00000000\"} inside");
        let line = line.trim_end();
        assert_eq!(
            leading_record(format!("{line}\0\0garbage,\"c\":\"00000000\"}}").as_bytes(), SALT),
            Some(line.len())
        );
        assert_eq!(leading_record(&line.as_bytes()[..line.len() - 1], SALT), None);
    }

    #[test]
    fn a_record_with_numbers_that_nobody_writes_is_kept_as_unknown() {
        const HUGE: u64 = NUMBER_MAX + 1;
        let id = "01JD0000000000000000000000";
        let stamp = |at: u64, b: u64, head: u64| {
            format!("{{\"id\":\"{id}\",\"at\":{at},\"b\":{b},\"head\":{head},\"n\":0,\"m\":[{{}}]}}")
        };
        let check = |members: &str| {
            format!(
                "{{\"upto\":1,\"n\":2,\"gen\":1,\"session\":\"s\",\"facts\":{{\"scope\":\"\",\"status\":\"idle\",\"created\":1,\"updated\":1,\"accessed\":1,\"active\":1}},\"path\":[[1,2]]{members}}}"
            )
        };
        let is_known = |kind: &str, body: &str| {
            let line = framed(kind, body);
            let (record, _) = Record::parse(line.trim_end().as_bytes(), SALT).unwrap();
            !matches!(record, Record::Unknown)
        };
        assert!(is_known("append", &stamp(1, 1, 1)));
        for unsound in [stamp(HUGE, 1, 1), stamp(1, HUGE, 1), stamp(1, 1, HUGE)] {
            assert!(!is_known("append", &unsound), "{unsound}");
        }
        for (kind, body) in [
            ("append", stamp(1, 1, 1).replace("\"n\":0", &format!("\"n\":{HUGE}"))),
            ("append", stamp(1, 1, 1).replace("[{}]", "[]")),
            ("append", stamp(1, 1, 1).replace(id, "not an id")),
            ("+", format!("{{\"m\":{HUGE},\"o\":0,\"x\":\"\"}}")),
            ("update", format!("{{\"id\":\"{id}\",\"at\":1,\"b\":1,\"m\":{HUGE}}}")),
        ] {
            assert!(!is_known(kind, &body), "{kind} {body}");
        }
        assert!(is_known("check", &check("")));
        for members in [
            ",\"inherited\":3".to_owned(),
            format!(",\"window\":{HUGE}"),
            ",\"undo\":[[2,3]]".to_owned(),
            ",\"undo\":[[2,1]]".to_owned(),
            format!(",\"ops\":[[1,\"a\",{HUGE},1]]"),
            format!(",\"ops\":[[1,\"a\",1,{HUGE}]]"),
        ] {
            assert!(!is_known("check", &check(&members)), "{members}");
        }
        for path in ["[[2,3]]", "[[2,1]]"] {
            assert!(!is_known("check", &check("").replace("[[1,2]]", path)), "{path}");
        }
    }

    #[test]
    fn each_kind_is_read_as_what_it_was_written_as() {
        let stamp = || Stamp { id: "01JD0000000000000000000000".into(), at: 7, b: 1, op: None, head: None };
        for record in [
            Record::Text(TextRecord { m: 1, p: 0, o: 0, x: "a".into() }),
            Record::Change(ChangeRecord { stamp: stamp(), change: Change::default(), facts: None }),
            Record::Seal(SealRecord { stamp: stamp(), why: Rewrite::Compact }),
            Record::Purge(PurgeRecord { stamp: stamp() }),
            Record::Open(OpenRecord { session: "s".into(), writer: "w".into(), at: 7 }),
            Record::Point(Box::new(PointRecord { upto: 1, newest: 2, open: Vec::new() })),
            Record::Catalogue(CatalogueRecord { v: 1, generation: 1, sessions: 2, lines: 3, refs: 4 }),
            Record::Ref(RefRecord { scope: "".into(), updated: 1, session: "s".into(), at: 2 }),
        ] {
            let line = record.line(SALT);
            let (read, _) = Record::parse(line.trim_end().as_bytes(), SALT).unwrap();
            assert_eq!(format!("{read:?}"), format!("{record:?}"));
        }
    }

    #[test]
    fn a_checksum_has_one_form_and_stands_behind_a_marker() {
        let line = text(3, "a").trim_end().to_owned();
        let sum = line.rsplit('"').nth(1).unwrap();
        assert!(sum.bytes().any(|digit| digit.is_ascii_alphabetic()), "{sum}");
        assert!(Record::parse(line.replace(sum, &sum.to_uppercase()).as_bytes(), SALT).is_none());
        assert!(Record::parse(line.replace(sum, "++++++++").as_bytes(), SALT).is_none());
        assert_eq!(leading_record(&line.as_bytes()[1..], SALT), None);
    }

    #[test]
    fn what_is_not_so_takes_no_bytes_and_what_is_so_is_written() {
        let entry = |flag| EntryRecord {
            session: "s".into(),
            generation: 1,
            size: 0,
            n: 0,
            head: 0,
            undo: flag,
            facts: Facts::default(),
            done: None,
            gone: flag,
            sealed: flag,
            writers: BTreeMap::new(),
        };
        for flag in [false, true] {
            let line = Record::Entry(Box::new(entry(flag))).line(SALT);
            assert!(
                matches!(Record::parse(line.trim_end().as_bytes(), SALT), Some((Record::Entry(_), _))),
                "{line}"
            );
            for name in ["undo", "gone", "sealed"] {
                assert_eq!(line.contains(&format!("\"{name}\":true")), flag, "{line}");
                assert_eq!(line.contains(name), flag, "{line}");
            }
        }
    }

    #[test]
    fn a_seal_says_who_and_when() {
        let stamp = Stamp { id: "01JD0000000000000000000000".into(), at: 7, b: 1, op: None, head: None };
        let seal = Record::Seal(SealRecord { stamp: stamp.clone(), why: Rewrite::Compact });
        assert_eq!(seal.stamp(), Some(&stamp));
    }

    #[test]
    fn unknown_types_and_shapes_are_kept_as_unknown() {
        for line in [
            framed("wish", "{\"a\":1}"),
            framed("append", "{}"),
            framed("+", "{\"m\":1,\"o\":18446744073709551615,\"x\":\"\"}"),
        ] {
            assert!(
                matches!(Record::parse(line.trim_end().as_bytes(), SALT), Some((Record::Unknown, _))),
                "{line}"
            );
        }
    }
}
