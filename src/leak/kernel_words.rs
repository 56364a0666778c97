//! Words that the kernel holds for the program and hands back later: pointers may be nowhere else.

use std::fs;

/// The data of every descriptor in an epoll set (proc_pid_fdinfo(5)) and the values of POSIX timers
/// (proc_pid_timers(5)). What cannot be read is left out.
pub(super) fn for_each(mut each: impl FnMut(usize)) {
    let sets = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for entry in sets {
        let is_set =
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventpoll]");
        if is_set {
            let info = format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy());
            let text = fs::read_to_string(info).unwrap_or_default();
            text.lines().filter_map(epoll_data).for_each(&mut each);
        }
    }
    let timers = fs::read_to_string("/proc/self/timers").unwrap_or_default();
    timers.lines().filter_map(timer_value).for_each(each);
}

/// `tfd: 5 events: 19 data: 7ffd1234 pos:0 ...`
fn epoll_data(line: &str) -> Option<usize> {
    let (_, data) = line.strip_prefix("tfd:")?.split_once("data:")?;
    usize::from_str_radix(data.split_whitespace().next()?, 16).ok()
}

/// `signal: 10/00007ffd12345678`
fn timer_value(line: &str) -> Option<usize> {
    let (_, value) = line.strip_prefix("signal:")?.split_once('/')?;
    usize::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let line = "tfd:        5 events:       19 data:     55d0a1c2f2b0  pos:0 ino:3d7 sdev:9";
        assert_eq!(epoll_data(line), Some(0x55d0_a1c2_f2b0));
        assert_eq!(epoll_data("pos:\t0"), None);
        assert_eq!(timer_value("signal: 0/000055d0a1c2f2b0"), Some(0x55d0_a1c2_f2b0));
        assert_eq!(timer_value("notify: thread/pid.4"), None);
    }
}
