//! The sorted table in a module's .eh_frame_hdr (Linux Standard Base 5, section 10.6.2): address ->
//! entry of .eh_frame. Binary search, without reading anything else.

/// version 1; .eh_frame's place pc-relative, 4 bytes; number of rows, 4 bytes; rows of 4-byte
/// pairs, relative to the header. What GNU ld, gold, lld and mold write.
const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Bytes in front of the rows.
const ROWS: usize = 12;

/// The part of a module's .eh_frame that an entry needs, and where in it that is.
pub(crate) struct SearchEntry {
    /// From the section's start to the entry's end.
    pub(crate) section: &'static [u8],
    /// The section's first address.
    pub(crate) start: usize,
    /// The entry's place in it.
    pub(crate) offset: usize,
    /// First address that the entry covers.
    pub(crate) first: usize,
}

/// The last entry that starts at or below `pc`; it may end below it, too.
pub(crate) fn find(header: usize, pc: usize) -> Option<SearchEntry> {
    // SAFETY: the loader says that a header is there.
    let head = unsafe { bytes(header, ROWS) }?;
    if head.get(..4)? != FORM {
        return None;
    }
    let start = (header + 4).checked_add_signed(number(head, 4)? as isize)?;
    let rows = number(head, 8)? as u32 as usize;
    // SAFETY: the header is that long by its own word.
    let table = unsafe { bytes(header + ROWS, rows.checked_mul(8)?) }?;
    let wanted = pc.wrapping_sub(header) as i64;
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if i64::from(number(table, middle * 8)?) <= wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let row = low.checked_sub(1)?;
    let first = header.checked_add_signed(number(table, row * 8)? as isize)?;
    let entry = header.checked_add_signed(number(table, row * 8 + 4)? as isize)?;
    let offset = entry.checked_sub(start)?;
    // SAFETY: an entry is there, and begins with its length; what it refers to lies in front of it.
    let section = unsafe {
        let length = number(bytes(entry, 4)?, 0)? as u32;
        bytes(start, offset.checked_add(4)?.checked_add(length as usize)?)?
    };
    Some(SearchEntry { section, start, offset, first })
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

/// # Safety
/// So many bytes are mapped there: a module's, which stays while a frame of it is on the caller's
/// stack, and whoever asks has one.
unsafe fn bytes(start: usize, len: usize) -> Option<&'static [u8]> {
    const LONGEST: usize = 1 << 32;
    if start == 0 || len > LONGEST {
        return None;
    }
    // SAFETY: by the caller's word.
    Some(unsafe { core::slice::from_raw_parts(start as *const u8, len) })
}
