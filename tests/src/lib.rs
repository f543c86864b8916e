//! The testkit: a simulated disk, a plain model of what a store promises, and the harness that compares the two.
//!
//! Nothing here knows how the core works. The disk keeps the contract of `sessile_core::Fs` to the letter and
//! breaks everything that the contract leaves open; the model says what a caller may rely on.

pub mod bound;
pub mod corpus;
pub mod explore;
pub mod generate;
pub mod hosts;
pub mod inject;
pub mod model;
pub mod sim;
