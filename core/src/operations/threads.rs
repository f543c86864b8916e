//! Which session a conversation belongs to, where its answers go, and what its worker keeps and tells.
//!
//! A key has one current session, agreed on in a log of its own: of any number of processes that ask at once, one
//! makes the session and all get it. Routing is written by the host's side of a session and state by its worker's, each
//! into a log of its own, so that both work over a directory that is shared between machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Operation, Run, write_options};
use crate::api::{Sessions, WriteOptions};
use crate::facts::{NewSession, Session, Status};
use crate::host::{Durability, Host};
use crate::id::{check_id, ulid, ulid_text};
use crate::json::Json;
use crate::limits::{METADATA_BYTES_MAX, check_number};
use crate::store::{Draft, Store, View, inbox, outbox, system};
use crate::{Error, ErrorKind, Result};

/// How often a key is bound against others who come first each time.
const ATTEMPTS: u32 = 32;
/// The most keys of a session's state, and the most destinations.
const ENTRIES_MAX: usize = 1000;
/// A worker that has not been heard of for so long is taken for dead, in ms.
const SILENCE_MS: u64 = 30 * 60 * 1000;
/// A claim that is so old without a heartbeat since is taken for stuck, in ms.
const CLAIM_MS: u64 = 60 * 1000;

/// Facts of a session that may have to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewFacts {
    /// See `create`.
    pub title: Option<String>,
    /// See `create`.
    pub agent: Option<String>,
    /// See `create`.
    pub provider: Option<String>,
    /// See `create`.
    pub model: Option<String>,
    /// See `create`.
    pub tags: Vec<String>,
    /// A JSON object, see `create`.
    pub metadata: Option<Json>,
}

impl NewFacts {
    fn session(&self, id: String, scope: &str) -> NewSession {
        NewSession {
            id: Some(id),
            scope: scope.to_owned(),
            title: self.title.clone(),
            agent: self.agent.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.as_ref().map(|metadata| metadata.as_str().to_owned()),
            ..NewSession::default()
        }
    }
}

/// Gives the one current session of a scope, or makes it. A session that is closed or in the trash is current no more.
///
/// Guarantee: of any number of processes that ask at once, one makes it and all get the same.
/// Errors: `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentSession {
    /// The scope.
    pub scope: String,
    /// Facts of a new one.
    #[serde(default)]
    pub new: NewFacts,
    /// Make a new one in any case. The old one stays as it is.
    #[serde(default)]
    pub force_new: bool,
}

/// Gives the session of a conversation of an agent group, or makes it. One that is closed or in the trash is its
/// session no more.
///
/// Guarantee: as [`CurrentSession`]. Errors: `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveThread {
    /// The agent group: the scope of its sessions.
    pub agent_group: String,
    /// The chat. Without one, `shared` and `per_thread` make a new session each time.
    #[serde(default)]
    pub chat: Option<String>,
    /// The thread in the chat.
    #[serde(default)]
    pub thread: Option<String>,
    /// Who shares a session.
    pub mode: ThreadMode,
    /// Facts of a new one.
    #[serde(default)]
    pub new: NewFacts,
}

/// Who shares a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadMode {
    /// Everybody in a chat, whatever the thread.
    Shared,
    /// Everybody in a thread; outside of threads, everybody in the chat.
    PerThread,
    /// All chats of the agent group.
    AgentShared,
}

/// The session that was found or made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The session.
    pub session: Session,
    /// Whether this call has made it.
    pub created: bool,
}

/// Says where a session's messages go. What is absent stays. Written by the host's side.
///
/// Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRouting {
    /// The session.
    pub session: String,
    /// The address of its messages where they have none of their own: any JSON; `null` clears.
    #[serde(default, with = "double")]
    pub default: Option<Option<Json>>,
    /// Addresses by name; `null` removes one.
    #[serde(default)]
    pub destinations: BTreeMap<String, Option<Json>>,
}

/// Gives a session's routing. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRouting {
    /// The session.
    pub session: String,
}

/// Where a session's messages go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routing {
    /// The address where a message has none.
    pub default: Option<Json>,
    /// Addresses by name.
    pub destinations: BTreeMap<String, Json>,
}

/// Keeps a value for a session's worker. Written by the worker's side.
///
/// Errors: `not-found`, `invalid` (a key of 1 to 256 bytes, a value of at most 64 KiB, at most 1,000 keys).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    /// The session.
    pub session: String,
    /// The key.
    pub key: String,
    /// Any JSON; absent or `null` removes the key.
    #[serde(default)]
    pub value: Option<Json>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// Gives what was kept. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetState {
    /// The session.
    pub session: String,
    /// One key; absent: all.
    #[serde(default)]
    pub key: Option<String>,
}

/// A session's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The values by key.
    pub values: BTreeMap<String, Json>,
}

/// Says that a session's worker is alive, and what it does. Buffered: nobody waits for the disk to learn that.
///
/// Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The session.
    pub session: String,
    /// The worker's name, 1 to 256 bytes.
    pub worker: String,
    /// What it is doing: absent leaves it.
    #[serde(default)]
    pub status: Option<WorkerStatus>,
    /// The tool that it runs; absent: none.
    #[serde(default)]
    pub tool: Option<String>,
    /// How long that tool may take, in ms, as it was declared.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerStatus {
    /// At work.
    Running,
    /// Waiting.
    Idle,
    /// Not there.
    #[default]
    Stopped,
}

/// Judges whether a session's worker is alive. Changes nothing.
///
/// `unknown`: no worker was heard of, nor is one stuck. `stopped`: it says so. `silent`: it was not heard of for 30 minutes, or as long as its tool
/// may take where that is longer. `stuck`: it has claimed an item more than a minute ago, or as long as its tool may take,
/// and was not heard of since. `alive`: neither.
/// Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    /// The session.
    pub session: String,
    /// Do not judge by what was before this time: when the worker was started.
    #[serde(default)]
    pub started_at: Option<u64>,
}

/// A session's worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// The verdict.
    pub verdict: Verdict,
    /// Its name.
    pub worker: Option<String>,
    /// What it says it does.
    pub status: WorkerStatus,
    /// The tool that it runs.
    pub tool: Option<String>,
    /// How long that may take, in ms.
    pub timeout_ms: Option<u64>,
    /// When it was last heard of.
    pub beat_at: Option<u64>,
    /// The items that it has claimed, oldest first.
    pub claims: Vec<String>,
}

/// Whether a worker is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No worker was heard of.
    Unknown,
    /// It has said that it stops.
    Stopped,
    /// It is.
    Alive,
    /// It was not heard of for too long.
    Silent,
    /// It has claimed something and was not heard of since.
    Stuck,
}

/// A heartbeat as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Beat {
    worker: String,
    status: WorkerStatus,
    tool: Option<String>,
    timeout_ms: Option<u64>,
    at: u64,
}

/// Tells `null` from absence.
mod double {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::json::Json;

    #[expect(clippy::option_option, reason = "an inner absence clears")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<Json>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().flatten().serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "an inner absence clears")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<Json>>, D::Error> {
        let value = Json::deserialize(deserializer)?;
        Ok(Some(Some(value).filter(|value| value.as_str() != "null")))
    }
}

impl Operation for CurrentSession {
    const NAME: &'static str = "current_session";
    type Answer = Resolved;
}

impl Run for CurrentSession {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Resolved> {
        bound(store, &key(&["scope", &self.scope]), &self.scope, &self.new, self.force_new)
    }
}

impl Operation for ResolveThread {
    const NAME: &'static str = "resolve_thread";
    type Answer = Resolved;
}

impl Run for ResolveThread {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Resolved> {
        let group = self.agent_group.as_str();
        for (what, name) in
            [("agent group", Some(group)), ("chat", self.chat.as_deref()), ("thread", self.thread.as_deref())]
        {
            name.map_or(Ok(()), |name| check_id(what, name))?;
        }
        let key = match (self.mode, self.chat.as_deref(), self.thread.as_deref()) {
            (ThreadMode::AgentShared, ..) => key(&["agent", group]),
            // Nobody else can mean the same conversation.
            (_, None, _) => {
                let now = store.host_mut().now_ms();
                let id = ulid_text(ulid(now, store.host_mut().random()));
                let session = store.create(&self.new.session(id, group))?;
                return Ok(Resolved { session, created: true });
            }
            (ThreadMode::PerThread, Some(chat), Some(thread)) => key(&["thread", group, chat, thread]),
            (_, Some(chat), _) => key(&["chat", group, chat]),
        };
        bound(store, &key, group, &self.new, false)
    }
}

fn key(names: &[&str]) -> String {
    serde_json::to_string(names).unwrap_or_default()
}

/// The session that a key is bound to, or a new one.
fn bound<H: Host>(
    store: &mut Store<H>,
    key: &str,
    scope: &str,
    new: &NewFacts,
    force_new: bool,
) -> Result<Resolved> {
    const CURRENT: &str = "current";
    let log = system("key", key);
    // What could not be made must not be bound.
    new.session(String::from("checked"), scope).facts(0)?;
    for _ in 0..ATTEMPTS {
        let current: Option<String> = store.view(&log, |view| Ok(view.get(CURRENT)))?;
        if let Some(id) = current.as_ref().filter(|_| !force_new) {
            match store.get(id) {
                Ok(session) if is_open(&session) => return Ok(Resolved { session, created: false }),
                // It was bound, and not made yet: whoever comes first makes it.
                Err(error) if error.kind == ErrorKind::NotFound => {
                    match store.create(&new.session(id.clone(), scope)) {
                        Err(error) if error.kind == ErrorKind::Conflict => continue,
                        made => return made.map(|session| Resolved { session, created: true }),
                    }
                }
                found => drop(found?),
            }
        }
        let now = store.host_mut().now_ms();
        let fresh = ulid_text(ulid(now, store.host_mut().random()));
        let is_mine = store.change(&log, &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let is_mine = view.get(CURRENT) == current;
            if is_mine {
                draft.put(CURRENT, &fresh)?;
            }
            Ok((draft, is_mine))
        })?;
        if is_mine == Some(true) {
            match store.create(&new.session(fresh.clone(), scope)) {
                // Somebody has seen it bound and was faster.
                Err(error) if error.kind == ErrorKind::Conflict => {
                    return store.get(&fresh).map(|session| Resolved { session, created: false });
                }
                made => return made.map(|session| Resolved { session, created: true }),
            }
        }
    }
    Err(Error::conflict("others bind this key all the time; retry later"))
}

fn is_open(session: &Session) -> bool {
    session.facts.trashed.is_none() && session.facts.status != Status::Closed
}

impl Operation for SetRouting {
    const NAME: &'static str = "set_routing";
    type Answer = Routing;
}

impl Run for SetRouting {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Routing> {
        for (name, address) in &self.destinations {
            check_id("name of a destination", name)?;
            address.as_ref().map_or(Ok(()), |address| check_value("address", address))?;
        }
        if let Some(Some(address)) = &self.default {
            check_value("address", address)?;
        }
        store.get(&self.session)?;
        let log = inbox(&self.session);
        store.change(&log, &WriteOptions::default(), &mut |view| {
            let before = routing(view);
            let mut routing = before.clone();
            if let Some(default) = &self.default {
                routing.default.clone_from(default);
            }
            for (name, address) in &self.destinations {
                match address {
                    Some(address) => drop(routing.destinations.insert(name.clone(), address.clone())),
                    None => drop(routing.destinations.remove(name)),
                }
            }
            if routing.destinations.len() > ENTRIES_MAX {
                return Err(Error::invalid(format!("more than {ENTRIES_MAX} destinations; remove some")));
            }
            let mut draft = Draft::default();
            if routing != before {
                draft.put("routing", &routing)?;
            }
            Ok((draft, ()))
        })?;
        GetRouting { session: self.session }.run(store)
    }
}

/// The routing that a host has set.
pub(super) fn routing(view: &View<'_>) -> Routing {
    view.get("routing").unwrap_or_default()
}

impl Operation for GetRouting {
    const NAME: &'static str = "get_routing";
    type Answer = Routing;
}

impl Run for GetRouting {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Routing> {
        store.get(&self.session)?;
        store.view(&inbox(&self.session), |view| Ok(routing(view)))
    }
}

impl Operation for SetState {
    const NAME: &'static str = "set_state";
    type Answer = State;
}

impl Run for SetState {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<State> {
        check_id("key", &self.key)?;
        let value = self.value.filter(|value| value.as_str() != "null");
        value.as_ref().map_or(Ok(()), |value| check_value("value", value))?;
        store.get(&self.session)?;
        let key = format!("state/{}", self.key);
        store.change(&outbox(&self.session), &write_options(None, self.durability), &mut |view| {
            let mut draft = Draft::default();
            match &value {
                Some(value) if view.table.doc(&key) != Some(value.as_str()) => {
                    let new = view.table.doc(&key).is_none();
                    if new && view.table.docs("state/").count() >= ENTRIES_MAX {
                        return Err(Error::invalid(format!("more than {ENTRIES_MAX} keys; remove some")));
                    }
                    draft.put(&key, value)?;
                }
                None if view.table.doc(&key).is_some() => draft.remove(&key),
                _ => {}
            }
            Ok((draft, ()))
        })?;
        GetState { session: self.session, key: Some(self.key) }.run(store)
    }
}

impl Operation for GetState {
    const NAME: &'static str = "get_state";
    type Answer = State;
}

impl Run for GetState {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<State> {
        store.get(&self.session)?;
        store.view(&outbox(&self.session), |view| {
            let all = view.all::<Json>("state/").into_iter();
            let values =
                all.filter(|(key, _)| self.key.as_ref().is_none_or(|wanted| wanted == key)).collect();
            Ok(State { values })
        })
    }
}

fn check_value(what: &str, value: &Json) -> Result<()> {
    if value.as_str().len() > METADATA_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the {what} has {} bytes; give at most {METADATA_BYTES_MAX}",
            value.as_str().len()
        )));
    }
    Ok(())
}

impl Operation for Heartbeat {
    const NAME: &'static str = "heartbeat";
    type Answer = Worker;
}

impl Run for Heartbeat {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Worker> {
        check_id("name of a worker", &self.worker)?;
        check_number("a timeout", self.timeout_ms)?;
        store.get(&self.session)?;
        let options = write_options(None, Durability::Buffered);
        store.change(&outbox(&self.session), &options, &mut |view| {
            let mut draft = Draft::default();
            let before: Option<Beat> = view.get("worker");
            let status = self.status.or(before.map(|beat| beat.status)).unwrap_or(WorkerStatus::Running);
            draft.put(
                "worker",
                &Beat {
                    worker: self.worker.clone(),
                    status,
                    tool: self.tool.clone(),
                    timeout_ms: self.timeout_ms,
                    at: view.now,
                },
            )?;
            Ok((draft, ()))
        })?;
        Liveness { session: self.session, started_at: None }.run(store)
    }
}

impl Operation for Liveness {
    const NAME: &'static str = "liveness";
    type Answer = Worker;
}

impl Run for Liveness {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Worker> {
        check_number("a time", self.started_at)?;
        store.get(&self.session)?;
        store.view(&outbox(&self.session), |view| {
            let beat: Option<Beat> = view.get("worker");
            let mut claims = super::queues::claims(view);
            claims.sort_by_key(|(_, claim)| claim.at);
            let verdict =
                judge(beat.as_ref(), claims.iter().map(|(_, claim)| claim.at), view.now, self.started_at);
            let claims = claims.into_iter().map(|(item, _)| item).collect();
            Ok(match beat {
                None => Worker {
                    verdict,
                    worker: None,
                    status: WorkerStatus::Stopped,
                    tool: None,
                    timeout_ms: None,
                    beat_at: None,
                    claims,
                },
                Some(beat) => Worker {
                    verdict,
                    worker: Some(beat.worker),
                    status: beat.status,
                    tool: beat.tool,
                    timeout_ms: beat.timeout_ms,
                    beat_at: Some(beat.at),
                    claims,
                },
            })
        })
    }
}

/// The decision alone.
fn judge(beat: Option<&Beat>, claims: impl Iterator<Item = u64>, now: u64, started: Option<u64>) -> Verdict {
    let started = started.unwrap_or(0);
    let beat = beat.filter(|beat| beat.at >= started);
    if beat.is_some_and(|beat| beat.status == WorkerStatus::Stopped) {
        return Verdict::Stopped;
    }
    let declared = beat.and_then(|beat| beat.timeout_ms).unwrap_or(0);
    if beat.is_some_and(|beat| now.saturating_sub(beat.at) > SILENCE_MS.max(declared)) {
        return Verdict::Silent;
    }
    // Who claims and never says a word is stuck as well.
    let mut stuck = claims.filter(|claimed| {
        *claimed >= started
            && now.saturating_sub(*claimed) > CLAIM_MS.max(declared)
            && beat.is_none_or(|beat| beat.at <= *claimed)
    });
    match (stuck.next(), beat) {
        (Some(_), _) => Verdict::Stuck,
        (None, Some(_)) => Verdict::Alive,
        (None, None) => Verdict::Unknown,
    }
}
