//! `cargo xtask audit`: what others know about what this is made with: licences, sources, known vulnerabilities.
//!
//! Each check runs where its program and its database can be had. Where one cannot, that is said, and it is not counted
//! as passed. No part of the ordinary tests needs any of this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, bail};

use crate::{cargo_program, root};

/// What came of a check.
enum Outcome {
    /// It ran and found nothing.
    Clean,
    /// It ran, and this is what it found.
    Found(String),
    /// It cannot run here, and why.
    Cannot(String),
}

/// What is checked, and how.
type Check = (&'static str, fn() -> Outcome);

/// Runs every check that can be run, and says which cannot.
pub(crate) fn audit() -> Result<()> {
    let checks: [Check; 4] = [
        ("licences, bans and sources of the crates", || deny(&["licenses", "bans", "sources"])),
        ("known vulnerabilities of the crates", || deny(&["advisories"])),
        ("known vulnerabilities of the npm packages", npm),
        ("known vulnerabilities of the Python packages", pip),
    ];
    let (mut clean, mut found, mut cannot) = (0, 0, 0);
    for (name, check) in checks {
        match check() {
            Outcome::Clean => {
                clean += 1;
                println!("clean: {name}");
            }
            Outcome::Found(what) => {
                found += 1;
                println!("FOUND: {name}\n{what}");
            }
            Outcome::Cannot(why) => {
                cannot += 1;
                println!("NOT CHECKED: {name}: {why}");
            }
        }
    }
    println!("audit: {clean} clean, {found} with findings, {cannot} not checked");
    if found > 0 {
        bail!("the audit has found something");
    }
    Ok(())
}

/// cargo-deny reads `deny.toml`.
fn deny(checks: &[&str]) -> Outcome {
    let mut command = Command::new(cargo_program());
    command.current_dir(root()).args(["deny", "--locked", "check", "--hide-inclusion-graph"]).args(checks);
    let database = ["failed to fetch advisory database", "failed to load advisory database", "fetch"];
    let missing = ["no such command", "no such subcommand"];
    match command.output() {
        Err(error) => Outcome::Cannot(error.to_string()),
        Ok(output) if says(&output, &missing) => Outcome::Cannot(
            "cargo-deny is not installed; `cargo install --locked cargo-deny` does that".into(),
        ),
        Ok(output) if !output.status.success() && checks == ["advisories"] && says(&output, &database) => {
            Outcome::Cannot("the database of advisories cannot be fetched".into())
        }
        Ok(output) => judged(&output),
    }
}

fn npm() -> Outcome {
    let command = Command::new("npm").current_dir(root().join("host-node")).arg("audit").output();
    match command {
        Err(_) => Outcome::Cannot("npm is not installed".into()),
        Ok(output) if says(&output, &["audit endpoint returned an error", "ENOLOCK", "network"]) => {
            Outcome::Cannot("the registry in use answers no questions about vulnerabilities".into())
        }
        Ok(output) => judged(&output),
    }
}

fn pip() -> Outcome {
    let Some(packages) = site_packages() else {
        return Outcome::Cannot("the Python package is not set up; `cargo xtask build` does that".into());
    };
    let command =
        Command::new("pip-audit").args(["--progress-spinner", "off", "--path"]).arg(packages).output();
    match command {
        Err(_) => Outcome::Cannot("pip-audit is not installed; `pip install pip-audit` does that".into()),
        // The one package that users get with ours. It is on PyPI: whoever does not know it knows none.
        Ok(output) if says(&output, &["could not be audited: wasmtime", "Failed to", "ConnectionError"]) => {
            Outcome::Cannot("the registry in use answers no questions about vulnerabilities".into())
        }
        Ok(output) => judged(&output),
    }
}

/// Where the packages lie that the Python package is tested with.
fn site_packages() -> Option<PathBuf> {
    let environment = root().join("host-python/.venv");
    let below = |path: &Path| path.join("site-packages");
    let versions = fs::read_dir(environment.join("lib")).ok()?.flatten().map(|entry| below(&entry.path()));
    versions.chain([below(&environment.join("Lib"))]).find(|path| path.is_dir())
}

fn judged(output: &Output) -> Outcome {
    if output.status.success() { Outcome::Clean } else { Outcome::Found(text(output)) }
}

fn says(output: &Output, words: &[&str]) -> bool {
    let text = text(output);
    words.iter().any(|word| text.contains(word))
}

fn text(output: &Output) -> String {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{}\n{}", of(&output.stdout), of(&output.stderr))
}
