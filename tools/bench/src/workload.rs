//! Programs and loops alike: what a row of a table is about.

use std::path::Path;

use crate::job::Job;
use crate::loops::{self, Loop};
use crate::programs::{self, Program};
use crate::section::Section;

/// A program or a loop.
#[derive(Clone, Copy)]
pub(crate) enum Workload {
    Program(&'static Program),
    Loop(&'static Loop),
}

impl Workload {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let programs = programs::TABLE.iter().map(Self::Program);
        programs.chain(loops::TABLE.iter().map(Self::Loop))
    }

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Program(program) => program.name,
            Self::Loop(entry) => entry.name,
        }
    }

    /// Its name in the tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Program(program) => program.title,
            Self::Loop(entry) => entry.name,
        }
    }

    /// What it does.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Program(program) => program.about,
            Self::Loop(entry) => entry.about,
        }
    }

    /// The table it stands in.
    pub(crate) const fn section(self) -> Section {
        match self {
            Self::Program(_) => Section::Programs,
            Self::Loop(entry) => entry.section,
        }
    }

    /// Makes its input in a fresh folder.
    pub(crate) fn prepare(self, folder: &Path, quick: bool) -> Result<Job, String> {
        match self {
            Self::Program(program) => {
                (program.prepare)(folder, if quick { program.quick } else { program.size })
            }
            Self::Loop(entry) => {
                Job::of_loop(entry, if quick { entry.quick } else { entry.operations })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = Workload::all().map(Workload::name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
