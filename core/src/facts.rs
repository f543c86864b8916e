//! What is known of a session besides its messages.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::json::{self, Json};
use crate::limits::{
    METADATA_BYTES_MAX, NAME_BYTES_MAX, NUMBER_MAX, SCOPE_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX, TITLE_BYTES_MAX,
};
use crate::{Error, Result};

/// What a session is doing, as far as its host has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use; the default.
    #[default]
    Active,
    /// An agent is at work.
    Running,
    /// Waiting for input.
    Idle,
    /// Finished well.
    Done,
    /// Finished with an error.
    Error,
    /// Closed by its user.
    Closed,
    /// Stopped in the middle.
    Interrupted,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::Active, Self::Running, Self::Idle, Self::Done, Self::Error, Self::Closed, Self::Interrupted];

    /// The name on disk and in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Done => "done",
            Self::Error => "error",
            Self::Closed => "closed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status of that name. Errors: `invalid` for any other text.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|status| status.name()).collect();
            Error::invalid(format!("unknown status; give one of {}", names.join(", ")))
        })
    }
}

/// The facts of a session as its log holds them. Times are in ms since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Whom the session belongs to (a directory, workspace, project, agent group); empty: nobody in particular.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether a person chose the title.
    #[serde(skip_serializing_if = "is_false")]
    pub title_manual: bool,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The provider of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the session is doing.
    pub status: Status,
    /// The session that this one was forked from or belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The message of the parent after which a fork begins; absent where it was no fork.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork_point: Option<u64>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// An open JSON object of the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// When it began.
    pub created: u64,
    /// When anything but `accessed` last changed.
    pub updated: u64,
    /// When a host last said that somebody looked at it.
    pub accessed: u64,
    /// When a message last came.
    pub active: u64,
    /// When it was moved to the trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trashed: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Facts {
    /// Applies the merge patch of a `facts` record. Members that this version does not know are passed over.
    pub(crate) fn apply(&mut self, set: &str) {
        for (key, value) in json::members(set).unwrap_or_default() {
            match key.as_ref() {
                "scope" => self.scope = text(value).unwrap_or_default(),
                "title" => self.title = text(value),
                // Whoever suggests one may not have seen that a person has chosen another.
                "title_auto" if !self.title_manual => self.title = text(value),
                "title_manual" => self.title_manual = value == "true",
                "agent" => self.agent = text(value),
                "provider" => self.provider = text(value),
                "model" => self.model = text(value),
                "status" => self.status = serde_json::from_str(value).unwrap_or_default(),
                "parent" => self.parent = text(value),
                "tags" => self.tags = serde_json::from_str(value).unwrap_or_default(),
                "metadata" if value == "null" => self.metadata = None,
                "metadata" => {
                    let old = self.metadata.as_ref().map_or("{}", Json::as_str);
                    self.metadata = Some(Json::minified(json::merge(old, value)));
                }
                "accessed" => self.accessed = number(value).unwrap_or(0).max(self.accessed),
                "trashed" => self.trashed = number(value),
                _ => {}
            }
        }
    }
}

fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

fn number(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| *number <= NUMBER_MAX)
}

/// What a session is made with. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSession {
    /// The caller's id, of any form, 1 to 256 bytes without control characters; a fresh ULID where absent.
    pub id: Option<String>,
    /// At most 4,096 bytes.
    pub scope: String,
    /// At most 1,024 bytes.
    pub title: Option<String>,
    /// Whether a person chose the title.
    pub title_manual: bool,
    /// At most 256 bytes.
    pub agent: Option<String>,
    /// At most 256 bytes.
    pub provider: Option<String>,
    /// At most 256 bytes.
    pub model: Option<String>,
    /// What it is doing.
    pub status: Status,
    /// The session it belongs to, which need not exist.
    pub parent: Option<String>,
    /// At most 64 tags of at most 128 bytes.
    pub tags: Vec<String>,
    /// A JSON object of at most 64 KiB, as text.
    pub metadata: Option<String>,
    /// When it began, in ms, for sessions that come from elsewhere; now where absent.
    pub created_at: Option<u64>,
}

impl NewSession {
    /// Checks everything and makes the facts of a session that begins at `now`.
    pub(crate) fn facts(&self, now: u64) -> Result<Facts> {
        let created = self.created_at.unwrap_or(now);
        if created > NUMBER_MAX {
            return Err(Error::invalid("created_at is past 2^53 ms; give milliseconds since 1970"));
        }
        check_scope(&self.scope)?;
        check_optional("title", TITLE_BYTES_MAX, self.title.as_deref())?;
        check_optional("agent", NAME_BYTES_MAX, self.agent.as_deref())?;
        check_optional("provider", NAME_BYTES_MAX, self.provider.as_deref())?;
        check_optional("model", NAME_BYTES_MAX, self.model.as_deref())?;
        check_tags(&self.tags)?;
        if let Some(parent) = &self.parent {
            crate::id::check_id("parent", parent)?;
        }
        Ok(Facts {
            scope: self.scope.clone(),
            title: self.title.clone(),
            title_manual: self.title_manual,
            agent: self.agent.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            status: self.status,
            parent: self.parent.clone(),
            fork_point: None,
            tags: self.tags.clone(),
            metadata: self.metadata.as_deref().map(check_metadata).transpose()?.map(Json::minified),
            created,
            updated: created,
            accessed: created,
            active: created,
            trashed: None,
        })
    }
}

/// A change of a session's facts. `None` leaves a fact as it is; `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPatch {
    /// See [`NewSession::scope`].
    pub scope: Option<String>,
    /// See [`NewSession::title`].
    pub title: Option<Option<String>>,
    /// See [`NewSession::title_manual`].
    pub title_manual: Option<bool>,
    /// See [`NewSession::agent`].
    pub agent: Option<Option<String>>,
    /// See [`NewSession::provider`].
    pub provider: Option<Option<String>>,
    /// See [`NewSession::model`].
    pub model: Option<Option<String>>,
    /// See [`NewSession::status`].
    pub status: Option<Status>,
    /// Replaces all tags.
    pub tags: Option<Vec<String>>,
    /// A merge patch (RFC 7396) of the metadata; `Some(None)` clears it.
    pub metadata: Option<Option<String>>,
}

impl SessionPatch {
    /// Checks everything and makes the patch of a `facts` record.
    pub(crate) fn to_json(&self, now: &Facts) -> Result<String> {
        let mut members: Vec<(&str, Cow<'_, str>)> = Vec::new();
        if let Some(scope) = &self.scope {
            check_scope(scope)?;
            members.push(("scope", json::quote(scope).into()));
        }
        let names = [
            ("title", TITLE_BYTES_MAX, &self.title),
            ("agent", NAME_BYTES_MAX, &self.agent),
            ("provider", NAME_BYTES_MAX, &self.provider),
            ("model", NAME_BYTES_MAX, &self.model),
        ];
        for (key, bytes_max, change) in names {
            if let Some(value) = change {
                check_optional(key, bytes_max, value.as_deref())?;
                members.push((key, value.as_ref().map_or("null".into(), |value| json::quote(value).into())));
            }
        }
        if let Some(manual) = self.title_manual {
            members.push(("title_manual", manual.to_string().into()));
        }
        if let Some(status) = self.status {
            members.push(("status", json::quote(status.name()).into()));
        }
        if let Some(tags) = &self.tags {
            check_tags(tags)?;
            members.push(("tags", serde_json::Value::from(tags.clone()).to_string().into()));
        }
        match &self.metadata {
            None => {}
            Some(None) => members.push(("metadata", "null".into())),
            Some(Some(patch)) => {
                let patch = check_metadata(patch)?;
                check_metadata(&json::merge(now.metadata.as_ref().map_or("{}", Json::as_str), &patch))?;
                members.push(("metadata", patch.into()));
            }
        }
        if members.is_empty() {
            return Err(Error::invalid("the change of the session is empty; name at least one fact"));
        }
        Ok(json::object(members.iter().map(|(key, value)| (*key, value.as_ref()))))
    }
}

fn check_scope(scope: &str) -> Result<()> {
    check_len("scope", SCOPE_BYTES_MAX, scope)?;
    if scope.contains('\0') {
        return Err(Error::invalid("the scope holds a NUL character; give a path or a name"));
    }
    Ok(())
}

fn check_optional(what: &str, bytes_max: usize, value: Option<&str>) -> Result<()> {
    value.map_or(Ok(()), |value| check_len(what, bytes_max, value))
}

fn check_len(what: &str, bytes_max: usize, value: &str) -> Result<()> {
    if value.len() > bytes_max {
        return Err(Error::invalid(format!(
            "the {what} has {} bytes; give at most {bytes_max}",
            value.len()
        )));
    }
    Ok(())
}

fn check_tags(tags: &[String]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid(format!("{} tags; give at most {TAGS_MAX}", tags.len())));
    }
    tags.iter().try_for_each(|tag| check_len("tag", TAG_BYTES_MAX, tag))
}

/// Checks that `text` is a JSON object within the limit and returns it minified.
fn check_metadata(text: &str) -> Result<String> {
    let metadata = json::minify(text)
        .map_err(|error| Error::invalid(format!("the metadata is not acceptable JSON: {error}")))?;
    if !metadata.starts_with('{') {
        return Err(Error::invalid("the metadata is not a JSON object; wrap it in one"));
    }
    check_len("metadata", METADATA_BYTES_MAX, &metadata)?;
    Ok(metadata)
}

/// A session as callers see it. Its JSON is flat: `{"id","scope","title",...,"created_at",...}`, as in the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "FlatSession", into = "FlatSession")]
pub struct Session {
    /// The id.
    pub id: String,
    /// The facts.
    pub facts: Facts,
    /// How many messages are visible.
    pub message_count: u64,
    /// The number of the last visible message; 0 where there is none. What `expect_head` compares with.
    pub head: u64,
    /// Whether `unrevert` would show again what a revert has hidden.
    pub can_unrevert: bool,
    /// The generation of the log.
    pub generation: u32,
    /// The size of the log in bytes. What a fork shares with its parent is not counted.
    pub log_bytes: u64,
}

/// A session as JSON: the record `session` of the contract.
#[derive(Serialize, Deserialize)]
struct FlatSession {
    id: String,
    scope: String,
    title: Option<String>,
    title_manual: bool,
    agent: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    status: Status,
    parent: Option<String>,
    fork_point: Option<u64>,
    tags: Vec<String>,
    metadata: Option<Json>,
    created_at: u64,
    updated_at: u64,
    accessed_at: u64,
    active_at: u64,
    trashed_at: Option<u64>,
    message_count: u64,
    head: u64,
    can_unrevert: bool,
    generation: u32,
    log_bytes: u64,
}

impl From<Session> for FlatSession {
    fn from(session: Session) -> Self {
        let Session { id, facts, message_count, head, can_unrevert, generation, log_bytes } = session;
        Self {
            id,
            scope: facts.scope,
            title: facts.title,
            title_manual: facts.title_manual,
            agent: facts.agent,
            provider: facts.provider,
            model: facts.model,
            status: facts.status,
            parent: facts.parent,
            fork_point: facts.fork_point,
            tags: facts.tags,
            metadata: facts.metadata,
            created_at: facts.created,
            updated_at: facts.updated,
            accessed_at: facts.accessed,
            active_at: facts.active,
            trashed_at: facts.trashed,
            message_count,
            head,
            can_unrevert,
            generation,
            log_bytes,
        }
    }
}

impl From<FlatSession> for Session {
    fn from(flat: FlatSession) -> Self {
        let facts = Facts {
            scope: flat.scope,
            title: flat.title,
            title_manual: flat.title_manual,
            agent: flat.agent,
            provider: flat.provider,
            model: flat.model,
            status: flat.status,
            parent: flat.parent,
            fork_point: flat.fork_point,
            tags: flat.tags,
            metadata: flat.metadata,
            created: flat.created_at,
            updated: flat.updated_at,
            accessed: flat.accessed_at,
            active: flat.active_at,
            trashed: flat.trashed_at,
        };
        Self {
            id: flat.id,
            facts,
            message_count: flat.message_count,
            head: flat.head,
            can_unrevert: flat.can_unrevert,
            generation: flat.generation,
            log_bytes: flat.log_bytes,
        }
    }
}
