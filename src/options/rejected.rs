//! Why an option was not taken, as data and as text.

use core::fmt;

use super::spec::Type;

/// Why an option was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected<'a> {
    /// There is none of that name.
    Unknown(&'a str),
    /// There is no `=` in it.
    NoValue(&'a str),
    /// The value does not fit the option.
    BadValue(&'static str, &'a str, Type),
    /// It counts from the process's first block on, and comes too late.
    TooLate(&'static str),
}

impl fmt::Display for Rejected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown option `{name}`"),
            Self::NoValue(text) => write!(f, "`{text}` is not of the form option=value"),
            Self::BadValue(name, value, kind) => {
                write!(f, "invalid value `{value}` for {name}: expected {kind}")
            }
            Self::TooLate(name) => write!(f, "{name} cannot be set by the program itself"),
        }
    }
}
