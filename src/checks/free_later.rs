//! Frees in signal handlers that interrupted us: what would need a lock is done later.

use crate::checks::deferred_free;
use crate::checks::heap::CheckedHeap;
use crate::checks::request::Release;
use crate::model::finding::{AllocKind, Operation};
use crate::own::{self, Region};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::sys::thread;

impl CheckedHeap {
    /// In a signal handler that interrupted us: what would need a lock is done later.
    #[cold]
    pub(super) fn free_inside(&self, user: usize, release: &Release) {
        match own::region_of(user) {
            Some(Region::Emergency | Region::Early) => self.free_apart(user, release),
            Some(Region::Own) | None => {
                let waits = deferred_free::push(user, code_of(release.operation));
                if !waits && block_table::state(user).is_some_and(BlockState::is_live) {
                    // The program has done its part: that is not its leak.
                    self.exempt(user);
                }
            }
        }
    }

    /// Does the frees that signal handlers left.
    #[inline]
    pub(crate) fn do_deferred(&self) {
        if deferred_free::is_waiting() && thread::is_outside() {
            deferred_free::drain(|pointer, code| self.free_deferred(pointer, code));
        }
    }

    /// One of those.
    pub(crate) fn free_deferred(&self, pointer: usize, code: usize) {
        self.free_now(pointer, &Release::by(operation_of(code)));
    }
}

/// The part of a release that a deferred free keeps.
fn code_of(operation: Operation) -> usize {
    match operation {
        Operation::Delete(kind) => 1 + kind as usize,
        Operation::Dealloc => 1 + AllocKind::Rust as usize,
        _ => 0,
    }
}

fn operation_of(code: usize) -> Operation {
    match code {
        0 => Operation::Free,
        code if code == 1 + AllocKind::Rust as usize => Operation::Dealloc,
        code => Operation::Delete(AllocKind::from_code((code - 1) as u8)),
    }
}
