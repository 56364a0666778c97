//! The calls by which programs install filters for system calls: noted, and passed on to libc.
//!
//! Those with instructions of their own for that are not seen.

use core::arch::naked_asm;
use core::ffi::c_long;
use core::sync::atomic::{AtomicUsize, Ordering};

use mallocop::runtime::fault;
use mallocop::stack::modules;
use mallocop::sys::{alt_stack, process, seccomp};

static PRCTL: AtomicUsize = AtomicUsize::new(0);
static SYSCALL: AtomicUsize = AtomicUsize::new(0);

/// Finds libc's functions.
pub(crate) fn find() {
    PRCTL.store(process::find_next_symbol(c"prctl"), Ordering::Release);
    SYSCALL.store(process::find_next_symbol(c"syscall"), Ordering::Release);
}

/// A filter is about to be installed: what is needed later is found out now. Returns where to go
/// on.
extern "C" fn note_filter(real: &AtomicUsize) -> usize {
    if !seccomp::is_installed() {
        process::keep_id();
        alt_stack::run(modules::remember);
        fault::keep_to_faults();
        seccomp::note();
    }
    find_real(real)
}

/// libc's function, looked up if this is called before our constructor.
extern "C" fn find_real(real: &AtomicUsize) -> usize {
    if real.load(Ordering::Acquire) == 0 {
        find();
    }
    match real.load(Ordering::Acquire) {
        0 => process::abort(),
        address => address,
    }
}

/// Calls a function with the address in r11, all arguments kept, and jumps to what it returns.
macro_rules! go_on_by {
    ($function:literal) => {
        concat!(
            "push rdi\n push rsi\n push rdx\n push rcx\n push r8\n push r9\n push rax\n",
            "mov rdi, r11\n",
            "call {",
            $function,
            "}\n",
            "mov r11, rax\n",
            "pop rax\n pop r9\n pop r8\n pop rcx\n pop rdx\n pop rsi\n pop rdi\n",
            "jmp r11",
        )
    };
}

const SET_SECCOMP: i32 = libc::PR_SET_SECCOMP;
const STRICT: u32 = libc::SECCOMP_MODE_STRICT;

/// prctl(2): a filter comes with PR_SET_SECCOMP, and either the mode without one, or one.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn prctl() -> c_long {
    naked_asm!(
        "lea r11, [rip + {real}]",
        "cmp edi, {set}",
        "jne 2f",
        "cmp esi, {strict}",
        "je 3f",
        "test rdx, rdx",
        "jne 3f",
        "2:",
        "cmp qword ptr [r11], 0",
        "je 4f",
        "jmp qword ptr [r11]",
        "3:",
        go_on_by!("note"),
        "4:",
        go_on_by!("find"),
        real = sym PRCTL,
        set = const SET_SECCOMP,
        strict = const STRICT,
        note = sym note_filter,
        find = sym find_real,
    )
}

/// syscall(2): the same by seccomp(2), whose operation and filter are the first and third argument
/// behind its number.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn syscall() -> c_long {
    naked_asm!(
        "lea r11, [rip + {real}]",
        "cmp rdi, {number}",
        "jne 2f",
        "cmp esi, {strict}",
        "je 3f",
        "cmp esi, {filter}",
        "jne 2f",
        "test rcx, rcx",
        "jne 3f",
        "2:",
        "cmp qword ptr [r11], 0",
        "je 4f",
        "jmp qword ptr [r11]",
        "3:",
        go_on_by!("note"),
        "4:",
        go_on_by!("find"),
        real = sym SYSCALL,
        number = const libc::SYS_seccomp,
        strict = const libc::SECCOMP_SET_MODE_STRICT,
        filter = const libc::SECCOMP_SET_MODE_FILTER,
        note = sym note_filter,
        find = sym find_real,
    )
}
