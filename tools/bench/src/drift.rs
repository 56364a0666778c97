//! Memory over a long load: does it stay level when the sizes drift and the live bytes do not?

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::time::Duration;

use crate::arguments::Settings;
use crate::columns::{Column, Group};
use crate::folder::Folder;
use crate::job::Invocation;
use crate::measure::{self, Failure};
use crate::table::number;
use crate::{library, loops, machine, memory};

const OPERATIONS: u64 = 100_000_000;
const QUICK: u64 = 10_000_000;
/// Even with a stack for each operation it ends before.
const LIMIT: Duration = Duration::from_secs(3600);

/// A column's memory over the load.
struct Series {
    /// Operations done, and resident KiB after them.
    samples: Vec<(u64, f64)>,
    /// Largest resident set, in KiB.
    peak: f64,
    /// Seconds.
    wall: f64,
}

/// The load itself, in a process of its own: prints operations, resident memory and peak.
pub(crate) fn load(operations: u64) -> Result<(), String> {
    let mut failure = None;
    loops::drift(operations, |done| {
        if let Err(error) = sample(done) {
            failure = Some(format!("cannot sample: {error}"));
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Reads into a buffer of its own, so that sampling leaves the heap alone.
fn sample(done: u64) -> io::Result<()> {
    let mut status = [0; 4096];
    let length = File::open("/proc/self/status")?.read(&mut status)?;
    let status = str::from_utf8(&status[..length]).map_err(io::Error::other)?;
    let of = |field| memory::kib(status, field).ok_or_else(|| io::Error::other("no memory"));
    writeln!(io::stdout(), "{done} {} {}", of("VmRSS")?, of("VmHWM")?)
}

/// Runs the load once under each column and prints the table.
pub(crate) fn run(settings: &Settings, out: &mut impl Write) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let library = library::build()?;
    // Now, since the tree may change while the load runs.
    let head = machine::describe();
    let columns: Vec<Column> = settings
        .columns
        .iter()
        .filter_map(|entry| entry.find(&library))
        .filter(|column| column.entry.group != Group::Heavy)
        .collect();
    let folder = Folder::create().map_err(text)?;
    let part = folder.part("drift").map_err(text)?;
    let operations = if settings.quick { QUICK } else { OPERATIONS };
    let mut series = Vec::new();
    for column in &columns {
        eprint!("drift: {} ", column.entry.name);
        let this = watch(column, &part, operations);
        match &this {
            Ok(this) => eprintln!("{:.0} s", this.wall),
            Err(failure) => eprintln!("{failure}"),
        }
        series.push(this);
    }
    if let Some(path) = &settings.csv {
        write_csv(path, &columns, &series).map_err(|error| format!("the CSV file: {error}"))?;
    }
    let table = render(&columns, &series);
    let legend = machine::legend(&columns);
    let absent = machine::absent(&settings.columns, &columns).unwrap_or_default();
    write!(
        out,
        "{head}\n\n### Memory under drift\n\n{} million operations (a malloc or a free each) on \
         about 60 MiB of live blocks whose sizes drift, one run: resident MiB after so many \
         million operations.\n\n{table}\n{legend}{absent}",
        operations / 1_000_000
    )
    .map_err(text)
}

/// One run of the load, which prints into a file: a pipe that nobody reads could stop it.
fn watch(column: &Column, folder: &Path, operations: u64) -> Result<Series, Failure> {
    let job = Invocation::of_ourselves(&["drift-load", &operations.to_string()]);
    let printed = folder.join("samples");
    let mut command = job.map_err(Failure::Start)?.command(column, folder);
    command.stdout(File::create(&printed)?);
    let cost = measure::run(&mut command, LIMIT)?;
    let (samples, peak) = parse(&fs::read_to_string(&printed)?)
        .ok_or_else(|| Failure::Start("no samples".to_owned()))?;
    Ok(Series { samples, peak, wall: cost.wall })
}

/// The samples and the last peak of what the load prints.
fn parse(printed: &str) -> Option<(Vec<(u64, f64)>, f64)> {
    let mut samples = Vec::new();
    let mut last_peak = None;
    for line in printed.lines() {
        let mut words = line.split(' ');
        samples.push((words.next()?.parse().ok()?, words.next()?.parse().ok()?));
        last_peak = words.next()?.parse().ok();
    }
    Some((samples, last_peak?))
}

fn render(columns: &[Column], series: &[Result<Series, Failure>]) -> String {
    let base = series.first().and_then(|base| base.as_ref().ok());
    let points: &[(u64, f64)] = base.map_or(&[], |base| &base.samples);
    let heads: String =
        points.iter().map(|(done, _)| format!(" {} |", *done as f64 / 1e6)).collect();
    let mut lines = vec![
        format!("| million operations |{heads} peak | peak, ratio | last, ratio | wall s |"),
        format!("|---|{}", "---:|".repeat(points.len() + 4)),
    ];
    for (column, series) in columns.iter().zip(series) {
        let cells = match series {
            Ok(series) => cells(series, base),
            Err(failure) => failure.to_string(),
        };
        lines.push(format!("| {} | {cells} |", column.head()));
    }
    lines.join("\n") + "\n"
}

fn cells(series: &Series, base: Option<&Series>) -> String {
    let mebibytes = |kib: f64| format!("{:.0}", kib / 1024.0);
    let last = |series: &Series| series.samples.last().map_or(f64::NAN, |(_, kib)| *kib);
    let mut cells: Vec<String> = series.samples.iter().map(|(_, kib)| mebibytes(*kib)).collect();
    cells.push(mebibytes(series.peak));
    cells.push(base.map_or_else(String::new, |base| number(series.peak / base.peak)));
    cells.push(base.map_or_else(String::new, |base| number(last(series) / last(base))));
    cells.push(number(series.wall));
    cells.join(" | ")
}

fn write_csv(
    path: &Path,
    columns: &[Column],
    series: &[Result<Series, Failure>],
) -> io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "section,column,operations,resident_kib,peak_kib,wall_s")?;
    for (column, series) in columns.iter().zip(series) {
        let Ok(series) = series else { continue };
        for (done, kib) in &series.samples {
            let (name, peak, wall) = (column.entry.name, series.peak, series.wall);
            writeln!(file, "drift,{name},{done},{kib},{peak},{wall:.3}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::columns;

    #[test]
    fn samples_become_a_table_with_ratios_to_the_first() {
        let series = |printed: &str| {
            let (samples, peak) = parse(printed).unwrap();
            Ok(Series { samples, peak, wall: 2.0 })
        };
        let all = [
            series("1000000 1024 2048\n2000000 2048 2048\n"),
            series("1000000 2048 4096\n2000000 3072 4096\n"),
            Err(Failure::Timeout),
        ];
        let expected = "\
| million operations | 1 | 2 | peak | peak, ratio | last, ratio | wall s |
|---|---:|---:|---:|---:|---:|---:|
| glibc | 1 | 2 | 2 | 1.00 | 1.00 | 2.00 |
| checks off | 2 | 3 | 4 | 2.00 | 1.50 | 2.00 |
| all checks, no stacks | timeout |
";
        assert_eq!(render(&columns(), &all), expected);
    }

    #[test]
    fn nothing_printed_is_no_series() {
        assert!(parse("").is_none());
        assert!(parse("1000 word 3").is_none());
    }
}
