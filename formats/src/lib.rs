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
pub use text::{lift, unlift};

use sessile_core::import::{Import, claude};

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

    /// Reads a file. `stem` names the session where the file does not.
    pub fn read(self, stem: &str, bytes: &[u8]) -> Import {
        match self {
            Self::Claude => claude::session(stem, bytes),
            Self::Codex => codex::read(stem, bytes),
            Self::OpenCode => opencode::read(stem, bytes),
            Self::Pi => pi::read(stem, bytes),
            Self::Goose => goose::read(stem, bytes),
            Self::Gemini => gemini::read(stem, bytes),
            Self::Qwen => qwen::read(stem, bytes),
            Self::Cline => cline::read(stem, bytes),
        }
    }
}
