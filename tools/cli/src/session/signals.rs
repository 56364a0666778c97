//! What is sent to the command goes to the program; what the command was started to ignore the
//! program ignores, too.

use std::fs::File;
use std::io::Read as _;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::Origin;
use signal_hook::low_level::siginfo::Cause;

use crate::failure::Failure;

/// Those that do not end the command.
const PASSED: [(i32, Signal); 6] = [
    (SIGHUP, Signal::HUP),
    (SIGINT, Signal::INT),
    (SIGQUIT, Signal::QUIT),
    (SIGTERM, Signal::TERM),
    (SIGUSR1, Signal::USR1),
    (SIGUSR2, Signal::USR2),
];

/// The signals that wait to be passed on.
pub(crate) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// From here on they wait. Called before the program starts, so that none falls between. A
    /// signal that is ignored, as by nohup or for a shell's background jobs, stays so: with a
    /// handler here it would end the program.
    pub(crate) fn hold() -> Result<Self, Failure> {
        let ignored = ignored();
        let heard = PASSED.iter().map(|&(number, _)| number);
        let heard = heard.filter(|number| ignored & (1 << (number - 1)) == 0);
        SignalsInfo::new(heard).map(Self).map_err(Failure::step("set up signals"))
    }

    /// Passes them on to the program, one after the other, for ever.
    pub(crate) fn pass_on(mut self, program: Pid) {
        for signal in self.0.forever().filter_map(|origin| signal_for(&origin)) {
            let _ = kill_process(program, signal);
        }
    }
}

/// What the program gets. The terminal's own signals reach it anyway, as they do the whole group.
fn signal_for(origin: &Origin) -> Option<Signal> {
    let &(number, signal) = PASSED.iter().find(|(number, _)| *number == origin.signal)?;
    let is_terminals = [SIGINT, SIGQUIT].contains(&number);
    (!is_terminals || matches!(origin.cause, Cause::Sent(_))).then_some(signal)
}

/// The signals that this process ignores, as bits (proc_pid_status(5)).
fn ignored() -> u64 {
    // Of a file whose size is not known `fs::read` takes small pieces first.
    let mut bytes = [0; 4096];
    let read = File::open("/proc/self/status").and_then(|mut file| file.read(&mut bytes));
    let status = String::from_utf8_lossy(bytes.get(..read.unwrap_or(0)).unwrap_or(&[]));
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}
