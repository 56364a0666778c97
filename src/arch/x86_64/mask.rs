//! The bytes that a vector instruction with a mask accesses: only elements whose bits are set can
//! fault (Intel's manual, volume 1, 15.6).

use super::operand_width::is_resized;
use super::prefixes::{Prefixes, Table};

/// The accessed part of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Offset from the operand's address.
    pub(super) start: usize,
    /// Number of bytes; 0 if it is not known.
    pub(super) bytes: usize,
}

/// The accessed part of an operand of `width` bytes. `values` gives the value of a mask register.
/// `None` if no element is chosen.
pub(super) fn span_of(
    width: usize,
    (table, opcode): (Table, u8),
    with: &Prefixes,
    values: impl Fn(u8) -> Option<u64>,
) -> Option<Span> {
    let whole = Some(Span { start: 0, bytes: width });
    let unknown = Some(Span { start: 0, bytes: 0 });
    if with.mask == 0 {
        return whole;
    }
    let Some(mask) = values(with.mask) else { return unknown };
    // A broadcast reads its only element if any is chosen.
    if with.is_broadcast || table == 2 && matches!(opcode, 0x18 | 0x19 | 0x58 | 0x59) {
        return whole.filter(|_| mask != 0);
    }
    let Some(element) = element_of(table, opcode, with) else { return unknown };
    let elements = width / element;
    let mask = if elements < 64 { mask & ((1 << elements) - 1) } else { mask };
    if mask == 0 {
        return None;
    }
    if is_packed(table, opcode) {
        return Some(Span { start: 0, bytes: mask.count_ones() as usize * element });
    }
    let (first, last) = (mask.trailing_zeros() as usize, mask.ilog2() as usize);
    Some(Span { start: first * element, bytes: (last + 1 - first) * element })
}

/// Are the chosen elements adjacent in memory?
pub(super) const fn is_packed(table: Table, opcode: u8) -> bool {
    table == 2 && matches!(opcode, 0x62 | 0x63 | 0x88..=0x8b)
}

/// Bytes of an element in memory. `None` if they are not known.
pub(super) const fn element_of(table: Table, opcode: u8, with: &Prefixes) -> Option<usize> {
    let narrow = if with.is_wide { 2 } else { 1 };
    Some(match (table, opcode) {
        (1, 0x6f | 0x7f) if with.is_f2 => narrow,
        (1, 0x10 | 0x11 | 0x28 | 0x29 | 0x51..=0x59 | 0x5c..=0x5f | 0x6f | 0x7f | 0xc2) => {
            with.element()
        }
        (1, 0x64 | 0x74 | 0xd8 | 0xda | 0xdc | 0xde | 0xe0 | 0xe8 | 0xec | 0xf8 | 0xfc) => 1,
        (1, 0x65 | 0x75 | 0xd5 | 0xd9 | 0xdd | 0xe3..=0xe5 | 0xe9 | 0xea | 0xed | 0xee) => 2,
        (1, 0xf9 | 0xfd) => 2,
        (1, 0x66 | 0x76 | 0xdb | 0xdf | 0xeb | 0xef | 0xfa | 0xfe) => with.element(),
        (1, 0xd4 | 0xfb) | (2, 0x29 | 0x37) => 8,
        (2, 0x62 | 0x63) => narrow,
        (2, 0x88..=0x8b) => with.element(),
        (2, 0x1c | 0x38 | 0x3c) => 1,
        (2, 0x1d | 0x3a | 0x3e) => 2,
        (2, 0x26 | 0x66 | 0x75 | 0x7d | 0x8d) => narrow,
        (2, 0x10..=0x12) if !is_resized(opcode, with) => 2,
        (2, 0x39 | 0x3b | 0x3d | 0x3f) => with.element(),
        (2, 0x27 | 0x64 | 0x65 | 0x76 | 0x77 | 0x7e | 0x7f | 0x96..=0x98 | 0x9a | 0x9c | 0x9e) => {
            with.element()
        }
        (2, 0xa6..=0xa8 | 0xaa | 0xac | 0xae | 0xb6..=0xb8 | 0xba | 0xbc | 0xbe) => with.element(),
        (2, _) if is_resized(opcode, with) => match opcode & 7 {
            0..=2 => 1,
            3 | 4 => 2,
            _ => 4,
        },
        (3, 0x3e | 0x3f) => narrow,
        (3, 0x1e | 0x1f | 0x25) => with.element(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::arch::x86_64::fault_context::{GENERAL, Touch};
    use crate::arch::x86_64::instruction::memory_operand;

    const RAX: usize = 13;

    /// Offset from rax, bytes and kind of the access, with `mask` in every mask register.
    fn touched(bytes: &[u8], mask: u64) -> Option<(usize, usize, Touch)> {
        let mut general = [0; GENERAL];
        general[RAX] = 0x1000;
        let found = memory_operand(bytes, &general, |_| Some(mask))?;
        Some((found.address - 0x1000, found.bytes, found.touch))
    }

    #[test]
    fn only_chosen_elements_are_touched() {
        // vmovdqu8 [rax + 64]{k1}, zmm16
        let bytes = &[0x62, 0xe1, 0x7f, 0x49, 0x7f, 0x40, 0x01];
        assert_eq!(touched(bytes, 0b11_0100), Some((66, 4, Touch::Write)));
        assert_eq!(touched(bytes, u64::MAX), Some((64, 64, Touch::Write)));
        assert_eq!(touched(bytes, 0), None);
        // vmovdqu32 ymm0{k1}, [rax + 32]: bits above its eight elements do not count.
        let bytes = &[0x62, 0xf1, 0x7e, 0x29, 0x6f, 0x40, 0x01];
        assert_eq!(touched(bytes, 0x102), Some((36, 4, Touch::Read)));
        // vpcompressd [rax + 8]{k1}, zmm0: the chosen elements are adjacent.
        let bytes = &[0x62, 0xf2, 0x7d, 0x49, 0x8b, 0x40, 0x02];
        assert_eq!(touched(bytes, 0b1001_0001), Some((8, 12, Touch::Write)));
        // vaddps zmm0{k1}, zmm1, dword bcst [rax + 4]
        let bytes = &[0x62, 0xf1, 0x74, 0x59, 0x58, 0x40, 0x01];
        assert_eq!(touched(bytes, 0x8000), Some((4, 4, Touch::Read)));
    }

    /// Without the size of an element the width of the access is not known.
    #[test]
    fn what_is_not_known_has_no_width() {
        // vpacksswb zmm0{k1}, zmm1, [rax]
        let bytes = &[0x62, 0xf1, 0x75, 0x49, 0x63, 0x00];
        assert_eq!(touched(bytes, 1), Some((0, 0, Touch::Read)));
    }
}
