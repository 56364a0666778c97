//! The end of a thread, and the threads that have ended: libc keeps their stacks for the next, with
//! whatever lies on them.
//!
//! The end is told by the destructor of a pthread key, which runs after those of C++
//! and Rust thread-local variables. No `thread_local!` with a destructor: registering one
//! allocates.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{errno, thread};

/// The key plus one; 0: none.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Has `at_end` called by each thread that ends after it was [`watch`]ed. Once for the process.
pub fn register(at_end: extern "C" fn(*mut c_void)) {
    let mut key = 0;
    let destructor: unsafe extern "C" fn(*mut c_void) = at_end;
    // SAFETY: `key` is ours to write; the destructor lives as long as the library.
    if errno::preserve(|| unsafe { libc::pthread_key_create(&raw mut key, Some(destructor)) }) == 0
    {
        KEY.store(key + 1, Ordering::Release);
    }
}

/// Watches for the calling thread's end. The first 32 keys of a process have room in the thread's
/// own descriptor; for a later one libc may allocate.
pub fn watch() {
    if let Some(key) = KEY.load(Ordering::Acquire).checked_sub(1) {
        let any = core::ptr::NonNull::<c_void>::dangling().as_ptr();
        // SAFETY: our own key; the value is only ever compared with null.
        errno::preserve(|| unsafe { libc::pthread_setspecific(key, any) });
    }
}

/// What [`thread::pointer`] was in the last ones.
static DESCRIPTORS: [AtomicUsize; 1 << 10] = [const { AtomicUsize::new(0) }; 1 << 10];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Notes that the calling thread ends.
pub fn note() {
    let at = COUNT.fetch_add(1, Ordering::Relaxed) % DESCRIPTORS.len();
    if let Some(slot) = DESCRIPTORS.get(at) {
        slot.store(thread::pointer(), Ordering::Relaxed);
    }
}

/// The descriptors of the last 1024 that have ended. Another thread may have the same by now.
pub fn descriptors() -> impl Iterator<Item = usize> {
    DESCRIPTORS.iter().map(|slot| slot.load(Ordering::Relaxed)).take_while(|&pointer| pointer != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there() {
        note();
        assert!(descriptors().any(|descriptor| descriptor == thread::pointer()));
    }
}
