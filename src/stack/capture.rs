//! The calling stack as return addresses.
//!
//! The `backtrace` crate unwinds for now. It takes no lock and allocates nothing on glibc 2.35 and
//! later (`_dl_find_object`), but costs 100 to 160 ns a frame.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use super::depot::{self, SiteId};
use super::modules;
use crate::options::{self, Name};
use crate::sys::thread::ToolWork;

/// Most frames of a stack that are kept.
pub const MAX_FRAMES: usize = 256;

/// Frames are collected off the program's stack, which may be a small one: in one of 64 buffers.
struct Buffers {
    taken: AtomicU64,
    all: [UnsafeCell<[usize; MAX_FRAMES]>; 64],
}

// SAFETY: a buffer belongs to whoever set its bit.
unsafe impl Sync for Buffers {}

static BUFFERS: Buffers =
    Buffers { taken: AtomicU64::new(0), all: [const { UnsafeCell::new([0; MAX_FRAMES]) }; 64] };

impl Buffers {
    /// A free buffer's index, now the caller's. `None` when 64 captures are under way.
    fn take(&self) -> Option<usize> {
        let taken = self.taken.load(Ordering::Relaxed);
        let index = (!taken).trailing_zeros();
        if index == 64 {
            return None;
        }
        let before = self.taken.fetch_or(1 << index, Ordering::Acquire);
        if before & (1 << index) == 0 { Some(index as usize) } else { None }
    }

    fn put_back(&self, index: usize) {
        self.taken.fetch_and(!(1 << index), Ordering::Release);
    }
}

/// The site of the calling stack: up to `malloc_context_size` frames, without ours.
#[inline]
pub fn site() -> SiteId {
    match options::number(Name::MallocContextSize) {
        0 => SiteId::NONE,
        most => site_of(most),
    }
}

/// The site of the calling stack whatever the options say: for a finding.
#[inline(never)]
pub fn full_site() -> SiteId {
    site_of(MAX_FRAMES)
}

#[inline(never)]
fn site_of(most: usize) -> SiteId {
    let work = ToolWork::begin();
    let mut index = None;
    for _ in 0..1000 {
        index = BUFFERS.take();
        if index.is_some() {
            break;
        }
        core::hint::spin_loop();
    }
    let Some(index) = index else {
        drop(work);
        return SiteId::NONE;
    };
    let site = BUFFERS.all.get(index).map_or(SiteId::NONE, |buffer| {
        // SAFETY: the buffer's bit is ours.
        let frames = unsafe { &mut *buffer.get() };
        let count = capture(frames, most);
        depot::intern(frames.get(..count).unwrap_or(&[]))
    });
    BUFFERS.put_back(index);
    drop(work);
    site
}

/// Collects return addresses from the caller outwards, our own frames left out.
fn capture(frames: &mut [usize; MAX_FRAMES], most: usize) -> usize {
    let mut count = 0;
    let mut inside = true;
    let most = most.min(MAX_FRAMES);
    // SAFETY: nothing that the unwinder touches is changed meanwhile; it reads this thread's stack.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let pc = frame.ip() as usize;
            inside = inside && modules::is_own(pc);
            if inside {
                return true;
            }
            match frames.get_mut(count) {
                Some(slot) if count < most && pc != 0 => {
                    *slot = pc;
                    count += 1;
                    count < most
                }
                _ => false,
            }
        });
    }
    count
}
