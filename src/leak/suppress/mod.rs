//! Suppressions: rules for leaks that are known and not to be reported. Two languages:
//! LeakSanitizer's lines (`leak:pattern`) and Valgrind's blocks (`{ name Memcheck:Leak ... }`), in
//! one file if that is wanted.

mod file;
mod limits;
mod name_list;
mod pattern;
mod read;
mod rule;
mod valgrind;

pub use file::read_file;
pub use limits::{Date, Limits};
pub use name_list::NameList;
pub use read::{Malformed, read};
pub use rule::{FrameNames, StackNames, Suppression};

use crate::model::leak_report::Loss;
use crate::model::site::SiteTotals;

/// The rules that are always there, for what libraries leave behind that no program can help. Each
/// says why.
pub const BUILT_IN: &str = include_str!("built_in.supp");
/// Name of that file in messages.
pub const BUILT_IN_NAME: &str = "built-in";

/// Suppressions, and what each of them has matched.
pub struct Suppressions {
    rules: Vec<Suppression>,
    used: Vec<SiteTotals>,
}

/// Why a rule that matches does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has expired.
    Expired,
    /// It matches more blocks or bytes than it allows.
    TooMuch(u64, u64),
}

impl Suppressions {
    /// These and the built-in ones.
    pub fn new(mut rules: Vec<Suppression>) -> Self {
        rules.extend(read(BUILT_IN, BUILT_IN_NAME).unwrap_or_default());
        let used = vec![SiteTotals::default(); rules.len()];
        Self { rules, used }
    }

    /// The first rule that matches a leak; it is charged with it.
    pub fn charge(
        &mut self,
        stack: &StackNames<'_>,
        loss: Loss,
        totals: SiteTotals,
    ) -> Option<usize> {
        let at = self.rules.iter().position(|rule| rule.matches(stack, loss))?;
        let used = self.used.get_mut(at)?;
        used.blocks += totals.blocks;
        used.bytes += totals.bytes;
        Some(at)
    }

    /// Does the rule not count for what it has been charged with, and why?
    pub fn refused(&self, at: usize, today: Date) -> Option<Refused> {
        let (rule, used) = (self.rules.get(at)?, self.used.get(at)?);
        if rule.limits.expires.is_some_and(|last| today > last) {
            return Some(Refused::Expired);
        }
        let over = |limit: Option<u64>, used| limit.is_some_and(|limit| used > limit);
        let is_over = over(rule.limits.count, used.blocks) || over(rule.limits.bytes, used.bytes);
        is_over.then_some(Refused::TooMuch(used.blocks, used.bytes))
    }

    /// Are there none?
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules with what they were charged with.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Suppression, SiteTotals)> {
        self.rules.iter().zip(&self.used).enumerate().map(|(at, (rule, used))| (at, rule, *used))
    }
}
