//! What one report for a whole build costs beside a report from each process, and what it takes to
//! show a large recording.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::folder::Folder;
use crate::measure::{self, Cost};
use crate::random::Random;
use crate::statistics::Summary;
use crate::{library, machine};

/// Files that are compiled, each by three processes.
const FILES: usize = 200;
/// Times that the build is measured in each way.
const ROUNDS: usize = 5;
/// Modules of the recording, functions of each, sites, and frames of each site.
const MODULES: usize = 200;
const FUNCTIONS: usize = 500;
const SITES: usize = 100_000;
const FRAMES: usize = 25;
/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(600);

/// Measures and prints two tables.
pub(crate) fn run(out: &mut impl Write) -> Result<(), String> {
    let command = library::command()?;
    let text = |error: io::Error| error.to_string();
    let folder = Folder::create().and_then(|all| Ok((all.part("record")?, all))).map_err(text)?;
    writeln!(out, "{}\n", machine::describe()).map_err(text)?;
    measure_build(&command, &folder.0, out)?;
    measure_report(&command, &folder.0, out)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn check(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn cost(command: &mut Command) -> Result<Cost, String> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    measure::run(command, LIMIT).map_err(|failure| format!("{command:?}: {failure}"))
}

fn measure_build(command: &Path, folder: &Path, out: &mut impl Write) -> Result<(), String> {
    for number in 0..FILES {
        let source = format!(
            "#include <stdio.h>\nint f{number}(int x) \
             {{ char b[10]; return snprintf(b, 9, \"%d\", x) + {number}; }}\n"
        );
        write(&folder.join(format!("f{number}.c")), &source)?;
    }
    let rules = "all: $(patsubst %.c,%.o,$(wildcard f*.c))\n%.o: %.c\n\t@gcc -O1 -c -o $@ \
                 $<\nclean:\n\t@rm -f *.o\n";
    write(&folder.join("Makefile"), rules)?;
    let logs = format!("--log-path={}/logs/%e.%p", folder.display());
    let ways: [(&str, Option<&[&str]>); 3] = [
        ("alone", None),
        ("one report: mallocop run", Some(&["run", "--exitcode=0", "--"])),
        ("one each: --log-path", Some(&["run", "--exitcode=0", &logs, "--"])),
    ];
    let mut times = ways.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, words), times) in ways.iter().zip(&mut times) {
            let _ = fs::remove_dir_all(folder.join("logs"));
            check(Command::new("make").arg("clean").current_dir(folder))?;
            let mut make = Command::new(if words.is_some() { command } else { Path::new("make") });
            if let Some(words) = words {
                make.args(*words).arg("make");
            }
            times.push(cost(make.arg("-j2").current_dir(folder))?.wall);
        }
    }
    let text = |error: io::Error| error.to_string();
    writeln!(out, "| make -j2 of {FILES} files, {ROUNDS} rounds | s | ± |\n|---|---:|---:|")
        .map_err(text)?;
    for ((name, _), times) in ways.iter().zip(times) {
        let summary = Summary::of(times).ok_or("no times")?;
        writeln!(out, "| {name} | {:.1} | {:.0} % |", summary.median, summary.spread())
            .map_err(text)?;
    }
    Ok(())
}

fn measure_report(command: &Path, folder: &Path, out: &mut impl Write) -> Result<(), String> {
    let recording = folder.join("recording");
    write(&recording, &make_recording(folder)?)?;
    let text = |error: io::Error| error.to_string();
    writeln!(
        out,
        "\n| mallocop report of {SITES} sites in {MODULES} modules | s | ± | peak MiB \
         |\n|---|---:|---:|---:|"
    )
    .map_err(text)?;
    for (name, most) in [("the 20 largest shown", "20"), ("all shown", "100000")] {
        let mut times = Vec::new();
        let mut peak = 0f64;
        for _ in 0..ROUNDS {
            let mut report = Command::new(command);
            let cost = cost(report.args(["report", "--max-sites", most]).arg(&recording))?;
            times.push(cost.wall);
            peak = peak.max(cost.peak / 1024.0);
        }
        let summary = Summary::of(times).ok_or("no times")?;
        let (median, spread) = (summary.median, summary.spread());
        writeln!(out, "| {name} | {median:.1} | {spread:.0} % | {peak:.0} |").map_err(text)?;
    }
    Ok(())
}

/// A module of many functions, each of which calls an inlined one: its path and their addresses.
fn make_module(folder: &Path) -> Result<(PathBuf, Vec<u64>), String> {
    let mut source = String::new();
    for number in 0..FUNCTIONS {
        let _ = write!(
            source,
            "static inline int g{number}(int x) {{ return x * {number} + 1; }}\n\
             int f{number}(int x)\n\
             {{\n    volatile int y = g{number}(x);\n    return y + {number};\n}}\n"
        );
    }
    let (from, to) = (folder.join("module.c"), folder.join("module.so"));
    write(&from, &source)?;
    check(Command::new("gcc").args(["-g", "-O1", "-shared", "-fPIC", "-o"]).args([&to, &from]))?;
    let names = check(Command::new("nm").arg(&to))?;
    let addresses = names.lines().filter_map(|line| {
        let (address, name) = line.split_once(" T ")?;
        name.strip_prefix('f')?.parse::<u32>().ok()?;
        u64::from_str_radix(address, 16).ok()
    });
    Ok((to, addresses.collect()))
}

/// A recording of a process that was killed (docs/format.md), as text.
fn make_recording(folder: &Path) -> Result<String, String> {
    let (module, addresses) = make_module(folder)?;
    let mut random = Random::new(1);
    let (mut modules, mut frames) = (Vec::new(), Vec::new());
    for number in 0..MODULES {
        let path = folder.join(format!("module{number}.so"));
        fs::copy(&module, &path).map_err(|error| error.to_string())?;
        modules.push(format!("{{\"path\":\"{}\",\"build_id\":\"\"}}", path.display()));
        // Behind a function's first instructions, as a return address is.
        frames.extend(addresses.iter().map(|address| format!("[{number},{},0]", address + 9)));
    }
    let (mut stacks, mut sites) = (Vec::new(), Vec::new());
    for site in 0..SITES {
        let mut stack = (site % frames.len()).to_string();
        for _ in 1..FRAMES {
            let _ = write!(stack, ",{}", random.below(frames.len()));
        }
        stacks.push(format!("{{\"frames\":[{stack}],\"ending\":\"Whole\"}}"));
        sites.push(format!(
            "{{\"site\":{},\"totals\":{{\"blocks\":1,\"bytes\":100}},\
             \"counts\":{{\"blocks\":1,\"bytes\":100,\"freed\":0,\"peak\":100}}}}",
            site + 1
        ));
    }
    Ok(format!(
        "{{\"format\":\"mallocop-recording\",\"version\":1,\
         \"modules\":[{}],\"frames\":[{}],\"stacks\":[{}],\
         \"processes\":[{{\"serial\":1,\"pid\":7,\"parent_pid\":1,\"program\":\"program\",\
         \"is_fork\":false,\
         \"is_root\":true,\"end\":\"Killed\",\"findings\":[],\"outcomes\":[],\"in_use\":[{}],\
         \"allocations\":{SITES},\"lost\":0}}],\"unwatched\":[]}}\n",
        modules.join(","),
        frames.join(","),
        stacks.join(","),
        sites.join(",")
    ))
}
