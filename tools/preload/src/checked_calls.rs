//! Functions for libmallocop_checked.so. They are private to the two libraries, which are built
//! together.

use mallocop::model::access::Call;
use mallocop::runtime::checked_call;

use crate::memory_functions;

/// Takes the address range of that library, and libc's functions for
/// [`memory_functions`](crate::memory_functions).
///
/// # Safety
/// `found` has libc's functions in the order of that module, or 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn mallocop_private_begin(start: usize, end: usize, found: &[usize; 6]) {
    checked_call::add_own(start, end);
    // SAFETY: `found` has libc's functions, by the caller's promise.
    unsafe { memory_functions::take(found) };
}

#[unsafe(no_mangle)]
extern "C" fn mallocop_private_room(address: usize) -> usize {
    checked_call::room(address)
}

#[unsafe(no_mangle)]
extern "C" fn mallocop_private_tell(call: u32, is_write: bool, start: usize, bytes: usize) {
    if let Some(call) = Call::from_number(call) {
        checked_call::tell(call, is_write, start, bytes);
    }
}

#[unsafe(no_mangle)]
extern "C" fn mallocop_private_tell_overlap(call: u32, to: usize, from: usize, bytes: usize) {
    if let Some(call) = Call::from_number(call) {
        checked_call::tell_overlap(call, to, from, bytes);
    }
}
