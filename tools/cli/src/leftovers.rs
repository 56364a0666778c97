//! Processes that a program leaves behind: daemons, and who else has the run's record mapped.

use std::fs;
use std::process;

/// When a process started, in the kernel's ticks since the machine did, and its state (proc_pid_stat(5)).
fn stat(pid: &str) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in front may have anything in it.
    let mut rest = stat.rsplit(')').next()?.split_whitespace();
    let state = rest.next()?.chars().next()?;
    // The 22nd field, of which the state is the third.
    let started = rest.nth(18)?.parse().ok()?;
    Some((started, state))
}

/// Does the process still run? A zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(&pid.to_string()).is_some_and(|(_, state)| state != 'Z' && state != 'X')
}

/// Is there a process that maps the file with that inode, and was started after this one?
pub(crate) fn map_file(inode: u64) -> bool {
    let me = process::id().to_string();
    let Some((since, _)) = stat(&me) else { return false };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|pid| {
        let is_younger = pid.starts_with(|c: char| c.is_ascii_digit())
            && pid != me
            && stat(&pid).is_some_and(|(started, _)| started >= since);
        is_younger && maps(&pid, inode)
    })
}

/// Does the process map a file of ours with that inode?
fn maps(pid: &str, inode: u64) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let inode = inode.to_string();
    maps.lines()
        .filter(|line| line.contains("mallocop"))
        .any(|line| line.split_whitespace().nth(4) == Some(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_nobody_maps_nothing() {
        assert!(is_alive(process::id()));
        assert!(!is_alive(u32::MAX));
        assert!(!map_file(u64::MAX));
    }
}
