//! The error kinds of the store, the same in every language.
//!
//! A kind exists only where the caller would do something different next. Kinds are API, messages are not:
//! they are lowercase, name the session or file, end with the way out, and never carry payload text.

use std::fmt;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such session or message. Check the id; `list` shows what there is.
    NotFound,
    /// Somebody else was first, or the session is not in the state that the call needs. Read again and decide.
    Conflict,
    /// The input breaks a documented rule or limit. Nothing was written; correct the input.
    Invalid,
    /// The store or session was written by a newer version. Upgrade; nothing was changed.
    Unsupported,
    /// Stored bytes that this call needs cannot be read. `doctor` shows the ranges; everything around them stays readable.
    Damaged,
    /// The disk or the host failed (full, read-only, I/O error). Nothing acknowledged is harmed; retry later with the same operation id.
    Unavailable,
    /// An earlier sync failed, so nothing more can be promised through this handle. Open the store again.
    Closed,
    /// A fault in Sessile itself. Nothing acknowledged is lost; please report it.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::NotFound,
        Self::Conflict,
        Self::Invalid,
        Self::Unsupported,
        Self::Damaged,
        Self::Unavailable,
        Self::Closed,
        Self::Internal,
    ];

    /// The kind's name in the contract, in JSON and in every language: `not-found`, `conflict`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Damaged => "damaged",
            Self::Unavailable => "unavailable",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

/// An error of the store: its kind for the program, its message for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the caller does next.
    pub kind: ErrorKind,
    /// What is wrong, with what, and the way out. Not API.
    pub message: String,
}

impl Error {
    /// Makes an error of `kind`. Control characters in the message are escaped: it is for terminals and logs, and what
    /// it names (an id, a member of a request) may hold some.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: printable(message.into()) }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            printable.extend(char.escape_default());
        } else {
            printable.push(char);
        }
    }
    printable
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_comes_to_a_terminal_in_a_message() {
        let error = Error::invalid("unknown field `\u{1b}[2J\u{7f}é\n`");
        assert_eq!(error.message, "unknown field `\\u{1b}[2J\\u{7f}é\\n`");
    }
}
