//! Faults planted in the core, each found by what the ordinary tests run. A harness that finds none proves nothing.
//!
//! `cargo test --package sessile-simulation --features planted --test planted` (`cargo xtask test` does it). Each
//! fault names the parts of the proof that find it; the first that does ends its turn. `SESSILE_PLANTED=<part of a
//! name>` plants some only.

#![cfg(feature = "planted")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use sessile_core::planted::{Planted, plant};
use sessile_simulation::bound::Bound;
use sessile_simulation::explore::{Base, explore};
use sessile_simulation::flips::Flips;
use sessile_simulation::inject::inject;
use sessile_simulation::pairs::Pairs;
use sessile_simulation::parts;
use sessile_simulation::scripts::{bases, scripts, work};

/// A part of the ordinary tests.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Crashes everywhere in the scripts of this name, on every store.
    Crashes(&'static str),
    /// Errors everywhere in the script of this name.
    Errors(&'static str),
    /// Pairs of operations in every order of their calls.
    Pairs,
    /// Random histories compared with the model.
    Histories,
    /// The same, long ones.
    Long,
    /// Flipped bits.
    Flips,
}

use Part::{Crashes, Errors, Flips as Bits, Histories, Long, Pairs as AllPairs};

const FAULTS: [(Planted, &[Part]); 32] = [
    (Planted::NoSync, &[Crashes("append synced")]),
    (Planted::FailedSyncAcknowledged, &[Errors("append synced")]),
    (Planted::UnknownOutcomeUnsynced, &[Errors("append synced")]),
    (Planted::StopAtDamage, &[Crashes("append synced")]),
    (Planted::SilentDamage, &[Crashes("append synced")]),
    (Planted::NulsAreNothing, &[Crashes("append synced")]),
    (Planted::ChecksumIgnored, &[Bits]),
    (Planted::ChecksumWithoutHeader, &[Bits]),
    (Planted::FusedLinesLost, &[Crashes("race: append, append")]),
    (Planted::SealIgnored, &[AllPairs]),
    (Planted::OwnAppendTrusted, &[AllPairs]),
    (Planted::StaleCache, &[Histories]),
    (Planted::ForkUnsynced, &[Crashes("fork what is buffered")]),
    (Planted::ForkSeesLater, &[Histories]),
    (Planted::RevertDeletes, &[Histories]),
    (Planted::PurgeIgnoresForks, &[Histories]),
    (Planted::CatalogueTrusted, &[Histories]),
    (Planted::RewriteOverwrites, &[AllPairs]),
    (Planted::SealUnsynced, &[Crashes("compact")]),
    (Planted::ReaderWrites, &[Crashes("compact twice")]),
    (Planted::NamesCollide, &[Histories]),
    (Planted::NumbersWrap, &[Long]),
    (Planted::RepeatedAgain, &[Histories]),
    (Planted::BatchInPieces, &[Crashes("append a batch")]),
    (Planted::HeadUnchecked, &[Histories]),
    (Planted::TextAnywhere, &[AllPairs]),
    (Planted::CheckpointForgetsUndo, &[Crashes("append a checkpoint behind a revert")]),
    (Planted::PageSkips, &[Crashes("append synced"), Histories]),
    (Planted::TrashTakesAppends, &[Histories]),
    (Planted::PurgeUnsynced, &[Crashes("trash and purge a parent")]),
    (Planted::RewriteForgetsOperations, &[Histories]),
    (Planted::RecordsOfOthers, &[Crashes("append synced")]),
];

struct Harness {
    bases: Vec<Base>,
    pairs: Pairs,
}

impl Harness {
    /// What the part says of the core as it is now.
    fn run(&self, part: Part) -> Result<(), String> {
        match part {
            Crashes(name) => {
                work(name).iter().try_for_each(|(base, script)| explore(script, base, None).map(|_| ()))
            }
            Errors(name) => {
                let script = scripts().into_iter().find(|script| script.name == name).unwrap();
                self.bases.iter().try_for_each(|base| inject(&script, base).map(|_| ()))
            }
            AllPairs => {
                Bound::seeds(0..self.pairs.count()).work(|pair| self.pairs.all_orders(pair)).map(|_| ())
            }
            Histories => Bound::seeds(0..10_000).work(parts::histories).map(|_| ()),
            Long => Bound::seeds(0..12).work(parts::long_histories).map(|_| ()),
            Bits => {
                // Of a store that was written with the fault.
                let flips = Flips::new(bases().first().unwrap())?;
                Bound::seeds(0..flips.bytes()).work(|byte| flips.byte(byte)).map(|_| ())
            }
        }
    }
}

#[test]
fn every_planted_fault_is_found() {
    let wanted = std::env::var("SESSILE_PLANTED").unwrap_or_default();
    let harness = Harness { bases: bases(), pairs: Pairs::new() };
    // A fault may also break the core's own assumptions or those of the simulated disk.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (fault, parts) in FAULTS.iter().filter(|(fault, _)| format!("{fault:?}").contains(&wanted)) {
        let start = Instant::now();
        plant(Some(*fault));
        let found = parts.iter().find_map(|part| {
            let result = catch_unwind(AssertUnwindSafe(|| harness.run(*part)));
            let failure = match result {
                Ok(Ok(())) => return None,
                Ok(Err(failure)) => failure,
                Err(_) => "a panic".to_owned(),
            };
            Some((part, failure.lines().next().unwrap_or_default().chars().take(160).collect::<String>()))
        });
        plant(None);
        let seconds = start.elapsed().as_secs_f32();
        match found {
            Some((part, failure)) => println!("{fault:?}: found by {part:?} after {seconds:.1} s: {failure}"),
            None => missed.push(format!("{fault:?} (looked for {seconds:.1} s)")),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found: {missed:?}");
    println!("{} planted faults, all found", FAULTS.len());
}
