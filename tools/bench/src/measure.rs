//! Runs a program once and takes its cost from the kernel's books.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::programs::Program;

/// What a run cost, the program's children included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// User and system time in seconds.
    pub(crate) cpu: f64,
    /// Largest resident set of a process of the tree, in KiB.
    pub(crate) peak: f64,
}

/// Runs the program in `folder`, with the library and these options preloaded or without.
pub(crate) fn run(
    program: &Program,
    folder: &Path,
    library: Option<(&Path, &str)>,
) -> Result<Cost, String> {
    let (name, arguments) = program.command.split_first().ok_or("no command")?;
    let mut command = Command::new(name);
    command.args(arguments).envs(program.environment.iter().copied()).current_dir(folder);
    if let Some((library, options)) = library {
        let options = format!("{options}:quiet=1");
        command.env("LD_PRELOAD", library).env("MALLOCOP_OPTIONS", options);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    wait(child.id())
}

/// wait4(2): the status and the resources of a child.
fn wait(child: u32) -> Result<Cost, String> {
    let child = i32::try_from(child).map_err(|error| error.to_string())?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: waits for our own child; both results are ours to write.
    let usage = unsafe {
        if libc::wait4(child, &raw mut status, 0, usage.as_mut_ptr()) != child {
            return Err("wait4 failed".to_owned());
        }
        usage.assume_init()
    };
    if status != 0 {
        return Err(format!("ended with wait status {status:#x}"));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Cost {
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak: usage.ru_maxrss as f64,
    })
}
