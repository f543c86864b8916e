//! Messages as a person reads them: who spoke and when, text wrapped, calls of tools on a line, results cut.
//!
//! Reads message JSON leniently: what it does not know it shows as JSON, and what does not fit it passes over, because
//! the store keeps every member that a caller gave. `show --json` is the exact form.

use std::borrow::Cow;
use std::io;

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::output::{BAD, DIM, DOUBTFUL, Out, ago, bytes, counted, cut, now_ms, safe_line, safe_lines, wrap};

/// How much of long things is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The beginnings of texts too.
    Brief,
    /// The beginnings of results and thoughts; hidden messages are counted.
    Short,
    /// Everything.
    Full,
}

const BRIEF_LINES: usize = 4;
const RESULT_LINES: usize = 6;
const THINKING_LINES: usize = 3;
const CODE_LINES: usize = 40;
/// Longer than this no line of a result is shown where there is no terminal to ask.
const LINE_COLUMNS: usize = 160;

const CALL: Style = AnsiColor::Magenta.on_default();

/// Prints messages one after the other.
pub struct Transcript {
    detail: Detail,
    now_ms: u64,
    /// Hidden messages since the last visible one.
    hidden: u64,
}

/// A message of a page, as far as it is shown. Nothing borrowed is trusted to have the right form.
#[derive(Deserialize)]
struct Stored<'a> {
    seq: u64,
    created_at: u64,
    #[serde(borrow)]
    message: Shown<'a>,
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    parts: Vec<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    hidden: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    language: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    path: Option<&'a RawValue>,
}

impl Transcript {
    pub fn new(detail: Detail) -> Self {
        Self { detail, now_ms: now_ms(), hidden: 0 }
    }

    /// Prints a message of a page.
    pub fn print(&mut self, out: &mut Out, message: &RawValue) -> io::Result<()> {
        let Ok(Stored { seq, created_at, message }) = serde_json::from_str::<Stored<'_>>(message.get())
        else {
            out.line("")?;
            return out.line(&format!(
                "{DOUBTFUL}a message in a form that is not known here{DOUBTFUL:#}; --json shows it"
            ));
        };
        let is_hidden = message.hidden.is_some_and(|hidden| hidden.get() == "true");
        if is_hidden && self.detail != Detail::Full {
            self.hidden += 1;
            return Ok(());
        }
        self.print_hidden(out)?;
        out.line("")?;
        let mut notes = vec![ago(created_at, self.now_ms)];
        notes.extend(string(message.model).map(|model| safe_line(&model)));
        notes.extend(
            string(message.status).filter(|status| status != "completed").map(|status| safe_line(&status)),
        );
        notes.extend(is_hidden.then(|| "hidden".to_owned()));
        let style = role_style(&message.role);
        let role = safe_line(&message.role);
        out.line(&format!("{DIM}{seq:>4}{DIM:#}  {style}{role}{style:#}  {DIM}{}{DIM:#}", notes.join(", ")))?;
        for part in &message.parts {
            self.print_part(out, part)?;
        }
        if message.parts.is_empty() {
            print_text(out, "(empty)", DIM)?;
        }
        Ok(())
    }

    /// Prints what is due at the end.
    pub fn finish(&mut self, out: &mut Out) -> io::Result<()> {
        self.print_hidden(out)
    }

    fn print_hidden(&mut self, out: &mut Out) -> io::Result<()> {
        match std::mem::take(&mut self.hidden) {
            0 => Ok(()),
            count => {
                out.line("")?;
                out.line(&format!(
                    "{DIM}   …  {}; --full shows them{DIM:#}",
                    counted(count, "hidden message")
                ))
            }
        }
    }

    fn print_part(&self, out: &mut Out, part: &RawValue) -> io::Result<()> {
        let Ok(shown) = serde_json::from_str::<Part<'_>>(part.get()) else {
            return self.print_line(out, "?", DIM, part.get());
        };
        match shown.kind.as_ref() {
            "text" => {
                let lines_max = if self.detail == Detail::Brief { BRIEF_LINES } else { usize::MAX };
                self.print_cut(out, &string(shown.text).unwrap_or_default(), lines_max, Style::new())
            }
            "thinking" => {
                self.print_cut(out, &string(shown.text).unwrap_or_default(), THINKING_LINES, DIM.italic())
            }
            "code" => {
                let language =
                    string(shown.language).map(|language| safe_line(&language)).unwrap_or_default();
                print_text(out, &format!("```{language}"), DIM)?;
                self.print_cut(out, &string(shown.text).unwrap_or_default(), CODE_LINES, Style::new())?;
                print_text(out, "```", DIM)
            }
            "tool_call" => {
                let name = string(shown.name).unwrap_or_default();
                let arguments = shown.arguments.map_or(String::new(), described);
                self.print_line(out, "→", CALL, &format!("{name} {arguments}"))
            }
            "tool_result" => {
                let is_error = shown.is_error.is_some_and(|flag| flag.get() == "true");
                let style = if is_error { BAD } else { DIM };
                let content = shown.content.map(result_text).unwrap_or_default();
                match content.trim_end() {
                    "" => self.print_line(out, "←", style, "(nothing)"),
                    content => self.print_result(out, content, style),
                }
            }
            "image" | "file" => self.print_line(out, "▣", CALL, &attachment(&shown)),
            "opaque" => self.print_line(out, "◇", DIM, shown.data.map_or("", |data| data.get())),
            _ => self.print_line(out, "?", DIM, part.get()),
        }
    }

    /// Prints something on one line behind a mark.
    fn print_line(&self, out: &mut Out, mark: &str, style: Style, text: &str) -> io::Result<()> {
        let room = out.width().unwrap_or(LINE_COLUMNS).saturating_sub(8);
        let text = if self.detail == Detail::Full {
            safe_line(text)
        } else {
            cut(&safe_line(beginning(text, room)), room).into_owned()
        };
        out.line(&format!("      {style}{mark} {text}{style:#}"))
    }

    fn print_result(&self, out: &mut Out, text: &str, style: Style) -> io::Result<()> {
        let room = out.width().unwrap_or(LINE_COLUMNS).saturating_sub(8);
        let lines = safe_lines(text);
        let shown = match self.detail {
            Detail::Full => lines.len(),
            Detail::Short => lines.len().min(RESULT_LINES),
            Detail::Brief => lines.len().min(BRIEF_LINES),
        };
        for (place, line) in lines.iter().take(shown).enumerate() {
            let mark = if place == 0 { "←" } else { " " };
            let line =
                if self.detail == Detail::Full { Cow::Borrowed(line.as_str()) } else { cut(line, room) };
            out.line(format!("      {style}{mark} {line}{style:#}").trim_end())?;
        }
        print_rest(out, lines.len() - shown)
    }

    /// Prints the beginning of a text, wrapped.
    fn print_cut(&self, out: &mut Out, text: &str, lines_max: usize, style: Style) -> io::Result<()> {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let shown = if self.detail == Detail::Full { lines.len() } else { lines.len().min(lines_max) };
        print_text(out, &lines.get(..shown).unwrap_or_default().join("\n"), style)?;
        print_rest(out, lines.len() - shown)
    }
}

fn role_style(role: &str) -> Style {
    let color = match role {
        "user" => AnsiColor::Green,
        "assistant" => AnsiColor::Cyan,
        "tool" => AnsiColor::Magenta,
        _ => AnsiColor::Yellow,
    };
    color.on_default().bold()
}

fn print_text(out: &mut Out, text: &str, style: Style) -> io::Result<()> {
    let room = out.width().map(|width| width.saturating_sub(6));
    for line in safe_lines(text.trim_end()) {
        for line in wrap(&line, room) {
            // No styles and no indent around nothing: a line without text has no spaces either.
            let line = line.trim_end();
            let line = if line.is_empty() { String::new() } else { format!("      {style}{line}{style:#}") };
            out.line(&line)?;
        }
    }
    Ok(())
}

fn print_rest(out: &mut Out, lines: usize) -> io::Result<()> {
    if lines == 0 {
        return Ok(());
    }
    out.line(&format!("        {DIM}… ({lines} more line{}){DIM:#}", if lines == 1 { "" } else { "s" }))
}

/// The text of a JSON string.
fn string(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

/// Enough of a long text to fill a line: what is cut away need not be made safe first.
fn beginning(text: &str, columns: usize) -> &str {
    let end = text.char_indices().nth(columns.saturating_mul(2)).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// Arguments of a tool in a line: `command="ls -la" timeout=5`.
fn described(arguments: &RawValue) -> String {
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(arguments.get()) else {
        return string(Some(arguments)).unwrap_or_else(|| arguments.get().to_owned());
    };
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}={}", value.get())).collect();
    members.join(" ")
}

/// An object's members in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What a tool has answered: a text, a list of blocks, or any JSON.
fn result_text(content: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    if let Some(text) = string(Some(content)) {
        return text;
    }
    let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(content.get()) else {
        return if content.get() == "null" { String::new() } else { content.get().to_owned() };
    };
    let texts = blocks.iter().map(|raw| {
        let block = serde_json::from_str::<Block<'_>>(raw.get()).ok();
        let text = block.as_ref().and_then(|block| string(block.text));
        let kind = || block.as_ref().and_then(|block| string(block.kind)).map(|kind| format!("[{kind}]"));
        text.or_else(kind).unwrap_or_else(|| raw.get().to_owned())
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// An image or a file in a line: what it is, and where or how large.
fn attachment(part: &Part<'_>) -> String {
    let mut words = vec![part.kind.as_ref().to_owned()];
    words.extend(string(part.name));
    words.extend(string(part.media_type));
    words.extend(string(part.path).or_else(|| string(part.url)));
    // Four characters of base64 hold three bytes; the quotes are no part of it.
    words.extend(part.data.map(|data| bytes(data.get().len().saturating_sub(2) as u64 / 4 * 3)));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn arguments_are_told_in_their_order() {
        assert_eq!(described(&raw(r#"{"z":"ls -la","a":1e400}"#)), r#"z="ls -la" a=1e400"#);
        assert_eq!(described(&raw(r#""text""#)), "text");
        assert_eq!(described(&raw("[1]")), "[1]");
    }

    #[test]
    fn results_are_texts_blocks_or_json() {
        assert_eq!(result_text(&raw(r#""a\nb""#)), "a\nb");
        assert_eq!(result_text(&raw(r#"[{"type":"text","text":"a"},{"type":"image"},7]"#)), "a\n[image]\n7");
        assert_eq!(result_text(&raw(r#"{"a":1}"#)), r#"{"a":1}"#);
        assert_eq!(result_text(&raw("null")), "");
    }
}
