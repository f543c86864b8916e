//! Sessions of OpenCode: the document that `opencode export` writes. Its database and its older tree of files hold the same
//! objects; [`assemble`] makes the document of them.
//!
//! A message with its parts becomes one message. What stands in no part of ours (steps, snapshots, patches) stays in its
//! record. Messages behind the session's revert are hidden. Everything of the document but the messages is an extra line.

use sessile_core::import::{Import, ImportedExtra, ImportedUsage, Members, fingerprint};
use sessile_core::json::quote;

use super::{Reading, document, metadata, piece, time, usage, usage_json};
use crate::draft::{Draft, call, opaque, part, result};
use crate::text::{at, items, name, number_at, scope, some, text_at};

const FORMAT: &str = "opencode";

/// Whether a file that begins like this is an exported session.
pub fn looks_like(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head.get(..head.len().min(4096)).unwrap_or_default());
    let text: String = text.split_whitespace().collect();
    text.starts_with("{\"info\":{") && (text.contains("\"projectID\":") || text.contains("\"directory\":"))
}

/// The document of a session's objects, each as JSON: what an export would write.
///
/// `messages` are the messages with their parts, in any order: ids sort by time.
pub fn assemble(info: &str, mut messages: Vec<(String, Vec<String>)>) -> String {
    let id = |text: &str| text_at(text, &["id"]).unwrap_or_default();
    let order = |text: &str| (number_at(text, &["time", "created"]).unwrap_or_default(), id(text));
    messages.sort_by_key(|(info, _)| order(info));
    let messages: Vec<String> = messages
        .into_iter()
        .map(|(info, mut parts)| {
            parts.sort_by_key(|part| id(part));
            format!("{{\"info\":{info},\"parts\":[{}]}}", parts.join(","))
        })
        .collect();
    format!("{{\"info\":{info},\"messages\":[{}]}}", messages.join(","))
}

/// Reads a document.
pub fn read(stem: &str, bytes: &[u8]) -> Import {
    let mut import = Import::default();
    let Some(text) = document(bytes, &mut import) else { return import };
    let Some(members) = Members::parse(&text) else { return import };
    let info = members.get("info").unwrap_or("{}");
    let mut reading = Reading::new(FORMAT);
    reading.session.id = text_at(info, &["id"]).unwrap_or_default();
    reading.session.scope = scope(text_at(info, &["directory"]));
    reading.session.parent = text_at(info, &["parentID"]).map(|parent| sessile_core::import::id_for(&parent));
    reading.session.metadata =
        metadata(FORMAT, &[("version", at(info, &["version"])), ("slug", at(info, &["slug"]))]);
    reading.title = text_at(info, &["title"]);
    for key in ["created", "updated"] {
        reading.saw(time(at(info, &["time", key])));
    }
    let reverted = text_at(info, &["revert", "messageID"]);
    let mut is_hidden = false;
    for (number, message) in items(members.get("messages")).into_iter().enumerate() {
        is_hidden |= reverted.is_some() && text_at(message, &["info", "id"]) == reverted;
        take(&mut reading, message, number as u64 + 1, is_hidden);
    }
    import.records += reading.session.messages.len() as u64;
    let mut rest = members.clone();
    rest.0.retain(|(key, _)| *key != "messages");
    let mut json = String::new();
    rest.write(&mut json);
    reading.session.extra.push(ImportedExtra { line: 0, json });
    reading.finish(&mut import, stem);
    import
}

fn take(reading: &mut Reading, message: &str, number: u64, is_hidden: bool) {
    let get = |key| at(message, &["info", key]);
    let info = get_info(message);
    let is_user = text_at(info, &["role"]).as_deref() != Some("assistant");
    let mut draft = Draft::new(if is_user { "user" } else { "assistant" });
    draft.at = number_at(info, &["time", "created"]);
    for part in items(at(message, &["parts"])) {
        add_part(&mut draft, part);
    }
    let id = text_at(info, &["id"]).unwrap_or_default();
    let key = match sessile_core::import::is_id(&id) {
        true => reading.keys.of_id(&id),
        false => reading.keys.of_text(message),
    };
    if !is_user {
        let model = text_at(info, &["modelID"]).or(text_at(info, &["model", "modelID"]));
        let provider = text_at(info, &["providerID"]).or(text_at(info, &["model", "providerID"]));
        draft.set("model", model.as_deref().map(quote));
        draft.is_error = some(get("error")).is_some();
        if let Some(used) = used(info, &key, model.clone()) {
            draft.set("usage", Some(usage_json(&used)));
            reading.session.use_up(used);
        }
        reading.model(model, provider);
    }
    draft.hidden |= is_hidden;
    let changed = ["completed", "created"].into_iter().find_map(|key| number_at(info, &["time", key]));
    let state = if is_hidden { "hidden" } else { "visible" };
    let version = format!("{}-{:016x}-{state}", changed.unwrap_or_default(), fingerprint(message));
    reading.message(FORMAT, draft, key, &piece(message, number), Some(version));
}

fn get_info(message: &str) -> &str {
    at(message, &["info"]).unwrap_or("{}")
}

fn add_part(draft: &mut Draft, text: &str) {
    let get = |key| at(text, &[key]);
    match text_at(text, &["type"]).unwrap_or_default().as_str() {
        "text" if get("ignored") != Some("true") => draft.text("text", get("text")),
        "reasoning" => draft.text("thinking", get("text")),
        "file" => {
            let url = text_at(text, &["url"]).unwrap_or_default();
            let mime = get("mime").filter(|mime| mime.starts_with('"')).unwrap_or("\"\"");
            let kind = if mime.starts_with("\"image/") { "image" } else { "file" };
            let data = url
                .strip_prefix("data:")
                .and_then(|rest| rest.split_once(";base64,"))
                .map(|(_, data)| quote(data));
            let place = get("url").unwrap_or("\"\"");
            let mut members = vec![("media_type", mime)];
            members.push(data.as_deref().map_or(("url", place), |data| ("data", data)));
            members.extend(some(get("filename")).map(|name| ("name", name)));
            draft.parts.push(part(kind, &members));
        }
        "tool" => {
            let state = |key| at(text, &["state", key]);
            draft.parts.push(call(get("callID"), get("tool"), state("input").unwrap_or("{}")));
            match text_at(text, &["state", "status"]).as_deref() {
                Some("completed") => {
                    draft.parts.push(result(get("callID"), state("output").unwrap_or("\"\""), false));
                    for file in items(state("attachments")) {
                        add_part(draft, file);
                    }
                }
                Some("error") => {
                    draft.parts.push(result(get("callID"), state("error").unwrap_or("\"\""), true));
                }
                _ => {}
            }
        }
        "subtask" | "agent" => draft.parts.push(opaque(text)),
        _ => {}
    }
}

fn used(info: &str, key: &str, model: Option<String>) -> Option<ImportedUsage> {
    let tokens = at(info, &["tokens"])?;
    let used = usage(tokens, [&["input"], &["output"], &["cache", "read"], &["cache", "write"]])?;
    Some(ImportedUsage {
        key: key.to_owned(),
        model: name(model),
        at_ms: number_at(info, &["time", "created"]),
        cost: at(info, &["cost"]).filter(|cost| cost.parse::<f64>().is_ok()).map(str::to_owned),
        ..used
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::regenerate;

    fn document(revert: &str) -> String {
        let user = r#"{"info":{"id":"msg_1","role":"user","time":{"created":1}},"parts":[{"id":"prt_1","type":"text","text":"hi"}]}"#;
        let answer = r#"{"info":{"id":"msg_2","role":"assistant","time":{"created":2},"modelID":"m","providerID":"p","cost":0.5,"tokens":{"input":3,"output":2,"reasoning":1,"cache":{"read":4,"write":0}}},"parts":[{"id":"prt_2","type":"step-start"},{"id":"prt_3","type":"tool","callID":"c","tool":"bash","state":{"status":"completed","input":{"z":1,"a":null},"output":"ok"}}]}"#;
        format!(
            r#"{{"info":{{"id":"ses_1","directory":"/p","title":"T","parentID":"ses_0"{revert}}},"messages":[{user},{answer}]}}"#
        )
    }

    #[test]
    fn a_document_is_a_session_and_gives_its_messages_back() {
        let text = document("");
        let import = read("stem", text.as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.id.as_str(), session.parent.as_deref()), ("ses_1", Some("ses_0")));
        assert_eq!((session.title.as_deref(), session.model.as_deref()), (Some("T"), Some("m")));
        assert_eq!(session.usage[0].cache_read, Some(4));
        for message in &session.messages {
            assert!(text.contains(&regenerate(FORMAT, &message.json).unwrap()));
        }
        assert!(session.messages[1].json.contains(r#""call_id":"c","content":"ok""#));
        assert!(session.extra[0].json.contains("ses_1"));
    }

    #[test]
    fn what_a_revert_has_hidden_is_hidden() {
        let import = read("stem", document(r#","revert":{"messageID":"msg_2"}"#).as_bytes());
        let hidden: Vec<bool> = import.sessions[0]
            .messages
            .iter()
            .map(|message| message.json.contains("\"hidden\":true"))
            .collect();
        assert_eq!(hidden, [false, true]);
    }

    #[test]
    fn objects_in_any_order_make_the_document() {
        let messages = vec![
            ("{\"id\":\"b\"}".to_owned(), vec!["{\"id\":\"2\"}".to_owned(), "{\"id\":\"1\"}".to_owned()]),
            ("{\"id\":\"a\"}".to_owned(), Vec::new()),
        ];
        assert_eq!(
            assemble("{}", messages),
            r#"{"info":{},"messages":[{"info":{"id":"a"},"parts":[]},{"info":{"id":"b"},"parts":[{"id":"1"},{"id":"2"}]}]}"#
        );
    }

    #[test]
    fn a_torn_document_is_a_problem() {
        let import = read("stem", document("").get(..90).unwrap().as_bytes());
        assert_eq!((import.sessions.len(), import.problems.len()), (0, 1));
    }
}
