//! Session formats of coding agents, both ways.
//!
//! The neutral model is the store's own: a session with its facts (`ImportedSession` of the core) and messages of roles
//! and typed parts. Each module of `read` turns the bytes of one format into it, each of `write` makes files of it.
//! What a format says and the model has no member for stays verbatim in a message's `source` or in the session's extra
//! lines, so the way back to the same format gives the same records; the way to another format says what it could not
//! carry ([`write::Written::lost`]). Pure functions: finding files, reading databases and writing anything is the
//! caller's. No input makes them fail: what cannot be read is a problem with its place, and everything else is taken.

mod draft;
mod read;
mod text;
pub mod write;

pub use draft::{PART, regenerate};
pub use read::{cline, codex, gemini, goose, opencode, pi, qwen};
pub use text::{Weight, lift, unlift};

use sessile_core::import::{Import, Lines, Members, claude};

/// Whether a session is a branch of another that its file has left: [`write::write`] of that one has its lines too.
pub fn is_branch(id: &str) -> bool {
    id.contains(read::tree::BRANCH)
}

/// A format of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Claude Code: JSON lines.
    Claude,
    /// Codex: rollouts, JSON lines.
    Codex,
    /// OpenCode: what `opencode export` writes, a JSON document.
    OpenCode,
    /// pi: JSON lines that make a tree.
    Pi,
    /// goose: JSON lines, or what `goose session export` writes.
    Goose,
    /// gemini-cli: JSON lines, or a JSON document.
    Gemini,
    /// qwen-code: JSON lines.
    Qwen,
    /// cline: a JSON document.
    Cline,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Claude,
        Self::Codex,
        Self::OpenCode,
        Self::Pi,
        Self::Goose,
        Self::Gemini,
        Self::Qwen,
        Self::Cline,
    ];

    /// Its name: `source.format` of messages, and the agent of sessions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude-code",
            Self::Codex => "codex",
            Self::OpenCode => "opencode",
            Self::Pi => "pi",
            Self::Goose => "goose",
            Self::Gemini => "gemini-cli",
            Self::Qwen => "qwen-code",
            Self::Cline => "cline",
        }
    }

    /// Which format a file that begins like this is of.
    pub fn of(head: &[u8]) -> Option<Self> {
        let is = |format: &Self| match format {
            Self::Claude => claude::looks_like(head),
            Self::Codex => codex::looks_like(head),
            Self::OpenCode => opencode::looks_like(head),
            Self::Pi => pi::looks_like(head),
            Self::Goose => goose::looks_like(head),
            Self::Gemini => gemini::looks_like(head),
            Self::Qwen => qwen::looks_like(head),
            Self::Cline => cline::looks_like(head),
        };
        Self::ALL.into_iter().find(is)
    }

    /// Whether a file that begins like this is read line by line. Other files are documents, which are read as a whole; a
    /// format that has both has objects on lines of their own.
    pub fn is_lines(self, head: &[u8]) -> bool {
        let is_line = |line: &[u8]| {
            let members = str::from_utf8(line).ok().map(str::trim).and_then(Members::parse);
            let has = |members: &Members<'_>, key| members.get(key).is_some();
            members.is_some_and(|members| {
                let is_document = ["messages", "conversation"].iter().any(|key| has(&members, key))
                    || (has(&members, "session") && has(&members, "items"));
                !is_document
            })
        };
        match self {
            Self::Claude | Self::Pi | Self::Qwen => true,
            Self::OpenCode | Self::Cline => false,
            // The first line may be torn.
            Self::Codex | Self::Gemini | Self::Goose => head
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .take(2)
                .any(is_line),
        }
    }

    /// Reads a file line by line, if [`Format::is_lines`]. `stem` names the session where the file does not.
    pub fn read_lines(self, stem: &str, lines: &mut dyn Lines) -> Import {
        match self {
            Self::Claude => claude::session_of_lines(stem, lines),
            Self::Codex => codex::read_lines(stem, lines),
            Self::Pi => pi::read(stem, lines),
            Self::Gemini => gemini::read_lines(stem, lines),
            Self::Qwen => qwen::read(stem, lines),
            Self::Goose => goose::read_lines(stem, lines),
            Self::OpenCode | Self::Cline => Import::default(),
        }
    }

    /// Reads a file. `stem` names the session where the file does not.
    pub fn read(self, stem: &str, bytes: &[u8]) -> Import {
        match self {
            Self::Claude => claude::session(stem, bytes),
            Self::Codex => codex::read(stem, bytes),
            Self::OpenCode => opencode::read(stem, bytes),
            Self::Pi => pi::read(stem, &mut &*bytes),
            Self::Goose => goose::read(stem, bytes),
            Self::Gemini => gemini::read(stem, bytes),
            Self::Qwen => qwen::read(stem, &mut &*bytes),
            Self::Cline => cline::read(stem, bytes),
        }
    }
}
