//! nanoclaw: a session is a directory with two SQLite files, `inbound.db` written by the host and `outbound.db` by the
//! runner, below `<agent group>/<session>/`.
//!
//! Copies of the files are read: a reader that opens a database whose writer has died must write to it, and these are
//! not ours. What has been said becomes messages; what waits becomes items of the queues, under the ids that it has
//! there, so that a second import adds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};
use sessile::operations::queues::{Emit, Enqueue, NewItem, NewOut};
use sessile::operations::threads::{SetRouting, SetState};
use sessile::{Durability, ErrorKind, Json, NewSession, Store, WriteOptions};

use super::{Problem, Skipped, Summary};

/// The databases of a session.
const FILES: [&str; 2] = ["inbound.db", "outbound.db"];
/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["", "-journal", "-wal"];
/// How deep sessions are looked for.
const DEPTH_MAX: usize = 4;

/// Imports every session below `path`.
pub fn import(store: &mut Store, path: &Path, summary: &mut Summary) -> Result<()> {
    let mut directories = BTreeSet::new();
    find(path, 0, &mut directories, summary);
    if directories.is_empty() {
        let reason = "holds no session: no inbound.db or outbound.db".into();
        summary.skipped.push(Skipped { file: path.display().to_string(), reason });
    }
    for directory in directories {
        let before = summary.problems.len();
        match Source::open(&directory) {
            Ok(source) => source.import(store, summary)?,
            Err(cause) => {
                let reason = format!("cannot be read: {cause:#}");
                summary.problems.push(Problem { file: directory.display().to_string(), line: None, reason });
            }
        }
        summary.files += u64::from(summary.problems.len() == before);
    }
    Ok(())
}

/// Finds the directories of sessions. Links are not followed: they can lead in circles.
fn find(path: &Path, depth: usize, found: &mut BTreeSet<PathBuf>, summary: &mut Summary) {
    if FILES.iter().any(|file| path.join(file).is_file()) {
        found.insert(path.to_owned());
        return;
    }
    if depth == DEPTH_MAX {
        return;
    }
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    find(&entry.path(), depth + 1, found, summary);
                }
            }
        }
        Err(cause) => {
            let reason = format!("cannot be read: {cause}");
            summary.skipped.push(Skipped { file: path.display().to_string(), reason });
        }
    }
}

/// A row of a table, by the names of its columns.
pub(super) type Row = Map<String, Value>;

/// What a session's databases hold.
struct Source {
    directory: PathBuf,
    inbound: BTreeMap<&'static str, Vec<Row>>,
    outbound: BTreeMap<&'static str, Vec<Row>>,
}

impl Source {
    fn open(directory: &Path) -> Result<Self> {
        let place = tempfile::tempdir().context("cannot make a directory for copies")?;
        for file in FILES {
            for beside in BESIDE {
                let name = format!("{file}{beside}");
                if directory.join(&name).is_file() {
                    fs::copy(directory.join(&name), place.path().join(&name))
                        .with_context(|| format!("{name} cannot be copied"))?;
                }
            }
        }
        let read = |file: &str, tables: &[&'static str]| -> Result<BTreeMap<&'static str, Vec<Row>>> {
            let path = place.path().join(file);
            if !path.is_file() {
                return Ok(BTreeMap::new());
            }
            // With write access, so that what a dead writer has left is rolled back, in the copy.
            let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .with_context(|| format!("{file} is no database"))?;
            tables
                .iter()
                .map(|table| Ok((*table, rows(&database, table).with_context(|| file.to_owned())?)))
                .collect()
        };
        let inbound = read(FILES[0], &["messages_in", "delivered", "destinations", "session_routing"])?;
        let outbound = read(FILES[1], &["messages_out", "processing_ack", "session_state"])?;
        Ok(Self { directory: directory.to_owned(), inbound, outbound })
    }

    fn import(&self, store: &mut Store, summary: &mut Summary) -> Result<()> {
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let (id, group) = (name(Some(&self.directory)), name(self.directory.parent()));
        let new = NewSession {
            id: Some(id.clone()),
            scope: group,
            agent: Some("nanoclaw".into()),
            metadata: Some(json!({"source": {"format": "nanoclaw"}}).to_string()),
            ..NewSession::default()
        };
        let is_new = match store.create(&new) {
            Err(error) if error.kind == ErrorKind::Conflict => false,
            created => created.map(|_| true)?,
        };
        summary.sessions.add(is_new);
        summary.session_ids.push(id.clone());
        self.said(store, &id, summary)?;
        self.waiting(store, &id, summary)?;
        self.around(store, &id, summary)
    }

    /// What was said, in both directions, in the order of its numbers: messages.
    fn said(&self, store: &mut Store, id: &str, summary: &mut Summary) -> Result<()> {
        let tagged = |rows: Option<&Vec<Row>>, role: &'static str, table: &'static str| {
            rows.into_iter().flatten().cloned().map(move |row| (role, table, row)).collect::<Vec<_>>()
        };
        let mut all = tagged(self.inbound.get("messages_in"), "user", "messages_in");
        all.extend(tagged(self.outbound.get("messages_out"), "assistant", "messages_out"));
        all.sort_by_key(|(_, _, row)| row.get("seq").and_then(Value::as_i64).unwrap_or(i64::MAX));
        for (role, table, row) in all {
            let Some(key) = text(&row, "id") else {
                self.problem(summary, table, "a row has no id");
                continue;
            };
            let role = if text(&row, "kind").as_deref() == Some("system") { "system" } else { role };
            let content = row.get("content").and_then(Value::as_str).unwrap_or_default();
            let message = json!([{
                "role": role,
                "id": format!("{table}:{key}"),
                "parts": [{"type": "text", "text": shown(content)}],
                "source": {"format": "nanoclaw", "table": table, "row": row},
            }]);
            let options = WriteOptions {
                op: Some(format!("nanoclaw:{table}:{key}")),
                at: text(&row, "timestamp").and_then(|time| milliseconds(&time)),
                durability: Durability::Buffered,
                ..WriteOptions::default()
            };
            match store.append(id, &message.to_string(), &options) {
                Err(error) if error.kind == ErrorKind::Invalid => {
                    self.problem(summary, table, &error.message);
                }
                appended => summary.messages.add(!appended?.repeated),
            }
        }
        Ok(store.sync(id)?)
    }

    /// What waits for the runner, and what waits to be delivered.
    fn waiting(&self, store: &mut Store, id: &str, summary: &mut Summary) -> Result<()> {
        let ended: BTreeSet<String> = self.ids(&self.outbound, "processing_ack", "message_id", |row| {
            text(row, "status").is_some_and(|status| status != "processing")
        });
        for row in self.inbound.get("messages_in").into_iter().flatten() {
            let (Some(key), Some("pending")) = (text(row, "id"), text(row, "status").as_deref()) else {
                continue;
            };
            if ended.contains(&key) {
                continue;
            }
            let item = NewItem {
                id: Some(key),
                kind: text(row, "kind").unwrap_or_else(|| "chat".into()),
                content: content(row),
                wakes: Some(row.get("trigger").and_then(Value::as_i64) != Some(0)),
                on_start: row.get("on_wake").and_then(Value::as_i64) == Some(1),
                due_at: text(row, "process_after").and_then(|time| milliseconds(&time)),
                recurrence: text(row, "recurrence"),
                time_zone: None,
                series: text(row, "series_id"),
                address: address(row),
                source_session: text(row, "source_session_id"),
            };
            let enqueue =
                Enqueue { session: id.to_owned(), items: vec![item], durability: Durability::Synced };
            self.noted(summary, "messages_in", store.run(&enqueue).map(drop))?;
        }
        let delivered = self.ids(&self.inbound, "delivered", "message_out_id", |_| true);
        for row in self.outbound.get("messages_out").into_iter().flatten() {
            let Some(key) = text(row, "id").filter(|key| !delivered.contains(key)) else { continue };
            let item = NewOut {
                id: Some(key),
                kind: text(row, "kind").unwrap_or_else(|| "chat".into()),
                content: content(row),
                in_reply_to: text(row, "in_reply_to"),
                due_at: text(row, "deliver_after").and_then(|time| milliseconds(&time)),
                address: address(row),
                destination: None,
            };
            let emit = Emit { session: id.to_owned(), items: vec![item], durability: Durability::Synced };
            self.noted(summary, "messages_out", store.run(&emit).map(drop))?;
        }
        Ok(())
    }

    /// State, routing and destinations.
    fn around(&self, store: &mut Store, id: &str, summary: &mut Summary) -> Result<()> {
        for row in self.outbound.get("session_state").into_iter().flatten() {
            let Some(key) = text(row, "key") else { continue };
            let value = row.get("value").map(|value| Json::parse(&value.to_string())).transpose()?;
            let durability = Durability::Synced;
            let set = SetState { session: id.to_owned(), key, value, durability };
            self.noted(summary, "session_state", store.run(&set).map(drop))?;
        }
        let default = self.inbound.get("session_routing").and_then(|rows| rows.first()).and_then(address);
        let mut destinations = BTreeMap::new();
        for row in self.inbound.get("destinations").into_iter().flatten() {
            if let Some(name) = text(row, "name") {
                destinations.insert(name, Some(Json::parse(&Value::Object(row.clone()).to_string())?));
            }
        }
        if default.is_none() && destinations.is_empty() {
            return Ok(());
        }
        let set = SetRouting { session: id.to_owned(), default: default.map(Some), destinations };
        self.noted(summary, "destinations", store.run(&set).map(drop))
    }

    fn ids(
        &self,
        tables: &BTreeMap<&'static str, Vec<Row>>,
        table: &str,
        column: &str,
        fits: impl Fn(&Row) -> bool,
    ) -> BTreeSet<String> {
        let rows = tables.get(table).into_iter().flatten();
        rows.filter(|row| fits(row)).filter_map(|row| text(row, column)).collect()
    }

    /// What the store will not take is a problem of that row alone.
    fn noted(&self, summary: &mut Summary, table: &str, done: sessile::Result<()>) -> Result<()> {
        match done {
            Err(error) if error.kind == ErrorKind::Invalid => {
                self.problem(summary, table, &error.message);
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn problem(&self, summary: &mut Summary, table: &str, reason: &str) {
        let file = self.directory.display().to_string();
        summary.problems.push(Problem { file, line: None, reason: format!("{table}: {reason}") });
    }
}

/// All rows of a table, as JSON. A table that a version does not have is empty.
pub(super) fn rows(database: &Connection, table: &str) -> Result<Vec<Row>> {
    let there: i64 = database.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1",
        [table],
        |row| row.get(0),
    )?;
    if there == 0 {
        return Ok(Vec::new());
    }
    let mut query = database.prepare(&format!("SELECT * FROM {table}"))?;
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let rows = query.query_map([], |row| {
        let value = |(place, name): (usize, &String)| {
            let value = match row.get_ref(place)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(bytes) => json!({"bytes": bytes}),
            };
            Ok((name.clone(), value))
        };
        names.iter().enumerate().map(value).collect::<rusqlite::Result<Row>>()
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.get(column).and_then(Value::as_str).map(str::to_owned)
}

/// The content of an item: JSON where it is some, else the text.
fn content(row: &Row) -> Option<Json> {
    let text = text(row, "content")?;
    Json::parse(&text).or_else(|_| Json::parse(&Value::from(text).to_string())).ok()
}

/// What a person reads of a content.
fn shown(content: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(content).ok();
    let text = parsed.as_ref().and_then(|parsed| parsed.get("text").and_then(Value::as_str));
    text.unwrap_or(content).to_owned()
}

fn address(row: &Row) -> Option<Json> {
    let known = ["channel_type", "platform_id", "thread_id"];
    let address: Row = known
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), row.get(name).filter(|value| !value.is_null())?.clone())))
        .collect();
    (!address.is_empty()).then(|| Json::parse(&Value::Object(address).to_string()).ok()).flatten()
}

/// A time as nanoclaw writes it: ISO 8601, or SQLite's own form; without a zone it is UTC.
fn milliseconds(text: &str) -> Option<u64> {
    let zoned: Option<jiff::Timestamp> = text.parse().ok();
    let plain = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let at = zoned.or_else(|| plain().map(|at| at.timestamp()))?;
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_utc() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02 03:04:05",
            "2026-01-02T03:04:05.000",
            "2026-01-02T04:04:05+01:00",
        ] {
            assert_eq!(milliseconds(text), Some(1_767_323_045_000), "{text}");
        }
        assert_eq!(milliseconds("yesterday"), None);
    }

    #[test]
    fn content_is_json_or_text() {
        let row = |text: &str| Row::from_iter([("content".to_owned(), Value::from(text))]);
        assert_eq!(content(&row(r#"{"text":"hi"}"#)).unwrap().as_str(), r#"{"text":"hi"}"#);
        assert_eq!(content(&row("{broken")).unwrap().as_str(), r#""{broken""#);
        assert_eq!(shown(r#"{"text":"hi"}"#), "hi");
    }
}
