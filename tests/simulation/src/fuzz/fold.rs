//! Any sequence of valid records: the fold of docs/format.md, once more and plainly, says the same as the core, with
//! checkpoints and without, in pages of any size.

use arbitrary::{Result as Drawn, Unstructured};
use sessile_core::{ErrorKind, Sessions, WriteOptions};
use sha2::{Digest, Sha256};

use super::{MESSAGE, base, doctor, messages, open, records};
use crate::sim::SimDisk;

/// The most records of a log.
const RECORDS_MAX: usize = 32;
/// When the first of them was made, in ms; a year behind it nothing is later than now.
const BEGAN_MS: u64 = 1_600_000_000_000;

/// The bytes choose records, their members and where checkpoints stand.
pub fn fold(data: &[u8]) {
    let (mut disk, path) = base();
    let mut log = Log::new(path);
    let mut input = Unstructured::new(data);
    while log.records < RECORDS_MAX && !input.is_empty() && log.record(&mut input).is_ok() {}
    disk.put(path, log.bytes.clone().into_bytes());
    let disk = SimDisk::new(disk);
    check(&disk, &log);
    repeat(&disk, &log);
}

fn check(disk: &SimDisk, log: &Log) {
    let mut reader = open(disk, 1, true).expect("it opens");
    let state = &log.state;
    let session = reader.get("a").expect("the session");
    let head = state.path.last().copied().unwrap_or(0);
    assert_eq!(
        (session.head, session.message_count, session.can_unrevert),
        (head, state.path.len() as u64, state.undo.is_some()),
    );
    let facts =
        (session.facts.title.as_deref(), session.facts.trashed, session.facts.updated, session.facts.active);
    assert_eq!(facts, (state.title.as_deref(), state.trashed, state.updated, state.active));
    let whole = messages(&mut reader, "a", 100).expect("the messages");
    let written = |seq: &u64| state.written.contains(seq);
    let (readable, lost): (Vec<u64>, Vec<u64>) = state.path.iter().copied().partition(|seq| written(seq));
    assert_eq!(whole.readable.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), readable);
    assert_eq!(whole.unreadable, lost);
    let limit = 1 + u32::try_from(log.bytes.len() % 4).unwrap_or_default();
    let paged = messages(&mut reader, "a", limit).expect("the messages");
    assert_eq!(paged, whole, "pages of {limit}");
    let report = doctor(&mut reader, false).expect("a report");
    let kinds: Vec<&str> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["kind"].as_str())
        .collect();
    assert!(!kinds.contains(&"checkpoint") && !kinds.contains(&"damage"), "{report}");
    assert_eq!(disk.written(), 0, "reading wrote");
}

/// Whatever operation has counted counts once, and a new one counts.
fn repeat(disk: &SimDisk, log: &Log) {
    let mut writer = open(disk, 2, false).expect("it opens");
    let names = log.state.done.iter().map(|(name, seq, _)| (name.as_str(), Some(*seq)));
    for (name, seq) in names.chain([("new", None)]) {
        let options = WriteOptions { op: Some(name.to_owned()), ..WriteOptions::default() };
        match writer.append("a", &format!("[{MESSAGE}]"), &options) {
            Ok(appended) => {
                assert_eq!(appended.repeated, seq.is_some(), "{name}");
                assert!(
                    seq.is_none_or(|seq| seq == appended.seq),
                    "{name} was {seq:?}, not {}",
                    appended.seq
                );
            }
            Err(error) => {
                assert!(error.kind == ErrorKind::Conflict && log.state.trashed.is_some(), "{error}");
            }
        }
    }
}

/// A log and what it means.
struct Log {
    path: &'static str,
    bytes: String,
    records: usize,
    state: State,
}

/// The state of the fold.
#[derive(Default)]
struct State {
    count: u64,
    path: Vec<u64>,
    undo: Option<Vec<u64>>,
    title: Option<String>,
    trashed: Option<u64>,
    updated: u64,
    active: u64,
    /// Messages that have a record.
    written: Vec<u64>,
    /// All operations that counted: name, first message, where the record begins.
    done: Vec<(String, u64, u64)>,
    /// Those that the log remembers: where, name, first message, how many.
    recent: Vec<(u64, String, u64, u64)>,
    window: u64,
    checked: u64,
}

/// What all records that change something say.
struct Stamp {
    at: u64,
    b: u64,
    op: Option<String>,
    head: Option<u64>,
}

impl Log {
    fn new(path: &'static str) -> Self {
        let facts = format!(
            r#"{{"status":"active","created":{BEGAN_MS},"updated":{BEGAN_MS},"accessed":{BEGAN_MS},"active":{BEGAN_MS}}}"#
        );
        let members =
            format!(r#""v":1,"session":"a","gen":1,"id":"{}","at":{BEGAN_MS},"facts":{facts}"#, ulid(0));
        let state = State { updated: BEGAN_MS, active: BEGAN_MS, ..State::default() };
        Self { path, bytes: records::line(path, "session", &members), records: 0, state }
    }

    fn here(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Draws a record, writes it and says what it means.
    fn record(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        match input.int_in_range(0..=8_u8)? {
            0..=2 => self.append(input)?,
            3 => self.text(input)?,
            4 => self.update(input)?,
            5 | 6 => self.head(input)?,
            7 => self.facts(input)?,
            _ => self.check(),
        }
        self.records += 1;
        Ok(())
    }

    fn write(&mut self, kind: &str, members: &str) {
        self.bytes.push_str(&records::line(self.path, kind, members));
    }

    /// A number of a message, mostly one that is there.
    fn seq(&self, input: &mut Unstructured<'_>) -> Drawn<u64> {
        input.int_in_range(0..=self.state.count + 1)
    }

    fn stamp(&self, input: &mut Unstructured<'_>) -> Drawn<Stamp> {
        let op =
            if input.ratio(1, 3)? { Some(format!("op {}", input.int_in_range(0..=5_u8)?)) } else { None };
        let mut b = if input.ratio(1, 4)? { input.int_in_range(0..=self.here())? } else { self.here() };
        // A writer vouches that its operation is not among what it had read.
        let known = self.state.done.iter().find(|(name, ..)| Some(name) == op.as_ref());
        if let Some((.., offset)) = known {
            b = b.min(*offset);
        }
        let head = if input.ratio(1, 4)? { Some(self.seq(input)?) } else { None };
        Ok(Stamp { at: BEGAN_MS + input.int_in_range(0..=1000_u64)?, b, op, head })
    }

    /// The members of a stamp.
    fn stamped(&self, stamp: &Stamp) -> String {
        let mut members =
            format!(r#""id":"{}","at":{},"b":{}"#, ulid(100 * (self.records + 1)), stamp.at, stamp.b);
        if let Some(op) = &stamp.op {
            members.push_str(&format!(r#","op":"{op}""#));
        }
        if let Some(head) = stamp.head {
            members.push_str(&format!(r#","head":{head}"#));
        }
        members
    }

    /// Rules 3 to 5: whether a record may count. `live`: not in the trash.
    fn admits(&self, stamp: &Stamp, live: bool) -> bool {
        let state = &self.state;
        let is_known =
            |op: &String| stamp.b < state.window || state.recent.iter().any(|known| known.1 == *op);
        !stamp.op.as_ref().is_some_and(is_known)
            && stamp.head.is_none_or(|head| head == state.path.last().copied().unwrap_or(0))
            && !(live && state.trashed.is_some())
    }

    fn counted(&mut self, stamp: &Stamp, offset: u64, seq: u64, count: u64) {
        if let Some(op) = &stamp.op {
            self.state.done.push((op.clone(), seq, offset));
            self.state.recent.push((offset, op.clone(), seq, count));
        }
        self.state.updated = self.state.updated.max(stamp.at);
    }

    fn append(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        let (stamp, offset) = (self.stamp(input)?, self.here());
        // Now and then its writer has read messages that are gone.
        let ahead = if input.ratio(1, 8)? { input.int_in_range(1..=3_u64)? } else { 0 };
        let n = self.state.count + ahead;
        let count = input.int_in_range(1..=3_u64)?;
        let text =
            |place| format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{offset}.{place}"}}]}}"#);
        let all: Vec<String> = (0..count).map(text).collect();
        self.write("append", &format!(r#"{},"n":{n},"m":[{}]"#, self.stamped(&stamp), all.join(",")));
        if self.admits(&stamp, true) {
            let state = &mut self.state;
            state.path.extend(state.count + 1..=n + count);
            state.written.extend(n + 1..=n + count);
            state.count = n + count;
            state.undo = None;
            state.active = state.active.max(stamp.at);
            self.counted(&stamp, offset, n + 1, count);
        }
        Ok(())
    }

    fn text(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        let members = format!(r#""m":{},"o":{},"x":"more""#, self.seq(input)?, input.int_in_range(0..=8_u8)?);
        self.write("+", &members);
        Ok(())
    }

    fn update(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        let (stamp, offset, seq) = (self.stamp(input)?, self.here(), self.seq(input)?);
        self.write(
            "update",
            &format!(r#"{},"m":{seq},"patch":{{"status":"completed"}}"#, self.stamped(&stamp)),
        );
        if self.admits(&stamp, true) && (1..=self.state.count).contains(&seq) {
            self.counted(&stamp, offset, seq, 0);
        }
        Ok(())
    }

    fn head(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        let (stamp, offset, keep) = (self.stamp(input)?, self.here(), self.seq(input)?);
        let why = *input.choose(&["revert", "unrevert", "branch"])?;
        let mut add: Vec<(u64, u64)> = Vec::new();
        for _ in 0..input.int_in_range(0..=2_u8)? {
            add.push((self.seq(input)?, self.seq(input)?));
        }
        let ranges: Vec<String> = add.iter().map(|(from, to)| format!("[{from},{to}]")).collect();
        let members =
            format!(r#"{},"why":"{why}","keep":{keep},"add":[{}]"#, self.stamped(&stamp), ranges.join(","));
        self.write("head", &members);
        if self.admits(&stamp, true) && self.moved(why, keep, &add) {
            self.counted(&stamp, offset, self.state.path.last().copied().unwrap_or(0), 0);
        }
        Ok(())
    }

    fn moved(&mut self, why: &str, keep: u64, add: &[(u64, u64)]) -> bool {
        let state = &mut self.state;
        if why == "unrevert" {
            return state.undo.take().map(|undo| state.path = undo).is_some();
        }
        let mut path = state.path.clone();
        path.retain(|seq| *seq <= keep);
        if keep != path.last().copied().unwrap_or(0) {
            return false;
        }
        for (from, to) in add {
            if *from == 0 || from > to || *to > state.count || path.last().is_some_and(|head| from <= head) {
                return false;
            }
            path.extend(*from..=*to);
        }
        let before = std::mem::replace(&mut state.path, path);
        match why {
            "branch" => state.undo = None,
            _ if before == state.path => {}
            _ => state.undo = state.undo.take().or(Some(before)),
        }
        true
    }

    fn facts(&mut self, input: &mut Unstructured<'_>) -> Drawn<()> {
        let (stamp, offset) = (self.stamp(input)?, self.here());
        let which = input.int_in_range(0..=3_u8)?;
        let set = match which {
            0 => r#"{"title":"one"}"#.to_owned(),
            1 => r#"{"title":null}"#.to_owned(),
            2 => format!(r#"{{"trashed":{}}}"#, stamp.at),
            _ => r#"{"trashed":null,"title":"two"}"#.to_owned(),
        };
        self.write("facts", &format!(r#"{},"set":{set}"#, self.stamped(&stamp)));
        if self.admits(&stamp, false) {
            match which {
                0 => self.state.title = Some("one".to_owned()),
                1 => self.state.title = None,
                2 => self.state.trashed = Some(stamp.at),
                _ => (self.state.title, self.state.trashed) = (Some("two".to_owned()), None),
            }
            self.counted(&stamp, offset, 0, 0);
        }
        Ok(())
    }

    /// A checkpoint that tells the truth.
    fn check(&mut self) {
        let (state, upto) = (&self.state, self.here());
        let mut facts = format!(
            r#""status":"active","created":{BEGAN_MS},"updated":{},"accessed":{BEGAN_MS},"active":{}"#,
            state.updated, state.active
        );
        if let Some(title) = &state.title {
            facts.push_str(&format!(r#","title":"{title}""#));
        }
        if let Some(trashed) = state.trashed {
            facts.push_str(&format!(r#","trashed":{trashed}"#));
        }
        let undo = state.undo.as_ref().map_or(String::new(), |undo| format!(r#","undo":{}"#, ranges(undo)));
        let op = |(offset, name, seq, count): &(u64, String, u64, u64)| {
            format!(r#"[{offset},"{}",{seq},{count}]"#, fingerprint(name))
        };
        let ops: Vec<String> = state.recent.iter().map(op).collect();
        let members = format!(
            r#""upto":{upto},"n":{},"gen":1,"session":"a","facts":{{{facts}}},"path":{}{undo},"window":{},"last":{},"ops":[{}]"#,
            state.count,
            ranges(&state.path),
            state.window,
            state.checked,
            ops.join(","),
        );
        self.write("check", &members);
        let state = &mut self.state;
        (state.window, state.checked) = (state.checked, upto);
        let window = state.window;
        state.recent.retain(|(offset, ..)| *offset >= window);
    }
}

/// Numbers as ranges.
fn ranges(path: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in path {
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == *seq => last.1 = *seq,
            _ => ranges.push((*seq, *seq)),
        }
    }
    let ranges: Vec<String> = ranges.iter().map(|(from, to)| format!("[{from},{to}]")).collect();
    format!("[{}]", ranges.join(","))
}

/// What stands for an operation id: the first 128 bits of SHA-256.
fn fingerprint(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn ulid(number: usize) -> String {
    format!("01JD{number:022}")
}
