//! Sessions of cline: the messages of the Anthropic API as one list (`api_conversation_history.json`), or, newer, a document
//! that holds them. Read only.

use sessile_core::import::{Import, ImportedExtra, ImportedUsage, Members};
use sessile_core::json::quote;

use super::{Reading, document, metadata, piece, time, usage, usage_json};
use crate::draft::{Draft, call, list, opaque, part, result};
use crate::text::{at, items, name, scope, some, text_at};

const FORMAT: &str = "cline";

/// Whether a file that begins like this is a conversation of cline.
pub fn looks_like(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head.get(..head.len().min(4096)).unwrap_or_default());
    let text: String = text.split_whitespace().collect();
    (text.starts_with("[{\"role\":\"") && text.contains("\"content\":"))
        || (text.starts_with("{\"version\":")
            && text.contains("\"sessionId\":")
            && text.contains("\"messages\":["))
}

/// Reads a conversation. The older form has no id of its own: its directory names it.
pub fn read(stem: &str, bytes: &[u8]) -> Import {
    let mut import = Import::default();
    let Some(text) = document(bytes, &mut import) else { return import };
    let mut reading = Reading::new(FORMAT);
    reading.session.metadata = metadata(FORMAT, &[]);
    let mut all = text.clone();
    if let Some(mut members) = Members::parse(&text) {
        all = members.get("messages").unwrap_or("[]").to_owned();
        reading.session.id = text_at(&text, &["sessionId"]).unwrap_or_default();
        reading.session.scope = scope(text_at(&text, &["cwd"]));
        reading.saw(time(at(&text, &["updated_at"])));
        members.0.retain(|(key, _)| *key != "messages");
        let mut json = String::new();
        members.write(&mut json);
        reading.session.extra.push(ImportedExtra { line: 0, json });
    }
    for (number, message) in items(Some(&all)).into_iter().enumerate() {
        take(&mut reading, message, number as u64 + 1);
    }
    reading.finish(&mut import, stem);
    import
}

fn take(reading: &mut Reading, message: &str, number: u64) {
    let mut draft = Draft::new(if text_at(message, &["role"]).as_deref() == Some("assistant") {
        "assistant"
    } else {
        "user"
    });
    draft.at = time(at(message, &["ts"]).or(at(message, &["timestamp"])).or(at(message, &["created_at"])));
    blocks(&mut draft, at(message, &["content"]));
    let is_result = |part: &String| part.starts_with("{\"type\":\"tool_result\"");
    if !draft.parts.is_empty() && draft.parts.iter().all(is_result) {
        draft.role = "tool";
    }
    let model = text_at(message, &["modelInfo", "modelId"])
        .or(text_at(message, &["modelInfo", "id"]))
        .or(text_at(message, &["model"]));
    let provider =
        text_at(message, &["modelInfo", "providerId"]).or(text_at(message, &["modelInfo", "provider"]));
    let key = match text_at(message, &["id"]).filter(|id| sessile_core::import::is_id(id)) {
        Some(id) => reading.keys.of_id(&id),
        None => reading.keys.of_text(message),
    };
    if draft.role == "assistant" {
        draft.set("model", model.as_deref().map(quote));
        reading.model(model.clone(), provider);
        let names: [&[&str]; 4] =
            [&["inputTokens"], &["outputTokens"], &["cacheReadTokens"], &["cacheWriteTokens"]];
        let counts = at(message, &["metrics"]).or(at(message, &["usage"])).unwrap_or("{}");
        if let Some(used) = usage(counts, names) {
            let used = ImportedUsage { key: key.clone(), model: name(model), at_ms: draft.at, ..used };
            draft.set("usage", Some(usage_json(&used)));
            reading.session.use_up(used);
        }
    }
    reading.message(FORMAT, draft, key, &piece(message, number), None);
}

/// The blocks of the Anthropic API.
fn blocks(draft: &mut Draft, content: Option<&str>) {
    draft.text("text", content);
    for block in items(content) {
        let get = |key| at(block, &[key]);
        match text_at(block, &["type"]).unwrap_or_default().as_str() {
            "text" => draft.text("text", get("text")),
            "thinking" => {
                let mut members = vec![("text", get("thinking").unwrap_or("\"\""))];
                members.extend(some(get("signature")).map(|signature| ("signature", signature)));
                draft.parts.push(part("thinking", &members));
            }
            "tool_use" => draft.parts.push(call(get("id"), get("name"), get("input").unwrap_or("{}"))),
            "tool_result" => {
                let content = get("content").unwrap_or("\"\"");
                let (images, texts): (Vec<&str>, Vec<&str>) = items(Some(content))
                    .into_iter()
                    .partition(|block| at(block, &["source", "data"]).is_some());
                let content = if content.starts_with('[') { list(&texts) } else { content.to_owned() };
                draft.parts.push(result(get("tool_use_id"), &content, get("is_error") == Some("true")));
                draft.parts.extend(images.into_iter().filter_map(image));
            }
            "image" => draft.parts.push(image(block).unwrap_or_else(|| opaque(block))),
            _ => draft.parts.push(opaque(block)),
        }
    }
}

fn image(block: &str) -> Option<String> {
    let get = |key| at(block, &["source", key]).filter(|value| value.starts_with('"'));
    Some(part("image", &[("media_type", get("media_type")?), ("data", get("data")?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let list = r#"[ {"role":"user","content":[{"type":"text","text":"hi"}]}, {"role":"assistant","content":"yo","modelInfo":{"modelId":"m"}} ]"#;
        assert!(looks_like(list.as_bytes()));
        let import = read("17", list.as_bytes());
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].messages.len()), ("17", 2));
        assert_eq!(import.sessions[0].model.as_deref(), Some("m"));
        let document = format!(r#"{{"version":1,"sessionId":"c","messages":{list}}}"#);
        assert!(looks_like(document.as_bytes()));
        let import = read("stem", document.as_bytes());
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].extra.len()), ("c", 1));
    }
}
