//! The calls by which a process becomes another program, starts one, or leaves without its exit
//! handlers.
//!
//! A program that the library cannot be loaded into is started without it, and noted. All of it is
//! safe in signal handlers and between vfork and exec: no lock, no allocation, 5 KiB of stack.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem;

use mallocop::runtime::{init, way_out};
use mallocop::sys::{errno, process};
use mallocop::trace;
use mallocop::trace::ProcessState;

use crate::environment::{Texts, is_readable_path, with_environment};
use crate::real::Real;

type Execve = unsafe extern "C" fn(*const c_char, Texts, Texts) -> c_int;
type Fexecve = unsafe extern "C" fn(c_int, Texts, Texts) -> c_int;
type Execveat = unsafe extern "C" fn(c_int, *const c_char, Texts, Texts, c_int) -> c_int;
type Spawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const c_char,
    *const c_void,
    *const c_void,
    Texts,
    Texts,
) -> c_int;

static EXECVE: Real = Real::new(c"execve");
static EXECVPE: Real = Real::new(c"execvpe");
static FEXECVE: Real = Real::new(c"fexecve");
static EXECVEAT: Real = Real::new(c"execveat");
static SPAWN: Real = Real::new(c"posix_spawn");
static SPAWNP: Real = Real::new(c"posix_spawnp");

/// Looks all of libc's functions up, while that can be done.
pub(crate) fn find() {
    for real in [&EXECVE, &EXECVPE, &FEXECVE, &EXECVEAT, &SPAWN, &SPAWNP] {
        real.find();
    }
}

unsafe extern "C" {
    static environ: Texts;
}

/// Becomes another program by `run`, which returns only if that fails.
fn become_another(run: impl FnOnce() -> c_int) -> c_int {
    if init::ready().is_some() {
        way_out::look(way_out::Next::Exec);
    }
    let is_noted = trace::end_if_own(ProcessState::Executing);
    let result = run();
    if is_noted {
        errno::preserve(|| trace::end_if_own(ProcessState::Running));
    }
    result
}

/// Is a name looked up as a shell does?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    No,
    Path,
}

/// `file`, or where it is found as a shell would; `None`: nowhere, or that is too long.
///
/// Any other pointer than one to a C string is nowhere: libc's function has the word on it.
fn look_up(file: *const c_char, search: Search, room: &mut [u8; 1024]) -> Option<&CStr> {
    if !is_readable_path(file) {
        return None;
    }
    // SAFETY: a C string that can be read.
    let name = unsafe { CStr::from_ptr(file) }.to_bytes();
    let folders = match search == Search::No || name.contains(&b'/') {
        true => b"".as_slice(),
        false => process::environment(c"PATH").unwrap_or(b"/bin:/usr/bin"),
    };
    let mut found = None;
    for folder in folders.split(|&byte| byte == b':') {
        let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
        let end = folder.len() + slash.len() + name.len();
        let Some(place) = room.get_mut(..=end) else { continue };
        let parts = folder.iter().chain(slash).chain(name).chain(b"\0");
        place.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        if CStr::from_bytes_with_nul(place).is_ok_and(process::can_execute) {
            found = Some(end);
            break;
        }
    }
    CStr::from_bytes_with_nul(room.get(..=found?)?).ok()
}

/// libc has no such function.
fn missing() -> c_int {
    errno::set(libc::ENOSYS);
    -1
}

/// # Safety
/// As for execve(2).
unsafe fn exec(
    (real, search): (&Real, Search),
    file: *const c_char,
    arguments: Texts,
    environment: Texts,
) -> c_int {
    let mut room = [0; 1024];
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let path = look_up(file, search, &mut room);
        let real = mem::transmute::<usize, Option<Execve>>(real.find());
        let Some(real) = real else { return missing() };
        become_another(|| {
            with_environment(path, environment, |environment| real(file, arguments, environment))
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn execve(path: *const c_char, arguments: Texts, environment: Texts) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe { exec((&EXECVE, Search::No), path, arguments, environment) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn execv(path: *const c_char, arguments: Texts) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe { exec((&EXECVE, Search::No), path, arguments, environ) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn execvpe(file: *const c_char, arguments: Texts, environment: Texts) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe { exec((&EXECVPE, Search::Path), file, arguments, environment) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn execvp(file: *const c_char, arguments: Texts) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe { exec((&EXECVPE, Search::Path), file, arguments, environ) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fexecve(file: c_int, arguments: Texts, environment: Texts) -> c_int {
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let Some(real) = mem::transmute::<usize, Option<Fexecve>>(FEXECVE.find()) else {
            return missing();
        };
        become_another(|| real(file, arguments, environment))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn execveat(
    folder: c_int,
    path: *const c_char,
    arguments: Texts,
    environment: Texts,
    flags: c_int,
) -> c_int {
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let Some(real) = mem::transmute::<usize, Option<Execveat>>(EXECVEAT.find()) else {
            return missing();
        };
        become_another(|| real(folder, path, arguments, environment, flags))
    }
}

/// # Safety
/// As for posix_spawn(3).
unsafe fn spawn(
    (real, search): (&Real, Search),
    pid: *mut libc::pid_t,
    file: *const c_char,
    how: [*const c_void; 2],
    arguments: Texts,
    environment: Texts,
) -> c_int {
    let mut room = [0; 1024];
    let [actions, attributes] = how;
    // SAFETY: as the caller says; libc's function has that form.
    unsafe {
        let path = look_up(file, search, &mut room);
        let Some(real) = mem::transmute::<usize, Option<Spawn>>(real.find()) else {
            return libc::ENOSYS;
        };
        with_environment(path, environment, |environment| {
            real(pid, file, actions, attributes, arguments, environment)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    pid: *mut libc::pid_t,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    environment: Texts,
) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe { spawn((&SPAWN, Search::No), pid, path, [actions, attributes], arguments, environment) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    environment: Texts,
) -> c_int {
    // SAFETY: the caller of this function promises the same.
    unsafe {
        spawn((&SPAWNP, Search::Path), pid, file, [actions, attributes], arguments, environment)
    }
}

/// `symbol => function`: the entry of a call with a list of arguments. Those that came in registers
/// are put in front of those on the stack, with the return address out of the way: an array that
/// the function gets, ended by null as the list is (System V ABI, AMD64 supplement, 3.2.3).
macro_rules! lists {
    ($($symbol:ident => $function:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $symbol() -> c_int {
                naked_asm!(
                    "pop r11",
                    "push r9", "push r8", "push rcx", "push rdx", "push rsi",
                    "mov rsi, rsp",
                    "push r11",
                    "call {function}",
                    "pop r11",
                    "add rsp, 40",
                    "push r11",
                    "ret",
                    function = sym $function,
                )
            }
        )*
    };
}

lists! {
    execl => execl_from;
    execlp => execlp_from;
    execle => execle_from;
}

unsafe extern "C" fn execl_from(path: *const c_char, arguments: Texts) -> c_int {
    // SAFETY: the entry gives a list that ends with null (execl(3)).
    unsafe { execv(path, arguments) }
}

unsafe extern "C" fn execlp_from(file: *const c_char, arguments: Texts) -> c_int {
    // SAFETY: the entry gives a list that ends with null (execlp(3)).
    unsafe { execvp(file, arguments) }
}

unsafe extern "C" fn execle_from(path: *const c_char, arguments: Texts) -> c_int {
    let mut end = arguments;
    // SAFETY: the entry gives a list that ends with null, and the environment as the argument
    // behind it (execle(3)).
    unsafe {
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, arguments, (*end.add(1)).cast())
    }
}

/// Leaves without exit handlers: noted, so that the process is not taken for killed.
#[unsafe(no_mangle)]
extern "C" fn _exit(status: c_int) -> ! {
    let is_ready = init::ready().is_some();
    process::exit_at_once(if is_ready { way_out::leave(status) } else { status })
}

#[unsafe(no_mangle)]
extern "C" fn _Exit(status: c_int) -> ! {
    _exit(status)
}
