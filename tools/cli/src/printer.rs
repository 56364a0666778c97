//! Prints what the library has to say, with colour where the terminal wants it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use mallocop::model::recording::Recording;
use mallocop::options::{self, Name};
use mallocop::text::escape::{escape, escape_lines};
use mallocop::text::page::{Page, Role};
use mallocop_views::summary;

use crate::symbolize::Symbols;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HEADING: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Bytes that are written at once, and a line more: a finding is, a list of thousands of sites is
/// not.
const AT_ONCE: usize = 1 << 20;

/// Prints a page to stderr.
pub(crate) fn print(page: &Page) {
    let mut styled = String::with_capacity(page.text().len().min(AT_ONCE) + 64);
    for (role, line) in page.lines() {
        let style = style_of(role);
        let _ = writeln!(styled, "{style}{}{style:#}", escape_lines(line));
        if styled.len() > AT_ONCE {
            write(&styled);
            styled.clear();
        }
    }
    if !styled.is_empty() {
        write(&styled);
    }
}

/// Prints the library's own lines to stderr.
pub(crate) fn print_text(text: &str) {
    let mut page = Page::new();
    page.push_str(text);
    print(&page);
}

/// Prints the end of a run's report to stderr.
pub(crate) fn print_summary(recording: &Recording, symbols: &Symbols) {
    let wanted = summary::Wanted {
        is_quiet: options::flag(Name::Quiet),
        prints_summary: options::flag(Name::PrintSummary),
    };
    let style = options::style(PathBuf::new());
    symbols.prepare(recording, summary::sites(recording, &style));
    print(&symbols.with_renderer(recording, |with| summary::write(recording, wanted, with)));
}

fn write(text: &str) {
    // A reader that has gone away must not change the program's exit status.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

fn style_of(role: Role) -> Style {
    match role {
        Role::Plain => Style::new(),
        Role::Error => ERROR,
        Role::Warning => WARNING,
        Role::Heading => HEADING,
        Role::Source => DIM,
    }
}

/// Prints one line of the command's own.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "mallocop: {}", escape(line));
}
