//! JSON as text: checked once, kept byte for byte.
//!
//! Owns the validation of everything that callers give as JSON, and the few edits that the store makes on it.
//! Values are never turned into trees and back: numbers keep their digits, keys their order. Only whitespace
//! outside strings goes, because the record marker relies on its absence (docs/format.md, "The marker").

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::limits::JSON_DEPTH_MAX;

/// Why a text is not acceptable JSON. Names the byte, never the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte of the text at which it was noticed.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// Checks that `text` is one JSON value and returns it without whitespace outside strings.
///
/// Stricter than RFC 8259 where parsers disagree: at most 128 levels, no duplicate keys (compared unescaped),
/// no lone surrogates. Any number that the grammar allows is kept as written.
pub fn minify(text: &str) -> Result<String, JsonError> {
    minify_nested(text, JSON_DEPTH_MAX).map(Cow::into_owned)
}

/// As [`minify`], for an array whose elements may have 128 levels each; what has no such whitespace is not copied.
pub fn minify_array(text: &str) -> Result<Cow<'_, str>, JsonError> {
    minify_nested(text, JSON_DEPTH_MAX + 1)
}

/// As [`minify`], for a value of at most `depth_max` levels; what has no such whitespace is not copied.
pub(crate) fn minify_within(text: &str, depth_max: usize) -> Result<Cow<'_, str>, JsonError> {
    minify_nested(text, depth_max)
}

/// As [`minify`], for an array that becomes a member of an object, which then has at most 128 levels.
pub fn minify_parts(text: &str) -> Result<String, JsonError> {
    minify_nested(text, JSON_DEPTH_MAX - 1).map(Cow::into_owned)
}

fn minify_nested(text: &str, depth_max: usize) -> Result<Cow<'_, str>, JsonError> {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        at: 0,
        out: String::new(),
        kept_from: 0,
        stack: Vec::new(),
        depth_max,
    };
    scanner.document()?;
    Ok(scanner.finish())
}

/// JSON text that is kept as it is: minified, never parsed further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Checks and minifies `text`. Errors: what is no JSON by the store's rules, and where.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        minify(text).map(Self)
    }

    /// Takes text that [`minify`] has returned.
    pub(crate) fn minified(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.get().to_owned()))
    }
}

/// What the scanner is inside of.
enum Level<'a> {
    Array,
    /// With the keys seen so far.
    Object(Vec<Cow<'a, str>>),
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// What stays, up to the last whitespace that was left out; from `kept_from` on the text stays as it is.
    out: String,
    kept_from: usize,
    stack: Vec<Level<'a>>,
    depth_max: usize,
}

impl<'a> Scanner<'a> {
    fn finish(mut self) -> Cow<'a, str> {
        let rest = self.text.get(self.kept_from..self.at).unwrap_or_default();
        if self.out.is_empty() {
            return Cow::Borrowed(rest);
        }
        self.out.push_str(rest);
        Cow::Owned(self.out)
    }

    fn document(&mut self) -> Result<(), JsonError> {
        loop {
            // A value is due here; an opened array or object makes the next one due at once.
            if self.value()? {
                continue;
            }
            // A value has ended: close what it ends, or find the comma before the next.
            loop {
                self.space();
                match (self.stack.last(), self.peek()) {
                    (None, None) => return Ok(()),
                    (None, Some(_)) => return Err(self.error("more than one value")),
                    (Some(_), Some(b',')) => {
                        self.at += 1;
                        if matches!(self.stack.last(), Some(Level::Object(_))) {
                            self.key()?;
                        }
                        break;
                    }
                    (Some(Level::Array), Some(b']')) => self.close()?,
                    (Some(Level::Object(_)), Some(b'}')) => self.close()?,
                    (Some(_), None) => return Err(self.error("unexpected end")),
                    (Some(_), Some(_)) => {
                        return Err(self.error("expected a comma or the end of the array or object"));
                    }
                }
            }
        }
    }

    /// Takes one scalar or empty container (`false`), or opens a container (`true`: its first value is due).
    fn value(&mut self) -> Result<bool, JsonError> {
        self.space();
        match self.peek() {
            Some(b'{') => {
                self.open(Level::Object(Vec::new()))?;
                if self.peek() == Some(b'}') {
                    return self.close().map(|()| false);
                }
                self.key()?;
                Ok(true)
            }
            Some(b'[') => {
                self.open(Level::Array)?;
                if self.peek() == Some(b']') {
                    return self.close().map(|()| false);
                }
                Ok(true)
            }
            Some(b'"') => self.string().map(|_| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.word("true").map(|()| false),
            Some(b'f') => self.word("false").map(|()| false),
            Some(b'n') => self.word("null").map(|()| false),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn open(&mut self, level: Level<'a>) -> Result<(), JsonError> {
        if self.stack.len() >= self.depth_max {
            return Err(self.error("nested deeper than 128 levels"));
        }
        self.stack.push(level);
        self.at += 1;
        self.space();
        Ok(())
    }

    fn close(&mut self) -> Result<(), JsonError> {
        if let Some(Level::Object(mut keys)) = self.stack.pop() {
            keys.sort_unstable();
            if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                return Err(self.error("duplicate key in the object that ends"));
            }
        }
        self.at += 1;
        Ok(())
    }

    fn key(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key"));
        }
        // Only keys are compared, so only they are unescaped.
        let start = self.at;
        let key = match self.string()? {
            (raw, false) => Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()),
            (raw, true) => serde_json::from_str(raw)
                .map(Cow::Owned)
                .map_err(|_| JsonError { offset: start, what: "bad escape in the string" })?,
        };
        if let Some(Level::Object(keys)) = self.stack.last_mut() {
            keys.push(key);
        }
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a string. Returns it with its quotes, and whether it has escapes.
    fn string(&mut self) -> Result<(&'a str, bool), JsonError> {
        let start = self.at;
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let length = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            let plain = rest.get(..length).unwrap_or_default();
            if has_control(plain) {
                self.at += plain.iter().position(|byte| *byte < b' ').unwrap_or(0);
                return Err(self.error("control character in a string"));
            }
            self.at += length;
            match self.peek() {
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_) => break,
                None => return Err(self.error("unexpected end in a string")),
            }
        }
        self.at += 1;
        Ok((self.text.get(start..self.at).unwrap_or_default(), has_escapes))
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(self.error("lone surrogate"));
                    }
                    self.at += 1;
                    match self.unit()? {
                        0xdc00..=0xdfff => Ok(()),
                        _ => Err(self.error("lone surrogate")),
                    }
                }
                0xdc00..=0xdfff => Err(self.error("lone surrogate")),
                _ => Ok(()),
            },
            _ => Err(self.error("unknown escape")),
        }
    }

    /// Takes `uXXXX`.
    fn unit(&mut self) -> Result<u16, JsonError> {
        let digits = self
            .text
            .get(self.at + 1..self.at + 5)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.error("unknown escape"))?;
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        if start < self.at {
            self.out.push_str(self.text.get(self.kept_from..start).unwrap_or_default());
            self.kept_from = self.at;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }
}

/// Writes `text` as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether a control character is among `bytes`. Without an early end, so that it takes many bytes at a time.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (*byte < b' '))
}

/// Splits an object into its members, in order, values as text. `None` where `text` is not an object.
///
/// `text` must be JSON that was checked before: what is no JSON may be split somehow, or not at all.
pub fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut splitter = Splitter { text, at: 0 };
    let mut members = Vec::new();
    splitter.token(b'{')?;
    if splitter.token(b'}').is_none() {
        loop {
            let key = text_of(splitter.value()?)?;
            splitter.token(b':')?;
            members.push((key, splitter.value()?));
            if splitter.token(b',').is_none() {
                break splitter.token(b'}')?;
            }
        }
    }
    splitter.end().then_some(members)
}

/// Splits an array into its elements. `None` where `text` is not an array. As [`members`], for checked JSON.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let mut splitter = Splitter { text, at: 0 };
    let mut elements = Vec::new();
    splitter.token(b'[')?;
    if splitter.token(b']').is_none() {
        loop {
            elements.push(splitter.value()?);
            if splitter.token(b',').is_none() {
                break splitter.token(b']')?;
            }
        }
    }
    splitter.end().then_some(elements)
}

/// The text that a JSON string stands for, borrowed where it has no escapes. `None` where it is no string.
pub fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Finds where values of checked JSON end, without looking at what they are.
struct Splitter<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Splitter<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` with the whitespace before it.
    fn token(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Takes a value with the whitespace before it.
    fn value(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                // Between the values of an array or object; there is nothing to find out here.
                _ if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.scalar(),
            }
            if depth == 0 {
                return self.text.get(start..self.at).filter(|value| !value.is_empty());
            }
        }
    }

    /// Takes a string from its first quote to its last.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let length = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += length + 1;
            if rest.get(length) == Some(&b'"') {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// Takes a number or a word.
    fn scalar(&mut self) {
        while !matches!(self.peek(), None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Joins members to an object.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&quote(key));
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

/// Applies a merge patch (RFC 7396): members of `patch` replace those of `target`, `null` removes, objects merge.
/// What the patch does not name keeps its bytes and its place.
pub fn merge(target: &str, patch: &str) -> String {
    let Some(changes) = members(patch) else { return patch.to_owned() };
    let old = members(target).unwrap_or_default();
    let mut merged: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        old.into_iter().map(|(key, value)| (key, Cow::Borrowed(value))).collect();
    for (key, change) in changes {
        let place = merged.iter().position(|(known, _)| *known == key);
        if change == "null" {
            place.map(|place| merged.remove(place));
            continue;
        }
        match place.and_then(|place| merged.get_mut(place)) {
            Some((_, value)) => *value = Cow::Owned(merge(value, change)),
            None => merged.push((key, Cow::Owned(merge("{}", change)))),
        }
    }
    object(merged.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))
}

/// The one text of everything that says the same: members by their names, texts without needless escapes. Numbers stay
/// as they are written. It calls itself for each level, so `text` must be minified, which bounds the levels.
pub fn canonical(text: &str) -> String {
    if let Some(mut members) = members(text) {
        members.sort();
        let values: Vec<String> = members.iter().map(|(_, value)| canonical(value)).collect();
        object(members.iter().zip(&values).map(|((key, _), value)| (key.as_ref(), value.as_str())))
    } else if let Some(elements) = elements(text) {
        let values: Vec<String> = elements.into_iter().map(canonical).collect();
        format!("[{}]", values.join(","))
    } else {
        serde_json::from_str::<String>(text).map_or_else(|_| text.to_owned(), |text| quote(&text))
    }
}

/// The length in bytes of the text that the JSON string `raw` stands for.
pub fn text_len(raw: &str) -> u64 {
    let inner = raw.as_bytes().get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return inner.len() as u64;
    }
    serde_json::from_str::<Cow<'_, str>>(raw).map_or(0, |text| text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_outside_strings_goes_and_nothing_else() {
        let text = " { \"b\" : [ 1.50 , -0e+7, 1e400,\t\"a b\\u00e9 \\\" \" ] , \"a\":{ } , \"\": [ ]\r\n}";
        assert_eq!(minify(text).unwrap(), "{\"b\":[1.50,-0e+7,1e400,\"a b\\u00e9 \\\" \"],\"a\":{},\"\":[]}");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, offset) in [
            ("", 0),
            (" ", 1),
            ("{", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("{\"a\":1,}", 7),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("1e", 2),
            ("+1", 0),
            (".5", 0),
            ("nul", 0),
            ("NaN", 0),
            ("'a'", 0),
            ("\"a", 2),
            ("\"\n\"", 1),
            ("[1]]", 3),
            ("1 1", 2),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 2),
            ("[}", 1),
            ("{]", 1),
            ("\u{feff}1", 0),
        ] {
            let error = minify(text).unwrap_err();
            assert_eq!(error.offset, offset, "{text:?}: {error}");
        }
    }

    #[test]
    fn text_without_whitespace_is_not_copied() {
        assert!(matches!(minify_array("[{\"a b\":1},\"c \"]"), Ok(Cow::Borrowed(_))));
        assert_eq!(minify(" 1").unwrap(), "1");
        assert_eq!(minify("1 ").unwrap(), "1");
    }

    #[test]
    fn members_and_elements_are_what_a_parser_finds() {
        let values = [
            "0",
            "-1.5e3",
            "true",
            "null",
            "\"\"",
            "\"a\\\"b\\\\\"",
            "\"\\u00e9 {[,]}:\"",
            "[]",
            "{}",
            "[ 1 , [2,[]] ]",
            "{\"a\":{\"b\":[1,{\"c\":\"}\"}]}, \"d\" : null }",
            "[{\"a\":1},{\"b\":\"\\\\\"}]",
        ];
        for (first, second) in
            values.iter().flat_map(|first| values.iter().map(move |second| (first, second)))
        {
            let array = format!(" [{first} ,{second}]\n");
            let expected: Vec<&RawValue> = serde_json::from_str(&array).unwrap();
            assert_eq!(elements(&array).unwrap(), expected.iter().map(|raw| raw.get()).collect::<Vec<_>>());
            assert_eq!(members(&array), None);
            let object = format!("{{ \"k\\u0061\" :{first}, \"b\": {second} }}");
            assert_eq!(members(&object).unwrap(), [("ka".into(), *first), ("b".into(), *second)]);
            assert_eq!(elements(&object), None);
        }
        for other in [
            "", "1", "\"[]\"", "[1", "[1]]", "{\"a\":1", "{\"a\"}", "{1:2}", "[1,]x", "[\"a", "{\"a\":}",
            "[,1]",
        ] {
            assert_eq!((members(other), elements(other)), (None, None), "{other}");
        }
    }

    #[test]
    fn duplicate_keys_are_compared_unescaped() {
        assert!(minify(r#"{"a":1,"\u0061":2}"#).is_err());
        assert!(minify(r#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
        assert!(minify(r#"{"__proto__":1,"constructor":2}"#).is_ok());
    }

    #[test]
    fn lone_surrogates_are_refused_and_pairs_kept() {
        for bad in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#, r#"{"\ud800":1}"#] {
            assert!(minify(bad).is_err(), "{bad}");
        }
        assert_eq!(minify(r#""\ud83d\ude00""#).unwrap(), r#""\ud83d\ude00""#);
        assert_eq!(minify("\"\u{2028}\\u0000\"").unwrap(), "\"\u{2028}\\u0000\"");
    }

    #[test]
    fn depth_ends_at_128() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(minify(&nested(128)).is_ok());
        assert!(minify(&nested(129)).is_err());
        assert!(minify(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn a_merge_patch_leaves_what_it_does_not_name_alone() {
        assert_eq!(
            merge(r#"{"a":1.0,"b":{"c":2,"d":3},"e":4}"#, r#"{"b":{"c":null,"x":{"y":null}},"e":[1]}"#),
            r#"{"a":1.0,"b":{"d":3,"x":{}},"e":[1]}"#
        );
        assert_eq!(merge("[1]", r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(merge(r#"{"\u0061":1}"#, r#"{"a":2}"#), r#"{"a":2}"#);
    }

    #[test]
    fn text_length_counts_what_the_string_stands_for() {
        assert_eq!(text_len(r#""abc""#), 3);
        assert_eq!(text_len(r#""\n\u00e9\ud83d\ude00""#), 1 + 2 + 4);
        assert_eq!(text_len("\"\""), 0);
    }
}
