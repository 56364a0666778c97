//! The tree file: what leaves the process while `mallocop run` watches. One file for the whole
//! process tree, created and sized by the command, mapped by every process of it.
//!
//! Version 1, native byte order:
//!
//! | offset | bytes | what |
//! |--------|-------|------|
//! | 0      | 8     | magic: `mallocop` |
//! | 8      | 4     | version |
//! | 12     | 4     | process id of the root of the tree; 0 until it has started |
//! | 16     | 4     | findings that are errors |
//! | 20     | 4     | processes that loaded the library (fork not counted) |
//! | 24     | 8     | allocations counted by processes that have exited |
//! | 32     | 8     | bytes of the log in use |
//! | 40     | 4     | has the root process run its exit entry? |
//! | 44     | 4     | status for findings as the root program itself asks for it, plus one; 0: it does not |
//! | 4096   |       | the log: texts, each `length: u32, complete: u32`, then the bytes, padded to 8 |
//!
//! Appending is wait-free, so that a process killed in the middle blocks nobody.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::sys::shared;

/// Environment variable that names the tree file.
pub const VARIABLE: &core::ffi::CStr = c"MALLOCOP_TREE";
/// First 8 bytes.
pub const MAGIC: [u8; 8] = *b"mallocop";
/// Format version.
pub const VERSION: u32 = 1;
/// Where the log starts.
pub const LOG_OFFSET: usize = 4096;
/// Size of the file. The command allocates all of it beforehand: a full /dev/shm must not become a
/// SIGBUS in the program.
pub const FILE_SIZE: usize = LOG_OFFSET + (2 << 20);

/// The file's first page.
#[repr(C)]
pub struct Header {
    /// See the table above.
    pub magic: [u8; 8],
    version: AtomicU32,
    root: AtomicU32,
    findings: AtomicU32,
    processes: AtomicU32,
    allocations: AtomicU64,
    log_used: AtomicU64,
    root_exited: AtomicU32,
    exit_code: AtomicU32,
}

/// The header as the command reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Process id of the root; 0: the library was never loaded.
    pub root: u32,
    /// Findings that are errors.
    pub findings: u32,
    /// Processes that loaded the library.
    pub processes: u32,
    /// Allocations of processes that have exited.
    pub allocations: u64,
    /// Bytes of the log in use.
    pub log_used: u64,
    /// Did the root reach its exit entry?
    pub root_exited: bool,
    /// Status for findings that the root program itself asks for.
    pub exit_code: Option<u32>,
}

static TREE: AtomicPtr<Header> = AtomicPtr::new(core::ptr::null_mut());

fn tree() -> Option<&'static Header> {
    // SAFETY: null, or the header of a mapped tree file that stays mapped.
    unsafe { TREE.load(Ordering::Acquire).as_ref() }
}

/// Maps the tree file named by the environment. `false`: there is none, or not one of ours.
pub fn open(path: &core::ffi::CStr) -> bool {
    let Some(start) = shared::map_file(path, FILE_SIZE) else { return false };
    let header = start as *mut Header;
    // SAFETY: the mapping has at least a page; any bytes are valid for the header's fields.
    let fits = unsafe { (*header).magic == MAGIC }
        // SAFETY: as above.
        && unsafe { (*header).version.load(Ordering::Relaxed) } == VERSION;
    if fits {
        TREE.store(header, Ordering::Release);
    }
    fits
}

/// Is a tree file mapped?
pub fn is_open() -> bool {
    tree().is_some()
}

/// What a process is to its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first program of the tree.
    First,
    /// The same process, another program: it has called exec.
    Root,
    /// A child.
    Child,
}

/// Counts this process in and says what it is.
pub fn enter(pid: u32) -> Role {
    let Some(tree) = tree() else { return Role::Child };
    tree.processes.fetch_add(1, Ordering::Relaxed);
    match tree.root.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Role::First,
        Err(root) if root == pid => Role::Root,
        Err(_) => Role::Child,
    }
}

/// Counts a finding that is an error.
pub fn count_finding() {
    if let Some(tree) = tree() {
        tree.findings.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes the status for findings that the program asks for.
pub fn note_exit_code(code: u32) {
    if let Some(tree) = tree() {
        tree.exit_code.store(code + 1, Ordering::Relaxed);
    }
}

/// Counts this process out.
pub fn leave(allocations: u64, is_root: bool) {
    if let Some(tree) = tree() {
        tree.allocations.fetch_add(allocations, Ordering::Relaxed);
        if is_root {
            tree.root_exited.store(1, Ordering::Release);
        }
    }
}

/// Bytes that a text of `len` bytes takes in the log.
const fn entry_size(len: usize) -> usize {
    8 + len.next_multiple_of(8)
}

/// Appends a text to the log. `false`: no tree file is mapped, or it is full.
pub fn append(text: &[u8]) -> bool {
    let Some(tree) = tree() else { return false };
    let size = entry_size(text.len());
    let at = tree.log_used.fetch_add(size as u64, Ordering::AcqRel) as usize;
    if LOG_OFFSET + at + size > FILE_SIZE {
        return false;
    }
    let entry = core::ptr::from_ref(tree) as usize + LOG_OFFSET + at;
    // SAFETY: the entry lies in the mapping and was reserved for this text alone.
    unsafe {
        let words = entry as *const [AtomicU32; 2];
        let [length, complete] = &*words;
        length.store(text.len() as u32, Ordering::Release);
        core::ptr::copy_nonoverlapping(text.as_ptr(), (entry + 8) as *mut u8, text.len());
        complete.store(1, Ordering::Release);
    }
    true
}

/// The header of a fresh tree file.
pub fn fresh_header() -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(MAGIC.into_iter().chain(VERSION.to_ne_bytes())) {
        *to = from;
    }
    bytes
}

/// Reads a header; `None` if the bytes are not one of ours.
pub fn read_header(bytes: &[u8]) -> Option<Counts> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    if bytes.get(..8)? != MAGIC || word(8)? != VERSION {
        return None;
    }
    Some(Counts {
        root: word(12)?,
        findings: word(16)?,
        processes: word(20)?,
        allocations: long(24)?,
        log_used: long(32)?,
        root_exited: word(40)? != 0,
        exit_code: word(44)?.checked_sub(1),
    })
}

/// Splits the log's bytes from one entry boundary on into complete texts. Returns the texts and
/// how many bytes they take; an incomplete one ends the list, or is left out when this is the
/// `last` look and its writer must have been killed.
pub fn read_log(mut bytes: &[u8], last: bool) -> (Vec<&[u8]>, usize) {
    let total = bytes.len();
    let mut texts = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(8) {
        let word = |at: usize| {
            head.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
        };
        let (len, complete) = (word(0) as usize, word(4) == 1);
        let Some(text) = rest.get(..len).filter(|_| complete || (last && len > 0)) else { break };
        if complete {
            texts.push(text);
        }
        bytes = bytes.get(entry_size(len)..).unwrap_or(&[]);
    }
    (texts, total - bytes.len())
}

const _: () = assert!(core::mem::offset_of!(Header, exit_code) == 44);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_logs_are_read_back() {
        let mut header = [0u8; 64];
        header[..16].copy_from_slice(&fresh_header());
        assert_eq!(read_header(&header), Some(Counts::default()));
        header[16] = 3;
        assert_eq!(read_header(&header).map(|counts| counts.findings), Some(3));
        header[0] = b'x';
        assert_eq!(read_header(&header), None);

        let mut log = Vec::new();
        for (text, complete) in
            [("one", 1u32), ("", 1), ("twelve bytes", 1), ("never", 0), ("later", 1)]
        {
            log.extend((text.len() as u32).to_ne_bytes());
            log.extend(complete.to_ne_bytes());
            log.extend(text.bytes());
            log.resize(log.len().next_multiple_of(8), 0);
        }
        let (texts, used) = read_log(&log, false);
        assert_eq!(texts, [b"one".as_slice(), b"", b"twelve bytes"]);
        assert_eq!(used, 16 + 8 + 24);
        assert_eq!(read_log(&log, true).0.last(), Some(&b"later".as_slice()));
        assert_eq!(read_log(&[], false), (vec![], 0));
    }
}
