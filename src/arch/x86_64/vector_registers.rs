//! The vector and mask registers in the state that the kernel stores on a thread's stack while a
//! signal is handled (asm/sigcontext.h, `struct _fpstate_64`; behind it the processor's own format,
//! Intel's manual, volume 1, chapter 13).

use core::arch::x86_64::__cpuid_count;

/// Where the first sixteen have their lower halves: first byte, and the one behind the last.
const XMM: (usize, usize) = (160, 416);
/// Bytes of the part that every processor has. The words of what follows come behind it, its bits
/// first.
const LEGACY: usize = 512;
/// What the kernel says of the parts behind that one.
const SOFTWARE: usize = 464;
const MAGIC: u32 = 0x4650_5853;
/// Numbers of the other parts that have vector registers: upper halves of 256 bits, of 512 bits,
/// and the last sixteen.
const PARTS: [u32; 3] = [2, 6, 7];

/// Number of the part that has the mask registers, 8 bytes each.
const MASKS: u32 = 5;

/// The start and the end of each part that holds any. Between them lies whatever was on the stack
/// before.
///
/// # Safety
/// The kernel has stored a thread's state at `state`, and its handler has not returned.
pub unsafe fn parts_of(state: usize) -> impl Iterator<Item = (usize, usize)> {
    // SAFETY: `state` is the kernel's, by the caller's promise.
    let more = unsafe { used_parts_of(state, PARTS) };
    [XMM].into_iter().chain(more).map(move |(start, end)| (state + start, state + end))
}

/// The value of mask register `number`. `None` if the processor has none, or none is in use.
///
/// # Safety
/// The kernel has stored a thread's state at `state`, and its handler has not returned.
pub(super) unsafe fn mask_of(state: usize, number: u8) -> Option<u64> {
    // SAFETY: `state` is the kernel's, by the caller's promise.
    let (start, end) = unsafe { used_parts_of(state, [MASKS]) }.next()?;
    let at = start + 8 * usize::from(number);
    // SAFETY: it lies in the part, as the kernel says.
    (at + 8 <= end).then(|| unsafe { ((state + at) as *const u64).read_unaligned() })
}

/// Start and end, relative to the state, of the given parts that are in use.
///
/// # Safety
/// The kernel has stored a thread's state at `state`, and its handler has not returned.
unsafe fn used_parts_of<const N: usize>(
    state: usize,
    parts: [u32; N],
) -> impl Iterator<Item = (usize, usize)> {
    // SAFETY: the state has 512 bytes at least.
    let [magic, _, _, _, size] =
        unsafe { ((state + SOFTWARE) as *const [u32; 5]).read_unaligned() };
    let size = if magic == MAGIC { size as usize } else { 0 };
    let used = match size > LEGACY {
        // SAFETY: the state goes on behind its first part: the kernel says so.
        true => unsafe { ((state + LEGACY) as *const u64).read_unaligned() },
        false => 0,
    };
    parts.into_iter().filter(move |part| used & 1 << part != 0).filter_map(move |part| {
        let place = __cpuid_count(0xd, part);
        let (start, end) = (place.ebx as usize, (place.ebx + place.eax) as usize);
        (LEGACY <= start && end <= size).then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not in use is left out, and so is what lies between.
    #[test]
    fn only_parts_in_use_are_named() {
        let mut state = [0u64; 512];
        let start = state.as_ptr() as usize;
        let parts = |state: &[u64]| -> Vec<_> {
            // SAFETY: laid out as the kernel does.
            let parts = unsafe { parts_of(state.as_ptr() as usize) };
            parts.map(|(from, to)| (from - start, to - start)).collect()
        };
        assert_eq!(parts(&state), [XMM]);
        state[SOFTWARE / 8] = u64::from(MAGIC);
        state[SOFTWARE / 8 + 2] = 832;
        assert_eq!(parts(&state), [XMM]);
        // The upper halves of 256 bits always lie there, where a processor has them.
        state[LEGACY / 8] = 0b111;
        let upper = std::is_x86_feature_detected!("avx").then_some((576, 832));
        assert_eq!(parts(&state), [XMM].into_iter().chain(upper).collect::<Vec<_>>());
        // A part that the state is too short for is not there.
        state[SOFTWARE / 8 + 2] = 700;
        assert_eq!(parts(&state), [XMM]);
    }
}
