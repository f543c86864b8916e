//! The core on a simulated disk: a plain model of what a store promises, and the harness that compares the two.
//!
//! Nothing here knows how the core works. The disk keeps the contract of `sessile_core::Fs` to the letter and
//! breaks everything that the contract leaves open; the model says what a caller may rely on.
//! It needs the core alone, so that it can be built with planted faults, or for a fuzzer, without wasmtime.

pub mod bound;
pub mod explore;
pub mod flips;
pub mod fuzz;
pub mod generate;
pub mod inject;
pub mod model;
pub mod pairs;
pub mod parts;
pub mod scripts;
pub mod sim;
