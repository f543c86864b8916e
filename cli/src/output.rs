//! What is printed, and how it is made safe to print.
//!
//! Owns standard output: colours only where a terminal shows them, widths, tables, times, JSON. The invariant: text
//! that comes from a store or a file reaches the output through [`safe_line`] or [`safe_lines`], so no stored byte
//! can move the cursor, ring the bell or reorder what a person reads.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const ID: Style = AnsiColor::Yellow.on_default();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();

/// Narrower than this nothing is readable, so nothing is cut to less.
const WIDTH_MIN: usize = 40;

/// Standard output.
pub struct Out {
    sink: BufWriter<Box<dyn Write>>,
    /// Whether JSON is wanted.
    pub json: bool,
    is_terminal: bool,
    width: Option<usize>,
    indent: usize,
}

impl Out {
    /// Standard output of this process.
    pub fn stdout(json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // JSON has no colours, and stripping some would cost time on long output.
        let sink: Box<dyn Write> =
            if json { Box::new(io::stdout()) } else { Box::new(anstream::AutoStream::auto(io::stdout())) };
        Self { sink: BufWriter::new(sink), json, is_terminal, width: terminal_width(is_terminal), indent: 0 }
    }

    /// An output that nobody reads.
    pub fn discarding() -> Self {
        let sink: Box<dyn Write> = Box::new(io::sink());
        Self { sink: BufWriter::new(sink), json: false, is_terminal: false, width: None, indent: 0 }
    }

    /// Cuts and wraps to at most so many columns from here on, whoever reads it.
    pub fn limit_width(&mut self, columns: usize) {
        self.width = Some(self.width.map_or(columns, |width| width.min(columns)));
    }

    /// How many columns a line may have. `None` where nobody looks: then nothing is cut or wrapped.
    pub fn width(&self) -> Option<usize> {
        self.width.map(|width| width.max(WIDTH_MIN).saturating_sub(self.indent))
    }

    /// Begins every following line with so many spaces.
    pub fn indent(&mut self, columns: usize) {
        self.indent = columns;
    }

    /// Prints a line, which may have styles in it.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        let indent = if line.is_empty() { 0 } else { self.indent };
        writeln!(self.sink, "{:indent$}{line}", "").map_err(|error| named(&error))
    }

    /// Prints one JSON document on one line.
    pub fn document(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.raw_json(&text)
    }

    /// Prints JSON text as it is; to a terminal, with all control characters as escapes.
    pub fn raw_json(&mut self, text: &str) -> io::Result<()> {
        let text = if self.is_terminal { safe_json(text) } else { Cow::Borrowed(text) };
        writeln!(self.sink, "{text}").map_err(|error| named(&error))
    }

    /// Prints a table.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        for line in table.lines(self.width()) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// Hands everything over to whoever reads it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush().map_err(|error| named(&error))
    }
}

/// The same error, with the thing that failed in its message.
fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}

/// `$COLUMNS`, so that people can choose, else what the terminal says.
fn terminal_width(is_terminal: bool) -> Option<usize> {
    let chosen = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    chosen.or_else(|| if is_terminal { asked() } else { None }).filter(|columns| *columns > 0)
}

/// Columns of text under headings.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// One column of a [`Table`].
pub struct Column {
    heading: &'static str,
    is_number: bool,
    /// Whether it is cut where the line gets too long.
    can_shrink: bool,
}

/// Text with a style. The text must be safe to print.
pub struct Cell {
    text: String,
    style: Style,
}

impl Column {
    pub const fn text(heading: &'static str) -> Self {
        Self { heading, is_number: false, can_shrink: false }
    }

    pub const fn number(heading: &'static str) -> Self {
        Self { heading, is_number: true, can_shrink: false }
    }

    /// The column that gives way where the line gets too long. At most one of a table.
    pub const fn shrinking(heading: &'static str) -> Self {
        Self { heading, is_number: false, can_shrink: true }
    }
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl Table {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row. Cells behind the last column are left out.
    pub fn row(&mut self, mut cells: Vec<Cell>) {
        cells.truncate(self.columns.len());
        self.rows.push(cells);
    }

    /// The lines, at most `width` columns wide where a column can shrink that far.
    fn lines(&self, width: Option<usize>) -> Vec<String> {
        const GAP: usize = 2;
        const SHRUNK_MIN: usize = 8;
        // A single long title must not push the other columns out of sight, where nobody has set a width either.
        const SHRINKING_MAX: usize = 80;
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.heading.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let excess = width.map_or(0, |width| total.saturating_sub(width));
        for (width, column) in widths.iter_mut().zip(&self.columns).filter(|(_, column)| column.can_shrink) {
            let least = SHRUNK_MIN.max(column.heading.width());
            *width = width.saturating_sub(excess).clamp(least, SHRINKING_MAX.max(least));
        }
        let headings = self.columns.iter().map(|column| Cell::styled(column.heading, DIM)).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.line(row, &widths, GAP)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], gap: usize) -> String {
        let mut line = String::new();
        let last = row.len().saturating_sub(1);
        for (place, ((cell, width), column)) in row.iter().zip(widths).zip(&self.columns).enumerate() {
            let text = cut(&cell.text, *width);
            let padding = width.saturating_sub(text.width());
            let (before, after) = if column.is_number { (padding, 0) } else { (0, padding) };
            // Nothing but text at the end of a line: no trailing spaces.
            let after = if place == last { 0 } else { after + gap };
            let style = cell.style;
            let _ = write!(line, "{:before$}{style}{text}{style:#}{:after$}", "", "");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Whether a character does something else than to stand there: controls, and marks that reorder or hide text.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(char, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line that is safe to print: breaks and tabs are spaces, other controls stand there as escapes.
pub fn safe_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\r' | '\t' => line.push(' '),
            char if is_unsafe(char) => line.extend(char.escape_unicode()),
            char => line.push(char),
        }
    }
    line
}

/// Lines that are safe to print.
pub fn safe_lines(text: &str) -> Vec<String> {
    const TAB: &str = "    ";
    text.lines().map(|line| safe_line(&line.replace('\t', TAB))).collect()
}

/// JSON text with every unsafe character as an escape, which means the same: outside strings JSON has none but
/// whitespace.
pub fn safe_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unsafe(char) && char != '\n' {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(char);
        }
    }
    safe.into()
}

/// Cuts a line to a width, with `…` at its end where something is missing.
pub fn cut(line: &str, width: usize) -> Cow<'_, str> {
    if line.width() <= width {
        return Cow::Borrowed(line);
    }
    let mut kept = String::new();
    let mut used = 1;
    for char in line.chars() {
        used += char.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(char);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept.into()
}

/// Wraps a line at spaces; words that are too long stay whole, so that paths and links can be copied. What a line
/// begins with, spaces or the mark of a list, indents the lines that follow from it.
pub fn wrap(line: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.filter(|width| line.width() > *width) else { return vec![line.to_owned()] };
    let body = line.trim_start();
    let hanging = (line.len() - body.len() + list_mark_columns(body)).min(width / 2);
    let mut lines = Vec::new();
    let mut current = line.get(..line.len() - body.len()).unwrap_or_default().to_owned();
    let mut has_word = false;
    for word in body.split(' ') {
        if has_word && current.width() + 1 + word.width() > width {
            lines.push(std::mem::replace(&mut current, " ".repeat(hanging)));
            has_word = false;
        }
        if has_word {
            current.push(' ');
        }
        current.push_str(word);
        has_word = true;
    }
    lines.push(current);
    lines
}

/// The width of the mark that a list's item begins with: `- `, `* `, `• `, `12. `.
fn list_mark_columns(body: &str) -> usize {
    let number = body.trim_start_matches(|char: char| char.is_ascii_digit());
    let digits = body.len() - number.len();
    match body.split_once(' ') {
        Some(("-" | "*" | "•", _)) => 2,
        _ if (1..4).contains(&digits) && number.starts_with(". ") => digits + 2,
        _ => 0,
    }
}

/// How long ago that was, in the words a person would use.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let Some(seconds) = now_ms.checked_sub(then_ms).map(|ms| ms / 1000) else { return date(then_ms) };
    let count =
        |number: u64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match seconds {
        0..10 => "just now".to_owned(),
        10..MINUTE => format!("{seconds} s ago"),
        MINUTE..HOUR => format!("{} min ago", seconds / MINUTE),
        HOUR..DAY => format!("{} h ago", seconds / HOUR),
        DAY.. if seconds < 14 * DAY => count(seconds / DAY, "day"),
        DAY.. if seconds < 60 * DAY => count(seconds / (7 * DAY), "week"),
        DAY.. if seconds < 730 * DAY => count(seconds / (30 * DAY), "month"),
        _ => count(seconds / (365 * DAY), "year"),
    }
}

/// The time now, in ms since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The date, where a person is.
pub fn date(ms: u64) -> String {
    format_time(ms, "%Y-%m-%d")
}

/// Date and time, where a person is.
pub fn date_time(ms: u64) -> String {
    format_time(ms, "%Y-%m-%d %H:%M:%S %:z")
}

fn format_time(ms: u64, format: &str) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // A time that no calendar has is still a number.
    time.map_or_else(
        || format!("{ms} ms"),
        |time| time.to_zoned(TimeZone::system()).strftime(format).to_string(),
    )
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `2,000 messages`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number of bytes with the unit that fits.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return counted(number, "byte");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut size = number as f64;
    let mut unit = "";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_escapes() {
        assert_eq!(
            safe_line("a\x1b[31mb\u{9b}c\u{202e}d\te\u{7f}"),
            "a\\u{1b}[31mb\\u{9b}c\\u{202e}d e\\u{7f}"
        );
        assert_eq!(safe_lines("a\r\nb\tc\n\x07"), ["a", "b    c", "\\u{7}"]);
        assert_eq!(safe_json("{\"a\":\"\u{9b}\u{e0041}\"}"), "{\"a\":\"\\u009b\\udb40\\udc41\"}");
        assert_eq!(safe_line("é 日本 👩‍👩‍👧"), "é 日本 👩‍👩‍👧");
    }

    #[test]
    fn a_line_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(cut("日本語テキスト", 7), "日本語…");
        assert_eq!(cut("plain", 5), "plain");
        assert_eq!(cut("plain text", 6), "plain…");
    }

    #[test]
    fn lines_wrap_at_spaces_and_keep_their_indent() {
        assert_eq!(wrap("- one two three", Some(10)), ["- one two", "  three"]);
        assert_eq!(wrap("10. one two three", Some(12)), ["10. one two", "    three"]);
        assert_eq!(wrap("averyveryverylongword b", Some(10)), ["averyveryverylongword", "b"]);
        assert_eq!(wrap("one two", None), ["one two"]);
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        const NOW: u64 = 10_000_000_000_000;
        let told = |seconds: u64| ago(NOW - seconds * 1000, NOW);
        assert_eq!(told(3), "just now");
        assert_eq!(told(59), "59 s ago");
        assert_eq!(told(200), "3 min ago");
        assert_eq!(told(7200), "2 h ago");
        assert_eq!(told(86_400), "1 day ago");
        assert_eq!(told(86_400 * 15), "2 weeks ago");
        assert_eq!(told(86_400 * 800), "2 years ago");
        assert!(ago(NOW + 86_400_000, NOW).starts_with("2286-"));
        assert_eq!(date(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
        assert_eq!(
            (bytes(1), bytes(1023), bytes(1536)),
            ("1 byte".into(), "1,023 bytes".into(), "1.5 KiB".into())
        );
    }

    #[test]
    fn the_shrinking_column_gives_way() {
        let mut table = Table::new(vec![Column::text("ID"), Column::shrinking("TITLE"), Column::number("N")]);
        table.row(vec![Cell::new("a"), Cell::new("a title that is long"), Cell::new("12")]);
        assert_eq!(table.lines(Some(20))[1], "a   a title tha…  12");
        assert!(table.lines(None)[1].contains("a title that is long"));
    }
}
