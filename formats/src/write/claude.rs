//! Session files of Claude Code: a chain of lines, one for each block of an answer.

use sessile_core::Session;
use sessile_core::export::iso_utc;
use sessile_core::json::quote;

use super::{
    Block, Lost, Records, Said, Speaker, Turn, Written, arguments_object, lose, mangled, turns, uuid,
};
use crate::text::{at, text_at};

/// A directory's name is cut there, with a hash behind it that differs between builds.
const NAME_CHARS_MAX: usize = 200;

/// Writes a session alone.
pub(super) fn write(session: &Session, said: &[Said]) -> Written {
    write_all(session, said, &[]).into_iter().next().unwrap_or_default()
}

/// Writes a session and its sub-agents.
pub(super) fn write_all(session: &Session, said: &[Said], children: &[(Session, Vec<Said>)]) -> Vec<Written> {
    let id = uuid(&session.id);
    let directory: String = mangled(&session.facts.scope).chars().take(NAME_CHARS_MAX).collect();
    let directory = if directory.is_empty() { "-".to_owned() } else { directory };
    let (same_file, own_file): (Vec<_>, Vec<_>) = children
        .iter()
        .partition(|(child, _)| child.id.contains("/sidechain-") || is_in_file(child, session));
    let mut all = said.to_vec();
    all.extend(same_file.into_iter().flat_map(|(_, said)| said.iter().cloned()));
    let mut written = vec![file(session, &id, &all, format!("projects/{directory}/{id}.jsonl"))];
    for (child, said) in own_file {
        let name = child.id.rsplit('/').next().unwrap_or(&child.id);
        let name =
            if name.starts_with("agent-") { name.to_owned() } else { format!("agent-{}", mangled(name)) };
        written.push(file(child, &id, said, format!("projects/{directory}/{id}/subagents/{name}.jsonl")));
    }
    written
}

/// Whether a sub-agent's lines were in the session's own file.
fn is_in_file(child: &Session, session: &Session) -> bool {
    let files = |session: &Session| -> Vec<String> {
        let metadata = session.facts.metadata.as_ref().map_or("{}", |metadata| metadata.as_str());
        let files = at(metadata, &["imported", "files"]).and_then(sessile_core::import::Members::parse);
        files.unwrap_or_default().0.iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    let own = files(session);
    files(child).iter().any(|name| own.contains(name))
}

fn file(session: &Session, id: &str, said: &[Said], path: String) -> Written {
    let mut lost = Lost::new();
    let Records { lines: records, kept, others } = Records::of("claude-code", said);
    let is_own = !records.is_empty();
    let made = turns(if is_own { others } else { said.iter().collect() }, &mut lost);
    let mut lines: Vec<String> =
        if is_own { records.into_iter().map(|(_, line)| line).collect() } else { Vec::new() };
    if session.facts.fork_point.is_some() {
        super::rename(&mut lines, "sessionId", "", id);
    }
    let last = lines.iter().rev().find_map(|line| text_at(line, &["uuid"]));
    let mut chain = Chain { session, id, parent: last, lines: Vec::new(), count: 0 };
    for turn in &made {
        chain.turn(turn, &mut lost);
    }
    lines.append(&mut chain.lines);
    let has = |line: &str| lines.iter().any(|known| known == line);
    let mut behind = Vec::new();
    // The listing looks for the kind of such lines at their very beginning.
    let is_wanted = session.facts.title_manual || !is_own;
    if let Some(title) = session.facts.title.as_ref().filter(|_| is_wanted) {
        let told = lines.iter().rev().find_map(|line| text_at(line, &["customTitle"]));
        if told.as_ref() != Some(title) {
            behind.push(format!(
                "{{\"type\":\"custom-title\",\"customTitle\":{},\"sessionId\":\"{id}\"}}",
                quote(title)
            ));
        }
    }
    if let Some(tag) = session.facts.tags.first() {
        let told = lines.iter().rev().find_map(|line| text_at(line, &["tag"]));
        if told.as_ref() != Some(tag) {
            behind.push(format!("{{\"type\":\"tag\",\"tag\":{},\"sessionId\":\"{id}\"}}", quote(tag)));
        }
        for _ in session.facts.tags.iter().skip(1) {
            lose(&mut lost, "tags but the first");
        }
    }
    behind.retain(|line| !has(line));
    lines.append(&mut behind);
    Written {
        path,
        text: lines.iter().map(|line| format!("{line}\n")).collect(),
        kept: if is_own { kept } else { 0 },
        made: made.len() as u64,
        lost,
    }
}

/// Lines, each of which names the one before.
struct Chain<'a> {
    session: &'a Session,
    id: &'a str,
    parent: Option<String>,
    lines: Vec<String>,
    count: u64,
}

impl Chain<'_> {
    fn line(&mut self, at: u64, kind: &str, more: &str) {
        let uuid = self.next_uuid();
        let parent = self.parent.as_deref().map_or("null".to_owned(), quote);
        self.lines.push(format!(
            "{{\"parentUuid\":{parent},\"isSidechain\":false,\"userType\":\"external\",\"cwd\":{},\"sessionId\":\"{}\",\"version\":\"2.0.0\",\"gitBranch\":\"\",\"type\":\"{kind}\",{more},\"uuid\":\"{uuid}\",\"timestamp\":\"{}\"}}",
            quote(&self.session.facts.scope),
            self.id,
            iso_utc(at)
        ));
        self.parent = Some(uuid);
    }

    fn next_uuid(&mut self) -> String {
        self.count += 1;
        let before = self.parent.as_deref().unwrap_or_default();
        uuid(&format!("{}/{}/{before}", self.id, self.count))
    }

    fn turn(&mut self, turn: &Turn, lost: &mut Lost) {
        match turn.speaker {
            Speaker::User | Speaker::Tool => {
                let content: Vec<String> =
                    turn.blocks.iter().filter_map(|block| user_block(block, lost)).collect();
                if !content.is_empty() {
                    let message =
                        format!("\"message\":{{\"role\":\"user\",\"content\":[{}]}}", content.join(","));
                    self.line(turn.at, "user", &message);
                }
            }
            Speaker::Summary => {
                let texts: Vec<String> =
                    turn.blocks.iter().filter_map(|block| user_block(block, lost)).collect();
                let before = self.parent.take().map_or("null".to_owned(), |uuid| quote(&uuid));
                self.line(
                    turn.at,
                    "system",
                    &format!("\"subtype\":\"compact_boundary\",\"content\":\"Conversation compacted\",\"isMeta\":false,\"logicalParentUuid\":{before},\"compactMetadata\":{{\"trigger\":\"manual\",\"preTokens\":0}}"),
                );
                let message = format!(
                    "\"isCompactSummary\":true,\"message\":{{\"role\":\"user\",\"content\":[{}]}}",
                    texts.join(",")
                );
                self.line(turn.at, "user", &message);
            }
            Speaker::Assistant => self.answer(turn, lost),
        }
    }

    /// One answer is a line for each block, with the same id and the same usage.
    fn answer(&mut self, turn: &Turn, lost: &mut Lost) {
        let [input, output, read, write] = turn.usage.unwrap_or_default();
        let number = self.next_uuid().replace('-', "");
        let model = turn.model.as_ref().or(self.session.facts.model.as_ref());
        let model = quote(model.map_or("unknown", String::as_str));
        let is_signed = self.session.facts.provider.as_deref().is_some_and(|name| name.contains("anthropic"));
        for block in &turn.blocks {
            let Some(block) = answer_block(block, is_signed, lost) else { continue };
            let message = format!(
                "\"message\":{{\"id\":\"msg_{number}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{model},\"content\":[{block}],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{input},\"cache_creation_input_tokens\":{write},\"cache_read_input_tokens\":{read},\"output_tokens\":{output}}}}}"
            );
            self.line(turn.at, "assistant", &message);
        }
        if turn.cost.is_some() {
            lose(lost, "costs of answers");
        }
    }
}

fn image(media: &str, data: &str) -> String {
    format!(
        "{{\"type\":\"image\",\"source\":{{\"type\":\"base64\",\"media_type\":{media},\"data\":{data}}}}}"
    )
}

fn user_block(block: &Block, lost: &mut Lost) -> Option<String> {
    match block {
        Block::Text(text) => Some(format!("{{\"type\":\"text\",\"text\":{text}}}")),
        Block::Image(media, data) => Some(image(media, data)),
        Block::Result { call_id, text, is_error, images } => {
            let mut content = text.clone();
            if !images.is_empty() {
                let images: Vec<String> = images.iter().map(|(media, data)| image(media, data)).collect();
                content = format!("[{{\"type\":\"text\",\"text\":{text}}},{}]", images.join(","));
            }
            let error = if *is_error { ",\"is_error\":true" } else { "" };
            Some(format!(
                "{{\"type\":\"tool_result\",\"tool_use_id\":{call_id},\"content\":{content}{error}}}"
            ))
        }
        _ => {
            lose(lost, "parts that a user's message cannot have");
            None
        }
    }
}

fn answer_block(block: &Block, is_signed: bool, lost: &mut Lost) -> Option<String> {
    match block {
        Block::Text(text) if text == "\"\"" => None,
        Block::Text(text) => Some(format!("{{\"type\":\"text\",\"text\":{text}}}")),
        Block::Thinking { text, signature: Some(signature) } if is_signed => {
            Some(format!("{{\"type\":\"thinking\",\"thinking\":{text},\"signature\":{signature}}}"))
        }
        // Its API refuses thoughts that it has not signed itself.
        Block::Thinking { .. } => {
            lose(lost, "thoughts that the provider has not signed");
            None
        }
        Block::Call { id, name, arguments } => {
            let input = arguments_object(arguments);
            Some(format!("{{\"type\":\"tool_use\",\"id\":{id},\"name\":{name},\"input\":{input}}}"))
        }
        Block::Image(..) => {
            lose(lost, "images of answers");
            None
        }
        Block::Result { .. } => None,
    }
}
