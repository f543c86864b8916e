//! Sessions of qwen-code: JSON lines in the envelope of Claude Code with contents of the Gemini API. Read only.
//!
//! Lines make a tree by `parentUuid`; the last line is the leaf. What does not lead to it was left by a rewind (`tree.rs`).

use sessile_core::import::{Import, ImportedUsage, Lines, Members, Record, read_records};
use sessile_core::json::quote;

use super::tree::Tree;
use super::{Reading, VISIBLE, gemini, metadata, time, usage, usage_json};
use crate::draft::Draft;
use crate::text::{at, name, number_at, scope, text_at};

const FORMAT: &str = "qwen-code";

/// Whether a file that begins like this is a session of qwen-code.
pub fn looks_like(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().filter_map(Members::parse).take(20).any(|line| {
        let has_parts = line
            .get("message")
            .and_then(Members::parse)
            .is_some_and(|message| message.get("parts").is_some());
        line.has_string("uuid")
            && line.has_string("sessionId")
            && (has_parts || line.get("systemPayload").is_some())
    })
}

/// Reads a session.
pub fn read(stem: &str, lines: &mut dyn Lines) -> Import {
    let mut import = Import::default();
    let mut reading = Reading::new(FORMAT);
    reading.session.metadata = metadata(FORMAT, &[]);
    let mut tree = Tree::default();
    read_records(lines, "sessionId", &mut import, |_, record| {
        if let Some(id) = text_at(&record.text, &["uuid"]) {
            tree.add(id, text_at(&record.text, &["parentUuid"]));
        }
        take(&mut reading, &record);
    });
    reading.finish(&mut import, stem);
    tree.part(&mut import);
    import
}

fn take(reading: &mut Reading, record: &Record) {
    let text = record.text.as_str();
    let get = |key| at(text, &[key]);
    let session = &mut reading.session;
    if session.id.is_empty() {
        session.id = text_at(text, &["sessionId"]).unwrap_or_default();
    }
    session.scope = session.scope.take().or(scope(text_at(text, &["cwd"])));
    let stamp = time(get("timestamp"));
    reading.saw(stamp);
    let subtype = text_at(text, &["subtype"]).unwrap_or_default();
    let kind = text_at(text, &["type"]).unwrap_or_default();
    match subtype.as_str() {
        "custom_title" => {
            let title =
                ["customTitle", "title"].into_iter().find_map(|key| text_at(text, &["systemPayload", key]));
            reading.title = title.or(reading.title.take());
        }
        "parent_session" => {
            let parent = ["parentSessionId", "sessionId"]
                .into_iter()
                .find_map(|key| text_at(text, &["systemPayload", key]));
            reading.session.parent = parent.map(|parent| sessile_core::import::id_for(&parent));
        }
        _ => {}
    }
    let Some(message) = get("message").filter(|_| kind != "system") else { return reading.extra(record) };
    let mut draft = Draft::new(match kind.as_str() {
        "assistant" => "assistant",
        "tool_result" => "tool",
        _ => "user",
    });
    draft.at = stamp;
    gemini::parts(&mut draft, at(message, &["parts"]));
    let key = match text_at(text, &["uuid"]).filter(|id| sessile_core::import::is_id(id)) {
        Some(id) => reading.keys.of_id(&id),
        None => reading.keys.of_text(record.source()),
    };
    draft.set("parent", text_at(text, &["parentUuid"]).map(|parent| quote(&parent)));
    if draft.role == "assistant" {
        let model = text_at(text, &["model"]);
        draft.set("model", model.as_deref().map(quote));
        if let Some(used) = get("usageMetadata").and_then(|used| used_of(used, &key, model.clone(), stamp)) {
            draft.set("usage", Some(usage_json(&used)));
            reading.session.use_up(used);
        }
        reading.model(model, None);
    }
    reading.message(FORMAT, draft, key, record, Some(VISIBLE.to_owned()));
}

fn used_of(text: &str, key: &str, model: Option<String>, at_ms: Option<u64>) -> Option<ImportedUsage> {
    let names: [&[&str]; 4] =
        [&["promptTokenCount"], &["candidatesTokenCount"], &["cachedContentTokenCount"], &["-"]];
    let used = usage(text, names)?;
    let input = used.input.map(|input| input.saturating_sub(used.cache_read.unwrap_or_default()));
    let output =
        used.output.map(|output| output + number_at(text, &["thoughtsTokenCount"]).unwrap_or_default());
    Some(ImportedUsage { key: key.to_owned(), model: name(model), at_ms, input, output, ..used })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, parent: &str, kind: &str, more: &str) -> String {
        let parent = if parent.is_empty() { "null".to_owned() } else { quote(parent) };
        format!(
            r#"{{"uuid":"{id}","parentUuid":{parent},"sessionId":"q","timestamp":"2026-01-02T03:04:05.000Z","type":"{kind}","cwd":"/p",{more}}}"#
        )
    }

    #[test]
    fn what_a_rewind_has_left_is_hidden() {
        let said = |text: &str| format!(r#""message":{{"role":"user","parts":[{{"text":"{text}"}}]}}"#);
        let lines = [
            line("a", "", "user", &said("one")),
            line("b", "a", "user", &said("two")),
            line("r", "a", "system", r#""subtype":"rewind","systemPayload":{}"#),
            line("c", "r", "user", &said("three")),
            line("t", "c", "system", r#""subtype":"custom_title","systemPayload":{"customTitle":"T"}"#),
        ];
        assert!(looks_like(lines[0].as_bytes()));
        let import = read("stem", &mut lines.join("\n").as_bytes());
        let session = &import.sessions[0];
        let hidden: Vec<bool> =
            session.messages.iter().map(|message| message.json.contains("\"hidden\":true")).collect();
        assert_eq!(hidden, [false, true, false]);
        assert_eq!((session.title.as_deref(), session.extra.len()), (Some("T"), 2));
    }
}
