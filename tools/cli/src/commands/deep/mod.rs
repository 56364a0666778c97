//! `mallocop run --deep`: the run as ever, then passes of the same program that see every error at
//! the access, each with other guards. One report, one status.

mod findings;
mod input;
mod pass;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mallocop::model::recording::Recording;

pub(crate) use self::request::Deep;

use self::findings::Known;
use self::pass::{PASSES, Pass, Passed};
use crate::commands::run::{self, Run};
use crate::failure::Failure;
use crate::symbolize::Symbols;
use crate::{printer, recording_file};

/// Runs the program, then the passes. The result is the command's exit status.
pub(crate) fn run(first: &Run<'_>, deep: &Deep) -> Result<u8, Failure> {
    let step = || Failure::step("keep the files of the passes");
    let input = input::spool()?;
    let folder = tempfile::tempdir().map_err(step())?;
    let kept = folder.path().join("first.recording");
    let mut to = first.to.clone();
    let wanted = to.output.replace(kept.clone());
    let json = to.json.take();
    let exitcode = run::exitcode(&first.options)?;
    let status = run::run(&Run {
        to,
        input: Some(input::again(&input)?),
        options: first.options.clone(),
        ..*first
    })?;
    let Ok(recording) = recording_file::load(&kept) else { return Ok(status) };
    let (mut all, mut known) = (Recording::new(), Known::default());
    all.absorb(recording);
    known.take_from(&mut all, 0);
    let own = Own {
        // Found, and by itself 0.
        status: if known.count() > 0 && status == exitcode { 0 } else { status },
        is_cut_short: known.count() > 0 && status == ABORTED,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(step())?;
    }
    let mut passes = Passes { first, deep, own, known, all, reference: None };
    for pass in &PASSES {
        if stop.load(Ordering::Relaxed) {
            printer::say(&format!("stopped before pass {}", pass.letter));
            break;
        }
        passes.run(pass, &folder.path().join(pass.letter), &input)?;
    }
    let found = passes.known.count();
    let destinations =
        crate::destinations::Destinations { output: wanted, json, ..first.to.clone() };
    destinations.write(&passes.all, &Symbols::new(first.to.debuginfod))?;
    let word = if found == 1 { "error" } else { "errors" };
    printer::say(&format!("--deep: {found} {word} in all"));
    Ok(if status == 0 && found > 0 { exitcode } else { status })
}

/// Status of a program that a heap error has ended.
const ABORTED: u8 = 134;

/// The program's own end.
#[derive(Clone, Copy)]
struct Own {
    status: u8,
    /// Has a heap error ended it?
    is_cut_short: bool,
}

struct Passes<'a> {
    first: &'a Run<'a>,
    deep: &'a Deep,
    own: Own,
    known: Known,
    all: Recording,
    /// Standard output of the first pass that ended as the program does.
    reference: Option<Vec<u8>>,
}

impl Passes<'_> {
    /// Runs a pass with one alignment after the other, until the program ends as it should.
    fn run(
        &mut self,
        pass: &Pass,
        files: &std::path::Path,
        input: &std::fs::File,
    ) -> Result<(), Failure> {
        for (at, &alignment) in pass.alignments.iter().enumerate() {
            let started = Instant::now();
            let passed = pass.run(self.first, self.deep, alignment, files, input)?;
            let difference = self.difference(&passed);
            if difference.is_some() && at + 1 < pass.alignments.len() {
                continue;
            }
            let seconds = started.elapsed().as_secs_f64();
            self.conclude(pass, alignment, passed, difference, seconds);
            return Ok(());
        }
        Ok(())
    }

    /// In what a pass differs from the run, or from the pass before.
    fn difference(&self, passed: &Passed) -> Option<String> {
        if passed.has_fault() {
            return Some("the program faults".to_owned());
        }
        if !self.own.is_cut_short && passed.status != self.own.status {
            return Some(format!("the program ends with {}", passed.status));
        }
        let is_same = self.reference.as_ref().is_none_or(|output| *output == passed.output);
        (!is_same).then(|| "the program's output differs from the pass before".to_owned())
    }

    /// Prints what is new, and says how the pass went.
    fn conclude(
        &mut self,
        pass: &Pass,
        alignment: usize,
        passed: Passed,
        difference: Option<String>,
        seconds: f64,
    ) {
        let start = self.all.processes.len();
        let unguarded = passed.unguarded();
        if difference.is_none() {
            self.reference.get_or_insert(passed.output);
        }
        self.all.absorb(passed.recording);
        let new = self.known.take_from(&mut self.all, start);
        findings::print(&self.all, &new, &Symbols::new(self.first.to.debuginfod));
        let count = match new.len() {
            0 => "nothing new".to_owned(),
            1 => "1 error more".to_owned(),
            more => format!("{more} errors more"),
        };
        let mut line = format!("pass {} ({}", pass.letter, pass.about);
        if pass.alignments.len() > 1 && alignment > 1 {
            line += &format!(", aligned to {alignment}");
        }
        line += &format!("), {seconds:.1} s: {count}");
        if unguarded > 0 {
            line += &format!("; {unguarded} blocks were not guarded");
        }
        if let Some(difference) = difference {
            line += &format!("; {difference}");
        }
        printer::say(&line);
    }
}
