//! The only place that prints: data goes to stdout, talk to stderr.
//!
//! What came from elsewhere (names, tags, errors of a server) is shown with its control characters escaped, so that no
//! asset can move the cursor, colour the screen or pretend to be another line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal;
use std::io::Write;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use serde::Serialize;

/// Writes what commands have to say.
#[derive(Debug)]
pub(super) struct Printer {
    json: bool,
    out: Stream<io::Stdout>,
    err: Stream<io::Stderr>,
}

/// A standard stream, and what is at its other end.
#[derive(Debug)]
struct Stream<T> {
    handle: T,
    is_terminal: bool,
    has_colour: bool,
}

impl<T: IsTerminal> Stream<T> {
    /// Looks at a stream. Colours are for terminals, unless `NO_COLOR` is set to something.
    fn new(handle: T) -> Self {
        let is_terminal = handle.is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { handle, is_terminal, has_colour: is_terminal && !no_colour }
    }

    /// Returns what begins and ends a style; nothing where there are no colours.
    const fn style(&self, begin: &'static str) -> (&'static str, &'static str) {
        if self.has_colour { (begin, "\x1b[0m") } else { ("", "") }
    }
}

/// Data could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output")]
pub(super) struct PrintError(#[source] io::Error);

/// Tells whether a cause is a reader of stdout that had enough, which is no failure.
pub(super) fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<PrintError>().is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Widest column of a table, in characters. What is longer is shown whole, and shifts its own line alone.
const COLUMN_CHARS: usize = 120;

/// Where the text of a cell begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

impl Printer {
    /// Looks at what stdout and stderr are.
    pub(super) fn new(json: bool) -> Self {
        Self { json, out: Stream::new(io::stdout()), err: Stream::new(io::stderr()) }
    }

    /// Tells whether programs read the output.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Tells whether stdout is a terminal.
    pub(super) const fn stdout_is_terminal(&self) -> bool {
        self.out.is_terminal
    }

    /// Tells whether talk may be coloured.
    pub(super) const fn stderr_has_colour(&self) -> bool {
        self.err.has_colour
    }

    /// Prints bytes of data as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), PrintError> {
        self.out.handle.lock().write_all(bytes).map_err(PrintError)
    }

    /// Ends the output: what is still buffered is written.
    pub(super) fn flush(&self) -> Result<(), PrintError> {
        self.out.handle.lock().flush().map_err(PrintError)
    }

    /// Prints one line of data, escaped.
    pub(super) fn line(&self, text: &str) -> Result<(), PrintError> {
        self.bytes(format!("{}\n", escape(text)).as_bytes())
    }

    /// Prints one value as JSON in one line. Control characters stand escaped in it too.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), PrintError> {
        self.bytes(format!("{}\n", json_text(value)).as_bytes())
    }

    /// Prints a piece of JSON that others belong around.
    pub(super) fn json_piece(&self, value: &impl Serialize) -> Result<(), PrintError> {
        self.bytes(json_text(value).as_bytes())
    }

    /// Prints a heading.
    pub(super) fn heading(&self, text: &str) -> Result<(), PrintError> {
        let (on, off) = self.out.style("\x1b[1m");
        self.bytes(format!("{on}{}{off}\n", escape(text)).as_bytes())
    }

    /// Prints rows under a heading, each column as wide as its widest cell.
    pub(super) fn table(&self, columns: &[(&str, Align)], rows: &[Vec<String>]) -> Result<(), PrintError> {
        let (head, body) = layout(columns, rows);
        self.heading(&head)?;
        self.bytes(body.as_bytes())
    }

    /// Prints further rows of a table.
    pub(super) fn rows(&self, columns: &[(&str, Align)], rows: &[Vec<String>]) -> Result<(), PrintError> {
        self.bytes(layout(columns, rows).1.as_bytes())
    }

    /// Says something to the person on stderr, escaped. It is no failure when nobody listens.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(self.err.handle.lock(), "{}", escape(text));
    }

    /// Asks the person something on stderr; `None` when nobody is at the terminal to answer.
    pub(super) fn confirmed(&self, question: &str) -> io::Result<Option<bool>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        self.say(&format!("{question} [y/N]"));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
    }

    /// Says what went wrong, with its causes.
    pub(super) fn error(&self, error: &anyhow::Error) {
        let (on, off) = self.err.style("\x1b[1;31m");
        let mut text = format!("{on}error{off}: {}", escape(&error.to_string()));
        for cause in error.chain().skip(1) {
            let _ = write!(text, "\n  because: {}", escape(&cause.to_string()));
        }
        let _ = writeln!(self.err.handle.lock(), "{text}");
    }

    /// Shows how much of a long work is done, on a terminal only.
    pub(super) fn progress(&self, label: &str, total: Option<u64>, unit: Unit) -> Progress {
        let target = if self.err.is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_message(escape(label).into_owned());
        let template = match unit {
            Unit::Bytes => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            Unit::Assets => "{msg} {wide_bar} {pos}/{len} {eta}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template that was tried"));
        Progress(bar)
    }
}

/// In what work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Assets,
}

/// Shows how much is done, until it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Adds to what is done.
    pub(super) fn add(&self, amount: u64) {
        self.0.inc(amount);
    }

    /// Sets what is done, and what there is to do.
    pub(super) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar off the screen.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Clones feed the bar from elsewhere; clearing twice does no harm.
        self.end();
    }
}

/// Writes the heading and the rows of a table.
fn layout(columns: &[(&str, Align)], rows: &[Vec<String>]) -> (String, String) {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect::<Vec<_>>()).collect();
    let width = |index: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([name.chars().count()]).max().unwrap_or(0).min(COLUMN_CHARS)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(index, (name, _))| width(index, name)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((cell, (_, align)), width) in cells.zip(columns).zip(&widths) {
            let gap = if line.is_empty() { "" } else { "  " };
            let _ = match align {
                Align::Left => write!(line, "{gap}{cell:<width$}"),
                Align::Right => write!(line, "{gap}{cell:>width$}"),
            };
        }
        line.truncate(line.trim_end().len());
        line
    };
    let head = line(&mut columns.iter().map(|(name, _)| *name));
    let body = rows.iter().map(|row| line(&mut row.iter().map(AsRef::as_ref)) + "\n").collect();
    (head, body)
}

/// Tells whether a character could change how its surroundings are shown.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Escapes the characters that could change how their surroundings are shown.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Writes JSON in which such characters stand as `\uXXXX`; they occur in strings only, so it stays the same JSON.
fn json_text(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("what commands print has text for keys");
    if !text.contains(is_unsafe) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_is_escaped() {
        for (text, shown) in [
            ("plain ü 漢", "plain ü 漢"),
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("a\nb\t\0", "a\\nb\\t\\u{0}"),
            ("csi\u{9b}2J", "csi\\u{9b}2J"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
        ] {
            assert_eq!(escape(text), shown);
            let json = json_text(&text);
            assert!(!json.contains(is_unsafe), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned(), String::new()], vec!["long\n".to_owned(), "100".to_owned()]];
        let (head, body) = layout(&[("NAME", Align::Left), ("N", Align::Right), ("X", Align::Left)], &rows);
        assert_eq!(head, "NAME      N  X");
        assert_eq!(body, "a         1\nlong\\n  100\n");
    }

    /// A width above 65,535 is not one that can be formatted, and names may be that long together.
    #[test]
    fn a_cell_that_is_too_wide_shifts_its_own_line_alone() {
        let long = "t".repeat(70_000);
        let rows = [vec![long.clone(), "1".to_owned()], vec!["a".to_owned(), "2".to_owned()]];
        let (_, body) = layout(&[("TAGS", Align::Left), ("N", Align::Left)], &rows);
        assert_eq!(body, format!("{long}  1\na{}  2\n", " ".repeat(COLUMN_CHARS - 1)));
    }
}
