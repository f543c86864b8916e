//! Every system call that a store makes fails once, or is the last before a kill, in every call and operation.
//!
//! A clean run of each script under strace lists the calls that touch the store. Then each of them, for each fault that
//! it can have, is a case: the script runs with that fault alone, in a process of its own, on a copy of the same store.
//! Afterwards
//! - the store is, before anybody writes to it, as it was behind the last acknowledged call, or one call further:
//!   nothing acknowledged is missing, nothing is there in part;
//! - the doctor finds nothing but harmless leftovers;
//! - whoever makes the calls again from the one that was cut off comes to the same store, so nothing is there twice;
//! - new messages can be appended and read.
//!
//! A process that is not killed must come through by itself: a call that failed is made again through the same handle
//! (a new one where it was closed), and an interrupted call is nobody's business at all.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a testkit: JSON is indexed without panic, traces are ASCII"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use sessile::{Message, NewSession, Select, StoredMessage};

use super::scripts::{self, GAVE_UP, Maker, Script, UNHEARD, lasting};
use super::{copy, count, files, place, program, skipped, without_strace};
use crate::bound::{Bound, Tally, add};
use crate::hosts::Host;

/// Cases that run at the same time.
const THREADS: usize = 2;
/// Consecutive seeds are this many cases apart, so that any number of them is spread over all: a prime.
const STRIDE: usize = 7_919;

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process is killed before it.
    Kill,
    /// It fails with this error and does nothing.
    Error(&'static str),
    /// It and all later ones of its name fail with this error.
    Sticky(&'static str),
}

impl Fault {
    fn injection(self, name: &str, nth: u64) -> String {
        match self {
            Self::Kill => format!("inject={name}:signal=KILL:when={nth}"),
            Self::Error(error) => format!("inject={name}:error={error}:when={nth}"),
            Self::Sticky(error) => format!("inject={name}:error={error}:when={nth}+"),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Kill => "KILL".into(),
            Self::Error(error) => error.into(),
            Self::Sticky(error) => format!("{error} for good"),
        }
    }
}

/// What can happen at a call of this name; nothing at those that have no business with files.
fn faults(name: &str) -> &'static [Fault] {
    use Fault::{Error, Kill, Sticky};
    match name {
        "write" | "pwrite64" | "writev" | "pwritev" => {
            &[Kill, Error("EIO"), Error("ENOSPC"), Error("EINTR"), Sticky("ENOSPC")]
        }
        "fsync" | "fdatasync" => &[Kill, Error("EIO"), Error("ENOSPC"), Error("EINTR"), Sticky("EIO")],
        "open" | "openat" => &[Kill, Error("EIO"), Error("ENOSPC"), Error("EINTR")],
        "mkdir" | "mkdirat" | "link" | "linkat" | "rename" | "renameat" | "renameat2" | "unlink"
        | "unlinkat" | "rmdir" | "ftruncate" | "chmod" | "fchmod" => &[Kill, Error("EIO"), Error("ENOSPC")],
        "read" | "pread64" => &[Kill, Error("EIO"), Error("EINTR")],
        "stat" | "fstat" | "lstat" | "newfstatat" | "statx" | "getdents64" | "lseek" | "fcntl"
        | "fadvise64" | "close" | "dup" | "readlink" => &[Kill, Error("EIO")],
        _ => &[],
    }
}

/// A script, with what it must come to.
struct Rehearsed {
    script: Script,
    /// The store before it.
    base: PathBuf,
    /// The steps as a file.
    file: PathBuf,
    /// What the store holds behind so many steps.
    observed: Vec<Value>,
    /// The answers of a clean run.
    answers: Vec<Value>,
}

/// A case: which call of which script has which fault.
#[derive(Clone, Debug)]
struct Case {
    script: usize,
    /// The system call.
    name: String,
    /// The how manieth of that name in the process.
    nth: u64,
    fault: Fault,
}

/// Runs cases of a host's programs. What `target/real` holds of an earlier run is lost.
///
/// Errors: what a case has left, and how to see it again; or what is missing.
pub fn run(bound: &mut Bound, host: Host) -> Result<Tally, String> {
    if let Some(reason) = without_strace() {
        return Ok(skipped(&reason));
    }
    let place = place(&format!("calls-{}", host.name()))?;
    let (rehearsed, cases) = rehearse(&place, host)?;
    let bound = Mutex::new(bound);
    let next = || bound.lock().map_or(None, |mut bound| bound.next_seed());
    let work = |thread: usize| -> Result<Tally, String> {
        let mut tally = Tally::new();
        while let Some(seed) = next() {
            let at = usize::try_from(seed).unwrap_or(0).wrapping_mul(STRIDE) % cases.len();
            let case = &cases[at];
            let script = &rehearsed[case.script];
            let result = run_case(&place.join(format!("thread-{thread}")), host, script, case, &mut tally);
            result.map_err(|what| {
                format!(
                    "{} at {} {} of \"{}\" ({}): {what}\nagain: SESSILE_SEED={seed} SESSILE_HOST={} cargo test --test real every_system_call",
                    case.fault.name(), case.name, case.nth, script.script.name, host.name(), host.name()
                )
            })?;
        }
        Ok(tally)
    };
    let tallies: Vec<Result<Tally, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        let lost = || Err("a thread of cases panicked".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
    });
    let mut tally = Tally::new();
    for part in tallies {
        add(&mut tally, part?);
    }
    let (cases_run, missed) = (figure(&tally, "cases"), figure(&tally, "not reached"));
    if missed * 20 > cases_run {
        return Err(format!(
            "{missed} of {cases_run} cases did not reach their system call: nothing was tested there"
        ));
    }
    count(
        &mut tally,
        &format!("system calls and faults to choose from ({})", host.name()),
        cases.len() as u64,
    );
    Ok(tally)
}

fn figure(tally: &Tally, what: &str) -> u64 {
    tally.get(what).copied().unwrap_or_default()
}

/// Runs every script once as it is and asserts that the process has made, changed and opened for writing nothing outside
/// of the store but the file that it writes its acknowledgements to.
///
/// Errors: what it has touched.
pub fn trace_writes(host: Host) -> Result<Tally, String> {
    if let Some(reason) = without_strace() {
        return Ok(skipped(&reason));
    }
    let place = place(&format!("traced-{}", host.name()))?;
    let mut tally = Tally::new();
    for (number, script) in scripts::all()?.iter().enumerate() {
        let (store, acks) = (place.join(format!("{number}/store")), place.join(format!("{number}/acks")));
        prepare(script, &store)?;
        let file = place.join(format!("{number}/script.json"));
        fs::write(&file, Value::from(script.steps.clone()).to_string()).map_err(|error| error.to_string())?;
        let trace = place.join(format!("{number}/trace"));
        // Threads and children too: nobody of this process may do it.
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-e", "trace=%file,ftruncate", "-o"]).arg(&trace);
        run_program(command, host, &store, &acks, &file)?;
        let allowed = [store.display().to_string(), acks.display().to_string()];
        let text = fs::read_to_string(&trace).map_err(|error| error.to_string())?;
        for line in text.lines().filter(|line| changes(line)) {
            count(&mut tally, "calls that change a file, all of them the store's", 1);
            if !allowed.iter().any(|allowed| line.contains(allowed.as_str())) {
                return Err(format!(
                    "\"{}\" ({}) changes what is not the store's: {line}",
                    script.name,
                    host.name()
                ));
            }
        }
        count(&mut tally, "scripts traced", 1);
    }
    Ok(tally)
}

/// That the comparison can fail: a store whose log has lost, or changed, what was acknowledged is found; one that ends in
/// zeros, as power cuts leave it, is whole.
///
/// Errors: what was not found, or found wrongly.
pub fn control() -> Result<Tally, String> {
    let place = place("calls-control")?;
    let scripts = scripts::all()?;
    let script = scripts.get(1).cloned().ok_or("there is no second script")?;
    let (base, store, file) = (place.join("base"), place.join("store"), place.join("script.json"));
    prepare(&script, &base)?;
    let steps = script.steps.len();
    let observed = observe_steps(&script, &base, &place.join("done"))?;
    let script = Rehearsed { script, base, file, observed, answers: Vec::new() };
    let said = Acks { steps, done: true, ..Acks::default() };
    let mut tally = Tally::new();
    let mut check = |what: &str, is_harm: bool, change: &dyn Fn(Vec<u8>) -> Vec<u8>| -> Result<(), String> {
        copy(&place.join("done"), &store)?;
        let logs = files(&store.join("sessions"));
        let has_message =
            |log: &&PathBuf| fs::read(log).is_ok_and(|bytes| find(&bytes, b"buffered").is_some());
        let log = logs.iter().find(has_message).ok_or("no log holds the messages")?;
        let bytes = fs::read(log).map_err(|error| error.to_string())?;
        fs::write(log, change(bytes)).map_err(|error| error.to_string())?;
        count(&mut tally, "changed logs judged", 1);
        match (check_store(&store, &said, &script), is_harm) {
            (Err(_), true) | (Ok(()), false) => Ok(()),
            (Ok(()), true) => Err(format!("{what}: nothing was found")),
            (Err(found), false) => Err(format!("{what}: {found}")),
        }
    };
    check("nothing changed", false, &|bytes| bytes)?;
    check("a removed record", true, &|bytes| {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.filter(|line| find(line, b"buffered").is_none()).flatten().copied().collect()
    })?;
    check("a changed byte", true, &|mut bytes| {
        if let Some(byte) = find(&bytes, b"buffered").and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
        bytes
    })?;
    check("a tail of zeros", false, &|bytes| [bytes, vec![0; 300]].concat())?;
    Ok(tally)
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Whether a line of a trace is a call that can change the file system.
fn changes(line: &str) -> bool {
    // With `-f` the process stands in front.
    let call = line.trim_start_matches(|character: char| character.is_ascii_digit() || character == ' ');
    let name = call.split('(').next().unwrap_or_default();
    let writes =
        ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"].iter().any(|flag| call.contains(flag));
    match name {
        "open" | "openat" | "openat2" => writes && !call.contains("\"/dev/"),
        "creat" | "truncate" | "ftruncate" | "mknod" | "mknodat" | "symlink" | "symlinkat" => true,
        name => ["mkdir", "unlink", "rename", "link", "rmdir", "chmod", "fchmodat", "chown", "utime"]
            .iter()
            .any(|call| name.starts_with(call)),
    }
}

/// Runs every script clean, twice over: step by step in this process, and once as a program under strace.
fn rehearse(place: &Path, host: Host) -> Result<(Vec<Rehearsed>, Vec<Case>), String> {
    let (mut rehearsed, mut cases) = (Vec::new(), Vec::new());
    for (number, script) in scripts::all()?.into_iter().enumerate() {
        let home = place.join(format!("script-{number}"));
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let (base, file) = (home.join("base"), home.join("script.json"));
        prepare(&script, &base)?;
        fs::write(&file, Value::from(script.steps.clone()).to_string()).map_err(|error| error.to_string())?;
        let fail = |what: String| format!("\"{}\" without a fault: {what}", script.name);
        let observed = observe_steps(&script, &base, &home.join("steps")).map_err(fail)?;
        // Once for what is made once in a machine's life, such as a cache of machine code.
        let (store, acks, trace) = (home.join("store"), home.join("acks"), home.join("trace"));
        for _ in 0..2 {
            copy(&base, &store)?;
            fs::remove_file(&acks).ok();
            let mut command = Command::new("strace");
            command.args(["-y", "-qq", "-e", "trace=%file,%desc", "-o"]).arg(&trace);
            run_program(command, host, &store, &acks, &file).map_err(fail)?;
        }
        let answers = read_acks(&acks)?.answers;
        let now = scripts::observe(&store)?;
        if observed.last() != Some(&now) {
            return Err(fail(format!("holds {now}\nexpected {observed:?}")));
        }
        cases.extend(plan(&trace, &store, number)?);
        rehearsed.push(Rehearsed { script, base, file, observed, answers });
    }
    Ok((rehearsed, cases))
}

/// Makes the store that a script begins with.
fn prepare(script: &Script, root: &Path) -> Result<(), String> {
    if script.before.is_empty() {
        let parent = root.parent().unwrap_or(root);
        return fs::create_dir_all(parent).map_err(|error| error.to_string());
    }
    let mut store = scripts::open(root, false).map_err(|error| error.to_string())?;
    let mut maker = Maker::default();
    for step in &script.before {
        maker.make(&mut *store, step).map_err(|error| format!("\"{}\", before: {error}", script.name))?;
    }
    Ok(())
}

/// What the store holds behind each number of steps.
fn observe_steps(script: &Script, base: &Path, root: &Path) -> Result<Vec<Value>, String> {
    copy(base, root)?;
    let mut observed = vec![scripts::observe(root)?];
    let mut maker = Maker::default();
    let mut store = scripts::open(root, false).map_err(|error| error.to_string())?;
    for (place, step) in script.steps.iter().enumerate() {
        maker.make(&mut *store, step).map_err(|error| format!("step {place}: {error}"))?;
        observed.push(scripts::observe(root)?);
    }
    Ok(observed)
}

/// The calls of a trace that touch the store, with their faults.
fn plan(trace: &Path, store: &Path, script: usize) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(trace).map_err(|error| error.to_string())?;
    let store = store.display().to_string();
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    let mut cases = Vec::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        let nth = numbers.entry(name).or_default();
        *nth += 1;
        if rest.contains(&store) {
            let case = |fault: &Fault| Case { script, name: name.to_owned(), nth: *nth, fault: *fault };
            cases.extend(faults(name).iter().map(case));
        }
    }
    if cases.is_empty() {
        return Err(format!("no call of {} touches the store", trace.display()));
    }
    Ok(cases)
}

/// Runs a program under strace; it must end well.
fn run_program(command: Command, host: Host, store: &Path, acks: &Path, script: &Path) -> Result<(), String> {
    let status = start_program(command, host, store, acks, script)?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{status}: {}", fs::read_to_string(acks.with_extension("err")).unwrap_or_default().trim()))
}

fn start_program(
    mut strace: Command,
    host: Host,
    store: &Path,
    acks: &Path,
    script: &Path,
) -> Result<ExitStatus, String> {
    let script_program = program(host, "script")?;
    let said = fs::File::create(acks.with_extension("err")).map_err(|error| error.to_string())?;
    strace.arg(script_program.get_program()).args(script_program.get_args());
    strace.arg(store).arg(acks).arg(script).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    strace.status().map_err(|error| format!("strace: {error}"))
}

/// What a program has written down.
#[derive(Default)]
struct Acks {
    /// How many steps were acknowledged.
    steps: usize,
    /// Their answers, up to the first error.
    answers: Vec<Value>,
    /// Kinds of errors, with the call.
    errors: Vec<(String, String)>,
    done: bool,
}

fn read_acks(file: &Path) -> Result<Acks, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut acks = Acks::default();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if let Some(kind) = line["error"].as_str() {
            acks.errors.push((kind.to_owned(), format!("{}: {}", line["call"], line["message"])));
        } else if line["done"] == true {
            acks.done = true;
        } else {
            acks.steps += 1;
            if acks.errors.is_empty() && line.get("answer").is_some() {
                acks.answers.push(lasting(line["answer"].clone()));
            }
        }
    }
    Ok(acks)
}

fn run_case(
    home: &Path,
    host: Host,
    script: &Rehearsed,
    case: &Case,
    tally: &mut Tally,
) -> Result<(), String> {
    let (store, acks) = (home.join("store"), home.join("acks"));
    fs::create_dir_all(home).map_err(|error| error.to_string())?;
    copy(&script.base, &store)?;
    fs::remove_file(&acks).ok();
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={}", case.name));
    command.arg("-e").arg(case.fault.injection(&case.name, case.nth));
    let status = start_program(command, host, &store, &acks, &script.file)?;
    let said = read_acks(&acks)?;
    check_end(host, status, &said, script, case, &acks)?;
    check_store(&store, &said, script)?;
    count(tally, &format!("{} {}", host.name(), case.fault.name()), 1);
    count(tally, "cases", 1);
    let was_missed = case.fault == Fault::Kill && said.done;
    count(tally, "not reached", u64::from(was_missed));
    count(tally, "errors told", said.errors.len() as u64);
    count(tally, "killed", u64::from(!said.done && status.code() != Some(GAVE_UP)));
    Ok(())
}

/// What the process itself had to do.
fn check_end(
    host: Host,
    status: ExitStatus,
    said: &Acks,
    script: &Rehearsed,
    case: &Case,
    acks: &Path,
) -> Result<(), String> {
    let stderr = || fs::read_to_string(acks.with_extension("err")).unwrap_or_default();
    // strace dies of what its child has died of.
    let was_killed = status.signal() == Some(9) || status.code() == Some(137);
    let has_come = match case.fault {
        // Where the store draws ids the same call may come a little earlier or later, or not at all.
        Fault::Kill => was_killed || (status.success() && said.done),
        Fault::Error(_) => status.success() && said.done,
        // The file of acknowledgements is written to by the same calls.
        Fault::Sticky(_) => status.success() || status.code() == Some(GAVE_UP) || case.name == "write",
    };
    // A host that was just starting may say in its own words that it cannot.
    let was_unheard = host != Host::Rust && status.code() == Some(UNHEARD);
    let was_starting = host != Host::Rust && said.steps == 0 && !said.done;
    if !has_come && !was_starting && !was_unheard {
        return Err(format!("the process ended with {status}, {:?}: {}", said.errors, stderr()));
    }
    for (kind, what) in &said.errors {
        if kind != "unavailable" && kind != "closed" {
            return Err(format!("the caller was told {kind}: {what}"));
        }
        if case.fault == Fault::Error("EINTR") {
            return Err(format!("an interrupted call became an error: {what}"));
        }
    }
    for (place, (answer, expected)) in said.answers.iter().zip(&script.answers).enumerate() {
        if script.script.steps[place]["loose"] != true && answer != expected {
            return Err(format!("step {place} answered {answer}\nexpected {expected}"));
        }
    }
    Ok(())
}

/// What the process has left, and that one can go on from there.
fn check_store(store: &Path, said: &Acks, script: &Rehearsed) -> Result<(), String> {
    let steps = &script.script.steps;
    let now = scripts::observe(store)?;
    let allowed = script.observed.get(said.steps..=(said.steps + 1).min(steps.len())).unwrap_or_default();
    let in_parts = steps.get(said.steps).is_some_and(|step| step["parts"] == true);
    if !in_parts && !allowed.contains(&now) {
        return Err(format!(
            "behind {} acknowledged steps the store holds\n{now}\nexpected one of\n{allowed:?}",
            said.steps
        ));
    }
    let findings = scripts::doctor(store, &[])?;
    if !findings.is_empty() {
        return Err(format!("the doctor finds {findings:?}"));
    }
    let mut opened =
        scripts::open(store, false).map_err(|error| format!("the store does not open: {error}"))?;
    Maker::default().go_on(&mut *opened, steps, said.steps).map_err(|what| format!("made again: {what}"))?;
    let now = scripts::observe(store)?;
    if script.observed.last() != Some(&now) {
        return Err(format!("made again, the store holds\n{now}\nexpected\n{:?}", script.observed.last()));
    }
    append(&mut opened).map_err(|error| format!("a new message: {error}"))?;
    if files(&store.join("tmp")).len() > 2 {
        return Err("more than two files are left in tmp".into());
    }
    Ok(())
}

/// Appends to a session that was there, or to a new one, and reads it back.
fn append(store: &mut sessile::Store) -> Result<(), sessile::Error> {
    let listed = store.list(&sessile::ListQuery { limit: 1, ..Default::default() })?.sessions;
    let id = match listed.into_iter().next() {
        Some(session) => session.id,
        None => store.create(&NewSession::default())?.id,
    };
    let message = Message::user("afterwards");
    store.append_messages(&id, &[message])?;
    let page = store.read(&id, &Select::Last(1))?;
    let last = StoredMessage::parse_page(&page)?.pop().and_then(|stored| stored.message().ok());
    let is_there = last.is_some_and(|message| message.text() == "afterwards");
    let lost = || sessile::Error::new(sessile::ErrorKind::Damaged, "it is not there");
    if is_there { Ok(()) } else { Err(lost()) }
}
