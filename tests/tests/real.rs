//! Real processes: system calls that fail, kills, full disks, power cuts. See `tests/src/real`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::time::Instant;

use sessile_tests::bound::{Bound, Tally};
use sessile_tests::hosts::Host;
use sessile_tests::real::kills::Writers;
use sessile_tests::real::power::{FileSystem, Lie};
use sessile_tests::real::writers::{Held, compare, session, text};
use sessile_tests::real::{calls, full, kills, power, without_strace, writers};

/// Says what a part has done, in one line, and stops at what it has found.
fn report(part: &str, begun: Instant, result: Result<Tally, String>) -> Tally {
    let tally = result.unwrap_or_else(|what| panic!("{part}: {what}"));
    let figures: Vec<String> = tally.iter().map(|(what, number)| format!("{what}: {number}")).collect();
    println!("{part}: {} ({:.0?})", figures.join(", "), begun.elapsed());
    tally
}

/// Where the machine is set up for it, nothing may be skipped: a green run must have been one.
fn must_not_be_missing(missing: Option<String>) {
    if let Some(reason) = missing.filter(|_| std::env::var("CI").is_ok_and(|value| value == "true")) {
        panic!("{reason}");
    }
}

fn host() -> Host {
    let name = std::env::var("SESSILE_HOST").unwrap_or_else(|_| "rust".into());
    Host::ALL.into_iter().find(|host| host.name() == name).unwrap()
}

#[test]
fn every_system_call_fails_or_is_the_last_and_nothing_acknowledged_is_lost() {
    must_not_be_missing(without_strace());
    let begun = Instant::now();
    report("calls", begun, calls::run(&mut Bound::ordinary(1_600), host()));
}

/// The comparison itself can fail.
#[test]
fn what_a_log_has_lost_or_changed_is_found() {
    report("calls control", Instant::now(), calls::control());
}

#[test]
fn nothing_outside_of_the_store_is_made_or_opened_for_writing() {
    must_not_be_missing(without_strace());
    report("traced", Instant::now(), calls::trace_writes(host()));
}

#[test]
fn writers_that_are_killed_by_the_hundred_lose_nothing() {
    let tally = report("kills", Instant::now(), kills::run(&mut Bound::ordinary(100), Writers::Native, 300));
    assert!(std::env::var_os("SESSILE_SEED").is_some() || tally["kills"] >= 300, "only {tally:?}");
}

#[test]
fn a_full_disk_harms_nothing_and_the_writer_goes_on_when_there_is_space() {
    for host in Host::ALL {
        report(&format!("full ({})", host.name()), Instant::now(), full::run(&mut Bound::ordinary(1), host));
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    for file_system in FileSystem::ALL {
        let name = format!("power ({})", file_system.name());
        let writers = [Host::Rust; 3];
        report(&name, Instant::now(), power::run(&mut Bound::ordinary(20), file_system, &writers));
    }
}

/// Negative controls: where syncs do nothing, the power cut loses what was acknowledged, and the comparison says so.
#[test]
fn syncs_that_lie_are_found_out() {
    for lie in [Lie::Library, Lie::Disk] {
        report(&format!("control ({lie:?})"), Instant::now(), power::control(FileSystem::Ext4, lie, 10));
    }
}

fn told(numbers: &[u64]) -> (writers::Told, Held) {
    let mut held = Held::new();
    let mut told = writers::Told { name: "w".into(), ..writers::Told::default() };
    for number in numbers {
        let messages = held.entry(session("w", *number).to_owned()).or_default();
        let seq = messages.len() as u64 + 1;
        messages.insert(seq, text("w", *number));
        told.acknowledged.push((*number, seq));
    }
    (told, held)
}

fn check(change: impl FnOnce(&mut Held)) -> Vec<String> {
    let (told, mut held) = told(&[1, 2, 3, 4, 5, 6]);
    change(&mut held);
    compare(&[told], &held)
}

/// The comparison itself can fail, in every way that it is there for.
#[test]
fn a_message_that_is_lost_doubled_or_changed_is_found() {
    assert_eq!(check(|_| {}), Vec::<String>::new());
    let is_found = |change: fn(&mut Held), says: &str| {
        let faults = check(change);
        assert!(faults.iter().any(|fault| fault.contains(says)), "{says}: {faults:?}");
    };
    is_found(|held| drop(held.get_mut("w").unwrap().remove(&2)), "there is None");
    is_found(|held| drop(held.remove("shared")), "there is None");
    is_found(|held| drop(held.get_mut("w").unwrap().insert(9, text("w", 2))), "is there 2 times");
    is_found(|held| held.get_mut("w").unwrap().get_mut(&1).unwrap().push('y'), "was never written so");
    is_found(|held| drop(held.get_mut("w").unwrap().insert(9, text("w", 8))), "was never written so");
    // One more than was acknowledged may have been under way.
    assert_eq!(check(|held| drop(held.get_mut("w").unwrap().insert(9, text("w", 7)))), Vec::<String>::new());
}
