//! Sessions of NomadArch: for each workspace a file `<workspace>/sessions.json` with the objects `sessions` and
//! `messages`, both by id.
//!
//! A session lists the ids of its messages; forks list those of their parent, so a record may be in several sessions.
//! A fork becomes a fork here, and shares what it can. Messages change after they were made, so each has a version.
//! The members of a session, but for its list, stand in the metadata, `nomadarch.session`, and those of a message in
//! its `source`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::document::{
    Envelope, MessageFormat, Pieces, Shown, call_of_part, call_part, content_of_part, id_for, kept, ms_of,
    note_wrong_strings, number_lines, place_of, text_of, title_of,
};
use super::{Import, ImportedSession, Members, Place, decode_string, document, is_string, parents_first};
use crate::json::{elements, quote};
use crate::limits::{NAME_BYTES_MAX, SCOPE_BYTES_MAX};
use crate::message::STATUSES;

/// The name of the format, and the member of the metadata.
pub const FORMAT: &str = "nomadarch";

/// The name of a workspace's file.
pub const STORE: &str = "sessions.json";

pub(crate) const MESSAGES: MessageFormat = MessageFormat {
    name: FORMAT,
    shown: &[
        Shown { key: "parts", to_parts: parts, from_parts: list_of_parts },
        Shown { key: "content", to_parts: content_part, from_parts: content_of_part },
        Shown { key: "toolCalls", to_parts: call_parts, from_parts: calls_of_parts },
    ],
};

/// A workspace's file, read, from which one session after the other can be taken.
#[derive(Debug)]
pub struct Workspace<'a> {
    text: &'a str,
    bytes: &'a [u8],
    name: String,
    import: Import,
    waiting: VecDeque<Record<'a>>,
    messages: BTreeMap<String, &'a str>,
    /// The lists of sessions that were taken, for their forks.
    lists: BTreeMap<String, Vec<String>>,
    used: BTreeSet<String>,
}

#[derive(Debug)]
struct Record<'a> {
    id: String,
    place: Place,
    facts: Members<'a>,
    parent: Option<String>,
}

impl<'a> Workspace<'a> {
    /// Reads the file of the workspace `name`. A torn one gives what stands before the damage.
    pub fn read(name: &str, bytes: &'a [u8]) -> Self {
        let mut import = Import::default();
        let text = text_of(bytes, &mut import);
        let mut workspace = Self {
            text,
            bytes,
            name: name.to_owned(),
            import,
            waiting: VecDeque::new(),
            messages: BTreeMap::new(),
            lists: BTreeMap::new(),
            used: BTreeSet::new(),
        };
        workspace.fill();
        workspace
    }

    /// Counts and problems of all that was taken.
    pub fn finish(mut self) -> Import {
        for (id, message) in &self.messages {
            if !self.used.contains(id) {
                let what = format!("no session lists message {}; not taken", quote(id));
                self.import.note(place_of(self.text, message), &what);
            }
        }
        number_lines(self.bytes, &mut self.import);
        self.import
    }

    fn fill(&mut self) {
        let whole = Place { line: 0, offset: 0, bytes: self.bytes.len() as u64 };
        let pieces = Pieces::of(self.text).filter(|_| self.text.trim_start().starts_with('{'));
        let Some(pieces) = pieces else {
            self.import.note(whole, "not a JSON object; nothing is taken");
            return;
        };
        let torn = pieces.torn;
        if let Some((_, rest)) = torn {
            self.import
                .note(place_of(self.text, rest), "the file is torn; what stands before the damage is taken");
        }
        for (key, value) in &pieces.whole {
            if !matches!(*key, "sessions" | "messages") {
                let what = format!("the member {} of the file is not known; not taken", quote(key));
                self.import.note(place_of(self.text, value), &what);
            }
        }
        let mut records = Vec::new();
        for (key, value) in self.map(&pieces, "sessions") {
            records.extend(self.record(&key, value));
        }
        for (key, value) in self.map(&pieces, "messages") {
            self.messages.insert(key, value);
        }
        // A parent comes before its forks, which need it.
        let places: BTreeMap<&str, usize> =
            records.iter().enumerate().map(|(at, record)| (record.id.as_str(), at)).collect();
        let parents: Vec<Option<usize>> =
            records.iter().map(|record| places.get(record.parent.as_deref()?).copied()).collect();
        let mut records: Vec<Option<Record<'a>>> = records.into_iter().map(Some).collect();
        let order = parents_first(&parents);
        self.waiting = order.into_iter().filter_map(|at| records.get_mut(at)?.take()).collect();
    }

    /// The values of one of the two objects, as far as they can be read. Of a repeated key the last one counts.
    fn map(&mut self, pieces: &Pieces<'a>, name: &str) -> Vec<(String, &'a str)> {
        let whole = pieces.whole.iter().rfind(|(key, _)| *key == name).map(|(_, value)| *value);
        let torn = pieces.torn.filter(|(key, _)| *key == name).map(|(_, rest)| rest);
        let Some(value) = whole.or(torn) else {
            if pieces.torn.is_none() {
                self.import.note(place_of(self.text, self.text), &format!("the file has no `{name}`"));
            }
            return Vec::new();
        };
        let Some(map) = Pieces::of(value).filter(|_| value.starts_with('{')) else {
            self.import.note(
                place_of(self.text, value),
                &format!("`{name}` is not an object; nothing of it is taken"),
            );
            return Vec::new();
        };
        let mut found: Vec<(String, &str)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        // A session that is torn itself still says something.
        let torn =
            map.torn.filter(|(key, rest)| name == "sessions" && !key.is_empty() && rest.starts_with('{'));
        for (key, value) in map.whole.into_iter().chain(torn) {
            let key = decode_string(&format!("\"{key}\"")).map_or_else(|| key.to_owned(), Cow::into_owned);
            match places.get(&key).and_then(|at| found.get_mut(*at)) {
                Some(slot) => {
                    let what = format!("a second {} in `{name}`; the last one is taken", quote(&key));
                    self.import.note(place_of(self.text, slot.1), &what);
                    slot.1 = value;
                }
                None => {
                    places.insert(key.clone(), found.len());
                    found.push((key, value));
                }
            }
        }
        found
    }

    fn record(&mut self, key: &str, value: &'a str) -> Option<Record<'a>> {
        let place = place_of(self.text, value);
        let Some(pieces) = Pieces::of(value).filter(|_| value.starts_with('{')) else {
            self.import.note(place, &format!("session {} is not an object; not taken", quote(key)));
            return None;
        };
        let facts = pieces.members();
        let id = id_for(key);
        if id != key {
            let what = format!("the id {} cannot be one here; the session is taken as {id}", quote(key));
            self.import.note(place, &what);
        }
        if facts.string("id").is_none_or(|inner| inner != key) {
            self.import.note(place, &format!("session {id} says another id of itself, or none"));
        }
        if facts.string("workspaceId").is_none_or(|workspace| workspace != self.name.as_str()) {
            self.import.note(place, &format!("session {id} says another workspace of itself, or none"));
        }
        note_wrong_strings(&facts, &["title"], place, &mut self.import);
        let parent = facts.string("parentId").map(|parent| id_for(&parent));
        if parent.is_none() && facts.get("parentId").is_some_and(|parent| parent != "null") {
            self.import.note(place, &format!("the parent of session {id} is no id; kept as it is"));
        }
        let parent = parent.filter(|parent| *parent != id);
        Some(Record { id, place, facts, parent })
    }

    /// The ids of a session's messages that there are.
    fn list(&mut self, record: &Record<'a>) -> Vec<String> {
        let list = record.facts.get("messageIds").and_then(elements);
        let Some(list) = list else {
            let what = format!("session {} has no list of messages; those that name it are taken", record.id);
            self.import.note(record.place, &what);
            return self.named(record);
        };
        let mut ids = Vec::with_capacity(list.len());
        let mut known = BTreeSet::new();
        for entry in list {
            let id = decode_string(entry).map_or_else(|| entry.to_owned(), Cow::into_owned);
            if !self.messages.contains_key(&id) {
                let what = format!("session {} lists message {}, which is not there", record.id, quote(&id));
                self.import.note(place_of(self.text, entry), &what);
            } else if !known.insert(id.clone()) {
                let what = format!("session {} lists message {} twice", record.id, quote(&id));
                self.import.note(place_of(self.text, entry), &what);
            } else {
                ids.push(id);
            }
        }
        ids
    }

    /// The messages that name a session as theirs, the oldest first.
    fn named(&self, record: &Record<'a>) -> Vec<String> {
        let mut found: Vec<(Option<u64>, &String)> = Vec::new();
        for (id, message) in &self.messages {
            let message = Members::parse(message).unwrap_or_default();
            if message.string("sessionId").is_some_and(|session| id_for(&session) == record.id) {
                found.push((message.get("createdAt").and_then(ms_of), id));
            }
        }
        found.sort();
        found.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn session(&mut self, record: Record<'a>) -> ImportedSession {
        let list = self.list(&record);
        let shared = record.parent.as_ref().and_then(|parent| self.lists.get(parent));
        let shared = shared
            .map_or(0, |theirs| theirs.iter().zip(&list).take_while(|(one, other)| one == other).count());
        let Record { id, place, mut facts, parent } = record;
        let mut session =
            ImportedSession { scope: Some(self.name.clone()), shared, parent, ..ImportedSession::default() };
        describe(&mut session, &facts);
        for message in &list {
            let Some(text) = self.messages.get(message).copied() else { continue };
            let place = place_of(self.text, text);
            let made =
                MESSAGES.message(text, place, &mut self.import, |members, _| envelope(message, members));
            match made {
                Some(made) => session.messages.push(made),
                // The fork would not have the same messages as its parent.
                None => session.shared = session.shared.min(session.messages.len()),
            }
            if self.used.insert(message.clone()) {
                self.note_message(message, text, place);
            }
        }
        let reverted = facts.get("revert").and_then(Members::parse);
        if let Some(key) = reverted.and_then(|revert| Some(id_for(&revert.string("messageID")?))) {
            match session.messages.iter().any(|message| message.key == key) {
                true => session.reverted = Some(key),
                false => {
                    self.import
                        .note(place, &format!("session {id} is reverted to a message that it has not"));
                }
            }
        }
        facts.0.retain(|(key, _)| *key != "messageIds");
        let count = [("messages", session.messages.len().to_string())];
        session.metadata = Some(kept(FORMAT, facts, &count, place, &mut self.import));
        self.lists.insert(id.clone(), list);
        session.id = id;
        session
    }

    fn note_message(&mut self, id: &str, text: &str, place: Place) {
        let message = Members::parse(text).unwrap_or_default();
        if id_for(id) != id {
            let what =
                format!("the id {} cannot be one here; the message is taken as {}", quote(id), id_for(id));
            self.import.note(place, &what);
        }
        if message.string("id").is_none_or(|inner| inner != id) {
            self.import.note(place, &format!("message {} says another id of itself, or none", quote(id)));
        }
        if message.get("status").is_some_and(|status| status_of(status).is_none()) {
            self.import.note(place, &format!("message {} has an unknown status; kept as it is", quote(id)));
        }
    }
}

impl Iterator for Workspace<'_> {
    type Item = ImportedSession;

    fn next(&mut self) -> Option<ImportedSession> {
        let record = self.waiting.pop_front()?;
        Some(self.session(record))
    }
}

fn describe(session: &mut ImportedSession, facts: &Members<'_>) {
    let name = |text: &str| (1..=NAME_BYTES_MAX).contains(&text.len()).then(|| text.to_owned());
    session.scope = session.scope.take().filter(|scope| scope.len() <= SCOPE_BYTES_MAX);
    session.title = facts.string("title").filter(|title| !title.is_empty()).map(|title| title_of(&title));
    session.agent = facts.string("agent").and_then(|agent| name(&agent));
    let (provider, model) = model_of(facts.get("model").unwrap_or_default());
    session.provider = provider.and_then(|provider| name(&provider));
    session.model = model.and_then(|model| name(&model));
    session.created_ms = facts.get("createdAt").and_then(ms_of);
    session.updated_ms = facts.get("updatedAt").and_then(ms_of).or(session.created_ms);
}

/// The provider and the model of `{providerId, modelId}`.
pub(crate) fn model_of(value: &str) -> (Option<String>, Option<String>) {
    let model = Members::parse(value).unwrap_or_default();
    let text = |key| model.string(key).filter(|text| !text.is_empty()).map(Cow::into_owned);
    (text("providerId"), text("modelId"))
}

fn envelope(id: &str, message: &Members<'_>) -> Envelope {
    let created_ms = message.get("createdAt").and_then(ms_of);
    Envelope {
        key: id_for(id),
        created_ms,
        status: message.get("status").and_then(status_of),
        updated_ms: message.get("updatedAt").and_then(ms_of).or(created_ms).or(Some(0)),
        is_hidden: false,
    }
}

pub(crate) fn status_of(value: &str) -> Option<&'static str> {
    let status = decode_string(value)?;
    STATUSES.into_iter().find(|known| *known == status)
}

/// The parts of a message; what fits none of ours is kept whole, as an opaque one.
fn parts(value: &str, _: &Members<'_>) -> Option<Vec<String>> {
    let made = elements(value)?
        .into_iter()
        .map(|part| known_part(part).unwrap_or_else(|| format!("{{\"type\":\"opaque\",\"data\":{part}}}")));
    Some(made.collect())
}

fn known_part(part: &str) -> Option<String> {
    let part = Members::parse(part)?;
    match part.string("type")?.as_ref() {
        kind @ ("text" | "thinking" | "code") => {
            let text = part.get("content").filter(|text| is_string(text))?;
            Some(format!("{{\"type\":\"{kind}\",\"text\":{text}}}"))
        }
        "tool_call" => call_part(part.get("toolCall")?),
        "tool_result" => {
            let result = Members::parse(part.get("toolResult")?)?;
            let (call, content) =
                (result.get("toolCallId").filter(|id| is_string(id))?, result.get("content")?);
            let error =
                result.get("isError").map(|error| format!(",\"is_error\":{error}")).unwrap_or_default();
            Some(format!("{{\"type\":\"tool_result\",\"call_id\":{call},\"content\":{content}{error}}}"))
        }
        _ => None,
    }
}

fn list_of_parts(parts: &[Members<'_>]) -> Option<String> {
    let parts: Option<Vec<String>> = parts.iter().map(part_back).collect();
    Some(format!("[{}]", parts?.join(",")))
}

/// The part there that a part is. `None` for a kind that there is not.
pub(crate) fn part_back(part: &Members<'_>) -> Option<String> {
    match part.string("type")?.as_ref() {
        kind @ ("text" | "thinking" | "code") => {
            Some(format!("{{\"type\":\"{kind}\",\"content\":{}}}", part.get("text")?))
        }
        "tool_call" => Some(format!("{{\"type\":\"tool_call\",\"toolCall\":{}}}", call_back(part)?)),
        "tool_result" => {
            let (call, content) = (part.get("call_id")?, part.get("content")?);
            let error = part.get("is_error").map(|error| format!(",\"isError\":{error}")).unwrap_or_default();
            let result = format!("{{\"toolCallId\":{call},\"content\":{content}{error}}}");
            Some(format!("{{\"type\":\"tool_result\",\"toolResult\":{result}}}"))
        }
        "opaque" => part.get("data").map(str::to_owned),
        _ => None,
    }
}

pub(crate) fn call_back(part: &Members<'_>) -> Option<String> {
    call_of_part(part, ",\"type\":\"function\"")
}

/// The content, unless the parts say it already.
fn content_part(value: &str, message: &Members<'_>) -> Option<Vec<String>> {
    if has_part(message, &["text", "tool_result"]) {
        return None;
    }
    document::content_part(value, message, "toolCallId")
}

/// The tool calls, unless they are among the parts.
fn call_parts(value: &str, message: &Members<'_>) -> Option<Vec<String>> {
    if has_part(message, &["tool_call"]) {
        return None;
    }
    elements(value)?.into_iter().map(call_part).collect()
}

fn calls_of_parts(parts: &[Members<'_>]) -> Option<String> {
    let calls: Option<Vec<String>> = parts.iter().map(call_back).collect();
    Some(format!("[{}]", calls?.join(",")))
}

fn has_part(message: &Members<'_>, kinds: &[&str]) -> bool {
    let parts = message.get("parts").and_then(elements).unwrap_or_default();
    let kind_of = |part: &str| Some(Members::parse(part)?.string("type")?.into_owned());
    parts.into_iter().filter_map(kind_of).any(|kind| kinds.contains(&kind.as_str()))
}
