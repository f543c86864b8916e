//! `script STORE ACKS SCRIPT`: carries out the steps of the JSON file SCRIPT on a store; see `tests/src/real/scripts.rs`.
//!
//! Natively: every start is quick, and what is at stake is what the file layer makes of failing system calls.

#![allow(clippy::exit, reason = "how it ended is what a test reads")]

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sessile_tests::real::scripts;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, acks, script] = args.as_slice() else { bail!("usage: script STORE ACKS SCRIPT") };
    let steps: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(script)?).context("SCRIPT")?;
    std::process::exit(scripts::program(Path::new(store), Path::new(acks), &steps)?)
}
