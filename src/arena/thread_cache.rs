//! A thread's cache: for each class a stack of chunks that are the thread's to give out, kept apart
//! from the chunks' own memory, which nothing here reads or writes. To the heap they are in use.

use core::ptr::NonNull;

use crate::arena::size_class::{CLASSES, Class};

/// Most bytes that the stack of a class holds, and most and least chunks.
const MOST_BYTES: usize = 32 << 10;
const MOST: usize = 128;
const LEAST: usize = 3;
/// Chunks a class holds before it has shown that it is used much.
const FIRST_LIMIT: usize = 8;
/// Bytes that it is filled with before that.
const FIRST_BYTES: usize = 1 << 10;

/// Most chunks of a class.
const fn most_of(class: Class) -> usize {
    let fits = MOST_BYTES / class.chunk_size();
    if fits > MOST {
        MOST
    } else if fits < LEAST {
        LEAST
    } else {
        fits
    }
}

/// First slot of each class, and behind the last the number of all.
const STARTS: [u16; CLASSES + 1] = {
    let mut starts = [0; CLASSES + 1];
    let mut index = 0;
    while let Some(class) = Class::from_index(index) {
        starts[index + 1] = starts[index] + most_of(class) as u16;
        index += 1;
    }
    starts
};
const SLOTS: usize = STARTS[CLASSES] as usize;

const _: () = assert!(SLOTS * 2 < u16::MAX as usize);

/// Eight bytes, so that a class leads to its stack by one address.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct ChunkStack {
    /// The slot above its last chunk.
    top: u16,
    /// Its first slot.
    bottom: u16,
    /// The slot that `top` may rise to now; rises with use.
    limit: u16,
}

impl ChunkStack {
    const fn empty(start: u16) -> Self {
        Self { top: start, bottom: start, limit: start }
    }
}

/// The stacks of all classes.
pub(super) struct ThreadCache {
    stacks: [ChunkStack; CLASSES],
    slots: [usize; SLOTS],
}

impl ThreadCache {
    /// An empty cache.
    pub(super) const fn new() -> Self {
        let mut stacks = [ChunkStack::empty(0); CLASSES];
        let mut index = 0;
        while index < CLASSES {
            stacks[index] = ChunkStack::empty(STARTS[index]);
            index += 1;
        }
        Self { stacks, slots: [0; SLOTS] }
    }

    /// Makes all-zero memory an empty cache.
    pub(super) fn prepare(&mut self) {
        for (stack, start) in self.stacks.iter_mut().zip(STARTS) {
            *stack = ChunkStack::empty(start);
        }
    }

    /// The chunk put in last.
    #[inline]
    pub(super) fn pop(&mut self, class: Class) -> Option<NonNull<u8>> {
        let stack = self.stacks.get_mut(class.index())?;
        if stack.top == stack.bottom {
            return None;
        }
        stack.top -= 1;
        // SAFETY: a stack's slots lie in `slots`: bottom <= top < limit <= bottom + most <= SLOTS.
        // Below the top they hold what was put in, which is not null.
        unsafe {
            let slot = self.slots.get_unchecked(stack.top as usize);
            Some(NonNull::new_unchecked(*slot as *mut u8))
        }
    }

    /// Puts a chunk in. `false`: the stack is full.
    #[inline]
    pub(super) fn push(&mut self, class: Class, payload: NonNull<u8>) -> bool {
        let Some(stack) = self.stacks.get_mut(class.index()) else { return false };
        let top = stack.top;
        if top >= stack.limit {
            return false;
        }
        // SAFETY: `top` is below the class's limit, which is at most the number of slots.
        let slot = unsafe { self.slots.get_unchecked_mut(top as usize) };
        *slot = payload.as_ptr() as usize;
        // Counted last: what a fork in between copies lacks the chunk, but never has it twice.
        stack.top = top + 1;
        true
    }

    /// Chunks of a class.
    pub(super) fn count(&self, class: Class) -> usize {
        self.stacks.get(class.index()).map_or(0, |stack| usize::from(stack.top - stack.bottom))
    }

    /// Lets a class hold more, because it is in use. `false`: it holds the most already.
    pub(super) fn widen(&mut self, class: Class) -> bool {
        let most = most_of(class);
        let Some(stack) = self.stacks.get_mut(class.index()) else { return false };
        let now = usize::from(stack.limit - stack.bottom);
        if now >= most {
            return false;
        }
        let limit = (now * 2).clamp(FIRST_LIMIT, MOST).min(most);
        stack.limit = stack.bottom + limit as u16;
        true
    }

    /// How many chunks an empty class gets. The first time few: a thread may never ask again.
    pub(super) fn batch(&mut self, class: Class) -> usize {
        let is_new =
            self.stacks.get(class.index()).is_some_and(|stack| stack.limit == stack.bottom);
        self.widen(class);
        if is_new {
            return (FIRST_BYTES / class.chunk_size()).clamp(1, FIRST_LIMIT / 2);
        }
        let limit = self.stacks.get(class.index()).map_or(1, |stack| stack.limit - stack.bottom);
        usize::from(limit / 2).max(1)
    }

    /// Hands the `count` oldest chunks of a class to `take`, which says how many it took. Those
    /// stay that it did not.
    pub(super) fn drain(
        &mut self,
        class: Class,
        count: usize,
        take: impl FnOnce(&[usize]) -> usize,
    ) {
        let Some(stack) = self.stacks.get_mut(class.index()) else { return };
        let Some(slots) = self.slots.get_mut(stack.bottom.into()..stack.top.into()) else { return };
        let held = slots.len();
        let taken = take(slots.get(..count.min(held)).unwrap_or(&[])).min(held);
        slots.copy_within(taken.., 0);
        stack.top -= taken as u16;
    }

    /// Bytes of all chunks held.
    pub(super) fn bytes(&self) -> usize {
        Class::all().map(|class| self.count(class) * class.chunk_size()).sum()
    }
}

impl Default for ThreadCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(i: usize) -> NonNull<u8> {
        NonNull::new((i * 16) as *mut u8).expect("not null")
    }

    #[test]
    fn classes_are_stacks_of_their_own() {
        let mut cache = ThreadCache::new();
        for class in Class::all() {
            assert!(!cache.push(class, payload(1)), "no room before the class is used");
            while cache.widen(class) {}
            let mut count = 0;
            while cache.push(class, payload(class.index() * 1000 + count + 1)) {
                count += 1;
            }
            assert_eq!(count, most_of(class));
        }
        for class in Class::all() {
            cache.drain(class, 1, |oldest| {
                assert_eq!(oldest, [payload(class.index() * 1000 + 1).as_ptr() as usize]);
                1
            });
            for left in (1..most_of(class)).rev() {
                assert_eq!(cache.pop(class), Some(payload(class.index() * 1000 + left + 1)));
            }
            assert_eq!(cache.pop(class), None);
        }
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn a_drain_that_stops_keeps_the_rest_in_order() {
        let class = Class::all().next().expect("a class");
        let mut cache = ThreadCache::new();
        cache.widen(class);
        (1..=8).for_each(|i| assert!(cache.push(class, payload(i))));
        cache.drain(class, 6, |oldest| {
            assert_eq!(oldest.len(), 6);
            3
        });
        assert_eq!(cache.count(class), 5);
        for i in (4..=8).rev() {
            assert_eq!(cache.pop(class), Some(payload(i)));
        }
    }
}
