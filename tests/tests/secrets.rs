//! What content says is in no error message: it may be a secret, and messages go to logs.
//!
//! Every step of the corpus is made with a marker in place of each of its values, in every form that could be wrong, and
//! then as it is. Ids and names that callers give to things may stand in messages; content, titles, metadata, values of
//! requests and bytes of attachments may not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sessile_core::operations::NAMES;
use sessile_core::{OpenOptions, Sessions, Store};
use sessile_tests::corpus::call;
use sessile_tests::hosts::{self, Host};
use sessile_tests::sim::{Disk, SimDisk, SimHost};

const MARKER: &str = "Tops3cret";
/// What messages may name: ids, and names that callers give to things so that people find them. (Of durabilities the
/// testkit itself speaks.)
const NAMED: [&str; 17] = [
    "id",
    "session",
    "sessions",
    "op",
    "run",
    "worker",
    "owner",
    "series",
    "to",
    "message",
    "in_reply_to",
    "names",
    "digest",
    "item",
    "items",
    "path",
    "durability",
];

/// All steps of the corpus, those inside of others too.
fn steps() -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/ops");
    for file in fs::read_dir(ops).unwrap() {
        let cases: Value = serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let mut flat = Vec::new();
            flatten(&case["steps"], &mut flat);
            all.push(flat);
        }
    }
    all
}

fn flatten(steps: &Value, flat: &mut Vec<Value>) {
    for step in steps.as_array().unwrap() {
        match step["call"].as_str().unwrap() {
            "repeat" => flatten(&step["args"]["steps"], flat),
            // What the runner does itself.
            "wait" | "damage" | "delete_catalogue" | "marker" | "reopen" => {}
            _ => flat.push(step.clone()),
        }
    }
}

/// The places of all values in arguments, with the name of the member that they belong to.
fn places(value: &Value, at: &str, name: &str, found: &mut Vec<(String, String)>) {
    if !at.is_empty() && !NAMED.contains(&name) {
        found.push((at.to_owned(), name.to_owned()));
    }
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                places(member, &format!("{at}/{}", escaped(key)), key, found);
            }
        }
        Value::Array(elements) => {
            // One element shows what all do.
            elements.iter().take(1).for_each(|element| places(element, &format!("{at}/0"), name, found));
        }
        _ => {}
    }
}

/// A value with the marker in it, in forms that one place or another refuses.
fn marked(value: &Value) -> Vec<Value> {
    let mut all = vec![
        json!(MARKER),
        json!([MARKER]),
        json!({MARKER: MARKER}),
        json!(format!("{{\"{MARKER}\":\"{MARKER}\"")),
        json!(format!(
            "[{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{MARKER}\\ud800\"}}]}}]"
        )),
        json!(format!("{MARKER}\u{0}\u{1b}[31m")),
        json!(MARKER.repeat(1000)),
    ];
    if let Value::Object(members) = value {
        let mut more = members.clone();
        more.insert(MARKER.to_owned(), json!(MARKER));
        all.push(Value::Object(more));
    }
    all
}

#[test]
fn no_error_says_what_content_says() {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let (mut errors, mut calls) = (0, BTreeSet::new());
    for steps in steps() {
        let disk = SimDisk::new(Disk::default());
        let mut store = Store::open(SimHost::new(&disk, 1), OpenOptions::default()).unwrap();
        for step in steps {
            let name = step["call"].as_str().unwrap();
            calls.insert(name.to_owned());
            let args = &step["args"];
            let mut found = Vec::new();
            places(args, "", "", &mut found);
            // Whoever looks for a session by a text names it, and counters have names.
            let named = [("resolve", "/text"), ("add_counters", "/add")];
            found.retain(|(place, _)| !named.contains(&(name, place.as_str())));
            for (place, _) in found {
                for value in marked(args.pointer(&place).unwrap()) {
                    let mut given = args.clone();
                    *given.pointer_mut(&place).unwrap() = value;
                    errors += look(&mut store, name, &given, &place, &mut told);
                }
            }
            errors += look(&mut store, name, args, "", &mut told);
        }
    }
    for name in NAMES {
        // As the request itself, too.
        let disk = SimDisk::new(Disk::default());
        let mut store = Store::open(SimHost::new(&disk, 1), OpenOptions::default()).unwrap();
        for request in [
            MARKER.to_owned(),
            format!("\"{MARKER}\""),
            format!("{{\"{MARKER}\":1}}"),
            format!("[\"{MARKER}\"]"),
        ] {
            let error = store.operate(name, &request).unwrap_err();
            note(name, "the request", &error.message, &mut told);
            errors += 1;
        }
    }
    assert!(told.is_empty(), "{} places tell what they were given:\n{told:#?}", told.len());
    let missing: Vec<&&str> = NAMES.iter().filter(|name| !calls.contains(**name)).collect();
    assert!(missing.is_empty(), "no step makes {missing:?}");
    assert!(errors > 5000, "only {errors} errors were looked at");
    println!("secrets: {errors} errors of {} calls say nothing of what they were given", calls.len());
}

fn look(
    store: &mut dyn Sessions,
    name: &str,
    args: &Value,
    place: &str,
    told: &mut BTreeMap<String, String>,
) -> usize {
    match call(store, name, args) {
        Ok(_) => 0,
        Err(error) => {
            note(name, place, &error.message, told);
            1
        }
    }
}

fn note(name: &str, place: &str, message: &str, told: &mut BTreeMap<String, String>) {
    if message.contains(MARKER) {
        told.insert(format!("{name} {place}"), message.chars().take(200).collect());
    }
}

#[test]
fn the_command_line_says_nothing_of_content_that_it_refuses() {
    let place = hosts::fresh("secrets").unwrap();
    let run = |args: &[&str], input: &str| {
        let mut command = Host::Rust.program("sessile").unwrap();
        command.arg("--store").arg(place.join("store")).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(run(&["new", "--id", "s"], "").0);
    let broken = place.join("broken.jsonl");
    fs::write(&broken, format!("{{\"sessionId\":\"{MARKER}\n{MARKER}\n")).unwrap();
    let broken = broken.to_str().unwrap();
    let message = format!("{{\"role\":\"{MARKER}\",\"parts\":[{{\"type\":\"{MARKER}\"}}]}}");
    let torn = format!("{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"text\":\"{MARKER}");
    let request =
        format!("{{\"session\":\"s\",\"key\":5,\"value\":\"{MARKER}\",\"durability\":\"{MARKER}\"}}");
    let mut refused = 0;
    for (args, input) in [
        (vec!["append", "s", "-"], message.as_str()),
        (vec!["append", "s", "-"], torn.as_str()),
        (vec!["call", "set_state", "-"], request.as_str()),
        (vec!["call", "set_state", "-"], torn.as_str()),
        (vec!["call", "set_state", &request], ""),
        (vec!["call", "set_state", &torn], ""),
        (vec!["import", broken], ""),
        (vec!["set", "s", "--metadata", &torn], ""),
    ] {
        for more in [&[][..], &["--json"][..]] {
            let (is_done, said) = run(&[args.as_slice(), more].concat(), input);
            refused += usize::from(!is_done);
            assert!(!said.contains(MARKER), "{args:?} says: {said}");
        }
    }
    assert!(refused >= 12, "only {refused} were refused");
    println!("secrets: {refused} refusals of the command line say nothing of what they were given");
    fs::remove_dir_all(place).unwrap();
}
