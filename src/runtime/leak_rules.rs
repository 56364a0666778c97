//! The rules for leaks that are not to be reported: the user's file's and the program's own.

use std::fmt::Write as _;
use std::path::Path;

use crate::leak::Check;
use crate::leak::suppress::{
    self, BUILT_IN_NAME, Date, FrameNames, Refused, StackNames, Suppression, Suppressions,
};
use crate::model::leak_report::{Leak, Verdict};
use crate::model::site::ProcessSite;
use crate::options::{self, Name};
use crate::runtime::report_sink;
use crate::sys::process;
use crate::text::stacks;
use crate::text::style::Renderer;

use crate::runtime::lsan_user_hooks;

/// All of them; `any_lost`: they will be needed. What cannot be read or is malformed is said, and
/// the others count.
pub(super) fn read(any_lost: bool) -> Suppressions {
    let mut rules = Vec::new();
    if let Some(path) = options::text(Name::Suppressions) {
        match suppress::read_file(Path::new(&*path)) {
            Ok(text) => add(&mut rules, &text, &path),
            Err(why) => report_sink::emit(&format!("mallocop: suppressions: {path}: {why}\n")),
        }
    }
    if any_lost && let Some((text, name)) = lsan_user_hooks::default_suppressions() {
        add(&mut rules, &text.to_string_lossy(), &name.to_string_lossy());
    }
    Suppressions::new(rules)
}

fn add(rules: &mut Vec<Suppression>, text: &str, name: &str) {
    match suppress::read(text, name) {
        Ok(more) => rules.extend(more),
        Err(why) => report_sink::emit(&format!("mallocop: suppressions: {why}\n")),
    }
}

/// The verdict on what no rule hides, and a word on the rules that did not do what they say.
pub(super) fn verdict(
    check: &Check<'_>,
    rules: &mut Suppressions,
    speaks: bool,
    with: &mut Renderer<'_, ProcessSite>,
) -> (Verdict, String) {
    let mut verdict = check.verdict();
    let mut charged = Vec::new();
    for leak in &verdict.leaks {
        if let Some(rule) = charge(rules, leak, with) {
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

fn charge(
    rules: &mut Suppressions,
    leak: &Leak,
    with: &mut Renderer<'_, ProcessSite>,
) -> Option<usize> {
    with_names(leak.site, with, |stack| rules.charge(stack, leak.loss, leak.totals))
}

/// Calls `judge` with the names of a site's stack.
pub(super) fn with_names<T>(
    site: ProcessSite,
    with: &mut Renderer<'_, ProcessSite>,
    judge: impl FnOnce(&StackNames<'_>) -> T,
) -> T {
    let frames = stacks::named_frames(site, with);
    let stack: Vec<_> = frames
        .iter()
        .map(|frame| FrameNames {
            function: frame.function.as_deref(),
            symbol: frame.symbol.as_deref(),
            file: frame.file.as_deref(),
            module: frame.module.as_ref().map(|(path, _)| path.as_str()),
            line: frame.line,
        })
        .collect();
    judge(&stack)
}

fn notes(rules: &Suppressions, today: Date, speaks: bool) -> String {
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
                format!("{bytes} bytes in {blocks} blocks exceed its limit")
            }
        };
        let _ = writeln!(out, "mallocop: suppression {text} ({file}:{line}) is ignored: {why}");
    }
    out
}
