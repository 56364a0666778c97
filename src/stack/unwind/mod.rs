//! Unwinding: from a frame to its caller, by rules that are made of call frame information at first
//! sight, and only for those frames that have changed since the thread's last stack.

pub mod cfi;
mod eh_frame_hdr;
pub mod entry_point;
mod frame_buffer;
pub mod frame_cache;
pub mod rule;
pub mod rule_table;
mod stack_limits;
pub mod step;
pub mod thread_unwinder;
pub mod watched_modules;
