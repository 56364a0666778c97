//! The sanitizers' symbols, for fuzzers that look for them: weak, so that those of a real
//! sanitizer's runtime, or of libFuzzer built with one, come first. Where libmallocop.so is
//! preloaded, too, its functions are the ones: it has the heap.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::shared_heap;
use crate::sys::process;

/// The function behind a symbol, found out at its first call.
fn find(known: &AtomicUsize, name: &CStr, own: *const c_void) -> usize {
    let found = match process::find_symbol(shared_heap::SYMBOL) {
        0 => 0,
        _ => process::find_next_symbol(name),
    };
    let found = if found == 0 { own as usize } else { found };
    known.store(found, Ordering::Release);
    found
}

const fn name(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"",
    }
}

macro_rules! define {
    ($($symbol:ident => $function:path;)*) => {
        $(
            #[allow(non_snake_case, reason = "as the symbol")]
            mod $symbol {
                use super::{AtomicUsize, c_void, find, name};

                static FUNCTION: AtomicUsize = AtomicUsize::new(0);

                extern "C" fn look_up() -> usize {
                    let name = const { name(concat!(stringify!($symbol), "\0")) };
                    find(&FUNCTION, name, $function as *const c_void)
                }

                $crate::weak_forward!($symbol, FUNCTION, look_up);
            }
        )*
    };
}

crate::for_each_sanitizer_symbol!(define);

/// Has the linker take all of it: for weak references alone it would not.
pub(crate) fn keep() {
    unsafe extern "C" {
        fn __sanitizer_install_malloc_and_free_hooks();
    }
    core::hint::black_box(__sanitizer_install_malloc_and_free_hooks as *const ());
}
