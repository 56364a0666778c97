//! Processes that a program leaves behind: which are there, and do they still run?

use std::fs;
use std::io::ErrorKind;

/// The kernel's record of a process (proc_pid_stat(5)).
struct Stat {
    state: char,
    group: u32,
    threads: u64,
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
    Some(Stat { state, group: field(5)?.parse().ok()?, threads: field(20)?.parse().ok()? })
}

/// Does the process still run? A zombie does not, unless only its first thread is one. Whom nothing
/// is known of does.
pub(crate) fn is_alive(pid: u32) -> bool {
    match stat(&pid.to_string()) {
        Ok(Some(stat)) => !matches!(stat.state, 'Z' | 'X') || stat.threads > 1,
        Ok(None) => true,
        Err(()) => false,
    }
}

/// The processes of a group.
pub(crate) fn members(group: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(move |id| matches!(stat(&id.to_string()), Ok(Some(stat)) if stat.group == group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let text = "7 (a) b (c) Z 1 9 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 3 0 4242 1 1";
        let stat = parse(text).expect("sound");
        assert_eq!((stat.state, stat.group, stat.threads), ('Z', 9, 3));
        assert!(parse("7 (short) R 1").is_none() && parse("").is_none());
    }

    #[test]
    fn this_process_runs_and_no_other_does() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
    }
}
