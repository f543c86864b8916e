//! The scripts of `tests/corpus/scripts.json`: every call and every operation of a store, a few to a script, each of
//! which may be made again; and what a store holds, without what differs from run to run.
//!
//! The same program `script STORE ACKS SCRIPT` exists for every host: it opens the store, carries out the steps and
//! writes a line to ACKS for each that was acknowledged, and for each error. A call that fails is made again up to
//! [`TRIES`] times through the same handle, or through a new one where it was `closed`.

#![allow(clippy::indexing_slicing, reason = "a JSON value is indexed without panic")]

use std::fs::{File, OpenOptions as FileOptions};
use std::io::Write;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sessile::{Engine, Error, ErrorKind, ListQuery, OpenOptions, Select, Sessions, Store, StoredMessage};

use crate::corpus;
use crate::hosts::repository;

/// How often a call is made before the program gives up.
pub const TRIES: u64 = 3;
/// The program's exit code where it has given up.
pub const GAVE_UP: i32 = 9;
/// The exit code of a program in another language whose acknowledgement could not be written: an interpreter's own
/// calls come in no fixed order, and the fault has met the wrong file.
pub const UNHEARD: i32 = 8;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it is about.
    pub name: String,
    /// What is in the store before: not part of the test.
    pub before: Vec<Value>,
    /// The calls.
    pub steps: Vec<Value>,
}

/// All scripts.
///
/// Errors: the file is no such JSON.
pub fn all() -> Result<Vec<Script>, String> {
    let file = repository().join("tests/corpus/scripts.json");
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| fail(&error))?;
    let cases: Vec<Value> = serde_json::from_str(&text).map_err(|error| fail(&error))?;
    let steps = |case: &Value, name: &str| case[name].as_array().cloned().unwrap_or_default();
    let script = |case: &Value| Script {
        name: case["name"].as_str().unwrap_or_default().to_owned(),
        before: steps(case, "before"),
        steps: steps(case, "steps"),
    };
    Ok(cases.iter().map(script).collect())
}

/// Opens a store with the core in this process.
///
/// Errors: the store's.
pub fn open(root: &Path, read_only: bool) -> Result<Store, Error> {
    Store::open_with(root, OpenOptions { read_only }, Engine::Native)
}

/// Makes steps one after another, and remembers what some of them say.
#[derive(Default)]
pub struct Maker {
    kept: Map<String, Value>,
}

impl Maker {
    /// Makes the call of a step.
    ///
    /// Errors: the store's.
    pub fn make(&mut self, store: &mut dyn Sessions, step: &Value) -> Result<Value, Error> {
        let answer =
            corpus::call(store, step["call"].as_str().unwrap_or_default(), &self.fill(&step["args"]))?;
        for (name, at) in step["keep"].as_object().into_iter().flatten() {
            let kept = answer.pointer(at.as_str().unwrap_or_default()).cloned().unwrap_or_default();
            self.kept.insert(format!("${name}"), kept);
        }
        Ok(answer)
    }

    /// Makes the calls of a script from one on, the first of which may have been made before.
    ///
    /// Errors: which call failed, and how.
    pub fn go_on(&mut self, store: &mut dyn Sessions, steps: &[Value], from: usize) -> Result<(), String> {
        for (place, step) in steps.iter().enumerate() {
            // What an earlier step has said is asked for again.
            if place < from && step.get("keep").is_none() {
                continue;
            }
            match self.make(store, step) {
                Err(error) if place == from && was_made(step, &error) => {}
                Err(error) => {
                    return Err(format!("step {place} ({}): {}: {error}", step["call"], error.kind.name()));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.kept.get(text).unwrap_or(value).clone(),
            Value::Array(elements) => elements.iter().map(|element| self.fill(element)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, member)| (name.clone(), self.fill(member))).collect()
            }
            other => other.clone(),
        }
    }
}

/// Whether the error of a call says that it had been made before.
fn was_made(step: &Value, error: &Error) -> bool {
    step["retry"].as_array().into_iter().flatten().any(|kind| kind == error.kind.name())
}

/// Carries out a script as the program does. Returns its exit code.
///
/// Errors: ACKS cannot be written.
pub fn program(root: &Path, acks: &Path, steps: &[Value]) -> std::io::Result<i32> {
    let mut acks = FileOptions::new().create(true).append(true).open(acks)?;
    let mut maker = Maker::default();
    let Some(mut store) = open_again(root, &mut acks)? else { return Ok(GAVE_UP) };
    for (place, step) in steps.iter().enumerate() {
        let mut tried = 0;
        loop {
            tried += 1;
            match maker.make(&mut *store, step) {
                Ok(answer) => {
                    say(&mut acks, &json!({"step": place, "answer": answer}))?;
                    break;
                }
                Err(error) if tried > 1 && was_made(step, &error) => {
                    say(&mut acks, &json!({"step": place, "made": error.kind.name()}))?;
                    break;
                }
                Err(error) => {
                    say(
                        &mut acks,
                        &json!({"error": error.kind.name(), "call": step["call"], "message": error.message}),
                    )?;
                    if tried == TRIES {
                        return Ok(GAVE_UP);
                    }
                    if error.kind == ErrorKind::Closed {
                        drop(store);
                        let Some(opened) = open_again(root, &mut acks)? else { return Ok(GAVE_UP) };
                        store = opened;
                    }
                }
            }
        }
    }
    drop(store);
    say(&mut acks, &json!({"done": true}))?;
    Ok(0)
}

fn open_again(root: &Path, acks: &mut File) -> std::io::Result<Option<Store>> {
    for _ in 0..TRIES {
        match open(root, false) {
            Ok(store) => return Ok(Some(store)),
            Err(error) => {
                say(acks, &json!({"error": error.kind.name(), "call": "open", "message": error.message}))?;
            }
        }
    }
    Ok(None)
}

/// Writes a line, in one write.
fn say(file: &mut File, line: &Value) -> std::io::Result<()> {
    file.write_all(format!("{line}\n").as_bytes())
}

/// All that a store holds, byte for byte where it is a caller's, without times and ids that the store draws. A store
/// that is not there holds nothing.
///
/// Errors: something cannot be read.
pub fn observe(root: &Path) -> Result<Value, String> {
    let mut store = match open(root, true) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(json!({})),
        opened => {
            opened.map_err(|error| format!("the store does not open: {}: {error}", error.kind.name()))?
        }
    };
    let observed = observe_open(&mut *store);
    let observed = observed.map_err(|error| format!("cannot be read: {}: {error}", error.kind.name()))?;
    // A store that somebody has begun to make is not there, for all that anybody was told.
    let holds = ["/sessions", "/counters/counters", "/retention/policy"]
        .iter()
        .any(|place| observed.pointer(place).is_some_and(|value| !value.is_null() && *value != json!({})));
    Ok(if holds { observed } else { json!({}) })
}

fn observe_open(store: &mut dyn Sessions) -> Result<Value, Error> {
    let mut sessions = Map::new();
    for trashed in [false, true] {
        for listed in store.list(&ListQuery { trashed, limit: 1_000, ..ListQuery::default() })?.sessions {
            let id = listed.id.clone();
            let observed = observe_session(store, &id, corpus::session(listed))?;
            // The store's own ids differ from run to run: such sessions are told by what they hold.
            let name = if is_ulid(&id) { format!("{observed}") } else { id };
            sessions.insert(name, observed);
        }
    }
    let mut ask = |name: &str, request: Value| ask(store, name, &request);
    Ok(json!({
        "sessions": sessions,
        "counters": ask("get_counters", json!({}))?,
        "usage": [ask("get_usage", json!({"by": "model"}))?, ask("get_usage", json!({"by": "scope"}))?],
        "retention": ask("get_retention", json!({}))?,
        "count": ask("count_sessions", json!({}))?,
    }))
}

fn observe_session(store: &mut dyn Sessions, id: &str, facts: Value) -> Result<Value, Error> {
    let page = store.read(id, &Select::Last(10_000))?;
    let parsed = StoredMessage::parse_page(&page)?;
    let messages: Value =
        parsed.iter().map(|stored| json!([stored.seq, stored.parent, text(&stored.json)])).collect();
    let branches: Value = store
        .branches(id)?
        .iter()
        .map(|branch| json!([branch.tip, branch.shared, branch.current, branch.message_count]))
        .collect();
    let of = json!({"session": id});
    let mut asked = Map::new();
    for name in [
        "get_counters",
        "get_usage",
        "get_run",
        "inbound",
        "outbound",
        "get_state",
        "get_routing",
        "questions",
        "list_attachments",
    ] {
        asked.insert(name.to_owned(), ask(store, name, &of)?);
    }
    for attachment in asked["list_attachments"]["attachments"].as_array().cloned().unwrap_or_default() {
        let digest = attachment["digest"].as_str().unwrap_or_default();
        let bytes = ask(store, "read_attachment", &json!({"session": id, "digest": digest}))?;
        asked.insert(format!("attachment {digest}"), bytes);
    }
    Ok(json!({
        "facts": lasting(facts), "messages": messages, "branches": branches, "tables": asked,
        "unreadable": page.unreadable,
        "damage": page.damage.iter().map(|range| json!([range.from, range.to])).collect::<Value>(),
    }))
}

fn text(json: &RawValue) -> String {
    json.get().to_owned()
}

fn ask(store: &mut dyn Sessions, name: &str, request: &Value) -> Result<Value, Error> {
    let answer = store.operate(name, &request.to_string())?;
    Ok(lasting(serde_json::from_str(&answer).unwrap_or_default()))
}

/// A value without what differs from run to run, or from a first call to one that is made again.
pub fn lasting(value: Value) -> Value {
    const PASSING: [&str; 8] = [
        "generation",
        "log_bytes",
        "bytes_before",
        "bytes_after",
        "bytes_freed",
        "bytes",
        "repeated",
        "cursor",
    ];
    match value {
        Value::String(text) if is_ulid(&text) => "a ULID".into(),
        Value::Number(number) if number.as_f64().is_some_and(|number| number > 1.6e12) => "a time".into(),
        Value::Array(elements) => elements.into_iter().map(lasting).collect(),
        Value::Object(mut members) => {
            // The messages of a page as they came, with their times; the same messages stand beside.
            if members.contains_key("messages") {
                members.remove("text");
            }
            let lasts = |name: &str| !name.ends_with("_at") && !PASSING.contains(&name);
            let members = members.into_iter().filter(|(name, _)| lasts(name));
            members.map(|(name, member)| (name, lasting(member))).collect()
        }
        other => other,
    }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Findings of the doctor that only name what nobody was acknowledged, or what awaits its removal.
const HARMLESS: [&str; 3] = ["unfinished-record", "leftover", "unfinished-rewrite"];

/// Has the doctor look at a store, and returns what it finds that is no harmless leftover, nor among `also`.
///
/// Errors: the store does not open.
pub fn doctor(root: &Path, also: &[&str]) -> Result<Vec<Value>, String> {
    let mut store = match open(root, true) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(|error| format!("the store does not open: {error}"))?,
    };
    let report = store.doctor(false).map_err(|error| format!("the doctor: {error}"))?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("the doctor: {error}"))?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let is_harmless = |kind: &str| HARMLESS.contains(&kind) || also.contains(&kind);
    Ok(findings.into_iter().filter(|finding| !finding["kind"].as_str().is_some_and(is_harmless)).collect())
}
