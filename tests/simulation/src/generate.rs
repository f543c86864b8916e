//! Random operations, from a seed.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "numbers drawn below a length")]

use sessile_core::{Durability, NewSession, SessionPatch, WriteOptions};

use crate::model::{Model, Op};
use crate::sim::Random;

/// Messages that are hard to keep byte for byte.
const CONTENTS: [&str; 8] = [
    r#"{"role":"user","parts":[{"type":"text","text":"hello"}]}"#,
    r#"{"role":"assistant","parts":[{"type":"text","text":""},{"type":"tool_call","id":"c1","name":"ls","arguments":{"z":1.0,"a":1e5,"n":12345678901234567890123}}]}"#,
    r#"{"role":"tool","parts":[{"type":"tool_result","call_id":"c1","content":[null,true,-0.0,{"__proto__":{"a":[]}}]}],"usage":{"in":0}}"#,
    r#"{"role":"system","parts":[]}"#,
    "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"\u{2028}\\u2028\u{1F600}\\ud83d\\ude00 {\\\"t\\\": \\\"append\\\"\"}]}",
    r#"{"role":"user","parts":[{"type":"text","text":"a\nb\u0000,\"c\":\"00000000\"}"}]}"#,
    r#"{"role":"user","parts":[{"type":"text","text":"é"},{"type":"image","data":"AAAA"}],"":{" ":"  "}}"#,
    r#"{"role":"assistant","parts":[{"type":"text","text":"x"}],"status":"streaming"}"#,
];

/// Draws operations that mostly succeed, and some that must not.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    made: u64,
    /// The calls that carried an operation id, to be repeated.
    named: Vec<Op>,
}

impl Generator {
    /// The operations of a seed.
    pub fn new(seed: u64) -> Self {
        Self::fed(Random::new(seed))
    }

    /// The operations that these numbers choose.
    pub fn fed(random: Random) -> Self {
        Self { random, made: 0, named: Vec::new() }
    }

    /// Whether nobody chooses any more.
    pub fn is_exhausted(&self) -> bool {
        self.random.is_exhausted()
    }

    /// A number below `end`, for what goes along with the operations.
    pub fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize].clone()
    }

    fn options(&mut self, head: u64) -> WriteOptions {
        let durability = if self.random.below(3) == 0 { Durability::Buffered } else { Durability::Synced };
        let expect_head = (self.random.below(5) == 0).then(|| head + self.random.below(6) / 5);
        self.made += 1;
        let op = (self.random.below(4) == 0).then(|| format!("op-{}", self.made));
        WriteOptions { durability, expect_head, op, at: None }
    }

    fn message(&mut self) -> String {
        let content = self.pick(&CONTENTS);
        if self.random.below(40) > 0 {
            return content.to_owned();
        }
        let long = "0123456789abcdef".repeat(self.random.below(600) as usize);
        format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{long}"}}]}}"#)
    }

    /// The next operation on a store that holds `model`; makes no more than so many sessions.
    pub fn draw(&mut self, model: &Model, sessions_max: usize) -> Op {
        let ids: Vec<String> = model.sessions().map(str::to_owned).collect();
        self.made += 1;
        if ids.is_empty() || (ids.len() < sessions_max && self.random.below(8) == 0) {
            let id = format!("session {}", self.made);
            let metadata = (self.random.below(2) == 0).then(|| r#"{"a":{"b":1.50},"c":[]}"#.to_owned());
            let title = (self.random.below(2) == 0).then(|| "title".to_owned());
            return Op::Create(NewSession { id: Some(id), title, metadata, ..NewSession::default() });
        }
        if self.random.below(12) == 0 && !self.named.is_empty() {
            return self.pick(&self.named.clone());
        }
        let id = self.pick(&ids);
        let (count, _) = model.counts(&id).unwrap_or_default();
        let head = model.head(&id);
        let seq = 1 + self.random.below(count.max(1));
        let options = self.options(head);
        let op = match self.random.below(24) {
            0..=7 => {
                let messages = (0..=self.random.below(12) / 8).map(|_| self.message()).collect();
                Op::Append(id, messages, options)
            }
            8..=10 => {
                let text = self.pick(&["a", "é\u{1F600}", "\"\\\n", "longer text than the others"]);
                let options = WriteOptions { op: None, expect_head: None, ..options };
                Op::Text(
                    id,
                    if self.random.below(2) == 0 { head.max(1) } else { seq },
                    0,
                    text.to_owned(),
                    None,
                    options,
                )
            }
            11 => Op::Patch(
                id,
                seq,
                self.pick(&[
                    r#"{"status":"completed"}"#,
                    r#"{"usage":{"in":7,"x":null}}"#,
                    r#"{"status":null,"n":1e2}"#,
                ])
                .to_owned(),
                options,
            ),
            12 => Op::Parts(
                id,
                seq,
                r#"[{"type":"text","text":"more"},{"type":"opaque","data":null}]"#.to_owned(),
                options,
            ),
            13 | 14 => Op::Revert(id, seq, self.random.below(2) == 0, options),
            15 => Op::Unrevert(id, options),
            16 => Op::Switch(id, seq, options),
            17 if ids.len() < sessions_max => {
                let at = (count > 0 && self.random.below(2) == 0).then_some(seq);
                Op::Fork(id, format!("fork {}", self.made), at)
            }
            18 => match self.random.below(3) {
                0 => Op::Detach(id),
                _ => Op::Compact(id),
            },
            19 => {
                let title = self.pick(&[Some(None), Some(Some("new title".to_owned()))]);
                let tags = self.pick(&[None, Some(vec!["x".to_owned()])]);
                let metadata =
                    self.pick(&[None, Some(None), Some(Some(r#"{"a":{"b":null},"d":2}"#.to_owned()))]);
                Op::Facts(id, SessionPatch { title, tags, metadata, ..SessionPatch::default() }, options)
            }
            20 => Op::Touch(id),
            21 => Op::Trash(id),
            22 => Op::Restore(id),
            23 if self.random.below(2) == 0 => Op::Purge(id),
            _ => Op::Sync(id),
        };
        if op.options().is_some_and(|options| options.op.is_some()) {
            self.named.push(op.clone());
        }
        op
    }
}
