//! Findings as text. First words as glibc's, so that a search finds what others wrote of them.

use std::fmt::Write as _;

use crate::model::finding::{
    AllocKind, BadRequest, Block, Damage, Defect, Finding, Life, Location, Operation, Side,
};
use crate::model::finding_report::FindingReport;
use crate::options::{self, Name};
use crate::text::names::Names;
use crate::text::place::{article, write_place};
use crate::text::stacks;

/// The whole text of a finding.
pub fn finding(report: &FindingReport, names: &mut dyn Names) -> String {
    let finding = &report.finding;
    if finding.defect == Defect::Unjudged {
        return "mallocop: mismatched new, delete, malloc and free are not judged here: a module \
            brings a C++ runtime of its own\n"
            .to_owned();
    }
    let mut out = String::new();
    let _ = write!(out, "=={}=={}: mallocop: ", report.pid, severity(finding));
    write_first_line(&mut out, report);
    out.push('\n');
    if let Some(damage) = &finding.damage {
        write_damage(&mut out, damage);
    }
    write_now(&mut out, report, names);
    if let Some(block) = &finding.block {
        write_block(&mut out, report, block, names);
    }
    write_beside(&mut out, finding, names);
    write_hint(&mut out, finding);
    if finding.is_error() {
        let blamed = match finding.defect {
            Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree => {
                finding.block.map_or(finding.site, |block| block.site)
            }
            _ => finding.site,
        };
        let place = stacks::headline(blamed, names);
        let _ = writeln!(out, "SUMMARY: mallocop: {} {place}", finding.defect.id());
        stacks::write_token(&mut out, blamed, names);
    }
    out
}

/// One line without names: for when the symbolizer cannot be used.
pub fn short(report: &FindingReport) -> String {
    let mut out = format!("=={}=={}: mallocop: ", report.pid, severity(&report.finding));
    write_first_line(&mut out, report);
    out.push('\n');
    out
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.defect {
        Defect::Refused { .. } | Defect::Surveyed { .. } => "NOTE",
        _ if finding.is_error() => "ERROR",
        _ => "WARNING",
    }
}

fn write_first_line(out: &mut String, report: &FindingReport) {
    let finding = &report.finding;
    let id = finding.defect.id();
    let pointer = finding.pointer;
    let sized = finding.block.map_or_else(|| "a block".to_owned(), |block| sized(&block));
    let call = call_of(finding.operation);
    let _ = match finding.defect {
        Defect::BadFree => {
            let _ = write!(out, "{call}: invalid pointer: {pointer:#x} ");
            write_place(out, report);
            write!(out, " ({id})")
        }
        Defect::DoubleFree => match finding.operation {
            operation if operation.is_resize() => {
                write!(out, "{call}: invalid pointer: {pointer:#x} was freed before ({id})")
            }
            _ => write!(out, "{call}: double free detected: {pointer:#x} ({id})"),
        },
        Defect::Overflow => {
            write!(out, "{id}: memory clobbered past end of {sized} at {pointer:#x}")
        }
        Defect::Underflow => {
            write!(out, "{id}: memory clobbered before start of {sized} at {pointer:#x}")
        }
        Defect::WriteAfterFree => {
            write!(out, "{id}: {sized} at {pointer:#x} was written to after it was freed")
        }
        Defect::Mismatch => {
            let kind = finding.block.and_then(|block| block.kind).unwrap_or(AllocKind::Malloc);
            let freed = freed_with(finding.operation);
            write!(
                out,
                "{id}: {pointer:#x} was allocated with {} and is freed with {freed}",
                kind.allocated_with()
            )
        }
        Defect::DeleteMismatch { size, align } => {
            let _ =
                write!(out, "{id}: {} of {sized} at {pointer:#x}", freed_with(finding.operation));
            write_delete_mismatch(out, finding, size, align)
        }
        Defect::HeapCorruption => {
            write!(
                out,
                "corrupted size vs. prev_size: the heap's word at {pointer:#x} was \
                overwritten ({id})"
            )
        }
        Defect::LayoutMismatch { size, align } => {
            let _ = write!(out, "{id}: {sized} at {pointer:#x} ");
            write_layouts(out, finding, size, align)
        }
        Defect::Refused { ordinal, size } => {
            write!(out, "request no. {ordinal}, of {size} bytes, was {id} (option fail)")
        }
        Defect::Surveyed { ordinal, size } => {
            write!(out, "request no. {ordinal}, of {size} bytes, is the first of its stack")
        }
        Defect::Unjudged => Ok(()),
        Defect::BadRequest(request) => write_bad_request(out, id, request),
    };
}

fn sized(block: &Block) -> String {
    match block.size {
        Some(size) => format!("{} {size}-byte block", article(size)),
        None => "a block (its size is overwritten)".to_owned(),
    }
}

const fn call_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Realloc | Operation::Reallocate => "realloc()",
        Operation::UsableSize => "malloc_usable_size()",
        // operator delete ends in free under glibc, too: these are the words people know.
        _ => "free()",
    }
}

const fn freed_with(operation: Operation) -> &'static str {
    match operation {
        Operation::Delete(kind) => kind.freed_with(),
        Operation::Realloc => "realloc",
        Operation::Reallocate => "Rust's realloc",
        Operation::Dealloc => "Rust's dealloc",
        Operation::FreeSized => "free_sized",
        _ => "free",
    }
}

fn write_layouts(
    out: &mut String,
    finding: &Finding,
    size: usize,
    align: usize,
) -> std::fmt::Result {
    let block = finding.block.unwrap_or(Block::at(finding.pointer));
    let (old, old_align) = (block.size.unwrap_or(0), block.align);
    write!(
        out,
        "came from Layout {{ size: {old}, align: {old_align} }} and is {} with Layout {{ size: {size}, align: {align} }}",
        if finding.operation.is_resize() { "resized" } else { "given back" }
    )
}

fn write_delete_mismatch(
    out: &mut String,
    finding: &Finding,
    size: Option<usize>,
    align: Option<usize>,
) -> std::fmt::Result {
    let block = finding.block.unwrap_or(Block::at(finding.pointer));
    if let Some(size) = size.filter(|&size| block.size != Some(size)) {
        write!(out, " says that it has {size} bytes")?;
    }
    match align {
        Some(align) if align.max(16) != block.align => {
            write!(out, " says alignment {align}; it was allocated with {}", block.align)
        }
        None if matches!(block.kind, Some(AllocKind::AlignedNew | AllocKind::AlignedNewArray)) => {
            write!(out, " says no alignment; it was allocated with {}", block.align)
        }
        _ => Ok(()),
    }
}

fn write_bad_request(out: &mut String, id: &str, request: BadRequest) -> std::fmt::Result {
    match request {
        BadRequest::Product { call, count, size } => {
            write!(out, "{id}: {call} of {count} times {size} bytes: the product is too large")
        }
        BadRequest::Size { call, size } => {
            write!(out, "{id}: {call} of {size} bytes: more than can ever be served")
        }
        BadRequest::Alignment { call, align } => {
            write!(out, "{id}: {call} with alignment {align}, which it does not allow")
        }
    }
}

fn write_damage(out: &mut String, damage: &Damage) {
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

fn write_now(out: &mut String, report: &FindingReport, names: &mut dyn Names) {
    let finding = &report.finding;
    let by = report.thread(finding.thread);
    let found = matches!(
        finding.defect,
        Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree | Defect::HeapCorruption
    );
    let _ = match (finding.defect, finding.operation) {
        (_, Operation::Exit) => {
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
        (Defect::DoubleFree, _) => writeln!(out, "  freed again by {by} here:"),
        (Defect::BadFree, Operation::UsableSize) | (Defect::BadRequest(_), _) => {
            writeln!(out, "  called by {by} here:")
        }
        _ => writeln!(out, "  freed by {by} here:"),
    };
    stacks::write_stack(out, finding.site, names);
}

fn write_block(out: &mut String, report: &FindingReport, block: &Block, names: &mut dyn Names) {
    let finding = &report.finding;
    let freed = block.life == Life::Freed;
    if freed {
        let by =
            block.free_thread.map_or_else(String::new, |by| format!(" by {}", report.thread(by)));
        let first = if finding.defect == Defect::DoubleFree { "first " } else { "" };
        let _ = writeln!(out, "  {first}freed{by} here:");
        stacks::write_stack(out, block.free_site, names);
    }
    out.push_str("  block ");
    match block.size {
        Some(size) => {
            let end = block.user.saturating_add(size);
            let _ = write!(out, "[{:#x},{end:#x}), {size} bytes", block.user);
        }
        None => {
            let _ = write!(out, "at {:#x}", block.user);
        }
    }
    out.push_str(if freed { ", freed, allocated" } else { ", live, allocated" });
    if let Some(thread) = block.thread {
        let _ = write!(out, " by {}", report.thread(thread));
    }
    if let Some(kind) = block.kind {
        let _ = write!(out, " with {}", kind.allocated_with());
    }
    out.push_str(" here:\n");
    stacks::write_stack(out, block.site, names);
}

fn write_beside(out: &mut String, finding: &Finding, names: &mut dyn Names) {
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
        let _ = writeln!(
            out,
            "  {where_}: {} at {:#x}, {life}, allocated here:",
            sized(block),
            block.user
        );
        stacks::write_stack(out, block.site, names);
    }
}

/// What a pointer that is no address was read from, if its bytes tell.
fn fill_of(pointer: usize) -> Option<&'static str> {
    let is_all = |name| {
        let byte = options::number(name) as u8;
        byte != 0 && pointer == usize::from_ne_bytes([byte; 8])
    };
    if is_all(Name::FreeFillByte) {
        Some("freed memory is filled with these bytes: the pointer was read from a freed block")
    } else if is_all(Name::MallocFillByte) {
        Some("fresh memory is filled with these bytes: the pointer was read before it was written")
    } else {
        None
    }
}

fn write_hint(out: &mut String, finding: &Finding) {
    if let Some(hint) = fill_of(finding.pointer).filter(|_| finding.defect == Defect::BadFree) {
        let _ = writeln!(out, "  hint: {hint}");
        return;
    }
    let Some(block) = &finding.block else { return };
    let hint = match (finding.defect, finding.place) {
        (Defect::BadFree, Location::Inside(_) | Location::Before(_) | Location::Past(_)) => {
            let call = call_of(finding.operation).trim_end_matches("()");
            format!("{call}(ptr) wants the start of the block, {:#x}", block.user)
        }
        (Defect::Mismatch, _) => {
            let kind = block.kind.unwrap_or(AllocKind::Malloc);
            format!(
                "what comes from {} goes back with {}",
                kind.allocated_with(),
                kind.freed_with()
            )
        }
        (Defect::Overflow, _) if finding.damage.is_some_and(|damage| !damage.certain) => {
            "the heap's word behind the block is overwritten: it may as well have been written \
                before the start of the block behind"
                .to_owned()
        }
        (Defect::Overflow, _) if finding.beside.iter().any(Option::is_some) => {
            "everything up to the block behind it is overwritten: it may as well have been \
                written before the start of that one"
                .to_owned()
        }
        (Defect::Overflow, _) => match finding.damage {
            Some(Damage { side: Side::Past, changed: 1, first, shown, shown_from, .. })
                if shown.get((first - shown_from).unsigned_abs()).is_some_and(|b| b.0 == 0) =>
            {
                let size = block.size.unwrap_or(0);
                format!(
                    "a NUL was written right behind {size} bytes: is the text one byte longer \
                    than its block?"
                )
            }
            _ => return,
        },
        _ => return,
    };
    let _ = writeln!(out, "  hint: {hint}");
}
