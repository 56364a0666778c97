//! Extents: room for what is recorded, in the tree file or, where there is none or no room in it,
//! in private memory.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::layout::{EXTENT, FIRST_EXTENT, MOST_EXTENTS, TAGS, UNIT, UNITS};
use crate::sys::{memory, seccomp};
use crate::trace::tree_file;
use crate::trace::tree_file::{IN_WINDOW, WINDOW};

/// The kind of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExtentKind {
    /// A process, and the start of its log.
    Process = 1,
    /// More of a process's log.
    Log = 2,
    /// Nodes.
    Nodes = 3,
    /// Nodes of the sites from index times [`SITES`](crate::trace::SITES) on, of an image.
    Sites = 4,
    /// Counts of the sites from index times [`COUNTED`](crate::trace::COUNTED) on, of one thread.
    Counts = 5,
    /// Portions of the sites from index times [`PORTIONS`](crate::trace::PORTIONS) on.
    Portions = 6,
}

impl ExtentKind {
    /// The kind with that number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Process,
            2 => Self::Log,
            3 => Self::Nodes,
            4 => Self::Sites,
            5 => Self::Counts,
            6 => Self::Portions,
            _ => return None,
        })
    }
}

/// An extent of the caller's: its number and where it is in memory.
#[derive(Clone, Copy, Debug)]
pub struct ExtentPlace {
    /// Its number; from [`MOST_EXTENTS`] on it is private.
    pub number: u32,
    /// Address of its first byte; all of them are 0 at first.
    pub address: usize,
}

/// Windows of the file, and as many of private memory; 0: not mapped.
static WINDOWS: [AtomicUsize; 2 * (MOST_EXTENTS / IN_WINDOW) as usize] =
    [const { AtomicUsize::new(0) }; 2 * (MOST_EXTENTS / IN_WINDOW) as usize];
/// Has this process found no free extent? It does not look for one again before some were given
/// back.
static IS_FULL: AtomicBool = AtomicBool::new(false);
/// How often that had happened when it last looked.
static GIVEN_BACK: AtomicU32 = AtomicU32::new(0);
/// Private extents claimed so far.
static PRIVATE: AtomicU32 = AtomicU32::new(0);

/// Address of an extent, mapped if need be.
pub(crate) fn address(number: u32) -> Option<usize> {
    let window = WINDOWS.get((number / IN_WINDOW) as usize)?;
    let known = window.load(Ordering::Acquire);
    let start = if known == 0 { map(number / IN_WINDOW, window)? } else { known };
    Some(start + (number % IN_WINDOW) as usize * EXTENT)
}

#[cold]
fn map(number: u32, window: &AtomicUsize) -> Option<usize> {
    let is_private = number >= MOST_EXTENTS / IN_WINDOW;
    // A filter may forbid the call that maps a window.
    if !is_private && seccomp::is_installed() {
        return None;
    }
    let fresh = if is_private { memory::map(WINDOW)? } else { tree_file::map_window(number)? };
    match window.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(fresh),
        Err(other) => {
            // SAFETY: mapped just now, and nobody has seen it.
            unsafe { memory::unmap(fresh, WINDOW) };
            Some(other)
        }
    }
}

/// Address of a unit, which its owner has claimed; `None` for numbers that none can have.
#[inline]
pub fn unit(number: u32) -> Option<usize> {
    address(number / UNITS).map(|start| start + (number % UNITS) as usize * UNIT)
}

/// One in private memory, zeroed. `None`: no memory.
pub(crate) fn claim_private() -> Option<ExtentPlace> {
    let below = |number: u32| (number < MOST_EXTENTS).then_some(number + 1);
    let taken = PRIVATE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()?;
    let number = MOST_EXTENTS + taken;
    Some(ExtentPlace { number, address: address(number)? })
}

/// One in the file; without an owner it belongs to itself.
pub(crate) fn claim_shared(
    owner: Option<u32>,
    kind: ExtentKind,
    index: u32,
) -> Option<ExtentPlace> {
    let header = tree_file::header()?;
    let given_back = header.given_back.load(Ordering::Acquire);
    let is_as_before = GIVEN_BACK.swap(given_back, Ordering::Relaxed) == given_back;
    if is_as_before && IS_FULL.load(Ordering::Relaxed) {
        return None;
    }
    let extents = tree_file::extents();
    let first = header.hint.load(Ordering::Relaxed).clamp(FIRST_EXTENT, extents);
    let number = (first..extents).chain(FIRST_EXTENT..first).find(|&number| {
        let tag = tag_of(owner.unwrap_or(number), kind, index);
        tag_at(number).is_some_and(|place| {
            place.load(Ordering::Relaxed) == 0
                && place.compare_exchange(0, tag, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    });
    IS_FULL.store(number.is_none(), Ordering::Relaxed);
    let number = number?;
    header.hint.store(number + 1, Ordering::Relaxed);
    header.used.fetch_max(number + 1, Ordering::Relaxed);
    let place = address(number);
    if place.is_none()
        && let Some(tag) = tag_at(number)
    {
        tag.store(0, Ordering::Release);
    }
    Some(ExtentPlace { number, address: place? })
}

/// A free extent is looked for again, even if there was none.
pub(crate) fn look_anew() {
    IS_FULL.store(false, Ordering::Relaxed);
}

fn tag_at(number: u32) -> Option<&'static AtomicU64> {
    let start = core::ptr::from_ref(tree_file::header()?) as usize + TAGS;
    // SAFETY: the tags of all extents lie in the first window, which stays mapped.
    (number < MOST_EXTENTS).then(|| unsafe { &*(start as *const AtomicU64).add(number as usize) })
}

/// Whose an extent is and what is in it: the owner in the lower half, then the kind, then the index
/// in 24 bits.
pub(crate) const fn tag_of(owner: u32, kind: ExtentKind, index: u32) -> u64 {
    owner as u64 | (kind as u64) << 32 | (index as u64) << 40
}

/// Window 0 is mapped with the header.
pub(crate) fn note_first_window(start: usize) {
    if let Some(first) = WINDOWS.first() {
        first.store(start, Ordering::Release);
    }
}
