//! Operations of several processes at once, in every order of their calls: as if one had come before the other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "a testkit: it stops at the first surprise"
)]

use sessile_core::{NewSession, SessionPatch, WriteOptions};

use crate::bound::Tally;
use crate::explore::{Act, Base, Script, agree, prepare};
use crate::model::Op;
use crate::scripts::append;
use crate::sim::Random;

/// So many calls of each of two operations are interleaved in every way: 924 orders.
const INTERLEAVED: usize = 6;
/// More turns than any operation needs.
const ALL: usize = 1000;

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

/// A live session `a` with a fork `b`, the same with `a` in the trash, and with a revert to be undone.
fn bases() -> Vec<Base> {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let new = NewSession { id: Some(a.clone()), ..NewSession::default() };
    let mut history = vec![Op::Create(new)];
    history.extend(["1", "2", "3", "4"].map(|text| append("a", text, WriteOptions::default())));
    history.push(Op::Fork(a.clone(), b, Some(3)));
    let base = |name, more: Option<Op>| {
        let acts = history.iter().cloned().chain(more).map(|op| Act::Do(50, op)).collect();
        prepare(name, acts).unwrap()
    };
    vec![
        base("live", None),
        base("trashed", Some(Op::Trash(a.clone()))),
        base("reverted", Some(Op::Revert(a, 3, true, WriteOptions::default()))),
    ]
}

/// All pairs of operations, on all stores.
#[derive(Debug)]
pub struct Pairs {
    bases: Vec<Base>,
    pairs: Vec<(usize, Op, Op)>,
    ops: Vec<Op>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self::new()
    }
}

impl Pairs {
    pub fn new() -> Self {
        let (bases, ops) = (bases(), concurrent());
        let mut pairs = Vec::new();
        for base in 0..bases.len() {
            for (place, one) in ops.iter().enumerate() {
                pairs.extend(ops[place..].iter().map(|other| (base, one.clone(), other.clone())));
            }
        }
        Self { bases, pairs, ops }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.pairs.len() as u64
    }

    /// The calls of one as a whole between two calls of the other, all interleavings of the first calls of both, and
    /// some orders at random; with and without a process that knows the session already.
    pub fn all_orders(&self, pair: u64) -> Result<Tally, String> {
        let (base, one, other) = &self.pairs[pair as usize % self.pairs.len()];
        let (base, mut random, mut orders) = (&self.bases[*base], Random::new(pair), 0);
        let mut race = |warm: bool, schedule: Vec<u64>| {
            orders += 1;
            run(base, &[one, other], warm, schedule)
        };
        for warm in [false, true] {
            for first in [1, 2] {
                let calls = race(warm, vec![first; ALL])?[first as usize - 1];
                for behind in 0..calls as usize {
                    race(warm, [vec![first; behind], vec![3 - first; ALL]].concat())?;
                }
            }
        }
        for _ in 0..10 {
            let warm = random.below(2) == 0;
            race(warm, (0..200).map(|_| 1 + random.below(2)).collect())?;
        }
        if base.name == "live" {
            for schedule in interleavings(INTERLEAVED, INTERLEAVED) {
                race(true, schedule)?;
            }
        }
        Ok(Tally::from([("orders of calls".to_owned(), orders)]))
    }

    /// Three operations in an order of calls that the seed draws.
    pub fn three(&self, seed: u64) -> Result<Tally, String> {
        let mut random = Random::new(seed ^ 0x3333);
        let base = &self.bases[random.below(self.bases.len() as u64) as usize];
        let ops: Vec<&Op> = (0..3).map(|_| &self.ops[random.below(self.ops.len() as u64) as usize]).collect();
        let warm = random.below(2) == 0;
        run(base, &ops, warm, (0..200).map(|_| 1 + random.below(3)).collect())?;
        Ok(Tally::from([("orders of calls".to_owned(), 1)]))
    }
}

/// Returns how many calls each has made.
fn run(base: &Base, ops: &[&Op], warm: bool, schedule: Vec<u64>) -> Result<Vec<u64>, String> {
    let processes = 1..=ops.len() as u64;
    let touch = processes.clone().map(|process| Act::Do(process, Op::Touch("a".to_owned())));
    let mut acts: Vec<Act> = if warm { touch.collect() } else { Vec::new() };
    acts.push(Act::Race(processes.zip(ops.iter().copied().cloned()).collect(), schedule));
    agree(&Script::new("race", acts), base)
}

/// All orders of so many turns of process 1 and so many of process 2.
fn interleavings(ones: usize, twos: usize) -> Vec<Vec<u64>> {
    if ones == 0 || twos == 0 {
        return vec![[vec![1; ones], vec![2; twos]].concat()];
    }
    let behind =
        |first: u64, rest: Vec<Vec<u64>>| rest.into_iter().map(move |rest| [vec![first], rest].concat());
    behind(1, interleavings(ones - 1, twos)).chain(behind(2, interleavings(ones, twos - 1))).collect()
}
