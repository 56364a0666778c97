//! The library's beginning: ready at the first malloc, which may come before any constructor.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use mallocop::debug::CheckedHeap;
use mallocop::options::{self, Name};
use mallocop::report;
use mallocop::report::record::{self, Role};
use mallocop::stack::modules;
use mallocop::sys::thread::ToolWork;
use mallocop::sys::{maps, output, process, thread};

use crate::{HEAP, exit, fork, operators, shims};

const NEW: u8 = 0;
const PREPARING: u8 = 1;
const READY: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEW);
static IS_ROOT: AtomicBool = AtomicBool::new(false);

const OPTIONS: &CStr = c"MALLOCOP_OPTIONS";

/// The heap, made ready if this is the first call. `None` while it cannot be: before relocation,
/// and for what is allocated while it is being made ready.
#[inline]
pub(crate) fn heap() -> Option<&'static CheckedHeap> {
    if !thread::is_relocated() {
        return None;
    }
    if STATE.load(Ordering::Acquire) == READY {
        return Some(&HEAP);
    }
    prepare()
}

#[cold]
fn prepare() -> Option<&'static CheckedHeap> {
    if STATE.compare_exchange(NEW, PREPARING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return None;
    }
    read_options(|_| {});
    HEAP.prepare();
    let (start, end) = own_range();
    modules::set_own(start, end);
    STATE.store(READY, Ordering::Release);
    Some(&HEAP)
}

fn read_options(rejected: impl FnMut(options::Rejected<'static>)) {
    let list = process::environment(OPTIONS).and_then(|list| std::str::from_utf8(list).ok());
    options::apply(list.unwrap_or(""), rejected);
}

/// First byte of this library and first byte behind it.
fn own_range() -> (usize, usize) {
    unsafe extern "C" {
        // Both are made by the linker, for this library.
        static __ehdr_start: u8;
        static _end: u8;
    }
    (&raw const __ehdr_start as usize, &raw const _end as usize)
}

/// Is this the process that was started, not one of its children?
pub(crate) fn is_root() -> bool {
    IS_ROOT.load(Ordering::Relaxed)
}

/// A forked child is not.
pub(crate) fn forget_root() {
    IS_ROOT.store(false, Ordering::Relaxed);
}

/// Runs when the loader initialises this library: before the program's own constructors, after
/// those of the libraries we need.
extern "C" fn construct() {
    if heap().is_none() {
        return;
    }
    let _work = ToolWork::begin();
    if let Some((start, end)) = process::loader_range() {
        modules::set_loader(start, end);
    }
    fork::register();
    // Registered before everything else, so that it runs after everything else.
    process::at_exit(exit::on_exit);
    find_reader();
    shims::prepare();
    operators::ensure_resolved();
}

/// Finds out where reports go and what this process is, once; then says that we are here. Called
/// by the first finding, too, which may come from a library's constructor before ours.
pub(crate) fn find_reader() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let role = enter();
    IS_ROOT.store(role != Role::Child, Ordering::Relaxed);
    if role == Role::First {
        announce();
    }
}

/// What this process is: by the tree file, or without one by whether our parent is watched, too.
fn enter() -> Role {
    output::keep_stderr();
    if open_tree() {
        return record::enter(process::id());
    }
    match maps::maps_file(process::parent_id(), b"libmallocop.so") {
        true => Role::Child,
        false => Role::First,
    }
}

fn open_tree() -> bool {
    // SAFETY: getenv returned a C string of the environment, which nobody has changed yet.
    let path = unsafe {
        let path = libc::getenv(record::VARIABLE.as_ptr());
        if path.is_null() {
            return false;
        }
        CStr::from_ptr(path)
    };
    record::open(path)
}

/// The start line, and what of the options was not understood.
fn announce() {
    let mut text = String::new();
    read_options(|why| {
        let _ = writeln!(text, "mallocop: MALLOCOP_OPTIONS: {why} (ignored)");
    });
    if !options::flag(Name::Quiet) {
        let program = std::env::current_exe().unwrap_or_default();
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned());
        let checks = if options::number(Name::Checks) == 0 { "all checks" } else { "no checks" };
        let stacks = match options::number(Name::MallocContextSize) {
            0 => "no stacks".to_owned(),
            256 => "full stacks".to_owned(),
            most => format!("stacks of {most} frames"),
        };
        let _ = writeln!(
            text,
            "mallocop {}: watching {} (pid {}): {checks}, {stacks}, blocks in use listed at exit",
            env!("CARGO_PKG_VERSION"),
            name.unwrap_or_default(),
            process::id(),
        );
    }
    if !text.is_empty() {
        report::emit(&text);
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;
