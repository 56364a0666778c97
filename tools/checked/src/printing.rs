//! snprintf(3) and the like, whose output is checked after the call.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};

use mallocop::sys::errno;

use crate::check::{Access, Call, check};
use crate::input::found_out;
use crate::original::originals;

type Out = *mut c_char;
type Format = *const c_char;
type WideOut = *mut u32;
type WideFormat = *const u32;
/// A `va_list` argument, which is passed by address (System V ABI, AMD64 supplement, 3.5.7).
type List = *mut c_void;

originals! {
    vsprintf: (Out, Format, List) -> c_int;
    vsnprintf: (Out, usize, Format, List) -> c_int;
    __vsprintf_chk: (Out, c_int, usize, Format, List) -> c_int;
    __vsnprintf_chk: (Out, usize, c_int, usize, Format, List) -> c_int;
    vswprintf: (WideOut, usize, WideFormat, List) -> c_int;
    __vswprintf_chk: (WideOut, usize, c_int, usize, WideFormat, List) -> c_int;
}

/// Checks the output: `result` bytes and a NUL, at most `most` bytes.
fn check_written(call: Call, to: usize, most: usize, result: c_int) {
    if let Ok(length) = usize::try_from(result) {
        errno::preserve(|| check(call, Access::Write, to, (length + 1).min(most)));
    }
}

/// The same for wide characters. Output that does not fit makes these calls fail.
fn check_written_wide(call: Call, to: WideOut, result: c_int) {
    if let Ok(length) = usize::try_from(result) {
        errno::preserve(|| check(call, Access::Write, to as usize, 4 * (length + 1)));
    }
}

found_out! {
    vsprintf(to: Out, format: Format, list: List) -> c_int,
        |got| check_written(Call::Sprintf, to as usize, usize::MAX, got);
    vsnprintf(to: Out, bytes: usize, format: Format, list: List) -> c_int,
        |got| check_written(Call::Snprintf, to as usize, bytes, got);
    __vsprintf_chk(to: Out, flag: c_int, most: usize, format: Format, list: List) -> c_int,
        |got| check_written(Call::Sprintf, to as usize, usize::MAX, got);
    __vsnprintf_chk(
        to: Out, bytes: usize, flag: c_int, most: usize, format: Format, list: List
    ) -> c_int, |got| check_written(Call::Snprintf, to as usize, bytes, got);
    vswprintf(to: WideOut, count: usize, format: WideFormat, list: List) -> c_int,
        |got| check_written_wide(Call::Swprintf, to, got);
    __vswprintf_chk(
        to: WideOut, count: usize, flag: c_int, most: usize, format: WideFormat, list: List
    ) -> c_int, |got| check_written_wide(Call::Swprintf, to, got);
}

/// Defines variadic functions, which stable Rust cannot: `symbol => function with a va_list, the
/// register of that argument, bytes of the named arguments' registers;`. Each saves the registers
/// that may hold arguments, makes a `va_list` of them and calls the function.
macro_rules! variadic {
    ($($symbol:ident => $with_list:ident, $register:literal, $named:literal;)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C-unwind" fn $symbol() {
            naked_asm!(
                ".cfi_startproc",
                "sub rsp, 0xd8",
                ".cfi_adjust_cfa_offset 0xd8",
                "mov [rsp + 0x20], rdi",
                "mov [rsp + 0x28], rsi",
                "mov [rsp + 0x30], rdx",
                "mov [rsp + 0x38], rcx",
                "mov [rsp + 0x40], r8",
                "mov [rsp + 0x48], r9",
                "test al, al",
                "je 2f",
                "movaps [rsp + 0x50], xmm0",
                "movaps [rsp + 0x60], xmm1",
                "movaps [rsp + 0x70], xmm2",
                "movaps [rsp + 0x80], xmm3",
                "movaps [rsp + 0x90], xmm4",
                "movaps [rsp + 0xa0], xmm5",
                "movaps [rsp + 0xb0], xmm6",
                "movaps [rsp + 0xc0], xmm7",
                "2:",
                concat!("mov dword ptr [rsp], ", $named),
                "mov dword ptr [rsp + 4], 48",
                "lea rax, [rsp + 0xe0]",
                "mov [rsp + 8], rax",
                "lea rax, [rsp + 0x20]",
                "mov [rsp + 0x10], rax",
                concat!("mov ", $register, ", rsp"),
                "call {with_list}",
                "add rsp, 0xd8",
                ".cfi_adjust_cfa_offset -0xd8",
                "ret",
                ".cfi_endproc",
                with_list = sym $with_list,
            )
        }
    )*};
}

variadic! {
    sprintf => vsprintf, "rdx", 16;
    snprintf => vsnprintf, "rcx", 24;
    __sprintf_chk => __vsprintf_chk, "r8", 32;
    __snprintf_chk => __vsnprintf_chk, "r9", 40;
    swprintf => vswprintf, "rcx", 24;
    __swprintf_chk => __vswprintf_chk, "r9", 40;
}
