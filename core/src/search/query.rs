//! What somebody looks for, and whether and where a text has it.

use std::collections::HashMap;

use super::text::Text;
use super::words::{each_word, words_of};
use crate::limits::{QUERY_BYTES_MAX, QUERY_WORDS_MAX};
use crate::message::ROLES;
use crate::{Error, Result};

/// A snippet has about so many characters.
const SNIPPET_CHARS: usize = 160;
/// So many of them come before what was found.
const BEFORE_CHARS: usize = 40;

/// What somebody looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// All of these must be there, or not be there.
    pub clauses: Vec<Clause>,
    /// Only in messages of this role: its place in [`ROLES`] and 1.
    pub role: Option<u8>,
    /// Only in messages that call these tools.
    pub tools: Vec<String>,
}

/// Words that follow on each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// The words, folded.
    pub words: Vec<String>,
    /// Whether the last of them is the beginning of a word.
    pub is_prefix: bool,
    /// Whether it must not be there.
    pub is_negative: bool,
}

impl Query {
    /// Reads a query. Errors: `invalid`, with what is wrong and the way out.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the query has {} bytes; give at most {QUERY_BYTES_MAX}",
                text.len()
            )));
        }
        let mut query = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            rest = query.term(rest)?.trim_start();
        }
        let words: usize = query.clauses.iter().map(|clause| clause.words.len()).sum();
        if words > QUERY_WORDS_MAX {
            return Err(Error::invalid(format!(
                "the query has {words} words; give at most {QUERY_WORDS_MAX}"
            )));
        }
        Ok(query)
    }

    /// Whether it says what is to be found, and not only what is not.
    pub fn is_bound(&self) -> bool {
        !self.tools.is_empty() || self.clauses.iter().any(|clause| !clause.is_negative)
    }

    /// Reads one term and returns what is behind it.
    fn term<'a>(&mut self, text: &'a str) -> Result<&'a str> {
        let negated = text
            .strip_prefix('-')
            .filter(|rest| rest.starts_with(|first: char| first == '"' || first.is_alphanumeric()));
        let body = negated.unwrap_or(text);
        if let Some(quoted) = body.strip_prefix('"') {
            let (phrase, rest) = quoted.split_once('"').ok_or_else(|| {
                Error::invalid("a quote in the query is not closed; close it, or leave it out")
            })?;
            let (is_prefix, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
            self.clause(phrase, is_prefix, negated.is_some())?;
            return Ok(rest);
        }
        let end = body.find(char::is_whitespace).unwrap_or(body.len());
        let (word, rest) = body.split_at_checked(end).unwrap_or((body, ""));
        match word.split_once(':') {
            Some(("role", role)) if negated.is_none() => self.role = Some(role_of(role)?),
            Some(("tool", tool)) if negated.is_none() && !tool.is_empty() => self.tools.push(tool.to_owned()),
            _ => {
                let stem = word.strip_suffix('*');
                self.clause(stem.unwrap_or(word), stem.is_some(), negated.is_some())?;
            }
        }
        Ok(rest)
    }

    fn clause(&mut self, text: &str, is_prefix: bool, is_negative: bool) -> Result<()> {
        let words = words_of(text);
        let Some(last) = words.last() else { return Ok(()) };
        if is_prefix && last.len() < 2 {
            return Err(Error::invalid(format!(
                "too much begins with `{last}`; give at least 2 letters before `*`"
            )));
        }
        self.clauses.push(Clause { words, is_prefix, is_negative });
        Ok(())
    }
}

/// The place of a role in [`ROLES`] and 1.
pub fn role_of(name: &str) -> Result<u8> {
    let role = ROLES.iter().position(|role| *role == name).and_then(|role| u8::try_from(role + 1).ok());
    role.ok_or_else(|| Error::invalid(format!("there is no such role; give one of {}", ROLES.join(", "))))
}

/// Where in a text something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    clause: usize,
    field: usize,
    from: usize,
    to: usize,
}

/// Some of a text around what was found in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The text, in one line.
    pub text: String,
    /// What was found in it: first character and the one behind the last.
    pub marks: Vec<(u64, u64)>,
}

impl Query {
    /// Whether the text is what is looked for, and the best of it. The index only proposes; this decides.
    pub fn find(&self, text: &Text<'_>) -> Option<Snippet> {
        if self.role.is_some_and(|role| role != text.role) {
            return None;
        }
        let has_tool = |wanted: &String| {
            let wanted = super::segment::tool_term(wanted);
            text.tools.iter().any(|tool| super::segment::tool_term(tool) == wanted)
        };
        if !self.tools.iter().all(has_tool) {
            return None;
        }
        let mut spots = self.spots(text);
        for (place, clause) in self.clauses.iter().enumerate() {
            if spots.iter().any(|spot| spot.clause == place) == clause.is_negative {
                return None;
            }
        }
        spots.sort_unstable_by_key(|spot| (spot.field, spot.from, spot.to));
        Some(snippet(text, &spots))
    }

    /// Where the clauses are in the text.
    fn spots(&self, text: &Text<'_>) -> Vec<Spot> {
        let mut wanted: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
        let mut beginnings = Vec::new();
        for (place, clause) in self.clauses.iter().enumerate() {
            for (at, word) in clause.words.iter().enumerate() {
                if clause.is_prefix && at + 1 == clause.words.len() {
                    beginnings.push((word.as_str(), (place, at)));
                } else {
                    wanted.entry(word).or_default().push((place, at));
                }
            }
        }
        let mut spots = Vec::new();
        for (field, content) in text.fields.iter().enumerate() {
            // By clause, word and place, where it stands.
            let mut found: HashMap<(usize, usize, u32), (usize, usize)> = HashMap::new();
            let mut firsts: Vec<(usize, u32)> = Vec::new();
            each_word(content, &mut |word| {
                let begins = beginnings.iter().filter(|(beginning, _)| word.text.starts_with(beginning));
                let is = wanted.get(word.text).into_iter().flatten();
                for (clause, at) in is.chain(begins.map(|(_, place)| place)).copied() {
                    found.entry((clause, at, word.place)).or_insert((word.from, word.to));
                    if at == 0 {
                        firsts.push((clause, word.place));
                    }
                }
            });
            for (clause, place) in firsts {
                let length = self.clauses.get(clause).map_or(0, |clause| clause.words.len());
                let words: Option<Vec<(usize, usize)>> = (0..length)
                    .zip(place..)
                    .map(|(at, place)| found.get(&(clause, at, place)).copied())
                    .collect();
                if let Some(words) = words
                    && let (Some(first), Some(last)) = (words.first(), words.last())
                {
                    spots.push(Spot { clause, field, from: first.0, to: last.1.max(first.1) });
                }
            }
        }
        spots
    }
}

/// The part of the text that has the most of what was found.
fn snippet(text: &Text<'_>, spots: &[Spot]) -> Snippet {
    let reach = SNIPPET_CHARS - BEFORE_CHARS;
    let value = |from: usize| {
        let Some(first) = spots.get(from) else { return (0, 0) };
        let near = spots
            .iter()
            .skip(from)
            .take_while(|spot| spot.field == first.field && spot.to <= first.from + reach);
        let mut clauses: Vec<usize> = near.map(|spot| spot.clause).collect();
        let count = clauses.len();
        clauses.sort_unstable();
        clauses.dedup();
        (clauses.len(), count)
    };
    // The first of the best; a text full of it is as good at its beginning.
    let best =
        (0..spots.len().min(500)).rev().max_by_key(|from| value(*from)).and_then(|best| spots.get(best));
    let (field, from) = best.map_or((0, 0), |spot| (spot.field, spot.from));
    let content = text.fields.get(field).map_or("", |field| field.as_ref());
    let before: usize =
        content.get(..from).unwrap_or_default().chars().rev().take(BEFORE_CHARS).map(char::len_utf8).sum();
    let begin = from - before;
    let shown: String = content.get(begin..).unwrap_or_default().chars().take(SNIPPET_CHARS).collect();
    let end = begin + shown.len();
    let lead = if begin > 0 { "…" } else { "" };
    let trail = if end < content.len() { "…" } else { "" };
    let chars = |to: usize| {
        let before = content.get(begin..to).unwrap_or_default().chars().count() as u64;
        before + lead.chars().count() as u64
    };
    let mut marks: Vec<(u64, u64)> = Vec::new();
    for spot in spots.iter().filter(|spot| spot.field == field && spot.from >= begin && spot.to <= end) {
        let (from, to) = (chars(spot.from), chars(spot.to));
        match marks.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => marks.push((from, to)),
        }
    }
    let line = |char: char| if char.is_control() { ' ' } else { char };
    Snippet { text: format!("{lead}{shown}{trail}").chars().map(line).collect(), marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, text: &str) -> Option<String> {
        let query = Query::parse(query).unwrap();
        let text = Text { fields: vec![text.into()], role: 1, tools: vec!["Bash".into()] };
        query.find(&text).map(|snippet| {
            let marked = snippet.marks.iter().map(|(from, to)| {
                let count = usize::try_from(to - from).unwrap();
                snippet.text.chars().skip(usize::try_from(*from).unwrap()).take(count).collect::<String>()
            });
            marked.collect::<Vec<_>>().join("|")
        })
    }

    #[test]
    fn all_words_must_be_there() {
        assert_eq!(found("disk full", "The disk is FULL"), Some("disk|FULL".into()));
        assert_eq!(found("disk empty", "The disk is full"), None);
        assert_eq!(found("disk -full", "The disk is full"), None);
        assert_eq!(found("disk -empty", "The disk is full"), Some("disk".into()));
    }

    #[test]
    fn phrases_and_identifiers_are_words_in_order() {
        assert_eq!(found("\"is full\"", "the disk is full"), Some("is full".into()));
        assert_eq!(found("\"full is\"", "the disk is full"), None);
        assert_eq!(found("read_file", "calls read_file now"), Some("read_file".into()));
        assert_eq!(found("read_file", "file read"), None);
        assert_eq!(found("map", "a HashMap::new"), Some("Map".into()));
        assert_eq!(found("HashMap::new", "a HashMap::new"), Some("HashMap::new".into()));
        assert_eq!(found("src/mai*", "in src/main.rs"), Some("src/main".into()));
        assert_eq!(found("検索", "全文検索"), Some("検索".into()));
        assert_eq!(found("文索", "全文検索"), None);
    }

    #[test]
    fn filters_and_mistakes() {
        assert_eq!(found("role:user disk", "disk"), Some("disk".into()));
        assert_eq!(found("role:tool disk", "disk"), None);
        assert_eq!(found("tool:bash", "disk"), Some(String::new()));
        assert_eq!(found("tool:read disk", "disk"), None);
        assert_eq!(found("--all", "take all"), Some("all".into()));
        for (bad, what) in [
            ("\"open", "not closed"),
            ("a*", "at least 2"),
            ("role:x", "give one of user"),
            (&"a ".repeat(65), "65 words"),
        ] {
            let error = Query::parse(bad).unwrap_err();
            assert!(error.message.contains(what), "{bad}: {error}");
        }
        assert!(!Query::parse("-a :: -").unwrap().is_bound());
    }

    #[test]
    fn a_snippet_shows_the_most_of_it() {
        let text = format!("one {} two\none {}", "x ".repeat(200), "y ".repeat(200));
        let query = Query::parse("one two").unwrap();
        let snippet = query.find(&Text::of_title(&text)).unwrap();
        assert!(snippet.text.starts_with('…') && snippet.text.ends_with('…'));
        assert!(snippet.text.contains("two one"), "{}", snippet.text);
        assert_eq!(snippet.marks.len(), 2);
    }
}
