//! One run with a request refused.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::request::{Sweep, file};
use crate::failure::Failure;
use crate::session::orphans;

/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(2);

/// How long the command has for its recording when the program was ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Ends the programs of a run, so that the command can still say what they were refused; then all
/// of it.
fn end(child: &mut Child) {
    let process = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
    let Some(command) = process(child.id()) else { return };
    for member in orphans::members(child.id()).filter(|&member| member != child.id()) {
        let _ = process(member).map(|member| kill_process(member, Signal::KILL));
    }
    let ended = Instant::now();
    while ended.elapsed() < LAST_WORDS && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(POLL);
    }
    let _ = kill_process_group(command, Signal::KILL);
    let _ = child.wait();
}

/// A run to come.
pub(super) struct Trial<'a> {
    pub(super) sweep: &'a Sweep,
    /// What is refused, as the option `fail` has it.
    pub(super) plan: String,
    /// Where its files go, without extension.
    pub(super) files: PathBuf,
    pub(super) timeout: Duration,
    /// Has somebody sent a signal that ends the sweep?
    pub(super) stop: &'a AtomicBool,
}

/// A run that is over.
pub(super) struct Tried {
    /// Exit status of its `mallocop run`; `None`: it was ended, since it took too long.
    pub(super) status: Option<ExitStatus>,
    pub(super) took: Duration,
    pub(super) files: PathBuf,
}

impl Trial<'_> {
    /// Runs it.
    pub(super) fn run(self) -> Result<Tried, Failure> {
        let step = || Failure::step("run the program");
        let output = |extension| File::create(file(&self.files, extension)).map_err(step());
        let mut command = Command::new(std::env::current_exe().map_err(step())?);
        command.args(["run", "--quiet", "--exitcode=0", "--output"]);
        command.arg(file(&self.files, "recording")).arg(format!("--fail={}", self.plan));
        command.arg("--").arg(&self.sweep.program).args(&self.sweep.arguments);
        if !self.sweep.options.is_empty() {
            let users = std::env::var("MALLOCOP_OPTIONS").unwrap_or_default();
            command.env("MALLOCOP_OPTIONS", format!("{users}:{}", self.sweep.options));
        }
        command.stdin(Stdio::null()).stdout(output("out")?).stderr(output("err")?);
        // So that all of it can be ended.
        command.process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().map_err(step())?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(step())? {
                break Some(status);
            }
            let is_stopped = self.stop.load(Ordering::Relaxed);
            if is_stopped || started.elapsed() > self.timeout {
                end(&mut child);
                if is_stopped {
                    return Err(Failure::step("go on: a signal came")(
                        ErrorKind::Interrupted.into(),
                    ));
                }
                break None;
            }
            thread::sleep(POLL);
        };
        Ok(Tried { status, took: started.elapsed(), files: self.files })
    }
}
