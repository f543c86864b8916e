//! `worker STORE LOG NAME SECONDS SEED [native]`: works on a store that other processes, in other languages, work on too.
//!
//! Whatever it has been acknowledged it writes down, one JSON line for each call, so that `tests/tests/mixed.rs` can
//! look for it afterwards. It may be killed at any moment. The same program exists for every host.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sessile::{
    Appended, Durability, Engine, Error, ErrorKind, ForkOptions, Message, MessageChange, NewSession, Select,
    SessionPatch, Store, WriteOptions,
};
use sessile_tests::sim::Random;

const SHARED: u64 = 3;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, log, name, seconds, seed, engine @ ..] = args.as_slice() else {
        anyhow::bail!("usage: worker STORE LOG NAME SECONDS SEED [native]");
    };
    let engine = if engine.is_empty() { Engine::Component } else { Engine::Native };
    let end = Instant::now() + Duration::from_secs_f64(seconds.parse().context("SECONDS")?);
    let seed = seed.parse().context("SEED")?;
    let mut worker = Worker {
        store: Store::open_with(store, sessile::OpenOptions::default(), engine)?,
        log: OpenOptions::new().create(true).append(true).open(log)?,
        own: format!("own-{name}"),
        name: name.clone(),
        seed,
        random: Random::new(seed),
        calls: 0,
        made: 0,
    };
    worker.begin()?;
    while Instant::now() < end {
        worker.step()?;
    }
    let closed = worker.store.close();
    worker.done("close", closed)?;
    let calls = worker.calls;
    worker.write(&json!({"done": calls}))
}

struct Worker {
    store: Store,
    log: File,
    own: String,
    name: String,
    seed: u64,
    random: Random,
    calls: u64,
    made: u64,
}

impl Worker {
    fn begin(&mut self) -> Result<()> {
        let shared = (0..SHARED).map(|number| format!("shared-{number}"));
        for id in shared.chain([self.own.clone()]) {
            match self.store.create(&NewSession { id: Some(id), ..NewSession::default() }) {
                // Somebody else, or this worker in an earlier life, was first.
                Err(error) if error.kind == ErrorKind::Conflict => self.calls += 1,
                made => drop(self.done("create", made)?),
            }
        }
        Ok(())
    }

    /// Makes one call, or a few that belong together.
    fn step(&mut self) -> Result<()> {
        let own = self.own.clone();
        let shared = format!("shared-{}", self.random.below(SHARED));
        match self.random.below(24) {
            0..=5 => self.append(&own, None),
            6 | 7 => self.add_text(),
            8 | 9 => self.revert(),
            10 if self.random.below(4) == 0 => {
                let compacted = self.store.compact(&own);
                self.done("compact", compacted).map(drop)
            }
            11 => {
                let touched = self.store.touch(&own);
                self.done("touch", touched).map(drop)
            }
            12 => {
                let patch = SessionPatch { title: Some(Some(self.text())), ..SessionPatch::default() };
                let options = self.options();
                let updated = self.store.update(&own, &patch, &options);
                self.done("update", updated).map(drop)
            }
            13 => {
                let synced = self.store.sync(&own);
                self.done("sync", synced).map(drop)
            }
            14..=17 => self.append(&shared, None),
            18 => {
                let got = self.store.get(&shared);
                match self.done("get", got)? {
                    Some(session) => self.append(&shared, Some(session.head)),
                    None => Ok(()),
                }
            }
            19 if self.random.below(4) == 0 => self.fork(&shared),
            _ => {
                let limit = 1 + u32::try_from(self.random.below(50))?;
                let select = if self.random.below(2) == 0 {
                    Select::Last(limit)
                } else {
                    Select::From { seq: 1 + self.random.below(100), limit }
                };
                let read = self.store.read(if limit % 2 == 0 { &own } else { &shared }, &select);
                self.done("read", read).map(drop)
            }
        }
    }

    fn append(&mut self, id: &str, expect_head: Option<u64>) -> Result<()> {
        let texts: Vec<String> = (0..=self.random.below(4)).map(|_| self.text()).collect();
        let messages: Vec<String> = texts.iter().map(|text| Message::user(text).to_json()).collect();
        let messages = format!("[{}]", messages.join(","));
        let options = WriteOptions { expect_head, op: Some(self.text()), ..self.options() };
        let again = self.random.below(10) == 0;
        // Some are made twice, as after a lost answer.
        for _ in 0..=usize::from(again) {
            let appended = match self.store.append(id, &messages, &options) {
                Err(error) if error.kind == ErrorKind::Conflict && expect_head.is_some() => {
                    self.calls += 1;
                    return Ok(());
                }
                appended => self.done("append", appended)?,
            };
            let Some(Appended { seq, repeated, .. }) = appended else { return Ok(()) };
            let line =
                json!({"session": id, "op": options.op, "seq": seq, "texts": texts, "repeated": repeated});
            self.write(&line)?;
        }
        Ok(())
    }

    fn add_text(&mut self) -> Result<()> {
        let own = self.own.clone();
        let got = self.store.get(&own);
        let Some(head) = self.done("get", got)?.map(|session| session.head).filter(|head| *head > 0) else {
            return Ok(());
        };
        let text = self.text();
        let change = MessageChange::AddText { part: 0, text: format!(" {text}"), at: None };
        let options = self.options();
        let added = self.store.update_message(&own, &head.into(), &change, &options);
        if self.done("update_message", added)?.is_some() {
            self.write(&json!({"session": own, "add": text}))?;
        }
        Ok(())
    }

    /// Hides some messages at the end, and half the time shows them again.
    fn revert(&mut self) -> Result<()> {
        let own = self.own.clone();
        let read = self.store.messages(&own, &Select::Last(8));
        let page = self.done("read", read)?.unwrap_or_default();
        let place = self.random.below(8);
        let Some(to) = usize::try_from(place).ok().and_then(|place| page.get(place)) else { return Ok(()) };
        let options = self.options();
        let reverted = self.store.revert(&own, &to.seq.into(), false, &options);
        let hidden = self.done("revert", reverted)?.is_some_and(|session| session.can_unrevert);
        if hidden && self.random.below(2) == 0 {
            let options = self.options();
            let shown = self.store.unrevert(&own, &options);
            self.done("unrevert", shown)?;
        }
        Ok(())
    }

    /// Forks a shared session, mostly at an early message: the content of forks is read whole afterwards.
    fn fork(&mut self, parent: &str) -> Result<()> {
        let got = self.store.get(parent);
        let head = self.done("get", got)?.map_or(0, |session| session.head);
        let early = 1 + self.random.below(64);
        let at = (early < head && self.random.below(16) > 0).then(|| early.into());
        self.made += 1;
        let child = format!("fork-{}-{}-{}", self.name, self.made, self.seed);
        let options = ForkOptions { at, id: Some(child.clone()), title: None };
        let forked = self.store.fork(parent, &options);
        let Some(session) = self.done("fork", forked)? else { return Ok(()) };
        self.write(&json!({"fork": child, "parent": parent, "count": session.message_count}))?;
        self.append(&child, None)
    }

    fn options(&mut self) -> WriteOptions {
        let durability = if self.random.below(4) == 0 { Durability::Synced } else { Durability::Buffered };
        WriteOptions { durability, ..WriteOptions::default() }
    }

    /// A text that nobody has made before.
    fn text(&mut self) -> String {
        self.made += 1;
        format!("{}-{}-{}", self.name, self.seed, self.made)
    }

    /// Counts a call, and writes down an error: there must be none.
    fn done<T>(&mut self, call: &str, outcome: Result<T, Error>) -> Result<Option<T>> {
        self.calls += 1;
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.write(&json!({"error": error.kind.name(), "call": call, "message": error.message}))?;
                Ok(None)
            }
        }
    }

    /// Writes a line of the log, in one write.
    fn write(&mut self, line: &Value) -> Result<()> {
        Ok(self.log.write_all(format!("{line}\n").as_bytes())?)
    }
}
