//! Messages: appending them, from the command line or a stream, and showing them.

use std::io::{BufRead, BufReader, Read};

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use sessile::{Appended, ErrorKind, Message, Page, Role, Select, Session, Store, WriteOptions};

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
    let options = WriteOptions { durability: args.durability.into(), ..args.condition.options() };
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
        let numbers = if count == 1 {
            format!("message {seq}")
        } else {
            format!("messages {seq} to {}", seq + count - 1)
        };
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
    let mut options = WriteOptions { durability: args.durability.into(), ..args.condition.options() };
    let mut lines = Lines::new(std::io::stdin().lock());
    // An operation is one append, so it waits for the end.
    let is_whole = options.op.is_some();
    loop {
        let batch = lines.next_batch(is_whole)?;
        if batch.is_empty() {
            return Ok(OK);
        }
        let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
        let append = |store: &mut Store, texts: &[&str], options: &WriteOptions| {
            store.append(&id, &format!("[{}]", texts.join(",")), options)
        };
        let appended = match append(&mut store, &texts, &options) {
            // Nothing of the batch was written. One by one, all before the bad line is, and the line gets its number.
            Err(cause) if cause.kind == ErrorKind::Invalid && !is_whole => {
                for (line, text) in &batch {
                    let appended = append(&mut store, &[text], &options);
                    let appended = appended.map_err(|cause| {
                        // It is the only message, so its number in the append says nothing.
                        let message = cause.message.strip_prefix("message 1: ").unwrap_or(&cause.message);
                        error(cause.kind, format!("line {line}: {message}"))
                    })?;
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

/// Messages with the numbers of their lines.
type Batch = Vec<(u64, String)>;

/// Lines of a stream, in batches of those that are there.
struct Lines<R> {
    input: BufReader<R>,
    number: u64,
    /// What is wrong with a line, until what came before it has been appended.
    refused: Option<anyhow::Error>,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(BATCH_BYTES, input), number: 0, refused: None }
    }

    /// Waits for a line and takes those that came with it; all to the end where `is_whole`. Empty at the end.
    fn next_batch(&mut self, is_whole: bool) -> Result<Batch> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let mut batch = Batch::new();
        let mut taken_bytes = 0;
        loop {
            let mut line = Vec::new();
            taken_bytes += self.input.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(batch);
            }
            self.number += 1;
            match check_line(line) {
                Ok(text) if text.is_empty() => continue,
                Ok(text) => batch.push((self.number, text)),
                Err(what) => {
                    let refused = error(ErrorKind::Invalid, format!("line {} {what}", self.number));
                    if batch.is_empty() || is_whole {
                        return Err(refused);
                    }
                    self.refused = Some(refused);
                    return Ok(batch);
                }
            }
            let is_full = taken_bytes >= BATCH_BYTES || batch.len() >= BATCH_MESSAGES;
            if !is_whole && (is_full || !self.input.buffer().contains(&b'\n')) {
                return Ok(batch);
            }
        }
    }
}

/// A line that is not exactly one JSON value could become two messages, or none, inside an array.
fn check_line(line: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(line).map_err(|_| "is not UTF-8; convert it")?;
    let text = text.trim();
    if !text.is_empty() && serde_json::from_str::<&RawValue>(text).is_err() {
        return Err(
            "is not JSON; give one message object per line, for plain text use `sessile append ID TEXT`",
        );
    }
    Ok(text.to_owned())
}

pub fn show(context: &mut Context, args: &args::Show) -> Result<u8> {
    let mut store = context.opening.read()?;
    let session = find(&mut store, &args.id)?;
    let detail = if args.full { Detail::Full } else { Detail::Short };
    show_messages(&mut context.out, &mut store, &session, args, detail)
}

/// Shows messages of a session, page by page. What cannot be read is named, and makes the exit code that of damage.
pub fn show_messages(
    out: &mut Out,
    store: &mut Store,
    session: &Session,
    args: &args::Show,
    detail: Detail,
) -> Result<u8> {
    let (mut select, mut left) = match (args.from, args.last) {
        (Some(seq), _) => {
            let limit =
                args.limit.map(|limit| at_least_one("--limit", limit)).transpose()?.unwrap_or(u64::MAX);
            (Select::From { seq: seq.max(1), limit: page_of(limit) }, limit)
        }
        (None, last) => {
            let last = at_least_one("--last", last.unwrap_or(SHOW_DEFAULT))?;
            // More than one call may ask for is refused by the store, in its words.
            (Select::Last(u32::try_from(last).unwrap_or(u32::MAX)), last)
        }
    };
    let mut transcript = Transcript::new(detail);
    let mut is_first = true;
    let mut unreadable = Vec::new();
    let damage = loop {
        let page = store.read(&session.id, &select)?;
        if std::mem::take(&mut is_first) && !out.json {
            print_heading(out, session, page.messages == "[]")?;
        }
        let count = print_page(out, &mut transcript, &page)?;
        unreadable.extend(page.unreadable.iter().copied());
        left = left.saturating_sub(count + page.unreadable.len() as u64);
        match page.next {
            Some(cursor) if left > 0 => select = Select::Cursor { cursor, limit: page_of(left) },
            _ => break page.damage,
        }
    };
    if !out.json {
        transcript.finish(out)?;
    }
    out.flush()?;
    for range in damage {
        let what = "hold no record; everything around them is readable, `sessile doctor` tells more";
        warn(&format!("session {}: bytes {} to {} {what}", range.session, range.from, range.to), out.json);
    }
    if unreadable.is_empty() {
        return Ok(OK);
    }
    let numbers: Vec<String> = unreadable.iter().take(20).map(u64::to_string).collect();
    let more = if unreadable.len() > 20 { " and more" } else { "" };
    let what = format!("{} of session {}", counted(unreadable.len() as u64, "message"), session.id);
    let message = format!("{what} cannot be read: {}{more}; run `sessile doctor`", numbers.join(", "));
    crate::exit::say(ErrorKind::Damaged, &message, out.json);
    Ok(code(ErrorKind::Damaged))
}

fn page_of(limit: u64) -> u32 {
    u32::try_from(limit.min(PAGE)).unwrap_or(1)
}

fn print_heading(out: &mut Out, session: &Session, is_empty: bool) -> Result<()> {
    let title = session.facts.title.as_deref().map_or_else(|| "Untitled".into(), safe_line);
    let (id, count) = (safe_line(&session.id), counted(session.message_count, "message"));
    out.line(&format!("{BOLD}{title}{BOLD:#}"))?;
    let trashed = if session.facts.trashed.is_some() { ", in the trash" } else { "" };
    out.line(&format!("{ID}{id}{ID:#}  {DIM}{count}{trashed}{DIM:#}"))?;
    if is_empty && session.message_count > 0 {
        out.line(&format!("{DIM}none of them is there; the last one is {}{DIM:#}", session.head))?;
    }
    Ok(())
}

/// Prints the messages of a page and returns how many there were.
fn print_page(out: &mut Out, transcript: &mut Transcript, page: &Page) -> Result<u64> {
    let messages: Vec<&RawValue> = serde_json::from_str(&page.messages)?;
    for message in &messages {
        if out.json {
            out.raw_json(message.get())?;
        } else {
            transcript.print(out, message)?;
        }
    }
    Ok(messages.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &str, is_whole: bool) -> Vec<Result<Vec<u64>, String>> {
        let mut lines = Lines::new(input.as_bytes());
        let mut batches = Vec::new();
        loop {
            match lines.next_batch(is_whole) {
                Ok(batch) if batch.is_empty() => return batches,
                Ok(batch) => batches.push(Ok(batch.iter().map(|(number, _)| *number).collect())),
                Err(error) => {
                    batches.push(Err(error.to_string()));
                    return batches;
                }
            }
        }
    }

    #[test]
    fn lines_that_are_there_are_one_batch() {
        assert_eq!(batches("{}\n\n {} \r\n{}", false), [Ok(vec![1, 3]), Ok(vec![4])]);
        assert_eq!(batches("{}\n\n {} \r\n{}", true), [Ok(vec![1, 3, 4])]);
    }

    #[test]
    fn lines_before_a_bad_one_come_first_and_the_bad_one_is_named() {
        let refused = batches("{}\n{}\n{},{}\n{}\n", false);
        assert_eq!(refused[0], Ok(vec![1, 2]));
        assert!(refused[1].as_ref().is_err_and(|error| error.starts_with("line 3 is not JSON")));
        assert!(batches("{}\n{},{}\n", true)[0].is_err());
    }
}
