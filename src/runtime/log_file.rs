//! The file that a process writes its own report to, where `log_path` names one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::options::{self, Name};
use crate::sys::process;

/// Does each process write its own report?
pub(super) fn is_wanted() -> bool {
    options::text(Name::LogPath).is_some()
}

/// Appends to it; its directories are made. `false`: there is none, or it cannot be written.
pub(crate) fn append(text: &[u8]) -> bool {
    let Some(pattern) = options::text(Name::LogPath) else { return false };
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned());
    let path = expand(&pattern, process::id(), &name.unwrap_or_default());
    let path = Path::new(&path);
    let open = || OpenOptions::new().create(true).append(true).open(path);
    let file = open().or_else(|_| {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        open()
    });
    file.is_ok_and(|mut file| file.write_all(text).is_ok())
}

/// The path of a process: `%p` its id, `%e` its program's name, `%h` the machine's name, `%t` the
/// time in seconds, `%%` a percent sign. A pattern without `%p` gets the id at its end, as
/// LeakSanitizer's have it.
pub(super) fn expand(pattern: &str, pid: u32, program: &str) -> String {
    let mut path = String::new();
    let mut has_id = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match (c, c == '%') {
            (_, false) => path.push(c),
            _ => match rest.next() {
                Some('p') => {
                    has_id = true;
                    path.push_str(&pid.to_string());
                }
                Some('e') => path.push_str(program),
                Some('h') => {
                    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                    path.push_str(host.trim());
                }
                Some('t') => {
                    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
                    path.push_str(&now.as_secs().to_string());
                }
                Some('%') => path.push('%'),
                other => path.extend(['%'].into_iter().chain(other)),
            },
        }
    }
    if !has_id {
        path.push_str(&format!(".{pid}"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_expanded() {
        for (pattern, expected) in [
            ("log", "log.42"),
            ("/x/%e.%p.txt", "/x/cc1.42.txt"),
            ("100%%", "100%.42"),
            ("%q%p%", "%q42%"),
        ] {
            assert_eq!(expand(pattern, 42, "cc1"), expected);
        }
        assert!(!expand("%h-%t", 1, "").contains('%'));
    }
}
