//! Runs: an agent at work on a session. One at a time, by a lease; a crashed one is found by the lease that has ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::usage::{Amounts, day, enter};
use super::{Operation, Run, all_sessions};
use crate::api::{Sessions, WriteOptions};
use crate::facts::{Session, Status};
use crate::host::Host;
use crate::id::{check_id, ulid, ulid_text};
use crate::limits::check_number;
use crate::store::{Draft, Store, View};
use crate::{Error, Result};

/// Leases are at least and at most so long, in ms.
const LEASE_MS: (u64, u64) = (1_000, 24 * 60 * 60 * 1000);
/// A run without messages for so long is stalled, in ms.
const SILENCE_MS: u64 = 15 * 60 * 1000;
/// Where a session's run stands.
const KEY: &str = "run";
/// What went wrong where nobody has ended a run.
const DIED: &str = "its process has died";
/// What the environment of an agent must not be given by callers.
const BLOCKED: [&str; 4] = ["CLAUDE", "CODEX", "OLLAMA", "ANTHROPIC_"];

/// Begins a run: the session is `running` until the run ends, or until its lease does.
///
/// Guarantee: of any number of processes that begin at once, one has the run. Errors: `conflict` (another one runs; who and
/// until when), `invalid`, `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRun {
    /// The session.
    pub session: String,
    /// Who runs, 1 to 256 bytes.
    pub owner: String,
    /// How long the lease is, in ms: 1 second to 24 hours. It is renewed with `renew_run`.
    pub lease_ms: u64,
}

/// Renews the lease of a run. Errors: `conflict` (it has ended, or somebody else runs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRun {
    /// The session.
    pub session: String,
    /// The run's id.
    pub run: String,
    /// How long the lease is from now, in ms.
    pub lease_ms: u64,
}

/// Ends a run, with what it has used: all in one record, so that the cost that comes last is not lost. Also a run whose lease has
/// ended can be ended, unless somebody else has begun one, and so can one that `list_runs` has marked. What was said first
/// about an end stays.
///
/// Errors: `conflict` (somebody else runs), `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRun {
    /// The session.
    pub session: String,
    /// The run's id.
    pub run: String,
    /// How: `done`, `error`, `idle` or `interrupted`.
    pub status: Status,
    /// What went wrong, at most 4,096 bytes.
    #[serde(default)]
    pub error: Option<String>,
    /// What it has used, beyond what was entered already.
    #[serde(default)]
    pub amounts: Option<Amounts>,
    /// The model of the amounts; absent: the session's.
    #[serde(default)]
    pub model: Option<String>,
}

/// Gives the run of a session, the last one where none is under way. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRun {
    /// The session.
    pub session: String,
    /// Without messages or renewals for so long a run is stalled, in ms; absent: 15 minutes.
    #[serde(default)]
    pub silence_ms: Option<u64>,
}

/// Finds the runs of a scope, or of the store, that have not ended: those under way, and those of which only an ended lease
/// is left. With `mark`, the latter become `interrupted`, so that they can be resumed.
///
/// Errors: those of the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListRuns {
    /// Of this scope alone.
    pub scope: Option<String>,
    /// See [`GetRun`].
    pub silence_ms: Option<u64>,
    /// Whether crashed runs become `interrupted`.
    pub mark: bool,
}

/// Runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// Those that have not ended.
    pub runs: Vec<RunInfo>,
}

/// A run as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The session, as it is now.
    pub session: Session,
    /// The run; absent where there never was one.
    pub run: Option<RunRecord>,
    /// Whether its lease holds.
    pub is_running: bool,
    /// Whether it has not ended and its lease does not hold any more: its process has died.
    pub is_crashed: bool,
    /// Whether it runs and nothing has come for a while.
    pub is_stalled: bool,
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub id: String,
    /// Who runs.
    pub owner: String,
    /// When it began.
    pub begun_at: u64,
    /// When its lease was last renewed.
    pub renewed_at: u64,
    /// Until when its lease holds.
    pub lease_until: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Checks environment variables that a caller wants to give to an agent. Pure: nothing is stored.
///
/// Errors: `invalid` (a name that no system takes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckEnvironment {
    /// Values by name.
    pub values: BTreeMap<String, String>,
    /// What names must not begin with, whatever the case; absent: CLAUDE, CODEX, OLLAMA, ANTHROPIC_.
    #[serde(default)]
    pub blocked: Option<Vec<String>>,
}

/// Environment variables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Those that may be given.
    pub values: BTreeMap<String, String>,
    /// The names of those that may not.
    pub refused: Vec<String>,
}

impl Operation for BeginRun {
    const NAME: &'static str = "begin_run";
    type Answer = RunInfo;
}

impl Run for BeginRun {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<RunInfo> {
        check_id("session id", &self.session)?;
        check_id("owner", &self.owner)?;
        check_lease(self.lease_ms)?;
        let now = store.host_mut().now_ms();
        let id = ulid_text(ulid(now, store.host_mut().random()));
        store.change(&self.session, &WriteOptions::default(), &mut |view| {
            if view.facts.trashed.is_some() {
                return Err(Error::conflict(format!(
                    "session {} is in the trash; restore it first",
                    self.session
                )));
            }
            if let Some(run) = view.get::<RunRecord>(KEY).filter(|run| is_running(run, view.now)) {
                return Err(Error::conflict(format!(
                    "session {} is being run by {}, whose lease holds for {} s; wait, or end that run",
                    self.session,
                    run.owner,
                    run.lease_until.saturating_sub(view.now).div_ceil(1000)
                )));
            }
            let run = RunRecord {
                id: id.clone(),
                owner: self.owner.clone(),
                begun_at: view.now,
                renewed_at: view.now,
                lease_until: view.now + self.lease_ms,
                ended_at: None,
                error: None,
            };
            let mut draft = Draft::default();
            draft.put(KEY, &run)?;
            draft.facts(status(Status::Running));
            Ok((draft, ()))
        })?;
        GetRun { session: self.session, silence_ms: None }.run(store)
    }
}

impl Operation for RenewRun {
    const NAME: &'static str = "renew_run";
    type Answer = RunInfo;
}

impl Run for RenewRun {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<RunInfo> {
        check_lease(self.lease_ms)?;
        check_id("session id", &self.session)?;
        store.change(&self.session, &WriteOptions::default(), &mut |view| {
            let mut run = own(view, &self.session, &self.run)?;
            if run.ended_at.is_some() {
                return Err(Error::conflict(format!(
                    "run {} of session {} has ended; begin another",
                    self.run, self.session
                )));
            }
            (run.renewed_at, run.lease_until) = (view.now, view.now + self.lease_ms);
            let mut draft = Draft::default();
            draft.put(KEY, &run)?;
            if view.facts.status != Status::Running {
                draft.facts(status(Status::Running));
            }
            Ok((draft, ()))
        })?;
        GetRun { session: self.session, silence_ms: None }.run(store)
    }
}

impl Operation for EndRun {
    const NAME: &'static str = "end_run";
    type Answer = RunInfo;
}

impl Run for EndRun {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<RunInfo> {
        if !matches!(self.status, Status::Done | Status::Error | Status::Idle | Status::Interrupted) {
            return Err(Error::invalid("a run ends as done, error, idle or interrupted; give one of them"));
        }
        check_id("session id", &self.session)?;
        self.amounts.as_ref().map_or(Ok(()), Amounts::check)?;
        if self.error.as_ref().is_some_and(|error| error.len() > 4096) {
            return Err(Error::invalid("the error has more than 4096 bytes; give its beginning"));
        }
        store.change(&self.session, &WriteOptions::default(), &mut |view| {
            let mut run = own(view, &self.session, &self.run)?;
            let mut draft = Draft::default();
            // A mark was a guess, which the owner corrects.
            let marked = is_marked(&run);
            if run.ended_at.is_some() && !marked {
                // Said before: a retry changes nothing.
                return Ok((draft, ()));
            }
            run.ended_at = Some(view.now);
            run.error.clone_from(&self.error);
            draft.put(KEY, &run)?;
            // What a host has made of a marked session since stays.
            if !marked || view.facts.status == Status::Interrupted {
                draft.facts(status(self.status));
            }
            if let Some(amounts) = &self.amounts {
                let model = self.model.as_ref().or(view.facts.model.as_ref()).map_or("", String::as_str);
                enter(&mut draft, view, &day(view.now)?, model, amounts, None)?;
            }
            Ok((draft, ()))
        })?;
        GetRun { session: self.session, silence_ms: None }.run(store)
    }
}

impl Operation for GetRun {
    const NAME: &'static str = "get_run";
    type Answer = RunInfo;
}

impl Run for GetRun {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<RunInfo> {
        check_number("a silence", self.silence_ms)?;
        let session = store.get(&self.session)?;
        store.view(&self.session, |view| {
            let run: Option<RunRecord> = view.get(KEY);
            let is_open = run.as_ref().is_some_and(|run| run.ended_at.is_none());
            let is_running = run.as_ref().is_some_and(|run| is_running(run, view.now));
            let heard = run.as_ref().map_or(0, |run| run.renewed_at).max(view.facts.active);
            let is_stalled =
                is_running && view.now.saturating_sub(heard) >= self.silence_ms.unwrap_or(SILENCE_MS);
            let is_crashed = is_open && !is_running;
            Ok(RunInfo { session: session.clone(), run, is_running, is_crashed, is_stalled })
        })
    }
}

impl Operation for ListRuns {
    const NAME: &'static str = "list_runs";
    type Answer = Runs;
}

impl Run for ListRuns {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Runs> {
        check_number("a silence", self.silence_ms)?;
        let mut runs = Vec::new();
        for session in all_sessions(store, self.scope.as_deref(), false)? {
            // Whatever a run is, its session says so.
            if session.facts.status != Status::Running {
                continue;
            }
            let mut info = GetRun { session: session.id.clone(), silence_ms: self.silence_ms }.run(store)?;
            if info.is_crashed && self.mark {
                store.change(&session.id, &WriteOptions::default(), &mut |view| {
                    let mut draft = Draft::default();
                    let crashed = |run: &RunRecord| run.ended_at.is_none() && !is_running(run, view.now);
                    if let Some(mut run) = view.get::<RunRecord>(KEY).filter(crashed) {
                        run.ended_at = Some(run.lease_until);
                        run.error = Some(DIED.into());
                        draft.put(KEY, &run)?;
                        draft.facts(status(Status::Interrupted));
                    }
                    Ok((draft, ()))
                })?;
                let is_crashed = true;
                let now = GetRun { session: session.id, silence_ms: self.silence_ms }.run(store)?;
                info = RunInfo { is_crashed, ..now };
            }
            if info.run.is_some() {
                runs.push(info);
            }
        }
        Ok(Runs { runs })
    }
}

impl Operation for CheckEnvironment {
    const NAME: &'static str = "check_environment";
    type Answer = Environment;
}

impl Run for CheckEnvironment {
    fn run<H: Host>(self, _: &mut Store<H>) -> Result<Environment> {
        let blocked = self.blocked.unwrap_or_else(|| BLOCKED.map(str::to_owned).to_vec());
        let mut environment = Environment::default();
        for (name, value) in self.values {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(Error::invalid(
                    "an environment variable has no name, or a `=` or NUL in it; correct it",
                ));
            }
            let upper = name.to_uppercase();
            if blocked.iter().any(|prefix| upper.starts_with(&prefix.to_uppercase())) {
                environment.refused.push(name);
            } else {
                environment.values.insert(name, value);
            }
        }
        Ok(environment)
    }
}

fn check_lease(lease_ms: u64) -> Result<()> {
    if (LEASE_MS.0..=LEASE_MS.1).contains(&lease_ms) {
        return Ok(());
    }
    Err(Error::invalid(format!("a lease of {lease_ms} ms; give {} to {}", LEASE_MS.0, LEASE_MS.1)))
}

/// The run of that id, which must be the session's last.
fn own(view: &View<'_>, session: &str, run: &str) -> Result<RunRecord> {
    let last: Option<RunRecord> = view.get(KEY);
    let theirs = |last: Option<RunRecord>| match last {
        None => Error::conflict(format!("session {session} has no run; begin one")),
        Some(last) => {
            Error::conflict(format!("session {session} is run by {} by now; begin again", last.owner))
        }
    };
    match last {
        Some(last) if last.id == run => Ok(last),
        last => Err(theirs(last)),
    }
}

/// Whether a run has been taken for one whose process has died, and its owner has not said how it ended.
fn is_marked(run: &RunRecord) -> bool {
    run.ended_at == Some(run.lease_until) && run.error.as_deref() == Some(DIED)
}

/// Whether a run's lease holds.
fn is_running(run: &RunRecord, now: u64) -> bool {
    run.ended_at.is_none() && now < run.lease_until
}

/// Whether a session has a run whose lease holds.
pub(super) fn has_lease(view: &View<'_>) -> bool {
    view.get::<RunRecord>(KEY).is_some_and(|run| is_running(&run, view.now))
}

fn status(status: Status) -> String {
    format!("{{\"status\":\"{}\"}}", status.name())
}
