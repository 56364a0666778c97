//! Processes that a program leaves behind: daemons, and who else has the run's record mapped.

use std::fs;
use std::io::ErrorKind;
use std::process;

/// What the kernel says of a process (proc_pid_stat(5)).
struct Stat {
    state: char,
    threads: u64,
    /// In ticks since the machine started.
    started: u64,
}

/// `Err`: there is no such process; `Ok(None)`: it cannot be asked.
fn stat(pid: &str) -> Result<Option<Stat>, ()> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(parse(&text)),
        // ESRCH: it has ended while it was asked.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => {
            Err(())
        }
        Err(_) => Ok(None),
    }
}

fn parse(text: &str) -> Option<Stat> {
    // The name in front may have anything in it. Behind it comes the third field.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let state = field(3)?.chars().next()?;
    Some(Stat { state, threads: field(20)?.parse().ok()?, started: field(22)?.parse().ok()? })
}

/// Does the process still run? A zombie does not, unless only its first thread is one. Whom nothing is known of does.
pub(crate) fn is_alive(pid: u32) -> bool {
    match stat(&pid.to_string()) {
        Ok(Some(stat)) => !matches!(stat.state, 'Z' | 'X') || stat.threads > 1,
        Ok(None) => true,
        Err(()) => false,
    }
}

/// Is there a process that maps the file with that inode, and was started after this one?
pub(crate) fn map_file(inode: u64) -> bool {
    let me = process::id().to_string();
    let Ok(Some(Stat { started: since, .. })) = stat(&me) else { return false };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|pid| {
        let is_younger = pid.starts_with(|c: char| c.is_ascii_digit())
            && pid != me
            && stat(&pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.started >= since));
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
    fn a_name_may_have_anything_in_it() {
        let text = "7 (a) b (c) Z 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 3 0 4242 1 1";
        let stat = parse(text).expect("sound");
        assert_eq!((stat.state, stat.threads, stat.started), ('Z', 3, 4242));
        assert!(parse("7 (short) R 1").is_none() && parse("").is_none());
    }

    #[test]
    fn this_process_runs_and_nobody_maps_nothing() {
        assert!(is_alive(process::id()));
        assert!(!is_alive(u32::MAX));
        assert!(!map_file(u64::MAX));
    }
}
