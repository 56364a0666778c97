//! What a Rust program can say itself to the mallocop that watches it: the safe face of the
//! interface that include/mallocop.h has for C.
//!
//! All of it does nothing where libmallocop.so is not preloaded. May be called from any thread, not
//! from signal handlers; nothing here panics.
//!
//! ```
//! let cache: &'static str = {
//!     let _ignored = mallocop::program::ignore_leaks();
//!     Box::leak(String::from("as long as the program").into_boxed_str())
//! };
//! assert_eq!(cache.len(), 22);
//! assert!(!mallocop::program::find_leaks());
//! ```

use core::ffi::{CStr, c_int, c_void};
use core::marker::PhantomData;
use std::sync::OnceLock;

use crate::sys::process;

/// A function of the library's, looked up once.
struct Symbol {
    name: &'static CStr,
    address: OnceLock<usize>,
}

impl Symbol {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: OnceLock::new() }
    }

    /// Its address; `None`: the library is not there.
    fn find(&self) -> Option<usize> {
        let address = *self.address.get_or_init(|| process::find_symbol(self.name));
        (address != 0).then_some(address)
    }

    /// Calls it, if it has no arguments and returns an `int`; else 0.
    fn call(&self) -> c_int {
        self.find().map_or(0, |address| {
            // SAFETY: callers name functions of that form alone.
            unsafe { core::mem::transmute::<usize, extern "C" fn() -> c_int>(address)() }
        })
    }

    /// Calls it, if it takes an address, or nothing, and returns nothing.
    fn call_with(&self, pointer: *const c_void) {
        if let Some(address) = self.find() {
            // SAFETY: callers name functions of that form alone.
            unsafe {
                core::mem::transmute::<usize, extern "C" fn(*const c_void)>(address)(pointer);
            }
        }
    }

    /// Calls it, if it takes an address and a number of bytes and returns nothing.
    fn call_with_range(&self, range: &[u8]) {
        if let Some(address) = self.find() {
            // SAFETY: callers name functions of that form alone.
            unsafe {
                core::mem::transmute::<usize, extern "C" fn(*const c_void, usize)>(address)(
                    range.as_ptr().cast(),
                    range.len(),
                );
            }
        }
    }
}

/// Verifies every live block and every freed one that waits; what is damaged is reported. Returns
/// how many blocks are.
pub fn verify() -> usize {
    static CHECK: Symbol = Symbol::new(c"mallocop_check");
    usize::try_from(CHECK.call()).unwrap_or(0)
}

/// Looks for leaks now and reports them. Are there any? At exit they are reported again.
pub fn find_leaks() -> bool {
    static FIND: Symbol = Symbol::new(c"__lsan_do_recoverable_leak_check");
    FIND.call() != 0
}

/// What the thread allocates while this lives is never reported as a leak. They nest.
#[must_use]
pub struct IgnoreLeaks(PhantomData<*const ()>);

/// Starts that.
pub fn ignore_leaks() -> IgnoreLeaks {
    static DISABLE: Symbol = Symbol::new(c"__lsan_disable");
    DISABLE.call_with(core::ptr::null());
    IgnoreLeaks(PhantomData)
}

impl Drop for IgnoreLeaks {
    fn drop(&mut self) {
        static ENABLE: Symbol = Symbol::new(c"__lsan_enable");
        ENABLE.call_with(core::ptr::null());
    }
}

/// The block that a value is in, and all that only it leads to, is never reported as a leak.
pub fn ignore_leak<T: ?Sized>(value: &T) {
    static IGNORE: Symbol = Symbol::new(c"__lsan_ignore_object");
    IGNORE.call_with(core::ptr::from_ref(value).cast());
}

/// While this lives, pointers in the bytes that it was made for keep blocks, wherever they are.
#[must_use]
pub struct Root<'a>(&'a [u8]);

/// Names such bytes; at most 4096 such ranges at a time.
pub fn root(bytes: &[u8]) -> Root<'_> {
    static ADD: Symbol = Symbol::new(c"__lsan_register_root_region");
    ADD.call_with_range(bytes);
    Root(bytes)
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        static REMOVE: Symbol = Symbol::new(c"__lsan_unregister_root_region");
        REMOVE.call_with_range(self.0);
    }
}
