//! mallocop: a debug allocator for Linux.
pub mod heap;
