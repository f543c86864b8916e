//! Retention: what would go, why, and how many bytes that gives back; then the trash, and after a while the end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attachments::CollectAttachments;
use super::{Operation, Run, all_sessions};
use crate::api::{Sessions, WriteOptions};
use crate::facts::{Facts, Session, Status};
use crate::host::{FsErrorKind, Host};
use crate::id::Name;
use crate::limits::NUMBER_MAX;
use crate::store::{Draft, Store, inbox, outbox};
use crate::{Error, ErrorKind, Result};

/// Where the policy is kept. A file of its own: opening a store must not cost more for it.
const PATH: &str = "retention.json";
/// A session with this tag is never taken.
pub(super) const PINNED: &str = "pinned";

/// What is kept. A limit that is absent is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Sessions older than this go, in ms.
    pub max_age_ms: Option<u64>,
    /// By which clock a session is old, and which of two is older.
    pub clock: Clock,
    /// At most so many sessions stay: the newest.
    pub max_sessions: Option<u64>,
    /// At most so many bytes of logs stay: those of the newest.
    pub max_bytes: Option<u64>,
    /// Whether the limits are each scope's instead of the store's.
    pub each_scope: bool,
    /// Sessions that are in the trash for longer are purged, in ms; absent: none is.
    pub grace_ms: Option<u64>,
    /// For the policy that is kept: whether it is applied whenever somebody opens the store for writing. What goes wrong
    /// with that does not keep the store from opening.
    pub on_open: bool,
}

/// By which clock a session is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// When somebody last looked at it, or changed it.
    #[default]
    Accessed,
    /// When a message last came.
    Active,
}

impl Clock {
    /// When a session was last used.
    fn of(self, facts: &Facts) -> u64 {
        match self {
            // Whoever writes to a session, renames or restores it has it open.
            Self::Accessed => facts.accessed.max(facts.updated),
            Self::Active => facts.active,
        }
    }
}

/// Says what a policy would do, and does nothing.
///
/// Running and pinned sessions (tag `pinned`), those with forks, and those whose log cannot be read are never taken; the plan names them where
/// the policy would take them. Errors: `invalid`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanRetention {
    /// Only this scope.
    pub scope: Option<String>,
    /// The policy; absent: that of `set_retention`, and where there is none nothing goes.
    pub policy: Option<Policy>,
}

/// Does what the plan says: moves sessions to the trash, where they can be restored, and purges those that are there for
/// longer than the grace period. A session that is used between plan and deed stays.
///
/// Errors: `invalid`; those of the disk, and what was done stays done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApplyRetention {
    /// Only this scope.
    pub scope: Option<String>,
    /// See [`PlanRetention`].
    pub policy: Option<Policy>,
}

/// A plan, or what was done of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What goes to the trash, the oldest first.
    pub trash: Vec<Candidate>,
    /// What is purged, the oldest first.
    pub purge: Vec<Candidate>,
    /// What the policy would take and must not.
    pub exempt: Vec<Candidate>,
    /// How many bytes of files `purge` gives back, and when applied the attachments that nobody has any more. The trash gives back none.
    pub bytes_freed: u64,
}

/// A session that a policy is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its id.
    pub session_id: String,
    /// Its scope.
    pub scope: String,
    /// Why.
    pub reason: Reason,
    /// The bytes of its logs and queues.
    pub bytes: u64,
    /// When it was last used, by the policy's clock, or moved to the trash.
    pub used_at: u64,
}

/// Why a session goes, or must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It is too old.
    Age,
    /// There are too many.
    Count,
    /// They are too large.
    Bytes,
    /// It is in the trash for long enough.
    Grace,
    /// Exempt: an agent is at work.
    Running,
    /// Exempt: it has the tag `pinned`.
    Pinned,
    /// Exempt: a fork begins with its messages.
    Forked,
    /// Exempt: its log cannot be read.
    Unreadable,
}

/// Keeps the policy that `plan_retention` and `apply_retention` use where they are given none. Errors: `invalid`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetRetention {
    /// The policy; absent or `null`: none.
    pub policy: Option<Policy>,
}

/// Gives the policy that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GetRetention {}

/// The policy that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptPolicy {
    /// Absent: none.
    pub policy: Option<Policy>,
}

/// Purges all sessions of a scope that are not running, without a stay in the trash.
///
/// What forks in other scopes need stays, hidden. Errors: those of the disk, and what was done stays done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeScope {
    /// The scope.
    pub scope: String,
}

/// What was purged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PurgedScope {
    /// Ids of sessions that are gone.
    pub purged: Vec<String>,
    /// Ids of sessions that stay, because an agent is at work.
    pub running: Vec<String>,
}

impl Operation for PlanRetention {
    const NAME: &'static str = "plan_retention";
    type Answer = Plan;
}

impl Run for PlanRetention {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Plan> {
        let policy = policy(store, self.policy)?;
        plan(store, self.scope.as_deref(), &policy)
    }
}

/// The policy that was given, or the one that is kept.
fn policy<H: Host>(store: &mut Store<H>, given: Option<Policy>) -> Result<Policy> {
    let policy = match given {
        Some(policy) => policy,
        None => GetRetention {}.run(store)?.policy.unwrap_or_default(),
    };
    check(&policy)?;
    Ok(policy)
}

fn check(policy: &Policy) -> Result<()> {
    let limits = [policy.max_age_ms, policy.max_sessions, policy.max_bytes, policy.grace_ms];
    if limits.into_iter().flatten().any(|limit| limit > NUMBER_MAX) {
        return Err(Error::invalid("a limit of the policy is past 2^53; leave out what is not limited"));
    }
    Ok(())
}

fn plan<H: Host>(store: &mut Store<H>, scope: Option<&str>, policy: &Policy) -> Result<Plan> {
    let now = store.host_mut().now_ms();
    let sessions = all_sessions(store, scope, false)?;
    let trashed = all_sessions(store, scope, true)?;
    let everywhere = if scope.is_some() { all_sessions(store, None, false)? } else { sessions.clone() };
    let forked: BTreeSet<&str> = everywhere
        .iter()
        .chain(&trashed)
        .filter(|session| session.facts.fork_point.is_some())
        .filter_map(|session| session.facts.parent.as_deref())
        .collect();
    let used = |session: &Session| policy.clock.of(&session.facts);
    let mut groups: BTreeMap<&str, Vec<&Session>> = BTreeMap::new();
    for session in &sessions {
        let group = if policy.each_scope { session.facts.scope.as_str() } else { "" };
        groups.entry(group).or_default().push(session);
    }
    let mut plan = Plan::default();
    for group in groups.values_mut() {
        group.sort_by_key(|session| (std::cmp::Reverse(used(session)), session.id.clone()));
        let (mut count, mut bytes) = (0, 0);
        for session in group.iter() {
            (count, bytes) = (count + 1, bytes + session.log_bytes);
            let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
            let reason = match () {
                () if over(policy.max_age_ms, now.saturating_sub(used(session))) => Reason::Age,
                () if over(policy.max_sessions, count) => Reason::Count,
                () if over(policy.max_bytes, bytes) => Reason::Bytes,
                () => continue,
            };
            let exempt = match () {
                () if session.facts.status == Status::Running => Some(Reason::Running),
                () if session.facts.tags.iter().any(|tag| tag == PINNED) => Some(Reason::Pinned),
                () if forked.contains(session.id.as_str()) => Some(Reason::Forked),
                () => exempt_now(store, session)?,
            };
            let list = if exempt.is_some() { &mut plan.exempt } else { &mut plan.trash };
            let candidate = candidate(store, session, exempt.unwrap_or(reason), used(session))?;
            list.push(candidate);
        }
    }
    for session in &trashed {
        let since = session.facts.trashed.unwrap_or(now);
        if policy.grace_ms.is_none_or(|grace| now.saturating_sub(since) <= grace) {
            continue;
        }
        if session.facts.tags.iter().any(|tag| tag == PINNED) {
            plan.exempt.push(candidate(store, session, Reason::Pinned, since)?);
            continue;
        }
        let candidate = candidate(store, session, Reason::Grace, since)?;
        plan.bytes_freed += candidate.bytes;
        plan.purge.push(candidate);
    }
    for list in [&mut plan.trash, &mut plan.purge, &mut plan.exempt] {
        list.sort_by(|one, other| (one.used_at, &one.session_id).cmp(&(other.used_at, &other.session_id)));
    }
    Ok(plan)
}

/// What only the log itself says against taking a session.
fn exempt_now<H: Host>(store: &mut Store<H>, session: &Session) -> Result<Option<Reason>> {
    match store.view(&session.id, |view| Ok(super::runs::has_lease(view))) {
        Ok(true) => Ok(Some(Reason::Running)),
        Ok(false) => Ok(None),
        Err(error) if matches!(error.kind, ErrorKind::Damaged | ErrorKind::NotFound) => {
            Ok(Some(Reason::Unreadable))
        }
        Err(error) => Err(error),
    }
}

fn candidate<H: Host>(
    store: &mut Store<H>,
    session: &Session,
    reason: Reason,
    used_at: u64,
) -> Result<Candidate> {
    let mut bytes = session.log_bytes;
    for log in [inbox(&session.id), outbox(&session.id)] {
        let name = Name::of(&log)?;
        for generation in store.generations(&name)? {
            bytes += store.host_mut().stat(&name.log(generation)).unwrap_or(0);
        }
    }
    Ok(Candidate {
        session_id: session.id.clone(),
        scope: session.facts.scope.clone(),
        reason,
        bytes,
        used_at,
    })
}

impl Operation for ApplyRetention {
    const NAME: &'static str = "apply_retention";
    type Answer = Plan;
}

impl Run for ApplyRetention {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Plan> {
        let policy = policy(store, self.policy)?;
        let mut plan = plan(store, self.scope.as_deref(), &policy)?;
        let mut done = Vec::new();
        for candidate in std::mem::take(&mut plan.trash) {
            if trash(store, &candidate, policy.clock)? {
                done.push(candidate);
            }
        }
        plan.trash = done;
        let mut done = Vec::new();
        for candidate in std::mem::take(&mut plan.purge) {
            match store.purge(&candidate.session_id) {
                // Restored, or purged by somebody else.
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                purged => {
                    purged?;
                    done.push(candidate);
                }
            }
        }
        let files = CollectAttachments {}.run(store)?.bytes;
        plan.bytes_freed = done.iter().map(|candidate| candidate.bytes).sum::<u64>() + files;
        plan.purge = done;
        Ok(plan)
    }
}

/// Moves a session to the trash if it is still what the plan saw.
fn trash<H: Host>(store: &mut Store<H>, candidate: &Candidate, clock: Clock) -> Result<bool> {
    let id = &candidate.session_id;
    let head = match store.get(id) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
        session => session?.head,
    };
    // A message that comes meanwhile changes the head, and a run that begins the table.
    let options = WriteOptions { expect_head: Some(head), ..WriteOptions::default() };
    let trashed = store.change(id, &options, &mut |view| {
        let used = clock.of(view.facts);
        let mut draft = Draft::default();
        let same = used == candidate.used_at
            && view.facts.trashed.is_none()
            && view.facts.status != Status::Running
            && !super::runs::has_lease(view);
        if same {
            draft.facts(format!("{{\"trashed\":{}}}", view.now));
        }
        Ok((draft, same))
    });
    match trashed {
        Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => Ok(false),
        trashed => trashed.map(|trashed| trashed == Some(true)),
    }
}

impl Operation for SetRetention {
    const NAME: &'static str = "set_retention";
    type Answer = KeptPolicy;
}

impl Run for SetRetention {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<KeptPolicy> {
        store.writable()?;
        match &self.policy {
            Some(policy) => {
                check(policy)?;
                let text =
                    serde_json::to_string(policy).map_err(|error| Error::internal(error.to_string()))?;
                store.host_mut().replace(PATH, &(text + "\n"))?;
            }
            None => match store.host_mut().remove(PATH) {
                Err(error) if error.kind != FsErrorKind::NotFound => return Err(error.into()),
                _ => {}
            },
        }
        GetRetention {}.run(store)
    }
}

impl Operation for GetRetention {
    const NAME: &'static str = "get_retention";
    type Answer = KeptPolicy;
}

impl Run for GetRetention {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<KeptPolicy> {
        let text = match store.host_mut().read_bytes(PATH, 0, 64 * 1024) {
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(KeptPolicy::default()),
            text => text?,
        };
        let policy = serde_json::from_slice(&text)
            .map_err(|_| Error::damaged(format!("{PATH} cannot be read; set the policy again")))?;
        Ok(KeptPolicy { policy: Some(policy) })
    }
}

/// Applies the policy that is kept, if it says so: when a store was opened for writing.
///
/// What goes wrong with it must not keep anybody from his sessions: it is tried again at the next opening.
pub(crate) fn on_open<H: Host>(store: &mut Store<H>) {
    let kept = GetRetention {}.run(store).ok().and_then(|kept| kept.policy);
    if let Some(policy) = kept.filter(|policy| policy.on_open) {
        let _ = ApplyRetention { scope: None, policy: Some(policy) }.run(store);
    }
}

impl Operation for PurgeScope {
    const NAME: &'static str = "purge_scope";
    type Answer = PurgedScope;
}

impl Run for PurgeScope {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<PurgedScope> {
        let mut answer = PurgedScope::default();
        for trashed in [false, true] {
            for session in all_sessions(store, Some(&self.scope), trashed)? {
                if session.facts.status == Status::Running
                    || exempt_now(store, &session)? == Some(Reason::Running)
                {
                    answer.running.push(session.id);
                    continue;
                }
                let purged = store.trash(&session.id).and_then(|_| store.purge(&session.id));
                match purged {
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    purged => {
                        purged?;
                        answer.purged.push(session.id);
                    }
                }
            }
        }
        Ok(answer)
    }
}
