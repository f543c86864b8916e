//! Search: finding messages of all sessions by their words, and the index that makes it fast.
//!
//! The index is derived: made from the logs, never in the way of a write, and thrown away without loss. docs/search.md has
//! the syntax of queries, what is found, and what it costs.

use serde::{Deserialize, Serialize};

use super::{Operation, Run};
use crate::host::Host;
use crate::id::check_id;
use crate::limits::{PAGE_HITS_MAX, check_number};
use crate::search::{self, Query, Wanted, role_of};
use crate::store::Store;
use crate::{Error, Result};

/// How many hits there are where nothing is said.
const LIMIT: u32 = 20;
/// How much an update takes in where nothing is said, in bytes.
const UPDATE_BYTES: u64 = 8 * 1024 * 1024;
/// The most that an update takes in, in bytes: the segment that it makes of them is made in memory.
const UPDATE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Finds messages, and titles of sessions, that have all words of a query, the best first (BM25). A query is words, with
/// `"phrases"`, beginnings (`begin*`), what must not be there (`-word`), `role:user` and `tool:name`. Case, accents and
/// width do not matter. What has come since the index was updated is taken in first, up to 4 MiB of it; `behind` says what is
/// left. It writes nothing.
///
/// Guarantee: each hit was read from its log as it is now. A message that forks inherit is one hit, with `also`.
/// Errors: `invalid` (the query is too long, has nothing to look for, or a mistake).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What is looked for, at most 4,096 bytes and 64 words.
    pub query: String,
    /// Only in sessions of this scope.
    #[serde(default)]
    pub scope: Option<String>,
    /// Only in this session, with what it inherits.
    #[serde(default)]
    pub session: Option<String>,
    /// Only in messages of this role.
    #[serde(default)]
    pub role: Option<String>,
    /// Only in messages that call this tool, or have its result under its name.
    #[serde(default)]
    pub tool: Option<String>,
    /// Only what came at this time or later.
    #[serde(default)]
    pub since: Option<u64>,
    /// Only what came before this time.
    #[serde(default)]
    pub until: Option<u64>,
    /// In sessions that are in the trash too.
    #[serde(default)]
    pub trashed: bool,
    /// In messages that a revert or another branch hides too.
    #[serde(default)]
    pub hidden: bool,
    /// At most so many hits, 1 to 1,000; absent: 20.
    #[serde(default)]
    pub limit: Option<u32>,
    /// What an earlier answer gave as `next`, for the same query. Where the store has changed since, a page may repeat
    /// or miss hits.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResults {
    /// The hits, the best first.
    pub hits: Vec<SearchHit>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
    /// What was not searched.
    pub behind: SearchBehind,
}

/// What an index lacks. All 0: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchBehind {
    /// Sessions of which something is not found yet.
    pub sessions: u64,
    /// About how many bytes of their logs.
    pub bytes: u64,
}

/// A message or a title that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchHit {
    /// The session's id.
    pub session_id: String,
    /// Its title.
    pub title: Option<String>,
    /// Its scope.
    pub scope: String,
    /// The message's number; absent where it is the title that was found.
    pub seq: Option<u64>,
    /// Its role.
    pub role: Option<String>,
    /// When it came; for a title, when the session was made.
    pub created_at: u64,
    /// How well it fits, to be compared within one answer.
    pub score: f64,
    /// Whether the session is in the trash.
    pub trashed: bool,
    /// Whether a revert or another branch hides the message.
    pub hidden: bool,
    /// About 160 characters of the text, in one line.
    pub snippet: String,
    /// What was found in it.
    pub highlights: Vec<SearchHighlight>,
    /// Other sessions that are searched and hold the same message, at most 10.
    pub also: Vec<SearchPlace>,
}

/// A range of a snippet, in characters (Unicode code points).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchHighlight {
    /// The first character, from 0.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchPlace {
    /// The session's id.
    pub session_id: String,
    /// The message's number there.
    pub seq: u64,
}

/// Brings the index of words up to date, so that searches need not read logs. Each call does a bounded piece of the work;
/// call it until there is no `more`, whenever there is time for it: other calls neither wait for it nor fail. Cut off at any
/// moment, it goes on where it was.
///
/// Errors: `unavailable` (the disk is full or the store read-only: searches go on without).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateSearch {
    /// Take in about so many bytes of messages, 1 to 64 MiB; absent: 8 MiB.
    pub bytes: Option<u64>,
}

/// What an update has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchUpdate {
    /// Whether another call has something to do.
    pub more: bool,
    /// What the index lacks.
    pub behind: SearchBehind,
    /// How many messages and titles it has.
    pub documents: u64,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Operation for Search {
    const NAME: &'static str = "search";
    type Answer = SearchResults;
}

impl Run for Search {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<SearchResults> {
        let wanted = self.wanted()?;
        let found = store.find_words(&wanted)?;
        Ok(SearchResults {
            hits: found.hits.into_iter().map(SearchHit::from).collect(),
            next: found.next,
            behind: found.behind.into(),
        })
    }
}

impl Search {
    fn wanted(self) -> Result<Wanted> {
        let mut query = Query::parse(&self.query)?;
        if let Some(role) = &self.role {
            let role = role_of(role)?;
            if query.role.is_some_and(|other| other != role) {
                return Err(Error::invalid("two roles; no message has both, give one"));
            }
            query.role = Some(role);
        }
        query.tools.extend(self.tool.filter(|tool| !tool.is_empty()));
        if !query.is_bound() {
            return Err(Error::invalid(
                "the query has no word to look for; give one, or a tool: punctuation alone is not found",
            ));
        }
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=PAGE_HITS_MAX).contains(&limit) {
            return Err(Error::invalid(format!("{limit} hits; ask for 1 to {PAGE_HITS_MAX}")));
        }
        if let Some(session) = &self.session {
            check_id("session id", session)?;
        }
        check_number("a time", self.since)?;
        check_number("a time", self.until)?;
        Ok(Wanted {
            query,
            scope: self.scope,
            session: self.session,
            since: self.since,
            until: self.until,
            trashed: self.trashed,
            hidden: self.hidden,
            limit: limit as usize,
            cursor: self.cursor,
        })
    }
}

impl From<search::Hit> for SearchHit {
    fn from(hit: search::Hit) -> Self {
        let highlights = hit.snippet.marks.iter().map(|(from, to)| SearchHighlight { from: *from, to: *to });
        let also = hit.also.into_iter().map(|same| SearchPlace { session_id: same.session, seq: same.seq });
        Self {
            session_id: hit.session,
            title: hit.title,
            scope: hit.scope,
            seq: hit.seq,
            role: hit.role.map(str::to_owned),
            created_at: hit.created_at,
            score: hit.score,
            trashed: hit.trashed,
            hidden: hit.hidden,
            highlights: highlights.collect(),
            also: also.collect(),
            snippet: hit.snippet.text,
        }
    }
}

impl From<search::Behind> for SearchBehind {
    fn from(behind: search::Behind) -> Self {
        Self { sessions: behind.sessions, bytes: behind.bytes }
    }
}

impl Operation for UpdateSearch {
    const NAME: &'static str = "update_search";
    type Answer = SearchUpdate;
}

impl Run for UpdateSearch {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<SearchUpdate> {
        let bytes = self.bytes.unwrap_or(UPDATE_BYTES);
        if !(1..=UPDATE_BYTES_MAX).contains(&bytes) {
            return Err(Error::invalid(format!("{bytes} bytes; take in 1 to {UPDATE_BYTES_MAX}")));
        }
        let updated = store.update_words(bytes)?;
        Ok(SearchUpdate {
            more: updated.more,
            behind: updated.behind.into(),
            documents: updated.documents,
            files: updated.files,
            bytes: updated.bytes,
        })
    }
}
