//! Prints what the library has to say, with colour where the terminal wants it.

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use mallocop::text::escape::{escape, escape_lines};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HEADING: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Bytes that are written at once, and a line more: a finding is, a list of thousands of sites is
/// not.
const AT_ONCE: usize = 1 << 20;

/// Prints a text of the library to stderr.
pub(crate) fn print(text: &str) {
    let mut styled = String::with_capacity(text.len().min(AT_ONCE) + 64);
    for line in escape_lines(text).lines() {
        let style = style_of(line);
        let _ = writeln!(styled, "{style}{line}{style:#}");
        if styled.len() > AT_ONCE {
            write(&styled);
            styled.clear();
        }
    }
    if !styled.is_empty() {
        write(&styled);
    }
}

fn write(text: &str) {
    // A reader that has gone away must not change the program's exit status.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

fn style_of(line: &str) -> Style {
    if line.starts_with("    #") {
        // A frame, as most lines are.
        Style::new()
    } else if line.contains("==ERROR: mallocop:") || line.starts_with("SUMMARY: mallocop:") {
        ERROR
    } else if line.contains("==WARNING: mallocop:") {
        WARNING
    } else if line.starts_with("  ") && line.ends_with(':') {
        HEADING
    } else if line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && line.contains(" | ") {
        DIM
    } else {
        Style::new()
    }
}

/// Prints one line of the command's own.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "mallocop: {}", escape(line));
}
