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

use sessile_core::Store;
use sessile_simulation::bound::{Bound, Tally};
use sessile_simulation::pairs::Pairs;
use sessile_simulation::parts;

#[test]
fn random_histories_answer_as_the_model_does() {
    let tally = Bound::ordinary(10_000).work(parts::histories).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn long_histories_with_checkpoints_answer_as_the_model_does() {
    let tally = Bound::ordinary(12).work(parts::long_histories).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let twice = |seed: u64| {
        let [one, other] = [0, 1].map(|_| parts::history(Store::open, seed, 100, 4));
        if one?.same_bytes(&other?) { Ok(Tally::new()) } else { Err("the second time differs".to_owned()) }
    };
    let tally = Bound::ordinary(200).work(twice).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

/// All pairs, and for each every order in which the first six calls of both can come.
#[test]
fn two_operations_at_once_are_as_if_one_had_come_first() {
    let pairs = Pairs::new();
    let mut bound = Bound::ordinary(pairs.count());
    let tally = bound.work(|seed| pairs.all_orders(seed)).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}

#[test]
fn three_operations_at_once_are_as_if_they_had_come_one_after_another() {
    let pairs = Pairs::new();
    let mut bound = Bound::ordinary(5_000);
    let tally = bound.work(|seed| pairs.three(seed)).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{tally:?}");
}
