//! How the program ends: exit codes, and errors in words or as JSON on standard error.
//!
//! Exit codes are API; scripts branch on them. One for each error kind of the store and no others.

use std::io::{ErrorKind as IoErrorKind, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use sessile::{Error, ErrorKind};

use crate::output::{safe_json, safe_lines};

/// The code of success.
pub const OK: u8 = 0;

/// The exit code of every error kind, and what it means in a sentence.
pub const CODES: [(ErrorKind, u8, &str); 8] = [
    (ErrorKind::Internal, 1, "a fault in sessile itself; please report it"),
    (ErrorKind::Invalid, 2, "wrong usage or input; nothing was written"),
    (ErrorKind::NotFound, 3, "no such store, session, message or file"),
    (ErrorKind::Conflict, 4, "somebody was first, or the session is in another state"),
    (ErrorKind::Damaged, 5, "stored bytes cannot be read; `sessile doctor` shows which"),
    (ErrorKind::Unavailable, 6, "the disk or the system failed; retry later"),
    (ErrorKind::Closed, 7, "a sync failed; check the disk and start again"),
    (ErrorKind::Unsupported, 8, "written by a newer version; upgrade sessile"),
];

/// The exit code of an error kind.
pub fn code(kind: ErrorKind) -> u8 {
    // A kind of a later version is unknown here, and so is a fault of ours until this table has it.
    CODES.iter().find(|(known, ..)| *known == kind).map_or(1, |(_, code, _)| *code)
}

/// The table for `--help`.
pub fn help() -> String {
    let mut text = format!("Exit codes:\n  {OK}  success");
    for (kind, code, meaning) in CODES {
        text.push_str(&format!("\n  {code}  {:<11}  {meaning}", kind.name()));
    }
    text
}

/// Makes an error of the store's kinds.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> anyhow::Error {
    Error::new(kind, message).into()
}

/// The kind of any error that reaches the top.
pub fn kind(error: &anyhow::Error) -> ErrorKind {
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        return error.kind;
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind) {
        Some(IoErrorKind::NotFound) => ErrorKind::NotFound,
        Some(IoErrorKind::InvalidData) => ErrorKind::Invalid,
        Some(_) => ErrorKind::Unavailable,
        None => ErrorKind::Internal,
    }
}

/// Says what went wrong and returns the exit code. A reader that has gone away, `head` for instance, is no error.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let is_pipe = |cause: &std::io::Error| cause.kind() == IoErrorKind::BrokenPipe;
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(is_pipe) {
        return OK.into();
    }
    let kind = kind(error);
    say(kind, &format!("{error:#}"), json);
    code(kind).into()
}

/// Prints an error. Nobody is left to tell where standard error is closed.
pub fn say(kind: ErrorKind, message: &str, json: bool) {
    if json {
        let document = serde_json::json!({ "error": { "kind": kind.name(), "message": message } });
        let _ = writeln!(std::io::stderr(), "{}", safe_json(&document.to_string()));
    } else {
        note("error", AnsiColor::Red.on_default().bold(), message);
    }
}

/// Prints a warning: what was asked for was done, and something deserves a look.
pub fn warn(message: &str, json: bool) {
    if json {
        let document = serde_json::json!({ "warning": { "message": message } });
        let _ = writeln!(std::io::stderr(), "{}", safe_json(&document.to_string()));
    } else {
        note("warning", AnsiColor::Yellow.on_default().bold(), message);
    }
}

fn note(word: &str, style: Style, message: &str) {
    let lines = safe_lines(message).join("\n  ");
    let _ = writeln!(anstream::stderr(), "{style}{word}:{style:#} {lines}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let mut codes: Vec<u8> = ErrorKind::ALL.into_iter().map(code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn context_does_not_hide_the_kind() {
        let failed = error(ErrorKind::Conflict, "busy").context("session x");
        assert_eq!(
            (kind(&failed), format!("{failed:#}")),
            (ErrorKind::Conflict, "session x: busy".to_owned())
        );
    }
}
