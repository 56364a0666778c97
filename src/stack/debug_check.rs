//! Is a file's debug information fit to be read? A file may name a pipe as the place of its lines,
//! which would be waited for without end, or claim sections that no memory holds.

use std::borrow::Cow;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gimli::{Dwarf, DwarfSections, EndianSlice, RunTimeEndian, Unit, UnitType};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{CompressionHeader as _, FileHeader as _, SectionHeader as _};
use object::read::{Object, ObjectSection, ReadCache};

/// Most bytes that compressed sections have once they are read: they are all in memory then.
const MOST_UNPACKED: u64 = 512 << 20;
/// Most bytes of sections that are read in their place.
const MOST_MAPPED: u64 = 4 << 30;
/// How many times as large as its blocks on disk a file with such sections may be: others have
/// holes, and say nothing.
const MOST_HOLES: u64 = 4;

type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;

/// Can the debug information of the file be read, and that of all files that it names?
pub fn is_sound(path: &Path) -> bool {
    has_sound_sections(path) && has_sound_parts(path) && is_package_sound(path)
}

/// Is it a regular file whose sections are of a size that can be?
pub fn has_sound_sections(path: &Path) -> bool {
    let Some(facts) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else { return false };
    let Ok(file) = File::open(path) else { return false };
    let cache = ReadCache::new(file);
    // By the headers alone: the library's own reader begins with the table of symbols.
    let Some((unpacked, mapped)) = bytes_of_sections(&cache) else { return false };
    unpacked <= MOST_UNPACKED && mapped <= MOST_MAPPED && is_dense(&facts, mapped)
}

/// Bytes that the sections have once they are read: of those that are compressed, and of the others
/// in the file. `None`: it is no file of sections.
fn bytes_of_sections(cache: &ReadCache<File>) -> Option<(u64, u64)> {
    let header = FileHeader64::<Endianness>::parse(cache).ok()?;
    let endian = header.endian().ok()?;
    let (mut unpacked, mut mapped) = (0u64, 0u64);
    for section in header.section_headers(endian, cache).ok()? {
        if section.sh_type(endian) == elf::SHT_NOBITS {
            continue;
        }
        mapped = mapped.saturating_add(section.sh_size(endian));
        if let Ok(Some((compression, ..))) = section.compression(endian, cache) {
            unpacked = unpacked.saturating_add(compression.ch_size(endian));
        }
    }
    Some((unpacked, mapped))
}

/// Does a file have about as much on disk as `bytes`? Others have holes, and say nothing.
pub fn is_dense(facts: &fs::Metadata, bytes: u64) -> bool {
    bytes <= (facts.blocks().saturating_mul(512)).saturating_mul(MOST_HOLES).saturating_add(1 << 20)
}

/// Is the package with the parts of split debug information, if there is one, such a file?
fn is_package_sound(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".dwp");
    let beside = PathBuf::from(name);
    !beside.exists() || has_sound_sections(&beside)
}

/// Are the files sound in which split debug information lies (`-gsplit-dwarf`)? Those that are not
/// there are no matter.
fn has_sound_parts(path: &Path) -> bool {
    match parts_of(path) {
        None => true,
        Some(Err(())) => false,
        Some(Ok(parts)) => parts.iter().all(|part| !part.exists() || has_sound_sections(part)),
    }
}

/// The files that the units of a file name. `None`: there are none; `Err`: that cannot be read.
fn parts_of(path: &Path) -> Option<Result<Vec<PathBuf>, ()>> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let object = object::File::parse(&cache).ok()?;
    // Units of that kind have their addresses there.
    object.section_by_name(".debug_addr")?;
    let endian = if object.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = object.section_by_name(id.name());
        let Some(section) = section else { return Ok(Cow::Borrowed(&[])) };
        section.uncompressed_data().map_err(|_| gimli::Error::Io)
    };
    // What cannot be read here may name anything.
    let Ok(sections) = DwarfSections::load(load) else { return Some(Err(())) };
    let dwarf = sections.borrow(|section| EndianSlice::new(section, endian));
    let mut parts = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let is_skeleton = matches!(header.type_(), UnitType::Skeleton(_));
        if (header.version() < 5 || is_skeleton)
            && let Ok(unit) = dwarf.unit(header)
        {
            parts.extend(part_of(&dwarf, &unit));
        }
    }
    Some(Ok(parts))
}

/// The file that a unit names.
fn part_of(dwarf: &Dwarf<Bytes<'_>>, unit: &Unit<Bytes<'_>>) -> Option<PathBuf> {
    let name = unit.dwo_name().ok()??;
    let name = dwarf.attr_string(unit, name).ok()?;
    let folder = unit.comp_dir.as_ref().map(|folder| folder.to_vec()).unwrap_or_default();
    let to_path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    Some(to_path(&folder).join(to_path(&name)))
}
