//! Sessions as files of nanocoder: `<uuid>.json` for each, and the index `sessions.json`.

use super::{Kept, Lost, Overlay, Stored, View, iso_utc, lose, result_text};
use crate::facts::Session;
use crate::id::{fingerprint, parse_uuid, uuid_text};
use crate::import::nanocoder::{FORMAT, MANUAL, MESSAGES, scope_of};
use crate::import::{Members, decode_string, is_string, title_of};
use crate::json;

pub use crate::import::nanocoder::INDEX;

/// A session's file without its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFile {
    /// The name, `<uuid>.json`. Only lower-case UUIDs are ids there; another id gives one that is always the same.
    pub name: String,
    /// The members before the messages, as a JSON object.
    pub facts: String,
    /// The entry of the index, without its count of messages.
    entry: String,
    /// How many messages were imported, and what their session said that they were.
    imported: Option<(u64, String)>,
}

/// What people are told of the number of messages, which stands behind them.
pub const COUNT: &str = "messageCount";

impl SessionFile {
    /// Makes the file of a session.
    pub fn of(session: &Session) -> Self {
        let facts = &session.facts;
        let kept = Kept::of(facts.metadata.as_ref(), FORMAT);
        let uuid = parse_uuid(&session.id)
            .map_or_else(|| uuid_text(fingerprint(&session.id)), |_| session.id.clone());
        let is_current = kept.is_current(session) && facts.accessed <= kept.updated;
        let fill = |object: &mut Overlay<'_>| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            object.text("id", Some(&uuid), "", text);
            object.text("title", facts.title.as_deref(), "\"\"", |title| text(&title_of(title)));
            object.value("createdAt", true, || json::quote(&iso_utc(facts.created)));
            let seen = facts.updated.max(facts.accessed);
            object.value("lastAccessedAt", is_current, || json::quote(&iso_utc(seen)));
            object.text("provider", facts.provider.as_deref(), "\"\"", text);
            object.text("model", facts.model.as_deref(), "\"\"", text);
            let scope = Some(facts.scope.as_str()).filter(|scope| !scope.is_empty());
            object.text("workingDirectory", scope, "\"\"", scope_of);
            if object.get(MANUAL).is_some_and(|value| value == "true") != facts.title_manual {
                object.set(MANUAL, facts.title_manual.to_string());
            }
        };
        let mut file = Overlay::of(&kept.session);
        fill(&mut file);
        let count = file.get(COUNT).map(str::to_owned);
        file.remove(COUNT);
        // What only the index knew comes back there; otherwise an entry is the file without its messages.
        let entry = match kept.more("index").and_then(super::first) {
            Some(entry) if is_current => {
                let mut entry = Overlay::of(entry);
                entry.remove(COUNT);
                entry.json()
            }
            _ => file.json(),
        };
        let imported = kept.more("messages").and_then(|count| count.parse().ok()).zip(count);
        Self { name: format!("{uuid}.json"), facts: file.json(), entry, imported }
    }

    /// The session's `messageCount`, a JSON value: what it was where it has as many messages as were imported.
    pub fn count(&self, messages: u64) -> String {
        match &self.imported {
            Some((imported, count)) if *imported == messages => count.clone(),
            _ => messages.to_string(),
        }
    }

    /// The session's entry of the index.
    pub fn entry(&self, messages: u64) -> String {
        json::merge(&self.entry, &json::object([(COUNT, self.count(messages).as_str())]))
    }
}

/// Makes the messages of a stored one: a message for each result of a tool, as there is one `tool_call_id` there.
pub fn messages(stored: &Stored<'_>, lost: &mut Lost) -> Vec<String> {
    let json = stored.message.get();
    if let Some(text) = MESSAGES.regenerate(json) {
        return vec![text];
    }
    let Some(view) = View::of(json, lost) else { return Vec::new() };
    view.lose_others(&["text", "thinking", "code", "image", "tool_call", "tool_result"], lost);
    let mut made: Vec<String> = view.parts("tool_result").filter_map(result).collect();

    let images: Vec<String> = view.parts("image").filter_map(|part| image(part, lost)).collect();
    let calls: Vec<String> = view.parts("tool_call").filter_map(call).collect();
    let content = view.text(&["text", "code"]);
    let reasoning = view.text(&["thinking"]);
    let is_empty = images.is_empty() && calls.is_empty() && content.is_none() && reasoning.is_none();
    if is_empty && !made.is_empty() {
        return made;
    }
    // Only what a tool has answered can have its role there.
    let role = if view.role == "tool" { "user".into() } else { view.role.clone() };
    let mut message = Overlay(Vec::new());
    message.set("role", json::quote(&role));
    message.set("content", content.unwrap_or_else(|| "\"\"".to_owned()));
    if let Some(reasoning) = reasoning {
        message.set("reasoning", reasoning);
    }
    for (key, values) in [("images", images), ("tool_calls", calls)] {
        if !values.is_empty() {
            message.set(key, format!("[{}]", values.join(",")));
        }
    }
    made.push(message.json());
    made
}

fn result(part: &Members<'_>) -> Option<String> {
    let (call, content) = (part.get("call_id")?, result_text(part.get("content")?));
    Some(format!("{{\"role\":\"tool\",\"content\":{content},\"tool_call_id\":{call}}}"))
}

fn image(part: &Members<'_>, lost: &mut Lost) -> Option<String> {
    let Some(data) = part.get("data").filter(|data| is_string(data)) else {
        lose(lost, "images");
        return None;
    };
    let media = part.get("media_type").filter(|media| is_string(media)).unwrap_or("\"image/png\"");
    let mut image = Overlay(Vec::new());
    image.set("data", data.to_owned());
    image.set("mediaType", media.to_owned());
    if let Some(source) = part.get("source") {
        image.set("source", source.to_owned());
    }
    Some(image.json())
}

/// Arguments are an object there. Those that came as the text of one are written as that one.
fn call(part: &Members<'_>) -> Option<String> {
    let arguments = part.get("arguments")?;
    let text = decode_string(arguments).unwrap_or(arguments.into());
    let arguments = match json::minify(&text) {
        Ok(object) if object.starts_with('{') => object,
        _ => json::object([("value", arguments)]),
    };
    let mut part = part.clone();
    let at = part.position("arguments")?;
    part.0.get_mut(at)?.1 = &arguments;
    crate::import::call_of_part(&part, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nanocoder::session;

    const FILE: &str = r#"{"id":"0b0f8a5e-0000-4000-8000-000000000001","title":"A build","createdAt":"2026-01-02T03:04:05.678Z",
        "lastAccessedAt":"2026-01-02T04:00:00.000Z","messageCount":7,"provider":"local","model":"m1","workingDirectory":"/srv/a/",
        "later":{"x":null,"y":[1.0]},"messages":[
        {"role":"system","content":"rules"},
        {"role":"user","content":"look \u0041","images":[{"data":"AAAA","mediaType":"image/png","source":"clip"}]},
        {"role":"assistant","content":"","reasoning":"hm","tool_calls":[{"id":"c1","function":{"name":"read","arguments":{"path":"a","n":1.50}}}]},
        {"role":"tool","content":"done","tool_call_id":"c1","name":"read","structuredContent":{"ok":true}},
        {"role":"assistant","tool_calls":[{"id":"c2","function":{"arguments":{},"name":"x"}}],"content":"two"},
        {"role":"user","content":"lone \ud800"},
        {"role":"robot","content":"?"},
        17]}"#;

    fn stored(json: &str) -> (String, Lost) {
        let text = format!("[{{\"id\":\"i\",\"created_at\":1,\"updated_at\":1,\"message\":{json}}}]");
        let mut lost = Lost::new();
        let made = messages(&page_of(&text), &mut lost);
        (format!("[{}]", made.join(",")), lost)
    }

    fn page_of(text: &str) -> Stored<'_> {
        super::super::page(text).unwrap().remove(0)
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        let import = session("0b0f8a5e-0000-4000-8000-000000000001", FILE.as_bytes(), None);
        let listed = Members::parse(FILE).unwrap();
        let originals = json::elements(listed.get("messages").unwrap()).unwrap();
        let session = &import.sessions[0];
        assert_eq!(session.messages.len(), originals.len());
        for (message, original) in session.messages.iter().zip(originals) {
            crate::message::check_one(&message.json).unwrap();
            let text = MESSAGES.regenerate(&message.json).unwrap();
            assert_eq!(text, json::minify(original).unwrap_or(original.to_owned()));
        }
        let has = |at: usize, text: &str| {
            assert!(session.messages[at].json.contains(text), "{}", session.messages[at].json);
        };
        has(0, r#"{"role":"system","id":"#);
        has(1, r#"{"type":"image","data":"AAAA","media_type":"image/png","source":"clip"}"#);
        has(1, r#""content":null,"images":null"#);
        has(
            2,
            r#"{"type":"thinking","text":"hm"},{"type":"tool_call","id":"c1","name":"read","arguments":{"path":"a","n":1.50}}"#,
        );
        has(3, r#""role":"tool""#);
        has(3, r#"{"type":"tool_result","call_id":"c1","content":"done"}"#);
        has(4, r#""raw":[{"role":"assistant","tool_calls":[{"id":"c2""#);
        has(5, r#""text":"lone \ufffd""#);
        has(6, r#""hidden":true"#);
        let told: Vec<&str> = import.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
    }

    #[test]
    fn a_message_that_changed_here_is_written_as_it_is_now() {
        let import = session("0b0f8a5e-0000-4000-8000-000000000001", FILE.as_bytes(), None);
        let changed = import.sessions[0].messages[0].json.replace("rules", "other rules");
        assert_eq!(stored(&changed).0, r#"[{"role":"system","content":"other rules"}]"#);
        let longer = changed.replace("}],\"source\"", "},{\"type\":\"text\",\"text\":\"more\"}],\"source\"");
        assert_eq!(stored(&longer).0, r#"[{"role":"system","content":"other rules\nmore"}]"#);
    }

    #[test]
    fn messages_of_elsewhere_are_written_anew() {
        for (message, written) in [
            (
                r#"{"role":"user","parts":[{"type":"text","text":"a"},{"type":"code","text":"b"}]}"#,
                r#"[{"role":"user","content":"a\nb"}]"#,
            ),
            (
                r#"{"role":"tool","parts":[{"type":"tool_result","call_id":"1","content":"x"},{"type":"tool_result","call_id":"2","content":{}}]}"#,
                r#"[{"role":"tool","content":"x","tool_call_id":"1"},{"role":"tool","content":"{}","tool_call_id":"2"}]"#,
            ),
            (
                r#"{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"n","arguments":"{\"a\": 1}"},{"type":"tool_call","id":"2","name":"n","arguments":"a"}]}"#,
                r#"[{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"name":"n","arguments":{"a":1}}},{"id":"2","function":{"name":"n","arguments":{"value":"a"}}}]}]"#,
            ),
            (r#"{"role":"user","parts":[]}"#, r#"[{"role":"user","content":""}]"#),
            (r#"{"role":"system","parts":[],"hidden":true}"#, "[]"),
        ] {
            assert_eq!(stored(message).0, written);
        }
        let (_, lost) =
            stored(r#"{"role":"user","parts":[{"type":"image","url":"u"},{"type":"opaque","data":1}]}"#);
        assert_eq!(lost, Lost::from([("images", 1), ("parts of other kinds", 1)]));
    }
}
