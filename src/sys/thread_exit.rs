//! Learning of a thread's end: by the destructor of a pthread key, which runs after those of C++
//! and Rust thread-local variables. No `thread_local!` with a destructor: registering one
//! allocates.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use super::errno;

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
