//! Bad input gets the error that the table of the corpus says, natively and in the component, on real files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sessile::{Engine, NewSession, OpenOptions, Result, Store, WriteOptions};
use sessile_tests::corpus::call;

const ENGINES: [Engine; 2] = [Engine::Native, Engine::Component];

fn table(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/values.json");
    let table: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    table[name].as_array().unwrap().clone()
}

/// A place for one case, with nothing in it.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("values-{}-{name}", std::process::id()));
    fs::remove_dir_all(&place).ok();
    fs::create_dir_all(&place).unwrap();
    place
}

/// Puts what JSON cannot say where a case names it.
fn fill(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("$").and_then(Value::as_str) {
            Some("long") => {
                let count = usize::try_from(members["count"].as_u64().unwrap()).unwrap();
                members["text"].as_str().unwrap().repeat(count).into()
            }
            Some("2^53") => json!(1_u64 << 53),
            Some(other) => panic!("Rust has no way to say {other}: mark the case"),
            None => members.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
        },
        Value::Array(elements) => elements.iter().map(fill).collect(),
        other => other.clone(),
    }
}

/// Compares the outcome of a case with the kind of error that the table says.
fn differs(case: &Value, engine: Engine, outcome: Result<()>) -> Option<String> {
    let got = match outcome {
        Err(error) if error.kind.name() == case["error"] => return None,
        Err(error) => format!("{}: {error}", error.kind.name()),
        Ok(()) => "no error".to_owned(),
    };
    Some(format!("{} ({engine:?}): expected {}, got {got}", case["name"], case["error"]))
}

#[test]
fn bad_arguments_get_their_error() {
    let place = place("calls");
    let (mut failed, mut count, mut skipped) = (Vec::new(), 0, 0);
    for (number, case) in table("calls").iter().enumerate() {
        if case["rust"] == false {
            skipped += 1;
            continue;
        }
        for engine in ENGINES {
            let mut store =
                Store::open_with(place.join(format!("{number}-{engine:?}")), OpenOptions::default(), engine)
                    .unwrap();
            store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
            let message = r#"[{"role":"user","parts":[{"type":"text","text":"one"}]}]"#;
            store.append("s", message, &WriteOptions::default()).unwrap();
            let outcome = call(&mut *store, case["call"].as_str().unwrap(), &fill(&case["args"]));
            failed.extend(differs(case, engine, outcome.map(drop)));
            // What is refused changes nothing.
            let left = store.get("s").unwrap();
            assert_eq!((left.message_count, left.facts.title), (1, None), "{}", case["name"]);
        }
        count += 1;
    }
    fs::remove_dir_all(place).unwrap();
    assert!(failed.is_empty(), "{} outcomes differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 45, "only {count} cases were made");
    println!("values: {count} calls in both engines; the types of Rust leave no way to write {skipped}");
}

/// Makes what a case opens.
fn root(place: &Path, case: &Value) -> PathBuf {
    if let Some(path) = case["path"].as_str() {
        return path.into();
    }
    let root = place.join("root");
    match case["make"].as_str().unwrap() {
        "nothing" => {}
        "file" => fs::write(&root, "a file").unwrap(),
        "fifo" => fifo(&root),
        "directory" => {
            fs::create_dir(&root).unwrap();
            let mode = u32::from_str_radix(case["mode"].as_str().unwrap_or("700"), 8).unwrap();
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
        }
        other => panic!("unknown make {other}"),
    }
    let marker = root.join("sessile.json");
    match case["marker"].as_str() {
        None => {}
        Some("fifo") => fifo(&marker),
        Some("noise") => fs::write(&marker, "noise\n").unwrap(),
        Some("newer") => fs::write(&marker, r#"{"format":"sessile","version":99,"reader":99}"#).unwrap(),
        Some("link") => {
            let other = place.join("other.json");
            fs::write(&other, r#"{"format":"sessile","version":1,"reader":1}"#).unwrap();
            symlink(other, &marker).unwrap();
        }
        Some(other) => panic!("unknown marker {other}"),
    }
    case["below"].as_str().map_or(root.clone(), |below| root.join(below))
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn bad_roots_get_their_error() {
    let cases = table("roots");
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for engine in ENGINES {
            let place = place(&format!("root-{number}-{engine:?}"));
            let options = OpenOptions { read_only: case["read_only"].as_bool().unwrap_or(false) };
            let opened = Store::open_with(root(&place, case), options, engine);
            let outcome = match (opened, case["call"].as_str()) {
                (Ok(mut store), Some(name)) => call(&mut *store, name, &case["args"]).map(drop),
                (Err(error), Some(_)) => panic!("{}: must open: {error}", case["name"]),
                (opened, None) => opened.map(drop),
            };
            failed.extend(differs(case, engine, outcome));
            fs::remove_dir_all(place).unwrap();
        }
    }
    assert!(failed.is_empty(), "{} outcomes differ:\n{}", failed.len(), failed.join("\n"));
    assert!(cases.len() >= 12, "only {} cases were found", cases.len());
    println!("values: {} roots in both engines", cases.len());
}
