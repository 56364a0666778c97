//! A finding and what only its process can say of it: all that leaves the process.

use serde::{Deserialize, Serialize};

use crate::model::finding::{Finding, Location};
use crate::stack::modules::{self, Module};
use crate::sys::{process, seccomp, thread};
use crate::text::escape::escape;

/// A finding with the names that go with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindingReport {
    /// The process.
    pub pid: u32,
    /// The finding.
    pub finding: Finding,
    /// Names of the threads it speaks of, by their numbers.
    threads: Vec<(u16, String)>,
    /// The file that the pointer's memory belongs to.
    pub module: Option<Module>,
}

impl FindingReport {
    /// Gathers what there is to say now.
    pub fn gather(finding: &Finding) -> Self {
        let block = finding.block.as_ref();
        let mut numbers = vec![finding.thread];
        numbers.extend(block.and_then(|block| block.thread));
        numbers.extend(block.and_then(|block| block.free_thread));
        if let Location::Stack(owner) = finding.place {
            numbers.push(owner);
        }
        numbers.sort_unstable();
        numbers.dedup();
        let is_mapping = matches!(finding.place, Location::Mapping { .. });
        Self {
            pid: process::id(),
            finding: *finding,
            threads: numbers.into_iter().filter_map(|n| Some((n, thread_name(n)?))).collect(),
            module: is_mapping.then(|| modules::find(finding.pointer)).flatten(),
        }
    }

    /// `thread T1 "worker"`.
    pub fn thread(&self, number: u16) -> String {
        match self.threads.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => format!("thread T{number} \"{}\"", escape(name)),
            None => format!("thread T{number}"),
        }
    }
}

fn thread_name(number: u16) -> Option<String> {
    let tid = thread::tid_of(number);
    match number {
        0 => Some("main".to_owned()),
        _ if tid == 0 || seccomp::is_installed() => None,
        _ => {
            let name = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).ok()?;
            Some(name.trim().to_owned())
        }
    }
}
