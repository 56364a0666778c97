//! Inputs per second of fuzz targets in C and in Rust: without anything, with mallocop preloaded
//! and, in Rust, with its crate, and built with AddressSanitizer.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::folder::Folder;
use crate::fuzz_builds::{self, Language};
use crate::measure;
use crate::statistics::{Summary, median};
use crate::{library, machine};

/// Allocations for each input, with the inputs of a run.
const TARGETS: [(usize, usize); 2] = [(20, 400_000), (1000, 20_000)];
/// Interleaved runs of each.
const ROUNDS: usize = 7;
/// Of these the ones with the crate.
const CRATE_ROUNDS: usize = 3;
/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(600);

/// What is measured of a target: without anything, preloaded, by the crate, by the sanitizer.
type Programs = [Option<PathBuf>; 4];
const PLAIN: usize = 0;
const PRELOADED: usize = 1;
const CRATE: usize = 2;
const SANITIZED: usize = 3;

/// Measures and prints a table.
pub(crate) fn run(out: &mut impl Write) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let folder = Folder::create().and_then(|all| Ok((all.part("fuzzing")?, all))).map_err(text)?;
    let library = library::build()?;
    writeln!(out, "{}, {}\n", machine::describe(), fuzz_builds::compilers()?).map_err(text)?;
    writeln!(
        out,
        "| inputs per second | nothing | mallocop | of nothing | the crate | ASan and \
                   LSan | of nothing | mallocop to ASan | the crate to ASan |"
    )
    .map_err(text)?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|---:|").map_err(text)?;
    for language in [Language::C, Language::Rust] {
        for (allocations, inputs) in TARGETS {
            let programs = fuzz_builds::build(language, &folder.0, allocations)?;
            let line = line(&programs, &library, inputs)?;
            let name = language.name();
            writeln!(out, "| {name}, {allocations} allocations {line}").map_err(text)?;
        }
    }
    Ok(())
}

fn line(programs: &Programs, library: &Path, inputs: usize) -> Result<String, String> {
    let mut rounds: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        for (which, speeds) in rounds.iter_mut().enumerate() {
            let Some(Some(program)) = programs.get(which) else { continue };
            // It takes as long as all the others together.
            if which == CRATE && round >= CRATE_ROUNDS {
                continue;
            }
            let mut command = command(program, inputs);
            if which == PRELOADED {
                command.env("LD_PRELOAD", library);
            }
            speeds.push(speed(&mut command, inputs)?);
        }
    }
    let shown = |which: usize| {
        median(rounds[which].iter().copied())
            .map_or("–".to_owned(), |speed| format!("{speed:.0}"))
    };
    let ratio = |of: usize, to: usize| {
        let pairs: Vec<f64> = rounds[of].iter().zip(&rounds[to]).map(|(of, to)| of / to).collect();
        Summary::of(pairs).map_or("–".to_owned(), |ratio| {
            format!("{:.2} (± {:.0} %)", ratio.median, ratio.spread())
        })
    };
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        shown(PLAIN),
        shown(PRELOADED),
        ratio(PRELOADED, PLAIN),
        shown(CRATE),
        shown(SANITIZED),
        ratio(SANITIZED, PLAIN),
        ratio(PRELOADED, SANITIZED),
        ratio(CRATE, SANITIZED)
    ))
}

fn command(program: &Path, inputs: usize) -> Command {
    let mut command = Command::new(program);
    // Inputs of one length from one seed: the same work in all of them.
    command.args([
        &format!("-runs={inputs}"),
        "-seed=1",
        "-max_len=64",
        "-len_control=0",
        "-verbosity=0",
    ]);
    command.env_remove("LD_PRELOAD").env("MALLOCOP_OPTIONS", "quiet=1");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn speed(command: &mut Command, inputs: usize) -> Result<f64, String> {
    let cost = measure::run(command, LIMIT).map_err(|failure| format!("{command:?}: {failure}"))?;
    Ok(inputs as f64 / cost.wall)
}
