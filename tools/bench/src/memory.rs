//! Memory of a process by its /proc/PID/status.

/// A field's value in KiB.
pub(crate) fn kib(status: &str, field: &str) -> Option<f64> {
    let values = status.lines().filter_map(|line| line.split_once(':'));
    let mut values = values.filter(|(name, _)| *name == field);
    values.next()?.1.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tVmRSS\nVmHWM:\t    1604 kB\nVmRSS:\t    1600 kB\nThreads:\t1\n";
        assert_eq!(kib(status, "VmRSS"), Some(1600.0));
        assert_eq!(kib(status, "VmHWM"), Some(1604.0));
        assert_eq!(kib(status, "Threads"), None);
        assert_eq!(kib(status, "Rss"), None);
    }
}
