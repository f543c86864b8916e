//! Finding records in bytes: whole, torn, fused or damaged.
//!
//! Every record is found wherever it lies, because its marker occurs nowhere else. What is not part of a record is
//! damage, with its range. The end of the bytes may be a record on its way; it is left for later.

use crate::planted::{Planted, planted};
use crate::record::{MARKER, Record, Salt, leading_record, occurrences};

/// A run of bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The first byte.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
}

/// Receives what a scan finds, in file order.
pub trait Visitor {
    /// A good record at `from..to`, without the newline.
    fn record(&mut self, record: &Record<'_>, text: &str, from: u64, to: u64);
    /// Bytes that are no record.
    fn damage(&mut self, damage: Damage);
}

/// Scans `bytes` of the log with that salt, which begin at `base` and, at the beginning of a line or right behind a
/// record. Returns how many bytes are decided; the rest may be the beginning of a record.
pub fn scan(bytes: &[u8], base: u64, salt: Salt, visitor: &mut impl Visitor) -> usize {
    let mut at = 0;
    while let Some(length) = newline(bytes.get(at..).unwrap_or_default()) {
        let whole = bytes.get(at..at + length).unwrap_or_default();
        line(whole, base + at as u64, salt, visitor);
        at += length + 1;
        if planted(Planted::StopAtDamage) && Record::parse(whole, salt).is_none() {
            return bytes.len();
        }
    }
    at + tail(bytes.get(at..).unwrap_or_default(), base + at as u64, salt, visitor)
}

fn newline(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// A finished line: one record, or several and what is left of others.
fn line(line: &[u8], base: u64, salt: Salt, visitor: &mut impl Visitor) {
    if line.is_empty() || planted(Planted::NulsAreNothing) && line.iter().all(|byte| *byte == 0) {
        return;
    }
    if let Some((record, text)) = Record::parse(line, salt) {
        return visitor.record(&record, text, base, base + line.len() as u64);
    }
    let decided = if planted(Planted::FusedLinesLost) { 0 } else { pieces(line, base, salt, visitor) };
    damage(base, decided, line.len(), visitor);
}

/// The bytes behind the last newline: records that only lack their newline count, the last piece may still grow.
fn tail(bytes: &[u8], base: u64, salt: Salt, visitor: &mut impl Visitor) -> usize {
    if bytes.is_empty() { 0 } else { pieces(bytes, base, salt, visitor) }
}

/// Takes every record and every gap that something follows. Returns where the undecided rest begins.
fn pieces(bytes: &[u8], base: u64, salt: Salt, visitor: &mut impl Visitor) -> usize {
    let mut decided = 0;
    for start in occurrences(bytes, MARKER.as_bytes()) {
        let piece = bytes.get(start..).unwrap_or_default();
        damage(base, decided, start, visitor);
        decided = start;
        // Only up to the next marker: a record holds no other, and a scan must stay linear.
        let length = occurrences(piece, MARKER.as_bytes()).nth(1).unwrap_or(piece.len());
        let length = piece.get(..length).and_then(|piece| leading_record(piece, salt));
        let record =
            length.and_then(|length| piece.get(..length)).and_then(|piece| Record::parse(piece, salt));
        if let Some((record, text)) = record {
            decided = start + text.len();
            visitor.record(&record, text, base + start as u64, base + decided as u64);
        }
    }
    decided
}

fn damage(base: u64, from: usize, to: usize, visitor: &mut impl Visitor) {
    if from < to {
        visitor.damage(Damage { from: base + from as u64, to: base + to as u64 });
    }
}

#[cfg(test)]
#[allow(clippy::string_slice, clippy::cast_possible_truncation, reason = "the texts are ASCII, and short")]
mod tests {
    use super::*;
    use crate::record::TextRecord;

    fn salt() -> Salt {
        Salt::of("a log")
    }

    #[derive(Default)]
    struct Seen {
        records: Vec<(u64, u64, u64)>,
        damage: Vec<(u64, u64)>,
    }

    impl Visitor for Seen {
        fn record(&mut self, record: &Record<'_>, _: &str, from: u64, to: u64) {
            let Record::Text(text) = record else { panic!("not a text record") };
            self.records.push((text.m, from, to));
        }

        fn damage(&mut self, damage: Damage) {
            self.damage.push((damage.from, damage.to));
        }
    }

    fn record(m: u64) -> String {
        let line = Record::Text(TextRecord { m, p: 0, o: 0, x: "{\\\"t\\\": \\\"+\\\"".into() }).line(salt());
        line.trim_end().to_owned()
    }

    fn check(bytes: impl AsRef<[u8]>, records: &[u64], damage: &[(u64, u64)], decided: usize) {
        let mut seen = Seen::default();
        let bytes = bytes.as_ref();
        let at = scan(bytes, 1000, salt(), &mut seen);
        let found: Vec<u64> = seen.records.iter().map(|record| record.0).collect();
        for (m, from, to) in seen.records {
            assert_eq!(&bytes[from as usize - 1000..to as usize - 1000], record(m).as_bytes());
        }
        let damaged: Vec<(u64, u64)> =
            seen.damage.iter().map(|(from, to)| (from - 1000, to - 1000)).collect();
        assert_eq!(
            (found.as_slice(), damaged.as_slice(), at),
            (records, damage, decided),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }

    #[test]
    fn whole_lines_are_records_and_empty_ones_nothing() {
        let (a, b) = (record(1), record(2));
        check(format!("{a}\n\n{b}\n"), &[1, 2], &[], a.len() + b.len() + 3);
        check("", &[], &[], 0);
        check(format!("\0\0\0\n{a}\n"), &[1], &[(0, 3)], a.len() + 5);
    }

    #[test]
    fn a_torn_tail_waits_and_becomes_damage_once_something_follows() {
        let (a, b) = (record(1), record(2));
        let torn = &b[..20];
        check(format!("{a}\n{torn}"), &[1], &[], a.len() + 1);
        let start = a.len() as u64 + 1;
        check(format!("{a}\n{torn}\n{b}\n"), &[1, 2], &[(start, start + 20)], a.len() + 22 + b.len() + 1);
    }

    #[test]
    fn a_record_fused_to_a_torn_one_is_found() {
        let (a, b, c) = (record(1), record(2), record(3));
        let start = a.len() as u64 + 1;
        for cut in 1..b.len() {
            check(
                format!("{a}\n{}{c}\n", &b[..cut]),
                &[1, 3],
                &[(start, start + cut as u64)],
                a.len() + 1 + cut + c.len() + 1,
            );
        }
        check(format!("{a}{b}\n{c}"), &[1, 2, 3], &[], a.len() + b.len() + 1 + c.len());
    }

    #[test]
    fn a_complete_record_counts_without_its_newline() {
        let a = record(1);
        check(&a, &[1], &[], a.len());
        check(format!("{a}\0\0\0"), &[1], &[], a.len());
        check(format!("{a}\0\0\0\n"), &[1], &[(a.len() as u64, a.len() as u64 + 3)], a.len() + 4);
    }

    #[test]
    fn garbage_of_any_kind_is_damage_and_hides_nothing() {
        let a = record(1);
        for garbage in
            [&b"\0\0\0"[..], b"\xff\xfe", b"{\"t\": \"", b"{\"t\": \"{\"t\": \"", b"text", b"\xe2\x80"]
        {
            let mut bytes = garbage.to_vec();
            bytes.extend(a.as_bytes());
            bytes.push(b'\n');
            let decided = bytes.len();
            let merged: Vec<(u64, u64)> = vec![(0, garbage.len() as u64)];
            let mut seen = Seen::default();
            assert_eq!(scan(&bytes, 0, salt(), &mut seen), decided);
            assert_eq!(seen.records.len(), 1);
            assert_eq!(seen.damage.iter().map(|(from, to)| to - from).sum::<u64>(), merged[0].1);
        }
    }

    #[test]
    fn records_may_come_in_any_pieces() {
        let bytes = format!("{}\n{}{}\n", record(1), &record(2)[..30], record(3));
        let bytes = bytes.as_bytes();
        for cut in 0..bytes.len() {
            let mut seen = Seen::default();
            let decided = scan(&bytes[..cut], 0, salt(), &mut seen);
            scan(&bytes[decided..], decided as u64, salt(), &mut seen);
            assert_eq!(
                seen.records.iter().map(|record| record.0).collect::<Vec<_>>(),
                [1, 3],
                "cut at {cut}"
            );
        }
    }
}
