//! Processes of three languages work on one store at once, on the real disk, and some of them are killed: nothing
//! acknowledged is lost, nothing is doubled, and all languages see the same store afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sessile_tests::hosts::{self, Host};
use sessile_tests::real::files;
use sessile_tests::real::told::{Pace, Told, first, work};

/// How long the workers work. `SESSILE_MIXED_SECONDS` says otherwise.
const SECONDS: u64 = 30;

#[test]
fn three_languages_work_on_one_store_and_nothing_is_lost_or_doubled() {
    let seconds = std::env::var("SESSILE_MIXED_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let seed = std::env::var("SESSILE_MIXED_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("mixed: SESSILE_MIXED_SEED={seed} draws the same kills and operations, not the same timing");
    let place = hosts::fresh("mixed").unwrap();
    let workers = Host::ALL.iter().flat_map(|host| [(*host, 0), (*host, 1)]);
    let told = Told::read(&place, work(&place, workers, &Pace::calm(Duration::from_secs(seconds)), seed));
    let faults = told.compare(&place);
    assert!(faults.is_empty(), "{} faults, the first of them:\n{}", faults.len(), first(&faults));
    let dumps = Host::ALL.map(|host| dump(host, &place.join("store")));
    for (host, dump) in Host::ALL.iter().zip(&dumps).skip(1) {
        assert!(*dump == dumps[0], "{} sees another store than {}", host.name(), Host::ALL[0].name());
    }
    for (name, count) in told.lives.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(*count > 0, "{name} was acknowledged nothing");
    }
    println!("mixed: {}", told.figures());
}

/// That the check above can fail: one lost record in one log is found.
#[test]
fn a_lost_record_is_found() {
    let place = hosts::fresh("mixed-lost").unwrap();
    let told = Told::read(
        &place,
        work(&place, [(Host::Rust, 0), (Host::Rust, 1)], &Pace::calm(Duration::from_secs(1)), 7),
    );
    let faults = told.compare(&place);
    assert!(faults.is_empty(), "{}", first(&faults));
    let lost = told.appends.iter().find(|append| append.session == "shared-0").unwrap();
    let log = files(&place.join("store/sessions"))
        .into_iter()
        .find(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.lines().next().unwrap().contains("shared-0")
                && text.contains(&format!("\"{}\"", lost.texts[0]))
        })
        .unwrap();
    let text = fs::read_to_string(&log).unwrap();
    let kept = |line: &&str| !line.contains(&format!("\"{}\"", lost.texts[0]));
    fs::write(&log, text.split_inclusive('\n').filter(kept).collect::<String>()).unwrap();
    let faults = told.compare(&place);
    let found = format!("{} is there 0 times", lost.texts[0]);
    assert!(faults.iter().any(|fault| fault.contains(&found)), "{found}: not among\n{}", first(&faults));
}

fn dump(host: Host, store: &Path) -> Value {
    serde_json::from_str(&hosts::output(host.program("dump").unwrap().arg(store)).unwrap()).unwrap()
}
