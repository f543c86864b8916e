//! The trash: moving sessions there, back, and away for good.

use anyhow::Result;
use serde::Serialize;
use sessile::{ErrorKind, ListQuery, Session};

use super::Context;
use super::session::{at_least_one, named, print_changed, short_ids};
use crate::args;
use crate::exit::{OK, error};
use crate::opening::{find, find_trashed};
use crate::output::{Cell, Column, DIM, ID, Table, ago, grouped, now_ms, safe_line};

const PAGE: u64 = 1000;

pub fn remove(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.write()?;
    let id = find(&mut store, id)?.id;
    let session = store.trash(&id)?;
    print_changed(&mut context.out, &session, "moved to the trash:")?;
    if !context.out.json {
        context.out.line(&format!("{DIM}`sessile restore last` brings it back{DIM:#}"))?;
    }
    Ok(OK)
}

pub fn list(context: &mut Context, args: &args::Trash) -> Result<u8> {
    let limit = args.limit.map(|limit| at_least_one("--limit", limit)).transpose()?.unwrap_or(u64::MAX);
    let mut store = context.opening.read()?;
    let mut query = ListQuery { trashed: true, ..ListQuery::default() };
    let mut sessions = Vec::new();
    let mut more = true;
    while more && (sessions.len() as u64) < limit {
        query.limit = u32::try_from(PAGE.min(limit - sessions.len() as u64)).unwrap_or(u32::MAX);
        let page = store.list(&query)?;
        sessions.extend(page.sessions);
        more = page.next.is_some();
        query.cursor = page.next;
    }
    if context.out.json {
        #[derive(Serialize)]
        struct Document<'a> {
            sessions: &'a [Session],
            more: bool,
        }
        context.out.document(&Document { sessions: &sessions, more })?;
        return Ok(OK);
    }
    if sessions.is_empty() {
        context.out.line("the trash is empty")?;
        return Ok(OK);
    }
    let now = now_ms();
    let ids: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    let mut table = Table::new(vec![
        Column::text("ID"),
        Column::shrinking("TITLE"),
        Column::number("MESSAGES"),
        Column::text("MOVED HERE"),
    ]);
    for (session, id) in sessions.iter().zip(short_ids(&ids)) {
        table.row(vec![
            Cell::styled(safe_line(id), ID),
            Cell::new(safe_line(session.facts.title.as_deref().unwrap_or("untitled"))),
            Cell::new(grouped(session.message_count)),
            Cell::new(session.facts.trashed.map(|ms| ago(ms, now)).unwrap_or_default()),
        ]);
    }
    context.out.table(&table)?;
    let note = if more {
        "there are more; --limit N shows them"
    } else {
        "`sessile restore ID` brings one back, `sessile purge ID` removes it for good"
    };
    context.out.line(&format!("{DIM}{note}{DIM:#}"))?;
    Ok(OK)
}

pub fn restore(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.write()?;
    let found = find_trashed(&mut store, id)?;
    let what = if found.facts.trashed.is_some() { "restored:" } else { "was not in the trash:" };
    let session = store.restore(&found.id)?;
    print_changed(&mut context.out, &session, what)
}

pub fn purge(context: &mut Context, id: &str) -> Result<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        purged: &'a str,
    }
    let mut store = context.opening.write()?;
    let session = find_trashed(&mut store, id)?;
    store.purge(&session.id).map_err(|cause| {
        // The store does not know our words for the way out.
        if cause.kind == ErrorKind::Conflict && session.facts.trashed.is_none() {
            let message =
                format!("session {} is not in the trash; `sessile rm` moves it there first", session.id);
            return error(ErrorKind::Conflict, message);
        }
        cause.into()
    })?;
    if context.out.json {
        context.out.document(&Document { purged: &session.id })?;
    } else {
        context.out.line(&format!("removed for good: {}", named(&session)))?;
    }
    Ok(OK)
}
