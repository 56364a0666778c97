//! Facts about the process, and the few calls by which it is left.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::errno;
use crate::sys::{raw_syscall, seccomp};

/// What [`id`] says where it must not ask.
static ID: AtomicU32 = AtomicU32::new(0);

/// The process id.
pub fn id() -> u32 {
    if seccomp::is_installed() {
        return ID.load(Ordering::Relaxed);
    }
    // SAFETY: getpid(2) cannot fail.
    unsafe { libc::getpid().unsigned_abs() }
}

/// The process id as it was last noted: of another process's memory, that one's.
pub fn noted_id() -> u32 {
    ID.load(Ordering::Relaxed)
}

/// Keeps the process id for when it must not be asked for any more; to be called in front of
/// [`seccomp::note`].
pub fn keep_id() {
    set_id(id());
}

/// Says which process this is.
pub(super) fn set_id(id: u32) {
    ID.store(id, Ordering::Relaxed);
}

/// 64 bits that differ from run to run and that the program does not see: the kernel's random
/// bytes for this process, mixed.
pub fn random_key() -> u64 {
    // SAFETY: getauxval(3) only reads the auxiliary vector; AT_RANDOM points to 16 bytes.
    let seed = errno::preserve(|| unsafe {
        match libc::getauxval(libc::AT_RANDOM) as *const [u8; 16] {
            random if random.is_null() => [0; 16],
            random => *random,
        }
    });
    let half = |from: usize| {
        seed.iter().skip(from).take(8).fold(0u64, |word, &byte| (word << 8) | u64::from(byte))
    };
    (half(0) ^ half(8).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// An address above all frames of the first thread's stack: that of the kernel's random bytes for
/// this process.
#[inline]
pub fn stack_top() -> usize {
    static TOP: AtomicUsize = AtomicUsize::new(0);
    match TOP.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: getauxval(3) only reads the auxiliary vector.
            let top = errno::preserve(|| unsafe { libc::getauxval(libc::AT_RANDOM) }) as usize;
            TOP.store(top, Ordering::Relaxed);
            top
        }
        top => top,
    }
}

/// An environment variable's value, without allocating.
pub fn environment(name: &CStr) -> Option<&'static [u8]> {
    variable(name).map(CStr::to_bytes)
}

/// The same as a C string.
pub fn variable(name: &CStr) -> Option<&'static CStr> {
    if let Some(first) = environment_of_start() {
        return variable_in(first, name.to_bytes());
    }
    // SAFETY: getenv(3) with a C string; the value lives in the environment. The program may change
    // it later, so it is read at start only.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

/// The environment as the kernel has left it on the stack, while libc has none yet: the functions
/// of a program's `.preinit_array` run before libc is initialised. `None`: libc has one.
fn environment_of_start() -> Option<*const *const core::ffi::c_char> {
    unsafe extern "C" {
        static environ: *const *const core::ffi::c_char;
        /// Where the kernel has put the number of arguments (glibc's loader, 2.1).
        static __libc_stack_end: *const usize;
    }
    // SAFETY: both are written before any code of a program runs. Behind the number stand so many
    // arguments, null, and the environment (System V ABI, AMD64 supplement, 3.4.1).
    unsafe {
        if !environ.is_null() || __libc_stack_end.is_null() {
            return None;
        }
        Some(__libc_stack_end.add(*__libc_stack_end + 2).cast())
    }
}

fn variable_in(first: *const *const core::ffi::c_char, name: &[u8]) -> Option<&'static CStr> {
    let mut at = first;
    loop {
        // SAFETY: an array of C strings that ends with null; it stays on the stack of the first
        // thread.
        let text = unsafe { *at };
        if text.is_null() {
            return None;
        }
        // SAFETY: an element in front of the null.
        let text = unsafe { CStr::from_ptr(text) };
        if let Some(value) = text.to_bytes().strip_prefix(name)
            && value.first() == Some(&b'=')
        {
            return text
                .to_bytes_with_nul()
                .get(name.len() + 1..)
                .and_then(|value| CStr::from_bytes_with_nul(value).ok());
        }
        // SAFETY: not behind the null.
        at = unsafe { at.add(1) };
    }
}

/// Ends the process by exit(3): from an exit entry it goes on with the remaining ones and flushes
/// stdio, and that entry is not called again.
pub fn exit(status: i32) -> ! {
    // SAFETY: as said.
    unsafe { libc::exit(status) }
}

/// Address of a symbol that the loaded modules export; 0: there is none. Calls dlsym(3).
pub fn find_symbol(name: &CStr) -> usize {
    // A program without a loader has no symbols at run time.
    if cfg!(target_feature = "crt-static") {
        return 0;
    }
    // SAFETY: dlsym(3) with a C string.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
}

/// The same behind this library in the order of modules.
pub fn find_next_symbol(name: &CStr) -> usize {
    if cfg!(target_feature = "crt-static") {
        return 0;
    }
    // SAFETY: dlsym(3) takes this handle and a C string.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
}

/// Lets other threads have the processor; nothing where a filter may forbid that.
pub fn give_way() {
    if !seccomp::is_installed() {
        std::thread::yield_now();
    }
}

/// Ends the process by SIGABRT, through the program's own handler if it has one.
pub fn abort() -> ! {
    // SAFETY: abort(3) does not return.
    unsafe { libc::abort() }
}

/// Ends the process at once, as _exit(2) does.
pub fn exit_at_once(status: i32) -> ! {
    loop {
        // SAFETY: exit_group(2) touches no memory, and does not return.
        unsafe { raw_syscall::call(libc::SYS_exit_group, [status as usize, 0, 0, 0]) };
    }
}

/// Name of the running program's file, as it was asked for, without folders (AT_EXECFN); empty if
/// unknown. Of a script it is the script's.
pub fn program_name() -> &'static [u8] {
    // SAFETY: getauxval(3) only reads the auxiliary vector, which has 0 or a C string's address
    // there.
    let name = errno::preserve(|| unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const core::ffi::c_char;
        if name.is_null() { c"" } else { CStr::from_ptr(name) }
    });
    name.to_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or(&[])
}

/// The same for the file that the kernel runs, a script's interpreter: as much of it as `room`
/// holds.
pub fn program_file(room: &mut [u8]) -> &[u8] {
    let path = c"/proc/self/exe".as_ptr();
    // SAFETY: readlink(2) writes at most so many bytes.
    let got =
        errno::preserve(|| unsafe { libc::readlink(path, room.as_mut_ptr().cast(), room.len()) });
    let found = room.get(..usize::try_from(got).unwrap_or(0)).unwrap_or(&[]);
    found.rsplit(|&byte| byte == b'/').next().unwrap_or(&[])
}

/// CPU time of the calling thread in milliseconds.
pub fn thread_milliseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) fills the structure.
    errno::preserve(|| unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) });
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// Milliseconds of the coarse monotonic clock, which is read without a system call.
pub fn coarse_milliseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) fills the structure.
    errno::preserve(|| unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) });
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// Is there a limit on writable private memory (RLIMIT_DATA)?
pub fn limits_data() -> bool {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: 0 };
    // SAFETY: getrlimit(2) fills the structure.
    errno::preserve(|| unsafe { libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit) });
    limit.rlim_cur != libc::RLIM_INFINITY
}

/// The limit on address space in bytes (RLIMIT_AS); `usize::MAX` when there is none.
pub fn address_space_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: 0 };
    // SAFETY: getrlimit(2) fills the structure.
    errno::preserve(|| unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) });
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Year, month and day (UTC).
pub fn today() -> (u16, u8, u8) {
    // SAFETY: time(2) with no place to write to; gmtime_r(3) fills the structure.
    let date = unsafe {
        let now = libc::time(core::ptr::null_mut());
        let mut date = core::mem::zeroed::<libc::tm>();
        libc::gmtime_r(&raw const now, &raw mut date);
        date
    };
    ((date.tm_year + 1900) as u16, date.tm_mon as u8 + 1, date.tm_mday as u8)
}

/// The working directory, as much of it as `room` holds; empty when the kernel does not say.
pub fn working_directory(room: &mut [u8]) -> &[u8] {
    // SAFETY: getcwd(3) writes at most so many bytes, the last of them 0.
    let found = errno::preserve(|| unsafe { libc::getcwd(room.as_mut_ptr().cast(), room.len()) });
    let end = if found.is_null() { None } else { room.iter().position(|&byte| byte == 0) };
    room.get(..end.unwrap_or(0)).unwrap_or(&[])
}

/// Is there a file that may be executed, and no folder? Safe in signal handlers.
pub fn can_execute(path: &CStr) -> bool {
    // SAFETY: access(2) and stat(2) with a C string; stat fills the structure when it returns 0.
    errno::preserve(|| unsafe {
        let mut facts = core::mem::zeroed::<libc::stat>();
        libc::access(path.as_ptr(), libc::X_OK) == 0
            && libc::stat(path.as_ptr(), &raw mut facts) == 0
            && facts.st_mode & libc::S_IFMT == libc::S_IFREG
    })
}

/// Is there a process of that id?
pub fn exists(id: u32) -> bool {
    let id = libc::pid_t::try_from(id).unwrap_or(0);
    // SAFETY: kill(2) with no signal only looks.
    errno::preserve(|| unsafe { libc::kill(id, 0) == 0 || errno::get() != libc::ESRCH })
}

/// Number of the namespace that the process's id is of (pid_namespaces(7)); 0 where that cannot be
/// asked for.
pub fn namespace() -> u32 {
    if seccomp::is_installed() {
        return 0;
    }
    // SAFETY: stat(2) with a C string fills the structure when it returns 0.
    errno::preserve(|| unsafe {
        let mut facts = core::mem::zeroed::<libc::stat>();
        match libc::stat(c"/proc/self/ns/pid".as_ptr(), &raw mut facts) {
            0 => facts.st_ino as u32,
            _ => 0,
        }
    })
}

/// The parent's process id; 0 where it must not be asked for.
pub fn parent_id() -> u32 {
    if seccomp::is_installed() {
        return 0;
    }
    // SAFETY: getppid(2) cannot fail.
    unsafe { libc::getppid().unsigned_abs() }
}

/// Is the program written in Go? Its runtime asks the kernel itself what signals do, and goes by
/// the answer (an ELF note of the name `Go`, type 4, says so).
pub fn is_go_program() -> bool {
    const NAME: [u8; 4] = *b"Go\0\0";
    // SAFETY: getauxval(3) only reads the auxiliary vector.
    let (first, count) = errno::preserve(|| unsafe {
        (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM))
    });
    if first == 0 {
        return false;
    }
    // SAFETY: AT_PHDR and AT_PHNUM say where the program's headers are mapped (getauxval(3)).
    let headers =
        unsafe { core::slice::from_raw_parts(first as *const libc::Elf64_Phdr, count as usize) };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let bias = own.map_or(0, |header| first.wrapping_sub(header.p_vaddr));
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE);
    notes.into_iter().any(|notes| {
        let (mut at, bytes) = ((bias + notes.p_vaddr) as usize, notes.p_memsz as usize);
        let end = at + bytes;
        while at + 16 <= end {
            // SAFETY: a note of a segment that is mapped with the program: the bytes of its name
            // and of what it says, its type, its name (ELF gABI).
            let ([name, says, kind], start) =
                unsafe { (*(at as *const [u32; 3]), *((at + 12) as *const [u8; 4])) };
            if (name, kind) == (4, 4) && start == NAME {
                return true;
            }
            at += 12 + name.next_multiple_of(4) as usize + says.next_multiple_of(4) as usize;
        }
        false
    })
}

/// Where the dynamic loader is mapped: first byte and first byte behind. `None` without one.
pub fn loader_range() -> Option<(usize, usize)> {
    // SAFETY: getauxval(3) only reads the auxiliary vector.
    let base = errno::preserve(|| unsafe { libc::getauxval(libc::AT_BASE) }) as usize;
    if base == 0 {
        return None;
    }
    // SAFETY: AT_BASE is where the loader's ELF header is mapped; its program headers, named there,
    // lie in the first page with it (ELF gABI).
    let end = unsafe {
        let header = &*(base as *const libc::Elf64_Ehdr);
        let first = (base + header.e_phoff as usize) as *const libc::Elf64_Phdr;
        core::slice::from_raw_parts(first, usize::from(header.e_phnum))
            .iter()
            .filter(|segment| segment.p_type == libc::PT_LOAD)
            .map(|segment| (segment.p_vaddr + segment.p_memsz) as usize)
            .max()?
    };
    Some((base, base + end))
}
