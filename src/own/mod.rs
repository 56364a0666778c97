//! The tool's private memory, and the two places where a block comes from when the program's heap
//! cannot be asked. Each is one address range, so that `free` finds its way by the address alone:
//!
//! - [`heap`]: what the tool itself allocates, and what libc allocates on its behalf.
//! - [`emergency`]: what a signal handler allocates while its thread is inside one of our locks.
//! - [`early`]: what is allocated before this library has been relocated.

pub mod early;
pub mod emergency;
mod free_list;
pub mod heap;

/// Whose private range an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The tool's heap.
    Own,
    /// The signal handlers' region.
    Emergency,
    /// The buffer from before relocation.
    Early,
}

/// The private range that `address` is in; `None` for everything else.
pub fn region_of(address: usize) -> Option<Region> {
    if heap::owns(address) {
        Some(Region::Own)
    } else if emergency::owns(address) {
        Some(Region::Emergency)
    } else if early::owns(address) {
        Some(Region::Early)
    } else {
        None
    }
}

/// Bytes that the block at `pointer` in `region` can hold; 0 if none is there.
pub fn size_of_block(region: Region, pointer: *mut u8) -> usize {
    match region {
        Region::Own => heap::capacity(pointer),
        Region::Emergency => emergency::capacity(pointer),
        Region::Early => early::capacity(pointer),
    }
}
