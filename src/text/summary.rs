//! The summary at exit: what is in use, and from where.

use std::fmt::Write as _;

use super::page::Page;
use super::stacks;
use super::style::Renderer;
use crate::model::leak_report::{GuardObstacle, LeakReport, LeakSummary, Reachable};
use crate::model::site::HeapStats;
use crate::model::site::SiteCounts;
use crate::model::site::SiteTotals;

/// A number of bytes as people read it.
pub fn readable(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// `s`, but not behind one.
pub const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Blocks in use, without a leak verdict.
pub(crate) fn write_in_use<S: Copy>(out: &mut Page, report: &LeakReport<S>) {
    let SiteTotals { blocks, bytes } = report.reachable();
    let _ = writeln!(
        out,
        "mallocop: in use at exit: {bytes} byte{} in {blocks} block{}",
        plural(bytes),
        plural(blocks)
    );
    let _ = writeln!(out, "mallocop: total: {}", counts(&report.sum.stats));
}

/// The largest sites with their stacks.
pub fn write_sites<S: Copy>(
    out: &mut Page,
    what: &str,
    sites: &[Reachable<S>],
    with: &mut Renderer<'_, S>,
) {
    let most = with.style.max_sites;
    for Reachable { site, totals, counts } in sites.iter().take(most) {
        let SiteTotals { blocks, bytes } = *totals;
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = writeln!(
            out,
            "mallocop: {what}: {bytes} byte{s} in {blocks} block{ss} allocated from:"
        );
        stacks::write_stack(out, *site, with);
        write_site_counts(out, counts);
    }
    if sites.len() > most && most > 0 {
        let rest = sites.get(most..).unwrap_or(&[]);
        let bytes = rest.iter().fold(0u64, |sum, site| sum.saturating_add(site.totals.bytes));
        let _ = writeln!(
            out,
            "mallocop: {} smaller sites with {bytes} bytes not shown (--max-sites shows more)",
            rest.len()
        );
    }
}

/// Limits that a process's report has met.
pub(crate) fn write_limits<S: Copy>(out: &mut Page, sum: &LeakSummary, with: &Renderer<'_, S>) {
    if with.symbolizer.is_exhausted() {
        out.push_str("mallocop: some frames have no names: symbolizing took more than 1 second\n");
    }
    if sum.lost_frees > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} blocks freed in signal handlers were not released: too many at once",
            sum.lost_frees
        );
    }
    if sum.lost_looks > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} look{} at memory ended by a fault: what is there is not checked",
            sum.lost_looks,
            plural(sum.lost_looks)
        );
    }
    if sum.unguarded > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} block{} not guarded: too large, or beyond the memory for guarded blocks \
             (guard_budget_mb)",
            sum.unguarded,
            if sum.unguarded == 1 { " was" } else { "s were" }
        );
    }
    if let Some(obstacle) = sum.guard_obstacle {
        let _ = writeln!(out, "mallocop: blocks were not guarded: {}", write_obstacle(obstacle));
    }
    if sum.folded > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} times a stack lost its innermost frames: the memory for stacks is full \
             (max_stack_memory_mb)",
            sum.folded
        );
    }
}

const fn write_obstacle(obstacle: GuardObstacle) -> &'static str {
    match obstacle {
        GuardObstacle::AddressLimit => "the limit on address space is too low (RLIMIT_AS)",
        GuardObstacle::DataLimit => "there is a limit on data (RLIMIT_DATA)",
        GuardObstacle::Filter => "the program has installed a seccomp filter",
        GuardObstacle::NoBackend => {
            "the kernel gives no guard pages here, as in locked memory (mlockall)"
        }
        GuardObstacle::Refused => {
            "the kernel gives no more guard pages, as in locked memory (mlockall)"
        }
    }
}

/// The site's totals, if they are known.
fn write_site_counts(out: &mut Page, counts: &SiteCounts) {
    let SiteCounts { blocks, bytes, peak, .. } = *counts;
    if blocks != 0 {
        let (s, bytes, peak) = (plural(blocks), readable(bytes), readable(peak));
        let _ = writeln!(out, "    this site: {blocks} block{s}, {bytes} in total; peak {peak}");
    }
}

/// The process's allocations and frees.
pub fn counts(stats: &HeapStats) -> String {
    let HeapStats { allocations, frees, allocated, peak, .. } = *stats;
    format!(
        "{allocations} allocation{}, {frees} free{}, {} allocated, peak {}",
        plural(allocations),
        plural(frees),
        readable(allocated),
        readable(peak)
    )
}
