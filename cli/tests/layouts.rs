//! Sessions of other systems brought in and given back: what comes out must say what went in, field by field, and of
//! damaged files everything around the damage must come in and be reported.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use place::Place;
use serde_json::{Value, json};

impl Place {
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).args(["--json", "--engine", "native"]).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code and the message of a command that fails.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        (output.status.code().unwrap(), error["error"]["message"].as_str().unwrap().to_owned())
    }

    /// Changes a JSON file.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_str(&self.text(name)).unwrap();
        change(&mut value);
        self.file(name, serde_json::to_string_pretty(&value).unwrap());
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap()
    }

    fn value(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// Copies files of the corpus to `in`.
    fn with_corpus(name: &str) -> Self {
        let place = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/transcripts").join(name);
        for (name, content) in tree(&from) {
            place.file(&format!("in/{name}"), content);
        }
        place
    }

    /// The messages of a session.
    fn messages(&self, id: &str) -> Vec<Value> {
        let output = self.run(&["show", id, "--from", "1"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].take()).collect()
    }

    /// The beginnings of the texts, results and arguments of a session's parts.
    fn told(&self, id: &str) -> Vec<String> {
        let tell = |part: &Value| {
            ["text", "content", "arguments", "data"]
                .iter()
                .find_map(|key| part.get(key))
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let messages = self.messages(id);
        messages.iter().flat_map(|message| message["parts"].as_array().unwrap()).filter_map(tell).collect()
    }

    /// Checks that files of `in` and `out` say the same, field by field.
    fn check_same(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.value(&format!("out/{name}")), self.value(&format!("in/{name}")), "{name}");
        }
    }
}

/// Every file below a directory, by its path there.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// How many sessions and messages were new and known.
fn counts(summary: &Value) -> [u64; 4] {
    [("sessions", "new"), ("sessions", "known"), ("messages", "new"), ("messages", "known")]
        .map(|(what, which)| summary[what][which].as_u64().unwrap())
}

/// The problems as `file: reason`, the file without its directory.
fn problems(summary: &Value) -> Vec<String> {
    let told = |list: &str| -> Vec<String> {
        let told = |problem: &Value| {
            let file = Path::new(problem["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
            format!("{file}: {}", problem["reason"].as_str().unwrap())
        };
        summary[list].as_array().unwrap().iter().map(told).collect()
    };
    [told("problems"), told("skipped")].concat()
}

/// Checks that there is a problem of `file` with `reason` in it for each of these, and no other.
fn check_problems(summary: &Value, expected: &[(&str, &str)]) {
    let mut left = problems(summary);
    for (file, reason) in expected {
        let found =
            left.iter().position(|told| told.starts_with(&format!("{file}: ")) && told.contains(reason));
        let found = found.unwrap_or_else(|| panic!("no {file}: {reason} in {left:#?}"));
        left.remove(found);
    }
    assert!(left.is_empty(), "{left:#?}");
}

const A: &str = "0b0f8a5e-1c2d-4e3f-8a9b-000000000001";
const B: &str = "0b0f8a5e-1c2d-4e3f-8a9b-000000000002";
const C: &str = "0b0f8a5e-1c2d-4e3f-8a9b-000000000003";

fn json_file(id: &str) -> String {
    format!("{id}.json")
}

fn nanocoder_files() -> [String; 4] {
    [json_file(A), json_file(B), json_file(C), "sessions.json".to_owned()]
}

#[test]
fn nanocoder_comes_in_once_and_goes_back_as_it_was() {
    let place = Place::with_corpus("nanocoder/sessions");
    let first = place.ok(&["import", "nanocoder", "in"]);
    assert_eq!(problems(&first), [""; 0]);
    assert_eq!(counts(&first), [3, 0, 9, 0]);
    assert_eq!(counts(&place.ok(&["import", "nanocoder", "in"])), [0, 3, 0, 9]);

    let session = place.ok(&["info", A]);
    assert_eq!(session["scope"], "/srv/example");
    assert_eq!(session["title"], "Why does the build fail?");
    assert_eq!((&session["provider"], &session["model"]), (&json!("local"), &json!("example-7b")));
    assert_eq!(place.ok(&["info", B])["title_manual"], true);
    assert_eq!(place.ok(&["info", B])["scope"], "/srv/other");
    assert_eq!(
        place.told(A)[3..7],
        [
            "The log will tell.",
            r#"{"lines":{"from":1,"to":40},"path":"build.log","ratio":0.5}"#,
            "{}",
            "error: no such module\n"
        ]
    );

    let exported = place.ok(&["export", "nanocoder", "out"]);
    assert_eq!((exported["problems"].as_array().unwrap().len(), &exported["messages"]), (0, &json!(9)));
    place.check_same(&nanocoder_files().each_ref().map(String::as_str));
    assert_eq!(tree(&place.directory.join("out")).len(), 4);
}

#[test]
fn exporting_again_changes_nothing_and_never_replaces_anything() {
    let place = Place::with_corpus("nanocoder/sessions");
    place.ok(&["import", "nanocoder", "in"]);
    let before = tree(&place.directory.join("in"));
    // What it came from says the same.
    let exported = place.ok(&["export", "nanocoder", "in"]);
    assert!(exported["files"].as_array().unwrap().iter().all(|file| file["written"] == false), "{exported}");
    assert_eq!(tree(&place.directory.join("in")), before);

    place.edit(&format!("in/{}", json_file(B)), |file| file["title"] = "Another".into());
    place.edit("in/sessions.json", |_| {});
    let before = tree(&place.directory.join("in"));
    fs::remove_file(place.directory.join("in").join(json_file(A))).unwrap();
    let (code, message) = place.fails(&["export", "nanocoder", "in"]);
    assert_eq!(code, 4);
    assert!(message.contains(B) && message.contains("another directory"), "{message}");
    let mut after = tree(&place.directory.join("in"));
    assert_eq!(after.insert(json_file(A), before[&json_file(A)].clone()), None, "nothing was written");
    assert_eq!(after, before);
}

#[test]
fn a_nanocoder_session_that_grew_is_topped_up() {
    let place = Place::with_corpus("nanocoder/sessions");
    place.ok(&["import", "nanocoder", "in"]);
    place.edit(&format!("in/{}", json_file(B)), |file| {
        let messages = file["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": "ok"}));
        messages.push(json!({"role": "user", "content": "more"}));
        file["lastAccessedAt"] = "2026-01-06T00:00:00.000Z".into();
        file["title"] = "Named by hand again".into();
    });
    place.edit("in/sessions.json", |index| {
        index[1]["lastAccessedAt"] = "2026-01-06T00:00:00.000Z".into();
        index[1]["title"] = "Named by hand again".into();
    });
    let grown = place.ok(&["import", "nanocoder", "in"]);
    assert_eq!((counts(&grown), problems(&grown).len()), ([0, 3, 2, 9], 0));
    assert_eq!(place.told(B), ["ok", "ok", "ok", "ok", "more"]);
    assert_eq!(place.ok(&["info", B])["title"], "Named by hand again");
    place.ok(&["export", "nanocoder", "out"]);
    place.check_same(&nanocoder_files().each_ref().map(String::as_str));
}

#[test]
fn a_nanocoder_session_that_was_cut_is_reported_and_loses_nothing() {
    let place = Place::with_corpus("nanocoder/sessions");
    place.ok(&["import", "nanocoder", "in"]);
    place.edit(&format!("in/{}", json_file(A)), |file| {
        file["messages"].as_array_mut().unwrap().drain(..4);
        file["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "behind the cut"}));
    });
    let cut = place.ok(&["import", "nanocoder", "in"]);
    assert_eq!(counts(&cut)[2], 1);
    check_problems(&cut, &[(&json_file(A), "begins otherwise"), (&json_file(A), "3 messages fewer")]);
    assert_eq!(place.messages(A).len(), 7);
    let again = place.ok(&["import", "nanocoder", "in"]);
    assert_eq!((counts(&again)[2], problems(&again).len()), (0, 0));
}

#[test]
fn what_changed_here_is_what_goes_back() {
    let place = Place::with_corpus("nanocoder/sessions");
    place.ok(&["import", "nanocoder", "in"]);
    place.ok(&["set", A, "--title", "Chosen here", "--model", "other"]);
    place.ok(&["append", A, "And now?"]);
    let again = place.ok(&["import", "nanocoder", "in"]);
    assert_eq!(counts(&again), [0, 3, 0, 9]);
    place.ok(&["export", "nanocoder", "out"]);
    let (old, new) =
        (place.value(&format!("in/{}", json_file(A))), place.value(&format!("out/{}", json_file(A))));
    assert_eq!(
        (&new["title"], &new["titleManuallySet"], &new["model"]),
        (&json!("Chosen here"), &json!(true), &json!("other"))
    );
    assert_eq!((&new["messageCount"], &new["createdAt"]), (&json!(7), &old["createdAt"]));
    assert!(new["lastAccessedAt"].as_str() > old["lastAccessedAt"].as_str());
    assert_eq!(new["messages"].as_array().unwrap()[..6], old["messages"].as_array().unwrap()[..]);
    assert_eq!(new["messages"][6], json!({"role": "user", "content": "And now?"}));
    let mut entry = new;
    entry.as_object_mut().unwrap().remove("messages");
    assert_eq!(place.value("out/sessions.json")[0], entry);
    place.check_same(&[&json_file(B), &json_file(C)]);
}

#[test]
fn any_session_can_be_written_for_nanocoder() {
    let place = Place::new();
    place.ok(&["new", "--id", "../mine", "--title", "Mine", "--scope", "/srv"]);
    place.ok(&["append", "../mine", "hello"]);
    let (code, message) = place.fails(&["export", "nanocoder", "out"]);
    assert!(code == 3 && message.contains("sessile ls"), "{message}");
    let exported = place.ok(&["export", "nanocoder", "out", "../mine"]);
    let file = exported["files"][0]["file"].as_str().unwrap();
    let written = place.value(file);
    assert_eq!(file, format!("out/{}.json", written["id"].as_str().unwrap()));
    for (key, value) in [("title", "Mine"), ("workingDirectory", "/srv"), ("provider", ""), ("model", "")] {
        assert_eq!(written[key], value);
    }
    assert_eq!(written["messages"], json!([{"role": "user", "content": "hello"}]));

    // What is written can be read, into another store.
    let other = Place::new();
    other.file(&format!("in/{}.json", written["id"].as_str().unwrap()), place.text(file));
    assert_eq!(counts(&other.ok(&["import", "nanocoder", "in"])), [1, 0, 1, 0]);
}

#[test]
fn a_session_of_the_same_id_from_elsewhere_is_left_alone() {
    let place = Place::with_corpus("nanocoder/sessions");
    place.ok(&["new", "--id", A]);
    let imported = place.ok(&["import", "nanocoder", "in"]);
    check_problems(&imported, &[(&json_file(A), "did not come from")]);
    assert_eq!((counts(&imported), place.messages(A).len()), ([2, 0, 3, 0], 0));
}

#[test]
fn of_damaged_nanocoder_files_everything_around_the_damage_is_taken() {
    let id = |number: u32| format!("0b0f8a5e-1c2d-4e3f-8a9b-1{number:011}");
    let whole = |number: u32| {
        json!({"id": id(number), "title": "T", "createdAt": "2026-01-02T03:04:05.678Z", "lastAccessedAt": "2026-01-02T03:04:05.678Z",
            "messageCount": 2, "provider": "p", "model": "m", "workingDirectory": "/w",
            "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]})
    };
    let place = Place::new();
    let file = |number: u32, content: &[u8]| place.file(&format!("in/{}", json_file(&id(number))), content);
    let with = |number: u32, change: &dyn Fn(&mut Value)| {
        let mut value = whole(number);
        change(&mut value);
        file(number, value.to_string().as_bytes());
    };
    let text = whole(1).to_string();
    file(1, &text.as_bytes()[..text.find("two").unwrap()]);
    file(2, b"");
    file(3, &[0; 300]);
    file(4, b"[1]");
    file(5, whole(5).to_string().replace("one", "\u{0}").as_bytes());
    let text = whole(6).to_string();
    file(6, &[&text.as_bytes()[..text.find("two").unwrap()], b"\xff", b"o\"}]}"].concat());
    with(7, &|session| session["id"] = id(1).into());
    with(8, &|session| {
        session["provider"] = 7.into();
        session.as_object_mut().unwrap().remove("model");
    });
    with(9, &|session| session["messages"] = json!({"0": "one"}));
    with(10, &|session| {
        session["messages"] = json!([{"role": "user", "content": 5}, "two", {"content": "no role"}]);
    });
    with(11, &|session| {
        let messages = session["messages"].as_array_mut().unwrap();
        let mut deep = json!(1);
        (0..110).for_each(|_| deep = json!([deep]));
        messages.insert(1, json!({"role": "user", "content": "deep", "x": deep}));
    });
    with(12, &|_| {});
    place.file("in/notes.json", whole(13).to_string());
    place.file("in/readme.txt", "hello");
    place.file(&format!("in/{}.5a1.tmp", json_file(&id(12))), "{");
    let entry = |number: u32| {
        let mut entry = whole(number);
        entry.as_object_mut().unwrap().remove("messages");
        entry
    };
    let mut index: Vec<Value> = (1..12).map(entry).collect();
    index.extend([entry(99), json!({"title": "no id"}), entry(11), json!(5)]);
    place.file("in/sessions.json", json!(index).to_string());

    let of = |number: u32| json_file(&id(number));
    let expected = [
        ("sessions.json", "without a usable id"),
        ("sessions.json", "without a usable id"),
        ("sessions.json", "a second entry"),
        ("sessions.json", "no file"),
        (&of(1), "torn in its messages"),
        (&of(2), "not a JSON object"),
        (&of(3), "not a JSON object"),
        (&of(4), "not a JSON object"),
        (&of(5), "torn in its messages"),
        (&of(6), "not UTF-8"),
        (&of(6), "torn in its messages"),
        (&of(7), "another id than its name"),
        (&of(8), "`provider`"),
        (&of(8), "no `model`"),
        (&of(9), "not a list"),
        (&of(10), "without a role"),
        (&of(10), "without a role"),
        (&of(11), "too deeply"),
        (&of(12), "does not name this session"),
        ("notes.json", "not a lower-case UUID"),
        ("notes.json", "another id than its name"),
        ("notes.json", "does not name this session"),
        ("readme.txt", "not a session"),
        (&format!("{}.5a1.tmp", of(12)), "did not finish"),
    ];
    let imported = place.ok(&["import", "nanocoder", "in"]);
    check_problems(&imported, &expected.map(|(file, reason)| (file, reason)));
    assert_eq!(place.told(&id(1)), ["one"]);
    assert_eq!(place.ok(&["info", &id(5)])["message_count"], 0);
    assert_eq!(place.told(&id(6)), ["one"]);
    for number in [7, 8, 11, 12] {
        assert_eq!(place.told(&id(number)), ["one", "two"], "{number}");
    }
    assert_eq!(place.told("notes"), ["one", "two"]);
    assert_eq!(place.messages(&id(10)).len(), 3);
    assert_eq!(counts(&place.ok(&["import", "nanocoder", "in"]))[2], 0);

    // What could be read goes back as it was.
    place.ok(&["export", "nanocoder", "out"]);
    place.check_same(&[&of(10), &of(12)]);
    let back = place.value(&format!("out/{}", of(8)));
    assert_eq!((&back["provider"], &back["model"]), (&json!("p"), &json!("m")), "the index knew both");
}

#[test]
fn an_unreadable_index_costs_no_session() {
    for index in ["", "{}", "[{\"id\"", "\0\0"] {
        let place = Place::with_corpus("nanocoder/sessions");
        place.file("in/sessions.json", index);
        let imported = place.ok(&["import", "nanocoder", "in"]);
        assert_eq!(counts(&imported), [3, 0, 9, 0], "{index}");
        assert!(problems(&imported)[0].starts_with("sessions.json: the index"), "{imported}");
    }
}

const WORKSPACE: &str = "example-workspace/sessions.json";
const NOMAD_FILES: [&str; 2] = [WORKSPACE, "second/sessions.json"];

/// The id of a session of the workspace.
fn sid(number: u32) -> String {
    format!("01K0000000000000000000S{number:03}")
}

fn mid(number: u32) -> String {
    format!("01K0000000000000000000M{number:03}")
}

#[test]
fn nomadarch_comes_in_once_and_goes_back_as_it_was() {
    let place = Place::with_corpus("nomadarch/workspaces");
    let first = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!(problems(&first), [""; 0]);
    // What forks share with their parent is not new.
    assert_eq!(counts(&first), [5, 0, 8, 7]);
    assert_eq!(counts(&place.ok(&["import", "nomadarch", "in"])), [0, 5, 0, 15]);

    let fork = place.ok(&["info", &sid(2)]);
    assert_eq!(
        (&fork["parent"], &fork["fork_point"], &fork["message_count"]),
        (&json!(sid(1)), &json!(3), &json!(5))
    );
    assert_eq!(
        (&fork["agent"], &fork["model"], &fork["scope"]),
        (&json!("build"), &json!("example-7b"), &json!("example-workspace"))
    );
    assert_eq!(fork["title"], "Why? (fork)");
    assert_eq!(place.ok(&["info", &sid(3)])["parent"], sid(9));
    let messages = place.messages(&sid(2));
    assert_eq!(messages[4]["status"], "streaming");
    assert_eq!(
        messages[1]["parts"][1],
        json!({"type": "tool_call", "id": "call_1", "name": "read_file", "arguments": "{\"path\": \"build.log\"}"})
    );
    assert_eq!(
        messages[2]["parts"],
        json!([{"type": "tool_result", "call_id": "call_1", "content": "error: no such module\n"}])
    );
    let failed = &place.messages(&sid(3))[0];
    assert_eq!((&failed["role"], &failed["parts"][0]["is_error"]), (&json!("tool"), &json!(true)));

    let exported = place.ok(&["export", "nomadarch", "out"]);
    assert_eq!(exported["problems"], json!([]));
    place.check_same(&NOMAD_FILES);
    let exported = place.ok(&["export", "nomadarch", "out"]);
    assert!(exported["files"].as_array().unwrap().iter().all(|file| file["written"] == false));
}

#[test]
fn a_fork_never_sees_what_becomes_of_its_parent() {
    let place = Place::with_corpus("nomadarch/workspaces");
    place.ok(&["import", "nomadarch", "in"]);
    place.ok(&["revert", &sid(1), "--to", "1"]);
    place.ok(&["rm", &sid(4)]);
    assert_eq!(place.messages(&sid(2)).len(), 5);
    let exported = place.ok(&["export", "nomadarch", "out"]);
    assert_eq!(exported["problems"][0]["session"], json!(sid(1)));
    let (old, new) = (place.value(&format!("in/{WORKSPACE}")), place.value(&format!("out/{WORKSPACE}")));
    assert_eq!(new["sessions"][sid(1)]["messageIds"], json!([mid(1)]));
    assert_eq!(new["sessions"][sid(2)], old["sessions"][sid(2)]);
    assert_eq!(new["sessions"].get(sid(4)), None);
    assert_eq!(new["messages"].get(mid(4)), None);
    // Nothing that was hidden or changed here is undone, and nothing comes twice.
    let again = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!(counts(&again)[2], 0);
    check_problems(&again, &[("sessions.json", "in the trash")]);
    assert_eq!(place.messages(&sid(1)).len(), 1);
}

#[test]
fn a_fork_whose_parent_is_another_here_stands_alone() {
    for change in [&["rm"][..], &["revert", "--to", "1"], &["append", "said here"]] {
        let place = Place::with_corpus("nomadarch/workspaces");
        let whole = place.text(&format!("in/{WORKSPACE}"));
        place.edit(&format!("in/{WORKSPACE}"), |file| {
            file["sessions"].as_object_mut().unwrap().retain(|id, _| *id == sid(1));
            file["sessions"][sid(1)]["messageIds"] = json!([mid(1), mid(2)]);
        });
        place.ok(&["import", "nomadarch", "in"]);
        let parent = sid(1);
        place.ok(&[&change[..1], &[parent.as_str()], &change[1..]].concat());
        place.file(&format!("in/{WORKSPACE}"), &whole);
        place.ok(&["import", "nomadarch", "in"]);
        assert_eq!(place.ok(&["info", &sid(4)])["parent"], sid(1), "{change:?}");
        let told = place.told(&sid(4));
        assert_eq!((told.len(), told[3].as_str()), (6, "error: no such module\n"), "{change:?}: {told:?}");
        assert_eq!(counts(&place.ok(&["import", "nomadarch", "in"]))[2], 0);
    }
}

#[test]
fn a_nomadarch_session_that_grew_is_topped_up_and_changed_messages_are_brought_up_to_date() {
    let place = Place::with_corpus("nomadarch/workspaces");
    place.ok(&["import", "nomadarch", "in"]);
    place.edit(&format!("in/{WORKSPACE}"), |file| {
        let messages = file["messages"].as_object_mut().unwrap();
        let streamed = &mut messages[&mid(6)];
        streamed["content"] = "On it, and done".into();
        streamed["status"] = "completed".into();
        streamed["updatedAt"] = 1_767_323_200_000_u64.into();
        streamed["later"] = json!({"x": null});
        // A record that the parent and two forks share.
        let shared = &mut messages[&mid(1)];
        shared.as_object_mut().unwrap().remove("status");
        shared["content"] = "Why does the build fail now?".into();
        shared["updatedAt"] = 1_767_323_200_001_u64.into();
        let mut more = messages[&mid(5)].clone();
        more["id"] = mid(11).into();
        more["createdAt"] = 1_767_323_210_000_u64.into();
        more["updatedAt"] = 1_767_323_210_000_u64.into();
        messages.insert(mid(11), more);
        let fork = &mut file["sessions"][sid(2)];
        fork["messageIds"].as_array_mut().unwrap().push(mid(11).into());
        fork["updatedAt"] = 1_767_323_210_000_u64.into();
    });
    let grown = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!((counts(&grown)[2], &grown["changed_messages"], problems(&grown).len()), (1, &json!(4), 0));
    let messages = place.messages(&sid(2));
    assert_eq!((&messages[4]["parts"][0]["text"], messages.len()), (&json!("On it, and done"), 6));
    assert_eq!(messages[0].get("status"), None);
    assert_eq!(place.told(&sid(4))[0], "Why does the build fail now?");
    place.ok(&["export", "nomadarch", "out"]);
    place.check_same(&NOMAD_FILES);
    let again = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!((counts(&again)[2], &again["changed_messages"]), (0, &json!(0)));
}

#[test]
fn an_older_copy_of_a_nomadarch_file_changes_nothing() {
    let place = Place::with_corpus("nomadarch/workspaces");
    let old = place.text(&format!("in/{WORKSPACE}"));
    place.edit(&format!("in/{WORKSPACE}"), |file| {
        file["messages"][mid(6)]["content"] = "newer".into();
        file["messages"][mid(6)]["updatedAt"] = 1_767_323_200_000_u64.into();
    });
    place.ok(&["import", "nomadarch", "in"]);
    place.file(&format!("in/{WORKSPACE}"), old);
    let older = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!((counts(&older)[2], &older["changed_messages"]), (0, &json!(0)));
    assert_eq!(place.told(&sid(2)).last().unwrap(), "newer");
}

#[test]
fn a_revert_of_nomadarch_is_one_here_and_can_be_undone() {
    let place = Place::with_corpus("nomadarch/workspaces");
    place.edit(&format!("in/{WORKSPACE}"), |file| {
        file["sessions"][sid(1)]["revert"] = json!({"messageID": mid(3), "reason": "no"});
        file["sessions"][sid(3)]["revert"] = json!({"messageID": "gone"});
    });
    let imported = place.ok(&["import", "nomadarch", "in"]);
    check_problems(&imported, &[("sessions.json", "reverted to a message that it has not")]);
    assert_eq!(place.messages(&sid(1)).len(), 2);
    assert_eq!(place.messages(&sid(4)).len(), 4, "the fork is another session");
    place.ok(&["unrevert", &sid(1)]);
    assert_eq!(place.messages(&sid(1)).len(), 4);
    // It was undone here, so importing again does not do it again.
    place.ok(&["import", "nomadarch", "in"]);
    assert_eq!(place.messages(&sid(1)).len(), 4);
    place.ok(&["export", "nomadarch", "out"]);
    assert_eq!(
        place.value(&format!("out/{WORKSPACE}"))["sessions"][sid(1)]["messageIds"].as_array().unwrap().len(),
        4
    );
}

#[test]
fn any_session_can_be_written_for_nomadarch() {
    let place = Place::new();
    place.ok(&["new", "--id", "mine", "--title", "Mine", "--scope", "../x"]);
    place.ok(&["append", "mine", "hello"]);
    place.ok(&["fork", "mine", "--id", "forked"]);
    place.ok(&["append", "forked", "more"]);
    let exported = place.ok(&["export", "nomadarch", "out", "mine", "forked"]);
    assert_eq!(exported["files"].as_array().unwrap().len(), 1);
    let file = exported["files"][0]["file"].as_str().unwrap();
    assert!(file.starts_with("out/workspace-"), "{file}");
    let written = place.value(file);
    let forked = &written["sessions"]["forked"];
    assert_eq!(
        (&forked["parentId"], &forked["title"], &forked["workspaceId"]),
        (&json!("mine"), &json!("Mine (fork)"), &json!("../x"))
    );
    let id = written["sessions"]["mine"]["messageIds"][0].as_str().unwrap();
    assert_eq!((&forked["messageIds"][0], written["messages"].as_object().unwrap().len()), (&json!(id), 2));
    let message = &written["messages"][id];
    assert_eq!(
        (&message["content"], &message["role"], &message["sessionId"]),
        (&json!("hello"), &json!("user"), &json!("mine"))
    );
    assert_eq!(message["parts"], json!([{"type": "text", "content": "hello"}]));

    let other = Place::new();
    other.file("in/ws/sessions.json", place.text(file));
    assert_eq!(counts(&other.ok(&["import", "nomadarch", "in/ws"])), [2, 0, 2, 1]);
}

#[test]
fn of_damaged_nomadarch_files_everything_around_the_damage_is_taken() {
    let message = |id: &str, session: &str| json!({"id": id, "sessionId": session, "role": "user", "content": id, "createdAt": 5, "updatedAt": 5});
    let session = |id: &str, ids: Value| json!({"id": id, "workspaceId": "w", "title": "T", "parentId": null, "createdAt": 1, "updatedAt": 2, "messageIds": ids});
    let place = Place::new();
    let mut wrong_title = session("wrong", json!(["m1"]));
    wrong_title["title"] = 5.into();
    wrong_title["parentId"] = json!(["p"]);
    wrong_title["workspaceId"] = "elsewhere".into();
    let mut bad_status = message("m4", "a");
    bad_status["status"] = "gone".into();
    let mut other_id = message("m5", "a");
    other_id["id"] = "m55".into();
    let file = json!({
        "sessions": {
            "a": session("a", json!(["m1", "gone", "m2", "m1", 7, "m4", "m5"])),
            "lists nothing": session("lists nothing", json!("m3")),
            "none": null,
            "wrong": wrong_title,
            "": session("", json!(["m6"])),
            "inside": session("other", json!([])),
        },
        "messages": {
            "m1": message("m1", "a"), "m2": "two", "m3": message("m3", "lists nothing"), "m4": bad_status, "m5": other_id,
            "m6": message("m6", ""), "orphan": message("orphan", "a")
        },
        "version": 2
    });
    place.file("in/w/sessions.json", file.to_string());
    place.file("in/stray.txt", "");
    place.file("in/empty/x", "");
    let f = "sessions.json";
    let expected = [
        (f, "the member \"version\""),
        (f, "session \"none\" is not an object"),
        (f, "lists message \"gone\", which is not there"),
        (f, "lists message \"m1\" twice"),
        (f, "lists message \"7\", which is not there"),
        (f, "without a role"),
        (f, "message \"m2\" says another id"),
        (f, "message \"m4\" has an unknown status"),
        (f, "message \"m5\" says another id"),
        (f, "session lists nothing has no list"),
        (f, "`title` of the session is not a text"),
        (f, "parent of session wrong"),
        (f, "session wrong says another workspace"),
        (f, "the id \"\" cannot be one here"),
        (f, "session inside says another id"),
        (f, "no session lists message \"orphan\""),
        ("stray.txt", "not a workspace"),
        ("empty", "has no sessions.json"),
    ];
    let imported = place.ok(&["import", "nomadarch", "in"]);
    check_problems(&imported, &expected);
    assert_eq!(counts(&imported)[0], 5);
    assert_eq!(place.told("a"), ["m1", "m4", "m5"]);
    assert_eq!(place.messages("a").len(), 4);
    assert_eq!(place.told("lists nothing"), ["m3"]);
    let again = place.ok(&["import", "nomadarch", "in"]);
    assert_eq!((counts(&again)[2], &again["changed_messages"]), (0, &json!(0)));

    place.ok(&["export", "nomadarch", "out"]);
    let (old, new) = (place.value("in/w/sessions.json"), place.value("out/w/sessions.json"));
    assert_eq!(new["sessions"][""], old["sessions"][""]);
    for id in ["m1", "m2", "m3", "m4", "m5", "m6"] {
        assert_eq!(new["messages"][id], old["messages"][id], "{id}");
    }
}

#[test]
fn a_torn_nomadarch_file_gives_what_stands_before_the_damage() {
    let place = Place::with_corpus("nomadarch/workspaces");
    let text = place.text(&format!("in/{WORKSPACE}"));
    let torn_at = |at: &str| text.split_at(text.rfind(at).unwrap()).0.to_owned();
    let in_messages = torn_at("\"Try another way.\"");
    let in_sessions = torn_at("\"Another fork\"");
    for (content, sessions, messages, reason) in [
        (in_messages.as_str(), 4, 4, "torn"),
        (in_sessions.as_str(), 4, 0, "torn"),
        ("", 0, 0, "not a JSON object"),
        ("\0\0\0", 0, 0, "not a JSON object"),
        ("[]", 0, 0, "not a JSON object"),
        ("{}", 0, 0, "no `sessions`"),
        ("{\"sessions\":[],\"messages\":7}", 0, 0, "`messages` is not an object"),
    ] {
        let place = Place::new();
        place.file("in/example-workspace/sessions.json", content);
        let imported = place.ok(&["import", "nomadarch", "in/example-workspace"]);
        assert_eq!((counts(&imported)[0], counts(&imported)[2]), (sessions, messages), "{reason}");
        assert!(problems(&imported).iter().any(|told| told.contains(reason)), "{reason}: {imported}");
        // The whole file comes later, and nothing is missing or there twice.
        place.file("in/example-workspace/sessions.json", &text);
        place.ok(&["import", "nomadarch", "in"]);
        for (number, count) in [(1, 4), (2, 5), (3, 2), (4, 4)] {
            assert_eq!(place.messages(&sid(number)).len(), count, "{reason} {number}");
        }
    }
}

const OCTO: &str = "0b0f8a5e-1c2d-4e3f-8a9b-0000000000f1";

#[test]
fn octocode_comes_in_once_and_goes_back_as_it_was() {
    let place = Place::with_corpus("octocode/home");
    let first = place.ok(&["import", "octocode", "in"]);
    assert_eq!((counts(&first), problems(&first).len()), ([1, 0, 0, 0], 0));
    assert_eq!(counts(&place.ok(&["import", "octocode", "in"])), [0, 1, 0, 0]);
    let session = place.ok(&["info", OCTO]);
    assert_eq!(session["metadata"]["octocode"]["stats"][0]["toolCalls"], 42);
    assert_eq!(session["agent"], "octocode");
    let log = tree(&place.directory.join("store/sessions"));
    place.ok(&["import", "octocode", "in/session.json"]);
    assert_eq!(tree(&place.directory.join("store/sessions")), log, "nothing new, so nothing was written");

    place.ok(&["export", "octocode", "out"]);
    place.check_same(&["session.json", "stats.json"]);
}

#[test]
fn counters_of_octocode_are_brought_up_to_date_and_no_totals_are_lost() {
    let place = Place::with_corpus("octocode/home");
    place.ok(&["import", "octocode", "in"]);
    place.edit("in/session.json", |file| {
        file["stats"] = json!({"toolCalls": 50, "errors": null, "rateLimits": 0});
        file["lastActiveAt"] = "2026-02-05T06:07:08.009Z".into();
    });
    let grown = place.ok(&["import", "octocode", "in"]);
    check_problems(&grown, &[("session.json", "`promptCalls`"), ("session.json", "`errors`")]);
    let stats = place.ok(&["info", OCTO])["metadata"]["octocode"]["stats"].take();
    assert_eq!(stats, json!([{"toolCalls": 50, "errors": null, "rateLimits": 0}]));
    place.ok(&["export", "octocode", "out"]);
    place.check_same(&["session.json", "stats.json"]);

    // Another session has taken the place of the first.
    place.edit("in/session.json", |file| file["sessionId"] = "another".into());
    assert_eq!(counts(&place.ok(&["import", "octocode", "in"]))[..2], [1, 0]);
    assert_eq!(place.ok(&["info", OCTO])["metadata"]["octocode"]["stats"], stats);
    let (code, message) = place.fails(&["export", "octocode", "both", OCTO, "another"]);
    assert!(code == 2 && message.contains("holds one session"), "{message}");
    let exported = place.ok(&["export", "octocode", "one"]);
    assert_eq!(
        (&exported["session_ids"], exported["problems"].as_array().unwrap().len()),
        (&json!(["another"]), 1)
    );
}

#[test]
fn any_session_can_be_written_for_octocode_without_its_messages() {
    let place = Place::new();
    place.ok(&["new", "--id", "mine"]);
    place.ok(&["append", "mine", "hello"]);
    let exported = place.ok(&["export", "octocode", "out", "mine"]);
    assert!(exported["problems"][0]["reason"].as_str().unwrap().starts_with("1 messages"), "{exported}");
    let written = place.value("out/session.json");
    assert_eq!((&written["version"], &written["sessionId"]), (&json!(1), &json!("mine")));
    assert_eq!(written["stats"], json!({"toolCalls": 0, "promptCalls": 0, "errors": 0, "rateLimits": 0}));
}

#[test]
fn damaged_octocode_files_are_reported() {
    let whole = Place::with_corpus("octocode/home").text("in/session.json");
    for (content, sessions, reasons) in [
        ("", 0, &["not a JSON object"][..]),
        ("\0\0\0\0", 0, &["not a JSON object"]),
        ("[]", 0, &["not a JSON object"]),
        ("{}", 0, &["names no session"]),
        (&whole.replace(OCTO, "a\\u0000"), 0, &["names no session"]),
        (whole.split_at(whole.find("lastActive").unwrap()).0, 1, &["torn here", "no `stats`"]),
        (whole.split_at(whole.find("\"errors\"").unwrap()).0, 1, &["torn here", "`errors`", "`rateLimits`"]),
        (&whole.replace("\"version\": 1", "\"version\": 2"), 1, &["not the one that is known"]),
        (&whole.replace("\"2026-01-05T06:07:08.009Z\"", "5"), 1, &["`lastActiveAt`"]),
    ] {
        let place = Place::new();
        place.file("in/session.json", content);
        place.file("in/session.json.tmp", "{");
        let imported = place.ok(&["import", "octocode", "in"]);
        assert_eq!(counts(&imported)[0], sessions, "{content}");
        let mut expected: Vec<_> = reasons.iter().map(|reason| ("session.json", *reason)).collect();
        expected.push(("session.json.tmp", "did not finish"));
        check_problems(&imported, &expected);
    }
    let place = Place::new();
    fs::create_dir(place.directory.join("in")).unwrap();
    check_problems(&place.ok(&["import", "octocode", "in"]), &[("in", "has no session.json")]);
}

#[test]
fn a_message_that_is_no_strict_json_for_a_while_comes_back_as_it_was_each_time() {
    let place = Place::with_corpus("nomadarch/workspaces");
    let file = format!("in/{WORKSPACE}");
    let text = place.text(&file);
    for (round, said) in ["On it", "On it \\ud83d", "On it again"].into_iter().enumerate() {
        let said = text.replace("\"On it\"", &format!("\"{said}\""));
        place.file(&file, said.replace("1767323051005", &format!("176732306{round}000")));
        let imported = place.ok(&["import", "nomadarch", "in"]);
        assert_eq!(imported["changed_messages"], u32::from(round > 0), "{round}");
        let out = format!("out{round}");
        place.ok(&["export", "nomadarch", &out]);
        // Text for text: values cannot hold what is no strict JSON.
        let lines = |name: &str| {
            let mut lines: Vec<String> =
                place.text(name).lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&format!("{out}/{WORKSPACE}")), lines(&file), "{round}");
    }
}

/// A session of nanoclaw: its two databases, as host and runner have written them.
fn nanoclaw_session(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let inbound = rusqlite::Connection::open(directory.join("inbound.db")).unwrap();
    inbound
        .execute_batch(
            r#"
            CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER, kind TEXT, timestamp TEXT, status TEXT,
                process_after TEXT, recurrence TEXT, series_id TEXT, tries INTEGER, "trigger" INTEGER,
                platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT);
            CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, platform_message_id TEXT, status TEXT);
            CREATE TABLE destinations (name TEXT PRIMARY KEY, type TEXT, channel_type TEXT, platform_id TEXT);
            CREATE TABLE session_routing (channel_type TEXT, platform_id TEXT, thread_id TEXT);
            INSERT INTO messages_in VALUES
                ('m1', 2, 'chat', '2026-01-02 03:04:05', 'completed', NULL, NULL, 'm1', 0, 1, 'p', 'chat', NULL, '{"text":"hello"}'),
                ('m2', 4, 'chat', '2026-01-02 03:05:05', 'pending', NULL, NULL, 'm2', 0, 1, 'p', 'chat', NULL, '{"text":"more"}'),
                ('m3', 6, 'task', '2026-01-02 03:06:05', 'pending', '2030-01-01T09:00:00Z', '0 9 * * *', 'm3', 0, 1, NULL, NULL, NULL, 'plain'),
                ('m4', 8, 'chat', '2026-01-02 03:07:05', 'pending', NULL, 'no cron', 'm4', 0, 1, NULL, NULL, NULL, '{}');
            INSERT INTO delivered VALUES ('o1', 'px', 'delivered');
            INSERT INTO destinations VALUES ('team', 'channel', 'chat', 'p2');
            INSERT INTO session_routing VALUES ('chat', 'p', 't');
            "#,
        )
        .unwrap();
    let outbound = rusqlite::Connection::open(directory.join("outbound.db")).unwrap();
    outbound
        .execute_batch(
            r#"
            CREATE TABLE messages_out (id TEXT PRIMARY KEY, seq INTEGER, in_reply_to TEXT, timestamp TEXT,
                deliver_after TEXT, kind TEXT, platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT);
            CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT);
            CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT);
            INSERT INTO messages_out VALUES
                ('o1', 3, 'm1', '2026-01-02 03:04:30', NULL, 'chat', NULL, NULL, NULL, '{"text":"hi there"}'),
                ('o2', 5, 'm2', '2026-01-02 03:05:30', NULL, 'chat', NULL, NULL, NULL, '{"text":"soon"}');
            INSERT INTO session_state VALUES ('continuation:x', 'abc');
            "#,
        )
        .unwrap();
}

#[test]
fn nanoclaw_what_was_said_and_what_waits_come_in_once() {
    let place = Place::new();
    nanoclaw_session(&place.directory.join("data/group/sess-1"));
    let first = place.ok(&["import", "nanoclaw", "data"]);
    assert_eq!((&first["sessions"]["new"], &first["messages"]["new"]), (&json!(1), &json!(6)));
    let problems = first["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{first}");
    assert!(problems[0]["reason"].as_str().unwrap().contains("cron"), "{first}");
    let again = place.ok(&["import", "nanoclaw", "data"]);
    assert_eq!((&again["sessions"]["new"], &again["messages"]["new"]), (&json!(0), &json!(0)));

    let info = place.ok(&["info", "sess-1"]);
    assert_eq!((&info["scope"], &info["message_count"]), (&json!("group"), &json!(6)));
    let call = |name: &str, request: &Value| place.ok(&["call", name, &request.to_string()]);
    let inbound = call("inbound", &json!({"session": "sess-1"}));
    let items: Vec<(&str, &Value)> = inbound["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["id"].as_str().unwrap(), &item["content"]))
        .collect();
    assert_eq!(items, [("m2", &json!({"text": "more"})), ("m3", &json!("plain"))]);
    let deliveries = call("next_deliveries", &json!({"session": "sess-1"}));
    let items = deliveries["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["id"]), (1, &json!("o2")));
    assert_eq!(items[0]["address"], json!({"channel_type": "chat", "platform_id": "p"}));
    assert_eq!(call("get_state", &json!({"session": "sess-1"}))["values"], json!({"continuation:x": "abc"}));
    let routing = call("get_routing", &json!({"session": "sess-1"}));
    assert_eq!(routing["default"], json!({"channel_type": "chat", "platform_id": "p", "thread_id": "t"}));
    assert_eq!(routing["destinations"]["team"]["platform_id"], "p2");
}

#[test]
fn nanoclaw_a_damaged_database_is_reported_and_the_rest_is_taken() {
    let place = Place::new();
    nanoclaw_session(&place.directory.join("data/group/sess-1"));
    place.file(
        "data/group/sess-2/inbound.db",
        "no database, but long enough to look like a file of some kind",
    );
    let summary = place.ok(&["import", "nanoclaw", "data"]);
    assert_eq!(summary["sessions"]["new"], 1);
    let reasons: Vec<&str> = summary["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["file"].as_str().unwrap())
        .collect();
    assert!(reasons.iter().any(|file| file.ends_with("sess-2")), "{summary}");
    assert_eq!(place.fails(&["import", "nanoclaw", "nowhere"]).0, 3);
}
