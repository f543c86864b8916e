//! The corpus of the fuzz target `component`: the same calls in the native core and in the component. The other targets are
//! replayed by the tests of the simulation.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests stop at the first surprise")]

use std::fs;

use sessile::{ComponentStore, OpenOptions};
use sessile_simulation::fuzz::{differential, seeds};
use sessile_tests::hosts::repository;

#[test]
fn the_component_does_as_the_core_does_with_any_calls() {
    let mut inputs = seeds::of("component");
    for place in ["corpus/component", "found/component", "corpus/calls", "found/calls"] {
        for entry in fs::read_dir(repository().join("fuzz").join(place)).unwrap() {
            inputs.push(fs::read(entry.unwrap().path()).unwrap());
        }
    }
    for input in &inputs {
        differential(input, |host| ComponentStore::open(host, OpenOptions::default()));
    }
    println!("{} inputs", inputs.len());
    assert!(inputs.len() > 100);
}
