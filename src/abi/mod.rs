//! What other languages and tools call: Rust's global allocator, LeakSanitizer's and the sanitizers'
//! interfaces, AFL++, test scopes, and the assembly entries through which such calls come.

pub mod afl;
pub mod entry_macros;
pub mod lsan;
pub mod lsan_user_hooks;
pub mod rust_global;
pub mod sanitizer;
pub mod sanitizer_symbols;
pub mod shared_heap;
pub mod test_scope;
#[cfg(feature = "libfuzzer")]
mod weak_symbols;
