//! The parts of the report.

/// The table that a program or loop stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    /// Programs as they are installed.
    Programs,
    /// Loops of one thread.
    OneThread,
    /// Loops of two threads.
    TwoThreads,
    /// Loops that only the comparison of one thread with two needs.
    Scaling,
}

impl Section {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 4] =
        [Self::Programs, Self::OneThread, Self::TwoThreads, Self::Scaling];

    /// Its heading, and its name in the CSV file.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Programs => "real programs",
            Self::OneThread => "one-thread loops",
            Self::TwoThreads => "two-thread loops",
            Self::Scaling => "scaling",
        }
    }
}
