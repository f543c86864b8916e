//! Making the component: the guest crate compiled to a core module, and that wrapped with its contract.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use crate::{cargo_program, execute};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "component";

/// Builds the component and puts it into `host/component/sessile.wasm`, if it has changed.
pub(crate) fn build(root: &Path) -> Result<()> {
    add_target()?;
    guest(root, "build", &[])?;
    let module = root.join("target").join(TARGET).join(PROFILE).join("sessile_component.wasm");
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let mut encoder = ComponentEncoder::default();
    let component = encoder
        .validate(true)
        .module(&module)
        .and_then(ComponentEncoder::encode)
        .context("the module is no component")?;
    let place = root.join("host/component/sessile.wasm");
    // An unchanged file keeps its time, so that nothing is built again.
    if fs::read(&place).ok().as_deref() != Some(&component) {
        fs::create_dir_all(root.join("host/component"))?;
        fs::write(&place, &component).with_context(|| format!("cannot write {}", place.display()))?;
    }
    Ok(())
}

/// Lints the guest, which is not among the default members.
pub(crate) fn lint(root: &Path) -> Result<()> {
    guest(root, "clippy", &["--", "--deny", "warnings"])
}

fn guest(root: &Path, verb: &str, rest: &[&str]) -> Result<()> {
    let args = [verb, "--quiet", "--package", "sessile-component", "--target", TARGET, "--profile", PROFILE];
    execute(Command::new(cargo_program()).current_dir(root).args(args).args(rest))
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
