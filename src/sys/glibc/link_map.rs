//! What the loader's own record of a module says: `struct link_map` of link.h.

use core::ffi::{CStr, c_char};

use crate::sys::glibc::find_object::Object;

/// The record's first two members.
#[repr(C)]
struct LinkMap {
    /// The load bias: added to addresses in the file.
    bias: usize,
    /// Path as it was asked for; empty for the program itself.
    name: *const c_char,
}

/// A module's own word on itself.
pub struct Identity<'a> {
    /// The load bias: added to addresses in the file.
    pub bias: usize,
    /// Path as it was asked for; empty for the program itself.
    pub path: &'a [u8],
    /// Its build id; empty without one.
    pub build_id: &'a [u8],
}

/// Most bytes of a build id that are believed.
const MOST_ID: usize = 64;

/// A loaded module's own record.
///
/// # Safety
/// The module stays loaded meanwhile: a frame of it is on the caller's stack.
pub unsafe fn identify<'a>(object: &Object) -> Identity<'a> {
    // SAFETY: the loader's record of a loaded module, by the caller's word.
    let LinkMap { bias, name } = unsafe { (object.link_map as *const LinkMap).read() };
    let path = if name.is_null() {
        &[]
    } else {
        // SAFETY: the loader's own text, as long as the module is loaded.
        unsafe { CStr::from_ptr(name) }.to_bytes()
    };
    // SAFETY: the caller of this function promises the same.
    let build_id = unsafe { build_id(object, bias) }.unwrap_or(&[]);
    Identity { bias, path, build_id }
}

/// The build id in a module's notes (ELF gABI, "Note Section").
///
/// # Safety
/// As [`identify`] asks.
unsafe fn build_id<'a>(object: &Object, bias: usize) -> Option<&'a [u8]> {
    // SAFETY: a module's first mapping starts with its header where linkers put it; asked for
    // below. Any module's first bytes can be read.
    let header = unsafe { &*(object.start as *const libc::Elf64_Ehdr) };
    let table = object.start + header.e_phoff as usize;
    let count = usize::from(header.e_phnum);
    if header.e_ident.get(..4) != Some(b"\x7fELF")
        || usize::from(header.e_phentsize) != size_of::<libc::Elf64_Phdr>()
        || table + count * size_of::<libc::Elf64_Phdr>() > object.end
        || table > object.start + (4 << 10)
        || !table.is_multiple_of(8)
    {
        return None;
    }
    // SAFETY: the program headers lie behind the header, in the same page (checked above).
    let headers = unsafe { core::slice::from_raw_parts(table as *const libc::Elf64_Phdr, count) };
    headers.iter().filter(|segment| segment.p_type == libc::PT_NOTE).find_map(|segment| {
        let start = bias.wrapping_add(segment.p_vaddr as usize);
        let bytes = segment.p_filesz as usize;
        if start < object.start || start.checked_add(bytes)? > object.end {
            return None;
        }
        // SAFETY: a note segment of a loaded module, inside its mappings.
        find_id(unsafe { core::slice::from_raw_parts(start as *const u8, bytes) })
    })
}

/// The first GNU build id among notes.
fn find_id(mut notes: &[u8]) -> Option<&[u8]> {
    const GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |at: usize| Some(u32::from_ne_bytes(*notes.get(at..)?.first_chunk()?));
        let (name, bytes, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let from = 12 + name.checked_next_multiple_of(4)?;
        let id = notes.get(from..from.checked_add(bytes)?)?;
        if kind == GNU_BUILD_ID && notes.get(12..16) == Some(b"GNU\0") && bytes <= MOST_ID {
            return Some(id);
        }
        notes = notes.get(from + bytes.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::glibc::find_object;

    #[test]
    fn this_program_says_who_it_is() {
        let code = this_program_says_who_it_is as *const () as usize;
        let object = find_object::find_object(code).expect("loaded");
        // SAFETY: this function is in it.
        let identity = unsafe { identify(&object) };
        assert!(identity.path.is_empty() && identity.bias <= code);
        let libc = find_object::find_object(libc::getpid as *const () as usize).expect("loaded");
        // SAFETY: libc is never unloaded.
        let identity = unsafe { identify(&libc) };
        assert!(identity.path.ends_with(b"libc.so.6"), "{:?}", identity.path);
        assert_eq!(identity.build_id.len(), 20);
    }

    #[test]
    fn notes_that_end_too_soon_have_no_id() {
        let mut notes = Vec::new();
        for word in [4u32, 4, 3] {
            notes.extend(word.to_ne_bytes());
        }
        notes.extend(b"GNU\0abcd");
        assert_eq!(find_id(&notes), Some(b"abcd".as_slice()));
        (0..notes.len()).for_each(|len| assert_eq!(find_id(&notes[..len]), None));
    }
}
