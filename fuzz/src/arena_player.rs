//! Operations on many arenas and on the model beside them; what is demanded is told in
//! [`arena_ops`](crate::arena_ops).

use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

use mallocop::arena::class::Class;
use mallocop::arena::{Arena, Arenas};
use mallocop::heap::size::{GRANULE, PAGE};
use mallocop::heap::{Layout, Tuning};

use crate::arena_pool::{self, PoolPages};
use crate::arena_script::Op;
use crate::model::Model;
use crate::tally::Tally;

/// Most threads at a time.
const THREADS: usize = 6;
/// Most blocks that live at a time.
const BLOCKS: usize = 4000;
/// From this size on the main arena maps.
const MAPPED: usize = 128 << 10;

/// Where a block is from; its class unless it went past the caches.
#[derive(Clone, Copy)]
struct Origin {
    arena: u32,
    class: Option<Class>,
}

/// The arenas, their model, and what was done so far.
pub(crate) struct ArenaPlayer {
    arenas: Box<Arenas<PoolPages, ()>>,
    /// Numbers of the arenas that a thread owns.
    threads: Vec<u32>,
    /// Numbers of those that were owned once and have no owner.
    orphans: BTreeSet<u32>,
    model: Model,
    origins: BTreeMap<usize, Origin>,
    pub(crate) tally: Tally,
}

impl ArenaPlayer {
    /// One thread, in the main arena.
    pub(crate) fn new(key: u64) -> Self {
        let arenas = Box::new(Arenas::new(PoolPages::new(0), ()));
        let tuning = Tuning { mmap_threshold: MAPPED, dynamic: false, ..Tuning::DEFAULT };
        arenas.prepare(key, tuning);
        let mut player = Self {
            arenas,
            threads: Vec::new(),
            orphans: BTreeSet::new(),
            model: Model::default(),
            origins: BTreeMap::new(),
            tally: Tally::default(),
        };
        player.attach();
        player
    }

    /// Does one operation.
    pub(crate) fn play(&mut self, op: Op) {
        match op {
            Op::Attach => self.attach(),
            Op::Allocate(thread, size, count) => {
                let size = size.0 % (Class::all().last().map_or(1, Class::capacity) + 1);
                for _ in 0..1 + count % 64 {
                    self.allocate(self.thread(thread), Class::of_payload(size));
                }
            }
            Op::Large(thread, request) => self.allocate_large(self.thread(thread), request.0),
            Op::Release(thread, pick, count) => {
                for _ in 0..1 + count % 64 {
                    self.release(self.thread(thread), pick);
                }
            }
            Op::Empty(thread) => self.empty(self.thread(thread)),
            Op::End(thread) => self.end(thread),
            Op::Trim(arena, keep) => {
                let arena = self.arena(u32::from(arena) % self.count());
                arena.trim(usize::from(keep) * PAGE).expect("the heap is sound");
                self.demand_discarded_free();
                self.tally.count("trimmed");
            }
            Op::Fork(thread) => self.fork(self.thread(thread)),
            Op::Refuse(arena, after) => {
                let number = u32::from(arena) % self.count();
                arena_pool::with(number as usize, |pages| {
                    pages.refuse_one = Some(pages.requests + usize::from(after % 4));
                });
            }
        }
    }

    fn arena(&self, number: u32) -> &Arena<PoolPages, ()> {
        self.arenas.get(number).expect("an arena")
    }

    fn count(&self) -> u32 {
        let mut count = 0;
        self.arenas.for_each(|_| count += 1);
        count
    }

    fn thread(&self, pick: u8) -> u32 {
        self.threads[usize::from(pick) % self.threads.len()]
    }

    fn attach(&mut self) {
        if self.threads.len() == THREADS {
            return;
        }
        let number = self.arenas.attach().expect("an arena").number();
        assert!(!self.threads.contains(&number), "arena {number} has two owners");
        assert!(self.orphans.is_empty() || self.orphans.remove(&number), "an orphan waits");
        if number < self.count() - 1 {
            self.tally.count("adopted");
        }
        self.threads.push(number);
        self.tally.count("attached");
    }

    fn allocate(&mut self, thread: u32, class: Class) {
        if self.model.live().len() >= BLOCKS {
            return;
        }
        let arena = self.arena(thread);
        // SAFETY: the script's thread owns the arena, and turns do not overlap.
        let payload = unsafe { arena.turn() }.allocate(class).expect("the heap is sound");
        let Some(payload) = payload else { return self.tally.count("no memory") };
        self.insert(
            payload,
            Layout::plain(class.capacity()),
            Origin { arena: thread, class: Some(class) },
        );
        self.tally.count("allocated");
    }

    fn allocate_large(&mut self, thread: u32, layout: Layout) {
        let payload = {
            // SAFETY: as in `allocate`.
            let mut turn = unsafe { self.arena(thread).turn() };
            let mut books = turn.lock_for(layout).expect("the heap is sound");
            books.heap.allocate(layout).expect("the heap is sound")
        };
        let Some(payload) = payload else { return self.tally.count("no memory") };
        let at = payload.as_ptr() as usize;
        assert_eq!((at + layout.lead) % layout.align, 0, "{layout:?}");
        self.insert(payload, layout, Origin { arena: thread, class: None });
        self.tally.count("large");
    }

    fn insert(&mut self, payload: NonNull<u8>, layout: Layout, origin: Origin) {
        let at = payload.as_ptr() as usize;
        assert_eq!(at % GRANULE, 0);
        let inside = arena_pool::with(origin.arena as usize, |p| p.holds(at, at + layout.size));
        assert!(inside, "{at:#x} is not arena {}'s memory", origin.arena);
        // SAFETY: the arena has just handed out these bytes.
        unsafe { self.model.insert(payload, layout.size, layout.align) };
        self.origins.insert(at, origin);
    }

    fn release(&mut self, thread: u32, pick: u16) {
        let Some(index) = self.model.index(pick) else { return };
        let payload = self.model.remove(index);
        let origin = self.origins.remove(&payload.address()).expect("a known block");
        // SAFETY: the block is live, has that class and arena, and is forgotten from here on; the
        // thread owns its arena.
        let result = unsafe {
            match origin.class {
                Some(class) => {
                    let mut turn = self.arena(thread).turn();
                    turn.release(payload.at, class, origin.arena, &self.arenas)
                }
                None => self.arena(origin.arena).lock().heap.release(payload.at),
            }
        };
        result.expect("the heap is sound");
        self.tally.count(if origin.arena == thread { "released" } else { "by others" });
    }

    fn empty(&mut self, thread: u32) {
        // SAFETY: as in `allocate`.
        let mut turn = unsafe { self.arena(thread).turn() };
        turn.empty(&self.arenas).expect("the heap is sound");
        assert_eq!(turn.cached_bytes(), 0);
    }

    fn end(&mut self, pick: u8) {
        if self.threads.len() == 1 {
            return;
        }
        let thread = self.threads.swap_remove(usize::from(pick) % self.threads.len());
        self.empty(thread);
        self.arenas.detach(self.arena(thread));
        self.orphans.insert(thread);
        self.tally.count("ended");
    }

    fn fork(&mut self, thread: u32) {
        self.arenas.inherit(Some(self.arena(thread)));
        self.orphans.extend(self.threads.iter().filter(|&&other| other != thread));
        self.threads = vec![thread];
        assert_eq!(self.arenas.owners(), 1);
        self.tally.count("forked");
    }

    /// Pages whose contents were given up must be no payload's.
    fn demand_discarded_free(&mut self) {
        for number in 0..self.count() as usize {
            for pages in arena_pool::with(number, |pages| pages.take_discarded()) {
                let start = NonNull::new(pages.start as *mut u8).expect("not null");
                self.model.demand_apart(start, pages.len());
            }
        }
    }

    /// The invariants of all heaps must hold.
    pub(crate) fn check(&mut self) {
        self.demand_discarded_free();
        self.arenas.for_each(|arena| arena.lock().heap.check().expect("the invariants hold"));
        for number in 0..self.count() as usize {
            let misused = arena_pool::with(number, |pages| pages.is_misused());
            assert!(!misused, "arena {number} gave back what it was not given");
        }
        self.tally.count("checks");
    }

    /// Frees everything, adopts every arena, has each hand over what it keeps, until all is home.
    pub(crate) fn end_all(&mut self) {
        self.model.verify_all();
        while let Some(last) = self.model.live().len().checked_sub(1) {
            self.release(self.thread(last as u8), last as u16);
        }
        while self.threads.len() < self.count() as usize {
            self.attach();
        }
        // Twice: what the first round sends to those before is met by the second.
        for thread in [self.threads.clone(), self.threads.clone()].concat() {
            self.empty(thread);
        }
        self.check();
        self.arenas.for_each(|arena| {
            let usage = arena.lock().heap.usage();
            let left = (usage.chunks, usage.in_use, usage.mapped_chunks, usage.mapped);
            assert_eq!(left, (0, 0, 0, 0), "arena {} has lost chunks", arena.number());
        });
        for number in 0..self.count() as usize {
            for _ in 0..arena_pool::with(number, |pages| pages.refused) {
                self.tally.count("refused");
            }
        }
    }
}

impl Drop for ArenaPlayer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return arena_pool::abandon();
        }
        self.arenas.for_each(|arena| {
            if arena.number() != 0 {
                let place = std::ptr::from_ref(arena).cast_mut().cast();
                // SAFETY: `attach` has mapped the arena's place; nobody uses it any more, and it owns
                // nothing that a drop would free.
                unsafe { libc::munmap(place, size_of::<Arena<PoolPages, ()>>()) };
            }
        });
        // SAFETY: the heaps over the memory are gone, or go now without a look at it.
        unsafe { arena_pool::clear() };
    }
}
