//! Who is measured in Rust: the limit of the disk, the store with both engines, and what would be used instead.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use rusqlite::{Connection, Statement, params};
use serde_json::value::RawValue;
use sessile::import::claude;
use sessile::operations::search::{Search, SearchResults};
use sessile::{
    Durability, Engine, ForkOptions, ListQuery, MessageChange, NewSession, OpenOptions as StoreOptions,
    Select, Sessions, Store, WriteOptions,
};

use crate::unsynced::Unsynced;
use crate::worker::Job;

/// One way to keep sessions. What a way cannot do is an error that says so.
pub trait Subject {
    /// Opens what is in the directory, or makes it.
    fn open(&mut self) -> Result<()>;
    /// Makes a session, unless it is there.
    fn create(&mut self, session: &str) -> Result<()>;
    /// Puts many messages into a session, as fast as it can.
    fn fill(&mut self, session: &str, count: u64, bytes: u64) -> Result<()>;
    /// Makes many sessions of two messages, as fast as it can.
    fn fill_sessions(&mut self, count: u64) -> Result<()>;
    /// Appends messages in one step.
    fn append(&mut self, session: &str, bytes: u64, batch: u64, durable: bool) -> Result<()>;
    /// Reads and parses the last messages, and says how many.
    fn tail(&mut self, session: &str, count: u64) -> Result<u64>;
    /// Lists the newest sessions with their titles, and says how many.
    fn list(&mut self, count: u64) -> Result<u64>;
    /// Forks a session at its end.
    fn fork(&mut self, session: &str) -> Result<()>;
    /// Streams one message of 20 KiB in 200 updates.
    fn stream(&mut self, session: &str, durable: bool) -> Result<u64>;
    /// How many messages of a session can be read.
    fn count(&mut self, session: &str) -> Result<u64>;
    /// Goes through all messages of a session, and says how many bytes they have.
    fn fold(&mut self, _session: &str) -> Result<u64> {
        bail!("not measured")
    }
    /// Makes 100 sessions with so many messages of different words together, and an index of them.
    fn fill_words(&mut self, _count: u64) -> Result<()> {
        bail!("not measured")
    }
    /// Finds messages by two words that few have together, and says how many were found.
    fn search(&mut self) -> Result<u64> {
        bail!("not measured")
    }
    /// Lets so many threads append durably, to a session each, and says nothing: the time tells.
    fn writers(&mut self, _threads: u64, _ops: u64, _bytes: u64) -> Result<()> {
        bail!("not measured")
    }
    /// Imports the transcripts of the corpus so many times, and says how many bytes they have.
    fn import(&mut self, _times: u64) -> Result<u64> {
        bail!("not measured")
    }
    /// Closes what is open.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The subject of a job.
pub fn make(job: &Job) -> Result<Box<dyn Subject>> {
    let dir = job.dir.clone();
    Ok(match job.subject.as_str() {
        "raw" => Box::new(Raw { dir, file: None, made: None }),
        "raw-new-file" => Box::new(Raw { dir, file: None, made: Some(0) }),
        "native" => Box::new(Sessile { dir, engine: Engine::Native, store: None }),
        "component" => Box::new(Sessile { dir, engine: Engine::Component, store: None }),
        "sqlite-full" => Box::new(Sqlite { dir, is_full: true, connection: None }),
        "sqlite-normal" => Box::new(Sqlite { dir, is_full: false, connection: None }),
        "redb" => Box::new(Redb { dir, database: None }),
        other => bail!("there is no subject `{other}`"),
    })
}

/// The text of a message of so many bytes of JSON.
pub fn message(bytes: u64) -> String {
    let frame = r#"{"role":"user","parts":[{"type":"text","text":""}]}"#.len();
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(bytes as usize / 45 + 1);
    format!(
        r#"{{"role":"user","parts":[{{"type":"text","text":"{}"}}]}}"#,
        &text[..(bytes as usize).saturating_sub(frame)]
    )
}

/// The pieces that a message is streamed in: 200, together 20 KiB.
pub fn pieces() -> impl Iterator<Item = String> {
    let text = "and then some more words of a model ".repeat(4);
    (0..200).map(move |number| text[..if number % 5 < 2 { 103 } else { 102 }].to_owned())
}

// --- The limit: lines at the end of a file. ---------------------------------------------------------------------

struct Raw {
    dir: PathBuf,
    file: Option<File>,
    /// How many files were made beside it, where a fork is one: the least that a store with a file for each session does.
    made: Option<u64>,
}

impl Raw {
    fn append_line(&mut self, line: &[u8], durable: bool) -> Result<()> {
        let file = self.file.as_mut().context("not open")?;
        file.write_all(line)?;
        if durable {
            file.sync_data()?;
        }
        Ok(())
    }

    /// The last lines of a file, parsed.
    fn last_lines(&self, name: &str, count: u64, guess: u64) -> Result<u64> {
        let file = File::open(self.dir.join(name))?;
        let size = file.metadata()?.len();
        let from = size.saturating_sub(guess);
        let mut bytes = vec![0; (size - from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        let text = std::str::from_utf8(&bytes)?;
        let lines = text.lines().rev().take(count as usize);
        let parsed: Result<Vec<HashMap<&str, &RawValue>>, _> = lines.map(serde_json::from_str).collect();
        Ok(parsed?.len() as u64)
    }
}

impl Subject for Raw {
    fn open(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        self.file = Some(OpenOptions::new().create(true).append(true).open(self.dir.join("raw.jsonl"))?);
        Ok(())
    }

    fn create(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn fill(&mut self, _: &str, count: u64, bytes: u64) -> Result<()> {
        let line = message(bytes) + "\n";
        for _ in 0..count {
            self.append_line(line.as_bytes(), false)?;
        }
        Ok(())
    }

    fn fill_sessions(&mut self, count: u64) -> Result<()> {
        let mut out = std::io::BufWriter::new(File::create(self.dir.join("index.jsonl"))?);
        for number in 0..count {
            writeln!(
                out,
                r#"{{"id":"session {number}","scope":"","title":"Session number {number}","status":"active","created_at":1750000000000,"updated_at":1750000000000,"message_count":2,"head":2,"model":null,"provider":null,"agent":null,"tags":[]}}"#
            )?;
        }
        Ok(out.flush()?)
    }

    fn append(&mut self, _: &str, bytes: u64, batch: u64, durable: bool) -> Result<()> {
        // As much as the store's own record: some bytes longer than the message.
        let mut line = message(bytes).repeat(batch as usize);
        line.push_str(&"x".repeat(109));
        line.push('\n');
        self.append_line(line.as_bytes(), durable)
    }

    fn tail(&mut self, _: &str, count: u64) -> Result<u64> {
        self.last_lines("raw.jsonl", count, count * 2200)
    }

    fn list(&mut self, count: u64) -> Result<u64> {
        self.last_lines("index.jsonl", count, count * 300)
    }

    fn fork(&mut self, _: &str) -> Result<()> {
        let line = [b"x".repeat(300), b"\n".to_vec()].concat();
        self.append_line(&line, true)?;
        if let Some(made) = &mut self.made {
            *made += 1;
            let temporary = self.dir.join("temporary");
            let mut file = File::create(&temporary)?;
            file.write_all(&line)?;
            file.sync_all()?;
            std::fs::rename(&temporary, self.dir.join(made.to_string()))?;
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }

    fn stream(&mut self, _: &str, durable: bool) -> Result<u64> {
        let mut bytes = 0;
        for piece in pieces() {
            self.append_line(piece.as_bytes(), durable)?;
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    fn count(&mut self, _: &str) -> Result<u64> {
        Ok(std::fs::read_to_string(self.dir.join("raw.jsonl"))?.lines().count() as u64)
    }

    fn fold(&mut self, _: &str) -> Result<u64> {
        let text = std::fs::read_to_string(self.dir.join("raw.jsonl"))?;
        for line in text.lines() {
            serde_json::from_str::<HashMap<&str, &RawValue>>(line)?;
        }
        Ok(text.len() as u64)
    }

    fn writers(&mut self, threads: u64, ops: u64, bytes: u64) -> Result<()> {
        in_threads(threads, |thread| {
            let mut raw = Raw { dir: self.dir.join(thread.to_string()), file: None, made: None };
            raw.open()?;
            (0..ops / threads).try_for_each(|_| raw.append("", bytes, 1, true))
        })
    }
}

fn in_threads(count: u64, act: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn({
                    let act = &act;
                    move || act(number)
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(_) => bail!("a thread has panicked"),
        })
    })
}

// --- The store. -------------------------------------------------------------------------------------------------

struct Sessile {
    dir: PathBuf,
    engine: Engine,
    store: Option<Store>,
}

impl Sessile {
    fn store(&mut self) -> Result<&mut Store> {
        self.store.as_mut().context("not open")
    }

    /// Imports a transcript as a session of its own.
    fn import_one(&mut self, transcript: &[u8]) -> Result<()> {
        let import = claude::session("transcript", transcript);
        let store = self.store()?;
        for session in &import.sessions {
            let id = store.create(&NewSession::default())?.id;
            for batch in session.messages.chunks(200) {
                let bytes = batch.iter().map(|message| message.json.len() + 1).sum::<usize>();
                let mut messages = String::with_capacity(bytes + 1);
                for message in batch {
                    messages.push(if messages.is_empty() { '[' } else { ',' });
                    messages.push_str(&message.json);
                }
                messages.push(']');
                store.append(&id, &messages, &options(false))?;
            }
        }
        Ok(())
    }

    /// The native core on the same files without syncs.
    fn unsynced(&self) -> Result<sessile_core::Store<Unsynced>> {
        Ok(sessile_core::Store::open(Unsynced::open(&self.dir)?, StoreOptions::default())?)
    }
}

/// The transcripts below a directory.
fn transcripts(place: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut todo = vec![place.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|end| end == "jsonl") {
                found.push(std::fs::read(path)?);
            }
        }
    }
    if found.is_empty() {
        bail!("there are no transcripts in {}", place.display());
    }
    Ok(found)
}

fn options(durable: bool) -> WriteOptions {
    let durability = if durable { Durability::Synced } else { Durability::Buffered };
    WriteOptions { durability, ..WriteOptions::default() }
}

fn new_session(id: &str) -> NewSession {
    NewSession { id: Some(id.to_owned()), ..NewSession::default() }
}

impl Subject for Sessile {
    fn open(&mut self) -> Result<()> {
        self.store = Some(Store::open_with(&self.dir, StoreOptions::default(), self.engine)?);
        Ok(())
    }

    fn create(&mut self, session: &str) -> Result<()> {
        let store = self.store()?;
        if store.get(session).is_err() {
            store.create(&new_session(session))?;
        }
        Ok(())
    }

    fn fill(&mut self, session: &str, count: u64, bytes: u64) -> Result<()> {
        let messages = format!("[{}]", message(bytes));
        let mut store = self.unsynced()?;
        for _ in 0..count {
            store.append(session, &messages, &options(false))?;
        }
        Ok(store.close()?)
    }

    fn fill_sessions(&mut self, count: u64) -> Result<()> {
        let mut store = self.unsynced()?;
        let messages = format!("[{0},{0}]", message(200));
        for number in 0..count {
            let id = format!("session {number}");
            let title = Some(format!("Session number {number}"));
            store.create(&NewSession { title, ..new_session(&id) })?;
            store.append(&id, &messages, &options(false))?;
        }
        Ok(store.close()?)
    }

    fn append(&mut self, session: &str, bytes: u64, batch: u64, durable: bool) -> Result<()> {
        let messages = vec![message(bytes); batch as usize].join(",");
        self.store()?.append(session, &format!("[{messages}]"), &options(durable))?;
        Ok(())
    }

    fn tail(&mut self, session: &str, count: u64) -> Result<u64> {
        Ok(self.store()?.messages(session, &Select::Last(count as u32))?.len() as u64)
    }

    fn list(&mut self, count: u64) -> Result<u64> {
        let query = ListQuery { limit: count as u32, ..ListQuery::default() };
        Ok(self.store()?.list(&query)?.sessions.len() as u64)
    }

    fn fork(&mut self, session: &str) -> Result<()> {
        self.store()?.fork(session, &ForkOptions::default())?;
        Ok(())
    }

    fn stream(&mut self, session: &str, durable: bool) -> Result<u64> {
        let first = r#"[{"role":"assistant","parts":[{"type":"text","text":""}]}]"#;
        let store = self.store()?;
        let seq = store.append(session, first, &options(durable))?.seq;
        let mut bytes = 0;
        for text in pieces() {
            bytes += text.len() as u64;
            let change = MessageChange::AddText { part: 0, text, at: None };
            store.update_message(session, &seq.into(), &change, &options(durable))?;
        }
        Ok(bytes)
    }

    fn count(&mut self, session: &str) -> Result<u64> {
        let mut count = 0;
        let mut select = Select::From { seq: 1, limit: 1000 };
        loop {
            let page = self.store()?.read(session, &select)?;
            count += serde_json::from_str::<Vec<&RawValue>>(&page.messages)?.len() as u64;
            let Some(cursor) = page.next else { return Ok(count) };
            select = Select::Cursor { cursor, limit: 1000 };
        }
    }

    fn fold(&mut self, session: &str) -> Result<u64> {
        let mut bytes = 0;
        let mut select = Select::From { seq: 1, limit: 10_000 };
        loop {
            let page = self.store()?.read(session, &select)?;
            bytes += page.messages.len() as u64;
            let Some(cursor) = page.next else { return Ok(bytes) };
            select = Select::Cursor { cursor, limit: 10_000 };
        }
    }

    fn fill_words(&mut self, count: u64) -> Result<()> {
        let mut words = Words(1);
        let mut store = self.unsynced()?;
        for number in 0..100 {
            let id = format!("session {number}");
            store.create(&new_session(&id))?;
            for _ in 0..count / 100 {
                let text = words.text();
                let message = format!(r#"[{{"role":"user","parts":[{{"type":"text","text":"{text}"}}]}}]"#);
                store.append(&id, &message, &options(false))?;
            }
        }
        while store.operate("update_search", "{}")?.contains(r#""more":true"#) {}
        Ok(store.close()?)
    }

    fn search(&mut self) -> Result<u64> {
        let query = Search { query: Words::query(), ..Search::default() };
        let found = self.store()?.operate("search", &serde_json::to_string(&query)?)?;
        let found: SearchResults = serde_json::from_str(&found)?;
        if found.behind.sessions > 0 || found.hits.is_empty() {
            bail!("the index is behind, or nothing was found");
        }
        Ok(found.hits.len() as u64)
    }

    fn writers(&mut self, threads: u64, ops: u64, bytes: u64) -> Result<()> {
        let (dir, engine) = (self.dir.clone(), self.engine);
        in_threads(threads, |thread| {
            let mut own = Sessile { dir: dir.clone(), engine, store: None };
            own.open()?;
            let session = format!("writer {thread}");
            own.create(&session)?;
            (0..ops / threads).try_for_each(|_| own.append(&session, bytes, 1, true))
        })
    }

    fn import(&mut self, times: u64) -> Result<u64> {
        let corpus = crate::race::root().join("tests/corpus/transcripts/claude-code");
        let files = transcripts(&corpus)?;
        let mut bytes = 0;
        for _ in 0..times {
            // About 1 MB, from whole files.
            let mut round = 0;
            for file in files.iter().cycle() {
                if round >= 1_000_000 {
                    break;
                }
                round += file.len() as u64;
                self.import_one(file)?;
            }
            bytes += round;
        }
        Ok(bytes)
    }

    fn close(&mut self) -> Result<()> {
        match self.store.take() {
            Some(mut store) => Ok(store.close()?),
            None => Ok(()),
        }
    }
}

// --- SQLite. ----------------------------------------------------------------------------------------------------

/// The tables, the same in every language: those that a careful user would make.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, title TEXT, updated INTEGER NOT NULL, messages INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS newest ON session (updated);
    CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS of_session ON message (session, id);";

struct Sqlite {
    dir: PathBuf,
    is_full: bool,
    connection: Option<Prepared>,
}

/// A connection with the statements that are needed again and again.
struct Prepared {
    /// Never closed, so that statements can stand beside it. Everything is committed when a call returns.
    connection: &'static Connection,
    begin: Statement<'static>,
    commit: Statement<'static>,
    insert: Statement<'static>,
    count: Statement<'static>,
    replace: Statement<'static>,
}

impl Sqlite {
    fn connect(dir: &Path, is_full: bool) -> Result<Prepared> {
        std::fs::create_dir_all(dir)?;
        let connection: &'static Connection = Box::leak(Box::new(Connection::open(dir.join("sessions.db"))?));
        connection.busy_timeout(std::time::Duration::from_secs(60))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", if is_full { "FULL" } else { "NORMAL" })?;
        connection.execute_batch(SCHEMA)?;
        let count = "UPDATE session SET updated = updated + 1, messages = messages + ?2 WHERE id = ?1";
        Ok(Prepared {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            insert: connection.prepare("INSERT INTO message (session, body) VALUES (?1, ?2)")?,
            count: connection.prepare(count)?,
            replace: connection.prepare("UPDATE message SET body = ?2 WHERE id = ?1")?,
        })
    }

    fn prepared(&mut self) -> Result<&mut Prepared> {
        self.connection.as_mut().context("not open")
    }

    fn insert(&mut self, session: &str, bytes: u64, count: u64) -> Result<()> {
        let body = message(bytes);
        let prepared = self.prepared()?;
        prepared.begin.execute([])?;
        for _ in 0..count {
            prepared.insert.execute(params![session, body])?;
        }
        prepared.count.execute(params![session, count as i64])?;
        prepared.commit.execute([])?;
        Ok(())
    }

    /// So that what follows does not pay for what was filled in.
    fn checkpoint(&mut self) -> Result<()> {
        Ok(self.prepared()?.connection.pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?)
    }
}

impl Subject for Sqlite {
    fn open(&mut self) -> Result<()> {
        self.connection = Some(Self::connect(&self.dir, self.is_full)?);
        Ok(())
    }

    fn create(&mut self, session: &str) -> Result<()> {
        let insert = "INSERT OR IGNORE INTO session VALUES (?1, ?1, 1, 0)";
        self.prepared()?.connection.execute(insert, params![session])?;
        Ok(())
    }

    fn fill(&mut self, session: &str, count: u64, bytes: u64) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.insert(session, bytes, count)?;
        self.checkpoint()
    }

    fn fill_sessions(&mut self, count: u64) -> Result<()> {
        let prepared = self.prepared()?;
        prepared.begin.execute([])?;
        let mut insert = prepared.connection.prepare("INSERT INTO session VALUES (?1, ?2, ?3, 2)")?;
        for number in 0..count as i64 {
            insert.execute(params![
                format!("session {number}"),
                format!("Session number {number}"),
                number
            ])?;
        }
        prepared.commit.execute([])?;
        self.checkpoint()
    }

    fn append(&mut self, session: &str, bytes: u64, batch: u64, _: bool) -> Result<()> {
        self.insert(session, bytes, batch)
    }

    fn tail(&mut self, session: &str, count: u64) -> Result<u64> {
        let select = "SELECT body FROM message WHERE session = ?1 ORDER BY id DESC LIMIT ?2";
        let mut select = self.prepared()?.connection.prepare(select)?;
        let mut rows = select.query(params![session, count as i64])?;
        let mut found = 0;
        while let Some(row) = rows.next()? {
            let body: String = row.get(0)?;
            serde_json::from_str::<HashMap<&str, &RawValue>>(&body)?;
            found += 1;
        }
        Ok(found)
    }

    fn list(&mut self, count: u64) -> Result<u64> {
        let select = "SELECT id, title, updated, messages FROM session ORDER BY updated DESC LIMIT ?1";
        let mut select = self.prepared()?.connection.prepare(select)?;
        let rows = select
            .query_map([count as i64], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len() as u64)
    }

    fn fork(&mut self, session: &str) -> Result<()> {
        let prepared = self.prepared()?;
        let connection = prepared.connection;
        prepared.begin.execute([])?;
        let count: i64 = connection.query_row("SELECT count(*) FROM session", [], |row| row.get(0))?;
        let child = format!("fork {count}");
        let copy = "INSERT INTO session SELECT ?1, title, updated, messages FROM session WHERE id = ?2";
        connection.execute(copy, params![child, session])?;
        let copy =
            "INSERT INTO message (session, body) SELECT ?1, body FROM message WHERE session = ?2 ORDER BY id";
        connection.execute(copy, params![child, session])?;
        prepared.commit.execute([])?;
        Ok(())
    }

    fn stream(&mut self, session: &str, _: bool) -> Result<u64> {
        let prepared = self.prepared()?;
        prepared.insert.execute(params![session, ""])?;
        let id = prepared.connection.last_insert_rowid();
        let mut text = String::new();
        for piece in pieces() {
            text.push_str(&piece);
            prepared.replace.execute(params![id, text])?;
        }
        Ok(text.len() as u64)
    }

    fn count(&mut self, session: &str) -> Result<u64> {
        let count = "SELECT count(*) FROM message WHERE session = ?1";
        let count: i64 = self.prepared()?.connection.query_row(count, [session], |row| row.get(0))?;
        Ok(count as u64)
    }

    fn writers(&mut self, threads: u64, ops: u64, bytes: u64) -> Result<()> {
        let (dir, is_full) = (self.dir.clone(), self.is_full);
        in_threads(threads, |thread| {
            let mut own = Sqlite { dir: dir.clone(), is_full, connection: None };
            own.open()?;
            let session = format!("writer {thread}");
            own.create(&session)?;
            (0..ops / threads).try_for_each(|_| own.append(&session, bytes, 1, true))
        })
    }
}

// --- redb. ------------------------------------------------------------------------------------------------------

const MESSAGES: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("message");
/// By id: the title, when it was updated, and how many messages it has.
const SESSIONS: TableDefinition<'_, &str, (&str, u64, u64)> = TableDefinition::new("session");
const NEWEST: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("newest");

struct Redb {
    dir: PathBuf,
    database: Option<redb::Database>,
}

impl Redb {
    fn write(
        &mut self,
        durable: bool,
        act: impl FnOnce(&redb::WriteTransaction) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.database.as_ref().context("not open")?.begin_write()?;
        transaction.set_durability(if durable {
            redb::Durability::Immediate
        } else {
            redb::Durability::None
        })?;
        act(&transaction)?;
        Ok(transaction.commit()?)
    }

    fn insert(transaction: &redb::WriteTransaction, session: &str, body: &str, count: u64) -> Result<()> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        let (title, updated, held) = {
            let found = sessions.get(session)?.context("no such session")?;
            let (title, updated, held) = found.value();
            (title.to_owned(), updated, held)
        };
        let mut messages = transaction.open_table(MESSAGES)?;
        for number in 0..count {
            messages.insert((session, held + number), body)?;
        }
        sessions.insert(session, (title.as_str(), updated + 1, held + count))?;
        let mut newest = transaction.open_table(NEWEST)?;
        newest.remove((updated, session))?;
        newest.insert((updated + 1, session), ())?;
        Ok(())
    }
}

impl Subject for Redb {
    fn open(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        self.database = Some(redb::Database::create(self.dir.join("sessions.redb"))?);
        self.write(true, |transaction| {
            transaction.open_table(MESSAGES)?;
            transaction.open_table(SESSIONS)?;
            transaction.open_table(NEWEST)?;
            Ok(())
        })
    }

    fn create(&mut self, session: &str) -> Result<()> {
        self.write(true, |transaction| {
            let mut sessions = transaction.open_table(SESSIONS)?;
            if sessions.get(session)?.is_none() {
                sessions.insert(session, (session, 1, 0))?;
                transaction.open_table(NEWEST)?.insert((1, session), ())?;
            }
            Ok(())
        })
    }

    fn fill(&mut self, session: &str, count: u64, bytes: u64) -> Result<()> {
        let body = message(bytes);
        self.write(true, |transaction| Self::insert(transaction, session, &body, count))
    }

    fn fill_sessions(&mut self, count: u64) -> Result<()> {
        self.write(true, |transaction| {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let mut newest = transaction.open_table(NEWEST)?;
            for number in 0..count {
                let (id, title) = (format!("session {number}"), format!("Session number {number}"));
                sessions.insert(id.as_str(), (title.as_str(), number, 2))?;
                newest.insert((number, id.as_str()), ())?;
            }
            Ok(())
        })
    }

    fn append(&mut self, session: &str, bytes: u64, batch: u64, durable: bool) -> Result<()> {
        let body = message(bytes);
        self.write(durable, |transaction| Self::insert(transaction, session, &body, batch))
    }

    fn tail(&mut self, session: &str, count: u64) -> Result<u64> {
        let transaction = self.database.as_ref().context("not open")?.begin_read()?;
        let table = transaction.open_table(MESSAGES)?;
        let mut found = 0;
        for row in table.range((session, 0)..=(session, u64::MAX))?.rev().take(count as usize) {
            serde_json::from_str::<HashMap<&str, &RawValue>>(row?.1.value())?;
            found += 1;
        }
        Ok(found)
    }

    fn list(&mut self, count: u64) -> Result<u64> {
        let transaction = self.database.as_ref().context("not open")?.begin_read()?;
        let (newest, sessions) = (transaction.open_table(NEWEST)?, transaction.open_table(SESSIONS)?);
        let mut found = Vec::new();
        for row in newest.iter()?.rev().take(count as usize) {
            let row = row?;
            let (_, id) = row.0.value();
            found.push(sessions.get(id)?.map(|facts| facts.value().0.to_owned()));
        }
        Ok(found.len() as u64)
    }

    fn fork(&mut self, session: &str) -> Result<()> {
        self.write(true, |transaction| {
            let mut messages = transaction.open_table(MESSAGES)?;
            let bodies: Vec<String> = messages
                .range((session, 0)..=(session, u64::MAX))?
                .map(|row| Ok(row?.1.value().to_owned()))
                .collect::<Result<_>>()?;
            let mut sessions = transaction.open_table(SESSIONS)?;
            let child = format!("fork {}", redb::ReadableTableMetadata::len(&sessions)?);
            for (number, body) in (0..).zip(&bodies) {
                messages.insert((child.as_str(), number), body.as_str())?;
            }
            sessions.insert(child.as_str(), (child.as_str(), 1, bodies.len() as u64))?;
            transaction.open_table(NEWEST)?.insert((1, child.as_str()), ())?;
            Ok(())
        })
    }

    fn stream(&mut self, session: &str, durable: bool) -> Result<u64> {
        let mut text = String::new();
        for piece in pieces() {
            text.push_str(&piece);
            self.write(durable, |transaction| {
                transaction.open_table(MESSAGES)?.insert((session, 0), text.as_str())?;
                Ok(())
            })?;
        }
        Ok(text.len() as u64)
    }

    fn count(&mut self, session: &str) -> Result<u64> {
        let transaction = self.database.as_ref().context("not open")?.begin_read()?;
        Ok(transaction.open_table(MESSAGES)?.range((session, 0)..=(session, u64::MAX))?.count() as u64)
    }
}

/// Made-up words, some far more frequent than others, as in any language: the word of rank n comes about 1/n as often as
/// the first.
struct Words(u64);

impl Words {
    const VOCABULARY: f64 = 60_000.0;

    fn word(rank: u64) -> String {
        const SYLLABLES: [&str; 16] = [
            "ba", "re", "tion", "mo", "li", "ser", "ka", "du", "con", "fi", "ne", "pro", "sta", "vi", "ur",
            "ing",
        ];
        let mut left = rank + 16;
        let mut word = String::new();
        while left > 0 {
            word.push_str(SYLLABLES[(left % 16) as usize]);
            left /= 16;
        }
        word
    }

    /// 90 words, some 600 bytes.
    fn text(&mut self) -> String {
        let word = |_| {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
            Self::word(Self::VOCABULARY.powf(drawn) as u64)
        };
        (0..90).map(word).collect::<Vec<_>>().join(" ")
    }

    /// A frequent word with a rare one.
    fn query() -> String {
        format!("{} {}", Self::word(20), Self::word(3000))
    }
}
