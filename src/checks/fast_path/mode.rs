//! The modes of the fast path: constants that the compiler folds.

use crate::checks::heap::CheckedHeap;
use crate::shadow::block_table::Sites;

/// How the calls of a process are served. It is fixed before the first block.
pub trait Mode {
    /// Are blocks checked?
    fn is_checked(heap: &CheckedHeap) -> bool;

    /// Where the sites of checked blocks are kept; `None`: no stacks are taken.
    fn sites() -> Option<Sites>;
}

/// Without checks.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

/// With all checks and without stacks.
#[derive(Clone, Copy, Debug)]
pub struct Checked;

/// With all checks and with stacks.
#[derive(Clone, Copy, Debug)]
pub struct Traced;

/// Whichever it is: asked for in each call.
#[derive(Clone, Copy, Debug)]
pub struct Any;

impl Mode for Bare {
    #[inline(always)]
    fn is_checked(_: &CheckedHeap) -> bool {
        false
    }

    #[inline(always)]
    fn sites() -> Option<Sites> {
        None
    }
}

impl Mode for Checked {
    #[inline(always)]
    fn is_checked(_: &CheckedHeap) -> bool {
        true
    }

    #[inline(always)]
    fn sites() -> Option<Sites> {
        None
    }
}

impl Mode for Traced {
    #[inline(always)]
    fn is_checked(_: &CheckedHeap) -> bool {
        true
    }

    #[inline(always)]
    fn sites() -> Option<Sites> {
        // SAFETY: the functions of the fast path ask their callers that the mode is the process's.
        Some(unsafe { Sites::assumed() })
    }
}

impl Mode for Any {
    #[inline(always)]
    fn is_checked(heap: &CheckedHeap) -> bool {
        heap.is_checked()
    }

    #[inline(always)]
    fn sites() -> Option<Sites> {
        Sites::taken()
    }
}
