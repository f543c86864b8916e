//! Sessions of coding agents brought in and given back: real files of each, whole. Every record must come in, and come
//! back byte for byte where its line was not touched.
//!
//! The files lie beside the project, in `../shared/transcripts`. Where they are not, these tests fail: without them
//! nothing would be shown.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use place::Place;
use serde_json::Value;

impl Place {
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).args(["--json", "--engine", "native"]).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn messages(&self, id: &str) -> Vec<Value> {
        let output = self.run(&["show", id, "--from", "1"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].take()).collect()
    }

    /// What an export of one session prints.
    fn exported(&self, format: &str, id: &str) -> String {
        let output = self.run(&["export", format, id, "-o", "-"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The real files of a format.
fn real(format: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/transcripts").join(format);
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|cause| panic!("{}: {cause}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The values of a file of JSON lines: those that are whole, in their order.
fn values(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut stream = serde_json::Deserializer::from_str(line).into_iter::<&serde_json::value::RawValue>();
        while let Some(Ok(value)) = stream.next() {
            found.push(value.get().to_owned());
        }
    }
    found
}

/// Imports a file of lines and checks that its values come back from the export byte for byte.
fn check_lines(format: &str, path: &Path) {
    let place = Place::new();
    let shown = path.display();
    let summary = place.ok(&["import", format, path.to_str().unwrap()]);
    assert_eq!(summary["skipped"].as_array().unwrap().len(), 0, "{shown}: {summary}");
    let ids = summary["session_ids"].as_array().unwrap();
    let mut wanted = values(&fs::read_to_string(path).unwrap());
    let main = ids[0].as_str().unwrap();
    let mut got: Vec<String> = place.exported(format, main).lines().map(str::to_owned).collect();
    // Side chains go with their session, unless it is in another file.
    for id in ids.iter().skip(1).filter(|_| main.contains("/sidechain-") || main.contains("/agent-")) {
        got.extend(place.exported(format, id.as_str().unwrap()).lines().map(str::to_owned));
    }
    if wanted != got {
        // The same line again is the same record.
        wanted.sort();
        wanted.dedup();
        got.sort();
        got.dedup();
    }
    let lost: Vec<&String> = wanted.iter().filter(|line| !got.contains(line)).collect();
    let added: Vec<&String> = got.iter().filter(|line| !wanted.contains(line)).collect();
    assert!(lost.is_empty() && added.is_empty(), "{shown}: lost {lost:.400?} added {added:.400?}");
    check_again(&place, format, path, &summary);
}

/// Importing again adds nothing.
fn check_again(place: &Place, format: &str, path: &Path, first: &Value) {
    let again = place.ok(&["import", format, path.to_str().unwrap()]);
    for what in ["sessions", "messages", "other_lines", "usage"] {
        assert_eq!(again[what]["new"], 0, "{}: {what} {again}", path.display());
    }
    assert_eq!(again["messages"]["known"], first["messages"]["new"]);
}

#[test]
fn every_real_file_of_codex_comes_back_line_by_line() {
    let files = real("codex");
    assert_eq!(files.len(), 14);
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "jsonl")) {
        check_lines("codex", path);
    }
}

#[test]
fn every_real_file_of_pi_comes_back_line_by_line() {
    let files = real("pi");
    assert_eq!(files.len(), 8);
    files.iter().for_each(|path| check_lines("pi", path));
}

#[test]
fn every_real_file_of_claude_code_comes_back_line_by_line() {
    let files = real("claude-code");
    assert_eq!(files.len(), 32);
    files.iter().for_each(|path| check_lines("claude", path));
}

#[test]
fn every_real_document_of_opencode_comes_back_byte_for_byte() {
    let mut count = 0;
    for path in real("opencode").iter().filter(|path| !path.to_str().unwrap().contains("storage_v2")) {
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let place = Place::new();
        let summary = place.ok(&["import", "opencode", path.to_str().unwrap()]);
        assert_eq!(summary["problems"].as_array().unwrap().len(), 0, "{summary}");
        let id = summary["session_ids"][0].as_str().unwrap();
        let wanted = fs::read_to_string(path).unwrap();
        assert!(place.exported("opencode", id) == wanted, "{}", path.display());
        check_again(&place, "opencode", path, &summary);
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn the_database_and_the_older_tree_of_opencode_are_read() {
    let place = Place::new();
    let database =
        real("opencode").into_iter().find(|path| path.extension().is_some_and(|end| end == "db")).unwrap();
    let summary = place.ok(&["import", "opencode", database.to_str().unwrap()]);
    assert!(summary["sessions"]["new"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["problems"].as_array().unwrap().is_empty(), "{summary}");
    check_again(&place, "opencode", &database, &summary);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/transcripts/opencode/jazzyalex__agent-sessions/storage_v2");
    let summary = place.ok(&["import", "opencode", root.to_str().unwrap()]);
    assert_eq!(
        (summary["sessions"]["new"].as_u64(), summary["messages"]["new"].as_u64()),
        (Some(2), Some(6))
    );
    let parts = place.messages("s_stage0_small");
    assert!(parts.iter().any(|message| message.to_string().contains("Found 2 files.")));
}

#[test]
fn every_real_file_of_the_others_comes_in_whole() {
    // Messages of the files, by format; what is no conversation is skipped and says so.
    for (format, files, messages, skipped) in
        [("gemini", 11, 64, 0), ("qwen", 3, 13, 0), ("goose", 1, 4, 0), ("cline", 5, 36, 3)]
    {
        let place = Place::new();
        let folder = match format {
            "gemini" => "gemini-cli",
            "qwen" => "qwen-code",
            other => other,
        };
        assert_eq!(real(folder).len(), files);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/transcripts").join(folder);
        let summary = place.ok(&["import", format, root.to_str().unwrap()]);
        let counts = (summary["messages"]["new"].as_u64(), summary["skipped"].as_array().map(Vec::len));
        assert_eq!(counts, (Some(messages), Some(skipped)), "{summary}");
        assert!(summary["problems"].as_array().unwrap().is_empty(), "{summary}");
    }
}

#[test]
fn a_compressed_rollout_is_the_same_session() {
    let place = Place::new();
    let line =
        r#"{"timestamp":"2026-01-02T03:04:05.000Z","type":"session_meta","payload":{"id":"a","cwd":"/p"}}"#;
    // A frame of one raw block.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x20, u8::try_from(line.len()).unwrap()];
    let header = u32::try_from(line.len() << 3 | 1).unwrap().to_le_bytes();
    frame.extend(&header[..3]);
    frame.extend(line.as_bytes());
    let path = place.file("rollout.jsonl.zst", [frame.clone(), frame].concat());
    let summary = place.ok(&["import", "codex", &path]);
    assert_eq!(summary["session_ids"][0], "a", "{summary}");
}

#[test]
fn a_fork_does_not_count_its_parents_tokens_again() {
    let place = Place::new();
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/transcripts/codex/steipete__CodexBar");
    let home = root.join("live-fork-4d90-52bf/codex-home/archived_sessions");
    let (child, parent) = (home.join("child.jsonl"), home.join("parent.jsonl"));
    place.ok(&["import", "codex", parent.to_str().unwrap(), child.to_str().unwrap()]);
    let total = place.ok(&["call", "get_usage", "{}"]);
    let alone = Place::new();
    alone.ok(&["import", "codex", child.to_str().unwrap()]);
    let of_child = alone.ok(&["call", "get_usage", "{}"]);
    // All that the parent has used, the child tells again.
    let output = |usage: &Value| usage["total"]["amounts"]["output"].as_u64();
    assert_eq!(output(&total), output(&of_child), "{total} {of_child}");
    assert!(output(&total).is_some());
}

#[test]
fn images_are_files_of_the_store_and_come_back_byte_for_byte() {
    let data = "QUJD".repeat(600);
    let place = Place::new();
    let user = format!(
        r#"{{"timestamp":"2026-01-02T03:04:06.000Z","type":"response_item","payload":{{"type":"message","role":"user","content":[{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}]}}}}"#
    );
    let meta =
        r#"{"timestamp":"2026-01-02T03:04:05.000Z","type":"session_meta","payload":{"id":"a","cwd":"/p"}}"#;
    let again = user.replace("04:06", "04:07");
    let text = format!("{meta}\n{user}\n{again}\n");
    let path = place.file("rollout-a.jsonl", &text);
    place.ok(&["import", "codex", &path]);
    assert!(!serde_json::to_string(&place.messages("a")).unwrap().contains(&data));
    let files = place.ok(&["call", "list_attachments", r#"{"session":"a"}"#]);
    assert_eq!(files["attachments"].as_array().unwrap().len(), 1, "{files}");
    assert_eq!(place.exported("codex", "a"), text);
    // The other way round it is in the page, and in the other formats.
    for format in ["claude", "pi", "opencode", "markdown", "html"] {
        assert!(place.exported(format, "a").contains(&data), "{format}");
    }
}

#[test]
fn bad_lines_are_reported_with_their_place_and_cost_only_themselves() {
    let path = real("codex").into_iter().find(|path| path.ends_with("codex_malformed.jsonl")).unwrap();
    let summary = Place::new().ok(&["import", "codex", path.to_str().unwrap()]);
    let lines: Vec<u64> = summary["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|problem| problem["line"].as_u64())
        .collect();
    assert_eq!((lines.len(), summary["messages"]["new"].as_u64()), (2, Some(4)), "{summary}");
}

/// Lines around a giant one. What is read afterwards shows that its memory was never needed.
#[cfg(target_os = "linux")]
#[test]
fn a_giant_line_is_reported_and_costs_neither_memory_nor_its_neighbours() {
    let said = |uuid: &str, text: &str| {
        format!(
            "{{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"user\",\"uuid\":\"{uuid}\",\"sessionId\":\"a\",\
             \"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n"
        )
    };
    let count = (64 << 20) / 8;
    for (format, giant) in [
        ("claude", said("big", &"a giant ".repeat(count))),
        (
            "codex",
            format!(
                "{{\"type\":\"response_item\",\"payload\":{{\"text\":\"{}\"}}}}\n",
                "a giant ".repeat(count)
            ),
        ),
    ] {
        let around = |n: u32| match format {
            "claude" => said(&format!("u{n}"), "small"),
            _ => format!(
                "{{\"timestamp\":\"2026-01-02T03:04:{:02}.000Z\",\"type\":\"response_item\",\"payload\":{{\"type\":\"message\",\
                 \"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":\"small {n}\"}}]}}}}\n",
                n % 60
            ),
        };
        let lines: Vec<String> = (0..200).map(around).collect();
        let text = [lines[..2].concat(), giant, lines[2..].concat()].concat();
        for (name, bytes) in [
            ("rollout-a.jsonl", text.clone().into_bytes()),
            ("rollout-a.jsonl.zst", unpacked(text.as_bytes())),
        ] {
            if format == "claude" && name.ends_with("zst") {
                continue;
            }
            let place = Place::new();
            let path = place.file(name, bytes);
            let (summary, peak) = peak_of(&place, &["import", format, &path]);
            assert_eq!(summary["messages"]["new"], 200, "{summary}");
            let problems = summary["problems"].as_array().unwrap();
            assert_eq!((problems.len(), problems[0]["line"].as_u64()), (1, Some(3)), "{summary}");
            assert!(problems[0]["reason"].as_str().unwrap().contains("bytes"), "{summary}");
            assert!(peak < 80 << 20, "{format} {name}: {peak} bytes");
        }
    }
}

/// Bytes as a compressed file that holds them as they are.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38];
    let mut blocks = bytes.chunks(128 * 1024).peekable();
    while let Some(block) = blocks.next() {
        let header = u32::try_from(block.len() << 3).unwrap() | u32::from(blocks.peek().is_none());
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// Runs the program, and tells what it prints and the most memory that it had, in bytes.
#[cfg(target_os = "linux")]
fn peak_of(place: &Place, args: &[&str]) -> (Value, u64) {
    let mut command = place.command(args);
    let command = command.args(["--json", "--engine", "native"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    // Memory is at its highest long before the end, and the figure never falls.
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or_default() * 1024);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(peak > 0, "nothing was measured");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    (serde_json::from_slice(&output.stdout).unwrap(), peak)
}

#[test]
fn lines_that_no_message_can_hold_cost_only_themselves() {
    let place = Place::new();
    let line = |second: u32, kind: &str, payload: &str| {
        format!(
            "{{\"timestamp\":\"2026-01-02T03:04:{second:02}.000Z\",\"type\":\"{kind}\",\"payload\":{payload}}}\n"
        )
    };
    let said = |second, text: &str| {
        let content = format!("[{{\"type\":\"input_text\",\"text\":\"{text}\"}}]");
        line(
            second,
            "response_item",
            &format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":{content}}}"),
        )
    };
    let large = "much of it ".repeat(1_700_000);
    let whole = [
        line(1, "session_meta", "{\"id\":\"a\",\"cwd\":\"/p\"}"),
        said(2, "one"),
        // An event that is too large to be kept, and a message that is too large to be taken.
        line(3, "event_msg", &format!("{{\"type\":\"other\",\"what\":\"{large}\"}}")),
        said(4, &large),
        // Both fit alone, and not together.
        said(5, &"x ".repeat(5 << 20)),
        line(6, "event_msg", &format!("{{\"type\":\"other\",\"what\":\"{}\"}}", "y ".repeat(4 << 20))),
        said(7, "two"),
    ];
    let path = place.file("rollout-a.jsonl", whole.concat());
    for _ in 0..2 {
        let summary = place.ok(&["import", "codex", &path]);
        let problems = summary["problems"].as_array().unwrap();
        let lines: Vec<u64> = problems.iter().map(|problem| problem["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [3, 4], "{summary}");
        assert_eq!(
            summary["messages"]["new"].as_u64().unwrap() + summary["messages"]["known"].as_u64().unwrap(),
            3
        );
    }
    let wanted = [&whole[..2], &whole[4..]].concat().concat();
    assert!(place.exported("codex", "a") == wanted);
}

/// A line of pi, version 3.
fn entry(id: &str, parent: &str) -> String {
    let parent = if parent.is_empty() { "null".to_owned() } else { format!("\"{parent}\"") };
    format!(
        "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":{parent},\"timestamp\":\"2026-01-02T03:04:06.000Z\",\
         \"message\":{{\"role\":\"user\",\"content\":\"says {id}\"}}}}\n"
    )
}

const HEAD: &str = "{\"type\":\"session\",\"version\":3,\"id\":\"tree\",\"timestamp\":\"2026-01-02T03:04:05.000Z\",\"cwd\":\"/p\"}\n";

/// The ids of the messages that a session shows.
fn shown(place: &Place, id: &str) -> String {
    let messages = place.messages(id);
    let shown = messages.iter().filter(|message| message["hidden"] != true);
    shown.filter_map(|message| message["id"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn branches_are_forks_and_come_back_byte_for_byte() {
    let place = Place::new();
    let label = "{\"type\":\"label\",\"id\":\"l\",\"parentId\":\"d\",\"timestamp\":\"2026-01-02T03:04:07.000Z\",\"targetId\":\"b\"}\n";
    let text = [
        HEAD.to_owned(),
        entry("a", ""),
        entry("b", "a"),
        entry("c", "b"),
        entry("d", "a"),
        label.to_owned(),
    ]
    .concat();
    let path = place.file("2026_tree.jsonl", &text);
    let summary = place.ok(&["import", "pi", &path]);
    assert_eq!(summary["session_ids"], serde_json::json!(["tree", "tree/branch-c"]), "{summary}");
    assert_eq!(summary["problems"].as_array().unwrap().len(), 0, "{summary}");
    assert_eq!(shown(&place, "tree"), "a d");
    assert_eq!(shown(&place, "tree/branch-c"), "a b c");
    // It is a fork: what both have is there once.
    let branch = place.ok(&["info", "tree/branch-c"]);
    assert_eq!(
        (branch["fork_point"].as_u64(), branch["parent"].as_str()),
        (Some(1), Some("tree")),
        "{branch}"
    );
    check_again(&place, "pi", Path::new(&path), &serde_json::json!({ "messages": { "new": 7 } }));
    assert_eq!(place.exported("pi", "tree"), text);
    // A branch alone is what leads to its end, and all of them are in the file of their session.
    let alone = place.exported("pi", "tree/branch-c");
    assert_eq!(alone.lines().skip(1).collect::<Vec<_>>(), text.lines().skip(1).take(3).collect::<Vec<_>>());
    assert!(!alone.contains("\"id\":\"tree\""), "{alone}");
    let all = place.ok(&["export", "pi", "--into", "out"]);
    assert_eq!(all["session_ids"], serde_json::json!(["tree"]), "{all}");

    // The agent has gone back to the branch and on with it; the other one was left.
    let grown = [text, entry("e", "c")].concat();
    place.file("2026_tree.jsonl", &grown);
    let summary = place.ok(&["import", "pi", &path]);
    assert_eq!(summary["session_ids"], serde_json::json!(["tree", "tree/branch-d"]), "{summary}");
    assert_eq!(shown(&place, "tree"), "a b c e");
    assert_eq!(shown(&place, "tree/branch-d"), "a d");
    assert_eq!(shown(&place, "tree/branch-c"), "a b c", "what was a branch once stays");
    assert_eq!(place.exported("pi", "tree"), grown);
}

#[test]
fn a_session_moves_to_where_the_other_agent_looks() {
    let place = Place::new();
    let path = real("claude-code").into_iter().find(|path| path.ends_with("tool_heavy.jsonl")).unwrap();
    let summary = place.ok(&["import", "claude", path.to_str().unwrap()]);
    let id = summary["session_ids"][0].as_str().unwrap();
    let exported = place.ok(&["export", "codex", id, "--into", ".codex"]);
    let file = exported["files"][0]["file"].as_str().unwrap();
    assert!(file.contains("sessions/20") && file.ends_with(&format!("{id}.jsonl")), "{file}");
    // What could not be carried is said.
    assert!(!exported["problems"].as_array().unwrap().is_empty());
    // There it is found with all others, and another file in its place is never overwritten.
    fs::write(place.directory.join(file), "something else").unwrap();
    let refused = place.run(&["export", "codex", id, "--into", ".codex"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

#[test]
fn all_takes_what_is_in_the_usual_places() {
    let place = Place::new();
    let copies = [
        ("codex", ".codex/sessions/2026/01/02/rollout-x.jsonl", "dc-1f1cb2cbdc-0.jsonl"),
        ("pi", ".pi/agent/sessions/--p--/x.jsonl", "e1-d1b22223fe-2.jsonl"),
        ("claude-code", ".claude/projects/p/x.jsonl", "tool_heavy.jsonl"),
    ];
    for (format, to, name) in copies {
        let from = real(format).into_iter().find(|path| path.ends_with(name)).unwrap();
        place.file(to, fs::read(from).unwrap());
    }
    let summary = place.ok(&["import", "--all"]);
    assert_eq!(summary["found"].as_array().unwrap().len(), 3, "{summary}");
    assert_eq!(summary["sessions"]["new"], 3, "{summary}");
    let again = place.ok(&["import", "--all"]);
    assert_eq!((again["sessions"]["new"].as_u64(), again["messages"]["new"].as_u64()), (Some(0), Some(0)));
}

#[test]
fn a_file_that_grew_gives_what_is_new_and_a_rollback_hides() {
    let place = Place::new();
    let line = |second: u32, kind: &str, payload: &str| {
        format!(
            "{{\"timestamp\":\"2026-01-02T03:04:{second:02}.000Z\",\"type\":\"{kind}\",\"payload\":{payload}}}\n"
        )
    };
    let said = |second, text: &str| {
        let content = format!("[{{\"type\":\"input_text\",\"text\":\"{text}\"}}]");
        line(
            second,
            "response_item",
            &format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":{content}}}"),
        )
    };
    let first =
        [line(1, "session_meta", "{\"id\":\"a\",\"cwd\":\"/p\"}"), said(2, "one"), said(3, "two")].concat();
    let path = place.file("rollout-a.jsonl", &first);
    place.ok(&["import", "codex", &path]);
    let back = line(4, "event_msg", "{\"type\":\"thread_rolled_back\",\"num_turns\":1}");
    let whole = [first, back, said(5, "three")].concat();
    place.file("rollout-a.jsonl", &whole);
    let summary = place.ok(&["import", "codex", &path]);
    assert_eq!(
        (summary["messages"]["new"].as_u64(), summary["changed_messages"].as_u64()),
        (Some(1), Some(1))
    );
    let messages = place.messages("a");
    let said = messages.iter().filter(|message| !message["parts"].as_array().unwrap().is_empty());
    let hidden: Vec<bool> = said.map(|message| message["hidden"] == true).collect();
    assert_eq!(hidden, [false, true, false]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&place.exported("codex", "a")), lines(&whole));
}

#[test]
fn files_of_formats_that_are_not_known_are_left_out_and_named() {
    let path = real("other").remove(0);
    let summary = Place::new().ok(&["import", "any", path.to_str().unwrap()]);
    assert_eq!(
        (summary["sessions"]["new"].as_u64(), summary["skipped"].as_array().unwrap().len()),
        (Some(0), 1)
    );
}

/// To which format, how many messages are written, and what is reported.
type Loss = (&'static str, u64, &'static str);

/// What real sessions lose on the way to each other format. A loss that comes or goes is a change of this table.
const LOSSES: [(&str, &str, &[Loss]); 4] = [
    (
        "opencode",
        "07-fe4e0ea90c-1.json",
        &[
            ("opencode", 78, ""),
            ("codex", 180, "4 parts of a kind of their own; 63 costs of answers"),
            (
                "claude",
                180,
                "4 parts of a kind of their own; 51 thoughts that the provider has not signed; 63 costs of answers",
            ),
            ("pi", 180, "4 parts of a kind of their own"),
            ("markdown", 180, "4 parts of a kind of their own"),
        ],
    ),
    (
        "codex",
        "8d-1ecb6dc628-0.jsonl",
        &[
            (
                "opencode",
                252,
                "2 hidden messages; 3 calls without a result (written as failed); 40 signatures of thoughts",
            ),
            ("codex", 254, ""),
            ("claude", 252, "2 hidden messages; 40 thoughts that the provider has not signed"),
            ("pi", 252, "2 hidden messages"),
            ("markdown", 252, "2 hidden messages"),
        ],
    ),
    (
        "claude",
        "tool_heavy.jsonl",
        &[
            ("opencode", 21, "1 hidden messages; 1 signatures of thoughts; 2 notices of the program"),
            ("codex", 21, "1 hidden messages; 1 signatures of thoughts; 2 notices of the program"),
            ("claude", 24, ""),
            ("pi", 21, "1 hidden messages; 2 notices of the program"),
            ("markdown", 21, "1 hidden messages; 2 notices of the program"),
        ],
    ),
    (
        "pi",
        "b9-a9e96f4738-0.jsonl",
        &[
            ("opencode", 68, ""),
            ("codex", 68, "1 marks of results as errors; 34 costs of answers"),
            ("claude", 68, "11 thoughts that the provider has not signed; 34 costs of answers"),
            ("pi", 68, ""),
            ("markdown", 68, ""),
        ],
    ),
];

#[test]
fn what_is_lost_between_formats_is_counted() {
    for (from, name, losses) in LOSSES {
        let place = Place::new();
        let folder = if from == "claude" { "claude-code" } else { from };
        let path = real(folder).into_iter().find(|path| path.ends_with(name)).unwrap();
        let summary = place.ok(&["import", from, path.to_str().unwrap()]);
        let id = summary["session_ids"][0].as_str().unwrap();
        for (to, messages, lost) in losses {
            let exported = place.ok(&["export", to, id, "--into", to]);
            let reason = |problem: &Value| {
                let reason = problem["reason"].as_str().unwrap();
                let end = " have no place in the format and are not carried over";
                reason.strip_suffix(end).unwrap_or_else(|| panic!("{reason}")).to_owned()
            };
            let mut reasons: Vec<String> =
                exported["problems"].as_array().unwrap().iter().map(reason).collect();
            reasons.sort();
            let told = (exported["messages"].as_u64().unwrap(), reasons.join("; "));
            assert_eq!(told, (*messages, (*lost).to_owned()), "from {from} to {to}");
        }
    }
}
