//! All arenas of the process, and which thread owns which.

use crate::arena::Arena;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use crate::heap::{PageSource, Tuning};
use crate::sys::lock::{Hold, Lock};
use crate::sys::{alt_stack, memory, thread};

/// Most arenas at a time.
const MOST: usize = 4096;

/// A page source of which every arena has one of its own.
pub trait ArenaPages: PageSource + Sized {
    /// The source for arena `number`, which is not the main one.
    fn for_arena(number: u32) -> Self;
}

/// The page source of new arenas, and the arenas without an owner.
struct ArenaDefaults<P, L> {
    key: u64,
    tuning: Tuning,
    orphans: *mut Arena<P, L>,
}

// SAFETY: the pointer is to an arena, which lives for ever and may be used by any thread.
unsafe impl<P, L> Send for ArenaDefaults<P, L> {}

/// All arenas of the process. `L` is what an arena's owner keeps beside its heap; all-zero memory
/// is to be a valid value of it.
pub struct Arenas<P: 'static, L: 'static> {
    main: Arena<P, L>,
    others: [AtomicPtr<Arena<P, L>>; MOST],
    /// Number of arenas, the main one included.
    count: AtomicUsize,
    owners: AtomicUsize,
    shared: Lock<ArenaDefaults<P, L>>,
    shared_held_at: AtomicU8,
    /// Chunks from this size on are mapped on their own, by the main arena's heap.
    mmap_threshold: AtomicUsize,
}

/// Says that all-zero memory is a valid value of the type.
///
/// # Safety
/// It is.
pub unsafe trait ZeroIsEmpty {}

// SAFETY: there is only one value.
unsafe impl ZeroIsEmpty for () {}

impl<P: ArenaPages + 'static, L: ZeroIsEmpty + 'static> Arenas<P, L> {
    /// Arenas that hold nothing yet; the main one over `pages`.
    pub const fn new(pages: P, local: L) -> Self {
        let shared = ArenaDefaults { key: 0, tuning: Tuning::DEFAULT, orphans: ptr::null_mut() };
        Self {
            main: Arena::new(0, pages, local),
            others: [const { AtomicPtr::new(ptr::null_mut()) }; MOST],
            count: AtomicUsize::new(1),
            owners: AtomicUsize::new(0),
            shared: Lock::new(shared),
            shared_held_at: AtomicU8::new(0),
            mmap_threshold: AtomicUsize::new(Tuning::DEFAULT.mmap_threshold),
        }
    }

    /// Sets what heaps are made with; before anything is allocated.
    pub fn prepare(&self, key: u64, tuning: Tuning) {
        self.main.lock().set_key(key);
        self.shared.lock().key = key;
        self.tune(|now| *now = tuning);
    }

    /// Changes the thresholds of all heaps, and of those to come.
    pub fn tune(&self, change: impl Fn(&mut Tuning)) {
        let mut shared = self.shared.lock();
        change(&mut shared.tuning);
        let tuning = shared.tuning;
        drop(shared);
        self.mmap_threshold.store(tuning.mmap_threshold, Ordering::Relaxed);
        self.for_each(|arena| {
            let heap = &mut arena.lock().heap;
            heap.tuning = if arena.number() == 0 { tuning } else { unmapped(tuning) };
        });
    }

    /// The main arena: it has the brk heap and all mapped blocks.
    pub const fn main(&self) -> &Arena<P, L> {
        &self.main
    }

    /// Is a chunk of `size` bytes to have a mapping of its own?
    pub fn maps(&self, size: usize) -> bool {
        size >= self.mmap_threshold.load(Ordering::Relaxed)
    }

    /// Follows the main heap's threshold after a mapped block was freed.
    pub fn follow(&self, tuning: Tuning) {
        if self.mmap_threshold.swap(tuning.mmap_threshold, Ordering::Relaxed)
            != tuning.mmap_threshold
        {
            self.tune(|now| *now = tuning);
        }
    }

    /// The arena of a number.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&Arena<P, L>> {
        if number == 0 {
            return Some(&self.main);
        }
        let arena = self.others.get(number as usize)?.load(Ordering::Acquire);
        // SAFETY: a listed arena is prepared and lives for ever.
        unsafe { arena.as_ref() }
    }

    /// Calls `each` with every arena.
    pub fn for_each(&self, mut each: impl FnMut(&Arena<P, L>)) {
        let count = self.count.load(Ordering::Acquire).min(MOST);
        (0..count as u32).filter_map(|number| self.get(number)).for_each(&mut each);
    }

    /// Number of arenas that have an owner.
    pub fn owners(&self) -> usize {
        self.owners.load(Ordering::Relaxed)
    }

    /// An arena for a thread that has none: the main one, an orphan, or a new one. `None`: there is
    /// no memory for one, or they are too many.
    pub fn attach(&self) -> Option<&Arena<P, L>> {
        let arena = self.find_or_make()?;
        self.owners.fetch_add(1, Ordering::Relaxed);
        Some(arena)
    }

    fn find_or_make(&self) -> Option<&Arena<P, L>> {
        if !self.main.is_owned.swap(true, Ordering::AcqRel) {
            return Some(&self.main);
        }
        let mut shared = self.shared.lock();
        // SAFETY: orphans are arenas, which live for ever.
        if let Some(orphan) = unsafe { shared.orphans.as_ref() } {
            shared.orphans = orphan.next_orphan.load(Ordering::Relaxed);
            orphan.is_owned.store(true, Ordering::Release);
            return Some(orphan);
        }
        let number = self.count.load(Ordering::Relaxed);
        let slot = self.others.get(number)?;
        let place = memory::map(size_of::<Arena<P, L>>())? as *mut Arena<P, L>;
        // On a stack of ours: the thread's may be a few KiB, and all of it is made there first.
        alt_stack::run(|| {
            // SAFETY: fresh zeroed pages; all-zero is a valid `L`, by its trait.
            unsafe { Arena::prepare(place, number as u32, P::for_arena(number as u32)) }
        })?;
        // SAFETY: prepared just now.
        let arena = unsafe { &*place };
        {
            let mut arena_state = arena.lock();
            arena_state.set_key(shared.key);
            arena_state.heap.tuning = unmapped(shared.tuning);
        }
        arena.is_owned.store(true, Ordering::Release);
        slot.store(place, Ordering::Release);
        self.count.store(number + 1, Ordering::Release);
        Some(arena)
    }

    /// The arena's owner is gone, or leaves it for good: the next thread may have it.
    pub fn detach(&self, arena: &Arena<P, L>) {
        self.owners.fetch_sub(1, Ordering::Relaxed);
        if arena.number() == 0 {
            return self.main.is_owned.store(false, Ordering::Release);
        }
        let mut shared = self.shared.lock();
        arena.next_orphan.store(shared.orphans, Ordering::Relaxed);
        arena.is_owned.store(false, Ordering::Release);
        shared.orphans = ptr::from_ref(arena).cast_mut();
    }

    /// Takes every lock in one fixed order, to hold it over fork. A signal handler may fork in the
    /// middle of that: what it takes and gives back is its own. `false`: not all could be had, and
    /// the others are held.
    pub fn hold_over_fork(&self) -> bool {
        let level = thread::fork_level();
        let mut all = true;
        let mut note = |hold, held: &AtomicU8| match hold {
            Hold::Taken => held.store(level, Ordering::Relaxed),
            Hold::Mine => {}
            Hold::Busy => all = false,
        };
        note(self.shared.hold_over_fork(), &self.shared_held_at);
        self.for_each(|arena| note(arena.arena_state().hold_over_fork(), &arena.held_at));
        all
    }

    /// Gives them back in parent and child.
    ///
    /// # Safety
    /// The calling thread called [`Arenas::hold_over_fork`], once, before.
    pub unsafe fn release_after_fork(&self) {
        let level = thread::fork_level();
        let take_back = |held: &AtomicU8, is_mine: bool| {
            let ours = is_mine && held.load(Ordering::Relaxed) == level;
            if ours {
                held.store(0, Ordering::Relaxed);
            }
            ours
        };
        self.for_each(|arena| {
            if take_back(&arena.held_at, arena.arena_state().is_mine()) {
                // SAFETY: this thread took it; in the child it is that thread's copy.
                unsafe { arena.arena_state().release_after_fork() };
            }
        });
        if take_back(&self.shared_held_at, self.shared.is_mine()) {
            // SAFETY: this thread took it; in the child it is that thread's copy.
            unsafe { self.shared.release_after_fork() };
        }
    }

    /// In a forked child, after [`Arenas::release_after_fork`]: locks of threads that are not there
    /// are free.
    pub fn renew_locks(&self) {
        self.for_each(|arena| arena.arena_state().renew());
        self.shared.renew();
    }

    /// In a forked child: the arenas of all threads but `mine` are orphans. They stay without an
    /// owner where a handler has forked in the middle of a change to the list of orphans.
    pub fn inherit(&self, mine: Option<&Arena<P, L>>) {
        let mine = mine.map(Arena::number);
        let is_interrupted = self.shared.is_mine();
        self.for_each(|arena| {
            arena.repair_remote_queue();
            let is_orphan = Some(arena.number()) != mine && arena.is_owned.load(Ordering::Relaxed);
            if is_orphan && !is_interrupted {
                self.detach(arena);
            }
        });
    }
}

impl<P: 'static, L: 'static> Drop for Arenas<P, L> {
    /// The process's own are never dropped; a test's are.
    fn drop(&mut self) {
        for other in &mut self.others {
            let arena = core::mem::replace(other.get_mut(), ptr::null_mut());
            if !arena.is_null() {
                // SAFETY: made by `find_or_make`, and nobody can refer to it any more.
                unsafe {
                    ptr::drop_in_place(arena);
                    memory::unmap(arena as usize, size_of::<Arena<P, L>>());
                }
            }
        }
    }
}

/// Only the main arena maps blocks of their own.
const fn unmapped(tuning: Tuning) -> Tuning {
    Tuning { mmap_threshold: usize::MAX, dynamic: false, ..tuning }
}
