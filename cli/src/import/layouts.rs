//! Where the files of other systems lie. What stands in them is read by `sessile::import`.
//!
//! A file that is damaged is named with the reason, and never stops the others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sessile::Store;
use sessile::import::{nanocoder, nomadarch, octocode};

use super::{Seen, Skipped, Summary, Taking};

/// A system whose sessions lie in files of one JSON document each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Nanocoder,
    NomadArch,
    Octocode,
}

impl Layout {
    /// The format's name, in the command and in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanocoder => nanocoder::FORMAT,
            Self::NomadArch => nomadarch::FORMAT,
            Self::Octocode => octocode::FORMAT,
        }
    }

    /// Imports what lies at `path`.
    pub fn import(
        self,
        store: &mut Store,
        path: &Path,
        summary: &mut Summary,
        seen: &mut Seen,
    ) -> Result<()> {
        let mut walk = Walk { format: self.name(), store, summary, seen };
        match self {
            Self::Nanocoder if path.is_dir() => walk.nanocoder(path),
            Self::Nanocoder => walk.nanocoder_session(path, None),
            Self::NomadArch if path.is_dir() => walk.nomadarch(path),
            Self::NomadArch => walk.nomadarch_workspace(path),
            Self::Octocode if path.is_dir() => walk.octocode(path),
            Self::Octocode => walk.octocode_session(path),
        }
    }
}

struct Walk<'a> {
    format: &'static str,
    store: &'a mut Store,
    summary: &'a mut Summary,
    seen: &'a mut Seen,
}

impl Walk<'_> {
    /// `<uuid>.json` for each session, and the index.
    fn nanocoder(&mut self, directory: &Path) -> Result<()> {
        let mut files = self.files(directory);
        let path = directory.join(nanocoder::INDEX);
        let had_index = files.remove(&path);
        let bytes = if had_index { self.read(&path) } else { None };
        let index = bytes.as_deref().map(nanocoder::index);
        if let Some(index) = &index {
            let mut taking = self.taking(&path, nanocoder::INDEX);
            for problem in &index.import.problems {
                taking.note(Some(problem.line), problem.what.clone());
            }
            let is_there = |id: &str| files.contains(&directory.join(format!("{id}.json")));
            for (id, _) in index.entries.iter().filter(|(id, _)| !is_there(id)) {
                taking.note(None, format!("the index names session {id}, and there is no file {id}.json"));
            }
        } else if !had_index {
            self.taking(&path, nanocoder::INDEX)
                .note(None, "there is no index; the files are taken".to_owned());
        }
        for file in files {
            if file.extension().is_none_or(|extension| extension != "json") {
                let is_leftover = file.extension().is_some_and(|extension| extension == "tmp");
                self.skip(&file, if is_leftover { LEFTOVER } else { "not a session of nanocoder" });
                continue;
            }
            let id = stem(&file);
            let entry = index.as_ref().map(|index| index.entries.iter().find(|(known, _)| *known == id));
            self.nanocoder_session(&file, entry.map(|entry| entry.map(|(_, json)| *json)))?;
        }
        Ok(())
    }

    /// One file. `entry` is its entry of the index, where there is an index.
    fn nanocoder_session(&mut self, file: &Path, entry: Option<Option<&str>>) -> Result<()> {
        let Some(bytes) = self.read(file) else { return Ok(()) };
        let import = nanocoder::session(&stem(file), &bytes, entry.flatten());
        drop(bytes);
        let mut taking = self.taking(file, &name(file));
        if entry == Some(None) && !import.sessions.is_empty() {
            taking.note(None, "the index does not name this session; taken all the same".to_owned());
        }
        taking.file(import)
    }

    /// A workspace's directory, or the directory of all workspaces.
    fn nomadarch(&mut self, directory: &Path) -> Result<()> {
        let own = directory.join(nomadarch::STORE);
        if own.is_file() {
            return self.nomadarch_workspace(&own);
        }
        for (path, kind) in self.entries(directory) {
            let store = path.join(nomadarch::STORE);
            match () {
                () if kind.is_dir() && store.is_file() => self.nomadarch_workspace(&store)?,
                () if kind.is_dir() => self.skip(&path, format!("has no {}", nomadarch::STORE)),
                () if kind.is_symlink() => self.skip(&path, "a link; give the directory itself"),
                () => self.skip(&path, "not a workspace of NomadArch"),
            }
        }
        Ok(())
    }

    /// One file. Its sessions are taken one after the other, so that only one of them is in memory as ours.
    fn nomadarch_workspace(&mut self, file: &Path) -> Result<()> {
        let Some(bytes) = self.read(file) else { return Ok(()) };
        // Only the whole path names the directory for sure.
        let whole = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let workspace = whole.parent().map(name).unwrap_or_default();
        let mut taking = self.taking(file, &format!("{workspace}/{}", nomadarch::STORE));
        let mut reading = nomadarch::Workspace::read(&workspace, &bytes);
        for session in &mut reading {
            taking.session(&session)?;
        }
        taking.note_file(reading.finish());
        Ok(())
    }

    /// The home of octocode. Its other files are no sessions.
    fn octocode(&mut self, home: &Path) -> Result<()> {
        let leftover = home.join(format!("{}.tmp", octocode::SESSION));
        if leftover.exists() {
            self.skip(&leftover, LEFTOVER);
        }
        let file = home.join(octocode::SESSION);
        if file.exists() {
            return self.octocode_session(&file);
        }
        self.skip(home, format!("has no {}", octocode::SESSION));
        Ok(())
    }

    fn octocode_session(&mut self, file: &Path) -> Result<()> {
        let Some(bytes) = self.read(file) else { return Ok(()) };
        let stats = file.with_file_name(octocode::STATS);
        let stats = if stats.exists() { self.read(&stats) } else { None };
        self.taking(file, octocode::SESSION).file(octocode::session(&bytes, stats.as_deref()))
    }

    fn taking(&mut self, path: &Path, file: &str) -> Taking<'_> {
        Taking {
            store: self.store,
            format: self.format,
            file: file.to_owned(),
            shown: path.display().to_string(),
            summary: self.summary,
            seen: self.seen,
        }
    }

    /// The files of a directory, in the order of their names. What cannot be read, and links, are noted.
    fn files(&mut self, directory: &Path) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        for (path, kind) in self.entries(directory) {
            if kind.is_file() {
                files.insert(path);
            } else if kind.is_symlink() {
                self.skip(&path, "a link; give the file itself");
            }
        }
        files
    }

    fn entries(&mut self, directory: &Path) -> Vec<(PathBuf, fs::FileType)> {
        let mut found = Vec::new();
        match fs::read_dir(directory) {
            Ok(entries) => {
                for entry in entries {
                    match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                        Ok(entry) => found.push(entry),
                        Err(cause) => self.skip(directory, format!("cannot be read whole: {cause}")),
                    }
                }
            }
            Err(cause) => self.skip(directory, format!("cannot be read: {cause}")),
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    fn read(&mut self, file: &Path) -> Option<Vec<u8>> {
        fs::read(file).map_err(|cause| self.skip(file, format!("cannot be read: {cause}"))).ok()
    }

    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.summary.skipped.push(Skipped { file: path.display().to_string(), reason: reason.into() });
    }
}

const LEFTOVER: &str = "what a write has left that did not finish";

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
