//! The first line of a finding. Its words are glibc's where it has some, so that a search finds
//! what others wrote of them.

use std::fmt::Write as _;

use super::location::{article, write_location};
use super::page::Page;
use super::style::Renderer;
use super::summary::plural;
use crate::model::access::{CallEnd, Overlap};
use crate::model::finding::{
    AllocKind, BadRequest, Block, Defect, Finding, Location, Operation, WrongAccess,
};
use crate::model::finding_report::FindingReport;

/// What is wrong, in a sentence: glibc's words where it has some, the pointer, whose block it is,
/// and in brackets the stable name of the defect.
pub fn write_message<S: Copy>(
    out: &mut Page,
    report: &FindingReport<S>,
    with: &mut Renderer<'_, S>,
) {
    let finding = &report.finding;
    let id = finding.defect.id();
    let pointer = finding.pointer;
    let sized = finding.block.as_ref().map_or_else(|| "a block".to_owned(), sized);
    let call = call_of(finding.operation);
    let _ = match finding.defect {
        Defect::BadFree => {
            let _ = write!(out, "{call}: invalid pointer: {pointer:#x} ");
            write_location(out, report, with);
            write!(out, " ({id})")
        }
        Defect::DoubleFree => match finding.operation {
            operation if operation.is_resize() => {
                write!(out, "{call}: invalid pointer: {pointer:#x} was freed before ({id})")
            }
            _ => write!(out, "{call}: double free detected: {pointer:#x} ({id})"),
        },
        Defect::Overflow | Defect::Underflow | Defect::WriteAfterFree => {
            write_damaged(out, finding, &sized)
        }
        Defect::Access(access) => write_access(out, finding, access, &sized),
        Defect::Overlap(overlap) => write_overlap(out, finding, overlap),
        Defect::Mismatch => write_mismatch(out, finding),
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

fn write_access<S: Copy>(
    out: &mut Page,
    finding: &Finding<S>,
    access: WrongAccess,
    sized: &str,
) -> std::fmt::Result {
    let (id, pointer) = (finding.defect.id(), finding.pointer);
    let what = if access.is_write { "write" } else { "read" };
    let count = |bytes: usize| format!("{bytes} byte{}", plural(bytes as u64));
    let _ = match access.bytes {
        0 => write!(out, "{id}: {what} at {pointer:#x}, "),
        bytes => write!(out, "{id}: {what} of {} at {pointer:#x}, ", count(bytes)),
    };
    let life = if access.is_freed { "freed " } else { "" };
    let block = match finding.block.as_ref().and_then(|block| block.size) {
        Some(size) if access.is_freed => format!("a {life}{size}-byte block"),
        _ => sized.to_owned(),
    };
    let _ = match finding.place {
        Location::Before(distance) => write!(out, "{} before {block}", count(distance)),
        Location::Past(distance) => write!(out, "{} after {block}", count(distance)),
        Location::Inside(offset) => write!(out, "{} inside {block}", count(offset)),
        _ => write!(out, "in {block}"),
    };
    match access.call {
        Some((call, CallEnd::Refused)) => write!(out, ", by {}(), which failed", call.name()),
        Some((call, CallEnd::Short(done))) => {
            write!(out, ", by {}(), which ended after {}", call.name(), count(done))
        }
        Some((call, CallEnd::Checked)) => write!(out, ", by {}()", call.name()),
        None => Ok(()),
    }
}

fn write_overlap<S: Copy>(
    out: &mut Page,
    finding: &Finding<S>,
    overlap: Overlap,
) -> std::fmt::Result {
    let (id, to) = (finding.defect.id(), finding.pointer);
    let Overlap { call, bytes, from } = overlap;
    let (name, s) = (call.name(), plural(bytes as u64));
    write!(out, "{id}: {name}() of {bytes} byte{s} from {from:#x} to {to:#x}, which overlap")
}

fn write_mismatch<S: Copy>(out: &mut Page, finding: &Finding<S>) -> std::fmt::Result {
    let (id, pointer) = (finding.defect.id(), finding.pointer);
    let kind = finding.block.as_ref().and_then(|block| block.kind).unwrap_or(AllocKind::Malloc);
    let (allocated, freed) = (kind.allocated_with(), freed_with(finding.operation));
    write!(out, "{id}: {pointer:#x} was allocated with {allocated} and is freed with {freed}")
}

fn write_damaged<S: Copy>(out: &mut Page, finding: &Finding<S>, sized: &str) -> std::fmt::Result {
    let (id, pointer) = (finding.defect.id(), finding.pointer);
    match finding.defect {
        Defect::Overflow => {
            write!(out, "{id}: memory clobbered past end of {sized} at {pointer:#x}")
        }
        Defect::Underflow => {
            write!(out, "{id}: memory clobbered before start of {sized} at {pointer:#x}")
        }
        _ => write!(out, "{id}: {sized} at {pointer:#x} was written to after it was freed"),
    }
}

pub(super) fn sized<S: Copy>(block: &Block<S>) -> String {
    match block.size {
        Some(size) => format!("{} {size}-byte block", article(size)),
        None => "a block (its size is overwritten)".to_owned(),
    }
}

pub(super) const fn call_of(operation: Operation) -> &'static str {
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

fn write_layouts<S: Copy>(
    out: &mut Page,
    finding: &Finding<S>,
    size: usize,
    align: usize,
) -> std::fmt::Result {
    let block = finding.block.as_ref();
    let old = block.and_then(|block| block.size).unwrap_or(0);
    let old_align = block.map_or(16, |block| block.align);
    write!(
        out,
        "came from Layout {{ size: {old}, align: {old_align} }} and is {} with Layout \
         {{ size: {size}, align: {align} }}",
        if finding.operation.is_resize() { "resized" } else { "given back" }
    )
}

fn write_delete_mismatch<S: Copy>(
    out: &mut Page,
    finding: &Finding<S>,
    size: Option<usize>,
    align: Option<usize>,
) -> std::fmt::Result {
    let Some(block) = &finding.block else { return Ok(()) };
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

fn write_bad_request(out: &mut Page, id: &str, request: BadRequest) -> std::fmt::Result {
    match request {
        BadRequest::Product { call, count, size } => {
            write!(out, "{id}: {call} of {count} times {size} bytes: the product is too large")
        }
        BadRequest::Size { call, size } => {
            write!(out, "{id}: {call} of {size} bytes: larger than any block can be")
        }
        BadRequest::Alignment { call, align } => {
            write!(out, "{id}: {call} with the invalid alignment {align}")
        }
    }
}
