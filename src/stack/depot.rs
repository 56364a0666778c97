//! The depot: each distinct stack is stored once; its [`SiteId`] stands for it everywhere else.
//!
//! Reading takes no lock. Storing a stack at first sight takes the depot's. Storage grows by
//! mapped pieces up to 4 GiB; stacks seen after that have no site, which the report says.

use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::sys::lock::Lock;
use crate::sys::memory;

/// Names a stored stack: the position of its record, 29 bits. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

impl SiteId {
    /// No stack: not captured, or not stored.
    pub const NONE: Self = Self(0);
}

/// Words in a piece of the log.
const PIECE_WORDS: usize = 1 << 19;
const PIECES: usize = 1 << 10;
/// Words in front of a record's frames: hash, number of frames.
const RECORD_HEAD: usize = 2;
/// Slots of the first table; each further one has twice as many.
const FIRST_SLOTS: usize = 1 << 14;
const TABLES: usize = 14;
/// Slots looked at in each table.
const PROBES: usize = 8;
const ID_BITS: u32 = 29;

static LOG: [AtomicPtr<u64>; PIECES] = [const { AtomicPtr::new(core::ptr::null_mut()) }; PIECES];
static INDEX: [AtomicPtr<AtomicU64>; TABLES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; TABLES];
/// Next free word of the log; word 0 is never used, so that 0 can mean none.
static NEXT: Lock<usize> = Lock::new(1);
/// Stacks that could not be stored.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// A slot: the hash's upper 35 bits, the record's position.
const fn slot_value(hash: u64, site: SiteId) -> u64 {
    (hash >> ID_BITS << ID_BITS) | site.0 as u64
}

fn hash_of(frames: &[usize]) -> u64 {
    let mut hash = 0x1234_5678_9abc_def1u64 ^ frames.len() as u64;
    for &frame in frames {
        hash = (hash.rotate_left(23) ^ frame as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash ^ (hash >> 29)
}

/// The site of a stack, stored if it is new. `NONE` for an empty stack or when storage is full.
pub fn intern(frames: &[usize]) -> SiteId {
    if frames.is_empty() {
        return SiteId::NONE;
    }
    let hash = hash_of(frames);
    match find(hash, frames) {
        Ok(site) => site,
        Err(_) => store(hash, frames),
    }
}

/// The site, or the table and slot where it belongs.
fn find(hash: u64, frames: &[usize]) -> Result<SiteId, (usize, usize)> {
    for (level, table) in INDEX.iter().enumerate() {
        let table = table.load(Ordering::Acquire);
        if table.is_null() {
            return Err((level, hash as usize & (slots_of(level) - 1)));
        }
        for probe in 0..PROBES {
            let at = (hash as usize + probe) & (slots_of(level) - 1);
            // SAFETY: a published table has that many slots.
            let value = unsafe { &*table.add(at) }.load(Ordering::Acquire);
            if value == 0 {
                return Err((level, at));
            }
            let site = SiteId((value & ((1 << ID_BITS) - 1)) as u32);
            if slot_value(hash, site) == value && is_record(site, hash, frames) {
                return Ok(site);
            }
        }
    }
    Err((TABLES, 0))
}

const fn slots_of(level: usize) -> usize {
    FIRST_SLOTS << level
}

fn record(site: SiteId) -> Option<*const u64> {
    let position = site.0 as usize;
    let piece = LOG.get(position / PIECE_WORDS)?.load(Ordering::Acquire);
    if piece.is_null() || position == 0 {
        return None;
    }
    // SAFETY: a published piece has PIECE_WORDS words.
    Some(unsafe { piece.add(position % PIECE_WORDS) })
}

/// The frames stored for a site, innermost first.
pub fn frames(site: SiteId) -> &'static [usize] {
    match record(site) {
        // SAFETY: records are written before they are published and never change; 64-bit words.
        Some(record) => unsafe {
            let count = record.add(1).read() as usize;
            core::slice::from_raw_parts(record.add(RECORD_HEAD).cast::<usize>(), count)
        },
        None => &[],
    }
}

fn is_record(site: SiteId, hash: u64, wanted: &[usize]) -> bool {
    // SAFETY: as in `frames`.
    record(site).is_some_and(|record| unsafe { record.read() } == hash) && frames(site) == wanted
}

#[cold]
fn store(hash: u64, stack: &[usize]) -> SiteId {
    let mut next = NEXT.lock();
    let (level, at) = match find(hash, stack) {
        Ok(site) => return site,
        Err(place) => place,
    };
    let stored = write_record(&mut next, hash, stack)
        .and_then(|site| table(level).map(|table| (site, table)));
    let Some((site, table)) = stored else {
        REFUSED.fetch_add(1, Ordering::Relaxed);
        return SiteId::NONE;
    };
    // SAFETY: `find` gave a slot of this table.
    unsafe { &*table.add(at) }.store(slot_value(hash, site), Ordering::Release);
    site
}

fn table(level: usize) -> Option<*mut AtomicU64> {
    let slot = INDEX.get(level)?;
    let table = slot.load(Ordering::Acquire);
    if !table.is_null() {
        return Some(table);
    }
    let fresh = memory::map(slots_of(level) * 8)? as *mut AtomicU64;
    slot.store(fresh, Ordering::Release);
    Some(fresh)
}

fn write_record(next: &mut usize, hash: u64, stack: &[usize]) -> Option<SiteId> {
    let need = RECORD_HEAD + stack.len();
    let mut position = *next;
    if position % PIECE_WORDS + need > PIECE_WORDS {
        position = (position / PIECE_WORDS + 1) * PIECE_WORDS;
    }
    let slot = LOG.get(position / PIECE_WORDS)?;
    if slot.load(Ordering::Acquire).is_null() {
        slot.store(memory::map(PIECE_WORDS * 8)? as *mut u64, Ordering::Release);
    }
    let at = slot.load(Ordering::Acquire);
    // SAFETY: the piece has room for the record from `position` on, and nobody else writes there.
    unsafe {
        let record = at.add(position % PIECE_WORDS);
        record.write(hash);
        record.add(1).write(stack.len() as u64);
        let frames = record.add(RECORD_HEAD).cast::<usize>();
        core::ptr::copy_nonoverlapping(stack.as_ptr(), frames, stack.len());
    }
    *next = position + need;
    u32::try_from(position).ok().map(SiteId)
}

/// Number of stacks that found no room.
pub fn refused() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

/// Takes the depot's lock to hold it over fork.
pub fn hold_over_fork(interrupted: bool) -> bool {
    NEXT.hold_over_fork(interrupted)
}

/// Gives it back in parent and child.
///
/// # Safety
/// The calling thread called [`hold_over_fork`], which returned true.
pub unsafe fn release_after_fork() {
    // SAFETY: as the caller says.
    unsafe { NEXT.release_after_fork() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stacks_share_a_site_and_come_back_whole() {
        let stack: Vec<usize> = (1..100).map(|i| i * 0x1111).collect();
        let site = intern(&stack);
        assert_ne!(site, SiteId::NONE);
        assert_eq!(intern(&stack), site);
        assert_eq!(frames(site), stack);
        assert_ne!(intern(&stack[1..]), site);
        assert_eq!(intern(&[]), SiteId::NONE);
        assert_eq!(frames(SiteId::NONE), &[] as &[usize]);
    }

    #[test]
    fn threads_agree_on_two_hundred_thousand_stacks() {
        let work = || {
            (0..100_000usize)
                .map(|i| intern(&[i * 16 + 1, i ^ 0x5555, 0x40_0000, i % 7]))
                .collect::<Vec<_>>()
        };
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(work), scope.spawn(work));
            (one.join().expect("no panic"), two.join().expect("no panic"))
        });
        assert_eq!(one, two);
        let mut distinct = one;
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 100_000);
        assert_eq!(refused(), 0);
    }
}
