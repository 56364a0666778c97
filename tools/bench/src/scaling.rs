//! What an operation costs in one thread and in each of two: without sharing, locks and moving
//! cache lines the two would be the same.
//!
//! A virtual machine's cores are slower by a third for seconds at a time, one without the other.
//! Loops that are compared take turns in short runs, and are held against each other round by
//! round.
//!
//! To tell what of the rest is the allocator's, two threads are held against two processes at once,
//! which have the machine's cores as little for themselves, and exchanged blocks against the same
//! loop less what it takes without an allocator.

use crate::arguments::Settings;
use crate::columns::Column;
use crate::job::Job;
use crate::loops::{self, Loop};
use crate::measure::{Cost, Failure};
use crate::session::{self, Costs, Row};
use crate::statistics::Summary;
use crate::table::number;
use crate::workload::Workload;

/// Runs that a full one is cut into.
const SLICES: u64 = 4;

/// A loop's cost, less that of another one.
#[derive(Clone, Copy)]
struct Side {
    name: &'static str,
    less: Option<&'static str>,
}

impl Side {
    const fn all_of(name: &'static str) -> Self {
        Self { name, less: None }
    }

    fn title(self) -> String {
        self.less.map_or_else(|| self.name.to_owned(), |less| format!("{} less {less}", self.name))
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.less)
    }
}

/// What is compared with what: two threads with one, then with what is no part of the allocator's
/// taken out.
const PAIRS: [(Side, Side); 8] = [
    (Side::all_of("mixed-1024"), Side::all_of("pairs-2t")),
    (Side::all_of("swap-1t"), Side::all_of("swap-2t")),
    (Side::all_of("calls-1t"), Side::all_of("calls-2t")),
    (Side::all_of("calls-1t"), Side::all_of("own-calls-2t")),
    (Side::all_of("pairs-2p"), Side::all_of("pairs-2t")),
    (
        Side { name: "swap-1t", less: Some("slots-1t") },
        Side { name: "swap-2t", less: Some("slots-2t") },
    ),
    (Side::all_of("calls-2p"), Side::all_of("calls-2t")),
    (Side::all_of("calls-2p"), Side::all_of("own-calls-2t")),
];

fn names((one, two): (Side, Side)) -> impl Iterator<Item = &'static str> {
    one.names().chain(two.names())
}

/// The loops of those comparisons of which all were asked for.
pub(crate) fn loops(workloads: &[Workload]) -> Vec<&'static Loop> {
    let is_asked_for = |name: &str| workloads.iter().any(|workload| workload.name() == name);
    let whole = PAIRS.into_iter().filter(|pair| names(*pair).all(is_asked_for));
    let mut found: Vec<&'static Loop> = Vec::new();
    for entry in whole.flat_map(names).filter_map(loops::named) {
        if found.iter().all(|other| other.name != entry.name) {
            found.push(entry);
        }
    }
    found
}

/// A loop under a column.
struct Lane<'a> {
    column: &'a Column,
    job: &'a Job,
    threads: u64,
}

/// The costs of loops that took turns.
pub(crate) struct Scaling {
    loops: Vec<&'static Loop>,
    quick: bool,
    /// By column, then by loop.
    costs: Vec<Vec<Costs>>,
    /// From one core to the other, in nanoseconds, before each run of two threads.
    passages: Vec<f64>,
}

impl Scaling {
    /// Measures them, of one column after the other.
    pub(crate) fn measure(
        loops: Vec<&'static Loop>,
        columns: &[Column],
        settings: &Settings,
        mut run: impl FnMut(&Job, &Column) -> Result<Cost, Failure>,
    ) -> Result<Self, String> {
        let quick = settings.quick;
        let jobs = loops.iter().map(|entry| Job::of_loop(entry, operations(entry, quick)));
        let jobs = jobs.collect::<Result<Vec<Job>, String>>()?;
        let lanes_of = |column| {
            let each = jobs.iter().zip(&loops);
            each.map(move |(job, entry)| Lane { column, job, threads: entry.threads })
        };
        let lanes: Vec<Lane<'_>> = columns.iter().flat_map(lanes_of).collect();
        let mut passages = Vec::new();
        let rounds = if quick { settings.runs } else { settings.runs * SLICES as usize };
        let mut costs = session::take_turns(
            &lanes,
            |lane| lane.column,
            rounds,
            |lane| {
                if lane.threads > 1 {
                    passages.push(loops::passage());
                }
                run(lane.job, lane.column)
            },
        )
        .into_iter();
        let costs = columns.iter().map(|_| costs.by_ref().take(loops.len()).collect()).collect();
        Ok(Self { loops, quick, costs, passages })
    }

    /// For the CSV file.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.loops.iter().enumerate().map(|(at, entry)| {
            let of_loop = || self.costs.iter().filter_map(|column| column.get(at));
            let base = session::base_of(of_loop().next());
            let outcomes = of_loop().map(|costs| session::summarize(costs, &base)).collect();
            Row { name: entry.name, title: entry.name, outcomes }
        })
    }

    /// The table.
    pub(crate) fn render(&self, columns: &[Column]) -> String {
        let is_there = |name: &str| self.loops.iter().any(|entry| entry.name == name);
        let pairs = PAIRS.into_iter().filter(|pair| names(*pair).all(is_there));
        let lines: Vec<String> = pairs.flat_map(|(one, two)| self.compare(one, two)).collect();
        let heads: Vec<String> = columns.iter().map(Column::head).collect();
        format!(
            "| ns for an operation of a thread | {} |\n|---|{}\n{}\n{}",
            heads.join(" | "),
            "---:|".repeat(heads.len()),
            lines.join("\n"),
            passages(&self.passages)
        )
    }

    /// Three lines: the one, the other, and their ratio.
    fn compare(&self, one: Side, two: Side) -> [String; 3] {
        let line = |name: &str, cell: &dyn Fn(&[Costs]) -> Option<String>| {
            let cells =
                self.costs.iter().map(|column| cell(column).unwrap_or_else(|| "—".to_owned()));
            format!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let cost = |column: &[Costs], side| {
            Some(number(Summary::of(self.each_round(column, side)?)?.median))
        };
        let ratio = |column: &[Costs]| {
            let rounds =
                self.each_round(column, one)?.into_iter().zip(self.each_round(column, two)?);
            let ratio = Summary::of(rounds.map(|(one, two)| two / one))?;
            Some(format!("{} (± {:.0} %)", number(ratio.median), ratio.spread()))
        };
        [
            line(&one.title(), &|column| cost(column, one)),
            line(&two.title(), &|column| cost(column, two)),
            line(&format!("**{} / {}**", two.title(), one.title()), &ratio),
        ]
    }

    /// Nanoseconds for an operation of a thread.
    fn each_round(&self, column: &[Costs], side: Side) -> Option<Vec<f64>> {
        let of_loop = |name: &str| {
            let at = self.loops.iter().position(|entry| entry.name == name)?;
            let entry = self.loops.get(at)?;
            let each = operations(entry, self.quick) / entry.threads;
            let costs = column.get(at)?.as_ref().ok()?;
            Some(costs.iter().map(|cost| cost.wall * 1e9 / each as f64).collect::<Vec<f64>>())
        };
        let all = of_loop(side.name)?;
        let Some(less) = side.less else { return Some(all) };
        Some(all.into_iter().zip(of_loop(less)?).map(|(all, less)| all - less).collect())
    }
}

/// What is said of the passages between cores; nothing where none was measured.
fn passages(all: &[f64]) -> String {
    let Some(Summary { lower, median, upper }) = Summary::of(all.iter().copied()) else {
        return String::new();
    };
    format!(
        "\nBeside these runs a word took {median:.0} ns from one core to the other (quartiles \
         {lower:.0} and {upper:.0}).\n"
    )
}

/// Operations of a run.
fn operations(entry: &Loop, quick: bool) -> u64 {
    if quick { entry.quick } else { entry.operations / SLICES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::columns;

    /// Costs of loops in seconds of wall time, by column, then by loop, then by round.
    fn scaling<const LOOPS: usize>(names: [&str; LOOPS], costs: &[[&[f64]; LOOPS]]) -> Scaling {
        let cost = |&wall: &f64| Cost { cpu: 1.0, wall, peak: 1.0 };
        let costs = costs.iter().map(|column| {
            column.iter().map(|rounds| Ok(rounds.iter().map(cost).collect())).collect()
        });
        Scaling {
            loops: names.into_iter().filter_map(loops::named).collect(),
            quick: false,
            costs: costs.collect(),
            passages: vec![40.0],
        }
    }

    #[test]
    fn two_threads_without_cost_have_a_ratio_of_one() {
        // 6 million operations of each thread.
        let mut scaling = scaling(
            ["mixed-1024", "pairs-2t", "pairs-2p"],
            &[[&[0.6], &[0.6], &[1.2]], [&[0.6], &[1.2], &[0.6]], [&[0.6], &[0.6], &[0.6]]],
        );
        scaling.costs[2][1] = Err(Failure::Crash(libc::SIGSEGV));
        let table = scaling.render(&columns());
        assert!(table.contains("| mixed-1024 | 100 | 100 | 100 |"), "{table}");
        assert!(table.contains("| pairs-2t | 100 | 200 | — |"), "{table}");
        let ratios = "| **pairs-2t / mixed-1024** | 1.00 (± 0 %) | 2.00 (± 0 %) | — |";
        assert!(table.contains(ratios), "{table}");
        let ratios = "| **pairs-2t / pairs-2p** | 0.50 (± 0 %) | 2.00 (± 0 %) | — |";
        assert!(table.contains(ratios), "{table}");
    }

    #[test]
    fn runs_of_the_same_round_are_held_against_each_other() {
        let scaling = scaling(["calls-1t", "calls-2t"], &[[&[1.0, 2.0, 4.0], &[1.1, 2.2, 4.4]]]);
        let table = scaling.render(&columns()[..1]);
        assert!(table.contains("| **calls-2t / calls-1t** | 1.10 (± 0 %) |"), "{table}");
        assert!(table.contains(" a word took 40 ns from one core to the other"), "{table}");
    }

    #[test]
    fn where_no_passage_was_measured_nothing_is_said() {
        assert_eq!(passages(&[]), "");
        let said = passages(&[40.0, 40.0, 44.0, 210.0, 212.0]);
        assert!(said.contains(" took 44 ns ") && said.contains("quartiles 40 and 210"), "{said}");
    }

    #[test]
    fn what_the_loop_takes_without_an_allocator_is_taken_off() {
        let scaling = scaling(
            ["swap-1t", "slots-1t", "swap-2t", "slots-2t"],
            &[[&[1.2], &[0.6], &[1.2], &[0.3]]],
        );
        let table = scaling.render(&columns()[..1]);
        assert!(table.contains("| swap-1t less slots-1t | 100 |"), "{table}");
        assert!(table.contains("/ swap-1t less slots-1t** | 3.00 (± 0 %) |"), "{table}");
    }

    #[test]
    fn only_whole_comparisons_are_measured() {
        let named = |names: &[&str]| -> Vec<&str> {
            let workloads: Vec<_> =
                Workload::all().filter(|workload| names.contains(&workload.name())).collect();
            loops(&workloads).iter().map(|entry| entry.name).collect()
        };
        assert_eq!(named(&["mixed-1024", "pairs-2t", "slots-1t"]), ["mixed-1024", "pairs-2t"]);
        assert!(named(&["perl", "pairs-2t", "slots-1t"]).is_empty());
        let all: Vec<Workload> = Workload::all().collect();
        let scaling = Workload::all().filter(|w| w.section() == crate::section::Section::Scaling);
        let measured = loops(&all);
        for workload in scaling {
            assert!(measured.iter().any(|entry| entry.name == workload.name()));
        }
    }
}
