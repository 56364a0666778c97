//! One run with a request refused.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::request::{Sweep, file};
use crate::failure::Failure;

/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(2);

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
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = child.wait();
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
