//! A process's log: what it has to say, in the order in which it was found.
//!
//! An entry is `length: u32, kind: u16, complete: u16`, then so many bytes, padded to 8. None lies
//! across the end of a part: a length of [`SKIP`] says that the next one is at the start of the
//! next part.

use core::sync::atomic::{AtomicU32, Ordering};

use super::layout::EXTENT;
use super::layout::LOG_START as START;
use crate::trace::extents;
use crate::trace::extents::ExtentKind;
use crate::trace::{process, tree_file};

/// Bytes of the first part.
pub(crate) const FIRST: usize = EXTENT - START;
/// Length of what fills a part up.
pub(crate) const SKIP: u32 = u32::MAX;
/// Most bytes in an entry.
pub const MOST: usize = FIRST - 8;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum LogEntry {
    /// The program: the path of its file.
    Program = 1,
    /// A loaded module.
    Module = 2,
    /// A line for the reader, or several.
    Text = 3,
    /// A finding.
    Finding = 4,
    /// Blocks of one site that are lost.
    Leak = 5,
    /// One of them.
    Object = 6,
    /// Blocks of one site that can be reached.
    Reachable = 7,
    /// The end of a leak check, with its sum: what stands in front of it belongs to it.
    Sum = 8,
    /// A program that was started and cannot be watched: why, and its path.
    Unwatched = 9,
    /// A deadly signal.
    Fault = 10,
}

impl LogEntry {
    /// The entry with that number.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Program,
            2 => Self::Module,
            3 => Self::Text,
            4 => Self::Finding,
            5 => Self::Leak,
            6 => Self::Object,
            7 => Self::Reachable,
            8 => Self::Sum,
            9 => Self::Unwatched,
            10 => Self::Fault,
            _ => return None,
        })
    }
}

/// The part of the log that a position is in, and where in its extent.
pub(crate) const fn part_of(position: usize) -> (usize, usize) {
    match position.checked_sub(FIRST) {
        None => (0, START + position),
        Some(rest) => (1 + rest / EXTENT, rest % EXTENT),
    }
}

/// Appends an entry to the calling process's log. `false`: there is no tree file, or no room.
pub fn append(kind: LogEntry, bytes: &[u8]) -> bool {
    let Some(process) = process::mine() else { return false };
    let size = 8 + bytes.len().next_multiple_of(8);
    let Some(entry) = (bytes.len() <= MOST).then(|| reserve(process, size)).flatten() else {
        process.lost.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    // SAFETY: so many bytes there were reserved for this entry alone. The length comes first: what
    // is never completed can be passed over.
    unsafe {
        let [length, rest] = &*(entry as *const [AtomicU32; 2]);
        length.store(bytes.len() as u32, Ordering::Release);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), (entry + 8) as *mut u8, bytes.len());
        rest.store(kind as u32 | 1 << 16, Ordering::Release);
    }
    if let Some(header) = tree_file::header() {
        header.activity.fetch_add(1, Ordering::Release);
    }
    true
}

/// Address of `size` bytes of the log.
fn reserve(process: &process::ProcessRecord, size: usize) -> Option<usize> {
    loop {
        let used = process.log_used.load(Ordering::Acquire) as usize;
        let (part, at) = part_of(used);
        let start = start_of(process, part)?;
        let fits = at + size <= EXTENT;
        let next = if fits { used + size } else { used + (EXTENT - at) };
        let (done, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        if process.log_used.compare_exchange(used as u32, next as u32, done, failed).is_err() {
            continue;
        }
        if fits {
            return Some(start + at);
        }
        if at < EXTENT {
            // SAFETY: the rest of the part, at least 8 bytes, is this caller's alone.
            unsafe { (*((start + at) as *const AtomicU32)).store(SKIP, Ordering::Release) };
        }
    }
}

/// Address of the extent with a part of the log, claimed if need be.
fn start_of(process: &process::ProcessRecord, part: usize) -> Option<usize> {
    let Some(rest) = part.checked_sub(1) else {
        return Some(core::ptr::from_ref(process) as usize);
    };
    let slot = process.log.get(rest)?;
    let known = slot.load(Ordering::Acquire);
    if known != 0 {
        return extents::address(known);
    }
    let fresh = extents::claim_shared(process::slot(), ExtentKind::Log, part as u32)?;
    match slot.compare_exchange(0, fresh.number, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(fresh.address),
        // Another thread was first; the extent goes unused.
        Err(other) => extents::address(other),
    }
}
