//! The session of octocode: one file `session.json` in its home, and in later versions `stats.json` beside it.
//!
//! It has no messages. Its counters stand in the metadata, and nowhere but in [`Stats`] is it said where.

use super::document::{Pieces, kept, note_wrong_strings, number_lines, place_of, text_of, usable_id};
use super::{Import, ImportedSession, Members, Place, parse_utc_ms};
use crate::json;

/// The name of the format: the agent of its sessions, and their member of the metadata.
pub const FORMAT: &str = "octocode";

/// The name of the file.
pub const SESSION: &str = "session.json";

/// The name of the file with the counters of later versions.
pub const STATS: &str = "stats.json";

/// The version of the file that is known.
pub(crate) const VERSION: &str = "1";

/// The counters that every session has.
pub(crate) const COUNTERS: [&str; 4] = ["toolCalls", "promptCalls", "errors", "rateLimits"];

/// The counters of a session: the one place that says how they are kept.
///
/// They stand in the metadata as `octocode.stats`, those of `stats.json` as `octocode.stats_file`, each in a list of
/// one, so that an import replaces them whole. Numbers stay as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// The object `stats` of the session's file.
    pub own: Option<String>,
    /// What `stats.json` holds.
    pub file: Option<String>,
}

impl Stats {
    const KEYS: [&str; 2] = ["stats", "stats_file"];

    /// As members of the metadata.
    fn to_metadata(&self) -> Vec<(&'static str, String)> {
        let values = Self::KEYS.into_iter().zip([&self.own, &self.file]);
        values.filter_map(|(key, value)| Some((key, format!("[{}]", value.as_ref()?)))).collect()
    }

    /// Out of the metadata, a member of which `find` finds.
    pub fn from_metadata<'a>(find: impl Fn(&str) -> Option<&'a str>) -> Self {
        let one = |key| Some((*json::elements(find(key)?)?.first()?).to_owned());
        let [own, file] = Self::KEYS.map(one);
        Self { own, file }
    }
}

/// Reads `session.json`, with `stats.json` where there is one. It gives one session at most.
pub fn session(bytes: &[u8], stats: Option<&[u8]>) -> Import {
    let mut import = Import::default();
    read(bytes, stats, &mut import);
    number_lines(bytes, &mut import);
    import
}

fn read(bytes: &[u8], stats: Option<&[u8]>, import: &mut Import) {
    let text = text_of(bytes, import);
    let whole = Place { line: 0, offset: 0, bytes: bytes.len() as u64 };
    let Some(pieces) = Pieces::of(text).filter(|_| text.trim_start().starts_with('{')) else {
        import.note(whole, "not a JSON object; nothing is taken");
        return;
    };
    let torn = pieces.torn;
    if let Some((_, rest)) = torn {
        import.note(place_of(text, rest), "the file is torn here; what stands before is taken");
    }
    let mut facts = pieces.members();
    let Some(id) = facts.string("sessionId").and_then(usable_id) else {
        import.note(whole, "it names no session, or one by an id that cannot be one here; nothing is taken");
        return;
    };
    if facts.get("version") != Some(VERSION) {
        import.note(
            whole,
            "the version of the file is not the one that is known, 1; taken as far as it is known",
        );
    }
    if torn.is_none() {
        note_wrong_strings(&facts, &["createdAt", "lastActiveAt"], whole, import);
    }
    let counters = Stats {
        own: own_stats(&facts, torn, whole, import),
        file: stats.and_then(|bytes| stats_file(bytes, import)),
    };
    facts.0.retain(|(key, _)| *key != "stats");
    let time = |key| facts.string(key).and_then(|time| parse_utc_ms(&time));
    let created_ms = time("createdAt");
    import.records += 1;
    let mut session = ImportedSession {
        id,
        agent: Some(FORMAT.to_owned()),
        created_ms,
        updated_ms: time("lastActiveAt").or(created_ms),
        ..ImportedSession::default()
    };
    session.metadata = Some(kept(FORMAT, facts, &counters.to_metadata(), whole, import));
    import.sessions.push(session);
}

/// The counters in the file; of a torn one those before the damage.
fn own_stats(
    facts: &Members<'_>,
    torn: Option<(&str, &str)>,
    whole: Place,
    import: &mut Import,
) -> Option<String> {
    let torn = torn.filter(|(key, _)| *key == "stats").map(|(_, rest)| rest);
    let Some(value) = facts.get("stats").or(torn) else {
        import.note(whole, "the session has no `stats`");
        return None;
    };
    let Some(stats) = Pieces::of(value).filter(|_| value.starts_with('{')).map(Pieces::members) else {
        import.note(whole, "`stats` is not an object; kept as it is");
        return json::minify(value).ok();
    };
    for name in COUNTERS {
        let is_number = |value: &str| value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !stats.get(name).is_some_and(is_number) {
            import.note(whole, &format!("the counter `{name}` is not a number"));
        }
    }
    let mut text = String::new();
    stats.write(&mut text);
    let text = json::minify(&text);
    if text.is_err() {
        import.note(whole, "`stats` is no strict JSON; not taken");
    }
    text.ok()
}

fn stats_file(bytes: &[u8], import: &mut Import) -> Option<String> {
    let text = str::from_utf8(bytes).ok().and_then(|text| json::minify(text).ok());
    if text.is_none() {
        let what = format!("{STATS} beside it is torn or no JSON; not taken");
        import.note(Place::default(), &what);
    }
    text
}
