//! What mallocop costs: programs and loops under glibc's malloc, under mallocop and under its
//! peers, interleaved in one run, as ratios. `cargo run --release -p mallocop-bench` prints
//! Markdown; `-- --help` lists the options.

mod arguments;
mod bench;
mod columns;
mod csv;
mod drift;
mod folder;
mod fuzz_builds;
mod fuzzing;
mod inputs;
mod job;
mod leaks;
mod libraries;
mod library;
mod loops;
mod machine;
mod measure;
mod memory;
mod programs;
mod random;
mod record;
mod redis;
mod registry;
mod scaling;
mod scripts;
mod section;
mod session;
mod statistics;
mod table;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::Task;
use section::Section;
use workload::Workload;

fn main() -> ExitCode {
    let task = arguments::task(&arguments::command().get_matches());
    let out = &mut io::stdout();
    let done = match task {
        Task::Bench(settings) => bench::run(&settings, out),
        Task::Drift(settings) => drift::run(&settings, out),
        Task::Registry => registry::run(out),
        Task::Leaks => leaks::run(out),
        Task::Record => record::run(out),
        Task::Fuzzing => fuzzing::run(out),
        Task::LeakLoad { name } => leaks::load(&name),
        Task::List => list(out).map_err(|error| error.to_string()),
        Task::Loop { name, operations } => run_loop(&name, operations),
        Task::DriftLoad { operations } => drift::load(operations),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mallocop-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a loop, which is to free what it allocates.
fn run_loop(name: &str, operations: u64) -> Result<(), String> {
    let entry = loops::named(name).ok_or("no such loop")?;
    let stats = (entry.run)(operations);
    if stats.allocated == stats.freed { Ok(()) } else { Err(format!("{name}: {stats:?}")) }
}

/// Names programs, loops and columns.
fn list(out: &mut impl Write) -> io::Result<()> {
    for section in Section::ALL {
        writeln!(out, "{}:", section.title())?;
        for workload in Workload::all().filter(|workload| workload.section() == section) {
            writeln!(out, "  {:20} {}", workload.name(), workload.about())?;
        }
    }
    writeln!(out, "columns:")?;
    for entry in &columns::TABLE {
        writeln!(out, "  {:20} {}", entry.name, entry.about)?;
    }
    Ok(())
}
