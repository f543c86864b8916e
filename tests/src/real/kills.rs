//! Writers that are killed at any moment, by the hundred: a round is a second of four or six writers on one store, one of
//! whom (of each language) dies every few milliseconds and begins again.

use std::ops::Range;
use std::time::Duration;

use super::told::{Pace, Told, first, work};
use super::{count, place};
use crate::bound::{Bound, Tally};
use crate::hosts::Host;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Four of Rust that run the core natively: they start in milliseconds, so that hundreds can be killed in a minute.
    Native,
    /// Two of each language.
    Mixed,
}

impl Writers {
    fn pace(self) -> Pace {
        let (time, pauses, rest): (u64, Range<u64>, u64) = match self {
            Self::Native => (1_500, 10..50, 100),
            // An interpreter needs that long to begin.
            Self::Mixed => (20_000, 500..1_500, 2_000),
        };
        let (time, rest) = (Duration::from_millis(time), Duration::from_millis(rest));
        Pace { time, pauses, rest, is_native: self == Self::Native }
    }

    fn workers(self) -> Vec<(Host, usize)> {
        match self {
            Self::Native => (0..4).map(|number| (Host::Rust, number)).collect(),
            Self::Mixed => Host::ALL.iter().flat_map(|host| [(*host, 0), (*host, 1)]).collect(),
        }
    }
}

/// Runs rounds until `kills` writers have been killed, or the bound ends.
///
/// Errors: what was acknowledged and is not there, or is there twice; and the seed, which draws the same kills and
/// calls, though not the same timing.
pub fn run(bound: &mut Bound, writers: Writers, kills: u64) -> Result<Tally, String> {
    let mut tally = Tally::new();
    while tally.get("kills").is_none_or(|done| *done < kills)
        && let Some(seed) = bound.next_seed()
    {
        let place = place(&format!("kills-{writers:?}").to_lowercase())?;
        let told = Told::read(&place, work(&place, writers.workers(), &writers.pace(), seed));
        let faults = told.compare(&place);
        if !faults.is_empty() {
            let (store, faults) = (place.display(), format!("{} faults: {}", faults.len(), first(&faults)));
            return Err(format!(
                "round {seed} in {store}: {faults}\nagain: SESSILE_SEED={seed} cargo test --test real writers_that_are_killed"
            ));
        }
        // On a machine that is busy writers may be killed before they come to a first append.
        count(&mut tally, "rounds without an append", u64::from(told.appends.is_empty()));
        count(&mut tally, "kills", told.kills);
        count(&mut tally, "rounds", 1);
        count(&mut tally, "acknowledged appends", told.appends.len() as u64);
    }
    let of = |name| tally.get(name).copied().unwrap_or(0);
    if of("rounds without an append") * 2 > of("rounds") {
        return Err(format!("mostly nothing was acknowledged, so little was tested: {tally:?}"));
    }
    Ok(tally)
}
