//! The document of OpenCode, as `opencode export` writes it and `opencode import` takes it.

use std::collections::BTreeMap;

use sessile_core::Session;
use sessile_core::export::Printer;
use sessile_core::import::{Members, fingerprint};
use sessile_core::json::quote;

use super::{Block, Lost, Records, Said, Speaker, Turn, Written, arguments_object, lose, turns};
use crate::text::at;

const FORMAT: &str = "opencode";

/// Writes a session.
pub(super) fn write(session: &Session, said: &[Said]) -> Written {
    let mut lost = Lost::new();
    let Records { lines, kept, others } = Records::of(FORMAT, said);
    let rest = lines.iter().rev().find(|(line, text)| *line < 1.0 && at(text, &["info"]).is_some());
    let is_own = rest.is_some();
    let id = match session.id.starts_with("ses_") {
        true => session.id.clone(),
        false => {
            format!("ses_{:012x}{}", session.facts.created << 12 & 0xffff_ffff_ffff, letters(&session.id))
        }
    };
    let made = turns(if is_own { others } else { said.iter().collect() }, &mut lost);
    let mut messages: Vec<String> = Vec::new();
    if is_own {
        messages.extend(lines.iter().filter(|(line, _)| *line >= 1.0).map(|(_, text)| text.clone()));
    }
    let mut making = Making { session, id: &id, count: 0, messages, user: None, results: results(&made) };
    for turn in &made {
        making.turn(turn, &mut lost);
    }
    for _ in 0..making.results.len() {
        lose(&mut lost, "results without a call");
    }
    let rest = rest
        .map_or_else(|| format!("{{\"info\":{}}}", info(session, &id)), |(_, text)| retitled(text, session));
    let mut printer = Printer::default();
    printer.open(None, '{');
    printer.members(&rest);
    printer.open(Some("messages"), '[');
    for message in &making.messages {
        printer.value(None, message);
    }
    printer.close();
    printer.close();
    let mut text = printer.take();
    text.push('\n');
    Written {
        path: format!("{id}.json"),
        text,
        kept: if is_own { kept } else { 0 },
        made: made.len() as u64,
        lost,
    }
}

/// The facts of the document, with the title that the session has now.
fn retitled(rest: &str, session: &Session) -> String {
    let title = session.facts.title.as_ref().filter(|_| session.facts.title_manual);
    let (Some(mut members), Some(title)) = (Members::parse(rest), title.map(|title| quote(title))) else {
        return rest.to_owned();
    };
    let Some(mut info) = members.get("info").and_then(Members::parse) else { return rest.to_owned() };
    let mut told = String::new();
    if let Some(place) = info.position("title").and_then(|at| info.0.get_mut(at)) {
        place.1 = &title;
    }
    info.write(&mut told);
    if let Some(place) = members.position("info").and_then(|at| members.0.get_mut(at)) {
        place.1 = &told;
    }
    let mut out = String::new();
    members.write(&mut out);
    out
}

fn info(session: &Session, id: &str) -> String {
    let facts = &session.facts;
    let title = facts.title.clone().unwrap_or_default();
    let parent = facts.parent.as_ref().filter(|parent| parent.starts_with("ses_"));
    let parent = parent.map(|parent| format!(",\"parentID\":{}", quote(parent))).unwrap_or_default();
    format!(
        "{{\"id\":{},\"slug\":{},\"projectID\":\"global\",\"directory\":{}{parent},\"title\":{},\"version\":\"1.0.0\",\"time\":{{\"created\":{},\"updated\":{}}}}}",
        quote(id),
        quote(&super::mangled(&title).to_lowercase().chars().take(40).collect::<String>()),
        quote(&facts.scope),
        quote(&title),
        facts.created,
        facts.updated
    )
}

/// What tools have answered, by the calls: they stand in the calls there.
fn results(turns: &[Turn]) -> BTreeMap<String, Block> {
    let blocks = turns.iter().flat_map(|turn| &turn.blocks);
    blocks
        .filter_map(|block| match block {
            Block::Result { call_id, .. } => Some((call_id.clone(), block.clone())),
            _ => None,
        })
        .collect()
}

struct Making<'a> {
    session: &'a Session,
    id: &'a str,
    count: u64,
    messages: Vec<String>,
    /// The last message of the user, which answers name.
    user: Option<String>,
    results: BTreeMap<String, Block>,
}

impl Making<'_> {
    /// An id that sorts by time.
    fn next_id(&mut self, kind: &str, at: u64) -> String {
        self.count += 1;
        let time = ((at << 12) + self.count) & 0xffff_ffff_ffff;
        format!("{kind}_{time:012x}{}", letters(&format!("{}/{}", self.id, self.count)))
    }

    fn turn(&mut self, turn: &Turn, lost: &mut Lost) {
        if turn.speaker == Speaker::Tool {
            return;
        }
        let id = self.next_id("msg", turn.at);
        let facts = &self.session.facts;
        let provider = quote(facts.provider.as_deref().unwrap_or("unknown"));
        let model = turn.model.as_deref().or(facts.model.as_deref());
        let model = quote(model.unwrap_or("unknown"));
        let info = match turn.speaker {
            Speaker::User => {
                self.user = Some(id.clone());
                format!(
                    "{{\"id\":\"{id}\",\"sessionID\":{},\"role\":\"user\",\"time\":{{\"created\":{}}},\"agent\":\"build\",\"model\":{{\"providerID\":{provider},\"modelID\":{model}}}}}",
                    quote(self.id),
                    turn.at
                )
            }
            _ => {
                let [input, output, read, write] = turn.usage.unwrap_or_default();
                let summary = if turn.speaker == Speaker::Summary { ",\"summary\":true" } else { "" };
                let scope = quote(&facts.scope);
                format!(
                    "{{\"id\":\"{id}\",\"sessionID\":{},\"role\":\"assistant\",\"time\":{{\"created\":{at},\"completed\":{at}}},\"parentID\":{},\"modelID\":{model},\"providerID\":{provider},\"mode\":\"build\",\"agent\":\"build\",\"path\":{{\"cwd\":{scope},\"root\":{scope}}},\"cost\":{},\"tokens\":{{\"input\":{input},\"output\":{output},\"reasoning\":0,\"cache\":{{\"read\":{read},\"write\":{write}}}}}{summary}}}",
                    quote(self.id),
                    quote(self.user.as_deref().unwrap_or_default()),
                    turn.cost.as_deref().unwrap_or("0"),
                    at = turn.at
                )
            }
        };
        let mut parts = Vec::new();
        for block in &turn.blocks {
            if let Some(body) = self.part(block, turn.at, lost) {
                let part = self.next_id("prt", turn.at);
                parts.push(format!(
                    "{{\"id\":\"{part}\",\"sessionID\":{},\"messageID\":\"{id}\",{body}}}",
                    quote(self.id)
                ));
            }
        }
        self.messages.push(format!("{{\"info\":{info},\"parts\":[{}]}}", parts.join(",")));
    }

    fn part(&mut self, block: &Block, at: u64, lost: &mut Lost) -> Option<String> {
        match block {
            Block::Text(text) => Some(format!("\"type\":\"text\",\"text\":{text}")),
            Block::Thinking { text, signature } => {
                if signature.is_some() {
                    lose(lost, "signatures of thoughts");
                }
                Some(format!(
                    "\"type\":\"reasoning\",\"text\":{text},\"time\":{{\"start\":{at},\"end\":{at}}}"
                ))
            }
            Block::Image(media, data) => Some(file(media, data)),
            Block::Call { id, name, arguments } => {
                let input = arguments_object(arguments);
                let time = format!("\"time\":{{\"start\":{at},\"end\":{at}}}");
                let state = match self.results.remove(id) {
                    Some(Block::Result { text, is_error: false, images, .. }) => {
                        let files: Vec<String> = images
                            .iter()
                            .map(|(media, data)| {
                                let part = self.next_id("prt", at);
                                format!(
                                    "{{\"id\":\"{part}\",\"sessionID\":{},{}}}",
                                    quote(self.id),
                                    file(media, data)
                                )
                            })
                            .collect();
                        let files = if files.is_empty() {
                            String::new()
                        } else {
                            format!(",\"attachments\":[{}]", files.join(","))
                        };
                        format!(
                            "{{\"status\":\"completed\",\"input\":{input},\"output\":{text},\"title\":\"\",\"metadata\":{{}},{time}{files}}}"
                        )
                    }
                    Some(Block::Result { text, .. }) => {
                        format!("{{\"status\":\"error\",\"input\":{input},\"error\":{text},{time}}}")
                    }
                    _ => {
                        lose(lost, "calls without a result (written as failed)");
                        format!(
                            "{{\"status\":\"error\",\"input\":{input},\"error\":\"no result was recorded\",{time}}}"
                        )
                    }
                };
                Some(format!("\"type\":\"tool\",\"callID\":{id},\"tool\":{name},\"state\":{state}"))
            }
            Block::Result { .. } => None,
        }
    }
}

fn file(media: &str, data: &str) -> String {
    let url = quote(&format!("data:{};base64,{}", super::plain(media), super::plain(data)));
    format!("\"type\":\"file\",\"mime\":{media},\"url\":{url}")
}

/// Fourteen letters and digits made of a text, as ids end there.
fn letters(text: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = u128::from(fingerprint(text)) << 64 | u128::from(fingerprint(&format!("{text}#")));
    (0..14)
        .filter_map(|at| LETTERS.get(((bits >> (at * 5)) & 31) as usize))
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::text_at;

    #[test]
    fn a_title_chosen_here_is_written() {
        let (mut session, said) = super::super::tests::sample();
        session.facts.title = Some("Chosen".into());
        session.facts.title_manual = true;
        let written = write(&session, &said);
        assert_eq!((written.kept, written.made), (2, 0));
        assert_eq!(text_at(&written.text, &["info", "title"]).as_deref(), Some("Chosen"));
    }
}
