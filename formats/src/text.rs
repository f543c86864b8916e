//! Small things about texts of JSON: what stands where, titles, and files that stand inside of it.

use sessile_core::import::{Members, cut, decode_string};
use sessile_core::json::{elements, quote};
use sessile_core::limits::{MESSAGE_BYTES_MAX, NAME_BYTES_MAX, SCOPE_BYTES_MAX};

/// How much of the first prompt serves as a title, in characters.
const TITLE_CHARS_MAX: usize = 50;

/// The value at the end of a path of keys.
pub(crate) fn at<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let Some((key, rest)) = path.split_first() else { return Some(text) };
    at(Members::parse(text)?.get(key)?, rest)
}

/// The string at the end of a path of keys; an empty one is none.
pub(crate) fn text_at(text: &str, path: &[&str]) -> Option<String> {
    decode_string(at(text, path)?).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty())
}

/// The whole number at the end of a path of keys.
pub(crate) fn number_at(text: &str, path: &[&str]) -> Option<u64> {
    at(text, path)?.parse().ok()
}

/// A value that is there and not `null`.
pub(crate) fn some(value: Option<&str>) -> Option<&str> {
    value.filter(|value| *value != "null")
}

/// The elements of a value that is a list.
pub(crate) fn items(value: Option<&str>) -> Vec<&str> {
    value.and_then(elements).unwrap_or_default()
}

/// A directory that can be a scope.
pub(crate) fn scope(path: Option<String>) -> Option<String> {
    path.filter(|path| path.len() <= SCOPE_BYTES_MAX && !path.chars().any(char::is_control))
}

/// A name of a model, provider or agent.
pub(crate) fn name(text: Option<String>) -> Option<String> {
    text.filter(|text| text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control))
}

/// The beginning of a prompt on one line. Agents write context and commands as prompts too, in tags.
pub(crate) fn prompt_title(text: &str) -> Option<String> {
    let text = text.trim_start();
    if text.is_empty() || is_context(text) {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().take(TITLE_CHARS_MAX).collect();
    let title: String = words.join(" ").chars().take(TITLE_CHARS_MAX).collect();
    Some(cut(title, 1000).trim_end().to_owned())
}

/// Whether a prompt was written by the program.
pub(crate) fn is_context(text: &str) -> bool {
    let text = text.trim_start();
    [
        "<environment_context",
        "<user_instructions",
        "<permissions",
        "# AGENTS.md instructions",
        "<turn_aborted",
        "<skill",
        "<subagent",
        "<INSTRUCTIONS",
        "<collaboration",
        "<app-context",
        "<user_shell_command",
        "<system-reminder",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

/// The shortest text that is moved out of a message.
const LIFTED_BYTES_MIN: usize = 1024;
/// Where texts stand that are files.
const LIFTED_KEYS: [&str; 6] = ["data", "base64", "url", "image_url", "result", "blob"];
/// What stands in the place of a file.
const LIFTED: &str = "{\"$attachment\":[";

/// Moves files that stand somewhere inside of a message, as base64 or data URLs, to a list `attachments` of it, each once,
/// from which a store takes them. Those of parts of its own it leaves where they are: a store finds these itself.
/// `None` where there is nothing to move.
pub fn lift(message: &str) -> Option<String> {
    let members = Members::parse(message)?;
    if message.len() < LIFTED_BYTES_MIN || message.contains(LIFTED) || members.get("attachments").is_some() {
        return None;
    }
    let own: Vec<&str> = items(members.get("parts"))
        .into_iter()
        .filter_map(Members::parse)
        .filter(|part| matches!(part.get("type"), Some("\"image\"" | "\"file\"")))
        .filter_map(|part| part.get("data"))
        .collect();
    let mut files: Vec<&str> = Vec::new();
    let mut out = String::with_capacity(message.len() / 2);
    let mut done = 0;
    for (start, end, key) in strings(message) {
        if end - start < LIFTED_BYTES_MIN || !LIFTED_KEYS.contains(&key) {
            continue;
        }
        let Some(value) = message.get(start..end) else { continue };
        if own.iter().any(|data| std::ptr::eq(*data, value)) {
            continue;
        }
        let Some((prefix, data)) = value.get(1..value.len() - 1).and_then(file_of) else { continue };
        let index = files.iter().position(|file| *file == data).unwrap_or_else(|| {
            files.push(data);
            files.len() - 1
        });
        out.push_str(message.get(done..start)?);
        out.push_str(&format!("{LIFTED}{index},{}]}}", quote(prefix)));
        done = end;
    }
    if files.is_empty() {
        return None;
    }
    out.push_str(message.get(done..message.len() - 1)?);
    let files: Vec<String> = files.iter().map(|data| format!("{{\"data\":\"{data}\"}}")).collect();
    out.push_str(&format!(",\"attachments\":[{}]}}", files.join(",")));
    Some(out)
}

/// The way back of [`lift`], for a message whose attachments are in it again.
pub fn unlift(message: &str) -> Option<String> {
    if !message.contains(LIFTED) {
        return None;
    }
    let mut members = Members::parse(message)?;
    let files: Vec<Members<'_>> =
        items(members.get("attachments")).into_iter().filter_map(Members::parse).collect();
    members.0.retain(|(key, _)| *key != "attachments");
    let mut lifted = String::new();
    members.write(&mut lifted);
    let mut out = String::with_capacity(message.len());
    let mut rest = lifted.as_str();
    while let Some((before, after)) = rest.split_once(LIFTED) {
        let (inside, behind) = after.split_once("]}")?;
        let (index, prefix) = inside.split_once(',')?;
        let data = files.get(index.parse::<usize>().ok()?)?.get("data")?;
        out.push_str(before);
        out.push_str(prefix.strip_suffix('"')?);
        out.push_str(data.strip_prefix('"')?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// How much of a line a message would have to hold. Files in it go to files of the store, and of what is said twice a
/// message holds one, so only lines that are far too long are known to be so before they have been read whole.
#[derive(Clone, Debug, Default)]
pub struct Weight {
    bytes: usize,
    /// Without what may be files.
    held: usize,
    /// Of the string that we are in, as far as it may be a file.
    file: usize,
    is_string: bool,
    is_file: bool,
    is_escape: bool,
}

/// The longest line that is read.
const LINE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// What a line may have besides files.
const HELD_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// The longest string that can be a file: 20 MiB in base64, and what stands before that.
const FILE_BYTES_MAX: usize = 28 * 1024 * 1024;
/// How much may stand before the base64 of a data URL.
const URL_BYTES_MAX: usize = 200;

impl Weight {
    /// Adds the next bytes of the line.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        for byte in bytes {
            if !self.is_string {
                self.held += 1;
                self.is_string = *byte == b'"';
                (self.is_file, self.file) = (true, 0);
            } else if std::mem::take(&mut self.is_escape) {
                self.held += 1;
            } else if *byte == b'"' {
                self.held += 1 + if self.file < LIFTED_BYTES_MIN { self.file } else { 0 };
                (self.is_string, self.file) = (false, 0);
            } else if self.is_file && self.may_be_file(*byte) {
                self.file += 1;
            } else {
                self.held += 1 + std::mem::take(&mut self.file);
                (self.is_file, self.is_escape) = (false, *byte == b'\\');
            }
        }
    }

    fn may_be_file(&self, byte: u8) -> bool {
        let is_base64 = byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        self.file < FILE_BYTES_MAX && (is_base64 || (self.file < URL_BYTES_MAX && b":;,.-".contains(&byte)))
    }

    /// Whether no message can hold the line, whatever comes.
    pub fn is_too_much(&self) -> bool {
        self.bytes > LINE_BYTES_MAX || self.held > HELD_BYTES_MAX
    }
}

/// The file of a text: what stands before it, and its base64.
fn file_of(text: &str) -> Option<(&str, &str)> {
    let at = match text.starts_with("data:") {
        true => text.find(";base64,")? + ";base64,".len(),
        false => 0,
    };
    let (prefix, data) = text.split_at_checked(at)?;
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    // Nothing that is written otherwise would come back as it was.
    (base64::engine::general_purpose::STANDARD.encode(bytes) == data).then_some((prefix, data))
}

/// The strings of minified JSON that are values: from, to, and the key they stand under.
fn strings(text: &str) -> Vec<(usize, usize, &str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut key) = (0, "");
    while let Some(start) = text.get(at..).and_then(|rest| rest.find('"')).map(|found| at + found) {
        let mut end = start + 1;
        loop {
            match text.get(end..).and_then(|rest| rest.find(['"', '\\'])) {
                None => return found,
                Some(offset) if bytes.get(end + offset) == Some(&b'\\') => end += offset + 2,
                Some(offset) => {
                    end += offset + 1;
                    break;
                }
            }
        }
        if bytes.get(end) == Some(&b':') {
            key = text.get(start + 1..end - 1).unwrap_or_default();
        } else {
            found.push((start, end, key));
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_inside_of_a_message_are_moved_out_once_and_back() {
        let data = "QUJD".repeat(400);
        let own = format!(r#"{{"type":"image","media_type":"image/png","data":"{data}"}}"#);
        let message = format!(
            r#"{{"role":"user","parts":[{own}],"source":{{"raw":[{{"data":"{data}","x":{{"url":"data:image/png;base64,{data}"}},"signature":"{data}"}}]}}}}"#
        );
        let lifted = lift(&message).unwrap();
        assert_eq!(lifted.matches(&data).count(), 3, "{lifted}");
        assert!(
            lifted.contains(&own) && lifted.contains(r#""url":{"$attachment":[0,"data:image/png;base64,"]}"#)
        );
        assert_eq!(unlift(&lifted).as_deref(), Some(message.as_str()));
    }

    fn weighed(pieces: &[&str]) -> Weight {
        let mut weight = Weight::default();
        pieces.iter().for_each(|piece| weight.add(piece.as_bytes()));
        weight
    }

    #[test]
    fn files_weigh_nothing_wherever_their_line_is_cut() {
        let data = "QUJD".repeat(1000);
        for line in [
            format!(r#"{{"a":"text\"","data":"{data}"}}"#),
            format!(r#"{{"a":"text\"","data":"data:image/png;base64,{data}"}}"#),
        ] {
            for cut in [0, 3, 9, 10, 11, 25, 500, line.len() - 2, line.len()] {
                let (one, other) = line.split_at(cut);
                let weight = weighed(&[one, other]);
                assert_eq!((weight.bytes, weight.held), (line.len(), r#"{"a":"text\"","data":""}"#.len()));
            }
        }
        let text = format!(r#"{{"text":"{}"}}"#, "word ".repeat(1000));
        assert_eq!(weighed(&[&text]).held, text.len());
    }

    #[test]
    fn a_line_is_too_much_by_its_text_or_as_a_whole() {
        let quoted = |text: &str, times| format!("\"{}\"", text.repeat(times));
        let mib = 1024 * 1024;
        assert!(!weighed(&[&quoted("a b ", 8 * mib - 2)]).is_too_much());
        assert!(weighed(&[&quoted("a b ", 8 * mib)]).is_too_much());
        // A file of more than 20 MiB is no file of the store.
        assert!(weighed(&[&quoted("QUJD", 9 * mib)]).is_too_much());
        let file = quoted("QUJD", 6 * mib);
        assert!(!weighed(&[&file, ",", &file]).is_too_much());
        assert!(weighed(&[&file, ",", &file, ",", &file]).is_too_much());
    }

    #[test]
    fn texts_that_are_no_files_stay() {
        for text in ["word ".repeat(400), "QUJD".repeat(400) + "x", "AB==".repeat(300)] {
            assert_eq!(lift(&format!(r#"{{"role":"user","parts":[],"data":"{text}"}}"#)), None);
        }
    }

    #[test]
    fn a_prompt_of_the_program_is_no_title() {
        assert_eq!(prompt_title("  fix\n the   test "), Some("fix the test".to_owned()));
        assert_eq!(prompt_title("<environment_context>x"), None);
        assert_eq!(prompt_title(" "), None);
    }
}
