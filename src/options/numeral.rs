//! Numbers as options have them: decimal, or hexadecimal behind `0x`.

/// The number that `text` stands for, all of it; no sign, no unit.
pub(super) fn parse_number(text: &str) -> Option<usize> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => usize::from_str_radix(digits, 16).ok(),
        None if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}
