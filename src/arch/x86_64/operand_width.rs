//! How many bytes an instruction reads or writes at its memory operand (Intel's manual, volume 2,
//! appendix A). 0: not known.

/// The bytes in front of the opcode.
#[derive(Default)]
pub(super) struct Prefixes {
    /// REX.X, REX.B: bit 3 of the index and of the base.
    pub(super) index: u8,
    pub(super) base: u8,
    pub(super) is_short: bool,
    /// F3 or what VEX has for it.
    pub(super) is_repeated: bool,
    /// EVEX, whose offsets are scaled.
    pub(super) is_compressed: bool,
    /// REX.W, or VEX.W.
    pub(super) is_wide: bool,
    /// 66, or what VEX has for it.
    pub(super) is_narrow: bool,
    /// F2, or what VEX has for it.
    pub(super) is_f2: bool,
    /// Of a vector register: 16 times two to this.
    pub(super) length: u8,
}

impl Prefixes {
    /// Takes over the two lowest bits of a VEX prefix's last byte, and its length.
    pub(super) fn set_vex(&mut self, last: u8) {
        self.is_narrow = last & 3 == 1;
        self.is_repeated = last & 3 == 2;
        self.is_f2 = last & 3 == 3;
        self.length = (last >> 2) & 1;
    }

    /// Bytes of a general register.
    const fn word(&self) -> usize {
        if self.is_wide {
            8
        } else if self.is_narrow {
            2
        } else {
            4
        }
    }

    /// Bytes of a vector register.
    const fn vector(&self) -> usize {
        16 << self.length
    }

    /// Of a whole vector, or of its lowest float.
    const fn float(&self) -> usize {
        match (self.is_repeated, self.is_f2) {
            (true, _) => 4,
            (_, true) => 8,
            _ => self.vector(),
        }
    }

    /// Of a vector register, or of an MMX one.
    const fn packed(&self) -> usize {
        if self.is_narrow || self.is_repeated || self.length > 0 { self.vector() } else { 8 }
    }
}

/// The width of the operand of an opcode in a table: one byte, behind 0F, behind 0F 38, behind
/// 0F 3A. `extension` are the middle bits of the ModRM byte.
pub(super) const fn width_of(table: u8, opcode: u8, extension: u8, with: &Prefixes) -> usize {
    match table {
        0 => of_one_byte(opcode, extension, with),
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
        0x10 | 0x11 | 0x51..=0x59 | 0x5c..=0x5f | 0xc2 => with.float(),
        0x5a if !with.is_repeated && !with.is_f2 && !with.is_narrow => 8 << with.length,
        0x5a | 0x5b => with.float(),
        0x12 | 0x13 | 0x16 | 0x17 | 0xd6 => 8,
        0x14 | 0x15 | 0x28 | 0x29 | 0x2b | 0xc6 | 0xf0 => with.vector(),
        0x2a if with.is_repeated || with.is_f2 => with.word(),
        0x2c | 0x2d if with.is_repeated => 4,
        0x2a | 0x2c | 0x2d => 8,
        0x2e | 0x2f => {
            if with.is_narrow {
                8
            } else {
                4
            }
        }
        0x6e => {
            if with.is_wide {
                8
            } else {
                4
            }
        }
        0x7e if with.is_repeated || with.is_wide => 8,
        0x7e => 4,
        0x90..=0x9f | 0xb0 | 0xb6 | 0xbe | 0xc0 => 1,
        0xb7 | 0xbf => 2,
        0xc7 if with.is_wide => 16,
        0xc7 => 8,
        0x60..=0x7f | 0xd1..=0xfe => with.packed(),
        _ => with.word(),
    }
}

const fn of_38(opcode: u8, with: &Prefixes) -> usize {
    match opcode {
        0x78 => 1,
        0x79 => 2,
        0x18 | 0x58 => 4,
        0x19 | 0x59 => 8,
        0x1a | 0x5a => 16,
        0x20 | 0x23 | 0x25 | 0x30 | 0x33 | 0x35 => with.vector() / 2,
        0x21 | 0x24 | 0x31 | 0x34 => with.vector() / 4,
        0x22 | 0x32 => with.vector() / 8,
        0xf0 if with.is_f2 => 1,
        0xf0..=0xf7 => with.word(),
        _ => with.vector(),
    }
}

const fn of_3a(opcode: u8, with: &Prefixes) -> usize {
    match opcode {
        0x14 | 0x20 => 1,
        0x15 => 2,
        0x17 | 0x21 => 4,
        0x16 | 0x22 if with.is_wide => 8,
        0x16 | 0x22 => 4,
        0x18 | 0x19 | 0x38 | 0x39 => 16,
        0xf0 => with.word(),
        _ => with.vector(),
    }
}
