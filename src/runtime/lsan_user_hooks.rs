//! Functions of the program's own that LeakSanitizer's users know: what they return counts here,
//! too.

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::stack::modules;
use crate::sys::process;

/// A function that the program may have.
struct Hook {
    name: &'static CStr,
    address: AtomicUsize,
}

static OPTIONS: Hook = hook(c"__lsan_default_options");
static SUPPRESSIONS: Hook = hook(c"__lsan_default_suppressions");
static IS_TURNED_OFF: Hook = hook(c"__lsan_is_turned_off");

const fn hook(name: &'static CStr) -> Hook {
    Hook { name, address: AtomicUsize::new(0) }
}

/// Finds out which there are, of those that are exported. The loader's lock is free or ours: it may
/// not be at exit.
pub(super) fn find() {
    for hook in [&OPTIONS, &SUPPRESSIONS, &IS_TURNED_OFF] {
        hook.address.store(process::find_symbol(hook.name), Ordering::Relaxed);
    }
}

impl Hook {
    /// Its address; where it is not exported (the linker was not told to), as the program's file
    /// has it.
    fn find_in_program(&self) -> Option<usize> {
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return Some(known);
        }
        let program = std::env::current_exe().ok()?;
        modules::find_function(program.to_str()?, self.name.to_str().ok()?)
    }

    fn text(address: usize) -> Option<&'static CStr> {
        // SAFETY: the function of that name has this form (sanitizer/lsan_interface.h).
        let text =
            unsafe { core::mem::transmute::<usize, extern "C" fn() -> *const c_char>(address)() };
        // SAFETY: null, or a C string that stays.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
    }
}

/// The options that the program asks for, if it exports that function.
pub(super) fn default_options() -> Option<&'static CStr> {
    Some(OPTIONS.address.load(Ordering::Relaxed))
        .filter(|&address| address != 0)
        .and_then(Hook::text)
}

/// Its rules for leaks, and the function's name.
pub(super) fn default_suppressions() -> Option<(&'static CStr, &'static CStr)> {
    let text = SUPPRESSIONS.find_in_program().and_then(Hook::text)?;
    Some((text, SUPPRESSIONS.name))
}

/// Does it want no leak check?
pub(super) fn is_turned_off() -> bool {
    IS_TURNED_OFF.find_in_program().is_some_and(|address| {
        // SAFETY: the function of that name has this form (sanitizer/lsan_interface.h).
        unsafe { core::mem::transmute::<usize, extern "C" fn() -> c_int>(address)() != 0 }
    })
}
