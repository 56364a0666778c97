//! The thread slot: 64 bytes of initial-exec TLS per thread. Reading it never allocates and never
//! calls into the loader, so it works from the first malloc to the last, in signal handlers too.

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, compiler_fence};

use super::kernel;

global_asm!(
    ".section .tbss.mallocop_thread_slot,\"awT\",@nobits",
    ".globl mallocop_thread_slot",
    ".hidden mallocop_thread_slot",
    ".type mallocop_thread_slot,@object",
    ".size mallocop_thread_slot,64",
    ".p2align 6",
    "mallocop_thread_slot:",
    ".zero 64",
    ".text",
);

/// What is known of the calling thread. All zero at its start.
#[repr(C, align(64))]
struct Slot {
    /// Two depths: in the low half that of sections that hold a lock of ours, in which nothing calls
    /// out; in the high half that of our own work that may call libc (unwinding, reporting).
    inside: Cell<u64>,
    /// Number of the thread plus one; 0: not numbered yet.
    number: Cell<u32>,
    /// Is the thread on a stack of ours?
    apart: Cell<bool>,
    /// Is the thread past its end, as far as we are concerned?
    ended: Cell<bool>,
    /// Address of the arena that the thread owns; 0: none.
    arena: Cell<usize>,
    /// The same, if the thread may take the shortest way through it.
    quick: Cell<usize>,
    /// Address of what the thread keeps for capturing stacks; 0: nothing yet.
    tracer: Cell<usize>,
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
}

const _: () = assert!(size_of::<Slot>() == 64);

/// Forks inside each other whose locks are remembered.
const DEEPEST_FORK: usize = 7;

/// One section, one piece of work in [`Slot::inside`].
const CRITICAL: u64 = 1;
const TOOL: u64 = 1 << 32;

/// Offset of the slot from the thread pointer; 0 before this library was relocated.
#[inline]
fn slot_offset() -> isize {
    let offset: isize;
    // SAFETY: reads a word of our own global offset table.
    unsafe {
        asm!(
            "mov {offset}, qword ptr [rip + mallocop_thread_slot@GOTTPOFF]",
            offset = out(reg) offset,
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    offset
}

/// Can thread slots be used yet? Not in an IFUNC resolver that runs before our relocations.
#[inline]
pub fn is_relocated() -> bool {
    slot_offset() != 0
}

/// Address of the calling thread's slot: tells threads apart.
#[inline]
pub fn slot_address() -> usize {
    let slot: usize;
    // SAFETY: the x86-64 TLS ABI (variant II): the thread pointer is at fs:0, the offset in the GOT.
    // Neither changes while a thread runs, so that one look serves a whole function.
    unsafe {
        asm!(
            "mov {slot}, qword ptr fs:[0]",
            "add {slot}, qword ptr [rip + mallocop_thread_slot@GOTTPOFF]",
            slot = out(reg) slot,
            options(nostack, nomem, pure),
        );
    }
    slot
}

/// The thread pointer: the address of the thread's descriptor, which lies above its stack unless it is the
/// first thread (glibc's nptl).
#[inline]
pub fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: the x86-64 TLS ABI: the thread pointer is at fs:0.
    unsafe {
        asm!(
            "mov {pointer}, qword ptr fs:[0]",
            pointer = out(reg) pointer,
            options(nostack, nomem, pure, preserves_flags),
        );
    }
    pointer
}

/// The first words of the calling thread's descriptor: what its starting function is given is among them (glibc's
/// `struct pthread`, of 2304 bytes in 2.36).
pub fn descriptor_words() -> impl Iterator<Item = usize> {
    const WORDS: usize = 256;
    let first = pointer() as *const usize;
    // SAFETY: the descriptor is longer, and lives as long as its thread.
    (0..WORDS).map(move |at| unsafe { first.add(at).read_volatile() })
}

/// Has the calling thread no number yet?
#[inline]
pub fn is_new() -> bool {
    slot().number.get() == 0
}

#[inline]
fn slot() -> &'static Slot {
    // SAFETY: the slot lives as long as its thread, and only that thread gets its address.
    unsafe { &*(slot_address() as *const Slot) }
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

/// Notes the arena that the thread owns from here on, and whether it may take the shortest way.
pub fn set_arena(arena: usize, quick: bool) {
    let slot = slot();
    slot.arena.set(arena);
    slot.quick.set(if quick && slot.blind.get() == 0 { arena } else { 0 });
    // Whoever attends since `quick` was found out may have been here before.
    compiler_fence(Ordering::SeqCst);
    if is_attended() {
        slot.quick.set(0);
    }
}

/// Does somebody attend to the program's calls, so that no thread takes the shortest way?
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Says so, for ever. Threads that have an arena already are to be told by [`attend`].
pub fn note_attended() {
    ATTENDED.store(true, Ordering::Release);
}

/// Has [`note_attended`] been called?
pub fn is_attended() -> bool {
    ATTENDED.load(Ordering::Relaxed)
}

/// Takes the shortest way from the thread with that descriptor.
///
/// # Safety
/// It is the calling thread, or one that stands still.
pub unsafe fn attend(descriptor: usize) {
    let place = descriptor.wrapping_add_signed(slot_offset());
    // SAFETY: each thread's slot is at that offset from its descriptor (x86-64 TLS ABI).
    unsafe { &*(place as *const Slot) }.quick.set(0);
}

/// Are the thread's new blocks exempt from the leak check?
#[inline]
pub fn is_blind() -> bool {
    slot().blind.get() != 0
}

/// Starts that, once more, or ends it once; then [`set_arena`] has to be called again, since a thread does not
/// take the shortest way meanwhile.
pub fn set_blind(starts: bool) {
    let blind = &slot().blind;
    blind.set(if starts { blind.get() + 1 } else { blind.get().saturating_sub(1) });
}

/// Address of the thread's arena if the thread may take the shortest way through it and is outside of
/// everything of ours; else 0. Before this library was relocated the slot seems to be where the thread
/// pointer leads, whose first word is its own address (x86-64 TLS ABI) and never 0: that is not outside.
#[inline]
pub fn quick_arena() -> usize {
    let slot = slot();
    if slot.inside.get() != 0 {
        return 0;
    }
    slot.quick.get()
}

/// Address of what the thread keeps for capturing stacks; 0: nothing.
#[inline]
pub fn tracer() -> usize {
    slot().tracer.get()
}

/// Notes it.
pub fn set_tracer(tracer: usize) {
    slot().tracer.set(tracer);
}

/// Stack pointer at the entry of the program's call, where code of ours lies in the program itself, so that no address
/// tells where it ends; else 0.
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

/// Threads are numbered from 0 in the order of their first allocation; later ones than this share
/// the last number.
pub const MAX_THREADS: usize = 1 << 14;

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);
/// First number given out since the last fork of which this process is the child.
static FIRST_OWN: AtomicU32 = AtomicU32::new(0);
static TIDS: [AtomicU32; MAX_THREADS] = [const { AtomicU32::new(0) }; MAX_THREADS];
static STACKS: [AtomicUsize; MAX_THREADS] = [const { AtomicUsize::new(0) }; MAX_THREADS];

/// Number of the calling thread. Makes one system call, the first time.
#[inline]
pub fn number() -> u16 {
    let slot = slot();
    match slot.number.get() {
        0 => take_number(slot),
        number => (number - 1) as u16,
    }
}

/// The same for a thread that has its number already, as one with an arena has.
#[inline]
pub fn known_number() -> u16 {
    slot().number.get().wrapping_sub(1) as u16
}

/// Gives the calling thread another number; [`put_number`] takes the one back that it had. What it allocates meanwhile
/// can be told by that. `None`: there are no numbers left.
pub fn renew_number() -> Option<u16> {
    let number = take_number(slot());
    (usize::from(number) < MAX_THREADS - 1).then_some(number)
}

/// Gives the calling thread a number back that it had.
pub fn put_number(number: u16) {
    slot().number.set(u32::from(number) + 1);
}

#[cold]
fn take_number(slot: &Slot) -> u16 {
    let next = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) as usize;
    let number = next.min(MAX_THREADS - 1);
    slot.number.set(number as u32 + 1);
    if number < MAX_THREADS - 1 {
        note_thread(number);
    }
    number as u16
}

fn note_thread(number: usize) {
    let here = 0u8;
    if let (Some(tid), Some(stack)) = (TIDS.get(number), STACKS.get(number)) {
        tid.store(current_tid(), Ordering::Relaxed);
        stack.store(core::ptr::from_ref(&here) as usize, Ordering::Relaxed);
    }
}

/// The calling thread's kernel id.
pub fn current_tid() -> u32 {
    // SAFETY: gettid(2) touches no memory and cannot fail.
    unsafe { kernel::call(libc::SYS_gettid, [0; 4]) as u32 }
}

/// Was the number given out?
pub fn is_numbered(number: u16) -> bool {
    u32::from(number) < NEXT_NUMBER.load(Ordering::Relaxed)
}

/// Kernel id of a numbered thread; 0 when it is not known.
pub fn tid_of(number: u16) -> u32 {
    TIDS.get(usize::from(number)).map_or(0, |tid| tid.load(Ordering::Relaxed))
}

/// Numbered threads with an address on the stack of each.
pub fn stacks() -> impl Iterator<Item = (u16, usize)> {
    let count = (NEXT_NUMBER.load(Ordering::Relaxed) as usize).min(MAX_THREADS - 1);
    STACKS
        .iter()
        .take(count)
        .enumerate()
        .map(|(number, stack)| (number as u16, stack.load(Ordering::Relaxed)))
}

/// Looks at threads that run on the processor are repeated so often, a millisecond apart.
const LOOKS: u32 = 50;

/// Kernel id of a thread with its stack pointer in `[start, end)`. The kernel tells that of threads
/// that sleep; one that runs is given up to 50 ms to do so. Reads /proc; may allocate.
pub fn with_stack_in(start: usize, end: usize) -> Option<u32> {
    for _ in 0..LOOKS {
        let mut any_runs = false;
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let tid = task.file_name().to_str().and_then(|name| name.parse().ok())?;
            let line = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            any_runs |= line.starts_with("running") && tid != current_tid();
            if stack_pointer(&line).is_some_and(|pointer| pointer >= start && pointer < end) {
                return Some(tid);
            }
        }
        if !any_runs {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}

/// The last but one field of /proc/PID/task/TID/syscall (proc_pid_syscall(5)).
fn stack_pointer(line: &str) -> Option<usize> {
    let pointer = line.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
    usize::from_str_radix(pointer, 16).ok()
}

/// After fork the child's only thread has a new kernel id and the others are gone.
pub fn renew_after_fork() {
    for (tid, stack) in TIDS.iter().zip(&STACKS) {
        if stack.swap(0, Ordering::Relaxed) == 0 {
            break;
        }
        tid.store(0, Ordering::Relaxed);
    }
    // A number of its own tells what this process allocates from what it inherited.
    FIRST_OWN.store(NEXT_NUMBER.load(Ordering::Relaxed), Ordering::Relaxed);
    slot().number.set(0);
    let number = number();
    // The child's one thread has the process's id.
    super::process::set_id(tid_of(number));
}

/// Is this process the child of a fork?
pub fn is_forked() -> bool {
    FIRST_OWN.load(Ordering::Relaxed) != 0
}

/// Was the number given out before the fork of which this process is the child?
pub fn is_inherited(number: u16) -> bool {
    u32::from(number) < FIRST_OWN.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_slots_and_numbers_of_their_own() {
        let mine = (slot_address(), number());
        let theirs = std::thread::spawn(|| (slot_address(), number())).join().expect("no panic");
        assert_ne!(mine.0, theirs.0);
        assert_ne!(mine.1, theirs.1);
        assert_eq!(mine, (slot_address(), number()));
        assert_eq!(tid_of(mine.1), current_tid());
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
