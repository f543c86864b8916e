//! Raw events of agents, as messages.

use serde::{Deserialize, Serialize};

use super::usage::{AddUsage, Amounts};
use super::{Operation, Run};
use crate::api::{Sessions, WriteOptions};
use crate::facts::{SessionPatch, Status};
use crate::host::{Durability, Host};
use crate::id::{check_id, fingerprint};
use crate::json::{Json, members, object, quote};
use crate::store::Store;
use crate::{Error, Result};

/// The most events of one call.
const EVENTS_MAX: usize = 10_000;
/// A tool's result is shown up to so many lines; all of it is stored.
const VIEW_LINES: usize = 500;
/// A path that stands for a command is cut to so many characters.
const PATH_CHARS: usize = 80;

/// Takes events of an agent in, in order: each becomes a message, or changes what is known of the session.
///
/// | `type` | becomes |
/// | --- | --- |
/// | `user`, `text` | a message of the user, of the assistant |
/// | `thinking` | a message of the assistant with a part `thinking` |
/// | `tool_call` | a message of the assistant with a part `tool_call`, its `view` and its `tool_path` |
/// | `tool_result` | a message of the tool with the whole result, and a `view` of 500 lines where it has more |
/// | `init` | a note of the system; the session's model |
/// | `error` | a note of the system |
/// | `cost` | usage, as all that the session has used so far |
/// | `status` | the session's status; a text that is none: `idle` |
/// | `compaction` and any other | a note of the system with the event as it came, in a part `opaque` |
///
/// Guarantee: an event whose id came before with the same content changes nothing, whatever became of its message since; one
/// with other content is kept under an id that is derived from both. Events that were taken stay so where a later one fails. On return all of them are
/// durable. Errors: `not-found`, `invalid` (an event is no object, or has no `type`), `conflict` (in the trash).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// The session.
    pub session: String,
    /// At most 10,000 JSON objects with `type`, and by type: `id`, `content`, `name`, `call_id`, `input`, `output`,
    /// `is_error`, `model`, `status`, `cost`, `input_tokens`, `output_tokens`, `at`.
    pub events: Vec<Json>,
}

/// What became of events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ingested {
    /// How many messages were appended.
    pub appended: u64,
    /// How many events had been taken before.
    pub repeated: u64,
    /// How many came with a known id and other content, and were kept under another.
    pub renamed: u64,
    /// The head now.
    pub head: u64,
}

/// An event, as far as it is understood.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    content: Option<Json>,
    name: Option<String>,
    call_id: Option<String>,
    input: Option<Json>,
    output: Option<Json>,
    is_error: Option<bool>,
    model: Option<String>,
    status: Option<String>,
    cost: Option<Json>,
    input_tokens: Option<Json>,
    output_tokens: Option<Json>,
    at: Option<u64>,
}

impl Operation for Ingest {
    const NAME: &'static str = "ingest";
    type Answer = Ingested;
}

impl Run for Ingest {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Ingested> {
        if self.events.len() > EVENTS_MAX {
            return Err(Error::invalid(format!(
                "{} events; give at most {EVENTS_MAX} at once",
                self.events.len()
            )));
        }
        // All are understood before the first is taken.
        let understand = |(place, json): (usize, &Json)| {
            let bad = |what: &str| Error::invalid(format!("event {}: {what}", place + 1));
            let event: Event = serde_json::from_str(json.as_str())
                .map_err(|_| bad("it is no object with the members of its type"))?;
            if event.kind.is_empty() {
                return Err(bad("it has no `type`; give the kind of event as a text"));
            }
            // The id becomes part of an operation's.
            let id = event.id.as_ref().map_or(Ok(()), |id| check_id("event id", id));
            id.map_err(|error| bad(&error.message))?;
            if event.id.as_ref().is_some_and(|id| id.len() > 200) {
                return Err(bad("its id has more than 200 bytes"));
            }
            amounts(&event).check().map_err(|error| bad(&error.message))?;
            Ok(event)
        };
        let events = self.events.iter().enumerate().map(understand).collect::<Result<Vec<_>>>()?;
        store.get(&self.session)?;
        let mut ingested = Ingested::default();
        for (event, json) in events.iter().zip(&self.events) {
            match event.kind.as_str() {
                "cost" => cost(store, &self.session, event, json)?,
                "status" => set_status(store, &self.session, event, json)?,
                _ => {
                    if let ("init", Some(model)) = (event.kind.as_str(), &event.model) {
                        let patch =
                            SessionPatch { model: Some(Some(model.clone())), ..SessionPatch::default() };
                        store.update(&self.session, &patch, &once(event, json))?;
                    }
                    take(store, &self.session, event, json, &mut ingested)?;
                }
            }
        }
        store.sync(&self.session)?;
        ingested.head = store.get(&self.session)?.head;
        Ok(ingested)
    }
}

fn buffered() -> WriteOptions {
    WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() }
}

/// How a change of facts is written: one event changes them once, however often and how late it comes.
fn once(event: &Event, json: &Json) -> WriteOptions {
    let op = event.id.as_ref().map(|id| format!("{}:{id}~{}", event.kind, digest(json.as_str())));
    WriteOptions { op, ..buffered() }
}

fn digest(text: &str) -> String {
    format!("{:016x}", fingerprint(text) >> 64)
}

/// Appends the message of an event, unless it was taken before.
fn take<H: Host>(
    store: &mut Store<H>,
    session: &str,
    event: &Event,
    json: &Json,
    done: &mut Ingested,
) -> Result<()> {
    let plain = message(event, json, None);
    let Some(id) = &event.id else {
        append(store, session, event, &plain, None)?;
        done.appended += 1;
        return Ok(());
    };
    let digest = digest(&plain);
    let wanted = message(event, json, Some((id, &digest)));
    let (seq, repeated) = append(store, session, event, &wanted, Some(format!("event:{id}")))?;
    if !repeated {
        done.appended += 1;
        return Ok(());
    }
    if taken(store, session, seq)?.as_ref() == Some(&digest) {
        done.repeated += 1;
        return Ok(());
    }
    let other = format!("{id}~{digest}");
    let wanted = message(event, json, Some((&other, &digest)));
    let (_, repeated) = append(store, session, event, &wanted, Some(format!("event:{other}")))?;
    if repeated {
        done.repeated += 1;
    } else {
        done.appended += 1;
        done.renamed += 1;
    }
    Ok(())
}

fn append<H: Host>(
    store: &mut Store<H>,
    session: &str,
    event: &Event,
    message: &str,
    op: Option<String>,
) -> Result<(u64, bool)> {
    let options = WriteOptions { op, at: event.at, ..buffered() };
    let appended = store.append(session, &format!("[{message}]"), &options)?;
    Ok((appended.seq, appended.repeated))
}

/// The digest of the event that a message came from, whatever became of the message since.
fn taken<H: Host>(store: &mut Store<H>, session: &str, seq: u64) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Stored {
        event_digest: Option<String>,
    }
    let message = store.message_at(session, seq)?;
    Ok(message.and_then(|message| serde_json::from_str::<Stored>(&message).ok()?.event_digest))
}

/// The message of an event, with its id and what tells it from others of that id.
fn message(event: &Event, json: &Json, id: Option<(&str, &str)>) -> String {
    let text =
        |kind: &str, text: &str| object([("type", quote(kind).as_str()), ("text", quote(text).as_str())]);
    let content = event.content.as_ref().map(plain).unwrap_or_default();
    let name = event.name.as_deref().unwrap_or("Tool");
    let call = event.call_id.as_deref().or(event.id.as_deref()).unwrap_or("call");
    let (role, part) = match event.kind.as_str() {
        "user" => ("user", text("text", &content)),
        "text" => ("assistant", text("text", &content)),
        "thinking" => ("assistant", text("thinking", &content)),
        "tool_call" => ("assistant", tool_call(event, name, call)),
        "tool_result" => ("tool", tool_result(event, call)),
        "init" | "error" => {
            ("system", text("text", &if content.is_empty() { json.as_str().to_owned() } else { content }))
        }
        _ => ("system", object([("type", "\"opaque\""), ("data", json.as_str())])),
    };
    let parts = format!("[{part}]");
    let (role, event_type) = (quote(role), quote(&event.kind));
    let id = id.map(|(id, digest)| (quote(id), quote(digest)));
    let mut members =
        vec![("role", role.as_str()), ("parts", parts.as_str()), ("event_type", event_type.as_str())];
    if let Some((id, digest)) = &id {
        members.extend([("id", id.as_str()), ("event_digest", digest.as_str())]);
    }
    object(members)
}

/// A text as it is, and anything else as its JSON.
fn plain(json: &Json) -> String {
    serde_json::from_str::<String>(json.as_str()).unwrap_or_else(|_| json.as_str().to_owned())
}

fn tool_call(event: &Event, name: &str, call: &str) -> String {
    let input = event.input.as_ref().map_or("{}", Json::as_str);
    let member = |wanted: &str| {
        let members = members(input).unwrap_or_default();
        let value = members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        value.and_then(|value| serde_json::from_str::<String>(value).ok())
    };
    let command = member("command").filter(|_| name == "Bash");
    let view = command.clone().or_else(|| member("file_path")).unwrap_or_else(|| input.to_owned());
    let cut = command.map(|command| command.chars().take(PATH_CHARS).collect::<String>());
    let path = member("file_path").or_else(|| member("path")).or(cut).map(|path| quote(&path));
    let (name, call, view) = (quote(name), quote(call), quote(&view));
    let mut members = vec![
        ("type", "\"tool_call\""),
        ("id", call.as_str()),
        ("name", name.as_str()),
        ("arguments", input),
        ("view", view.as_str()),
    ];
    members.extend(path.as_ref().map(|path| ("tool_path", path.as_str())));
    object(members)
}

fn tool_result(event: &Event, call: &str) -> String {
    let whole = event.output.as_ref().or(event.content.as_ref()).map(plain).unwrap_or_default();
    let lines = whole.split('\n').count();
    let view = (lines > VIEW_LINES).then(|| {
        let shown: Vec<&str> = whole.split('\n').take(VIEW_LINES).collect();
        quote(&format!("{}\n... ({} more lines)", shown.join("\n"), lines - VIEW_LINES))
    });
    let (call, whole) = (quote(call), quote(&whole));
    let mut members =
        vec![("type", "\"tool_result\""), ("call_id", call.as_str()), ("content", whole.as_str())];
    members.extend(event.is_error.map(|is_error| ("is_error", if is_error { "true" } else { "false" })));
    members.extend(view.as_ref().map(|view| ("view", view.as_str())));
    object(members)
}

/// The amounts that an event tells.
fn amounts(event: &Event) -> Amounts {
    let known = |amount: &Option<Json>| amount.clone().filter(|amount| amount.as_str() != "null");
    Amounts {
        input: known(&event.input_tokens),
        output: known(&event.output_tokens),
        cost: known(&event.cost),
        ..Amounts::default()
    }
}

/// What an agent says of its costs is all that the session has used so far.
fn cost<H: Host>(store: &mut Store<H>, session: &str, event: &Event, json: &Json) -> Result<()> {
    let add = AddUsage {
        session: session.to_owned(),
        model: event.model.clone(),
        amounts: amounts(event),
        absolute: true,
        source: Some("ingest".into()),
        used_at: event.at,
        op: once(event, json).op,
        durability: Durability::Buffered,
    };
    add.run(store).map(drop)
}

fn set_status<H: Host>(store: &mut Store<H>, session: &str, event: &Event, json: &Json) -> Result<()> {
    let status = event.status.as_deref().map_or(Ok(Status::Idle), Status::parse).unwrap_or(Status::Idle);
    let patch = SessionPatch { status: Some(status), ..SessionPatch::default() };
    store.update(session, &patch, &once(event, json)).map(drop)
}
