//! The component's machine code: compiled once per machine, kept outside the store.
//!
//! The cache is a directory of our own with mode 0700, because whoever can write to it can run code as us. A file is
//! named by a hash over the component and everything that its machine code depends on. Whatever goes wrong with the
//! cache, the component is compiled again; that costs a fraction of a second and nothing else.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, process};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// The component, built by `cargo xtask build` and carried inside the crate: what [`ComponentStore`] runs.
///
/// [`ComponentStore`]: crate::ComponentStore
pub static COMPONENT: &[u8] = include_bytes!("../../component/sessile.wasm");

/// Its SHA-256, from when this crate was built.
const COMPONENT_SHA256: &str = env!("SESSILE_COMPONENT_SHA256");

static COMPILED: OnceLock<(Engine, Component)> = OnceLock::new();

/// The engine and the component of this process.
pub(super) fn component() -> wasmtime::Result<(&'static Engine, &'static Component)> {
    if COMPILED.get().is_none() {
        let engine = Engine::new(Config::new().consume_fuel(true).wasm_component_model(true))?;
        let component = load(&engine)?;
        // Another thread may have been first; then its result serves as well.
        let _ = COMPILED.set((engine, component));
    }
    let (engine, component) = COMPILED.get_or_init(|| unreachable!("set above"));
    Ok((engine, component))
}

fn load(engine: &Engine) -> wasmtime::Result<Component> {
    let file = cache_directory().map(|directory| directory.join(format!("{}.cwasm", key(engine))));
    if let Some(component) = file.as_deref().and_then(|file| cached(engine, file)) {
        return Ok(component);
    }
    let component = Component::new(engine, COMPONENT)?;
    if let Some(file) = file {
        // The next start compiles again where this fails.
        let _ = component.serialize().map(|code| keep(&file, &code));
    }
    Ok(component)
}

/// A hash over the component and what wasmtime says its code depends on.
fn key(engine: &Engine) -> String {
    struct Feed(Sha256);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(Sha256::new());
    feed.write(COMPONENT_SHA256.as_bytes());
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(unsafe_code, reason = "wasmtime cannot check machine code; only we could have written this file")]
fn cached(engine: &Engine, file: &Path) -> Option<Component> {
    let directory = file.parent()?;
    if !file.is_file() || !is_ours_alone(directory) {
        return None;
    }
    // SAFETY: the file lies in a directory that belongs to us and that nobody else can write to, was written by
    // `keep` below whole or not at all, and its name fixes the component, the compiler and its settings.
    unsafe { Component::deserialize_file(engine, file) }.ok()
}

fn keep(file: &Path, code: &[u8]) -> std::io::Result<()> {
    let Some(directory) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    if !is_ours_alone(directory) {
        return Ok(());
    }
    let temporary = directory.join(format!("{}-{}.tmp", process::id(), env!("CARGO_PKG_VERSION")));
    let written = fs::File::create(&temporary).and_then(|mut out| {
        out.write_all(code)?;
        // A file that a power cut has emptied must not carry the name.
        out.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, file));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Whether a directory belongs to us and nobody else can write to it.
#[cfg(unix)]
fn is_ours_alone(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let ours = |meta: fs::Metadata| {
        meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0
    };
    fs::symlink_metadata(directory).is_ok_and(ours)
}

#[cfg(not(unix))]
fn is_ours_alone(directory: &Path) -> bool {
    directory.is_dir()
}

/// `$SESSILE_CACHE`, else the user's cache directory.
fn cache_directory() -> Option<PathBuf> {
    let given = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(directory) = given("SESSILE_CACHE") {
        return Some(directory);
    }
    let caches = if cfg!(windows) {
        given("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        given("HOME").map(|home| home.join("Library/Caches"))
    } else {
        given("XDG_CACHE_HOME").or_else(|| given("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("sessile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_component_that_is_carried() {
        let digest: String = Sha256::digest(COMPONENT).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, COMPONENT_SHA256);
    }
}
