//! What libc's descriptor of a thread says (glibc's `struct pthread`, at the thread pointer), and
//! the thread's signal stack.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::raw_syscall;
use crate::sys::seccomp;
use crate::sys::thread::pointer;

/// Where in a thread's descriptor libc keeps its kernel id, in bytes from its start; 0: that is not
/// known.
static TID_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Finds that out, by the calling thread's own.
pub fn find_tid_offset() {
    /// glibc's since 2.4, and where it is looked for otherwise.
    const USUAL: usize = 720;
    const PLACES: core::ops::Range<usize> = 256..1536;
    let (descriptor, mine) = (pointer(), current_tid());
    let is_there = |offset: &usize| {
        // SAFETY: inside the descriptor, which has more bytes (glibc's `struct pthread`) and lives
        // as its thread does.
        unsafe { ((descriptor + offset) as *const u32).read_volatile() == mine }
    };
    let found = Some(USUAL).filter(is_there).or_else(|| PLACES.step_by(4).find(is_there));
    TID_OFFSET.store(found.unwrap_or(0), Ordering::Relaxed);
}

/// Where the kernel id stands in the descriptor at `descriptor`: libc has -1 there for a thread
/// that was joined. `None`: that is not known.
pub fn tid_place(descriptor: usize) -> Option<usize> {
    let offset = TID_OFFSET.load(Ordering::Relaxed);
    (offset != 0).then_some(descriptor + offset)
}

/// The kernel id that libc has noted in the calling thread's descriptor.
pub(crate) fn noted_tid(descriptor: usize) -> Option<u32> {
    // SAFETY: the calling thread's own descriptor.
    tid_place(descriptor).map(|place| unsafe { (place as *const u32).read_volatile() })
}

/// The calling thread's kernel id.
pub fn current_tid() -> u32 {
    // A filter may forbid the call.
    if seccomp::is_installed() {
        return noted_tid(pointer()).unwrap_or(0);
    }
    // SAFETY: gettid(2) touches no memory and cannot fail.
    unsafe { raw_syscall::call(libc::SYS_gettid, [0; 4]) as u32 }
}

/// The calling thread's alternate signal stack: its first byte and its bytes. `None`: it has none.
pub fn alternate_stack() -> Option<(usize, usize)> {
    let mut stack = core::mem::MaybeUninit::<libc::stack_t>::uninit();
    let arguments = [0, stack.as_mut_ptr() as usize, 0, 0];
    // SAFETY: sigaltstack(2) without a new stack fills the structure when it returns 0.
    let stack = unsafe {
        (raw_syscall::call(libc::SYS_sigaltstack, arguments) == 0).then(|| stack.assume_init())
    }?;
    (stack.ss_flags & libc::SS_DISABLE == 0).then_some((stack.ss_sp as usize, stack.ss_size))
}

/// Bytes of a descriptor, at least (glibc's `struct pthread`): what is behind it to the end of its
/// page is nobody's.
pub const BYTES: usize = 2048;

/// The first words of the calling thread's descriptor: what its starting function is given is among
/// them (glibc's `struct pthread`, of 2304 bytes in 2.36).
pub fn words() -> impl Iterator<Item = usize> {
    const WORDS: usize = 256;
    let first = pointer() as *const usize;
    // SAFETY: the descriptor is longer, and lives as long as its thread.
    (0..WORDS).map(move |at| unsafe { first.add(at).read_volatile() })
}
