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
        serde_json::from_str(&request).map_err(|error| bad(&without_place(&error.to_string())))?;
    let answer = operation.run(store)?;
    serde_json::to_string(&answer).map_err(|error| Error::internal(error.to_string()))
}

/// What serde says, without the line and column of a text that the caller has not written.
fn without_place(what: &str) -> String {
    what.split(" at line ").next().unwrap_or(what).to_owned()
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
