//! A full disk, a limit of file sizes, and a sync that fails: the writer is told, nothing that it was acknowledged is
//! harmed, and it goes on by itself when the cause is gone: through the same handle, or a new one after a failed sync.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::power::is_root;
use super::writers::{Told, Writer, compare, hold};
use super::{count, has_program, must, place, scripts, skipped, without_strace};
use crate::bound::{Bound, Tally, add};
use crate::hosts::Host;

/// How much the small file system holds.
const DISK_BYTES: usize = 1024 * 1024;
/// What stands in its way at first.
const BALLAST_BYTES: usize = 512 * 1024;
/// The first limit of file sizes, in KiB: a few dozen messages of this writer.
const LIMIT_KIB: u64 = 64;
/// How often the writer must have been refused before there is space again.
const REFUSALS: usize = 5;
/// How many messages it must be acknowledged afterwards.
const MORE: usize = 20;

/// Runs all three, once for each seed.
///
/// Errors: what went wrong, where.
pub fn run(bound: &mut Bound, host: Host) -> Result<Tally, String> {
    let mut tally = Tally::new();
    while let Some(seed) = bound.next_seed() {
        for (what, result) in [
            ("full disk", full_disk(host)),
            ("file-size limit", file_limit(host)),
            ("failed sync", failed_sync(host, seed)),
        ] {
            let part = result.map_err(|error| {
                format!(
                    "{what} ({}): {error}\nagain: SESSILE_SEED={seed} cargo test --test real a_full_disk",
                    host.name()
                )
            })?;
            add(&mut tally, part);
        }
    }
    Ok(tally)
}

/// A small file system that is unmounted when it goes.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

fn full_disk(host: Host) -> Result<Tally, String> {
    if !is_root() {
        return Ok(skipped("a full disk needs a mount, and that needs root"));
    }
    let place = place(&format!("full-{}", host.name()))?;
    let mount = place.join("mount");
    fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES},mode=0700"), "tmpfs"]).arg(&mount);
    if let Err(reason) = must(&mut command) {
        return Ok(skipped(&format!("a tmpfs cannot be mounted here: {reason}")));
    }
    let _small = Small(mount.clone());
    let ballast = mount.join("ballast");
    fs::write(&ballast, vec![0; BALLAST_BYTES]).map_err(|error| error.to_string())?;
    let store = mount.join("store");
    let mut writer = Writer::start(host, &store, &place, "w", &[])?;
    let refused = wait_for_refusals(&mut writer, &store)?;
    fs::remove_file(ballast).map_err(|error| error.to_string())?;
    let told = go_on(writer, &store, &refused)?;
    finish("full disks", &told, "unavailable", 1)
}

fn file_limit(host: Host) -> Result<Tally, String> {
    if !has_program("bash") || !has_program("prlimit") {
        return Ok(skipped("bash or prlimit (apt-get install util-linux) is missing"));
    }
    let place = place(&format!("limit-{}", host.name()))?;
    let store = place.join("store");
    // The signal is ignored, as the interpreters of the other languages do by themselves: the call says it too.
    let limited = format!("ulimit -S -f {LIMIT_KIB}; trap '' XFSZ; exec \"$0\" \"$@\"");
    let mut writer = Writer::start(host, &store, &place, "w", &["bash", "-c", &limited])?;
    let refused = wait_for_refusals(&mut writer, &store)?;
    must(Command::new("prlimit").arg(format!("--pid={}", writer.id())).arg("--fsize=1073741824:"))?;
    let told = go_on(writer, &store, &refused)?;
    finish("file-size limits", &told, "unavailable", 1)
}

/// One sync reports an error, although the disk is well again afterwards.
fn failed_sync(host: Host, seed: u64) -> Result<Tally, String> {
    if let Some(reason) = without_strace() {
        return Ok(skipped(&reason));
    }
    let place = place(&format!("sync-{}", host.name()))?;
    let store = place.join("store");
    let inject = format!("inject=fdatasync:error=EIO:when={}", 3 + seed % 20);
    let wrap = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
    let mut writer = Writer::start(host, &store, &place, "w", &wrap)?;
    writer.wait_for("an error", |told| !told.errors.is_empty())?;
    let before = writer.told();
    let told = go_on(writer, &store, &before)?;
    finish("failed syncs", &told, "closed", 2)
}

/// Waits until the writer is stuck; what it was acknowledged until then can be read meanwhile.
fn wait_for_refusals(writer: &mut Writer, store: &Path) -> Result<Told, String> {
    writer.wait_for("refusals", |told| told.errors.len() >= REFUSALS && !told.acknowledged.is_empty())?;
    let told = writer.told();
    check(&told, store)?;
    Ok(told)
}

/// Waits until the writer has gone on, and ends it.
fn go_on(mut writer: Writer, store: &Path, before: &Told) -> Result<Told, String> {
    let enough = before.acknowledged.len() + MORE;
    writer.wait_for("more acknowledgements", |told| told.acknowledged.len() >= enough)?;
    let told = writer.stop()?;
    check(&told, store)?;
    Ok(told)
}

fn check(told: &Told, store: &Path) -> Result<(), String> {
    let faults = compare(std::slice::from_ref(told), &hold(store)?);
    // A write that a full disk has cut is damage as soon as another record stands behind it: nobody was told of it.
    let findings = scripts::doctor(store, &["damage"])?;
    if faults.is_empty() && findings.is_empty() {
        return Ok(());
    }
    Err(format!("{} faults: {faults:?}, the doctor finds {findings:?}", faults.len()))
}

fn finish(what: &str, told: &Told, kind: &str, openings: u64) -> Result<Tally, String> {
    if let Some(other) = told.errors.iter().find(|error| *error != kind) {
        return Err(format!("the writer was told {other}, not {kind}"));
    }
    if told.openings != openings {
        return Err(format!("the writer has opened the store {} times, not {openings}", told.openings));
    }
    let mut tally = Tally::new();
    count(&mut tally, what, 1);
    count(&mut tally, "acknowledged appends", told.acknowledged.len() as u64);
    count(&mut tally, "refusals told", told.errors.len() as u64);
    Ok(tally)
}
