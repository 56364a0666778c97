//! What an operation costs in one thread and in each of two: without sharing, locks and moving cache
//! lines the two would be the same.
//!
//! To tell what of that is the allocator's, two threads are held against two processes at once, which have the machine's
//! cores as little for themselves, and exchanged blocks against the same loop less what it takes without an allocator.

use crate::columns::Column;
use crate::loops;
use crate::session::{Measured, Row};
use crate::table::number;

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
}

/// What is compared with what: two threads with one, then with what is no part of the allocator's taken out.
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

/// The table, or nothing where the loops were not measured.
pub(crate) fn render(rows: &[Row], columns: &[Column], quick: bool) -> Option<String> {
    let lines: Vec<String> =
        PAIRS.iter().filter_map(|pair| compare(rows, *pair, quick)).flatten().collect();
    let heads: Vec<String> = columns.iter().map(Column::head).collect();
    (!lines.is_empty()).then(|| {
        format!(
            "| ns for an operation of a thread | {} |\n|---|{}\n{}\n",
            heads.join(" | "),
            "---:|".repeat(heads.len()),
            lines.join("\n")
        )
    })
}

/// Three lines: the one, the other, and their ratio.
fn compare(rows: &[Row], (one, two): (Side, Side), quick: bool) -> Option<[String; 3]> {
    let (alone, together) = (costs_of(rows, one, quick)?, costs_of(rows, two, quick)?);
    let ratios = combine(&alone, &together, |alone, together| together / alone);
    let line = |name: &str, values: &[Option<f64>]| {
        let cells: Vec<String> =
            values.iter().map(|value| value.map_or_else(|| "—".to_owned(), number)).collect();
        format!("| {name} | {} |", cells.join(" | "))
    };
    let (one, two) = (one.title(), two.title());
    Some([line(&one, &alone), line(&two, &together), line(&format!("**{two} / {one}**"), &ratios)])
}

/// By column.
fn costs_of(rows: &[Row], side: Side, quick: bool) -> Option<Vec<Option<f64>>> {
    let costs = costs(rows, side.name, quick)?;
    match side.less {
        None => Some(costs),
        Some(less) => {
            Some(combine(&self::costs(rows, less, quick)?, &costs, |less, all| all - less))
        }
    }
}

fn costs(rows: &[Row], name: &str, quick: bool) -> Option<Vec<Option<f64>>> {
    let row = rows.iter().find(|row| row.name == name)?;
    let entry = loops::named(name)?;
    let operations = if quick { entry.quick } else { entry.operations };
    let each = operations / entry.threads;
    let cost = |measured: &Measured| measured.wall.cost.median * 1e9 / each as f64;
    Some(row.outcomes.iter().map(|outcome| outcome.as_ref().ok().map(cost)).collect())
}

fn combine(
    one: &[Option<f64>],
    other: &[Option<f64>],
    how: impl Fn(f64, f64) -> f64,
) -> Vec<Option<f64>> {
    one.iter().zip(other).map(|(one, other)| Some(how((*one)?, (*other)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Failure;
    use crate::table::tests::{columns, outcome, row};

    #[test]
    fn two_threads_without_cost_have_a_ratio_of_one() {
        // Wall time is twice the outcome's number.
        let crash = || Err(Failure::Crash(libc::SIGSEGV));
        let rows = [
            row("mixed-1024", vec![outcome(1.2), outcome(2.4), outcome(1.0)]),
            row("pairs-2t", vec![outcome(1.2), outcome(4.8), crash()]),
            row("pairs-2p", vec![outcome(2.4), outcome(2.4), outcome(1.0)]),
        ];
        let table = render(&rows, &columns(), false).unwrap();
        assert!(table.contains("| mixed-1024 | 100 | 200 | 83.3 |"), "{table}");
        assert!(table.contains("| **pairs-2t / mixed-1024** | 1.00 | 2.00 | — |"), "{table}");
        assert!(table.contains("| **pairs-2t / pairs-2p** | 0.50 | 2.00 | — |"), "{table}");
        assert_eq!(render(&rows[..1], &columns(), false), None);
    }

    #[test]
    fn what_the_loop_takes_without_an_allocator_is_taken_off() {
        let rows = [
            row("swap-1t", vec![outcome(2.4)]),
            row("slots-1t", vec![outcome(1.2)]),
            row("swap-2t", vec![outcome(2.4)]),
            row("slots-2t", vec![outcome(0.6)]),
        ];
        let table = render(&rows, &columns()[..1], false).unwrap();
        assert!(table.contains("| swap-1t less slots-1t | 100 |"), "{table}");
        assert!(table.contains("/ swap-1t less slots-1t** | 3.00 |"), "{table}");
    }
}
