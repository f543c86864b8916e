//! What a store can do: the interface `sessions` of `wit/` in Rust.
//!
//! The core implements it over any [`crate::Host`]; the Rust host implements it over the component. Both pass the
//! same corpus and write the same bytes.

use crate::facts::{NewSession, Session, SessionPatch};
use crate::host::Durability;
use crate::{Error, ErrorKind, Result};

/// A message of a session: by number, or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageRef {
    /// Its number in the session, from 1.
    Seq(u64),
    /// The id that the store gave it, or the `id` that its caller gave it.
    Id(String),
}

impl From<u64> for MessageRef {
    fn from(seq: u64) -> Self {
        Self::Seq(seq)
    }
}

impl From<&str> for MessageRef {
    fn from(id: &str) -> Self {
        Self::Id(id.to_owned())
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Refuse every write. Works on read-only media; nothing is created.
    pub read_only: bool,
}

/// How something is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// How far it must have come on return; `Synced` where nothing is said.
    pub durability: Durability,
    /// The head that the session must have (0: no message): otherwise `conflict`, and nothing counts.
    pub expect_head: Option<u64>,
    /// The caller's name for this operation, 1 to 256 bytes: given again in this session it changes nothing and
    /// returns what the first time returned.
    pub op: Option<String>,
    /// When it happened, in ms, for what comes from elsewhere; now where absent.
    pub at: Option<u64>,
}

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The number of the first message.
    pub seq: u64,
    /// How many messages.
    pub count: u64,
    /// The first message's id; empty where an operation was repeated. The ids of the others count up from it.
    pub id: String,
    /// The head behind it.
    pub head: u64,
    /// Whether the operation had been done before.
    pub repeated: bool,
    /// How durable it is.
    pub durability: Durability,
}

/// A change of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// A merge patch (RFC 7396) as JSON text. `id` and `role` stay as they are.
    Patch(String),
    /// Parts to add at the end, as a JSON array.
    AddParts(String),
    /// Text to add at the end of a part's text, or to begin a text part right behind the last one.
    AddText {
        /// The part, from 0.
        part: u64,
        /// The text.
        text: String,
        /// The length of the part's text before, in bytes: otherwise `conflict`. Makes a retry harmless.
        at: Option<u64>,
    },
}

/// Which messages to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// The last ones that are visible.
    Last(u32),
    /// Visible ones from a number on (1: all), at most so many.
    From {
        /// The first number.
        seq: u64,
        /// At most so many, 1 to 10,000.
        limit: u32,
    },
    /// From a cursor on that an earlier page has returned, at most so many.
    Cursor {
        /// The cursor.
        cursor: String,
        /// At most so many, 1 to 10,000.
        limit: u32,
    },
}

/// A range of bytes of a log that hold no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The session whose log it is: a fork reads its parents' logs too.
    pub session: String,
    /// The first byte.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
}

/// A page of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// A JSON array, in order:
    /// `{"seq":1,"id":"<ULID>","parent":0,"created_at":<ms>,"updated_at":<ms>,"message":{...}}`.
    pub messages: String,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
    /// Numbers of visible messages of this page that cannot be read.
    pub unreadable: Vec<u64>,
    /// Damage met on the way.
    pub damage: Vec<DamagedRange>,
}

/// How a fork is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkOptions {
    /// The last message that the fork begins with; the head where absent.
    pub at: Option<MessageRef>,
    /// The new session's id; a fresh ULID where absent.
    pub id: Option<String>,
    /// The new session's title; the parent's with " (fork)" behind it where absent.
    pub title: Option<String>,
}

/// The tip of a branch: a message that none follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The tip's number.
    pub tip: u64,
    /// The tip's id.
    pub id: String,
    /// How many messages lead to it.
    pub message_count: u64,
    /// The last message that it shares with the visible path; 0 for none.
    pub shared: u64,
    /// When the tip came, in ms.
    pub created_at: u64,
    /// Whether it is the visible one.
    pub current: bool,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those of this scope, compared byte for byte.
    pub scope: Option<String>,
    /// Those in the trash instead of the others.
    pub trashed: bool,
    /// Where an earlier page has ended.
    pub cursor: Option<String>,
    /// At most so many, 1 to 10,000; 100 where 0.
    pub limit: u32,
}

/// A page of sessions, newest change first.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

/// What a rewrite did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The new generation.
    pub generation: u32,
    /// The size of the old log in bytes.
    pub bytes_before: u64,
    /// The size of the new log in bytes.
    pub bytes_after: u64,
    /// Whether the old log is still there, because a fork needs it.
    pub old_kept: bool,
}

/// What a store can do. Every call is whole: it has happened or it has not, whatever happens to the process.
pub trait Sessions {
    /// Makes a session.
    ///
    /// Guarantee: on return it survives power loss. Errors: `conflict` where the id is taken, `invalid`.
    fn create(&mut self, new: &NewSession) -> Result<Session>;

    /// Returns a session's facts. Changes nothing. Errors: `not-found`; sessions in the trash are found.
    fn get(&mut self, id: &str) -> Result<Session>;

    /// Changes facts. Errors: `not-found`, `conflict` (with `expect_head`), `invalid`.
    fn update(&mut self, id: &str, patch: &SessionPatch, options: &WriteOptions) -> Result<Session>;

    /// Notes that somebody looked at the session: `accessed` becomes now, nothing else.
    fn touch(&mut self, id: &str) -> Result<Session>;

    /// Moves a session to the trash: it is no longer listed, and takes no messages until restored.
    fn trash(&mut self, id: &str) -> Result<Session>;

    /// Takes a session out of the trash.
    fn restore(&mut self, id: &str) -> Result<Session>;

    /// Removes a session that is in the trash, for good. Its log stays hidden as long as a fork needs it.
    /// Errors: `conflict` where it is not in the trash.
    fn purge(&mut self, id: &str) -> Result<()>;

    /// Appends messages, given as a JSON array, behind the head: one write, one sync, all or none.
    ///
    /// Errors: `not-found`, `invalid` (nothing written), `conflict` (another head, or in the trash), `unavailable`
    /// (retry with the same `op`), `closed`.
    fn append(&mut self, id: &str, messages: &str, options: &WriteOptions) -> Result<Appended>;

    /// Changes a message; the bytes written are those of the change. Returns the length in bytes of the part's text
    /// behind an added text, otherwise 0.
    fn update_message(
        &mut self,
        id: &str,
        message: &MessageRef,
        change: &MessageChange,
        options: &WriteOptions,
    ) -> Result<u64>;

    /// Makes everything durable that was appended to the session.
    fn sync(&mut self, id: &str) -> Result<()>;

    /// Reads messages.
    fn read(&mut self, id: &str, select: &Select) -> Result<Page>;

    /// Makes a session that begins with the messages of another up to one of them. No message is copied, the parent
    /// is not written to, and neither ever sees what the other does later.
    fn fork(&mut self, id: &str, options: &ForkOptions) -> Result<Session>;

    /// Rewrites a fork so that it holds all its messages itself.
    fn detach(&mut self, id: &str) -> Result<Rewritten>;

    /// Rewrites a log with all updates merged into their messages. Nothing that can be read before is lost.
    fn compact(&mut self, id: &str) -> Result<Rewritten>;

    /// Hides all messages behind one of them; with `inclusive` that one too.
    fn revert(
        &mut self,
        id: &str,
        to: &MessageRef,
        inclusive: bool,
        options: &WriteOptions,
    ) -> Result<Session>;

    /// Shows again what reverts since the last append have hidden. Errors: `conflict` where there is nothing.
    fn unrevert(&mut self, id: &str, options: &WriteOptions) -> Result<Session>;

    /// Makes any message of any branch the head.
    fn switch(&mut self, id: &str, to: &MessageRef, options: &WriteOptions) -> Result<Session>;

    /// Lists the tips of all branches, the visible one first, then newest first.
    fn branches(&mut self, id: &str) -> Result<Vec<Branch>>;

    /// Lists sessions, newest change first.
    fn list(&mut self, query: &ListQuery) -> Result<SessionPage>;

    /// Finds a session by `last` (the newest of the scope), by id, by its place in the list of the scope (from 1), or by
    /// the beginning of its id where only one session has it; sessions named `<id>/...` do not count beside `<id>`. Errors: `not-found`; `conflict` where several fit.
    fn resolve(&mut self, text: &str, scope: Option<&str>) -> Result<Session>;

    /// Checks the whole store and returns a report as JSON (docs/format.md, "The report"). With `repair` it rebuilds
    /// what is derived; it never touches a log.
    fn doctor(&mut self, repair: bool) -> Result<String>;

    /// Carries out one of [`crate::operations`] by name: its request and its answer as JSON. [`crate::operations::run`] is
    /// the same with types.
    ///
    /// Errors: `invalid` where there is no such operation or the request is not its; otherwise the operation's.
    fn operate(&mut self, name: &str, request: &str) -> Result<String>;

    /// Tells the catalogue what this instance knows, so that the next list need not look into its sessions.
    /// Nothing is lost without it.
    fn close(&mut self) -> Result<()>;
}

impl Select {
    pub(crate) fn limit(&self) -> u32 {
        match self {
            Self::Last(limit) | Self::From { limit, .. } | Self::Cursor { limit, .. } => *limit,
        }
    }

    /// Checks the limit of a page.
    pub(crate) fn check(&self) -> Result<()> {
        if let Self::From { seq, .. } = self {
            crate::limits::check_number("the number of a message", Some(*seq))?;
        }
        if (1..=crate::limits::PAGE_MESSAGES_MAX).contains(&self.limit()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!("a page of {} messages; ask for 1 to {}", self.limit(), crate::limits::PAGE_MESSAGES_MAX),
        ))
    }
}
