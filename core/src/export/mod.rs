//! Sessions as the files of other systems: the way back of [`crate::import`].
//!
//! Pure functions: a session and its messages in, JSON text out. Reading the store and writing files is the host's
//! work. A session that came from the format gets its own text back, member by member, as far as it has not changed
//! here since; what has changed, and sessions from elsewhere, are written anew. What the format has no place for is
//! counted, never dropped in silence.

pub mod nanocoder;
pub mod nomadarch;
pub mod octocode;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::facts::{Facts, Session};
use crate::import::{Members, decode_string};
use crate::json::{self, Json, elements, members, quote};

/// The member of a session's metadata that an import notes its work in.
pub const IMPORTED: &str = "imported";

/// What a format has no place for: what, and how many.
pub type Lost = BTreeMap<&'static str, u64>;

fn lose(lost: &mut Lost, what: &'static str) {
    *lost.entry(what).or_default() += 1;
}

/// A message as [`crate::Sessions::read`] gives it.
#[derive(Clone, Debug, Deserialize)]
pub struct Stored<'a> {
    /// The store's id.
    pub id: String,
    /// When it came, in ms.
    pub created_at: u64,
    /// When it last changed, in ms.
    pub updated_at: u64,
    /// The message.
    #[serde(borrow)]
    pub message: &'a RawValue,
}

/// Takes a page of messages apart. `None` where it is none.
pub fn page(messages: &str) -> Option<Vec<Stored<'_>>> {
    serde_json::from_str(messages).ok()
}

/// Whether a session came from a format.
pub fn is_from(facts: &Facts, format: &str) -> bool {
    facts.metadata.as_ref().is_some_and(|metadata| {
        members(metadata.as_str()).is_some_and(|members| members.iter().any(|(key, _)| key == format))
    })
}

/// What the import has kept of a session (`import::document::kept`), and what is known of its state then.
struct Kept<'a> {
    /// The members of the session as they stood in the file.
    session: Cow<'a, str>,
    /// The other members of the format's metadata.
    more: Vec<(Cow<'a, str>, &'a str)>,
    /// `updated` of the session when the import was done.
    updated: u64,
}

impl<'a> Kept<'a> {
    fn of(metadata: Option<&'a Json>, format: &str) -> Self {
        let metadata = metadata.and_then(|metadata| members(metadata.as_str())).unwrap_or_default();
        let find = |key: &str| metadata.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
        let more = find(format).and_then(members).unwrap_or_default();
        let mut kept = Self { session: "{}".into(), more, updated: 0 };
        if let Some(value) = kept.more("session").and_then(first) {
            kept.session = decode_string(value).unwrap_or(value.into());
        }
        let imported = find(IMPORTED).and_then(members).unwrap_or_default();
        let updated = imported.iter().find(|(name, _)| name == "updated").map(|(_, value)| *value);
        kept.updated = updated.and_then(|value| value.parse().ok()).unwrap_or_default();
        kept
    }

    fn more(&self, key: &str) -> Option<&'a str> {
        self.more.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Whether nothing of the session but `accessed` has changed since the import.
    fn is_current(&self, session: &Session) -> bool {
        session.facts.updated <= self.updated
    }
}

/// The only element of a list.
fn first(list: &str) -> Option<&str> {
    elements(list)?.first().copied()
}

/// An object that begins as it was kept, and in which what has changed since is replaced.
struct Overlay<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Overlay<'a> {
    fn of(kept: &'a str) -> Self {
        let members = Members::parse(kept).unwrap_or_default();
        Self(members.0.into_iter().map(|(key, value)| (key, value.into())).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rfind(|(name, _)| *name == key).map(|(_, value)| value.as_ref())
    }

    fn set(&mut self, key: &'a str, value: String) {
        self.remove_but_last(key);
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((key, value.into())),
        }
    }

    /// Of a key that stands there twice the last one counts.
    fn remove_but_last(&mut self, key: &str) {
        let Some(last) = self.0.iter().rposition(|(name, _)| *name == key) else { return };
        let mut at = 0;
        self.0.retain(|(name, _)| {
            at += 1;
            *name != key || at > last
        });
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| *name != key);
    }

    /// Sets a text unless the one that is there means `now`. Where there is neither, it becomes `absent`.
    fn text(
        &mut self,
        key: &'a str,
        now: Option<&str>,
        absent: &str,
        meaning: impl Fn(&str) -> Option<String>,
    ) {
        let meant = self.get(key).and_then(decode_string).and_then(|text| meaning(&text));
        if meant.as_deref() != now || self.get(key).is_none() {
            self.set(key, now.map_or(absent.to_owned(), quote));
        }
    }

    /// Sets a value unless there is one that still holds.
    fn value(&mut self, key: &'a str, still_holds: bool, now: impl FnOnce() -> String) {
        if !still_holds || self.get(key).is_none() {
            self.set(key, now());
        }
    }

    fn json(&self) -> String {
        let members = Members(self.0.iter().map(|(key, value)| (*key, value.as_ref())).collect());
        let mut out = String::new();
        members.write(&mut out);
        out
    }
}

/// A message that was not made by the format: what there is to tell of it.
struct View<'a> {
    role: Cow<'a, str>,
    parts: Vec<Members<'a>>,
}

impl<'a> View<'a> {
    /// `None` for messages that nobody is shown; they are counted.
    fn of(json: &'a str, lost: &mut Lost) -> Option<Self> {
        let message = Members::parse(json)?;
        if message.is_true("hidden") {
            lose(lost, "hidden messages");
            return None;
        }
        let parts = elements(message.get("parts")?)?.into_iter().filter_map(Members::parse).collect();
        Some(Self { role: message.string("role")?, parts })
    }

    fn parts(&self, kind: &'static str) -> impl Iterator<Item = &Members<'a>> {
        self.parts.iter().filter(move |part| part.string("type").is_some_and(|name| name == kind))
    }

    /// The texts of parts of some kinds, one below the other, as a JSON string. `None` where there is none.
    fn text(&self, kinds: &[&str]) -> Option<String> {
        let is_wanted =
            |part: &&Members<'_>| part.string("type").is_some_and(|kind| kinds.contains(&kind.as_ref()));
        let texts: Vec<Cow<'_, str>> =
            self.parts.iter().filter(is_wanted).filter_map(|part| part.string("text")).collect();
        (!texts.is_empty()).then(|| quote(&texts.join("\n")))
    }

    /// Counts the parts of kinds that the format has no place for.
    fn lose_others(&self, known: &[&str], lost: &mut Lost) {
        for part in &self.parts {
            let kind = part.string("type").unwrap_or_default();
            if !known.contains(&kind.as_ref()) {
                lose(
                    lost,
                    match kind.as_ref() {
                        "image" => "images",
                        "file" => "files",
                        "code" => "pieces of code",
                        _ => "parts of other kinds",
                    },
                );
            }
        }
    }
}

/// The content of a tool's result as a JSON string: texts as they are, lists of texts joined, all else as JSON.
fn result_text(content: &str) -> String {
    if decode_string(content).is_some() {
        return content.to_owned();
    }
    let blocks = elements(content).unwrap_or_default();
    let texts: Vec<String> =
        blocks.iter().filter_map(|block| Some(Members::parse(block)?.string("text")?.into_owned())).collect();
    if !texts.is_empty() && texts.len() == blocks.len() { quote(&texts.join("\n")) } else { quote(content) }
}

/// JSON text as it is printed with an indent of two, in pieces.
#[derive(Debug, Default)]
pub struct Printer {
    out: String,
    /// The bracket that closes each open value, and whether there is something in it.
    open: Vec<(char, bool)>,
}

impl Printer {
    /// Begins an object or, with `[`, a list; with a key inside an object.
    pub fn open(&mut self, key: Option<&str>, bracket: char) {
        self.next(key);
        self.out.push(bracket);
        self.open.push((if bracket == '{' { '}' } else { ']' }, false));
    }

    /// Ends what was begun last.
    pub fn close(&mut self) {
        if let Some((bracket, has_values)) = self.open.pop() {
            if has_values {
                self.line();
            }
            self.out.push(bracket);
        }
    }

    /// Prints a value; with a key inside an object.
    pub fn value(&mut self, key: Option<&str>, json: &str) {
        self.next(key);
        self.print(json);
    }

    /// Prints every member of an object into the one that is open.
    pub fn members(&mut self, object: &str) {
        for (key, value) in Members::parse(object).unwrap_or_default().0 {
            self.next_raw(Some(key));
            self.print(value);
        }
    }

    /// What was printed since the last call.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    fn next(&mut self, key: Option<&str>) {
        let quoted = key.map(quote);
        self.next_raw(
            quoted.as_deref().map(|key| key.get(1..key.len().saturating_sub(1)).unwrap_or_default()),
        );
    }

    fn next_raw(&mut self, key: Option<&str>) {
        if let Some((_, has_values)) = self.open.last_mut() {
            if std::mem::replace(has_values, true) {
                self.out.push(',');
            }
            self.line();
        }
        if let Some(key) = key {
            self.out.push('"');
            self.out.push_str(key);
            self.out.push_str("\": ");
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.open.len()));
    }

    /// It calls itself for each level; what the store holds has at most 128 of them.
    fn print(&mut self, json: &str) {
        let json = json.trim();
        if let Some(members) = Members::parse(json) {
            self.out.push('{');
            self.open.push(('}', false));
            for (key, value) in members.0 {
                self.next_raw(Some(key));
                self.print(value);
            }
            self.close();
        } else if let Some(values) = elements(json) {
            self.out.push('[');
            self.open.push((']', false));
            for value in values {
                self.next_raw(None);
                self.print(value);
            }
            self.close();
        } else {
            self.out.push_str(json);
        }
    }
}

/// Whether two JSON texts say the same: members in any order, texts by what they mean, numbers as they are written.
pub fn is_same(one: &str, other: &str) -> bool {
    match (json::minify(one), json::minify(other)) {
        (Ok(one), Ok(other)) => one == other || json::canonical(&one) == json::canonical(&other),
        _ => one == other,
    }
}

/// The time in the form of `Date.toISOString`.
pub fn iso_utc(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // The inverse of `import::days_since_1970`: eras of 400 years, years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::parse_utc_ms;

    #[test]
    fn times_are_written_as_they_are_read() {
        for ms in [
            0,
            1,
            951_782_400_000,
            951_868_799_500,
            1_735_689_599_999,
            1_756_860_439_293,
            253_402_300_799_999,
        ] {
            assert_eq!(parse_utc_ms(&iso_utc(ms)), Some(ms), "{}", iso_utc(ms));
        }
        for day in 0..80_000 {
            assert_eq!(parse_utc_ms(&iso_utc(day * 86_400_000)), Some(day * 86_400_000));
        }
    }

    #[test]
    fn what_is_printed_in_pieces_is_what_serde_prints() {
        let json = r#"{"a":{},"b":[],"c":[1,{"d":"x, {}"}],"e\n":null}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let mut printer = Printer::default();
        printer.value(None, json);
        assert_eq!(printer.take(), serde_json::to_string_pretty(&value).unwrap());

        printer.open(None, '{');
        printer.members(r#"{"a":{},"b":[]}"#);
        printer.open(Some("c"), '[');
        printer.value(None, "1");
        let first = printer.take();
        printer.value(None, r#"{"d":"x, {}"}"#);
        printer.close();
        printer.value(Some("e\n"), "null");
        printer.close();
        assert_eq!(first + &printer.take(), serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn documents_are_the_same_whatever_the_order_of_members() {
        assert!(is_same(r#"{"a":1,"b":["\u0041"]}"#, "{ \"b\": [\"A\"], \"a\": 1 }"));
        for (one, other) in
            [("[1,2]", "[2,1]"), ("{\"a\":1}", "{\"a\":1,\"b\":2}"), ("1", "1.0"), ("\"1\"", "1"), ("{", "[")]
        {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn results_of_tools_become_texts() {
        assert_eq!(result_text("\"a\\n\""), "\"a\\n\"");
        assert_eq!(result_text(r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#), "\"a\\nb\"");
        assert_eq!(result_text(r#"{"a":1}"#), r#""{\"a\":1}""#);
        assert_eq!(result_text("[]"), "\"[]\"");
    }
}
