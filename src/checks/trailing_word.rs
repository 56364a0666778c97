//! The 8 bytes right behind a block's canary: the word of the next chunk, or room that its own
//! chunk has left over. The canary of a block whose size is a multiple of 16 has 8 bytes; a write 8
//! bytes past the end shows here.

use crate::arena::size_class::Class;
use crate::checks::damaged_bytes::describe;
use crate::checks::header::end_in_chunk;
use crate::checks::layout::{Canaries, LEAD, pattern_of};
use crate::heap::size::{GRANULE, WORD};
use crate::heap::{is_sound, size_unverified};
use crate::model::finding::{Damage, Side};

/// Where the chunk of the block at `user` starts.
const fn chunk_of(user: usize) -> usize {
    user - LEAD - WORD
}

impl Canaries {
    /// The key of all heaps' chunk words.
    pub(crate) const fn heap_key(self) -> u64 {
        heap_key(self.key)
    }

    /// Fills the first word of what the chunk has left over behind a fresh block, if it has any.
    ///
    /// # Safety
    /// The block's head and canaries are written, and it is ours alone; its chunk is of that class,
    /// if of any.
    #[inline(always)]
    pub(crate) unsafe fn write_behind(self, user: usize, size: usize, class: Option<Class>) {
        // Of these classes a chunk is as long as its block, but for a granule now and then.
        if class.is_some_and(Class::is_fine) {
            return;
        }
        let (chunk, end) = (chunk_of(user), end_in_chunk(user, size));
        // SAFETY: a chunk's word stands in front of its payload.
        let chunk_size = unsafe { size_unverified(chunk) };
        // A word that was overwritten meanwhile says nothing.
        if chunk + chunk_size != end && is_plausible(chunk_size, class, end - chunk) {
            // SAFETY: between the block's canary and its chunk's end; both are multiples of 8, 16
            // bytes apart at least.
            unsafe { (end as *mut u64).write(pattern_of(self, user)) };
        }
    }

    /// Is what lies right behind a block as it should be? If not, [`Canaries::behind_damage`] says
    /// so under the heap's lock.
    ///
    /// # Safety
    /// A block of that size starts at `user` and has no mapping of its own.
    #[inline(always)]
    pub(crate) unsafe fn holds_behind(
        self,
        user: usize,
        size: usize,
        class: Option<Class>,
    ) -> bool {
        let (chunk, end) = (chunk_of(user), end_in_chunk(user, size));
        // SAFETY: behind a block's canary there is a chunk's word, or room of the block's own
        // chunk.
        unsafe {
            let chunk_size = size_unverified(chunk);
            if chunk + chunk_size == end {
                return is_sound(self.heap_key(), end);
            }
            is_plausible(chunk_size, class, end - chunk)
                && (class.is_some_and(Class::is_fine)
                    || (end as *const u64).read() == pattern_of(self, user))
        }
    }

    /// The damage right behind a block. `None`: there is none, or the chunk's own word is damaged.
    ///
    /// # Safety
    /// As [`Canaries::holds_behind`]; the lock of the block's heap is held. `class`: the block's,
    /// if it is a cached one.
    pub(crate) unsafe fn behind_damage(
        self,
        user: usize,
        size: usize,
        class: Option<Class>,
    ) -> Option<Damage> {
        let (chunk, end) = (chunk_of(user), end_in_chunk(user, size));
        // SAFETY: a chunk's word stands in front of its payload, and others behind the block's
        // canary.
        unsafe {
            if !is_sound(self.heap_key(), chunk) {
                return None;
            }
            if self.holds_behind(user, size, class) {
                return None;
            }
            if chunk + size_unverified(chunk) != end {
                // Room of the block's own chunk: nobody else's.
                let pattern = pattern_of(self, user).to_ne_bytes();
                let expected = |at: usize| pattern.get(at % WORD).copied().unwrap_or(0);
                return Some(describe(Side::Past, user, end, end + WORD, expected));
            }
            let first = (end - user) as isize;
            let last = first + 7;
            Some(Damage { first, last, changed: 1, certain: false, ..Damage::none(Side::Past) })
        }
    }
}

/// Does the chunk of a block end right behind the block's canary?
///
/// # Safety
/// A block of that size starts at `user`, and its chunk's word is mapped.
pub(crate) unsafe fn fills_its_chunk(user: usize, size: usize) -> bool {
    let chunk = chunk_of(user);
    // SAFETY: a chunk's word stands in front of its payload.
    chunk + unsafe { size_unverified(chunk) } == end_in_chunk(user, size)
}

/// The key of the heaps under a debug layer with that key.
pub(crate) const fn heap_key(key: u64) -> u64 {
    key.rotate_left(41)
}

/// Could a chunk of that class, or of so many bytes, have that size? It may have a granule that was
/// too small to be cut off.
#[inline(always)]
const fn is_plausible(chunk_size: usize, class: Option<Class>, planned: usize) -> bool {
    let least = match class {
        Some(class) => class.chunk_size(),
        None => planned,
    };
    chunk_size.wrapping_sub(least) <= GRANULE
}
