//! `mallocop sweep`: runs a program again and again, each time with another request for memory
//! refused, and lists where it did not stand that. Each run is a `mallocop run` of its own.

mod request;
mod trial;
mod verdict;

pub(crate) use request::Sweep;
use request::file;

use crate::recording_file;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mallocop::model::finding::Defect;
use mallocop::model::recording::Recording;
use mallocop::text::page::{Page, Role};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;

use crate::printer;
use crate::session::target;
use trial::{Trial, Tried};
use verdict::{Baseline, Fault, Place};

/// Runs without a refusal take so much longer at most.
const SLOWER: u32 = 10;
const LEAST_PATIENCE: Duration = Duration::from_secs(5);
/// Exit status where a fault was found.
const FOUND: u8 = 23;

/// Sweeps. The result is the command's exit status.
pub(crate) fn sweep(sweep: &Sweep) -> Result<u8, Failure> {
    target::find(&sweep.program)?;
    let folder = tempfile::tempdir().map_err(Failure::step("make a folder for recordings"))?;
    // What runs is not in the terminal's group, and has to be ended from here.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(Failure::step("set up signals"))?;
    }
    let trial = |plan: &str, name: usize, timeout| Trial {
        sweep,
        plan: plan.to_owned(),
        files: folder.path().join(name.to_string()),
        timeout,
        stop: &stop,
    };
    let whole_day = Duration::from_secs(86_400);
    let survey = trial("survey", 0, sweep.timeout.unwrap_or(whole_day)).run()?;
    if survey.status.is_none() {
        let time = sweep.timeout.unwrap_or(whole_day).as_secs();
        return Err(Failure::Usage(format!(
            "the first run, in which nothing is refused, did not end within {time} s: \
            --timeout has to be longer than that"
        )));
    }
    let recording = survey.recording()?;
    let requests = requests(&recording, sweep.every);
    if requests.is_empty() {
        printer::say("the program makes no request that could be refused");
        return Ok(0);
    }
    let chosen = choose(&requests, sweep.max);
    let timeout = sweep.timeout.unwrap_or(survey.took.max(LEAST_PATIENCE / SLOWER) * SLOWER);
    let again = trial("survey", usize::MAX, timeout).run()?;
    let baseline = Baseline::new(&survey, &recording, &again);
    say_what_is_done(sweep, chosen.len(), requests.len(), &baseline);
    let faults = run_all(&chosen, |number| {
        let tried = trial(&format!("nth:{number}"), number as usize, timeout).run()?;
        let fault = verdict::judge(&baseline, &tried, sweep.check.as_deref())?;
        tried.remove();
        Ok(fault)
    })?;
    Ok(report(faults, chosen.len()))
}

/// Numbers of the requests that can be refused.
fn requests(survey: &Recording, every: bool) -> Vec<u64> {
    let root = survey.processes.iter().filter(|process| process.is_root);
    let report = root.flat_map(|process| &process.findings);
    let surveyed = report.filter_map(|report| match report.finding.defect {
        Defect::Surveyed { ordinal, size } => Some((ordinal, size, report.finding.site)),
        _ => None,
    });
    let (mut first, mut last) = (Vec::new(), 0);
    for (ordinal, size, site) in surveyed {
        if size == 0 && site == mallocop::model::site::RecordingSite::NONE {
            last = ordinal;
        } else {
            first.push(ordinal);
        }
    }
    if every { (1..=last).collect() } else { first }
}

/// At most so many of them, spread evenly.
fn choose(requests: &[u64], most: Option<usize>) -> Vec<u64> {
    let most = most.unwrap_or(requests.len()).min(requests.len());
    (0..most).filter_map(|at| requests.get(at * requests.len() / most).copied()).collect()
}

fn say_what_is_done(sweep: &Sweep, runs: usize, of: usize, baseline: &Baseline) {
    let what = if sweep.every { "requests" } else { "stacks that ask for memory" };
    printer::say(&format!("refusing one request in each of {runs} runs ({of} {what})"));
    if !baseline.is_repeatable && sweep.check.is_none() {
        printer::say("two runs differ in output: outputs are not compared (use --check)");
    }
}

/// Runs all, several at a time, and shows how far it is.
fn run_all(
    numbers: &[u64],
    run: impl Fn(u64) -> Result<Option<Fault>, Failure> + Sync,
) -> Result<Vec<Fault>, Failure> {
    let bar = ProgressBar::new(numbers.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {msg}, {eta} left")
    {
        bar.set_style(style);
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
    let work = || {
        while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = run(number);
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *found, result) {
                (Ok(faults), Ok(fault)) => {
                    faults.extend(fault);
                    bar.set_message(format!("{} faults", faults.len()));
                }
                (Ok(_), Err(failure)) => {
                    *found = Err(failure);
                    return;
                }
                (Err(_), _) => return,
            }
            bar.inc(1);
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Lists each fault once, with how often it came.
fn report(mut faults: Vec<Fault>, runs: usize) -> u8 {
    faults.sort_by_key(|fault| fault.ordinal);
    let mut seen: HashSet<(String, Vec<Place>)> = HashSet::new();
    let mut count = 0;
    for fault in &faults {
        if seen.insert((fault.what.clone(), fault.stack.clone())) {
            count += 1;
            printer::print(&fault.text);
        }
    }
    let s = if count == 1 { "" } else { "s" };
    match count {
        0 => printer::say(&format!("the program survives each of {runs} refused requests")),
        _ => {
            let mut page = Page::new();
            page.set_role(Role::Error);
            page.push_str(&format!(
                "SUMMARY: mallocop: {count} fault{s} in {runs} runs with a refused request each\n"
            ));
            printer::print(&page);
        }
    }
    if count == 0 { 0 } else { FOUND }
}

/// What a run came to, for those who judge it.
impl Tried {
    fn recording(&self) -> Result<Recording, Failure> {
        recording_file::load(&file(&self.files, "recording"))
    }

    /// Its files are not needed any more.
    fn remove(&self) {
        for extension in ["recording", "out", "err"] {
            let _ = std::fs::remove_file(file(&self.files, extension));
        }
    }
}
