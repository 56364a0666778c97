//! How many bytes an instruction reads or writes at its memory operand (Intel's manual, volume 2,
//! appendix A, and the pages of each instruction). 0: not known.

use super::prefixes::{Prefixes, Table};

/// The width of the operand of an opcode in a table, with all its elements. `extension` are the
/// middle bits of the ModRM byte.
pub(super) const fn width_of(table: Table, opcode: u8, extension: u8, with: &Prefixes) -> usize {
    match table {
        0 => of_one_byte(opcode, extension, with),
        _ if with.is_broadcast => with.element(),
        1 => of_two_bytes(opcode, with),
        2 => of_38(opcode, with),
        _ => of_3a(opcode, with),
    }
}

const fn of_one_byte(opcode: u8, extension: u8, with: &Prefixes) -> usize {
    match opcode {
        0x63 => 4,
        0x8c | 0x8e => 2,
        0x8f | 0x50..=0x5f | 0xc9 | 0xe8 => 8,
        0xd8..=0xdf => of_float_unit(opcode, extension),
        0xff if extension > 1 => 8,
        0x69 | 0x6b | 0x83 => with.word(),
        _ if opcode & 1 == 0 => 1,
        _ => with.word(),
    }
}

const fn of_float_unit(opcode: u8, extension: u8) -> usize {
    match (opcode, extension) {
        (0xd9 | 0xdd, 4 | 6) => 0,
        (0xd9, 5 | 7) | (0xdd, 7) | (0xde, _) | (0xdf, 0..=3) => 2,
        (0xdb, 5 | 7) | (0xdf, 4 | 6) => 10,
        (0xdc | 0xdd | 0xdf, _) => 8,
        _ => 4,
    }
}

const fn of_two_bytes(opcode: u8, with: &Prefixes) -> usize {
    match opcode {
        0x12 if with.is_f2 && with.length > 0 => with.vector(),
        0x12 | 0x16 if with.is_repeated => with.vector(),
        0x12 | 0x13 | 0x16 | 0x17 | 0xd6 => 8,
        0x14 | 0x15 | 0x28 | 0x29 | 0x2b | 0xc6 | 0xd0 | 0xf0 => with.vector(),
        0x10 | 0x11 | 0x51..=0x59 | 0x5c..=0x5f | 0xc2 => with.float(),
        0x2a..=0x2f | 0x5a | 0x5b | 0xe6 => of_conversion(opcode, with),
        0x78..=0x7b if with.is_compressed => of_conversion(opcode, with),
        0x6e => with.element(),
        0x7e if with.is_repeated => 8,
        0x7e => with.element(),
        // kmov.
        0x90 | 0x91 if with.is_vector => match (with.is_narrow, with.is_wide) {
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 4,
            (false, true) => 8,
        },
        0x90..=0x9f | 0xb0 | 0xb6 | 0xbe | 0xc0 => 1,
        0xb7 | 0xbf | 0xc4 => 2,
        0xc7 if with.is_wide => 16,
        0xc7 => 8,
        // The number of bits that a vector is shifted by.
        0xd1..=0xd3 | 0xe1 | 0xe2 | 0xf1..=0xf3 if with.is_narrow => 16,
        // MMX unpacks of the lower half.
        0x60..=0x62 if !with.is_narrow => 4,
        0x60..=0x7f | 0xd1..=0xfe => with.packed(),
        _ => with.word(),
    }
}

/// Width of the operand of a conversion.
const fn of_conversion(opcode: u8, with: &Prefixes) -> usize {
    let half = 8 << with.length;
    match opcode {
        0x2a | 0x7b if with.is_repeated || with.is_f2 => with.word(),
        0x2c | 0x2d | 0x78 | 0x79 if with.is_repeated => 4,
        0x2e | 0x2f if !with.is_narrow => 4,
        0x2a => 8,
        0x2b => with.vector(),
        0x2c..=0x2f => {
            if with.is_narrow && opcode < 0x2e {
                16
            } else {
                8
            }
        }
        0x5a if with.is_repeated || with.is_f2 => with.float(),
        0x5a if !with.is_narrow => half,
        0x78 | 0x79 if with.is_f2 => 8,
        0x78..=0x7b if with.is_narrow && !with.is_wide => half,
        0x7a | 0xe6 if with.is_repeated && !with.is_wide => half,
        _ => with.vector(),
    }
}

const fn of_38(opcode: u8, with: &Prefixes) -> usize {
    match opcode {
        0x78 => 1,
        0x79 => 2,
        0x18 | 0x58 => 4,
        0x19 | 0x59 => 8,
        0x1a | 0x5a => 16,
        0x1b | 0x5b => 32,
        _ if is_resized(opcode, with) => match opcode & 7 {
            0 | 3 | 5 => with.vector() / 2,
            1 | 4 => with.vector() / 4,
            _ => with.vector() / 8,
        },
        0x13 => with.vector() / 2,
        // Scalar forms.
        0x2d if with.is_compressed => with.element(),
        0x43 | 0x4d | 0x4f | 0xcb | 0xcd if with.is_compressed => with.element(),
        0x99 | 0x9b | 0x9d | 0x9f | 0xa9 | 0xab | 0xad | 0xaf => with.element(),
        0xb9 | 0xbb | 0xbd | 0xbf => with.element(),
        0xf0 if with.is_f2 => 1,
        0xf0..=0xf7 if with.is_vector => with.element(),
        0xf0..=0xf7 => with.word(),
        _ => with.vector(),
    }
}

/// Does the instruction widen or narrow its elements?
pub(super) const fn is_resized(opcode: u8, with: &Prefixes) -> bool {
    match opcode {
        0x10..=0x15 => with.is_compressed && with.is_repeated,
        0x20..=0x25 | 0x30..=0x35 => true,
        _ => false,
    }
}

const fn of_3a(opcode: u8, with: &Prefixes) -> usize {
    match opcode {
        0x14 | 0x20 => 1,
        0x15 => 2,
        0x17 | 0x21 | 0x0a => 4,
        0x0b => 8,
        0x16 | 0x22 => with.element(),
        0x18 | 0x19 | 0x38 | 0x39 => 16,
        0x1a | 0x1b | 0x3a | 0x3b => 32,
        0x1d => with.vector() / 2,
        0x27 | 0x51 | 0x55 | 0x57 | 0x67 if with.is_compressed => with.element(),
        // AMD's FMA4, in which W is the order of the operands.
        0x6a | 0x6e | 0x7a | 0x7e => 4,
        0x6b | 0x6f | 0x7b | 0x7f => 8,
        0xf0 => with.element(),
        _ => with.vector(),
    }
}
