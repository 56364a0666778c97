//! The `mallocop` command.

#![forbid(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod arguments;
mod cargo_command;
mod commands;
mod destinations;
mod failure;
mod printer;
mod recording_file;
mod session;
mod status;
mod symbolize;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::ArgMatches;
use mallocop::leak::suppress;
use mallocop::options::{self, TABLE};

use crate::commands::{deep, demo, doctor, report, run, sweep};
use crate::failure::Failure;
use crate::session::library;

fn main() -> ExitCode {
    // By that name cargo finds it, maybe by a link to this file.
    let name = std::env::args_os().next().map(PathBuf::from);
    if name.is_some_and(|name| name.file_name() == Some("cargo-mallocop".as_ref())) {
        return cargo_command::run();
    }
    let matches = arguments::command().get_matches();
    match dispatch(&matches) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            printer::say(&format!("error: {failure}"));
            ExitCode::from(failure.status())
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<u8, Failure> {
    if let Some(when) = chosen_color(matches) {
        when.write_global();
    }
    match matches.subcommand() {
        Some(("run", matches)) => run_or_pass(matches),
        Some(("sweep", matches)) => sweep::sweep(&arguments::sweep_of(matches)?),
        Some(("report", matches)) => {
            options::apply(&arguments::listed_options(matches), |_| {});
            let files: Vec<PathBuf> =
                matches.get_many("files").into_iter().flatten().cloned().collect();
            let exitcode = matches.get_one::<String>("exitcode").and_then(|code| code.parse().ok());
            report::show(&files, &arguments::destinations(matches), exitcode)
        }
        Some(("demo", matches)) => {
            demo::run(matches.get_one::<String>("defect").map(String::as_str))
        }
        Some(("version", _)) => {
            let _ = writeln!(anstream::stdout(), "mallocop {}", env!("CARGO_PKG_VERSION"));
            Ok(0)
        }
        Some(("options", _)) => {
            list_options();
            Ok(0)
        }
        Some(("library", _)) => {
            let _ = writeln!(anstream::stdout(), "{}", library::install()?.display());
            Ok(0)
        }
        Some(("suppressions", _)) => {
            let _ = anstream::stdout().write_all(suppress::BUILT_IN.as_bytes());
            Ok(0)
        }
        Some(("doctor", matches)) => {
            let program = matches.get_one::<OsString>("program");
            doctor::examine(program.map(|program| Path::new(program.as_os_str())))
        }
        Some((program, matches)) => {
            let arguments = matches.get_many::<OsString>("").into_iter().flatten().cloned();
            run::run(&run::Run {
                program: Path::new(program),
                arguments: &arguments.collect::<Vec<_>>(),
                options: String::new(),
                to: destinations::Destinations::default(),
                input: None,
            })
            .map(|end| end.reported)
        }
        None => Err(Failure::Usage("no command".to_owned())),
    }
}

/// `mallocop run`, with or without `--deep`.
fn run_or_pass(matches: &ArgMatches) -> Result<u8, Failure> {
    let words: Vec<OsString> = matches.get_many("program").into_iter().flatten().cloned().collect();
    let (program, arguments) =
        words.split_first().ok_or_else(|| Failure::Usage("no program".to_owned()))?;
    let run = run::Run {
        program: Path::new(program),
        arguments,
        options: arguments::listed_options(matches),
        to: arguments::destinations(matches),
        input: None,
    };
    match arguments::deep_of(matches) {
        Some(deep) => deep::run(&run, &deep),
        None => run::run(&run).map(|end| end.reported),
    }
}

/// What `--color` says, before or behind the command.
fn chosen_color(matches: &ArgMatches) -> Option<ColorChoice> {
    match matches.get_one::<String>("color")?.as_str() {
        "always" => Some(ColorChoice::Always),
        "never" => Some(ColorChoice::Never),
        _ => Some(ColorChoice::Auto),
    }
}

fn list_options() {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(
        out,
        "Set with `mallocop run --NAME=VALUE` or MALLOCOP_OPTIONS=name=value:name=value\n"
    );
    for entry in TABLE {
        let default = entry.show(entry.default);
        let _ = writeln!(out, "{}={default}   ({})\n    {}", entry.name, entry.kind, entry.help);
    }
}
