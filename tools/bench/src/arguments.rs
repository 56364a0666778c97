//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::columns::{self, Entry, Group};
use crate::workload::Workload;
use crate::{leaks, loops};

/// Interleaved runs of each column, where nothing else is said.
const RUNS: u64 = 11;
/// The same for a quick run.
const QUICK_RUNS: u64 = 3;

/// What to do.
pub(crate) enum Task {
    /// Measures programs and loops.
    Bench(Settings),
    /// Watches memory under the long load.
    Drift(Settings),
    /// Measures the shadow by itself.
    Registry,
    /// Measures the leak check by itself.
    Leaks,
    /// Measures a whole build's report, and a large recording's.
    Record,
    /// Measures fuzz targets.
    Fuzzing,
    /// Is a heap to look for leaks in, in a process of its own.
    LeakLoad { name: String },
    /// Names programs and columns.
    List,
    /// Is a loop, in a process of its own.
    Loop { name: String, operations: u64 },
    /// Is the long load, in a process of its own.
    DriftLoad { operations: u64 },
}

/// What to measure, and how.
pub(crate) struct Settings {
    pub(crate) columns: Vec<&'static Entry>,
    /// Whether the columns were asked for by their names.
    pub(crate) named: bool,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) runs: usize,
    pub(crate) quick: bool,
    pub(crate) csv: Option<PathBuf>,
}

/// The whole command line.
pub(crate) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let operations =
        || Arg::new("operations").required(true).value_parser(value_parser!(u64).range(1..));
    Command::new("mallocop-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Measures programs and loops under glibc's malloc, mallocop and its peers")
        .args_conflicts_with_subcommands(true)
        .arg(Arg::new("peers").long("peers").value_parser(["none", "light", "all"]).help(
            "Allocators to compare with: jemalloc, mimalloc, tcmalloc and scudo are \
                       light [default: light; none with --quick]",
        ))
        .arg(
            names("columns", columns::TABLE.iter().map(|entry| entry.name))
                .conflicts_with("peers")
                .help("Columns to measure, and glibc's"),
        )
        .arg(
            names("only", Workload::all().map(Workload::name))
                .help("Programs and loops to measure"),
        )
        .arg(
            Arg::new("runs")
                .long("runs")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..=1000))
                .help(
                    "Runs of each column; heavy ones that --columns does not name get at most \
                     3 [default: 11; 3 with --quick]",
                ),
        )
        .arg(flag("quick", "Smaller inputs, fewer runs, no stacks, no peers: under 2 minutes"))
        .arg(
            flag(
                "drift",
                "Watch memory under a long load of drifting sizes instead, without heavy columns",
            )
            .conflicts_with_all(["only", "runs"]),
        )
        .arg(
            Arg::new("csv")
                .long("csv")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write all figures to a file"),
        )
        .arg(flag("list", "Name the programs, loops and columns").exclusive(true))
        .subcommand(
            Command::new("loop")
                .hide(true)
                .arg(Arg::new("name").required(true).value_parser(PossibleValuesParser::new(
                    loops::TABLE.iter().map(|entry| entry.name),
                )))
                .arg(operations()),
        )
        .arg(flag("registry", "Measure the registry by itself instead").exclusive(true))
        .arg(flag("leaks", "Measure the leak check by itself instead").exclusive(true))
        .arg(
            flag("record", "Measure a whole build's report and a large recording's instead")
                .exclusive(true),
        )
        .arg(
            flag("fuzzing", "Measure fuzz targets, beside AddressSanitizer's, instead")
                .exclusive(true),
        )
        .subcommand(
            Command::new("leak-load")
                .hide(true)
                .arg(Arg::new("name").required(true).value_parser(leaks::LOADS)),
        )
        .subcommand(Command::new("drift-load").hide(true).arg(operations()))
}

/// An option that takes some of these names.
fn names(name: &'static str, all: impl Iterator<Item = &'static str>) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("NAME,...")
        .value_delimiter(',')
        .hide_possible_values(true)
        .value_parser(PossibleValuesParser::new(all))
}

/// What the command line asks for.
pub(crate) fn task(matches: &ArgMatches) -> Task {
    let operations = |matches: &ArgMatches| matches.get_one("operations").copied().unwrap_or(1);
    match matches.subcommand() {
        Some(("loop", matches)) => Task::Loop {
            name: matches.get_one("name").cloned().unwrap_or_default(),
            operations: operations(matches),
        },
        Some(("leak-load", matches)) => {
            Task::LeakLoad { name: matches.get_one("name").cloned().unwrap_or_default() }
        }
        Some((_, matches)) => Task::DriftLoad { operations: operations(matches) },
        None if matches.get_flag("list") => Task::List,
        None if matches.get_flag("registry") => Task::Registry,
        None if matches.get_flag("leaks") => Task::Leaks,
        None if matches.get_flag("record") => Task::Record,
        None if matches.get_flag("fuzzing") => Task::Fuzzing,
        None if matches.get_flag("drift") => Task::Drift(settings(matches)),
        None => Task::Bench(settings(matches)),
    }
}

fn settings(matches: &ArgMatches) -> Settings {
    let quick = matches.get_flag("quick");
    let runs = matches.get_one("runs").copied().unwrap_or(if quick { QUICK_RUNS } else { RUNS });
    let only = chosen(matches, "only");
    let is_wanted =
        |workload: &Workload| only.as_ref().is_none_or(|only| only.contains(&workload.name()));
    Settings {
        columns: columns::TABLE.iter().filter(|entry| has_column(matches, entry)).collect(),
        named: matches.contains_id("columns"),
        workloads: Workload::all().filter(is_wanted).collect(),
        runs: runs as usize,
        quick,
        csv: matches.get_one("csv").cloned(),
    }
}

/// The names after an option, if it is there.
fn chosen<'a>(matches: &'a ArgMatches, option: &str) -> Option<Vec<&'a str>> {
    let names = matches.get_many::<String>(option)?;
    Some(names.map(String::as_str).collect())
}

fn has_column(matches: &ArgMatches, entry: &Entry) -> bool {
    let quick = matches.get_flag("quick");
    let peers = matches.get_one::<String>("peers").map(String::as_str);
    let peers = peers.unwrap_or(if quick { "none" } else { "light" });
    match (entry.group, chosen(matches, "columns")) {
        (Group::Base, _) => true,
        (_, Some(chosen)) => chosen.contains(&entry.name),
        (Group::Own, None) => {
            !quick || !["everything", "guard-off", "guard-all", "leaks"].contains(&entry.name)
        }
        (Group::Light, None) => peers != "none",
        (Group::Heavy, None) => peers == "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Settings, clap::Error> {
        let words = std::iter::once("bench").chain(arguments.split_whitespace());
        Ok(settings(&command().try_get_matches_from(words)?))
    }

    fn column_names(arguments: &str) -> Vec<&'static str> {
        parse(arguments).unwrap().columns.iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn defaults_are_light_peers_and_eleven_runs() {
        let settings = parse("").unwrap();
        assert_eq!((settings.runs, settings.quick), (11, false));
        assert_eq!(settings.workloads.len(), Workload::all().count());
        assert!(column_names("").ends_with(&["jemalloc", "mimalloc", "tcmalloc", "scudo"]));
        assert_eq!(column_names("--peers all").len(), columns::TABLE.len());
        assert_eq!(
            column_names("--peers none"),
            ["glibc", "checks-off", "checks", "everything", "guard-off", "guard-all", "leaks"]
        );
    }

    #[test]
    fn quick_has_few_columns_and_runs_unless_told() {
        assert_eq!(column_names("--quick"), ["glibc", "checks-off", "checks"]);
        assert_eq!(column_names("--quick --columns everything"), ["glibc", "everything"]);
        assert_eq!(parse("--quick").unwrap().runs, 3);
        assert_eq!(parse("--quick --runs 5").unwrap().runs, 5);
    }

    #[test]
    fn names_select() {
        assert_eq!(column_names("--columns checks,valgrind"), ["glibc", "checks", "valgrind"]);
        assert!(parse("--columns checks,valgrind").unwrap().named);
        assert!(!parse("--peers all").unwrap().named);
        let names: Vec<&str> =
            parse("--only perl,large").unwrap().workloads.iter().map(|w| w.name()).collect();
        assert_eq!(names, ["perl", "large"]);
    }

    #[test]
    fn wrong_usage_ends_with_2() {
        for wrong in [
            "--only nothing",
            "--columns perl",
            "--runs 0",
            "--runs many",
            "--peers heavy",
            "--peers all --columns checks",
            "--drift --only perl",
            "--unknown",
            "loop nothing 1",
            "loop large 0",
        ] {
            assert_eq!(parse(wrong).err().map(|error| error.exit_code()), Some(2), "{wrong}");
        }
    }
}
