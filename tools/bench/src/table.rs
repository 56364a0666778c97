//! Markdown tables of ratios.

use crate::columns::Column;
use crate::session::{Figure, Measured, Row};
use crate::statistics::{geometric_mean, median};

/// What a table is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Measure {
    /// User and system time.
    Cpu,
    /// Time from start to end.
    Wall,
    /// Largest resident set.
    Peak,
}

impl Measure {
    /// Its name above the table.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU time",
            Self::Wall => "wall time",
            Self::Peak => "peak memory",
        }
    }

    /// The measurements of it.
    pub(crate) const fn of(self, measured: &Measured) -> &Figure {
        match self {
            Self::Cpu => &measured.cpu,
            Self::Wall => &measured.wall,
            Self::Peak => &measured.peak,
        }
    }

    /// A column's relative to glibc's.
    pub(crate) const fn ratio(self, measured: &Measured) -> f64 {
        self.of(measured).ratio.median
    }

    fn absolute(self, measured: &Measured) -> String {
        let median = self.of(measured).cost.median;
        match self {
            Self::Cpu | Self::Wall => format!("{median:.2} s"),
            Self::Peak => format!("{:.0} MiB", median / 1024.0),
        }
    }
}

/// A table of one measure: a row for each program, then the mean and the spread.
pub(crate) fn render(rows: &[Row], columns: &[Column], measure: Measure) -> String {
    let heads: Vec<String> = columns.iter().map(Column::head).collect();
    let mut lines = vec![
        format!("| {} | {} |", measure.title(), heads.join(" | ")),
        format!("|---|{}", "---:|".repeat(heads.len())),
    ];
    let measured: Vec<(&Row, &Measured)> =
        rows.iter().filter_map(|row| Some((row, row.base()?))).collect();
    for (row, base) in &measured {
        lines.push(format!("| {} | {} |", row.title, cells(row, base, measure).join(" | ")));
    }
    let summary = |of: fn(&[(&Row, &Measured)], usize, Measure) -> String| {
        let cells: Vec<String> =
            (0..columns.len()).map(|column| of(&measured, column, measure)).collect();
        cells.join(" | ")
    };
    lines.push(format!("| **geometric mean** | {} |", summary(mean)));
    lines.push(format!("| spread, ± % | {} |", summary(spread)));
    lines.join("\n") + "\n"
}

/// A row's: what glibc's took, then the others' ratios to it.
fn cells(row: &Row, base: &Measured, measure: Measure) -> Vec<String> {
    let others = row.outcomes.iter().skip(1).map(|report| match report {
        Ok(measured) => number(measure.ratio(measured)),
        Err(failure) => failure.to_string(),
    });
    std::iter::once(measure.absolute(base)).chain(others).collect()
}

/// The mean of a column's ratios, and of how many programs it is when some failed.
fn mean(rows: &[(&Row, &Measured)], column: usize, measure: Measure) -> String {
    let ratios: Vec<f64> = rows
        .iter()
        .filter_map(|(row, _)| Some(measure.ratio(row.outcomes.get(column)?.as_ref().ok()?)))
        .collect();
    match geometric_mean(&ratios) {
        _ if column == 0 => String::new(),
        None => "—".to_owned(),
        Some(mean) if ratios.len() == rows.len() => number(mean),
        Some(mean) => format!("{} ({} of {})", number(mean), ratios.len(), rows.len()),
    }
}

/// The median of the spreads of a column's programs, for glibc's of the costs, for others of the
/// ratios; a single run has none.
fn spread(rows: &[(&Row, &Measured)], column: usize, measure: Measure) -> String {
    let measured = rows.iter().filter_map(|(row, _)| row.outcomes.get(column)?.as_ref().ok());
    let measured = measured.filter(|measured| measured.runs > 1);
    let middle = median(measured.map(|measured| match column {
        0 => measure.of(measured).cost.spread(),
        _ => measure.of(measured).ratio.spread(),
    }));
    middle.map_or_else(|| "—".to_owned(), |spread| format!("{spread:.1}"))
}

/// Three digits, as many as the measurements bear.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;
    use crate::columns::TABLE;
    use crate::measure::Failure;
    use crate::session::Outcome;
    use crate::statistics::Summary;

    pub(crate) fn columns() -> Vec<Column> {
        TABLE.iter().take(3).filter_map(|entry| entry.find(Path::new("/none"))).collect()
    }

    pub(crate) fn report(seconds: f64) -> Outcome {
        outcome_against(seconds, seconds)
    }

    pub(crate) fn outcome_against(seconds: f64, base: f64) -> Outcome {
        let same = |value| Summary { lower: value * 0.98, median: value, upper: value * 1.02 };
        let figure = |scale| Figure { cost: same(scale * seconds), ratio: same(seconds / base) };
        Ok(Measured { runs: 3, cpu: figure(1.0), wall: figure(2.0), peak: figure(1024.0) })
    }

    pub(crate) fn row(name: &'static str, outcomes: Vec<Outcome>) -> Row {
        Row { name, title: name, outcomes }
    }

    #[test]
    fn a_table_has_ratios_failures_means_and_spreads() {
        let rows = [
            row("a", vec![report(2.0), outcome_against(4.0, 2.0), outcome_against(1.0, 2.0)]),
            row(
                "b",
                vec![report(1.0), outcome_against(8.0, 1.0), Err(Failure::Crash(libc::SIGSEGV))],
            ),
            row("c", vec![Err(Failure::Exit(1)), report(8.0), report(8.0)]),
        ];
        let expected = "\
| CPU time | glibc | checks off | all checks, no stacks |
|---|---:|---:|---:|
| a | 2.00 s | 2.00 | 0.50 |
| b | 1.00 s | 8.00 | crash |
| **geometric mean** |  | 4.00 | 0.50 (1 of 2) |
| spread, ± % | 2.0 | 2.0 | 2.0 |
";
        assert_eq!(render(&rows, &columns(), Measure::Cpu), expected);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.5, 9.994, 9.996, 33.81, 99.96].map(number),
            ["0.50", "9.99", "10.0", "33.8", "100"]
        );
    }
}
