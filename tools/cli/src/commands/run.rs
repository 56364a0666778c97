//! `mallocop run`: starts the program with the library preloaded, prints what is found while it
//! runs, and ends with its status.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use mallocop::leak::suppress;
use mallocop::options::{self, Name, TABLE, Value};

use crate::destinations::Destinations;
use crate::failure::Failure;
use crate::printer;
use crate::session::tree_file::TreeFile;
use crate::session::watch::{Watch, start};
use crate::session::{library, target};
use crate::status::{self, End};

/// The program to run and its options.
pub(crate) struct Run<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: &'a [OsString],
    /// Options from the command line, in the form of `MALLOCOP_OPTIONS`.
    pub(crate) options: String,
    /// Where the report goes besides.
    pub(crate) to: Destinations,
    /// The program's standard input; `None` for the command's own.
    pub(crate) input: Option<File>,
}

/// Runs it.
pub(crate) fn run(run: &Run<'_>) -> Result<End, Failure> {
    let options = all_options(&run.options)?;
    check_suppressions(options.suppressions.as_deref())?;
    let program = target::find(run.program)?;
    let facts = target::inspect(&program)?;
    if facts.defines_malloc {
        printer::say(&format!(
            "{} defines malloc itself: blocks from there are not seen (mallocop doctor says more)",
            facts.file.display()
        ));
    }
    let mut libraries = library::install()?.into_os_string();
    if options::flag(Name::CheckLibc) {
        libraries.push(":");
        libraries.push(library::install_checker()?);
    }
    let mut command =
        Command::new(if facts.needs_shell { Path::new(target::SHELL) } else { &program });
    if facts.needs_shell {
        command.arg(&program);
    }
    command
        .args(run.arguments)
        .env("LD_PRELOAD", with_users_preloads(libraries))
        .env("MALLOCOP_OPTIONS", &options.list);
    if let Some(input) = &run.input {
        command.stdin(input.try_clone().map_err(Failure::step("pass on the standard input"))?);
    }
    let tree = match TreeFile::create() {
        Ok(tree) => tree,
        Err(failure) => {
            printer::say(&format!("{failure}; each process reports on its own standard error"));
            return run_unrecorded(command.env_remove("MALLOCOP_TREE"), &program);
        }
    };
    command.env("MALLOCOP_TREE", tree.path());
    let mut watch = Watch::new(tree, &run.to)?;
    let child = start(&mut command, &program)?;
    watch.builder.set_root(child.id());
    let ended = watch.until_end(child)?;
    Ok(watch.conclude(&program, ended, options.exitcode))
}

/// The option `exitcode` from the environment and these flags.
pub(crate) fn exitcode(from_flags: &str) -> Result<u8, Failure> {
    all_options(from_flags).map(|options| options.exitcode)
}

/// Runs it where no record can be made: the library in the program prints what it finds, and its
/// status says so.
fn run_unrecorded(command: &mut Command, program: &Path) -> Result<End, Failure> {
    let ended = start(command, program)?.wait().map_err(Failure::step("wait for the program"))?;
    Ok(End::plain(status::of_run(ended, false, 0)))
}

/// The options for the library.
struct Options {
    list: String,
    exitcode: u8,
    suppressions: Option<String>,
}

/// The user's list with the command line's behind it: the last one counts. What is wrong in the
/// user's list is an error here, before anything runs.
fn all_options(from_flags: &str) -> Result<Options, Failure> {
    let from_environment = env::var("MALLOCOP_OPTIONS").unwrap_or_default();
    let list = format!("{from_environment}:{from_flags}");
    let mut wrong = None;
    let mut found =
        Options { list: list.trim_matches(':').to_owned(), exitcode: 23, suppressions: None };
    options::parse(&list, |option| match option {
        Ok((row, value)) => match (TABLE.get(row).map(|entry| entry.name), value) {
            (Some("exitcode"), Value::Number(number)) => {
                found.exitcode = u8::try_from(number).unwrap_or(23);
            }
            (Some("suppressions"), Value::Text(path)) => found.suppressions = Some(path.to_owned()),
            _ => {}
        },
        Err(why) => wrong = Some(format!("MALLOCOP_OPTIONS: {why} (see `mallocop options`)")),
    });
    // What is printed here goes by them, too.
    options::apply(&list, |_| {});
    match wrong {
        Some(why) => Err(Failure::Usage(why)),
        None => Ok(found),
    }
}

/// What is wrong in the rules is an error here, before anything runs.
fn check_suppressions(path: Option<&str>) -> Result<(), Failure> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(()) };
    let text = suppress::read_file(Path::new(path))
        .map_err(|why| Failure::Usage(format!("suppressions: {path}: {why}")))?;
    let read = suppress::read(&text, path);
    read.map(drop).map_err(|why| Failure::Usage(format!("suppressions: {why}")))
}

/// Ours first; what the user preloads stays.
fn with_users_preloads(mut all: OsString) -> OsString {
    if let Some(users) = env::var_os("LD_PRELOAD").filter(|users| !users.is_empty()) {
        all.push(":");
        all.push(users);
    }
    all
}
