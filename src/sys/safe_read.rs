//! Reads of memory that may not be there. A word is read by one instruction whose address is known;
//! while a
//! [`FaultGuard`] is spread, a fault at that instruction is an answer instead of the end of the
//! program.
//!
//! Guard regions (madvise(2), MADV_GUARD_INSTALL), memory behind a protection key (pkeys(7)) and
//! files that have become shorter fault although the list of mappings says that they can be read.

use crate::sys::glibc::thread_descriptor;
use core::ffi::{c_int, c_void};
use core::ops::ControlFlow;

use super::lock::Lock;
use super::process;
use super::signal::{self, Action, bit};
use crate::arch;
use crate::heap::size::WORD;
use crate::sys::raw_syscall;

/// Words that are looked for: those that, with `mask` applied, lie in `[lowest, lowest + span)`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Bits of a word that count.
    pub mask: usize,
    /// The smallest value that is looked for.
    pub lowest: usize,
    /// Number of values that are.
    pub span: usize,
}

/// What a search came upon first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// The word at this address is in the window.
    Found {
        /// Where it stands.
        at: usize,
        /// The word.
        word: usize,
    },
    /// None is.
    End,
    /// The word at this address cannot be read.
    Fault(usize),
}

/// Looks for the first word of `[at, end)`, both multiples of 8, that is in the window. Other
/// threads may write to the memory meanwhile: each word is read once.
#[inline]
pub fn find_word(_net: &FaultGuard, at: usize, end: usize, window: Window) -> ReadStep {
    let Window { mask, lowest, span } = window;
    // SAFETY: reads aligned words of the range and nothing else; a load that faults is caught by
    // the guard.
    let answer = unsafe { arch::find_word(at, end, lowest, span, mask) };
    match answer.at {
        fault if fault % WORD != 0 => ReadStep::Fault(fault - 1),
        found if found < end => ReadStep::Found { at: found, word: answer.word },
        _ => ReadStep::End,
    }
}

/// The word at `at`, a multiple of 8. `None`: it cannot be read.
#[inline]
pub fn read_word(net: &FaultGuard, at: usize) -> Option<usize> {
    // Every word but the highest is in this window.
    let all = Window { mask: usize::MAX, lowest: 0, span: usize::MAX };
    match find_word(net, at, at + WORD, all) {
        ReadStep::Found { word, .. } => Some(word),
        ReadStep::End => Some(usize::MAX),
        ReadStep::Fault(_) => None,
    }
}

/// Signals of a read that fails.
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// How many guards are spread, and what the signals did before the first.
struct Spread {
    count: usize,
    before: [Option<Action>; SIGNALS.len()],
}

static SPREAD: Lock<Spread> = Lock::new(Spread { count: 0, before: [None; SIGNALS.len()] });

/// While one lives, a fault of [`find_word`] on any thread is an answer. Faults elsewhere go where
/// they went before.
pub struct FaultGuard {
    /// Signals that the thread had blocked.
    mask: u64,
}

impl FaultGuard {
    /// Spreads it: the calling thread takes these signals until the guard is gone. To be used on
    /// that thread.
    #[must_use]
    pub fn spread() -> Self {
        let mut spread = SPREAD.lock();
        spread.count += 1;
        if spread.count == 1 {
            // On the thread's own stack: that for signals may be in use, where the kernel does not
            // know of it.
            let ours = Action::handled_by(on_fault, 0);
            spread.before = SIGNALS.map(|signal| signal::set_action(signal, &ours));
        }
        drop(spread);
        Self { mask: signal::unblock(bit(libc::SIGSEGV) | bit(libc::SIGBUS)) }
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        signal::set_mask(self.mask);
        let mut spread = SPREAD.lock();
        spread.count -= 1;
        if spread.count == 0 {
            let before = core::mem::replace(&mut spread.before, [None; SIGNALS.len()]);
            SIGNALS.into_iter().zip(before).for_each(|(signal, before)| put_back(signal, before));
        }
    }
}

/// In a forked child, where nobody reads.
pub fn renew_after_fork() {
    SPREAD.renew();
    let mut spread = SPREAD.lock();
    if core::mem::take(&mut spread.count) != 0 {
        let before = core::mem::replace(&mut spread.before, [None; SIGNALS.len()]);
        SIGNALS.into_iter().zip(before).for_each(|(signal, before)| put_back(signal, before));
    }
}

/// Gives a signal back, unless the program has set it meanwhile.
fn put_back(signal: c_int, before: Option<Action>) {
    if let Some(before) = before
        && let Some(now) = signal::set_action(signal, &before)
        && now.handler != on_fault as *const () as usize
    {
        signal::set_action(signal, &now);
    }
}

/// # Safety
/// The kernel calls it, as a handler with SA_SIGINFO.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's context for a handler with SA_SIGINFO, which has the register there.
    let pc = unsafe { &mut *context.cast::<u8>().add(arch::SIGNAL_PC).cast::<usize>() };
    // SAFETY: the kernel's information on the signal.
    let is_raised = unsafe { (*info).si_code } > 0;
    if is_raised && arch::is_word_load(*pc) {
        *pc = arch::word_fault();
        return;
    }
    // SAFETY: the kernel's information on the signal.
    unsafe { pass_on(signal, info) };
}

/// A fault that is none of ours: once the disposition is what it was, the instruction faults again.
///
/// # Safety
/// `info` is the kernel's for this signal.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t) {
    // The lock's holder may be the thread that was interrupted.
    if let Some(mut spread) = SPREAD.try_lock() {
        let known = SIGNALS.iter().position(|&known| known == signal);
        let before = known.and_then(|at| spread.before.get_mut(at)).and_then(Option::take);
        signal::set_action(signal, &before.unwrap_or(Action::DEFAULT));
    } else {
        signal::set_action(signal, &Action::DEFAULT);
    }
    // SAFETY: the caller of this function promises the same.
    let is_sent = unsafe { (*info).si_code } <= 0;
    if is_sent {
        let thread = [process::id() as usize, thread_descriptor::current_tid() as usize];
        let [process, thread] = thread;
        // SAFETY: rt_tgsigqueueinfo(2) reads the information, which was made by a process and may
        // be sent again.
        unsafe {
            let arguments = [process, thread, signal as usize, info as usize];
            raw_syscall::call(libc::SYS_rt_tgsigqueueinfo, arguments);
        }
    }
}

/// Calls `each` with the words of `[start, end)` that are in the window and where they stand, until
/// it breaks. `Err`: the address of the first word that cannot be read.
#[inline]
pub fn for_each_word<B>(
    net: &FaultGuard,
    start: usize,
    end: usize,
    window: Window,
    mut each: impl FnMut(usize, usize) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, usize> {
    let mut at = start;
    loop {
        match find_word(net, at, end, window) {
            ReadStep::Found { at: found, word } => {
                if let ControlFlow::Break(value) = each(found, word) {
                    return Ok(ControlFlow::Break(value));
                }
                at = found + WORD;
            }
            ReadStep::End => return Ok(ControlFlow::Continue(())),
            ReadStep::Fault(at) => return Err(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory;
    use super::*;
    use crate::heap::size::PAGE;

    #[test]
    fn words_are_found_and_what_cannot_be_read_is_an_answer() {
        let start = memory::reserve(3 * PAGE).expect("address space");
        // SAFETY: the first page of what was reserved just now.
        assert!(unsafe { memory::commit(start, PAGE) });
        for (offset, word) in [(0, 5usize), (64, 0x1234_5678), (PAGE - 8, usize::MAX)] {
            // SAFETY: inside the page.
            unsafe { ((start + offset) as *mut usize).write(word) };
        }
        let net = FaultGuard::spread();
        let window = Window { mask: usize::MAX >> 16, lowest: 0x1234_0000, span: 0x1_0000 };
        let end = start + 2 * PAGE;
        let found = ReadStep::Found { at: start + 64, word: 0x1234_5678 };
        assert_eq!(find_word(&net, start, end, window), found);
        assert_eq!(find_word(&net, start + 72, start + PAGE, window), ReadStep::End);
        assert_eq!(find_word(&net, start + 72, end, window), ReadStep::Fault(start + PAGE));
        assert_eq!(find_word(&net, start, start, window), ReadStep::End);
        assert_eq!(read_word(&net, start), Some(5));
        assert_eq!(read_word(&net, start + PAGE - 8), Some(usize::MAX));
        assert_eq!(read_word(&net, start + PAGE), None);
        drop(net);
        // SAFETY: reserved above, and not used any more.
        unsafe { memory::unmap(start, 3 * PAGE) };
    }
}
