//! `sessile mcp` as an agent meets it: a real process, and JSON-RPC in lines over its standard input and output.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests stop at the first surprise, and read as what is said"
)]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A store of its own for each test. The native core: what the server does is the same for both, and starts at once.
fn command(place: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.args(["--engine", "native"]).args(args);
    command.env("SESSILE_STORE", place.join("store")).env("HOME", place).stdin(Stdio::null());
    command
}

fn ok(place: &Path, args: &[&str]) -> String {
    let output = command(place, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn place() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("mcp-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&place).unwrap();
    place
}

/// A store with two sessions.
fn filled() -> PathBuf {
    let place = place();
    ok(&place, &["new", "--id", "build", "--title", "Fix the Build", "--scope", "/srv/app"]);
    ok(&place, &["append", "build", "--", "Why does it fail?"]);
    ok(&place, &["append", "build", "--role", "assistant", "--", "A missing import in ÄRGER.rs"]);
    ok(&place, &["new", "--id", "other", "--title", "Something else"]);
    ok(&place, &["append", "other", "--", "hello"]);
    place
}

/// A client, and the process that it talks to.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    id: u64,
}

impl Client {
    fn start(place: &Path, args: &[&str]) -> Self {
        let args: Vec<&str> = std::iter::once("mcp").chain(args.iter().copied()).collect();
        let mut child = command(place, &args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self { child, input, lines, id: 0 };
        let hello = client.ask(
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "sessile", "{hello}");
        assert!(hello["result"]["capabilities"]["tools"].is_object(), "{hello}");
        client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Sends a request and reads its answer. Whatever else is on standard output would not be JSON, or not of this id.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool that answers, and reads what it answers.
    fn answer(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments);
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// Calls a tool that refuses, and reads why.
    fn refusal(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments);
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", &json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap();
        for tool in tools {
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert_eq!(tool["inputSchema"]["additionalProperties"], false);
            assert_eq!(tool["annotations"]["readOnlyHint"], tool["name"] != "fork_session");
        }
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Closes its input and waits for the end.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.lines.next().is_none());
        assert!(self.child.wait().unwrap().success());
    }
}

fn files(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![place.join("store")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_agent_lists_searches_and_reads_and_writes_nothing() {
    let place = filled();
    let before = files(&place);
    let mut client = Client::start(&place, &[]);
    assert_eq!(client.tools(), ["list_sessions", "search_sessions", "read_session"]);

    let listed = client.answer("list_sessions", json!({}));
    let ids: Vec<_> = listed["sessions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, ["other", "build"]);
    let first = client.answer("list_sessions", json!({ "limit": 1 }));
    let second = client.answer("list_sessions", json!({ "limit": 1, "cursor": first["next"] }));
    assert_eq!(
        (&first["sessions"][0]["id"], &second["sessions"][0]["id"]),
        (&json!("other"), &json!("build"))
    );
    let scoped = client.answer("list_sessions", json!({ "scope": "/srv/app" }));
    assert_eq!(scoped["sessions"][0]["title"], "Fix the Build");
    assert_eq!(scoped["sessions"].as_array().unwrap().len(), 1);

    let read = client.answer("read_session", json!({ "session": "bui" }));
    assert_eq!(read["session"]["messages"], 2);
    assert_eq!(read["messages"][0]["message"]["parts"][0]["text"], "Why does it fail?");
    let one = client.answer("read_session", json!({ "session": "build", "from": 1, "limit": 1 }));
    assert_eq!((&one["first"], &one["next"]), (&json!(1), &json!(2)));
    let last = client.answer("read_session", json!({ "session": "last", "limit": 1 }));
    assert_eq!(last["messages"][0]["message"]["parts"][0]["text"], "hello");

    client.end();
    assert!(files(&place) == before, "a server that is read-only has written");
}

#[test]
fn a_search_finds_titles_and_messages_by_their_words() {
    let place = filled();
    let mut client = Client::start(&place, &[]);
    let found = client.answer("search_sessions", json!({ "query": "ärger missing" }));
    let hit = &found["found"][0];
    assert_eq!((&hit["session"], &hit["seq"]), (&json!("build"), &json!(2)));
    assert_eq!(hit["text"], "A missing import in ÄRGER.rs");
    assert_eq!((&found["next"], &found["incomplete"]), (&Value::Null, &Value::Null));
    let found = client.answer("search_sessions", json!({ "query": "fix the build" }));
    assert_eq!((&found["found"][0]["session"], &found["found"][0]["seq"]), (&json!("build"), &Value::Null));
    assert_eq!(client.answer("search_sessions", json!({ "query": "nowhere" }))["found"], json!([]));
    let scoped = client.answer("search_sessions", json!({ "query": "hello", "scope": "/srv/app" }));
    assert_eq!(scoped["found"], json!([]));

    // What others write meanwhile is found, and a page goes on where the last one ended.
    ok(&place, &["append", "other", "--", "it may fail"]);
    let mut sessions = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let arguments = json!({ "query": "fail", "limit": 1, "cursor": cursor });
        let page = client.answer("search_sessions", arguments);
        sessions.push(page["found"][0]["session"].as_str().unwrap().to_owned());
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    sessions.sort();
    assert_eq!(sessions, ["build", "other"]);
    client.end();
}

#[test]
fn a_server_that_may_write_keeps_the_index() {
    let place = filled();
    let mut client = Client::start(&place, &["--allow-write"]);
    let found = client.answer("search_sessions", json!({ "query": "hello" }));
    assert_eq!(found["found"][0]["session"], "other");
    client.end();
    assert!(
        files(&place).iter().any(|(path, _)| path.to_string_lossy().contains("search")),
        "no index was made"
    );
}

#[test]
fn an_answer_is_not_longer_than_a_model_wants() {
    let place = filled();
    for number in 0..5 {
        ok(&place, &["append", "other", "--", &format!("{number}{}", "x".repeat(40_000))]);
    }
    let mut client = Client::start(&place, &[]);
    let mut seen = Vec::new();
    let mut from = json!(1);
    while !from.is_null() {
        let read = client.answer("read_session", json!({ "session": "other", "from": from }));
        let messages = read["messages"].as_array().unwrap();
        assert!(messages.len() <= 3);
        seen.extend(messages.iter().map(|message| message["seq"].as_u64().unwrap()));
        from = read["next"].clone();
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    let newest = client.answer("read_session", json!({ "session": "other" }));
    assert_eq!((&newest["first"], newest["messages"].as_array().unwrap().len()), (&json!(5), 2));
    client.end();
}

#[test]
fn what_is_wrong_is_said_and_the_server_goes_on() {
    let place = filled();
    let mut client = Client::start(&place, &[]);
    for (tool, arguments, said) in [
        ("read_session", json!({}), "invalid: the arguments are wrong: missing field `session`"),
        ("read_session", json!({ "session": 7 }), "invalid: the arguments are wrong: invalid type"),
        ("read_session", json!({ "session": "none" }), "not-found: "),
        ("read_session", json!({ "session": "build", "from": 0 }), "invalid: `from` is 0"),
        ("read_session", json!({ "session": "build", "limit": 501 }), "invalid: `limit` is 501"),
        (
            "read_session",
            json!({ "session": "build", "form": 1 }),
            "invalid: the arguments are wrong: unknown field `form`",
        ),
        ("list_sessions", json!({ "limit": 0 }), "invalid: `limit` is 0"),
        ("list_sessions", json!({ "limit": -1 }), "invalid: the arguments are wrong"),
        ("list_sessions", json!({ "cursor": "no cursor" }), "invalid: "),
        ("search_sessions", json!({ "query": "  " }), "invalid: "),
        ("fork_session", json!({ "session": "build" }), "invalid: this server is read-only"),
    ] {
        let refusal = client.refusal(tool, arguments.clone());
        assert!(refusal.starts_with(said), "{tool} {arguments}: {refusal}");
    }
    let unknown = client.call("drop_everything", json!({}));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert_eq!(client.answer("list_sessions", json!({}))["sessions"].as_array().unwrap().len(), 2);
    client.end();

    let output = command(&place.join("nowhere"), &["mcp"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(
        command(&place, &["mcp"]).output().unwrap().status.code(),
        Some(0),
        "a client that says nothing"
    );
}

#[test]
fn a_fork_is_made_where_it_is_allowed() {
    let place = filled();
    let mut client = Client::start(&place, &["--allow-write"]);
    assert_eq!(client.tools(), ["list_sessions", "search_sessions", "read_session", "fork_session"]);
    let forked =
        client.answer("fork_session", json!({ "session": "build", "at": 1, "title": "Another way" }));
    assert_eq!((&forked["session"]["messages"], &forked["session"]["parent"]), (&json!(1), &json!("build")));
    let id = forked["session"]["id"].as_str().unwrap().to_owned();
    assert!(
        client.refusal("fork_session", json!({ "session": "build", "at": 9 })).starts_with("not-found: ")
    );
    // Killed at once: what was acknowledged is there.
    client.child.kill().unwrap();
    client.child.wait().unwrap();
    let shown: Value = serde_json::from_str(&ok(&place, &["--json", "info", &id])).unwrap();
    assert_eq!((&shown["title"], &shown["message_count"]), (&json!("Another way"), &json!(1)));
    let parent: Value = serde_json::from_str(&ok(&place, &["--json", "info", "build"])).unwrap();
    assert_eq!(parent["message_count"], 2);
}
