//! `mallocop demo`: small faulty programs, carried inside the command, run under it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{env, fs};

use crate::commands::run::{self, Run};
use crate::destinations::Destinations;
use crate::failure::Failure;
use crate::printer;

/// A faulty program and its source.
struct Demo {
    name: &'static str,
    file: &'static str,
    program: &'static [u8],
    source: &'static str,
}

macro_rules! demo {
    ($name:literal, $file:literal) => {
        Demo {
            name: $name,
            file: $file,
            program: include_bytes!(concat!(env!("OUT_DIR"), "/", $file)),
            source: include_str!(concat!("../../demo/", $file, ".c")),
        }
    };
}

const DEMOS: [Demo; 7] = [
    demo!("leak", "leak"),
    demo!("overflow", "overflow"),
    demo!("underflow", "underflow"),
    demo!("use-after-free", "use_after_free"),
    demo!("double-free", "double_free"),
    demo!("invalid-free", "invalid_free"),
    demo!("mismatch", "mismatch"),
];

/// The names, for the command line.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    DEMOS.iter().map(|demo| demo.name)
}

/// Runs one demo, or one after the other. One alone gives its own status; all of them 0.
pub(crate) fn run(name: Option<&str>) -> Result<u8, Failure> {
    let mut status = 0;
    for demo in DEMOS.iter().filter(|demo| name.is_none_or(|name| name == demo.name)) {
        status = run_one(demo)?;
        printer::say(&format!("demo {} ended with status {status}", demo.name));
        printer::print_text("\n");
    }
    Ok(if name.is_some() { status } else { 0 })
}

fn run_one(demo: &Demo) -> Result<u8, Failure> {
    let make = || Failure::step(format!("lay out the demo {}", demo.name));
    let directory = tempfile::tempdir().map_err(make())?;
    let program = directory.path().join(demo.file);
    fs::write(directory.path().join(format!("{}.c", demo.file)), demo.source).map_err(make())?;
    fs::write(&program, demo.program).map_err(make())?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(make())?;
    let report = demo.source.lines().next().unwrap_or("").trim_start_matches("// ");
    printer::say(&format!("demo {}: {report}", demo.name));
    // Its stacks have the sources' names as of there.
    let here = env::current_dir();
    env::set_current_dir(directory.path()).map_err(make())?;
    let end = run::run(&Run {
        program: Path::new(&program),
        arguments: &[],
        options: String::new(),
        to: Destinations::default(),
        input: None,
    });
    here.and_then(env::set_current_dir).map_err(make())?;
    end.map(|end| end.reported)
}
