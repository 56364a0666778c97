//! redis-server under a fixed load: the server's own CPU time and memory, the client's left out.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::columns::Column;
use crate::measure::{self, Cost, Failure};
use crate::memory;

/// The server takes connections this long after its start, or never; valgrind needs seconds.
const START: Duration = Duration::from_secs(60);

/// Debian's redis is linked to jemalloc, whose malloc would be the one it calls: libc goes first.
const GLIBC: &str = "libc.so.6";

/// The server, its client, and what the client sends.
pub(crate) struct Server {
    pub(crate) server: OsString,
    pub(crate) client: OsString,
    pub(crate) requests: PathBuf,
}

/// A server that does not outlive its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts it, sends the requests, and takes what they cost; wall time is that of the load.
    pub(crate) fn run(
        &self,
        column: &Column,
        folder: &Path,
        limit: Duration,
    ) -> Result<Cost, Failure> {
        let socket = folder.join("redis.sock");
        let _ = fs::remove_file(&socket);
        let mut command = column.command(&self.server, folder, Some(GLIBC));
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(&socket);
        let mut server = Running(measure::spawn(&mut command)?);
        wait_for(&mut server.0, &socket)?;
        let start = Instant::now();
        let client = measure::spawn(&mut self.client(&socket)?)?;
        let load = measure::wait(client, start, limit);
        // A client that lost its server fails: what ended the server says more.
        ended(&mut server.0)?;
        let wall = load?.wall;
        Ok(Cost { cpu: cpu_seconds(server.0.id())?, wall, peak: peak(server.0.id())? })
    }

    /// The client, which runs under glibc's malloc whatever the column is.
    fn client(&self, socket: &Path) -> Result<Command, Failure> {
        let mut client = Command::new(&self.client);
        client.env_remove("LD_PRELOAD").arg("-s").arg(socket).arg("--pipe");
        client.stdin(File::open(&self.requests)?).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(client)
    }
}

/// Waits until the server takes connections.
fn wait_for(server: &mut Child, socket: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    while start.elapsed() < START {
        if UnixStream::connect(socket).is_ok() {
            return Ok(());
        }
        ended(server)?;
        thread::sleep(Duration::from_millis(5));
    }
    Err(Failure::Timeout)
}

/// An error once the server has ended.
fn ended(server: &mut Child) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt as _;
    match server.try_wait()? {
        None => Ok(()),
        Some(status) => {
            let exit = || Failure::Exit(status.code().unwrap_or(-1));
            Err(status.signal().map_or_else(exit, Failure::Crash))
        }
    }
}

/// User and system time of a running process, from /proc/PID/stat.
fn cpu_seconds(process: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = ticks(&stat).ok_or_else(|| Failure::Start("no times in stat".to_owned()))?;
    // SAFETY: a call without pointers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(ticks as f64 / per_second as f64)
}

/// Fields 14 and 15, counted behind the name, which may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// Largest resident set of a running process so far, in KiB.
fn peak(process: u32) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    memory::kib(&status, "VmHWM").ok_or_else(|| Failure::Start("no VmHWM in status".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_spaces() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("12 (a"), None);
    }

    #[test]
    fn a_process_has_times_and_a_peak() {
        let process = std::process::id();
        assert!(cpu_seconds(process).unwrap() < 1000.0);
        assert!(peak(process).unwrap() > 100.0);
    }
}
