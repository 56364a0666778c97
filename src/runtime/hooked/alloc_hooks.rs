//! Functions that hear of each block, as a fuzzer installs them (sanitizer/allocator_interface.h,
//! `__sanitizer_install_malloc_and_free_hooks`), and which blocks came since a fuzzer last asked
//! for leaks.

use core::ffi::c_void;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::fuzz_input;
use crate::leak::mappings;
use crate::leak::reachability_query;
use crate::leak::reachability_query::Answer;
use crate::runtime::HEAP;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::stack::modules;
use crate::stack::unwind::entry_point::Point;
use crate::sys::{alt_stack, memory, thread};

/// Pairs of functions that can be installed, as with the sanitizers.
const MOST: usize = 5;
/// Blocks that are remembered.
const REMEMBERED: usize = 1 << 18;
/// A call from so near to an installed function comes from whoever installed it.
const NEAR: usize = 128 << 10;

/// Bytes at the start of libFuzzer's `TracePC` that hold compared numbers of 4 and 8 bytes, 32
/// pairs of each (FuzzerTracePC.h); what is behind them has pointers, too.
const COMPARED: usize = 32 * 2 * (4 + 8);

type MallocHook = unsafe extern "C" fn(*const c_void, usize);
type FreeHook = unsafe extern "C" fn(*const c_void);

static MALLOC_HOOKS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static FREE_HOOKS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static INSTALLED: AtomicUsize = AtomicUsize::new(0);

/// Where the blocks allocated last are, the next one in place `BORN` modulo their number: in memory
/// that no look for pointers goes through. 0: there is none.
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static BORN: AtomicUsize = AtomicUsize::new(0);
/// The same number when all that was there was found to be held.
static ASKED: AtomicUsize = AtomicUsize::new(0);
/// Did the last question find nothing, so that what is allocated while leaks are not of interest
/// goes untold?
static IS_CLEAN: AtomicBool = AtomicBool::new(true);

/// Installs a pair. Returns how many there are now; 0: there is no room.
pub fn install(malloc: usize, free: usize) -> usize {
    let at = INSTALLED.load(Ordering::Relaxed);
    let (Some(malloc_hook), Some(free_hook)) = (MALLOC_HOOKS.get(at), FREE_HOOKS.get(at)) else {
        return 0;
    };
    if at == 0 {
        HEAP.guard_by_contents();
        alt_stack::run(know_fuzzer);
        let blocks = memory::map(REMEMBERED * size_of::<AtomicUsize>());
        BLOCKS.store(blocks.unwrap_or(0), Ordering::Release);
    }
    malloc_hook.store(malloc, Ordering::Release);
    free_hook.store(free, Ordering::Release);
    INSTALLED.store(at + 1, Ordering::Release);
    super::switch::begin();
    at + 1
}

/// What libFuzzer notes of compared values may be addresses of blocks, and keeps none.
fn know_fuzzer() {
    let program = std::env::current_exe().unwrap_or_default();
    let Some(program) = program.to_str() else { return };
    if let Some((start, bytes)) = modules::find_named(program, "_ZN6fuzzer3TPCE") {
        mappings::leave_out(start, start + bytes.min(COMPARED));
    }
    fuzz_input::prepare(program);
}

/// Is any installed?
pub fn are_installed() -> bool {
    INSTALLED.load(Ordering::Acquire) != 0
}

/// Is an address in the code of whoever installed them?
pub fn is_theirs(pc: usize) -> bool {
    MALLOC_HOOKS
        .iter()
        .map(|hook| hook.load(Ordering::Relaxed))
        .any(|hook| hook != 0 && hook.abs_diff(pc) < NEAR)
}

/// The place of the block with that number.
fn place(number: usize) -> Option<&'static AtomicUsize> {
    let blocks = BLOCKS.load(Ordering::Relaxed) as *const [AtomicUsize; REMEMBERED];
    // SAFETY: null, or a mapping for so many that stays.
    unsafe { blocks.as_ref() }?.get(number % REMEMBERED)
}

/// A block is there.
#[inline]
pub(crate) fn note_allocation(block: usize, size: usize) {
    if !are_installed() || block == 0 {
        return;
    }
    let at = BORN.fetch_add(1, Ordering::Relaxed);
    if let Some(place) = place(at) {
        place.store(block, Ordering::Relaxed);
    }
    if IS_CLEAN.load(Ordering::Relaxed) && thread::is_blind() {
        return;
    }
    for hook in
        MALLOC_HOOKS.iter().map(|hook| hook.load(Ordering::Acquire)).filter(|&hook| hook != 0)
    {
        // SAFETY: whoever installed it says that it has this form.
        unsafe { mem::transmute::<usize, MallocHook>(hook)(block as *const c_void, size) };
    }
}

/// Is the end of a block to be told? Not that of one whose beginning was not.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_counts"))]
pub(crate) fn counts(block: usize) -> bool {
    are_installed() && block != 0 && (!IS_CLEAN.load(Ordering::Relaxed) || !is_untold(block))
}

fn is_untold(block: usize) -> bool {
    let is_live = block_table::state(block).is_some_and(BlockState::is_live);
    thread::is_blind() || is_live && HEAP.facts(block).is_exempt
}

/// A block is about to be freed.
#[inline]
pub(crate) fn note_free(block: usize) {
    if counts(block) {
        tell_free(block);
    }
}

/// Tells of the end of a block.
#[cfg_attr(feature = "libfuzzer", unsafe(export_name = "__sanitizer_mallocop_tell_free"))]
pub(crate) fn tell_free(block: usize) {
    for hook in FREE_HOOKS.iter().map(|hook| hook.load(Ordering::Acquire)).filter(|&hook| hook != 0)
    {
        // SAFETY: whoever installed it says that it has this form.
        unsafe { mem::transmute::<usize, FreeHook>(hook)(block as *const c_void) };
    }
}

/// A fuzzer asks, by turning leaks off for another run of the same input, because more blocks came
/// than went. Is one of those lost? If not, nothing of that other run is told: it sees as many
/// blocks come as go, and goes on without a further question.
pub fn ask(caller: &Point) {
    HEAP.settle();
    // What other threads free stays readable.
    HEAP.freeze();
    let born = BORN.load(Ordering::Relaxed);
    let is_clean = match look_since(ASKED.load(Ordering::Relaxed), born, caller) {
        Answer::Held => true,
        Answer::Unknown => reachability_query::is_nothing_lost(&HEAP, caller),
    };
    HEAP.thaw();
    IS_CLEAN.store(is_clean, Ordering::Relaxed);
    if is_clean {
        ASKED.store(born, Ordering::Relaxed);
    }
}

/// Is what came between two numbers, and is still there, held?
fn look_since(asked: usize, born: usize, caller: &Point) -> Answer {
    if born - asked > REMEMBERED || BLOCKS.load(Ordering::Relaxed) == 0 {
        return Answer::Unknown;
    }
    let mut blocks: Vec<usize> = (asked..born)
        .filter_map(place)
        .map(|place| place.load(Ordering::Relaxed))
        .filter(|&block| block_table::state(block).is_some_and(BlockState::is_live))
        .filter(|&block| !HEAP.facts(block).is_exempt)
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    reachability_query::are_held(&HEAP, caller, &blocks)
}
