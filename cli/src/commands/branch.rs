//! Forks, reverts and branches, and the rewriting of logs.

use anyhow::Result;
use serde::Serialize;
use sessile::{ForkOptions, MessageRef, Rewritten, Session};

use super::Context;
use super::session::{named, print_changed, print_new};
use crate::args;
use crate::exit::OK;
use crate::opening::find;
use crate::output::{
    Cell, Column, DIM, GOOD, ID, Out, Table, ago, bytes, counted, grouped, now_ms, safe_line,
};

pub fn fork(context: &mut Context, args: args::Fork) -> Result<u8> {
    let mut store = context.opening.write()?;
    let parent = find(&mut store, &args.id)?;
    let session = store.fork(&parent.id, &ForkOptions { at: args.at, id: args.new_id, title: args.title })?;
    print_new(&mut context.out, &session)
}

pub fn detach(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.write()?;
    let session = find(&mut store, id)?;
    let rewritten = store.detach(&session.id)?;
    print_rewritten(&mut context.out, &session, rewritten, "holds all its messages itself now")
}

pub fn compact(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.write()?;
    let session = find(&mut store, id)?;
    let rewritten = store.compact(&session.id)?;
    print_rewritten(&mut context.out, &session, rewritten, "is rewritten")
}

fn print_rewritten(out: &mut Out, session: &Session, rewritten: Rewritten, what: &str) -> Result<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        id: &'a str,
        generation: u32,
        bytes_before: u64,
        bytes_after: u64,
        old_kept: bool,
    }
    let Rewritten { generation, bytes_before, bytes_after, old_kept } = rewritten;
    if out.json {
        out.document(&Document { id: &session.id, generation, bytes_before, bytes_after, old_kept })?;
        return Ok(OK);
    }
    out.line(&format!(
        "{} {what}: {} before, {} after",
        named(session),
        bytes(bytes_before),
        bytes(bytes_after)
    ))?;
    if old_kept {
        out.line(&format!("{DIM}the old log stays as long as a fork needs it{DIM:#}"))?;
    }
    Ok(OK)
}

pub fn revert(context: &mut Context, args: &args::Revert) -> Result<u8> {
    let mut store = context.opening.write()?;
    let before = find(&mut store, &args.id)?;
    let session = store.revert(&before.id, &args.to, args.inclusive, &args.condition.options())?;
    if context.out.json {
        return print_changed(&mut context.out, &session, "");
    }
    let hidden = counted(before.message_count.saturating_sub(session.message_count), "message");
    let left = counted(session.message_count, "message");
    context.out.line(&format!("{} shows {left}; {hidden} hidden", named(&session)))?;
    if session.can_unrevert {
        context
            .out
            .line(&format!("{DIM}`sessile unrevert` shows them again until the next append{DIM:#}"))?;
    }
    Ok(OK)
}

pub fn unrevert(context: &mut Context, args: &args::Unrevert) -> Result<u8> {
    let mut store = context.opening.write()?;
    let before = find(&mut store, &args.id)?;
    let session = store.unrevert(&before.id, &args.condition.options())?;
    print_visible(&mut context.out, &session)
}

pub fn switch(context: &mut Context, args: &args::Switch) -> Result<u8> {
    let mut store = context.opening.write()?;
    let before = find(&mut store, &args.id)?;
    let to: &MessageRef = &args.to;
    let session = store.switch(&before.id, to, &args.condition.options())?;
    print_visible(&mut context.out, &session)
}

fn print_visible(out: &mut Out, session: &Session) -> Result<u8> {
    if out.json {
        return print_changed(out, session, "");
    }
    let count = counted(session.message_count, "message");
    out.line(&format!("{} shows {count}, the last one is {}", named(session), session.head))?;
    Ok(OK)
}

pub fn list(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.read()?;
    let session = find(&mut store, id)?;
    let branches = store.branches(&session.id)?;
    if context.out.json {
        #[derive(Serialize)]
        struct Branch<'a> {
            tip: u64,
            id: &'a str,
            message_count: u64,
            shared: u64,
            created_at: u64,
            current: bool,
        }
        #[derive(Serialize)]
        struct Document<'a> {
            session: &'a str,
            branches: Vec<Branch<'a>>,
        }
        let branches = branches.iter().map(|branch| Branch {
            tip: branch.tip,
            id: &branch.id,
            message_count: branch.message_count,
            shared: branch.shared,
            created_at: branch.created_at,
            current: branch.current,
        });
        context.out.document(&Document { session: &session.id, branches: branches.collect() })?;
        return Ok(OK);
    }
    if branches.is_empty() {
        context.out.line(&format!("{} has no messages and so no branches", named(&session)))?;
        return Ok(OK);
    }
    let now = now_ms();
    let mut table = Table::new(vec![
        Column::text(""),
        Column::number("TIP"),
        Column::number("MESSAGES"),
        Column::text("LEAVES AT"),
        Column::text("CAME"),
        Column::text("ID"),
    ]);
    for branch in &branches {
        let leaves = match (branch.current, branch.shared) {
            (true, _) => String::new(),
            (_, 0) => "the beginning".to_owned(),
            (_, shared) => format!("message {shared}"),
        };
        table.row(vec![
            Cell::styled(if branch.current { "*" } else { "" }, GOOD),
            Cell::new(branch.tip.to_string()),
            Cell::new(grouped(branch.message_count)),
            Cell::new(leaves),
            Cell::new(ago(branch.created_at, now)),
            Cell::styled(safe_line(&branch.id), ID),
        ]);
    }
    context.out.table(&table)?;
    if branches.len() > 1 {
        let note = "`sessile switch ID --to TIP` goes to another branch";
        context.out.line(&format!("{DIM}{note}{DIM:#}"))?;
    }
    Ok(OK)
}
