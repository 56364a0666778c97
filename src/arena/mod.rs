//! Many threads over the heap.
//!
//! Each thread owns an arena: a heap of its own with a cache in front, which it uses without a
//! lock. What it frees of other arenas' chunks it collects and sends to their remote-free queues.
//! When a thread ends its arena becomes an orphan, and the next new thread's. Threads that own none
//! (too many, or already past their end) work on heaps directly, under their locks.

// The module holds the type it is named for.
#[allow(
    clippy::module_inception,
    reason = "Arena lives in arena::arena, as Heap does in heap::heap"
)]
mod arena;
mod arena_state;
mod arenas;
mod central_free_list;
mod coalesce_queue;
mod owner;
mod remote_free_batch;
mod remote_free_queue;
pub mod size_class;
pub mod stats;
mod thread_cache;

pub use arena::Arena;
pub use arena_state::ArenaState;
pub use arenas::{ArenaPages, Arenas, ZeroIsEmpty};
pub use owner::Owner;
pub use stats::{ThreadStats, peak_bytes};
