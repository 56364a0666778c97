//! Calls that a hook or a plan attends to: a fuzzer's hooks hear of each block, a plan refuses some
//! requests. No thread takes the fast path then; without either, nothing of this costs the
//! program anything.

pub mod alloc_hooks;
mod calls;
pub mod fault_injection;
mod fuzz_input;
mod switch;

pub use calls::{allocate, free, resize};
pub use switch::is_on;
