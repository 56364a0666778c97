//! The options that are texts, in places that neither move nor have to be allocated. The
//! environment that they come from may be written over by the program.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::spec::MAX_TEXT;
use super::table::Name;

/// A text; written once more only with the same.
struct Text {
    length: AtomicUsize,
    bytes: [AtomicU8; MAX_TEXT],
}

/// The options that are texts.
const NAMES: [Name; 7] = [
    Name::Suppressions,
    Name::LogPath,
    Name::Include,
    Name::Exclude,
    Name::Fail,
    Name::GuardSites,
    Name::GuardModules,
];

static TEXTS: [Text; NAMES.len()] =
    [const { Text { length: AtomicUsize::new(0), bytes: [const { AtomicU8::new(0) }; MAX_TEXT] } };
        NAMES.len()];

fn find(name: Name) -> Option<&'static Text> {
    TEXTS.get(NAMES.iter().position(|&known| known == name)?)
}

/// The text of an option; `None`: it is empty, or the option is no text. Allocates.
pub fn text(name: Name) -> Option<String> {
    let mut room = [0; MAX_TEXT];
    let text = copy_text(name, &mut room);
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

/// The same in the caller's memory; allocates nothing.
pub fn copy_text(name: Name, room: &mut [u8; MAX_TEXT]) -> &[u8] {
    let Some(text) = find(name) else { return &[] };
    let length = text.length.load(Ordering::Acquire);
    for (to, from) in room.iter_mut().zip(&text.bytes).take(length) {
        *to = from.load(Ordering::Relaxed);
    }
    room.get(..length).unwrap_or(&[])
}

/// Sets it; longer ones than 1023 bytes are not taken.
pub fn set_text(name: Name, value: &str) {
    let Some(text) = find(name).filter(|_| value.len() <= MAX_TEXT) else { return };
    for (to, from) in text.bytes.iter().zip(value.bytes()) {
        to.store(from, Ordering::Relaxed);
    }
    text.length.store(value.len(), Ordering::Release);
}
