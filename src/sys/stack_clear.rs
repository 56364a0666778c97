//! The part of the calling thread's stack that is not in use: what earlier calls, and earlier
//! threads on the same stack, have left there.

use super::memory;
use super::thread::ToolWork;
use crate::arch;
use crate::heap::size::{PAGE, WORD, round_down};

/// Bytes that are cleared: as deep as most calls go.
const DEPTH: usize = 128 << 10;
/// Below its stack pointer a function may use so many bytes (System V ABI, AMD64 supplement,
/// 3.2.2).
const RED_ZONE: usize = 128;

/// Lowest address of the stack that libc has given the calling thread; `None`: it runs on another
/// one, below which anything may be.
fn lowest(sp: usize) -> Option<usize> {
    let _work = ToolWork::begin();
    let mut attributes = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: pthread_getattr_np(3) fills the attributes where it returns 0, which are given back.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    let start = start as usize;
    (start < sp && sp < start + size).then_some(start)
}

/// Bytes below the caller's frame that may be cleared there by [`arch::wipe_below`], from calls at
/// the same depth.
pub fn room() -> usize {
    let here = 0u8;
    let sp = round_down(core::ptr::from_ref(&here) as usize, WORD);
    let Some(lowest) = lowest(sp) else { return 0 };
    // Only what is there: the first thread's stack grows by itself, but not by so much at once on
    // every kernel (before Linux 5.0), nor past a limit.
    let mut start = round_down(sp, PAGE);
    while sp - start < DEPTH && start - PAGE > lowest && memory::is_readable(start - PAGE, start) {
        start -= PAGE;
    }
    // The frames of this call, and of others that look, are below the caller's.
    (sp - start).saturating_sub(PAGE)
}

/// Clears it: frames to come find nothing there that looks like a pointer.
#[inline(never)]
pub fn clear() {
    let sp = arch::pointer_to_stack();
    let Some(lowest) = lowest(sp) else { return };
    let end = round_down(sp - RED_ZONE, WORD);
    let mut start = end;
    while end - start < DEPTH {
        let page = round_down(start - 1, PAGE);
        if page < lowest || !memory::is_readable(page, page + PAGE) {
            break;
        }
        start = page;
    }
    // SAFETY: mapped memory below this function's frame, in which nothing lives; no call is made
    // meanwhile, and a handler that comes in is gone again before the next store.
    unsafe { arch::fill_words(start, (end - start) / WORD) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn leave(mark: u64) -> usize {
        let words = core::hint::black_box([mark; 64]);
        core::ptr::from_ref(&words) as usize
    }

    #[test]
    fn what_calls_have_left_is_gone() {
        let place = leave(0x6d61_726b);
        clear();
        // SAFETY: memory of this thread's stack, whatever is in it.
        let word = unsafe { (place as *const u64).read_volatile() };
        assert_ne!(word, 0x6d61_726b);
    }
}
