//! The packages of the other languages, and everything that is published.
//!
//! Each is set up in a folder of the project: `host-node/node_modules` and `host-python/.venv`. What was set up from
//! stands in a stamp there, so that nothing is installed or built twice. Nothing is installed on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{cargo, component, execute, root};

const NODE_MIN: u32 = 20;
const PYTHON_MIN: (u32, u32) = (3, 10);
const STAMP: &str = ".sessile-stamp";

/// What to do where a language is not installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Say so and go on: what was asked for does not need it.
    Note,
    /// Fail: what was asked for covers every language.
    Fail,
}

/// Sets up and builds the packages of Node and Python.
pub(crate) fn build(missing: Missing) -> Result<()> {
    for (is_there, set_up) in
        [(node(), Node::build as fn() -> Result<()>), (python().map(drop), Python::build)]
    {
        match is_there {
            Ok(()) => set_up()?,
            Err(reason) if missing == Missing::Note => eprintln!("note: {reason}"),
            Err(reason) => return Err(reason),
        }
    }
    Ok(())
}

/// Runs the tests that the packages bring.
pub(crate) fn test() -> Result<()> {
    Python::install_frameworks()?;
    // Each keeps one processor busy, so they run side by side.
    let mut node = Node::npm()?.args(["test", "--silent"]).spawn().context("`npm` cannot be run")?;
    let python = execute(Python::command().args(["-m", "pytest", "--quiet"]));
    let status = node.wait()?;
    if !status.success() {
        bail!("the tests of the package for Node failed ({status})");
    }
    python
}

/// Sets up the readers of other agents, which read what is exported to their formats.
pub(crate) fn readers() -> Result<()> {
    node()?;
    let folder = root().join("cli/tests/readers");
    let wanted = text_of(&folder, &["package.json"])? + &said(Command::new("node").arg("--version"))?;
    stamped(&folder.join("node_modules"), &wanted, || {
        // No scripts of theirs run. Their programs want a newer Node, which npm would remark.
        let install =
            ["install", "--ignore-scripts", "--no-package-lock", "--silent", "--no-audit", "--no-fund"];
        execute(Node::npm()?.current_dir(&folder).args(install))
    })?;
    Python::install_frameworks()
}

/// Sets up what is measured beside the store, in folders of `bench`.
///
/// SQLite for Node is compiled here where no built one can be had, and left out where that fails: the report says so.
pub(crate) fn peers() -> Result<()> {
    node()?;
    let folder = root().join("bench/node");
    let wanted = text_of(&folder, &["package.json"])? + &said(Command::new("node").arg("--version"))?;
    stamped(&folder.join("node_modules"), &wanted, || {
        println!("installing the peers of Node; their SQLite is compiled, which takes some minutes");
        let install = ["install", "--no-package-lock", "--silent", "--no-audit", "--no-fund"];
        execute(Node::npm()?.current_dir(&folder).args(install))
    })?;
    let folder = root().join("bench/python");
    let python = python()?;
    let wanted = text_of(&folder, &["requirements.txt"])? + &said(Command::new(python).arg("--version"))?;
    let place = folder.join(".venv");
    stamped(&place, &wanted, || {
        println!("installing the peers of Python");
        execute(Command::new(python).args(["-m", "venv", "--clear"]).arg(&place))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        let program = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
        execute(Command::new(program).current_dir(&folder).args(pip).arg("requirements.txt"))
    })
}

/// Sets a folder up, unless it was set up from the same.
fn stamped(folder: &Path, wanted: &str, set_up: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    set_up()?;
    Ok(fs::write(stamp, wanted)?)
}

/// Checks the types of both packages.
pub(crate) fn lint() -> Result<()> {
    execute(Node::command().args(["node_modules/typescript/bin/tsc", "--noEmit"]))?;
    execute(Python::command().args(["-m", "mypy", "--strict", "src"]))
}

/// Puts everything that is published into `target/package`: the crates, the npm tarball, the wheel and its sources.
pub(crate) fn package() -> Result<()> {
    let out = root().join("target/package");
    // What an earlier version has left must not be taken for this one's.
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&out)?,
    }
    for package in ["core", "formats", "host", "cli", "host-node", "host-python"] {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            component::put(&folder(package).join(licence), &fs::read(root().join(licence))?)?;
        }
    }
    quietly(Node::npm()?.args(["pack", "--pack-destination"]).arg(&out))?;
    quietly(Python::command().args(["-m", "build", "--outdir"]).arg(&out))?;
    // Verifying would compile wasmtime once more, for each crate. The component is built, which cargo calls dirty.
    let crates = ["sessile-core", "sessile-formats", "sessile", "sessile-cli"]
        .iter()
        .flat_map(|name| ["--package", name]);
    cargo(
        &["package", "--quiet", "--no-verify", "--allow-dirty"].into_iter().chain(crates).collect::<Vec<_>>(),
    )?;
    let mut made: Vec<_> = fs::read_dir(&out)?.collect::<Result<_, _>>()?;
    made.retain(|entry| entry.path().is_file());
    made.sort_by_key(fs::DirEntry::file_name);
    for entry in made {
        println!("{} {} bytes", entry.path().display(), entry.metadata()?.len());
    }
    Ok(())
}

struct Node;

impl Node {
    fn command() -> Command {
        let mut command = Command::new("node");
        command.current_dir(folder("host-node"));
        command
    }

    /// npm, which on Windows is a script that only a shell runs.
    fn npm() -> Result<Command> {
        node()?;
        let mut command = if cfg!(windows) {
            let mut shell = Command::new("cmd");
            shell.args(["/c", "npm"]);
            shell
        } else {
            Command::new("npm")
        };
        command.current_dir(folder("host-node"));
        Ok(command)
    }

    fn build() -> Result<()> {
        let folder = folder("host-node");
        let stamp = folder.join("node_modules").join(STAMP);
        let wanted = text_of(&folder, &["package.json", "package-lock.json"])?
            + &said(Self::command().arg("--version"))?;
        if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            // Not `npm ci`: a dependency of jco names optional packages for other systems that were never published, and
            // `npm ci` takes that for a lock file out of step. This installs what the lock file says and writes none.
            execute(Self::npm()?.args(["install", "--no-save", "--silent", "--no-audit", "--no-fund"]))?;
            fs::write(&stamp, wanted)?;
        }
        let built = folder.join("node_modules/.sessile-built");
        let sources = ["src", "scripts", "tsconfig.json", "package.json"].map(|name| folder.join(name));
        let sources = [&sources[..], &[root().join(component::PLACE), stamp]].concat();
        if !folder.join("dist").is_dir() || is_older(&built, &sources) {
            execute(Self::npm()?.args(["run", "--silent", "build"]))?;
            fs::write(&built, "")?;
        }
        Ok(())
    }
}

struct Python;

impl Python {
    fn program() -> PathBuf {
        folder("host-python").join(if cfg!(windows) {
            ".venv/Scripts/python.exe"
        } else {
            ".venv/bin/python"
        })
    }

    fn command() -> Command {
        let mut command = Command::new(Self::program());
        command.current_dir(folder("host-python"));
        command
    }

    fn build() -> Result<()> {
        let folder = folder("host-python");
        put_component(&folder.join("src/sessile/component"))?;
        let stamp = folder.join(".venv").join(STAMP);
        let python = python()?;
        let wanted = text_of(&folder, &["pyproject.toml"])? + &said(Command::new(python).arg("--version"))?;
        if fs::read_to_string(&stamp).ok().as_ref() == Some(&wanted) {
            return Ok(());
        }
        execute(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder.join(".venv")))?;
        Self::install(".[test]")?;
        Ok(fs::write(stamp, wanted)?)
    }

    /// Installs the frameworks that the adapters stand behind. Only the tests want them, and they are large.
    fn install_frameworks() -> Result<()> {
        let folder = folder("host-python");
        let stamp = folder.join(".venv/.sessile-frameworks");
        let wanted = text_of(&folder, &["pyproject.toml"])?;
        if fs::read_to_string(&stamp).ok().as_ref() == Some(&wanted) {
            return Ok(());
        }
        Self::install(".[test,adapters]")?;
        Ok(fs::write(stamp, wanted)?)
    }

    fn install(extras: &str) -> Result<()> {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        execute(Self::command().args(pip).args(["--editable", extras]))
    }
}

/// Puts the component where the Python package looks for it, under the name that `hatch_build.py` gives it too: with
/// its hash, so that no start needs to look at all of it.
fn put_component(inside: &Path) -> Result<()> {
    let component = fs::read(root().join(component::PLACE))?;
    let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    let place = inside.join(format!("sessile-{digest}.wasm"));
    component::put(&place, &component)?;
    for entry in fs::read_dir(inside)? {
        let old = entry?.path();
        if old != place {
            fs::remove_file(old)?;
        }
    }
    Ok(())
}

/// Whether Node and npm are installed. Errors: what is missing, and from which version on it serves.
fn node() -> Result<()> {
    let wanted =
        || format!("the Node package needs Node {NODE_MIN} or newer with npm; install it from nodejs.org");
    let version = said(Command::new("node").arg("--version")).with_context(wanted)?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MIN) {
        bail!("{}; this is {}", wanted(), version.trim());
    }
    let npm = if cfg!(windows) {
        ("cmd", ["/c", "npm", "--version"].as_slice())
    } else {
        ("npm", ["--version"].as_slice())
    };
    said(Command::new(npm.0).args(npm.1)).with_context(wanted).map(drop)
}

/// The name of a Python that serves. Errors: as [`node`].
fn python() -> Result<&'static str> {
    let script = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < {PYTHON_MIN:?})");
    let serves = |name: &&str| said(Command::new(name).args(["-c", &script])).is_ok();
    ["python3", "python"].into_iter().find(serves).with_context(|| {
        let (major, minor) = PYTHON_MIN;
        format!("the Python package needs Python {major}.{minor} or newer with venv; install it (on Debian: python3-venv)")
    })
}

/// Runs a command whose output nobody needs where it succeeds.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        bail!("{command:?} failed ({}):\n{stdout}{stderr}", output.status);
    }
    Ok(())
}

/// What a command prints. Errors: it cannot be run or fails.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("`{}` failed ({})", command.get_program().to_string_lossy(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn folder(name: &str) -> PathBuf {
    root().join(name)
}

fn text_of(folder: &Path, names: &[&str]) -> Result<String> {
    let read = |name: &&str| {
        let file = folder.join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    names.iter().map(read).collect()
}

/// Whether a stamp is older than one of the files, or of those below one of the folders.
fn is_older(stamp: &Path, sources: &[PathBuf]) -> bool {
    let Some(stamp) = changed(stamp) else { return true };
    let mut todo = sources.to_vec();
    while let Some(path) = todo.pop() {
        if changed(&path).is_none_or(|changed| changed > stamp) {
            return true;
        }
        let below = fs::read_dir(&path).into_iter().flatten().flatten();
        todo.extend(below.map(|entry| entry.path()));
    }
    false
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
