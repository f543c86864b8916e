//! `writer STORE ACKS NAME`: appends whatever the disk does; see `tests/src/real/writers.rs`. With the core natively, so
//! that as many appends as possible are under way.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sessile::{Error, ErrorKind, Message, NewSession, Store, WriteOptions};
use sessile_tests::real::{scripts, writers};

/// How long it waits before it does again what has failed.
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [root, acks, name] = args.as_slice() else { bail!("usage: writer STORE ACKS NAME") };
    let mut log = OpenOptions::new().create(true).append(true).open(acks)?;
    let stop = Path::new(acks).with_extension("stop");
    let mut say = |line: Value| log.write_all(format!("{line}\n").as_bytes());
    let mut opened: Option<Store> = None;
    let mut number = 1;
    while !stop.exists() {
        let Some(store) = &mut opened else {
            match open(Path::new(root), name) {
                Ok(store) => {
                    opened = Some(store);
                    say(json!({"opened": true}))?;
                }
                Err(error) => {
                    say(json!({"error": error.kind.name(), "message": error.message}))?;
                    std::thread::sleep(PAUSE);
                }
            }
            continue;
        };
        let messages = format!("[{}]", Message::user(writers::text(name, number)).to_json());
        let options = WriteOptions { op: Some(format!("{name} {number}")), ..WriteOptions::default() };
        match store.append(writers::session(name, number), &messages, &options) {
            Ok(appended) => {
                say(json!({"number": number, "seq": appended.seq}))?;
                number += 1;
            }
            Err(error) => {
                say(json!({"error": error.kind.name(), "message": error.message}))?;
                if error.kind == ErrorKind::Closed {
                    opened = None;
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
    drop(opened);
    Ok(say(json!({"done": true}))?)
}

fn open(root: &Path, name: &str) -> Result<Store, Error> {
    let mut store = scripts::open(root, false)?;
    for id in [name, "shared"] {
        match store.create(&NewSession { id: Some(id.into()), ..NewSession::default() }) {
            Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
    Ok(store)
}
