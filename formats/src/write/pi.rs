//! Sessions of pi, version 3.

use std::collections::{BTreeMap, BTreeSet};

use sessile_core::Session;
use sessile_core::export::iso_utc;
use sessile_core::import::fingerprint;
use sessile_core::json::quote;

use super::{Block, Lost, Records, Said, Speaker, Turn, Written, arguments_object, lose, turns, uuid};
use crate::regenerate;
use crate::text::{at, text_at};

/// Writes a session.
pub(super) fn write(session: &Session, said: &[Said]) -> Written {
    let mut lost = Lost::new();
    let Records { lines, kept, others } = Records::of("pi", said);
    let is_own = lines.iter().any(|(_, line)| text_at(line, &["type"]).as_deref() == Some("session"));
    let is_kept = is_own && session.facts.fork_point.is_none();
    let id = if is_kept { session.id.clone() } else { uuid(&session.id) };
    let facts = &session.facts;
    let made = turns(if is_own { others } else { said.iter().collect() }, &mut lost);
    let mut lines: Vec<String> =
        if is_own { lines.into_iter().map(|(_, line)| line).collect() } else { Vec::new() };
    // A fork has what leads to its last message, and not what has come elsewhere since.
    if facts.fork_point.is_some() {
        lines = leading_to(lines, said);
        super::rename(&mut lines, "id", "\"type\":\"session\"", &uuid(&session.id));
    }
    let leaf = lines
        .iter()
        .rev()
        .find_map(|line| text_at(line, &["id"]).filter(|_| !line.starts_with("{\"type\":\"session\"")));
    let mut tree = Tree { session, lines, leaf, count: 0, names: BTreeMap::new(), model: None };
    if !is_own {
        tree.lines.push(format!(
            "{{\"type\":\"session\",\"version\":3,\"id\":{},\"timestamp\":\"{}\",\"cwd\":{}}}",
            quote(&id),
            iso_utc(facts.created),
            quote(&facts.scope)
        ));
        if let Some(title) = &facts.title {
            tree.entry(facts.created, "session_info", &format!("\"name\":{}", quote(title)));
        }
        if facts.parent.is_some() {
            lose(&mut lost, "parents of sessions (they are named by their files there)");
        }
    }
    for turn in &made {
        tree.turn(turn, &mut lost);
    }
    let name = format!("{}_{id}.jsonl", iso_utc(facts.created).replace([':', '.'], "-"));
    let directory = facts.scope.trim_start_matches(['/', '\\']).replace(['/', '\\', ':'], "-");
    Written {
        path: format!("sessions/--{directory}--/{name}"),
        text: tree.lines.iter().map(|line| format!("{line}\n")).collect(),
        kept: if is_own { kept } else { 0 },
        made: made.len() as u64,
        lost,
    }
}

/// The lines that lead to the last message, and those that are no entries.
fn leading_to(lines: Vec<String>, said: &[Said]) -> Vec<String> {
    let is_entry = |line: &String| text_at(line, &["type"]).as_deref() != Some("session");
    let id = |line: &String| text_at(line, &["id"]).filter(|_| is_entry(line));
    let parents: BTreeMap<String, Option<String>> =
        lines.iter().filter_map(|line| Some((id(line)?, text_at(line, &["parentId"])))).collect();
    let visible = said.iter().rev().filter(|one| at(&one.json, &["hidden"]) != Some("true"));
    let mut next = visible.filter_map(|one| regenerate("pi", &one.json)).find_map(|line| id(&line));
    let mut path = BTreeSet::new();
    while let Some(id) = next.filter(|id| path.insert(id.clone())) {
        next = parents.get(&id).cloned().flatten();
    }
    lines.into_iter().filter(|line| id(line).is_none_or(|id| path.contains(&id))).collect()
}

struct Tree<'a> {
    session: &'a Session,
    lines: Vec<String>,
    leaf: Option<String>,
    count: u64,
    /// The names of tools by their calls: results name them too.
    names: BTreeMap<String, String>,
    model: Option<String>,
}

impl Tree<'_> {
    fn id(&self, number: u64) -> String {
        let text = format!("{}/{number}", self.session.id);
        format!("{:08x}", fingerprint(&text) & 0xffff_ffff)
    }

    fn entry(&mut self, at: u64, kind: &str, more: &str) {
        self.count += 1;
        let id = self.id(self.count);
        let parent = self.leaf.as_deref().map_or("null".to_owned(), quote);
        self.lines.push(format!(
            "{{\"type\":\"{kind}\",\"id\":\"{id}\",\"parentId\":{parent},\"timestamp\":\"{}\",{more}}}",
            iso_utc(at)
        ));
        self.leaf = Some(id);
    }

    fn message(&mut self, at: u64, message: &str) {
        self.entry(at, "message", &format!("\"message\":{{{message},\"timestamp\":{at}}}"));
    }

    fn turn(&mut self, turn: &Turn, lost: &mut Lost) {
        match turn.speaker {
            Speaker::User => {
                let content: Vec<String> =
                    turn.blocks.iter().filter_map(|block| user_block(block, lost)).collect();
                self.message(turn.at, &format!("\"role\":\"user\",\"content\":[{}]", content.join(",")));
            }
            Speaker::Summary => {
                let texts: Vec<String> = turn.blocks.iter().filter_map(text).collect();
                // Everything from the next entry on is kept.
                let next = self.id(self.count + 2);
                let more = format!(
                    "\"summary\":{},\"firstKeptEntryId\":\"{next}\",\"tokensBefore\":0",
                    quote(&texts.join("\n"))
                );
                self.entry(turn.at, "compaction", &more);
            }
            Speaker::Assistant => self.answer(turn, lost),
            Speaker::Tool => {
                for block in &turn.blocks {
                    let Block::Result { call_id, text, is_error, images } = block else { continue };
                    let name = self.names.get(call_id).cloned().unwrap_or_else(|| "\"unknown\"".to_owned());
                    let mut content = vec![format!("{{\"type\":\"text\",\"text\":{text}}}")];
                    content.extend(images.iter().map(|(media, data)| image(media, data)));
                    self.message(
                        turn.at,
                        &format!(
                            "\"role\":\"toolResult\",\"toolCallId\":{call_id},\"toolName\":{name},\"content\":[{}],\"isError\":{is_error}",
                            content.join(",")
                        ),
                    );
                }
            }
        }
    }

    fn answer(&mut self, turn: &Turn, lost: &mut Lost) {
        let facts = &self.session.facts;
        let provider = facts.provider.clone().unwrap_or_else(|| "unknown".to_owned());
        let model = turn.model.clone().or(facts.model.clone()).unwrap_or_else(|| "unknown".to_owned());
        if self.model.as_ref() != Some(&model) {
            let more = format!("\"provider\":{},\"modelId\":{}", quote(&provider), quote(&model));
            self.entry(turn.at, "model_change", &more);
            self.model = Some(model.clone());
        }
        let mut content = Vec::new();
        let mut has_calls = false;
        for block in &turn.blocks {
            match block {
                Block::Text(text) => content.push(format!("{{\"type\":\"text\",\"text\":{text}}}")),
                Block::Thinking { text, signature } => {
                    let signature =
                        signature.as_ref().map(|signature| format!(",\"thinkingSignature\":{signature}"));
                    let signature = signature.unwrap_or_default();
                    content.push(format!("{{\"type\":\"thinking\",\"thinking\":{text}{signature}}}"));
                }
                Block::Call { id, name, arguments } => {
                    has_calls = true;
                    self.names.insert(id.clone(), name.clone());
                    let arguments = arguments_object(arguments);
                    content.push(format!(
                        "{{\"type\":\"toolCall\",\"id\":{id},\"name\":{name},\"arguments\":{arguments}}}"
                    ));
                }
                Block::Image(..) => lose(lost, "images of answers"),
                Block::Result { .. } => {}
            }
        }
        let [input, output, read, write] = turn.usage.unwrap_or_default();
        let cost = turn.cost.as_deref().unwrap_or("0");
        let stop = if turn.is_error {
            "error"
        } else if has_calls {
            "toolUse"
        } else {
            "stop"
        };
        let api = match provider.as_str() {
            name if name.contains("anthropic") => "anthropic-messages",
            name if name.contains("openai") => "openai-responses",
            name if name.contains("google") => "google-generative-ai",
            _ => "openai-completions",
        };
        self.message(
            turn.at,
            &format!(
                "\"role\":\"assistant\",\"content\":[{}],\"api\":\"{api}\",\"provider\":{},\"model\":{},\"usage\":{{\"input\":{input},\"output\":{output},\"cacheRead\":{read},\"cacheWrite\":{write},\"totalTokens\":{},\"cost\":{{\"input\":0,\"output\":0,\"cacheRead\":0,\"cacheWrite\":0,\"total\":{cost}}}}},\"stopReason\":\"{stop}\"",
                content.join(","),
                quote(&provider),
                quote(&model),
                input + output + read + write
            ),
        );
    }
}

fn image(media: &str, data: &str) -> String {
    format!("{{\"type\":\"image\",\"data\":{data},\"mimeType\":{media}}}")
}

fn text(block: &Block) -> Option<String> {
    match block {
        Block::Text(text) => Some(super::plain(text)),
        _ => None,
    }
}

fn user_block(block: &Block, lost: &mut Lost) -> Option<String> {
    match block {
        Block::Text(text) => Some(format!("{{\"type\":\"text\",\"text\":{text}}}")),
        Block::Image(media, data) => Some(image(media, data)),
        _ => {
            lose(lost, "parts that a user's message cannot have");
            None
        }
    }
}
