//! What an operation costs in one thread and in each of two: without sharing, locks and moving cache
//! lines the two would be the same.

use crate::columns::Column;
use crate::loops;
use crate::session::{Measured, Row};
use crate::table::number;

/// A loop of one thread, and the loop of two that it is compared with.
const PAIRS: [(&str, &str); 4] = [
    ("mixed-1024", "pairs-2t"),
    ("swap-1t", "swap-2t"),
    ("calls-1t", "calls-2t"),
    ("calls-1t", "own-calls-2t"),
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

/// Three lines: one thread, two threads, and their ratio.
fn compare(rows: &[Row], (one, two): (&str, &str), quick: bool) -> Option<[String; 3]> {
    let costs = |name: &str| -> Option<Vec<Option<f64>>> {
        let row = rows.iter().find(|row| row.name == name)?;
        let entry = loops::named(name)?;
        let operations = if quick { entry.quick } else { entry.operations };
        let each = operations / entry.threads;
        let cost = |measured: &Measured| measured.wall.cost.median * 1e9 / each as f64;
        Some(row.outcomes.iter().map(|outcome| outcome.as_ref().ok().map(cost)).collect())
    };
    let (alone, together) = (costs(one)?, costs(two)?);
    let ratios: Vec<Option<f64>> = alone
        .iter()
        .zip(&together)
        .map(|(alone, together)| Some((*together)? / (*alone)?))
        .collect();
    let line = |name: &str, values: &[Option<f64>]| {
        let cells: Vec<String> =
            values.iter().map(|value| value.map_or_else(|| "—".to_owned(), number)).collect();
        format!("| {name} | {} |", cells.join(" | "))
    };
    Some([line(one, &alone), line(two, &together), line(&format!("**{two} / {one}**"), &ratios)])
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
        ];
        let table = render(&rows, &columns(), false).unwrap();
        assert!(table.contains("| mixed-1024 | 100 | 200 | 83.3 |"), "{table}");
        assert!(table.contains("| **pairs-2t / mixed-1024** | 1.00 | 2.00 | — |"), "{table}");
        assert_eq!(render(&rows[..1], &columns(), false), None);
    }
}
