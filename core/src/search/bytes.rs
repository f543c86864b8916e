//! Numbers and texts as bytes, and files in pages that each carry a checksum.
//!
//! Whoever reads a part of a file reads whole pages and so knows that what he reads is what was written.

use crate::record::checksum;

/// The bytes of a page: so much of what is stored, and its checksum.
const PAGE: u64 = 4096;
const SUM: u64 = 4;
const ROOM: u64 = PAGE - SUM;

/// Appends a number: 7 bits a byte, the lowest first.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes().first().map_or(0, |low| low | 0x80));
        number >>= 7;
    }
    out.push(number.to_le_bytes().first().copied().unwrap_or(0));
}

/// Appends a difference, which may be below 0.
pub fn put_difference(out: &mut Vec<u8>, from: u64, to: u64) {
    if to >= from {
        put(out, (to - from) << 1);
    } else {
        put(out, ((from - to) << 1) | 1);
    }
}

/// Appends a text with its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads what was put. Everything is `None` where there is no more of it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where it is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether all is read.
    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of 32 bits.
    pub fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// A number of things that follow, each of at least one byte: so never more than there are bytes.
    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.bytes.len() - self.at)
    }

    /// A number by its difference from another.
    pub fn difference(&mut self, from: u64) -> Option<u64> {
        let by = self.number()?;
        if by & 1 == 0 { from.checked_add(by >> 1) } else { from.checked_sub(by >> 1) }
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Passes over so many numbers.
    pub fn skip(&mut self, mut numbers: u64) -> Option<()> {
        while numbers > 0 {
            numbers -= u64::from(*self.bytes.get(self.at)? < 0x80);
            self.at += 1;
        }
        Some(())
    }
}

/// The bytes of a file that holds `data`.
pub fn paged(data: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(data.len() + data.len() / 1000 + 8);
    for page in data.chunks(usize::try_from(ROOM).unwrap_or(1)) {
        file.extend_from_slice(page);
        file.extend_from_slice(&checksum(page).to_le_bytes());
    }
    file
}

/// How many bytes a file of that size holds. `None` where no file has that size.
pub fn held(size: u64) -> Option<u64> {
    let rest = match size % PAGE {
        0 => 0,
        rest => rest.checked_sub(SUM).filter(|rest| *rest > 0)?,
    };
    Some(size / PAGE * ROOM + rest)
}

/// Where the pages lie that hold `from..to`: the first byte and the one behind the last, in a file of that size.
pub fn pages_of(from: u64, to: u64, size: u64) -> (u64, u64) {
    (from / ROOM * PAGE, (to.div_ceil(ROOM) * PAGE).min(size))
}

/// What the pages that were read for `from..to` hold of it. `None` where one is damaged.
pub fn unpaged(pages: &[u8], from: u64, to: u64) -> Option<Vec<u8>> {
    let mut held = Vec::with_capacity(pages.len());
    for page in pages.chunks(usize::try_from(PAGE).ok()?) {
        let (data, sum) = page.split_at_checked(page.len().checked_sub(usize::try_from(SUM).ok()?)?)?;
        if checksum(data).to_le_bytes() != sum {
            return None;
        }
        held.extend_from_slice(data);
    }
    let skip = usize::try_from(from % ROOM).ok()?;
    let length = usize::try_from(to.checked_sub(from)?).ok()?;
    if held.len() < skip + length {
        return None;
    }
    held.truncate(skip + length);
    held.drain(..skip);
    Some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX];
        let mut out = Vec::new();
        numbers.iter().for_each(|number| put(&mut out, *number));
        put_difference(&mut out, 10, 3);
        put_text(&mut out, "é");
        let mut reader = Reader::new(&out);
        numbers.iter().for_each(|number| assert_eq!(reader.number(), Some(*number)));
        assert_eq!((reader.difference(10), reader.text(), reader.is_done()), (Some(3), Some("é"), true));
        assert_eq!((reader.number(), reader.text(), reader.skip(1)), (None, None, None));
        assert_eq!(Reader::new(&[0xff; 11]).number(), None);
        assert_eq!(Reader::new(&[0x7f]).count(), None);
    }

    #[test]
    fn any_range_of_a_paged_file_can_be_read_alone() {
        let data: Vec<u8> = (0..10_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let file = paged(&data);
        let size = file.len() as u64;
        assert_eq!(held(size), Some(10_000));
        for (from, to) in [(0, 10_000), (0, 1), (4091, 4093), (4092, 4093), (8184, 9000), (9999, 10_000)] {
            let (first, last) = pages_of(from, to, size);
            let range = |from: u64, to: u64| usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
            let pages = &file[range(first, last)];
            assert_eq!(unpaged(pages, from, to).unwrap(), &data[range(from, to)], "{from}..{to}");
        }
    }

    #[test]
    fn a_changed_byte_is_seen() {
        let file = paged(&[7; 5000]);
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(unpaged(&bad, 0, 5000), None);
        }
        assert_eq!((held(1), held(4), held(4100), unpaged(&file[..4096], 0, 5000)), (None, None, None, None));
    }
}
