//! The way in: a module for each format, and what they share.

pub mod cline;
pub mod codex;
pub mod gemini;
pub mod goose;
pub mod opencode;
pub mod pi;
pub mod qwen;
pub(crate) mod tree;

use sessile_core::import::{
    Import, ImportedExtra, ImportedMessage, ImportedSession, ImportedUsage, Members, Place, Record,
    parse_utc_ms,
};
use sessile_core::json::{self, quote};

use crate::draft::{Draft, Keys};
use crate::text::{name, number_at, prompt_title, text_at};

/// A session that is being read.
#[derive(Default)]
pub(crate) struct Reading {
    pub session: ImportedSession,
    pub keys: Keys,
    /// The title that the format gives, before that of the first prompt.
    pub title: Option<String>,
    prompt: Option<String>,
}

impl Reading {
    pub fn new(format: &str) -> Self {
        let session = ImportedSession { agent: Some(format.to_owned()), ..ImportedSession::default() };
        Self { session, ..Self::default() }
    }

    /// Keeps a line that is no message.
    pub fn extra(&mut self, record: &Record) {
        self.session.extra.push(ImportedExtra { line: record.place.line, json: record.source().to_owned() });
    }

    /// Looks at a message that is ready but for its record: its time, and what it says about the session.
    pub fn look(&mut self, draft: &Draft) {
        self.saw(draft.at);
        if self.prompt.is_none() && draft.role == "user" && draft.is_said() {
            self.prompt = draft.parts.iter().find_map(|part| prompt_title(&text_at(part, &["text"])?));
        }
    }

    /// Adds a message.
    pub fn message(
        &mut self,
        format: &str,
        draft: Draft,
        key: String,
        record: &Record,
        version: Option<String>,
    ) {
        self.look(&draft);
        self.session.messages.push(draft.finish(format, key, record, version));
    }

    pub fn saw(&mut self, at: Option<u64>) {
        let Some(at) = at.filter(|at| *at > 0) else { return };
        let session = &mut self.session;
        session.created_ms = Some(session.created_ms.map_or(at, |earliest| earliest.min(at)));
        session.updated_ms = Some(session.updated_ms.map_or(at, |latest| latest.max(at)));
    }

    pub fn model(&mut self, model: Option<String>, provider: Option<String>) {
        if let Some(model) = name(model) {
            self.session.model = Some(model);
            self.session.provider = name(provider).or(self.session.provider.take());
        }
    }

    /// The session under its id; none where there is nothing in it.
    pub fn finish(mut self, import: &mut Import, stem: &str) {
        let session = &mut self.session;
        if session.id.is_empty() {
            session.id = stem.to_owned();
        }
        session.id = sessile_core::import::id_for(&session.id);
        session.title = self.title.or(self.prompt).map(|title| sessile_core::import::title_of(&title));
        if !session.messages.is_empty() || !session.extra.is_empty() {
            import.sessions.push(self.session);
        }
    }
}

/// Metadata of the format's own name: in lists of one, because merge patches drop nulls.
pub(crate) fn metadata(format: &str, members: &[(&str, Option<&str>)]) -> Option<String> {
    let kept: Vec<(&str, &str)> = members.iter().filter_map(|(key, value)| Some((*key, (*value)?))).collect();
    let kept = json::object(kept);
    // What is larger stays where it is, in the extra lines.
    let kept = if kept.len() > 32 * 1024 { "{}".to_owned() } else { kept };
    Some(format!("{{{}:{{\"session\":[{kept}]}}}}", quote(format)))
}

/// A time: ISO 8601, seconds or milliseconds.
pub(crate) fn time(value: Option<&str>) -> Option<u64> {
    let value = value?;
    if value.starts_with('"') {
        let text = sessile_core::import::decode_string(value)?;
        return parse_utc_ms(&text).or_else(|| parse_utc_ms(&text.replace("+00:00", "Z")));
    }
    let number: f64 = value.parse().ok()?;
    // Seconds of this age are fewer than milliseconds of 1980.
    let ms = if number < 3e11 { number * 1000.0 } else { number };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within these bounds")]
    (1.0..9e15).contains(&ms).then(|| ms.round() as u64)
}

/// A document that is one JSON value, as a record. Problems with it are noted.
pub(crate) fn document(bytes: &[u8], import: &mut Import) -> Option<String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    import.lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let place = Place { line: 1, offset: 0, bytes: bytes.len() as u64 };
    let Ok(text) = str::from_utf8(bytes) else {
        import.note(place, "a document that is not UTF-8; not taken");
        return None;
    };
    match json::minify(text) {
        Ok(text) => {
            import.records += 1;
            Some(text)
        }
        Err(_) if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
            import.records += 1;
            import.note(place, "a repeated key, which strict readers refuse; the last one counts");
            serde_json::from_str::<serde_json::Value>(text).ok().map(|value| value.to_string())
        }
        Err(cause) => {
            import.note(place, &format!("a document that is torn or not JSON ({cause}); not taken"));
            None
        }
    }
}

/// A record that is a piece of a document.
pub(crate) fn piece(text: &str, number: u64) -> Record {
    Record {
        text: text.to_owned(),
        original: None,
        place: Place { line: number, offset: 0, bytes: text.len() as u64 },
    }
}

/// What an answer has used, of members with these names: input, output, cache read, cache write. `None` where nothing is.
pub(crate) fn usage(value: &str, names: [&[&str]; 4]) -> Option<ImportedUsage> {
    let [input, output, cache_read, cache_write] = names.map(|path| number_at(value, path));
    let usage = ImportedUsage { input, output, cache_read, cache_write, ..ImportedUsage::default() };
    let is_any = [input, output, cache_read, cache_write].into_iter().flatten().any(|count| count > 0);
    is_any.then_some(usage)
}

/// Usage as a member of a message.
pub(crate) fn usage_json(usage: &ImportedUsage) -> String {
    let counts = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
    ];
    let mut texts: Vec<(&str, String)> =
        counts.into_iter().filter_map(|(name, count)| Some((name, count?.to_string()))).collect();
    texts.extend(usage.cost.clone().map(|cost| ("cost", cost)));
    json::object(texts.iter().map(|(name, text)| (*name, text.as_str())))
}

/// Hides a message that is made already, in the version of a hidden one.
pub(crate) fn hide(message: &mut ImportedMessage, version: &str) {
    let Some(mut members) = Members::parse(&message.json) else { return };
    members.0.retain(|(key, _)| *key != "hidden");
    let mut out = String::with_capacity(message.json.len() + 16);
    let source = members.get("source").unwrap_or_default();
    let source = match &message.version {
        Some(old) => source.replacen(
            &format!("\"version\":{}", quote(old)),
            &format!("\"version\":{}", quote(version)),
            1,
        ),
        None => source.to_owned(),
    };
    if let Some(at) = members.position("source")
        && let Some(place) = members.0.get_mut(at)
    {
        place.1 = &source;
    }
    members.0.push(("hidden", "true"));
    members.write(&mut out);
    message.version = message.version.as_ref().map(|_| version.to_owned());
    message.json = out;
}

/// The version of a message that is visible, and that of one that its file has hidden later.
pub(crate) const VISIBLE: &str = "0-visible";
pub(crate) const HIDDEN: &str = "0-hidden";
