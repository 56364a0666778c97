//! What mallocop costs: real programs under glibc's malloc and under mallocop, interleaved in one
//! run, as ratios. `cargo run --release -p mallocop-bench [-- RUNS]` prints a Markdown table.

mod measure;
mod programs;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use measure::Cost;
use programs::Program;

/// Interleaved runs of each column where nothing else is said.
const RUNS: usize = 5;

/// A way to run a program: without us, or with these options.
struct Column {
    name: &'static str,
    options: Option<&'static str>,
}

const COLUMNS: [Column; 4] = [
    Column { name: "glibc", options: None },
    Column { name: "checks off, no stacks", options: Some("checks=none:malloc_context_size=0") },
    Column { name: "all checks, no stacks", options: Some("malloc_context_size=0") },
    Column { name: "all checks, full stacks", options: Some("malloc_context_size=256") },
];

fn main() -> ExitCode {
    let runs = env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    match bench(runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mallocop-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(runs: usize) -> Result<(), String> {
    let library = build_library()?;
    let folder = env::temp_dir().join(format!("mallocop-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    println!("{}", headline(runs));
    println!("| program | {} |", heads().join(" | "));
    println!("|---|{}", "---|".repeat(heads().len()));
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); heads().len()];
    for program in programs::all() {
        match measure_program(&program, &library, &folder, runs) {
            Ok(row) => {
                for (column, &ratio) in ratios.iter_mut().zip(&row) {
                    column.push(ratio);
                }
                println!("| {} | {} |", program.name, cells(&row));
            }
            Err(why) => println!("| {} | not measured: {why} |", program.name),
        }
    }
    let means: Vec<f64> = ratios.iter().map(|column| geometric_mean(column)).collect();
    println!("| **geometric mean** | {} |", cells(&means));
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}

fn heads() -> Vec<String> {
    let measured = COLUMNS.iter().filter(|column| column.options.is_some());
    measured
        .flat_map(|column| ["CPU", "memory"].map(|what| format!("{}: {what}", column.name)))
        .collect()
}

fn cells(ratios: &[f64]) -> String {
    ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" | ")
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

/// Ratios to glibc, CPU and peak memory of each column in turn: medians over the runs.
fn measure_program(
    program: &Program,
    library: &Path,
    folder: &Path,
    runs: usize,
) -> Result<Vec<f64>, String> {
    let folder = folder.join(program.name);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    (program.prepare)(&folder)?;
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); COLUMNS.len()];
    for _ in 0..runs {
        for (column, costs) in COLUMNS.iter().zip(&mut costs) {
            costs.push(measure::run(program, &folder, column.options.map(|o| (library, o)))?);
        }
    }
    let median = |costs: &[Cost], of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let both = |costs: &[Cost]| [median(costs, |c| c.cpu), median(costs, |c| c.peak)];
    let (glibc, others) = costs.split_first().ok_or("no columns")?;
    let [cpu, peak] = both(glibc);
    let ratios = others.iter().flat_map(|costs| {
        let [this_cpu, this_peak] = both(costs);
        [this_cpu / cpu, this_peak / peak]
    });
    Ok(ratios.collect())
}

/// Builds libmallocop.so as the command carries it, and says where it is.
fn build_library() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new("cargo")
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "mallocop-preload", "--profile", "preload"])
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let library = root.join("target/preload/libmallocop.so");
    if !status.success() || !library.is_file() {
        return Err("libmallocop.so was not built".to_owned());
    }
    library.canonicalize().map_err(|error| error.to_string())
}

/// Date, machine and number of runs.
fn headline(runs: usize) -> String {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        output.map_or_else(String::new, |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let libc = output("ldd", &["--version"]);
    format!(
        "{}, {} cores, Linux {}, {}; medians of {runs} interleaved runs, ratio to glibc's malloc; \
         CPU is user + system, memory the largest resident set of a process of the tree\n",
        output("date", &["+%Y-%m-%d"]),
        output("nproc", &[]),
        output("uname", &["-r"]),
        libc.lines().next().unwrap_or("libc of unknown version")
    )
}
