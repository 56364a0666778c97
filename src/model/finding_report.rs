//! A finding with the names that only its process knows: all that leaves the process.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::site::ProcessSite;
use super::stack::Module;

/// A finding with the names that go with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindingReport<S = ProcessSite> {
    /// The process.
    pub pid: u32,
    /// The finding.
    pub finding: Finding<S>,
    /// Names of the threads it speaks of, by their numbers.
    pub threads: Vec<(u16, String)>,
    /// The file that the pointer's memory belongs to.
    pub module: Option<Module>,
    /// The program's command line, as a shell takes it, where the text names it.
    pub command: String,
}

impl<S> FindingReport<S> {
    /// The name of a thread, if it has one.
    pub fn thread_name(&self, number: u16) -> Option<&str> {
        let known = self.threads.iter().find(|(known, _)| *known == number);
        known.map(|(_, name)| name.as_str())
    }

    /// Translates the report's sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> FindingReport<T> {
        FindingReport {
            pid: self.pid,
            finding: self.finding.map_sites(site),
            threads: self.threads,
            module: self.module,
            command: self.command,
        }
    }
}
