//! From text to words: what is one, and what counts as the same.
//!
//! A word is a run of letters, digits and the marks on them. Scripts that put no spaces between words (Han, kana,
//! Hangul, Thai, Lao, Khmer, Burmese) have a word for each character, so that any run of them is found as a phrase.
//! Words are the same whatever their case, accents and width: they are kept folded. A word in camel case is found whole
//! and by its parts.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What is longer counts as the same where it begins the same, in characters.
pub const WORD_CHARS_MAX: usize = 64;
/// A run of this many bytes of base 64 holds no words.
const BLOB_BYTES: usize = 512;

/// A word of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word, folded.
    pub text: &'a str,
    /// Its first byte in the text.
    pub from: usize,
    /// The byte behind its last.
    pub to: usize,
    /// Its place among the words of the text. A part of a word has the place of the whole.
    pub place: u32,
    /// Whether it is a part of the word before.
    pub is_part: bool,
}

/// Calls `each` with every word of `text`, in order.
pub fn each_word(text: &str, each: &mut dyn FnMut(Word<'_>)) {
    let mut place = 0;
    let mut folded = String::new();
    let mut chars = text.char_indices().peekable();
    let mut blob_to = 0;
    while let Some((from, first)) = chars.next() {
        if !first.is_alphanumeric() || from < blob_to {
            continue;
        }
        if first.is_ascii() {
            blob_to = from + blob_bytes(text, from);
            if blob_to > from {
                continue;
            }
        }
        let alone = stands_alone(first);
        let mut to = from + first.len_utf8();
        while let Some((at, next)) = chars.peek().copied() {
            let goes_on = if alone {
                is_combining_mark(next)
            } else {
                (next.is_alphanumeric() || is_combining_mark(next)) && !stands_alone(next)
            };
            if !goes_on {
                break;
            }
            to = at + next.len_utf8();
            chars.next();
        }
        let whole = text.get(from..to).unwrap_or_default();
        fold_into(whole, &mut folded);
        if folded.is_empty() {
            continue;
        }
        each(Word { text: &folded, from, to, place, is_part: false });
        if whole.len() <= WORD_CHARS_MAX {
            each_part(whole, &mut |part_from, part_to| {
                fold_into(whole.get(part_from..part_to).unwrap_or_default(), &mut folded);
                let (from, to) = (from + part_from, from + part_to);
                each(Word { text: &folded, from, to, place, is_part: true });
            });
        }
        place += 1;
    }
}

/// The folded words of what somebody looks for, without parts.
pub fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, &mut |word| {
        if !word.is_part {
            words.push(word.text.to_owned());
        }
    });
    words
}

/// The length of the run of base 64 at `from`, or 0 where it is too short to be one.
fn blob_bytes(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    // Nearly always a byte near the beginning ends it.
    let is_blob = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let length = rest.iter().position(|byte| !is_blob(byte)).unwrap_or(rest.len());
    if length >= BLOB_BYTES { length } else { 0 }
}

/// Whether a character is a word of its own.
fn stands_alone(char: char) -> bool {
    matches!(u32::from(char),
        0x0e00..=0x0eff            // Thai, Lao
        | 0x1000..=0x109f          // Burmese
        | 0x1100..=0x11ff          // Hangul jamo
        | 0x1780..=0x17ff          // Khmer
        | 0x3040..=0x30ff          // Hiragana, Katakana
        | 0x3100..=0x312f          // Bopomofo
        | 0x31f0..=0x31ff          // Katakana extensions
        | 0x3400..=0x4dbf          // Han
        | 0x4e00..=0x9fff
        | 0xa9e0..=0xa9ff          // Burmese
        | 0xaa60..=0xaa7f
        | 0xac00..=0xd7af          // Hangul
        | 0xf900..=0xfaff          // Han
        | 0xff66..=0xffdc          // Kana and Hangul of half width
        | 0x20000..=0x3ffff) // Han
}

/// Folds a word: compatible forms, no accents, lower case.
fn fold_into(word: &str, out: &mut String) {
    out.clear();
    if word.is_ascii() {
        out.extend(word.bytes().take(WORD_CHARS_MAX).map(|byte| char::from(byte.to_ascii_lowercase())));
        return;
    }
    for char in word.chars().take(WORD_CHARS_MAX) {
        match u32::from(char) {
            0..=0x7f => out.push(char.to_ascii_lowercase()),
            // A syllable stays one.
            0xac00..=0xd7af => out.push(char),
            _ => decompose_compatible(char, |char| fold_char(char, out)),
        }
    }
}

fn fold_char(char: char, out: &mut String) {
    match char {
        '\u{300}'..='\u{36f}' => {}
        'ß' => out.push_str("ss"),
        'ς' => out.push('σ'),
        char if char.is_alphanumeric() || is_combining_mark(char) => out.extend(char.to_lowercase()),
        _ => {}
    }
}

/// Calls `each` with the ranges of the parts of a word in camel case: `HashMap`, `HTTPServer`. None where it has none.
fn each_part(word: &str, each: &mut dyn FnMut(usize, usize)) {
    // Most words have no capital behind their beginning.
    if !word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        return;
    }
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let mut from = 0;
    let mut cuts = Vec::new();
    for (index, (at, char)) in chars.iter().enumerate().skip(1) {
        let before = index.checked_sub(1).and_then(|index| chars.get(index)).map_or('\0', |(_, char)| *char);
        let behind = chars.get(index + 1).map_or('\0', |(_, char)| *char);
        let begins = char.is_uppercase() && (!before.is_uppercase() || behind.is_lowercase());
        if begins {
            cuts.push((from, *at));
            from = *at;
        }
    }
    if !cuts.is_empty() {
        cuts.push((from, word.len()));
        // One letter says nothing.
        cuts.into_iter().filter(|(from, to)| to - from > 1).for_each(|(from, to)| each(from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(text, &mut |word| {
            assert!(text.get(word.from..word.to).is_some());
            words.push(format!("{}{}", if word.is_part { "-" } else { "" }, word.text));
        });
        words
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(all("Why does it fail? utf8, 3.14"), ["why", "does", "it", "fail", "utf8", "3", "14"]);
        assert_eq!(all("read_file src/main.rs"), ["read", "file", "src", "main", "rs"]);
        assert_eq!(all(" ... "), [""; 0]);
    }

    #[test]
    fn camel_case_is_found_whole_and_in_parts() {
        assert_eq!(all("HashMap::new"), ["hashmap", "-hash", "-map", "new"]);
        assert_eq!(all("parseHTTPServer"), ["parsehttpserver", "-parse", "-http", "-server"]);
        assert_eq!(all("Word HTTP aB"), ["word", "http", "ab"]);
        assert_eq!(words_of("HashMap::new"), ["hashmap", "new"]);
    }

    #[test]
    fn what_reads_the_same_is_the_same() {
        let cafe = all("café");
        assert_eq!(all("CAFÉ"), cafe);
        assert_eq!(all("cafe\u{301}"), cafe);
        assert_eq!(all("ｃａｆｅ"), cafe);
        assert_eq!(all("Straße ΣΊΣΥΦΟΣ Việt"), ["strasse", "σισυφοσ", "viet"]);
    }

    #[test]
    fn scripts_without_spaces_have_a_word_for_each_character() {
        assert_eq!(all("全文検索test索引"), ["全", "文", "検", "索", "test", "索", "引"]);
        assert_eq!(all("한국어"), ["한", "국", "어"]);
        // Composed, decomposed and of half width.
        assert_eq!(all("が"), all("か\u{3099}"));
        assert_eq!(all("ガ"), all("ｶﾞ").concat().split(' ').collect::<Vec<_>>());
        assert_eq!(all("ไทย").len(), 3);
    }

    #[test]
    fn blobs_hold_no_words_and_long_words_are_cut() {
        let blob = "QUJD".repeat(200);
        assert_eq!(all(&format!("before {blob} behind")), ["before", "behind"]);
        let long = "x".repeat(100);
        assert_eq!(all(&long), ["x".repeat(64)]);
    }
}
