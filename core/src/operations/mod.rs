//! What a store does besides sessions and messages, as values: each operation is a struct with what it takes, and its
//! answer is one with what it gives.
//!
//! The same structs are the contract of every language: the component takes a request and gives an answer as JSON, by
//! the operation's name, and docs/operations.md lists them. What is absent in a request has its default; a member that an
//! operation does not have is refused. Times are milliseconds since 1970. Each says which state it is about:
//! every operation is whole, as every call of a store.
//!
//! Here operations are declared and carried out; how tables are changed is [`crate::store`]'s business.

pub mod attachments;
pub mod changes;
pub mod counters;
pub mod ingest;
pub mod queues;
pub mod retention;
pub mod runs;
pub mod salvage;
mod schedule;
pub mod search;
pub mod sessions;
pub mod threads;
pub mod usage;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{ListQuery, Sessions, WriteOptions};
use crate::facts::Session;
use crate::host::{Durability, Host};
use crate::json::minify;
use crate::limits::PAGE_SESSIONS_MAX;
use crate::store::Store;
use crate::{Error, Result};

/// Something that a store does.
pub trait Operation: Serialize + DeserializeOwned {
    /// Its name in the contract.
    const NAME: &'static str;
    /// What it gives.
    type Answer: Serialize + DeserializeOwned;
}

/// Carries out an operation.
///
/// Errors: the operation's.
pub fn run<O: Operation>(store: &mut (impl Sessions + ?Sized), operation: &O) -> Result<O::Answer> {
    let fault =
        |error: serde_json::Error| Error::internal(format!("{}: {error}; please report this", O::NAME));
    let request = serde_json::to_string(operation).map_err(fault)?;
    serde_json::from_str(&store.operate(O::NAME, &request)?).map_err(fault)
}

/// How an operation is carried out on a store.
trait Run: Operation {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Self::Answer>;
}

macro_rules! operations {
    ($($operation:ty),* $(,)?) => {
        /// The names of all operations.
        pub const NAMES: &[&str] = &[$(<$operation as Operation>::NAME),*];

        /// Carries out the operation of that name.
        pub(crate) fn operate<H: Host>(store: &mut Store<H>, name: &str, request: &str) -> Result<String> {
            match name {
                $(<$operation as Operation>::NAME => answer::<$operation, H>(store, request),)*
                _ => Err(Error::invalid("there is no such operation; docs/operations.md lists them")),
            }
        }
    };
}

operations! {
    attachments::ClearAttachments,
    attachments::CollectAttachments,
    attachments::ListAttachments,
    attachments::ReadAttachment,
    attachments::RestoreAttachments,
    attachments::StoreAttachments,
    changes::Changes,
    counters::AddCounters,
    counters::GetCounters,
    counters::ResetCounters,
    ingest::Ingest,
    queues::Ack,
    queues::AnswerQuestion,
    queues::Ask,
    queues::ChangeSeries,
    queues::Emit,
    queues::Enqueue,
    queues::FindItem,
    queues::Inbound,
    queues::NextBatch,
    queues::NextDeliveries,
    queues::Outbound,
    queues::Questions,
    queues::RecordDelivery,
    queues::Release,
    queues::Sweep,
    retention::ApplyRetention,
    retention::GetRetention,
    retention::PlanRetention,
    retention::PurgeScope,
    retention::SetRetention,
    runs::BeginRun,
    runs::CheckEnvironment,
    runs::EndRun,
    runs::GetRun,
    runs::ListRuns,
    runs::RenewRun,
    salvage::SalvageSession,
    search::Search,
    search::UpdateSearch,
    sessions::CountSessions,
    sessions::DirectoryScope,
    sessions::ReadView,
    sessions::RenameSession,
    sessions::RootSession,
    sessions::SaveSession,
    sessions::SuggestTitle,
    threads::CurrentSession,
    threads::GetRouting,
    threads::GetState,
    threads::Heartbeat,
    threads::Liveness,
    threads::ResolveThread,
    threads::SetRouting,
    threads::SetState,
    usage::AddUsage,
    usage::GetUsage,
}

fn answer<O: Run, H: Host>(store: &mut Store<H>, request: &str) -> Result<String> {
    let bad =
        |what: &dyn std::fmt::Display| Error::invalid(format!("{}: {what}; correct the request", O::NAME));
    let request = minify(request).map_err(|error| bad(&error))?;
    // Members by their places would be understood as well, and otherwise once there are more of them.
    if !request.starts_with('{') {
        return Err(bad(&"the request is no object"));
    }
    let operation: O =
        serde_json::from_str(&request).map_err(|error| bad(&without_values(&error.to_string())))?;
    let answer = operation.run(store)?;
    serde_json::to_string(&answer).map_err(|error| Error::internal(error.to_string()))
}

/// What serde says, without the line and column of a text that the caller has not written, and without the values that
/// it quotes: they are content, or secrets.
fn without_values(what: &str) -> String {
    let what = what.rsplit_once(" at line ").map_or(what, |(what, _)| what);
    // What is expected is ours and stands at the end; whatever is quoted before it is the caller's.
    let (given, expected) =
        match what.rsplit_once(", expected ").or_else(|| what.rsplit_once(", there are no ")) {
            Some((given, _)) => (given, what.get(given.len()..).unwrap_or_default()),
            None => (what, ""),
        };
    let kind = given.split(['`', '"']).next().unwrap_or_default().trim_end();
    // The name of a member helps to find a mistake in typing.
    let name = given.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`'));
    let is_name = |name: &&str| {
        name.len() <= 32 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    match name.filter(is_name) {
        Some(_) => format!("{given}{expected}"),
        // Names of ours: `missing field`, `duplicate field`.
        None if given.starts_with("missing field `") || given.starts_with("duplicate field `") => {
            what.to_owned()
        }
        None => format!("{kind}{expected}"),
    }
}

/// All sessions of a scope, or of the store, as the catalogue has them.
fn all_sessions<H: Host>(store: &mut Store<H>, scope: Option<&str>, trashed: bool) -> Result<Vec<Session>> {
    let mut query =
        ListQuery { scope: scope.map(str::to_owned), trashed, limit: PAGE_SESSIONS_MAX, cursor: None };
    let mut sessions = Vec::new();
    loop {
        let page = store.list(&query)?;
        sessions.extend(page.sessions);
        match page.next {
            None => return Ok(sessions),
            next => query.cursor = next,
        }
    }
}

/// How a change is written.
fn write_options(op: Option<&String>, durability: Durability) -> WriteOptions {
    WriteOptions { op: op.cloned(), durability, ..WriteOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn what_serde_says_is_passed_on_without_values() {
        for (said, passed) in [
            (
                "invalid type: string \"secret, expected nothing\", expected u64 at line 1 column 9",
                "invalid type: string, expected u64",
            ),
            (
                "invalid value: integer `-5`, expected u64 at line 1 column 9",
                "invalid value: integer, expected u64",
            ),
            (
                "unknown variant `a secret`, expected `done` or `error`",
                "unknown variant, expected `done` or `error`",
            ),
            (
                "unknown field `titel`, expected `title` at line 1 column 2",
                "unknown field `titel`, expected `title`",
            ),
            ("unknown field `A secret`, expected `title`", "unknown field, expected `title`"),
            ("unknown field `secrets`, there are no fields", "unknown field `secrets`, there are no fields"),
            ("missing field `session` at line 1 column 2", "missing field `session`"),
            (
                "invalid type: map, expected a string at line 1 column 2",
                "invalid type: map, expected a string",
            ),
        ] {
            assert_eq!(without_values(said), passed);
        }
    }
}
