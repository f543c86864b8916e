//! Sessions of goose: JSON lines whose first one describes the session, or the document that `goose session export` writes.
//! Read only: the program keeps its sessions in a database.

use sessile_core::import::{Import, ImportedExtra, Lines, Members, Record, read_records};
use sessile_core::json::quote;

use super::{Reading, document, metadata, piece, time, usage};
use crate::draft::{Draft, call, list, opaque, part, result};
use crate::text::{at, items, name, scope, some, text_at};

const FORMAT: &str = "goose";

/// Whether a file that begins like this is a session of goose.
pub fn looks_like(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head.get(..head.len().min(65_536)).unwrap_or_default());
    let first = text.lines().next().unwrap_or_default();
    let Some(line) = Members::parse(first) else {
        let text: String = text.chars().take(4096).collect();
        return text.contains("\"working_dir\"") && text.trim_start().starts_with('{');
    };
    let has = |key| line.get(key).is_some();
    let is_message = text.lines().nth(1).and_then(Members::parse).is_some_and(|line| {
        line.get("role").is_some() && line.get("created").is_some() && line.get("content").is_some()
    });
    let is_named = has("working_dir") || has("conversation");
    (is_named && !has("type")) || (is_message && !has("type") && !has("uuid"))
}

/// Reads a session: a document or lines.
pub fn read(stem: &str, bytes: &[u8]) -> Import {
    let is_document = str::from_utf8(bytes).is_ok_and(|text| {
        Members::parse(text).is_some_and(|document| document.get("conversation").is_some())
    });
    if is_document {
        let mut import = Import::default();
        let mut reading = begun();
        let Some(text) = document(bytes, &mut import) else { return import };
        let Some(mut members) = Members::parse(&text) else { return import };
        let all = members.get("conversation").map(|all| at(all, &["messages"]).unwrap_or(all));
        for (number, message) in items(all).into_iter().enumerate() {
            take(&mut reading, message, &piece(message, number as u64 + 1));
        }
        members.0.retain(|(key, _)| *key != "conversation");
        let mut json = String::new();
        members.write(&mut json);
        describe(&mut reading, &json);
        reading.session.extra.push(ImportedExtra { line: 0, json });
        reading.finish(&mut import, stem);
        return import;
    }
    read_lines(stem, &mut &*bytes)
}

/// Reads a session that is lines.
pub fn read_lines(stem: &str, lines: &mut dyn Lines) -> Import {
    let mut import = Import::default();
    let mut reading = begun();
    read_records(lines, "role", &mut import, |_, record| {
        if at(&record.text, &["role"]).is_some() {
            take(&mut reading, &record.text, &record);
        } else {
            describe(&mut reading, &record.text);
            reading.extra(&record);
        }
    });
    reading.finish(&mut import, stem);
    import
}

fn begun() -> Reading {
    let mut reading = Reading::new(FORMAT);
    reading.session.metadata = metadata(FORMAT, &[]);
    reading
}

/// What a row or the first line says about the session.
fn describe(reading: &mut Reading, text: &str) {
    reading.session.id = text_at(text, &["id"]).unwrap_or_default();
    reading.session.scope = scope(text_at(text, &["working_dir"]));
    reading.title = text_at(text, &["name"])
        .or(text_at(text, &["description"]))
        .or(text_at(text, &["user_recipe", "title"]));
    let model = text_at(text, &["model_config", "model_name"]);
    reading.model(model, text_at(text, &["provider_name"]));
    for key in ["created_at", "updated_at"] {
        reading.saw(time(at(text, &[key])));
    }
    // The sums are all that it says about usage.
    let names: [&[&str]; 4] = [&["accumulated_input_tokens"], &["accumulated_output_tokens"], &["-"], &["-"]];
    if let Some(used) = usage(text, names) {
        let model = name(reading.session.model.clone());
        reading.session.use_up(sessile_core::import::ImportedUsage {
            key: "accumulated".into(),
            model,
            ..used
        });
    }
}

fn take(reading: &mut Reading, message: &str, record: &Record) {
    let role = text_at(message, &["role"]).unwrap_or_default();
    let mut draft = Draft::new(if role == "assistant" { "assistant" } else { "user" });
    draft.at = time(at(message, &["created"]).or(at(message, &["created_timestamp"])));
    let mut is_all_results = true;
    for block in items(at(message, &["content"])) {
        let get = |key| at(block, &[key]);
        let kind = text_at(block, &["type"]).unwrap_or_default();
        is_all_results &= kind == "toolResponse";
        match kind.as_str() {
            "text" => draft.text("text", get("text")),
            "image" => {
                let media = get("mimeType").unwrap_or("\"image/png\"");
                draft
                    .parts
                    .push(part("image", &[("media_type", media), ("data", get("data").unwrap_or("\"\""))]));
            }
            "toolRequest" | "frontendToolRequest" => {
                let value = at(block, &["toolCall", "value"]).unwrap_or("{}");
                let arguments = at(value, &["arguments"]).unwrap_or("{}");
                draft.parts.push(call(get("id"), at(value, &["name"]), arguments));
            }
            "toolResponse" => answer(&mut draft, block),
            "thinking" => {
                let mut members = vec![("text", get("thinking").unwrap_or("\"\""))];
                members.extend(some(get("signature")).map(|signature| ("signature", signature)));
                draft.parts.push(part("thinking", &members));
            }
            _ => draft.parts.push(opaque(block)),
        }
    }
    if is_all_results && !draft.parts.is_empty() {
        draft.role = "tool";
    }
    let is_false = |key| {
        ["metadata", "metadata_json"].into_iter().any(|place| at(message, &[place, key]) == Some("false"))
    };
    draft.hidden = is_false("userVisible");
    if is_false("agentVisible") {
        draft.set("hidden_from_model", Some("true".to_owned()));
    }
    let key = match text_at(message, &["id"]).filter(|id| sessile_core::import::is_id(id)) {
        Some(id) => reading.keys.of_id(&id),
        None => reading.keys.of_text(record.source()),
    };
    if draft.role == "assistant" {
        draft.set("model", reading.session.model.as_deref().map(quote));
    }
    reading.message(FORMAT, draft, key, record, None);
}

fn answer(draft: &mut Draft, block: &str) {
    let outcome = at(block, &["toolResult"]).unwrap_or("{}");
    let is_error = text_at(outcome, &["status"]).as_deref() == Some("error");
    let value = some(at(outcome, &["value"])).or(at(outcome, &["error"])).unwrap_or("\"\"");
    // Newer versions put the blocks into an object.
    let value = at(value, &["content"]).unwrap_or(value);
    let (images, blocks): (Vec<&str>, Vec<&str>) =
        items(Some(value)).into_iter().partition(|block| at(block, &["data"]).is_some());
    let content = if value.starts_with('[') { list(&blocks) } else { value.to_owned() };
    draft.parts.push(result(at(block, &["id"]), &content, is_error));
    for image in images {
        let media = at(image, &["mimeType"]).unwrap_or("\"image/png\"");
        let data = at(image, &["data"]).filter(|data| data.starts_with('"'));
        draft.parts.extend(data.map(|data| part("image", &[("media_type", media), ("data", data)])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"working_dir":"/p","description":"T","message_count":2,"accumulated_input_tokens":5}
{"role":"user","created":1650000000,"content":[{"type":"text","text":"hi"}]}
{"role":"assistant","created":1650000001,"content":[{"type":"toolRequest","id":"t","toolCall":{"status":"success","value":{"name":"n","arguments":{"a":1}}}}]}
{"role":"user","created":1650000002,"content":[{"type":"toolResponse","id":"t","toolResult":{"status":"success","value":[{"type":"text","text":"x"}]}}]}"#;

    #[test]
    fn lines_are_messages_and_the_first_is_the_session() {
        assert!(looks_like(LINES.as_bytes()));
        let import = read("stem", LINES.as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.id.as_str(), session.title.as_deref()), ("stem", Some("T")));
        assert_eq!((session.messages.len(), session.created_ms), (3, Some(1_650_000_000_000)));
        assert!(session.messages[2].json.starts_with("{\"role\":\"tool\""));
    }

    #[test]
    fn the_exported_document_is_the_same_session() {
        let lines: Vec<&str> = LINES.lines().collect();
        let document =
            format!(r#"{{"id":"g","working_dir":"/p","conversation":[{}]}}"#, lines[1..].join(","));
        assert!(looks_like(document.as_bytes()));
        let import = read("stem", document.as_bytes());
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].messages.len()), ("g", 3));
    }
}
