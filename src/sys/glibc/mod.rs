//! What is glibc's own: facts about its thread descriptor, its list of streams, and the dynamic
//! loader's records, which no header promises.

pub mod find_object;
pub mod link_map;
pub mod stream_list;
pub mod thread_descriptor;
