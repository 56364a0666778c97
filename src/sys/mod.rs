//! The only user of libc: memory from the kernel, a futex lock, the thread slot, raw output,
//! process facts. Nothing here allocates but `broken_pipe`, which the command alone has, and errno
//! is what it was after every call.

pub mod alt_stack;
pub mod atomic;
pub mod available_memory;
pub mod brk;
pub mod caught_signal;
pub mod death;
pub mod disposition;
pub mod errno;
pub mod exec_check;
pub mod fault_net;
mod futex;
pub mod glibc;
pub mod guard_pages;
pub mod handler_entry;
pub mod handler_stack;
pub mod huge_pages;
mod job;
pub mod lock;
mod lock_word;
pub mod maps;
pub mod memory;
pub mod once_pointer;
pub mod output;
pub mod owned_maps;
pub mod pagemap;
pub mod process;
mod raw_syscall;
pub mod regions;
pub mod safe_read;
pub mod seccomp;
pub mod shared_map;
mod signal;
#[cfg(feature = "command")]
pub mod sigpipe;
pub mod single_threaded;
pub mod stable_hash;
pub mod stack_clear;
pub mod stop_signal;
pub mod thread;
pub mod thread_exit;
pub mod thread_list;
pub mod thread_number;
pub mod thread_start;
mod user_faults;
pub mod vm_read;
pub mod written_pages;
