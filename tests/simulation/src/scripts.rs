//! The scripts whose every crash is visited: all operations, alone and two at once, and the stores they begin with.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::needless_pass_by_value,
    missing_docs,
    reason = "a testkit: it stops at the first surprise, and its operations are described where they are defined"
)]

use sessile_core::{Durability, NewSession, SessionPatch, WriteOptions};

use crate::explore::{Act, Base, Script, prepare};
use crate::model::{Model, Op};
use crate::sim::Disk;

// Operations in few words. Sessions are `a`, its fork `b` and what a script makes.

pub fn message(text: &str) -> String {
    format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{text}"}}],"n":1.50}}"#)
}

pub fn synced() -> WriteOptions {
    WriteOptions::default()
}

pub fn buffered() -> WriteOptions {
    WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() }
}

pub fn named(op: &str) -> WriteOptions {
    WriteOptions { op: Some(op.to_owned()), ..WriteOptions::default() }
}

fn expecting(head: u64) -> WriteOptions {
    WriteOptions { expect_head: Some(head), ..WriteOptions::default() }
}

pub fn create(id: &str) -> Op {
    let metadata = Some(r#"{"a":{"b":1.50}}"#.to_owned());
    Op::Create(NewSession {
        id: Some(id.to_owned()),
        title: Some("title".to_owned()),
        metadata,
        ..NewSession::default()
    })
}

pub fn append(id: &str, text: &str, options: WriteOptions) -> Op {
    Op::Append(id.to_owned(), vec![message(text)], options)
}

fn text(id: &str, seq: u64, part: u64, text: &str, options: WriteOptions) -> Op {
    Op::Text(id.to_owned(), seq, part, text.to_owned(), None, options)
}

fn patch(id: &str, seq: u64, options: WriteOptions) -> Op {
    Op::Patch(id.to_owned(), seq, r#"{"status":"completed","usage":{"in":7}}"#.to_owned(), options)
}

fn parts(id: &str, seq: u64) -> Op {
    Op::Parts(id.to_owned(), seq, r#"[{"type":"opaque","data":null}]"#.to_owned(), synced())
}

fn facts(id: &str, title: &str, options: WriteOptions) -> Op {
    let title = Some(Some(title.to_owned()));
    Op::Facts(
        id.to_owned(),
        SessionPatch { title, tags: Some(vec!["x".into()]), ..SessionPatch::default() },
        options,
    )
}

pub fn revert(id: &str, to: u64, inclusive: bool) -> Op {
    Op::Revert(id.to_owned(), to, inclusive, synced())
}

fn unrevert(id: &str) -> Op {
    Op::Unrevert(id.to_owned(), synced())
}

fn switch(id: &str, to: u64) -> Op {
    Op::Switch(id.to_owned(), to, synced())
}

pub fn fork(id: &str, child: &str, at: Option<u64>) -> Op {
    Op::Fork(id.to_owned(), child.to_owned(), at)
}

pub fn on(make: fn(String) -> Op, id: &str) -> Op {
    make(id.to_owned())
}

/// One process, one operation after another.
pub fn alone(process: u64, ops: Vec<Op>) -> Vec<Act> {
    ops.into_iter().map(|op| Act::Do(process, op)).collect()
}

/// Two processes, one operation each at once, their calls in some orders: in turn, and the second one's as a whole
/// behind so many of the first one's. `pairs.rs` has all orders, without crashes.
fn races(name: &'static str, before: Vec<Op>, one: Op, other: Op) -> Vec<Script> {
    let behind = |calls: usize| [vec![1; calls], vec![2; 200]].concat();
    let schedules = [[1, 2].repeat(100), behind(1), behind(3), behind(6)];
    let script = |(place, schedule): (usize, Vec<u64>)| {
        let mut acts = alone(1, before.clone());
        // Both know the session already, in one of the orders only the second one.
        if place > 0 {
            acts.push(Act::Do(1, on(Op::Touch, "a")));
        }
        acts.push(Act::Do(2, on(Op::Touch, "a")));
        let skip = acts.len();
        acts.push(Act::Race(vec![(1, one.clone()), (2, other.clone())], schedule));
        Script { skip, every: 1 + 2 * place, ..Script::new(name, acts) }
    };
    schedules.into_iter().enumerate().map(script).collect()
}

/// Each needs a session `a` with four messages or more and its fork `b`.
pub fn scripts() -> Vec<Script> {
    let script = |name, ops| Script::new(name, alone(1, ops));
    let a = "a";
    let mut scripts = vec![
        script("append synced", vec![append(a, "one", synced()), append(a, "two", synced())]),
        script(
            "append a batch",
            vec![Op::Append(a.into(), vec![message("1"), message("2"), message("3")], named("batch"))],
        ),
        script(
            "append buffered",
            vec![append(a, "1", buffered()), append(a, "2", buffered()), append(a, "3", buffered())],
        ),
        script(
            "append buffered, then synced",
            vec![append(a, "1", buffered()), append(a, "2", synced()), append(a, "3", buffered())],
        ),
        script(
            "append buffered, then sync",
            vec![append(a, "1", buffered()), on(Op::Sync, a), append(a, "2", buffered())],
        ),
        script(
            "append named",
            vec![append(a, "1", named("x")), append(a, "1", named("x")), append(a, "2", named("y"))],
        ),
        script(
            "append where the head is expected",
            vec![append(a, "1", expecting(99)), append("new", "1", synced())],
        ),
        script("append characters of many bytes", vec![append(a, "é\u{20ac}\u{1F600}\u{2028}", named("x"))]),
        script("append more than a sector", vec![append(a, &"x".repeat(1500), named("x"))]),
        script("append more than is cut at every byte", vec![append(a, &"y".repeat(9000), synced())]),
        script(
            "append to two sessions, buffered",
            vec![append(a, "1", buffered()), append("b", "1", buffered()), append(a, "2", buffered())],
        ),
        script(
            "stream a text",
            vec![
                append(a, "", synced()),
                text(a, 7, 0, "Hel", buffered()),
                text(a, 7, 0, "lo", buffered()),
                text(a, 7, 0, "!", synced()),
            ],
        ),
        script(
            "stream texts of two parts",
            vec![
                text(a, 2, 0, "é", synced()),
                text(a, 2, 1, "new part", synced()),
                text(a, 2, 1, " and more", buffered()),
            ],
        ),
        script("patch", vec![patch(a, 1, synced()), patch("b", 1, buffered()), patch(a, 4, named("p"))]),
        script("add parts", vec![parts(a, 1), parts("b", 2)]),
        script(
            "change facts",
            vec![facts(a, "one", synced()), facts(a, "two", buffered()), on(Op::Touch, a)],
        ),
        script("create", vec![create("new"), append("new", "1", synced())]),
        script(
            "create, all buffered behind it",
            vec![create("new"), append("new", "1", buffered()), text("new", 1, 0, "2", buffered())],
        ),
        script(
            "fork at the head",
            vec![fork(a, "c", None), append("c", "1", synced()), append(a, "2", synced())],
        ),
        script("fork in the middle", vec![fork(a, "c", Some(2)), append("c", "1", synced())]),
        script(
            "fork a fork",
            vec![fork("b", "c", None), fork("c", "d", Some(1)), append("d", "1", synced())],
        ),
        script(
            "fork a hidden branch",
            vec![revert(a, 2, false), append(a, "1", synced()), fork(a, "c", Some(3))],
        ),
        script(
            "fork what is buffered",
            vec![append(a, "1", buffered()), fork(a, "c", None), append(a, "2", buffered())],
        ),
        script(
            "change a fork and fork it",
            vec![patch("b", 1, synced()), fork("b", "c", None), text("c", 1, 0, "c", synced())],
        ),
        script("revert", vec![revert(a, 2, false), append(a, "1", synced())]),
        script("revert inclusive and back", vec![revert(a, 2, true), unrevert(a), append(a, "1", synced())]),
        script("revert to nothing", vec![revert(a, 1, true), append(a, "1", synced())]),
        script("revert twice and back", vec![revert(a, 3, false), revert(a, 1, false), unrevert(a)]),
        script(
            "revert a fork into its parent's messages",
            vec![revert("b", 1, false), append("b", "1", synced()), unrevert(a)],
        ),
        script("switch", vec![revert(a, 2, false), append(a, "1", synced()), switch(a, 4), switch(a, 1)]),
        script("trash", vec![on(Op::Trash, a), on(Op::Trash, a), append(a, "1", synced())]),
        script("trash and restore", vec![on(Op::Trash, a), on(Op::Restore, a), append(a, "1", synced())]),
        script(
            "trash and purge a parent",
            vec![on(Op::Trash, a), on(Op::Purge, a), append("b", "1", synced())],
        ),
        script(
            "trash and purge a fork",
            vec![on(Op::Trash, "b"), on(Op::Purge, "b"), append(a, "1", synced())],
        ),
        script(
            "purge parent and fork",
            vec![on(Op::Trash, a), on(Op::Purge, a), on(Op::Trash, "b"), on(Op::Purge, "b")],
        ),
        script(
            "purge and create anew",
            vec![create("new"), on(Op::Trash, "new"), on(Op::Purge, "new"), create("new")],
        ),
        script(
            "compact a parent",
            vec![on(Op::Compact, a), append(a, "1", synced()), append("b", "1", synced())],
        ),
        script(
            "compact a fork",
            vec![patch("b", 1, synced()), on(Op::Compact, "b"), append("b", "1", synced())],
        ),
        script(
            "compact twice",
            vec![
                create("new"),
                append("new", "1", named("x")),
                on(Op::Compact, "new"),
                on(Op::Compact, "new"),
                append("new", "1", named("x")),
            ],
        ),
        script(
            "compact what is buffered",
            vec![append(a, "1", buffered()), on(Op::Compact, a), append(a, "2", buffered())],
        ),
        script(
            "compact with a hidden branch",
            vec![
                revert(a, 2, false),
                append(a, "1", synced()),
                revert(a, 1, false),
                on(Op::Compact, a),
                unrevert(a),
            ],
        ),
        script("compact in the trash", vec![on(Op::Trash, a), on(Op::Compact, a), on(Op::Restore, a)]),
        script("detach", vec![on(Op::Detach, "b"), append("b", "1", synced()), append(a, "1", synced())]),
        script(
            "detach and purge the parent",
            vec![on(Op::Detach, "b"), on(Op::Trash, a), on(Op::Purge, a), append("b", "1", synced())],
        ),
        script(
            "purge the parent and detach",
            vec![on(Op::Trash, a), on(Op::Purge, a), on(Op::Detach, "b"), append("b", "1", synced())],
        ),
    ];
    let then = |process, op| Act::Do(process, op);
    scripts.push(Script::new(
        "close and open again",
        vec![
            then(1, append(a, "1", buffered())),
            Act::Close(1),
            then(1, append(a, "2", synced())),
            Act::Close(1),
        ],
    ));
    scripts.push(Script::new(
        "another process closes later",
        vec![
            then(1, append(a, "1", synced())),
            then(2, append(a, "2", buffered())),
            Act::Close(1),
            Act::Close(2),
        ],
    ));
    scripts.push(Script::new(
        "two processes in turn",
        vec![
            then(1, append(a, "1", synced())),
            then(2, append(a, "2", buffered())),
            then(1, on(Op::Compact, a)),
            then(2, append(a, "3", named("x"))),
            then(1, append(a, "3", named("x"))),
            then(2, text(a, 1, 0, "t", synced())),
        ],
    ));
    let named_append = |text| append(a, text, named(text));
    scripts.extend(races("race: append, append", vec![], named_append("1"), append(a, "2", synced())));
    scripts.extend(races("race: the same named append", vec![], named_append("1"), named_append("1")));
    scripts.extend(races("race: append, revert", vec![], append(a, "1", synced()), revert(a, 2, false)));
    scripts.extend(races(
        "race: append, append where the head is expected",
        vec![],
        append(a, "1", synced()),
        append(a, "2", expecting(6)),
    ));
    scripts.extend(races("race: append, compact", vec![], append(a, "1", synced()), on(Op::Compact, a)));
    scripts.extend(races("race: compact, compact", vec![], on(Op::Compact, a), on(Op::Compact, a)));
    scripts.extend(races(
        "race: text, text",
        vec![],
        text(a, 1, 0, "1", synced()),
        text(a, 1, 0, "2", synced()),
    ));
    scripts.extend(races("race: text, compact", vec![], text(a, 1, 0, "1", synced()), on(Op::Compact, a)));
    scripts.extend(races("race: fork, append", vec![], fork(a, "c", None), append(a, "1", synced())));
    scripts.extend(races("race: fork, compact", vec![], fork(a, "c", None), on(Op::Compact, a)));
    // Not here: a fork whose process is killed between making the child and looking at a parent that is purged at
    // that moment. Nobody was told of the child, but it stays, and its messages cannot be read (docs/durability.md).
    scripts.extend(races("race: append, trash", vec![], append(a, "1", synced()), on(Op::Trash, a)));
    scripts.extend(races(
        "race: restore, purge",
        vec![on(Op::Trash, a)],
        on(Op::Restore, a),
        on(Op::Purge, a),
    ));
    scripts.extend(races("race: detach, append", vec![], on(Op::Detach, "b"), append("b", "1", synced())));
    scripts.extend(races(
        "race: detach, purge the parent",
        vec![on(Op::Trash, a)],
        on(Op::Detach, "b"),
        on(Op::Purge, a),
    ));
    scripts.extend(races("race: create, create", vec![], create("new"), create("new")));
    scripts
}

/// What every store but an empty one begins with: `a` with six messages, of which the fork `b` has four.
pub fn history() -> Vec<Act> {
    let mut acts = alone(
        50,
        vec![
            create("a"),
            append("a", "1", synced()),
            append("a", "2", synced()),
            append("a", "3", synced()),
            append("a", "4", synced()),
            fork("a", "b", None),
            append("b", "5", synced()),
            append("a", "5", buffered()),
            append("a", "6", synced()),
        ],
    );
    acts.push(Act::Close(50));
    acts
}

/// The path of a session's log.
fn log_of(disk: &Disk, id: &str) -> String {
    let is_its = |path: &&str| {
        disk.bytes(path)
            .is_some_and(|bytes| String::from_utf8_lossy(bytes).contains(&format!("\"session\":\"{id}\"")))
    };
    disk.paths().filter(|path| path.starts_with("sessions/")).find(is_its).unwrap_or_default().to_owned()
}

/// A store whose writer died and left `tail` at the end of the log of `a`.
fn with_tail(name: &'static str, tail: impl Fn(&[u8]) -> Vec<u8>) -> Base {
    let mut acts = history();
    acts.pop();
    let mut base = prepare(name, acts).unwrap();
    let path = log_of(&base.disk, "a");
    let bytes = base.disk.bytes(&path).unwrap().to_vec();
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let tail = tail(&bytes[last..]);
    base.disk.put(&path, [bytes, tail].concat());
    Base { damaged: true, ..base }
}

pub fn bases() -> Vec<Base> {
    vec![
        prepare("with a history", history()).unwrap(),
        with_tail("with a torn record at the end", |record| record[..record.len() * 2 / 3].to_vec()),
        with_tail("with NULs at the end", |_| vec![0; 100]),
    ]
}

/// A log that is due for a checkpoint, behind a revert that can be undone or not.
fn before_a_checkpoint(reverted: bool) -> Base {
    let mut acts = history();
    acts.pop();
    // One is due at 256 records; the history has six, the append and the revert are two more.
    let touches = if reverted { 248 } else { 249 };
    acts.extend((0..touches).map(|_| Act::Do(50, on(Op::Touch, "a"))));
    acts.extend([Act::Do(50, append("a", "7", named("seven")))]);
    acts.extend(reverted.then(|| Act::Do(50, revert("a", 3, false))));
    acts.push(Act::Close(50));
    prepare("before a checkpoint", acts).unwrap()
}

/// A store that does not exist yet: opening it and its first sessions are part of the script.
fn from_nothing(script: &Script, skip: bool) -> (Base, Script) {
    let base = Base { name: "from nothing", disk: Disk::default(), model: Model::default(), damaged: false };
    let beginning = history().into_iter().filter_map(|act| match act {
        Act::Do(_, op) => Some(Act::Do(1, op)),
        _ => None,
    });
    let beginning: Vec<Act> = beginning.collect();
    let skip = if skip { beginning.len() + script.skip } else { 0 };
    (base, Script { acts: [beginning, script.acts.clone()].concat(), skip, ..script.clone() })
}

/// What is visited: every script on every store, thoroughly on the first and here and there on the others.
/// `wanted` is a part of the names of the scripts.
pub fn work(wanted: &str) -> Vec<(Base, Script)> {
    let sparse = |script: &Script, every| Script { every: every * script.every, ..script.clone() };
    let bases = bases();
    let mut work: Vec<(Base, Script)> = Vec::new();
    for script in scripts().iter().filter(|script| script.name.contains(wanted)) {
        work.push((bases[0].clone(), script.clone()));
        work.extend(bases[1..].iter().map(|base| (base.clone(), sparse(script, 13))));
        work.push(from_nothing(&sparse(script, 17), true));
    }
    let opening = Script::new("open a store and begin", Vec::new());
    let checkpoint = Script::new(
        "append a checkpoint",
        alone(1, vec![append("a", "1", named("x")), append("a", "2", buffered())]),
    );
    if opening.name.contains(wanted) {
        work.push(from_nothing(&opening, false));
    }
    if checkpoint.name.contains(wanted) {
        work.push((before_a_checkpoint(false), sparse(&checkpoint, 3)));
    }
    let behind = Script::new(
        "append a checkpoint behind a revert",
        alone(1, vec![on(Op::Touch, "a"), facts("a", "x", synced()), unrevert("a")]),
    );
    if behind.name.contains(wanted) {
        work.push((before_a_checkpoint(true), sparse(&behind, 3)));
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::open;
    use crate::model::run;
    use crate::sim::SimDisk;

    fn checkpoints(disk: &Disk) -> usize {
        let log = disk.bytes(&log_of(disk, "a")).unwrap_or_default();
        String::from_utf8_lossy(log).matches("{\"t\": \"check\"").count()
    }

    #[test]
    fn the_next_record_brings_a_checkpoint() {
        for reverted in [false, true] {
            let base = before_a_checkpoint(reverted);
            assert_eq!(checkpoints(&base.disk), 0);
            let disk = SimDisk::new(base.disk);
            run(&mut open(&disk, 1, false).unwrap(), &on(Op::Touch, "a")).unwrap();
            assert_eq!(checkpoints(&disk.disk()), 1);
        }
    }
}
