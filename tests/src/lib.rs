//! What the tests of the hosts share: the corpus' runner, the programs of other languages, real processes; and the
//! simulation.

pub mod corpus;
#[cfg(unix)]
pub mod hostile;
pub mod hosts;
pub mod real;

pub use sessile_simulation::{bound, explore, generate, inject, model, sim};
