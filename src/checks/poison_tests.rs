//! Poison is where it should be, and what is written over it is found.

use super::*;

/// With zeros behind: they show where it is not to go on.
const FILL: Fill = Fill::of_byte(0x55);
const WORDS: Fill = Fill::that_runs_on(0x8877_6655_4433_2211);

#[test]
fn what_lies_round_a_block_is_not_filled() {
    for most in [0, 1, 4, 15, 16, 64, 100, 128, 1000] {
        for size in [0, 1, 15, 16, 17, 31, 64, 65, 128, 200, 256, 257, 300, 513] {
            let mut buffer = vec![0u8; size + 64];
            let start = buffer.as_mut_ptr() as usize + 16;
            // SAFETY: the buffer has `size` bytes from there on, and more.
            unsafe { poison(start, size, most, FILL, |_| true) };
            let filled = |at: usize| buffer[at + 16] == 0x55;
            let is_whole = most >= STORE && size < 2 * most + LEAST_MIDDLE;
            for at in 0..size {
                let end = end_of(most);
                let is_end = at < end || size - at <= end || size <= 2 * most || is_whole;
                // In the middle there may be the sum.
                assert!(filled(at) || !is_end, "{at} of {size}");
                let is_odd = filled(at) && !is_end;
                assert!(!is_odd || most >= STORE, "{at} of {size}");
            }
            assert!(buffer[..16].iter().all(|&byte| byte == 0), "in front of {size}");
            assert!((size..size + 48).all(|at| !filled(at)), "behind {size}, {most} filled");
        }
    }
}

#[test]
fn both_ends_are_watched() {
    for most in [LONG * STORE, 4096] {
        watched(most);
    }
}

fn watched(most: usize) {
    for fill in [FILL, WORDS] {
        watched_with(most, fill);
    }
}

fn watched_with(most: usize, fill: Fill) {
    for size in [
        0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 100, 128, 129, 255, 256, 257, 4096, 8192, 8193,
        50_000,
    ] {
        let mut buffer = vec![0u128; size / 16 + 3];
        let start = buffer.as_mut_ptr() as usize;
        // SAFETY: the buffer has `size` bytes and is used through `start` alone.
        unsafe {
            poison(start, size, most, fill, |_| true);
            assert_eq!(poison_damage(start, size, most, fill), None);
            assert!(is_poisoned(start, size, most, fill));
            for offset in [0, size / 3, size / 2, size.saturating_sub(1)] {
                if size == 0 {
                    continue;
                }
                let byte = (start + offset) as *mut u8;
                let before = byte.read();
                byte.write(before ^ 3);
                let damage = poison_damage(start, size, most, fill).expect("damage");
                let found = damage.first..=damage.last;
                assert!(found.contains(&(offset as isize)), "{offset} of {size}: {found:?}");
                assert!(damage.certain || size >= 2 * most + LEAST_MIDDLE, "size {size}");
                assert!(!is_poisoned(start, size, most, fill), "size {size}");
                byte.write(before);
            }
        }
    }
}
