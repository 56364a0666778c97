//! The outcome of a program that was refused memory.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::Command;

use mallocop::model::finding::{Defect, Finding};
use mallocop::model::recording::{ProcessEnd, RecordedProcess, Recording};
use mallocop::model::site::RecordingSite;
use mallocop::text::page::Page;
use mallocop::text::stacks;

use super::request::file;
use super::trial::Tried;
use crate::failure::Failure;

use crate::symbolize::Symbols;

/// A frame as it is in every run: its module and where in it.
pub(super) type Place = (String, u64);

/// The program without a refusal.
pub(super) struct Baseline {
    status: Option<i32>,
    output: Vec<u8>,
    /// Does it print the same each time?
    pub(super) is_repeatable: bool,
    /// What it loses anyway.
    leaks: HashSet<Vec<Place>>,
    /// Where it has errors anyway.
    errors: HashSet<Vec<Place>>,
}

impl Baseline {
    /// Of two runs.
    pub(super) fn new(survey: &Tried, recording: &Recording, again: &Tried) -> Self {
        let (output, other) = (output_of(survey), output_of(again));
        Self {
            status: code(survey),
            is_repeatable: output == other,
            output,
            leaks: leaks(recording).map(|site| places(recording, site)).collect(),
            errors: errors(recording).map(|site| places(recording, site)).collect(),
        }
    }
}

/// Something that went wrong.
pub(super) struct Fault {
    /// Number of the request that was refused.
    pub(super) ordinal: u64,
    /// The outcome in a few words.
    pub(super) what: String,
    /// Where that request was made.
    pub(super) stack: Vec<Place>,
    /// All of it, for a person.
    pub(super) text: Page,
}

fn code(tried: &Tried) -> Option<i32> {
    tried.status.and_then(|status| status.code())
}

fn output_of(tried: &Tried) -> Vec<u8> {
    fs::read(file(&tried.files, "out")).unwrap_or_default()
}

fn root(recording: &Recording) -> impl Iterator<Item = &RecordedProcess> {
    recording.processes.iter().filter(|process| process.is_root)
}

/// Sites of what the program has lost for certain.
fn leaks(recording: &Recording) -> impl Iterator<Item = RecordingSite> + '_ {
    let outcomes = root(recording).filter_map(RecordedProcess::final_report);
    outcomes
        .filter(|report| report.is_error())
        .flat_map(|report| &report.leaks)
        .map(|leak| leak.site)
}

fn places(recording: &Recording, site: RecordingSite) -> Vec<Place> {
    let frames = recording.stack(site).map_or(&[][..], |stack| &stack.frames);
    frames
        .iter()
        .filter_map(|&frame| recording.frames.get(frame as usize))
        .map(|frame| {
            let module = frame.module.and_then(|module| recording.modules.get(module as usize));
            (module.map(|module| module.path.clone()).unwrap_or_default(), frame.address)
        })
        .collect()
}

/// What went wrong in a run; `None`: nothing, or the request was never made.
pub(super) fn judge(
    baseline: &Baseline,
    tried: &Tried,
    check: Option<&str>,
) -> Result<Option<Fault>, Failure> {
    // A run that was ended may have left no recording.
    let recording = match tried.status {
        Some(_) => tried.recording()?,
        None => tried.recording().unwrap_or_else(|_| Recording::new()),
    };
    let is_it =
        |finding: &&Finding<RecordingSite>| matches!(finding.defect, Defect::Refused { .. });
    let Some(refused) = findings(&recording).find(is_it) else {
        return Ok(tried.status.is_none().then(|| hung(tried)));
    };
    let Defect::Refused { ordinal, size } = refused.defect else { return Ok(None) };
    let lost = leaks(&recording).find(|&site| !baseline.leaks.contains(&places(&recording, site)));
    let error =
        errors(&recording).find(|&site| !baseline.errors.contains(&places(&recording, site)));
    // A status may look like a signal's.
    let is_killed = root(&recording).any(|process| process.end == ProcessEnd::Killed);
    let (what, about) = match (tried.status, code(tried)) {
        (None, _) => ("hung".to_owned(), None),
        _ if error.is_some() => ("had a heap error".to_owned(), error),
        (_, Some(code)) if code > 128 && is_killed => {
            (format!("crashed ({})", signal(code - 128)), None)
        }
        _ if lost.is_some() => ("leaked".to_owned(), lost),
        (_, code) if code == baseline.status && !is_right(baseline, tried, check)? => {
            ("returned success with wrong output".to_owned(), None)
        }
        _ => return Ok(None),
    };
    let text = describe(&recording, &what, (ordinal, size), refused.site, about);
    Ok(Some(Fault { ordinal, what, stack: places(&recording, refused.site), text }))
}

/// A run that hung, and of which nothing more is known.
fn hung(tried: &Tried) -> Fault {
    let ordinal = tried.files.file_stem().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
    let mut text = Page::new();
    text.push_str("FAULT: the program hung, and its recording is lost\n");
    Fault { ordinal, what: "hung".to_owned(), stack: Vec::new(), text }
}

fn findings(recording: &Recording) -> impl Iterator<Item = &Finding<RecordingSite>> {
    root(recording).flat_map(|process| &process.findings).map(|report| &report.finding)
}

fn errors(recording: &Recording) -> impl Iterator<Item = RecordingSite> + '_ {
    findings(recording).filter(|finding| finding.is_error()).map(|finding| finding.site)
}

/// Is the output of a run that seems to have gone well right?
fn is_right(baseline: &Baseline, tried: &Tried, check: Option<&str>) -> Result<bool, Failure> {
    let Some(check) = check else {
        return Ok(!baseline.is_repeatable || output_of(tried) == baseline.output);
    };
    let step = || Failure::step("run the command of --check");
    let output = File::open(file(&tried.files, "out")).map_err(step())?;
    let status =
        Command::new("/bin/sh").args(["-c", check]).stdin(output).status().map_err(step())?;
    Ok(status.success())
}

fn signal(number: i32) -> String {
    signal_hook::low_level::signal_name(number)
        .map_or_else(|| format!("signal {number}"), str::to_owned)
}

fn describe(
    recording: &Recording,
    what: &str,
    (ordinal, size): (u64, usize),
    refused: RecordingSite,
    about: Option<RecordingSite>,
) -> Page {
    let symbols = Symbols::new(false);
    symbols.prepare(recording, [refused].into_iter().chain(about));
    let mut text = Page::new();
    let _ = writeln!(
        text,
        "FAULT: the program {what}: request no. {ordinal}, of {size} bytes, was refused here:"
    );
    symbols.with_renderer(recording, |with| stacks::write_stack(&mut text, refused, with));
    if let Some(site) = about {
        let _ = writeln!(
            text,
            "  {}:",
            if what == "leaked" {
                "the lost blocks were allocated here"
            } else {
                "the error was found here"
            }
        );
        symbols.with_renderer(recording, |with| stacks::write_stack(&mut text, site, with));
    }
    text
}
