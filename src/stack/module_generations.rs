//! Tenants: which module had an address when.
//!
//! Where a module was unloaded another one may be loaded. A pc alone does not tell which of them it
//! is in, so that stacks have the generation's number with each frame: 0 for the first module to be
//! seen at an address, then 1, and so on. Modules are noted when the first rule is made for a pc of
//! theirs; one that comes back to where it was is the generation it was.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::sys::glibc::find_object::Object;
use crate::sys::glibc::link_map;
use crate::sys::glibc::link_map::Identity;
use crate::sys::lock::Lock;
use crate::sys::{memory, process, seccomp};
use crate::trace;
use crate::trace::{LogEntry, ModuleRecord};

/// Modules of a table, and tables: programs that load and unload plugins for days come by many.
const IN_TABLE: usize = 1 << 11;
const TABLES: usize = 64;
/// Numbers of generations that a stored frame has room for.
pub const NUMBERS: u32 = 1 << 13;
/// Bytes for the paths of a table's generations.
const PATH_ROOM: usize = 256 << 10;
/// Most bytes of a working directory that are noted, and half of those of a path with it.
const MOST_PATH: usize = 1024;

/// Room for what the record is told of a module.
struct PathRoom {
    folder: [u8; MOST_PATH],
    entry: [u8; 2 * MOST_PATH],
}

/// A module at an address.
struct Generation {
    start: AtomicUsize,
    end: AtomicUsize,
    link_map: AtomicUsize,
    /// Tells modules at one place apart.
    mark: AtomicUsize,
    number: AtomicU32,
    is_loaded: AtomicBool,
    /// Its path, in memory that stays, by address and length.
    path: AtomicUsize,
    path_len: AtomicUsize,
}

/// Tenants, and room for their paths. All zero is an empty one.
struct GenerationTable {
    generations: [Generation; IN_TABLE],
    paths: [AtomicU8; PATH_ROOM],
    paths_used: AtomicUsize,
}

static ALL: [AtomicPtr<GenerationTable>; TABLES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; TABLES];

/// The table that the generation of a number is in; `None`: there is none yet.
fn table(number: usize) -> Option<&'static GenerationTable> {
    // SAFETY: null, or a table, which stays for ever.
    unsafe { ALL.get(number / IN_TABLE)?.load(Ordering::Acquire).as_ref() }
}

/// The generation of a number.
fn generation(number: usize) -> Option<&'static Generation> {
    table(number)?.generations.get(number % IN_TABLE)
}

/// A fresh generation's place, with a table mapped for it if need be.
fn place_for(number: usize) -> Option<(&'static GenerationTable, &'static Generation)> {
    memory::load_or_map(ALL.get(number / IN_TABLE)?, size_of::<GenerationTable>(), |_| {})?;
    Some((table(number)?, generation(number)?))
}
/// How many there are; whoever adds one holds the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Not on the stack, of which there may be little.
static ADDING: Lock<PathRoom> =
    Lock::new(PathRoom { folder: [0; MOST_PATH], entry: [0; 2 * MOST_PATH] });
/// Where modules were unloaded: all of it is between these.
static LOW: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGH: AtomicUsize = AtomicUsize::new(0);

fn all() -> impl DoubleEndedIterator<Item = &'static Generation> {
    (0..COUNT.load(Ordering::Acquire)).filter_map(generation)
}

impl Generation {
    fn covers(&self, address: usize) -> bool {
        self.start.load(Ordering::Relaxed) <= address && address < self.end.load(Ordering::Relaxed)
    }

    fn overlaps(&self, object: &Object) -> bool {
        self.start.load(Ordering::Relaxed) < object.end
            && object.start < self.end.load(Ordering::Relaxed)
    }

    fn is(&self, object: &Object) -> bool {
        self.is_loaded.load(Ordering::Relaxed)
            && self.start.load(Ordering::Relaxed) == object.start
            && self.end.load(Ordering::Relaxed) == object.end
            && self.link_map.load(Ordering::Relaxed) == object.link_map
    }

    /// Keeps a copy of the path where its table has room for it.
    fn keep_path(&self, table: &'static GenerationTable, path: &[u8]) {
        let at = table.paths_used.load(Ordering::Relaxed);
        let Some(room) = table.paths.get(at..at + path.len()) else { return };
        room.iter().zip(path).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
        table.paths_used.store(at + path.len(), Ordering::Relaxed);
        self.path_len.store(path.len(), Ordering::Relaxed);
        self.path.store(room.as_ptr() as usize, Ordering::Release);
    }

    fn path(&self) -> &'static [u8] {
        let start = self.path.load(Ordering::Acquire);
        if start == 0 {
            return &[];
        }
        // SAFETY: `keep_path` has put so many bytes there, which stay.
        unsafe {
            core::slice::from_raw_parts(start as *const u8, self.path_len.load(Ordering::Relaxed))
        }
    }

    fn end(&self) {
        self.is_loaded.store(false, Ordering::Release);
        LOW.fetch_min(self.start.load(Ordering::Relaxed), Ordering::Relaxed);
        HIGH.fetch_max(self.end.load(Ordering::Relaxed), Ordering::Release);
    }
}

/// Notes a module that a frame of the calling thread's stack is in.
pub(super) fn note(object: &Object) {
    if all().rev().any(|generation| generation.is(object)) {
        return;
    }
    // A handler that came in while its own thread adds one, or another thread: the next pc of it
    // notes it.
    let Some(mut room) = ADDING.try_lock() else { return };
    // SAFETY: by the caller's word its code is on the stack.
    let identity = unsafe { link_map::identify(object) };
    let mark = mark_of(object, &identity);
    let mut number = 0;
    let mut known = None;
    for generation in all().filter(|generation| generation.overlaps(object)) {
        if generation.is_loaded.load(Ordering::Relaxed) {
            // Its end was not seen.
            generation.end();
        }
        number = number.max(generation.number.load(Ordering::Relaxed) + 1);
        let is_same = generation.mark.load(Ordering::Relaxed) == mark
            && generation.start.load(Ordering::Relaxed) == object.start;
        known = known.or(is_same.then_some(generation));
    }
    if let Some(generation) = known {
        generation.link_map.store(object.link_map, Ordering::Relaxed);
        generation.is_loaded.store(true, Ordering::Release);
        return;
    }
    let count = COUNT.load(Ordering::Relaxed);
    if let Some((table, generation)) = place_for(count) {
        generation.start.store(object.start, Ordering::Relaxed);
        generation.end.store(object.end, Ordering::Relaxed);
        generation.link_map.store(object.link_map, Ordering::Relaxed);
        generation.mark.store(mark, Ordering::Relaxed);
        generation.number.store(number % NUMBERS, Ordering::Relaxed);
        generation.keep_path(table, identity.path);
        generation.is_loaded.store(true, Ordering::Relaxed);
        COUNT.store(count + 1, Ordering::Release);
        write(object, &identity, number % NUMBERS, &mut room);
    }
}

/// The module with that record of the loader's is unloaded.
#[cold]
pub(super) fn end(link_map: usize) {
    all()
        .filter(|generation| generation.link_map.load(Ordering::Relaxed) == link_map)
        .filter(|generation| generation.is_loaded.load(Ordering::Relaxed))
        .for_each(Generation::end);
}

/// Number of the generation that a place in code belongs to now.
#[inline]
pub(super) fn number_at(place: usize) -> u32 {
    if place >= HIGH.load(Ordering::Acquire) || place < LOW.load(Ordering::Relaxed) {
        return 0;
    }
    find(place).map_or(0, |generation| generation.number.load(Ordering::Relaxed))
}

#[cold]
fn find(place: usize) -> Option<&'static Generation> {
    all()
        .rev()
        .find(|generation| generation.is_loaded.load(Ordering::Relaxed) && generation.covers(place))
}

fn of_number(place: usize, number: u32) -> Option<&'static Generation> {
    all().find(|generation| {
        generation.number.load(Ordering::Relaxed) == number && generation.covers(place)
    })
}

/// Is the generation of that number at a place still loaded there? What was never noted is.
pub fn is_loaded(place: usize, number: u32) -> bool {
    of_number(place, number).is_none_or(|generation| generation.is_loaded.load(Ordering::Acquire))
}

/// Path of the generation of that number, as the loader had it, and the place counted from its
/// start.
pub fn module_at(place: usize, number: u32) -> Option<(String, usize)> {
    let generation = of_number(place, number)?;
    let offset = place - generation.start.load(Ordering::Relaxed);
    Some((String::from_utf8_lossy(generation.path()).into_owned(), offset))
}

/// After fork, in the child: the thread that was adding one is gone.
pub(super) fn renew_after_fork() {
    ADDING.renew();
}

fn mark_of(object: &Object, identity: &Identity<'_>) -> usize {
    let numbers = [object.end, identity.bias, object.eh_frame_hdr];
    let bytes = numbers.iter().flat_map(|number| number.to_ne_bytes());
    let bytes = bytes.chain(identity.path.iter().chain(identity.build_id).copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |mark, byte| {
        (mark ^ usize::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Tells the record.
fn write(object: &Object, identity: &Identity<'_>, generation: u32, room: &mut PathRoom) {
    if !trace::is_open() {
        return;
    }
    let is_relative = !identity.path.is_empty() && !identity.path.starts_with(b"/");
    let folder = match is_relative && !seccomp::is_installed() {
        true => process::working_directory(&mut room.folder),
        false => &[],
    };
    let module = ModuleRecord {
        start: object.start as u64,
        end: object.end as u64,
        bias: identity.bias as u64,
        generation,
        build_id: identity.build_id,
        folder,
        path: identity.path,
    };
    if let Ok(bytes) = postcard::to_slice(&module, &mut room.entry) {
        trace::append(LogEntry::Module, bytes);
    }
}
