//! Making components: a guest crate compiled to a core module, and that wrapped with its contract.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use crate::{cargo_program, execute};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "component";
/// Where the hosts take the store's component from, below the root.
pub(crate) const PLACE: &str = "host/component/sessile.wasm";

/// A crate that becomes a component.
struct Guest {
    package: &'static str,
    module: &'static str,
    /// Where the component is put, below the root.
    place: &'static str,
}

/// The store, which the hosts carry, and the example of a plug-in.
const GUESTS: [Guest; 2] = [
    Guest { package: "sessile-component", module: "sessile_component.wasm", place: PLACE },
    Guest { package: "sessile-plug-in", module: "sessile_plug_in.wasm", place: "target/plug-in/recap.wasm" },
];

/// Builds the components and puts them into their places, where they have changed.
pub(crate) fn build(root: &Path) -> Result<()> {
    add_target()?;
    guests(root, "build", &[])?;
    for guest in &GUESTS {
        let module = root.join("target").join(TARGET).join(PROFILE).join(guest.module);
        let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        let mut encoder = ComponentEncoder::default();
        let component = encoder.validate(true).module(&module).and_then(ComponentEncoder::encode);
        let component = component.with_context(|| format!("{} is no component", guest.module))?;
        put(&root.join(guest.place), &component)?;
    }
    carry_contract(root)?;
    compose(root)
}

/// Copies the contract to where the Rust host reads it: a published crate holds nothing from outside of its folder.
fn carry_contract(root: &Path) -> Result<()> {
    let copies = root.join("host/component/wit");
    let originals = root.join("wit");
    fs::create_dir_all(&copies)?;
    for entry in fs::read_dir(&copies)? {
        let entry = entry?;
        if !originals.join(entry.file_name()).exists() {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(&originals)? {
        let entry = entry?;
        put(&copies.join(entry.file_name()), &fs::read(entry.path())?)?;
    }
    Ok(())
}

/// Makes one component of the plug-in and the store.
fn compose(root: &Path) -> Result<()> {
    let out = root.join("target/plug-in/composed.wasm");
    let inputs = [GUESTS[1].place, GUESTS[0].place].map(|place| root.join(place));
    let made = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if made(&out).is_some_and(|out| inputs.iter().all(|input| made(input).is_some_and(|input| input < out))) {
        return Ok(());
    }
    let mut command = Command::new(cargo_program());
    command.current_dir(root).args(["run", "--quiet", "--package", "sessile-compose", "--"]);
    execute(command.args(inputs).arg(out))
}

/// Writes a file. An unchanged one keeps its time, so that nothing is built again.
pub(crate) fn put(place: &Path, content: &[u8]) -> Result<()> {
    if fs::read(place).ok().as_deref() == Some(content) {
        return Ok(());
    }
    fs::create_dir_all(place.parent().context("a file in no directory")?)?;
    fs::write(place, content).with_context(|| format!("cannot write {}", place.display()))
}

/// Lints the guests, which are not among the default members.
pub(crate) fn lint(root: &Path) -> Result<()> {
    guests(root, "clippy", &["--", "--deny", "warnings"])
}

fn guests(root: &Path, verb: &str, rest: &[&str]) -> Result<()> {
    let packages = GUESTS.iter().flat_map(|guest| ["--package", guest.package]);
    let mut command = Command::new(cargo_program());
    command.current_dir(root).args([verb, "--quiet"]).args(packages);
    execute(command.args(["--target", TARGET, "--profile", PROFILE]).args(rest))
}

/// rustup installs the target by itself only where that is allowed.
fn add_target() -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let there = sysroot.is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir());
    if there {
        return Ok(());
    }
    let Ok(status) = Command::new("rustup").args(["target", "add", TARGET]).status() else {
        bail!(
            "the Rust target {TARGET} is missing and rustup is not installed; install rustup or add the target"
        );
    };
    if !status.success() {
        bail!("the Rust target {TARGET} is missing; `rustup target add {TARGET}` must succeed once");
    }
    Ok(())
}
