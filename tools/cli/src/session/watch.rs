//! Watching a program: starting it, printing what is found while it runs, and its end.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mallocop::model::fault::FaultReport;
use mallocop::model::finding::Defect;
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::LeakReport;
use mallocop::model::recording::Recording;
use mallocop::model::site::RecordingSite;
use mallocop::options::{self, Name};
use mallocop::sys::sigpipe;
use mallocop::text::{self, finding, leaks};
use rustix::process::Pid;

use super::recording_builder::{News, RecordingBuilder};
use super::signals::Signals;
use super::tree_file::{Source, TreeFile};
use crate::destinations::Destinations;
use crate::failure::Failure;
use crate::printer;
use crate::status::{self, End};
use crate::symbolize::Symbols;

/// How often the tree file is looked at while the program runs.
const POLL: Duration = Duration::from_millis(20);

/// From how many processes on those that are gone are looked for, and how often: more often once a
/// quarter of the record is in use.
const MANY: usize = 32;
const REST: Duration = Duration::from_millis(200);
const SHORT_REST: Duration = Duration::from_millis(40);

/// How long processes are waited for that the program has left behind.
const LINGER: Duration = Duration::from_secs(1);

/// Starts the program; signals that come go to it.
pub(crate) fn start(command: &mut Command, program: &Path) -> Result<Child, Failure> {
    sigpipe::pass_on(command);
    let signals = Signals::hold()?;
    let cannot = |error: std::io::Error| Failure::CannotRun(program.to_owned(), error.to_string());
    let child = command.spawn().map_err(cannot)?;
    if let Some(program) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        spawn(move || signals.pass_on(program))?;
    }
    Ok(child)
}

/// Prints what there is to say, when it happens and at the end.
pub(crate) struct Watch<'a> {
    tree: TreeFile,
    to: &'a Destinations,
    pub(crate) builder: RecordingBuilder<Source>,
    symbols: Symbols,
    /// Of the process ids that can be asked for.
    namespace: u32,
    retired: Instant,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(tree: TreeFile, to: &'a Destinations) -> Result<Self, Failure> {
        let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino() as u32);
        let keeps_all = to.want_all() || options::flag(Name::ShowReachable);
        let builder = RecordingBuilder::new(tree.reader()?, keeps_all);
        let symbols = Symbols::new(to.debuginfod);
        Ok(Self { tree, to, builder, symbols, namespace, retired: Instant::now() })
    }

    /// Gives back the record of processes that are gone, now and then.
    fn retire(&mut self) {
        let is_crowded = self.builder.extents() > self.tree.extents() / 4;
        let rest = if is_crowded { SHORT_REST } else { REST };
        if self.builder.unsettled() >= MANY && self.retired.elapsed() > rest && self.namespace != 0
        {
            let tags = self.builder.retire(self.namespace);
            self.tree.free(&tags);
            self.retired = Instant::now();
        }
    }

    /// Waits for the program.
    pub(crate) fn until_end(&mut self, mut child: Child) -> Result<ExitStatus, Failure> {
        let (sender, ended) = mpsc::channel();
        spawn(move || {
            let _ = sender.send(child.wait());
        })?;
        loop {
            let result = ended.recv_timeout(POLL);
            let news = self.builder.poll(result.is_ok());
            news.iter().for_each(|news| self.print(news));
            self.retire();
            match result {
                Ok(status) => return status.map_err(Failure::step("wait for the program")),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let lost = std::io::ErrorKind::BrokenPipe.into();
                    return Err(Failure::Step("wait for the program".to_owned(), lost));
                }
            }
        }
    }

    /// Gives processes that the program has left behind a moment to come to their end.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        while Instant::now() < until && self.builder.has_running(self.namespace) {
            thread::sleep(POLL);
        }
        // Also what has come and gone since the program's end.
        let news = self.builder.poll(true);
        news.iter().for_each(|news| self.print(news));
    }

    fn print(&mut self, news: &News) {
        let recording = &self.builder.recording;
        if let News::Finding(process, number) = news
            && let Some(report) = finding(recording, *process, *number)
            && matches!(report.finding.defect, Defect::Surveyed { .. })
        {
            // There may be thousands, for `mallocop sweep`.
            return;
        }
        let sites: Vec<RecordingSite> = match news {
            News::Text(text) => return printer::print_text(text),
            News::Finding(process, number) => finding(recording, *process, *number)
                .map_or_else(Vec::new, |report| report.finding.sites().collect()),
            News::Fault(process) => {
                fault(recording, *process).map_or_else(Vec::new, |report| report.sites().collect())
            }
            News::LeakReport(process, number) => report(recording, *process, *number)
                .map_or_else(Vec::new, |report| {
                    report.leaks.iter().map(|leak| leak.site).collect()
                }),
        };
        self.symbols.prepare(recording, sites);
        let page = self.symbols.with_renderer(recording, |with| match news {
            News::Text(_) => None,
            News::Finding(process, number) => {
                finding(recording, *process, *number).map(|report| finding::write(report, with))
            }
            News::Fault(process) => {
                fault(recording, *process).map(|report| text::fault::write(report, with))
            }
            News::LeakReport(process, number) => {
                report(recording, *process, *number).map(|report| leaks::write(report, with))
            }
        });
        page.iter().for_each(printer::print);
    }

    /// Says what was not seen, and settles the status.
    pub(crate) fn conclude(&mut self, program: &Path, ended: ExitStatus, exitcode: u8) -> End {
        let header = self.builder.header();
        if !self.builder.is_sound() {
            printer::say("the program has written over the run's record: findings may be missing");
        } else if header.root == 0 {
            printer::say(&format!(
                "{} did not load the library: nothing was checked",
                program.display()
            ));
            let own = status::of_run(ended, false, 0);
            return End::plain(if ended.success() { status::FAILED } else { own });
        }
        self.linger();
        self.builder.conclude(self.namespace);
        self.builder.note_end(ended.signal());
        match options::text(Name::LogPath) {
            Some(pattern) => printer::say(&format!("each process's report is in {pattern}")),
            None => printer::print_summary(&self.builder.recording, &self.symbols),
        }
        if let Err(failure) = self.to.write(&self.builder.recording, &self.symbols) {
            printer::say(&format!("error: {failure}"));
        }
        let asked = header.exit_code.and_then(|code| u8::try_from(code).ok());
        End {
            own: status::of_run(ended, false, 0),
            reported: status::of_run(ended, header.findings > 0, asked.unwrap_or(exitcode)),
        }
    }
}

fn finding(
    recording: &Recording,
    process: usize,
    number: usize,
) -> Option<&FindingReport<RecordingSite>> {
    recording.processes.get(process)?.findings.get(number)
}

fn fault(recording: &Recording, process: usize) -> Option<&FaultReport<RecordingSite>> {
    recording.processes.get(process)?.fault.as_ref()
}

fn report(
    recording: &Recording,
    process: usize,
    number: usize,
) -> Option<&LeakReport<RecordingSite>> {
    recording.processes.get(process)?.leak_reports.get(number)
}

/// A thread, or a clear word where the limits allow none.
fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let step = Failure::step("start a thread");
    thread::Builder::new().stack_size(256 << 10).spawn(work).map(drop).map_err(step)
}
