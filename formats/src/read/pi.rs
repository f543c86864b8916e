//! Sessions of pi: JSON lines, from version 2 on with ids and parents that make a tree.
//!
//! Entries that say something become messages, in the order of the file; everything else is an extra line. The last entry
//! of the file is the leaf: messages that do not lead to it stand in branches that were left (`tree.rs`). `parent` of a
//! message is its entry's. Version 4 stores writes, several to a line; it is read only.

use sessile_core::import::{Import, Lines, Members, Record, read_records};
use sessile_core::json::quote;

use super::tree::Tree;
use super::{Reading, VISIBLE, metadata, time, usage, usage_json};
use crate::draft::{Draft, call, list, opaque, part, result};
use crate::text::{at, items, name, scope, some, text_at};

const FORMAT: &str = "pi";
/// Entries of version 4, which are not written as they were.
const FORMAT_4: &str = "pi-4";

/// Whether a file that begins like this is a session of pi.
pub fn looks_like(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = str::from_utf8(line).ok().map(str::trim).and_then(Members::parse) else { return false };
    let is = |key, value| line.string(key).is_some_and(|text| text == value);
    (is("type", "session")
        && line.has_string("id")
        && line.has_string("timestamp")
        && line.get("data").is_none())
        || (is("kind", "header") && line.get("v").is_some())
}

/// Reads a session.
pub fn read(stem: &str, lines: &mut dyn Lines) -> Import {
    let mut import = Import::default();
    let mut entries = Entries { reading: Reading::new(FORMAT), ..Entries::default() };
    read_records(lines, "type", &mut import, |_, record| entries.take(&record));
    let stem = stem.rsplit('_').next().unwrap_or(stem);
    entries.reading.finish(&mut import, stem);
    entries.tree.part(&mut import);
    import
}

#[derive(Default)]
struct Entries {
    reading: Reading,
    tree: Tree,
}

impl Entries {
    fn take(&mut self, record: &Record) {
        let text = record.text.as_str();
        if text.starts_with('[') {
            return self.writes(record);
        }
        if text_at(text, &["kind"]).as_deref() == Some("header") {
            self.header(text, "createdAt", "parentSessionId");
            return self.reading.extra(record);
        }
        if !self.entry(text, record, FORMAT) {
            self.reading.extra(record);
        }
    }

    fn header(&mut self, text: &str, created: &str, parent: &str) {
        let session = &mut self.reading.session;
        if !session.id.is_empty() {
            return;
        }
        session.id = text_at(text, &["id"]).unwrap_or_default();
        session.scope = scope(text_at(text, &["cwd"]));
        // The parent is named by its file.
        let parent = text_at(text, &[parent]).or(text_at(text, &["branchedFrom"]));
        session.parent = parent.map(|path| {
            let stem = path.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".jsonl");
            sessile_core::import::id_for(stem.rsplit('_').next().unwrap_or(stem))
        });
        let kept = ["version", "parentSession", "provider", "modelId", "thinkingLevel", "branchedFrom"];
        let kept: Vec<(&str, Option<&str>)> =
            kept.into_iter().map(|key| (key, some(at(text, &[key])))).collect();
        session.metadata = metadata(FORMAT, &kept);
        self.reading.saw(time(at(text, &[created])));
        self.reading.model(text_at(text, &["modelId"]), text_at(text, &["provider"]));
    }

    /// A line of version 4: a list of writes, of which the entries are messages.
    fn writes(&mut self, record: &Record) {
        for write in items(Some(&record.text)) {
            let entry =
                ["entry", "value"].into_iter().find_map(|key| some(at(write, &[key]))).unwrap_or(write);
            if text_at(entry, &["type"]).is_some() {
                self.entry(entry, record, FORMAT_4);
            }
        }
        self.reading.extra(record);
    }

    /// Takes an entry, and says whether it has become a message.
    fn entry(&mut self, text: &str, record: &Record, format: &str) -> bool {
        let get = |key| at(text, &[key]);
        let kind = text_at(text, &["type"]).unwrap_or_default();
        let id = text_at(text, &["id"]);
        if kind == "session" {
            self.header(text, "timestamp", "parentSession");
            return false;
        }
        if let Some(id) = &id {
            self.tree.add(id.clone(), text_at(text, &["parentId"]));
        }
        let stamp = time(get("timestamp"));
        self.reading.saw(stamp);
        let mut draft = match kind.as_str() {
            "message" => self.message(get("message").unwrap_or("{}")),
            "compaction" | "branch_summary" => {
                let mut draft = Draft::new("system");
                draft.text("text", get("summary"));
                draft.is_summary = true;
                draft
            }
            "custom_message" => {
                let mut draft = Draft::new("user");
                content(&mut draft, get("content"));
                draft.hidden = get("display") == Some("false");
                draft
            }
            "model_change" => {
                self.reading.model(text_at(text, &["modelId"]), text_at(text, &["provider"]));
                return false;
            }
            "session_info" => {
                self.reading.title = text_at(text, &["name"]).or(self.reading.title.take());
                return false;
            }
            _ => return false,
        };
        draft.at = stamp;
        draft.set("parent", text_at(text, &["parentId"]).map(|parent| quote(&parent)));
        let key = match &id {
            Some(id) if sessile_core::import::is_id(id) => self.reading.keys.of_id(id),
            _ => self.reading.keys.of_text(record.source()),
        };
        // What an answer has used, under the answer's own id: forks copy answers.
        if let Some(used) = get("message").or(get("usage")).and_then(|message| used(message, &key, stamp)) {
            draft.set("usage", Some(usage_json(&used)));
            self.reading.session.use_up(used);
        }
        let piece = Record { text: text.to_owned(), original: None, place: record.place };
        let record = if format == FORMAT { record } else { &piece };
        self.reading.message(format, draft, key, record, Some(VISIBLE.to_owned()));
        true
    }

    fn message(&mut self, message: &str) -> Draft {
        let get = |key| at(message, &[key]);
        let role = text_at(message, &["role"]).unwrap_or_default();
        let mut draft = Draft::new(match role.as_str() {
            "assistant" => "assistant",
            "toolResult" => "tool",
            "system" | "branchSummary" | "compactionSummary" => "system",
            _ => "user",
        });
        match role.as_str() {
            "toolResult" => {
                let (images, blocks): (Vec<&str>, Vec<&str>) =
                    items(get("content")).into_iter().partition(|block| at(block, &["data"]).is_some());
                let content = match get("content") {
                    Some(text) if text.starts_with('"') => text.to_owned(),
                    _ => list(&blocks),
                };
                draft.parts.push(result(get("toolCallId"), &content, get("isError") == Some("true")));
                draft.parts.extend(images.iter().filter_map(|image| image_of(image)));
            }
            "bashExecution" => {
                let command = get("command").unwrap_or("\"\"");
                draft.parts.push(part("code", &[("language", "\"bash\""), ("text", command)]));
                draft.text("text", get("output"));
            }
            "branchSummary" | "compactionSummary" => {
                draft.text("text", get("summary"));
                draft.is_summary = true;
            }
            _ => content(&mut draft, get("content")),
        }
        draft.hidden = role == "system" || get("display") == Some("false");
        if role == "assistant" {
            draft.set("model", get("model").filter(|model| model.starts_with('"')).map(str::to_owned));
            draft.is_error = get("stopReason") == Some("\"error\"");
            self.reading.model(text_at(message, &["model"]), text_at(message, &["provider"]));
        }
        draft
    }
}

/// The parts of a content: a text or blocks.
fn content(draft: &mut Draft, content: Option<&str>) {
    draft.text("text", content);
    for block in items(content) {
        let get = |key| at(block, &[key]);
        match text_at(block, &["type"]).unwrap_or_default().as_str() {
            "text" => draft.text("text", get("text")),
            "thinking" => {
                let mut members =
                    vec![("text", get("thinking").filter(|text| text.starts_with('"')).unwrap_or("\"\""))];
                members.extend(some(get("thinkingSignature")).map(|signature| ("signature", signature)));
                draft.parts.push(part("thinking", &members));
            }
            "toolCall" => draft.parts.push(call(get("id"), get("name"), get("arguments").unwrap_or("{}"))),
            "image" => draft.parts.push(image_of(block).unwrap_or_else(|| opaque(block))),
            _ => draft.parts.push(opaque(block)),
        }
    }
}

fn image_of(block: &str) -> Option<String> {
    let data = at(block, &["data"]).filter(|data| data.starts_with('"'))?;
    let media = at(block, &["mimeType"]).filter(|media| media.starts_with('"')).unwrap_or("\"image/png\"");
    Some(part("image", &[("media_type", media), ("data", data)]))
}

fn used(message: &str, key: &str, stamp: Option<u64>) -> Option<sessile_core::import::ImportedUsage> {
    let counts = at(message, &["usage"])?;
    let used = usage(counts, [&["input"], &["output"], &["cacheRead"], &["cacheWrite"]])?;
    Some(sessile_core::import::ImportedUsage {
        key: key.to_owned(),
        model: name(text_at(message, &["model"])),
        at_ms: stamp,
        cost: some(at(counts, &["cost", "total"])).map(str::to_owned),
        ..used
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::regenerate;

    const HEAD: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-02T03:04:05.000Z","cwd":"/p","parentSession":"/x/2026_abc.jsonl"}"#;

    fn entry(id: &str, parent: &str, message: &str) -> String {
        let parent = if parent.is_empty() { "null".to_owned() } else { quote(parent) };
        format!(
            r#"{{"type":"message","id":"{id}","parentId":{parent},"timestamp":"2026-01-02T03:04:06.000Z","message":{message}}}"#
        )
    }

    fn user(id: &str, parent: &str) -> String {
        entry(id, parent, r#"{"role":"user","content":"hi"}"#)
    }

    /// Ids of messages, with a `-` before the hidden ones.
    fn told(session: &sessile_core::import::ImportedSession) -> String {
        let tell = |message: &sessile_core::import::ImportedMessage| {
            format!("{}{}", if message.json.contains("\"hidden\":true") { "-" } else { "" }, message.key)
        };
        session.messages.iter().map(tell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn branches_that_were_left_are_forks_and_hidden_in_their_session() {
        // Two branches behind b, of which the first parts once more, and the one that counts.
        let lines = [
            HEAD.to_owned(),
            user("a", ""),
            user("b", "a"),
            user("c", "b"),
            user("d", "c"),
            user("e", "c"),
            user("f", "b"),
            user("g", "b"),
        ];
        let import = read("stem", &mut lines.join("\n").as_bytes());
        let session = &import.sessions[0];
        assert_eq!(told(session), "a b -c -d -e -f g");
        assert_eq!((session.parent.as_deref(), session.scope.as_deref()), (Some("abc"), Some("/p")));
        let back: Vec<String> =
            session.messages.iter().map(|message| regenerate(FORMAT, &message.json).unwrap()).collect();
        assert_eq!(back, lines[1..]);
        let branches: Vec<_> = import.sessions[1..]
            .iter()
            .map(|branch| (branch.id.as_str(), branch.shared, told(branch), branch.parent.as_deref()))
            .collect();
        assert_eq!(
            branches,
            [
                ("s/branch-f", 2, "a b f".to_owned(), Some("s")),
                ("s/branch-e", 2, "a b c e".to_owned(), Some("s")),
                ("s/branch-d", 2, "a b c d".to_owned(), Some("s")),
            ]
        );
    }

    #[test]
    fn lines_that_are_each_others_parents_end() {
        let lines =
            [HEAD.to_owned(), user("a", "b"), user("b", "a"), user("c", ""), user("d", "d"), user("e", "c")];
        let import = read("stem", &mut lines.join("\n").as_bytes());
        assert_eq!(told(&import.sessions[0]), "-a -b c -d e");
    }

    #[test]
    fn many_branches_are_hidden_messages() {
        let mut lines = vec![HEAD.to_owned(), user("a", "")];
        lines.extend((0..200).map(|n| user(&format!("b{n}"), "a")));
        let import = read("stem", &mut lines.join("\n").as_bytes());
        assert_eq!((import.sessions.len(), import.problems.len()), (65, 1));
        assert!(import.problems[0].what.starts_with("199 branches were left, of which 64"));
    }

    #[test]
    fn an_answer_has_its_blocks_its_model_and_what_it_used() {
        let answer = r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","thinkingSignature":"sig"},{"type":"toolCall","id":"t","name":"read","arguments":{"z":1.0,"a":null}}],"provider":"p","model":"m","usage":{"input":3,"output":2,"cacheRead":1,"cacheWrite":0,"cost":{"total":0.5}},"stopReason":"toolUse"}"#;
        let import = read("stem", &mut [HEAD, &entry("a", "", answer)].join("\n").as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.model.as_deref(), session.provider.as_deref()), (Some("m"), Some("p")));
        assert_eq!((session.usage[0].input, session.usage[0].cost.as_deref()), (Some(3), Some("0.5")));
        assert!(session.messages[0].json.contains(r#""arguments":{"z":1.0,"a":null}"#));
        assert!(session.messages[0].json.contains(r#""signature":"sig""#));
    }

    #[test]
    fn the_first_version_has_no_ids_and_no_branches() {
        let line = r#"{"type":"message","timestamp":"2026-01-02T03:04:06.000Z","message":{"role":"user","content":"hi"}}"#;
        let import = read("stem", &mut [HEAD, line, line].join("\n").as_bytes());
        let session = &import.sessions[0];
        assert_eq!(session.messages.len(), 2);
        assert!(session.messages.iter().all(|message| !message.json.contains("hidden")));
    }

    #[test]
    fn the_fourth_version_is_read_out_of_its_writes() {
        let head =
            r#"{"v":4,"kind":"header","id":"s4","storageVersion":1,"createdAt":1767323045000,"cwd":"/p"}"#;
        let write = format!(
            r#"[{{"seq":1,"kind":"entry","entry":{}}},{{"seq":2,"kind":"value","op":"set","key":"k"}}]"#,
            user("a", "")
        );
        assert!(looks_like(head.as_bytes()));
        let import = read("stem", &mut [head, &write].join("\n").as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.id.as_str(), session.messages.len(), session.extra.len()), ("s4", 1, 2));
    }
}
