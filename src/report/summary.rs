//! The summary at exit: what is in use, and from where.

use std::fmt::Write as _;

use super::stacks;
use crate::arena::Totals;
use crate::debug::{SiteTotals, deferred};
use crate::options::{self, Name};
use crate::stack::capture;
use crate::stack::depot::{self, SiteId};
use crate::stack::symbolize::Symbolizer;
use crate::stack::totals::SiteCounts;

/// A number of bytes as people read it.
fn readable(bytes: u64) -> String {
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

pub(super) const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What is in use and from where, without a word on whether it is lost: the largest sites if they are wanted, then
/// the counts.
pub fn write(
    sites: &[(SiteId, SiteTotals)],
    ledger: &Totals,
    symbolizer: &mut Symbolizer,
) -> String {
    let mut out = String::new();
    if options::flag(Name::ShowReachable) {
        write_sites(&mut out, "in use at exit", sites, symbolizer);
    }
    let (blocks, bytes) = sum(sites);
    let _ = writeln!(
        out,
        "mallocop: in use at exit: {bytes} byte{} in {blocks} block{}",
        plural(bytes),
        plural(blocks)
    );
    let _ = writeln!(out, "mallocop: total: {}", counts(ledger));
    write_limits(&mut out, symbolizer);
    out
}

/// The largest sites with their stacks.
pub(super) fn write_sites(
    out: &mut String,
    what: &str,
    sites: &[(SiteId, SiteTotals)],
    symbolizer: &mut Symbolizer,
) {
    let most = options::number(Name::MaxSites);
    for (site, totals) in sites.iter().take(most) {
        let SiteTotals { blocks, bytes } = *totals;
        let (s, ss) = (plural(bytes), plural(blocks));
        let _ = writeln!(
            out,
            "mallocop: {what}: {bytes} byte{s} in {blocks} block{ss} allocated from:"
        );
        stacks::write_stack(out, *site, symbolizer);
        write_site_counts(out, *site);
    }
    if sites.len() > most && most > 0 {
        let rest = sites.get(most..).unwrap_or(&[]);
        let (_, bytes) = sum(rest);
        let _ = writeln!(
            out,
            "mallocop: {} smaller sites with {bytes} bytes not shown (--max-sites shows more)",
            rest.len()
        );
    }
}

/// What in this process's reports is not whole, and why.
pub(super) fn write_limits(out: &mut String, symbolizer: &Symbolizer) {
    if symbolizer.is_exhausted() {
        out.push_str("mallocop: some frames have no names: 1 second of looking up was used up\n");
    }
    if deferred::lost() > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} blocks freed in signal handlers were never released: too many at once",
            deferred::lost()
        );
    }
    if depot::folded() > 0 {
        let _ = writeln!(
            out,
            "mallocop: {} times a stack was stored without its innermost frames: no room for more",
            depot::folded()
        );
    }
}

/// What the site has allocated in all, if that is known.
fn write_site_counts(out: &mut String, site: SiteId) {
    let SiteCounts { blocks, bytes, peak, .. } = capture::counts_of(site);
    if blocks != 0 {
        let (s, bytes, peak) = (plural(blocks), readable(bytes), readable(peak));
        let _ = writeln!(out, "    in all {blocks} block{s}, {bytes}; at most {peak} at once");
    }
}

/// Blocks and bytes of all sites.
pub(super) fn sum(sites: &[(SiteId, SiteTotals)]) -> (u64, u64) {
    let of = |pick: fn(&SiteTotals) -> u64| sites.iter().map(|(_, totals)| pick(totals)).sum();
    (of(|totals| totals.blocks), of(|totals| totals.bytes))
}

/// What the process has allocated and freed.
pub(super) fn counts(ledger: &Totals) -> String {
    let Totals { allocations, frees, allocated, peak, .. } = *ledger;
    format!(
        "{allocations} allocation{}, {frees} free{}, {} allocated, peak {}",
        plural(allocations),
        plural(frees),
        readable(allocated),
        readable(peak)
    )
}
