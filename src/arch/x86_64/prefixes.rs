//! Prefixes and opcode, the bytes of an instruction in front of its ModRM byte (Intel's manual,
//! volume 2, chapter 2; EVEX: 2.7).

/// The bytes that are left of an instruction.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn long(&mut self) -> Option<isize> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_le_bytes(*word) as isize)
    }
}

/// The opcode's table: one byte, behind 0F, behind 0F 38, behind 0F 3A.
pub(super) type Table = u8;

/// The bytes in front of the opcode.
#[derive(Default)]
pub(super) struct Prefixes {
    /// REX.X, REX.B: bit 3 of the index and of the base.
    pub(super) index: u8,
    pub(super) base: u8,
    pub(super) is_short: bool,
    /// F3 or what VEX has for it.
    pub(super) is_repeated: bool,
    /// VEX or EVEX.
    pub(super) is_vector: bool,
    /// EVEX, whose short offsets are in units of the operand's size.
    pub(super) is_compressed: bool,
    /// EVEX.b: a memory operand is one element, used for all.
    pub(super) is_broadcast: bool,
    /// EVEX.aaa: number of the mask register that chooses elements; 0 if all are chosen.
    pub(super) mask: u8,
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
    /// Reads the two lowest bits and the length bit of a VEX prefix's last byte.
    fn set_vex(&mut self, last: u8) {
        self.is_vector = true;
        self.is_narrow = last & 3 == 1;
        self.is_repeated = last & 3 == 2;
        self.is_f2 = last & 3 == 3;
        self.length = (last >> 2) & 1;
    }

    /// Reads an EVEX prefix's last byte.
    fn set_evex(&mut self, last: u8) {
        self.is_compressed = true;
        self.length = (last >> 5) & 3;
        self.is_broadcast = last & 0x10 != 0;
        self.mask = last & 7;
    }

    /// Bytes of a general register.
    pub(super) const fn word(&self) -> usize {
        if self.is_wide {
            8
        } else if self.is_narrow {
            2
        } else {
            4
        }
    }

    /// Bytes of a vector register.
    pub(super) const fn vector(&self) -> usize {
        16 << self.length
    }

    /// Bytes of a vector of floats, or of a scalar float.
    pub(super) const fn float(&self) -> usize {
        match (self.is_repeated, self.is_f2) {
            (true, _) => 4,
            (_, true) => 8,
            _ => self.vector(),
        }
    }

    /// Bytes of a vector register or an MMX register.
    pub(super) const fn packed(&self) -> usize {
        match self {
            Self {
                is_vector: false, is_narrow: false, is_repeated: false, is_f2: false, ..
            } => 8,
            _ => self.vector(),
        }
    }

    /// Bytes of an element of four bytes, or of eight with W.
    pub(super) const fn element(&self) -> usize {
        if self.is_wide { 8 } else { 4 }
    }
}

/// The prefixes, the table and the opcode at the start of an instruction.
pub(super) fn opcode_of(bytes: &mut Bytes<'_>) -> Option<(Prefixes, Table, u8)> {
    let mut prefixes = Prefixes::default();
    loop {
        match bytes.next()? {
            // Relative to the thread: where that is, nobody here knows.
            0x64 | 0x65 => return None,
            0x67 => prefixes.is_short = true,
            0xf3 => prefixes.is_repeated = true,
            0xf2 => prefixes.is_f2 = true,
            0x66 => prefixes.is_narrow = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0xf0 => {}
            rex @ 0x40..=0x4f => {
                prefixes.is_wide = rex & 8 != 0;
                (prefixes.index, prefixes.base) = ((rex & 2) << 2, (rex & 1) << 3);
            }
            0xc5 => {
                prefixes.set_vex(bytes.next()?);
                return Some((prefixes, 1, bytes.next()?));
            }
            start @ (0xc4 | 0x62) => {
                let first = bytes.next()?;
                (prefixes.index, prefixes.base) = ((!first >> 3) & 8, (!first >> 2) & 8);
                let last = bytes.next()?;
                prefixes.set_vex(last);
                prefixes.is_wide = last & 0x80 != 0;
                if start == 0x62 {
                    prefixes.set_evex(bytes.next()?);
                }
                // The other tables have instructions for half floats.
                let table = first & if start == 0x62 { 7 } else { 31 };
                return Some((prefixes, table, bytes.next()?)).filter(|_| (1..4).contains(&table));
            }
            0x0f => {
                return Some(match bytes.next()? {
                    0x38 => (prefixes, 2, bytes.next()?),
                    0x3a => (prefixes, 3, bytes.next()?),
                    opcode => (prefixes, 1, opcode),
                });
            }
            opcode => return Some((prefixes, 0, opcode)),
        }
    }
}
