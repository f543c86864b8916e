//! The hostile corpus (`tests/corpus/README.md`) in Rust: cases that try to break a store, and the verdict on each.
//!
//! A verdict is `ok` or the kind of an error. The same tables are carried out by the program `hostile` of every other
//! host; [`prepare`] makes for all of them the stores in which something foreign stands in place of a file.

#![allow(
    clippy::indexing_slicing,
    reason = "a testkit: the tables are ours, and a member that is missing is null"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use sessile::{Engine, NewSession, OpenOptions, Store};

use crate::corpus::call;

/// A call that takes longer than this hangs, as far as its caller can tell.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);
const OK: &str = "ok";

/// The tables, as functions that carry one out on an empty directory.
pub const PARTS: [(&str, Part); 5] =
    [("json", json_texts), ("strings", strings), ("ids", ids), ("limits", limits), ("files", files)];

/// Carries out a table below a directory.
pub type Part = fn(Engine, &Path) -> Result<Report>;

/// What came of a table.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases were carried out.
    pub count: usize,
    /// How many this machine, or this language, cannot make.
    pub skipped: usize,
    /// Every outcome that is not the table's.
    pub failures: Vec<String>,
    /// The longest call.
    pub longest: Duration,
}

impl Report {
    fn expect(&mut self, what: &str, expected: &str, outcome: sessile::Result<Value>) -> Option<Value> {
        let (got, answer) = verdict(outcome);
        if got.split(':').next() != Some(expected) {
            self.failures.push(format!("{what}: expected {expected}, got {got}"));
        }
        answer
    }

    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(what());
        }
    }

    fn timed<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = act();
        self.longest = self.longest.max(begun.elapsed());
        outcome
    }
}

fn verdict(outcome: sessile::Result<Value>) -> (String, Option<Value>) {
    match outcome {
        Ok(answer) => (OK.to_owned(), Some(answer)),
        Err(error) => (format!("{}: {error}", error.kind.name()), None),
    }
}

/// The table of a part.
///
/// Errors: it cannot be read.
pub fn table(name: &str) -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/hostile/{name}.json"));
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn cases(name: &str) -> Result<Vec<Value>> {
    table(name)?.as_array().cloned().context("the table is no array")
}

/// Puts what JSON cannot say, or only at length, where a case names it.
///
/// Errors: it has no form in Rust; its case should be marked.
pub fn fill(value: &Value) -> Result<Value> {
    match value {
        Value::Object(members) => match members.get("$").and_then(Value::as_str) {
            Some("long") => {
                let count = usize::try_from(members["count"].as_u64().context("no count")?)?;
                Ok(members["text"].as_str().context("no text")?.repeat(count).into())
            }
            Some("list") => {
                let count = usize::try_from(members["count"].as_u64().context("no count")?)?;
                Ok(vec![members["item"].clone(); count].into())
            }
            Some("concat") => {
                let mut whole = String::new();
                for text in members["texts"].as_array().context("no texts")? {
                    whole.push_str(fill(text)?.as_str().context("not a text")?);
                }
                Ok(whole.into())
            }
            Some(power) => number(power),
            None => members.iter().map(|(name, value)| Ok((name.clone(), fill(value)?))).collect(),
        },
        Value::Array(elements) => elements.iter().map(fill).collect(),
        other => Ok(other.clone()),
    }
}

/// A number that is written as `2^53-1`.
fn number(text: &str) -> Result<Value> {
    let rest = text.strip_prefix("2^").with_context(|| format!("Rust has no way to say {text}"))?;
    let (exponent, add) = rest.find(['-', '+']).map_or((rest, "0"), |at| rest.split_at(at));
    let value = (1_i128 << exponent.parse::<u32>()?) + add.parse::<i128>()?;
    Ok(json!(u64::try_from(value)?))
}

fn open(root: &Path, engine: Engine) -> sessile::Result<Store> {
    Store::open_with(root, OpenOptions::default(), engine)
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Every text of the corpus as content, as metadata, and as all of the messages.
fn json_texts(engine: Engine, out: &Path) -> Result<Report> {
    let mut report = Report::default();
    let mut store = open(&out.join("store"), engine)?;
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() })?;
    for case in cases("json")? {
        report.count += 1;
        let name = text_of(&case, "name");
        let bytes = match case["bytes"].as_str() {
            Some(encoded) => BASE64.decode(encoded).map_err(|error| anyhow::anyhow!("{error}"))?,
            None => fill(&case["text"])?.as_str().context("not a text")?.into(),
        };
        // What is not UTF-8 cannot be said in Rust: a `&str` of it does not come to be.
        let Ok(text) = String::from_utf8(bytes) else {
            report.require(case["verdict"] == "invalid", || format!("{name}: it is not UTF-8"));
            continue;
        };
        json_text(&mut report, &mut store, name, text_of(&case, "verdict"), &text);
    }
    Ok(report)
}

fn json_text(report: &mut Report, store: &mut Store, name: &str, expected: &str, text: &str) {
    let minified = without_space(text);
    let messages = format!(r#"[{{"role":"user","parts":[{{"type":"opaque","data":{text}}}]}}]"#);
    let options = json!({"durability": "buffered"});
    let content = call(&mut **store, "append", &json!({"id": "s", "messages": messages, "options": options}));
    if report.expect(&format!("{name} as content"), expected, content).is_some() {
        let page = call(&mut **store, "read", &json!({"id": "s", "select": {"last": 1}}));
        let kept = page.is_ok_and(|page| text_of(&page, "text").contains(&format!("\"data\":{minified}}}]")));
        report.require(kept, || format!("{name}: the content comes back as something else"));
    }
    let message = call(&mut **store, "append", &json!({"id": "s", "messages": text, "options": options}));
    report.expect(&format!("{name} as the messages"), "invalid", message);
    let new = json!({"id": name, "metadata": format!("{{\"x\":{text}}}")});
    let made = call(&mut **store, "create", &json!({"new": new}));
    if let Some(session) = report.expect(&format!("{name} as metadata"), expected, made) {
        let kept = session["metadata"] == format!("{{\"x\":{minified}}}");
        report.require(kept, || format!("{name}: the metadata comes back as {}", session["metadata"]));
    }
}

/// JSON without the white space outside of its strings: what a store gives back.
fn without_space(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let mut is_kept = |char: char| {
        let is_kept = inside || !matches!(char, ' ' | '\t' | '\n' | '\r');
        (inside, escaped) = match char {
            '"' if !escaped => (!inside, false),
            '\\' => (inside, !escaped),
            _ => (inside, false),
        };
        is_kept
    };
    text.chars().filter(|char| is_kept(*char)).collect()
}

/// Every naughty string as what a person or a program may give.
fn strings(engine: Engine, out: &Path) -> Result<Report> {
    let mut report = Report::default();
    let mut store = open(&out.join("store"), engine)?;
    store.create(&NewSession { id: Some("strings".into()), ..NewSession::default() })?;
    let cases = cases("strings")?;
    for case in &cases {
        report.count += 1;
        string(&mut report, &mut store, case);
    }
    let texts: Vec<&str> = cases.iter().map(|case| text_of(case, "text")).collect();
    as_content(&mut report, &mut store, &texts);
    as_names(&mut report, &mut store, &texts);
    drop(store);
    check_strings(&mut report, &out.join("store"))?;
    Ok(report)
}

fn string(report: &mut Report, store: &mut Store, case: &Value) {
    let text = text_of(case, "text");
    let expected = |place: &str| case[place].as_str().unwrap_or(OK).to_owned();
    for (place, value) in [("title", json!(text)), ("scope", json!(text)), ("tags", json!([text]))] {
        let patch = json!({ place: value });
        let args = json!({"id": "strings", "patch": patch, "options": {"durability": "buffered"}});
        let what = format!("{text:?} as {place}");
        let done = call(&mut **store, "update", &args);
        if let Some(session) = report.expect(&what, &expected(place.trim_end_matches('s')), done) {
            report
                .require(session[place] == value, || format!("{what}: it comes back as {}", session[place]));
        }
    }
    let made = call(&mut **store, "create", &json!({"new": {"id": text}}));
    if let Some(session) = report.expect(&format!("{text:?} as id"), &expected("id"), made) {
        report.require(session["id"] == text, || format!("{text:?}: the id comes back as {}", session["id"]));
    }
}

fn as_content(report: &mut Report, store: &mut Store, texts: &[&str]) {
    let messages: Vec<Value> =
        texts.iter().map(|text| json!({"role": "user", "parts": [{"type": "text", "text": text}]})).collect();
    let done = call(&mut **store, "append", &json!({"id": "strings", "messages": messages}));
    report.expect("all of them as content", OK, done);
}

/// As names of attachments: what is unsafe in a directory is not used there, and comes back with the data.
fn as_names(report: &mut Report, store: &mut Store, texts: &[&str]) {
    let files: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| json!({"name": text, "data": BASE64.encode(format!("file {number}"))}))
        .collect();
    let content = json!({"attachments": files});
    let done = call(&mut **store, "store_attachments", &json!({"session": "strings", "content": content}));
    let stored = report.expect("all of them as names of attachments", OK, done);
    let content_left = stored.map(|stored| stored["content"].clone()).unwrap_or_default();
    let back = call(&mut **store, "restore_attachments", &json!({"content": content_left}));
    if let Some(back) = report.expect("all attachments back", OK, back) {
        report.require(back["content"] == content, || "the attachments come back as something else".into());
    }
    let listed = call(&mut **store, "list_attachments", &json!({"session": "strings"}));
    let listed = report.expect("a list of the attachments", OK, listed).unwrap_or_default();
    let listed = listed["attachments"].as_array().cloned().unwrap_or_default();
    report.require(listed.len() == texts.len(), || format!("only {} attachments are listed", listed.len()));
    for attachment in listed {
        let name = text_of(&attachment, "name");
        report.require(is_safe_name(name), || format!("{name:?} is given as a safe name"));
    }
}

/// Whether a name is one plain file in a directory of any system. Written anew here, from what systems say.
fn is_safe_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let is_device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$")
        || ["com", "lpt"].iter().any(|device| {
            stem.strip_prefix(device).is_some_and(|rest| {
                rest.chars().count() == 1 && rest.chars().all(|digit| "0123456789¹²³".contains(digit))
            })
        });
    !name.is_empty()
        && name.len() <= 255
        && !name.chars().any(|char| char.is_control() || "/\\:<>\"|?*".contains(char))
        && !name.ends_with(['.', ' '])
        && !is_device
}

/// Looks whether a store that some host has written has the accepted strings, byte for byte.
///
/// Errors: the store does not open.
pub fn check_strings(report: &mut Report, root: &Path) -> Result<()> {
    let mut store = Store::open_with(root, OpenOptions { read_only: true }, Engine::Native)?;
    let cases = cases("strings")?;
    let list = call(&mut *store, "list", &json!({"query": {"limit": 10_000}}))?;
    let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
    let there: BTreeSet<&str> = sessions.iter().map(|session| text_of(session, "id")).collect();
    let accepted = cases.iter().filter(|case| case["id"].is_null()).map(|case| text_of(case, "text"));
    let wanted: BTreeSet<&str> = accepted.chain(["strings"]).collect();
    report.require(there == wanted, || {
        format!("ids: {:?}", there.symmetric_difference(&wanted).collect::<Vec<_>>())
    });
    let page = call(&mut *store, "read", &json!({"id": "strings", "select": {"last": 10_000}}))?;
    let messages = page["messages"].as_array().cloned().unwrap_or_default();
    report.require(messages.len() == cases.len(), || format!("{} messages", messages.len()));
    for (case, message) in cases.iter().zip(&messages) {
        let (text, kept) = (text_of(case, "text"), &message["message"]["parts"][0]["text"]);
        report.require(kept == text, || format!("{text:?} is kept as {kept}"));
    }
    Ok(())
}

/// Every path-like id as that of a session, which takes a message and a state.
fn ids(engine: Engine, out: &Path) -> Result<Report> {
    let mut report = Report::default();
    let root = out.join("store");
    let mut store = open(&root, engine)?;
    let mut accepted = Vec::new();
    for case in cases("ids")? {
        report.count += 1;
        let id = fill(&case["id"])?;
        let shown = format!("{:.40?}", id.as_str().unwrap_or_default());
        let made = call(&mut *store, "create", &json!({"new": {"id": id}}));
        let Some(session) = report.expect(&shown, text_of(&case, "verdict"), made) else {
            continue;
        };
        report.require(session["id"] == id, || format!("{shown} comes back as {}", session["id"]));
        let message = json!({"role": "user", "parts": [{"type": "text", "text": id}]});
        let append = json!({"id": id, "messages": [message], "options": {"durability": "buffered"}});
        let state = json!({"session": id, "key": "k", "value": id, "durability": "buffered"});
        report.expect(&shown, OK, call(&mut *store, "append", &append));
        report.expect(&shown, OK, call(&mut *store, "set_state", &state));
        accepted.push(id);
    }
    drop(store);
    check_ids(&mut report, &root, &accepted)?;
    Ok(report)
}

/// Looks whether each id has its own content, and files of its own with names of ours.
///
/// Errors: the store does not open.
pub fn check_ids(report: &mut Report, root: &Path, ids: &[Value]) -> Result<()> {
    let mut store = Store::open_with(root, OpenOptions { read_only: true }, Engine::Native)?;
    for id in ids {
        let shown = format!("{:.40?}", id.as_str().unwrap_or_default());
        let page = call(&mut *store, "read", &json!({"id": id, "select": {"last": 2}}))?;
        let messages = page["messages"].as_array().cloned().unwrap_or_default();
        let own = messages.len() == 1 && messages.iter().all(|m| m["message"]["parts"][0]["text"] == *id);
        report.require(own, || format!("{shown} shares its messages with another id"));
        let state = call(&mut *store, "get_state", &json!({"session": id, "key": "k"}))?;
        let own = state["values"]["k"] == *id;
        report.require(own, || format!("{shown} shares its state with another id"));
    }
    let files = files_below(&root.join("sessions"))?;
    let names: Vec<String> = files
        .iter()
        .filter_map(|file| file.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    let of = |kinds: &str| names.iter().filter(|name| name.starts_with(|char| kinds.contains(char))).count();
    report.require(of("luh") == ids.len(), || format!("{} logs for {} ids", of("luh"), ids.len()));
    report.require(of("s") == ids.len(), || format!("{} logs of states for {} ids", of("s"), ids.len()));
    let is_ours = |name: &&String| {
        name.len() == 41 && name.bytes().all(|b| matches!(b, b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z'))
    };
    report.require(names.iter().all(|name| is_ours(&name)), || format!("foreign names: {names:?}"));
    Ok(())
}

/// The ids that the table says a store takes.
///
/// Errors: the table cannot be read.
pub fn accepted_ids() -> Result<Vec<Value>> {
    cases("ids")?.iter().filter(|case| case["verdict"] == OK).map(|case| fill(&case["id"])).collect()
}

/// All files below a directory; links are files.
///
/// Errors: those of the disk.
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Every limit around its edge, and large numbers, each on a store of its own with one session of one message.
fn limits(engine: Engine, out: &Path) -> Result<Report> {
    let mut report = Report::default();
    let message = json!([{"role": "user", "parts": [{"type": "text", "text": "one"}]}]);
    for (number, case) in cases("limits")?.iter().enumerate() {
        if case["rust"] == false {
            report.skipped += 1;
            continue;
        }
        report.count += 1;
        let root = out.join(number.to_string());
        let mut store = open(&root, engine)?;
        call(&mut *store, "create", &json!({"new": {"id": "s"}}))?;
        call(&mut *store, "append", &json!({"id": "s", "messages": message}))?;
        let args = fill(&case["args"])?;
        let outcome = report.timed(|| call(&mut *store, text_of(case, "call"), &args));
        let name = text_of(case, "name");
        report.expect(name, text_of(case, "verdict"), outcome);
        if let Some(back) = case.get("back") {
            let (page, back) =
                (call(&mut *store, "read", &json!({"id": "s", "select": {"last": 1}}))?, fill(back)?);
            let kept = text_of(&page, "text").contains(back.as_str().unwrap_or_default());
            report.require(kept, || format!("{name}: it comes back as something else"));
        }
        let left = call(&mut *store, "read", &json!({"id": "s", "select": {"from": {"seq": 1, "limit": 1}}}));
        report.expect(&format!("{name}, then reading"), OK, left);
        drop(store);
        fs::remove_dir_all(root)?;
    }
    Ok(report)
}

/// Stores with something foreign in place of a file: opened for reading alone, then for writing.
fn files(engine: Engine, out: &Path) -> Result<Report> {
    let mut report = Report::default();
    let table = table("files")?;
    // Who opens first compiles the component, which is no call that hangs.
    drop(Store::open_with(out.join("store"), OpenOptions::default(), engine)?);
    for (number, case) in table["cases"].as_array().context("no cases")?.iter().enumerate() {
        let root = out.join(number.to_string()).join("store");
        if !root.exists() {
            report.skipped += 1;
            continue;
        }
        report.count += 1;
        for mode in ["read", "write"] {
            let got = probe(&mut report, &table, mode, &root, engine);
            let what = || format!("{} in place of {}", text_of(case, "thing"), text_of(case, "file"));
            let got = got.with_context(what)?;
            report.require(got == case[mode], || format!("{}, to {mode}: {got} for {}", what(), case[mode]));
        }
    }
    Ok(report)
}

/// The native core's verdicts on all prepared stores, by mode; none for a case that was not made.
///
/// Errors: a call hangs.
pub fn verdicts(out: &Path) -> Result<Vec<Vec<(String, Value)>>> {
    let mut report = Report::default();
    let table = table("files")?;
    let mut verdicts = Vec::new();
    for number in 0..table["cases"].as_array().map_or(0, Vec::len) {
        let root = out.join(number.to_string()).join("store");
        let modes: &[&str] = if root.exists() { &["read", "write"] } else { &[] };
        let one = modes
            .iter()
            .map(|mode| Ok(((*mode).to_owned(), probe(&mut report, &table, mode, &root, Engine::Native)?)));
        verdicts.push(one.collect::<Result<_>>()?);
    }
    Ok(verdicts)
}

/// Opens a store and makes the calls of a mode. Returns their verdicts by name.
///
/// Errors: a call hangs.
fn probe(report: &mut Report, table: &Value, mode: &str, root: &Path, engine: Engine) -> Result<Value> {
    let (sender, receiver) = mpsc::channel();
    let (calls, root, is_read_only) =
        (table["calls"][mode].as_array().cloned().context("no calls")?, root.to_path_buf(), mode == "read");
    // In a thread of its own: what hangs must not hang the test.
    let worker = std::thread::spawn(move || {
        let options = OpenOptions { read_only: is_read_only };
        let opened = Store::open_with(root, options, engine);
        let kind = |outcome: Result<(), &sessile::Error>| outcome.map_or_else(|e| e.kind.name(), |()| OK);
        let _ = sender.send(("open".to_owned(), kind(opened.as_ref().map(drop)).to_owned()));
        let Ok(mut store) = opened else { return };
        for step in calls {
            let outcome = call(&mut *store, text_of(&step, "call"), &step["args"]);
            let verdict = kind(outcome.as_ref().map(drop)).to_owned();
            let _ = sender.send((text_of(&step, "name").to_owned(), verdict));
        }
    });
    let mut verdicts = serde_json::Map::new();
    loop {
        let received = report.timed(|| receiver.recv_timeout(CALL_TIME_MAX));
        match received {
            Ok((name, verdict)) => drop(verdicts.insert(name, verdict.into())),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("a call hangs after {verdicts:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    ensure!(worker.join().is_ok(), "a call panics after {verdicts:?}");
    Ok(verdicts.into())
}

/// What [`prepare`] has made. Mounts end with it.
#[derive(Debug, Default)]
pub struct Prepared {
    mounts: Vec<PathBuf>,
    /// Why a case was not made.
    pub skipped: Vec<String>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for mount in &self.mounts {
            let _ = Command::new("umount").arg(mount).status();
        }
    }
}

/// Makes a store for every case of the table of files, each in a directory with its number.
///
/// Errors: those of the disk.
pub fn prepare(out: &Path) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    let table = table("files")?;
    for (number, case) in table["cases"].as_array().context("no cases")?.iter().enumerate() {
        let place = out.join(number.to_string());
        let root = place.join("store");
        fs::create_dir_all(&place)?;
        let names = make_store(&root)?;
        // What links lead to: it must be as it is now when all is done.
        fs::create_dir(place.join("outside"))?;
        fs::write(place.join("outside/file"), "outside\n")?;
        let (file, thing) = (text_of(case, "file"), text_of(case, "thing"));
        let target = match names.iter().find(|(name, _)| *name == file) {
            Some((_, path)) => root.join(path),
            None => bail!("the table names a file `{file}` that no store has"),
        };
        if let Err(error) = put(thing, &target, &place, &mut prepared) {
            prepared.skipped.push(format!("{thing} in place of {file}: {error:#}"));
            fs::remove_dir_all(&root)?;
        }
    }
    Ok(prepared)
}

/// Makes a store that has one of everything. Returns the names of the table with their paths.
fn make_store(root: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut store = open(root, Engine::Native)?;
    let message = json!([{"role": "user", "parts": [{"type": "text", "text": "one"}]}]);
    for id in ["a", "b"] {
        call(&mut *store, "create", &json!({"new": {"id": id}}))?;
        call(&mut *store, "append", &json!({"id": id, "messages": message}))?;
    }
    let content = json!({"attachments": [{"name": "f.txt", "data": "Zg=="}]});
    call(&mut *store, "store_attachments", &json!({"session": "b", "content": content}))?;
    call(&mut *store, "add_counters", &json!({"add": {"n": 1}}))?;
    call(&mut *store, "set_retention", &json!({"policy": {"max_sessions": 1000}}))?;
    call(&mut *store, "close", &json!({}))?;
    drop(store);
    let relative = |path: PathBuf| path.strip_prefix(root).map(Path::to_path_buf).unwrap_or_default();
    let only = |directory: &str| -> Result<PathBuf> {
        let last = files_below(&root.join(directory))?.pop();
        last.map(relative).with_context(|| format!("{directory} is empty"))
    };
    let log = |wanted: &str| -> Result<PathBuf> {
        for file in files_below(&root.join("sessions"))? {
            if fs::read_to_string(&file)?.contains(&format!("\"session\":{wanted}")) {
                return Ok(relative(file));
            }
        }
        bail!("no log is that of {wanted}")
    };
    let log_a = log("\"a\"")?;
    let logs = log_a.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(vec![
        ("the root", PathBuf::new()),
        ("the marker", "sessile.json".into()),
        ("a session log", log_a),
        ("the store's log", log("\"\\u0001store/\"")?),
        ("the catalogue", only("catalogue")?),
        ("the retention policy", "retention.json".into()),
        ("an attachment", only("attachments")?),
        ("the directory of a log", logs),
        ("the directory of logs", "sessions".into()),
        ("the directory of the catalogue", "catalogue".into()),
        ("the directory of attachments", "attachments".into()),
        ("the directory of unfinished files", "tmp".into()),
    ])
}

/// Puts a thing in place of a file or directory.
fn put(thing: &str, target: &Path, place: &Path, prepared: &mut Prepared) -> Result<()> {
    let outside = place.join("outside");
    let kept = outside.join("kept");
    match thing {
        "a read-only mount" => return mount_read_only(target, prepared),
        "a directory without write permission" => return forbid_writing(target),
        _ if target.is_dir() => fs::rename(target, &kept)?,
        _ => {
            // The content stays, so that what follows a link or a second name would find what it wants.
            fs::copy(target, &kept)?;
            fs::remove_file(target)?;
        }
    }
    match thing {
        "nothing" => {}
        "an empty file" => fs::write(target, "")?,
        "a link to it" => symlink(&kept, target)?,
        "a link to a directory" => symlink(&outside, target)?,
        "a link to nothing" => symlink(outside.join("nothing"), target)?,
        "a link to itself" => symlink(target, target)?,
        "a FIFO" => command("mkfifo", &[target])?,
        "a device" => device(target)?,
        "a socket" => drop(bind(target, place)?),
        "a directory" => fs::DirBuilder::new().mode(0o700).create(target)?,
        "a hard link" => fs::hard_link(&kept, target)?,
        "1 TiB of nothing" => fs::File::create(target)?.set_len(1 << 40)?,
        other => bail!("the table has an unknown thing `{other}`"),
    }
    Ok(())
}

fn command(program: &str, paths: &[&Path]) -> Result<()> {
    let status = Command::new(program).args(paths).status().with_context(|| format!("no `{program}`"))?;
    ensure!(status.success(), "`{program}` failed");
    Ok(())
}

fn device(target: &Path) -> Result<()> {
    let status = Command::new("mknod").arg(target).args(["c", "1", "5"]).status().context("no `mknod`")?;
    ensure!(status.success(), "`mknod` needs a superuser who may make devices");
    Ok(())
}

/// Names of sockets are short, so it is bound where the path is short and then moved.
fn bind(target: &Path, place: &Path) -> Result<UnixListener> {
    let short = place.join("s");
    let listener = UnixListener::bind(&short).context("a socket cannot be made here")?;
    fs::rename(&short, target)?;
    Ok(listener)
}

fn mount_read_only(target: &Path, prepared: &mut Prepared) -> Result<()> {
    let mount = |args: &[&str], paths: &[&Path]| -> Result<()> {
        let done = Command::new("mount").args(args).args(paths).output().context("no `mount`")?;
        ensure!(done.status.success(), "`mount` needs a superuser who may mount");
        Ok(())
    };
    mount(&["--bind"], &[target, target])?;
    prepared.mounts.push(target.to_path_buf());
    mount(&["-o", "remount,ro,bind"], &[target])
}

fn forbid_writing(target: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let probe = target.join("probe");
    let mut todo = vec![target.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            todo.extend(entry.file_type()?.is_dir().then(|| entry.path()));
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o500))?;
    }
    if fs::write(&probe, "").is_ok() {
        fs::remove_file(&probe)?;
        bail!("modes do not bind this user; the read-only mount stands for it");
    }
    Ok(())
}
