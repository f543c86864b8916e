//! How much of a part of the proof is run: a fixed amount in the ordinary tests, hours of it in `cargo xtask torture`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a part has counted, by what it counts.
pub type Tally = BTreeMap<String, u64>;

/// Adds what another has counted.
pub fn add(tally: &mut Tally, other: Tally) {
    for (what, count) in other {
        *tally.entry(what).or_default() += count;
    }
}

/// The seeds that a part works through, in order: the same seed does the same work.
#[derive(Clone, Debug)]
pub struct Bound {
    seeds: Range<u64>,
    until: Option<Instant>,
}

impl Bound {
    /// These seeds, however long that takes.
    pub fn seeds(seeds: Range<u64>) -> Self {
        Self { seeds, until: None }
    }

    /// Seeds from `first` on, until a moment. The seed under way is finished.
    pub fn until(first: u64, moment: Instant) -> Self {
        Self { seeds: first..u64::MAX, until: Some(moment) }
    }

    /// What the ordinary tests run: `count` seeds from 0, unless `SESSILE_SEED` names the first one (and then that
    /// alone) or `SESSILE_SEEDS` another count.
    pub fn ordinary(count: u64) -> Self {
        let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let first = variable("SESSILE_SEED");
        let count = variable("SESSILE_SEEDS").unwrap_or(if first.is_some() { 1 } else { count });
        let first = first.unwrap_or(0);
        Self::seeds(first..first + count)
    }

    /// The first seed that was not begun.
    pub fn first_left(&self) -> u64 {
        self.seeds.start
    }

    /// The next seed, if there is time and it is among them.
    pub fn next_seed(&mut self) -> Option<u64> {
        let is_time_left = self.until.is_none_or(|until| Instant::now() < until);
        if is_time_left { self.seeds.next() } else { None }
    }

    /// Does the work of every seed, in two threads, and counts the seeds as `seeds`. Errors: the first failure, with
    /// its seed; no more seeds are begun behind it.
    pub fn work(&mut self, one: impl Fn(u64) -> Result<Tally, String> + Sync) -> Result<Tally, String> {
        let (bound, result) = (Mutex::new(self), Mutex::new(Ok(Tally::new())));
        let worker = || {
            loop {
                let seed = bound.lock().unwrap_or_else(PoisonError::into_inner).next_seed();
                let Some(seed) = seed else { break };
                let done = one(seed);
                let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *result, done) {
                    (Ok(all), Ok(tally)) => {
                        add(all, tally);
                        *all.entry("seeds".to_owned()).or_default() += 1;
                    }
                    (Ok(_), Err(failure)) => *result = Err(format!("seed {seed}: {failure}")),
                    (Err(_), _) => {}
                }
                if result.is_err() {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(worker);
            scope.spawn(worker);
        });
        result.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
