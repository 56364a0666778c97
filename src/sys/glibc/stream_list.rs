//! libc's lock of the list of open streams. fork(3) takes it before malloc's own locks:
//! `fflush(NULL)` holds it while it waits for a stream, whose reader may be waiting for malloc
//! (glibc's bug 19431).

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::process;

/// glibc's functions of a lock that one thread may take several times (2.2.5); 0: there is none.
static LOCK: AtomicUsize = AtomicUsize::new(0);
static UNLOCK: AtomicUsize = AtomicUsize::new(0);
static RESET: AtomicUsize = AtomicUsize::new(0);

/// Looks the functions up. Calls dlsym(3).
pub fn find() {
    let names = [c"_IO_list_lock", c"_IO_list_unlock", c"_IO_list_resetlock"];
    let [lock, unlock, reset] = names.map(process::find_symbol);
    // All of them, or none.
    if [lock, unlock, reset].iter().all(|&function| function != 0) {
        UNLOCK.store(unlock, Ordering::Relaxed);
        RESET.store(reset, Ordering::Relaxed);
        LOCK.store(lock, Ordering::Release);
    }
}

/// # Safety
/// A function of glibc's for that lock was stored there, or 0.
unsafe fn call(function: &AtomicUsize) -> bool {
    let address = function.load(Ordering::Acquire);
    if address == 0 {
        return false;
    }
    // SAFETY: glibc's three functions take nothing and return nothing.
    unsafe { core::mem::transmute::<usize, unsafe extern "C" fn()>(address)() };
    true
}

/// Waits for the lock, which the calling thread may have already. `false`: it is not known.
pub fn lock() -> bool {
    // SAFETY: `find` stores only what has that name.
    unsafe { call(&LOCK) }
}

/// Gives it back once.
///
/// # Safety
/// The calling thread has called [`lock`] once more than this.
pub unsafe fn unlock() {
    // SAFETY: `find` stores only what has that name; the lock is the caller's.
    unsafe { call(&UNLOCK) };
}

/// Makes it free.
///
/// # Safety
/// The process is a forked child with one thread.
pub unsafe fn reset() {
    // SAFETY: `find` stores only what has that name; nobody else can hold the lock.
    unsafe { call(&RESET) };
}
