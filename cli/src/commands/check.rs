//! The doctor's report, for people.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sessile::{ErrorKind, Store};

use super::Context;
use crate::args;
use crate::exit::{OK, code};
use crate::output::{BAD, DOUBTFUL, GOOD, Out, bytes, counted, safe_line};

/// What is read of the report (docs/format.md, "The report"); `--json` passes all of it on.
#[derive(Deserialize)]
struct Report {
    healthy: bool,
    sessions: u64,
    trashed: u64,
    messages: u64,
    log_bytes: u64,
    unknown_records: u64,
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
struct Catalogue {
    state: String,
    missing: Vec<String>,
    extra: Vec<String>,
    wrong: Vec<String>,
}

/// A log with many holes is told in a line.
const RANGES_SHOWN: usize = 4;

pub fn doctor(context: &mut Context, args: &args::Doctor) -> Result<u8> {
    let mut store = if args.repair { context.opening.write()? } else { context.opening.read()? };
    let is_healthy = examine(&mut context.out, &mut store, args.repair)?;
    Ok(if is_healthy { OK } else { code(ErrorKind::Damaged) })
}

/// Examines the store, prints what was found, and returns whether nothing is wrong.
pub fn examine(out: &mut Out, store: &mut Store, repair: bool) -> Result<bool> {
    let text = store.doctor(repair)?;
    let report: Report =
        serde_json::from_str(&text).context("the report of the store cannot be read; please report this")?;
    if out.json {
        out.raw_json(&text)?;
    } else {
        print_report(out, &report, repair)?;
    }
    Ok(report.healthy)
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
    for repaired in &report.repaired {
        out.line(&format!("{GOOD}repaired{GOOD:#}: {}", safe_line(repaired)))?;
    }
    Ok(())
}

fn print_finding(out: &mut Out, finding: &Finding) -> Result<()> {
    let unit = if finding.kind == "unreadable-messages" { "messages" } else { "bytes" };
    let ranges: Vec<String> = finding.ranges.iter().map(|(from, to)| format!("{from}-{to}")).collect();
    let more = ranges.len().saturating_sub(RANGES_SHOWN);
    let mut place = match ranges.get(..RANGES_SHOWN).unwrap_or(&ranges) {
        [] => String::new(),
        shown => format!(", {unit} {}", shown.join(", ")),
    };
    if more > 0 {
        place.push_str(&format!(" and {more} more"));
    }
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
