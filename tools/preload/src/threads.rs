//! The calls that start threads: each thread gets a stack for our signal handlers before its first
//! own instruction. The thread's stack, and that of the call, are as without us.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};

use mallocop::sys::{process, thread_start};

use crate::real::Real;

static PTHREAD_CREATE: Real = Real::new(c"pthread_create");
static THRD_CREATE: Real = Real::new(c"thrd_create");

/// Looks libc's functions up.
pub(crate) fn find() {
    PTHREAD_CREATE.find();
    THRD_CREATE.find();
}

/// libc's function.
extern "C" fn find_real(real: &Real) -> usize {
    match real.find() {
        0 => process::abort(),
        address => address,
    }
}

/// Puts our start in front of a thread's: what libc is to call, and with which argument.
#[repr(C)]
struct Start {
    function: usize,
    argument: usize,
}

extern "C" fn wrap(function: usize, argument: usize) -> Start {
    match thread_start::note(function, argument) {
        Some(noted) => Start { function: begin as *const () as usize, argument: noted },
        None => Start { function, argument },
    }
}

extern "C" fn prepare(noted: usize) -> Start {
    let (function, argument) = thread_start::begin(noted);
    Start { function, argument }
}

/// The function that libc calls in the new thread: goes on to the thread's own.
#[unsafe(naked)]
unsafe extern "C" fn begin(_noted: *mut c_void) -> *mut c_void {
    naked_asm!(
        "sub rsp, 8",
        "call {prepare}",
        "add rsp, 8",
        "mov rdi, rdx",
        "jmp rax",
        prepare = sym prepare,
    )
}

/// Keeps the arguments in the registers named, in which the function and its argument are two, and
/// goes on to libc's function.
macro_rules! creates {
    ($($symbol:ident => $real:ident, $function:literal, $argument:literal;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $symbol() -> c_int {
                naked_asm!(
                    "push rdi", "push rsi", "push rdx", "push rcx", "push rcx",
                    concat!("mov rdi, ", $function),
                    concat!("mov rsi, ", $argument),
                    "call {wrap}",
                    // Where the four were kept: function and argument take the place of theirs.
                    "pop rcx", "pop rcx",
                    "mov r8, rdx",
                    "pop rdx", "pop rsi", "pop rdi",
                    concat!("mov ", $argument, ", r8"),
                    concat!("mov ", $function, ", rax"),
                    "push rdi", "push rsi", "push rdx", "push rcx", "push rcx",
                    "lea rdi, [rip + {real}]",
                    "call {find}",
                    "pop rcx", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
                    "jmp rax",
                    wrap = sym wrap,
                    find = sym find_real,
                    real = sym $real,
                )
            }
        )*
    };
}

creates! {
    // pthread_create(thread, attributes, function, argument); thrd_create(thread, function,
    // argument).
    pthread_create => PTHREAD_CREATE, "rdx", "rcx";
    thrd_create => THRD_CREATE, "rsi", "rdx";
}
