//! Who reads: where reports go, what this process is to its tree, and the options from the
//! environment.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use mallocop::options::{self, Name};
use mallocop::report;
use mallocop::report::record::{self, Role};
use mallocop::sys::{maps, output, process};

use crate::hooks;

static IS_ROOT: AtomicBool = AtomicBool::new(false);

const OPTIONS: &CStr = c"MALLOCOP_OPTIONS";

pub(crate) fn read_options(rejected: impl FnMut(options::Rejected<'static>)) {
    let list = process::environment(OPTIONS).and_then(|list| std::str::from_utf8(list).ok());
    options::apply(list.unwrap_or(""), rejected);
}

/// The options that the program itself asks for, where the environment says nothing else.
fn take_programs_options(text: &mut String) {
    if let Some(list) = hooks::default_options().and_then(|list| list.to_str().ok()) {
        options::apply_late(list, |why| {
            let _ = writeln!(text, "mallocop: __lsan_default_options: {why} (ignored)");
        });
        read_options(|_| {});
    }
}

/// Is this the process that was started, not one of its children?
pub(crate) fn is_root() -> bool {
    IS_ROOT.load(Ordering::Relaxed)
}

/// A forked child is not.
pub(crate) fn forget_root() {
    IS_ROOT.store(false, Ordering::Relaxed);
}

/// Finds out where reports go and what this process is, once; then says that we are here. Called
/// by the first finding, too, which may come from a library's constructor before ours.
pub(crate) fn find() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let mut ignored = String::new();
    take_programs_options(&mut ignored);
    make_suppressions_absolute();
    let role = enter();
    IS_ROOT.store(role != Role::Child, Ordering::Relaxed);
    if role != Role::Child && hooks::default_options().is_some() {
        record::note_exit_code(options::number(Name::ExitCode) as u32);
    }
    if role == Role::First {
        announce(ignored);
    }
}

/// The program may be elsewhere when the file is read.
fn make_suppressions_absolute() {
    if let Some(path) = options::suppressions()
        && let Ok(path) = std::path::absolute(path)
        && let Some(path) = path.to_str()
    {
        options::set_suppressions(path);
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
fn announce(mut text: String) {
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
        let leaks = match options::flag(Name::DetectLeaks) {
            true => "leak check at exit",
            false => "no leak check",
        };
        let _ = writeln!(
            text,
            "mallocop {}: watching {} (pid {}): {checks}, {stacks}, {leaks}",
            env!("CARGO_PKG_VERSION"),
            name.unwrap_or_default(),
            process::id(),
        );
    }
    if !text.is_empty() {
        report::emit(&text);
    }
}
