//! Records by docs/format.md alone, written once more and as plainly as can be: what the core is compared with.

use std::ops::Range;

/// How every record begins.
pub const MARKER: &[u8] = b"{\"t\": \"";
const SUM: &[u8] = b",\"c\":\"";
const TRAILER_BYTES: usize = 16;
/// What stands for the checksum of a record that is to be right.
const ASKS_FOR_SUM: &[u8] = b",\"c\":\"########\"}";

/// What a byte does to a checksum.
static STEPS: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| {
    let bit = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    let mut steps = [0; 256];
    for (step, byte) in steps.iter_mut().zip(0..) {
        *step = (0..8).fold(byte, bit);
    }
    steps
});

/// CRC-32C, byte by byte.
fn castagnoli(bytes: &[u8]) -> u32 {
    let steps = &*STEPS;
    !bytes.iter().fold(!0_u32, |sum, byte| steps[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ sum >> 8)
}

/// The checksum of a record of the log at `path`.
fn sum(path: &str, covered: &[u8]) -> u32 {
    castagnoli(path.as_bytes()) ^ castagnoli(covered)
}

/// One record of the log at `path` as a line, with its newline. `members` is the inside of an object.
pub fn line(path: &str, kind: &str, members: &str) -> String {
    let body = format!("{{\"t\": \"{kind}\",{members}");
    format!("{body},\"c\":\"{:08x}\"}}\n", sum(path, body.as_bytes()))
}

/// Gives every record of the log at `path` that asks for its checksum (`########`) the right one. Without this a fuzzer would never come
/// past the checksum: what it changes would be damage, and nothing else.
pub fn seal(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut begin = 0;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(MARKER) {
            begin = out.len();
        }
        if rest.starts_with(ASKS_FOR_SUM) {
            let sum = sum(path, &out[begin..]);
            out.extend(format!(",\"c\":\"{sum:08x}\"}}").bytes());
            at += ASKS_FOR_SUM.len();
            continue;
        }
        out.push(bytes[at]);
        at += 1;
        if bytes[at - 1] == b'\n' {
            begin = out.len();
        }
    }
    out
}

/// The reverse, for seeds: every checksum becomes a question for it.
pub fn unseal(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..out.len().saturating_sub(TRAILER_BYTES - 1) {
        let piece = &out[at..at + TRAILER_BYTES];
        if piece.starts_with(SUM) && piece.ends_with(b"\"}") {
            out[at..at + TRAILER_BYTES].copy_from_slice(ASKS_FOR_SUM);
        }
    }
    out
}

/// What the bytes of a log are.
#[derive(Debug, Default, PartialEq)]
pub struct Layout {
    /// Records, without their newlines.
    pub records: Vec<Range<usize>>,
    /// Runs of bytes that are no record; those that touch are one.
    pub damage: Vec<(u64, u64)>,
    /// Where the undecided end begins.
    pub end: usize,
}

impl Layout {
    /// Takes the log at `path` apart as the page says.
    pub fn of(path: &str, bytes: &[u8]) -> Self {
        let mut layout = Self::default();
        while let Some(length) = bytes[layout.end..].iter().position(|byte| *byte == b'\n') {
            let line = layout.end..layout.end + length;
            if is_record(path, &bytes[line.clone()]) {
                layout.records.push(line.clone());
            } else {
                let decided = layout.pieces(path, bytes, line.clone());
                layout.damage(decided, line.end);
            }
            layout.end = line.end + 1;
        }
        layout.end = layout.pieces(path, bytes, layout.end..bytes.len());
        layout
    }

    /// Cuts before each marker. Returns the end of what is decided if nothing follows.
    fn pieces(&mut self, path: &str, bytes: &[u8], line: Range<usize>) -> usize {
        let marks = |at: &usize| bytes[*at..line.end].starts_with(MARKER);
        let starts: Vec<usize> = line.clone().filter(marks).collect();
        let mut decided = line.start;
        for (place, start) in starts.iter().enumerate() {
            self.damage(decided, *start);
            decided = *start;
            let piece = &bytes[*start..starts.get(place + 1).copied().unwrap_or(line.end)];
            let sum = (TRAILER_BYTES..=piece.len()).find(|length| sums_up(path, &piece[..*length]));
            if let Some(length) = sum.filter(|length| std::str::from_utf8(&piece[..*length]).is_ok()) {
                self.records.push(*start..start + length);
                decided = start + length;
            }
        }
        decided
    }

    fn damage(&mut self, from: usize, to: usize) {
        let (from, to) = (from as u64, to as u64);
        match self.damage.last_mut() {
            _ if from == to => {}
            Some(last) if last.1 == from => last.1 = to,
            _ => self.damage.push((from, to)),
        }
    }
}

/// Whether the bytes end with their checksum.
fn sums_up(path: &str, bytes: &[u8]) -> bool {
    let (covered, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    trailer.starts_with(SUM)
        && trailer.ends_with(b"\"}")
        && trailer == format!(",\"c\":\"{:08x}\"}}", sum(path, covered)).as_bytes()
}

/// Whether a line, without its newline, is one record of the log at `path`.
pub fn is_record(path: &str, line: &[u8]) -> bool {
    line.starts_with(MARKER)
        && line.len() >= TRAILER_BYTES
        && sums_up(path, line)
        && std::str::from_utf8(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_page() {
        assert_eq!(castagnoli(b"123456789"), 0xe306_9283);
        assert_eq!(
            line("log", "+", "\"m\":3,\"o\":5,\"x\":\"a\\\"b\""),
            "{\"t\": \"+\",\"m\":3,\"o\":5,\"x\":\"a\\\"b\",\"c\":\"3dcc501c\"}\n"
        );
    }

    #[test]
    fn what_is_unsealed_is_sealed_to_the_same() {
        let text = format!("{}torn{}\n\0", line("log", "a", "\"x\":1"), line("log", "b", "\"x\":{}"));
        assert_ne!(unseal(text.as_bytes()), text.as_bytes());
        assert_eq!(seal("log", &unseal(text.as_bytes())), text.as_bytes());
    }

    #[test]
    fn a_log_is_taken_apart() {
        let (a, b) = (line("log", "a", "\"x\":1"), line("log", "b", "\"x\":2"));
        let text = format!("{a}torn{b}\0\n\n{}", &a[..20]);
        let layout = Layout::of("log", text.as_bytes());
        let at = a.len() + 4;
        assert_eq!(layout.records, [0..a.len() - 1, at..at + b.len() - 1]);
        let behind = (at + b.len()) as u64;
        assert_eq!(layout.damage, [(a.len() as u64, at as u64), (behind, behind + 1)]);
        assert_eq!(layout.end, text.len() - 20);
    }
}
