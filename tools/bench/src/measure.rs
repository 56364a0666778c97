//! Runs a program once and takes its cost from the kernel's books.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What a run cost, the program's children included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// User and system time in seconds.
    pub(crate) cpu: f64,
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Largest resident set of a process of the tree, in KiB.
    pub(crate) peak: f64,
}

/// Why there is no cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// A signal ended the program.
    Crash(i32),
    /// The program ended with this status.
    Exit(i32),
    /// It took too long.
    Timeout,
    /// It could not be run.
    Start(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(libc::SIGSEGV) => f.write_str("crash"),
            Self::Crash(signal) => write!(f, "crash (signal {signal})"),
            Self::Exit(status) => write!(f, "exit {status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Start(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// Runs the command to its end.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Cost, Failure> {
    let start = Instant::now();
    let child = spawn(command)?;
    wait(child, start, limit)
}

/// Starts a command that ends with us, so that an interrupted measurement leaves nothing behind.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, Failure> {
    let end_with_us = || {
        // SAFETY: a system call without pointers, allowed between fork and exec.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: the closure makes one system call, and neither allocates nor locks.
    let command = unsafe { command.pre_exec(end_with_us) };
    command.spawn().map_err(|error| {
        Failure::Start(format!("{}: {error}", command.get_program().to_string_lossy()))
    })
}

/// Waits for a child to end, and ends it when the time is up.
pub(crate) fn wait(mut child: Child, start: Instant, limit: Duration) -> Result<Cost, Failure> {
    let in_time = ends_within(&child, limit)?;
    if !in_time {
        child.kill()?;
    }
    let (status, usage) = reap(&child)?;
    let wall = start.elapsed().as_secs_f64();
    if !in_time {
        return Err(Failure::Timeout);
    }
    if libc::WIFSIGNALED(status) {
        return Err(Failure::Crash(libc::WTERMSIG(status)));
    }
    if status != 0 {
        return Err(Failure::Exit(libc::WEXITSTATUS(status)));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok(Cost { cpu, wall, peak: usage.ru_maxrss as f64 })
}

/// Whether the child ends before the time is up; it stays to be waited for.
fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    // SAFETY: a system call without pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0);
    let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just given us this descriptor.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let mut ends = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, ours to write.
    match unsafe { libc::poll(&raw mut ends, 1, milliseconds) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

/// wait4(2): the status and the resources of a child.
fn reap(child: &Child) -> io::Result<(i32, libc::rusage)> {
    let child = i32::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: waits for our own child, whom nobody else waits for; both results are ours to write,
    // and all zeros is a usage, too.
    unsafe {
        if libc::wait4(child, &raw mut status, 0, usage.as_mut_ptr()) != child {
            return Err(io::Error::last_os_error());
        }
        Ok((status, usage.assume_init()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_has_a_cost() {
        let cost = run(&mut shell("sleep 0.1"), LIMIT).unwrap();
        assert!(cost.wall >= 0.1 && cost.cpu < cost.wall && cost.peak > 100.0, "{cost:?}");
    }

    #[test]
    fn failures_are_told_apart() {
        let failure = |script, limit| run(&mut shell(script), limit).err();
        assert_eq!(failure("exit 3", LIMIT), Some(Failure::Exit(3)));
        assert_eq!(failure("kill -SEGV $$", LIMIT), Some(Failure::Crash(libc::SIGSEGV)));
        assert_eq!(failure("exec sleep 20", Duration::from_millis(50)), Some(Failure::Timeout));
        let missing = run(&mut Command::new("/no/such/program"), LIMIT).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/program: "), "{missing}");
    }
}
