//! Rollouts of Codex: what it resumes is the items, what it shows and lists are the events beside them.

use sessile_core::Session;
use sessile_core::export::iso_utc;
use sessile_core::json::quote;

use super::{Block, Lost, Records, Said, Speaker, Turn, Written, lose, turns, uuid};

/// Writes a session.
pub(super) fn write(session: &Session, said: &[Said]) -> Written {
    let mut lost = Lost::new();
    let Records { lines, kept, others } = Records::of("codex", said);
    let is_own = kept > 0 || lines.iter().any(|(_, line)| line.contains("\"session_meta\""));
    let mut rollout = Rollout::default();
    rollout.lines.extend(lines.iter().map(|(_, line)| line.clone()));
    let id = uuid(&session.id);
    let lines = if is_own { others } else { said.iter().collect() };
    if session.facts.fork_point.is_some() {
        super::rename(&mut rollout.lines, "id", "\"session_meta\"", &id);
    }
    if !is_own {
        rollout.lines.clear();
        rollout.begin(session, &id);
    }
    let made = turns(lines, &mut lost);
    for turn in &made {
        rollout.turn(turn, session, &mut lost);
    }
    if let (false, Some(title)) = (is_own, &session.facts.title) {
        let name = format!(
            "{{\"type\":\"thread_name_updated\",\"thread_id\":\"{id}\",\"thread_name\":{}}}",
            quote(title)
        );
        rollout.line(session.facts.updated, "event_msg", &name);
    }
    let stamp = iso_utc(session.facts.created);
    let (date, time) = stamp.split_once('T').unwrap_or((&stamp, ""));
    let time = time.split('.').next().unwrap_or_default().replace(':', "-");
    Written {
        path: format!("sessions/{}/rollout-{date}T{time}-{id}.jsonl", date.replace('-', "/")),
        text: rollout.lines.iter().map(|line| format!("{line}\n")).collect(),
        kept: if is_own { kept } else { 0 },
        made: made.len() as u64,
        lost,
    }
}

#[derive(Default)]
struct Rollout {
    lines: Vec<String>,
    model: Option<String>,
    total: [u64; 4],
}

impl Rollout {
    fn line(&mut self, at: u64, kind: &str, payload: &str) {
        self.lines
            .push(format!("{{\"timestamp\":\"{}\",\"type\":\"{kind}\",\"payload\":{payload}}}", iso_utc(at)));
    }

    fn begin(&mut self, session: &Session, id: &str) {
        let facts = &session.facts;
        let provider =
            facts.provider.as_ref().map(|provider| format!(",\"model_provider\":{}", quote(provider)));
        let meta = format!(
            "{{\"id\":\"{id}\",\"timestamp\":\"{}\",\"cwd\":{},\"originator\":\"sessile\",\"cli_version\":\"0.0.0\",\"source\":\"cli\"{}}}",
            iso_utc(facts.created),
            quote(&facts.scope),
            provider.unwrap_or_default()
        );
        self.line(facts.created, "session_meta", &meta);
    }

    /// Says in which directory and by which model the next answers are.
    fn context(&mut self, at: u64, session: &Session, model: Option<&String>) {
        let model = model.or(session.facts.model.as_ref()).cloned();
        if self.model.is_some() && self.model == model {
            return;
        }
        let context = format!(
            "{{\"cwd\":{},\"approval_policy\":\"on-request\",\"sandbox_policy\":{{\"type\":\"read-only\"}},\"model\":{},\"summary\":\"auto\"}}",
            quote(&session.facts.scope),
            quote(model.as_deref().unwrap_or("unknown"))
        );
        self.model = model;
        self.line(at, "turn_context", &context);
    }

    fn turn(&mut self, turn: &Turn, session: &Session, lost: &mut Lost) {
        let at = turn.at;
        match turn.speaker {
            Speaker::Summary => {
                let text = texts(turn);
                self.line(at, "compacted", &format!("{{\"message\":{}}}", quote(&text)));
            }
            Speaker::User => {
                let mut content = Vec::new();
                for block in &turn.blocks {
                    match block {
                        Block::Text(text) => {
                            content.push(format!("{{\"type\":\"input_text\",\"text\":{text}}}"));
                        }
                        Block::Image(media, data) => content.push(image(media, data)),
                        _ => lose(lost, "parts that a user's message cannot have"),
                    }
                }
                self.message(at, "user", &content);
                let event = format!("{{\"type\":\"user_message\",\"message\":{}}}", quote(&texts(turn)));
                self.line(at, "event_msg", &event);
            }
            Speaker::Assistant => {
                self.context(at, session, turn.model.as_ref());
                for block in &turn.blocks {
                    self.answer(at, block, lost);
                }
                self.count(turn);
                if turn.cost.is_some() {
                    lose(lost, "costs of answers");
                }
            }
            Speaker::Tool => {
                for block in &turn.blocks {
                    let Block::Result { call_id, text, is_error, images } = block else { continue };
                    if *is_error {
                        lose(lost, "marks of results as errors");
                    }
                    let mut output = text.clone();
                    if !images.is_empty() {
                        let images: Vec<String> =
                            images.iter().map(|(media, data)| image(media, data)).collect();
                        output =
                            format!("[{{\"type\":\"input_text\",\"text\":{text}}},{}]", images.join(","));
                    }
                    let item = format!(
                        "{{\"type\":\"function_call_output\",\"call_id\":{call_id},\"output\":{output}}}"
                    );
                    self.line(at, "response_item", &item);
                }
            }
        }
    }

    fn message(&mut self, at: u64, role: &str, content: &[String]) {
        let item =
            format!("{{\"type\":\"message\",\"role\":\"{role}\",\"content\":[{}]}}", content.join(","));
        self.line(at, "response_item", &item);
    }

    fn answer(&mut self, at: u64, block: &Block, lost: &mut Lost) {
        match block {
            Block::Text(text) => {
                self.message(at, "assistant", &[format!("{{\"type\":\"output_text\",\"text\":{text}}}")]);
                self.line(at, "event_msg", &format!("{{\"type\":\"agent_message\",\"message\":{text}}}"));
            }
            Block::Thinking { text, signature } => {
                if signature.is_some() {
                    lose(lost, "signatures of thoughts");
                }
                if text != "\"\"" {
                    let item = format!(
                        "{{\"type\":\"reasoning\",\"summary\":[{{\"type\":\"summary_text\",\"text\":{text}}}],\"encrypted_content\":null}}"
                    );
                    self.line(at, "response_item", &item);
                    self.line(at, "event_msg", &format!("{{\"type\":\"agent_reasoning\",\"text\":{text}}}"));
                }
            }
            Block::Call { id, name, arguments } => {
                let arguments = if arguments.starts_with('"') { arguments.clone() } else { quote(arguments) };
                let item = format!(
                    "{{\"type\":\"function_call\",\"name\":{name},\"arguments\":{arguments},\"call_id\":{id}}}"
                );
                self.line(at, "response_item", &item);
            }
            Block::Image(..) => lose(lost, "images of answers"),
            Block::Result { .. } => {}
        }
    }

    /// Tokens are counted from the beginning there, those of caches among the input.
    fn count(&mut self, turn: &Turn) {
        let Some(used) = turn.usage else { return };
        for (sum, used) in self.total.iter_mut().zip(used) {
            *sum += used;
        }
        let told = |[input, output, read, write]: [u64; 4]| {
            format!(
                "{{\"input_tokens\":{},\"cached_input_tokens\":{read},\"cache_write_input_tokens\":{write},\"output_tokens\":{output},\"reasoning_output_tokens\":0,\"total_tokens\":{}}}",
                input + read + write,
                input + read + write + output
            )
        };
        let event = format!(
            "{{\"type\":\"token_count\",\"info\":{{\"total_token_usage\":{},\"last_token_usage\":{},\"model_context_window\":null}},\"rate_limits\":null}}",
            told(self.total),
            told(used)
        );
        self.line(turn.at, "event_msg", &event);
    }
}

fn image(media: &str, data: &str) -> String {
    let url = format!("data:{};base64,{}", super::plain(media), super::plain(data));
    format!("{{\"type\":\"input_image\",\"image_url\":{}}}", quote(&url))
}

fn texts(turn: &Turn) -> String {
    let texts = turn.blocks.iter().filter_map(|block| match block {
        Block::Text(text) => Some(super::plain(text)),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
