//! What looking for leaks costs: how much memory is looked through in a second, and how much longer
//! a trivial program takes to end.

use std::ffi::c_int;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::measure;
use crate::random::Random;
use crate::statistics::Summary;
use crate::{library, machine};

/// Small blocks, of 32 to 127 bytes, each of which leads to the one before and to one anywhere.
const SMALL: usize = 1_000_000;
/// Large ones, and their bytes: 1 GiB.
const LARGE: (usize, usize) = (64, 16 << 20);
/// Times that each is measured.
const ROUNDS: usize = 9;
/// Starts of a trivial program with and without the check.
const STARTS: usize = 101;
/// No program here takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// The loads by name.
pub(crate) const LOADS: [&str; 3] = ["small", "large", "both"];

/// Is a load, in a process under the library: prints its bytes and the seconds of each check.
pub(crate) fn load(name: &str) -> Result<(), String> {
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    if name != "large" {
        let mut random = Random::new(5);
        for place in 0..SMALL {
            let mut block = vec![0; 4 + random.below(12)];
            if let (Some(last), [first, second, ..]) = (place.checked_sub(1), &mut block[..]) {
                *first = blocks[last].as_ptr() as usize;
                *second = blocks[random.below(place)].as_ptr() as usize;
            }
            blocks.push(block);
        }
    }
    if name != "small" {
        blocks.extend((0..LARGE.0).map(|place| vec![place + 1; LARGE.1 / size_of::<usize>()]));
    }
    let bytes: usize = blocks.iter().map(|block| size_of_val(&block[..])).sum();
    println!("{bytes}");
    let check = find_check()?;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        if check() != 0 {
            return Err("something is lost".to_owned());
        }
        println!("{}", started.elapsed().as_secs_f64());
    }
    drop(blocks);
    Ok(())
}

fn find_check() -> Result<extern "C" fn() -> c_int, String> {
    let name = c"__lsan_do_recoverable_leak_check";
    // SAFETY: looks a symbol up by a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() {
        return Err("the library is not there".to_owned());
    }
    // SAFETY: the library's function of that name has this form.
    Ok(unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> c_int>(found) })
}

/// Measures and prints two tables.
pub(crate) fn run(out: &mut impl Write) -> Result<(), String> {
    let library = library::build()?;
    let text = |error: io::Error| error.to_string();
    writeln!(out, "{}\n", machine::describe()).map_err(text)?;
    writeln!(out, "| looked through | MiB | ms | GB/s | ± |\n|---|---:|---:|---:|---:|")
        .map_err(text)?;
    for name in LOADS {
        let (bytes, seconds) = measure_load(&library, name)?;
        let rate = bytes / seconds.median / 1e9;
        let (mib, spread) = (bytes / 1048576.0, seconds.spread());
        let ms = seconds.median * 1e3;
        writeln!(out, "| {name} | {mib:.0} | {ms:.1} | {rate:.2} | {spread:.0} % |")
            .map_err(text)?;
    }
    let (with, without) = measure_ends(&library)?;
    writeln!(
        out,
        "\n`true` with the check {:.2} ms (± {:.0} %), without {:.2} ms (± {:.0} %): {:.2} ms \
         more, {STARTS} pairs",
        with.median * 1e3,
        with.spread(),
        without.median * 1e3,
        without.spread(),
        (with.median - without.median) * 1e3
    )
    .map_err(text)
}

fn under(library: &Path, program: &Path, options: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library).env("MALLOCOP_OPTIONS", format!("quiet=1:{options}"));
    command
}

fn measure_load(library: &Path, name: &str) -> Result<(f64, Summary), String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = under(library, &this, "").args(["leak-load", name]).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.lines().filter_map(|line| line.parse::<f64>().ok());
    let bytes = numbers.next().ok_or("no size")?;
    Summary::of(numbers).map(|seconds| (bytes, seconds)).ok_or_else(|| "no times".to_owned())
}

/// Seconds of a trivial program with the check and without, in turns.
fn measure_ends(library: &Path) -> Result<(Summary, Summary), String> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        for (times, options) in times.iter_mut().zip(["detect_leaks=1", "detect_leaks=0"]) {
            let mut command = under(library, Path::new("/bin/true"), options);
            let cost = measure::run(&mut command, LIMIT).map_err(|failure| failure.to_string())?;
            times.push(cost.wall);
        }
    }
    let [with, without] = times.map(Summary::of);
    with.zip(without).ok_or_else(|| "no times".to_owned())
}
