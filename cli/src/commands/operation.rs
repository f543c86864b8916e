//! Operations beside sessions and messages: retention, watching, usage, counters, runs, and any other by its name.

use std::io::Read as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use jiff::{SpanRelativeTo, Unit};
use serde::Serialize;
use sessile::operations::changes::{Change, Changes};
use sessile::operations::counters::{AddCounters, GetCounters, ResetCounters};
use sessile::operations::retention::{
    ApplyRetention, Candidate, Clock, GetRetention, KeptPolicy, Plan, PlanRetention, Policy, SetRetention,
};
use sessile::operations::runs::{ListRuns, RunInfo};
use sessile::operations::usage::{GetUsage, GroupBy, Totals};
use sessile::{ErrorKind, Json, Store};

use super::Context;
use super::session::short_ids;
use crate::args;
use crate::exit::{OK, error};
use crate::opening::find;
use crate::output::{Cell, Column, DIM, ID, Table, ago, bytes, counted, date_time, now_ms, safe_line};

/// How often `watch` looks: often enough for people, seldom enough for the disk.
const WATCH_EVERY: Duration = Duration::from_millis(500);

pub fn retention(context: &mut Context, args: args::Retention) -> Result<u8> {
    match args {
        args::Retention::Plan(given) => {
            let mut store = context.opening.read()?;
            let (scope, policy) = policy(given)?;
            let plan = store.run(&PlanRetention { scope, policy })?;
            print_plan(context, &plan, "would go to the trash", "would be purged")
        }
        args::Retention::Apply(given) => {
            let mut store = context.opening.write()?;
            let (scope, policy) = policy(given)?;
            let plan = store.run(&ApplyRetention { scope, policy })?;
            print_plan(context, &plan, "moved to the trash", "purged")
        }
        args::Retention::Set(given) => {
            let (scope, policy) = policy(given)?;
            if scope.is_some() || policy.is_none() {
                return Err(error(
                    ErrorKind::Invalid,
                    "give limits to keep, and no --scope: the policy is the store's",
                ));
            }
            let kept = context.opening.write()?.run(&SetRetention { policy })?;
            print_policy(context, &kept)
        }
        args::Retention::Unset => {
            let kept = context.opening.write()?.run(&SetRetention { policy: None })?;
            print_policy(context, &kept)
        }
        args::Retention::Show => {
            let kept = context.opening.read()?.run(&GetRetention {})?;
            print_policy(context, &kept)
        }
    }
}

/// The scope, and the policy where any limit was given.
fn policy(args: args::Policy) -> Result<(Option<String>, Option<Policy>)> {
    let policy = Policy {
        max_age_ms: args.max_age.as_deref().map(milliseconds).transpose()?,
        clock: if args.by.as_deref() == Some("active") { Clock::Active } else { Clock::Accessed },
        max_sessions: args.max_sessions,
        max_bytes: args.max_bytes,
        each_scope: args.each_scope,
        grace_ms: args.grace.as_deref().map(milliseconds).transpose()?,
        on_open: args.on_open,
    };
    Ok((args.scope, Some(policy).filter(|policy| *policy != Policy::default())))
}

/// A span of time such as `30d`: a day has 24 hours.
pub(super) fn milliseconds(text: &str) -> Result<u64> {
    let bad = || {
        error(
            ErrorKind::Invalid,
            format!("`{}` is no span of time; give one such as 30d or 12h", safe_line(text)),
        )
    };
    let span: jiff::Span = text.parse().map_err(|_| bad())?;
    let options = (Unit::Millisecond, SpanRelativeTo::days_are_24_hours());
    let total = span.total(options).map_err(|_| bad())?;
    if !(0.0..9e15).contains(&total) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    Ok(total as u64)
}

fn print_plan(context: &mut Context, plan: &Plan, trash: &str, purge: &str) -> Result<u8> {
    if context.out.json {
        context.out.document(plan)?;
        return Ok(OK);
    }
    if plan.trash.is_empty() && plan.purge.is_empty() && plan.exempt.is_empty() {
        context.out.line("nothing goes by this policy")?;
        return Ok(OK);
    }
    for (what, list) in [(trash, &plan.trash), (purge, &plan.purge), ("must stay", &plan.exempt)] {
        print_candidates(context, what, list)?;
    }
    if plan.bytes_freed > 0 {
        context.out.line(&format!("{} of files {purge}", bytes(plan.bytes_freed)))?;
    }
    Ok(OK)
}

fn print_candidates(context: &mut Context, what: &str, list: &[Candidate]) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    context.out.line(&format!("{}, {what}:", counted(list.len() as u64, "session")))?;
    let ids: Vec<&str> = list.iter().map(|candidate| candidate.session_id.as_str()).collect();
    let mut table = Table::new(vec![
        Column::text("ID"),
        Column::shrinking("SCOPE"),
        Column::text("WHY"),
        Column::text("LAST USED"),
        Column::number("BYTES"),
    ]);
    let now = now_ms();
    for (candidate, id) in list.iter().zip(short_ids(&ids)) {
        table.row(vec![
            Cell::styled(safe_line(id), ID),
            Cell::new(safe_line(&candidate.scope)),
            Cell::new(name_of(&candidate.reason)),
            Cell::new(ago(candidate.used_at, now)),
            Cell::new(bytes(candidate.bytes)),
        ]);
    }
    Ok(context.out.table(&table)?)
}

/// The name of a value of an enumeration, as the contract has it.
fn name_of(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn print_policy(context: &mut Context, kept: &KeptPolicy) -> Result<u8> {
    if context.out.json {
        context.out.document(kept)?;
        return Ok(OK);
    }
    match &kept.policy {
        None => context.out.line("the store keeps no policy; `sessile retention set` gives it one")?,
        Some(policy) => {
            let days = |ms: u64| format!("{:.1} days", ms as f64 / 86_400_000.0);
            let lines = [
                policy.max_age_ms.map(|ms| format!("sessions older than {} go", days(ms))),
                policy.max_sessions.map(|count| format!("at most {} stay", counted(count, "session"))),
                policy.max_bytes.map(|count| format!("at most {} stay", bytes(count))),
                policy.grace_ms.map(|ms| format!("purged after {} in the trash", days(ms))),
                policy.on_open.then(|| "applied whenever a program opens the store for writing".into()),
            ];
            for line in lines.into_iter().flatten() {
                context.out.line(&line)?;
            }
            let whose = if policy.each_scope { "each scope" } else { "the whole store" };
            context
                .out
                .line(&format!("{DIM}for {whose}, by when it was last {}{DIM:#}", name_of(&policy.clock)))?;
        }
    }
    Ok(OK)
}

pub fn watch(context: &mut Context, args: args::Watch) -> Result<u8> {
    let mut store = context.opening.read()?;
    let session = args.id.map(|id| find(&mut store, &id)).transpose()?.map(|session| session.id);
    let mut cursor = args.cursor.or(args.from_start.then(String::new));
    loop {
        let changed = store.run(&Changes { session: session.clone(), cursor, limit: None })?;
        for change in &changed.changes {
            print_change(context, change)?;
        }
        if context.out.json && (!changed.changes.is_empty() || args.once) {
            #[derive(Serialize)]
            struct Document<'a> {
                cursor: &'a str,
            }
            context.out.document(&Document { cursor: &changed.cursor })?;
        }
        context.out.flush()?;
        cursor = Some(changed.cursor);
        if args.once && !changed.more {
            return Ok(OK);
        }
        if !changed.more {
            sleep(WATCH_EVERY);
        }
    }
}

fn print_change(context: &mut Context, change: &Change) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        change: &'a Change,
    }
    if context.out.json {
        return Ok(context.out.document(&Document { change })?);
    }
    let time = change.changed_at.map(date_time).unwrap_or_default();
    let about = match (change.seq, change.count) {
        (Some(seq), Some(count)) if count > 1 => format!(" messages {seq} to {}", seq + count - 1),
        (Some(seq), _) => format!(" message {seq}"),
        _ => String::new(),
    };
    let (id, kind) = (safe_line(&change.session_id), name_of(&change.kind).replace('_', " "));
    Ok(context.out.line(&format!("{DIM}{time}{DIM:#} {ID}{id}{ID:#} {kind}{about}"))?)
}

pub fn usage(context: &mut Context, args: args::Usage) -> Result<u8> {
    let mut store = context.opening.read()?;
    let session = args.id.map(|id| find(&mut store, &id)).transpose()?.map(|session| session.id);
    let by = match args.by.as_deref() {
        Some("session") => Some(GroupBy::Session),
        Some("scope") => Some(GroupBy::Scope),
        Some("model") => Some(GroupBy::Model),
        Some(_) => Some(GroupBy::Day),
        None => None,
    };
    let usage = store.run(&GetUsage { session, scope: args.scope, by })?;
    if context.out.json {
        context.out.document(&usage)?;
        return Ok(OK);
    }
    let mut table = Table::new(vec![
        Column::shrinking(if by.is_some() { "OF" } else { "" }),
        Column::number("ENTRIES"),
        Column::number("INPUT"),
        Column::number("OUTPUT"),
        Column::number("CACHE READ"),
        Column::number("CACHE WRITE"),
        Column::number("COST"),
    ]);
    let groups = usage.groups.iter().map(|group| (group.key.as_deref().unwrap_or("unknown"), &group.total));
    for (key, total) in groups.chain([("all", &usage.total)]) {
        table.row(row(key, total));
    }
    context.out.table(&table)?;
    Ok(OK)
}

fn row(key: &str, total: &Totals) -> Vec<Cell> {
    // What nobody has said is not 0.
    let number = |amount: &Option<Json>| Cell::new(amount.as_ref().map_or("-", Json::as_str).to_owned());
    let amounts = &total.amounts;
    vec![
        Cell::new(safe_line(key)),
        number(&total.entries),
        number(&amounts.input),
        number(&amounts.output),
        number(&amounts.cache_read),
        number(&amounts.cache_write),
        number(&amounts.cost),
    ]
}

pub fn counters(context: &mut Context, args: args::Counters) -> Result<u8> {
    let writes = !args.add.is_empty() || !args.reset.is_empty();
    let mut store = if writes { context.opening.write()? } else { context.opening.read()? };
    let session = args.id.map(|id| find(&mut store, &id)).transpose()?.map(|session| session.id);
    if !args.reset.is_empty() {
        store.run(&ResetCounters { session: session.clone(), names: Some(args.reset) })?;
    }
    if !args.add.is_empty() {
        let add = args.add.iter().map(|given| added(given)).collect::<Result<_>>()?;
        store.run(&AddCounters { session: session.clone(), add, ..AddCounters::default() })?;
    }
    let counters = store.run(&GetCounters { session })?;
    if context.out.json {
        context.out.document(&counters)?;
        return Ok(OK);
    }
    if counters.counters.is_empty() {
        context.out.line("there are no counters")?;
        return Ok(OK);
    }
    let mut table = Table::new(vec![Column::shrinking("NAME"), Column::number("TOTAL")]);
    for (name, total) in &counters.counters {
        table.row(vec![Cell::new(safe_line(name)), Cell::new(total.as_str().to_owned())]);
    }
    context.out.table(&table)?;
    Ok(OK)
}

fn added(given: &str) -> Result<(String, Json)> {
    let bad = || {
        let shown = safe_line(given);
        error(
            ErrorKind::Invalid,
            format!("`{shown}` is no name with a number; give one such as tool_calls=1"),
        )
    };
    let (name, number) = given.rsplit_once('=').ok_or_else(bad)?;
    Ok((name.to_owned(), Json::parse(number).map_err(|_| bad())?))
}

pub fn runs(context: &mut Context, args: args::Runs) -> Result<u8> {
    let mut store = if args.mark { context.opening.write()? } else { context.opening.read()? };
    let runs = store.run(&ListRuns { scope: args.scope, silence_ms: None, mark: args.mark })?;
    if context.out.json {
        context.out.document(&runs)?;
        return Ok(OK);
    }
    if runs.runs.is_empty() {
        context.out.line("no run is under way")?;
        return Ok(OK);
    }
    let ids: Vec<&str> = runs.runs.iter().map(|run| run.session.id.as_str()).collect();
    let mut table = Table::new(vec![
        Column::text("ID"),
        Column::shrinking("TITLE"),
        Column::text("RUN BY"),
        Column::text("SINCE"),
        Column::text("STATE"),
    ]);
    let now = now_ms();
    for (info, id) in runs.runs.iter().zip(short_ids(&ids)) {
        let run = info.run.as_ref();
        table.row(vec![
            Cell::styled(safe_line(id), ID),
            Cell::new(safe_line(info.session.facts.title.as_deref().unwrap_or("untitled"))),
            Cell::new(safe_line(run.map_or("", |run| &run.owner))),
            Cell::new(run.map(|run| ago(run.begun_at, now)).unwrap_or_default()),
            Cell::new(state(info)),
        ]);
    }
    context.out.table(&table)?;
    Ok(OK)
}

fn state(info: &RunInfo) -> &'static str {
    match (info.is_crashed, info.is_stalled) {
        (true, _) => "its process has died",
        (_, true) => "stalled",
        _ => "running",
    }
}

pub fn call(context: &mut Context, args: args::Call) -> Result<u8> {
    let Some(name) = args.name else {
        for name in sessile::operations::NAMES {
            context.out.line(name)?;
        }
        return Ok(OK);
    };
    let request = match args.request.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        request => request.unwrap_or("{}").to_owned(),
    };
    let mut store: Store = context.opening.write()?;
    let answer = store.operate(&name, &request)?;
    context.out.raw_json(&answer)?;
    Ok(OK)
}
