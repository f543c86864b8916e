//! `sessile demo`: the store at work on real sessions, told so that a newcomer can follow.
//!
//! Nothing is staged: every step calls what the commands call and prints what they print, the writers are processes
//! of their own, and the one that is killed gets SIGKILL. What was acknowledged is compared with what is there.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sessile::{
    ErrorKind, ForkOptions, Message, MessageRef, NewSession, Select, Session, Store, WriteOptions,
};

use crate::args::{self, EngineName};
use crate::commands::{Context, Health, examine, list_sessions, named, print_sessions, show_messages};
use crate::exit::{OK, error};
use crate::import::{Summary, find_files, import_files, print_summary, require_sessions};
use crate::opening::Opening;
use crate::output::{BOLD, DIM, GOOD, Out, bytes, counted, grouped, now_ms, safe_line};
use crate::transcript::Detail;

/// Lines are this long even where nobody looks, so that a log of the demo reads well.
const COLUMNS: usize = 100;
const LISTED: u64 = 8;
/// How many problems of a file are shown: that they are found is the point here.
const PROBLEMS_SHOWN: usize = 1;
/// How many messages each of the two writers appends.
const WRITTEN: u64 = 40;
/// The third writer is killed after so many acknowledgements ...
const ACKNOWLEDGED_MIN: usize = 25;
/// ... and less than so many milliseconds ...
const MOMENT_MS: u64 = 50;
/// ... and would append many more messages.
const NEVER_REACHED: u64 = 1_000_000;

/// A few lines of Claude Code, for those who have no sessions at hand.
const SAMPLE: &str = include_str!("demo_sample.jsonl");

/// The figures of a run, for `--json`.
#[derive(Debug, Default, Serialize)]
struct Figures {
    files: u64,
    sessions: u64,
    messages: u64,
    problems: u64,
    fork_messages: u64,
    fork_bytes: u64,
    written_by_two: u64,
    turns: u64,
    acknowledged_before_kill: u64,
    unacknowledged_but_whole: u64,
    lost: u64,
    doubled: u64,
    healthy: bool,
    seconds: f64,
    /// Where the store is, where it was kept.
    directory: Option<PathBuf>,
}

/// Runs the demonstration.
pub fn run(context: &mut Context, args: &args::Demo, engine: EngineName) -> Result<u8> {
    let started = Instant::now();
    let directory = Directory::make(args.keep)?;
    let json = context.out.json;
    let mut story = Story {
        out: if json { Out::discarding() } else { Out::stdout(false) },
        opening: Opening { directory: directory.path.join("store"), engine: engine.into() },
        engine,
        with_bar: !json,
        step: 0,
        figures: Figures::default(),
    };
    story.out.limit_width(COLUMNS);
    let told = story.tell(args.corpus.as_deref(), &directory.path);
    story.out.indent(0);
    story.out.flush()?;
    if let Err(cause) = told {
        // What went wrong should be looked at where it lies.
        let kept = directory.keep();
        return Err(
            cause.context(format!("the demo failed; its store is in {}", kept.join("store").display()))
        );
    }
    story.figures.seconds = started.elapsed().as_secs_f64();
    story.conclude()?;
    if args.keep {
        let store = directory.keep().join("store");
        story.out.line(&format!("The store is kept: sessile --store {} ls", store.display()))?;
        story.figures.directory = Some(store);
    }
    story.out.flush()?;
    if json {
        context.out.document(&story.figures)?;
    }
    Ok(OK)
}

struct Story {
    out: Out,
    opening: Opening,
    engine: EngineName,
    /// Whether a progress bar may be shown: not where JSON is wanted.
    with_bar: bool,
    step: u32,
    figures: Figures,
}

impl Story {
    fn tell(&mut self, corpus: Option<&Path>, directory: &Path) -> Result<()> {
        self.out.line(&format!("{BOLD}Sessile at work{BOLD:#}, in {}", self.opening.directory.display()))?;
        let corpus = match corpus {
            Some(corpus) => corpus.to_owned(),
            None => write_sample(directory)?,
        };
        self.import(&corpus)?;
        let mut store = self.opening.read()?;
        self.list(&mut store)?;
        let longest = longest_session(&mut store)?;
        self.show(&mut store, &longest)?;
        drop(store);
        let mut store = self.opening.write()?;
        let fork = self.fork(&mut store, &longest)?;
        self.revert(&mut store, &fork)?;
        let shared =
            store.create(&NewSession { title: Some("Three writers".into()), ..NewSession::default() })?;
        drop(store);
        let mut acks = self.write_from_two(&shared)?;
        acks.extend(self.kill_one(&shared)?);
        self.reopen(&shared, &acks)?;
        self.examine()
    }

    /// Prints the sentence of the next step.
    fn begin(&mut self, sentence: &str) -> Result<()> {
        self.step += 1;
        self.out.indent(0);
        self.out.line("")?;
        self.out.line(&format!("{BOLD}{}. {sentence}{BOLD:#}", self.step))?;
        self.out.indent(3);
        Ok(())
    }

    /// Prints the command that a person would type here.
    fn typed(&mut self, command: &str) -> Result<()> {
        self.out.line(&format!("{DIM}$ sessile {}{DIM:#}", safe_line(command)))?;
        self.out.flush()?;
        Ok(())
    }

    fn import(&mut self, corpus: &Path) -> Result<()> {
        self.begin("Bring the sessions of another agent into a new store.")?;
        self.typed(&format!("import claude {}", corpus.display()))?;
        let mut summary = Summary::default();
        let files = find_files(&[corpus.to_owned()], &mut summary)?;
        let mut store = self.opening.make()?;
        import_files(&mut store, &files, &mut summary, self.with_bar)?;
        print_summary(&mut self.out, &summary, PROBLEMS_SHOWN)?;
        require_sessions(&summary, corpus)?;
        self.figures.files = summary.files;
        self.figures.sessions = summary.sessions.new;
        self.figures.messages = summary.messages.new;
        self.figures.problems = summary.problems.len() as u64;

        let mut again = Summary::default();
        import_files(&mut store, &files, &mut again, false)?;
        check(again.messages.new == 0, || {
            format!("importing again has added {}", counted(again.messages.new, "message"))
        })?;
        self.out.line("Again, the same files: 0 messages added, because every one carries a key.")?;
        Ok(())
    }

    fn list(&mut self, store: &mut Store) -> Result<()> {
        self.begin("List them, the one used last first, without opening a single log.")?;
        self.typed(&format!("ls --limit {LISTED}"))?;
        let listed = list_sessions(store, &args::Ls { limit: Some(LISTED), ..args::Ls::default() })?;
        print_sessions(&mut self.out, &listed)
    }

    fn show(&mut self, store: &mut Store, session: &Session) -> Result<()> {
        self.begin("Read the end of the longest one; what lies before it is not touched.")?;
        self.typed(&format!("show {} --last 4", session.id))?;
        let args = args::Show { last: Some(4), ..args::Show::default() };
        show_messages(&mut self.out, store, session, &args, Detail::Brief)?;
        Ok(())
    }

    fn fork(&mut self, store: &mut Store, session: &Session) -> Result<Session> {
        self.begin("Fork it, to try something else without harm to the original.")?;
        self.typed(&format!("fork {}", session.id))?;
        let before = directory_bytes(&self.opening.directory);
        let fork = store.fork(&session.id, &ForkOptions::default())?;
        let written = directory_bytes(&self.opening.directory).saturating_sub(before);
        let shared = counted(fork.message_count, "message");
        self.out.line(&named(&fork))?;
        self.out
            .line(&format!("The fork has {shared} and wrote {}; no message was copied.", bytes(written)))?;
        check(fork.message_count == session.message_count, || format!("the fork has {shared}"))?;
        self.figures.fork_messages = fork.message_count;
        self.figures.fork_bytes = written;
        Ok(fork)
    }

    fn revert(&mut self, store: &mut Store, fork: &Session) -> Result<()> {
        self.begin("Go back in the fork, think again, and undo the going back.")?;
        let number = (fork.head / 2).max(1);
        self.typed(&format!("revert {} --to {number}", fork.id))?;
        let reverted = store.revert(&fork.id, &MessageRef::Seq(number), false, &WriteOptions::default())?;
        let hidden = fork.message_count.saturating_sub(reverted.message_count);
        let left = counted(reverted.message_count, "message");
        self.out.line(&format!("{left} visible, {} hidden, none removed", grouped(hidden)))?;
        self.typed(&format!("unrevert {}", fork.id))?;
        let undone = store.unrevert(&fork.id, &WriteOptions::default())?;
        let all = counted(undone.message_count, "message");
        self.out.line(&format!("{all} visible"))?;
        check(undone.message_count == fork.message_count, || format!("only {all} came back"))
    }

    fn write_from_two(&mut self, session: &Session) -> Result<Vec<Ack>> {
        self.begin("Write to one session from two processes at once; neither waits for the other.")?;
        let mut writers = Vec::new();
        for prefix in ["left", "right"] {
            writers.push(Writer::start(&self.opening.directory, self.engine, &session.id, prefix, WRITTEN)?);
        }
        let mut all = Vec::new();
        for mut writer in writers {
            let acks = writer.acks(usize::MAX)?;
            writer.finish()?;
            let (count, prefix) = (counted(acks.len() as u64, "durable message"), writer.prefix);
            self.out.line(&format!("process {} ({prefix}): {count} acknowledged", writer.child.id()))?;
            check(acks.len() as u64 == WRITTEN, || format!("the {prefix} writer stopped after {count}"))?;
            all.extend(acks);
        }
        all.sort_by_key(|ack| ack.seq);
        let side = |ack: &Ack| ack.text.split(' ').next().map(str::to_owned);
        let turns = all.iter().zip(all.iter().skip(1)).filter(|(one, next)| side(one) != side(next)).count();
        self.figures.written_by_two = all.len() as u64;
        self.figures.turns = turns as u64;
        self.out.line(&format!("In the log their messages take turns {turns} times."))?;
        Ok(all)
    }

    fn kill_one(&mut self, session: &Session) -> Result<Vec<Ack>> {
        self.begin("Kill a third process with SIGKILL in the middle of its work.")?;
        let mut writer =
            Writer::start(&self.opening.directory, self.engine, &session.id, "doomed", NEVER_REACHED)?;
        let mut acks = writer.acks(ACKNOWLEDGED_MIN)?;
        // At another moment of its work each time; while nobody reads, it goes on.
        std::thread::sleep(Duration::from_millis(now_ms() % MOMENT_MS));
        writer.child.kill().context("the third writer cannot be killed")?;
        // What it had acknowledged before it died may still be in the pipe.
        acks.extend(writer.acks(usize::MAX)?);
        let status = writer.child.wait()?;
        self.figures.acknowledged_before_kill = acks.len() as u64;
        let count = counted(acks.len() as u64, "message");
        self.out.line(&format!("process {} (doomed): {status}, {count} acknowledged", writer.child.id()))?;
        check(!status.success() && acks.len() >= ACKNOWLEDGED_MIN, || {
            "the third writer ended by itself".to_owned()
        })?;
        Ok(acks)
    }

    fn reopen(&mut self, session: &Session, acks: &[Ack]) -> Result<()> {
        self.begin("Open the store again and look for every acknowledged message.")?;
        let mut store = self.opening.write()?;
        let args = args::Show { last: Some(3), ..args::Show::default() };
        let session = store.get(&session.id)?;
        self.typed(&format!("show {} --last 3", session.id))?;
        show_messages(&mut self.out, &mut store, &session, &args, Detail::Brief)?;
        self.out.line("")?;
        let found = read_texts(&mut store, &session.id)?;
        let Comparison { lost, doubled, extra } = compare(acks, &found);
        self.figures.lost = lost;
        self.figures.doubled = doubled;
        self.figures.unacknowledged_but_whole = extra;
        let count = counted(acks.len() as u64, "message");
        self.out.line(&format!("{count} acknowledged: {lost} lost or out of place, {doubled} doubled"))?;
        if extra > 0 {
            self.out.line(&format!(
                "{} more came whole, though its writer died before it could say so",
                grouped(extra)
            ))?;
        }
        check(lost == 0 && doubled == 0, || format!("{lost} acknowledged messages lost, {doubled} doubled"))?;
        // A process writes one message at a time, so at most one was under way.
        check(extra <= 1, || format!("{extra} messages are there that nobody has acknowledged"))?;
        let appended = store.append_messages(&session.id, &[Message::user("and on it goes")])?;
        self.out.line(&format!("Writing goes on: message {} appended.", appended.seq))?;
        Ok(())
    }

    fn examine(&mut self) -> Result<()> {
        self.begin("Let the doctor look at the whole store.")?;
        self.typed("doctor")?;
        let mut store = self.opening.read()?;
        self.figures.healthy = matches!(examine(&mut self.out, &mut store, false)?, Health::Good);
        check(self.figures.healthy, || "the doctor is not content with the store".to_owned())
    }

    fn conclude(&mut self) -> Result<()> {
        let Figures { sessions, messages, written_by_two, acknowledged_before_kill, seconds, .. } =
            self.figures;
        let Figures { fork_messages, fork_bytes, .. } = self.figures;
        self.out.line("")?;
        self.out.line(&format!("{GOOD}All is well{GOOD:#}, after {seconds:.1} seconds:"))?;
        let (sessions, messages) = (counted(sessions, "session"), counted(messages, "message"));
        self.out
            .line(&format!("  {sessions} with {messages} imported, nothing doubled by the second import"))?;
        let fork_messages = counted(fork_messages, "message");
        self.out.line(&format!("  {fork_messages} forked with {}", bytes(fork_bytes)))?;
        let written = grouped(written_by_two + acknowledged_before_kill);
        self.out.line(&format!(
            "  {written} acknowledged by three processes, one of them killed: all there, in order"
        ))?;
        Ok(())
    }
}

/// Fails loudly where a promise of the store is broken.
fn check(holds: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(error(ErrorKind::Internal, broken() + "; please report this")) }
}

fn longest_session(store: &mut Store) -> Result<Session> {
    let listed = list_sessions(store, &args::Ls { all: true, ..args::Ls::default() })?;
    let longest = listed.sessions.into_iter().max_by_key(|session| session.message_count);
    longest.ok_or_else(|| error(ErrorKind::NotFound, "the store has no session; give another directory"))
}

/// An acknowledgement, as a writer prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ack {
    text: String,
    seq: u64,
}

/// A process that appends messages and says so after each.
struct Writer {
    child: Child,
    output: BufReader<ChildStdout>,
    prefix: &'static str,
}

impl Writer {
    fn start(store: &Path, engine: EngineName, id: &str, prefix: &'static str, count: u64) -> Result<Self> {
        let program = std::env::current_exe().context("this program cannot find itself to start a writer")?;
        let mut command = Command::new(program);
        command
            .args(["--engine", engine.name(), "demo-writer"])
            .arg(store)
            .args([id, prefix])
            .arg(count.to_string());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("a writer cannot be started")?;
        let output = child.stdout.take().context("a writer has no output")?;
        Ok(Self { child, output: BufReader::new(output), prefix })
    }

    /// Reads acknowledgements to the end, at most so many. A line that death cut short acknowledges nothing.
    fn acks(&mut self, acks_max: usize) -> Result<Vec<Ack>> {
        let mut acks = Vec::new();
        while acks.len() < acks_max {
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            let Some(line) = line.strip_suffix('\n') else { break };
            acks.push(
                serde_json::from_str(line).context("a writer said something else than an acknowledgement")?,
            );
        }
        Ok(acks)
    }

    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        check(status.success(), || format!("the {} writer failed ({status})", self.prefix))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Where the demo fails in between, no process may go on writing. One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `demo-writer`: appends messages one by one, and prints each when it is durable.
pub fn write(context: &mut Context, args: &args::DemoWriter) -> Result<u8> {
    context.opening.directory.clone_from(&args.store);
    let mut store = context.opening.write()?;
    let mut output = std::io::stdout().lock();
    for number in 1..=args.count {
        let text = format!("{} {number}", args.prefix);
        let seq = store.append_messages(&args.id, &[Message::user(text.as_str())])?.seq;
        writeln!(output, "{}", serde_json::to_string(&Ack { text, seq })?)?;
        output.flush()?;
    }
    Ok(OK)
}

/// All messages of a session as numbers and texts.
fn read_texts(store: &mut Store, id: &str) -> Result<Vec<Ack>> {
    const PAGE: u32 = 1000;
    let mut select = Select::From { seq: 1, limit: PAGE };
    let mut texts = Vec::new();
    loop {
        let page = store.read(id, &select)?;
        for stored in sessile::StoredMessage::parse_page(&page)? {
            texts.push(Ack { text: stored.message()?.text(), seq: stored.seq });
        }
        match page.next {
            Some(cursor) => select = Select::Cursor { cursor, limit: PAGE },
            None => return Ok(texts),
        }
    }
}

/// What was acknowledged, held against what is there.
#[derive(Debug, PartialEq, Eq)]
struct Comparison {
    /// Acknowledged and not there, or not under the number that was acknowledged.
    lost: u64,
    /// There more than once.
    doubled: u64,
    /// There and not acknowledged.
    extra: u64,
}

/// A message under the acknowledged number is in order too: a writer got its numbers ascending, which is checked.
fn compare(acks: &[Ack], found: &[Ack]) -> Comparison {
    let mut places: HashMap<&str, Vec<u64>> = HashMap::new();
    for Ack { text, seq } in found {
        places.entry(text).or_default().push(*seq);
    }
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut comparison = Comparison { lost: 0, doubled: 0, extra: 0 };
    for Ack { text, seq } in acks {
        let writer = text.split(' ').next().unwrap_or_default();
        let is_ascending = last.insert(writer, *seq).is_none_or(|last| last < *seq);
        let is_there = places.get(text.as_str()).is_some_and(|places| places.contains(seq));
        comparison.lost += u64::from(!(is_there && is_ascending));
    }
    comparison.doubled = places.values().map(|places| places.len() as u64 - 1).sum();
    let acknowledged: std::collections::HashSet<&str> = acks.iter().map(|ack| ack.text.as_str()).collect();
    comparison.extra = places.keys().filter(|text| !acknowledged.contains(**text)).count() as u64;
    comparison
}

/// A directory of its own that goes when the demo ends, unless it is to be kept.
struct Directory {
    path: PathBuf,
    is_kept: bool,
}

impl Directory {
    fn make(is_kept: bool) -> Result<Self> {
        let name = format!("sessile-demo-{}-{}", std::process::id(), now_ms());
        let path = std::env::temp_dir().join(name);
        // Exclusive: in a shared temporary directory nobody can have prepared it.
        fs::create_dir(&path)
            .with_context(|| format!("cannot make the directory {}; set TMPDIR", path.display()))?;
        Ok(Self { path, is_kept })
    }

    fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn write_sample(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("transcripts");
    fs::create_dir(&path)?;
    fs::write(path.join("7d3f9a52-8c1e-4b6a-9f0d-2e5b1c4a6d80.jsonl"), SAMPLE)?;
    Ok(path)
}

/// The bytes of all files below a directory.
fn directory_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => directory_bytes(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(text: &str, seq: u64) -> Ack {
        Ack { text: text.to_owned(), seq }
    }

    #[test]
    fn what_is_lost_doubled_or_extra_is_seen() {
        let acks = [ack("a 1", 1), ack("b 1", 2), ack("a 2", 3)];
        let compare = |found: &[Ack]| compare(&acks, found);
        assert_eq!(compare(&acks), Comparison { lost: 0, doubled: 0, extra: 0 });
        assert_eq!(compare(&acks[..2]), Comparison { lost: 1, doubled: 0, extra: 0 });
        assert_eq!(
            compare(&[&acks[..], &[ack("a 2", 4)]].concat()),
            Comparison { lost: 0, doubled: 1, extra: 0 }
        );
        assert_eq!(
            compare(&[&acks[..], &[ack("a 3", 4)]].concat()),
            Comparison { lost: 0, doubled: 0, extra: 1 }
        );
        assert_eq!(compare(&[ack("a 1", 2), ack("b 1", 1), ack("a 2", 3)]).lost, 2);
    }

    #[test]
    fn numbers_that_do_not_ascend_are_no_order() {
        let acks = [ack("a 1", 2), ack("a 2", 1)];
        assert_eq!(compare(&acks, &acks).lost, 1);
    }
}
