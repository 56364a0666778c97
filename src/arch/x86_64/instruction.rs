//! The memory operand of an instruction: which address it uses, from which registers, and how
//! (Intel's manual, volume 2, chapter 2 and appendix A). Only what faults on memory; what is not
//! known is `None`.

use super::fault_context::{GENERAL, Touch};
use super::mask::{element_of, is_packed, span_of};
use super::operand_width::width_of;
use super::prefixes::{Bytes, Prefixes, Table, opcode_of};

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The address.
    pub address: usize,
    /// The register that it is made of, by its place in the kernel's order; of two the one whose
    /// value is no small number.
    pub base: Option<u8>,
    /// The kind of access.
    pub touch: Touch,
    /// Bytes of it, of an instruction that is repeated those of one time; 0: not known.
    pub bytes: usize,
}

/// Places of rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi and r8 to r15 in the kernel's order.
const PLACES: [u8; GENERAL] = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];
const RSP: u8 = 4;
const RBP: u8 = 5;
const RSI: u8 = 6;
const RDI: u8 = 7;

/// The memory operand of the instruction at the start of `bytes`, with these registers. `mask`
/// gives the value of a mask register, if it is known.
pub fn memory_operand(
    bytes: &[u8],
    general: &[usize; GENERAL],
    mask: impl Fn(u8) -> Option<u64>,
) -> Option<Operand> {
    let mut bytes = Bytes(bytes);
    let (prefixes, table, opcode) = opcode_of(&mut bytes)?;
    let value = |register: u8| {
        let place = PLACES.get(usize::from(register)).copied().unwrap_or(0);
        general.get(usize::from(place)).copied().unwrap_or(0)
    };
    let at = |register: u8, touch: Touch| {
        let base = PLACES.get(usize::from(register)).copied();
        let bytes = width_of(table, opcode, 0, &prefixes);
        Some(Operand { address: value(register), base, touch, bytes })
    };
    if table == 0 {
        match opcode {
            0xa4 | 0xa5 if is_usable(value(RSI)) => return at(RDI, Touch::Write),
            0xa4..=0xa7 | 0xac | 0xad => return at(RSI, Touch::Read),
            0xaa | 0xab => return at(RDI, Touch::Write),
            0xae | 0xaf => return at(RDI, Touch::Read),
            0xc9 => return at(RBP, Touch::Read),
            0x58..=0x5f => return at(RSP, Touch::Read),
            0x50..=0x57 | 0xe8 => {
                let address = value(RSP).wrapping_sub(8);
                return Some(Operand { address, base: None, touch: Touch::Write, bytes: 8 });
            }
            _ => {}
        }
    }
    let byte = bytes.next()?;
    let extension = (byte >> 3) & 7;
    let touch = touch_of(table, opcode, extension, &prefixes)?;
    if byte >> 6 == 3 {
        // A call of what a register holds.
        let is_call = table == 0 && opcode == 0xff && matches!(extension, 2 | 4);
        return if is_call { at(byte & 7 | prefixes.base, Touch::Jump) } else { None };
    }
    let width = width_of(table, opcode, extension, &prefixes);
    let unit = match element_of(table, opcode, &prefixes).filter(|_| is_packed(table, opcode)) {
        Some(element) => element,
        None => width,
    };
    let (address, base) = address_of(byte, &mut bytes, &prefixes, unit, value)?;
    let span = span_of(width, (table, opcode), &prefixes, mask)?;
    Some(Operand { address: address.wrapping_add(span.start), base, touch, bytes: span.bytes })
}

/// Can it be an address?
const fn is_usable(address: usize) -> bool {
    let high = address >> 47;
    high == 0 || high == usize::MAX >> 47
}

/// The access that an instruction makes to its memory operand. `None`: it has none.
fn touch_of(table: Table, opcode: u8, extension: u8, prefixes: &Prefixes) -> Option<Touch> {
    let writes = match (table, opcode) {
        (0, 0x38..=0x3b) => false,
        (0, 0..=0x3f) if opcode & 7 < 4 => opcode & 7 < 2,
        (0, 0x63 | 0x69 | 0x6b | 0x84 | 0x85 | 0x8a | 0x8b | 0x8e) => false,
        (0, 0x80..=0x83) => extension != 7,
        (0, 0x86..=0x89 | 0x8c | 0x8f | 0xc0 | 0xc1 | 0xc6 | 0xc7 | 0xd0..=0xd3) => true,
        (0, 0xd9 | 0xdd) => matches!(extension, 2 | 3 | 6 | 7),
        (0, 0xdb | 0xdf) => matches!(extension, 1 | 2 | 3 | 6 | 7),
        (0, 0xd8..=0xdf) => false,
        (0, 0xf6 | 0xf7) => matches!(extension, 2 | 3),
        (0, 0xfe | 0xff) => extension < 2,
        (0, _) | (1, 0x05 | 0x0b | 0x31 | 0xa2) => return None,
        // Gathers and scatters: each element has its own address.
        (2, 0x90..=0x93) => return None,
        (2, 0xa0..=0xa3 | 0xc6 | 0xc7) if prefixes.is_compressed => return None,
        (2, 0x10..=0x15 | 0x20..=0x25 | 0x30..=0x35) => {
            prefixes.is_compressed && prefixes.is_repeated
        }
        (1, 0x78..=0x7b) if prefixes.is_compressed => false,
        (1, 0x7e) => !prefixes.is_repeated,
        (1, 0x90) if prefixes.is_vector => false,
        (1, 0x11 | 0x13 | 0x17 | 0x29 | 0x2b | 0x7f | 0x90..=0x9f) => true,
        (1, 0xa4 | 0xa5 | 0xab..=0xad | 0xb0 | 0xb1 | 0xb3 | 0xbb | 0xc0 | 0xc1) => true,
        (1, 0xc3 | 0xc7 | 0xd6 | 0xe7) => true,
        (1, 0xba) => extension > 4,
        (2, 0x2e | 0x2f | 0x63 | 0x8a | 0x8b | 0x8e) => true,
        (2, 0xf1) => !prefixes.is_f2,
        (3, 0x14..=0x17 | 0x19 | 0x1b | 0x1d | 0x39 | 0x3b) => true,
        _ => false,
    };
    Some(if writes { Touch::Write } else { Touch::Read })
}

/// The address that a ModRM byte and what follows give, and the register that it comes from. A
/// short offset is in units of `unit` bytes with EVEX.
fn address_of(
    byte: u8,
    bytes: &mut Bytes<'_>,
    prefixes: &Prefixes,
    unit: usize,
    value: impl Fn(u8) -> usize,
) -> Option<(usize, Option<u8>)> {
    let (mode, mut base, mut index) = (byte >> 6, Some(byte & 7 | prefixes.base), None);
    if byte & 7 == RSP {
        let scaled = bytes.next()?;
        base = Some(scaled & 7 | prefixes.base);
        let register = (scaled >> 3) & 7 | prefixes.index;
        index = Some((register, scaled >> 6)).filter(|(register, _)| *register != RSP);
        if scaled & 7 == RBP && mode == 0 {
            base = None;
        }
    } else if byte & 7 == RBP && mode == 0 {
        // Relative to the instruction: no register to speak of.
        return None;
    }
    let offset = match mode {
        1 => {
            let offset = bytes.next()? as i8 as isize;
            if prefixes.is_compressed { offset * unit as isize } else { offset }
        }
        2 => bytes.long()?,
        _ if base.is_none() => bytes.long()?,
        _ => 0,
    };
    let based = base.map_or(0, &value);
    let indexed = index.map_or(0, |(register, scale)| value(register).wrapping_shl(scale.into()));
    let mut address = based.wrapping_add(indexed).wrapping_add_signed(offset);
    if prefixes.is_short {
        address &= u32::MAX as usize;
    }
    let whole = index.filter(|(register, _)| based < 1 << 16 && value(*register) >= 1 << 16);
    let register = whole.map(|(register, _)| register).or(base);
    Some((address, register.and_then(|register| PLACES.get(usize::from(register)).copied())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAX: u8 = 13;
    const RCX: u8 = 14;

    fn operand(bytes: &[u8]) -> Option<(usize, Option<u8>, Touch)> {
        let mut general = [0; GENERAL];
        general[usize::from(RAX)] = 0x1_0000_0000;
        general[usize::from(RCX)] = 3;
        general[8] = 0x7000_0000; // rdi
        general[0] = 0x9000_0000; // r8
        general[15] = 0x5000_0000; // rsp
        memory_operand(bytes, &general, |_| None)
            .map(|found| (found.address, found.base, found.touch))
    }

    #[test]
    fn operands_are_what_the_assembler_meant() {
        // mov eax, [rax + 16]
        assert_eq!(operand(&[0x8b, 0x40, 0x10]), Some((0x1_0000_0010, Some(RAX), Touch::Read)));
        // mov [rdi + rcx*8 - 8], rax
        assert_eq!(
            operand(&[0x48, 0x89, 0x44, 0xcf, 0xf8]),
            Some((0x7000_0010, Some(8), Touch::Write))
        );
        // mov byte ptr [r8], 1
        assert_eq!(operand(&[0x41, 0xc6, 0x00, 1]), Some((0x9000_0000, Some(0), Touch::Write)));
        // call [rax + 0x100]
        assert_eq!(
            operand(&[0xff, 0x90, 0, 1, 0, 0]),
            Some((0x1_0000_0100, Some(RAX), Touch::Read))
        );
        // call rax
        assert_eq!(operand(&[0xff, 0xd0]), Some((0x1_0000_0000, Some(RAX), Touch::Jump)));
        // cmp [rax], rdi; movups [rdi], xmm0; vmovdqu ymm0, [rdi]; rep stosb
        assert_eq!(operand(&[0x48, 0x39, 0x38]), Some((0x1_0000_0000, Some(RAX), Touch::Read)));
        assert_eq!(operand(&[0x0f, 0x11, 0x07]), Some((0x7000_0000, Some(8), Touch::Write)));
        assert_eq!(operand(&[0xc5, 0xfe, 0x6f, 0x07]), Some((0x7000_0000, Some(8), Touch::Read)));
        assert_eq!(operand(&[0xf3, 0xaa]), Some((0x7000_0000, Some(8), Touch::Write)));
        // mov rax, [rcx + rax]: the index holds the address.
        assert_eq!(
            operand(&[0x48, 0x8b, 0x04, 0x01]),
            Some((0x1_0000_0003, Some(RAX), Touch::Read))
        );
        // push rbx
        assert_eq!(operand(&[0x53]), Some((0x4fff_fff8, None, Touch::Write)));
    }

    #[test]
    fn operands_have_their_widths() {
        let bytes_of =
            |bytes: &[u8]| memory_operand(bytes, &[0; GENERAL], |_| None).map(|found| found.bytes);
        for (bytes, expected) in [
            (&[0x8a, 0x00][..], 1),                      // mov al, [rax]
            (&[0x66, 0x8b, 0x00], 2),                    // mov ax, [rax]
            (&[0x8b, 0x00], 4),                          // mov eax, [rax]
            (&[0x48, 0x8b, 0x00], 8),                    // mov rax, [rax]
            (&[0x0f, 0xb6, 0x00], 1),                    // movzx eax, byte ptr [rax]
            (&[0x0f, 0xbf, 0x00], 2),                    // movsx eax, word ptr [rax]
            (&[0x48, 0x63, 0x00], 4),                    // movsxd rax, [rax]
            (&[0xc6, 0x00, 1], 1),                       // mov byte ptr [rax], 1
            (&[0x48, 0xc7, 0x00, 1, 0, 0, 0], 8),        // mov qword ptr [rax], 1
            (&[0x80, 0x38, 0], 1),                       // cmp byte ptr [rax], 0
            (&[0x83, 0x00, 1], 4),                       // add dword ptr [rax], 1
            (&[0x0f, 0x10, 0x00], 16),                   // movups xmm0, [rax]
            (&[0xf3, 0x0f, 0x6f, 0x00], 16),             // movdqu xmm0, [rax]
            (&[0xf3, 0x0f, 0x10, 0x00], 4),              // movss xmm0, [rax]
            (&[0xf2, 0x0f, 0x11, 0x00], 8),              // movsd [rax], xmm0
            (&[0xf3, 0x0f, 0x7e, 0x00], 8),              // movq xmm0, [rax]
            (&[0x66, 0x0f, 0x6e, 0x00], 4),              // movd xmm0, [rax]
            (&[0xc5, 0xfe, 0x6f, 0x00], 32),             // vmovdqu ymm0, [rax]
            (&[0xc5, 0xfa, 0x10, 0x00], 4),              // vmovss xmm0, [rax]
            (&[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x00], 64), // vmovdqu64 zmm0, [rax]
            (&[0xdd, 0x00], 8),                          // fld qword ptr [rax]
            (&[0xdb, 0x28], 10),                         // fld tbyte ptr [rax]
            (&[0xf3, 0xa4], 1),                          // rep movsb
            (&[0xf3, 0x48, 0xab], 8),                    // rep stosq
            (&[0xff, 0x10], 8),                          // call [rax]
        ] {
            assert_eq!(bytes_of(bytes), Some(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn what_has_no_operand_has_none() {
        // nop; mov eax, ecx; syscall; mov rax, fs:[0]; half an instruction; nothing
        for bytes in [
            &[0x90][..],
            &[0x89, 0xc8],
            &[0x0f, 0x05],
            &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],
            &[0x8b, 0x80, 0x00],
            &[],
        ] {
            assert_eq!(operand(bytes), None, "{bytes:x?}");
        }
    }
}
