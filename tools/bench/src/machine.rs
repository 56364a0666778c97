//! The head of the report: when, on what, and of which versions.

use std::fs;

use crate::columns::{Column, Entry};
use crate::libraries::output;
use crate::memory;

/// Date, machine, and mallocop's version.
pub(crate) fn describe() -> String {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    format!(
        "{}; {}, {} cores, {} memory, Linux {}, {}; mallocop {}{}",
        or_unknown(output("date", &["+%Y-%m-%d"])),
        or_unknown(processor()),
        std::thread::available_parallelism().map_or(0, usize::from),
        or_unknown(total_memory()),
        or_unknown(output("uname", &["-r"])),
        or_unknown(output("getconf", &["GNU_LIBC_VERSION"])),
        env!("CARGO_PKG_VERSION"),
        commit().map_or_else(String::new, |commit| format!(" ({commit})"))
    )
}

/// The columns' names with what they are and their versions, a line each.
pub(crate) fn legend(columns: &[Column]) -> String {
    let line = |column: &Column| {
        let version =
            if column.version.is_empty() { String::new() } else { format!(" {}", column.version) };
        format!("- {}{version}: {}\n", column.head(), column.entry.about)
    };
    columns.iter().skip(1).map(line).collect()
}

/// The line that names what is not installed.
pub(crate) fn absent(entries: &[&'static Entry], columns: &[Column]) -> Option<String> {
    let is_there = |entry: &Entry| columns.iter().any(|column| column.entry.name == entry.name);
    let missing: Vec<&str> =
        entries.iter().filter(|entry| !is_there(entry)).map(|entry| entry.title).collect();
    (!missing.is_empty()).then(|| format!("Not installed: {}.\n", missing.join("; ")))
}

fn processor() -> Option<String> {
    let information = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}

fn total_memory() -> Option<String> {
    let information = fs::read_to_string("/proc/meminfo").ok()?;
    Some(format!("{:.0} GiB", memory::kib(&information, "MemTotal")? / 1024.0 / 1024.0))
}

/// The commit, and whether the tree differs from it.
fn commit() -> Option<String> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let commit = output("git", &["-C", folder, "rev-parse", "--short", "HEAD"])?;
    // The command prints the changes, so nothing printed means none.
    let changes = output("git", &["-C", folder, "status", "--porcelain", ":/"]);
    Some(if changes.is_some() { format!("{commit}, with changes") } else { commit })
}
