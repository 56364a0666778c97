//! The process's threads as the kernel lists them in /proc. Allocates.

use std::fs;

/// What a thread that sleeps in a system call waits for (`/proc/PID/task/TID/syscall`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asleep {
    /// The call's number.
    pub number: usize,
    /// The thread's stack pointer, and where it goes on: behind the `syscall` instruction.
    pub sp: usize,
    /// See `sp`.
    pub pc: usize,
}

/// How many threads the process has, as the kernel counts them. `None`: /proc does not say.
pub fn count() -> Option<usize> {
    parse_count(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The 20th field, the second of which is a name in parentheses (proc_pid_stat(5)).
fn parse_count(line: &str) -> Option<usize> {
    line.rsplit_once(')')?.1.split_whitespace().nth(17)?.parse().ok()
}

/// Kernel ids of all threads. `None`: /proc does not say. While threads end, some of the others may
/// not be listed; see [`count`].
pub fn all() -> Option<Vec<u32>> {
    let entries = fs::read_dir("/proc/self/task").ok()?.flatten();
    let tids: Vec<u32> =
        entries.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect();
    (!tids.is_empty()).then_some(tids)
}

/// What the thread sleeps in, if it does.
pub fn asleep(tid: u32) -> Option<Asleep> {
    parse_asleep(&fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?)
}

fn parse_asleep(line: &str) -> Option<Asleep> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let hex = |field: &&str| usize::from_str_radix(field.strip_prefix("0x")?, 16).ok();
    let (pc, sp) = (fields.last().and_then(hex)?, fields.iter().rev().nth(1).and_then(hex)?);
    Some(Asleep { number: fields.first()?.parse().ok()?, sp, pc })
}

/// How a thread can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalReach {
    /// By a signal.
    Open,
    /// Not now: it has the signal blocked.
    Blocked,
    /// It has ended.
    Gone,
}

/// Could signal `number` reach the thread now?
pub fn reach(tid: u32, number: u32) -> SignalReach {
    let Ok(status) = fs::read_to_string(format!("/proc/self/task/{tid}/status")) else {
        return SignalReach::Gone;
    };
    parse_reach(&status, number)
}

fn parse_reach(status: &str, number: u32) -> SignalReach {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return SignalReach::Gone;
    }
    let blocked = field("SigBlk:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    match blocked {
        Some(mask) if mask >> (number - 1) & 1 != 0 => SignalReach::Blocked,
        _ => SignalReach::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_understood() {
        let line = "7 0x7ffd 0x1 0xffffffffffffffff 0x0 0x0 0x0 0x7ffd0 0x7f12\n";
        assert_eq!(parse_asleep(line), Some(Asleep { number: 7, sp: 0x7_ffd0, pc: 0x7f12 }));
        assert_eq!(parse_asleep("running\n"), None);
        assert_eq!(parse_asleep("-1 0x7ffd0 0x7f12\n"), None);
        let status = "Name:\tx\nState:\tS (sleeping)\nSigBlk:\t0000000100000000\n";
        assert_eq!(parse_reach(status, 33), SignalReach::Blocked);
        assert_eq!(parse_reach(status, 32), SignalReach::Open);
        assert_eq!(parse_reach("State:\tZ (zombie)\n", 33), SignalReach::Gone);
        let stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 1 0 0 0 3 2 0 0 20 0 17 0 9 1 1";
        assert_eq!(parse_count(stat), Some(17));
        assert!(count().is_some_and(|count| count >= 1));
        let me = crate::sys::glibc::thread_descriptor::current_tid();
        assert!(all().is_some_and(|tids| tids.contains(&me)));
        assert_eq!(reach(me, 33), SignalReach::Open);
    }
}
