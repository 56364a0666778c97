//! Plays saved inputs without libFuzzer: for a debugger and for coverage.
//!
//! `replay TARGET PATH...`: each path an input, or a folder of inputs. Prints what was done.

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

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(target) = mallocop_fuzz::target(&name.to_string_lossy()) else {
        let names: Vec<_> = mallocop_fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("usage: replay TARGET PATH...\ntargets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let mut files = Vec::new();
    for path in arguments {
        if let Err(error) = inputs(Path::new(&path), &mut files) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    files.sort();
    let (mut sum, mut accepted) = (Tally::default(), 0);
    for file in &files {
        let data = match fs::read(file) {
            Ok(data) => data,
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::from(2);
            }
        };
        if let Ok(tally) = (target.body)(&data) {
            sum += tally;
            accepted += 1;
        }
    }
    println!("{}: {accepted} of {} inputs: {sum}", target.name, files.len());
    ExitCode::SUCCESS
}
