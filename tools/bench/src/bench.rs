//! The whole measurement: section by section, each printed as soon as it is known.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::arguments::Settings;
use crate::columns::Column;
use crate::csv::Csv;
use crate::folder::Folder;
use crate::scaling::{self, Scaling};
use crate::section::Section;
use crate::session::{self, Row};
use crate::table::{self, Measure};
use crate::workload::Workload;
use crate::{library, machine};

/// A single run that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(600);
/// The same for heavy columns, of which some copy a growing buffer at every step.
const HEAVY_LIMIT: Duration = Duration::from_secs(180);

const METHOD: &str = "CPU is user + system time of the program and its children, memory the \
                      largest resident set of one of them; for redis-server those of the server, \
                      under a \
                      load whose wall time is measured. The spread is half of the width between \
                      the quartiles, in percent of the median: a row gives the median of its \
                      column's.";
const SLOW: &str = "A column that has taken 30 s on a program gets no more than 3 runs there, and \
                    none after 90 s";
const HEAVY: &str = "; one with a * is heavy: at most 3 runs unless \
                     it is asked for by its name, each of at most 180 s";

const SCALING: &str = "Wall time; 1.00 means that a second thread costs nothing. The loops take \
                       turns, in \
                       short runs: each is held against the other's run of the same round.";

/// Measures and prints.
pub(crate) fn run(settings: &Settings, out: &mut impl Write) -> Result<(), String> {
    let library = library::build()?;
    let mut columns: Vec<Column> =
        settings.columns.iter().filter_map(|entry| entry.find(&library)).collect();
    for column in &mut columns {
        column.few_runs = column.is_heavy() && !settings.named;
    }
    let csv = settings.csv.as_deref().map(Csv::create).transpose();
    let csv = csv.map_err(|error| format!("the CSV file: {error}"))?;
    let folder = Folder::create().map_err(|error| error.to_string())?;
    write(out, &head(settings, &columns))?;
    let mut bench = Bench { settings, columns, folder, csv, done: 0, skipped: Vec::new() };
    for section in Section::ALL.into_iter().filter(|section| *section != Section::Scaling) {
        let rows = bench.measure(section)?;
        if !rows.is_empty() {
            write(out, &bench.render(section, &rows))?;
        }
    }
    let scaling = bench.scale()?;
    if !bench.skipped.is_empty() {
        write(out, &format!("Not measured: {}.\n\n", bench.skipped.join("; ")))?;
    }
    match scaling {
        Some(table) => write(out, &format!("### Scaling\n\n{SCALING}\n\n{table}\n")),
        None => Ok(()),
    }
}

fn write(out: &mut impl Write, text: &str) -> Result<(), String> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn head(settings: &Settings, columns: &[Column]) -> String {
    let quick = if settings.quick { " of smaller inputs, to compare by eye only" } else { "" };
    let heavy = if columns.iter().any(|column| column.few_runs) { HEAVY } else { "" };
    format!(
        "{}\n\n{} interleaved runs{quick}; medians of each run's ratio to glibc's malloc in the \
         same round. {METHOD} \
         {SLOW}{heavy}.\n\n{}{}\n",
        machine::describe(),
        settings.runs,
        machine::legend(columns),
        machine::absent(&settings.columns, columns)
            .map_or_else(String::new, |line| format!("\n{line}"))
    )
}

struct Bench<'a> {
    settings: &'a Settings,
    columns: Vec<Column>,
    folder: Folder,
    csv: Option<Csv>,
    /// Programs and loops measured.
    done: usize,
    /// Those that could not be, with the reasons.
    skipped: Vec<String>,
}

impl Bench<'_> {
    /// Measures what stands in a section.
    fn measure(&mut self, section: Section) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for workload in self.settings.workloads.iter().filter(|w| w.section() == section) {
            self.done += 1;
            eprint!("[{}/{}] {} ", self.done, self.settings.workloads.len(), workload.name());
            let start = Instant::now();
            match self.row(*workload) {
                Ok(row) => {
                    eprintln!("{:.0} s{}", start.elapsed().as_secs_f64(), self.failures(&row));
                    self.note(section, &row)?;
                    rows.push(row);
                }
                Err(why) => {
                    eprintln!("not measured: {why}");
                    self.skipped.push(format!("{} ({why})", workload.title()));
                }
            }
        }
        Ok(rows)
    }

    /// Measures what the comparison of one thread with two needs, and returns its table; `None` if
    /// nothing was asked for.
    fn scale(&mut self) -> Result<Option<String>, String> {
        let loops = scaling::loops(&self.settings.workloads);
        if loops.is_empty() {
            return Ok(None);
        }
        eprint!("[{0}/{0}] scaling ", self.settings.workloads.len());
        let start = Instant::now();
        let folder = self.folder.part("scaling").map_err(|error| error.to_string())?;
        let scaling = Scaling::measure(loops, &self.columns, self.settings, |job, column| {
            progress(".");
            job.run(column, &folder, if column.is_heavy() { HEAVY_LIMIT } else { LIMIT })
        })?;
        remove(&folder);
        eprintln!("{:.0} s", start.elapsed().as_secs_f64());
        for row in scaling.rows() {
            self.note(Section::Scaling, &row)?;
        }
        Ok(Some(scaling.render(&self.columns)))
    }

    /// Keeps a row's figures for the CSV file, and its failure for the end.
    fn note(&mut self, section: Section, row: &Row) -> Result<(), String> {
        if let Some(csv) = &mut self.csv {
            csv.add(section.title(), row, &self.columns)
                .map_err(|error| format!("the CSV file: {error}"))?;
        }
        if let Some(Err(failure)) = row.outcomes.first() {
            self.skipped.push(format!("{} ({failure})", row.title));
        }
        Ok(())
    }

    fn row(&self, workload: Workload) -> Result<Row, String> {
        let folder = self.folder.part(workload.name()).map_err(|error| error.to_string())?;
        let job = workload.prepare(&folder, self.settings.quick)?;
        let outcomes = session::interleave(&self.columns, self.settings.runs, |column| {
            progress(".");
            job.run(column, &folder, if column.is_heavy() { HEAVY_LIMIT } else { LIMIT })
        });
        remove(&folder);
        Ok(Row { name: workload.name(), title: workload.title(), outcomes })
    }

    /// The columns that failed, for the progress line.
    fn failures(&self, row: &Row) -> String {
        let outcomes = self.columns.iter().zip(&row.outcomes);
        outcomes
            .filter_map(|(column, report)| {
                Some(format!(", {}: {}", column.entry.name, report.as_ref().err()?))
            })
            .collect()
    }

    /// A section's heading and tables.
    fn render(&self, section: Section, rows: &[Row]) -> String {
        let mut text = format!("### {}\n\n", capitalized(section.title()));
        let measures: &[Measure] = match section {
            Section::Programs => &[Measure::Cpu, Measure::Wall, Measure::Peak],
            _ => &[Measure::Wall, Measure::Peak],
        };
        for measure in measures {
            text.push_str(&table::render(rows, &self.columns, *measure));
            text.push('\n');
        }
        text
    }
}

/// Shows that something goes on.
fn progress(mark: &str) {
    eprint!("{mark}");
    // It is a sign of life only.
    let _ = io::stderr().flush();
}

/// Frees a program's inputs early: recordings of heap profilers are large.
fn remove(folder: &Path) {
    // The whole folder is removed at the end once more.
    let _ = std::fs::remove_dir_all(folder);
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
