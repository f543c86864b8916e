//! Sessions as the file of a workspace of NomadArch.
//!
//! Forks list the records of their parent, so a message that several sessions have is written once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Kept, Lost, Overlay, Stored, View};
use crate::facts::Session;
use crate::id::{base32, fingerprint};
use crate::import::nomadarch::{FORMAT, MESSAGES, call_back, model_of, part_back, status_of};
use crate::import::{Members, decode_string, id_for, title_of};
use crate::json::{self, quote};

pub use crate::import::nomadarch::STORE;

/// The messages of one file, by id: which there are, and what they say.
#[derive(Debug, Default)]
pub struct Messages {
    written: BTreeMap<String, u128>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its id there.
    pub id: String,
    /// Its record, unless it is in the file already.
    pub record: Option<String>,
    /// Whether the file has another message of its id, so that it has got a new one.
    pub is_renamed: bool,
}

impl Messages {
    /// Places a message of a session. `None` where it is not written, which `lost` counts.
    pub fn place(&mut self, session: &Session, stored: &Stored<'_>, lost: &mut Lost) -> Option<Placed> {
        let (id, mut record) = record(session, stored, lost)?;
        let mut own = Overlay::of(&record);
        // Records that forks share name the session that they were made in.
        own.remove("sessionId");
        let print = fingerprint(&json::canonical(&json::minify(&own.json()).unwrap_or_else(|_| own.json())));
        match self.written.get(&id) {
            Some(known) if *known == print => return Some(Placed { id, record: None, is_renamed: false }),
            None => {
                self.written.insert(id.clone(), print);
                return Some(Placed { id, record: Some(record), is_renamed: false });
            }
            Some(_) => {}
        }
        let renamed = format!("{id}-{}", base32(fingerprint(&session.id)));
        let mut other = Overlay::of(&record);
        other.set("id", quote(&renamed));
        record = other.json();
        self.written.insert(renamed.clone(), print);
        Some(Placed { id: renamed, record: Some(record), is_renamed: true })
    }
}

/// The directory of the workspace that a scope is. One that is no name of a directory has one made of it.
pub fn directory(scope: &str) -> String {
    let is_name = (1..=200).contains(&scope.len())
        && !scope.starts_with('.')
        && !scope.ends_with(['.', ' '])
        && !scope.chars().any(|letter| letter.is_control() || "/\\:*?\"<>|".contains(letter));
    if is_name { scope.to_owned() } else { format!("workspace-{}", base32(fingerprint(scope))) }
}

/// A session's id there, and its record with the list of its messages.
pub fn session(session: &Session, ids: &[String]) -> (String, String) {
    let facts = &session.facts;
    let kept = Kept::of(facts.metadata.as_ref(), FORMAT);
    let is_current = kept.is_current(session);
    let mut object = Overlay::of(&kept.session);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    object.text("id", Some(&session.id), "", |id| Some(id_for(id)));
    object.text("workspaceId", Some(&facts.scope), "", text);
    object.text("title", facts.title.as_deref(), "\"New Session\"", |title| text(&title_of(title)));
    object.text("parentId", facts.parent.as_deref(), "null", |parent| Some(id_for(parent)));
    object.value("createdAt", true, || facts.created.to_string());
    object.value("updatedAt", is_current, || facts.updated.to_string());
    if facts.agent.is_some() || object.get("agent").is_some() {
        object.text("agent", facts.agent.as_deref(), "null", text);
    }
    let model = object.get("model").map(model_of).unwrap_or_default();
    if model != (facts.provider.clone(), facts.model.clone()) {
        let quoted = |name: &Option<String>| quote(name.as_deref().unwrap_or_default());
        let (provider, model) = (quoted(&facts.provider), quoted(&facts.model));
        object.set("model", json::object([("providerId", provider.as_str()), ("modelId", model.as_str())]));
    }
    // The messages that a revert hides are not written, so it would point to nothing.
    let reverted = object.get("revert").and_then(Members::parse);
    let reverted = reverted.and_then(|revert| Some(revert.string("messageID")?.into_owned()));
    if reverted.is_some_and(|id| !ids.contains(&id)) {
        object.set("revert", "null".to_owned());
    }
    let list: Vec<String> = ids.iter().map(|id| quote(id)).collect();
    object.set("messageIds", format!("[{}]", list.join(",")));
    let id = object.get("id").and_then(decode_string).map_or_else(|| session.id.clone(), Cow::into_owned);
    (id, object.json())
}

/// A message's id there, and its record.
fn record(session: &Session, stored: &Stored<'_>, lost: &mut Lost) -> Option<(String, String)> {
    let json = stored.message.get();
    let message = Members::parse(json)?;
    if let Some(text) = MESSAGES.regenerate(json) {
        let own = message.string("id").map_or_else(|| stored.id.clone(), Cow::into_owned);
        let mut record = Overlay::of(&text);
        let inner = record.get("id").and_then(decode_string).map(Cow::into_owned);
        let id = inner.filter(|inner| id_for(inner) == own).unwrap_or(own);
        let status = message.get("status");
        if record.get("status").and_then(status_of) != status.and_then(status_of) {
            match status {
                Some(status) => record.set("status", status.to_owned()),
                None => record.remove("status"),
            }
        }
        let updated = record.get("updatedAt").and_then(|updated| updated.parse::<u64>().ok());
        if updated.is_some_and(|updated| updated < stored.updated_at) {
            record.set("updatedAt", stored.updated_at.to_string());
        }
        return Some((id, if Members::parse(&text).is_some() { record.json() } else { text }));
    }
    let view = View::of(json, lost)?;
    view.lose_others(&["text", "thinking", "code", "tool_call", "tool_result"], lost);
    let is_known = |part: &&Members<'_>| part.string("type").is_some_and(|kind| kind != "opaque");
    let parts: Vec<String> = view
        .parts
        .iter()
        .filter(is_known)
        .map(with_text_arguments)
        .filter_map(|part| part_of(&part))
        .collect();
    let calls: Vec<String> =
        view.parts("tool_call").map(with_text_arguments).filter_map(|part| call_of(&part)).collect();
    let result = view.parts("tool_result").next();
    let mut record = Overlay(Vec::new());
    record.set("id", quote(&stored.id));
    record.set("sessionId", quote(&session.id));
    record.set("role", quote(&view.role));
    let content = view.text(&["text"]);
    if let Some(content) =
        content.or_else(|| result.and_then(|part| part.get("content")).map(super::result_text))
    {
        record.set("content", content);
    }
    for (key, values) in [("parts", parts), ("toolCalls", calls)] {
        if !values.is_empty() {
            record.set(key, format!("[{}]", values.join(",")));
        }
    }
    if let Some(call) = result.and_then(|part| part.get("call_id")) {
        record.set("toolCallId", call.to_owned());
    }
    record.set("status", message.get("status").unwrap_or("\"completed\"").to_owned());
    record.set("createdAt", stored.created_at.to_string());
    record.set("updatedAt", stored.updated_at.to_string());
    Some((stored.id.clone(), record.json()))
}

/// Arguments are the text of an object there, and the content of a result is a text.
fn with_text_arguments<'a>(part: &Members<'a>) -> Vec<(&'a str, String)> {
    let text = |key: &str, value: &str| match key {
        "arguments" if decode_string(value).is_none() => quote(value),
        "content" => super::result_text(value),
        _ => value.to_owned(),
    };
    part.0.iter().map(|(key, value)| (*key, text(key, value))).collect()
}

fn part_of(part: &[(&str, String)]) -> Option<String> {
    part_back(&borrowed(part))
}

fn call_of(part: &[(&str, String)]) -> Option<String> {
    call_back(&borrowed(part))
}

fn borrowed<'a>(part: &'a [(&'a str, String)]) -> Members<'a> {
    Members(part.iter().map(|(key, value)| (*key, value.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nomadarch::Workspace;

    const FILE: &str = r#"{"sessions":{},"messages":{}}"#;

    /// The records of messages, imported as those of one session.
    fn imported(messages: &[&str]) -> Vec<(String, String)> {
        let ids: Vec<String> = (0..messages.len()).map(|at| format!("\"m{at}\"")).collect();
        let records: Vec<String> = messages
            .iter()
            .enumerate()
            .map(|(at, more)| format!("\"m{at}\":{{\"id\":\"m{at}\",\"sessionId\":\"s\",{more},\"createdAt\":5,\"updatedAt\":7}}"))
            .collect();
        let session = format!(
            "\"s\":{{\"id\":\"s\",\"workspaceId\":\"w\",\"title\":\"T\",\"messageIds\":[{}]}}",
            ids.join(",")
        );
        let file = FILE
            .replace("\"sessions\":{", &format!("\"sessions\":{{{session}"))
            .replace("\"messages\":{", &format!("\"messages\":{{{}", records.join(",")));
        let mut workspace = Workspace::read("w", file.as_bytes());
        let session = workspace.next().unwrap();
        let told: Vec<String> = workspace.finish().problems.into_iter().map(|problem| problem.what).collect();
        assert_eq!(told, [""; 0]);
        let listed = Members::parse(&file).unwrap();
        let originals = Members::parse(listed.get("messages").unwrap()).unwrap();
        let texts = originals.0.iter().map(|(_, text)| (*text).to_owned());
        texts.zip(session.messages.into_iter().map(|message| message.json)).collect()
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        for (more, part) in [
            (r#""role":"user","content":"a\u0041""#, r#"[{"type":"text","text":"a\u0041"}]"#),
            (
                r#""role":"user","parts":[{"type":"text","content":"a"},{"type":"code","content":"b"}],"content":"a""#,
                r#"[{"type":"text","text":"a"},{"type":"code","text":"b"}]"#,
            ),
            (
                r#""role":"assistant","parts":[{"type":"thinking","content":"a"}],"content":"b""#,
                r#"[{"type":"thinking","text":"a"},{"type":"text","text":"b"}]"#,
            ),
            (
                r#""role":"assistant","toolCalls":[{"id":"c","type":"function","function":{"name":"n","arguments":"{\"a\":1}"}}],"status":"streaming""#,
                r#"[{"type":"tool_call","id":"c","name":"n","arguments":"{\"a\":1}"}]"#,
            ),
            (
                r#""role":"assistant","parts":[{"type":"tool_call","toolCall":{"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}}],"toolCalls":[{"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}]"#,
                r#"[{"type":"tool_call","id":"c","name":"n","arguments":"{}"}]"#,
            ),
            (
                r#""role":"tool","parts":[{"type":"tool_result","toolResult":{"toolCallId":"c","content":"x","isError":true}}]"#,
                r#"[{"type":"tool_result","call_id":"c","content":"x","is_error":true}]"#,
            ),
            (
                r#""role":"tool","content":"x","toolCallId":"c""#,
                r#"[{"type":"tool_result","call_id":"c","content":"x"}]"#,
            ),
            (
                r#""role":"user","parts":[{"type":"text"},{"type":"wish","x":null},7]"#,
                r#"[{"type":"opaque","data":{"type":"text"}},{"type":"opaque","data":{"type":"wish","x":null}},{"type":"opaque","data":7}]"#,
            ),
            (r#""role":"user","later":{"x":null}"#, "[]"),
        ] {
            let (original, json) = imported(&[more]).remove(0);
            crate::message::check_one(&json).unwrap();
            let message = Members::parse(&json).unwrap();
            assert_eq!(message.get("parts"), Some(part));
            assert_eq!(MESSAGES.regenerate(&json), Some(original));
        }
    }

    #[test]
    fn a_scope_that_is_a_path_never_becomes_one() {
        for bad in ["", ".", "..", "../x", "/srv/a", "a\\b", "a:b", ".git", "a\n", "x".repeat(201).as_str()] {
            assert!(directory(bad).starts_with("workspace-"), "{bad}");
        }
        assert_eq!(directory("my workspace-1_é"), "my workspace-1_é");
    }
}
