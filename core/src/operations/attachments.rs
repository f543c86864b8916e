//! Attachments: files that come inside of JSON as base64, kept as files.
//!
//! A file is named for its content, so it is stored once, and no text of a caller is in a path. The bytes come first and
//! durably, then the row that names them, in the same record as the item that they belong to: a row never names what is not there.
//! Content can be given back with the data in its place, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Operation, Run, all_sessions};
use crate::api::{Sessions, WriteOptions};
use crate::host::{FsErrorKind, Host};
use crate::id::base32;
use crate::json::{Json, elements, members, object, quote};
use crate::store::{Draft, Store, View, inbox, outbox, system};
use crate::{Error, Result};

/// Where rows stand in a table: the digest behind it.
const PREFIX: &str = "attachment/";
/// Where files without a row stand in the table of the store, with when that was first seen.
const UNUSED: &str = "unused-attachment/";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// A file without a row goes after this long, in ms: whoever has just stored it is about to write the row.
const GRACE_MS: u64 = 24 * 60 * 60 * 1000;
/// How often a file is stored that somebody removes at the same time.
const ATTEMPTS: u32 = 8;
/// How deep content is looked through.
const DEPTH_MAX: u32 = 64;
/// Ends of names by media type.
const EXTENSIONS: [(&str, &str); 16] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("audio/ogg", "ogg"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/wav", "wav"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("video/quicktime", "mov"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/json", "json"),
    ("text/plain", "txt"),
    ("text/csv", "csv"),
];
/// Ends of names by the class of an attachment.
const CLASSES: [(&str, &str); 7] = [
    ("image", "jpg"),
    ("photo", "jpg"),
    ("sticker", "webp"),
    ("voice", "ogg"),
    ("audio", "mp3"),
    ("video", "mp4"),
    ("animation", "mp4"),
];

/// Which log a file belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The session's messages.
    #[default]
    Message,
    /// What came in: the host's side writes.
    In,
    /// What goes out: the worker's side writes.
    Out,
}

/// Moves the files that content holds as base64 out to files, and gives the content that is left.
///
/// What is moved: the text `data` of every object in an array `attachments`, and of every part (an object in an array
/// `parts`) of type `image` or `file`, where it is base64 as RFC 4648 writes it. In its place stand `path`, relative to the store's directory, where any
/// process can read it; `attachment`, with its digest and size; and a safe `name`, where there is none or an unsafe one. `enqueue` and `emit` do this
/// themselves; for messages it is done before they are appended.
/// Guarantee: on return the files are durable and have their rows. Errors: `not-found`, `invalid` (a file of more than 20 MiB).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreAttachments {
    /// The session.
    pub session: String,
    /// Any JSON.
    pub content: Json,
    /// Whose they are.
    #[serde(default)]
    pub direction: Direction,
}

/// Content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The content.
    pub content: Json,
    /// How many files were moved, or put back.
    pub count: u64,
}

/// Puts the data of attachments back into content, byte for byte as it was before they were moved out.
///
/// Errors: `damaged` (a file is gone, or is not what was stored; which one).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreAttachments {
    /// What [`StoreAttachments`], `enqueue` or `emit` made of it.
    pub content: Json,
}

/// Lists the attachments of a session. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAttachments {
    /// The session.
    pub session: String,
    /// Only those of that direction.
    #[serde(default)]
    pub direction: Option<Direction>,
}

/// Attachments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachments {
    /// In the order of directions and digests.
    pub attachments: Vec<Attachment>,
}

/// A file that came with content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// What its file is named for.
    pub digest: String,
    /// Its name: one that is safe in a directory of any system.
    pub name: String,
    /// Its path, relative to the store's directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type, as its content says.
    pub media_type: Option<String>,
    /// Whose it is.
    #[serde(default)]
    pub direction: Direction,
}

/// Gives a file as base64. Errors: `not-found` (the session has no such attachment), `damaged`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadAttachment {
    /// The session.
    pub session: String,
    /// Its digest.
    pub digest: String,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileData {
    /// In base64.
    pub data: String,
}

/// Gives up a session's attachments of one direction, and says which: their rows go now, and the files a day later, unless somebody else
/// has them too. Errors: `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearAttachments {
    /// The session.
    pub session: String,
    /// Whose.
    pub direction: Direction,
}

/// Removes the files that no session has for at least a day, and notes those that nobody has now. It looks at every
/// session's rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectAttachments {}

/// What was collected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// How many files were removed.
    pub count: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many more nobody has.
    pub waiting: u64,
}

/// The log that the rows of a direction stand in.
fn log_of(session: &str, direction: Direction) -> String {
    match direction {
        Direction::Message => session.to_owned(),
        Direction::In => inbox(session),
        Direction::Out => outbox(session),
    }
}

/// Files on their way out of content.
#[derive(Default)]
pub(super) struct Extracted {
    rows: BTreeMap<String, Attachment>,
}

impl Extracted {
    /// Moves the files of content out. What stands in a path is made of digests and extensions of ours alone.
    pub(super) fn take<H: Host>(&mut self, store: &mut Store<H>, content: &Json) -> Result<Json> {
        let moved = self.value(store, content.as_str(), false, 0)?;
        Ok(moved.map_or_else(|| content.clone(), Json::minified))
    }

    /// Names the files in the log that the content goes to.
    pub(super) fn put(&self, draft: &mut Draft, view: &View<'_>, direction: Direction) -> Result<()> {
        for (digest, row) in &self.rows {
            let key = format!("{PREFIX}{digest}");
            if view.table.doc(&key).is_none() {
                draft.put(key, &Attachment { direction, ..row.clone() })?;
            }
        }
        Ok(())
    }

    /// The value without its files; `None` where it has none.
    fn value<H: Host>(
        &mut self,
        store: &mut Store<H>,
        json: &str,
        holds_files: bool,
        depth: u32,
    ) -> Result<Option<String>> {
        if depth > DEPTH_MAX {
            return Ok(None);
        }
        if json.starts_with('[') {
            let mut changed = false;
            let mut new = Vec::new();
            for element in elements(json).unwrap_or_default() {
                let moved = self.value(store, element, holds_files, depth + 1)?;
                changed |= moved.is_some();
                new.push(moved.unwrap_or_else(|| element.to_owned()));
            }
            return Ok(changed.then(|| format!("[{}]", new.join(","))));
        }
        let Some(all) = members(json) else { return Ok(None) };
        if holds_files && let Some(moved) = self.file(store, &all)? {
            return Ok(Some(moved));
        }
        let mut changed = false;
        let mut new = Vec::new();
        for (name, value) in &all {
            let holds_files = name == "attachments" || name == "parts";
            let moved = self.value(store, value, holds_files, depth + 1)?;
            changed |= moved.is_some();
            new.push((name.as_ref(), moved.unwrap_or_else(|| (*value).to_owned())));
        }
        Ok(changed.then(|| object(new.iter().map(|(name, value)| (*name, value.as_str())))))
    }

    /// An element of an array that holds files, with the file moved out; `None` where it has none.
    fn file<H: Host>(
        &mut self,
        store: &mut Store<H>,
        all: &[(std::borrow::Cow<'_, str>, &str)],
    ) -> Result<Option<String>> {
        let text = |wanted: &str| {
            let value = all.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)?;
            serde_json::from_str::<String>(value).ok()
        };
        // What has been moved before, or stands for something of the caller's own.
        if all.iter().any(|(name, _)| name == "attachment") {
            return Ok(None);
        }
        let Some(data) = text("data") else { return Ok(None) };
        let Ok(bytes) = BASE64.decode(&data) else { return Ok(None) };
        // Other spellings of the same bytes would not come back as they were.
        if bytes.is_empty() || BASE64.encode(&bytes) != data {
            return Ok(None);
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "an attachment has {} bytes; give at most {FILE_BYTES_MAX}",
                bytes.len()
            )));
        }
        let media_type = text("media_type").or_else(|| text("mimeType")).or_else(|| text("mime_type"));
        let extension = extension(media_type.as_deref(), text("type").as_deref());
        let given = text("name");
        let digest = digest(&bytes);
        let path = path_of(&digest, extension);
        let name = match given.as_deref().filter(|name| is_safe(name)) {
            Some(name) => name.to_owned(),
            None => match extension {
                "" => format!("attachment-{}", digest.get(..8).unwrap_or_default()),
                extension => format!("attachment-{}.{extension}", digest.get(..8).unwrap_or_default()),
            },
        };
        keep(store, &path, &bytes)?;
        let size = bytes.len() as u64;
        // An unsafe name is not lost: it comes back with the data.
        let replaced = given.as_ref().filter(|given| **given != name);
        let mark = mark(&digest, &path, size, replaced.map(String::as_str), given.is_some());
        let (quoted_name, quoted_path) = (quote(&name), quote(&path));
        let mut new: Vec<(&str, &str)> = Vec::new();
        for (member, value) in all {
            match member.as_ref() {
                "data" => {
                    new.push(("attachment", &mark));
                    new.push(("path", &quoted_path));
                    if given.is_none() {
                        new.push(("name", &quoted_name));
                    }
                }
                "name" if given.is_some() => new.push(("name", &quoted_name)),
                // Ours says where the data is now.
                "path" | "attachment" => return Ok(None),
                _ => new.push((member.as_ref(), value)),
            }
        }
        let row = Attachment {
            digest: digest.clone(),
            name,
            path,
            size,
            media_type,
            direction: Direction::Message,
        };
        self.rows.entry(digest).or_insert(row);
        Ok(Some(object(new)))
    }
}

/// What stands in the place of data.
#[derive(Serialize, Deserialize)]
struct Mark {
    digest: String,
    path: String,
    size: u64,
    /// The name that was given, where it was not safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    /// Whether a name was given.
    named: bool,
}

fn mark(digest: &str, path: &str, size: u64, given_name: Option<&str>, named: bool) -> String {
    let mark = Mark {
        digest: digest.to_owned(),
        path: path.to_owned(),
        size,
        given_name: given_name.map(str::to_owned),
        named,
    };
    serde_json::to_string(&mark).unwrap_or_default()
}

/// 200 bits of a SHA-256: 40 characters.
fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let bits = |range: std::ops::Range<usize>| {
        hash.iter()
            .skip(range.start)
            .take(range.len())
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte))
    };
    let tail = |bits: u128| base32(bits).chars().skip(6).collect::<String>();
    tail(bits(0..12)) + &tail(bits(12..24))
}

/// The path of a file: ours, whatever came from outside.
fn path_of(digest: &str, extension: &str) -> String {
    let directory = digest.chars().next_back().unwrap_or('0');
    match extension {
        "" => format!("attachments/{directory}/{digest}"),
        extension => format!("attachments/{directory}/{digest}.{extension}"),
    }
}

fn extension(media_type: Option<&str>, class: Option<&str>) -> &'static str {
    let plain = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let media_type = media_type.map(plain).unwrap_or_default();
    let class = class.map(plain).unwrap_or_default();
    let by_type = EXTENSIONS.iter().find(|(name, _)| *name == media_type);
    let by_class = || CLASSES.iter().find(|(name, _)| *name == class);
    by_type.or_else(by_class).map_or("", |(_, extension)| extension)
}

/// Whether a name is one name in a directory of any system.
fn is_safe(name: &str) -> bool {
    const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];
    let stem = name.split('.').next().unwrap_or_default().trim().to_ascii_lowercase();
    let numbered = |stem: &str| {
        stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt")).is_some_and(|number| {
            // Windows takes superscript digits for digits.
            number.chars().count() == 1 && number.chars().all(|digit| "0123456789¹²³".contains(digit))
        })
    };
    let reserved = DEVICES.contains(&stem.as_str()) || numbered(&stem);
    let forbidden = |letter: char| letter.is_control() || "/\\:*?\"<>|".contains(letter);
    (1..=200).contains(&name.len())
        && !reserved
        && !name.starts_with(['.', '-', ' '])
        && !name.ends_with(['.', ' '])
        && !name.contains(forbidden)
}

/// Makes sure that a file is there, durably.
fn keep<H: Host>(store: &mut Store<H>, path: &str, bytes: &[u8]) -> Result<()> {
    store.writable()?;
    let unused = format!("{UNUSED}{path}");
    for _ in 0..ATTEMPTS {
        match store.host_mut().create_bytes(path, bytes) {
            Err(error) if error.kind == FsErrorKind::Exists => {}
            created => return Ok(created?),
        }
        // Somebody has it, or has given it up.
        store.change(&system("store", ""), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            if view.table.doc(&unused).is_some() {
                draft.remove(&unused);
            }
            Ok((draft, ()))
        })?;
        // Whoever made it may not have waited for the disk.
        match store.host_mut().sync(path) {
            // It was removed just now.
            Err(error) if error.kind == FsErrorKind::NotFound => {}
            synced => return Ok(synced?),
        }
    }
    Err(Error::conflict(format!("attachment {path} is removed again and again; retry later")))
}

/// Reads a file whole and checks that it is what its name says.
fn load<H: Host>(store: &mut Store<H>, path: &str, wanted: &str, size: u64) -> Result<Vec<u8>> {
    let damaged = || Error::damaged(format!("attachment {path} is gone, or is not what was stored"));
    let limit = u32::try_from(size.min(FILE_BYTES_MAX)).unwrap_or(u32::MAX);
    let stem = path.rsplit('/').next().and_then(|file| file.split('.').next());
    if stem != Some(wanted) || !path.starts_with("attachments/") || path.contains("..") {
        return Err(damaged());
    }
    let bytes = match store.host_mut().read_bytes(path, 0, limit) {
        Err(error) if matches!(error.kind, FsErrorKind::NotFound | FsErrorKind::Refused) => {
            return Err(damaged());
        }
        bytes => bytes?,
    };
    if digest(&bytes) == wanted { Ok(bytes) } else { Err(damaged()) }
}

impl Operation for StoreAttachments {
    const NAME: &'static str = "store_attachments";
    type Answer = Content;
}

impl Run for StoreAttachments {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Content> {
        store.get(&self.session)?;
        let mut extracted = Extracted::default();
        let content = extracted.take(store, &self.content)?;
        store.change(&log_of(&self.session, self.direction), &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            extracted.put(&mut draft, view, self.direction)?;
            Ok((draft, ()))
        })?;
        Ok(Content { content, count: extracted.rows.len() as u64 })
    }
}

impl Operation for RestoreAttachments {
    const NAME: &'static str = "restore_attachments";
    type Answer = Content;
}

impl Run for RestoreAttachments {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Content> {
        let mut count = 0;
        let restored = restore(store, self.content.as_str(), 0, &mut count)?;
        Ok(Content { content: restored.map_or(self.content, Json::minified), count })
    }
}

/// The value with its data; `None` where it has no attachment.
fn restore<H: Host>(store: &mut Store<H>, json: &str, depth: u32, count: &mut u64) -> Result<Option<String>> {
    if depth > DEPTH_MAX {
        return Ok(None);
    }
    if json.starts_with('[') {
        let mut changed = false;
        let mut new = Vec::new();
        for element in elements(json).unwrap_or_default() {
            let restored = restore(store, element, depth + 1, count)?;
            changed |= restored.is_some();
            new.push(restored.unwrap_or_else(|| element.to_owned()));
        }
        return Ok(changed.then(|| format!("[{}]", new.join(","))));
    }
    let Some(all) = members(json) else { return Ok(None) };
    let mark = all.iter().find(|(name, _)| name == "attachment").map(|(_, value)| *value);
    let Some(mark) = mark.and_then(|mark| serde_json::from_str::<Mark>(mark).ok()) else {
        let mut changed = false;
        let mut new = Vec::new();
        for (name, value) in &all {
            let restored = restore(store, value, depth + 1, count)?;
            changed |= restored.is_some();
            new.push((name.as_ref(), restored.unwrap_or_else(|| (*value).to_owned())));
        }
        return Ok(changed.then(|| object(new.iter().map(|(name, value)| (*name, value.as_str())))));
    };
    let data = quote(&BASE64.encode(load(store, &mark.path, &mark.digest, mark.size)?));
    let given = mark.given_name.as_deref().map(quote);
    let mut new: Vec<(&str, &str)> = Vec::new();
    for (member, value) in &all {
        match member.as_ref() {
            "attachment" => new.push(("data", &data)),
            "path" => {}
            "name" if !mark.named => {}
            "name" => new.push(("name", given.as_deref().unwrap_or(value))),
            member => new.push((member, value)),
        }
    }
    *count += 1;
    Ok(Some(object(new)))
}

impl Operation for ListAttachments {
    const NAME: &'static str = "list_attachments";
    type Answer = Attachments;
}

impl Run for ListAttachments {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Attachments> {
        store.get(&self.session)?;
        let mut attachments = Vec::new();
        for direction in [Direction::Message, Direction::In, Direction::Out] {
            if self.direction.is_none_or(|wanted| wanted == direction) {
                attachments.extend(rows(store, &log_of(&self.session, direction))?);
            }
        }
        Ok(Attachments { attachments })
    }
}

fn rows<H: Host>(store: &mut Store<H>, log: &str) -> Result<Vec<Attachment>> {
    store.view(log, |view| Ok(view.all(PREFIX).into_iter().map(|(_, row)| row).collect()))
}

impl Operation for ReadAttachment {
    const NAME: &'static str = "read_attachment";
    type Answer = FileData;
}

impl Run for ReadAttachment {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<FileData> {
        let all = ListAttachments { session: self.session.clone(), direction: None }.run(store)?.attachments;
        let row = all.into_iter().find(|row| row.digest == self.digest);
        let row =
            row.ok_or_else(|| Error::not_found(format!("session {} has no such attachment", self.session)))?;
        let bytes = load(store, &row.path, &row.digest, row.size)?;
        Ok(FileData { data: BASE64.encode(bytes) })
    }
}

impl Operation for ClearAttachments {
    const NAME: &'static str = "clear_attachments";
    type Answer = Attachments;
}

impl Run for ClearAttachments {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Attachments> {
        store.get(&self.session)?;
        let log = log_of(&self.session, self.direction);
        let cleared = store.change(&log, &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let attachments: Vec<Attachment> = view.all(PREFIX).into_iter().map(|(_, row)| row).collect();
            for row in &attachments {
                draft.remove(format!("{PREFIX}{}", row.digest));
            }
            Ok((draft, Attachments { attachments }))
        })?;
        Ok(cleared.unwrap_or_default())
    }
}

impl Operation for CollectAttachments {
    const NAME: &'static str = "collect_attachments";
    type Answer = Collected;
}

impl Run for CollectAttachments {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Collected> {
        let mut files = BTreeMap::new();
        for directory in crate::id::session_directories() {
            let directory = directory.replacen("sessions", "attachments", 1);
            let mut after = String::new();
            loop {
                let page = store.host_mut().list(&directory, &after, 1000)?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.name);
                files.extend(page.into_iter().map(|file| (format!("{directory}/{}", file.name), file.size)));
            }
        }
        if files.is_empty() {
            return Ok(Collected::default());
        }
        let used = self.used(store)?;
        let now = store.host_mut().now_ms();
        let unused: BTreeSet<&String> = files.keys().filter(|path| !used.contains(*path)).collect();
        let log = system("store", "");
        let gone = store.change(&log, &WriteOptions::default(), &mut |view| {
            let mut draft = Draft::default();
            let known: BTreeMap<String, u64> = view.all(UNUSED).into_iter().collect();
            for path in known.keys().filter(|path| !unused.contains(path)) {
                draft.remove(format!("{UNUSED}{path}"));
            }
            for path in unused.iter().filter(|path| !known.contains_key(**path)) {
                draft.put(format!("{UNUSED}{path}"), &now)?;
            }
            let old =
                |path: &&&String| known.get(**path).is_some_and(|at| now.saturating_sub(*at) > GRACE_MS);
            Ok((draft, unused.iter().filter(old).map(|path| (*path).clone()).collect::<Vec<_>>()))
        })?;
        let mut collected = Collected::default();
        for path in gone.unwrap_or_default() {
            match store.host_mut().remove(&path) {
                Err(error) if error.kind != FsErrorKind::NotFound => return Err(error.into()),
                _ => {
                    collected.count += 1;
                    collected.bytes += files.get(&path).copied().unwrap_or(0);
                }
            }
        }
        collected.waiting = unused.len() as u64 - collected.count;
        Ok(collected)
    }
}

impl CollectAttachments {
    /// The files that some session has.
    fn used<H: Host>(&self, store: &mut Store<H>) -> Result<BTreeSet<String>> {
        let mut used = BTreeSet::new();
        for trashed in [false, true] {
            for session in all_sessions(store, None, trashed)? {
                for direction in [Direction::Message, Direction::In, Direction::Out] {
                    match rows(store, &log_of(&session.id, direction)) {
                        Err(error) if error.kind == crate::ErrorKind::NotFound => {}
                        rows => used.extend(rows?.into_iter().map(|row| row.path)),
                    }
                }
            }
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_replaced() {
        for name in [
            "", ".", "..", "a/b", "a\\b", "a\0b", "../x", "CON", "nul.txt", "com1", "x.", " x", "-rf",
            ".bashrc", "a:b",
        ] {
            assert!(!is_safe(name), "{name:?}");
        }
        for name in ["photo.jpg", "übersicht.pdf", "a b.txt", "com10", "x..y"] {
            assert!(is_safe(name), "{name:?}");
        }
    }

    #[test]
    fn the_media_type_says_more_than_the_class() {
        assert_eq!(extension(Some("IMAGE/PNG; charset=x"), Some("photo")), "png");
        assert_eq!(extension(None, Some("voice")), "ogg");
        assert_eq!(extension(Some("application/x-unknown"), None), "");
    }

    #[test]
    fn a_path_is_ours_and_short_enough() {
        let path = path_of(&digest(b"x"), "webp");
        assert!(path.len() <= 64 && path.split('/').count() == 3, "{path}");
        assert!(path.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.')));
    }
}
