//! Interleaved runs: every column in turn, then all of them again, so that a change of the
//! machine's mood meets all columns alike.

use crate::columns::{Column, Group};
use crate::measure::{Cost, Failure};
use crate::statistics::Summary;

/// Runs of a column that needs no more, and of one that is slow on this program.
const FEW: usize = 3;
/// After so many seconds in one column, FEW runs are enough.
const PATIENCE: f64 = 30.0;
/// After so many, those that there are.
const END_OF_PATIENCE: f64 = 90.0;

/// One kind of cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// As measured.
    pub(crate) cost: Summary,
    /// Each run's against glibc's of the same round: a mood of the machine that lasts longer than a
    /// round does not show.
    pub(crate) ratio: Summary,
}

/// A column's costs on a program.
pub(crate) struct Measured {
    pub(crate) runs: usize,
    pub(crate) cpu: Figure,
    pub(crate) wall: Figure,
    pub(crate) peak: Figure,
}

/// A column's costs on a program, or why there are none.
pub(crate) type Outcome = Result<Measured, Failure>;

/// The columns' outcomes on one program.
pub(crate) struct Row {
    /// Its name for `--only` and in the CSV file.
    pub(crate) name: &'static str,
    /// Its name in the tables.
    pub(crate) title: &'static str,
    /// In the order of the columns, the first of which is glibc's.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Row {
    /// The outcome of the column that all are compared with.
    pub(crate) fn base(&self) -> Option<&Measured> {
        self.outcomes.first()?.as_ref().ok()
    }
}

/// What runs cost so far, or why there are no more.
pub(crate) type Costs = Result<Vec<Cost>, Failure>;

/// Measures the program that `run` runs.
pub(crate) fn interleave(
    columns: &[Column],
    runs: usize,
    run: impl FnMut(&Column) -> Result<Cost, Failure>,
) -> Vec<Outcome> {
    let costs = take_turns(columns, |column| column, runs, run);
    let base = base_of(costs.first());
    costs.iter().map(|costs| summarize(costs, &base)).collect()
}

/// Runs each of `lanes`, then all of them again. Of a slow column fewer runs are enough.
pub(crate) fn take_turns<L>(
    lanes: &[L],
    column_of: impl Fn(&L) -> &Column,
    runs: usize,
    mut run: impl FnMut(&L) -> Result<Cost, Failure>,
) -> Vec<Costs> {
    let mut costs: Vec<Costs> = lanes.iter().map(|_| Ok(vec![])).collect();
    for _ in 0..runs {
        for (lane, costs) in lanes.iter().zip(&mut costs) {
            let Ok(so_far) = costs else { continue };
            if has_enough(column_of(lane), so_far) {
                continue;
            }
            match run(lane) {
                Ok(cost) => so_far.push(cost),
                Err(failure) => *costs = Err(failure),
            }
        }
        // Without glibc's there is nothing to compare with.
        if matches!(costs.first(), Some(Err(_))) {
            break;
        }
    }
    costs
}

/// What others are held against.
pub(crate) fn base_of(costs: Option<&Costs>) -> Vec<Cost> {
    match costs {
        Some(Ok(base)) => base.clone(),
        _ => Vec::new(),
    }
}

fn has_enough(column: &Column, costs: &[Cost]) -> bool {
    if column.entry.group == Group::Base {
        return false;
    }
    let spent: f64 = costs.iter().map(|cost| cost.wall).sum();
    let few = costs.len() >= FEW && (column.few_runs || spent > PATIENCE);
    few || spent > END_OF_PATIENCE
}

/// A lane's outcome, held against what was measured in the same rounds.
pub(crate) fn summarize(costs: &Costs, base: &[Cost]) -> Outcome {
    let costs = costs.as_ref().map_err(Clone::clone)?;
    let of = |which: fn(&Cost) -> f64| {
        let ratios = costs.iter().zip(base).map(|(this, base)| which(this) / which(base));
        Summary::of(costs.iter().map(which))
            .zip(Summary::of(ratios))
            .map(|(cost, ratio)| Figure { cost, ratio })
            .ok_or_else(|| Failure::Start("not run".to_owned()))
    };
    Ok(Measured {
        runs: costs.len(),
        cpu: of(|cost| cost.cpu)?,
        wall: of(|cost| cost.wall)?,
        peak: of(|cost| cost.peak)?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::columns::TABLE;

    fn columns() -> Vec<Column> {
        TABLE.iter().take(3).filter_map(|entry| entry.find(Path::new("/none"))).collect()
    }

    #[test]
    fn columns_take_turns() {
        let mut order = Vec::new();
        let outcomes = interleave(&columns(), 2, |column| {
            order.push(column.entry.name);
            Ok(Cost { cpu: 1.0, wall: 2.0, peak: 3.0 })
        });
        assert_eq!(order, ["glibc", "checks-off", "checks", "glibc", "checks-off", "checks"]);
        assert!(outcomes.iter().flatten().all(|measured| measured.runs == 2));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut rounds = 0.0;
        let outcomes = interleave(&columns(), 3, |column| {
            rounds += if column.entry.name == "glibc" { 1.0 } else { 0.0 };
            let cpu = if column.entry.name == "checks" { 2.0 * rounds } else { rounds };
            Ok(Cost { cpu, wall: 1.0, peak: 1.0 })
        });
        let checks = outcomes[2].as_ref().map(|measured| measured.cpu).expect("measured");
        assert_eq!((checks.cost.median, checks.ratio.median), (4.0, 2.0));
        assert!(checks.ratio.spread() < 1e-9 && checks.cost.spread() > 10.0);
    }

    #[test]
    fn a_column_that_fails_is_left_out_from_then_on() {
        let mut runs = 0;
        let outcomes = interleave(&columns(), 5, |column| {
            runs += 1;
            match column.entry.name {
                "checks-off" => Err(Failure::Crash(libc::SIGSEGV)),
                _ => Ok(Cost { cpu: 1.0, wall: 2.0, peak: 3.0 }),
            }
        });
        assert_eq!(runs, 11);
        assert_eq!(outcomes[1].as_ref().err(), Some(&Failure::Crash(libc::SIGSEGV)));
        assert_eq!(outcomes[2].as_ref().map(|measured| measured.runs).ok(), Some(5));
    }

    #[test]
    fn a_column_that_needs_few_runs_gets_three() {
        let mut columns = columns();
        columns[2].few_runs = true;
        let outcomes = interleave(&columns, 5, |_| Ok(Cost { cpu: 1.0, wall: 2.0, peak: 3.0 }));
        let runs: Vec<usize> = outcomes.iter().flatten().map(|measured| measured.runs).collect();
        assert_eq!(runs, [5, 5, 3]);
    }

    #[test]
    fn a_slow_column_gets_few_runs_and_glibc_all() {
        let slow = Cost { cpu: 20.0, wall: 20.0, peak: 3.0 };
        let outcomes = interleave(&columns(), 5, |_| Ok(slow));
        let runs: Vec<usize> = outcomes.iter().flatten().map(|measured| measured.runs).collect();
        assert_eq!(runs, [5, 3, 3]);
        let slower = Cost { cpu: 100.0, wall: 100.0, peak: 3.0 };
        let outcomes = interleave(&columns(), 5, |_| Ok(slower));
        let runs: Vec<usize> = outcomes.iter().flatten().map(|measured| measured.runs).collect();
        assert_eq!(runs, [5, 1, 1]);
    }
}
