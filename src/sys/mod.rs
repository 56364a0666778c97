//! The only user of libc: memory from the kernel, a futex lock, the thread slot, raw output,
//! process facts. Nothing here allocates but `broken_pipe`, which the command alone has, and errno
//! is what it was after every call.

pub mod apart;
pub mod atomic;
pub mod brk;
#[cfg(feature = "command")]
pub mod broken_pipe;
pub mod dead_stack;
pub mod descriptor;
pub mod ended;
pub mod errno;
pub mod fault_net;
pub mod filter;
mod futex;
pub mod holdings;
pub mod huge;
mod kernel;
pub mod kernel_read;
pub mod link_map;
pub mod loader;
pub mod lock;
mod lock_word;
pub mod maps;
pub mod memory;
pub mod output;
pub mod pagemap;
pub mod park;
pub mod plain_hash;
pub mod process;
pub mod publish;
pub mod regions;
pub mod shared;
mod signal;
pub mod single;
pub mod stream_list;
pub mod target;
pub mod tasks;
pub mod thread;
pub mod thread_end;
mod thread_number;
mod vector_registers;
