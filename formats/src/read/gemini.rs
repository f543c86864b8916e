//! Sessions of gemini-cli: a document with all messages, or, newer, JSON lines of which later ones change earlier ones. Read
//! only. Lines that another has replaced are kept as extra lines, and messages that a rewind has dropped stay, hidden.

use std::collections::BTreeMap;

use sessile_core::import::{
    Import, ImportedExtra, ImportedUsage, Lines, Members, Record, fingerprint, read_records,
};
use sessile_core::json::quote;

use super::{Reading, document, metadata, piece, time, usage, usage_json};
use crate::draft::{Draft, call, opaque, part, result};
use crate::text::{at, is_context, items, name, number_at, some, text_at};

const FORMAT: &str = "gemini-cli";

/// Whether a file that begins like this is a session of gemini-cli.
pub fn looks_like(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head.get(..head.len().min(4096)).unwrap_or_default());
    let text: String = text.split_whitespace().collect();
    let has = |key: &str| text.contains(&format!("\"{key}\":"));
    let is_session = has("sessionId") && (has("projectHash") || (has("startTime") && has("messages")));
    let is_messages = text.starts_with("{\"messages\":[{\"id\":") && has("timestamp") && has("type");
    // A message alone.
    let is_message = text.starts_with("{\"id\":") && text.contains("\"type\":\"gemini\"") && has("timestamp");
    text.starts_with('{') && (is_session || is_messages || is_message)
}

/// A message, as its last line says it.
struct Said {
    text: String,
    line: u64,
    /// How many times it was said.
    count: u64,
    is_dropped: bool,
}

#[derive(Default)]
struct Chat {
    said: Vec<Said>,
    by_id: BTreeMap<String, usize>,
    extra: Vec<ImportedExtra>,
    /// Facts of the session: the last of a name counts.
    facts: BTreeMap<String, String>,
}

/// Reads a session: a document or lines.
pub fn read(stem: &str, bytes: &[u8]) -> Import {
    let mut import = Import::default();
    let mut chat = Chat::default();
    let is_document = str::from_utf8(bytes).ok().and_then(Members::parse).is_some_and(|document| {
        document.get("messages").is_some() || (document.get("id").is_some() && document.get("type").is_some())
    });
    if is_document {
        let Some(text) = document(bytes, &mut import) else { return import };
        let Some(mut members) = Members::parse(&text) else { return import };
        if members.get("messages").is_none() {
            chat.say(&text, 1);
            chat.finish(&mut import, stem);
            return import;
        }
        for (number, message) in items(members.get("messages")).into_iter().enumerate() {
            chat.say(message, number as u64 + 1);
        }
        members.0.retain(|(key, _)| *key != "messages");
        let mut json = String::new();
        members.write(&mut json);
        chat.learn(&json);
        chat.extra.push(ImportedExtra { line: 0, json });
        chat.finish(&mut import, stem);
        return import;
    }
    read_lines(stem, &mut &*bytes)
}

/// Reads a session that is lines.
pub fn read_lines(stem: &str, lines: &mut dyn Lines) -> Import {
    let mut import = Import::default();
    let mut chat = Chat::default();
    read_records(lines, "timestamp", &mut import, |_, record| chat.take(&record));
    chat.finish(&mut import, stem);
    import
}

impl Chat {
    fn take(&mut self, record: &Record) {
        let text = record.text.as_str();
        let is_message = at(text, &["id"]).is_some() && at(text, &["type"]).is_some();
        if is_message {
            return self.say(text, record.place.line);
        }
        if let Some(set) = at(text, &["$set"]) {
            self.learn(set);
            if let Some(messages) = at(set, &["messages"]) {
                self.drop_from(0);
                for message in items(Some(messages)) {
                    self.say(message, record.place.line);
                }
            }
        } else if let Some(id) = text_at(text, &["$rewindTo"]) {
            let from = self.by_id.get(&id).copied().unwrap_or_default();
            self.drop_from(from);
        } else {
            self.learn(text);
        }
        self.extra.push(ImportedExtra { line: record.place.line, json: record.source().to_owned() });
    }

    fn drop_from(&mut self, from: usize) {
        for said in self.said.iter_mut().skip(from) {
            said.is_dropped = true;
        }
    }

    fn learn(&mut self, facts: &str) {
        for (key, value) in Members::parse(facts).unwrap_or_default().0 {
            if key != "messages" {
                self.facts.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    /// The same id again replaces what was said before.
    fn say(&mut self, text: &str, line: u64) {
        let id = text_at(text, &["id"]).unwrap_or_else(|| format!("{:016x}", fingerprint(text)));
        match self.by_id.get(&id).and_then(|index| self.said.get_mut(*index)) {
            Some(said) => {
                if said.text != text {
                    let before = std::mem::replace(&mut said.text, text.to_owned());
                    self.extra
                        .push(ImportedExtra { line: std::mem::replace(&mut said.line, line), json: before });
                }
                said.count += 1;
                said.is_dropped = false;
            }
            None => {
                self.by_id.insert(id, self.said.len());
                self.said.push(Said { text: text.to_owned(), line, count: 1, is_dropped: false });
            }
        }
    }

    fn finish(self, import: &mut Import, stem: &str) {
        let fact = |key: &str| self.facts.get(key).map(String::as_str);
        let text = |key: &str| {
            fact(key).and_then(sessile_core::import::decode_string).map(std::borrow::Cow::into_owned)
        };
        let mut reading = Reading::new(FORMAT);
        reading.session.id = text("sessionId").unwrap_or_default();
        reading.title = text("summary");
        reading.session.metadata =
            metadata(FORMAT, &[("projectHash", fact("projectHash")), ("kind", fact("kind"))]);
        for key in ["startTime", "lastUpdated"] {
            reading.saw(time(fact(key)));
        }
        for said in &self.said {
            take(&mut reading, said);
        }
        reading.session.extra = self.extra;
        reading.finish(import, stem);
    }
}

fn take(reading: &mut Reading, said: &Said) {
    let text = said.text.as_str();
    let kind = text_at(text, &["type"]).unwrap_or_default();
    let mut draft = Draft::new(match kind.as_str() {
        "user" => "user",
        "gemini" | "model" => "assistant",
        _ => "system",
    });
    draft.at = time(at(text, &["timestamp"]));
    for thought in items(at(text, &["thoughts"])) {
        let told: Vec<String> =
            ["subject", "description"].into_iter().filter_map(|key| text_at(thought, &[key])).collect();
        draft.text("thinking", Some(&quote(&told.join("\n"))));
    }
    parts(&mut draft, at(text, &["content"]));
    for tool in items(at(text, &["toolCalls"])) {
        let get = |key| at(tool, &[key]);
        draft.parts.push(call(get("id"), get("name"), get("args").unwrap_or("{}")));
        let status = text_at(tool, &["status"]).unwrap_or_default();
        let answer = items(get("result"))
            .first()
            .and_then(|first| at(first, &["functionResponse", "response"]))
            .map(|answer| at(answer, &["output"]).or(at(answer, &["error"])).unwrap_or(answer));
        if let Some(answer) = answer.or(some(get("resultDisplay"))) {
            draft.parts.push(result(get("id"), answer, matches!(status.as_str(), "error" | "cancelled")));
        }
    }
    draft.is_error = kind == "error";
    draft.hidden = said.is_dropped;
    let id = text_at(text, &["id"]).filter(|id| sessile_core::import::is_id(id));
    let key = match id {
        Some(id) => reading.keys.of_id(&id),
        None => reading.keys.of_text(text),
    };
    let model = text_at(text, &["model"]);
    if draft.role == "assistant" {
        draft.set("model", model.as_deref().map(quote));
        reading.model(model.clone(), Some("google".to_owned()));
    }
    if let Some(used) = used(text, &key, model, draft.at) {
        draft.set("usage", Some(usage_json(&used)));
        reading.session.use_up(used);
    }
    let state = if said.is_dropped { "hidden" } else { "visible" };
    let version = format!("{}-{:016x}-{state}", said.count, fingerprint(text));
    reading.message(FORMAT, draft, key, &piece(text, said.line), Some(version));
}

fn used(text: &str, key: &str, model: Option<String>, at_ms: Option<u64>) -> Option<ImportedUsage> {
    let tokens = at(text, &["tokens"])?;
    let used = usage(tokens, [&["input"], &["output"], &["cached"], &["-"]])?;
    // What came from the cache is among the input, and thoughts are not among the output.
    let input = used.input.map(|input| input.saturating_sub(used.cache_read.unwrap_or_default()));
    let output = used.output.map(|output| output + number_at(tokens, &["thoughts"]).unwrap_or_default());
    Some(ImportedUsage { key: key.to_owned(), model: name(model), at_ms, input, output, ..used })
}

/// Parts of the Gemini API: a text, a part, or a list of either.
pub(super) fn parts(draft: &mut Draft, content: Option<&str>) {
    let Some(content) = content else { return };
    let all = if content.starts_with('[') { items(Some(content)) } else { vec![content] };
    for item in all {
        let get = |key| at(item, &[key]);
        if item.starts_with('"') {
            draft.text("text", Some(item));
        } else if get("thought") == Some("true") {
            draft.text("thinking", get("text"));
        } else if let Some(text) = get("text") {
            let is_added =
                draft.role == "user" && text_at(item, &["text"]).is_some_and(|text| is_context(&text));
            draft.hidden |= is_added;
            draft.text("text", Some(text));
        } else if let Some(asked) = get("functionCall") {
            let of = |key| at(asked, &[key]);
            draft.parts.push(call(of("id").or(of("name")), of("name"), of("args").unwrap_or("{}")));
        } else if let Some(answer) = get("functionResponse") {
            let of = |key| at(answer, &[key]);
            let response = of("response").unwrap_or("{}");
            let said = at(response, &["output"]).or(at(response, &["error"])).unwrap_or(response);
            let is_error = at(response, &["error"]).is_some();
            draft.parts.push(result(of("id").or(of("name")), said, is_error));
        } else if let Some(file) = get("inlineData") {
            let of = |key| at(file, &[key]).filter(|value| value.starts_with('"'));
            let media = of("mimeType").unwrap_or("\"\"");
            let kind = if media.starts_with("\"image/") { "image" } else { "file" };
            draft.parts.push(part(kind, &[("media_type", media), ("data", of("data").unwrap_or("\"\""))]));
        } else {
            draft.parts.push(opaque(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        r#"{"sessionId":"g","projectHash":"h","startTime":"2026-01-02T03:04:05.000Z","kind":"main"}"#;

    fn line(id: &str, kind: &str, text: &str) -> String {
        format!(
            r#"{{"id":"{id}","timestamp":"2026-01-02T03:04:06.000Z","type":"{kind}","content":"{text}"}}"#
        )
    }

    fn told(import: &Import) -> Vec<(bool, bool)> {
        let session = &import.sessions[0];
        let tell = |json: &str| (json.contains("later"), json.contains("\"hidden\":true"));
        session.messages.iter().map(|message| tell(&message.json)).collect()
    }

    #[test]
    fn a_line_replaces_the_one_with_its_id_which_is_kept() {
        let lines = [HEAD, &line("a", "user", "x"), &line("b", "gemini", "y"), &line("b", "gemini", "later")];
        let import = read("stem", lines.join("\n").as_bytes());
        assert_eq!(told(&import), [(false, false), (true, false)]);
        assert_eq!(import.sessions[0].extra.len(), 2);
        assert_eq!(import.sessions[0].id, "g");
    }

    #[test]
    fn what_a_rewind_has_dropped_is_hidden() {
        let rewind = r#"{"$rewindTo":"b"}"#;
        let lines =
            [HEAD, &line("a", "user", "x"), &line("b", "user", "y"), rewind, &line("c", "user", "later")];
        let import = read("stem", lines.join("\n").as_bytes());
        assert_eq!(told(&import), [(false, false), (false, true), (true, false)]);
    }

    #[test]
    fn a_message_alone_is_a_session() {
        let text = line("a", "gemini", "later").replace(',', ",\n");
        assert!(looks_like(text.as_bytes()));
        assert_eq!(told(&read("stem", text.as_bytes())), [(true, false)]);
    }

    #[test]
    fn the_older_document_is_read() {
        let document =
            format!(r#"{{"sessionId":"g","projectHash":"h","messages":[{}]}}"#, line("a", "user", "later"));
        assert!(looks_like(document.as_bytes()) && looks_like(HEAD.as_bytes()));
        assert_eq!(told(&read("stem", document.as_bytes())), [(true, false)]);
    }
}
