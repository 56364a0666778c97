//! The sorted table in a module's .eh_frame_hdr (Linux Standard Base 5, section 10.6.2): address -> entry
//! of .eh_frame. Binary search, without reading anything else.

use crate::sys::loader::Object;

/// version 1; .eh_frame's place pc-relative, 4 bytes; number of rows, 4 bytes; rows of 4-byte pairs, relative
/// to the header. What GNU ld, gold, lld and mold write.
const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Bytes in front of the rows.
const ROWS: usize = 12;

/// A module's .eh_frame, and where in it an entry is.
pub(super) struct Entry {
    /// From the section's start to the module's end.
    pub(super) section: &'static [u8],
    /// The section's first address.
    pub(super) start: usize,
    /// The entry's place in it.
    pub(super) offset: usize,
}

/// The last entry that starts at or below `pc`; it may end below it, too.
pub(super) fn find(object: &Object, pc: usize) -> Option<Entry> {
    let header = object.eh_frame_hdr;
    let bytes = bytes(object, header)?;
    if bytes.get(..4)? != FORM {
        return None;
    }
    let number = |at: usize| Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?));
    let start = (header + 4).checked_add_signed(number(4)? as isize)?;
    let rows = number(8)? as u32 as usize;
    let wanted = pc.wrapping_sub(header) as i64;
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if i64::from(number(ROWS + middle * 8)?) <= wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let row = low.checked_sub(1)?;
    let entry = header.checked_add_signed(number(ROWS + row * 8 + 4)? as isize)?;
    let section = self::bytes(object, start)?;
    Some(Entry { section, start, offset: entry.checked_sub(start)? })
}

/// The module's bytes from `start` on. Between its segments there may be holes, which a reader that
/// follows the sections' own lengths does not get to.
fn bytes(object: &Object, start: usize) -> Option<&'static [u8]> {
    if start < object.start || start >= object.end {
        return None;
    }
    // SAFETY: the module is mapped there; it stays while a frame of it is on the caller's stack, and
    // whoever asks has one.
    Some(unsafe { core::slice::from_raw_parts(start as *const u8, object.end - start) })
}
