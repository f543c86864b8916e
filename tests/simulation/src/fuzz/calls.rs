//! Any calls with any arguments: every function of the interface, on the core alone or on the component beside it.

use std::fmt::Debug;

use arbitrary::{Result as Drawn, Unstructured};
use sessile_core::operations::NAMES;
use sessile_core::{
    Durability, ForkOptions, ListQuery, MessageChange, MessageRef, NewSession, OpenOptions, Result, Select,
    SessionPatch, Sessions, Status, Store, WriteOptions,
};

use super::typed;
use crate::sim::{Disk, SimDisk, SimHost};

/// The most calls of one input.
const CALLS_MAX: usize = 32;
/// Ids that are often there.
const IDS: [&str; 4] = ["a", "b", "01JD0000000000000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"];
/// Numbers at which something changes.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 3, 4, 100, 10_000, u32::MAX as u64, (1 << 53) - 1, 1 << 53, i64::MAX as u64, u64::MAX];
/// JSON that is taken somewhere, and some that is taken nowhere.
const TEXTS: [&str; 14] = [
    r#"[{"role":"user","parts":[{"type":"text","text":"one"}]}]"#,
    r#"[{"role":"assistant","id":"m","parts":[],"status":"streaming"},{"role":"tool","parts":[{"type":"opaque","data":1e400}]}]"#,
    r#"[{"type":"text","text":"part"}]"#,
    r#"{"status":"completed","usage":{"in":1}}"#,
    r#"{"session":"a"}"#,
    r#"{"session":"a","add":{"n":1.5}}"#,
    r#"{"session":"a","items":[{"id":"i","kind":"chat","content":{"x":1}}]}"#,
    r#"{"session":"a","run":"r","ttl_ms":1000}"#,
    r#"{"policy":{"max_age_ms":1}}"#,
    r#"{"format":"claude-code","name":"s","data":"e30="}"#,
    "{}",
    "[]",
    "\"\\ud800\"",
    "{\"a\":1,\"a\":2}",
];

/// On the native core: no panic, typed errors.
pub fn native(data: &[u8]) {
    let disk = SimDisk::new(Disk::default());
    let mut store = Store::open(SimHost::new(&disk, 1), OpenOptions::default()).expect("a new store");
    let mut input = Unstructured::new(data);
    for _ in 0..CALLS_MAX {
        if input.is_empty() || call(&mut store, &mut input).is_err() {
            break;
        }
    }
}

/// The same calls on the native core and on another implementation: equal answers, and equal bytes on the disk.
///
/// This is what the target `component` does, with the component under wasmtime: a trap would be an internal error.
pub fn differential<S: Sessions>(data: &[u8], open: impl FnOnce(SimHost) -> Result<S>) {
    let disks = [SimDisk::new(Disk::default()), SimDisk::new(Disk::default())];
    let mut native = Store::open(SimHost::new(&disks[0], 1), OpenOptions::default()).expect("a new store");
    let mut other = open(SimHost::new(&disks[1], 1)).expect("a new store");
    let (mut input, mut again) = (Unstructured::new(data), Unstructured::new(data));
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            break;
        }
        let (ours, theirs) = (call(&mut native, &mut input), call(&mut other, &mut again));
        assert_eq!(theirs.ok(), ours.ok());
    }
    assert!(disks[0].disk().same_bytes(&disks[1].disk()), "the bytes differ");
}

/// Draws a call and makes it. Returns its name and what it answered, as text.
fn call(store: &mut impl Sessions, input: &mut Unstructured<'_>) -> Drawn<String> {
    let which = input.int_in_range(0..=23_u8)?;
    let id = &text(input, &IDS)?;
    Ok(match which {
        0 => told("create", store.create(&new(input)?)),
        1 => told("get", store.get(id)),
        2 => told("update", store.update(id, &patch(input)?, &options(input)?)),
        3 => told("touch", store.touch(id)),
        4 => told("trash", store.trash(id)),
        5 => told("restore", store.restore(id)),
        6 => told("purge", store.purge(id)),
        7 | 8 => told("append", store.append(id, &text(input, &TEXTS)?, &options(input)?)),
        9 => {
            let (message, change) = (message(input)?, change(input)?);
            told("update_message", store.update_message(id, &message, &change, &options(input)?))
        }
        10 => told("sync", store.sync(id)),
        11 => told("read", store.read(id, &select(input)?)),
        12 => told("fork", store.fork(id, &fork(input)?)),
        13 => told("detach", store.detach(id)),
        14 => told("compact", store.compact(id)),
        15 => told("revert", store.revert(id, &message(input)?, input.arbitrary()?, &options(input)?)),
        16 => told("unrevert", store.unrevert(id, &options(input)?)),
        17 => told("switch", store.switch(id, &message(input)?, &options(input)?)),
        18 => told("branches", store.branches(id)),
        19 => told("list", store.list(&query(input)?)),
        20 => told("resolve", store.resolve(id, optional(input, &["", "x"])?.as_deref())),
        21 => told("doctor", store.doctor(input.arbitrary()?)),
        22 => told("operate", store.operate(&text(input, NAMES)?, &text(input, &TEXTS)?)),
        _ => told("close", store.close()),
    })
}

fn told<T: Debug>(name: &str, result: Result<T>) -> String {
    let told = format!("{name}: {result:?}");
    typed(result);
    told
}

/// One of the given, mostly, or any text.
fn text(input: &mut Unstructured<'_>, given: &[&str]) -> Drawn<String> {
    let which = usize::from(input.arbitrary::<u8>()?);
    match given.get(which % (given.len() + 1)) {
        Some(text) => Ok((*text).to_owned()),
        None => Ok(input.arbitrary::<&str>()?.to_owned()),
    }
}

fn optional(input: &mut Unstructured<'_>, given: &[&str]) -> Drawn<Option<String>> {
    if input.arbitrary()? { text(input, given).map(Some) } else { Ok(None) }
}

fn number(input: &mut Unstructured<'_>) -> Drawn<u64> {
    let which = usize::from(input.arbitrary::<u8>()?);
    NUMBERS.get(which % (NUMBERS.len() + 1)).copied().map_or_else(|| input.arbitrary(), Ok)
}

/// A number as wide as a page's limit.
fn limit(input: &mut Unstructured<'_>) -> Drawn<u32> {
    number(input).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn message(input: &mut Unstructured<'_>) -> Drawn<MessageRef> {
    if input.ratio(3, 4)? {
        number(input).map(MessageRef::Seq)
    } else {
        text(input, &["m", "x"]).map(MessageRef::Id)
    }
}

fn options(input: &mut Unstructured<'_>) -> Drawn<WriteOptions> {
    if input.ratio(1, 2)? {
        return Ok(WriteOptions::default());
    }
    Ok(WriteOptions {
        durability: if input.arbitrary()? { Durability::Synced } else { Durability::Buffered },
        expect_head: input.arbitrary::<bool>()?.then(|| number(input)).transpose()?,
        op: optional(input, &["op", "op 2", ""])?,
        at: input.arbitrary::<bool>()?.then(|| number(input)).transpose()?,
    })
}

fn new(input: &mut Unstructured<'_>) -> Drawn<NewSession> {
    let id = optional(input, &IDS)?;
    if input.ratio(1, 2)? {
        return Ok(NewSession { id, ..NewSession::default() });
    }
    Ok(NewSession {
        id,
        scope: text(input, &["", "x"])?,
        title: optional(input, &["title"])?,
        title_manual: input.arbitrary()?,
        agent: optional(input, &["agent"])?,
        provider: optional(input, &["provider"])?,
        model: optional(input, &["model"])?,
        status: status(input)?,
        parent: optional(input, &IDS)?,
        tags: if input.arbitrary()? { vec![text(input, &["tag"])?; 2] } else { Vec::new() },
        metadata: optional(input, &TEXTS)?,
        created_at: input.arbitrary::<bool>()?.then(|| number(input)).transpose()?,
    })
}

fn status(input: &mut Unstructured<'_>) -> Drawn<Status> {
    input.choose(&[Status::Active, Status::Running, Status::Done, Status::Interrupted]).copied()
}

fn patch(input: &mut Unstructured<'_>) -> Drawn<SessionPatch> {
    Ok(SessionPatch {
        scope: optional(input, &["", "x"])?,
        title: input.arbitrary::<bool>()?.then(|| optional(input, &["new title"])).transpose()?,
        tags: input.arbitrary::<bool>()?.then(|| text(input, &["tag"]).map(|tag| vec![tag])).transpose()?,
        metadata: input.arbitrary::<bool>()?.then(|| optional(input, &TEXTS)).transpose()?,
        status: input.arbitrary::<bool>()?.then(|| status(input)).transpose()?,
        ..SessionPatch::default()
    })
}

fn change(input: &mut Unstructured<'_>) -> Drawn<MessageChange> {
    Ok(match input.int_in_range(0..=2_u8)? {
        0 => MessageChange::Patch(text(input, &TEXTS)?),
        1 => MessageChange::AddParts(text(input, &TEXTS)?),
        _ => MessageChange::AddText {
            part: number(input)?,
            text: text(input, &["more", "\u{1F600}\"\\"])?,
            at: input.arbitrary::<bool>()?.then(|| number(input)).transpose()?,
        },
    })
}

fn select(input: &mut Unstructured<'_>) -> Drawn<Select> {
    Ok(match input.int_in_range(0..=2_u8)? {
        0 => Select::Last(limit(input)?),
        1 => Select::From { seq: number(input)?, limit: limit(input)? },
        _ => Select::Cursor { cursor: text(input, &["1", ""])?, limit: limit(input)? },
    })
}

fn fork(input: &mut Unstructured<'_>) -> Drawn<ForkOptions> {
    Ok(ForkOptions {
        at: input.arbitrary::<bool>()?.then(|| message(input)).transpose()?,
        id: optional(input, &IDS)?,
        title: optional(input, &["fork"])?,
    })
}

fn query(input: &mut Unstructured<'_>) -> Drawn<ListQuery> {
    Ok(ListQuery {
        scope: optional(input, &["", "x"])?,
        trashed: input.arbitrary()?,
        cursor: optional(input, &["1-a", "0-"])?,
        limit: limit(input)?,
    })
}
