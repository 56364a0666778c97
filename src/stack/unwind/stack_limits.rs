//! How far up a thread's stacks can be read. A rule may be wrong: instructions written by hand
//! switch stacks without telling, and the frame that did it then seems to lie beyond the end of the
//! stack. So nothing is read that was not looked at.

use crate::sys::thread_number;
use core::cell::Cell;

use crate::heap::size::{PAGE, round_down, round_up};
use crate::stack::unwind::rule::NEAR;
use crate::sys::{memory, process, seccomp, thread};

/// Pages of stacks of the program's own making that are remembered.
const OTHERS: usize = 512;
/// So far a thread's own stack is looked at from its end down, or from what is known of it: below
/// its descriptor other stacks lie near; below the first thread's stack nothing does.
const NEAR_DESCRIPTOR: usize = 1 << 20;
const NEAR_TOP: usize = 64 << 20;

/// What a thread's walks have found out of its stacks. All zero at first.
pub(crate) struct StackLimits {
    /// Lowest address of the thread's own stack that is known to be readable up to `end`. That
    /// stack stays.
    low: Cell<usize>,
    end: Cell<usize>,
    /// Pages that are not of it. How far such a stack goes is not remembered: it may be another one
    /// by now.
    others: [Cell<usize>; OTHERS],
}

impl StackLimits {
    /// First address above what can be read for certain from `sp` on: of the thread's own stack its
    /// end; of another one that of the page that the word below `sp` is on.
    #[inline(always)]
    pub(crate) fn limit(&self, sp: usize) -> usize {
        let (low, end) = (self.low.get(), self.end.get());
        if sp.wrapping_sub(low) < end.wrapping_sub(low) { end } else { self.look(sp) }
    }

    #[cold]
    #[inline(never)]
    fn look(&self, sp: usize) -> usize {
        let end = end_of_stack(sp);
        // A filter may forbid the call that looks.
        if seccomp::is_installed() {
            return end;
        }
        let page = round_down(sp, PAGE);
        let known = if self.end.get() == end { self.low.get() } else { end };
        let near = if end == thread::pointer() { NEAR_DESCRIPTOR } else { NEAR_TOP };
        let place = ((page / PAGE) ^ (page / (PAGE * OTHERS))) % OTHERS;
        if let Some(other) = self.others.get(place)
            && other.get() != page
            && page < known
            && known - page <= near
        {
            if may_be_own(end) && memory::is_readable(page, known) {
                self.note(page, end);
                return end;
            }
            other.set(page);
        }
        limit_of_page(sp)
    }

    /// Does a stack of which `limit` has been told go on to `to`?
    #[cold]
    #[inline(never)]
    pub(crate) fn goes_on(&self, limit: usize, to: usize) -> bool {
        limit != end_of_stack(limit.wrapping_sub(1))
            && !seccomp::is_installed()
            && goes_on(limit, to)
    }

    /// Is `[from, to)` on the thread's own stack, all of which can be read up to its end?
    pub(crate) fn is_stack(&self, from: usize, to: usize) -> bool {
        /// Stacks are not larger; what lies that far below a thread's descriptor is another stack.
        const LARGEST: usize = 64 << 20;
        let end = end_of_stack(from);
        if end - from > LARGEST || !may_be_own(end) {
            return false;
        }
        if end != self.end.get() || from < self.low.get() {
            // All the way up: a thread's own stack stays, and need not be asked for again.
            if !memory::is_readable(from, end) {
                return false;
            }
            self.note(round_down(from, PAGE), end);
        }
        to <= end
    }

    fn note(&self, low: usize, end: usize) {
        self.end.set(end);
        self.low.set(low);
    }

    /// Forgets everything: another thread is next.
    pub(crate) fn forget(&self) {
        self.note(0, 0);
        self.others.iter().for_each(|other| other.set(0));
    }
}

/// Can a thread's own stack end there? Below the first thread's descriptor lie other mappings,
/// which come and go.
fn may_be_own(end: usize) -> bool {
    let is_first = || thread_number::tid_of(thread_number::number()) == process::noted_id();
    end != thread::pointer() || !is_first()
}

/// [`StackLimits::limit`] of a stack of which nothing is known.
pub(crate) fn limit_of_page(sp: usize) -> usize {
    round_up(sp, PAGE)
}

/// Can be read on from a limit up to `to`? Near, all in between is looked at; far away is another
/// stack, the one that this was switched to from, of which the last word is.
pub(crate) fn goes_on(limit: usize, to: usize) -> bool {
    let Some(more) = to.checked_sub(limit) else { return false };
    let from = if more <= NEAR { limit } else { to - 8 };
    memory::is_readable(from, to)
}

/// First address above the stack that `sp` is on, if it is the thread's own: a thread's descriptor
/// lies above its stack, the first thread's random bytes above its own.
#[inline]
pub(crate) fn end_of_stack(sp: usize) -> usize {
    let descriptor = thread::pointer();
    if sp < descriptor {
        return descriptor;
    }
    let top = process::stack_top();
    if sp < top { top } else { usize::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> StackLimits {
        let others = core::array::from_fn(|_| Cell::new(0));
        StackLimits { low: Cell::new(0), end: Cell::new(0), others }
    }

    #[test]
    fn the_threads_own_stack_is_known_up_to_its_end() {
        let bounds = nothing();
        let here = 0u8;
        let sp = core::ptr::from_ref(&here) as usize;
        assert_eq!(bounds.limit(sp), end_of_stack(sp));
        assert!(bounds.low.get() <= sp && bounds.end.get() == end_of_stack(sp));
        assert!(!bounds.goes_on(end_of_stack(sp), end_of_stack(sp) + 8));
        assert!(bounds.is_stack(sp, sp + 8));
    }

    #[test]
    fn another_stack_ends_where_it_cannot_be_read() {
        let bounds = nothing();
        let start = memory::reserve(64 * PAGE).expect("address space");
        // SAFETY: reserved just now.
        assert!(unsafe { memory::commit(start, 40 * PAGE) });
        let end = start + 40 * PAGE;
        assert_eq!(bounds.limit(start + 8), start + PAGE);
        assert!(bounds.goes_on(start + PAGE, end - 8));
        assert!(!bounds.goes_on(start + PAGE, end + 8));
        assert_eq!(bounds.limit(end), end);
        assert!(!bounds.goes_on(end, end + 8));
        assert!(!bounds.is_stack(end - 16, end));
        // SAFETY: reserved above, and not used any more.
        unsafe { memory::unmap(start, 64 * PAGE) };
    }
}
