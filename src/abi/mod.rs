//! What other languages and tools call: Rust's global allocator, LeakSanitizer's and the
//! sanitizers' interfaces, AFL++, test scopes, and the assembly entries through which such calls
//! come.

pub mod lsan;

pub mod rust_global;
pub mod sanitizer;
pub mod sanitizer_symbols;
pub mod shared_heap;
pub mod test_scope;
#[cfg(feature = "libfuzzer")]
pub(crate) mod weak_symbols;
