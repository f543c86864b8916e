//! `dump STORE`: prints all that a store holds as one JSON object, as the same program of every other host does.

#![allow(clippy::print_stdout, reason = "a program for tests")]

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use sessile::{ListQuery, Select, Sessions, Store};
use sessile_tests::corpus::session;

/// Messages and sessions of a page.
const PAGE: u32 = 1_000;

fn main() -> Result<()> {
    let root = std::env::args().nth(1).context("usage: dump STORE")?;
    let mut store = Store::open_read_only(root)?;
    println!("{}", dump(&mut *store)?);
    Ok(())
}

fn dump(store: &mut dyn Sessions) -> Result<Value> {
    let mut sessions: Vec<Value> = Vec::new();
    for trashed in [false, true] {
        let mut query = ListQuery { trashed, limit: PAGE, ..ListQuery::default() };
        loop {
            let page = store.list(&query)?;
            sessions.extend(page.sessions.into_iter().map(session));
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
    }
    sessions.sort_by_key(|session| session["id"].as_str().unwrap_or_default().to_owned());
    let mut messages = Map::new();
    for session in &mut sessions {
        let id = session["id"].as_str().unwrap_or_default().to_owned();
        messages.insert(id.clone(), texts(store, &id)?.into());
        if let Some(metadata) = session["metadata"].as_str() {
            session["metadata"] = serde_json::from_str(metadata)?;
        }
    }
    Ok(json!({"sessions": sessions, "messages": messages}))
}

/// The text of all visible messages, as one JSON array.
fn texts(store: &mut dyn Sessions, id: &str) -> Result<String> {
    let mut elements: Vec<String> = Vec::new();
    let mut select = Select::From { seq: 1, limit: PAGE };
    loop {
        let page = store.read(id, &select)?;
        let inner = page.messages.trim_start_matches('[').trim_end_matches(']');
        elements.extend((!inner.is_empty()).then(|| inner.to_owned()));
        match page.next {
            Some(cursor) => select = Select::Cursor { cursor, limit: PAGE },
            None => return Ok(format!("[{}]", elements.join(","))),
        }
    }
}
