//! What an option is: its name, the values that it takes, and how they are written.

use core::fmt;

use super::numeral::parse_number;
use super::plan::{self, Plan};
use super::sizes;

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 1023;

/// The type of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 0/1, true/false, yes/no.
    Flag,
    /// A whole number from 0 to this.
    Number(usize),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Path of a file, up to 1023 bytes; in quotes where it has separators in it.
    Path,
    /// Names of programs, separated by `|`.
    Programs,
    /// Which requests are refused: a [`Plan`].
    Plan,
    /// Names with `*` for any characters, separated by `|`.
    Patterns,
    /// One size, or a range of sizes.
    Sizes,
}

/// A value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of a flag or a number; the position of a choice.
    Number(usize),
    /// A path, or names.
    Text(&'a str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// As written in `MALLOCOP_OPTIONS`; with `-` for `_` it is the flag of `mallocop run`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Type,
    /// Value when nothing is said; choices count from 0, paths are empty.
    pub default: usize,
    /// One sentence.
    pub help: &'static str,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("0 or 1"),
            Self::Number(most) => write!(f, "a whole number from 0 to {most}"),
            Self::Path => write!(f, "a path of up to {MAX_TEXT} bytes"),
            Self::Programs => f.write_str("names of programs, separated by |"),
            Self::Plan => f.write_str(plan::FORMS),
            Self::Patterns => f.write_str("names, separated by |; * stands for any characters"),
            Self::Sizes => f.write_str(sizes::FORMS),
            Self::Choice(words) => {
                for (position, word) in words.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { ", " })?;
                    f.write_str(word)?;
                }
                Ok(())
            }
        }
    }
}

impl OptionSpec {
    /// The value that `text` stands for; whole words and range-checked numbers only.
    pub fn parse<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let number = match self.kind {
            Type::Flag => match text {
                "1" | "true" | "yes" => Some(1),
                "0" | "false" | "no" => Some(0),
                _ => None,
            },
            Type::Number(most) => parse_number(text).filter(|&value| value <= most),
            Type::Choice(words) => words.iter().position(|&word| word == text),
            Type::Plan if !text.is_empty() && Plan::parse(text).is_none() => None,
            Type::Sizes => sizes::parse(text),
            Type::Path | Type::Programs | Type::Plan | Type::Patterns => {
                return (text.len() <= MAX_TEXT).then_some(Value::Text(text));
            }
        };
        number.map(Value::Number)
    }

    /// A value as it is written.
    pub fn show(&self, value: usize) -> impl fmt::Display {
        // Bytes are known by their hexadecimal digits.
        struct Shown(Type, usize, bool);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Type::Choice(words) => f.write_str(words.get(self.1).unwrap_or(&"?")),
                    Type::Path | Type::Programs | Type::Plan | Type::Patterns => Ok(()),
                    Type::Sizes => {
                        let sizes = sizes::unpack(self.1);
                        write!(f, "{}-{}", sizes.start(), sizes.end())
                    }
                    Type::Number(255) if self.2 => write!(f, "{:#04x}", self.1),
                    _ => write!(f, "{}", self.1),
                }
            }
        }
        Shown(self.kind, value, self.name.ends_with("_fill_byte"))
    }
}
