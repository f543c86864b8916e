//! The program as a person or a script meets it: arguments in; output, error output and exit code out.
//!
//! Each test has a store of its own. What the commands decide is tested in the core; here it is what they print.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod place;

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Output, Stdio};

use place::Place;
use serde_json::Value;

impl Place {
    /// A place with a session `a` that has these messages.
    fn with_messages(texts: &[&str]) -> Self {
        let place = Self::new();
        place.ok(&["new", "--id", "a", "--title", "First"]);
        for text in texts {
            place.ok(&["append", "a", "--", text]);
        }
        place
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that succeeds and returns what it prints.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails and returns its exit code and error output.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs a command with `--json` and parses the one document that it prints.
    fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        assert_eq!(text.matches('\n').count(), 1, "{args:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Runs a command with something on its standard input.
    fn feed(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn texts(&self, id: &str) -> Vec<String> {
        let lines = self.ok(&["show", id, "--from", "1", "--json"]);
        let text = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["message"]["parts"][0]["text"].as_str().unwrap_or_default().to_owned()
        };
        lines.lines().map(text).collect()
    }

    /// The only session log of the store.
    fn log(&self) -> PathBuf {
        let mut logs = Vec::new();
        for directory in fs::read_dir(self.store().join("sessions")).unwrap() {
            logs.extend(fs::read_dir(directory.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
        assert_eq!(logs.len(), 1);
        logs.remove(0)
    }
}

/// A line of a Claude Code session.
fn entry(session: &str, number: u32, text: &str) -> String {
    let parent = if number == 1 { "null".to_owned() } else { format!("\"u{}\"", number - 1) };
    let role = if number % 2 == 1 { "user" } else { "assistant" };
    format!(
        "{{\"parentUuid\":{parent},\"isSidechain\":false,\"cwd\":\"/p\",\"sessionId\":\"{session}\",\"type\":\"{role}\",\
         \"message\":{{\"role\":\"{role}\",\"content\":\"{text}\"}},\"uuid\":\"u{number}\",\
         \"timestamp\":\"2026-01-02T03:04:{number:02}.000Z\"}}\n"
    )
}

fn entries(session: &str, count: u32) -> String {
    (1..=count).map(|number| entry(session, number, &format!("text {number}"))).collect()
}

const SNAPSHOT: &str = "{\"type\":\"file-history-snapshot\",\"messageId\":\"u1\",\"snapshot\":{\"n\":1.0}}\n";

fn import(place: &Place, path: &str) -> Value {
    place.json(&["import", "claude", path])
}

#[test]
fn importing_twice_adds_nothing() {
    let place = Place::new();
    let path = place.file("in/s1.jsonl", &(entries("s1", 5) + SNAPSHOT));
    let first = import(&place, &path);
    assert_eq!((&first["messages"]["new"], &first["messages"]["known"]), (&5.into(), &0.into()));
    assert_eq!(first["sessions"]["new"], 1);
    let bytes = fs::read(place.log()).unwrap();

    let second = import(&place, &path);
    assert_eq!((&second["messages"]["new"], &second["messages"]["known"]), (&0.into(), &5.into()));
    assert_eq!(second["sessions"]["new"], 0);
    assert_eq!(fs::read(place.log()).unwrap(), bytes, "not a byte was written");

    // Without the note in the metadata the keys alone decide.
    place.ok(&["set", "s1", "--meta", "null"]);
    assert_eq!(import(&place, &path)["messages"]["new"], 0);
    assert_eq!(place.texts("s1"), ["text 1", "text 2", "text 3", "text 4", "text 5"]);
}

#[test]
fn a_grown_file_adds_only_its_new_lines() {
    let place = Place::new();
    let torn = entry("s1", 3, "text 3");
    let path = place.file("s1.jsonl", &(entries("s1", 2) + &torn[..40]));
    let first = import(&place, &path);
    assert_eq!((&first["messages"]["new"], &first["problems"][0]["line"]), (&2.into(), &3.into()));

    place.file("s1.jsonl", &(entries("s1", 4) + SNAPSHOT));
    let second = import(&place, &path);
    assert_eq!((&second["messages"]["new"], &second["messages"]["known"]), (&2.into(), &2.into()));
    assert_eq!((&second["other_lines"]["new"], second["problems"].as_array().unwrap().len()), (&1.into(), 0));
    assert_eq!(place.texts("s1"), ["text 1", "text 2", "text 3", "text 4"]);
}

#[test]
fn messages_hidden_by_a_revert_are_not_imported_again() {
    let place = Place::new();
    let path = place.file("s1.jsonl", entries("s1", 6));
    import(&place, &path);
    place.ok(&["revert", "s1", "--to", "2"]);
    place.ok(&["set", "s1", "--meta", "null"]);
    assert_eq!(import(&place, &path)["messages"]["new"], 0);
    assert_eq!(place.texts("s1"), ["text 1", "text 2"]);
}

#[test]
fn two_imports_at_once_double_nothing() {
    let place = Place::new();
    let path = place.file("s1.jsonl", &(entries("s1", 59) + SNAPSHOT));
    let start = || place.command(&["import", "claude", &path]).stdout(Stdio::null()).spawn().unwrap();
    let mut both = [start(), start()];
    for import in &mut both {
        assert!(import.wait().unwrap().success());
    }
    let expected: Vec<String> = (1..60).map(|number| format!("text {number}")).collect();
    let mut texts = place.texts("s1");
    texts.sort_by_key(|text| text[5..].parse::<u32>().unwrap());
    assert_eq!(texts, expected);
    place.ok(&["doctor"]);
}

#[test]
fn lines_that_are_no_messages_are_kept_verbatim() {
    let place = Place::new();
    let odd = "{\"type\":\"new-kind\",\"sessionId\":\"s1\",\"z\":1.50,\"a\":null}\n";
    let path = place.file("s1.jsonl", &(SNAPSHOT.to_owned() + &entries("s1", 2) + odd));
    assert_eq!(import(&place, &path)["other_lines"]["new"], 2);
    assert_eq!(place.json(&["info", "s1"])["message_count"], 2, "they are no messages");

    // A line that comes alone finds its place too.
    place.file("s1.jsonl", &(SNAPSHOT.to_owned() + &entries("s1", 2) + odd + SNAPSHOT));
    let second = import(&place, &path);
    assert_eq!((&second["other_lines"]["new"], &second["messages"]["new"]), (&1.into(), &0.into()));
    let shown = place.ok(&["show", "s1", "--from", "1", "--json"]);
    let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    let extra = &first["message"]["source"]["extra"]["s1.jsonl"];
    assert_eq!(extra["1"], SNAPSHOT.trim());
    assert_eq!(extra["4"], odd.trim());
    assert_eq!(extra["5"], SNAPSHOT.trim());
}

#[test]
fn a_file_without_messages_keeps_its_lines_in_a_hidden_one() {
    let place = Place::new();
    let path = place.file("s1.jsonl", SNAPSHOT);
    assert_eq!(import(&place, &path)["other_lines"]["new"], 1);
    assert_eq!(import(&place, &path)["other_lines"]["known"], 1);
    let shown: Value = serde_json::from_str(&place.ok(&["show", "s1", "--json"])).unwrap();
    assert_eq!((&shown["message"]["hidden"], &shown["message"]["role"]), (&true.into(), &"system".into()));
    assert!(place.ok(&["show", "s1"]).contains("1 hidden message; --full shows them"));
}

#[test]
fn a_bad_line_is_reported_and_the_rest_is_imported() {
    let place = Place::new();
    let path =
        place.file("s1.jsonl", &(entries("s1", 1) + "oh no\n" + &entry("s1", 2, "text 2") + "{\"torn"));
    let imported = import(&place, &path);
    assert_eq!(imported["messages"]["new"], 2);
    let lines: Vec<u64> = imported["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 4]);
    assert_eq!(imported["problems"][0]["file"], path);
    let told = place.ok(&["import", "claude", &path]);
    assert!(told.contains("line 2: not JSON") && told.contains("line 4: a torn last line"), "{told}");
}

#[test]
fn what_is_no_session_is_skipped_and_named() {
    let place = Place::new();
    place.file("in/s1.jsonl", entries("s1", 1));
    place.file("in/notes.jsonl", "{\"a\":1}\n");
    place.file("in/deep/empty.jsonl", "");
    place.file("in/deep/readme.md", "not looked at");
    let imported = import(&place, "in");
    assert_eq!((&imported["files"], imported["skipped"].as_array().unwrap().len()), (&1.into(), 2));
    let told = place.ok(&["import", "claude", "in"]);
    assert!(told.contains("in/notes.jsonl\n  skipped: not a session of Claude Code"), "{told}");
    assert_eq!(place.fails(&["import", "claude", "in", "nowhere"]).0, 3);
}

#[test]
fn a_sub_agent_belongs_to_its_parent() {
    let place = Place::new();
    place.file("in/s1.jsonl", entries("s1", 2));
    place.file(
        "in/s1/subagents/agent-7.jsonl",
        entries("s1", 1).replace("Sidechain\":false", "Sidechain\":true"),
    );
    place.file(
        "in/s1/subagents/agent-7.meta.json",
        "{\"agentType\":\"Explore\",\"description\":\"Look around\"}",
    );
    assert_eq!(import(&place, "in")["sessions"]["new"], 2);
    let child = place.json(&["info", "s1/agent-7"]);
    assert_eq!((&child["parent"], &child["title"]), (&"s1".into(), &"Look around".into()));
    assert_eq!(place.json(&["info", "s"])["id"], "s1", "the beginning of both ids means the parent");

    let listed = place.json(&["ls"]);
    assert_eq!(
        (listed["sessions"].as_array().unwrap().len(), &listed["sub_sessions_left_out"]),
        (1, &1.into())
    );
    assert_eq!(place.json(&["ls", "--all"])["sessions"].as_array().unwrap().len(), 2);
    assert!(place.ok(&["ls"]).contains("1 session of sub-agents; --all lists them too"));
}

#[test]
fn imported_sessions_keep_their_times_and_a_title_chosen_here() {
    let place = Place::new();
    let path = place.file("s1.jsonl", entries("s1", 2));
    import(&place, &path);
    let session = place.json(&["info", "s1"]);
    assert_eq!(
        (&session["created_at"], &session["updated_at"]),
        (&1_767_323_041_000u64.into(), &1_767_323_042_000u64.into())
    );
    place.ok(&["set", "s1", "--title", "Mine"]);
    place.file(
        "s1.jsonl",
        &(entries("s1", 3) + "{\"type\":\"ai-title\",\"aiTitle\":\"Theirs\",\"sessionId\":\"s1\"}\n"),
    );
    assert_eq!(import(&place, &path)["messages"]["new"], 1);
    assert_eq!(place.json(&["info", "s1"])["title"], "Mine");
}

#[test]
fn a_session_in_the_trash_is_not_imported_into() {
    let place = Place::new();
    let path = place.file("s1.jsonl", entries("s1", 1));
    import(&place, &path);
    place.ok(&["rm", "s1"]);
    place.file("s1.jsonl", entries("s1", 2));
    let reason = import(&place, &path)["problems"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("s1") && reason.contains("restore"), "{reason}");
}

#[test]
fn each_error_kind_has_its_exit_code() {
    let place = Place::with_messages(&["one", "two"]);
    assert_eq!(place.fails(&["frobnicate"]).0, 2);
    assert_eq!(place.fails(&["new", "--meta", "{"]).0, 2);
    assert_eq!(place.fails(&["show", "nobody"]).0, 3);
    assert_eq!(place.fails(&["fork", "a", "--at", "9"]).0, 3);
    assert_eq!(place.fails(&["--store", "nowhere", "ls"]).0, 3);
    assert_eq!(place.fails(&["append", "a", "x", "--expect-head", "9"]).0, 4);
    assert_eq!(place.fails(&["new", "--id", "a"]).0, 4);
    assert_eq!(place.fails(&["purge", "a"]).0, 4);
    assert_eq!(place.fails(&["unrevert", "a"]).0, 4);

    let log = place.log();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"one\"", "\"0ne\"")).unwrap();
    let shown = place.run(&["show", "a"]);
    assert_eq!(shown.status.code(), Some(5));
    assert!(String::from_utf8(shown.stdout).unwrap().contains("two"), "what is readable is shown");
    assert_eq!(place.run(&["doctor"]).status.code(), Some(5));

    fs::write(place.store().join("sessile.json"), "{\"format\":\"sessile\",\"version\":9,\"reader\":1}\n")
        .unwrap();
    assert_eq!(place.fails(&["append", "a", "x"]).0, 6);
    fs::write(place.store().join("sessile.json"), "{\"format\":\"sessile\",\"version\":9,\"reader\":9}\n")
        .unwrap();
    assert_eq!(place.fails(&["ls"]).0, 8);
}

#[test]
fn the_exit_codes_stand_in_the_help() {
    let place = Place::new();
    let help = place.ok(&["--help"]);
    for line in
        ["2  invalid", "3  not-found", "4  conflict", "5  damaged", "6  unavailable", "8  unsupported"]
    {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn every_command_has_help_with_a_text() {
    let place = Place::new();
    let help = place.ok(&["--help"]);
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(names.len() > 20 && !names.contains(&"demo-writer"), "{names:?}");
    for name in names {
        let text = place.ok(&["help", name]);
        assert!(text.lines().next().is_some_and(|line| line.len() > 10), "{name}: {text}");
    }
}

#[test]
fn errors_are_json_where_json_is_wanted() {
    let place = Place::new();
    let check = |args: &[&str], kind: &str| {
        let (_, text) = place.fails(args);
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{args:?}: {text}"));
        assert_eq!(error["error"]["kind"], kind);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with(|first: char| !first.is_uppercase()) && !message.contains('\n'),
            "{message}"
        );
    };
    check(&["ls", "--json"], "not-found");
    check(&["frobnicate", "--json"], "invalid");
    check(&["--json", "append"], "invalid");
    place.ok(&["new", "--id", "a"]);
    check(&["new", "--id", "a", "--json"], "conflict");
}

#[test]
fn json_output_is_one_document() {
    let place = Place::with_messages(&["one", "two", "three"]);
    assert_eq!(place.json(&["append", "a", "four"])["seq"], 4);
    assert_eq!(place.json(&["info", "a"])["title_manual"], true);
    assert_eq!(place.json(&["ls"])["sessions"][0]["message_count"], 4);
    assert_eq!(place.json(&["set", "a", "--status", "done", "--tag", "x"])["tags"][0], "x");
    assert_eq!(place.json(&["fork", "a", "--at", "2", "--id", "f"])["fork_point"], 2);
    assert_eq!(place.json(&["detach", "f"])["id"], "f");
    assert_eq!(place.json(&["compact", "a"])["generation"], 2);
    assert_eq!(place.json(&["revert", "a", "--to", "3", "--inclusive"])["head"], 2);
    assert_eq!(place.json(&["unrevert", "a"])["head"], 4);
    assert_eq!(place.json(&["switch", "a", "--to", "1"])["message_count"], 1);
    assert_eq!(place.json(&["branches", "a"])["branches"][0]["current"], true);
    assert!(place.json(&["rm", "f"])["trashed_at"].is_u64());
    assert_eq!(place.json(&["trash"])["sessions"][0]["id"], "f");
    assert!(place.json(&["restore", "last"])["trashed_at"].is_null());
    place.ok(&["rm", "f"]);
    assert_eq!(place.json(&["purge", "f"])["purged"], "f");
    assert_eq!(place.json(&["doctor"])["healthy"], true);
    assert_eq!(place.json(&["doctor", "--repair"])["sessions"], 1);
    assert_eq!(place.json(&["completions", "fish"])["shell"], "fish");
    assert_eq!(place.json(&["new"])["message_count"], 0);
}

#[test]
fn an_id_can_be_a_unique_prefix_or_last() {
    let place = Place::new();
    for id in ["apple", "apricot", "banana"] {
        place.ok(&["new", "--id", id]);
    }
    let id = |text: &str| place.json(&["info", text])["id"].as_str().unwrap().to_owned();
    assert_eq!((id("app"), id("b"), id("last")), ("apple".into(), "banana".into(), "banana".into()));
    assert_eq!(place.fails(&["info", "ap"]).0, 4);
    assert_eq!(place.fails(&["info", "cherry"]).0, 3);
    place.ok(&["append", "apple", "x"]);
    assert_eq!(id("last"), "apple");
    place.ok(&["rm", "last"]);
    assert_ne!(id("last"), "apple");
    assert!(
        place.ok(&["restore", "last"]).contains("apple"),
        "`last` of the trash is the last one moved there"
    );
}

#[test]
fn the_short_ids_of_a_list_are_good_for_commands() {
    let place = Place::new();
    for _ in 0..5 {
        place.ok(&["new"]);
    }
    for line in place.ok(&["ls"]).lines().skip(1) {
        let short = line.split_whitespace().next().unwrap();
        assert!(short.len() < 26);
        place.ok(&["info", short]);
    }
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let place = Place::new();
    let evil = "\u{1b}[31mred\u{1b}[0m\u{7}\u{8}\u{9b}2J\u{202e}\r";
    let message = serde_json::json!({ "role": "assistant", "model": evil, "parts": [
        { "type": "text", "text": evil },
        { "type": "thinking", "text": evil },
        { "type": "code", "text": evil, "language": evil },
        { "type": "tool_call", "id": evil, "name": evil, "arguments": { evil: evil } },
        { "type": "tool_result", "call_id": "c", "content": [{ "type": evil, "text": evil }] },
        { "type": "image", "path": evil },
        { "type": "opaque", "data": evil },
    ]});
    place.ok(&[
        "new", "--id", "a", "--title", evil, "--scope", evil, "--agent", evil, "--model", evil, "--tag", evil,
    ]);
    place.ok(&["set", "a", "--meta", &serde_json::json!({ evil: evil }).to_string()]);
    assert!(place.feed(&["append", "a", "-"], &message.to_string()).status.success());
    place.ok(&["fork", "a", "--id", "b"]);
    place.ok(&["rm", "b"]);
    for args in
        [&["ls"][..], &["info", "a"], &["show", "a"], &["show", "a", "--full"], &["trash"], &["restore", "b"]]
    {
        for columns in ["", "50"] {
            let output = place.command(args).env("COLUMNS", columns).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("red"), "{args:?}: {text}");
            let bad: Vec<char> = text
                .chars()
                .filter(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}')
                .collect();
            assert!(bad.is_empty(), "{args:?}: {bad:?}");
        }
    }
}

#[test]
fn colours_are_for_terminals_alone() {
    let place = Place::with_messages(&["one"]);
    assert!(!place.ok(&["show", "a"]).contains('\u{1b}'));
    let forced = place.command(&["show", "a"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8(forced.stdout).unwrap().contains("\u{1b}["));
}

#[test]
fn a_narrow_line_cuts_titles_and_nothing_else() {
    let place = Place::new();
    place.ok(&["new", "--id", "a", "--title", &"日本語 title ".repeat(20)]);
    let listed = place.command(&["ls"]).env("COLUMNS", "60").output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 60) && text.contains('…'), "{text}");
}

#[test]
fn reading_commands_make_no_store_and_writing_ones_only_where_they_should() {
    let place = Place::new();
    for args in [
        &["ls"][..],
        &["show", "a"],
        &["trash"],
        &["doctor"],
        &["doctor", "--repair"],
        &["append", "a", "x"],
        &["rm", "a"],
    ] {
        assert_eq!(place.fails(args).0, 3, "{args:?}");
        assert!(!place.store().exists(), "{args:?}");
    }
    fs::create_dir(place.store()).unwrap();
    fs::write(place.store().join("something"), "else").unwrap();
    assert_eq!(place.fails(&["append", "a", "x"]).0, 3);
    assert_eq!(fs::read_dir(place.store()).unwrap().count(), 1);
}

#[test]
fn reading_writes_nothing() {
    let place = Place::with_messages(&["one"]);
    let snapshot = || {
        let mut files = Vec::new();
        let mut waiting = vec![place.store()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    waiting.push(entry.path());
                } else {
                    files.push((entry.path(), fs::read(entry.path()).unwrap()));
                }
            }
        }
        files.sort();
        files
    };
    let before = snapshot();
    for args in [&["ls"][..], &["show", "a"], &["info", "a"], &["branches", "a"], &["trash"], &["doctor"]] {
        place.ok(args);
    }
    assert_eq!(snapshot(), before);
}

#[test]
fn each_append_of_a_stream_is_acknowledged() {
    let place = Place::with_messages(&[]);
    let mut child = place
        .command(&["append", "a", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    for number in 1..=3 {
        // The next line is written only when this one is acknowledged: it must not wait for more.
        writeln!(input, "{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{number}\"}}]}}")
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let ack: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&ack["seq"], &ack["durability"]), (&number.into(), &"synced".into()));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(place.texts("a"), ["1", "2", "3"]);
}

#[test]
fn a_bad_line_is_named_and_what_came_before_it_is_appended() {
    let place = Place::with_messages(&[]);
    let good = "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"good\"}]}\n";
    for (bad, what) in
        [("nonsense\n", "line 3 is not JSON"), ("{\"role\":\"boss\",\"parts\":[]}\n", "line 3: its `role`")]
    {
        let output = place.feed(&["append", "a", "-"], &format!("{good}\n{bad}{good}"));
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(what), "{text}");
    }
    assert_eq!(place.texts("a"), ["good", "good"]);
    let refused = place.feed(&["append", "a", "-", "--role", "user"], good);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn an_operation_is_done_once_even_from_a_stream() {
    let place = Place::with_messages(&[]);
    let lines = "{\"role\":\"user\",\"parts\":[]}\n".repeat(3);
    for repeated in [false, true] {
        let output = place.feed(&["append", "a", "-", "--op", "job", "--json"], &lines);
        let ack: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&ack["count"], &ack["repeated"]), (&3.into(), &repeated.into()));
    }
    assert_eq!(place.json(&["append", "a", "x", "--op", "one"])["repeated"], false);
    assert_eq!(place.json(&["append", "a", "x", "--op", "one"])["repeated"], true);
    assert_eq!(place.json(&["info", "a"])["message_count"], 4);
}

#[test]
fn show_follows_pages_and_says_where_nothing_is() {
    let place = Place::with_messages(&[]);
    let lines: String = (1..=2500)
        .map(|n| format!("{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{n}\"}}]}}\n"))
        .collect();
    assert!(place.feed(&["append", "a", "-", "--durability", "buffered"], &lines).status.success());
    assert_eq!(place.texts("a").len(), 2500);
    let count = |args: &[&str]| place.ok(&[args, &["--json"]].concat()).lines().count();
    assert_eq!(count(&["show", "a"]), 20);
    assert_eq!(count(&["show", "a", "--last", "3"]), 3);
    assert_eq!(count(&["show", "a", "--from", "2000", "--limit", "400"]), 400);
    assert_eq!(count(&["show", "a", "--from", "2000"]), 501);
    assert!(place.ok(&["show", "a", "--from", "9999"]).contains("the last one is 2500"));
    assert_eq!(place.fails(&["show", "a", "--last", "0"]).0, 2);
    assert_eq!(place.fails(&["show", "a", "--last", "99999"]).0, 2);
}

#[test]
fn long_results_are_cut_and_shown_in_full_on_request() {
    let place = Place::with_messages(&[]);
    let content: String = (1..=30).map(|number| format!("row {number}\n")).collect();
    let message = serde_json::json!({ "role": "tool", "parts": [{ "type": "tool_result", "call_id": "c", "content": content }] });
    place.feed(&["append", "a", "-"], &message.to_string());
    let short = place.ok(&["show", "a"]);
    assert!(
        short.contains("row 6\n") && !short.contains("row 7\n") && short.contains("… (24 more lines)"),
        "{short}"
    );
    assert!(place.ok(&["show", "a", "--full"]).contains("row 30\n"));
}

#[test]
fn facts_are_set_and_taken_away() {
    let place = Place::with_messages(&[]);
    place.ok(&[
        "set",
        "a",
        "--model",
        "m",
        "--tag",
        "x",
        "--tag",
        "y",
        "--meta",
        "{\"k\":1.0,\"l\":2}",
        "--status",
        "done",
    ]);
    let set = place.json(&["set", "a", "--model", "", "--tag", "", "--meta", "{\"l\":null}", "--no-title"]);
    assert_eq!(
        (&set["model"], &set["tags"], &set["title"]),
        (&Value::Null, &Value::Array(vec![]), &Value::Null)
    );
    assert_eq!(
        (&set["title_manual"], &set["status"], &set["metadata"]["k"]),
        (&false.into(), &"done".into(), &1.0.into())
    );
    assert_eq!(place.json(&["set", "a", "--title", "T"])["title_manual"], true);
    assert_eq!(place.fails(&["set", "a"]).0, 2);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = Place::with_messages(&[]);
    let lines = format!(
        "{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{}\"}}]}}\n",
        "x".repeat(2000)
    )
    .repeat(400);
    place.feed(&["append", "a", "-", "--durability", "buffered"], &lines);
    for args in [&["show", "a", "--from", "1"][..], &["show", "a", "--from", "1", "--json"]] {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 10]).unwrap();
        drop(output);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

#[test]
fn what_one_engine_writes_the_other_reads() {
    let place = Place::with_messages(&["component"]);
    place.ok(&["append", "a", "native", "--engine", "native"]);
    place.ok(&["append", "a", "component again"]);
    let native = place.ok(&["show", "a", "--engine", "native", "--json"]);
    assert_eq!(native, place.ok(&["show", "a", "--json"]));
    assert_eq!(native.lines().count(), 3);
    place.ok(&["doctor", "--engine", "native"]);
}

#[test]
fn a_missing_catalogue_is_named_and_repaired() {
    let place = Place::with_messages(&["one"]);
    fs::remove_dir_all(place.store().join("catalogue")).unwrap();
    let output = place.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8(output.stdout).unwrap().contains("doctor --repair"));
    place.ok(&["doctor", "--repair"]);
    place.ok(&["doctor"]);
    assert_eq!(place.json(&["ls"])["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_damaged_session_is_named_salvaged_and_put_out_of_sight() {
    let place = Place::with_messages(&["one", "two", "three"]);
    let log = place.log();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"two\"", "\"tw0\"")).unwrap();
    let before = fs::read(&log).unwrap();
    let output = place.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(5));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("session a, ") && told.contains("`sessile salvage a`"), "{told}");
    assert_eq!(fs::read(&log).unwrap(), before);

    let salvaged = place.json(&["salvage", "a", "--new-id", "b"]);
    assert_eq!((&salvaged["carried"], &salvaged["repeated"]), (&2.into(), &false.into()));
    assert_eq!(salvaged["unreadable"][0]["from"], 2);
    assert_eq!(fs::read(&log).unwrap(), before, "the damaged one is only read");
    let told = place.ok(&["salvage", "a", "--new-id", "b", "--quarantine"]);
    assert!(told.contains("was salvaged before") && told.contains("messages 2-2 cannot be read"), "{told}");
    let shown = place.ok(&["show", "b"]);
    assert!(shown.contains("one") && shown.contains("three"), "{shown}");
    assert_eq!(place.json(&["ls"])["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["trash"])["sessions"][0]["id"], "a");
    assert!(fs::read(&log).unwrap().starts_with(&before));
    assert_eq!(place.fails(&["salvage", "nobody"]).0, 3);
}

#[test]
fn a_session_without_its_beginning_is_salvaged_by_its_id() {
    let place = Place::with_messages(&["one", "two"]);
    let log = place.log();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("session", "sessiom", 1)).unwrap();
    assert_eq!(place.fails(&["info", "a"]).0, 5);
    let told = String::from_utf8(place.run(&["doctor"]).stdout).unwrap();
    assert!(told.contains("by its whole id"), "{told}");
    let told = place.ok(&["salvage", "a", "--new-id", "b", "--quarantine"]);
    assert!(told.contains("2 messages") && told.contains("in no list"), "{told}");
    assert_eq!(place.ok(&["show", "b", "--json"]).lines().count(), 2);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_looked_at_has_a_code_of_its_own() {
    let place = Place::with_messages(&["one"]);
    let log = place.log();
    fs::rename(&log, place.store().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.store().join("elsewhere"), &log).unwrap();
    let output = place.run(&["doctor"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(if told.contains("unreadable") { 6 } else { 5 }), "{told}");
    // A store that is no store of ours is not damaged.
    let root = place.directory.join("file");
    fs::write(&root, "").unwrap();
    assert_eq!(place.fails(&["--store", root.to_str().unwrap(), "doctor"]).0, 6);
}

#[test]
fn the_demo_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let figures = place.json(&["demo"]);
    assert_eq!(
        (&figures["lost"], &figures["doubled"], &figures["healthy"]),
        (&0.into(), &0.into(), &true.into())
    );
    assert_eq!(figures["written_by_two"], 80);
    assert!(figures["acknowledged_before_kill"].as_u64().unwrap() >= 25);
    assert_eq!(fs::read_dir(&place.directory).unwrap().count(), 0, "its directory is gone");

    let corpus = place.file("in/s1.jsonl", entries("s1", 9));
    let told = place.ok(&["demo", corpus.strip_suffix("/s1.jsonl").unwrap(), "--keep"]);
    assert!(told.contains("9 messages forked") && told.contains("All is well"), "{told}");
    let store = told.lines().last().unwrap().split(' ').nth(6).unwrap().to_owned();
    place.ok(&["--store", &store, "doctor"]);
    assert_eq!(place.fails(&["demo", "nowhere"]).0, 3);
}

#[test]
fn every_change_takes_a_condition_and_a_name() {
    let place = Place::with_messages(&["one", "two", "three"]);
    for change in [
        &["revert", "a", "--to", "1"][..],
        &["unrevert", "a"],
        &["switch", "a", "--to", "2"],
        &["set", "a", "--title", "T"],
    ] {
        let (code, said) = place.fails(&[change, &["--expect-head", "9"]].concat());
        assert_eq!(code, 4, "{change:?}: {said}");
    }
    place.ok(&["revert", "a", "--to", "1", "--expect-head", "3", "--op", "back"]);
    place.ok(&["append", "a", "other"]);
    // Made again, it is what it was: it hides nothing that came since.
    place.ok(&["revert", "a", "--to", "1", "--op", "back"]);
    assert_eq!(place.texts("a"), ["one", "other"]);
    place.ok(&["set", "a", "--title", "T", "--op", "name"]);
    place.ok(&["set", "a", "--title", "U"]);
    place.ok(&["set", "a", "--title", "T", "--op", "name"]);
    assert_eq!(place.json(&["info", "a"])["title"], "U");
}
