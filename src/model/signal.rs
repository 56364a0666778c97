//! Names of signals (signal(7), the numbers of x86-64).

const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Name of a signal; `signal N` for one that has none.
pub fn name(signal: i32) -> String {
    let known = usize::try_from(signal).ok().and_then(|signal| NAMES.get(signal));
    match known.filter(|name| !name.is_empty()) {
        Some(name) => (*name).to_owned(),
        None => format!("signal {signal}"),
    }
}

/// A signal whose death is explained: what AddressSanitizer calls it.
pub fn class(signal: i32) -> &'static str {
    match signal {
        4 => "ILL",
        5 => "TRAP",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        11 => "SEGV",
        31 => "SYS",
        _ => "signal",
    }
}
