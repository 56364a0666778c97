//! Target: lists of options, as they come from the environment.
//!
//! Demanded: what is taken is what a reader of the list by its own rules finds, is in the range of
//! its option, and is shown as it was written; what is not taken is named, in words that are in the
//! list; nothing panics.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::options::{self, Plan, Rejected, TABLE, Type, Value};

use crate::tally::Tally;

/// Longest text of the fuzzer's own making.
const MOST_TEXT: usize = 64;

/// A piece of a list.
#[derive(Arbitrary, Clone, Debug)]
enum Piece {
    /// An option of the table with a value that may be one.
    Known { row: u8, value: ValueText },
    /// Any text.
    Text(String),
    /// A separator too many.
    Separator(u8),
}

#[derive(Arbitrary, Clone, Debug)]
enum ValueText {
    Number(u64),
    Hex(u64),
    Word(u8),
    Plan { form: u8, number: u32, seed: Option<u16> },
    Quoted(String),
    Text(String),
}

const SEPARATORS: [char; 5] = [':', ',', ' ', '\t', '\n'];
const WORDS: [&str; 12] =
    ["yes", "no", "true", "false", "0", "1", "all", "none", "small", "strict", "lenient", "survey"];

impl ValueText {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Hex(number) => format!("{number:#x}"),
            Self::Word(word) => WORDS[usize::from(*word) % WORDS.len()].to_owned(),
            Self::Plan { form, number, seed } => {
                let seed = seed.map_or(String::new(), |seed| format!(",seed={seed}"));
                match form % 5 {
                    0 => format!("nth:{number}"),
                    1 => format!("every:{number}"),
                    2 => format!("prob:0.{number}{seed}"),
                    3 => format!("size>={number}"),
                    _ => format!("site:f{number}"),
                }
            }
            Self::Quoted(text) => format!("\"{}\"", cut(text)),
            Self::Text(text) => cut(text).to_owned(),
        }
    }
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).nth(MOST_TEXT).unwrap_or(text.len());
    &text[..end]
}

fn script(data: &[u8]) -> Result<Vec<Piece>> {
    let mut u = Unstructured::new(data);
    let mut pieces = vec![Piece::arbitrary(&mut u)?];
    if u.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    while pieces.len() < 40 && !u.is_empty() {
        pieces.push(Piece::arbitrary(&mut u)?);
    }
    Ok(pieces)
}

fn list(pieces: &[Piece]) -> String {
    let mut list = String::new();
    for piece in pieces {
        match piece {
            Piece::Known { row, value } => {
                let entry = &TABLE[usize::from(*row) % TABLE.len()];
                list.push_str(&format!("{}={}:", entry.name, value.text()));
            }
            Piece::Text(text) => list.push_str(cut(text)),
            Piece::Separator(which) => {
                list.push(SEPARATORS[usize::from(*which) % SEPARATORS.len()]);
            }
        }
    }
    list
}

/// Reads the list that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let list = list(&script(data)?);
    let mut tally = Tally::default();
    options::parse(&list, |option| match option {
        Ok((row, value)) => {
            demand_value(row, value);
            tally.count("taken");
        }
        Err(why) => {
            demand_reason(&list, why);
            tally.count("rejected");
        }
    });
    // The process's own values take all of it, and are what was taken last.
    options::apply(&list, |_| {});
    options::apply_late(&list, |why| assert!(!why.to_string().is_empty()));
    if let Some(quoted) = options::quote(&list) {
        let mut found = Vec::new();
        let whole = format!("suppressions={quoted}");
        options::parse(&whole, |option| found.push(option.ok()));
        let row = TABLE.iter().position(|entry| entry.name == "suppressions").unwrap_or(0);
        if list.len() < 1000 {
            assert_eq!(found, [Some((row, Value::Text(list.as_str())))]);
            tally.count("quoted");
        }
    }
    Ok(tally)
}

fn demand_value(row: usize, value: Value<'_>) {
    let entry = &TABLE[row];
    match (entry.kind, value) {
        (Type::Flag, Value::Number(number)) => assert!(number <= 1),
        (Type::Number(most), Value::Number(number)) => assert!(number <= most),
        (Type::Choice(words), Value::Number(at)) => assert!(at < words.len()),
        (Type::Sizes, Value::Number(_)) => {}
        (Type::Plan, Value::Text(text)) => {
            assert!(text.is_empty() || Plan::parse(text).is_some(), "{text}");
        }
        (Type::Path | Type::Programs | Type::Patterns, Value::Text(_)) => {}
        (kind, value) => panic!("{}: {value:?} is no value for {kind:?}", entry.name),
    }
    if let Value::Number(number) = value {
        let shown = entry.show(number).to_string();
        assert_eq!(entry.parse(&shown), Some(value), "{}={shown}", entry.name);
    }
}

fn demand_reason(list: &str, why: Rejected<'_>) {
    match why {
        Rejected::Unknown(text) | Rejected::NoValue(text) => assert!(list.contains(text)),
        Rejected::BadValue(name, text, _) => {
            assert!(list.contains(text) && TABLE.iter().any(|entry| entry.name == name));
        }
        Rejected::TooLate(_) => panic!("nothing is late here"),
    }
    assert!(!why.to_string().is_empty());
}

/// The list as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    Ok(format!("{:?}", list(&script(data)?)))
}
