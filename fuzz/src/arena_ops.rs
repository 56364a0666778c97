//! Target: several threads' arenas, driven by one script in one thread, so that each interleaving
//! repeats.
//!
//! Demanded: a payload lies in the memory of the arena that gave it, apart from all others, and
//! keeps what is written into it, whoever frees it and through whatever caches, remote-free queues
//! and adoptions its chunk has come; every heap's invariants hold whenever they are walked; when
//! all is freed and all caches are emptied no heap has a chunk in use: none was lost on the way.

use arbitrary::{Arbitrary, Result, Unstructured};
use mallocop::arena::size_class::Class;
use mallocop::arena::{Arena, Arenas};
use mallocop::heap::Layout;

use crate::arena_pages::PoolPages;
use crate::model::Model;
use crate::tally::Tally;

/// Most operations of one script, and most threads at a time.
const MAX_OPS: usize = 2000;
const MAX_THREADS: usize = 6;
/// Larger payloads are not asked for: an arena has 2 MiB.
const MAX_LARGE: usize = 200_000;

/// What happens next; numbers pick among the threads, arenas and payloads there are.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Start,
    Allocate { thread: u8, size: u8 },
    AllocateMedium { thread: u8, size: u16 },
    AllocateLarge { thread: u8, size: u32, align: u8 },
    AllocateMany { thread: u8, size: u8, count: u8 },
    Release { thread: u8, payload: u16 },
    ReleaseMany { thread: u8, payload: u16, count: u8 },
    Empty { thread: u8 },
    End { thread: u8 },
    Trim { arena: u8, keep: u16 },
    Fork { thread: u8 },
    Refuse { arena: u8, after: u8 },
}

type Threads = Arena<PoolPages, ()>;

/// Where a live payload came from, beside the model's list.
#[derive(Clone, Copy)]
struct Home {
    arena: u32,
    class: Option<Class>,
}

struct Player {
    arenas: Box<Arenas<PoolPages, ()>>,
    /// Arena of each thread.
    threads: Vec<u32>,
    model: Model,
    homes: Vec<Home>,
    tally: Tally,
}

/// Plays the script that `data` makes.
///
/// # Errors
/// If it makes none.
///
/// # Panics
/// If a demand is broken.
pub fn body(data: &[u8]) -> Result<Tally> {
    let (check_every, ops) = script(data)?;
    let mut player = Player::new();
    for (step, &op) in ops.iter().enumerate() {
        player.play(op);
        if step % check_every == 0 {
            player.check();
        }
    }
    player.finish();
    Ok(player.tally)
}

/// The script as text.
///
/// # Errors
/// As [`body`].
pub fn show(data: &[u8]) -> Result<String> {
    let (check_every, ops) = script(data)?;
    let lines: Vec<String> = ops.iter().map(|op| format!("{op:?}\n")).collect();
    Ok(format!("check every {check_every}\n{}", lines.concat()))
}

fn script(data: &[u8]) -> Result<(usize, Vec<Op>)> {
    let mut u = Unstructured::new(data);
    let check_every = u.int_in_range(1..=64)?;
    let mut ops = Vec::new();
    while ops.len() < MAX_OPS && !u.is_empty() {
        ops.push(Op::arbitrary(&mut u)?);
    }
    if ops.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    Ok((check_every, ops))
}

impl Player {
    fn new() -> Self {
        let arenas = Box::new(Arenas::new(PoolPages::new(), ()));
        arenas.prepare(0x1bad_b002_cafe_f00d, mallocop::heap::Tuning::DEFAULT);
        let mut player = Self {
            arenas,
            threads: Vec::new(),
            model: Model::default(),
            homes: Vec::new(),
            tally: Tally::default(),
        };
        player.play(Op::Start);
        player
    }

    fn thread(&self, pick: u8) -> Option<usize> {
        usize::from(pick).checked_rem(self.threads.len())
    }

    fn arena_of(&self, thread: usize) -> &Threads {
        self.arenas.get(self.threads[thread]).expect("a thread's arena is listed")
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Start => self.start(),
            Op::Allocate { thread, size } => self.allocate(thread, usize::from(size), 1),
            Op::AllocateMedium { thread, size } => {
                self.allocate(thread, usize::from(size) % 33_000, 1);
            }
            Op::AllocateMany { thread, size, count } => {
                self.allocate(thread, usize::from(size), usize::from(count));
            }
            Op::AllocateLarge { thread, size, align } => {
                let align = 16 << (align % 10);
                self.allocate_large(thread, size as usize % MAX_LARGE, align);
            }
            Op::Release { thread, payload } => self.release(thread, payload, 1),
            Op::ReleaseMany { thread, payload, count } => {
                self.release(thread, payload, usize::from(count));
            }
            Op::Empty { thread } => self.empty(thread),
            Op::End { thread } => self.end(thread),
            Op::Trim { arena, keep } => {
                self.tally.count("trimmed");
                let arena = self.some_arena(arena);
                arena.trim(usize::from(keep)).expect("nothing is smashed");
            }
            Op::Fork { thread } => self.fork(thread),
            Op::Refuse { arena, after } => {
                let mut arena_state = self.some_arena(arena).lock();
                let sim = &mut arena_state.heap.pages().sim;
                sim.refuse = Some(sim.requests + usize::from(after % 4));
            }
        }
    }

    fn some_arena(&self, pick: u8) -> &Threads {
        let mut all = Vec::new();
        self.arenas.for_each(|arena| all.push(arena.number()));
        self.arenas.get(all[usize::from(pick) % all.len()]).expect("it was just there")
    }

    fn start(&mut self) {
        if self.threads.len() == MAX_THREADS {
            return;
        }
        let arena = self.arenas.attach().expect("there is room for an arena").number();
        assert!(!self.threads.contains(&arena), "arena {arena} has two owners");
        self.threads.push(arena);
        self.tally.count("started");
    }

    fn allocate(&mut self, thread: u8, size: usize, count: usize) {
        let Some(thread) = self.thread(thread) else { return };
        let Some(class) = Class::of(Layout::plain(size)) else { return };
        for _ in 0..count {
            let arena = self.arena_of(thread);
            // SAFETY: this is the arena's virtual owner, and no other turn is under way.
            let got = unsafe { arena.owner() }.allocate(class).expect("nothing is smashed");
            let Some(payload) = got else {
                self.tally.count("no memory");
                return;
            };
            self.insert(thread, payload, size, 16, Some(class));
        }
    }

    fn allocate_large(&mut self, thread: u8, size: usize, align: usize) {
        let Some(thread) = self.thread(thread) else { return };
        let layout = Layout { size, align, lead: 0 };
        let got = {
            let arena = self.arena_of(thread);
            // SAFETY: the scripts' threads take turns on one thread: no other turn of the arena
            // lives.
            let mut owner = unsafe { arena.owner() };
            let mut arena_state = owner.lock_for(layout).expect("nothing is smashed");
            arena_state.heap.tuning.mmap_threshold = usize::MAX;
            arena_state.heap.allocate(layout).expect("nothing is smashed")
        };
        match got {
            Some(payload) => self.insert(thread, payload, size, align, None),
            None => self.tally.count("no memory"),
        }
    }

    fn insert(
        &mut self,
        thread: usize,
        payload: std::ptr::NonNull<u8>,
        size: usize,
        align: usize,
        class: Option<Class>,
    ) {
        let at = payload.as_ptr() as usize;
        let arena = self.arena_of(thread);
        let (start, end) = arena.lock().heap.pages().range();
        assert!(at >= start && at + size <= end, "{at:#x} is not in its arena's memory");
        assert_eq!(at % align, 0);
        let arena = arena.number();
        // SAFETY: the heap gave the payload out, with that many bytes.
        unsafe { self.model.insert(payload, size, align) };
        self.homes.push(Home { arena, class });
        self.tally.count(if class.is_some() { "allocated" } else { "allocated large" });
    }

    fn release(&mut self, thread: u8, payload: u16, count: usize) {
        let Some(thread) = self.thread(thread) else { return };
        for _ in 0..count {
            let Some(index) = self.model.index(payload) else { return };
            self.release_one(thread, index);
        }
    }

    fn release_one(&mut self, thread: usize, index: usize) {
        let payload = self.model.remove(index).at;
        let home = self.homes.swap_remove(index);
        let arena = self.arena_of(thread);
        let foreign = arena.number() != home.arena;
        let released = match home.class {
            // SAFETY: no other turn of the arena lives; the payload is live, of that class and
            // arena.
            Some(class) => unsafe {
                arena.owner().release(payload, class, home.arena, &self.arenas)
            },
            None => {
                let owner = self.arenas.get(home.arena).expect("its arena is listed");
                // SAFETY: the payload is live and from there.
                unsafe { owner.lock().release(payload) }
            }
        };
        released.expect("nothing is smashed");
        self.tally.count(if foreign { "released foreign" } else { "released own" });
    }

    fn empty(&mut self, thread: u8) {
        let Some(thread) = self.thread(thread) else { return };
        let arena = self.arena_of(thread);
        // SAFETY: the scripts' threads take turns on one thread: no other turn of the arena lives.
        unsafe { arena.owner() }.empty(&self.arenas).expect("nothing is smashed");
        self.tally.count("emptied");
    }

    fn end(&mut self, thread: u8) {
        let Some(thread) = self.thread(thread) else { return };
        let arena = self.arena_of(thread);
        // SAFETY: the scripts' threads take turns on one thread: no other turn of the arena lives.
        unsafe { arena.owner() }.leave(&self.arenas).expect("nothing is smashed");
        self.arenas.detach(arena);
        self.threads.swap_remove(thread);
        self.tally.count("ended");
    }

    /// Only one thread is in the child. What the others had collected for each other stays theirs:
    /// it comes back when somebody adopts their arenas.
    fn fork(&mut self, thread: u8) {
        let Some(thread) = self.thread(thread) else { return };
        let mine = self.threads[thread];
        self.arenas.inherit(self.arenas.get(mine));
        self.threads = vec![mine];
        self.tally.count("forked");
    }

    fn check(&mut self) {
        self.arenas.for_each(|arena| {
            let arena_state = arena.lock();
            arena_state.heap.check().expect("the invariants hold");
        });
        self.tally.count("checks");
    }

    /// All is freed by whoever comes first; then each arena is adopted and emptied, twice, since
    /// what one sends the other has yet to take in.
    fn finish(&mut self) {
        let arenas = {
            let mut count = 0;
            self.arenas.for_each(|_| count += 1);
            count
        };
        while self.threads.len() < arenas {
            self.threads.push(self.arenas.attach().expect("an orphan").number());
        }
        while !self.homes.is_empty() {
            let thread = self.homes.len() % self.threads.len();
            self.release_one(thread, self.homes.len() - 1);
        }
        for _ in 0..2 {
            for thread in 0..self.threads.len() {
                self.empty(thread as u8);
            }
        }
        self.check();
        self.arenas.for_each(|arena| {
            let mut arena_state = arena.lock();
            let usage = arena_state.heap.usage();
            assert_eq!((usage.chunks, usage.in_use), (0, 0), "arena {}", arena.number());
            assert!(!arena_state.heap.pages().sim.misused);
        });
    }
}
