//! One heap for a program's Rust code and all its other code: libmallocop.so exports this table,
//! and a
//! [`crate::Mallocop`] that finds it hands its calls on. So a block of C's malloc that is given to
//! Rust's dealloc, or the reverse, is seen as what it is.

use crate::abi::test_scope;
use crate::abi::test_scope::Statistics;
use crate::arch::Registers;
use crate::with_registers;

/// Name of the table's symbol; the number changes with its form.
pub const SYMBOL: &core::ffi::CStr = c"mallocop_shared_heap_1";

/// Ends a scope: its number, whether what can be reached counts, and a function that gets a value
/// and a text.
pub type EndScope = unsafe extern "C" fn(u32, bool, usize, extern "C" fn(usize, *const u8, usize));

/// The calls, each with the registers `sp` and `fp` at the entry of the program's call behind its
/// arguments.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SharedHeap {
    /// Size, alignment, whether it has to be zero.
    pub allocate: unsafe extern "C" fn(usize, usize, usize, usize, usize) -> *mut u8,
    /// Block, size, alignment.
    pub release: unsafe extern "C" fn(*mut u8, usize, usize, usize, usize),
    /// Block, size, alignment, new size.
    pub resize: unsafe extern "C" fn(*mut u8, usize, usize, usize, usize, usize) -> *mut u8,
    /// Begins a scope of the calling thread's.
    pub begin_scope: extern "C" fn() -> u32,
    /// Ends it: its number, whether what can be reached counts, too, and who gets the text of what
    /// is found, with a word of the caller's, its first byte and its length. The last is called at
    /// most once.
    pub end_scope: EndScope,
    /// What the process has allocated.
    pub statistics: unsafe extern "C" fn(*mut Statistics),
}

/// Begins a scope.
pub extern "C" fn begin_scope() -> u32 {
    test_scope::begin()
}

with_registers! {
    /// Ends a scope.
    end_scope(4) => end_scope_from(
        token: u32,
        strict: bool,
        word: usize,
        write: extern "C" fn(usize, *const u8, usize)
    );
}

extern "C" fn end_scope_from(
    token: u32,
    strict: bool,
    word: usize,
    write: extern "C" fn(usize, *const u8, usize),
    registers: &Registers,
) {
    let text = test_scope::end(token, strict, registers);
    if !text.is_empty() {
        write(word, text.as_ptr(), text.len());
    }
}

/// Tells what the process has allocated.
///
/// # Safety
/// `out` has room for the numbers.
pub unsafe extern "C" fn statistics(out: *mut Statistics) {
    // SAFETY: the caller of this function promises the same.
    unsafe { out.write(test_scope::statistics()) };
}
