//! The tree file's layout: extents, units, and the records in them (docs/format.md).

/// Environment variable that names the tree file.
pub const VARIABLE: &core::ffi::CStr = c"MALLOCOP_TREE";
/// First 8 bytes of the file.
pub const MAGIC: [u8; 8] = *b"mallocop";
/// Version of the format.
pub const VERSION: u32 = 3;
/// Bytes of an extent.
pub const EXTENT: usize = 16 << 10;
/// Bytes of a unit: what nodes are numbered by, over the whole file.
pub const UNIT: usize = 16;
/// Units of an extent.
pub const UNITS: u32 = (EXTENT / UNIT) as u32;
/// Extents of the largest file.
pub const MOST_EXTENTS: u32 = 1 << 16;
/// Where the tags start.
pub const TAGS: usize = EXTENT;
/// First extent behind the tags.
pub const FIRST_EXTENT: u32 = 1 + (MOST_EXTENTS as usize * 8 / EXTENT) as u32;

/// Where the log starts in a process's extent.
pub(super) const LOG_START: usize = 5 << 10;
/// Parts of a log behind the first, an extent each.
pub(super) const LOG_PARTS: usize = 512;

/// A loaded module, as a process's log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleRecord<'a> {
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
    /// The load bias: added to addresses in the file.
    pub bias: u64,
    /// Number of this generation of these addresses.
    pub generation: u32,
    /// GNU build id; empty without one.
    pub build_id: &'a [u8],
    /// Working directory at that time, if the path is relative.
    pub folder: &'a [u8],
    /// Path as the loader has it; empty for the program itself.
    pub path: &'a [u8],
}

/// A frame of a stored stack, and the way to the next one further out.
#[repr(C)]
pub struct NodeRecord {
    /// The return address in 47 bits, above it the generation of that address in 13, and the
    /// stack's marks.
    pub word: u64,
    /// Unit of the node further out; 0: this is the outermost frame.
    pub parent: u32,
    /// The site whose innermost frame this is; 0: none so far.
    pub site: core::sync::atomic::AtomicU32,
}

/// One thread's counts of one site. Blocks are counted modulo 2^32.
#[repr(C)]
#[derive(Default)]
pub struct CountRecord {
    /// Bytes allocated.
    pub bytes: core::sync::atomic::AtomicU64,
    /// Bytes freed, of blocks of any thread.
    pub freed: core::sync::atomic::AtomicU64,
    /// Most bytes live at once.
    pub peak: core::sync::atomic::AtomicU64,
    /// Blocks allocated.
    pub blocks: core::sync::atomic::AtomicU32,
    /// Blocks freed, of any thread.
    pub frees: core::sync::atomic::AtomicU32,
}

/// Sites of which one extent has the counts.
pub const COUNTED: u32 = (EXTENT / size_of::<CountRecord>()) as u32;
/// Sites of which one extent has the nodes.
pub const SITES: u32 = (EXTENT / 4) as u32;
/// Sites of which one extent has the portions.
pub const PORTIONS: u32 = (EXTENT / size_of::<Portion>()) as u32;

/// What was freed of a site's blocks and is in no thread's counts.
#[repr(C)]
#[derive(Default)]
pub struct Portion {
    /// Bytes that an allocating thread has still to take off its own count.
    pub bytes: core::sync::atomic::AtomicU64,
    /// Blocks freed by threads past their end.
    pub frees: core::sync::atomic::AtomicU64,
}

const _: () = assert!(size_of::<NodeRecord>() == UNIT && size_of::<CountRecord>() == 32);
