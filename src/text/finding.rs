//! Findings as text: the message, the damaged bytes, the stacks, the blocks beside, a hint.

use std::fmt::Write as _;

use super::block::write_block;
use super::guarded::write_guarded;
use super::hint::write_hint;
use super::location::thread;
use super::message::{sized, write_message};
use super::page::{Page, Role};
use super::stacks;
use super::style::Renderer;
use crate::model::finding::{Damage, Defect, Finding, Life, Operation, Side};
use crate::model::finding_report::FindingReport;

/// The whole text of a finding.
pub fn write<S: Copy>(report: &FindingReport<S>, with: &mut Renderer<'_, S>) -> Page {
    let finding = &report.finding;
    let mut out = Page::new();
    if finding.defect == Defect::Unjudged {
        out.push_str(
            "mallocop: mismatched new, delete, malloc and free are not judged here: a module \
            brings a C++ runtime of its own\n",
        );
        return out;
    }
    write_message_line(&mut out, report, with);
    if let Some(damage) = &finding.damage {
        write_damage(&mut out, damage);
    }
    write_now(&mut out, report, with);
    if let Some(block) = &finding.block {
        let first = if finding.defect == Defect::DoubleFree { "first " } else { "" };
        write_block(&mut out, &report.threads, (block, first), with);
    }
    write_beside(&mut out, finding, with);
    if let Defect::Access(access) = finding.defect {
        write_guarded(&mut out, report, access, with);
    }
    write_hint(&mut out, finding, with.style);
    if finding.is_error() {
        let blamed = match finding.defect {
            Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree => {
                finding.block.as_ref().map_or(finding.site, |block| block.site)
            }
            _ => finding.site,
        };
        let place = stacks::headline(blamed, with);
        out.set_role(Role::Error);
        let _ = writeln!(out, "SUMMARY: mallocop: {} {place}", finding.defect.id());
        stacks::write_token(&mut out, blamed, with);
    }
    out
}

/// Its first line alone: for when the stacks' names cannot be had.
pub fn short<S: Copy>(report: &FindingReport<S>, with: &mut Renderer<'_, S>) -> Page {
    let mut out = Page::new();
    write_message_line(&mut out, report, with);
    out
}

fn write_message_line<S: Copy>(
    out: &mut Page,
    report: &FindingReport<S>,
    with: &mut Renderer<'_, S>,
) {
    let severity = severity(&report.finding);
    out.set_role(match severity {
        "ERROR" => Role::Error,
        "WARNING" => Role::Warning,
        _ => Role::Plain,
    });
    let _ = write!(out, "=={}=={severity}: mallocop: ", report.pid);
    write_message(out, report, with);
    out.push('\n');
}

const fn severity<S: Copy>(finding: &Finding<S>) -> &'static str {
    match finding.defect {
        Defect::Refused { .. } | Defect::Surveyed { .. } => "NOTE",
        _ if finding.is_error() => "ERROR",
        _ => "WARNING",
    }
}

fn write_damage(out: &mut Page, damage: &Damage) {
    if !damage.certain {
        let Damage { first, last, .. } = *damage;
        let _ = match damage.side {
            Side::Before => {
                writeln!(out, "  the block's head or the canary behind it changed")
            }
            Side::Past => writeln!(out, "  one of the bytes at offset {first:+}..{last:+} changed"),
            Side::AfterFree => {
                writeln!(
                    out,
                    "  a byte at offset {first:+}..{last:+} changed: their sum is another"
                )
            }
        };
        return;
    }
    let bytes = if damage.changed == 1 { "byte" } else { "bytes" };
    let _ = match damage.first == damage.last {
        true => write!(out, "  offset {:+} changed", damage.first),
        false => write!(out, "  offset {:+}..{:+} changed", damage.first, damage.last),
    };
    let _ = writeln!(out, " ({} {bytes}):", damage.changed);
    let shown = damage.shown.get(..damage.shown_len).unwrap_or(&[]);
    let hex = |pick: fn(&(u8, u8)) -> u8| {
        shown.iter().map(|pair| format!(" {:02x}", pick(pair))).collect::<String>()
    };
    let text: String = shown
        .iter()
        .map(
            |&(found, _)| {
                if found.is_ascii_graphic() || found == b' ' { found as char } else { '.' }
            },
        )
        .collect();
    let _ = writeln!(out, "    {:+5} {}   {text}", damage.shown_from, hex(|pair| pair.0));
    let _ = writeln!(out, "    was   {}", hex(|pair| pair.1));
}

fn write_now<S: Copy>(out: &mut Page, report: &FindingReport<S>, with: &mut Renderer<'_, S>) {
    let finding = &report.finding;
    let by = thread(report, finding.thread);
    let found = matches!(
        finding.defect,
        Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree | Defect::HeapCorruption
    );
    out.set_role(Role::Heading);
    let _ = match (finding.defect, finding.operation) {
        (_, Operation::Exit) => {
            out.set_role(Role::Plain);
            out.push_str("  found at exit\n");
            return;
        }
        (_, Operation::Evict) => {
            writeln!(out, "  found when the block left the quarantine, by {by} here:")
        }
        (_, Operation::Check) => writeln!(out, "  found by mallocop_check, called by {by} here:"),
        (_, Operation::Allocate) if found => writeln!(out, "  found when {by} allocated here:"),
        (Defect::Refused { .. } | Defect::Surveyed { .. }, _) => {
            writeln!(out, "  asked for by {by} here:")
        }
        (_, operation) if operation.is_resize() && found => {
            writeln!(out, "  found when a block was resized by {by} here:")
        }
        _ if found => writeln!(out, "  found when a block was freed by {by} here:"),
        (Defect::DoubleFree | Defect::BadFree | Defect::LayoutMismatch { .. }, operation)
            if operation.is_resize() =>
        {
            writeln!(out, "  resized by {by} here:")
        }
        (Defect::Access(access), _) => {
            let verb = match (access.call, access.is_write) {
                (Some(_), _) => "called",
                (None, true) => "written",
                (None, false) => "read",
            };
            writeln!(out, "  {verb} by {by} here:")
        }
        (Defect::DoubleFree, _) => writeln!(out, "  freed again by {by} here:"),
        (Defect::BadFree, Operation::UsableSize)
        | (Defect::BadRequest(_) | Defect::Overlap(_), _) => {
            writeln!(out, "  called by {by} here:")
        }
        _ => writeln!(out, "  freed by {by} here:"),
    };
    stacks::write_stack(out, finding.site, with);
}

fn write_beside<S: Copy>(out: &mut Page, finding: &Finding<S>, with: &mut Renderer<'_, S>) {
    let tells = matches!(
        finding.defect,
        Defect::Overflow | Defect::Underflow | Defect::HeapCorruption | Defect::WriteAfterFree
    );
    if !tells {
        return;
    }
    if finding.more_damaged > 0 {
        let blocks = if finding.more_damaged == 1 { "block" } else { "blocks" };
        let _ = writeln!(
            out,
            "  {} {blocks} behind it damaged by the same write",
            finding.more_damaged
        );
    }
    for (block, where_) in finding.beside.iter().zip(["in front of it", "behind it"]) {
        let Some(block) = block else { continue };
        let life = if block.life == Life::Freed { "freed" } else { "live" };
        out.set_role(Role::Heading);
        let _ = writeln!(
            out,
            "  {where_}: {} at {:#x}, {life}, allocated here:",
            sized(block),
            block.user
        );
        stacks::write_stack(out, block.site, with);
    }
}
