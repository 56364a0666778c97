//! Which bytes of a block were overwritten, and by what.

use crate::model::finding::{Damage, Side};

/// The changed bytes of `[start, end)`.
///
/// # Safety
/// The bytes are readable.
pub(crate) unsafe fn describe(
    side: Side,
    user: usize,
    start: usize,
    end: usize,
    expected: impl Fn(usize) -> u8,
) -> Damage {
    let mut damage = Damage::none(side);
    for at in start..end {
        // SAFETY: by the caller's word.
        let found = unsafe { (at as *const u8).read() };
        if found != expected(at) {
            let offset = at.wrapping_sub(user) as isize;
            if damage.is_empty() {
                damage.first = offset;
            }
            damage.last = offset;
            damage.changed += 1;
        }
    }
    if damage.is_empty() {
        return damage;
    }
    // The dump starts on the line of the first changed byte.
    let line = user.wrapping_add_signed(damage.first & !(Damage::SHOWN as isize - 1)).max(start);
    damage.shown_from = line.wrapping_sub(user) as isize;
    for (offset, shown) in damage.shown.iter_mut().enumerate() {
        let at = line + offset;
        if at >= end {
            break;
        }
        // SAFETY: inside `[start, end)`.
        *shown = (unsafe { (at as *const u8).read() }, expected(at));
        damage.shown_len = offset + 1;
    }
    damage
}

// The smallest block is a chunk of the least size: no chunk is longer than its block's plan says.
