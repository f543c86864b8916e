//! One log over a file in memory: where reading begins, what damage hides, and what becomes of an append.

use super::*;
use crate::facts::Facts;
use crate::host::{Clock, DirEntry, Entropy, Fs, Text};
use crate::record::{
    AppendRecord, FactsRecord, HeadRecord, Salt, SessionRecord, Stamp, TextRecord, UpdateRecord, Why,
};

const PATH: &str = "log";
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A disk with one file.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    gone: bool,
    /// How many bytes it has lost since somebody asked for its size.
    lost: u64,
    /// What others write right before the next append.
    others: String,
    /// The error of the next append, and how much of it is written all the same.
    fault: Option<(FsErrorKind, usize)>,
    /// Whether what is appended comes as something else, though it says otherwise.
    forgets: bool,
    synced: Vec<Durability>,
    /// What was read: offsets and lengths.
    reads: Vec<(u64, u64)>,
}

impl Disk {
    fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    fn there(&self) -> std::result::Result<(), FsError> {
        if self.gone { Err(FsError::new(FsErrorKind::NotFound, "gone")) } else { Ok(()) }
    }

    fn piece(&self, offset: u64, limit: u32) -> std::result::Result<Vec<u8>, FsError> {
        self.there()?;
        let from = usize::try_from(offset).unwrap().min(self.bytes.len());
        let to = self.bytes.len().min(from + limit as usize);
        Ok(self.bytes[from..to].to_vec())
    }

    fn bytes_read(&self) -> u64 {
        self.reads.iter().map(|read| read.1).sum()
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

impl Fs for Disk {
    fn append(&mut self, _: &str, data: &str, durability: Durability) -> std::result::Result<u64, FsError> {
        self.there()?;
        self.bytes.extend(std::mem::take(&mut self.others).bytes());
        let (fault, written) = self.fault.take().unzip();
        let data = data.bytes().map(|byte| if self.forgets && byte != b'\n' { b'#' } else { byte });
        self.bytes.extend(data.take(written.unwrap_or(usize::MAX)));
        if let Some(kind) = fault {
            return Err(FsError::new(kind, "no"));
        }
        self.synced.push(durability);
        Ok(self.bytes.len() as u64)
    }

    fn create(&mut self, _: &str, _: &str) -> std::result::Result<(), FsError> {
        unreachable!("a log creates nothing")
    }

    fn create_bytes(&mut self, _: &str, _: &[u8]) -> std::result::Result<(), FsError> {
        unreachable!("a log creates nothing")
    }

    fn replace(&mut self, _: &str, _: &str) -> std::result::Result<(), FsError> {
        unreachable!("a log replaces nothing")
    }

    fn read_text(&mut self, _: &str, offset: u64, limit: u32) -> std::result::Result<Text, FsError> {
        let piece = self.piece(offset, limit)?;
        let inside = piece.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let piece = &piece[inside..];
        let whole = memchr::memrchr(b'\n', piece).map_or(piece, |newline| &piece[..=newline]);
        let text = match std::str::from_utf8(whole) {
            Err(error) if error.error_len().is_some() => {
                return Err(FsError::new(FsErrorKind::NotText, "bytes"));
            }
            Err(error) => std::str::from_utf8(&whole[..error.valid_up_to()]).unwrap(),
            Ok(text) => text,
        };
        self.reads.push((offset, (inside + text.len()) as u64));
        Ok(Text { start: offset + inside as u64, data: text.to_owned() })
    }

    fn read_bytes(&mut self, _: &str, offset: u64, limit: u32) -> std::result::Result<Vec<u8>, FsError> {
        let piece = self.piece(offset, limit)?;
        self.reads.push((offset, piece.len() as u64));
        Ok(piece)
    }

    fn stat(&mut self, _: &str) -> std::result::Result<u64, FsError> {
        self.there()?;
        Ok(self.bytes.len() as u64 + self.lost)
    }

    fn list(&mut self, _: &str, _: &str, _: u32) -> std::result::Result<Vec<DirEntry>, FsError> {
        unreachable!("a log lists nothing")
    }

    fn remove(&mut self, _: &str) -> std::result::Result<(), FsError> {
        unreachable!("a log removes nothing")
    }

    fn sync(&mut self, _: &str) -> std::result::Result<(), FsError> {
        self.synced.push(Durability::Synced);
        Ok(())
    }
}

impl Clock for Disk {
    fn now_ms(&mut self) -> u64 {
        unreachable!("a log asks for no time")
    }
}

impl Entropy for Disk {
    fn random(&mut self) -> u128 {
        unreachable!("a log draws nothing")
    }
}

/// A log in the making, by the fold alone.
#[derive(Default)]
struct Made {
    text: String,
    state: State,
    /// Where its records begin.
    starts: Vec<usize>,
}

fn id(n: u64) -> String {
    crate::id::ulid_text(crate::id::ulid(1_000 + n, 0))
}

impl Made {
    fn new() -> Self {
        let mut made = Self::default();
        made.put(&Record::Session(Box::new(SessionRecord {
            v: 1,
            session: "s".into(),
            generation: 1,
            id: id(0).into(),
            at: 1,
            facts: Facts::default(),
            from: Vec::new(),
            over: Vec::new(),
        })));
        made
    }

    fn stamp(&self) -> Stamp<'static> {
        let end = self.text.len() as u64;
        Stamp { id: id(end).into(), at: end, b: end, op: None, head: None }
    }

    fn put(&mut self, record: &Record<'_>) -> Verdict {
        self.starts.push(self.text.len());
        let verdict = self.state.apply(record, self.text.len() as u64);
        self.text.push_str(&record.line(Salt::of(PATH)));
        verdict
    }

    /// Messages of so many bytes of text.
    fn messages(&mut self, count: u64, bytes: usize) -> &mut Self {
        for _ in 0..count {
            let json = message(&format!("{}.{}", self.state.count + 1, "x".repeat(bytes)));
            let record =
                AppendRecord { stamp: self.stamp(), n: self.state.count, keep: None, m: vec![&json] };
            self.put(&Record::Append(record));
        }
        self
    }

    fn named(&mut self, op: &'static str) -> &mut Self {
        let json = message(op);
        let stamp = Stamp { op: Some(op.into()), ..self.stamp() };
        let record = AppendRecord { stamp, n: self.state.count, keep: None, m: vec![&json] };
        self.put(&Record::Append(record));
        self
    }

    fn check(&mut self) -> &mut Self {
        let check = self.state.to_check(self.text.len() as u64);
        self.put(&Record::Check(Box::new(check)));
        self
    }

    fn revert(&mut self, keep: u64) -> &mut Self {
        let head = HeadRecord { stamp: self.stamp(), why: Why::Revert, keep, add: Vec::new(), note: None };
        self.put(&Record::Head(head));
        self
    }

    fn grow(&mut self, m: u64, o: u64, x: &'static str) -> &mut Self {
        self.put(&Record::Text(TextRecord { m, p: 0, o, x: x.into() }));
        self
    }

    fn disk(&self) -> Disk {
        Disk::of(self.text.as_str())
    }

    /// The disk with so many of its records, counted from 0, made damage.
    fn spoiled(&self, records: &[usize]) -> Disk {
        let mut disk = self.disk();
        for record in records {
            let end = self.starts.get(record + 1).copied().unwrap_or(self.text.len()) - 1;
            disk.bytes[self.starts[*record]..end].fill(b'#');
        }
        disk
    }

    fn damage(&self, record: usize) -> Damage {
        let to = self.starts.get(record + 1).copied().unwrap_or(self.text.len()) - 1;
        Damage { from: self.starts[record] as u64, to: to as u64 }
    }
}

fn message(text: &str) -> String {
    format!("{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}")
}

fn load(disk: &mut Disk) -> Log {
    Log::load(disk, PATH, None).unwrap()
}

fn indexed(disk: &mut Disk, floor: u64) -> Log {
    let mut log = load(disk);
    log.index_from(disk, floor).unwrap();
    log
}

fn whole(disk: &mut Disk) -> Log {
    let mut log = load(disk);
    log.index_whole(disk).unwrap();
    log
}

/// The state without what counts from the checkpoint that reading began at.
fn comparable(state: &State) -> State {
    State { records: 0, ..state.clone() }
}

/// The texts of messages up to the first full stop, by number.
fn texts(log: &Log, disk: &mut Disk, from: u64, to: u64) -> Vec<(u64, String)> {
    let stored = log.messages(disk, &[(from, to)], usize::MAX).unwrap();
    stored.iter().map(|stored| (stored.seq, text_of(stored))).collect()
}

fn text_of(stored: &Stored) -> String {
    let message: serde_json::Value = serde_json::from_str(&stored.json).unwrap();
    let text = message["parts"][0]["text"].as_str().unwrap();
    text.split('.').next().unwrap().to_owned()
}

fn decided(appended: Result<Appended>) -> Decided {
    match appended.unwrap() {
        Appended::Decided(decided) => decided,
        Appended::Gone => panic!("gone"),
    }
}

/// A facts record for the state of a log, and how it is appended.
fn append(log: &mut Log, disk: &mut Disk, durability: Durability) -> Result<Appended> {
    let end = log.end();
    let stamp = Stamp { id: id(end + 1).into(), at: end, b: end, op: None, head: None };
    let record = Record::Facts(FactsRecord { stamp, set: raw("{\"title\":\"t\"}").unwrap() });
    log.append(disk, durability, &record)
}

#[test]
fn a_log_is_loaded_from_its_last_checkpoint_and_comes_to_the_state_of_the_whole() {
    let mut made = Made::new();
    made.messages(3, 10).check().messages(2, 10).revert(2).check().messages(1, 10);
    let mut disk = made.disk();
    let log = load(&mut disk);
    assert_eq!(comparable(log.state()), comparable(&made.state));
    assert_eq!((log.size(), log.end(), log.path()), (made.text.len() as u64, made.text.len() as u64, PATH));
    assert_eq!(disk.reads.len(), 1);
    assert_eq!(whole(&mut disk).state(), &made.state);
    // The records since that one, and the checkpoint that was passed over.
    assert_eq!(log.state().records, made.state.records);
}

#[test]
fn what_loading_costs_does_not_depend_on_what_lies_before() {
    for (behind, reads) in [(1, 96 * KIB), (100, 192 * KIB), (300, 384 * KIB), (600, 768 * KIB)] {
        let mut made = Made::new();
        made.messages(3, MIB).check().messages(behind, KIB);
        let mut disk = made.disk();
        let log = load(&mut disk);
        assert_eq!(comparable(log.state()), comparable(&made.state), "{behind}");
        assert_eq!(disk.bytes_read(), reads as u64, "{behind}");
    }
}

#[test]
fn a_checkpoint_far_from_the_end_is_found_piece_by_piece() {
    let mut made = Made::new();
    made.messages(2, MIB).check().messages(3, MIB);
    let mut disk = made.disk();
    let log = load(&mut disk);
    assert_eq!(comparable(log.state()), comparable(&made.state));
    // Folded from the checkpoint, without the two messages before it.
    let check = made.starts[3] as u64;
    assert!(
        disk.reads.iter().filter(|read| read.0 < check).all(|read| read.0 > check - MIB as u64),
        "{:?}",
        disk.reads
    );
    assert_eq!(
        texts(&indexed(&mut disk, 2), &mut disk, 1, 9),
        [(3, "3".into()), (4, "4".into()), (5, "5".into())]
    );
}

#[test]
fn a_log_without_a_checkpoint_is_folded_from_the_front() {
    let mut made = Made::new();
    made.messages(3, 10);
    let mut disk = made.disk();
    assert_eq!(load(&mut disk).state(), &made.state);
    assert_eq!(disk.reads, [(0, made.text.len() as u64); 2]);
    made.messages(3, MIB);
    assert_eq!(load(&mut made.disk()).state(), &made.state);
}

#[test]
fn a_checkpoint_is_searched_as_far_as_a_fold_would_go_unless_a_message_is_wanted() {
    let mut made = Made::new();
    made.messages(2, 10).check().messages(5, 14 * MIB);
    let mut disk = made.disk();
    let log = load(&mut disk);
    assert_eq!(log.state(), &made.state, "folded from the front, without a checkpoint");
    made.check().messages(1, 10);
    let mut disk = made.disk();
    assert_eq!(load(&mut disk).readable(1, 9), [(8, 8)]);
    let log = indexed(&mut disk, 2);
    assert_eq!(comparable(log.state()), comparable(&made.state));
    assert_eq!(log.readable(1, 9), [(3, 8)]);
    // As far as a fold goes, and one piece more.
    let mut made = Made::new();
    made.messages(2, MIB).check().messages(5, 13_200 * KIB);
    let mut disk = made.disk();
    load(&mut disk);
    assert!(disk.reads.iter().all(|read| read.0 > made.starts[1] as u64), "not from the front");
}

#[test]
fn a_checkpoint_may_tell_of_what_lies_before_all_that_was_read() {
    let mut made = Made::new();
    made.messages(3, 10);
    // Others came between the state and its checkpoint.
    let check = made.state.to_check(made.text.len() as u64);
    made.messages(100, KIB);
    made.put(&Record::Check(Box::new(check)));
    made.messages(1, 10);
    assert_eq!(comparable(load(&mut made.disk()).state()), comparable(&made.state));
}

#[test]
fn a_checkpoint_of_what_is_not_there_yet_shows_nothing_behind_it() {
    let mut made = Made::new();
    made.messages(3, 10);
    let check = made.state.to_check(1_000_000);
    made.put(&Record::Check(Box::new(check)));
    let log = load(&mut made.disk());
    assert_eq!((log.state().count, log.end()), (3, 1_000_000));
}

#[test]
fn a_fork_sees_its_parent_up_to_its_limit() {
    let mut made = Made::new();
    made.messages(2, 10);
    let limit = made.text.len() as u64;
    made.messages(2, 10);
    let mut disk = made.disk();
    let mut log = Log::load(&mut disk, PATH, Some(limit)).unwrap();
    assert_eq!((log.state().count, log.size()), (2, limit));
    assert!(log.refresh(&mut disk).unwrap());
    assert_eq!(log.state().count, 2);
    log.index_whole(&mut disk).unwrap();
    assert_eq!(log.readable(1, 9), [(1, 2)]);
}

#[test]
fn what_others_append_is_taken_in_and_what_is_cut_off_is_forgotten() {
    let mut made = Made::new();
    made.messages(2, 10);
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    disk.reads.clear();
    assert!(log.refresh(&mut disk).unwrap());
    assert_eq!(disk.reads, [], "nothing has come");
    made.messages(1, 10);
    disk.bytes = made.text.clone().into_bytes();
    assert!(log.refresh(&mut disk).unwrap());
    assert_eq!((log.state().count, disk.reads[0].0), (3, made.starts[3] as u64));
    disk.bytes.truncate(made.starts[2]);
    assert!(log.refresh(&mut disk).unwrap());
    assert_eq!((log.state().count, log.end()), (1, made.starts[2] as u64));
    disk.gone = true;
    assert!(!log.refresh(&mut disk).unwrap());
}

#[test]
fn a_record_on_its_way_is_waited_for() {
    let mut made = Made::new();
    made.messages(3, 10);
    let mut disk = made.disk();
    disk.bytes.truncate(made.starts[3] + 20);
    let mut log = load(&mut disk);
    assert_eq!(
        (log.state().count, log.end(), log.size()),
        (2, made.starts[3] as u64, made.starts[3] as u64 + 20)
    );
    assert_eq!(log.damage(), []);
    disk.bytes = made.text.clone().into_bytes();
    log.refresh(&mut disk).unwrap();
    assert_eq!(log.state(), &made.state);
}

#[test]
fn a_record_of_many_pieces_is_read_as_one() {
    let mut made = Made::new();
    made.messages(1, 10).messages(1, 5 * MIB).messages(1, 10);
    let mut disk = made.disk();
    let log = whole(&mut disk);
    assert_eq!((log.state(), log.end()), (&made.state, made.text.len() as u64));
    let mut seen = Vec::new();
    let walked =
        log.for_each(&mut disk, &mut |record, text, verdict| seen.push((record.kind(), text.len(), verdict)));
    assert_eq!(walked.unwrap(), made.state);
    let lengths: Vec<usize> = seen.iter().map(|seen| seen.1 + 1).collect();
    assert_eq!(lengths.iter().sum::<usize>(), made.text.len());
    let message = |seq| ("append", Verdict::Counts { seq, count: 1 });
    let kinds: Vec<_> = seen.iter().skip(1).map(|seen| (seen.0, seen.2)).collect();
    assert_eq!(kinds, [message(1), message(2), message(3)]);
}

#[test]
fn very_many_bytes_without_a_record_are_no_log() {
    let mut made = Made::new();
    made.messages(1, 10);
    let mut disk = made.disk();
    let front = disk.bytes.len();
    disk.bytes.resize(front + 64 * MIB - 1, 0);
    assert_eq!(load(&mut disk).end(), front as u64, "it may still become a record");
    disk.bytes.push(0);
    let error = Log::load(&mut disk, PATH, None).unwrap_err();
    assert_eq!(error.kind, crate::ErrorKind::Damaged);
    assert!(error.message.contains(&format!("offset {front}")), "{error:?}");
}

#[test]
fn a_file_that_is_cut_while_it_is_read_ends_there() {
    let mut made = Made::new();
    made.messages(2, 10);
    let mut disk = made.disk();
    disk.lost = 100;
    let log = load(&mut disk);
    assert_eq!((log.state(), log.end()), (&made.state, made.text.len() as u64));
    // Also behind what was folded.
    disk.lost = 0;
    let log = whole(&mut disk);
    disk.bytes.truncate(made.starts[2] + 9);
    let mut kinds = Vec::new();
    let walked = log.for_each(&mut disk, &mut |record, _, _| kinds.push(record.kind())).unwrap();
    assert_eq!((kinds.as_slice(), walked.count), (&["session", "append"][..], 1));
    let mut kinds = Vec::new();
    let end = log.since(&mut disk, 0, &mut |record, _, _| kinds.push(record.kind()), &mut || false).unwrap();
    assert_eq!((kinds.as_slice(), end), (&["session", "append"][..], made.starts[2] as u64));
}

#[test]
fn records_since_an_offset_come_in_order_until_it_is_enough() {
    let mut made = Made::new();
    made.messages(4, 10).check().messages(3, 700 * KIB).messages(1, 3 * MIB).messages(1, 10);
    let mut disk = made.disk();
    let log = load(&mut disk);
    let since = |disk: &mut Disk, from: usize, most: usize| {
        let seen = std::cell::RefCell::new(Vec::new());
        let end = log
            .since(
                disk,
                from as u64,
                &mut |_, verdict, at| seen.borrow_mut().push((verdict, usize::try_from(at).unwrap())),
                &mut || seen.borrow().len() >= most,
            )
            .unwrap();
        (seen.into_inner(), usize::try_from(end).unwrap())
    };
    let (seen, end) = since(&mut disk, made.starts[3], usize::MAX);
    assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), made.starts[3..]);
    assert_eq!(seen[0].0, Verdict::Counts { seq: 3, count: 1 });
    assert_eq!(seen[6].0, Verdict::Counts { seq: 8, count: 1 });
    assert_eq!(end, made.text.len());
    // It stops between two pieces, and what it has not come to is not read.
    disk.reads.clear();
    let (seen, end) = since(&mut disk, made.starts[6], 1);
    assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), made.starts[6..7]);
    assert_eq!(end, made.starts[7]);
    assert!(disk.reads.iter().all(|(from, len)| from + len < made.starts[8] as u64), "{:?}", disk.reads);
    assert_eq!(since(&mut disk, made.starts[6], 0), (Vec::new(), made.starts[6]));
    assert_eq!(since(&mut disk, made.text.len(), 9), (Vec::new(), made.text.len()));
}

#[test]
fn an_append_that_nothing_comes_before_reads_nothing() {
    let mut disk = Made::new().messages(2, 10).disk();
    let mut log = load(&mut disk);
    disk.reads.clear();
    let before = disk.bytes.len() as u64;
    let done = decided(append(&mut log, &mut disk, Durability::Buffered));
    assert_eq!((done.verdict, done.offset, done.alone), (Verdict::Counts { seq: 0, count: 0 }, before, true));
    assert_eq!((&disk.reads[..], disk.synced.as_slice()), (&[][..], &[Durability::Buffered][..]));
    assert_eq!((log.size(), log.end()), (disk.bytes.len() as u64, disk.bytes.len() as u64));
    let again = whole(&mut disk);
    assert_eq!((log.state(), again.damage()), (again.state(), &[][..]));
    decided(append(&mut log, &mut disk, Durability::Synced));
    assert_eq!(disk.synced[1..], [Durability::Synced]);
}

#[test]
fn what_was_appended_is_read_without_another_look_at_the_log() {
    let mut made = Made::new();
    made.messages(300, 10);
    let mut disk = made.disk();
    let mut log = whole(&mut disk);
    let end = log.end();
    let stamp = Stamp { id: id(end).into(), at: end, b: end, op: Some("op".into()), head: None };
    let json = message("own.");
    let m = vec![json.as_str()];
    let record = Record::Append(AppendRecord { stamp, n: 300, keep: None, m });
    let done = decided(log.append(&mut disk, Durability::Synced, &record));
    assert_eq!((done.verdict, done.alone), (Verdict::Counts { seq: 301, count: 1 }, true));
    let check = disk.text().rfind("{\"t\": \"check\"").unwrap() as u64;
    assert!(end == check && done.offset > check, "a checkpoint was due before it");
    disk.reads.clear();
    assert_eq!(texts(&log, &mut disk, 300, 301), [(300, "300".into()), (301, "own".into())]);
    assert!(disk.reads.iter().all(|read| read.0 >= made.starts[300] as u64), "{:?}", disk.reads);
    assert_eq!(log.operation(&mut disk, "op").unwrap(), Some((301, 1)));
    // The next checkpoint counts from that one, and by its size.
    assert_eq!((log.state().checked, log.state().records), (end, 1));
    assert_eq!(log.folded.check_bytes, done.offset - check - 1);
}

#[test]
fn an_append_behind_others_is_decided_by_what_they_wrote() {
    let mut made = Made::new();
    made.messages(2, 10);
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    made.messages(1, 10);
    disk.others = made.text.split_at(made.starts[3]).1.to_owned();
    let done = decided(append(&mut log, &mut disk, Durability::Synced));
    assert_eq!((done.offset, done.alone), (made.text.len() as u64, false));
    assert_eq!((log.state().count, log.end()), (3, disk.bytes.len() as u64));
}

#[test]
fn a_record_is_not_swallowed_by_a_torn_one() {
    let mut made = Made::new();
    made.messages(2, 10);
    for (cut, damage) in [(20, true), (1, false)] {
        let mut disk = made.disk();
        let keep = if damage { made.starts[2] + cut } else { made.text.len() - cut };
        disk.bytes.truncate(keep);
        let mut log = load(&mut disk);
        let done = decided(append(&mut log, &mut disk, Durability::Synced));
        assert_eq!((done.offset, done.alone), (keep as u64 + 1, !damage), "{cut}");
        assert_eq!(disk.bytes[keep], b'\n');
        let again = whole(&mut disk);
        assert_eq!(again.state().facts.title.as_deref(), Some("t"));
        assert_eq!((log.state(), again.damage().len()), (again.state(), usize::from(damage)));
        decided(append(&mut log, &mut disk, Durability::Synced));
        assert!(!disk.text().contains("\n\n"), "one newline is enough");
    }
}

#[test]
fn a_failed_append_is_looked_for() {
    for (kind, written) in [(FsErrorKind::Unavailable, usize::MAX), (FsErrorKind::Refused, usize::MAX)] {
        for durability in [Durability::Synced, Durability::Buffered] {
            let mut disk = Made::new().messages(1, 10).disk();
            let mut log = load(&mut disk);
            let before = disk.bytes.len() as u64;
            disk.fault = Some((kind, written));
            let done = decided(append(&mut log, &mut disk, durability));
            assert_eq!((done.offset, done.alone), (before, false));
            // What is only in the file is not on the disk yet.
            let synced: &[_] = if durability == Durability::Synced { &[Durability::Synced] } else { &[] };
            assert_eq!(disk.synced, synced);
        }
    }
    for (kind, written, told) in [
        (FsErrorKind::Unavailable, 0, crate::ErrorKind::Unavailable),
        (FsErrorKind::Unavailable, 30, crate::ErrorKind::Unavailable),
        (FsErrorKind::Closed, usize::MAX, crate::ErrorKind::Closed),
    ] {
        let mut disk = Made::new().messages(1, 10).disk();
        let mut log = load(&mut disk);
        disk.fault = Some((kind, written));
        let error = append(&mut log, &mut disk, Durability::Synced).unwrap_err();
        assert_eq!(error.kind, told);
        assert_eq!(disk.synced, []);
        // The next one is there, whatever that has left.
        decided(append(&mut log, &mut disk, Durability::Synced));
        assert_eq!(whole(&mut disk).state().facts.title.as_deref(), Some("t"));
    }
    let mut disk = Made::new().disk();
    let mut log = load(&mut disk);
    disk.gone = true;
    assert!(matches!(append(&mut log, &mut disk, Durability::Synced), Ok(Appended::Gone)));
}

#[test]
fn what_cannot_be_read_back_is_not_acknowledged() {
    let mut disk = Made::new().disk();
    let mut log = load(&mut disk);
    disk.others = "#\n".into();
    disk.forgets = true;
    let error = append(&mut log, &mut disk, Durability::Synced).unwrap_err();
    assert!(error.kind == crate::ErrorKind::Unavailable && error.message.contains("read back"), "{error:?}");
}

#[test]
fn damage_is_named_and_everything_around_it_is_read() {
    let mut made = Made::new();
    made.messages(4, 10);
    let mut disk = made.spoiled(&[2, 4]);
    let log = whole(&mut disk);
    assert_eq!(log.damage(), [made.damage(2), made.damage(4)]);
    // The numbers of what is damaged stay taken; of the last one nobody knows yet.
    assert_eq!((log.state().count, log.readable(1, 9)), (3, vec![(1, 1), (3, 3)]));
    assert_eq!(texts(&log, &mut disk, 1, 9), [(1, "1".into()), (3, "3".into())]);
    assert_eq!(log.chain(2), Some(Chain { first: 2, last: 2, parent: 1 }));
    assert_eq!(log.chain(4), None);
    let chains: Vec<_> = log.chains().map(|chain| (chain.first, chain.last, chain.parent)).collect();
    assert_eq!(chains, [(1, 1, 0), (3, 3, 2), (2, 2, 1)]);
    assert_eq!(log.weight(), 1 + 2 + 1);
}

#[test]
fn of_very_many_damaged_ranges_the_first_are_listed() {
    let mut made = Made::new();
    made.messages(1, 10);
    let mut disk = made.disk();
    disk.bytes.extend("#\n".repeat(1_001).bytes());
    let log = whole(&mut disk);
    let at = made.text.len() as u64;
    assert_eq!(log.damage().len(), 1_000);
    assert_eq!(log.damage()[999], Damage { from: at + 2 * 999, to: at + 2 * 999 + 1 });
}

#[test]
fn damage_that_was_seen_stays_named_when_more_is_read() {
    let mut made = Made::new();
    made.messages(3, 10).check().messages(3, 10);
    let mut disk = made.spoiled(&[2, 6]);
    let mut log = load(&mut disk);
    assert_eq!(log.damage(), [made.damage(6)]);
    log.index_from(&mut disk, 4).unwrap();
    assert_eq!(log.damage(), [made.damage(6)]);
    disk.gone = true;
    assert!(log.index_from(&mut disk, 0).is_err());
    assert_eq!(log.damage(), [made.damage(6)], "nor where it cannot be read");
    disk.gone = false;
    log.index_from(&mut disk, 0).unwrap();
    assert_eq!(log.damage(), [made.damage(2), made.damage(6)]);
    disk.reads.clear();
    log.index_from(&mut disk, 3).unwrap();
    assert_eq!(disk.reads, [], "that is known");
}

#[test]
fn a_checkpoint_tells_what_damage_before_it_has_hidden() {
    let mut made = Made::new();
    made.messages(5, 10).revert(3).messages(2, 10).check().messages(1, 10);
    // A message, the revert, and the message behind it.
    let mut disk = made.spoiled(&[2, 6, 7]);
    for log in [whole(&mut disk), indexed(&mut disk, 0)] {
        assert_eq!(comparable(log.state()), comparable(&made.state));
        assert_eq!(log.state().path.ranges(), [(1, 3), (6, 8)]);
        assert_eq!(log.damage(), [made.damage(2), made.damage(6), made.damage(7)]);
        assert_eq!(log.readable(1, 9), [(1, 1), (3, 5), (7, 8)]);
        let parents: Vec<_> = log.messages(&mut disk, &[(1, 9)], usize::MAX).unwrap();
        let parents: Vec<_> = parents.iter().map(|stored| (stored.seq, stored.parent)).collect();
        // What is hidden keeps its place, what is visible follows on what is visible.
        assert_eq!(parents, [(1, 0), (3, 2), (4, 3), (5, 4), (7, 6), (8, 7)]);
        assert_eq!(log.chain(6), Some(Chain { first: 6, last: 6, parent: 3 }));
        assert_eq!(log.chain(2), Some(Chain { first: 2, last: 2, parent: 1 }));
    }
}

#[test]
fn messages_that_cannot_be_read_keep_their_places_on_both_sides_of_a_hidden_revert() {
    let mut made = Made::new();
    made.messages(5, 10).revert(3).messages(2, 10).check();
    // The last message before the revert, the revert, and the first behind it.
    let mut disk = made.spoiled(&[5, 6, 7]);
    let log = whole(&mut disk);
    assert_eq!(log.chain(5), Some(Chain { first: 5, last: 5, parent: 4 }));
    assert_eq!(log.chain(6), Some(Chain { first: 6, last: 6, parent: 3 }));
    // Of several the first ones follow on each other.
    let log = whole(&mut made.spoiled(&[2, 3]));
    assert_eq!(log.chain(2), Some(Chain { first: 2, last: 2, parent: 1 }));
    assert_eq!(log.chain(3), Some(Chain { first: 2, last: 3, parent: 1 }));
    // One that a revert has hidden and that cannot be read stays where it was.
    let mut made = Made::new();
    made.messages(5, 10).revert(1).messages(2, 10).check();
    let log = whole(&mut made.spoiled(&[4]));
    assert_eq!(log.chain(4), Some(Chain { first: 4, last: 4, parent: 3 }));
}

#[test]
fn a_hidden_revert_moves_the_first_message_behind_it_and_changes_no_other() {
    let mut made = Made::new();
    made.messages(5, 10).grow(2, 12, "!").revert(3).messages(2, 10).check();
    // The revert alone.
    let mut disk = made.spoiled(&[7]);
    let log = whole(&mut disk);
    let stored = log.messages(&mut disk, &[(1, 9)], usize::MAX).unwrap();
    let parents: Vec<_> = stored.iter().map(|stored| (stored.seq, stored.parent)).collect();
    assert_eq!(parents, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 3), (7, 6)]);
    assert_eq!((log.changes(), text_of(&stored[1])), (1, "2".into()));
    assert!(stored[1].json.contains("2.xxxxxxxxxx!"), "changed before the checkpoint");
}

#[test]
fn what_came_between_a_state_and_its_checkpoint_counts_once_behind_damage() {
    let mut made = Made::new();
    made.messages(3, 10);
    let check = made.state.to_check(made.text.len() as u64);
    made.messages(2, 10).grow(4, 12, "!");
    // Two writers had the same thought.
    made.put(&Record::Check(Box::new(check.clone())));
    made.put(&Record::Check(Box::new(check)));
    made.messages(1, 10);
    let mut disk = made.spoiled(&[2]);
    let log = whole(&mut disk);
    assert_eq!(comparable(log.state()), comparable(&made.state));
    assert_eq!((log.readable(1, 9), log.changes()), (vec![(1, 1), (3, 6)], 1));
    assert_eq!(log.chains().count(), 6);
}

#[test]
fn a_message_that_a_hidden_revert_had_rejected_is_none_behind_the_checkpoint() {
    let mut made = Made::new();
    made.messages(3, 10).revert(1);
    let json = message("late");
    let stamp = Stamp { head: Some(3), ..made.stamp() };
    let late = AppendRecord { stamp, n: 3, keep: None, m: vec![&json] };
    assert!(matches!(made.put(&Record::Append(late)), Verdict::Rejected(_)));
    made.check().messages(1, 10);
    let mut disk = made.spoiled(&[4]);
    let log = whole(&mut disk);
    assert_eq!(comparable(log.state()), comparable(&made.state));
    assert_eq!(texts(&log, &mut disk, 4, 9), [(4, "4".into())]);
}

#[test]
fn a_checkpoint_changes_nothing_for_who_has_read_everything() {
    let mut made = Made::new();
    made.messages(2, 10).grow(1, 11, "!").check().check().messages(1, 10).check();
    let mut disk = made.disk();
    let log = whole(&mut disk);
    assert_eq!(log.state(), &made.state);
    assert_eq!(log.changes(), 1);
    // Nor where the damage lies behind it.
    made.messages(1, 10);
    let mut disk = made.spoiled(&[8]);
    let log = whole(&mut disk);
    assert_eq!((log.state().count, log.damage()), (3, &[made.damage(8)][..]));
}

#[test]
fn a_checkpoint_whose_operations_cannot_be_read_is_none() {
    let mut made = Made::new();
    made.messages(3, 10);
    let mut check = made.state.to_check(made.text.len() as u64);
    check.ops = vec![crate::record::OpRecord(0, "no key".into(), 1, 1)];
    made.put(&Record::Check(Box::new(check)));
    let mut disk = made.spoiled(&[3]);
    assert_eq!(load(&mut disk).state().count, 2, "folded from the front");
    assert_eq!(whole(&mut disk).state().count, 2);
}

#[test]
fn damage_that_a_checkpoint_begins_in_is_named_once() {
    let mut made = Made::new();
    made.messages(2, 10);
    let upto = made.text.len() as u64;
    let check = made.state.to_check(upto);
    made.messages(1, 10);
    made.put(&Record::Check(Box::new(check)));
    let mut disk = made.disk();
    // From the second message to the one behind what the checkpoint tells of, newline and all.
    disk.bytes[made.starts[2]..made.starts[4] - 1].fill(b'#');
    let log = whole(&mut disk);
    assert_eq!(log.state().count, 2);
    let (from, to) = (made.starts[2] as u64, made.starts[4] as u64 - 1);
    assert_eq!(log.damage(), [Damage { from, to: upto }, Damage { from: upto, to }]);
}

#[test]
fn a_log_without_its_beginning_takes_no_checkpoint() {
    let mut disk = Disk::of("#".repeat(70 * KIB) + "\n");
    let mut log = load(&mut disk);
    let before = disk.bytes.len();
    let done = decided(append(&mut log, &mut disk, Durability::Synced));
    assert_eq!(done.verdict, Verdict::Rejected(crate::fold::Reason::NotBegun));
    assert!(!String::from_utf8_lossy(&disk.bytes[before..]).contains("\"check\""));
}

#[test]
fn a_log_without_its_beginning_is_read_by_its_name() {
    let mut made = Made::new();
    made.named("one").messages(2, 10);
    let mut disk = made.spoiled(&[0]);
    assert!(!load(&mut disk).state().begun());
    let mut log = Log::load_headless(&mut disk, PATH, "s", 4).unwrap();
    assert_eq!((log.state().session.as_str(), log.state().generation, log.state().count), ("s", 4, 3));
    assert_eq!((log.readable(1, 9), log.damage()), (vec![(1, 3)], &[made.damage(0)][..]));
    disk.reads.clear();
    assert_eq!(log.operation(&mut disk, "one").unwrap(), Some((1, 1)));
    assert_eq!(disk.reads, [], "it was read as a whole");
}

#[test]
fn checkpoints_come_when_they_are_due() {
    let mut disk = Made::new().disk();
    let mut log = load(&mut disk);
    let mut checks = Vec::new();
    for n in 1..=600_usize {
        let before = disk.text().matches("\"check\"").count();
        decided(append(&mut log, &mut disk, Durability::Buffered));
        if disk.text().matches("\"check\"").count() > before {
            checks.push(n);
        }
    }
    // After 256 records, and the one that was written with each counts for the next.
    assert_eq!(checks, [257, 513]);
    assert_eq!(comparable(whole(&mut disk).state()), comparable(log.state()));
    // After 64 KiB, however few they are.
    let mut made = Made::new();
    made.messages(1, 64 * KIB);
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    for checks in [1, 1] {
        decided(append(&mut log, &mut disk, Durability::Buffered));
        assert_eq!(disk.text().matches("\"check\"").count(), checks);
    }
    assert_eq!(load(&mut disk).state().checked, made.text.len() as u64);
}

#[test]
fn checkpoints_take_a_sixteenth_at_most() {
    let mut made = Made::new();
    let rows: Vec<String> = (0..400).map(|n| format!("\"key {n}\":\"{}\"", "x".repeat(20))).collect();
    let rows = format!("{{\"set\":{{{}}}}}", rows.join(","));
    let change: crate::table::Change<'_> = serde_json::from_str(&rows).unwrap();
    made.put(&Record::Change(crate::record::ChangeRecord { stamp: made.stamp(), change, facts: None }));
    made.check();
    let check_bytes = made.text.len() - made.starts[2];
    let mut disk = made.disk();
    let mut log = whole(&mut disk);
    while disk.text().matches("\"check\"").count() == 1 {
        decided(append(&mut log, &mut disk, Durability::Buffered));
        log.refresh(&mut disk).unwrap();
    }
    let again = disk.text().rfind("{\"t\": \"check\"").unwrap();
    let between = again - made.starts[2];
    assert!((16 * check_bytes..16 * check_bytes + 400).contains(&between), "{between} of {check_bytes}");
}

#[test]
fn a_message_has_its_changes_in_file_order() {
    let mut made = Made::new();
    made.messages(2, 0).grow(1, 2, "a").grow(1, 2, "late").grow(1, 3, "b").grow(2, 2, "c");
    let at = made.stamp().at;
    let update = |made: &Made, patch: &'static str| UpdateRecord {
        stamp: made.stamp(),
        m: 2,
        patch: Some(raw(patch).unwrap()),
        add: Vec::new(),
    };
    let record = update(&made, "{\"role\":\"assistant\"}");
    made.put(&Record::Update(record));
    let mut disk = made.disk();
    let log = whole(&mut disk);
    let stored = log.messages(&mut disk, &[(1, 2)], usize::MAX).unwrap();
    assert_eq!(stored[0].json, message("1.ab"));
    assert_eq!(stored[1].json, message("2.c").replace("user", "assistant"));
    assert_eq!((stored[0].updated_at, stored[1].updated_at), (stored[0].created_at, at));
    assert_eq!(log.changes(), 5);
    let originals = log.originals(&mut disk, &[(1, 2)]).unwrap();
    assert_eq!((&originals[0].json, originals[1].updated_at), (&message("1."), originals[1].created_at));
    // Whether a piece of text had its place.
    for (record, applied) in [(3, true), (4, false), (5, true)] {
        let at = made.starts[record] as u64;
        assert_eq!(log.text_applied(&mut disk, originals[0].clone(), at).unwrap(), applied, "{record}");
    }
    // To what a fork inherits, as far as the fork sees it.
    let mut inherited = originals;
    log.change(&mut disk, &mut inherited, 1).unwrap();
    assert_eq!((&inherited[0].json, &inherited[1].json), (&message("1.ab"), &message("2.")));
    log.change(&mut disk, &mut inherited[1..], 2).unwrap();
    assert_eq!(inherited[1].json, stored[1].json);
}

/// An update of a message.
fn update(made: &mut Made, m: u64, patch: &'static str) {
    let stamp = made.stamp();
    made.put(&Record::Update(UpdateRecord { stamp, m, patch: Some(raw(patch).unwrap()), add: Vec::new() }));
}

#[test]
fn a_message_is_read_at_its_place_with_what_changes_it() {
    let mut made = Made::new();
    made.messages(1, 0);
    let (a, b) = (message("a."), message("b."));
    let m = vec![a.as_str(), b.as_str()];
    made.put(&Record::Append(AppendRecord { stamp: made.stamp(), n: 1, keep: None, m }));
    // Two changes that follow on each other, and one apart.
    made.grow(2, 2, "x").grow(2, 3, "y").grow(3, 2, "z");
    update(&mut made, 2, "{\"role\":\"assistant\"}");
    made.messages(1, 0);
    let mut disk = made.disk();
    let log = whole(&mut disk);
    let placed = log.placed(&mut disk, (1, 4), usize::MAX).unwrap();
    let stored: Vec<_> = placed.iter().map(|(stored, _)| stored.clone()).collect();
    assert_eq!(stored, log.messages(&mut disk, &[(1, 4)], usize::MAX).unwrap());
    let range = |from: usize, to: usize| {
        let at = |record: usize| made.starts[record] as u64;
        (at(from), at(to) - at(from) - 1)
    };
    let changes: Vec<_> = placed.iter().map(|(_, place)| place.changes.clone()).collect();
    assert_eq!(changes, [vec![], vec![range(3, 5), range(6, 7)], vec![range(5, 6)], vec![]]);
    let read = |disk: &mut Disk, seq: u64, place: &Place| Log::read_place(disk, PATH, seq, place).unwrap();
    for (stored, place) in &placed {
        assert_eq!(read(&mut disk, stored.seq, place).as_ref(), Some(&stored.json), "{place:?}");
        let from = usize::try_from(place.from).unwrap();
        assert!(disk.text().split_at(from).1.starts_with("{\"role\""), "{place:?}");
    }
    // Of ranges that hold changes of others too, only its own count.
    for (stored, place) in &placed[1..3] {
        let place = Place { changes: vec![range(3, 7)], ..place.clone() };
        assert_eq!(read(&mut disk, stored.seq, &place).as_ref(), Some(&stored.json));
    }
    // Once a change is damaged nobody knows the message; once the message is, neither.
    disk.bytes[made.starts[4] + 30] = b'#';
    let after: Vec<_> = placed.iter().map(|(stored, place)| read(&mut disk, stored.seq, place)).collect();
    assert_eq!(after.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, true]);
    disk.bytes[usize::try_from(placed[2].1.from).unwrap() + 5] = b'#';
    assert_eq!(read(&mut disk, 3, &placed[2].1), None);
}

#[test]
fn places_come_in_pages_of_whole_records() {
    let mut made = Made::new();
    made.messages(2, 700 * KIB);
    let json = message(&"y".repeat(MIB / 4));
    made.put(&Record::Append(AppendRecord { stamp: made.stamp(), n: 2, keep: None, m: vec![&json; 8] }));
    made.messages(2, MIB);
    let mut disk = made.disk();
    let mut log = whole(&mut disk);
    log.forget_tail();
    let ends: Vec<usize> = made.starts.iter().skip(1).copied().chain([made.text.len()]).collect();
    for (bytes, last, records, batches) in
        [(0, None, 0, 0), (1, Some(2), 2, 1), (3 * MIB / 2, Some(10), 3, 2), (usize::MAX, Some(12), 5, 4)]
    {
        disk.reads.clear();
        let placed = log.placed(&mut disk, (1, 12), bytes).unwrap();
        assert_eq!(placed.last().map(|(stored, _)| stored.seq), last, "{bytes}");
        // Each record once, without the newline behind a batch of them.
        assert_eq!(disk.bytes_read(), (ends[records] - ends[0] - batches) as u64, "{bytes}");
    }
    let placed = log.placed(&mut disk, (2, 3), usize::MAX).unwrap();
    assert_eq!(placed.iter().map(|(stored, _)| stored.seq).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn the_messages_that_a_log_changes_are_told_from_any_record_on() {
    let mut made = Made::new();
    made.messages(3, 0).grow(1, 2, "a").check().grow(2, 2, "b");
    update(&mut made, 3, "{\"role\":\"assistant\"}");
    made.messages(1, 0);
    let mut disk = made.disk();
    let log = whole(&mut disk);
    let behind = |record: usize| made.starts[record] as u64 + 1;
    let all = (BTreeSet::from([1, 2, 3]), behind(7));
    assert_eq!(log.changed(), all);
    for (record, changed) in [
        (0, all.clone()),
        (4, all),
        (5, (BTreeSet::from([2, 3]), behind(7))),
        (7, (BTreeSet::from([3]), behind(7))),
        (8, (BTreeSet::new(), 0)),
    ] {
        let from = made.starts[record] as u64;
        assert_eq!(log.changed_since(&mut disk, from).unwrap(), changed, "{record}");
    }
    disk.reads.clear();
    assert_eq!(log.changed_since(&mut disk, log.end()).unwrap(), (BTreeSet::new(), 0));
    assert_eq!(disk.reads, []);
    let mut unchanged = Made::new();
    assert_eq!(whole(&mut unchanged.messages(1, 0).disk()).changed(), (BTreeSet::new(), 0));
}

#[test]
fn a_log_whose_last_messages_are_wanted_is_read_once() {
    let mut made = Made::new();
    made.messages(3, MIB).check().messages(3, 10).check().messages(1, 10);
    let tail = (made.text.len() - 96 * KIB) as u64;
    for (last, from) in [(1, 7), (2, 4), (4, 4), (0, 7)] {
        let mut disk = made.disk();
        let log = Log::load_last(&mut disk, PATH, last).unwrap();
        assert_eq!(comparable(log.state()), comparable(&made.state), "{last}");
        assert_eq!(log.readable(1, 9), [(from, 7)], "{last}");
        assert_eq!(log.folded.index.asked, last > 0);
        assert_eq!(disk.reads, [(tail, 96 * KIB as u64)], "{last}");
    }
    // More than lie behind the first checkpoint, and than there are.
    for last in [5, 8] {
        let log = Log::load_last(&mut made.disk(), PATH, last).unwrap();
        assert_eq!((log.state(), log.readable(1, 9)), (&made.state, vec![(1, 7)]), "{last}");
    }
    // Of a log without a checkpoint nothing is known beforehand.
    let mut made = Made::new();
    made.messages(3, 10);
    let log = Log::load_last(&mut made.disk(), PATH, 1).unwrap();
    assert_eq!((log.state(), log.readable(1, 9)), (&made.state, vec![(1, 3)]));
}

#[test]
fn changes_of_what_lies_before_an_index_are_left_alone() {
    let mut made = Made::new();
    made.messages(2, 0).check().messages(2, 0).grow(2, 2, "a").grow(3, 2, "b");
    let mut disk = made.disk();
    let log = indexed(&mut disk, 2);
    assert_eq!((log.changes(), log.readable(1, 9), log.weight()), (1, vec![(3, 4)], 1 + 2 + 1));
    assert_eq!(texts(&log, &mut disk, 1, 9), [(3, "3".into()), (4, "4".into())]);
    assert_eq!((log.find_ulid(parse_ulid(&id(0)).unwrap()), log.chain(2)), (None, None));
    let id = log.messages(&mut disk, &[(4, 4)], 1).unwrap()[0].id;
    assert_eq!(log.find_ulid(id), Some(4));
}

#[test]
fn messages_of_one_record_have_ids_that_count_up() {
    let mut made = Made::new();
    made.messages(1, 0);
    let (a, b) = (message("a"), message("b"));
    let m = vec![a.as_str(), b.as_str()];
    let stamp = made.stamp();
    let first = parse_ulid(&stamp.id).unwrap();
    made.put(&Record::Append(AppendRecord { stamp, n: 1, keep: None, m }));
    let mut disk = made.disk();
    let log = whole(&mut disk);
    let stored = log.messages(&mut disk, &[(2, 3)], usize::MAX).unwrap();
    let ids: Vec<_> = stored.iter().map(|stored| (stored.seq, stored.id, stored.parent)).collect();
    assert_eq!(ids, [(2, first, 1), (3, first + 1, 2)]);
    assert_eq!((&stored[0].json, &stored[1].json), (&a, &b));
    assert_eq!(
        (log.find_ulid(first), log.find_ulid(first + 1), log.find_ulid(first + 2)),
        (Some(2), Some(3), None)
    );
}

#[test]
fn an_operation_is_known_from_the_whole_log() {
    let mut made = Made::new();
    made.named("one").messages(2, 10).named("two").check().check();
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    assert_eq!(log.operation(&mut disk, "one").unwrap(), Some((1, 1)));
    assert_eq!(log.operation(&mut disk, "two").unwrap(), Some((4, 1)));
    assert_eq!(log.operation(&mut disk, "three").unwrap(), None);
    disk.reads.clear();
    log.index_whole(&mut disk).unwrap();
    assert_eq!(disk.reads, [], "that is known");
}

#[test]
fn a_page_ends_behind_the_message_that_fills_it() {
    let mut made = Made::new();
    made.messages(1, 700 * KIB).messages(1, 700 * KIB).messages(4, MIB);
    let mut disk = made.disk();
    let log = whole(&mut disk);
    for (bytes, seqs) in [(1, 2), (3 * MIB / 2, 3), (2 * MIB + 300 * KIB, 3), (3 * MIB, 4), (usize::MAX, 6)] {
        disk.reads.clear();
        let read = texts(&log, &mut disk, 1, 6);
        assert_eq!(read.len(), 6);
        let page = log.messages(&mut disk, &[(1, 6)], bytes).unwrap();
        assert_eq!(page.last().map(|stored| stored.seq), Some(seqs), "{bytes}");
    }
}

#[test]
fn what_is_not_indexed_is_not_read() {
    let mut made = Made::new();
    made.messages(2, 10).grow(1, 12, "a").check().messages(1, 10);
    let mut disk = made.disk();
    let log = load(&mut disk);
    disk.reads.clear();
    assert_eq!(log.messages(&mut disk, &[(1, 2)], usize::MAX).unwrap(), []);
    let message = Stored { seq: 1, id: 1, parent: 0, created_at: 1, updated_at: 1, json: message("1.") };
    let mut stored = [message.clone()];
    log.change(&mut disk, &mut stored, 9).unwrap();
    assert_eq!(stored[0], message);
    assert!(!log.text_applied(&mut disk, message, made.starts[3] as u64).unwrap());
    assert_eq!(
        (log.changes(), log.weight(), log.chains().count(), log.readable(1, 9)),
        (0, 2, 1, vec![(3, 3)])
    );
    assert_eq!(disk.reads, []);
}

#[test]
fn of_an_index_that_nobody_has_asked_for_the_newer_half_is_kept() {
    let mut made = Made::new();
    made.messages(2_000, 0);
    // One that cannot be read, and changes of what is let go and of what is kept.
    let json = message("behind a gap.");
    made.put(&Record::Append(AppendRecord { stamp: made.stamp(), n: 2_001, keep: None, m: vec![&json] }));
    made.messages(2_097, 0).grow(7, 2, "a").grow(4_000, 5, "b");
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    assert_eq!((made.state.count, log.readable(1, 9_999)), (4_099, vec![(2_050, 4_099)]));
    assert_eq!((log.chain(2_001), log.changes()), (None, 1));
    assert_eq!(texts(&log, &mut disk, 1, 2_050), [(2_050, "2050".into())]);
    log.index_from(&mut disk, 2_049).unwrap();
    assert_eq!(log.readable(1, 9_999), [(2_050, 4_099)]);
    // What is asked for is there, and stays there.
    log.index_from(&mut disk, 2_000).unwrap();
    assert_eq!(log.readable(1, 9_999), [(1, 2_000), (2_002, 4_099)]);
    made.messages(1, 0);
    disk.bytes = made.text.clone().into_bytes();
    log.refresh(&mut disk).unwrap();
    assert_eq!(log.readable(1, 9_999), [(1, 2_000), (2_002, 4_100)]);
}

#[test]
fn the_index_of_a_whole_log_holds_all_of_it() {
    let mut made = Made::new();
    made.named("one").messages(5_000, 0);
    let mut disk = made.disk();
    let headless = Log::load_headless(&mut made.spoiled(&[0]), PATH, "s", 1).unwrap();
    for log in [whole(&mut disk), headless] {
        assert_eq!(log.readable(1, 9_999), [(1, 5_001)]);
    }
}

#[test]
fn an_index_is_made_of_the_end_that_is_there_and_not_of_the_one_that_was() {
    let mut made = Made::new();
    made.messages(2, 10).check().messages(2, 10);
    let mut disk = made.disk();
    let mut log = load(&mut disk);
    made.messages(1, 10);
    disk.bytes = made.text.clone().into_bytes();
    log.index_from(&mut disk, 0).unwrap();
    assert_eq!((log.state(), log.readable(1, 9)), (&made.state, vec![(1, 5)]));
    // What was read of it is not read again, until it is forgotten.
    disk.reads.clear();
    assert_eq!(texts(&log, &mut disk, 5, 5), [(5, "5".into())]);
    assert_eq!(disk.reads, []);
    log.forget_tail();
    assert_eq!(texts(&log, &mut disk, 5, 5), [(5, "5".into())]);
    assert!(!disk.reads.is_empty());
}

#[test]
fn what_was_damaged_or_exchanged_since_it_was_indexed_is_left_out() {
    let mut made = Made::new();
    made.messages(1, 0);
    let long = message(&"x".repeat(200));
    let m = vec!["{}", long.as_str()];
    made.put(&Record::Append(AppendRecord { stamp: made.stamp(), n: 1, keep: None, m }));
    made.messages(1, 0);
    let mut disk = made.disk();
    let mut log = whole(&mut disk);
    log.forget_tail();
    let seqs = |disk: &mut Disk| -> Vec<u64> {
        log.messages(disk, &[(1, 9)], usize::MAX).unwrap().iter().map(|stored| stored.seq).collect()
    };
    assert_eq!(seqs(&mut disk), [1, 2, 3, 4]);
    disk.bytes[made.starts[3] + 30] = b'#';
    assert_eq!(seqs(&mut disk), [1, 2, 3]);
    // A good record of the same length, with a message elsewhere.
    let length = made.starts[3] - made.starts[2];
    let of = |text: &str| {
        let json = message(text);
        let stamp = Stamp { id: id(7).into(), at: 1, b: 1, op: None, head: None };
        Record::Append(AppendRecord { stamp, n: 1, keep: None, m: vec![&json] }).line(Salt::of(PATH))
    };
    let other = of(&"y".repeat(length - of("").len()));
    disk.bytes[made.starts[2]..made.starts[3]].copy_from_slice(other.as_bytes());
    assert_eq!(seqs(&mut disk), [1]);
    // One of another kind.
    let length = made.starts[2] - made.starts[1];
    let of = |text: &str| Record::Text(TextRecord { m: 1, p: 0, o: 0, x: text.into() }).line(Salt::of(PATH));
    let other = of(&"z".repeat(length - of("").len()));
    disk.bytes[made.starts[1]..made.starts[2]].copy_from_slice(other.as_bytes());
    assert_eq!(seqs(&mut disk), [0_u64; 0]);
}

#[test]
fn messages_far_apart_are_read_apart_and_near_ones_together() {
    let mut made = Made::new();
    made.messages(1, 0).messages(1, 15 * KIB).messages(1, 0).messages(1, 17 * KIB).messages(1, 0);
    let mut disk = made.disk();
    let mut log = whole(&mut disk);
    log.forget_tail();
    disk.reads.clear();
    let read = log.messages(&mut disk, &[(1, 1), (3, 3), (5, 5)], usize::MAX).unwrap();
    assert_eq!(read.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1, 3, 5]);
    let last = (made.text.len() - made.starts[5] - 1) as u64;
    assert_eq!(disk.bytes_read(), (made.starts[4] - made.starts[1] - 1) as u64 + last);
    assert_eq!(disk.reads.last(), Some(&(made.starts[5] as u64, last)));
}

#[test]
fn any_range_is_read_byte_for_byte() {
    let text = "aä€😀\nb😀\nc€";
    let mut disk = Disk::of(text);
    for from in 0..=text.len() {
        for to in from..=text.len() + 2 {
            let bytes = read(&mut disk, PATH, from as u64, to as u64).unwrap();
            let there = &text.as_bytes()[from..to.min(text.len())];
            assert_eq!(bytes.len(), there.len(), "{from}..{to}");
            // What is cut off of a character at the beginning may be anything that begins no record.
            let cut = there.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
            assert_eq!(bytes[cut..], there[cut..], "{from}..{to}");
            assert!(bytes[..cut].iter().all(|byte| *byte & 0xc0 == 0x80));
        }
    }
    let mut disk = Disk::of(b"a\n\xff\xfe\nb".to_vec());
    assert_eq!(read(&mut disk, PATH, 0, 9).unwrap(), b"a\n\xff\xfe\nb");
    disk.gone = true;
    assert_eq!(read(&mut disk, PATH, 0, 9).unwrap_err().kind, crate::ErrorKind::NotFound);
}
