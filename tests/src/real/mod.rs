//! Real processes on real disks: system calls that fail, kills, full disks and power cuts.
//!
//! Each part has a function `run` that works through the seeds of a [`crate::bound::Bound`] and counts what it has
//! done; the ordinary tests give it a fixed amount, `cargo xtask torture` hours. What was acknowledged is always
//! written down outside of the store, and compared with what is there afterwards by the native core in this process.
//!
//! What a machine cannot do is counted as `skipped: <reason>`, never as done.

#[cfg(unix)]
pub mod calls;
#[cfg(unix)]
pub mod full;
pub mod kills;
#[cfg(unix)]
pub mod power;
pub mod scripts;
pub mod told;
pub mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bound::Tally;
use crate::hosts::Host;

/// Counts in a tally.
pub fn count(tally: &mut Tally, what: &str, number: u64) {
    *tally.entry(what.to_owned()).or_default() += number;
}

/// The tally of a part that this machine cannot run.
pub fn skipped(reason: &str) -> Tally {
    [(format!("skipped: {reason}"), 1)].into()
}

/// Says why strace cannot be used here, if it cannot.
pub fn without_strace() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("strace is for Linux alone".into());
    }
    if !has_program("strace") {
        return Some("strace is missing: install it (apt-get install strace)".into());
    }
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = traced.is_ok_and(|status| status.success());
    (!works).then(|| "strace may not trace here: allow ptrace (CAP_SYS_PTRACE)".into())
}

/// Whether a program stands in the search path.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(name).is_file())
}

/// The command of a host's test program, or a text that says what is missing.
fn program(host: Host, name: &str) -> Result<Command, String> {
    host.program(name).map_err(|error| format!("{error:#}"))
}

/// Runs a command that must succeed.
fn must(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// An empty folder below `target` for one part's files.
fn place(name: &str) -> Result<PathBuf, String> {
    crate::hosts::fresh(&format!("real/{name}")).map_err(|error| format!("{name}: {error:#}"))
}

/// Copies a directory tree in place of another.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::remove_dir_all(to).ok();
    let fail = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    if !from.exists() {
        return Ok(());
    }
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).unwrap_or(&file));
        fs::create_dir_all(copy.parent().unwrap_or(to)).map_err(fail)?;
        fs::copy(&file, copy).map_err(fail)?;
    }
    private(to).map_err(fail)
}

/// Gives a tree's directories the modes of a store's, whatever the umask is.
fn private(root: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(root)?;
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// All files below a directory, sorted.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            todo.extend(entries.map(|entry| entry.path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
