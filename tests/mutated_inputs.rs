//! Damaged and hostile inputs, and what is no plain file: the command and the library refuse them or make the best of
//! them, and never panic, hang, take all memory or print without end.
//!
//! Every mutated input comes from a seed. A failure names it, keeps the input and has the line that runs it again.

mod harness;

use std::ffi::{OsString, c_int, c_long};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, PipeReader, Read as _, Write as _, pipe};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use harness::{MALLOCOP, compile, finish, scratch, victims, watched};

/// Mutated inputs of all tests together; in CI a tenth of them.
const INPUTS: usize = 20_000;
/// What a run may take: time, memory, bytes of output.
const PATIENCE: Duration = Duration::from_secs(10);
const MEMORY: u64 = 1 << 30;
const OUTPUT: usize = 16 << 20;
/// Address space of a run, and of one whose input claims to be huge.
const SPACE: u64 = 4 << 30;
const ALL_SPACE: u64 = 1 << 40;
const HUGE: u64 = 12 << 30;
/// What no run says.
const CRASHES: [&str; 3] = ["panicked at", "memory allocation of", "has overflowed its stack"];
/// Status of a program that the library stops with a report.
const STOPPED: &[i32] = &[134];
/// Frames that the library names: looking up libc's takes long where it has debug information.
const FEW: &str = "malloc_context_size=2";

/// Rules of both kinds.
const RULES: &str = "# known\nleak:lose\nleak:^a*b$ count<=3 bytes<=400 expires=2037-06-30 reason=a b\n\
    {\n name\n Memcheck:Leak\n match-leak-kinds: definite,indirect\n fun:malloc\n fun:leak_*\n ...\n obj:*/libc*\n}\n\
    {\n other\n Memcheck:Addr4\n src:a.c:12\n ...\n}\nleak:*.so*\n";
/// What is put into texts, and for strings and numbers of recordings: all apart by `~`.
const WORDS: &str = "*~?~\n...\n~{~}\n~leak:~fun:~obj:~src:~Memcheck:Leak\n~\n~\r\n~\0~:~=~'~\\~|~--~%p%e~\
    match-leak-kinds:~ count<=~ bytes<=~ expires=9999-99-99~ expires=-1-0-0~ reason=~^$~\u{feff}~\u{e9}~\
    leak:*e*a*k*_*d*i*r*e*c*t*e*a*k*_*d*i*r*e*c*t*b\n~nth:~every:~prob:1e-400,seed=~size>=~site:*a*a*b~\
    all~none~-1~+1~1.5~0~7~256~18446744073709551615~18446744073709551616~[~null~\"a\":~,";
const STRINGS: &str = r#"""~"/dev/zero"~"/proc/self/mem"~"/"~"\u0000"~"\u001b[2J"~"Lost"~"Killed"~null"#;
const NUMERALS: &str = "0~1~2~3~4~5~6~7~255~65535~4294967295~4294967295~4294967296~9223372036854775807~\
    18446744073709551615~18446744073709551616~-1~1.5~1e99~null";
/// What is put into binary files.
const NUMBERS: [u64; 8] = [0, 1, 8, 0x7fff_ffff, 0xffff_ffff, HUGE, i64::MAX as u64, u64::MAX];
/// What may lie where a file is expected.
const ODD: [&str; 5] = ["pipe", "directory", "zero", "full", "huge"];

unsafe extern "C" {
    fn setrlimit(what: c_int, limits: *const [u64; 2]) -> c_int;
    fn wait4(id: c_int, status: *mut c_int, options: c_int, usage: *mut [c_long; 18]) -> c_int;
}

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn word(&mut self, all: &'static str) -> &'static str {
        let at = self.below(all.split('~').count());
        all.split('~').nth(at).expect("a word")
    }
}

/// How a run has ended.
struct Outcome {
    line: String,
    status: i32,
    took: Duration,
    memory: u64,
    printed: usize,
    text: String,
}

impl Outcome {
    /// What is wrong with it: also a status from 101 on, but for those that are allowed.
    fn wrong(&self, allowed: &[i32]) -> Option<String> {
        let crashed = (self.status == 101 || self.status > 127) && !allowed.contains(&self.status);
        let is_wrong = crashed
            || CRASHES.iter().any(|word| self.text.contains(word))
            || self.took >= PATIENCE
            || self.memory >= MEMORY
            || self.printed > OUTPUT;
        let (took, mib) = (self.took, self.memory >> 20);
        let start: String = self.text.chars().take(400).collect();
        is_wrong.then(|| {
            let how = format!("status {}, {took:.1?}, {mib} MiB", self.status);
            format!("{how}, {} bytes printed\n  {}\n  {start}", self.printed, self.line)
        })
    }
}

/// Runs a command with so much address space.
fn run(mut command: Command, space: u64) -> Outcome {
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
    guard.join().expect("the guard");
    Outcome { line, status, took, memory, printed, text }
}

/// Ends a run that takes too long or too much.
fn guard(id: u32, ended: &Receiver<()>) {
    let started = Instant::now();
    while ended.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
        let pages = fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
        let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        if started.elapsed() > PATIENCE || pages * 4096_u64 > MEMORY + (64 << 20) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
            return;
        }
    }
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

/// Exit status as a shell shows it, and the most memory that the process or one of its children had.
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
struct Failures(Vec<String>);

impl Failures {
    /// Notes a run if it went wrong, and keeps its input under another name.
    fn note(&mut self, what: &str, outcome: &Outcome, allowed: &[i32], input: Option<&Path>) {
        let Some(mut wrong) = outcome.wrong(allowed) else { return };
        let is_small = |facts: fs::Metadata| facts.is_file() && facts.len() <= 64 << 20;
        if let Some(input) = input.filter(|input| input.metadata().is_ok_and(is_small)) {
            let kept = input.with_extension(what.replace([' ', '/'], "-"));
            fs::copy(input, &kept).expect("a copy");
            wrong = wrong.replace(&*input.to_string_lossy(), &kept.to_string_lossy());
        }
        self.0.push(format!("{what}: {wrong}"));
    }

    fn end(&self) {
        assert!(self.0.is_empty(), "{} went wrong:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Runs so many of a hundred inputs: `make` writes that of a seed, if it is a file, and gives its command.
fn try_all(percent: usize, name: &str, make: impl Fn(&mut Random, &Path) -> (Command, &'static [i32])) {
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

fn share(percent: usize) -> usize {
    INPUTS * percent / 100 / if std::env::var_os("CI").is_some() { 10 } else { 1 }
}

fn folder(name: &str) -> PathBuf {
    let path = scratch().join(name);
    fs::create_dir_all(&path).expect("a folder");
    path
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(MALLOCOP);
    command.args(words).env_remove("MALLOCOP_OPTIONS").env("NO_COLOR", "1");
    command.current_dir(folder("cwd"));
    command
}

/// A program with the library alone.
fn preloaded(program: &Path, options: &str) -> Command {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| finish(&mut command(&["library"])).stdout);
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library.trim()).env("MALLOCOP_OPTIONS", options);
    command.current_dir(folder("cwd"));
    command
}

/// A program that loses blocks, in a fresh folder of its own.
fn losing(name: &str, flags: &[&str]) -> PathBuf {
    let _ = fs::remove_dir_all(folder(name));
    folder(name);
    compile("leak.c", &format!("{name}/program"), flags)
}

fn careful() -> PathBuf {
    compile("leak.c", "careful", &["-DFIXED"])
}

/// Puts something there that is no plain file, or a huge one.
fn place(kind: &str, at: &Path) {
    let _ = fs::remove_file(at).or_else(|_| fs::remove_dir(at));
    match kind {
        "pipe" => assert!(Command::new("mkfifo").arg(at).status().expect("mkfifo").success()),
        "directory" => fs::create_dir(at).expect("a directory"),
        "huge" => File::create(at).and_then(|file| file.set_len(HUGE)).expect("a sparse file"),
        device => symlink(format!("/dev/{device}"), at).expect("a link"),
    }
}

/// Changes a text in any way, a few times.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let (start, at) = (random.below(bytes.len()), random.below(bytes.len() + 1));
        let most = random.pick(&[8, 40, bytes.len()]);
        let part = start..(start + random.below(most)).min(bytes.len());
        let piece = bytes[part.clone()].to_vec();
        match random.below(12) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(part)),
            2 => drop(bytes.splice(part, (0..8).map(|_| random.next() as u8))),
            3 => drop(bytes.splice(at..at, piece.repeat(random.pick(&[1, 2, 16, 1000])))),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            5 => drop(bytes.splice(part, random.word(WORDS).bytes())),
            6 => {
                let word = random.word(WORDS).repeat(random.pick(&[1, 1, 1, 300, 20_000]));
                bytes.splice(at..at, word.into_bytes());
            }
            _ => change_value(bytes, random),
        }
        bytes.truncate(1 << 20);
    }
}

/// Puts another value where a number, a string or a group in brackets is in a JSON text.
fn change_value(text: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(text.len());
    // Names of members stay.
    let is_start = |pair: &[u8]| match pair[1] {
        b'"' => pair[0] == b':',
        byte => b"[{".contains(&byte) || byte.is_ascii_digit() && !pair[0].is_ascii_digit(),
    };
    let Some(start) = text[from..].windows(2).position(is_start) else { return };
    let (start, mut depth) = (from + start + 1, 0);
    let first = text[start];
    let len = text[start + 1..].iter().position(|&byte| {
        depth += i32::from(b"[{".contains(&byte)) - i32::from(b"]}".contains(&byte));
        match first {
            b'"' => byte == b'"',
            b'[' | b'{' => depth < 0,
            _ => !byte.is_ascii_digit(),
        }
    });
    let Some(len) = len else { return };
    let end = start + 1 + len + usize::from(!first.is_ascii_digit());
    let old = text[start..end].to_vec();
    let new = match first {
        b'"' => random.word(STRINGS).as_bytes().to_vec(),
        b'[' if random.below(3) == 0 => b"[]".to_vec(),
        b'[' | b'{' => {
            [[&old[..], b","].concat().repeat(random.pick(&[1, 30, 1000])), old].concat()
        }
        _ => random.word(NUMERALS).as_bytes().to_vec(),
    };
    text.splice(start..end, new);
}

/// What the command keeps of a program, without the names of libraries.
fn recording(program: &Path, arguments: &[&str], name: &str) -> String {
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

/// A recording of one leak whose stack has these addresses of all programs.
fn recording_of(programs: &[PathBuf], id: &str, addresses: &[u64]) -> String {
    static REAL: OnceLock<String> = OnceLock::new();
    let real = REAL.get_or_init(|| recording(&losing("real", &[]), &[], "real"));
    let module = |path: &PathBuf| format!("{{\"path\":\"{}\",\"build_id\":\"{id}\"}}", path.display());
    let modules: Vec<String> = programs.iter().map(module).collect();
    let frames: Vec<String> = (0..programs.len())
        .flat_map(|at| addresses.iter().map(move |address| format!("[{at},{address},1]")))
        .collect();
    let places: Vec<String> = (0..frames.len()).map(|at| at.to_string()).collect();
    let stack = format!("{{\"frames\":[{}],\"ending\":\"Whole\"}}", places.join(","));
    let (head, _) = real.split_once("\"modules\":").expect("modules");
    let (_, tail) = real.split_once("\"processes\":").expect("processes");
    let (modules, frames) = (modules.join(","), frames.join(","));
    format!("{head}\"modules\":[{modules}],\"frames\":[{frames}],\"stacks\":[{stack}],\"processes\":{tail}")
}

#[test]
fn mutated_recordings_are_refused_or_shown() {
    let real: Vec<String> = [
        ("leak.c", &[][..]),
        ("double_free.c", &[]),
        ("overflow_64.c", &[]),
        ("hoard.c", &["kill"]),
    ]
    .map(|(source, arguments)| recording(&compile(source, source, &[]), arguments, source))
    .into();
    let sound = folder("recordings").join("sound");
    fs::write(&sound, &real[0]).expect("a file");
    let shown = finish(command(&["report", "--json", "-"]).arg(&sound));
    assert!(shown.stderr.contains("#0 leak_direct") && shown.stdout.starts_with('{'));
    let flags: [&[&str]; 5] = [
        &["report"],
        &["report", "--json", "-"],
        &["report", "--json=-", "--show-reachable", "--addresses"],
        &["report", "--full-stacks", "--max-sites=0", "--quiet"],
        &["report", "--json", "-", sound.to_str().expect("a path")],
    ];
    try_all(38, "recordings", |random, input| {
        let mut bytes = random.pick(&[0, 1, 2, 3].map(|at| &real[at])).clone().into_bytes();
        match random.below(3) {
            0 => mutate(&mut bytes, random),
            _ => (0..=random.below(2)).for_each(|_| change_value(&mut bytes, random)),
        }
        fs::write(input, bytes).expect("an input");
        let mut command = command(random.pick(&flags));
        command.arg(input);
        (command, &[])
    });
}

#[test]
fn mutated_rules_are_refused_or_used() {
    let program = losing("ruled", &[]);
    let path = |input: &Path| input.display().to_string();
    try_all(14, "rules", |random, input| {
        let mut bytes = RULES.as_bytes().to_vec();
        mutate(&mut bytes, random);
        fs::write(input, bytes).expect("an input");
        if random.below(4) == 0 {
            return (preloaded(&program, &format!("{FEW}:suppressions={}", path(input))), STOPPED);
        }
        // The rules are read before the program is looked for.
        let flag = format!("--suppressions={}", path(input));
        (command(&["run", &flag, "--", "/nowhere/program"]), &[])
    });
}

/// Names of all options, with what they are by themselves.
fn options() -> Vec<(String, String)> {
    let listed = finish(&mut command(&["options"])).stdout;
    let options = listed.lines().filter_map(|line| {
        let (name, rest) = line.split_once('=')?;
        let value = rest.split(' ').next().unwrap_or("");
        let is_option = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_option.then(|| (name.to_owned(), value.to_owned()))
    });
    options.collect()
}

#[test]
fn mutated_options_are_refused_or_taken() {
    let (options, program) = (options(), careful());
    assert!(options.len() > 30, "{options:?}");
    try_all(14, "options", |random, _| {
        let some = |random: &mut Random, dashes: &str| {
            let (name, value) = &options[random.below(options.len())];
            let value = if random.below(2) == 0 { random.word(WORDS) } else { value };
            let name = if dashes.is_empty() { name.clone() } else { name.replace('_', "-") };
            let mut bytes = format!("{dashes}{name}={value}").into_bytes();
            if random.below(3) == 0 {
                mutate(&mut bytes, random);
            }
            // Nothing has a zero, the kernel takes 128 KiB, and no log is written elsewhere.
            bytes.retain(|&byte| byte != 0 && byte != b'/');
            bytes.truncate(30_000);
            bytes
        };
        let list = [(); 3].map(|()| some(random, "")).join(&b':');
        let list = OsString::from_vec(list);
        if random.below(4) == 0 {
            let mut command = preloaded(&program, "");
            command.env("MALLOCOP_OPTIONS", list);
            return (command, STOPPED);
        }
        let mut command = command(&["run"]);
        command.args([(); 2].map(|()| OsString::from_vec(some(random, "--"))));
        if random.below(2) == 0 {
            command.env("MALLOCOP_OPTIONS", list);
        }
        let runs = random.below(16) == 0;
        command.arg("--").arg(if runs { &program } else { Path::new("/nowhere/program") });
        (command, STOPPED)
    });
}

#[test]
fn mutated_tree_files_stop_no_program() {
    let program = careful();
    try_all(6, "trees", |random, input| {
        let kind = random.below(8);
        if kind == 0 {
            place(random.pick(&ODD), input);
        } else {
            let _ = fs::remove_file(input).or_else(|_| fs::remove_dir(input));
            // Magic, version, extents, root, findings, processes, activity, hint, first unused one.
            let mut header = b"mallocop".to_vec();
            let words = [2_u32, 2048, 0, 0, 0, 0, 33, 33];
            header.extend(words.into_iter().flat_map(u32::to_ne_bytes));
            for _ in 0..random.below(4) {
                let (at, some) = (random.below(header.len()), random.below(3000) as u64);
                let number = if random.below(2) == 0 { some } else { random.pick(&NUMBERS) };
                overwrite(&mut header, at / 4 * 4, &number.to_ne_bytes()[..4]);
            }
            fs::write(input, &header).expect("a header");
            let size = random.pick(&[0, 1, 39, 40, 4096, 4 << 20, 32 << 20, 64 << 20]);
            let size = if kind < 4 { size } else { 32 << 20 };
            let file = File::options().write(true).open(input).expect("the file");
            file.set_len(size).expect("a length");
            // Tags, and what the first extents have.
            for _ in 0..random.below(3) * 100 {
                let (at, number) = (random.below(40 * 16_384) as u64, random.below(3000) as u64);
                if size >= 32 << 20 {
                    file.write_at(&number.to_ne_bytes(), 16_384 + at).expect("a word");
                }
            }
        }
        let mut command = preloaded(&program, FEW);
        command.env("MALLOCOP_TREE", input);
        (command, STOPPED)
    });
}

/// Puts these bytes over others, as far as there are any.
fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes.iter_mut().skip(at).zip(with).for_each(|(to, from)| *to = *from);
}

/// A section of an ELF file: where its header is, where its bytes are, how many.
struct Section {
    name: String,
    header: usize,
    address: u64,
    start: usize,
    size: usize,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))
}

fn sections(elf: &[u8]) -> Vec<Section> {
    let (table, count) = (word(elf, 0x28) as usize, word(elf, 0x38) >> 32 & 0xffff);
    let names = table + (word(elf, 0x38) >> 48) as usize * 64;
    let section = |number| {
        let header = table + number as usize * 64;
        let name = word(elf, names + 24) as usize + (word(elf, header) as u32) as usize;
        let name = elf[name..].split(|&byte| byte == 0).next().expect("a name");
        let name = String::from_utf8_lossy(name).into_owned();
        let [address, start, size] = [16, 24, 32].map(|at| word(elf, header + at));
        Section { name, header, address, start: start as usize, size: size as usize }
    };
    (0..count).map(section).collect()
}

/// Is a section one that names and lines come from?
fn is_read(section: &Section) -> bool {
    [".debug", ".symtab", ".strtab", ".shstrtab", ".eh_frame", ".note.gnu"]
        .iter()
        .any(|start| section.name.starts_with(start))
}

/// Addresses all over the code.
fn addresses(elf: &[u8]) -> Vec<u64> {
    let all = sections(elf);
    let text = all.iter().find(|section| section.name == ".text").expect("code");
    (0..24).map(|at| text.address + at * text.size as u64 / 24).collect()
}

/// What of a program's file may be damaged.
#[derive(Clone, Copy, PartialEq)]
enum Damage {
    All,
    AllButItsId,
    /// What is not loaded: the program still runs.
    Names,
}

/// Changes a program's file in some places.
fn damage(elf: &mut Vec<u8>, what: Damage, random: &mut Random) {
    let mut places = if what == Damage::Names { vec![] } else { vec![(0, 64), (64, 13 * 56)] };
    for section in sections(elf).iter().filter(|section| is_read(section)) {
        places.push((section.header, 64));
        let stays = match what {
            Damage::All => false,
            Damage::AllButItsId => section.name.starts_with(".note"),
            Damage::Names => section.address != 0,
        };
        if !stays {
            places.extend([(section.start, section.size); 3]);
        }
    }
    for _ in 0..=random.below(6) {
        let (start, size) = random.pick(&places);
        let at = start + random.below(size);
        let bytes = match random.below(5) {
            0 => vec![elf[at] ^ 1 << random.below(8)],
            1 => vec![random.next() as u8],
            2 => random.pick(&NUMBERS).to_le_bytes()[..random.pick(&[2, 4, 8])].to_vec(),
            3 => vec![random.pick(&[0xff, 0x80]); random.below(16)],
            _ => elf[start + random.below(size)..].iter().copied().take(random.below(40)).collect(),
        };
        overwrite(elf, at, &bytes);
    }
    if what != Damage::Names && random.below(20) == 0 {
        elf.truncate(random.below(elf.len()));
    }
}

fn report(programs: &[PathBuf], id: &str, addresses: &[u64], input: &Path) -> Command {
    fs::write(input, recording_of(programs, id, addresses)).expect("a recording");
    let mut command = command(&["report", "--json", "-"]);
    command.arg(input);
    command
}

/// A recording names many programs, so that one run of the command reads them all.
#[test]
fn mutated_debug_files_are_read_or_passed_over() {
    const MANY: usize = 20;
    let programs = [
        losing("dwarf5", &["-O2", "-Wl,--build-id=0xabcdef0123456789"]),
        losing("dwarf4", &["-gdwarf-4", "-Wl,--build-id=0xabcdef0123456789"]),
        losing("zlib", &["-gz=zlib", "-Wl,--build-id=0xabcdef0123456789"]),
        compile("names.cpp", "names", &["-O1", "-Wl,--build-id=0xabcdef0123456789"]),
    ];
    let input = folder("debug").join("input");
    let mut failures = Failures::default();
    for batch in 0..share(20) / MANY {
        let elf = fs::read(&programs[batch % 4]).expect("a program");
        let (id, what) = match batch % 3 {
            0 => ("", Damage::All),
            _ => ("abcdef0123456789", Damage::AllButItsId),
        };
        let files: Vec<PathBuf> = (batch * MANY..(batch + 1) * MANY)
            .map(|seed| {
                let (mut mutated, file) = (elf.clone(), folder("debug").join(format!("{seed}")));
                damage(&mut mutated, what, &mut Random::new(seed));
                fs::write(&file, mutated).expect("a program");
                file
            })
            .collect();
        let addresses = addresses(&elf);
        let outcome = run(report(&files, id, &addresses, &input), SPACE);
        assert_eq!(outcome.status, 0, "{}", outcome.text);
        if outcome.wrong(&[]).is_some() {
            failures.note(&format!("seeds from {}", batch * MANY), &outcome, &[], Some(&input));
            for file in &files {
                let alone = run(report(&[file.clone()], id, &addresses, &input), SPACE);
                failures.note(&format!("alone {}", file.display()), &alone, &[], None);
            }
        } else {
            files.iter().for_each(|file| fs::remove_file(file).expect("a file"));
        }
    }
    failures.end();
}

/// The file in a folder with this ending.
fn file_of(folder: &Path, ending: &str) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|it| it == ending)).expect("one")
}

#[test]
fn mutated_split_files_are_read_or_passed_over() {
    let program = losing("split", &["-gsplit-dwarf"]);
    let split = file_of(&folder("split"), "dwo");
    let (sound, elf) = (fs::read(&split).expect("a file"), fs::read(&program).expect("a program"));
    let recording = folder("split").join("recording");
    report(&[program], "", &addresses(&elf), &recording);
    try_all(3, "split", |random, input| {
        let mut bytes = sound.clone();
        damage(&mut bytes, Damage::All, random);
        fs::write(&split, &bytes).expect("a file");
        fs::write(input, &bytes).expect("a copy");
        let mut command = command(&["report"]);
        command.arg(&recording);
        (command, &[])
    });
}

/// The library in the program looks names up, too.
#[test]
fn mutated_programs_run_to_their_end() {
    let programs = [losing("mutated", &[]), losing("mutated-zlib", &["-gz=zlib"])];
    let sound = programs.map(|program| fs::read(program).expect("a program"));
    let mode = Permissions::from_mode(0o755);
    try_all(5, "programs", |random, input| {
        let mut elf = random.pick(&[&sound[0], &sound[1]]).clone();
        damage(&mut elf, Damage::Names, random);
        fs::write(input, &elf).expect("a program");
        fs::set_permissions(input, mode.clone()).expect("a mode");
        (preloaded(input, FEW), &[])
    });
}

/// Lets the command and the library name a program's code.
fn name(what: &str, program: &Path, addresses: &[u64], failures: &mut Failures) {
    let input = folder("named").join("input");
    let shown = run(report(&[program.to_owned()], "", addresses, &input), ALL_SPACE);
    failures.note(what, &shown, &[], Some(&input));
    let ran = run(preloaded(program, FEW), ALL_SPACE);
    failures.note(what, &ran, &[], None);
}

#[test]
fn odd_debug_files_hold_nothing_up() {
    let strip = |name: &str| {
        let flags: [&[&str]; 3] = [
            &["--only-keep-debug", "program", "program.debug"],
            &["--strip-all", "--add-gnu-debuglink=program.debug", "program"],
            &[],
        ];
        for flags in flags {
            finish(Command::new("objcopy").args(flags).current_dir(folder(name)));
        }
    };
    let linked = losing("linked", &["-Wl,--build-id=none"]);
    strip("linked");
    let (split, packed) =
        (losing("odd-split", &["-gsplit-dwarf"]), losing("odd-packed", &["-gsplit-dwarf"]));
    let source = folder("sourced").join("leak.c");
    let _ = fs::remove_file(&source).or_else(|_| fs::remove_dir(&source));
    fs::copy(victims().join("leak.c"), &source).expect("a copy");
    let sourced = compile(&source.to_string_lossy(), "sourced/program", &[]);
    let mut failures = Failures::default();
    for (what, program, at) in [
        ("debug link", linked, folder("linked").join("program.debug")),
        ("split file", split, file_of(&folder("odd-split"), "dwo")),
        ("package", packed, folder("odd-packed").join("program.dwp")),
        ("source", sourced, source),
    ] {
        let addresses = addresses(&fs::read(&program).expect("a program"));
        for kind in ODD {
            place(kind, &at);
            name(&format!("{kind} as {what}"), &program, &addresses, &mut failures);
        }
    }
    failures.end();
}

#[test]
fn sections_that_claim_to_be_huge_take_no_memory() {
    let mut failures = Failures::default();
    for flags in [&["-gz=none"], &["-gz=zlib"]] {
        let program = losing(&format!("huge{}", flags[0]), flags);
        let elf = fs::read(&program).expect("a program");
        for section in sections(&elf).iter().filter(|section| is_read(section)) {
            let mut claiming = elf.clone();
            let mut size = elf.len() as u64;
            if word(&elf, section.header + 8) & 0x800 == 0 {
                // Its bytes are behind the file's, and none of them takes room.
                size = size.next_multiple_of(4096);
                overwrite(&mut claiming, section.header + 24, &size.to_le_bytes());
                overwrite(&mut claiming, section.header + 32, &HUGE.to_le_bytes());
                size += HUGE;
            } else {
                overwrite(&mut claiming, section.start + 8, &HUGE.to_le_bytes());
            }
            fs::write(&program, claiming).expect("a program");
            let file = File::options().write(true).open(&program).expect("the program");
            file.set_len(size).expect("a length");
            drop(file);
            let what = format!("{} {}", section.name, flags[0]);
            name(&what, &program, &addresses(&elf), &mut failures);
        }
        fs::write(&program, elf).expect("the program");
    }
    failures.end();
}

#[test]
fn symbols_that_grow_are_shown_short() {
    // Each argument has the one before it twice.
    let doubling = |depth: usize| {
        let digits = &"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[..depth];
        let pairs: String = digits.chars().map(|digit| format!("S_IS{digit}_S{digit}_E")).collect();
        format!("_Z1f1AIiiE{pairs}")
    };
    let program = losing("growing", &["-g0"]);
    let mut failures = Failures::default();
    for (what, symbol) in [
        ("22 deep", doubling(22)),
        ("36 deep", doubling(36)),
        ("of pointers", format!("_Z1f{}i", "P".repeat(100_000))),
        ("of templates", format!("_Z1f{}i{}", "1AI".repeat(20_000), "E".repeat(20_000))),
        ("in Rust", "_RYFG_FGyyEvRYFF_EvRYFFEvERLB_B_B_ERLRjB_B_B_".to_owned()),
        ("plain", "x".repeat(120_000)),
    ] {
        let grown = folder("growing").join("grown");
        let renames = format!("--redefine-sym=leak_direct={symbol}");
        let made = finish(Command::new("objcopy").arg(renames).arg(&program).arg(&grown));
        assert_eq!(made.status, 0, "{}", made.stderr);
        let addresses = addresses(&fs::read(&grown).expect("a program"));
        name(what, &grown, &addresses, &mut failures);
    }
    failures.end();
}

#[test]
fn odd_files_are_no_rules() {
    let program = losing("odd-rules", &[]);
    let at = folder("odd-rules").join("rules");
    let mut failures = Failures::default();
    for kind in ODD.into_iter().chain(["long", "long and odd", "unreadable"]) {
        place(kind, &at);
        if let Some(byte) = [("long", b'a'), ("long and odd", 0xff), ("unreadable", b'\n')]
            .into_iter()
            .find_map(|(name, byte)| (name == kind).then_some(byte))
        {
            let _ = fs::remove_file(&at);
            let piece = [b"leak:".to_vec(), vec![byte; (1 << 20) - 5]].concat();
            let mut file = File::create(&at).expect("a file");
            (0..100).for_each(|_| file.write_all(&piece).expect("a piece"));
        }
        let path = at.display();
        let flag = format!("--suppressions={path}");
        let mut given = command(&["run", &flag, "--"]);
        given.arg(&program);
        let given = run(given, ALL_SPACE);
        failures.note(kind, &given, &[], None);
        let ran = run(preloaded(&program, &format!("{FEW}:suppressions={path}")), ALL_SPACE);
        failures.note(kind, &ran, &[], None);
    }
    failures.end();
}
