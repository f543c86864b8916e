//! Rollouts of Codex.
//!
//! A file is JSON lines of `{timestamp, type, payload}`; the oldest ones are payloads alone. Items of the model's history
//! (`response_item`) and compactions become messages; everything else is an extra line. Events repeat what items say, so
//! they are messages only where no item says the same. What a rollback has dropped stays, hidden.

use std::collections::BTreeSet;

use sessile_core::import::{Import, ImportedUsage, Lines, Members, Record, fingerprint, read_records};
use sessile_core::json::quote;

use super::{HIDDEN, Reading, VISIBLE, hide, metadata, time};
use crate::draft::{Draft, call, image_of_url, list, opaque, part, result};
use crate::text::{at, is_context, items, name, scope, some, text_at};

const FORMAT: &str = "codex";

/// Types of items, by which those without an envelope are known.
const ITEMS: [&str; 8] = [
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "local_shell_call",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
];

/// Whether a file that begins like this is a rollout.
pub fn looks_like(head: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(head)
        .or_else(|cause| str::from_utf8(head.get(..cause.valid_up_to()).unwrap_or_default()))
    else {
        return false;
    };
    for line in text.lines().map(str::trim) {
        let Some(line) = Members::parse(line) else { continue };
        let has = |key| line.get(key).is_some();
        let kind = line.string("type").unwrap_or_default();
        if (has("payload")
            && matches!(
                kind.as_ref(),
                "session_meta" | "response_item" | "event_msg" | "turn_context" | "compacted" | "world_state"
            ))
            || (has("session") && has("items"))
            || (kind.is_empty() && has("id") && has("timestamp") && (has("instructions") || has("git")))
            || (ITEMS.contains(&kind.as_ref()) && !has("uuid") && !has("parentId") && !has("timestamp"))
        {
            return true;
        }
        if !kind.is_empty() {
            return false;
        }
    }
    // A line that is longer than the head.
    text.starts_with("{\"timestamp\":") && text.contains("\"type\":\"session_meta\"")
}

/// A line, as far as it is looked at more than once.
struct Event {
    record: Record,
    key: String,
}

/// Reads a rollout: lines, or the oldest form. Of its name only the id counts, and that only where the file says none.
pub fn read(stem: &str, bytes: &[u8]) -> Import {
    read_document(stem, bytes).unwrap_or_else(|| read_lines(stem, &mut &*bytes))
}

/// Reads a rollout that is lines.
pub fn read_lines(stem: &str, lines: &mut dyn Lines) -> Import {
    let mut import = Import::default();
    let mut rollout = Rollout { reading: Reading::new(FORMAT), ..Rollout::default() };
    let mut events: Vec<Event> = Vec::new();
    read_records(lines, "payload", &mut import, |_, record| {
        rollout.hear(&record.text);
        let key = rollout.reading.keys.of_text(record.source());
        events.push(Event { record, key });
    });
    // Each goes as soon as it is taken: its message holds what it says.
    for event in events {
        rollout.take(&event);
    }
    let stem =
        stem.get(stem.len().saturating_sub(36)..).filter(|_| stem.starts_with("rollout-")).unwrap_or(stem);
    rollout.finish(&mut import, stem);
    import
}

/// The oldest form: one document with all items. It is not written any more.
fn read_document(stem: &str, bytes: &[u8]) -> Option<Import> {
    let text = str::from_utf8(bytes).ok()?;
    let members = Members::parse(text)?;
    let (session, all) = (members.get("session")?, members.get("items")?);
    let mut import = Import::default();
    let mut rollout = Rollout { reading: Reading::new(FORMAT), ..Rollout::default() };
    super::document(bytes, &mut import)?;
    rollout.meta(session);
    rollout.reading.session.metadata = metadata("codex-document", &[("facts", Some(session))]);
    for (number, item) in items(Some(all)).into_iter().enumerate() {
        let item = sessile_core::json::minify(item).ok()?;
        let key = rollout.reading.keys.of_text(&item);
        let record = super::piece(&item, number as u64 + 1);
        rollout.item(&item, time(at(&item, &["timestamp"])), key, &record, "codex-document");
    }
    rollout.finish(&mut import, stem);
    Some(import)
}

#[derive(Default)]
struct Rollout {
    reading: Reading,
    has_meta: bool,
    model: Option<String>,
    provider: Option<String>,
    /// What items say, by fingerprint: events that say it, too, are no messages.
    said: BTreeSet<u64>,
    /// Tokens used before, as the last count says.
    total: [u64; 4],
    /// Whether the lines are a parent's history, which the file has copied.
    is_copy: bool,
}

impl Rollout {
    /// Notes what an item says, and the session's facts: these may stand anywhere.
    fn hear(&mut self, text: &str) {
        let payload = at(text, &["payload"]).unwrap_or(text);
        if text_at(text, &["type"]).as_deref() == Some("response_item") {
            for item in items(at(payload, &["content"])).into_iter().chain(items(at(payload, &["summary"]))) {
                if let Some(said) = text_at(item, &["text"]) {
                    self.said.insert(fingerprint(said.trim()));
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let Event { record, key } = event;
        let text = record.text.as_str();
        let stamp = time(at(text, &["timestamp"]));
        self.reading.saw(stamp);
        let kind = text_at(text, &["type"]).unwrap_or_default();
        let Some(payload) = at(text, &["payload"]) else {
            if ITEMS.contains(&kind.as_str()) {
                return self.item(text, stamp, key.clone(), record, FORMAT);
            }
            if kind.is_empty() && at(text, &["id"]).is_some() {
                self.meta(text);
            }
            return self.reading.extra(record);
        };
        match kind.as_str() {
            "response_item" => self.item(payload, stamp, key.clone(), record, FORMAT),
            "compacted" => self.compacted(payload, stamp, key.clone(), record),
            "event_msg" => self.event(payload, stamp, key, record),
            "session_meta" => {
                self.is_copy = self.has_meta;
                self.meta(payload);
                self.reading.extra(record);
            }
            "turn_context" => {
                self.model = name(text_at(payload, &["model"])).or(self.model.take());
                self.reading.session.scope =
                    self.reading.session.scope.take().or(scope(text_at(payload, &["cwd"])));
                let (model, provider) = (self.model.clone(), self.provider.clone());
                self.reading.model(model, provider);
                self.reading.extra(record);
            }
            _ => self.reading.extra(record),
        }
    }

    /// The first one counts: others are those of copied histories.
    fn meta(&mut self, payload: &str) {
        if std::mem::replace(&mut self.has_meta, true) {
            return;
        }
        let session = &mut self.reading.session;
        session.id = text_at(payload, &["id"]).or(text_at(payload, &["session_id"])).unwrap_or_default();
        session.scope = scope(text_at(payload, &["cwd"]));
        let forked_from = text_at(payload, &["forked_from_id"]);
        let spawner = text_at(payload, &["source", "subagent", "thread_spawn", "parent_thread_id"]);
        session.parent = text_at(payload, &["parent_thread_id"])
            .or(spawner)
            .or(forked_from)
            .filter(|parent| *parent != session.id)
            .map(|parent| sessile_core::import::id_for(&parent));
        let nickname = name(text_at(payload, &["agent_nickname"]).or(text_at(payload, &["agent_role"])));
        session.agent = nickname.or(session.agent.take());
        self.provider = name(text_at(payload, &["model_provider"]));
        session.provider.clone_from(&self.provider);
        let kept = [
            "originator",
            "cli_version",
            "source",
            "git",
            "forked_from_id",
            "parent_thread_id",
            "history_mode",
        ];
        let kept: Vec<(&str, Option<&str>)> =
            kept.into_iter().map(|key| (key, some(at(payload, &[key])))).collect();
        session.metadata = metadata(FORMAT, &kept);
        self.reading.saw(time(at(payload, &["timestamp"])));
    }

    fn push(&mut self, draft: Draft, key: String, record: &Record, format: &str) {
        self.reading.message(format, draft, key, record, Some(VISIBLE.to_owned()));
    }

    fn item(&mut self, payload: &str, stamp: Option<u64>, key: String, record: &Record, format: &str) {
        let kind = text_at(payload, &["type"]).unwrap_or_else(|| "message".to_owned());
        let get = |key| at(payload, &[key]);
        let mut draft = match kind.as_str() {
            "message" | "agent_message" => self.said(payload),
            "reasoning" => reasoning(payload),
            "function_call" | "custom_tool_call" | "tool_search_call" | "local_shell_call"
            | "web_search_call" => {
                let fixed = match kind.as_str() {
                    "local_shell_call" => Some("\"local_shell\""),
                    "web_search_call" => Some("\"web_search\""),
                    "tool_search_call" => Some("\"tool_search\""),
                    _ => None,
                };
                let id = some(get("call_id")).or(get("id"));
                let arguments = get("arguments").or(get("input")).or(some(get("action"))).unwrap_or("{}");
                let mut draft = Draft::new("assistant");
                draft.parts.push(call(id, fixed.or(get("name")), arguments));
                draft
            }
            "function_call_output" | "custom_tool_call_output" | "tool_search_output" => {
                answer(get("call_id"), get("output").or(get("tools")).unwrap_or("\"\""))
            }
            "image_generation_call" => {
                let mut draft = Draft::new("assistant");
                match get("result").filter(|data| data.len() > 2 && data.starts_with('"')) {
                    Some(data) => {
                        draft.parts.push(part("image", &[("media_type", "\"image/png\""), ("data", data)]));
                    }
                    None => draft.parts.push(opaque(payload)),
                }
                draft
            }
            _ => {
                let mut draft = Draft::new("system");
                draft.parts.push(opaque(payload));
                draft.hidden = true;
                draft
            }
        };
        draft.at = stamp;
        if draft.role == "assistant" {
            draft.set("model", self.model.as_deref().map(quote));
        }
        self.push(draft, key, record, format);
    }

    /// A text of the user, the model, the developer or another agent.
    fn said(&mut self, payload: &str) -> Draft {
        let role = text_at(payload, &["role"]).unwrap_or_default();
        let mut draft = Draft::new(match role.as_str() {
            "assistant" => "assistant",
            "user" => "user",
            // What another agent says to this one.
            "" => "user",
            _ => "system",
        });
        draft.hidden = draft.role == "system";
        let content = at(payload, &["content"]);
        draft.text("text", content);
        for item in items(content) {
            match text_at(item, &["type"]).unwrap_or_default().as_str() {
                "input_image" => match at(item, &["image_url"]).and_then(image_of_url) {
                    Some(image) => draft.parts.push(image),
                    None => draft.parts.push(opaque(item)),
                },
                "input_text" | "output_text" | "text" => {
                    let text = at(item, &["text"]);
                    if draft.role == "user" && text_at(item, &["text"]).is_some_and(|text| is_context(&text))
                    {
                        draft.hidden = true;
                    }
                    draft.text("text", text);
                }
                _ => draft.parts.push(opaque(item)),
            }
        }
        draft
    }

    /// What a compaction has made of the history: it replaces it for the model, and not for people.
    fn compacted(&mut self, payload: &str, stamp: Option<u64>, key: String, record: &Record) {
        let mut draft = Draft::new("system");
        draft.at = stamp;
        draft.text("text", at(payload, &["message"]));
        if draft.parts.is_empty() {
            draft.parts.push(part("text", &[("text", "\"(the conversation was compacted)\"")]));
        }
        draft.is_summary = true;
        self.push(draft, key, record, FORMAT);
    }

    fn event(&mut self, payload: &str, stamp: Option<u64>, key: &str, record: &Record) {
        let kind = text_at(payload, &["type"]).unwrap_or_default();
        match kind.as_str() {
            "token_count" => self.count(payload, stamp),
            "thread_name_updated" => self.reading.title = text_at(payload, &["thread_name"]),
            "thread_rolled_back" => {
                self.roll_back(crate::text::number_at(payload, &["num_turns"]).unwrap_or_default());
            }
            "user_message" | "agent_message" | "agent_reasoning" => {
                let said = at(payload, &["message"]).or(at(payload, &["text"]));
                let print =
                    said.and_then(sessile_core::import::decode_string).map(|said| fingerprint(said.trim()));
                if print.is_some_and(|print| !self.said.contains(&print)) {
                    let mut draft = Draft::new(if kind == "user_message" { "user" } else { "assistant" });
                    draft.at = stamp;
                    draft.text(if kind == "agent_reasoning" { "thinking" } else { "text" }, said);
                    for image in items(at(payload, &["images"])) {
                        draft.parts.extend(image_of_url(image));
                    }
                    if !draft.parts.is_empty() {
                        return self.push(draft, key.to_owned(), record, FORMAT);
                    }
                }
            }
            _ => {}
        }
        self.reading.extra(record);
    }

    /// Tokens are counted from the beginning, so the difference to the last count is what came in between. The same
    /// count again is none, and a smaller one has begun anew.
    fn count(&mut self, payload: &str, stamp: Option<u64>) {
        let Some(info) = some(at(payload, &["info"])) else { return };
        let counts = |which: &str| {
            let of = |name: &str| crate::text::number_at(info, &[which, name]);
            let input = of("input_tokens")?;
            let (read, write) =
                (of("cached_input_tokens").unwrap_or(0), of("cache_write_input_tokens").unwrap_or(0));
            Some([input.saturating_sub(read + write), of("output_tokens").unwrap_or(0), read, write])
        };
        let Some(total) = counts("total_token_usage") else { return };
        let is_smaller = total.iter().zip(self.total).any(|(now, before)| *now < before);
        let differences =
            || std::array::from_fn(|n| total.get(n).unwrap_or(&0) - self.total.get(n).unwrap_or(&0));
        let used: [u64; 4] =
            if is_smaller { counts("last_token_usage").unwrap_or(total) } else { differences() };
        self.total = total;
        let [input, output, cache_read, cache_write] = used;
        if used.iter().all(|count| *count == 0) || self.is_copy {
            return;
        }
        self.reading.session.use_up(ImportedUsage {
            // A fork repeats its parent's counts with other times.
            key: format!("{:016x}", fingerprint(at(info, &["total_token_usage"]).unwrap_or_default())),
            model: self.model.clone(),
            at_ms: stamp,
            input: Some(input),
            output: Some(output),
            cache_read: Some(cache_read),
            cache_write: Some(cache_write),
            cost: None,
        });
    }

    /// Hides the last turns, each from its prompt on.
    fn roll_back(&mut self, turns: u64) {
        let mut left = turns;
        for message in self.reading.session.messages.iter_mut().rev() {
            if left == 0 {
                break;
            }
            let is_hidden = message.json.contains(",\"hidden\":true");
            let is_prompt = message.json.starts_with("{\"role\":\"user\"") && !is_hidden;
            if !is_hidden {
                hide(message, HIDDEN);
            }
            left -= u64::from(is_prompt);
        }
    }

    fn finish(mut self, import: &mut Import, stem: &str) {
        if self.reading.session.metadata.is_none() {
            self.reading.session.metadata = metadata(FORMAT, &[]);
        }
        self.reading.finish(import, stem);
    }
}

/// Thoughts: what is shown of them, and what only the provider can read.
fn reasoning(payload: &str) -> Draft {
    let mut draft = Draft::new("assistant");
    for item in items(at(payload, &["summary"])).into_iter().chain(items(at(payload, &["content"]))) {
        draft.text("thinking", at(item, &["text"]));
    }
    let sealed = at(payload, &["encrypted_content"]).filter(|sealed| sealed.starts_with('"'));
    if let Some(sealed) = sealed {
        draft.parts.push(part("thinking", &[("text", "\"\""), ("signature", sealed)]));
    }
    if draft.parts.is_empty() {
        draft.hidden = true;
    }
    draft
}

/// What a tool has answered: a text, blocks, or the older `{content, success}`.
fn answer(call_id: Option<&str>, output: &str) -> Draft {
    let mut draft = Draft::new("tool");
    if output.starts_with('"') {
        draft.parts.push(result(call_id, output, false));
    } else if output.starts_with('[') {
        let (images, blocks): (Vec<&str>, Vec<&str>) =
            items(Some(output)).into_iter().partition(|block| at(block, &["image_url"]).is_some());
        draft.parts.push(result(call_id, &list(&blocks), false));
        draft.parts.extend(images.iter().filter_map(|image| image_of_url(at(image, &["image_url"])?)));
    } else {
        let is_error = at(output, &["success"]) == Some("false");
        draft.parts.push(result(call_id, at(output, &["content"]).unwrap_or(output), is_error));
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::regenerate;

    const META: &str = r#"{"timestamp":"2026-01-02T03:04:05.000Z","type":"session_meta","payload":{"id":"a","cwd":"/p","model_provider":"openai"}}"#;

    fn item(payload: &str) -> String {
        format!(r#"{{"timestamp":"2026-01-02T03:04:06.000Z","type":"response_item","payload":{payload}}}"#)
    }

    fn event(payload: &str) -> String {
        item(payload).replace("response_item", "event_msg")
    }

    fn said(role: &str, text: &str) -> String {
        let kind = if role == "assistant" { "output_text" } else { "input_text" };
        item(&format!(
            r#"{{"type":"message","role":"{role}","content":[{{"type":"{kind}","text":"{text}"}}]}}"#
        ))
    }

    fn read_lines(lines: &[String]) -> Import {
        read("stem", [&[META.to_owned()], lines].concat().join("\n").as_bytes())
    }

    fn count(input: u64, cached: u64, output: u64) -> String {
        event(&format!(
            r#"{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{input},"cached_input_tokens":{cached},"output_tokens":{output}}}}}}}"#
        ))
    }

    #[test]
    fn items_are_messages_and_everything_else_is_kept() {
        let lines = [
            said("user", "do it"),
            item(
                r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"xyz"}"#,
            ),
            item(r#"{"type":"function_call","name":"shell","arguments":"{\"a\":1}","call_id":"c"}"#),
            item(r#"{"type":"function_call_output","call_id":"c","output":"done"}"#),
            event(r#"{"type":"task_complete"}"#),
            item(r#"{"type":"never_seen","x":null}"#),
        ];
        let import = read_lines(&lines);
        let [session] = import.sessions.as_slice() else { panic!("{import:?}") };
        assert_eq!((session.id.as_str(), session.scope.as_deref()), ("a", Some("/p")));
        assert_eq!((session.messages.len(), session.extra.len()), (5, 2));
        assert_eq!(session.title.as_deref(), Some("do it"));
        let messages = session.messages.iter().map(|message| regenerate(FORMAT, &message.json).unwrap());
        let kept = lines.iter().filter(|line| !line.contains("event_msg"));
        assert!(messages.eq(kept.cloned()));
    }

    #[test]
    fn events_are_messages_only_where_no_item_says_it() {
        let heard = event(r#"{"type":"user_message","message":"hi"}"#);
        let other = event(r#"{"type":"agent_message","message":"alone"}"#);
        let import = read_lines(&[said("user", "hi"), heard, other]);
        assert_eq!(import.sessions[0].messages.len(), 2);
    }

    #[test]
    fn tokens_are_counted_by_differences() {
        let import = read_lines(&[count(10, 4, 1), count(10, 4, 1), count(30, 14, 3), count(5, 0, 1)]);
        let usage = &import.sessions[0].usage;
        let counts: Vec<_> = usage.iter().map(|used| [used.input, used.cache_read, used.output]).collect();
        let some = |a, b, c| [Some(a), Some(b), Some(c)];
        assert_eq!(counts, [some(6, 4, 1), some(10, 10, 2), some(5, 0, 1)]);
    }

    #[test]
    fn a_copied_history_is_not_counted_again() {
        let copied = META.replace("\"a\"", "\"b\"");
        assert!(read_lines(&[copied, count(10, 4, 1)]).sessions[0].usage.is_empty());
    }

    #[test]
    fn turns_that_are_rolled_back_are_hidden() {
        let lines = ["one", "two", "three"].map(|text| said("user", text));
        let back = event(r#"{"type":"thread_rolled_back","num_turns":2}"#);
        let import = read_lines(&[&lines[..], &[back, said("user", "four")]].concat());
        let hidden: Vec<bool> = import.sessions[0]
            .messages
            .iter()
            .map(|message| message.json.contains("\"hidden\":true"))
            .collect();
        assert_eq!(hidden, [false, true, true, false]);
        let versions: Vec<_> =
            import.sessions[0].messages.iter().map(|m| m.version.clone().unwrap()).collect();
        assert_eq!(versions, [VISIBLE, HIDDEN, HIDDEN, VISIBLE]);
    }

    #[test]
    fn a_sub_agent_belongs_to_the_session_that_started_it() {
        let meta = META.replace(
            "\"cwd\"",
            r#""source":{"subagent":{"thread_spawn":{"parent_thread_id":"p"}}},"agent_nickname":"Ada","cwd""#,
        );
        let import = read("stem", meta.as_bytes());
        let session = &import.sessions[0];
        assert_eq!((session.parent.as_deref(), session.agent.as_deref()), (Some("p"), Some("Ada")));
    }

    #[test]
    fn the_oldest_forms_are_read() {
        let import = read("stem", b"{\"id\":\"old\",\"timestamp\":\"2025-01-01T00:00:00Z\",\"instructions\":null}\n{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}\n{\"record_type\":\"state\"}\n");
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].messages.len()), ("old", 1));
        let document =
            br#"{"session":{"id":"d"},"items":[{"role":"user","content":"hi","timestamp":1736900000}]}"#;
        let import = read("stem", document);
        assert_eq!((import.sessions[0].id.as_str(), import.sessions[0].messages.len()), ("d", 1));
    }
}
