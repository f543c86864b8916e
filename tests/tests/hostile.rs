//! The hostile corpus gets its verdicts: in the native core, in the component, in Node and in Python, from one table.
//!
//! Nothing hangs, nothing traps, nothing outside of a store is touched. `tests/corpus/README.md` says what the tables
//! hold. With `SESSILE_BLESS=1` the verdicts on foreign files are written as the native core gives them; they are then
//! read by a person before they are kept.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;
use sessile::{Engine, Message, NewSession, OpenOptions, Part, Role, Store, WriteOptions};
use sessile_tests::hostile::{self, CALL_TIME_MAX, PARTS, Prepared, Report};
use sessile_tests::hosts::{self, Host};

const ENGINES: [(&str, Engine); 2] = [("native", Engine::Native), ("component", Engine::Component)];
/// A program of another host that takes longer than this for a table hangs.
const TABLE_TIME_MAX: Duration = Duration::from_secs(180);

/// Carries out a table in both engines.
fn check(part: &str) {
    let (_, act) = PARTS.iter().find(|(name, _)| *name == part).unwrap();
    for (name, engine) in ENGINES {
        let around = Around::new(&format!("hostile/{part}-{name}"), part);
        let begun = Instant::now();
        let report = act(engine, &around.out).unwrap();
        around.check(&report, part, name, begun.elapsed());
    }
}

#[test]
fn json_texts_get_their_verdict() {
    check("json");
}

#[test]
fn naughty_strings_get_their_verdict() {
    check("strings");
}

#[test]
fn ids_that_look_like_paths_are_ids() {
    check("ids");
}

#[test]
fn limits_hold_at_their_edges() {
    check("limits");
}

#[test]
fn foreign_files_in_a_store_are_refused_or_passed_over() {
    if std::env::var_os("SESSILE_BLESS").is_some() {
        bless();
    }
    check("files");
}

#[test]
fn node_gives_the_same_verdicts() {
    other_host(Host::Node);
}

#[test]
fn python_gives_the_same_verdicts() {
    other_host(Host::Python);
}

fn other_host(host: Host) {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/hostile");
    for (part, _) in PARTS {
        let around = Around::new(&format!("hostile/{part}-{}", host.name()), part);
        let begun = Instant::now();
        let mut command = host.program("hostile").unwrap();
        let said = output_in_time(command.arg(&tables).arg(&around.out).arg(part));
        let mut report = said_of(&said, part);
        // What one host has written another reads.
        let store = around.out.join("store");
        match part {
            "strings" => hostile::check_strings(&mut report, &store).unwrap(),
            "ids" => hostile::check_ids(&mut report, &store, &hostile::accepted_ids().unwrap()).unwrap(),
            _ => {}
        }
        around.check(&report, part, host.name(), begun.elapsed());
    }
}

/// Runs a program that must succeed, and ends it where it hangs.
fn output_in_time(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let begun = Instant::now();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut said).unwrap();
        said
    });
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let said = reader.join().unwrap();
            assert!(status.success() || !said.is_empty(), "{command:?} failed ({status})");
            return said;
        }
        if begun.elapsed() > TABLE_TIME_MAX {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The report of another host: failures, a line each, and `PART: N cases, N skipped, N failed, longest N ms`.
fn said_of(said: &str, part: &str) -> Report {
    let mut lines: Vec<&str> = said.lines().collect();
    let last = lines.pop().unwrap_or_default();
    let counts = last.strip_prefix(part).and_then(|rest| rest.strip_prefix(": "));
    let counts = counts.unwrap_or_else(|| panic!("{part}: no counts in `{said}`"));
    let numbers: Vec<u64> =
        counts.split(|char: char| !char.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.len(), 4, "{counts}");
    assert_eq!(usize::try_from(numbers[2]).unwrap(), lines.len(), "{said}");
    Report {
        count: usize::try_from(numbers[0]).unwrap(),
        skipped: usize::try_from(numbers[1]).unwrap(),
        failures: lines.into_iter().map(str::to_owned).collect(),
        longest: Duration::from_millis(numbers[3]),
    }
}

/// What lies around the stores of a table: it must stay as it is.
struct Around {
    place: PathBuf,
    out: PathBuf,
    before: BTreeMap<PathBuf, String>,
    prepared: Prepared,
}

impl Around {
    fn new(name: &str, part: &str) -> Self {
        let place = scratch(name);
        // Enough levels above for `../../..`, with something at each that a name could hit.
        let out = place.join("1/2/3/4");
        fs::create_dir_all(&out).unwrap();
        let mut directory = place.clone();
        for level in ["1", "2", "3", "4"] {
            directory.push(level);
            for canary in ["etc", "a", "sessions", "sessile.json", "con", "..a", "canary"] {
                fs::write(directory.join(canary), "canary\n").unwrap();
            }
        }
        let prepared = if part == "files" { hostile::prepare(&out).unwrap() } else { Prepared::default() };
        let before = snapshot(&place);
        Self { place, out, before, prepared }
    }

    fn check(self, report: &Report, part: &str, name: &str, took: Duration) {
        let after = snapshot(&self.place);
        for (path, was) in &self.before {
            assert_eq!(after.get(path), Some(was), "{part}, {name}: {} has changed", path.display());
        }
        let new: Vec<&PathBuf> = after.keys().filter(|path| !self.before.contains_key(*path)).collect();
        assert!(new.is_empty(), "{part}, {name}: outside of the root there are now {new:?}");
        let failures = &report.failures;
        assert!(failures.is_empty(), "{part}, {name}: {} differ:\n{}", failures.len(), failures.join("\n"));
        // Megabytes take their time where a machine is busy; what hangs on a file takes forever.
        let time_max = if part == "files" { CALL_TIME_MAX } else { TABLE_TIME_MAX / 4 };
        assert!(report.longest < time_max, "{part}, {name}: a call took {:?}", report.longest);
        let least =
            BTreeMap::from([("json", 318), ("strings", 515), ("ids", 200), ("limits", 350), ("files", 90)]);
        assert!(report.count >= least[part], "{part}, {name}: only {} cases", report.count);
        println!(
            "hostile: {part} in {name}: {} cases, {} skipped, longest call {} ms, {} s",
            report.count,
            report.skipped,
            report.longest.as_millis(),
            took.as_secs()
        );
        for skipped in &self.prepared.skipped {
            println!("hostile: SKIPPED {skipped}");
        }
        drop(self.prepared);
        fs::remove_dir_all(self.place).unwrap();
    }
}

/// An empty place in memory, where there is one: durability is no matter here, and half of the time would go to syncs.
fn scratch(name: &str) -> PathBuf {
    unmount_leftovers(name);
    let memory = Path::new("/dev/shm");
    let place = memory.join("sessile-tests").join(name);
    if memory.is_dir() && fs::create_dir_all(&place).is_ok() {
        fs::remove_dir_all(&place).unwrap();
        fs::create_dir_all(&place).unwrap();
        return place;
    }
    hosts::fresh(name).unwrap()
}

/// A run that was killed leaves its mounts.
fn unmount_leftovers(name: &str) {
    let place = Path::new("/dev/shm/sessile-tests").join(name);
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mount).starts_with(&place) {
            let _ = Command::new("umount").arg(mount).status();
        }
    }
}

/// Everything below a directory but what is inside of stores: what it is, its size, its links and its content.
fn snapshot(place: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![place.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // The stores of a table: its only one, or those that have a number.
            let is_store = path.file_name().is_some_and(|name| name == "store");
            if is_store {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            let content =
                if meta.is_file() && meta.len() < 1 << 20 { fs::read(&path).unwrap() } else { Vec::new() };
            todo.extend(meta.is_dir().then(|| path.clone()));
            let links = if meta.is_file() { meta.nlink() } else { 0 };
            found.insert(path, format!("{:o} {links} {content:?}", meta.mode()));
        }
    }
    found
}

/// Writes the verdicts of the native core into the table of foreign files.
fn bless() {
    let place = scratch("hostile/bless");
    let prepared = hostile::prepare(&place).unwrap();
    assert!(prepared.skipped.len() <= 1, "{:?}", prepared.skipped);
    let verdicts = hostile::verdicts(&place).unwrap();
    let mut table: Value = hostile::table("files").unwrap();
    for (case, verdict) in table["cases"].as_array_mut().unwrap().iter_mut().zip(verdicts) {
        for (mode, verdict) in verdict {
            case[mode] = verdict;
        }
    }
    let line = |value: &Value| serde_json::to_string(value).unwrap();
    let lines = |values: &Value| values.as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(",\n");
    let text = format!(
        "{{\"calls\": {{\n\"read\": [\n{}\n],\n\"write\": [\n{}\n]}},\n\"cases\": [\n{}\n]}}\n",
        lines(&table["calls"]["read"]),
        lines(&table["calls"]["write"]),
        lines(&table["cases"])
    );
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/hostile/files.json"), text).unwrap();
    drop(prepared);
    fs::remove_dir_all(place).unwrap();
}

/// What is not UTF-8 has no form in Rust's calls; it comes in through the command line.
#[test]
fn bytes_that_are_no_text_are_refused_by_the_command_line() {
    let place = scratch("hostile/bytes");
    let store = place.join("store");
    assert!(sessile(&store, &["new", "--id", "s"], b"").status.success());
    let mut count = 0;
    for case in hostile::table("json").unwrap().as_array().unwrap() {
        let Some(bytes) = case["bytes"].as_str() else { continue };
        let bytes = BASE64.decode(bytes).unwrap();
        let line =
            [br#"{"role":"user","parts":[{"type":"opaque","data":"#, bytes.as_slice(), b"}]}\n"].concat();
        let output = sessile(&store, &["append", "s", "-", "--json"], &line);
        let said: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
        assert_eq!(said["error"]["kind"], "invalid", "{}: {output:?}", case["name"]);
        count += 1;
    }
    let shown = sessile(&store, &["info", "s", "--json"], b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((count, &shown["message_count"]), (25, &Value::from(0)));
    println!("hostile: {count} texts of bytes that are not UTF-8 are refused by the command line");
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn what_the_command_line_prints_moves_no_cursor() {
    let place = scratch("hostile/terminal");
    let root = place.join("store");
    let mut store = Store::open_with(&root, OpenOptions::default(), Engine::Native).unwrap();
    let control: Vec<String> = (0..0xa0)
        .filter_map(char::from_u32)
        .filter(|char| char.is_control())
        .map(|char| format!("a{char}b"))
        .collect();
    let table = hostile::table("strings").unwrap();
    let naughty = table.as_array().unwrap().iter().map(|case| case["text"].as_str().unwrap().to_owned());
    let texts: Vec<String> = naughty.chain(control).chain(["\u{202e}abc\u{2066}".to_owned()]).collect();
    for (number, text) in texts.iter().enumerate() {
        let fits = |bytes_max: usize| {
            Some(text.clone()).filter(|text| text.len() <= bytes_max && !text.contains('\0'))
        };
        let new = NewSession {
            id: Some(format!("s{number}")),
            title: fits(1024),
            scope: fits(4096).unwrap_or_default(),
            agent: fits(256),
            tags: fits(128).into_iter().collect(),
            ..NewSession::default()
        };
        store.create(&new).unwrap();
        let message = Message::new(Role::User, vec![Part::Text { text: text.clone() }]);
        let message = format!("[{}]", message.to_json());
        store.append("s0", &message, &WriteOptions::default()).unwrap();
    }
    drop(store);
    let mut printed = 0;
    for args in
        [&["ls", "--limit", "10000"][..], &["show", "s0", "--from", "1"], &["info", "s1"], &["doctor"]]
    {
        let output = sessile(&root, args, b"");
        assert!(output.status.success(), "{args:?}: {output:?}");
        printed += check_printed(args, &output.stdout) + check_printed(args, &output.stderr);
    }
    for text in texts.iter().filter(|text| !text.is_empty() && !text.contains('\0')) {
        // As what is asked for and is not there.
        let args = ["info", "--", text.as_str()];
        let output = sessile(&root, &args, b"");
        printed += check_printed(&args, &output.stdout) + check_printed(&args, &output.stderr);
    }
    assert!(printed > 50_000, "only {printed} bytes were printed");
    println!("hostile: {printed} bytes for terminals, of {} texts, without control characters", texts.len());
    fs::remove_dir_all(place).unwrap();
}

/// What a program prints has line breaks, and no other character that does something else than to stand there.
fn check_printed(args: &[&str], printed: &[u8]) -> usize {
    let text = std::str::from_utf8(printed).unwrap();
    let bad = text.chars().find(|char| {
        (char.is_control() && *char != '\n')
            || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    assert_eq!(bad, None, "{args:?} prints {text:?}");
    printed.len()
}

fn sessile(store: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut command = Host::Rust.program("sessile").unwrap();
    command.args(["--engine", "native", "--store"]).arg(store).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Where the traced run works: it is this program again, under strace.
const TRACED: &str = "SESSILE_TRACED";

#[test]
fn no_name_leads_out_of_the_root() {
    if std::env::var_os(TRACED).is_some() {
        return;
    }
    if Command::new("strace").arg("--version").output().is_err() {
        println!("hostile: SKIPPED the traced run: strace is not installed");
        return;
    }
    let place = scratch("hostile/traced");
    let trace = place.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-o"]).arg(&trace);
    command.args(["-e", "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mknod,mknodat,truncate,chmod,fchmodat"]);
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_traced_part"])
        .env(TRACED, place.join("work"));
    let output = command.output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("ptrace") || said.contains("PTRACE"), "{output:?}");
        println!("hostile: SKIPPED the traced run: tracing is not permitted here");
        return;
    }
    let trace = fs::read(&trace).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    let work = place.join("work/store").display().to_string();
    let (mut inside, mut outside) = (0, Vec::new());
    for line in trace.lines().filter(|line| changes(line)) {
        // A name that is looked up in a directory below the root, or the root itself as it is made.
        let below = |text: &str| text.split_once('<').is_some_and(|(_, rest)| rest.starts_with(&work));
        let arguments = line.split_once('(').map_or("", |(_, rest)| rest);
        let is_plain =
            arguments.split('"').nth(1).is_some_and(|name| !name.contains('/') && !name.contains(".."));
        let is_root = arguments.split('"').nth(1).is_some_and(|name| work.starts_with(name));
        if (below(arguments) && is_plain) || is_root {
            inside += 1;
        } else {
            outside.push(line);
        }
    }
    assert!(outside.is_empty(), "{} calls lead elsewhere:\n{}", outside.len(), outside.join("\n"));
    assert!(inside > 500, "only {inside} calls were traced");
    println!("hostile: {inside} traced calls that make or change names, all below the root");
    fs::remove_dir_all(place).unwrap();
}

/// Whether a traced call makes, changes or may change something on the disk.
fn changes(line: &str) -> bool {
    let is_open = line.contains(" open(") || line.contains(" openat(") || line.contains(" openat2(");
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag));
    line.contains('(') && (!is_open || writes)
}

/// What is traced: the ids, natively, so that no cache of machine code is written.
#[test]
fn the_traced_part() {
    let Some(work) = std::env::var_os(TRACED).map(PathBuf::from) else { return };
    let (_, act) = PARTS.iter().find(|(name, _)| *name == "ids").unwrap();
    assert_eq!(act(Engine::Native, &work).unwrap().failures, Vec::<String>::new());
}
