//! The leak check's verdict as text. Words as LeakSanitizer's, the lines of the sum as Valgrind's.

use std::fmt::Write as _;

use super::summary::{counts, plural, sum, write_limits, write_sites};
use super::{stacks, suppressed};
use crate::arena::Totals;
use crate::debug::SiteTotals;
use crate::leak::check::Obstacle;
use crate::leak::classify::Loss;
use crate::leak::stop::Reason;
use crate::leak::suppress::Rules;
use crate::leak::{Check, Leak, Verdict};
use crate::options::{self, Name};
use crate::stack::symbolize::Symbolizer;
use crate::sys::process;

/// The text of a verdict, and what follows from it.
pub struct Report {
    /// What a reader sees; empty where there is nothing to say.
    pub text: String,
    /// Is something lost beyond doubt, or asked to be counted as if it were?
    pub is_error: bool,
}

/// Writes what a check has found that no rule hides. `speaks`: also where nothing is lost.
pub fn write(
    check: &Check<'_>,
    rules: &mut Rules,
    ledger: &Totals,
    speaks: bool,
    symbolizer: &mut Symbolizer,
) -> Report {
    let (verdict, notes) = suppressed::verdict(check, rules, speaks, symbolizer);
    let mut text = String::new();
    let is_error = !verdict.leaks.is_empty() && check.is_certain();
    if !verdict.leaks.is_empty() {
        write_leaks(&mut text, &verdict, is_error, symbolizer);
    }
    if speaks && options::flag(Name::ShowReachable) {
        write_sites(&mut text, "still reachable", &verdict.reachable, symbolizer);
    }
    if !verdict.leaks.is_empty() {
        write_sum(&mut text, &verdict, ledger);
    } else if speaks {
        write_clean(&mut text, &verdict, ledger);
    }
    if !text.is_empty() {
        text.push_str(&notes);
        write_doubts(&mut text, check);
        write_limits(&mut text, symbolizer);
    }
    if is_error {
        let lost = totals_of(&verdict, |_| true);
        let _ = writeln!(
            text,
            "SUMMARY: mallocop: {} byte(s) leaked in {} allocation(s).",
            lost.bytes, lost.blocks
        );
    }
    Report { text, is_error }
}

fn write_clean(out: &mut String, verdict: &Verdict, ledger: &Totals) {
    let (blocks, bytes) = sum(&verdict.reachable);
    let (s, ss) = (plural(bytes), plural(blocks));
    let _ = write!(
        out,
        "mallocop: no leaks: {}; {bytes} byte{s} in {blocks} block{ss} still reachable",
        counts(ledger)
    );
    let SiteTotals { blocks, bytes } = verdict.suppressed;
    if blocks != 0 {
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = write!(out, ", {bytes} byte{s} in {blocks} block{ss} suppressed");
    }
    out.push('\n');
}

/// Why there is no verdict.
pub fn write_obstacle(obstacle: Obstacle) -> String {
    let why = match obstacle {
        Obstacle::NoMappings => "the kernel does not say what is mapped (/proc/self/maps)",
        Obstacle::NoMemory => "there is no memory for that",
        Obstacle::Inherited => {
            "without checks inherited blocks cannot be told from the child's own"
        }
        Obstacle::TurnedOff => "the program's __lsan_is_turned_off says so",
        Obstacle::Filter => {
            "the program has installed a seccomp filter, which may end it for what that takes"
        }
    };
    format!("mallocop: leaks were not looked for: {why}\n")
}

fn write_leaks(out: &mut String, verdict: &Verdict, is_error: bool, symbolizer: &mut Symbolizer) {
    let pid = process::id();
    let _ = match is_error {
        true => writeln!(out, "=={pid}==ERROR: mallocop: detected memory leaks\n"),
        false => writeln!(out, "=={pid}==WARNING: mallocop: possible memory leaks\n"),
    };
    let most = options::number(Name::MaxSites);
    for leak in verdict.leaks.iter().take(most) {
        write_leak(out, leak, symbolizer);
    }
    let rest = verdict.leaks.get(most..).unwrap_or(&[]);
    if !rest.is_empty() {
        let bytes: u64 = rest.iter().map(|leak| leak.totals.bytes).sum();
        let _ = writeln!(
            out,
            "{} more with {bytes} byte(s) not shown (--max-sites shows more)\n",
            rest.len()
        );
    }
}

fn write_leak(out: &mut String, leak: &Leak, symbolizer: &mut Symbolizer) {
    let kind = match leak.loss {
        Loss::Direct => "Direct",
        Loss::Indirect => "Indirect",
        Loss::Possible => "Possible",
    };
    let SiteTotals { blocks, bytes } = leak.totals;
    let _ = writeln!(out, "{kind} leak of {bytes} byte(s) in {blocks} object(s) allocated from:");
    stacks::write_stack(out, leak.site, symbolizer);
    if let Some(name) = stacks::own_function(leak.site, symbolizer) {
        let _ = writeln!(out, "    suppress with: leak:{name}");
    }
    if !leak.objects.is_empty() {
        out.push_str("Objects leaked above:\n");
        for (address, bytes) in &leak.objects {
            let _ = writeln!(out, "{address:#x} ({bytes} bytes)");
        }
    }
    out.push('\n');
}

fn totals_of(verdict: &Verdict, wanted: impl Fn(Loss) -> bool) -> SiteTotals {
    let chosen = verdict.leaks.iter().filter(|leak| wanted(leak.loss));
    let mut sum = SiteTotals::default();
    chosen.for_each(|leak| sum.add(leak.totals));
    sum
}

fn write_sum(out: &mut String, verdict: &Verdict, ledger: &Totals) {
    let (blocks, bytes) = sum(&verdict.reachable);
    let of = |loss| totals_of(verdict, |found| found == loss);
    let shown_by = "      (--show-reachable lists them)";
    let rows = [
        ("definitely lost", of(Loss::Direct), ""),
        ("indirectly lost", of(Loss::Indirect), ""),
        ("possibly lost", of(Loss::Possible), ""),
        ("still reachable", SiteTotals { blocks, bytes }, shown_by),
        ("suppressed", verdict.suppressed, ""),
    ];
    for (what, SiteTotals { blocks, bytes }, rest) in rows {
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = writeln!(out, "  {what:>15}: {bytes} byte{s} in {blocks} block{ss}{rest}");
    }
    let _ = writeln!(out, "  {:>15}: {}", "total", counts(ledger));
}

/// Who was not looked at, and what that means.
fn write_doubts(out: &mut String, check: &Check<'_>) {
    if check.is_blind {
        out.push_str(
            "mallocop: other threads could not be stopped: what is only in their registers or is \
            being moved is listed as possible leak, and changes no status\n",
        );
    }
    for (tid, reason) in &check.missed {
        let why = match reason {
            Reason::Blocked => "it blocks the signal for that",
            Reason::Late => "it did not answer in time",
        };
        let _ = writeln!(
            out,
            "mallocop: thread {tid} was not stopped ({why}): what is only in its registers or is being \
            moved is listed as possible leak, and changes no status"
        );
    }
}
