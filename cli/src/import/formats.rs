//! Where the sessions of coding agents lie. What stands in their files is read by `sessile_formats`.
//!
//! Files are told by what is in them, so a directory may hold anything. Databases are read in copies: a reader of SQLite
//! may have to write.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use sessile::Store;
use sessile::import::Import;
use sessile_formats::{Format, opencode};

use super::lines::{self, FileLines};
use super::nanoclaw::{Row, rows};
use super::{Seen, Skipped, Summary, Taking, look_at, progress};
use crate::commands::Context;
use crate::output::{DIM, counted, safe_line};

/// The ends of names of files that may be sessions.
const ENDS: [&str; 5] = [".jsonl", ".jsonl.zst", ".json", ".json.zst", ".db"];
/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["", "-journal", "-wal"];
/// The largest document that is read, unfolded.
const UNFOLDED_BYTES_MAX: u64 = 4 << 30;

/// Imports sessions of one format, or of whatever each file is.
pub fn run(context: &mut Context, format: Option<Format>, paths: &[PathBuf]) -> Result<u8> {
    let mut summary = Summary::default();
    for path in paths {
        look_at(path)?;
    }
    let mut store = context.opening.make()?;
    let files = find(paths, &mut summary);
    let outcome = import(&mut store, format, &files, &mut summary, !context.out.json);
    super::report(context, outcome, &summary)
}

/// Imports what every agent has in its usual place.
pub fn all(context: &mut Context) -> Result<u8> {
    let mut summary = Summary::default();
    let mut store = context.opening.make()?;
    let mut outcome = Ok(());
    for (name, directory, format) in places() {
        if outcome.is_err() || !directory.exists() {
            continue;
        }
        summary.found.push(directory.display().to_string());
        if !context.out.json {
            context
                .out
                .line(&format!("{DIM}{name}:{DIM:#} {}", safe_line(&directory.display().to_string())))?;
        }
        outcome = match format {
            Place::Format(format) => {
                let files = find(&[directory], &mut summary);
                import(&mut store, Some(format), &files, &mut summary, !context.out.json)
            }
            Place::Layout(layout) => {
                layout.import(&mut store, &directory, &mut summary, &mut Seen::default())
            }
            Place::Nanoclaw => super::nanoclaw::import(&mut store, &directory, &mut summary),
        };
    }
    if !context.out.json {
        let places = counted(summary.found.len() as u64, "place");
        context.out.line(&format!("{DIM}{places} with sessions of agents{DIM:#}"))?;
    }
    super::report(context, outcome, &summary)
}

/// What lies in a place.
enum Place {
    Format(Format),
    Layout(super::Layout),
    Nanoclaw,
}

/// Where agents keep their sessions, unless their own variables say otherwise.
fn places() -> Vec<(&'static str, PathBuf, Place)> {
    let Some(dirs) = directories::BaseDirs::new() else { return Vec::new() };
    let home = dirs.home_dir();
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = named("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let config = named("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let claude = named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.join(".claude"));
    let codex = named("CODEX_HOME").unwrap_or_else(|| home.join(".codex"));
    let of = Place::Format;
    vec![
        ("Claude Code", claude.join("projects"), of(Format::Claude)),
        ("Codex", codex.join("sessions"), of(Format::Codex)),
        ("Codex", codex.join("archived_sessions"), of(Format::Codex)),
        ("OpenCode", data.join("opencode"), of(Format::OpenCode)),
        ("pi", home.join(".pi/agent/sessions"), of(Format::Pi)),
        ("goose", data.join("goose/sessions"), of(Format::Goose)),
        ("gemini-cli", home.join(".gemini/tmp"), of(Format::Gemini)),
        ("qwen-code", home.join(".qwen/projects"), of(Format::Qwen)),
        ("cline", config.join("Code/User/globalStorage/saoudrizwan.claude-dev/tasks"), of(Format::Cline)),
        ("cline", home.join(".cline/data"), of(Format::Cline)),
        ("nanocoder", data.join("nanocoder/sessions"), Place::Layout(super::Layout::Nanocoder)),
        ("octocode", home.join(".octocode"), Place::Layout(super::Layout::Octocode)),
        ("nanoclaw", home.join("nanoclaw/data/v2-sessions"), Place::Nanoclaw),
    ]
}

/// The files in `paths` that may be sessions, in the order of their names. Links are not followed.
fn find(paths: &[PathBuf], summary: &mut Summary) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = waiting.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        match fs::read_dir(&path) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let is_session = ENDS.iter().any(|end| name.ends_with(end));
                    match entry.file_type() {
                        Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                        Ok(kind) if kind.is_file() && is_session => found.push(entry.path()),
                        _ => {}
                    }
                }
            }
            Err(cause) => {
                let reason = format!("cannot be read: {cause}");
                summary.skipped.push(Skipped { file: path.display().to_string(), reason });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Imports files. What is wrong with one of them does not stop the others; what is wrong with the store does.
fn import(
    store: &mut Store,
    format: Option<Format>,
    files: &[PathBuf],
    summary: &mut Summary,
    with_bar: bool,
) -> Result<()> {
    // A fork tells what its parent has used again, so its parent must have told before.
    let mut files = files.to_vec();
    files.sort_by_cached_key(|file| (is_fork(file), file.clone()));
    let sizes = files.iter().map(|file| fs::metadata(file).map_or(0, |facts| facts.len()));
    let bar = progress(sizes.sum(), with_bar);
    let mut seen = Seen::default();
    let mut trees = BTreeMap::new();
    let mut outcome = Ok(());
    for file in &files {
        bar.set_message(file.file_name().map(|name| safe_line(&name.to_string_lossy())).unwrap_or_default());
        outcome = take(store, format, file, summary, &mut seen, &mut trees);
        if outcome.is_err() {
            break;
        }
        bar.inc(fs::metadata(file).map_or(0, |facts| facts.len()));
    }
    bar.finish_and_clear();
    outcome
}

fn take(
    store: &mut Store,
    wanted: Option<Format>,
    file: &Path,
    summary: &mut Summary,
    seen: &mut Seen,
    trees: &mut BTreeMap<PathBuf, ()>,
) -> Result<()> {
    let shown = file.display().to_string();
    let read = match read(file, wanted, trees) {
        Ok(read) => read,
        Err(cause) => {
            summary.skipped.push(Skipped { file: shown, reason: format!("cannot be read: {cause:#}") });
            return Ok(());
        }
    };
    match read {
        Found::Sessions(format, imports) => {
            for (name, mut import) in imports {
                improve(format, file, &mut import);
                let shown = shown.clone();
                let mut taking = Taking { store, format: format.name(), file: name, shown, summary, seen };
                taking.file(import)?;
            }
        }
        // A piece of a session that another file stands for.
        Found::Piece => {}
        Found::Other(reason) => summary.skipped.push(Skipped { file: shown, reason }),
    }
    Ok(())
}

/// Whether the beginning of a file says that it is a fork.
fn is_fork(file: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(16 * 1024).read_to_end(&mut head));
    read.is_ok() && String::from_utf8_lossy(&head).contains("\"forked_from_id\":\"")
}

/// What a file is.
enum Found {
    /// Sessions, each with the name that its origin is noted under.
    Sessions(Format, Vec<(String, Import)>),
    Piece,
    Other(String),
}

fn read(file: &Path, wanted: Option<Format>, trees: &mut BTreeMap<PathBuf, ()>) -> Result<Found> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.ends_with(".db") {
        return database(file, wanted);
    }
    if let Some(storage) = storage_of(file) {
        if wanted.is_some_and(|wanted| wanted != Format::OpenCode)
            || trees.insert(storage.clone(), ()).is_some()
        {
            return Ok(Found::Piece);
        }
        return Ok(Found::Sessions(Format::OpenCode, tree(&storage)?));
    }
    if name.ends_with(".compaction.json") {
        return Ok(Found::Other(
            "the state of a compaction; the session's own file has all messages".to_owned(),
        ));
    }
    let head = lines::head(file)?;
    let Some(format) = Format::of(&head) else {
        let reason = if head.is_empty() { "empty" } else { "no session of an agent that is known here" };
        return Ok(Found::Other(reason.to_owned()));
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != format) {
        return Ok(Found::Other(format!("not a session of {}, but of {}", wanted.name(), format.name())));
    }
    let stem = stem_of(format, file, &name);
    let import = match format {
        Format::Claude => super::parse(file)?,
        _ if format.is_lines(&head) => format.read_lines(&stem, &mut FileLines::open(file)?),
        _ => format.read(&stem, &unfolded(file)?),
    };
    Ok(Found::Sessions(format, vec![(name, import)]))
}

/// What names a session whose file does not.
fn stem_of(format: Format, file: &Path, name: &str) -> String {
    let stem = ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let directory =
        || file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match format {
        Format::Cline if stem == "api_conversation_history" => directory().unwrap_or_else(|| stem.to_owned()),
        _ => stem.to_owned(),
    }
}

/// The bytes of a file; those that a compressed one holds.
fn unfolded(file: &Path) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    lines::open(file)?.take(UNFOLDED_BYTES_MAX + 1).read_to_end(&mut out)?;
    if out.len() as u64 > UNFOLDED_BYTES_MAX {
        bail!("it is more than {UNFOLDED_BYTES_MAX} bytes");
    }
    Ok(out)
}

/// Facts that stand beside a file, or in its place.
fn improve(format: Format, file: &Path, import: &mut Import) {
    let before = import.sessions.first().map(|session| session.id.clone());
    for session in &mut import.sessions {
        if sessile_formats::is_branch(&session.id) {
            continue;
        }
        match format {
            Format::Codex => {
                if let Some(title) = codex_name(file, &session.id) {
                    session.title = Some(title);
                    session.title_manual = true;
                }
            }
            Format::Gemini | Format::Qwen => {
                let name = |path: Option<&Path>| {
                    path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned())
                };
                let (above, higher) = (name(file.parent()), name(file.parent().and_then(Path::parent)));
                let stem =
                    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                match (above.as_deref(), higher.as_deref()) {
                    (Some(parent), Some("chats")) => session.parent = Some(parent.to_owned()),
                    // A sub-agent names its session as its own.
                    (Some("subagents"), Some(parent)) if stem.starts_with("agent-") => {
                        session.parent = Some(parent.to_owned());
                        session.id = format!("{parent}/{stem}");
                    }
                    _ => {}
                }
            }
            Format::Cline => describe_cline(file, session),
            _ => {}
        }
    }
    // Branches are named after the session that they are of.
    let now = import.sessions.first().map(|session| session.id.clone());
    let (Some(before), Some(now)) = (before, now) else { return };
    for branch in import.sessions.iter_mut().filter(|session| sessile_formats::is_branch(&session.id)) {
        branch.id = branch.id.replacen(&before, &now, 1);
        branch.parent = Some(now.clone());
    }
}

/// The name that a person has given a session of Codex: the last one in the index counts.
fn codex_name(file: &Path, id: &str) -> Option<String> {
    let index = file
        .ancestors()
        .skip(1)
        .take(5)
        .map(|above| above.join("session_index.jsonl"))
        .find(|path| path.is_file())?;
    let text = fs::read_to_string(index).ok()?;
    let named = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut own = named.filter(|line| line.get("id").and_then(Value::as_str) == Some(id));
    let name = own.next()?.get("thread_name")?.as_str()?.to_owned();
    (!name.is_empty()).then(|| sessile::import::title_of(&name))
}

/// The task's own words and directory, which stand in the index of tasks.
fn describe_cline(file: &Path, session: &mut sessile::import::ImportedSession) {
    let index = file
        .ancestors()
        .skip(1)
        .take(4)
        .map(|above| above.join("state/taskHistory.json"))
        .find(|path| path.is_file());
    let tasks: Vec<Value> = index
        .and_then(|path| fs::read(path).ok())
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let task = tasks.iter().find(|task| task.get("id").and_then(Value::as_str) == Some(&session.id));
    let text = |key: &str| task?.get(key)?.as_str().map(str::to_owned);
    session.title = text("task").map(|title| sessile::import::title_of(&title)).or(session.title.take());
    session.scope = text("cwdOnTaskInitialization").or(session.scope.take());
}

/// The root of an older tree of OpenCode that a file is in: `storage/session/...` beside `message` and `part`.
fn storage_of(file: &Path) -> Option<PathBuf> {
    let root = file
        .ancestors()
        .skip(1)
        .take(4)
        .find(|above| above.join("session").is_dir() && above.join("message").is_dir())?;
    Some(root.to_owned())
}

/// The sessions of an older tree.
fn tree(storage: &Path) -> Result<Vec<(String, Import)>> {
    let jsons = |directory: &Path| -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
            .filter_map(|entry| {
                Some((
                    entry.file_name().to_string_lossy().into_owned(),
                    fs::read_to_string(entry.path()).ok()?,
                ))
            })
            .collect();
        found.sort();
        found
    };
    let id_of = |text: &str| -> Option<String> {
        serde_json::from_str::<Value>(text).ok()?.get("id")?.as_str().map(str::to_owned)
    };
    let mut imports = Vec::new();
    for project in fs::read_dir(storage.join("session")).context("no sessions")?.flatten() {
        for (name, info) in jsons(&project.path()) {
            let Some(id) = id_of(&info) else {
                imports.push((name, Format::OpenCode.read("", b"{")));
                continue;
            };
            let messages = jsons(&storage.join("message").join(&id)).into_iter().map(|(_, message)| {
                let parts =
                    id_of(&message).map(|id| jsons(&storage.join("part").join(id))).unwrap_or_default();
                (message, parts.into_iter().map(|(_, part)| part).collect())
            });
            let document = opencode::assemble(&info, messages.collect());
            imports.push((name, Format::OpenCode.read(&id, document.as_bytes())));
        }
    }
    Ok(imports)
}

/// The sessions of a database: of OpenCode or of goose.
fn database(file: &Path, wanted: Option<Format>) -> Result<Found> {
    let place = tempfile::tempdir().context("cannot make a directory for a copy")?;
    for end in BESIDE {
        let from = PathBuf::from(format!("{}{end}", file.display()));
        if from.is_file() {
            fs::copy(&from, place.path().join(format!("copy.db{end}")))?;
        }
    }
    let database =
        Connection::open_with_flags(place.path().join("copy.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (sessions, messages) = (rows(&database, "session")?, rows(&database, "message")?);
    if wanted.is_none_or(|wanted| wanted == Format::OpenCode) && !sessions.is_empty() {
        let parts = rows(&database, "part")?;
        let documents = sessions.iter().map(|session| opencode_document(session, &messages, &parts));
        let imports =
            documents.map(|(id, text)| (format!("{name}:{id}"), Format::OpenCode.read(&id, text.as_bytes())));
        return Ok(Found::Sessions(Format::OpenCode, imports.collect()));
    }
    let (sessions, messages) = (rows(&database, "sessions")?, rows(&database, "messages")?);
    if wanted.is_none_or(|wanted| wanted == Format::Goose) && !sessions.is_empty() {
        let documents = sessions.iter().map(|session| goose_document(session, &messages));
        let imports =
            documents.map(|(id, text)| (format!("{name}:{id}"), Format::Goose.read(&id, text.as_bytes())));
        return Ok(Found::Sessions(Format::Goose, imports.collect()));
    }
    Ok(Found::Other("a database without sessions of an agent that is known here".to_owned()))
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// The rows of the table whose column says `id`.
fn of<'a>(rows: &'a [Row], column: &'a str, id: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| text(row, column) == id)
}

/// A row's object, with the members that are columns in front: the text of the object is copied.
fn with_columns(row: &Row, columns: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    let has = serde_json::from_str::<Value>(text(row, "data")).unwrap_or_default();
    for (column, member) in columns {
        // Some programs repeat the columns in the object.
        if let Some(value) = row.get(*column).filter(|value| !value.is_null() && has.get(member).is_none()) {
            out.push_str(&format!("\"{member}\":{value},"));
        }
    }
    let data = text(row, "data").trim();
    out.push_str(data.strip_prefix('{').unwrap_or("}"));
    out.replace(",}", "}")
}

/// The document that an export of this session would be.
fn opencode_document(session: &Row, messages: &[Row], parts: &[Row]) -> (String, String) {
    let id = text(session, "id").to_owned();
    let mut info = serde_json::Map::new();
    let columns = [
        ("id", "id"),
        ("slug", "slug"),
        ("project_id", "projectID"),
        ("workspace_id", "workspaceID"),
        ("directory", "directory"),
        ("path", "path"),
        ("parent_id", "parentID"),
        ("title", "title"),
        ("version", "version"),
        ("agent", "agent"),
        ("cost", "cost"),
    ];
    let present = |column: &str| session.get(column).filter(|value| !value.is_null()).cloned();
    for (column, member) in columns {
        info.extend(present(column).map(|value| (member.to_owned(), value)));
    }
    for (column, member) in [("revert", "revert"), ("permission", "permission"), ("model", "model")] {
        let value = present(column).and_then(|value| serde_json::from_str::<Value>(value.as_str()?).ok());
        info.extend(value.map(|value| (member.to_owned(), value)));
    }
    let mut time = serde_json::Map::new();
    for member in ["created", "updated", "compacting", "archived"] {
        time.extend(present(&format!("time_{member}")).map(|value| (member.to_owned(), value)));
    }
    info.insert("time".to_owned(), Value::Object(time));
    let mut summary = serde_json::Map::new();
    for member in ["additions", "deletions", "files"] {
        summary.extend(present(&format!("summary_{member}")).map(|value| (member.to_owned(), value)));
    }
    let diffs =
        present("summary_diffs").and_then(|value| serde_json::from_str::<Value>(value.as_str()?).ok());
    summary.extend(diffs.map(|value| ("diffs".to_owned(), value)));
    if !summary.is_empty() {
        info.insert("summary".to_owned(), Value::Object(summary));
    }
    if let Some(url) = present("share_url") {
        info.insert("share".to_owned(), serde_json::json!({ "url": url }));
    }
    let messages = of(messages, "session_id", &id).map(|message| {
        let parts = of(parts, "message_id", text(message, "id"));
        let parts = parts.map(|part| {
            with_columns(part, &[("id", "id"), ("session_id", "sessionID"), ("message_id", "messageID")])
        });
        (with_columns(message, &[("id", "id"), ("session_id", "sessionID")]), parts.collect())
    });
    let document = opencode::assemble(&Value::Object(info).to_string(), messages.collect());
    (id, document)
}

/// The document that `goose session export` would be.
fn goose_document(session: &Row, messages: &[Row]) -> (String, String) {
    let id = text(session, "id").to_owned();
    let mut own: Vec<&Row> = of(messages, "session_id", &id).collect();
    let number = |row: &Row, column: &str| row.get(column).and_then(Value::as_i64).unwrap_or_default();
    own.sort_by_key(|row| (number(row, "created_timestamp"), number(row, "id")));
    let messages: Vec<String> = own
        .into_iter()
        .map(|row| {
            let content = text(row, "content_json");
            let content = if serde_json::from_str::<Value>(content).is_ok() { content } else { "[]" };
            let metadata = serde_json::from_str::<Value>(text(row, "metadata_json")).unwrap_or(Value::Null);
            let id = row.get("message_id").filter(|id| id.is_string());
            let id = id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
            format!(
                "{{{id}\"role\":{},\"created\":{},\"metadata\":{metadata},\"content\":{content}}}",
                row.get("role").unwrap_or(&Value::Null),
                number(row, "created_timestamp")
            )
        })
        .collect();
    let mut facts = session.clone();
    for (column, member) in
        [("model_config_json", "model_config"), ("user_recipe_values_json", "user_recipe_values")]
    {
        let value =
            facts.remove(column).and_then(|value| serde_json::from_str::<Value>(value.as_str()?).ok());
        facts.extend(value.map(|value| (member.to_owned(), value)));
    }
    let facts = Value::Object(facts).to_string();
    let document = format!(
        "{},\"conversation\":[{}]}}",
        facts.strip_suffix('}').unwrap_or_default(),
        messages.join(",")
    );
    (id, document)
}
