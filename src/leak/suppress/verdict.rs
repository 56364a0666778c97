//! Rules against the leaks of a process: which are not to be reported, and what is to be said of
//! the rules.

use std::fmt::Write as _;

use crate::leak::suppress::{self, BUILT_IN_NAME, Refused, Suppression, Suppressions};
use crate::leak::{Check, Leak, Verdict};
use crate::stack::depot::SiteId;
use crate::sys::process;
use crate::text::names::Names;
use crate::text::stacks;

/// The verdict on what no rule hides, and a word on the rules that did not do what they say.
pub fn verdict(
    check: &Check<'_>,
    rules: &mut Suppressions,
    speaks: bool,
    names: &mut dyn Names,
) -> (Verdict, String) {
    let mut verdict = check.verdict();
    let mut charged = Vec::new();
    for leak in &verdict.leaks {
        if let Some(rule) = charge(rules, leak, names) {
            charged.push((leak.site, leak.loss, rule));
        }
    }
    let today = process::today();
    let notes = notes(rules, today, speaks);
    charged.retain(|&(_, _, rule)| rules.refused(rule, today).is_none());
    if !charged.is_empty() {
        verdict = check.verdict_without(|site, loss| {
            charged.iter().any(|&(hidden, hidden_loss, _)| (hidden, hidden_loss) == (site, loss))
        });
    }
    (verdict, notes)
}

fn charge(rules: &mut Suppressions, leak: &Leak, names: &mut dyn Names) -> Option<usize> {
    with_names(leak.site, names, |stack| rules.charge(stack, leak.loss, leak.totals))
}

/// Calls `judge` with the names of a site's stack.
pub fn with_names<T>(
    site: SiteId,
    names: &mut dyn Names,
    judge: impl FnOnce(&suppress::StackNames<'_>) -> T,
) -> T {
    let frames = stacks::named_frames(site, names);
    let stack: Vec<_> = frames
        .iter()
        .map(|frame| suppress::FrameNames {
            function: frame.function.as_deref(),
            symbol: frame.symbol.as_deref(),
            file: frame.file.as_deref(),
            module: frame.module.as_ref().map(|(path, _)| path.as_str()),
            line: frame.line,
        })
        .collect();
    judge(&stack)
}

fn notes(rules: &Suppressions, today: suppress::Date, speaks: bool) -> String {
    let mut out = String::new();
    for (at, rule, used) in rules.all() {
        let Suppression { text, place: (file, line), .. } = rule;
        if used.blocks == 0 {
            if speaks && file != BUILT_IN_NAME {
                let _ = writeln!(out, "mallocop: suppression {text} ({file}:{line}) was not used");
            }
            continue;
        }
        let why = match rules.refused(at, today) {
            None => continue,
            Some(Refused::Expired) => "it has expired".to_owned(),
            Some(Refused::TooMuch(blocks, bytes)) => {
                format!("{bytes} bytes in {blocks} blocks are more than it allows")
            }
        };
        let _ = writeln!(out, "mallocop: suppression {text} ({file}:{line}) does not count: {why}");
    }
    out
}
