//! A finding: one defect, what the program was doing, and what is known of the block.

use serde::{Deserialize, Serialize};

pub use super::access::WrongAccess;
pub use super::block::{AllocKind, Block, Life};
pub use super::damage::{Damage, Side};
pub use super::defect::{BadRequest, Defect};
use super::site::ProcessSite;

/// The operation during which a defect was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// An access to memory by the program's own instruction.
    Access,
    /// An allocating call.
    Allocate,
    /// free and cfree.
    Free,
    /// free_sized, free_aligned_sized.
    FreeSized,
    /// realloc, reallocarray.
    Realloc,
    /// A form of operator delete.
    Delete(AllocKind),
    /// Rust's dealloc, with a Layout.
    Dealloc,
    /// Rust's realloc, with a Layout.
    Reallocate,
    /// malloc_usable_size.
    UsableSize,
    /// A freed block left the quarantine.
    Evict,
    /// mallocop_check.
    Check,
    /// The sweep at exit.
    Exit,
}

impl Operation {
    /// Does the block go on as another one?
    pub const fn is_resize(self) -> bool {
        matches!(self, Self::Realloc | Self::Reallocate)
    }
}

/// What a pointer that is no live block of ours points to. The block it speaks of is the
/// finding's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// The start of a block.
    Start,
    /// Inside a block, so many bytes from its start.
    Inside(usize),
    /// So many bytes in front of a block's start.
    Before(usize),
    /// So many bytes past a block's end.
    Past(usize),
    /// In the program's heap, near no block.
    Heap,
    /// The stack of a thread.
    Stack(u16),
    /// The stack of a thread that never allocated, by its kernel id.
    StackOf(u32),
    /// A module's data, code, another file mapping, or memory without a file.
    Mapping {
        /// May code run there?
        executable: bool,
        /// May it be written?
        writable: bool,
        /// Is a file behind it?
        file: bool,
    },
    /// No mapped memory.
    Unmapped,
    /// No address a program can have.
    NonCanonical,
    /// The fill of a freed block, plus so many bytes: it was read from there.
    PoisonOf(isize),
    /// The fill of a new block, plus so many bytes: it was read from where nothing was written.
    FillOf(isize),
    /// The mappings could not be read.
    Unknown,
}

/// A defect, found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Finding<S = ProcessSite> {
    /// What is wrong.
    pub defect: Defect,
    /// The operation.
    pub operation: Operation,
    /// The pointer it was doing it to; 0 for none.
    pub pointer: usize,
    /// The location that the pointer has.
    pub place: Location,
    /// The block it is about.
    pub block: Option<Block<S>>,
    /// Blocks in front of it and behind it, where the defect reaches there.
    pub beside: [Option<Block<S>>; 2],
    /// Overwritten bytes.
    pub damage: Option<Damage>,
    /// Further blocks with damage that goes back to the same write.
    pub more_damaged: usize,
    /// The thread that was doing it.
    pub thread: u16,
    /// Where it was doing it.
    pub site: S,
}

impl Finding {
    /// A defect found by thread number `thread` at `site`.
    pub const fn new(
        defect: Defect,
        operation: Operation,
        pointer: usize,
        thread: u16,
        site: ProcessSite,
    ) -> Self {
        Self {
            defect,
            operation,
            pointer,
            place: Location::Start,
            block: None,
            beside: [None; 2],
            damage: None,
            more_damaged: 0,
            thread,
            site,
        }
    }
}

impl<S> Finding<S> {
    /// Does it end the program unless told otherwise?
    pub const fn is_error(&self) -> bool {
        !matches!(
            self.defect,
            Defect::BadRequest(_)
                | Defect::Unjudged
                | Defect::Refused { .. }
                | Defect::Surveyed { .. }
        )
    }

    /// Translates the finding's sites.
    pub fn map_sites<T>(self, site: &mut impl FnMut(S) -> T) -> Finding<T> {
        Finding {
            defect: self.defect,
            operation: self.operation,
            pointer: self.pointer,
            place: self.place,
            block: self.block.map(|block| block.map_sites(site)),
            beside: self.beside.map(|block| block.map(|block| block.map_sites(site))),
            damage: self.damage,
            more_damaged: self.more_damaged,
            thread: self.thread,
            site: site(self.site),
        }
    }

    /// Every site that it names.
    pub fn sites(&self) -> impl Iterator<Item = S>
    where
        S: Copy,
    {
        let blocks = self.block.iter().chain(self.beside.iter().flatten());
        [self.site].into_iter().chain(blocks.flat_map(|block| [block.site, block.free_site]))
    }
}
