//! The doctor's report, for people, and what one does about it.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sessile::operations::salvage::{Range, SalvageSession};
use sessile::{ErrorKind, Store};

use super::Context;
use super::session::named;
use crate::args;
use crate::exit::{OK, code, error, kind};
use crate::opening::find;
use crate::output::{BAD, DIM, DOUBTFUL, GOOD, Out, bytes, counted, safe_line};

/// What is read of the report (docs/format.md, "The report"); `--json` passes all of it on.
#[derive(Deserialize)]
struct Report {
    healthy: bool,
    sessions: u64,
    trashed: u64,
    messages: u64,
    log_bytes: u64,
    unknown_records: u64,
    duplicates: Duplicates,
    orphans: Vec<Orphan>,
    findings: Vec<Finding>,
    catalogue: Catalogue,
    repaired: Vec<String>,
}

#[derive(Deserialize)]
struct Finding {
    kind: String,
    #[serde(default)]
    session: String,
    file: String,
    #[serde(default)]
    ranges: Vec<(u64, u64)>,
    what: String,
}

#[derive(Deserialize)]
struct Duplicates {
    bytes: u64,
}

#[derive(Deserialize)]
struct Orphan {
    bytes: u64,
}

#[derive(Deserialize)]
struct Catalogue {
    state: String,
    missing: Vec<String>,
    extra: Vec<String>,
    wrong: Vec<String>,
}

/// A log with many holes is told in a line.
const RANGES_SHOWN: usize = 4;

/// How a store is.
pub enum Health {
    Good,
    Bad,
    /// A file could not be looked at, so nobody knows.
    Unknown,
}

pub fn doctor(context: &mut Context, args: &args::Doctor) -> Result<u8> {
    // What keeps the doctor out is no damage that he has found.
    let kept_out = |cause: anyhow::Error| match kind(&cause) {
        ErrorKind::Damaged => {
            error(ErrorKind::Unavailable, format!("the store cannot be examined: {cause:#}"))
        }
        _ => cause,
    };
    let opened = if args.repair { context.opening.write() } else { context.opening.read() };
    let mut store = opened.map_err(kept_out)?;
    Ok(match examine(&mut context.out, &mut store, args.repair).map_err(kept_out)? {
        Health::Good => OK,
        Health::Bad => code(ErrorKind::Damaged),
        Health::Unknown => code(ErrorKind::Unavailable),
    })
}

/// Examines the store, prints what was found, and returns how it is.
pub fn examine(out: &mut Out, store: &mut Store, repair: bool) -> Result<Health> {
    let text = store.doctor(repair)?;
    let report: Report =
        serde_json::from_str(&text).context("the report of the store cannot be read; please report this")?;
    if out.json {
        out.raw_json(&text)?;
    } else {
        print_report(out, &report, repair)?;
    }
    Ok(match report.healthy {
        true => Health::Good,
        false if report.findings.iter().any(|finding| finding.kind == "unreadable") => Health::Unknown,
        false => Health::Bad,
    })
}

/// Kinds of findings that salvage answers.
const SALVAGEABLE: [&str; 4] = ["damage", "unreadable-messages", "wrong-name", "shadowed"];

/// What to do next.
fn print_advice(out: &mut Out, report: &Report) -> Result<()> {
    let has = |kind: &str| report.findings.iter().any(|finding| finding.kind == kind);
    let mut ids: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| SALVAGEABLE.contains(&finding.kind.as_str()) && !finding.session.is_empty())
        .map(|finding| finding.session.as_str())
        .collect();
    ids.dedup();
    let mut advice = Vec::new();
    if let Some(id) = ids.first() {
        let more =
            if ids.len() > 1 { format!(", and so with {} more", ids.len() - 1) } else { String::new() };
        advice.push(format!(
            "`sessile salvage {}` makes a whole session of what is readable{more}",
            safe_line(id)
        ));
    }
    if has("no-beginning") {
        advice.push("`sessile salvage ID` finds a session without a beginning by its whole id".to_owned());
    }
    if has("unreadable") {
        advice.push("what could not be looked at may be whole: check the disk, and ask again".to_owned());
    }
    for line in advice {
        out.line(&format!("{DIM}{line}{DIM:#}"))?;
    }
    Ok(())
}

pub fn salvage(context: &mut Context, args: args::Salvage) -> Result<u8> {
    let mut store = context.opening.write()?;
    // One that cannot be read is in no list, and is known by its id alone.
    let session = find(&mut store, &args.id).map_or(args.id, |session| session.id);
    let (id, generation, quarantine) = (args.new_id, args.generation, args.quarantine);
    let salvaged = store.run(&SalvageSession { session: session.clone(), id, generation, quarantine })?;
    if context.out.json {
        context.out.document(&salvaged)?;
        return Ok(OK);
    }
    let what = if salvaged.repeated { "was salvaged before" } else { "is new" };
    let count = counted(salvaged.carried, "message");
    context
        .out
        .line(&format!("{GOOD}salvaged{GOOD:#}: {} {what}, with {count}", named(&salvaged.session)))?;
    let shown =
        |ranges: &[Range]| places(&ranges.iter().map(|range| (range.from, range.to)).collect::<Vec<_>>());
    if !salvaged.unreadable.is_empty() {
        context.out.line(&format!(
            "{DOUBTFUL}not carried{DOUBTFUL:#}: messages {} cannot be read",
            shown(&salvaged.unreadable)
        ))?;
    }
    if !salvaged.damage.is_empty() {
        context.out.line(&format!("{DIM}damaged bytes of the log: {}{DIM:#}", shown(&salvaged.damage)))?;
    }
    let old = safe_line(&session);
    let note = match (quarantine, salvaged.quarantined) {
        (true, true) => format!("{old} is in the trash and stays there; `sessile restore` brings it back"),
        (true, false) => format!("{old} is in no list, and stays where it is"),
        (false, _) => format!("{old} is as it was; --quarantine moves it out of sight"),
    };
    context.out.line(&format!("{DIM}{note}{DIM:#}"))?;
    Ok(OK)
}

fn print_report(out: &mut Out, report: &Report, repair: bool) -> Result<()> {
    let (style, word) = if report.healthy { (GOOD, "healthy") } else { (BAD, "not healthy") };
    let sessions = counted(report.sessions, "session");
    let trashed =
        if report.trashed > 0 { format!(" ({} in the trash)", report.trashed) } else { String::new() };
    let messages = counted(report.messages, "message");
    out.line(&format!(
        "{style}{word}{style:#}: {sessions}{trashed}, {messages}, {}",
        bytes(report.log_bytes)
    ))?;
    for finding in &report.findings {
        print_finding(out, finding)?;
    }
    let Catalogue { state, missing, extra, wrong } = &report.catalogue;
    if state != "current" {
        let figures = format!("{} missing, {} too many, {} wrong", missing.len(), extra.len(), wrong.len());
        let figures = if state == "stale" { format!(", sessions: {figures}") } else { String::new() };
        let hint =
            if repair { "it is rebuilt" } else { "`sessile doctor --repair` rebuilds it from the logs" };
        let state = safe_line(state);
        out.line(&format!("{DOUBTFUL}catalogue{DOUBTFUL:#}: {state}{figures}; it is derived, {hint}"))?;
    }
    if report.unknown_records > 0 {
        let count = counted(report.unknown_records, "record");
        out.line(&format!("{count} of types that this version does not know; kept as they are"))?;
    }
    if report.duplicates.bytes > 0 {
        let held = bytes(report.duplicates.bytes);
        out.line(&format!("{held} are held twice: records written again, or logs that were rewritten"))?;
    }
    if !report.orphans.is_empty() {
        let count = counted(report.orphans.len() as u64, "file");
        let held = bytes(report.orphans.iter().map(|orphan| orphan.bytes).sum());
        out.line(&format!("{count} with {held} belong to no session; --json names them"))?;
    }
    for repaired in &report.repaired {
        out.line(&format!("{GOOD}repaired{GOOD:#}: {}", safe_line(repaired)))?;
    }
    print_advice(out, report)
}

/// The first ranges, and how many more.
fn places(ranges: &[(u64, u64)]) -> String {
    let shown: Vec<String> =
        ranges.iter().take(RANGES_SHOWN).map(|(from, to)| format!("{from}-{to}")).collect();
    match ranges.len().saturating_sub(RANGES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn print_finding(out: &mut Out, finding: &Finding) -> Result<()> {
    let unit = if finding.kind == "unreadable-messages" { "messages" } else { "bytes" };
    let place = match places(&finding.ranges).as_str() {
        "" => String::new(),
        shown => format!(", {unit} {shown}"),
    };
    let session = if finding.session.is_empty() {
        String::new()
    } else {
        format!("session {}, ", safe_line(&finding.session))
    };
    let (kind, what, file) = (safe_line(&finding.kind), safe_line(&finding.what), safe_line(&finding.file));
    out.line(&format!("{DOUBTFUL}{kind}{DOUBTFUL:#}: {what}"))?;
    out.line(&format!("  {session}file {file}{place}"))?;
    Ok(())
}
