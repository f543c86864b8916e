#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a JSON value is indexed without panic; names are ASCII"
)]
//! Carries out the language-neutral cases of `tests/corpus/ops` (see its README) on any implementation of the store.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sessile_core::{
    Durability, Error, ForkOptions, ListQuery, MessageChange, MessageRef, NewSession, OpenOptions, Page,
    Result, Select, Session, SessionPatch, Sessions, Status, WriteOptions,
};

use crate::sim::{Disk, SimDisk, SimHost};

/// Opens a store on a simulated disk: what the cases are carried out on.
pub type Opener<'a> = &'a dyn Fn(SimHost, OpenOptions) -> Result<Box<dyn Sessions>>;

/// Carries out one case. Returns the disk that it leaves.
///
/// Errors: what differed from what the case says, and in which step.
pub fn run(case: &Value, open: Opener<'_>) -> Result<Disk, String> {
    run_on(Disk::default(), case, open)
}

/// Carries out one case on a disk that is not empty.
///
/// Errors: as [`run`].
pub fn run_on(disk: Disk, case: &Value, open: Opener<'_>) -> Result<Disk, String> {
    let mut runner =
        Runner { disk: SimDisk::new(disk), open, instances: BTreeMap::new(), kept: BTreeMap::new() };
    runner.steps(case["steps"].as_array().ok_or("the case has no steps")?, None)?;
    Ok(runner.disk.disk())
}

struct Runner<'a> {
    disk: SimDisk,
    open: Opener<'a>,
    instances: BTreeMap<u64, Box<dyn Sessions>>,
    kept: BTreeMap<String, Value>,
}

impl Runner<'_> {
    fn steps(&mut self, steps: &[Value], round: Option<u64>) -> Result<(), String> {
        for (place, step) in steps.iter().enumerate() {
            let step = self.fill(step, round);
            let name = step["call"].as_str().unwrap_or_default().to_owned();
            self.step(&name, &step).map_err(|what| format!("step {} ({name}): {what}", place + 1))?;
        }
        Ok(())
    }

    /// Puts what was kept, and the number of the round, where a step names it. Expectations are filled when compared.
    fn fill(&self, step: &Value, round: Option<u64>) -> Value {
        match step {
            Value::String(text) => match text.strip_prefix('$').and_then(|name| self.kept.get(name)) {
                Some(kept) => kept.clone(),
                None => {
                    round.map_or_else(|| step.clone(), |round| text.replace("$i", &round.to_string()).into())
                }
            },
            Value::Array(elements) => elements.iter().map(|element| self.fill(element, round)).collect(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| (key.clone(), self.fill(value, round))).collect()
            }
            other => other.clone(),
        }
    }

    fn step(&mut self, name: &str, step: &Value) -> Result<(), String> {
        let args = &step["args"];
        let process = step["process"].as_u64().unwrap_or(1);
        let result = match name {
            "repeat" => {
                let steps = args["steps"].as_array().ok_or("no steps")?.clone();
                for round in 1..=args["count"].as_u64().ok_or("no count")? {
                    self.steps(&steps, Some(round))?;
                }
                return Ok(());
            }
            "wait" => {
                let mut disk = self.disk.disk();
                disk.advance(args["ms"].as_u64().ok_or("no ms")?);
                self.disk.set(disk);
                return Ok(());
            }
            "damage" => {
                let mut disk = self.disk.disk();
                damage(&mut disk, args)?;
                self.disk.set(disk);
                return Ok(());
            }
            "delete_catalogue" | "marker" => {
                let mut disk = self.disk.disk();
                match args["text"].as_str() {
                    Some(text) => disk.put("sessile.json", text.as_bytes().to_vec()),
                    None => disk.remove_below("catalogue/"),
                }
                self.disk.set(disk);
                return Ok(());
            }
            "reopen" => {
                self.instances.remove(&process);
                self.instance(process, args["read_only"].as_bool().unwrap_or(false)).map(|_| Value::Null)
            }
            _ => match self.instance(process, false) {
                Ok(store) => call(store.as_mut(), name, args),
                Err(error) => Err(error),
            },
        };
        self.check(step, result)
    }

    fn instance(&mut self, process: u64, read_only: bool) -> Result<&mut Box<dyn Sessions>> {
        if !self.instances.contains_key(&process) {
            let store = (self.open)(SimHost::new(&self.disk, process), OpenOptions { read_only })?;
            self.instances.insert(process, store);
        }
        self.instances
            .get_mut(&process)
            .ok_or_else(|| Error::new(sessile_core::ErrorKind::Internal, "no instance"))
    }

    fn check(&mut self, step: &Value, result: Result<Value>) -> Result<(), String> {
        match (result, step["error"].as_str()) {
            (Ok(answer), None) => {
                if let Some(ends) = step["ends"].as_str()
                    && !answer["text"].as_str().is_some_and(|text| text.ends_with(ends))
                {
                    return Err(format!("the text does not end with {ends}: {answer}"));
                }
                if let Some([member, count]) = step["count"].as_array().map(Vec::as_slice)
                    && answer[member.as_str().unwrap_or_default()].as_array().map(|array| array.len() as u64)
                        != count.as_u64()
                {
                    return Err(format!("{member} has not {count} elements"));
                }
                match step.get("expect") {
                    Some(expected) => self.fits(expected, &answer, "answer"),
                    None => Ok(()),
                }
            }
            (Err(error), Some(kind)) => {
                let says = step["says"].as_str().unwrap_or_default();
                if error.kind.name() == kind && error.message.contains(says) {
                    return Ok(());
                }
                Err(format!("expected {kind} ({says}), got {}: {error}", error.kind.name()))
            }
            (Ok(answer), Some(kind)) => Err(format!("expected {kind}, got {answer}")),
            (Err(error), None) => Err(format!("{}: {error}", error.kind.name())),
        }
    }

    fn fits(&mut self, expected: &Value, actual: &Value, place: &str) -> Result<(), String> {
        let differ = || Err(format!("{place} is {actual}, expected {expected}"));
        match (expected, actual) {
            (Value::String(text), _) if text == "$any" => Ok(()),
            (Value::String(text), _) if text.starts_with('$') && text.ends_with('=') => {
                self.kept.insert(text[1..text.len() - 1].to_owned(), actual.clone());
                Ok(())
            }
            (Value::String(text), _)
                if text.strip_prefix('$').is_some_and(|name| self.kept.contains_key(name)) =>
            {
                if self.kept[&text[1..]] == *actual { Ok(()) } else { differ() }
            }
            (Value::Object(members), Value::Object(_)) => {
                // What keeps a value comes before what compares with it.
                let keeps = |value: &Value| {
                    value.as_str().is_some_and(|text| text.starts_with('$') && text.ends_with('='))
                };
                let (first, rest): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| keeps(value));
                first.into_iter().chain(rest).try_for_each(|(key, value)| {
                    let missing = || format!("{place} has no {key}: {actual}");
                    self.fits(value, actual.get(key).ok_or_else(missing)?, &format!("{place}.{key}"))
                })
            }
            (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
                let pairs = expected.iter().zip(actual).enumerate();
                pairs.into_iter().try_for_each(|(at, (expected, actual))| {
                    self.fits(expected, actual, &format!("{place}[{at}]"))
                })
            }
            _ if expected == actual => Ok(()),
            _ => differ(),
        }
    }
}

/// Does to a file what crashes, disks and people do.
fn damage(disk: &mut Disk, args: &Value) -> Result<(), String> {
    let path = args["file"].as_str().ok_or("no file")?;
    let mut bytes = disk.bytes(path).ok_or_else(|| format!("no file {path}"))?.to_vec();
    let text = args["text"].as_str().unwrap_or_default().as_bytes();
    // A place is a number of bytes from the beginning, or where a text first occurs.
    let place = match &args["at"] {
        Value::String(text) => bytes.windows(text.len()).position(|window| window == text.as_bytes()),
        Value::Number(_) => {
            args["at"].as_u64().and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= bytes.len())
        }
        _ => Some(bytes.len()),
    };
    let at = place.ok_or_else(|| format!("no place {} in {path}", args["at"]))?;
    let count = args["bytes"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    let end = bytes.len().min(at + count);
    match args["do"].as_str().unwrap_or_default() {
        "cut" => bytes.truncate(at),
        "cut_end" => bytes.truncate(bytes.len().saturating_sub(count)),
        "insert" => drop(bytes.splice(at..at, text.iter().copied())),
        "insert_bytes" => {
            let byte = args["byte"].as_u64().and_then(|byte| u8::try_from(byte).ok()).unwrap_or(0);
            bytes.splice(at..at, vec![byte; count]);
        }
        "zero" => bytes[at..end].fill(0),
        "flip" => bytes[at] ^= 1,
        "remove" => drop(bytes.drain(at..end)),
        "crlf" => bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes(),
        "twice" => bytes.extend_from_within(at..end),
        other => return Err(format!("unknown damage {other}")),
    }
    disk.put(path, bytes);
    Ok(())
}

/// Makes one call of the contract, named and with arguments as the corpus writes them.
///
/// Errors: those of the store; `invalid` for a status or a durability that does not exist.
pub fn call(store: &mut dyn Sessions, name: &str, args: &Value) -> Result<Value> {
    let id = args["id"].as_str().unwrap_or_default();
    let options = write_options(&args["options"])?;
    Ok(match name {
        "create" => session(store.create(&new_session(&args["new"])?)?),
        "get" => session(store.get(id)?),
        "update" => session(store.update(id, &session_patch(&args["patch"])?, &options)?),
        "touch" => session(store.touch(id)?),
        "trash" => session(store.trash(id)?),
        "restore" => session(store.restore(id)?),
        "purge" => store.purge(id).map(|()| Value::Null)?,
        "append" => {
            let appended = store.append(id, &json_text(&args["messages"]), &options)?;
            let durability = if appended.durability == Durability::Synced { "synced" } else { "buffered" };
            json!({"seq": appended.seq, "count": appended.count, "id": appended.id, "head": appended.head, "repeated": appended.repeated, "durability": durability})
        }
        "update_message" => store.update_message(id, &message_ref(&args["message"]), &message_change(&args["change"]), &options)?.into(),
        "sync" => store.sync(id).map(|()| Value::Null)?,
        "read" => page(store.read(id, &select(&args["select"]))?),
        "fork" => {
            let given = &args["options"];
            let at = given.get("at").map(message_ref);
            session(store.fork(id, &ForkOptions { at, id: text(&given["id"]), title: text(&given["title"]) })?)
        }
        "detach" | "compact" => {
            let rewritten = if name == "detach" { store.detach(id)? } else { store.compact(id)? };
            json!({"generation": rewritten.generation, "bytes_before": rewritten.bytes_before, "bytes_after": rewritten.bytes_after, "old_kept": rewritten.old_kept})
        }
        "revert" => session(store.revert(id, &message_ref(&args["to"]), args["inclusive"].as_bool().unwrap_or(false), &options)?),
        "unrevert" => session(store.unrevert(id, &options)?),
        "switch" => session(store.switch(id, &message_ref(&args["to"]), &options)?),
        "branches" => store.branches(id)?.into_iter().map(|branch| {
            json!({"tip": branch.tip, "id": branch.id, "message_count": branch.message_count, "shared": branch.shared, "created_at": branch.created_at, "current": branch.current})
        }).collect(),
        "list" => {
            let query = &args["query"];
            let (scope, cursor) = (text(&query["scope"]), text(&query["cursor"]));
            let limit = query["limit"].as_u64().and_then(|limit| u32::try_from(limit).ok()).unwrap_or(0);
            let page = store.list(&ListQuery { scope, trashed: query["trashed"].as_bool().unwrap_or(false), cursor, limit })?;
            json!({"sessions": page.sessions.into_iter().map(session).collect::<Vec<Value>>(), "next": page.next})
        }
        "resolve" => session(store.resolve(args["text"].as_str().unwrap_or_default(), args["scope"].as_str())?),
        "doctor" => serde_json::from_str(&store.doctor(args["repair"].as_bool().unwrap_or(false))?).unwrap_or_default(),
        "close" => store.close().map(|()| Value::Null)?,
        operation => serde_json::from_str(&store.operate(operation, &args.to_string())?).unwrap_or_default(),
    })
}

/// JSON as the store takes it: text as it is, any other value as its text.
fn json_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

fn status(value: &Value) -> Result<Option<Status>> {
    value.as_str().map(Status::parse).transpose()
}

fn new_session(new: &Value) -> Result<NewSession> {
    Ok(NewSession {
        id: text(&new["id"]),
        scope: text(&new["scope"]).unwrap_or_default(),
        title: text(&new["title"]),
        title_manual: new["title_manual"].as_bool().unwrap_or(false),
        agent: text(&new["agent"]),
        provider: text(&new["provider"]),
        model: text(&new["model"]),
        status: status(&new["status"])?.unwrap_or_default(),
        parent: text(&new["parent"]),
        tags: texts(&new["tags"]),
        metadata: new.get("metadata").map(json_text),
        created_at: new["created_at"].as_u64(),
    })
}

fn session_patch(patch: &Value) -> Result<SessionPatch> {
    let clearable = |key: &str| patch.get(key).map(text);
    Ok(SessionPatch {
        scope: text(&patch["scope"]),
        title: clearable("title"),
        title_manual: patch["title_manual"].as_bool(),
        agent: clearable("agent"),
        provider: clearable("provider"),
        model: clearable("model"),
        status: status(&patch["status"])?,
        tags: patch.get("tags").map(texts),
        metadata: patch.get("metadata").map(|metadata| (!metadata.is_null()).then(|| json_text(metadata))),
    })
}

fn write_options(options: &Value) -> Result<WriteOptions> {
    let durability = match options["durability"].as_str() {
        None | Some("synced") => Durability::Synced,
        Some("buffered") => Durability::Buffered,
        Some(other) => {
            return Err(Error::new(sessile_core::ErrorKind::Invalid, format!("unknown durability {other}")));
        }
    };
    Ok(WriteOptions {
        durability,
        expect_head: options["expect_head"].as_u64(),
        op: text(&options["op"]),
        at: options["at"].as_u64(),
    })
}

fn message_ref(message: &Value) -> MessageRef {
    message.as_u64().map_or_else(|| MessageRef::Id(text(message).unwrap_or_default()), MessageRef::Seq)
}

fn message_change(change: &Value) -> MessageChange {
    if let Some(added) = change.get("add_text") {
        let part = added["part"].as_u64().unwrap_or(0);
        return MessageChange::AddText {
            part,
            text: text(&added["text"]).unwrap_or_default(),
            at: added["at"].as_u64(),
        };
    }
    match change.get("patch") {
        Some(patch) => MessageChange::Patch(json_text(patch)),
        None => MessageChange::AddParts(json_text(&change["add_parts"])),
    }
}

fn select(select: &Value) -> Select {
    let number =
        |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
    if let Some(last) = select.get("last") {
        return Select::Last(number(last));
    }
    match select.get("cursor") {
        Some(from) => Select::Cursor {
            cursor: text(&from["cursor"]).unwrap_or_default(),
            limit: number(&from["limit"]),
        },
        None => Select::From {
            seq: select["from"]["seq"].as_u64().unwrap_or(0),
            limit: number(&select["from"]["limit"]),
        },
    }
}

/// A session as the corpus writes it.
pub fn session(session: Session) -> Value {
    let facts = session.facts;
    let members = json!({
        "id": session.id, "scope": facts.scope, "title": facts.title, "title_manual": facts.title_manual, "agent": facts.agent,
        "provider": facts.provider, "model": facts.model, "status": facts.status.name(), "parent": facts.parent,
        "fork_point": facts.fork_point, "tags": facts.tags, "metadata": facts.metadata.map(|metadata| metadata.as_str().to_owned()),
        "created_at": facts.created, "updated_at": facts.updated, "accessed_at": facts.accessed, "active_at": facts.active,
        "trashed_at": facts.trashed, "message_count": session.message_count, "head": session.head,
        "can_unrevert": session.can_unrevert, "generation": session.generation, "log_bytes": session.log_bytes,
    });
    members
}

/// A page as the corpus writes it.
pub fn page(page: Page) -> Value {
    let damage: Vec<Value> = page
        .damage
        .into_iter()
        .map(|range| json!({"session": range.session, "from": range.from, "to": range.to}))
        .collect();
    // Numbers beyond what a reader of JSON holds stay in `text`.
    let messages = serde_json::from_str(&page.messages).unwrap_or(Value::Object(Map::new()));
    json!({"messages": messages, "text": page.messages, "next": page.next, "unreadable": page.unreadable, "damage": damage})
}

/// All that a store holds, as a golden file has it.
///
/// Errors: those of the store.
pub fn dump(store: &mut dyn Sessions) -> Result<Value> {
    let mut sessions = Map::new();
    for trashed in [false, true] {
        for listed in store.list(&ListQuery { trashed, limit: 1000, ..ListQuery::default() })?.sessions {
            let id = listed.id.clone();
            let read = page(store.read(&id, &Select::Last(10_000))?);
            let branches: Vec<Value> = store
                .branches(&id)?
                .into_iter()
                .map(|branch| json!([branch.tip, branch.shared, branch.current]))
                .collect();
            sessions.insert(id, json!({"session": session(listed), "text": read["text"], "unreadable": read["unreadable"], "branches": branches}));
        }
    }
    Ok(Value::Object(sessions))
}
