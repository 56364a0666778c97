//! The loader's functions through which a program could get round us: both end in glibc's own by a
//! jump, so that it sees its real caller (whose search path and scope count).
//!
//! - `dlopen` with RTLD_DEEPBIND would bind a plugin to glibc's malloc while its blocks go to and
//!   fro: the flag is taken out.
//! - `dlsym` of a malloc function in libc's own handle gives ours, which the blocks belong to.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use core::{mem, ptr};

use mallocop::stack::modules;
use mallocop::sys::maps::{self, Lookup};
use mallocop::sys::thread::ToolWork;

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

static DLOPEN: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static DLSYM: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// The symbols of which a program must not have two.
const OURS: [&CStr; 12] = [
    c"malloc",
    c"calloc",
    c"realloc",
    c"reallocarray",
    c"free",
    c"cfree",
    c"memalign",
    c"aligned_alloc",
    c"posix_memalign",
    c"valloc",
    c"pvalloc",
    c"malloc_usable_size",
];

/// Looks both up where that has not been done.
pub(crate) fn prepare() {
    real_dlopen();
    real_dlsym();
}

/// glibc's dlopen.
extern "C" fn real_dlopen() -> *mut c_void {
    look_up(&DLOPEN, c"dlopen")
}

/// glibc's dlsym.
extern "C" fn real_dlsym() -> *mut c_void {
    look_up(&DLSYM, c"dlsym")
}

/// The definition behind ours. dlvsym finds it: dlsym itself is ours.
fn look_up(slot: &AtomicPtr<c_void>, symbol: &CStr) -> *mut c_void {
    let known = slot.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let _work = ToolWork::begin();
    // glibc 2.34 moved both into libc.so.6.
    let found = [c"GLIBC_2.34", c"GLIBC_2.2.5"]
        .into_iter()
        // SAFETY: dlvsym(3) with C strings.
        .map(|version| unsafe { dlvsym(libc::RTLD_NEXT, symbol.as_ptr(), version.as_ptr()) })
        .find(|found| !found.is_null())
        .unwrap_or(ptr::null_mut());
    slot.store(found, Ordering::Release);
    found
}

unsafe extern "C" {
    // Not bound by the libc crate.
    fn dlvsym(handle: *mut c_void, name: *const c_char, version: *const c_char) -> *mut c_void;
}

/// The address that dlsym returns for `name` in `handle`; null: glibc's.
extern "C" fn answer_dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    if name.is_null() || handle == libc::RTLD_NEXT || handle == libc::RTLD_DEFAULT {
        return ptr::null_mut();
    }
    // SAFETY: dlsym's callers give a C string.
    let wanted = unsafe { CStr::from_ptr(name) };
    let real = real_dlsym();
    if real.is_null() || !OURS.contains(&wanted) {
        return ptr::null_mut();
    }
    let _work = ToolWork::begin();
    // SAFETY: glibc's dlsym, with the caller's own arguments; and ours, found like any other's.
    unsafe {
        let dlsym = mem::transmute::<*mut c_void, Dlsym>(real);
        let found = dlsym(handle, name) as usize;
        if found == 0 || modules::is_own(found) || !is_libc(found) {
            return ptr::null_mut();
        }
        dlsym(libc::RTLD_DEFAULT, name)
    }
}

fn is_libc(address: usize) -> bool {
    matches!(
        maps::find(address),
        Lookup::Mapped(mapping) if mapping.path().ends_with(b"/libc.so.6")
    )
}

/// `dlopen(path, flags)` without RTLD_DEEPBIND.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn dlopen(path: *const c_char, flags: i32) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {real}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "and esi, -9", // ~RTLD_DEEPBIND
        "jmp rax",
        real = sym real_dlopen,
    )
}

/// `dlsym(handle, name)`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {answer}",
        "test rax, rax",
        "jz 2f",
        "add rsp, 24",
        "ret",
        "2:",
        "call {real}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        answer = sym answer_dlsym,
        real = sym real_dlsym,
    )
}
