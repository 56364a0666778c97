//! Who reads: where reports go, what this process is to its tree, and the options from the
//! environment.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::log_file;
use crate::options::{self, Name};
use crate::runtime::report_sink;
use crate::sys::{maps, output, process};
use crate::text::escape;
use crate::trace;
use crate::trace::{LogEntry, Role};

use crate::runtime::lsan_user_hooks;

static IS_ROOT: AtomicBool = AtomicBool::new(false);

const OPTIONS: &CStr = c"MALLOCOP_OPTIONS";

/// Is this program not to be checked?
static IS_EXCLUDED: AtomicBool = AtomicBool::new(false);

/// The list of options in the environment.
fn list() -> &'static str {
    let list = process::environment(OPTIONS).and_then(|list| std::str::from_utf8(list).ok());
    list.unwrap_or("")
}

/// Takes the options of the environment over. Once: blocks are laid out by them.
pub fn read_options() {
    options::apply(list(), |_| {});
}

/// Turns everything off that costs time, if this program is not to be checked.
pub fn exclude_program() {
    let (mut included, mut excluded, mut file) = ([0; 1023], [0; 1023], [0; 1024]);
    let included = options::copy_text(Name::Include, &mut included);
    let excluded = options::copy_text(Name::Exclude, &mut excluded);
    if included.is_empty() && excluded.is_empty() {
        return;
    }
    let names = [process::program_name(), process::program_file(&mut file)];
    let has_it = |list: &[u8]| list.split(|&byte| byte == b'|').any(|name| names.contains(&name));
    if has_it(excluded) || !included.is_empty() && !has_it(included) {
        const NONE: usize = 1;
        IS_EXCLUDED.store(true, Ordering::Relaxed);
        options::set_number(Name::Checks, NONE);
        for name in [Name::MallocContextSize, Name::DetectLeaks, Name::PrintSummary] {
            options::set_number(name, 0);
        }
        options::set_number(Name::Quiet, 1);
    }
}

/// The options that the program itself asks for, where the environment says nothing else.
fn take_programs_options(text: &mut String) {
    if IS_EXCLUDED.load(Ordering::Relaxed) {
        return;
    }
    if let Some(programs) = lsan_user_hooks::default_options().and_then(|list| list.to_str().ok()) {
        options::apply_late(programs, |why| {
            let _ = writeln!(text, "mallocop: __lsan_default_options: {why} (ignored)");
        });
        options::apply_late(list(), |_| {});
    }
}

/// Is this the process that was started, not one of its children?
pub fn is_root() -> bool {
    IS_ROOT.load(Ordering::Relaxed)
}

/// A forked child is not.
pub fn forget_root() {
    IS_ROOT.store(false, Ordering::Relaxed);
}

/// What this process is to its tree, once that is known.
static ROLE: OnceLock<Role> = OnceLock::new();

/// Finds the tree file, in which the process's stacks are from the first one on.
pub fn enter_tree() {
    if let Some(role) = tree_file().and_then(trace::enter) {
        let _ = ROLE.set(role);
    }
}

/// Finds out where reports go and what this process is, once; then says that we are here. Called
/// by the first finding, too, which may come from a library's constructor before ours.
pub fn find() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let mut ignored = String::new();
    take_programs_options(&mut ignored);
    make_absolute(Name::Suppressions);
    make_absolute(Name::LogPath);
    output::note_stderr();
    // Somebody prints for us, or each process has a file: then no descriptor of ours need be open.
    if !trace::is_open() && !log_file::is_wanted() {
        output::keep_stderr();
    }
    let role = *ROLE.get_or_init(role_without_tree);
    IS_ROOT.store(role != Role::Child, Ordering::Relaxed);
    if role != Role::Child && lsan_user_hooks::default_options().is_some() {
        trace::note_exit_code(options::number(Name::ExitCode) as u32);
    }
    let program = std::env::current_exe().unwrap_or_default();
    trace::append(LogEntry::Program, program.as_os_str().as_encoded_bytes());
    // The name of a script does not tell that env interprets it; the file does.
    let file = program.file_name().unwrap_or_default().as_encoded_bytes();
    let is_launcher = is_launcher(process::program_name()) || is_launcher(file);
    if role == Role::First && !trace::is_open() && is_launcher {
        // The program that it starts speaks for itself.
        options::set_number(Name::Quiet, 1);
    } else if role == Role::First {
        announce(ignored, &program);
    } else if is_cut_off() && !options::flag(Name::Quiet) {
        let name = program.to_string_lossy();
        let (name, pid) = (escape::escape(&name), process::id());
        report_sink::emit(&format!(
            "mallocop: {name} (pid {pid}) cannot reach the run's record and reports here\n"
        ));
    }
}

/// Is that the name of a program that only starts another one?
fn is_launcher(name: &[u8]) -> bool {
    const LAUNCHERS: [&[u8]; 12] = [
        b"chroot", b"chrt", b"env", b"ionice", b"nice", b"nohup", b"numactl", b"setarch",
        b"setsid", b"stdbuf", b"taskset", b"timeout",
    ];
    LAUNCHERS.contains(&name)
}

/// The program may be elsewhere when the file is opened.
fn make_absolute(name: Name) {
    if let Some(path) = options::text(name)
        && let Ok(path) = std::path::absolute(path)
        && let Some(path) = path.to_str()
    {
        options::set_text(name, path);
    }
}

/// The role of a process that was started without the command: a child if its parent is watched and
/// no launcher, or if the tree file that it was given cannot be opened.
fn role_without_tree() -> Role {
    let parent = process::parent_id();
    let is_child = || maps::maps_file(parent, b"libmallocop.so") && !is_launcher(&name_of(parent));
    if tree_file().is_some() || is_child() { Role::Child } else { Role::First }
}

/// Name of a process from /proc/PID/comm; empty if that cannot be read.
fn name_of(id: u32) -> Vec<u8> {
    let mut name = std::fs::read(format!("/proc/{id}/comm")).unwrap_or_default();
    name.pop();
    name
}

/// Is there a tree file that cannot be reached, and somebody who would read it? A daemon's children
/// start long after the command has gone.
fn is_cut_off() -> bool {
    let Some(path) = tree_file().filter(|_| !trace::is_open()) else { return false };
    let id = path
        .to_str()
        .ok()
        .and_then(|path| path.strip_prefix("/proc/")?.split('/').next()?.parse().ok());
    id.is_none_or(process::exists)
}

/// Path of the tree file.
fn tree_file() -> Option<&'static CStr> {
    process::variable(trace::VARIABLE)
}

/// The start line, and what of the options was not understood.
fn announce(mut text: String, program: &Path) {
    options::check(list(), |why| {
        let _ = writeln!(text, "mallocop: MALLOCOP_OPTIONS: {why} (ignored)");
    });
    if !options::flag(Name::Quiet) {
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
            escape::escape(&name.unwrap_or_default()),
            process::id(),
        );
    }
    if !text.is_empty() {
        report_sink::emit_at_start(&text);
    }
}

/// Does the program define malloc itself?
static HAS_OWN_MALLOC: AtomicBool = AtomicBool::new(false);

/// Notes that it does: its calls do not come here.
pub fn note_own_malloc() {
    HAS_OWN_MALLOC.store(true, Ordering::Relaxed);
}

/// Has that been noted?
pub fn has_own_malloc() -> bool {
    HAS_OWN_MALLOC.load(Ordering::Relaxed)
}
