//! What a process says of itself, and how each knows which part of the record is its own.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::layout::{LOG_PARTS, LOG_START};
use crate::heap::size::PAGE;
use crate::sys::{memory, process, shared_map};
use crate::trace::extents;
use crate::trace::extents::{ExtentKind, ExtentPlace};
use crate::trace::tree_file;

/// A process: the first bytes of an extent of its own.
#[repr(C)]
pub struct ProcessRecord {
    /// Its number in the order of their coming, from 1.
    pub serial: AtomicU32,
    /// Its id.
    pub pid: AtomicU32,
    /// Its parent's id.
    pub parent_pid: AtomicU32,
    /// Extent of the process that it was forked from; 0: it has come by exec.
    pub parent: AtomicU32,
    /// Extent of the process that has called exec: of the image that they share.
    pub image: AtomicU32,
    /// A [`ProcessState`].
    pub state: AtomicU32,
    /// Exit status, as far as the state says that there is one.
    pub status: AtomicU32,
    /// Bytes of the log in use.
    pub log_used: AtomicU32,
    /// Entries of the log for which there was no room.
    pub lost: AtomicU32,
    /// Number of the namespace that its id is of; 0: not known.
    pub namespace: AtomicU32,
    /// At its end: blocks allocated.
    pub allocations: AtomicU64,
    /// At its end: blocks freed.
    pub frees: AtomicU64,
    /// At its end: bytes allocated.
    pub allocated: AtomicU64,
    /// At its end: most bytes live at once.
    pub peak: AtomicU64,
    /// Serial number of the process that it was forked from: the extent may be another's by now.
    pub parent_serial: AtomicU32,
    /// Forks that have returned to it, by libc's function, also those that have failed.
    pub forks: AtomicU32,
    /// Is it the child of one of these? Not one of clone(2) or `_Fork`.
    pub is_counted: AtomicU32,
    reserved: [u8; 172],
    /// Extents with the rest of the log.
    pub(crate) log: [AtomicU32; LOG_PARTS],
    /// The image, if this process has called exec.
    pub image_record: ProcessImage,
}

/// What processes share that were forked from each other: addresses mean the same in all of them.
#[repr(C)]
pub struct ProcessImage {
    /// Number of the next site.
    pub next_site: AtomicU32,
    /// Extents of [`ExtentKind::Sites`]; 0: none yet.
    pub sites: [AtomicU32; SITE_SEGMENTS],
}

/// Extents of an image's sites.
pub const SITE_SEGMENTS: usize = 511;

impl ProcessImage {
    /// None yet.
    pub const fn new() -> Self {
        Self { next_site: AtomicU32::new(1), sites: [const { AtomicU32::new(0) }; SITE_SEGMENTS] }
    }
}

impl Default for ProcessImage {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a process stands, as far as it has said so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProcessState {
    /// It runs, or was killed.
    Running = 1,
    /// It has come to its exit entry: all was looked at.
    Exited = 2,
    /// It has left by _exit.
    Left = 3,
    /// It is about to be another program, or is one.
    Executing = 4,
}

impl ProcessState {
    /// The state with that number.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Running,
            2 => Self::Exited,
            3 => Self::Left,
            4 => Self::Executing,
            _ => return None,
        })
    }
}

/// The relation of a process to its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first program of the tree.
    First,
    /// The same process, another program: it has called exec.
    Root,
    /// A child.
    Child,
}

/// Extent of this process; 0 in a child that has none of its own yet. In a page that no child
/// inherits.
static SLOT: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());
/// The extent that this memory's last owner had: a child's parent, if its own is 0.
static LAST: AtomicU32 = AtomicU32::new(0);
/// That process's serial number.
static LAST_SERIAL: AtomicU32 = AtomicU32::new(0);
static IMAGE: AtomicU32 = AtomicU32::new(0);

/// Extent of the calling process, claimed if it is a child that has none. `None`: there is no tree
/// file, or no room.
pub fn slot() -> Option<u32> {
    tree_file::header()?;
    // SAFETY: null, or a word that stays mapped.
    let slot = unsafe { SLOT.load(Ordering::Acquire).as_ref() }?;
    match slot.load(Ordering::Relaxed) {
        0 => claim(slot, LAST.load(Ordering::Relaxed), false),
        number => Some(number),
    }
}

/// The calling process's own part of the record.
pub(crate) fn mine() -> Option<&'static ProcessRecord> {
    at(slot()?)
}

fn at(number: u32) -> Option<&'static ProcessRecord> {
    // SAFETY: an extent that was claimed for a process, and stays mapped.
    extents::address(number).map(|address| unsafe { &*(address as *const ProcessRecord) })
}

/// Extent of the image that the process runs.
pub(crate) fn image_number() -> Option<u32> {
    Some(IMAGE.load(Ordering::Relaxed)).filter(|&number| number != 0)
}

/// The image that the process runs; `None` without a tree file.
pub fn image() -> Option<&'static ProcessImage> {
    at(image_number()?).map(|process| &process.image_record)
}

/// Claims an extent for what the calling process has to record, zeroed; in private memory where
/// there is no tree file, or no room in it. `None`: no memory.
#[cold]
pub fn claim_extent(kind: ExtentKind, index: u32) -> Option<ExtentPlace> {
    let owner = match kind {
        ExtentKind::Sites => image_number(),
        _ => slot(),
    };
    let shared = owner.and_then(|owner| extents::claim_shared(Some(owner), kind, index));
    shared.or_else(extents::claim_private)
}

/// Claims an extent for the calling process; `parent`: for the one it was forked from, 0: for none.
#[cold]
fn claim(slot: &AtomicU32, parent: u32, is_counted: bool) -> Option<u32> {
    let header = tree_file::header()?;
    let number = extents::claim_shared(None, ExtentKind::Process, 0)?.number;
    let process = at(number)?;
    if parent == 0 {
        IMAGE.store(number, Ordering::Relaxed);
        process.image_record.next_site.store(1, Ordering::Relaxed);
    }
    process.namespace.store(process::namespace(), Ordering::Relaxed);
    let before = header.processes.fetch_add(1, Ordering::Relaxed);
    let serial = before.wrapping_add(1);
    process.serial.store(serial, Ordering::Relaxed);
    process.pid.store(process::id(), Ordering::Relaxed);
    process.parent_pid.store(process::parent_id(), Ordering::Relaxed);
    process.parent.store(parent, Ordering::Relaxed);
    process.is_counted.store(u32::from(is_counted), Ordering::Relaxed);
    let parent_serial = if parent == 0 { 0 } else { LAST_SERIAL.load(Ordering::Relaxed) };
    process.parent_serial.store(parent_serial, Ordering::Relaxed);
    process.image.store(IMAGE.load(Ordering::Relaxed), Ordering::Relaxed);
    process.state.store(ProcessState::Running as u32, Ordering::Release);
    slot.store(number, Ordering::Release);
    LAST.store(number, Ordering::Relaxed);
    LAST_SERIAL.store(serial, Ordering::Relaxed);
    header.activity.fetch_add(1, Ordering::Release);
    Some(number)
}

/// Maps the tree file, and counts this process in. `None`: there is none, or it cannot be used.
pub fn enter(path: &core::ffi::CStr) -> Option<Role> {
    if !tree_file::open(path) {
        return None;
    }
    extents::note_first_window(core::ptr::from_ref(tree_file::header()?) as usize);
    let page = memory::map(PAGE)?;
    // SAFETY: a page of ours; a zero in a child says that it has no extent of its own.
    unsafe { shared_map::wipe_on_fork(page, PAGE) };
    SLOT.store(page as *mut AtomicU32, Ordering::Release);
    count_in()
}

/// Counts this process in as a program of its own. Who calls it again begins anew in a file that is
/// empty again: what was claimed there before is forgotten. `None`: no file is mapped, or there is
/// no room in it.
pub fn count_in() -> Option<Role> {
    let header = tree_file::header()?;
    extents::look_anew();
    // SAFETY: null, or a word that stays mapped.
    claim(unsafe { SLOT.load(Ordering::Acquire).as_ref() }?, 0, false)?;
    let pid = process::id();
    match header.root.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(Role::First),
        Err(root) if root == pid => Some(Role::Root),
        Err(_) => Some(Role::Child),
    }
}

/// In a forked child: it claims a part of its own. At once, so that whoever reads knows of it: as
/// long as it lives the addresses of those that it was forked from mean something.
pub fn renew_after_fork() {
    // SAFETY: null, or a word that stays mapped.
    if let Some(slot) = unsafe { SLOT.load(Ordering::Acquire).as_ref() } {
        // Done already where the kernel wipes the page; another handler may have allocated since.
        if !shared_map::wipes_on_fork() {
            slot.store(0, Ordering::Relaxed);
        }
        if slot.load(Ordering::Relaxed) == 0 {
            claim(slot, LAST.load(Ordering::Relaxed), true);
        }
        // It has claimed a part already if another handler has allocated.
        let number = slot.load(Ordering::Relaxed);
        if let Some(process) = if number == 0 { None } else { at(number) } {
            process.is_counted.store(1, Ordering::Release);
        }
    }
}

/// In the parent, after a fork: a child counts itself in, now or soon.
pub fn count_fork() {
    if let Some(process) = mine() {
        process.forks.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a finding that is an error.
pub fn count_finding() {
    if let Some(header) = tree_file::header() {
        header.findings.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes the status for findings that the program asks for.
pub fn note_exit_code(code: u32) {
    if let Some(header) = tree_file::header() {
        header.exit_code.store(code + 1, Ordering::Relaxed);
    }
}

/// Notes what the process has allocated and freed.
pub fn note_totals(allocations: u64, frees: u64, allocated: u64, peak: u64) {
    if let Some(process) = mine() {
        process.allocations.store(allocations, Ordering::Relaxed);
        process.frees.store(frees, Ordering::Relaxed);
        process.allocated.store(allocated, Ordering::Relaxed);
        process.peak.store(peak, Ordering::Relaxed);
    }
}

/// Notes how the process ends.
pub fn end(state: ProcessState, status: u32) {
    if let Some(process) = mine() {
        note_state(process, state, status);
    }
}

/// The same for a process that may be one in name only, after vfork, and for one that has nothing
/// to say: they are left as they are. Was it noted? Makes a system call; safe in signal handlers.
pub fn end_if_own(state: ProcessState) -> bool {
    // SAFETY: null, or a word that stays mapped.
    let slot = unsafe { SLOT.load(Ordering::Acquire).as_ref() }
        .map_or(0, |slot| slot.load(Ordering::Relaxed));
    let Some(process) = (if slot == 0 { None } else { at(slot) }) else { return false };
    let is_own = process.pid.load(Ordering::Relaxed) == process::id();
    if is_own && process.state.load(Ordering::Relaxed) != ProcessState::Exited as u32 {
        note_state(process, state, 0);
    }
    is_own
}

fn note_state(process: &ProcessRecord, state: ProcessState, status: u32) {
    if let Some(header) = tree_file::header() {
        process.status.store(status, Ordering::Relaxed);
        process.state.store(state as u32, Ordering::Release);
        header.activity.fetch_add(1, Ordering::Release);
    }
}

const _: () = assert!(core::mem::offset_of!(ProcessRecord, log) == 256);
const _: () = assert!(core::mem::offset_of!(ProcessRecord, image_record) == 256 + 4 * LOG_PARTS);
const _: () = assert!(size_of::<ProcessRecord>() <= LOG_START);
