//! Hashes libFuzzer's input, which then decides with stack and size which blocks are guarded: other
//! inputs have other blocks guarded, the same input the same.
//!
//! libFuzzer copies an input into a fresh array right before it calls the target with it
//! (FuzzerLoop.cpp, `ExecuteCallback`). The copy is read at the target's first allocation.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arch::Caller;
use crate::checks::Request;
use crate::runtime::HEAP;
use crate::shadow::block_table;
use crate::shadow::block_table::BlockState;
use crate::stack::modules;

/// Mangled name of the function that copies.
const COPIES: &str = "_ZN6fuzzer6Fuzzer15ExecuteCallbackEPKhm";
/// Most bytes of an input that are hashed.
const MOST: usize = 4096;

/// Start and length of that function; 0 if the program has none, or has no symbols.
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The array that the input is copied to, until it is hashed; else 0.
static COPY: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Looks for the function in a program's file. Allocates.
pub(super) fn prepare(program: &str) {
    if let Some((start, length)) = modules::find_named(program, COPIES) {
        LENGTH.store(length, Ordering::Relaxed);
        START.store(start, Ordering::Relaxed);
    }
}

/// Call this before an allocation. `true` if the block is the copy: pass it to [`note_copy`].
///
/// # Safety
/// `caller` holds the registers at the entry of the program's call, on this thread.
pub(super) unsafe fn attend(caller: Caller) -> bool {
    let start = START.load(Ordering::Relaxed);
    if start == 0 {
        return false;
    }
    // SAFETY: the caller of this function says that the return address is there.
    let pc = unsafe { *(caller.sp as *const usize) };
    if pc.wrapping_sub(start) < LENGTH.load(Ordering::Relaxed) {
        // The previous input does not decide on the copy of this one.
        HEAP.guard_for_input(0);
        return true;
    }
    hash_copy();
    false
}

/// Notes the array of the copy.
pub(super) fn note_copy(array: usize, request: Request) {
    BYTES.store(request.size, Ordering::Relaxed);
    COPY.store(array, Ordering::Relaxed);
}

/// Hashes the input, if that has not been done.
fn hash_copy() {
    if COPY.load(Ordering::Relaxed) == 0 {
        return;
    }
    let copy = COPY.swap(0, Ordering::Relaxed);
    if copy != 0 && block_table::state(copy).is_some_and(BlockState::is_live) {
        let bytes = BYTES.load(Ordering::Relaxed);
        // SAFETY: a live block of so many bytes, which libFuzzer has filled and keeps until the
        // target returns.
        let input = unsafe { core::slice::from_raw_parts(copy as *const u8, bytes.min(MOST)) };
        HEAP.guard_for_input(hash(input));
    }
}

/// FNV-1a (Fowler, Noll, Vo).
fn hash(input: &[u8]) -> usize {
    const START: usize = 0xcbf2_9ce4_8422_2325;
    const PRIME: usize = 0x0100_0000_01b3;
    input.iter().fold(START, |hash, &byte| (hash ^ usize::from(byte)).wrapping_mul(PRIME))
}
