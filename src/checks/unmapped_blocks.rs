//! The last blocks whose mappings went back to the kernel: a program that still uses one faults.

use crate::model::finding::{Block, Life};
use crate::shadow::mapped_blocks::MappedBlock;
use crate::sys::lock::Lock;

/// Blocks that are remembered.
const ROOM: usize = 64;

struct Recent {
    blocks: [Option<MappedBlock>; ROOM],
    count: usize,
}

static RECENT: Lock<Recent> = Lock::new(Recent { blocks: [None; ROOM], count: 0 });

/// Remembers a freed block whose mapping is about to go.
pub(crate) fn note(mapped: MappedBlock) {
    let mut recent = RECENT.lock();
    let at = recent.count % ROOM;
    recent.count += 1;
    if let Some(place) = recent.blocks.get_mut(at) {
        *place = Some(mapped);
    }
}

/// The last block whose mapping had the address.
pub(crate) fn find(address: usize) -> Option<Block> {
    let recent = RECENT.try_lock()?;
    let newest = recent.count;
    let has_it = |mapped: &MappedBlock| (mapped.span.start..mapped.span.end()).contains(&address);
    let found = (0..ROOM.min(newest)).find_map(|age| {
        let at = (newest - 1 - age) % ROOM;
        recent.blocks.get(at).copied().flatten().filter(has_it)
    });
    found.map(|mapped| Block { life: Life::Freed, ..mapped.block })
}

/// In a forked child: nobody else is at it.
pub(crate) fn renew_after_fork() {
    RECENT.renew();
}
