//! Shadow memory: what each address of the program's heap belongs to. A table of leaves holds a
//! state byte and two site words for every 32 bytes of heap, out of the program's reach; nothing is
//! read through a pointer before the shadow says that it is a block.

pub mod block_table;
pub mod guarded_slots;
pub mod lookup;
pub mod mapped_blocks;
pub mod shadowed_pages;
mod state;
mod table;
