//! Finding messages by their words.

use std::io::IsTerminal as _;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sessile::operations::search::{Search, SearchHit, SearchResults, UpdateSearch};
use sessile::{ErrorKind, Store};

use super::Context;
use super::operation::milliseconds;
use crate::args;
use crate::exit::{OK, error};
use crate::opening::find;
use crate::output::{BOLD, DIM, DOUBTFUL, ID, bytes, counted, date_time, now_ms, safe_line};

pub fn search(context: &mut Context, args: args::Search) -> Result<u8> {
    let mut store = open(context, args.no_update)?;
    let session = args.session.map(|id| find(&mut store, &id)).transpose()?.map(|session| session.id);
    let found = store.run(&Search {
        query: args.query.join(" "),
        scope: args.scope,
        session,
        role: args.role,
        tool: args.tool,
        since: args.since.as_deref().map(time).transpose()?,
        until: args.until.as_deref().map(time).transpose()?,
        trashed: args.trashed || args.all,
        hidden: args.hidden || args.all,
        limit: args.limit,
        cursor: args.cursor,
    })?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(OK);
    }
    print(context, &found)?;
    Ok(OK)
}

/// Opens the store, with its index up to date. A store that cannot be written to is searched as it is.
fn open(context: &Context, as_it_is: bool) -> Result<Store> {
    if !as_it_is && let Ok(mut store) = context.opening.write() {
        update(&mut store)?;
        return Ok(store);
    }
    context.opening.read()
}

/// Brings the index up to date. Where that fails the search goes on, and says what it lacks.
fn update(store: &mut Store) -> Result<()> {
    let mut bar: Option<ProgressBar> = None;
    let mut most = 0;
    loop {
        let updated = match store.run(&UpdateSearch::default()) {
            Err(cause) if cause.kind == ErrorKind::Unavailable => break,
            updated => updated?,
        };
        if !updated.more {
            break;
        }
        most = most.max(updated.behind.bytes);
        let bar = bar.get_or_insert_with(progress);
        bar.set_length(most);
        bar.set_position(most - updated.behind.bytes);
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(())
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message("reading what is new");
    if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan/dim} {bytes}/{total_bytes} {wide_msg:.dim}")
    {
        bar.set_style(style);
    }
    bar
}

/// A time: a date, a date with a time of day (as the machine's clock shows it), or a span before now such as `7d`.
fn time(text: &str) -> Result<u64> {
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        civil.to_zoned(TimeZone::system()).ok().map(|at| at.timestamp())
    });
    if let Some(at) = at {
        let past = |_| error(ErrorKind::Invalid, "the time is before 1970; give a later one");
        return u64::try_from(at.as_millisecond()).map_err(past);
    }
    Ok(now_ms().saturating_sub(milliseconds(text)?))
}

fn print(context: &mut Context, found: &SearchResults) -> Result<()> {
    if found.hits.is_empty() {
        context.out.line("nothing found")?;
    }
    let mut last = "";
    for hit in &found.hits {
        if hit.session_id != last {
            print_session(context, hit)?;
        }
        last = &hit.session_id;
        print_hit(context, hit)?;
    }
    if found.next.is_some() {
        context.out.line(&format!("{DIM}there is more; --limit shows more of it{DIM:#}"))?;
    }
    if found.behind.sessions > 0 {
        let what = counted(found.behind.sessions, "session");
        let lacking = bytes(found.behind.bytes);
        context.out.line(&format!(
            "{DOUBTFUL}not all was searched: about {lacking} of {what} are missing{DOUBTFUL:#}"
        ))?;
    }
    Ok(())
}

fn print_session(context: &mut Context, hit: &SearchHit) -> Result<()> {
    let title = hit.title.as_deref().map(safe_line).unwrap_or_default();
    let place = if hit.trashed { "  in the trash" } else { "" };
    let scope = safe_line(&hit.scope);
    let line = format!("{ID}{}{ID:#} {title}  {DIM}{scope}{place}{DIM:#}", safe_line(&hit.session_id));
    Ok(context.out.line(line.trim_end())?)
}

fn print_hit(context: &mut Context, hit: &SearchHit) -> Result<()> {
    let at = date_time(hit.created_at);
    let what = match (hit.seq, &hit.role) {
        (Some(seq), Some(role)) => format!("{seq} {role}"),
        (Some(seq), None) => seq.to_string(),
        (None, _) => "title".to_owned(),
    };
    let hidden = if hit.hidden { " hidden" } else { "" };
    context.out.line(&format!("  {DIM}{at}{DIM:#} {what}{DIM}{hidden}{DIM:#}"))?;
    Ok(context.out.line(&format!("    {}", marked(hit)))?)
}

/// The snippet with what was found in bold.
fn marked(hit: &SearchHit) -> String {
    let chars: Vec<char> = hit.snippet.chars().collect();
    let piece = |from: u64, to: u64| {
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX).min(chars.len());
        let text: String = chars.get(place(from)..place(to)).unwrap_or_default().iter().collect();
        safe_line(&text)
    };
    let (mut line, mut at) = (String::new(), 0);
    for mark in &hit.highlights {
        line += &format!("{}{BOLD}{}{BOLD:#}", piece(at, mark.from), piece(mark.from, mark.to));
        at = mark.to;
    }
    line + &piece(at, u64::MAX)
}
