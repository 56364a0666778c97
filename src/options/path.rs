//! The one option that is a path: its text, in a place that neither moves nor has to be allocated. The environment that
//! it comes from may be written over by the program.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Longest path.
pub(super) const MAX_TEXT: usize = 1023;

/// The one path of the table; written once more only with the same.
struct Text {
    length: AtomicUsize,
    bytes: [AtomicU8; MAX_TEXT],
}

static TEXT: Text =
    Text { length: AtomicUsize::new(0), bytes: [const { AtomicU8::new(0) }; MAX_TEXT] };

/// The file with rules for leaks; `None`: there is none. Allocates.
pub fn suppressions() -> Option<String> {
    let length = TEXT.length.load(Ordering::Acquire);
    let bytes = TEXT.bytes.iter().take(length).map(|byte| byte.load(Ordering::Relaxed)).collect();
    String::from_utf8(bytes).ok().filter(|path| !path.is_empty())
}

/// Sets it; longer ones than 1023 bytes are not taken.
pub fn set_suppressions(path: &str) {
    if path.len() <= MAX_TEXT {
        for (to, from) in TEXT.bytes.iter().zip(path.bytes()) {
            to.store(from, Ordering::Relaxed);
        }
        TEXT.length.store(path.len(), Ordering::Release);
    }
}
