//! The queues of a session: what comes in for its worker, and what goes out from it.
//!
//! The host's side and the worker's side each write a log of their own, so that one directory can be all that they share,
//! also across machines. The host enqueues, sweeps, and says what became of deliveries; the worker claims, acknowledges
//! and emits. Everybody sees both. Numbers tell the sides apart: even ones came in, odd ones go out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attachments::{Direction, Extracted};
use super::schedule::Schedule;
use super::threads::routing;
use super::{Operation, Run, write_options};
use crate::api::{Sessions, WriteOptions};
use crate::host::{Durability, Host};
use crate::id::{check_id, fingerprint, ulid, ulid_text};
use crate::json::{Json, merge};
use crate::limits::{NUMBER_MAX, check_number};
use crate::store::{Draft, Store, View, inbox, outbox};
use crate::{Error, Result};

/// The most items that a queue holds in one direction.
const ITEMS_MAX: usize = 10_000;
/// The most items of one call.
const BATCH_MAX: usize = 1_000;
/// The largest content of an item, in bytes of JSON; larger files are attachments.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;
/// How often an item is tried, and a delivery attempted.
const TRIES_MAX: u32 = 5;
const ATTEMPTS_MAX: usize = 6;
/// After how long a delivery is attempted again, in ms, by the attempts so far.
const DELIVERY_BACKOFF_MS: [u64; 5] = [5_000, 15_000, 45_000, 120_000, 300_000];
/// After so many failures in a row a recurring item is paused.
const FAILURES_MAX: u32 = 6;
/// How long it is known what became of an item, in ms.
const DONE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// A claim lasts so long where nothing is said, in ms.
const LEASE_MS: u64 = 30 * 60 * 1000;

/// Puts items into the queue of a session's worker, all or none. Called by the host's side.
///
/// Guarantee: an item whose id is known with the same content is there once, however often it is given; a known id with
/// other content is kept under an id that is derived from both. Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enqueue {
    /// The session.
    pub session: String,
    /// 1 to 1,000 items.
    pub items: Vec<NewItem>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// An item that comes in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewItem {
    /// The caller's id, such as that of a platform's message; absent: a fresh ULID.
    pub id: Option<String>,
    /// What it is, such as `chat`, `task`, `webhook`, `system`. Items of kind `system` do not count against the limit of a
    /// batch.
    pub kind: String,
    /// Any JSON of at most 1 MiB.
    pub content: Option<Json>,
    /// Whether it wakes the worker; otherwise it rides along with one that does. Absent: yes.
    pub wakes: Option<bool>,
    /// Whether only the first batch of a worker's life has it.
    pub on_start: bool,
    /// Not before this time.
    pub due_at: Option<u64>,
    /// A cron expression: behind the item comes its successor.
    pub recurrence: Option<String>,
    /// The time zone of the recurrence; absent: UTC.
    pub time_zone: Option<String>,
    /// The id of its series; absent: its own.
    pub series: Option<String>,
    /// Where it came from, and where answers go: any JSON.
    pub address: Option<Json>,
    /// The session of an agent that it came from.
    pub source_session: Option<String>,
}

/// What became of items that were given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Enqueued {
    /// One for each item, in order.
    pub items: Vec<Receipt>,
}

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its id, derived where its own was taken.
    pub id: String,
    /// Its number in the session; 0 where the item is done already.
    pub seq: u64,
    /// Whether it was there before.
    pub repeated: bool,
}

/// An item that came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its number: even.
    pub seq: u64,
    /// See [`NewItem`].
    pub kind: String,
    /// See [`NewItem`].
    pub content: Json,
    /// `pending`, `processing` (claimed), `paused`, `completed`, `failed`, `cancelled`.
    pub status: ItemStatus,
    /// When it came.
    pub created_at: u64,
    /// See [`NewItem`].
    pub wakes: bool,
    /// See [`NewItem`].
    pub on_start: bool,
    /// Not before this time.
    pub due_at: Option<u64>,
    /// See [`NewItem`].
    pub recurrence: Option<String>,
    /// See [`NewItem`].
    pub time_zone: Option<String>,
    /// Its series.
    pub series: String,
    /// How often it was tried without success.
    pub tries: u32,
    /// How many items of its series have failed in a row.
    pub failures: u32,
    /// Claims before this time do not count any more; absent: all do.
    pub released_at: Option<u64>,
    /// See [`NewItem`].
    pub address: Option<Json>,
    /// See [`NewItem`].
    pub source_session: Option<String>,
}

/// What an item is waiting for, or how it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemStatus {
    /// For a worker, or for its time.
    Pending,
    /// A worker has claimed it.
    Processing,
    /// To be resumed.
    Paused,
    /// Done well.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

/// Claims the next items for a worker. Called by the worker's side.
///
/// Due items that wake come first, the oldest first, at most `limit`; what is left of it is filled with the newest of those that
/// only ride along, and due items of kind `system` come on top. Where nothing wakes, the batch is empty. The answer is in the order of numbers.
/// Guarantee: no two workers have the same item, unless a lease has ended. Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextBatch {
    /// The session.
    pub session: String,
    /// The worker's name.
    pub worker: String,
    /// At most so many items, 1 to 1,000; absent: 10.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Whether the worker has just begun its life: what it had claimed before is free again, and items `on_start` come too.
    #[serde(default)]
    pub first: bool,
    /// How long the claims last, in ms; absent: 30 minutes.
    #[serde(default)]
    pub lease_ms: Option<u64>,
}

/// Items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Items {
    /// In the order of their numbers.
    pub items: Vec<Item>,
}

/// Gives claimed items back, to be claimed again at once. Called by the worker's side. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The session.
    pub session: String,
    /// Their ids.
    pub items: Vec<String>,
}

/// Says how items have ended. Called by the worker's side; the next `sweep` of the host's side takes it over.
///
/// What was acknowledged once stays so: a second, other acknowledgement changes nothing and is named in the answer.
/// Errors: `not-found` (an id that no item has or lately had; then nothing was acknowledged), `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The session.
    pub session: String,
    /// One for each item.
    pub acks: Vec<NewAck>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// How an item has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAck {
    /// Its id.
    pub id: String,
    /// `completed` or `failed`.
    pub status: ItemStatus,
    /// What went wrong, at most 4,096 bytes.
    #[serde(default)]
    pub error: Option<String>,
}

/// What became of acknowledgements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Acked {
    /// Those that count now.
    pub acked: Vec<String>,
    /// Those that had ended before, and stay as they were.
    pub unchanged: Vec<String>,
}

/// Brings a session's incoming queue up to date: takes over acknowledgements, gives crashed workers' items back with a
/// growing delay (5, 10, 20, 40, 80 s) or gives them up after five tries, and puts the successor of each recurring item that has ended, unless
/// another one of its series recurs.
/// Called by the host's side, about every minute.
///
/// Guarantee: an item ends once, and a series goes on once, whoever sweeps. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The session.
    pub session: String,
    /// Whether the session's worker is known to be gone: its claims need not be waited for.
    #[serde(default)]
    pub worker_gone: bool,
}

/// What a sweep did, by ids of items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Swept {
    /// Those that have ended well.
    pub completed: Vec<String>,
    /// Those that were given up.
    pub failed: Vec<String>,
    /// Those that will be tried again.
    pub retried: Vec<String>,
    /// Successors.
    pub spawned: Vec<String>,
    /// Successors that wait to be resumed, because too many before them have failed.
    pub paused: Vec<String>,
    /// Whether something is due and waits for a worker.
    pub wakes: bool,
    /// When the next item is due; absent: none waits for its time.
    pub due_at: Option<u64>,
}

/// Lists what came in and has not ended, in the order of numbers. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The session.
    pub session: String,
    /// Only those of that status.
    #[serde(default)]
    pub status: Option<ItemStatus>,
}

/// Cancels, pauses, resumes or changes items by their id or that of their series. Only those that wait are touched: neither
/// claimed nor ended ones. Of claimed ones `cancel` takes the recurrence, so that nothing comes after them. Called by the host's side. Errors: `not-found` (the session), `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSeries {
    /// The session.
    pub session: String,
    /// The id of an item or of a series.
    pub target: String,
    /// What to do.
    pub action: SeriesAction,
    /// For `update`: a merge patch (RFC 7396) of the content.
    #[serde(default)]
    pub content: Option<Json>,
    /// For `update`: another recurrence; an empty text ends it.
    #[serde(default)]
    pub recurrence: Option<String>,
    /// For `update`: another time zone.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// For `update`: another time.
    #[serde(default)]
    pub due_at: Option<u64>,
}

/// What is done with a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesAction {
    /// Its items end, and nothing comes after them.
    Cancel,
    /// Its items wait to be resumed.
    Pause,
    /// Its paused items are pending again.
    Resume,
    /// See [`ChangeSeries`].
    Update,
}

/// How many items were touched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Touched {
    /// Their ids.
    pub items: Vec<String>,
}

/// Puts items into the outgoing queue of a session, all or none. Called by the worker's side. Ids as with [`Enqueue`].
///
/// Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emit {
    /// The session.
    pub session: String,
    /// 1 to 1,000 items.
    pub items: Vec<NewOut>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// An item that goes out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewOut {
    /// The caller's id; absent: a fresh ULID.
    pub id: Option<String>,
    /// What it is. Items of kind `system` are for the host itself, and never delivered.
    pub kind: String,
    /// Any JSON of at most 1 MiB.
    pub content: Option<Json>,
    /// The incoming item that it answers, by id: its address is where it goes.
    pub in_reply_to: Option<String>,
    /// Not before this time.
    pub due_at: Option<u64>,
    /// Where it goes: any JSON. Absent: to the address of what it answers, else to `destination`, else to the default of
    /// the routing.
    pub address: Option<Json>,
    /// The name of a destination of the routing.
    pub destination: Option<String>,
}

/// An item that goes out, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutItem {
    /// Its id.
    pub id: String,
    /// Its number: odd.
    pub seq: u64,
    /// See [`NewOut`].
    pub kind: String,
    /// See [`NewOut`].
    pub content: Json,
    /// See [`NewOut`].
    pub in_reply_to: Option<String>,
    /// When it was emitted.
    pub created_at: u64,
    /// Not before this time.
    pub due_at: Option<u64>,
    /// Where it goes, as of now; absent: nobody knows, and it cannot be delivered.
    pub address: Option<Json>,
    /// See [`NewOut`].
    pub destination: Option<String>,
    /// What became of it.
    #[serde(default)]
    pub delivery: Delivery,
}

/// What became of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// See [`DeliveryStatus`].
    pub status: DeliveryStatus,
    /// How often it was attempted.
    pub attempts: u32,
    /// Not again before this time.
    pub next_at: Option<u64>,
    /// The platform's id of the message.
    pub platform_id: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it ended.
    pub ended_at: Option<u64>,
}

/// What a delivery is waiting for, or how it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// To be attempted.
    #[default]
    Pending,
    /// It has arrived.
    Delivered,
    /// Given up after six attempts.
    Failed,
    /// The platform will never take it.
    Refused,
}

/// Gives what is to be delivered now, in the order of numbers: due, not ended, and behind its last attempt's delay. One that fails
/// stands in nobody's way. Called by the host's side. Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextDeliveries {
    /// The session.
    pub session: String,
    /// At most so many, 1 to 1,000; absent: 100.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Items that go out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutItems {
    /// In the order of their numbers.
    pub items: Vec<OutItem>,
}

/// Says what became of an attempt to deliver. Called by the host's side. What has ended stays as it is, so a retry is harmless.
///
/// A failed attempt is made again after 5, 15, 45, 120 and 300 s, also after a restart; the sixth failure is the last.
/// Errors: `not-found` (no such item), `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDelivery {
    /// The session.
    pub session: String,
    /// The item's id.
    pub item: String,
    /// `delivered`, `failed` (this attempt), or `refused` (for good).
    pub status: DeliveryStatus,
    /// The platform's id of the message.
    #[serde(default)]
    pub platform_id: Option<String>,
    /// What went wrong, at most 4,096 bytes.
    #[serde(default)]
    pub error: Option<String>,
}

/// One item that goes out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneOut {
    /// The item with its delivery.
    pub item: OutItem,
}

/// Lists what goes out, with what became of it: what has not ended, and what has within the last seven days. Errors:
/// `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// The session.
    pub session: String,
}

/// Finds an item of either direction by its number, which is what an agent calls it by. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindItem {
    /// The session.
    pub session: String,
    /// The number.
    pub seq: u64,
}

/// An item of either direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its id; that of the platform where it was delivered.
    pub id: String,
    /// The item, where it came in.
    pub inbound: Option<Item>,
    /// The item, where it goes out.
    pub outbound: Option<OutItem>,
}

/// Puts a question to the user of a session. One that is open is left as it is, so a retry is harmless. Called by the
/// host's side. Errors: `not-found`, `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The session.
    pub session: String,
    /// The question's id.
    pub id: String,
    /// What is asked, with its options: any JSON of at most 64 KiB.
    pub content: Json,
    /// When it lapses.
    #[serde(default)]
    pub expires_at: Option<u64>,
}

/// Answers a question: it is asked no more, and the answer is in the queue of the worker, as an item of kind `system` with the
/// content `{"type":"question_response","questionId","status":"answered","result"}`. Both or none.
///
/// Errors: `not-found` (not asked, answered before, or lapsed), `invalid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerQuestion {
    /// The session.
    pub session: String,
    /// The question's id.
    pub id: String,
    /// The answer: any JSON.
    pub answer: Json,
}

/// Lists the questions that are open. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// The session.
    pub session: String,
}

/// Open questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenQuestions {
    /// In the order of their ids.
    pub questions: Vec<Question>,
}

/// An open question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its id.
    pub id: String,
    /// What is asked.
    pub content: Json,
    /// When it was asked.
    pub created_at: u64,
    /// When it lapses.
    pub expires_at: Option<u64>,
}

// The documents. In the host's log: `item/<seq>`, `id/<id>` with its number, `done/<id>`, `delivery/<id>`, `question/<id>`,
// `seq`, the last number given. In the worker's: `claim/<id>`, `ack/<id>`, `out/<seq>`, `oid/<id>`, `seq`.

/// What an item has ended as.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    status: ItemStatus,
    /// Of its content.
    digest: String,
    at: u64,
    error: Option<String>,
    /// Where answers still go.
    address: Option<Json>,
}

/// A claim as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claim {
    worker: String,
    pub(super) at: u64,
    until: u64,
}

/// An acknowledgement as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredAck {
    status: ItemStatus,
    error: Option<String>,
    at: u64,
}

/// Keys are ordered as numbers are.
fn numbered(prefix: &str, seq: u64) -> String {
    format!("{prefix}{seq:016}")
}

/// All claims, by the ids of their items.
pub(super) fn claims(worker: &View<'_>) -> Vec<(String, Claim)> {
    worker.all("claim/")
}

fn items(host: &View<'_>) -> Vec<Item> {
    host.all("item/").into_iter().map(|(_, item)| item).collect()
}

fn check_content(content: Option<&Json>) -> Result<Json> {
    let content = content.cloned().unwrap_or_else(|| Json::minified("null".into()));
    if content.as_str().len() > CONTENT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the content has more than {CONTENT_BYTES_MAX} bytes; put files into attachments"
        )));
    }
    Ok(content)
}

fn check_kind(kind: &str) -> Result<()> {
    check_id("kind of an item", kind)
}

fn check_error(error: Option<&String>) -> Result<()> {
    if error.is_some_and(|error| error.len() > 4096) {
        return Err(Error::invalid("the error has more than 4096 bytes; give its beginning"));
    }
    Ok(())
}

fn check_count(what: &str, count: usize) -> Result<()> {
    if (1..=BATCH_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::invalid(format!("{count} {what}; give 1 to {BATCH_MAX}")))
}

fn check_time(at: Option<u64>) -> Result<()> {
    at.filter(|at| *at > NUMBER_MAX)
        .map_or(Ok(()), |_| Err(Error::invalid("the time is past 2^53 ms; give milliseconds since 1970")))
}

fn digest(kind: &str, content: &Json) -> String {
    format!("{:032x}", fingerprint(&format!("{kind}\n{}", content.as_str())))
}

/// The id under which an item is kept whose own id stands for something else.
fn derived(id: &str, digest: &str) -> String {
    let digest = digest.get(..16).unwrap_or(digest);
    let mut end = id.len().min(crate::limits::ID_BYTES_MAX - 17);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{digest}", id.get(..end).unwrap_or_default())
}

impl Operation for Enqueue {
    const NAME: &'static str = "enqueue";
    type Answer = Enqueued;
}

impl Run for Enqueue {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Enqueued> {
        check_count("items", self.items.len())?;
        for item in &self.items {
            check_kind(&item.kind)?;
            check_time(item.due_at)?;
            for (what, id) in
                [("id", &item.id), ("series", &item.series), ("source session", &item.source_session)]
            {
                id.as_ref().map_or(Ok(()), |id| check_id(what, id))?;
            }
            if let Some(recurrence) = &item.recurrence {
                Schedule::parse(recurrence, item.time_zone.as_deref())?;
            }
        }
        store.get(&self.session)?;
        let fresh = fresh_ids(store, self.items.len());
        let mut files = Extracted::default();
        let mut given = self.items;
        for item in &mut given {
            extract(store, &mut files, &mut item.content)?;
        }
        let enqueued =
            store.change(&inbox(&self.session), &write_options(None, self.durability), &mut |view| {
                let mut queue = Queue::new(view);
                files.put(&mut queue.draft, view, Direction::In)?;
                let receipts = given.iter().zip(&fresh).map(|(item, fresh)| queue.put(item, fresh));
                let items = receipts.collect::<Result<_>>()?;
                Ok((queue.draft, Enqueued { items }))
            })?;
        Ok(enqueued.unwrap_or_default())
    }
}

/// Moves the files of an item's content out, before the item is written.
fn extract<H: Host>(store: &mut Store<H>, files: &mut Extracted, content: &mut Option<Json>) -> Result<()> {
    if let Some(given) = content {
        *given = files.take(store, given)?;
    }
    check_content(content.as_ref()).map(drop)
}

fn fresh_ids<H: Host>(store: &mut Store<H>, count: usize) -> Vec<String> {
    let now = store.host_mut().now_ms();
    (0..count).map(|_| ulid_text(ulid(now, store.host_mut().random()))).collect()
}

/// The incoming queue while it is changed.
struct Queue<'a, 'v> {
    view: &'a View<'v>,
    draft: Draft,
    seq: u64,
    count: usize,
    new: BTreeMap<String, (u64, String)>,
    /// How many items of each series recur, once that was asked for.
    recurring: Option<BTreeMap<String, usize>>,
}

impl<'a, 'v> Queue<'a, 'v> {
    fn new(view: &'a View<'v>) -> Self {
        let seq = view.get("seq").unwrap_or(0);
        let count = view.table.docs("item/").count();
        Self { view, draft: Draft::default(), seq, count, new: BTreeMap::new(), recurring: None }
    }

    /// What is known of an id: its number (0: done), and the digest of its content.
    fn known(&self, id: &str) -> Option<(u64, String)> {
        if let Some(new) = self.new.get(id) {
            return Some(new.clone());
        }
        if let Some(done) = self.view.get::<Done>(&format!("done/{id}")) {
            return Some((0, done.digest));
        }
        let seq: u64 = self.view.get(&format!("id/{id}"))?;
        let item: Item = self.view.get(&numbered("item/", seq))?;
        Some((seq, digest(&item.kind, &item.content)))
    }

    fn put(&mut self, new: &NewItem, fresh: &str) -> Result<Receipt> {
        let content = check_content(new.content.as_ref())?;
        let digest = digest(&new.kind, &content);
        let mut id = new.id.clone().unwrap_or_else(|| fresh.to_owned());
        if self.known(&id).is_some_and(|(_, known)| known != digest) {
            id = derived(&id, &digest);
        }
        if let Some((seq, _)) = self.known(&id) {
            return Ok(Receipt { id, seq, repeated: true });
        }
        let series = new.series.clone().unwrap_or_else(|| id.clone());
        let item = Item {
            id,
            seq: 0,
            kind: new.kind.clone(),
            content,
            status: ItemStatus::Pending,
            created_at: self.view.now,
            wakes: new.wakes.unwrap_or(true),
            on_start: new.on_start,
            due_at: new.due_at,
            recurrence: new.recurrence.clone(),
            time_zone: new.time_zone.clone(),
            series,
            tries: 0,
            failures: 0,
            released_at: None,
            address: new.address.clone(),
            source_session: new.source_session.clone(),
        };
        self.add(item)
    }

    /// Adds an item, with the next even number.
    fn add(&mut self, item: Item) -> Result<Receipt> {
        self.count += 1;
        if self.count > ITEMS_MAX {
            return Err(Error::conflict(format!(
                "the queue holds {ITEMS_MAX} items; let its worker do some first"
            )));
        }
        self.seq = (self.seq + 2) & !1;
        let item = Item { seq: self.seq, ..item };
        self.new.insert(item.id.clone(), (item.seq, digest(&item.kind, &item.content)));
        self.draft.put("seq", &self.seq)?;
        self.draft.put(format!("id/{}", item.id), &item.seq)?;
        self.draft.put(numbered("item/", item.seq), &item)?;
        Ok(Receipt { id: item.id, seq: item.seq, repeated: false })
    }

    /// Ends an item, and puts its successor where it recurs: one record, so there is exactly one.
    fn end(
        &mut self,
        item: &Item,
        status: ItemStatus,
        error: Option<String>,
        fresh: &str,
    ) -> Result<Option<(String, ItemStatus)>> {
        self.draft.remove(numbered("item/", item.seq));
        self.draft.remove(format!("id/{}", item.id));
        let digest = digest(&item.kind, &item.content);
        self.draft.put(
            format!("done/{}", item.id),
            &Done { status, digest, at: self.view.now, error, address: item.address.clone() },
        )?;
        self.count = self.count.saturating_sub(1);
        let Some(recurrence) = &item.recurrence else { return Ok(None) };
        let view = self.view;
        let recurring = self.recurring.get_or_insert_with(|| {
            let mut recurring: BTreeMap<String, usize> = BTreeMap::new();
            for other in items(view).into_iter().filter(|other| other.recurrence.is_some()) {
                *recurring.entry(other.series).or_default() += 1;
            }
            recurring
        });
        let others = recurring.entry(item.series.clone()).or_default();
        *others = others.saturating_sub(1);
        // A series goes on once: where another item of it recurs, that one is its future.
        if status == ItemStatus::Cancelled || *others > 0 {
            return Ok(None);
        }
        *others = 1;
        let next = Schedule::parse(recurrence, item.time_zone.as_deref())
            .ok()
            .and_then(|schedule| schedule.after(self.view.now));
        let failures = if status == ItemStatus::Failed { item.failures + 1 } else { 0 };
        // 2, 4, 8 ... 60 minutes.
        let backoff = match failures {
            0 => 0,
            failures => 60_000 * (1_u64 << failures.min(6)).min(60),
        };
        let status = match next {
            Some(_) if failures < FAILURES_MAX => ItemStatus::Pending,
            // A time that never comes, or too many failures: somebody has to look.
            _ => ItemStatus::Paused,
        };
        let due_at = next.unwrap_or(self.view.now).max(self.view.now + backoff);
        let successor = Item {
            id: fresh.to_owned(),
            status,
            created_at: self.view.now,
            due_at: Some(due_at),
            tries: 0,
            failures,
            released_at: None,
            ..item.clone()
        };
        self.add(successor).map(|receipt| Some((receipt.id, status)))
    }
}

/// What the worker's log says of incoming items.
struct WorkersView {
    acks: BTreeMap<String, StoredAck>,
    claims: BTreeMap<String, Claim>,
}

impl WorkersView {
    fn read<H: Host>(store: &mut Store<H>, session: &str) -> Result<Self> {
        store.view(&outbox(session), |view| Ok(Self::of(view)))
    }

    fn of(view: &View<'_>) -> Self {
        Self { acks: view.all("ack/").into_iter().collect(), claims: claims(view).into_iter().collect() }
    }

    /// The claim that counts for an item.
    fn claim(&self, item: &Item, now: u64) -> Option<&Claim> {
        self.claims
            .get(&item.id)
            .filter(|claim| item.released_at.is_none_or(|at| claim.at >= at) && now < claim.until)
    }
}

impl Operation for NextBatch {
    const NAME: &'static str = "next_batch";
    type Answer = Items;
}

impl Run for NextBatch {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Items> {
        let limit = self.limit.unwrap_or(10) as usize;
        check_count("items", limit)?;
        check_id("name of a worker", &self.worker)?;
        check_number("a lease", self.lease_ms)?;
        store.get(&self.session)?;
        let (all, now) = store.view(&inbox(&self.session), |view| Ok((items(view), view.now)))?;
        let known: BTreeSet<&str> = all.iter().map(|item| item.id.as_str()).collect();
        let batch = store.change(&outbox(&self.session), &WriteOptions::default(), &mut |view| {
            let theirs = WorkersView::of(view);
            let mut draft = Draft::default();
            let own = |claim: &Claim| self.first && claim.worker == self.worker;
            let is_free = |item: &Item| {
                item.status == ItemStatus::Pending
                    && item.due_at.is_none_or(|due| due <= now)
                    && !theirs.acks.contains_key(&item.id)
                    && theirs.claim(item, now).is_none_or(&own)
                    && (self.first || !item.on_start)
            };
            let free: Vec<&Item> = all.iter().filter(|item| is_free(item)).collect();
            let (system, rest): (Vec<&Item>, Vec<&Item>) =
                free.into_iter().partition(|item| item.kind == "system");
            let (waking, riding): (Vec<&Item>, Vec<&Item>) = rest.into_iter().partition(|item| item.wakes);
            let mut batch: Vec<Item> = Vec::new();
            if !waking.is_empty() || system.iter().any(|item| item.wakes) {
                batch.extend(waking.iter().take(limit).map(|item| (*item).clone()));
                let room = limit - batch.len();
                batch.extend(riding.iter().rev().take(room).map(|item| (*item).clone()));
                batch.extend(system.into_iter().cloned());
            }
            batch.sort_by_key(|item| item.seq);
            for item in &mut batch {
                item.status = ItemStatus::Processing;
                let until = now.saturating_add(self.lease_ms.unwrap_or(LEASE_MS)).min(NUMBER_MAX);
                draft.put(
                    format!("claim/{}", item.id),
                    &Claim { worker: self.worker.clone(), at: now, until },
                )?;
            }
            // What the host has taken over need not be said any more; what was claimed in an earlier life is free.
            for id in theirs.acks.keys().filter(|id| !known.contains(id.as_str())) {
                draft.remove(format!("ack/{id}"));
            }
            let taken: BTreeSet<&str> = batch.iter().map(|item| item.id.as_str()).collect();
            for (id, claim) in &theirs.claims {
                if !taken.contains(id.as_str()) && (own(claim) || !known.contains(id.as_str())) {
                    draft.remove(format!("claim/{id}"));
                }
            }
            Ok((draft, Items { items: batch }))
        })?;
        Ok(batch.unwrap_or_default())
    }
}

impl Operation for Release {
    const NAME: &'static str = "release";
    type Answer = Touched;
}

impl Run for Release {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Touched> {
        store.get(&self.session)?;
        let released = store.change(&outbox(&self.session), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let claimed = |id: &&String| view.table.doc(&format!("claim/{id}")).is_some();
            let items: Vec<String> = self.items.iter().filter(claimed).cloned().collect();
            items.iter().for_each(|id| draft.remove(format!("claim/{id}")));
            Ok((draft, Touched { items }))
        })?;
        Ok(released.unwrap_or_default())
    }
}

impl Operation for Ack {
    const NAME: &'static str = "ack";
    type Answer = Acked;
}

impl Run for Ack {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Acked> {
        check_count("acks", self.acks.len())?;
        for ack in &self.acks {
            if !matches!(ack.status, ItemStatus::Completed | ItemStatus::Failed) {
                return Err(Error::invalid(
                    "an item is acknowledged as completed or failed; give one of them",
                ));
            }
            check_error(ack.error.as_ref())?;
        }
        store.get(&self.session)?;
        let (live, done) = store.view(&inbox(&self.session), |view| {
            let ids =
                |prefix| view.table.docs(prefix).map(|(id, _)| id.to_owned()).collect::<BTreeSet<String>>();
            Ok((ids("id/"), ids("done/")))
        })?;
        let options = write_options(None, self.durability);
        let acked = store.change(&outbox(&self.session), &options, &mut |view| {
            let mut draft = Draft::default();
            let mut acked = Acked::default();
            for ack in &self.acks {
                let key = format!("ack/{}", ack.id);
                let known = view.table.doc(&key).is_some() || done.contains(&ack.id);
                if known || acked.acked.contains(&ack.id) {
                    acked.unchanged.push(ack.id.clone());
                } else if live.contains(&ack.id) {
                    draft.put(
                        key,
                        &StoredAck { status: ack.status, error: ack.error.clone(), at: view.now },
                    )?;
                    draft.remove(format!("claim/{}", ack.id));
                    acked.acked.push(ack.id.clone());
                } else {
                    return Err(Error::not_found(format!(
                        "no item {} in the queue of session {}; nothing was acknowledged",
                        ack.id, self.session
                    )));
                }
            }
            Ok((draft, acked))
        })?;
        Ok(acked.unwrap_or_default())
    }
}

impl Operation for Sweep {
    const NAME: &'static str = "sweep";
    type Answer = Swept;
}

impl Run for Sweep {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Swept> {
        store.get(&self.session)?;
        let theirs = WorkersView::read(store, &self.session)?;
        let outgoing: BTreeSet<String> = store.view(&outbox(&self.session), |view| {
            Ok(view.table.docs("oid/").map(|(id, _)| id.to_owned()).collect())
        })?;
        let fresh = fresh_ids(store, theirs.acks.len() + theirs.claims.len());
        let swept = store.change(&inbox(&self.session), &WriteOptions::default(), &mut |view| {
            let mut fresh = fresh.iter();
            let mut queue = Queue::new(view);
            let mut swept = Swept::default();
            for item in items(view) {
                let ended = match (theirs.acks.get(&item.id), theirs.claims.get(&item.id)) {
                    (Some(ack), _) => Some((ack.status, ack.error.clone())),
                    (None, Some(claim))
                        if item.released_at.is_none_or(|at| claim.at >= at)
                            && (self.worker_gone || claim.until <= view.now) =>
                    {
                        if item.tries >= TRIES_MAX {
                            Some((
                                ItemStatus::Failed,
                                Some(format!("no worker has finished it in {TRIES_MAX} tries")),
                            ))
                        } else {
                            let due_at = Some(view.now + (5_000 << item.tries));
                            let again = Item {
                                tries: item.tries + 1,
                                due_at,
                                released_at: Some(claim.at + 1),
                                ..item.clone()
                            };
                            queue.draft.put(numbered("item/", item.seq), &again)?;
                            swept.retried.push(item.id.clone());
                            None
                        }
                    }
                    _ => None,
                };
                let Some((status, error)) = ended else { continue };
                let list =
                    if status == ItemStatus::Completed { &mut swept.completed } else { &mut swept.failed };
                list.push(item.id.clone());
                let fresh = fresh.next().map_or("", String::as_str);
                match queue.end(&item, status, error, fresh)? {
                    Some((id, ItemStatus::Paused)) => swept.paused.push(id),
                    Some((id, _)) => swept.spawned.push(id),
                    None => {}
                }
            }
            for (id, done) in view.all::<Done>("done/") {
                if view.now.saturating_sub(done.at) > DONE_MS {
                    queue.draft.remove(format!("done/{id}"));
                }
            }
            for (id, delivery) in view.all::<Delivery>("delivery/") {
                if delivery.ended_at.is_some() && !outgoing.contains(&id) {
                    queue.draft.remove(format!("delivery/{id}"));
                }
            }
            Ok((queue.draft, swept))
        })?;
        let mut swept = swept.unwrap_or_default();
        store.view(&inbox(&self.session), |view| {
            let waiting = items(view);
            let free = waiting.iter().filter(|item| {
                item.wakes
                    && item.status == ItemStatus::Pending
                    && theirs.claim(item, view.now).is_none()
                    && !theirs.acks.contains_key(&item.id)
            });
            let due: Vec<u64> = free.map(|item| item.due_at.unwrap_or(0)).collect();
            swept.wakes = due.iter().any(|due| *due <= view.now);
            swept.due_at = due.into_iter().filter(|due| *due > view.now).min();
            Ok(())
        })?;
        Ok(swept)
    }
}

impl Operation for Inbound {
    const NAME: &'static str = "inbound";
    type Answer = Items;
}

impl Run for Inbound {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Items> {
        store.get(&self.session)?;
        let theirs = WorkersView::read(store, &self.session)?;
        store.view(&inbox(&self.session), |view| {
            let mut all = items(view);
            all.iter_mut().for_each(|item| item.status = seen(item, &theirs, view.now));
            all.retain(|item| self.status.is_none_or(|status| item.status == status));
            Ok(Items { items: all })
        })
    }
}

/// The status of an item as both logs say.
fn seen(item: &Item, theirs: &WorkersView, now: u64) -> ItemStatus {
    match theirs.acks.get(&item.id) {
        Some(ack) => ack.status,
        None if theirs.claim(item, now).is_some() => ItemStatus::Processing,
        None => item.status,
    }
}

impl Operation for ChangeSeries {
    const NAME: &'static str = "change_series";
    type Answer = Touched;
}

impl Run for ChangeSeries {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Touched> {
        let is_update = self.action == SeriesAction::Update;
        let says = self.content.is_some()
            || self.recurrence.is_some()
            || self.time_zone.is_some()
            || self.due_at.is_some();
        if is_update != says {
            return Err(Error::invalid(
                "only `update` takes content, recurrence, time_zone and due_at, and at least one of them",
            ));
        }
        check_time(self.due_at)?;
        check_content(self.content.as_ref())?;
        store.get(&self.session)?;
        let theirs = WorkersView::read(store, &self.session)?;
        let touched = store.change(&inbox(&self.session), &WriteOptions::default(), &mut |view| {
            let mut queue = Queue::new(view);
            let mut touched = Vec::new();
            for mut item in items(view) {
                if item.id != self.target && item.series != self.target {
                    continue;
                }
                let waits =
                    matches!(seen(&item, &theirs, view.now), ItemStatus::Pending | ItemStatus::Paused);
                match self.action {
                    // A worker has it: it ends as the worker says.
                    SeriesAction::Cancel if !waits && item.recurrence.is_some() => item.recurrence = None,
                    _ if !waits => continue,
                    SeriesAction::Cancel => {
                        queue.end(&item, ItemStatus::Cancelled, None, "")?;
                        touched.push(item.id);
                        continue;
                    }
                    SeriesAction::Pause if item.status == ItemStatus::Pending => {
                        item.status = ItemStatus::Paused;
                    }
                    SeriesAction::Resume if item.status == ItemStatus::Paused => {
                        (item.status, item.failures) = (ItemStatus::Pending, 0);
                    }
                    SeriesAction::Update => self.update(&mut item)?,
                    SeriesAction::Pause | SeriesAction::Resume => continue,
                }
                queue.draft.put(numbered("item/", item.seq), &item)?;
                touched.push(item.id);
            }
            Ok((queue.draft, Touched { items: touched }))
        })?;
        Ok(touched.unwrap_or_default())
    }
}

impl ChangeSeries {
    fn update(&self, item: &mut Item) -> Result<()> {
        if let Some(patch) = &self.content {
            item.content =
                check_content(Some(&Json::minified(merge(item.content.as_str(), patch.as_str()))))?;
        }
        if let Some(recurrence) = &self.recurrence {
            item.recurrence = Some(recurrence.clone()).filter(|recurrence| !recurrence.is_empty());
        }
        if let Some(zone) = &self.time_zone {
            item.time_zone = Some(zone.clone());
        }
        if let Some(due_at) = self.due_at {
            item.due_at = Some(due_at);
        }
        match &item.recurrence {
            Some(recurrence) => Schedule::parse(recurrence, item.time_zone.as_deref()).map(drop),
            None => Ok(()),
        }
    }
}

impl Operation for Emit {
    const NAME: &'static str = "emit";
    type Answer = Enqueued;
}

impl Run for Emit {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Enqueued> {
        check_count("items", self.items.len())?;
        for item in &self.items {
            check_kind(&item.kind)?;
            check_time(item.due_at)?;
            for (what, id) in [
                ("id", &item.id),
                ("id that is answered", &item.in_reply_to),
                ("destination", &item.destination),
            ] {
                id.as_ref().map_or(Ok(()), |id| check_id(what, id))?;
            }
        }
        store.get(&self.session)?;
        let fresh = fresh_ids(store, self.items.len());
        let mut files = Extracted::default();
        let mut items = self.items;
        for item in &mut items {
            extract(store, &mut files, &mut item.content)?;
        }
        // What has ended a while ago is forgotten: its delivery was noted in the host's log.
        let (taken, old, now) = store.view(&inbox(&self.session), |view| {
            let ended = view.all::<Delivery>("delivery/").into_iter();
            let old = ended.filter(|(_, delivery)| {
                delivery.ended_at.is_some_and(|at| view.now.saturating_sub(at) > DONE_MS)
            });
            Ok((view.get::<u64>("seq").unwrap_or(0), old.map(|(id, _)| id).collect::<Vec<_>>(), view.now))
        })?;
        let emitted =
            store.change(&outbox(&self.session), &write_options(None, self.durability), &mut |view| {
                let mut draft = Draft::default();
                files.put(&mut draft, view, Direction::Out)?;
                let mut seq = view.get::<u64>("seq").unwrap_or(0).max(taken);
                let mut new: BTreeMap<String, (u64, String)> = BTreeMap::new();
                let known = |new: &BTreeMap<String, (u64, String)>, id: &str| {
                    new.get(id).cloned().or_else(|| {
                        let seq: u64 = view.get(&format!("oid/{id}"))?;
                        let item: OutItem = view.get(&numbered("out/", seq))?;
                        Some((seq, digest(&item.kind, &item.content)))
                    })
                };
                let mut receipts = Vec::new();
                for (given, fresh) in items.iter().zip(&fresh) {
                    let content = check_content(given.content.as_ref())?;
                    let digest = digest(&given.kind, &content);
                    let mut id = given.id.clone().unwrap_or_else(|| fresh.clone());
                    if known(&new, &id).is_some_and(|(_, other)| other != digest) {
                        id = derived(&id, &digest);
                    }
                    if let Some((seq, _)) = known(&new, &id) {
                        receipts.push(Receipt { id, seq, repeated: true });
                        continue;
                    }
                    seq = (seq + 1) | 1;
                    let item = OutItem {
                        id: id.clone(),
                        seq,
                        kind: given.kind.clone(),
                        content,
                        in_reply_to: given.in_reply_to.clone(),
                        created_at: now,
                        due_at: given.due_at,
                        address: given.address.clone(),
                        destination: given.destination.clone(),
                        delivery: Delivery::default(),
                    };
                    draft.put(numbered("out/", seq), &item)?;
                    draft.put(format!("oid/{id}"), &seq)?;
                    new.insert(id.clone(), (seq, digest));
                    receipts.push(Receipt { id, seq, repeated: false });
                }
                if !new.is_empty() {
                    draft.put("seq", &seq)?;
                    for id in &old {
                        if let Some(seq) = view.get::<u64>(&format!("oid/{id}")) {
                            draft.remove(numbered("out/", seq));
                            draft.remove(format!("oid/{id}"));
                        }
                    }
                }
                if view.table.docs("out/").count() + new.len() > ITEMS_MAX + old.len() {
                    return Err(Error::conflict(format!(
                        "{ITEMS_MAX} items wait to be delivered; let the host deliver some"
                    )));
                }
                Ok((draft, Enqueued { items: receipts }))
            })?;
        Ok(emitted.unwrap_or_default())
    }
}

/// All that goes out, with where it goes and what became of it.
fn outgoing<H: Host>(store: &mut Store<H>, session: &str) -> Result<(Vec<OutItem>, u64)> {
    let mut all: Vec<OutItem> = store
        .view(&outbox(session), |view| Ok(view.all("out/").into_iter().map(|(_, item)| item).collect()))?;
    let now = store.view(&inbox(session), |view| {
        let routing = routing(view);
        for item in &mut all {
            item.delivery = view.get(&format!("delivery/{}", item.id)).unwrap_or_default();
            if item.address.is_none() {
                let answered = item.in_reply_to.as_ref().and_then(|id| {
                    let answered: Option<u64> = view.get(&format!("id/{id}"));
                    let live = answered.and_then(|seq| view.get::<Item>(&numbered("item/", seq))?.address);
                    live.or_else(|| view.get::<Done>(&format!("done/{id}"))?.address)
                });
                let named =
                    item.destination.as_ref().and_then(|name| routing.destinations.get(name).cloned());
                // A destination that is not there is nobody's default.
                let default = routing.default.clone().filter(|_| item.destination.is_none());
                item.address = answered.or(named).or(default);
            }
        }
        Ok(view.now)
    })?;
    Ok((all, now))
}

impl Operation for NextDeliveries {
    const NAME: &'static str = "next_deliveries";
    type Answer = OutItems;
}

impl Run for NextDeliveries {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OutItems> {
        let limit = self.limit.unwrap_or(100) as usize;
        check_count("items", limit)?;
        store.get(&self.session)?;
        let (mut all, now) = outgoing(store, &self.session)?;
        all.retain(|item| {
            item.kind != "system"
                && item.delivery.status == DeliveryStatus::Pending
                && item.due_at.is_none_or(|due| due <= now)
                && item.delivery.next_at.is_none_or(|next| next <= now)
        });
        all.truncate(limit);
        Ok(OutItems { items: all })
    }
}

impl Operation for Outbound {
    const NAME: &'static str = "outbound";
    type Answer = OutItems;
}

impl Run for Outbound {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OutItems> {
        store.get(&self.session)?;
        outgoing(store, &self.session).map(|(items, _)| OutItems { items })
    }
}

impl Operation for RecordDelivery {
    const NAME: &'static str = "record_delivery";
    type Answer = OneOut;
}

impl Run for RecordDelivery {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OneOut> {
        if self.status == DeliveryStatus::Pending {
            return Err(Error::invalid(
                "a delivery is recorded as delivered, failed or refused; give one of them",
            ));
        }
        check_error(self.error.as_ref())?;
        self.platform_id.as_ref().map_or(Ok(()), |id| check_id("platform's id", id))?;
        store.get(&self.session)?;
        let missing =
            || Error::not_found(format!("no item {} goes out from session {}", self.item, self.session));
        let is_there = |(all, _): (Vec<OutItem>, u64)| all.into_iter().find(|item| item.id == self.item);
        outgoing(store, &self.session).map(is_there)?.ok_or_else(missing)?;
        let key = format!("delivery/{}", self.item);
        store.change(&inbox(&self.session), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let mut delivery: Delivery = view.get(&key).unwrap_or_default();
            if delivery.status != DeliveryStatus::Pending {
                return Ok((draft, ()));
            }
            delivery.attempts += 1;
            delivery.error.clone_from(&self.error);
            delivery.platform_id.clone_from(&self.platform_id);
            let attempts = delivery.attempts as usize;
            if self.status == DeliveryStatus::Failed && attempts < ATTEMPTS_MAX {
                let delay = DELIVERY_BACKOFF_MS.get(attempts - 1).copied().unwrap_or(300_000);
                delivery.next_at = Some(view.now + delay);
            } else {
                (delivery.status, delivery.ended_at, delivery.next_at) = (self.status, Some(view.now), None);
            }
            draft.put(&key, &delivery)?;
            Ok((draft, ()))
        })?;
        let item = outgoing(store, &self.session).map(is_there)?.ok_or_else(missing)?;
        Ok(OneOut { item })
    }
}

impl Operation for FindItem {
    const NAME: &'static str = "find_item";
    type Answer = Found;
}

impl Run for FindItem {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Found> {
        let inbound = Inbound { session: self.session.clone(), status: None }.run(store)?.items;
        if let Some(item) = inbound.into_iter().find(|item| item.seq == self.seq) {
            return Ok(Found { id: item.id.clone(), inbound: Some(item), outbound: None });
        }
        let (outbound, _) = outgoing(store, &self.session)?;
        match outbound.into_iter().find(|item| item.seq == self.seq) {
            Some(item) => {
                let id = item.delivery.platform_id.clone().unwrap_or_else(|| item.id.clone());
                Ok(Found { id, inbound: None, outbound: Some(item) })
            }
            None => Err(Error::not_found(format!(
                "no item {} in session {}; it may have ended",
                self.seq, self.session
            ))),
        }
    }
}

impl Operation for Ask {
    const NAME: &'static str = "ask";
    type Answer = OpenQuestions;
}

impl Run for Ask {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OpenQuestions> {
        check_id("question's id", &self.id)?;
        check_time(self.expires_at)?;
        if self.content.as_str().len() > crate::limits::METADATA_BYTES_MAX {
            return Err(Error::invalid("the question has more than 64 KiB; shorten it"));
        }
        store.get(&self.session)?;
        let key = format!("question/{}", self.id);
        store.change(&inbox(&self.session), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let known: Option<Question> = view.get(&key);
            if !known.is_some_and(|question| is_open(&question, view.now)) {
                let (id, content) = (self.id.clone(), self.content.clone());
                draft.put(
                    &key,
                    &Question { id, content, created_at: view.now, expires_at: self.expires_at },
                )?;
            }
            // Those that have lapsed are nobody's any more.
            for (id, question) in view.all::<Question>("question/") {
                if !is_open(&question, view.now) && id != self.id {
                    draft.remove(format!("question/{id}"));
                }
            }
            Ok((draft, ()))
        })?;
        Questions { session: self.session }.run(store)
    }
}

fn is_open(question: &Question, now: u64) -> bool {
    question.expires_at.is_none_or(|expires| now < expires)
}

impl Operation for AnswerQuestion {
    const NAME: &'static str = "answer_question";
    type Answer = Enqueued;
}

impl Run for AnswerQuestion {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Enqueued> {
        store.get(&self.session)?;
        let fresh = fresh_ids(store, 1).pop().unwrap_or_default();
        let content = crate::json::object([
            ("type", "\"question_response\""),
            ("questionId", crate::json::quote(&self.id).as_str()),
            ("status", "\"answered\""),
            ("result", self.answer.as_str()),
        ]);
        let item = NewItem {
            kind: "system".into(),
            content: Some(check_content(Some(&Json::minified(content)))?),
            ..NewItem::default()
        };
        let answered = store.change(&inbox(&self.session), &WriteOptions::default(), &mut |view| {
            let question: Option<Question> = view.get(&format!("question/{}", self.id));
            if !question.is_some_and(|question| is_open(&question, view.now)) {
                return Err(Error::not_found(format!(
                    "question {} of session {} is not open; it was answered, or it has lapsed",
                    self.id, self.session
                )));
            }
            let mut queue = Queue::new(view);
            queue.draft.remove(format!("question/{}", self.id));
            let receipt = queue.put(&item, &fresh)?;
            Ok((queue.draft, Enqueued { items: vec![receipt] }))
        })?;
        Ok(answered.unwrap_or_default())
    }
}

impl Operation for Questions {
    const NAME: &'static str = "questions";
    type Answer = OpenQuestions;
}

impl Run for Questions {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<OpenQuestions> {
        store.get(&self.session)?;
        store.view(&inbox(&self.session), |view| {
            let all = view.all::<Question>("question/").into_iter().map(|(_, question)| question);
            Ok(OpenQuestions { questions: all.filter(|question| is_open(question, view.now)).collect() })
        })
    }
}
