//! What is published, installed where nothing else is: the tarball and the wheel, without Rust.
//!
//! `cargo xtask package` has made them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sessile_tests::hosts::{fresh, output, repository};

/// What is published.
const PUBLISHED: [&str; 6] = [
    "sessile-VERSION.crate",
    "sessile-cli-VERSION.crate",
    "sessile-core-VERSION.crate",
    "sessile-VERSION.tgz",
    "sessile-VERSION.tar.gz",
    "sessile-VERSION-py3-none-any.whl",
];

/// A file that was made, by its name with `VERSION` in it.
fn published(name: &str) -> PathBuf {
    let file = repository().join("target/package").join(versioned(name));
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let made =
        changed(&file).unwrap_or_else(|_| panic!("no {}; `cargo xtask package` makes it", file.display()));
    let component = changed(&repository().join("host/component/sessile.wasm")).unwrap();
    assert!(made >= component, "{name} holds an older component; `cargo xtask package` makes it anew");
    file
}

fn versioned(name: &str) -> String {
    name.replace("VERSION", env!("CARGO_PKG_VERSION"))
}

/// The search path without the folders that have Rust.
fn without_rust() -> OsString {
    let path = env::var_os("PATH").unwrap();
    let has_rust =
        |folder: &PathBuf| ["cargo", "rustc", "cargo.exe"].iter().any(|name| folder.join(name).exists());
    env::join_paths(env::split_paths(&path).filter(|folder| !has_rust(folder))).unwrap()
}

/// A command that finds no Rust, and nothing of this repository.
fn command(program: impl AsRef<std::ffi::OsStr>, place: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(place).env("PATH", without_rust());
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO") || name_text.starts_with("RUST") || name_text.starts_with("PYTHON")
        {
            command.env_remove(name);
        }
    }
    command
}

/// A folder outside of the repository, whose modules the languages would find from within it.
fn outside(name: &str) -> PathBuf {
    let place = env::temp_dir().join(format!("sessile-packages-{}-{name}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    place
}

fn copy(from: &str, to: &Path) {
    let from = repository().join(from);
    fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
}

/// The example of a language in the README of the repository, as a file.
fn example(language: &str, file: &Path) {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, from) = readme.split_once(&format!("```{language}\n")).unwrap();
    fs::write(file, from.split_once("```").unwrap().0).unwrap();
}

#[test]
fn everything_that_is_published_is_there() {
    for name in PUBLISHED {
        assert!(fs::metadata(published(name)).unwrap().len() > 10_000, "{name}");
    }
    assert!(Command::new("rustc").env("PATH", without_rust()).arg("--version").output().is_err());
}

#[test]
fn the_tarball_runs_where_nothing_else_is() {
    let place = outside("node");
    fs::write(place.join("package.json"), r#"{"private":true,"type":"module"}"#).unwrap();
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--offline"];
    output(command(npm, &place).args(install).arg(published("sessile-VERSION.tgz"))).unwrap();
    let modules: Vec<_> = fs::read_dir(place.join("node_modules"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .collect();
    assert_eq!(modules, ["sessile"], "it has dependencies");

    copy("host-node/examples/quick-start.mjs", &place);
    let said = output(command("node", &place).arg("quick-start.mjs")).unwrap();
    assert_eq!(said, "1 user\n2 assistant\n");

    example("js", &place.join("readme.mjs"));
    assert_eq!(output(command("node", &place).arg("readme.mjs")).unwrap(), "1 user\n");

    for file in ["index.ts", "console.d.ts", "tsconfig.json"] {
        copy(&format!("host-node/tests/consumer/{file}"), &place);
    }
    let tsc = repository().join("host-node/node_modules/typescript/bin/tsc");
    output(command("node", &place).arg(tsc).args(["--project", "."])).unwrap();
    let run = "import { main } from './index.js'; await main('store')";
    output(command("node", &place).args(["--input-type=module", "--eval", run])).unwrap();
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn the_wheel_runs_where_nothing_else_is() {
    let place = outside("python");
    let folder =
        |name: &str| place.join("venv").join(if cfg!(windows) { "Scripts" } else { "bin" }).join(name);
    let base = repository().join("host-python/.venv").join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    // A virtual environment made from another has nothing of what is installed there.
    output(command(&base, &place).args(["-m", "venv", "venv"])).unwrap();
    let python = folder("python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    output(command(&python, &place).args(pip).arg(published("sessile-VERSION-py3-none-any.whl"))).unwrap();

    copy("host-python/examples/quick_start.py", &place);
    copy("host-python/tests/consumer.py", &place);
    let cache = place.join("cache");
    let said = output(command(&python, &place).arg("quick_start.py").env("SESSILE_CACHE", &cache)).unwrap();
    assert_eq!(said, "1 user Why does it fail?\n2 assistant A missing import.\n");
    assert!(fs::read_dir(&cache).unwrap().next().is_some(), "the compiled component was not kept");
    let run =
        "import pathlib, consumer, sessile; consumer.main(pathlib.Path('store')); print(sessile.__file__)";
    let said = output(command(&python, &place).args(["-c", run])).unwrap();
    assert!(said.contains("site-packages"), "{said}");

    // Outside of the package, so that only what the wheel brings is typed.
    let strict = ["-m", "mypy", "--strict", "--no-incremental", "--python-executable"];
    output(command(&base, &place).args(strict).arg(&python).args(["consumer.py", "quick_start.py"])).unwrap();
    fs::remove_dir_all(place).unwrap();
}

/// Every crate is packed with its licences, and the host's with the component and its contract.
#[test]
fn the_crates_hold_what_they_need() {
    let place = fresh("packages-crates").unwrap();
    for (name, needed) in [
        ("sessile-core-VERSION", ["src/lib.rs", "LICENSE-MIT", "LICENSE-APACHE", "README.md"].as_slice()),
        ("sessile-cli-VERSION", &["src/main.rs", "LICENSE-MIT", "LICENSE-APACHE", "README.md"]),
        (
            "sessile-VERSION",
            &["component/sessile.wasm", "component/wit/sessions.wit", "LICENSE-MIT", "README.md"],
        ),
    ] {
        let file = published(&format!("{name}.crate"));
        output(Command::new("tar").arg("-xzf").arg(file).arg("-C").arg(&place)).unwrap();
        for file in needed {
            assert!(place.join(versioned(name)).join(file).is_file(), "{name} lacks {file}");
        }
    }
    let ours = fs::read(repository().join("host/component/sessile.wasm")).unwrap();
    assert!(
        fs::read(place.join(versioned("sessile-VERSION")).join("component/sessile.wasm")).unwrap() == ours
    );
}
