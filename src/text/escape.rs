//! Text of the program's in reports: names of functions, files and programs may hold anything.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with all that is not printable written as `\x1b` or `\u{202e}`: it cannot move the
/// cursor, begin a line, or turn the direction of what follows.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        let _ = match character {
            harmless if is_harmless(harmless) => {
                escaped.push(harmless);
                Ok(())
            }
            low if low.is_ascii() => write!(escaped, "\\x{:02x}", low as u32),
            other => write!(escaped, "\\u{{{:x}}}", other as u32),
        };
    }
    Cow::Owned(escaped)
}

/// The same for a text of several lines, whose line ends and tabs stay.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    let is_harmless = |c: char| is_harmless(c) || c == '\n' || c == '\t';
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| {
            let parts: Vec<_> = line.split('\t').map(escape).collect();
            parts.join("\t")
        })
        .collect();
    Cow::Owned(lines.join("\n"))
}

/// Does a terminal show it, and do nothing else? Not control characters, nor those that turn the
/// direction of writing (Unicode's bidirectional controls), nor line and paragraph separators.
const fn is_harmless(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(
            escape("std::vector<int>::push_back(int&&)"),
            "std::vector<int>::push_back(int&&)"
        );
        assert_eq!(escape("größe"), "größe");
        assert_eq!(escape("a\x1b[31mb\r\n==9==ERROR"), "a\\x1b[31mb\\x0d\\x0a==9==ERROR");
        assert_eq!(escape("x\u{202e}y\u{9b}"), "x\\u{202e}y\\u{9b}");
        assert_eq!(escape_lines("a\n\tb\x07\n"), "a\n\tb\\x07\n");
    }
}
