//! `mallocop run --deep`: the program runs as always, then four times more, each time with other
//! guards on all blocks. Prints one report; the exit status is that of the first run, or
//! `exitcode`.

mod findings;
mod input;
mod pass;
mod request;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mallocop::model::recording::Recording;

pub(crate) use self::request::Deep;

use self::findings::Known;
use self::pass::{PASSES, Pass, Passed};
use crate::commands::run::{self, Run};
use crate::destinations::Destinations;
use crate::failure::Failure;
use crate::status::{is_aborted, is_interrupted};
use crate::symbolize::Symbols;
use crate::{printer, recording_file};

/// Runs the program, then the passes. Returns the exit status of the command.
pub(crate) fn run(first: &Run<'_>, deep: &Deep) -> Result<u8, Failure> {
    let step = || Failure::step("keep the files of the passes");
    let exitcode = run::exitcode(&first.options)?;
    let input = input::spool()?;
    let folder = tempfile::tempdir().map_err(step())?;
    let kept = folder.path().join("first.recording");
    let to = Destinations { output: Some(kept.clone()), json: None, ..first.to.clone() };
    let options = first.options.clone();
    let end = run::run(&Run { to, input: Some(input::again(&input)?), options, ..*first })?;
    let Ok(recording) = recording_file::load(&kept) else { return Ok(end.reported) };
    let (mut all, mut known) = (Recording::new(), Known::default());
    all.absorb(recording);
    known.take_from(&mut all, 0);
    let stop = Arc::new(AtomicBool::new(is_interrupted(end.own)));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(step())?;
    }
    // Heap errors end the program early in the first run, and not in the passes.
    let expected = Some(end.own).filter(|&own| !(is_aborted(own) && known.count() > 0));
    let mut passes = Passes { first, deep, expected, known, all, stop: &stop, reference: None };
    for pass in &PASSES {
        if stop.load(Ordering::Relaxed) {
            printer::say(&format!("stopped before pass {}", pass.letter));
            break;
        }
        passes.run(pass, &folder.path().join(pass.letter), &input);
    }
    first.to.write(&passes.all, &Symbols::new(first.to.debuginfod))?;
    let found = passes.known.count();
    printer::say(&format!("--deep: {} in all", counted(found, "error")));
    Ok(if end.reported == 0 && found > 0 { exitcode } else { end.reported })
}

/// A number with its noun.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The passes so far, and what they are compared with.
struct Passes<'a> {
    first: &'a Run<'a>,
    deep: &'a Deep,
    /// The program's exit status in the first run; `None` if a heap error ended it.
    expected: Option<u8>,
    known: Known,
    all: Recording,
    stop: &'a AtomicBool,
    /// Standard output of the first pass that ended as expected.
    reference: Option<Vec<u8>>,
}

impl Passes<'_> {
    /// Runs a pass with one alignment after another, until the program behaves as before.
    fn run(&mut self, pass: &Pass, files: &Path, input: &File) {
        let mut alignments = pass.alignments.iter().copied().peekable();
        while let Some(alignment) = alignments.next() {
            let started = Instant::now();
            let passed = match pass.run(self.first, self.deep, alignment, files, input) {
                Ok(passed) => passed,
                Err(failure) => {
                    return printer::say(&format!("pass {}: {failure}", pass.letter));
                }
            };
            let difference = self.difference(&passed);
            let is_last = alignments.peek().is_none() || self.stop.load(Ordering::Relaxed);
            if difference.is_none() || is_last {
                let took = format!("{:.1} s", started.elapsed().as_secs_f64());
                return self.conclude(&pass.title(alignment), passed, difference, &took);
            }
        }
    }

    /// How a pass differs from the first run, or its output from that of an earlier pass.
    fn difference(&self, passed: &Passed) -> Option<String> {
        if passed.has_fault() {
            return Some("the program faults".to_owned());
        }
        if self.expected.is_some_and(|expected| expected != passed.status) {
            return Some(format!("the program exits with status {}", passed.status));
        }
        let is_same = self.reference.as_ref().is_none_or(|output| *output == passed.output);
        (!is_same).then(|| "the program prints something else than in an earlier pass".to_owned())
    }

    /// Prints the errors that are new, and one line about the pass.
    fn conclude(&mut self, title: &str, passed: Passed, difference: Option<String>, took: &str) {
        let start = self.all.processes.len();
        let unguarded = passed.unguarded();
        if difference.is_none() {
            self.reference.get_or_insert(passed.output);
        }
        self.all.absorb(passed.recording);
        let new = self.known.take_from(&mut self.all, start);
        findings::print(&self.all, &new, &Symbols::new(self.first.to.debuginfod));
        let found = match new.len() {
            0 => "no new error".to_owned(),
            new => counted(new, "new error"),
        };
        let unguarded = usize::try_from(unguarded).unwrap_or(usize::MAX);
        let unguarded =
            (unguarded > 0).then(|| format!("{} not guarded", counted(unguarded, "block")));
        let rest: String =
            unguarded.into_iter().chain(difference).map(|text| format!("; {text}")).collect();
        printer::say(&format!("{title}, {took}: {found}{rest}"));
    }
}
