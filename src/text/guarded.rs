//! How a block came to be guarded whose wrong access was found, and how to see that again.

use std::fmt::Write as _;

use super::escape::escape;
use super::page::Page;
use super::stacks;
use super::style::Renderer;
use crate::model::access::CallEnd;
use crate::model::finding::WrongAccess;
use crate::model::finding_report::FindingReport;

/// Two commands: one that repeats the finding, one that guards all blocks of that site.
pub(super) fn write_guarded<S: Copy>(
    out: &mut Page,
    report: &FindingReport<S>,
    access: WrongAccess,
    with: &mut Renderer<'_, S>,
) {
    let WrongAccess { ordinal, seed, is_all, .. } = access;
    if is_all || matches!(access.call, Some((_, CallEnd::Checked))) {
        return;
    }
    let command = if report.command.is_empty() { "PROGRAM" } else { &report.command };
    let command = escape(command);
    let _ = writeln!(
        out,
        "  the block was sampled: number {ordinal} of its site, guard_seed={seed}; to repeat this:"
    );
    let _ = writeln!(out, "    mallocop run --guard-seed={seed} -- {command}");
    let site = report.finding.block.as_ref().map(|block| block.site);
    let frames = site.map_or_else(Vec::new, |site| stacks::named_frames(site, with));
    if let Some(function) = frames.iter().find_map(|frame| frame.function.as_deref()) {
        let pattern = quote(function);
        out.push_str("  to guard every block of that site:\n");
        let _ = writeln!(out, "    mallocop run --guard=all --guard-sites={pattern} -- {command}");
    }
}

/// A function's name as one word of a shell, its arguments left out.
fn quote(function: &str) -> String {
    let name = function.split('(').next().unwrap_or(function);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
    if name.chars().all(is_plain) { name.to_owned() } else { format!("'{name}'") }
}
