//! The test programs of every host language, as child processes: `corpus`, `values`, `worker` and `dump`.
//!
//! A package that is not set up is a failure with the way out, never a test that is left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// A host language with test programs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// The crate, with the component in wasmtime.
    Rust,
    /// The npm package.
    Node,
    /// The Python package.
    Python,
}

impl Host {
    /// Every host.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Node, Self::Python];

    /// Its name, as folders of results have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Node => "node",
            Self::Python => "python",
        }
    }

    /// A command that runs one of its test programs.
    ///
    /// Errors: the package is not set up; says which command does that.
    pub fn program(self, name: &str) -> Result<Command> {
        let root = repository();
        match self {
            Self::Rust => {
                // Test programs stand in `target/debug/deps`, the others one above.
                let own = std::env::current_exe()?;
                let folder = own.parent().context("the program stands nowhere")?;
                let debug = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
                let program = debug.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
                require(&program, "Rust")?;
                Ok(Command::new(program))
            }
            Self::Node => {
                let package = root.join("host-node");
                require(&package.join("node_modules"), "Node")?;
                require(&package.join("dist"), "Node")?;
                let mut command = Command::new("node");
                command.arg(package.join("tests").join(format!("{name}.mjs")));
                Ok(command)
            }
            Self::Python => {
                let package = root.join("host-python");
                let python =
                    package.join(if cfg!(windows) { ".venv/Scripts/python.exe" } else { ".venv/bin/python" });
                require(&python, "Python")?;
                let mut command = Command::new(python);
                command.arg(package.join("tests").join(format!("{name}.py")));
                Ok(command)
            }
        }
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A folder below `target` that is empty now.
///
/// Errors: those of the disk.
pub fn fresh(name: &str) -> Result<PathBuf> {
    let place = repository().join("target").join(name);
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::fs::create_dir_all(&place)?;
    Ok(place)
}

/// Runs a command that must succeed and returns what it prints.
///
/// Errors: that it failed, with all that it said.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("{command:?} cannot be run"))?;
    let stdout = String::from_utf8(stdout)?;
    if !status.success() {
        bail!("{command:?} failed ({status}):\n{stdout}{}", String::from_utf8_lossy(&stderr));
    }
    Ok(stdout)
}

fn require(path: &Path, package: &str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    bail!(
        "the {package} package is not set up ({} is missing); `cargo xtask build` does that",
        path.display()
    )
}
