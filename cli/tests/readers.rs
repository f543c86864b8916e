//! What is exported to another agent's format is read by that agent's own reader: pi's session manager, from npm, and the
//! session functions of the Claude Agent SDK, from PyPI. Real sessions of Codex go there; every text, call and result must
//! arrive, in order.
//!
//! `cargo xtask test` installs the readers: pi's into `cli/tests/readers`, the SDK with the frameworks of `host-python`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use place::Place;
use serde_json::Value;

/// What a session says, by kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    texts: Vec<String>,
    calls: Vec<String>,
    results: Vec<String>,
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Imports a real session of Codex, and returns its id.
fn import(place: &Place, name: &str) -> String {
    let file = here("../../shared/transcripts/codex").join(name);
    let summary = json(place, &["import", "codex", file.to_str().unwrap()]);
    assert_eq!(summary["problems"].as_array().unwrap().len(), 0, "{summary}");
    summary["session_ids"][0].as_str().unwrap().to_owned()
}

fn output(place: &Place, args: &[&str]) -> String {
    let output = place.command(args).args(["--json", "--engine", "native"]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&output(place, args)).unwrap()
}

/// Exports a session below a directory, and returns the file.
fn export(place: &Place, format: &str, id: &str) -> PathBuf {
    let summary = json(place, &["export", format, id, "--into", format]);
    place.directory.join(summary["files"][0]["file"].as_str().unwrap())
}

/// What the store has of a session for people, from the last compaction on, or from the beginning.
fn stored(place: &Place, id: &str, is_compacted: bool) -> Told {
    let shown = output(place, &["show", id, "--from", "1"]);
    let mut told = Told::default();
    for line in shown.lines() {
        let message = serde_json::from_str::<Value>(line).unwrap()["message"].take();
        let is_summary = message["compact_summary"] == true;
        if is_summary && is_compacted {
            told = Told::default();
        }
        if message["hidden"] == true || message["role"] == "system" && !(is_summary && is_compacted) {
            continue;
        }
        for part in message["parts"].as_array().unwrap() {
            let text = |key: &str| part[key].as_str().unwrap().to_owned();
            match part["type"].as_str().unwrap() {
                "text" => told.texts.push(text("text")),
                "tool_call" => told.calls.push(text("name")),
                "tool_result" => told.results.push(text("content")),
                _ => {}
            }
        }
    }
    told
}

/// What a reader says of a session, and how many messages it sees.
fn read(command: &mut Command) -> (Value, Told, usize) {
    let output =
        command.output().unwrap_or_else(|cause| panic!("{command:?}: {cause}; run `cargo xtask test`"));
    assert!(output.status.success(), "{command:?}; `cargo xtask test` installs the readers\n{output:?}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages = read["messages"].as_array().unwrap();
    let all = |key: &str| -> Vec<String> {
        let of = |message: &Value| message[key].as_array().unwrap().clone();
        messages.iter().flat_map(of).map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let told = Told { texts: all("texts"), calls: all("calls"), results: all("results") };
    let count = messages.len();
    (read, told, count)
}

fn read_with_pi(file: &Path) -> (Value, Told, usize) {
    read(Command::new("node").arg(here("tests/readers/pi.mjs")).arg(file))
}

fn read_with_claude(place: &Place, id: &str) -> (Value, Told, usize) {
    let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = here("../host-python/.venv").join(python);
    let mut command = Command::new(python);
    command.arg(here("tests/readers/claude.py")).arg(id).env("PYTHONDONTWRITEBYTECODE", "1");
    read(command.env("CLAUDE_CONFIG_DIR", place.directory.join("claude")))
}

/// The lines of a file that are messages, by what their `type` says.
fn count_lines(file: &Path, kinds: &[&str]) -> usize {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| kinds.contains(&line["type"].as_str().unwrap())).count()
}

fn check_facts(place: &Place, id: &str, read: &Value) {
    let info = json(place, &["info", id]);
    assert_eq!(read["id"], id);
    assert_eq!(read["cwd"], info["scope"]);
    assert_eq!(read["name"], info["title"]);
}

/// Sessions without a compaction, and how much each says at least.
const WHOLE: [(&str, usize); 2] = [
    ("EntityProcess__agentv/8d-1ecb6dc628-0.jsonl", 50),
    ("savekirk__session-bridge/64-b5e5660349-0.jsonl", 100),
];
/// One that was compacted.
const COMPACTED: &str = "EntityProcess__agentv/00-34f597b72d-1.jsonl";

#[test]
fn sessions_of_codex_are_read_by_pis_own_session_manager() {
    for (name, least) in WHOLE {
        let place = Place::new();
        let id = import(&place, name);
        let file = export(&place, "pi", &id);
        let (read, told, count) = read_with_pi(&file);
        check_facts(&place, &id, &read);
        assert_eq!(told, stored(&place, &id, false), "{name}");
        assert_eq!(count, count_lines(&file, &["message"]), "{name}");
        assert_eq!(read["context"], count, "{name}: what a model would be sent");
        assert!(told.calls.len() >= least, "{name}: {}", told.calls.len());
    }
}

#[test]
fn sessions_of_codex_are_read_by_the_session_functions_of_the_claude_sdk() {
    for (name, least) in WHOLE {
        let place = Place::new();
        let id = import(&place, name);
        let file = export(&place, "claude", &id);
        let (read, told, count) = read_with_claude(&place, &id);
        check_facts(&place, &id, &read);
        assert_eq!(told, stored(&place, &id, false), "{name}");
        assert_eq!(count, count_lines(&file, &["user", "assistant"]), "{name}");
        assert!(told.calls.len() >= least, "{name}: {}", told.calls.len());
    }
}

#[test]
fn a_branch_that_was_left_is_a_session_that_pi_reads() {
    let place = Place::new();
    let entry = |id: &str, parent: &str| {
        format!(
            "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":\"{parent}\",\"timestamp\":\"2026-01-02T03:04:06.000Z\",\
             \"message\":{{\"role\":\"user\",\"content\":\"says {id}\",\"timestamp\":1}}}}\n"
        )
    };
    let head = "{\"type\":\"session\",\"version\":3,\"id\":\"tree\",\"timestamp\":\"2026-01-02T03:04:05.000Z\",\"cwd\":\"/p\"}\n";
    let first = entry("aaaaaaaa", "").replace("\"\",", "null,");
    let text = [head, &first, &entry("bbbbbbbb", "aaaaaaaa"), &entry("cccccccc", "aaaaaaaa")].concat();
    json(&place, &["import", "pi", &place.file("2026_tree.jsonl", text)]);
    for (id, wanted) in [("tree", "cccccccc"), ("tree/branch-bbbbbbbb", "bbbbbbbb")] {
        let (_, told, _) = read_with_pi(&export(&place, "pi", id));
        assert_eq!(told.texts, ["says aaaaaaaa".to_owned(), format!("says {wanted}")], "{id}");
    }
}

/// pi keeps on showing what a compaction stands for; Claude Code begins with the summary.
#[test]
fn a_compacted_session_is_read_as_the_others_read_their_own() {
    let place = Place::new();
    let id = import(&place, COMPACTED);
    let (read, told, count) = read_with_pi(&export(&place, "pi", &id));
    assert_eq!(told, stored(&place, &id, false));
    assert!(read["context"].as_u64().unwrap() < count as u64, "the compaction counts for the model");
    export(&place, "claude", &id);
    assert_eq!(read_with_claude(&place, &id).1, stored(&place, &id, true));
}
