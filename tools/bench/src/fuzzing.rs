//! Inputs per second of a fuzz target: without anything, with mallocop preloaded, and built with AddressSanitizer.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::folder::Folder;
use crate::measure;
use crate::statistics::{Summary, median};
use crate::{library, machine};

/// Allocations for each input, with the inputs of a run.
const TARGETS: [(usize, usize); 2] = [(20, 400_000), (1000, 20_000)];
/// Interleaved runs of each.
const ROUNDS: usize = 7;
/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(600);

/// Measures and prints a table.
pub(crate) fn run(out: &mut impl Write) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let folder = Folder::create().and_then(|all| Ok((all.part("fuzzing")?, all))).map_err(text)?;
    let library = library::build()?;
    writeln!(out, "{}, {}\n", machine::describe(), compiler()?).map_err(text)?;
    writeln!(out, "| inputs per second | nothing | mallocop | of nothing | ASan and LSan | of nothing | mallocop to ASan |").map_err(text)?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|").map_err(text)?;
    for (allocations, inputs) in TARGETS {
        let plain = build(&folder.0, allocations, false)?;
        let sanitized = build(&folder.0, allocations, true)?;
        let mut rounds: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            let [nothing, ours, theirs] = &mut rounds;
            nothing.push(speed(&mut command(&plain, inputs), inputs)?);
            let mut watched = command(&plain, inputs);
            watched.env("LD_PRELOAD", &library).env("MALLOCOP_OPTIONS", "quiet=1");
            ours.push(speed(&mut watched, inputs)?);
            theirs.push(speed(&mut command(&sanitized, inputs), inputs)?);
        }
        let ratio = |of: &[f64], to: &[f64]| {
            let pairs: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
            Summary::of(pairs).ok_or("nothing was measured")
        };
        let [nothing, ours, theirs] = &rounds;
        let shown =
            |speeds: &[f64]| format!("{:.0}", median(speeds.iter().copied()).unwrap_or(0.0));
        let ratios = [ratio(ours, nothing)?, ratio(theirs, nothing)?, ratio(ours, theirs)?];
        let [of_ours, of_theirs, between] =
            ratios.map(|ratio| format!("{:.2} (± {:.0} %)", ratio.median, ratio.spread()));
        writeln!(
            out,
            "| {allocations} allocations | {} | {} | {of_ours} | {} | {of_theirs} | {between} |",
            shown(nothing),
            shown(ours),
            shown(theirs)
        )
        .map_err(text)?;
    }
    Ok(())
}

fn compiler() -> Result<String, String> {
    let output = Command::new("clang++")
        .arg("--version")
        .output()
        .map_err(|error| format!("clang++: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("").to_owned())
}

/// Builds a target; not by one call with -fsanitize=fuzzer, which links hooks of its own.
fn build(folder: &Path, allocations: usize, sanitized: bool) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/fuzz_speed.cpp");
    let name = format!("fuzz_{allocations}_{sanitized}");
    let (object, program) = (folder.join(format!("{name}.o")), folder.join(name));
    let sanitizer =
        if sanitized { "-fsanitize=address,fuzzer-no-link" } else { "-fsanitize=fuzzer-no-link" };
    let mut compile = Command::new("clang++");
    compile
        .args(["-O1", "-g", sanitizer, "-c"])
        .arg(format!("-DALLOCATIONS={allocations}"))
        .arg(source)
        .arg("-o")
        .arg(&object);
    check(&mut compile)?;
    let mut link = Command::new("clang++");
    if sanitized {
        link.arg("-fsanitize=address");
    }
    link.arg(&object).arg(archive()?).args(["-lpthread", "-lm", "-o"]).arg(&program);
    check(&mut link)?;
    Ok(program)
}

fn archive() -> Result<String, String> {
    let mut ask = Command::new("clang++");
    let found = check(ask.arg("-print-file-name=libclang_rt.fuzzer-x86_64.a"))?;
    if found.trim().starts_with('/') {
        return Ok(found.trim().to_owned());
    }
    let folder = check(Command::new("clang++").arg("-print-runtime-dir"))?;
    Ok(format!("{}/libclang_rt.fuzzer-x86_64.a", folder.trim()))
}

fn check(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
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
    command.env_remove("LD_PRELOAD").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn speed(command: &mut Command, inputs: usize) -> Result<f64, String> {
    let cost = measure::run(command, LIMIT).map_err(|failure| format!("{command:?}: {failure}"))?;
    Ok(inputs as f64 / cost.wall)
}
