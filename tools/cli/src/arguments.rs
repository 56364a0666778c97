//! The command line. Flags of `run` come from the library's table of options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use mallocop::options::{self, OptionSpec, TABLE, Type};

use crate::commands::deep::Deep;
use crate::commands::demo;
use crate::commands::sweep::Sweep;
use crate::destinations::Destinations;
use crate::failure::Failure;

/// The whole command line. A subcommand's own options are made once it is known to be the one: the
/// start of a program waits for all that is made here.
pub(crate) fn command() -> Command {
    Command::new("mallocop")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "A debug allocator: runs a program and reports heap corruption, invalid frees and \
                leaks",
        )
        .subcommand_required(true)
        .allow_external_subcommands(true)
        .external_subcommand_value_parser(clap::value_parser!(OsString))
        .override_usage(
            "mallocop COMMAND ...\n       mallocop PROGRAM [ARGUMENTS]...    as \
                         mallocop run -- PROGRAM",
        )
        .arg(
            Arg::new("color")
                .long("color")
                .global(true)
                .value_name("WHEN")
                .value_parser(PossibleValuesParser::new(["auto", "always", "never"]))
                .help(
                    "Colour the report: auto (a terminal, unless NO_COLOR is set), always, \
                       never",
                ),
        )
        .arg_required_else_help(true)
        .subcommand(run())
        .subcommand(sweep())
        .subcommand(
            Command::new("report")
                .about(
                    "Print the report of recordings from `run --output`, also on another \
                        machine",
                )
                .defer(|report| {
                    let shown = TABLE.iter().filter(|entry| SHOWN.contains(&entry.name));
                    report.args(shown.map(flag)).args(places())
                })
                .arg(
                    Arg::new("files")
                        .required(true)
                        .num_args(1..)
                        .value_parser(clap::value_parser!(PathBuf))
                        .value_hint(ValueHint::FilePath)
                        .help("The recordings"),
                ),
        )
        .subcommand(
            Command::new("demo")
                .about("Run a small faulty program, or all of them one after the other")
                .arg(
                    Arg::new("defect")
                        .value_parser(PossibleValuesParser::new(demo::names()))
                        .help("The defect to show"),
                ),
        )
        .subcommand(Command::new("version").about("Print the version"))
        .subcommand(Command::new("options").about("List the options with their defaults"))
        .subcommand(
            Command::new("library")
                .about("Print the path of libmallocop.so, for LD_PRELOAD without this command"),
        )
        .subcommand(Command::new("suppressions").about("Print the built-in suppressions"))
        .subcommand(
            Command::new("doctor")
                .about(
                    "Check, without running it, what mallocop can see of a program, and this \
                        machine",
                )
                .arg(
                    Arg::new("program")
                        .value_parser(clap::value_parser!(OsString))
                        .value_hint(ValueHint::CommandName)
                        .help("The program; without one, only the machine is checked"),
                )
                .arg(
                    Arg::new("arguments")
                        .num_args(0..)
                        .trailing_var_arg(true)
                        .allow_hyphen_values(true)
                        .value_parser(clap::value_parser!(OsString))
                        .hide(true),
                ),
        )
        .after_help(
            "Exit status: the program's own; 23 if something was reported and the program returned \
             0;\n128+n when signal n ended it (134: a heap error); 2 wrong usage; 125 mallocop \
             failed or cannot\nwatch the program; 126 it cannot be run; 127 there is none.",
        )
}

fn run() -> Command {
    Command::new("run")
        .about("Run a program and its children under mallocop")
        .override_usage("mallocop run [--OPTION=VALUE]... [--] PROGRAM [ARGUMENTS]...")
        .defer(|run| run.args(TABLE.iter().map(flag)).args(places()).args(passes()))
        .arg(
            Arg::new("program")
                .required(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(clap::value_parser!(OsString))
                .value_hint(ValueHint::CommandWithArguments)
                .help("The program and its arguments"),
        )
}

fn sweep() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("sweep")
        .about(
            "Run a program once for each stack that requests memory, refuse that request, and \
                list the failures that the program does not survive",
        )
        .override_usage("mallocop sweep [OPTIONS] [--] PROGRAM [ARGUMENTS]...")
        .arg(
            flag("by-site", "Refuse the first request of each stack (this is the default)")
                .action(ArgAction::SetTrue)
                .conflicts_with("every"),
        )
        .arg(
            flag(
                "every",
                "Refuse each request once, not only the first of each \
                            stack",
            )
            .action(ArgAction::SetTrue),
        )
        .arg(
            flag("max", "Most runs, spread evenly over all requests")
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(1..)),
        )
        .arg(
            flag(
                "timeout",
                "Seconds until a run counts as hung [default: ten times the first \
                             run, at least 5]",
            )
            .value_name("S")
            .value_parser(clap::value_parser!(u64).range(1..)),
        )
        .arg(
            flag(
                "check",
                "Shell command that reads the output of a run and fails if it is wrong; \
                           for runs with the program's exit status [default: compare the output]",
            )
            .value_name("CMD"),
        )
        .defer(|sweep| {
            sweep.args(TABLE.iter().filter(|entry| entry.name != "fail").map(self::flag))
        })
        .arg(
            Arg::new("program")
                .required(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(clap::value_parser!(OsString))
                .value_hint(ValueHint::CommandWithArguments)
                .help("The program and its arguments; its standard input is empty"),
        )
}

/// What was said to be swept.
pub(crate) fn sweep_of(matches: &ArgMatches) -> Result<Sweep, Failure> {
    let mut words = matches.get_many::<OsString>("program").into_iter().flatten().cloned();
    let program = words.next().ok_or_else(|| Failure::Usage("no program".to_owned()))?;
    Ok(Sweep {
        program: program.into(),
        arguments: words.collect(),
        options: listed_options(matches),
        every: matches.get_flag("every"),
        max: matches.get_one::<u64>("max").and_then(|&max| usize::try_from(max).ok()),
        timeout: matches.get_one("timeout").map(|&seconds| Duration::from_secs(seconds)),
        check: matches.get_one("check").cloned(),
    })
}

/// Options that count where a recording is shown.
const SHOWN: [&str; 7] = [
    "addresses",
    "exitcode",
    "full_stacks",
    "max_sites",
    "print_summary",
    "quiet",
    "show_reachable",
];

/// Flags that are the command's own: where the report goes besides the terminal.
fn places() -> [Arg; 3] {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help(help)
    };
    [
        file("output", "Keep the recording in this file, for `mallocop report`"),
        file("json", "Also write the report as JSON to this file (-: standard output)"),
        Arg::new("debuginfod")
            .long("debuginfod")
            .action(ArgAction::SetTrue)
            .help("Download missing debug information from the servers in DEBUGINFOD_URLS"),
    ]
}

/// Flags of `run --deep`.
fn passes() -> [Arg; 2] {
    [
        Arg::new("deep").long("deep").action(ArgAction::SetTrue).help(
            "Run the program four times more, with guards on all blocks and checked calls of \
             libc's, to find each error at its access",
        ),
        Arg::new("deep-prepare")
            .long("deep-prepare")
            .value_name("CMD")
            .requires("deep")
            .help("Shell command to run before each of these runs"),
    ]
}

/// The values of `run --deep`'s flags; `None` without `--deep`.
pub(crate) fn deep_of(matches: &ArgMatches) -> Option<Deep> {
    let prepare = matches.get_one("deep-prepare").cloned();
    matches.get_flag("deep").then_some(Deep { prepare })
}

/// What was said by these flags.
pub(crate) fn destinations(matches: &ArgMatches) -> Destinations {
    Destinations {
        output: matches.get_one("output").cloned(),
        json: matches.get_one("json").cloned(),
        debuginfod: matches.get_flag("debuginfod"),
    }
}

/// The flag of an option: its name with dashes; the name as in `MALLOCOP_OPTIONS` works as well.
fn flag(entry: &'static OptionSpec) -> Arg {
    let arg = Arg::new(entry.name)
        .long(entry.name.replace('_', "-"))
        .alias(entry.name)
        .help(match entry.show(entry.default).to_string() {
            empty if empty.is_empty() => entry.help.to_owned(),
            default => format!("{} [default: {default}]", entry.help),
        })
        .value_parser(move |text: &str| {
            let wanted = || format!("it takes {}", entry.kind);
            entry.parse(text).map(|_| text.to_owned()).ok_or_else(wanted)
        })
        .overrides_with(entry.name);
    match entry.kind {
        Type::Flag => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("1").value_name("0|1")
        }
        Type::Number(_) => arg.value_name("N"),
        Type::Choice(words) => arg.value_name(words.join("|")),
        Type::Programs => arg.value_name("NAME|NAME"),
        Type::Plan => arg.value_name("PLAN"),
        Type::Patterns => arg.value_name("NAME|NAME"),
        Type::Sizes => arg.value_name("LO-HI"),
        Type::Path => arg.value_name("FILE").value_hint(ValueHint::FilePath),
    }
}

/// The options given as flags, in the form of `MALLOCOP_OPTIONS`.
pub(crate) fn listed_options(matches: &ArgMatches) -> String {
    TABLE
        .iter()
        .filter_map(|entry| {
            let value = matches.try_get_one::<String>(entry.name).ok()??;
            let value = options::quote(value).unwrap_or_else(|| value.clone());
            Some(format!("{}={value}", entry.name))
        })
        .collect::<Vec<_>>()
        .join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_a_flag() {
        for entry in TABLE {
            let flag = format!("--{}={}", entry.name.replace('_', "-"), entry.show(entry.default));
            let matches = command()
                .try_get_matches_from(["mallocop", "run", &flag, "true", "--not-ours"])
                .unwrap_or_else(|error| panic!("{flag}: {error}"));
            let (_, matches) = matches.subcommand().expect("run");
            let expected = format!("{}={}", entry.name, entry.show(entry.default));
            assert_eq!(listed_options(matches), expected);
        }
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }
}
