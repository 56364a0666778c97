//! Loaded modules: which one an address is in, which one is ours, which symbol it falls on.

use crate::model::stack::DataSymbol;
use crate::model::stack::Module;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use memchr::memmem;
use object::read::{Object, ObjectSegment, ObjectSymbol, ReadCache};

use super::debug_check;
use super::demangle::demangle;
use crate::sys::glibc::find_object;
use crate::sys::maps::{self, Lookup};
use crate::sys::seccomp;

static OWN_START: AtomicUsize = AtomicUsize::new(0);
static OWN_END: AtomicUsize = AtomicUsize::new(0);
static LOADER_START: AtomicUsize = AtomicUsize::new(0);
static LOADER_END: AtomicUsize = AtomicUsize::new(0);

/// Says where this library's own code lies, so that its frames never show.
pub fn set_own(start: usize, end: usize) {
    OWN_START.store(start, Ordering::Relaxed);
    OWN_END.store(end, Ordering::Relaxed);
}

/// Where this library lies: first byte and first byte behind; empty if it was not said.
pub fn own() -> (usize, usize) {
    (OWN_START.load(Ordering::Relaxed), OWN_END.load(Ordering::Relaxed))
}

/// Says where the dynamic loader's code lies.
pub fn set_loader(start: usize, end: usize) {
    LOADER_START.store(start, Ordering::Relaxed);
    LOADER_END.store(end, Ordering::Relaxed);
}

/// Address range of libmallocop_checked.so; empty if it is not loaded.
static CHECKED_START: AtomicUsize = AtomicUsize::new(0);
static CHECKED_END: AtomicUsize = AtomicUsize::new(0);

/// Sets the address range of libmallocop_checked.so.
pub fn set_checked_calls(start: usize, end: usize) {
    CHECKED_START.store(start, Ordering::Relaxed);
    CHECKED_END.store(end, Ordering::Relaxed);
}

/// Is the address in this library, or in libmallocop_checked.so?
pub fn is_own(address: usize) -> bool {
    let is_in = |start: &AtomicUsize, end: &AtomicUsize| {
        address >= start.load(Ordering::Relaxed) && address < end.load(Ordering::Relaxed)
    };
    is_in(&OWN_START, &OWN_END) || is_in(&CHECKED_START, &CHECKED_END)
}

/// Is the address in the dynamic loader?
pub fn is_loader(address: usize) -> bool {
    address >= LOADER_START.load(Ordering::Relaxed) && address < LOADER_END.load(Ordering::Relaxed)
}

/// Where code is mapped, and from which file, for when the kernel must not be asked any more.
static REMEMBERED: OnceLock<Vec<(usize, usize, String)>> = OnceLock::new();

/// Remembers the modules as they are now.
pub fn remember() {
    REMEMBERED.get_or_init(|| {
        let mut modules = Vec::new();
        maps::for_each(|mapping| {
            if mapping.is_file() {
                modules.push((mapping.start, mapping.end, mapping.path_text().to_owned()));
            }
        });
        modules
    });
}

fn find_remembered(address: usize) -> Option<Module> {
    let modules = REMEMBERED.get()?;
    let (_, _, path) = modules.iter().find(|(start, end, _)| (*start..*end).contains(&address))?;
    let (base, _, _) = modules.iter().find(|(_, _, other)| other == path)?;
    Some(Module { path: path.clone(), base: *base })
}

/// The module that `address` is in, if a file is mapped there.
pub fn find(address: usize) -> Option<Module> {
    if seccomp::is_installed() {
        return find_remembered(address);
    }
    match maps::find(address) {
        Lookup::Mapped(mapping) if mapping.is_file() => Some(Module {
            path: mapping.path_text().to_owned(),
            // A file may be mapped a second time, to be read.
            base: find_object::find_object(address)
                .map(|object| object.start)
                .or_else(|| maps::first_of(mapping.path()))
                .unwrap_or(mapping.start),
        }),
        // Zero-initialised data lies behind its file's last mapping, without a name.
        Lookup::Mapped(mapping) if mapping.path().is_empty() => {
            let in_front = maps::in_front_of(mapping.start)?;
            let base = maps::first_of(in_front.path())?;
            let module = Module { path: in_front.path_text().to_owned(), base };
            symbol_at(&module, address).is_some().then_some(module)
        }
        _ => None,
    }
}

/// Opens a module's file. `None`: it is no regular file, or a filter may forbid it.
fn open(path: &str) -> Option<File> {
    if seccomp::is_installed() {
        return None;
    }
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()
}

/// The symbol of `module` that covers `address`, code or data.
pub fn symbol_at(module: &Module, address: usize) -> Option<DataSymbol> {
    debug_check::has_sound_sections(Path::new(&module.path)).then_some(())?;
    let cache = ReadCache::new(open(&module.path)?);
    let file = object::File::parse(&cache).ok()?;
    let first = file.segments().map(|segment| segment.address()).min()? & !0xfff;
    let wanted = (address - module.base) as u64 + first;
    file.symbols()
        .chain(file.dynamic_symbols())
        .find(|symbol| {
            symbol.is_definition()
                && wanted >= symbol.address()
                && wanted - symbol.address() < symbol.size()
        })
        .and_then(|symbol| {
            let name = demangle(symbol.name().ok()?);
            Some(DataSymbol { name, offset: (wanted - symbol.address()) as usize })
        })
}

/// Address of a function of the program, by its name in the file's table, which need not be loaded.
/// Reads all of the file's symbols.
pub fn find_function(program: &str, name: &str) -> Option<usize> {
    find_named(program, name).map(|(address, _)| address)
}

/// The same for any symbol: its address and bytes.
pub fn find_named(program: &str, name: &str) -> Option<(usize, usize)> {
    debug_check::has_sound_sections(Path::new(program)).then_some(())?;
    let cache = ReadCache::new(open(program)?);
    let file = object::File::parse(&cache).ok()?;
    let first = file.segments().map(|segment| segment.address()).min()? & !0xfff;
    let symbol =
        file.symbols().find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))?;
    let base = maps::first_of(program.as_bytes())?;
    Some((base + (symbol.address() - first) as usize, symbol.size() as usize))
}

/// Name of `std::bad_alloc`'s type as it stands in the one library that defines it.
const RUNTIME_MARK: &[u8] = b"\0St9bad_alloc\0";
/// Bytes of a file that are looked through at a time.
const PIECE: usize = 1 << 20;

/// Does the file bring a C++ runtime of its own inside itself (-static-libstdc++), whose operator
/// new and delete may be hidden from everybody else? Unreadable: no.
pub fn brings_cpp_runtime(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with("libstdc++") || name.starts_with("libc++") {
        return false;
    }
    let Some(mut file) = open(path) else { return false };
    let mut buffer = vec![0; PIECE + RUNTIME_MARK.len()];
    let mut kept = 0;
    loop {
        let Some(room) = buffer.get_mut(kept..) else { return false };
        let Ok(got @ 1..) = file.read(room) else { return false };
        let filled = kept + got;
        if memmem::find(buffer.get(..filled).unwrap_or(&[]), RUNTIME_MARK).is_some() {
            return true;
        }
        // The mark may lie across two pieces.
        kept = filled.min(RUNTIME_MARK.len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// Paths of all files that code is mapped from.
pub fn all() -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    maps::for_each(|mapping| {
        if mapping.executable && mapping.is_file() && !is_own(mapping.start) {
            paths.push(mapping.path_text().to_owned());
        }
    });
    paths
}
