//! The report: docs/performance.md, its plots, and the samples that it is made of.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::plan::BYTES;
use crate::plot::{self, Line};
use crate::race::{Language, root};
use crate::results::{Of, Results};

use Language::{Node, Python, Rust};

/// What a run was.
pub struct Run {
    pub is_quick: bool,
    /// Whether all workloads were run.
    pub is_whole: bool,
    pub minutes: f64,
    /// Where the measured files were.
    pub dir: std::path::PathBuf,
    /// What divan has printed.
    pub micro: String,
}

/// Writes the report. A run of some workloads alone leaves the committed one as it is and goes to `target/bench`.
pub fn write(run: &Run, results: &Results) -> Result<()> {
    let docs = if run.is_whole { root().join("docs") } else { root().join("target/bench") };
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    fs::write(plots.join("results.json"), samples(results)?)?;
    draw(&plots, results)?;
    let page = page(run, results, &plots)?;
    fs::write(docs.join("performance.md"), &page)?;
    println!("{page}");
    println!("written: {}", docs.join("performance.md").strip_prefix(root())?.display());
    Ok(())
}

/// The samples as JSON, one a line.
fn samples(results: &Results) -> Result<String> {
    let lines: Result<Vec<String>, _> = results.samples.iter().map(serde_json::to_string).collect();
    Ok(format!(
        "{{\"samples\":[\n{}\n],\"notes\":{}}}\n",
        lines?.join(",\n"),
        serde_json::to_string(&results.notes)?
    ))
}

fn page(run: &Run, results: &Results, plots: &Path) -> Result<String> {
    let mut page = String::new();
    writeln!(page, "# Performance\n")?;
    writeln!(
        page,
        "This page is written by `cargo xtask bench` from what it has measured; the samples are in [results.json](performance/results.json). \
         Ratios within one run on one machine are the claims; absolute times are those of this machine at that time.\n"
    )?;
    writeln!(page, "{}", method(run, results))?;
    writeln!(page, "## Targets\n")?;
    writeln!(page, "Of several sizes the worst counts.\n")?;
    writeln!(page, "| # | what | target | measured | |\n| --- | --- | --- | --- | --- |")?;
    for target in targets(results) {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            target.number,
            target.what,
            target.target,
            target.measured,
            target.word()
        )?;
    }
    writeln!(page, "\n{}", include_str!("../misses.md").trim())?;
    writeln!(page, "\n## Growth\n")?;
    for (name, title, ..) in PLOTS {
        if plots.join(format!("{name}.svg")).exists() {
            writeln!(page, "![{title}](performance/{name}.svg)\n")?;
        }
    }
    writeln!(page, "## Workloads\n")?;
    writeln!(
        page,
        "Medians. `x raw`: how many times the raw file operation of the same language and round; written and read: bytes that the process gave to and got from the system's calls, for each operation (some 2 KB of reads of each block are the counting itself).\n"
    )?;
    for (workload, title, base) in TABLES {
        table(&mut page, results, workload, title, base)?;
    }
    writeln!(
        page,
        "### Two processes at once (W9)\n\nOf 1,000 acknowledged messages, how many a third process reads.\n"
    )?;
    writeln!(
        page,
        "| language | subject | sessions of their own | one session |\n| --- | --- | ---: | ---: |"
    )?;
    for (language, subject, _) in subjects(results, "w9-apart") {
        let count = |workload| {
            let found = results
                .figure(Of { workload, language, subject: &subject, size: 0 }, |cost| cost.count as f64);
            found.map_or_else(|| "-".to_owned(), |count| grouped(count as u64))
        };
        writeln!(
            page,
            "| {} | {subject} | {} | {} |",
            language.name(),
            count("w9-apart"),
            count("w9-together")
        )?;
    }
    writeln!(
        page,
        "\n### Single calls\n\nWith divan, buffered, on a session of 1,000 messages (list and resolve: 100 sessions).\n\n```text\n{}\n```\n",
        run.micro.trim()
    )?;
    if !results.notes.is_empty() {
        writeln!(page, "### What did not work\n")?;
        for note in &results.notes {
            writeln!(page, "- {note}")?;
        }
    }
    Ok(page.trim_end().to_owned() + "\n")
}

fn method(run: &Run, results: &Results) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read("/proc/meminfo")
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok());
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
    let profile = std::env::current_exe().map_or("", |exe| {
        if exe.components().any(|part| part.as_os_str() == "release") { "release" } else { "dev" }
    });
    let profile = if profile == "release" {
        "release"
    } else {
        "dev (core, host and benchmarks at opt-level 3, other crates at 2, with debug assertions in core and host)"
    };
    let sync = results.seconds(Of { workload: "w1", language: Rust, subject: "raw", size: 0 });
    let sync = sync.map_or_else(String::new, |sync| {
        format!(" A raw append of 2 KiB with fdatasync took {}.", time(sync))
    });
    let version = |program: &str| {
        let said = Command::new(program).arg("--version").output();
        said.map_or_else(
            |_| "none".to_owned(),
            |said| String::from_utf8_lossy(&said.stdout).trim().to_owned(),
        )
    };
    format!(
        "- Date: {}. {} run, {:.0} minutes.\n\
         - Machine: {model}, {cores} cores, {} GiB; Linux {}, {}; Node {}, {}. Load at the end: {load}.{sync}\n\
         - Build: profile {profile}; the component as it is published.\n\
         - Method: every subject is a process of its own; in each round each does one block of work after the other, so that all meet the same machine. \
         The first round warms up. W4, W5 and W8 start a fresh process for every block and leave its start-up out. Files are in the page cache. \
         Messages have 2 KiB of JSON. SQLite in all languages: WAL, one table of messages and one of sessions with an index on when they changed, both kept in one transaction.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        if run.is_quick { "Quick" } else { "Full" },
        run.minutes,
        memory.unwrap_or_default() >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        file_system(&run.dir),
        version("node"),
        version("python3"),
    )
}

/// The kind of file system that is measured on.
fn file_system(place: &Path) -> String {
    let place = place.canonicalize().unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = fields
        .filter(|fields| fields.len() > 2 && place.starts_with(fields[1]))
        .max_by_key(|fields| fields[1].len());
    found.map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned())
}

// --- Targets. ---------------------------------------------------------------------------------------------------

struct Target {
    number: &'static str,
    what: String,
    target: String,
    measured: String,
    is_met: Option<bool>,
}

impl Target {
    /// A figure that must not be more than a bound.
    fn most(
        number: &'static str,
        what: &str,
        value: Option<f64>,
        bound: f64,
        show: fn(f64) -> String,
    ) -> Self {
        Self {
            number,
            what: what.to_owned(),
            target: format!("at most {}", show(bound)),
            measured: value.map_or_else(|| "not measured".to_owned(), show),
            is_met: value.map(|value| value <= bound),
        }
    }

    /// A figure that must not be less than a bound.
    fn least(
        number: &'static str,
        what: &str,
        value: Option<f64>,
        bound: f64,
        show: fn(f64) -> String,
    ) -> Self {
        Self {
            target: format!("at least {}", show(bound)),
            is_met: value.map(|value| value >= bound),
            ..Self::most(number, what, value, bound, show)
        }
    }

    fn word(&self) -> &'static str {
        match self.is_met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        }
    }
}

/// The store in each language. In Rust that is the component; the native core is named where it is meant.
const OURS: [(Language, &str); 3] = [(Rust, "component"), (Node, "sessile"), (Python, "sessile")];

fn times(value: f64) -> String {
    format!("{value:.2} times")
}

fn per_byte(value: f64) -> String {
    format!("{value:.2} per byte")
}

fn percent(value: f64) -> String {
    format!("{:+.1} %", value * 100.0)
}

fn mib(value: f64) -> String {
    format!("{:.1} MiB", value / f64::from(1 << 20))
}

fn rate(value: f64) -> String {
    format!("{value:.0} MB/s")
}

fn bytes(value: f64) -> String {
    format!("{} bytes", grouped(value as u64))
}

fn messages(value: f64) -> String {
    format!("{} messages", grouped(value as u64))
}

fn targets(results: &Results) -> Vec<Target> {
    let of = |workload, language, subject, size| Of { workload, language, subject, size };
    let raw = |workload, language, size| Of { workload, language, subject: "raw", size };
    let mut all = Vec::new();
    for ((language, ours), bound) in OURS.into_iter().zip([1.10, 1.25, 1.25]) {
        let value = results.ratio(of("w1", language, ours, 0), raw("w1", language, 0));
        all.push(Target::most(
            "W1",
            &format!("durable append, {} over raw", language.name()),
            value,
            bound,
            times,
        ));
        let peers = subjects(results, "w1")
            .into_iter()
            .filter(|(of, subject, _)| *of == language && is_peer(subject));
        let best = peers
            .filter_map(|(_, peer, _)| {
                let base = Of { workload: "w1", language, subject: &peer, size: 0 };
                Some((results.ratio(of("w1", language, ours, 0), base)?, peer.clone()))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let what =
            format!("the same over the best durable peer ({})", best.as_ref().map_or("none", |best| &best.1));
        all.push(Target::most("W1", &what, best.map(|best| best.0), 1.0, times));
    }
    let w2 = |language, subject| results.ratio(of("w2", language, subject, 0), raw("w2", language, 0));
    all.push(Target::most("W2", "buffered append, native core over raw", w2(Rust, "native"), 2.0, times));
    all.push(Target::most("W2", "the same, component in Rust", w2(Rust, "component"), 3.5, times));
    all.push(Target::most(
        "W2",
        "the same, Node, in its thread",
        results.seconds(of("w2", Node, "sessile", 0)),
        50e-6,
        time,
    ));
    all.push(Target::most(
        "W2",
        "the same, Python",
        results.seconds(of("w2", Python, "sessile", 0)),
        60e-6,
        time,
    ));
    let ten = results.ratio(of("w2", Python, "sessile x10", 0), of("w2", Python, "sqlite3-normal x10", 0));
    all.push(Target::most("W2", "batches of 10 in Python over sqlite3 NORMAL", ten, 1.0, times));
    for (language, ours) in [(Rust, "native")].into_iter().chain(OURS) {
        let sizes = sizes(results, "w3", language, ours);
        let least = sizes.first().copied().unwrap_or_default();
        let grown =
            |size: &u64| results.ratio(of("w3", language, ours, *size), of("w3", language, ours, least));
        let worst = sizes.iter().skip(1).filter_map(grown).max_by(f64::total_cmp).map(|ratio| ratio - 1.0);
        let largest = sizes.last().copied().unwrap_or_default();
        let who = who(language, ours);
        all.push(Target::most(
            "W3",
            &format!("append at 10 to {} messages, {who}: growth", grouped(largest)),
            worst,
            0.05,
            percent,
        ));
        let written = |size: &u64| {
            results.figure(of("w3", language, ours, *size), |cost| {
                cost.written as f64 / (cost.count * BYTES) as f64
            })
        };
        let worst = sizes.iter().filter_map(written).max_by(f64::total_cmp);
        all.push(Target::most("W3", &format!("bytes written, {who}"), worst, 1.25, per_byte));
    }
    for (language, ours) in OURS {
        for size in [10_000, 100_000] {
            let value = results.ratio(of("w4", language, ours, size), raw("w4", language, size));
            all.push(Target::most(
                "W4",
                &format!("last 50 of {}, {} over raw", grouped(size), language.name()),
                value,
                2.0,
                times,
            ));
        }
    }
    for (language, ours) in OURS {
        let sizes = sizes(results, "w5", language, ours);
        let over = |size: &u64| results.ratio(of("w5", language, ours, *size), raw("w5", language, *size));
        let worst = sizes.iter().filter_map(over).max_by(f64::total_cmp);
        let largest = sizes.last().copied().unwrap_or_default();
        all.push(Target::most(
            "W5",
            &format!("newest 20 of 100 to {}, {} over raw", grouped(largest), language.name()),
            worst,
            2.0,
            times,
        ));
        let grown = results.ratio(of("w5", language, ours, largest), of("w5", language, ours, 100));
        all.push(Target::most(
            "W5",
            &format!("the same, {}: growth over the range", language.name()),
            grown,
            1.5,
            times,
        ));
    }
    for (language, ours) in OURS {
        let value = results.ratio(of("w6", language, ours, 10_000), raw("w6", language, 10_000));
        all.push(Target::most(
            "W6",
            &format!("fork at 10,000 messages, {} over a durable line", language.name()),
            value,
            2.0,
            times,
        ));
        let written =
            results.figure(of("w6", language, ours, 10_000), |cost| cost.written as f64 / cost.ops as f64);
        all.push(Target::most(
            "W6",
            &format!("the same, {}: written", language.name()),
            written,
            4096.0,
            bytes,
        ));
    }
    for (language, ours) in OURS {
        let written =
            results.figure(of("w7", language, ours, 0), |cost| cost.written as f64 / cost.count as f64);
        all.push(Target::most(
            "W7",
            &format!("20 KiB streamed in 200 updates, {}: written", language.name()),
            written,
            1.5,
            per_byte,
        ));
        let value = results.ratio(of("w7", language, ours, 0), raw("w7", language, 0));
        all.push(Target::most(
            "W7",
            &format!("the same, durable, {} over raw", language.name()),
            value,
            1.3,
            times,
        ));
    }
    for ((language, ours), bound) in OURS.into_iter().zip([3e-3, 25e-3, 50e-3]) {
        let value = results.seconds(of("w8", language, ours, 100));
        all.push(Target::most(
            "W8",
            &format!("import and open, second start, {}", language.name()),
            value,
            bound,
            time,
        ));
    }
    for (language, ours) in OURS {
        for (workload, what) in [("w9-apart", "sessions of their own"), ("w9-together", "one session")] {
            let value = results.figure(of(workload, language, ours, 0), |cost| cost.count as f64);
            all.push(Target::least(
                "W9",
                &format!("two processes, 500 appends each, {what}, {}", language.name()),
                value,
                1000.0,
                messages,
            ));
        }
    }
    for (subject, bound) in [("native", 100.0), ("component", 50.0)] {
        let speed = |workload| {
            let size = sizes(results, workload, Rust, subject).last().copied()?;
            results.figure(of(workload, Rust, subject, size), |cost| cost.count as f64 / cost.seconds / 1e6)
        };
        all.push(Target::least(
            "W10",
            &format!("import of transcripts, {subject}"),
            speed("w10-import"),
            bound,
            rate,
        ));
        all.push(Target::least(
            "W10",
            &format!("full fold of a session, {subject}"),
            speed("w10-fold"),
            bound,
            rate,
        ));
    }
    for subject in ["native", "component"] {
        let value = results.seconds(of("search", Rust, subject, 100_000));
        let what = format!("a query among 100,000 messages, fresh process, {subject}");
        all.push(Target::most("search", &what, value, 50e-3, time));
    }
    for work in ["append", "fold", "tail", "list", "search"] {
        let workload = format!("engines-{work}");
        let size = match work {
            "append" => 0,
            "search" => 100_000,
            _ => 10_000,
        };
        let one = |subject| Of { workload: &workload, language: Rust, subject, size };
        let value = results.ratio(one("component"), one("native"));
        all.push(Target::most("core", &format!("component over native core: {work}"), value, 2.0, times));
    }
    for (language, ours) in OURS {
        let size = sizes(results, "memory-tail", language, ours).last().copied().unwrap_or_default();
        let value = results.figure(of("memory-tail", language, ours, size), |cost| cost.memory as f64);
        let what = format!(
            "memory for the last 50 of a session of {}, {}",
            mib((size * (BYTES + 110)) as f64),
            language.name()
        );
        all.push(Target::most("memory", &what, value, f64::from(64 << 20), mib));
    }
    for subject in ["native", "component"] {
        let costs = results.of(of("memory-appends", Rust, subject, 0));
        let appends: u64 = costs.iter().map(|(_, cost)| cost.ops).sum();
        let grown = costs.iter().skip(1).map(|(_, cost)| cost.memory as f64).max_by(f64::total_cmp);
        let what = format!("{} appends, {subject}: most memory that a block of them takes", grouped(appends));
        all.push(Target::most("memory", &what, grown, f64::from(4 << 20), mib));
        let descriptors = costs.iter().map(|(_, cost)| cost.descriptors as f64);
        let (least, most) =
            descriptors.fold((f64::MAX, 0.0_f64), |(least, most), one| (least.min(one), most.max(one)));
        let value = (!costs.is_empty()).then_some(most - least);
        all.push(Target::most(
            "memory",
            &format!("the same, {subject}: descriptors more"),
            value,
            0.0,
            |value| format!("{value:.0}"),
        ));
    }
    all
}

fn is_peer(subject: &str) -> bool {
    !matches!(subject, "raw" | "native" | "component" | "sessile" | "sessile-thread")
}

fn who(language: Language, subject: &str) -> String {
    if language == Rust { format!("Rust {subject}") } else { language.name().to_owned() }
}

// --- Tables and plots. ------------------------------------------------------------------------------------------

/// Workload, title, and what is compared with.
const TABLES: &[(&str, &str, &str)] = &[
    ("w1", "Durable append (W1)", "raw"),
    ("w2", "Buffered append (W2)", "raw"),
    ("w3", "Append to a session that holds messages (W3)", ""),
    ("w4", "The last 50 messages, fresh process (W4)", "raw"),
    ("w5", "The newest 20 sessions, fresh process (W5)", "raw"),
    ("w6", "Fork (W6)", "raw"),
    ("w7", "One message streamed in 200 durable updates (W7)", "raw"),
    ("w7-buffered", "The same, buffered (W7)", "raw"),
    ("w8", "Import and open, second start (W8)", ""),
    ("w10-fold", "Full fold (W10)", "raw"),
    ("w10-import", "Import of transcripts (W10)", ""),
    ("search", "Two words among 100,000 messages, fresh process (search)", ""),
    ("engines-append", "Component and native core: buffered append", "native"),
    ("engines-fold", "Component and native core: all of 10,000 messages", "native"),
    ("engines-tail", "Component and native core: the last 50 messages", "native"),
    ("engines-list", "Component and native core: the newest 20 of 10,000 sessions", "native"),
    ("engines-search", "Component and native core: a query among 100,000 messages", "native"),
    ("memory-tail", "The last 50 of a large session", ""),
    ("memory-appends", "Many appends", ""),
    ("writers", "Durable appends of so many threads of one process, to a session each", "raw"),
    ("writers-processes", "Durable appends of so many processes, to a session each", ""),
];

fn table(page: &mut String, results: &Results, workload: &str, title: &str, base: &str) -> Result<()> {
    let rows = subjects(results, workload);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(page, "### {title}\n")?;
    let over = if base.is_empty() { "" } else { base };
    writeln!(
        page,
        "| language | subject | size | time | a second | {} | written | read | memory |",
        if over.is_empty() { "-".to_owned() } else { format!("x {over}") }
    )?;
    writeln!(page, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (language, subject, size) in rows {
        let of = Of { workload, language, subject: &subject, size };
        let ratio = results
            .ratio(of, Of { subject: base, ..of })
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let seconds = results.seconds(of).unwrap_or_default();
        let figure = |figure: fn(&crate::worker::Cost) -> f64| {
            grouped(results.figure(of, figure).unwrap_or_default() as u64)
        };
        let counted = figure(|cost| cost.written as f64 / cost.ops as f64);
        let read = figure(|cost| cost.read as f64 / cost.ops as f64);
        let memory = mib(results.figure(of, |cost| cost.memory as f64).unwrap_or_default());
        writeln!(
            page,
            "| {} | {subject} | {} | {} | {} | {ratio} | {counted} | {read} | {memory} |",
            language.name(),
            if size == 0 { "-".to_owned() } else { grouped(size) },
            time(seconds),
            grouped((1.0 / seconds) as u64),
        )?;
    }
    writeln!(page)?;
    Ok(())
}

/// File, title, workload and what its sizes are.
const PLOTS: &[(&str, &str, &str, &str)] = &[
    ("append", "Buffered append of 2 KiB", "w3", "messages held"),
    ("resume", "The last 50 messages, fresh process", "w4", "messages held"),
    ("list", "The newest 20 sessions, fresh process", "w5", "sessions"),
    ("fork", "Fork at the end, durable", "w6", "messages held"),
];

fn draw(plots: &Path, results: &Results) -> Result<()> {
    for (name, title, workload, x_label) in PLOTS {
        let mut lines: Vec<Line> = Vec::new();
        for (language, subject, size) in subjects(results, workload) {
            let name = format!("{} {subject}", language.name());
            let seconds =
                results.seconds(Of { workload, language, subject: &subject, size }).unwrap_or_default();
            let point = (size as f64, seconds * 1e3);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point] }),
            }
        }
        plot::draw(&plots.join(format!("{name}.svg")), title, x_label, &lines)?;
    }
    Ok(())
}

/// Who has samples of a workload, at which sizes, in the order of languages and of the run.
fn subjects(results: &Results, workload: &str) -> Vec<(Language, String, u64)> {
    let mut found: Vec<(Language, String, u64)> = Vec::new();
    for language in Language::ALL {
        for sample in &results.samples {
            let one = (language, sample.subject.clone(), sample.size);
            if sample.workload == workload && sample.language == language.name() && !found.contains(&one) {
                found.push(one);
            }
        }
    }
    let order: Vec<(Language, String)> =
        found.iter().map(|(language, subject, _)| (*language, subject.clone())).collect();
    let place = |language: Language, subject: &str| {
        order.iter().position(|(of, name)| *of == language && name == subject)
    };
    found.sort_by_key(|(language, subject, size)| (*language, place(*language, subject), *size));
    found
}

fn sizes(results: &Results, workload: &str, language: Language, subject: &str) -> Vec<u64> {
    let all = subjects(results, workload);
    all.into_iter()
        .filter(|(of, name, _)| *of == language && name == subject)
        .map(|(_, _, size)| size)
        .collect()
}

fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.1} us", seconds * 1e6),
    }
}

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
