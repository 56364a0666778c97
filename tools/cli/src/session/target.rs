//! The program that is to be watched: where it is, and whether a library can be preloaded into it.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::read::{Object, ObjectSymbol, ReadCache, ReadCacheOps, ReadRef};
use object::{Architecture, Endianness, elf};

use crate::failure::Failure;

/// What runs a script without a `#!` line, as execvp(3) does.
pub(crate) const SHELL: &str = "/bin/sh";
/// Checkers that cannot share a process with us, by what they define or the library's name.
const SANITIZERS: [&str; 4] = ["__asan_init", "__tsan_init", "__msan_init", "__hwasan_init"];
const SANITIZER_LIBRARIES: [&str; 4] = ["libasan", "libtsan", "libhwasan", "liblsan"];
/// `#!` lines followed before giving up.
const MOST_INTERPRETERS: usize = 4;
/// Allocators that bring malloc along, by the start of their file's name.
const ALLOCATORS: [&str; 3] = ["libjemalloc", "libtcmalloc", "libmimalloc"];

/// The header of a program's file.
pub(crate) struct Facts {
    /// The file that the kernel loads: the program, or its interpreter.
    pub(crate) file: PathBuf,
    /// Was a `#!` line followed?
    pub(crate) is_script: bool,
    /// Has it no `#!` line, so that the shell has to be named?
    pub(crate) needs_shell: bool,
    /// Names of the libraries it asks for.
    pub(crate) needed: Vec<String>,
    /// Does it define malloc itself?
    pub(crate) defines_malloc: bool,
    /// Has it a table of all its functions?
    pub(crate) has_symbols: bool,
    /// Does it define what a fuzzer would ask us for?
    pub(crate) defines_fuzzer_hooks: bool,
}

impl Facts {
    /// An allocator that the program links, if it does.
    pub(crate) fn foreign_allocator(&self) -> Option<&str> {
        self.needed
            .iter()
            .map(String::as_str)
            .find(|needed| ALLOCATORS.iter().any(|allocator| needed.starts_with(allocator)))
    }
}

/// The path of `program`, looked up as a shell would.
pub(crate) fn find(program: &Path) -> Result<PathBuf, Failure> {
    if program.components().count() > 1 || program.has_root() {
        return check_runnable(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut refused = None;
    for directory in env::split_paths(&path) {
        match check_runnable(&directory.join(program)) {
            Err(Failure::NotFound(_)) => {}
            Err(why) => refused = Some(why),
            found => return found,
        }
    }
    Err(refused.unwrap_or_else(|| Failure::NotFound(program.to_owned())))
}

fn check_runnable(path: &Path) -> Result<PathBuf, Failure> {
    let cannot = |why: &str| Err(Failure::CannotRun(path.to_owned(), why.to_owned()));
    let Ok(metadata) = fs::metadata(path) else {
        return Err(Failure::NotFound(path.to_owned()));
    };
    if metadata.is_dir() {
        return cannot("is a directory");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return cannot("is not executable");
    }
    Ok(path.to_owned())
}

/// Reads the program's file, and its interpreter's if it is a script. An error says why a library
/// cannot be preloaded into it.
pub(crate) fn inspect(program: &Path) -> Result<Facts, Failure> {
    let mut file = program.to_owned();
    for round in 0..MOST_INTERPRETERS {
        let first = first_bytes(&file)?;
        match interpreter_of(&first)? {
            Some(interpreter) => file = check_runnable(&interpreter)?,
            None if round == 0 && is_text(&first) => {
                let facts = inspect_elf(Path::new(SHELL), true)?;
                return Ok(Facts { needs_shell: true, ..facts });
            }
            None => return inspect_elf(&file, round > 0),
        }
    }
    Err(Failure::CannotRun(program.to_owned(), "has too many interpreters".to_owned()))
}

/// The first bytes of a program's file, at most 512.
fn first_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut first = vec![0; 512];
    let read = File::open(path).and_then(|file| file.read_at(&mut first, 0));
    first.truncate(read.map_err(Failure::step(format!("read {}", path.display())))?);
    Ok(first)
}

/// The interpreter named in a script's first line; `None` for what is no script.
fn interpreter_of(first: &[u8]) -> Result<Option<PathBuf>, Failure> {
    let Some(line) = first.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let interpreter = words.next().map(PathBuf::from);
    // env(1) is one only for its name's sake.
    let is_env = interpreter.as_ref().is_some_and(|path| path.ends_with("env"));
    match words.next().filter(|word| is_env && !word.starts_with('-') && !word.contains('=')) {
        Some(program) => find(Path::new(program)).map(Some),
        None => Ok(interpreter),
    }
}

/// Is it a script without a `#!` line, as far as its first bytes tell?
fn is_text(first: &[u8]) -> bool {
    !first.starts_with(b"\x7fELF") && !first.contains(&0)
}

/// A file that is read at places, by one system call each.
struct Pieces {
    file: File,
    at: u64,
}

impl ReadCacheOps for Pieces {
    fn len(&mut self) -> Result<u64, ()> {
        self.file.metadata().map(|facts| facts.len()).map_err(drop)
    }

    fn seek(&mut self, at: u64) -> Result<u64, ()> {
        self.at = at;
        Ok(at)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, ()> {
        let count = self.file.read_at(into, self.at).map_err(drop)?;
        self.at += count as u64;
        Ok(count)
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<(), ()> {
        self.file.read_exact_at(into, self.at).map_err(drop)?;
        self.at += into.len() as u64;
        Ok(())
    }
}

fn inspect_elf(path: &Path, is_script: bool) -> Result<Facts, Failure> {
    let cannot = |why: &str| Failure::CannotWatch(path.to_owned(), why.to_owned());
    if let Some(why) = raises_privileges(path) {
        return Err(cannot(why));
    }
    let file = File::open(path).map_err(Failure::step(format!("read {}", path.display())))?;
    let cache = ReadCache::new(Pieces { file, at: 0 });
    let not_ours = "is no x86-64 program, so mallocop cannot be loaded into it";
    let elf: ElfFile64<'_, Endianness, _> =
        ElfFile64::parse(&cache).map_err(|_| cannot(not_ours))?;
    if elf.architecture() != Architecture::X86_64 {
        return Err(cannot(not_ours));
    }
    let endian = elf.endian();
    let interpreter = elf
        .elf_program_headers()
        .iter()
        .find_map(|segment| segment.interpreter(endian, elf.data()).ok().flatten())
        .map_or(&b""[..], |name| name);
    // The loader loads the program that it is given, and what is preloaded.
    let is_loader = interpreter.is_empty() && is_loader(&elf);
    if interpreter.is_empty() && !is_loader {
        return Err(cannot("is statically linked, so mallocop cannot be loaded into it"));
    }
    if String::from_utf8_lossy(interpreter).contains("musl") {
        return Err(cannot("uses musl's libc; mallocop needs glibc's"));
    }
    let needed = needed(&elf);
    let sanitized = elf.symbols().chain(elf.dynamic_symbols()).any(|symbol| {
        symbol.is_definition() && symbol.name().is_ok_and(|name| SANITIZERS.contains(&name))
    });
    let links =
        |names: &[&str]| needed.iter().any(|n| names.iter().any(|name| n.starts_with(name)));
    if sanitized || links(&SANITIZER_LIBRARIES) {
        return Err(cannot("is built with a sanitizer, which checks the heap by itself"));
    }
    let defines = |name: &str| {
        elf.symbols()
            .chain(elf.dynamic_symbols())
            .any(|symbol| symbol.is_definition() && symbol.is_global() && symbol.name() == Ok(name))
    };
    Ok(Facts {
        file: path.to_owned(),
        is_script,
        needs_shell: false,
        needed,
        defines_malloc: !is_loader && defines("malloc"),
        has_symbols: elf.symbols().next().is_some(),
        defines_fuzzer_hooks: defines("__sanitizer_install_malloc_and_free_hooks"),
    })
}

/// Is it glibc's loader, run by name?
fn is_loader<'data, R: ReadRef<'data>>(elf: &ElfFile64<'data, Endianness, R>) -> bool {
    named(elf, elf::DT_SONAME).iter().any(|name| name.starts_with("ld-linux"))
}

/// The libraries that it asks for.
fn needed<'data, R: ReadRef<'data>>(elf: &ElfFile64<'data, Endianness, R>) -> Vec<String> {
    named(elf, elf::DT_NEEDED)
}

fn named<'data, R: ReadRef<'data>>(
    elf: &ElfFile64<'data, Endianness, R>,
    tag: elf::DynamicTag,
) -> Vec<String> {
    let endian = elf.endian();
    let sections = elf.elf_section_table();
    let Ok(Some((entries, strings))) = sections.dynamic(endian, elf.data()) else {
        return Vec::new();
    };
    let Ok(strings) = sections.strings(endian, elf.data(), strings) else { return Vec::new() };
    entries
        .iter()
        .filter(|entry| entry.d_tag(endian) == tag)
        .filter_map(|entry| entry.string(endian, strings).ok())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Why the loader would ignore a preloaded library for reasons of privilege.
fn raises_privileges(path: &Path) -> Option<&'static str> {
    let metadata = fs::metadata(path).ok()?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if metadata.mode() & 0o4000 != 0 && metadata.uid() != user.as_raw() {
        return Some("is setuid, so the loader ignores LD_PRELOAD and nothing would be checked");
    }
    if metadata.mode() & 0o2010 == 0o2010 && metadata.gid() != group.as_raw() {
        return Some("is setgid, so the loader ignores LD_PRELOAD and nothing would be checked");
    }
    let capabilities = rustix::fs::getxattr(path, "security.capability", &mut [0u8; 64][..]);
    if capabilities.is_ok() && !user.is_root() {
        return Some(
            "has file capabilities, so the loader ignores LD_PRELOAD and nothing would \
            be checked",
        );
    }
    None
}
