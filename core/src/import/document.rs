//! What the formats share whose file is one JSON document: reading it as far as it can be read, messages whose
//! members stand as parts, and what a session's metadata keeps.
//!
//! A message carries its own members in `source.raw`. What the parts hold is `null` there, and `source.held` says
//! which parts hold it; so [`MessageFormat::regenerate`] gives the very same text back. Where the parts would not
//! give the same text (an unusual member), `raw` keeps it too. A message that is no strict JSON stands in
//! `source.text` instead, as a string. What is kept stands in lists, `raw` in one of one: messages and metadata are
//! changed by merge patches, which merge objects and drop their `null`s, and replace lists whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    DEPTH_MAX, Import, ImportedMessage, Members, Place, cut, decode_string, depth, is_string, mend, write_key,
};
use crate::id::{base32, check_id, fingerprint};
use crate::json::{self, elements, quote};
use crate::limits::{METADATA_BYTES_MAX, NUMBER_MAX, TITLE_BYTES_MAX};
use crate::message::ROLES;

/// How much of a session's metadata what is kept may take. The rest is for the host and for the import's own notes.
const KEPT_BYTES_MAX: usize = METADATA_BYTES_MAX / 4 * 3;

/// The text of a file, up to bytes that are not UTF-8. Sets the number of its lines.
pub(super) fn text_of<'a>(bytes: &'a [u8], import: &mut Import) -> &'a str {
    import.lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let Some(chunk) = body.utf8_chunks().next() else { return "" };
    if !chunk.invalid().is_empty() {
        let offset = bytes.len() - body.len() + chunk.valid().len();
        let place = Place { line: 0, offset: offset as u64, bytes: (bytes.len() - offset) as u64 };
        import.note(place, "bytes that are not UTF-8; what follows them is not taken");
    }
    chunk.valid()
}

/// Where `part` stands in the document `text` that it was cut out of.
pub(super) fn place_of(text: &str, part: &str) -> Place {
    let offset = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    Place { line: 0, offset: offset as u64, bytes: part.len() as u64 }
}

/// Puts the problems in the order of the file and gives them the numbers of their lines.
pub(super) fn number_lines(bytes: &[u8], import: &mut Import) {
    import.sort_problems();
    let (mut line, mut counted) = (1, 0);
    for problem in &mut import.problems {
        let offset = usize::try_from(problem.offset).unwrap_or(usize::MAX).clamp(counted, bytes.len());
        let between = bytes.get(counted..offset).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = offset;
        problem.line = line;
    }
}

/// The values of an object or array, as far as they can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces<'a> {
    /// Each with its key, which is empty in an array. Keys without their quotes.
    pub whole: Vec<(&'a str, &'a str)>,
    /// The key and the beginning of a value that is torn or no JSON, with all that follows.
    pub torn: Option<(&'a str, &'a str)>,
}

impl<'a> Pieces<'a> {
    /// Takes a text apart that begins like an object or array. `None` for any other.
    pub fn of(text: &'a str) -> Option<Self> {
        let text = text.trim_start();
        let (mut rest, close) = match text.split_at_checked(1)? {
            ("{", rest) => (rest.trim_start(), '}'),
            ("[", rest) => (rest.trim_start(), ']'),
            _ => return None,
        };
        let mut pieces = Self::default();
        if rest.starts_with(close) {
            return Some(pieces);
        }
        loop {
            let mut key = "";
            if close == '}' {
                let named = value(rest).filter(|(key, _)| key.starts_with('"'));
                let named = named.and_then(|(key, rest)| Some((key, rest.trim_start().strip_prefix(':')?)));
                let Some((quoted, behind)) = named else {
                    pieces.torn = Some((key, rest));
                    return Some(pieces);
                };
                key = super::inside_quotes(quoted);
                rest = behind.trim_start();
            }
            let Some((found, behind)) = value(rest) else {
                pieces.torn = Some((key, rest));
                return Some(pieces);
            };
            pieces.whole.push((key, found));
            let behind = behind.trim_start();
            match behind.strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None if behind.starts_with(close) => return Some(pieces),
                None => {
                    pieces.torn = Some(("", behind));
                    return Some(pieces);
                }
            }
        }
    }

    /// The pieces as members of an object.
    pub fn members(self) -> Members<'a> {
        Members(self.whole)
    }
}

/// Splits off the value that a text begins with. A number or word at the end of the text may be torn.
fn value(text: &str) -> Option<(&str, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = stream.next()?.ok()?.get();
    let rest = text.get(stream.byte_offset()..)?;
    let ends_itself = value.starts_with(['"', '{', '[']);
    (ends_itself || !rest.is_empty()).then_some((value, rest))
}

/// How the messages of a format stand as ours.
pub(crate) struct MessageFormat {
    /// The format's name, the `source.format` of its messages.
    pub name: &'static str,
    /// The members that are shown as parts, in the order in which they are shown.
    pub shown: &'static [Shown],
}

/// A member of a message that is shown as parts.
pub(crate) struct Shown {
    /// Its key.
    pub key: &'static str,
    /// Makes the parts of its value. `None` where there is nothing to show, or nothing that a part can hold.
    pub to_parts: fn(&str, &Members<'_>) -> Option<Vec<String>>,
    /// Makes the value of the parts.
    pub from_parts: fn(&[Members<'_>]) -> Option<String>,
}

/// What a message is besides its parts.
#[derive(Default)]
pub(crate) struct Envelope {
    pub key: String,
    pub created_ms: Option<u64>,
    /// A status of ours; the default one where absent.
    pub status: Option<&'static str>,
    /// When it last changed, where messages of the format change.
    pub updated_ms: Option<u64>,
    pub is_hidden: bool,
}

impl MessageFormat {
    /// Makes the message of a value of the file. `None` where it is nested too deeply.
    ///
    /// A value that is no message, or has a role that we do not have, becomes a hidden one: nothing is lost, and
    /// nothing that nobody understands is sent to a model. That is noted.
    pub fn message(
        &self,
        text: &str,
        place: Place,
        import: &mut Import,
        envelope: impl FnOnce(&Members<'_>, &str) -> Envelope,
    ) -> Option<ImportedMessage> {
        let Strict { text, original } = Strict::of(text, place, import)?;
        import.records += 1;
        let message = Members::parse(&text);
        let role = message.as_ref().and_then(|message| message.string("role"));
        let role = role.and_then(|role| ROLES.into_iter().find(|known| *known == role));
        let members = message.unwrap_or_default();
        let mut envelope = envelope(&members, &text);
        if role.is_none() {
            import.note(place, "a message without a role that is known here; kept as a hidden one");
            envelope.is_hidden = true;
        }
        let mut parts: Vec<String> = Vec::new();
        let mut raw = members.clone();
        let mut held = Vec::new();
        for shown in self.shown {
            let Some(at) = members.position(shown.key) else { continue };
            let Some((_, value)) = members.0.get(at).copied() else { continue };
            let Some(made) = (shown.to_parts)(value, &members).filter(|made| !made.is_empty()) else {
                continue;
            };
            let parsed: Option<Vec<Members<'_>>> = made.iter().map(|part| Members::parse(part)).collect();
            let gives_back =
                parsed.and_then(|parsed| (shown.from_parts)(&parsed)).is_some_and(|text| text == value);
            if gives_back && original.is_none() {
                if let Some((_, value)) = raw.0.get_mut(at) {
                    *value = "null";
                }
                held.push(format!("[\"{}\",{},{}]", shown.key, parts.len(), made.len()));
            }
            parts.extend(made);
        }
        let version = envelope.updated_ms.map(|ms| {
            let says = original.map_or_else(|| json::canonical(&text), str::to_owned);
            format!("{ms:016}-{}", base32(fingerprint(&format!("{}{says}", envelope.is_hidden))))
        });

        let mut out = String::with_capacity(text.len() + 256);
        out.push_str(&format!("{{\"role\":\"{}\"", role.unwrap_or("system")));
        out.push_str(&format!(",\"id\":{},\"parts\":[{}]", quote(&envelope.key), parts.join(",")));
        if let Some(status) = envelope.status {
            out.push_str(&format!(",\"status\":{}", quote(status)));
        }
        if envelope.is_hidden {
            out.push_str(",\"hidden\":true");
        }
        out.push_str(&format!(",\"source\":{{\"format\":\"{}\"", self.name));
        if let Some(version) = &version {
            out.push_str(&format!(",\"version\":{}", quote(version)));
        }
        match original {
            Some(original) => out.push_str(&format!(",\"text\":{}", quote(original))),
            None => {
                out.push_str(&format!(",\"parts\":{},\"held\":[{}]", parts.len(), held.join(",")));
                out.push_str(",\"raw\":[");
                if raw.0.is_empty() {
                    out.push_str(&text);
                } else {
                    raw.write(&mut out);
                }
                out.push(']');
            }
        }
        out.push_str("}}");
        Some(ImportedMessage { key: envelope.key, created_ms: envelope.created_ms, json: out, version })
    }

    /// Returns the value that a message was made of, with what has changed in its parts since. `None` where the
    /// message was not made here, or its parts are others now.
    pub fn regenerate(&self, message_json: &str) -> Option<String> {
        let message = Members::parse(message_json)?;
        let source = Members::parse(message.get("source")?)?;
        if source.string("format")? != self.name {
            return None;
        }
        if let Some(text) = source.string("text") {
            return Some(text.into_owned());
        }
        let parts = elements(message.get("parts")?)?;
        if source.get("parts")? != parts.len().to_string() {
            return None;
        }
        let parts: Vec<Members<'_>> = parts.into_iter().map(Members::parse).collect::<Option<_>>()?;
        let raw = elements(source.get("raw")?)?.first().copied()?;
        let held: Vec<(&str, usize, usize)> = serde_json::from_str(source.get("held")?).ok()?;
        let Some(mut members) = Members::parse(raw).filter(|_| !held.is_empty()) else {
            return Some(raw.to_owned());
        };
        let mut values = Vec::new();
        for (key, first, count) in held {
            let shown = self.shown.iter().find(|shown| shown.key == key)?;
            let value = (shown.from_parts)(parts.get(first..first.checked_add(count)?)?)?;
            values.push((members.position(key)?, value));
        }
        for (at, value) in &values {
            members.0.get_mut(*at)?.1 = value;
        }
        let mut out = String::with_capacity(message_json.len());
        members.write(&mut out);
        Some(out)
    }
}

/// The merge patch that makes a stored message, made here before, what `message_json` is now. Its id and role stay.
pub fn patch_of(message_json: &str) -> Option<String> {
    let message = Members::parse(message_json)?;
    let source = Members::parse(message.get("source")?)?;
    let with_absent = |object: &Members<'_>, absent: &[&'static str]| {
        let mut out = object.clone();
        out.0.extend(absent.iter().filter(|key| object.get(key).is_none()).map(|key| (*key, "null")));
        let mut text = String::new();
        out.write(&mut text);
        text
    };
    let source = with_absent(&source, &["text", "parts", "held", "raw"]);
    let mut patch = message.clone();
    patch.0.retain(|(key, _)| !matches!(*key, "id" | "role" | "source"));
    patch.0.push(("source", &source));
    Some(with_absent(&patch, &["status", "hidden"]))
}

/// A value as strict readers take it.
pub(super) struct Strict<'a> {
    pub text: String,
    /// The value as it stands in the file, where strict readers refuse it and `text` is mended.
    pub original: Option<&'a str>,
}

impl<'a> Strict<'a> {
    /// `None` where the value is nested too deeply, which is noted.
    pub fn of(text: &'a str, place: Place, import: &mut Import) -> Option<Self> {
        if depth(text) > DEPTH_MAX {
            import.note(place, "nested too deeply; not taken");
            return None;
        }
        if let Ok(text) = json::minify(text) {
            return Some(Self { text, original: None });
        }
        import.note(
            place,
            "a lone surrogate or a repeated key, which strict readers refuse; mended where it is shown",
        );
        let mut mended = String::with_capacity(text.len());
        mend(text, &mut mended);
        Some(Self { text: mended, original: Some(text) })
    }
}

/// Keys for messages that have no id: a fingerprint of what they say and, where several say the same, their number.
#[derive(Default)]
pub(super) struct ContentKeys {
    counts: BTreeMap<u128, u64>,
}

impl ContentKeys {
    /// The key of the next message. The order of its members makes no difference.
    pub fn next(&mut self, text: &str) -> String {
        let print = fingerprint(&json::canonical(text));
        let count = self.counts.entry(print).or_default();
        *count += 1;
        if *count == 1 { base32(print) } else { format!("{}#{count}", base32(print)) }
    }
}

/// Makes the metadata of a session: `{"<format>":{"session":[{...}],...}}`, with `members` as they stand in the file.
///
/// What is no strict JSON stands in the list as a string. Members that are too large for metadata are left out and
/// noted.
pub(super) fn kept(
    format: &str,
    mut members: Members<'_>,
    more: &[(&str, String)],
    place: Place,
    import: &mut Import,
) -> String {
    let mut more = more.to_vec();
    more.retain(|(key, value)| {
        let fits = value.len() <= KEPT_BYTES_MAX / 4;
        if !fits {
            import.note(
                place,
                &format!("`{key}` has {} bytes, more than metadata takes; not taken", value.len()),
            );
        }
        fits
    });
    let size = |member: &(&str, &str)| member.0.len() + member.1.len() + 4;
    let room =
        KEPT_BYTES_MAX.saturating_sub(more.iter().map(|(key, value)| key.len() + value.len() + 4).sum());
    // A value that stands as a string may double in size by its escapes.
    while members.0.iter().map(size).sum::<usize>() * 2 > room {
        let largest = (0..members.0.len()).max_by_key(|at| members.0.get(*at).map(size)).unwrap_or_default();
        let (key, value) = members.0.remove(largest);
        let what = format!(
            "the member {} of the session has {} bytes, more than metadata takes; not taken",
            quote(key),
            value.len()
        );
        import.note(place, &what);
    }
    let mut text = String::new();
    members.write(&mut text);
    let session = match depth(&text) {
        0..=DEPTH_MAX => json::minify(&text).unwrap_or_else(|_| quote(&text)),
        _ => quote(&text),
    };
    let mut out = format!("{{\"{format}\":{{\"session\":[{session}]");
    for (key, value) in &more {
        write_key(&mut out, 1, key);
        out.push_str(value);
    }
    out.push_str("}}");
    out
}

/// A text that can be an id in the store.
pub(super) fn usable_id(text: Cow<'_, str>) -> Option<String> {
    check_id("id", &text).is_ok().then(|| text.into_owned())
}

/// The id of something that the file calls `text`: itself, or where the store does not take it, one made of it.
pub fn id_for(text: &str) -> String {
    match check_id("id", text) {
        Ok(()) => text.to_owned(),
        Err(_) => format!("id-{}", base32(fingerprint(text))),
    }
}

/// Milliseconds since 1970 that the store can hold.
pub(super) fn ms_of(value: &str) -> Option<u64> {
    value.parse().ok().filter(|ms| *ms <= NUMBER_MAX)
}

/// Notes every member of `names` that is there and no string.
pub(super) fn note_wrong_strings(members: &Members<'_>, names: &[&str], place: Place, import: &mut Import) {
    for name in names {
        match members.get(name) {
            Some(value) if decode_string(value).is_none() => {
                import
                    .note(place, &format!("the member `{name}` of the session is not a text; kept as it is"));
            }
            None => import.note(place, &format!("the session has no `{name}`")),
            Some(_) => {}
        }
    }
}

/// A title, cut to what the store takes.
pub fn title_of(title: &str) -> String {
    cut(title.to_owned(), TITLE_BYTES_MAX)
}

/// A part of a text that is not empty.
pub(super) fn text_part(kind: &str, value: &str) -> Option<Vec<String>> {
    (is_string(value) && value != "\"\"").then(|| vec![format!("{{\"type\":\"{kind}\",\"text\":{value}}}")])
}

/// The text of the only part.
pub(super) fn text_of_part(parts: &[Members<'_>]) -> Option<String> {
    parts.first()?.get("text").map(str::to_owned)
}

/// The part of a content: what a tool has answered, where the message names its call under `call_key`, else a text.
pub(super) fn content_part(value: &str, message: &Members<'_>, call_key: &str) -> Option<Vec<String>> {
    match message.get(call_key).filter(|call| is_string(call)) {
        Some(call) if message.string("role").is_some_and(|role| role == "tool") => {
            Some(vec![format!("{{\"type\":\"tool_result\",\"call_id\":{call},\"content\":{value}}}")])
        }
        _ => text_part("text", value),
    }
}

/// The way back of [`content_part`].
pub(super) fn content_of_part(parts: &[Members<'_>]) -> Option<String> {
    let part = parts.first()?;
    part.get("text").or(part.get("content")).map(str::to_owned)
}

/// The part of a tool call `{id, function: {name, arguments}}`.
pub(super) fn call_part(call: &str) -> Option<String> {
    let call = Members::parse(call)?;
    let function = Members::parse(call.get("function")?)?;
    let (id, name) =
        (call.get("id").filter(|id| is_string(id))?, function.get("name").filter(|name| is_string(name))?);
    let arguments = function.get("arguments")?;
    Some(format!("{{\"type\":\"tool_call\",\"id\":{id},\"name\":{name},\"arguments\":{arguments}}}"))
}

/// The tool call of a part, with more members behind the id.
pub(crate) fn call_of_part(part: &Members<'_>, more: &str) -> Option<String> {
    let (id, name, arguments) = (part.get("id")?, part.get("name")?, part.get("arguments")?);
    Some(format!("{{\"id\":{id}{more},\"function\":{{\"name\":{name},\"arguments\":{arguments}}}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_document_is_taken_apart_by_its_members() {
        let pieces = Pieces::of(" { \"a\" : 1 , \"b\":[ {} ],\"c\":\"x\" } ").unwrap();
        assert_eq!(pieces.whole, [("a", "1"), ("b", "[ {} ]"), ("c", "\"x\"")]);
        assert_eq!(pieces.torn, None);
        assert_eq!(Pieces::of("[]").unwrap(), Pieces::default());
        assert_eq!(Pieces::of("{ }").unwrap(), Pieces::default());
        assert_eq!(Pieces::of("7"), None);
        assert_eq!(Pieces::of(""), None);
    }

    #[test]
    fn of_a_torn_document_the_whole_members_are_taken() {
        let text = "{\"a\":12,\"b\":[1,2,{\"c\":3}]}";
        for cut in 1..text.len() {
            let pieces = Pieces::of(text.get(..cut).unwrap()).unwrap();
            let whole: &[_] = match cut {
                0..8 => &[],
                8..25 => &[("a", "12")],
                _ => &[("a", "12"), ("b", "[1,2,{\"c\":3}]")],
            };
            assert_eq!(pieces.whole, whole, "{cut}");
            assert!(pieces.torn.is_some());
        }
    }

    #[test]
    fn what_is_too_large_for_metadata_is_noted() {
        let mut import = Import::default();
        let long = format!("\"{}\"", "x".repeat(METADATA_BYTES_MAX));
        let members = Members(vec![("a", "null"), ("long", &long), ("b", "[null]")]);
        let json = kept("f", members, &[("messages", "3".to_owned())], Place::default(), &mut import);
        assert_eq!(json, "{\"f\":{\"session\":[{\"a\":null,\"b\":[null]}],\"messages\":3}}");
        assert!(import.problems[0].what.contains("\"long\""), "{:?}", import.problems);
    }

    #[test]
    fn what_is_no_strict_json_is_kept_as_a_string() {
        let members = Members(vec![("a", "1"), ("a", "\"\\ud800\"")]);
        let json = kept("f", members, &[], Place::default(), &mut Import::default());
        assert_eq!(json, "{\"f\":{\"session\":[\"{\\\"a\\\":1,\\\"a\\\":\\\"\\\\ud800\\\"}\"]}}");
    }

    #[test]
    fn messages_that_say_the_same_have_keys_of_their_own() {
        let mut keys = ContentKeys::default();
        let [a, b, again] = ["{\"a\":1,\"b\":2}", "b", "{\"b\":2,\"a\":1}"].map(|text| keys.next(text));
        assert!(a != b && again == format!("{a}#2"));
    }
}
