//! Reading rules for leaks from arbitrary text, and matching them: nothing panics, what is
//! malformed is named with a line of the text, and a rule matches what a matcher without tricks
//! says.

use arbitrary::{Arbitrary, Error, Result, Unstructured};
use mallocop::leak::suppress::{FrameNames, Suppression, read};
use mallocop::model::leak_report::Loss;

use crate::tally::Tally;

/// Lines of a text.
const MOST_LINES: usize = 64;

/// A line as people write them, or any text.
#[derive(Clone, Debug, Arbitrary)]
enum Line {
    Leak(Name),
    LeakWith(Name, Tail),
    Open,
    Tool(bool),
    Kinds(u8),
    Function(Name),
    Object(Name),
    Source(Name, Option<u8>),
    Ellipsis,
    Close,
    Comment(Name),
    Block(Vec<Name>, bool),
    Any(String),
}

#[derive(Clone, Debug, Arbitrary)]
enum Tail {
    Count(u64),
    Bytes(u64),
    Expires(u16, u8, u8),
    Reason(Name),
    Any(String),
}

/// Text of few letters, so that patterns and names meet.
#[derive(Clone, Debug)]
struct Name(String);

impl<'a> Arbitrary<'a> for Name {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        const LETTERS: [char; 12] =
            ['a', 'b', 'a', 'b', '*', '*', '?', '^', '$', '/', ' ', '\u{e9}'];
        let length = u.int_in_range(0..=14)?;
        (0..length).map(|_| u.choose(&LETTERS).copied()).collect::<Result<String>>().map(Self)
    }
}

impl Line {
    fn write(&self, out: &mut String) {
        match self {
            Self::Leak(Name(name)) => *out += &format!("leak:{name}"),
            Self::LeakWith(Name(name), tail) => *out += &format!("leak:{name} {}", tail.text()),
            Self::Open => *out += "{",
            Self::Tool(is_leak) => *out += if *is_leak { "Memcheck:Leak" } else { "Helgrind:Race" },
            Self::Kinds(kinds) => {
                *out += "match-leak-kinds: ";
                *out += ["definite", "possible, indirect", "all", "reachable", "odd"]
                    [usize::from(kinds % 5)];
            }
            Self::Function(Name(name)) => *out += &format!("fun:{name}"),
            Self::Object(Name(name)) => *out += &format!("obj:{name}"),
            Self::Source(Name(name), None) => *out += &format!("src:{name}"),
            Self::Source(Name(name), Some(line)) => *out += &format!("src:{name}:{line}"),
            Self::Ellipsis => *out += "...",
            Self::Close => *out += "}",
            Self::Comment(Name(name)) => *out += &format!("# {name}"),
            Self::Block(names, dots) => {
                *out += "{\n  a block\n  Memcheck:Leak\n";
                for Name(name) in names.iter().take(4) {
                    *out += &format!("  fun:{name}\n{}", if *dots { "  ...\n" } else { "" });
                }
                *out += "}";
            }
            Self::Any(text) => *out += text,
        }
        out.push('\n');
    }
}

impl Tail {
    fn text(&self) -> String {
        match self {
            Self::Count(number) => format!("count<={number}"),
            Self::Bytes(number) => format!("bytes<={number}"),
            Self::Expires(year, month, day) => format!("expires={year:04}-{month:02}-{day:02}"),
            Self::Reason(Name(name)) => format!("reason={name}"),
            Self::Any(text) => text.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Script {
    names: [Name; 4],
    lines: Vec<Line>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let names = Arbitrary::arbitrary(u)?;
        let mut lines = Vec::new();
        while !u.is_empty() && lines.len() < MOST_LINES {
            lines.push(Line::arbitrary(u)?);
        }
        if lines.is_empty() { Err(Error::NotEnoughData) } else { Ok(Self { names, lines }) }
    }
}

impl Script {
    fn text(&self) -> String {
        let mut text = String::new();
        self.lines.iter().for_each(|line| line.write(&mut text));
        text
    }
}

/// The rules as text, and the names that they are held against.
pub fn show(data: &[u8]) -> Result<String> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    Ok(format!("{:?}\n{}", script.names, script.text()))
}

/// Reads and matches.
pub fn body(data: &[u8]) -> Result<Tally> {
    let script = Script::arbitrary(&mut Unstructured::new(data))?;
    let mut tally = Tally::default();
    // Each line by itself as well: one that is malformed hides the others.
    let texts = script.lines.iter().map(|line| {
        let mut text = String::new();
        line.write(&mut text);
        text
    });
    for text in texts.chain([script.text()]) {
        match read(&text, "file") {
            Ok(rules) => rules.iter().for_each(|rule| {
                let matches = hold(rule, &script.names);
                tally.count(if matches { "matched" } else { "not matched" });
                // A block may be called like a line.
                if text.starts_with("leak:") && text.lines().count() == 1 {
                    compare(rule, &script.names, matches);
                    tally.count("held against the model");
                }
            }),
            Err(why) => {
                assert!((1..=text.lines().count().max(1)).contains(&why.line), "{why} in {text:?}");
                tally.count("malformed");
            }
        }
    }
    Ok(tally)
}

/// Holds a rule against a stack of these names.
fn hold(rule: &Suppression, names: &[Name; 4]) -> bool {
    let [Name(one), Name(two), Name(three), Name(module)] = names;
    let frame = |function| FrameNames {
        function: Some(function),
        symbol: None,
        file: None,
        line: 0,
        module: Some(module.as_str()),
    };
    rule.matches(&[frame(one.as_str()), frame(two), frame(three)], Loss::Direct)
}

/// Says of a rule that was read from a line what it matches by trying everything, and by reading it
/// once more.
fn compare(rule: &Suppression, names: &[Name; 4], matches: bool) {
    let Some(pattern) = rule.text.strip_prefix("leak:") else { return };
    let expected = names.iter().any(|Name(name)| found(pattern, name));
    assert_eq!(matches, expected, "{pattern:?} {names:?}");
    if let Ok([again]) = read(&rule.text, "file").as_deref() {
        assert_eq!(hold(again, names), matches, "{rule:?}");
    }
}

/// Is a pattern of LeakSanitizer's in a name? Tries everything.
fn found(pattern: &str, name: &str) -> bool {
    let (pattern, start) = pattern.strip_prefix('^').map_or((pattern, false), |rest| (rest, true));
    let (pattern, end) = pattern.strip_suffix('$').map_or((pattern, false), |rest| (rest, true));
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let starts = if start { 0..=0 } else { 0..=name.len() };
    starts.into_iter().any(|from| fits(pattern, &name[from..], end))
}

fn fits(pattern: &[u8], name: &[u8], end: bool) -> bool {
    match pattern.split_first() {
        None => !end || name.is_empty(),
        // Several say no more than one.
        Some((b'*', [b'*', rest @ ..])) => fits(&[&b"*"[..], rest].concat(), name, end),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| fits(rest, &name[taken..], end)),
        Some((byte, rest)) => name.first() == Some(byte) && fits(rest, &name[1..], end),
    }
}
