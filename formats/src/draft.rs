//! Making messages of the neutral model, and giving back what they were made from.
//!
//! A message carries its record in `source.raw`, in a list of one: a merge patch would drop the nulls of an object.
//! What its parts hold is not stored twice: in its place stands a reference `{"$part":[<part>,<member>]}`, and where a
//! part holds the end of a text (the data of a data URL) the beginning as a third element. So a part that has changed
//! in the store changes the record too. The invariant: a reference is only made where taking it back gives the very
//! same text, which is tried.

use std::borrow::Cow;

use sessile_core::import::{ImportedMessage, Members, Record, fingerprint};
use sessile_core::json::{elements, object, quote};

/// The member of a reference.
pub const PART: &str = "{\"$part\":[";

/// Shorter values are cheaper to repeat than to refer to.
const HELD_BYTES_MIN: usize = 40;

/// A message that is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub role: &'static str,
    /// Parts, as JSON.
    pub parts: Vec<String>,
    pub at: Option<u64>,
    /// Members besides, as JSON: `model`, `usage`, `parent`.
    pub more: Vec<(&'static str, String)>,
    /// Not for people, nor for a model.
    pub hidden: bool,
    pub is_error: bool,
    /// Stands for what was said before it.
    pub is_summary: bool,
}

impl Draft {
    pub fn new(role: &'static str) -> Self {
        Self { role, ..Self::default() }
    }

    /// Adds a member, if there is a value.
    pub fn set(&mut self, key: &'static str, value: Option<String>) {
        self.more.extend(value.map(|value| (key, value)));
    }

    /// Adds a text, a JSON string, unless it is empty.
    pub fn text(&mut self, kind: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| text.starts_with('"') && *text != "\"\"") {
            self.parts.push(part(kind, &[("text", text)]));
        }
    }

    /// Whether the message says something to people.
    pub fn is_said(&self) -> bool {
        !self.hidden && !self.is_summary && !self.parts.is_empty()
    }

    /// The message that was made from `record`. `version` is the version of a message that may change.
    pub fn finish(
        self,
        format: &str,
        key: String,
        record: &Record,
        version: Option<String>,
    ) -> ImportedMessage {
        let mut out = format!("{{\"role\":\"{}\",\"id\":{},\"parts\":[", self.role, quote(&key));
        out.push_str(&self.parts.join(","));
        out.push(']');
        for (key, value) in &self.more {
            out.push_str(&format!(",\"{key}\":{value}"));
        }
        if self.is_error {
            out.push_str(",\"status\":\"error\"");
        }
        if self.is_summary {
            out.push_str(",\"compact_summary\":true");
        }
        if self.hidden {
            out.push_str(",\"hidden\":true");
        }
        out.push_str(&format!(",\"source\":{{\"format\":\"{format}\",\"line\":{}", record.place.line));
        if let Some(version) = &version {
            out.push_str(&format!(",\"version\":{}", quote(version)));
        }
        let original =
            record.original.as_deref().or(record.text.contains(PART).then_some(record.text.as_str()));
        match original {
            Some(original) => out.push_str(&format!(",\"text\":{}", quote(original))),
            None => out.push_str(&format!(",\"raw\":[{}]", held(&record.text, &self.parts))),
        }
        out.push_str("}}");
        ImportedMessage { key, created_ms: self.at, json: out, version }
    }
}

/// A part of a kind, with members that are JSON.
pub(crate) fn part(kind: &str, members: &[(&str, &str)]) -> String {
    let kind = quote(kind);
    object([("type", kind.as_str())].into_iter().chain(members.iter().copied()))
}

/// A part with a foreign value as it stands.
pub(crate) fn opaque(data: &str) -> String {
    part("opaque", &[("data", data)])
}

/// An image of a data URL or another one, a JSON string.
pub(crate) fn image_of_url(url: &str) -> Option<String> {
    let inner = url.strip_prefix('"')?.strip_suffix('"')?;
    match inner.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media, data)) => {
            let (media, data) = (format!("\"{media}\""), format!("\"{data}\""));
            Some(part("image", &[("media_type", &media), ("data", &data)]))
        }
        None => Some(part("image", &[("url", url)])),
    }
}

/// A call of a tool. `id`, `name` are JSON strings.
pub(crate) fn call(id: Option<&str>, name: Option<&str>, arguments: &str) -> String {
    let text =
        |value: Option<&'_ str>| value.filter(|value| value.starts_with('"')).unwrap_or("\"\"").to_owned();
    part("tool_call", &[("id", &text(id)), ("name", &text(name)), ("arguments", arguments)])
}

/// What a tool has answered. `content` is a JSON string or a list of blocks.
pub(crate) fn result(call_id: Option<&str>, content: &str, is_error: bool) -> String {
    let call_id = call_id.filter(|id| id.starts_with('"')).unwrap_or("\"\"");
    let mut members = vec![("call_id", call_id), ("content", content)];
    members.extend(is_error.then_some(("is_error", "true")));
    part("tool_result", &members)
}

/// A list of JSON values.
pub(crate) fn list<T: AsRef<str>>(values: &[T]) -> String {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    format!("[{}]", values.join(","))
}

/// The value with references in place of what the parts hold.
fn held<'a>(raw: &'a str, parts: &[String]) -> Cow<'a, str> {
    let members: Vec<Members<'_>> = parts.iter().filter_map(|part| Members::parse(part)).collect();
    if members.len() != parts.len() {
        return Cow::Borrowed(raw);
    }
    let mut out = raw.to_owned();
    for (index, part) in members.iter().enumerate() {
        for (key, value) in &part.0 {
            refer(&mut out, index, key, value);
        }
    }
    match restored(&out, &members) {
        Some(back) if back == raw => Cow::Owned(out),
        _ => Cow::Borrowed(raw),
    }
}

/// Replaces a value by a reference wherever it stands as a value of its own, or as the end of a data URL.
fn refer(out: &mut String, index: usize, key: &str, value: &str) {
    let inner = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    if value.len() < HELD_BYTES_MIN || (inner.is_none() && !value.contains('"')) {
        return;
    }
    let wanted = if key == "data" { inner.unwrap_or(value) } else { value };
    let mut from = 0;
    while let Some(found) = out.get(from..).and_then(|rest| rest.find(wanted)).map(|at| at + from) {
        let end = found + wanted.len();
        from = end;
        let Some((start, end, prefix)) = place_of(out, found, end, wanted.len() == value.len()) else {
            continue;
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!(",\"{prefix}\"") };
        let reference = format!("{PART}{index},\"{key}\"{prefix}]}}");
        out.replace_range(start..end, &reference);
        from = start + reference.len();
    }
}

/// Where the whole value stands that was found at `found..end`, and what stands before it in a string.
fn place_of(text: &str, found: usize, end: usize, is_whole: bool) -> Option<(usize, usize, String)> {
    let (before, after) = (text.get(..found)?, text.get(end..)?);
    if is_whole {
        let is_value = before.ends_with([':', ',', '[']) && after.starts_with([',', '}', ']']);
        return is_value.then(|| (found, end, String::new()));
    }
    if !after.starts_with('"') {
        return None;
    }
    let quote_at = before.rfind('"')?;
    let prefix = before.get(quote_at + 1..)?;
    let is_plain = prefix.is_empty() || (prefix.starts_with("data:") && prefix.len() < 200);
    let is_value =
        before.get(..quote_at)?.ends_with([':', ',', '[']) && after.get(1..)?.starts_with([',', '}', ']']);
    (is_plain && is_value && !prefix.contains('\\')).then(|| (quote_at, end + 1, prefix.to_owned()))
}

/// Puts the members of the parts back into the places of their references.
fn restored(held: &str, parts: &[Members<'_>]) -> Option<String> {
    let mut out = String::with_capacity(held.len() * 2);
    let mut rest = held;
    while let Some((before, after)) = rest.split_once(PART) {
        let (inside, behind) = after.split_once("]}")?;
        out.push_str(before);
        let place = format!("[{inside}]");
        let place = elements(&place)?;
        let index: usize = place.first()?.parse().ok()?;
        let key = place.get(1)?.strip_prefix('"')?.strip_suffix('"')?;
        let value = parts.get(index)?.get(key)?;
        match place.get(2) {
            None => out.push_str(value),
            Some(prefix) => {
                out.push_str(prefix.strip_suffix('"')?);
                out.push_str(value.strip_prefix('"')?);
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// The record that a message was made from, with what has changed in its parts since. `None` where it was not made from
/// a record of `format`, or what the record refers to is gone.
pub fn regenerate(format: &str, message_json: &str) -> Option<String> {
    let message = Members::parse(message_json)?;
    let source = Members::parse(message.get("source")?)?;
    if source.string("format")? != format {
        return None;
    }
    if let Some(text) = source.string("text") {
        return Some(text.into_owned());
    }
    let raw = elements(source.get("raw")?)?.first().copied()?;
    if !raw.contains(PART) {
        return Some(raw.to_owned());
    }
    let parts = elements(message.get("parts")?)?;
    let parts: Vec<Members<'_>> = parts.into_iter().map(Members::parse).collect::<Option<_>>()?;
    restored(raw, &parts)
}

/// Keys of records without ids: made of what they say, and their number among those that say the same.
#[derive(Default)]
pub(crate) struct Keys(std::collections::BTreeMap<String, u64>);

impl Keys {
    /// The key of the next record that says `text`.
    pub fn of_text(&mut self, text: &str) -> String {
        self.of_id(&format!("{:016x}", fingerprint(text)))
    }

    /// The key of the next record with an id: ids are repeated in some files.
    pub fn of_id(&mut self, id: &str) -> String {
        let count = self.0.entry(id.to_owned()).or_default();
        *count += 1;
        if *count == 1 { id.to_owned() } else { format!("{id}#{count}") }
    }
}

#[cfg(test)]
mod tests {
    use sessile_core::import::Place;

    use super::*;

    fn made(raw: &str, parts: Vec<String>) -> String {
        let record = Record { text: raw.to_owned(), original: None, place: Place::default() };
        let draft = Draft { role: "user", parts, ..Draft::default() };
        draft.finish("codex", "k".into(), &record, None).json
    }

    fn check(raw: &str, parts: &[&str], stored: &str) {
        let message = made(raw, parts.iter().map(|part| (*part).to_owned()).collect());
        assert!(message.contains(stored), "{message}");
        assert_eq!(regenerate("codex", &message).as_deref(), Some(raw));
    }

    #[test]
    fn what_parts_hold_is_not_stored_twice() {
        let long = "word ".repeat(20);
        let raw = format!(r#"{{"a":null,"text":"{long}","list":["{long}",1.0]}}"#);
        let part = format!(r#"{{"type":"text","text":"{long}"}}"#);
        check(
            &raw,
            &[&part],
            r#"[{"a":null,"text":{"$part":[0,"text"]},"list":[{"$part":[0,"text"]},1.0]}]"#,
        );
    }

    #[test]
    fn keys_and_pieces_of_texts_are_no_values() {
        let long = "word ".repeat(20);
        let part = format!(r#"{{"type":"text","text":"{long}"}}"#);
        for raw in [format!(r#"{{"{long}":1}}"#), format!(r#"{{"a":"x{long}","b":"\"{long}\""}}"#)] {
            check(&raw, &[&part], &raw);
        }
    }

    #[test]
    fn a_data_url_is_its_beginning_and_the_data_of_a_part() {
        let data = "QUJD".repeat(20);
        let raw = format!(r#"{{"image_url":"data:image/png;base64,{data}"}}"#);
        let part = image_of_url(&format!("\"data:image/png;base64,{data}\"")).unwrap();
        check(&raw, &[&part], r#"{"image_url":{"$part":[0,"data","data:image/png;base64,"]}}"#);
    }

    #[test]
    fn what_has_changed_in_a_part_has_changed_in_the_record() {
        let long = "word ".repeat(20);
        let message =
            made(&format!(r#"{{"text":"{long}"}}"#), vec![format!(r#"{{"type":"text","text":"{long}"}}"#)]);
        let changed = message.replace(&long, "short");
        assert_eq!(regenerate("codex", &changed).as_deref(), Some(r#"{"text":"short"}"#));
        assert_eq!(regenerate("pi", &changed), None);
    }

    #[test]
    fn a_record_that_looks_like_a_reference_is_kept_as_it_is() {
        let raw = r#"{"a":{"$part":[0,"text"]}}"#;
        check(raw, &[r#"{"type":"text","text":"x"}"#], &format!("\"text\":{}", quote(raw)));
    }
}
