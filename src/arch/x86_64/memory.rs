//! Loads and stores that the language has no words for.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::arch::{asm, global_asm};

/// Starts to bring the memory at an address into the cache; any address.
#[inline]
pub fn prefetch(address: usize) {
    // SAFETY: a prefetch of any address has no effect but on caches.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address as *const i8) };
}

/// The word at a multiple of 8 that another thread may write meanwhile, by stores of any kind and
/// size. The memory model has no such read, the machine does: the result is some mixture of old
/// bytes and new.
///
/// # Safety
/// The eight bytes are mapped.
#[inline(always)]
pub unsafe fn read_contended(address: usize) -> usize {
    let word;
    // SAFETY: one aligned load of mapped memory; the compiler knows nothing of what it gives.
    unsafe {
        asm!(
            "mov {word}, qword ptr [{address}]",
            word = out(reg) word,
            address = in(reg) address,
            options(nostack, preserves_flags, readonly),
        );
    }
    word
}

/// Fills so many words without a call, for which the path that everything takes would have to save
/// registers.
///
/// # Safety
/// The words at `start` are ours.
#[inline(always)]
pub unsafe fn fill_with(start: usize, words: usize, word: u64) {
    // SAFETY: writes the words and nothing else; the direction flag is clear, by the ABI.
    unsafe {
        asm!(
            "rep stosq",
            inout("rcx") words => _,
            inout("rdi") start => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
}

/// The word that [`find_word`] stopped at.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Word {
    /// Where the word stands; the end if there is none; with its lowest bit set where the load
    /// faults.
    pub at: usize,
    /// The word.
    pub word: usize,
}

// rdi: address, rsi: end, rdx: lowest, rcx: span, r8: mask. Returns in rax the address of the word,
// the end if there is none, or the address with its lowest bit set where the load faults; in rdx
// the word.
global_asm!(
    ".pushsection .text.mallocop_find_word,\"ax\",@progbits",
    ".hidden mallocop_find_word",
    ".hidden mallocop_find_word_load",
    ".hidden mallocop_find_word_fault",
    ".globl mallocop_find_word",
    ".globl mallocop_find_word_load",
    ".globl mallocop_find_word_fault",
    ".type mallocop_find_word,@function",
    ".p2align 5",
    "mallocop_find_word:",
    ".cfi_startproc",
    "cmp rdi, rsi",
    "jae 3f",
    "2:",
    "mallocop_find_word_load:",
    "mov r9, qword ptr [rdi]",
    "mov rax, r9",
    "and rax, r8",
    "sub rax, rdx",
    "cmp rax, rcx",
    "jb 4f",
    "add rdi, 8",
    "cmp rdi, rsi",
    "jb 2b",
    "3:",
    "mov rax, rsi",
    "ret",
    "4:",
    "mov rax, rdi",
    "mov rdx, r9",
    "ret",
    "mallocop_find_word_fault:",
    "lea rax, [rdi + 1]",
    "ret",
    ".cfi_endproc",
    ".size mallocop_find_word, .-mallocop_find_word",
    ".popsection",
);

unsafe extern "C" {
    fn mallocop_find_word(at: usize, end: usize, lowest: usize, span: usize, mask: usize) -> Word;
    static mallocop_find_word_load: u8;
    static mallocop_find_word_fault: u8;
}

/// Looks for the first word of `[at, end)` that is, with `mask` applied, in
/// `[lowest, lowest + span)`.
///
/// # Safety
/// Both ends are multiples of 8. A load that faults is caught: its handler knows it by
/// [`is_word_load`] and goes on at [`word_fault`].
#[inline(always)]
pub unsafe fn find_word(at: usize, end: usize, lowest: usize, span: usize, mask: usize) -> Word {
    // SAFETY: reads aligned words of the range and nothing else.
    unsafe { mallocop_find_word(at, end, lowest, span, mask) }
}

/// Is `pc` the instruction of [`find_word`] that loads a word?
pub fn is_word_load(pc: usize) -> bool {
    pc == (&raw const mallocop_find_word_load).addr()
}

/// Where a handler goes on whose signal came in there.
pub fn word_fault() -> usize {
    (&raw const mallocop_find_word_fault).addr()
}
