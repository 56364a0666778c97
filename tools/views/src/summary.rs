//! The end of a run: leaks, what was in use where nothing could be judged, and who had nothing to
//! say.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use mallocop::model::leak_report::{Leak, LeakReport, LeakSummary, Loss, Reachable};
use mallocop::model::recording::{ProcessEnd, RecordedProcess, Recording};
use mallocop::model::signal;
use mallocop::model::site::{RecordingSite, SiteTotals};
use mallocop::text::escape::escape;
use mallocop::text::leaks;
use mallocop::text::page::Page;
use mallocop::text::style::{Renderer, Style};
use mallocop::text::summary::{plural, write_sites};

/// What of it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Is nothing said of processes that have nothing to report?
    pub is_quiet: bool,
    /// Is the summary wanted?
    pub prints_summary: bool,
}

/// The text, grouped by program.
pub fn write(
    recording: &Recording,
    wanted: Wanted,
    with: &mut Renderer<'_, RecordingSite>,
) -> Page {
    let mut out = Page::new();
    let has_several = recording.processes.iter().filter(|process| !process.is_fork).count() > 1;
    for (program, processes) in by_program(recording) {
        write_leak_reports(&mut out, program, &processes, has_several, with);
        for process in &processes {
            write_unjudged(&mut out, process, wanted, with);
            write_lost(&mut out, process);
        }
    }
    if !wanted.is_quiet && wanted.prints_summary {
        write_silent(&mut out, recording, wanted, with.style.show_reachable);
        write_unwatched(&mut out, recording);
    }
    out
}

/// The processes of each program, the root's first, then by their coming.
fn by_program(recording: &Recording) -> Vec<(&str, Vec<&RecordedProcess>)> {
    let mut order: Vec<(&str, Vec<&RecordedProcess>)> = Vec::new();
    for process in &recording.processes {
        match order.iter_mut().find(|(program, _)| *program == process.program) {
            Some((_, processes)) => processes.push(process),
            None => order.push((&process.program, vec![process])),
        }
    }
    order
}

fn write_leak_reports(
    out: &mut Page,
    program: &str,
    processes: &[&RecordedProcess],
    has_several: bool,
    with: &mut Renderer<'_, RecordingSite>,
) {
    let reports = || processes.iter().filter_map(|process| process.final_report());
    let leaking: Vec<&LeakReport<RecordingSite>> =
        reports().filter(|report| !report.leaks.is_empty()).collect();
    if let Some((first, rest)) = leaking.split_first() {
        let whole = merge(first, rest);
        if has_several || !rest.is_empty() {
            let _ = writeln!(out, "mallocop: {}", of_processes(program, &leaking));
        }
        out.append(&leaks::write(&whole, with));
    }
    for report in reports().filter(|report| report.leaks.is_empty()) {
        out.append(&leaks::write(report, with));
    }
}

/// `in 3 processes of cc1 (pid 12, 15, 18):`
fn of_processes(program: &str, leaking: &[&LeakReport<RecordingSite>]) -> String {
    const MOST: usize = 8;
    let name = name_of(program);
    let pids: Vec<String> =
        leaking.iter().take(MOST).map(|report| report.sum.pid.to_string()).collect();
    let more = if leaking.len() > MOST { ", ..." } else { "" };
    match leaking.len() {
        1 => format!("in {name} (pid {}):", pids.join("")),
        count => format!("in {count} processes of {name} (pid {}{more}):", pids.join(", ")),
    }
}

/// The leaks of several processes as those of one.
fn merge(
    first: &LeakReport<RecordingSite>,
    rest: &[&LeakReport<RecordingSite>],
) -> LeakReport<RecordingSite> {
    let mut all = first.clone();
    let mut leaks: HashMap<(RecordingSite, Loss), usize> = HashMap::new();
    let mut sites: HashMap<RecordingSite, usize> = HashMap::new();
    leaks.extend(all.leaks.iter().enumerate().map(|(at, leak)| ((leak.site, leak.loss), at)));
    sites.extend(all.reachable.iter().enumerate().map(|(at, known)| (known.site, at)));
    for other in rest {
        for leak in &other.leaks {
            let at = *leaks.entry((leak.site, leak.loss)).or_insert(all.leaks.len());
            match all.leaks.get_mut(at) {
                Some(known) => {
                    known.totals.add(leak.totals);
                    known.objects.extend_from_slice(&leak.objects);
                }
                None => all.leaks.push(leak.clone()),
            }
        }
        for reachable in &other.reachable {
            let at = *sites.entry(reachable.site).or_insert(all.reachable.len());
            match all.reachable.get_mut(at) {
                Some(known) => add_reachable(known, reachable),
                None => all.reachable.push(*reachable),
            }
        }
        add_sum(&mut all.sum, &other.sum);
    }
    let order = |leak: &Leak<RecordingSite>| {
        (leak.loss == Loss::Indirect, u64::MAX - leak.totals.bytes, leak.site)
    };
    all.leaks.sort_unstable_by_key(order);
    all.reachable.sort_unstable_by_key(|site| (u64::MAX - site.totals.bytes, site.site));
    all
}

fn add_reachable(to: &mut Reachable<RecordingSite>, from: &Reachable<RecordingSite>) {
    to.totals.add(from.totals);
    to.counts.blocks = to.counts.blocks.saturating_add(from.counts.blocks);
    to.counts.bytes = to.counts.bytes.saturating_add(from.counts.bytes);
    to.counts.peak = to.counts.peak.max(from.counts.peak);
}

fn add_sum(to: &mut LeakSummary, from: &LeakSummary) {
    to.suppressed.add(from.suppressed);
    to.stats.allocations = to.stats.allocations.saturating_add(from.stats.allocations);
    to.stats.frees = to.stats.frees.saturating_add(from.stats.frees);
    to.stats.allocated = to.stats.allocated.saturating_add(from.stats.allocated);
    to.stats.peak = to.stats.peak.max(from.stats.peak);
    to.missed.extend_from_slice(&from.missed);
    to.is_blind |= from.is_blind;
    to.unread_pages = to.unread_pages.saturating_add(from.unread_pages);
    to.lost_frees = to.lost_frees.saturating_add(from.lost_frees);
    to.folded = to.folded.saturating_add(from.folded);
    to.lost_looks = to.lost_looks.saturating_add(from.lost_looks);
    to.unguarded = to.unguarded.saturating_add(from.unguarded);
    to.guard_obstacle = to.guard_obstacle.or(from.guard_obstacle);
}

/// How a process has ended at which it could not be looked at, if something is to be said of that.
fn unjudged(
    process: &RecordedProcess,
    wanted: Wanted,
    shows_reachable: bool,
) -> Option<(String, SiteTotals)> {
    let how = match (process.end, process.signal) {
        (ProcessEnd::Exited, _) => return None,
        (ProcessEnd::Left, _) => "ended by _exit before its leak check".to_owned(),
        (ProcessEnd::Replaced, _) => "replaced by exec before its leak check".to_owned(),
        (ProcessEnd::Killed, Some(signal)) => {
            format!("killed by {} before its leak check", signal::name(signal))
        }
        (ProcessEnd::Killed, None) => "killed before its leak check".to_owned(),
        (ProcessEnd::Running, _) => "still running".to_owned(),
    };
    let mut sum = SiteTotals::default();
    process.in_use.iter().for_each(|site| sum.add(site.totals));
    let is_rare = process.is_root && process.end != ProcessEnd::Replaced
        || matches!(process.end, ProcessEnd::Killed | ProcessEnd::Running);
    // A heap error or a fault has ended it, which says more; or it was checked on its way out.
    let has_told = !process.findings.is_empty() || process.fault.is_some();
    let is_known =
        process.end == ProcessEnd::Killed && has_told || process.final_report().is_some();
    // One that has left by _exit has come to an end of its own.
    let is_quiet = wanted.is_quiet && process.end == ProcessEnd::Left;
    let is_told = (sum.blocks != 0 || process.is_root)
        && (is_rare && !is_quiet || shows_reachable)
        && !is_known;
    is_told.then_some((how, sum))
}

/// What a process had in use that came to no end at which it could be looked at.
fn write_unjudged(
    out: &mut Page,
    process: &RecordedProcess,
    wanted: Wanted,
    with: &mut Renderer<'_, RecordingSite>,
) {
    let wants_all = with.style.show_reachable;
    let Some((how, sum)) = unjudged(process, wanted, wants_all) else { return };
    let SiteTotals { blocks, bytes } = sum;
    let (s, ss, name, pid) =
        (plural(bytes), plural(blocks), name_of(&process.program), process.pid);
    let hint = if wants_all || blocks == 0 { "" } else { " (--show-reachable lists them)" };
    let _ = writeln!(
        out,
        "mallocop: {name} (pid {pid}): {how}: {bytes} byte{s} in {blocks} block{ss} in use{hint}",
    );
    if wants_all {
        write_sites(out, &how, &process.in_use, with);
    }
}

/// Entries that did not fit in the record.
fn write_lost(out: &mut Page, process: &RecordedProcess) {
    if process.lost != 0 {
        let (name, pid, lost) = (name_of(&process.program), process.pid, process.lost);
        let _ = writeln!(
            out,
            "mallocop: {name} (pid {pid}): {lost} entries did not fit in the record and are \
             missing here"
        );
    }
}

/// How many processes there were besides the first, by program.
fn write_silent(out: &mut Page, recording: &Recording, wanted: Wanted, shows_reachable: bool) {
    let others: Vec<&RecordedProcess> = recording
        .processes
        .iter()
        .filter(|process| !process.is_root && process.findings.is_empty())
        .filter(|process| {
            unjudged(process, wanted, shows_reachable).is_none() && !has_own_malloc(process)
        })
        .filter(|process| process.final_report().is_none_or(|report| report.leaks.is_empty()))
        .collect();
    if others.is_empty() {
        return;
    }
    let mut programs: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    others.iter().for_each(|process| *programs.entry(name_of(&process.program)).or_default() += 1);
    let list: Vec<String> =
        programs.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let es = if others.len() == 1 { "" } else { "es" };
    let _ = writeln!(
        out,
        "mallocop: {} more process{es} with nothing to report: {}",
        others.len(),
        list.join(", ")
    );
}

/// Did its allocations go elsewhere?
fn has_own_malloc(process: &RecordedProcess) -> bool {
    process.final_report().is_some_and(|report| report.sum.has_own_malloc)
}

/// Programs that were not checked, and why.
fn write_unwatched(out: &mut Page, recording: &Recording) {
    let mut programs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (path, obstacle) in &recording.unwatched {
        *programs.entry((path, obstacle.reason())).or_default() += 1;
    }
    for ((path, reason), count) in programs {
        let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
        let _ = writeln!(out, "mallocop: not watched: {} {reason}{times}", escape(path));
    }
    let mut blind: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    for process in recording.processes.iter().filter(|process| has_own_malloc(process)) {
        *blind.entry(escape(&process.program)).or_default() += 1;
    }
    for (path, count) in blind {
        let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
        let _ = writeln!(
            out,
            "mallocop: not watched: {path} defines its own malloc, so its blocks were not \
             checked{times}"
        );
    }
}

fn name_of(program: &str) -> Cow<'_, str> {
    match program.rsplit('/').next() {
        Some(name) if !name.is_empty() => escape(name),
        _ => Cow::Borrowed("a program"),
    }
}

/// All sites whose names may be shown.
pub fn sites(recording: &Recording, style: &Style) -> Vec<RecordingSite> {
    let most = style.max_sites;
    let lists = style.show_reachable;
    let mut sites = Vec::new();
    for process in &recording.processes {
        for report in &process.leak_reports {
            sites.extend(report.leaks.iter().map(|leak| leak.site));
            sites
                .extend(report.reachable.iter().filter(|_| lists).take(most).map(|site| site.site));
        }
        sites.extend(process.in_use.iter().filter(|_| lists).take(most).map(|site| site.site));
    }
    sites
}
