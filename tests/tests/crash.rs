//! Crashes at every point of every operation, under every model of what is lost. See `sessile_tests::explore`.
//!
//! `SESSILE_SCRIPT=<part of a name> cargo test --test crash` runs some scripts only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use sessile_core::{Durability, NewSession, SessionPatch, WriteOptions};
use sessile_tests::explore::{Act, Base, Script, Stats, explore, prepare};
use sessile_tests::generate::Generator;
use sessile_tests::inject::inject;
use sessile_tests::model::{Model, Op};
use sessile_tests::sim::{Disk, Flaw, Random};

// Operations in few words. Sessions are `a`, its fork `b` and what a script makes.

fn message(text: &str) -> String {
    format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{text}"}}],"n":1.50}}"#)
}

fn synced() -> WriteOptions {
    WriteOptions::default()
}

fn buffered() -> WriteOptions {
    WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() }
}

fn named(op: &str) -> WriteOptions {
    WriteOptions { op: Some(op.to_owned()), ..WriteOptions::default() }
}

fn expecting(head: u64) -> WriteOptions {
    WriteOptions { expect_head: Some(head), ..WriteOptions::default() }
}

fn create(id: &str) -> Op {
    let metadata = Some(r#"{"a":{"b":1.50}}"#.to_owned());
    Op::Create(NewSession {
        id: Some(id.to_owned()),
        title: Some("title".to_owned()),
        metadata,
        ..NewSession::default()
    })
}

fn append(id: &str, text: &str, options: WriteOptions) -> Op {
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

fn revert(id: &str, to: u64, inclusive: bool) -> Op {
    Op::Revert(id.to_owned(), to, inclusive, synced())
}

fn unrevert(id: &str) -> Op {
    Op::Unrevert(id.to_owned(), synced())
}

fn switch(id: &str, to: u64) -> Op {
    Op::Switch(id.to_owned(), to, synced())
}

fn fork(id: &str, child: &str, at: Option<u64>) -> Op {
    Op::Fork(id.to_owned(), child.to_owned(), at)
}

fn on(make: fn(String) -> Op, id: &str) -> Op {
    make(id.to_owned())
}

/// One process, one operation after another.
fn alone(process: u64, ops: Vec<Op>) -> Vec<Act> {
    ops.into_iter().map(|op| Act::Do(process, op)).collect()
}

/// Two processes, one operation each at once, their calls in some orders: in turn, and the second one's as a whole
/// behind so many of the first one's. `tests/model.rs` has all orders, without crashes.
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
        acts.push(Act::Race(Box::new([(1, one.clone()), (2, other.clone())]), schedule));
        Script { skip, every: 1 + 2 * place, ..Script::new(name, acts) }
    };
    schedules.into_iter().enumerate().map(script).collect()
}

/// Each needs a session `a` with four messages or more and its fork `b`.
fn scripts() -> Vec<Script> {
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
fn history() -> Vec<Act> {
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

fn bases() -> Vec<Base> {
    vec![
        prepare("with a history", history()).unwrap(),
        with_tail("with a torn record at the end", |record| record[..record.len() * 2 / 3].to_vec()),
        with_tail("with NULs at the end", |_| vec![0; 100]),
    ]
}

/// A log that is due for a checkpoint.
fn before_a_checkpoint() -> Base {
    let mut acts = history();
    acts.pop();
    acts.extend((0..260).map(|_| Act::Do(50, on(Op::Touch, "a"))));
    acts.extend([Act::Do(50, append("a", "7", named("seven"))), Act::Close(50)]);
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

/// What is visited: everything once, and once more on other stores, where fewer bytes are cut at.
/// `SESSILE_CRASH=all` cuts at every byte of everything.
fn work() -> Vec<(Base, Script)> {
    let wanted = std::env::var("SESSILE_SCRIPT").unwrap_or_default();
    let all = std::env::var("SESSILE_CRASH").is_ok_and(|what| what == "all");
    let sparse = |script: &Script, every| Script {
        every: if all { 1 } else { every * script.every },
        ..script.clone()
    };
    let bases = bases();
    let mut work: Vec<(Base, Script)> = Vec::new();
    for script in scripts().iter().filter(|script| script.name.contains(&wanted)) {
        work.push((bases[0].clone(), script.clone()));
        work.extend(bases[1..].iter().map(|base| (base.clone(), sparse(script, 13))));
        work.push(from_nothing(&sparse(script, 17), true));
    }
    let opening = Script::new("open a store and begin", Vec::new());
    let checkpoint = Script::new(
        "append a checkpoint",
        alone(1, vec![append("a", "1", named("x")), append("a", "2", buffered())]),
    );
    if opening.name.contains(&wanted) {
        work.push(from_nothing(&opening, false));
    }
    if checkpoint.name.contains(&wanted) {
        work.push((before_a_checkpoint(), sparse(&checkpoint, 3)));
    }
    work
}

fn report(stats: &Stats) -> u64 {
    let models: BTreeSet<&str> = stats.keys().map(|(_, model)| *model).collect();
    for path in stats.keys().map(|(path, _)| *path).collect::<BTreeSet<&str>>() {
        let counts =
            models.iter().filter_map(|model| Some(format!("{model}: {}", stats.get(&(path, *model))?)));
        println!("{path:>14}  {}", counts.collect::<Vec<_>>().join(", "));
    }
    stats.values().sum()
}

/// Does all the work in two threads. Returns the states and what failed.
fn visit(work: &[(Base, Script)]) -> (Stats, Vec<String>) {
    let next = AtomicUsize::new(0);
    let one = || {
        let (mut stats, mut failures) = (Stats::new(), Vec::new());
        while let Some((base, script)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            match explore(script, base, None) {
                Ok(visited) => {
                    visited.into_iter().for_each(|(key, count)| *stats.entry(key).or_default() += count);
                }
                Err(failure) => failures.push(failure),
            }
        }
        (stats, failures)
    };
    let parts: Vec<(Stats, Vec<String>)> = std::thread::scope(|scope| {
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = (Stats::new(), Vec::new());
    for (stats, failures) in parts {
        stats.into_iter().for_each(|(key, count)| *all.0.entry(key).or_default() += count);
        all.1.extend(failures);
    }
    all
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    let (stats, failures) = visit(&work());
    let states = report(&stats);
    println!("{states} states");
    assert!(failures.is_empty(), "{} scripts fail\n\n{}", failures.len(), failures.join("\n\n"));
    if std::env::var("SESSILE_SCRIPT").is_ok() {
        return;
    }
    assert!(states >= 200_000);
    let visited: BTreeSet<&str> = stats.keys().map(|(path, _)| *path).collect();
    for path in [
        "open or close",
        "create",
        "facts",
        "touch",
        "append",
        "text",
        "patch",
        "parts",
        "revert",
        "unrevert",
        "switch",
        "fork",
        "detach",
        "compact",
        "trash",
        "restore",
        "purge",
        "sync",
        "at rest",
        "recovery",
    ] {
        assert!(visited.contains(path), "no state of `{path}` was visited");
    }
}

#[test]
fn what_was_acknowledged_survives_every_error() {
    let wanted = std::env::var("SESSILE_SCRIPT").unwrap_or_default();
    let bases = bases();
    let (mut all, mut doctored, mut failures) = (0, 0, Vec::new());
    for script in
        scripts().iter().filter(|script| script.name.contains(&wanted) && !script.name.contains("race"))
    {
        for base in &bases[..2] {
            match inject(script, base) {
                Ok(runs) => (all, doctored) = (all + runs.all, doctored + runs.doctored),
                Err(failure) => failures.push(failure),
            }
        }
    }
    println!("{all} runs with an error; behind {doctored} of them the catalogue needed the doctor");
    assert!(failures.is_empty(), "{} scripts fail\n\n{}", failures.len(), failures.join("\n\n"));
}

/// Each fault of a disk, and a script in which its loss must be noticed.
const NOTICED: [(Flaw, &str); 5] = [
    (Flaw::SyncDoesNothing, "append synced"),
    (Flaw::CreateForgetsEntry, "create"),
    (Flaw::CreateInPlace, "create"),
    (Flaw::AppendForgetsEntry, "create"),
    (Flaw::AppendAtOldEnd, "race: append, append"),
];

#[test]
fn a_disk_that_breaks_its_promises_is_noticed() {
    let base = prepare("with a history", history()).unwrap();
    for (flaw, name) in NOTICED {
        let scripts: Vec<Script> = scripts().into_iter().filter(|script| script.name == name).collect();
        let failure = scripts.iter().find_map(|script| explore(script, &base, Some(flaw)).err());
        println!("{flaw:?}: {}\n", failure.as_deref().unwrap_or("not noticed"));
        assert!(failure.is_some(), "{flaw:?} is not noticed");
    }
}

#[test]
fn a_removed_file_that_comes_back_harms_nothing() {
    let base = prepare("with a history", history()).unwrap();
    for name in
        ["trash and purge a fork", "purge parent and fork", "compact a parent", "detach and purge the parent"]
    {
        for script in scripts().iter().filter(|script| script.name == name) {
            let sparse = Script { every: 20, ..script.clone() };
            explore(&sparse, &base, Some(Flaw::RemoveForgets)).unwrap();
        }
    }
}

/// A script of random operations, on a store that does not exist yet. Of one process: which numbers are taken by
/// messages that a damaged sector has lost depends on which of them a writer knew.
fn random_script(seed: u64) -> Script {
    let (mut generator, mut random, mut model) = (Generator::new(seed), Random::new(!seed), Model::default());
    let mut acts = Vec::new();
    for _ in 0..16 {
        let op = generator.draw(&model, 3);
        // What is refused is left out: it takes no part in what is there.
        if model.apply(&op).is_ok() {
            acts.push(Act::Do(1, op));
        }
        if random.below(8) == 0 {
            acts.push(Act::Close(1));
        }
    }
    Script { every: 67, ..Script::new("random", acts) }
}

/// `SESSILE_SEED=<seed>` begins with another one, `SESSILE_SEEDS=<count>` runs so many.
#[test]
fn random_histories_survive_every_crash() {
    let from_nothing =
        Base { name: "from nothing", disk: Disk::default(), model: Model::default(), damaged: false };
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = variable("SESSILE_SEED");
    let count = variable("SESSILE_SEEDS").unwrap_or(if first.is_some() { 1 } else { 60 });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + count;
    let mut states = 0;
    for seed in seeds {
        match explore(&random_script(seed), &from_nothing, None) {
            Ok(stats) => states += stats.values().sum::<u64>(),
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
    }
    println!("{states} states of {count} random histories");
}
