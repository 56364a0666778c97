//! The unwinder's functions that Rust's standard library refers to, without needing libgcc_s.so.1:
//! a program that has not loaded it has no use for it, and one that unwinds through our operator
//! new has.
//!
//! Each is a hidden symbol that goes on, arguments untouched, to the program's own function of that
//! name, looked up when it is first called. Where there is none nothing can be unwound: the process
//! is aborted. libmallocop_checked.so is built with this file, too.

use core::arch::global_asm;
use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};

use mallocop::sys::process;

use crate::program_symbols::look_up;

macro_rules! forwards {
    ($($name:literal = $symbol:ident;)*) => {
        $(
            extern "C" fn $symbol() -> *mut c_void {
                static REAL: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
                find(&REAL, const { name(concat!($name, "\0")) })
            }

            global_asm!(
                concat!(".globl ", $name),
                concat!(".hidden ", $name),
                concat!(".type ", $name, ", @function"),
                concat!($name, ":"),
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "call {find}",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "jmp rax",
                concat!(".size ", $name, ", . - ", $name),
                find = sym $symbol,
            );
        )*
    };
}

forwards! {
    "_Unwind_Backtrace" = find_backtrace;
    "_Unwind_GetDataRelBase" = find_get_data_base;
    "_Unwind_GetIP" = find_get_ip;
    "_Unwind_GetIPInfo" = find_get_ip_info;
    "_Unwind_GetLanguageSpecificData" = find_get_language_data;
    "_Unwind_GetRegionStart" = find_get_region_start;
    "_Unwind_GetTextRelBase" = find_get_text_base;
    "_Unwind_RaiseException" = find_raise_exception;
    "_Unwind_Resume" = find_resume;
    "_Unwind_SetGR" = find_set_register;
    "_Unwind_SetIP" = find_set_ip;
}

const fn name(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"",
    }
}

fn find(real: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = real.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let found = look_up(name);
    if found.is_null() {
        process::abort();
    }
    real.store(found, Ordering::Release);
    found
}
