//! Messages: what callers give, and how changes apply to it.
//!
//! A message is a JSON object with a role and typed parts (docs/format.md, "Messages"). The store checks the members
//! that it knows, keeps all others, and gives everything back as it came.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, elements, members};
use crate::limits::{APPEND_BYTES_MAX, APPEND_MESSAGES_MAX, MESSAGE_BYTES_MAX};
use crate::planted::{Planted, planted};
use crate::record::{TextRecord, UpdateRecord};
use crate::{Error, Result};

/// Roles of messages.
pub const ROLES: [&str; 4] = ["user", "assistant", "system", "tool"];
/// Statuses of messages; absent means completed.
pub const STATUSES: [&str; 4] = ["pending", "streaming", "completed", "error"];

/// The types of parts, each with the members it must have: (name, whether it must be a string).
const PARTS: [(&str, &[(&str, bool)]); 8] = [
    ("text", &[("text", true)]),
    ("thinking", &[("text", true)]),
    ("code", &[("text", true)]),
    ("tool_call", &[("id", true), ("name", true), ("arguments", false)]),
    ("tool_result", &[("call_id", true), ("content", false)]),
    ("image", &[]),
    ("file", &[]),
    ("opaque", &[("data", false)]),
];

/// What an image or file part must have one of, as a string.
const SOURCES: [&str; 4] = ["data", "url", "path", "name"];

/// Checks that `text` is JSON that may hold messages, and minifies it. [`check_all`] goes on.
pub fn minify_all(text: &str) -> Result<Cow<'_, str>> {
    if text.len() > APPEND_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the messages have {} bytes; append at most {APPEND_BYTES_MAX} at once",
            text.len()
        )));
    }
    json::minify_array(text)
        .map_err(|error| Error::invalid(format!("the messages are not acceptable JSON: {error}")))
}

/// Checks a minified JSON array of messages and returns them.
pub fn check_all(text: &str) -> Result<Vec<&str>> {
    let messages = elements(text)
        .ok_or_else(|| Error::invalid("the messages are not a JSON array; wrap them in one"))?;
    if messages.is_empty() || messages.len() > APPEND_MESSAGES_MAX {
        return Err(Error::invalid(format!(
            "{} messages; append 1 to {APPEND_MESSAGES_MAX} at once",
            messages.len()
        )));
    }
    for (place, message) in messages.iter().enumerate() {
        check_one(message)
            .map_err(|error| Error::invalid(format!("message {}: {}", place + 1, error.message)))?;
    }
    Ok(messages)
}

/// Checks one minified message.
pub fn check_one(text: &str) -> Result<()> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(Error::invalid(format!("it has {} bytes; give at most {MESSAGE_BYTES_MAX}", text.len())));
    }
    let message = members(text).ok_or_else(|| Error::invalid("it is not a JSON object"))?;
    one_of("role", &ROLES, string(&message, "role"))?;
    if find(&message, "status").is_some() {
        one_of("status", &STATUSES, string(&message, "status"))?;
    }
    let parts = find(&message, "parts").and_then(elements);
    let parts = parts.ok_or_else(|| Error::invalid("it has no array `parts`; give a list of parts, for plain text [{\"type\":\"text\",\"text\":...}]"))?;
    parts.iter().enumerate().try_for_each(|(place, part)| check_part(place, part))?;
    match find(&message, "id") {
        None => Ok(()),
        Some(_) => {
            let id = string(&message, "id").ok_or_else(|| Error::invalid("its `id` is not a string"))?;
            crate::id::check_id("message id", &id)
        }
    }
}

fn check_part(place: usize, part: &str) -> Result<()> {
    let error = |what: String| Error::invalid(format!("part {}: {what}", place + 1));
    let part = members(part).ok_or_else(|| error("it is not a JSON object".into()))?;
    let kind = string(&part, "type").ok_or_else(|| error("it has no `type`".into()))?;
    let Some((kind, required)) = PARTS.iter().find(|(name, _)| *name == kind) else {
        return Err(error("unknown type; what has no type of its own goes into `opaque`".into()));
    };
    for (key, is_string) in *required {
        let present = find(&part, key).is_some_and(|value| !is_string || value.starts_with('"'));
        if !present {
            let form = if *is_string { "string" } else { "member" };
            return Err(error(format!("a part of type {kind} needs a {form} `{key}`")));
        }
    }
    if matches!(*kind, "image" | "file")
        && !SOURCES.iter().any(|key| find(&part, key).is_some_and(|value| value.starts_with('"')))
    {
        return Err(error(format!("a part of type {kind} needs a string `data`, `url`, `path` or `name`")));
    }
    Ok(())
}

fn one_of(what: &str, names: &[&str], value: Option<Cow<'_, str>>) -> Result<()> {
    match value {
        Some(value) if names.contains(&value.as_ref()) => Ok(()),
        _ => Err(Error::invalid(format!("its `{what}` is not one of {}", names.join(", ")))),
    }
}

fn find<'a>(members: &[(Cow<'_, str>, &'a str)], key: &str) -> Option<&'a str> {
    members.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
}

fn string<'a>(members: &[(Cow<'_, str>, &'a str)], key: &str) -> Option<Cow<'a, str>> {
    find(members, key).and_then(json::text_of)
}

/// The id that a stored message carries itself.
pub fn own_id(message: &str) -> Option<String> {
    string(&members(message)?, "id").map(Cow::into_owned)
}

/// A message to which changes are applied in the order of the log.
///
/// Streamed text collects beside the message, so that 10,000 pieces cost the sum of their lengths.
#[derive(Debug)]
pub struct Draft {
    json: String,
    /// The part whose text is growing, its text as a raw JSON string without the closing quote, and its length.
    growing: Option<(u64, String, u64)>,
}

impl Draft {
    /// Begins with the message as it was appended.
    pub fn new(json: &str) -> Self {
        Self { json: json.to_owned(), growing: None }
    }

    /// Applies streamed text where it fits: at the length it names, or as a new text part right behind the last one.
    /// Returns whether it applied.
    pub fn push_text(&mut self, text: &TextRecord<'_>) -> bool {
        if self.growing.as_ref().is_none_or(|(part, ..)| *part != text.p) {
            self.settle();
            self.growing = self.text_of(text.p).map(|raw| {
                let len = json::text_len(&raw);
                (text.p, raw.strip_suffix('"').unwrap_or_default().to_owned(), len)
            });
        }
        match &mut self.growing {
            Some((_, raw, len)) if *len == text.o || planted(Planted::TextAnywhere) => {
                let quoted = json::quote(&text.x);
                raw.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
                *len += text.x.len() as u64;
                true
            }
            Some(_) => false,
            None => self.add_text_part(text),
        }
    }

    /// The length of a part's text in bytes, or `None` where there is no such part with text. One part behind the
    /// last has the length 0: text may begin there.
    pub fn text_len(&mut self, part: u64) -> Option<u64> {
        self.settle();
        if part == self.part_count() {
            return Some(0);
        }
        self.text_of(part).map(|raw| json::text_len(&raw))
    }

    /// Applies a change.
    pub fn update(&mut self, update: &UpdateRecord<'_>) {
        self.settle();
        if let Some(patch) = update.patch {
            self.json = json::merge(&self.json, patch.get());
        }
        if !update.add.is_empty() {
            self.add_parts(update.add.iter().map(|part| RawValue::get(part)));
        }
    }

    /// The message as it is now.
    pub fn finish(mut self) -> String {
        self.settle();
        self.json
    }

    fn part_count(&self) -> u64 {
        members(&self.json)
            .and_then(|message| find(&message, "parts").and_then(elements))
            .map_or(0, |parts| parts.len() as u64)
    }

    /// The raw text of a part.
    fn text_of(&self, part: u64) -> Option<String> {
        let message = members(&self.json)?;
        let parts = find(&message, "parts").and_then(elements)?;
        let part = members(parts.get(usize::try_from(part).ok()?)?)?;
        find(&part, "text").filter(|raw| raw.starts_with('"')).map(str::to_owned)
    }

    fn add_text_part(&mut self, text: &TextRecord<'_>) -> bool {
        let fits = text.o == 0 && text.p == self.part_count();
        if fits {
            let part = json::object([("type", "\"text\""), ("text", json::quote(&text.x).as_str())]);
            self.add_parts([part.as_str()]);
        }
        fits
    }

    fn add_parts<'a>(&mut self, added: impl IntoIterator<Item = &'a str>) {
        let Some(message) = members(&self.json) else { return };
        let mut parts = find(&message, "parts").and_then(elements).unwrap_or_default();
        let mut all: Vec<Cow<'_, str>> = parts.drain(..).map(Cow::Borrowed).collect();
        all.extend(added.into_iter().map(|part| Cow::Owned(part.to_owned())));
        let json = with_member(&message, "parts", &format!("[{}]", all.join(",")));
        self.json = json;
    }

    /// Puts the grown text back into the message.
    fn settle(&mut self) {
        let Some((part, mut raw, _)) = self.growing.take() else { return };
        raw.push('"');
        let Some(message) = members(&self.json) else { return };
        let mut parts: Vec<Cow<'_, str>> = find(&message, "parts")
            .and_then(elements)
            .unwrap_or_default()
            .into_iter()
            .map(Cow::Borrowed)
            .collect();
        if let Some(place) = usize::try_from(part).ok().and_then(|part| parts.get_mut(part))
            && let Some(members) = members(&place.clone())
        {
            *place = Cow::Owned(with_member(&members, "text", &raw));
        }
        let json = with_member(&message, "parts", &format!("[{}]", parts.join(",")));
        self.json = json;
    }
}

/// An object with one member's value replaced.
fn with_member(members: &[(Cow<'_, str>, &str)], key: &str, value: &str) -> String {
    json::object(members.iter().map(|(name, old)| (name.as_ref(), if name == key { value } else { *old })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"role":"assistant","x":1.0,"parts":[{"type":"text","text":"h\u00e9","y":2}],"status":"streaming"}"#;

    fn text(p: u64, o: u64, x: &str) -> TextRecord<'_> {
        TextRecord { m: 1, p, o, x: x.into() }
    }

    #[test]
    fn a_message_keeps_members_that_the_store_does_not_know() {
        let text = format!("[ {HELLO} ]");
        let text = minify_all(&text).unwrap();
        assert_eq!(check_all(&text).unwrap(), [HELLO]);
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        for (bad, what) in [
            ("", "not acceptable JSON"),
            ("{}", "not a JSON array"),
            ("[]", "0 messages"),
            ("[1]", "message 1: it is not a JSON object"),
            (r#"[{"role":"user","parts":[]},{"role":"x","parts":[]}]"#, "message 2: its `role`"),
            (r#"[{"role":"user"}]"#, "no array `parts`"),
            (r#"[{"role":"user","parts":{}}]"#, "no array `parts`"),
            (r#"[{"role":"user","parts":[1]}]"#, "part 1: it is not"),
            (r#"[{"role":"user","parts":[{"type":"text"}]}]"#, "needs a string `text`"),
            (r#"[{"role":"user","parts":[{"type":"text","text":1}]}]"#, "needs a string"),
            (r#"[{"role":"user","parts":[{"type":"wish"}]}]"#, "unknown type"),
            (r#"[{"role":"user","parts":[{"type":"image"}]}]"#, "needs a string `data`"),
            (r#"[{"role":"user","parts":[],"status":"gone"}]"#, "its `status`"),
            (r#"[{"role":"user","parts":[],"id":7}]"#, "its `id`"),
            (r#"[{"role":"user","parts":[],"id":""}]"#, "message id is empty"),
        ] {
            let error = minify_all(bad).and_then(|text| check_all(&text).map(|_| ())).unwrap_err();
            assert!(error.message.contains(what), "{bad}: {error}");
        }
    }

    #[test]
    fn streamed_text_grows_only_at_its_end() {
        let mut draft = Draft::new(HELLO);
        assert!(draft.push_text(&text(0, 3, "ll\"")));
        assert!(!draft.push_text(&text(0, 3, "ll\"")));
        assert!(draft.push_text(&text(0, 6, "o")));
        assert!(!draft.push_text(&text(2, 0, "x")));
        assert!(draft.push_text(&text(1, 0, "new")));
        assert!(draft.push_text(&text(1, 3, "er")));
        assert_eq!(
            draft.finish(),
            r#"{"role":"assistant","x":1.0,"parts":[{"type":"text","text":"h\u00e9ll\"o","y":2},{"type":"text","text":"newer"}],"status":"streaming"}"#
        );
    }

    #[test]
    fn text_can_begin_behind_the_last_part_only() {
        let mut draft = Draft::new(HELLO);
        assert_eq!((draft.text_len(0), draft.text_len(1), draft.text_len(2)), (Some(3), Some(0), None));
    }
}
