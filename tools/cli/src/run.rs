//! `mallocop run`: starts the program with the library preloaded, prints what is found while it
//! runs, and ends with its status.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mallocop::leak::suppress;
use mallocop::model::finding::Defect;
use mallocop::model::finding_report::FindingReport;
use mallocop::model::leak_report::LeakReport;
use mallocop::options::{self, Name, TABLE, Value};
use mallocop::sys::sigpipe;
use mallocop::text::{finding, leaks};
use rustix::process::Pid;

use crate::failure::Failure;
use crate::intake::{Intake, News};
use crate::recording::Recording;
use crate::report::Destinations;
use crate::signals::Signals;
use crate::symbols::{Named, Symbols, told_sites};
use crate::tree::{Source, TreeFile};
use crate::{library, printer, status, summary, target};

/// How often the tree file is looked at while the program runs.
const POLL: Duration = Duration::from_millis(20);

/// From how many processes on those that are gone are looked for, and how often: more often once a
/// quarter of the record is in use.
const MANY: usize = 32;
const REST: Duration = Duration::from_millis(200);
const SHORT_REST: Duration = Duration::from_millis(40);

/// How long processes are waited for that the program has left behind.
const LINGER: Duration = Duration::from_secs(1);

/// What to run, and how.
pub(crate) struct Run<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: &'a [OsString],
    /// Options from the command line, in the form of `MALLOCOP_OPTIONS`.
    pub(crate) options: String,
    /// Where the report goes besides.
    pub(crate) to: Destinations,
}

/// Runs it. The result is the command's exit status.
pub(crate) fn run(run: &Run<'_>) -> Result<u8, Failure> {
    let options = all_options(&run.options)?;
    check_suppressions(options.suppressions.as_deref())?;
    let program = target::find(run.program)?;
    let facts = target::inspect(&program)?;
    if facts.defines_malloc {
        printer::say(&format!(
            "{} defines malloc itself: blocks from there are not seen (mallocop doctor says more)",
            facts.file.display()
        ));
    }
    let library = library::install()?;
    let mut command =
        Command::new(if facts.needs_shell { Path::new(target::SHELL) } else { &program });
    if facts.needs_shell {
        command.arg(&program);
    }
    command
        .args(run.arguments)
        .env("LD_PRELOAD", with_users_preloads(library.as_os_str()))
        .env("MALLOCOP_OPTIONS", &options.list);
    let tree = match TreeFile::create() {
        Ok(tree) => tree,
        Err(failure) => {
            printer::say(&format!("{failure}; each process reports on its own standard error"));
            return run_unrecorded(command.env_remove("MALLOCOP_TREE"), &program);
        }
    };
    command.env("MALLOCOP_TREE", tree.path());
    let mut watch = Watch::new(tree, &run.to)?;
    let child = start(&mut command, &program)?;
    watch.intake.set_root(child.id());
    let ended = watch.until_end(child)?;
    Ok(watch.conclude(&program, ended, options.exitcode))
}

/// Starts the program; signals that come go to it.
fn start(command: &mut Command, program: &Path) -> Result<Child, Failure> {
    sigpipe::pass_on(command);
    let signals = Signals::hold()?;
    let cannot = |error: std::io::Error| Failure::CannotRun(program.to_owned(), error.to_string());
    let child = command.spawn().map_err(cannot)?;
    if let Some(program) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        spawn(move || signals.pass_on(program))?;
    }
    Ok(child)
}

/// Runs it where no record can be made: the library in the program prints what it finds, and its
/// status says so.
fn run_unrecorded(command: &mut Command, program: &Path) -> Result<u8, Failure> {
    let ended = start(command, program)?.wait().map_err(Failure::step("wait for the program"))?;
    Ok(status::of_run(ended, false, 0))
}

/// The options for the library.
struct Options {
    list: String,
    exitcode: u8,
    suppressions: Option<String>,
}

/// The user's list with the command line's behind it: the last one counts. What is wrong in the
/// user's list is an error here, before anything runs.
fn all_options(from_flags: &str) -> Result<Options, Failure> {
    let from_environment = env::var("MALLOCOP_OPTIONS").unwrap_or_default();
    let list = format!("{from_environment}:{from_flags}");
    let mut wrong = None;
    let mut found =
        Options { list: list.trim_matches(':').to_owned(), exitcode: 23, suppressions: None };
    options::parse(&list, |option| match option {
        Ok((row, value)) => match (TABLE.get(row).map(|entry| entry.name), value) {
            (Some("exitcode"), Value::Number(number)) => {
                found.exitcode = u8::try_from(number).unwrap_or(23);
            }
            (Some("suppressions"), Value::Text(path)) => found.suppressions = Some(path.to_owned()),
            _ => {}
        },
        Err(why) => wrong = Some(format!("MALLOCOP_OPTIONS: {why} (see `mallocop options`)")),
    });
    // What is printed here goes by them, too.
    options::apply(&list, |_| {});
    match wrong {
        Some(why) => Err(Failure::Usage(why)),
        None => Ok(found),
    }
}

/// What is wrong in the rules is an error here, before anything runs.
fn check_suppressions(path: Option<&str>) -> Result<(), Failure> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(()) };
    let text = suppress::read_file(Path::new(path))
        .map_err(|why| Failure::Usage(format!("suppressions: {path}: {why}")))?;
    let read = suppress::read(&text, path);
    read.map(drop).map_err(|why| Failure::Usage(format!("suppressions: {why}")))
}

/// Ours first; what the user preloads stays.
fn with_users_preloads(library: &OsStr) -> OsString {
    let mut all = library.to_owned();
    if let Some(users) = env::var_os("LD_PRELOAD").filter(|users| !users.is_empty()) {
        all.push(":");
        all.push(users);
    }
    all
}

/// A thread, or a clear word where the limits allow none.
fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let step = Failure::step("start a thread");
    thread::Builder::new().stack_size(256 << 10).spawn(work).map(drop).map_err(step)
}

/// Prints what there is to say, when it happens and at the end.
struct Watch<'a> {
    tree: TreeFile,
    to: &'a Destinations,
    intake: Intake<Source>,
    symbols: Symbols,
    /// Of the process ids that can be asked for.
    namespace: u32,
    retired: Instant,
}

impl<'a> Watch<'a> {
    fn new(tree: TreeFile, to: &'a Destinations) -> Result<Self, Failure> {
        let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino() as u32);
        let keeps_all = to.want_all() || options::flag(Name::ShowReachable);
        let intake = Intake::new(tree.reader()?, keeps_all);
        let symbols = Symbols::new(to.debuginfod);
        Ok(Self { tree, to, intake, symbols, namespace, retired: Instant::now() })
    }

    /// Gives back the record of processes that are gone, now and then.
    fn retire(&mut self) {
        let is_crowded = self.intake.extents() > self.tree.extents() / 4;
        let rest = if is_crowded { SHORT_REST } else { REST };
        if self.intake.unsettled() >= MANY && self.retired.elapsed() > rest && self.namespace != 0 {
            let tags = self.intake.retire(self.namespace);
            self.tree.free(&tags);
            self.retired = Instant::now();
        }
    }

    /// Waits for the program.
    fn until_end(&mut self, mut child: Child) -> Result<ExitStatus, Failure> {
        let (sender, ended) = mpsc::channel();
        spawn(move || {
            let _ = sender.send(child.wait());
        })?;
        loop {
            let result = ended.recv_timeout(POLL);
            let news = self.intake.poll(result.is_ok());
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
        while Instant::now() < until && self.intake.has_running(self.namespace) {
            thread::sleep(POLL);
        }
        // Also what has come and gone since the program's end.
        let news = self.intake.poll(true);
        news.iter().for_each(|news| self.print(news));
    }

    fn print(&mut self, news: &News) {
        let recording = &self.intake.recording;
        if let News::Finding(process, number) = news
            && let Some(report) = finding(recording, *process, *number)
            && matches!(report.finding.defect, Defect::Surveyed { .. })
        {
            // There may be thousands, for `mallocop sweep`.
            return;
        }
        let sites = match news {
            News::Text(text) => return printer::print(text),
            News::Finding(process, number) => finding(recording, *process, *number).map(told_sites),
            News::Outcome(process, number) => report(recording, *process, *number)
                .map(|report| report.leaks.iter().map(|leak| leak.site).collect()),
        };
        self.symbols.prepare(recording, sites.unwrap_or_default().into_iter());
        let names = &mut Named { recording, symbols: &mut self.symbols };
        let text = match news {
            News::Text(_) => None,
            News::Finding(process, number) => {
                finding(recording, *process, *number).map(|report| finding::finding(report, names))
            }
            News::Outcome(process, number) => {
                report(recording, *process, *number).map(|report| leaks::write(report, names))
            }
        };
        text.iter().for_each(|text| printer::print(text));
    }

    /// Says what was not seen, and settles the status.
    fn conclude(&mut self, program: &Path, ended: ExitStatus, exitcode: u8) -> u8 {
        let header = self.intake.header();
        if !self.intake.is_sound() {
            printer::say("the program has written over the run's record: findings may be missing");
        } else if header.root == 0 {
            printer::say(&format!(
                "{} did not load the library: nothing was checked",
                program.display()
            ));
            return if ended.success() { status::FAILED } else { status::of_run(ended, false, 0) };
        }
        self.linger();
        self.intake.conclude(self.namespace);
        self.intake.note_end(ended.signal());
        match options::text(Name::LogPath) {
            Some(pattern) => printer::say(&format!("each process's report is in {pattern}")),
            None => printer::print(&summary::write(&self.intake.recording, &mut self.symbols)),
        }
        if let Err(failure) = self.to.write(&self.intake.recording, &mut self.symbols) {
            printer::say(&format!("error: {failure}"));
        }
        let asked = header.exit_code.and_then(|code| u8::try_from(code).ok());
        status::of_run(ended, header.findings > 0, asked.unwrap_or(exitcode))
    }
}

fn finding(recording: &Recording, process: usize, number: usize) -> Option<&FindingReport> {
    recording.processes.get(process)?.findings.get(number)
}

fn report(recording: &Recording, process: usize, number: usize) -> Option<&LeakReport> {
    recording.processes.get(process)?.outcomes.get(number)
}
