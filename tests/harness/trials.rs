//! Trials of hostile inputs: runs within limits of time, memory and output, and what goes wrong.

use std::ffi::{c_int, c_long};
use std::fs::{self, File};
use std::io::{ErrorKind, PipeReader, Read as _, pipe};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{MALLOCOP, compile, finish, scratch, watched};

/// Mutated inputs of all tests together; in CI a tenth of them.
const INPUTS: usize = 20_000;
/// What a run may take: time, memory, bytes of output.
const PATIENCE: Duration = Duration::from_secs(10);
const MEMORY: u64 = 1 << 30;
const OUTPUT: usize = 16 << 20;
/// Address space of a run, and of one whose input claims to be huge.
pub(crate) const SPACE: u64 = 4 << 30;
pub(crate) const ALL_SPACE: u64 = 1 << 40;
pub(crate) const HUGE: u64 = 12 << 30;
/// What no run says.
const CRASHES: [&str; 3] = ["panicked at", "memory allocation of", "has overflowed its stack"];
/// Status of a program that the library stops with a report.
pub(crate) const STOPPED: &[i32] = &[134];
/// Frames that the library names: looking up libc's takes long where it has debug information.
pub(crate) const FEW: &str = "malloc_context_size=2";
/// What is put into binary files.
pub(crate) const NUMBERS: [u64; 8] =
    [0, 1, 8, 0x7fff_ffff, 0xffff_ffff, HUGE, i64::MAX as u64, u64::MAX];
/// What may lie where a file is expected.
pub(crate) const ODD: [&str; 5] = ["pipe", "directory", "zero", "full", "huge"];

unsafe extern "C" {
    fn setrlimit(what: c_int, limits: *const [u64; 2]) -> c_int;
    fn wait4(id: c_int, status: *mut c_int, options: c_int, usage: *mut [c_long; 18]) -> c_int;
}

/// Marsaglia's xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(crate) fn word(&mut self, all: &'static str) -> &'static str {
        let at = self.below(all.split('~').count());
        all.split('~').nth(at).expect("a word")
    }
}

/// How a run has ended.
pub(crate) struct Outcome {
    pub(crate) line: String,
    pub(crate) status: i32,
    pub(crate) took: Duration,
    pub(crate) memory: u64,
    pub(crate) printed: usize,
    pub(crate) text: String,
}

impl Outcome {
    /// What is wrong with it: also a status from 101 on, but for those that are allowed.
    pub(crate) fn wrong(&self, allowed: &[i32]) -> Option<String> {
        let crash = CRASHES.iter().find_map(|word| self.text.find(word));
        let is_wrong = crash.is_some()
            || (self.status == 101 || self.status > 127) && !allowed.contains(&self.status)
            || self.took >= PATIENCE
            || self.memory >= MEMORY
            || self.printed > OUTPUT;
        let (took, mib) = (self.took, self.memory >> 20);
        let text: String = self.text[crash.unwrap_or(0)..].chars().take(300).collect();
        is_wrong.then(|| {
            let how = format!("status {}, {took:.1?}, {mib} MiB", self.status);
            format!("{how}, {} bytes printed\n  {}\n  {text}", self.printed, self.line)
        })
    }
}

/// Runs a command with so much address space.
pub(crate) fn run(mut command: Command, space: u64) -> Outcome {
    let line = format!("{command:?}");
    let (output, end) = pipe().expect("a pipe");
    command.stdin(Stdio::null()).stdout(end.try_clone().expect("its end")).stderr(end);
    let limit = move || {
        // SAFETY: RLIMIT_AS, with both limits.
        unsafe { setrlimit(9, &[space, space]) };
        Ok(())
    };
    // SAFETY: between fork and exec only that system call is made.
    unsafe { command.process_group(0).pre_exec(limit) };
    let started = Instant::now();
    let child = loop {
        match command.spawn() {
            // A child that another test is about to start still has the program open, to write it.
            Err(why) if why.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            child => break child.unwrap_or_else(|why| panic!("{line}: {why}")),
        }
    };
    let id = child.id();
    // It has the pipe's end.
    drop(command);
    let (running, ended) = channel();
    let guard = thread::spawn(move || guard(id, &ended));
    let (text, printed) = read(output);
    let (status, memory) = wait(id);
    let took = started.elapsed();
    drop(running);
    let seen = guard.join().expect("the guard");
    // Until it executes its program a child has this process's memory, which may be more.
    let memory = if memory > most_memory("self") { memory } else { seen };
    Outcome { line, status, took, memory, printed, text }
}

/// Most memory that a process has had in one program, in bytes.
fn most_memory(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Ends a run that takes too long or too much. Returns the most memory that it was seen with.
fn guard(id: u32, ended: &Receiver<()>) -> u64 {
    let (started, mut most) = (Instant::now(), 0);
    while ended.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
        most = most.max(most_memory(&id.to_string()));
        if started.elapsed() > PATIENCE || most > MEMORY + (64 << 20) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
            break;
        }
    }
    most
}

/// The end of what is printed, and how much it is in all.
fn read(mut output: PipeReader) -> (String, usize) {
    let (mut kept, mut printed, mut buffer) = (Vec::new(), 0, vec![0; 64 << 10]);
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        printed += count;
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 1 << 20 {
            kept.drain(..512 << 10);
        }
    }
    (String::from_utf8_lossy(&kept).into_owned(), printed)
}

/// Exit status as a shell shows it, and the most memory that the process or a child of it had.
fn wait(id: u32) -> (i32, u64) {
    let (mut status, mut usage) = (0, [0; 18]);
    // SAFETY: a child that nobody else waits for; a rusage is 18 words.
    let found = unsafe { wait4(id as c_int, &raw mut status, 0, &raw mut usage) };
    assert_eq!(found, id as c_int);
    let status = if status & 127 == 0 { status >> 8 & 255 } else { 128 + (status & 127) };
    (status, usage[4] as u64 * 1024)
}

/// What went wrong in one test.
#[derive(Default)]
pub(crate) struct Failures(pub(crate) Vec<String>);

impl Failures {
    /// Notes a run if it went wrong, and keeps its input under another name.
    pub(crate) fn note(
        &mut self,
        what: &str,
        outcome: &Outcome,
        allowed: &[i32],
        input: Option<&Path>,
    ) {
        let Some(mut wrong) = outcome.wrong(allowed) else { return };
        let is_small = |facts: fs::Metadata| facts.is_file() && facts.len() <= 64 << 20;
        if let Some(input) = input.filter(|input| input.metadata().is_ok_and(is_small)) {
            let kept = input.with_extension(what.replace([' ', '/'], "-"));
            fs::copy(input, &kept).expect("a copy");
            wrong = wrong.replace(&*input.to_string_lossy(), &kept.to_string_lossy());
        }
        self.0.push(format!("{what}: {wrong}"));
    }

    pub(crate) fn end(&self) {
        assert!(self.0.is_empty(), "{} went wrong:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// A command, and the statuses from 101 on that it may end with.
pub(crate) type Trial = (Command, &'static [i32]);

/// Runs so many of a hundred inputs. `make` writes the one of a seed, if it is a file.
pub(crate) fn try_all(percent: usize, name: &str, make: impl Fn(&mut Random, &Path) -> Trial) {
    let input = folder(name).join("input");
    let mut failures = Failures::default();
    for seed in 0..share(percent) {
        let (command, allowed) = make(&mut Random::new(seed), &input);
        failures.note(&format!("seed {seed}"), &run(command, SPACE), allowed, Some(&input));
        if failures.0.len() > 4 {
            break;
        }
    }
    failures.end();
}

pub(crate) fn share(percent: usize) -> usize {
    INPUTS * percent / 100 / if std::env::var_os("CI").is_some() { 10 } else { 1 }
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let path = scratch().join(name);
    fs::create_dir_all(&path).expect("a folder");
    path
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(MALLOCOP);
    command.args(words).env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1");
    command.env("RUST_BACKTRACE", "0").current_dir(folder("cwd"));
    command
}

/// A program with the library alone.
pub(crate) fn preloaded(program: &Path, options: &str) -> Command {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| finish(&mut command(&["library"])).stdout);
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library.trim()).env("MALLOCOP_OPTIONS", options);
    command.env("RUST_BACKTRACE", "0").current_dir(folder("cwd"));
    command
}

/// A program that loses blocks, in a fresh folder of its own.
pub(crate) fn losing(name: &str, flags: &[&str]) -> PathBuf {
    let _ = fs::remove_dir_all(folder(name));
    folder(name);
    compile("leak.c", &format!("{name}/program"), flags)
}

/// Puts something there that is no plain file, or a huge one.
pub(crate) fn place(kind: &str, at: &Path) {
    let _ = fs::remove_file(at).or_else(|_| fs::remove_dir(at));
    match kind {
        "pipe" => assert!(Command::new("mkfifo").arg(at).status().expect("mkfifo").success()),
        "directory" => fs::create_dir(at).expect("a directory"),
        "huge" => File::create(at).and_then(|file| file.set_len(HUGE)).expect("a sparse file"),
        device => symlink(format!("/dev/{device}"), at).expect("a link"),
    }
}

/// Puts these bytes over others, as far as there are any.
pub(crate) fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes.iter_mut().skip(at).zip(with).for_each(|(to, from)| *to = *from);
}

/// What the command keeps of a program, without the names of libraries.
pub(crate) fn recording(program: &Path, arguments: &[&str], name: &str) -> String {
    let file = folder("recorded").join(name);
    let flag = format!("--output={}", file.display());
    finish(watched(&[&flag, "--halt-on-error=0"], program).args(arguments));
    let text = fs::read_to_string(file).expect("a recording");
    let own = scratch().display().to_string();
    let mut modules = text.split("{\"path\":\"");
    let mut kept = modules.next().expect("a start").to_owned();
    for module in modules {
        let (_, rest) = module.split_once('}').expect("a module");
        let elsewhere = format!("/nowhere\",\"build_id\":\"\"}}{rest}");
        kept += "{\"path\":\"";
        kept += if module.starts_with(&own) { module } else { &elsewhere };
    }
    kept
}
