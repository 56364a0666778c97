//! The calling stack, as a site. No lock, no allocation, no system call but for memory that grows;
//! 500 bytes of stack where all rules are known, 2 KiB at first sight.

use crate::arch::Caller;
use crate::arch::note_registers;

use super::depot;
use super::modules;
use crate::arch::CallFrame;
use crate::model::site::ProcessSite;
use crate::model::site::SiteCounts;
use crate::options::{self, Name};
use crate::stack::module_generations;
use crate::stack::site_counts;
use crate::stack::unwind::rule_table;
use crate::stack::unwind::thread_unwinder;
use crate::stack::unwind::thread_unwinder::ThreadUnwinder;
use crate::stack::unwind::watched_modules;
use crate::sys::{shared_map, thread, thread_exit};

/// Most frames of a stack that are stored.
pub const MAX_FRAMES: usize = depot::prefix_hash::MOST_ASKED;

/// The site of the caller's stack, as much of it as is wanted; none if that is nothing.
///
/// # Safety
/// `caller` holds the registers at the entry of a function that has not returned, on this thread.
#[inline(always)]
pub unsafe fn site(caller: Caller) -> ProcessSite {
    match options::number(Name::MallocContextSize) {
        0 => ProcessSite::NONE,
        // SAFETY: the caller of this function promises the same.
        most => unsafe { site_of_call(caller, most, 0) },
    }
}

/// The same, of at most `most` frames, one at least, for a call that frees the block `freed`, any
/// value; 0: it allocates.
///
/// # Safety
/// As [`site`] asks.
#[inline(never)]
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_site_of_call"))]
pub unsafe fn site_of_call(caller: Caller, most: usize, freed: usize) -> ProcessSite {
    // SAFETY: the return address, by the caller's word.
    let pc = unsafe { (caller.sp as *const usize).read() };
    let start = CallFrame { pc, sp: caller.sp + 8, fp: caller.fp };
    note_free(pc, freed);
    thread::enter_critical();
    let site = match mine() {
        // SAFETY: the slot names an unwinder that this thread has taken.
        Some(unwinder) => unsafe { unwinder.site(start, most) },
        None => first_site(start.pc, start.sp, start.fp, most),
    };
    thread::leave_critical();
    site
}

/// The first that a thread asks for. By numbers, which go in registers.
#[cold]
#[inline(never)]
extern "C" fn first_site(pc: usize, sp: usize, fp: usize, most: usize) -> ProcessSite {
    // SAFETY: the unwinder was taken for this thread just now.
    with_first_unwinder(|unwinder| unsafe { unwinder.site_apart(CallFrame { pc, sp, fp }, most) })
}

/// To be told of each free, by the address that called and the block: rules end with a module.
#[inline(always)]
fn note_free(caller: usize, block: usize) {
    if block != 0 && modules::is_loader(caller) && watched_modules::forget(block) {
        module_generations::end(block);
        rule_table::end_epoch();
    }
}

/// The site of the stack of whoever called us, found from here: for the longer ways, to which no
/// registers come.
#[inline]
pub fn site_from_here() -> ProcessSite {
    match options::number(Name::MallocContextSize) {
        0 => ProcessSite::NONE,
        most => site_outside(most, 0),
    }
}

/// The same for a call that frees `block`, any value.
#[inline]
pub fn free_site_from_here(block: usize) -> ProcessSite {
    match options::number(Name::MallocContextSize) {
        0 => ProcessSite::NONE,
        most => site_outside(most, block),
    }
}

/// The site of the calling stack whatever the options say: for a finding.
#[inline(never)]
pub fn full_site() -> ProcessSite {
    if options::number(Name::MallocContextSize) == 0 {
        // Frees tell nobody then of modules that go: what an earlier finding has learnt is not
        // believed.
        rule_table::end_epoch();
    }
    site_outside(MAX_FRAMES, 0)
}

#[inline(never)]
fn site_outside(most: usize, freed: usize) -> ProcessSite {
    let mut here = CallFrame { pc: 0, sp: 0, fp: 0 };
    note_registers(&mut here);
    // SAFETY: both callers below pass an unwinder that this thread has taken.
    let work = |unwinder: &ThreadUnwinder| match unsafe { unwinder.leave_own(here) } {
        Some(frame) => {
            note_free(frame.pc, freed);
            // SAFETY: this thread's, as one line up.
            unsafe { unwinder.site_apart(frame, most) }
        }
        None => ProcessSite::NONE,
    };
    thread::enter_critical();
    let site = match mine() {
        Some(unwinder) => work(unwinder),
        None => with_first_unwinder(work),
    };
    thread::leave_critical();
    site
}

/// The site of the stack that begins at `frame`, in this process, of a thread that stands still or
/// is the caller; and the number of all of its frames. `skips_own`: frames of this library at its
/// inner end are left out. Reads what the registers lead to: see [`crate::sys::fault_net`].
pub fn site_at(frame: CallFrame, skips_own: bool) -> (ProcessSite, usize) {
    if options::number(Name::MallocContextSize) == 0 {
        rule_table::end_epoch();
    }
    let Some(unwinder) = ThreadUnwinder::take() else { return (ProcessSite::NONE, 0) };
    thread::enter_critical();
    // SAFETY: taken above, for nobody else.
    let result = unsafe {
        let start = if skips_own { unwinder.leave_own(frame).unwrap_or(frame) } else { frame };
        let site = unwinder.site_apart(start, MAX_FRAMES);
        let depth = unwinder.depth();
        unwinder.leave();
        (site, depth)
    };
    thread::leave_critical();
    result
}

/// The thread's first capture, or one after its end. A signal handler that comes in meanwhile takes
/// no stacks.
#[cold]
#[inline(never)]
fn with_first_unwinder(work: impl FnOnce(&ThreadUnwinder) -> ProcessSite) -> ProcessSite {
    let Some(unwinder) = ThreadUnwinder::take() else { return ProcessSite::NONE };
    let site = work(unwinder);
    if thread::has_ended() {
        // SAFETY: taken above, and not used any more.
        unsafe { unwinder.leave() };
    } else {
        // Its end has to be told even if it never has an arena.
        thread_exit::watch();
        thread::set_unwinder(core::ptr::from_ref(unwinder) as usize);
    }
    site
}

/// Counts a block that the calling thread has allocated, or freed, for the site that allocated it.
/// The thread is in a critical section; one that has taken no stack yet is not counted. Returns
/// which of the site's blocks it is, as far as this thread counts; 0: not known.
#[inline(always)]
pub fn count_block(site: ProcessSite, bytes: usize) -> u32 {
    mine().map_or(0, |unwinder| unwinder.counts().add_block(site, bytes))
}

/// The number that the site's next block would have by [`count_block`]; 0: not known.
pub fn next_number(site: ProcessSite) -> u32 {
    if site == ProcessSite::NONE {
        return 0;
    }
    mine().map_or(0, |unwinder| unwinder.counts().next_number(site))
}

/// The same for one that it has freed.
#[inline(always)]
pub fn count_free(site: ProcessSite, bytes: usize) {
    match mine() {
        Some(unwinder) => unwinder.counts().remove_block(site, bytes),
        None if site != ProcessSite::NONE => site_counts::remove_block_of_ended(site, bytes),
        None => {}
    }
}

#[inline(always)]
fn mine() -> Option<&'static ThreadUnwinder> {
    // SAFETY: 0, or what `with_first_unwinder` has put there: an unwinder, which stays mapped.
    unsafe { (thread::unwinder() as *const ThreadUnwinder).as_ref() }
}

/// A site's allocations, over all threads.
pub fn counts_of(site: ProcessSite) -> SiteCounts {
    thread_unwinder::counts_of(site)
}

/// The calling thread ends: others can have its unwinder.
pub fn end_thread() {
    thread::enter_critical();
    thread::note_end();
    let unwinder = mine();
    thread::set_unwinder(0);
    if let Some(unwinder) = unwinder {
        // SAFETY: this thread has taken it, and has just forgotten it.
        unsafe { unwinder.leave() };
    }
    thread::leave_critical();
}

/// In a forked child: what other threads had begun is over.
pub fn renew_after_fork() {
    rule_table::renew_after_fork();
    depot::renew_after_fork();
    if !shared_map::wipes_on_fork() {
        ThreadUnwinder::renew_all_after_fork();
        site_counts::renew_after_fork();
    }
}
