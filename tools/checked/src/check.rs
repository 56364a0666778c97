//! Asks libmallocop.so about addresses, by its private functions.

use core::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use mallocop::model::access::Call;
use mallocop::sys::process;

/// Room at an address that is near no block.
pub(crate) const UNKNOWN: usize = usize::MAX;

/// Kind of an access.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A read.
    Read,
    /// A write.
    Write,
}

type Room = unsafe extern "C" fn(usize) -> usize;
type Tell = unsafe extern "C-unwind" fn(u32, bool, usize, usize);
type TellOverlap = unsafe extern "C-unwind" fn(u32, usize, usize, usize);
type Begin = unsafe extern "C" fn(usize, usize, &[usize; 6]);

static ROOM: AtomicUsize = AtomicUsize::new(0);
static TELL: AtomicUsize = AtomicUsize::new(0);
static TELL_OVERLAP: AtomicUsize = AtomicUsize::new(0);

/// Looks up libmallocop.so's functions; without them nothing is checked. Passes it the address
/// range of this library and the functions of libc's that it calls itself.
pub(crate) fn prepare(start: usize, end: usize, found: &[usize; 6]) {
    let names = [
        c"mallocop_private_begin",
        c"mallocop_private_tell",
        c"mallocop_private_tell_overlap",
        c"mallocop_private_room",
    ];
    let [begin, tell, tell_overlap, room] = names.map(process::find_symbol);
    if begin == 0 || tell == 0 || tell_overlap == 0 {
        return;
    }
    TELL.store(tell, Ordering::Relaxed);
    TELL_OVERLAP.store(tell_overlap, Ordering::Relaxed);
    // SAFETY: libmallocop.so's function of that type (tools/preload/src/checked_calls.rs).
    unsafe { core::mem::transmute::<usize, Begin>(begin)(start, end, found) };
    ROOM.store(room, Ordering::Release);
}

/// Bytes that the program may access at an address: up to the end of its live block, 0 in a freed
/// block or right beside a block, [`UNKNOWN`] elsewhere.
#[inline(always)]
pub(crate) fn room(at: usize) -> usize {
    match ROOM.load(Ordering::Acquire) {
        0 => UNKNOWN,
        // SAFETY: libmallocop.so's function of that type, which takes any address.
        room => unsafe { core::mem::transmute::<usize, Room>(room)(at) },
    }
}

/// Reports an access that goes beyond its block.
#[cold]
#[inline(never)]
pub(crate) fn tell(call: Call, access: Access, at: usize, bytes: usize) {
    // SAFETY: libmallocop.so's function of that type, which takes any address.
    unsafe {
        core::mem::transmute::<usize, Tell>(TELL.load(Ordering::Relaxed))(
            call as u32,
            access == Access::Write,
            at,
            bytes,
        );
    }
}

/// Checks that an access stays inside its block.
#[inline(always)]
pub(crate) fn check(call: Call, access: Access, at: usize, bytes: usize) {
    if bytes != 0 && bytes > room(at) {
        tell(call, access, at, bytes);
    }
}

/// Checks that source and destination do not overlap.
#[inline(always)]
pub(crate) fn check_overlap(call: Call, to: usize, from: usize, bytes: usize) {
    if to.abs_diff(from) < bytes && to != from {
        tell_overlap(call, to, from, bytes);
    }
}

#[cold]
#[inline(never)]
fn tell_overlap(call: Call, to: usize, from: usize, bytes: usize) {
    if ROOM.load(Ordering::Acquire) != 0 {
        let tell = TELL_OVERLAP.load(Ordering::Relaxed);
        // SAFETY: libmallocop.so's function of that type, which takes any addresses.
        unsafe { core::mem::transmute::<usize, TellOverlap>(tell)(call as u32, to, from, bytes) };
    }
}
