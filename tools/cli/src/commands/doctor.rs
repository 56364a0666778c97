//! `mallocop doctor`: what would and would not be seen of a program, and whether this machine has
//! what it takes, without running the program.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mallocop::options;

use crate::failure::Failure;
use crate::session::library;
use crate::session::target::{self, Facts};
use crate::session::tree_file::TreeFile;
use crate::symbolize::debug_file;

/// Variables of glibc's malloc, which are nothing to ours.
const OTHERS: [&str; 4] =
    ["MALLOC_CHECK_", "MALLOC_PERTURB_", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"];
/// glibc from which on stacks can be taken.
const STACKS_SINCE: (u32, u32) = (2, 35);

/// Prints the diagnosis. The status is that of the first thing that makes watching impossible.
pub(crate) fn examine(program: Option<&Path>) -> Result<u8, Failure> {
    let mut status = examine_machine();
    if let Some(program) = program {
        match target::find(program).and_then(|path| target::inspect(&path)) {
            Ok(facts) => examine_program(program, &facts),
            Err(failure) => {
                print("fail", &failure.to_string());
                status = failure.status();
            }
        }
    }
    Ok(status)
}

fn examine_program(program: &Path, facts: &Facts) {
    let file = facts.file.display();
    let what = if facts.is_script { "is run by" } else { "is" };
    let version = glibc().map_or_else(String::new, |(_, text)| format!(" ({text})"));
    print(
        "ok",
        &format!(
            "{} {what} {file}, a dynamically linked x86-64 program{version}",
            program.display()
        ),
    );
    diagnose_allocator(facts);
    diagnose_symbols(facts);
}

/// The requirements of every run.
fn examine_machine() -> u8 {
    let mut status = 0;
    let mut needs = |what: &str, found: Result<String, Failure>| match found {
        Ok(found) => print("ok", &format!("{what}: {found}")),
        Err(failure) => {
            print("fail", &failure.to_string());
            status = failure.status();
        }
    };
    needs(
        "the library can be loaded from",
        library::install().map(|path| path.display().to_string()),
    );
    let record = TreeFile::create().map(|tree| match tree.is_in_memory() {
        true => "in memory".to_owned(),
        false => {
            format!("{} (no memory file can be made, or /proc is not there)", tree.path().display())
        }
    });
    needs("the record of a run", record);
    let mut wrong = Vec::new();
    options::parse(&env::var("MALLOCOP_OPTIONS").unwrap_or_default(), |option| {
        wrong.extend(option.err().map(|why| why.to_string()));
    });
    wrong.iter().for_each(|why| print("fail", &format!("MALLOCOP_OPTIONS: {why}")));
    if let Some(((major, minor), text)) = glibc().filter(|(version, _)| *version < STACKS_SINCE) {
        print("warn", &format!("{text}: before 2.35 no stacks can be taken ({major}.{minor})"));
    }
    for variable in OTHERS.into_iter().filter(|variable| env::var_os(variable).is_some()) {
        print(
            "note",
            &format!("{variable} is set: it is for glibc's malloc and has no effect on mallocop's"),
        );
    }
    if let Some(users) = env::var_os("LD_PRELOAD").filter(|users| !users.is_empty()) {
        print(
            "note",
            &format!("LD_PRELOAD is set: mallocop comes in front of {}", users.display()),
        );
    }
    status
}

/// Version of this machine's glibc, and how it calls itself.
fn glibc() -> Option<((u32, u32), String)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    let (major, minor) = text.strip_prefix("glibc ")?.split_once('.')?;
    Some(((major.parse().ok()?, minor.parse().ok()?), text))
}

fn diagnose_allocator(facts: &Facts) {
    match (facts.defines_malloc, facts.foreign_allocator()) {
        (true, _) => print(
            "warn",
            "it defines malloc itself: its calls do not reach mallocop; build it without its own \
             allocator",
        ),
        (false, Some(library)) => print(
            "warn",
            &format!(
                "links {library}: malloc and free come to mallocop, that library's own functions \
                 (mallctl, nallocx, ...) do not"
            ),
        ),
        (false, None) => print("ok", "malloc and free come to mallocop"),
    }
    let static_runtime = !facts.needed.iter().any(|needed| needed.starts_with("libstdc++"));
    if static_runtime && facts.needed.iter().any(|needed| needed.contains("++")) {
        print(
            "note",
            "C++ runtime other than libstdc++: mismatched new and delete are not looked for",
        );
    }
}

fn diagnose_symbols(facts: &Facts) {
    let id = debug_file::build_id(&facts.file);
    let id =
        if id.is_empty() { "no build id".to_owned() } else { format!("build id {}", shorten(&id)) };
    match debug_file::find(&facts.file) {
        Some(found) if found == facts.file => {
            print("ok", &format!("debug information: in the file ({id})"))
        }
        Some(found) => print("ok", &format!("debug information: {} ({id})", found.display())),
        None => {
            let shown = match facts.has_symbols {
                true => "functions, without lines",
                false => "the module and a place in it (it is stripped)",
            };
            print(
                "note",
                &format!(
                    "debug information: none ({id}): stacks show {shown}; compile with -g, \
                     install its debug \
                     package, or --debuginfod"
                ),
            );
        }
    }
    if let Some(libc) = libc_file() {
        match debug_file::find(&libc) {
            Some(_) => print("ok", "debug information of libc: yes"),
            None => print(
                "note",
                "debug information of libc: none: its frames have no lines (libc6-dbg)",
            ),
        }
    }
    if facts.defines_fuzzer_hooks {
        print(
            "warn",
            "defines __sanitizer_install_malloc_and_free_hooks itself, as libFuzzer does that \
             clang links with \
             -fsanitize=fuzzer: it will not look for leaks; link libclang_rt.fuzzer without the \
             rest",
        );
    }
}

fn shorten(id: &str) -> String {
    id.get(..12).map_or_else(|| id.to_owned(), |start| format!("{start}..."))
}

/// The libc that this command itself runs with.
fn libc_file() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libc.so.6"))?;
    line.find('/').and_then(|at| line.get(at..)).map(PathBuf::from)
}

fn print(verdict: &str, text: &str) {
    let _ = writeln!(anstream::stdout(), "  {verdict:<6} {text}");
}
