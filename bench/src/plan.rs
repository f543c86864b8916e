//! The plan of a run: which subjects do which work, how often, and at which sizes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::race::{Language, Runner, root};
use crate::report;
use crate::results::{Results, Sample};
use crate::worker::{Cost, Job};

use Language::{Node, Python, Rust};

/// A message has 2 KiB.
pub const BYTES: u64 = 2048;
/// Measures what a workload is about.
type Workload = fn(&mut Bench) -> Result<()>;
/// Who does a workload: a language, and a subject in it.
type Reader = (Language, &'static str);

/// So many appends before durable ones are measured, ten at a time: every language has compiled its own by then.
const WARM_OPS: u64 = 500;

/// The workloads, in the order of the run.
const WORKLOADS: &[(&str, Workload)] = &[
    ("w1", Bench::w1),
    ("w2", Bench::w2),
    ("w3", Bench::w3),
    ("w4", Bench::w4),
    ("w5", Bench::w5),
    ("w6", Bench::w6),
    ("w7", Bench::w7),
    ("w8", Bench::w8),
    ("w9", Bench::w9),
    ("w10", Bench::w10),
    ("search", Bench::search),
    ("engines", Bench::engines),
    ("memory", Bench::memory),
    ("writers", Bench::writers),
];

/// What was asked for.
pub struct Options {
    pub is_quick: bool,
    pub only: BTreeSet<String>,
    /// Where the measured files are; below `target` where nothing is said.
    pub dir: PathBuf,
    /// How many rounds, instead of what each workload has: for trying the benchmarks out.
    pub rounds: Option<u64>,
}

impl Options {
    pub fn parse(args: &[&str]) -> Result<Self> {
        let dir = root().join("target/bench");
        let mut options = Self { is_quick: false, only: BTreeSet::new(), dir, rounds: None };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.to_lowercase().as_str() {
                "--quick" => options.is_quick = true,
                "--dir" => {
                    let dir = Path::new(args.next().context("--dir wants a directory")?);
                    fs::create_dir_all(dir)?;
                    // The library takes no relative path for its cache.
                    options.dir = dir.canonicalize()?;
                }
                "--rounds" => options.rounds = Some(args.next().context("--rounds wants a number")?.parse()?),
                name if WORKLOADS.iter().any(|(known, _)| *known == name) => {
                    options.only.insert(name.to_owned());
                }
                other => {
                    let known: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
                    bail!("there is no workload `{other}`; there are {}", known.join(", "));
                }
            }
        }
        Ok(options)
    }
}

/// Runs what was asked for and writes the report.
pub fn run(options: &Options) -> Result<()> {
    let scratch = options.dir.join("scratch");
    clear(&scratch)?;
    let (is_quick, rounds) = (options.is_quick, options.rounds);
    let mut bench = Bench { is_quick, rounds, scratch, results: Results::default(), begin: Instant::now() };
    for (name, workload) in WORKLOADS {
        if options.only.is_empty() || options.only.contains(*name) {
            bench.say(&format!("{name} ..."));
            workload(&mut bench)?;
            bench.tidy(name)?;
        }
    }
    clear(&bench.scratch)?;
    let micro = crate::micro::measure(&options.dir)?;
    let run = report::Run {
        is_quick,
        is_whole: options.only.is_empty() && options.rounds.is_none(),
        dir: options.dir.clone(),
        minutes: bench.begin.elapsed().as_secs_f64() / 60.0,
        micro,
    };
    report::write(&run, &bench.results)?;
    bench.say("done");
    Ok(())
}

fn clear(place: &Path) -> Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(fs::create_dir_all(place)?),
    }
}

struct Bench {
    is_quick: bool,
    rounds: Option<u64>,
    scratch: PathBuf,
    results: Results,
    begin: Instant,
}

/// Who takes part in a race.
#[derive(Clone)]
struct Entry {
    language: Language,
    label: String,
    job: Job,
    size: u64,
}

impl Bench {
    fn say(&self, what: &str) {
        let seconds = self.begin.elapsed().as_secs();
        println!("{:>3}:{:02} {what}", seconds / 60, seconds % 60);
    }

    fn note(&mut self, note: String) {
        self.say(&format!("  note: {note}"));
        // What a peer says of its failure may name places of this machine, some as names of folders.
        let place = root().display().to_string();
        let note = note.replace(&place, ".").replace(&place.replace(['/', '\\'], "-"), "");
        self.results.notes.push(note);
    }

    /// What later workloads do not need is removed.
    fn tidy(&self, workload: &str) -> Result<()> {
        for entry in fs::read_dir(&self.scratch)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("{workload}-")) && entry.path().is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn pick(&self, quick: u64, full: u64) -> u64 {
        if self.is_quick { quick } else { full }
    }

    fn job(&self, workload: &str, language: Language, subject: &str, work: &str) -> Job {
        let name = format!("{workload}-{}-{subject}", language.name().to_lowercase());
        Job {
            subject: subject.to_owned(),
            work: work.to_owned(),
            dir: self.scratch.join(name),
            ops: 1,
            batch: 1,
            bytes: BYTES,
            ..Job::default()
        }
    }

    /// Subjects with the same job, each in a directory of its own; slow ones do less in a block.
    fn entries(&self, workload: &str, subjects: &[(Language, &str, u64)], job: &Job) -> Vec<Entry> {
        let entry = |(language, subject, ops): &(Language, &str, u64)| {
            let own = self.job(workload, *language, subject, &job.work);
            let job = Job { subject: own.subject, dir: own.dir, ops: *ops, ..job.clone() };
            Entry { language: *language, label: (*subject).to_owned(), job, size: 0 }
        };
        subjects.iter().map(entry).collect()
    }

    fn keep(&mut self, workload: &str, entry: &Entry, round: u64, cost: Cost) {
        self.results.samples.push(Sample {
            workload: workload.to_owned(),
            language: entry.language.name().to_owned(),
            subject: entry.label.clone(),
            size: entry.size,
            round,
            cost,
        });
    }

    /// Lets workers live through all rounds and do one block in each, one after the other. The first round warms up.
    fn race(&mut self, workload: &str, rounds: u64, entries: &[Entry]) -> Result<()> {
        self.race_warm(workload, rounds, 0, entries)
    }

    /// As [`Self::race`], after so many operations of each: an agent's process lives long, and the engine of JavaScript
    /// compiles what is called often.
    fn race_warm(&mut self, workload: &str, rounds: u64, warm: u64, entries: &[Entry]) -> Result<()> {
        let rounds = self.rounds.unwrap_or(rounds);
        let mut runners = Vec::new();
        for entry in entries {
            self.say(&format!("  {workload}: {} {} {}", entry.language.name(), entry.label, entry.size));
            let warm = |mut runner: Runner| {
                (0..warm)
                    .step_by(entry.job.ops.max(1) as usize)
                    .try_for_each(|_| runner.block().map(|_| ()))?;
                Ok(runner)
            };
            match Runner::start(entry.language, &entry.job).and_then(warm) {
                Ok(runner) => runners.push((entry.clone(), runner)),
                Err(error) => self.note(format!("{workload}: {error:#}")),
            }
        }
        for round in 0..=rounds {
            let mut going = Vec::new();
            for (entry, mut runner) in runners {
                match runner.block() {
                    Ok(cost) if round > 0 => self.keep(workload, &entry, round, cost),
                    Ok(_) => {}
                    Err(error) => {
                        self.note(format!("{workload}: {error:#}"));
                        continue;
                    }
                }
                going.push((entry, runner));
            }
            runners = going;
        }
        for (_, runner) in runners {
            if let Err(error) = runner.finish() {
                self.note(format!("{workload}: {error:#}"));
            }
        }
        Ok(())
    }

    /// Starts a fresh process for every block, one subject after the other in each round. The first round warms up.
    fn fresh(&mut self, workload: &str, rounds: u64, entries: &[Entry]) -> Result<()> {
        let rounds = self.rounds.unwrap_or(rounds);
        let mut failed = BTreeSet::new();
        for round in 0..=rounds {
            for (number, entry) in entries.iter().enumerate() {
                if failed.contains(&number) {
                    continue;
                }
                let done = Runner::start(entry.language, &entry.job).and_then(|mut runner| {
                    let cost = runner.block()?;
                    runner.finish().map(|()| cost)
                });
                match done {
                    Ok(cost) if round > 0 => self.keep(workload, entry, round, cost),
                    Ok(_) => {}
                    Err(error) => {
                        failed.insert(number);
                        self.note(format!("{workload}: {error:#}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a store of so many messages or sessions once; later workloads find it.
    fn filled(&mut self, language: Language, subject: &str, work: &str, held: u64) -> Result<PathBuf> {
        let dir = self.scratch.join(format!("{work}-{}-{subject}-{held}", language.name().to_lowercase()));
        if !dir.exists() {
            self.say(&format!("  {work}: {} {subject} {held}", language.name()));
            let job = Job { dir: dir.clone(), held, ..self.job(work, language, subject, work) };
            let mut runner = Runner::start(language, &job)?;
            runner.block()?;
            runner.finish()?;
        }
        Ok(dir)
    }

    /// A subject that reads what `by` has made.
    fn reader(
        &mut self,
        (language, subject): (Language, &str),
        by: (Language, &str),
        fill: &str,
        work: &str,
        size: u64,
    ) -> Option<Entry> {
        match self.filled(by.0, by.1, fill, size) {
            Ok(dir) => {
                let job = Job { dir, ..self.job(work, language, subject, work) };
                Some(Entry { language, label: subject.to_owned(), job, size })
            }
            Err(error) => {
                self.note(format!("{work}: {error:#}"));
                None
            }
        }
    }

    // --- The workloads. -----------------------------------------------------------------------------------------

    fn w1(&mut self) -> Result<()> {
        let job = Job { durable: true, ..self.job("w1", Rust, "raw", "append") };
        let subjects = [
            (Rust, "raw"),
            (Rust, "native"),
            (Rust, "component"),
            (Rust, "sqlite-full"),
            (Rust, "redb"),
            (Node, "raw"),
            (Node, "sessile"),
            (Node, "sessile-thread"),
            (Node, "better-sqlite3-full"),
            (Python, "raw"),
            (Python, "sessile"),
            (Python, "sqlite3-full"),
            (Python, "openai-agents"),
        ];
        // Short blocks: what else the machine does must meet all of them.
        let entries = self.entries("w1", &subjects.map(|(language, subject)| (language, subject, 10)), &job);
        self.race_warm("w1", self.pick(15, 51), WARM_OPS, &entries)
    }

    fn w2(&mut self) -> Result<()> {
        let job = self.job("w2", Rust, "raw", "append");
        let subjects = [
            (Rust, "raw", 500),
            (Rust, "native", 500),
            (Rust, "component", 500),
            (Rust, "sqlite-normal", 500),
            (Rust, "redb", 500),
            (Node, "raw", 500),
            (Node, "sessile", 500),
            (Node, "sessile-thread", 500),
            (Node, "better-sqlite3-normal", 500),
            (Node, "nanocoder", 3),
            (Node, "pi", 50),
            (Python, "raw", 500),
            (Python, "sessile", 500),
            (Python, "sqlite3-normal", 500),
            (Python, "langgraph", 5),
        ];
        let mut entries = self.entries("w2", &subjects, &job);
        for (language, subject) in [(Python, "sessile"), (Python, "sqlite3-normal")] {
            let name = format!("{subject} x10");
            let job = Job { batch: 10, ops: 50, ..self.job("w2-ten", language, subject, "append") };
            entries.push(Entry { language, label: name, job, size: 0 });
        }
        self.race("w2", self.pick(9, 21), &entries)
    }

    fn w3(&mut self) -> Result<()> {
        let sizes: &[u64] = if self.is_quick { &[10, 1000, 10_000] } else { &[10, 1000, 10_000, 100_000] };
        // Subjects, how many appends a block has, and up to which size.
        let subjects = [
            (Rust, "native", 500, u64::MAX),
            (Rust, "component", 500, u64::MAX),
            (Rust, "sqlite-normal", 500, u64::MAX),
            (Rust, "redb", 100, u64::MAX),
            (Node, "sessile", 200, u64::MAX),
            (Node, "better-sqlite3-normal", 200, u64::MAX),
            (Node, "pi", 20, 10_000),
            (Node, "nanocoder", 1, 10_000),
            (Python, "sessile", 200, u64::MAX),
            (Python, "sqlite3-normal", 200, u64::MAX),
            (Python, "langgraph", 1, 1000),
        ];
        for (language, subject, ops, most) in subjects {
            let mut entries = Vec::new();
            for &size in sizes.iter().filter(|size| **size <= most) {
                let mut job = self.job("w3", language, subject, "append");
                job.dir = job.dir.with_extension(size.to_string());
                job.ops = ops;
                job.held = size;
                if matches!(subject, "sessile" | "native" | "component") {
                    // The native core makes what all hosts then append to.
                    let fill = Job { work: "fill".into(), subject: "native".into(), ..job.clone() };
                    let mut runner = Runner::start(Rust, &fill)?;
                    runner.block()?;
                    runner.finish()?;
                    job.held = 0;
                }
                entries.push(Entry { language, label: subject.to_owned(), job, size });
            }
            self.race("w3", self.pick(7, 21), &entries)?;
            self.tidy("w3")?;
        }
        Ok(())
    }

    fn w4(&mut self) -> Result<()> {
        for size in [10, 1000, 10_000, 100_000] {
            let is_small = size <= 10_000;
            let mut entries = Vec::new();
            for (who, by) in TAIL_READERS {
                if is_small || !matches!(by.1, "nanocoder" | "pi" | "langgraph") {
                    entries.extend(self.reader(*who, *by, "fill", "tail", size));
                }
            }
            self.fresh("w4", self.pick(5, 9), &entries)?;
        }
        Ok(())
    }

    fn w5(&mut self) -> Result<()> {
        let sizes: &[u64] = if self.is_quick { &[100, 10_000] } else { &[100, 10_000, 100_000] };
        for &size in sizes {
            let mut entries = Vec::new();
            for (who, by) in LIST_READERS {
                // Others take many minutes to make so many, and as many files; pi half an hour for 10,000.
                let most = match by.1 {
                    "pi" => 100,
                    "nanocoder" => self.pick(100, 10_000),
                    _ => u64::MAX,
                };
                if size <= most {
                    entries.extend(self.reader(*who, *by, "fill_sessions", "list", size));
                }
            }
            self.fresh("w5", self.pick(5, 9), &entries)?;
        }
        Ok(())
    }

    fn w6(&mut self) -> Result<()> {
        let sizes: &[u64] = if self.is_quick { &[10, 1000, 10_000] } else { &[10, 1000, 10_000, 100_000] };
        for &size in sizes {
            let subjects = [
                (Rust, "raw", 5),
                (Rust, "raw-new-file", 5),
                (Rust, "native", 5),
                (Rust, "component", 5),
                (Rust, "sqlite-full", 1),
                (Rust, "redb", 1),
                (Node, "raw", 5),
                (Node, "sessile", 5),
                (Node, "better-sqlite3-full", 1),
                (Node, "nanocoder", 1),
                (Node, "pi", 1),
                (Python, "raw", 5),
                (Python, "sessile", 5),
                (Python, "sqlite3-full", 1),
            ];
            let job = Job { durable: true, held: size, ..self.job("w6", Rust, "raw", "fork") };
            let mut entries = self.entries("w6", &subjects, &job);
            // Copies of 100,000 messages take as long as all the rest together; 10,000 show what they cost.
            entries.retain(|entry| {
                size <= 10_000
                    || matches!(entry.label.as_str(), "raw" | "raw-new-file" | "native" | "sessile")
            });
            for entry in &mut entries {
                entry.size = size;
                entry.job.dir = entry.job.dir.with_extension(size.to_string());
                if entry.label.starts_with("raw") {
                    entry.job.held = 0;
                }
            }
            self.race("w6", self.pick(5, 9), &entries)?;
            self.tidy("w6")?;
        }
        Ok(())
    }

    fn w7(&mut self) -> Result<()> {
        let job = Job { durable: true, ..self.job("w7", Rust, "raw", "stream") };
        let durable = [
            (Rust, "raw", 1),
            (Rust, "native", 1),
            (Rust, "component", 1),
            (Rust, "sqlite-full", 1),
            (Rust, "redb", 1),
            (Node, "raw", 1),
            (Node, "sessile", 1),
            (Node, "better-sqlite3-full", 1),
            (Python, "raw", 1),
            (Python, "sessile", 1),
            (Python, "sqlite3-full", 1),
        ];
        let entries = self.entries("w7", &durable, &job);
        self.race("w7", self.pick(5, 11), &entries)?;
        let job = self.job("w7-buffered", Rust, "raw", "stream");
        let buffered = [
            (Rust, "raw", 1),
            (Rust, "native", 1),
            (Rust, "component", 1),
            (Rust, "sqlite-normal", 1),
            (Rust, "redb", 1),
            (Node, "raw", 1),
            (Node, "sessile", 1),
            (Node, "better-sqlite3-normal", 1),
            (Node, "nanocoder", 1),
            (Node, "pi", 1),
            (Python, "raw", 1),
            (Python, "sessile", 1),
            (Python, "sqlite3-normal", 1),
            (Python, "langgraph", 1),
        ];
        let entries = self.entries("w7-buffered", &buffered, &job);
        self.race("w7-buffered", self.pick(5, 9), &entries)
    }

    fn w8(&mut self) -> Result<()> {
        let mut entries = Vec::new();
        for (who, by) in LIST_READERS.iter().filter(|(who, _)| who.1 != "raw") {
            entries.extend(self.reader(*who, *by, "fill_sessions", "open", 100));
        }
        for subject in ["openai-agents", "langgraph"] {
            let who = (Python, subject);
            entries.extend(self.reader(who, who, "fill", "open", 10));
        }
        self.fresh("w8", self.pick(7, 21), &entries)
    }

    fn w9(&mut self) -> Result<()> {
        let subjects = [
            (Rust, "native"),
            (Rust, "component"),
            (Rust, "sqlite-full"),
            (Rust, "redb"),
            (Node, "sessile"),
            (Node, "better-sqlite3-full"),
            (Node, "nanocoder"),
            (Node, "pi"),
            (Python, "sessile"),
            (Python, "sqlite3-full"),
            (Python, "openai-agents"),
            (Python, "langgraph"),
        ];
        for (language, subject) in subjects {
            for (workload, sessions) in [("w9-apart", ["a", "b"]), ("w9-together", ["s", "s"])] {
                let job = Job { ops: 500, durable: true, ..self.job(workload, language, subject, "contend") };
                let label = subject.to_owned();
                let entry = Entry { language, label, job, size: 0 };
                let begin = Instant::now();
                let count = self.contend(&entry, sessions);
                let cost = Cost { seconds: begin.elapsed().as_secs_f64(), ops: 1, count, ..Cost::default() };
                self.keep(workload, &entry, 1, cost);
                self.tidy(workload)?;
            }
        }
        Ok(())
    }

    /// Lets two processes append at once, and says how many messages a third one finds.
    fn contend(&mut self, entry: &Entry, sessions: [&str; 2]) -> u64 {
        let mut runners = Vec::new();
        for session in sessions {
            let job = Job { session: session.to_owned(), ..entry.job.clone() };
            match Runner::start(entry.language, &job) {
                Ok(runner) => runners.push(runner),
                Err(error) => self.note(format!("w9: {error:#}")),
            }
        }
        let asked: Result<()> = runners.iter_mut().try_for_each(Runner::go);
        for mut runner in runners {
            let done = runner.cost().and_then(|_| runner.finish());
            if let Err(error) = done {
                self.note(format!("w9: {error:#}"));
            }
        }
        if let Err(error) = asked {
            self.note(format!("w9: {error:#}"));
        }
        let mut count = 0;
        for session in BTreeSet::from(sessions) {
            let job = Job { session: session.to_owned(), work: "count".into(), ..entry.job.clone() };
            let counted = Runner::start(entry.language, &job).and_then(|mut runner| runner.block());
            match counted {
                Ok(cost) => count += cost.count,
                Err(error) => self.note(format!("w9: {error:#}")),
            }
        }
        count
    }

    fn w10(&mut self) -> Result<()> {
        let size = self.pick(10_000, 100_000);
        let native = (Rust, "native");
        let mut entries = Vec::new();
        for who in [native, (Rust, "component"), (Node, "sessile"), (Python, "sessile")] {
            entries.extend(self.reader(who, native, "fill", "fold", size));
        }
        entries.extend(self.reader((Rust, "raw"), (Rust, "raw"), "fill", "fold", size));
        self.fresh("w10-fold", 5, &entries)?;
        // 100 MB of transcripts are 100 rounds over 1 MB of them.
        let held = self.pick(20, 100);
        let mut entries = Vec::new();
        for subject in ["native", "component"] {
            let job = Job { held, ..self.job("w10", Rust, subject, "import") };
            entries.push(Entry { language: Rust, label: subject.to_owned(), job, size: 0 });
        }
        self.race("w10-import", 5, &entries)
    }

    /// A query among many messages, in a process that begins.
    fn search(&mut self) -> Result<()> {
        let native = (Rust, "native");
        let entries: Vec<Entry> = [native, (Rust, "component")]
            .into_iter()
            .filter_map(|who| self.reader(who, native, "fill_words", "search", 100_000))
            .collect();
        self.fresh("search", self.pick(9, 21), &entries)
    }

    /// The component beside the native core, on a store in memory's reach: what the sandbox costs.
    fn engines(&mut self) -> Result<()> {
        let native = (Rust, "native");
        let rounds = self.pick(9, 21);
        for (work, fill, size) in [
            ("fold", "fill", 10_000),
            ("tail", "fill", 10_000),
            ("list", "fill_sessions", 10_000),
            ("search", "fill_words", 100_000),
        ] {
            let entries: Vec<Entry> = [native, (Rust, "component")]
                .into_iter()
                .filter_map(|who| self.reader(who, native, fill, work, size))
                .collect();
            self.race(&format!("engines-{work}"), rounds, &entries)?;
        }
        let subjects = [(Rust, "native", 500), (Rust, "component", 500)];
        let job = self.job("engines", Rust, "native", "append");
        let entries = self.entries("engines", &subjects, &job);
        self.race("engines-append", rounds, &entries)
    }

    fn memory(&mut self) -> Result<()> {
        // 1 GiB of log; a quick run is content with 64 MiB.
        let size = self.pick(1 << 26, 1 << 30) / (BYTES + 110);
        let native = (Rust, "native");
        let mut entries = Vec::new();
        for who in [native, (Rust, "component"), (Node, "sessile"), (Python, "sessile")] {
            entries.extend(self.reader(who, native, "fill", "tail", size));
        }
        self.fresh("memory-tail", 3, &entries)?;
        let ops = self.pick(10_000, 100_000);
        let job = Job { bytes: 256, ..self.job("memory", Rust, "native", "append") };
        let entries = self.entries("memory", &[(Rust, "native", ops), (Rust, "component", ops)], &job);
        self.race("memory-appends", 9, &entries)
    }

    fn writers(&mut self) -> Result<()> {
        let ops = self.pick(256, 1024);
        for writers in [1, 4, 16, 64] {
            let mut entries = Vec::new();
            for subject in ["raw", "native", "component", "sqlite-full"] {
                let mut job = self.job("writers", Rust, subject, "writers");
                job.dir = job.dir.with_extension(writers.to_string());
                job.threads = writers;
                job.ops = ops;
                entries.push(Entry { language: Rust, label: subject.to_owned(), job, size: writers });
            }
            self.race("writers", 5, &entries)?;
        }
        for writers in [1, 4, 16] {
            for subject in ["native", "sqlite-full"] {
                self.processes(subject, writers, ops)?;
            }
        }
        Ok(())
    }

    /// Several processes that append durably to a session each.
    fn processes(&mut self, subject: &str, writers: u64, ops: u64) -> Result<()> {
        let job =
            Job { ops: ops / writers, durable: true, ..self.job("writers-apart", Rust, subject, "contend") };
        let entry = Entry { language: Rust, label: subject.to_owned(), job, size: writers };
        let mut runners = Vec::new();
        for writer in 0..writers {
            runners.push(Runner::start(
                Rust,
                &Job { session: format!("writer {writer}"), ..entry.job.clone() },
            )?);
        }
        for round in 1..=5 {
            let begin = Instant::now();
            runners.iter_mut().try_for_each(Runner::go)?;
            runners.iter_mut().try_for_each(|runner| runner.cost().map(drop))?;
            let cost = Cost {
                seconds: begin.elapsed().as_secs_f64(),
                ops: ops / writers * writers,
                ..Cost::default()
            };
            self.keep("writers-processes", &entry, round, cost);
        }
        runners.into_iter().try_for_each(Runner::finish)
    }
}

/// Who reads the end of a session, and who has made it.
const TAIL_READERS: &[(Reader, Reader)] = &[
    ((Rust, "raw"), (Rust, "raw")),
    ((Rust, "native"), (Rust, "native")),
    ((Rust, "component"), (Rust, "native")),
    ((Rust, "sqlite-full"), (Rust, "sqlite-full")),
    ((Rust, "redb"), (Rust, "redb")),
    ((Node, "raw"), (Rust, "raw")),
    ((Node, "sessile"), (Rust, "native")),
    ((Node, "better-sqlite3-full"), (Rust, "sqlite-full")),
    ((Node, "nanocoder"), (Node, "nanocoder")),
    ((Node, "pi"), (Node, "pi")),
    ((Python, "raw"), (Rust, "raw")),
    ((Python, "sessile"), (Rust, "native")),
    ((Python, "sqlite3-full"), (Rust, "sqlite-full")),
    ((Python, "openai-agents"), (Python, "openai-agents")),
    ((Python, "langgraph"), (Python, "langgraph")),
];

/// Who lists sessions, and who has made them. The peers of Python have no list of their own.
const LIST_READERS: &[(Reader, Reader)] = &[
    ((Rust, "raw"), (Rust, "raw")),
    ((Rust, "native"), (Rust, "native")),
    ((Rust, "component"), (Rust, "native")),
    ((Rust, "sqlite-full"), (Rust, "sqlite-full")),
    ((Rust, "redb"), (Rust, "redb")),
    ((Node, "raw"), (Rust, "raw")),
    ((Node, "sessile"), (Rust, "native")),
    ((Node, "better-sqlite3-full"), (Rust, "sqlite-full")),
    ((Node, "nanocoder"), (Node, "nanocoder")),
    ((Node, "pi"), (Node, "pi")),
    ((Python, "raw"), (Rust, "raw")),
    ((Python, "sessile"), (Rust, "native")),
    ((Python, "sqlite3-full"), (Rust, "sqlite-full")),
];
