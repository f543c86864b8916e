//! The way out: sessions as files of other agents.
//!
//! A session that came from the format gives its own records back, line by line, those in between that are no messages too,
//! and behind them what has come since. Everything else is written anew from the neutral model, and what the format has no
//! place for is counted in [`Written::lost`], never dropped in silence. Each writer says where the agent looks for the file.

mod claude;
mod codex;
mod opencode;
mod page;
mod pi;

use std::collections::BTreeMap;

use sessile_core::Session;
use sessile_core::import::{Members, fingerprint};
use sessile_core::json::quote;

use crate::text::{at, items, some, text_at};
use crate::{Format, regenerate};

pub use page::{html, markdown};

/// What a format has no place for: what, and how many.
pub type Lost = BTreeMap<&'static str, u64>;

/// A message of the session, with its files in it.
#[derive(Clone, Debug)]
pub struct Said {
    /// When it came, in ms since 1970.
    pub at: u64,
    /// The message.
    pub json: String,
}

/// A file of another agent.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Its place below the agent's own directory.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Messages that are in it as they were in the file that they came from.
    pub kept: u64,
    /// Messages that were written anew.
    pub made: u64,
    /// What the format has no place for.
    pub lost: Lost,
}

/// Writes a session. `None` where there is no way to the format.
pub fn write(format: Format, session: &Session, said: &[Said]) -> Option<Written> {
    match format {
        Format::Claude => Some(claude::write(session, said)),
        Format::Codex => Some(codex::write(session, said)),
        Format::OpenCode => Some(opencode::write(session, said)),
        Format::Pi => Some(pi::write(session, said)),
        _ => None,
    }
}

/// Writes a session of Claude Code and its sub-agents: those that were in the session's file into the same one, the
/// others into files of their own.
pub fn write_claude(session: &Session, said: &[Said], children: &[(Session, Vec<Said>)]) -> Vec<Written> {
    claude::write_all(session, said, children)
}

/// What a session has of a file of the format that is to be written.
pub(crate) struct Records<'a> {
    /// Records and other lines, by their places in the file.
    pub lines: Vec<(f64, String)>,
    /// How many messages are among them.
    pub kept: u64,
    /// Messages that came from elsewhere.
    pub others: Vec<&'a Said>,
}

impl<'a> Records<'a> {
    pub fn of(format: &str, said: &'a [Said]) -> Self {
        let mut records = Self { lines: extra_lines(format, said), kept: 0, others: Vec::new() };
        for one in said {
            let source = at(&one.json, &["source"]).unwrap_or("{}");
            let line = at(source, &["line"]).and_then(|line| line.parse().ok()).unwrap_or(f64::MAX);
            let record = match format {
                "claude-code" => sessile_core::import::claude::regenerate(&one.json),
                _ => regenerate(format, &one.json),
            };
            let carries = at(source, &["extra"]).is_some() && items(at(&one.json, &["parts"])).is_empty();
            match record {
                Some(record) => {
                    records.kept += 1;
                    records.lines.push((line, record));
                }
                // A message that only carries lines says nothing itself.
                None if carries => {}
                None => records.others.push(one),
            }
        }
        records.lines.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        records
    }
}

/// The lines of a format that are no messages, by their places. The same line of two copies of a file is one.
fn extra_lines(format: &str, said: &[Said]) -> Vec<(f64, String)> {
    let mut found: Vec<(f64, String)> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for one in said {
        let source = at(&one.json, &["source"]).unwrap_or("{}");
        if text_at(source, &["format"]).as_deref() != Some(format) {
            continue;
        }
        for (_, lines) in at(source, &["extra"]).and_then(Members::parse).unwrap_or_default().0 {
            for (number, line) in Members::parse(lines).unwrap_or_default().0 {
                let Some(text) = sessile_core::import::decode_string(line) else { continue };
                // The second value of a line is `3.2`; a message of that line stands before both.
                let (line, value) = number.split_once('.').unwrap_or((number, "1"));
                let place =
                    line.parse::<f64>().unwrap_or(f64::MAX) + value.parse::<f64>().unwrap_or(1.0) / 1e6;
                if seen.insert((number.to_owned(), fingerprint(&text))) {
                    found.push((place, text.into_owned()));
                }
            }
        }
    }
    found
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Assistant,
    /// What stands for all that was said before.
    Summary,
    Tool,
}

/// What one speaker says at a time. Texts are JSON strings.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub speaker: Speaker,
    pub at: u64,
    pub blocks: Vec<Block>,
    pub model: Option<String>,
    /// Input, output, cache read, cache write.
    pub usage: Option<[u64; 4]>,
    pub cost: Option<String>,
    pub is_error: bool,
}

/// A piece of a turn. Texts are JSON strings.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: Option<String>,
    },
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    Result {
        call_id: String,
        text: String,
        is_error: bool,
        images: Vec<(String, String)>,
    },
    /// Media type and data.
    Image(String, String),
}

/// What messages say, in the neutral model. A message with calls and their results is several turns.
pub(crate) fn turns<'a>(said: impl IntoIterator<Item = &'a Said>, lost: &mut Lost) -> Vec<Turn> {
    let mut turns = Vec::new();
    for one in said {
        let get = |key| at(&one.json, &[key]);
        if get("hidden") == Some("true") {
            if !items(get("parts")).is_empty() {
                lose(lost, "hidden messages");
            }
            continue;
        }
        let speaker = match text_at(&one.json, &["role"]).unwrap_or_default().as_str() {
            _ if get("compact_summary") == Some("true") => Speaker::Summary,
            "assistant" => Speaker::Assistant,
            "system" => {
                lose(lost, "notices of the program");
                continue;
            }
            "tool" => Speaker::Tool,
            _ => Speaker::User,
        };
        split(one, speaker, lost, &mut turns);
    }
    turns.retain(|turn| !turn.blocks.is_empty());
    turns
}

fn split(one: &Said, speaker: Speaker, lost: &mut Lost, turns: &mut Vec<Turn>) {
    let get = |path: &[&str]| at(&one.json, path);
    let count = |key: &str| get(&["usage", key]).and_then(|count| count.parse().ok());
    let empty = |speaker| Turn {
        speaker,
        at: one.at,
        blocks: Vec::new(),
        model: text_at(&one.json, &["model"]),
        usage: None,
        cost: None,
        is_error: get(&["status"]) == Some("\"error\""),
    };
    let others = if speaker == Speaker::Tool { Speaker::User } else { speaker };
    let mut turn = empty(others);
    if get(&["usage"]).is_some() {
        turn.usage =
            Some(["input", "output", "cache_read", "cache_write"].map(|key| count(key).unwrap_or(0)));
        turn.cost = some(get(&["usage", "cost"])).map(str::to_owned);
    }
    for part in items(get(&["parts"])) {
        let Some(block) = block(part, lost) else { continue };
        let is_result = matches!(block, Block::Result { .. });
        if let (Block::Image(media, data), Speaker::Tool) = (&block, turn.speaker)
            && let Some(Block::Result { images, .. }) = turn.blocks.last_mut()
        {
            images.push((media.clone(), data.clone()));
            continue;
        }
        let is_others = turn.speaker != Speaker::Tool;
        if is_result == is_others {
            turns.push(std::mem::replace(&mut turn, empty(if is_result { Speaker::Tool } else { others })));
        }
        turn.blocks.push(block);
    }
    turns.push(turn);
}

fn block(part: &str, lost: &mut Lost) -> Option<Block> {
    let get = |key| at(part, &[key]);
    let text = |key| get(key).filter(|text| text.starts_with('"')).unwrap_or("\"\"").to_owned();
    match text_at(part, &["type"])?.as_str() {
        "text" => Some(Block::Text(text("text"))),
        "code" => Some(Block::Text(quote(&format!(
            "```{}\n{}\n```",
            text_at(part, &["language"]).unwrap_or_default(),
            text_at(part, &["text"]).unwrap_or_default()
        )))),
        "thinking" => {
            let signature = some(get("signature")).map(str::to_owned);
            Some(Block::Thinking { text: text("text"), signature })
        }
        "tool_call" => Some(Block::Call {
            id: text("id"),
            name: text("name"),
            arguments: get("arguments").unwrap_or("{}").to_owned(),
        }),
        "tool_result" => Some(result(part, lost)),
        "image" if get("data").is_some() => Some(Block::Image(text("media_type"), text("data"))),
        "image" => {
            lose(lost, "images that are elsewhere");
            let place = text_at(part, &["url"]).or(text_at(part, &["path"])).unwrap_or_default();
            Some(Block::Text(quote(&format!("[image: {place}]"))))
        }
        "file" => {
            lose(lost, "files");
            let place =
                ["name", "url", "path"].into_iter().find_map(|key| text_at(part, &[key])).unwrap_or_default();
            Some(Block::Text(quote(&format!("[file: {place}]"))))
        }
        _ => {
            lose(lost, "parts of a kind of their own");
            None
        }
    }
}

/// What a tool has answered, as one text: every format has that.
fn result(part: &str, lost: &mut Lost) -> Block {
    let content = at(part, &["content"]).unwrap_or("\"\"");
    let mut images = Vec::new();
    let text = if content.starts_with('"') {
        content.to_owned()
    } else if content.starts_with('[') {
        let mut texts = Vec::new();
        for block in items(Some(content)) {
            let source = at(block, &["source"]).unwrap_or(block);
            let media = at(source, &["media_type"]).or(at(source, &["mimeType"]));
            match (text_at(block, &["text"]), at(source, &["data"]), media) {
                (Some(text), ..) => texts.push(text),
                (None, Some(data), Some(media)) if data.starts_with('"') => {
                    images.push((media.to_owned(), data.to_owned()));
                }
                _ if block.starts_with('"') => {
                    texts.extend(sessile_core::import::decode_string(block).map(Into::into));
                }
                _ => {
                    lose(lost, "blocks of results that are no texts or images (written as JSON)");
                    texts.push(block.to_owned());
                }
            }
        }
        quote(&texts.join("\n"))
    } else if content == "null" {
        "\"\"".to_owned()
    } else {
        quote(content)
    };
    let call_id = at(part, &["call_id"]).filter(|id| id.starts_with('"')).unwrap_or("\"\"").to_owned();
    Block::Result { call_id, text, is_error: at(part, &["is_error"]) == Some("true"), images }
}

pub(crate) fn lose(lost: &mut Lost, what: &'static str) {
    *lost.entry(what).or_default() += 1;
}

/// A JSON string as text.
pub(crate) fn plain(json: &str) -> String {
    sessile_core::import::decode_string(json).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// A UUID: the text itself where it is one, else one that is made of it.
pub(crate) fn uuid(text: &str) -> String {
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
    if is_uuid {
        return text.to_owned();
    }
    let (one, other) = (fingerprint(text), fingerprint(&format!("{text}#")));
    format!(
        "{:08x}-{:04x}-8{:03x}-a{:03x}-{:012x}",
        one >> 32,
        (one >> 16) & 0xffff,
        one & 0xfff,
        other >> 52,
        other & 0xffff_ffff_ffff
    )
}

/// Gives the records of a fork, which are those of its parent, the fork's own id: what the first line that begins or is
/// marked with `mark` calls `key`.
pub(crate) fn rename(lines: &mut [String], key: &str, mark: &str, id: &str) {
    let named = |line: &String| {
        at(line, &[key]).or(at(line, &["payload", key])).filter(|id| id.starts_with('"')).map(str::to_owned)
    };
    let Some(old) = lines.iter().filter(|line| line.contains(mark)).find_map(named) else { return };
    let (old, new) = (format!("\"{key}\":{old}"), format!("\"{key}\":{}", quote(id)));
    for line in lines.iter_mut().filter(|line| line.contains(mark)) {
        *line = line.replacen(&old, &new, 1);
    }
}

/// A path in one name, with every character that is no letter or digit replaced.
pub(crate) fn mangled(path: &str) -> String {
    path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The arguments of a call as an object: what is a text of JSON is that.
pub(crate) fn arguments_object(arguments: &str) -> String {
    if arguments.starts_with('{') {
        return arguments.to_owned();
    }
    let text = plain(arguments);
    match sessile_core::json::minify(&text) {
        Ok(object) if object.starts_with('{') => object,
        _ => format!("{{\"input\":{}}}", if arguments.starts_with('"') { arguments } else { "null" }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A session with what an import has given, as it is read from a store.
    pub fn stored(imported: &sessile_core::import::ImportedSession) -> (Session, Vec<Said>) {
        let facts = sessile_core::Facts {
            scope: imported.scope.clone().unwrap_or_default(),
            title: imported.title.clone(),
            model: imported.model.clone(),
            provider: imported.provider.clone(),
            parent: imported.parent.clone(),
            created: imported.created_ms.unwrap_or(1),
            updated: imported.updated_ms.unwrap_or(1),
            ..sessile_core::Facts::default()
        };
        let session = Session {
            id: imported.id.clone(),
            facts,
            message_count: 0,
            head: 0,
            can_unrevert: false,
            generation: 1,
            log_bytes: 0,
        };
        let mut said: Vec<Said> = imported
            .messages
            .iter()
            .map(|message| Said { at: message.created_ms.unwrap_or(1), json: message.json.clone() })
            .collect();
        let lines: Vec<String> = imported
            .extra
            .iter()
            .enumerate()
            .map(|(n, extra)| format!("\"{}.{}\":{}", extra.line, n + 1, quote(&extra.json)))
            .collect();
        let carrier = format!(
            r#"{{"role":"system","parts":[],"hidden":true,"source":{{"format":"{}","extra":{{"f":{{{}}}}}}}}}"#,
            imported.agent.as_deref().unwrap_or_default(),
            lines.join(",")
        );
        said.push(Said { at: 1, json: carrier });
        (session, said)
    }

    /// A session of every kind of thing.
    pub fn sample() -> (Session, Vec<Said>) {
        let document = br#"{"info":{"id":"ses_1","directory":"/p/q","title":"A title"},"messages":[
            {"info":{"id":"msg_1","role":"user","time":{"created":1767323045000}},"parts":[{"id":"p1","type":"text","text":"look"},{"id":"p2","type":"file","mime":"image/png","url":"data:image/png;base64,QUJD"}]},
            {"info":{"id":"msg_2","role":"assistant","time":{"created":1767323046000},"modelID":"m","providerID":"anthropic","cost":0.5,"tokens":{"input":3,"output":2,"cache":{"read":4,"write":1}}},"parts":[{"id":"p3","type":"reasoning","text":"hm"},{"id":"p4","type":"tool","callID":"c","tool":"bash","state":{"status":"completed","input":{"command":"ls"},"output":"a\nb"}},{"id":"p5","type":"text","text":"done"},{"id":"p6","type":"subtask","prompt":"x"}]}]}"#;
        stored(&crate::opencode::read("s", document).sessions[0])
    }

    #[test]
    fn a_message_with_calls_and_results_is_several_turns() {
        let (_, said) = sample();
        let mut lost = Lost::new();
        let speakers: Vec<Speaker> = turns(&said, &mut lost).iter().map(|turn| turn.speaker).collect();
        assert_eq!(speakers, [Speaker::User, Speaker::Assistant, Speaker::Tool, Speaker::Assistant]);
        assert_eq!(lost, Lost::from([("parts of a kind of their own", 1)]));
    }

    /// What a format's own reader says of what was written from the sample.
    fn check_reader(format: Format, path: &str) -> sessile_core::import::ImportedSession {
        let (session, said) = sample();
        let written = write(format, &session, &said).unwrap();
        assert_eq!(written.path, path);
        assert_eq!(Format::of(written.text.as_bytes()), Some(format), "{}", written.text);
        let import = format.read("stem", written.text.as_bytes());
        assert!(import.problems.is_empty(), "{:?}", import.problems);
        let read = import.sessions.into_iter().next().unwrap();
        let all: String = read.messages.iter().map(|message| message.json.as_str()).collect();
        for kept in ["look", "QUJD", "bash", "ls", "a\\nb", "done"] {
            assert!(all.contains(kept), "{kept}: {all}");
        }
        assert_eq!(read.scope.as_deref(), Some("/p/q"));
        assert_eq!(read.title.as_deref(), Some("A title"));
        assert_eq!(read.model.as_deref(), Some("m"));
        let sums = |pick: fn(&sessile_core::import::ImportedUsage) -> Option<u64>| -> u64 {
            read.usage.iter().filter_map(pick).sum()
        };
        assert_eq!((sums(|u| u.input), sums(|u| u.output), sums(|u| u.cache_read)), (3, 2, 4));
        read
    }

    #[test]
    fn what_is_written_for_codex_is_read_by_its_reader() {
        let read = check_reader(
            Format::Codex,
            &format!("sessions/2026/01/02/rollout-2026-01-02T03-04-05-{}.jsonl", uuid("ses_1")),
        );
        assert_eq!(read.id, uuid("ses_1"));
    }

    #[test]
    fn what_is_written_for_claude_code_is_read_by_its_reader() {
        let read = check_reader(Format::Claude, &format!("projects/-p-q/{}.jsonl", uuid("ses_1")));
        assert_eq!(read.id, uuid("ses_1"));
    }

    #[test]
    fn what_is_written_for_pi_is_read_by_its_reader() {
        let path = format!("sessions/--p-q--/2026-01-02T03-04-05-000Z_{}.jsonl", uuid("ses_1"));
        check_reader(Format::Pi, &path);
    }

    #[test]
    fn what_is_written_for_opencode_is_read_by_its_reader() {
        check_reader(Format::OpenCode, "ses_1.json");
    }

    #[test]
    fn a_fork_is_written_under_its_own_id() {
        let line = |id: &str| {
            format!(
                r#"{{"uuid":"u","sessionId":"{id}","type":"user","isSidechain":false,"message":{{"role":"user","content":"hi"}}}}"#
            )
        };
        let import = Format::Claude.read("stem", line("parent").as_bytes());
        let (mut session, said) = stored(&import.sessions[0]);
        session.id = uuid("fork");
        session.facts.fork_point = Some(1);
        let written = write(Format::Claude, &session, &said).unwrap();
        assert_eq!(written.text.lines().next(), Some(line(&uuid("fork")).as_str()));
    }

    #[test]
    fn ids_of_any_form_become_uuids_that_stay() {
        let own = "0b0f8a5e-0000-4000-8000-000000000001";
        assert_eq!(uuid(own), own);
        assert_eq!(uuid("x"), uuid("x"));
        assert_ne!(uuid("x"), uuid("y"));
        assert_eq!(uuid(&uuid("x")), uuid("x"));
    }
}
