//! Hints: what the shape of a defect tells of its cause.

use std::fmt::Write as _;

use super::message::call_of;
use super::page::Page;
use super::style::Style;
use crate::model::finding::{AllocKind, Damage, Defect, Finding, Location, Side};

/// What a pointer that is no address was read from, if its bytes tell.
fn fill_of(pointer: usize, style: &Style) -> Option<&'static str> {
    let is_all = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte != 0 && pointer == usize::from_ne_bytes([byte; 8]))
    };
    if is_all(style.free_fill) {
        Some("freed memory is filled with these bytes: the pointer was read from a freed block")
    } else if is_all(style.malloc_fill) {
        Some("fresh memory is filled with these bytes: the pointer was read before it was written")
    } else {
        None
    }
}

/// What to do about it, where there is something to say.
pub(super) fn write_hint<S: Copy>(out: &mut Page, finding: &Finding<S>, style: &Style) {
    if let Some(hint) =
        fill_of(finding.pointer, style).filter(|_| finding.defect == Defect::BadFree)
    {
        let _ = writeln!(out, "  hint: {hint}");
        return;
    }
    let Some(block) = &finding.block else { return };
    let hint = match (finding.defect, finding.place) {
        (Defect::BadFree, Location::Inside(_) | Location::Before(_) | Location::Past(_)) => {
            let call = call_of(finding.operation).trim_end_matches("()");
            format!("{call}(ptr) needs the start of the block, {:#x}", block.user)
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
