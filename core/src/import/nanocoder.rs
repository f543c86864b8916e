//! Sessions of nanocoder: a directory with a file `<uuid>.json` for each, and an index `sessions.json`.
//!
//! A file is one JSON object: facts of the session and the list `messages`. What the index says of a session counts
//! only where the file does not say it. Messages have no ids and no times: their keys are made of what they say.
//! The file's members stand in the metadata, `nanocoder.session`, and those of a message in its `source`.

use std::borrow::Cow;

use super::document::{
    ContentKeys, Envelope, MessageFormat, Pieces, Shown, call_of_part, call_part, content_of_part,
    content_part, kept, note_wrong_strings, number_lines, place_of, text_of, text_of_part, text_part,
    title_of, usable_id,
};
use super::{Import, ImportedSession, Members, Place, parse_utc_ms};
use crate::id::parse_uuid;
use crate::json::{elements, quote};
use crate::limits::{NAME_BYTES_MAX, SCOPE_BYTES_MAX};

/// The name of the format: the agent of its sessions, and their member of the metadata.
pub const FORMAT: &str = "nanocoder";

/// The name of the index.
pub const INDEX: &str = "sessions.json";

/// The members that every session has, as texts.
const TEXTS: [&str; 7] =
    ["id", "title", "createdAt", "lastAccessedAt", "provider", "model", "workingDirectory"];

pub(crate) const MESSAGES: MessageFormat = MessageFormat {
    name: FORMAT,
    shown: &[
        Shown {
            key: "reasoning",
            to_parts: |value, _| text_part("thinking", value),
            from_parts: text_of_part,
        },
        Shown {
            key: "content",
            to_parts: |value, message| content_part(value, message, "tool_call_id"),
            from_parts: content_of_part,
        },
        Shown { key: "images", to_parts: image_parts, from_parts: images_of_parts },
        Shown { key: "tool_calls", to_parts: call_parts, from_parts: calls_of_parts },
    ],
};

/// What the index says.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// The entries with a usable id, in their order, as JSON. Of entries with one id the last counts.
    pub entries: Vec<(String, &'a str)>,
    /// What is wrong with it.
    pub import: Import,
}

/// Reads an index.
pub fn index(bytes: &[u8]) -> Index<'_> {
    let mut index = Index::default();
    let import = &mut index.import;
    let text = text_of(bytes, import);
    let whole = place_of(text, text);
    match Pieces::of(text) {
        Some(pieces) if text.trim_start().starts_with('[') => {
            if let Some((_, torn)) = pieces.torn {
                import.note(place_of(text, torn), "the index is torn here; entries behind are not known");
            }
            for (_, entry) in pieces.whole {
                let id = Members::parse(entry).and_then(|members| usable_id(members.string("id")?));
                let Some(id) = id else {
                    import.note(place_of(text, entry), "an entry of the index without a usable id");
                    continue;
                };
                if let Some(at) = index.entries.iter().position(|(known, _)| *known == id) {
                    import.note(place_of(text, entry), "a second entry of the index for one session");
                    index.entries.remove(at);
                }
                index.entries.push((id, entry));
            }
        }
        _ => import.note(whole, "the index is not a list; sessions are taken from their files alone"),
    }
    number_lines(bytes, &mut index.import);
    index
}

/// Reads a session file, `<file_stem>.json`, with its entry of the index where there is one.
///
/// The file's name is the session's id, as it is for nanocoder. A torn file gives what stands before the damage.
pub fn session(file_stem: &str, bytes: &[u8], index_entry: Option<&str>) -> Import {
    let mut import = Import::default();
    read(file_stem, bytes, index_entry, &mut import);
    number_lines(bytes, &mut import);
    import
}

fn read(file_stem: &str, bytes: &[u8], index_entry: Option<&str>, import: &mut Import) {
    let text = text_of(bytes, import);
    let whole = Place { line: 0, offset: 0, bytes: bytes.len() as u64 };
    let Some(pieces) = Pieces::of(text).filter(|_| text.trim_start().starts_with('{')) else {
        import.note(whole, "not a JSON object; nothing is taken");
        return;
    };
    let Some(id) = usable_id(file_stem.into()) else {
        import.note(whole, "the file's name is no id; nothing is taken. Rename it to `<id>.json`");
        return;
    };
    if parse_uuid(&id).is_none() {
        import
            .note(whole, "the file's name is not a lower-case UUID, so nanocoder passes it over; taken here");
    }
    let torn = pieces.torn;
    let mut facts = pieces.members();
    let torn_messages = torn.filter(|(key, _)| *key == "messages").map(|(_, rest)| rest);
    if let Some((_, rest)) = torn {
        let what = match torn_messages {
            Some(_) => "the file is torn in its messages; those before the damage are taken",
            None => "the file is torn here; what stands before is taken",
        };
        import.note(place_of(text, rest), what);
    }
    let messages = facts.get("messages").or(torn_messages);
    facts.0.retain(|(key, _)| *key != "messages");
    if facts.0.is_empty() && messages.is_none() {
        import.note(whole, "an object without a session in it; nothing is taken");
        return;
    }

    let mut session = ImportedSession { agent: Some(FORMAT.to_owned()), ..ImportedSession::default() };
    if facts.string("id").is_some_and(|inner| inner != id.as_str()) {
        import.note(whole, "the file says another id than its name; its name counts");
    }
    let entry = index_entry.and_then(Members::parse).unwrap_or_default();
    if torn.is_none() {
        note_wrong_strings(&facts, &TEXTS, whole, import);
    }
    describe(&mut session, &facts, &entry);
    session.id = id;

    let listed = messages.filter(|messages| messages.starts_with('[')).and_then(Pieces::of);
    match (&listed, messages) {
        (None, Some(other)) => import.note(place_of(text, other), "`messages` is not a list; none are taken"),
        (None, None) => import.note(whole, "the session has no `messages`"),
        _ => {}
    }
    let mut keys = ContentKeys::default();
    for (_, message) in listed.unwrap_or_default().whole {
        let made = MESSAGES.message(message, place_of(text, message), import, |_, source| Envelope {
            key: keys.next(source),
            ..Envelope::default()
        });
        session.messages.extend(made);
    }

    let mut more = vec![("messages", session.messages.len().to_string())];
    if !entry.0.is_empty() && entry.0.iter().any(|(key, value)| facts.get(key) != Some(value)) {
        // The index knows something else: kept beside it, so that neither is lost.
        if let Ok(entry) = crate::json::minify(index_entry.unwrap_or_default()) {
            more.push(("index", format!("[{entry}]")));
        }
    }
    session.metadata = Some(kept(FORMAT, facts, &more, whole, import));
    import.sessions.push(session);
}

/// Sets the facts of a session from its file, or where that does not say them, from the index.
fn describe(session: &mut ImportedSession, facts: &Members<'_>, entry: &Members<'_>) {
    let said = |key| facts.string(key).or_else(|| entry.string(key)).filter(|text| !text.is_empty());
    let name = |key| said(key).filter(|name| name.len() <= NAME_BYTES_MAX).map(Cow::into_owned);
    session.scope = said("workingDirectory").and_then(|path| scope_of(&path));
    session.title = said("title").map(|title| title_of(&title));
    session.title_manual = facts.is_true(MANUAL) || (facts.get(MANUAL).is_none() && entry.is_true(MANUAL));
    session.provider = name("provider");
    session.model = name("model");
    session.created_ms = said("createdAt").and_then(|time| parse_utc_ms(&time));
    session.updated_ms = said("lastAccessedAt").and_then(|time| parse_utc_ms(&time)).or(session.created_ms);
}

/// The member that says whether a person chose the title.
pub(crate) const MANUAL: &str = "titleManuallySet";

/// The scope of a working directory: without a slash at its end.
pub(crate) fn scope_of(directory: &str) -> Option<String> {
    let trimmed = directory.trim_end_matches('/');
    let scope = if trimmed.is_empty() { directory.get(..1)? } else { trimmed };
    (scope.len() <= SCOPE_BYTES_MAX && !scope.contains('\0')).then(|| scope.to_owned())
}

fn image_parts(value: &str, _: &Members<'_>) -> Option<Vec<String>> {
    elements(value)?
        .into_iter()
        .map(|image| renamed(image, "image", &[("mediaType", "media_type")]))
        .collect()
}

fn images_of_parts(parts: &[Members<'_>]) -> Option<String> {
    let images: Vec<String> =
        parts.iter().map(|part| named_back(part, &[("mediaType", "media_type")])).collect();
    Some(format!("[{}]", images.join(",")))
}

fn call_parts(value: &str, _: &Members<'_>) -> Option<Vec<String>> {
    elements(value)?.into_iter().map(call_part).collect()
}

fn calls_of_parts(parts: &[Members<'_>]) -> Option<String> {
    let calls: Option<Vec<String>> = parts.iter().map(|part| call_of_part(part, "")).collect();
    Some(format!("[{}]", calls?.join(",")))
}

/// A part of an object with some of its members renamed, as `(theirs, ours)`. `None` where it holds no data.
fn renamed(object: &str, kind: &str, names: &[(&str, &str)]) -> Option<String> {
    let object = Members::parse(object)?;
    if !object.has_string("data") || object.has_doubtful_key() || object.get("type").is_some() {
        return None;
    }
    let kind = quote(kind);
    let mut part = Members(vec![("type", kind.as_str())]);
    for (key, value) in &object.0 {
        part.0.push((names.iter().find(|(theirs, _)| theirs == key).map_or(*key, |(_, ours)| ours), value));
    }
    let mut out = String::new();
    part.write(&mut out);
    Some(out)
}

fn named_back(part: &Members<'_>, names: &[(&str, &str)]) -> String {
    let mut object = Members::default();
    for (key, value) in part.0.iter().filter(|(key, _)| *key != "type") {
        object.0.push((names.iter().find(|(_, ours)| ours == key).map_or(*key, |(theirs, _)| theirs), value));
    }
    let mut out = String::new();
    object.write(&mut out);
    out
}
