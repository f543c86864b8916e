//! Ids and the names of files.
//!
//! A session's id is the caller's text of up to 256 bytes and never reaches the file system: a file's name is made
//! from the id in an alphabet of our own, with a fixed length (docs/format.md, "Names"). Two ids that differ in one
//! byte are two sessions.

use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::limits::{GENERATIONS_MAX, ID_BYTES_MAX};
use crate::planted::{Planted, planted};
use crate::{Error, Result};

/// The alphabet of names: Crockford's base 32 in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How the id of a log of the store's own begins: no caller's id holds control characters.
pub const SYSTEM_PREFIX: char = '\u{1}';

/// The name of a session's files: 28 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name for a session id, or for that of a log of the store's own. Errors: `invalid` where it is neither: empty,
    /// longer than 256 bytes or with control characters.
    pub fn of(id: &str) -> Result<Self> {
        if !id.starts_with(SYSTEM_PREFIX) {
            check_id("session id", id)?;
        }
        let id = if planted(Planted::NamesCollide) { id.get(..6).unwrap_or(id) } else { id };
        let (kind, bits) = match (parse_ulid(id), parse_uuid(id)) {
            _ if id.starts_with(SYSTEM_PREFIX) => ('s', fingerprint(id)),
            (Some(bits), _) => ('l', bits),
            (_, Some(bits)) => ('u', bits),
            _ => ('h', fingerprint(id)),
        };
        Ok(Self(format!("{kind}-{}", base32(bits))))
    }

    /// Whether it is that of a log of the store's own.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('s')
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a generation's log.
    pub fn log(&self, generation: u32) -> String {
        format!("{}/{}-{generation:06}.jsonl", self.directory(), self.0)
    }

    /// The directory of the session's logs.
    pub fn directory(&self) -> String {
        format!("sessions/{}", self.0.chars().next_back().unwrap_or('0'))
    }

    /// Splits a file name of a session directory into the session's name and the generation.
    pub fn parse_log(file: &str) -> Option<(Self, u32)> {
        let stem = file.strip_suffix(".jsonl")?;
        let (name, generation) = stem.rsplit_once('-')?;
        let (kind, rest) = name.split_once('-')?;
        let ours = matches!(kind, "l" | "u" | "h" | "s")
            && rest.len() == 26
            && rest.bytes().all(|b| ALPHABET.contains(&b));
        let generation: u32 =
            generation.parse().ok().filter(|number| (1..=GENERATIONS_MAX).contains(number))?;
        (ours && stem.len() == 35).then(|| (Self(name.to_owned()), generation))
    }
}

/// The directories that session logs lie in.
pub fn session_directories() -> impl Iterator<Item = String> {
    ALPHABET.iter().map(|letter| format!("sessions/{}", char::from(*letter)))
}

/// Refuses an id that is empty, too long or not printable in one line.
pub fn check_id(what: &str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(format!("the {what} is empty; give 1 to {ID_BYTES_MAX} bytes")));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the {what} has {} bytes; give at most {ID_BYTES_MAX}",
            id.len()
        )));
    }
    if id.chars().any(char::is_control) {
        return Err(Error::invalid(format!("the {what} holds control characters; give printable text")));
    }
    Ok(())
}

/// 128 bits that stand for a text of any form.
pub fn fingerprint(text: &str) -> u128 {
    fingerprint_bytes(text.as_bytes())
}

/// 128 bits that stand for any bytes.
pub fn fingerprint_bytes(bytes: &[u8]) -> u128 {
    Sha256::digest(bytes).iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// 26 characters for 128 bits.
pub fn base32(bits: u128) -> String {
    let digit = |place: u32| ALPHABET.get((bits >> (5 * place)) as usize & 31).copied().unwrap_or(b'0');
    (0..26).rev().map(|place| char::from(digit(place))).collect()
}

/// The bits of a ULID in its canonical form (26 upper-case characters).
pub fn parse_ulid(text: &str) -> Option<u128> {
    let ulid = Ulid::from_string(text).ok()?;
    (ulid.to_string() == text).then_some(ulid.0)
}

/// The bits of a UUID in its canonical form (lower-case 8-4-4-4-12).
pub fn parse_uuid(text: &str) -> Option<u128> {
    let shaped = text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if !shaped {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

/// The text of 128 bits as a UUID.
pub fn uuid_text(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Makes a ULID of a time and random bits.
pub fn ulid(now_ms: u64, random: u128) -> u128 {
    Ulid::from_parts(now_ms, random).0
}

/// The text of a ULID.
pub fn ulid_text(bits: u128) -> String {
    Ulid(bits).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_length_and_our_alphabet_whatever_the_id() {
        let long = "x".repeat(256);
        let ids = [
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
            "../../x",
            "con",
            "a/b\\c:d",
            "é",
            "e\u{301}",
            "sess-1-abc",
            "01arz3ndektsv4rrffq69g5fav",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "__proto__",
            long.as_str(),
        ];
        let names: std::collections::HashSet<Name> = ids.iter().map(|id| Name::of(id).unwrap()).collect();
        assert_eq!(names.len(), ids.len());
        for name in names {
            assert_eq!(name.as_str().len(), 28);
            assert!(name.as_str().bytes().all(|b| matches!(b, b'-' | b'0'..=b'9' | b'a'..=b'z')));
            let path = name.log(7);
            let (_, file) = path.rsplit_once('/').unwrap();
            assert_eq!(Name::parse_log(file), Some((name, 7)));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "a\nb", "\0", "\u{85}", "x".repeat(257).as_str()] {
            assert!(Name::of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn other_files_are_not_logs() {
        let name = Name::of("a").unwrap();
        for bad in ["", "x.jsonl", "h-000001.jsonl", ".jsonl", "h--.jsonl"] {
            assert_eq!(Name::parse_log(bad), None);
        }
        for generation in ["0", "000000", "0000001", "1000000", "-00001"] {
            assert_eq!(Name::parse_log(&format!("{}-{generation}.jsonl", name.as_str())), None);
        }
    }
}
