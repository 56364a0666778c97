//! All the figures, as comma-separated values.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::columns::Column;
use crate::session::{Measured, Outcome, Row};
use crate::table::Measure;

/// Measures in the order of the file, with names that tell the unit.
const MEASURES: [(&str, Measure); 3] =
    [("cpu_s", Measure::Cpu), ("wall_s", Measure::Wall), ("peak_kib", Measure::Peak)];

/// A file with a line for each section, program and column.
pub(crate) struct Csv(BufWriter<File>);

impl Csv {
    /// Makes the file and writes its head.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "{}", head())?;
        Ok(Self(file))
    }

    /// Adds a row's columns.
    pub(crate) fn add(&mut self, section: &str, row: &Row, columns: &[Column]) -> io::Result<()> {
        for (column, report) in columns.iter().zip(&row.outcomes) {
            let values = values(report, row.base());
            writeln!(self.0, "{section},{},{},{values}", row.name, column.entry.name)?;
        }
        // A bench that is interrupted leaves what it has.
        self.0.flush()
    }
}

fn head() -> String {
    let mut head = "section,program,column,outcome,runs".to_owned();
    for (name, _) in MEASURES {
        for what in ["median", "lower_quartile", "upper_quartile", "spread_percent", "ratio"] {
            head.push_str(&format!(",{name}_{what}"));
        }
    }
    head
}

/// The values behind the names; empty where there are none.
fn values(report: &Outcome, base: Option<&Measured>) -> String {
    match report {
        Err(failure) => {
            let empty = ",".repeat(5 * MEASURES.len());
            format!("\"{}\",0{empty}", failure.to_string().replace('"', "'"))
        }
        Ok(measured) => {
            let mut line = format!("ok,{}", measured.runs);
            for (_, measure) in MEASURES {
                let summary = measure.of(measured).cost;
                let ratio = base.map(|_| format!("{:.4}", measure.ratio(measured)));
                line.push_str(&format!(
                    ",{:.6},{:.6},{:.6},{:.2},{}",
                    summary.median,
                    summary.lower,
                    summary.upper,
                    summary.spread(),
                    ratio.unwrap_or_default()
                ));
            }
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Failure;
    use crate::table::tests::report;

    #[test]
    fn every_line_has_as_many_fields_as_the_head() {
        let fields = |line: &str| line.split(',').count();
        let measured = report(2.0);
        let base = measured.as_ref().ok();
        assert_eq!(fields(&values(&measured, base)) + 3, fields(&head()));
        assert_eq!(fields(&values(&measured, None)) + 3, fields(&head()));
        assert_eq!(fields(&values(&Err(Failure::Timeout), base)) + 3, fields(&head()));
        assert!(
            values(&measured, base).starts_with("ok,3,2.000000,1.960000,2.040000,2.00,1.0000,")
        );
    }
}
