//! Threads that have ended: libc keeps their stacks for the next, with whatever lies on them.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::thread;

/// What [`thread::pointer`] was in the last ones.
static DESCRIPTORS: [AtomicUsize; 1 << 10] = [const { AtomicUsize::new(0) }; 1 << 10];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Notes that the calling thread ends.
pub fn note() {
    let at = COUNT.fetch_add(1, Ordering::Relaxed) % DESCRIPTORS.len();
    if let Some(slot) = DESCRIPTORS.get(at) {
        slot.store(thread::pointer(), Ordering::Relaxed);
    }
}

/// The descriptors of the last 1024 that have ended. Another thread may have the same by now.
pub fn descriptors() -> impl Iterator<Item = usize> {
    DESCRIPTORS.iter().map(|slot| slot.load(Ordering::Relaxed)).take_while(|&pointer| pointer != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there() {
        note();
        assert!(descriptors().any(|descriptor| descriptor == thread::pointer()));
    }
}
