//! Plays saved inputs without libFuzzer: for a debugger and for coverage.
//!
//! `replay [--show] TARGET PATH...`: each path an input, or a folder of inputs. Prints what was
//! done; with `--show` each script before it is played.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mallocop_fuzz::tally::Tally;

fn inputs(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            inputs(&entry?.path(), found)?;
        }
    } else {
        found.push(path.to_owned());
    }
    Ok(())
}

fn run(name: &str, paths: &[String], show: bool) -> Result<(), String> {
    let Some(target) = mallocop_fuzz::target(name) else {
        let names: Vec<_> = mallocop_fuzz::TARGETS.iter().map(|target| target.name).collect();
        return Err(format!(
            "usage: replay [--show] TARGET PATH...\ntargets: {}",
            names.join(", ")
        ));
    };
    let mut files = Vec::new();
    for path in paths {
        inputs(Path::new(path), &mut files).map_err(|error| format!("{path}: {error}"))?;
    }
    files.sort();
    let (mut sum, mut accepted) = (Tally::default(), 0);
    for file in &files {
        let data = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if show {
            println!("{}: {}", file.display(), (target.show)(&data).unwrap_or_default());
        }
        if let Ok(tally) = (target.body)(&data) {
            sum += tally;
            accepted += 1;
        }
    }
    println!("{name}: {accepted} of {} inputs: {sum}", files.len());
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let show = arguments.first().is_some_and(|first| first == "--show");
    arguments.drain(..usize::from(show));
    let (name, paths) =
        arguments.split_first().map_or(("", &[][..]), |(name, paths)| (name, paths));
    match run(name, paths, show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
