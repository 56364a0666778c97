//! Scopes: what a thread, and the threads that it starts meanwhile, allocate from here to there,
//! whatever other threads do.
//!
//! A thread in a scope has a number of its own, which each block's head keeps; so a block tells its
//! scope. A new thread belongs to the scope of the block that its starting function is given, which
//! Rust's threads always have.

use crate::model::site::ProcessSite;
use crate::runtime::fork;
use crate::sys::thread_number::{self, MAX_THREADS};
use crate::text::style::Renderer;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use crate::arch::Registers;
use crate::checks::CheckedHeap;
use crate::leak::Check;
use crate::leak::reachability_query;
use crate::leak::reachability_query::Answer;
use crate::options::{self, Name};
use crate::runtime::{HEAP, init, reporter};
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::shadow::lookup;
use crate::stack::symbolize::ProcessSymbolizer;
use crate::stack::unwind::entry_point::Point;
use crate::sys::glibc::thread_descriptor;
use crate::sys::thread::{self, ToolWork};
use crate::sys::{alt_stack, stack_clear};
use crate::text::leaks;

/// Scope that the thread with each number is in: the number plus one that the thread had that began
/// it.
static SCOPES: [AtomicU16; MAX_THREADS] = [const { AtomicU16::new(0) }; MAX_THREADS];
/// Scope around the one that the thread with each number has begun, in the same form.
static AROUND: [AtomicU16; MAX_THREADS] = [const { AtomicU16::new(0) }; MAX_THREADS];
/// Was one ever begun?
static ANY: AtomicBool = AtomicBool::new(false);
/// Slot of the thread that checks; 0: none does. One at a time: each stops the other threads. No
/// lock: one of ours would keep who waits from being stopped, and any other is not a forked child's
/// to take.
static CHECKER: AtomicUsize = AtomicUsize::new(0);

/// The calling thread's turn to check.
struct Turn;

impl Turn {
    /// Waits for it. Who waits is not at work for the tool, and can be stopped.
    fn wait() -> Self {
        const STEP: Duration = Duration::from_micros(200);
        let mine = thread::slot_address();
        let take = || CHECKER.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed);
        while take().is_err() {
            std::thread::sleep(STEP);
        }
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        CHECKER.store(0, Ordering::Release);
    }
}

/// In a forked child: another thread that checked is not there.
fn renew_after_fork() {
    if CHECKER.load(Ordering::Relaxed) != thread::slot_address() {
        CHECKER.store(0, Ordering::Relaxed);
    }
}

/// What a process has allocated.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Blocks handed out so far.
    pub allocations: u64,
    /// Blocks given back so far.
    pub frees: u64,
    /// Bytes handed out so far.
    pub allocated_bytes: u64,
    /// Bytes handed out and not given back.
    pub live_bytes: u64,
    /// Most of these at one time.
    pub peak_bytes: u64,
}

/// Of the process.
pub fn statistics() -> Statistics {
    let totals = HEAP.totals().0;
    Statistics {
        allocations: totals.allocations,
        frees: totals.frees,
        allocated_bytes: totals.allocated,
        live_bytes: totals.live,
        peak_bytes: totals.peak,
    }
}

/// Begins a scope of the calling thread's. Returns what [`end`] needs; 0: it could not be begun,
/// since there were 16,383 before.
pub fn begin() -> u32 {
    // Without heads nothing tells where a block is from.
    if !init::ready().is_some_and(CheckedHeap::notes_exemption) {
        return 0;
    }
    if !ANY.swap(true, Ordering::AcqRel) {
        fork::in_child(renew_after_fork);
        leave_nothing_stale();
    }
    stack_clear::clear();
    let before = thread_number::number();
    let Some(number) = thread_number::renew_number() else {
        thread_number::put_number(before);
        return 0;
    };
    let around = scope_of(before);
    for (list, scope) in [(&SCOPES, number + 1), (&AROUND, around)] {
        if let Some(place) = list.get(usize::from(number)) {
            place.store(scope, Ordering::Relaxed);
        }
    }
    u32::from(number) << 16 | u32::from(before)
}

/// The calling thread may make its first call.
#[inline]
pub fn note_thread() {
    if thread::is_new() {
        inherit();
    }
}

/// A thread makes its first call: it belongs to the scope of whoever started it.
fn inherit() {
    if !ANY.load(Ordering::Acquire) || !thread::is_outside() {
        return;
    }
    stack_clear::clear();
    let number = thread_number::number();
    let mut words = thread_descriptor::words();
    let starter = words.find_map(|word| {
        let is_block = block_table::state(word).is_some_and(BlockState::is_live);
        let starter = is_block.then(|| HEAP.facts(word).thread).flatten();
        starter.filter(|&starter| starter != number)
    });
    let Some(scope) = starter.and_then(|starter| SCOPES.get(usize::from(starter))) else { return };
    if let Some(mine) = SCOPES.get(usize::from(number)) {
        mine.store(scope.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A test is to fail for what it loses each time, not only where no word happens to be left over
/// that once led to the same address: freed addresses come again late, and new blocks hold nothing
/// of what was there before.
fn leave_nothing_stale() {
    for (name, least) in [
        (Name::ThreadLocalQuarantineSizeKb, 16 << 10),
        (Name::QuarantineSizeMb, 512),
        (Name::MaxMallocFillSize, 1 << 20),
    ] {
        options::set_number(name, options::number(name).max(least));
    }
    HEAP.share_quarantine();
}

fn scope_of(number: u16) -> u16 {
    SCOPES.get(usize::from(number)).map_or(0, |scope| scope.load(Ordering::Relaxed))
}

/// Was a live block allocated in a scope, or in one inside it?
fn is_in(scope: u16, block: usize) -> bool {
    let mut of = HEAP.facts(block).thread.map_or(0, scope_of);
    while of != 0 && of != scope + 1 {
        of = AROUND.get(usize::from(of - 1)).map_or(0, |around| around.load(Ordering::Relaxed));
    }
    of != 0
}

/// Ends a scope on the thread that began it. The text says what is lost of it; `strict`: also what
/// is there and can be reached. Empty: nothing. `caller` has the registers at the call.
pub fn end(token: u32, strict: bool, caller: &Registers) -> String {
    let (scope, before) = ((token >> 16) as u16, (token & 0xffff) as u16);
    // A child that was forked inside has nothing of it.
    if token == 0 || thread_number::is_inherited(scope) {
        return String::new();
    }
    thread_number::put_number(before);
    let _turn = Turn::wait();
    let _work = ToolWork::begin();
    let caller = &caller.point();
    alt_stack::run(|| look(scope, strict, caller)).unwrap_or_default()
}

fn look(scope: u16, strict: bool, caller: &Point) -> String {
    HEAP.settle();
    // What other threads free stays readable.
    HEAP.freeze();
    let text = look_at(scope, strict, caller);
    HEAP.thaw();
    text
}

fn look_at(scope: u16, strict: bool, caller: &Point) -> String {
    let mut blocks = Vec::new();
    lookup::for_each_live(|block, _| blocks.push(block));
    blocks.retain(|&block| is_in(scope, block) && !HEAP.facts(block).is_exempt);
    blocks.sort_unstable();
    if blocks.is_empty()
        || !strict && reachability_query::are_held(&HEAP, caller, &blocks) == Answer::Held
    {
        return String::new();
    }
    let verdict = Check::make(&HEAP, caller)
        .map(|check| check.verdict_of(|block| is_in(scope, block), strict))
        .unwrap_or_default();
    let write = |with: &mut Renderer<'_, ProcessSite>| leaks::write_scope(&verdict, with);
    let named = reporter::with_symbolizer(|names| {
        // Each check is a report of its own, and goes by names.
        names.renew();
        reporter::render(names, write)
    });
    let page =
        named.unwrap_or_else(|| reporter::render(&mut ProcessSymbolizer::without_names(), write));
    page.into_text()
}
