//! What a body has done, so that tests can demand that it did enough.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// Counts by kind of event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    /// One more of `kind`.
    pub fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// `more` of `kind`.
    pub fn add(&mut self, kind: &'static str, more: usize) {
        *self.0.entry(kind).or_default() += more;
    }

    /// How many of `kind` there were.
    pub fn of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// # Panics
    /// If there were fewer of one of these kinds than demanded.
    pub fn demand(&self, least: &[(&str, usize)]) {
        for &(kind, least) in least {
            assert!(self.of(kind) >= least, "{kind}: {} of {least}; all: {self}", self.of(kind));
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (kind, count) in other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, count)) in self.0.iter().enumerate() {
            write!(f, "{}{kind} {count}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
