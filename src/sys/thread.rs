//! The thread slot: 128 bytes of initial-exec TLS per thread. Reading it never allocates and never
//! calls into the loader, so it works from the first malloc to the last, in signal handlers too.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};

pub use crate::arch::{is_slot_relocated as is_relocated, slot_address, thread_pointer as pointer};

/// State of the calling thread. All zero at its start.
#[repr(C, align(64))]
struct ThreadSlot {
    /// Two depths: in the low half that of sections that hold a lock of ours, in which nothing
    /// calls out; in the high half that of our own work that may call libc (unwinding, reporting).
    inside: Cell<u64>,
    /// Number of the thread plus one; 0: not numbered yet.
    number: Cell<u32>,
    /// Is the thread on a stack of ours?
    apart: Cell<bool>,
    /// Is the thread past its end, as far as we are concerned?
    ended: Cell<bool>,
    /// Address of the arena that the thread owns; 0: none.
    arena: Cell<usize>,
    /// The same, if the thread may take the fast path through it. Another thread may write 0
    /// here: [`hook`].
    quick: AtomicUsize,
    /// Address of what the thread keeps for capturing stacks; 0: nothing yet.
    unwinder: Cell<usize>,
    /// How often the thread has asked that its blocks be exempt from the leak check.
    blind: Cell<u32>,
    /// Blocks that the thread has asked Rust's global allocator for, modulo 2^32.
    requests: Cell<u32>,
    /// Stack pointer at the entry of the call under way; 0: the stack says it itself.
    entry: Cell<usize>,
    /// Forks under way: more than one if a signal handler forks in the middle of one.
    forks: Cell<u8>,
    /// Which locks each of them holds, a bit each.
    held: [Cell<u8>; DEEPEST_FORK],
    /// Address of the way back out of the look under way at memory that may be gone; 0: none.
    way_back: Cell<usize>,
    /// Start of the handler stack that the thread has from us; 0: none.
    handler_stack: Cell<usize>,
}

const _: () = assert!(size_of::<ThreadSlot>() == 128);

/// Forks inside each other whose locks are remembered.
const DEEPEST_FORK: usize = 7;

/// One section, one piece of work in [`ThreadSlot::inside`].
const CRITICAL: u64 = 1;
const TOOL: u64 = 1 << 32;

/// Where the calling thread's number is kept, plus one; 0: it has none yet.
#[inline(always)]
pub(super) fn number_word() -> &'static Cell<u32> {
    &slot().number
}

/// Has the calling thread no number yet?
#[inline]
pub fn is_new() -> bool {
    slot().number.get() == 0
}

#[inline]
fn slot() -> &'static ThreadSlot {
    // SAFETY: the slot lives as long as its thread. Of another thread's slot nothing but `quick`,
    // an atomic, is ever reached (`hook`), so that the cells are this thread's alone.
    unsafe { &*(slot_address() as *const ThreadSlot) }
}

/// Enters a section that holds a lock, or that a handler must keep out of for another reason.
#[inline]
pub fn enter_critical() {
    let slot = slot();
    slot.inside.set(slot.inside.get() + CRITICAL);
    // What is done inside is not moved out, where a handler could come in between.
    compiler_fence(Ordering::SeqCst);
}

/// Leaves it.
#[inline]
pub fn leave_critical() {
    compiler_fence(Ordering::SeqCst);
    let slot = slot();
    slot.inside.set(slot.inside.get() - CRITICAL);
}

/// Was the caller interrupted inside a critical section (so that it must take no lock)?
#[inline]
pub fn is_critical() -> bool {
    !slot().inside.get().is_multiple_of(TOOL)
}

/// Is the tool itself at work below the caller on this thread?
pub fn is_in_tool() -> bool {
    slot().inside.get() >= TOOL
}

/// Address of the arena that the thread owns; 0: none.
#[inline]
pub fn arena() -> usize {
    slot().arena.get()
}

/// Notes the arena that the thread owns from here on, and whether it may take the fast path.
pub fn set_arena(arena: usize, quick: bool) {
    let slot = slot();
    slot.arena.set(arena);
    let quick = if quick && slot.blind.get() == 0 { arena } else { 0 };
    slot.quick.store(quick, Ordering::Relaxed);
    // Whoever attends since `quick` was found out may have been here before.
    compiler_fence(Ordering::SeqCst);
    if is_hooked() {
        slot.quick.store(0, Ordering::Relaxed);
    }
}

/// Does somebody attend to the program's calls, so that no thread takes the fast path?
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Says so, for ever. Threads that have an arena already are to be told by [`hook`].
pub fn note_hooked() {
    ATTENDED.store(true, Ordering::Release);
}

/// Has [`note_hooked`] been called?
pub fn is_hooked() -> bool {
    ATTENDED.load(Ordering::Relaxed)
}

/// Takes the fast path from the thread with that descriptor.
///
/// # Safety
/// It is the calling thread, or one that stands still and has not ended.
pub unsafe fn hook(descriptor: usize) {
    let place = descriptor.wrapping_add_signed(crate::arch::slot_offset()) as *const ThreadSlot;
    // SAFETY: each thread's slot is at that offset from its descriptor (x86-64 TLS ABI) and lives
    // as long as the thread, which has not ended by the caller's word. The reference is to the one
    // atomic, not to the cells beside it.
    unsafe { &(*place).quick }.store(0, Ordering::Relaxed);
}

/// Are the thread's new blocks exempt from the leak check?
#[inline]
pub fn is_blind() -> bool {
    slot().blind.get() != 0
}

/// Starts that, once more, or ends it once; then [`set_arena`] has to be called again, since a
/// thread does not take the fast path meanwhile.
pub fn set_blind(starts: bool) {
    let blind = &slot().blind;
    blind.set(if starts { blind.get() + 1 } else { blind.get().saturating_sub(1) });
}

/// Address of the thread's arena if the thread may take the fast path through it and is outside
/// of everything of ours; else 0. Before this library was relocated the slot seems to be where the
/// thread pointer leads, whose first word is its own address (x86-64 TLS ABI) and never 0: that is
/// not outside.
#[inline]
pub fn fast_arena() -> usize {
    let slot = slot();
    if slot.inside.get() != 0 {
        return 0;
    }
    slot.quick.load(Ordering::Relaxed)
}

/// Address of what the thread keeps for capturing stacks; 0: nothing.
#[inline]
pub fn unwinder() -> usize {
    slot().unwinder.get()
}

/// Notes it.
pub fn set_unwinder(unwinder: usize) {
    slot().unwinder.set(unwinder);
}

/// Stack pointer at the entry of the program's call, where code of ours lies in the program itself,
/// so that no address tells where it ends; else 0.
pub fn entry() -> usize {
    slot().entry.get()
}

/// A call under way, as [`entry`] tells of it.
pub struct Call(usize);

impl Call {
    /// Begins with the stack pointer at its entry.
    #[inline(always)]
    #[must_use]
    pub fn begin(sp: usize) -> Self {
        Self(slot().entry.replace(sp))
    }
}

impl Drop for Call {
    #[inline(always)]
    fn drop(&mut self) {
        slot().entry.set(self.0);
    }
}

/// Counts a request of Rust's for the calling thread.
#[inline(always)]
pub fn count_request() {
    let requests = &slot().requests;
    requests.set(requests.get().wrapping_add(1));
}

/// How many there were, modulo 2^32.
pub fn requests() -> u32 {
    slot().requests.get()
}

/// Has the thread's end been noted?
pub fn has_ended() -> bool {
    slot().ended.get()
}

/// Notes it: what the thread still does is done without an arena of its own.
pub fn note_end() {
    slot().ended.set(true);
}

/// Is the thread inside nothing of ours, so that deferred work can be done?
#[inline]
pub fn is_outside() -> bool {
    slot().inside.get() == 0
}

/// Starts a fork of the calling thread. Returns its level: 1, or more inside another one.
pub fn begin_fork() -> u8 {
    let forks = &slot().forks;
    forks.set(forks.get() + 1);
    forks.get()
}

/// Level of the thread's innermost fork; 0: none.
pub fn fork_level() -> u8 {
    slot().forks.get()
}

/// Notes which locks the thread's innermost fork holds.
pub fn set_held(bits: u8) {
    let slot = slot();
    if let Some(held) = slot.held.get(usize::from(slot.forks.get()).wrapping_sub(1)) {
        held.set(bits);
    }
}

/// Ends the thread's innermost fork, whose locks were given back.
pub fn end_fork() {
    let forks = &slot().forks;
    forks.set(forks.get().saturating_sub(1));
}

/// What [`set_held`] noted for the forks that the innermost one has interrupted.
pub fn held_outside() -> impl Iterator<Item = u8> {
    let slot = slot();
    let outer = usize::from(slot.forks.get()).saturating_sub(1);
    slot.held.iter().take(outer).map(Cell::get)
}

/// What [`set_held`] noted.
pub fn held() -> u8 {
    let slot = slot();
    slot.held.get(usize::from(slot.forks.get()).wrapping_sub(1)).map_or(0, Cell::get)
}

/// Is the thread on a stack of ours?
pub fn is_apart() -> bool {
    slot().apart.get()
}

/// Notes whether it is.
pub fn set_apart(apart: bool) {
    slot().apart.set(apart);
}

/// Address of the way back that is noted; 0: none.
pub(super) fn way_back() -> usize {
    slot().way_back.get()
}

/// Notes another one.
pub(super) fn set_way_back(way: usize) {
    slot().way_back.set(way)
}

/// Start of the thread's handler stack; 0: it has none from us.
pub(super) fn handler_stack() -> usize {
    slot().handler_stack.get()
}

/// Notes it.
pub(super) fn set_handler_stack(start: usize) {
    slot().handler_stack.set(start);
}

/// How deep the thread is in work of ours, to be given to [`restore_depth`] only.
pub(super) fn depth() -> u64 {
    slot().inside.get()
}

/// Leaves all sections that were entered since.
pub(super) fn restore_depth(depth: u64) {
    slot().inside.set(depth);
}

/// The tool's own work: allocations made while this lives are the tool's.
pub struct ToolWork(());

impl ToolWork {
    /// Starts it.
    #[must_use]
    pub fn begin() -> Self {
        let slot = slot();
        slot.inside.set(slot.inside.get() + TOOL);
        Self(())
    }
}

impl Drop for ToolWork {
    fn drop(&mut self) {
        let slot = slot();
        slot.inside.set(slot.inside.get() - TOOL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_slots_of_their_own() {
        let mine = slot_address();
        let theirs = std::thread::spawn(slot_address).join().expect("no panic");
        assert_ne!(mine, theirs);
        assert_eq!(mine, slot_address());
    }

    #[test]
    fn depths_nest() {
        assert!(is_outside());
        let outer = ToolWork::begin();
        let inner = ToolWork::begin();
        drop(inner);
        assert!(is_in_tool() && !is_critical());
        drop(outer);
        assert!(is_outside());
    }
}
