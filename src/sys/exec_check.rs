//! What will become of a program that is about to be executed: can a library be preloaded into it?
//!
//! Safe in signal handlers and between vfork and exec: system calls and a kilobyte of stack,
//! nothing else.

use crate::model::unwatched::PreloadObstacle;
use core::ffi::CStr;

use super::errno;

/// `#!` lines that are followed.
const MOST_INTERPRETERS: usize = 4;
/// Bytes at a program's start that are looked at.
const HEAD: usize = 1024;
/// Bytes of a program's names that are looked through, at most.
const MOST_NAMES: usize = 1 << 20;
/// What programs with a checker of their own define, or ask for.
const MARKS: [&[u8]; 5] =
    [b"__asan_init", b"__hwasan_init", b"__tsan_init", b"__msan_init", b"liblsan.so"];

/// How glibc's loader calls itself.
const LOADER: &[u8] = b"ld-linux-x86-64.so";

/// An open file.
struct File(i32);

impl File {
    fn open(path: &CStr) -> Option<Self> {
        // SAFETY: open(2) with a C string.
        let fd = unsafe {
            libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK)
        };
        (fd >= 0).then_some(Self(fd))
    }

    /// Reads as much of `room` as there is from `at` on.
    fn read<'a>(&self, at: u64, room: &'a mut [u8]) -> &'a [u8] {
        let offset = libc::off_t::try_from(at).unwrap_or(libc::off_t::MAX);
        // SAFETY: pread(2) fills at most the slice.
        let got = unsafe { libc::pread(self.0, room.as_mut_ptr().cast(), room.len(), offset) };
        room.get(..usize::try_from(got).unwrap_or(0)).unwrap_or(&[])
    }

    /// Does the kernel give the program other privileges?
    fn is_privileged(&self) -> bool {
        // SAFETY: fstat(2) fills the structure; the ids are only read.
        unsafe {
            let mut facts = core::mem::zeroed::<libc::stat>();
            if libc::fstat(self.0, &raw mut facts) != 0 {
                return false;
            }
            let setuid = facts.st_mode & libc::S_ISUID != 0 && facts.st_uid != libc::geteuid();
            let runs_as_group = libc::S_ISGID | libc::S_IXGRP;
            setuid
                || facts.st_mode & runs_as_group == runs_as_group && facts.st_gid != libc::getegid()
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: our own descriptor.
        unsafe { libc::close(self.0) };
    }
}

/// Why the library should not, or cannot, be preloaded into the program at `path`. `None`: it can,
/// or there is no such program.
pub fn find_obstacle(path: &CStr) -> Option<PreloadObstacle> {
    errno::preserve(|| {
        let mut file = File::open(path)?;
        let mut head = [0; HEAD];
        for _ in 0..MOST_INTERPRETERS {
            let start = file.read(0, &mut head);
            if !start.starts_with(b"#!") {
                return judge(&file, start);
            }
            file = open_interpreter(start)?;
        }
        None
    })
}

/// Opens the interpreter that a script's first line names.
fn open_interpreter(start: &[u8]) -> Option<File> {
    let line = start.get(2..)?.trim_ascii_start();
    let end = line.iter().position(|&byte| byte.is_ascii_whitespace())?;
    let mut path = [0; 256];
    path.get_mut(..end).filter(|_| end < 255)?.copy_from_slice(line.get(..end)?);
    File::open(CStr::from_bytes_until_nul(&path).ok()?)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|found| u32::from_le_bytes(*found))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|found| u64::from_le_bytes(*found))
}

/// Judges by the ELF header and what it leads to (ELF gABI). What is no ELF file may be anything: a
/// shell's script, or what binfmt_misc knows.
fn judge(file: &File, start: &[u8]) -> Option<PreloadObstacle> {
    const CLASS_64: u8 = 2;
    const X86_64: [u8; 2] = [62, 0];
    if !start.starts_with(b"\x7fELF") {
        return None;
    }
    if start.get(4) != Some(&CLASS_64) || start.get(18..20) != Some(&X86_64) {
        return Some(PreloadObstacle::Foreign);
    }
    let (table, count) = (long(start, 32)? as usize, usize::from(*start.get(56)?));
    let segment = |kind: u32| {
        let all = (0..count).map(|number| table.saturating_add(number * 56));
        let mut fitting = all.filter(move |&at| word(start, at) == Some(kind));
        let at = fitting.next()?;
        Some((long(start, at + 8)?, long(start, at + 32)?))
    };
    let dynamic = segment(libc::PT_DYNAMIC);
    let Some((interpreter, _)) = segment(libc::PT_INTERP) else {
        // The loader itself loads the program that it is given, and what is preloaded.
        let is_loader =
            dynamic.is_some_and(|(offset, bytes)| has_any_name(file, (offset, bytes), &[LOADER]));
        return (!is_loader).then_some(PreloadObstacle::Static);
    };
    let mut path = [0; 128];
    let path = file.read(interpreter, &mut path);
    if find(path.split(|&byte| byte == 0).next().unwrap_or(&[]), b"musl") {
        return Some(PreloadObstacle::Musl);
    }
    if file.is_privileged() {
        return Some(PreloadObstacle::Privileged);
    }
    has_any_name(file, dynamic?, &MARKS).then_some(PreloadObstacle::Sanitizer)
}

/// Is one of these among the names of the dynamic section there?
fn has_any_name(file: &File, (offset, bytes): (u64, u64), wanted: &[&[u8]]) -> bool {
    const STRTAB: u64 = 5;
    const STRSZ: u64 = 10;
    let (mut table, mut size) = (0, 0);
    let mut entry = [0; 16];
    for at in (0..bytes.min(4096)).step_by(16) {
        let entry = file.read(offset + at, &mut entry);
        let (Some(tag), Some(value)) = (long(entry, 0), long(entry, 8)) else { break };
        match tag {
            0 => break,
            STRTAB => table = value,
            STRSZ => size = value as usize,
            _ => {}
        }
    }
    let Some(start) = offset_of(file, table) else { return false };
    look_through(file, start, size.min(MOST_NAMES), wanted)
}

/// Where in the file an address is loaded from.
fn offset_of(file: &File, address: u64) -> Option<u64> {
    let mut head = [0; HEAD];
    let head = file.read(0, &mut head);
    let (table, count) = (long(head, 32)? as usize, usize::from(*head.get(56)?));
    (0..count).map(|number| table.saturating_add(number * 56)).find_map(|at| {
        let (offset, start, bytes) =
            (long(head, at + 8)?, long(head, at + 16)?, long(head, at + 32)?);
        let is_inside =
            word(head, at) == Some(libc::PT_LOAD) && address.checked_sub(start)? < bytes;
        is_inside.then(|| offset + (address - start))
    })
}

fn look_through(file: &File, start: u64, size: usize, wanted: &[&[u8]]) -> bool {
    /// What a name has at most, less one.
    const OVERLAP: usize = 19;
    let mut piece = [0; HEAD];
    let mut at = 0;
    while at < size {
        let bytes = file.read(start + at as u64, &mut piece);
        if bytes.is_empty() {
            return false;
        }
        if wanted.iter().any(|name| find(bytes, name)) {
            return true;
        }
        at += bytes.len().saturating_sub(OVERLAP).max(1);
    }
    false
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_programs_can_be_watched() {
        for path in [c"/bin/sh", c"/usr/bin/env", c"/nowhere", c"/dev/null", c"/etc/passwd"] {
            assert_eq!(find_obstacle(path), None, "{path:?}");
        }
    }

    #[test]
    fn heads_are_judged_by_their_words() {
        let nowhere = File(-1);
        let mut head = vec![0u8; HEAD];
        head[..5].copy_from_slice(b"\x7fELF\x01");
        assert_eq!(judge(&nowhere, &head), Some(PreloadObstacle::Foreign));
        head[4] = 2;
        head[18] = 62;
        assert_eq!(judge(&nowhere, &head), Some(PreloadObstacle::Static));
        head[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        head[56] = 255;
        assert_eq!(judge(&nowhere, &head), Some(PreloadObstacle::Static));
        assert!((0..HEAD).all(|len| judge(&nowhere, &head[..len]) != Some(PreloadObstacle::Musl)));
        assert_eq!(judge(&nowhere, b"MZ"), None);
    }
}
