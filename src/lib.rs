//! mallocop: a debug allocator for Linux.
pub mod arena;
pub mod debug;
pub mod finding;
pub mod heap;
pub mod options;
pub mod own;
pub mod report;
pub mod stack;
pub mod sys;
