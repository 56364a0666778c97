//! What is glibc's own: its thread descriptor, its list of streams, the loader's records, and its
//! hooks at fork and exit, which no standard promises.

pub mod find_object;
pub mod link_map;
pub mod process_hooks;
pub mod stream_buffer;
pub mod stream_list;
pub mod thread_descriptor;
