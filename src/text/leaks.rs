//! The leak check's verdict as text. Words as LeakSanitizer's, the lines of the sum as Valgrind's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::page::{Page, Role};
use super::stacks::{self, Mark};
use super::style::Renderer;
use super::summary::{counts, plural, write_in_use, write_limits, write_sites};
use crate::model::leak_report::LeakCheckObstacle;
use crate::model::leak_report::Loss;
use crate::model::leak_report::NotStopped;
use crate::model::leak_report::{Leak, Verdict};
use crate::model::leak_report::{LeakReport, LeakSummary};
use crate::model::site::ProcessSite;
use crate::model::site::SiteTotals;
use crate::model::stack::Frame;

/// What a process says at its end, or when it was asked to look: empty where there is nothing to
/// say.
pub fn write<S: Copy>(report: &LeakReport<S>, with: &mut Renderer<'_, S>) -> Page {
    let LeakReport { leaks, reachable, sum } = report;
    let mut text = Page::new();
    if !leaks.is_empty() {
        write_leaks(&mut text, report, with);
    }
    if sum.speaks && with.style.show_reachable {
        let what = if sum.is_checked { "still reachable" } else { "in use at exit" };
        write_sites(&mut text, what, reachable, with);
    }
    if let Some(obstacle) = sum.obstacle.filter(|_| sum.speaks) {
        text.push_str(&write_obstacle(obstacle));
    }
    if !leaks.is_empty() {
        write_sum(&mut text, report);
    } else if sum.speaks && sum.has_own_malloc {
        text.push_str(OWN_MALLOC);
    } else if sum.speaks && sum.is_checked {
        write_clean(&mut text, report);
    } else if sum.speaks {
        write_in_use(&mut text, report);
    }
    if !text.is_empty() {
        text.push_str(&sum.notes);
        write_doubts(&mut text, sum);
        write_limits(&mut text, sum, with);
    }
    if report.is_error() {
        let lost = totals_of(leaks, |_| true);
        text.set_role(Role::Error);
        let _ = writeln!(
            text,
            "SUMMARY: mallocop: {} byte(s) leaked in {} allocation(s).",
            lost.bytes, lost.blocks
        );
        if let Some(leak) = leaks.first() {
            stacks::write_token(&mut text, leak.site, with);
        }
    }
    text
}

/// What is lost of a scope, or still there; empty: nothing. Not counted is what Rust's standard
/// library keeps of its own: what was printed and is captured, and the threads themselves.
pub fn write_scope(verdict: &Verdict, with: &mut Renderer<'_, ProcessSite>) -> Page {
    let mut text = Page::new();
    for leak in &verdict.leaks {
        write_leak(&mut text, leak, with);
    }
    for &(site, totals) in &verdict.reachable {
        let frames = stacks::named_frames(site, with);
        // Without names there is no telling what the library keeps: better nothing than what is not
        // so.
        let is_unknown =
            with.symbolizer.is_exhausted() && frames.iter().all(|frame| frame.function.is_none());
        if !is_unknown && !is_kept_by_std(&frames) {
            let SiteTotals { blocks, bytes } = totals;
            let _ = writeln!(
                text,
                "{bytes} byte(s) in {blocks} object(s) still reachable, allocated from:"
            );
            stacks::write_stack(&mut text, site, with);
            text.push('\n');
        }
    }
    text
}

/// Was it printed, or does the way from the user's code to the allocator lead through what keeps
/// such blocks?
fn is_kept_by_std(frames: &[Frame]) -> bool {
    let begins = |frame: &Frame, start: &str| {
        frame
            .function
            .as_deref()
            .is_some_and(|name| name.trim_start_matches('<').starts_with(start))
    };
    let mut inner = frames.iter().take_while(|frame| stacks::library_of(frame).is_some());
    frames.iter().any(|frame| begins(frame, "std::io::stdio::"))
        || inner.any(|frame| STD_KEEPS.iter().any(|start| begins(frame, start)))
}

/// How the names of such functions begin.
const STD_KEEPS: [&str; 2] = ["std::thread::", "std::sys::thread_local::"];

/// What is said of a program that was not seen.
const OWN_MALLOC: &str = "mallocop: the program defines its own malloc: nothing was checked\n";

fn write_clean<S: Copy>(out: &mut Page, report: &LeakReport<S>) {
    let SiteTotals { blocks, bytes } = report.reachable();
    let (s, ss) = (plural(bytes), plural(blocks));
    let _ = write!(
        out,
        "mallocop: no leaks: {}; {bytes} byte{s} in {blocks} block{ss} still reachable",
        counts(&report.sum.stats)
    );
    let SiteTotals { blocks, bytes } = report.sum.suppressed;
    if blocks != 0 {
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = write!(out, ", {bytes} byte{s} in {blocks} block{ss} suppressed");
    }
    out.push('\n');
}

/// Why there is no verdict.
fn write_obstacle(obstacle: LeakCheckObstacle) -> String {
    let why = match obstacle {
        LeakCheckObstacle::NoMappings => "the kernel does not say what is mapped (/proc/self/maps)",
        LeakCheckObstacle::NoMemory => "there is no memory for that",
        LeakCheckObstacle::Inherited => {
            "without checks inherited blocks cannot be told from the child's own"
        }
        LeakCheckObstacle::TurnedOff => "the program's __lsan_is_turned_off says so",
        LeakCheckObstacle::Fault => "memory that it looked at went away",
        LeakCheckObstacle::Filter => {
            "the program has installed a seccomp filter, which may end it for what that takes"
        }
    };
    format!("mallocop: did not check for leaks: {why}\n")
}

fn write_leaks<S: Copy>(out: &mut Page, report: &LeakReport<S>, with: &mut Renderer<'_, S>) {
    let (leaks, pid) = (&report.leaks, report.sum.pid);
    out.set_role(if report.is_error() { Role::Error } else { Role::Warning });
    let _ = match report.is_error() {
        true => writeln!(out, "=={pid}==ERROR: mallocop: detected memory leaks\n"),
        false => writeln!(out, "=={pid}==WARNING: mallocop: possible memory leaks\n"),
    };
    let most = with.style.max_sites;
    let leaks = &merged(leaks, with);
    for leak in leaks.iter().take(most) {
        write_leak(out, leak, with);
    }
    let rest = leaks.get(most..).unwrap_or(&[]);
    if !rest.is_empty() {
        let bytes = totals_of(rest, |_| true).bytes;
        let _ = writeln!(
            out,
            "{} more with {bytes} byte(s) not shown (--max-sites shows more)\n",
            rest.len()
        );
    }
}

fn write_leak<S: Copy>(out: &mut Page, leak: &Leak<S>, with: &mut Renderer<'_, S>) {
    let kind = match leak.loss {
        Loss::Direct => "Direct",
        Loss::Indirect => "Indirect",
        Loss::Possible => "Possible",
    };
    let SiteTotals { blocks, bytes } = leak.totals;
    let _ = writeln!(out, "{kind} leak of {bytes} byte(s) in {blocks} object(s) allocated from:");
    stacks::write_stack(out, leak.site, with);
    match stacks::mark(leak.site, with) {
        Some(Mark::Function(name)) => {
            let _ = writeln!(out, "    suppress with: leak:{name}");
        }
        Some(Mark::Innermost(frames)) => write_block(out, &frames),
        None => {}
    }
    if !leak.objects.is_empty() {
        out.push_str("Objects leaked above:\n");
        for (address, bytes) in &leak.objects {
            let _ = writeln!(out, "{address:#x} ({bytes} bytes)");
        }
    }
    out.push('\n');
}

/// A rule as Valgrind has them: `leak:main` would hide every leak of the program.
fn write_block(out: &mut Page, frames: &[String]) {
    let outermost = frames.last().map_or("?", String::as_str);
    let _ =
        writeln!(out, "    suppress with:\n    {{\n      leak in {outermost}\n      Memcheck:Leak");
    out.push_str("      fun:*alloc*\n");
    for frame in frames {
        let _ = writeln!(out, "      fun:{frame}");
    }
    out.push_str("    }\n");
}

/// Leaks that read the same are one: a loop that the compiler has unrolled has several sites on one
/// line.
fn merged<S: Copy>(leaks: &[Leak<S>], with: &mut Renderer<'_, S>) -> Vec<Leak<S>> {
    /// More than are ever shown are as they are.
    const MOST: usize = 2000;
    let mut whole: Vec<Leak<S>> = Vec::new();
    let mut places: BTreeMap<(Loss, String), usize> = BTreeMap::new();
    for leak in leaks.iter().take(MOST) {
        let mut stack = Page::new();
        stacks::write_stack(&mut stack, leak.site, with);
        let at = *places.entry((leak.loss, stack.into_text())).or_insert(whole.len());
        match whole.get_mut(at) {
            Some(known) => {
                known.totals.add(leak.totals);
                known.objects.extend_from_slice(&leak.objects);
            }
            None => whole.push(leak.clone()),
        }
    }
    whole.extend_from_slice(leaks.get(MOST..).unwrap_or(&[]));
    whole
}

fn totals_of<S: Copy>(leaks: &[Leak<S>], wanted: impl Fn(Loss) -> bool) -> SiteTotals {
    let chosen = leaks.iter().filter(|leak| wanted(leak.loss));
    let mut sum = SiteTotals::default();
    chosen.for_each(|leak| sum.add(leak.totals));
    sum
}

fn write_sum<S: Copy>(out: &mut Page, report: &LeakReport<S>) {
    let of = |loss| totals_of(&report.leaks, |found| found == loss);
    let shown_by = "      (--show-reachable lists them)";
    let rows = [
        ("definitely lost", of(Loss::Direct), ""),
        ("indirectly lost", of(Loss::Indirect), ""),
        ("possibly lost", of(Loss::Possible), ""),
        ("still reachable", report.reachable(), shown_by),
        ("suppressed", report.sum.suppressed, ""),
    ];
    for (what, SiteTotals { blocks, bytes }, rest) in rows {
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = writeln!(out, "  {what:>15}: {bytes} byte{s} in {blocks} block{ss}{rest}");
    }
    let _ = writeln!(out, "  {:>15}: {}", "total", counts(&report.sum.stats));
}

/// Threads and pages that were not looked at, and what that means.
fn write_doubts(out: &mut Page, sum: &LeakSummary) {
    if sum.is_blind {
        out.push_str(
            "mallocop: other threads could not be stopped: what is only in their registers or is \
            being moved is listed as possible leak, and changes no status\n",
        );
    }
    if sum.unread_pages != 0 {
        let (pages, s) = (sum.unread_pages, plural(sum.unread_pages));
        let _ = writeln!(
            out,
            "mallocop: {pages} page{s} could not be read: pointers in them were not followed"
        );
    }
    for (tid, reason) in &sum.missed {
        let why = match reason {
            NotStopped::Blocked => "it blocks the signal for that",
            NotStopped::Late => "it did not answer in time",
        };
        let _ = writeln!(
            out,
            "mallocop: thread {tid} was not stopped ({why}): what is only in its registers or is \
             being \
            moved is listed as possible leak, and changes no status"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::style::Style;
    use super::super::symbolizer::{Nameless, Symbolizer};
    use super::*;
    use crate::model::site::ProcessSite;
    use crate::model::stack::Stack;

    /// Names for which there was no time.
    struct TooLate;

    impl Symbolizer<ProcessSite> for TooLate {
        fn stack(&mut self, _site: ProcessSite) -> Stack {
            Stack { frames: vec![Frame::default()], ..Stack::default() }
        }

        fn is_exhausted(&self) -> bool {
            true
        }
    }

    fn rendered(
        symbolizer: &mut dyn Symbolizer<ProcessSite>,
        write: impl FnOnce(&mut Renderer<'_, ProcessSite>) -> Page,
    ) -> String {
        write(&mut Renderer { symbolizer, style: &Style::default() }).into_text()
    }

    fn scope(verdict: &Verdict, symbolizer: &mut dyn Symbolizer<ProcessSite>) -> String {
        rendered(symbolizer, |with| write_scope(verdict, with))
    }

    /// What Rust's library keeps is known by names: without them all of it was told.
    #[test]
    fn what_cannot_be_named_is_not_called_still_reachable() {
        let totals = SiteTotals { blocks: 1, bytes: 16 };
        let leak = Leak { site: ProcessSite(1), loss: Loss::Direct, totals, objects: Vec::new() };
        let reachable = vec![(ProcessSite(2), totals)];
        let mut verdict = Verdict { reachable, ..Verdict::default() };
        assert_eq!(scope(&verdict, &mut TooLate), "");
        assert!(scope(&verdict, &mut Nameless).contains("still reachable"));
        verdict.leaks.push(leak);
        let text = scope(&verdict, &mut TooLate);
        assert!(text.contains("Direct leak") && !text.contains("still reachable"), "{text}");
    }

    /// A record that somebody has written over may say anything.
    #[test]
    fn sums_out_of_all_bounds_are_told() {
        let totals = SiteTotals { blocks: u64::MAX, bytes: u64::MAX };
        let leak = Leak { site: ProcessSite(1), loss: Loss::Direct, totals, objects: Vec::new() };
        let reachable = crate::model::leak_report::Reachable { totals, ..Default::default() };
        let sum = LeakSummary { speaks: true, is_checked: true, ..LeakSummary::default() };
        let report =
            LeakReport { leaks: vec![leak.clone(), leak], reachable: vec![reachable; 2], sum };
        let text = rendered(&mut Nameless, |with| write(&report, with));
        let words = "SUMMARY: mallocop: 18446744073709551615 byte(s) leaked in \
                     18446744073709551615 allocation(s).";
        assert!(text.contains(words), "{text}");
    }
}
