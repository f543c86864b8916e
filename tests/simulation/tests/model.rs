//! Random histories of one to three processes on one store: every answer and every state is the model's.
//!
//! A failure names its seed; `SESSILE_SEED=<seed> cargo test --test model` replays that one alone.

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

use sessile_core::{ErrorKind, NewSession, OpenOptions, SessionPatch, Sessions, Store, WriteOptions};
use sessile_simulation::explore::{Act, Script, agree, prepare};
use sessile_simulation::generate::Generator;
use sessile_simulation::model::{Answer, Model, Op, compare, run};
use sessile_simulation::sim::{Disk, Random, SimDisk, SimHost};

/// What an answer to the model's and to the store's `op` has in common.
fn outcome(answer: Result<Answer, ErrorKind>) -> String {
    format!("{answer:?}")
}

fn history(seed: u64, steps: usize, sessions_max: usize) {
    let disk = SimDisk::new(Disk::default());
    let mut random = Random::new(seed ^ 0xaaaa);
    let processes = 1 + random.below(3);
    let mut next_process = processes;
    let open = |process: u64| {
        Store::open(SimHost::new(&disk, seed * 1000 + process), OpenOptions::default()).unwrap()
    };
    let mut stores: Vec<Store<SimHost>> = (0..processes).map(open).collect();
    let mut generator = Generator::new(seed);
    let mut model = Model::default();
    let mut trace: Vec<String> = Vec::new();
    for step in 0..steps {
        let place = random.below(processes) as usize;
        let op = generator.draw(&model, sessions_max);
        let ours = model.apply(&op);
        let theirs = run(&mut stores[place], &op);
        trace.push(format!("{place}: {op:?}"));
        let told = |what: &str| -> String {
            let last: Vec<&str> = trace.iter().rev().take(12).rev().map(String::as_str).collect();
            format!("seed {seed}, step {step}: {what}\n{}", last.join("\n"))
        };
        let kinds = theirs.as_ref().map(|(answer, _)| answer.clone()).map_err(|error| error.kind);
        assert_eq!(outcome(kinds), outcome(ours), "{}", told(&format!("{:?}", theirs.as_ref().err())));
        let check = |store: &mut Store<SimHost>| {
            if let Err(difference) = compare(store, &model) {
                panic!("{}", told(&difference));
            }
        };
        match random.below(24) {
            0..=5 => check(&mut stores[random.below(processes) as usize]),
            6 => {
                let written = disk.written();
                let host = SimHost::new(&disk, seed * 1000 + 999);
                check(&mut Store::open(host, OpenOptions { read_only: true }).unwrap());
                assert_eq!(disk.written(), written, "{}", told("reading wrote"));
            }
            7 => {
                stores[place].close().unwrap();
                next_process += 1;
                stores[place] = open(next_process);
            }
            8 => {
                // Killed, without a goodbye to the catalogue.
                next_process += 1;
                stores[place] = open(next_process);
            }
            _ => {}
        }
    }
    for store in &mut stores {
        store.close().unwrap();
    }
    compare(&mut open(999), &model)
        .unwrap_or_else(|difference| panic!("seed {seed}, at the end: {difference}"));
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SESSILE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

#[test]
fn random_histories_answer_as_the_model_does() {
    for seed in seeds(400) {
        history(seed, 100, 6);
    }
}

#[test]
fn long_histories_with_checkpoints_answer_as_the_model_does() {
    for seed in seeds(12) {
        history(seed + 1_000_000, 1500, 2);
    }
}

fn append(id: &str, text: &str, options: WriteOptions) -> Op {
    let message = format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{text}"}}]}}"#);
    Op::Append(id.to_owned(), vec![message], options)
}

/// What two processes do at the same time: all pairs of these.
fn concurrent() -> Vec<Op> {
    let (a, synced) = ("a".to_owned(), WriteOptions::default());
    let named = WriteOptions { op: Some("x".to_owned()), ..WriteOptions::default() };
    let expecting = WriteOptions { expect_head: Some(4), ..WriteOptions::default() };
    let title = SessionPatch { title: Some(Some("new".to_owned())), ..SessionPatch::default() };
    vec![
        append("a", "1", synced.clone()),
        append("a", "1", named),
        append("a", "1", expecting),
        Op::Text(a.clone(), 1, 0, "more".to_owned(), None, synced.clone()),
        Op::Patch(a.clone(), 2, r#"{"status":"completed"}"#.to_owned(), synced.clone()),
        Op::Facts(a.clone(), title, synced.clone()),
        Op::Revert(a.clone(), 2, false, synced.clone()),
        Op::Unrevert(a.clone(), synced.clone()),
        Op::Switch(a.clone(), 1, synced),
        Op::Fork(a.clone(), "c".to_owned(), None),
        Op::Compact(a.clone()),
        Op::Detach("b".to_owned()),
        Op::Trash(a.clone()),
        Op::Restore(a.clone()),
        Op::Purge(a),
    ]
}

/// Every order in which the calls of one come as a whole between two calls of the other, and some at random.
#[test]
fn two_operations_at_once_are_as_if_one_had_come_first() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let new = NewSession { id: Some(a.clone()), ..NewSession::default() };
    let mut history = vec![Op::Create(new)];
    history.extend(["1", "2", "3", "4"].map(|text| append("a", text, WriteOptions::default())));
    history.push(Op::Fork(a.clone(), b, Some(3)));
    let act = |process: u64| move |op: Op| Act::Do(process, op);
    let live: Vec<Act> = history.iter().cloned().map(act(50)).collect();
    let trashed: Vec<Act> = history.iter().cloned().chain([Op::Trash(a.clone())]).map(act(50)).collect();
    let reverted = Op::Revert(a.clone(), 3, true, WriteOptions::default());
    let reverted: Vec<Act> = history.iter().cloned().chain([reverted]).map(act(50)).collect();
    let bases = [("live", live), ("trashed", trashed), ("reverted", reverted)];
    let bases = bases.map(|(name, acts)| prepare(name, acts).unwrap());
    let (ops, mut random, mut orders) = (concurrent(), Random::new(1), 0);
    let mut failures: Vec<String> = Vec::new();
    for base in &bases {
        for (place, one) in ops.iter().enumerate() {
            for other in &ops[place..] {
                let mut race = |warm: bool, schedule: Vec<u64>| {
                    let touch = [1, 2].map(|process| Act::Do(process, Op::Touch(a.clone())));
                    let mut acts = if warm { touch.to_vec() } else { Vec::new() };
                    acts.push(Act::Race(Box::new([(1, one.clone()), (2, other.clone())]), schedule));
                    orders += 1;
                    let agreed = agree(&Script::new("race", acts), base);
                    agreed.map_err(|difference| failures.push(difference)).unwrap_or_default()
                };
                for warm in [false, true] {
                    for first in [1, 2] {
                        let calls =
                            race(warm, vec![first; 1000]).get(first as usize - 1).copied().unwrap_or(0);
                        for behind in 0..calls as usize {
                            race(warm, [vec![first; behind], vec![3 - first; 1000]].concat());
                        }
                    }
                }
                for _ in 0..10 {
                    let warm = random.below(2) == 0;
                    race(warm, (0..200).map(|_| 1 + random.below(2)).collect());
                }
            }
        }
    }
    println!("{orders} orders of calls");
    assert!(
        failures.is_empty(),
        "{} of them fail\n\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n\n")
    );
}
