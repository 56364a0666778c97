//! The tree file, mapped: its header, and its windows.

use core::ffi::CStr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::layout::{EXTENT, FIRST_EXTENT, MAGIC, MOST_EXTENTS, VERSION};
use crate::sys::shared_map;

/// The file's first bytes.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: AtomicU32,
    /// Extents of this file.
    pub extents: AtomicU32,
    /// Process id of the tree's root; 0: it has not started.
    pub root: AtomicU32,
    /// Findings that are errors, over all processes.
    pub findings: AtomicU32,
    /// Processes so far: of each exec and of each fork one.
    pub processes: AtomicU32,
    /// Raised when there is something new to read.
    pub activity: AtomicU32,
    /// Extent from which on a free one is looked for.
    pub hint: AtomicU32,
    /// Every extent from this one on is free and was never used.
    pub used: AtomicU32,
    /// Status for findings as the root program itself asks for it, plus one; 0: it does not.
    pub exit_code: AtomicU32,
    /// Raised when the command has given extents back.
    pub given_back: AtomicU32,
}

/// Where in the file the extent stands from which on a free one is looked for.
pub const HINT_AT: u64 = core::mem::offset_of!(Header, hint) as u64;

/// Where in the file that counter stands.
pub const GIVEN_BACK_AT: u64 = core::mem::offset_of!(Header, given_back) as u64;

/// Bytes that are mapped at a time.
pub(crate) const WINDOW: usize = 4 << 20;
/// Extents in a window: a file has whole windows.
pub const IN_WINDOW: u32 = (WINDOW / EXTENT) as u32;

static HEADER: AtomicPtr<Header> = AtomicPtr::new(core::ptr::null_mut());
/// Extents of the file, as it was opened: the header may be written over.
static EXTENTS: AtomicU32 = AtomicU32::new(0);

/// Extents of the file; 0: none is mapped.
pub(crate) fn extents() -> u32 {
    EXTENTS.load(Ordering::Relaxed)
}

/// The header, if a file is mapped.
pub(crate) fn header() -> Option<&'static Header> {
    // SAFETY: null, or the start of a mapping that stays.
    unsafe { HEADER.load(Ordering::Acquire).as_ref() }
}

/// Is a tree file mapped?
pub fn is_open() -> bool {
    header().is_some()
}

/// Maps the tree file. `false`: there is none, or not one of ours.
pub(crate) fn open(path: &CStr) -> bool {
    let Some((start, length)) = shared_map::map_file(path, WINDOW) else { return false };
    let header = start as *mut Header;
    // SAFETY: the mapping is larger than the header, for which any bytes are valid.
    let found = unsafe { &*header };
    let extents = found.extents.load(Ordering::Relaxed);
    let fits = found.magic == MAGIC
        && found.version.load(Ordering::Relaxed) == VERSION
        && (FIRST_EXTENT..=MOST_EXTENTS).contains(&extents)
        // What is not there would be a SIGBUS.
        && extents as usize * EXTENT <= length;
    if fits {
        EXTENTS.store(extents, Ordering::Relaxed);
        HEADER.store(header, Ordering::Release);
    }
    fits
}

/// Maps a window of the file.
pub(crate) fn map_window(number: u32) -> Option<usize> {
    let header = header()?;
    let offset = number as usize * WINDOW;
    if number * IN_WINDOW >= extents() {
        return None;
    }
    let start = core::ptr::from_ref(header) as usize;
    // SAFETY: the start of the mapping; the file has whole windows.
    unsafe { shared_map::map_further(start, offset, WINDOW) }
}

/// The header of a fresh file of so many extents.
pub fn fresh_header(extents: u32) -> [u8; 40] {
    let mut bytes = [0; 40];
    let words = [VERSION, extents, 0, 0, 0, 0, FIRST_EXTENT, FIRST_EXTENT];
    let all = MAGIC.into_iter().chain(words.into_iter().flat_map(u32::to_ne_bytes));
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    bytes
}

const _: () = assert!(core::mem::offset_of!(Header, exit_code) == 40);
