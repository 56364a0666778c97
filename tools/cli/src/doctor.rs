//! `mallocop doctor`: what would and would not be seen of a program, without running it.

use std::io::Write as _;
use std::path::Path;

use crate::failure::Failure;
use crate::target::{self, Facts};

/// Prints the diagnosis. The status is that of the first thing that makes watching impossible.
pub(crate) fn examine(program: &Path) -> Result<u8, Failure> {
    let facts = match target::find(program).and_then(|path| target::inspect(&path)) {
        Ok(facts) => facts,
        Err(failure) => {
            print("fail", &failure.to_string());
            return Ok(failure.status());
        }
    };
    let file = facts.file.display();
    let what = if facts.is_script { "is run by" } else { "is" };
    print(
        "ok",
        &format!("{} {what} {file}, a dynamically linked x86-64 program", program.display()),
    );
    diagnose_allocator(&facts);
    diagnose_symbols(&facts);
    Ok(0)
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
    if facts.has_lines {
        print("ok", "it has line information (.debug_line)");
    } else {
        print(
            "note",
            "no line information in the file: stacks show functions, and lines only if \
             /usr/lib/debug has them (compile with -g)",
        );
    }
}

fn print(verdict: &str, text: &str) {
    let _ = writeln!(anstream::stdout(), "  {verdict:<6} {text}");
}
