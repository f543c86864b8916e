//! One of several processes that want the same thing: `contender STORE TASK NAME COUNT`. Prints what it got, a line each.

#![allow(clippy::print_stdout, reason = "what a test reads")]

use anyhow::{Context, Result, bail};
use sessile::operations::counters::AddCounters;
use sessile::operations::runs::BeginRun;
use sessile::operations::threads::{CurrentSession, NewFacts, ResolveThread, ThreadMode};
use sessile::{Durability, Engine, ErrorKind, Json, NewSession, OpenOptions, Store, WriteOptions};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, task, name, count] = args.as_slice() else { bail!("usage: contender STORE TASK NAME COUNT") };
    let count: u64 = count.parse().context("COUNT is a number")?;
    // Natively: what is at stake is the protocol, which is the same, and there is more contention this way.
    let mut store = Store::open_with(store, OpenOptions::default(), Engine::Native)?;
    let buffered = WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() };
    for number in 0..count {
        match task.as_str() {
            "count" => {
                let add = [("n".to_owned(), Json::parse("1")?)].into();
                store.run(&AddCounters {
                    add,
                    durability: Durability::Buffered,
                    ..AddCounters::default()
                })?;
            }
            "create" => {
                let id = format!("{name}-{number}");
                store.create(&NewSession {
                    id: Some(id.clone()),
                    scope: "many".into(),
                    ..NewSession::default()
                })?;
                println!("{id}");
            }
            "append" => {
                let message =
                    format!(r#"[{{"role":"user","parts":[{{"type":"text","text":"{name}-{number}"}}]}}]"#);
                match store.append("s", &message, &buffered) {
                    Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => break,
                    appended => drop(appended?),
                }
                println!("{name}-{number}");
            }
            "touch" => drop(store.touch("s")?),
            "purge" => {
                store.trash("s")?;
                store.purge("s")?;
                println!("purged");
            }
            "current" => {
                let (scope, new) = (format!("scope-{number}"), NewFacts::default());
                let found = store.run(&CurrentSession { scope, new, force_new: false })?;
                println!("{} {}", found.session.id, found.created);
            }
            "thread" => {
                let found = store.run(&ResolveThread {
                    agent_group: "group".into(),
                    chat: Some(format!("chat-{number}")),
                    thread: Some("thread".into()),
                    mode: ThreadMode::PerThread,
                    new: NewFacts::default(),
                })?;
                println!("{} {}", found.session.id, found.created);
            }
            "run" => {
                let begun = store.run(&BeginRun {
                    session: format!("r-{number}"),
                    owner: name.clone(),
                    lease_ms: 60_000,
                });
                match begun {
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    begun => println!("{}", begun?.session.id),
                }
            }
            _ => bail!("no such task"),
        }
    }
    Ok(())
}
