//! Session files of Claude Code.
//!
//! A file is JSON lines. `user`, `assistant`, `system` and `attachment` lines become messages, one each;
//! every other line becomes an extra. Side chains in the file become sessions of their own, and so do the
//! files of sub-agents. A message carries its line in `source.raw`, so [`regenerate`] gives the line back.
//! What the parts hold is not stored twice: its place in `raw` is `null` then, and `source.content` says what
//! stood there. A part has the members of its block in the block's order under Sessile's names, so the way
//! back is to rename; where that would not give the very same text (an unusual block), `raw` keeps the
//! content too. A line that is no strict JSON stands in `source.text` instead of `raw`, as a string.
//! Deliberately not done: following branches, and choosing what a compaction has hidden. Messages stand in
//! the order of the file, and their parents stand in `raw` alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Import, ImportedExtra, ImportedMessage, ImportedSession, ImportedUsage, Lines, Members, Place, Record,
    cut, decode_string, fingerprint, is_id, is_string, parents_first, parse_utc_ms, read_records, write_key,
};
use crate::json::{elements, quote};
use crate::limits::{NAME_BYTES_MAX, SCOPE_BYTES_MAX, TAG_BYTES_MAX, TITLE_BYTES_MAX};

/// The agent's name, and the `source.format` of its messages.
const FORMAT: &str = "claude-code";

/// The provider of its models.
const PROVIDER: &str = "anthropic";

/// The member that every entry has and nothing nested in one.
const MARK: &str = "sessionId";

/// How much of the first prompt serves as a title, in characters.
const PROMPT_TITLE_CHARS_MAX: usize = 50;

/// Reads one session file, `<uuid>.jsonl`. `file_stem` names the session where no entry does.
///
/// The session comes first and its side chains follow. A file of side chains alone (older versions wrote
/// those beside the session files) gives only these; their parent is then in another file.
pub fn session(file_stem: &str, bytes: &[u8]) -> Import {
    session_of_lines(file_stem, &mut &*bytes)
}

/// As [`session`], of a file that is read line by line.
pub fn session_of_lines(file_stem: &str, lines: &mut dyn Lines) -> Import {
    let mut reading = Reading::of(lines);
    let id = reading.session_id().unwrap_or_else(|| file_stem.to_owned());
    reading.note_other_session(&id);
    let parents = reading.parents();
    let order = parents_first(&parents);
    let chains = SideChains::of(&reading.entries, &parents, &order);
    let Reading { mut import, entries, extra, facts, .. } = reading;

    let mut main = ImportedSession { agent: Some(FORMAT.to_owned()), ..ImportedSession::default() };
    let mut children: Vec<ImportedSession> = chains.names.iter().map(|name| child(&id, name)).collect();
    facts.describe(&mut main, &entries);
    main.id = id;
    for (entry, chain) in in_order(entries, &order, &chains.of_entry) {
        match chain {
            None => take_entry(&mut main, entry),
            Some(chain) => {
                if let Some(child) = children.get_mut(chain) {
                    take_entry(child, entry);
                }
            }
        }
    }
    children.retain(|child| !child.messages.is_empty());
    for child in &mut children {
        child.scope = child.scope.take().or_else(|| main.scope.clone());
    }
    match children.first_mut() {
        Some(first) if main.messages.is_empty() => first.extra = extra,
        _ => {
            main.extra = extra;
            if !(main.messages.is_empty() && main.extra.is_empty()) {
                import.sessions.push(main);
            }
        }
    }
    import.sessions.extend(children);
    import.sort_problems();
    import
}

/// Reads the file of one sub-agent, `<parent>/subagents/agent-<agent_id>.jsonl`, and its `.meta.json` where
/// there is one. It gives one session at most, whatever its entries say of themselves.
pub fn sub_agent(parent: &str, agent_id: &str, meta: Option<&[u8]>, bytes: &[u8]) -> Import {
    sub_agent_of_lines(parent, agent_id, meta, &mut &*bytes)
}

/// As [`sub_agent`], of a file that is read line by line.
pub fn sub_agent_of_lines(
    parent: &str,
    agent_id: &str,
    meta: Option<&[u8]>,
    lines: &mut dyn Lines,
) -> Import {
    let mut reading = Reading::of(lines);
    let order = parents_first(&reading.parents());
    let Reading { mut import, entries, extra, .. } = reading;

    let meta = meta.and_then(|meta| str::from_utf8(meta).ok()).and_then(Members::parse).unwrap_or_default();
    let mut session = child(parent, &format!("agent-{agent_id}"));
    session.title = title_of(&meta, "description");
    session.agent = text_of(&meta, "agentType").and_then(|name| name_of(&name)).or(session.agent);
    for (entry, _) in in_order(entries, &order, &[]) {
        take_entry(&mut session, entry);
    }
    session.extra = extra;
    if !(session.messages.is_empty() && session.extra.is_empty()) {
        import.sessions.push(session);
    }
    import.sort_problems();
    import
}

/// Returns the JSON value of the line that a message was made from. `None` where the message was not made
/// here.
///
/// Guarantee: for a message of [`session`] and [`sub_agent`] it is the line's own text, but for whitespace
/// between tokens.
pub fn regenerate(message_json: &str) -> Option<String> {
    let message = Members::parse(message_json)?;
    let source = Members::parse(message.get("source")?)?;
    if source.string("format")? != FORMAT {
        return None;
    }
    if let Some(text) = source.string("text") {
        return Some(text.into_owned());
    }
    let raw = source.get("raw")?;
    let Some(held) = source.get("content") else { return Some(raw.to_owned()) };
    let held = Held::ALL.into_iter().find(|candidate| candidate.name() == held)?;
    let parts = elements(message.get("parts")?)?;
    let parts: Vec<Members<'_>> = parts.into_iter().map(Members::parse).collect::<Option<_>>()?;
    let mut line = String::with_capacity(message_json.len());
    write_replaced(&mut line, &Members::parse(raw)?, held.place(), &held.content(&parts)?);
    Some(line)
}

/// Whether a file that begins with `bytes_head` is a session of Claude Code. The head may end anywhere in a
/// line.
pub fn looks_like(bytes_head: &[u8]) -> bool {
    let mut has_metadata = false;
    for line in bytes_head.split(|byte| *byte == b'\n') {
        let text = line.utf8_chunks().next().map_or("", |chunk| chunk.valid()).trim();
        match Members::parse(text).map(|line| Likeness::of(&line)) {
            Some(Likeness::Entry) => return true,
            Some(Likeness::Foreign) => return false,
            Some(Likeness::Metadata) => has_metadata = true,
            // A line that is longer than the head. Entries of all present versions begin like this.
            None if text.starts_with("{\"parentUuid\":") && text.contains("\"isSidechain\":") => return true,
            Some(Likeness::Unknown) | None => {}
        }
    }
    has_metadata
}

/// What one line says about the format of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// An entry of Claude Code.
    Entry,
    /// A line of Claude Code, though not a message: many such lines begin a file.
    Metadata,
    /// An entry of Qwen Code, which has the same envelope and other contents.
    Foreign,
    Unknown,
}

impl Likeness {
    fn of(line: &Members<'_>) -> Self {
        let has = |key| line.get(key).is_some();
        let Some(kind) = line.string("type") else { return Self::Unknown };
        match kind.as_ref() {
            "user" | "assistant" | "system" | "attachment" | "progress" => {
                let message = line.get("message").and_then(Members::parse).unwrap_or_default();
                if message.get("parts").is_some() || has("systemPayload") {
                    Self::Foreign
                } else if line.has_string("uuid")
                    && has(MARK)
                    && (has("isSidechain") || message.get("role").is_some())
                {
                    Self::Entry
                } else {
                    Self::Unknown
                }
            }
            "summary" if has("leafUuid") => Self::Metadata,
            "file-history-snapshot" if has("snapshot") => Self::Metadata,
            "queue-operation" if has("operation") && has(MARK) => Self::Metadata,
            "custom-title" | "ai-title" | "tag" | "last-prompt" | "mode" | "permission-mode"
            | "agent-name" | "bridge-session" | "pr-link"
                if has(MARK) =>
            {
                Self::Metadata
            }
            _ => Self::Unknown,
        }
    }
}

/// A line with a place in the chain of entries: a message, or a `progress` line that links messages.
#[derive(Default)]
struct Entry {
    place: Place,
    uuid: Option<String>,
    parent: Option<String>,
    session_id: Option<String>,
    agent_id: Option<String>,
    is_side_chain: bool,
    cwd: Option<String>,
    model: Option<String>,
    prompt_title: Option<String>,
    message: Option<ImportedMessage>,
    usage: Option<ImportedUsage>,
}

/// What is known of a file when all of its lines are read.
#[derive(Default)]
struct Reading {
    import: Import,
    entries: Vec<Entry>,
    extra: Vec<ImportedExtra>,
    facts: Facts,
    keys: BTreeMap<String, Key>,
}

/// The messages under one key.
struct Key {
    /// The entry that has the key itself.
    first: usize,
    /// The entries with other contents under the same uuid by fingerprint; empty until the uuid occurs again.
    variants: BTreeMap<u64, usize>,
    /// The number of the last variant.
    number: u64,
}

impl Reading {
    fn of(lines: &mut dyn Lines) -> Self {
        let mut reading = Self::default();
        let mut import = Import::default();
        read_records(lines, MARK, &mut import, |import, record| reading.take_record(import, &record));
        reading.import = import;
        reading
    }

    fn take_record(&mut self, import: &mut Import, record: &Record) {
        let Some(line) = Members::of_checked(&record.text) else {
            import.note(record.place, "a value that is not an object; kept as an extra");
            self.take_extra(record);
            return;
        };
        let kind = line.string("type").unwrap_or_default();
        let has_uuid = text_of(&line, "uuid").is_some();
        let message = line.get("message").and_then(Members::of_checked);
        let body = match kind.as_ref() {
            "user" | "assistant" if has_uuid || line.get("message").is_some() => {
                Some(Body::of_message(&line, message.as_ref(), &kind))
            }
            "system" if has_uuid => Some(Body::of_system(&line)),
            "attachment" if has_uuid => Some(Body::of_attachment(&line)),
            _ => None,
        };
        if let Some(body) = body {
            let usage = message.and_then(|message| usage_of(&line, &message));
            self.take_message(import, record, &line, &body, usage);
            return;
        }
        self.take_extra(record);
        if kind == "progress" && has_uuid {
            self.entries.push(Entry::of(&line, record.place));
        } else {
            self.facts.learn(&kind, &line);
        }
    }

    fn take_extra(&mut self, record: &Record) {
        self.extra.push(ImportedExtra { line: record.place.line, json: record.source().to_owned() });
    }

    fn take_message(
        &mut self,
        import: &mut Import,
        record: &Record,
        line: &Members<'_>,
        body: &Body<'_>,
        usage: Option<ImportedUsage>,
    ) {
        let uuid = id_of(line, "uuid");
        let has_id = uuid.is_some();
        let fallback = || format!("line-{}-{:016x}", record.place.line, fingerprint(record.source()));
        let Some(key) = self.key_for(uuid.unwrap_or_else(fallback), record.source()) else { return };
        if key.is_repeated {
            import.note(record.place, "the uuid of an earlier entry with other contents; both are taken");
        }
        let id = has_id.then(|| quote(&key.name));
        let mut entry = Entry::of(line, record.place);
        entry.model = body.model.and_then(decode_string).and_then(|name| name_of(&name));
        entry.prompt_title = body.prompt_title();
        let created_ms = line.string("timestamp").and_then(|text| parse_utc_ms(&text));
        let json = body.write_message(line, record, id.as_deref());
        entry.usage =
            usage.map(|usage| ImportedUsage { model: entry.model.clone(), at_ms: created_ms, ..usage });
        entry.message = Some(ImportedMessage { key: key.name, created_ms, json, version: None });
        self.entries.push(entry);
    }

    /// Gives the next entry, made from the line `text`, its key; `None` where the same line was taken before.
    fn key_for(&mut self, wanted: String, text: &str) -> Option<FreeKey> {
        let next = self.entries.len();
        let Some(key) = self.keys.get_mut(&wanted) else {
            self.keys.insert(wanted.clone(), Key::new(next));
            return Some(FreeKey { name: wanted, is_repeated: false });
        };
        let line_of = |index: usize| regenerate(&self.entries.get(index)?.message.as_ref()?.json);
        if key.variants.is_empty() {
            let first = line_of(key.first).map_or(0, |line| fingerprint(&line));
            key.variants.insert(first, key.first);
        }
        let print = fingerprint(text);
        if key.variants.get(&print).is_some_and(|index| line_of(*index).is_some_and(|line| line == text)) {
            return None;
        }
        key.variants.insert(print, next);
        let mut number = key.number;
        let name = loop {
            number += 1;
            let name = format!("{wanted}#{number}");
            if !self.keys.contains_key(&name) {
                break name;
            }
        };
        if let Some(key) = self.keys.get_mut(&wanted) {
            key.number = number;
        }
        self.keys.insert(name.clone(), Key::new(next));
        Some(FreeKey { name, is_repeated: true })
    }

    /// The session id of most entries, of the first one among equals.
    fn session_id(&self) -> Option<String> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let named = || self.entries.iter().filter_map(|entry| entry.session_id.as_deref());
        named().for_each(|id| *counts.entry(id).or_default() += 1);
        let most = counts.values().copied().max()?;
        named().find(|id| counts.get(id) == Some(&most)).map(str::to_owned)
    }

    fn note_other_session(&mut self, id: &str) {
        let is_other = |entry: &&Entry| entry.session_id.as_deref().is_some_and(|other| other != id);
        if let Some(entry) = self.entries.iter().find(is_other) {
            let what = "entries of another session id from here; they are taken into this session";
            self.import.note(entry.place, what);
        }
    }

    /// For each entry the index of its parent. A parent that is not in the file is noted.
    fn parents(&mut self) -> Vec<Option<usize>> {
        let mut by_uuid: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(uuid) = &entry.uuid {
                by_uuid.entry(uuid).or_insert(index);
            }
        }
        let mut parents = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let parent = entry.parent.as_deref();
            let found = parent.and_then(|parent| by_uuid.get(parent).copied());
            if parent.is_some() && found.is_none() {
                self.import.note(entry.place, "the entry's parent is not in this file");
            }
            parents.push(found);
        }
        parents
    }
}

/// A key that no message has yet.
struct FreeKey {
    name: String,
    is_repeated: bool,
}

impl Key {
    fn new(first: usize) -> Self {
        Self { first, variants: BTreeMap::new(), number: 1 }
    }
}

impl Entry {
    /// The facts that messages and links share.
    fn of(line: &Members<'_>, place: Place) -> Self {
        Self {
            place,
            uuid: id_of(line, "uuid"),
            parent: id_of(line, "parentUuid"),
            session_id: id_of(line, "sessionId"),
            agent_id: id_of(line, "agentId"),
            is_side_chain: line.is_true("isSidechain"),
            cwd: text_of(line, "cwd").filter(|path| path.len() <= SCOPE_BYTES_MAX && !path.contains('\0')),
            ..Self::default()
        }
    }
}

/// What the lines that are not messages say about the session. Of each kind the last line counts.
#[derive(Default)]
struct Facts {
    custom_title: Option<String>,
    ai_title: Option<String>,
    /// With the entry that each summary ends at.
    summaries: Vec<(Option<String>, String)>,
    tag: Option<String>,
}

impl Facts {
    fn learn(&mut self, kind: &str, line: &Members<'_>) {
        match kind {
            "custom-title" => self.custom_title = title_of(line, "customTitle"),
            "ai-title" => self.ai_title = title_of(line, "aiTitle"),
            "tag" => self.tag = text_of(line, "tag").filter(|tag| tag.len() <= TAG_BYTES_MAX),
            "summary" => {
                if let Some(summary) = title_of(line, "summary") {
                    self.summaries.push((id_of(line, "leafUuid"), summary));
                }
            }
            _ => {}
        }
    }

    /// Older versions wrote summaries into files of other sessions too, so one of an entry of this file is
    /// preferred.
    fn describe(self, session: &mut ImportedSession, entries: &[Entry]) {
        let uuids: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.uuid.as_deref()).collect();
        let own =
            self.summaries.iter().rfind(|(leaf, _)| leaf.as_deref().is_some_and(|leaf| uuids.contains(leaf)));
        let summary = own.or(self.summaries.last()).map(|(_, summary)| summary.clone());
        session.title_manual = self.custom_title.is_some();
        session.title = self.custom_title.or(self.ai_title).or(summary);
        session.tags = self.tag.into_iter().collect();
    }
}

/// The side chains of a file: which there are, and which one an entry belongs to.
struct SideChains {
    names: Vec<String>,
    of_entry: Vec<Option<usize>>,
}

impl SideChains {
    /// Groups side-chain entries by their agent, or, in older versions that name none, by the first entry of
    /// the chain.
    ///
    /// In `order` a parent stands before its children, so its group is known when theirs is asked for.
    fn of(entries: &[Entry], parents: &[Option<usize>], order: &[usize]) -> Self {
        let mut chains = Self { names: Vec::new(), of_entry: vec![None; entries.len()] };
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        for &index in order {
            let Some(entry) = entries.get(index).filter(|entry| entry.is_side_chain) else { continue };
            let inherited = || {
                let parent = parents.get(index).copied().flatten()?;
                chains.of_entry.get(parent).copied().flatten()
            };
            let chain = match (&entry.agent_id, inherited()) {
                (None, Some(chain)) => chain,
                (agent_id, _) => {
                    let name = agent_id.as_ref().map_or_else(|| root_name(entry), |id| format!("agent-{id}"));
                    *by_name.entry(name).or_insert_with_key(|name| {
                        chains.names.push(name.clone());
                        chains.names.len() - 1
                    })
                }
            };
            if let Some(slot) = chains.of_entry.get_mut(index) {
                *slot = Some(chain);
            }
        }
        chains
    }
}

/// The name of a side chain that begins with `entry`.
fn root_name(entry: &Entry) -> String {
    let key = entry.message.as_ref().map(|message| message.key.as_str());
    format!("sidechain-{}", entry.uuid.as_deref().or(key).unwrap_or_default())
}

/// The entries in `order`, each with its side chain.
fn in_order(
    entries: Vec<Entry>,
    order: &[usize],
    chains: &[Option<usize>],
) -> impl Iterator<Item = (Entry, Option<usize>)> {
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    order.iter().filter_map(move |index| {
        let entry = entries.get_mut(*index)?.take()?;
        Some((entry, chains.get(*index).copied().flatten()))
    })
}

fn child(parent: &str, name: &str) -> ImportedSession {
    ImportedSession {
        id: format!("{parent}/{name}"),
        parent: Some(parent.to_owned()),
        agent: Some(FORMAT.to_owned()),
        ..ImportedSession::default()
    }
}

/// What the answer that a line belongs to has used: every line of an answer says it. The lines that a fork has copied
/// tell of another session's answers.
fn usage_of(line: &Members<'_>, message: &Members<'_>) -> Option<ImportedUsage> {
    let (key, usage) = (id_of(message, "id")?, Members::of_checked(message.get("usage")?)?);
    if line.get("forkedFrom").is_some_and(|from| from != "null") {
        return None;
    }
    let count = |name| usage.get(name).and_then(|count| count.parse().ok());
    Some(ImportedUsage {
        key,
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
        ..ImportedUsage::default()
    })
}

/// Adds an entry to its session, and what it tells about it.
fn take_entry(session: &mut ImportedSession, entry: Entry) {
    session.scope = session.scope.take().or(entry.cwd);
    if let Some(usage) = entry.usage {
        session.use_up(usage);
    }
    let Some(message) = entry.message else { return };
    session.title = session.title.take().or(entry.prompt_title);
    if entry.model.is_some() {
        session.model = entry.model;
        session.provider = Some(PROVIDER.to_owned());
    }
    if let Some(ms) = message.created_ms {
        session.created_ms = Some(session.created_ms.map_or(ms, |earliest| earliest.min(ms)));
        session.updated_ms = Some(session.updated_ms.map_or(ms, |latest| latest.max(ms)));
    }
    session.messages.push(message);
}

/// What a message holds, apart from its line.
#[derive(Default)]
struct Body<'a> {
    role: &'static str,
    parts: Vec<Members<'a>>,
    /// What of the line the parts hold, if they hold exactly all of it.
    held: Option<Held>,
    /// A JSON string.
    model: Option<&'a str>,
    is_error: bool,
    is_hidden: bool,
    is_compact_summary: bool,
}

impl<'a> Body<'a> {
    /// Of a `user` or `assistant` line.
    fn of_message(line: &Members<'a>, message: Option<&Members<'a>>, kind: &str) -> Self {
        let message_text = line.get("message").unwrap_or_default();
        let content = message.map_or(message_text, |message| message.get("content").unwrap_or_default());
        let (parts, held) = parts_of(content);
        let is_tool_result = |part: &Members<'_>| part.get("type") == Some(KIND_TOOL_RESULT.part);
        let role = match kind {
            "assistant" => "assistant",
            _ if !parts.is_empty() && parts.iter().all(is_tool_result) => "tool",
            _ => "user",
        };
        let model = message.and_then(|message| message.get("model"));
        Self {
            role,
            parts,
            held,
            // The program itself answers under this name, with errors of the connection, say.
            model: model.filter(|model| is_string(model) && *model != "\"<synthetic>\""),
            is_error: line.is_true("isApiErrorMessage"),
            is_hidden: line.is_true("isMeta"),
            is_compact_summary: line.is_true("isCompactSummary"),
        }
    }

    /// Of a `system` line: a notice of the program, among them the boundaries of compactions. Some are bare
    /// figures.
    fn of_system(line: &Members<'a>) -> Self {
        let (parts, _) = parts_of(line.get("content").unwrap_or_default());
        let is_hidden = parts.is_empty() || line.is_true("isMeta");
        Self { role: "system", parts, is_hidden, ..Self::default() }
    }

    /// Of an `attachment` line: context that the program adds for the model, or a prompt given while it was
    /// at work.
    fn of_attachment(line: &Members<'a>) -> Self {
        let attachment = line.get("attachment").unwrap_or_default();
        let members = Members::of_checked(attachment).unwrap_or_default();
        let is_prompt = members.get("type") == Some("\"queued_command\"")
            && matches!(members.get("commandMode"), None | Some("\"prompt\""));
        let is_hidden = !is_prompt || line.is_true("isMeta") || members.is_true("isMeta");
        match members.get("prompt") {
            Some(prompt) if is_prompt => {
                Self { role: "user", parts: parts_of(prompt).0, is_hidden, ..Self::default() }
            }
            _ if attachment.is_empty() => Self { role: "system", is_hidden: true, ..Self::default() },
            _ => Self {
                role: "system",
                parts: vec![opaque(attachment)],
                held: Some(Held::Attachment),
                is_hidden: true,
                ..Self::default()
            },
        }
    }

    /// Writes the message object. `line` are the members of the record, `id` is a JSON string.
    fn write_message(&self, line: &Members<'a>, record: &Record, id: Option<&str>) -> String {
        let mut out = String::with_capacity(record.text.len() + 256);
        out.push_str("{\"role\":\"");
        out.push_str(self.role);
        out.push('"');
        if let Some(id) = id {
            write_key(&mut out, 1, "id");
            out.push_str(id);
        }
        write_key(&mut out, 1, "parts");
        write_list(&mut out, &self.parts, |out, part| part.write(out));
        if let Some(model) = self.model {
            write_key(&mut out, 1, "model");
            out.push_str(model);
        }
        if self.is_error {
            out.push_str(",\"status\":\"error\"");
        }
        if self.is_compact_summary {
            // The summary stands for what was said; people see it in the place of what it replaced.
            out.push_str(",\"hidden\":false,\"compact_summary\":true");
        } else if self.is_hidden {
            out.push_str(",\"hidden\":true");
        }
        out.push_str(",\"source\":{\"format\":\"");
        out.push_str(FORMAT);
        out.push('"');
        // Where it stood among the lines that are no messages: an export gives the lines back in their order.
        write_key(&mut out, 1, "line");
        out.push_str(&record.place.line.to_string());
        match (record.original.as_deref(), self.held) {
            (Some(original), _) => {
                write_key(&mut out, 1, "text");
                out.push_str(&quote(original));
            }
            (None, Some(held)) => {
                write_key(&mut out, 1, "content");
                out.push_str(held.name());
                write_key(&mut out, 1, "raw");
                write_replaced(&mut out, line, held.place(), "null");
            }
            (None, None) => {
                write_key(&mut out, 1, "raw");
                out.push_str(&record.text);
            }
        }
        out.push_str("}}");
        out
    }

    /// The beginning of a prompt that a person wrote, on one line.
    fn prompt_title(&self) -> Option<String> {
        if self.role != "user" || self.is_hidden || self.is_compact_summary {
            return None;
        }
        let texts = self.parts.iter().filter(|part| part.get("type") == Some(KIND_TEXT.part));
        texts.filter_map(|part| part.string("text")).find_map(|text| prompt_title(&text))
    }
}

/// Cuts a prompt to a title. The program writes commands, their output and context as user texts too, in
/// tags.
fn prompt_title(text: &str) -> Option<String> {
    let text = text.trim_start();
    if text.is_empty() || ["<", "Caveat:", "[Request interrupted"].iter().any(|start| text.starts_with(start))
    {
        return None;
    }
    let mut title = String::new();
    for word in text.split_whitespace() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.extend(word.chars().take(PROMPT_TITLE_CHARS_MAX));
        if title.chars().count() >= PROMPT_TITLE_CHARS_MAX {
            break;
        }
    }
    Some(title.chars().take(PROMPT_TITLE_CHARS_MAX).collect::<String>().trim_end().to_owned())
}

/// What of a line the parts hold, so that `raw` need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// `message.content`, a list of blocks: one part each.
    Blocks,
    /// `message.content`, a string: the text of the only part.
    Text,
    /// `attachment`: the data of the only part.
    Attachment,
}

impl Held {
    const ALL: [Self; 3] = [Self::Blocks, Self::Text, Self::Attachment];

    /// The value of `source.content`, as JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Blocks => "\"blocks\"",
            Self::Text => "\"text\"",
            Self::Attachment => "\"attachment\"",
        }
    }

    /// The keys that lead to it in the line. A message that is no object is its own content.
    fn place(self) -> &'static [&'static str] {
        match self {
            Self::Blocks | Self::Text => &["message", "content"],
            Self::Attachment => &["attachment"],
        }
    }

    /// What stood there, made from the parts.
    fn content<'a>(self, parts: &[Members<'a>]) -> Option<Cow<'a, str>> {
        match self {
            Self::Blocks => Some(Cow::Owned(blocks_of(parts))),
            Self::Text => parts.first()?.get("text").map(Cow::Borrowed),
            Self::Attachment => parts.first()?.get("data").map(Cow::Borrowed),
        }
    }
}

/// Makes the parts of a content: a list of blocks, or a text. Says what they hold if that is all of it.
fn parts_of(content: &str) -> (Vec<Members<'_>>, Option<Held>) {
    if is_string(content) {
        return (vec![Members(vec![("type", KIND_TEXT.part), ("text", content)])], Some(Held::Text));
    }
    if let Some(blocks) = elements(content) {
        let parts: Vec<Members<'_>> = blocks.into_iter().map(part_of).collect();
        let held = content_is_covered(content, &parts).then_some(Held::Blocks);
        return (parts, held);
    }
    match content {
        "" | "null" => (Vec::new(), None),
        _ => (vec![opaque(content)], None),
    }
}

/// Whether the parts give back exactly the list of blocks that they were made from.
fn content_is_covered(content: &str, parts: &[Members<'_>]) -> bool {
    blocks_of(parts) == content
}

/// Makes the list of blocks that parts were made from.
fn blocks_of(parts: &[Members<'_>]) -> String {
    let bytes = parts.iter().flat_map(|part| &part.0).map(|(key, value)| key.len() + value.len() + 16).sum();
    let mut out = String::with_capacity(bytes);
    write_list(&mut out, parts, write_block);
    out
}

/// How a block is told as a part: its type, and the one member that has another name there. The texts of the
/// types are JSON strings.
struct BlockKind {
    block: &'static str,
    part: &'static str,
    theirs: &'static str,
    ours: &'static str,
}

const KIND_TEXT: BlockKind = BlockKind { block: "\"text\"", part: "\"text\"", theirs: "text", ours: "text" };
const KIND_THINKING: BlockKind =
    BlockKind { block: "\"thinking\"", part: "\"thinking\"", theirs: "thinking", ours: "text" };
const KIND_TOOL_CALL: BlockKind =
    BlockKind { block: "\"tool_use\"", part: "\"tool_call\"", theirs: "input", ours: "arguments" };
const KIND_TOOL_RESULT: BlockKind =
    BlockKind { block: "\"tool_result\"", part: "\"tool_result\"", theirs: "tool_use_id", ours: "call_id" };
/// The members of an image's and a document's `source` stand in the part itself.
const KIND_IMAGE: BlockKind =
    BlockKind { block: "\"image\"", part: "\"image\"", theirs: "source", ours: "source" };
const KIND_FILE: BlockKind =
    BlockKind { block: "\"document\"", part: "\"file\"", theirs: "title", ours: "name" };
const KINDS: [BlockKind; 6] =
    [KIND_TEXT, KIND_THINKING, KIND_TOOL_CALL, KIND_TOOL_RESULT, KIND_IMAGE, KIND_FILE];

/// Makes the part of a block. A block that does not fit any kind of part is kept whole, as an opaque one.
fn part_of(block: &str) -> Members<'_> {
    Members::of_checked(block).and_then(|members| known_part_of(&members)).unwrap_or_else(|| opaque(block))
}

fn opaque(data: &str) -> Members<'_> {
    Members(vec![("type", "\"opaque\""), ("data", data)])
}

fn known_part_of<'a>(block: &Members<'a>) -> Option<Members<'a>> {
    let block_type = block.get("type")?;
    let kind = KINDS.iter().find(|kind| kind.block == block_type)?;
    let mut part = Members(Vec::with_capacity(block.0.len() + 1));
    for &(key, value) in &block.0 {
        match key {
            "type" => part.0.push(("type", kind.part)),
            "source" if kind.has_source() => part.0.extend(flat_source(value, kind)?),
            // Some writers spell these out where there is none; a part then has no such member.
            "is_error" | "signature" | "title" if value == "null" => {}
            key if key == kind.theirs => part.0.push((kind.ours, value)),
            key => part.0.push((key, value)),
        }
    }
    if kind.part == KIND_TOOL_RESULT.part && part.get("content").is_none() {
        part.0.push(("content", "null"));
    }
    (kind.allows(&part) && !part.has_doubtful_key()).then_some(part)
}

/// The members of a block's `source` that a part can hold.
fn flat_source<'a>(source: &'a str, kind: &BlockKind) -> Option<Vec<(&'a str, &'a str)>> {
    let source = Members::of_checked(source)?;
    let member = |key| Some((key, source.get(key)?));
    match source.get("type")? {
        "\"base64\"" => Some(vec![member("media_type")?, member("data")?]),
        "\"url\"" if kind.part == KIND_IMAGE.part => Some(vec![member("url")?]),
        _ => None,
    }
}

impl BlockKind {
    fn has_source(&self) -> bool {
        self.part == KIND_IMAGE.part || self.part == KIND_FILE.part
    }

    /// Whether the part has what its type asks for.
    fn allows(&self, part: &Members<'_>) -> bool {
        let is_absent_or = |key, is_good: fn(&str) -> bool| part.get(key).is_none_or(is_good);
        if self.part == KIND_TOOL_CALL.part {
            part.has_string("id") && part.has_string("name") && part.get("arguments").is_some()
        } else if self.part == KIND_TOOL_RESULT.part {
            part.has_string("call_id") && is_absent_or("is_error", |value| matches!(value, "true" | "false"))
        } else if self.has_source() {
            let is_inline = part.has_string("media_type") && part.has_string("data");
            (is_inline || part.has_string("url")) && is_absent_or("name", is_string)
        } else {
            part.has_string("text") && is_absent_or("signature", is_string)
        }
    }
}

/// Writes the block that a part was made from.
fn write_block(out: &mut String, part: &Members<'_>) {
    let part_type = part.get("type").unwrap_or_default();
    let Some(kind) = KINDS.iter().find(|kind| kind.part == part_type) else {
        out.push_str(part.get("data").unwrap_or("null"));
        return;
    };
    out.push('{');
    let mut written = 0;
    for &(key, value) in &part.0 {
        match key {
            "type" => {
                write_key(out, written, "type");
                out.push_str(kind.block);
            }
            // Written together with the data.
            "media_type" if kind.has_source() => continue,
            "data" | "url" if kind.has_source() => {
                write_key(out, written, "source");
                write_source(out, part, key, value);
            }
            key => {
                write_key(out, written, if key == kind.ours { kind.theirs } else { key });
                out.push_str(value);
            }
        }
        written += 1;
    }
    out.push('}');
}

/// Writes the `source` of an image or document from the members that stand for it in the part.
fn write_source(out: &mut String, part: &Members<'_>, key: &str, value: &str) {
    match key {
        "url" => out.push_str("{\"type\":\"url\",\"url\":"),
        _ => {
            out.push_str("{\"type\":\"base64\",\"media_type\":");
            out.push_str(part.get("media_type").unwrap_or("null"));
            out.push_str(",\"data\":");
        }
    }
    out.push_str(value);
    out.push('}');
}

/// Writes a list without whitespace.
fn write_list<T>(out: &mut String, values: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, value);
    }
    out.push(']');
}

/// Writes an object with another value in one place, which the keys of `place` lead to.
fn write_replaced(out: &mut String, object: &Members<'_>, place: &[&str], value: &str) {
    let Some((first, rest)) = place.split_first() else { return object.write(out) };
    let found = object.position(first);
    out.push('{');
    for (index, (key, text)) in object.0.iter().enumerate() {
        write_key(out, index, key);
        if Some(index) != found {
            out.push_str(text);
        } else if let Some(inner) = Members::of_checked(text).filter(|_| !rest.is_empty()) {
            write_replaced(out, &inner, rest, value);
        } else {
            out.push_str(value);
        }
    }
    out.push('}');
}

/// A member that can be an id in the store.
fn id_of(line: &Members<'_>, key: &str) -> Option<String> {
    line.string(key).filter(|text| is_id(text)).map(Cow::into_owned)
}

/// A member that is a title, cut to what the store takes.
fn title_of(line: &Members<'_>, key: &str) -> Option<String> {
    text_of(line, key).map(|title| cut(title, TITLE_BYTES_MAX))
}

/// The name of an agent or model. One that is longer than any is left out rather than cut to another.
fn name_of(name: &str) -> Option<String> {
    (1..=NAME_BYTES_MAX).contains(&name.len()).then(|| name.to_owned())
}

/// A member that is a text with something in it.
fn text_of(line: &Members<'_>, key: &str) -> Option<String> {
    line.string(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A line of the chain: `kind`, `uuid` and parent as `a<b` (b is the parent), and more members.
    fn entry(kind: &str, chain: &str, more: &str) -> String {
        let (uuid, parent) = chain.split_once('<').unwrap_or((chain, ""));
        let parent = if parent.is_empty() { "null".to_owned() } else { quote(parent) };
        let more = if more.is_empty() { String::new() } else { format!(",{more}") };
        format!(
            "{{\"parentUuid\":{parent},\"isSidechain\":false,\"sessionId\":\"s\",\"type\":\"{kind}\",\
             \"uuid\":\"{uuid}\"{more}}}\n"
        )
    }

    fn content(content: &str) -> String {
        format!("\"message\":{{\"role\":\"user\",\"content\":{content}}}")
    }

    fn user(chain: &str, text: &str) -> String {
        entry("user", chain, &content(&quote(text)))
    }

    fn side(line: &str) -> String {
        line.replace("\"isSidechain\":false", "\"isSidechain\":true")
    }

    fn read(text: &str) -> Import {
        session("stem", text.as_bytes())
    }

    /// The only message of the only session of a file with one line, which must also be given back.
    fn message_of(line: &str) -> Value {
        let import = read(line);
        let [session] = import.sessions.as_slice() else { panic_of(&import) };
        let [message] = session.messages.as_slice() else { panic_of(&import) };
        assert_eq!(regenerate(&message.json).as_deref(), Some(line.trim_end()));
        serde_json::from_str(&message.json).unwrap()
    }

    #[allow(clippy::panic, reason = "a test fails by panicking")]
    fn panic_of(import: &Import) -> ! {
        panic!("{import:?}")
    }

    fn keys(session: &ImportedSession) -> Vec<&str> {
        session.messages.iter().map(|message| message.key.as_str()).collect()
    }

    fn whats(import: &Import) -> Vec<&str> {
        import.problems.iter().map(|problem| problem.what.as_str()).collect()
    }

    /// Checks the part that a block becomes, and whether the line has the content only once.
    #[expect(clippy::needless_pass_by_value, reason = "callers write a literal")]
    fn check_block(block: &str, part: Value, is_held: bool) {
        let message = message_of(&entry("user", "a", &content(&format!("[{block}]"))));
        assert_eq!(message["parts"], json!([part]));
        let source = &message["source"];
        assert_eq!(
            (source["content"] == "blocks", source["raw"]["message"]["content"].is_null()),
            (is_held, is_held)
        );
    }

    #[test]
    fn a_line_becomes_one_message_that_gives_the_line_back() {
        let line = entry(
            "assistant",
            "a<b",
            concat!(
                r#""message":{"model":"claude-x","id":"msg_1","role":"assistant","#,
                r#""content":[{"type":"text","text":"hi"}],"#,
                r#""usage":{"input_tokens":1.50,"big":123456789012345678901234567890}},"#,
                r#""timestamp":"2025-09-03T00:47:19.293Z""#
            ),
        );
        let import = read(&line);
        let message = &import.sessions[0].messages[0];
        assert_eq!(regenerate(&message.json).as_deref(), Some(line.trim_end()));
        assert_eq!((message.key.as_str(), message.created_ms), ("a", Some(1_756_860_439_293)));
        assert!(message.json.starts_with(concat!(
            r#"{"role":"assistant","id":"a","parts":[{"type":"text","text":"hi"}],"model":"claude-x","#,
            r#""source":{"format":"claude-code","line":1,"content":"blocks","raw":{"parentUuid":"b","#,
            r#""isSidechain":false,"#,
            r#""sessionId":"s","type":"assistant","uuid":"a","message":{"model":"claude-x","id":"msg_1","#,
            r#""role":"assistant","content":null,"#,
            r#""usage":{"input_tokens":1.50,"big":123456789012345678901234567890}}"#
        )));
    }

    #[test]
    fn a_text_content_is_one_text_part_and_stands_once() {
        let message = message_of(&user("a", "hello \u{1F600} \"you\""));
        assert_eq!(message["parts"], json!([{"type": "text", "text": "hello \u{1F600} \"you\""}]));
        assert_eq!(message["source"]["content"], "text");
        assert_eq!(message["source"]["raw"]["message"], json!({"role": "user", "content": null}));
    }

    #[test]
    fn blocks_become_parts_of_the_same_member_order() {
        check_block(
            r#"{"type":"thinking","thinking":"hm","signature":"s"}"#,
            json!({"type": "thinking", "text": "hm", "signature": "s"}),
            true,
        );
        check_block(
            r#"{"type":"tool_use","id":"t","name":"Bash","input":{"b":1,"a":2},"caller":{"type":"direct"}}"#,
            json!({"type": "tool_call", "id": "t", "name": "Bash", "arguments": {"b": 1, "a": 2},
                   "caller": {"type": "direct"}}),
            true,
        );
        check_block(
            r#"{"tool_use_id":"t","type":"tool_result","content":[{"type":"text"}],"is_error":true}"#,
            json!({"type": "tool_result", "call_id": "t", "content": [{"type": "text"}],
                   "is_error": true}),
            true,
        );
        check_block(
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="},"x":1}"#,
            json!({"type": "image", "media_type": "image/png", "data": "AA==", "x": 1}),
            true,
        );
        check_block(
            r#"{"type":"image","source":{"type":"url","url":"https://a/b"}}"#,
            json!({"type": "image", "url": "https://a/b"}),
            true,
        );
        check_block(
            r#"{"type":"document","title":"n","source":{"type":"base64","media_type":"a/b","data":"AA=="}}"#,
            json!({"type": "file", "name": "n", "media_type": "a/b", "data": "AA=="}),
            true,
        );
    }

    #[test]
    fn unknown_blocks_are_opaque_and_stand_once() {
        for block in [
            r#"{"type":"redacted_thinking","data":"x"}"#,
            r#"{"type":"tool_call","id":"t"}"#,
            r#"{"type":"opaque","data":1}"#,
            r#"{"type":"text"}"#,
            r#"{"type":"text","text":1.0}"#,
            r#"{"type":"text","text":"a","\u0078":"b"}"#,
            r#"{"type":"tool_use","id":"t","name":"n"}"#,
            r#"{"type":"tool_use","id":"t","name":"n","input":{},"arguments":{}}"#,
            r#"{"type":"tool_result","tool_use_id":1,"content":""}"#,
            r#"{"type":"tool_result","tool_use_id":"t","content":"","is_error":"yes"}"#,
            r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}"#,
            r#"{"text":"no type"}"#,
            r#""wow error""#,
            "null",
            "[[]]",
            "17.0",
        ] {
            let line = entry("user", "a", &content(&format!("[{block}]")));
            let message = message_of(&line);
            assert_eq!(message["parts"][0]["type"], "opaque", "{block}");
            assert_eq!(message["source"]["content"], "blocks", "{block}");
            assert!(
                read(&line).sessions[0].messages[0].json.contains(&format!("\"data\":{block}")),
                "{block}"
            );
        }
    }

    #[test]
    fn content_that_the_parts_cannot_give_back_stays_in_the_line() {
        check_block(
            r#"{"type":"tool_result","tool_use_id":"t","content":"x","is_error":null}"#,
            json!({"type": "tool_result", "call_id": "t", "content": "x"}),
            false,
        );
        check_block(
            r#"{"type":"tool_result","tool_use_id":"t"}"#,
            json!({"type": "tool_result", "call_id": "t", "content": null}),
            false,
        );
        check_block(
            r#"{"type":"image","source":{"media_type":"image/png","type":"base64","data":"AA=="}}"#,
            json!({"type": "image", "media_type": "image/png", "data": "AA=="}),
            false,
        );
    }

    #[test]
    fn odd_messages_are_kept_and_given_back() {
        for more in [
            "",
            "\"message\":null",
            "\"message\":\"error\"",
            "\"message\":[{\"type\":\"text\",\"text\":\"bare\"}]",
            "\"message\":5",
            "\"message\":{}",
            "\"message\":[]",
            "\"message\":{\"content\":null}",
            "\"message\":{\"content\":7.10}",
            "\"message\":{\"content\":{\"a\":1}}",
            "\"message\":{\"content\":[]}",
            "\"message\":{\"content\":\"\"}",
            "\"message\":{\"role\":\"user\",\"contenst\":[1]}",
            "\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"\\u0041\\/\"}]}",
            "\"__proto__\":{\"a\":1},\"message\":{\"content\":\"x\"}",
        ] {
            message_of(&entry("user", "a", more));
            message_of(&entry("assistant", "a", more));
            message_of(&entry("system", "a", more));
            message_of(&entry("attachment", "a", more));
        }
    }

    #[test]
    fn what_strict_readers_refuse_is_shown_mended_and_given_back_as_it_was() {
        // Texts cut in the middle of an emoji have lone surrogates.
        for (text, shown) in [
            (r#""cut \ud83d""#, json!("cut \u{FFFD}")),
            (r#""a","content":"b""#, json!("b")),
            (r#""a","x":{"y":1,"y":2}"#, json!("a")),
        ] {
            let line = entry("user", "a", &content(text));
            let message = message_of(&line);
            assert_eq!(message["parts"][0]["text"], shown);
            assert_eq!(message["source"]["text"], line.trim_end());
            let import = read(&[line.as_str(), &line, &user("b<a", "x")].concat());
            assert_eq!(keys(&import.sessions[0]), ["a", "b"]);
        }
        let import = read("{\"type\":\"mode\",\"mode\":1,\"mode\":2}\n");
        assert_eq!(import.sessions[0].extra[0].json, "{\"type\":\"mode\",\"mode\":1,\"mode\":2}");
    }

    #[test]
    fn ids_that_the_store_refuses_are_not_used() {
        for uuid in ["x".repeat(300), "a\\nb".to_owned()] {
            for kind in ["user", "assistant", "system", "attachment"] {
                let import = read(&entry(kind, &uuid, "").replace("\"s\"", &format!("\"{uuid}\"")));
                assert_eq!(import.sessions[0].id, "stem");
                assert!(import.sessions[0].messages[0].key.starts_with("line-1-"), "{kind}");
            }
        }
    }

    #[test]
    fn facts_are_within_the_limits_of_the_store() {
        let long = "\u{e9}".repeat(5000);
        let text = [
            user("a", "x").replace("\"uuid\"", &format!("\"cwd\":\"{long}\",\"uuid\"")),
            entry("assistant", "b<a", &format!("\"message\":{{\"model\":\"{long}\",\"content\":\"x\"}}")),
            format!("{{\"type\":\"custom-title\",\"customTitle\":\"x{long}\"}}\n"),
            format!("{{\"type\":\"tag\",\"tag\":\"{long}\"}}\n"),
        ];
        let session = read(&text.concat()).sessions.remove(0);
        assert_eq!((session.scope, session.model, session.tags.len()), (None, None, 0));
        assert_eq!(session.title.unwrap().len(), TITLE_BYTES_MAX - 1);
    }

    #[test]
    fn a_line_of_tool_results_alone_has_the_role_tool() {
        let result = r#"{"type":"tool_result","tool_use_id":"t","content":"x"}"#;
        let role =
            |blocks: &str| message_of(&entry("user", "a", &content(&format!("[{blocks}]"))))["role"].clone();
        assert_eq!(role(result), "tool");
        assert_eq!(role(&format!("{result},{result}")), "tool");
        assert_eq!(role(&format!("{result},{{\"type\":\"text\",\"text\":\"x\"}}")), "user");
        assert_eq!(role(""), "user");
    }

    #[test]
    fn meta_lines_are_hidden_and_compact_summaries_are_not() {
        let with = |more: &str| message_of(&entry("user", "a", &format!("{},{more}", content("\"x\""))));
        assert_eq!(with("\"isMeta\":true")["hidden"], true);
        assert!(with("\"isMeta\":false").get("hidden").is_none());
        let summary = with("\"isCompactSummary\":true,\"isVisibleInTranscriptOnly\":true");
        assert_eq!((&summary["hidden"], &summary["compact_summary"]), (&json!(false), &json!(true)));
    }

    #[test]
    fn compaction_boundaries_are_system_messages_with_their_text() {
        for subtype in ["compact_boundary", "microcompact_boundary"] {
            let more =
                format!("\"subtype\":\"{subtype}\",\"content\":\"Conversation compacted\",\"isMeta\":false");
            let message = message_of(&entry("system", "a", &more));
            assert_eq!(message["role"], "system");
            assert_eq!(message["parts"], json!([{"type": "text", "text": "Conversation compacted"}]));
            assert!(message.get("hidden").is_none());
        }
    }

    #[test]
    fn system_lines_without_text_are_hidden() {
        let message = message_of(&entry("system", "a", "\"subtype\":\"turn_duration\",\"durationMs\":1"));
        assert_eq!((&message["parts"], &message["hidden"]), (&json!([]), &json!(true)));
    }

    #[test]
    fn attachments_are_hidden_and_stand_once() {
        let message =
            message_of(&entry("attachment", "a", "\"attachment\":{\"type\":\"date_change\",\"n\":1.0}"));
        assert_eq!((&message["role"], &message["hidden"]), (&json!("system"), &json!(true)));
        assert_eq!(message["parts"][0]["data"], json!({"type": "date_change", "n": 1.0}));
        assert!(message["source"]["raw"]["attachment"].is_null());
    }

    #[test]
    fn a_prompt_given_while_the_agent_worked_is_shown() {
        let queued = |more: &str| {
            let attachment =
                format!("\"attachment\":{{\"type\":\"queued_command\",\"prompt\":\"and tests\"{more}}}");
            message_of(&entry("attachment", "a", &attachment))
        };
        let message = queued(",\"commandMode\":\"prompt\"");
        assert_eq!((&message["role"], message.get("hidden")), (&json!("user"), None));
        assert_eq!(message["parts"], json!([{"type": "text", "text": "and tests"}]));
        assert_eq!(queued(",\"commandMode\":\"task-notification\"")["hidden"], true);
        assert_eq!(queued(",\"isMeta\":true")["hidden"], true);
    }

    #[test]
    fn an_error_of_the_connection_has_the_status_error_and_no_model() {
        let more = r#""isApiErrorMessage":true,"message":{"model":"<synthetic>","content":"API Error"}"#;
        let line = entry("assistant", "a", more);
        let message = message_of(&line);
        assert_eq!((&message["status"], message.get("model")), (&json!("error"), None));
        assert_eq!(read(&line).sessions[0].model, None);
    }

    #[test]
    fn lines_that_are_not_messages_are_kept_verbatim_in_order() {
        let text = [
            "{\"type\":\"mode\",\"mode\":\"normal\",\"sessionId\":\"s\",\"n\":1.00}\n",
            &user("a", "x"),
            &entry("progress", "p<a", "\"data\":{\"type\":\"hook_progress\"}"),
            "{\"type\":\"system\",\"content\":\"no uuid\"}\n",
            "{\"never\":\"seen\"}\n[1]\n42\n",
        ]
        .concat();
        let import = read(&text);
        let extra = &import.sessions[0].extra;
        assert_eq!(extra.iter().map(|extra| extra.line).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7]);
        assert_eq!(extra[0].json, "{\"type\":\"mode\",\"mode\":\"normal\",\"sessionId\":\"s\",\"n\":1.00}");
        assert_eq!(keys(&import.sessions[0]), ["a"]);
        assert_eq!((import.lines, import.records), (7, 7));
        assert_eq!(whats(&import), ["a value that is not an object; kept as an extra"; 2]);
    }

    #[test]
    fn a_snapshot_is_not_taken_for_the_message_that_it_names() {
        let snapshot = "{\"type\":\"file-history-snapshot\",\"messageId\":\"a\",\"snapshot\":{}}\n";
        let import = read(&format!("{snapshot}{}", user("a", "x")));
        assert_eq!((import.sessions[0].messages.len(), import.problems.len()), (1, 0));
    }

    #[test]
    fn a_message_without_uuid_has_a_key_of_its_line() {
        let text = "\n{\"type\":\"user\",\"message\":{\"content\":\"x\"}}\n";
        let import = read(text);
        let key = &import.sessions[0].messages[0].key;
        assert!(key.starts_with("line-2-") && key.len() == 7 + 16, "{key}");
        assert_eq!(read(text), import);
        assert_eq!(import.sessions[0].id, "stem");
    }

    #[test]
    fn both_objects_of_a_glued_line_are_taken() {
        let text = format!(
            "{}{{\"type\":\"summary\",\"summary\":\"T\",\"leafUuid\":\"a\"}}\n",
            user("a", "x").trim_end()
        );
        let import = read(&text);
        assert_eq!((import.sessions[0].messages.len(), import.sessions[0].extra.len()), (1, 1));
        assert_eq!(import.sessions[0].title.as_deref(), Some("T"));
        assert_eq!(whats(&import), ["several objects on one line; all are taken"]);
    }

    #[test]
    fn an_entry_fused_to_a_torn_one_is_taken() {
        let whole = entry("assistant", "a", &content(r#"[{"type":"text","text":"long answer"}]"#));
        for cut in 1..whole.len() - 2 {
            let import = read(&format!("{}{}", whole.get(..cut).unwrap(), user("b<a", "x")));
            assert_eq!(keys(&import.sessions[0]), ["b"], "{cut}");
        }
    }

    #[test]
    fn a_repeated_line_is_taken_once() {
        let import = read(&[user("a", "x"), user("b<a", "y"), user("a", "x")].concat());
        assert_eq!(keys(&import.sessions[0]), ["a", "b"]);
        assert_eq!((import.problems.len(), import.records), (0, 3));
    }

    #[test]
    fn a_repeated_uuid_with_other_contents_keeps_both() {
        let lines = [
            user("a", "x"),
            user("a", "y"),
            user("a", "x"),
            user("a", "y"),
            user("a", "z"),
            user("a#2", "w"),
        ];
        let import = read(&lines.concat());
        let session = &import.sessions[0];
        assert_eq!(keys(session), ["a", "a#2", "a#3", "a#2#2"]);
        assert_eq!(whats(&import), ["the uuid of an earlier entry with other contents; both are taken"; 3]);
        let line = regenerate(&session.messages[1].json).unwrap();
        assert_eq!(line, user("a", "y").trim_end());
        let message: Value = serde_json::from_str(&session.messages[1].json).unwrap();
        assert_eq!(message["id"], "a#2");
    }

    #[test]
    fn a_parent_that_stands_later_comes_before_its_child() {
        let text =
            [user("a", "1"), user("c<b", "3"), user("x<a", "4"), user("b<a", "2"), user("d<c", "5")].concat();
        assert_eq!(keys(&read(&text).sessions[0]), ["a", "b", "c", "x", "d"]);
    }

    #[test]
    fn a_late_parent_is_found_through_progress_lines() {
        let text = [user("c<p", "3"), entry("progress", "p<a", "\"data\":{}"), user("a", "1")].concat();
        assert_eq!(keys(&read(&text).sessions[0]), ["a", "c"]);
    }

    #[test]
    fn circles_of_parents_lose_nothing() {
        let text = [user("a<b", "1"), user("b<c", "2"), user("c<a", "3"), user("d<d", "4")].concat();
        assert_eq!(keys(&read(&text).sessions[0]), ["c", "b", "a", "d"]);
        let import = read(&side(&text));
        assert_eq!(import.sessions.iter().map(|session| session.messages.len()).sum::<usize>(), 4);
    }

    #[test]
    fn dangling_parents_are_noted_and_taken() {
        let import = read(&[user("a<gone", "1"), user("b<a", "2"), "torn".to_owned()].concat());
        assert_eq!(keys(&import.sessions[0]), ["a", "b"]);
        assert_eq!(whats(&import), ["the entry's parent is not in this file", "a torn last line"]);
    }

    #[test]
    fn side_chains_become_children_by_agent_or_by_root() {
        let agent = |line: String| side(&line).replace("\"uuid\"", "\"agentId\":\"q1\",\"uuid\"");
        let text = [
            user("a", "main"),
            side(&user("r1", "first task")),
            side(&user("r2", "second task")),
            side(&user("x1<r1", "more")),
            side(&entry("progress", "p<r2", "\"data\":{}")),
            side(&user("x2<p", "more")),
            agent(user("q", "agent task")),
            user("b<a", "main again"),
            agent(user("z<q", "done")),
            side(&user("hang<a", "hangs on the main chain")),
            agent(user("q2<x1", "an agent of an agent")),
        ]
        .concat();
        let import = read(&text);
        let told: Vec<_> =
            import.sessions.iter().map(|s| (s.id.as_str(), s.parent.as_deref(), keys(s))).collect();
        assert_eq!(
            told,
            [
                ("s", None, vec!["a", "b"]),
                ("s/sidechain-r1", Some("s"), vec!["r1", "x1"]),
                ("s/sidechain-r2", Some("s"), vec!["r2", "x2"]),
                ("s/agent-q1", Some("s"), vec!["q", "z", "q2"]),
                ("s/sidechain-hang", Some("s"), vec!["hang"]),
            ]
        );
        assert_eq!(import.sessions[1].title.as_deref(), Some("first task"));
        assert_eq!(import.sessions[0].extra.len(), 1);
    }

    #[test]
    fn a_side_chain_has_the_scope_of_its_session_unless_it_has_its_own() {
        let placed =
            |line: String, scope: &str| line.replace("\"uuid\"", &format!("\"cwd\":\"{scope}\",\"uuid\""));
        let text =
            [placed(user("a", "1"), "/main"), side(&user("b", "2")), placed(side(&user("c", "3")), "/own")];
        let scopes: Vec<_> =
            read(&text.concat()).sessions.into_iter().filter_map(|session| session.scope).collect();
        assert_eq!(scopes, ["/main", "/main", "/own"]);
    }

    #[test]
    fn a_file_of_side_chains_alone_gives_no_empty_parent() {
        let import = read(&format!("{{\"type\":\"mode\",\"sessionId\":\"s\"}}\n{}", side(&user("a", "x"))));
        assert_eq!(import.sessions.len(), 1);
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].extra.len()), ("s/sidechain-a", 1));
    }

    #[test]
    fn a_sub_agent_file_is_a_child_with_the_name_and_title_of_its_meta_file() {
        let text = side(&[user("a<elsewhere", "task"), user("b<a", "more")].concat());
        let meta = br#"{"agentType":"Explore","description":"Look around"}"#;
        let import = sub_agent("s", "q1", Some(meta), text.as_bytes());
        let [session] = import.sessions.as_slice() else { panic_of(&import) };
        assert_eq!((session.id.as_str(), session.parent.as_deref()), ("s/agent-q1", Some("s")));
        assert_eq!(
            (session.agent.as_deref(), session.title.as_deref()),
            (Some("Explore"), Some("Look around"))
        );
        assert_eq!(keys(session), ["a", "b"]);

        let import = sub_agent("s", "q1", Some(b"\xFFtorn"), text.as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.agent.as_deref(), session.title.as_deref()), (Some("claude-code"), Some("task")));
    }

    #[test]
    fn the_session_has_the_id_of_most_of_its_entries() {
        let other = user("c", "3").replace("\"sessionId\":\"s\"", "\"sessionId\":\"t\"");
        let import = read(&[&other, &user("a", "1"), &user("b", "2")].map(String::as_str).concat());
        assert_eq!((import.sessions.len(), import.sessions[0].id.as_str()), (1, "s"));
        assert_eq!(keys(&import.sessions[0]), ["c", "a", "b"]);
        assert_eq!(
            whats(&import),
            ["entries of another session id from here; they are taken into this session"]
        );
        assert_eq!(read(&[other, user("a", "1")].concat()).sessions[0].id, "t");
    }

    #[test]
    fn the_title_is_the_one_of_the_highest_rank_said_last() {
        let prompt = [user("m", "<command-name>/x</command-name>"), user("a", "do  this\nnow")].concat();
        let title = |more: &str| {
            let session = read(&format!("{prompt}{more}")).sessions.remove(0);
            (session.title.unwrap_or_default(), session.title_manual)
        };
        let prompted = ("do this now".to_owned(), false);
        assert_eq!(title(""), prompted);
        let summary = "{\"type\":\"summary\",\"summary\":\"S\",\"leafUuid\":\"a\"}\n";
        assert_eq!(title(summary), ("S".to_owned(), false));
        let elsewhere = "{\"type\":\"summary\",\"summary\":\"E\",\"leafUuid\":\"gone\"}\n";
        assert_eq!(title(elsewhere), ("E".to_owned(), false));
        assert_eq!(title(&format!("{summary}{elsewhere}")), ("S".to_owned(), false));
        let ai = "{\"type\":\"ai-title\",\"aiTitle\":\"A\",\"sessionId\":\"s\"}\n";
        assert_eq!(title(&format!("{ai}{summary}")), ("A".to_owned(), false));
        let custom = |text: &str| format!("{{\"type\":\"custom-title\",\"customTitle\":\"{text}\"}}\n");
        assert_eq!(title(&format!("{}{}{ai}", custom("B"), custom("C"))), ("C".to_owned(), true));
        assert_eq!(title(&format!("{}{}", custom("B"), custom(""))), prompted);
    }

    #[test]
    fn a_long_prompt_is_cut_to_a_title_by_characters() {
        let title = |text: &str| read(&user("a", text)).sessions.remove(0).title.unwrap();
        assert_eq!(title(&"\u{1F600}".repeat(80)), "\u{1F600}".repeat(50));
        assert_eq!(title(&"word ".repeat(80)), "word ".repeat(10).trim_end());
    }

    #[test]
    fn facts_of_the_session_come_from_its_entries() {
        let at = |line: String, time: &str, more: &str| {
            line.replace("\"uuid\"", &format!("\"timestamp\":{time},{more}\"uuid\""))
        };
        let answer = |chain: &str, model: &str| {
            entry("assistant", chain, &format!("\"message\":{{\"model\":\"{model}\",\"content\":\"x\"}}"))
        };
        let text = [
            at(user("a", "1"), "null", ""),
            at(user("b<a", "2"), "\"1970-01-01T00:00:02Z\"", "\"cwd\":\"/one\","),
            at(answer("c<b", "m1"), "\"1970-01-01T00:00:01Z\"", "\"cwd\":\"/two\","),
            at(answer("d<c", "m2"), "\"later\"", ""),
            at(user("e<d", "3"), "\"1970-01-01T00:00:01.5Z\"", ""),
            "{\"type\":\"tag\",\"tag\":\"old\"}\n{\"type\":\"tag\",\"tag\":\"new\"}\n".to_owned(),
        ]
        .concat();
        let session = read(&text).sessions.remove(0);
        assert_eq!(session.scope.as_deref(), Some("/one"));
        assert_eq!((session.created_ms, session.updated_ms), (Some(1000), Some(2000)));
        assert_eq!((session.model.as_deref(), session.provider.as_deref()), (Some("m2"), Some("anthropic")));
        assert_eq!((session.tags, session.agent), (vec!["new".to_owned()], Some("claude-code".to_owned())));
        assert_eq!(session.messages[0].created_ms, None);
    }

    #[test]
    fn a_longer_copy_of_a_file_keeps_the_keys_of_the_shorter() {
        let long = [user("a", "1"), user("b<a", "2"), side(&user("c", "3")), user("d<b", "4")].concat();
        let whole = read(&long);
        for cut in 0..long.len() {
            let part = session("stem", long.as_bytes().get(..cut).unwrap());
            for (part, whole) in part.sessions.iter().zip(&whole.sessions) {
                assert_eq!(part.id, whole.id);
                assert!(part.messages.iter().zip(&whole.messages).all(|(part, whole)| part == whole));
            }
        }
    }

    #[test]
    fn nothing_gives_no_session() {
        assert!(read("").sessions.is_empty());
        assert!(read("\n\nnonsense\n").sessions.is_empty());
        assert!(sub_agent("s", "q", None, b"").sessions.is_empty());
    }

    #[test]
    fn a_message_from_elsewhere_is_not_given_back() {
        for message in [
            "",
            "[]",
            "{}",
            "{\"role\":\"user\",\"parts\":[]}",
            "{\"source\":{\"format\":\"codex\",\"raw\":{}}}",
            "{\"source\":{\"format\":\"claude-code\"}}",
            "{\"source\":{\"format\":\"claude-code\",\"content\":\"text\",\"raw\":{}},\"parts\":[]}",
            "{\"source\":{\"format\":\"claude-code\",\"content\":\"new\",\"raw\":{}},\"parts\":[]}",
            "{\"source\":{\"format\":\"claude-code\",\"content\":\"blocks\",\"raw\":{}},\"parts\":[1]}",
        ] {
            assert_eq!(regenerate(message), None, "{message}");
        }
    }

    #[test]
    fn files_of_claude_code_are_told_from_others() {
        let line = user("a", "x");
        for head in [
            line.as_str(),
            "{\"type\":\"summary\",\"summary\":\"x\",\"leafUuid\":\"a\"}",
            "{\"type\":\"mode\",\"mode\":\"normal\",\"sessionId\":\"s\"}\n{\"type\":\"custom",
            "torn\n{\"type\":\"user\",\"sessionId\":\"s\",\"uuid\":\"a\",\"message\":{\"role\":\"user\"}}",
            "{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"user\",\"message\":{\"content\":\"AAAA",
        ] {
            assert!(looks_like(head.as_bytes()), "{head}");
        }
        for head in [
            "",
            "{}",
            "{\"type\":\"session.start\",\"data\":{\"sessionId\":\"s\"},\"id\":\"a\",\"parentId\":null}",
            "{\"timestamp\":\"2026\",\"type\":\"session_meta\",\"payload\":{\"id\":\"a\"}}",
            "{\"type\":\"session\",\"version\":3,\"id\":\"a\",\"timestamp\":\"x\",\"cwd\":\"/\"}",
            "{\"uuid\":\"a\",\"sessionId\":\"s\",\"type\":\"user\",\"message\":{\"role\":\"\",\"parts\":[]}}",
            "{\"uuid\":\"a\",\"sessionId\":\"s\",\"type\":\"system\",\"systemPayload\":1,\"isSidechain\":1}",
            "{\"sessionId\":\"s\",\"projectHash\":\"h\",\"startTime\":\"x\",\"kind\":\"main\"}",
        ] {
            assert!(!looks_like(head.as_bytes()), "{head}");
        }
    }
}
