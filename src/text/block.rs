//! A block as a report tells of it: who has freed it, its place, who has allocated it.

use std::fmt::Write as _;

use super::location::thread_among;
use super::page::{Page, Role};
use super::stacks;
use super::style::Renderer;
use crate::model::finding::{Block, Life};

/// The stacks of a block. `first` stands in front of `freed`; `threads` has the names of threads.
pub(super) fn write_block<S: Copy>(
    out: &mut Page,
    threads: &[(u16, String)],
    (block, first): (&Block<S>, &str),
    with: &mut Renderer<'_, S>,
) {
    let freed = block.life == Life::Freed;
    let by = |thread: Option<u16>| {
        thread.map_or_else(String::new, |by| format!(" by {}", thread_among(threads, by)))
    };
    if freed {
        out.set_role(Role::Heading);
        let _ = writeln!(out, "  {first}freed{} here:", by(block.free_thread));
        stacks::write_stack(out, block.free_site, with);
    }
    out.set_role(Role::Heading);
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
    out.push_str(&by(block.thread));
    if let Some(kind) = block.kind {
        let _ = write!(out, " with {}", kind.allocated_with());
    }
    out.push_str(" here:\n");
    stacks::write_stack(out, block.site, with);
}
