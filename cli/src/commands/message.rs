//! Messages: appending them, from the command line or a stream, and showing them.

use std::io::{BufRead, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use sessile::{Appended, ErrorKind, Message, MessageRef, Page, Role, Select, Session, Store, WriteOptions};

use super::Context;
use super::session::at_least_one;
use crate::args;
use crate::exit::{OK, code, error, warn};
use crate::opening::find;
use crate::output::{BOLD, DIM, ID, Out, counted, safe_line};
use crate::transcript::{Detail, Transcript};

/// How many messages `show` shows where nothing is said.
const SHOW_DEFAULT: u64 = 20;
/// The most messages that are read at once.
const PAGE: u64 = 1000;
/// A batch from standard input ends behind the line that takes it past this many bytes, so that memory and the time
/// to an acknowledgement are bounded.
const BATCH_BYTES: usize = 1 << 20;
/// The most messages of a batch.
const BATCH_MESSAGES: usize = 1000;

pub fn append(context: &mut Context, args: &args::Append) -> Result<u8> {
    if args.text == "-" {
        return append_lines(context, args);
    }
    let role = match args.role.as_deref() {
        None | Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some(_) => Role::Tool,
    };
    let message = Message { role, ..Message::user(args.text.as_str()) };
    let mut store = context.opening.write()?;
    let id = find(&mut store, &args.id)?.id;
    let options = WriteOptions {
        durability: args.durability.into(),
        expect_head: args.expect_head,
        op: args.op.clone(),
    };
    let appended = store.append(&id, &format!("[{}]", message.to_json()), &options)?;
    acknowledge(&mut context.out, &appended)?;
    Ok(OK)
}

/// Says what has become durable, at once: somebody may be waiting for it.
fn acknowledge(out: &mut Out, appended: &Appended) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        seq: u64,
        count: u64,
        id: Option<&'a str>,
        head: u64,
        repeated: bool,
        durability: &'static str,
    }
    let Appended { seq, count, head, repeated, .. } = *appended;
    if out.json {
        let durability = match appended.durability {
            sessile::Durability::Buffered => "buffered",
            sessile::Durability::Synced => "synced",
        };
        let id = Some(appended.id.as_str()).filter(|id| !id.is_empty());
        out.document(&Document { seq, count, id, head, repeated, durability })?;
    } else {
        let numbers = if count == 1 { format!("message {seq}") } else { format!("messages {seq} to {}", seq + count - 1) };
        let what = if repeated { "was appended before:" } else { "appended" };
        out.line(&format!("{what} {numbers}"))?;
    }
    out.flush()?;
    Ok(())
}

/// Appends JSON lines from standard input: as many at once as have come.
fn append_lines(context: &mut Context, args: &args::Append) -> Result<u8> {
    if args.role.is_some() {
        let message = "--role does not go with `-`: each line names its own role, as in {\"role\":\"user\",\"parts\":[]}";
        return Err(error(ErrorKind::Invalid, message));
    }
    let mut store = context.opening.write()?;
    let id = find(&mut store, &args.id)?.id;
    let mut options = WriteOptions {
        durability: args.durability.into(),
        expect_head: args.expect_head,
        op: args.op.clone(),
    };
    let mut lines = Lines::new(std::io::stdin().lock());
    // An operation is one append, so it waits for the end.
    let is_whole = options.op.is_some();
    loop {
        let batch = lines.next_batch(is_whole)?;
        if batch.messages.is_empty() {
            return Ok(OK);
        }
        let texts: Vec<&str> = batch.messages.iter().map(|(_, text)| text.as_str()).collect();
        let append = |store: &mut Store, texts: &[&str], options: &WriteOptions| {
            store.append(&id, &format!("[{}]", texts.join(",")), options)
        };
        let appended = match append(&mut store, &texts, &options) {
            // Nothing of the batch was written. One by one, all before the bad line is, and the line gets its number.
            Err(cause) if cause.kind == ErrorKind::Invalid && !is_whole => {
                for (line, text) in &batch.messages {
                    let appended = append(&mut store, &[text], &options);
                    let appended = appended.map_err(|cause| anyhow::Error::new(cause).context(format!("line {line}")))?;
                    options.expect_head = options.expect_head.map(|_| appended.head);
                    acknowledge(&mut context.out, &appended)?;
                }
                continue;
            }
            appended => appended?,
        };
        // Who expects a head expects that nobody comes between the batches either.
        options.expect_head = options.expect_head.map(|_| appended.head);
        acknowledge(&mut context.out, &appended)?;
    }
}

/// Lines of a stream, in batches of those that are there.
struct Lines<R> {
    input: R,
    number: u64,
}

/// Messages with the numbers of their lines.
#[derive(Default)]
struct Batch {
    messages: Vec<(u64, String)>,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// Waits for a line and takes those that came with it; all to the end with `whole`. Empty at the end.
    fn next_batch(&mut self, whole: bool) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut taken_bytes = 0;
        loop {
            let mut line = Vec::new();
            taken_bytes += self.input.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(batch);
            }
            self.number += 1;
            let number = self.number;
            let bad = |what: String| error(ErrorKind::Invalid, format!("line {number} {what}"));
            let text = String::from_utf8(line).map_err(|_| bad("is not UTF-8; convert it".to_owned()));
            let checked = text.and_then(|text| {
                // A line that is not one JSON value must not become two messages, or none, inside the array.
                let is_json = text.trim().is_empty() || serde_json::from_str::<&RawValue>(text.trim()).is_ok();
                if is_json { Ok(text.trim().to_owned()) } else { Err(bad(NOT_JSON.to_owned())) }
            });
            match checked {
                Ok(text) if text.is_empty() => {}
                Ok(text) => batch.messages.push((number, text)),
                // What came before the bad line is appended first; then it is met again as a batch of its own.
                Err(cause) if batch.messages.is_empty() || whole => return Err(cause),
                Err(_) => {
                    batch.messages.push((number, String::new()));
                    return Ok(batch);
                }
            }
            let is_full = taken_bytes >= BATCH_BYTES || batch.messages.len() >= BATCH_MESSAGES;
            if !whole && !batch.messages.is_empty() && (is_full || !self.has_line()?) {
                return Ok(batch);
            }
        }
    }
}
