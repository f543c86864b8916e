//! The commands for what stands beside sessions and messages.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod place;

use std::process::Output;

use place::Place;
use serde_json::{Value, json};

impl Place {
    /// A place with the session `a`, which has a message.
    fn with_session() -> Self {
        let place = Self::new();
        place.ok(&["new", "--id", "a", "--scope", "work"]);
        place.ok(&["append", "a", "hello"]);
        place
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// The exit code and what is said of a failure.
    fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_title_that_a_person_gives() {
    let place = Place::with_session();
    assert!(place.ok(&["rename", "last", "  My title "]).contains("My title"));
    let info = place.json(&["info", "a"]);
    assert_eq!((&info["title"], &info["title_manual"]), (&json!("My title"), &json!(true)));
    assert_eq!(place.fails(&["rename", "a", "  "]).0, Some(2));
}

#[test]
fn retention_shows_before_it_acts() {
    let place = Place::with_session();
    let plan = place.json(&["retention", "plan", "--max-sessions", "0"]);
    assert_eq!(plan["trash"][0]["session_id"], "a");
    assert!(place.ok(&["retention", "plan", "--max-age", "30d"]).contains("nothing goes"));
    assert!(place.ok(&["ls"]).contains('a'), "a plan changes nothing");
    place.ok(&["retention", "set", "--max-sessions", "0", "--grace", "12h", "--on-open"]);
    let shown = place.ok(&["retention", "show"]);
    assert!(shown.contains("at most 0 sessions") && shown.contains("opens the store"), "{shown}");
    // That was an opening for writing.
    place.ok(&["retention", "unset"]);
    assert_eq!(place.json(&["trash"])["sessions"][0]["id"], "a");
    place.ok(&["restore", "a"]);
    assert!(place.ok(&["retention", "apply", "--max-sessions", "0"]).contains("moved to the trash"));
    for (args, says) in [
        (["retention", "plan", "--max-age=lots"], "30d"),
        (["retention", "plan", "--max-age=-1d"], "30d"),
        (["retention", "set", "--scope=x"], "limits"),
    ] {
        let (code, said) = place.fails(&args);
        assert!(code == Some(2) && said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn what_changes_is_told_once() {
    let place = Place::with_session();
    let lines = place.ok(&["watch", "--from-start", "--once", "--json"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&Value> =
        lines.iter().filter_map(|line| line.get("change")).map(|change| &change["kind"]).collect();
    assert_eq!(kinds, [&json!("created"), &json!("appended")]);
    let cursor = lines.last().unwrap()["cursor"].as_str().unwrap();
    place.ok(&["append", "a", "more"]);
    let next = place.ok(&["watch", "a", "--cursor", cursor, "--once", "--json"]);
    assert_eq!(next.matches("appended").count(), 1, "{next}");
    assert!(place.ok(&["watch", "--from-start", "--once"]).contains("appended message 2"));
    assert_eq!(place.fails(&["watch", "--cursor", "x", "--once"]).0, Some(2));
}

#[test]
fn counters_usage_and_runs_are_shown() {
    let place = Place::with_session();
    let counters = place.json(&["counters", "a", "--add", "n=2", "--add", "n.m=0.5", "--reset", "other"]);
    assert_eq!(counters["counters"], json!({"n": 2, "n.m": 0.5}));
    assert!(place.ok(&["counters"]).contains("no counters"));
    for bad in ["n", "n=NaN", "n=1e999", "=1"] {
        assert_eq!(place.fails(&["counters", "--add", bad]).0, Some(2), "{bad}");
    }
    place.ok(&["call", "add_usage", r#"{"session":"a","model":"m","amounts":{"input":5}}"#]);
    let usage = place.json(&["usage", "--by", "model"]);
    assert_eq!((&usage["groups"][0]["key"], &usage["total"]["amounts"]["input"]), (&json!("m"), &json!(5)));
    assert!(place.ok(&["usage", "a"]).contains('-'), "what nobody has said is not 0");
    assert!(place.ok(&["runs"]).contains("no run"));
    place.ok(&["call", "begin_run", r#"{"session":"a","owner":"me","lease_ms":60000}"#]);
    assert!(place.ok(&["runs"]).contains("me"));
}

#[test]
fn any_operation_can_be_called() {
    let place = Place::with_session();
    assert!(place.ok(&["call", "--list"]).lines().any(|name| name == "enqueue"));
    assert_eq!(place.json(&["call", "directory_scope", r#"{"directory":"/a/../b/"}"#])["scope"], "/b");
    let (code, said) = place.fails(&["call", "enqueue", r#"{"sesion":"a"}"#]);
    assert!(code == Some(2) && said.contains("sesion"), "{said}");
    assert_eq!(place.fails(&["call", "nothing"]).0, Some(2));
    assert_eq!(place.fails(&["call", "get_run", r#"{"session":"nobody"}"#]).0, Some(3));
}

#[test]
fn messages_are_found_by_their_words() {
    let place = Place::with_session();
    place.ok(&["append", "a", "the disk is full"]);
    place.ok(&["append", "a", "no space left", "--role", "assistant"]);
    let found = place.ok(&["search", "disk", "FULL"]);
    assert!(found.contains("the disk is full") && found.contains("2 user"), "{found}");
    let found = place.json(&["search", "\"space left\" -disk", "--role", "assistant", "--since", "1d"]);
    assert_eq!(found["hits"][0]["seq"], json!(3));
    assert_eq!(place.ok(&["search", "disk", "--scope", "home"]).trim(), "nothing found");
    place.ok(&["revert", "a", "--to", "2"]);
    assert_eq!(place.ok(&["search", "space"]).trim(), "nothing found");
    assert!(place.ok(&["search", "space", "--all"]).contains("hidden"));
    assert_eq!(place.fails(&["search", "..."]).0, Some(2));
    // The index is derived: without it the same is found.
    let index = place.directory.join("store/search");
    std::fs::remove_dir_all(&index).unwrap();
    assert!(place.ok(&["search", "disk", "--no-update"]).contains("the disk is full"));
    assert!(!index.exists());
}
