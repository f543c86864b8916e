//! How much of a part of the proof is run: a fixed amount in the ordinary tests, hours of it in `cargo xtask torture`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// What a part has counted, by what it counts. Its failure is a text that ends in how to see it again.
pub type Tally = BTreeMap<String, u64>;

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

    /// The next seed, if there is time and it is among them.
    pub fn next_seed(&mut self) -> Option<u64> {
        let is_time_left = self.until.is_none_or(|until| Instant::now() < until);
        self.seeds.next().filter(|_| is_time_left)
    }
}
