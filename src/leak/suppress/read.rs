//! Reading rules from text.

use core::fmt;

use super::limits::Limits;
use super::pattern::Pattern;
use super::rule::{Scope, Suppression};
use super::valgrind;

/// Bytes of a line that are taken.
const LONGEST: usize = 4096;

/// An error in a suppression, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

/// The rules in `text`; `file` is named where one is wrong.
pub fn read(text: &str, file: &str) -> Result<Vec<Suppression>, Malformed> {
    let malformed = |line: usize, why: String| Malformed { file: file.to_owned(), line, why };
    let mut rules = Vec::new();
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    while let Some((at, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.len() > LONGEST {
            return Err(malformed(at, format!("a line of more than {LONGEST} bytes")));
        }
        let place = (file.to_owned(), at);
        if line == "{" {
            let block =
                valgrind::read(&mut lines, place).map_err(|(at, why)| malformed(at, why))?;
            rules.extend(block);
        } else {
            rules.push(read_line(line, place).map_err(|why| malformed(at, why))?);
        }
    }
    Ok(rules)
}

/// `leak:pattern [count<=N] [bytes<=N] [expires=YYYY-MM-DD] [reason=all the rest]`
fn read_line(line: &str, place: (String, usize)) -> Result<Suppression, String> {
    let Some(rest) = line.strip_prefix("leak:") else {
        return Err(format!(
            "invalid suppression `{line}`: expected leak:PATTERN or a Valgrind block in {{ }}"
        ));
    };
    let (rest, reason) = match rest.split_once(" reason=") {
        Some((rest, reason)) => (rest, Some(reason.trim().to_owned())),
        None => (rest, None),
    };
    let mut limits = Limits::default();
    let mut pattern = rest.trim();
    // From the end: names have blanks in them, too.
    while let Some((front, last)) = pattern.rsplit_once(char::is_whitespace) {
        if !limits.read(last)? {
            break;
        }
        pattern = front.trim_end();
    }
    if pattern.is_empty() {
        return Err("there is no pattern behind `leak:`".to_owned());
    }
    let scope = Scope::Anywhere(Pattern::sanitizer(pattern));
    Ok(Suppression {
        place,
        text: format!("leak:{pattern}"),
        reason,
        limits,
        scope,
        losses: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::rule::FrameNames;
    use super::*;
    use crate::model::leak_report::Loss;

    fn one(line: &str) -> Suppression {
        let rules = read(line, "file").unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!(rules.len(), 1, "{line}");
        rules.into_iter().next().expect("a rule")
    }

    #[test]
    fn lines_with_their_conditions() {
        let rule = one("leak:shop::Cart<int>::fill(unsigned int) count<=3 bytes<=100 \
            expires=2027-01-31 reason=is fixed in 2.0, see count<=1");
        assert_eq!(rule.text, "leak:shop::Cart<int>::fill(unsigned int)");
        let expires = Some((2027, 1, 31));
        assert_eq!(rule.limits, Limits { count: Some(3), bytes: Some(100), expires });
        assert_eq!(rule.reason.as_deref(), Some("is fixed in 2.0, see count<=1"));
        let frame = |function, module| FrameNames { function, module, ..FrameNames::default() };
        let inner = frame(Some("shop::Cart<int>::fill(unsigned int)"), None);
        assert!(rule.matches(&[frame(None, None), inner], Loss::Direct));
        assert!(!rule.matches(&[frame(Some("fill"), Some("/lib/x.so"))], Loss::Direct));
        assert!(one("leak:x.so$").matches(&[frame(None, Some("/lib/x.so"))], Loss::Indirect));
    }

    #[test]
    fn comments_and_what_is_malformed() {
        let text = "# a comment\n\n  leak:a\r\nleak:b # no comment\n";
        let rules = read(text, "file").expect("sound");
        assert_eq!(rules.iter().map(|rule| rule.place.1).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(rules[1].text, "leak:b # no comment");
        for (text, line, words) in [
            ("leak:a\nfoo:b\n", 2, "invalid suppression `foo:b`"),
            ("leak:", 1, "no pattern"),
            ("\nleak:a count<=x", 2, "`x` is no number"),
            ("leak:a expires=2027-13-01", 1, "no date"),
            ("leak:a expires=27-1-1", 1, "no date"),
            ("{\nname\nMemcheck:Leak\nfun:a\n", 4, "no }"),
        ] {
            let why = read(text, "file").expect_err(text);
            assert_eq!((why.file.as_str(), why.line), ("file", line), "{why}");
            assert!(why.why.contains(words), "{why}");
        }
    }
}
